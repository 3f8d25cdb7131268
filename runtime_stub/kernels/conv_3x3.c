/* conv_3x3.c - the convolutions that most networks are made of, 3 x 3 without
 * dilation. The geometry g is that of conv.c.
 */
#include "kernel.h"

/* y[j] = bias + 3 x 3 taps, from rows a, b, c, every s-th column; j < n.
 * Compilers know n and s where it is a part of another function. */
KERNEL inline void mcu_taps9_T(int n, int s, const T *restrict a,
                               const T *restrict b, const T *restrict c,
                               const T *restrict w, T bias, T *restrict y)
{
    const T p0 = w[0], p1 = w[1], p2 = w[2], q0 = w[3], q1 = w[4], q2 = w[5];
    const T r0 = w[6], r1 = w[7], r2 = w[8];
    int j;

    for (j = 0; j < n; j++)
        y[j] = bias + p0 * a[s * j] + p1 * a[s * j + 1] +
               p2 * a[s * j + 2] + q0 * b[s * j] + q1 * b[s * j + 1] +
               q2 * b[s * j + 2] + r0 * c[s * j] + r1 * c[s * j + 1] +
               r2 * c[s * j + 2];
}

/* The same; with stride 1 in blocks of 16, of which the last overlap. */
KERNEL void mcu_rows9_T(int n, int s, const T *a, const T *b, const T *c,
                        const T *w, T bias, T *y)
{
    int j;

    if (s == 2)
        mcu_taps9_T(n, 2, a, b, c, w, bias, y);
    else if (s != 1)
        mcu_taps9_T(n, s, a, b, c, w, bias, y);
    else if (n < 16)
        mcu_taps9_T(n, 1, a, b, c, w, bias, y);
    else
        for (j = 0; j < n; j += 16) {
            j = j < n - 16 ? j : n - 16;
            mcu_taps9_T(16, 1, a + j, b + j, c + j, w, bias, y + j);
        }
}

/* one output pixel near the border, 3 x 3 taps of image x at (iy, ix) */
KERNEL T mcu_border9_T(const int32_t *g, const T *x, const T *w, T bias,
                       int iy, int ix)
{
    int ky, kx;

    for (ky = 0; ky < 3; ky++)
        for (kx = 0; kx < 3; kx++)
            if (iy + ky >= 0 && iy + ky < g[1] && ix + kx >= 0 &&
                ix + kx < g[2])
                bias += w[3 * ky + kx] * x[(iy + ky) * g[2] + ix + kx];
    return bias;
}

/* y[j] += 3 taps from every s-th column of row a */
KERNEL void mcu_row3_T(int n, int s, const T *restrict a, const T *restrict w,
                       T *restrict y)
{
    const T p0 = w[0], p1 = w[1], p2 = w[2];
    int j;

    if (s == 1)
        for (j = 0; j < n; j++)
            y[j] += p0 * a[j] + p1 * a[j + 1] + p2 * a[j + 2];
    else
        for (j = 0; j < n; j++)
            y[j] += p0 * a[s * j] + p1 * a[s * j + 1] + p2 * a[s * j + 2];
}

/* outputs lo..hi-1 of a row: all their columns are inside the image, some
 * of the rows from iy on may not be */
KERNEL void mcu_inner9_T(const int32_t *g, const T *x, const T *w, T bias,
                         int iy, int lo, int hi, T *y)
{
    const T *at = x + lo * g[11] - g[17];
    int j, ky;

    if (iy >= 0 && iy + 3 <= g[1]) {
        at += iy * g[2];
        mcu_rows9_T(hi - lo, g[11], at, at + g[2], at + 2 * g[2], w, bias,
                    y + lo);
        return;
    }
    for (j = lo; j < hi; j++)
        y[j] = bias;
    for (ky = 0; ky < 3; ky++)
        if (iy + ky >= 0 && iy + ky < g[1])
            mcu_row3_T(hi - lo, g[11], at + (iy + ky) * g[2], w + 3 * ky,
                       y + lo);
}

/* Depthwise, 3 x 3 without dilation: most of each row without bounds. */
KERNEL void mcu_depthwise9_T(const int32_t *g, int images, int m, const T *x,
                             int x_image, const T *w, const T *bias, T *y,
                             int y_image)
{
    int i, j, oy, lo, hi, skip;

    mcu_span(g, 2, 2, &skip, &hi);
    mcu_span(g, 2, 0, &lo, &skip);
    lo = lo < hi ? lo : hi;
    for (i = 0; i < images * m; i++, w += 9, y += y_image - g[4] * g[5])
        for (oy = 0; oy < g[4]; oy++, y += g[5]) {
            const T *image = x + i / m * x_image;
            const T b = bias ? bias[i] : 0;
            const int iy = oy * g[10] - g[16];
            for (j = 0; j < lo; j++)
                y[j] = mcu_border9_T(g, image, w, b, iy, j * g[11] - g[17]);
            if (lo < hi)
                mcu_inner9_T(g, image, w, b, iy, lo, hi, y);
            for (j = hi; j < g[5]; j++)
                y[j] = mcu_border9_T(g, image, w, b, iy, j * g[11] - g[17]);
        }
}

/* o[j] = x[2 j], e[j] = x[2 j + 1], j < n; 16 at a time, of which the last
 * overlap with those before */
KERNEL void mcu_pairs_T(int n, const T *restrict x, T *restrict o,
                        T *restrict e)
{
    int i, j;

    if (n < 16) {
        for (j = 0; j < n; j++) {
            o[j] = x[2 * j];
            e[j] = x[2 * j + 1];
        }
        return;
    }
    for (i = 0; i < n; i += 16) {
        i = i < n - 16 ? i : n - 16;
        for (j = i; j < i + 16; j++) {
            o[j] = x[2 * j];
            e[j] = x[2 * j + 1];
        }
    }
}

/* What the windows of n outputs in a row read of the image row x, from ix
 * on, at least -1 and inside the image; 0 beside it. Stride 1: n + 2 pixels.
 * Stride 2: those with even numbers, n + 1, and from t[17] on the n others. */
KERNEL void mcu_part3_T(const int32_t *g, int ix, int n, const T *x, T *t)
{
    const int from = ix < 0 ? -ix : 0, left = g[2] - ix;
    int to = left < n + 2 ? left : n + 2;

    if (g[11] == 1) {
        if (from > 0)
            mcu_zero_T(from, t);
        mcu_copy_T(to - from, x + ix + from, t + from);
        if (to < n + 2)
            mcu_zero_T(n + 2 - to, t + to);
        return;
    }
    t[0] = from ? 0 : x[ix];
    to = (left - 1) / 2 < n ? (left - 1) / 2 : n;
    mcu_pairs_T(to, x + ix + 1, t + 17, t + 1);
    if (to < n) {
        mcu_zero_T(n - to, t + 17 + to);
        mcu_zero_T(n - to, t + 1 + to);
        if (left % 2 == 0)
            t[17 + to] = x[ix + left - 1];
    }
}

/* What the windows of n outputs from (oy, ox) on read of image x: tap
 * (ky, kx) of all of them begins at the result + ky * *dy + kx, or, with
 * stride 2, + ky * *dy + { 0, 17, 1 }[kx]. n <= 32, with stride 2 n <= 16. In
 * t where the image itself will not do. */
KERNEL const T *mcu_window3_T(const int32_t *g, int oy, int ox, int n,
                              const T *x, T *t, int *dy)
{
    const int iy = oy * g[10] - g[16], ix = ox * g[11] - g[17];
    int k;

    if (g[11] == 1 && iy >= 0 && iy + 3 <= g[1] && ix >= 0 &&
        ix + n + 2 <= g[2]) {
        *dy = g[2];
        return x + iy * g[2] + ix;
    }
    *dy = 34;
    for (k = 0; k < 3; k++)
        if (iy + k < 0 || iy + k >= g[1])
            mcu_zero_T(34, t + k * 34);
        else
            mcu_part3_T(g, ix, n, x + (iy + k) * g[2], t + k * 34);
    return t;
}

/* 3 x 3, padded by 1, stride 1 */

/* Pixels of an image from `first` on, copied three times, so that each of
 * the 3 x 3 taps of n pixels in a row is n floats in a row, across the ends
 * of image rows: tap (ky, kx) begins at t[kx * (size + 1) + ky * width].
 * Padding is 0. size is at least n + 2 * width + 2. */
KERNEL void mcu_shift3_T(int height, int width, int first, int n, const T *x,
                         int size, T *t)
{
    const int origin = first - width - 1, room = n + 2 * width + 2;
    const int all = height * width - origin;    /* the image's end in t */
    const int from = origin < 0 ? -origin : 0, to = all < room ? all : room;
    int k, j;

    for (k = 0; k < 3; k++, t += size) {
        mcu_zero_T(from, t);
        mcu_copy_T(to - from, x + (origin + from), t + from);
        mcu_zero_T(room - to, t + to);
        /* left taps must not see the end of the row before, right taps not
         * the begin of the row after */
        j = k ? origin + from : origin + from + 1;
        if (k != 1)
            for (j = from + (width - j % width) % width; j < to; j += width)
                t[j] = 0;
    }
}

/* c0[j] += the 9 taps w of t, j < 32, and 3 rows more with the weights of
 * the next output channels */
KERNEL void mcu_mac4x9_T(const T *restrict t, int dx, int d2,
                         int dy, const T *restrict w, int w_row,
                         T *restrict c0, T *restrict c1, T *restrict c2,
                         T *restrict c3)
{
    const T *p = w, *q = p + w_row, *r = q + w_row, *s = r + w_row;
    const T *t1 = t + dx, *t2 = t + d2, *u = t + dy, *u1 = u + dx;
    const T *u2 = u + d2, *v = u + dy, *v1 = v + dx, *v2 = v + d2;
    int j;

    for (j = 0; j < 32; j++) {
        c0[j] = c0[j] + p[0] * t[j] + p[1] * t1[j] + p[2] * t2[j] +
                p[3] * u[j] + p[4] * u1[j] + p[5] * u2[j] + p[6] * v[j] +
                p[7] * v1[j] + p[8] * v2[j];
        c1[j] = c1[j] + q[0] * t[j] + q[1] * t1[j] + q[2] * t2[j] +
                q[3] * u[j] + q[4] * u1[j] + q[5] * u2[j] + q[6] * v[j] +
                q[7] * v1[j] + q[8] * v2[j];
        c2[j] = c2[j] + r[0] * t[j] + r[1] * t1[j] + r[2] * t2[j] +
                r[3] * u[j] + r[4] * u1[j] + r[5] * u2[j] + r[6] * v[j] +
                r[7] * v1[j] + r[8] * v2[j];
        c3[j] = c3[j] + s[0] * t[j] + s[1] * t1[j] + s[2] * t2[j] +
                s[3] * u[j] + s[4] * u1[j] + s[5] * u2[j] + s[6] * v[j] +
                s[7] * v1[j] + s[8] * v2[j];
    }
}

/* the same for 16 pixels */
KERNEL void mcu_mac4x9x16_T(const T *restrict t, int dx, int d2,
                            int dy, const T *restrict w, int w_row,
                            T *restrict c0, T *restrict c1, T *restrict c2,
                            T *restrict c3)
{
    const T *p = w, *q = p + w_row, *r = q + w_row, *s = r + w_row;
    const T *t1 = t + dx, *t2 = t + d2, *u = t + dy, *u1 = u + dx;
    const T *u2 = u + d2, *v = u + dy, *v1 = v + dx, *v2 = v + d2;
    int j;

    for (j = 0; j < 16; j++) {
        c0[j] = c0[j] + p[0] * t[j] + p[1] * t1[j] + p[2] * t2[j] +
                p[3] * u[j] + p[4] * u1[j] + p[5] * u2[j] + p[6] * v[j] +
                p[7] * v1[j] + p[8] * v2[j];
        c1[j] = c1[j] + q[0] * t[j] + q[1] * t1[j] + q[2] * t2[j] +
                q[3] * u[j] + q[4] * u1[j] + q[5] * u2[j] + q[6] * v[j] +
                q[7] * v1[j] + q[8] * v2[j];
        c2[j] = c2[j] + r[0] * t[j] + r[1] * t1[j] + r[2] * t2[j] +
                r[3] * u[j] + r[4] * u1[j] + r[5] * u2[j] + r[6] * v[j] +
                r[7] * v1[j] + r[8] * v2[j];
        c3[j] = c3[j] + s[0] * t[j] + s[1] * t1[j] + s[2] * t2[j] +
                s[3] * u[j] + s[4] * u1[j] + s[5] * u2[j] + s[6] * v[j] +
                s[7] * v1[j] + s[8] * v2[j];
    }
}

/* the same for n pixels */
KERNEL void mcu_mac4x9n_T(int n, const T *restrict t, int dx, int d2,
                          int dy, const T *restrict w, int w_row,
                          T *restrict c0, T *restrict c1, T *restrict c2,
                          T *restrict c3)
{
    const T *p = w, *q = p + w_row, *r = q + w_row, *s = r + w_row;
    const T *t1 = t + dx, *t2 = t + d2, *u = t + dy, *u1 = u + dx;
    const T *u2 = u + d2, *v = u + dy, *v1 = v + dx, *v2 = v + d2;
    int j;

    for (j = 0; j < n; j++) {
        c0[j] = c0[j] + p[0] * t[j] + p[1] * t1[j] + p[2] * t2[j] +
                p[3] * u[j] + p[4] * u1[j] + p[5] * u2[j] + p[6] * v[j] +
                p[7] * v1[j] + p[8] * v2[j];
        c1[j] = c1[j] + q[0] * t[j] + q[1] * t1[j] + q[2] * t2[j] +
                q[3] * u[j] + q[4] * u1[j] + q[5] * u2[j] + q[6] * v[j] +
                q[7] * v1[j] + q[8] * v2[j];
        c2[j] = c2[j] + r[0] * t[j] + r[1] * t1[j] + r[2] * t2[j] +
                r[3] * u[j] + r[4] * u1[j] + r[5] * u2[j] + r[6] * v[j] +
                r[7] * v1[j] + r[8] * v2[j];
        c3[j] = c3[j] + s[0] * t[j] + s[1] * t1[j] + s[2] * t2[j] +
                s[3] * u[j] + s[4] * u1[j] + s[5] * u2[j] + s[6] * v[j] +
                s[7] * v1[j] + s[8] * v2[j];
    }
}

/* c[j] += the 9 taps w of t */
KERNEL void mcu_mac1x9_T(int n, const T *restrict t, int dx, int d2,
                         int dy, const T *restrict w, T *restrict c)
{
    const T *t1 = t + dx, *t2 = t + d2, *u = t + dy, *u1 = u + dx;
    const T *u2 = u + d2, *v = u + dy, *v1 = v + dx, *v2 = v + d2;
    int j;

    for (j = 0; j < n; j++)
        c[j] = c[j] + w[0] * t[j] + w[1] * t1[j] + w[2] * t2[j] +
               w[3] * u[j] + w[4] * u1[j] + w[5] * u2[j] + w[6] * v[j] +
               w[7] * v1[j] + w[8] * v2[j];
}

/* c[i][j] += the 9 taps of t with the weights of output channel i */
KERNEL void mcu_mac9_T(int m, int n, const T *t, int dx, int d2, int dy,
                       const T *w,
                       int w_row, T *c, int c_row)
{
    const int left = m & 3;
    int i, j;

    for (i = 0; i < m - 3; i += 4, w += 4 * w_row) {
        T *c0 = c + i * c_row, *c1 = c0 + c_row, *c2 = c1 + c_row;
        T *c3 = c2 + c_row;
        for (j = 0; j < n - 31; j += 32)
            mcu_mac4x9_T(t + j, dx, d2, dy, w, w_row, c0 + j, c1 + j, c2 + j,
                         c3 + j);
        if (n - j == 16)
            mcu_mac4x9x16_T(t + j, dx, d2, dy, w, w_row, c0 + j, c1 + j,
                            c2 + j, c3 + j);
        else if (j < n)
            mcu_mac4x9n_T(n - j, t + j, dx, d2, dy, w, w_row, c0 + j, c1 + j,
                          c2 + j, c3 + j);
    }
    c += (m - left) * c_row;
    for (i = 0; i < left; i++)
        mcu_mac1x9_T(n, t, dx, d2, dy, w + i * w_row, c + i * c_row);
}

/* One group, images up to 16 wide: m output images. Stack: 1408 bytes */
KERNEL void mcu_conv9_flat_T(int height, int width, int m, int channels,
                             const T *x, const T *w, const T *bias, T *y)
{
    enum { SIZE = 82 };
    const int pixels = height * width;
    const int run = (SIZE - 2 - 2 * width) / 16 * 16;
    T t[3 * SIZE];
    int p, c, n;

    for (p = 0; p < pixels; p += run) {
        n = pixels - p < run ? pixels - p : run;
        mcu_start_T(m, n, bias, 1, 0, y + p, pixels);
        for (c = 0; c < channels; c++) {
            mcu_shift3_T(height, width, p, n, x + c * pixels, SIZE, t);
            mcu_mac9_T(m, n, t, SIZE + 1, 2 * SIZE + 2,
                      width, w + 9 * c, 9 * channels,
                       y + p, pixels);
        }
    }
}

/* One group, stride 1 or 2 along the rows, of at least 16 results, padding at
 * most 1 beside them: 32 or 16 at a time. Stack: 1408 bytes */
KERNEL void mcu_conv9_wide_T(const int32_t *g, int m, int channels,
                             const T *x, int x_image, const T *w,
                             const T *bias, T *y, int y_image)
{
    const int dx = g[11] == 1 ? 1 : 17, d2 = g[11] == 1 ? 2 : 1;
    T t[3 * 34];
    int oy, ox, c, n, back, dy;

    for (oy = 0; oy < g[4]; oy++)
        for (ox = 0; ox < g[5]; ox += n) {
            n = 16;
            back = g[5] - ox < 16 ? 16 - (g[5] - ox) : 0;
            if (g[11] == 1)
                n = mcu_columns(g[5] - ox, g[5], &back);
            ox -= back;
            mcu_start_T(m, n, bias, 1, 0, y + oy * g[5] + ox, y_image);
            for (c = 0; c < channels; c++) {
                const T *p = mcu_window3_T(g, oy, ox, n, x + c * x_image, t,
                                           &dy);
                mcu_mac9_T(m, n, p, dx, d2, dy, w + 9 * c, 9 * channels,
                           y + oy * g[5] + ox, y_image);
            }
        }
}

/* Depthwise, images up to 16 wide. Stack: 1408 bytes */
KERNEL void mcu_depthwise9_flat_T(int height, int width, int images, int m,
                                  const T *x, const T *w, const T *bias,
                                  T *y)
{
    enum { SIZE = 82 };
    const int pixels = height * width, run = SIZE - 2 - 2 * width;
    T t[3 * SIZE];
    int i, k, p, n;

    for (i = 0; i < images; i++, x += pixels)
        for (p = 0; p < pixels; p += run) {
            n = pixels - p < run ? pixels - p : run;
            mcu_shift3_T(height, width, p, n, x, SIZE, t);
            for (k = i * m; k < i * m + m; k++) {
                T *to = y + k * pixels + p;
                mcu_start_T(1, n, bias ? bias + k : NULL, 0, 0, to, n);
                mcu_mac1x9_T(n, t, SIZE + 1, 2 * SIZE + 2,
                      width, w + 9 * k, to);
            }
        }
}
