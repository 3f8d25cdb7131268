/* quantize_layout.c - channels last, and no transpose that can be avoided.
 *
 * Integer convolutions and pools want [N, H, W, C]; each was made with a
 * transpose before and behind it. Transposes sink (quantize_sink.c); what is
 * left before a convolution is read as it lies (planar), what is left
 * before a matrix product goes into the order of its weights.
 */
#include <string.h>

#include "quantize_layout.h"

Perm perm_of(const Node *t)
{
    const Ints *p = &ATTRS(transpose, t)->perm;
    Perm out = { t->in[0]->type.rank, { 0 } };

    for (int i = 0; i < out.rank; i++)
        out.v[i] = p->n ? p->v[i] : out.rank - 1 - i;
    return out;
}

bool perm_equal(const Perm *a, const Perm *b)
{
    return a->rank == b->rank &&
           !memcmp(a->v, b->v, (size_t)a->rank * sizeof *a->v);
}

Perm perm_inverse(const Perm *p)
{
    Perm q = { p->rank, { 0 } };

    for (int i = 0; i < p->rank; i++)
        q.v[p->v[i]] = i;
    return q;
}

Node *put_transpose(Graph *g, Node *at, Value *x, const Perm *p)
{
    Type t = x->type;
    Node *n;

    for (int i = 0; i < p->rank; i++)
        t.dim[i] = x->type.dim[p->v[i]];
    n = insert_op(g, at, OP_Transpose, at->name, 1, &x, t);
    set_ints(g, n, "perm", p->rank, p->v);
    return n;
}

Node *put_reshape(Graph *g, Node *at, Value *x, int rank, const int64_t *dim)
{
    Type t = { x->type.dt, rank, { 0 } };
    Value *in[2] = { x, graph_const_ints(g, "shape", rank, dim) };
    Node *n;

    memcpy(t.dim, dim, (size_t)rank * sizeof *dim);
    n = insert_op(g, at, OP_Reshape, at->name, 2, in, t);
    ATTRS(reshape, n)->allowzero = 1;
    return n;
}

Value *to_channels_last(Graph *g, Node *at, Value *x)
{
    const Perm image = { 4, { 0, 2, 3, 1 } }, line = { 3, { 0, 2, 1 } };
    const int64_t *d = x->type.dim;
    int64_t dim[4] = { d[0], 1, d[2], d[1] };

    if (x->type.rank == 4)
        return put_transpose(g, at, x, &image)->out[0];
    x = put_transpose(g, at, x, &line)->out[0];
    return put_reshape(g, at, x, 4, dim)->out[0];
}

Node *from_channels_last(Graph *g, Node *at, Value *y, int rank)
{
    const Perm image = { 4, { 0, 3, 1, 2 } }, line = { 3, { 0, 2, 1 } };
    int64_t dim[3] = { y->type.dim[0], y->type.dim[2], y->type.dim[3] };

    if (rank == 4)
        return put_transpose(g, at, y, &image);
    y = put_reshape(g, at, y, 3, dim)->out[0];
    return put_transpose(g, at, y, &line);
}

/* The axes of t's result [N, H, W, C] lie in memory as N, C, H, W did; those
 * of extent 1 are anywhere. */
static bool is_planar(const Node *t)
{
    static const int64_t planar[] = { 0, 3, 1, 2 };
    const Type *y = &t->out[0]->type;
    Perm p = perm_of(t), inv = perm_inverse(&p);
    int at = 0;

    if (y->rank != 4)
        return false;
    for (int i = 0; i < 4; i++) {       /* axes of t's operand, in order */
        int64_t axis = inv.v[i];
        if (y->dim[axis] == 1)
            continue;
        while (y->dim[planar[at]] == 1)
            at++;
        if (planar[at++] != axis)
            return false;
    }
    return true;
}

/* A convolution reads a planar image as it lies. */
static bool read_planar(Graph *g, Node *n)
{
    Node *t = n->op == OP_QConv ? maker(n->in[0], OP_Transpose) : NULL;
    Site s = { .g = g };
    Value *x = n->nin ? n->in[0] : NULL;
    int64_t dim[4];
    Type y;

    if (!t || ATTRS(qconv, n)->planar || !is_planar(t))
        return false;
    y = n->out[0]->type;
    dim[0] = x->type.dim[0];
    dim[1] = x->type.dim[3];
    dim[2] = x->type.dim[1];
    dim[3] = x->type.dim[2];
    node_set_input(n, 0, put_reshape(g, n, t->in[0], 4, dim)->out[0]);
    ATTRS(qconv, n)->planar = 1;
    if (site_infer(&s, n) && type_equal(&y, &n->out[0]->type))
        return true;
    ATTRS(qconv, n)->planar = 0;
    node_set_input(n, 0, x);
    n->out[0]->type = y;
    return false;
}

/* [N, C*H*W] of an image with channels last: the weights change places. */
static bool permute_weights(Graph *g, Node *n)
{
    Node *r = n->op == OP_QMatMul && value_is_const(n->in[1])
                  ? maker(n->in[0], OP_Reshape) : NULL;
    Node *t = r ? maker(r->in[0], OP_Transpose) : NULL;
    const Type *w = &n->in[n->nin > 1]->type;
    int64_t k, rows, *from;
    Type x;
    Perm p;
    void *data;

    if (!t || w->rank != 2 || !ATTRS(qmatmul, n)->transB ||
        (n->in[2]->type.rank == 2 && n->in[2]->type.dim[1] > 1))
        return false;
    x = t->in[0]->type;
    p = perm_of(t);
    k = w->dim[1];
    rows = w->dim[0];
    if (p.v[0] != 0 || type_span(&x, 1, x.rank) != k || x.rank < 3)
        return false;
    from = NEW_ARRAY(g->scratch, int64_t, k);
    for (int64_t i = 0; i < k; i++) {   /* i: place in T's result */
        int64_t rest = i, at = 0;
        for (int a = x.rank - 1; a >= 1; a--) {
            int64_t d = x.dim[p.v[a]];
            at += rest % d * type_span(&x, (int)p.v[a] + 1, x.rank);
            rest /= d;
        }
        from[at] = i;
    }
    data = arena_alloc(g->arena, (size_t)type_bytes(w));
    for (int64_t m = 0; m < rows; m++)
        for (int64_t i = 0; i < k; i++)
            elem_set_int(w->dt, data, m * k + i,
                         elem_get_int(w->dt, n->in[1]->data,
                                      m * k + from[i]));
    node_set_input(n, 1, graph_const(g, n->in[1]->name, *w, data));
    node_set_input(n, 0, put_reshape(g, n, t->in[0], r->out[0]->type.rank,
                                     r->out[0]->type.dim)->out[0]);
    return true;
}

typedef bool Rule(Graph *g, Node *n);

static bool each(Graph *g, Rule *rule)
{
    bool any = false;

    for EACH_NODE_SAFE(n, g)
        any |= rule(g, n);
    return any;
}

void quantize_layout(Graph *g)
{
    const PassOptions none = { .bisect = -1 };
    bool skip, any = true;

    for (int i = 0; any && i < 200; i++) {
        any = transposes_sink(g);
        pass_canon(g, &none, &skip);
        if (!any)
            any = each(g, permute_weights);
    }
    each(g, read_planar);
    pass_canon(g, &none, &skip);
    pass_dce(g, &none, &skip);
}
