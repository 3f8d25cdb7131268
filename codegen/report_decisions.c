/* report_decisions.c - what reuse, sharing, order, overlaps and loops are
 * worth: the same model with less and less of its memory apart. Bounds are
 * those of plans; sizes are rounded to the arena's alignment.
 */
#include "../ir/region.h"
#include "report.h"

static int64_t rounded(int64_t bytes)
{
    return (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
}

typedef struct Unshared {
    int64_t apart;              /* every value in memory of its own */
    int64_t *change;            /* of live bytes when step t - 1 begins */
} Unshared;

static void unshared_add(Unshared *u, int64_t bytes, int first, int last)
{
    u->apart += rounded(bytes);
    u->change[first + 1] += rounded(bytes);
    u->change[last + 2] -= rounded(bytes);
}

typedef struct Row {
    const char *key, *text;
    int64_t bytes;              /* -1: does not apply */
} Row;

enum { APART, UNSHARED, MODEL_ORDER, ORDER, OVERLAP, WHOLE, PLAN, ROWS };

static const Bound *overlap_row(const Plan *p)
{
    const Bound *b = plan_own_bound(p);

    return b && b != &p->bounds[0] ? b : NULL;
}

static void unshared(const Residents *r, Row *row)
{
    const Plan *p = r->g->plan;
    Unshared u = { 0, NEW_ARRAY(r->arena, int64_t, p->nsteps + 3) };
    int64_t live = 0, peak = 0;

    for (int i = 0; i < p->nbuf; i++) {
        if (p->buf[i]->is_scratch)
            unshared_add(&u, p->buf[i]->bytes, p->buf[i]->first,
                         p->buf[i]->last);
        for (int k = r->start[i]; k < r->start[i + 1]; k++)
            unshared_add(&u, value_stored_bytes(r->list[k]),
                         value_first_step(r->list[k]),
                         resident_last_step(r->g, r->list[k]));
    }
    for (int t = 0; t < p->nsteps + 2; t++) {
        live += u.change[t];
        if (live > peak)
            peak = live;
    }
    row[APART].bytes = u.apart;
    row[UNSHARED].bytes = peak > row[ORDER].bytes ? peak : row[ORDER].bytes;
}

static void fill(const Residents *r, Row *row)
{
    const Graph *g = r->g;
    const Plan *p = g->plan;
    const Bound *over = overlap_row(p);

    row[APART] = (Row){ "apart", "every value in memory of its own", 0 };
    row[UNSHARED] = (Row){ "unshared_bound", "memory reused over time", 0 };
    row[MODEL_ORDER] = (Row){ "model_order_bound",
        "views and in-place results, the model's order",
        g->model_order_bound ? g->model_order_bound : -1 };
    row[ORDER] = (Row){ "order_bound",
        "views and in-place results, this order",
        p->nbound ? p->bounds[0].bound : p->lower_bound };
    row[OVERLAP] = (Row){ "overlap_bound", "results over dying operands",
        over ? over->bound : -1 };
    row[WHOLE] = (Row){ "whole_arena", "a plan of whole tensors, no loops",
        g->whole_arena ? g->whole_arena : -1 };
    row[PLAN] = (Row){ "arena", "this plan", p->arena_bytes };
    unshared(r, row);
}

/* The model's own order is told of where another one is better; loops are no
 * order. */
static bool is_worse(const Row *row)
{
    int64_t now = row[WHOLE].bytes > 0 ? row[WHOLE].bytes : row[ORDER].bytes;

    return row[MODEL_ORDER].bytes > now;
}

void json_decisions(Buf *b, const Residents *r)
{
    Row row[ROWS];

    fill(r, row);
    buf_puts(b, "  \"decisions\": {");
    for (int i = 0; i < PLAN; i++) {
        buf_printf(b, "%s\"%s\": ", i ? ", " : "", row[i].key);
        if (row[i].bytes < 0)
            buf_puts(b, "null");
        else
            buf_printf(b, "%lld", (long long)row[i].bytes);
    }
    buf_puts(b, "},\n");
}

void text_decisions(Buf *b, const Residents *r)
{
    Row row[ROWS];

    fill(r, row);
    if (!is_worse(row))
        row[MODEL_ORDER].bytes = -1;
    buf_puts(b, "\n       bytes  what the decisions save\n");
    for (int i = 0; i < ROWS; i++)
        if (row[i].bytes >= 0)
            buf_printf(b, "%12lld  %s%s\n", (long long)row[i].bytes,
                       row[i].text, i == APART || i >= WHOLE ? ""
                                                             : ": at least");
}
