/* resize.h - a Resize node as one table of taps per resized axis: shared by
 * the interpreter and the emitter, which writes the tables as constants. */
#ifndef MCUFC_OPS_RESIZE_H
#define MCUFC_OPS_RESIZE_H

#include "../ir.h"

enum { RESIZE_ROI = 1, RESIZE_SCALES = 2, RESIZE_SIZES = 3 };

/* attributes as numbers; kernels/resize.c counts the same way */
enum { MODE_NEAREST, MODE_LINEAR, MODE_CUBIC };
enum { NEAREST_PREFER_FLOOR, NEAREST_PREFER_CEIL, NEAREST_FLOOR,
       NEAREST_CEIL };
enum { COORDS_HALF_PIXEL, COORDS_ALIGN_CORNERS, COORDS_SYMMETRIC,
       COORDS_PYTORCH, COORDS_ASYMMETRIC, COORDS_TF_CROP,
       COORDS_TF_HALF };        /* opset 11 only: no half taken off */
enum { POLICY_STRETCH, POLICY_NOT_LARGER, POLICY_NOT_SMALLER };

typedef struct ResizeAxis {
    int axis;                   /* of the input */
    int64_t in, out;
    double scale, roi0, roi1;
} ResizeAxis;

/* The axes that change, outermost first. */
typedef struct Resize {
    int n;
    ResizeAxis axis[MAX_RANK];
    bool nearest;
    bool runtime;               /* scales or roi are not known: axes that
                                   keep their size are listed too */
} Resize;

/* Output j of the axis is the sum over k of coef[j*taps + k] times input
 * index[j*taps + k]; or the extrapolation value where outside[j]. */
typedef struct ResizeTable {
    int64_t taps;
    int32_t *index;
    double *coef;               /* NULL when nearest: one tap of 1 */
    uint8_t *outside;           /* NULL when nothing lies outside */
} ResizeTable;

/* operand: data of ROI, SCALES, SIZES, NULL where absent or not known; y is
 * the output's type when known (rank >= 0), else it is computed. False after
 * a message. */
bool resize_read(const Node *n, const void *const *operand, Resize *r,
                 Type *y);
bool resize_table(const Node *n, const ResizeAxis *a, Arena *arena,
                  ResizeTable *t);
/* taps of one output of an axis scaled by `scale` */
int64_t resize_taps(const Node *n, double scale);
/* the attributes, as numbers of the enums above */
int resize_mode(const Node *n);
int resize_coords(const Node *n);
int resize_nearest(const Node *n);
int resize_policy(const Node *n);
/* an operand that is there and not empty, or NULL */
const Value *resize_operand(const Node *n, int i);
/* the positions of the node's axes in the input's shape; the count */
int resize_axes(const Node *n, int *axes);

#endif
