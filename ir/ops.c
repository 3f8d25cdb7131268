/* ops.c - the op and attribute tables, expanded from ops.def, attrs.def. */
#include "hooks.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define STEM(s) static const AttrInfo attrs_##s[] = {
#define ATTR(s, kind, name, def)                                          \
    { #name, AK_##kind, offsetof(Attr_##s, name), def },
#define END(s) { NULL, AK_int, 0, NULL } };
#include "attrs.def"
#undef STEM
#undef ATTR
#undef END

#define NATTR(s) (int)(sizeof attrs_##s / sizeof attrs_##s[0] - 1)

static const OpInfo ops[OP_COUNT] = {
    [OP_NONE] = { .name = "?" },
#define OP(name, imin, imax, omin, omax, attrs, infer, eval, traits)      \
    [OP_##name] = { #name, imin, imax, omin, omax, NATTR(attrs),          \
                    attrs_##attrs, (int)sizeof(Attr_##attrs),             \
                    infer_##infer, eval_##eval, traits },
#include "ops.def"
#undef OP
};

const OpInfo *op_info(Op op)
{
    return &ops[op];
}

const char *op_name(Op op)
{
    return ops[op].name;
}

Op op_by_name(const char *name)
{
    for (int i = 1; i < OP_COUNT; i++)
        if (!strcmp(ops[i].name, name))
            return (Op)i;
    return OP_NONE;
}

/* Changes of one letter that lead from a to b, in any case of letters; 3
 * stands for more than two. */
static int distance(const char *a, const char *b, int left)
{
    int best;

    while (*a && (*a | 32) == (*b | 32))
        a++, b++;
    if (!*a && !*b)
        return 0;
    if (left <= 0)
        return 3;
    best = *a && *b ? distance(a + 1, b + 1, left - 1) : 3;
    if (*a && distance(a + 1, b, left - 1) < best)
        best = distance(a + 1, b, left - 1);
    if (*b && distance(a, b + 1, left - 1) < best)
        best = distance(a, b + 1, left - 1);
    return best < 3 ? best + 1 : 3;
}

Op op_nearest(const char *name)
{
    Op best = OP_NONE;
    int least = strlen(name) > 5 ? 3 : 2;

    for (int i = 1; i < OP_COUNT && least; i++) {
        int d = distance(name, ops[i].name, least - 1);
        if (d < least) {
            least = d;
            best = (Op)i;
        }
    }
    return best;
}

bool op_has(Op op, unsigned trait)
{
    return (ops[op].traits & trait) != 0;
}

const AttrInfo *attr_find(const OpInfo *op, const char *name)
{
    for (int i = 0; i < op->nattr; i++)
        if (!strcmp(op->attr[i].name, name))
            return &op->attr[i];
    return NULL;
}

void attr_set_defaults(const OpInfo *op, void *attr, Arena *arena)
{
    memset(attr, 0, (size_t)op->attr_bytes);
    for (int i = 0; i < op->nattr; i++) {
        const AttrInfo *a = &op->attr[i];
        char *field = (char *)attr + a->offset;
        bool given = strcmp(a->def, "!") != 0;
        if (a->kind == AK_int)
            *(int64_t *)(void *)field = given ? strtoll(a->def, NULL, 10) : 0;
        else if (a->kind == AK_float)
            *(float *)(void *)field = given ? strtof(a->def, NULL) : 0;
        else if (a->kind == AK_string)
            *(const char **)(void *)field =
                arena_strdup(arena, given ? a->def : "");
    }
}

static bool same_floats(const Floats *a, const Floats *b)
{
    return a->n == b->n &&
           (!a->n || !memcmp(a->v, b->v, (size_t)a->n * sizeof *a->v));
}

static bool same_strings(const Strings *a, const Strings *b)
{
    if (a->n != b->n)
        return false;
    for (int i = 0; i < a->n; i++)
        if (strcmp(a->v[i], b->v[i]))
            return false;
    return true;
}

bool attr_field_equal(AttrKind kind, const void *a, const void *b)
{
    const Ints *ia = a, *ib = b;

    switch (kind) {
    case AK_int: return !memcmp(a, b, sizeof(int64_t));
    case AK_float: return !memcmp(a, b, sizeof(float));
    case AK_string:
        return !strcmp(*(const char *const *)a, *(const char *const *)b);
    case AK_ints:
        return ia->n == ib->n &&
               (!ia->n || !memcmp(ia->v, ib->v, (size_t)ia->n * 8));
    case AK_floats: return same_floats(a, b);
    case AK_strings: return same_strings(a, b);
    }
    return false;
}

bool attr_equal(const OpInfo *op, const void *a, const void *b)
{
    for (int i = 0; i < op->nattr; i++) {
        int at = op->attr[i].offset;
        if (!attr_field_equal(op->attr[i].kind, (const char *)a + at,
                        (const char *)b + at))
            return false;
    }
    return true;
}
