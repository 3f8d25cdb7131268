/* quantize_norm.c - Softmax, LayerNormalization, RMSNormalization and
 * Attention between Q and DQ. */
#include <math.h>

#include "quantize.h"

bool convert_softmax(Site *s)
{
    Node *n = s->v->def, *q;
    int rank = n->in[0]->type.rank, axis;
    Grid x;
    Value *codes;

    if (n->op != OP_Softmax)
        return false;
    codes = codes_of(n->in[0], &x);
    if (!codes)
        return site_no(s, "its input '%s' is not quantized",
                       n->in[0]->name);
    if (!node_axis(n, ATTRS(axisneg1, n)->axis, rank, &axis))
        return false;
    for (int i = axis + 1; i < rank; i++)
        if (codes->type.dim[i] != 1)
            return site_no(s, "it runs over axis %d, not the last", axis);
    if (axis != rank - 1) {
        int64_t dim[MAX_RANK];
        for (int i = 0; i < rank; i++)
            dim[i] = codes->type.dim[i];
        codes = put_reshape(s->g, s->q, codes, axis + 1, dim)->out[0];
    }
    q = node_new(s->g, OP_QSoftmax, n->name, 1, &codes, 1);
    set_float(q, "x_scale", x.scale);
    set_result(q, s);
    return site_end(s, q);
}

bool convert_layernorm(Site *s)
{
    Node *n = s->v->def, *q;
    Value *in[3], *codes;
    Grid x;

    if (n->op != OP_LayerNormalization && n->op != OP_RMSNormalization)
        return false;
    codes = codes_of(n->in[0], &x);
    if (!codes)
        return site_no(s, "its input '%s' is not quantized",
                       n->in[0]->name);
    for (int i = 1; i < n->nout; i++)
        if (n->out[i] && (n->out[i]->nuse || n->out[i]->is_output))
            return site_no(s, "its mean or variance is read too");
    in[0] = codes;
    in[1] = n->in[1];
    in[2] = node_in(n, 2);
    q = node_new(s->g, OP_QLayerNorm, n->name, in[2] ? 3 : 2, in, 1);
    set_int(q, "axis", ATTRS(layernorm, n)->axis);
    set_float(q, "epsilon", (double)ATTRS(layernorm, n)->epsilon);
    set_int(q, "rms", n->op == OP_RMSNormalization);
    set_grid(q, "x", &x);
    set_result(q, s);
    return site_end(s, q);
}

static bool plain_attention(Site *s, const Node *n)
{
    const Attr_attention *a = ATTRS(attention, n);

    for (int i = 1; i < n->nout; i++)
        if (n->out[i] && (n->out[i]->nuse || n->out[i]->is_output))
            return site_no(s, "its other results are read too");
    if (a->softcap != 0)
        return site_no(s, "it has a softcap");
    return true;
}

/* Heads side by side, [B, T, H * d]: v is [B, H, T, d], moved there by
 * Transpose(0, 2, 1, 3) of a Reshape. */
static Value *side_by_side(const Value *v)
{
    const Node *t = maker(v, OP_Transpose);
    const Node *r = t ? maker(t->in[0], OP_Reshape) : NULL;
    const Ints *p = t ? &ATTRS(transpose, t)->perm : NULL;
    const Type *x, *y;

    if (!r || p->n != 4 || p->v[0] != 0 || p->v[1] != 2 || p->v[2] != 1)
        return NULL;
    x = &r->in[0]->type;
    y = &r->out[0]->type;
    if (x->rank != 3 || x->dim[0] != y->dim[0] || x->dim[1] != y->dim[1])
        return NULL;
    return r->in[0];
}

/* A past is codes on the grid of what is new. */
static bool past_codes(Site *s, const Node *n, Value **in, const Grid *grid)
{
    for (int i = 4; i < 6; i++) {
        Value *v = node_in(n, i);
        Grid one;
        if (!v)
            continue;
        in[i] = codes_of(v, &one);
        if (!in[i])
            return site_no(s, "its input '%s' is not quantized", v->name);
        if (!grid_equal(&one, &grid[i - 3]))
            return site_no(s, "its past '%s' has another scale than '%s'",
                           v->name, n->in[i - 3]->name);
    }
    return true;
}

static bool end_attention(Site *s, Node *n, Value **in, int nin,
                          const Grid *grid, bool causal)
{
    const Attr_attention *a = ATTRS(attention, n);
    const Type *q = &n->in[0]->type, *k = &n->in[1]->type;
    Value *flat[3] = { NULL };
    int64_t heads = a->q_num_heads, kv_heads = a->kv_num_heads, dim[4];
    Node *m, *t;

    for (int i = 0; i < 3 && q->rank == 4; i++)
        flat[i] = side_by_side(in[i]);
    if (flat[1] && flat[2] && !flat[0] && q->dim[2] == 1)   /* one query */
        flat[0] = put_reshape(s->g, s->q, in[0], 3,
                              (int64_t[]){ q->dim[0], 1,
                                           q->dim[1] * q->dim[3] })->out[0];
    if (flat[0] && flat[1] && flat[2]) {
        heads = q->dim[1];
        kv_heads = k->dim[1];
        for (int i = 0; i < 3; i++)
            in[i] = flat[i];
    }
    m = node_new(s->g, OP_QAttention, n->name, nin, in, 1);
    set_grid(m, "q", &grid[0]);
    set_grid(m, "k", &grid[1]);
    set_grid(m, "v", &grid[2]);
    if (nin > 3 && in[3] && in[3]->type.dt != DT_BOOL &&
        !dtype_is_float(in[3]->type.dt))
        set_grid(m, "mask", &grid[3]);
    set_int(m, "q_num_heads", heads);
    set_int(m, "kv_num_heads", kv_heads);
    set_float(m, "scale", (double)a->scale);
    set_int(m, "is_causal", causal);
    set_int(m, "left_window_size", a->left_window_size);
    set_int(m, "right_window_size", a->right_window_size);
    set_result(m, s);
    if (!flat[0] || !flat[1] || !flat[2])
        return site_end(s, m);
    graph_insert(s->g, s->q, m);
    if (!site_infer(s, m))
        return false;
    dim[0] = s->v->type.dim[0];
    dim[1] = s->v->type.dim[2];
    dim[2] = heads;
    dim[3] = s->v->type.dim[3];
    t = put_reshape(s->g, s->q, m->out[0], 4, dim);
    t = node_new(s->g, OP_Transpose, n->name, 1, &t->out[0], 1);
    set_ints(s->g, t, "perm", 4, (int64_t[]){ 0, 2, 1, 3 });
    return site_end(s, t);
}

bool convert_attention(Site *s)
{
    Node *n = s->v->def;
    Value *in[6] = { NULL }, *codes, *lens;
    Grid grid[4];
    bool causal;

    if (n->op != OP_Attention || s->v != n->out[0])
        return false;
    for (int i = 0; i < 3; i++) {
        in[i] = codes_of(n->in[i], &grid[i]);
        if (!in[i])
            return site_no(s, "its input '%s' is not quantized",
                           n->in[i]->name);
    }
    in[3] = node_in(n, 3);
    if (in[3] && (codes = codes_of(in[3], &grid[3])) && grid_is_byte(&grid[3]))
        in[3] = codes;
    if (!plain_attention(s, n) || !past_codes(s, n, in, grid))
        return false;
    causal = ATTRS(attention, n)->is_causal != 0;
    lens = node_in(n, 6);
    if (lens && !(in[3] = mask_of_lengths(s, n, lens, in[3])))
        return false;
    return end_attention(s, n, in, in[4] || in[5] ? 6 : in[3] ? 4 : 3, grid,
                         causal && !lens);
}
