/* region_slots.c - where a step in loops finds its operands and results.
 *
 * Tiles that are not one piece are copied through scratch, unless the emitter
 * takes rows of several images as they lie; so are sums of one turn, which
 * are then added to those of the turns before.
 */
#include "arena.h"
#include "codegen.h"
#include "region_step.h"

#include <stdio.h>
#include <string.h>

/* Tiles in pieces */

static int64_t align8(int64_t n)
{
    return (n + 7) / 8 * 8;
}

int64_t region_plane(const Node *n, int slot, const int64_t *count,
                     const int64_t *pos)
{
    const Value *v = node_slot(n, slot);
    Type tile, t;

    if (n->op != OP_Conv || !v || value_is_const(v) || v->type.rank < 3 ||
        node_slot_dense(n, slot, count, pos))
        return 0;
    tile = node_tile_type(n, slot, count, pos);
    t = value_stored_type(v, v->store);
    for (int i = 0; i < t.rank; i++)
        if (i != 1 && tile.dim[i] != (i == 0 ? 1 : i == 2 ? tile.dim[2]
                                                          : t.dim[i]))
            return 0;
    return emit_takes_planes(node_tile(n, count, pos, n->graph->scratch),
                             slot) ? type_span(&t, 2, t.rank) : 0;
}

/* before the plan there are no buffers yet */
static bool needs_stage(const Node *n, int slot, const int64_t *count,
                        const int64_t *pos)
{
    const Value *v = node_slot(n, slot);

    if (!v || value_is_const(v) || !type_elems(&v->type))
        return false;
    if (slot < 0 && node_accumulates(n))
        return true;
    return !node_slot_dense(n, slot, count, pos) &&
           !region_plane(n, slot, count, pos);
}

bool region_is_staged(const Node *n, int slot, const int64_t *count,
                      const int64_t *pos)
{
    const Value *v = node_slot(n, slot);

    return v && v->buf && needs_stage(n, slot, count, pos);
}

static int64_t slot_bytes(const Node *n, int slot, const int64_t *count,
                          const int64_t *pos)
{
    Type t = node_tile_type(n, slot, count, pos);

    return align8(type_bytes(&t));
}

/* Where the copy of a slot begins in the node's scratch; the end of all of
 * them for slot == n->nin. */
static int64_t stage_offset(const Node *n, int slot, const int64_t *count,
                            const int64_t *pos, int64_t kernel)
{
    int64_t at = align8(kernel);

    for (int i = -n->nout; i < n->nin && i != slot; i++)
        if (needs_stage(n, i, count, pos))
            at += slot_bytes(n, i, count, pos);
    return at;
}

static int64_t kernel_scratch(const Node *n, const int64_t *count,
                              const int64_t *pos)
{
    const Node *t = node_tile(n, count, pos, n->graph->scratch);

    return emit_fn(n->op) ? emit_scratch(t) : 0;
}

/* The most that a call needs, from the loop of depth d on: in full turns and
 * in the last one, and where a loop slides at its borders and between them. */
static int64_t most_scratch(const Node *n, int d, int64_t *count,
                            int64_t *pos)
{
    int64_t kernel, all, most = 0, *first;
    int runs;

    if (d == region_depth(n->region)) {
        kernel = kernel_scratch(n, count, pos);
        all = stage_offset(n, n->nin, count, pos, kernel);
        return all > align8(kernel) ? all : kernel;
    }
    pos[d] = 0;
    if (!loop_slides(n, d)) {
        const Region *r = region_at(n->region, d);
        count[d] = r->extent % r->tile;
        most = count[d] ? most_scratch(n, d + 1, count, pos) : 0;
        count[d] = r->tile;
        all = most_scratch(n, d + 1, count, pos);
        return all > most ? all : most;
    }
    count[d] = 1;
    first = node_runs(n, d, n->graph->scratch, &runs);
    for (int i = 0; i < runs; i++) {
        pos[d] = first[i];
        all = most_scratch(n, d + 1, count, pos);
        most = all > most ? all : most;
    }
    return most;
}

int64_t region_scratch(const Node *n)
{
    int64_t count[REGION_DEPTH], pos[REGION_DEPTH];

    return most_scratch(n, 0, count, pos);
}

/* Declarations */

void region_slot_name(char *name, int slot)
{
    snprintf(name, 16, "%c%d", slot < 0 ? 'y' : 'x', slot < 0 ? ~slot : slot);
}

/* " + (r1 * 192 + q1 * 64 - 32)": how far a slot's tile is from the
 * beginning; size 1: in elements */
static void put_steps(const Step *s, Buf *b, int slot, int64_t size)
{
    const char *plus = "";
    Buf sum;
    Place p;

    node_slot_place(s->n, slot, s->at, &p);
    buf_init(&sum, s->w->e->arena);
    for (int d = 0; d < s->depth; d++) {
        int id = region_at(s->n->region, d)->id;
        if (p.turn[d]) {
            buf_printf(&sum, "%sr%d * %lld", plus, id,
                       (long long)(p.turn[d] * size));
            plus = " + ";
        }
        if (p.index[d]) {
            buf_printf(&sum, "%sq%d * %lld", plus, id,
                       (long long)(p.index[d] * size));
            plus = " + ";
        }
    }
    if (p.base)
        buf_printf(&sum, "%s%lld", plus, (long long)(p.base * size));
    if (sum.n)
        buf_printf(b, node_slides(s->n) ? " + (%s)" : " + %s", sum.s);
}

static const char *slot_address(const Step *s, int slot)
{
    const Value *v = node_slot(s->n, slot);
    Buf b;

    buf_init(&b, s->w->e->arena);
    arena_value(&b, s->n->graph->plan, v);
    put_steps(s, &b, slot, dtype_bytes(v->type.dt));
    return b.s;
}

/* The loops that copy between a tile in pieces and its dense copy. */
static void put_stage_copy(Step *s, int slot)
{
    const Value *v = node_slot(s->n, slot);
    Type tile = node_tile_type(s->n, slot, s->count, s->at);
    Type t = value_stored_type(v, v->store);
    int64_t stride[MAX_RANK], dense[MAX_RANK], size;
    Buf *b = slot < 0 ? &s->tail : &s->head, from, to;
    int inner = t.rank, opened = 0;
    char name[16];

    region_slot_name(name, slot);
    size = dtype_bytes(t.dt);
    while (inner > 0 && tile.dim[inner - 1] == t.dim[inner - 1])
        inner--;
    inner -= inner > 0;
    type_strides(&t, stride);
    type_strides(&tile, dense);
    buf_init(&from, s->w->e->arena);
    buf_init(&to, s->w->e->arena);
    buf_puts(&from, slot_address(s, slot));
    buf_puts(&to, name);
    for (int i = 0; i < inner; i++) {
        if (tile.dim[i] == 1)
            continue;
        buf_printf(b, "    %*sfor (int k%d = 0; k%d < %lld; k%d++)\n",
                   4 * opened++, "", i, i, (long long)tile.dim[i], i);
        buf_printf(&from, " + k%d * %lld", i, (long long)(stride[i] * size));
        buf_printf(&to, " + k%d * %lld", i, (long long)dense[i]);
    }
    buf_printf(b, "    %*smemcpy(%s, %s, %lld);\n", 4 * opened, "",
               slot < 0 ? from.s : to.s, slot < 0 ? to.s : from.s,
               (long long)(type_span(&tile, inner, t.rank) * size));
}

/* C condition: nothing was accumulated yet. */
static const char *first_turn_test(const Step *s)
{
    Buf b;

    buf_init(&b, s->w->e->arena);
    for (int d = 0; d < s->depth; d++)
        if (loop_accumulates(s->n, d))
            buf_printf(&b, "%s%c%d == 0", b.n ? " && " : "",
                       loop_slides(s->n, d) ? 'q' : 'r',
                       region_at(s->n->region, d)->id);
    return b.s;
}

/* What was accumulated, t, with y of this turn: integers wrap around, NaN
 * stays. */
static const char *accumulated(const Node *n, Arena *arena, const char *t,
                               const char *y)
{
    DType dt = n->out[0]->type.dt;
    const char *than = n->op == OP_ReduceMin ? "<" : ">";

    if (n->op == OP_ReduceMax || n->op == OP_ReduceMin)
        return dtype_is_float(dt)
                   ? arena_printf(arena, "%s %s %s || %s != %s ? %s : %s", y,
                                  than, t, y, y, y, t)
                   : arena_printf(arena, "%s %s %s ? %s : %s", y, than, t, y,
                                  t);
    if (dtype_is_float(dt))
        return arena_printf(arena, "%s + %s", t, y);
    return arena_printf(arena, "(%s)((uint%d_t)%s + (uint%d_t)%s)",
                        dtype_ctype(dt), dtype_bits(dt), t, dtype_bits(dt),
                        y);
}

/* "[k1 * 64 + k2]": an element of a tile with these strides */
static const char *element(Arena *arena, const Type *tile,
                           const int64_t *stride)
{
    Buf b;

    buf_init(&b, arena);
    for (int i = 0; i < tile->rank; i++)
        if (tile->dim[i] > 1) {
            buf_printf(&b, b.n ? " + k%d" : "[k%d", i);
            if (stride[i] != 1)
                buf_printf(&b, " * %lld", (long long)stride[i]);
        }
    buf_puts(&b, b.n ? "]" : "[0]");
    return b.s;
}

/* Sums, or maxima, of this turn and of those before. */
static void put_accumulated(Step *s)
{
    const Value *v = s->n->out[0];
    Type tile = node_tile_type(s->n, ~0, s->count, s->at);
    Type t = value_stored_type(v, v->store);
    const char *ctype = dtype_ctype(t.dt), *to, *from;
    Arena *arena = s->w->e->arena;
    int64_t stride[MAX_RANK], dense[MAX_RANK];
    Buf *b = &s->tail;
    int opened = 0;

    type_strides(&t, stride);
    type_strides(&tile, dense);
    to = arena_printf(arena, "t%s", element(arena, &tile, stride));
    from = arena_printf(arena, "y0%s", element(arena, &tile, dense));
    buf_printf(b, "    {\n        %s *t = (%s *)(void *)(%s);\n", ctype, ctype,
               slot_address(s, ~0));
    buf_printf(b, "        const int first = %s;\n\n", first_turn_test(s));
    for (int i = 0; i < tile.rank; i++)
        if (tile.dim[i] > 1)
            buf_printf(b, "        %*sfor (int k%d = 0; k%d < %lld; k%d++)\n",
                       4 * opened++, "", i, i, (long long)tile.dim[i], i);
    buf_printf(b, "        %*s%s = first ? %s\n        %*s: %s;\n    }\n",
               4 * opened, "", to, from, 4 * opened + 8, "",
               accumulated(s->n, arena, to, from));
}

static void declare_staged(Step *s, int slot, int64_t kernel)
{
    const Value *v = node_slot(s->n, slot);
    const char *ctype = dtype_ctype(v->type.dt);
    char name[16];

    region_slot_name(name, slot);
    buf_printf(&s->head, "    %s *%s = (%s *)(void *)(", ctype, name, ctype);
    arena_byte(&s->head, s->n->graph->plan, s->n->scratch_buf->pool,
               s->n->scratch_buf->offset +
                   stage_offset(s->n, slot, s->count, s->at, kernel));
    buf_puts(&s->head, ");\n");
}

static void declare_placed(Step *s, int slot)
{
    const Value *v = node_slot(s->n, slot);
    const char *constant = slot < 0 ? "" : "const ";
    const char *ctype = dtype_ctype(v->type.dt);
    char name[16];

    region_slot_name(name, slot);
    buf_printf(&s->head, "    %s%s *%s = (%s%s *)(%svoid *)(%s);\n",
               constant, ctype, name, constant, ctype, constant,
               slot_address(s, slot));
}

/* A constant that lies in one piece per turn, or is not cut at all. */
static void declare_constant(Step *s, int slot)
{
    const Value *v = node_slot(s->n, slot);

    buf_printf(&s->head, "    const %s *x%d = %s", dtype_ctype(v->type.dt),
               slot, weights_add(s->w->e->state->weights, v->name,
                                 v->type.dt, type_elems(&v->type), v->data));
    put_steps(s, &s->head, slot, 1);
    buf_puts(&s->head, ";\n");
}

static bool is_cut_constant(const Step *s, int slot)
{
    return value_is_const(s->n->in[slot]) &&
           !node_slot_dense(s->n, slot, s->count, s->at);
}

void region_declare_slots(Step *s, const char *body)
{
    int64_t kernel = kernel_scratch(s->n, s->count, s->at);
    char name[16];

    for (int i = -s->n->nout; i < s->n->nin; i++) {
        bool staged = region_is_staged(s->n, i, s->count, s->at);
        region_slot_name(name, i);
        if (!node_slot(s->n, i) || (i >= 0 && is_cut_constant(s, i)) ||
            (!staged && !body_names(body, name)))
            continue;
        if (i >= 0 && value_is_const(s->n->in[i]))
            declare_constant(s, i);
        else if (staged)
            declare_staged(s, i, kernel);
        else
            declare_placed(s, i);
    }
    if (s->n->scratch && body_names(body, "s")) {
        buf_puts(&s->head, "    uint8_t *s = ");
        arena_byte(&s->head, s->n->graph->plan, s->n->scratch_buf->pool,
                   s->n->scratch_buf->offset);
        buf_puts(&s->head, ";\n");
    }
    buf_putc(&s->head, '\n');
    for (int i = -s->n->nout; i < s->n->nin; i++)
        if (i < 0 && node_accumulates(s->n))
            put_accumulated(s);
        else if (region_is_staged(s->n, i, s->count, s->at))
            put_stage_copy(s, i);
}
