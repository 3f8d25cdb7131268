/* reduce.c - sums, products and extremes of x[outer][n][inner] over n.
 *
 * *_rows is for inner = 1: sixteen partial results keep SIMD lanes busy without
 * reordering that depends on the compiler, and keep float error low.
 * *_cols adds whole rows of `inner` elements. Integers wrap in their type.
 * Reducing no elements gives the neutral element.
 */
#include "kernel.h"

/* One step, for every type */

KERNEL inline T mcu_acc_add_T(T a, T b)
{
    return (T)((U)a + (U)b);
}

KERNEL inline float mcu_acc_add_f32(float a, float b)
{
    return a + b;
}

KERNEL inline double mcu_acc_add_f64(double a, double b)
{
    return a + b;
}

KERNEL inline T mcu_acc_mul_T(T a, T b)
{
    return (T)((U)a * (U)b);
}

KERNEL inline float mcu_acc_mul_f32(float a, float b)
{
    return a * b;
}

KERNEL inline double mcu_acc_mul_f64(double a, double b)
{
    return a * b;
}

/* The greater one, NaN if there is one. */
KERNEL inline T mcu_acc_max_T(T a, T b)
{
    return b > a ? b : a;
}

KERNEL inline float mcu_acc_max_f32(float a, float b)
{
    return ((b > a) | (b != b)) ? b : a;
}

KERNEL inline double mcu_acc_max_f64(double a, double b)
{
    return ((b > a) | (b != b)) ? b : a;
}

KERNEL inline T mcu_acc_min_T(T a, T b)
{
    return b < a ? b : a;
}

KERNEL inline float mcu_acc_min_f32(float a, float b)
{
    return ((b < a) | (b != b)) ? b : a;
}

KERNEL inline double mcu_acc_min_f64(double a, double b)
{
    return ((b < a) | (b != b)) ? b : a;
}

/* Magnitude; signed types only. */
KERNEL inline T mcu_mag_T(T a)
{
    return a < 0 ? (T)((U)0 - (U)a) : a;
}

KERNEL inline float mcu_mag_f32(float a)
{
    return fabsf(a);
}

KERNEL inline double mcu_mag_f64(double a)
{
    return fabs(a);
}

KERNEL T mcu_vec_sum_T(const T *x, size_t n)
{
    T p[16] = { 0 };
    size_t i, j;

    for (i = 0; i < n / 16 * 16; i += 16)
        for (j = 0; j < 16; j++)
            p[j] = mcu_acc_add_T(p[j], x[i + j]);
    for (i = n - n % 16; i < n; i++)
        p[0] = mcu_acc_add_T(p[0], x[i]);
    for (j = 8; j > 0; j /= 2)
        for (i = 0; i < j; i++)
            p[i] = mcu_acc_add_T(p[i], p[i + j]);
    return p[0];
}

/* Sum of magnitudes. */
KERNEL T mcu_vec_asum_T(const T *x, size_t n)
{
    T p[16] = { 0 };
    size_t i, j;

    for (i = 0; i < n / 16 * 16; i += 16)
        for (j = 0; j < 16; j++)
            p[j] = mcu_acc_add_T(p[j], mcu_mag_T(x[i + j]));
    for (i = n - n % 16; i < n; i++)
        p[0] = mcu_acc_add_T(p[0], mcu_mag_T(x[i]));
    for (j = 8; j > 0; j /= 2)
        for (i = 0; i < j; i++)
            p[i] = mcu_acc_add_T(p[i], p[i + j]);
    return p[0];
}

/* Sum of squares. */
KERNEL T mcu_vec_sumsq_T(const T *x, size_t n)
{
    T p[16] = { 0 };
    size_t i, j;

    for (i = 0; i < n / 16 * 16; i += 16)
        for (j = 0; j < 16; j++)
            p[j] = mcu_acc_add_T(p[j], mcu_acc_mul_T(x[i + j], x[i + j]));
    for (i = n - n % 16; i < n; i++)
        p[0] = mcu_acc_add_T(p[0], mcu_acc_mul_T(x[i], x[i]));
    for (j = 8; j > 0; j /= 2)
        for (i = 0; i < j; i++)
            p[i] = mcu_acc_add_T(p[i], p[i + j]);
    return p[0];
}

KERNEL T mcu_vec_prod_T(const T *x, size_t n)
{
    T p[16] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    size_t i, j;

    for (i = 0; i < n / 16 * 16; i += 16)
        for (j = 0; j < 16; j++)
            p[j] = mcu_acc_mul_T(p[j], x[i + j]);
    for (i = n - n % 16; i < n; i++)
        p[0] = mcu_acc_mul_T(p[0], x[i]);
    for (j = 8; j > 0; j /= 2)
        for (i = 0; i < j; i++)
            p[i] = mcu_acc_mul_T(p[i], p[i + j]);
    return p[0];
}

/* Greatest and least, NaN passed over: the lanes stay one instruction. */
KERNEL T mcu_vec_top_T(const T *x, size_t n)
{
    T p[16];
    size_t i, j;

    for (j = 0; j < 16; j++)
        p[j] = T_LOWEST;
    for (i = 0; i < n / 16 * 16; i += 16)
        for (j = 0; j < 16; j++)
            p[j] = x[i + j] > p[j] ? x[i + j] : p[j];
    for (i = n - n % 16; i < n; i++)
        p[0] = x[i] > p[0] ? x[i] : p[0];
    for (j = 8; j > 0; j /= 2)
        for (i = 0; i < j; i++)
            p[i] = p[i + j] > p[i] ? p[i + j] : p[i];
    return p[0];
}

KERNEL T mcu_vec_bottom_T(const T *x, size_t n)
{
    T p[16];
    size_t i, j;

    for (j = 0; j < 16; j++)
        p[j] = T_HIGHEST;
    for (i = 0; i < n / 16 * 16; i += 16)
        for (j = 0; j < 16; j++)
            p[j] = x[i + j] < p[j] ? x[i + j] : p[j];
    for (i = n - n % 16; i < n; i++)
        p[0] = x[i] < p[0] ? x[i] : p[0];
    for (j = 8; j > 0; j /= 2)
        for (i = 0; i < j; i++)
            p[i] = p[i + j] < p[i] ? p[i + j] : p[i];
    return p[0];
}

/* NaN if there is one in x, else v. */
KERNEL inline T mcu_nan_or_T(const T *x, size_t n, T v)
{
    (void)x;
    (void)n;
    return v;
}

KERNEL float mcu_nan_or_f32(const float *x, size_t n, float v)
{
    uint32_t bad = 0;
    size_t i;

    for (i = 0; i < n; i++)
        bad |= (uint32_t)(x[i] != x[i]);
    return bad ? NAN : v;
}

KERNEL double mcu_nan_or_f64(const double *x, size_t n, double v)
{
    uint32_t bad = 0;
    size_t i;

    for (i = 0; i < n; i++)
        bad |= (uint32_t)(x[i] != x[i]);
    return bad ? (double)NAN : v;
}

/* Rows: y[outer] from x[outer][n] */

KERNEL void mcu_sum_rows_T(T *restrict y, const T *x, size_t outer, size_t n)
{
    size_t o;

    for (o = 0; o < outer; o++)
        y[o] = mcu_vec_sum_T(x + o * n, n);
}

KERNEL void mcu_asum_rows_T(T *restrict y, const T *x, size_t outer, size_t n)
{
    size_t o;

    for (o = 0; o < outer; o++)
        y[o] = mcu_vec_asum_T(x + o * n, n);
}

KERNEL void mcu_sumsq_rows_T(T *restrict y, const T *x, size_t outer,
                             size_t n)
{
    size_t o;

    for (o = 0; o < outer; o++)
        y[o] = mcu_vec_sumsq_T(x + o * n, n);
}

KERNEL void mcu_prod_rows_T(T *restrict y, const T *x, size_t outer, size_t n)
{
    size_t o;

    for (o = 0; o < outer; o++)
        y[o] = mcu_vec_prod_T(x + o * n, n);
}

KERNEL void mcu_max_rows_T(T *restrict y, const T *x, size_t outer, size_t n)
{
    size_t o;

    for (o = 0; o < outer; o++)
        y[o] = mcu_nan_or_T(x + o * n, n, mcu_vec_top_T(x + o * n, n));
}

KERNEL void mcu_min_rows_T(T *restrict y, const T *x, size_t outer, size_t n)
{
    size_t o;

    for (o = 0; o < outer; o++)
        y[o] = mcu_nan_or_T(x + o * n, n, mcu_vec_bottom_T(x + o * n, n));
}

/* Columns: y[outer][inner] from x[outer][n][inner] */

KERNEL void mcu_sum_cols_T(T *restrict y, const T *restrict x, size_t outer,
                           size_t n, size_t inner)
{
    size_t o, i, k;

    for (o = 0; o < outer; o++, y += inner) {
        for (k = 0; k < inner; k++)
            y[k] = 0;
        for (i = 0; i < n; i++, x += inner)
            for (k = 0; k < inner; k++)
                y[k] = mcu_acc_add_T(y[k], x[k]);
    }
}

KERNEL void mcu_asum_cols_T(T *restrict y, const T *restrict x, size_t outer,
                            size_t n, size_t inner)
{
    size_t o, i, k;

    for (o = 0; o < outer; o++, y += inner) {
        for (k = 0; k < inner; k++)
            y[k] = 0;
        for (i = 0; i < n; i++, x += inner)
            for (k = 0; k < inner; k++)
                y[k] = mcu_acc_add_T(y[k], mcu_mag_T(x[k]));
    }
}

KERNEL void mcu_sumsq_cols_T(T *restrict y, const T *restrict x, size_t outer,
                             size_t n, size_t inner)
{
    size_t o, i, k;

    for (o = 0; o < outer; o++, y += inner) {
        for (k = 0; k < inner; k++)
            y[k] = 0;
        for (i = 0; i < n; i++, x += inner)
            for (k = 0; k < inner; k++)
                y[k] = mcu_acc_add_T(y[k], mcu_acc_mul_T(x[k], x[k]));
    }
}

KERNEL void mcu_prod_cols_T(T *restrict y, const T *restrict x, size_t outer,
                            size_t n, size_t inner)
{
    size_t o, i, k;

    for (o = 0; o < outer; o++, y += inner) {
        for (k = 0; k < inner; k++)
            y[k] = 1;
        for (i = 0; i < n; i++, x += inner)
            for (k = 0; k < inner; k++)
                y[k] = mcu_acc_mul_T(y[k], x[k]);
    }
}

KERNEL void mcu_max_cols_T(T *restrict y, const T *restrict x, size_t outer,
                           size_t n, size_t inner)
{
    size_t o, i, k;

    for (o = 0; o < outer; o++, y += inner) {
        for (k = 0; k < inner; k++)
            y[k] = T_LOWEST;
        for (i = 0; i < n; i++, x += inner)
            for (k = 0; k < inner; k++)
                y[k] = mcu_acc_max_T(y[k], x[k]);
    }
}

KERNEL void mcu_min_cols_T(T *restrict y, const T *restrict x, size_t outer,
                           size_t n, size_t inner)
{
    size_t o, i, k;

    for (o = 0; o < outer; o++, y += inner) {
        for (k = 0; k < inner; k++)
            y[k] = T_HIGHEST;
        for (i = 0; i < n; i++, x += inner)
            for (k = 0; k < inner; k++)
                y[k] = mcu_acc_min_T(y[k], x[k]);
    }
}

/* log(sum(exp)) relative to the greatest, so that nothing overflows; one
 * infinite element decides alone. */
KERNEL void mcu_logsumexp_T(T *restrict y, const T *x, size_t outer,
                            size_t n, size_t inner)
{
    size_t o, i, k;

    for (o = 0; o < outer; o++, x += n * inner)
        for (k = 0; k < inner; k++) {
            T top = T_LOWEST, sum = 0;
            for (i = 0; i < n; i++)
                top = mcu_acc_max_T(top, x[i * inner + k]);
            if (top - top == (T)0) {
                if (inner == 1)
                    sum = mcu_vec_sumexp_T(x, n, top);
                else
                    for (i = 0; i < n; i++)
                        sum += mcu_exp_T(x[i * inner + k] - top);
                top += mcu_log_T(sum);
            }
            *y++ = top;
        }
}

/* Axes known only at run time */

/* y = x with the dims whose bit in `mask` is set moved behind the others.
 * Stack: 256 bytes. */
KERNEL void mcu_axes_last_T(T *restrict y, const T *restrict x,
                            const uint32_t *dim, size_t rank, uint32_t mask)
{
    size_t n[8], step[16], pos[8], at = 0, d, k = 0, len = 1, total = 1;
    int pass;

    for (d = 0; d < rank; d++)
        total *= dim[d];
    for (pass = 0; pass < 2; pass++)
        for (d = 0, len = total; d < rank; d++) {
            len /= dim[d];
            if ((int)(mask >> d & 1u) == pass) {
                n[k] = dim[d];
                pos[k] = 0;
                step[k++] = len;
            }
        }
    for (len = 0; len < total; len++) {
        y[len] = x[at];
        for (d = rank; d-- > 0;) {
            at += step[d];
            if (++pos[d] < n[d])
                break;
            at -= n[d] * step[d];
            pos[d] = 0;
        }
    }
}

/* Bit mask of axes in [-rank, rank); others are ignored. */
KERNEL uint32_t mcu_axes_mask_I(const I *axes, size_t count, int rank)
{
    uint32_t mask = 0;
    size_t i;

    for (i = 0; i < count; i++) {
        int64_t a = axes[i] < 0 ? axes[i] + rank : axes[i];
        if (a >= 0 && a < rank)
            mask |= (uint32_t)1 << a;
    }
    return mask;
}
