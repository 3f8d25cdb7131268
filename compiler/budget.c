/* budget.c - --arena, --flash, --pool, --require-gap: over a budget no C is
 * written. The message says by how much, which step peaks, what lives there
 * and what would help; a report that was asked for says it too.
 */
#include "advice.h"

#include <stdlib.h>

enum { MAX_SAID = 12 };

static const Node *node_at(const Graph *g, int index)
{
    for EACH_NODE(n, g)
        if (n->index == index)
            return n;
    return NULL;
}

/* "made by step 4, needed until step 9": why b is live. */
static void say_buffer(Compile *c, const Buffer *b)
{
    const Plan *p = c->g->plan;
    const Node *from = node_at(c->g, b->first), *to = node_at(c->g, b->last);
    FILE *out = c->diag->out;

    fprintf(out, "  %10lld B  '%s'%s", (long long)b->bytes, b->name,
            b->is_scratch ? ": " : ", ");
    if (b->is_scratch)
        fprintf(out, "working memory of this step\n");
    else if (b->is_state)
        fprintf(out, "state, kept between runs\n");
    else if (!from && b->last >= p->nsteps)
        fprintf(out, "input, kept until the run ends\n");
    else if (b->last >= p->nsteps)
        fprintf(out, "from step %d (%s) until the caller has read it\n",
                b->first, op_name(from->op));
    else if (from && to)
        fprintf(out, "from step %d (%s) until step %d (%s)\n", b->first,
                op_name(from->op), b->last, op_name(to->op));
    else
        fprintf(out, "an input, until step %d (%s)\n", b->last,
                to ? op_name(to->op) : "none");
}

static int by_bytes(const void *x, const void *y)
{
    const Buffer *a = *(Buffer *const *)x, *b = *(Buffer *const *)y;

    return a->bytes < b->bytes ? 1 : a->bytes > b->bytes ? -1
           : a->id - b->id;
}

/* What is live at step t in pool k (-1: everywhere), the largest first. */
static void say_live(Compile *c, int t, int k)
{
    const Plan *p = c->g->plan;
    Buffer **list = NEW_ARRAY(c->arena, Buffer *, p->nbuf + 1);
    int64_t rest = 0;
    int n = 0;

    for (int i = 0; i < p->nbuf; i++)
        if (p->buf[i]->first <= t && t <= p->buf[i]->last &&
            (k < 0 || p->buf[i]->pool == k))
            list[n++] = p->buf[i];
    if (n)
        qsort(list, (size_t)n, sizeof *list, by_bytes);
    for (int i = 0; i < n && i < MAX_SAID; i++)
        say_buffer(c, list[i]);
    for (int i = MAX_SAID; i < n; i++)
        rest += list[i]->bytes;
    if (n > MAX_SAID)
        fprintf(c->diag->out, "  %10lld B  in %d more\n", (long long)rest,
                n - MAX_SAID);
}

static int64_t live_bytes(Compile *c, int t, int k)
{
    return plan_live(c->g, k, c->arena)[t + 1];
}

static void say_peak(Compile *c, int t, int k)
{
    const Plan *p = c->g->plan;
    const Node *n = node_at(c->g, t);
    const char *pool = k < 0 ? "memory" : p->pool[k].name;

    if (n)
        diag_note(c->diag, "%s peaks at step %d, node '%s' (%s), with %lld B "
                  "live:", pool, t, n->name, op_name(n->op),
                  (long long)live_bytes(c, t, k));
    else
        diag_note(c->diag, "%s peaks where %s are handed over, with %lld B "
                  "live:", pool, t < 0 ? "inputs" : "outputs",
                  (long long)live_bytes(c, t, k));
    if (!c->diag->quiet)
        say_live(c, t, k);
}

static void say_advice(Compile *c)
{
    for (int i = 0; i < c->nadvice; i++)
        diag_hint(c->diag, "saves %lld B: %s", (long long)
                  c->advice[i].saves, c->advice[i].text);
}

/* No order of steps can help when even the best one needs too much. */
static void say_order(Compile *c)
{
    const Plan *p = c->g->plan;

    const Bound *any = plan_bound(p, BOUND_ANY_OVERLAP);

    if (!any)
        any = plan_bound(p, BOUND_ANY);
    if (any && any->bound > c->opt->arena)
        diag_hint(c->diag, "no order of steps fits: at least %lld B in each",
                  (long long)any->bound);
}

static int over_arena(Compile *c)
{
    const Plan *p = c->g->plan;

    diag_error(c->diag, "the arena needs %lld B, %lld B more than --arena "
               "%lld", (long long)p->arena_bytes,
               (long long)(p->arena_bytes - c->opt->arena),
               (long long)c->opt->arena);
    say_peak(c, p->peak_step, -1);
    c->advice = advice_arena(c, &c->nadvice);
    say_advice(c);
    say_order(c);
    diag_hint(c->diag, "the smallest arena for this model now is --arena "
              "%lld", (long long)p->arena_bytes);
    return EXIT_BUDGET;
}

/* --flash: constants and code */
static int over_flash(Compile *c, const CodegenSizes *s, int64_t flash)
{
    diag_error(c->diag, "constants (%lld B) and code (about %lld B) need "
               "%lld B more than --flash %lld",
               (long long)(s->weights + s->tables), (long long)s->code,
               (long long)(flash - c->opt->flash), (long long)c->opt->flash);
    c->advice = advice_flash(c, s, &c->nadvice);
    say_advice(c);
    return EXIT_BUDGET;
}

static int over_pool(Compile *c, int k)
{
    const Plan *p = c->g->plan;
    const MemPool *pool = &p->pool[k];
    int t = plan_peak_step(c->g, k, c->arena);

    diag_error(c->diag, "pool %s needs %lld B, %lld B more than %lld",
               pool->name, (long long)pool->bytes,
               (long long)(pool->bytes - pool->limit),
               (long long)pool->limit);
    say_peak(c, t, k);
    for (int i = 0; i < p->npool; i++)
        if (i != k && p->pool[i].limit > live_bytes(c, t, i))
            diag_hint(c->diag, "pool %s has %lld B free then: no more of "
                      "these buffers fit", p->pool[i].name, (long long)
                      (p->pool[i].limit - live_bytes(c, t, i)));
    c->advice = advice_arena(c, &c->nadvice);
    say_advice(c);
    diag_hint(c->diag, "--pool %s=%lld is enough", pool->name,
              (long long)pool->bytes);
    return EXIT_BUDGET;
}

/* --require-gap: against what no plan of the widest class can beat. */
static int check_gap(Compile *c)
{
    const Plan *p = c->g->plan;
    const Bound *b = &p->bounds[p->nbound - 1];
    double allowed = 0;

    if (!c->opt->require_gap || !parse_number(c->opt->require_gap, &allowed) ||
        !bound_gap_exceeds(b, allowed))
        return EXIT_OK;
    diag_error(c->diag, "the arena of %lld B is not proved to be within %s "
               "%% of the smallest (%s): the lower bound is %lld B, %.1f %% "
               "less", (long long)b->plan, c->opt->require_gap, b->name,
               (long long)b->bound, 100.0 * (double)(b->plan - b->bound) /
               (double)(b->bound ? b->bound : 1));
    if (c->opt->no_reuse)
        diag_hint(c->diag, "without --no-reuse buffers share memory");
    else if (c->opt->skip || c->opt->passes || c->opt->bisect >= 0)
        diag_hint(c->diag, "passes are skipped: schedule looks for a better "
                  "order of steps");
    else
        diag_hint(c->diag, "--plan-time S searches longer");
    return EXIT_BUDGET;
}

int budget_check(Compile *c, const Codegen *cg)
{
    const Plan *p = c->g->plan;
    CodegenSizes s = codegen_sizes(cg);
    int64_t flash = s.weights + s.tables + s.code;

    for (int k = 0; k < p->npool; k++)
        if (p->pool[k].limit >= 0 && p->pool[k].bytes > p->pool[k].limit)
            return over_pool(c, k);
    if (c->opt->arena >= 0 && p->arena_bytes > c->opt->arena)
        return over_arena(c);
    if (c->opt->flash >= 0 && flash > c->opt->flash)
        return over_flash(c, &s, flash);
    return check_gap(c);
}
