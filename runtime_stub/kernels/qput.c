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

/* The first channels of mcu_qput_I, sixteen at a time; returns how many. */
KERNEL int mcu_qput_wide_I(const int32_t *q, int n, const int32_t *c,
                           const int32_t *bias, int32_t add,
                           const int32_t *mult, I *y)
{
    int i = 0;

#if defined(__AVX512F__) && defined(__GNUC__)
    typedef int32_t v16si __attribute__((vector_size(64)));
    typedef uint32_t v16su __attribute__((vector_size(64)));
    typedef uint64_t v8du __attribute__((vector_size(64)));
    typedef I v16 __attribute__((vector_size(16 * sizeof(I))));
    const v16si none = { 0 };
    const v8du half = (v8du)none + 0x80000000u;
#if defined(__clang__)
#define MCU_TIMES(a, m) (v8du)__builtin_ia32_pmuldq512(a, m)
#else
#define MCU_TIMES(a, m)                                                     \
    (v8du)__builtin_ia32_pmuldq512_mask(a, m, (v8di)none, 255)
    typedef long long v8di __attribute__((vector_size(64)));
    typedef char v16qi __attribute__((vector_size(16)));
#endif

    __asm__("" : "+r"(bias), "+r"(mult));       /* else gcc warns, see below */
    for (; i + 16 <= n; i += 16) {
        v16si a, b = none, m = none + mult[0];
        v8du even, odd;
        v16 r;

        memcpy(&a, c + i, 64);
        if (bias)
            memcpy(&b, bias + i, 64);
        if (q[4])
            memcpy(&m, mult + i, 64);
        a = (v16si)((v16su)(a + b + add) << q[0]);
        even = MCU_TIMES(a, m) + half;
        a = (v16si)((v8du)a >> 32);
        m = (v16si)((v8du)m >> 32);
        odd = MCU_TIMES(a, m) + half;
        a = (v16si)(even >> 32 | odd >> 32 << 32) + q[1];
#if defined(__clang__)
        b = a > q[2];
        a = (a & b) | (q[2] & ~b);
        b = a < q[3];
        a = (a & b) | (q[3] & ~b);
        r = __builtin_convertvector(a, v16);
#else
        a = __builtin_ia32_pmaxsd512_mask(a, none + q[2], none, 0xffff);
        a = __builtin_ia32_pminsd512_mask(a, none + q[3], none, 0xffff);
        if (sizeof r == 16) {
            const v16qi low = { 0 };
            const v16qi all = __builtin_ia32_pmovdb512_mask(a, low, 0xffff);

            memcpy(&r, &all, 16);
        } else {
            r = __builtin_convertvector(a, v16);
        }
#endif
        memcpy(y + i, &r, sizeof r);
    }
#undef MCU_TIMES
#else
    (void)q, (void)n, (void)c, (void)bias, (void)add, (void)mult, (void)y;
#endif
    return i;
}

/* y = requantized c + bias + add, n channels; c is overwritten */
KERNEL void mcu_qput_I(const int32_t *q, int n, int32_t *c,
                       const int32_t *bias, int32_t add,
                       const int32_t *mult, I *y)
{
    const int32_t shift = q[0], zero = q[1], lo = q[2], hi = q[3];
    const int32_t one = mult[0];
    int first = mcu_qput_wide_I(q, n, c, bias, add, mult, y), j;

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
    const v8si none = { 0 };
    const v4du half = (v4du)none + 0x80000000u;

    for (; first + 8 <= n; first += 8) {
        v8si a, b = none, m = none + one;
        v4du even, odd;
        v8 r;

        memcpy(&a, c + first, 32);
        if (bias)
            memcpy(&b, bias + first, 32);
        if (q[4])
            memcpy(&m, mult + first, 32);
        a = (v8si)((v8su)(a + b + add) << shift);
        even = (v4du)__builtin_ia32_pmuldq256(a, m) + half;
        a = (v8si)((v4du)a >> 32);
        m = (v8si)((v4du)m >> 32);
        odd = (v4du)__builtin_ia32_pmuldq256(a, m) + half;
        a = (v8si)(even >> 32 | odd >> 32 << 32) + zero;
#if defined(__clang__)
        b = a > lo;
        a = (a & b) | (lo & ~b);
        b = a < hi;
        a = (a & b) | (hi & ~b);
#else
        a = __builtin_ia32_pmaxsd256(a, none + lo);
        a = __builtin_ia32_pminsd256(a, none + hi);
#endif
        r = __builtin_convertvector(a, v8);
        memcpy(y + first, &r, sizeof r);
    }
#elif defined(__SSE2__) && defined(__GNUC__)
    typedef int32_t v4si __attribute__((vector_size(16)));
    typedef uint32_t v4su __attribute__((vector_size(16)));
    typedef uint64_t v2du __attribute__((vector_size(16)));
    typedef int16_t v8hi __attribute__((vector_size(16)));
    const v4si none = { 0 };
    const v2du half = (v2du)none + 0x80000000u;

    for (; sizeof(I) == 1 && first + 8 <= n; first += 8) {
        v4si part[2];
        v8hi h, keep;

        for (j = 0; j < 2; j++) {
            v4si a, b = none, m = none + one;
            v2du even, odd;

            memcpy(&a, c + first + 4 * j, 16);
            if (bias)
                memcpy(&b, bias + first + 4 * j, 16);
            if (q[4])
                memcpy(&m, mult + first + 4 * j, 16);
            a = (v4si)((v4su)(a + b + add) << shift);
            b = a >> 31 & m;    /* products are unsigned: 2^32 m too many */
            even = (v2du)__builtin_ia32_pmuludq128(a, m) + half;
            a = (v4si)((v2du)a >> 32);
            m = (v4si)((v2du)m >> 32);
            odd = (v2du)__builtin_ia32_pmuludq128(a, m) + half;
            a = (v4si)(even >> 32 | odd >> 32 << 32);
            part[j] = (v4si)((v4su)a - (v4su)b) + zero;
        }
        h = (v8hi)__builtin_ia32_packssdw128(part[0], part[1]);
        keep = (v8hi)(h > (int16_t)lo);         /* lo and hi fit I */
        h = (h & keep) | ((int16_t)lo & ~keep);
        keep = (v8hi)(h < (int16_t)hi);
        h = (h & keep) | ((int16_t)hi & ~keep);
        if ((I)-1 < 0)
            part[0] = (v4si)__builtin_ia32_packsswb128(h, h);
        else
            part[0] = (v4si)__builtin_ia32_packuswb128(h, h);
        memcpy(y + first, part, 8);
    }
#endif
    if (bias)
        for (j = first; j < n; j++)
            c[j] += bias[j];
    if (add)
        for (j = first; j < n; j++)
            c[j] += add;
    if (q[4])
        for (j = first; j < n; j++)
            y[j] = (I)mcu_requant(c[j], mult[j], shift, zero, lo, hi);
    else
        for (j = first; j < n; j++)
            y[j] = (I)mcu_requant(c[j], one, shift, zero, lo, hi);
}
