/* ffn.c - see ffn.h. */
#include "ffn.h"

#include <string.h>

enum { MAX_TAIL = 16 };         /* elementwise ops behind the last product */

static bool is_constant(const Value *v)
{
    return value_is_const(v) ||
           (v && v->def && v->def->op == OP_DequantizeLinear &&
            value_is_const(v->def->in[0]));
}

static int64_t last_dim(const Value *v)
{
    return v->type.rank ? v->type.dim[v->type.rank - 1] : 1;
}

/* A product by a constant matrix: operand, and its axes for the input's
 * and the output's features. */
static bool is_product(const Node *n, int *w, int *in_axis, int *out_axis)
{
    bool trans;

    switch (n->op) {
    case OP_MatMul: *w = 1, trans = false; break;
    case OP_Gemm:
        *w = 1, trans = ATTRS(gemm, n)->transB != 0;
        if (ATTRS(gemm, n)->transA)
            return false;
        break;
    case OP_FusedMatMul:
        *w = 1, trans = ATTRS(fusedmatmul, n)->transB != 0;
        if (ATTRS(fusedmatmul, n)->transA)
            return false;
        break;
    case OP_QLinearMatMul: *w = 3, trans = false; break;
    case OP_QMatMul: *w = 1, trans = ATTRS(qmatmul, n)->transB != 0; break;
    default: return false;
    }
    *in_axis = trans ? 1 : 0;
    *out_axis = trans ? 0 : 1;
    return n->nin > *w && is_constant(n->in[*w]) &&
           n->in[*w]->type.rank == 2 && !is_constant(n->in[0]);
}

bool product_axes(const Node *n, ProductAxes *p)
{
    return is_product(n, &p->operand, &p->in, &p->out);
}

typedef struct Walk {
    Arena *arena;
    Ffn *f;
} Walk;

static void add_cut(Walk *w, Node *n, int in, int axis)
{
    Cut c = { n, in, axis };

    PUSH(w->arena, w->f->cut, w->f->ncut, w->f->capcut, c);
}

static bool seen(const Ffn *f, const Node *n)
{
    for (int i = 0; i < f->nnode; i++)
        if (f->node[i] == n)
            return true;
    return false;
}

/* Operand `in` of n is cut along `axis`; behind a DequantizeLinear it is the
 * codes that are, and what goes with them. */
static bool cut_constant(Walk *w, Node *n, int in, int axis)
{
    Node *dq = n->in[in]->data ? NULL : n->in[in]->def;
    const Attr_quantize *a;
    int64_t own;

    if (!dq) {
        add_cut(w, n, in, axis);
        return true;
    }
    a = ATTRS(quantize, dq);
    own = a->axis < 0 ? a->axis + dq->in[0]->type.rank : a->axis;
    if (n->in[in]->nuse != 1 || seen(w->f, dq))
        return false;
    PUSH(w->arena, w->f->node, w->f->nnode, w->f->capnode, dq);
    add_cut(w, dq, 0, axis);
    for (int k = 1; k < dq->nin; k++)
        if (dq->in[k] && dq->in[k]->type.rank == 1 && own == axis &&
            !a->block_size)
            add_cut(w, dq, k, 0);
        else if (dq->in[k] && dq->in[k]->type.rank > 1)
            add_cut(w, dq, k, axis);
    return true;
}

/* Per-column operands of a product from operand `from` on. */
static void cut_columns(Walk *w, Node *n, int from)
{
    for (int i = from; i < n->nin; i++)
        if (value_is_const(n->in[i]) && n->in[i]->type.rank > 0 &&
            last_dim(n->in[i]) == w->f->hidden)
            add_cut(w, n, i, n->in[i]->type.rank - 1);
        else if (value_is_const(n->in[i]) && n->in[i]->type.rank == 2 &&
                 n->in[i]->type.dim[0] == w->f->hidden)
            add_cut(w, n, i, 0);
}

static bool visit(Walk *w, Value *v);

static bool visit_product(Walk *w, Node *n, int wi, int in_axis, int out_axis)
{
    const Type *t = &n->in[wi]->type;

    if (t->dim[out_axis] != w->f->hidden ||
        t->dim[in_axis] != w->f->features || !cut_constant(w, n, wi, out_axis))
        return false;
    cut_columns(w, n, n->op == OP_QLinearMatMul ? 4 : 2);
    PUSH(w->arena, w->f->node, w->f->nnode, w->f->capnode, n);
    return true;
}

static bool visit_map(Walk *w, Node *n)
{
    for (int i = 0; i < n->nin; i++) {
        Value *v = n->in[i];
        if (!v || (value_is_const(v) && last_dim(v) != w->f->hidden))
            continue;
        if (value_is_const(v))
            add_cut(w, n, i, v->type.rank - 1);
        else if (!visit(w, v))
            return false;
    }
    PUSH(w->arena, w->f->node, w->f->nnode, w->f->capnode, n);
    return true;
}

/* A view that keeps the hidden axis last: a Reshape may name its length. */
static bool visit_view(Walk *w, Node *n)
{
    const Value *shape = n->op == OP_Reshape ? n->in[1] : NULL;

    if (last_dim(n->in[0]) != w->f->hidden || !visit(w, n->in[0]))
        return false;
    if (shape && !value_is_const(shape))
        return false;
    if (shape && elem_get_int(shape->type.dt, shape->data,
                              type_elems(&shape->type) - 1) == w->f->hidden)
        add_cut(w, n, 1, CUT_LENGTH);
    PUSH(w->arena, w->f->node, w->f->nnode, w->f->capnode, n);
    return true;
}

/* Elementwise on codes, whatever its operands are called. */
static bool is_map(const Node *n)
{
    return op_has(n->op, T_MAP) || n->op == OP_QLookup || n->op == OP_QMul ||
           n->op == OP_QAdd || n->op == OP_QRequantize;
}

static bool visit(Walk *w, Value *v)
{
    Node *n = v->def;
    int wi, in_axis, out_axis;

    if (!n || v->is_output || last_dim(v) != w->f->hidden)
        return false;
    if (seen(w->f, n))
        return true;
    if (is_product(n, &wi, &in_axis, &out_axis))
        return visit_product(w, n, wi, in_axis, out_axis);
    if (op_has(n->op, T_VIEW) && n->out[0]->type.rank > 0)
        return visit_view(w, n);
    return is_map(n) && visit_map(w, n);
}

/* Nobody but the layer itself reads what it computes. */
static bool is_private(const Ffn *f)
{
    for (int i = 0; i < f->nnode; i++)
        for (int k = 0; k < f->node[i]->nout; k++) {
            const Value *v = f->node[i]->out[k];
            for (int u = 0; v && u < v->nuse; u++)
                if (v->use[u] != f->down && !seen(f, v->use[u]))
                    return false;
        }
    return true;
}

Value *peel(Value *v)
{
    while (v->def && (v->def->op == OP_QuantizeLinear ||
                      v->def->op == OP_DequantizeLinear ||
                      v->def->op == OP_Identity ||
                      v->def->op == OP_QRequantize ||
                      op_has(v->def->op, T_VIEW)))
        v = v->def->in[0];
    return v;
}

/* Is `from` among what v is computed from? Backwards over the schedule,
 * marking makers. */
static bool comes_from(const Value *v, const Value *from, Arena *arena)
{
    bool *needed;

    if (v == from || !v->def)
        return v == from;
    graph_number(v->def->graph);
    needed = NEW_ARRAY(arena, bool, v->def->index + 1);
    needed[v->def->index] = true;
    for (const Node *n = v->def; n; n = n->prev)
        for (int i = 0; needed[n->index] && i < n->nin; i++) {
            if (n->in[i] == from)
                return true;
            if (n->in[i] && n->in[i]->def)
                needed[n->in[i]->def->index] = true;
        }
    return false;
}

static bool is_sum(const Node *n)
{
    return n->op == OP_Add || n->op == OP_QAdd;
}

Value *residual_stream(const Node *add)
{
    if (!add || !is_sum(add))
        return NULL;
    for (int k = 0; k < 2; k++) {
        Value *side = add->in[k], *other = add->in[1 - k];
        Arena *arena = arena_child(add->graph->arena);
        bool from = !value_is_const(side) && !value_is_const(other) &&
                    type_same_shape(&side->type, &other->type) &&
                    comes_from(other, peel(side), arena);
        arena_free(arena);
        if (from)
            return side;
    }
    return NULL;
}

/* The residual sum that takes v in, behind biases, activations and
 * quantization; its stream is older than v. */
static Node *sum_of(const Value *v, int depth)
{
    for (int i = 0; i < v->nuse && depth < MAX_TAIL && !v->is_output; i++) {
        Node *n = v->use[i], *found;
        Value *stream = residual_stream(n);
        Arena *arena = arena_child(n->graph->arena);
        bool older = stream && !comes_from(stream, v, arena);
        arena_free(arena);
        if (older)
            return n;
        if (!is_map(n) && !op_has(n->op, T_VIEW))
            continue;
        found = sum_of(n->out[0], depth + 1);
        if (found)
            return found;
    }
    return NULL;
}

static bool find(Node *down, Arena *arena, Ffn *f)
{
    Walk w = { .arena = arena, .f = f };
    int wi, in_axis, out_axis;
    const Type *t;

    memset(f, 0, sizeof *f);
    if (!is_product(down, &wi, &in_axis, &out_axis))
        return false;
    t = &down->in[wi]->type;
    f->down = down;
    f->hidden = t->dim[in_axis];
    f->features = t->dim[out_axis];
    if (f->hidden < 2 || (down->op == OP_QMatMul &&
                          down->in[2]->type.rank == 2) ||
        !visit(&w, down->in[0]) ||
        !cut_constant(&w, down, wi, in_axis) || !is_private(f))
        return false;
    f->add = sum_of(down->out[0], 0);
    if (!f->add)
        return false;
    f->stream = residual_stream(f->add);
    return true;
}

void ffns_find(Graph *g, Arena *arena, Ffns *out)
{
    for EACH_NODE(n, g) {
        Ffn f;
        if (find(n, arena, &f))
            PUSH(arena, out->layer, out->n, out->cap, f);
    }
}
