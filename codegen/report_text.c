/* report_text.c - the memory plan for people. */
#include "../ir/region.h"
#include "report.h"

static long long ll(int64_t x)
{
    return (long long)x;
}

static void text_io(Buf *b, const Codegen *cg, Value *const *list, int n,
                    const char *kind)
{
    const Plan *p = codegen_graph(cg)->plan;
    Band band;

    for (int i = 0; i < n; i++) {
        buf_printf(b, "%-7s %s ", kind, list[i]->name);
        type_print(b, &list[i]->type);
        if (value_in_bands(list[i]) && graph_band(codegen_graph(cg), &band))
            buf_printf(b, ", %lld bands of %lld indices of axis %d,\n        "
                       "%lld B each", ll(band.bands), ll(band.rows),
                       band.axis, ll(band_bytes(&band)));
        else
            buf_printf(b, ", %lld B", ll(type_bytes(&list[i]->type)));
        buf_printf(b, " at %lld", ll(codegen_offset(cg, list[i])));
        if (plan_has_pools(p) && list[i]->buf)
            buf_printf(b, " of pool %s", p->pool[list[i]->buf->pool].name);
        buf_putc(b, '\n');
    }
}

static void text_pools(Buf *b, const Plan *p)
{
    for (int i = 0; plan_has_pools(p) && i < p->npool; i++) {
        int n = 0;
        for (int k = 0; k < p->nbuf; k++)
            n += p->buf[k]->pool == i;
        buf_printf(b, "pool    %s, %lld B of %lld, %d buffers%s\n",
                   p->pool[i].name, ll(p->pool[i].bytes),
                   ll(p->pool[i].limit), n,
                   p->state_bytes && p->state_pool == i ? ", the state"
                                                        : "");
    }
}

static void text_peak(Buf *b, const Plan *p)
{
    buf_printf(b, "\nlive at the peak (step %d):\n", p->peak_step);
    for (int i = 0; i < p->nbuf; i++)
        if (p->buf[i]->first <= p->peak_step &&
            p->peak_step <= p->buf[i]->last)
            buf_printf(b, "  %10lld B  %s (steps %d to %d)\n",
                       ll(p->buf[i]->bytes), p->buf[i]->name,
                       p->buf[i]->first, p->buf[i]->last);
}

static void text_steps(Buf *b, const Graph *g)
{
    int64_t total = report_macs(g);
    const int64_t *live = plan_live(g, -1, b->arena);

    buf_puts(b, "\n step   live bytes         MACs  share  op\n");
    for EACH_NODE(n, g)
        buf_printf(b, "%5d %12lld %12lld %5.1f%%  %-18s %s%s\n", n->index,
                   ll(live[n->index + 1]), ll(report_step_macs(n)),
                   total ? 100.0 * (double)report_step_macs(n) /
                               (double)total : 0,
                   op_name(n->op), n->name,
                   n->index == g->plan->peak_step ? "   <- peak" : "");
}

/* name (bytes) + name (bytes) + ...: the largest few */
static void text_held(Buf *b, const Bound *row)
{
    enum { SHOWN = 4 };
    int64_t rest = 0;

    for (int i = 0; i < row->nheld; i++)
        if (i < SHOWN)
            buf_printf(b, "%s%s (%lld)", i ? " + " : "", row->held[i].name,
                       ll(row->held[i].bytes));
        else
            rest += row->held[i].bytes;
    if (row->nheld > SHOWN)
        buf_printf(b, " + %d more (%lld)", row->nheld - SHOWN, ll(rest));
}

/* The certificate: how far from the best possible, and why. */
static void text_bounds(Buf *b, const Graph *g)
{
    const Plan *p = g->plan;

    buf_puts(b, "\n  class                     lower bound         plan    "
             "gap  proof\n");
    for (int i = 0; i < p->nbound; i++) {
        const Bound *row = &p->bounds[i];
        const Node *n = report_step(g, row->step);
        buf_printf(b, "  %-23s %13lld %12lld %5.1f%%  %s, at ", row->name,
                   ll(row->bound), ll(row->plan),
                   100.0 * (double)(row->plan - row->bound) /
                       (double)(row->bound ? row->bound : 1), row->proof);
        if (n)
            buf_printf(b, "step %d, %s (%s)\n      ", row->step, n->name,
                       op_name(n->op));
        else
            buf_printf(b, "%s\n      ", row->step < 0 ? "the inputs"
                                                      : "the outputs");
        text_held(b, row);
        buf_putc(b, '\n');
    }
}

/* What one run computes and reads. */
static void text_work(Buf *b, const Graph *g)
{
    int64_t macs = report_macs(g), added = report_macs_added(g);

    buf_printf(b, "work    %lld MACs in %d steps", ll(macs),
               g->plan->nsteps);
    if (added > 0)
        buf_printf(b, ", %lld of them made again by loops (%.3f times)",
                   ll(added), (double)macs / (double)(macs - added));
    buf_printf(b, "\n        flash bytes read per inference: %lld, %.2f "
               "passes over the constants\n", ll(report_flash_reads(g)),
               report_flash_passes(g));
}

static void text_model(Buf *b, const ReportInfo *info)
{
    const Codegen *cg = info->cg;
    const Graph *g = codegen_graph(cg);
    const Plan *p = g->plan;
    const Bound *own = plan_own_bound(p);
    int64_t height = p->is_shared && own ? own->plan : p->arena_bytes;
    CodegenSizes s = codegen_sizes(cg);

    buf_printf(b, "model   %s, target %s\narena   %lld B", info->model,
               info->target, ll(p->arena_bytes));
    if (info->budget)
        buf_printf(b, " of %lld B", ll(info->budget));
    if (p->is_shared)
        buf_printf(b, " shared, %lld B by this model", ll(height));
    buf_printf(b, " (lower bound %lld B, gap %.1f%%; state %lld B)\n",
               ll(p->lower_bound),
               100.0 * (double)(height - p->lower_bound) /
                   (double)(p->lower_bound ? p->lower_bound : 1),
               ll(p->state_bytes));
    text_pools(b, p);
    for (int i = 0; i < info->nadvice; i++)
        buf_printf(b, "%ssaves %lld B: %s\n", i ? "        " : "advice  ",
                   ll(info->advice[i].saves), info->advice[i].text);
    buf_printf(b, "stack   at most %lld B\nflash   %lld B of constants, about"
               " %lld B of code\n", ll(s.stack), ll(s.weights), ll(s.code));
    for (int bits = 8; bits >= 4; bits -= 4)
        if (report_code_bytes(g, bits))
            buf_printf(b, "        %lld B of the constants are codes of %d "
                       "bits\n", ll(report_code_bytes(g, bits)), bits);
    text_work(b, g);
    text_io(b, cg, g->in, g->nin, "input");
    text_io(b, cg, g->out, g->nout, "output");
    text_bounds(b, g);
    text_decisions(b, residents_new(b->arena, g));
    text_peak(b, p);
    text_steps(b, g);
    text_regions(b, g);
    text_islands(b, g);
    if (info->elastic)
        buf_printf(b, "\n%s", info->elastic);
    if (info->low_rank)
        buf_printf(b, "\n%s", info->low_rank);
    if (info->quantization)
        buf_printf(b, "\n%s", info->quantization);
}

void report_text(Buf *b, const ReportInfo *info)
{
    for (const ReportInfo *m = info; m; m = m->next) {
        text_model(b, m);
        buf_puts(b, m->next ? "\n" : "");
    }
}
