/* attrs.c - attributes of a draft: taken one by one by upgrades and
 * expansions, or put into a node's typed struct by the rows of attrs.def.
 * Whatever is left over is an error, so no attribute is silently ignored. */
#include "build.h"

#include <string.h>

static const char *const kind_names[] = {
    [MA_INT] = "an int", [MA_FLOAT] = "a float", [MA_STRING] = "a string",
    [MA_TENSOR] = "a tensor", [MA_GRAPH] = "a graph", [MA_INTS] = "ints",
    [MA_FLOATS] = "floats", [MA_STRINGS] = "strings",
    [MA_OTHER] = "of an unsupported kind",
};

static ModelAttr *find(const Draft *d, const char *name)
{
    for (int i = 0; i < d->nattr; i++)
        if (d->attr[i].name && !strcmp(d->attr[i].name, name))
            return &d->attr[i];
    return NULL;
}

const ModelAttr *draft_attr(const Draft *d, const char *name)
{
    return find(d, name);
}

void drop_attr(Draft *d, const char *name)
{
    ModelAttr *a = find(d, name);

    if (a)
        a->name = NULL;
}

static bool wrong_kind(Build *b, const Draft *d, const ModelAttr *a,
                       ModelAttrKind want)
{
    return draft_error(b, d, "attribute '%s' is %s, must be %s", a->name,
                       kind_names[a->kind], kind_names[want]);
}

/* [] has no kind of its own */
static bool is_empty_list(const ModelAttr *a)
{
    return (a->kind == MA_INTS && !a->ints.n) ||
           (a->kind == MA_FLOATS && !a->floats.n) ||
           (a->kind == MA_STRINGS && !a->strings.n);
}

static bool fits(const ModelAttr *a, ModelAttrKind want)
{
    if (a->kind == want)
        return true;
    if (want == MA_FLOAT && a->kind == MA_INT)
        return true;            /* `alpha = 2` in text */
    if (want == MA_INTS || want == MA_FLOATS || want == MA_STRINGS)
        return is_empty_list(a);
    return false;
}

/* The attribute, taken off the draft; NULL when it is absent or, with
 * b->failed set, of the wrong kind. */
static const ModelAttr *take(Build *b, Draft *d, const char *name,
                             ModelAttrKind kind)
{
    ModelAttr *a = find(d, name), *copy;

    if (!a)
        return NULL;
    if (!fits(a, kind)) {
        wrong_kind(b, d, a, kind);
        return NULL;
    }
    copy = arena_memdup(b->g->arena, a, sizeof *a);
    a->name = NULL;
    return copy;
}

/* Each returns false when the attribute is absent: *out keeps its value. */
bool take_int(Build *b, Draft *d, const char *name, int64_t *out)
{
    const ModelAttr *a = take(b, d, name, MA_INT);

    if (a)
        *out = a->i;
    return a != NULL;
}

bool take_float(Build *b, Draft *d, const char *name, float *out)
{
    const ModelAttr *a = take(b, d, name, MA_FLOAT);

    if (a)
        *out = a->kind == MA_INT ? (float)a->i : a->f;
    return a != NULL;
}

bool take_string(Build *b, Draft *d, const char *name, const char **out)
{
    const ModelAttr *a = take(b, d, name, MA_STRING);

    if (a)
        *out = a->s;
    return a != NULL;
}

bool take_ints(Build *b, Draft *d, const char *name, Ints *out)
{
    const ModelAttr *a = take(b, d, name, MA_INTS);

    if (a)
        *out = a->ints;
    return a != NULL;
}

bool take_floats(Build *b, Draft *d, const char *name, Floats *out)
{
    const ModelAttr *a = take(b, d, name, MA_FLOATS);

    if (a)
        *out = a->floats;
    return a != NULL;
}

bool take_tensor(Build *b, Draft *d, const char *name, ModelTensor **out)
{
    const ModelAttr *a = take(b, d, name, MA_TENSOR);

    if (a && a->t->problem) {
        draft_error(b, d, "attribute '%s': %s", name, a->t->problem);
        return false;
    }
    if (a)
        *out = a->t;
    return a != NULL;
}

bool take_graph(Build *b, Draft *d, const char *name, ModelGraph **out)
{
    const ModelAttr *a = take(b, d, name, MA_GRAPH);

    if (a)
        *out = a->g;
    return a != NULL;
}

bool attrs_known(Build *b, const Draft *d)
{
    for (int i = 0; i < d->nattr; i++)
        if (d->attr[i].name)
            return draft_error(b, d, "attribute '%s' is not known",
                               d->attr[i].name);
    return !b->failed;
}

static const ModelAttrKind model_kind[] = {
    [AK_int] = MA_INT, [AK_float] = MA_FLOAT, [AK_string] = MA_STRING,
    [AK_ints] = MA_INTS, [AK_floats] = MA_FLOATS, [AK_strings] = MA_STRINGS,
};

/* An empty list of another kind is empty in every kind. */
static void put(void *field, AttrKind kind, const ModelAttr *a)
{
    static const Ints no_ints;
    static const Floats no_floats;
    static const Strings no_strings;

    switch (kind) {
    case AK_int: *(int64_t *)field = a->i; break;
    case AK_float:
        *(float *)field = a->kind == MA_INT ? (float)a->i : a->f;
        break;
    case AK_string: *(const char **)field = a->s; break;
    case AK_ints:
        *(Ints *)field = a->kind == MA_INTS ? a->ints : no_ints;
        break;
    case AK_floats:
        *(Floats *)field = a->kind == MA_FLOATS ? a->floats : no_floats;
        break;
    case AK_strings:
        *(Strings *)field = a->kind == MA_STRINGS ? a->strings : no_strings;
        break;
    }
}

static bool fill_one(Build *b, const Draft *d, const ModelAttr *a, Node *n)
{
    const AttrInfo *info = attr_find(op_info(n->op), a->name);

    if (!info)
        return draft_error(b, d, "attribute '%s' is not known", a->name);
    if (!fits(a, model_kind[info->kind]))
        return wrong_kind(b, d, a, model_kind[info->kind]);
    put((char *)n->attr + info->offset, info->kind, a);
    return true;
}

bool attrs_fill(Build *b, const Draft *d, Node *n)
{
    const OpInfo *op = op_info(n->op);

    for (int i = 0; i < d->nattr; i++)
        if (d->attr[i].name && !fill_one(b, d, &d->attr[i], n))
            return false;
    for (int i = 0; i < op->nattr; i++)
        if (!strcmp(op->attr[i].def, "!") && !find(d, op->attr[i].name))
            return draft_error(b, d, "attribute '%s' is missing",
                               op->attr[i].name);
    return true;
}
