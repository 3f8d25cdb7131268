/* lean.c - kernels with less scratch where scratch makes the arena larger.
 *
 * Integer products widen their operand first, a few hundred bytes per step;
 * at the step that decides the size of the arena those bytes count. All such
 * steps lean; then those go back whose step has room below the arena that
 * this gives, or below --arena. There are two levels: blocks of four rows,
 * which take half again the time, and single rows, which take twice the time
 * and are worth it only where the arena loses more than a hundredth or a
 * budget would be missed.
 */
#include "../ir/region.h"
#include "storage.h"

enum { MANY = 300,              /* more than this are not tried one by one */
       BLOCKS = 1, SINGLE = 2, LEVELS };

typedef struct Leaner {
    Node *node;
    int64_t *lean;              /* its attribute */
    int64_t scratch[LEVELS];    /* what it needs with each */
} Leaner;

/* The kernels without scratch read weights as they stand: not a part of a
 * wider layer's. */
static int64_t *lean_of(const Node *n)
{
    if (n->narrow)
        return NULL;
    return n->op == OP_QConv ? &ATTRS(qconv, n)->lean
           : n->op == OP_QMatMul ? &ATTRS(qmatmul, n)->lean : NULL;
}

static void set_lean(Leaner *l, int level)
{
    *l->lean = level;
    l->node->scratch = l->scratch[level];
}

static void set_all(Leaner *l, int n, int level)
{
    for (int i = 0; i < n; i++)
        set_lean(&l[i], level);
}

/* All nodes get their scratch, those that can lean for each level. */
static int find_leaners(Graph *g, const PassOptions *opt, Leaner *list)
{
    int n = 0;

    graph_number(g);
    for (int i = 0; i < g->nvalue; i++)         /* of no plan that was tried */
        g->value[i]->store = value_natural_store(g->value[i]);
    for EACH_NODE(m, g) {
        Leaner l = { m, lean_of(m), { 0 } };
        for (int level = l.lean ? SINGLE : 0; level >= 0; level--) {
            if (l.lean)
                *l.lean = level;
            opt->scratch(m);
            l.scratch[level] = m->scratch;
        }
        if (l.lean && l.scratch[0] != l.scratch[SINGLE])
            list[n++] = l;
    }
    return n;
}

/* Steps with room for more scratch take it. */
static void go_back(Graph *g, const PassOptions *opt, Leaner *l, int n,
                    int leanest, int64_t goal)
{
    int count = 0;
    int64_t *live;

    for EACH_NODE(m, g)
        count++;
    live = NEW_ARRAY(g->scratch, int64_t, count + 1);
    plan_steps_live(g, opt, live);
    for (int i = 0; i < n; i++)
        for (int level = 0; level < leanest; level++)
            if (live[l[i].node->index] - l[i].scratch[leanest] +
                    l[i].scratch[level] <= goal) {
                set_lean(&l[i], level);
                break;
            }
}

static void try_each(Graph *g, const PassOptions *opt, Leaner *l, int n,
                     int leanest, int64_t goal)
{
    set_all(l, n, leanest);
    for (int i = 0; i < n && n <= MANY; i++)
        for (int level = 0; level < leanest; level++) {
            set_lean(&l[i], level);
            if (plan_about(g, opt) <= goal)
                break;
            set_lean(&l[i], leanest);
        }
}

/* The arena with all of them leaning so. */
static int64_t arena_at(Graph *g, const PassOptions *opt, Leaner *l, int n,
                        int level)
{
    set_all(l, n, level);
    return plan_about(g, opt);
}

/* How far to lean, at the most; *least is the arena then. */
static int choose_level(Graph *g, const PassOptions *opt, Leaner *l, int n,
                        int64_t *least)
{
    int64_t single = arena_at(g, opt, l, n, SINGLE);

    *least = arena_at(g, opt, l, n, BLOCKS);
    if (single < *least - *least / 100 ||
        (single < *least &&
         (opt->optimize == OPTIMIZE_RAM ||
          (opt->budget && *least > opt->budget)))) {
        *least = single;
        return SINGLE;
    }
    return BLOCKS;
}

bool pass_lean(Graph *g, const PassOptions *opt, bool *changed)
{
    PassOptions known;
    Leaner *list;
    int64_t fast, goal;
    int n = 0, leanest;

    for EACH_NODE(m, g)
        n += lean_of(m) != NULL;
    if (!n || !opt->scratch || opt->no_reuse ||
        (opt->optimize == OPTIMIZE_SPEED && !opt->budget))
        return true;
    known = *opt;
    known.scratch = NULL;
    list = NEW_ARRAY(g->arena, Leaner, n);
    n = find_leaners(g, opt, list);
    fast = plan_about(g, &known);
    if (opt->optimize != OPTIMIZE_RAM && fast <= opt->budget)
        return true;
    leanest = choose_level(g, &known, list, n, &goal);
    set_all(list, n, goal < fast ? leanest : 0);
    if (goal >= fast)
        return true;
    if (opt->optimize != OPTIMIZE_RAM && goal < opt->budget)
        goal = opt->budget;
    *changed = true;
    g->order_bound = 0;         /* proved with more scratch */
    go_back(g, &known, list, n, leanest, goal);
    if (plan_about(g, &known) > goal)
        try_each(g, &known, list, n, leanest, goal);
    return true;
}
