/* expand_loss.c - losses: NegativeLogLikelihoodLoss-22 and
 * SoftmaxCrossEntropyLoss-13, by their definitions. */
#include "build.h"

#include <string.h>

typedef struct Loss {
    Value *x, *target, *weight; /* weight may be NULL */
    bool ignores;
    int64_t ignore;
    const char *reduction;
} Loss;

static bool loss_init(Build *b, Draft *d, Loss *l)
{
    l->x = draft_in(d, 0);
    l->target = draft_in(d, 1);
    l->weight = draft_in(d, 2);
    l->reduction = "mean";
    take_string(b, d, "reduction", &l->reduction);
    l->ignores = take_int(b, d, "ignore_index", &l->ignore);
    if (!l->x || !l->target)
        return draft_error(b, d, "takes 2 or 3 inputs, has %d", d->nin);
    if (l->x->type.rank < 2 || l->target->type.rank != l->x->type.rank - 1)
        return draft_error(b, d, "ranks %d and %d: classes must be axis 1 of "
                           "the first input alone", l->x->type.rank,
                           l->target->type.rank);
    if (!dtype_is_float(l->x->type.dt) || !dtype_is_int(l->target->type.dt))
        return draft_error(b, d, "takes a float input and integer targets");
    if (strcmp(l->reduction, "mean") && strcmp(l->reduction, "sum") &&
        strcmp(l->reduction, "none"))
        return draft_error(b, d, "reduction '%s' is not mean, sum or none",
                           l->reduction);
    return true;
}

/* -x[n][target[n]], one per target */
static Value *picked(Build *b, const Loss *l, Value *target)
{
    int64_t dim[MAX_RANK];
    const Type *t = &target->type;
    Value *in[2];
    Node *n;

    dim[0] = t->dim[0];
    dim[1] = 1;
    for (int i = 1; i < t->rank; i++)
        dim[i + 1] = t->dim[i];
    in[0] = l->x;
    in[1] = b_reshape(b, target, t->rank + 1, dim);
    n = b_node(b, OP_GatherElements, 2, in, 1);
    ATTRS(axis0, n)->axis = 1;
    return b_op1(b, OP_Neg, b_reshape(b, b_end(b, n), t->rank, t->dim));
}

/* The weight of each target: that of its class, 0 where it is ignored. */
static Value *weights(Build *b, const Loss *l, Value *target, Value *ignored)
{
    Value *one = b_like(b, l->x, 1), *w = one;

    if (l->weight)
        w = b_op2(b, OP_Gather, l->weight, target);
    if (ignored)
        w = b_op3(b, OP_Where, ignored, b_like(b, l->x, 0), w);
    return w == one ? NULL : w;
}

static Value *loss_reduce(Build *b, const Loss *l, Value *loss, Value *w)
{
    bool sum = !strcmp(l->reduction, "sum");
    Value *total;

    if (!strcmp(l->reduction, "none"))
        return loss;
    if (!sum && !w)
        return b_reduce(b, OP_ReduceMean, loss, -1, NULL, false);
    total = b_reduce(b, OP_ReduceSum, loss, -1, NULL, false);
    if (sum)
        return total;
    return b_op2(b, OP_Div, total,
                 b_reduce(b, OP_ReduceSum, w, -1, NULL, false));
}

static Value *nll(Build *b, const Loss *l)
{
    Value *target = l->target, *ignored = NULL, *loss, *w;

    if (l->ignores) {
        Value *index = b_like(b, target, 0);
        elem_set_int(target->type.dt, (void *)(uintptr_t)index->data, 0,
                     l->ignore);
        ignored = b_op2(b, OP_Equal, target, index);
        target = b_op3(b, OP_Where, ignored, b_like(b, target, 0), target);
    }
    loss = picked(b, l, target);
    w = weights(b, l, target, ignored);
    if (w)
        loss = b_op2(b, OP_Mul, loss, w);
    if (ignored)
        loss = b_op3(b, OP_Where, ignored, b_like(b, loss, 0), loss);
    return loss_reduce(b, l, loss, w);
}

bool expand_nll(Build *b, Draft *d)
{
    Loss l;

    if (!loss_init(b, d, &l) || !draft_arity(b, d, 2, 3, 1))
        return false;
    d->out[0] = nll(b, &l);
    return true;
}

bool expand_sce(Build *b, Draft *d)
{
    Loss l;
    Node *n;

    if (!loss_init(b, d, &l) || !draft_arity(b, d, 2, 3, 2))
        return false;
    n = b_node(b, OP_LogSoftmax, 1, &l.x, 1);
    ATTRS(axisneg1, n)->axis = 1;
    l.x = b_end(b, n);
    if (d->nout > 1)
        d->out[1] = l.x;
    d->out[0] = nll(b, &l);
    return true;
}
