/* prove.c - --prove: after every pass the interpreter runs the graph on the
 * same inputs as before the first optional one, and the results are compared.
 * What goes wrong inside of mcufc leaves a reproducer: the text of the graph
 * as it was before the pass, which continues with that pass when it is
 * compiled. */
#include <stdlib.h>
#include <string.h>

#include "samples.h"
#include "verify.h"

enum { SAMPLES = 2 };

struct Proof {
    Samples samples;
    Tensor *want[SAMPLES];      /* outputs of the reference graph */
    const char *failed;         /* the pass that changed them */
};

/* Every run starts from states that are zero. */
static bool evaluate(Graph *g, const Tensor *in, Tensor *out, Arena *arena)
{
    for (State *s = g->state; s; s = s->next)
        s->data = NULL;
    return graph_eval(g, in, out, arena, NULL, NULL);
}

bool prove_begin(Compile *c)
{
    struct Proof *p = NEW(c->arena, struct Proof);
    Graph *g = reference_graph(c);

    if (!g)
        return false;
    samples_random(c, g, SAMPLES, &p->samples);
    for (int k = 0; k < SAMPLES; k++) {
        p->want[k] = NEW_ARRAY(c->arena, Tensor, g->nout);
        if (!evaluate(g, p->samples.list[k].in, p->want[k], c->arena))
            return false;
    }
    c->proof = p;
    return true;
}

/* For tests of this file: MCUFC_BREAK=PASS spoils the graph after it. */
static void spoil(Graph *g, const char *pass)
{
    const char *which = getenv("MCUFC_BREAK");

    for (int i = 0; which && !strcmp(which, pass) && i < g->nvalue; i++) {
        Value *v = g->value[i];
        if (!value_is_const(v) || v->type.dt != DT_F32)
            continue;
        float *x = arena_memdup(g->arena, v->data,
                                (size_t)type_bytes(&v->type));
        if (type_elems(&v->type))
            x[0] += 1;
        v->data = x;
        return;
    }
}

static bool compare(Compile *c, Graph *g, const char *pass, const Tensor *got,
                    const Tensor *want)
{
    for (int i = 0; i < g->nout; i++) {
        Tolerance tol = tolerance_for(g, g->out[i], &want[i]);
        Difference d = tensor_difference(&want[i].type, got[i].data,
                                         want[i].data, &tol);
        if (difference_ok(&d, &want[i].type, &tol))
            continue;
        diag_error(c->diag, "pass '%s' changes output '%s': element %lld is "
                   "%.9g, was %.9g", pass, g->out[i]->name,
                   (long long)d.worst, d.got, d.want);
        return false;
    }
    return true;
}

void prove_pass(Compile *c, const char *pass, Graph *g)
{
    struct Proof *p = c->proof;
    Arena *arena;

    if (!p || p->failed)
        return;
    spoil(g, pass);
    arena = arena_child(c->arena);
    for (int k = 0; k < SAMPLES && !p->failed; k++) {
        Tensor *out = NEW_ARRAY(arena, Tensor, g->nout);
        if (!evaluate(g, p->samples.list[k].in, out, arena) ||
            !compare(c, g, pass, out, p->want[k]))
            p->failed = pass;
    }
    arena_free(arena);
}

const char *prove_failed(const Compile *c)
{
    return c->proof ? c->proof->failed : NULL;
}

static void put_options(Buf *b, const Options *o)
{
    if (o->prove)
        buf_puts(b, " --prove");
    if (o->skip)
        buf_printf(b, " --skip=%s", o->skip);
    if (o->passes)
        buf_printf(b, " --passes=%s", o->passes);
    if (o->keep_inputs)
        buf_puts(b, " --keep-inputs");
    if (o->no_reuse)
        buf_puts(b, " --no-reuse");
}

void write_reproducer(Compile *c, const char *pass, const PassOptions *opt)
{
    static const char file[] = "mcufc-reproducer.mcu";
    PrintOptions po = { .inline_weights = true };
    PassOptions until = *opt;
    Graph *g = build_graph(c);
    const char *before = NULL;
    Buf b;

    for (const PassInfo *p = pass_list; p->name && strcmp(p->name, pass); p++)
        before = p->name;
    until.stop = before;
    until.after = NULL;
    until.check = false;
    if (!g || (before && !passes_run(g, &until)))
        return;
    buf_init(&b, c->arena);
    buf_puts(&b, "# RUN: mcufc %s");
    put_options(&b, c->opt);
    buf_printf(&b, " -o %%t.c\n# mcufc " MCUFC_VERSION ": pass '%s' fails "
               "here; inputs are random with seed 1\n", pass);
    graph_print(&b, g, &po);
    if (write_file(c, file, write_buf, &b))
        diag_hint(c->diag, "this is a bug of mcufc; please report it with "
                  "the file %s, which shows it", file);
}
