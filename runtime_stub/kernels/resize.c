/* resize.c - interpolation along one axis from tables of taps, and the
 * tables themselves when the scales are known at run time only. T: elements,
 * I: type of coefficients and sums (float for float, double otherwise).
 */
#ifndef T                       /* for this file as it stands */
#define T float
#define I float
#define U uint32_t
#define A float
#define T_LOWEST (-INFINITY)
#define T_HIGHEST INFINITY
#endif
#include "kernel.h"

/* row = c * x, or row += c * x */
KERNEL void mcu_resize_mix_T_I(I *row, const T *x, I c, size_t n, int first)
{
    size_t i;

    if (first)
        for (i = 0; i < n; i++)
            row[i] = c * (I)x[i];
    else
        for (i = 0; i < n; i++)
            row[i] += c * (I)x[i];
}

/* y[j] = sum over k of coef[j][k] x[index[j][k]], vectors of `inner` */
KERNEL void mcu_resize_line_T(T *y, const T *x, const int32_t *index,
                              const T *coef, int32_t out, int32_t taps,
                              int32_t inner)
{
    int32_t j, k, i;

    if (inner == 1 && taps == 2) {
        for (j = 0; j < out; j++)
            y[j] = coef[2 * j] * x[index[2 * j]] +
                   coef[2 * j + 1] * x[index[2 * j + 1]];
        return;
    }
    for (j = 0; j < out; j++, index += taps, coef += taps, y += inner) {
        for (i = 0; i < inner; i++)
            y[i] = coef[0] * x[index[0] * inner + i];
        for (k = 1; k < taps; k++)
            for (i = 0; i < inner; i++)
                y[i] += coef[k] * x[index[k] * inner + i];
    }
}

/* the same for integers T, summed in I; rounds half to even, saturates */
KERNEL void mcu_resize_round_T_I(T *y, const I *x, const int32_t *index,
                                 const I *coef, int32_t out, int32_t taps,
                                 int32_t inner)
{
    int32_t j, k, i;

    for (j = 0; j < out; j++, index += taps, coef += taps, y += inner)
        for (i = 0; i < inner; i++) {
            I v = coef[0] * x[index[0] * inner + i];

            for (k = 1; k < taps; k++)
                v += coef[k] * x[index[k] * inner + i];
            v = mcu_rint_I(v);
            y[i] = v > (I)T_LOWEST ? v < (I)T_HIGHEST ? (T)v : T_HIGHEST
                                   : T_LOWEST;
        }
}

/* Where output j lies on an axis of `in` elements. mode: 0 half_pixel,
 * 1 align_corners, 2 half_pixel_symmetric, 3 pytorch_half_pixel,
 * 4 asymmetric, 5 tf_crop_and_resize, 6 tf_half_pixel_for_nn. */
KERNEL double mcu_resize_source(int mode, double j, double in, double out,
                                double scale, double from, double to)
{
    const double width = scale * in;
    const int one = width >= 1.0 && width <= 1.0;

    if (mode == 1)
        return one ? 0.0 : j * (in - 1.0) / (width - 1.0);
    if (mode == 4)
        return j / scale;
    if (mode == 6)
        return (j + 0.5) / scale;
    if (mode == 5)
        return (one ? (to - from) * (in - 1.0) / 2.0
                    : j * (to - from) * (in - 1.0) / (width - 1.0)) +
               from * (in - 1.0);
    if (mode == 3 && one)
        return -0.5;
    return (mode == 2 ? in / 2.0 * (1.0 - out / width) : 0.0) +
           (j + 0.5) / scale - 0.5;
}

KERNEL int32_t mcu_resize_clamp(int32_t i, int32_t in)
{
    return i < 0 ? 0 : i < in ? i : in - 1;
}

/* mode: 0 round_prefer_floor, 1 round_prefer_ceil, 2 floor, 3 ceil */
KERNEL int32_t mcu_resize_pick(int mode, double x)
{
    const double near = rint(x), low = floor(x), t = x - low;

    if (fabs(x - near) < 1e-12 * (1.0 + fabs(x)))
        return (int32_t)near;
    return (int32_t)low + (mode == 3 || (mode == 0 && t > 0.5) ||
                           (mode == 1 && t >= 0.5));
}

/* cubic convolution with parameter a; a triangle when not cubic */
KERNEL double mcu_resize_kernel(int cubic, double a, double x)
{
    x = fabs(x);
    if (!cubic)
        return x < 1.0 ? 1.0 - x : 0.0;
    if (x <= 1.0)
        return (a + 2.0) * x * x * x - (a + 3.0) * x * x + 1.0;
    if (x < 2.0)
        return a * x * x * x - 5.0 * a * x * x + 8.0 * a * x - 4.0 * a;
    return 0.0;
}

/* Taps of one output: the first is `first`, the point lies t (0, 1] right of
 * tap taps / 2 - 1. squeeze: scale when smoothing, else 1. */
KERNEL void mcu_resize_taps_I(int32_t *index, I *coef, int32_t first,
                              double t, int32_t taps, int32_t in, int cubic,
                              double a, double squeeze, int inside)
{
    double sum = 0.0, c;
    int32_t k;

    for (k = 0; k < taps; k++) {
        c = mcu_resize_kernel(cubic, a, ((double)(k + 1 - taps / 2) - t) *
                                            squeeze);
        if (inside && (first + k < 0 || first + k >= in))
            c = 0.0;
        index[k] = mcu_resize_clamp(first + k, in);
        coef[k] = (I)c;
        sum += c;
    }
    if (inside || squeeze < 1.0)
        for (k = 0; k < taps; k++)
            coef[k] = sum > 0.0 || sum < 0.0 ? (I)((double)coef[k] / sum)
                                             : coef[k];
}

/* how many taps a scale needs, at most cap */
KERNEL int32_t mcu_resize_count(int cubic, double squeeze, int32_t cap)
{
    const double low = floor((cubic ? -2.0 : -1.0) / squeeze) + 1.0;
    const double n = 2.0 - 2.0 * low;

    return n >= 2.0 && n < (double)cap ? (int32_t)n : cap;
}

/* The point of output j, kept near the axis so that it is a small integer. */
KERNEL double mcu_resize_near(double x, int32_t in, int32_t cap)
{
    const double lo = -16.0 - (double)cap, hi = (double)in + 16.0 +
                      (double)cap;

    x = x > lo ? x : lo;
    return x < hi ? x : hi;
}

/* Tables of one axis with `cap` entries per output. nearest: -1, or the mode
 * and no coef. p: scale, roi start, roi end, cubic coefficient. */
KERNEL void mcu_resize_table_I(int32_t *index, I *coef, uint8_t *outside,
                               int32_t in, int32_t out, int32_t cap,
                               int mode, int nearest, int cubic, int smooth,
                               int inside, const double *p)
{
    const double squeeze = smooth && p[0] < 1.0 ? p[0] : 1.0;
    const int32_t n = nearest < 0 ? mcu_resize_count(cubic, squeeze, cap) : 1;
    int32_t j, k, first;

    for (j = 0; j < out; j++, index += cap, coef += nearest < 0 ? cap : 0) {
        double x = mcu_resize_source(mode, (double)j, (double)in,
                                     (double)out, p[0], p[1], p[2]);
        double low;

        outside[j] = mode == 5 && !(x >= 0.0 && x <= (double)(in - 1));
        x = mcu_resize_near(x, in, cap);
        if (nearest >= 0) {
            index[0] = mcu_resize_clamp(mcu_resize_pick(nearest, x), in);
            continue;
        }
        low = ceil(x) - 1.0;
        first = (int32_t)low + 1 - n / 2;
        mcu_resize_taps_I(index, coef, first, x - low, n, in, cubic, p[3],
                          squeeze, inside);
        for (k = n; k < cap; k++) {
            index[k] = 0;
            coef[k] = 0;
        }
    }
}
