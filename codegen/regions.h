/* regions.h - loops around steps: nodes that are in regions. */
#ifndef MCUFC_CODEGEN_REGIONS_H
#define MCUFC_CODEGEN_REGIONS_H

#include "emit_state.h"

/* Where a step's text goes: its function, and the call of it. */
typedef struct StepWriter {
    Emit *e;
    Buf *steps, *run;
    Buf *turns;                 /* of the loop that receives bands */
} StepWriter;

/* The region that begins with n: its functions and its loops; returns the
 * node behind it. */
Node *regions_write(StepWriter *w, Node *n);
/* Bytes that a node in a region needs: its kernel's scratch for the largest
 * tile, and room for tiles that do not lie in one piece. */
int64_t region_scratch(const Node *n);

/* writer.c: shared with the steps that are in no region */
bool body_names(const char *body, const char *name);
void step_comment(Buf *b, const Node *n);
/* The line that calls the function of a step with `a` and `args`; a choice
 * of calls where the step has widths. */
void step_call(Buf *b, const Emit *e, const Node *n, const char *function,
               const char *args, int depth);

#endif
