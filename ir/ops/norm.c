/* norm.c - normalizations: Softmax, LogSoftmax (13), LayerNormalization (17),
 * RMSNormalization (23), BatchNormalization (15, inference),
 * InstanceNormalization, GroupNormalization (21), LRN (13),
 * LpNormalization (22).
 *
 * Everything is computed in double and rounded once; generated C computes
 * float32 in float with split sums and stays within 1e-5 of this.
 */
#include "../hooks.h"
#include "reduce.h"
#include "widen.h"

#include <math.h>

static double get(const Tensor *t, int64_t i)
{
    return elem_get(t->type.dt, t->data, i);
}

static void set(Tensor *t, int64_t i, double x)
{
    elem_set(t->type.dt, t->data, i, x);
}

/* Float operands that can be computed together: double only with double. */
static bool check_floats(const Node *n)
{
    bool wide = n->in[0]->type.dt == DT_F64;

    for (int i = 0; i < n->nin; i++) {
        DType dt = n->in[i] ? n->in[i]->type.dt : n->in[0]->type.dt;
        if (!dtype_is_float(dt) || (dt == DT_F64) != wide)
            return node_error(n, "does not take operand %d of %s with %s", i,
                              dtype_name(dt), dtype_name(n->in[0]->type.dt));
    }
    return true;
}

static bool check_epsilon(const Node *n, float epsilon)
{
    return epsilon >= 0 ||
           node_error(n, "epsilon %g is negative", (double)epsilon);
}

static bool infer_first(Node *n)
{
    n->out[0]->type = n->in[0]->type;
    return true;
}

bool infer_softmax(Graph *g, Node *n)
{
    int axis;

    (void)g;
    return check_floats(n) &&
           node_axis(n, ATTRS(axisneg1, n)->axis, n->in[0]->type.rank,
                     &axis) && infer_first(n);
}

static void softmax(const Tensor *x, Tensor *y, int64_t at, Along s, bool log_)
{
    double top = -INFINITY, sum = 0;

    for (int64_t i = 0; i < s.dim; i++)
        if (get(x, at + i * s.inner) > top)
            top = get(x, at + i * s.inner);
    for (int64_t i = 0; i < s.dim; i++)
        sum += exp(get(x, at + i * s.inner) - top);
    for (int64_t i = 0; i < s.dim; i++) {
        double v = get(x, at + i * s.inner) - top;
        set(y, at + i * s.inner, log_ ? v - log(sum) : exp(v) / sum);
    }
}

bool eval_softmax(const Node *n, const Tensor *const *in, Tensor *const *out,
                  Arena *scratch, Diag *diag)
{
    Along s = type_along(&in[0]->type, ATTRS(axisneg1, n)->axis);

    WIDEN(eval_softmax);
    for (int64_t o = 0; o < s.outer; o++)
        for (int64_t k = 0; k < s.inner; k++)
            softmax(in[0], out[0], o * s.dim * s.inner + k, s,
                    n->op == OP_LogSoftmax);
    return true;
}

/* Operand i broadcasts to x alone (unidirectional). */
static bool check_broadcast(const Node *n, int i)
{
    const Value *v = node_in(n, i);
    Type t;

    if (!v)
        return true;
    t = n->in[0]->type;
    if (!type_broadcast(&n->in[0]->type, &v->type, &t) ||
        !type_same_shape(&t, &n->in[0]->type))
        return node_error(n, "'%s' does not broadcast to the input",
                          v->name);
    return true;
}

bool infer_layernorm(Graph *g, Node *n)
{
    const Attr_layernorm *a = ATTRS(layernorm, n);
    Type stat = n->in[0]->type;
    int axis;

    (void)g;
    if (!check_floats(n) || !check_epsilon(n, a->epsilon) ||
        !node_axis(n, a->axis, stat.rank, &axis) ||
        !check_broadcast(n, 1) || !check_broadcast(n, 2))
        return false;
    for (int i = axis; i < stat.rank; i++)
        stat.dim[i] = 1;
    stat.dt = a->stash_type == DT_BF16 ? DT_BF16 : DT_F32;
    if (stat.dt != DT_F32 && (node_out(n, 1) || node_out(n, 2)))
        return node_error(n, "Mean and InvStdDev are supported as float "
                          "(stash_type 1) only");
    for (int i = 1; i < n->nout; i++)
        if (n->out[i])
            n->out[i]->type = stat;
    return infer_first(n);
}

bool infer_rmsnorm(Graph *g, Node *n)
{
    const Attr_layernorm *a = ATTRS(layernorm, n);
    int axis;

    (void)g;
    if (!check_floats(n) || !check_epsilon(n, a->epsilon) ||
        !node_axis(n, a->axis, n->in[0]->type.rank, &axis) ||
        !check_broadcast(n, 1))
        return false;
    infer_first(n);
    n->out[0]->type.dt = n->in[1]->type.dt;
    return true;
}

/* Where element i of x finds its scale or bias t, which broadcasts. */
static int64_t broadcast_at(const Type *x, const Type *t, int64_t i)
{
    int64_t at = 0, stride = 1;

    for (int d = x->rank - 1; d >= 0; d--) {
        int k = d - (x->rank - t->rank);
        if (k >= 0) {
            if (t->dim[k] != 1)
                at += i % x->dim[d] * stride;
            stride *= t->dim[k];
        }
        i /= x->dim[d];
    }
    return at;
}

/* Rows of `len` elements: mean (0 for RMS) and 1 / sqrt(var + eps). */
static void row_stats(const Tensor *x, int64_t at, int64_t len, bool centre,
                      double eps, double *mean, double *inv)
{
    double sum = 0, square = 0;

    for (int64_t i = 0; centre && i < len; i++)
        sum += get(x, at + i);
    *mean = centre ? sum / (double)len : 0;
    for (int64_t i = 0; i < len; i++) {
        double d = get(x, at + i) - *mean;
        square += d * d;
    }
    *inv = 1 / sqrt(square / (double)len + eps);
}

static void norm_rows(const Node *n, const Tensor *const *in,
                      Tensor *const *out, bool centre)
{
    const Attr_layernorm *a = ATTRS(layernorm, n);
    const Type *x = &in[0]->type;
    const Tensor *scale = in[1], *bias = n->nin > 2 ? in[2] : NULL;
    int axis = (int)(a->axis < 0 ? a->axis + x->rank : a->axis);
    int64_t rows = type_span(x, 0, axis), len = type_span(x, axis, x->rank);

    for (int64_t r = 0; r < rows; r++) {
        double mean, inv;
        row_stats(in[0], r * len, len, centre, (double)a->epsilon, &mean,
                  &inv);
        if (n->nout > 1 && out[1])
            set(out[1], r, mean);
        if (n->nout > 2 && out[2])
            set(out[2], r, inv);
        for (int64_t i = r * len; i < (r + 1) * len; i++) {
            double y = (get(in[0], i) - mean) * inv *
                       get(scale, broadcast_at(x, &scale->type, i));
            if (bias)
                y += get(bias, broadcast_at(x, &bias->type, i));
            set(out[0], i, y);
        }
    }
}

bool eval_layernorm(const Node *n, const Tensor *const *in,
                    Tensor *const *out, Arena *scratch, Diag *diag)
{
    WIDEN(eval_layernorm);
    norm_rows(n, in, out, true);
    return true;
}

bool eval_rmsnorm(const Node *n, const Tensor *const *in, Tensor *const *out,
                  Arena *scratch, Diag *diag)
{
    WIDEN(eval_rmsnorm);
    norm_rows(n, in, out, false);
    return true;
}

/* One scale and bias per channel */

/* Operands from 1 on are vectors of one number per channel (dim 1). */
static bool check_channels(const Node *n, int64_t channels)
{
    for (int i = 1; i < n->nin; i++) {
        const Type *t = &n->in[i]->type;
        if (t->rank != 1 || t->dim[0] != channels)
            return node_error(n, "'%s' has %lld elements in %d dims for "
                              "%lld channels", n->in[i]->name,
                              (long long)type_elems(t), t->rank,
                              (long long)channels);
    }
    return true;
}

bool infer_batchnorm(Graph *g, Node *n)
{
    const Attr_batchnorm *a = ATTRS(batchnorm, n);
    const Type *x = &n->in[0]->type;

    (void)g;
    if (a->training_mode)
        return node_error(n, "training_mode is not supported");
    if (!x->rank)
        return node_error(n, "takes no scalar");
    return check_floats(n) && check_epsilon(n, a->epsilon) &&
           check_channels(n, x->rank < 2 ? 1 : x->dim[1]) && infer_first(n);
}

bool eval_batchnorm(const Node *n, const Tensor *const *in,
                    Tensor *const *out, Arena *scratch, Diag *diag)
{
    const Type *x = &in[0]->type;
    Along s = x->rank < 2 ? (Along){ x->dim[0], 1, 1 } : type_along(x, 1);
    int64_t count = type_elems(x);
    double eps = (double)ATTRS(batchnorm, n)->epsilon;

    WIDEN(eval_batchnorm);
    for (int64_t i = 0; i < count; i++) {
        int64_t c = i / s.inner % s.dim;
        double inv = 1 / sqrt(get(in[4], c) + eps);
        set(out[0], i, (get(in[0], i) - get(in[3], c)) * inv *
                       get(in[1], c) + get(in[2], c));
    }
    return true;
}

/* InstanceNormalization is GroupNormalization with a group per channel. */
static int64_t group_count(const Node *n, const Type *x)
{
    return n->op == OP_GroupNormalization ? ATTRS(groupnorm, n)->num_groups
                                          : x->dim[1];
}

bool infer_channelnorm(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type;
    float eps = n->op == OP_GroupNormalization ?
                ATTRS(groupnorm, n)->epsilon :
                ATTRS(instancenorm, n)->epsilon;
    int64_t groups;

    (void)g;
    if (x->rank < 2)
        return node_error(n, "needs 2 dims or more, has %d", x->rank);
    groups = group_count(n, x);
    if (x->dim[1] && (groups < 1 || x->dim[1] % groups))
        return node_error(n, "%lld groups do not divide %lld channels",
                          (long long)groups, (long long)x->dim[1]);
    return check_floats(n) && check_epsilon(n, eps) &&
           check_channels(n, x->dim[1]) && infer_first(n);
}

static void norm_groups(const Node *n, const Tensor *const *in,
                        Tensor *const *out, double eps)
{
    const Type *x = &in[0]->type;
    int64_t groups = group_count(n, x);
    int64_t inner = type_span(x, 2, x->rank);
    int64_t len = groups ? x->dim[1] / groups * inner : 0;
    double mean, inv;

    if (!len)
        return;
    for (int64_t r = 0; r < x->dim[0] * groups; r++) {
        row_stats(in[0], r * len, len, true, eps, &mean, &inv);
        for (int64_t i = r * len; i < (r + 1) * len; i++) {
            int64_t c = i / inner % x->dim[1];
            set(out[0], i, (get(in[0], i) - mean) * inv * get(in[1], c) +
                           get(in[2], c));
        }
    }
}

bool eval_instancenorm(const Node *n, const Tensor *const *in,
                       Tensor *const *out, Arena *scratch, Diag *diag)
{
    WIDEN(eval_instancenorm);
    norm_groups(n, in, out, (double)ATTRS(instancenorm, n)->epsilon);
    return true;
}

bool eval_groupnorm(const Node *n, const Tensor *const *in,
                    Tensor *const *out, Arena *scratch, Diag *diag)
{
    WIDEN(eval_groupnorm);
    norm_groups(n, in, out, (double)ATTRS(groupnorm, n)->epsilon);
    return true;
}

bool infer_lrn(Graph *g, Node *n)
{
    (void)g;
    if (n->in[0]->type.rank < 2)
        return node_error(n, "needs 2 dims or more, has %d",
                          n->in[0]->type.rank);
    if (ATTRS(lrn, n)->size < 1)
        return node_error(n, "size %lld is not positive",
                          (long long)ATTRS(lrn, n)->size);
    return check_floats(n) && infer_first(n);
}

bool eval_lrn(const Node *n, const Tensor *const *in, Tensor *const *out,
              Arena *scratch, Diag *diag)
{
    const Attr_lrn *a = ATTRS(lrn, n);
    Along s = type_along(&in[0]->type, 1);
    int64_t count = type_elems(&in[0]->type);
    int64_t below = (a->size - 1) / 2, above = a->size / 2;

    WIDEN(eval_lrn);
    for (int64_t i = 0; i < count; i++) {
        int64_t c = i / s.inner % s.dim;
        int64_t from = c < below ? 0 : c - below;
        int64_t to = above > s.dim - 1 - c ? s.dim - 1 : c + above;
        double sum = 0;
        for (int64_t k = from; k <= to; k++) {
            double v = get(in[0], i + (k - c) * s.inner);
            sum += v * v;
        }
        set(out[0], i, get(in[0], i) /
            pow((double)a->bias + (double)a->alpha / (double)a->size * sum,
                (double)a->beta));
    }
    return true;
}

bool infer_lpnorm(Graph *g, Node *n)
{
    const Attr_lpnorm *a = ATTRS(lpnorm, n);
    int axis;

    (void)g;
    if (a->p != 1 && a->p != 2)
        return node_error(n, "p is %lld, not 1 or 2", (long long)a->p);
    return check_floats(n) &&
           node_axis(n, a->axis, n->in[0]->type.rank, &axis) &&
           infer_first(n);
}

bool eval_lpnorm(const Node *n, const Tensor *const *in, Tensor *const *out,
                 Arena *scratch, Diag *diag)
{
    const Attr_lpnorm *a = ATTRS(lpnorm, n);
    Along s = type_along(&in[0]->type, a->axis);

    WIDEN(eval_lpnorm);
    for (int64_t r = 0; r < s.outer * s.inner; r++) {
        int64_t at = r / s.inner * s.dim * s.inner + r % s.inner;
        double sum = 0;
        for (int64_t i = 0; i < s.dim; i++) {
            double v = get(in[0], at + i * s.inner);
            sum += a->p == 1 ? fabs(v) : v * v;
        }
        sum = a->p == 1 ? sum : sqrt(sum);
        for (int64_t i = 0; i < s.dim; i++)
            set(out[0], at + i * s.inner,
                sum == 0 ? 0 : get(in[0], at + i * s.inner) / sum);
    }
    return true;
}
