/* qconv.c - convolutions, pools and means of codes, channels last, one row
 * of outputs at a time. `row` has one pointer per kernel row, to the first
 * pixel of that image row or NULL for padding: a rolling buffer of rows
 * serves as well as an image.
 *
 * g: 0 width, 1 outputs in a row, 2 kernel rows, 3 kernel columns, 4 stride,
 * 5 dilation, 6 padding (columns), 7 channels, 8 groups, 9 outputs of a
 * group, 10 zero point of x, 11 pixels of a block (4 or 1), 12 walk
 * backwards, 13 elements from channel to channel (0: they are adjacent),
 * 14-18 q (qput.c), 19 height, 20 stride, 21 dilation, 22 padding (rows),
 * 23, 24 padding at the ends (rows, columns), 25 terms and 26 outputs that the
 * weights have (qlean.c).
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
    const int c = g[7], cg = c / g[8], zero = g[10];
    const int pixel = g[13] ? 1 : c, next = g[13] ? g[13] : 1;
    int ky, kx, k, i;

    for (ky = 0; ky < g[2]; ky++) {
        int at = ox * g[4] - g[6];

        for (kx = 0; kx < g[3]; kx++, at += g[5], s += cg) {
            const T *x = row[ky];
            int16_t *p = s;

            if (!x || at < 0 || at >= g[0]) {
                for (k = 0; k < g[8]; k++, p += step)
                    memset(p, 0, (size_t)cg * sizeof *p);
                continue;
            }
            x += at * pixel;
            for (k = 0; k < g[8]; k++, p += step)
                for (i = 0; i < cg; i++, x += next)
                    p[i] = (int16_t)(*x - zero);
        }
    }
}

/* the same for one group and no dilation: the columns of a kernel row are one
 * run, of pixels or, in a planar image, of each channel */
KERNEL void mcu_qspan_T(const int32_t *g, const T *const *row, int ox,
                        int16_t *s)
{
    const int c = g[7], kw = g[3], at = ox * g[4] - g[6], plane = g[13];
    const int lo = at < 0 ? (-at < kw ? -at : kw) : 0;
    const int end = g[0] - at < kw ? g[0] - at : kw;
    const int hi = end > lo ? end : lo;
    const int32_t zero = g[10];
    int k, i, j;

    for (k = 0; k < g[2]; k++, s += kw * c) {
        if (!row[k] || hi - lo < kw)
            memset(s, 0, (size_t)(kw * c) * sizeof *s);
        if (!row[k])
            continue;
        if (!plane) {
            mcu_qwiden_T((hi - lo) * c, row[k] + (at + lo) * c, zero,
                         s + lo * c);
            continue;
        }
        for (i = 0; i < c; i++) {
            const T *x = row[k] + i * plane + at;
            int16_t *p = s + lo * c + i;

            for (j = lo; j < hi; j++, p += c)
                *p = (int16_t)(x[j] - zero);
        }
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
        if (g[8] == 1 && g[5] == 1)
            mcu_qspan_T(g, row, ox + i, s);
        else
            mcu_qwindow_T(g, row, ox + i, step, s);
        for (j = 0; j < g[8] && step > k; j++)
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
                        w + j * mg * k, k,
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

        m = ow - i < g[11] ? ow - i : g[11];
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

/* The taps of output column ox that lie inside: x their pixels, at their
 * places in the filter, in channels. Returns how many. */
KERNEL int mcu_qtaplist_T(const int32_t *g, const T *const *row, int ox,
                          const T **x, int32_t *at)
{
    const int ch = g[7];
    int ky, kx, n = 0;

    for (ky = 0; ky < g[2]; ky++)
        for (kx = 0; row[ky] && kx < g[3]; kx++) {
            const int ix = ox * g[4] - g[6] + kx * g[5];

            if (ix < 0 || ix >= g[0])
                continue;
            x[n] = row[ky] + ix * ch;
            at[n++] = (ky * g[3] + kx) * ch;
        }
    return n;
}

/* c[j] = sum over taps of (x - zero) w for n <= 32 channels from `from` on;
 * 16 at a time where there are so many */
KERNEL void mcu_qtaps_T(int taps, int n, const T *const *x,
                        const int32_t *at, const int8_t *w, int from,
                        int32_t zero, int32_t *c)
{
    int j, t;

#if defined(__AVX2__) && defined(__GNUC__) && !defined(__clang__)
    typedef int32_t v8si __attribute__((vector_size(32)));
    typedef int16_t v16hi __attribute__((vector_size(32)));
    typedef long long v4di __attribute__((vector_size(32)));
    typedef char v16 __attribute__((vector_size(16)));
    const v16hi none = { 0 }, z = none + (int16_t)zero;

    for (j = 0; n >= 16 && j < n; j += 16) {
        const int k = j + 16 > n ? n - 16 : j;
        v8si lo = { 0 }, hi = { 0 };
        v4di p, q;

        for (t = 0; t < taps; t += 2) {
            const int u = t + 1 < taps ? t + 1 : t;
            v16 x0, x1, w0, w1;
            v16hi a, b, d, e;

            memcpy(&x0, x[t] + from + k, 16);
            memcpy(&x1, x[u] + from + k, 16);
            memcpy(&w0, w + at[t] + from + k, 16);
            memcpy(&w1, w + at[u] + from + k, 16);
            if ((T)-1 < 0) {
                a = (v16hi)__builtin_ia32_pmovsxbw256(x0) - z;
                b = (v16hi)__builtin_ia32_pmovsxbw256(x1) - z;
            } else {
                a = (v16hi)__builtin_ia32_pmovzxbw256(x0) - z;
                b = (v16hi)__builtin_ia32_pmovzxbw256(x1) - z;
            }
            d = (v16hi)__builtin_ia32_pmovsxbw256(w0);
            e = u > t ? (v16hi)__builtin_ia32_pmovsxbw256(w1) : none;
            lo += (v8si)__builtin_ia32_pmaddwd256(
                (v16hi)__builtin_ia32_punpcklwd256(a, b),
                (v16hi)__builtin_ia32_punpcklwd256(d, e));
            hi += (v8si)__builtin_ia32_pmaddwd256(
                (v16hi)__builtin_ia32_punpckhwd256(a, b),
                (v16hi)__builtin_ia32_punpckhwd256(d, e));
        }
        p = (v4di)__builtin_ia32_permti256((v4di)lo, (v4di)hi, 0x20);
        q = (v4di)__builtin_ia32_permti256((v4di)lo, (v4di)hi, 0x31);
        memcpy(c + k, &p, 32);
        memcpy(c + k + 8, &q, 32);
    }
    if (n >= 16)
        return;
#elif defined(__SSE2__) && defined(__GNUC__)
    typedef int32_t v4si __attribute__((vector_size(16)));
    typedef int16_t v8hi __attribute__((vector_size(16)));
    long long x0, x1, w0, w1;
#if defined(__clang__)
    typedef T v8 __attribute__((vector_size(8)));
    typedef int8_t v8s __attribute__((vector_size(8)));
#define MCU_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define MCU_HIGH(a, b)                                                      \
    __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define MCU_CODES(x) __builtin_convertvector((v8)x, v8hi)
#define MCU_WIDEN(x) __builtin_convertvector((v8s)x, v8hi)
#else
    typedef long long v2di __attribute__((vector_size(16)));
    typedef char v16 __attribute__((vector_size(16)));
#define MCU_LOW(a, b) __builtin_ia32_punpcklwd128(a, b)
#define MCU_HIGH(a, b) __builtin_ia32_punpckhwd128(a, b)
#define MCU_WIDEN(x)                                                        \
    ((v8hi)__builtin_ia32_punpcklbw128((v16)none, (v16)(v2di){ x, 0 }) >> 8)
#define MCU_CODES(x)                                                        \
    ((T)-1 < 0 ? MCU_WIDEN(x) : (v8hi)__builtin_ia32_punpcklbw128(          \
                                    (v16)(v2di){ x, 0 }, (v16)none))
#endif
    const v8hi none = { 0 }, z = none + (int16_t)zero;

    for (j = 0; n >= 8 && j < n; j += 8) {
        const int k = j + 8 > n ? n - 8 : j;
        v4si lo = { 0 }, hi = { 0 };

        for (t = 0; t < taps; t += 2) {
            const int u = t + 1 < taps ? t + 1 : t;
            v8hi a, b, d, e;

            memcpy(&x0, x[t] + from + k, 8);
            memcpy(&x1, x[u] + from + k, 8);
            memcpy(&w0, w + at[t] + from + k, 8);
            memcpy(&w1, w + at[u] + from + k, 8);
            a = MCU_CODES(x0) - z;
            b = MCU_CODES(x1) - z;
            d = MCU_WIDEN(w0);
            e = u > t ? MCU_WIDEN(w1) : none;
            lo += (v4si)__builtin_ia32_pmaddwd128(MCU_LOW(a, b),
                                                  MCU_LOW(d, e));
            hi += (v4si)__builtin_ia32_pmaddwd128(MCU_HIGH(a, b),
                                                  MCU_HIGH(d, e));
        }
        memcpy(c + k, &lo, 16);
        memcpy(c + k + 4, &hi, 16);
    }
#undef MCU_LOW
#undef MCU_HIGH
#undef MCU_WIDEN
#undef MCU_CODES
    if (n >= 8)
        return;
#endif
    for (j = 0; j < n; j++)
        c[j] = 0;
    for (t = 0; t < taps; t++) {
        const T *v = x[t] + from;
        const int8_t *f = w + at[t] + from;

        if (n == 32)
            for (j = 0; j < 32; j++)
                c[j] += (v[j] - zero) * f[j];
        else
            for (j = 0; j < n; j++)
                c[j] += (v[j] - zero) * f[j];
    }
}

/* Depthwise: one filter per channel, w [kernel row][kernel column][channel],
 * of at most 32 taps. out: room for a pixel, where the channels come in
 * blocks; else NULL. Stack: 768 bytes */
KERNEL void mcu_qdepthwise_T_I(const int32_t *g, const T *const *row,
                               const int8_t *w, const int32_t *bias,
                               const int32_t *mult, I *out, I *y)
{
    const int ch = g[7], reach = (g[3] - 1) * g[5];
    const int move = g[12] ? -g[4] * ch : g[4] * ch;
    const T *x[32];
    int32_t at[32], c[32];
    int i, j, t, taps = 0, inside = 0;

    for (i = 0; i < g[1]; i++) {
        const int ox = g[12] ? g[1] - 1 - i : i, left = ox * g[4] - g[6];
        const int now = left >= 0 && left + reach < g[0];
        I *to = out ? out : y + ox * ch;

        if (inside && now)
            for (t = 0; t < taps; t++)
                x[t] += move;
        else
            taps = mcu_qtaplist_T(g, row, ox, x, at);
        inside = now;
        for (j = 0; j < ch; j += 32) {
            const int rest = ch - j < 32 ? ch - j : 32;
            const int from = rest < 16 && ch > 16 ? ch - 16 : j;
            const int n = ch - from < 32 ? ch - from : 32;

            mcu_qtaps_T(taps, n, x, at, w, from, g[10], c);
            mcu_qput_I(g + 14, n, c, bias ? bias + from : NULL, 0,
                       mult + (g[18] ? from : 0), to + from);
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

/* x [n][inner] to y [inner], the sum of x - zero over n */
KERNEL void mcu_qsum_T(const T *x, int n, int inner, int zero, int32_t *y)
{
    int i, j;

    for (j = 0; j < inner; j++)
        y[j] = -n * zero;
    for (i = 0; i < n; i++, x += inner)
        for (j = 0; j < inner; j++)
            y[j] += x[j];
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
