/* rotary.h - sizes of a RotaryEmbedding node. */
#ifndef MCUFC_OPS_ROTARY_H
#define MCUFC_OPS_ROTARY_H

#include "../ir.h"

enum { ROTARY_X, ROTARY_COS, ROTARY_SIN, ROTARY_IDS };

/* Element (b, h, t, i) of the input is number b*heads*len*size + h*step_h +
 * t*step_t + i; the first 2*half of `size` are turned. */
typedef struct Rotary {
    int64_t batch, heads, len, size, half;
    int64_t step_h, step_t;
    int64_t positions;          /* rows of the caches, with position ids */
} Rotary;

/* false after a message */
bool rotary_read(const Node *n, Rotary *r);

#endif
