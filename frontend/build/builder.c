/* builder.c - the nodes that expansions make. Named after the node that is
 * being expanded; inferred and folded at once like any other. */
#include "build.h"

#include <string.h>

Node *b_node(Build *b, Op op, int nin, Value **in, int nout)
{
    const char *base = b->draft ? b->draft->name : "";
    const char *name = arena_printf(b->g->arena, "%s%s%s", base,
                                    *base ? "/" : "", op_name(op));

    return node_new(b->g, op, name, nin, in, nout);
}

void b_end_all(Build *b, Node *n, Value **out)
{
    if (!b->failed && !node_finish(b, n, out))
        b->failed = true;
    if (b->failed)
        for (int i = 0; i < n->nout; i++)
            out[i] = b->poison;
}

Value *b_end(Build *b, Node *n)
{
    Value *out[4];

    b_end_all(b, n, out);
    return out[0];
}

Value *b_declared(Build *b, const Draft *d, Node *n)
{
    if (d->nout > 0 && type_known(&d->declared[0]))
        n->out[0]->type = d->declared[0];
    return b_end(b, n);
}

Node *b_attrs_node(Build *b, Draft *d, Op op, int nin, Value **in)
{
    Node *n;

    while (nin > 0 && !in[nin - 1])
        nin--;
    n = b_node(b, op, nin, in, 1);
    if (!b->failed && !attrs_fill(b, d, n))
        b->failed = true;
    d->nattr = 0;
    return n;
}

Value *b_attrs(Build *b, Draft *d, Op op, int nin, Value **in)
{
    return b_end(b, b_attrs_node(b, d, op, nin, in));
}

Value *b_op1(Build *b, Op op, Value *x)
{
    return b_end(b, b_node(b, op, 1, &x, 1));
}

Value *b_op2(Build *b, Op op, Value *x, Value *y)
{
    Value *in[] = { x, y };

    return b_end(b, b_node(b, op, 2, in, 1));
}

Value *b_op3(Build *b, Op op, Value *x, Value *y, Value *z)
{
    Value *in[] = { x, y, z };

    return b_end(b, b_node(b, op, 3, in, 1));
}

static const char *const_hint(const Build *b)
{
    return b->draft ? arena_printf(b->g->arena, "%s/const", b->draft->name)
                    : "const";
}

Value *b_ints(Build *b, int n, const int64_t *v)
{
    return graph_const_ints(b->g, const_hint(b), n, v);
}

Value *b_int(Build *b, int64_t v)
{
    return b_ints(b, 1, &v);
}

Value *b_scalar(Build *b, DType dt, double x)
{
    return graph_const_scalar(b->g, const_hint(b), dt, x);
}

Value *b_like(Build *b, Value *x, double c)
{
    return b_scalar(b, x->type.dt, c);
}

Value *b_cast(Build *b, Value *x, DType to)
{
    Node *n;

    if (x->type.dt == to)
        return x;
    n = b_node(b, OP_Cast, 1, &x, 1);
    ATTRS(cast, n)->to = to;
    return b_end(b, n);
}

Value *b_reshape(Build *b, Value *x, int rank, const int64_t *dim)
{
    Value *in[2];
    Node *n;

    if (x->type.rank == rank &&
        !memcmp(x->type.dim, dim, (size_t)rank * sizeof *dim))
        return x;
    in[0] = x;
    in[1] = b_ints(b, rank, dim);
    n = b_node(b, OP_Reshape, 2, in, 1);
    ATTRS(reshape, n)->allowzero = 1;   /* dim is complete */
    return b_end(b, n);
}

Value *b_transpose(Build *b, Value *x, const int64_t *perm)
{
    Node *n = b_node(b, OP_Transpose, 1, &x, 1);
    Ints *p = &ATTRS(transpose, n)->perm;

    p->n = x->type.rank;
    p->v = arena_memdup(b->g->arena, perm, (size_t)p->n * sizeof *perm);
    return b_end(b, n);
}

Value *b_slice(Build *b, Value *x, int axis, int64_t from, int64_t to)
{
    Value *in[] = { x, b_int(b, from), b_int(b, to), b_int(b, axis) };

    return b_end(b, b_node(b, OP_Slice, 4, in, 1));
}

Value *b_concat(Build *b, int axis, int n, Value **v)
{
    Node *c;

    if (n == 1)
        return v[0];
    c = b_node(b, OP_Concat, n, v, 1);
    ATTRS(concat, c)->axis = axis;
    return b_end(b, c);
}

Value *b_reduce(Build *b, Op op, Value *x, int n, const int64_t *axes,
                bool keep)
{
    Value *in[] = { x, n < 0 ? NULL : b_ints(b, n, axes) };
    Node *r = b_node(b, op, n < 0 ? 1 : 2, in, 1);

    ATTRS(reduce, r)->keepdims = keep;
    return b_end(b, r);
}
