/* dense.c - the hot loops of the interpreter: a matrix product that
 * compilers vectorize (two rows by four terms of the sum at a time, along
 * the contiguous columns), blocked so that its rows stay in the cache. The
 * Makefile compiles this file with -O3. */
#include "dense.h"

#include <string.h>

enum { BLOCK_N = 1024, BLOCK_K = 256 };

#define PRODUCT(T, S)                                                     \
static void rows2_##S(int64_t n, int64_t depth, int64_t col,              \
                      const T *restrict a0, const T *restrict a1,         \
                      const T *restrict b, int64_t b_row,                 \
                      T *restrict c0, T *restrict c1)                     \
{                                                                         \
    int64_t k = 0;                                                        \
                                                                          \
    for (; k + 4 <= depth; k += 4) {                                      \
        const T *restrict b0 = b + k * b_row, *restrict b1 = b0 + b_row;  \
        const T *restrict b2 = b1 + b_row, *restrict b3 = b2 + b_row;     \
        T x0 = a0[k * col], x1 = a0[(k + 1) * col];                       \
        T x2 = a0[(k + 2) * col], x3 = a0[(k + 3) * col];                 \
        T y0 = a1[k * col], y1 = a1[(k + 1) * col];                       \
        T y2 = a1[(k + 2) * col], y3 = a1[(k + 3) * col];                 \
        for (int64_t j = 0; j < n; j++) {                                 \
            c0[j] += x0 * b0[j] + x1 * b1[j] + x2 * b2[j] + x3 * b3[j];   \
            c1[j] += y0 * b0[j] + y1 * b1[j] + y2 * b2[j] + y3 * b3[j];   \
        }                                                                 \
    }                                                                     \
    for (; k < depth; k++) {                                              \
        const T *restrict b0 = b + k * b_row;                             \
        T x = a0[k * col], y = a1[k * col];                               \
        for (int64_t j = 0; j < n; j++) {                                 \
            c0[j] += x * b0[j];                                           \
            c1[j] += y * b0[j];                                           \
        }                                                                 \
    }                                                                     \
}                                                                         \
static void row1_##S(int64_t n, int64_t depth, int64_t col,               \
                     const T *restrict a, const T *restrict b,            \
                     int64_t b_row, T *restrict c)                        \
{                                                                         \
    int64_t k = 0;                                                        \
                                                                          \
    for (; k + 4 <= depth; k += 4) {                                      \
        const T *restrict b0 = b + k * b_row, *restrict b1 = b0 + b_row;  \
        const T *restrict b2 = b1 + b_row, *restrict b3 = b2 + b_row;     \
        T x0 = a[k * col], x1 = a[(k + 1) * col];                         \
        T x2 = a[(k + 2) * col], x3 = a[(k + 3) * col];                   \
        for (int64_t j = 0; j < n; j++)                                   \
            c[j] += x0 * b0[j] + x1 * b1[j] + x2 * b2[j] + x3 * b3[j];    \
    }                                                                     \
    for (; k < depth; k++)                                                \
        for (int64_t j = 0; j < n; j++)                                   \
            c[j] += a[k * col] * b[k * b_row + j];                        \
}                                                                         \
static void block_##S(const Product *p, int64_t n, int64_t depth,         \
                      const T *a, const T *b, T *c)                       \
{                                                                         \
    int64_t i = 0;                                                        \
                                                                          \
    for (; i + 2 <= p->m; i += 2)                                         \
        rows2_##S(n, depth, p->a_col, a + i * p->a_row,                   \
                  a + (i + 1) * p->a_row, b, p->b_row,                    \
                  c + i * p->c_row, c + (i + 1) * p->c_row);              \
    if (i < p->m)                                                         \
        row1_##S(n, depth, p->a_col, a + i * p->a_row, b, p->b_row,       \
                 c + i * p->c_row);                                       \
}                                                                         \
static void product_##S(const Product *p, const T *a, const T *b, T *c)   \
{                                                                         \
    for (int64_t j = 0; j < p->n; j += BLOCK_N)                           \
        for (int64_t k = 0; k < p->depth; k += BLOCK_K) {                 \
            int64_t n = p->n - j, depth = p->depth - k;                   \
            block_##S(p, n < BLOCK_N ? n : BLOCK_N,                       \
                      depth < BLOCK_K ? depth : BLOCK_K,                  \
                      a + k * p->a_col, b + k * p->b_row + j, c + j);     \
        }                                                                 \
}

PRODUCT(float, f32)
PRODUCT(double, f64)
PRODUCT(uint64_t, int)

void dense_product(Class cls, const Product *p, const void *a, const void *b,
                   void *c)
{
    switch (cls) {
    case CLASS_F32: product_f32(p, a, b, c); break;
    case CLASS_F64: product_f64(p, a, b, c); break;
    case CLASS_INT: product_int(p, a, b, c); break;
    }
}

Class dense_class(DType dt)
{
    if (dt == DT_F64)
        return CLASS_F64;
    return dtype_is_float(dt) ? CLASS_F32 : CLASS_INT;
}

int dense_size(Class c)
{
    return c == CLASS_F32 ? 4 : 8;
}

static bool is_own(DType dt)
{
    return dt == DT_F32 || dt == DT_F64 || dt == DT_I64 || dt == DT_U64;
}

void *dense_room(const Tensor *t, Arena *scratch)
{
    if (is_own(t->type.dt))
        return t->data;
    return arena_array(scratch, (size_t)type_elems(&t->type),
                       (size_t)dense_size(dense_class(t->type.dt)));
}

void *dense_load(const Tensor *t, Arena *scratch)
{
    void *room = dense_room(t, scratch);
    int64_t count = type_elems(&t->type);

    if (room == t->data)
        return room;
    if (dense_class(t->type.dt) == CLASS_F32)
        for (int64_t i = 0; i < count; i++)
            ((float *)room)[i] = (float)elem_get(t->type.dt, t->data, i);
    else
        for (int64_t i = 0; i < count; i++)
            ((int64_t *)room)[i] = elem_get_int(t->type.dt, t->data, i);
    return room;
}

void dense_store(const Tensor *t, const void *room)
{
    int64_t count = type_elems(&t->type);

    if (room == t->data)
        return;
    if (dense_class(t->type.dt) == CLASS_F32)
        for (int64_t i = 0; i < count; i++)
            elem_set(t->type.dt, t->data, i,
                     (double)((const float *)room)[i]);
    else
        for (int64_t i = 0; i < count; i++)
            elem_set_int(t->type.dt, t->data, i, ((const int64_t *)room)[i]);
}
