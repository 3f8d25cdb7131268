/* attention.c - one row of attention at a time: scores of one query against
 * all keys, softmax, the mix of the values. Keys are taken four at a time
 * and each dot product runs in four lanes, so that compilers find SIMD code
 * without being allowed to reorder sums.
 */
#include "kernel.h"

/* q . k over d elements */
KERNEL inline T mcu_dot_T(const T *q, const T *k, size_t d)
{
    T a[4] = { 0, 0, 0, 0 };
    size_t i;

    for (i = 0; i + 4 <= d; i += 4) {
        a[0] += q[i] * k[i];
        a[1] += q[i + 1] * k[i + 1];
        a[2] += q[i + 2] * k[i + 2];
        a[3] += q[i + 3] * k[i + 3];
    }
    for (i = d - d % 4; i < d; i++)
        a[0] += q[i] * k[i];
    return (a[0] + a[2]) + (a[1] + a[3]);
}

/* row[j] = scale * (q . key j); keys lie `stride` elements apart */
KERNEL void mcu_attn_scores_T(T *row, const T *q, const T *k, size_t keys,
                              size_t d, size_t stride, T scale)
{
    size_t i, j, l;

    for (j = 0; j + 4 <= keys; j += 4, k += 4 * stride) {
        const T *p[4];
        T a[4][4];

        for (l = 0; l < 4; l++) {
            p[l] = k + l * stride;
            a[l][0] = a[l][1] = a[l][2] = a[l][3] = 0;
        }
        for (i = 0; i + 4 <= d; i += 4)
            for (l = 0; l < 4; l++) {
                a[0][l] += q[i + l] * p[0][i + l];
                a[1][l] += q[i + l] * p[1][i + l];
                a[2][l] += q[i + l] * p[2][i + l];
                a[3][l] += q[i + l] * p[3][i + l];
            }
        for (i = d - d % 4; i < d; i++)
            for (l = 0; l < 4; l++)
                a[l][0] += q[i] * p[l][i];
        for (l = 0; l < 4; l++)
            row[j + l] = scale * ((a[l][0] + a[l][2]) +
                                  (a[l][1] + a[l][3]));
    }
    for (j = keys - keys % 4; j < keys; j++, k += stride)
        row[j] = scale * mcu_dot_T(q, k, d);
}

/* greatest of n values; NaN is passed over */
KERNEL T mcu_attn_max_T(const T *x, size_t n)
{
    T m[4] = { T_LOWEST, T_LOWEST, T_LOWEST, T_LOWEST };
    size_t i, l;

    for (i = 0; i + 4 <= n; i += 4)
        for (l = 0; l < 4; l++)
            m[l] = x[i + l] > m[l] ? x[i + l] : m[l];
    for (i = n - n % 4; i < n; i++)
        m[0] = x[i] > m[0] ? x[i] : m[0];
    m[0] = m[1] > m[0] ? m[1] : m[0];
    m[2] = m[3] > m[2] ? m[3] : m[2];
    return m[2] > m[0] ? m[2] : m[0];
}

/* softmax of a row in place; a row of -infinity gives zeros */
KERNEL void mcu_attn_softmax_T(T *x, size_t n)
{
    const T max = mcu_attn_max_T(x, n);
    T a[4] = { 0, 0, 0, 0 }, f;
    size_t i, l;

    if (max <= T_LOWEST) {
        for (i = 0; i < n; i++)
            x[i] = 0;
        return;
    }
    for (i = 0; i < n; i++)
        x[i] = mcu_exp_T(x[i] - max);
    for (i = 0; i + 4 <= n; i += 4)
        for (l = 0; l < 4; l++)
            a[l] += x[i + l];
    for (i = n - n % 4; i < n; i++)
        a[0] += x[i];
    f = (T)1 / ((a[0] + a[2]) + (a[1] + a[3]));
    for (i = 0; i < n; i++)
        x[i] *= f;
}

/* y += sum over keys of p[j] * value j */
KERNEL void mcu_attn_mix_T(T *y, const T *p, const T *v, size_t keys,
                           size_t d, size_t stride)
{
    size_t i, j;

    for (j = 0; j + 4 <= keys; j += 4, v += 4 * stride) {
        const T a = p[j], b = p[j + 1], c = p[j + 2], e = p[j + 3];
        const T *q = v, *r = q + stride, *t = r + stride, *u = t + stride;

        for (i = 0; i < d; i++)
            y[i] += (a * q[i] + b * r[i]) + (c * t[i] + e * u[i]);
    }
    for (j = keys - keys % 4; j < keys; j++, v += stride) {
        const T a = p[j];

        for (i = 0; i < d; i++)
            y[i] += a * v[i];
    }
}

/* ---- rotary embedding ----------------------------------------------------------- */

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
