/* conv.c - convolutions in NCHW order. The geometry g is 18 numbers, three
 * per row for depth, height and width (1-D and 2-D have leading ones):
 * input size, output size, kernel, stride, dilation, pad at the beginning.
 * A tap is one (channel, kernel position); weights of an output channel are
 * contiguous over its taps. Images lie x_image (y_image) elements apart: what
 * a turn of a loop reads and writes may be rows of taller images.
 */
#include "kernel.h"

/* t[i] = x[i * step], i < n */
KERNEL inline void mcu_take_T(int n, const T *restrict x, int step,
                              T *restrict t)
{
    int i;

    if (step == 1)
        mcu_copy_T(n, x, t);
    else
        for (i = 0; i < n; i++)
            t[i] = x[i * step];
}

/* t[i] = what tap (kz, ky, kx) of image x gives to the output pixels
 * (oz, oy, ox), ..., n of them; 0 in the padding */
KERNEL void mcu_conv_tap_T(const int32_t *g, const T *x, int kz, int ky,
                           int kx, int oz, int oy, int ox, int n, T *t)
{
    const int s = g[11], shift = kx * g[14] - g[17];

    while (n > 0) {
        const int run = n < g[5] - ox ? n : g[5] - ox;
        const int iz = oz * g[9] - g[15] + kz * g[12];
        const int iy = oy * g[10] - g[16] + ky * g[13];
        const int ix = ox * s + shift;
        int from = ix < 0 ? (s - 1 - ix) / s : 0;
        int end = ix < g[2] ? (g[2] - ix + s - 1) / s : 0;

        end = end < run ? end : run;
        if (iz < 0 || iz >= g[0] || iy < 0 || iy >= g[1])
            end = 0;
        from = from < end ? from : end;
        if (from > 0)
            mcu_zero_T(from, t);
        if (from < end)
            mcu_take_T(end - from, x + (iz * g[1] + iy) * g[2] + ix +
                                   from * s, s, t + from);
        if (end < run)
            mcu_zero_T(run - end, t + end);
        t += run;
        n -= run;
        ox = 0;
        if (++oy == g[4]) {
            oy = 0;
            oz++;
        }
    }
}

/* One group: m output images from `channels` input images. 32 output pixels
 * of some taps at a time are gathered on the stack and multiplied with all
 * output channels. Stack: 1408 bytes */
KERNEL void mcu_conv_T(const int32_t *g, int m, int channels, const T *x,
                       int x_image, const T *w, const T *bias, T *y,
                       int y_image)
{
    enum { TAPS = (int)(768 / (32 * sizeof(T))) };
    const int pixels = g[3] * g[4] * g[5];
    const int taps = channels * g[6] * g[7] * g[8];
    T tile[TAPS * 32];
    int p, k, n, t;

    for (p = 0; p < pixels; p += n) {
        int c = 0, kz = 0, ky = 0, kx = 0, back, row, oz, oy, ox;

        n = mcu_columns(pixels - p, pixels, &back);
        p -= back;
        row = p / g[5];
        ox = p % g[5];
        oz = row / g[4];
        oy = row % g[4];
        mcu_start_T(m, n, bias, 1, 0, y + p, y_image);
        for (k = 0; k < taps; k += TAPS) {
            for (t = 0; t < TAPS && k + t < taps; t++) {
                mcu_conv_tap_T(g, x + c * x_image, kz, ky, kx, oz, oy, ox, n,
                               tile + t * 32);
                if (++kx == g[8]) {
                    kx = 0;
                    if (++ky == g[7]) {
                        ky = 0;
                        if (++kz == g[6]) {
                            kz = 0;
                            c++;
                        }
                    }
                }
            }
            mcu_mac_T(m, n, t, w + k, taps, 1, tile, 32, y + p, y_image);
        }
    }
}

/* outputs [*lo, *hi) of an axis whose tap k lies inside the image */
KERNEL void mcu_span(const int32_t *g, int axis, int k, int *lo, int *hi)
{
    const int s = g[9 + axis], at = k * g[12 + axis] - g[15 + axis];
    const int first = at < 0 ? (s - 1 - at) / s : 0;
    const int end = g[axis] > at ? (g[axis] - at + s - 1) / s : 0;

    *hi = end < g[3 + axis] ? end : g[3 + axis];
    *lo = first < *hi ? first : *hi;
}

/* y[j] += w x[j * step] */
KERNEL void mcu_axpy_T(int n, T w, const T *restrict x, int step,
                       T *restrict y)
{
    int j;

    if (step == 1)
        for (j = 0; j < n; j++)
            y[j] += w * x[j];
    else
        for (j = 0; j < n; j++)
            y[j] += w * x[j * step];
}

/* One input image convolved to one output image, added to y. */
KERNEL void mcu_plane_T(const int32_t *g, const T *x, const T *w, T *y)
{
    int kz, ky, kx, oz, oy, z0, z1, y0, y1, x0, x1;

    for (kz = 0; kz < g[6]; kz++)
        for (ky = 0; ky < g[7]; ky++)
            for (kx = 0; kx < g[8]; kx++, w++) {
                mcu_span(g, 0, kz, &z0, &z1);
                mcu_span(g, 1, ky, &y0, &y1);
                mcu_span(g, 2, kx, &x0, &x1);
                for (oz = z0; oz < z1; oz++)
                    for (oy = y0; oy < y1; oy++) {
                        const int iz = oz * g[9] - g[15] + kz * g[12];
                        const int iy = oy * g[10] - g[16] + ky * g[13];
                        const int ix = x0 * g[11] - g[17] + kx * g[14];
                        if (x0 < x1)
                            mcu_axpy_T(x1 - x0, *w,
                                       x + (iz * g[1] + iy) * g[2] + ix,
                                       g[11], y + (oz * g[4] + oy) * g[5] +
                                                  x0);
                    }
            }
}

/* Depthwise: every image has m filters of its own. */
KERNEL void mcu_depthwise_T(const int32_t *g, int images, int m, const T *x,
                            int x_image, const T *w, const T *bias, T *y,
                            int y_image)
{
    const int pixels = g[3] * g[4] * g[5], taps = g[6] * g[7] * g[8];
    int i;

    for (i = 0; i < images * m; i++) {
        mcu_start_T(1, pixels, bias ? bias + i : NULL, 0, 0,
                    y + i * y_image, pixels);
        mcu_plane_T(g, x + i / m * x_image, w + i * taps, y + i * y_image);
    }
}

/* 1 x 1 on small images */

/* y = W x, pixels as rows: 4 pixels by 32 output channels at a time. w is
 * packed, [panel][channel][32], the last panel as narrow as its channels.
 * Stack: 1408 bytes */
KERNEL void mcu_conv1_small_T(int pixels, int m, int channels, const T *x,
                              int x_image, const T *w, const T *bias, T *y,
                              int y_image)
{
    enum { ROWS = (int)(512 / (32 * sizeof(T))) };
    T tile[ROWS * 32];
    int i, j, o, p, n, rows;

    for (o = 0; o < m; o += 32)
        for (p = 0; p < pixels; p += ROWS) {
            n = m - o < 32 ? m - o : 32;
            rows = pixels - p < ROWS ? pixels - p : ROWS;
            mcu_start_T(rows, n, bias ? bias + o : NULL, 0, 1, tile, 32);
            mcu_mac_T(rows, n, channels, x + p, 1, x_image, w + o * channels,
                      n, tile, 32);
            for (j = 0; j < n; j++)
                for (i = 0; i < rows; i++)
                    y[(o + j) * y_image + p + i] = tile[i * 32 + j];
        }
}

/* y[j * step] += w x[j] */
KERNEL void mcu_spread_T(int n, T w, const T *restrict x, int step,
                         T *restrict y)
{
    int j;

    if (step == 1)
        for (j = 0; j < n; j++)
            y[j] += w * x[j];
    else
        for (j = 0; j < n; j++)
            y[j * step] += w * x[j];
}

/* One tap: image x, of the size that g calls output, spread over y, of the
 * size that g calls input. */
KERNEL void mcu_spread_tap_T(const int32_t *g, int kz, int ky, int kx, T w,
                             const T *x, T *y)
{
    int oz, oy, z0, z1, y0, y1, x0, x1;

    mcu_span(g, 0, kz, &z0, &z1);
    mcu_span(g, 1, ky, &y0, &y1);
    mcu_span(g, 2, kx, &x0, &x1);
    for (oz = z0; oz < z1; oz++)
        for (oy = y0; oy < y1; oy++) {
            const int iz = oz * g[9] - g[15] + kz * g[12];
            const int iy = oy * g[10] - g[16] + ky * g[13];
            const int ix = x0 * g[11] - g[17] + kx * g[14];
            if (x0 < x1)
                mcu_spread_T(x1 - x0, w, x + (oz * g[4] + oy) * g[5] + x0,
                             g[11], y + (iz * g[1] + iy) * g[2] + ix);
        }
}

/* One group of a transposed convolution: m result images from `channels`
 * images; w is [channels][m][kernel]. */
KERNEL void mcu_convtranspose_T(const int32_t *g, int m, int channels,
                                const T *x, const T *w, const T *bias, T *y)
{
    const int image = g[0] * g[1] * g[2], pixels = g[3] * g[4] * g[5];
    int i, c, kz, ky, kx;

    mcu_start_T(m, image, bias, 1, 0, y, image);
    for (c = 0; c < channels; c++)
        for (i = 0; i < m; i++)
            for (kz = 0; kz < g[6]; kz++)
                for (ky = 0; ky < g[7]; ky++)
                    for (kx = 0; kx < g[8]; kx++, w++)
                        mcu_spread_tap_T(g, kz, ky, kx, *w, x + c * pixels,
                                         y + i * image);
}

/* Columns [image][tap][pixel] added up to images (ONNX Col2Im). */
KERNEL void mcu_col2im_T(const int32_t *g, int images, const T *x, T *y)
{
    const int image = g[0] * g[1] * g[2], pixels = g[3] * g[4] * g[5];
    int i, kz, ky, kx;

    mcu_start_T(images, image, NULL, 0, 0, y, image);
    for (i = 0; i < images; i++)
        for (kz = 0; kz < g[6]; kz++)
            for (ky = 0; ky < g[7]; ky++)
                for (kx = 0; kx < g[8]; kx++, x += pixels)
                    mcu_spread_tap_T(g, kz, ky, kx, 1, x, y + i * image);
}

/* The geometry h = g with a block shape that is only known at run time; 0
 * when it does not give the taps and columns that the operand has. */
KERNEL int mcu_col2im_blocks(int rank, int taps, int columns,
                             const int32_t *g, const int64_t *block,
                             int32_t *h)
{
    int i, t = 1, c = 1;

    memcpy(h, g, 21 * sizeof *h);
    for (i = 3 - rank; i < 3; i++) {
        const int64_t k = block[i - (3 - rank)];
        int64_t room;
        if (k < 1 || k > taps)
            return 0;
        h[6 + i] = (int32_t)k;
        room = g[i] + g[15 + i] + g[18 + i] - (k - 1) * g[12 + i] - 1;
        if (room < 0)
            return 0;
        h[3 + i] = (int32_t)(room / g[9 + i]) + 1;
        t *= h[6 + i];
        c *= h[3 + i];
        if (t > taps || c > columns)
            return 0;
    }
    return t == taps && c == columns;
}
