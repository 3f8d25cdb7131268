/* low_rank_report.c - what was split, at which rank, error and gain. */
#include "compress.h"

static long long ll(int64_t x)
{
    return (long long)x;
}

void low_rank_text(Buf *b, const LowRankReport *r)
{
    int64_t bytes = 0, macs = 0;
    int split = 0;

    buf_printf(b, "low rank (error of %s)\n", r->weighted
               ? "the layer's outputs over the samples" : "the weights");
    buf_printf(b, "  %-10s %12s %6s %8s %10s %12s  layer\n", "form",
               "in x out", "rank", "error", "bytes", "macs");
    for (int i = 0; i < r->n; i++) {
        const LowRankLayer *l = &r->layer[i];
        char size[48];
        snprintf(size, sizeof size, "%lld x %lld", ll(l->rows), ll(l->cols));
        if (l->rank)
            buf_printf(b, "  %-10s %12s %6lld %7.3f%% %10lld %12lld  %s\n",
                       l->form, size, ll(l->rank), 100 * l->error,
                       ll(-l->bytes_saved), ll(-l->macs_saved), l->name);
        else
            buf_printf(b, "  %-10s %12s  dense: %s  %s\n", l->form, size,
                       l->why, l->name);
        split += l->rank > 0;
        bytes += l->bytes_saved;
        macs += l->macs_saved;
    }
    buf_printf(b, "  %d of %d layers split: %lld B of float weights and %lld "
               "MACs less", split, r->n, ll(bytes), ll(macs));
    if (r->energy > 0)
        buf_printf(b, ", energy %g", r->energy);
    if (r->cosine != 0)
        buf_printf(b, ", outputs' cosine %.6f", r->cosine);
    buf_puts(b, "\n");
}

void low_rank_json(Buf *b, const LowRankReport *r)
{
    buf_printf(b, "{\"weighted\": %s, \"energy\": %g, \"cosine\": %.9g, "
               "\"layers\": [", r->weighted ? "true" : "false", r->energy,
               r->cosine);
    for (int i = 0; i < r->n; i++) {
        const LowRankLayer *l = &r->layer[i];
        buf_puts(b, i ? ",\n    {\"node\": " : "\n    {\"node\": ");
        buf_quote(b, l->name);
        buf_printf(b, ", \"form\": \"%s\", \"rows\": %lld, \"cols\": %lld, "
                   "\"rank\": %lld, \"error\": %.9g, \"bytes_saved\": %lld, "
                   "\"macs_saved\": %lld}", l->form, ll(l->rows),
                   ll(l->cols), ll(l->rank), l->error, ll(l->bytes_saved),
                   ll(l->macs_saved));
    }
    buf_puts(b, "]}");
}
