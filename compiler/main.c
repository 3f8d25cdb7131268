/* main.c - the command mcufc. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../codegen/targets.h"
#include "compile.h"

static bool use_color(const Options *o)
{
    const char *c = o->color ? o->color : "auto";

    if (!strcmp(c, "never") || getenv("NO_COLOR"))
        return false;
    return !strcmp(c, "always") || !*c || isatty(2);
}

static int list_passes(void)
{
    for (const PassInfo *p = pass_list; p->name; p++)
        printf("%-16s %s%s\n", p->name, p->help,
               p->required ? " (required)" : "");
    return EXIT_OK;
}

static int list_ops(Arena *arena)
{
    Buf b;

    buf_init(&b, arena);
    model_ops_doc(&b);
    fputs(b.s, stdout);
    return EXIT_OK;
}

static int start(Compile *c, Options *o)
{
    c->opt = o;
    c->diag->color = use_color(o);
    c->diag->quiet = o->quiet ? 2 : 0;
    if (o->help) {
        options_help(stdout);
        return EXIT_OK;
    }
    if (o->version) {
        printf("mcufc %s\n", MCUFC_VERSION);
        return EXIT_OK;
    }
    if (o->list_targets) {
        for (const Target *t = target_list; t->name; t++)
            printf("%-11s %s\n", t->name, t->help);
        return EXIT_OK;
    }
    if (o->ops)
        return list_ops(c->arena);
    if (o->list_passes)
        return list_passes();
    if (!o->model) {
        diag_error(c->diag, "no model given (see --help)");
        return EXIT_USAGE;
    }
    c->diag->file = o->model;
    return compile_run(c);
}

int main(int argc, char **argv)
{
    Diag diag = { .out = stderr };
    ArenaOom oom = { .limit = 0 };
    Compile c = { .diag = &diag };
    Options o;
    int rc;

    if (setjmp(oom.handler)) {
        diag_error(&diag, "out of memory: %zu bytes asked for", oom.wanted);
        return EXIT_BAD;
    }
    c.arena = arena_new(&oom);
    c.scratch = arena_new(&oom);
    if (!options_parse(&o, argc, argv, c.arena, &diag))
        rc = EXIT_USAGE;
    else
        rc = start(&c, &o);
    arena_free(c.scratch);
    arena_free(c.arena);
    return rc;
}
