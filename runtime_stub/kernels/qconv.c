/* qconv.c - convolutions of codes, channels last, one row of outputs at a
 * time. `row` has one pointer per kernel row, to the first pixel of that image
 * row or NULL for padding: a rolling buffer of rows serves as well as an
 * image.
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

/* One row of outputs. w: [output], then as the windows; s: windows of a
 * block. Stack: 640 bytes */
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
        mcu_qwindows_T(g, row, at, m, k, step, step - k, s);
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
        mcu_qwindows_T(g, row, at, m, k, step, step - k, s);
        for (j = 0; j < g[8]; j++)
            mcu_qcols4_I(m, k, mg, s + j * step, g[8] * step,
                         w + j * mg * ((k + 1) / 2),
                         bias ? bias + j * mg : NULL,
                         mult + (g[18] ? j * mg : 0), g + 14,
                         y + at * all + j * mg, all, 1, NULL);
    }
}

/* x: the channels from `from` on of the pixels under the taps of output
 * column ox, `none` where it lies outside; the last one again up to a
 * multiple of ten taps, as qtaps asks. */
KERNEL void mcu_qtaplist_T(const int32_t *g, const T *const *row, int ox,
                           int from, const T *none, const T **x)
{
    int ky, kx, n = 0;

    for (ky = 0; ky < g[2]; ky++)
        for (kx = 0; kx < g[3]; kx++) {
            const int ix = ox * g[4] - g[6] + kx * g[5];

            x[n++] = row[ky] && ix >= 0 && ix < g[0]
                         ? row[ky] + ix * g[7] + from : none;
        }
    for (; n % 10; n++)
        x[n] = x[n - 1];
}

/* c [pixels][n] = sums over taps of x w for pixels that are `move` codes
 * apart, n <= 16 channels of ch, in x from `from` on; w: pairs of taps
 * [pair][channel][2], then a tap without a partner [channel], whose place is
 * `last` */
KERNEL void mcu_qtaps_T(int taps, int pixels, int move, int from, int ch,
                        int n, const T *const *x, const int8_t *w,
                        const int8_t *last, int32_t *c)
{
    int j, p, t;

#if defined(__SSE2__) && defined(__GNUC__)
    typedef char v16 __attribute__((vector_size(16)));
    const v16 none = { 0 };
#if defined(__clang__)
#define MCU_LOW(a, b)                                                       \
    (v16)__builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20,   \
                                 5, 21, 6, 22, 7, 23)
#define MCU_HIGH(a, b)                                                      \
    (v16)__builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12,    \
                                 28, 13, 29, 14, 30, 15, 31)
#else
#define MCU_LOW(a, b) (v16)__builtin_ia32_punpcklbw128(a, b)
#define MCU_HIGH(a, b) (v16)__builtin_ia32_punpckhbw128(a, b)
#endif
#endif
#if defined(__AVX2__) && defined(__GNUC__)
    typedef int32_t v8si __attribute__((vector_size(32)));
    typedef int16_t v16hi __attribute__((vector_size(32)));
    v16 d;
#if defined(__clang__)
    typedef int8_t v16qi __attribute__((vector_size(16)));
    typedef T v16T __attribute__((vector_size(16)));
#define MCU_WIDEN(x) __builtin_convertvector((v16qi)(x), v16hi)
#define MCU_CODES(x) __builtin_convertvector((v16T)(x), v16hi)
#else
#define MCU_WIDEN(x) (v16hi)__builtin_ia32_pmovsxbw256(x)
#define MCU_CODES(x)                                                        \
    ((T)-1 < 0 ? MCU_WIDEN(x) : (v16hi)__builtin_ia32_pmovzxbw256(x))
#endif

    for (t = 0; n == 16 && t < taps; t += 10) { /* five pairs at a time */
        v16hi f[10] = { { 0 } };

        for (j = 0; j < 10 && t + j + 1 < taps; j += 2) {
            memcpy(&d, w + (t + j) * ch, 16);
            f[j] = MCU_WIDEN(d);
            memcpy(&d, w + (t + j) * ch + 16, 16);
            f[j + 1] = MCU_WIDEN(d);
        }
        if (j < 10 && t + j < taps) {
            memcpy(&d, last, 16);
            f[j] = MCU_WIDEN(MCU_LOW(d, none));
            f[j + 1] = MCU_WIDEN(MCU_HIGH(d, none));
        }
        for (p = 0; p < pixels; p++) {
            const int at = from + p * move;
            v8si first = { 0 }, second = { 0 };

            if (t) {
                memcpy(&first, c + 16 * p, 32);
                memcpy(&second, c + 16 * p + 8, 32);
            }
            for (j = 0; j < 10; j += 2) {
                v16 a, b, low, high;

                memcpy(&a, x[t + j] + at, 16);
                memcpy(&b, x[t + j + 1] + at, 16);
                low = MCU_LOW(a, b);
                high = MCU_HIGH(a, b);
                first += (v8si)__builtin_ia32_pmaddwd256(MCU_CODES(low), f[j]);
                second += (v8si)__builtin_ia32_pmaddwd256(MCU_CODES(high),
                                                          f[j + 1]);
            }
            memcpy(c + 16 * p, &first, 32);
            memcpy(c + 16 * p + 8, &second, 32);
        }
    }
    if (n == 16)
        return;
#elif defined(__SSE2__) && defined(__GNUC__)
    typedef int32_t v4si __attribute__((vector_size(16)));
    typedef int16_t v8hi __attribute__((vector_size(16)));
    typedef long long v2di __attribute__((vector_size(16)));
    const int wide = (T)-1 < 0 ? 8 : 0; /* codes stand `wide` bits higher */
    long long half;
#define MCU_HALF ((v16)(v2di){ half, 0 })
#define MCU_WIDEN(part, w) (v8hi)part(none, w) >> 8
#define MCU_CODES(part, x) (v8hi)(wide ? part(none, x) : part(x, none))

    for (j = 0; n >= 8 && j < n; j += 8) {
        const int k = j + 8 > n ? n - 8 : j;

        for (t = 0; t < taps; t += 10) {        /* five pairs at a time */
            v8hi f[10] = { { 0 } };
            int i;
            v16 d, e;

            for (i = 0; i < 10 && t + i + 1 < taps; i += 2) {
                memcpy(&d, w + (t + i) * ch + 2 * k, 16);
                f[i] = MCU_WIDEN(MCU_LOW, d);
                f[i + 1] = MCU_WIDEN(MCU_HIGH, d);
            }
            if (i < 10 && t + i < taps) {
                memcpy(&half, last + k, 8);
                d = MCU_HALF;
                d = MCU_LOW(d, none);
                f[i] = MCU_WIDEN(MCU_LOW, d);
                f[i + 1] = MCU_WIDEN(MCU_HIGH, d);
            }
            for (p = 0; p < pixels; p++) {
                const int at = from + p * move + k;
                v4si first = { 0 }, second = { 0 };

                if (t) {
                    memcpy(&first, c + p * n + k, 16);
                    memcpy(&second, c + p * n + k + 4, 16);
                }
                for (i = 0; i < 10; i += 2) {
                    memcpy(&half, x[t + i] + at, 8);
                    d = MCU_HALF;
                    memcpy(&half, x[t + i + 1] + at, 8);
                    e = MCU_HALF;
                    d = MCU_LOW(d, e);
                    first += (v4si)__builtin_ia32_pmaddwd128(
                        MCU_CODES(MCU_LOW, d), f[i]);
                    second += (v4si)__builtin_ia32_pmaddwd128(
                        MCU_CODES(MCU_HIGH, d), f[i + 1]);
                }
                if (t + 10 >= taps) {
                    first >>= wide;
                    second >>= wide;
                }
                memcpy(c + p * n + k, &first, 16);
                memcpy(c + p * n + k + 4, &second, 16);
            }
        }
    }
#undef MCU_HALF
    if (n >= 8)
        return;
#endif
#undef MCU_WIDEN
#undef MCU_CODES
#undef MCU_LOW
#undef MCU_HIGH
    for (p = 0; p < pixels; p++, c += n) {
        const int at = from + p * move;

        if (taps % 2)
            for (j = 0; j < n; j++)
                c[j] = x[taps - 1][at + j] * last[j];
        else
            memset(c, 0, (size_t)n * sizeof *c);
        for (t = 0; t + 3 < taps; t += 4) {
            const T *a = x[t] + at, *b = x[t + 1] + at;
            const T *d = x[t + 2] + at, *e = x[t + 3] + at;
            const int8_t *f = w + t * ch, *h = f + 2 * ch;

            for (j = 0; j < n; j++)
                c[j] += a[j] * f[2 * j] + b[j] * f[2 * j + 1] +
                        d[j] * h[2 * j] + e[j] * h[2 * j + 1];
        }
        if (t + 1 < taps) {
            const T *a = x[t] + at, *b = x[t + 1] + at;
            const int8_t *f = w + t * ch;

            for (j = 0; j < n; j++)
                c[j] += a[j] * f[2 * j] + b[j] * f[2 * j + 1];
        }
    }
}

/* Depthwise: one filter per channel, w as in qtaps, of at most 32 taps; the
 * zero point is in bias. out: room for a pixel, where there are more than
 * 320 channels; else NULL. Stack: 1408 bytes */
KERNEL void mcu_qdepthwise_T_I(const int32_t *g, const T *const *row,
                               const int8_t *w, const int32_t *bias,
                               const int32_t *mult, I *out, I *y)
{
    const int ch = g[7], ow = g[1], taps = g[2] * g[3];
    const int room = g[0] - 1 - (g[3] - 1) * g[5] + g[6];
    const int most = ch < 64 ? 5 : ch < 320 ? 320 / ch : 1;
    const int lo = (g[6] + g[4] - 1) / g[4];
    int hi = room < 0 ? 0 : room / g[4] + 1;    /* lo to hi: all inside */
    const T *x[40];
    int32_t c[5 * 16];
    I some[320];
    T none[16];
    int i, j, m;

    for (j = 0; j < 16; j++)
        none[j] = (T)g[10];
    for (j = 0; j < g[2]; j++)
        hi = row[j] ? hi : 0;
    hi = hi < ow ? hi : ow;
    for (i = 0; i < ow; i += m) {
        const int col = g[12] ? ow - 1 - i : i, in = col >= lo && col < hi;
        const int left = !in ? 1 : g[12] ? col + 1 - lo : hi - col;
        I *to = out ? out : some;
        int at;

        m = left < most ? left : most;
        at = g[12] ? col + 1 - m : col;
        if (ch <= 16)
            to = y + at * ch;
        for (j = 0; j < ch; j += 16) {
            const int from = j + 16 > ch && ch > 16 ? ch - 16 : j;
            const int k = ch < 16 ? ch : 16;

            if (j == 0 || !in)
                mcu_qtaplist_T(g, row, at, in ? 0 : from, none, x);
            mcu_qtaps_T(taps, m, g[4] * ch, in ? from : 0, ch, k, x,
                        w + 2 * from, w + (taps - 1) * ch + from, c);
            mcu_qputs_I(g + 14, m, k, c, k, bias ? bias + from : NULL,
                        mult + (g[18] ? from : 0), to + from, ch);
        }
        if (ch > 16)
            memcpy(y + at * ch, to, (size_t)(m * ch) * sizeof *y);
    }
}

/* What mcu_qnarrow_T_I reads, to s: bias, multipliers and weights of fewer
 * than 16 channels, repeated up to 15 channels more than there are. */
KERNEL void mcu_qrepeat(const int32_t *g, const int8_t *w,
                        const int32_t *bias, const int32_t *mult, int32_t *s)
{
#if defined(__SSE2__) && defined(__GNUC__)
    const int ch = g[7], wide = ch + 15, taps = g[2] * g[3];
    int8_t *to = (int8_t *)(s + 2 * wide);
    int i, t, at = 0;

    for (i = 0; i < wide; i++) {
        s[i] = bias ? bias[at] : 0;
        s[wide + i] = mult[g[18] ? at : 0];
        for (t = 0; t + 1 < taps; t += 2) {
            to[t * wide + 2 * i] = w[t * ch + 2 * at];
            to[t * wide + 2 * i + 1] = w[t * ch + 2 * at + 1];
        }
        if (t < taps)
            to[t * wide + i] = w[t * ch + at];
        at = at + 1 < ch ? at + 1 : 0;
    }
#else
    (void)g, (void)w, (void)bias, (void)mult, (void)s;
#endif
}

/* Elements [from, to) of a row, one pixel or up to 96 of them inside the
 * image, which are read before the first is written. whole: all rows are
 * there. Stack: 704 bytes */
KERNEL void mcu_qstretch_T_I(const int32_t *g, const T *const *row, int from,
                             int to, int whole, const int32_t *s, I *y)
{
    const int ch = g[7], wide = ch + 15, taps = g[2] * g[3];
    const int n = to - from < 16 ? to - from : 16;
    const int8_t *const w = (const int8_t *)(s + 2 * wide);
    const T *x[40];
    int32_t c[6 * 16];
    T none[16];
    int i, at, ox;

    for (i = 0; i < 16; i++)
        none[i] = (T)g[10];
    for (i = 0; from + i * n < to; i++) {
        at = from + i * n + n > to ? to - n : from + i * n;
        ox = at / ch;
        if (i == 0 || !whole)
            mcu_qtaplist_T(g, row, ox, at - ox * ch, none, x);
        mcu_qtaps_T(taps, 1, 0, whole ? at - from : 0, wide, n, x,
                    w + 2 * (at - ox * ch),
                    w + (taps - 1) * wide + (at - ox * ch), c + 16 * i);
    }
    for (i = 0; from + i * n < to; i++) {
        at = from + i * n + n > to ? to - n : from + i * n;
        ox = at / ch;
        mcu_qputs_I(g + 14, 1, n, c + 16 * i, n, s + (at - ox * ch),
                    s + wide + (at - ox * ch), y + at, n);
    }
}

/* Depthwise with stride 1 and fewer than 16 channels: what is inside the
 * image is a run of elements, 16 at a time whichever channels they are of.
 * s: by mcu_qrepeat. 0: not with this compiler's target, for which pixels
 * are as good. */
KERNEL int mcu_qnarrow_T_I(const int32_t *g, const T *const *row,
                           const int32_t *s, I *y)
{
#if defined(__SSE2__) && defined(__GNUC__)
    const int ch = g[7], ow = g[1], edge = g[0] - (g[3] - 1) * g[5] + g[6];
    int first = g[6], last = edge < ow ? edge : ow, run = (last - first) * ch;
    int i, from, blocks = (run + 95) / 96, whole = 1;

    if (run < 16) {             /* pixel by pixel */
        first = last = ow;
        blocks = run = 0;
    }
    for (i = 0; i < g[2]; i++)
        whole = whole && row[i];
    for (i = 0; i < first + blocks + ow - last; i++) {
        const int part = g[12] ? first + blocks + ow - last - 1 - i : i;
        const int b = part - first;
        int n = ch;

        if (b < 0) {
            from = part * ch;
        } else if (b >= blocks) {
            from = (last + b - blocks) * ch;
        } else {                /* of nearly the same size, 16 at least */
            const int more = run % blocks;

            n = run / blocks + (b < more);
            from = first * ch + b * (run / blocks) + (b < more ? b : more);
        }
        mcu_qstretch_T_I(g, row, from, from + n, whole, s, y);
    }
    return 1;
#else
    (void)g, (void)row, (void)s, (void)y;
    return 0;
#endif
}
