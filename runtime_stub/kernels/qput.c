/* qput.c - sums become codes by the rule of requantization, a row of channels
 * at a time: products of 32 bits, of which the high halves count, in vectors
 * where the compiler has them.
 *
 * I: type of y. q: shift, zero point of y, lo, hi, 1 where every channel has
 * its own multiplier.
 */
#ifndef T                       /* for this file as it stands */
#define T int8_t
#define I int8_t
#endif
#include "kernel.h"

/* clamp(zero + floor((acc 2^shift m + 2^31) / 2^32), lo, hi) */
KERNEL inline int32_t mcu_requant(int32_t acc, int32_t m, int32_t shift,
                                  int32_t zero, int32_t lo, int32_t hi)
{
    const int64_t p = (int64_t)(int32_t)((uint32_t)acc << shift) * m;
    const uint64_t r = (uint64_t)p + 0x80000000u;
    const int32_t y = (int32_t)(uint32_t)(r >> 32) + zero;
    const int32_t z = y < lo ? lo : y;

    return z > hi ? hi : z;
}

/* The first columns of mcu_qputs_I, sixteen at a time; returns how many. */
KERNEL int mcu_qput_wide_I(const int32_t *q, int rows, int n,
                           const int32_t *c, int step, const int32_t *bias,
                           const int32_t *mult, I *y, int ld)
{
    int i = 0;

#if defined(__AVX512F__) && defined(__GNUC__)
    typedef int32_t v16si __attribute__((vector_size(64)));
    typedef uint32_t v16su __attribute__((vector_size(64)));
    typedef uint64_t v8du __attribute__((vector_size(64)));
    typedef I v16 __attribute__((vector_size(16 * sizeof(I))));
    const v16si none = { 0 }, zero = none + q[1];
    const v16si lo = none + q[2], hi = none + q[3];
    const v8du half = (v8du)none + 0x80000000u;
    const int32_t shift = q[0];
#if defined(__clang__)
#define MCU_TIMES(a, m) (v8du)__builtin_ia32_pmuldq512(a, m)
#else
#define MCU_TIMES(a, m)                                                     \
    (v8du)__builtin_ia32_pmuldq512_mask(a, m, (v8di)none, 255)
    typedef long long v8di __attribute__((vector_size(64)));
    typedef char v16qi __attribute__((vector_size(16)));
#endif
    int r;

    __asm__("" : "+r"(bias), "+r"(mult));       /* else gcc warns, see below */
    for (; n >= 16 && i < n; i += 16) {
        const int k = i + 16 > n ? n - 16 : i;
        v16si b = none, m = none + mult[0], odd_m;

        if (bias)
            memcpy(&b, bias + k, 64);
        if (q[4])
            memcpy(&m, mult + k, 64);
        odd_m = (v16si)((v8du)m >> 32);
        for (r = 0; r < rows; r++) {
            v8du even, odd;
            v16si a;
            v16 to;

            memcpy(&a, c + r * step + k, 64);
            a = (v16si)(((v16su)a + (v16su)b) << shift);
            even = MCU_TIMES(a, m) + half;
            a = (v16si)((v8du)a >> 32);
            odd = MCU_TIMES(a, odd_m) + half;
            a = (v16si)(even >> 32 | odd >> 32 << 32) + zero;
#if defined(__clang__)
            {
                v16si keep = a > lo;

                a = (a & keep) | (lo & ~keep);
                keep = a < hi;
                a = (a & keep) | (hi & ~keep);
            }
            to = __builtin_convertvector(a, v16);
#else
            a = __builtin_ia32_pmaxsd512_mask(a, lo, none, 0xffff);
            a = __builtin_ia32_pminsd512_mask(a, hi, none, 0xffff);
            if (sizeof to == 16) {
                const v16qi low = { 0 };
                const v16qi all = __builtin_ia32_pmovdb512_mask(a, low,
                                                                0xffff);

                memcpy(&to, &all, 16);
            } else {
                to = __builtin_convertvector(a, v16);
            }
#endif
            memcpy(y + r * ld + k, &to, sizeof to);
        }
    }
#undef MCU_TIMES
#else
    (void)q, (void)rows, (void)n, (void)c, (void)step, (void)bias;
    (void)mult, (void)y, (void)ld;
#endif
    return i;
}

/* y = requantized c + bias, whose sum alone need fit 32 bits, in `rows` rows
 * of n channels; rows of c are `step` apart, rows of y `ld`; c is overwritten
 */
KERNEL void mcu_qputs_I(const int32_t *q, int rows, int n, int32_t *c,
                        int step, const int32_t *bias, const int32_t *mult,
                        I *y, int ld)
{
    const int32_t shift = q[0], zero = q[1], lo = q[2], hi = q[3];
    const int32_t one = mult[0];
    int first, j, r;

    if (!q[4] && !bias && step == n && ld == n) {
        n *= rows;              /* one long row */
        rows = 1;
    }
    first = mcu_qput_wide_I(q, rows, n, c, step, bias, mult, y, ld);
    if (first >= n)
        return;

    /* gcc warns of arrays shorter than a vector, which the loops never read,
     * as long as it knows which arrays these are */
#if defined(__SSE2__) && defined(__GNUC__)
    __asm__("" : "+r"(bias), "+r"(mult));
#endif
#if defined(__AVX2__) && defined(__GNUC__)
    typedef int32_t v8si __attribute__((vector_size(32)));
    typedef uint32_t v8su __attribute__((vector_size(32)));
    typedef uint64_t v4du __attribute__((vector_size(32)));
    typedef I v8 __attribute__((vector_size(8 * sizeof(I))));
#if !defined(__clang__)
    typedef int16_t v16hi __attribute__((vector_size(32)));
    typedef long long v4di __attribute__((vector_size(32)));
    v4di codes;
#endif
    const v8si none = { 0 };
    const v4du half = (v4du)none + 0x80000000u;

    for (; n >= 8 && first < n; first += 8) {
        const int k = first + 8 > n ? n - 8 : first;
        v8si b = none, m = none + one, odd_m;

        if (bias)
            memcpy(&b, bias + k, 32);
        if (q[4])
            memcpy(&m, mult + k, 32);
        odd_m = (v8si)((v4du)m >> 32);
        for (r = 0; r < rows; r++) {
            v4du even, odd;
            v8si a;
            v8 to;

            memcpy(&a, c + r * step + k, 32);
            a = (v8si)(((v8su)a + (v8su)b) << shift);
            even = (v4du)__builtin_ia32_pmuldq256(a, m) + half;
            a = (v8si)((v4du)a >> 32);
            odd = (v4du)__builtin_ia32_pmuldq256(a, odd_m) + half;
            a = (v8si)(even >> 32 | odd >> 32 << 32) + zero;
#if defined(__clang__)
            {
                v8si keep = a > lo;

                a = (a & keep) | (lo & ~keep);
                keep = a < hi;
                a = (a & keep) | (hi & ~keep);
            }
#else
            a = __builtin_ia32_pmaxsd256(a, none + lo);
            a = __builtin_ia32_pminsd256(a, none + hi);
            if (sizeof(I) == 1) {       /* gcc converts one by one */
                v16hi h = __builtin_ia32_packssdw256(a, a);

                h = (v16hi)__builtin_ia32_permdi256((v4di)h, 8);
                if ((I)-1 < 0)
                    codes = (v4di)__builtin_ia32_packsswb256(h, h);
                else
                    codes = (v4di)__builtin_ia32_packuswb256(h, h);
                memcpy(y + r * ld + k, &codes, 8);
                continue;
            }
#endif
            to = __builtin_convertvector(a, v8);
            memcpy(y + r * ld + k, &to, sizeof to);
        }
    }
#elif defined(__SSE2__) && defined(__GNUC__)
    typedef int32_t v4si __attribute__((vector_size(16)));
    typedef uint32_t v4su __attribute__((vector_size(16)));
    typedef uint64_t v2du __attribute__((vector_size(16)));
    typedef int16_t v8hi __attribute__((vector_size(16)));
    const v4si none = { 0 };
#if !defined(__clang__)
    const v8hi nil = { 0 };
#endif
    const v2du half = (v2du)none + 0x80000000u;

    /* products are unsigned: 2^32 m too many of negative a */
#define MCU_TIMES(a, m)                                                     \
    (((v2du)__builtin_ia32_pmuludq128(a, m) + half) >> 32 |                 \
     ((v2du)__builtin_ia32_pmuludq128((v4si)((v2du)a >> 32),                \
                                      (v4si)((v2du)m >> 32)) + half)        \
         >> 32 << 32)
#define MCU_CODES(a, m)                                                     \
    (v4si)((v4su)MCU_TIMES(a, m) - (v4su)(a >> 31 & m)) + zero

    for (; sizeof(I) == 1 && n >= 8 && first < n; first += 8) {
        const int k = first + 8 > n ? n - 8 : first;
        v4si b = none, d = none, m = none + one, l = m;

        if (bias) {
            memcpy(&b, bias + k, 16);
            memcpy(&d, bias + k + 4, 16);
        }
        if (q[4]) {
            memcpy(&m, mult + k, 16);
            memcpy(&l, mult + k + 4, 16);
        }
        for (r = 0; r < rows; r++) {
            v4si u, v;
            v8hi h;

            memcpy(&u, c + r * step + k, 16);
            memcpy(&v, c + r * step + k + 4, 16);
            u = (v4si)(((v4su)u + (v4su)b) << shift);
            v = (v4si)(((v4su)v + (v4su)d) << shift);
            u = MCU_CODES(u, m);
            v = MCU_CODES(v, l);
            h = (v8hi)__builtin_ia32_packssdw128(u, v);
#if defined(__clang__)
            {                           /* lo and hi fit I */
                v8hi keep = (v8hi)(h > (int16_t)lo);

                h = (h & keep) | ((int16_t)lo & ~keep);
                keep = (v8hi)(h < (int16_t)hi);
                h = (h & keep) | ((int16_t)hi & ~keep);
            }
#else
            h = __builtin_ia32_pmaxsw128(h, nil + (int16_t)lo);
            h = __builtin_ia32_pminsw128(h, nil + (int16_t)hi);
#endif
            if ((I)-1 < 0)
                u = (v4si)__builtin_ia32_packsswb128(h, h);
            else
                u = (v4si)__builtin_ia32_packuswb128(h, h);
            memcpy(y + r * ld + k, &u, 8);
        }
    }
#undef MCU_TIMES
#undef MCU_CODES
#endif
    for (r = 0; r < rows && first < n; r++, c += step, y += ld) {
        if (bias)
            for (j = first; j < n; j++)
                c[j] = (int32_t)((uint32_t)c[j] + (uint32_t)bias[j]);
        if (q[4])
            for (j = first; j < n; j++)
                y[j] = (I)mcu_requant(c[j], mult[j], shift, zero, lo, hi);
        else
            for (j = first; j < n; j++)
                y[j] = (I)mcu_requant(c[j], one, shift, zero, lo, hi);
    }
}

/* y = requantized c + bias + add, n channels; c is overwritten */
KERNEL void mcu_qput_I(const int32_t *q, int n, int32_t *c,
                       const int32_t *bias, int32_t add,
                       const int32_t *mult, I *y)
{
    int j;

    for (j = 0; add && j < n; j++)
        c[j] += add;
    mcu_qputs_I(q, 1, n, c, n, bias, mult, y, n);
}
