/* matmul.h - shape of a (batched) matrix product, for every op that is one:
 * MatMul, FusedMatMul, Gemm, MatMulInteger, QLinearMatMul. */
#ifndef MCUFC_MATMUL_H
#define MCUFC_MATMUL_H

#include "../ir.h"

/* y[batch][m][n] = sum over depth of op(a)[.][m][depth] op(b)[.][depth][n].
 * Row and column strides are of op(a) and op(b); batch strides are 0 where
 * an operand is broadcast. All in elements. */
typedef struct MatShape {
    int64_t m, n, depth;
    int64_t a_row, a_col, b_row, b_col;
    int rank;                   /* of the batch */
    int64_t batch[MAX_RANK], a_batch[MAX_RANK], b_batch[MAX_RANK];
} MatShape;

/* numpy.matmul's rule, 1-D operands included; out gets a's dtype */
bool matmul_types(const Node *n, const Type *a, const Type *b, bool trans_a,
                  bool trans_b, MatShape *s, Type *out);
/* of a MatMul, FusedMatMul or Gemm node */
bool matmul_shape(const Node *n, MatShape *s, Type *out);
int64_t matmul_batches(const MatShape *s);
/* offsets of batch number i in a and b */
void matmul_offsets(const MatShape *s, int64_t i, int64_t *a, int64_t *b);

/* The addend of Gemm and FusedMatMul, seen as [.., m, n] of the result:
 * strides of the last two axes and of the batch, 0 where broadcast. */
typedef struct BiasShape {
    int64_t row, col;
    int64_t batch[MAX_RANK];
} BiasShape;
bool matmul_bias(const Node *n, const MatShape *s, const Type *out,
                 const Type *bias, BiasShape *b);

#endif
