/* msattn.h - what the attention ops of com.microsoft share. */
#ifndef MCUFC_MSATTN_H
#define MCUFC_MSATTN_H

#include "build.h"

typedef struct Heads {
    int64_t q_heads, kv_heads;
    float scale, softcap;
    bool causal;
    Value *q, *k, *v;           /* rank 3, or all of rank 4 */
    Value *mask, *past_k, *past_v;
} Heads;

/* out[0] result, and with present out[1] and out[2] the caches */
void attend(Build *b, const Heads *h, bool present, Value **out);
/* int64[n] of 0, 1, ... */
Value *counting(Build *b, int64_t n);
/* keep: bool or NULL; bias: float or NULL */
Value *merged_mask(Build *b, Value *keep, Value *bias);
/* [B, L, N * H] to [B, N, L, H], and back */
Value *split_heads(Build *b, Value *x, int64_t heads);
Value *join_heads(Build *b, Value *x);

#endif
