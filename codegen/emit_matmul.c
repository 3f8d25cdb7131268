/* emit_matmul.c - MatMul, Gemm, FusedMatMul, Det.
 *
 * A constant right operand is packed into panels of 32 columns when the
 * file is written, a factor multiplied into it. A product whose result is
 * one column is computed as its transpose, a row. Batches that share the
 * right operand and lie behind one another become rows of one product.
 */
#include "epilogue.h"
#include "map.h"

#include <string.h>

#include "../ir/ops/dense.h"
#include "../ir/ops/matmul.h"

EmitFn emit_matmul, emit_det;
ScratchFn scratch_det;

enum { PANEL = 32 };            /* columns, as in kernels/matmul.c */

/* A product as the kernels want it. */
typedef struct Mul {
    const Node *n;
    MatShape s;
    BiasShape bias;
    DType dt;
    const char *a, *b, *c;      /* C expressions; c NULL: no addend */
    double alpha, beta;         /* still to be applied afterwards */
    const char *act;
    float act_alpha, act_beta;
    bool packed;
    int64_t whole_n, whole_depth;       /* b is the beginning of a wider
                                   matrix of so many columns and rows; 0 */
} Mul;

void emit_act(Emit *e, const Node *n, const char *act, float alpha,
              float beta)
{
    const Type *y = &n->out[0]->type;
    long long plane = n->out[0]->plane, count = type_elems(y);
    const char *at = plane ? "y[i]" : "y0[i]";

    if (!act[0])
        return;
    if (plane) {
        e_open(e, "for (int k = 0; k < %lld; k++)", (long long)y->dim[1]);
        e_line(e, "%s *y = y0 + k * %lld;", dtype_ctype(y->dt), plane);
        count /= y->dim[1];
    }
    e_open(e, "for (int i = 0; i < %lld; i++)", count);
    e_line(e, "%s = %s;", at, map_expr(e, act, alpha, beta, y->dt, at));
    e_close(e);
    if (plane)
        e_close(e);
}

static void read_attrs(Mul *m)
{
    m->alpha = m->beta = 1;
    m->act = "";
    if (m->n->op == OP_Gemm) {
        const Attr_gemm *a = ATTRS(gemm, m->n);
        m->alpha = (double)a->alpha;
        m->beta = (double)a->beta;
        m->act = a->act;
        m->act_alpha = a->act_alpha;
        m->act_beta = a->act_beta;
    } else if (m->n->op == OP_FusedMatMul) {
        const Attr_fusedmatmul *a = ATTRS(fusedmatmul, m->n);
        m->alpha = (double)a->alpha;
        m->act = a->act;
        m->act_alpha = a->act_alpha;
        m->act_beta = a->act_beta;
    }
}

static Mul problem(const Node *n)
{
    Mul m = { .n = n, .dt = n->out[0]->type.dt, .a = "x0", .b = "x1" };
    const Value *c = node_in(n, 2);
    Type t;

    matmul_shape(n, &m.s, &t);
    read_attrs(&m);
    if (c && m.beta != 0) {
        matmul_bias(n, &m.s, &t, &c->type, &m.bias);
        m.c = "x2";
    }
    return m;
}

/* One column: y^T = op(b)^T op(a)^T is one row. */
static void turn(Mul *m)
{
    MatShape *s = &m->s, t = *s;
    const char *a = m->a;
    int64_t row = m->bias.row;

    s->m = t.n;
    s->n = t.m;
    s->a_row = t.b_col;
    s->a_col = t.b_row;
    s->b_row = t.a_col;
    s->b_col = t.a_row;
    memcpy(s->a_batch, t.b_batch, sizeof s->a_batch);
    memcpy(s->b_batch, t.a_batch, sizeof s->b_batch);
    m->a = m->b;
    m->b = a;
    m->bias.row = m->bias.col;
    m->bias.col = row;
}

static const Value *right(const Mul *m)
{
    return m->n->in[strcmp(m->b, "x0") ? 1 : 0];
}

/* Batches of a that lie behind one another, with one b: rows of one
 * product. */
static void merge_batches(Mul *m)
{
    MatShape *s = &m->s;
    int64_t step = s->m * s->depth, bias = s->m * m->bias.row;

    if (s->m > 1 && s->a_row != s->depth)
        return;
    for (int i = s->rank - 1; i >= 0; i--) {
        if (s->batch[i] > 1 &&
            (s->a_batch[i] != step || s->b_batch[i] ||
             m->bias.batch[i] != bias))
            return;
        step *= s->batch[i];
        bias *= s->batch[i];
    }
    if (s->m == 1)
        s->a_row = s->depth;
    s->m *= matmul_batches(s);
    s->rank = 0;
}

static double element(const Value *v, int64_t i)
{
    return elem_get(v->type.dt, v->data, i);
}

/* one matrix op(b) into panels, times alpha */
static void pack(const Mul *m, const Value *v, int64_t from, char *to)
{
    const MatShape *s = &m->s;
    int64_t at = 0;

    for (int64_t p = 0; p < s->n; p += PANEL)
        for (int64_t k = 0; k < s->depth; k++)
            for (int64_t j = p; j < p + PANEL && j < s->n; j++)
                elem_set(m->dt, to, at++, m->alpha *
                         element(v, from + k * s->b_row + j * s->b_col));
}

/* all matrices of a constant b; their order in memory stays */
static void pack_right(Emit *e, Mul *m)
{
    const Value *v = right(m);
    int64_t size = m->s.depth * m->s.n, count = type_elems(&v->type);
    char *to = arena_array(e->arena, (size_t)count,
                           (size_t)dtype_bytes(m->dt));

    for (int64_t i = 0; i < count; i += size)
        pack(m, v, i, to + i * dtype_bytes(m->dt));
    m->b = emit_const(e, v->name, m->dt, count, to);
    m->alpha = 1;
    m->packed = true;
}

/* The matrix of the widest step, packed, where n is that step at a smaller
 * width: its first columns, or its first rows. */
static bool is_part(const Mul *m)
{
    return dtype_is_float(m->dt) && whole_operand(m->n, 1) &&
           m->n->whole->in[1]->type.rank == 2 && problem(m->n->whole).s.n > 1;
}

static bool pack_whole(Emit *e, Mul *m)
{
    Mul w;

    if (!is_part(m))
        return false;
    w = problem(m->n->whole);
    pack_right(e, &w);
    m->b = w.b;
    m->whole_n = w.s.n;
    m->whole_depth = w.s.depth;
    m->alpha = 1;
    m->packed = true;
    return true;
}

/* beta into a constant addend */
static void scale_addend(Emit *e, Mul *m)
{
    const Value *v = m->c ? m->n->in[2] : NULL;
    int64_t count;
    char *to;

    if (!m->c || m->beta == 1 || !value_is_const(v))
        return;
    count = type_elems(&v->type);
    to = arena_array(e->arena, (size_t)count, (size_t)dtype_bytes(m->dt));
    for (int64_t i = 0; i < count; i++)
        elem_set(m->dt, to, i, m->beta * element(v, i));
    m->c = emit_const(e, v->name, m->dt, count, to);
    m->beta = 1;
}

/* `name + i0 * 5 + i1 * 7`, terms of stride 0 left out */
static const char *moved(Emit *e, const char *name, const MatShape *s,
                         const int64_t *stride)
{
    Buf b;

    buf_init(&b, e->arena);
    buf_puts(&b, name);
    for (int i = 0; i < s->rank; i++)
        if (stride[i] && s->batch[i] > 1)
            buf_printf(&b, " + i%d * %lld", i, (long long)stride[i]);
    return b.s;
}

static void result_strides(const MatShape *s, int64_t *stride)
{
    int64_t step = s->m * s->n;

    for (int i = s->rank - 1; i >= 0; i--) {
        stride[i] = step;
        step *= s->batch[i];
    }
}

static void open_batches(Emit *e, const MatShape *s)
{
    for (int i = 0; i < s->rank; i++)
        if (s->batch[i] > 1)
            e_open(e, "for (int i%d = 0; i%d < %lld; i%d++)", i, i,
                   (long long)s->batch[i], i);
}

static void close_batches(Emit *e, const MatShape *s)
{
    for (int i = 0; i < s->rank; i++)
        if (s->batch[i] > 1)
            e_close(e);
}

static void call_kernel(Emit *e, const Mul *m, bool late)
{
    const MatShape *s = &m->s;
    int64_t stride[MAX_RANK];
    bool rows = m->packed || s->b_col == 1 || s->n == 1;
    const char *bias = m->c && !late ? moved(e, m->c, s, m->bias.batch)
                                     : "NULL";

    result_strides(s, stride);
    if (!dtype_is_float(m->dt)) {
        emit_call(e, "matmul_int_T", m->dt, DT_NONE,
                  "%lld, %lld, %lld, %s, %lld, %lld, %s, %lld, %lld, %s",
                  (long long)s->m, (long long)s->n, (long long)s->depth,
                  moved(e, m->a, s, s->a_batch), (long long)s->a_row,
                  (long long)s->a_col, moved(e, m->b, s, s->b_batch),
                  (long long)s->b_row, (long long)s->b_col,
                  moved(e, "y0", s, stride));
        return;
    }
    emit_call(e, rows ? "matmul_T" : "matmul_bt_T", m->dt, DT_NONE,
              "%lld, %lld, %lld, %s, %lld, %lld, %s, %lld, %s, %lld, %lld, "
              "%s, %lld", (long long)s->m, (long long)s->n,
              (long long)s->depth, moved(e, m->a, s, s->a_batch),
              (long long)s->a_row, (long long)s->a_col,
              moved(e, m->b, s, s->b_batch),
              m->packed ? 0 : (long long)(rows ? s->b_row : s->b_col), bias,
              (long long)m->bias.row, (long long)m->bias.col,
              moved(e, "y0", s, stride), (long long)s->n);
}

/* A panel at a time: those of the wider matrix are longer, and its last one
 * may be wider than ours. */
static void call_panels(Emit *e, const Mul *m, bool late)
{
    const MatShape *s = &m->s;
    long long n = s->n, whole = m->whole_n;
    int64_t stride[MAX_RANK];
    const char *bias = "NULL";

    result_strides(s, stride);
    if (m->c && !late)
        bias = arena_printf(e->arena, "%s + j * %lld", moved(e, m->c, s,
                            m->bias.batch), (long long)m->bias.col);
    e_open(e, "for (int j = 0; j < %lld; j += %d)", n, PANEL);
    emit_call(e, "matmul_T", m->dt, DT_NONE,
              "%lld, %lld - j < %d ? %lld - j : %d, %lld, %s, %lld, %lld, "
              "%s + j * %lld, %lld - j < %d ? %lld - j : %d, %s, %lld, %lld, "
              "%s + j, %lld", (long long)s->m, n, PANEL, n, PANEL,
              (long long)s->depth, moved(e, m->a, s, s->a_batch),
              (long long)s->a_row, (long long)s->a_col, m->b,
              (long long)m->whole_depth, whole, PANEL, whole, PANEL, bias,
              (long long)m->bias.row, (long long)m->bias.col,
              moved(e, "y0", s, stride), n);
    e_close(e);
}

/* y = alpha y + beta c, after the product */
static void late_addend(Emit *e, const Mul *m)
{
    const MatShape *s = &m->s;
    int64_t stride[MAX_RANK];
    bool whole = !dtype_is_float(m->dt);
    const char *u = dtype_bits(m->dt) > 32 ? "uint64_t" : "uint32_t";
    const char *t = dtype_ctype(m->dt);
    const char *y, *c = "";

    result_strides(s, stride);
    open_batches(e, s);
    e_open(e, "for (int i = 0; i < %lld; i++)", (long long)s->m);
    e_open(e, "for (int j = 0; j < %lld; j++)", (long long)s->n);
    e_line(e, "%s *y = %s + i * %lld + j;", t, moved(e, "y0", s, stride),
           (long long)s->n);
    y = "*y";
    if (whole)
        y = arena_printf(e->arena, "(%s)*y", u);
    if (m->alpha != 1)
        y = arena_printf(e->arena, "%s * %s", whole ? arena_printf(e->arena,
                         "(%s)%s", u, emit_literal(e, m->dt, m->alpha))
                         : emit_literal(e, m->dt, m->alpha), y);
    if (m->c) {
        c = arena_printf(e->arena, "%s[i * %lld + j * %lld%s]", m->c,
                         (long long)m->bias.row, (long long)m->bias.col,
                         moved(e, "", s, m->bias.batch));
        if (whole)
            c = arena_printf(e->arena, "(%s)%s", u, c);
        if (m->beta != 1)
            c = arena_printf(e->arena, "%s * %s", whole ?
                             arena_printf(e->arena, "(%s)%s", u,
                                          emit_literal(e, m->dt, m->beta))
                             : emit_literal(e, m->dt, m->beta), c);
        c = arena_printf(e->arena, " + %s", c);
    }
    e_line(e, "*y = %s%s%s%s;", whole ? arena_printf(e->arena, "(%s)(", t)
           : "", y, c, whole ? ")" : "");
    e_close(e);
    e_close(e);
    close_batches(e, s);
}

void emit_matmul(Emit *e, const Node *n)
{
    Mul m = problem(n);
    bool late;

    if (!type_elems(&n->out[0]->type))
        return;
    if (m.s.n == 1 && m.s.m > 1 && !is_part(&m))
        turn(&m);
    if (dtype_is_float(m.dt)) {
        scale_addend(e, &m);
        if (value_is_const(right(&m)) && m.s.depth && !pack_whole(e, &m))
            pack_right(e, &m);
    }
    merge_batches(&m);
    late = m.alpha != 1 ||
           (m.c && (m.beta != 1 || !dtype_is_float(m.dt)));
    open_batches(e, &m.s);
    if (m.whole_n)
        call_panels(e, &m, late);
    else
        call_kernel(e, &m, late);
    close_batches(e, &m.s);
    if (late)
        late_addend(e, &m);
    emit_act(e, n, m.act, m.act_alpha, m.act_beta);
}

int64_t scratch_det(const Node *n)
{
    const Type *x = &n->in[0]->type;
    int64_t size = x->dim[x->rank - 1];

    return size * size * dtype_bytes(x->dt);
}

void emit_det(Emit *e, const Node *n)
{
    const Type *x = &n->in[0]->type;
    long long size = x->dim[x->rank - 1];
    const char *det = emit_kernel(e, "det_T", x->dt, DT_NONE);

    e_line(e, "%s *m = (%s *)(void *)s;", dtype_ctype(x->dt),
           dtype_ctype(x->dt));
    e_open(e, "for (int i = 0; i < %lld; i++)",
           (long long)type_elems(&n->out[0]->type));
    e_line(e, "y0[i] = %s(%lld, x0 + i * %lld, m);", det, size, size * size);
    e_close(e);
}
