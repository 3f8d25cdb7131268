/* expand_gqa.c - RotaryEmbedding and GroupQueryAttention of com.microsoft, as
 * exporters of language models write them: the new keys and values go to
 * their places in a cache, queries see what is at or before them. */
#include "msattn.h"

#include <string.h>

static Value *rotated(Build *b, Value *x, Value *cos, Value *sin, Value *ids,
                      int64_t heads, int64_t size, bool interleaved)
{
    Value *in[] = { x, cos, sin, ids };
    Node *n = b_node(b, OP_RotaryEmbedding, 4, in, 1);
    Attr_rotary *a = ATTRS(rotary, n);

    a->interleaved = interleaved;
    a->num_heads = x->type.rank == 3 ? heads : 0;
    a->rotary_embedding_dim = size;
    return b_end(b, n);
}

/* int64[batch, len]: first[batch] + 0, 1, ... */
static Value *positions(Build *b, Value *first, int64_t batch, int64_t len)
{
    int64_t column[] = { type_elems(&first->type), 1 };
    int64_t full[] = { batch, len };
    Value *at = b_op2(b, OP_Add, b_reshape(b, first, 2, column),
                      counting(b, len));

    return b_op2(b, OP_Expand, at, b_ints(b, 2, full));
}

bool expand_ms_rotary(Build *b, Draft *d)
{
    int64_t heads = 0, size = 0, interleaved = 0, packed = 0;
    float scale = 1;
    const Type *x;
    Value *ids;

    take_int(b, d, "num_heads", &heads);
    take_int(b, d, "rotary_embedding_dim", &size);
    take_int(b, d, "interleaved", &interleaved);
    take_int(b, d, "is_packed_batching", &packed);
    take_float(b, d, "scale", &scale);
    if (!draft_arity(b, d, 4, 4, 1))
        return false;
    x = &d->in[0]->type;
    if ((x->rank != 3 && x->rank != 4) || d->in[2]->type.rank != 2 ||
        packed || scale != 1)
        return draft_error(b, d, "this form is not supported");
    if (x->rank == 3 && !heads && d->in[2]->type.dim[1])
        heads = x->dim[2] / (2 * d->in[2]->type.dim[1]);
    ids = b_cast(b, d->in[1], DT_I64);
    if (ids->type.rank == 1 && ids->type.dim[0] == 1)
        ids = positions(b, ids, x->dim[0], x->dim[x->rank == 3 ? 1 : 2]);
    d->out[0] = rotated(b, d->in[0], d->in[2], d->in[3], ids, heads, size,
                        interleaved != 0);
    return true;
}

typedef struct Gqa {
    Heads h;
    int64_t rotary, interleaved, window, batch, len, size;
    Value *first;               /* int64[batch]: position of token 0 */
} Gqa;

static bool gqa_attrs(Build *b, Draft *d, Gqa *a)
{
    int64_t causal = 1, smooth = -1, sliding = 0, qk = 0;

    *a = (Gqa){ .window = -1 };
    take_int(b, d, "num_heads", &a->h.q_heads);
    take_int(b, d, "kv_num_heads", &a->h.kv_heads);
    take_float(b, d, "scale", &a->h.scale);
    take_float(b, d, "softcap", &a->h.softcap);
    take_int(b, d, "do_rotary", &a->rotary);
    take_int(b, d, "rotary_interleaved", &a->interleaved);
    take_int(b, d, "local_window_size", &a->window);
    take_int(b, d, "causal", &causal);
    take_int(b, d, "smooth_softmax", &smooth);
    take_int(b, d, "sliding_window_cache", &sliding);
    take_int(b, d, "qk_output", &qk);
    drop_attr(d, "qk_norm_epsilon");
    drop_attr(d, "k_quant_type");
    drop_attr(d, "v_quant_type");
    drop_attr(d, "kv_cache_bit_width");
    if (!causal || smooth > 0 || sliding || qk)
        return draft_error(b, d, "causal 0, smooth_softmax, "
                           "sliding_window_cache and qk_output are not "
                           "supported");
    if (a->h.q_heads < 1 || a->h.kv_heads < 1 ||
        a->h.q_heads % a->h.kv_heads)
        return draft_error(b, d, "%lld query heads for %lld key heads",
                           (long long)a->h.q_heads,
                           (long long)a->h.kv_heads);
    for (int i = 11; i < d->nin; i++)
        if (d->in[i])
            return draft_error(b, d, "input %d is not supported", i);
    if (d->nin < 6 || !d->in[0] || !d->in[5] || d->nout > 3)
        return draft_error(b, d, "has %d inputs and %d outputs", d->nin,
                           d->nout);
    return !b->failed;
}

/* query[B, S, (N + 2 Nkv) * H] when packed */
static bool gqa_operands(Build *b, Draft *d, Gqa *a)
{
    const Type *t = &d->in[0]->type;
    int64_t kv, all = a->h.q_heads + 2 * a->h.kv_heads, q;

    if (t->rank != 3 || !d->in[1] != !d->in[2])
        return draft_error(b, d, "takes query, key and value of rank 3");
    a->batch = t->dim[0];
    a->len = t->dim[1];
    a->h.q = d->in[0];
    a->h.k = d->in[1];
    a->h.v = d->in[2];
    a->size = t->dim[2] / (d->in[1] ? a->h.q_heads : all);
    if (a->size < 1 || t->dim[2] % (d->in[1] ? a->h.q_heads : all))
        return draft_error(b, d, "heads do not divide %lld columns",
                           (long long)t->dim[2]);
    if (!d->in[1]) {
        q = a->size * a->h.q_heads;
        kv = a->size * a->h.kv_heads;
        a->h.q = b_slice(b, d->in[0], 2, 0, q);
        a->h.k = b_slice(b, d->in[0], 2, q, q + kv);
        a->h.v = b_slice(b, d->in[0], 2, q + kv, q + 2 * kv);
    }
    if (b->failed || a->h.k->type.rank != 3 ||
        a->h.k->type.dim[2] != a->size * a->h.kv_heads ||
        a->h.k->type.dim[1] != a->len ||
        !type_equal(&a->h.k->type, &a->h.v->type))
        return draft_error(b, d, "key and value do not fit the query");
    return true;
}

/* The first new token stands at seqlens_k + 1 - len, at 0 without a past. */
static bool gqa_first(Build *b, Draft *d, Gqa *a)
{
    int64_t zero = 0;

    if (!draft_in(d, 3) != !draft_in(d, 4))
        return draft_error(b, d, "has only one of past_key and past_value");
    if (type_elems(&d->in[5]->type) != a->batch)
        return draft_error(b, d, "seqlens_k has %lld values for a batch of "
                           "%lld", (long long)type_elems(&d->in[5]->type),
                           (long long)a->batch);
    if (!draft_in(d, 3)) {
        a->first = b_ints(b, 1, &zero);
    } else {
        Value *last = b_cast(b, d->in[5], DT_I64);
        last = b_reshape(b, last, 1, &a->batch);
        a->first = b_op2(b, OP_Sub, last,
                         b_scalar(b, DT_I64, (double)(a->len - 1)));
    }
    return true;
}

static bool gqa_rotate(Build *b, Draft *d, Gqa *a)
{
    Value *cos = draft_in(d, 7), *sin = draft_in(d, 8), *ids;
    int64_t size;

    if (!a->rotary)
        return true;
    if (!cos || !sin || cos->type.rank != 2)
        return draft_error(b, d, "do_rotary needs cos_cache and sin_cache");
    ids = draft_in(d, 9) ? b_cast(b, d->in[9], DT_I64)
                         : positions(b, a->first, a->batch, a->len);
    size = 2 * cos->type.dim[1];
    size = size == a->size ? 0 : size;
    a->h.q = rotated(b, a->h.q, cos, sin, ids, a->h.q_heads, size,
                     a->interleaved != 0);
    a->h.k = rotated(b, a->h.k, cos, sin, ids, a->h.kv_heads, size,
                     a->interleaved != 0);
    return !b->failed;
}

/* The cache with the new rows at their positions. It grows, unless the
 * model declares a present that is as long as the past. */
static Value *gqa_cache(Build *b, Draft *d, Gqa *a, Value *past, Value *x,
                        int out)
{
    int64_t room = a->len, pads[8] = { 0 };
    const Type *t = out < d->nout ? &d->declared[out] : NULL;
    Value *in[3];
    Node *n;

    x = split_heads(b, x, a->h.kv_heads);
    if (!past || b->failed)
        return x;
    if (past->type.rank != 4 || past->type.dt != x->type.dt) {
        draft_error(b, d, "past is not [batch, heads, length, size] of the "
                    "key's type");
        return x;
    }
    if (t && t->rank == 4 && t->dim[2] >= past->type.dim[2] &&
        t->dim[2] - past->type.dim[2] < a->len)
        room = t->dim[2] - past->type.dim[2];
    pads[6] = room;
    in[0] = past;
    if (room) {
        Value *amounts = b_ints(b, 8, pads);
        in[0] = b_op3(b, OP_Pad, past, amounts, b_like(b, past, 0));
    }
    in[1] = x;
    in[2] = b_op2(b, OP_Expand, a->first, b_ints(b, 1, &a->batch));
    n = b_node(b, OP_TensorScatter, 3, in, 1);
    ATTRS(tensorscatter, n)->axis = 2;
    return b_end(b, n);
}

/* bool[B, 1, S, T]: key t is at or before query s, and in its window */
static Value *gqa_keep(Build *b, const Gqa *a, int64_t keys)
{
    int64_t dim[] = { 0, 1, a->len, 1 };
    Value *at = positions(b, a->first, a->batch, a->len), *t, *keep;

    dim[0] = a->batch;
    at = b_reshape(b, at, 4, dim);
    t = counting(b, keys);
    keep = b_op2(b, OP_LessOrEqual, t, at);
    if (a->window < 0)
        return keep;
    at = b_op2(b, OP_Sub, at, b_scalar(b, DT_I64, (double)a->window));
    return b_op2(b, OP_And, keep, b_op2(b, OP_Greater, t, at));
}

bool expand_ms_gqa(Build *b, Draft *d)
{
    Value *out[3], *keep;
    int64_t keys;
    Gqa a;

    if (!gqa_attrs(b, d, &a) || !gqa_operands(b, d, &a) ||
        !gqa_first(b, d, &a) || !gqa_rotate(b, d, &a))
        return false;
    a.h.q = split_heads(b, a.h.q, a.h.q_heads);
    a.h.k = gqa_cache(b, d, &a, draft_in(d, 3), a.h.k, 1);
    a.h.v = gqa_cache(b, d, &a, draft_in(d, 4), a.h.v, 2);
    if (b->failed)
        return false;
    keys = a.h.k->type.dim[2];
    if (keys > INT32_MAX)
        return draft_error(b, d, "%lld keys", (long long)keys);
    keep = gqa_keep(b, &a, keys);
    a.h.mask = merged_mask(b, keep, draft_in(d, 10));
    attend(b, &a.h, false, out);
    if (b->failed)
        return false;
    d->out[0] = join_heads(b, out[0]);
    if (d->nout > 1)
        d->out[1] = a.h.k;
    if (d->nout > 2)
        d->out[2] = a.h.v;
    return true;
}
