/* region_work.c - what loops cost: products that are made again, and
 * constants that are read again, turn by turn. */
#include "region.h"

static int64_t times(int64_t a, int64_t b)
{
    return a && b > INT64_MAX / a ? INT64_MAX : a * b;
}

static int64_t turns(const Region *r)
{
    return (r->extent - r->begin + r->tile - 1) / r->tile;
}

/* Indices of n's result that all turns of a loop make together: at borders
 * fewer, elsewhere some again. */
static int64_t indices_made(const Node *n, int depth)
{
    const Region *r = region_at(n->region, depth);
    const Slide *s = &n->slide[depth];
    int64_t dim = axis_indices(n, n->walk[depth]), sum = 0;

    for (int64_t p = r->begin; p < r->extent; p += r->tile) {
        int64_t to = p * s->unit + s->to, from = to - s->made;
        from = from < 0 ? 0 : from;
        to = to > dim ? dim : to;
        sum += to > from ? to - from : 0;
    }
    return sum;
}

int64_t node_repeated_macs(const Node *n)
{
    int64_t macs = node_macs(n), own = macs;

    for (int d = 0; macs && d < region_depth(n->region); d++) {
        const Region *r = region_at(n->region, d);
        if (n->walk[d] < 0)
            macs = times(macs, turns(r));
        else if (r->slides)
            macs = times(macs, indices_made(n, d)) /
                   axis_indices(n, n->walk[d]);
    }
    return macs - own;
}

int64_t graph_work(const Graph *g)
{
    int64_t sum = 0;

    for EACH_NODE(n, g) {
        int64_t macs = node_macs(n);
        macs += n->region ? node_repeated_macs(n) : 0;
        sum = macs > INT64_MAX - sum ? INT64_MAX : sum + macs;
    }
    return sum;
}

/* Calls of n's kernel: one per turn, or per index where loops slide. Turns
 * of a loop that cuts operand `slot` read a part each: together once. */
static int64_t reads(const Node *n, int slot)
{
    Cut walk[REGION_DEPTH];
    int64_t calls = 1;

    if (!n->region || !node_cuts(n, slot, walk))
        return 1;
    for (int d = 0; d < region_depth(n->region); d++)
        if (loop_slides(n, d))
            calls = times(calls, indices_made(n, d));
        else if (walk[d].axis < 0)
            calls = times(calls, turns(region_at(n->region, d)));
    return calls;
}

int64_t node_constant_reads(const Node *n)
{
    int64_t sum = 0;

    for (int i = 0; i < n->nin; i++)
        if (value_is_const(n->in[i]))
            sum += times(type_bytes(&n->in[i]->type), reads(n, i));
    return sum;
}
