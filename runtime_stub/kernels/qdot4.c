/* qdot4.c - products with int4 weights, and with scales per group of terms.
 *
 * The terms of a row fall into groups of k; a group takes (k + 1) / 2 bytes:
 * byte i holds term i below and term i + (k + 1) / 2 above, so that both
 * halves are contiguous. They are unpacked in registers. A sum of a group is
 * multiplied by the group's integer and added: factor [group][channel].
 */
#ifndef T                       /* for this file as it stands */
#define T int8_t
#define I int8_t
#endif
#include "kernel.h"

/* as mcu_qdot4_T; rows of w are `row` bytes apart */
KERNEL void mcu_qdot4_nibble(int k, int n, const int16_t *a, int step,
                             const uint8_t *w, int row, int32_t *c)
{
    const int16_t *b = a + step, *d = b + step, *e = d + step;
    const int h = (k + 1) / 2, pairs = k / 2;
    int i, j;

    for (j = 0; j < n; j++, w += row) {
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;

        for (i = 0; i < pairs; i++) {
            const int16_t u = (int16_t)((w[i] & 15) - 8);
            const int16_t v = (int16_t)((w[i] >> 4) - 8);

            s0 += a[i] * u;
            s1 += b[i] * u;
            s2 += d[i] * u;
            s3 += e[i] * u;
            s0 += a[h + i] * v;
            s1 += b[h + i] * v;
            s2 += d[h + i] * v;
            s3 += e[h + i] * v;
        }
        if (h > pairs) {
            const int16_t u = (int16_t)((w[pairs] & 15) - 8);

            s0 += a[pairs] * u;
            s1 += b[pairs] * u;
            s2 += d[pairs] * u;
            s3 += e[pairs] * u;
        }
        c[j] = s0;
        c[j + 32] = s1;
        c[j + 64] = s2;
        c[j + 96] = s3;
    }
}

KERNEL void mcu_qdot1_nibble(int k, int n, const int16_t *a,
                             const uint8_t *w, int row, int32_t *c)
{
    const int h = (k + 1) / 2, pairs = k / 2;
    int i, j;

    for (j = 0; j < n; j++, w += row) {
        int32_t s = 0;

        for (i = 0; i < pairs; i++) {
            const int16_t u = (int16_t)((w[i] & 15) - 8);
            const int16_t v = (int16_t)((w[i] >> 4) - 8);

            s += a[i] * u;
            s += a[h + i] * v;
        }
        if (h > pairs)
            s += a[pairs] * ((w[pairs] & 15) - 8);
        c[j] = s;
    }
}

/* c += factor p for m rows of n columns */
KERNEL void mcu_qgroup(int m, int n, const int32_t *p, const int16_t *factor,
                       int32_t *c)
{
    int i, j;

    for (i = 0; i < m; i++)
        for (j = 0; j < n; j++)
            c[32 * i + j] += p[32 * i + j] * factor[j];
}

/* mcu_qcols_I with int4 weights in `groups` groups of k / groups terms;
 * factor NULL: one group */
KERNEL void mcu_qcols4_I(int m, int k, int n, const int16_t *a, int step,
                         const uint8_t *w, const int32_t *bias,
                         const int32_t *mult, const int32_t *q, I *y,
                         int y_step, int groups, const int16_t *factor)
{
    const int kg = k / groups, bytes = (kg + 1) / 2, row = groups * bytes;
    int32_t c[4 * 32], p[4 * 32];
    int i, j, g;

    for (j = 0; j < n; j += 32) {
        const int wide = n - j < 32 ? n - j : 32;

        memset(c, 0, sizeof c);
        for (g = 0; g < groups; g++) {
            int32_t *const t = factor ? p : c;
            const uint8_t *v = w + j * row + g * bytes;

            if (m == 4)
                mcu_qdot4_nibble(kg, wide, a + g * kg, step, v, row, t);
            else
                mcu_qdot1_nibble(kg, wide, a + g * kg, v, row, t);
            if (factor)
                mcu_qgroup(m, wide, p, factor + g * n + j, c);
        }
        for (i = 0; i < m; i++)
            mcu_qput_I(q, wide, c + 32 * i, bias ? bias + j : NULL, 0,
                       mult + (q[4] ? j : 0), y + i * y_step + j);
    }
}

/* mcu_qmatmul_T_I with int4 weights; g[11]: groups. Stack: 1280 bytes */
KERNEL void mcu_qmatmul4_T_I(const int32_t *g, const T *x, const uint8_t *w,
                             const int32_t *bias, const int32_t *mult,
                             int16_t *s, I *y, const int16_t *factor)
{
    const int rows = g[0], k = g[1], n = g[2];
    int i, m;

    for (i = 0; i < rows; i += m) {
        int at;

        m = rows - i < g[4] ? 1 : g[4];
        at = g[5] ? rows - i - m : i;
        mcu_qwiden_T(m * k, x + at * k, g[3], s);
        mcu_qcols4_I(m, k, n, s, k, w, bias, mult, g + 6, y + at * n, n,
                     g[11], factor);
    }
}

/* mcu_qcols_I with int8 weights whose groups have factors */
KERNEL void mcu_qcols8_I(int m, int k, int n, const int16_t *a, int step,
                         const int8_t *w, const int32_t *bias,
                         const int32_t *mult, const int32_t *q, I *y,
                         int y_step, int groups, const int16_t *factor)
{
    const int kg = k / groups;
    int32_t c[4 * 32], p[4 * 32];
    int i, j, g;

    for (j = 0; j < n; j += 32) {
        const int wide = n - j < 32 ? n - j : 32;

        memset(c, 0, sizeof c);
        for (g = 0; g < groups; g++) {
            const int8_t *v = w + j * k + g * kg;

            if (m == 4)
                mcu_qdot4_s8(kg, kg / 16 * 16, wide, a + g * kg, step, v, k,
                             p);
            else
                mcu_qdot1_s8(kg, kg / 16 * 16, wide, a + g * kg, v, k, p);
            mcu_qgroup(m, wide, p, factor + g * n + j, c);
        }
        for (i = 0; i < m; i++)
            mcu_qput_I(q, wide, c + 32 * i, bias ? bias + j : NULL, 0,
                       mult + (q[4] ? j : 0), y + i * y_step + j);
    }
}

/* mcu_qmatmul_T_I with factors per group; g[11]: groups. Stack: 1280 bytes */
KERNEL void mcu_qmatmul8_T_I(const int32_t *g, const T *x, const int8_t *w,
                             const int32_t *bias, const int32_t *mult,
                             int16_t *s, I *y, const int16_t *factor)
{
    const int rows = g[0], k = g[1], n = g[2];
    int i, m;

    for (i = 0; i < rows; i += m) {
        int at;

        m = rows - i < g[4] ? 1 : g[4];
        at = g[5] ? rows - i - m : i;
        mcu_qwiden_T(m * k, x + at * k, g[3], s);
        mcu_qcols8_I(m, k, n, s, k, w, bias, mult, g + 6, y + at * n, n,
                     g[11], factor);
    }
}
