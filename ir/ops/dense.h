/* dense.h - the interpreter's matrix product and how operands of any
 * dtype come to it. Products are computed in one of three classes: float
 * (float, float16, bfloat16), double, or integers modulo 2^64, of which
 * every narrower integer result is the low part. */
#ifndef MCUFC_DENSE_H
#define MCUFC_DENSE_H

#include "../ir.h"

typedef enum Class { CLASS_F32, CLASS_F64, CLASS_INT } Class;

Class dense_class(DType dt);
int dense_size(Class c);        /* bytes per element */
/* the tensor's elements in its class; its own data when that is the same */
void *dense_load(const Tensor *t, Arena *scratch);
/* room for an output in its class; its own data when that is the same */
void *dense_room(const Tensor *t, Arena *scratch);
/* rounds the room into the tensor, when it was not the tensor itself */
void dense_store(const Tensor *t, const void *room);

/* c[i][j] += sum over k of a[i][k] b[k][j], m x n x depth. Strides in
 * elements; rows of b and c are contiguous, a has a stride per row and
 * column. Sums in the order of k, four at a time. */
typedef struct Product {
    int64_t m, n, depth;
    int64_t a_row, a_col, b_row, c_row;
} Product;
void dense_product(Class cls, const Product *p, const void *a, const void *b,
                   void *c);

#endif
