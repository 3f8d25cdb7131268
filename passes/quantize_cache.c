/* quantize_cache.c - caches of keys and values in a decoder's step.
 *
 * Attention with a past writes past and new keys side by side. That is a
 * Concat, which works on codes, so it becomes one where the past is codes:
 * int8 caches stay int8. The number of keys that count (nonpad_kv_seqlen)
 * becomes a bool mask, which QAttention takes.
 */
#include "quantize.h"

enum { MOST_MASK = 1 << 16 };

/* [B, T, H * d] as [B, H, T, d] */
static Value *heads_apart(Graph *g, Node *at, Value *x, int64_t heads)
{
    const Type *t = &x->type;
    int64_t dim[4] = { t->dim[0], t->dim[1], heads, t->dim[2] / heads };
    Value *r = put_reshape(g, at, x, 4, dim)->out[0];
    Type y = type_make(t->dt, 4, (int64_t[]){ dim[0], heads, dim[1],
                                              dim[3] });
    Node *n = insert_op(g, at, OP_Transpose, x->name, 1, &r, y);

    set_ints(g, n, "perm", 4, (int64_t[]){ 0, 2, 1, 3 });
    return n->out[0];
}

/* Result i of attention n, past and operand i side by side, by Concat. */
static void put_concat(Graph *g, Node *n, int i)
{
    Value *y = n->out[i], *in[2] = { n->in[3 + i], n->in[i] };
    Node *at = n->next, *c;

    node_set_output(n, i, graph_value(g, y->name, y->type));
    if (in[1]->type.rank == 3)
        in[1] = heads_apart(g, at, in[1], in[0]->type.dim[1]);
    c = node_new(g, OP_Concat, n->name, 2, in, 1);
    set_int(c, "axis", 2);
    graph_insert(g, at, c);
    node_set_output(c, 0, y);
}

void quantize_caches(Graph *g)
{
    Grid grid;

    for EACH_NODE(n, g)
        for (int i = 1; n->op == OP_Attention && i <= 2; i++) {
            const Value *y = node_out(n, i);
            if (y && (y->nuse || y->is_output) && node_in(n, 3 + i) &&
                codes_of(n->in[3 + i], &grid))
                put_concat(g, n, i);
        }
}

/* int64[1, 1, queries, keys]: how many keys there must be, less 1, for key j
 * to be seen by query i */
static Value *needed_keys(Graph *g, int64_t queries, int64_t keys)
{
    int64_t *need = NEW_ARRAY(g->arena, int64_t, queries * keys);

    for (int64_t i = 0; i < queries; i++)
        for (int64_t j = 0; j < keys; j++)
            need[i * keys + j] = queries > 1 ? j - i + queries - 1 : j;
    return graph_const(g, "keys",
                       type_make(DT_I64, 4, (int64_t[]){ 1, 1, queries,
                                                         keys }), need);
}

Value *mask_of_lengths(Site *s, Node *n, Value *lens, Value *mask)
{
    const Attr_attention *a = ATTRS(attention, n);
    const Type *q = &n->in[0]->type, *k = &n->in[1]->type;
    int axis = q->rank == 4 ? 2 : 1;
    int64_t queries = a->is_causal ? q->dim[axis] : 1, keys = k->dim[axis];
    int64_t dim[4] = { lens->type.dim[0], 1, 1, 1 };
    Value *in[2];
    Type t;

    if (node_in(n, 4) || a->left_window_size >= 0 ||
        a->right_window_size >= 0 || lens->type.dt != DT_I64 ||
        queries > MOST_MASK / (keys + 1) ||
        (mask && (mask->type.dt != DT_BOOL || mask->type.rank != 4 ||
                  mask->type.dim[3] != keys))) {
        site_no(s, "it has a length of padding and a past, a window or a "
                "mask");
        return NULL;
    }
    t = type_make(DT_BOOL, 4, (int64_t[]){ dim[0], 1, queries, keys });
    in[0] = needed_keys(s->g, queries, keys);
    in[1] = put_reshape(s->g, n, lens, 4, dim)->out[0];
    in[0] = insert_op(s->g, n, OP_Less, n->name, 2, in, t)->out[0];
    if (!mask)
        return in[0];
    in[1] = mask;
    if (!type_broadcast(&in[0]->type, &mask->type, &t))
        return NULL;
    t.dt = DT_BOOL;
    return insert_op(s->g, n, OP_And, n->name, 2, in, t)->out[0];
}
