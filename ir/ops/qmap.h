/* qmap.h - elementwise ops on codes, read once for inference, interpreter
 * and emitter: every number that the integer kernels work with. */
#ifndef MCUFC_OPS_QMAP_H
#define MCUFC_OPS_QMAP_H

#include "../requant.h"

/* QAdd: y = clamp((a * ma + b * mb + bias) >> shift). With factors fa =
 * a_scale / y_scale and fb: ma = round(fa * 2^shift); bias holds the three
 * zero points and the half that makes the shift a rounding one, ties up.
 * shift is as large as fits 32 bits for every a and b, each partial sum
 * included. Where that would leave the multipliers too coarse (16-bit
 * operands), products and sum have 64 bits instead: wide. */
typedef struct QSum {
    QParam a, b, y;
    int32_t ma, mb;
    int shift;
    bool wide;
    int64_t bias;
} QSum;
bool qadd_read(const Node *n, QSum *s);

/* QMul: the product of two centered codes, requantized. Where it may leave
 * 32 bits (two of 16 bits with zero points), in 64 bits: wide, and y =
 * clamp(((a - za) * (b - zb) * mult + 2^(shift - 1)) >> shift) + zero). */
typedef struct QProduct {
    QParam a, b, y;
    bool wide;
    int shift;                  /* wide only */
    int32_t mult;
    Requant r;                  /* r.mult is &mult: do not copy the struct */
} QProduct;
bool qmul_read(const Node *n, QProduct *p);

/* QRequantize */
typedef struct QScale {
    QParam x, y;
    int32_t mult;
    Requant r;                  /* as in QProduct */
} QScale;
bool qrequantize_read(const Node *n, QScale *s);

/* of a code x of QLookup: its place in the table */
static inline int qlookup_index(int64_t code)
{
    return (int)(code & 255);
}

#endif
