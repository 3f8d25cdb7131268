/* emit_norm.c - Softmax, LogSoftmax and the normalizations: one kernel call
 * each. A LayerNormalization scale or bias that is not simply one number per
 * normalized element is applied by a loop nest of its own.
 */
#include "loops.h"

#include "../ir/ops/reduce.h"

EmitFn emit_softmax, emit_layernorm, emit_batchnorm, emit_groupnorm, emit_lrn;
EmitFn emit_lpnorm;

void emit_softmax(Emit *e, const Node *n)
{
    const Type *x = &n->in[0]->type;
    Along s = type_along(x, ATTRS(axisneg1, n)->axis);
    bool log_of = n->op == OP_LogSoftmax;

    if (s.inner == 1)
        emit_call(e, log_of ? "logsoftmax_rows_T" : "softmax_rows_T", x->dt,
                  DT_NONE, "y0, x0, %lld, %lld", (long long)s.outer,
                  (long long)s.dim);
    else
        emit_call(e, "softmax_cols_T", x->dt, DT_NONE,
                  "y0, x0, %lld, %lld, %lld, %d", (long long)s.outer,
                  (long long)s.dim, (long long)s.inner, log_of);
}

/* t has one element for each of x's dims from `axis` on, in their order */
static bool is_per_element(const Type *t, const Type *x, int axis)
{
    int norm = x->rank - axis, lead = t->rank - norm;

    for (int i = 0; i < lead; i++)
        if (t->dim[i] != 1)
            return false;
    for (int i = 0; i < norm; i++)
        if ((lead + i >= 0 ? t->dim[lead + i] : 1) != x->dim[axis + i])
            return false;
    return true;
}

/* y = y * scale, or y + bias */
static void apply(Emit *e, const Node *n, int operand, const char *sign)
{
    const Type *t = &n->out[0]->type;
    Loops l;
    int y, v;

    loops_begin(&l, e, t->rank, t->dim);
    y = loops_write(&l, n, 0);
    v = loops_read(&l, n, operand);
    loops_open(&l);
    loops_store(&l, y, "%s %s %s", loops_load(&l, y), sign,
                loops_load(&l, v));
    loops_close(&l);
}

void emit_layernorm(Emit *e, const Node *n)
{
    const Attr_layernorm *a = ATTRS(layernorm, n);
    const Type *x = &n->in[0]->type;
    int axis = (int)(a->axis < 0 ? a->axis + x->rank : a->axis);
    bool bias = node_in(n, 2) != NULL;
    bool fits = is_per_element(&n->in[1]->type, x, axis) &&
                (!bias || is_per_element(&n->in[2]->type, x, axis));

    emit_call(e, "layernorm_T", x->dt, DT_NONE,
              "%s, x0, %s, %s, %s, %s, %lld, %lld, %s, %d",
              node_out(n, 0) ? "y0" : "NULL", fits ? "x1" : "NULL",
              fits && bias ? "x2" : "NULL", node_out(n, 1) ? "y1" : "NULL",
              node_out(n, 2) ? "y2" : "NULL",
              (long long)type_span(x, 0, axis),
              (long long)type_span(x, axis, x->rank),
              emit_literal(e, x->dt, (double)a->epsilon),
              n->op == OP_LayerNormalization);
    if (fits || !node_out(n, 0))
        return;
    apply(e, n, 1, "*");
    if (bias)
        apply(e, n, 2, "+");
}

void emit_batchnorm(Emit *e, const Node *n)
{
    const Type *x = &n->in[0]->type;
    Along s = x->rank < 2 ? (Along){ x->dim[0], 1, 1 } : type_along(x, 1);

    emit_call(e, "batchnorm_T", x->dt, DT_NONE,
              "y0, x0, x1, x2, x3, x4, %lld, %lld, %lld, %s",
              (long long)s.outer, (long long)s.dim, (long long)s.inner,
              emit_literal(e, x->dt,
                           (double)ATTRS(batchnorm, n)->epsilon));
}

/* GroupNormalization; InstanceNormalization has a group per channel */
void emit_groupnorm(Emit *e, const Node *n)
{
    const Type *x = &n->in[0]->type;
    bool group = n->op == OP_GroupNormalization;
    int64_t groups = group ? ATTRS(groupnorm, n)->num_groups : x->dim[1];
    float epsilon = group ? ATTRS(groupnorm, n)->epsilon
                          : ATTRS(instancenorm, n)->epsilon;

    emit_call(e, "groupnorm_T", x->dt, DT_NONE,
              "y0, x0, x1, x2, %lld, %lld, %lld, %lld, %s",
              (long long)x->dim[0], (long long)groups,
              (long long)(x->dim[1] / groups),
              (long long)type_span(x, 2, x->rank),
              emit_literal(e, x->dt, (double)epsilon));
}

void emit_lrn(Emit *e, const Node *n)
{
    const Attr_lrn *a = ATTRS(lrn, n);
    const Type *x = &n->in[0]->type;
    Along s = type_along(x, 1);
    int64_t below = (a->size - 1) / 2, above = a->size / 2;

    emit_call(e, "lrn_T", x->dt, DT_NONE,
              "y0, x0, %lld, %lld, %lld, %lld, %lld, %s, %s, %s",
              (long long)s.outer, (long long)s.dim, (long long)s.inner,
              (long long)(below < s.dim ? below : s.dim),
              (long long)(above < s.dim ? above : s.dim),
              emit_literal(e, x->dt, (double)a->alpha / (double)a->size),
              emit_literal(e, x->dt, (double)a->beta),
              emit_literal(e, x->dt, (double)a->bias));
}

void emit_lpnorm(Emit *e, const Node *n)
{
    const Type *x = &n->in[0]->type;
    Along s = type_along(x, ATTRS(lpnorm, n)->axis);

    emit_call(e, "lpnorm_T", x->dt, DT_NONE, "y0, x0, %lld, %lld, %lld, %d",
              (long long)s.outer, (long long)s.dim, (long long)s.inner,
              (int)ATTRS(lpnorm, n)->p);
}
