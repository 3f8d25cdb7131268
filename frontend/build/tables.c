/* tables.c - the readers of opset.def and expand.def. */
#include "build.h"

#include <string.h>

enum { ALWAYS = OPSET_NEWEST + 1 };

typedef struct Upgrade {
    Op op;
    int first;
    UpgradeFn *fn;
} Upgrade;

typedef struct Expansion {
    const char *key[2];         /* domain, op */
    UpgradeFn *fn;
} Expansion;

static const Expansion expansions[] = {
#define EXPAND(domain, op, fn) { { domain, #op }, expand_##fn },
#define REFUSE(domain, op, why)
#include "expand.def"
#undef EXPAND
#undef REFUSE
    { { NULL, NULL }, NULL }
};

static const char *const refusals[][3] = {
#define EXPAND(domain, op, fn)
#define REFUSE(domain, op, why) { domain, #op, why },
#include "expand.def"
#undef EXPAND
#undef REFUSE
    { NULL, NULL, NULL }
};

static const Upgrade upgrades[] = {
#define UPGRADE(op, first, fn) { OP_##op, first, up_##fn },
#include "opset.def"
#undef UPGRADE
    { OP_NONE, 0, NULL }
};

static bool is_key(const char *const *key, const char *domain,
                   const char *op)
{
    return !strcmp(key[1], op) && domain_is(domain, key[0]);
}

UpgradeFn *expand_find(const char *domain, const char *op)
{
    for (const Expansion *e = expansions; e->fn; e++)
        if (is_key(e->key, domain, op))
            return e->fn;
    return NULL;
}

const char *refuse_find(const char *domain, const char *op)
{
    for (int i = 0; refusals[i][0]; i++)
        if (is_key(refusals[i], domain, op))
            return refusals[i][2];
    return NULL;
}

const char *const *expand_list(int i)
{
    return expansions[i].key[0] ? expansions[i].key : NULL;
}

const char *const *refuse_list(int i)
{
    return refusals[i][0] ? refusals[i] : NULL;
}

bool draft_upgrade(Build *b, Draft *d)
{
    if (d->version < 6)
        drop_attr(d, "consumed_inputs");
    for (const Upgrade *u = upgrades; u->fn; u++)
        if (u->op == d->id && d->version < u->first && !d->done &&
            !u->fn(b, d))
            return false;
    return !b->failed;
}
