/* emit_map.c - elementwise ops: one loop nest with the expression of
 * scalar.def in its body. Cast, Where, Pow and Clip choose theirs here.
 * float16 and bfloat16 are computed in float and rounded once.
 */
#include "loops.h"
#include "map.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../ir/scalar.h"
#include "emit_state.h"

EmitFn emit_map, emit_cast, emit_pow, emit_where, emit_copy;

static bool is_half(DType dt)
{
    return dt == DT_F16 || dt == DT_BF16;
}

static DType compute_type(DType dt)
{
    return is_half(dt) ? DT_F32 : dt;
}

/* What a name of scalar.def that is no operand stands for, or NULL. */
static const char *scalar_name(Emit *e, const char *word, DType dt, float p0,
                               float p1)
{
    if (!strcmp(word, "p0") || !strcmp(word, "p1"))
        return operand_literal(
            e, emit_literal(e, dt == DT_F64 ? DT_F64 : DT_F32,
                            (double)(word[1] == '0' ? p0 : p1)));
    if (!strcmp(word, "T_MAX"))
        return dt == DT_F64 ? "1.7976931348623157e308" : "3.40282347e38f";
    if (!strcmp(word, "T_BITS"))
        return arena_printf(e->arena, "%d", dtype_bits(dt));
    return NULL;
}

/* mcu_sin_T and the like that have no kernel of their own: sinf, sin */
static const char *libm_name(Emit *e, const char *word, DType dt)
{
    static const char *const names[] = {
        "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh",
        "asinh", "acosh", "atanh", "fmod"
    };
    size_t n = strlen(word);

    if (n < 7 || strncmp(word, "mcu_", 4) || !dtype_is_float(dt))
        return NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i]) == n - 6 &&
            !strncmp(word + 4, names[i], n - 6))
            return dt == DT_F64 ? names[i]
                                : arena_printf(e->arena, "%sf", names[i]);
    return NULL;
}

static const char *replace(Emit *e, const char *word, DType dt,
                           const char *const *arg, float p0, float p1)
{
    if (word[0] >= 'x' && word[0] <= 'z' && !word[1])
        return arg[word[0] - 'x'];
    if (!strncmp(word, "mcu_", 4))
        return libm_name(e, word, dt);
    return scalar_name(e, word, dt, p0, p1);
}

const char *scalar_c(Emit *e, const char *row, DType dt,
                     const char *const *arg, float p0, float p1)
{
    const Scalar *s = scalar_find(row, dt);
    const char *p = s->expr;
    Buf out;

    buf_init(&out, e->arena);
    while (*p) {
        const char *q = p, *with;
        char *word;
        while (isalnum((unsigned char)*q) || *q == '_' || *q == '.')
            q++;
        if (q == p) {
            buf_putc(&out, *p++);
            continue;
        }
        word = arena_strndup(e->arena, p, (size_t)(q - p));
        with = replace(e, word, dt, arg, p0, p1);
        if (with)
            buf_puts(&out, with);
        else
            kernels_substitute(e->state->kernels, &out, word, dt, DT_NONE);
        p = q;
    }
    return out.s;
}

/* times that an operand's name appears in a row */
static int mentions(const char *expr, char name)
{
    int count = 0;

    for (const char *p = expr; *p; p++)
        if (*p == name && (p == expr || !isalnum((unsigned char)p[-1])) &&
            !isalnum((unsigned char)p[1]) && p[1] != '_')
            count++;
    return count;
}

/* Narrow integers promote to int: the result needs a cast back, unless the
 * row is one. */
static const char *fitted(Emit *e, const Scalar *s, DType dt,
                          const char *expr)
{
    if (s->truth)
        return arena_printf(e->arena, "(uint8_t)(%s)", expr);
    if (dtype_is_float(dt) || dtype_bits(dt) >= 32 || !strcmp(s->expr, "x") ||
        !strncmp(s->expr, "(T)", 3))
        return expr;
    return arena_printf(e->arena, "(%s)(%s)", dtype_ctype(dt), expr);
}

/* An integer bound may make a comparison constant, of which compilers warn;
 * so integers that are compared stay loads. */
static bool compares(const Scalar *s)
{
    return strpbrk(s->expr, "<>") != NULL;
}

const char *map_expr(Emit *e, const char *act, float alpha, float beta,
                     DType dt, const char *x)
{
    const char *arg[3] = { x, NULL, NULL };
    const char *row = act;

    if (!*act)
        return x;
    if (!strcmp(act, "Clip")) {
        arg[1] = operand_literal(e, emit_literal(e, dt, (double)alpha));
        arg[2] = operand_literal(e, emit_literal(e, dt, (double)beta));
        if (isinf(alpha) && alpha < 0) {
            row = "ClipMax";
            arg[1] = arg[2];
        } else if (isinf(beta) && beta > 0) {
            row = "ClipMin";
        }
    }
    if (!strcmp(act, "Gelu") && alpha == 1)
        row = "GeluTanh";
    return arena_printf(e->arena, "(%s)", scalar_c(e, row, dt, arg, alpha,
                                                   beta));
}

/* Loads operand k: into a local x, y or z when the row names it twice. */
static const char *local(Loops *l, const Scalar *s, int i, int op, DType dt)
{
    const char *load = loops_load(l, op);
    char name = (char)('x' + i);

    if (l->op[op].value || mentions(s->expr, name) < 2)
        return load;
    e_line(l->e, "const %s %c = %s;", dtype_ctype(compute_type(dt)), name,
           load);
    return arena_printf(l->e->arena, "%c", name);
}

void emit_map(Emit *e, const Node *n)
{
    const char *row = scalar_of(n), *arg[3] = { NULL, NULL, NULL };
    DType dt = compute_type(n->in[0]->type.dt);
    const Type *t = &n->out[0]->type;
    int op[3], nin = 0, y;
    float p0, p1;
    const Scalar *s;
    Loops l;

    if (!row) {                 /* Clip without bounds */
        emit_copy(e, n);
        return;
    }
    s = scalar_find(row, dt);
    scalar_params(n, &p0, &p1);
    loops_begin(&l, e, t->rank, t->dim);
    y = loops_write(&l, n, 0);
    for (int i = 0; i < n->nin; i++) {
        if (!n->in[i])
            continue;
        op[nin] = -1;           /* PRelu of unsigned reads no slope */
        if (mentions(s->expr, (char)('x' + nin))) {
            op[nin] = loops_read(&l, n, i);
            if (!dtype_is_float(dt) && compares(s))
                loops_no_literal(&l, op[nin]);
        }
        nin++;
    }
    loops_open(&l);
    for (int i = 0; i < nin; i++)
        if (op[i] >= 0)
            arg[i] = local(&l, s, i, op[i], dt);
    loops_store(&l, y, "%s", fitted(e, s, dt, scalar_c(e, row, dt, arg, p0,
                                                       p1)));
    loops_close(&l);
}

static const char *truncated(Emit *e, DType from, DType to, const char *x)
{
    const char *kernel = to == DT_I4   ? "truncate_s4_I"
                         : to == DT_U4 ? "truncate_u4_I"
                                       : "truncate_T_I";

    return arena_printf(e->arena, "%s(%s)", emit_kernel(e, kernel, to, from),
                        x);
}

/* integer to a 16-bit float: what a float cannot hold goes through double */
static void store_half(Loops *l, int y, DType from, DType to, const char *x)
{
    const char *fn = to == DT_F16 ? "f64_to_f16" : "f64_to_bf16";
    Emit *e = l->e;

    if (from != DT_F64 && dtype_bits(from) < 32) {
        loops_store(l, y, "(float)%s", x);
        return;
    }
    if (dtype_bits(from) == 64 && from != DT_F64)
        x = arena_printf(e->arena, "%s(%s)",
                         emit_kernel(e, "sticky_T", from, DT_NONE), x);
    l->op[y].dt = DT_U16;       /* the bits themselves */
    loops_store(l, y, "%s((double)%s)", emit_kernel(e, fn, DT_NONE, DT_NONE),
                x);
}

static void store_cast(Loops *l, int y, DType from, DType to, const char *x)
{
    bool is_float = dtype_is_float(from);

    if (is_half(from))
        from = DT_F32;
    if (to == DT_BOOL)
        loops_store(l, y, "(uint8_t)(%s != 0)", x);
    else if (dtype_is_int(to) && is_float)
        loops_store(l, y, "%s", truncated(l->e, from, to, x));
    else if (is_half(to) && from == DT_F32)
        loops_store(l, y, "%s", x);
    else if (is_half(to))
        store_half(l, y, from, to, x);
    else if (dtype_bits(to) < 8)
        loops_store(l, y, "(int)(%s & 15)", x);
    else
        loops_store(l, y, "(%s)%s", dtype_ctype(to), x);
}

void emit_cast(Emit *e, const Node *n)
{
    DType from = n->in[0]->type.dt, to = n->out[0]->type.dt;
    const Type *t = &n->out[0]->type;
    int x, y;
    Loops l;

    if (from == to) {
        emit_copy(e, n);
        return;
    }
    loops_begin(&l, e, t->rank, t->dim);
    y = loops_write(&l, n, 0);
    x = loops_read(&l, n, 0);
    loops_open(&l);
    store_cast(&l, y, from, to, loops_load(&l, x));
    loops_close(&l);
}

/* Where: bits are moved, not computed */

void emit_where(Emit *e, const Node *n)
{
    const Type *t = &n->out[0]->type;
    const char *fmt = dtype_bits(t->dt) < 32 ? "(%s)(%s ? %s : %s)"
                                             : "%.0s%s ? %s : %s";
    int op[3];
    Loops l;

    loops_begin(&l, e, t->rank, t->dim);
    loops_write(&l, n, 0);
    for (int i = 0; i < 3; i++) {
        op[i] = loops_read(&l, n, i);
        if (!is_half(t->dt) || i == 0)
            continue;
        loops_no_literal(&l, op[i]);
        l.op[op[i]].dt = DT_U16;
    }
    if (is_half(t->dt))
        l.op[0].dt = DT_U16;
    loops_open(&l);
    loops_store(&l, 0, fmt, dtype_ctype(t->dt), loops_load(&l, op[0]),
                loops_load(&l, op[1]), loops_load(&l, op[2]));
    loops_close(&l);
}

/* x to a small constant power without pow(), or NULL; x is a name */
static const char *short_power(Emit *e, DType dt, double p, const char *x)
{
    const char *one = emit_literal(e, dt, 1), *f = dt == DT_F64 ? "" : "f";

    if (p == 1)
        return x;
    if (p == 2)
        return arena_printf(e->arena, "%s * %s", x, x);
    if (p == 3)
        return arena_printf(e->arena, "%s * %s * %s", x, x, x);
    if (p == -1)
        return arena_printf(e->arena, "%s / %s", one, x);
    if (p == 0.5)
        return arena_printf(e->arena, "sqrt%s(%s)", f, x);
    if (p == -0.5)
        return arena_printf(e->arena, "%s / sqrt%s(%s)", one, f, x);
    return NULL;
}

/* a float base: in double only where the exponent needs it */
static const char *float_power(Emit *e, DType a, DType b, const char *x,
                               const char *y)
{
    if (a == DT_F64)
        return arena_printf(e->arena, "pow(%s, (double)%s)", x, y);
    if (b == DT_F32 || dtype_bits(b) <= 16)
        return arena_printf(e->arena, "powf(%s, (float)%s)", x, y);
    return arena_printf(e->arena, "(float)pow((double)%s, (double)%s)", x, y);
}

static const char *int_power(Emit *e, DType a, DType b, const char *x,
                             const char *y)
{
    bool sign = dtype_kind(b) == DK_INT;

    if (dtype_is_float(b))
        return truncated(e, DT_F64, a,
                         arena_printf(e->arena, "pow((double)%s, (double)%s)",
                                      x, y));
    return arena_printf(e->arena, "%s(%s, (%s)%s)",
                        emit_kernel(e, sign ? "powi_T" : "powu_T", a,
                                    DT_NONE),
                        x, sign ? "int64_t" : "uint64_t", y);
}

void emit_pow(Emit *e, const Node *n)
{
    const Value *p = n->in[1];
    DType a = compute_type(n->in[0]->type.dt), b = compute_type(p->type.dt);
    const Type *t = &n->out[0]->type;
    const char *x, *y, *r = NULL;
    int op[3];
    Loops l;

    loops_begin(&l, e, t->rank, t->dim);
    op[0] = loops_write(&l, n, 0);
    op[1] = loops_read(&l, n, 0);
    op[2] = loops_read(&l, n, 1);
    loops_open(&l);
    x = loops_load(&l, op[1]);
    y = loops_load(&l, op[2]);
    if (dtype_is_float(a) && value_is_const(p) && type_elems(&p->type) == 1)
        r = short_power(e, a, elem_get(p->type.dt, p->data, 0), "x");
    if (r) {
        e_line(e, "const %s x = %s;", dtype_ctype(a), x);
        loops_store(&l, op[0], "%s", r);
    } else {
        loops_store(&l, op[0], "%s", dtype_is_float(a)
                                         ? float_power(e, a, b, x, y)
                                         : int_power(e, a, b, x, y));
    }
    loops_close(&l);
}
