/* fuse_act.c - an activation that is the only reader of a convolution or
 * matrix product is applied in its epilogue: one buffer and one pass over
 * memory less.
 */
#include "edit.h"

#include <math.h>
#include <string.h>

typedef struct Act {
    const char *name;
    float alpha, beta;
} Act;

typedef struct ActRow {
    Op op;
    const char *name, *alpha, *beta;    /* the op's own attribute names */
} ActRow;

static const ActRow acts[] = {
    { OP_Relu, "Relu", NULL, NULL },
    { OP_Sigmoid, "Sigmoid", NULL, NULL },
    { OP_Tanh, "Tanh", NULL, NULL },
    { OP_HardSwish, "HardSwish", NULL, NULL },
    { OP_LeakyRelu, "LeakyRelu", "alpha", NULL },
    { OP_Elu, "Elu", "alpha", NULL },
    { OP_Swish, "Swish", "alpha", NULL },
    { OP_HardSigmoid, "HardSigmoid", "alpha", "beta" },
    { OP_Softplus, "Softplus", NULL, NULL },
    { OP_Mish, "Mish", NULL, NULL },
    { OP_Gelu, "Gelu", NULL, NULL },
};

static float attr_value(const Node *n, const char *name)
{
    const AttrInfo *a = name ? attr_find(op_info(n->op), name) : NULL;

    return a ? *(const float *)(const void *)((const char *)n->attr +
                                              a->offset) : 0;
}

static bool clip_bounds(const Node *n, Act *act)
{
    double lo = -INFINITY, hi = INFINITY;   /* no bound on that side */

    if ((node_in(n, 1) && !const_splat(n->in[1], &lo)) ||
        (node_in(n, 2) && !const_splat(n->in[2], &hi)) ||
        (isinf(lo) && isinf(hi)))
        return false;
    *act = (Act){ "Clip", (float)lo, (float)hi };
    return true;
}

static bool as_act(const Node *n, Act *act)
{
    if (n->op == OP_Clip)
        return clip_bounds(n, act);
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++)
        if (acts[i].op == n->op) {
            *act = (Act){ acts[i].name, attr_value(n, acts[i].alpha),
                          attr_value(n, acts[i].beta) };
            if (n->op == OP_Gelu &&
                !strcmp(ATTRS(gelu, n)->approximate, "tanh"))
                act->alpha = 1; /* epilogues know the form by alpha */
            return true;
        }
    return false;
}

static bool set_act(Node *n, const Act *act)
{
    if (n->op == OP_Conv && !*ATTRS(conv, n)->act) {
        ATTRS(conv, n)->act = act->name;
        ATTRS(conv, n)->act_alpha = act->alpha;
        ATTRS(conv, n)->act_beta = act->beta;
        return true;
    }
    if (n->op == OP_FusedMatMul && !*ATTRS(fusedmatmul, n)->act) {
        ATTRS(fusedmatmul, n)->act = act->name;
        ATTRS(fusedmatmul, n)->act_alpha = act->alpha;
        ATTRS(fusedmatmul, n)->act_beta = act->beta;
        return true;
    }
    return false;
}

static bool fuse(Graph *g, Node *n)
{
    Node *reader;
    Act act;

    if ((n->op != OP_Conv && n->op != OP_FusedMatMul) ||
        n->out[0]->type.dt != DT_F32 || !only_use(n->out[0]))
        return false;
    reader = n->out[0]->use[0];
    if (reader->in[0] != n->out[0] || !as_act(reader, &act) ||
        (n->op == OP_Conv ? *ATTRS(conv, n)->act
                          : *ATTRS(fusedmatmul, n)->act))
        return false;
    return bypass(g, reader, n->out[0]) && set_act(n, &act);
}

bool pass_fuse_act(Graph *g, const PassOptions *opt, bool *changed)
{
    (void)opt;
    for EACH_NODE(n, g)
        if (fuse(g, n))
            *changed = true;
    return true;
}
