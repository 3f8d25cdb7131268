/* lean.c - kernels with less scratch where scratch makes the arena larger.
 *
 * Integer products widen their operand first, a few hundred bytes per step;
 * at the step that decides the size of the arena those bytes count. All such
 * steps lean, then each that can go back without a larger arena does. There
 * are two levels: blocks of four rows, which take half again the time, and
 * single rows, which take twice the time and are worth it only where the
 * arena loses more than a hundredth or a budget would be missed.
 */
#include "storage.h"

enum { MANY = 300,              /* more than this are not tried one by one */
       BLOCKS = 1, SINGLE = 2 };

/* The kernels without scratch read weights as they stand: not a part of a
 * wider layer's. */
static int64_t *lean_of(const Node *n)
{
    if (n->narrow)
        return NULL;
    return n->op == OP_QConv ? &ATTRS(qconv, n)->lean
           : n->op == OP_QMatMul ? &ATTRS(qmatmul, n)->lean : NULL;
}

static void set_all(Graph *g, int64_t lean)
{
    for EACH_NODE(n, g)
        if (lean_of(n))
            *lean_of(n) = lean;
}

bool pass_lean(Graph *g, const PassOptions *opt, bool *changed)
{
    int64_t fast, least, single, leanest = BLOCKS;
    int count = 0;

    for EACH_NODE(n, g)
        count += lean_of(n) != NULL;
    if (!count || !opt->scratch || opt->no_reuse)
        return true;
    set_all(g, 0);
    fast = plan_arena(g, opt);
    set_all(g, SINGLE);
    single = plan_arena(g, opt);
    set_all(g, BLOCKS);
    least = plan_arena(g, opt);
    if (single < least - least / 100 ||
        (single < least && opt->budget && least > opt->budget)) {
        set_all(g, SINGLE);
        leanest = SINGLE;
        least = single;
    }
    if (least >= fast) {
        set_all(g, 0);
        return true;
    }
    *changed = true;
    g->order_bound = 0;         /* proved with more scratch */
    for EACH_NODE(n, g) {
        if (!lean_of(n) || count > MANY)
            continue;
        for (int64_t level = 0; level < leanest; level++) {
            *lean_of(n) = level;
            if (plan_arena(g, opt) <= least)
                break;
            *lean_of(n) = leanest;
        }
        arena_reset(g->scratch);
    }
    return true;
}
