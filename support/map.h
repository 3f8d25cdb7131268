/* map.h - string to pointer, open addressing, in an arena. */
#ifndef MCUFC_MAP_H
#define MCUFC_MAP_H

#include "arena.h"

typedef struct Map {
    Arena *arena;
    struct MapSlot *slot;
    int n, cap;
} Map;

void map_init(Map *m, Arena *arena);
void *map_get(const Map *m, const char *key);   /* NULL when absent */
/* stores v (not NULL) and returns what was there before; key is not copied */
void *map_put(Map *m, const char *key, void *v);

#endif
