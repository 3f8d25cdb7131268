/* quant.h - how scales and zero points lie over a tensor: shared by the
 * interpreter (quant*.c) and the emitters. */
#ifndef MCUFC_OPS_QUANT_H
#define MCUFC_OPS_QUANT_H

#include "../ir.h"

/* A tensor seen as [outer, len, inner] around the quantization axis; the
 * scale of element (o, a, k) is number o*so + (a/block)*sa + k*si. Strides
 * are all 0 for per-tensor scales. */
typedef struct QuantMap {
    int64_t outer, len, inner, block;
    int64_t so, sa, si;
} QuantMap;

/* Of a QuantizeLinear or DequantizeLinear node; false after a message. */
bool quant_map(const Node *n, QuantMap *m);

/* least and greatest value of an integer type of at most 32 bits */
int64_t dtype_lowest(DType dt);
int64_t dtype_highest(DType dt);

/* saturate(round_half_even(x) + zp): clamped before the addition, so every
 * float is in range; NaN gives the least value */
int64_t quant_round(float x, int64_t zp, DType dt);

/* scales must be of a float type; constant ones positive and finite */
bool quant_check_scale(const Node *n, const Value *v);

/* Products */

/* Operands of QLinearConv, QLinearMatMul, ConvInteger and MatMulInteger by
 * role: index into node->in, or -1 (the integer forms have no scales). */
typedef struct QuantRoles {
    int x, xs, xz, w, ws, wz, ys, yz, bias;
} QuantRoles;

QuantRoles quant_roles(Op op);
/* int8 or uint8 operands, zero points of their types, sound scales */
bool quant_check_types(const Node *n);

/* How one operand moves through a batched product: element offset per step
 * of each batch axis, and per row (x) or column (w) for scales and zero
 * points. All 0 for a per-tensor value. */
typedef struct QuantWalk {
    int64_t batch[MAX_RANK];
    int64_t step;
} QuantWalk;

/* [batch..., m, k] x [batch..., k, n]; a vector operand has m or n 1. */
typedef struct QuantMatMul {
    int rank;                   /* of the batch */
    int64_t dim[MAX_RANK];
    int64_t m, k, n;
    QuantWalk x, w, xs, xz, ws, wz, ys, yz;
} QuantMatMul;

/* Of a QLinearMatMul or MatMulInteger node; y (may be NULL) gets the
 * output's shape. False after a message. */
bool quant_matmul(const Node *n, QuantMatMul *q, Type *y);

#endif
