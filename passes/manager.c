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
    if (graph_has_regions(g))   /* scheduled by hand: only planned */
        return &pass_list[sizeof pass_list / sizeof pass_list[0] - 2];
    for (const PassInfo *p = pass_list; g->after && p->name; p++)
        if (!strcmp(p->name, g->after) && strcmp(p->name, "plan"))
            return p + 1;
        else if (!strcmp(p->name, g->after))
            return p;
    return pass_list;
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

bool passes_run(Graph *g, const PassOptions *opt)
{
    int nth = 0;

    graph_tidy(g);
    for (const PassInfo *p = first_pass(g); p->name; p++) {
        double start = seconds();
        bool changed = false;
        if (from_on(p, opt->before))
            break;
        if (!wanted(p, opt, nth))
            continue;
        nth += !p->required;
        if (!p->run(g, opt, &changed))
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
