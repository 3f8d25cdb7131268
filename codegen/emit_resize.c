/* emit_resize.c - Resize from tables of taps (constants, or computed into
 * the scratch when scales or roi are run-time operands): loops over the
 * output, the last resized axis innermost. Outer axes are mixed into one row
 * of the input in the scratch first, so nothing larger is ever stored.
 */
#include <string.h>

#include "../ir/ops/resize.h"
#include "loops.h"

EmitFn emit_resize;
ScratchFn scratch_resize;

typedef struct Resizing {
    Emit *e;
    const Node *n;
    Resize r;
    DType dt, acc;              /* elements; coefficients and sums */
    int64_t taps[MAX_RANK];     /* per resized axis; at run time: at most */
    bool outside[MAX_RANK];     /* some outputs take the fill value */
    int64_t row;                /* elements of the mixed row, 0: none */
} Resizing;

/* What lies behind the last axis but one; of a single axis its line, and
 * only for integers, which are not summed in their own type. */
static int64_t row_size(const Resizing *p)
{
    const Type *x = &p->n->in[0]->type;
    int from = p->r.n - 2;

    if (p->r.nearest || p->r.n == 0)
        return 0;
    if (from >= 0)
        return type_span(x, p->r.axis[from].axis + 1, x->rank);
    return dtype_is_float(p->dt) ? 0 : type_span(x, p->r.axis[0].axis,
                                                 x->rank);
}

static bool read_plan(const Node *n, Resizing *p)
{
    const void *operand[4] = { NULL };
    Type y = n->out[0]->type;

    p->n = n;
    p->dt = n->in[0]->type.dt;
    p->acc = p->dt == DT_F32 ? DT_F32 : DT_F64;
    for (int i = RESIZE_ROI; i <= RESIZE_SIZES; i++)
        if (resize_operand(n, i))
            operand[i] = n->in[i]->data;
    if (!resize_read(n, operand, &p->r, &y))
        return false;
    for (int i = 0; i < p->r.n; i++) {
        /* a scale that rounds to this size may be a little smaller */
        double s = p->r.axis[i].scale * (p->r.runtime ? 1 - 1e-6 : 1);
        p->taps[i] = resize_taps(n, s);
        p->outside[i] = resize_coords(n) == COORDS_TF_CROP;
    }
    p->row = row_size(p);
    return true;
}

/* Scratch: the row, then the tables of each axis */

static int64_t up8(int64_t x)
{
    return (x + 7) / 8 * 8;
}

static int64_t row_bytes(const Resizing *p)
{
    return up8(p->row * dtype_bytes(p->acc));
}

static int64_t table_bytes(const Resizing *p, int i, int part)
{
    int64_t n = p->taps[i] * p->r.axis[i].out;

    if (part == 0)
        return p->r.nearest ? 0 : up8(n * dtype_bytes(p->acc));
    return up8(part == 1 ? n * 4 : p->r.axis[i].out);
}

int64_t scratch_resize(const Node *n)
{
    Resizing p = { 0 };
    int64_t bytes;

    if (!read_plan(n, &p) || type_elems(&n->out[0]->type) == 0)
        return 0;
    bytes = row_bytes(&p);
    for (int i = 0; p.r.runtime && i < p.r.n; i++)
        bytes += table_bytes(&p, i, 0) + table_bytes(&p, i, 1) +
                 table_bytes(&p, i, 2);
    return bytes;
}

static void const_table(Resizing *p, int i)
{
    Emit *e = p->e;
    int64_t n = p->taps[i] * p->r.axis[i].out;
    bool any = false;
    ResizeTable t;
    void *coef;

    if (!resize_table(p->n, &p->r.axis[i], e->arena, &t))
        return;
    e_line(e, "const int32_t *const at%d = %s;", i,
           emit_const(e, "taps", DT_I32, n, t.index));
    if (t.coef) {
        coef = arena_array(e->arena, (size_t)n, 8);
        for (int64_t k = 0; k < n; k++)
            elem_set(p->acc, coef, k, t.coef[k]);
        e_line(e, "const %s *const w%d = %s;", dtype_ctype(p->acc), i,
               emit_const(e, "weights", p->acc, n, coef));
    }
    for (int64_t k = 0; t.outside && k < p->r.axis[i].out; k++)
        any |= t.outside[k] != 0;
    p->outside[i] = any;
    if (any)
        e_line(e, "const uint8_t *const out%d = %s;", i,
               emit_const(e, "outside", DT_U8, p->r.axis[i].out, t.outside));
}

/* the scale that all axes share under keep_aspect_ratio_policy */
static void policy_scale(const Resizing *p)
{
    int axes[MAX_RANK], count = resize_axes(p->n, axes);
    const char *less = resize_policy(p->n) == POLICY_NOT_LARGER ? "<" : ">";

    e_line(p->e, "double all = (double)x3[0] / %lld.0;",
           (long long)p->n->in[0]->type.dim[axes[0]]);
    for (int i = 1; i < count; i++) {
        const char *s = arena_printf(p->e->arena, "(double)x3[%d] / %lld.0",
            i, (long long)p->n->in[0]->type.dim[axes[i]]);
        e_line(p->e, "all = %s %s all ? %s : all;", s, less, s);
    }
}

/* which entry of scales, sizes and roi belongs to the axis */
static int entry_of(const Resizing *p, int axis, int *count)
{
    int axes[MAX_RANK], at = 0;

    *count = resize_axes(p->n, axes);
    for (int i = 0; i < *count; i++)
        if (axes[i] == axis)
            at = i;
    return at;
}

static const char *axis_scale(const Resizing *p, int i, int entry)
{
    const ResizeAxis *a = &p->r.axis[i];

    if (resize_operand(p->n, RESIZE_SCALES))
        return arena_printf(p->e->arena, "(double)x2[%d]", entry);
    if (resize_policy(p->n) != POLICY_STRETCH &&
        !value_is_const(p->n->in[RESIZE_SIZES]))
        return "all";
    return emit_literal(p->e, DT_F64, a->scale);
}

static void runtime_table(const Resizing *p, int i, int64_t *at)
{
    const Attr_resize *at_ = ATTRS(resize, p->n);
    const ResizeAxis *a = &p->r.axis[i];
    const char *acc = dtype_ctype(p->acc), *from = "0.0", *to = "1.0";
    int count, entry = entry_of(p, a->axis, &count);
    long long part[3];

    for (int k = 0; k < 3; k++) {
        part[k] = (long long)*at;
        *at += table_bytes(p, i, k);
    }
    if (resize_coords(p->n) == COORDS_TF_CROP) {
        from = arena_printf(p->e->arena, "(double)x1[%d]", entry);
        to = arena_printf(p->e->arena, "(double)x1[%d]", count + entry);
    }
    e_line(p->e, "%s *const w%d = (%s *)(void *)(s + %lld);", acc, i, acc,
           part[0]);
    e_line(p->e, "int32_t *const at%d = (int32_t *)(void *)(s + %lld);", i,
           part[1]);
    e_line(p->e, "uint8_t *const out%d = s + %lld;", i, part[2]);
    e_line(p->e, "const double p%d[4] = { %s, %s, %s, %s };", i,
           axis_scale(p, i, entry), from, to,
           emit_literal(p->e, DT_F64, (double)at_->cubic_coeff_a));
    emit_call(p->e, "resize_table_I", p->dt, p->acc, "at%d, w%d, out%d, "
              "%lld, %lld, %lld, %d, %d, %d, %d, %d, p%d", i, i, i,
              (long long)a->in, (long long)a->out, (long long)p->taps[i],
              resize_coords(p->n),
              p->r.nearest ? resize_nearest(p->n) : -1,
              resize_mode(p->n) == MODE_CUBIC, at_->antialias != 0,
              at_->exclude_outside != 0, i);
}

static void emit_tables(Resizing *p)
{
    int64_t at = row_bytes(p);

    if (p->r.runtime && resize_policy(p->n) != POLICY_STRETCH &&
        resize_operand(p->n, RESIZE_SIZES) &&
        !value_is_const(p->n->in[RESIZE_SIZES]))
        policy_scale(p);
    for (int i = 0; i < p->r.n; i++)
        if (p->r.runtime)
            runtime_table(p, i, &at);
        else
            const_table(p, i);
}

static int64_t in_stride(const Resizing *p, int i)
{
    const Type *x = &p->n->in[0]->type;

    return type_span(x, p->r.axis[i].axis + 1, x->rank);
}

/* Loops over the dims before resized axis `last`: p0_, p1_, ... where nothing
 * changes, j0, j1, ... over outputs. Returns where in x they lead, as C
 * (nearest: with the elements picked on outer axes). */
static const char *open_outer(const Resizing *p, int last, const char *t)
{
    const Type *x = &p->n->in[0]->type;
    Buf off;
    int from = 0;

    buf_init(&off, p->e->arena);
    buf_puts(&off, "x0");
    for (int i = 0; i <= last; i++) {
        const ResizeAxis *a = &p->r.axis[i];
        int64_t n = type_span(x, from, a->axis);
        if (n > 1) {
            e_open(p->e, "for (%s p%d_ = 0; p%d_ < %lld; p%d_++)", t, i, i,
                   (long long)n, i);
            buf_printf(&off, " + p%d_ * %lld", i,
                       (long long)(a->in * in_stride(p, i)));
        }
        if (i < last)
            e_open(p->e, "for (%s j%d = 0; j%d < %lld; j%d++)", t, i, i,
                   (long long)a->out, i);
        if (i < last && p->r.nearest)
            buf_printf(&off, " + at%d[j%d] * %lld", i, i,
                       (long long)in_stride(p, i));
        from = a->axis + 1;
    }
    return off.s;
}

static void close_all(const Resizing *p, int indent)
{
    while (p->e->indent > indent)
        e_close(p->e);
}

/* "out0[j0] || out1[j1]", or NULL */
static const char *is_outside(const Resizing *p, int count)
{
    Buf b;

    buf_init(&b, p->e->arena);
    for (int i = 0; i < count; i++)
        if (p->outside[i])
            buf_printf(&b, "%sout%d[j%d]", b.n ? " || " : "", i, i);
    return b.n ? b.s : NULL;
}

static const char *fill_value(const Resizing *p)
{
    double x = (double)ATTRS(resize, p->n)->extrapolation_value;
    double hi, lo;

    if (dtype_is_float(p->dt))
        return emit_literal(p->e, p->dt, x);
    hi = dtype_bits(p->dt) == 64 ? 9.2e18 : (double)
         (((int64_t)1 << (dtype_bits(p->dt) -
                          (dtype_kind(p->dt) == DK_INT))) - 1);
    lo = dtype_kind(p->dt) == DK_INT ? -hi - 1 : 0;
    x = x > lo ? x < hi ? x : hi : lo;
    return emit_literal_int(p->e, p->dt, (int64_t)(x < 0 ? x - 0.5
                                                         : x + 0.5));
}

static void emit_fill(const Resizing *p, const char *cond, int64_t n)
{
    e_open(p->e, "if (%s)", cond);
    e_open(p->e, "for (int i = 0; i < %lld; i++)", (long long)n);
    e_line(p->e, "y[i] = %s;", fill_value(p));
    e_close(p->e);
    e_line(p->e, "y += %lld;", (long long)n);
    e_line(p->e, "continue;");
    e_close(p->e);
}

/* nearest: copies of `inner` elements */
static void emit_nearest(const Resizing *p, const char *t)
{
    int last = p->r.n - 1, indent = p->e->indent;
    long long inner = (long long)in_stride(p, last);
    const char *base = open_outer(p, last, t), *outside;

    e_line(p->e, "const %s *const x = %s;", dtype_ctype(p->dt), base);
    e_open(p->e, "for (%s j%d = 0; j%d < %lld; j%d++)", t, last, last,
           (long long)p->r.axis[last].out, last);
    outside = is_outside(p, p->r.n);
    if (outside)
        emit_fill(p, outside, inner);
    if (inner == 1) {
        e_line(p->e, "*y++ = x[at%d[j%d]];", last, last);
    } else {
        e_line(p->e, "memcpy(y, x + at%d[j%d] * %lld, %lldu * sizeof *y);",
               last, last, inner, inner);
        e_line(p->e, "y += %lld;", inner);
    }
    close_all(p, indent);
}

/* row = the mix of all outer axes' taps of x */
static void emit_mix(const Resizing *p, const char *t)
{
    int outer = p->r.n - 1, indent = p->e->indent;
    Buf off, w;

    buf_init(&off, p->e->arena);
    buf_init(&w, p->e->arena);
    for (int i = 0; i < outer; i++) {
        buf_printf(&off, " + at%d[j%d * %lld + k%d] * %lld", i, i,
                   (long long)p->taps[i], i, (long long)in_stride(p, i));
        buf_printf(&w, "%sw%d[j%d * %lld + k%d]", i ? " * " : "", i, i,
                   (long long)p->taps[i], i);
    }
    e_line(p->e, "int first = 1;");
    for (int i = 0; i < outer; i++)
        e_open(p->e, "for (%s k%d = 0; k%d < %lld; k%d++)", t, i, i,
               (long long)p->taps[i], i);
    e_line(p->e, "const %s w = %s;", dtype_ctype(p->acc), w.s);
    if (p->r.runtime) {
        e_open(p->e, "if (first || w < %s || w > %s)",
               emit_literal(p->e, p->acc, 0), emit_literal(p->e, p->acc, 0));
    }
    emit_call(p->e, "resize_mix_T_I", p->dt, p->acc, "row, x%s, w, %lldu, "
              "first", off.s, (long long)p->row);
    e_line(p->e, "first = 0;");
    close_all(p, indent);
}

/* one line along the last axis from `from` (row or x) into y */
static void emit_line(const Resizing *p, const char *from)
{
    int last = p->r.n - 1;
    const ResizeAxis *a = &p->r.axis[last];
    long long inner = (long long)in_stride(p, last);

    if (dtype_is_float(p->dt))
        emit_call(p->e, "resize_line_T", p->dt, DT_NONE, "y, %s, at%d, w%d, "
                  "%lld, %lld, %lld", from, last, last, (long long)a->out,
                  (long long)p->taps[last], inner);
    else
        emit_call(p->e, "resize_round_T_I", p->dt, p->acc, "y, %s, at%d, "
                  "w%d, %lld, %lld, %lld", from, last, last,
                  (long long)a->out, (long long)p->taps[last], inner);
    if (p->outside[last]) {
        e_open(p->e, "for (int j = 0; j < %lld; j++)",
               (long long)(a->out * inner));
        e_line(p->e, "y[j] = out%d[j / %lld] ? %s : y[j];", last, inner,
               fill_value(p));
        e_close(p->e);
    }
    e_line(p->e, "y += %lld;", (long long)a->out * inner);
}

/* Several axes: mix the outer ones, then lines of the mixed row. */
static void emit_rows(const Resizing *p, const char *t)
{
    int last = p->r.n - 1, indent = p->e->indent;
    const ResizeAxis *a = &p->r.axis[last];
    int64_t line = a->in * in_stride(p, last);
    int64_t mid = p->row / line;        /* lines of one row */
    const char *outside, *base, *acc = dtype_ctype(p->acc);
    int64_t out_row = mid * a->out * in_stride(p, last);

    e_line(p->e, "%s *const row = (%s *)(void *)s;", acc, acc);
    base = open_outer(p, last - 1, t);
    e_open(p->e, "for (%s j%d = 0; j%d < %lld; j%d++)", t, last - 1, last - 1,
           (long long)p->r.axis[last - 1].out, last - 1);
    outside = is_outside(p, last);
    if (outside)
        emit_fill(p, outside, out_row);
    e_line(p->e, "const %s *const x = %s;", dtype_ctype(p->dt), base);
    emit_mix(p, t);
    if (mid > 1)
        e_open(p->e, "for (%s m = 0; m < %lld; m++)", t, (long long)mid);
    emit_line(p, mid > 1 ? arena_printf(p->e->arena, "row + m * %lld",
                                        (long long)line) : "row");
    close_all(p, indent);
}

/* One axis: lines straight from x; integers as floating point first. */
static void emit_single(const Resizing *p, const char *t)
{
    int indent = p->e->indent;
    const char *acc = dtype_ctype(p->acc), *x;

    if (p->row)
        e_line(p->e, "%s *const row = (%s *)(void *)s;", acc, acc);
    x = open_outer(p, 0, t);
    if (p->row)
        emit_call(p->e, "resize_mix_T_I", p->dt, p->acc, "row, %s, 1.0, "
                  "%lldu, 1", x, (long long)p->row);
    emit_line(p, p->row ? "row" : x);
    close_all(p, indent);
}

void emit_resize(Emit *e, const Node *n)
{
    const char *ctype = dtype_ctype(n->out[0]->type.dt), *t;
    int64_t count = type_elems(&n->out[0]->type);
    Resizing p = { .e = e };

    if (count == 0 || !read_plan(n, &p))
        return;
    if (p.r.n == 0) {
        e_line(e, "memcpy(y0, x0, %lldu * sizeof *y0);", (long long)count);
        return;
    }
    t = index_type(count + type_elems(&n->in[0]->type));
    t = strcmp(t, "int") ? t : "int32_t";
    emit_tables(&p);
    e_line(e, "%s *y = y0;", ctype);
    if (p.r.nearest)
        emit_nearest(&p, t);
    else if (p.r.n > 1)
        emit_rows(&p, t);
    else
        emit_single(&p, t);
}
