/* attention.c - one row of attention at a time: scores of one query against
 * all keys, softmax, the mix of the values. Sums run in eight lanes, so that
 * compilers find SIMD code without being allowed to reorder them.
 */
#include "kernel.h"

/* q . k over d elements */
KERNEL inline T mcu_dot_T(const T *q, const T *k, size_t d)
{
    const size_t wide = d - d % 32, whole = d - d % 8;
    T a[8];
    size_t i, l;

    for (l = 0; l < 8; l++)
        a[l] = 0;
    for (i = 0; i < wide; i += 32)
        for (l = 0; l < 8; l++)
            a[l] += (q[i + l] * k[i + l] + q[i + l + 8] * k[i + l + 8]) +
                    (q[i + l + 16] * k[i + l + 16] +
                     q[i + l + 24] * k[i + l + 24]);
    for (i = wide; i < whole; i += 8)
        for (l = 0; l < 8; l++)
            a[l] += q[i + l] * k[i + l];
    for (i = whole; i < d; i++)
        a[0] += q[i] * k[i];
    return ((a[0] + a[4]) + (a[1] + a[5])) + ((a[2] + a[6]) + (a[3] + a[7]));
}

/* row[j] = scale * (q . key j); keys lie `stride` elements apart */
KERNEL void mcu_attn_scores_T(T *row, const T *q, const T *k, size_t keys,
                              size_t d, size_t stride, T scale)
{
    size_t j;

    for (j = 0; j < keys; j++, k += stride)
        row[j] = scale * mcu_dot_T(q, k, d);
}

/* softmax of a row in place; a row of -infinity gives zeros, NaN stays */
KERNEL void mcu_attn_softmax_T(T *x, size_t n)
{
    const T top = mcu_vec_top_T(x, n);
    size_t i;
    T f;

    if (top <= T_LOWEST) {
        for (i = 0; i < n; i++)
            x[i] = x[i] <= T_LOWEST ? 0 : x[i];
        return;
    }
    f = (T)1 / mcu_vec_expsum_T(x, x, n, top);
    for (i = 0; i < n; i++)
        x[i] *= f;
}

/* The same as Softmax has it: a row of -infinity gives NaN. */
KERNEL void mcu_attn_softmax_nan_T(T *x, size_t n)
{
    const T top = mcu_vec_top_T(x, n);
    size_t i;
    T f;

    if (top <= T_LOWEST) {
        for (i = 0; i < n; i++)
            x[i] = top - top;
        return;
    }
    f = (T)1 / mcu_vec_expsum_T(x, x, n, top);
    for (i = 0; i < n; i++)
        x[i] *= f;
}

/* y += sum over keys of p[j] * value j */
KERNEL void mcu_attn_mix_T(T *restrict y, const T *restrict p,
                           const T *restrict v, size_t keys, size_t d,
                           size_t stride)
{
    const size_t whole = keys - keys % 8;
    size_t i, j;

    for (j = 0; j < whole; j += 8, v += 8 * stride) {
        const T p0 = p[j], p1 = p[j + 1], p2 = p[j + 2], p3 = p[j + 3];
        const T p4 = p[j + 4], p5 = p[j + 5], p6 = p[j + 6], p7 = p[j + 7];
        const T *v1 = v + stride, *v2 = v1 + stride, *v3 = v2 + stride;
        const T *v4 = v3 + stride, *v5 = v4 + stride, *v6 = v5 + stride;
        const T *v7 = v6 + stride;

        for (i = 0; i < d; i++)
            y[i] += ((p0 * v[i] + p1 * v1[i]) + (p2 * v2[i] + p3 * v3[i])) +
                    ((p4 * v4[i] + p5 * v5[i]) + (p6 * v6[i] + p7 * v7[i]));
    }
    for (j = whole; j < keys; j++, v += stride) {
        const T a = p[j];

        for (i = 0; i < d; i++)
            y[i] += a * v[i];
    }
}

/* 32 queries at a time */

/* softmax of every column of s[n][32], without the division: *sum gets what
 * is left to divide by */
KERNEL void mcu_attn_columns_T(T *restrict s, int n, T *restrict sum)
{
    T top[32];
    int i, j;

    for (j = 0; j < 32; j++) {
        top[j] = T_LOWEST;
        sum[j] = 0;
    }
    for (i = 0; i < n; i++)
        for (j = 0; j < 32; j++)
            top[j] = s[i * 32 + j] > top[j] ? s[i * 32 + j] : top[j];
    for (j = 0; j < 32; j++)
        top[j] = top[j] <= T_LOWEST ? 0 : top[j];
    for (i = 0; i < n; i++)
        for (j = 0; j < 32; j++) {
            const T e = mcu_exp_T(s[i * 32 + j] - top[j]);
            s[i * 32 + j] = e;
            sum[j] += e;
        }
}

/* y = softmax(scale q k^T) v for up to 32 queries of one head, all keys.
 * Lanes are queries: s holds q^T [dk][32], then the scores [keys][32].
 * Stack: 1408 bytes */
KERNEL void mcu_attn_block_T(int queries, int keys, int dk, int dv,
                             const T *q, int q_row, const T *k, int k_row,
                             const T *v, int v_row, T scale, T *s, T *y,
                             int y_row)
{
    T *p = s + dk * 32, sum[32];
    int i, j;

    for (i = 0; i < dk; i++)
        for (j = 0; j < 32; j++)
            s[i * 32 + j] = j < queries ? scale * q[j * q_row + i] : 0;
    mcu_zero_T(keys * 32, p);
    mcu_mac_T(keys, 32, dk, k, k_row, 1, s, 32, p, 32);
    mcu_attn_columns_T(p, keys, sum);
    for (j = 0; j < dv; j += 32) {
        const int w = dv - j < 32 ? dv - j : 32;
        mcu_start_T(queries, w, NULL, 0, 0, y + j, y_row);
        mcu_mac_T(queries, w, keys, p, 1, 32, v + j, v_row, y + j, y_row);
    }
    for (i = 0; i < queries; i++)
        for (j = 0; j < dv; j++)
            y[i * y_row + j] *= sum[i] <= 0 ? 0 : (T)1 / sum[i];
}

/* y is x with its first 2 * half elements turned in pairs `apart`: i and
 * i + half (apart = half, step 1), or 2i and 2i + 1 (apart = 1, step 2) */
KERNEL void mcu_rotate_T(T *y, const T *x, const T *cosine, const T *sine,
                         size_t half, size_t n, size_t apart, size_t step)
{
    size_t i;

    for (i = 0; i < half; i++) {
        const T a = x[i * step], b = x[i * step + apart];

        y[i * step] = cosine[i] * a - sine[i] * b;
        y[i * step + apart] = sine[i] * a + cosine[i] * b;
    }
    for (i = 2 * half; i < n; i++)
        y[i] = x[i];
}
