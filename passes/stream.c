/* stream.c - tensors that never exist: the pass attacks the step with most
 * bytes live, again and again. What lives there and is made and read row by
 * row goes into a loop (stream_rows.c); an attention whose operands live
 * there is computed head by head (stream_heads.c). It ends when nothing can
 * be done at the peak, or when the arena fits the budget.
 */
#include "stream.h"

#include "plan_regions.h"

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

bool pass_stream(Graph *g, const PassOptions *opt, bool *changed)
{
    bool skip;

    for (int i = 0; i < MOST_MOVES; i++) {
        Value **live = NEW_ARRAY(g->scratch, Value *, g->nvalue + 1);
        bool moved = false;
        int n;
        plan_peak(g, opt, live, &n);
        sort_values(live, n);
        for (int k = 0; k < n && !moved; k++)
            moved = attack(g, live[k]);
        if (!moved)
            break;
        *changed = true;
        if (!pass_dce(g, opt, &skip))
            return false;
        graph_tidy(g);
    }
    graph_number(g);
    return !*changed || regions_verify(g);
}
