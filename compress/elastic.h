/* elastic.h - nested feed-forward layers (MatFormer, arXiv 2310.07707): a
 * model trained so that the first m hidden neurons of each layer are a model
 * too is cut to those, and whole layers may be left out. Feed-forward layers
 * are found by what they compute, not by names: products by constants from E
 * to F features, elementwise work on the F, a product back to E whose result
 * is added to a value that the first products' input comes from.
 */
#ifndef MCUFC_ELASTIC_H
#define MCUFC_ELASTIC_H

#include "../ir/ir.h"

typedef struct ElasticOptions {
    double ffn;                 /* of all hidden neurons; 0: not asked */
    int nratio;
    double *ratio;              /* per layer, hidden / features; or NULL */
    int nwidth;
    int64_t *width;             /* per layer, in neurons; or NULL */
    double budget;              /* Mix'n'Match: MACs, or up to 1 a share of
                                   the whole model's; 0: not asked */
    int nskip;
    int *skip;                  /* layers to leave out, from 0 */
    int nheads;
    int64_t *heads;             /* first heads that attention layers keep:
                                   one for all, or one per layer; or NULL */
    bool only_heads;            /* nothing else is asked for */
    int nlevel;
    double *level;              /* shares of the hidden neurons to choose
                                   from at run time, ascending; or NULL */
    int nlayer;                 /* with level: layers that are not left out */
} ElasticOptions;

typedef struct ElasticLayer {
    const char *name;           /* of the product back to E */
    int64_t features, hidden, width;
    bool skipped;
    int64_t bytes_saved, macs_saved;
} ElasticLayer;

typedef struct ElasticReport {
    int n, cap;
    ElasticLayer *layer;
    int64_t macs_before, macs_after;
    int nlevel;                 /* at run time; 0: none */
    const double *level;
    int64_t *macs;              /* of the whole model, by level */
} ElasticReport;

/* Cuts g in place. False after a message. */
bool elastic_slice(Graph *g, const ElasticOptions *opt, ElasticReport *r);
/* Layers learn what they are at each of the levels (widths.c); g, quantized
 * or not, is the model at the last one, which elastic_slice cut it to. */
bool elastic_widths(Graph *g, const ElasticOptions *opt, ElasticReport *r);
/* A copy of g that is cut to a level; NULL after a message. */
Graph *elastic_at_level(Graph *g, const ElasticOptions *opt, int level);
void elastic_text(Buf *b, const ElasticReport *r);
void elastic_json(Buf *b, const ElasticReport *r);

#endif
