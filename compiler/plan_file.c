/* plan_file.c - --check-plan: reads a JSON report, which somebody may have
 * edited, as a plan for the graph that the model gives.
 *
 * Nothing of the planner takes part: the graph is built and rewritten up to
 * the pass `schedule` (where the file has loops, `stream` lays them over the
 * graph); order, buffers, addresses and lifetimes come from the file.
 * plan_rules.c and passes/check_plan.c then judge them.
 */
#include "plan_file.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "../support/file.h"
#include "../ir/region.h"

enum { MAX_FILE = 1 << 30 };
/* no sum of two can overflow */
static const int64_t MAX_BYTES = (int64_t)1 << 60;

bool plan_bad(const PlanFile *f, const Json *at, const char *fmt, ...)
{
    Diag *d = f->c->diag;
    const char *file = d->file;
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    d->file = f->path;
    if (at)
        diag_error(d, "line %d: %s", at->line, text);
    else
        diag_error(d, "%s", text);
    d->file = file;
    return false;
}

bool plan_int(const PlanFile *f, const Json *j, const char *key,
              int64_t *out)
{
    const Json *v = json_get(j, key);

    if (!v || v->kind != JSON_INT)
        return plan_bad(f, v ? v : j, "'%s' is %s, not a whole number", key,
                        json_kind(v));
    if (v->number > MAX_BYTES || v->number < -MAX_BYTES)
        return plan_bad(f, v, "'%s' is out of range", key);
    *out = v->number;
    return true;
}

bool plan_text(const PlanFile *f, const Json *j, const char *key,
               const char **out)
{
    const Json *v = json_get(j, key);

    if (!v || v->kind != JSON_STRING)
        return plan_bad(f, v ? v : j, "'%s' is %s, not a string", key,
                        json_kind(v));
    *out = v->text;
    return true;
}

bool plan_list(const PlanFile *f, const Json *j, const char *key,
               const Json **out)
{
    const Json *v = json_get(j, key);

    if (!v || v->kind != JSON_ARRAY)
        return plan_bad(f, v ? v : j, "'%s' is %s, not a list", key,
                        json_kind(v));
    *out = v;
    return true;
}

/* The node that this step stands for: it makes the values that are named. */
static Node *step_node(const PlanFile *f, const Json *step)
{
    const Json *outs;
    const char *op;
    Node *n = NULL;
    int k = 0;

    if (!plan_text(f, step, "op", &op) ||
        !plan_list(f, step, "outputs", &outs))
        return NULL;
    for (int i = 0; i < outs->n; i++) {
        Value *v = outs->item[i]->kind == JSON_STRING
                       ? graph_find(f->g, outs->item[i]->text) : NULL;
        if (!v || !v->def || (n && v->def != n)) {
            plan_bad(f, outs->item[i], "no step of the model makes '%s'",
                     v ? v->name : outs->item[i]->text
                         ? outs->item[i]->text : "");
            return NULL;
        }
        n = v->def;
    }
    for (int i = 0; n && i < n->nout; i++)
        k += n->out[i] != NULL;
    if (!n || k != outs->n || strcmp(op_name(n->op), op)) {
        plan_bad(f, step, "step of op %s with %d results: the model has no "
                 "such step", op, outs->n);
        return NULL;
    }
    return n;
}

/* The order of the file, which must be one of the graph's. */
static bool load_steps(PlanFile *f)
{
    const Json *steps, *lean;
    bool *done;
    int total = 0;
    int64_t index;

    if (!plan_list(f, f->root, "steps", &steps))
        return false;
    graph_number(f->g);
    for EACH_NODE(n, f->g)
        total++;
    done = NEW_ARRAY(f->g->scratch, bool, total + 1);
    for (int i = 0; i < steps->n; i++) {
        const Json *step = steps->item[i];
        Node *n;
        if (!plan_int(f, step, "index", &index) ||
            !(n = step_node(f, step)))
            return false;
        if (index != i)
            return plan_bad(f, step, "step %d has the index %lld", i,
                            (long long)index);
        if (done[n->index])
            return plan_bad(f, step, "step %d: '%s' runs twice", i, n->name);
        for (int k = 0; k < n->nin; k++)
            if (n->in[k] && n->in[k]->def && !done[n->in[k]->def->index])
                return plan_bad(f, step, "step %d: '%s' (%s) needs '%s', "
                                "which is not computed yet", i, n->name,
                                op_name(n->op), n->in[k]->name);
        done[n->index] = true;
        lean = json_get(step, "lean");
        node_set_lean(n, !lean || lean->kind != JSON_INT ? 0
                         : lean->number > 1                 ? 2
                         : lean->number > 0);
        node_move(n, NULL);     /* index stays that of the model's order */
    }
    if (steps->n != total)
        return plan_bad(f, steps, "%d steps, the model has %d", steps->n,
                        total);
    if (!plan_loops_whole(f, steps))
        return false;
    graph_number(f->g);
    if (!plan_loops(f, steps))
        return false;
    for EACH_NODE(n, f->g)
        codegen_scratch(n);
    f->g->plan->nsteps = total;
    return true;
}

static bool load_scratch(const PlanFile *f, Buffer *b, const Json *j)
{
    for EACH_NODE(n, f->g) {
        if (n->index != b->first)
            continue;
        if (n->scratch_buf || !n->scratch)
            return plan_bad(f, j, "scratch '%s': step %d, '%s' (%s), %s",
                            b->name, b->first, n->name, op_name(n->op),
                            n->scratch ? "has it already" : "needs none");
        n->scratch_buf = b;
        return true;
    }
    return plan_bad(f, j, "scratch '%s' is for step %d: there is none",
                    b->name, b->first);
}

static bool load_values(const PlanFile *f, Buffer *b, const Json *j)
{
    const Value *first = NULL;
    const Json *list;
    const char *name;
    int64_t at, bytes;

    if (!plan_list(f, j, "values", &list))
        return false;
    for (int i = 0; i < list->n; i++) {
        const Json *item = list->item[i];
        Value *v;
        if (!plan_text(f, item, "name", &name) ||
            !plan_int(f, item, "at", &at) ||
            !plan_int(f, item, "bytes", &bytes))
            return false;
        v = graph_find(f->g, name);
        if (!v || value_is_const(v))
            return plan_bad(f, item, "the model has no value '%s' to be "
                            "kept", name);
        if (v->buf)
            return plan_bad(f, item, "'%s' is in the buffers '%s' and '%s'",
                            name, v->buf->name, b->name);
        if (!plan_store(f, item, v))
            return false;
        if (bytes != value_stored_bytes(v))
            return plan_bad(f, item, "'%s' has %lld B, not %lld", name,
                            (long long)value_stored_bytes(v),
                            (long long)bytes);
        if (i && v->store != first->store)
            return plan_bad(f, item, "'%s' and '%s' are in one buffer, but "
                            "not in the same loops", first->name, name);
        first = i ? first : v;
        if (at < 0 || at + bytes > b->bytes)
            return plan_bad(f, item, "'%s', bytes %lld to %lld, lies outside "
                            "its buffer '%s' of %lld B", name, (long long)at,
                            (long long)(at + bytes - 1), b->name,
                            (long long)b->bytes);
        v->buf = b;
        v->delta = at;
    }
    return true;
}

static int pool_named(const Plan *p, const Json *j)
{
    const Json *name = json_get(j, "pool");

    for (int i = 0; i < p->npool; i++)
        if (p->pool[i].name
                ? name && name->kind == JSON_STRING &&
                      !strcmp(name->text, p->pool[i].name)
                : !name || name->kind == JSON_NULL)
            return i;
    return -1;
}

static bool load_buffer(PlanFile *f, const Json *j)
{
    Plan *p = f->g->plan;
    Buffer *b = NEW(f->g->arena, Buffer);
    int64_t first, last;
    const char *kind;

    if (!plan_text(f, j, "name", &b->name) ||
        !plan_text(f, j, "kind", &kind) ||
        !plan_int(f, j, "offset", &b->offset) ||
        !plan_int(f, j, "bytes", &b->bytes) ||
        !plan_int(f, j, "first_step", &first) ||
        !plan_int(f, j, "last_step", &last))
        return false;
    b->pool = pool_named(p, j);
    if (b->pool < 0)
        return plan_bad(f, j, "buffer '%s' is in no pool of the arena",
                        b->name);
    if (b->offset < 0 || b->bytes < 0 || first < -1 || last < first ||
        last > p->nsteps)
        return plan_bad(f, j, "buffer '%s': %lld B at %lld, steps %lld to "
                        "%lld cannot be", b->name, (long long)b->bytes,
                        (long long)b->offset, (long long)first,
                        (long long)last);
    b->id = p->nbuf;
    b->first = (int)first;
    b->last = (int)last;
    b->align = 8;
    b->is_state = !strcmp(kind, "state");
    b->is_scratch = !strcmp(kind, "scratch");
    PUSH(f->g->arena, p->buf, p->nbuf, p->capbuf, b);
    f->of[b->id] = j;
    return b->is_scratch ? load_scratch(f, b, j) : load_values(f, b, j);
}

/* Without "pools" there is one, the arena. */
static bool load_pools(PlanFile *f, const Json *arena)
{
    Plan *p = f->g->plan;
    const Json *list = json_get(arena, "pools");
    const char *state;
    int64_t base = 0;

    if (!list || list->kind == JSON_NULL) {
        p->npool = 1;
        p->pool = NEW(f->g->arena, MemPool);
        p->pool->limit = -1;
        p->pool->bytes = p->arena_bytes;
        return true;
    }
    if (list->kind != JSON_ARRAY || !list->n)
        return plan_bad(f, list, "'pools' is not a list of pools");
    p->npool = list->n;
    p->pool = NEW_ARRAY(f->g->arena, MemPool, list->n);
    for (int i = 0; i < list->n; i++) {
        MemPool *m = &p->pool[i];
        const Json *j = list->item[i];
        if (!plan_text(f, j, "name", &m->name) ||
            !plan_int(f, j, "bytes", &m->bytes) ||
            !plan_int(f, j, "size", &m->limit))
            return false;
        m->base = base;
        base += m->bytes;
        if (m->bytes < 0 || base > MAX_BYTES)
            return plan_bad(f, j, "pool '%s' has %lld B", m->name,
                            (long long)m->bytes);
        if (json_get(arena, "state_pool") &&
            json_get(arena, "state_pool")->kind != JSON_NULL &&
            plan_text(f, arena, "state_pool", &state) &&
            !strcmp(state, m->name))
            p->state_pool = i;
    }
    return base == p->arena_bytes ||
           plan_bad(f, list, "the pools have %lld B, the arena %lld",
                    (long long)base, (long long)p->arena_bytes);
}

bool plan_file_load(PlanFile *f)
{
    const Json *arena = json_get(f->root, "arena"), *buffers;
    const Json *shared = json_get(arena, "shared");
    Plan *p = NEW(f->g->arena, Plan);
    int64_t align;

    f->g->plan = p;
    f->g->overlap = true;       /* whatever a kernel promises may be used */
    if (!arena || arena->kind != JSON_OBJECT)
        return plan_bad(f, f->root, "'arena' is %s, not an object",
                        json_kind(arena));
    if (!plan_int(f, arena, "bytes", &p->arena_bytes) ||
        !plan_int(f, arena, "align", &align) ||
        !plan_int(f, arena, "state_bytes", &p->state_bytes) ||
        !load_pools(f, arena) || !load_steps(f) ||
        !plan_list(f, f->root, "buffers", &buffers))
        return false;
    p->state_end = p->state_bytes;
    if (shared && (!plan_int(f, shared, "state_offset", &p->state_at) ||
                   !plan_int(f, shared, "state_end", &p->state_end)))
        return false;
    if (p->state_at < 0 || p->state_at + p->state_bytes > p->state_end)
        return plan_bad(f, shared, "the state region is outside the states "
                        "of all models");
    p->is_shared = shared != NULL;
    if (align != 8)
        return plan_bad(f, arena, "the arena is aligned to 8, not %lld",
                        (long long)align);
    f->of = NEW_ARRAY(f->c->arena, const Json *, buffers->n + 1);
    for (int i = 0; i < buffers->n; i++)
        if (!load_buffer(f, buffers->item[i]))
            return false;
    return true;
}

/* The options that the report says it was made with. */
static bool take_options(PlanFile *f, Options *o)
{
    const Json *list = json_get(f->root, "options");

    if (list && list->kind != JSON_ARRAY)
        return plan_bad(f, list, "'options' is not a list");
    for (int i = 0; list && i < list->n; i++) {
        const Json *j = list->item[i];
        if (j->kind != JSON_STRING)
            return plan_bad(f, j, "an option is not a string");
        if (!options_add(o, j->text, f->c->arena, f->c->diag))
            return plan_bad(f, j, "option '%s' cannot be taken over",
                            j->text);
    }
    return true;
}

/* Of several models in one arena the report's part about this one. */
static bool pick_model(PlanFile *f)
{
    const Json *list = json_get(f->root, "models"), *name;
    const char *path = f->c->opt->model, *slash = strrchr(path, '/');

    if (!list || list->kind != JSON_ARRAY)
        return true;
    for (int i = 0; i < list->n; i++) {
        name = json_get(list->item[i], "model");
        if (name && name->kind == JSON_STRING &&
            !strcmp(name->text, slash ? slash + 1 : path)) {
            f->root = list->item[i];
            return true;
        }
    }
    return plan_bad(f, list, "none of the models is '%s'",
                    slash ? slash + 1 : path);
}

static bool read_file(PlanFile *f)
{
    FileBytes bytes;

    if (!file_read(f->path, MAX_FILE, f->c->arena, f->c->diag, &bytes))
        return false;
    f->root = json_parse((const char *)bytes.data, bytes.n, f->path,
                         f->c->arena, f->c->diag);
    if (f->root && f->root->kind != JSON_OBJECT)
        return plan_bad(f, f->root, "not a report: %s",
                        json_kind(f->root));
    return f->root && pick_model(f);
}

int check_plan_file(Compile *c)
{
    PlanFile f = { .c = c, .path = c->opt->check_plan };
    Options *merged = NEW(c->arena, Options);
    const Json *loops;

    *merged = *c->opt;
    if (!read_file(&f) || !take_options(&f, merged))
        return EXIT_BAD;
    c->opt = merged;
    if (!parse_pools(c))
        return EXIT_BAD;
    loops = json_get(f.root, "regions");
    /* loops are the graph's, laid over the order that was found */
    f.g = unplanned_graph(c, loops && loops->kind == JSON_ARRAY && loops->n
                                 ? "lean" : "schedule");
    if (!f.g)
        return EXIT_BAD;
    if (!plan_file_load(&f) || !plan_file_rules(&f))
        return EXIT_BAD;
    printf("%s: valid: %d buffers in %d steps, arena %lld B\n", f.path,
           f.g->plan->nbuf, f.g->plan->nsteps,
           (long long)f.g->plan->arena_bytes);
    return EXIT_OK;
}
