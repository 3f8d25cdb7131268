/* qattention.h - QAttention in numbers, read once for inference, interpreter
 * and emitter.
 *
 * One query row, all in integers:
 *     s[j] = sum of (q - q_zp) k[j] + mask        k's zero point cancels
 *     t[j] = (top - s[j]) in octaves, 15 fraction bits
 *     p[j] = 2^-t[j] as Q15, halved (rounded) until their sum is < 2^23
 *     y = v's mean by p: (sum of p v - v_zp sum of p) r, r = numerator / sum
 * Keys without weight (masked, outside of from..to) have p = 0; a query that
 * sees no key gives zeros: the code y_zp.
 */
#ifndef MCUFC_OPS_QATTENTION_H
#define MCUFC_OPS_QATTENTION_H

#include "../requant.h"
#include "attention.h"

/* an addend that hides a key */
#define QATTN_HIDDEN INT32_MIN

/* t = (d << before) * octaves >> 32, d = min(top - s, most) */
typedef struct QAttn {
    Attn a;
    QParam q, k, v, y;
    uint32_t most, octaves;
    int before;
    uint64_t numerator;         /* y = acc * (numerator / sum) >> shift */
    int shift;
    /* The mask as addends to s: of code c (low 8 bits of a bool, int8 or
     * uint8 mask) table[c]; of a constant mask of floats one per element,
     * or table[index] after qattn_pack. */
    const int32_t *table;       /* [256] */
    const int32_t *addend;
    const uint8_t *index;
} QAttn;
bool qattn_read(const Node *n, Arena *arena, QAttn *q);

/* Addends of at most 256 different values become bytes: sets index, table. */
void qattn_pack(const Node *n, Arena *arena, QAttn *q);

/* the bound below which the sum of a row's weights is halved */
int64_t qattn_limit(const QAttn *q);

/* p of one key, distance d below the top */
uint32_t qattn_weight(const QAttn *q, uint32_t d);

#endif
