/* emit_quant.c - QuantizeLinear and DequantizeLinear as loop nests,
 * DynamicQuantizeLinear through kernels of quant.c. The products are in
 * emit_qproduct.c. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../ir/ops/quant.h"
#include "emit_quant.h"
#include "loops.h"

EmitFn emit_quantize, emit_dequantize, emit_dynquantize;

bool quant_is_zero(const Value *v)
{
    if (!v)
        return true;
    if (!value_is_const(v))
        return false;
    for (int64_t i = 0; i < type_elems(&v->type); i++)
        if (elem_get_int(v->type.dt, v->data, i))
            return false;
    return true;
}

const char *quant_zero(Emit *e, const Node *n, int i, const char *index)
{
    const Value *v = i < 0 ? NULL : node_in(n, i);

    if (quant_is_zero(v))
        return "0";
    if (value_is_const(v) && type_elems(&v->type) == 1)
        return arena_printf(e->arena, "%lld", (long long)
                            elem_get_int(v->type.dt, v->data, 0));
    return arena_printf(e->arena, "x%d[%s]", i, index);
}

/* Loops over [outer, axis, inner] */

/* Scales and zero points per block: the last block may be a shorter one, so
 * these are plain loops. Leaves i (element) and q (scale) in scope. */
static int open_blocks(Emit *e, const QuantMap *m)
{
    const char *t = index_type(m->outer * m->len * m->inner);

    e_open(e, "for (%s o = 0; o < %lld; o++)", t, (long long)m->outer);
    e_open(e, "for (%s c = 0; c < %lld; c++)", t, (long long)m->len);
    e_open(e, "for (%s k = 0; k < %lld; k++)", t, (long long)m->inner);
    e_line(e, "const %s i = (o * %lld + c) * %lld + k;", t,
           (long long)m->len, (long long)m->inner);
    e_line(e, "const %s q = o * %lld + c / %lld * %lld + k;", t,
           (long long)m->so, (long long)m->block, (long long)m->sa);
    return 3;
}

/* What the two ops differ in: the expression of one element. */
typedef const char *QuantExpr(Emit *e, const Node *n, const char *x,
                              const char *scale, const char *zero);

static void emit_blocks(Emit *e, const Node *n, const QuantMap *m,
                        QuantExpr *expr)
{
    const Value *z = node_in(n, 2);
    const char *zero = "0";
    int open = open_blocks(e, m);

    if (!quant_is_zero(z))
        zero = elem_load(e, z->type.dt, "x2", "q");
    elem_store(e, n->out[0]->type.dt, "y0", "i",
               expr(e, n, elem_load(e, n->in[0]->type.dt, "x0", "i"),
                    elem_load(e, n->in[1]->type.dt, "x1", "q"), zero));
    while (open--)
        e_close(e);
}

static void emit_each(Emit *e, const Node *n, QuantExpr *expr)
{
    const Value *z = node_in(n, 2);
    const char *zero = "0", *xe, *se;
    int x, y, s, zp = -1;
    QuantMap m;
    Type seen;
    Loops l;

    if (!quant_map(n, &m))
        return;
    if (m.si) {
        emit_blocks(e, n, &m, expr);
        return;
    }
    seen = type_make(n->in[1]->type.dt, 3,
                     (int64_t[]){ 1, m.sa ? m.len : 1, 1 });
    loops_begin(&l, e, 3, (int64_t[]){ m.outer, m.len, m.inner });
    y = loops_write(&l, n, 0);
    x = loops_read_as(&l, n, 0, &(Type){ n->in[0]->type.dt, 3,
                      { m.outer, m.len, m.inner } });
    s = loops_read_as(&l, n, 1, &seen);
    if (!quant_is_zero(z))
        zp = loops_read_as(&l, n, 2, &seen);
    loops_open(&l);
    xe = loops_load(&l, x);
    se = loops_load(&l, s);
    if (zp >= 0)
        zero = loops_load(&l, zp);
    loops_store(&l, y, "%s", expr(e, n, xe, se, zero));
    loops_close(&l);
}

/* A constant scale that is a power of two has an exact reciprocal. */
static const char *quotient(Emit *e, const Node *n, const char *x,
                            const char *scale)
{
    const Value *v = n->in[1];
    int exp;

    if (n->in[0]->type.dt == DT_I32)
        x = arena_printf(e->arena, "(float)%s", x);
    if (value_is_const(v) && type_elems(&v->type) == 1) {
        double s = elem_get(v->type.dt, v->data, 0);
        if (frexp(s, &exp) == 0.5 && exp > -100 && exp < 100)
            return s == 1 ? x : arena_printf(e->arena, "%s * %s", x,
                                             emit_literal(e, DT_F32, 1 / s));
    }
    return arena_printf(e->arena, "%s / %s", x, scale);
}

static const char *quantize_expr(Emit *e, const Node *n, const char *x,
                                 const char *scale, const char *zero)
{
    DType dt = n->out[0]->type.dt;
    const char *fn = emit_kernel(e, "quant", DT_NONE, DT_NONE);
    const char *q = quotient(e, n, x, scale), *cast = "";
    long long lo = (long long)dtype_lowest(dt);
    long long hi = (long long)dtype_highest(dt);
    bool fixed = *zero == '-' || (*zero >= '0' && *zero <= '9');

    if (dtype_bits(dt) >= 8)
        cast = arena_printf(e->arena, "(%s)", dtype_ctype(dt));
    if (fixed) {
        long long z = strtoll(zero, NULL, 10);
        q = arena_printf(e->arena, "%s(%s, %lld.0f, %lld.0f)", fn, q, lo - z,
                         hi - z);
        return z == 0 ? arena_printf(e->arena, "%s%s", cast, q)
                      : arena_printf(e->arena, "%s(%s + %s)", cast, q, zero);
    }
    return arena_printf(e->arena, "%s(%s(%s, (float)(%lld - %s), "
                        "(float)(%lld - %s)) + %s)", cast, fn, q, lo, zero,
                        hi, zero, zero);
}

static const char *dequantize_expr(Emit *e, const Node *n, const char *x,
                                   const char *scale, const char *zero)
{
    bool wide = n->in[0]->type.dt == DT_I32;

    if (!strcmp(zero, "0"))
        return arena_printf(e->arena, "(float)%s * %s", x, scale);
    return arena_printf(e->arena, wide ? "(float)((int64_t)%s - %s) * %s"
                                       : "(float)(%s - %s) * %s",
                        x, zero, scale);
}

void emit_quantize(Emit *e, const Node *n)
{
    emit_each(e, n, quantize_expr);
}

void emit_dequantize(Emit *e, const Node *n)
{
    emit_each(e, n, dequantize_expr);
}

void emit_dynquantize(Emit *e, const Node *n)
{
    long long count = (long long)type_elems(&n->in[0]->type);

    e_line(e, "int32_t zero;");
    e_line(e, "const float scale = %s(x0, %lldu, &zero);",
           emit_kernel(e, "dynamic_scale", DT_NONE, DT_NONE), count);
    if (node_out(n, 1))
        e_line(e, "y1[0] = scale;");
    if (node_out(n, 2))
        e_line(e, "y2[0] = (uint8_t)zero;");
    if (!node_out(n, 0))
        return;
    e_open(e, "for (%s i = 0; i < %lld; i++)", index_type(count), count);
    e_line(e, "y0[i] = (uint8_t)(%s(x0[i] / scale, (float)(0 - zero), "
           "(float)(255 - zero)) + zero);",
           emit_kernel(e, "quant", DT_NONE, DT_NONE));
    e_close(e);
}
