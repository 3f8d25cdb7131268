/* qdot.c - integer matrix products and convolutions over codes.
 *
 * Rows of x (or windows of an image) are widened once to int16 with the zero
 * point taken off, four at a time, and multiplied with every row of the
 * weights: 4 x 2 sums at once, along contiguous terms, a form that gcc turns
 * into multiply-add instructions. Sums become codes by the rule of
 * requantization (q below). All of a block is read before its results are
 * written, so x and y may overlap as the plan allows.
 *
 * T: type of x, I: type of y. q: shift, zero point of y, lo, hi, 1 where
 * every channel has its own multiplier.
 */
#ifndef T                       /* for this file as it stands */
#define T int8_t
#define I int8_t
#endif
#include "kernel.h"

/* clamp(zero + floor((acc 2^shift m + 2^31) / 2^32), lo, hi) */
KERNEL inline int32_t mcu_requant(int32_t acc, int32_t m, int32_t shift,
                                  int32_t zero, int32_t lo, int32_t hi)
{
    const int64_t p = (int64_t)(int32_t)((uint32_t)acc << shift) * m;
    const uint64_t r = (uint64_t)p + 0x80000000u;
    const int32_t y = (int32_t)(uint32_t)(r >> 32) + zero;
    const int32_t z = y < lo ? lo : y;

    return z > hi ? hi : z;
}

/* y = requantized c + bias + add, n channels; c is overwritten */
KERNEL void mcu_qput_I(const int32_t *q, int n, int32_t *c,
                       const int32_t *bias, int32_t add,
                       const int32_t *mult, I *y)
{
    const int32_t shift = q[0], zero = q[1], lo = q[2], hi = q[3];
    const int32_t one = mult[0];
    int j;

    if (bias)
        for (j = 0; j < n; j++)
            c[j] += bias[j];
    if (add)
        for (j = 0; j < n; j++)
            c[j] += add;
    if (q[4])
        for (j = 0; j < n; j++)
            y[j] = (I)mcu_requant(c[j], mult[j], shift, zero, lo, hi);
    else
        for (j = 0; j < n; j++)
            y[j] = (I)mcu_requant(c[j], one, shift, zero, lo, hi);
}

/* s = x - zero */
KERNEL void mcu_qwiden_T(int n, const T *restrict x, int32_t zero,
                         int16_t *restrict s)
{
    int i;

    for (i = 0; i < n; i++)
        s[i] = (int16_t)(x[i] - zero);
}

/* c[i * 32 + j] = sum over k of a[i * step + k] w[j * row + k] for four i
 * and n <= 32 columns j. (With n odd the last column is computed twice.) */
KERNEL void mcu_qdot4_T(int k, int n, const int16_t *a, int step, const T *w,
                        int row, int32_t *c)
{
    const int16_t *b = a + step, *d = b + step, *e = d + step;
    int i, j;

    for (j = 0; j < n; j += 2, w += 2 * row) {
        const T *v = j + 1 < n ? w + row : w;
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        int32_t t0 = 0, t1 = 0, t2 = 0, t3 = 0;

        for (i = 0; i < k; i++) {
            s0 += a[i] * w[i];
            s1 += b[i] * w[i];
            s2 += d[i] * w[i];
            s3 += e[i] * w[i];
            t0 += a[i] * v[i];
            t1 += b[i] * v[i];
            t2 += d[i] * v[i];
            t3 += e[i] * v[i];
        }
        c[j] = s0;
        c[j + 32] = s1;
        c[j + 64] = s2;
        c[j + 96] = s3;
        c[j + 1] = t0;
        c[j + 33] = t1;
        c[j + 65] = t2;
        c[j + 97] = t3;
    }
}

/* the same for one row of a */
KERNEL void mcu_qdot1_T(int k, int n, const int16_t *a, const T *w, int row,
                        int32_t *c)
{
    int i, j;

    for (j = 0; j < n; j += 2, w += 2 * row) {
        const T *v = j + 1 < n ? w + row : w;
        int32_t s = 0, t = 0;

        for (i = 0; i < k; i++) {
            s += a[i] * w[i];
            t += a[i] * v[i];
        }
        c[j] = s;
        c[j + 1] = t;
    }
}

/* m (4 or 1) rows of a times all n rows of w, requantized into rows of y */
KERNEL void mcu_qcols_I(int m, int k, int n, const int16_t *a, int step,
                        const int8_t *w, const int32_t *bias,
                        const int32_t *mult, const int32_t *q, I *y,
                        int y_step)
{
    int32_t c[4 * 32];
    int i, j;

    for (j = 0; j < n; j += 32) {
        const int wide = n - j < 32 ? n - j : 32;

        if (m == 4)
            mcu_qdot4_s8(k, wide, a, step, w + j * k, k, c);
        else
            mcu_qdot1_s8(k, wide, a, w + j * k, k, c);
        for (i = 0; i < m; i++)
            mcu_qput_I(q, wide, c + 32 * i, bias ? bias + j : NULL, 0,
                       mult + (q[4] ? j : 0), y + i * y_step + j);
    }
}

/* y = x w^T. g: rows, k, n, zero point of x, rows of a block (4 or 1),
 * 1 to walk backwards, then q. s: k * block elements. Stack: 640 bytes */
KERNEL void mcu_qmatmul_T_I(const int32_t *g, const T *x, const int8_t *w,
                            const int32_t *bias, const int32_t *mult,
                            int16_t *s, I *y)
{
    const int rows = g[0], k = g[1], n = g[2];
    int i, m;

    for (i = 0; i < rows; i += m) {
        int at;

        m = rows - i < g[4] ? 1 : g[4];
        at = g[5] ? rows - i - m : i;
        mcu_qwiden_T(m * k, x + at * k, g[3], s);
        mcu_qcols_I(m, k, n, s, k, w, bias, mult, g + 6, y + at * n, n);
    }
}

/* sum of m rows of k elements of s */
KERNEL int32_t mcu_qsum(int k, const int16_t *s)
{
    int32_t sum = 0;
    int i;

    for (i = 0; i < k; i++)
        sum += s[i];
    return sum;
}

/* m (4 or 1) rows s times all rows of w, an operand [n][k] of codes with
 * zero point g[11]; g as mcu_qmatmul_T_I. T: w. Stack: 640 bytes */
KERNEL void mcu_qoperand_T_I(const int32_t *g, int m, const int16_t *s,
                             const T *w, const int32_t *bias,
                             const int32_t *mult, I *y)
{
    const int k = g[1], n = g[2];
    int32_t c[4 * 32];
    int i, j;

    for (j = 0; j < n; j += 32) {
        const int wide = n - j < 32 ? n - j : 32;

        if (m == 4)
            mcu_qdot4_T(k, wide, s, k, w + j * k, k, c);
        else
            mcu_qdot1_T(k, wide, s, w + j * k, k, c);
        for (i = 0; i < m; i++) {
            const int32_t z = g[11] ? g[11] * mcu_qsum(k, s + i * k) : 0;

            mcu_qput_I(g + 6, wide, c + 32 * i, bias ? bias + j : NULL, -z,
                       mult, y + i * n + j);
        }
    }
}

/* the same for an operand [k][n] */
KERNEL void mcu_qcolumns_T_I(const int32_t *g, int m, const int16_t *s,
                             const T *w, const int32_t *bias,
                             const int32_t *mult, I *y)
{
    const int k = g[1], n = g[2];
    int32_t c[32];
    int h, i, j, t;

    for (j = 0; j < n; j += 32) {
        const int wide = n - j < 32 ? n - j : 32;

        for (i = 0; i < m; i++) {
            const int32_t z = g[11] ? g[11] * mcu_qsum(k, s + i * k) : 0;

            memset(c, 0, sizeof c);
            for (h = 0; h < k; h++) {
                const int32_t a = s[i * k + h];
                const T *v = w + h * n + j;

                if (wide == 32)
                    for (t = 0; t < 32; t++)
                        c[t] += a * v[t];
                else
                    for (t = 0; t < wide; t++)
                        c[t] += a * v[t];
            }
            mcu_qput_I(g + 6, wide, c, bias ? bias + j : NULL, -z, mult,
                       y + i * n + j);
        }
    }
}
