/* check_plan.c - the independent checker of a plan.
 *
 * It knows nothing of live ranges. It walks the schedule and keeps, for every
 * byte range of the arena, whose element bytes it holds (the owner: a value,
 * or for views the value that was written). A step may only read bytes that
 * still belong to the value it names; it takes over what it writes. Writing
 * where the same step reads is allowed only for ops whose table row says so,
 * at exactly the operand's address.
 */
#include "passes.h"

typedef struct Range {
    int64_t from, to;           /* arena bytes [from, to) */
    const Value *owner;
    int64_t base;               /* address of the owner's byte 0 */
} Range;

typedef struct Check {
    Graph *g;
    Range *range;               /* sorted, disjoint */
    int n, cap;
    const Value **root;         /* by value id: what a view really is */
    int64_t *shift;             /* and from which of its bytes on */
} Check;

static int64_t address(const Plan *p, const Value *v)
{
    return buffer_address(p, v->buf) + v->delta;
}

static void add(Check *c, Range r)
{
    int i;

    if (r.from >= r.to)
        return;
    PUSH(c->g->scratch, c->range, c->n, c->cap, r);
    for (i = c->n - 1; i > 0 && c->range[i - 1].from > r.from; i--)
        c->range[i] = c->range[i - 1];
    c->range[i] = r;
}

/* Nobody owns [from, to) any more. */
static void cut(Check *c, int64_t from, int64_t to)
{
    Range keep[2];
    int out = 0, nkeep = 0;

    for (int i = 0; i < c->n; i++) {
        Range r = c->range[i];
        if (r.to <= from || r.from >= to) {
            c->range[out++] = r;
            continue;
        }
        if (r.from < from)
            keep[nkeep++] = (Range){ r.from, from, r.owner, r.base };
        if (r.to > to)
            keep[nkeep++] = (Range){ to, r.to, r.owner, r.base };
    }
    c->n = out;
    for (int i = 0; i < nkeep; i++)
        add(c, keep[i]);
}

static void take(Check *c, const Value *v)
{
    int64_t at = address(c->g->plan, v);

    cut(c, at, at + type_bytes(&v->type));
    add(c, (Range){ at, at + type_bytes(&v->type), v, at });
}

static bool has_bytes(const Value *v)
{
    return v && !value_is_const(v) && type_bytes(&v->type) > 0;
}

/* Every byte of v must be its own. */
static bool owned(Check *c, const Value *v, int step, const char *who)
{
    int64_t at = address(c->g->plan, v), to = at + type_bytes(&v->type);
    const Value *root = c->root[v->id];
    int64_t base = at - c->shift[v->id];

    for (int i = 0; i < c->n && at < to; i++) {
        const Range *r = &c->range[i];
        if (r->to <= at)
            continue;
        if (r->from > at)
            break;
        if (r->owner != root || r->base != base)
            return diag_error(c->g->diag, "plan: step %d (%s) reads '%s', but"
                              " byte %lld holds '%s'", step, who, v->name,
                              (long long)at, r->owner->name);
        at = r->to;
    }
    if (at < to)
        return diag_error(c->g->diag, "plan: step %d (%s) reads '%s', but "
                          "byte %lld was never written", step, who, v->name,
                          (long long)at);
    return true;
}

static bool touch(const Plan *p, const Value *a, const Value *b)
{
    return address(p, a) < address(p, b) + type_bytes(&b->type) &&
           address(p, b) < address(p, a) + type_bytes(&a->type);
}

/* All results lie where their bytes of the operand are. */
static bool is_view(const Node *n)
{
    const Plan *p = n->graph->plan;
    int64_t shift;

    if (n->nout == 0 || !has_bytes(node_in(n, 0)))
        return false;
    for (int i = 0; i < n->nout; i++)
        if (has_bytes(n->out[i]) &&
            (!node_view_shift(n, i, &shift) ||
             address(p, n->out[i]) != address(p, n->in[0]) + shift))
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

/* An output may lie on an input only as the op's traits allow. */
static bool may_touch(const Node *n, int in, int out)
{
    const Value *x = n->in[in], *y = n->out[out];
    const Plan *p = n->graph->plan;

    if (out != 0 || !op_has(n->op, T_MAP | T_ROWS))
        return false;
    if (op_has(n->op, T_ROWS) && !op_has(n->op, T_MAP) && in != 0)
        return false;
    return address(p, x) == address(p, y) && type_equal(&x->type, &y->type);
}

/* [from, from + bytes) of a pool: inside it, and in the state region exactly
 * when it is state. */
static bool check_place(const Node *n, const char *name, const Buffer *b,
                        int64_t from, int64_t bytes)
{
    const Plan *p = n->graph->plan;
    bool in_state = b->pool == p->state_pool && from < p->state_bytes;

    if (from < 0 || from + bytes > p->pool[b->pool].bytes)
        return node_error(n, "plan: '%s' ends outside the arena", name);
    if (in_state != b->is_state ||
        (b->is_state && from + bytes > p->state_bytes))
        return node_error(n, "plan: '%s' lies %s the state region", name,
                          b->is_state ? "outside" : "in");
    return true;
}

static bool check_writes(Check *c, const Node *n)
{
    const Plan *p = c->g->plan;

    for (int o = 0; o < n->nout; o++) {
        const Value *y = n->out[o];
        if (!has_bytes(y))
            continue;
        if (!check_place(n, y->name, y->buf, y->buf->offset + y->delta,
                         type_bytes(&y->type)))
            return false;
        for (int i = 0; i < n->nin; i++)
            if (has_bytes(n->in[i]) && touch(p, n->in[i], y) &&
                !may_touch(n, i, o))
                return node_error(n, "plan: byte %lld of output '%s' "
                                  "overwrites input '%s'",
                                  (long long)address(p, y), y->name,
                                  n->in[i]->name);
        for (int i = 0; i < o; i++)
            if (has_bytes(n->out[i]) && touch(p, n->out[i], y))
                return node_error(n, "plan: outputs '%s' and '%s' collide",
                                  n->out[i]->name, y->name);
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
        const Value *v = i < n->nin ? n->in[i] : n->out[i - n->nin];
        if (has_bytes(v) && address(p, v) < to &&
            from < address(p, v) + type_bytes(&v->type))
            return node_error(n, "plan: scratch collides with '%s' at byte "
                              "%lld", v->name, (long long)address(p, v));
    }
    if (!check_place(n, "scratch", n->scratch_buf, n->scratch_buf->offset,
                     n->scratch))
        return false;
    cut(c, from, to);
    return true;
}

static bool check_step(Check *c, const Node *n)
{
    for (int i = 0; i < n->nin; i++)
        if (has_bytes(n->in[i]) && !owned(c, n->in[i], n->index, n->name))
            return false;
    if (is_view(n)) {
        alias(c, n);
        return true;
    }
    if (!check_writes(c, n) || !check_scratch(c, n))
        return false;
    for (int o = 0; o < n->nout; o++)
        if (has_bytes(n->out[o]))
            take(c, n->out[o]);
    return true;
}

bool plan_check(Graph *g)
{
    Check c = { g, NULL, 0, 0, NULL, NULL };

    c.shift = NEW_ARRAY(g->scratch, int64_t, g->nvalue);
    c.root = NEW_ARRAY(g->scratch, const Value *, g->nvalue);
    for (int i = 0; i < g->nvalue; i++)
        c.root[i] = g->value[i];
    for (int i = 0; i < g->nin; i++)
        if (has_bytes(g->in[i]))
            take(&c, g->in[i]);
    for (const State *s = g->state; s; s = s->next)
        if (has_bytes(s->in))
            take(&c, s->in);
    for (int i = 0; i < g->nin; i++)
        if (has_bytes(g->in[i]) && !owned(&c, g->in[i], -1, "inputs"))
            return false;
    for EACH_NODE(n, g)
        if (!check_step(&c, n))
            return false;
    for (int i = 0; i < g->nout; i++)
        if (has_bytes(g->out[i]) &&
            !owned(&c, g->out[i], g->plan->nsteps, "outputs"))
            return false;
    return true;
}
