/* plan_loops.c - --check-plan: loops over tiles.
 *
 * The loops are the model's; the file's order of steps must keep each of them
 * in one piece, and regions[] must describe them. A value is stored in a loop
 * around its maker and all of its readers, or outside of it; from there, a
 * loop further in is one step, which needs what it reads from its first step
 * to its last.
 */
#include "plan_file.h"

#include <string.h>

#include "../ir/region.h"

bool plan_loops_whole(const PlanFile *f, const Json *steps)
{
    bool *closed = NEW_ARRAY(f->g->scratch, bool,
                             steps->n * REGION_DEPTH + 1);
    const Node *last = NULL;
    int at = 0;

    for EACH_NODE(n, f->g) {
        for (const Region *r = last ? last->region : NULL;
             r && !region_within(n->region, r); r = r->parent)
            closed[r->id] = true;
        for (const Region *r = n->region; r; r = r->parent)
            if (closed[r->id])
                return plan_bad(f, steps->item[at], "step %d: '%s' is in "
                                "the loop '%s', which ended before", at,
                                n->name, r->name);
        last = n;
        at++;
    }
    return true;
}

/* A member that names a loop; *out is NULL where it is null or left out. */
static bool loop_of(const PlanFile *f, const Json *j, const char *key,
                    Region **out)
{
    const Json *v = json_get(j, key);

    *out = NULL;
    if (!v || v->kind == JSON_NULL)
        return true;
    if (v->kind != JSON_INT || v->number < 0 || v->number >= f->nloop)
        return plan_bad(f, v, "'%s' is no loop of the model, which has %d",
                        key, f->nloop);
    *out = f->loop[v->number];
    return true;
}

static void find_loops(PlanFile *f, int nsteps)
{
    f->loop = NEW_ARRAY(f->c->arena, Region *, nsteps * REGION_DEPTH + 1);
    for EACH_NODE(n, f->g)
        for (Region *r = n->region; r; r = r->parent) {
            f->loop[r->id] = r;
            f->nloop = r->id + 1 > f->nloop ? r->id + 1 : f->nloop;
        }
}

static bool check_loop(const PlanFile *f, const Json *j, const Region *r)
{
    Region *parent;
    const char *name;
    int64_t extent, tile, first, last;

    if (!plan_text(f, j, "name", &name) || !loop_of(f, j, "parent", &parent) ||
        !plan_int(f, j, "extent", &extent) ||
        !plan_int(f, j, "tile", &tile) ||
        !plan_int(f, j, "first_step", &first) ||
        !plan_int(f, j, "last_step", &last))
        return false;
    if (strcmp(name, r->name) || parent != r->parent || extent != r->extent ||
        tile != r->tile || first != r->first || last != r->last)
        return plan_bad(f, j, "loop %d is '%s', steps %d to %d, over %lld by "
                        "%lld", r->id, r->name, r->first, r->last,
                        (long long)r->extent, (long long)r->tile);
    return true;
}

bool plan_loops(PlanFile *f, const Json *steps)
{
    const Json *list = json_get(f->root, "regions");
    int n = list && list->kind == JSON_ARRAY ? list->n : 0, at = 0;
    Region *r;

    find_loops(f, steps->n);
    if (n != f->nloop)
        return plan_bad(f, list, "%d regions, the model has %d", n,
                        f->nloop);
    for (int i = 0; i < n; i++)
        if (!check_loop(f, list->item[i], f->loop[i]))
            return false;
    for EACH_NODE(node, f->g) {
        const Json *j = steps->item[at++];
        if (!loop_of(f, j, "region", &r))
            return false;
        if (r != node->region)
            return plan_bad(f, j, "step %d: '%s' is in %s%s", node->index,
                            node->name, node->region ? "the loop "
                            : "no loop", node->region ? node->region->name
                            : "");
    }
    for (int i = 0; i < f->g->nvalue; i++)
        f->g->value[i]->store = value_natural_store(f->g->value[i]);
    return true;
}

bool plan_store(const PlanFile *f, const Json *j, Value *v)
{
    Region *r;

    if (!loop_of(f, j, "store", &r))
        return false;
    if (!region_within(v->store, r))
        return plan_bad(f, j, "'%s' cannot be stored in the loop '%s': it is "
                        "needed outside", v->name, r->name);
    v->store = r;
    return true;
}

/* The loop below the store that n is in counts as one step. */
static void needed(const Node *n, const Region *store, int *first, int *last)
{
    const Region *r = n->region;
    int from = n->index, to = n->index;

    for (; r != store && r; r = r->parent) {
        from = r->first;
        to = r->last;
    }
    *first = from < *first ? from : *first;
    *last = to > *last ? to : *last;
}

void plan_needed(const Value *v, int *first, int *last)
{
    int from = v->def ? v->def->index : -1, to = from, axis;
    int64_t fresh;

    if (value_carried(v, &axis, &fresh) > 0) {  /* from turn to turn */
        *first = v->store->first;
        *last = v->store->last;
        return;
    }
    if (v->def)
        needed(v->def, v->store, &from, &to);
    for (int i = 0; i < v->nuse; i++) {
        int ignored = to;
        needed(v->use[i], v->store, &ignored, &to);
    }
    *first = from;
    *last = to;
}
