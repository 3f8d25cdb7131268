/* expand_msattn.c - Attention and MultiHeadAttention of com.microsoft become
 * ONNX's own Attention. What they add to that (projections, biases, padding
 * masks) is spelled out. */
#include "msattn.h"
#include "qlinear.h"

#include <math.h>
#include <string.h>

void attend(Build *b, const Heads *h, bool present, Value **out)
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

/* bool: where `a` compares with `c` */
static Value *compare_ints(Build *b, Op op, Value *a, Value *c)
{
    a = b_cast(b, a, DT_I64);
    return b_op2(b, op, a, b_cast(b, c, DT_I64));
}

Value *counting(Build *b, int64_t n)
{
    int64_t *v;

    if (n > MAX_TABLE) {
        draft_error(b, b->draft, "%lld tokens, at most %d are supported",
                    (long long)n, MAX_TABLE);
        return b->poison;
    }
    v = NEW_ARRAY(b->g->arena, int64_t, n + 1);
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

Value *merged_mask(Build *b, Value *keep, Value *bias)
{
    if (!keep || !bias)
        return keep ? keep : bias;
    return b_op3(b, OP_Where, keep, bias, b_like(b, bias, -INFINITY));
}

static Value *biased(Build *b, Value *x, Value *bias, int64_t *at)
{
    int64_t n = x->type.dim[x->type.rank - 1];

    if (!bias || b->failed)
        return x;
    *at += n;
    return b_op2(b, OP_Add, x, b_slice(b, bias, 0, *at - n, *at));
}

Value *split_heads(Build *b, Value *x, int64_t heads)
{
    static const int64_t perm[] = { 0, 2, 1, 3 };
    int64_t dim[] = { x->type.dim[0], x->type.dim[1], heads, 1 };

    dim[3] = x->type.dim[2] / heads;
    return b_transpose(b, b_reshape(b, x, 4, dim), perm);
}

Value *join_heads(Build *b, Value *x)
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

/* Attention: with the projection, x */

static bool split_projection(Build *b, Draft *d, Value *x, Heads *h)
{
    int64_t size[3], at[4] = { 0 };
    Ints sizes = { 0, NULL };

    take_ints(b, d, "qkv_hidden_sizes", &sizes);
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
static bool split_past(Build *b, Draft *d, Value *past, Heads *h)
{
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

static bool attend_projected(Build *b, Draft *d, Heads *h, Value *mask,
                             Value *bias, Value *past)
{
    Value *out[3], *keep = NULL;
    int64_t keys;

    if (!split_past(b, d, past, h) || b->failed)
        return false;
    keys = h->k->type.dim[1] + (h->past_k ? h->past_k->type.dim[2] : 0);
    if (mask)
        keep = padding_mask(b, d, mask, h->q->type.dim[0],
                            h->q->type.dim[1], keys);
    h->mask = merged_mask(b, keep, bias);
    if (b->failed)
        return false;
    attend(b, h, d->nout > 1, out);
    d->out[0] = out[0];
    if (d->nout > 1)
        d->out[1] = joined_present(b, out[1], out[2]);
    return true;
}

bool expand_ms_attention(Build *b, Draft *d)
{
    Value *x;
    Heads h;

    if (!heads_attrs(b, d, &h) || !no_rotary(b, d) ||
        !draft_arity(b, d, 2, 6, 2))
        return false;
    x = b_op2(b, OP_MatMul, d->in[0], d->in[1]);
    if (draft_in(d, 2))
        x = b_op2(b, OP_Add, x, d->in[2]);
    return split_projection(b, d, x, &h) &&
           attend_projected(b, d, &h, draft_in(d, 3), draft_in(d, 5),
                            draft_in(d, 4));
}

/* (x, weights, bias, scale of x, scale of the weights, mask, zero of x, zero
 * of the weights, past): the projection is in integers, its result floats */
bool expand_qattention(Build *b, Draft *d)
{
    Value *in[4], *scale, *x;
    Heads h;

    if (!heads_attrs(b, d, &h) || !no_rotary(b, d) ||
        !draft_arity(b, d, 5, 9, 2))
        return false;
    in[0] = d->in[0];
    in[1] = d->in[1];
    in[2] = as_scalar(b, draft_in(d, 6));
    in[3] = as_scalar(b, draft_in(d, 7));
    scale = b_op2(b, OP_Mul, as_scalar(b, d->in[3]),
                  as_scalar(b, d->in[4]));
    x = integer_product(b, in, scale, d->in[2]);
    return split_projection(b, d, x, &h) &&
           attend_projected(b, d, &h, draft_in(d, 5), NULL, draft_in(d, 8));
}
