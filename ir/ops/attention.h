/* attention.h - an Attention node's sizes, strides and masks, read once for
 * inference, the interpreter and the emitter. */
#ifndef MCUFC_OPS_ATTENTION_H
#define MCUFC_OPS_ATTENTION_H

#include "../ir.h"

enum {
    ATTN_Q, ATTN_K, ATTN_V, ATTN_MASK, ATTN_PAST_K, ATTN_PAST_V, ATTN_LENS
};
enum { ATTN_Y, ATTN_PRESENT_K, ATTN_PRESENT_V, ATTN_QK };

/* Element strides of a tensor seen as [batch, head, token, size]; the last
 * axis is contiguous. */
typedef struct AttnWalk {
    int64_t b, h, t;
} AttnWalk;

typedef struct Attn {
    int64_t batch, heads, kv_heads, group;      /* group: heads per kv head */
    int64_t q_len, kv_len, past, total;         /* total = past + kv_len */
    int64_t dk, dv;
    AttnWalk q, k, v, y;
    AttnWalk past_k, past_v, present_k, present_v;
    /* the mask has mask_len keys; those beyond are masked */
    AttnWalk mask;              /* t: per query; 0 where it is repeated */
    int64_t mask_len;
    bool has_mask, bool_mask, has_past, has_lens, causal;
    int64_t left, right;        /* window around the diagonal; -1: none */
    float scale, softcap;       /* softcap 0: none */
    bool nan_rows;              /* a query that sees no key: NaN, not 0 */
    int qk_mode;
} Attn;

/* Of an Attention or a QAttention node (what QAttention has no attribute for
 * is off); false after a message. The mask of a QAttention may have any type
 * that qattention.h can turn into addends. */
bool attn_read(const Node *n, Attn *a);
/* keys [from, to) that query i of a batch entry may see, by is_causal, the
 * window and nonpad_kv_seqlen (`len`; total when there is none) */
void attn_range(const Attn *a, int64_t i, int64_t len, int64_t *from,
                int64_t *to);

#endif
