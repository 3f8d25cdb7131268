/* compress.h - smaller models from a model: what changes the network itself,
 * before quantization. Low-rank splitting replaces a layer's matrix by two
 * of a lower rank. Nothing here knows the command line.
 */
#ifndef MCUFC_COMPRESS_H
#define MCUFC_COMPRESS_H

#include "../ir/ir.h"

typedef enum LowRankMode {
    LOW_RANK_OFF, LOW_RANK_AUTO, LOW_RANK_ENERGY, LOW_RANK_RANK, LOW_RANK_LIST
} LowRankMode;

/* One line of a per-layer file: node name and rank. */
typedef struct LayerRank {
    const char *name;
    int64_t rank;
    int line;
    bool used;
} LayerRank;

typedef struct LowRankOptions {
    LowRankMode mode;
    double energy;              /* share of the squared error kept, 0..1 */
    int64_t rank;
    int nlist;
    LayerRank *list;
    const char *file;           /* of the list, for messages */
    int nsample;                /* 0: the weights alone decide */
    const Tensor *const *sample;        /* sample[k][i] is for g->in[i] */
} LowRankOptions;

/* What became of one layer, or of several that read the same input and
 * share their first factor. */
typedef struct LowRankLayer {
    const char *name, *op;
    const char *form;           /* "product", "joint", "channels", ... */
    int64_t rows, cols;         /* of the matrix: inputs x outputs */
    int64_t rank;               /* 0: stays as it was */
    double error;               /* ||X (W - UV)|| / ||X W||; without samples
                                   ||W - UV|| / ||W|| */
    int64_t bytes_saved;        /* of float weights */
    int64_t macs_saved;
    const char *why;            /* it stays as it was */
} LowRankLayer;

typedef struct LowRankReport {
    int n, cap;
    LowRankLayer *layer;
    bool weighted;              /* by activations */
    double energy;              /* what auto settled on; 0: not asked */
    double cosine;              /* of the outputs over the samples, before
                                   against after; 0 without samples */
} LowRankReport;

/* Splits g's layers in place. False after a message. */
bool low_rank_split(Graph *g, const LowRankOptions *opt,
                    LowRankReport *report);
void low_rank_text(Buf *b, const LowRankReport *r);
void low_rank_json(Buf *b, const LowRankReport *r);

#endif
