/* model.c - graphs, functions and headers, put together from what make.c
 * made of their parts. */
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void body_open(Text *t, Span at, Vec **pending)
{
    *pending = t->pending;
    t->pending = NULL;
    if (++t->depth > MAX_BODIES) {
        text_error(t, at, "graphs nested more than %d deep", MAX_BODIES);
        t->fatal = true;
    }
}

void body_close(Text *t, Vec *pending)
{
    t->pending = pending;
    if (--t->depth == 0)
        t->unit = t->last;      /* it has been looked at */
}

/* Parameters that are constants are no inputs, when `constants` collects. */
static ModelInfo *infos_of(Text *t, const Vec *v, int *count,
                           Vec **constants)
{
    ModelInfo *list = NEW_ARRAY(t->arena, ModelInfo, v ? v->n : 0);
    int n = 0;

    for (int i = 0; v && i < v->n; i++) {
        const Param *p = v->v[i];
        if (p->init && constants)
            *constants = vec_add(t, *constants, p->init);
        else
            list[n++] = p->info;
    }
    *count = n;
    return list;
}

static void check_constants(Text *t, const ModelGraph *g, Span at)
{
    Map seen;

    map_init(&seen, t->scratch);
    for (int i = 0; i < g->ninit; i++)
        if (map_put(&seen, g->init[i].name, t))
            text_error(t, at, "two constants are named '%.100s'",
                       g->init[i].name);
}

static void make_graph(Text *t, const Unit *u, ModelGraph *g)
{
    Vec *constants = NULL;

    g->name = u->name;
    g->in = infos_of(t, u->in, &g->nin, &constants);
    g->out = infos_of(t, u->out, &g->nout, &constants);
    g->info = infos_of(t, u->infos, &g->ninfo, &constants);
    g->init = vec_flatten(t, constants, sizeof *g->init, &g->ninit);
    g->node = vec_flatten(t, u->nodes, sizeof *g->node, &g->nnode);
    check_constants(t, g, u->at);
}

ModelAttr *make_graph_attr(Text *t, const Unit *u)
{
    ModelAttr *a = attr_new(t, MA_GRAPH);

    a->g = NEW(t->arena, ModelGraph);
    make_graph(t, u, a->g);
    return a;
}

static ModelOpset *opsets_of(Text *t, const Vec *list, int *count)
{
    ModelOpset *o = NEW_ARRAY(t->arena, ModelOpset, list->n);

    for (int i = 0; i < list->n; i++) {
        const Pair *p = list->v[i];
        o[i].domain = strcmp(p->key, "ai.onnx") ? p->key : "";
        o[i].version = p->i;
        if (p->s)
            text_error(t, p->at, "an opset's version is a number");
    }
    *count = list->n;
    return o;
}

static bool is_quiet_key(const char *key)
{
    static const char *const keys[] = {
        "producer_name", "producer_version", "domain", "model_version",
        "doc_string", "overload",
    };

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (!strcmp(keys[i], key))
            return true;
    return false;
}

static void read_width(Text *t, Model *m, const Pair *p, const char *spec)
{
    ModelWidth *w = NEW(t->arena, ModelWidth);

    w->spec = spec;
    w->at = p->s;
    w->next = m->facts.width;
    m->facts.width = w;
}

/* Facts that --dump-after and -o FILE.mcu add, see ir/print.c. */
static void read_fact(Text *t, Model *m, const Pair *p)
{
    static const char state[] = "mcufc.state:", width[] = "mcufc.width:";
    unsigned long long h;

    if (strncmp(p->key, "mcufc.", 6) || !p->s)
        return;
    if (!strcmp(p->key, "mcufc.hash") && sscanf(p->s, "%16llx", &h) == 1) {
        m->hash[0] = (uint32_t)(h >> 32);
        m->hash[1] = (uint32_t)h;
    } else if (!strcmp(p->key, "mcufc.opset")) {
        m->facts.has_opset = true;
        m->facts.opset = strtoll(p->s, NULL, 10);
    } else if (!strcmp(p->key, "mcufc.source")) {
        m->facts.source = p->s;
    } else if (!strcmp(p->key, "mcufc.after")) {
        m->facts.after = p->s;
    } else if (!strcmp(p->key, "mcufc.overlap")) {
        m->facts.overlap = true;
    } else if (!strcmp(p->key, "mcufc.plan")) {
        m->facts.plan = p->s;
    } else if (!strcmp(p->key, "mcufc.widths")) {
        m->facts.widths = p->s;
    } else if (!strncmp(p->key, width, sizeof width - 1)) {
        read_width(t, m, p, p->key + sizeof width - 1);
    } else if (!strncmp(p->key, state, sizeof state - 1)) {
        ModelState *s = NEW(t->arena, ModelState);
        ModelState **link = &m->facts.state;
        s->in = p->key + sizeof state - 1;
        s->out = p->s;
        while (*link)
            link = &(*link)->next;
        *link = s;
    }
}

static void unknown_key(Text *t, const Pair *p)
{
    text_error(t, p->at, "a header has no '%.60s'", p->key);
    text_hint(t, "ir_version, opset_import, producer_name, producer_version, "
              "domain, model_version, doc_string or metadata_props");
}

static void model_header(Text *t, Model *m, const Vec *header)
{
    for (int i = 0; header && i < header->n; i++) {
        const Pair *p = header->v[i];
        if (!strcmp(p->key, "ir_version"))
            m->ir_version = p->i;
        else if (!strcmp(p->key, "opset_import") && p->list)
            m->opset = opsets_of(t, p->list, &m->nopset);
        else if (!strcmp(p->key, "metadata_props") && p->list)
            for (int k = 0; k < p->list->n; k++)
                read_fact(t, m, p->list->v[k]);
        else if (!is_quiet_key(p->key))
            unknown_key(t, p);
    }
    if (!m->nopset) {           /* a text without a header: the newest */
        m->opset = NEW(t->arena, ModelOpset);
        m->opset->domain = "";
        m->opset->version = OPSET_IR;
        m->nopset = 1;
    }
}

static void function_header(Text *t, ModelFunction *f, const Vec *header)
{
    f->domain = f->overload = "";
    for (int i = 0; header && i < header->n; i++) {
        const Pair *p = header->v[i];
        if (!strcmp(p->key, "domain") && p->s)
            f->domain = strcmp(p->s, "ai.onnx") ? p->s : "";
        else if (!strcmp(p->key, "overload") && p->s)
            f->overload = p->s;
        else if (!strcmp(p->key, "opset_import") && p->list)
            f->opset = opsets_of(t, p->list, &f->nopset);
        else if (strcmp(p->key, "doc_string") &&
                 strcmp(p->key, "metadata_props"))
            unknown_key(t, p);
    }
}

static const char **param_names(Text *t, const Vec *v, int *count,
                                Vec **typed)
{
    const char **list = NEW_ARRAY(t->arena, const char *, v ? v->n : 0);

    *count = v ? v->n : 0;
    for (int i = 0; i < *count; i++) {
        Param *p = v->v[i];
        list[i] = p->info.name;
        if (p->init)
            text_error(t, p->at, "a function's parameter has no value");
        if (p->typed)
            *typed = vec_add(t, *typed, p);
    }
    return list;
}

static void function_attrs(Text *t, ModelFunction *f, const Vec *v)
{
    int n = v ? v->n : 0;

    f->attr = NEW_ARRAY(t->arena, const char *, n);
    f->fallback = NEW_ARRAY(t->arena, ModelAttr, n);
    for (int i = 0; i < n; i++) {
        const ModelAttr *a = v->v[i];
        if (a->kind == MA_OTHER && a->ref == a->name)
            f->attr[f->nattr++] = a->name;
        else
            f->fallback[f->ndefault++] = *a;
    }
}

static void make_function(Text *t, const Unit *u, ModelFunction *f)
{
    Vec *typed = NULL;

    f->name = u->name;
    function_header(t, f, u->header);
    function_attrs(t, f, u->attrs);
    f->in = param_names(t, u->in, &f->nin, &typed);
    f->out = param_names(t, u->out, &f->nout, &typed);
    for (int i = 0; u->infos && i < u->infos->n; i++) {
        const Param *p = u->infos->v[i];
        if (p->init)
            text_error(t, p->at, "a function has no constants of its own");
        typed = vec_add(t, typed, u->infos->v[i]);
    }
    f->info = infos_of(t, typed, &f->ninfo, NULL);
    f->node = vec_flatten(t, u->nodes, sizeof *f->node, &f->nnode);
}

void make_model(Text *t, Vec *units)
{
    Model *m = t->model;
    const Unit *first = units->v[0];

    model_header(t, m, first->header);
    if (first->attrs)
        text_error(t, first->at, "a graph has no attributes; the first one "
                   "is the model's");
    make_graph(t, first, &m->graph);
    m->nfunction = units->n - 1;
    m->function = NEW_ARRAY(t->arena, ModelFunction, m->nfunction);
    for (int i = 1; i < units->n; i++)
        make_function(t, units->v[i], &m->function[i - 1]);
}
