/* samples.h - inputs (and perhaps expected outputs) for running a model. */
#ifndef MCUFC_SAMPLES_H
#define MCUFC_SAMPLES_H

#include "compile.h"

typedef struct Sample {
    Tensor *in;                 /* one per graph input, of its exact type */
    Tensor *want;               /* one per graph output; data NULL: unknown;
                                   NULL: nothing is expected */
    const char *from;           /* where it comes from, for messages */
} Sample;

typedef struct Samples {
    int n, cap;
    Sample *list;
} Samples;

/* --run's file: .npz with one array per graph input, or a .npy for a model
 * of one input. Arrays have the input's shape, or samples along a first axis
 * (an additional one, or the batch dimension of 1). */
bool samples_load(Compile *c, Graph *g, const char *path, Samples *out);
/* --verify's DIR: ONNX test data (test_data_set_N/input_K.pb), or .npz files
 * with sK_in__NAME and sK_out__NAME, or such a file itself. */
bool samples_load_dir(Compile *c, Graph *g, const char *dir, Samples *out);
/* n pseudo-random samples, the same on every run. */
void samples_random(Compile *c, Graph *g, int n, Samples *out);

/* quantize.c: the samples of --calib, checked */
bool calibration_load(Compile *c, Graph *g, Samples *s);

#endif
