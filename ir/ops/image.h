/* image.h - sampling ops: what interpreter and emitters share. */
#ifndef MCUFC_OPS_IMAGE_H
#define MCUFC_OPS_IMAGE_H

#include "../ir.h"

typedef enum GridMode { GRID_NEAREST, GRID_LINEAR, GRID_CUBIC } GridMode;
typedef enum GridPad { GRID_ZEROS, GRID_BORDER, GRID_REFLECT } GridPad;

/* x [batch, channels, in...] sampled at points [batch, points, rank] */
typedef struct Grid {
    int rank;                   /* 1 to 3 spatial axes */
    int64_t batch, channels, in[3], plane, points;
    GridMode mode;
    GridPad pad;
    bool align;
} Grid;

bool grid_read(const Node *n, Grid *g, Type *y);
/* AffineGrid: point i of n on -1..1 */
double affine_spread(int64_t i, int64_t n, bool align);

/* x [.., channels, h, w], regions [count, 4] */
typedef struct Roi {
    int64_t channels, h, w, count, out_h, out_w;
    int64_t images, ratio;      /* samples per bin side; 0: by size */
    float scale, offset;        /* offset 0.5 for half_pixel */
    bool max;
} Roi;

bool roi_read(const Node *n, Roi *r);

#endif
