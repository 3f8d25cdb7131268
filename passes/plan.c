/* plan.c - places every value in the arena.
 *
 * Values become buffers first: a view shares its operand's buffer, and an
 * elementwise or row-wise result overwrites an operand that dies there. Then
 * every buffer gets an offset from the allocator (dsa.h). State comes first,
 * at the start of the arena.
 */
#include "../ir/region.h"
#include "dsa.h"
#include "order.h"
#include "overlap.h"
#include "placed.h"
#include "plan_regions.h"
#include "pools.h"

#include <limits.h>

enum { INPUT_TIME = -1 };

/* A node of the allocator's search takes time in proportion to the buffers:
 * half a second at most for a hundred, hundredths for a thousand. The plan in
 * the end gets all of it, those that are compared before a tenth. */
static long search_nodes(int nbuf, bool estimate)
{
    double nodes = 1e8 / ((double)nbuf * nbuf + 1);

    nodes = nodes > 100000 ? 100000 : nodes < 100 ? 100 : nodes;
    return (long)(estimate ? nodes / 10 : nodes);
}

Buffer *plan_buffer(Graph *g, const char *name, int64_t bytes, int at)
{
    Plan *p = g->plan;
    Buffer *b = NEW(g->arena, Buffer);

    b->id = p->nbuf;
    b->name = name;
    b->bytes = bytes;
    b->align = PLAN_ALIGN;
    b->first = b->last = at;
    b->offset = -1;
    PUSH(g->arena, p->buf, p->nbuf, p->capbuf, b);
    return b;
}

/* The last step that needs each store, in the present order. */
static int *last_steps(const Storage *s)
{
    int *last = NEW_ARRAY(s->g->scratch, int, s->nstore + 1);

    for (int k = 0; k < s->nstore; k++) {
        const Node *def = s->store[k].root->def;
        last[k] = s->store[k].lasting ? s->nstep
                : def ? def->index : INPUT_TIME;
    }
    for (int t = 0; t < s->nstep; t++)
        for (int i = 0; i < s->step[t].nread; i++)
            if (last[s->step[t].read[i]] < t)
                last[s->step[t].read[i]] = t;
    return last;
}

static Buffer *store_buffer(Graph *g, const Store *store, int last)
{
    const Value *v = store->root;
    Buffer *b = plan_buffer(g, v->name, type_bytes(&v->type),
                            v->def ? v->def->index : INPUT_TIME);

    b->last = last;
    b->offset = store->at;
    b->is_state = store->state != NULL;
    return b;
}

/* The buffers that begin with step t, or go on with what it overwrites. */
static void step_buffers(const Storage *s, Live *live, Buffer **of,
                         const int *last, int t)
{
    const Step *step = &s->step[t];
    Graph *g = s->g;

    if (step->scratch) {
        Node *n = step->node;
        int64_t at = scratch_placed(n);
        n->scratch_buf = plan_buffer(g, n->name, n->scratch, t);
        n->scratch_buf->offset = at;
        n->scratch_buf->is_scratch = true;
    }
    live_run(live, t);
    for (int i = 0; i < step->nmake; i++) {
        int k = step->make[i];
        if (i == 0 && live->over[t] >= 0) {
            of[k] = of[live->over[t]];
            if (of[k]->last < last[k])
                of[k]->last = last[k];
        } else {
            of[k] = store_buffer(g, &s->store[k], last[k]);
        }
    }
}

static void make_buffers(Graph *g, const Storage *s)
{
    Buffer **of = NEW_ARRAY(g->scratch, Buffer *, s->nstore + 1);
    int *last = last_steps(s);
    Live live;

    live_start(&live, s);
    for (int k = 0; k < s->nstore; k++)
        if (!s->store[k].root->def || s->store[k].state)
            of[k] = store_buffer(g, &s->store[k], last[k]);
    for (int t = 0; t < s->nstep; t++)
        step_buffers(s, &live, of, last, t);
    for (int i = 0; i < g->nvalue; i++)
        if (s->of[i] >= 0) {
            g->value[i]->buf = of[s->of[i]];
            g->value[i]->delta = s->delta[i];
        }
}

static int64_t align_up(int64_t n, int64_t a)
{
    return (n + a - 1) / a * a;
}

static int position(Buffer *const *list, int n, const Buffer *b)
{
    for (int i = 0; i < n; i++)
        if (list[i] == b)
            return i;
    return -1;
}

/* Apart is always allowed. */
static int64_t at_most(int64_t shift, int64_t size)
{
    return shift < size ? shift : size;
}

/* What the allocator may lay over what. */
static void declare_overlaps(Graph *g, const OverlapPairs *pairs,
                             Buffer *const *list, DsaProblem *problem)
{
    DsaOverlap *o = NEW_ARRAY(g->scratch, DsaOverlap, pairs->n + 1);

    for (int i = 0; i < pairs->n; i++) {
        const OverlapPair *p = &pairs->pair[i];
        int out = position(list, problem->nbuf, p->out);
        int in = position(list, problem->nbuf, p->in);
        if (out >= 0 && in >= 0)
            o[problem->noverlap++] = (DsaOverlap){
                out, in, at_most(p->forward, problem->buf[out].size),
                at_most(p->backward, problem->buf[in].size),
            };
    }
    problem->overlap = o;
}

/* Offsets by the allocator: with `base` >= 0 behind it, what is placed fixed;
 * otherwise the same question with nothing fixed, for its answer only. */
static DsaResult place(Graph *g, Buffer **list, int n, int64_t base,
                       const OverlapPairs *pairs, const PassOptions *opt)
{
    DsaProblem problem = { NEW_ARRAY(g->scratch, DsaBuf, n + 1), n, NULL, 0 };
    DsaOptions options = { .max_nodes = search_nodes(n, opt->estimate) };
    DsaResult result;

    if (opt->plan_time > 0) {
        options.max_nodes = LONG_MAX / 2;
        options.max_seconds = opt->plan_time / 2;
    }
    for (int i = 0; i < n; i++)
        problem.buf[i] = (DsaBuf){
            .lower = opt->no_reuse ? 0 : list[i]->first,
            .upper = opt->no_reuse ? 1 : list[i]->last + 1,
            .size = align_up(list[i]->bytes, PLAN_ALIGN),
            .align = list[i]->align,
            .fixed_offset = base >= 0 && list[i]->offset >= 0
                                ? list[i]->offset - base : -1,
        };
    if (pairs)
        declare_overlaps(g, pairs, list, &problem);
    dsa_solve(&problem, &options, g->scratch, &result);
    for (int i = 0; i < n && base >= 0; i++)
        list[i]->offset = problem.buf[i].offset + base;
    return result;
}

/* Bytes live in each step, inputs alone at INPUT_TIME: live[t - INPUT_TIME]. */
static void count_live(const Plan *p, int64_t *live)
{
    for (int i = 0; i < p->nbuf; i++) {
        const Buffer *b = p->buf[i];
        if (b->is_state)
            continue;
        live[b->first - INPUT_TIME] += align_up(b->bytes, PLAN_ALIGN);
        live[b->last + 1 - INPUT_TIME] -= align_up(b->bytes, PLAN_ALIGN);
    }
    for (int t = INPUT_TIME + 1; t <= p->nsteps; t++)
        live[t - INPUT_TIME] += live[t - INPUT_TIME - 1];
}

/* The step with most bytes live: no plan of this order can be smaller. */
static void find_peak(Graph *g, Plan *p)
{
    int64_t *live = NEW_ARRAY(g->scratch, int64_t, p->nsteps + 3), most = 0;

    count_live(p, live);
    for (int t = INPUT_TIME; t <= p->nsteps; t++)
        if (live[t - INPUT_TIME] > most) {
            most = live[t - INPUT_TIME];
            p->peak_step = t;
        }
}

/* A fresh plan with buffers and live ranges, state placed; NULL after a
 * message about placements of the text. Loops have their own way to buffers:
 * s is NULL. */
static Plan *plan_new(Graph *g, const Storage *s, const PassOptions *opt)
{
    Plan *p = NEW(g->arena, Plan);

    if (g->placed && opt->npool) {
        diag_error(g->diag, "placement: the text has @at or @scratch: pools "
                   "are not for it");
        return NULL;
    }
    if (s && !placed_values(g, s))
        return NULL;
    g->plan = p;
    p->npool = 1;
    p->pool = NEW(g->arena, MemPool);
    p->pool->limit = -1;
    if (s) {
        p->nsteps = s->nstep;
        make_buffers(g, s);
    } else {
        Placed *text = placed_take(g);
        p->nsteps = region_buffers(g, opt);
        if (!placed_give(g, text))
            return NULL;
    }
    p->reserve = reserved_bytes(g, opt);
    p->state_bytes = p->reserve;
    placed_states(p);
    for (int i = 0; i < p->nbuf; i++) {
        Buffer *b = p->buf[i];
        if (!b->is_state)
            continue;
        b->last = p->nsteps;
        if (b->offset >= 0)
            continue;
        b->offset = p->state_bytes;
        p->state_bytes += align_up(b->bytes, PLAN_ALIGN);
    }
    p->state_end = p->state_bytes;
    return p;
}

/* Places everything; *bound is what the allocator proved of the arena. False
 * after a message about placements of the text. */
static bool lay_out(Graph *g, Plan *p, const PassOptions *opt, int64_t *bound)
{
    Buffer **list = NEW_ARRAY(g->scratch, Buffer *, p->nbuf + 1);
    OverlapPairs pairs = { 0, 0, NULL }, *over = NULL;
    DsaResult result;
    int64_t proved;
    int n = 0;

    if (opt->npool) {
        pools_lay_out(g, opt);
        *bound = 0;
        return true;
    }
    for (int i = 0; i < p->nbuf; i++)
        if (!p->buf[i]->is_state)
            list[n++] = p->buf[i];
    if (g->overlap && !opt->no_reuse)
        overlap_find(g, &pairs);
    if (!placed_buffers(g, &pairs, opt->no_reuse))
        return false;
    result = place(g, list, n, g->placed || pairs.n ? -1 : p->state_bytes,
                   NULL, opt);
    proved = result.lower_bound;
    p->apart_bytes = align_up(result.height, 8) + p->state_bytes;
    if (pairs.n && (g->placed || place(g, list, n, -1, &pairs, opt).height <
                                     result.height))
        over = &pairs;
    if (g->placed || pairs.n)
        result = place(g, list, n, p->state_bytes, over, opt);
    overlap_walks(g, &pairs);
    p->arena_bytes = align_up(result.height, 8) + p->state_bytes;
    if (p->arena_bytes < 8)
        p->arena_bytes = 8;
    p->pool->bytes = p->arena_bytes;
    *bound = opt->no_reuse ? 0 : proved + p->state_bytes;
    return true;
}

static void forget_plan(Graph *g)
{
    for (int i = 0; i < g->nvalue; i++)
        g->value[i]->buf = NULL;
    for EACH_NODE(n, g)
        n->scratch_buf = NULL;
    g->plan = NULL;
}

static int64_t arena_of(Graph *g, const PassOptions *opt, bool estimate)
{
    Storage *s = graph_has_regions(g) ? NULL : storage_new(g, opt);
    Plan *p = plan_new(g, s, opt);
    PassOptions by_effort = *opt;
    int64_t bound;

    by_effort.plan_time = 0;    /* one of several that are compared */
    by_effort.estimate = estimate;
    lay_out(g, p, &by_effort, &bound);
    forget_plan(g);
    return p->arena_bytes;
}

int64_t plan_arena(Graph *g, const PassOptions *opt)
{
    return arena_of(g, opt, false);
}

int64_t plan_about(Graph *g, const PassOptions *opt)
{
    return arena_of(g, opt, true);
}

int64_t plan_excess(Graph *g, const PassOptions *opt)
{
    Storage *s = graph_has_regions(g) ? NULL : storage_new(g, opt);
    Plan *p = plan_new(g, s, opt);
    int64_t bound, excess = 0;

    lay_out(g, p, opt, &bound);
    for (int i = 0; i < p->npool; i++)
        if (p->pool[i].limit >= 0 && p->pool[i].bytes > p->pool[i].limit)
            excess += p->pool[i].bytes - p->pool[i].limit;
    if (opt->budget && p->arena_bytes - opt->budget > excess)
        excess = p->arena_bytes - opt->budget;
    forget_plan(g);
    return excess;
}

/* The buffers of the present order, without offsets, and the bytes live. */
static int64_t steps_live(Graph *g, const PassOptions *opt, int64_t *live)
{
    Storage *s = graph_has_regions(g) ? NULL : storage_new(g, opt);
    Plan *p = plan_new(g, s, opt);
    Saving *saved = g->overlap && !opt->no_reuse ? overlap_savings(g) : NULL;
    int64_t *all = NEW_ARRAY(g->scratch, int64_t, p->nsteps + 3);
    int64_t inputs;

    count_live(p, all);
    inputs = all[0] + p->state_bytes;
    for (int t = 0; t < p->nsteps; t++)
        live[t] = all[t - INPUT_TIME] + p->state_bytes;
    for (int i = 0; saved && i < p->nbuf; i++)
        for (int t = saved[i].first; saved[i].bytes && t <= saved[i].last;
             t++)
            live[t] -= saved[i].bytes;
    return inputs;
}

int64_t plan_steps_live(Graph *g, const PassOptions *opt, int64_t *live)
{
    int64_t inputs = steps_live(g, opt, live);

    forget_plan(g);
    return inputs;
}

/* First and last step of n, or of the loops around it. */
static int begins(const Node *n)
{
    const Region *r = region_at(n->region, 0);

    return r ? r->first : n->index;
}

static int ends(const Node *n)
{
    const Region *r = region_at(n->region, 0);

    return r ? r->last : n->index;
}

/* Others may live in v's buffer when v is long dead. */
static bool is_live(const Value *v, int step)
{
    int last = v->def ? ends(v->def) : INPUT_TIME;

    if (!v->buf || step < (v->def ? begins(v->def) : INPUT_TIME))
        return false;
    for (int i = 0; i < v->nuse; i++)
        last = ends(v->use[i]) > last ? ends(v->use[i]) : last;
    return step <= last || (v->is_output && step <= v->buf->last);
}

/* Leaves the buffers behind. */
static int64_t peak_step(Graph *g, const PassOptions *opt, int *step)
{
    int64_t *live, most;
    int count = 0;

    for EACH_NODE(n, g)
        count++;
    live = NEW_ARRAY(g->scratch, int64_t, count + 1);
    most = steps_live(g, opt, live);
    *step = INPUT_TIME;
    for (int t = 0; t < count; t++)
        if (live[t] > most) {
            most = live[t];
            *step = t;
        }
    return most;
}

int64_t plan_peak(Graph *g, const PassOptions *opt, int *step)
{
    int64_t most = peak_step(g, opt, step);

    forget_plan(g);
    return most;
}

int64_t plan_peak_values(Graph *g, const PassOptions *opt, Value **list,
                         int *n)
{
    int step;
    int64_t most = peak_step(g, opt, &step);

    *n = 0;
    for (int i = 0; i < g->nvalue; i++)
        if (is_live(g->value[i], step))
            list[(*n)++] = g->value[i];
    forget_plan(g);
    return most;
}

bool pass_plan(Graph *g, const PassOptions *opt, bool *changed)
{
    Storage *s;
    int64_t proved;
    Plan *p;

    *changed = true;
    graph_add_commits(g);
    s = graph_has_regions(g) ? NULL : storage_new(g, opt);
    p = plan_new(g, s, opt);
    if (!p || !lay_out(g, p, opt, &proved))
        return false;
    find_peak(g, p);
    plan_certify(g, s, proved, opt);
    return plan_check(g);
}
