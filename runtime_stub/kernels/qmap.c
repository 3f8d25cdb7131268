/* qmap.c - elementwise steps on quantized codes: what codegen's loops call
 * per element, and table lookups. Integers only.
 */
#ifndef T                       /* for this file as it stands */
#define T int8_t
#define I uint8_t
#define U uint32_t
#define A int64_t
#define T_LOWEST INT8_MIN
#define T_HIGHEST INT8_MAX
#endif
#include "kernel.h"

/* x in lo..hi; one instruction for whole types on Arm cores that have it */
KERNEL inline int32_t mcu_code(int32_t x, int32_t lo, int32_t hi)
{
#ifdef __ARM_FEATURE_SAT
    if (lo == -128 && hi == 127)
        return (int32_t)__builtin_arm_ssat(x, 8);
    if (lo == 0 && hi == 255)
        return (int32_t)__builtin_arm_usat(x, 8);
#endif
    x = x > lo ? x : lo;
    return x < hi ? x : hi;
}

KERNEL inline int32_t mcu_code_wide(int64_t x, int32_t lo, int32_t hi)
{
    x = x > lo ? x : lo;
    return (int32_t)(x < hi ? x : hi);
}

/* round(acc * m / 2^32), ties up; below 2^31 for any acc, as m is */
KERNEL inline int32_t mcu_scale_code(int32_t acc, int32_t m)
{
    return (int32_t)(((int64_t)acc * m + ((int64_t)1 << 31)) >> 32);
}

/* the same of 33 bits, with a shift of its own, at most 48 */
KERNEL inline int64_t mcu_scale_wide(int64_t x, int32_t m, int shift)
{
    return (x * m + ((int64_t)1 << (shift - 1))) >> shift;
}

/* y[i] = table[bits of x[i]]; y may be x. Four at a time, staged. */
KERNEL void mcu_lookup_T_I(I *y, const T *x, size_t n, const I *table)
{
    const size_t whole = n - n % 4;
    size_t i;

    for (i = 0; i < whole; i += 4) {
        const I a = table[(uint8_t)x[i]], b = table[(uint8_t)x[i + 1]];
        const I c = table[(uint8_t)x[i + 2]], d = table[(uint8_t)x[i + 3]];

        y[i] = a;
        y[i + 1] = b;
        y[i + 2] = c;
        y[i + 3] = d;
    }
    for (; i < n; i++)
        y[i] = table[(uint8_t)x[i]];
}

/* The same from the last element to the first, one at a time. */
KERNEL void mcu_lookup_back_T_I(I *y, const T *x, size_t n, const I *table)
{
    size_t i;

    for (i = n; i > 0; i--)
        y[i - 1] = table[(uint8_t)x[i - 1]];
}
