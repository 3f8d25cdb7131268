/* emit_gather.c - movement by indices: Gather, GatherElements, GatherND,
 * ScatterElements, ScatterND, TensorScatter, OneHot.
 *
 * Indices known at compile time become constants like any other; only a
 * single constant index of Gather is worth code of its own.
 */
#include "loops.h"

#include <string.h>

EmitFn emit_gather, emit_gatherelements, emit_gathernd, emit_onehot;
EmitFn emit_scatterelements, emit_scatternd, emit_tensorscatter;

static int plain_axis(int64_t axis, int rank)
{
    return (int)(axis < 0 ? axis + rank : axis);
}

/* bytes of `elems` elements (whole bytes: inference has checked 4-bit) */
static long long bytes_of(const Type *t, int64_t elems)
{
    return (long long)(elems * dtype_bits(t->dt) / 8);
}

static void gather_one(Emit *e, const Type *x, int axis, int64_t index)
{
    int64_t outer = type_span(x, 0, axis), inner, at;

    inner = type_span(x, axis + 1, x->rank);
    at = (index < 0 ? index + x->dim[axis] : index) * inner;
    if (outer == 1) {
        e_line(e, "memcpy(y0, x0 + %lld, %lld);",
               bytes_of(x, at) / dtype_bytes(x->dt), bytes_of(x, inner));
        return;
    }
    e_open(e, "for (%s i = 0; i < %lld; i++)", index_type(type_elems(x)),
           (long long)outer);
    if (inner == 1)
        e_line(e, "y0[i] = x0[i * %lld + %lld];", (long long)x->dim[axis],
               (long long)at);
    else
        e_line(e, "memcpy(y0 + i * %lld, x0 + i * %lld + %lld, %lld);",
               bytes_of(x, inner) / dtype_bytes(x->dt),
               bytes_of(x, inner * x->dim[axis]) / dtype_bytes(x->dt),
               bytes_of(x, at) / dtype_bytes(x->dt), bytes_of(x, inner));
    e_close(e);
}

void emit_gather(Emit *e, const Node *n)
{
    const Type *x = &n->in[0]->type, *k = &n->in[1]->type;
    int axis = plain_axis(ATTRS(axis0, n)->axis, x->rank);
    int64_t outer = type_span(x, 0, axis), count = type_elems(k);
    int64_t inner = type_span(x, axis + 1, x->rank);

    if (value_is_const(n->in[1]) && count == 1)
        gather_one(e, x, axis, elem_get_int(k->dt, n->in[1]->data, 0));
    else if (inner == 1)
        emit_call(e, "pick_T_I", x->dt, k->dt, "y0, x0, x1, %lld, %lld, %lld",
                  (long long)outer, (long long)x->dim[axis],
                  (long long)count);
    else
        emit_call(e, "gather_I", DT_NONE, k->dt,
                  "y0, x0, x1, %lld, %lld, %lld, %lld", (long long)outer,
                  (long long)x->dim[axis], (long long)count,
                  bytes_of(x, inner));
}

/* Nest over the indices: operand 0 is dense, 1 walks the data off the axis.
 * Opens its loops and returns the data's element as C. */
static const char *elements_open(Emit *e, const Node *n, int64_t attr_axis,
                                 Nest *nest, int *opened)
{
    const Type *x = &n->in[0]->type, *k = &n->in[1]->type;
    int axis = plain_axis(attr_axis, x->rank);
    int64_t stride[MAX_RANK], step;

    type_strides(x, stride);
    step = stride[axis];
    stride[axis] = 0;
    nest_init(nest, k->rank, k->dim);
    nest_dense(nest);
    nest_strided(nest, 0, stride);
    nest_collapse(nest);
    *opened = nest_open(e, nest, 0, nest->rank);
    return arena_printf(e->arena, "%s + (%s)%s(x1[%s], %lld) * %lld",
                        nest_index(e, nest, 1, false),
                        index_type(type_elems(x)),
                        emit_kernel(e, "index_I", DT_NONE, k->dt),
                        nest_index(e, nest, 0, false),
                        (long long)x->dim[axis], (long long)step);
}

void emit_gatherelements(Emit *e, const Node *n)
{
    Nest nest;
    int opened;
    const char *at = elements_open(e, n, ATTRS(axis0, n)->axis, &nest,
                                   &opened);

    e_line(e, "y0[%s] = x0[%s];", nest_index(e, &nest, 0, false), at);
    while (opened--)
        e_close(e);
}

/* The step that combines two elements: NULL for plain assignment. On bool
 * add is or, mul is and. */
static const char *reducer(Emit *e, const char *reduction, DType dt)
{
    bool flag = dt == DT_BOOL;

    switch (reduction[1]) {
    case 'd':
        return emit_kernel(e, flag ? "acc_max_T" : "acc_add_T", dt, DT_NONE);
    case 'u':
        return emit_kernel(e, flag ? "acc_min_T" : "acc_mul_T", dt, DT_NONE);
    case 'a': return emit_kernel(e, "acc_max_T", dt, DT_NONE);
    case 'i': return emit_kernel(e, "acc_min_T", dt, DT_NONE);
    default: return NULL;
    }
}

/* The result starts as the data, unless it already lies there. */
static void copy_data(Emit *e, const Node *n)
{
    const Value *x = n->in[0], *y = n->out[0];

    if (!x->buf || x->buf != y->buf || x->delta != y->delta)
        e_line(e, "memcpy(y0, x0, %lld);", (long long)type_bytes(&x->type));
}

void emit_scatterelements(Emit *e, const Node *n)
{
    const Attr_scatterelements *a = ATTRS(scatterelements, n);
    DType dt = n->in[0]->type.dt;
    const char *f = reducer(e, a->reduction, dt), *at, *from;
    Nest nest;
    int opened;

    copy_data(e, n);
    if (!type_elems(&n->in[1]->type))
        return;
    at = elements_open(e, n, a->axis, &nest, &opened);
    from = nest_index(e, &nest, 0, false);
    if (f) {
        e_line(e, "%s *p = y0 + (%s);", dtype_ctype(dt), at);
        e_line(e, "*p = %s(*p, x2[%s]);", f, from);
    } else {
        e_line(e, "y0[%s] = x2[%s];", at, from);
    }
    while (opened--)
        e_close(e);
}

/* A table of the dims that index tuples of k go through, from `first` on. */
static void tuple_dims(Emit *e, const Type *x, const Type *k, int first)
{
    Buf b;

    buf_init(&b, e->arena);
    for (int64_t i = 0; i < k->dim[k->rank - 1]; i++)
        buf_printf(&b, "%s%lldu", i ? ", " : "",
                   (long long)x->dim[first + i]);
    e_line(e, "static const uint32_t dim[] = { %s };", b.s);
}

void emit_gathernd(Emit *e, const Node *n)
{
    const Type *x = &n->in[0]->type, *k = &n->in[1]->type;
    int b = (int)ATTRS(gathernd, n)->batch_dims;
    int64_t tuple = k->dim[k->rank - 1], batch = type_span(k, 0, b);
    int64_t count = type_span(k, b, k->rank - 1);
    int64_t len = type_span(x, b + (int)tuple, x->rank);
    const char *f = emit_kernel(e, "tuple_I", DT_NONE, k->dt);
    const char *from = "";

    if (type_bytes(&n->out[0]->type) == 0)
        return;
    tuple_dims(e, x, k, b);
    if (batch > 1) {
        e_open(e, "for (size_t b = 0; b < %lld; b++)", (long long)batch);
        from = arena_printf(e->arena, " + b * %lld",
                            bytes_of(x, type_span(x, b, x->rank)) /
                            dtype_bytes(x->dt));
    }
    e_open(e, "for (size_t i = 0; i < %lld; i++)", (long long)count);
    e_line(e, "const size_t k = %s%s;", batch > 1 ?
           arena_printf(e->arena, "b * %lld + ", (long long)count) : "", "i");
    e_line(e, "memcpy(y0 + k * %lld, x0%s + %s(x1 + k * %lld, dim, %lld) * "
           "%lld, %lld);", bytes_of(x, len) / dtype_bytes(x->dt), from, f,
           (long long)tuple, (long long)tuple,
           bytes_of(x, len) / dtype_bytes(x->dt), bytes_of(x, len));
    e_close(e);
    if (batch > 1)
        e_close(e);
}

void emit_scatternd(Emit *e, const Node *n)
{
    const Type *x = &n->in[0]->type, *k = &n->in[1]->type;
    int64_t tuple = k->dim[k->rank - 1];
    int64_t count = type_span(k, 0, k->rank - 1);
    int64_t len = type_span(x, (int)tuple, x->rank);
    const char *f = reducer(e, ATTRS(scatternd, n)->reduction, x->dt);

    copy_data(e, n);
    if (!count || !len)
        return;
    tuple_dims(e, x, k, 0);
    e_open(e, "for (size_t i = 0; i < %lld; i++)", (long long)count);
    e_line(e, "%s *p = y0 + %s(x1 + i * %lld, dim, %lld) * %lld;",
           dtype_ctype(x->dt), emit_kernel(e, "tuple_I", DT_NONE, k->dt),
           (long long)tuple, (long long)tuple, (long long)len);
    if (!f) {
        e_line(e, "memcpy(p, x2 + i * %lld, %lld);", (long long)len,
               bytes_of(x, len));
    } else {
        e_open(e, "for (size_t j = 0; j < %lld; j++)", (long long)len);
        e_line(e, "p[j] = %s(p[j], x2[i * %lld + j]);", f, (long long)len);
        e_close(e);
    }
    e_close(e);
}

void emit_tensorscatter(Emit *e, const Node *n)
{
    const Attr_tensorscatter *a = ATTRS(tensorscatter, n);
    const Type *x = &n->in[0]->type, *u = &n->in[1]->type;
    int axis = plain_axis(a->axis, x->rank);

    copy_data(e, n);
    if (!type_elems(u))
        return;
    emit_call(e, "cache_write", DT_NONE, DT_NONE,
              "y0, x1, %s, %lld, %lld, %lld, %lld, %lld, %d",
              node_in(n, 2) ? "x2" : "NULL", (long long)x->dim[0],
              (long long)type_span(x, 1, axis), (long long)x->dim[axis],
              (long long)u->dim[axis],
              bytes_of(x, type_span(x, axis + 1, x->rank)),
              !strcmp(a->mode, "circular"));
}

void emit_onehot(Emit *e, const Node *n)
{
    const Type *k = &n->in[0]->type, *y = &n->out[0]->type;
    int axis = plain_axis(ATTRS(onehot, n)->axis, y->rank);

    emit_call(e, "onehot_T_I", y->dt, k->dt, "y0, x0, x2, %lld, %lld, %lld",
              (long long)type_span(y, 0, axis), (long long)y->dim[axis],
              (long long)type_span(y, axis + 1, y->rank));
}
