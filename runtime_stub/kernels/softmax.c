/* softmax.c - Softmax and LogSoftmax along one axis.
 *
 * y may be x, so nothing is `restrict`: tiles are staged in locals, which
 * lets compilers vectorize without asking whether x and y overlap.
 */
#include "kernel.h"

/* exp(x) for x <= 0, as mcu_exp_f32 but in one factor: what would be below
 * the normal range is 0. NaN stays NaN. */
KERNEL inline float mcu_expneg_f32(float x)
{
    const float t = x * 1.44269504f + 12582912.0f;      /* n in low bits */
    const float n = t - 12582912.0f;
    const float r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
    const float q = 0.49999994f + r * (0.166665196f + r * (0.0416684039f +
                    r * (0.00836889911f + r * 0.00138142216f)));
    const float p = 1.0f + (r + r * r * q);
    const float f = mcu_float((mcu_bits(t) + 127u) << 23);      /* 2^n */
    const uint32_t keep = (uint32_t)(x < -87.0f) - 1u;

    return mcu_float(mcu_bits(p * f) & keep);
}

KERNEL inline double mcu_expneg_f64(double x)
{
    return exp(x);
}

/* y = exp(x - top); returns the sum. */
KERNEL T mcu_vec_expsum_T(T *y, const T *x, size_t n, T top)
{
    size_t i;

    if (y != x)
        memcpy(y, x, n * sizeof *y);
    for (i = 0; i < n; i++)
        y[i] = mcu_expneg_T(y[i] - top);
    return mcu_vec_sum_T(y, n);
}

/* Sum of exp(x - top). Stack: 608 bytes. */
KERNEL T mcu_vec_sumexp_T(const T *x, size_t n, T top)
{
    T e[64], sum = 0;
    size_t i, j, w;

    for (i = 0; i < n; i += w) {
        w = n - i < 64 ? n - i : 64;
        for (j = 0; j < w; j++)
            e[j] = mcu_expneg_T(x[i + j] - top);
        sum += mcu_vec_sum_T(e, w);
    }
    return sum;
}

/* Rows of n contiguous elements. */
KERNEL void mcu_softmax_rows_T(T *y, const T *x, size_t rows, size_t n)
{
    size_t r, i;

    for (r = 0; r < rows; r++, x += n, y += n) {
        T scale = (T)1 / mcu_vec_expsum_T(y, x, n, mcu_vec_top_T(x, n));
        for (i = 0; i < n; i++)
            y[i] *= scale;
    }
}

KERNEL void mcu_logsoftmax_rows_T(T *y, const T *x, size_t rows, size_t n)
{
    size_t r;

    for (r = 0; r < rows; r++, x += n, y += n) {
        T top = mcu_vec_top_T(x, n);
        T log_sum = mcu_log_T(mcu_vec_sumexp_T(x, n, top));
        mcu_vec_affine_T(y, x, n, top, (T)1, -log_sum);
    }
}

/* x[outer][n][inner] along n, 32 columns at a time; `log_of` chooses
 * LogSoftmax. Stack: 1088 bytes. */
KERNEL void mcu_softmax_cols_T(T *y, const T *x, size_t outer, size_t n,
                               size_t inner, int log_of)
{
    T top[32], sum[32], e[32];
    size_t o, i, j, k, w;

    for (o = 0; o < outer; o++, x += n * inner, y += n * inner)
        for (k = 0; k < inner; k += w) {
            w = inner - k < 32 ? inner - k : 32;
            for (j = 0; j < w; j++) {
                top[j] = T_LOWEST;
                sum[j] = 0;
            }
            for (i = 0; i < n; i++)
                for (j = 0; j < w; j++) {
                    T v = x[i * inner + k + j];
                    top[j] = v > top[j] ? v : top[j];
                }
            for (i = 0; i < n; i++) {
                for (j = 0; j < w; j++)
                    e[j] = mcu_expneg_T(x[i * inner + k + j] - top[j]);
                for (j = 0; j < w; j++)
                    sum[j] += e[j];
                if (!log_of)
                    memcpy(y + i * inner + k, e, w * sizeof *e);
            }
            for (j = 0; j < w; j++)
                sum[j] = log_of ? mcu_log_T(sum[j]) : (T)1 / sum[j];
            for (i = 0; i < n; i++)
                for (j = 0; j < w; j++) {
                    size_t at = i * inner + k + j;
                    y[at] = log_of ? x[at] - top[j] - sum[j]
                                   : y[at] * sum[j];
                }
        }
}
