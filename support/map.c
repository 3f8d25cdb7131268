/* map.c - string to pointer, open addressing with linear probing. */
#include "map.h"

#include <stdint.h>
#include <string.h>

struct MapSlot {
    const char *key;
    void *value;
};

static uint32_t hash(const char *s)
{
    uint32_t h = 2166136261u;

    while (*s)
        h = (h ^ (unsigned char)*s++) * 16777619u;
    return h;
}

static struct MapSlot *find(const Map *m, const char *key)
{
    uint32_t i = hash(key) & (uint32_t)(m->cap - 1);

    while (m->slot[i].key && strcmp(m->slot[i].key, key))
        i = (i + 1) & (uint32_t)(m->cap - 1);
    return &m->slot[i];
}

void map_init(Map *m, Arena *arena)
{
    m->arena = arena;
    m->n = 0;
    m->cap = 16;
    m->slot = NEW_ARRAY(arena, struct MapSlot, m->cap);
}

void *map_get(const Map *m, const char *key)
{
    return find(m, key)->value;
}

static void grow(Map *m)
{
    Map big = *m;

    big.cap *= 2;
    big.slot = NEW_ARRAY(m->arena, struct MapSlot, big.cap);
    for (int i = 0; i < m->cap; i++)
        if (m->slot[i].key)
            *find(&big, m->slot[i].key) = m->slot[i];
    *m = big;
}

void *map_put(Map *m, const char *key, void *v)
{
    struct MapSlot *s;
    void *old;

    if (2 * m->n >= m->cap)
        grow(m);
    s = find(m, key);
    old = s->value;
    if (!s->key)
        m->n++;
    s->key = key;
    s->value = v;
    return old;
}
