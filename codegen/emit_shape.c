/* emit_shape.c - tensors made from shapes and scalars: Shape, Size, Range,
 * ConstantOfShape, EyeLike. Most fold; these are for what remains.
 */
#include "loops.h"

#include <string.h>

EmitFn emit_shape, emit_size, emit_range, emit_fill, emit_eyelike;

void emit_shape(Emit *e, const Node *n)
{
    const Type *x = &n->in[0]->type;
    int64_t count = type_elems(&n->out[0]->type);
    int64_t start = ATTRS(shape, n)->start;

    if (start < 0)
        start = start < -x->rank ? 0 : start + x->rank;
    for (int64_t i = 0; i < count; i++)
        e_line(e, "y0[%lld] = %lld;", (long long)i,
               (long long)x->dim[start + i]);
}

void emit_size(Emit *e, const Node *n)
{
    e_line(e, "y0[0] = %lld;", (long long)type_elems(&n->in[0]->type));
}

/* y[i] = start + i * delta; integers wrap */
void emit_range(Emit *e, const Node *n)
{
    DType dt = n->out[0]->type.dt;
    const char *start = elem_load(e, dt, "x0", "0");
    const char *delta = elem_load(e, dt, "x2", "0"), *expr;
    int64_t count = type_elems(&n->out[0]->type);

    if (dtype_is_float(dt))
        expr = arena_printf(e->arena, "%s + (%s)i * %s", start,
                            dt == DT_F64 ? "double" : "float", delta);
    else
        expr = arena_printf(e->arena, "(%s)((uint64_t)%s + (uint64_t)i * "
                            "(uint64_t)%s)", dtype_ctype(dt), start, delta);
    e_open(e, "for (%s i = 0; i < %lld; i++)", index_type(count),
           (long long)count);
    elem_store(e, dt, "y0", "i", expr);
    e_close(e);
}

static bool all_zero(const void *p, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (((const uint8_t *)p)[i])
            return false;
    return true;
}

/* ConstantOfShape */
void emit_fill(Emit *e, const Node *n)
{
    const Type *t = &n->out[0]->type;
    const Value *v = node_in(n, 1);
    int64_t count = type_elems(t);

    if (!v || (value_is_const(v) && all_zero(v->data, dtype_bytes(t->dt)))) {
        e_line(e, "memset(y0, 0, %lld);", (long long)type_bytes(t));
        return;
    }
    if (dtype_bits(t->dt) < 8) {
        e_line(e, "memset(y0, (x1[0] & 15) * 17, %lld);",
               (long long)type_bytes(t));
        return;
    }
    e_open(e, "for (%s i = 0; i < %lld; i++)", index_type(count),
           (long long)count);
    e_line(e, "y0[i] = x1[0];");
    e_close(e);
}

void emit_eyelike(Emit *e, const Node *n)
{
    const Type *t = &n->out[0]->type;
    int64_t k = ATTRS(eyelike, n)->k, rows = t->dim[0], cols = t->dim[1];
    int64_t first = k < 0 ? (k < -rows ? rows : -k) : 0;
    int64_t last = rows;        /* rows [first, last) have a one */

    if (k >= cols)
        last = first;
    else if (cols - k < rows)
        last = cols - k;
    e_line(e, "memset(y0, 0, %lld);", (long long)type_bytes(t));
    if (last <= first)
        return;
    e_open(e, "for (%s i = %lld; i < %lld; i++)",
           index_type(type_elems(t)), (long long)first, (long long)last);
    elem_store(e, t->dt, "y0",
               k < 0 ? arena_printf(e->arena, "i * %lld - %lld",
                                    (long long)(cols + 1), (long long)-k)
                     : arena_printf(e->arena, "i * %lld + %lld",
                                    (long long)(cols + 1), (long long)k),
               dtype_is_float(t->dt) ? emit_literal(e, t->dt, 1) : "1");
    e_close(e);
}
