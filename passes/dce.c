/* dce.c - removes nodes whose results nobody reads. */
#include "passes.h"

static bool is_dead(const Node *n)
{
    for (int i = 0; i < n->nout; i++)
        if (n->out[i] && (n->out[i]->nuse || n->out[i]->is_output))
            return false;
    return true;
}

bool pass_dce(Graph *g, const PassOptions *opt, bool *changed)
{
    Node *prev;

    (void)opt;
    for (Node *n = g->last; n; n = prev) {
        prev = n->prev;
        if (is_dead(n)) {
            graph_remove(g, n);
            *changed = true;
        }
    }
    return true;
}
