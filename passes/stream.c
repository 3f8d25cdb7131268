/* stream.c - tensors that never exist: the pass attacks the step with most
 * bytes live, again and again. What lives there and is made and read row by
 * row goes into a loop (stream_rows.c); an attention whose operands live
 * there is computed head by head (stream_heads.c). It ends when nothing can
 * be done at the peak, or when the arena fits the budget.
 */
#include "stream.h"

#include "plan_regions.h"
#include "storage.h"

enum { MOST_MOVES = 4000 };

/* Largest first; equal ones in the order of the graph. */
static void sort_values(Value **v, int n)
{
    for (int i = 1; i < n; i++)
        for (int k = i; k && type_bytes(&v[k]->type) >
                                 type_bytes(&v[k - 1]->type); k--) {
            Value *t = v[k];
            v[k] = v[k - 1];
            v[k - 1] = t;
        }
}

static bool attack(Graph *g, Value *v)
{
    if (v->store)
        return false;
    if (v->def && stream_heads(g, v->def))
        return true;
    for (int i = 0; i < v->nuse; i++)
        if (stream_heads(g, v->use[i]))
            return true;
    return stream_value(g, v);
}

/* Move after move at the peak; *best gets a copy of the graph where the peak
 * was lowest, NULL: as it was. */
static bool search(Graph *g, const PassOptions *opt, Graph **best)
{
    Value **live = NULL;
    int64_t least = INT64_MAX;
    int n;

    for (int i = 0; i < MOST_MOVES; i++) {
        bool moved = false, skip;
        int64_t peak;
        live = NEW_ARRAY(g->scratch, Value *, g->nvalue + 1);
        peak = plan_peak(g, opt, live, &n);
        if (peak < least) {
            least = peak;
            *best = i ? graph_clone(g) : NULL;
        }
        sort_values(live, n);
        for (int k = 0; k < n && !moved; k++)
            moved = attack(g, live[k]);
        if (!moved)
            break;
        if (!pass_dce(g, opt, &skip))
            return false;
        graph_tidy(g);
    }
    return true;
}

/* g becomes what `from` is. */
static void graph_become(Graph *g, Graph *from)
{
    *g = *from;
    for EACH_NODE(n, g)
        n->graph = g;
}

bool pass_stream(Graph *g, const PassOptions *opt, bool *changed)
{
    Graph *trial, *best = NULL;
    int64_t whole;

    if (graph_has_regions(g) || g->placed || opt->npool)
        return true;
    trial = graph_clone(g);
    if ((g->nlevel && !widths_attach(trial)) || !search(trial, opt, &best))
        return false;
    whole = plan_arena(g, opt);
    if (!best || plan_arena(best, opt) >= whole)
        return true;
    graph_become(g, best);
    g->whole_arena = whole;
    *changed = true;
    graph_number(g);
    return regions_verify(g);
}
