/* emit_reduce.c - Reduce*, ArgMax, ArgMin, Hardmax, CumSum, TopK.
 *
 * A reduction is a chain of stages, innermost group of reduced dims first;
 * each is a kernel call on [outer, n, inner]. Nearly all models need one
 * stage; of several, all but the last write to scratch. What remains to be
 * done once per result (a division, a root, a logarithm) is a loop at the
 * end. Axes known only at run time are moved last first.
 */
#include "emit.h"

#include <math.h>
#include <string.h>

#include "../ir/ops/reduce.h"

EmitFn emit_reduce, emit_argmax, emit_hardmax, emit_cumsum, emit_topk;
ScratchFn scratch_reduce, scratch_topk;

/* What the first stage computes and what the others do with its results. */
static const char *stage_kernel(Op op, DType dt, bool first)
{
    switch (op) {
    case OP_ReduceMax: return "max";
    case OP_ReduceMin: return "min";
    case OP_ReduceProd: return "prod";
    case OP_ReduceL1:
        return first && dtype_kind(dt) != DK_UINT ? "asum" : "sum";
    case OP_ReduceL2: case OP_ReduceSumSquare: return first ? "sumsq" : "sum";
    default: return "sum";
    }
}

/* [outer, n, inner] around the last group of reduced dims; false: none */
static bool last_reduced(const Groups *g, int *at, Along *s)
{
    int i = g->n;

    while (i > 0 && !g->reduced[i - 1])
        i--;
    *at = i - 1;
    *s = (Along){ 1, 1, 1 };
    for (int k = 0; k < g->n; k++)
        *(k < i - 1 ? &s->outer : k == i - 1 ? &s->dim : &s->inner) *=
            g->dim[k];
    return i > 0;
}

static void stage(Emit *e, Op op, DType dt, const char *to, const char *from,
                  Along s, bool first)
{
    const char *kernel = stage_kernel(op, dt, first);

    if (op == OP_ReduceLogSumExp)
        emit_call(e, "logsumexp_T", dt, DT_NONE, "%s, %s, %lld, %lld, %lld",
                  to, from, (long long)s.outer, (long long)s.dim,
                  (long long)s.inner);
    else if (s.inner == 1)
        emit_call(e, arena_printf(e->arena, "%s_rows_T", kernel), dt, DT_NONE,
                  "%s, %s, %lld, %lld", to, from, (long long)s.outer,
                  (long long)s.dim);
    else
        emit_call(e, arena_printf(e->arena, "%s_cols_T", kernel), dt, DT_NONE,
                  "%s, %s, %lld, %lld, %lld", to, from, (long long)s.outer,
                  (long long)s.dim, (long long)s.inner);
}

/* Results of a stage, 8-aligned in scratch. */
static int64_t stage_bytes(Along s, DType dt)
{
    return (s.outer * s.inner * dtype_bytes(dt) + 7) / 8 * 8;
}

/* Stages alternate between two places in scratch; the second follows the
 * results of the first stage. With e NULL: only the scratch they need. */
static int64_t stages(Emit *e, Op op, DType dt, const char *x, Groups g)
{
    int64_t half = 0, need = 0;
    const char *from = x;
    bool first = true;
    int at, turn = 0;
    Along s;

    if (!last_reduced(&g, &at, &s)) {           /* nothing to reduce */
        s = (Along){ 1, 1, s.inner };
        if (e)
            stage(e, op, dt, "y0", x, s, true);
        return 0;
    }
    for (bool more = true; more; first = false, turn = !turn) {
        Along now = s;
        const char *to = "y0";
        memmove(g.dim + at, g.dim + at + 1, (size_t)(g.n - at - 1) * 8);
        memmove(g.reduced + at, g.reduced + at + 1, (size_t)(g.n - at - 1));
        g.n--;
        more = last_reduced(&g, &at, &s);
        if (more) {
            int64_t bytes = stage_bytes(now, dt);
            int64_t place = turn ? half : 0;
            half = first ? bytes : half;
            need = place + bytes > need ? place + bytes : need;
            if (e)
                to = arena_printf(e->arena, "(%s *)(void *)(s + %lld)",
                                  dtype_ctype(dt), (long long)place);
        }
        if (e)
            stage(e, op, dt, to, from, now, first);
        from = to;
    }
    return need;
}

/* The last step of each result, or NULL; it stands in y0[i]. */
static const char *finish(Emit *e, const Node *n, int64_t count)
{
    DType dt = n->out[0]->type.dt;
    const char *ctype = dtype_ctype(dt);

    if (n->op == OP_ReduceMean && count == 0)
        return dtype_is_float(dt) ? emit_literal(e, dt, (double)NAN) : NULL;
    if (n->op == OP_ReduceMean && count > 1)
        return arena_printf(e->arena, "y0[i] / %s",
                            dtype_is_float(dt)
                                ? emit_literal(e, dt, (double)count)
                                : emit_literal_int(e, dt, count));
    if (n->op == OP_ReduceLogSum)
        return arena_printf(e->arena, "%s(y0[i])",
                            emit_kernel(e, "log_T", dt, DT_NONE));
    if (n->op == OP_ReduceL2 && dtype_is_float(dt))
        return arena_printf(e->arena, "%s(y0[i])",
                            emit_kernel(e, "sqrt_T", dt, DT_NONE));
    if (n->op == OP_ReduceL2)                   /* the wrapped sum, unsigned */
        return arena_printf(e->arena, "(%s)%s((double)(uint%d_t)y0[i])",
                            ctype, emit_kernel(e, "sqrt_f64", DT_F64, DT_NONE),
                            dtype_bits(dt));
    return NULL;
}

static void emit_finish(Emit *e, const Node *n)
{
    int64_t count = type_elems(&n->in[0]->type);
    int64_t elems = type_elems(&n->out[0]->type);
    const char *expr = finish(e, n, count / elems);

    if (!expr)
        return;
    e_open(e, "for (size_t i = 0; i < %lld; i++)", (long long)elems);
    e_line(e, "y0[i] = %s;", expr);
    e_close(e);
}

/* x0 into scratch with the reduced dims last, then one row per result. */
static void runtime_axes(Emit *e, const Node *n)
{
    const Type *x = &n->in[0]->type;
    int64_t elems = type_elems(&n->out[0]->type), count = type_elems(x);
    Groups rows = { 2, { elems, count / elems }, { false, true } };
    const char *s;
    Buf b;

    buf_init(&b, e->arena);
    for (int i = 0; i < x->rank; i++)
        buf_printf(&b, "%s%lldu", i ? ", " : "", (long long)x->dim[i]);
    e_line(e, "static const uint32_t dim[] = { %s };", b.s);
    e_line(e, "const uint32_t mask = %s(x1, %lld, %d);",
           emit_kernel(e, "axes_mask_I", DT_NONE, n->in[1]->type.dt),
           (long long)type_elems(&n->in[1]->type), x->rank);
    s = arena_printf(e->arena, "(%s *)(void *)s", dtype_ctype(x->dt));
    if (count)
        emit_call(e, "axes_last_T", x->dt, DT_NONE, "%s, x0, dim, %d, mask",
                  s, x->rank);
    else
        e_line(e, "(void)dim;\n    (void)mask;");
    stages(e, n->op, x->dt, s, rows);
}

void emit_reduce(Emit *e, const Node *n)
{
    bool mask[MAX_RANK];
    Groups g;

    if (reduce_mask(n, mask)) {
        reduce_groups(&n->in[0]->type, mask, &g);
        stages(e, n->op, n->in[0]->type.dt, "x0", g);
    } else {
        runtime_axes(e, n);
    }
    emit_finish(e, n);
}

int64_t scratch_reduce(const Node *n)
{
    const Type *x = &n->in[0]->type;
    bool mask[MAX_RANK];
    Groups g;

    if (!reduce_mask(n, mask))
        return type_bytes(x) + 8;
    reduce_groups(x, mask, &g);
    return stages(NULL, n->op, x->dt, NULL, g);
}

static const char *along_args(Emit *e, Along s)
{
    return arena_printf(e->arena, "%lld, %lld, %lld", (long long)s.outer,
                        (long long)s.dim, (long long)s.inner);
}

void emit_argmax(Emit *e, const Node *n)
{
    const Attr_argmax *a = ATTRS(argmax, n);
    const Type *x = &n->in[0]->type;

    emit_call(e, "argbest_T", x->dt, DT_NONE, "y0, x0, %s, %d, %d",
              along_args(e, type_along(x, a->axis)), n->op == OP_ArgMin,
              a->select_last_index != 0);
}

void emit_hardmax(Emit *e, const Node *n)
{
    const Type *x = &n->in[0]->type;

    emit_call(e, "hardmax_T", x->dt, DT_NONE, "y0, x0, %s",
              along_args(e, type_along(x, ATTRS(axisneg1, n)->axis)));
}

void emit_cumsum(Emit *e, const Node *n)
{
    const Attr_cumsum *a = ATTRS(cumsum, n);
    const Type *x = &n->in[0]->type;
    const char *dims;
    int64_t axis;
    int count;
    Buf b;

    if (value_ints(n->in[1], 1, &axis, &count)) {
        dims = along_args(e, type_along(x, axis));
    } else {
        buf_init(&b, e->arena);
        for (int i = 0; i < x->rank; i++)
            buf_printf(&b, "%s%lldu", i ? ", " : "", (long long)x->dim[i]);
        e_line(e, "static const uint32_t dim[] = { %s };", b.s);
        e_line(e, "const size_t axis = %s(x1[0], %d);",
               emit_kernel(e, "index_I", DT_NONE, n->in[1]->type.dt),
               x->rank);
        e_line(e, "size_t outer = 1, inner = 1, i;\n");
        e_line(e, "for (i = 0; i < axis; i++)\n        outer *= dim[i];");
        e_line(e, "for (i = axis + 1; i < %d; i++)\n        inner *= dim[i];",
               x->rank);
        dims = "outer, dim[axis], inner";
    }
    emit_call(e, "cumsum_T", x->dt, DT_NONE, "y0, x0, %s, %d, %d", dims,
              a->exclusive != 0, a->reverse != 0);
}

/* The heap is the output of indices, or scratch without one. */
int64_t scratch_topk(const Node *n)
{
    return node_out(n, 1) || !node_out(n, 0)
               ? 0 : 8 * type_elems(&n->out[0]->type);
}

void emit_topk(Emit *e, const Node *n)
{
    const Attr_topk *a = ATTRS(topk, n);
    const Type *x = &n->in[0]->type;
    const Value *y = node_out(n, 0) ? n->out[0] : n->out[1];

    emit_call(e, "topk_T", x->dt, DT_NONE, "%s, %s, x0, %s, %lld, %d",
              node_out(n, 0) ? "y0" : "NULL",
              node_out(n, 1) ? "y1" : "(int64_t *)(void *)s",
              along_args(e, type_along(x, a->axis)),
              (long long)type_along(&y->type, a->axis).dim, !a->largest);
}
