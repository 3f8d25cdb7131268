/* report.c - the memory plan for machines: JSON. The keys are a contract:
 * evaluation and users' scripts read them. */
#include "../ir/region.h"
#include "../support/number.h"
#include "report.h"

static long long ll(int64_t x)
{
    return (long long)x;
}

int64_t report_macs(const Graph *g)
{
    return graph_work(g);
}

/* with what its loops make again */
int64_t report_step_macs(const Node *n)
{
    return node_macs(n) + (n->region ? node_repeated_macs(n) : 0);
}

int64_t report_macs_added(const Graph *g)
{
    int64_t sum = 0;

    for EACH_NODE(n, g)
        sum += n->region ? node_repeated_macs(n) : 0;
    return sum;
}

int64_t report_flash_reads(const Graph *g)
{
    int64_t sum = 0;

    for EACH_NODE(n, g)
        sum += codegen_has_step(n) ? node_constant_reads(n) : 0;
    return sum;
}

/* Of the constants of all steps, each read once. */
static int64_t constant_bytes(const Graph *g)
{
    int64_t sum = 0;

    for EACH_NODE(n, g)
        for (int i = 0; codegen_has_step(n) && i < n->nin; i++)
            if (value_is_const(n->in[i]))
                sum += type_bytes(&n->in[i]->type);
    return sum;
}

double report_flash_passes(const Graph *g)
{
    int64_t once = constant_bytes(g);

    return once ? (double)report_flash_reads(g) / (double)once : 0;
}

/* A number each, or where the quantization is per channel a list each. */
static void json_quant(Buf *b, const Value *v)
{
    const Quant *q = v->quant;

    if (!quant_fits(q, &v->type)) {
        buf_puts(b, "\"scale\": null, \"zero_point\": null}");
        return;
    }
    buf_puts(b, q->n > 1 ? "\"scale\": [" : "\"scale\": ");
    for (int i = 0; i < q->n; i++) {
        buf_puts(b, i ? ", " : "");
        number_put_f32(b, q->scale[i]);
    }
    buf_puts(b, q->n > 1 ? "], \"zero_point\": [" : ", \"zero_point\": ");
    for (int i = 0; i < q->n; i++)
        buf_printf(b, "%s%d", i ? ", " : "", (int)q->zero_point[i]);
    buf_puts(b, q->n > 1 ? "]}" : "}");
}

const Node *report_step(const Graph *g, int step)
{
    for EACH_NODE(n, g)
        if (n->index == step)
            return n;
    return NULL;
}

/* One class of the certificate, with the tensors that add up to it. */
static void json_bound(Buf *b, const Graph *g, const Bound *row, bool more)
{
    const Node *n = report_step(g, row->step);

    buf_printf(b, "%s\n      {\"class\": \"%s\", \"bound\": %lld, "
               "\"plan\": %lld, \"proof\": \"%s\",\n        \"witness\": "
               "{\"step\": %d, \"node\": ", more ? "," : "", row->name,
               ll(row->bound), ll(row->plan), row->proof, row->step);
    if (n)
        buf_quote(b, n->name);
    else
        buf_puts(b, "null");
    buf_printf(b, ", \"op\": %s%s%s, \"tensors\": [", n ? "\"" : "",
               n ? op_name(n->op) : "null", n ? "\"" : "");
    for (int i = 0; i < row->nheld; i++) {
        buf_puts(b, i ? ", {\"name\": " : "{\"name\": ");
        buf_quote(b, row->held[i].name);
        buf_printf(b, ", \"bytes\": %lld}", ll(row->held[i].bytes));
    }
    buf_puts(b, "]}}");
}

static void json_pools(Buf *b, const Plan *p)
{
    if (!plan_has_pools(p)) {
        buf_puts(b, ",\n    \"pools\": null, \"state_pool\": null");
        return;
    }
    buf_puts(b, ",\n    \"pools\": [");
    for (int i = 0; i < p->npool; i++)
        buf_printf(b, "%s{\"name\": \"%s\", \"size\": %lld, \"bytes\": "
                   "%lld}", i ? ", " : "", p->pool[i].name,
                   ll(p->pool[i].limit), ll(p->pool[i].bytes));
    buf_printf(b, "], \"state_pool\": \"%s\"",
               p->pool[p->state_pool].name);
}

/* `, "pool": "dtcm"`, where there are pools. */
static void json_pool(Buf *b, const Plan *p, const Buffer *buf)
{
    if (plan_has_pools(p))
        buf_printf(b, ", \"pool\": \"%s\"",
                   p->pool[buf ? buf->pool : 0].name);
}

/* Of an input that comes in bands, `bytes` are those of one. */
static bool json_band(Buf *b, const Graph *g, const Value *v)
{
    Band band;

    if (!value_in_bands(v) || !graph_band(g, &band))
        return false;
    buf_printf(b, ", \"bytes\": %lld, \"band\": {\"axis\": %d, \"rows\": "
               "%lld, \"bands\": %lld, \"planes\": %lld, \"row_bytes\": "
               "%lld, \"region\": %d}", ll(band_bytes(&band)), band.axis,
               ll(band.rows), ll(band.bands), ll(band.planes),
               ll(band.row_bytes), band.loop->id);
    return true;
}

static void json_io(Buf *b, const Codegen *cg, Value *const *list, int n,
                    bool in)
{
    buf_printf(b, "  \"%s\": [", in ? "inputs" : "outputs");
    for (int i = 0; i < n; i++) {
        const Value *v = list[i];
        buf_puts(b, i ? ",\n    {\"name\": " : "\n    {\"name\": ");
        buf_quote(b, in ? v->name : value_label(v));
        buf_printf(b, ", \"accessor\": \"%s\", \"dtype\": \"%s\", "
                   "\"shape\": ", codegen_accessor(cg, v, in),
                   dtype_name(v->type.dt));
        json_dims(b, &v->type);
        if (!json_band(b, codegen_graph(cg), v))
            buf_printf(b, ", \"bytes\": %lld", ll(type_bytes(&v->type)));
        buf_printf(b, ", \"offset\": %lld", ll(codegen_offset(cg, v)));
        json_pool(b, codegen_graph(cg)->plan, v->buf);
        buf_puts(b, ", ");
        json_quant(b, v);
    }
    buf_puts(b, n ? "\n  ],\n" : "],\n");
}

static void json_arena(Buf *b, const Graph *g, const ReportInfo *info)
{
    const Plan *p = g->plan;

    buf_printf(b, "  \"arena\": {\"bytes\": %lld, \"align\": %d, "
               "\"state_bytes\": %lld, \"budget\": ", ll(p->arena_bytes),
               ARENA_ALIGN, ll(p->state_bytes));
    if (info->budget)
        buf_printf(b, "%lld", ll(info->budget));
    else
        buf_puts(b, "null");
    buf_printf(b, ", \"lower_bound\": %lld, \"peak_step\": %d,\n    "
               "\"bounds\": [", ll(p->lower_bound), p->peak_step);
    for (int i = 0; i < p->nbound; i++)
        json_bound(b, g, &p->bounds[i], i > 0);
    buf_puts(b, "]");
    json_pools(b, p);
    if (p->is_shared)
        buf_printf(b, ", \"shared\": {\"state_offset\": %lld, "
                   "\"state_end\": %lld}", ll(p->state_at),
                   ll(p->state_end));
    buf_puts(b, "},\n");
}

/* Why the step computes in floats though the model is quantized. */
static void json_island(Buf *b, const Node *n, bool quantized)
{
    const char *why = quantized ? report_island(n) : NULL;

    buf_puts(b, ", \"float_island\": ");
    if (why)
        buf_quote(b, why);
    else
        buf_puts(b, "null");
    buf_putc(b, '}');
}

static void json_names(Buf *b, Value *const *list, int n)
{
    const char *comma = "";

    for (int i = 0; i < n; i++)
        if (list[i]) {
            buf_puts(b, comma);
            buf_quote(b, list[i]->name);
            comma = ", ";
        }
}

/* What the graph was made with, for --check-plan. */
static void json_options(Buf *b, const Strings *list)
{
    buf_puts(b, "  \"options\": [");
    for (int i = 0; i < list->n; i++) {
        buf_puts(b, i ? ", " : "");
        buf_quote(b, list->v[i]);
    }
    buf_puts(b, "],\n");
}

static void json_steps(Buf *b, const Graph *g)
{
    bool quantized = report_is_quantized(g);
    const int64_t *live = plan_live(g, -1, b->arena);

    buf_puts(b, "  \"steps\": [");
    for EACH_NODE(n, g) {
        buf_printf(b, "%s\n    {\"index\": %d, \"node\": ",
                   n == g->first ? "" : ",", n->index);
        buf_quote(b, n->name);
        buf_printf(b, ", \"op\": \"%s\", \"macs\": %lld, \"live_bytes\": "
                   "%lld, \"flash_reads\": %lld, \"code\": %s",
                   op_name(n->op), ll(report_step_macs(n)),
                   ll(live[n->index + 1]),
                   ll(codegen_has_step(n) ? node_constant_reads(n) : 0),
                   codegen_has_step(n) ? "true" : "false");
        buf_puts(b, ", \"outputs\": [");
        json_names(b, n->out, n->nout);
        buf_puts(b, "]");
        if (node_lean(n))
            buf_printf(b, ", \"lean\": %d", node_lean(n));
        if (n->region)
            buf_printf(b, ", \"region\": %d", n->region->id);
        else
            buf_puts(b, ", \"region\": null");
        json_island(b, n, quantized);
    }
    buf_puts(b, "\n  ],\n");
}

static void json_overlap(Buf *b, const char **comma, const char *with,
                         int step, int64_t shift, bool backward)
{
    buf_printf(b, "%s{\"with\": ", *comma);
    buf_quote(b, with);
    buf_printf(b, ", \"step\": %d, \"shift\": %lld, \"direction\": "
               "\"%s\"}", step, ll(shift), backward ? "backward"
                                                    : "forward");
    *comma = ", ";
}

/* The operands of the step that makes buf, over whose bytes it lies. */
static void lies_over(Buf *b, const char **comma, const Node *n,
                      const Buffer *buf)
{
    for (int o = 0; o < n->nout; o++)
        for (int k = 0; n->out[o] && k < n->nin; k++)
            if (n->out[o]->buf == buf && value_lies_over(n->out[o], k))
                json_overlap(b, comma, n->in[k]->buf->name, n->index,
                             buf->offset - n->in[k]->buf->offset,
                             n->backward);
}

/* The first step that makes a value of the buffer; -1: a caller does. */
static int birth(Node *const *step, const Buffer *buf, int nsteps)
{
    for (int t = buf->first; t >= 0 && t < nsteps; t++)
        for (int i = 0; i < step[t]->nout; i++)
            if (step[t]->out[i] && step[t]->out[i]->buf == buf)
                return t;
    return buf->first;
}

/* What dies with the loops that begin with buf, where it lies over that. */
static void loops_lie_over(Buf *b, const char **comma, const Plan *p,
                           Node *const *step, const Buffer *buf)
{
    const Region *r = buf->first >= 0 && buf->first < p->nsteps
                          ? region_at(step[buf->first]->region, 0) : NULL;

    for (int i = 0; r && i < p->nbuf; i++)
        if (region_lies_over(r, buf, p->buf[i]))
            json_overlap(b, comma, p->buf[i]->name, r->first,
                         buf->offset - p->buf[i]->offset, false);
}

/* Other buffers whose dying bytes it lies over; and values that share it with
 * an earlier one, and where they begin. */
static void json_overlaps(Buf *b, const Plan *p, Node *const *step,
                          const Buffer *buf)
{
    const char *comma = "";
    int nsteps = p->nsteps, first = birth(step, buf, nsteps);

    buf_puts(b, "\"overlaps\": [");
    if (first >= 0 && first < nsteps && !buf->is_scratch)
        lies_over(b, &comma, step[first], buf);
    loops_lie_over(b, &comma, p, step, buf);
    for (int t = first + 1; t <= buf->last && t < nsteps; t++)
        for (int i = 0; i < step[t]->nout; i++) {
            const Value *v = step[t]->out[i];
            if (v && v->buf == buf)
                json_overlap(b, &comma, v->name, t, v->delta, false);
        }
    buf_puts(b, "]");
}

/* Does a turn leave some of it to the next one? */
static bool is_carried(const Graph *g, const Buffer *f)
{
    int64_t fresh;
    int axis;

    for (int i = 0; i < g->nvalue; i++)
        if (g->value[i]->buf == f &&
            value_carried(g->value[i], &axis, &fresh) > 0)
            return true;
    return false;
}

static void json_buffers(Buf *b, const Graph *g, const Residents *r)
{
    const Plan *p = g->plan;
    Node **step = NEW_ARRAY(b->arena, Node *, p->nsteps + 1);

    for EACH_NODE(n, g)
        step[n->index] = n;
    buf_puts(b, "  \"buffers\": [");
    for (int i = 0; i < p->nbuf; i++) {
        const Buffer *f = p->buf[i];
        buf_puts(b, i ? ",\n    {\"name\": " : "\n    {\"name\": ");
        buf_quote(b, f->name);
        buf_printf(b, ", \"offset\": %lld, \"bytes\": %lld, \"first_step\": "
                   "%d, \"last_step\": %d", ll(f->offset), ll(f->bytes),
                   f->first, f->last);
        json_pool(b, p, f);
        buf_printf(b, ", \"store\": %s, \"carried\": %s, ",
                   residents_store(r, f),
                   is_carried(g, f) ? "true" : "false");
        json_overlaps(b, p, step, f);
        buf_puts(b, ",\n      ");
        json_residents(b, r, f);
        buf_putc(b, '}');
    }
    buf_puts(b, "\n  ]\n");
}

/* The ways out of a missed budget. */
static void json_advice(Buf *b, const ReportInfo *info)
{
    buf_puts(b, "  \"advice\": [");
    for (int i = 0; i < info->nadvice; i++) {
        buf_printf(b, "%s\n    {\"saves\": %lld, \"text\": ",
                   i ? "," : "", ll(info->advice[i].saves));
        buf_quote(b, info->advice[i].text);
        buf_putc(b, '}');
    }
    buf_puts(b, info->nadvice ? "\n  ],\n" : "],\n");
}

static void json_model(Buf *b, const ReportInfo *info)
{
    const Codegen *cg = info->cg;
    const Graph *g = codegen_graph(cg);
    Residents *r = residents_new(b->arena, g);
    CodegenSizes s = codegen_sizes(cg);

    buf_printf(b, "{\n  \"tool\": \"mcufc\", \"version\": \"%s\",\n  "
               "\"model\": ", MCUFC_VERSION);
    buf_quote(b, info->model);
    buf_printf(b, ", \"target\": \"%s\", \"name\": \"%s\",\n", info->target,
               info->name);
    json_options(b, &info->options);
    json_arena(b, g, info);
    buf_printf(b, "  \"stack_bytes\": %lld,\n  \"flash\": {\"weights\": %lld"
               ", \"tables\": %lld, \"code_estimate\": %lld, \"codes8\": %lld"
               ", \"codes4\": %lld},\n  \"macs\": "
               "%lld, \"macs_added\": %lld,\n  \"flash_reads\": %lld, "
               "\"flash_passes\": %.2f,\n", ll(s.stack),
               ll(s.weights), ll(s.tables), ll(s.code),
               ll(report_code_bytes(g, 8)), ll(report_code_bytes(g, 4)),
               ll(report_macs(g)), ll(report_macs_added(g)),
               ll(report_flash_reads(g)), report_flash_passes(g));
    json_io(b, cg, g->in, g->nin, true);
    json_io(b, cg, g->out, g->nout, false);
    json_steps(b, g);
    json_regions(b, g);
    json_decisions(b, r);
    if (info->elastic_json)
        buf_printf(b, "  \"elastic\": %s,\n", info->elastic_json);
    if (info->low_rank_json)
        buf_printf(b, "  \"low_rank\": %s,\n", info->low_rank_json);
    if (info->quantization_json)
        buf_printf(b, "  \"quantization\": %s,\n", info->quantization_json);
    json_advice(b, info);
    json_buffers(b, g, r);
    buf_puts(b, "}\n");
}

void report_json(Buf *b, const ReportInfo *info)
{
    if (!info->next) {
        json_model(b, info);
        return;
    }
    buf_printf(b, "{\n  \"tool\": \"mcufc\", \"version\": \"%s\",\n  "
               "\"shared_arena\": %lld,\n  \"models\": [\n",
               MCUFC_VERSION, ll(codegen_graph(info->cg)->plan->arena_bytes));
    for (const ReportInfo *m = info; m; m = m->next) {
        json_model(b, m);
        buf_puts(b, m->next ? "  ,\n" : "");
    }
    buf_puts(b, "  ]\n}\n");
}
