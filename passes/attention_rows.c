/* attention_rows.c - Attention on [batch, token, head * size].
 *
 * Exporters transpose queries, keys and values to [batch, head, token, size]
 * and the result back. Attention reads heads as columns of rows just as well:
 * four transposed copies go, and what makes the operands stays row by row,
 * which is what streaming is about.
 */
#include "edit.h"

static bool swaps_heads(const Node *n)
{
    static const int64_t swap[] = { 0, 2, 1, 3 };
    const Ints *p = &ATTRS(transpose, n)->perm;

    for (int i = 0; i < 4; i++)
        if (p->n != 4 || p->v[i] != swap[i])
            return false;
    return true;
}

/* The value [B, T, H, d] that v = [B, H, T, d] is a transpose of. */
static Value *transposed(const Value *v)
{
    Node *n = v && v->type.rank == 4 ? maker(v, OP_Transpose) : NULL;

    return n && swaps_heads(n) ? n->in[0] : NULL;
}

static Type as_rows(const Type *t)
{
    return (Type){ t->dt, 3, { t->dim[0], t->dim[1], t->dim[2] * t->dim[3] } };
}

/* v = [B, T, H, d] as [B, T, H * d]: what it was reshaped from, if that. */
static Value *rows_of(Graph *g, Node *before, Value *v)
{
    Type t = as_rows(&v->type);
    Node *from = maker(v, OP_Reshape);
    Value *in[2] = { v, NULL };

    if (from && type_equal(&from->in[0]->type, &t))
        return from->in[0];
    in[1] = graph_const_ints(g, "shape", 3, t.dim);
    return insert_op(g, before, OP_Reshape, v->name, 2, in, t)->out[0];
}

/* The node that transposes the result back, or NULL. */
static Node *back(const Node *n)
{
    Node *t = n->out[0] ? only_reader(n->out[0], OP_Transpose) : NULL;

    return t && swaps_heads(t) ? t : NULL;
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

/* The result in rows, seen as [B, T, H, d], replaces the transposed one. */
static void rewrite(Graph *g, Node *n)
{
    Node *t = back(n), *view;
    Value *in[2] = { n->out[0], NULL };
    int64_t heads = n->in[0]->type.dim[1], kv_heads = n->in[1]->type.dim[1];

    for (int i = 0; i < 3; i++)
        node_set_input(n, i, rows_of(g, n, transposed(n->in[i])));
    set_heads(n, heads, kv_heads);
    n->out[0]->type = as_rows(&t->out[0]->type);
    in[1] = graph_const_ints(g, "shape", 4, t->out[0]->type.dim);
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
