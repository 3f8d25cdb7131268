/* emit.c - what emitters call: lines, kernels, constants, literals. */
#include "emit.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "emit_state.h"

ScratchFn scratch_none;

int64_t scratch_none(const Node *n)
{
    (void)n;
    return 0;
}

#define EMIT(op, fn, scratch) EmitFn emit_##fn; ScratchFn scratch_##scratch;
#include "emit.def"
#undef EMIT

typedef struct EmitRow {
    EmitFn *fn;
    ScratchFn *scratch;
} EmitRow;

static const EmitRow emit_rows[OP_COUNT] = {
    [OP_NONE] = { NULL, NULL },
#define EMIT(op, fn, scratch) [OP_##op] = { emit_##fn, scratch_##scratch },
#include "emit.def"
#undef EMIT
};

EmitFn *emit_fn(Op op)
{
    return emit_rows[op].fn;
}

int64_t emit_scratch(const Node *n)
{
    ScratchFn *f = emit_rows[n->op].scratch;

    return f ? f(n) : 0;
}

static void line(Emit *e, const char *fmt, va_list ap, const char *end)
{
    for (int i = 0; i < e->indent; i++)
        buf_puts(e->c, "    ");
    buf_vprintf(e->c, fmt, ap);
    buf_puts(e->c, end);
}

void e_line(Emit *e, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    line(e, fmt, ap, "\n");
    va_end(ap);
}

void e_open(Emit *e, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    line(e, fmt, ap, " {\n");
    va_end(ap);
    e->indent++;
}

void e_close(Emit *e)
{
    e->indent--;
    e_line(e, "}");
}

const char *emit_kernel(Emit *e, const char *kernel, DType t, DType i)
{
    return kernels_use(e->state->kernels, kernel, t, i);
}

void emit_call(Emit *e, const char *kernel, DType t, DType i,
               const char *args, ...)
{
    char text[2048];
    va_list ap;

    va_start(ap, args);
    vsnprintf(text, sizeof text, args, ap);
    va_end(ap);
    e_line(e, "%s(%s);", emit_kernel(e, kernel, t, i), text);
}

const char *emit_const(Emit *e, const char *hint, DType dt, int64_t n,
                       const void *data)
{
    if (e->state->capture)
        return const_capture(e->state->capture, e->arena, hint, dt, n, data);
    return weights_add(e->state->weights, hint, dt, n, data);
}

int emit_layout(Emit *e, const Value *w, int wanted)
{
    const char *key = arena_printf(e->arena, "%p", w->data);
    int *layout = map_get(&e->state->layout, key);

    if (!layout) {
        layout = NEW(e->arena, int);
        *layout = wanted;
        map_put(&e->state->layout, key, layout);
    }
    return *layout;
}

const char *const_capture(ConstList *l, Arena *arena, const char *hint,
                          DType dt, int64_t n, const void *data)
{
    ConstItem item = { hint, dt, n, data };

    PUSH(arena, l->v, l->n, l->cap, item);
    return arena_printf(arena, CAPTURED "%d", l->n - 1);
}

static const char *float_literal(Emit *e, bool single, double x)
{
    const char *f = single ? "f" : "";
    const char *open = single ? "" : "(double)";

    if (isnan(x))
        return arena_printf(e->arena, "%sNAN", open);
    if (isinf(x))
        return arena_printf(e->arena, "(%s%sINFINITY)", x < 0 ? "-" : "",
                            open);
    if (x == floor(x) && fabs(x) < 1e6)
        return arena_printf(e->arena, "%s%.1f%s", signbit(x) ? "-" : "",
                            fabs(x), f);
    return arena_printf(e->arena, single ? "%.9gf" : "%.17g", x);
}

const char *emit_literal_int(Emit *e, DType dt, int64_t x)
{
    if (dtype_is_float(dt))
        return emit_literal(e, dt, (double)x);
    if (dt == DT_U64)
        return arena_printf(e->arena, "UINT64_C(%llu)",
                            (unsigned long long)x);
    if (dt == DT_I64)
        return x == INT64_MIN ? "INT64_MIN"
                              : arena_printf(e->arena, "INT64_C(%lld)",
                                             (long long)x);
    if (dt == DT_I32 && x == INT32_MIN)
        return "INT32_MIN";
    if (dt == DT_U32)
        return arena_printf(e->arena, "%lluu", (unsigned long long)x);
    return arena_printf(e->arena, "%lld", (long long)x);
}

/* %.9g may print 1e+10 or 12: a C float constant needs a point or exponent */
static const char *with_point(Emit *e, const char *s)
{
    size_t n = strlen(s);

    if (strpbrk(s, ".eNI("))
        return s;
    if (s[n - 1] == 'f')
        return arena_printf(e->arena, "%.*s.0f", (int)n - 1, s);
    return arena_printf(e->arena, "%s.0", s);
}

const char *emit_literal(Emit *e, DType dt, double x)
{
    if (dtype_is_float(dt))
        return with_point(e, float_literal(e, dt != DT_F64, x));
    return emit_literal_int(e, dt, (int64_t)x);
}
