/* eval_loops.c - the interpreter in loops: every turn computes its tiles, by
 * the same reference functions, on the node of that turn (node_tile).
 *
 * Tensors are whole, and filled with a pattern before the loop begins: a part
 * that was read before it was made would show. What of them has to be stored,
 * and where, is another question (passes/check_plan.c).
 */
#include "region.h"

#include <string.h>

enum { PATTERN = 0xff };        /* NaN in floats */

typedef struct Run {
    Tensor *tensor;             /* by value id */
    Arena *arena;
    Diag *diag;
} Run;

/* Of one call: as node_tile wants them. */
typedef struct Call {
    int64_t count[REGION_DEPTH], pos[REGION_DEPTH];
} Call;

/* Is there nothing yet that this call of n adds to? */
static bool is_first(const Node *n, const Call *c)
{
    for (int d = 0; d < region_depth(n->region); d++)
        if (loop_accumulates(n, d) && c->pos[d] > 0)
            return false;
    return true;
}

static void add_float(Op op, DType dt, void *sum, const void *x, int64_t i)
{
    double s = elem_get(dt, sum, i), v = elem_get(dt, x, i);

    if (op == OP_ReduceMax)
        s = v > s || v != v ? v : s;
    else if (op == OP_ReduceMin)
        s = v < s || v != v ? v : s;
    else
        s += v;
    elem_set(dt, sum, i, s);
}

static void add_int(Op op, DType dt, void *sum, const void *x, int64_t i)
{
    int64_t s = elem_get_int(dt, sum, i), v = elem_get_int(dt, x, i);
    bool more = dt == DT_U64 ? (uint64_t)v > (uint64_t)s : v > s;

    if (op == OP_ReduceMax)
        s = more ? v : s;
    else if (op == OP_ReduceMin)
        s = more ? s : v;
    else
        s = (int64_t)((uint64_t)s + (uint64_t)v);
    elem_set_int(dt, sum, i, s);
}

/* *t becomes what was accumulated before, with *t. */
static void accumulate(const Run *r, const Node *n, const Call *c, Tensor *t)
{
    DType dt = t->type.dt;
    int64_t bytes = type_bytes(&t->type);
    void *sum = arena_alloc(r->arena, (size_t)bytes + 16);

    node_tile_copy(n, ~0, c->count, c->pos, r->tensor[n->out[0]->id].data,
                   sum, false);
    for (int64_t i = 0; i < type_elems(&t->type); i++)
        if (dtype_is_float(dt))
            add_float(n->op, dt, sum, t->data, i);
        else
            add_int(n->op, dt, sum, t->data, i);
    t->data = sum;
}

static Tensor *tile_tensor(const Run *r, const Node *n, int slot,
                           const Node *tile, const Call *c)
{
    const Value *part = node_slot(tile, slot);
    Tensor *t;

    if (!part)
        return NULL;
    t = NEW(r->arena, Tensor);
    t->type = part->type;
    t->data = (void *)(uintptr_t)part->data;
    if (t->data)
        return t;
    t->data = arena_alloc(r->arena, (size_t)type_bytes(&t->type) + 16);
    if (slot >= 0)
        node_tile_copy(n, slot, c->count, c->pos,
                       r->tensor[part->id].data, t->data, false);
    return t;
}

static bool call(void *user, const Node *n, const LoopTurn *t)
{
    Run *r = user;
    Call c;
    Arena *outer = r->arena;
    const Tensor **in;
    const Node *tile;
    Tensor **out;
    bool ok;

    turn_call(t, n, c.count, c.pos);
    r->arena = arena_child(outer);
    tile = node_tile(n, c.count, c.pos, r->arena);
    in = NEW_ARRAY(r->arena, const Tensor *, n->nin + 1);
    out = NEW_ARRAY(r->arena, Tensor *, n->nout + 1);
    for (int i = 0; i < n->nin; i++)
        in[i] = tile_tensor(r, n, i, tile, &c);
    for (int i = 0; i < n->nout; i++)
        out[i] = tile_tensor(r, n, ~i, tile, &c);
    ok = node_eval(tile, in, out, r->arena, r->diag);
    if (ok && node_accumulates(n) && !is_first(n, &c))
        accumulate(r, n, &c, out[0]);
    for (int i = 0; ok && i < n->nout; i++)
        if (out[i])
            node_tile_copy(n, ~i, c.count, c.pos,
                           r->tensor[n->out[i]->id].data, out[i]->data,
                           true);
    arena_free(r->arena);
    r->arena = outer;
    return ok;
}

bool loops_eval(Node *first, Tensor *tensor, Arena *scratch, Diag *diag)
{
    Region *top = region_at(first->region, 0);
    Run r = { tensor, scratch, diag };

    for (Node *n = first; n && region_within(n->region, top); n = n->next)
        for (int i = 0; i < n->nout; i++)
            if (n->out[i])
                memset(tensor[n->out[i]->id].data, PATTERN,
                       (size_t)type_bytes(&n->out[i]->type));
    return region_walk(first, call, &r);
}
