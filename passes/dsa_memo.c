/* dsa_memo.c - states that the exact search has seen fail. Different orders
 * of placing the same buffers often leave the same ones at the same lowest
 * offsets; the second time the first one's reason is copied. A state is
 * known by 128 bits of hash; a newer one takes the place of an older.
 */
#include "dsa_search.h"

#include <string.h>

enum { SLOTS = 1 << 13, LEAST = 3 };

struct Memo {
    uint64_t key[2];
    int64_t cap;                /* failed for all capacities up to this */
};

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

void memo_init(Search *s)
{
    Arena *a = s->d->arena;

    s->memo = NEW_ARRAY(a, Memo, SLOTS);
    s->memo_sets = NEW_ARRAY(a, uint64_t, 2 * s->words * SLOTS);
}

void memo_key(const Item *it, int n, uint64_t key[2])
{
    key[0] = key[1] = (uint64_t)n;
    for (int i = 0; i < n; i++) {
        uint64_t x = mix((uint64_t)it[i].id << 33 |
                         (uint64_t)it[i].min << 1 | it[i].held);
        key[0] += x;
        key[1] ^= x * (x >> 32 | 1);
    }
}

bool memo_find(Search *s, int n, const uint64_t key[2])
{
    size_t k = key[0] % SLOTS, w = (size_t)s->words;
    const Memo *m = &s->memo[k];

    if (n < LEAST || m->key[0] != key[0] || m->key[1] != key[1] ||
        m->cap < s->capacity)
        return false;
    memcpy(s->who, s->memo_sets + 2 * w * k, w * sizeof *s->who);
    memcpy(s->rest, s->memo_sets + 2 * w * k + w, w * sizeof *s->rest);
    return true;
}

void memo_put(Search *s, int n, const uint64_t key[2])
{
    size_t k = key[0] % SLOTS, w = (size_t)s->words;

    if (n < LEAST)
        return;
    s->memo[k] = (Memo){ { key[0], key[1] }, s->capacity };
    memcpy(s->memo_sets + 2 * w * k, s->who, w * sizeof *s->who);
    memcpy(s->memo_sets + 2 * w * k + w, s->rest, w * sizeof *s->rest);
}
