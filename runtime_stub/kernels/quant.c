/* quant.c - QuantizeLinear and the integer products of QOperator models.
 *
 * A result is saturate(round_half_even(x) + zero point). Rounding adds
 * 1.5 * 2^23 to a clamped float and reads the low bits: no library call, no
 * float to int conversion that could overflow, and loops become SIMD code.
 * Sums are modulo 2^32, in unsigned arithmetic. Zero points are taken off
 * the first operand as it is read, and off the second one by the sum of the
 * first: sum of x (w - z) = sum of x w - z sum of x.
 */
#ifndef T                       /* for this file as it stands */
#define T uint8_t
#define I int8_t
#define U uint32_t
#define A uint64_t
#define T_LOWEST 0
#define T_HIGHEST UINT8_MAX
#endif
#include "kernel.h"

/* round half to even after clamping to lo..hi, both within +-2^21 */
KERNEL inline int32_t mcu_quant(float x, float lo, float hi)
{
    uint32_t u;
    float r;

    r = x > lo ? x : lo;
    r = r < hi ? r : hi;
    r += 12582912.0f;
    memcpy(&u, &r, 4);
    return (int32_t)(u & 0x7fffffu) - 0x400000;
}

/* y = round(acc * scale) + zero, saturated; one scale per element when step
 * is 1, the same for all when it is 0 */
KERNEL void mcu_requant_T(T *y, const uint32_t *acc, size_t n,
                          const float *scale, size_t step, int32_t zero)
{
    const float lo = (float)(T_LOWEST - zero), hi = (float)(T_HIGHEST - zero);
    const float one = scale[0];
    size_t i;

    if (step == 0)
        for (i = 0; i < n; i++)
            y[i] = (T)(mcu_quant((float)(int32_t)acc[i] * one, lo, hi) +
                       zero);
    else
        for (i = 0; i < n; i++)
            y[i] = (T)(mcu_quant((float)(int32_t)acc[i] * scale[i], lo, hi) +
                       zero);
}

/* acc[j] = sum over k of (x[k] - zero) w[k * n + j]; returns the sum of
 * x[k] - zero. T: x, I: w */
KERNEL uint32_t mcu_qrow_T_I(uint32_t *restrict acc, const T *restrict x,
                             const I *restrict w, size_t kk, size_t n,
                             int32_t zero)
{
    const size_t whole = kk - kk % 4;
    uint32_t sum = 0;
    size_t k, j;

    for (j = 0; j < n; j++)
        acc[j] = 0;
    for (k = 0; k < whole; k += 4) {
        const int32_t a = x[k] - zero, b = x[k + 1] - zero;
        const int32_t c = x[k + 2] - zero, d = x[k + 3] - zero;
        const I *p = w + k * n, *q = p + n, *r = q + n, *t = r + n;

        for (j = 0; j < n; j++)
            acc[j] += (uint32_t)(a * p[j] + b * q[j] + c * r[j] + d * t[j]);
        sum += (uint32_t)(a + b + c + d);
    }
    for (k = kk % 4; k > 0; k--) {
        const int32_t a = x[kk - k] - zero;
        const I *p = w + (kk - k) * n;

        for (j = 0; j < n; j++)
            acc[j] += (uint32_t)(a * p[j]);
        sum += (uint32_t)a;
    }
    return sum;
}

/* acc[j] -= sum * zero[j], or zero[0] for all when step is 0 */
KERNEL void mcu_qcentre_T(uint32_t *acc, size_t n, uint32_t sum,
                          const T *zero, size_t step)
{
    size_t j;

    for (j = 0; j < n; j++) {
        const int32_t z = zero[j * step];

        acc[j] -= sum * (uint32_t)z;
    }
}

/* One row of outputs of one output channel: acc[o] += sum over channels and
 * taps of (x - xz) (w - wz). Geometry g of three spatial axes (leading ones
 * of size 1): in 0-2, kernel 3-5, stride 6-8, dilation 9-11, pad 12-14. */
KERNEL void mcu_qconv_T_I(uint32_t *acc, const T *x, const I *w,
                          const int32_t *g, int32_t channels, int32_t oz,
                          int32_t oy, int32_t n, int32_t xz, int32_t wz)
{
    const size_t plane = (size_t)g[0] * (size_t)g[1] * (size_t)g[2];
    int32_t c, kz, ky, kx, o;

    for (c = 0; c < channels; c++, x += plane)
        for (kz = 0; kz < g[3]; kz++)
            for (ky = 0; ky < g[4]; ky++, w += g[5]) {
                const int32_t z = oz * g[6] + kz * g[9] - g[12];
                const int32_t y = oy * g[7] + ky * g[10] - g[13];
                const T *row;

                if (z < 0 || z >= g[0] || y < 0 || y >= g[1])
                    continue;
                row = x + (size_t)(z * g[1] + y) * (size_t)g[2];
                for (kx = 0; kx < g[5]; kx++) {
                    const int32_t f = w[kx] - wz, s = g[8];
                    const int32_t at = kx * g[11] - g[14];
                    const int32_t end = (g[2] - at + s - 1) / s;
                    const int32_t last = g[2] > at && end < n ? end : n;

                    if (g[2] <= at)
                        continue;
                    o = at < 0 ? (s - 1 - at) / s : 0;
                    if (s == 1)
                        for (; o < last; o++)
                            acc[o] += (uint32_t)(f * (row[o + at] - xz));
                    else
                        for (; o < last; o++)
                            acc[o] += (uint32_t)(f * (row[o * s + at] - xz));
                }
            }
}

/* scale and zero point of uint8 for the range of x and 0 */
KERNEL float mcu_dynamic_scale(const float *x, size_t n, int32_t *zero)
{
    float lo = 0.0f, hi = 0.0f, scale;
    size_t i;

    for (i = 0; i < n; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }
    scale = hi > lo ? (hi - lo) / 255.0f : 1.0f;
    *zero = mcu_quant(0.0f - lo / scale, 0.0f, 255.0f);
    return scale;
}
