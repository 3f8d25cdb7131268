/* expand_flow.c - If, Loop and Scan. A graph has no control flow: a branch
 * whose condition is constant is taken, one that is not becomes Where over
 * both; loops are unrolled, which their static shapes nearly always allow. */
#include "build.h"

#include <string.h>

enum { MAX_TURNS = 4096 };

static bool const_bool(const Value *v, bool *out)
{
    if (!value_is_const(v) || type_elems(&v->type) != 1)
        return false;
    *out = elem_get(v->type.dt, v->data, 0) != 0;
    return true;
}

/* Both branches are computed, neither has effects; one is taken. */
static bool choose(Build *b, Draft *d, Value *cond, Value **yes, Value **no)
{
    static const int64_t none[1];

    if (type_elems(&cond->type) != 1)
        return draft_error(b, d, "condition is not a scalar");
    cond = b_reshape(b, cond, 0, none);
    for (int i = 0; i < d->nout; i++) {
        if (!d->want[i])
            continue;
        if (value_is_sequence(yes[i]) || value_is_sequence(no[i]) ||
            !type_equal(&yes[i]->type, &no[i]->type))
            return draft_error(b, d, "the condition is not a constant, and "
                               "the branches make output %d in different "
                               "types", i);
        d->out[i] = b_op3(b, OP_Where, cond, yes[i], no[i]);
    }
    return true;
}

bool expand_if(Build *b, Draft *d)
{
    ModelGraph *yes = NULL, *no = NULL;
    Value **then_out = NEW_ARRAY(b->g->arena, Value *, d->nout + 1);
    Value **else_out = NEW_ARRAY(b->g->arena, Value *, d->nout + 1);
    bool cond;

    take_graph(b, d, "then_branch", &yes);
    take_graph(b, d, "else_branch", &no);
    if (!yes || !no || d->nin != 1 || value_is_sequence(d->in[0]))
        return draft_error(b, d, "takes a condition and two branches");
    if (const_bool(d->in[0], &cond))
        return walk_body(b, cond ? yes : no, cond ? "then" : "else", NULL, 0,
                         d->out, d->m->nout);
    return walk_body(b, yes, "then", NULL, 0, then_out, d->m->nout) &&
           walk_body(b, no, "else", NULL, 0, else_out, d->m->nout) &&
           choose(b, d, d->in[0], then_out, else_out);
}

typedef struct Collect {
    int n, cap;
    Value **item;
} Collect;

static Value *unsqueezed(Build *b, Value *v, int axis)
{
    int64_t dim[MAX_RANK];

    if (v->type.rank == MAX_RANK || axis > v->type.rank) {
        draft_error(b, b->draft, "an output of rank %d cannot be stacked on "
                    "axis %d", v->type.rank, axis);
        return v;
    }
    for (int i = 0; i <= v->type.rank; i++)
        dim[i] = i < axis ? v->type.dim[i] :
                 i == axis ? 1 : v->type.dim[i - 1];
    return b_reshape(b, v, v->type.rank + 1, dim);
}

static Value *stacked(Build *b, const Collect *c, int64_t axis, bool reverse)
{
    Value **v = NEW_ARRAY(b->g->arena, Value *, c->n + 1);
    int rank = c->item[0]->type.rank + 1;

    axis = axis < 0 ? axis + rank : axis;
    if (axis < 0 || axis >= rank) {
        draft_error(b, b->draft, "axis %lld is outside rank %d",
                    (long long)axis, rank);
        return c->item[0];
    }
    for (int i = 0; i < c->n; i++) {
        v[reverse ? c->n - 1 - i : i] = unsqueezed(b, c->item[i], (int)axis);
        if (value_is_sequence(c->item[i]) ||
            !type_equal(&c->item[i]->type, &c->item[0]->type)) {
            draft_error(b, b->draft, "an output changes its type from turn "
                        "to turn");
            return c->item[0];
        }
    }
    return b_concat(b, (int)axis, c->n, v);
}

typedef struct Loop {
    ModelGraph *body;
    int carried, scans;
    int64_t turns;              /* -1: until the condition ends it */
    bool promised;              /* turns is what the model declares */
    Value **in, **out;          /* of the body */
    Collect *scan;
} Loop;

/* How often: a constant, or as long as the declared result is. */
static bool loop_turns(Build *b, Draft *d, Loop *l)
{
    Value *m = draft_in(d, 0), *cond = draft_in(d, 1);
    bool known;
    int n;

    l->turns = -1;
    if (m && value_ints(m, 1, &l->turns, &n) &&
        (!cond || const_bool(cond, &known)))
        return true;
    if (!m && cond && const_bool(cond, &known))
        return true;
    for (int i = l->carried; i < d->nout; i++) {
        Type t = d->declared[i];
        if (!type_known(&t) && !shape_hint(b, d->m->out[i], &t))
            continue;
        if (t.rank > 0) {
            l->turns = t.dim[0];
            l->promised = true;
            return true;
        }
    }
    return draft_error(b, d, "the number of turns is not a constant, and no "
                       "collected output has a declared length");
}

static bool loop_init(Build *b, Draft *d, Loop *l)
{
    Arena *a = b->g->arena;

    *l = (Loop){ NULL };
    take_graph(b, d, "body", &l->body);
    l->carried = d->nin > 2 ? d->nin - 2 : 0;
    if (!l->body || l->body->nin != l->carried + 2 ||
        l->body->nout < l->carried + 1)
        return draft_error(b, d, "its body does not fit %d carried values",
                           l->carried);
    l->scans = l->body->nout - 1 - l->carried;
    if (d->m->nout != l->carried + l->scans)
        return draft_error(b, d, "has %d outputs, its body makes %d",
                           d->m->nout, l->carried + l->scans);
    l->in = NEW_ARRAY(a, Value *, l->carried + 2);
    l->out = NEW_ARRAY(a, Value *, l->body->nout);
    l->scan = NEW_ARRAY(a, Collect, l->scans + 1);
    for (int i = 0; i < l->carried; i++) {
        l->in[2 + i] = d->in[2 + i];
        if (!l->in[2 + i])
            return draft_error(b, d, "input %d is missing", 2 + i);
    }
    return loop_turns(b, d, l);
}

/* One turn; *go says whether there is another. */
static bool loop_turn(Build *b, Draft *d, Loop *l, int64_t turn, bool *go)
{
    const char *tag = arena_printf(b->g->arena, "%lld", (long long)turn);

    l->in[0] = b_scalar(b, DT_I64, (double)turn);
    l->in[1] = b_scalar(b, DT_BOOL, 1);
    if (!walk_body(b, l->body, tag, l->in, l->carried + 2, l->out,
                   l->body->nout))
        return false;
    if (!const_bool(l->out[0], go)) {
        if (!l->promised)
            return draft_error(b, d, "the condition to go on is not a "
                               "constant");
        *go = true;
    }
    for (int i = 0; i < l->carried; i++)
        l->in[2 + i] = l->out[1 + i];
    for (int i = 0; i < l->scans; i++)
        PUSH(b->g->arena, l->scan[i].item, l->scan[i].n, l->scan[i].cap,
             l->out[1 + l->carried + i]);
    return true;
}

static bool loop_results(Build *b, Draft *d, Loop *l)
{
    for (int i = 0; i < d->nout; i++) {
        const Collect *c = &l->scan[i - l->carried];
        if (!d->want[i])
            continue;
        if (i < l->carried)
            d->out[i] = l->in[2 + i];
        else if (c->n)
            d->out[i] = stacked(b, c, 0, false);
        else if (type_known(&d->declared[i]))
            d->out[i] = graph_const(b->g, NULL, d->declared[i], NULL);
        else
            return draft_error(b, d, "never runs: the type of output %d is "
                               "not known", i);
        if (!c->n && i >= l->carried && type_elems(&d->out[i]->type))
            return draft_error(b, d, "never runs, but output %d is declared "
                               "with elements", i);
    }
    return true;
}

bool expand_loop(Build *b, Draft *d)
{
    Loop l;
    bool go = true;

    if (!loop_init(b, d, &l))
        return false;
    if (!l.promised && draft_in(d, 1))
        const_bool(d->in[1], &go);
    for (int64_t i = 0; go && i != l.turns; i++) {
        if (i == MAX_TURNS || l.turns > MAX_TURNS)
            return draft_error(b, d, "more than %d turns", MAX_TURNS);
        if (l.turns >= 0 && i >= l.turns)
            break;
        if (!loop_turn(b, d, &l, i, &go))
            return false;
    }
    return loop_results(b, d, &l);
}

typedef struct Scan {
    ModelGraph *body;
    int states, scans, outs;
    Ints in_axes, in_ways, out_axes, out_ways;
    int64_t turns;
    Value **state, **x;         /* state now; what is walked over */
} Scan;

static int64_t listed(const Ints *v, int i, int64_t usual)
{
    return i < v->n ? v->v[i] : usual;
}

static bool scan_init(Build *b, Draft *d, Scan *s)
{
    int64_t n = 0;

    *s = (Scan){ NULL };
    take_graph(b, d, "body", &s->body);
    take_int(b, d, "num_scan_inputs", &n);
    take_ints(b, d, "scan_input_axes", &s->in_axes);
    take_ints(b, d, "scan_input_directions", &s->in_ways);
    take_ints(b, d, "directions", &s->in_ways);
    take_ints(b, d, "scan_output_axes", &s->out_axes);
    take_ints(b, d, "scan_output_directions", &s->out_ways);
    if (d->version < 9) {       /* sequence_lens, then the rest */
        if (draft_in(d, 0))
            return draft_error(b, d, "sequence_lens is not supported");
        if (d->nin) {
            d->in++;
            d->nin--;
        }
    }
    if (!s->body || n < 1 || n > d->nin || s->body->nin != d->nin)
        return draft_error(b, d, "its body does not fit %d inputs", d->nin);
    s->scans = (int)n;
    s->states = d->nin - s->scans;
    s->outs = s->body->nout - s->states;
    if (s->outs < 0 || d->m->nout != s->body->nout)
        return draft_error(b, d, "has %d outputs, its body makes %d",
                           d->m->nout, s->body->nout);
    for (int i = 0; i < d->nin; i++)
        if (!d->in[i] || value_is_sequence(d->in[i]))
            return draft_error(b, d, "input %d is missing", i);
    return true;
}

/* x at `index` of `axis`, without that axis */
static Value *picked(Build *b, Value *x, int64_t axis, int64_t index)
{
    Value *in[] = { x, b_scalar(b, DT_I64, (double)index) };
    Node *n = b_node(b, OP_Gather, 2, in, 1);

    ATTRS(axis0, n)->axis = axis;
    return b_end(b, n);
}

static bool scan_turns(Build *b, Draft *d, Scan *s)
{
    for (int i = 0; i < s->scans; i++) {
        const Type *t = &s->x[i]->type;
        int64_t axis = listed(&s->in_axes, i, 0);
        axis = axis < 0 ? axis + t->rank : axis;
        if (axis < 0 || axis >= t->rank)
            return draft_error(b, d, "axis %lld is outside rank %d",
                               (long long)axis, t->rank);
        if (i && t->dim[axis] != s->turns)
            return draft_error(b, d, "inputs of %lld and %lld turns",
                               (long long)s->turns, (long long)t->dim[axis]);
        s->turns = t->dim[axis];
    }
    if (s->turns < 1 || s->turns > MAX_TURNS)
        return draft_error(b, d, "%lld turns, 1 to %d are supported",
                           (long long)s->turns, MAX_TURNS);
    return true;
}

static bool scan_turn(Build *b, Scan *s, int64_t turn, Collect *c,
                      const char *tag)
{
    Value **in = NEW_ARRAY(b->g->arena, Value *, s->body->nin + 1);
    Value **out = NEW_ARRAY(b->g->arena, Value *, s->body->nout + 1);

    for (int i = 0; i < s->states; i++)
        in[i] = s->state[i];
    for (int i = 0; i < s->scans; i++)
        in[s->states + i] = picked(b, s->x[i], listed(&s->in_axes, i, 0),
                                   listed(&s->in_ways, i, 0)
                                       ? s->turns - 1 - turn : turn);
    if (!walk_body(b, s->body, tag, in, s->body->nin, out, s->body->nout))
        return false;
    for (int i = 0; i < s->states; i++)
        s->state[i] = out[i];
    for (int i = 0; i < s->outs; i++)
        PUSH(b->g->arena, c[i].item, c[i].n, c[i].cap, out[s->states + i]);
    return true;
}

/* All turns over s->x from s->state; out[i] for each output. */
static bool scan_run(Build *b, Draft *d, Scan *s, const char *tag,
                     Value **out)
{
    Collect *c = NEW_ARRAY(b->g->arena, Collect, s->outs + 1);

    if (!scan_turns(b, d, s))
        return false;
    for (int64_t i = 0; i < s->turns; i++)
        if (!scan_turn(b, s, i, c, arena_printf(b->g->arena, "%s%lld", tag,
                                                (long long)i)))
            return false;
    for (int i = 0; i < s->states; i++)
        out[i] = s->state[i];
    for (int i = 0; i < s->outs; i++)
        out[s->states + i] = stacked(b, &c[i], listed(&s->out_axes, i, 0),
                                     listed(&s->out_ways, i, 0) != 0);
    return true;
}

/* Scan-8: every value has a batch axis first, each batch is a scan. */
static bool scan_batches(Build *b, Draft *d, Scan *s)
{
    Collect *c = NEW_ARRAY(b->g->arena, Collect, d->m->nout + 1);
    Value **out = NEW_ARRAY(b->g->arena, Value *, d->m->nout + 1);
    int64_t batches = d->in[0]->type.rank > 0 ? d->in[0]->type.dim[0] : 0;

    for (int i = 0; i < d->nin; i++)
        if (d->in[i]->type.rank < 1 || d->in[i]->type.dim[0] != batches)
            return draft_error(b, d, "inputs differ in their batch");
    if (batches < 1 || batches > MAX_TURNS)
        return draft_error(b, d, "a batch of %lld", (long long)batches);
    for (int64_t k = 0; k < batches; k++) {
        for (int i = 0; i < s->states; i++)
            s->state[i] = picked(b, d->in[i], 0, k);
        for (int i = 0; i < s->scans; i++)
            s->x[i] = picked(b, d->in[s->states + i], 0, k);
        if (!scan_run(b, d, s, arena_printf(b->g->arena, "%lld/",
                                            (long long)k), out))
            return false;
        for (int i = 0; i < d->m->nout; i++)
            PUSH(b->g->arena, c[i].item, c[i].n, c[i].cap, out[i]);
    }
    for (int i = 0; i < d->nout; i++)
        d->out[i] = stacked(b, &c[i], 0, false);
    return true;
}

bool expand_scan(Build *b, Draft *d)
{
    Scan s;
    Value **out = NEW_ARRAY(b->g->arena, Value *, d->m->nout + 1);

    if (!scan_init(b, d, &s))
        return false;
    s.state = NEW_ARRAY(b->g->arena, Value *, d->nin + 1);
    s.x = NEW_ARRAY(b->g->arena, Value *, d->nin + 1);
    if (d->version < 9)
        return scan_batches(b, d, &s);
    for (int i = 0; i < s.states; i++)
        s.state[i] = d->in[i];
    for (int i = 0; i < s.scans; i++)
        s.x[i] = d->in[s.states + i];
    if (!scan_run(b, d, &s, "", out))
        return false;
    for (int i = 0; i < d->nout; i++)
        d->out[i] = out[i];
    return true;
}
