/* low_rank.c - which layers are split in two, and at which rank.
 *
 * A matrix [rows, cols] of rank r costs r (rows + cols) weights instead of
 * rows * cols; a layer is split only where weights and multiply-accumulates
 * shrink at the asked error. With samples the error is that of the layer's
 * outputs, without that of its weights.
 */
#include <math.h>
#include <string.h>

#include "../passes/passes.h"
#include "low_rank_int.h"

/* auto takes the first of these whose outputs stay close enough; without
 * samples to tell, BLIND_ENERGY. */
static const double energies[] = { 0.9, 0.95, 0.98, 0.99, 0.995, 0.998,
                                   0.999, 0.9995, 0.9999 };
#define BLIND_ENERGY 0.999
#define AUTO_COSINE 0.999
enum { AUTO_SAMPLES = 16 };

Node **node_table(Graph *g, Arena *arena)
{
    int n = 0;
    Node **table;

    for EACH_NODE(node, g)
        n++;
    table = NEW_ARRAY(arena, Node *, n);
    n = 0;
    for EACH_NODE(node, g)
        table[n++] = node;
    return table;
}

double unit_tail(const Unit *u, int64_t rank)
{
    double all = 0, tail = 0;

    for (int64_t i = u->d.k - 1; i >= 0; i--) {
        all += u->d.s[i] * u->d.s[i];
        if (i >= rank)
            tail += u->d.s[i] * u->d.s[i];
    }
    return all > 0 ? tail / all : 0;
}

/* In the order of the pipeline: a product that takes the half of a GELU in
 * would keep it from being recognised. */
static bool prepare(Graph *g)
{
    static PassFn *const list[] = {
        pass_dce, pass_fold, pass_cse, pass_canon, pass_fuse_norm,
        pass_fuse_gelu, pass_fuse_matmul, pass_fold_products
    };
    static const PassOptions none = { .bisect = -1 };
    bool changed;

    graph_tidy(g);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        if (!list[i](g, &none, &changed))
            return false;
        graph_tidy(g);
        arena_reset(g->scratch);
    }
    return true;
}

static bool decompose(Graph *g, Units *all, Unit *u)
{
    double *y = u->w;

    if (u->gram && !cholesky(all->arena, u->rows, u->gram, &u->l))
        u->l = NULL;
    if (u->l) {
        y = NEW_ARRAY(all->arena, double, u->rows * u->cols);
        lower_transposed_times(u->l, u->rows, u->w, u->cols, y);
    }
    if (svd(all->arena, u->rows, u->cols, y, &u->d))
        return true;
    return diag_error(g->diag, "--low-rank: the weights of '%s' have no "
                      "singular value decomposition (not finite?)", u->name);
}

static bool pays(const Unit *u, int64_t rank)
{
    return unit_elems(u, rank) < unit_elems(u, 0) &&
           (u->form == UNIT_EMBEDDING || rank * u->rank_macs < u->dense_macs);
}

static void set_energy(Unit *u, double energy)
{
    int64_t r = 1;

    while (r < u->d.k && unit_tail(u, r) > 1 - energy)
        r++;
    u->rank = pays(u, r) ? r : 0;
    u->why = u->rank ? NULL : "the rank it needs costs more than dense";
}

static bool same_node(const Unit *a, const Unit *b)
{
    for (int i = 0; i < a->nnode; i++)
        for (int k = 0; k < b->nnode; k++)
            if (a->node[i] == b->node[k])
                return true;
    return false;
}

/* What the nodes of u cost when each goes its own way. */
static int64_t apart(const Units *all, const Unit *u)
{
    int64_t sum = 0;

    for (int i = 0; i < all->n; i++)
        if (&all->unit[i] != u && same_node(&all->unit[i], u))
            sum += unit_elems(&all->unit[i], all->unit[i].rank);
    return sum;
}

/* One way per node: jointly when that is less, rows and columns of a
 * convolution or its channels, whichever is less work. */
static void settle(Units *all)
{
    for (int i = 0; i < all->n; i++) {
        Unit *u = &all->unit[i];
        if (u->form == UNIT_JOINT && u->rank &&
            unit_elems(u, u->rank) >= apart(all, u))
            u->rank = 0;
        for (int k = i + 1; u->rank && k < all->n; k++) {
            Unit *v = &all->unit[k];
            bool worse = u->form == UNIT_JOINT ||
                         v->rank * v->rank_macs >= u->rank * u->rank_macs;
            if (!v->rank || !same_node(u, v))
                continue;
            *(worse ? &v->rank : &u->rank) = 0;
        }
    }
}

static void choose_energy(Units *all, double energy)
{
    for (int i = 0; i < all->n; i++)
        set_energy(&all->unit[i], energy);
    settle(all);
}

/* Outputs of the first `count` samples, one after the other. */
static bool run(Graph *g, const LowRankOptions *opt, int count, Arena *arena,
                Tensor *out)
{
    for (int k = 0; k < count; k++)
        if (!graph_eval(g, opt->sample[k], out + k * g->nout, arena, NULL,
                        NULL))
            return false;
    return true;
}

static double cosine(const Graph *g, int count, const Tensor *a,
                     const Tensor *b)
{
    double ab = 0, aa = 0, bb = 0;

    for (int k = 0; k < count * g->nout; k++)
        for (int64_t i = 0; dtype_is_float(a[k].type.dt) &&
                            i < type_elems(&a[k].type); i++) {
            double x = elem_get(a[k].type.dt, a[k].data, i);
            double y = elem_get(b[k].type.dt, b[k].data, i);
            ab += x * y;
            aa += x * x;
            bb += y * y;
        }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : aa == bb;
}

/* The outputs of a clone split as `all` says against `exact`. */
static bool measure(Graph *g, const Units *all, const LowRankOptions *opt,
                    int count, const Tensor *exact, double *result)
{
    Graph *copy = graph_clone(g);
    Arena *results = arena_child(g->arena);
    Tensor *out = NEW_ARRAY(results, Tensor, count * g->nout);
    bool ok = units_apply(copy, all) && run(copy, opt, count, results, out);

    if (ok)
        *result = cosine(g, count, exact, out);
    arena_free(results);
    return ok;
}

static bool choose_auto(Graph *g, Units *all, const LowRankOptions *opt,
                        const Tensor *exact, int count, LowRankReport *report)
{
    if (!opt->nsample) {
        choose_energy(all, report->energy = BLIND_ENERGY);
        return true;
    }
    for (size_t i = 0; i < sizeof energies / sizeof *energies; i++) {
        choose_energy(all, report->energy = energies[i]);
        if (!measure(g, all, opt, count, exact, &report->cosine))
            return false;
        if (report->cosine >= AUTO_COSINE)
            return true;
    }
    for (int i = 0; i < all->n; i++) {
        all->unit[i].rank = 0;
        all->unit[i].why = "no rank keeps the outputs close enough";
    }
    return true;
}

/* One rank for all: it must fit some matrix and pay somewhere. */
static bool choose_rank(Graph *g, Units *all, int64_t rank)
{
    int fits = 0, used = 0;
    int64_t largest = 0;

    for (int i = 0; i < all->n; i++) {
        Unit *u = &all->unit[i];
        bool single = u->form != UNIT_JOINT && u->form != UNIT_SPATIAL;
        largest = u->d.k > largest ? u->d.k : largest;
        fits += single && rank <= u->d.k;
        u->rank = single && rank <= u->d.k && pays(u, rank) ? rank : 0;
        u->why = rank > u->d.k ? "the rank is larger than the matrix"
                               : "the rank costs more than dense";
        used += u->rank > 0;
    }
    if (!largest)
        return diag_error(g->diag, "--low-rank rank=%lld: the model has no "
                          "matrix of floats to split", (long long)rank);
    if (!fits)
        return diag_error(g->diag, "--low-rank rank=%lld: the largest rank of "
                          "any matrix here is %lld", (long long)rank,
                          (long long)largest);
    return used || diag_error(g->diag, "--low-rank rank=%lld costs more than "
                              "dense in all %d layers", (long long)rank,
                              all->n);
}

static bool line_error(Graph *g, const LowRankOptions *opt,
                       const LayerRank *e, const char *what)
{
    return diag_error(g->diag, "%s:%d: layer '%s': %s", opt->file, e->line,
                      e->name, what);
}

static bool set_listed(Graph *g, Unit *u, const LowRankOptions *opt,
                       LayerRank *e)
{
    e->used = true;
    if (e->rank > u->d.k)
        return line_error(g, opt, e,
            arena_printf(g->arena, "rank %lld is larger than its %lld x %lld "
                         "matrix", (long long)e->rank, (long long)u->rows,
                         (long long)u->cols));
    if (!pays(u, e->rank))
        return line_error(g, opt, e,
            arena_printf(g->arena, "rank %lld costs more than dense (%lld x "
                         "%lld pays below %lld)", (long long)e->rank,
                         (long long)u->rows, (long long)u->cols,
                         (long long)((unit_elems(u, 0) - 1) /
                                     (u->rows + u->cols) + 1)));
    u->rank = e->rank;
    return true;
}

static bool unknown_layer(Graph *g, const LowRankOptions *opt,
                          const LayerRank *e)
{
    line_error(g, opt, e, "the model has no such layer to split");
    diag_hint(g->diag, "the report lists the layers by name: --low-rank auto "
              "--report");
    return false;
}

static bool choose_list(Graph *g, Units *all, const LowRankOptions *opt)
{
    for (int i = 0; i < all->n; i++) {
        Unit *u = &all->unit[i];
        u->rank = 0;
        u->why = "not in the list";
        if (u->form == UNIT_JOINT || u->form == UNIT_SPATIAL)
            continue;
        for (int k = 0; k < opt->nlist; k++)
            if (!strcmp(opt->list[k].name, u->name) &&
                !set_listed(g, u, opt, &opt->list[k]))
                return false;
    }
    for (int k = 0; k < opt->nlist; k++)
        if (!opt->list[k].used)
            return unknown_layer(g, opt, &opt->list[k]);
    return true;
}

static bool choose(Graph *g, Units *all, const LowRankOptions *opt,
                   const Tensor *exact, int count, LowRankReport *report)
{
    switch (opt->mode) {
    case LOW_RANK_AUTO:
        return choose_auto(g, all, opt, exact, count, report);
    case LOW_RANK_ENERGY: choose_energy(all, opt->energy); return true;
    case LOW_RANK_RANK: return choose_rank(g, all, opt->rank);
    case LOW_RANK_LIST: return choose_list(g, all, opt);
    default: return true;
    }
}

/* Is another form of the same node the one that was taken? */
static bool taken_otherwise(const Units *all, const Unit *u)
{
    for (int i = 0; i < all->n; i++)
        if (&all->unit[i] != u && all->unit[i].rank &&
            same_node(&all->unit[i], u))
            return true;
    return false;
}

static void fill_report(Graph *g, const Units *all, LowRankReport *r)
{
    static const char *const forms[] = { "product", "joint", "channels",
                                         "spatial", "embedding" };

    for (int i = 0; i < all->n; i++) {
        const Unit *u = &all->unit[i];
        LowRankLayer layer = {
            arena_strdup(g->arena, u->name), op_name(u->op), forms[u->form],
            u->rows, u->cols, u->rank, sqrt(unit_tail(u, u->rank)),
            4 * (unit_elems(u, 0) - unit_elems(u, u->rank)),
            u->dense_macs - u->rank * u->rank_macs, u->why,
        };
        if (!u->rank && (u->form == UNIT_JOINT || u->form == UNIT_SPATIAL ||
                         taken_otherwise(all, u)))
            continue;
        if (!u->rank)
            layer.error = layer.bytes_saved = layer.macs_saved = 0;
        r->weighted |= u->l != NULL;
        PUSH(g->arena, r->layer, r->n, r->cap, layer);
    }
}

static bool split(Graph *g, Units *all, const LowRankOptions *opt,
                  LowRankReport *report)
{
    static const PassOptions none = { .bisect = -1 };
    int count = opt->nsample < AUTO_SAMPLES ? opt->nsample : AUTO_SAMPLES;
    Tensor *exact = NEW_ARRAY(all->arena, Tensor, count * g->nout);
    bool changed;

    units_find(g, all);
    if (!units_gram(g, all, opt) || !run(g, opt, count, all->arena, exact))
        return false;
    for (int i = 0; i < all->n; i++)
        if (!decompose(g, all, &all->unit[i]))
            return false;
    if (!choose(g, all, opt, exact, count, report))
        return false;
    if (count && !measure(g, all, opt, count, exact, &report->cosine))
        return false;
    fill_report(g, all, report);
    return units_apply(g, all) && pass_dce(g, &none, &changed);
}

static bool has_codes(const Node *n)
{
    return n->op == OP_QLinearConv || n->op == OP_QLinearMatMul ||
           n->op == OP_ConvInteger || n->op == OP_MatMulInteger ||
           (n->op == OP_DequantizeLinear && value_is_const(n->in[0]) &&
            type_elems(&n->in[0]->type) > 1);
}

/* Factors of codes would be floats: larger, and slower than what they are. */
static bool refuse_codes(const Graph *g)
{
    for EACH_NODE(n, g)
        if (has_codes(n)) {
            node_error(n, "--low-rank splits matrices of floats, this model "
                       "is quantized");
            diag_hint(g->diag, "split the float model and quantize it at "
                      "once: --low-rank SPEC --quantize int8 --calib FILE");
            return false;
        }
    return true;
}

bool low_rank_split(Graph *g, const LowRankOptions *opt,
                    LowRankReport *report)
{
    Units all = { .arena = arena_child(g->arena) };
    bool ok = refuse_codes(g) && prepare(g) && split(g, &all, opt, report);

    arena_free(all.arena);
    if (ok)
        graph_tidy(g);
    return ok;
}
