/* emit_state.h - shared by emit.c (the emitters' calls) and writer.c. */
#ifndef MCUFC_EMIT_STATE_H
#define MCUFC_EMIT_STATE_H

#include "emit.h"
#include "kernels.h"
#include "weights.h"

#include "../support/map.h"

/* Constants that an emitter asked for, when they are only noted: loops cut
 * them and give each turn its own (regions.c). In the text each is a name
 * that begins with CAPTURED. */
typedef struct ConstItem {
    const char *hint;
    DType dt;
    int64_t n;
    const void *data;
} ConstItem;

typedef struct ConstList {
    int n, cap;
    ConstItem *v;
} ConstList;

#define CAPTURED "mcu_captured_"
const char *const_capture(ConstList *l, Arena *arena, const char *hint,
                          DType dt, int64_t n, const void *data);

struct EmitState {
    Kernels *kernels;
    Weights *weights;
    ConstList *capture;         /* NULL: constants go into the file */
    Map layout;                 /* of packed weights, by their address */
};

#endif
