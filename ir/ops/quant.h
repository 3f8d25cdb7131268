/* quant.h - how scales and zero points lie over a tensor: shared by the
 * interpreter (quant.c) and the emitters. */
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

/* The operands of the three matrix and convolution forms, by role; NULL
 * where absent (in ConvInteger and MatMulInteger there are no scales). */
typedef struct QuantOperands {
    const Value *x, *xs, *xz, *w, *ws, *wz, *ys, *yz, *bias;
} QuantOperands;

QuantOperands quant_operands(const Node *n);

#endif
