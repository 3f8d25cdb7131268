/* region_step.h - what regions.c, region_slots.c and region_body.c share. */
#ifndef MCUFC_REGION_STEP_H
#define MCUFC_REGION_STEP_H

#include "../ir/region.h"
#include "regions.h"

/* One function: of a node, for turns of one size (and border). */
typedef struct Step {
    StepWriter *w;
    const Node *n;
    int depth;
    const int64_t *count;       /* per depth: positions of this turn */
    const int64_t *pos;         /* per depth: its only position, or -1; where
                                   the loop slides, an index like it */
    int64_t at[REGION_DEPTH];   /* pos, 0 instead of -1 */
    const char *name;           /* of the function */
    Buf head, tail;             /* declarations; copies behind the body */
} Step;

/* region_slots.c: declares in s->head what `body` names of the slots, and
 * copies tiles in pieces there and in s->tail. */
void region_declare_slots(Step *s, const char *body);
void region_slot_name(char *name, int slot);    /* 16 bytes: x0, y1 */
/* Is the tile copied through scratch? */
bool region_is_staged(const Node *n, int slot, const int64_t *count,
                      const int64_t *pos);
/* Elements between the images of which the tile is rows, where the emitter
 * takes them so; else 0. */
int64_t region_plane(const Node *n, int slot, const int64_t *count,
                     const int64_t *pos);
/* region_body.c: the statements; declares in s->head what it names of
 * constants that the loops cut. */
const char *region_body(Step *s);

#endif
