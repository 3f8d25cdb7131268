/* image.c - GridSample and RoiAlign. Points come from run-time operands:
 * whatever they are, NaN included, no index leaves the image.
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

/* -1..1 to elements of an axis of len */
KERNEL inline I mcu_grid_point_I(I v, I len, int align)
{
    return align ? (v + (I)1) / (I)2 * (len - (I)1)
                 : ((v + (I)1) * len - (I)1) / (I)2;
}

/* x folded back into low..high */
KERNEL double mcu_grid_reflect(double x, double low, double high)
{
    const double span = high - low;
    double d, n, r;

    if (!(span > 0.0))
        return low;
    if (x >= low && x <= high)
        return x;
    d = x < low ? low - x : x - high;
    n = floor(d / span);
    r = d - n * span;
    n = n / 2.0 - floor(n / 2.0);       /* 0: even, 0.5: odd */
    return (n < 0.25) == (x < low) ? low + r : high - r;
}

/* the element that stands for i, or -1; pad: 0 zeros, 1 border, 2 reflect */
KERNEL int32_t mcu_grid_place(int32_t i, int32_t len, int pad, int align)
{
    const double edge = align ? 0.0 : 0.5;

    if (i >= 0 && i < len)
        return i;
    if (pad == 0)
        return -1;
    if (pad == 2)
        i = (int32_t)mcu_grid_reflect((double)i, -edge,
                                      (double)(len - 1) + edge);
    return i < 0 ? 0 : i < len ? i : len - 1;
}

/* coefficients of the four taps around a point t right of the second */
KERNEL void mcu_grid_cubic(double t, double *c)
{
    const double a = -0.75, u = 1.0 - t;

    c[0] = ((a * (t + 1.0) - 5.0 * a) * (t + 1.0) + 8.0 * a) * (t + 1.0) -
           4.0 * a;
    c[1] = ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
    c[2] = ((a + 2.0) * u - (a + 3.0)) * u * u + 1.0;
    c[3] = ((a * (u + 1.0) - 5.0 * a) * (u + 1.0) + 8.0 * a) * (u + 1.0) -
           4.0 * a;
}

/* Taps of a point (in elements; already rounded for nearest) on one axis;
 * mode is their number: 1 nearest, 2 linear, 4 cubic. */
KERNEL void mcu_grid_taps(double x, int32_t len, int mode, int pad, int align,
                          int32_t *index, double *coef)
{
    const double edge = align ? 0.0 : 0.5, last = (double)(len - 1);
    double low, t;
    int32_t first, k;

    if (!(x >= -edge && x <= last + edge) && pad == 1)
        x = x > 0.0 ? last : 0.0;
    else if (!(x >= -edge && x <= last + edge) && pad == 2 &&
             x - x < 1.0)       /* finite */
        x = mcu_grid_reflect(x, -edge, last + edge);
    x = x > -1e9 ? x : -1e9;
    x = x < 1e9 ? x : 1e9;
    low = floor(x);
    t = x - low;
    first = mode == 1 ? (int32_t)x : (int32_t)low - (mode == 4);
    if (mode == 4) {
        mcu_grid_cubic(t, coef);
    } else {
        coef[0] = mode == 1 ? 1.0 : 1.0 - t;
        coef[1] = t;
    }
    for (k = 0; k < mode; k++)
        index[k] = mcu_grid_place(first + k, len, pad, align);
}

/* Images of three axes (leading ones of 1 when there are fewer): dims d[3],
 * mode 1, pad and align as above. grid: [points][axes], x coordinate first.
 * One image: y [channels][points]. T: elements, I: coordinates. */
KERNEL void mcu_grid_nearest_T_I(T *y, const T *x, const I *grid,
                                 const int32_t *d, int32_t channels,
                                 int32_t points, int axes, int pad, int align)
{
    const int32_t plane = d[0] * d[1] * d[2];
    int32_t at[3] = { 0, 0, 0 }, p, c, i;
    double coef[4];
    int a;

    for (p = 0; p < points; p++, grid += axes) {
        for (a = 0; a < axes; a++)
            mcu_grid_taps((double)mcu_rint_I(mcu_grid_point_I(grid[a],
                          (I)d[2 - a], align)), d[2 - a], 1, pad, align,
                          at + 2 - a, coef);
        i = (at[0] * d[1] + at[1]) * d[2] + at[2];
        for (c = 0; c < channels; c++)
            y[c * points + p] = at[0] < 0 || at[1] < 0 || at[2] < 0
                                    ? (T)0 : x[c * plane + i];
    }
}

/* the same with 2 (linear) or 4 (cubic) taps per axis. Stack: 256 bytes */
KERNEL void mcu_grid_sample_T_I(T *y, const T *x, const I *grid,
                                const int32_t *d, int32_t channels,
                                int32_t points, int axes, int mode, int pad,
                                int align)
{
    const int32_t plane = d[0] * d[1] * d[2];
    int32_t at[3][4] = { { 0 } }, n[3] = { 1, 1, 1 }, p, c, i, j, k;
    double w[3][4] = { { 1.0 }, { 1.0 }, { 1.0 } };
    int a;

    for (p = 0; p < points; p++, grid += axes) {
        for (a = 0; a < axes; a++) {
            n[2 - a] = mode;
            mcu_grid_taps((double)mcu_grid_point_I(grid[a], (I)d[2 - a],
                          align), d[2 - a], mode, pad, align, at[2 - a],
                          w[2 - a]);
        }
        for (c = 0; c < channels; c++) {
            const T *image = x + c * plane;
            T sum = 0;

            for (i = 0; i < n[0]; i++)
                for (j = 0; j < n[1]; j++)
                    for (k = 0; k < n[2]; k++)
                        if (at[0][i] >= 0 && at[1][j] >= 0 && at[2][k] >= 0)
                            sum += (T)(w[0][i] * w[1][j] * w[2][k]) *
                                   image[(at[0][i] * d[1] + at[1][j]) * d[2] +
                                         at[2][k]];
            y[c * points + p] = sum;
        }
    }
}

/* samples along one side of a bin; ratio 0: one per element */
KERNEL int32_t mcu_roi_samples(float bin, int32_t ratio)
{
    const float n = mcu_ceil_f32(bin);

    if (ratio > 0)
        return ratio;
    return n > 0.0f ? n < 1024.0f ? (int32_t)n : 1024 : 0;
}

/* The two elements around a point and the weight of the second; 0 when it
 * lies outside. */
KERNEL int mcu_roi_corners(float at, int32_t len, int32_t *low, int32_t *high,
                           float *t)
{
    *low = *high = 0;
    *t = 0.0f;
    if (!(at >= -1.0f) || at > (float)len)
        return 0;
    at = at > 0.0f ? at : 0.0f;
    *low = (int32_t)at;
    *high = *low + 1;
    if (*low >= len - 1) {
        *low = *high = len - 1;
        at = (float)*low;
    }
    *t = at - (float)*low;
    return 1;
}

/* One bin whose samples start at y, x and lie dy, dx apart: average, or the
 * greatest weighted corner. */
KERNEL T mcu_roi_bin_T(const T *image, int32_t h, int32_t w, float y, float x,
                       float dy, float dx, int32_t ny, int32_t nx, int max)
{
    T sum = 0;
    int32_t i, j, y0, y1, x0, x1;
    float ty, tx;

    for (i = 0; i < ny; i++)
        for (j = 0; j < nx; j++) {
            const int in_y = mcu_roi_corners(y + ((float)i + 0.5f) * dy /
                                             (float)ny, h, &y0, &y1, &ty);
            const int in_x = mcu_roi_corners(x + ((float)j + 0.5f) * dx /
                                             (float)nx, w, &x0, &x1, &tx);
            const float on = in_y && in_x ? 1.0f : 0.0f;
            const T a = (T)(on * (1.0f - ty) * (1.0f - tx)) *
                        image[y0 * w + x0];
            const T b = (T)(on * (1.0f - ty) * tx) * image[y0 * w + x1];
            const T c = (T)(on * ty * (1.0f - tx)) * image[y1 * w + x0];
            const T d = (T)(on * ty * tx) * image[y1 * w + x1];

            if (!max) {
                sum += a + b + c + d;
            } else {
                const T ab = a > b ? a : b, cd = c > d ? c : d;
                const T top = ab > cd ? ab : cd;

                sum = (i == 0 && j == 0) || top > sum ? top : sum;
            }
        }
    return max || ny * nx <= 1 ? sum : sum / (T)(ny * nx);
}

/* One region of one image [channels][h][w] into y [channels][oh][ow]. */
KERNEL void mcu_roi_align_T(T *y, const T *x, const T *roi, int32_t channels,
                            int32_t h, int32_t w, int32_t oh, int32_t ow,
                            int32_t ratio, float scale, float offset, int max)
{
    const float x0 = (float)roi[0] * scale - offset;
    const float y0 = (float)roi[1] * scale - offset;
    const float rw = (float)roi[2] * scale - offset - x0;
    const float rh = (float)roi[3] * scale - offset - y0;
    const int small = !(offset > 0.0f);         /* at least 1 x 1 */
    const float dx = (small && !(rw > 1.0f) ? 1.0f : rw) / (float)ow;
    const float dy = (small && !(rh > 1.0f) ? 1.0f : rh) / (float)oh;
    const int32_t ny = mcu_roi_samples(dy, ratio);
    const int32_t nx = mcu_roi_samples(dx, ratio);
    int32_t c, i, j;

    for (c = 0; c < channels; c++, x += h * w)
        for (i = 0; i < oh; i++)
            for (j = 0; j < ow; j++)
                *y++ = mcu_roi_bin_T(x, h, w, y0 + (float)i * dy,
                                     x0 + (float)j * dx, dy, dx, ny, nx, max);
}
