/* expand_msattn.c - attention of com.microsoft, version 1: Attention,
 * MultiHeadAttention, GroupQueryAttention and RotaryEmbedding become ONNX's
 * own Attention and RotaryEmbedding. What they add to those (projections,
 * biases, padding masks, a cache that is written in place) is spelled out. */
#include "build.h"

#include <math.h>
#include <string.h>

typedef struct Heads {
    int64_t q_heads, kv_heads;
    float scale, softcap;
    bool causal;
    Value *q, *k, *v;           /* rank 3, or all of rank 4 */
    Value *mask, *past_k, *past_v;
} Heads;

/* out[0] result, out[1] and out[2] the caches; NULL where not wanted */
static void attend(Build *b, const Heads *h, bool present, Value **out)
{
    Value *in[] = { h->q, h->k, h->v, h->mask, h->past_k, h->past_v };
    int nin = h->past_k ? 6 : h->mask ? 4 : 3;
    Node *n = b_node(b, OP_Attention, nin, in, present ? 3 : 1);
    Attr_attention *a = ATTRS(attention, n);

    a->is_causal = h->causal;
    a->scale = h->scale;
    a->softcap = h->softcap;
    if (h->q->type.rank == 3) {
        a->q_num_heads = h->q_heads;
        a->kv_num_heads = h->kv_heads;
    }
    b_end_all(b, n, out);
}

/* ---- masks ---------------------------------------------------------------------- */

/* bool: where `a` compares with `c` */
static Value *compare_ints(Build *b, Op op, Value *a, Value *c)
{
    return b_op2(b, op, b_cast(b, a, DT_I64), b_cast(b, c, DT_I64));
}

/* int64[n] of 0, 1, ... */
static Value *counting(Build *b, int64_t n)
{
    int64_t *v = NEW_ARRAY(b->g->arena, int64_t, n + 1);

    for (int64_t i = 0; i < n; i++)
        v[i] = i;
    return b_ints(b, (int)n, v);
}

/* Padding as bool[batch, 1, 1 or queries, keys]: a mask of 0 and 1, the
 * lengths of the sequences, or their ends and then their beginnings. */
static Value *padding_mask(Build *b, Draft *d, Value *m, int64_t batch,
                           int64_t queries, int64_t keys)
{
    const Type *t = &m->type;
    int64_t flat[] = { batch, 1, 1, keys };
    int64_t full[] = { batch, 1, queries, keys };
    int64_t column[] = { batch, 1, 1, 1 };
    Value *at, *in, *from;

    if (t->rank == 2 && t->dim[0] == batch && t->dim[1] == keys)
        return b_cast(b, b_reshape(b, m, 4, flat), DT_BOOL);
    if (t->rank == 3 && t->dim[0] == batch && t->dim[1] == queries &&
        t->dim[2] == keys)
        return b_cast(b, b_reshape(b, m, 4, full), DT_BOOL);
    if (t->rank != 1 || (t->dim[0] != batch && t->dim[0] != 2 * batch) ||
        keys > INT32_MAX) {
        draft_error(b, d, "this form of mask is not supported");
        return NULL;
    }
    at = counting(b, keys);
    in = compare_ints(b, OP_Less, at, b_reshape(b, b_slice(b, m, 0, 0, batch),
                                                4, column));
    if (t->dim[0] == batch)
        return in;
    from = b_reshape(b, b_slice(b, m, 0, batch, 2 * batch), 4, column);
    return b_op2(b, OP_And, in, compare_ints(b, OP_GreaterOrEqual, at, from));
}

/* keep: bool or NULL; bias: float or NULL */
static Value *merged_mask(Build *b, Value *keep, Value *bias)
{
    if (!keep || !bias)
        return keep ? keep : bias;
    return b_op3(b, OP_Where, keep, bias, b_like(b, bias, -INFINITY));
}

/* ---- MultiHeadAttention ------------------------------------------------------------ */

static Value *biased(Build *b, Value *x, Value *bias, int64_t *at)
{
    int64_t n = x->type.dim[x->type.rank - 1];

    if (!bias || b->failed)
        return x;
    *at += n;
    return b_op2(b, OP_Add, x, b_slice(b, bias, 0, *at - n, *at));
}

/* [B, L, N * H] -> [B, N, L, H] */
static Value *split_heads(Build *b, Value *x, int64_t heads)
{
    static const int64_t perm[] = { 0, 2, 1, 3 };
    int64_t dim[] = { x->type.dim[0], x->type.dim[1], heads, 1 };

    dim[3] = x->type.dim[2] / heads;
    return b_transpose(b, b_reshape(b, x, 4, dim), perm);
}

static Value *join_heads(Build *b, Value *x)
{
    static const int64_t perm[] = { 0, 2, 1, 3 };
    int64_t dim[] = { x->type.dim[0], x->type.dim[2],
                      x->type.dim[1] * x->type.dim[3] };

    return b_reshape(b, b_transpose(b, x, perm), 3, dim);
}

/* packed[B, L, N, parts, H]: part i as [B, L, N * H] */
static Value *unpacked(Build *b, Value *x, int64_t part)
{
    int64_t dim[] = { x->type.dim[0], x->type.dim[1],
                      x->type.dim[2] * x->type.dim[4] };

    return b_reshape(b, b_slice(b, x, 3, part, part + 1), 3, dim);
}

static bool mha_operands(Build *b, Draft *d, Heads *h)
{
    Value *q = d->in[0], *k = draft_in(d, 1), *v = draft_in(d, 2);
    int64_t at = 0;

    if (q->type.rank == 5 && q->type.dim[3] == 3 && !k && !v) {
        k = unpacked(b, q, 1);
        v = unpacked(b, q, 2);
        q = unpacked(b, q, 0);
    } else if (k && k->type.rank == 5 && k->type.dim[3] == 2 && !v) {
        v = unpacked(b, k, 1);
        k = unpacked(b, k, 0);
    }
    if (!k || !v || q->type.rank != 3 || k->type.rank != v->type.rank ||
        (k->type.rank != 3 && k->type.rank != 4))
        return draft_error(b, d, "this form of query, key and value is not "
                           "supported");
    h->q = biased(b, q, draft_in(d, 3), &at);
    h->k = k->type.rank == 3 ? biased(b, k, draft_in(d, 3), &at) : k;
    h->v = v->type.rank == 3 ? biased(b, v, draft_in(d, 3), &at) : v;
    if (k->type.rank == 4) {
        if (h->q_heads < 1 || q->type.dim[2] % h->q_heads)
            return draft_error(b, d, "%lld heads do not divide %lld columns",
                               (long long)h->q_heads,
                               (long long)q->type.dim[2]);
        h->q = split_heads(b, h->q, h->q_heads);
    }
    return true;
}

static bool heads_attrs(Build *b, Draft *d, Heads *h)
{
    int64_t causal = 0;
    float unused;

    *h = (Heads){ 0 };
    take_int(b, d, "num_heads", &h->q_heads);
    h->kv_heads = h->q_heads;
    take_int(b, d, "unidirectional", &causal);
    h->causal = causal != 0;
    take_float(b, d, "scale", &h->scale);
    take_float(b, d, "mask_filter_value", &unused);
    if (h->q_heads < 1)
        return draft_error(b, d, "num_heads is %lld", (long long)h->q_heads);
    return !b->failed;
}

static bool mha_masks(Build *b, Draft *d, Heads *h)
{
    int axis = h->k->type.rank == 4 ? 2 : 1;
    int64_t batch = h->q->type.dim[0], queries = h->q->type.dim[axis];
    int64_t keys = h->k->type.dim[axis];
    Value *keep = NULL;

    h->past_k = draft_in(d, 6);
    h->past_v = draft_in(d, 7);
    if (h->past_k && h->past_k->type.rank == 4)
        keys += h->past_k->type.dim[2];
    if (draft_in(d, 4))
        keep = padding_mask(b, d, d->in[4], batch, queries, keys);
    h->mask = merged_mask(b, keep, draft_in(d, 5));
    return !b->failed;
}

bool expand_ms_mha(Build *b, Draft *d)
{
    Heads h;
    Value *out[3];

    if (!heads_attrs(b, d, &h))
        return false;
    if (d->nin < 1 || !d->in[0] || d->nin > 8 || d->nout > 3)
        return draft_error(b, d, "has %d inputs and %d outputs, 1 to 8 and 1 "
                           "to 3 are supported", d->nin, d->nout);
    if (!mha_operands(b, d, &h) || !mha_masks(b, d, &h))
        return false;
    attend(b, &h, d->nout > 1, out);
    d->out[0] = h.q->type.rank == 4 && !b->failed ? join_heads(b, out[0])
                                                  : out[0];
    for (int i = 1; i < d->nout; i++)
        d->out[i] = out[i];
    return true;
}

/* ---- Attention: with the projection ---------------------------------------------------- */

static bool projected(Build *b, Draft *d, Heads *h)
{
    Value *x = b_op2(b, OP_MatMul, d->in[0], d->in[1]);
    int64_t size[3], at[4] = { 0 };
    Ints sizes = { 0, NULL };

    take_ints(b, d, "qkv_hidden_sizes", &sizes);
    if (draft_in(d, 2))
        x = b_op2(b, OP_Add, x, d->in[2]);
    if (b->failed)
        return false;
    if (x->type.rank != 3)
        return draft_error(b, d, "takes an input of rank 3");
    for (int i = 0; i < 3; i++) {
        size[i] = sizes.n == 3 ? sizes.v[i] : x->type.dim[2] / 3;
        at[i + 1] = at[i] + size[i];
        if (size[i] < 1 || size[i] > x->type.dim[2])
            return draft_error(b, d, "the hidden sizes do not fit %lld "
                               "columns", (long long)x->type.dim[2]);
    }
    if (at[3] != x->type.dim[2])
        return draft_error(b, d, "the hidden sizes do not fit %lld columns",
                           (long long)x->type.dim[2]);
    h->q = b_slice(b, x, 2, at[0], at[1]);
    h->k = b_slice(b, x, 2, at[1], at[2]);
    h->v = b_slice(b, x, 2, at[2], at[3]);
    return true;
}

/* past[2, B, N, P, H]: keys, then values */
static bool split_past(Build *b, Draft *d, Heads *h)
{
    Value *past = draft_in(d, 4);
    const int64_t *dim;

    if (!past)
        return true;
    if (past->type.rank != 5 || past->type.dim[0] != 2)
        return draft_error(b, d, "past is not [2, batch, heads, length, "
                           "size]");
    dim = past->type.dim + 1;
    h->past_k = b_reshape(b, b_slice(b, past, 0, 0, 1), 4, dim);
    h->past_v = b_reshape(b, b_slice(b, past, 0, 1, 2), 4, dim);
    return true;
}

static Value *joined_present(Build *b, Value *k, Value *v)
{
    int64_t dim[5] = { 1 };
    Value *part[2];

    if (b->failed)
        return k;
    memcpy(dim + 1, k->type.dim, 4 * sizeof *dim);
    part[0] = b_reshape(b, k, 5, dim);
    part[1] = b_reshape(b, v, 5, dim);
    return b_concat(b, 0, 2, part);
}

static bool no_rotary(Build *b, Draft *d)
{
    int64_t rotary = 0, share = 0, unused;

    take_int(b, d, "do_rotary", &rotary);
    take_int(b, d, "rotary_embedding_dim", &unused);
    take_int(b, d, "past_present_share_buffer", &share);
    if (rotary || share)
        return draft_error(b, d, "do_rotary and past_present_share_buffer "
                           "are not supported");
    return true;
}

bool expand_ms_attention(Build *b, Draft *d)
{
    Value *out[3], *keep = NULL;
    int64_t keys;
    Heads h;

    if (!heads_attrs(b, d, &h) || !no_rotary(b, d) ||
        !draft_arity(b, d, 2, 6, 2) || !projected(b, d, &h) ||
        !split_past(b, d, &h) || b->failed)
        return false;
    keys = h.k->type.dim[1] + (h.past_k ? h.past_k->type.dim[2] : 0);
    if (draft_in(d, 3))
        keep = padding_mask(b, d, d->in[3], h.q->type.dim[0],
                            h.q->type.dim[1], keys);
    h.mask = merged_mask(b, keep, draft_in(d, 5));
    if (b->failed)
        return false;
    attend(b, &h, d->nout > 1, out);
    d->out[0] = out[0];
    if (d->nout > 1)
        d->out[1] = joined_present(b, out[1], out[2]);
    return true;
}

/* ---- RotaryEmbedding ------------------------------------------------------------------- */

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

/* ---- GroupQueryAttention ------------------------------------------------------------------ */

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
    if (!draft_in(d, 3))
        a->first = b_ints(b, 1, &zero);
    else
        a->first = b_op2(b, OP_Sub, b_reshape(b, b_cast(b, d->in[5], DT_I64),
                                              1, &a->batch),
                         b_scalar(b, DT_I64, (double)(a->len - 1)));
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
    in[0] = room ? b_op3(b, OP_Pad, past, b_ints(b, 8, pads),
                         b_like(b, past, 0)) : past;
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
