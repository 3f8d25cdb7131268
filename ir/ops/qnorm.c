/* qnorm.c - QSoftmax, QLayerNorm (and RMSNorm, rms = 1) on codes. Tables and
 * multipliers are made here, once, in double; rows are integers only. */
#include "qnorm.h"

#include <math.h>

#include "../hooks.h"

static void exp_table(double scale, uint32_t *t)
{
    for (int i = 0; i < 256; i++)
        t[i] = (uint32_t)floor(ldexp(exp(-i * scale), QSOFTMAX_BITS) + 0.5);
}

bool qsoftmax_read(const Node *n, Arena *arena, QSoftmax *s)
{
    const Attr_qsoftmax *at = ATTRS(qsoftmax, n);
    const Type *x = &n->in[0]->type;
    int axis;

    if (!q_param(n, "x", x->dt, false, (double)at->x_scale, 0, &s->x) ||
        !q_result(n, at->output_dtype, x->dt, true, (double)at->y_scale,
                  at->y_zp, at->lo, at->hi, &s->y) ||
        !node_axis(n, at->axis, x->rank, &axis))
        return false;
    if (axis != x->rank - 1)
        return node_error(n, "axis %d is not the last one of %d", axis,
                          x->rank);
    s->n = x->dim[axis];
    s->rows = type_span(x, 0, axis);
    if (s->n > INT32_MAX)
        return node_error(n, "rows of %lld are too long", (long long)s->n);
    if (s->y.scale < ldexp(1, -QSOFTMAX_BITS))
        return node_error(n, "y_scale is %g, must be at least 2^-%d",
                          s->y.scale, QSOFTMAX_BITS);
    s->exp = NEW_ARRAY(arena, uint32_t, 256);
    exp_table(s->x.scale, s->exp);
    s->numerator = (uint64_t)floor(ldexp(1 / s->y.scale, 32) + 0.5);
    return true;
}

bool infer_qsoftmax(Graph *g, Node *n)
{
    QSoftmax s;

    if (n->in[0]->type.rank < 1)
        return node_error(n, "takes no scalar");
    if (!qsoftmax_read(n, g->scratch, &s))
        return false;
    n->out[0]->type = n->in[0]->type;
    n->out[0]->type.dt = s.y.dt;
    return true;
}

static int64_t clamp(int64_t x, const QParam *y)
{
    return x < y->least ? y->least : x > y->most ? y->most : x;
}

static void softmax_row(const QSoftmax *s, const Tensor *x, Tensor *y,
                        int64_t at)
{
    DType dt = x->type.dt;
    int64_t top = s->x.least;
    uint64_t sum = 0, r;

    for (int64_t i = 0; i < s->n; i++) {
        int64_t c = elem_get_int(dt, x->data, at + i);
        top = c > top ? c : top;
    }
    for (int64_t i = 0; i < s->n; i++)
        sum += s->exp[top - elem_get_int(dt, x->data, at + i)];
    r = s->numerator / sum;
    for (int64_t i = 0; i < s->n; i++) {
        uint64_t e = s->exp[top - elem_get_int(dt, x->data, at + i)];
        uint64_t p = (e * r + ((uint64_t)1 << 31)) >> 32;
        elem_set_int(s->y.dt, y->data, at + i,
                     clamp((int64_t)p + s->y.zero, &s->y));
    }
}

bool eval_qsoftmax(const Node *n, const Tensor *const *in,
                   Tensor *const *out, Arena *scratch, Diag *diag)
{
    QSoftmax s;

    (void)diag;
    if (!qsoftmax_read(n, scratch, &s))
        return false;
    for (int64_t i = 0; i < s.rows && s.n; i++)
        softmax_row(&s, in[0], out[0], i * s.n);
    return true;
}

/* QLayerNorm: reading */

/* a float constant of 1 or q->n finite numbers, divided by y_scale */
static const double *read_vector(const Node *n, int operand, const QNorm *q,
                                 Arena *arena, double *largest)
{
    const Value *v = n->in[operand];
    int64_t count = type_elems(&v->type);
    double *x = NEW_ARRAY(arena, double, q->n + 1);

    *largest = 0;
    if (!value_is_const(v) || v->type.dt != DT_F32) {
        node_error(n, "'%s' is not a float constant", v->name);
        return NULL;
    }
    if (count != 1 && count != q->n) {
        node_error(n, "'%s' has %lld elements, rows have %lld", v->name,
                   (long long)count, (long long)q->n);
        return NULL;
    }
    for (int64_t i = 0; i < q->n; i++) {
        x[i] = (double)((const float *)v->data)[count == 1 ? 0 : i];
        if (!isfinite(x[i])) {
            node_error(n, "'%s' has %g at index %lld", v->name, x[i],
                       (long long)i);
            return NULL;
        }
        x[i] /= q->y.scale;
        if (fabs(x[i]) > *largest)
            *largest = fabs(x[i]);
    }
    return x;
}

/* spread and epsilon: both parts of d as precise as 63 bits allow */
static bool set_epsilon(const Node *n, QNorm *q, double epsilon)
{
    double len = (double)q->n, half = q->rms ? 1 : 2;
    double range = q->rms ? (double)q_reach(&q->x)
                          : (double)(q->x.most - q->x.least);
    double most = len * range / half, add = len * sqrt(epsilon) / q->x.scale;

    if (len * (double)q_reach(&q->x) >= 2147483648.0 ||
        len * range >= 2147400000.0)
        return node_error(n, "rows of %lld codes are too long for %s",
                          (long long)q->n, dtype_name(q->x.dt));
    for (q->spread = 30; q->spread >= 0; q->spread -= 2)
        if (ldexp(most * most + add * add, q->spread) < ldexp(1, 62))
            break;
    if (q->spread < 0)
        return node_error(n, "epsilon %g is too large for x_scale %g",
                          epsilon, q->x.scale);
    q->epsilon = (int64_t)floor(ldexp(add * add, q->spread) + 0.5);
    return true;
}

/* |z| is at most sqrt(n); see qnorm_row for what must fit 31 bits */
static bool set_points(const Node *n, QNorm *q, double gamma, double beta)
{
    double root = sqrt((double)q->n), offset = fabs((double)q->y.zero) + 1;

    q->point = 28;
    while (ldexp(root, q->point + 2) >= 2147483648.0 * 0.999)
        q->point--;
    for (q->fine = 16; q->fine >= 4; q->fine--)
        if (ldexp(gamma, q->fine + 32 - q->point) < 2147483647.0 &&
            ldexp(root * gamma * 1.001 + beta + offset, q->fine) <
                2147483647.0)
            return true;
    return node_error(n, "y_scale %g is too small for normalized rows of "
                      "%lld", q->y.scale, (long long)q->n);
}

static int32_t fixed(double x, int bits)
{
    return (int32_t)floor(ldexp(x, bits) + 0.5);
}

static void set_tables(QNorm *q, const double *gamma, const double *beta,
                       Arena *arena)
{
    int32_t *g = NEW_ARRAY(arena, int32_t, q->n + 1), *b;
    int32_t offset = (int32_t)(q->y.zero * ((int64_t)1 << q->fine)) +
                     (1 << (q->fine - 1));

    q->nbeta = beta ? q->n : 1;
    b = NEW_ARRAY(arena, int32_t, q->nbeta + 1);
    for (int64_t i = 0; i < q->n; i++)
        g[i] = fixed(gamma[i], q->fine + 32 - q->point);
    for (int64_t i = 0; i < q->nbeta; i++)
        b[i] = offset + (beta ? fixed(beta[i], q->fine) : 0);
    q->gamma = g;
    q->beta = b;
}

bool qnorm_read(const Node *n, Arena *arena, QNorm *q)
{
    const Attr_qlayernorm *at = ATTRS(qlayernorm, n);
    const Type *x = &n->in[0]->type;
    const double *gamma, *beta = NULL;
    double most_gamma, most_beta = 0;
    int axis;

    if (!q_param(n, "x", x->dt, true, (double)at->x_scale, at->x_zp,
                 &q->x) ||
        !q_result(n, at->output_dtype, x->dt, true, (double)at->y_scale,
                  at->y_zp, at->lo, at->hi, &q->y) ||
        !node_axis(n, at->axis, x->rank, &axis))
        return false;
    if (!(at->epsilon >= 0) || isinf(at->epsilon))
        return node_error(n, "epsilon is %g", (double)at->epsilon);
    q->n = type_span(x, axis, x->rank);
    q->rows = type_span(x, 0, axis);
    q->rms = at->rms != 0;
    if (!set_epsilon(n, q, (double)at->epsilon))
        return false;
    gamma = read_vector(n, 1, q, arena, &most_gamma);
    if (node_in(n, 2) && gamma)
        beta = read_vector(n, 2, q, arena, &most_beta);
    if (!gamma || (node_in(n, 2) && !beta) ||
        !set_points(n, q, most_gamma, most_beta))
        return false;
    set_tables(q, gamma, beta, arena);
    return true;
}

bool infer_qlayernorm(Graph *g, Node *n)
{
    QNorm q;

    if (n->in[0]->type.rank < 1)
        return node_error(n, "takes no scalar");
    if (!qnorm_read(n, g->scratch, &q))
        return false;
    n->out[0]->type = n->in[0]->type;
    n->out[0]->type.dt = q.y.dt;
    return true;
}

/* QLayerNorm: values */

/* r with 30 fraction bits, v = d / 2^64 with 32: a parabola within 2.5 %,
 * then r (3 - v r r) / 2 three times */
uint32_t qnorm_rsqrt(uint64_t d)
{
    uint64_t v = d >> 32, t, r;

    t = 881864327 - (439832014 * v >> 32);
    r = (716928240 - (v * t >> 32)) << 2;
    for (int i = 0; i < 3; i++) {
        t = v * (r * r >> 31) >> 32;
        r = r * (((uint64_t)3 << 29) - t) >> 30;
    }
    return r < INT32_MAX ? (uint32_t)r : INT32_MAX;
}

static void norm_row(const QNorm *q, const Tensor *x, Tensor *y, int64_t at)
{
    DType dt = x->type.dt;
    int64_t s1 = 0, s2 = 0, d;
    int shift = q->spread / 2 - 30 + q->point;
    uint32_t r;

    for (int64_t i = 0; i < q->n; i++) {
        int64_t c = elem_get_int(dt, x->data, at + i) - q->x.zero;
        s1 += q->rms ? 0 : c;
        s2 += c * c;
    }
    d = q->n * s2 - s1 * s1;
    if (!d)                     /* all codes are equal: z is 0 anyway */
        shift = -100;
    d = d * ((int64_t)1 << q->spread) + q->epsilon;
    d = d ? d : 1;
    while (d < (int64_t)1 << 60) {
        d *= 4;
        shift++;
    }
    r = qnorm_rsqrt((uint64_t)d * 4);
    shift++;
    for (int64_t i = 0; i < q->n; i++) {
        int64_t c = elem_get_int(dt, x->data, at + i) - q->x.zero, z, h;
        c = q->n * c - s1;
        if (shift >= 0)
            c *= (int64_t)1 << shift;
        else if (c)
            c = (c + ((int64_t)1 << (-shift - 1))) >> -shift;
        z = c * r >> 32;
        h = (z * q->gamma[i] >> 32) + q->beta[q->nbeta > 1 ? i : 0];
        elem_set_int(q->y.dt, y->data, at + i, clamp(h >> q->fine, &q->y));
    }
}

bool eval_qlayernorm(const Node *n, const Tensor *const *in,
                     Tensor *const *out, Arena *scratch, Diag *diag)
{
    QNorm q;

    (void)diag;
    if (!qnorm_read(n, scratch, &q))
        return false;
    for (int64_t i = 0; i < q.rows && q.n; i++)
        norm_row(&q, in[0], out[0], i * q.n);
    return true;
}
