/* stream_input.c - --stream-input: the loop that takes an input in bands.
 *
 * The input is received by a node of its own; what reads it comes first in
 * the schedule, and some of the steps that follow are in its loop. How many,
 * and along which axis, is tried: by points (patches, rows of tokens) from
 * the band on, or where windows are read as a stretch with line buffers
 * (stream_windows.c). Rows are the first axis along which most steps can go.
 */
#include "stream.h"

#include <string.h>

#include "../ir/relation.h"
#include "storage.h"

static bool depends(const Node *n, const bool *from)
{
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] && from[n->in[i]->id])
            return true;
    return false;
}

/* Does n need what is made of other inputs or of states only? */
static const Value *stranger(const Node *n, const bool *from)
{
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] && n->in[i]->def && !from[n->in[i]->id])
            return n->in[i];
    return NULL;
}

/* The first steps that depend on what is received move behind `receive`, up
 * to one that other steps must go before. */
static void readers_first(Graph *g, Node *receive)
{
    bool *from = NEW_ARRAY(g->scratch, bool, g->nvalue + 1);
    Node *at = receive->next;
    int steps = 0;

    from[receive->out[0]->id] = true;
    for (Node *n = receive->next, *next; n; n = next) {
        next = n->next;
        if (!depends(n, from))
            continue;
        if (steps++ == REACH || stranger(n, from))
            return;
        for (int o = 0; o < n->nout; o++)
            if (n->out[o])
                from[n->out[o]->id] = true;
        if (n == at)
            at = next;
        else
            node_move(n, at);
    }
}

static void read_instead(Value *v, Value *by, const Node *but)
{
    Node **use = arena_memdup(by->def->graph->scratch, v->use,
                              (size_t)v->nuse * sizeof *use);
    int n = v->nuse;

    for (int k = 0; k < n; k++)
        for (int i = 0; use[k] != but && i < use[k]->nin; i++)
            if (use[k]->in[i] == v)
                node_set_input(use[k], i, by);
}

/* What is read of x is read of n, which stands before `at`. */
static Node *insert_reader(Graph *g, Op op, Value *x, Node *at)
{
    Node *n = insert_op(g, at, op, x->name, 1, &x, x->type);

    n->out[0]->quant = x->quant;
    read_instead(x, n->out[0], n);
    return n;
}

/* The loop by points */

/* Does axis `axis` of n's result go along all that n reads of the loop? */
static bool goes_along(Node *n, Region *r, int axis)
{
    Cut made[REGION_DEPTH], read[REGION_DEPTH];
    bool ok;

    n->region = r;
    n->walk[0] = (signed char)axis;
    ok = node_can_tile(n);
    for (int i = 0; ok && i < n->nin; i++) {
        const Value *v = n->in[i];
        if (!v || !v->def || v->def->region != r)
            continue;
        ok = node_cuts(v->def, ~v->def_index, made) &&
             node_cuts(n, i, read) && made[0].axis >= 0 &&
             made[0].axis == read[0].axis && made[0].unit == read[0].unit;
    }
    if (!ok)
        n->region = NULL;
    return ok;
}

static bool join(Node *n, Region *r)
{
    if (n->region || n->nout < 1 || !n->out[0] || node_is_commit(n))
        return false;
    for (int a = 0; a < n->out[0]->type.rank; a++)
        if (goes_along(n, r, a))
            return true;
    return false;
}

/* Up to `most` steps behind the first in a loop of `extent` turns along `axis`
 * of what that receives; returns how many there are. */
static int join_points(Graph *g, int axis, int64_t extent, int most)
{
    Region *r = region_new(g, NULL, "bands", extent, 1);
    int steps = 0;

    if (!goes_along(g->first, r, axis))
        return -1;
    for (Node *n = g->first->next; n && steps < most && join(n, r);
         n = n->next)
        steps++;
    graph_number(g);
    return steps;
}

static void leave_points(Graph *g)
{
    for (Node *n = g->first; n && n->region; n = n->next)
        n->region = NULL;
}

static Node *step_behind(Graph *g, int steps)
{
    Node *n = g->first;

    while (n && steps--)
        n = n->next;
    return n;
}

/* The loop with windows: rows of the last step's result */

/* The axis of n's result that its readers in the loop go along; -1: there
 * are none; -2: they do not agree. */
static int readers_axis(const Node *n, const Region *r)
{
    const Value *y = n->out[0];
    int axis = -1;

    for (int i = 0; i < y->nuse; i++) {
        const Node *u = y->use[i];
        for (int k = 0; u->region == r && k < u->nin; k++) {
            Relation rel;
            if (u->in[k] != y)
                continue;
            rel = axis_relation(u, k, u->walk[0]);
            if ((rel.kind != REL_POINT && rel.kind != REL_WINDOW) ||
                (axis >= 0 && axis != rel.axis))
                return -2;
            axis = rel.axis;
        }
    }
    return axis;
}

static bool enter(Node *n, Region *r, int last_axis)
{
    int axis;

    if (n->region || n->nout < 1 || !n->out[0] || node_is_commit(n))
        return false;
    axis = readers_axis(n, r);
    if (axis == -1)
        axis = last_axis;
    if (axis < 0 || axis >= n->out[0]->type.rank)
        return false;
    n->region = r;
    n->walk[0] = (signed char)axis;
    return true;
}

/* All steps up to `last` as a loop over `axis` of its result. */
static bool join_windows(Graph *g, Node *last, int axis)
{
    int64_t extent = last->out[0] && axis < last->out[0]->type.rank
                         ? axis_indices(last, axis) : 0;
    Node *bad = NULL;
    Region *r;

    if (extent < 2)
        return false;
    r = region_new(g, NULL, "bands", extent, 1);
    for (Node *n = last; n; n = n->prev)
        if (!enter(n, r, axis))
            return false;
    graph_number(g);
    if (!r->slides || regions_slide(g, &bad))
        return false;
    for (Node *n = g->first; n != last->next; n = n->next)
        if (!node_can_tile(n))
            return false;
    return true;
}

bool band_loop_form(Graph *g, const BandLoop *l)
{
    Node *last;

    if (l->copy)
        insert_reader(g, OP_Identity, g->first->out[0], g->first->next);
    if (!l->windows)
        return join_points(g, l->axis, l->extent, l->steps) == l->steps;
    last = step_behind(g, l->steps + l->copy);
    return last && join_windows(g, last, l->axis);
}

/* What there is to choose from */

typedef struct Bands {
    Graph *g;
    const PassOptions *opt;
    BandLoop *list;
    int n, cap, least;          /* steps that must be in the loop */
    int *axis;                  /* of the input, by entry of the list */
    int capaxis;
    bool in_pieces;             /* a copy of the band may help */
} Bands;

/* Most bytes live in the steps of the loop. */
static int64_t loop_live(Graph *g, const PassOptions *opt)
{
    int64_t *live, most = 0;
    int count = 0;

    for EACH_NODE(n, g)
        count++;
    live = NEW_ARRAY(g->scratch, int64_t, count + 1);
    plan_steps_live(g, opt, live);
    for EACH_NODE(n, g)
        if (n->region == g->first->region && live[n->index] > most)
            most = live[n->index];
    return most;
}

static Graph *fresh(const Bands *b)
{
    Graph *g = graph_clone(b->g);

    g->overlap = true;
    return g->nlevel && !widths_attach(g) ? NULL : g;
}

static void try_loop(Bands *b, BandLoop l)
{
    Graph *g = fresh(b);
    int n = b->n, axis;

    if (!g || !band_loop_form(g, &l))
        return;
    graph_number(g);
    if (l.windows && !l.copy && band_refusal(g))
        b->in_pieces = true;
    if (band_refusal(g) || !stream_small(g))
        return;
    axis = g->first->walk[0];
    l.live = loop_live(g, b->opt);
    PUSH(b->g->scratch, b->list, b->n, b->cap, l);
    PUSH(b->g->scratch, b->axis, n, b->capaxis, axis);
}

/* The more turns, the smaller the band. */
static void try_points(Bands *b, int axis)
{
    int64_t dim = b->g->first->out[0]->type.dim[axis];
    int before = b->least - 1;

    for (int64_t extent = dim; extent > 1; extent--) {
        int steps;
        if (dim % extent)
            continue;
        steps = join_points(b->g, axis, extent, REACH);
        leave_points(b->g);
        for (int k = before + 1; k <= steps; k++)
            try_loop(b, (BandLoop){ .steps = k, .axis = axis,
                                    .extent = extent });
        before = steps > before ? steps : before;
    }
}

static void try_windows(Bands *b, bool copy)
{
    for (int k = b->least; k <= REACH; k++) {
        Node *last = step_behind(b->g, k);
        if (!last || last->nout < 1 || !last->out[0])
            return;
        for (int a = 0; a < last->out[0]->type.rank; a++)
            try_loop(b, (BandLoop){ .steps = k, .axis = a, .windows = true,
                                    .copy = copy });
    }
}

/* The first axis along which a loop can have the most steps. */
static int rows_axis(const Bands *b)
{
    int most = 0, axis = MAX_RANK;

    for (int i = 0; i < b->n; i++)
        most = b->list[i].steps > most ? b->list[i].steps : most;
    for (int i = 0; i < b->n; i++)
        if (b->list[i].steps == most && b->axis[i] < axis)
            axis = b->axis[i];
    return axis;
}

static bool is_better(const BandLoop *a, const BandLoop *b)
{
    return a->live < b->live || (a->live == b->live && a->steps > b->steps);
}

/* Those along the rows, the smallest first. */
static void sort_loops(Bands *b)
{
    int rows = rows_axis(b), n = 0;

    for (int i = 0; i < b->n; i++)
        if (b->axis[i] == rows)
            b->list[n++] = b->list[i];
    b->n = n;
    for (int i = 1; i < n; i++)
        for (int k = i; k && is_better(&b->list[k], &b->list[k - 1]); k--) {
            BandLoop t = b->list[k];
            b->list[k] = b->list[k - 1];
            b->list[k - 1] = t;
        }
}

/* Messages */

static bool relates(const Node *n, const Value *v)
{
    for (int a = 0; n->nout && n->out[0] && a < n->out[0]->type.rank; a++)
        for (int i = 0; i < n->nin; i++) {
            Relation r;
            if (n->in[i] != v)
                continue;
            r = node_relation(n, 0, i, a);
            if ((r.kind == REL_POINT || r.kind == REL_WINDOW) &&
                v->type.dim[r.axis] > 1)
                return true;
        }
    return false;
}

/* Why there is no loop. */
static bool say_why(const Bands *b)
{
    Graph *g = b->g;
    const Value *x = g->first->in[0], *v = g->first->out[0];
    bool *from = NEW_ARRAY(g->scratch, bool, g->nvalue + 1);
    const Node *last = v->use[0];

    for (int i = 0; i < v->nuse; i++)
        if (!relates(v->use[i], v))
            return node_error(v->use[i], "--stream-input: it reads all of "
                              "'%s' at once, not band by band", x->name);
    from[v->id] = true;
    for (Node *n = g->first->next; n; n = n->next) {
        const Value *other = depends(n, from) ? stranger(n, from) : NULL;
        if (other && n->index <= b->least)
            return node_error(n, "--stream-input: before it takes a band of "
                              "'%s' it needs '%s', which comes from another "
                              "input or a state", x->name, other->name);
        for (int o = 0; depends(n, from) && o < n->nout; o++)
            if (n->out[o])
                from[n->out[o]->id] = true;
    }
    for (int i = 0; i < v->nuse; i++)
        last = v->use[i]->index > last->index ? v->use[i] : last;
    if (last != v->use[0])
        return node_error(last, "--stream-input: it and '%s' both read '%s', "
                          "but no loop over bands can have both",
                          v->use[0]->name, x->name);
    return node_error(last, "--stream-input: it cannot be computed from bands "
                      "of '%s'", x->name);
}

static Value *find_input(const Graph *g, const char *name)
{
    Buf names;

    if (!*name && g->nin == 1)
        return g->in[0];
    for (int i = 0; i < g->nin; i++)
        if (!strcmp(g->in[i]->name, name))
            return g->in[i];
    buf_init(&names, g->scratch);
    for (int i = 0; i < g->nin; i++)
        buf_printf(&names, "%s'%s'", i ? ", " : "", g->in[i]->name);
    if (*name)
        diag_error(g->diag, "--stream-input: no input is named '%s', there "
                   "is %s", name, g->nin ? names.s : "none");
    else
        diag_error(g->diag, g->nin ? "--stream-input needs =NAME, the model "
                   "has several inputs: %s"
                   : "--stream-input: the model has no input%s", names.s);
    return NULL;
}

static bool may_come(const Graph *g, const Value *x)
{
    if (!x->nuse)
        return diag_error(g->diag, "--stream-input: nobody reads '%s'",
                          x->name);
    if (x->is_output)
        return diag_error(g->diag, "--stream-input: '%s' is an output too, "
                          "and whole", x->name);
    if (dtype_bits(x->type.dt) < 8)
        return diag_error(g->diag, "--stream-input: two elements of '%s' "
                          "share a byte", x->name);
    return true;
}

BandLoop *band_loops(Graph *g, const PassOptions *opt, int *n,
                     const char **last)
{
    Value *x = find_input(g, opt->stream_input);
    Bands b = { .g = g, .opt = opt };

    if (!x || !may_come(g, x))
        return NULL;
    insert_reader(g, OP_Receive, x, g->first);
    readers_first(g, g->first);
    graph_number(g);
    for (int i = 0; i < g->first->out[0]->nuse; i++)
        if (g->first->out[0]->use[i]->index > b.least)
            b.least = g->first->out[0]->use[i]->index;
    for (int a = 0; a < x->type.rank; a++)
        try_points(&b, a);
    try_windows(&b, false);
    if (b.in_pieces)
        try_windows(&b, true);
    if (!b.n) {
        say_why(&b);
        return NULL;
    }
    sort_loops(&b);
    for (int i = 0, most = 0; i < b.n; i++)
        if (b.list[i].steps > most) {
            most = b.list[i].steps;
            *last = step_behind(g, most)->out[0]->name;
        }
    *n = b.n;
    return b.list;
}
