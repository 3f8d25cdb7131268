/* qpool.c - QMaxPool, QAveragePool (windows over [N, H, W, C] codes) and
 * QReduceMean; QReduceSum, which a QRequantize makes a mean of. A mean is an
 * integer sum of x - zero, requantized with the factor x_scale / (count *
 * y_scale): windows at a border, which hold fewer elements, have a multiplier
 * of their own. */
#include "../hooks.h"
#include "qproduct.h"
#include "quant.h"

#include <string.h>

enum { MOST_TAPS = 4096 };      /* of windows with a table of multipliers */

bool qpool_shape(const Node *n, const WindowAttrs *a, const Ints *kernel,
                 ConvShape *s)
{
    const Type *x = &n->in[0]->type;

    memset(s, 0, sizeof *s);
    if (x->rank != 4)
        return node_error(n, "input has rank %d, needs 4", x->rank);
    if (kernel->n != 2)
        return node_error(n, "kernel_shape has %d axes, needs 2", kernel->n);
    s->win.rank = 2;
    for (int i = 0; i < 2; i++) {
        s->win.in[i] = x->dim[1 + i];
        s->win.kernel[i] = kernel->v[i];
    }
    if (!window_make(n, a, &s->win))
        return false;
    if (s->win.kernel[0] > MOST_ROWS)
        return node_error(n, "the window has %lld rows, at most %d are "
                          "supported", (long long)s->win.kernel[0],
                          MOST_ROWS);
    s->batch = x->dim[0];
    s->group = x->dim[3];
    s->cg = s->mg = 1;
    return true;
}

static Type pool_type(const ConvShape *s, DType dt)
{
    return (Type){ dt, 4, { s->batch, s->win.out[0], s->win.out[1],
                            s->group } };
}

int64_t qpool_taps(const Window *w, int i, int64_t o, bool include)
{
    int64_t d = w->dilation[i], at = o * w->stride[i] - w->pad[i];
    int64_t end = w->in[i] - at + (include ? w->pad_end[i] : 0);
    int64_t first = at < 0 && !include ? (-at + d - 1) / d : 0;
    int64_t last = end > 0 ? (end + d - 1) / d : 0;

    last = last < w->kernel[i] ? last : w->kernel[i];
    return last > first ? last - first : 0;
}

/* Factors of the counts that occur; 0 for the others. */
static double *count_factors(const QPool *p, int64_t taps, Arena *arena)
{
    const Window *w = &p->s.win;
    bool *row = NEW_ARRAY(arena, bool, w->kernel[0] + 1);
    double *f = NEW_ARRAY(arena, double, taps + 1);

    for (int64_t i = 0; i < w->out[0]; i++)
        row[qpool_taps(w, 0, i, p->include)] = true;
    for (int64_t i = 0; i < w->out[1]; i++) {
        int64_t columns = qpool_taps(w, 1, i, p->include);
        for (int64_t r = 0; r <= w->kernel[0]; r++)
            if (row[r] && r > 0 && columns > 0)
                f[r * columns] = p->x.scale /
                                 ((double)(r * columns) * p->y.scale);
    }
    return f;
}

bool qpool_get(const Node *n, QPool *p, Arena *arena)
{
    const Attr_qpool *a = ATTRS(qpool, n);
    WindowAttrs wa = { "NOTSET", &a->dilations, &a->pads, &a->strides,
                       a->ceil_mode != 0 };
    int64_t taps;

    *p = (QPool){ .include = a->count_include_pad != 0 };
    if (!qpool_shape(n, &wa, &a->kernel_shape, &p->s) ||
        !q_param(n, "x", n->in[0]->type.dt, true, (double)a->x_scale,
                 a->x_zp, &p->x) ||
        !q_result(n, a->output_dtype, p->x.dt, true, (double)a->y_scale,
                  a->y_zp, a->lo, a->hi, &p->y))
        return false;
    taps = window_elems(&p->s.win);
    if (taps > MOST_TAPS)
        return node_error(n, "the window has %lld elements, at most %d are "
                          "supported", (long long)taps, MOST_TAPS);
    if (!requant_fit(n, count_factors(p, taps, arena), taps + 1,
                     taps * q_reach(&p->x), 0, &p->y, arena, &p->rq))
        return false;
    requant_settle(&p->y, arena, &p->rq);
    return true;
}

bool infer_qaveragepool(Graph *g, Node *n)
{
    QPool p;

    if (!qpool_get(n, &p, g->scratch))
        return false;
    n->out[0]->type = pool_type(&p.s, p.y.dt);
    return true;
}

static bool max_shape(const Node *n, ConvShape *s)
{
    const Attr_qmaxpool *a = ATTRS(qmaxpool, n);
    WindowAttrs wa = { "NOTSET", &a->dilations, &a->pads, &a->strides,
                       a->ceil_mode != 0 };
    DType dt = n->in[0]->type.dt;

    if (dt != DT_I8 && dt != DT_U8 && dt != DT_I16 && dt != DT_U16)
        return node_error(n, "does not take %s", dtype_name(dt));
    return qpool_shape(n, &wa, &a->kernel_shape, s);
}

bool infer_qmaxpool(Graph *g, Node *n)
{
    ConvShape s;

    (void)g;
    if (!max_shape(n, &s))
        return false;
    n->out[0]->type = pool_type(&s, n->in[0]->type.dt);
    return true;
}

/* What one output of a pool sees: sum of codes inside, their number, their
 * greatest. */
typedef struct Seen {
    int64_t sum, count, most;
} Seen;

static Seen look(const ConvShape *s, const Tensor *x, int64_t i)
{
    const Window *w = &s->win;
    int64_t c = i % s->group, ox = i / s->group % w->out[1];
    int64_t oy = i / s->group / w->out[1] % w->out[0];
    int64_t image = i / s->group / w->out[1] / w->out[0];
    Seen seen = { 0, 0, INT64_MIN };

    for (int64_t ky = 0; ky < w->kernel[0]; ky++)
        for (int64_t kx = 0; kx < w->kernel[1]; kx++) {
            int64_t y = oy * w->stride[0] - w->pad[0] + ky * w->dilation[0];
            int64_t z = ox * w->stride[1] - w->pad[1] + kx * w->dilation[1];
            int64_t code;
            if (y < 0 || y >= w->in[0] || z < 0 || z >= w->in[1])
                continue;
            code = elem_get_int(x->type.dt, x->data,
                                ((image * w->in[0] + y) * w->in[1] + z) *
                                s->group + c);
            seen.sum += code;
            seen.count++;
            seen.most = code > seen.most ? code : seen.most;
        }
    return seen;
}

bool eval_qmaxpool(const Node *n, const Tensor *const *in,
                   Tensor *const *out, Arena *scratch, Diag *diag)
{
    DType dt = in[0]->type.dt;
    int64_t total = type_elems(&out[0]->type);
    ConvShape s;

    (void)diag;
    (void)scratch;
    if (!max_shape(n, &s))
        return false;
    for (int64_t i = 0; i < total; i++) {
        Seen seen = look(&s, in[0], i);
        elem_set_int(dt, out[0]->data, i,
                     seen.count ? seen.most : dtype_lowest(dt));
    }
    return true;
}

bool eval_qaveragepool(const Node *n, const Tensor *const *in,
                       Tensor *const *out, Arena *scratch, Diag *diag)
{
    int64_t total = type_elems(&out[0]->type);
    QPool p;

    (void)diag;
    if (!qpool_get(n, &p, scratch))
        return false;
    for (int64_t i = 0; i < total; i++) {
        const Window *w = &p.s.win;
        int64_t pixel = i / p.s.group;
        int64_t count = qpool_taps(w, 1, pixel % w->out[1], p.include) *
                        qpool_taps(w, 0, pixel / w->out[1] % w->out[0],
                                   p.include);
        Seen seen = look(&p.s, in[0], i);
        elem_set_int(out[0]->type.dt, out[0]->data, i,
                     requant(&p.rq, count,
                             seen.sum - seen.count * p.x.zero));
    }
    return true;
}

/* The axes as one run [from, to) of x's; false after a message. */
static bool run_of_axes(const Node *n, const Ints *axes, int *from, int *to)
{
    int rank = n->in[0]->type.rank, axis;
    bool taken[MAX_RANK] = { false };

    for (int i = 0; i < axes->n; i++) {
        if (!node_axis(n, axes->v[i], rank, &axis))
            return false;
        taken[axis] = true;
    }
    for (*from = 0; *from < rank && !taken[*from]; ++*from)
        ;
    for (*to = *from; *to < rank && taken[*to]; ++*to)
        ;
    for (int i = *to; i < rank; i++)
        if (taken[i])
            return node_error(n, "the axes are not adjacent");
    return true;
}

bool qmean_get(const Node *n, QMean *m, Arena *arena)
{
    const Attr_qmean *a = ATTRS(qmean, n);
    const Type *x = &n->in[0]->type;
    double *factor = NEW(arena, double);
    int from, to;

    *m = (QMean){ 0 };
    if (!run_of_axes(n, &a->axes, &from, &to) ||
        !q_param(n, "x", x->dt, true, (double)a->x_scale, a->x_zp, &m->x) ||
        !q_result(n, a->output_dtype, x->dt, true, (double)a->y_scale,
                  a->y_zp, a->lo, a->hi, &m->y))
        return false;
    m->outer = type_span(x, 0, from);
    m->n = type_span(x, from, to);
    m->inner = type_span(x, to, x->rank);
    if (!m->n || m->n > INT32_MAX)
        return node_error(n, "mean of %lld elements", (long long)m->n);
    m->type.dt = m->y.dt;
    for (int i = 0; i < x->rank; i++)
        if (i < from || i >= to)
            m->type.dim[m->type.rank++] = x->dim[i];
        else if (a->keepdims)
            m->type.dim[m->type.rank++] = 1;
    *factor = requant_factor(m->x.scale, 1, (double)m->n * m->y.scale);
    if (!requant_fit(n, factor, 1, m->n * q_reach(&m->x), 0, &m->y, arena,
                     &m->rq))
        return false;
    requant_settle(&m->y, arena, &m->rq);
    return true;
}

bool infer_qreducemean(Graph *g, Node *n)
{
    QMean m;

    if (!qmean_get(n, &m, g->scratch))
        return false;
    n->out[0]->type = m.type;
    return true;
}

bool eval_qreducemean(const Node *n, const Tensor *const *in,
                      Tensor *const *out, Arena *scratch, Diag *diag)
{
    const Tensor *x = in[0];
    QMean m;

    (void)diag;
    if (!qmean_get(n, &m, scratch))
        return false;
    for (int64_t o = 0; o < m.outer; o++)
        for (int64_t i = 0; i < m.inner; i++) {
            int64_t sum = 0, at = o * m.n * m.inner + i;
            for (int64_t k = 0; k < m.n; k++, at += m.inner)
                sum += elem_get_int(x->type.dt, x->data, at) - m.x.zero;
            elem_set_int(out[0]->type.dt, out[0]->data, o * m.inner + i,
                         requant(&m.rq, 0, sum));
        }
    return true;
}

bool qsum_get(const Node *n, QTotal *s)
{
    const Attr_qsum *a = ATTRS(qsum, n);
    const Type *x = &n->in[0]->type;
    int from, to;

    if (!run_of_axes(n, &a->axes, &from, &to) ||
        !q_param(n, "x", x->dt, true, 1, a->x_zp, &s->x))
        return false;
    s->outer = type_span(x, 0, from);
    s->n = type_span(x, from, to);
    s->inner = type_span(x, to, x->rank);
    if (s->n > INT32_MAX / q_reach(&s->x))
        return node_error(n, "sums of %lld elements do not fit 32 bits",
                          (long long)s->n);
    s->type = *x;
    s->type.dt = DT_I32;
    for (int i = from; i < to; i++)
        s->type.dim[i] = 1;
    return true;
}

bool infer_qreducesum(Graph *g, Node *n)
{
    QTotal s;

    (void)g;
    if (!qsum_get(n, &s))
        return false;
    n->out[0]->type = s.type;
    return true;
}

bool eval_qreducesum(const Node *n, const Tensor *const *in,
                     Tensor *const *out, Arena *scratch, Diag *diag)
{
    const Tensor *x = in[0];
    QTotal s;

    (void)diag;
    (void)scratch;
    if (!qsum_get(n, &s))
        return false;
    for (int64_t o = 0; o < s.outer; o++)
        for (int64_t i = 0; i < s.inner; i++) {
            int64_t sum = 0, at = o * s.n * s.inner + i;
            for (int64_t k = 0; k < s.n; k++, at += s.inner)
                sum += elem_get_int(x->type.dt, x->data, at) - s.x.zero;
            elem_set_int(DT_I32, out[0]->data, o * s.inner + i, sum);
        }
    return true;
}
