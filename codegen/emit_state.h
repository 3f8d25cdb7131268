/* emit_state.h - shared by emit.c (the emitters' calls) and writer.c. */
#ifndef MCUFC_EMIT_STATE_H
#define MCUFC_EMIT_STATE_H

#include "emit.h"
#include "kernels.h"
#include "weights.h"

struct EmitState {
    Kernels *kernels;
    Weights *weights;
};

#endif
