/* emit_qmatmul.c - QMatMul: constant weights by one kernel, rows of x in
 * blocks; a run-time operand b by loops over the batch, b read as it lies. */
#include "qemit.h"

#include <string.h>

EmitFn emit_qmatmul;
ScratchFn scratch_qmatmul;

enum { BLOCK = 4, BLOCK_BYTES = 6144, FEW = 16 };
enum { ROWS = 1, PANELS };      /* layouts of int8 weights */

int64_t qblock(int64_t k)
{
    return 2 * BLOCK * k <= BLOCK_BYTES ? BLOCK : 1;
}

int64_t q_wide(int64_t k)
{
    return (k + 15) / 16 * 16;
}

/* Panels serve blocks of four rows, where narrow ones waste half of a vector,
 * and single rows where they take no more bytes. */
bool q_in_panels(Emit *e, const Value *w, int64_t rows, int64_t k)
{
    int64_t cols = w->type.dim[0];
    bool fit = qblock(k) == BLOCK &&
               (rows < BLOCK ? cols % 8 == 0 && k % 2 == 0
                             : cols > 8 || k <= FEW);

    return w->type.dt == DT_I8 &&
           emit_layout(e, w, fit ? PANELS : ROWS) == PANELS;
}

const char *q_panels(Emit *e, const Value *w, int64_t cols, int64_t k)
{
    int64_t pairs = (k + 1) / 2, whole = cols / 16, rest = cols % 16;
    int64_t last = rest > 8 ? 16 : rest ? 8 : 0;
    int64_t bytes = 2 * pairs * (16 * whole + last);
    const int8_t *from = w->data;
    int8_t *to = NEW_ARRAY(e->arena, int8_t, bytes);

    emit_layout(e, w, PANELS);
    for (int64_t j = 0; j < cols; j++)
        for (int64_t i = 0; i < k; i++) {
            int64_t width = j / 16 < whole ? 16 : last;
            to[j / 16 * 32 * pairs + i / 2 * 2 * width + j % 16 * 2 + i % 2]
                = from[j * k + i];
        }
    return emit_const(e, w->name, DT_I8, bytes, to);
}

const char *q_weights(Emit *e, const Node *n, const Value *w, int64_t k)
{
    const Type *t = &w->type;
    int64_t bytes = type_bytes(t), wide = bytes + q_wide(k) - k;
    int8_t *copy;

    if (wide == bytes)
        return w == n->in[1] ? "x1"
                             : emit_const(e, w->name, DT_I8, bytes, w->data);
    copy = NEW_ARRAY(e->arena, int8_t, wide);
    memcpy(copy, w->data, (size_t)bytes);
    return emit_const(e, w->name, DT_I8, wide, copy);
}

QLean q_lean(int64_t level, int64_t rows, int64_t k, DType x, int64_t n,
             DType y)
{
    QLean l = { level == 1 && rows > 1 ? BLOCK : 1, false, 0 };
    int64_t row = n * dtype_bytes(y);

    if (l.rows > rows && rows)
        l.rows = (int)rows;
    if (n <= FEW)               /* one panel: written when all is read */
        return l;
    if (k && k * dtype_bytes(x) < row) {
        l.in = true;
        row = k * dtype_bytes(x);
    }
    l.bytes = l.rows * row;
    return l;
}

const char *q_lean_room(Emit *e, const QLean *l, DType x, DType y)
{
    if (!l->bytes)
        return ", NULL, NULL";
    return arena_printf(e->arena, l->in ? ", (%s *)(void *)s, NULL"
                                        : ", NULL, (%s *)(void *)s",
                        dtype_ctype(l->in ? x : y));
}

void q_numbers(const Requant *r, int32_t *q)
{
    q[0] = r->shift;
    q[1] = (int32_t)r->zero;
    q[2] = (int32_t)r->lo;
    q[3] = (int32_t)r->hi;
    q[4] = r->n > 1;
}

const char *q_table(Emit *e, int n, const int32_t *v)
{
    int32_t *copy = NEW_ARRAY(e->arena, int32_t, n);

    memcpy(copy, v, (size_t)n * sizeof *v);
    return emit_const(e, "numbers", DT_I32, n, copy);
}

const char *q_mult(Emit *e, const Requant *r)
{
    int32_t *copy = NEW_ARRAY(e->arena, int32_t, r->n);

    memcpy(copy, r->mult, (size_t)r->n * sizeof *copy);
    return emit_const(e, "multipliers", DT_I32, r->n, copy);
}

const char *q_bias(Emit *e, const Node *n, const int32_t *bias, int64_t cols)
{
    int32_t *copy;

    if (!bias)
        return "NULL";
    if (node_in(n, 3) && bias == n->in[3]->data)
        return "x3";
    copy = NEW_ARRAY(e->arena, int32_t, cols);
    memcpy(copy, bias, (size_t)cols * sizeof *copy);
    return emit_const(e, "bias", DT_I32, cols, copy);
}

const char *q_pack4(Emit *e, const Value *w, int64_t rows, int64_t groups,
                    int64_t k)
{
    int64_t half = (k + 1) / 2;
    uint8_t *to = NEW_ARRAY(e->arena, uint8_t, rows * groups * half);

    for (int64_t r = 0; r < rows * groups; r++)
        for (int64_t i = 0; i < half; i++) {
            int64_t lo = elem_get_int(DT_I4, w->data, r * k + i) + 8, hi = 8;
            if (half + i < k)
                hi += elem_get_int(DT_I4, w->data, r * k + half + i);
            to[r * half + i] = (uint8_t)(lo | hi << 4);
        }
    return emit_const(e, w->name, DT_U8, rows * groups * half, to);
}

/* The weights that the kernel reads the first rows and terms of: those of
 * the widest step where n is that step at a smaller width. */
static const Value *whole_weights(const Node *n)
{
    const Value *w = whole_operand(n, 1);

    return w && w->type.dt == DT_I8 && w->type.rank == 2 ? w : n->in[1];
}

/* [groups][cols], as the kernels read them */
static const char *group_table(Emit *e, const QProduct *p)
{
    int16_t *t = NEW_ARRAY(e->arena, int16_t, p->cols * p->groups);

    for (int64_t j = 0; j < p->cols; j++)
        for (int64_t g = 0; g < p->groups; g++)
            t[g * p->cols + j] = p->group_mult[j * p->groups + g];
    return emit_const(e, "factors", DT_I16, p->cols * p->groups, t);
}

void emit_qproduct(Emit *e, const Node *n, const QProduct *p)
{
    bool packed = n->in[1]->type.dt == DT_I4, panels;
    const Value *all = p->groups == 1 ? whole_weights(n) : n->in[1];
    int64_t k = all == n->in[1] ? p->k : all->type.dim[1];
    int64_t cols = all == n->in[1] ? p->cols : all->type.dim[0];
    int32_t g[14] = { (int32_t)p->rows, (int32_t)p->k, (int32_t)p->cols,
                      (int32_t)p->x->zero,
                      (int32_t)(p->rows < BLOCK ? 1 : qblock(k)),
                      n->backward };
    const char *w = NULL, *tail = "", *table, *bias, *mult;

    panels = p->groups == 1 && q_in_panels(e, all, p->rows, k);
    q_numbers(p->rq, g + 6);
    g[11] = (int32_t)p->groups;
    g[12] = (int32_t)k;
    g[13] = (int32_t)cols;
    if (packed)
        w = q_pack4(e, n->in[1], p->cols, p->groups, p->k / p->groups);
    else if (panels)
        w = q_panels(e, all, cols, k);
    else
        w = p->groups > 1 ? "x1" : q_weights(e, n, all, k);
    if (p->groups > 1)
        tail = arena_printf(e->arena, ", %s", group_table(e, p));
    else if (packed)
        tail = ", NULL";
    table = q_table(e, 14, g);
    bias = q_bias(e, n, p->bias, p->cols);
    mult = q_mult(e, p->rq);
    emit_call(e, packed          ? "qmatmul4_T_I"
                 : panels        ? "qmatmul2_T_I"
                 : p->groups > 1 ? "qmatmul8_T_I"
                                 : "qmatmul_T_I",
              p->x->dt, p->y, "%s, x0, %s, %s, %s, (int16_t *)(void *)s, y0%s",
              table, w, bias, mult, tail);
}

static bool is_lean(const Node *n, const QMatMul *q)
{
    return ATTRS(qmatmul, n)->lean && q->weights && q->groups == 1 &&
           n->in[1]->type.dt == DT_I8 && dtype_bits(q->a.dt) == 8;
}

static QLean lean_of(const Node *n, const QMatMul *q)
{
    return q_lean(ATTRS(qmatmul, n)->lean, q->rows, q->s.depth, q->a.dt,
                  q->s.n, q->y.dt);
}

int64_t scratch_qmatmul(const Node *n)
{
    int64_t rows, k;
    QMatMul q;

    if (!qmatmul_shape(n, &q) || type_elems(&n->out[0]->type) == 0)
        return 0;
    if (is_lean(n, &q))
        return lean_of(n, &q).bytes;
    rows = q.weights ? q.rows : q.s.m;
    k = n->whole && q.weights && q.groups == 1
            ? whole_weights(n)->type.dim[1] : q.s.depth;
    return 2 * q_wide(q.s.depth) * (rows < BLOCK ? 1 : qblock(k));
}

/* Loops over the batch; in them a, b and y point to this round's matrices. */
static void open_batch(Emit *e, const Node *n, const QMatMul *q)
{
    const char *a = "x0", *b = "x1", *y = "y0", *times = "";

    for (int i = 0; i < q->s.rank; i++) {
        const char *v = arena_printf(e->arena, "b%d", i);
        long long size = q->s.batch[i];
        if (n->backward)
            e_open(e, "for (int32_t %s = %lld; %s-- > 0;)", v, size, v);
        else
            e_open(e, "for (int32_t %s = 0; %s < %lld; %s++)", v, v, size, v);
        if (q->s.a_batch[i])
            a = arena_printf(e->arena, "%s + %s * %lld", a, v,
                             (long long)q->s.a_batch[i]);
        if (q->s.b_batch[i])
            b = arena_printf(e->arena, "%s + %s * %lld", b, v,
                             (long long)q->s.b_batch[i]);
        y = i ? arena_printf(e->arena, "(%s) * %lld + %s", times, size, v) : v;
        times = y;
    }
    if (q->s.rank)
        y = arena_printf(e->arena, "y0 + (%s) * %lld", times,
                         (long long)(q->s.m * q->s.n));
    e_line(e, "const %s *const a0 = %s;", dtype_ctype(q->a.dt), a);
    e_line(e, "const %s *const w = %s;", dtype_ctype(q->b.dt), b);
    e_line(e, "%s *const y = %s;", dtype_ctype(q->y.dt), y);
}

/* b is read at run time: [n][k] (transB) or [k][n] */
static void emit_operand(Emit *e, const Node *n, const QMatMul *q)
{
    bool rows = q->s.b_row == 1;
    int32_t g[12] = { (int32_t)q->s.m, (int32_t)q->s.depth, (int32_t)q->s.n,
                      (int32_t)q->a.zero,
                      (int32_t)(q->s.m < BLOCK ? 1 : qblock(q->s.depth)),
                      n->backward };
    const char *table, *bias, *mult;

    q_numbers(&q->rq, g + 6);
    g[11] = (int32_t)q->b.zero;
    table = q_table(e, 12, g);
    open_batch(e, n, q);
    e_open(e, "for (int32_t i = 0, m; i < %lld; i += m)", (long long)q->s.m);
    e_line(e, "const int32_t left = %lld - i;", (long long)q->s.m);
    e_line(e, "int32_t at = i;");
    e_line(e, "m = left < %d ? 1 : %d;", (int)g[4], (int)g[4]);
    if (n->backward)
        e_line(e, "at = left - m;");
    emit_call(e, "qwiden_T", q->a.dt, DT_NONE,
              "m * %lld, a0 + at * %lld, %d, (int16_t *)(void *)s",
              (long long)q->s.depth, (long long)q->s.depth, (int)g[3]);
    bias = q_bias(e, n, q->bias, q->s.n);
    mult = q_mult(e, &q->rq);
    emit_call(e, rows ? "qoperand_T_I" : "qcolumns_T_I", q->b.dt, q->y.dt,
              "%s, m, (const int16_t *)(const void *)s, w, %s, %s, "
              "y + at * %lld", table, bias, mult, (long long)q->s.n);
    e_close(e);
    for (int i = 0; i < q->s.rank; i++)
        e_close(e);
}

/* A row of pixels, a convolution of 1 x 1. */
static void emit_lean(Emit *e, const Node *n, const QMatMul *q)
{
    QLean l = lean_of(n, q);
    const Value *all = whole_weights(n);
    bool cut = all != n->in[1];
    int64_t k = cut ? all->type.dim[1] : q->s.depth;
    int64_t cols = cut ? all->type.dim[0] : q->s.n;
    int32_t g[27] = { (int32_t)q->rows, (int32_t)q->rows, 1, 1, 1, 1, 0,
                      (int32_t)q->s.depth, 1, (int32_t)q->s.n,
                      (int32_t)q->a.zero, l.rows, n->backward };
    const char *table, *w, *bias, *mult;

    q_numbers(&q->rq, g + 14);
    g[25] = (int32_t)k;
    g[26] = (int32_t)cols;
    table = q_table(e, 27, g);
    w = q_panels(e, all, cols, k);
    bias = q_bias(e, n, q->bias, q->s.n);
    mult = q_mult(e, &q->rq);
    e_line(e, "const %s *const row[1] = { x0 };", dtype_ctype(q->a.dt));
    emit_call(e, "qlean2_T_I", q->a.dt, q->y.dt, "%s, row, %s, %s, %s%s, y0",
              table, w, bias, mult, q_lean_room(e, &l, q->a.dt, q->y.dt));
}

void emit_qmatmul(Emit *e, const Node *n)
{
    QMatMul q;

    if (!qmatmul_get(n, &q, n->graph->scratch) ||
        type_elems(&n->out[0]->type) == 0)
        return;
    if (is_lean(n, &q)) {
        emit_lean(e, n, &q);
    } else if (q.weights) {
        QProduct p = { q.rows, q.s.depth, q.s.n, &q.a, q.y.dt, &q.rq, q.bias,
                       q.groups, q.group_mult };
        emit_qproduct(e, n, &p);
    } else {
        emit_operand(e, n, &q);
    }
}
