/* advice.c - what would make the model fit, and by how much.
 *
 * A row per way out. Each computes its own figure: options are changed and
 * the model is planned again, sizes are changed and the buffers placed again.
 * What would not help is not said.
 */
#include "advice.h"

#include <stdlib.h>
#include <string.h>

#include "../codegen/report.h"
#include "../passes/dsa.h"

enum { ALIGN = 8, NODES = 20000 };

typedef struct List {
    Compile *c;
    Advice *way;
    int n, cap;
    int64_t now;                /* what the arena takes */
} List;

static int64_t align_up(int64_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static void add(List *l, int64_t saves, const char *text)
{
    Advice a = { saves, text };

    if (saves > 0)
        PUSH(l->c->arena, l->way, l->n, l->cap, a);
}

/* The arena with the changed options; `now` when it cannot be made. */
static void try_options(List *l, const Options *o, const char *what)
{
    Diag mute = { .file = l->c->diag->file };
    Compile t = *l->c;
    int64_t bytes;

    t.opt = o;
    t.diag = &mute;
    t.proof = NULL;
    bytes = planned_bytes(&t);
    if (bytes >= 0)
        add(l, l->now - bytes, arena_printf(l->c->arena, "%s: the arena "
                                            "would take %lld B", what,
                                            (long long)bytes));
}

static void without_options(List *l)
{
    const Options *now = l->c->opt;
    Options o = *now;

    if (now->keep_inputs) {
        o.keep_inputs = false;
        try_options(l, &o, "without --keep-inputs");
    }
    o = *now;
    if (now->no_reuse) {
        o.no_reuse = false;
        try_options(l, &o, "without --no-reuse");
    }
    o = *now;
    if (now->skip || now->passes || now->bisect >= 0) {
        o.skip = o.passes = NULL;
        o.bisect = -1;
        try_options(l, &o, "with all passes");
    }
}

/* Where the only input is there at the peak. */
static void in_bands(List *l)
{
    const Options *now = l->c->opt;
    const Graph *g = l->c->g;
    const Buffer *b = g->nin == 1 ? g->in[0]->buf : NULL;
    Options o = *now;

    if (!b || now->stream_input || now->keep_inputs || now->pool.n ||
        now->share_arena || now->skip || now->passes ||
        b->last < g->plan->peak_step)
        return;
    o.stream_input = "";
    try_options(l, &o, "--stream-input, the input in bands");
}

/* Loops that compute more again. The first plan says how much, the second one
 * what that gives. */
static void more_work(List *l)
{
    Options o = *l->c->opt;
    Diag mute = { .file = l->c->diag->file };
    Compile t = *l->c;
    int64_t bytes, macs, added;
    double times;

    if (o.skip || o.passes || o.no_reuse || o.bisect >= 0)
        return;
    o.max_macs = "1000";
    t.opt = &o;
    t.diag = &mute;
    t.proof = NULL;
    bytes = planned_bytes(&t);
    if (bytes < 0 || bytes >= l->now)
        return;
    macs = report_macs(t.g);
    added = report_macs_added(t.g);
    if (added <= 0 || macs <= added)
        return;
    times = (double)macs / (double)(macs - added);
    o.max_macs = arena_printf(l->c->arena, "%.2f", times + 0.01);
    try_options(l, &o, arena_printf(l->c->arena, "--max-macs %s, loops that "
                                    "compute so much more", o.max_macs));
}

static bool is_wide(const Value *v)
{
    return v->type.dt == DT_F32 || v->type.dt == DT_F64;
}

/* By buffer: its bytes if every float element were one byte. */
static int64_t *narrow_sizes(const Graph *g, bool *any)
{
    const Plan *p = g->plan;
    int64_t *bytes = NEW_ARRAY(g->arena, int64_t, p->nbuf + 1);
    int64_t *end = NEW_ARRAY(g->arena, int64_t, p->nbuf + 1);

    for (int i = 0; i < p->nbuf; i++)
        bytes[i] = p->buf[i]->bytes;
    for (int i = 0; i < g->nvalue; i++) {
        const Value *v = g->value[i];
        int64_t n = v->buf ? type_elems(&v->type) : 0;
        if (!v->buf)
            continue;
        if (!is_wide(v))
            n = v->buf->bytes;
        *any |= is_wide(v);
        end[v->buf->id] = n > end[v->buf->id] ? n : end[v->buf->id];
    }
    for (int i = 0; i < p->nbuf; i++)
        if (end[i] && end[i] < bytes[i])
            bytes[i] = end[i];
    return bytes;
}

static int64_t planned_with(const Graph *g, const int64_t *bytes)
{
    const Plan *p = g->plan;
    DsaBuf *list = NEW_ARRAY(g->arena, DsaBuf, p->nbuf + 1);
    DsaOptions options = { .max_nodes = NODES };
    DsaProblem d = { list, 0, NULL, 0 };
    DsaResult r = { .height = 0 };
    int64_t state = p->reserve;

    for (int i = 0; i < p->nbuf; i++) {
        const Buffer *b = p->buf[i];
        if (b->is_state)
            state += align_up(bytes[i]);
        else if (bytes[i])
            list[d.nbuf++] = (DsaBuf){ b->first, b->last + 1,
                                       align_up(bytes[i]), ALIGN, -1, 0 };
    }
    if (d.nbuf)
        dsa_solve(&d, &options, g->scratch, &r);
    return align_up(r.height) + state;
}

static void smaller_dtype(List *l)
{
    const Graph *g = l->c->g;
    bool any = false;
    int64_t *bytes = narrow_sizes(g, &any), would;

    if (!any)
        return;
    would = planned_with(g, bytes);
    add(l, l->now - would, arena_printf(l->c->arena, "int8 values "
        "(--quantize int8 --calib FILE): this order of steps would take "
        "%lld B", (long long)would));
}

static void gaps(List *l)
{
    const Plan *p = l->c->g->plan;

    if (!l->c->opt->no_reuse && !l->c->npool)
        add(l, p->arena_bytes - p->lower_bound, arena_printf(
            l->c->arena, "gaps between buffers: --plan-time S searches "
            "longer, for %lld B at best", (long long)p->lower_bound));
}

static const Node *node_at(const Graph *g, int index)
{
    for EACH_NODE(n, g)
        if (n->index == index)
            return n;
    return NULL;
}

static const Node *last_reader(const Buffer *b, const Graph *g, int after)
{
    const Node *last = NULL;

    for (int i = 0; i < g->nvalue; i++) {
        const Value *v = g->value[i];
        for (int k = 0; v->buf == b && k < v->nuse; k++)
            if (v->use[k]->index > after &&
                (!last || v->use[k]->index > last->index))
                last = v->use[k];
    }
    return last;
}

const char *advice_not_in_place(Compile *c, const Node *n, int i)
{
    const Value *x = n->in[i], *y = node_out(n, 0);
    const Node *reader;

    if (!x || !y || !x->buf || !y->buf || x->buf == y->buf ||
        !op_has(n->op, T_MAP | T_ROWS) ||
        (i > 0 && !op_has(n->op, T_MAP)))
        return NULL;
    if (c->opt->no_reuse)
        return "--no-reuse";
    if (x->type.dt != y->type.dt ||
        type_bytes(&x->type) != type_bytes(&y->type))
        return "it has another size";
    reader = last_reader(x->buf, c->g, n->index);
    if (reader)
        return arena_printf(c->arena, "step %d, '%s' (%s), still needs it",
                            reader->index, reader->name,
                            op_name(reader->op));
    if (c->opt->keep_inputs && x->is_input)
        return "it is an input that is kept";
    if (x->buf->last > n->index)
        return "it is an output";
    return "other values share its buffer";
}

/* At the peak: an operand that could not be written over. */
static void in_place(List *l)
{
    Compile *c = l->c;
    const Plan *p = c->g->plan;
    const Node *n = node_at(c->g, p->peak_step);

    for (int i = 0; n && i < n->nin; i++) {
        const char *why = advice_not_in_place(c, n, i);
        int64_t bytes = why ? align_up(n->in[i]->buf->bytes) : 0;
        if (why)
            add(l, bytes, arena_printf(
                c->arena, "step %d, '%s' (%s), could write over '%s': %s",
                n->index, n->name, op_name(n->op), n->in[i]->name, why));
    }
}

/* The step behind t that reads v next. */
static const Node *next_reader(const Value *v, int t)
{
    const Node *next = NULL;

    for (int k = 0; k < v->nuse; k++)
        if (v->use[k]->index > t &&
            (!next || v->use[k]->index < next->index))
            next = v->use[k];
    return next;
}

/* The largest value that waits, over the peak, for a reader behind it. */
static void long_lived(List *l)
{
    Compile *c = l->c;
    int t = c->g->plan->peak_step;
    const Value *best = NULL;
    const Node *reader;

    for (int i = 0; i < c->g->nvalue; i++) {
        const Value *v = c->g->value[i];
        int first = v->def ? v->def->index : -1;
        bool reads = false;
        for (int k = 0; k < v->nuse; k++)
            reads |= v->use[k]->index == t;
        if (v->buf && !v->buf->is_state && first < t && !reads &&
            next_reader(v, t) &&
            (!best || type_bytes(&v->type) > type_bytes(&best->type)))
            best = v;
    }
    if (!best)
        return;
    reader = next_reader(best, t);
    add(l, align_up(type_bytes(&best->type)), arena_printf(
        c->arena, "'%s' waits over the peak, from step %d for step %d, '%s' "
        "(%s): a model without that way", best->name,
        best->def ? best->def->index : -1, reader->index, reader->name,
        op_name(reader->op)));
}

static int by_saving(const void *x, const void *y)
{
    const Advice *a = x, *b = y;

    return a->saves < b->saves ? 1 : a->saves > b->saves ? -1
           : strcmp(a->text, b->text);
}

/* Every way out of a missed --arena; a new one is a row here. */
static void (*const ways[])(List *l) = {
    without_options, more_work, in_bands, smaller_dtype, gaps, in_place,
    long_lived,
};

Advice *advice_arena(Compile *c, int *n)
{
    List l = { .c = c, .now = c->g->plan->arena_bytes };

    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        ways[i](&l);
    if (l.n)
        qsort(l.way, (size_t)l.n, sizeof *l.way, by_saving);
    *n = l.n;
    return l.way;
}

/* Constants of float elements, each once. */
static int64_t float_constants(const Graph *g)
{
    int64_t bytes = 0;

    for (int i = 0; i < g->nvalue; i++)
        if (g->value[i]->data && g->value[i]->nuse &&
            g->value[i]->type.dt == DT_F32)
            bytes += type_bytes(&g->value[i]->type);
    return bytes;
}

Advice *advice_flash(Compile *c, const CodegenSizes *s, int *n)
{
    List l = { .c = c };
    int64_t bytes = float_constants(c->g);

    if (bytes > s->weights)
        bytes = s->weights;
    add(&l, bytes / 4 * 3, "int8 weights (--quantize int8 --calib FILE): a "
        "byte for each of four");
    add(&l, bytes / 8 * 7, "int4 weights (--quantize int8 --weights int4 "
        "--calib FILE)");
    if (!c->opt->weights_file)
        add(&l, s->weights, "--weights-file FILE: constants in another "
            "memory, such as an external flash");
    if (l.n)
        qsort(l.way, (size_t)l.n, sizeof *l.way, by_saving);
    *n = l.n;
    return l.way;
}
