/* elastic.c - see elastic.h. */
#include "heads.h"

#include <math.h>
#include <string.h>

#include "../passes/passes.h"

/* Mix'n'Match takes these shares of the hidden neurons (MatFormer, g = 4). */
static const double granularity[] = { 0.125, 0.25, 0.5, 1 };
enum { NGRANULARITY = sizeof granularity / sizeof *granularity };

/* The first m indices along an axis, in fresh memory. */
Value *constant_prefix(Graph *g, const Value *v, int axis, int64_t m)
{
    Type t = v->type;
    int64_t outer = type_span(&t, 0, axis), bits = dtype_bits(t.dt);
    int64_t inner = type_span(&t, axis + 1, t.rank), full = t.dim[axis];
    Tensor to;

    t.dim[axis] = m;
    to = (Tensor){ t, arena_alloc(g->arena, (size_t)type_bytes(&t) + 1) };
    if (bits >= 8) {
        size_t row = (size_t)(inner * (bits / 8));
        for (int64_t o = 0; o < outer; o++)
            memcpy((char *)to.data + (size_t)(o * m) * row,
                   (const char *)v->data + (size_t)(o * full) * row,
                   (size_t)m * row);
    } else {
        memset(to.data, 0, (size_t)type_bytes(&t));
        for (int64_t o = 0; o < outer; o++)
            for (int64_t i = 0; i < m * inner; i++)
                elem_set_int(t.dt, to.data, o * m * inner + i,
                             elem_get_int(t.dt, v->data,
                                          o * full * inner + i));
    }
    return graph_const(g, v->name, t, to.data);
}

/* A shape that ends in m. */
static Value *with_length(Graph *g, const Value *v, int64_t m)
{
    int64_t n = type_elems(&v->type);
    void *data = arena_memdup(g->arena, v->data, (size_t)type_bytes(&v->type));

    elem_set_int(v->type.dt, data, n - 1, m);
    return graph_const(g, v->name, v->type, data);
}

static bool before(const Node *a, const Node *b)
{
    return a->index < b->index;
}

/* The nodes between, in schedule order: types follow from operands. */
static void sort_nodes(Ffn *f)
{
    for (int i = 1; i < f->nnode; i++)
        for (int k = i; k > 0 && before(f->node[k], f->node[k - 1]); k--) {
            Node *n = f->node[k];
            f->node[k] = f->node[k - 1];
            f->node[k - 1] = n;
        }
}

static bool cut(Graph *g, Ffn *f, int64_t m)
{
    graph_number(g);
    sort_nodes(f);
    for (int i = 0; i < f->ncut; i++) {
        const Cut *c = &f->cut[i];
        const Value *v = c->n->in[c->in];
        node_set_input(c->n, c->in,
                       c->axis == CUT_LENGTH ? with_length(g, v, m)
                                             : constant_prefix(g, v, c->axis,
                                                      m));
    }
    for (int i = 0; i < f->nnode; i++)
        if (!node_infer(g, f->node[i]))
            return false;
    return node_infer(g, f->down);
}

static int64_t macs_of(const Ffn *f)
{
    int64_t sum = node_macs(f->down);

    for (int i = 0; i < f->nnode; i++)
        sum += node_macs(f->node[i]);
    return sum;
}

static int64_t graph_macs(const Graph *g)
{
    int64_t sum = 0;

    for EACH_NODE(n, g)
        sum += node_macs(n);
    return sum;
}

static int64_t cut_bytes(const Ffn *f)
{
    int64_t sum = 0;

    for (int i = 0; i < f->ncut; i++)
        sum += type_bytes(&f->cut[i].n->in[f->cut[i].in]->type);
    return sum;
}

/* Layer i's own input: down the stream, over the sums that stand between it
 * and the layer before. */
static Value *layer_input(const Ffns *all, int i)
{
    const Value *end = i ? all->layer[i - 1].add->out[0] : NULL;
    Value *v = all->layer[i].stream;

    for (;;) {
        Value *p = peel(v), *next;
        if (p == end || v == end)
            return v;
        next = residual_stream(p->def);
        if (!next)
            return i ? NULL : v;
        v = next;
    }
}

static bool skip(Graph *g, const Ffns *all, int i)
{
    Value *from = layer_input(all, i), *to = all->layer[i].add->out[0];

    if (!from)
        return node_error(all->layer[i].down, "layer %d does not start where "
                          "layer %d ends: it cannot be left out", i, i - 1);
    if (!type_equal(&from->type, &to->type))
        return node_error(all->layer[i].down, "layer %d changes the type of "
                          "the stream: it cannot be left out", i);
    value_replace(g, to, from);
    return true;
}

static bool count_error(Graph *g, const char *what, int have, int want)
{
    return diag_error(g->diag, "--elastic: %s has %d entries, the model has "
                      "%d feed-forward layers", what, have, want);
}

/* Widths of layers that grow with depth, two neighbouring granularities: the
 * largest model within the budget. */
static bool mix_n_match(Graph *g, const Ffns *all, double budget,
                        int64_t *width)
{
    int64_t full = graph_macs(g), hidden = 0, best = -1, least = full;

    for (int i = 0; i < all->n; i++)
        hidden += macs_of(&all->layer[i]);
    if (budget <= 1)
        budget *= (double)full;
    for (int k = 0; k < (NGRANULARITY - 1) * all->n + 1; k++) {
        int low = k / all->n, wide = k % all->n;
        int64_t macs = full - hidden;
        for (int i = 0; i < all->n; i++) {
            double s = granularity[low + (i >= all->n - wide)];
            macs += (int64_t)((double)macs_of(&all->layer[i]) * s);
        }
        least = macs < least ? macs : least;
        if ((double)macs > budget || macs <= best)
            continue;
        best = macs;
        for (int i = 0; i < all->n; i++)
            width[i] = (int64_t)llround(
                granularity[low + (i >= all->n - wide)] *
                (double)all->layer[i].hidden);
    }
    return best >= 0 || diag_error(g->diag, "--elastic: the least model of "
                                   "this file needs %lld MACs, the budget is "
                                   "%.0f", (long long)least, budget);
}

static bool one_width(const Ffn *f, int i, double width,
                      int64_t *out)
{
    *out = (int64_t)llround(width);
    if (*out >= 1 && *out <= f->hidden)
        return true;
    return node_error(f->down, "--elastic asks for %lld hidden neurons in "
                      "layer %d, which has %lld", (long long)*out, i,
                      (long long)f->hidden);
}

static bool choose(Graph *g, const Ffns *all, const ElasticOptions *opt,
                   int64_t *width)
{
    if (opt->ratio && opt->nratio != all->n)
        return count_error(g, "the list", opt->nratio, all->n);
    if (opt->width && opt->nwidth != all->n)
        return count_error(g, "the list", opt->nwidth, all->n);
    for (int i = 0; i < all->n; i++) {
        const Ffn *f = &all->layer[i];
        double w = (double)f->hidden * (opt->ffn > 0 ? opt->ffn : 1);
        if (opt->level)
            w = (double)f->hidden * opt->level[opt->nlevel - 1];
        if (opt->ratio)
            w = opt->ratio[i] * (double)f->features;
        if (opt->width)
            w = (double)opt->width[i];
        if (!one_width(f, i, w, &width[i]))
            return false;
    }
    return opt->budget <= 0 || mix_n_match(g, all, opt->budget, width);
}

static bool check_skips(Graph *g, const ElasticOptions *opt, int n)
{
    for (int i = 0; i < opt->nskip; i++)
        if (opt->skip[i] < 0 || opt->skip[i] >= n)
            return diag_error(g->diag, "--elastic: there is no layer %d to "
                              "leave out, the model has layers 0 to %d",
                              opt->skip[i], n - 1);
    return true;
}

static bool is_skipped(const ElasticOptions *opt, int i)
{
    for (int k = 0; k < opt->nskip; k++)
        if (opt->skip[k] == i)
            return true;
    return false;
}

static bool slice(Graph *g, Ffns *all, const ElasticOptions *opt,
                  ElasticReport *r)
{
    int64_t *width = NEW_ARRAY(g->arena, int64_t, all->n);

    if (!choose(g, all, opt, width))
        return false;
    for (int i = 0; i < all->n; i++) {
        Ffn *f = &all->layer[i];
        ElasticLayer l = { f->down->name, f->features, f->hidden, width[i],
                           is_skipped(opt, i), cut_bytes(f), macs_of(f) };
        if (width[i] < f->hidden && !cut(g, f, width[i]))
            return false;
        l.bytes_saved -= l.skipped ? 0 : cut_bytes(f);
        l.macs_saved -= l.skipped ? 0 : macs_of(f);
        PUSH(g->arena, r->layer, r->n, r->cap, l);
    }
    for (int i = all->n - 1; i >= 0; i--)
        if (is_skipped(opt, i) && !skip(g, all, i))
            return false;
    return true;
}

bool elastic_slice(Graph *g, const ElasticOptions *opt, ElasticReport *r)
{
    static const PassOptions none = { .bisect = -1 };
    Arena *arena = arena_child(g->arena);
    Ffns all = { 0, 0, NULL };
    bool changed, ok;

    r->macs_before = graph_macs(g);
    if (opt->nheads && !heads_slice(g, opt->nheads, opt->heads)) {
        arena_free(arena);
        return false;
    }
    ffns_find(g, arena, &all);
    ok = all.n || opt->only_heads ||
         diag_error(g->diag, "--elastic: this model has no feed-forward layer "
                    "(E -> F -> E features, added to the stream it reads)");
    ok = ok && check_skips(g, opt, all.n) && slice(g, &all, opt, r) &&
         pass_dce(g, &none, &changed);
    r->macs_after = graph_macs(g);
    arena_free(arena);
    return ok;
}

/* Run time */

/* Hidden neurons of a layer at a level, of `hidden` at the last one; several
 * layers may have different numbers. */
static int64_t level_width(const ElasticOptions *opt, int64_t hidden,
                           int level)
{
    return llround((double)hidden * opt->level[level] /
                   opt->level[opt->nlevel - 1]);
}

static bool check_levels(const Ffn *f, int i, const ElasticOptions *opt)
{
    int64_t before = 0;

    for (int l = 0; l < opt->nlevel; l++) {
        int64_t w = level_width(opt, f->hidden, l);
        if (w < 1)
            return node_error(f->down, "--elastic runtime: %g of the %lld "
                              "hidden neurons of layer %d is none",
                              opt->level[l], (long long)f->hidden, i);
        if (w == before)
            return node_error(f->down, "--elastic runtime: %g and %g are "
                              "both %lld of the %lld hidden neurons of layer "
                              "%d", opt->level[l - 1], opt->level[l],
                              (long long)w, (long long)f->hidden, i);
        before = w;
    }
    return true;
}

/* What the layer's constants are at each level. */
static void narrow_layer(Graph *g, const Ffn *f, int layer,
                         const ElasticOptions *opt)
{
    for (int i = 0; i < f->ncut; i++) {
        const Cut *c = &f->cut[i];
        Value *v = c->n->in[c->in], *own = v;
        Narrow *n = NEW(g->arena, Narrow);
        if (v->nuse > 1) {
            own = graph_const(g, v->name, v->type, v->data);
            own->quant = v->quant;
            node_set_input(c->n, c->in, own);
        }
        n->layer = layer;
        n->at = NEW_ARRAY(g->arena, Value *, opt->nlevel);
        for (int l = 0; l < opt->nlevel - 1; l++) {
            int64_t m = level_width(opt, f->hidden, l);
            n->at[l] = c->axis == CUT_LENGTH ? with_length(g, own, m)
                                             : constant_prefix(g, own, c->axis,
                                                          m);
        }
        own->narrow = n;
    }
}

static bool measure_levels(Graph *g, const ElasticOptions *opt,
                           ElasticReport *r)
{
    r->nlevel = opt->nlevel;
    r->level = opt->level;
    r->macs = NEW_ARRAY(g->arena, int64_t, opt->nlevel);
    for (int l = 0; l < opt->nlevel; l++) {
        Graph *at = graph_at_level(g, l);
        if (!at)
            return false;
        r->macs[l] = graph_macs(at);
    }
    return true;
}

/* The layers in what became of the graph, which has all levels. */
static bool find_again(Graph *g, const ElasticOptions *opt, Ffns *all)
{
    ffns_find(g, g->arena, all);
    if (all->n != opt->nlayer)
        return diag_error(g->diag, "--elastic runtime: %d of %d feed-forward "
                          "layers are found again for quantization", all->n,
                          opt->nlayer);
    for (int i = 0; i < all->n; i++)
        if (!check_levels(&all->layer[i], i, opt))
            return false;
    return true;
}

bool elastic_widths(Graph *g, const ElasticOptions *opt, ElasticReport *r)
{
    Ffns all = { 0, 0, NULL };

    if (!find_again(g, opt, &all))
        return false;
    for (int i = 0; i < all.n; i++)
        narrow_layer(g, &all.layer[i], i, opt);
    g->nlevel = opt->nlevel;
    g->nlayer = all.n;
    graph_tidy(g);
    return measure_levels(g, opt, r);
}

Graph *elastic_at_level(Graph *g, const ElasticOptions *opt, int level)
{
    Graph *to = graph_clone(g);
    Ffns all = { 0, 0, NULL };

    if (!find_again(to, opt, &all))
        return NULL;
    for (int i = 0; i < all.n; i++) {
        Ffn *f = &all.layer[i];
        if (!cut(to, f, level_width(opt, f->hidden, level)))
            return NULL;
    }
    return to;
}

static void levels_text(Buf *b, const ElasticReport *r)
{
    for (int l = 0; l < r->nlevel; l++)
        buf_printf(b, "  level %2d  %-7g of the hidden neurons  %11lld "
                   "MACs\n", l, r->level[l], (long long)r->macs[l]);
}

void elastic_text(Buf *b, const ElasticReport *r)
{
    buf_printf(b, "elastic: %lld of %lld MACs\n", (long long)r->macs_after,
               (long long)r->macs_before);
    levels_text(b, r);
    for (int i = 0; i < r->n; i++) {
        const ElasticLayer *l = &r->layer[i];
        if (l->skipped)
            buf_printf(b, "  layer %2d  left out                    %s\n", i,
                       l->name);
        else
            buf_printf(b, "  layer %2d  %5lld of %5lld hidden  %9lld B %11lld "
                       "MACs less  %s\n", i, (long long)l->width,
                       (long long)l->hidden, (long long)l->bytes_saved,
                       (long long)l->macs_saved, l->name);
    }
}

void elastic_json(Buf *b, const ElasticReport *r)
{
    buf_printf(b, "{\"macs_before\": %lld, \"macs_after\": %lld, \"layers\": "
               "[", (long long)r->macs_before, (long long)r->macs_after);
    for (int i = 0; i < r->n; i++) {
        const ElasticLayer *l = &r->layer[i];
        buf_puts(b, i ? ",\n    {\"node\": " : "\n    {\"node\": ");
        buf_quote(b, l->name);
        buf_printf(b, ", \"hidden\": %lld, \"width\": %lld, \"skipped\": %s, "
                   "\"bytes_saved\": %lld, \"macs_saved\": %lld}",
                   (long long)l->hidden, (long long)l->width,
                   l->skipped ? "true" : "false", (long long)l->bytes_saved,
                   (long long)l->macs_saved);
    }
    buf_puts(b, "]");
    if (r->nlevel)
        buf_puts(b, ", \"levels\": [");
    for (int l = 0; l < r->nlevel; l++)
        buf_printf(b, "%s{\"share\": %g, \"macs\": %lld}", l ? ", " : "",
                   r->level[l], (long long)r->macs[l]);
    buf_puts(b, r->nlevel ? "]}" : "}");
}
