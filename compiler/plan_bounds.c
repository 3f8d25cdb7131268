/* plan_bounds.c - --check-plan: the certificate, bounds[], added up again.
 *
 * A witness names what is live at one step: each tensor once, with its bytes
 * rounded to the alignment, and all of them together are the bound (or less,
 * where a search is said to have proved more). Of the order in the file,
 * buffers must be live at that step; of all orders, what makes a tensor must
 * come before the step, or be it, and a reader behind it, or be it, whatever
 * the order.
 */
#include "plan_file.h"

#include <stdlib.h>
#include <string.h>

#include "../ir/region.h"
#include "../passes/overlap.h"
#include "../support/map.h"

enum { ALIGN = 8 };

typedef struct Claim {
    const PlanFile *f;
    const Json *row;
    const char *name;           /* of the class */
    bool any, overlap;          /* orders; results over operands */
    int64_t bound;
    int step;
    const Node *node;           /* NULL: inputs or outputs */
    bool *before, *behind;      /* by node index, in every order */
    bool *needed;               /* by value id: read behind the step, or left
                                   at the end; or what shows its bytes is */
    const Map *buffers;         /* by name */
    const Saving *saved;        /* by buffer id; NULL: no class of loops that
                                   may lie over what dies */
    Map counted;                /* names of the witness so far */
    const Json *tensors;
} Claim;

static int64_t rounded(int64_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static bool starts(const char *s, const char *with)
{
    return !strncmp(s, with, strlen(with));
}

static bool ends(const char *s, const char *with)
{
    size_t n = strlen(s), k = strlen(with);

    return n >= k && !strcmp(s + n - k, with);
}

static const Node *node_at(const Graph *g, int64_t step)
{
    for EACH_NODE(n, g)
        if (n->index == step)
            return n;
    return NULL;
}

/* Steps that every order has before the claim's, and behind it. */
static void reach(Claim *c)
{
    const Graph *g = c->f->g;
    Arena *a = g->scratch;

    c->before = NEW_ARRAY(a, bool, g->plan->nsteps + 1);
    c->behind = NEW_ARRAY(a, bool, g->plan->nsteps + 1);
    if (!c->node)
        return;
    c->before[c->node->index] = c->behind[c->node->index] = true;
    for (const Node *n = c->node; n; n = n->prev)
        for (int i = 0; c->before[n->index] && i < n->nin; i++)
            if (n->in[i] && n->in[i]->def)
                c->before[n->in[i]->def->index] = true;
    for (const Node *n = c->node->next; n; n = n->next)
        for (int i = 0; i < n->nin; i++)
            if (n->in[i] && n->in[i]->def &&
                c->behind[n->in[i]->def->index])
                c->behind[n->index] = true;
}

/* All that show v's bytes are done before v itself. */
static void find_need(Claim *c, const Value *v)
{
    bool need = v->is_output || (v->is_input && c->f->c->opt->keep_inputs);
    int64_t shift;

    for (int i = 0; i < v->nuse && !need; i++) {
        const Node *n = v->use[i];
        need = c->behind[n->index];
        for (int o = 0; o < n->nout && n->in[0] == v && !need; o++)
            need = n->out[o] && c->needed[n->out[o]->id] &&
                   node_view_shift(n, o, &shift);
    }
    c->needed[v->id] = need;
}

static void find_needs(Claim *c)
{
    const Graph *g = c->f->g;

    c->needed = NEW_ARRAY(g->scratch, bool, g->nvalue + 1);
    for (const Node *n = g->last; n; n = n->prev)
        for (int o = 0; o < n->nout; o++)
            if (n->out[o])
                find_need(c, n->out[o]);
    for (int i = 0; i < g->nin; i++)
        find_need(c, g->in[i]);
}

static bool live_in_any(const Claim *c, const Value *v)
{
    if (c->step < 0)
        return !v->def;
    if (!c->node)
        return c->needed[v->id];
    if (v->def == c->node)
        return true;            /* read or not */
    return (!v->def || c->before[v->def->index]) && c->needed[v->id];
}

/* Bytes of b that may lie over what dies, at the step of the claim. */
static int64_t saved_bytes(const Claim *c, const Buffer *b)
{
    const Saving *s = c->saved && b ? &c->saved[b->id] : NULL;

    return s && s->first <= c->step && c->step <= s->last ? s->bytes : 0;
}

/* Bytes that a line of a witness can have, or -1 after a message. */
static int64_t buffer_bytes(const Claim *c, const Json *j, const char *name)
{
    const Buffer *b = map_get(c->buffers, name);

    if (b && b->first <= c->step && c->step <= b->last)
        return rounded(b->bytes) - saved_bytes(c, b);
    plan_bad(c->f, j, "'%s': nothing of the name '%s' is live at step %d",
             c->name, name, c->step);
    return -1;
}

/* Bytes that have a line of their own: states, and the operand of a view. */
static bool counted_elsewhere(const Value *v)
{
    int64_t shift;

    return !v->buf || v->buf->is_state ||
           (v->def && node_view_shift(v->def, v->def_index, &shift) &&
            v->def->in[0]->buf == v->buf);
}

static int64_t value_bytes(const Claim *c, const Json *j, const char *name)
{
    const Value *v = graph_find(c->f->g, name);

    if (v && !value_is_const(v) && !counted_elsewhere(v) &&
        live_in_any(c, v))
        return rounded(type_bytes(&v->type));
    plan_bad(c->f, j, "'%s': '%s' is not live at step %d in every order",
             c->name, name, c->step);
    return -1;
}

static int64_t states(const Claim *c, bool others)
{
    const Plan *p = c->f->g->plan;

    return others ? p->state_end - p->state_bytes : p->state_bytes;
}

static int64_t line_bytes(const Claim *c, const Json *j, const char *name)
{
    static const char scratch[] = "scratch of ";

    if (!strcmp(name, "state") && !graph_find(c->f->g, name))
        return states(c, false);
    if (!strcmp(name, "state of the other models"))
        return states(c, true);
    if (starts(name, scratch) && c->node && c->node->scratch &&
        !strcmp(name + strlen(scratch), c->node->name))
        return rounded(c->node->scratch);
    return c->any ? value_bytes(c, j, name)
                  : buffer_bytes(c, j, name);
}

/* `NAME beside them`: a result, as far as it cannot lie over the others; of
 * loops what they make, from their first step to their last. */
static const char *beside(const Claim *c, const char *name)
{
    static const char suffix[] = " beside them";

    if (!c->overlap || !c->node || !ends(name, suffix))
        return NULL;
    name = arena_printf(c->f->c->arena, "%.*s",
                        (int)(strlen(name) - strlen(suffix)), name);
    if (saved_bytes(c, map_get(c->buffers, name)))
        return name;
    for (int i = 0; i < c->node->nout; i++)
        if (c->node->out[i] && !strcmp(c->node->out[i]->name, name))
            return name;
    return NULL;
}

static bool check_line(Claim *c, const Json *j, int64_t *sum)
{
    const char *name, *part;
    int64_t bytes, has;

    if (!plan_text(c->f, j, "name", &name) ||
        !plan_int(c->f, j, "bytes", &bytes))
        return false;
    if (map_get(&c->counted, name))
        return plan_bad(c->f, j, "'%s': '%s' is counted twice", c->name,
                        name);
    map_put(&c->counted, name, (void *)(uintptr_t)j);
    part = beside(c, name);
    has = line_bytes(c, j, part ? part : name);
    if (has < 0)
        return false;
    if (part ? bytes > has : bytes != has)
        return plan_bad(c->f, j, "'%s': '%s' has %lld B, not %lld", c->name,
                        name, (long long)has, (long long)bytes);
    *sum += bytes;
    return true;
}

/* An elementwise result takes the place of an operand that may die there:
 * they do not add up. */
static bool counts_in_place(const Claim *c)
{
    const Node *n = c->node;
    const Value *y = n ? node_out(n, 0) : NULL;

    if (!c->any || !y || !op_has(n->op, T_MAP) ||
        !map_get(&c->counted, y->name) || c->f->c->opt->no_reuse)
        return false;
    for (int k = 0; k < n->nin; k++) {
        const Value *x = n->in[k];
        bool dies = x && !x->is_output &&
                    !(x->is_input && c->f->c->opt->keep_inputs) &&
                    type_equal(&x->type, &y->type) &&
                    map_get(&c->counted, x->name);
        for (int i = 0; dies && i < x->nuse; i++)
            dies = x->use[i] == n;
        if (dies)
            return true;
    }
    return false;
}

static bool check_claim(Claim *c)
{
    const Json *w = json_get(c->row, "witness"), *node;
    const char *proof;
    int64_t sum = 0, step, plan;

    if (!w || w->kind != JSON_OBJECT)
        return plan_bad(c->f, c->row, "'%s' has no witness", c->name);
    if (!plan_text(c->f, c->row, "proof", &proof) ||
        !plan_int(c->f, c->row, "bound", &c->bound) ||
        !plan_int(c->f, c->row, "plan", &plan) ||
        !plan_int(c->f, w, "step", &step) ||
        !plan_list(c->f, w, "tensors", &c->tensors))
        return false;
    /* a plan of the class refutes a higher bound: perhaps this one */
    if ((c->overlap || !c->f->nover) && c->f->g->plan->arena_bytes < plan)
        plan = c->f->g->plan->arena_bytes;
    if (plan < c->bound || c->bound % ALIGN)
        return plan_bad(c->f, c->row, "'%s': the bound is %lld B, a plan has "
                        "%lld", c->name, (long long)c->bound,
                        (long long)plan);
    if (step < -1 || step > c->f->g->plan->nsteps)
        return plan_bad(c->f, w, "'%s': there is no step %lld", c->name,
                        (long long)step);
    c->step = (int)step;
    c->node = node_at(c->f->g, step);
    node = json_get(w, "node");
    if (c->node && (!node || node->kind != JSON_STRING ||
                    strcmp(node->text, c->node->name)))
        return plan_bad(c->f, w, "'%s': step %d is '%s'", c->name, c->step,
                        c->node->name);
    reach(c);
    find_needs(c);
    map_init(&c->counted, c->f->g->scratch);
    for (int i = 0; i < c->tensors->n; i++)
        if (!check_line(c, c->tensors->item[i], &sum))
            return false;
    if (counts_in_place(c))
        return plan_bad(c->f, w, "'%s': the result of step %d takes the "
                        "place of an operand: they do not add up", c->name,
                        c->step);
    if (ends(proof, "searched") ? sum > c->bound : sum != c->bound)
        return plan_bad(c->f, w, "'%s': the witness adds up to %lld B, the "
                        "bound is %lld", c->name, (long long)sum,
                        (long long)c->bound);
    return true;
}

static bool name_class(Claim *c)
{
    static const struct {
        const char *name;
        bool any, overlap, loops;
    } list[] = {
        { "this order, no overlap", false, false, false },
        { "any order, no overlap", true, false, false },
        { "any order, overlap", true, true, false },
        { "these loops, no overlap", false, false, true },
        { "these loops, overlap", false, true, true },
    };

    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (!strcmp(list[i].name, c->name) &&
            list[i].loops == (c->f->nloop > 0)) {
            c->any = list[i].any;
            c->overlap = list[i].overlap;
            return true;
        }
    return plan_bad(c->f, c->row, "of '%s' nothing can be claimed here",
                    c->name);
}

bool plan_bounds(const PlanFile *f)
{
    const Json *arena = json_get(f->root, "arena"), *rows;
    const Plan *p = f->g->plan;
    bool found = false;
    const Saving *saved = NULL;
    Map buffers;
    int64_t own;

    rows = json_get(arena, "bounds");
    if (!rows)                  /* nothing is claimed */
        return true;
    if (!plan_list(f, arena, "bounds", &rows) ||
        !plan_int(f, arena, "lower_bound", &own))
        return false;
    if (f->nloop)
        saved = overlap_savings(f->g);
    map_init(&buffers, f->g->scratch);
    for (int i = 0; i < p->nbuf; i++)
        if (!p->buf[i]->is_scratch && !p->buf[i]->is_state)
            map_put(&buffers, p->buf[i]->name, p->buf[i]);
    for (int i = 0; i < rows->n; i++) {
        Claim c = { .f = f, .row = rows->item[i], .buffers = &buffers };
        if (!plan_text(f, c.row, "class", &c.name) || !name_class(&c))
            return false;
        c.saved = c.overlap ? saved : NULL;
        if (!check_claim(&c))
            return false;
        found |= c.bound == own;
    }
    return !rows->n || found ||
           plan_bad(f, arena, "'lower_bound' %lld is none of the bounds",
                    (long long)own);
}
