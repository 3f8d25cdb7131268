/* emit_pool.c - MaxPool, AveragePool, LpPool, their global forms and
 * MaxUnpool: one kernel call each. */
#include "geometry.h"

#include <string.h>

EmitFn emit_maxpool, emit_averagepool, emit_lppool, emit_globalpool;
EmitFn emit_maxunpool;

void emit_maxpool(Emit *e, const Node *n)
{
    DType dt = n->in[0]->type.dt;
    ConvShape s;

    if (!pool_shape(n, &s) || !window_out(&s.win) || !s.batch || !s.group)
        return;
    emit_geometry(e, &s.win);
    if (node_out(n, 1))
        emit_call(e, "maxpool_index_T", dt, DT_NONE,
                  "g, %lld, %d, x0, %s, y1",
                  (long long)(s.batch * s.group),
                  ATTRS(pool, n)->storage_order != 0,
                  n->out[0] ? "y0" : "NULL");
    else
        emit_call(e, "maxpool_T", dt, DT_NONE, "g, %lld, x0, y0",
                  (long long)(s.batch * s.group));
}

static void sum_pool(Emit *e, const Node *n, const char *kernel, int64_t arg)
{
    ConvShape s;

    if (!type_elems(&n->out[0]->type) || !pool_shape(n, &s))
        return;
    emit_geometry(e, &s.win);
    emit_call(e, kernel, n->in[0]->type.dt, DT_NONE, "g, %lld, %lld, x0, y0",
              (long long)(s.batch * s.group), (long long)arg);
}

void emit_averagepool(Emit *e, const Node *n)
{
    sum_pool(e, n, "averagepool_T", ATTRS(pool, n)->count_include_pad != 0);
}

void emit_lppool(Emit *e, const Node *n)
{
    sum_pool(e, n, "lppool_T", ATTRS(pool, n)->p);
}

void emit_globalpool(Emit *e, const Node *n)
{
    const Type *x = &n->in[0]->type;
    long long images = type_span(x, 0, 2), size = type_span(x, 2, x->rank);

    if (!images)
        return;
    if (n->op == OP_GlobalLpPool)
        emit_call(e, "globallp_T", x->dt, DT_NONE, "%lld, %lld, %lld, x0, y0",
                  images, size, (long long)ATTRS(globallppool, n)->p);
    else
        emit_call(e, n->op == OP_GlobalMaxPool ? "globalmax_T"
                                               : "globalaverage_T",
                  x->dt, DT_NONE, "%lld, %lld, x0, y0", images, size);
}

static void dims_line(Emit *e, const char *name, const Type *t)
{
    Buf b;

    buf_init(&b, e->arena);
    for (int i = 0; i < t->rank; i++)
        buf_printf(&b, "%s%lld", i ? ", " : "", (long long)t->dim[i]);
    e_line(e, "const int32_t %s[%d] = { %s };", name, t->rank, b.s);
}

void emit_maxunpool(Emit *e, const Node *n)
{
    const Attr_maxunpool *a = ATTRS(maxunpool, n);
    const Type *y = &n->out[0]->type;
    Type own = n->in[0]->type;
    int rank = own.rank - 2;

    if (!type_elems(y))
        return;
    for (int i = 0; i < rank; i++) {
        int64_t stride = a->strides.n ? a->strides.v[i] : 1;
        int64_t pads = a->pads.n ? a->pads.v[i] + a->pads.v[rank + i] : 0;
        own.dim[2 + i] = (own.dim[2 + i] - 1) * stride +
                         a->kernel_shape.v[i] - pads;
    }
    dims_line(e, "own", &own);
    dims_line(e, "dim", y);
    emit_call(e, "unpool_T", y->dt, DT_NONE, "%d, own, dim, %lld, x0, x1, y0",
              own.rank,
              (long long)type_elems(&n->in[0]->type));
}
