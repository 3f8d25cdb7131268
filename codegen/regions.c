/* regions.c - nodes in regions as C: a function per node that takes the
 * positions of the loops around it, and the loops that call them.
 *
 * Emitters know nothing of loops. They see the node of one turn (node_tile):
 * narrow types, pointers to its tile (region_slots.c). A last turn of fewer
 * indices is a second function.
 */
#include "arena.h"
#include "codegen.h"
#include "region_step.h"

#include <stdio.h>
#include <string.h>

static void put_signature(Step *s, Buf *b)
{
    const Emit *e = s->w->e;

    buf_printf(b, "%s_STEP void %s(%s_arena *a", e->upper, s->name, e->name);
    for (int d = 0; d < s->depth; d++)
        buf_printf(b, ", int r%d", region_at(s->n->region, d)->id);
    for (int d = 0; d < s->depth; d++)
        if (loop_slides(s->n, d))
            buf_printf(b, ", int q%d", region_at(s->n->region, d)->id);
    buf_puts(b, ")\n{\n");
}

static void put_unused(const Step *s, Buf *b, const char *body)
{
    char name[16];

    for (int i = 0; i < 2 * s->depth; i++) {
        int d = i % s->depth;
        if (i >= s->depth && !loop_slides(s->n, d))
            continue;
        snprintf(name, sizeof name, "%c%d", i < s->depth ? 'r' : 'q',
                 region_at(s->n->region, d)->id);
        if (!body_names(s->head.s, name) && !body_names(body, name) &&
            !body_names(s->tail.s, name))
            buf_printf(b, "    (void)%s;\n", name);
    }
}

static void write_function(Step *s)
{
    Buf *out = s->w->steps;
    const char *body;

    buf_init(&s->head, s->w->e->arena);
    buf_init(&s->tail, s->w->e->arena);
    body = region_body(s);
    region_declare_slots(s, body);
    step_comment(out, s->n);
    put_signature(s, out);
    buf_write(out, s->head.s, s->head.n);
    put_unused(s, out, body);
    buf_puts(out, body);
    buf_write(out, s->tail.s, s->tail.n);
    buf_printf(out, "    %s_STEP_KEEP();\n}\n\n", s->w->e->upper);
}

/* step_7, step_7_t1 for the last turn of the loop of depth 1, step_7_q0_71
 * for indices from 71 on where the loop of depth 0 slides */
static const char *function_name(const Step *s)
{
    Buf b;

    buf_init(&b, s->w->e->arena);
    buf_printf(&b, "%s_step_%d", s->w->e->name, s->n->index);
    for (int d = 0; d < s->depth; d++)
        if (loop_slides(s->n, d))
            buf_printf(&b, "_q%d_%lld", d, (long long)s->pos[d]);
        else if (s->pos[d] >= 0)
            buf_printf(&b, "_t%d", d);
    return b.s;
}

/* Loops */

static void indent(StepWriter *w, int depth)
{
    buf_printf(w->run, "%*s", 4 + 4 * depth, "");
}

/* The step at the other widths. */
static void write_narrow(const Step *s)
{
    Weights *weights = s->w->e->state->weights;

    weights_share_parts(weights, true);
    for (int l = 0; s->n->narrow && l < s->n->graph->nlevel - 1; l++) {
        Step narrow = *s;
        narrow.n = s->n->narrow[l];
        narrow.name = arena_printf(s->w->e->arena, "%s_w%d", s->name, l);
        write_function(&narrow);
    }
    weights_share_parts(weights, false);
}

/* The step's call and its function, for one combination of turns and runs
 * of indices; `in` is how deep the call stands. */
static void write_call(StepWriter *w, Node *n, const int64_t *count,
                       const int64_t *pos, int in)
{
    Step s = { .w = w, .n = n, .depth = region_depth(n->region),
               .count = count, .pos = pos };
    Buf args;

    for (int d = 0; d < s.depth; d++)
        s.at[d] = pos[d] < 0 ? 0 : pos[d];
    s.name = function_name(&s);
    write_function(&s);
    write_narrow(&s);
    buf_init(&args, w->e->arena);
    for (int d = 0; d < s.depth; d++)
        buf_printf(&args, ", r%d", region_at(n->region, d)->id);
    for (int d = 0; d < s.depth; d++)
        if (loop_slides(n, d))
            buf_printf(&args, ", q%d", region_at(n->region, d)->id);
    step_call(w->run, w->e, n, s.name, args.s, in + 1);
}

/* "r0 * 2 + 3", but no less (or no more) than `limit` where it can be */
static const char *bounded(StepWriter *w, const Region *r, const Slide *s,
                           int64_t add, int64_t limit, bool below)
{
    Arena *arena = w->e->arena;
    int64_t least = r->begin * s->unit + add;
    int64_t most = (r->extent - 1) / r->tile * r->tile * s->unit + add;
    const char *e = arena_printf(arena, "r%d", r->id);

    if (s->unit != 1)
        e = arena_printf(arena, "%s * %lld", e, (long long)s->unit);
    if (add)
        e = arena_printf(arena, "%s %c %lld", e, add < 0 ? '-' : '+',
                         (long long)(add < 0 ? -add : add));
    if (below ? most <= limit : least >= limit)
        return e;
    return arena_printf(arena, "(%s %c %lld ? %s : %lld)", e,
                        below ? '<' : '>', (long long)limit, e,
                        (long long)limit);
}

/* Loops over the indices that a turn makes, where loops slide; runs that no
 * turn meets are left out. */
static void write_calls(StepWriter *w, Node *n, int d, int64_t *count,
                        int64_t *pos, int in)
{
    const Region *r = region_at(n->region, d);
    int64_t was[2], *first;
    const Slide *s;
    int runs;

    if (d == region_depth(n->region)) {
        write_call(w, n, count, pos, in);
        return;
    }
    if (!loop_slides(n, d)) {
        write_calls(w, n, d + 1, count, pos, in);
        return;
    }
    was[0] = count[d];
    was[1] = pos[d];
    s = &n->slide[d];
    first = node_runs(n, d, w->e->arena, &runs);
    for (int i = 0; i < runs; i++) {
        indent(w, in);
        buf_printf(w->run, "for (int q%d = %s; q%d < %s; q%d++) {\n", r->id,
                   bounded(w, r, s, s->to - s->made, first[i], false), r->id,
                   bounded(w, r, s, s->to, first[i + 1], true), r->id);
        count[d] = 1;
        pos[d] = first[i];
        write_calls(w, n, d + 1, count, pos, in + 1);
        indent(w, in);
        buf_puts(w->run, "}\n");
    }
    count[d] = was[0];
    pos[d] = was[1];
}

static void write_node(StepWriter *w, Node *n, int64_t *count, int64_t *pos)
{
    int depth = region_depth(n->region);

    if (!codegen_has_step(n))
        return;
    indent(w, depth);
    buf_printf(w->run, "%s_STEP_BEGIN(%d);\n", w->e->upper, n->index);
    write_calls(w, n, 0, count, pos, depth);
    indent(w, depth);
    buf_printf(w->run, "%s_STEP_END(%d);\n", w->e->upper, n->index);
}

/* What the turn before has left of v goes to its beginning. */
static void write_carry(StepWriter *w, const Region *r, const Value *v)
{
    int axis;
    int64_t fresh, left = value_carried(v, &axis, &fresh), size, planes;
    const char *more = "";
    Buf to;
    Type t;

    if (v->store != r || !v->buf || left <= 0)
        return;
    t = value_stored_type(v, r);
    size = type_span(&t, axis + 1, t.rank) * dtype_bytes(t.dt);
    planes = type_span(&t, 0, axis);
    buf_init(&to, w->e->arena);
    arena_value(&to, v->def->graph->plan, v);
    if (planes > 1) {
        indent(w, r->depth + 1);
        buf_printf(w->run, "for (int k = 0; k < %lld; k++)\n    ",
                   (long long)planes);
        more = arena_printf(w->e->arena, " + k * %lld",
                            (long long)(t.dim[axis] * size));
    }
    indent(w, r->depth + 1);
    buf_printf(w->run, "memmove(%s%s, %s%s + %lld, %lld);\n", to.s, more,
               to.s, more, (long long)(fresh * size),
               (long long)(left * size));
}

static Node *write_turns(StepWriter *w, Node *n, Region *r, int64_t *count,
                         int64_t *pos);

/* The nodes of r, once; returns the node behind them. */
static Node *write_body(StepWriter *w, Node *n, Region *r, int64_t *count,
                        int64_t *pos)
{
    while (n && region_within(n->region, r))
        if (n->region == r) {
            write_node(w, n, count, pos);
            n = n->next;
        } else {
            n = write_turns(w, n, region_below(n, r), count, pos);
        }
    return n;
}

static Node *write_turns(StepWriter *w, Node *n, Region *r, int64_t *count,
                         int64_t *pos)
{
    int64_t rest = r->slides ? 0 : r->extent % r->tile;
    int64_t full = r->extent - rest;
    const Graph *g = n->graph;
    Node *end;

    count[r->depth] = r->tile;
    pos[r->depth] = -1;
    indent(w, r->depth);
    buf_printf(w->run, "for (int r%d = %lld; r%d < %lld; r%d += %lld) {\n",
               r->id, (long long)r->begin, r->id, (long long)full, r->id,
               (long long)r->tile);
    for (int i = 0; r->slides && i < g->nvalue; i++)
        write_carry(w, r, g->value[i]);
    end = write_body(w, n, r, count, pos);
    indent(w, r->depth);
    buf_puts(w->run, "}\n");
    if (!rest)
        return end;
    count[r->depth] = rest;
    pos[r->depth] = full;
    indent(w, r->depth);
    buf_printf(w->run, "for (int r%d = %lld; r%d < %lld; r%d += %lld) {\n",
               r->id, (long long)full, r->id, (long long)r->extent, r->id,
               (long long)rest);
    end = write_body(w, n, r, count, pos);
    indent(w, r->depth);
    buf_puts(w->run, "}\n");
    return end;
}

/* The loop that receives bands, as a function of the turns to be done. A
 * turn ends with what it leaves to the next one, so that the caller can write
 * its next band behind that. */
static Node *write_band_turns(StepWriter *w, Node *n, Region *r,
                              int64_t *count, int64_t *pos)
{
    int64_t rest = r->slides ? 0 : r->extent % r->tile;
    const Graph *g = n->graph;
    Node *end;

    count[0] = r->tile;
    pos[0] = -1;
    buf_printf(w->run, "static void %s_turns(%s_arena *a, int from, int to)"
               "\n{\n    for (int r%d = from; r%d < to && r%d < %lld; "
               "r%d += %lld) {\n", w->e->name, w->e->name, r->id, r->id,
               r->id, (long long)(r->extent - rest), r->id,
               (long long)r->tile);
    end = write_body(w, n, r, count, pos);
    for (int i = 0; r->slides && i < g->nvalue; i++)
        write_carry(w, r, g->value[i]);
    buf_puts(w->run, "    }\n");
    if (rest) {
        count[0] = rest;
        pos[0] = r->extent - rest;
        buf_printf(w->run, "    for (int r%d = %lld; r%d < to; r%d = to) {\n",
                   r->id, (long long)pos[0], r->id, r->id);
        end = write_body(w, n, r, count, pos);
        buf_puts(w->run, "    }\n");
    }
    buf_puts(w->run, "}\n\n");
    return end;
}

Node *regions_write(StepWriter *w, Node *n)
{
    int64_t count[REGION_DEPTH] = { 0 }, pos[REGION_DEPTH] = { 0 };
    Region *r = region_at(n->region, 0);
    StepWriter apart = { w->e, w->steps, w->turns, NULL };
    Band band;

    if (graph_band(n->graph, &band) && band.loop == r)
        return write_band_turns(&apart, n, r, count, pos);
    return write_turns(w, n, r, count, pos);
}
