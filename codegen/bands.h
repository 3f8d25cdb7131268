/* bands.h - the C of an input that the caller hands over in bands. */
#ifndef MCUFC_CODEGEN_BANDS_H
#define MCUFC_CODEGEN_BANDS_H

#include "arena.h"

typedef struct BandNames {
    const Graph *g;
    const char *name, *upper;   /* prefixes of symbols and macros */
    const char *id, *macro;     /* of the input */
} BandNames;

/* Where the bands pushed are counted; where there are none, the end of what
 * is reserved before the states. */
int64_t band_count_place(const Graph *g);
/* Macros and functions; ends the comment about the input that is open. */
void bands_declare(const BandNames *n, Buf *b);
/* Accessor, push and the turns. */
void bands_write(const BandNames *n, const Buf *turns, const ArenaNames *a,
                 Buf *b);
/* In NAME_run: all bands must be there; and none behind it. */
void bands_begin_run(const BandNames *n, Buf *b);
void bands_end_run(const BandNames *n, Buf *b);

#endif
