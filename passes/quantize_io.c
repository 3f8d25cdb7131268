/* quantize_io.c - what crosses the boundary of a quantized model (--io).
 *
 * quantized: codes. A QuantizeLinear right behind an input and a
 *   DequantizeLinear right before an output are the caller's business. A
 *   model that ends in a function of known range gets the grid of that range.
 * float: an input or output that is codes on a known grid becomes float.
 * declared: as the model says.
 */
#include <string.h>

#include "../ir/ops/quant.h"
#include "quantize.h"

static Node *put_quantizer(Graph *g, Node *at, Op op, const Grid *grid,
                           Value *x, const char *name)
{
    float *scale = NEW_ARRAY(g->arena, float, 1);
    Value *in[3] = { x, NULL, NULL };
    Node *n;

    *scale = (float)grid->scale;
    in[1] = graph_const(g, "scale", type_scalar(DT_F32), scale);
    in[2] = graph_const_scalar(g, "zero_point", grid->dt, (double)grid->zp);
    n = node_new(g, op, name, 3, in, 1);
    n->out[0]->type = x->type;
    n->out[0]->type.dt = op == OP_QuantizeLinear ? grid->dt : DT_F32;
    graph_insert(g, at, n);
    return n;
}

/* Functions whose results fill a known interval. */
static bool natural_grid(const Node *n, DType dt, Grid *grid)
{
    bool tanh = n->op == OP_Tanh;

    if (n->op != OP_Softmax && n->op != OP_Sigmoid &&
        n->op != OP_HardSigmoid && !tanh)
        return false;
    *grid = (Grid){ tanh ? 1.0 / 128 : 1.0 / 256, 0, dt };
    if (!tanh && dt == DT_I8)
        grid->zp = -128;
    if (tanh && dt == DT_U8)
        grid->zp = 128;
    return true;
}

/* y = f(DQ(x)) is an output: Q and DQ on f's own grid behind it. */
static void quantize_tail(Graph *g, Value *y)
{
    Node *n = y->def, *q, *dq;
    Value *inner;
    Grid x, grid;

    if (!n || !n->nin || y->nuse || !codes_of(n->in[0], &x) ||
        (x.dt != DT_I8 && x.dt != DT_U8) || !natural_grid(n, x.dt, &grid))
        return;
    inner = graph_value(g, y->name, y->type);
    node_set_output(n, y->def_index, inner);
    q = put_quantizer(g, n->next, OP_QuantizeLinear, &grid, inner, n->name);
    dq = put_quantizer(g, q->next, OP_DequantizeLinear, &grid, q->out[0],
                       n->name);
    node_set_output(dq, 0, y);
}

static bool is_state(const Graph *g, const Value *v)
{
    for (const State *s = g->state; s; s = s->next)
        if (s->in == v || s->out == v)
            return true;
    return false;
}

/* Every reader of v is an `op` on one grid: one of them. */
static Node *one_reader(const Value *v, Op op, Grid *grid)
{
    Grid other;

    for (int i = 0; i < v->nuse; i++)
        if (v->use[i]->op != op || v->use[i]->in[0] != v ||
            !grid_of(v->use[i], i ? &other : grid) ||
            (i && !grid_equal(grid, &other)))
            return NULL;
    return v->nuse ? v->use[0] : NULL;
}

/* x, an input of codes that only DQ reads, as a float input of that name. */
static void input_as_float(Graph *g, int k)
{
    Value *codes = g->in[k], *x;
    const char *name = codes->name;
    Grid grid;
    Node *q;

    if (codes->is_output || is_state(g, codes) ||
        dtype_kind(codes->type.dt) == DK_FLOAT ||
        !one_reader(codes, OP_DequantizeLinear, &grid))
        return;
    x = graph_value(g, name, codes->type);
    x->type.dt = DT_F32;
    codes->name = x->name;
    x->name = name;
    g->in[k] = x;
    x->is_input = true;
    codes->is_input = false;
    codes->quant = NULL;
    q = put_quantizer(g, g->first, OP_QuantizeLinear, &grid, x, name);
    node_set_output(q, 0, codes);
}

static void output_as_float(Graph *g, int k)
{
    Value *codes = g->out[k], *y;
    Node *q = maker(codes, OP_QuantizeLinear), *dq;
    const char *name = codes->name;
    Grid grid;

    if (!q || !grid_of(q, &grid) || is_state(g, codes))
        return;
    dq = put_quantizer(g, q->next, OP_DequantizeLinear, &grid, codes, name);
    y = dq->out[0];
    codes->name = y->name;
    y->name = name;
    y->label = codes->label;
    codes->label = NULL;
    codes->quant = NULL;
    codes->is_output = false;
    y->is_output = true;
    g->out[k] = y;
}

/* What codes at the boundary stand for, where their one reader or their maker
 * says so: QLinearConv and its kin do once they are taken apart. */
void quantize_note_ends(Graph *g)
{
    Grid grid;

    for (int i = 0; i < g->nin; i++) {
        Value *v = g->in[i];
        if (!v->quant && one_reader(v, OP_DequantizeLinear, &grid) &&
            dtype_is_int(v->type.dt))
            v->quant = quant_new(g->arena, (float)grid.scale, (int)grid.zp);
    }
    for (int i = 0; i < g->nout; i++) {
        Value *v = g->out[i];
        const Node *q = maker(v, OP_QuantizeLinear);
        if (q && !v->quant && grid_of(q, &grid))
            v->quant = quant_new(g->arena, (float)grid.scale, (int)grid.zp);
    }
}

void quantize_ends(Graph *g, const PassOptions *opt)
{
    for (int i = 0; i < g->nout; i++)
        if (opt->io == IO_QUANTIZED)
            quantize_tail(g, g->out[i]);
        else if (opt->io == IO_FLOAT)
            output_as_float(g, i);
    for (int i = 0; i < g->nin && opt->io == IO_FLOAT; i++)
        input_as_float(g, i);
}

/* x float, read by Q alone: x itself may become the codes. */
static bool can_be_codes(const Value *x)
{
    Grid grid;

    if (x->is_output || !one_reader(x, OP_QuantizeLinear, &grid))
        return false;
    for (int i = 0; i < x->nuse; i++)
        if (x->use[i]->out[0]->is_output)
            return false;
    return true;
}

static void input_as_codes(Graph *g, Value *x)
{
    Grid grid;
    Node *q = one_reader(x, OP_QuantizeLinear, &grid);

    while (x->nuse) {
        q = x->use[0];
        value_replace(g, q->out[0], x);
        graph_remove(g, q);
        if (x->nuse && x->use[0]->op != OP_QuantizeLinear)
            break;
    }
    x->type.dt = grid.dt;
    x->quant = quant_new(g->arena, (float)grid.scale, (int)grid.zp);
}

/* y = DQ(codes), read by nobody: the codes that y may become, or NULL. */
static Value *output_codes(const Value *y)
{
    Value *codes;
    Grid grid;

    if (!maker(y, OP_DequantizeLinear) || y->nuse ||
        !(codes = codes_of(y, &grid)) || !codes->def || codes->is_output)
        return NULL;
    return codes;
}

static void output_as_codes(Graph *g, Value *y)
{
    Grid grid;
    Value *codes = codes_of(y, &grid);
    Node *def = codes->def;
    int slot = codes->def_index;

    graph_remove(g, y->def);
    value_replace(g, codes, y);
    node_set_output(def, slot, y);
    y->type.dt = grid.dt;
    y->quant = quant_new(g->arena, (float)grid.scale, (int)grid.zp);
}

/* A buffer that persists: floats that are codes on one grid on either side
 * become the codes. A cleared buffer is zeros, which 0 must stand for. */
static bool state_is_codes(const State *s)
{
    Grid a, b;

    return dtype_is_float(s->in->type.dt) && s->in != s->out &&
           one_reader(s->in, OP_QuantizeLinear, &a) &&
           codes_of(s->out, &b) && grid_equal(&a, &b) && a.zp == 0;
}

static void states_as_codes(Graph *g)
{
    for (State *s = g->state; s; s = s->next) {
        if (!state_is_codes(s) || !can_be_codes(s->in) ||
            !output_codes(s->out))
            continue;
        input_as_codes(g, s->in);
        output_as_codes(g, s->out);
        s->data = NULL;
    }
}

void quantize_boundary(Graph *g, const PassOptions *opt)
{
    states_as_codes(g);
    if (opt->io != IO_QUANTIZED)
        return;
    for (int i = 0; i < g->nin; i++)
        if (!is_state(g, g->in[i]) && can_be_codes(g->in[i]))
            input_as_codes(g, g->in[i]);
    for (int i = 0; i < g->nout; i++)
        if (!is_state(g, g->out[i]) && output_codes(g->out[i]))
            output_as_codes(g, g->out[i]);
}
