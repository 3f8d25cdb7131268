/* emit_qmap.c - QAdd, QMul, QRequantize as loop nests over codes, QLookup as
 * a kernel. All numbers come from ir/ops/qmap.h; zero points are part of the
 * additive constants where the sum allows it.
 */
#include <math.h>

#include "../ir/ops/qmap.h"
#include "loops.h"

EmitFn emit_qadd, emit_qmul, emit_qrequantize, emit_qlookup;

/* the element's store: expr clamped to y's codes */
static void store_code(Loops *l, int op, const QParam *y, bool wide,
                       const char *expr)
{
    loops_store(l, op, "(%s)%s(%s, %lld, %lld)", dtype_ctype(y->dt),
                emit_kernel(l->e, wide ? "code_wide" : "code", DT_NONE,
                            DT_NONE),
                expr, (long long)y->least, (long long)y->most);
}

/* " + 5", " - 5" or nothing */
static const char *plus(Emit *e, int64_t x)
{
    if (!x)
        return "";
    return arena_printf(e->arena, " %c %lld", x < 0 ? '-' : '+',
                        (long long)(x < 0 ? -x : x));
}

static void open_two(Loops *l, Emit *e, const Node *n, int *y, int *a,
                     int *b)
{
    const Type *t = &n->out[0]->type;

    loops_begin(l, e, t->rank, t->dim);
    l->backward = n->backward;
    *y = loops_write(l, n, 0);
    *a = loops_read(l, n, 0);
    *b = loops_read(l, n, 1);
    loops_open(l);
}

/* "x0[i] * 77", or the same in 64 bits */
static const char *times(Emit *e, bool wide, const char *x, int32_t m)
{
    return arena_printf(e->arena, wide ? "(int64_t)%s * %d" : "%s * %d", x,
                        m);
}

void emit_qadd(Emit *e, const Node *n)
{
    const char *sum;
    int y, a, b;
    bool far;
    Loops l;
    QSum s;

    if (!qadd_read(n, &s))
        return;
    open_two(&l, e, n, &y, &a, &b);
    /* the constant first: two multiply-accumulates */
    sum = arena_printf(e->arena, s.wide ? "INT64_C(%lld) + %s + %s"
                                        : "%lld + %s + %s",
                       (long long)s.bias,
                       times(e, s.wide, loops_load(&l, a), s.ma),
                       times(e, s.wide, loops_load(&l, b), s.mb));
    if (s.shift)
        sum = arena_printf(e->arena, "(%s) >> %d", sum, s.shift);
    far = s.wide && s.shift < 20;       /* perhaps above 32 bits */
    if (s.wide && !far)
        sum = arena_printf(e->arena, "(int32_t)(%s)", sum);
    store_code(&l, y, &s.y, far, sum);
    loops_close(&l);
}

/* x requantized; x is an expression of the sum */
static const char *scaled(Emit *e, const Requant *r, const char *x)
{
    if (r->shift)
        x = arena_printf(e->arena, "(%s) * %d", x, 1 << r->shift);
    return arena_printf(e->arena, "%s(%s, %d)%s",
                        emit_kernel(e, "scale_code", DT_NONE, DT_NONE), x,
                        r->mult[0], plus(e, r->zero));
}

/* "(x0[i] - 3)" */
static const char *centered(Emit *e, const QParam *p, const char *x)
{
    if (!p->zero)
        return x;
    return arena_printf(e->arena, "(%s%s)", x, plus(e, -p->zero));
}

void emit_qmul(Emit *e, const Node *n)
{
    const char *x, *z;
    int y, a, b;
    Loops l;
    QProduct p;

    if (!qmul_read(n, &p))
        return;
    open_two(&l, e, n, &y, &a, &b);
    x = centered(e, &p.a, loops_load(&l, a));
    z = centered(e, &p.b, loops_load(&l, b));
    x = arena_printf(e->arena, p.wide ? "(int64_t)%s * %s" : "%s * %s", x, z);
    x = !p.wide ? scaled(e, &p.r, x)
        : arena_printf(e->arena, "%s(%s, %d, %d)%s",
                       emit_kernel(e, "scale_wide", DT_NONE, DT_NONE), x,
                       p.mult, p.shift, plus(e, p.y.zero));
    store_code(&l, y, &p.y, p.wide, x);
    loops_close(&l);
}

void emit_qrequantize(Emit *e, const Node *n)
{
    const Type *t = &n->out[0]->type;
    Loops l;
    QScale s;
    int y, x;

    if (!qrequantize_read(n, &s))
        return;
    loops_begin(&l, e, t->rank, t->dim);
    l.backward = n->backward;
    y = loops_write(&l, n, 0);
    x = loops_read(&l, n, 0);
    loops_open(&l);
    store_code(&l, y, &s.y, false,
               scaled(e, &s.r, centered(e, &s.x, loops_load(&l, x))));
    loops_close(&l);
}

void emit_qlookup(Emit *e, const Node *n)
{
    emit_call(e, n->backward ? "lookup_back_T_I" : "lookup_T_I",
              n->in[0]->type.dt, n->out[0]->type.dt, "y0, %s, %lldu, x1",
              operand_name(e, n, 0),
              (long long)type_elems(&n->out[0]->type));
}
