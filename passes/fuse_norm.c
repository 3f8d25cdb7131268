/* fuse_norm.c - LayerNorm and RMSNorm that exporters spell out.
 *
 *   d = x - mean(x);  d / sqrt(mean(d^2) + eps) [* gamma] [+ beta]
 *   x / sqrt(mean(x^2) + eps) [* gamma]
 *   x * k + (beta - mean(x) * k),  k = gamma / sqrt(mean((x - mean)^2) + eps)
 *
 * over the last axes. The third form is TensorFlow's.
 */
#include "edit.h"

#include <string.h>

/* ReduceMean over the last axes, kept; first such axis in *axis. */
static Node *last_axes_mean(const Value *v, int *axis)
{
    Node *r = maker(v, OP_ReduceMean);
    int64_t axes[MAX_RANK];
    bool hit[MAX_RANK] = { false };
    int n, rank;

    if (!r || !ATTRS(reduce, r)->keepdims || !node_in(r, 1) ||
        !value_ints(r->in[1], MAX_RANK, axes, &n) || n == 0)
        return NULL;
    rank = r->in[0]->type.rank;
    for (int i = 0; i < n; i++)
        hit[axes[i] < 0 ? axes[i] + rank : axes[i]] = true;
    *axis = rank - n;
    for (int i = *axis; i < rank; i++)
        if (!hit[i])
            return NULL;
    return r;
}

/* v == u * u or u^2: u */
static Value *root_of_square(const Value *v)
{
    Node *m = maker(v, OP_Mul), *p = maker(v, OP_Pow);

    if (m && m->in[0] == m->in[1])
        return m->in[0];
    return p && is_splat(p->in[1], 2) ? p->in[0] : NULL;
}

/* v == sqrt(mean(u^2) + eps): u, the axis and eps */
static Value *root_mean_square(const Value *v, int *axis, double *eps)
{
    Node *s = maker(v, OP_Sqrt);
    Node *add = s ? maker(s->in[0], OP_Add) : NULL, *mean;
    Value *m;

    if (!add || !splat_operand(add, eps, &m) ||
        !(mean = last_axes_mean(m, axis)))
        return NULL;
    return root_of_square(mean->in[0]);
}

/* v == 1 / r: r */
static Value *inverse_of(const Value *v)
{
    Node *r = maker(v, OP_Reciprocal), *d = maker(v, OP_Div);

    if (r)
        return r->in[0];
    return d && is_splat(d->in[0], 1) ? d->in[1] : NULL;
}

/* n == u / rms(u) in either spelling: u */
static Value *normalized(const Node *n, int *axis, double *eps)
{
    if (n->op == OP_Div && root_mean_square(n->in[1], axis, eps) == n->in[0])
        return n->in[0];
    for (int i = 0; n->op == OP_Mul && i < 2; i++) {
        Value *r = inverse_of(n->in[i]);
        if (r && root_mean_square(r, axis, eps) == n->in[1 - i])
            return n->in[1 - i];
    }
    return NULL;
}

/* u == x - mean(x) over the same axes: x */
static Value *centered(const Value *u, int axis)
{
    Node *sub = maker(u, OP_Sub), *mean;
    int a;

    if (!sub || !(mean = last_axes_mean(sub->in[1], &a)) || a != axis ||
        mean->in[0] != sub->in[0])
        return NULL;
    return sub->in[0];
}

/* A constant that fits the normalized axes exactly, as their shape. */
static Value *as_parameter(Graph *g, Value *c, const Type *x, int axis)
{
    Type t = { x->dt, x->rank - axis, { 0 } };
    double s;

    for (int i = 0; i < t.rank; i++)
        t.dim[i] = x->dim[axis + i];
    if (!value_is_const(c) || c->type.dt != x->dt)
        return NULL;
    if (type_elems(&c->type) == 1 && const_splat(c, &s)) {
        float *p = NEW_ARRAY(g->arena, float, type_elems(&t));
        for (int64_t i = 0; i < type_elems(&t); i++)
            p[i] = (float)s;
        return graph_const(g, c->name, t, p);
    }
    if (type_elems(&c->type) != type_elems(&t) || c->type.rank < t.rank)
        return NULL;
    for (int i = 0; i < t.rank; i++)
        if (c->type.dim[c->type.rank - t.rank + i] != t.dim[i])
            return NULL;
    return graph_const(g, c->name, t, c->data);
}

static Value *ones(Graph *g, const Type *x, int axis)
{
    Type t = { DT_F32, 0, { 0 } };
    float *one = arena_alloc(g->arena, 8);

    *one = 1;
    return as_parameter(g, graph_const(g, "one", t, one), x, axis);
}

/* n's only reader is op with a parameter: that parameter, and the reader */
static Value *take_parameter(Graph *g, const Node *n, Op op, const Type *x,
                             int axis, Node **reader)
{
    Node *r = only_reader(n->out[0], op);
    Value *c;

    if (!r || !type_equal(&r->out[0]->type, &n->out[0]->type))
        return NULL;
    c = r->in[0] == n->out[0] ? r->in[1] : r->in[0];
    c = as_parameter(g, c, x, axis);
    if (c)
        *reader = r;
    return c;
}

static void make_norm(Graph *g, Node *end, Value *x, Value *scale,
                      Value *bias, int axis, double eps, bool rms)
{
    Value *in[3] = { x, scale, bias };
    Node *n = insert_op(g, end, rms ? OP_RMSNormalization
                                    : OP_LayerNormalization,
                        end->name, bias ? 3 : 2, in, end->out[0]->type);

    ATTRS(layernorm, n)->axis = axis - x->type.rank;
    ATTRS(layernorm, n)->epsilon = (float)eps;
    take_result(g, n, end);
}

/* First the centre is looked at: a LayerNorm is an RMSNorm of x - mean. */
static bool fuse_norm(Graph *g, Node *n)
{
    Value *u, *x, *scale, *bias = NULL;
    Node *end = n;
    double eps;
    int axis;
    bool rms;

    if (!n->out[0] || n->out[0]->type.dt != DT_F32 ||
        !(u = normalized(n, &axis, &eps)))
        return false;
    if (!type_equal(&u->type, &n->out[0]->type))
        return false;           /* eps or the exponent widened it */
    x = centered(u, axis);
    rms = !x;
    if (rms)
        x = u;
    if (!type_equal(&x->type, &u->type))
        return false;
    scale = take_parameter(g, n, OP_Mul, &x->type, axis, &end);
    if (!rms)
        bias = take_parameter(g, end, OP_Add, &x->type, axis, &end);
    if (!scale)
        scale = ones(g, &x->type, axis);
    make_norm(g, end, x, scale, bias, axis, eps, rms);
    return true;
}

/* k == gamma / rms(x - mean): gamma (NULL: 1) */
static bool split_gain(Graph *g, const Value *k, const Value *x, int *axis,
                       double *eps, Value **gamma)
{
    Node *m = maker(k, OP_Mul);

    *gamma = NULL;
    for (int i = 0; i < 3; i++) {
        const Value *inv = i == 2 ? k : m ? m->in[i] : NULL;
        Value *r = inv ? inverse_of(inv) : NULL;
        Value *u = r ? root_mean_square(r, axis, eps) : NULL;
        if (!u || centered(u, *axis) != x)
            continue;
        if (i < 2 && !(*gamma = as_parameter(g, m->in[1 - i], &x->type,
                                             *axis)))
            continue;
        return true;
    }
    return false;
}

/* shift == beta - mean(x) * k */
static Value *split_shift(Graph *g, const Value *shift, const Value *x,
                          const Value *k, int axis)
{
    Node *sub = maker(shift, OP_Sub);
    Node *m = sub ? maker(sub->in[1], OP_Mul) : NULL;

    for (int i = 0; m && i < 2; i++) {
        int a;
        Node *mean = last_axes_mean(m->in[i], &a);
        if (mean && a == axis && mean->in[0] == x && m->in[1 - i] == k)
            return as_parameter(g, sub->in[0], &x->type, axis);
    }
    return NULL;
}

static bool fuse_tf_norm(Graph *g, Node *n)
{
    if (n->op != OP_Add || n->out[0]->type.dt != DT_F32)
        return false;
    for (int i = 0; i < 2; i++) {
        Node *m = maker(n->in[i], OP_Mul);
        for (int j = 0; m && j < 2; j++) {
            Value *x = m->in[j], *k = m->in[1 - j], *gamma, *beta;
            double eps;
            int axis;
            if (!type_equal(&x->type, &n->out[0]->type) ||
                !split_gain(g, k, x, &axis, &eps, &gamma) ||
                !(beta = split_shift(g, n->in[1 - i], x, k, axis)))
                continue;
            make_norm(g, n, x, gamma ? gamma : ones(g, &x->type, axis), beta,
                      axis, eps, false);
            return true;
        }
    }
    return false;
}

bool pass_fuse_norm(Graph *g, const PassOptions *opt, bool *changed)
{
    bool skip;

    for EACH_NODE_SAFE(n, g)
        if (fuse_norm(g, n) || fuse_tf_norm(g, n)) {
            *changed = true;
            n_next = g->first;  /* what was taken may have been next */
        }
    return !*changed || pass_dce(g, opt, &skip);
}
