/* ptq.h - post-training quantization: a float graph and some samples in, the
 * same graph with QuantizeLinear/DequantizeLinear pairs out. Nothing here
 * knows integer kernels: the pass `quantize` turns the pairs into them, and
 * the graph that comes out is what -o x.onnx and -o x.mcu write.
 */
#ifndef MCUFC_PTQ_H
#define MCUFC_PTQ_H

#include "../ir/ir.h"

typedef enum PtqWeights { PTQ_INT8, PTQ_INT4, PTQ_FLOAT } PtqWeights;
typedef enum PtqResidual {
    PTQ_RESIDUAL_AUTO, PTQ_RESIDUAL_INT8, PTQ_RESIDUAL_INT16
} PtqResidual;

typedef struct PtqOptions {
    int nsample;
    const Tensor *const *sample;        /* sample[k][i] is for g->in[i] */
    PtqWeights weights;
    PtqResidual residual;
    bool compare;                       /* report both residual choices */
    bool keep_factors;                  /* chains of constant matrices are
                                           not multiplied out */
    /* Models of several widths that shall share their scales: level l of
     * nnarrow is a copy of g with the same ids; g itself is the widest. */
    int nnarrow;
    Graph *(*narrow)(const void *user, Graph *g, int level);
    const void *user;
} PtqOptions;

/* How far one tensor of the quantized model is from the float model's, over
 * the samples. */
typedef struct PtqError {
    const char *name, *node, *op;       /* the value, its node */
    double sqnr;                        /* dB; signal over error */
    double cosine;
    double max_error;
    int bits;                           /* 8, 16; 0: not quantized itself */
    const char *observer;               /* how its range was chosen */
    double lo, hi;
} PtqError;

typedef struct PtqReport {
    int nsample;
    int nerror;
    PtqError *error;                    /* worst first */
    int noutput;
    PtqError *output;                   /* of the graph's outputs */
    double top1;                        /* share of rows of output 0 whose
                                           largest element is the same */
    int products, int4, int8;           /* by the width of their weights */
    int floats;                         /* nodes that stay float */
    int equalized;                      /* tensors whose channels were */
    bool has_residual, residual16;      /* a residual stream; its choice */
    double residual_sqnr[2];            /* of the outputs: int8, int16 */
    Graph *other;                       /* with the other choice; or NULL */
    int64_t residual_arena[2];          /* filled in by the caller; 0: not */
} PtqReport;

/* Is any part of the graph quantized already? The first such node or NULL. */
const Node *ptq_is_quantized(const Graph *g);
/* Quantizes g in place. False after a message. */
bool ptq_quantize(Graph *g, const PtqOptions *opt, PtqReport *report);
void ptq_report_text(Buf *b, const PtqReport *r, int rows);
void ptq_report_json(Buf *b, const PtqReport *r);

#endif
