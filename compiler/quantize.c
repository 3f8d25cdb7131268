/* quantize.c - --quantize: reads the calibration samples and has ptq/ make
 * the graph with Q/DQ pairs, which everything after it takes for the model.
 */
#include <math.h>
#include <string.h>

#include "samples.h"

enum { FEW_SAMPLES = 16 };

static bool check_finite(Compile *c, const Graph *g, const Samples *s)
{
    for (int k = 0; k < s->n; k++)
        for (int i = 0; i < g->nin; i++) {
            const Tensor *t = &s->list[k].in[i];
            int64_t n = type_elems(&t->type);
            for (int64_t e = 0; dtype_is_float(t->type.dt) && e < n; e++)
                if (!isfinite(elem_get(t->type.dt, t->data, e)))
                    return diag_error(c->diag, "%s: sample %d of '%s' has a "
                                      "value that is not finite at element "
                                      "%lld", c->opt->calib, k,
                                      g->in[i]->name, (long long)e);
        }
    return true;
}

static bool is_flat(const Samples *s, int i, double *value)
{
    const Tensor *first = &s->list[0].in[i];
    int64_t n = type_elems(&first->type);

    if (n * s->n < 2)
        return false;
    *value = elem_get(first->type.dt, first->data, 0);
    for (int k = 0; k < s->n; k++)
        for (int64_t e = 0; e < n; e++)
            if (elem_get(first->type.dt, s->list[k].in[i].data, e) != *value)
                return false;
    return true;
}

/* Samples that say nothing, as of a file that was never filled. */
static void warn_flat(Compile *c, const Graph *g, const Samples *s)
{
    double x;

    for (int i = 0; i < g->nin; i++)
        if (dtype_is_float(g->in[i]->type.dt) && is_flat(s, i, &x))
            diag_warn(c->diag, "%s: '%s' is %g in every element of every "
                      "sample: ranges are guesses", c->opt->calib,
                      g->in[i]->name, x);
}

/* Rows that v, token ids, chooses from; 0: it chooses from none. */
static int64_t rows_chosen(const Value *v)
{
    int64_t rows;

    for (int i = 0; i < v->nuse; i++) {
        const Node *n = v->use[i];
        const Type *t = &n->in[0]->type;
        if (n->op == OP_Gather && n->nin > 1 && n->in[1] == v) {
            int64_t axis = ATTRS(axis0, n)->axis;
            return t->dim[axis < 0 ? axis + t->rank : axis];
        }
        if ((n->op == OP_Cast || op_has(n->op, T_VIEW)) && n->in[0] == v &&
            (rows = rows_chosen(n->out[0])))
            return rows;
    }
    return 0;
}

/* The interpreter clamps what ONNX forbids: here it would be a mistake. */
static bool check_ids(Compile *c, const Graph *g, const Samples *s, int i)
{
    const Type *t = &g->in[i]->type;
    int64_t rows = dtype_is_int(t->dt) ? rows_chosen(g->in[i]) : 0;

    for (int k = 0; rows && k < s->n; k++)
        for (int64_t e = 0; e < type_elems(t); e++) {
            int64_t id = elem_get_int(t->dt, s->list[k].in[i].data, e);
            if (id < -rows || id >= rows)
                return diag_error(c->diag, "%s: sample %d of '%s' has %lld at "
                                  "element %lld, which chooses from %lld rows",
                                  c->opt->calib, k, g->in[i]->name,
                                  (long long)id, (long long)e,
                                  (long long)rows);
        }
    return true;
}

bool calibration_load(Compile *c, Graph *g, Samples *s)
{
    if (!samples_load(c, g, c->opt->calib, s))
        return false;
    if (s->n == 0)
        return diag_error(c->diag, "%s: there are no samples in it",
                          c->opt->calib);
    if (s->n < FEW_SAMPLES)
        diag_warn(c->diag, "%s: %d sample%s: ranges are guesses with fewer "
                  "than %d", c->opt->calib, s->n, s->n == 1 ? "" : "s",
                  FEW_SAMPLES);
    if (!check_finite(c, g, s))
        return false;
    for (int i = 0; i < g->nin; i++)
        if (!check_ids(c, g, s, i))
            return false;
    warn_flat(c, g, s);
    return true;
}

static Graph *narrow_model(const void *levels, Graph *g, int level)
{
    return elastic_at_level(g, levels, level);
}

static PtqOptions options_of(Compile *c, const Samples *s)
{
    const char *w = c->opt->weights, *r = c->opt->residual;
    const Tensor **list = NEW_ARRAY(c->arena, const Tensor *, s->n);
    PtqOptions o = { .nsample = s->n };

    for (int k = 0; k < s->n; k++)
        list[k] = s->list[k].in;
    o.sample = list;
    if (c->levels) {
        o.nnarrow = c->levels->nlevel - 1;
        o.narrow = narrow_model;
        o.user = c->levels;
    }
    o.weights = !w || !strcmp(w, "int8") ? PTQ_INT8
                : !strcmp(w, "int4") ? PTQ_INT4 : PTQ_FLOAT;
    o.compare = c->opt->report != NULL;
    o.keep_factors = pass_skipped(c->opt->skip, "fold_products");
    o.residual = !r || !strcmp(r, "auto") ? PTQ_RESIDUAL_AUTO
                 : !strcmp(r, "int8") ? PTQ_RESIDUAL_INT8
                                      : PTQ_RESIDUAL_INT16;
    return o;
}

/* Without --calib the model must have come quantized. */
static bool no_samples(Compile *c, const Graph *g)
{
    if (ptq_is_quantized(g))
        return true;
    diag_error(c->diag, "--quantize: a float model needs samples");
    diag_hint(c->diag, "--calib FILE: .npz with one array per input, samples "
              "along the first axis");
    return false;
}

Graph *quantize_graph(Compile *c, Graph *g)
{
    Samples s = { 0 };
    PtqOptions o;

    if (c->quantized)
        return graph_clone(c->quantized);
    if (!c->opt->calib)
        return no_samples(c, g) ? g : NULL;
    if (!calibration_load(c, g, &s))
        return NULL;
    o = options_of(c, &s);
    if (!ptq_quantize(g, &o, &c->ptq))
        return NULL;
    for (int i = 0; i < c->ptq.noutput; i++)
        diag_note(c->diag, "quantized: output '%s' has cosine %.5f, SQNR "
                  "%.1f dB to the float model's on the samples",
                  c->ptq.output[i].name, c->ptq.output[i].cosine,
                  c->ptq.output[i].sqnr);
    c->quantized = graph_clone(g);
    return g;
}

enum { WORST_ROWS = 15 };

void quantize_report(Compile *c, ReportInfo *info)
{
    Buf text, json;

    if (!c->ptq.nsample)
        return;
    if (c->ptq.other) {
        c->ptq.residual_arena[c->ptq.residual16] = c->g->plan->arena_bytes;
        c->ptq.residual_arena[!c->ptq.residual16] = arena_of(c, c->ptq.other);
        c->ptq.other = NULL;
    }
    buf_init(&text, c->arena);
    buf_init(&json, c->arena);
    ptq_report_text(&text, &c->ptq, c->opt->verbose ? c->ptq.nerror
                                                    : WORST_ROWS);
    ptq_report_json(&json, &c->ptq);
    info->quantization = text.s;
    info->quantization_json = json.s;
}
