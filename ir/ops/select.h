/* select.h - what select.c and its emitter share. */
#ifndef MCUFC_SELECT_H
#define MCUFC_SELECT_H

#include "../ir.h"

enum { NMS_BOXES, NMS_SCORES, NMS_MOST, NMS_IOU, NMS_LEAST };

/* Unique walks x[outer][n][inner] along n; without an axis x is flat. */
typedef struct Walk {
    int64_t outer, n, inner;
    int axis;                   /* -1: flat */
} Walk;

bool unique_walk(const Node *n, const Type *x, Walk *w);
/* how many results the model declares: rows of any output */
int64_t unique_rows(const Node *n);

#endif
