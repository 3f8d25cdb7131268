/* quantize_pool.c - averages and sums between Q and DQ. */
#include <string.h>

#include "../ir/ops/window.h"
#include "quantize.h"

/* Window attributes of n, an image's or a signal's. */
static bool set_window(Site *s, const Node *n, Node *q)
{
    const Attr_pool *a = ATTRS(pool, n);
    int64_t kernel[2] = { 1, 1 }, stride[2] = { 1, 1 }, step[2] = { 1, 1 };
    int64_t pad[4] = { 0 };
    ConvShape shape;

    if (!pool_shape(n, &shape) || shape.win.rank > 2)
        return site_no(s, "it has %d spatial axes", shape.win.rank);
    for (int i = 0, k = 2 - shape.win.rank; i < shape.win.rank; i++, k++) {
        kernel[k] = shape.win.kernel[i];
        stride[k] = shape.win.stride[i];
        step[k] = shape.win.dilation[i];
        pad[k] = shape.win.pad[i];
        pad[k + 2] = shape.win.pad_end[i];
    }
    set_ints(s->g, q, "kernel_shape", 2, kernel);
    set_ints(s->g, q, "strides", 2, stride);
    set_ints(s->g, q, "dilations", 2, step);
    set_ints(s->g, q, "pads", 4, pad);
    set_int(q, "ceil_mode", a->ceil_mode);
    return true;
}

/* The result of pool `op` of codes; NULL when they are none. */
static Node *pool_of_codes(Site *s, Node *n, Op op, Grid *grid)
{
    Value *x = codes_of(n->in[0], grid);
    Node *q;

    if (!x) {
        site_no(s, "its input is not quantized");
        return NULL;
    }
    q = node_new(s->g, op, n->name, 1, &x, 1);
    if (!set_window(s, n, q))
        return NULL;
    node_set_input(q, 0, to_channels_last(s->g, s->q, x));
    return q;
}

static bool average_pool(Site *s, Node *n)
{
    Grid grid;
    Node *q = pool_of_codes(s, n, OP_QAveragePool, &grid);

    if (!q)
        return false;
    set_int(q, "count_include_pad", ATTRS(pool, n)->count_include_pad);
    set_grid(q, "x", &grid);
    set_result(q, s);
    return site_end_image(s, q);
}

/* Of 16-bit codes; those of 8 bits are movements (quantize_move.c). */
static bool max_pool(Site *s, Node *n)
{
    Grid grid;
    Node *q;

    if (n->nout > 1 && n->out[1])
        return site_no(s, "it gives the places of the maxima, too");
    q = pool_of_codes(s, n, OP_QMaxPool, &grid);
    if (!q)
        return false;
    if (!grid_equal(&grid, &s->y) || s->lo > grid_lowest(&s->y) ||
        s->hi < grid_highest(&s->y))
        return site_no(s, "its result has another scale than its input");
    return site_end_image(s, q);
}

/* The axes of a mean or sum, ascending; count. */
static int reduced_axes(const Node *n, int64_t *axes)
{
    int rank = n->in[0]->type.rank, count = 0, k;
    bool gone[MAX_RANK] = { false };
    int64_t v[MAX_RANK];

    if (n->op == OP_GlobalAveragePool) {
        for (int i = 2; i < rank; i++)
            gone[i] = true;
    } else if (!node_in(n, 1)) {
        for (int i = 0; i < rank; i++)
            gone[i] = !ATTRS(reduce, n)->noop_with_empty_axes;
    } else {
        if (!value_ints(n->in[1], MAX_RANK, v, &k))
            return 0;
        for (int i = 0; i < k; i++)
            gone[v[i] < 0 ? v[i] + rank : v[i]] = true;
        for (int i = 0; k == 0 && i < rank; i++)
            gone[i] = !ATTRS(reduce, n)->noop_with_empty_axes;
    }
    for (int i = 0; i < rank; i++)
        if (gone[i])
            axes[count++] = i;
    return count;
}

/* Means of means over other axes are one mean: the axes of both, in terms of
 * the inner operand. */
static Value *outermost(Node *n, int64_t *axes, int *count, double *factor)
{
    Node *in = maker(n->in[0], n->op);
    int64_t inner[MAX_RANK], map[MAX_RANK];
    bool gone[MAX_RANK] = { false };
    int k, rank, at = 0;

    *count = reduced_axes(n, axes);
    for (; in && in->op != OP_GlobalAveragePool && *count &&
           only_use(n->in[0]); in = maker(in->in[0], in->op)) {
        k = reduced_axes(in, inner);
        rank = in->in[0]->type.rank;
        memset(gone, 0, sizeof gone);
        at = 0;
        for (int i = 0; i < k; i++)
            gone[inner[i]] = true;
        for (int i = 0; i < rank; i++)
            if (ATTRS(reduce, in)->keepdims || !gone[i])
                map[at++] = i;
        for (int i = 0; i < *count; i++)
            gone[map[axes[i]]] = true;
        *count = 0;
        for (int i = 0; i < rank; i++)
            if (gone[i])
                axes[(*count)++] = i;
        n = in;
    }
    *factor = 1;
    for (int i = 0; n->op == OP_ReduceSum && i < *count; i++)
        *factor *= (double)n->in[0]->type.dim[axes[i]];
    return n->in[0];
}

static bool reduce_mean(Site *s, Node *n)
{
    int64_t axes[MAX_RANK];
    double factor;
    int count;
    Value *x = outermost(n, axes, &count, &factor);
    Grid grid;
    Node *q;

    x = codes_of(x, &grid);
    if (!x)
        return site_no(s, "its input is not quantized");
    if (!count)
        return site_no(s, "its axes are not known");
    q = node_new(s->g, OP_QReduceMean, n->name, 1, &x, 1);
    set_ints(s->g, q, "axes", count, axes);
    grid.scale *= factor;
    set_grid(q, "x", &grid);
    set_int(q, "keepdims", n->op == OP_GlobalAveragePool ||
                               ATTRS(reduce, n)->keepdims);
    set_result(q, s);
    return site_end(s, q);
}

bool convert_pool(Site *s)
{
    Node *n = s->v->def;

    switch (n->op) {
    case OP_MaxPool:
        return max_pool(s, n);
    case OP_AveragePool:
        return average_pool(s, n);
    case OP_GlobalAveragePool: case OP_ReduceMean: case OP_ReduceSum:
        return reduce_mean(s, n);
    default:
        return false;
    }
}
