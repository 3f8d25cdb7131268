/* plan_regions.h - plan.c's other way to buffers: graphs with regions. */
#ifndef MCUFC_PLAN_REGIONS_H
#define MCUFC_PLAN_REGIONS_H

#include "passes.h"

/* Gives every value its buffer and numbers the steps; returns how many. */
int region_buffers(Graph *g, const PassOptions *opt);
/* plan.c: a new buffer of g->plan, live in step `at` so far */
Buffer *plan_buffer(Graph *g, const char *name, int64_t bytes, int at);

#endif
