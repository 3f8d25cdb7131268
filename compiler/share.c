/* share.c - --share-arena: several models in one arena, one C file.
 *
 * They run one after the other, so only what survives a run is kept apart:
 * the arena begins with every model's state region, and behind them all
 * models use the same bytes. Each model is planned as ever and moved behind
 * the states; the arena is as large as the largest needs. Kernels and equal
 * constants are in the file once.
 */
#include "compile.h"

#include <string.h>
#include <strings.h>

static const char *stem_of(Compile *c, const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const char *dot = strrchr(base, '.');

    return c_identifier(c->arena, arena_strndup(
        c->arena, base, dot && dot != base ? (size_t)(dot - base)
                                           : strlen(base)));
}

/* Does one of the prefixes make symbols that may be the other's? */
static bool clash(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), least = n < m ? n : m;

    if (strncasecmp(a, b, least))
        return false;
    return n == m || (n < m ? b[n] : a[m]) == '_';
}

static bool name_models(Compile *c, Compile *model, int n)
{
    for (int k = 0; k < n; k++) {
        model[k].name = stem_of(c, model[k].opt->model);
        if (clash(model[k].name, c->name)) {
            diag_error(c->diag, "--share-arena: the arena's prefix '%s' and "
                       "the model's '%s' clash", c->name, model[k].name);
            diag_hint(c->diag, "--name ID, or another output file");
            return false;
        }
        for (int i = 0; i < k; i++)
            if (clash(model[k].name, model[i].name))
                return diag_error(c->diag, "--share-arena: the prefixes '%s' "
                                  "and '%s' clash: rename a file",
                                  model[i].name, model[k].name);
    }
    return true;
}

/* What `STEM:VALUE` says is for that model alone; NULL: for another. */
static const char *own_value(const char *s, const char *name,
                             const Compile *model, int n)
{
    const char *colon = strchr(s, ':');

    for (int k = 0; colon && k < n; k++)
        if (strlen(model[k].name) == (size_t)(colon - s) &&
            !strncmp(model[k].name, s, (size_t)(colon - s)))
            return strcmp(model[k].name, name) ? NULL : colon + 1;
    return s;
}

/* `words`: whole options, --state=STEM:VALUE */
static Strings for_model(Compile *c, const Strings *list, const char *name,
                         const Compile *model, int n, bool words)
{
    Strings out = { 0, NEW_ARRAY(c->arena, const char *, list->n + 1) };

    for (int i = 0; i < list->n; i++) {
        const char *s = list->v[i], *eq = words ? strchr(s, '=') : NULL;
        const char *value = eq ? eq + 1 : s;
        const char *own = own_value(value, name, model, n);
        if (own)
            out.v[out.n++] = own == value ? s : !eq ? own
                : arena_printf(c->arena, "%.*s=%s", (int)(eq - s), s, own);
    }
    return out;
}

static void own_options(Compile *c, Compile *m, Compile *model, int n)
{
    Options *o = NEW(c->arena, Options);

    *o = *m->opt;
    o->dim = for_model(c, &c->opt->dim, m->name, model, n, false);
    o->state = for_model(c, &c->opt->state, m->name, model, n, false);
    o->input_norm = for_model(c, &c->opt->input_norm, m->name, model, n,
                              false);
    o->shape = for_model(c, &c->opt->shape, m->name, model, n, true);
    m->opt = o;
}

static bool refused(Compile *c)
{
    const Options *o = c->opt;
    const char *what = o->pool.n ? "--pool"
        : o->stream_input ? "--stream-input" : o->weights_file
        ? "--weights-file" : o->run ? "--run" : o->info ? "--info"
        : o->check_plan ? "--check-plan" : o->dump_after ? "--dump-after"
        : o->dump_change ? "--dump-change" : o->prove ? "--prove"
        : o->verify ? "--verify" : NULL;

    if (what)
        diag_error(c->diag, "--share-arena does not go with %s", what);
    else if (o->output && !has_suffix(o->output, ".c"))
        diag_error(c->diag, "--share-arena writes C, not '%s'", o->output);
    else
        return false;
    return true;
}

static Compile *make_models(Compile *c, int *count)
{
    int n = c->opt->more.n + 1;
    Compile *model = NEW_ARRAY(c->arena, Compile, n);

    for (int k = 0; k < n; k++) {
        Options *o = NEW(c->arena, Options);
        *o = *c->opt;
        o->model = k ? c->opt->more.v[k - 1] : c->opt->model;
        model[k] = *c;
        model[k].opt = o;
    }
    if (!name_models(c, model, n))
        return NULL;
    for (int k = 0; k < n; k++)
        own_options(c, &model[k], model, n);
    *count = n;
    return model;
}

/* The models' plans into one arena. */
static bool join_plans(Compile *c, Compile *model, int n)
{
    Graph **g = NEW_ARRAY(c->arena, Graph *, n);

    for (int k = 0; k < n; k++)
        g[k] = model[k].g;
    return plans_share(g, n);
}

static int over_budget(Compile *c, Compile *model, Codegen **cg, int n)
{
    int most = 0, rc;

    for (int k = 1; k < n; k++)
        if (model[k].g->plan->lower_bound > model[most].g->plan->lower_bound)
            most = k;
    c->diag->file = model[most].opt->model;
    rc = budget_check(&model[most], cg[0]);
    c->diag->file = c->opt->model;
    return rc;
}

int share_run(Compile *c)
{
    Codegen **cg;
    Compile *model;
    int n, rc;

    if (refused(c) || !(model = make_models(c, &n)))
        return EXIT_USAGE;
    cg = NEW_ARRAY(c->arena, Codegen *, n);
    for (int k = 0; k < n; k++) {
        c->diag->file = model[k].opt->model;
        rc = compile_graph(&model[k]);
        if (rc != EXIT_OK)
            return rc;
    }
    if (!join_plans(c, model, n))
        return EXIT_BUG;
    for (int k = 0; k < n; k++) {
        c->diag->file = model[k].opt->model;
        cg[k] = generate(&model[k], c->name, k ? cg[0] : NULL);
        if (!cg[k])
            return EXIT_BAD;
    }
    rc = over_budget(c, model, cg, n);
    if (rc == EXIT_OK && !write_code(c, cg[0]))
        return EXIT_BAD;
    return write_report(model, cg, n) ? rc : EXIT_BAD;
}
