/* qnorm.h - QSoftmax and QLayerNorm in numbers, read once for inference,
 * interpreter and emitter. */
#ifndef MCUFC_OPS_QNORM_H
#define MCUFC_OPS_QNORM_H

#include "../requant.h"

/* A row of n codes. e(x) = exp[greatest code - x] with `bits` fraction bits,
 * sum = their sum, r = floor(numerator / sum); then
 *     y = clamp(zero + floor((e * r + 2^31) / 2^32))
 * numerator = 2^32 / y_scale: a code is off by at most 2^(bits-32) because
 * of r and by what 2^-bits is to the sum because of e. */
enum { QSOFTMAX_BITS = 26 };
typedef struct QSoftmax {
    int64_t rows, n;
    QParam x, y;
    uint32_t *exp;              /* [256] */
    uint64_t numerator;
} QSoftmax;
bool qsoftmax_read(const Node *n, Arena *arena, QSoftmax *s);

/* A row of n codes, q = code - zero: s1 = sum of q (0 for RMS), s2 = sum of
 * q q. All in integers, with the numbers below:
 *     d = (n s2 - s1 s1) 2^spread + epsilon      n^2 variance, never 0
 *     d 4^k in [2^62, 2^64), r = 2^62 / sqrt(d 4^k), 31 bits
 *     z = (n q - s1) r >> ..., normalized, with `point` fraction bits
 *     h = (z gamma[i] >> 32) + beta[i]           y with `fine` fraction bits
 *     y = clamp(h >> fine)                       beta holds zero and 1/2
 * qnorm_row gives the shifts. Without beta all use beta[0]. */
typedef struct QNorm {
    int64_t rows, n;
    QParam x, y;
    bool rms;
    int spread, point, fine;
    int64_t epsilon;
    int64_t nbeta;              /* 1 or n */
    const int32_t *gamma, *beta;
} QNorm;
bool qnorm_read(const Node *n, Arena *arena, QNorm *q);

/* 2^62 / sqrt(d) of d in [2^62, 2^64), within 1e-8 of it, below 2^31:
 * Newton's iteration for 1 / sqrt, no division */
uint32_t qnorm_rsqrt(uint64_t d);

#endif
