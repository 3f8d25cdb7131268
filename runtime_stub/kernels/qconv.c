/* qconv.c - convolutions, pools and means of codes, channels last, one row
 * of outputs at a time. `row` has one pointer per kernel row, to the first
 * pixel of that image row or NULL for padding: a rolling buffer of rows
 * serves as well as an image.
 *
 * g: 0 width, 1 outputs in a row, 2 kernel rows, 3 kernel columns, 4 stride,
 * 5 dilation, 6 padding (columns), 7 channels, 8 groups, 9 outputs of a
 * group, 10 zero point of x, 11 pixels of a block (4 or 1), 12 walk
 * backwards, 13 elements from channel to channel (0: they are adjacent),
 * 14-18 q (qdot.c), 19 height, 20 stride, 21 dilation, 22 padding (rows).
 */
#ifndef T                       /* for this file as it stands */
#define T int8_t
#define I int8_t
#define T_LOWEST INT8_MIN
#endif
#include "kernel.h"

/* The image rows under output row oy. */
KERNEL void mcu_qrows_T(const int32_t *g, const T *x, int oy, const T **row)
{
    const int wide = g[0] * (g[13] ? 1 : g[7]);
    int k, y = oy * g[20] - g[22];

    for (k = 0; k < g[2]; k++, y += g[21])
        row[k] = y >= 0 && y < g[19] ? x + y * wide : NULL;
}

/* s = x - zero under the window of output column ox, 0 in the padding:
 * [group][kernel row][kernel column][channel], groups `step` apart */
KERNEL void mcu_qwindow_T(const int32_t *g, const T *const *row, int ox,
                          int step, int16_t *s)
{
    const int c = g[7], cg = c / g[8], taps = g[2] * g[3];
    const int pixel = g[13] ? 1 : c, next = g[13] ? g[13] : 1;
    int k, i, j, t;

    for (t = 0; t < taps; t++) {
        const T *line = row[t / g[3]];
        const int at = ox * g[4] - g[6] + t % g[3] * g[5];
        const int inside = line && at >= 0 && at < g[0];

        for (k = 0; k < g[8]; k++) {
            int16_t *p = s + k * step + t * cg;
            const T *x;

            if (!inside) {
                memset(p, 0, (size_t)cg * sizeof *p);
                continue;
            }
            x = line + at * pixel + k * cg * next;
            for (i = 0, j = 0; i < cg; i++, j += next)
                p[i] = (int16_t)(x[j] - g[10]);
        }
    }
}

/* the same for adjacent channels, one group and no dilation: the columns of
 * a kernel row are one run */
KERNEL void mcu_qspan_T(const int32_t *g, const T *const *row, int ox,
                        int16_t *s)
{
    const int c = g[7], kw = g[3], at = ox * g[4] - g[6];
    const int lo = at < 0 ? (-at < kw ? -at : kw) : 0;
    const int end = g[0] - at < kw ? g[0] - at : kw;
    const int hi = end > lo ? end : lo;
    int k;

    for (k = 0; k < g[2]; k++, s += kw * c) {
        if (!row[k]) {
            memset(s, 0, (size_t)(kw * c) * sizeof *s);
            continue;
        }
        memset(s, 0, (size_t)(lo * c) * sizeof *s);
        mcu_qwiden_T((hi - lo) * c, row[k] + (at + lo) * c, g[10],
                     s + lo * c);
        memset(s + hi * c, 0, (size_t)((kw - hi) * c) * sizeof *s);
    }
}

/* windows of m output columns from ox on, each group followed by zeros up to
 * a multiple of 16 */
KERNEL void mcu_qwindows_T(const int32_t *g, const T *const *row, int ox,
                           int m, int step, int16_t *s)
{
    const int k = g[2] * g[3] * (g[7] / g[8]);
    int i, j;

    for (i = 0; i < m; i++, s += g[8] * step) {
        if (g[13] == 0 && g[8] == 1 && g[5] == 1)
            mcu_qspan_T(g, row, ox + i, s);
        else
            mcu_qwindow_T(g, row, ox + i, step, s);
        for (j = 0; j < g[8]; j++)
            memset(s + j * step + k, 0, (size_t)(step - k) * sizeof *s);
    }
}

/* One row of outputs. w: [output][kernel row][kernel column][channel of the
 * group]; s: windows of a block. Stack: 640 bytes */
KERNEL void mcu_qconv8_T_I(const int32_t *g, const T *const *row,
                          const int8_t *w, const int32_t *bias,
                          const int32_t *mult, int16_t *s, I *y)
{
    const int k = g[2] * g[3] * (g[7] / g[8]), step = (k + 15) / 16 * 16;
    const int ow = g[1], mg = g[9], all = mg * g[8];
    int i, j, m;

    for (i = 0; i < ow; i += m) {
        int at;

        m = ow - i < g[11] ? 1 : g[11];
        at = g[12] ? ow - i - m : i;
        mcu_qwindows_T(g, row, at, m, step, s);
        for (j = 0; j < g[8]; j++)
            mcu_qcols_I(m, k, mg, s + j * step, g[8] * step,
                        w + j * mg * k,
                        bias ? bias + j * mg : NULL,
                        mult + (g[18] ? j * mg : 0), g + 14,
                        y + at * all + j * mg, all);
    }
}

/* the same with int4 weights (qdot4.c). Stack: 1280 bytes */
KERNEL void mcu_qconv4_T_I(const int32_t *g, const T *const *row,
                           const uint8_t *w, const int32_t *bias,
                           const int32_t *mult, int16_t *s, I *y)
{
    const int k = g[2] * g[3] * (g[7] / g[8]), step = (k + 15) / 16 * 16;
    const int ow = g[1], mg = g[9], all = mg * g[8];
    int i, j, m;

    for (i = 0; i < ow; i += m) {
        int at;

        m = ow - i < g[11] ? 1 : g[11];
        at = g[12] ? ow - i - m : i;
        mcu_qwindows_T(g, row, at, m, step, s);
        for (j = 0; j < g[8]; j++)
            mcu_qcols4_I(m, k, mg, s + j * step, g[8] * step,
                         w + j * mg * ((k + 1) / 2),
                         bias ? bias + j * mg : NULL,
                         mult + (g[18] ? j * mg : 0), g + 14,
                         y + at * all + j * mg, all, 1, NULL);
    }
}

/* c[j] += (x[j] - zero) w[j], n <= 32 */
KERNEL void mcu_qtap_T(int n, const T *restrict x, int32_t zero,
                       const int8_t *restrict w, int32_t *restrict c)
{
    int j;

    if (n == 32)
        for (j = 0; j < 32; j++)
            c[j] += (x[j] - zero) * w[j];
    else
        for (j = 0; j < n; j++)
            c[j] += (x[j] - zero) * w[j];
}

/* Depthwise: one filter per channel, w [kernel row][kernel column][channel].
 * out: room for a pixel, where the channels come in blocks; else NULL.
 * Stack: 192 bytes */
KERNEL void mcu_qdepthwise_T_I(const int32_t *g, const T *const *row,
                               const int8_t *w, const int32_t *bias,
                               const int32_t *mult, I *out, I *y)
{
    const int ch = g[7], kw = g[3];
    int32_t c[32];
    int i, j, ky, kx;

    for (i = 0; i < g[1]; i++) {
        const int ox = g[12] ? g[1] - 1 - i : i;
        I *to = out ? out : y + ox * ch;

        for (j = 0; j < ch; j += 32) {
            const int n = ch - j < 32 ? ch - j : 32;

            memset(c, 0, sizeof c);
            for (ky = 0; ky < g[2]; ky++)
                for (kx = 0; row[ky] && kx < kw; kx++) {
                    const int at = ox * g[4] - g[6] + kx * g[5];

                    if (at >= 0 && at < g[0])
                        mcu_qtap_T(n, row[ky] + at * ch + j, g[10],
                                   w + (ky * kw + kx) * ch + j, c);
                }
            mcu_qput_I(g + 14, n, c, bias ? bias + j : NULL, 0,
                       mult + (g[18] ? j : 0), to + j);
        }
        if (out)
            memcpy(y + ox * ch, out, (size_t)ch * sizeof *y);
    }
}

/* Averages: mult[count] is the multiplier of that many elements; padding
 * counts where g[9] is 1, up to g[23] rows and g[24] columns of it at the
 * end. Stack: 192 bytes */
KERNEL void mcu_qaverage_T_I(const int32_t *g, const T *const *row, int oy,
                             const int32_t *mult, I *out, I *y)
{
    const int ch = g[7], kw = g[3];
    int32_t c[32];
    int i, j, t, ky, kx;

    for (i = 0; i < g[1]; i++) {
        const int ox = g[12] ? g[1] - 1 - i : i;
        I *to = out ? out : y + ox * ch;

        for (j = 0; j < ch; j += 32) {
            const int n = ch - j < 32 ? ch - j : 32;
            int count = 0;

            memset(c, 0, sizeof c);
            for (ky = 0; ky < g[2]; ky++)
                for (kx = 0; kx < kw; kx++) {
                    const int at = ox * g[4] - g[6] + kx * g[5];
                    const int in = oy * g[20] - g[22] + ky * g[21];
                    const T *x;

                    count += g[9] && at < g[0] + g[24] && in < g[19] + g[23];
                    if (!row[ky] || at < 0 || at >= g[0])
                        continue;
                    count += !g[9];
                    x = row[ky] + at * ch + j;
                    for (t = 0; t < n; t++)
                        c[t] += x[t] - g[10];
                }
            mcu_qput_I(g + 14, n, c, NULL, 0, mult + count, to + j);
        }
        if (out)
            memcpy(y + ox * ch, out, (size_t)ch * sizeof *y);
    }
}

/* Greatest code under each window; T_LOWEST where there is none.
 * Stack: 192 bytes */
KERNEL void mcu_qmax_T(const int32_t *g, const T *const *row, T *out, T *y)
{
    const int ch = g[7], kw = g[3];
    T most[32];
    int i, j, t, ky, kx;

    for (i = 0; i < g[1]; i++) {
        const int ox = g[12] ? g[1] - 1 - i : i;
        T *to = out ? out : y + ox * ch;

        for (j = 0; j < ch; j += 32) {
            const int n = ch - j < 32 ? ch - j : 32;

            for (t = 0; t < 32; t++)
                most[t] = T_LOWEST;
            for (ky = 0; ky < g[2]; ky++)
                for (kx = 0; row[ky] && kx < kw; kx++) {
                    const int at = ox * g[4] - g[6] + kx * g[5];
                    const T *x = row[ky] + at * ch + j;

                    if (at < 0 || at >= g[0])
                        continue;
                    for (t = 0; t < n; t++)
                        most[t] = x[t] > most[t] ? x[t] : most[t];
                }
            memcpy(to + j, most, (size_t)n * sizeof *y);
        }
        if (out)
            memcpy(y + ox * ch, out, (size_t)ch * sizeof *y);
    }
}

/* x [n][inner] to y [inner], the mean over n. g: n, inner, zero point of x,
 * then q. out: as above. Stack: 192 bytes */
KERNEL void mcu_qmean_T_I(const int32_t *g, const T *x, const int32_t *mult,
                          I *out, I *y)
{
    const int count = g[0], inner = g[1];
    I *to = out ? out : y;
    int32_t c[32];
    int i, j, t;

    for (j = 0; j < inner; j += 32) {
        const int n = inner - j < 32 ? inner - j : 32;

        memset(c, 0, sizeof c);
        for (i = 0; i < count; i++)
            for (t = 0; t < n; t++)
                c[t] += x[i * inner + j + t] - g[2];
        mcu_qput_I(g + 3, n, c, NULL, 0, mult, to + j);
    }
    if (out)
        memcpy(y, out, (size_t)inner * sizeof *y);
}
