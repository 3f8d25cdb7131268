/* report_regions.c - the loops of a streamed model, and what they do for its
 * memory: values that exist one tile at a time, steps that are computed again
 * in every turn of a loop that they do not go along. */
#include "../ir/region.h"
#include "report.h"

typedef struct Loop {
    const Region *r;
    int axis;                   /* of the first step's first result; -1 */
    int64_t saved, added;       /* bytes that are not stored; MACs */
    int64_t reads;              /* bytes of constants, again */
} Loop;

static int64_t reads_added(const Node *n)
{
    int64_t once = 0;

    if (!codegen_has_step(n))
        return 0;
    for (int i = 0; i < n->nin; i++)
        if (value_is_const(n->in[i]))
            once += type_bytes(&n->in[i]->type);
    return node_constant_reads(n) - once;
}

static Loop *find_loops(const Graph *g, Arena *arena, int *count)
{
    int most = 0;
    Loop *loop;

    *count = 0;
    for EACH_NODE(n, g)
        most += region_depth(n->region);
    loop = NEW_ARRAY(arena, Loop, most + 1);
    for EACH_NODE(n, g) {
        for (Region *r = n->region; r; r = r->parent) {
            Loop *l = &loop[r->id];
            if (!l->r)
                l->axis = -1;
            l->r = r;
            l->axis = l->axis < 0 ? n->walk[r->depth] : l->axis;
            *count = r->id + 1 > *count ? r->id + 1 : *count;
        }
        if (n->region) {
            loop[n->region->id].added += node_repeated_macs(n);
            loop[n->region->id].reads += reads_added(n);
        }
        for (int o = 0; o < n->nout; o++)
            if (n->out[o] && n->out[o]->store)
                loop[n->out[o]->store->id].saved +=
                    type_bytes(&n->out[o]->type) -
                    value_stored_bytes(n->out[o]);
    }
    return loop;
}

/* Does loop r accumulate n's result? */
static bool accumulates(const Node *n, const Region *r)
{
    return region_within(n->region, r) && loop_accumulates(n, r->depth);
}

static void json_loop(Buf *b, const Graph *g, const Loop *l)
{
    const char *comma = "";

    buf_puts(b, "\n    {\"name\": ");
    buf_quote(b, l->r->name);
    if (l->r->parent)
        buf_printf(b, ", \"parent\": %d", l->r->parent->id);
    else
        buf_puts(b, ", \"parent\": null");
    buf_printf(b, ", \"axis\": %d, \"extent\": %lld, \"tile\": %lld, "
               "\"first_step\": %d, \"last_step\": %d, \"bytes_saved\": "
               "%lld, \"macs_added\": %lld, \"flash_reads_added\": %lld, "
               "\"nodes\": [", l->axis,
               (long long)l->r->extent, (long long)l->r->tile, l->r->first,
               l->r->last, (long long)l->saved, (long long)l->added,
               (long long)l->reads);
    for EACH_NODE(n, g)
        if (region_within(n->region, l->r)) {
            buf_puts(b, comma);
            buf_quote(b, n->name);
            comma = ", ";
        }
    buf_puts(b, "], \"accumulates\": [");
    comma = "";
    for EACH_NODE(n, g)
        if (accumulates(n, l->r)) {
            buf_puts(b, comma);
            buf_quote(b, n->out[0]->name);
            comma = ", ";
        }
    buf_puts(b, "]}");
}

void json_regions(Buf *b, const Graph *g)
{
    int n;
    const Loop *loop = find_loops(g, b->arena, &n);

    buf_puts(b, "  \"regions\": [");
    for (int i = 0; i < n; i++) {
        buf_puts(b, i ? "," : "");
        json_loop(b, g, &loop[i]);
    }
    buf_puts(b, n ? "\n  ],\n" : "],\n");
}

void text_regions(Buf *b, const Graph *g)
{
    int count;
    const Loop *loop = find_loops(g, b->arena, &count);

    if (count)
        buf_puts(b, "\n loop  steps            extent     tile  bytes not "
                 "stored   MACs added  flash B again\n");
    for (int i = 0; i < count; i++) {
        const Region *r = loop[i].r;
        buf_printf(b, "%5d  %5d to %-5d %9lld %8lld %17lld %12lld %14lld"
                   "  %*s%s", i, r->first, r->last, (long long)r->extent,
                   (long long)r->tile, (long long)loop[i].saved,
                   (long long)loop[i].added, (long long)loop[i].reads,
                   2 * r->depth, "", r->name);
        for EACH_NODE(n, g)
            if (accumulates(n, r))
                buf_printf(b, ", accumulates %s", n->out[0]->name);
        buf_putc(b, '\n');
    }
}
