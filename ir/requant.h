/* requant.h - the arithmetic of quantized tensors, in one place for
 * inference (is it provably free of overflow?), interpreter and code
 * generator.
 *
 * A code q stands for scale * (q - zero). An int32 sum `acc` becomes a code
 * by a factor c = m * 2^(l-32):
 *     y = clamp(zero + floor((acc * 2^l * m + 2^31) / 2^32), lo, hi)
 * that is one rounding, ties up. m is below 2^31; l is one per tensor, the
 * least for which every channel's m = round(c * 2^(32-l)) is; acc * 2^l must
 * fit int32 for every input, which requant_fit proves or refuses. For 8-bit
 * y and a factor that is a float, requant_choose moves m by a few units.
 */
#ifndef MCUFC_REQUANT_H
#define MCUFC_REQUANT_H

#include "ir.h"

typedef struct QParam {
    DType dt;
    double scale;
    int64_t zero;
    int64_t least, most;        /* codes: of the dtype, or the clamp's */
} QParam;

/* Attributes NAME_scale and NAME_zp of an 8-bit tensor (wide: 16 bits too):
 * a sound scale, a zero point that is a code. False after a message. */
bool q_param(const Node *n, const char *name, DType dt, bool wide,
             double scale, int64_t zero, QParam *q);
/* A factor of a product: of 16 bits, the zero point must be the middle, so
 * that kernels may take x - zero as int16. */
bool q_factor(const Node *n, const char *name, DType dt, double scale,
              int64_t zero, QParam *q);
/* The result: its dtype from output_dtype (0: as x), its clamp lo..hi. */
bool q_result(const Node *n, int64_t output_dtype, DType x, bool wide,
              double scale, int64_t zero, int64_t lo, int64_t hi, QParam *q);
/* greatest |code - zero|, greatest |code| */
int64_t q_reach(const QParam *q);
int64_t q_largest(const QParam *q);

/* A constant operand of float scales, 1 or `channels` of them; returns them
 * as doubles, or NULL after a message. */
const double *q_scales(const Node *n, int operand, int64_t channels,
                       Arena *arena);

typedef struct Requant {
    int shift;                  /* l */
    int64_t n;                  /* multipliers: 1, or one per channel */
    const int32_t *mult;        /* m */
    int64_t zero, lo, hi;
    const double *factor;       /* c, where requant_fit made it */
} Requant;

/* For `count` factors and sums of at most `most` in magnitude; l is at least
 * `shift`. False after a message: 2^l does not leave the sums in 32 bits. */
bool requant_fit(const Node *n, const double *factor, int64_t count,
                 int64_t most, int64_t shift, const QParam *y, Arena *arena,
                 Requant *r);
/* Then, before the first sum: the nearest multipliers become those that
 * requant_choose takes, which is half the time of a large model. */
void requant_settle(const QParam *y, Arena *arena, Requant *r);
/* The same without a message: l, or -1. mult has room for `count`. */
int requant_factors(const double *factor, int64_t count, int64_t most,
                    int64_t shift, int32_t *mult);

/* a * b / y as ONNX Runtime computes it, in float, but in double where that
 * leaves float's range. */
double requant_factor(double a, double b, double y);
/* The multiplier nearest to factor * 2^(32-l) with which an 8-bit y has the
 * codes that float arithmetic gives, for as many of them as can be. */
int32_t requant_choose(double factor, int l, const QParam *y);

static inline int64_t requant(const Requant *r, int64_t channel, int64_t acc)
{
    int64_t m = r->mult[r->n > 1 ? channel : 0];
    int64_t p = acc * ((int64_t)1 << r->shift) * m + ((int64_t)1 << 31);
    int64_t y = p >> 32;        /* of a negative p: the floor */

    y += r->zero;
    return y < r->lo ? r->lo : y > r->hi ? r->hi : y;
}

#endif
