/* region_body.c - the body of a step in loops.
 *
 * What an emitter makes of a constant that the loops cut is asked for turn by
 * turn; equal texts become one, with the turns' tables behind one another.
 */
#include "codegen.h"
#include "region_step.h"

#include <stdlib.h>
#include <string.h>

/* What the emitters asked for in one turn. */
typedef struct Turn {
    Buf body;
    ConstList list;             /* tables first, then cut operands */
    int slot[8];                /* of the cut operands */
    int nslot;
} Turn;

/* Slots whose tiles are copies are nobody's neighbours; others may be rows
 * of several images. */
static void place_slots(const Step *s, const Node *tile, Arena *arena)
{
    for (int i = -s->n->nout; i < s->n->nin; i++) {
        Value *v = node_slot(tile, i);
        if (region_is_staged(s->n, i, s->count, s->at))
            v->buf = NEW(arena, Buffer);
        else if (v)
            v->plane = region_plane(s->n, i, s->count, s->at);
    }
}

static void emit_turn(Step *s, const int64_t *pos, Turn *t, bool capture)
{
    Emit *e = s->w->e;
    const Node *tile = node_tile(s->n, s->count, pos, e->arena);

    place_slots(s, tile, e->arena);
    buf_init(&t->body, e->arena);
    t->list.n = 0;
    e->c = &t->body;
    e->indent = 1;
    e->state->capture = capture ? &t->list : NULL;
    emit_fn(s->n->op)(e, tile);
    e->state->capture = NULL;
    if (!t->body.n)
        e_line(e, "(void)a;");
}

/* Loops that cut constants, outermost first; the number of their turns. */
static int64_t cut_turns(const Step *s, int *depth, int *n)
{
    int64_t turns = 1;

    *n = 0;
    for (int d = 0; d < s->depth; d++) {
        if (!node_cuts_constant(s->n, d))
            continue;
        depth[(*n)++] = d;
        if (s->pos[d] < 0)
            turns *= region_at(s->n->region, d)->extent / s->count[d];
    }
    return turns;
}

/* Positions of cutting turn number k; the other loops stay at their start */
static void turn_position(const Step *s, const int *depth, int n, int64_t k,
                          int64_t *pos)
{
    for (int d = 0; d < s->depth; d++)
        pos[d] = s->at[d];
    for (int i = n - 1; i >= 0; i--) {
        int d = depth[i];
        int64_t turns;
        if (s->pos[d] >= 0)
            continue;
        turns = region_at(s->n->region, d)->extent / s->count[d];
        pos[d] = k % turns * s->count[d];
        k /= turns;
    }
}

/* C expression of the number of the cutting turn */
static const char *turn_number(const Step *s, const int *depth, int n)
{
    const char *text = NULL;

    for (int i = 0; i < n; i++) {
        const Region *r = region_at(s->n->region, depth[i]);
        Arena *arena = s->w->e->arena;
        const char *one;
        if (s->pos[r->depth] >= 0)
            continue;
        one = r->tile == 1 ? arena_printf(arena, "r%d", r->id)
                           : arena_printf(arena, "r%d / %lld", r->id,
                                          (long long)r->tile);
        text = !text ? one
                     : arena_printf(arena, "(%s) * %lld + %s", text,
                                    (long long)(r->extent / r->tile), one);
    }
    return text ? text : "0";
}

static bool same_turn(const Turn *a, const Turn *b)
{
    if (strcmp(a->body.s, b->body.s) || a->list.n != b->list.n)
        return false;
    for (int i = 0; i < a->list.n; i++)
        if (a->list.v[i].dt != b->list.v[i].dt ||
            a->list.v[i].n != b->list.v[i].n ||
            (dtype_bits(a->list.v[i].dt) < 8 && a->list.v[i].n % 2))
            return false;
    return true;
}

/* Constant i of every turn behind one another, or once if all are equal. */
static const char *join_constants(Step *s, const Turn *turn, int64_t turns,
                                  int i, const char *number)
{
    const ConstItem *c = &turn[0].list.v[i];
    int64_t bytes = (c->n * dtype_bits(c->dt) + 7) / 8;
    Weights *weights = s->w->e->state->weights;
    bool same = true;
    char *all;

    for (int64_t k = 1; k < turns; k++)
        same = same && !memcmp(c->data, turn[k].list.v[i].data,
                               (size_t)bytes);
    if (same)
        return weights_add(weights, c->hint, c->dt, c->n, c->data);
    all = arena_alloc(s->w->e->arena, (size_t)(turns * bytes) + 16);
    for (int64_t k = 0; k < turns; k++)
        memcpy(all + k * bytes, turn[k].list.v[i].data, (size_t)bytes);
    return arena_printf(s->w->e->arena, "(%s + (%s) * %lld)",
                        weights_add(weights, c->hint, c->dt, turns * c->n,
                                    all), number,
                        (long long)(bytes / dtype_bytes(c->dt)));
}

/* The body with its names of captured constants replaced. */
static const char *fill_constants(Step *s, const Turn *turn, int64_t turns,
                                  const char *number)
{
    const char *p = turn[0].body.s, *q;
    Buf out;

    buf_init(&out, s->w->e->arena);
    while ((q = strstr(p, CAPTURED))) {
        char *end;
        int i = (int)strtol(q + strlen(CAPTURED), &end, 10);
        buf_write(&out, p, (size_t)(q - p));
        buf_puts(&out, join_constants(s, turn, turns, i, number));
        p = end;
    }
    buf_puts(&out, p);
    return out.s;
}

/* Constant operands that the body names and whose part of a turn is in
 * pieces; false when they are too many. */
static bool capture_operands(const Step *s, const int64_t *pos, Turn *t)
{
    Arena *arena = s->w->e->arena;
    const Node *tile = node_tile(s->n, s->count, pos, arena);

    for (int i = 0; i < s->n->nin; i++) {
        const Value *v = s->n->in[i];
        char name[16];
        region_slot_name(name, i);
        if (!value_is_const(v) || node_slot_dense(s->n, i, s->count, s->at) ||
            !body_names(t->body.s, name))
            continue;
        if (t->nslot == (int)(sizeof t->slot / sizeof *t->slot))
            return false;
        t->slot[t->nslot++] = i;
        const_capture(&t->list, arena, v->name, v->type.dt,
                      type_elems(&tile->in[i]->type), tile->in[i]->data);
    }
    return true;
}

static void declare_captured(Step *s, const Turn *turn, int64_t turns,
                             const char *number)
{
    for (int k = 0; k < turn[0].nslot; k++) {
        int i = turn[0].slot[k];
        buf_printf(&s->head, "    const %s *x%d = %s;\n",
                   dtype_ctype(s->n->in[i]->type.dt), i,
                   join_constants(s, turn, turns,
                                  turn[0].list.n - turn[0].nslot + k,
                                  number));
    }
}

/* Texts that differ: one case per turn. */
static const char *case_bodies(Step *s, const int *depth, int n,
                               int64_t turns, const char *number)
{
    int64_t pos[REGION_DEPTH];
    Buf out;

    buf_init(&out, s->w->e->arena);
    buf_printf(&out, "    switch (%s) {\n", number);
    for (int64_t k = 0; k < turns; k++) {
        Turn t = { .nslot = 0 };
        turn_position(s, depth, n, k, pos);
        emit_turn(s, pos, &t, false);
        capture_operands(s, pos, &t);
        if (k + 1 < turns)
            buf_printf(&out, "    case %lld: {\n", (long long)k);
        else
            buf_puts(&out, "    default: {\n");
        for (int i = 0; i < t.nslot; i++) {
            const ConstItem *c = &t.list.v[i];
            buf_printf(&out, "    const %s *x%d = %s;\n",
                       dtype_ctype(c->dt), t.slot[i],
                       weights_add(s->w->e->state->weights, c->hint, c->dt,
                                   c->n, c->data));
        }
        buf_printf(&out, "%s    break;\n    }\n", t.body.s);
    }
    buf_puts(&out, "    }\n");
    return out.s;
}

const char *region_body(Step *s)
{
    int depth[REGION_DEPTH], n;
    int64_t turns = cut_turns(s, depth, &n), pos[REGION_DEPTH];
    const char *number = turn_number(s, depth, n);
    Turn *turn = NEW_ARRAY(s->w->e->arena, Turn, turns);
    bool same = true;

    for (int64_t k = 0; k < turns && same; k++) {
        turn_position(s, depth, n, k, pos);
        emit_turn(s, pos, &turn[k], true);
        same = capture_operands(s, pos, &turn[k]) &&
               same_turn(&turn[0], &turn[k]);
    }
    if (!same)
        return case_bodies(s, depth, n, turns, number);
    declare_captured(s, turn, turns, number);
    return fill_constants(s, turn, turns, number);
}
