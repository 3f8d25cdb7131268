/* plan_regions.c - buffers of a graph with regions.
 *
 * A value is stored at the innermost region that its maker and its readers
 * share, one tile of it; from outside, such a region is one step: what is
 * stored around it and used inside lives from its first node to its last.
 * Views share bytes, results overwrite operands tile by tile where every
 * reader of a tile has been there before, and the largest operand of a Concat
 * is made in its place.
 */
#include "plan_regions.h"

#include "../ir/region.h"

enum { INPUT_TIME = -1 };

typedef struct Lay {
    Graph *g;
    const PassOptions *opt;
    int nsteps;
    Value **host;               /* by id: the Concat's result it is made in */
    int64_t *shift;             /* ... and from which byte on */
} Lay;

/* Live ranges: seen from the region where v is stored */

static int first_step(const Value *v)
{
    return value_first_step(v);
}

static int last_step(const Lay *l, const Value *v)
{
    if (v->is_output || (l->opt->keep_inputs && v->is_input))
        return l->nsteps;
    return value_last_step(v);
}

static void join(Lay *l, Buffer *b, Value *v, int64_t delta)
{
    int first = first_step(v), last = last_step(l, v);

    v->buf = b;
    v->delta = delta;
    if (first < b->first)
        b->first = first;
    if (last > b->last)
        b->last = last;
}

static int64_t stored_bytes(const Value *v)
{
    Type t = value_stored_type(v, v->store);

    return type_bytes(&t);
}

static void own_buffer(Lay *l, Value *v)
{
    int64_t bytes = stored_bytes(v);

    if (!bytes)
        return;
    v->buf = plan_buffer(l->g, v->name, bytes, first_step(v));
    join(l, v->buf, v, 0);
}

/* With y stored at `store`, is every tile of it still one piece? Where its
 * own place is another, staging was not counted. */
static bool stays_dense(Value *y, Region *store)
{
    Region *natural = y->store;
    int64_t count[REGION_DEPTH], pos[REGION_DEPTH] = { 0 };
    bool dense = true;

    if (store == natural)
        return true;
    y->store = store;
    for (int u = -1; u < y->nuse; u++) {
        const Node *n = u < 0 ? y->def : y->use[u];
        for (int k = 0; node_turn_count(n, k, count); k++)
            for (int i = -n->nout; i < n->nin; i++)
                if (node_slot(n, i) == y)
                    dense = dense && node_slot_dense(n, i, count, pos);
    }
    y->store = natural;
    return dense;
}

static bool may_join(const Graph *g, const Buffer *b, const Value *y)
{
    if (!b->is_state || !y->is_output)
        return true;
    for (const State *s = g->state; s; s = s->next)
        if (s->out == y)
            return s->in->buf == b;
    return false;
}

static bool is_kept(const Lay *l, const Buffer *b)
{
    return l->opt->no_reuse ||
           (l->opt->keep_inputs && b->first == INPUT_TIME && !b->is_state);
}

/* Views */

static bool can_view(const Lay *l, const Node *n, int o)
{
    Value *x = n->in[0], *y = n->out[o];
    Region *natural = y->store;
    int64_t shift;
    bool ok;

    if (!type_bytes(&y->type))
        return true;
    if (node_slides(n) || !node_view_shift(n, o, &shift) ||
        !may_join(l->g, x->buf, y) ||
        !region_within(natural, x->store) || !stays_dense(y, x->store))
        return false;
    if ((n->region || x->store) && shift)
        return false;
    y->store = x->store;
    ok = node_same_place(n, 0, ~o) &&
         (n->region ? stored_bytes(x) == stored_bytes(y) : true);
    y->store = natural;
    return ok;
}

static bool try_view(Lay *l, Node *n)
{
    Value *x = node_in(n, 0);
    int64_t shift;

    if (!x || !x->buf || is_kept(l, x->buf))
        return false;
    for (int o = 0; o < n->nout; o++)
        if (n->out[o] && !can_view(l, n, o))
            return false;
    for (int o = 0; o < n->nout; o++)
        if (n->out[o] && node_view_shift(n, o, &shift)) {
            n->out[o]->store = x->store;
            join(l, x->buf, n->out[o], x->delta + shift);
        }
    return true;
}

/* In place */

/* Every loop between the place and n goes along y: no tile is written twice,
 * and none is read after it was written. */
static bool walks_apart(const Node *n, const Value *x)
{
    Cut walk[REGION_DEPTH];

    node_cuts(n, ~0, walk);
    for (int d = region_depth(x->store); d < region_depth(n->region); d++)
        if (walk[d].axis < 0)
            return false;
    return true;
}

/* In the loop of depth d, which slides, u reads nothing in later turns that n
 * writes in this one or before. */
static bool runs_ahead(const Node *u, int slot, const Node *n, int d)
{
    Cut read[REGION_DEPTH], made[REGION_DEPTH];

    if (!node_cuts(u, slot, read) || !node_cuts(n, ~0, made) ||
        read[d].axis != made[d].axis || read[d].unit != made[d].unit)
        return false;
    return read[d].from + read[d].unit * region_at(n->region, d)->tile >=
           made[d].to;
}

/* Nothing is carried from turn to turn, nor made again and again. */
static bool may_slide_over(const Value *x, const Value *y)
{
    const Slide *s = y->def->slide;

    for (int d = 0; d < region_depth(y->def->region); d++)
        if (loop_slides(y->def, d) && s[d].made != s[d].kept)
            return false;
    for (int d = 0; x->def && d < region_depth(x->def->region); d++)
        if (loop_slides(x->def, d) && x->def->slide[d].made !=
                                          x->def->slide[d].kept)
            return false;
    return true;
}

/* Has u, a reader of a member v of x's buffer, read everything that n, at
 * operand k, overwrites? Then it is earlier, and in the loops that both are
 * in it reads the same tiles. */
static bool has_read(const Node *u, const Value *v, const Node *n, int k)
{
    int64_t first[REGION_DEPTH] = { 0 };
    int depth = region_depth(region_common(u->region, n->region));
    Place mine, other;
    int from = region_depth(v->store);

    if (u->index > n->index)
        return false;
    node_slot_place(n, k, first, &mine);
    for (int i = 0; i < u->nin; i++) {
        if (u->in[i] != v)
            continue;
        node_slot_place(u, i, first, &other);
        for (int d = from; d < depth; d++)
            if (loop_slides(n, d) ? !runs_ahead(u, i, n, d)
                                  : other.turn[d] * dtype_bytes(v->type.dt) !=
                                        mine.turn[d] *
                                        dtype_bytes(n->in[k]->type.dt))
                return false;
    }
    return true;
}

static bool all_have_read(const Lay *l, const Node *n, int k)
{
    const Buffer *b = n->in[k]->buf;

    for (int i = 0; i < l->g->nvalue; i++) {
        const Value *v = l->g->value[i];
        if (v->buf != b)
            continue;
        if (v->is_output)
            return false;
        for (int u = 0; u < v->nuse; u++)
            if (!has_read(v->use[u], v, n, k))
                return false;
    }
    return true;
}

static bool can_overwrite(Lay *l, Node *n, int k)
{
    Value *x = n->in[k], *y = n->out[0];
    Region *natural = y->store;
    bool ok;

    if (!x || !x->buf || !node_may_overwrite(n, k) || x->delta ||
        is_kept(l, x->buf) || !may_join(l->g, x->buf, y) ||
        (node_slides(n) && (natural != x->store || !may_slide_over(x, y))) ||
        x->buf->bytes != stored_bytes(x) ||
        !region_within(natural, x->store) || !stays_dense(y, x->store) ||
        !walks_apart(n, x))
        return false;
    y->store = x->store;
    ok = node_same_place(n, k, ~0);
    y->store = natural;
    if (!ok)
        return false;
    for (int i = 0; i < n->nin; i++)
        if (i != k && n->in[i] && n->in[i]->buf == x->buf &&
            (n->in[i]->delta || op_has(n->op, T_ROWS) ||
             !type_same_shape(&n->in[i]->type, &y->type) ||
             !node_same_place(n, k, i)))
            return false;
    return all_have_read(l, n, k);
}

static bool try_in_place(Lay *l, Node *n)
{
    int operands = op_has(n->op, T_MAP) ? n->nin : 1;

    if (!op_has(n->op, T_MAP | T_ROWS) || !n->out[0] || !n->nin)
        return false;
    for (int k = 0; k < operands; k++)
        if (can_overwrite(l, n, k)) {
            n->out[0]->store = n->in[k]->store;
            join(l, n->in[k]->buf, n->out[0], 0);
            return true;
        }
    return false;
}

/* Concat */

/* What v really is: views of whole values are looked through. */
static Value *origin(Value *v)
{
    while (v->def && op_has(v->def->op, T_VIEW) && v->def->in[0] &&
           !v->is_output)
        v = v->def->in[0];
    return v;
}

static bool is_hostable(const Lay *l, Value *v, int64_t bytes)
{
    return v->def && !v->is_output && !l->host[v->id] && !v->store &&
           v->def->out[0] == v && type_bytes(&v->type) == bytes;
}

/* The largest operand, when it is most of the result. */
static void host_concat(Lay *l, Node *n)
{
    int64_t total = type_bytes(&n->out[0]->type), most = total / 2;
    int best = -1;

    if (n->region || n->out[0]->store || l->host[n->out[0]->id])
        return;
    for (int k = 0; k < n->nin; k++) {
        int64_t bytes = type_bytes(&n->in[k]->type);
        if (bytes > most && node_part_place(n, k) >= 0 &&
            is_hostable(l, origin(n->in[k]), bytes)) {
            best = k;
            most = bytes;
        }
    }
    if (best >= 0) {
        Value *v = origin(n->in[best]);
        l->host[v->id] = n->out[0];
        l->shift[v->id] = node_part_place(n, best);
    }
}

/* The whole result's buffer begins with the operand that is made there; it
 * may be made in the place of another Concat's operand itself. */
static bool try_host(Lay *l, Node *n)
{
    Value *v = n->out[0], *y = v ? l->host[v->id] : NULL;
    int64_t shift;

    if (!y)
        return false;
    for (shift = l->shift[v->id]; l->host[y->id]; y = l->host[y->id])
        shift += l->shift[y->id];
    if (!y->buf) {
        own_buffer(l, y);
        y->buf->first = first_step(v);
    }
    join(l, y->buf, v, shift);
    return true;
}

/* All of them */

static bool try_commit(Lay *l, Node *n)
{
    if (!node_is_commit(n))
        return false;
    for (const State *s = l->g->state; s; s = s->next)
        if (n->in[0] == s->out && s->in->buf)
            join(l, s->in->buf, n->out[0], 0);
    return true;
}

static void step(Lay *l, Node *n)
{
    if (n->scratch) {
        n->scratch_buf = plan_buffer(l->g, n->name, n->scratch, n->index);
        n->scratch_buf->is_scratch = true;
    }
    if (try_commit(l, n) || try_view(l, n))
        return;
    if (!try_host(l, n) && !try_in_place(l, n) && n->nout && n->out[0] &&
        !n->out[0]->buf)
        own_buffer(l, n->out[0]);
    for (int i = 1; i < n->nout; i++)
        if (n->out[i])
            own_buffer(l, n->out[i]);
}

static void inputs(Lay *l)
{
    for (State *s = l->g->state; s; s = s->next) {
        own_buffer(l, s->in);
        if (s->in->buf)
            s->in->buf->is_state = true;
    }
    for (int i = 0; i < l->g->nin; i++)
        if (!value_in_bands(l->g->in[i]))
            own_buffer(l, l->g->in[i]);
}

int region_buffers(Graph *g, const PassOptions *opt)
{
    Lay l = { g, opt, 0, NULL, NULL };

    l.host = NEW_ARRAY(g->scratch, Value *, g->nvalue + 1);
    l.shift = NEW_ARRAY(g->scratch, int64_t, g->nvalue + 1);
    graph_number(g);
    for (int i = 0; i < g->nvalue; i++)
        g->value[i]->store = value_natural_store(g->value[i]);
    for (int i = 0; i < g->nvalue; i++)
        g->value[i]->buf = NULL;        /* a text may have told places */
    for EACH_NODE(n, g) {
        l.nsteps++;
        if (opt->scratch)
            opt->scratch(n);
        if (n->op == OP_Concat && !opt->no_reuse)
            host_concat(&l, n);
    }
    inputs(&l);
    for EACH_NODE(n, g)
        step(&l, n);
    return l.nsteps;
}
