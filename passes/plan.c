/* plan.c - places every value in the arena.
 *
 * Values become buffers first: a view shares its operand's buffer, and an
 * elementwise or row-wise result overwrites an operand that dies there. Then
 * every buffer gets an offset from the allocator (dsa.h). State comes first,
 * at the start of the arena.
 */
#include "dsa.h"
#include "passes.h"

/* The arena is aligned to 8, and so is all in it: sums of rounded sizes bound
 * every plan from below. */
enum { ALIGN = 8, INPUT_TIME = -1, SEARCH_NODES = 200000 };

/* A member of a buffer lives until its last reader. */
static int last_use(const Value *v, int nsteps)
{
    int last = v->def ? v->def->index : INPUT_TIME;

    for (int i = 0; i < v->nuse; i++)
        if (v->use[i]->index > last)
            last = v->use[i]->index;
    return v->is_output ? nsteps : last;
}

static Buffer *buffer_new(Graph *g, const char *name, int64_t bytes)
{
    Plan *p = g->plan;
    Buffer *b = NEW(g->arena, Buffer);

    b->id = p->nbuf;
    b->name = name;
    b->bytes = bytes;
    b->align = ALIGN;
    b->offset = -1;
    PUSH(g->arena, p->buf, p->nbuf, p->capbuf, b);
    return b;
}

static void join(Buffer *b, Value *v, int64_t delta, int nsteps)
{
    int first = v->def ? v->def->index : INPUT_TIME;
    int last = last_use(v, nsteps);

    v->buf = b;
    v->delta = delta;
    if (first < b->first)
        b->first = first;
    if (last > b->last)
        b->last = last;
}

static void own_buffer(Graph *g, Value *v)
{
    int64_t bytes = type_bytes(&v->type);

    if (!bytes)
        return;
    v->buf = buffer_new(g, v->name, bytes);
    v->buf->first = v->def ? v->def->index : INPUT_TIME;
    v->buf->last = v->buf->first;
    join(v->buf, v, 0, g->plan->nsteps);
}

static bool is_broadcast(const Value *x, const Value *y)
{
    return !type_same_shape(&x->type, &y->type);
}

/* A state's buffer is rewritten when the run ends: what leaves the model by
 * another way must not lie there. */
static bool may_join(const Graph *g, const Buffer *b, const Value *y)
{
    if (!b->is_state || !y->is_output)
        return true;
    for (const State *s = g->state; s; s = s->next)
        if (s->out == y)
            return s->in->buf == b;
    return false;
}

/* May y take the place of operand k of n? Everything in that buffer must be
 * dead after n, and no other operand may live there in another shape. */
static bool can_overwrite(const Node *n, int k, const PassOptions *opt)
{
    const Value *x = n->in[k], *y = n->out[0];

    if (!x || !x->buf || !type_equal(&x->type, &y->type) ||
        x->buf->last > n->index || x->delta || !may_join(n->graph, x->buf, y) ||
        x->buf->bytes != type_bytes(&y->type))
        return false;
    if (opt->keep_inputs && x->buf->first == INPUT_TIME &&
        !x->buf->is_state)
        return false;
    for (int i = 0; i < n->nin; i++)
        if (i != k && n->in[i] && n->in[i]->buf == x->buf &&
            (n->in[i]->delta || is_broadcast(n->in[i], y) ||
             op_has(n->op, T_ROWS)))
            return false;
    return true;
}

static bool try_in_place(Node *n, const PassOptions *opt, int nsteps)
{
    int operands = op_has(n->op, T_MAP) ? n->nin : 1;

    if (!op_has(n->op, T_MAP | T_ROWS) || opt->no_reuse || !n->out[0])
        return false;
    for (int k = 0; k < operands; k++)
        if (can_overwrite(n, k, opt)) {
            join(n->in[k]->buf, n->out[0], 0, nsteps);
            return true;
        }
    return false;
}

/* A view costs nothing when all results of the node are views. */
static bool can_view(const Node *n, const PassOptions *opt)
{
    const Value *x = node_in(n, 0);
    int64_t shift;

    if (opt->no_reuse || !x || !x->buf)
        return false;
    if (opt->keep_inputs && x->buf->first == INPUT_TIME &&
        !x->buf->is_state)
        return false;
    for (int i = 0; i < n->nout; i++)
        if (n->out[i] && type_bytes(&n->out[i]->type) &&
            (!node_view_shift(n, i, &shift) ||
             !may_join(n->graph, x->buf, n->out[i])))
            return false;
    return true;
}

static bool try_view(Node *n, const PassOptions *opt, int nsteps)
{
    Buffer *b;
    int64_t base, shift;

    if (!can_view(n, opt))
        return false;
    b = n->in[0]->buf;
    base = n->in[0]->delta;
    for (int i = 0; i < n->nout; i++)
        if (n->out[i] && node_view_shift(n, i, &shift))
            join(b, n->out[i], base + shift, nsteps);
    return true;
}

/* The last steps bring every new state to its place; where the state was
 * updated in place they are views, and no code. */
static void add_commits(Graph *g)
{
    for (State *s = g->state; s; s = s->next) {
        Node *n = node_new(g, OP_Identity, s->out->name, 1, &s->out, 1);
        n->out[0]->type = s->in->type;
        graph_append(g, n);
    }
}

static void state_buffers(Graph *g)
{
    for (State *s = g->state; s; s = s->next) {
        own_buffer(g, s->in);
        if (s->in->buf)
            s->in->buf->is_state = true;
    }
}

static bool is_commit(const Graph *g, const Node *n, Buffer **buf)
{
    for (const State *s = g->state; s; s = s->next)
        if (n->op == OP_Identity && n->in[0] == s->out && !n->out[0]->nuse &&
            !n->out[0]->is_output) {
            *buf = s->in->buf;
            return true;
        }
    return false;
}

static void make_buffers(Graph *g, const PassOptions *opt)
{
    int nsteps = g->plan->nsteps;
    Buffer *state;

    state_buffers(g);

    for (int i = 0; i < g->nin; i++) {
        own_buffer(g, g->in[i]);
        if (g->in[i]->buf && opt->keep_inputs)
            g->in[i]->buf->last = nsteps;
    }
    for EACH_NODE(n, g) {
        if (n->scratch) {
            n->scratch_buf = buffer_new(g, n->name, n->scratch);
            n->scratch_buf->first = n->scratch_buf->last = n->index;
            n->scratch_buf->is_scratch = true;
        }
        if (is_commit(g, n, &state)) {
            if (state)
                join(state, n->out[0], 0, nsteps);
            continue;
        }
        if (try_view(n, opt, nsteps))
            continue;
        if (!try_in_place(n, opt, nsteps) && n->nout && n->out[0])
            own_buffer(g, n->out[0]);
        for (int i = 1; i < n->nout; i++)
            if (n->out[i])
                own_buffer(g, n->out[i]);
    }
}

static int64_t align_up(int64_t n, int64_t a)
{
    return (n + a - 1) / a * a;
}

/* Offsets by the allocator; returns the height. */
static int64_t place(Graph *g, Buffer **list, int n, bool no_reuse)
{
    DsaProblem problem = { NEW_ARRAY(g->scratch, DsaBuf, n), n, NULL, 0 };
    DsaOptions options = { .max_nodes = SEARCH_NODES };
    DsaResult result;

    for (int i = 0; i < n; i++)
        problem.buf[i] = (DsaBuf){
            .lower = no_reuse ? 0 : list[i]->first,
            .upper = no_reuse ? 1 : list[i]->last + 1,
            .size = list[i]->bytes,
            .align = list[i]->align,
            .fixed_offset = -1,
        };
    dsa_solve(&problem, &options, g->scratch, &result);
    for (int i = 0; i < n; i++)
        list[i]->offset = problem.buf[i].offset;
    return result.height;
}

/* Most bytes live in one step: no plan of this order can be smaller. */
static void find_bound(Plan *p)
{
    for (int t = INPUT_TIME; t <= p->nsteps; t++) {
        int64_t live = 0;
        for (int i = 0; i < p->nbuf; i++)
            if (p->buf[i]->first <= t && t <= p->buf[i]->last &&
                !p->buf[i]->is_state)
                live += align_up(p->buf[i]->bytes, ALIGN);
        if (live > p->lower_bound) {
            p->lower_bound = live;
            p->peak_step = t;
        }
    }
    p->lower_bound += p->state_bytes;
}

/* A fresh plan with buffers and live ranges, state placed. */
static Plan *plan_new(Graph *g, const PassOptions *opt)
{
    Plan *p = NEW(g->arena, Plan);

    g->plan = p;
    graph_number(g);
    for EACH_NODE(n, g)
        p->nsteps++;
    if (opt->scratch)
        opt->scratch(g);
    make_buffers(g, opt);
    p->reserve = align_up(opt->state_reserve, ALIGN);
    p->state_bytes = p->reserve;
    for (int i = 0; i < p->nbuf; i++)
        if (p->buf[i]->is_state) {
            p->buf[i]->offset = p->state_bytes;
            p->buf[i]->last = p->nsteps;
            p->state_bytes += align_up(p->buf[i]->bytes, ALIGN);
        }
    return p;
}

int64_t plan_bound(Graph *g, const PassOptions *opt)
{
    Plan *p = plan_new(g, opt);

    find_bound(p);
    for (int i = 0; i < g->nvalue; i++)
        g->value[i]->buf = NULL;
    for EACH_NODE(n, g)
        n->scratch_buf = NULL;
    g->plan = NULL;
    return p->lower_bound;
}

bool pass_plan(Graph *g, const PassOptions *opt, bool *changed)
{
    Buffer **list;
    Plan *p;
    int n = 0;

    *changed = true;
    add_commits(g);
    p = plan_new(g, opt);
    list = NEW_ARRAY(g->scratch, Buffer *, p->nbuf);
    for (int i = 0; i < p->nbuf; i++)
        if (!p->buf[i]->is_state)
            list[n++] = p->buf[i];
    p->arena_bytes = n ? place(g, list, n, opt->no_reuse) : 0;
    p->arena_bytes = align_up(p->arena_bytes, 8) + p->state_bytes;
    if (p->arena_bytes < 8)
        p->arena_bytes = 8;
    for (int i = 0; i < n; i++)
        list[i]->offset += p->state_bytes;
    find_bound(p);
    return plan_check(g);
}
