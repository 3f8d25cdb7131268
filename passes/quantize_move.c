/* quantize_move.c - what only moves elements works on codes as on floats.
 *
 * DequantizeLinear sinks below Reshape, Transpose, Concat, MaxPool and their
 * kin, QuantizeLinear rises above them. Both meet, and what moves is a
 * quarter of the bytes. Where a float has several readers, each gets a
 * DequantizeLinear of its own: most of them vanish.
 */
#include <math.h>
#include <string.h>

#include "quantize.h"

/* 0: n is no movement. Maxima are: the order of codes is that of what they
 * stand for. */
unsigned moved_operands(const Node *n)
{
    switch (n->op) {
    case OP_Identity: case OP_Reshape: case OP_Flatten: case OP_Squeeze:
    case OP_Unsqueeze: case OP_Transpose: case OP_Slice: case OP_Split:
    case OP_Tile: case OP_Expand: case OP_DepthToSpace: case OP_SpaceToDepth:
    case OP_ReverseSequence: case OP_Gather: case OP_GatherElements:
    case OP_GatherND: case OP_Pad:
        return 1;
    case OP_MaxPool: case OP_ReduceMax: case OP_ReduceMin:
        return n->nout > 1 && n->out[1] ? 0 : 1;
    case OP_Resize:
        return n->nin < 2 || !n->in[1] || value_is_const(n->in[1])
                   ? !strcmp(ATTRS(resize, n)->mode, "nearest") : 0;
    case OP_Where:
        return 6;
    case OP_Max: case OP_Min: case OP_TensorScatter:
        return 3;
    case OP_ScatterElements:
        return strcmp(ATTRS(scatterelements, n)->reduction, "none") ? 0 : 5;
    case OP_ScatterND:
        return strcmp(ATTRS(scatternd, n)->reduction, "none") ? 0 : 5;
    case OP_Concat:
        return n->nin < 32 ? (1u << n->nin) - 1 : 0;
    default:
        return 0;
    }
}

/* MaxPool and its kin know 8 bits, the rest anything. */
static bool takes(const Node *n, const Grid *g)
{
    return grid_is_byte(g) ||
           (n->op != OP_MaxPool && n->op != OP_ReduceMax &&
            n->op != OP_ReduceMin);
}

/* Pad with a constant: its value must be a code. */
static bool pad_code(Graph *g, const Node *n, const Grid *grid, bool round,
                     Value **code)
{
    const Value *v = node_in(n, 2);
    double x = 0;
    int64_t c;

    if (n->op != OP_Pad)
        return true;
    if (v && (!value_is_const(v) || type_elems(&v->type) != 1))
        return false;
    if (v)
        x = elem_get(v->type.dt, v->data, 0);
    c = grid_code(grid, x);
    if (!round && (double)(c - grid->zp) * grid->scale != x)
        return false;
    *code = graph_const_scalar(g, "pad", grid->dt, (double)c);
    return true;
}

static void set_pad(Graph *g, Node *n, Value *code)
{
    if (n->nin < 3) {
        Value **in = NEW_ARRAY(g->arena, Value *, 3);
        for (int i = 0; i < n->nin; i++)
            in[i] = n->in[i];
        n->in = in;
        n->nin = 3;
    }
    node_set_input(n, 2, code);
}

static void set_dtype(Node *n, DType dt)
{
    for (int i = 0; i < n->nout; i++)
        if (n->out[i])
            n->out[i]->type.dt = dt;
}

/* Down: every data operand is DQ with one grid. */

static bool one_grid(const Node *n, unsigned data, Grid *grid)
{
    bool first = true;

    for (int i = 0; i < n->nin; i++) {
        Grid one;
        if (!(data >> i & 1))
            continue;
        if (!n->in[i] || !codes_of(n->in[i], &one) ||
            (!first && !grid_equal(&one, grid)))
            return false;
        *grid = one;
        first = false;
    }
    return !first;
}

/* DQ behind `codes` makes v; scale and zero point are those of `like`. */
static void dequantize_into(Graph *g, Node *at, const Node *like,
                            Value *codes, Value *v)
{
    Value *in[3] = { codes, like->in[1], node_in(like, 2) };
    Node *n = node_new(g, OP_DequantizeLinear, like->name, in[2] ? 3 : 2, in,
                       1);

    ATTRS(quantize, n)->output_dtype =
        ATTRS(quantize, like)->output_dtype;
    graph_insert(g, at, n);
    node_set_output(n, 0, v);
}

static bool sink_dequantize(Graph *g, Node *n)
{
    unsigned data = moved_operands(n);
    Value *pad = NULL;
    const Node *like = NULL;
    Grid grid;

    if (!data || !one_grid(n, data, &grid) || !takes(n, &grid) ||
        !pad_code(g, n, &grid, false, &pad))
        return false;
    for (int i = 0; i < n->nin; i++)
        if (data >> i & 1) {
            like = n->in[i]->def;
            node_set_input(n, i, like->in[0]);
        }
    if (pad)
        set_pad(g, n, pad);
    for (int o = 0; o < n->nout; o++) {
        Value *v = n->out[o], *codes;
        if (!v)
            continue;
        codes = graph_value(g, v->name, v->type);
        codes->type.dt = grid.dt;
        node_set_output(n, o, codes);
        dequantize_into(g, n->next, like, codes, v);
    }
    return true;
}

/* Up: nobody but QuantizeLinear with one grid reads any result. */

static const Node *only_quantized(const Node *n, Grid *grid)
{
    const Node *q = NULL;

    for (int o = 0; o < n->nout; o++) {
        const Value *v = n->out[o];
        if (!v)
            continue;
        if (v->is_output)
            return NULL;
        for (int i = 0; i < v->nuse; i++) {
            Grid one;
            if (v->use[i]->op != OP_QuantizeLinear ||
                !grid_of(v->use[i], &one) ||
                (q && !grid_equal(&one, grid)))
                return NULL;
            *grid = one;
            q = v->use[i];
        }
    }
    return q;
}

/* Taking a part of a graph input is cheaper before it is quantized. */
static bool takes_part(const Node *n)
{
    return (n->op == OP_Slice || n->op == OP_Gather ||
            n->op == OP_GatherND) && n->in[0]->is_input;
}

static Value *quantize_operand(Graph *g, Node *at, const Node *like, Value *x,
                               DType dt)
{
    Value *in[3] = { x, like->in[1], node_in(like, 2) };
    Node *n = node_new(g, OP_QuantizeLinear, like->name, in[2] ? 3 : 2, in,
                       1);

    *ATTRS(quantize, n) = *ATTRS(quantize, like);
    n->out[0]->type = x->type;
    n->out[0]->type.dt = dt;
    graph_insert(g, at, n);
    return n->out[0];
}

static bool raise_quantize(Graph *g, Node *n)
{
    unsigned data = moved_operands(n);
    Value *pad = NULL;
    const Node *q;
    Grid grid;

    if (!data || !(q = only_quantized(n, &grid)) || !takes(n, &grid) ||
        takes_part(n) || !pad_code(g, n, &grid, true, &pad))
        return false;
    for (int i = 0; i < n->nin; i++)
        if ((data >> i & 1) && n->in[i] &&
            !dtype_is_float(n->in[i]->type.dt))
            return false;
    for (int i = 0; i < n->nin; i++)
        if (data >> i & 1 && n->in[i])
            node_set_input(n, i, quantize_operand(g, n, q, n->in[i],
                                                  grid.dt));
    if (pad)
        set_pad(g, n, pad);
    set_dtype(n, grid.dt);
    for (int o = 0; o < n->nout; o++)
        while (n->out[o] && n->out[o]->nuse &&
               n->out[o]->use[0]->op == OP_QuantizeLinear) {
            Node *r = n->out[o]->use[0];
            if (!bypass(g, r, n->out[o]))
                break;
        }
    return true;
}

/* A graph output that QuantizeLinear makes can only be bypassed once, so
 * those stay: raise_quantize needs every reader to go. */
static bool may_raise(const Node *n)
{
    for (int o = 0; o < n->nout; o++)
        for (int i = 0; n->out[o] && i < n->out[o]->nuse; i++)
            if (node_out(n->out[o]->use[i], 0) &&
                n->out[o]->use[i]->out[0]->is_output &&
                (n->out[o]->nuse > 1 || n->nout > 1))
                return false;
    return true;
}

bool quantize_moves(Graph *g)
{
    bool any = false, skip;
    const PassOptions none = { .bisect = -1 };

    for (Node *n = g->last, *prev; n; n = prev) {
        prev = n->prev;
        if (may_raise(n) && raise_quantize(g, n)) {
            any = true;
            prev = g->last;
        }
    }
    for EACH_NODE_SAFE(n, g)
        if (sink_dequantize(g, n))
            any = true;
    pass_dce(g, &none, &skip);
    return any;
}
