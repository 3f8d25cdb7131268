/* facts.c - what a text that ir/print.c wrote says beyond ONNX: states, and
 * where everything is in the arena, which the planner then keeps. */
#include "build.h"

#include "../../ir/region.h"

#include <stdio.h>
#include <string.h>

static bool drop(Value **list, int *n, const Value *v)
{
    for (int i = 0; i < *n; i++)
        if (list[i] == v) {
            memmove(list + i, list + i + 1,
                    (size_t)(*n - i - 1) * sizeof *list);
            (*n)--;
            return true;
        }
    return false;
}

static Value *find(Build *b, const char *name)
{
    Value *v = graph_find(b->g, name);

    return v && v->id >= 0 ? v : NULL;
}

/* As boundary.c does for --state. */
static bool add_state(Build *b, const ModelState *ms)
{
    Graph *g = b->g;
    Value *in = find(b, ms->in), *out = find(b, ms->out);
    State *s;

    if (!in || !out)
        return diag_error(g->diag, "state '%s': there is no such input, or "
                          "no output '%s'", ms->in, ms->out);
    if (!type_equal(&in->type, &out->type))
        return diag_error(g->diag, "state '%s' and '%s' are of different "
                          "types", ms->in, ms->out);
    if (!drop(g->in, &g->nin, in) || !drop(g->out, &g->nout, out))
        return diag_error(g->diag, "state '%s': not an input, or '%s' not "
                          "an output", ms->in, ms->out);
    s = NEW(g->arena, State);
    s->in = in;
    s->out = out;
    s->next = g->state;
    g->state = s;
    return true;
}

static void place(Graph *g, Value *v, int64_t offset)
{
    if (offset < 0)
        return;
    g->placed = true;
    v->buf = NEW(g->arena, Buffer);
    v->buf->name = v->name;
    v->buf->offset = offset;
    v->buf->bytes = type_bytes(&v->type);
}

void facts_places(Build *b, const ModelNode *mn, Node *n)
{
    for (int i = 0; mn->at && i < n->nout; i++)
        if (n->out[i])
            place(b->g, n->out[i], mn->at[i]);
    if (mn->scratch && mn->scratch[1] > 0) {
        b->g->placed = true;
        n->scratch = mn->scratch[1];
        n->scratch_buf = NEW(b->g->arena, Buffer);
        n->scratch_buf->name = n->name;
        n->scratch_buf->offset = mn->scratch[0];
        n->scratch_buf->bytes = n->scratch;
        n->scratch_buf->is_scratch = true;
    }
}

/* The Region that a text's region is, and those around it. */
static Region *region_build(Graph *g, ModelRegion *r)
{
    if (!r)
        return NULL;
    if (!r->made)
        r->made = region_new(g, region_build(g, r->parent), r->name,
                             r->extent, r->tile);
    return r->made;
}

bool facts_region(Build *b, const ModelNode *mn, Node *n)
{
    int depth;

    if (!mn->region && !mn->walk)
        return true;
    if (!b->as_is)
        return node_error(n, "regions need the domain \"mcufc\" in "
                          "opset_import: nodes taken as they stand");
    n->region = region_build(b->g, mn->region);
    depth = region_depth(n->region);
    if (depth > REGION_DEPTH)
        return node_error(n, "is in %d regions, %d are the most", depth,
                          REGION_DEPTH);
    if (mn->nwalk != depth)
        return node_error(n, "is in %d regions, but has %d axes in @along",
                          depth, mn->nwalk);
    for (int d = 0; d < depth; d++) {
        if (mn->walk[d] >= MAX_RANK)
            return node_error(n, "@along: no axis %lld",
                              (long long)mn->walk[d]);
        n->walk[d] = (signed char)mn->walk[d];
    }
    return true;                /* regions_verify judges all of them */
}

static void place_inputs(Build *b, const ModelInfo *in, int n)
{
    for (int i = 0; i < n; i++) {
        Value *v = in[i].at ? find(b, in[i].name) : NULL;
        if (v)
            place(b->g, v, in[i].at[0]);
    }
}

static void plan_build(Build *b)
{
    long long n[4];
    Plan *p = NEW(b->g->arena, Plan);

    if (!b->m->facts.plan ||
        sscanf(b->m->facts.plan, "%lld %lld %lld %lld %d %d", &n[0], &n[1],
               &n[2], &n[3], &p->peak_step, &p->nsteps) != 6)
        return;
    p->arena_bytes = n[0];
    p->state_bytes = n[1];
    p->reserve = n[2];
    p->lower_bound = n[3];
    b->g->plan = p;
}

static bool bad_width(Build *b, const char *what, const char *why)
{
    return diag_error(b->g->diag, "mcufc.width%s%s: %s", *what ? ":" : "s",
                      what, why);
}

static bool is_narrower(const Type *a, const Type *b)
{
    bool ok = a->dt == b->dt && a->rank == b->rank;

    for (int i = 0; ok && i < a->rank; i++)
        ok = a->dim[i] <= b->dim[i];
    return ok;
}

/* LAYER:LEVEL:NAME and the constant's name at that level. */
static bool add_width(Build *b, const ModelWidth *w)
{
    Graph *g = b->g;
    int layer, level, end = 0;
    Value *v, *at;
    Narrow *n;

    if (sscanf(w->spec, "%d:%d:%n", &layer, &level, &end) != 2 || !end)
        return bad_width(b, w->spec, "LAYER:LEVEL:NAME is expected");
    if (layer < 0 || layer >= g->nlayer || level < 0 ||
        level >= g->nlevel - 1)
        return bad_width(b, w->spec, "there is no such layer or level");
    v = find(b, w->spec + end);
    at = find(b, w->at);
    if (!value_is_const(v) || !value_is_const(at) || at->narrow)
        return bad_width(b, w->spec, "two constants are expected");
    if (!is_narrower(&at->type, &v->type))
        return bad_width(b, w->spec, "the constant at that level has another "
                         "type, or more of an axis");
    if (v->narrow && v->narrow->layer != layer)
        return bad_width(b, w->spec, "it is of another layer");
    if (!v->narrow) {
        n = NEW(g->arena, Narrow);
        n->layer = layer;
        n->at = NEW_ARRAY(g->arena, Value *, g->nlevel);
        v->narrow = n;
    }
    v->narrow->at[level] = at;
    return true;
}

static bool widths_build(Build *b)
{
    const ModelFacts *f = &b->m->facts;
    Graph *g = b->g;

    if (!f->widths)
        return !f->width || bad_width(b, "", "is missing");
    if (sscanf(f->widths, "%d %d", &g->nlevel, &g->nlayer) != 2 ||
        g->nlevel < 2 || g->nlevel > MAX_WIDTHS || g->nlayer < 1 ||
        g->nlayer > 65536)
        return bad_width(b, "", "a number of levels (2 to 64) and of layers "
                         "is expected");
    for (const ModelWidth *w = f->width; w; w = w->next)
        if (!add_width(b, w))
            return false;
    for (int i = 0; i < g->nvalue; i++)
        for (int l = 0; g->value[i]->narrow && l < g->nlevel - 1; l++)
            if (!g->value[i]->narrow->at[l])
                return bad_width(b, g->value[i]->name, "a level is missing");
    return true;
}

bool facts_build(Build *b)
{
    for (const ModelState *s = b->m->facts.state; s; s = s->next)
        if (!add_state(b, s))
            return false;
    place_inputs(b, b->m->graph.in, b->m->graph.nin);
    plan_build(b);
    return widths_build(b);
}
