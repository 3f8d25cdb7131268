/* expand_flex.c - FlexAttention of ai.onnx.preview: attention with the
 * model's own graphs on the scores and on the probabilities. */
#include "build.h"

#include <math.h>

typedef struct Flex {
    ModelGraph *score, *prob;
    float scale;
    DType precision;
    int64_t groups;             /* query heads per key head */
} Flex;

static bool flex_check(Build *b, Draft *d, Flex *f)
{
    const Type *q = &d->in[0]->type, *k = &d->in[1]->type;
    const Type *v = &d->in[2]->type;

    if (q->rank != 4 || k->rank != 4 || v->rank != 4)
        return draft_error(b, d, "Q, K and V must be of rank 4");
    if (k->dim[1] < 1 || q->dim[1] % k->dim[1] || k->dim[1] != v->dim[1] ||
        q->dim[0] != k->dim[0] || q->dim[0] != v->dim[0] ||
        q->dim[3] != k->dim[3] || k->dim[2] != v->dim[2])
        return draft_error(b, d, "Q, K and V do not fit each other");
    f->groups = q->dim[1] / k->dim[1];
    return true;
}

/* Every head `groups` times in a row. */
static Value *repeat_heads(Build *b, const Flex *f, Value *x)
{
    const int64_t *n = x->type.dim;
    int64_t split[] = { n[0], n[1], 1, n[2], n[3] };
    int64_t wide[] = { n[0], n[1], f->groups, n[2], n[3] };
    int64_t all[] = { n[0], n[1] * f->groups, n[2], n[3] };

    if (f->groups == 1)
        return x;
    x = b_reshape(b, x, 5, split);
    x = b_op2(b, OP_Expand, x, b_ints(b, 5, wide));
    return b_reshape(b, x, 4, all);
}

static bool modify(Build *b, Draft *d, ModelGraph *body, const char *tag,
                   Value **x)
{
    Value *in = *x;

    if (!body)
        return true;
    if (!walk_body(b, body, tag, &in, 1, x, 1))
        return false;
    if (value_is_sequence(*x) || !type_equal(&(*x)->type, &in->type))
        return draft_error(b, d, "%s changes the type", tag);
    return true;
}

static bool flex_attrs(Build *b, Draft *d, Flex *f)
{
    int64_t precision;
    DType dt;

    *f = (Flex){ 0 };
    take_graph(b, d, "score_mod", &f->score);
    take_graph(b, d, "prob_mod", &f->prob);
    if (!draft_arity(b, d, 3, 3, 1) || !flex_check(b, d, f))
        return false;
    dt = d->in[0]->type.dt;
    precision = dt == DT_F64 ? DT_F64 : DT_F32;
    take_int(b, d, "softmax_precision", &precision);
    if (precision != DT_F32 && precision != DT_F64 && precision != DT_F16 &&
        precision != DT_BF16)
        return draft_error(b, d, "softmax_precision %lld is no float type",
                           (long long)precision);
    f->precision = (DType)precision;
    f->scale = 1 / sqrtf((float)d->in[0]->type.dim[3]);
    take_float(b, d, "scale", &f->scale);
    return true;
}

bool expand_flexattention(Build *b, Draft *d)
{
    static const int64_t transposed[] = { 0, 1, 3, 2 };
    Flex f;
    Value *k, *v, *s;

    if (!flex_attrs(b, d, &f))
        return false;
    k = repeat_heads(b, &f, d->in[1]);
    v = repeat_heads(b, &f, d->in[2]);
    s = b_cast(b, d->in[0], f.precision);
    k = b_transpose(b, b_cast(b, k, f.precision), transposed);
    s = b_op2(b, OP_MatMul, s, k);
    s = b_op2(b, OP_Mul, s, b_like(b, s, (double)f.scale));
    if (!modify(b, d, f.score, "score_mod", &s))
        return false;
    s = b_op1(b, OP_Softmax, s);        /* on the last axis */
    if (!modify(b, d, f.prob, "prob_mod", &s))
        return false;
    s = b_op2(b, OP_MatMul, s, b_cast(b, v, f.precision));
    d->out[0] = b_cast(b, s, d->in[0]->type.dt);
    return true;
}
