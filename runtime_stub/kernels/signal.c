/* signal.c - discrete Fourier transforms and MelWeightMatrix. Complex
 * numbers are pairs (re, im). table: cos and sin of 2 pi k / n.
 */
#include "kernel.h"

/* One step of a transform of n points, from l spectra of `done` points each
 * (m = n / done apart) to spectra p times as long:
 * y[k + done q][j] = sum over r of w^((k + done q) r) x[k][j + r m / p],
 * w = e^(sign 2 pi i / (done p)). */
KERNEL void mcu_fft_step_T(T *y, const T *x, const T *table, int32_t n,
                           int32_t done, int32_t p, T sign)
{
    const int32_t m = n / done / p, len = done * p;
    int32_t k, q, r, j;

    for (k = 0; k < done; k++)
        for (q = 0; q < p; q++) {
            T *to = y + 2 * (k + done * q) * m;
            int32_t turn = 0;           /* (k + done q) r, modulo len */

            memcpy(to, x + 2 * k * m * p, 2u * (size_t)m * sizeof *to);
            for (r = 1; r < p; r++) {
                const T *from = x + 2 * (k * m * p + r * m);
                T c, s;

                turn = (turn + k + done * q) % len;
                c = table[2 * turn * (n / len)];
                s = sign * table[2 * turn * (n / len) + 1];
                for (j = 0; j < 2 * m; j += 2) {
                    to[j] += c * from[j] - s * from[j + 1];
                    to[j + 1] += c * from[j + 1] + s * from[j];
                }
            }
        }
}

/* the same for p = 2, whose factors are w and -w */
KERNEL void mcu_fft_two_T(T *restrict y, const T *restrict x, const T *table,
                          int32_t n, int32_t done, T sign)
{
    const int32_t m = n / done / 2;
    int32_t k, j;

    for (k = 0; k < done; k++) {
        const T c = table[2 * k * m], s = sign * table[2 * k * m + 1];
        const T *a = x + 4 * k * m, *b = a + 2 * m;
        T *lo = y + 2 * k * m, *hi = lo + 2 * done * m;

        for (j = 0; j < 2 * m; j += 2) {
            const T re = c * b[j] - s * b[j + 1];
            const T im = c * b[j + 1] + s * b[j];

            lo[j] = a[j] + re;
            lo[j + 1] = a[j + 1] + im;
            hi[j] = a[j] - re;
            hi[j + 1] = a[j + 1] - im;
        }
    }
}

/* Transform of the n points in x with y as room; returns where it is. */
KERNEL T *mcu_fft_T(T *x, T *y, const T *table, int32_t n, T sign)
{
    int32_t done = 1, p;
    T *swap;

    while (done < n) {
        for (p = 2; (n / done) % p != 0; p++)
            if (p > n / done / p)
                p = n / done - 1;
        if (p == 2)
            mcu_fft_two_T(y, x, table, n, done, sign);
        else
            mcu_fft_step_T(y, x, table, n, done, p, sign);
        done *= p;
        swap = x;
        x = y;
        y = swap;
    }
    return x;
}

/* n points from `in` of x, zeros behind; points are `stride` elements apart
 * and have 1 or 2 parts. half: the points behind n / 2 are the conjugates of
 * those before. */
KERNEL void mcu_dft_load_T(T *to, const T *x, int32_t in, int32_t n,
                           int32_t stride, int32_t parts, int half)
{
    int32_t k;

    for (k = 0; k < n; k++) {
        const int mirror = half && k > n / 2;
        const int32_t i = mirror ? n - k : k;
        const T *from = x + i * stride;
        const int there = i < in;

        to[2 * k] = there ? from[0] : (T)0;
        to[2 * k + 1] = there && parts == 2 ? (mirror ? -from[1] : from[1])
                                            : (T)0;
    }
}

KERNEL void mcu_dft_store_T(T *y, const T *from, int32_t out, int32_t stride,
                            int32_t parts, T scale)
{
    int32_t k;

    for (k = 0; k < out; k++) {
        y[k * stride] = from[2 * k] * scale;
        if (parts == 2)
            y[k * stride + 1] = from[2 * k + 1] * scale;
    }
}

/* a frame of n samples times a window (NULL: none) */
KERNEL void mcu_stft_load_T(T *to, const T *x, const T *window, int32_t n,
                            int32_t parts)
{
    int32_t k;

    for (k = 0; k < n; k++) {
        const T g = window ? window[k] : (T)1;

        to[2 * k] = x[k * parts] * g;
        to[2 * k + 1] = parts == 2 ? x[k * parts + 1] * g : (T)0;
    }
}

/* row in which edge i of bands + 2 lies */
KERNEL int32_t mcu_mel_edge(int32_t i, int32_t bands, double low, double high,
                            double len, double rate)
{
    const double from = 2595.0 * log1p(low / 700.0) / log(10.0);
    const double to = 2595.0 * log1p(high / 700.0) / log(10.0);
    const double step = (to - from) / (double)(bands + 2);
    const double mel = (double)i * step + from;
    const double hertz = 700.0 * expm1(mel / 2595.0 * log(10.0));
    double row = floor((len + 1.0) * hertz / rate);

    row = row > -1e9 ? row : -1e9;
    return (int32_t)(row < 1e9 ? row : 1e9);
}

/* y [rows][bands]: triangles from edge to edge */
KERNEL void mcu_mel_weights_T(T *y, int32_t rows, int32_t bands, double len,
                              double rate, double low, double high)
{
    int32_t i, j;

    memset(y, 0, (size_t)rows * (size_t)bands * sizeof *y);
    for (i = 0; i < bands; i++, y++) {
        const int32_t a = mcu_mel_edge(i, bands, low, high, len, rate);
        const int32_t b = mcu_mel_edge(i + 1, bands, low, high, len, rate);
        const int32_t c = mcu_mel_edge(i + 2, bands, low, high, len, rate);

        if (a == b && a >= 0 && a < rows)
            y[a * bands] = (T)1;
        for (j = a > 0 ? a : 0; a != b && j <= b && j < rows; j++)
            y[j * bands] = (T)((double)(j - a) / (double)(b - a));
        for (j = b > 0 ? b : 0; j < c && j < rows; j++)
            y[j * bands] = (T)((double)(c - j) / (double)(c - b));
    }
}
