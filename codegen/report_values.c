/* report_values.c - the inhabitants of each buffer, for the report.
 *
 * The planner places buffers; people think in values. A value is in its
 * buffer because a step computed it there, or as a view of a value that is
 * there already, or because it overwrites one that dies (in place).
 */
#include "../ir/region.h"
#include "report.h"


int resident_last_step(const Graph *g, const Value *v)
{
    return v->is_output || (v->buf->is_state && !v->def)
               ? g->plan->nsteps : value_last_step(v);
}

/* Grouping: a counting sort by buffer */

static void visit(Residents *r, int *slot, const Value *v)
{
    if (!v || !v->buf)
        return;
    if (r->list)
        r->list[slot[v->buf->id]] = v;
    slot[v->buf->id]++;
}

static void visit_all(Residents *r, int *slot)
{
    for (int i = 0; i < r->g->nin; i++)
        visit(r, slot, r->g->in[i]);
    for (const State *s = r->g->state; s; s = s->next)
        visit(r, slot, s->in);
    for EACH_NODE(n, r->g)
        for (int i = 0; i < n->nout; i++)
            visit(r, slot, n->out[i]);
}

Residents *residents_new(Arena *arena, const Graph *g)
{
    Residents *r = NEW(arena, Residents);
    int n = g->plan->nbuf, *slot = NEW_ARRAY(arena, int, n + 1);

    r->g = g;
    r->arena = arena;
    r->start = NEW_ARRAY(arena, int, n + 1);
    visit_all(r, slot);
    for (int i = 0; i < n; i++) {
        r->start[i + 1] = r->start[i] + slot[i];
        slot[i] = r->start[i];
    }
    r->list = NEW_ARRAY(arena, const Value *, r->start[n] + 1);
    visit_all(r, slot);
    return r;
}

/* The operand of v's maker whose place v takes; NULL: none. */
static const Value *overwritten(const Value *v)
{
    for (int i = 0; v->def && i < v->def->nin; i++)
        if (v->def->in[i] && v->def->in[i]->buf == v->buf)
            return v->def->in[i];
    return NULL;
}

static const char *how(const Value *v)
{
    if (!v->def)
        return v->buf->is_state ? "state" : "input";
    if (v->def->op == OP_Receive)
        return "input";
    if (overwritten(v))
        return codegen_has_step(v->def) ? "in_place" : "view";
    return node_is_commit(v->def) ? "commit" : "computed";
}

/* The new value of a state is an output to the graph, not to the caller. */
static bool caller_reads(const Graph *g, const Value *v)
{
    for (int i = 0; v->is_output && i < g->nout; i++)
        if (g->out[i] == v)
            return true;
    return false;
}

static const char *kind(const Residents *r, const Buffer *buf)
{
    bool in = false, out = false;

    if (buf->is_state || buf->is_scratch)
        return buf->is_state ? "state" : "scratch";
    for (int i = r->start[buf->id]; i < r->start[buf->id + 1]; i++) {
        in |= r->list[i]->is_input ||
              (r->list[i]->def && r->list[i]->def->op == OP_Receive);
        out |= caller_reads(r->g, r->list[i]);
    }
    if (in && out)
        return "input_output";
    return in ? "input" : out ? "output" : "activation";
}

void json_dims(Buf *b, const Type *t)
{
    buf_putc(b, '[');
    for (int i = 0; i < t->rank; i++)
        buf_printf(b, "%s%lld", i ? ", " : "", (long long)t->dim[i]);
    buf_putc(b, ']');
}

static void json_readers(Buf *b, const Value *v)
{
    const char *comma = "";

    buf_puts(b, ", \"read_by\": [");
    for (int i = 0; i < v->nuse; i++) {
        bool again = false;
        for (int k = i - 1; k >= 0 && k > i - 8; k--)
            again |= v->use[k] == v->use[i];
        if (again)
            continue;
        buf_printf(b, "%s%d", comma, v->use[i]->index);
        comma = ", ";
    }
    buf_puts(b, "]}");
}

static void json_value(Buf *b, const Graph *g, const Value *v)
{
    const Value *over = overwritten(v);

    buf_puts(b, "\n      {\"name\": ");
    buf_quote(b, v->name);
    buf_printf(b, ", \"dtype\": \"%s\", \"shape\": ",
               dtype_name(v->type.dt));
    json_dims(b, &v->type);
    buf_printf(b, ", \"bytes\": %lld, \"at\": %lld, \"first_step\": %d, "
               "\"last_step\": %d, \"how\": \"%s\"",
               (long long)value_stored_bytes(v), (long long)v->delta,
               value_first_step(v),
               resident_last_step(g, v), how(v));
    if (over) {
        buf_puts(b, ", \"of\": ");
        buf_quote(b, over->name);
    }
    if (v->store) {
        Type tile = value_stored_type(v, v->store);
        buf_printf(b, ", \"store\": %d, \"tile\": ", v->store->id);
        json_dims(b, &tile);
    }
    json_readers(b, v);
}

const char *residents_store(const Residents *r, const Buffer *buf)
{
    int at = r->start[buf->id];
    const Region *store = at < r->start[buf->id + 1] ? r->list[at]->store
                                                     : NULL;

    return store ? arena_printf(r->arena, "%d", store->id) : "null";
}

void json_residents(Buf *b, const Residents *r, const Buffer *buf)
{
    buf_printf(b, "\"kind\": \"%s\", \"values\": [", kind(r, buf));
    for (int i = r->start[buf->id]; i < r->start[buf->id + 1]; i++) {
        if (i > r->start[buf->id])
            buf_putc(b, ',');
        json_value(b, r->g, r->list[i]);
    }
    buf_putc(b, ']');
}
