/* expand_scan.c - ops that run along an axis with a state: CumProd,
 * CausalConvWithState and LinearAttention (ONNX 26, 27), as steps over
 * static slices. */
#include "build.h"

#include <math.h>
#include <string.h>

enum { MAX_STEPS = 4096 };

/* x with `before` and `after` elements of value c on an axis */
static Value *padded(Build *b, Value *x, int axis, int64_t before,
                     int64_t after, double c)
{
    int64_t pads[2 * MAX_RANK] = { 0 };
    int rank = x->type.rank;
    Value *amounts;

    pads[axis] = before;
    pads[rank + axis] = after;
    amounts = b_ints(b, 2 * rank, pads);
    return b_op3(b, OP_Pad, x, amounts, b_like(b, x, c));
}

/* Element i becomes element i - by (i + by when reverse), ones come in. */
static Value *shifted(Build *b, Value *x, int axis, int64_t by, bool reverse)
{
    int64_t n = x->type.dim[axis];
    Value *kept = reverse ? b_slice(b, x, axis, by, n)
                          : b_slice(b, x, axis, 0, n - by);

    return padded(b, kept, axis, reverse ? 0 : by, reverse ? by : 0, 1);
}

/* After steps of 1, 2, 4... each element has met all before it. */
static Value *cumprod(Build *b, Value *x, int axis, bool exclusive,
                      bool reverse)
{
    int64_t n = x->type.dim[axis];

    if (exclusive && n > 0)
        x = shifted(b, x, axis, 1, reverse);
    for (int64_t by = 1; by < n && !b->failed; by *= 2)
        x = b_op2(b, OP_Mul, x, shifted(b, x, axis, by, reverse));
    return x;
}

/* The axis at run time: all of them, the right one is taken. */
static Value *choose_axis(Build *b, Value *axis, int rank, Value **y)
{
    static const int64_t none[1];
    Value *a = b_cast(b, b_reshape(b, axis, 0, none), DT_I64), *out = y[0];

    for (int i = 1; i < rank; i++) {
        Value *is = b_op2(b, OP_Equal, a, b_scalar(b, DT_I64, i));
        Value *neg = b_op2(b, OP_Equal, a, b_scalar(b, DT_I64, i - rank));
        out = b_op3(b, OP_Where, b_op2(b, OP_Or, is, neg), y[i], out);
    }
    return out;
}

bool expand_cumprod(Build *b, Draft *d)
{
    int64_t exclusive = 0, reverse = 0, axis;
    Value *y[MAX_RANK];
    int rank, n;

    take_int(b, d, "exclusive", &exclusive);
    take_int(b, d, "reverse", &reverse);
    if (!draft_arity(b, d, 2, 2, 1))
        return false;
    rank = d->in[0]->type.rank;
    if (type_elems(&d->in[1]->type) != 1 || rank < 1)
        return draft_error(b, d, "takes an input of rank 1 at least and one "
                           "axis");
    if (value_ints(d->in[1], 1, &axis, &n)) {
        axis = axis < 0 ? axis + rank : axis;
        if (axis < 0 || axis >= rank)
            return draft_error(b, d, "axis %lld is outside rank %d",
                               (long long)axis, rank);
        d->out[0] = cumprod(b, d->in[0], (int)axis, exclusive, reverse);
        return true;
    }
    for (int i = 0; i < rank; i++)
        y[i] = cumprod(b, d->in[0], i, exclusive, reverse);
    d->out[0] = choose_axis(b, d->in[1], rank, y);
    return true;
}

/* CausalConvWithState-27: depthwise, over the past and the input */

static bool causal_check(Build *b, Draft *d)
{
    const Type *x = &d->in[0]->type, *w = &d->in[1]->type;
    const Value *past = draft_in(d, 3);

    if (x->rank != 3 || w->rank != 3 || w->dim[0] != x->dim[1] ||
        w->dim[1] != 1 || w->dim[2] < 1)
        return draft_error(b, d, "takes [batch, channels, length] and "
                           "[channels, 1, k]");
    if (past && (past->type.rank != 3 || past->type.dim[0] != x->dim[0] ||
                 past->type.dim[1] != x->dim[1] ||
                 past->type.dim[2] != w->dim[2] - 1))
        return draft_error(b, d, "past_state is not [%lld, %lld, %lld]",
                           (long long)x->dim[0], (long long)x->dim[1],
                           (long long)w->dim[2] - 1);
    return true;
}

static Value *depthwise(Build *b, Draft *d, Value *x)
{
    Value *in[] = { x, d->in[1], draft_in(d, 2) };
    Node *n = b_node(b, OP_Conv, in[2] ? 3 : 2, in, 1);

    ATTRS(conv, n)->group = x->type.dim[1];
    return b_end(b, n);
}

bool expand_causalconv(Build *b, Draft *d)
{
    const char *act = "none";
    Value *all[2], *x;
    int64_t past, len;

    take_string(b, d, "activation", &act);
    if (!draft_arity(b, d, 2, 4, 2) || !causal_check(b, d))
        return false;
    past = d->in[1]->type.dim[2] - 1;
    all[0] = draft_in(d, 3);
    all[1] = d->in[0];
    x = all[0] ? b_concat(b, 2, 2, all)
               : padded(b, d->in[0], 2, past, 0, 0);
    len = x->type.dim[2];
    if (d->nout > 1)
        d->out[1] = b_slice(b, x, 2, len - past, len);
    d->out[0] = depthwise(b, d, x);
    if (!strcmp(act, "silu") || !strcmp(act, "swish"))
        d->out[0] = b_op1(b, OP_Swish, d->out[0]);
    else if (strcmp(act, "none"))
        return draft_error(b, d, "activation '%s' is not silu, swish or none",
                           act);
    return true;
}

typedef struct Linear {
    int64_t q_heads, kv_heads, batch, steps, dk, dv;
    float scale;
    bool gated, delta;
    Value *q, *k, *v, *decay, *beta;    /* [B, T, heads, ...] */
    Value *state;                       /* [B, kv heads, dk, dv] */
} Linear;

static bool linear_attrs(Build *b, Draft *d, Linear *l)
{
    const char *rule = "gated_delta";
    int64_t unused;

    *l = (Linear){ 0 };
    take_int(b, d, "chunk_size", &unused);
    take_int(b, d, "q_num_heads", &l->q_heads);
    take_int(b, d, "kv_num_heads", &l->kv_heads);
    take_float(b, d, "scale", &l->scale);
    take_string(b, d, "update_rule", &rule);
    l->gated = !strncmp(rule, "gated", 5);
    l->delta = strstr(rule, "delta") != NULL;
    if (strcmp(rule, "linear") && strcmp(rule, "gated") &&
        strcmp(rule, "delta") && strcmp(rule, "gated_delta"))
        return draft_error(b, d, "update_rule '%s' is unknown", rule);
    if (l->q_heads < 1 || l->kv_heads < 1 || l->q_heads % l->kv_heads)
        return draft_error(b, d, "%lld query heads for %lld key heads",
                           (long long)l->q_heads, (long long)l->kv_heads);
    return draft_arity(b, d, 3, 6, 2);
}

static bool linear_shapes(Build *b, Draft *d, Linear *l)
{
    const Type *q = &d->in[0]->type, *k = &d->in[1]->type;
    const Type *v = &d->in[2]->type;

    if (q->rank != 3 || k->rank != 3 || v->rank != 3)
        return draft_error(b, d, "query, key and value must be of rank 3");
    l->batch = q->dim[0];
    l->steps = q->dim[1];
    l->dk = q->dim[2] / l->q_heads;
    l->dv = v->dim[2] / l->kv_heads;
    if (q->dim[2] % l->q_heads || v->dim[2] % l->kv_heads ||
        k->dim[2] != l->dk * l->kv_heads || k->dim[0] != l->batch ||
        v->dim[0] != l->batch || k->dim[1] != l->steps ||
        v->dim[1] != l->steps || l->dk < 1 || l->dv < 1)
        return draft_error(b, d, "query, key and value do not fit each other "
                           "or the heads");
    if (l->steps < 1 || l->steps > MAX_STEPS)
        return draft_error(b, d, "%lld tokens, 1 to %d are supported",
                           (long long)l->steps, MAX_STEPS);
    if (!draft_in(d, 4) != !l->gated || !draft_in(d, 5) != !l->delta)
        return draft_error(b, d, "decay and beta do not fit update_rule");
    return true;
}

/* float[B, T, heads, each, 1 for a column] */
static Value *by_heads(Build *b, const Linear *l, Value *x, int64_t heads)
{
    int64_t dim[] = { l->batch, l->steps, heads, 1 };

    dim[3] = x->type.dim[2] / heads;
    return b_reshape(b, b_cast(b, x, DT_F32), 4, dim);
}

static bool linear_gates(Build *b, Draft *d, Linear *l)
{
    const Type *g = l->gated ? &d->in[4]->type : NULL;
    const Type *t = l->delta ? &d->in[5]->type : NULL;

    if (g && (g->rank != 3 || g->dim[0] != l->batch ||
              g->dim[1] != l->steps || (g->dim[2] != l->kv_heads &&
                                        g->dim[2] != l->kv_heads * l->dk)))
        return draft_error(b, d, "decay does not fit the heads");
    if (t && (t->rank != 3 || t->dim[0] != l->batch ||
              t->dim[1] != l->steps || (t->dim[2] != l->kv_heads &&
                                        t->dim[2] != 1)))
        return draft_error(b, d, "beta does not fit the heads");
    if (g)
        l->decay = b_op1(b, OP_Exp, by_heads(b, l, d->in[4], l->kv_heads));
    if (t)
        l->beta = by_heads(b, l, d->in[5], t->dim[2]);
    return true;
}

static bool linear_state(Build *b, Draft *d, Linear *l)
{
    int64_t dim[] = { l->batch, l->kv_heads, l->dk, l->dv };
    Type t = type_make(DT_F32, 4, dim);
    Value *past = draft_in(d, 3);

    if (past && !type_same_shape(&past->type, &t))
        return draft_error(b, d, "past_state is not [%lld, %lld, %lld, %lld]",
                           (long long)dim[0], (long long)dim[1],
                           (long long)dim[2], (long long)dim[3]);
    if (past) {
        l->state = b_cast(b, past, DT_F32);
    } else {
        Value *zero = b_scalar(b, DT_F32, 0);
        l->state = b_op2(b, OP_Expand, zero, b_ints(b, 4, dim));
    }
    return true;
}

/* Step t of x as [B, heads, n, 1] or, as a row, [B, heads, 1, n] */
static Value *at_step(Build *b, const Linear *l, Value *x, int64_t t,
                      bool row)
{
    int64_t n = x->type.dim[3];
    int64_t dim[] = { l->batch, x->type.dim[2], row ? 1 : n, row ? n : 1 };

    return b_reshape(b, b_slice(b, x, 1, t, t + 1), 4, dim);
}

/* The state after token t: decayed, then k (x) (v - what k recalls). */
static void linear_update(Build *b, Linear *l, int64_t t)
{
    Value *k = at_step(b, l, l->k, t, false);
    Value *v = at_step(b, l, l->v, t, true);

    if (l->gated)
        l->state = b_op2(b, OP_Mul, l->state,
                         at_step(b, l, l->decay, t, false));
    if (l->delta) {
        Value *recalled = b_op2(b, OP_MatMul, at_step(b, l, l->k, t, true),
                                l->state);
        v = b_op2(b, OP_Mul, b_op2(b, OP_Sub, v, recalled),
                  at_step(b, l, l->beta, t, false));
    }
    l->state = b_op2(b, OP_Add, l->state, b_op2(b, OP_Mul, k, v));
}

/* scale * q S for all query heads: [B, 1, q heads * dv] */
static Value *linear_read(Build *b, const Linear *l, int64_t t)
{
    int64_t group[] = { l->batch, l->kv_heads, l->q_heads / l->kv_heads,
                        l->dk };
    int64_t flat[] = { l->batch, 1, l->q_heads * l->dv };
    Value *q = b_reshape(b, b_slice(b, l->q, 1, t, t + 1), 4, group);
    Value *o = b_op2(b, OP_MatMul, q, l->state);

    return b_reshape(b, b_op2(b, OP_Mul, o,
                              b_scalar(b, DT_F32, (double)l->scale)),
                     3, flat);
}

bool expand_linearattention(Build *b, Draft *d)
{
    Linear l;
    Value **o;
    DType dt;

    if (!linear_attrs(b, d, &l) || !linear_shapes(b, d, &l) ||
        !linear_gates(b, d, &l) || !linear_state(b, d, &l))
        return false;
    if (l.scale == 0)
        l.scale = 1 / sqrtf((float)l.dk);
    dt = d->in[0]->type.dt;
    l.q = by_heads(b, &l, d->in[0], l.q_heads);
    l.k = by_heads(b, &l, d->in[1], l.kv_heads);
    l.v = by_heads(b, &l, d->in[2], l.kv_heads);
    o = NEW_ARRAY(b->g->arena, Value *, l.steps);
    for (int64_t t = 0; t < l.steps && !b->failed; t++) {
        linear_update(b, &l, t);
        o[t] = linear_read(b, &l, t);
    }
    if (b->failed)
        return false;
    d->out[0] = b_cast(b, b_concat(b, 1, (int)l.steps, o), dt);
    if (d->nout > 1)
        d->out[1] = b_cast(b, l.state, draft_in(d, 3) ? d->in[3]->type.dt
                                                      : dt);
    return true;
}
