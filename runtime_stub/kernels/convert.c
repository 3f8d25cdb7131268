/* convert.c - conversions between element types, and integer arithmetic
 * that is more than one C operator. */
#ifndef T                       /* for this file as it stands */
#define T int32_t
#define I float
#define U uint32_t
#define A int64_t
#define T_LOWEST INT32_MIN
#define T_HIGHEST INT32_MAX
#endif
#include "kernel.h"

/* Scaling by 2^112 gives every finite half its float, subnormals too. */
KERNEL inline float mcu_f16_to_f32(uint16_t h)
{
    const uint32_t a = ((uint32_t)h & 0x7fffu) << 13;
    uint32_t u;
    float f;

    memcpy(&f, &a, 4);
    f *= 5.19229686e33f;
    memcpy(&u, &f, 4);
    u = a < 0x0f800000u ? u : a | 0x70000000u | u;
    u |= ((uint32_t)h & 0x8000u) << 16;
    memcpy(&f, &u, 4);
    return f;
}

/* round to nearest, ties to even */
KERNEL inline uint16_t mcu_f32_to_f16(float f)
{
    uint32_t u, sign, r;
    float small;

    memcpy(&u, &f, 4);
    sign = u >> 16 & 0x8000u;
    u &= 0x7fffffffu;
    /* below 2^-14: adding 0.5 leaves units of 2^-24 in the low bits */
    memcpy(&small, &u, 4);
    small = (u < 0x38800000u ? small : 0.0f) + 0.5f;
    memcpy(&r, &small, 4);
    r = u < 0x38800000u ? r - 0x3f000000u
                        : (u + 0xfffu + (u >> 13 & 1u) - 0x38000000u) >> 13;
    r = u >= 0x477ff000u ? 0x7c00u : r;
    r = u > 0x7f800000u ? 0x7e00u : r;
    return (uint16_t)(sign | r);
}

KERNEL inline float mcu_bf16_to_f32(uint16_t h)
{
    const uint32_t u = (uint32_t)h << 16;
    float f;

    memcpy(&f, &u, 4);
    return f;
}

KERNEL inline uint16_t mcu_f32_to_bf16(float f)
{
    uint32_t u;

    memcpy(&u, &f, 4);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

/* The float next to d that rounds to any shorter format as d does: inexact
 * ones end in an odd bit. */
KERNEL inline float mcu_f64_to_odd(double d)
{
    float f = (float)d;
    const double back = (double)f;
    uint32_t u;

    memcpy(&u, &f, 4);
    if (!(back < d || back > d))
        return f;
    if (d > 0.0 ? back > d : back < d)
        u--;
    u |= 1u;
    memcpy(&f, &u, 4);
    return f;
}

KERNEL inline uint16_t mcu_f64_to_f16(double d)
{
    return mcu_f32_to_f16(mcu_f64_to_odd(d));
}

KERNEL inline uint16_t mcu_f64_to_bf16(double d)
{
    return mcu_f32_to_bf16(mcu_f64_to_odd(d));
}

/* A double that rounds like x to 16-bit floats: sticky low half */
KERNEL inline double mcu_sticky_u64(uint64_t x)
{
    if (x >> 53)
        x = (x >> 32 << 32) | (uint64_t)((uint32_t)x != 0u) << 32;
    return (double)x;
}

KERNEL inline double mcu_sticky_s64(int64_t x)
{
    const uint64_t m = x < 0 ? UINT64_C(0) - (uint64_t)x : (uint64_t)x;
    const double d = mcu_sticky_u64(m);

    return x < 0 ? -d : d;
}

/* truncates, saturates; NaN gives 0 */
KERNEL inline T mcu_truncate_T_I(I x)
{
    return (T)(x <= (I)T_LOWEST ? T_LOWEST
               : x >= (I)T_HIGHEST ? T_HIGHEST
               : x < (I)T_HIGHEST ? (T)x : (T)0);
}

KERNEL inline int mcu_truncate_s4_I(I x)
{
    return x <= -8 ? -8 : x >= 7 ? 7 : x < 7 ? (int)x : 0;
}

KERNEL inline int mcu_truncate_u4_I(I x)
{
    return x <= 0 ? 0 : x >= 15 ? 15 : x < 15 ? (int)x : 0;
}

/* 4-bit integers, two per byte, low nibble first */

KERNEL inline int mcu_get_u4(const uint8_t *p, size_t i)
{
    return p[i / 2u] >> (i % 2u * 4u) & 15;
}

KERNEL inline int mcu_get_s4(const uint8_t *p, size_t i)
{
    return ((p[i / 2u] >> (i % 2u * 4u) & 15) ^ 8) - 8;
}

/* element i alone */
KERNEL inline void mcu_set_4(uint8_t *p, size_t i, int x)
{
    const int shift = i % 2u ? 4 : 0;

    p[i / 2u] = (uint8_t)((p[i / 2u] & (0xf0 >> shift)) | (x & 15) << shift);
}

/* elements in ascending order: the even one clears the byte */
KERNEL inline void mcu_put_4(uint8_t *p, size_t i, int x)
{
    const int old = i % 2u ? p[i / 2u] & 15 : 0;

    p[i / 2u] = (uint8_t)(old | (x & 15) << (i % 2u * 4u));
}

/* remainder with the sign of the divisor; x mod 0 = 0 */
KERNEL inline T mcu_mod_T(T x, T y)
{
    T r;

    if (y == 0 || y == -1)
        return 0;
    r = (T)(x % y);
    return r != 0 && (r < 0) != (y < 0) ? (T)(r + y) : r;
}

/* x^y, wraps */
KERNEL T mcu_powu_T(T x, uint64_t y)
{
    U r = 1, b = (U)x;

    for (; y != 0; y >>= 1) {
        if (y & 1u)
            r *= b;
        b *= b;
    }
    return (T)r;
}

/* negative powers truncate 1 / x^-y; 0 gives 0 */
KERNEL T mcu_powi_T(T x, int64_t y)
{
    if (y >= 0)
        return mcu_powu_T(x, (uint64_t)y);
    if (x == 1)
        return 1;
    if ((double)x < 0.0 && (double)x > -2.0)
        return (T)(y % 2 != 0 ? x : (T)1);
    return 0;
}
