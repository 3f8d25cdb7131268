/* check_plan.c - the independent checker of a plan.
 *
 * It knows nothing of live ranges. It walks the schedule, every turn of every
 * loop, and keeps, for every byte range of the arena, whose element bytes it
 * holds (the owner: a value, or for views the value that was written) and
 * which bytes of it: `base` is where byte 0 of the whole value would be. What
 * a loop with windows leaves to its next turn moves. A step may only read bytes
 * that still belong to the value it names; it takes over what it writes.
 * Writing where the same step reads is allowed for ops whose table row says
 * so, at exactly the operand's address; or where a replay of the kernel's
 * units, reads before writes, shows that nothing is lost.
 */
#include "../ir/region.h"
#include "../ir/relation.h"
#include "owners.h"
#include "passes.h"

typedef struct Check {
    Graph *g;
    Owners owners;
    const Value **root;         /* by value id: what a view really is */
    int64_t *shift;             /* and from which of its bytes on */
    int64_t count[REGION_DEPTH], pos[REGION_DEPTH];     /* of this turn */
    int64_t index[REGION_DEPTH];        /* that is made, where loops slide */
} Check;

/* Where the stored value, or tile, begins. */
static int64_t base_address(const Check *c, const Value *v)
{
    return buffer_address(c->g->plan, v->buf) + v->delta;
}

/* What the present turn of node n touches of a slot: rows of `run` bytes,
 * the first at `at`; dim and stride (in bytes) tell where the others are,
 * and `from` and `whole` which bytes of the value they are. */
typedef struct Part {
    const Value *v;
    int64_t at, run, from;
    int rank;
    int64_t dim[MAX_RANK], stride[MAX_RANK], whole[MAX_RANK];
} Part;

/* A whole value. */
static Part whole(const Check *c, const Value *v)
{
    return (Part){ .v = v, .at = base_address(c, v),
                   .run = type_bytes(&v->type) };
}

/* First index of the value's axis `axis` that the call of node n reads or
 * makes, as its relation says. */
static int64_t first_index(const Check *c, const Node *n, int slot, int d,
                           const Cut *walk)
{
    const Type *t = &node_slot(n, slot)->type;
    int64_t lo, hi;
    Relation r;

    if (!loop_slides(n, d))
        return c->pos[d] * walk[d].unit;
    if (slot < 0)
        return c->index[d];
    r = axis_relation(n, slot, n->walk[d]);
    relation_range(&r, t->dim[r.axis], c->index[d], c->index[d] + 1, &lo,
                   &hi);
    return lo;
}

/* pos, but the index that is made in loops that slide */
static void call_position(const Check *c, const Node *n, int64_t *count,
                          int64_t *pos)
{
    for (int d = 0; d < region_depth(n->region); d++) {
        bool slides = loop_slides(n, d);
        count[d] = slides ? 1 : c->count[d];
        pos[d] = slides ? c->index[d] : c->pos[d];
    }
}

static Part part_of(const Check *c, const Node *n, int slot)
{
    const Value *v = node_slot(n, slot);
    int64_t count[REGION_DEPTH], pos[REGION_DEPTH];
    Part p = whole(c, v);
    int64_t size = dtype_bytes(v->type.dt);
    Cut walk[REGION_DEPTH];
    Type t, tile;
    Place place;

    if (!n->region)
        return p;
    call_position(c, n, count, pos);
    t = value_stored_type(v, v->store);
    tile = node_tile_type(n, slot, count, pos);
    node_slot_place(n, slot, pos, &place);
    node_cuts(n, slot, walk);
    type_strides(&v->type, p.whole);
    p.at += place.base * size;
    for (int d = 0; d < region_depth(n->region); d++) {
        p.at += (c->pos[d] * place.turn[d] + c->index[d] * place.index[d]) *
                size;
        if (walk[d].axis >= 0)
            p.from += first_index(c, n, slot, d, walk) *
                      p.whole[walk[d].axis] * size;
    }
    p.rank = t.rank;
    while (p.rank > 0 && tile.dim[p.rank - 1] == t.dim[p.rank - 1] &&
           tile.dim[p.rank - 1] == v->type.dim[p.rank - 1])
        p.rank--;               /* dims from here on are whole */
    p.rank -= p.rank > 0;
    type_strides(&t, p.stride);
    for (int i = 0; i < p.rank; i++) {
        p.dim[i] = tile.dim[i];
        p.stride[i] *= size;
        p.whole[i] *= size;
    }
    p.run = dtype_bits(t.dt) < 8 ? type_bytes(&tile)
                                 : type_span(&tile, p.rank, t.rank) * size;
    return p;
}

static int64_t part_end(const Part *p)
{
    int64_t end = p->at + p->run;

    for (int i = 0; i < p->rank; i++)
        end += (p->dim[i] - 1) * p->stride[i];
    return end;
}

/* Row k of a part: its first byte, and in *base where byte 0 of the value
 * would be; -1 behind the last. */
static int64_t part_row(const Part *p, int64_t k, int64_t *base)
{
    int64_t at = p->at, from = p->from;

    for (int i = p->rank - 1; i >= 0; i--) {
        at += k % p->dim[i] * p->stride[i];
        from += k % p->dim[i] * p->whole[i];
        k /= p->dim[i];
    }
    *base = at - from;
    return k ? -1 : at;
}

static void take(Check *c, const Part *p)
{
    int64_t base, at;

    for (int64_t k = 0; (at = part_row(p, k, &base)) >= 0; k++) {
        owners_take(&c->owners, (Owned){ at, at + p->run, p->v, base });
    }
}

/* What comes in bands is in the arena as what receives them. */
static bool has_bytes(const Value *v)
{
    return v && !value_is_const(v) && type_bytes(&v->type) > 0 &&
           !value_in_bands(v);
}

/* Every byte of [at, to) must be v's own, whose byte 0 is at base. */
static bool owned_bytes(Check *c, const Value *v, int64_t base, int64_t at,
                        int64_t to, int step, const char *who)
{
    const Value *root = c->root[v->id];
    const Owned *o;

    base -= c->shift[v->id];
    while (at < to && (o = owners_at(&c->owners, at))) {
        if (o->owner != root || o->base != base)
            return diag_error(c->g->diag, "plan: step %d (%s) reads '%s', but"
                              " byte %lld holds '%s'%s", step, who, v->name,
                              (long long)at, o->owner->name,
                              o->owner == root ? " of another place or turn"
                                               : "");
        at = o->to;
    }
    if (at < to)
        return diag_error(c->g->diag, "plan: step %d (%s) reads '%s', but "
                          "byte %lld was never written", step, who, v->name,
                          (long long)at);
    return true;
}

static bool owned(Check *c, const Part *p, int step, const char *who)
{
    int64_t at, base;

    for (int64_t k = 0; (at = part_row(p, k, &base)) >= 0; k++)
        if (!owned_bytes(c, p->v, base, at, at + p->run, step, who))
            return false;
    return true;
}

/* from the first byte of one to the last of the other: may be too strict */
static bool touch(const Part *a, const Part *b)
{
    return a->at < part_end(b) && b->at < part_end(a);
}

/* All results lie where their bytes of the operand are. */
static bool is_view(const Check *c, const Node *n)
{
    int64_t shift;

    if (n->nout == 0 || !has_bytes(node_in(n, 0)))
        return false;
    for (int i = 0; i < n->nout; i++)
        if (has_bytes(n->out[i]) &&
            (!node_view_shift(n, i, &shift) ||
             n->out[i]->store != n->in[0]->store ||
             base_address(c, n->out[i]) != base_address(c, n->in[0]) + shift ||
             part_of(c, n, ~i).at != part_of(c, n, 0).at + shift))
            return false;
    return true;
}

static void alias(Check *c, const Node *n)
{
    const Value *x = n->in[0];
    int64_t shift;

    for (int i = 0; i < n->nout; i++)
        if (has_bytes(n->out[i]) && node_view_shift(n, i, &shift)) {
            c->root[n->out[i]->id] = c->root[x->id];
            c->shift[n->out[i]->id] = c->shift[x->id] + shift;
        }
}

/* Elements of operand k that the units of n's result at `index` of the axes
 * before `rank` read: [lo, hi) of each axis. False: none, all is padding. */
static bool unit_reads(const Node *n, int k, const int64_t *index, int rank,
                       int64_t *lo, int64_t *hi)
{
    const Type *x = &n->in[k]->type;

    for (int a = 0; a < x->rank; a++) {
        lo[a] = 0;
        hi[a] = x->dim[a];
    }
    for (int d = 0; d < rank; d++) {
        Relation r = node_relation(n, 0, k, d);
        int64_t from, to;
        if (r.kind != REL_POINT && r.kind != REL_WINDOW)
            continue;
        relation_range(&r, x->dim[r.axis], index[d], index[d] + 1, &from,
                       &to);
        lo[r.axis] = from > lo[r.axis] ? from : lo[r.axis];
        hi[r.axis] = to < hi[r.axis] ? to : hi[r.axis];
    }
    for (int a = 0; a < x->rank; a++)
        if (lo[a] >= hi[a])
            return false;
    return true;
}

/* None of the bytes that a unit reads of operand k is in [low, high), which
 * have been written. */
static bool unit_safe(const Node *n, int k, const int64_t *index, int rank,
                      const Part *x, int64_t low, int64_t high)
{
    const Type *t = &n->in[k]->type;
    int64_t lo[MAX_RANK], hi[MAX_RANK], stride[MAX_RANK], at[MAX_RANK];
    int64_t size = dtype_bytes(t->dt);
    int last = t->rank - 1;

    if (low >= high || !unit_reads(n, k, index, rank, lo, hi))
        return true;
    type_strides(t, stride);
    for (int a = 0; a < t->rank; a++)
        at[a] = lo[a];
    for (;;) {
        int64_t from = x->at, to;
        int a = last - 1;
        for (int i = 0; i < t->rank; i++)
            from += at[i] * stride[i] * size;
        to = from + (last >= 0 ? (hi[last] - lo[last]) * size : size);
        if (low < high && from < high && low < to)
            return false;
        for (; a >= 0 && ++at[a] == hi[a]; a--)
            at[a] = lo[a];
        if (a < 0)
            return true;
    }
}

/* Replays the kernel: a unit reads all it needs, then it is written. What
 * lies beyond the operand's bytes does no harm. */
static bool replay(const Node *n, int k, const Part *x, const Part *y)
{
    const Type *t = &n->out[0]->type;
    int rank = t->rank - node_unit_axes(n);
    int64_t units = type_span(t, 0, rank), index[MAX_RANK];
    int64_t bytes = type_bytes(t) / (units ? units : 1);

    for (int64_t i = 0; i < units; i++) {
        int64_t u = n->backward ? units - 1 - i : i, rest = u;
        for (int d = rank - 1; d >= 0; d--) {
            index[d] = rest % t->dim[d];
            rest /= t->dim[d];
        }
        if (!unit_safe(n, k, index, rank, x,
                       y->at + (n->backward ? (u + 1) * bytes : 0),
                       y->at + (n->backward ? units : u) * bytes))
            return false;
    }
    return true;
}

static bool may_lie_over(const Node *n, int in, int out, const Part *x,
                         const Part *y)
{
    return n->graph->overlap && out == 0 && !n->region &&
           node_unit_axes(n) >= 0 && dtype_bits(x->v->type.dt) >= 8 &&
           dtype_bits(y->v->type.dt) >= 8 && replay(n, in, x, y);
}

/* An output may lie on an input only as the op's traits allow: tile upon
 * tile; or where an operand of a Concat already is in its place. */
static bool may_touch(const Node *n, int in, int out, const Part *x,
                      const Part *y)
{
    if (n->op == OP_Concat)
        return !n->region && node_part_place(n, in) >= 0 &&
               x->at == y->at + node_part_place(n, in);
    if (out == 0 && op_has(n->op, T_MAP | T_ROWS) &&
        (op_has(n->op, T_MAP) || in == 0) && x->at == y->at &&
        node_may_overwrite(n, in) && node_same_place(n, in, ~out))
        return true;
    return may_lie_over(n, in, out, x, y);
}

/* [from, from + bytes) of a pool: inside it, and in the state region exactly
 * when it is state. */
static bool check_place(const Node *n, const char *name, const Buffer *b,
                        int64_t from, int64_t bytes)
{
    const Plan *p = n->graph->plan;
    bool in_state = b->pool == p->state_pool && from < p->state_end;

    if (from < 0 || from + bytes > p->pool[b->pool].bytes)
        return node_error(n, "plan: '%s' ends outside the arena", name);
    if (in_state != b->is_state ||
        (b->is_state && (from < p->state_at ||
                         from + bytes > p->state_at + p->state_bytes)))
        return node_error(n, "plan: '%s' lies %s the state region", name,
                          b->is_state ? "outside" : "in");
    return true;
}

/* Result o against operands and earlier results. */
static bool check_write(const Check *c, const Node *n, int o)
{
    Part y = part_of(c, n, ~o), x;

    if (!check_place(n, y.v->name, y.v->buf,
                     y.at - c->g->plan->pool[y.v->buf->pool].base,
                     part_end(&y) - y.at))
        return false;
    for (int i = 0; i < n->nin; i++) {
        if (!has_bytes(n->in[i]))
            continue;
        x = part_of(c, n, i);
        if (touch(&x, &y) && !may_touch(n, i, o, &x, &y))
            return node_error(n, "plan: byte %lld of output '%s' overwrites "
                              "input '%s'", (long long)y.at, y.v->name,
                              x.v->name);
    }
    for (int i = 0; i < o; i++) {
        if (!has_bytes(n->out[i]))
            continue;
        x = part_of(c, n, ~i);
        if (touch(&x, &y))
            return node_error(n, "plan: outputs '%s' and '%s' collide",
                              x.v->name, y.v->name);
    }
    return true;
}

/* Scratch destroys what lay there; operands and results must not. */
static bool check_scratch(Check *c, const Node *n)
{
    const Plan *p = c->g->plan;
    int64_t from, to;

    if (!n->scratch)
        return true;
    from = buffer_address(p, n->scratch_buf);
    to = from + n->scratch;
    for (int i = 0; i < n->nin + n->nout; i++) {
        int slot = i < n->nin ? i : ~(i - n->nin);
        Part x;
        if (!has_bytes(node_slot(n, slot)))
            continue;
        x = part_of(c, n, slot);
        if (x.at < to && from < part_end(&x))
            return node_error(n, "plan: scratch collides with '%s' at byte "
                              "%lld", x.v->name, (long long)x.at);
    }
    if (!check_place(n, "scratch", n->scratch_buf, n->scratch_buf->offset,
                     n->scratch))
        return false;
    owners_drop(&c->owners, from, to);
    return true;
}

static bool check_reads(Check *c, const Node *n)
{
    for (int i = 0; i < n->nin; i++)
        if (has_bytes(n->in[i])) {
            Part p = part_of(c, n, i);
            if (!owned(c, &p, n->index, n->name))
                return false;
        }
    return true;
}

/* Has a turn before this one left sums that n adds to? */
static bool has_accumulated(const Check *c, const Node *n)
{
    for (int d = 0; d < region_depth(n->region); d++)
        if (loop_accumulates(n, d) &&
            (loop_slides(n, d) ? c->index[d] : c->pos[d]) > 0)
            return true;
    return false;
}

static bool check_step(Check *c, const Node *n)
{
    if (!check_reads(c, n))
        return false;
    if (has_accumulated(c, n)) {
        Part p = part_of(c, n, ~0);
        if (!owned(c, &p, n->index, n->name))
            return false;
    }
    if (is_view(c, n)) {
        alias(c, n);
        return true;
    }
    for (int o = 0; o < n->nout; o++)
        if (has_bytes(n->out[o]) && !check_write(c, n, o))
            return false;
    if (!check_scratch(c, n))
        return false;
    for (int o = 0; o < n->nout; o++)
        if (has_bytes(n->out[o])) {
            Part p = part_of(c, n, ~o);
            take(c, &p);
        }
    return true;
}

/* One node in one turn: index for index of the loops from d on that slide. */
static bool check_calls(Check *c, const Node *n, int d)
{
    const Slide *s = &n->slide[d];
    int64_t dim, at;

    while (d < region_depth(n->region) && !loop_slides(n, d))
        d++;
    if (d == region_depth(n->region))
        return check_step(c, n);
    s = &n->slide[d];
    dim = axis_indices(n, n->walk[d]);
    at = c->pos[d] * s->unit + s->to - s->made;
    for (c->index[d] = at < 0 ? 0 : at;
         c->index[d] < at + s->made && c->index[d] < dim; c->index[d]++)
        if (!check_calls(c, n, d + 1))
            return false;
    c->index[d] = 0;
    return true;
}

/* What the turn before has left of v. */
static void carry(Check *c, const Value *v)
{
    int axis;
    int64_t fresh, left = value_carried(v, &axis, &fresh), inner;
    Type t;

    if (left <= 0 || !has_bytes(v))
        return;
    t = value_stored_type(v, v->store);
    inner = type_span(&t, axis + 1, t.rank) * dtype_bytes(t.dt);
    for (int64_t i = 0; i < type_span(&t, 0, axis); i++) {
        int64_t at = base_address(c, v) + i * t.dim[axis] * inner;
        owners_move_down(&c->owners, at + fresh * inner,
                         at + (fresh + left) * inner, fresh * inner);
    }
}

static bool check_turns(Check *c, const Node **n, Region *r);

/* The nodes of r in one turn; *n is then the one behind them. */
static bool check_body(Check *c, const Node **n, Region *r)
{
    while (*n && region_within((*n)->region, r))
        if ((*n)->region != r) {
            if (!check_turns(c, n, region_below(*n, r)))
                return false;
        } else {
            if (!check_calls(c, *n, 0))
                return false;
            *n = (*n)->next;
        }
    return true;
}

static bool check_turns(Check *c, const Node **n, Region *r)
{
    const Node *first = *n;

    for (int64_t at = r->begin; at < r->extent; at += r->tile) {
        int64_t left = r->extent - at;
        *n = first;
        c->pos[r->depth] = at;
        c->count[r->depth] = left < r->tile ? left : r->tile;
        for (int i = 0; r->slides && i < c->g->nvalue; i++)
            if (c->g->value[i]->store == r)
                carry(c, c->g->value[i]);
        if (!check_body(c, n, r))
            return false;
    }
    c->pos[r->depth] = 0;
    return true;
}

static bool check_values(Check *c, Value *const *v, int n, int step,
                         const char *who)
{
    for (int i = 0; i < n; i++)
        if (has_bytes(v[i])) {
            Part p = whole(c, v[i]);
            if (!owned(c, &p, step, who))
                return false;
        }
    return true;
}

bool plan_check(Graph *g)
{
    const Node *n = g->first;
    Check c = { .g = g };
    Part p;

    c.owners.arena = g->scratch;
    c.shift = NEW_ARRAY(g->scratch, int64_t, g->nvalue);
    c.root = NEW_ARRAY(g->scratch, const Value *, g->nvalue);
    for (int i = 0; i < g->nvalue; i++)
        c.root[i] = g->value[i];
    for (int i = 0; i < g->nin; i++)
        if (has_bytes(g->in[i])) {
            p = whole(&c, g->in[i]);
            take(&c, &p);
        }
    for (const State *s = g->state; s; s = s->next)
        if (has_bytes(s->in)) {
            p = whole(&c, s->in);
            take(&c, &p);
        }
    return check_values(&c, g->in, g->nin, -1, "inputs") &&
           check_body(&c, &n, NULL) &&
           check_values(&c, g->out, g->nout, g->plan->nsteps, "outputs");
}
