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
    mcu_qwiden_T(n, x, zero, s);
    if (n % 2)
        s[n] = 0;
}

/* The first pixel of a window that is one pixel inside the image, else NULL. */
KERNEL const T *mcu_qflat_T(const int32_t *g, const T *const *row, int ox)
{
    const int bare = g[2] * g[3] == 1 && !g[13] && !g[6] && !g[24];

    return bare && row[0] ? row[0] + ox * g[4] * g[7] : NULL;
}

/* c[16 i + j] = sum of (x - zero) w for m <= 4 rows x, `step` apart, and the
 * 16 columns of a panel: bytes times bytes, four terms at a time. minus: 128
 * times the sum of each row where T has a sign, whose weights then lose it;
 * zeros otherwise. Returns 0 where the target has no such products. */
KERNEL int mcu_qbytes_T(int m, int k, const T *x, int step, int32_t zero,
                        const uint32_t *minus, const int8_t *w, int32_t *c)
{
#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__GNUC__)
    typedef int32_t v16si __attribute__((vector_size(64)));
    typedef uint32_t v16su __attribute__((vector_size(64)));
    typedef int16_t v32hi __attribute__((vector_size(64)));
#if defined(__clang__)
#define MCU_MADD(s, x, y) (s = __builtin_ia32_vpdpbusd512(s, x, y))
#define MCU_FOURS(p)                                                        \
    __builtin_shufflevector(p, p, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, \
                            6, 22, 7, 23, 8, 24, 9, 25, 10, 26, 11, 27, 12, \
                            28, 13, 29, 14, 30, 15, 31)
#else
    const v32hi order = { 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22,
                          7, 23, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13,
                          29, 14, 30, 15, 31 };
#define MCU_MADD(s, x, y) (s = __builtin_ia32_vpdpbusd_v16si(s, x, y))
#define MCU_FOURS(p) __builtin_shuffle(p, order)
#endif
#define MCU_WEIGHTS                                                         \
    q = (v16si)MCU_FOURS(p);                                                \
    if (zero)                                                               \
        MCU_MADD(all, none + unit, q);                                      \
    if ((T)-1 < 0)                                                          \
        q ^= flip
#define MCU_ROW(row, n, s)                                                  \
    memcpy(&four, row + i, n);                                              \
    if ((T)-1 < 0)                                                          \
        MCU_MADD(s, q, none + four);                                        \
    else                                                                    \
        MCU_MADD(s, none + four, q)
#define MCU_ROWS(n, s0, s1, s2, s3)                                         \
    MCU_WEIGHTS;                                                            \
    MCU_ROW(x, n, s0);                                                      \
    MCU_ROW(x1, n, s1);                                                     \
    MCU_ROW(x2, n, s2);                                                     \
    MCU_ROW(x3, n, s3)
    const T *x1 = m > 1 ? x + step : x, *x2 = m > 2 ? x1 + step : x;
    const T *x3 = m > 3 ? x2 + step : x;
    const v16si none = { 0 };
    const v16si flip = none + (int32_t)0x80808080u;
    v16si s0 = none, s1 = none, s2 = none, s3 = none;
    v16si t0 = none, t1 = none, t2 = none, t3 = none;
    v16su a0, a1, a2, a3, off;
    v16si all = none, q;
    int32_t four = 0, unit = 0x01010101;
    v32hi p;
    int i = 0;

    for (; i + 8 <= k; i += 4, w += 128) {
        memcpy(&p, w, 64);
        MCU_ROWS(4, s0, s1, s2, s3);
        memcpy(&p, w + 64, 64);
        i += 4;
        MCU_ROWS(4, t0, t1, t2, t3);
    }
    for (; i + 4 <= k; i += 4, w += 64) {
        memcpy(&p, w, 64);
        MCU_ROWS(4, s0, s1, s2, s3);
    }
    if (i < k) {                /* pairs are filled with zeros */
        const size_t n = (size_t)(k - i);

        p = (v32hi)none;
        memcpy(&p, w, n > 2 ? 64 : 32);
        four = 0;
        unit >>= 8 * (4 - n);
        MCU_ROWS(n, t0, t1, t2, t3);
    }
    off = (v16su)all * (uint32_t)zero;
    a0 = (v16su)s0 + (v16su)t0 - (off + minus[0]);
    a1 = (v16su)s1 + (v16su)t1 - (off + minus[1]);
    a2 = (v16su)s2 + (v16su)t2 - (off + minus[2]);
    a3 = (v16su)s3 + (v16su)t3 - (off + minus[3]);
    memcpy(c, &a0, 64);
    memcpy(c + 16, &a1, 64);
    memcpy(c + 32, &a2, 64);
    memcpy(c + 48, &a3, 64);
#undef MCU_MADD
#undef MCU_FOURS
#undef MCU_WEIGHTS
#undef MCU_ROW
#undef MCU_ROWS
    return 1;
#else
    (void)m, (void)k, (void)x, (void)step, (void)zero, (void)minus;
    (void)w, (void)c;
    return 0;
#endif
}

/* The first columns of m pixels x, by mcu_qbytes_T, as many as are in whole
 * panels; returns how many. c: room for 64 sums. */
KERNEL int mcu_qlean_flat_T_I(const int32_t *g, int m, const T *x,
                              const int8_t *w, const int32_t *bias,
                              const int32_t *mult, int32_t *c, I *to)
{
    const int k = g[7], n = g[9], step = g[4] * k;
    uint32_t minus[4] = { 0 };
    int j;

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__GNUC__)
    for (int r = 0; r < m && (T)-1 < 0; r++) {
        int32_t sum = 0;

        for (j = 0; j < k; j++)
            sum += x[r * step + j];
        minus[r] = 128 * (uint32_t)sum;
    }
#endif
    for (j = 0; g[26] - j > 8 && j < n; j += 16) {
        const int cols = n - j < 16 ? n - j : 16;

        if (!mcu_qbytes_T(m, k, x, step, g[10], minus,
                          w + (g[25] + 1) / 2 * 2 * j, c))
            return 0;
        mcu_qputs_I(g + 14, m, cols, c, 16, bias ? bias + j : NULL,
                    mult + (g[18] ? j : 0), to + j, n);
    }
    return j;
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
        j = flat ? mcu_qlean_flat_T_I(g, m, flat, w, bias, mult, c, to) : 0;
        for (; j < n; j += 16) {
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
            mcu_qputs_I(g + 14, m, cols, c, 16, bias ? bias + j : NULL,
                        mult + (g[18] ? j : 0), to + j, n);
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
