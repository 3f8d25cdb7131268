/* norm.c - LayerNormalization, RMSNormalization, BatchNormalization,
 * InstanceNormalization, GroupNormalization, LRN, LpNormalization.
 *
 * y may be x (not for LRN): tiles of sixteen are staged in locals. Means and
 * variances take two passes over the row.
 */
#include "kernel.h"

/* y = (x - mean) * scale + shift for one vector. Stack: 128 bytes. */
KERNEL void mcu_vec_affine_T(T *y, const T *x, size_t n, T mean, T scale,
                             T shift)
{
    T e[16];
    size_t i, j;

    for (i = 0; i < n / 16 * 16; i += 16) {
        for (j = 0; j < 16; j++)
            e[j] = (x[i + j] - mean) * scale + shift;
        memcpy(y + i, e, sizeof e);
    }
    for (i = n - n % 16; i < n; i++)
        y[i] = (x[i] - mean) * scale + shift;
}

/* Sum of squared deviations from the mean. */
KERNEL T mcu_vec_sqdev_T(const T *x, size_t n, T mean)
{
    T p[16] = { 0 };
    size_t i, j;

    for (i = 0; i < n / 16 * 16; i += 16)
        for (j = 0; j < 16; j++)
            p[j] += (x[i + j] - mean) * (x[i + j] - mean);
    for (i = n - n % 16; i < n; i++)
        p[0] += (x[i] - mean) * (x[i] - mean);
    for (j = 8; j > 0; j /= 2)
        for (i = 0; i < j; i++)
            p[i] += p[i + j];
    return p[0];
}

/* Rows of n elements, divided by their deviation from 0 (RMS) or, with
 * `centre`, from their mean; scale[n] and bias[n] may be NULL, as may the
 * results mean[rows] and inv[rows] (1 / deviation). Stack: 128 bytes. */
KERNEL void mcu_layernorm_T(T *y, const T *x, const T *scale, const T *bias,
                            float *mean, float *inv, size_t rows, size_t n,
                            T epsilon, int centre)
{
    T e[16];
    size_t r, i, j;

    for (r = 0; r < rows; r++, x += n, y += n) {
        T m = centre ? mcu_vec_sum_T(x, n) / (T)n : (T)0;
        T d = (T)1 / mcu_sqrt_T(mcu_vec_sqdev_T(x, n, m) / (T)n + epsilon);
        for (i = 0; i < n / 16 * 16; i += 16) {
            for (j = 0; j < 16; j++)
                e[j] = (x[i + j] - m) * d;
            if (scale)
                for (j = 0; j < 16; j++)
                    e[j] *= scale[i + j];
            if (bias)
                for (j = 0; j < 16; j++)
                    e[j] += bias[i + j];
            memcpy(y + i, e, sizeof e);
        }
        for (i = n - n % 16; i < n; i++) {
            T v = (x[i] - m) * d;
            v = scale ? v * scale[i] : v;
            y[i] = bias ? v + bias[i] : v;
        }
        if (mean)
            mean[r] = (float)m;
        if (inv)
            inv[r] = (float)d;
    }
}

/* x[batch][groups * per][inner]: each group of `per` channels to mean 0 and
 * variance 1, then scale and bias of each channel. */
KERNEL void mcu_groupnorm_T(T *y, const T *x, const T *scale, const T *bias,
                            size_t batch, size_t groups, size_t per,
                            size_t inner, T epsilon)
{
    size_t b, c, n = per * inner;

    for (b = 0; b < batch * groups; b++, x += n, y += n) {
        size_t first = b % groups * per;
        T m = mcu_vec_sum_T(x, n) / (T)n;
        T d = (T)1 / mcu_sqrt_T(mcu_vec_sqdev_T(x, n, m) / (T)n + epsilon);
        for (c = 0; c < per; c++)
            mcu_vec_affine_T(y + c * inner, x + c * inner, inner, m,
                             d * scale[first + c], bias[first + c]);
    }
}

/* x[batch][channels][inner] with given mean and variance per channel. */
KERNEL void mcu_batchnorm_T(T *y, const T *x, const T *scale, const T *bias,
                            const T *mean, const T *var, size_t batch,
                            size_t channels, size_t inner, T epsilon)
{
    size_t b, c;

    for (b = 0; b < batch; b++)
        for (c = 0; c < channels; c++, x += inner, y += inner)
            mcu_vec_affine_T(y, x, inner, mean[c],
                             scale[c] / mcu_sqrt_T(var[c] + epsilon),
                             bias[c]);
}

/* x[outer][n][inner] / its p-norm along n (p 1 or 2); 0 where that is 0. */
KERNEL void mcu_lpnorm_T(T *y, const T *x, size_t outer, size_t n,
                         size_t inner, int p)
{
    size_t o, i, k;

    for (o = 0; o < outer; o++, x += n * inner, y += n * inner)
        for (k = 0; k < inner; k++) {
            T sum = 0;
            if (inner == 1)
                sum = p == 1 ? mcu_vec_asum_T(x, n) : mcu_vec_sumsq_T(x, n);
            else
                for (i = 0; i < n; i++) {
                    T v = x[i * inner + k];
                    sum += p == 1 ? mcu_mag_T(v) : v * v;
                }
            sum = p == 1 ? sum : mcu_sqrt_T(sum);
            for (i = 0; i < n; i++)
                y[i * inner + k] = sum > 0 || sum != sum
                                   ? x[i * inner + k] / sum : (T)0;
        }
}

/* x^-beta; AlexNet's 0.75 by two square roots. */
KERNEL T mcu_powneg_T(T x, T beta)
{
    T root;

    if (beta < (T)0.75 || beta > (T)0.75)
        return mcu_exp_T(-beta * mcu_log_T(x));
    root = mcu_sqrt_T(x);
    return (T)1 / (root * mcu_sqrt_T(root));
}

/* LRN: x / (bias + alpha * sum of squares)^beta over the channels from
 * c - below to c + above; x[outer][channels][inner]. Stack: 256 bytes. */
KERNEL void mcu_lrn_T(T *restrict y, const T *restrict x, size_t outer,
                      size_t channels, size_t inner, size_t below,
                      size_t above, T alpha, T beta, T bias)
{
    T sum[16];
    size_t o, c, i, j, k, w;

    for (o = 0; o < outer; o++, x += channels * inner)
        for (c = 0; c < channels; c++) {
            size_t from = c > below ? c - below : 0;
            size_t to = channels - c > above ? c + above : channels - 1;
            for (k = 0; k < inner; k += w) {
                w = inner - k < 16 ? inner - k : 16;
                for (j = 0; j < w; j++)
                    sum[j] = 0;
                for (i = from; i <= to; i++)
                    for (j = 0; j < w; j++) {
                        T v = x[i * inner + k + j];
                        sum[j] += v * v;
                    }
                for (j = 0; j < w; j++)
                    *y++ = x[c * inner + k + j] *
                           mcu_powneg_T(bias + alpha * sum[j], beta);
            }
        }
}
