/* report.h - what the parts of the report share: who lives in which buffer. */
#ifndef MCUFC_REPORT_H
#define MCUFC_REPORT_H

#include "codegen.h"

typedef struct Residents {
    const Graph *g;
    Arena *arena;
    int *start;                 /* [nbuf + 1]: first row of each buffer */
    const Value **list;
} Residents;

/* The values of every buffer, in the order in which they come to life. */
Residents *residents_new(Arena *arena, const Graph *g);
/* The loop of whose turns a buffer holds tiles, or "null". */
const char *residents_store(const Residents *r, const Buffer *buf);
/* `"kind": ..., "values": [...]` of one buffer */
void json_residents(Buf *b, const Residents *r, const Buffer *buf);
int resident_last_step(const Graph *g, const Value *v);
/* report_decisions.c: what reuse, sharing, order and overlaps are worth, as
 * `"decisions": {...}` and as a table */
void json_decisions(Buf *b, const Residents *r);
void text_decisions(Buf *b, const Residents *r);
/* report_islands.c: has g integer ops or Q and DQ? Why does n compute in
 * floats there; NULL: it does not. */
bool report_is_quantized(const Graph *g);
const char *report_island(const Node *n);
void text_islands(Buf *b, const Graph *g);
int64_t report_code_bytes(const Graph *g, int bits);
/* Multiplications of one run, those that loops make again included. */
int64_t report_macs(const Graph *g);
int64_t report_step_macs(const Node *n);
int64_t report_macs_added(const Graph *g);
/* Bytes of constants that one run reads, turn by turn of the loops; and how
 * often that is all of them. */
int64_t report_flash_reads(const Graph *g);
double report_flash_passes(const Graph *g);
const Node *report_step(const Graph *g, int step);      /* NULL: none */
/* report_regions.c: the loops, as `"regions": [...]` and as a table */
void json_regions(Buf *b, const Graph *g);
void text_regions(Buf *b, const Graph *g);
/* [1, 3, 224, 224] */
void json_dims(Buf *b, const Type *t);

#endif
