/* attention_rows.c - Attention on [batch, token, head * size].
 *
 * Exporters transpose queries, keys and values to [batch, head, token, size]
 * and the result back. Attention reads heads as columns of rows just as well:
 * four transposed copies go, and what makes the operands stays row by row,
 * which is what streaming is about.
 */
#include "edit.h"

static bool is_view(const Node *n)
{
    return n && op_has(n->op, T_VIEW) && n->op != OP_BitCast;
}

/* Axes of t of more than one element. */
static int wide_axes(const Type *t, int *axis)
{
    int n = 0;

    for (int i = 0; i < t->rank; i++)
        if (t->dim[i] != 1)
            axis[n++] = i;
    return n;
}

/* Does n put the heads of [B, T, H, d] before the tokens (or back), where
 * `seen` is its result, or its operand, as [B, H, T, d]? Axes of one element
 * may be anywhere. */
static bool swaps_heads(const Node *n, const Type *seen, bool result)
{
    static const int swap[] = { 0, 2, 1, 3 };
    const Ints *p = &ATTRS(transpose, n)->perm;
    const Type *x = &n->in[0]->type, *y = &n->out[0]->type;
    const Type *own = result ? y : x, *other = result ? x : y;
    int wide[MAX_RANK], from[MAX_RANK], mine[MAX_RANK];
    int count = wide_axes(seen, wide), k = 0;

    if (seen->rank != 4 || wide_axes(own, mine) != count)
        return false;
    for (int i = 0; i < count; i++)
        if (own->dim[mine[i]] != seen->dim[wide[i]])
            return false;
    wide_axes(other, from);
    for (int i = 0; i < 4; i++) {
        int a = swap[i], own_axis, there;
        if (seen->dim[a] == 1)
            continue;
        for (own_axis = 0; wide[own_axis] != a; own_axis++)
            ;
        own_axis = mine[own_axis];
        there = from[k++];      /* the k-th of the other side is this one? */
        if (result ? (int)(p->n ? p->v[own_axis] : x->rank - 1 - own_axis) !=
                         there
                   : (int)(p->n ? p->v[there] : x->rank - 1 - there) !=
                         own_axis)
            return false;
    }
    return true;
}

/* What v = [B, H, T, d] is a transpose of: [B, T, H, d], or the same elements
 * in another shape. */
static Value *transposed(const Value *v)
{
    const Value *x = v;

    if (!v || v->type.rank != 4)
        return NULL;
    while (is_view(x->def))
        x = x->def->in[0];
    return maker(x, OP_Transpose) && swaps_heads(x->def, &v->type, true)
               ? x->def->in[0] : NULL;
}

/* v = [B, H, T, d] with its heads as columns */
static Type as_rows(const Type *t)
{
    return (Type){ t->dt, 3, { t->dim[0], t->dim[2], t->dim[1] * t->dim[3] } };
}

/* v in shape t: what it was reshaped from, if that. */
static Value *rows_of(Graph *g, Node *before, Value *v, Type t)
{
    Value *in[2] = { v, NULL };
    Node *n;

    while (!type_equal(&in[0]->type, &t) && is_view(in[0]->def))
        in[0] = in[0]->def->in[0];
    if (type_equal(&in[0]->type, &t))
        return in[0];
    in[1] = graph_const_ints(g, "shape", 3, t.dim);
    n = insert_op(g, before, OP_Reshape, v->name, 2, in, t);
    n->out[0]->quant = v->quant;
    return n->out[0];
}

/* The node that transposes the result back, or NULL. */
static Node *back(const Node *n)
{
    const Value *v = n->out[0];

    while (v && only_use(v) && is_view(v->use[0]))
        v = v->use[0]->out[0];
    return v && only_reader(v, OP_Transpose) &&
                   swaps_heads(v->use[0], &n->out[0]->type, false)
               ? v->use[0] : NULL;
}

static bool fits(const Node *n)
{
    for (int i = 0; i < 3; i++)
        if (!transposed(n->in[i]))
            return false;
    for (int i = 4; i < n->nin; i++)
        if (n->in[i])
            return false;
    for (int o = 1; o < n->nout; o++)
        if (n->out[o])
            return false;
    return n->out[0]->type.rank == 4 && back(n);
}

static void set_heads(Node *n, int64_t heads, int64_t kv_heads)
{
    if (n->op == OP_Attention) {
        ATTRS(attention, n)->q_num_heads = heads;
        ATTRS(attention, n)->kv_num_heads = kv_heads;
    } else {
        ATTRS(qattention, n)->q_num_heads = heads;
        ATTRS(qattention, n)->kv_num_heads = kv_heads;
    }
}

/* The result in rows, seen as what was transposed back, replaces it. */
static void rewrite(Graph *g, Node *n)
{
    Node *t = back(n), *view;
    Value *in[2] = { n->out[0], NULL };
    int64_t heads = n->in[0]->type.dim[1], kv_heads = n->in[1]->type.dim[1];

    for (int i = 0; i < 3; i++)
        node_set_input(n, i, rows_of(g, n, transposed(n->in[i]),
                                     as_rows(&n->in[i]->type)));
    set_heads(n, heads, kv_heads);
    n->out[0]->type = as_rows(&n->out[0]->type);
    in[1] = graph_const_ints(g, "shape", t->out[0]->type.rank,
                             t->out[0]->type.dim);
    view = insert_op(g, t, OP_Reshape, t->name, 2, in, t->out[0]->type);
    take_result(g, view, t);
    for (int u = 0; u < view->out[0]->nuse; u++) {
        Node *r = view->out[0]->use[u];
        if (r->op == OP_Reshape &&
            type_equal(&r->out[0]->type, &n->out[0]->type) &&
            bypass(g, r, n->out[0]))
            u = -1;
    }
}

bool pass_attention_rows(Graph *g, const PassOptions *opt, bool *changed)
{
    bool skip;

    for EACH_NODE(n, g)
        if ((n->op == OP_Attention || n->op == OP_QAttention) && fits(n)) {
            rewrite(g, n);
            *changed = true;
        }
    return !*changed || pass_dce(g, opt, &skip);
}
