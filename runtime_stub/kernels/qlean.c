/* qlean.c - convolutions and matrix products of codes without scratch, for
 * steps where every byte of the arena counts: terms are taken where they lie
 * instead of being widened first. Slower than qconv.c, and the same results.
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
