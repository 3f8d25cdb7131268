/* qlean.c - convolutions and matrix products of codes with little scratch,
 * for steps where every byte of the arena counts. Terms are widened a few at
 * a time for each panel of weights (qpair.c), or, with several groups, taken
 * where they lie. Slower than qconv.c, and the same results.
 */
#ifndef T                       /* for this file as it stands */
#define T int8_t
#define I int8_t
#endif
#include "kernel.h"

/* sum of n terms; those of x are `next` elements apart */
KERNEL int32_t mcu_qterms_T(int n, const T *x, int next, int32_t zero,
                            const int8_t *w)
{
    int32_t sum = 0;
    int i;

    if (next == 1)
        for (i = 0; i < n; i++)
            sum += (x[i] - zero) * w[i];
    else
        for (i = 0; i < n; i++)
            sum += (x[i * next] - zero) * w[i];
    return sum;
}

/* s = n terms from `from` on of the window of output column ox, zero point
 * taken off, and a zero where n is odd. One group. */
KERNEL void mcu_qsome_T(const int32_t *g, const T *const *row, int ox,
                        int from, int n, int16_t *s)
{
    const int c = g[7], pixel = g[13] ? 1 : c, next = g[13] ? g[13] : 1;
    int tap = from / c, ch = from % c, i;

    if (n % 2)
        s[n] = 0;
    while (n > 0) {
        const T *const line = row[tap / g[3]];
        const int at = ox * g[4] - g[6] + tap % g[3] * g[5];
        const int few = c - ch < n ? c - ch : n;

        if (!line || at < 0 || at >= g[0])
            memset(s, 0, (size_t)few * sizeof *s);
        else if (next == 1)
            mcu_qwiden_T(few, line + at * pixel + ch, g[10], s);
        else
            for (i = 0; i < few; i++)
                s[i] = (int16_t)(line[at * pixel + (ch + i) * next] - g[10]);
        s += few;
        n -= few;
        ch = 0;
        tap++;
    }
}

/* s = x - zero, n elements, and a zero where n is odd */
KERNEL void mcu_qagain_T(int n, const T *x, int32_t zero, int16_t *s)
{
    int i;

    for (; n >= 32; n -= 32, x += 32, s += 32)
        for (i = 0; i < 32; i++)
            s[i] = (int16_t)(x[i] - zero);
    for (i = 0; i < n; i++)
        s[i] = (int16_t)(x[i] - zero);
    if (n % 2)
        s[n] = 0;
}

/* The first pixel of a window that is one pixel inside the image, else NULL. */
KERNEL const T *mcu_qflat_T(const int32_t *g, const T *const *row, int ox)
{
    const int bare = g[2] * g[3] == 1 && !g[13] && !g[6] && !g[24];

    return bare && row[0] ? row[0] + ox * g[4] * g[7] : NULL;
}

/* A row of outputs of one group, weights in panels of g[25] terms, g[26]
 * columns in all, of which k and n are the first. `in`: room for the
 * windows of a block, else NULL; `out`: for its outputs, or NULL where they
 * are 16 at most or `in` is there. Fewer rows take more terms at a time.
 * Stack: 640 bytes */
KERNEL void mcu_qlean2_T_I(const int32_t *g, const T *const *row,
                           const int8_t *w, const int32_t *bias,
                           const int32_t *mult, T *in, I *out, I *y)
{
    const int k = g[2] * g[3] * g[7], n = g[9], ow = g[1];
    int32_t c[4 * 16];
    int16_t s[4 * 32];
    int i, j, m, r, from, most;

    for (i = 0; i < ow; i += m) {
        const T *flat;
        int at;
        I *to;

        m = ow - i < g[11] ? ow - i : g[11];
        at = g[12] ? ow - i - m : i;
        to = out ? out : y + at * n;
        most = m > 2 ? 32 : m > 1 ? 64 : 128;
        flat = mcu_qflat_T(g, row, at);
        if (in && flat)
            flat = memcpy(in, flat, (size_t)(m * k) * sizeof *in);
        for (j = 0; j < n; j += 16) {
            const int cols = n - j < 16 ? n - j : 16;
            const int width = g[26] - j > 8 ? 16 : 8;
            const int8_t *v = w + (g[25] + 1) / 2 * 2 * j;

            memset(c, 0, sizeof c);
            for (from = 0; from < k; from += most) {
                const int few = k - from < most ? k - from : most;
                const int pairs = (few + 1) / 2;

                for (r = 0; r < m; r++)
                    if (flat)
                        mcu_qagain_T(few, flat + r * g[4] * k + from, g[10],
                                     s + most * r);
                    else
                        mcu_qsome_T(g, row, at + r, from, few, s + most * r);
                mcu_qpair(m, pairs, width, cols, s, most, v, c);
                v += 2 * width * pairs;
            }
            for (r = 0; r < m; r++)
                mcu_qput_I(g + 14, cols, c + 16 * r, bias ? bias + j : NULL,
                           0, mult + (g[18] ? j : 0), to + r * n + j);
        }
        if (out)
            memcpy(y + at * n, out, (size_t)(m * n) * sizeof *y);
    }
}

/* One row of outputs; g, row and w as mcu_qconv8_T_I. out: room for a pixel
 * of more than 32 outputs; else NULL. Stack: 224 bytes */
KERNEL void mcu_qlean_T_I(const int32_t *g, const T *const *row,
                          const int8_t *w, const int32_t *bias,
                          const int32_t *mult, I *out, I *y)
{
    const int taps = g[2] * g[3], cg = g[7] / g[8], all = g[9] * g[8];
    const int pixel = g[13] ? 1 : g[7], next = g[13] ? g[13] : 1;
    int32_t c[32];
    int i, j, k, t;

    for (i = 0; i < g[1]; i++) {
        const int ox = g[12] ? g[1] - 1 - i : i;
        I *to = out ? out : y + ox * all;

        for (j = 0; j < all; j += 32) {
            const int n = all - j < 32 ? all - j : 32;

            memset(c, 0, sizeof c);
            for (t = 0; t < taps; t++) {
                const T *line = row[t / g[3]];
                const int at = ox * g[4] - g[6] + t % g[3] * g[5];

                if (!line || at < 0 || at >= g[0])
                    continue;
                for (k = 0; k < n; k++)
                    c[k] += mcu_qterms_T(cg, line + at * pixel +
                                             (j + k) / g[9] * cg * next,
                                         next, g[10],
                                         w + ((j + k) * taps + t) * cg);
            }
            mcu_qput_I(g + 14, n, c, bias ? bias + j : NULL, 0,
                       mult + (g[18] ? j : 0), to + j);
        }
        if (out)
            memcpy(y + ox * all, out, (size_t)all * sizeof *y);
    }
}
