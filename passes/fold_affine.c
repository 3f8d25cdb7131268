/* fold_affine.c - per-channel scales and shifts go into constant weights.
 *
 * BatchNormalization is y = x * s + t per channel. After a Conv or a matrix
 * product by a constant it vanishes into weights and bias; elsewhere it
 * becomes a Mul and an Add. Mul and Add by per-channel constants that follow
 * a Conv or product are folded the same way.
 */
#include "edit.h"

#include <math.h>
#include <string.h>

static Value *channel_const(Graph *g, const char *name, const Value *like,
                            float *v, int64_t channels)
{
    Type t = { DT_F32, like->type.rank - 1, { 0 } };

    if (t.rank < 1)
        t.rank = 1;
    for (int i = 0; i < t.rank; i++)
        t.dim[i] = 1;
    t.dim[0] = channels;
    return graph_const(g, name, t, v);
}

static bool bn_constants(const Node *n)
{
    for (int i = 1; i < 5; i++)
        if (!value_is_const(n->in[i]))
            return false;
    return n->in[0]->type.dt == DT_F32 && n->in[0]->type.rank >= 2;
}

static bool split_batchnorm(Graph *g, Node *n)
{
    float *s, *t, *mean, *var, eps;
    int64_t channels;
    Value *in[2];
    Node *mul, *add;

    if (n->op != OP_BatchNormalization || !bn_constants(n))
        return false;
    eps = ATTRS(batchnorm, n)->epsilon;
    channels = type_elems(&n->in[1]->type);
    s = const_floats(g, n->in[1]);
    t = const_floats(g, n->in[2]);
    mean = const_floats(g, n->in[3]);
    var = const_floats(g, n->in[4]);
    for (int64_t c = 0; c < channels; c++) {
        double k = (double)s[c] / sqrt((double)var[c] + (double)eps);
        t[c] = (float)((double)t[c] - (double)mean[c] * k);
        s[c] = (float)k;
    }
    in[0] = n->in[0];
    in[1] = channel_const(g, "bn_scale", n->in[0], s, channels);
    mul = insert_op(g, n, OP_Mul, n->name, 2, in, n->out[0]->type);
    in[0] = mul->out[0];
    in[1] = channel_const(g, "bn_shift", n->in[0], t, channels);
    add = insert_op(g, n, OP_Add, n->name, 2, in, n->out[0]->type);
    take_result(g, add, n);
    return true;
}

/* Mul and Add after weights */

/* Does c, broadcast to the rank of `y`, vary along `axis` only? Fills one
 * float per channel. */
static bool per_channel(Graph *g, const Value *c, const Type *y, int axis,
                        float **out)
{
    int64_t n = y->dim[axis];
    int off = y->rank - c->type.rank;
    bool scalar;

    if (!value_is_const(c) || c->type.dt != DT_F32 || off < 0)
        return false;
    for (int i = 0; i < c->type.rank; i++)
        if (c->type.dim[i] != 1 &&
            (i + off != axis || c->type.dim[i] != n))
            return false;
    scalar = type_elems(&c->type) == 1;
    *out = NEW_ARRAY(g->arena, float, n);
    for (int64_t i = 0; i < n; i++)
        (*out)[i] = ((const float *)c->data)[scalar ? 0 : i];
    return true;
}

/* Where a weighted op keeps its output channels. */
typedef struct Weighted {
    Node *node;
    int axis;                   /* of the result */
    int64_t outer, channels, inner;     /* of the weight tensor */
} Weighted;

static bool no_act(const char *act)
{
    return !*act;
}

static bool weighted(Node *n, Weighted *w)
{
    const Type *t, *y;

    if (!n || n->nin < 2 || !value_is_const(n->in[1]) ||
        n->in[1]->type.dt != DT_F32 || !only_use(n->out[0]) ||
        (node_in(n, 2) && !value_is_const(n->in[2])))
        return false;
    t = &n->in[1]->type;
    y = &n->out[0]->type;
    *w = (Weighted){ n, 1, 1, 0, 0 };
    if (n->op == OP_Conv && no_act(ATTRS(conv, n)->act)) {
        w->channels = t->dim[0];
        w->inner = type_span(t, 1, t->rank);
        return true;
    }
    if (n->op != OP_FusedMatMul || t->rank != 2 ||
        !no_act(ATTRS(fusedmatmul, n)->act) || y->rank < 1)
        return false;
    w->axis = y->rank - 1;
    w->channels = y->dim[w->axis];
    if (ATTRS(fusedmatmul, n)->transB) {
        w->inner = t->dim[1];
    } else {
        w->outer = t->dim[0];
        w->inner = 1;
    }
    return true;
}

static float *bias_of(Graph *g, const Weighted *w)
{
    Value *b = node_in(w->node, 2);

    if (!b)
        return NEW_ARRAY(g->arena, float, w->channels);
    if (type_elems(&b->type) != w->channels || b->type.rank < 1 ||
        b->type.dim[b->type.rank - 1] != w->channels ||
        b->type.dt != DT_F32)
        return NULL;            /* a bias per row has as many, perhaps */
    return const_floats(g, b);
}

static void set_operand(Graph *g, Node *n, int i, Value *v)
{
    Value **in;

    if (i >= n->nin) {
        in = NEW_ARRAY(g->arena, Value *, i + 1);
        memcpy(in, n->in, (size_t)n->nin * sizeof *in);
        n->in = in;
        n->nin = i + 1;
    }
    node_set_input(n, i, v);
}

static void set_bias(Graph *g, const Weighted *w, float *bias)
{
    set_operand(g, w->node, 2,
                graph_const(g, "bias", type_vector(DT_F32, w->channels),
                            bias));
}

static void scale_weights(Graph *g, const Weighted *w, const float *s)
{
    Value *old = w->node->in[1];
    float *p = const_floats(g, old);
    int64_t k = 0;

    for (int64_t o = 0; o < w->outer; o++)
        for (int64_t c = 0; c < w->channels; c++)
            for (int64_t i = 0; i < w->inner; i++)
                p[k++] *= s[c];
    node_set_input(w->node, 1, graph_const(g, old->name, old->type, p));
}

static bool fold_into_weights(Graph *g, Node *n)
{
    for (int i = 0; i < (n->op == OP_Sub ? 1 : 2); i++) {
        Weighted w;
        float *c, *bias;
        if (!weighted(n->in[i]->def, &w) ||
            !type_same_shape(&n->in[i]->type, &n->out[0]->type) ||
            !per_channel(g, n->in[1 - i], &n->out[0]->type, w.axis, &c) ||
            !(bias = bias_of(g, &w)))
            continue;
        if (n->op == OP_Mul)
            scale_weights(g, &w, c);
        for (int64_t k = 0; k < w.channels; k++)
            bias[k] = n->op == OP_Mul ? bias[k] * c[k]
                      : n->op == OP_Add ? bias[k] + c[k] : bias[k] - c[k];
        if (n->op != OP_Mul || node_in(w.node, 2))
            set_bias(g, &w, bias);
        return bypass(g, n, n->in[i]);
    }
    return false;
}

bool pass_fold_affine(Graph *g, const PassOptions *opt, bool *changed)
{
    (void)opt;
    for EACH_NODE_SAFE(n, g)
        if (split_batchnorm(g, n))
            *changed = true;
    for EACH_NODE_SAFE(n, g)
        if ((n->op == OP_Mul || n->op == OP_Add || n->op == OP_Sub) &&
            fold_into_weights(g, n))
            *changed = true;
    return true;
}
