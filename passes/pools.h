/* pools.h - several memories (--pool): which buffer goes where. */
#ifndef MCUFC_POOLS_H
#define MCUFC_POOLS_H

#include "storage.h"

/* Gives every buffer of g->plan a pool and an offset, and the plan its pools
 * and sizes. The last pool takes what fits nowhere, beyond its limit if it
 * must: the caller looks at MemPool.bytes. */
void pools_lay_out(Graph *g, const PassOptions *opt);

#endif
