/* act.c - activations that other ops carry, see act.h. They are evaluated
 * by the interpreter of the op itself, so that a fused node and the two
 * nodes that it replaces give the same bits. */
#include "act.h"

#include <string.h>

bool act_get(const Node *n, const char *act, float alpha, float beta,
             Act *out)
{
    out->op = OP_NONE;
    out->alpha = alpha;
    out->beta = beta;
    if (!act[0])
        return true;
    out->op = op_by_name(act);
    if (out->op == OP_NONE || !op_has(out->op, T_MAP) ||
        op_has(out->op, T_INTERNAL) || op_info(out->op)->min_in != 1 ||
        out->op == OP_Cast)
        return node_error(n, "act '%s' is not an activation", act);
    return true;
}

/* the float attributes of the op in order; Gelu has a string */
static void set_attrs(const Act *act, const OpInfo *info, void *attr)
{
    float value[2] = { act->alpha, act->beta };
    int k = 0;

    for (int i = 0; i < info->nattr && k < 2; i++)
        if (info->attr[i].kind == AK_float)
            memcpy((char *)attr + info->attr[i].offset, &value[k++],
                   sizeof(float));
    if (act->op == OP_Gelu && act->alpha == 1)
        ((Attr_gelu *)attr)->approximate = "tanh";
}

bool act_eval(const Node *n, const Act *act, DType dt, void *y,
              int64_t count, Arena *scratch)
{
    const OpInfo *info = op_info(act->op);
    Value *operand[3] = { n->in[0], n->in[0], n->in[0] };   /* all there */
    Node fake = *n;
    Tensor t = { type_vector(dt, count), y }, lo, hi;
    const Tensor *in[3] = { &t, &lo, &hi };
    Tensor *out[1] = { &t };
    double bound[2];

    if (act->op == OP_NONE)
        return true;
    lo.type = hi.type = type_scalar(dt);
    lo.data = &bound[0];
    hi.data = &bound[1];
    elem_set(dt, lo.data, 0, (double)act->alpha);
    elem_set(dt, hi.data, 0, (double)act->beta);
    fake.op = act->op;
    fake.nin = act->op == OP_Clip ? 3 : 1;
    fake.in = operand;
    fake.nout = 1;
    fake.attr = arena_alloc(scratch, (size_t)info->attr_bytes);
    attr_set_defaults(info, fake.attr, scratch);
    set_attrs(act, info, fake.attr);
    return info->eval(&fake, in, out, scratch, n->graph->diag);
}
