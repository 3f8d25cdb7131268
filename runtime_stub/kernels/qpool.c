/* qpool.c - pools, means and sums of codes, channels last. g, row: as in
 * qconv.c; x need not be widened.
 */
#ifndef T                       /* for this file as it stands */
#define T int8_t
#define I int8_t
#define T_LOWEST INT8_MIN
#endif
#include "kernel.h"

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

/* The greatest codes of channels from j on under the window of output column
 * ox, as many as fill vectors; returns how many of n. */
KERNEL int mcu_qmost_T(const int32_t *g, const T *const *row, int ox, int j,
                       int n, T *most)
{
#if defined(__SSE2__) && defined(__GNUC__)
    typedef T v16 __attribute__((vector_size(16)));
    const int lanes = 16 / (int)sizeof(T), left = ox * g[4] - g[6];
    const v16 none = { 0 };
    int i, ky, kx;

    for (i = 0; i + lanes <= n; i += 2 * lanes) {
        /* two vectors, or one twice */
        const int next = i + 2 * lanes <= n ? lanes : 0;
        v16 a = none + T_LOWEST, b = a;

        for (ky = 0; ky < g[2]; ky++) {
            const T *x = row[ky] ? row[ky] + left * g[7] + j + i : NULL;
            int at = left;

            for (kx = 0; x && kx < g[3]; kx++, at += g[5], x += g[5] * g[7]) {
                v16 v, u, more;

                if (at < 0 || at >= g[0])
                    continue;
                memcpy(&v, x, 16);
                memcpy(&u, x + next, 16);
                more = (v16)(v > a);
                a = (v & more) | (a & ~more);
                more = (v16)(u > b);
                b = (u & more) | (b & ~more);
            }
        }
        memcpy(most + i, &a, 16);
        memcpy(most + i + next, &b, 16);
    }
    return n / lanes * lanes;
#else
    (void)g, (void)row, (void)ox, (void)j, (void)n, (void)most;
    return 0;
#endif
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
            /* where they are two vectors at most all is read before */
            T *into = sizeof(T) == 1 && n % 16 == 0 ? to + j : most;
            const int done = mcu_qmost_T(g, row, ox, j, n, into);

            for (t = done; t < n; t++)
                most[t] = T_LOWEST;
            for (ky = 0; done < n && ky < g[2]; ky++)
                for (kx = 0; row[ky] && kx < kw; kx++) {
                    const int at = ox * g[4] - g[6] + kx * g[5];
                    const T *x = row[ky] + at * ch + j;

                    if (at < 0 || at >= g[0])
                        continue;
                    for (t = done; t < n; t++)
                        most[t] = x[t] > most[t] ? x[t] : most[t];
                }
            if (done < n || into == most)
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
