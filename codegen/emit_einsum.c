/* emit_einsum.c - Einsum as a loop nest. Where the last index of the output
 * is contiguous (or repeats) in every operand it becomes the innermost loop
 * and rows of the result are accumulated; otherwise each result is a sum,
 * over a dot product where two operands are contiguous in the last index
 * summed over. Loop variables are i0, i1, ... in the order of ops/einsum.h.
 */
#include <string.h>

#include "../ir/ops/einsum.h"
#include "loops.h"

EmitFn emit_einsum;

typedef struct Sum {
    Emit *e;
    Einsum s;
    DType dt;
    const char *type, *wrap;    /* C types; wrap: unsigned, for integers */
    const char *index;
} Sum;

/* "i0 * 12 + i2": where loops other than `skip` lead in term t; t -1: in the
 * output */
static const char *offset(const Sum *m, int t, int skip)
{
    int64_t stride = 1, out[EINSUM_LOOPS] = { 0 };
    Buf b;

    for (int i = m->s.nout - 1; i >= 0; i--) {
        out[i] = stride;
        stride *= m->s.size[i];
    }
    buf_init(&b, m->e->arena);
    for (int i = 0; i < m->s.nloop; i++) {
        int64_t k = t < 0 ? out[i] : m->s.stride[t][i];
        if (i == skip || !k || m->s.size[i] == 1)
            continue;
        buf_printf(&b, b.n ? " + i%d" : "i%d", i);
        if (k != 1)
            buf_printf(&b, " * %lld", (long long)k);
    }
    if (!b.n)
        buf_puts(&b, "0");
    return b.s;
}

static void open_loop(const Sum *m, int i)
{
    if (m->s.size[i] != 1)
        e_open(m->e, "for (%s i%d = 0; i%d < %lld; i%d++)", m->index, i, i,
               (long long)m->s.size[i], i);
}

/* a factor in the type that products are made in */
static const char *factor(const Sum *m, const char *x)
{
    return *m->wrap ? arena_printf(m->e->arena, "(%s)%s", m->wrap, x) : x;
}

/* `to += product;` */
static void accumulate(const Sum *m, const char *to, const char *product)
{
    if (*m->wrap)
        e_line(m->e, "%s = (%s)((%s)%s + %s);", to, m->type, m->wrap, to,
               product);
    else
        e_line(m->e, "%s += %s;", to, product);
}

/* The loop that rows run along, or -1. */
static int row_loop(const Sum *m)
{
    int v = m->s.nout - 1;
    bool moves = false;

    while (v >= 0 && m->s.size[v] == 1)
        v--;
    if (v < 0 || m->s.size[v] < 4)
        return -1;
    for (int t = 0; t < m->s.nterm; t++) {
        if (m->s.stride[t][v] > 1)
            return -1;
        moves |= m->s.stride[t][v] == 1;
    }
    return moves ? v : -1;
}

static void emit_rows(const Sum *m, int v)
{
    Emit *e = m->e;
    Buf fixed, moving;

    buf_init(&fixed, e->arena);
    buf_init(&moving, e->arena);
    for (int i = 0; i < m->s.nout; i++)
        if (i != v)
            open_loop(m, i);
    e_line(e, "%s *const y = y0 + %s;", m->type, offset(m, -1, v));
    e_line(e, "memset(y, 0, %lldu * sizeof *y);", (long long)m->s.size[v]);
    for (int i = m->s.nout; i < m->s.nloop; i++)
        open_loop(m, i);
    for (int t = 0; t < m->s.nterm; t++) {
        Arena *a = e->arena;
        if (m->s.stride[t][v]) {
            e_line(e, "const %s *const p%d = x%d + %s;", m->type, t, t,
                   offset(m, t, v));
            buf_printf(&moving, "%s%s", moving.n ? " * " : "",
                       factor(m, arena_printf(a, "p%d[i%d]", t, v)));
        } else {
            buf_printf(&fixed, "%s%s", fixed.n ? " * " : "",
                       factor(m, arena_printf(a, "x%d[%s]", t,
                                              offset(m, t, v))));
        }
    }
    if (fixed.n)
        e_line(e, "const %s c = %s;", *m->wrap ? m->wrap : m->type, fixed.s);
    open_loop(m, v);
    accumulate(m, arena_printf(e->arena, "y[i%d]", v),
               fixed.n ? arena_printf(e->arena, "%s * c", moving.s)
                       : moving.s);
}

/* the last loop summed over, if a dot product runs along it; else -1 */
static int dot_loop(const Sum *m)
{
    int v = m->s.nloop - 1;

    while (v >= m->s.nout && m->s.size[v] == 1)
        v--;
    if (v < m->s.nout || m->s.nterm != 2 || *m->wrap ||
        m->s.stride[0][v] != 1 || m->s.stride[1][v] != 1)
        return -1;
    return v;
}

static void emit_sums(const Sum *m, int indent)
{
    Emit *e = m->e;
    int v = dot_loop(m), inner = indent;
    Buf product;

    buf_init(&product, e->arena);
    for (int i = 0; i < m->s.nout; i++)
        open_loop(m, i);
    inner = e->indent;
    e_line(e, "%s sum = 0;", m->type);
    for (int i = m->s.nout; i < m->s.nloop; i++)
        if (i != v)
            open_loop(m, i);
    for (int t = 0; v < 0 && t < m->s.nterm; t++)
        buf_printf(&product, "%s%s", t ? " * " : "",
                   factor(m, arena_printf(e->arena, "x%d[%s]", t,
                                          offset(m, t, -1))));
    if (v >= 0)
        buf_printf(&product, "%s(x0 + %s, x1 + %s, %lldu)",
                   emit_kernel(e, "dot_T", m->dt, DT_NONE), offset(m, 0, v),
                   offset(m, 1, v), (long long)m->s.size[v]);
    accumulate(m, "sum", product.s);
    while (e->indent > inner)
        e_close(e);
    e_line(e, "y0[%s] = sum;", offset(m, -1, -1));
}

void emit_einsum(Emit *e, const Node *n)
{
    Sum m = { .e = e, .dt = n->in[0]->type.dt };
    int64_t total = type_elems(&n->out[0]->type);
    int indent = e->indent, v;
    Type y;

    if (!einsum_read(n, &m.s, &y) || total == 0)
        return;
    m.type = dtype_ctype(m.dt);
    m.wrap = dtype_is_float(m.dt) ? ""
             : dtype_bits(m.dt) > 32 ? "uint64_t" : "uint32_t";
    for (int t = 0; t < m.s.nterm; t++)
        total += type_elems(&n->in[t]->type);
    m.index = index_type(total);
    for (int i = 0; i < m.s.nloop; i++)
        if (m.s.size[i] == 0) {         /* sums of nothing */
            e_line(e, "memset(y0, 0, %lldu * sizeof *y0);",
                   (long long)type_elems(&y));
            return;
        }
    v = row_loop(&m);
    if (v >= 0)
        emit_rows(&m, v);
    else
        emit_sums(&m, indent);
    while (e->indent > indent)
        e_close(e);
}
