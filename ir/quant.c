/* quant.c - what the codes of an integer value stand for. The graph computes
 * with explicit QuantizeLinear and DequantizeLinear or with integer ops whose
 * attributes say everything; this is what a caller has to know about inputs
 * and outputs, and what the text form writes as @q(scale, zero point).
 */
#include "ir.h"

#include <math.h>
#include <string.h>

#include "../support/number.h"

Quant *quant_new(Arena *a, float scale, int zero_point)
{
    Quant *q = NEW(a, Quant);
    int32_t zp = zero_point;

    q->n = 1;
    q->scale = arena_memdup(a, &scale, sizeof scale);
    q->zero_point = arena_memdup(a, &zp, sizeof zp);
    return q;
}

static bool code_range(DType dt, int64_t *low, int64_t *high)
{
    int bits = dtype_bits(dt);

    if (!dtype_is_int(dt) || bits > 32)
        return false;
    *low = dtype_kind(dt) == DK_INT ? -((int64_t)1 << (bits - 1)) : 0;
    *high = *low + ((int64_t)1 << bits) - 1;
    return true;
}

bool quant_fits(const Quant *q, const Type *t)
{
    int64_t low, high;

    if (!q || !code_range(t->dt, &low, &high))
        return false;
    if (q->n != 1 && (q->axis < 0 || q->axis >= t->rank ||
                      t->dim[q->axis] != q->n))
        return false;
    for (int i = 0; i < q->n; i++)
        if (!(q->scale[i] > 0) || !isfinite(q->scale[i]) ||
            q->zero_point[i] < low || q->zero_point[i] > high)
            return false;
    return true;
}

bool quant_equal(const Quant *a, const Quant *b)
{
    if (!a || !b)
        return a == b;
    return a->n == b->n && (a->n == 1 || a->axis == b->axis) &&
           !memcmp(a->scale, b->scale, (size_t)a->n * sizeof *a->scale) &&
           !memcmp(a->zero_point, b->zero_point,
                   (size_t)a->n * sizeof *a->zero_point);
}

Quant *quant_of_operands(Arena *a, const Value *scale,
                         const Value *zero_point, int64_t axis,
                         const Type *t)
{
    Quant *q = NEW(a, Quant);
    int64_t n;
    float *s;
    int32_t *zp;

    if (!value_is_const(scale) || !dtype_is_float(scale->type.dt) ||
        (zero_point && !value_is_const(zero_point)))
        return NULL;
    n = type_elems(&scale->type);
    if (n < 1 || n > INT32_MAX || scale->type.rank > 1 ||
        (zero_point && type_elems(&zero_point->type) != n))
        return NULL;
    s = NEW_ARRAY(a, float, n);
    zp = NEW_ARRAY(a, int32_t, n);
    for (int64_t i = 0; i < n; i++) {
        s[i] = (float)elem_get(scale->type.dt, scale->data, i);
        if (zero_point)
            zp[i] = (int32_t)elem_get_int(zero_point->type.dt,
                                          zero_point->data, i);
    }
    *q = (Quant){ (int)n, 0, s, zp };
    if (n > 1)
        q->axis = (int)(axis < 0 ? axis + t->rank : axis);
    return quant_fits(q, t) ? q : NULL;
}

static void put_scales(Buf *b, const Quant *q)
{
    for (int i = 0; i < q->n; i++) {
        buf_puts(b, i ? ", " : "");
        number_put_f32(b, q->scale[i]);
    }
}

static void put_zero_points(Buf *b, const Quant *q)
{
    for (int i = 0; i < q->n; i++)
        buf_printf(b, "%s%d", i ? ", " : "", (int)q->zero_point[i]);
}

void quant_print(Buf *b, const Quant *q)
{
    buf_puts(b, q->n > 1 ? "@q({" : "@q(");
    put_scales(b, q);
    buf_puts(b, q->n > 1 ? "}, {" : ", ");
    put_zero_points(b, q);
    if (q->n > 1)
        buf_printf(b, "}, %d", q->axis);
    buf_putc(b, ')');
}

/* What all readers take the codes for; NULL: they differ, or do not say. */
static Quant *quant_of_readers(Graph *g, const Value *v)
{
    Quant *all = NULL;

    for (int i = 0; i < v->nuse; i++) {
        const Node *n = v->use[i];
        Quant *q = NULL;
        if (n->op == OP_DequantizeLinear && n->in[0] == v)
            q = quant_of_operands(g->arena, n->in[1], node_in(n, 2),
                                  ATTRS(quantize, n)->axis, &v->type);
        if (!q || (all && !quant_equal(all, q)))
            return NULL;
        all = q;
    }
    return all;
}

void quant_mark_boundary(Graph *g)
{
    for (int i = 0; i < g->nin; i++)
        if (!g->in[i]->quant)
            g->in[i]->quant = quant_of_readers(g, g->in[i]);
    for (int i = 0; i < g->nout; i++) {
        Value *v = g->out[i];
        const Node *n = v->def;
        if (!v->quant && n && n->op == OP_QuantizeLinear)
            v->quant = quant_of_operands(g->arena, n->in[1], node_in(n, 2),
                                         ATTRS(quantize, n)->axis, &v->type);
    }
}
