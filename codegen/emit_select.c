/* emit_select.c - NonMaxSuppression and Unique: kernels with room for as
 * many results as the model declares. */
#include "emit.h"

#include "../ir/ops/select.h"

EmitFn emit_nms, emit_unique;
ScratchFn scratch_nms, scratch_unique;

/* one byte per box: does it still count? */
int64_t scratch_nms(const Node *n)
{
    return n->in[NMS_BOXES]->type.dim[1];
}

/* Scalar operand i as an expression. */
static const char *scalar(Emit *e, const Node *n, int i, const char *usual)
{
    const Value *v = node_in(n, i);

    if (!v)
        return usual;
    if (!v->data)
        return arena_printf(e->arena, "x%d[0]", i);
    if (v->type.dt == DT_I64)
        return emit_literal_int(e, DT_I64, elem_get_int(DT_I64, v->data, 0));
    return emit_literal(e, v->type.dt, elem_get(v->type.dt, v->data, 0));
}

void emit_nms(Emit *e, const Node *n)
{
    const Type *b = &n->in[NMS_BOXES]->type, *s = &n->in[NMS_SCORES]->type;

    e_line(e, "const int64_t most = %s;", scalar(e, n, NMS_MOST, "0"));
    e_line(e, "const float iou = %s, least = %s;\n",
           scalar(e, n, NMS_IOU, "0"), scalar(e, n, NMS_LEAST, "0"));
    emit_call(e, "nms_T", DT_F32, DT_NONE, "y0, %lld, x0, x1, %lld, %lld, "
              "%lld, most, iou, %d, least, %d, s",
              (long long)n->out[0]->type.dim[0], (long long)b->dim[0],
              (long long)s->dim[1], (long long)b->dim[1],
              node_in(n, NMS_LEAST) != NULL,
              ATTRS(nms, n)->center_point_box != 0);
}

/* the first item of each kind */
int64_t scratch_unique(const Node *n)
{
    Walk w;

    return unique_walk(n, &n->in[0]->type, &w) ? 8 * w.n : 0;
}

void emit_unique(Emit *e, const Node *n)
{
    const Type *x = &n->in[0]->type;
    const char *y[4];
    Walk w;

    if (!unique_walk(n, x, &w))
        return;
    for (int i = 0; i < 4; i++)
        y[i] = node_out(n, i) ? arena_printf(e->arena, "y%d", i) : "NULL";
    emit_call(e, "unique_T", x->dt, DT_NONE, "%s, %s, %s, %s, %lld, x0, "
              "%lld, %lld, %lld, %d, (int64_t *)(void *)s", y[0], y[1], y[2],
              y[3], (long long)unique_rows(n), (long long)w.outer,
              (long long)w.n, (long long)w.inner,
              ATTRS(unique, n)->sorted != 0);
}
