/* cse.c - computes equal expressions once: same op, operands, attributes. */
#include "passes.h"

#include "../support/map.h"

typedef struct Seen {
    Node *node;
    struct Seen *next;
} Seen;

static char *key_of(Graph *g, const Node *n)
{
    Buf b;

    buf_init(&b, g->scratch);
    buf_printf(&b, "%d/%d", n->op, n->nout);
    for (int i = 0; i < n->nin; i++)
        buf_printf(&b, ",%d", n->in[i] ? n->in[i]->id : -1);
    return b.s;
}

static bool same(const Node *a, const Node *b)
{
    if (a->nin != b->nin || a->nout != b->nout)
        return false;
    for (int i = 0; i < a->nout; i++)   /* outputs keep their own storage */
        if (!a->out[i] != !b->out[i] || (b->out[i] && b->out[i]->is_output) ||
            (a->out[i] && !type_equal(&a->out[i]->type, &b->out[i]->type)))
            return false;
    return attr_equal(op_info(a->op), a->attr, b->attr);
}

static bool merge(Graph *g, Map *map, Node *n)
{
    char *key = key_of(g, n);
    Seen *first = map_get(map, key), *s;

    for (s = first; s; s = s->next)
        if (same(s->node, n)) {
            for (int i = 0; i < n->nout; i++)
                if (n->out[i])
                    value_replace(g, n->out[i], s->node->out[i]);
            graph_remove(g, n);
            return true;
        }
    s = NEW(g->scratch, Seen);
    s->node = n;
    s->next = first;
    map_put(map, key, s);
    return false;
}

bool pass_cse(Graph *g, const PassOptions *opt, bool *changed)
{
    Map map;

    (void)opt;
    map_init(&map, g->scratch);
    for EACH_NODE_SAFE(n, g)
        if (!op_has(n->op, T_RANDOM) && merge(g, &map, n))
            *changed = true;
    return true;
}
