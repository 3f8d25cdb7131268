/* matmul.c - matrix products. All are built from one step, 4 rows of a
 * times up to 32 columns of b added to 4 rows of c, four terms of the sum at
 * a time: the form that gcc and clang turn into vector code from plain C
 * (c stays in the cache or in registers, each column of b is loaded once for
 * 16 multiplications) and that fits the 32 float registers of a Cortex-M.
 * Strides count elements.
 */
#include "kernel.h"

/* Copies n elements in blocks of 16 or 4, of which the last overlap. (Of a
 * loop, or a memcpy with a bound, gcc makes `rep movs`, many times slower
 * for so few.) */
KERNEL inline void mcu_copy_T(int n, const T *restrict x, T *restrict y)
{
    if (n > 112) {
        memcpy(y, x, (size_t)n * sizeof *y);
        return;
    }
    if (n >= 16) {
        if (n > 16)
            memcpy(y, x, 16 * sizeof *y);
        if (n > 32)
            memcpy(y + 16, x + 16, 16 * sizeof *y);
        if (n > 48)
            memcpy(y + 32, x + 32, 16 * sizeof *y);
        if (n > 64)
            memcpy(y + 48, x + 48, 16 * sizeof *y);
        if (n > 80)
            memcpy(y + 64, x + 64, 16 * sizeof *y);
        if (n > 96)
            memcpy(y + 80, x + 80, 16 * sizeof *y);
        memcpy(y + n - 16, x + n - 16, 16 * sizeof *y);
    } else if (n >= 4) {
        if (n > 4)
            memcpy(y, x, 4 * sizeof *y);
        if (n > 8)
            memcpy(y + 4, x + 4, 4 * sizeof *y);
        if (n > 12)
            memcpy(y + 8, x + 8, 4 * sizeof *y);
        memcpy(y + n - 4, x + n - 4, 4 * sizeof *y);
    } else if (n > 0) {
        y[0] = x[0];
        if (n > 1)
            y[1] = x[1];
        if (n > 2)
            y[2] = x[2];
    }
}

/* n zeros, in the same way */
KERNEL inline void mcu_zero_T(int n, T *y)
{
    if (n > 112) {
        memset(y, 0, (size_t)n * sizeof *y);
        return;
    }
    if (n >= 16) {
        if (n > 16)
            memset(y, 0, 16 * sizeof *y);
        if (n > 32)
            memset(y + 16, 0, 16 * sizeof *y);
        if (n > 48)
            memset(y + 32, 0, 16 * sizeof *y);
        if (n > 64)
            memset(y + 48, 0, 16 * sizeof *y);
        if (n > 80)
            memset(y + 64, 0, 16 * sizeof *y);
        if (n > 96)
            memset(y + 80, 0, 16 * sizeof *y);
        memset(y + n - 16, 0, 16 * sizeof *y);
    } else if (n >= 4) {
        if (n > 4)
            memset(y, 0, 4 * sizeof *y);
        if (n > 8)
            memset(y + 4, 0, 4 * sizeof *y);
        if (n > 12)
            memset(y + 8, 0, 4 * sizeof *y);
        memset(y + n - 4, 0, 4 * sizeof *y);
    } else if (n > 0) {
        y[0] = 0;
        if (n > 1)
            y[1] = 0;
        if (n > 2)
            y[2] = 0;
    }
}

/* c[i][j] += sum over k of a[i][k] b[k][j], i < 4, j < 32 */
KERNEL void mcu_mac4_T(int depth, const T *restrict a, int a_row, int a_col,
                       const T *restrict b, int b_row, T *restrict c0,
                       T *restrict c1, T *restrict c2, T *restrict c3)
{
    const T *a1 = a + a_row, *a2 = a1 + a_row, *a3 = a2 + a_row;
    const int left = depth & 3;     /* gcc sees its range */
    int i = 0, j, k;

    for (k = 0; k < depth - 3; k += 4, i += 4 * a_col) {
        const T *b0 = b + k * b_row, *b1 = b0 + b_row;
        const T *b2 = b1 + b_row, *b3 = b2 + b_row;
        const int i1 = i + a_col, i2 = i1 + a_col, i3 = i2 + a_col;
        const T p0 = a[i], p1 = a[i1], p2 = a[i2], p3 = a[i3];
        const T q0 = a1[i], q1 = a1[i1], q2 = a1[i2], q3 = a1[i3];
        const T r0 = a2[i], r1 = a2[i1], r2 = a2[i2], r3 = a2[i3];
        const T s0 = a3[i], s1 = a3[i1], s2 = a3[i2], s3 = a3[i3];
        for (j = 0; j < 32; j++) {
            c0[j] = c0[j] + p0 * b0[j] + p1 * b1[j] + p2 * b2[j] + p3 * b3[j];
            c1[j] = c1[j] + q0 * b0[j] + q1 * b1[j] + q2 * b2[j] + q3 * b3[j];
            c2[j] = c2[j] + r0 * b0[j] + r1 * b1[j] + r2 * b2[j] + r3 * b3[j];
            c3[j] = c3[j] + s0 * b0[j] + s1 * b1[j] + s2 * b2[j] + s3 * b3[j];
        }
    }
    b += (depth - left) * b_row;
    for (k = 0; k < left; k++, i += a_col) {
        const T *b0 = b + k * b_row;
        const T p = a[i], q = a1[i], r = a2[i], s = a3[i];
        for (j = 0; j < 32; j++) {
            c0[j] += p * b0[j];
            c1[j] += q * b0[j];
            c2[j] += r * b0[j];
            c3[j] += s * b0[j];
        }
    }
}

/* the same for 16 columns */
KERNEL void mcu_mac4x16_T(int depth, const T *restrict a, int a_row,
                          int a_col, const T *restrict b, int b_row,
                          T *restrict c0, T *restrict c1, T *restrict c2,
                          T *restrict c3)
{
    const T *a1 = a + a_row, *a2 = a1 + a_row, *a3 = a2 + a_row;
    const int left = depth & 3;     /* gcc sees its range */
    int i = 0, j, k;

    for (k = 0; k < depth - 3; k += 4, i += 4 * a_col) {
        const T *b0 = b + k * b_row, *b1 = b0 + b_row;
        const T *b2 = b1 + b_row, *b3 = b2 + b_row;
        const int i1 = i + a_col, i2 = i1 + a_col, i3 = i2 + a_col;
        const T p0 = a[i], p1 = a[i1], p2 = a[i2], p3 = a[i3];
        const T q0 = a1[i], q1 = a1[i1], q2 = a1[i2], q3 = a1[i3];
        const T r0 = a2[i], r1 = a2[i1], r2 = a2[i2], r3 = a2[i3];
        const T s0 = a3[i], s1 = a3[i1], s2 = a3[i2], s3 = a3[i3];
        for (j = 0; j < 16; j++) {
            c0[j] = c0[j] + p0 * b0[j] + p1 * b1[j] + p2 * b2[j] + p3 * b3[j];
            c1[j] = c1[j] + q0 * b0[j] + q1 * b1[j] + q2 * b2[j] + q3 * b3[j];
            c2[j] = c2[j] + r0 * b0[j] + r1 * b1[j] + r2 * b2[j] + r3 * b3[j];
            c3[j] = c3[j] + s0 * b0[j] + s1 * b1[j] + s2 * b2[j] + s3 * b3[j];
        }
    }
    b += (depth - left) * b_row;
    for (k = 0; k < left; k++, i += a_col) {
        const T *b0 = b + k * b_row;
        const T p = a[i], q = a1[i], r = a2[i], s = a3[i];
        for (j = 0; j < 16; j++) {
            c0[j] += p * b0[j];
            c1[j] += q * b0[j];
            c2[j] += r * b0[j];
            c3[j] += s * b0[j];
        }
    }
}

/* the same for n columns */
KERNEL void mcu_mac4n_T(int n, int depth, const T *restrict a, int a_row,
                        int a_col, const T *restrict b, int b_row,
                        T *restrict c0, T *restrict c1, T *restrict c2,
                        T *restrict c3)
{
    const T *a1 = a + a_row, *a2 = a1 + a_row, *a3 = a2 + a_row;
    const int left = depth & 3;     /* gcc sees its range */
    int i = 0, j, k;

    for (k = 0; k < depth - 3; k += 4, i += 4 * a_col) {
        const T *b0 = b + k * b_row, *b1 = b0 + b_row;
        const T *b2 = b1 + b_row, *b3 = b2 + b_row;
        const int i1 = i + a_col, i2 = i1 + a_col, i3 = i2 + a_col;
        const T p0 = a[i], p1 = a[i1], p2 = a[i2], p3 = a[i3];
        const T q0 = a1[i], q1 = a1[i1], q2 = a1[i2], q3 = a1[i3];
        const T r0 = a2[i], r1 = a2[i1], r2 = a2[i2], r3 = a2[i3];
        const T s0 = a3[i], s1 = a3[i1], s2 = a3[i2], s3 = a3[i3];
        for (j = 0; j < n; j++) {
            c0[j] = c0[j] + p0 * b0[j] + p1 * b1[j] + p2 * b2[j] + p3 * b3[j];
            c1[j] = c1[j] + q0 * b0[j] + q1 * b1[j] + q2 * b2[j] + q3 * b3[j];
            c2[j] = c2[j] + r0 * b0[j] + r1 * b1[j] + r2 * b2[j] + r3 * b3[j];
            c3[j] = c3[j] + s0 * b0[j] + s1 * b1[j] + s2 * b2[j] + s3 * b3[j];
        }
    }
    b += (depth - left) * b_row;
    for (k = 0; k < left; k++, i += a_col) {
        const T *b0 = b + k * b_row;
        const T p = a[i], q = a1[i], r = a2[i], s = a3[i];
        for (j = 0; j < n; j++) {
            c0[j] += p * b0[j];
            c1[j] += q * b0[j];
            c2[j] += r * b0[j];
            c3[j] += s * b0[j];
        }
    }
}

/* c[j] += sum over k of a[k] b[k][j], j < n */
KERNEL void mcu_mac1_T(int n, int depth, const T *restrict a, int a_col,
                       const T *restrict b, int b_row, T *restrict c)
{
    const int left = depth & 3;     /* gcc sees its range */
    int i = 0, j, k;

    for (k = 0; k < depth - 3; k += 4, i += 4 * a_col) {
        const T *b0 = b + k * b_row, *b1 = b0 + b_row;
        const T *b2 = b1 + b_row, *b3 = b2 + b_row;
        const T p0 = a[i], p1 = a[i + a_col], p2 = a[i + 2 * a_col],
                p3 = a[i + 3 * a_col];
        for (j = 0; j < n; j++)
            c[j] = c[j] + p0 * b0[j] + p1 * b1[j] + p2 * b2[j] + p3 * b3[j];
    }
    b += (depth - left) * b_row;
    for (k = 0; k < left; k++, i += a_col) {
        const T *b0 = b + k * b_row;
        const T p = a[i];
        for (j = 0; j < n; j++)
            c[j] += p * b0[j];
    }
}

/* c[i][j] += sum over k of a[i][k] b[k][j], i < m, j < n <= 32.
 * Stack: 1152 bytes, most of it registers that compilers spill */
KERNEL void mcu_mac_T(int m, int n, int depth, const T *a, int a_row,
                      int a_col, const T *b, int b_row, T *c, int c_row)
{
    const int left = m & 3;
    int i;

    for (i = 0; i < m - 3; i += 4) {
        const T *p = a + i * a_row;
        T *c0 = c + i * c_row, *c1 = c0 + c_row, *c2 = c1 + c_row;
        if (n == 32)
            mcu_mac4_T(depth, p, a_row, a_col, b, b_row, c0, c1, c2,
                       c2 + c_row);
        else if (n == 16)
            mcu_mac4x16_T(depth, p, a_row, a_col, b, b_row, c0, c1, c2,
                          c2 + c_row);
        else
            mcu_mac4n_T(n, depth, p, a_row, a_col, b, b_row, c0, c1, c2,
                        c2 + c_row);
    }
    a += (m - left) * a_row;
    c += (m - left) * c_row;
    for (i = 0; i < left; i++)
        mcu_mac1_T(n, depth, a + i * a_row, a_col, b, b_row, c + i * c_row);
}

/* c[i][j] = bias at i * bias_row + j * bias_col, or 0 without bias */
KERNEL void mcu_start_T(int m, int n, const T *bias, int bias_row,
                        int bias_col, T *c, int c_row)
{
    int i, j;

    for (i = 0; i < m; i++) {
        const T *from = bias ? bias + i * bias_row : NULL;
        T *to = c + i * c_row;
        if (!from)
            mcu_zero_T(n, to);
        else if (bias_col == 1)
            mcu_copy_T(n, from, to);
        else
            for (j = 0; j < n; j++)
                to[j] = from[0];
    }
}

/* Of the `left` last of n columns, so many are computed next: 32 or 16, if
 * need be together with some once more that were before (*back). */
KERNEL inline int mcu_columns(int left, int n, int *back)
{
    const int w = left > 16 ? 32 : 16;

    *back = 0;
    if (left >= 32)
        return 32;
    if (w > n)
        return left > 16 ? 16 : left;
    *back = w - left;
    return w;
}

/* c = a b + bias. b_row 0: b is in panels of 32 columns, [panel][k][32],
 * the last one as narrow as its columns; else rows of b are contiguous. */
KERNEL void mcu_matmul_T(int m, int n, int depth, const T *a, int a_row,
                         int a_col, const T *b, int b_row, const T *bias,
                         int bias_row, int bias_col, T *c, int c_row)
{
    int j, w, back = 0;

    for (j = 0; j < n; j += w) {
        w = n - j < 32 ? n - j : 32;
        if (b_row)
            w = mcu_columns(n - j, n, &back);
        j -= back;
        mcu_start_T(m, w, bias ? bias + j * bias_col : NULL, bias_row,
                    bias_col, c + j, c_row);
        mcu_mac_T(m, w, depth, a, a_row, a_col,
                  b + (b_row ? j : j * depth), b_row ? b_row : w, c + j,
                  c_row);
    }
}

/* c = a b^T + bias: b is [n][depth], a row every b_row. Tiles of b are
 * turned around on the stack. Stack: 1408 bytes */
KERNEL void mcu_matmul_bt_T(int m, int n, int depth, const T *a, int a_row,
                            int a_col, const T *b, int b_row, const T *bias,
                            int bias_row, int bias_col, T *c, int c_row)
{
    enum { TERMS = (int)(512 / (32 * sizeof(T))) };
    T tile[TERMS * 32];
    int i, j, k, t, w, terms, back;

    for (j = 0; j < n; j += w) {
        w = mcu_columns(n - j, n, &back);
        j -= back;
        mcu_start_T(m, w, bias ? bias + j * bias_col : NULL, bias_row,
                    bias_col, c + j, c_row);
        for (k = 0; k < depth; k += TERMS) {
            terms = depth - k < TERMS ? depth - k : TERMS;
            for (i = 0; i < w; i++)
                for (t = 0; t < terms; t++)
                    tile[t * 32 + i] = b[(j + i) * b_row + k + t];
            mcu_mac_T(m, w, terms, a + k * a_col, a_row, a_col, tile, 32,
                      c + j, c_row);
        }
    }
}

/* c = a b modulo 2^bits, for integers */
KERNEL void mcu_matmul_int_T(int m, int n, int depth, const T *a, int a_row,
                             int a_col, const T *b, int b_row, int b_col,
                             T *c)
{
    int i, j, k;

    for (i = 0; i < m; i++) {
        T *to = c + i * n;
        for (j = 0; j < n; j++)
            to[j] = 0;
        for (k = 0; k < depth; k++) {
            const U x = (U)a[i * a_row + k * a_col];
            for (j = 0; j < n; j++)
                to[j] = (T)((U)to[j] + x * (U)b[k * b_row + j * b_col]);
        }
    }
}

KERNEL T mcu_magnitude_T(T x)
{
    return x < 0 ? -x : x;
}

/* determinant of the n x n matrix x, eliminated in s with row pivots */
KERNEL T mcu_det_T(int n, const T *x, T *s)
{
    T d = 1;
    int c, r, k, p;

    memcpy(s, x, (size_t)n * (size_t)n * sizeof *s);
    for (c = 0; c < n; c++) {
        for (p = c, r = c + 1; r < n; r++)
            if (mcu_magnitude_T(s[r * n + c]) > mcu_magnitude_T(s[p * n + c]))
                p = r;
        if (mcu_magnitude_T(s[p * n + c]) <= 0)
            return 0;
        for (k = c; p != c && k < n; k++) {
            const T t = s[p * n + k];
            s[p * n + k] = s[c * n + k];
            s[c * n + k] = t;
        }
        d *= p != c ? -s[c * n + c] : s[c * n + c];
        for (r = c + 1; r < n; r++) {
            const T f = s[r * n + c] / s[c * n + c];
            for (k = c; k < n; k++)
                s[r * n + k] -= f * s[c * n + k];
        }
    }
    return d;
}
