/* ptq.c - post-training quantization from end to end; see ptq_int.h for the
 * idea and doc/quantization.md for what it promises.
 */
#include "ptq_int.h"

static bool is_quantizer(Op op)
{
    switch (op) {
    case OP_QuantizeLinear: case OP_DequantizeLinear:
    case OP_DynamicQuantizeLinear: case OP_QLinearConv: case OP_ConvInteger:
    case OP_QLinearMatMul: case OP_MatMulInteger:
        return true;
    default:
        return false;
    }
}

const Node *ptq_is_quantized(const Graph *g)
{
    for EACH_NODE(n, g)
        if (is_quantizer(n->op) ||
            (op_has(n->op, T_INTERNAL) && op_name(n->op)[0] == 'Q'))
            return n;
    return NULL;
}

static void count_floats(Ptq *p)
{
    for EACH_NODE(n, p->g)
        p->report->floats += is_island(p, n) ||
                             (node_role(n) == ROLE_FLOAT &&
                              is_float_value(node_out(n, 0)));
}

static bool nothing_to_do(const Ptq *p)
{
    for (int i = 0; i < p->nvalue; i++)
        if (p->class[i].active)
            return false;
    return true;
}

bool ptq_quantize(Graph *g, const PtqOptions *opt, PtqReport *report)
{
    const Node *q = ptq_is_quantized(g);
    Ptq p = { .g = g, .arena = g->arena, .opt = opt, .report = report };

    *report = (PtqReport){ .nsample = opt->nsample };
    if (q)
        return node_error(q, "the model is quantized already: --quantize "
                          "with --calib takes a float model");
    if (!ptq_prepare(g, opt->keep_factors))
        return false;
    classes_build(&p);
    if (nothing_to_do(&p))
        return diag_error(g->diag, "--quantize: the model has no float "
                          "operation that has an integer form");
    products_find(&p);
    constants_find(&p);
    if (!calibrate_ranges(&p) ||
        (opt->weights != PTQ_FLOAT && !equalize(&p)) ||
        !calibrate_choose(&p) ||
        !weights_quantize(&p))
        return false;
    constants_quantize(&p);
    if (opt->weights != PTQ_FLOAT && !bias_correct(&p))
        return false;
    if (!mixed_choose(&p) || !islands_choose(&p) || !errors_measure(&p))
        return false;
    count_floats(&p);
    if (opt->compare && !mixed_other(&p))
        return false;
    pairs_insert(&p);
    return true;
}
