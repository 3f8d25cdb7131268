/* inputs.c - graph inputs: every dimension becomes a number here. A symbol
 * is bound by --dim, by symbol or as input:axis; a first dimension that
 * nobody bound is 1, since exporters leave the batch open. */
#include "build.h"

#include <string.h>

static DimBinding *binding_find(const Build *b, const char *key)
{
    for (DimBinding *d = b->opt->dims; d; d = d->next)
        if (!strcmp(d->key, key)) {
            d->used = true;
            return d;
        }
    return NULL;
}

static const char *axis_key(Build *b, const char *input, int axis)
{
    return arena_printf(b->g->arena, "%s:%d", input, axis);
}

/* Symbols of declarations may be bound too, so that types which depend on
 * data can be given. */
static void collect_symbols(Build *b, const ModelInfo *info, int n)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < info[i].rank; k++)
            if (info[i].dim[k].value < 0 && info[i].dim[k].symbol &&
                *info[i].dim[k].symbol)
                symbol_collect(b, info[i].dim[k].symbol);
}

static void bind_symbols(Build *b)
{
    for (Symbol *s = b->symbols; s; s = s->next) {
        DimBinding *d = binding_find(b, s->name);
        if (d) {
            s->value = d->value;
            s->by = d->key;
        }
    }
}

static const char *dim_symbol(const ModelDim *d)
{
    return d->value < 0 && d->symbol && *d->symbol ? d->symbol : NULL;
}

/* input:axis=N: this dimension, and its symbol when that has no value. */
static bool bind_axis(Build *b, const ModelInfo *in, int k, ModelDim *dim)
{
    const char *key = axis_key(b, in->name, k);
    DimBinding *d = binding_find(b, key);
    Symbol *s;

    if (!d)
        return true;
    if (dim->value >= 0 && dim->value != d->value)
        return diag_error(b->g->diag, "--dim %s=%lld: the model says %lld",
                          key, (long long)d->value, (long long)dim->value);
    s = dim_symbol(dim) ? symbol_get(b, dim->symbol) : NULL;
    if (s && s->value >= 0 && s->value != d->value)
        return diag_error(b->g->diag, "--dim %s=%lld: '%s' is already %lld, "
                          "by %s", key, (long long)d->value, s->name,
                          (long long)s->value, s->by);
    if (s) {
        s->value = d->value;
        s->by = d->key;
    }
    dim->value = d->value;
    return true;
}

/* A rank that is not declared: as many axes as bindings give. */
static void rank_from_bindings(Build *b, ModelInfo *in)
{
    int n = 0;

    if (in->rank >= 0)
        return;
    while (n < MAX_RANK && binding_find(b, axis_key(b, in->name, n)))
        n++;
    if (!n)
        return;
    in->rank = n;
    in->dim = NEW_ARRAY(b->g->arena, ModelDim, n);
    for (int i = 0; i < n; i++)
        in->dim[i].value = -1;
}

static bool check_input(Build *b, const ModelInfo *in)
{
    if (in->problem)
        return diag_error(b->g->diag, "input '%s': %s", in->name,
                          in->problem);
    if (in->dt == DT_NONE)
        return diag_error(b->g->diag, "input '%s' has no declared type",
                          in->name);
    if (in->rank < 0) {
        diag_error(b->g->diag, "input '%s' has no declared shape", in->name);
        diag_hint(b->g->diag, "--dim %s:0=N --dim %s:1=N ... gives one",
                  in->name, in->name);
        return false;
    }
    if (in->rank > MAX_RANK)
        return diag_error(b->g->diag, "input '%s' has rank %d, at most %d is "
                          "supported", in->name, in->rank, MAX_RANK);
    return true;
}

/* The first dimension of an input that nothing bound; those that depend on
 * others come last. */
static void bind_batch(Build *b, ModelInfo *in, bool formulas)
{
    ModelDim *d = in->dim;
    const char *name = in->rank > 0 ? dim_symbol(d) : NULL;
    Symbol *s = name ? symbol_get(b, name) : NULL;

    if (in->rank <= 0 || d->value >= 0 ||
        (name && symbol_value(b, name) >= 0))
        return;
    if (!formulas && name && strpbrk(name, "+-*/"))
        return;
    if (s) {
        s->value = 1;
        s->by = "default";
        diag_note(b->g->diag, "input '%s': dimension '%s' is taken as 1 "
                  "(--dim %s=N)", in->name, s->name, s->name);
    } else {
        d->value = 1;
        diag_note(b->g->diag, "input '%s': dimension 0 is taken as 1 "
                  "(--dim %s:0=N)", in->name, in->name);
    }
}

bool info_type(Build *b, const ModelInfo *info, Type *t)
{
    bool known = info->dt != DT_NONE && info->rank >= 0;

    t->dt = info->dt;
    t->rank = info->rank;
    if (info->rank < 0 || info->rank > MAX_RANK || info->problem) {
        t->rank = -1;
        return false;
    }
    for (int i = 0; i < info->rank; i++) {
        const char *name = dim_symbol(&info->dim[i]);
        t->dim[i] = name ? symbol_value(b, name) : info->dim[i].value;
        known = known && t->dim[i] >= 0;
    }
    return known;
}

/* Says which dimensions have no number; hints at the option. */
static bool report_open_dims(Build *b, const ModelInfo *in, const Type *t)
{
    for (int i = 0; i < t->rank; i++) {
        const char *name = dim_symbol(&in->dim[i]);
        if (t->dim[i] >= 0)
            continue;
        if (name)
            diag_error(b->g->diag, "input '%s': dimension %d is '%s', which "
                       "has no number", in->name, i, name);
        else
            diag_error(b->g->diag, "input '%s': dimension %d has no number",
                       in->name, i);
        diag_hint(b->g->diag, "--dim %s=128", name ? name :
                  axis_key(b, in->name, i));
    }
    return false;
}

static bool too_large(const Type *t)
{
    int64_t bytes = 8;

    for (int i = 0; i < t->rank; i++) {
        if (t->dim[i] && bytes > ((int64_t)1 << 40) / t->dim[i])
            return true;
        bytes *= t->dim[i];
    }
    return false;
}

static bool add_input(Build *b, const ModelInfo *in)
{
    Type t;
    Value *v;

    if (!info_type(b, in, &t))
        return report_open_dims(b, in, &t);
    if (too_large(&t))
        return diag_error(b->g->diag, "input '%s' is too large", in->name);
    v = graph_value(b->g, NULL, t);
    value_rename(b, v, in->name);
    scope_bind(b->scope, in->name, v);
    graph_add_input(b->g, v);
    return quant_set(b, v, in->quant);
}

/* output:axis=N, for a result whose length only its user knows */
static bool bind_outputs(Build *b)
{
    const ModelGraph *mg = &b->m->graph;
    Arena *a = b->g->arena;

    b->out = NEW_ARRAY(a, ModelInfo, mg->nout + 1);
    for (int i = 0; i < mg->nout; i++) {
        ModelInfo *o = &b->out[i];
        *o = mg->out[i];
        if (o->rank > 0)
            o->dim = arena_memdup(a, o->dim, (size_t)o->rank * sizeof *o->dim);
        for (int k = 0; k < o->rank; k++)
            if (!bind_axis(b, o, k, &o->dim[k]))
                return false;
    }
    declare_infos(b, b->out, mg->nout);
    return true;
}

static bool check_bindings_used(Build *b)
{
    bool ok = true;

    for (DimBinding *d = b->opt->dims; d; d = d->next)
        if (!d->used)
            ok = diag_error(b->g->diag, "--dim %s=%lld: the model has no "
                            "such dimension", d->key, (long long)d->value);
    if (!ok && b->symbols) {
        Buf names;
        buf_init(&names, b->g->scratch);
        for (Symbol *s = b->symbols; s; s = s->next)
            buf_printf(&names, " %s", s->name);
        diag_hint(b->g->diag, "its symbolic dimensions:%s", names.s);
    } else if (!ok) {
        diag_hint(b->g->diag, "the model has no symbolic dimensions");
    }
    return ok;
}

/* The graph inputs that are not initializers, with dims we may edit. */
static ModelInfo *true_inputs(Build *b, int *count)
{
    const ModelGraph *mg = &b->m->graph;
    Arena *a = b->g->arena;
    ModelInfo *in = NEW_ARRAY(a, ModelInfo, mg->nin + 1);
    Map inits;
    int n = 0;

    map_init(&inits, a);
    for (int i = 0; i < mg->ninit; i++)
        map_put(&inits, mg->init[i].name, &mg->init[i]);
    for (int i = 0; i < mg->nin; i++) {
        if (map_get(&inits, mg->in[i].name))
            continue;
        in[n] = mg->in[i];
        if (in[n].rank > 0)
            in[n].dim = arena_memdup(a, in[n].dim, (size_t)in[n].rank *
                                     sizeof *in[n].dim);
        n++;
    }
    *count = n;
    return in;
}

static bool bind_axes(Build *b, ModelInfo *in, int n)
{
    for (int i = 0; i < n; i++) {
        rank_from_bindings(b, &in[i]);
        if (!check_input(b, &in[i]))
            return false;
        for (int k = 0; k < in[i].rank; k++)
            if (!bind_axis(b, &in[i], k, &in[i].dim[k]))
                return false;
    }
    return true;
}

bool inputs_build(Build *b)
{
    const ModelGraph *mg = &b->m->graph;
    bool ok = true;
    int n;
    ModelInfo *in = true_inputs(b, &n);

    for (DimBinding *d = b->opt->dims; d; d = d->next)
        d->used = false;
    collect_symbols(b, in, n);
    collect_symbols(b, mg->out, mg->nout);
    collect_symbols(b, mg->info, mg->ninfo);
    bind_symbols(b);
    if (!bind_axes(b, in, n) || !bind_outputs(b))
        return false;
    for (int i = 0; i < 2 * n; i++)
        bind_batch(b, &in[i % n], i >= n);
    if (!check_bindings_used(b))
        return false;
    for (int i = 0; i < n; i++) {
        if (map_get(&b->scope->value, in[i].name))
            return diag_error(b->g->diag, "two inputs are named '%s'",
                              in[i].name);
        ok = add_input(b, &in[i]) && ok;
    }
    return ok;
}
