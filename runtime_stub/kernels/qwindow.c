/* qwindow.c - windows of images of codes, widened to int16, the zero point
 * taken off. g, row: as in qconv.c.
 */
#ifndef T                       /* for this file as it stands */
#define T int8_t
#define I int8_t
#endif
#include "kernel.h"

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
 * run, of pixels or, in a planar image, of each channel: [kernel row]
 * [channel][kernel column] */
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
            const T *x = row[k] + i * plane + at + lo;
            int16_t *p = s + i * kw + lo;

            for (j = hi - lo; j > 0; j--)
                *p++ = (int16_t)(*x++ - zero);
        }
    }
}

/* Four such windows of a planar image, eight codes at a time: what is too
 * much lies below the next run or behind the window. 0: the image is not
 * planar, or they are not inside. */
KERNEL int mcu_qplanes_T(const int32_t *g, const T *const *row, int ox,
                         int step, int16_t *s)
{
#if defined(__SSE2__) && defined(__GNUC__)
    typedef int16_t v8hi __attribute__((vector_size(16)));
#if defined(__clang__)
    typedef T v8 __attribute__((vector_size(8 * sizeof(T))));
#define MCU_CODES(u) __builtin_convertvector(u, v8hi)
#else
    typedef char v16 __attribute__((vector_size(16)));
    typedef long long v2di __attribute__((vector_size(16)));
    typedef long long v8;
#define MCU_TWICE(u) (v16)(v2di){ u, 0 }
#define MCU_CODES(u)                                                        \
    ((T)-1 < 0 ? (v8hi)__builtin_ia32_punpcklbw128(MCU_TWICE(u),            \
                                                   MCU_TWICE(u)) >> 8       \
               : (v8hi)__builtin_ia32_punpcklbw128(MCU_TWICE(u), (v16)none))
#endif
#define MCU_EIGHT(i)                                                        \
    memcpy(&u, x + j + (i) * next, 8);                                      \
    v = MCU_CODES(u) - z;                                                   \
    memcpy(s + j + (i) * step, &v, 16)
    const int c = g[7], kw = g[3], plane = g[13], next = g[4];
    const int at = ox * next - g[6], wide = (kw + 7) / 8 * 8;
    const v8hi none = { 0 }, z = none + (int16_t)g[10];
    int k, i, j, p, room = step;

    for (k = 0; k < g[2]; k++)
        if (!row[k])
            return 0;
    if (sizeof(T) > 1 || !plane || at < 0 || at + 3 * next + wide > g[0])
        return 0;
    for (k = 0; k < g[2]; k++) {
        const T *x = row[k] + at;

        for (i = 0; i < c; i++, x += plane, s += kw, room -= kw) {
            v8hi v;
            v8 u;

            for (j = 0; room >= wide && j < wide; j += 8) {
                MCU_EIGHT(0);
                MCU_EIGHT(1);
                MCU_EIGHT(2);
                MCU_EIGHT(3);
            }
            for (p = 0; room < wide && p < 4; p++)
                for (j = 0; j < kw; j++)
                    s[p * step + j] = (int16_t)(x[p * next + j] - g[10]);
        }
    }
#undef MCU_CODES
#undef MCU_TWICE
#undef MCU_EIGHT
    return 1;
#else
    (void)g, (void)row, (void)ox, (void)step, (void)s;
    return 0;
#endif
}

/* windows of m output columns from ox on, groups of k elements `step` apart,
 * each followed by so many zeros */
KERNEL void mcu_qwindows_T(const int32_t *g, const T *const *row, int ox,
                           int m, int k, int step, int zeros, int16_t *s)
{
    const int groups = g[8], span = groups == 1 && g[5] == 1;
    const int planes = span && m == 4 && mcu_qplanes_T(g, row, ox, step, s);
    int i;

    for (i = 0; span && !planes && i < m; i++)
        mcu_qspan_T(g, row, ox + i, s + i * step);
    for (i = 0; !span && i < m; i++)
        mcu_qwindow_T(g, row, ox + i, step, s + i * groups * step);
    for (i = 0, s += k; zeros > 0 && i < m * groups; i++, s += step)
        if (zeros > 1)
            memset(s, 0, (size_t)zeros * sizeof *s);
        else
            *s = 0;
}
