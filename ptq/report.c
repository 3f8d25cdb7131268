/* report.c - what quantization did to the model, for people and machines. */
#include "ptq.h"

static void text_row(Buf *b, const PtqError *e)
{
    buf_printf(b, "  %8.1f %9.6f %10.3g  %-8s", e->sqnr, e->cosine,
               e->max_error, e->bits == 16 ? "int16"
                             : e->bits ? "int8" : "float");
    buf_printf(b, " %-8s %s (%s)\n", e->observer, e->name,
               e->op ? e->op : "input");
}

static void residual_text(Buf *b, const PtqReport *r)
{
    buf_printf(b, "residual stream in %s: ", r->residual16 ? "int16" : "int8");
    for (int i = 0; i < 2; i++) {
        buf_printf(b, "%s%s gives SQNR %.1f dB", i ? "; " : "",
                   i ? "int16" : "int8", r->residual_sqnr[i]);
        if (r->residual_arena[i])
            buf_printf(b, " with an arena of %lld B",
                       (long long)r->residual_arena[i]);
    }
    buf_puts(b, "\n");
}

void ptq_report_text(Buf *b, const PtqReport *r, int rows)
{
    buf_printf(b, "quantized with %d samples: %d products", r->nsample,
               r->products);
    if (r->int4)
        buf_printf(b, " (%d with int4 weights, %d with int8)", r->int4,
                   r->int8);
    buf_printf(b, ", %d tensors with equalized channels, %d nodes in float\n",
               r->equalized, r->floats);
    if (r->has_residual)
        residual_text(b, r);
    for (int i = 0; i < r->noutput; i++)
        buf_printf(b, "output %s: SQNR %.1f dB, cosine %.6f, largest error "
                   "%.3g\n", r->output[i].name, r->output[i].sqnr,
                   r->output[i].cosine, r->output[i].max_error);
    buf_printf(b, "the largest element of the first output is the same in "
               "%.1f %% of its rows\n", 100 * r->top1);
    buf_puts(b, "  SQNR, dB    cosine  max error  stored   range    tensor, "
             "worst first\n");
    for (int i = 0; i < r->nerror && i < rows; i++)
        text_row(b, &r->error[i]);
}

static void json_rows(Buf *b, const char *key, const PtqError *e, int n)
{
    buf_printf(b, "\"%s\": [", key);
    for (int i = 0; i < n; i++) {
        buf_printf(b, "%s\n    {\"name\": ", i ? "," : "");
        buf_quote(b, e[i].name);
        buf_puts(b, ", \"node\": ");
        buf_quote(b, e[i].node ? e[i].node : "");
        buf_printf(b, ", \"op\": \"%s\", \"sqnr_db\": %.2f, \"cosine\": "
                   "%.8f, \"max_error\": %.6g, \"bits\": %d, \"observer\": "
                   "\"%s\", \"lo\": %.6g, \"hi\": %.6g}",
                   e[i].op ? e[i].op : "", e[i].sqnr, e[i].cosine,
                   e[i].max_error, e[i].bits, e[i].observer, e[i].lo,
                   e[i].hi);
    }
    buf_puts(b, n ? "\n  ]" : "]");
}

void ptq_report_json(Buf *b, const PtqReport *r)
{
    buf_printf(b, "{\"samples\": %d, \"products\": %d, \"int4\": %d, "
               "\"int8\": %d, \"equalized\": %d, \"float_nodes\": %d, \"top1\": "
               "%.4f, ", r->nsample, r->products, r->int4, r->int8,
               r->equalized, r->floats, r->top1);
    if (r->has_residual)
        buf_printf(b, "\"residual\": {\"bits\": %d, \"sqnr_int8_db\": %.2f, "
                   "\"sqnr_int16_db\": %.2f, \"arena_int8\": %lld, "
                   "\"arena_int16\": %lld}, ", r->residual16 ? 16 : 8,
                   r->residual_sqnr[0], r->residual_sqnr[1],
                   (long long)r->residual_arena[0],
                   (long long)r->residual_arena[1]);
    json_rows(b, "outputs", r->output, r->noutput);
    buf_puts(b, ", ");
    json_rows(b, "tensors", r->error, r->nerror);
    buf_puts(b, "}");
}
