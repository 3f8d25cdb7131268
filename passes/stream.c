/* stream.c - tensors that never exist: the pass attacks the step with most
 * bytes live, again and again. What lives there and is made and read row by
 * row goes into a loop (stream_rows.c); an attention whose operands live
 * there is computed head by head (stream_heads.c). It ends when nothing can
 * be done at the peak, or when the arena fits the budget.
 */
#include "stream.h"

#include "../support/map.h"
#include "plan_regions.h"
#include "storage.h"

enum { MOST_MOVES = 4000 };
static const int64_t MOST_PIECES = 1 << 22;
/* products of loops with windows, and of others, when nobody says */
static const double SLIDING = 1.15, STANDING = 1.05;

/* Largest first; equal ones in the order of the graph. */
static void sort_values(Value **v, int n)
{
    for (int i = 1; i < n; i++)
        for (int k = i; k && type_bytes(&v[k]->type) >
                                 type_bytes(&v[k - 1]->type); k--) {
            Value *t = v[k];
            v[k] = v[k - 1];
            v[k - 1] = t;
        }
}

static bool attack(Graph *g, Value *v)
{
    if (v->store)
        return false;
    if (v->def && stream_heads(g, v->def))
        return true;
    for (int i = 0; i < v->nuse; i++)
        if (stream_heads(g, v->use[i]))
            return true;
    return stream_value(g, v);
}

/* Rows of a slot that a turn of n touches, each in one piece; what is stored
 * as a tile is nearly one. */
static int64_t slot_rows(const Node *n, int slot, const int64_t *count,
                         const int64_t *pos)
{
    const Value *v = node_slot(n, slot);
    int64_t rows = 1;
    Cut cut[REGION_DEPTH];
    Type t;

    if (!v || value_is_const(v) || !node_cuts(n, slot, cut) ||
        value_natural_store(v))
        return 1;
    t = node_tile_type(n, slot, count, pos);
    for (int d = 0; d < region_depth(n->region); d++)
        if (cut[d].axis > 0 && type_span(&t, 0, cut[d].axis) > rows)
            rows = type_span(&t, 0, cut[d].axis);
    return rows;
}

/* Pieces of memory that the turns of n touch, about; at most MOST_PIECES. */
static int64_t node_pieces(const Node *n)
{
    int64_t turns = 1, rows = 0, count[REGION_DEPTH], pos[REGION_DEPTH];

    for (int d = 0; d < region_depth(n->region); d++) {
        const Region *r = region_at(n->region, d);
        turns *= (r->extent - r->begin + r->tile - 1) / r->tile;
        turns = turns < MOST_PIECES ? turns : MOST_PIECES;
        count[d] = loop_slides(n, d) ? 1 : r->tile;
        pos[d] = 0;
    }
    for (int i = -n->nout; i < n->nin; i++)
        rows += slot_rows(n, i, count, pos);
    return turns > MOST_PIECES / rows ? MOST_PIECES : turns * rows;
}

bool stream_small(const Graph *g)
{
    int64_t pieces = 0;

    for EACH_NODE(n, g)
        if (n->region && pieces < MOST_PIECES)
            pieces += node_pieces(n);
    return pieces < MOST_PIECES;
}

/* g becomes what `from` is. */
static void graph_become(Graph *g, Graph *from)
{
    *g = *from;
    for EACH_NODE(n, g)
        n->graph = g;
}

typedef struct Search {
    Graph *g, *best;
    const PassOptions *opt;
    int64_t work;               /* products without loops */
    int64_t peak, least;
    int64_t goal;               /* bytes of the arena that are good enough */
    Value **live;               /* at the peak, the largest first */
    int n;
    Map tried;                  /* names of values whose move made it worse */
} Search;

static void look(Search *s)
{
    Graph *g = s->g;

    s->live = NEW_ARRAY(g->scratch, Value *, g->nvalue + 1);
    s->peak = plan_peak_values(g, s->opt, s->live, &s->n);
    sort_values(s->live, s->n);
}

static bool any_slides(const Graph *g)
{
    for EACH_NODE(n, g)
        if (node_slides(n))
            return true;
    return false;
}

/* Products that loops may take: --max-macs; what nobody says is 5 %, and 15 %
 * where windows make rows again, but any number for the least arena. */
static int64_t work_allowed(const Search *s, bool slides)
{
    double times = s->opt->max_macs;

    if (times <= 0 && s->opt->optimize == OPTIMIZE_RAM)
        return INT64_MAX;
    if (times <= 0)
        times = slides ? SLIDING : STANDING;
    times *= (double)s->work;
    return times < (double)(INT64_MAX / 2) ? (int64_t)times : INT64_MAX / 2;
}

/* One value at the peak out of it; true when there was one. What makes the
 * peak higher, or takes too many turns or products, is taken back. */
static bool move(Search *s)
{
    bool skip;

    for (int k = 0; k < s->n; k++) {
        const char *name = s->live[k]->name;
        int64_t peak = s->peak;
        Graph *before;
        if (map_get(&s->tried, name))
            continue;
        before = graph_clone(s->g);
        if (!attack(s->g, s->live[k]))
            continue;
        pass_dce(s->g, s->opt, &skip);
        graph_tidy(s->g);
        look(s);
        if (s->peak <= peak && stream_small(s->g) &&
            graph_work(s->g) <= work_allowed(s, any_slides(s->g)))
            return true;
        map_put(&s->tried, name, s);
        graph_become(s->g, before);
        look(s);
        return true;
    }
    return false;
}

/* Move after move at the peak; s->best is a copy of the graph where the peak
 * was lowest, NULL: as it was. */
static void search(Search *s)
{
    int i = 0;

    look(s);
    s->least = s->peak;
    while (i++ < MOST_MOVES && move(s)) {
        if (s->peak >= s->least)
            continue;
        s->least = s->peak;
        s->best = graph_clone(s->g);
        if (s->least <= s->goal && plan_about(s->best, s->opt) <= s->goal)
            return;
    }
}

/* Loops cost time and code: without a budget, a fiftieth of the arena. Where
 * there are pools, `excess` bytes that do not fit them. */
static bool is_worth(Graph *g, const PassOptions *opt, int64_t least,
                     int64_t whole, int64_t excess)
{
    if (excess)
        return plan_excess(g, opt) < excess;
    if (opt->optimize == OPTIMIZE_RAM || opt->budget)
        return least < whole;
    return least < whole - whole / 50;
}

/* From a copy of g as it is. */
static bool start(Search *s, const Graph *g)
{
    s->g = graph_clone(g);
    if (g->nlevel && !widths_attach(s->g))
        return false;
    reductions_split(s->g);
    s->g->overlap = true;       /* loops promise, whether kernels do or not */
    map_init(&s->tried, g->scratch);
    return true;
}

/* Is there nothing to do? */
static bool is_idle(const PassOptions *opt, int64_t excess)
{
    if (opt->npool)
        return !excess && opt->optimize != OPTIMIZE_RAM;
    return opt->optimize == OPTIMIZE_SPEED && !opt->budget;
}

/* Kernels with the least scratch: the pass `lean` comes later, and takes it
 * back where there is room. */
static void set_lean(Graph *g, const PassOptions *opt, bool lean)
{
    int level = opt->optimize == OPTIMIZE_RAM || opt->budget ? 2 : 1;

    if (pass_skipped(opt->skip, "lean") || opt->no_reuse)
        return;
    for EACH_NODE(n, g)
        if (!n->narrow)
            node_set_lean(n, lean ? level : 0);
}

/* Line buffers, and patches where those are too large: with so many products
 * made again. */
static bool slide(Search *w, const Graph *g, int64_t again)
{
    if (!start(w, g))
        return false;
    if (!stream_windows(w->g, w->opt, w->goal, again))
        return true;
    w->best = graph_clone(w->g);
    search(w);
    reductions_join(w->best);
    return true;
}

/* The same without loops over columns, where that is less in the end: the
 * model that chooses among them only estimates. `none`: before any. */
static bool slide_rows(Search *w, const Search *none, const Graph *g)
{
    PassOptions opt = *w->opt;
    Search rows = *none;

    opt.rows_only = true;
    rows.opt = &opt;
    if (!slide(&rows, g, work_allowed(none, true) - none->work))
        return false;
    rows.opt = w->opt;
    if (rows.best && (!w->best || plan_about(rows.best, w->opt) <
                                  plan_about(w->best, w->opt)))
        *w = rows;
    return true;
}

/* The least arena; but where nobody asks for that or for a budget, a fiftieth
 * of it is no reason to make products again. */
static bool slide_best(Search *w, const Graph *g)
{
    Search once = *w;

    if (!slide(w, g, work_allowed(w, true) - w->work))
        return false;
    if (w->best && w->goal && plan_about(w->best, w->opt) <= w->goal)
        return true;
    if (!stream_rows_only(w->opt) && !slide_rows(w, &once, g))
        return false;
    if (!w->best || w->goal || w->opt->optimize == OPTIMIZE_RAM ||
        graph_work(w->best) <= w->work)
        return true;
    if (!slide(&once, g, 0))
        return false;
    if (once.best && plan_about(once.best, w->opt) / 51 * 50 <=
                         plan_about(w->best, w->opt))
        *w = once;
    return true;
}

/* With `fit` only if the arena then fits the budget. */
static bool stream(Graph *g, const PassOptions *opt, int64_t excess, bool fit,
                   bool *changed)
{
    PassOptions one = *opt;     /* one memory: the less, the better they fit */
    Search s = { .opt = &one }, w;
    int64_t whole, least, slid;

    one.npool = 0;
    if (excess && !one.max_macs)
        one.max_macs = SLIDING;
    whole = plan_about(g, &one);
    s.goal = opt->optimize == OPTIMIZE_RAM || opt->npool ? 0 : opt->budget;
    s.work = graph_work(g);
    if (whole <= s.goal)
        return true;
    w = s;
    if (!start(&s, g))
        return false;
    search(&s);
    if (s.best)
        reductions_join(s.best);
    least = s.best ? plan_about(s.best, &one) : whole;
    if (least > s.goal) {
        if (!slide_best(&w, g))
            return false;
        slid = w.best ? plan_about(w.best, &one) : whole;
        if (slid < least) {
            least = slid;
            s = w;
        }
    }
    if (!s.best || (fit && least > s.goal) ||
        !is_worth(s.best, opt, least, whole, excess))
        return true;
    stream_tiles(s.best, &one, s.goal > least ? s.goal : least,
                 work_allowed(&s, any_slides(s.best)));
    graph_become(g, s.best);
    g->whole_arena = whole;
    *changed = true;
    graph_number(g);
    return regions_verify(g);
}

static bool has_budget(const PassOptions *opt)
{
    return opt->budget && !opt->npool && opt->optimize != OPTIMIZE_RAM;
}

static bool stream_whole(Graph *g, const PassOptions *opt, bool *changed)
{
    int64_t excess = opt->npool ? plan_excess(g, opt) : 0;
    bool ok = true;

    if (is_idle(opt, excess))
        return true;
    if (has_budget(opt)) {
        ok = stream(g, opt, excess, true, changed);
        if (!ok || *changed || plan_about(g, opt) <= opt->budget)
            return ok;
    }
    set_lean(g, opt, true);
    ok = stream(g, opt, excess, false, changed);
    set_lean(g, opt, false);
    return ok;
}

/* Inputs in bands */

/* Is the peak behind the steps that a loop over bands can have? */
static bool peak_behind(Graph *g, const PassOptions *opt, const char *last)
{
    const Value *v = graph_find(g, last);
    int step;

    plan_peak(g, opt, &step);
    return v && v->def && step > v->def->index;
}

/* A loop over bands, loops for the rest, and tiles; *arena with kernels that
 * lean, unless without them it fits the budget. False after a message. */
static bool with_rest(Graph *g, const PassOptions *opt, int64_t *arena)
{
    bool changed = false, idle = is_idle(opt, 0);

    if (has_budget(opt)) {
        set_lean(g, opt, false);
        if (!stream(g, opt, 0, true, &changed))
            return false;
        *arena = plan_about(g, opt);
        if (*arena <= opt->budget)
            idle = true;
        else
            set_lean(g, opt, true);
    }
    if (!idle && !stream(g, opt, 0, false, &changed))
        return false;
    *arena = plan_about(g, opt);
    if (!changed)
        stream_tiles(g, opt, *arena > opt->budget ? *arena : opt->budget,
                     graph_work(g));
    return true;
}

enum { MOST_BAND_LOOPS = 12 };  /* that are tried with all other loops */

/* The loop over bands with which the arena is smallest in the end; NULL after
 * a message. */
static Graph *stream_bands(Graph *g, const PassOptions *opt)
{
    const char *last = "";
    int64_t best = INT64_MAX, arena;
    int n = 0;
    BandLoop *list;
    Graph *found = NULL;

    reductions_split(g);
    set_lean(g, opt, !is_idle(opt, 0));
    list = band_loops(g, opt, &n, &last);
    for (int i = 0; i < n && i < MOST_BAND_LOOPS && list[i].live < best &&
                    (best > opt->budget || opt->optimize == OPTIMIZE_RAM);
         i++) {
        Graph *t = graph_clone(g);
        if (!band_loop_form(t, &list[i]))
            continue;
        t->overlap = true;
        graph_number(t);
        if (!with_rest(t, opt, &arena))
            return NULL;
        if (arena >= best)
            continue;
        best = arena;
        found = t;
        if (peak_behind(t, opt, last))
            break;
    }
    if (found) {
        reductions_join(found);
        set_lean(found, opt, false);
    }
    return found;
}

static bool refuse_bands(const Graph *g, const PassOptions *opt)
{
    if (opt->npool)
        return diag_error(g->diag, "--stream-input: the arena must be one "
                          "memory, without --pool");
    return diag_error(g->diag, "--stream-input: the text has %s of its own",
                      g->placed ? "places (@at)" : "loops (region)");
}

bool pass_stream(Graph *g, const PassOptions *opt, bool *changed)
{
    int64_t whole;
    Graph *bands;

    if (graph_has_regions(g) || g->placed || (opt->npool && opt->stream_input))
        return !opt->stream_input || refuse_bands(g, opt);
    if (!opt->stream_input)
        return stream_whole(g, opt, changed);
    whole = plan_about(g, opt);
    bands = stream_bands(g, opt);
    if (!bands)
        return false;
    graph_become(g, bands);
    g->whole_arena = whole;
    *changed = true;
    graph_number(g);
    return regions_verify(g);
}
