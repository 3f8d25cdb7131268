/* fold.c - evaluates what depends on constants only, with the interpreter.
 *
 * The builder folds shape arithmetic; this pass folds the rest, such as the
 * DequantizeLinear of constant weights. A result much larger than its
 * operands (Expand, Tile, ConstantOfShape) stays a computation: flash costs
 * more than a loop.
 */
#include "passes.h"

enum { SMALL = 4096, GROWTH = 8 };

static bool all_constant(const Node *n)
{
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] && !value_is_const(n->in[i]))
            return false;
    return true;
}

static bool worth_it(const Node *n)
{
    int64_t in = 0, out = 0;

    for (int i = 0; i < n->nin; i++)
        if (n->in[i])
            in += type_bytes(&n->in[i]->type);
    for (int i = 0; i < n->nout; i++) {
        if (n->out[i] && n->out[i]->is_output)
            return false;       /* an output needs a step that writes it */
        if (n->out[i])
            out += type_bytes(&n->out[i]->type);
    }
    return out <= SMALL || out <= GROWTH * in;
}

bool pass_fold(Graph *g, const PassOptions *opt, bool *changed)
{
    (void)opt;
    for EACH_NODE_SAFE(n, g) {
        if (op_has(n->op, T_RANDOM) || !all_constant(n) ||
            !worth_it(n) || !node_fold_affordable(g, n))
            continue;
        if (!node_fold(g, n))
            return false;
        graph_remove(g, n);
        *changed = true;
    }
    return true;
}
