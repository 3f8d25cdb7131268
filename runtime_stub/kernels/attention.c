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

<<<<<<< HEAD
    for (i = 0; i + 4 <= d; i += 4) {
        a[0] += q[i] * k[i];
        a[1] += q[i + 1] * k[i + 1];
        a[2] += q[i + 2] * k[i + 2];
        a[3] += q[i + 3] * k[i + 3];
    }
    for (i = d - d % 4; i < d; i++)
=======
    for (l = 0; l < 8; l++)
        a[l] = 0;
    for (i = 0; i < wide; i += 32)
        for (l = 0; l < 8; l++)
            a[l] += (q[i + l] * k[i + l] + q[i + l + 8] * k[i + l + 8]) +
                    (q[i + l + 16] * k[i + l + 16] +
                     q[i + l + 24] * k[i + l + 24]);
    for (; i < whole; i += 8)
        for (l = 0; l < 8; l++)
            a[l] += q[i + l] * k[i + l];
    for (; i < d; i++)
>>>>>>> b9fa7af (kernels: attention sums in eight lanes)
        a[0] += q[i] * k[i];
    return ((a[0] + a[4]) + (a[1] + a[5])) + ((a[2] + a[6]) + (a[3] + a[7]));
}

/* row[j] = scale * (q . key j); keys lie `stride` elements apart */
KERNEL void mcu_attn_scores_T(T *row, const T *q, const T *k, size_t keys,
                              size_t d, size_t stride, T scale)
{
    size_t j;

<<<<<<< HEAD
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

=======
    for (j = 0; j < keys; j++, k += stride)
        row[j] = scale * mcu_dot_T(q, k, d);
}

>>>>>>> b9fa7af (kernels: attention sums in eight lanes)
/* softmax of a row in place; a row of -infinity gives zeros */
KERNEL void mcu_attn_softmax_T(T *x, size_t n)
{
    const T top = mcu_vec_top_T(x, n);
    size_t i;
    T f;

    if (top <= T_LOWEST) {
        for (i = 0; i < n; i++)
            x[i] = 0;
        return;
    }
<<<<<<< HEAD
    for (i = 0; i < n; i++)
        x[i] = mcu_exp_T(x[i] - max);
    for (i = 0; i + 4 <= n; i += 4)
        for (l = 0; l < 4; l++)
            a[l] += x[i + l];
    for (i = n - n % 4; i < n; i++)
        a[0] += x[i];
    f = (T)1 / ((a[0] + a[2]) + (a[1] + a[3]));
=======
    f = (T)1 / mcu_vec_expsum_T(x, x, n, top);
>>>>>>> b9fa7af (kernels: attention sums in eight lanes)
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
