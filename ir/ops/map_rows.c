/* map_rows.c - scalar.def compiled for every C type: one row function per
 * op and type, found by name. Functions in the expressions are libm's. */
#include "map_rows.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define COMMA ,
#define YES(...) __VA_ARGS__
#define NO(...)
#define T_BITS ((int)sizeof(T) * 8)

#define FLOAT_HELPERS(T, f)                                               \
    static T unit_##f(T x)                                                \
    {                                                                     \
        return x < 0 ? (T)0 : x > 1 ? (T)1 : x;                           \
    }                                                                     \
    static T sigmoid_##f(T x)                                             \
    {                                                                     \
        return (T)(x < 0 ? exp((double)x) / (1 + exp((double)x))          \
                         : 1 / (1 + exp(-(double)x)));                    \
    }                                                                     \
    static T softplus_##f(T x)                                            \
    {                                                                     \
        return (T)((x > 0 ? (double)x : 0) +                              \
                   log1p(exp(-fabs((double)x))));                         \
    }                                                                     \
    static T mish_##f(T x)                                                \
    {                                                                     \
        return (T)((double)x * tanh(log1p(exp((double)x))));              \
    }                                                                     \
    static T gelu_##f(T x)                                                \
    {                                                                     \
        return (T)(0.5 * (double)x * erfc((double)x * -M_SQRT1_2));       \
    }                                                                     \
    static T mod_##f(T x, T y)                                            \
    {                                                                     \
        double r = fmod((double)x, (double)y);                            \
        if (r == 0)                                                       \
            return (T)copysign(0, (double)y);                             \
        return (T)((r < 0) != (y < 0) ? r + (double)y : r);               \
    }

FLOAT_HELPERS(float, f32)
FLOAT_HELPERS(double, f64)
#define mcu_unit_T CAT(unit_)
#define mcu_sigmoid_T CAT(sigmoid_)
#define mcu_softplus_T CAT(softplus_)
#define mcu_mish_T CAT(mish_)
#define mcu_gelu_T CAT(gelu_)
#define mcu_mod_T CAT(mod_)
#define CAT(a) CAT1(a, SUFFIX)
#define CAT1(a, b) CAT2(a, b)
#define CAT2(a, b) a##b

#define mcu_fabs_T LIBM(fabs)
#define mcu_fmod_T LIBM(fmod)
#define mcu_ceil_T LIBM(ceil)
#define mcu_floor_T LIBM(floor)
#define mcu_rint_T LIBM(rint)
#define mcu_sqrt_T LIBM(sqrt)
#define mcu_exp_T LIBM(exp)
#define mcu_expm1_T LIBM(expm1)
#define mcu_log_T LIBM(log)
#define mcu_sin_T LIBM(sin)
#define mcu_cos_T LIBM(cos)
#define mcu_tan_T LIBM(tan)
#define mcu_asin_T LIBM(asin)
#define mcu_acos_T LIBM(acos)
#define mcu_atan_T LIBM(atan)
#define mcu_sinh_T LIBM(sinh)
#define mcu_cosh_T LIBM(cosh)
#define mcu_tanh_T LIBM(tanh)
#define mcu_asinh_T LIBM(asinh)
#define mcu_acosh_T LIBM(acosh)
#define mcu_atanh_T LIBM(atanh)
#define mcu_erf_T LIBM(erf)

/* the sign of the divisor; |y| of INT64_MIN is no problem for % */
static int64_t mod_signed(int64_t x, int64_t y)
{
    int64_t r;

    if (y == 0 || y == -1)
        return 0;
    r = x % y;
    return r && (r < 0) != (y < 0) ? r + y : r;
}

#define LIBM(fn) fn##f
#define T float
#define U uint32_t
#define T_MAX FLT_MAX
#define SUFFIX f32
#define WHEN_FLT YES
#define WHEN_SGN NO
#define WHEN_UNS NO
#define WHEN_INT NO
#define WHEN_NUM YES
#define WHEN_BOOL NO
#define WHEN_ALL YES
#include "map_type.h"
#undef LIBM

#define LIBM(fn) fn
#define T double
#define U uint64_t
#define T_MAX DBL_MAX
#define SUFFIX f64
#define WHEN_FLT YES
#define WHEN_SGN NO
#define WHEN_UNS NO
#define WHEN_INT NO
#define WHEN_NUM YES
#define WHEN_BOOL NO
#define WHEN_ALL YES
#include "map_type.h"

#undef mcu_mod_T
#define mcu_mod_T (T)mod_signed
#define T int8_t
#define U uint32_t
#define SUFFIX s8
#define WHEN_FLT NO
#define WHEN_SGN YES
#define WHEN_UNS NO
#define WHEN_INT YES
#define WHEN_NUM YES
#define WHEN_BOOL NO
#define WHEN_ALL YES
#include "map_type.h"

#define T int16_t
#define U uint32_t
#define SUFFIX s16
#define WHEN_FLT NO
#define WHEN_SGN YES
#define WHEN_UNS NO
#define WHEN_INT YES
#define WHEN_NUM YES
#define WHEN_BOOL NO
#define WHEN_ALL YES
#include "map_type.h"

#define T int32_t
#define U uint32_t
#define SUFFIX s32
#define WHEN_FLT NO
#define WHEN_SGN YES
#define WHEN_UNS NO
#define WHEN_INT YES
#define WHEN_NUM YES
#define WHEN_BOOL NO
#define WHEN_ALL YES
#include "map_type.h"

#define T int64_t
#define U uint64_t
#define SUFFIX s64
#define WHEN_FLT NO
#define WHEN_SGN YES
#define WHEN_UNS NO
#define WHEN_INT YES
#define WHEN_NUM YES
#define WHEN_BOOL NO
#define WHEN_ALL YES
#include "map_type.h"

#define T uint8_t
#define U uint32_t
#define SUFFIX u8
#define WHEN_FLT NO
#define WHEN_SGN NO
#define WHEN_UNS YES
#define WHEN_INT YES
#define WHEN_NUM YES
#define WHEN_BOOL NO
#define WHEN_ALL YES
#include "map_type.h"

#define T uint16_t
#define U uint32_t
#define SUFFIX u16
#define WHEN_FLT NO
#define WHEN_SGN NO
#define WHEN_UNS YES
#define WHEN_INT YES
#define WHEN_NUM YES
#define WHEN_BOOL NO
#define WHEN_ALL YES
#include "map_type.h"

#define T uint32_t
#define U uint32_t
#define SUFFIX u32
#define WHEN_FLT NO
#define WHEN_SGN NO
#define WHEN_UNS YES
#define WHEN_INT YES
#define WHEN_NUM YES
#define WHEN_BOOL NO
#define WHEN_ALL YES
#include "map_type.h"

#define T uint64_t
#define U uint64_t
#define SUFFIX u64
#define WHEN_FLT NO
#define WHEN_SGN NO
#define WHEN_UNS YES
#define WHEN_INT YES
#define WHEN_NUM YES
#define WHEN_BOOL NO
#define WHEN_ALL YES
#include "map_type.h"

#define T uint8_t
#define U uint32_t
#define SUFFIX b8
#define WHEN_FLT NO
#define WHEN_SGN NO
#define WHEN_UNS NO
#define WHEN_INT NO
#define WHEN_NUM NO
#define WHEN_BOOL YES
#define WHEN_ALL YES
#include "map_type.h"

MapRow *map_row(const char *name, DType dt)
{
    static const MapFn *const tables[DT_MAX] = {
        [DT_F32] = map_table_f32, [DT_F64] = map_table_f64,
        [DT_I8] = map_table_s8, [DT_I16] = map_table_s16,
        [DT_I32] = map_table_s32, [DT_I64] = map_table_s64,
        [DT_U8] = map_table_u8, [DT_U16] = map_table_u16,
        [DT_U32] = map_table_u32, [DT_U64] = map_table_u64,
        [DT_BOOL] = map_table_b8,
    };
    const MapFn *t = tables[dt];

    for (; t && t->name; t++)
        if (!strcmp(t->name, name))
            return t->fn;
    return NULL;
}
