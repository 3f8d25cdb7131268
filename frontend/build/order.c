/* order.c - an order of a graph's nodes in which every name is defined
 * before it is used. ONNX promises that the file's order is one; text that
 * people write may not be, so nodes are sorted when they must be. Says what
 * is wrong with a graph that has no such order. */
#include "build.h"

#include <string.h>

typedef struct Sort {
    Build *b;
    const ModelNode *node;
    int n;
    Map maker;                  /* name -> &slot[index of its node] */
    char *slot;
    unsigned char *state;       /* 0 new, 1 on the stack, 2 placed */
    int *stack, *next;          /* next[i]: dependency of node i to look at */
    const char ***deps;         /* by node: names it needs, and their count */
    int *ndeps, *capdeps;
} Sort;

static void add_dep(Sort *s, int i, const char *name)
{
    PUSH(s->b->g->arena, s->deps[i], s->ndeps[i], s->capdeps[i], name);
}

/* Names that a subgraph takes from around it: everything it reads. */
static bool add_captured(Sort *s, int i, const ModelGraph *g, int depth)
{
    if (depth > MAX_DEPTH)
        return model_node_error(s->b, &s->node[i],
                                "graphs nested more than %d deep", MAX_DEPTH);
    for (int k = 0; k < g->nnode; k++) {
        const ModelNode *n = &g->node[k];
        for (int j = 0; j < n->nin; j++)
            add_dep(s, i, n->in[j]);
        for (int j = 0; j < n->nattr; j++)
            if (n->attr[j].g && !add_captured(s, i, n->attr[j].g, depth + 1))
                return false;
    }
    for (int k = 0; k < g->nout; k++)
        add_dep(s, i, g->out[k].name);
    return true;
}

static int maker_of(const Sort *s, const char *name)
{
    const char *p = *name ? map_get(&s->maker, name) : NULL;

    return p ? (int)(p - s->slot) : -1;
}

static bool collect(Sort *s)
{
    for (int i = 0; i < s->n; i++)
        for (int j = 0; j < s->node[i].nout; j++) {
            const char *name = s->node[i].out[j];
            if (!*name)
                continue;
            if (maker_of(s, name) >= 0 || map_get(&s->b->scope->value, name))
                return model_node_error(s->b, &s->node[i],
                                        "defines '%s' again", name);
            map_put(&s->maker, name, s->slot + i);
        }
    for (int i = 0; i < s->n; i++) {
        const ModelNode *n = &s->node[i];
        for (int j = 0; j < n->nin; j++)
            add_dep(s, i, n->in[j]);
        for (int j = 0; j < n->nattr; j++)
            if (n->attr[j].g && !add_captured(s, i, n->attr[j].g, 0))
                return false;
    }
    return true;
}

static bool not_defined(Sort *s, int i, const char *name)
{
    return model_node_error(s->b, &s->node[i], "input '%s'%s", name,
                            scope_missing(s->b->scope, name));
}

/* In the main graph such a name costs only what depends on it. */
static bool check_defined(Sort *s)
{
    Build *b = s->b;
    bool main = !b->order;

    for (int i = 0; i < s->n; i++)
        for (int j = 0; j < s->node[i].nin; j++) {
            const char *name = s->node[i].in[j];
            if (!*name || maker_of(s, name) >= 0 ||
                scope_find(b->scope, name))
                continue;
            not_defined(s, i, name);
            if (!main || ++b->nbroken == MAX_BROKEN)
                return false;
            scope_bind(b->scope, name, &b->broken);
        }
    return true;
}

static bool report_cycle(Sort *s, int from, int to)
{
    return model_node_error(s->b, &s->node[from],
                            "is part of a cycle: it needs the result of "
                            "'%s', which needs this node",
                            model_node_name(s->b->g->arena, &s->node[to]));
}

/* Place node `root` after everything it needs; depth-first with a stack. */
static bool place(Sort *s, int root, int *order, int *count)
{
    int top = 0;

    if (s->state[root])
        return true;
    s->stack[top++] = root;
    s->state[root] = 1;
    while (top) {
        int i = s->stack[top - 1], k;
        if (s->next[i] == s->ndeps[i]) {
            s->state[i] = 2;
            order[(*count)++] = i;
            top--;
            continue;
        }
        k = maker_of(s, s->deps[i][s->next[i]++]);
        if (k < 0 || s->state[k] == 2)
            continue;
        if (s->state[k] == 1)
            return report_cycle(s, i, k);
        s->state[k] = 1;
        s->stack[top++] = k;
    }
    return true;
}

/* The file's own order where that is good: only nodes in `keep`. */
static bool already_sorted(const Sort *s)
{
    for (int i = 0; i < s->n; i++)
        for (int j = 0; j < s->ndeps[i]; j++)
            if (maker_of(s, s->deps[i][j]) >= i)
                return false;
    return true;
}

static void sort_init(Sort *s, Build *b, const ModelNode *node, int n)
{
    Arena *a = b->g->arena;

    *s = (Sort){ .b = b, .node = node, .n = n };
    map_init(&s->maker, a);
    s->slot = arena_alloc(a, (size_t)n + 1);
    s->state = arena_alloc(a, (size_t)n + 1);
    s->stack = NEW_ARRAY(a, int, n + 1);
    s->next = NEW_ARRAY(a, int, n + 1);
    s->deps = NEW_ARRAY(a, const char **, n + 1);
    s->ndeps = NEW_ARRAY(a, int, n + 1);
    s->capdeps = NEW_ARRAY(a, int, n + 1);
}

bool nodes_order(Build *b, const ModelNode *node, int n, const char **need,
                 int nneed, int **order, int *count)
{
    Sort s;
    int *all = NEW_ARRAY(b->g->arena, int, n + 1), nall = 0, kept = 0;

    sort_init(&s, b, node, n);
    if (!collect(&s) || !check_defined(&s))
        return false;
    for (int i = 0; i < n; i++)         /* finds cycles anywhere */
        if (!place(&s, i, all, &nall))
            return false;
    if (already_sorted(&s))
        for (int i = 0; i < n; i++)
            all[i] = i;
    /* what the needed names depend on: the same walk from there */
    memset(s.state, 0, (size_t)n + 1);
    memset(s.next, 0, ((size_t)n + 1) * sizeof *s.next);
    *order = NEW_ARRAY(b->g->arena, int, n + 1);
    *count = 0;
    for (int i = 0; i < nneed; i++) {
        int k = maker_of(&s, need[i]);
        if (k >= 0 && !place(&s, k, *order, count))
            return false;
    }
    for (int i = 0; i < n; i++)
        if (s.state[all[i]])
            (*order)[kept++] = all[i];
    *count = kept;
    return true;
}
