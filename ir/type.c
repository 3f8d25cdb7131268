/* type.c - element types and shapes; scalars in storage. */
#include "ir.h"

#include <math.h>
#include <string.h>

typedef struct DTypeInfo {
    const char *name, *ctype, *suffix;
    int bits;
    DKind kind;
} DTypeInfo;

static const DTypeInfo dtypes[DT_MAX] = {
#define DTYPE(id, num, name, ctype, bits, kind, suffix)                   \
    [num] = { name, ctype, suffix, bits, DK_##kind },
#include "dtypes.def"
#undef DTYPE
};

static const DTypeInfo *info(DType dt)
{
    return &dtypes[(unsigned)dt < DT_MAX ? dt : DT_NONE];
}

int dtype_bits(DType dt)
{
    return info(dt)->bits;
}

int dtype_bytes(DType dt)
{
    return (info(dt)->bits + 7) / 8;
}

const char *dtype_name(DType dt)
{
    return info(dt)->name ? info(dt)->name : "undefined";
}

const char *dtype_ctype(DType dt)
{
    return info(dt)->ctype;
}

const char *dtype_suffix(DType dt)
{
    return info(dt)->suffix;
}

DKind dtype_kind(DType dt)
{
    return info(dt)->kind;
}

DType dtype_by_name(const char *name)
{
    for (int i = 0; i < DT_MAX; i++)
        if (dtypes[i].name && !strcmp(dtypes[i].name, name))
            return (DType)i;
    return DT_NONE;
}

bool dtype_is_float(DType dt)
{
    return dtype_kind(dt) == DK_FLOAT;
}

bool dtype_is_int(DType dt)
{
    return dtype_kind(dt) == DK_INT || dtype_kind(dt) == DK_UINT;
}

Type type_make(DType dt, int rank, const int64_t *dim)
{
    Type t = { dt, rank, { 0 } };

    for (int i = 0; i < rank; i++)
        t.dim[i] = dim[i];
    return t;
}

Type type_scalar(DType dt)
{
    return type_make(dt, 0, NULL);
}

Type type_vector(DType dt, int64_t n)
{
    return type_make(dt, 1, &n);
}

bool type_known(const Type *t)
{
    if (t->dt == DT_NONE || t->rank < 0)
        return false;
    for (int i = 0; i < t->rank; i++)
        if (t->dim[i] < 0)
            return false;
    return true;
}

bool type_same_shape(const Type *a, const Type *b)
{
    return a->rank == b->rank &&
           (a->rank <= 0 ||
            !memcmp(a->dim, b->dim, (size_t)a->rank * sizeof a->dim[0]));
}

bool type_equal(const Type *a, const Type *b)
{
    return a->dt == b->dt && type_same_shape(a, b);
}

int64_t type_span(const Type *t, int from, int to)
{
    int64_t n = 1;

    for (int i = from; i < to; i++)
        n *= t->dim[i];
    return n;
}

int64_t type_elems(const Type *t)
{
    return type_span(t, 0, t->rank);
}

int64_t type_bytes(const Type *t)
{
    return (type_elems(t) * dtype_bits(t->dt) + 7) / 8;
}

void type_strides(const Type *t, int64_t *stride)
{
    int64_t n = 1;

    for (int i = t->rank - 1; i >= 0; i--) {
        stride[i] = n;
        n *= t->dim[i];
    }
}

void type_print(Buf *b, const Type *t)
{
    buf_puts(b, dtype_name(t->dt));
    if (t->rank < 0)
        return;
    buf_putc(b, '[');
    for (int i = 0; i < t->rank; i++)
        buf_printf(b, "%s%lld", i ? "," : "", (long long)t->dim[i]);
    buf_putc(b, ']');
}

static uint32_t float_bits(float f)
{
    uint32_t u;

    memcpy(&u, &f, 4);
    return u;
}

static float bits_float(uint32_t u)
{
    float f;

    memcpy(&f, &u, 4);
    return f;
}

float f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exp = h >> 10 & 31, man = h & 1023;

    if (exp == 0)               /* zero or subnormal: man * 2^-24 */
        return bits_float(sign | float_bits((float)man * 0x1p-24f));
    if (exp == 31)
        return bits_float(sign | 0x7f800000u | man << 13);
    return bits_float(sign | (exp + 112) << 23 | man << 13);
}

uint16_t f32_to_f16(float f)
{
    uint32_t u = float_bits(f), sign = u >> 16 & 0x8000, abs = u & 0x7fffffff;

    if (abs > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (abs >= 0x477ff000)      /* rounds to 65536 or more */
        return (uint16_t)(sign | 0x7c00);
    if (abs < 0x38800000)       /* subnormal: units of 2^-24, ties to even */
        return (uint16_t)(sign |
                          (uint32_t)rintf(bits_float(abs) * 0x1p24f));
    abs += 0xfff + (abs >> 13 & 1);
    return (uint16_t)(sign | (abs - 0x38000000) >> 13);
}

float bf16_to_f32(uint16_t h)
{
    return bits_float((uint32_t)h << 16);
}

uint16_t f32_to_bf16(float f)
{
    uint32_t u = float_bits(f);

    if ((u & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* The float next to d that rounds like d to any shorter format: inexact
 * results keep an odd last bit ("round to odd"). */
static float odd_float(double d)
{
    float f = (float)d;
    uint32_t u = float_bits(f);

    if ((double)f == d || d != d)
        return f;
    if (fabs((double)f) > fabs(d))      /* back toward zero */
        u--;
    return bits_float(u | 1);
}

uint16_t f64_to_f16(double d)
{
    return f32_to_f16(odd_float(d));
}

uint16_t f64_to_bf16(double d)
{
    return f32_to_bf16(odd_float(d));
}

static int nibble(const void *p, int64_t i)
{
    return ((const uint8_t *)p)[i / 2] >> (i % 2 * 4) & 15;
}

static void set_nibble(void *p, int64_t i, int x)
{
    uint8_t *b = (uint8_t *)p + i / 2;

    *b = (uint8_t)(i % 2 ? (*b & 15) | x << 4 : (*b & 0xf0) | x);
}

int64_t elem_get_int(DType dt, const void *p, int64_t i)
{
    switch (dt) {
    case DT_U8: case DT_BOOL: return ((const uint8_t *)p)[i];
    case DT_I8: return ((const int8_t *)p)[i];
    case DT_U16: return ((const uint16_t *)p)[i];
    case DT_I16: return ((const int16_t *)p)[i];
    case DT_I32: return ((const int32_t *)p)[i];
    case DT_U32: return ((const uint32_t *)p)[i];
    case DT_I64: return ((const int64_t *)p)[i];
    case DT_U64: return (int64_t)((const uint64_t *)p)[i];
    case DT_U4: return nibble(p, i);
    case DT_I4: return (nibble(p, i) ^ 8) - 8;
    default: return (int64_t)elem_get(dt, p, i);
    }
}

double elem_get(DType dt, const void *p, int64_t i)
{
    switch (dt) {
    case DT_F32: return (double)((const float *)p)[i];
    case DT_F64: return ((const double *)p)[i];
    case DT_F16: return (double)f16_to_f32(((const uint16_t *)p)[i]);
    case DT_BF16: return (double)bf16_to_f32(((const uint16_t *)p)[i]);
    case DT_U64: return (double)((const uint64_t *)p)[i];
    default: return (double)elem_get_int(dt, p, i);
    }
}

void elem_set_int(DType dt, void *p, int64_t i, int64_t x)
{
    switch (dt) {
    case DT_U8: case DT_I8: ((uint8_t *)p)[i] = (uint8_t)x; break;
    case DT_BOOL: ((uint8_t *)p)[i] = x != 0; break;
    case DT_U16: case DT_I16: ((uint16_t *)p)[i] = (uint16_t)x; break;
    case DT_I32: case DT_U32: ((uint32_t *)p)[i] = (uint32_t)x; break;
    case DT_I64: case DT_U64: ((uint64_t *)p)[i] = (uint64_t)x; break;
    case DT_U4: case DT_I4: set_nibble(p, i, (int)(x & 15)); break;
    default: elem_set(dt, p, i, (double)x);
    }
}

int64_t elem_saturate(DType dt, double x)
{
    int bits = dtype_bits(dt), sign = dtype_kind(dt) == DK_INT;
    double lo = sign ? -ldexp(1, bits - 1) : 0;
    double hi = ldexp(1, bits - sign);          /* the first too large */

    if (x != x)
        return 0;
    if (x <= lo)
        return sign ? (int64_t)lo : 0;
    if (x >= hi)
        return bits == 64 ? (sign ? INT64_MAX : -1) : (int64_t)hi - 1;
    return dt == DT_U64 ? (int64_t)(uint64_t)x : (int64_t)x;
}

void elem_set(DType dt, void *p, int64_t i, double x)
{
    switch (dt) {
    case DT_F32: ((float *)p)[i] = (float)x; break;
    case DT_F64: ((double *)p)[i] = x; break;
    case DT_F16: ((uint16_t *)p)[i] = f64_to_f16(x); break;
    case DT_BF16: ((uint16_t *)p)[i] = f64_to_bf16(x); break;
    case DT_BOOL: ((uint8_t *)p)[i] = x != 0; break;
    case DT_U64: ((uint64_t *)p)[i] = (uint64_t)x; break;
    default: elem_set_int(dt, p, i, (int64_t)x);
    }
}
