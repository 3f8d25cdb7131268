/* report_islands.c - the float steps of a quantized model, and why. */
#include "report.h"

#include <string.h>

/* ONNX's own products of codes, with results of codes: scaled in floats. */
static bool rounds_floats(const Node *n)
{
    return n->op == OP_QLinearConv || n->op == OP_QLinearMatMul;
}

/* Integer arithmetic of ours, or a step between codes and floats? */
static bool is_quantized_op(const Node *n)
{
    return n->op == OP_QuantizeLinear || n->op == OP_DequantizeLinear ||
           n->op == OP_DynamicQuantizeLinear || rounds_floats(n) ||
           (op_has(n->op, T_INTERNAL) && op_name(n->op)[0] == 'Q');
}

bool report_is_quantized(const Graph *g)
{
    for EACH_NODE(n, g)
        if (is_quantized_op(n))
            return true;
    return false;
}

static bool is_float(const Value *v)
{
    return v && dtype_is_float(v->type.dt);
}

static bool computes_floats(const Node *n)
{
    bool yes = rounds_floats(n);

    for (int i = 0; i < n->nout; i++)
        yes |= is_float(n->out[i]);
    for (int i = 0; i < n->nin; i++)
        yes |= is_float(n->in[i]) && !value_is_const(n->in[i]);
    return yes;
}

static bool makes_output(const Node *n)
{
    const Value *y = n->out[0];

    for (int hops = 0; y && !y->is_output && hops < 16; hops++)
        y = y->nuse == 1 && op_has(y->use[0]->op, T_VIEW | T_MOVE) &&
            y->use[0]->nout == 1 ? y->use[0]->out[0] : NULL;
    return y != NULL;
}

static bool reads_input(const Node *n)
{
    const Value *x = n->in[0];

    while (x && x->def && op_has(x->def->op, T_VIEW | T_MOVE))
        x = x->def->in[0];
    return x && x->is_input;
}

const char *report_island(const Node *n)
{
    if (!computes_floats(n) || !codegen_has_step(n))
        return NULL;
    if (rounds_floats(n))
        return "a scale or a zero point is not constant: it rounds floats";
    if (n->op == OP_DynamicQuantizeLinear)
        return "it takes the scale from the floats of each run";
    if (n->op == OP_QuantizeLinear)
        return reads_input(n) ? "the model's input is declared float"
                              : "it quantizes the result of a float step";
    if (n->op == OP_DequantizeLinear)
        return makes_output(n) ? "the model's output is declared float"
                               : "a float step reads its result";
    if (n->island)
        return n->island;
    if (op_has(n->op, T_VIEW | T_MOVE))
        return "it moves the floats of its neighbours";
    return "its result is not quantized";
}

void text_islands(Buf *b, const Graph *g)
{
    int count = 0;

    if (!report_is_quantized(g))
        return;
    for EACH_NODE(n, g)
        count += report_island(n) != NULL;
    buf_printf(b, "\nfloat islands: %d of %d steps\n", count,
               g->plan->nsteps);
    for EACH_NODE(n, g)
        if (report_island(n))
            buf_printf(b, "%5d  %s '%s': %s\n", n->index, op_name(n->op),
                       n->name, report_island(n));
}

/* Bytes of the graph's constants that are codes of so many bits. */
int64_t report_code_bytes(const Graph *g, int bits)
{
    int64_t sum = 0;

    for (int i = 0; i < g->nvalue; i++) {
        const Value *v = g->value[i];
        if (value_is_const(v) && v->nuse && dtype_is_int(v->type.dt) &&
            dtype_bits(v->type.dt) == bits)
            sum += type_bytes(&v->type);
    }
    return sum;
}
