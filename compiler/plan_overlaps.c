/* plan_overlaps.c - --check-plan: bytes that two values have in common.
 *
 * Inside a buffer, values take over from each other; between buffers, a
 * result may lie over an operand that dies with it, and what loops write over
 * what dies with them. Both must be declared in
 * overlaps[], truly; whether the op can do it is passes/check_plan.c's
 * question, which replays reads and writes in the declared direction.
 */
#include "plan_file.h"

#include <stdlib.h>
#include <string.h>

#include "../ir/region.h"

static long long ll(int64_t x)
{
    return (long long)x;
}

typedef struct Over {
    PlanFile *f;
    bool *declared;             /* by value id: inside its buffer */
    int *birth;                 /* by buffer id: makes the first value in it;
                                   -1: no step does */
    Node **step;                /* by index */
    int8_t *walks;              /* by step: 0 unsaid, 1 forward, -1 backward */
} Over;

/* An entry of b's overlaps[]. */
typedef struct Entry {
    const Json *at;
    const char *name, *direction;
    int64_t step, shift;
} Entry;

static bool meet(const Buffer *a, const Buffer *b)
{
    return a->pool == b->pool && a->first <= b->last &&
           b->first <= a->last && a->offset < b->offset + b->bytes &&
           b->offset < a->offset + a->bytes;
}

/* v shares b with an earlier value. */
static bool check_inside(Over *o, const Buffer *b, const Value *v,
                         const Entry *e)
{
    if (!v->def || v->def->index <= o->birth[b->id] || o->declared[v->id])
        return plan_bad(o->f, e->at, "buffer '%s' and '%s' do not overlap",
                        b->name, e->name);
    if (e->step != v->def->index || e->shift != v->delta ||
        strcmp(e->direction, "forward"))
        return plan_bad(o->f, e->at, "buffer '%s': '%s' overlaps it from "
                        "step %d on by %lld bytes, forward; not step %lld, "
                        "%lld, %s", b->name, e->name, v->def->index,
                        ll(v->delta), ll(e->step), ll(e->shift),
                        e->direction);
    o->declared[v->id] = true;
    return true;
}

/* One step, or the loops around it, of which b begins with the first step and
 * x, which was there before, dies with the last. */
static bool takes_over(const Over *o, const Buffer *b, const Buffer *x)
{
    const Region *r;

    if (!meet(b, x) || b->first < 0 || b->first >= o->f->g->plan->nsteps ||
        b->is_scratch)
        return false;
    r = region_at(o->step[b->first]->region, 0);
    return r ? region_lies_over(r, b, x) : b->first == x->last;
}

/* b, made by the step, lies over x, which dies there. */
static bool check_over(Over *o, const Buffer *b, const Buffer *x,
                       const Entry *e)
{
    PlanFile *f = o->f;
    bool backward = !strcmp(e->direction, "backward");
    int way = backward ? -1 : 1;
    bool loops;

    if (strcmp(x->name, e->name) || !takes_over(o, b, x))
        return plan_bad(f, e->at, "buffer '%s' and '%s' do not overlap",
                        b->name, e->name);
    if (e->step != b->first || e->shift != b->offset - x->offset ||
        (!backward && strcmp(e->direction, "forward")))
        return plan_bad(f, e->at, "buffer '%s' lies over '%s' in step %d, "
                        "%lld bytes on; not step %lld, %lld, %s", b->name,
                        e->name, b->first, ll(b->offset - x->offset),
                        ll(e->step), ll(e->shift), e->direction);
    loops = o->step[b->first]->region != NULL;
    if (loops ? backward : o->walks[b->first] == -way)
        return plan_bad(f, e->at, loops ? "step %d is in loops, which walk "
                        "forward" : "step %d walks forward and backward",
                        b->first);
    if (!loops) {
        o->walks[b->first] = (int8_t)way;
        o->step[b->first]->backward = backward;
    }
    PUSH(f->c->arena, f->over, f->nover, f->capover,
         ((OverPair){ b->id, x->id }));
    return true;
}

static bool check_entry(Over *o, const Buffer *b, const Json *j)
{
    const PlanFile *f = o->f;
    Entry e = { .at = j };
    const Value *v;

    if (!plan_text(f, j, "with", &e.name) ||
        !plan_int(f, j, "step", &e.step) ||
        !plan_int(f, j, "shift", &e.shift) ||
        !plan_text(f, j, "direction", &e.direction))
        return false;
    v = graph_find(f->g, e.name);
    if (!v || !v->buf)
        return plan_bad(f, j, "buffer '%s': there is no '%s' to overlap",
                        b->name, e.name);
    return v->buf == b ? check_inside(o, b, v, &e)
                       : check_over(o, b, v->buf, &e);
}

static void born(int *birth, const Value *v)
{
    int at = v->def ? v->def->index : -1;

    if (v->buf && at < birth[v->buf->id])
        birth[v->buf->id] = at;
}

static int *first_makers(const PlanFile *f)
{
    const Plan *p = f->g->plan;
    int *birth = NEW_ARRAY(f->g->scratch, int, p->nbuf + 1);

    for (int i = 0; i < p->nbuf; i++)
        birth[i] = p->nsteps;
    for (int i = 0; i < f->g->nvalue; i++)
        born(birth, f->g->value[i]);
    return birth;
}

bool plan_overlaps(PlanFile *f)
{
    const Plan *p = f->g->plan;
    Over o = { f, NEW_ARRAY(f->g->scratch, bool, f->g->nvalue + 1),
               first_makers(f), NEW_ARRAY(f->g->scratch, Node *,
                                          p->nsteps + 1),
               NEW_ARRAY(f->g->scratch, int8_t, p->nsteps + 1) };
    const Json *list;

    for EACH_NODE(n, f->g)
        o.step[n->index] = n;
    for (int i = 0; i < p->nbuf; i++) {
        if (!plan_list(f, f->of[i], "overlaps", &list))
            return false;
        for (int k = 0; k < list->n; k++)
            if (!check_entry(&o, p->buf[i], list->item[k]))
                return false;
    }
    for EACH_NODE(n, f->g)
        for (int i = 0; i < n->nout; i++) {
            const Value *v = n->out[i];
            if (v && v->buf && v->def->index > o.birth[v->buf->id] &&
                !o.declared[v->id])
                return plan_bad(f, f->of[v->buf->id], "buffer '%s': '%s' "
                                "takes its bytes in step %d: not declared",
                                v->buf->name, v->name, n->index);
        }
    return true;
}

static bool is_declared(const PlanFile *f, const Buffer *a, const Buffer *b)
{
    for (int i = 0; i < f->nover; i++)
        if ((f->over[i].result == a->id && f->over[i].operand == b->id) ||
            (f->over[i].result == b->id && f->over[i].operand == a->id))
            return true;
    return false;
}

static int by_offset(const void *x, const void *y)
{
    const Buffer *a = *(Buffer *const *)x, *b = *(Buffer *const *)y;

    if (a->pool != b->pool)
        return a->pool < b->pool ? -1 : 1;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

static bool collide(const PlanFile *f, const Buffer *a, const Buffer *b)
{
    const MemPool *pool = &f->g->plan->pool[b->pool];

    return plan_bad(f, f->of[b->id], "byte %lld%s%s is in '%s' (bytes %lld "
                    "to %lld, steps %d to %d) and in '%s' (bytes %lld to "
                    "%lld, steps %d to %d): they collide in step %d",
                    ll(b->offset), pool->name ? " of pool " : "",
                    pool->name ? pool->name : "", a->name, ll(a->offset),
                    ll(a->offset + a->bytes - 1), a->first, a->last, b->name,
                    ll(b->offset), ll(b->offset + b->bytes - 1), b->first,
                    b->last, a->first > b->first ? a->first : b->first);
}

bool plan_apart(const PlanFile *f)
{
    const Plan *p = f->g->plan;
    Buffer **list = arena_memdup(f->g->scratch, p->buf,
                                 (size_t)p->nbuf * sizeof *list);

    if (p->nbuf)
        qsort(list, (size_t)p->nbuf, sizeof *list, by_offset);
    for (int i = 0; i < p->nbuf; i++)
        for (int k = i + 1; k < p->nbuf; k++) {
            const Buffer *a = list[i], *b = list[k];
            if (a->pool != b->pool || b->offset >= a->offset + a->bytes)
                break;
            if (meet(a, b) && !is_declared(f, a, b))
                return collide(f, a, b);
        }
    return true;
}
