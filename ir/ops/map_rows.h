/* map_rows.h - one row of an elementwise op in the interpreter. */
#ifndef MCUFC_MAP_ROWS_H
#define MCUFC_MAP_ROWS_H

#include "../ir.h"

typedef struct MapArgs {
    const void *x, *y, *z;      /* y, z = x where the op has fewer */
    void *out;                  /* dense */
    int64_t sx, sy, sz, n;      /* strides in elements; length of the row */
    double p0, p1;
} MapArgs;

typedef void MapRow(const MapArgs *a);
typedef struct MapFn {
    const char *name;
    MapRow *fn;
} MapFn;

/* NULL: scalar.def has no such row for the type. 16-bit floats are widened
 * to float by the caller. */
MapRow *map_row(const char *name, DType dt);

#endif
