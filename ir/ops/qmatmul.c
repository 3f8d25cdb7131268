/* qmatmul.c - QMatMul: products of codes. b is a constant [n][k] with
 * scales (weights form) or an operand of one scale, batched as MatMul.
 *
 * Scales per group of k terms: with Q = group_one, the channel's largest
 * scale s stands for the integer Q, a group of scale t for round(t / s * Q),
 * and acc = bias * Q + sum over groups of (integer * sum of the group) is
 * requantized with the factor of s / Q. Q is the attribute `unit`, or 0: the
 * largest integer (below 2^15) for which acc provably fits; biases are at
 * scale a_scale * s. */
#include "../hooks.h"
#include "qproduct.h"

#include <math.h>

static const int64_t most_group = INT16_MAX;

static int64_t magnitude(int64_t x)
{
    return x < 0 ? -x : x;
}

/* Of channel j: the largest scale, and sum of |w| weighted with the scales
 * relative to it. */
typedef struct Channel {
    double scale, magnitude;
} Channel;

static Channel channel(const Node *n, const QMatMul *q, const double *scale,
                       int64_t j)
{
    int64_t g = q->groups, k = q->s.depth / g, m, s;
    const double *t = scale + j * g;
    Channel c = { 0, 0 };

    for (int64_t i = 0; i < g; i++)
        c.scale = t[i] > c.scale ? t[i] : c.scale;
    for (int64_t i = 0; i < g; i++) {
        weight_sums(n->in[1], j * q->s.depth + i * k, k, &m, &s);
        c.magnitude += t[i] / c.scale * (double)m;
    }
    return c;
}

/* Greatest |acc| of one channel, with the zero point folded into the bias
 * or not, whichever is more, exactly for the multipliers chosen. */
static int64_t channel_bound(const Node *n, const QMatMul *q, int64_t bias,
                             int64_t j, int64_t *folded)
{
    int64_t g = q->groups, k = q->s.depth / g, m, s, sum = 0, all = 0;

    for (int64_t i = 0; i < g; i++) {
        int64_t f = q->group_mult ? q->group_mult[j * g + i] : 1;
        weight_sums(n->in[1], j * q->s.depth + i * k, k, &m, &s);
        all += m * f;
        sum += s * f;
    }
    *folded = dtype_bits(q->a.dt) > 8 ? magnitude(bias) + all * q_reach(&q->a)
              : magnitude(bias - sum * q->a.zero) + all * q_largest(&q->a);
    return magnitude(bias) + all * q_reach(&q->a);
}

/* The group multipliers for Q = q->group_one. */
static void group_integers(QMatMul *q, const double *scale, Arena *arena)
{
    int64_t g = q->groups;
    int16_t *f = NEW_ARRAY(arena, int16_t, q->s.n * g);

    for (int64_t j = 0; j < q->s.n; j++) {
        const double *t = scale + j * g;
        double s = 0;
        for (int64_t i = 0; i < g; i++)
            s = t[i] > s ? t[i] : s;
        for (int64_t i = 0; i < g; i++)
            f[j * g + i] = (int16_t)floor(t[i] / s * (double)q->group_one +
                                          0.5);
    }
    q->group_mult = f;
}

/* Q: as large as sums below `room` allow, rounding of the integers (at most
 * 1/2 each, which the 1 more than covers) included. */
static int64_t group_unit(const Node *n, const QMatMul *q,
                          const double *scale, int64_t room)
{
    double reach = (double)(q_reach(&q->a) + q_largest(&q->a));
    double best = (double)most_group, fit;

    for (int64_t j = 0; j < q->s.n; j++) {
        Channel c = channel(n, q, scale, j);
        double b = q->bias ? fabs((double)q->bias[j]) : 0;
        double one = b + c.magnitude * reach;
        double round = (double)q->s.depth * 64 * reach;  /* int8: 128 / 2 */
        if (n->in[1]->type.dt == DT_I4)
            round /= 16;
        fit = floor(((double)room - round) / (one > 1 ? one : 1));
        best = fit < best ? fit : best;
    }
    return best < 1 ? 0 : (int64_t)best;
}

static bool scale_bias(const Node *n, QMatMul *q, Arena *arena)
{
    int32_t *b = NEW_ARRAY(arena, int32_t, q->s.n);

    if (!q->bias)
        return true;
    for (int64_t j = 0; j < q->s.n; j++) {
        if (magnitude(q->bias[j]) * q->group_one > INT32_MAX)
            return node_error(n, "bias %lld in units of 1/%lld does not fit "
                              "32 bits", (long long)q->bias[j],
                              (long long)q->group_one);
        b[j] = (int32_t)(q->bias[j] * q->group_one);
    }
    q->bias = b;
    return true;
}

static bool bounded(const Node *n, const QMatMul *q, int64_t *most)
{
    int64_t folded;

    *most = 0;
    for (int64_t j = 0; j < q->s.n; j++) {
        int64_t b = q->bias ? q->bias[j] : 0;
        int64_t plain = channel_bound(n, q, b, j, &folded);
        if (folded > INT32_MAX)
            return node_error(n, "sums of channel %lld, up to %lld, do not "
                              "fit 32 bits", (long long)j,
                              (long long)folded);
        *most = plain > *most ? plain : *most;
    }
    return true;
}

static bool fit_plain(const Node *n, QMatMul *q, const double *scale,
                      int64_t count, Arena *arena)
{
    double *factor = NEW_ARRAY(arena, double, count);
    int64_t most;

    for (int64_t i = 0; i < count; i++)
        factor[i] = requant_factor(q->a.scale, scale[i], q->y.scale);
    return bounded(n, q, &most) &&
           requant_fit(n, factor, count, most, ATTRS(qmatmul, n)->shift,
                       &q->y, arena, &q->rq);
}

static bool fit_groups(const Node *n, QMatMul *q, const double *scale,
                       Arena *arena)
{
    double *factor = NEW_ARRAY(arena, double, q->s.n);
    int32_t *mult = NEW_ARRAY(arena, int32_t, q->s.n);
    int64_t most, unit = ATTRS(qmatmul, n)->unit;
    int l = 0;

    if (unit < 0 || unit > most_group)
        return node_error(n, "unit is %lld, must be 0 to %lld",
                          (long long)unit, (long long)most_group);
    for (int64_t room = INT32_MAX; ; room = INT32_MAX >> l) {
        int need;
        q->group_one = unit ? unit : group_unit(n, q, scale, room);
        if (!q->group_one)
            return node_error(n, "sums of the groups do not fit 32 bits");
        for (int64_t j = 0; j < q->s.n; j++)
            factor[j] = q->a.scale *
                        channel(n, q, scale, j).scale /
                        (double)q->group_one / q->y.scale;
        need = requant_factors(factor, q->s.n, 0, ATTRS(qmatmul, n)->shift,
                               mult);
        if (need >= 0 && need <= l)
            break;
        if (++l > 16)
            return node_error(n, "sums of the groups do not fit the "
                              "fixed-point form");
    }
    group_integers(q, scale, arena);
    return scale_bias(n, q, arena) && bounded(n, q, &most) &&
           requant_fit(n, factor, q->s.n, most, ATTRS(qmatmul, n)->shift,
                       &q->y, arena, &q->rq);
}

/* Scales of a weight matrix: [1], [n] or [n][groups]. */
static bool count_groups(const Node *n, QMatMul *q)
{
    const Type *t = &n->in[2]->type;

    if (t->rank != 2)
        return true;
    q->groups = t->dim[1];
    if (t->dim[0] != q->s.n || q->groups < 1 || q->s.depth % q->groups)
        return node_error(n, "scales [%lld, %lld] do not divide weights of "
                          "%lld rows and %lld columns", (long long)t->dim[0],
                          (long long)t->dim[1], (long long)q->s.n,
                          (long long)q->s.depth);
    return true;
}

static bool check_bias(const Node *n, QMatMul *q)
{
    const Value *b = node_in(n, 3);

    if (b && (!value_is_const(b) || b->type.dt != DT_I32 ||
              b->type.rank != 1 || b->type.dim[0] != q->s.n))
        return node_error(n, "bias '%s' is not an int32 constant of %lld "
                          "elements", b->name, (long long)q->s.n);
    q->bias = b ? b->data : NULL;
    return true;
}

static bool get_weights(const Node *n, QMatMul *q, Arena *arena)
{
    const double *scale = q_scales(n, 2, q->s.n * q->groups, arena);
    int64_t count = type_elems(&n->in[2]->type);

    if (!scale)
        return false;
    return q->groups > 1 ? fit_groups(n, q, scale, arena)
                         : fit_plain(n, q, scale, count, arena);
}

static bool get_operand(const Node *n, QMatMul *q, Arena *arena)
{
    const Attr_qmatmul *a = ATTRS(qmatmul, n);
    int64_t most = 0, reach, folded;
    const double *scale = q_scales(n, 2, 1, arena);
    double *factor;

    if (!scale ||
        !q_param(n, "b", n->in[1]->type.dt, false, scale[0], a->b_zp, &q->b))
        return false;
    for (int64_t j = 0; q->bias && j < q->s.n; j++)
        most = magnitude(q->bias[j]) > most ? magnitude(q->bias[j]) : most;
    reach = q_reach(&q->a) * q_reach(&q->b);
    folded = q_reach(&q->a) * (q_largest(&q->b) + magnitude(q->b.zero));
    if (most + q->s.depth * folded > INT32_MAX)
        return node_error(n, "sums of %lld products, up to %lld, do not fit "
                          "32 bits", (long long)q->s.depth,
                          (long long)(most + q->s.depth * folded));
    factor = NEW(arena, double);
    *factor = requant_factor(q->a.scale, q->b.scale, q->y.scale);
    return requant_fit(n, factor, 1, most + q->s.depth * reach, a->shift,
                       &q->y, arena, &q->rq);
}

/* Rows of 16 bits go with weights alone: products of two such operands would
 * soon leave 32 bits. */
static bool param_a(const Node *n, QMatMul *q)
{
    const Attr_qmatmul *a = ATTRS(qmatmul, n);
    DType dt = n->in[0]->type.dt;

    return q->weights ? q_factor(n, "a", dt, (double)a->a_scale, a->a_zp,
                                 &q->a)
                      : q_param(n, "a", dt, false, (double)a->a_scale,
                                a->a_zp, &q->a);
}

bool qmatmul_shape(const Node *n, QMatMul *q)
{
    const Attr_qmatmul *a = ATTRS(qmatmul, n);
    const Value *b = n->in[1];
    Type y;

    *q = (QMatMul){ .weights = value_is_const(b) && b->type.rank == 2 &&
                               a->transB && !a->b_zp &&
                               (b->type.dt == DT_I8 || b->type.dt == DT_I4) };
    if (!matmul_types(n, &n->in[0]->type, &b->type, false, a->transB != 0,
                      &q->s, &y) ||
        !param_a(n, q) ||
        !q_result(n, a->output_dtype, q->a.dt, true, (double)a->y_scale,
                  a->y_zp, a->lo, a->hi, &q->y) ||
        !check_bias(n, q))
        return false;
    if (!q->s.depth || q->s.depth > INT32_MAX)
        return node_error(n, "sums of %lld products", (long long)q->s.depth);
    q->rows = q->s.m * matmul_batches(&q->s);
    q->groups = q->group_one = 1;
    return !q->weights || count_groups(n, q);
}

bool qmatmul_fits(const Node *n, QMatMul *q, Arena *arena)
{
    return qmatmul_shape(n, q) && (q->weights ? get_weights(n, q, arena)
                                              : get_operand(n, q, arena));
}

bool qmatmul_get(const Node *n, QMatMul *q, Arena *arena)
{
    if (!qmatmul_fits(n, q, arena))
        return false;
    requant_settle(&q->y, arena, &q->rq);
    return true;
}

bool infer_qmatmul(Graph *g, Node *n)
{
    const Type *b = &n->in[1]->type;
    QMatMul q;
    MatShape s;
    Type y;

    if (!qmatmul_fits(n, &q, g->scratch) ||
        !matmul_types(n, &n->in[0]->type, b, false,
                      ATTRS(qmatmul, n)->transB != 0, &s, &y))
        return false;
    y.dt = q.y.dt;
    n->out[0]->type = y;
    return true;
}

static double *centred(const Tensor *t, int64_t zero, Arena *arena)
{
    int64_t count = type_elems(&t->type);
    double *d = NEW_ARRAY(arena, double, count);

    for (int64_t i = 0; i < count; i++)
        d[i] = (double)(elem_get_int(t->type.dt, t->data, i) - zero);
    return d;
}

/* rows x depth from b[..] with any strides into [depth][n], each term times
 * its group's integer */
static double *operand_b(const QMatMul *q, const double *b, double *out)
{
    int64_t k = q->s.depth, width = k / q->groups;

    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < q->s.n; j++)
            out[i * q->s.n + j] =
                b[i * q->s.b_row + j * q->s.b_col] *
                (q->group_mult ? q->group_mult[j * q->groups + i / width]
                               : 1);
    return out;
}

bool eval_qmatmul(const Node *n, const Tensor *const *in, Tensor *const *out,
                  Arena *scratch, Diag *diag)
{
    double *a, *b, *bt, *acc;
    int64_t m, cols;
    QMatMul q;

    (void)diag;
    if (!qmatmul_get(n, &q, scratch))
        return false;
    m = q.weights ? q.rows : q.s.m;
    cols = q.s.n;
    a = centred(in[0], q.a.zero, scratch);
    b = centred(in[1], q.b.zero, scratch);
    bt = NEW_ARRAY(scratch, double, q.s.depth * cols);
    acc = NEW_ARRAY(scratch, double, m * cols);
    for (int64_t i = 0; i < (q.weights ? 1 : matmul_batches(&q.s)); i++) {
        Product p = { m, cols, q.s.depth, q.s.depth, 1, cols, cols };
        int64_t at, bt_from;
        matmul_offsets(&q.s, i, &at, &bt_from);
        for (int64_t j = 0; j < m * cols; j++)
            acc[j] = q.bias ? q.bias[j % cols] : 0;
        dense_product(CLASS_F64, &p, q.weights ? a : a + at,
                      operand_b(&q, q.weights ? b : b + bt_from, bt), acc);
        for (int64_t j = 0; j < m * cols; j++)
            elem_set_int(out[0]->type.dt, out[0]->data, i * m * cols + j,
                         requant(&q.rq, j % cols, (int64_t)acc[j]));
    }
    return true;
}
