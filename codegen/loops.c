/* loops.c - see loops.h. */
#include "loops.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *index_type(int64_t n)
{
    return n <= INT32_MAX ? "int" : "int64_t";
}

/* the farthest element that an operand of the nest reaches */
static int64_t nest_reach(const Nest *nest)
{
    int64_t most = 0;

    for (int k = 0; k < nest->nop; k++) {
        int64_t at = nest->base[k];
        for (int d = 0; d < nest->rank; d++)
            if (nest->stride[k][d] > 0)
                at += nest->stride[k][d] * nest->n[d];
        if (at > most)
            most = at;
    }
    return most;
}

static int open_dims(Emit *e, const Nest *nest, int from, int to,
                     bool backward)
{
    const char *type = index_type(nest_reach(nest));
    int opened = 0;

    for (int d = from; d < to; d++) {
        if (nest->n[d] == 1)
            continue;
        if (backward)
            e_open(e, "for (%s i%d = %lld; i%d >= 0; i%d--)", type, d,
                   (long long)nest->n[d] - 1, d, d);
        else
            e_open(e, "for (%s i%d = 0; i%d < %lld; i%d++)", type, d, d,
                   (long long)nest->n[d], d);
        opened++;
    }
    return opened;
}

int nest_open(Emit *e, const Nest *nest, int from, int to)
{
    return open_dims(e, nest, from, to, false);
}

static void put_term(Buf *b, const char *sign, int64_t times, int d)
{
    buf_puts(b, sign);
    if (times == 1)
        buf_printf(b, "i%d", d);
    else
        buf_printf(b, "i%d * %lld", d, (long long)times);
}

const char *nest_index(Emit *e, const Nest *nest, int k, bool row)
{
    int64_t base = nest->base[k];
    Buf b;

    buf_init(&b, e->arena);
    for (int d = 0; d < nest->rank - row; d++) {
        int64_t s = nest->stride[k][d];
        if (s > 0 && nest->n[d] > 1)
            put_term(&b, b.n ? " + " : "", s, d);
    }
    if (base || !b.n)
        buf_printf(&b, "%s%lld", b.n ? " + " : "", (long long)base);
    for (int d = 0; d < nest->rank - row; d++)
        if (nest->stride[k][d] < 0 && nest->n[d] > 1)
            put_term(&b, " - ", -nest->stride[k][d], d);
    return b.s;
}

const char *elem_load(Emit *e, DType dt, const char *ptr, const char *index)
{
    switch (dt) {
    case DT_F16:
        return arena_printf(e->arena, "%s(%s[%s])",
                            emit_kernel(e, "f16_to_f32", DT_NONE, DT_NONE),
                            ptr, index);
    case DT_BF16:
        return arena_printf(e->arena, "%s(%s[%s])",
                            emit_kernel(e, "bf16_to_f32", DT_NONE, DT_NONE),
                            ptr, index);
    case DT_U4:
        return arena_printf(e->arena, "%s(%s, (size_t)(%s))",
                            emit_kernel(e, "get_u4", DT_NONE, DT_NONE), ptr,
                            index);
    case DT_I4:
        return arena_printf(e->arena, "%s(%s, (size_t)(%s))",
                            emit_kernel(e, "get_s4", DT_NONE, DT_NONE), ptr,
                            index);
    default:
        return arena_printf(e->arena, "%s[%s]", ptr, index);
    }
}

void elem_store(Emit *e, DType dt, const char *ptr, const char *index,
                const char *expr)
{
    if (dt == DT_F16 || dt == DT_BF16)
        e_line(e, "%s[%s] = %s(%s);", ptr, index,
               emit_kernel(e, dt == DT_F16 ? "f32_to_f16" : "f32_to_bf16",
                           DT_NONE, DT_NONE), expr);
    else if (dtype_bits(dt) < 8)
        e_line(e, "%s(%s, (size_t)(%s), %s);",
               emit_kernel(e, "put_4", DT_NONE, DT_NONE), ptr, index, expr);
    else
        e_line(e, "%s[%s] = %s;", ptr, index, expr);
}

const char *operand_name(Emit *e, const Node *n, int i)
{
    const Value *x = n->in[i], *y = node_out(n, 0);

    if (op_has(n->op, T_MAP) && y && x->buf && x->buf == y->buf &&
        x->delta == y->delta && type_equal(&x->type, &y->type))
        return "y0";
    return arena_printf(e->arena, "x%d", i);
}

void loops_begin(Loops *l, Emit *e, int rank, const int64_t *dim)
{
    memset(l, 0, sizeof *l);
    l->e = e;
    nest_init(&l->nest, rank, dim);
}

int loops_write(Loops *l, const Node *n, int out)
{
    int k = nest_dense(&l->nest);

    l->op[k].v = n->out[out];
    l->op[k].dt = n->out[out]->type.dt;
    l->op[k].ptr = arena_printf(l->e->arena, "y%d", out);
    return k;
}

const char *operand_literal(Emit *e, const char *literal)
{
    return *literal == '-' ? arena_printf(e->arena, "(%s)", literal)
                           : literal;
}

static const char *const_scalar(Emit *e, const Value *v)
{
    DType dt = v->type.dt;

    if (!value_is_const(v) || type_elems(&v->type) != 1)
        return NULL;
    if (dtype_is_float(dt))
        return operand_literal(e, emit_literal(e, dt == DT_F64 ? dt : DT_F32,
                                               elem_get(dt, v->data, 0)));
    return operand_literal(e, emit_literal_int(e, dt,
                                               elem_get_int(dt, v->data, 0)));
}

int loops_read_as(Loops *l, const Node *n, int in, const Type *seen)
{
    int k = nest_broadcast(&l->nest, seen);

    l->op[k].v = n->in[in];
    l->op[k].dt = n->in[in]->type.dt;
    l->op[k].ptr = operand_name(l->e, n, in);
    l->op[k].value = const_scalar(l->e, n->in[in]);
    return k;
}

int loops_read(Loops *l, const Node *n, int in)
{
    return loops_read_as(l, n, in, &n->in[in]->type);
}

void loops_no_literal(Loops *l, int op)
{
    l->op[op].value = NULL;
}

/* C type of the value that loops_load gives */
static const char *value_type(DType dt)
{
    if (dt == DT_F16 || dt == DT_BF16)
        return "float";
    return dtype_bits(dt) < 8 ? "int" : dtype_ctype(dt);
}

/* operands that stand still in the innermost loop are loaded before it */
static void hoist(Loops *l, int k)
{
    LoopOperand *op = &l->op[k];
    int last = l->nest.rank - 1;

    if (op->ptr[0] == 'y' || op->value || l->nest.stride[k][last])
        return;
    e_line(l->e, "const %s h%d = %s;", value_type(op->dt), k,
           elem_load(l->e, op->dt, op->ptr,
                     nest_index(l->e, &l->nest, k, true)));
    op->value = arena_printf(l->e->arena, "h%d", k);
}

void loops_open(Loops *l)
{
    int last;

    nest_collapse(&l->nest);
    last = l->nest.rank - 1;
    l->opened = open_dims(l->e, &l->nest, 0, last, l->backward);
    for (int k = 0; k < l->nest.nop; k++)
        hoist(l, k);
    l->opened += open_dims(l->e, &l->nest, last, last + 1, l->backward);
}

void loops_close(Loops *l)
{
    while (l->opened-- > 0)
        e_close(l->e);
}

const char *loops_load(Loops *l, int op)
{
    const LoopOperand *o = &l->op[op];

    return o->value ? o->value
                    : elem_load(l->e, o->dt, o->ptr,
                                nest_index(l->e, &l->nest, op, false));
}

void loops_store(Loops *l, int op, const char *fmt, ...)
{
    Buf b;
    va_list ap;

    buf_init(&b, l->e->arena);
    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    elem_store(l->e, l->op[op].dt, l->op[op].ptr,
               nest_index(l->e, &l->nest, op, false), b.s);
}
