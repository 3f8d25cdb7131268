/* manager.c - runs the pipeline of passes.def. */
#include "../ir/region.h"
#include "passes.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

const PassInfo pass_list[] = {
#define OPTIONAL false
#define REQUIRED true
#define PASS(name, kind, help) { #name, help, kind, pass_##name },
#include "passes.def"
#undef PASS
    { NULL, NULL, false, NULL }
};

static bool listed(const char *list, const char *name)
{
    size_t n = strlen(name);

    while (list && *list) {
        size_t len = strcspn(list, ",");
        if (len == n && !strncmp(list, name, n))
            return true;
        list += len + (list[len] == ',');
    }
    return false;
}

bool passes_known(const char *names, Diag *diag)
{
    while (names && *names) {
        size_t len = strcspn(names, ",");
        const PassInfo *p = pass_list;
        while (p->name && (strlen(p->name) != len ||
                           strncmp(names, p->name, len)))
            p++;
        if (!p->name)
            return diag_error(diag, "there is no pass '%.*s' (see "
                              "--list-passes)", (int)len, names);
        names += len + (names[len] == ',');
    }
    return true;
}

bool pass_skipped(const char *skip, const char *name)
{
    return listed(skip, name);
}

static bool wanted(const PassInfo *p, const PassOptions *opt, int nth)
{
    if (p->required)
        return true;
    if (opt->only && !listed(opt->only, p->name))
        return false;
    return !listed(opt->skip, p->name) &&
           (opt->bisect < 0 || nth < opt->bisect);
}

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A text that was printed after a pass goes on behind it; only the plan,
 * which the text has as annotations, is always made anew. */
static const PassInfo *first_pass(const Graph *g)
{
    const PassInfo *p = pass_list, *last, *loops = NULL;

    for (last = p; last[1].name; last++)
        if (!strcmp(last->name, "stream"))
            loops = last;
    while (g->after && p->name && strcmp(p->name, g->after))
        p++;
    if (!g->after || !p->name)
        p = pass_list;
    else if (p != last)
        p++;
    /* loops by hand: nothing before them can be run any more */
    return graph_has_regions(g) && p <= loops ? last : p;
}

/* A bug of ours: what was found has been said. */
static bool broken(const PassOptions *opt, const PassInfo *p)
{
    if (opt->broke)
        *opt->broke = p->name;
    return false;
}

/* Is p the pass `name`, or behind it? */
static bool from_on(const PassInfo *p, const char *name)
{
    const PassInfo *q = pass_list;

    if (!name)
        return false;
    while (q->name && strcmp(q->name, name))
        q++;
    return p >= q;
}

/* A pass that shapes computations runs on the model at every width; what
 * comes out is one graph again. */
static bool run_at_widths(const PassInfo *p, Graph *g,
                          const PassOptions *opt, bool *changed)
{
    int n = g->nlevel - 1, nlayer = g->nlayer;
    Graph **at = NEW_ARRAY(g->arena, Graph *, n + 1);
    bool other;

    for (int l = 0; l < n; l++)
        if (!(at[l] = graph_at_level(g, l)))
            return false;
    for (int i = 0; i < g->nvalue; i++)
        g->value[i]->narrow = NULL;
    g->nlevel = g->nlayer = 0;
    graph_tidy(g);
    if (!p->run(g, opt, changed))
        return false;
    for (int l = 0; l < n; l++) {
        graph_tidy(at[l]);
        if (!p->run(at[l], opt, &other))
            return false;
    }
    return graph_join_widths(g, at, nlayer);
}

/* From the order of steps on only the widest model counts; the others lie in
 * its places, which is checked for each. */
static bool run_widest(const PassInfo *p, Graph *g, const PassOptions *opt,
                       bool *changed)
{
    Graph **at;

    if (!p->run(g, opt, changed))
        return false;
    at = widths_attach(g);
    for (int l = 0; at && g->plan && l < g->nlevel - 1; l++)
        if (!plan_check(at[l]))
            return false;
    return at != NULL;
}

static bool run_pass(const PassInfo *p, Graph *g, const PassOptions *opt,
                     bool *changed)
{
    if (!g->nlevel)
        return p->run(g, opt, changed);
    return from_on(p, "schedule") ? run_widest(p, g, opt, changed)
                                  : run_at_widths(p, g, opt, changed);
}

bool passes_run(Graph *g, const PassOptions *opt)
{
    int nth = 0;

    graph_tidy(g);
    if (g->nlevel && !widths_attach(g))
        return false;
    graph_number(g);            /* options may have changed a text's input */
    if (!bands_verify(g))
        return false;
    for (const PassInfo *p = first_pass(g); p->name; p++) {
        double start = seconds();
        bool changed = false;
        if (from_on(p, opt->before))
            break;
        if (!wanted(p, opt, nth))
            continue;
        nth += !p->required;
        if (!run_pass(p, g, opt, &changed))
            return p->run == pass_plan && !g->placed ? broken(opt, p) : false;
        g->after = p->name;
        graph_tidy(g);
        arena_reset(g->scratch);
        if (opt->check && !graph_verify(g)) {
            diag_error(g->diag, "pass '%s' left a broken graph", p->name);
            return broken(opt, p);
        }
        if (opt->time)
            fprintf(g->diag->out, "%10.3f ms  %s\n",
                    (seconds() - start) * 1e3, p->name);
        if (opt->after)
            opt->after(opt->user, p->name, g, changed);
        if (opt->stop && !strcmp(opt->stop, p->name))
            break;
    }
    return true;
}
