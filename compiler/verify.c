/* verify.c - --verify: compiles the model to C, builds it with $CC, runs it
 * and compares its outputs with the interpreter (on the reference
 * graph, before any optional pass) and with the expected outputs of DIR. With a
 * Cortex-M --target it is built for that and runs under QEMU (board.h).
 *
 * The program that runs the model reads the inputs of all samples from one
 * file and writes all outputs to another. With --per-node it also writes the
 * results of every step, as they stand in the arena right after the step.
 */
#include "verify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../ir/region.h"
#include "board.h"
#include "samples.h"

typedef struct Verify {
    Compile *c;
    Codegen *cg;
    Graph *ref;                 /* without optional passes */
    Samples samples;
    int nset;                   /* settings of the widths; 1 without */
    const int **set;            /* a level per layer; NULL: no widths */
    const char *dir;            /* where we build */
    const uint8_t *got;         /* what the program wrote */
    size_t ngot;
    int failed, compared;
} Verify;

/* The program that runs the model */

/* Does the program run on a board of --target? */
static bool on_board(const Verify *v)
{
    return v->c->opt->target && strcmp(v->c->opt->target, "c99") != 0;
}

/* Is result i there whole when the step has run; or when the loops around it
 * are done, and the next step begins? */
static bool step_writes(const Node *n, int i)
{
    const Value *v = n->out[i];
    const Region *r = region_at(n->region, 0);

    if (!v || type_bytes(&v->type) == 0)
        return false;
    return !r || (!v->store && value_last_step(v) > r->last &&
                  r->last + 1 < n->graph->plan->nsteps);
}

static void put_dump(Verify *v, Buf *b, const Node *n)
{
    for (int i = 0; i < n->nout; i++)
        if (step_writes(n, i)) {
            buf_puts(b, "        board_write(");
            codegen_address(v->cg, b, n->out[i]);
            buf_printf(b, ", %lldu);\n",
                       (long long)type_bytes(&n->out[i]->type));
        }
}

static void put_dumps(Verify *v, Buf *b)
{
    const Node *loop = NULL;    /* the first step of loops that are done */

    buf_printf(b, "static void dump(const %s_arena *a, int step)\n{\n"
               "    switch (step) {\n", v->c->name);
    for EACH_NODE(n, v->c->g)
        if (!n->region) {
            buf_printf(b, "    case %d:\n", n->index);
            put_dump(v, b, n);
            buf_puts(b, "        break;\n");
        }
    buf_puts(b, "    default: break;\n    }\n}\n");
    /* a step in a loop begins in every turn: only the first one counts */
    buf_printf(b, "static void behind(const %s_arena *a, int step)\n{\n"
               "    static int last;\n\n    if (step == 0)\n"
               "        last = 0;\n    if (step <= last)\n"
               "        return;\n    last = step;\n    switch (step) {\n",
               v->c->name);
    for EACH_NODE(n, v->c->g) {
        const Region *top = loop ? region_at(loop->region, 0) : NULL;
        if (loop && region_at(n->region, 0) != top && codegen_has_step(n)) {
            buf_printf(b, "    case %d:\n", n->index);
            for (; loop && region_at(loop->region, 0) == top;
                 loop = loop->next)
                put_dump(v, b, loop);
            buf_puts(b, "        break;\n");
            loop = NULL;
        }
        if (!loop && n->region)
            loop = n;
    }
    buf_puts(b, "    default: break;\n    }\n}\n");
}

/* Every level, or what --width says. */
static void width_sets(Verify *v)
{
    const Graph *g = v->c->g;
    bool one = v->c->width || v->c->opt->per_node;

    v->nset = one || !g->nlevel ? 1 : g->nlevel;
    v->set = NEW_ARRAY(v->c->arena, const int *, v->nset);
    for (int k = 0; g->nlevel && k < v->nset; k++) {
        int *level = NEW_ARRAY(v->c->arena, int, g->nlayer);
        for (int i = 0; i < g->nlayer; i++)
            level[i] = one ? g->nlevel - 1 : k;
        v->set[k] = v->c->width ? v->c->width : level;
    }
}

static void put_widths(const Verify *v, Buf *b)
{
    const Graph *g = v->c->g;

    if (!g->nlevel)
        return;
    buf_printf(b, "static const uint8_t widths[%d][%d] = {\n", v->nset,
               g->nlayer);
    for (int k = 0; k < v->nset; k++) {
        buf_puts(b, "    { ");
        for (int i = 0; i < g->nlayer; i++)
            buf_printf(b, "%s%d", i ? ", " : "", v->set[k][i]);
        buf_puts(b, " },\n");
    }
    buf_puts(b, "};\n");
}

/* Bands are a part of the work; one too few or too many is an error. */
static void put_run(Verify *v, Buf *b)
{
    const Graph *g = v->c->g;
    Band band;

    if (!graph_band(g, &band)) {
        buf_printf(b, "        board_begin();\n        rc = %s_run(&arena);\n"
                   "        board_end();\n        if (rc)\n"
                   "            return 5;\n", v->c->name);
        return;
    }
    buf_printf(b, "        if (%s_run(&arena) == 0)\n            return 7;\n"
               "        board_begin();\n"
               "        for (rc = 0; rc < %lld; rc++)\n"
               "            if (board_read(%s(&arena), %lldu) ||\n"
               "                %s(&arena))\n                return 4;\n"
               "        if (%s(&arena) == 0)\n            return 7;\n"
               "        rc = %s_run(&arena);\n        board_end();\n"
               "        if (rc)\n            return 5;\n", v->c->name,
               (long long)band.bands, codegen_accessor(v->cg, band.input,
                                                       true),
               (long long)band_bytes(&band), codegen_push(v->cg, band.input),
               codegen_push(v->cg, band.input), v->c->name);
}

/* model_main(): every sample of in.bin through the model (see board.h). */
static void put_main(Verify *v, Buf *b)
{
    const Graph *g = v->c->g;
    const char *name = v->c->name;

    codegen_define_arena(v->cg, b, "arena");
    put_widths(v, b);
    buf_puts(b, "\nint model_main(void)\n{\n    int k, rc;\n\n");
    if (v->c->opt->weights_file)
        buf_printf(b, "    if (%s_set_weights(&arena, board_weights()))\n"
                   "        return 3;\n", name);
    buf_printf(b, "    %s_reset(&arena);\n    for (k = 0; k < %d; k++) {\n",
               name, v->nset * v->samples.n);
    if (g->nlevel)
        buf_printf(b, "        if (k %% %d == 0)\n"
                   "            %s_reset(&arena);\n"
                   "        if (%s_set_widths(&arena, widths[k / %d]))\n"
                   "            return 6;\n", v->samples.n, name, name,
                   v->samples.n);
    for (int i = 0; i < g->nin; i++)
        if (type_bytes(&g->in[i]->type) && !value_in_bands(g->in[i]))
            buf_printf(b, "        if (board_read(%s(&arena), %lldu))\n"
                       "            return 4;\n",
                       codegen_accessor(v->cg, g->in[i], true),
                       (long long)type_bytes(&g->in[i]->type));
    put_run(v, b);
    for (int i = 0; i < g->nout; i++)
        if (type_bytes(&g->out[i]->type))
            buf_printf(b, "        board_write(%s(&arena), %lldu);\n",
                       codegen_accessor(v->cg, g->out[i], false),
                       (long long)type_bytes(&g->out[i]->type));
    buf_puts(b, "    }\n    return 0;\n}\n");
}

static bool write_main(const void *what, FILE *out)
{
    const Buf *b = what;

    return fwrite(b->s, 1, b->n, out) == b->n;
}

static bool write_program(Verify *v)
{
    const char *upper = codegen_upper(v->cg);
    const char *kind = v->c->opt->pool.n ? "struct" : "union";
    Buf b;

    buf_init(&b, v->c->arena);
    buf_puts(&b, "#include \"board.h\"\n");
    if (v->c->opt->per_node) {
        buf_printf(&b, "#define %s_STEP_END(i) dump(a, i)\n"
                   "#define %s_STEP_BEGIN(i) behind(a, i)\n", upper, upper);
        buf_printf(&b, "%s %s_arena;\nstatic void dump(const %s %s_arena *a,"
                   " int step);\nstatic void behind(const %s %s_arena *a, "
                   "int step);\n", kind, v->c->name, kind, v->c->name, kind,
                   v->c->name);
    }
    buf_puts(&b, "#include \"model.c\"\n");
    if (v->c->opt->per_node)
        put_dumps(v, &b);
    put_main(v, &b);
    return write_file(v->c, arena_printf(v->c->arena, "%s/model_main.c",
                                         v->dir),
                      write_main, &b);
}

/* What comes in bands stands behind the other inputs. */
static bool write_sample(const Verify *v, const Tensor *in, FILE *out)
{
    const Graph *g = v->c->g;
    Band b;

    for (int i = 0; i < g->nin; i++) {
        size_t n = (size_t)type_bytes(&in[i].type);
        if (!value_in_bands(g->in[i]) && fwrite(in[i].data, 1, n, out) != n)
            return false;
    }
    for (int i = 0; i < g->nin; i++)
        if (value_in_bands(g->in[i]) && graph_band(g, &b)) {
            size_t n = (size_t)(b.bands * band_bytes(&b));
            if (fwrite(band_order(&b, in[i].data, v->c->arena), 1, n, out) !=
                n)
                return false;
        }
    return true;
}

static bool write_inputs(const void *what, FILE *out)
{
    const Verify *v = what;

    for (int k = 0; k < v->nset * v->samples.n; k++)
        if (!write_sample(v, v->samples.list[k % v->samples.n].in, out))
            return false;
    return true;
}

static bool write_c(const void *cg, FILE *out)
{
    return codegen_write_c(cg, out);
}

static bool write_w(const void *cg, FILE *out)
{
    return codegen_write_weights(cg, out);
}

static bool in_dir(Verify *v, const char *file, WriteFn *fn, const void *what)
{
    return write_file(v->c, arena_printf(v->c->arena, "%s/%s", v->dir, file),
                      fn, what);
}

static const char *file_bytes(Compile *c, const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    char *p = NULL;
    long size;

    *n = 0;
    if (f && fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) >= 0) {
        rewind(f);
        p = arena_alloc(c->arena, (size_t)size + 1);
        *n = fread(p, 1, (size_t)size, f);
    }
    if (f)
        fclose(f);
    return p;
}

/* The host runs first, then the board; floats may round differently there,
 * codes may not: the interpreter's comparison sees to that. */
static bool board_and_host(Verify *v)
{
    Compile *c = v->c;
    const char *path = arena_printf(c->arena, "%s/out.bin", v->dir);
    const char *host, *board;
    size_t nhost, nboard;

    if (!host_run(c, v->dir))
        return false;
    host = file_bytes(c, path, &nhost);
    if (!board_run(c, v->dir, v->cg))
        return false;
    board = file_bytes(c, path, &nboard);
    printf("%s: %s\n", c->opt->target,
           host && board && nhost == nboard && !memcmp(host, board, nhost)
               ? "the same output bytes as on the host"
               : "not the host's output bytes: floats, rounded otherwise");
    return true;
}

static bool build_and_run(Verify *v)
{
    Compile *c = v->c;

    if (!in_dir(v, "model.c", write_c, v->cg) || !write_program(v) ||
        !in_dir(v, "in.bin", write_inputs, v) ||
        (c->opt->weights_file && !in_dir(v, "w.bin", write_w, v->cg)))
        return false;
    return on_board(v) ? board_and_host(v) : host_run(c, v->dir);
}

static bool read_results(Verify *v)
{
    const char *path = arena_printf(v->c->arena, "%s/out.bin", v->dir);

    v->got = (const uint8_t *)file_bytes(v->c, path, &v->ngot);
    return v->got || diag_error(v->c->diag, "cannot read '%s'", path);
}

/* The next tensor of type t in what the program wrote, aligned. */
static void *next_result(Verify *v, size_t *at, const Type *t)
{
    size_t n = (size_t)type_bytes(t);
    void *p;

    if (*at + n > v->ngot)
        return NULL;
    p = arena_memdup(v->c->scratch, v->got + *at, n);
    *at += n;
    return p;
}

static void compare(Verify *v, const char *what, const Value *ref,
                    const void *got, const Tensor *want, Tolerance tol)
{
    Difference d = tensor_difference(&ref->type, got, want->data, &tol);
    bool ok = difference_ok(&d, &ref->type, &tol);

    v->compared++;
    v->failed += !ok;
    if (!ok || !v->c->diag->quiet)
        difference_print(what, ref->name, &d, ok);
}

static bool compare_sample(Verify *v, Graph *ref, const Sample *s,
                           bool widest, size_t *at)
{
    Tensor *want = NEW_ARRAY(v->c->arena, Tensor, ref->nout);

    if (!graph_eval(ref, s->in, want, v->c->arena, NULL, NULL))
        return false;
    for (int i = 0; i < ref->nout; i++) {
        const void *got = next_result(v, at, &ref->out[i]->type);
        if (!got)
            return diag_error(v->c->diag, "--verify: the built model wrote "
                              "too little");
        compare(v, "interpreter", ref->out[i], got, &want[i],
                tolerance_for(ref, ref->out[i], &want[i]));
        if (widest && s->want && s->want[i].data)
            compare(v, s->from, ref->out[i], got, &s->want[i],
                    tolerance_for_expected(ref, ref->out[i], &s->want[i]));
    }
    return true;
}

typedef struct PerNode {
    Verify *v;
    size_t at;
    const Node *bad;
    int steps, inside;          /* compared; seen in later ones only */
} PerNode;

static void check_node(void *user, const Node *n, const Tensor *const *in,
                       Tensor *const *out)
{
    PerNode *p = user;
    bool shown = n->nout == 0;

    (void)in;
    if (p->bad || !codegen_has_step(n))
        return;
    for (int i = 0; i < n->nout; i++)
        shown |= step_writes(n, i);
    p->inside += !shown;
    p->steps += shown;
    for (int i = 0; i < n->nout; i++) {
        const Value *y = n->out[i];
        Tolerance tol;
        Difference d;
        void *got;
        if (!step_writes(n, i) || !(got = next_result(p->v, &p->at,
                                                      &y->type)))
            continue;
        tol = tolerance_for(p->v->c->g, y, out[i]);
        d = tensor_difference(&y->type, got, out[i]->data, &tol);
        if (difference_ok(&d, &y->type, &tol))
            continue;
        p->bad = n;
        difference_print("per node", y->name, &d, false);
    }
}

/* Both sides run the optimized graph; the first step that differs is it. */
static bool verify_per_node(Verify *v)
{
    Graph *g = v->c->g;
    PerNode p = { .v = v };
    Tensor *out = NEW_ARRAY(v->c->arena, Tensor, g->nout);

    if (!graph_eval(g, v->samples.list[0].in, out, v->c->arena, check_node,
                    &p))
        return false;
    if (p.bad) {
        v->failed++;
        printf("first node that differs: step %d, '%s' (%s)\n", p.bad->index,
               p.bad->name, op_name(p.bad->op));
    } else {
        printf("per node: %d steps agree with the interpreter", p.steps);
        if (p.inside)
            printf("; %d in loops show in those behind them", p.inside);
        printf("\n");
    }
    return true;
}

static bool make_folder(Verify *v)
{
    const char *tmp = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    char *dir = arena_printf(v->c->arena, "%s/mcufc-verify-XXXXXX", tmp);

    v->dir = mkdtemp(dir);
    return v->dir || diag_error(v->c->diag, "cannot make a folder in '%s': "
                                "%s", tmp, strerror(errno));
}

static bool get_samples(Verify *v)
{
    const char *dir = v->c->opt->verify;

    if (*dir)
        return samples_load_dir(v->c, v->ref, dir, &v->samples);
    samples_random(v->c, v->ref, 3, &v->samples);
    return true;
}

/* Expected outputs of a file are those of the whole model. */
static bool is_widest(const Verify *v, const int *level)
{
    for (int i = 0; level && i < v->c->g->nlayer; i++)
        if (level[i] != v->c->g->nlevel - 1)
            return false;
    return true;
}

static bool verify_all(Verify *v)
{
    size_t at = 0;

    if (v->c->opt->per_node) {
        v->samples.n = 1;
        return build_and_run(v) && read_results(v) && verify_per_node(v);
    }
    if (!build_and_run(v) || !read_results(v))
        return false;
    for (int s = 0; s < v->nset; s++) {
        bool widest = is_widest(v, v->set[s]);
        Graph *ref = v->set[s] ? graph_at_width(v->ref, v->set[s]) : v->ref;
        if (!ref)
            return false;
        for (int k = 0; k < v->samples.n; k++)
            if (!compare_sample(v, ref, &v->samples.list[k], widest, &at))
                return false;
    }
    printf("verify: %d tensors of %d samples compared, %d differ\n",
           v->compared, v->samples.n, v->failed);
    return true;
}

int verify_model(Compile *c, Codegen *cg)
{
    Verify v = { .c = c, .cg = cg };

    v.ref = reference_graph(c);
    width_sets(&v);
    if (!v.ref || !get_samples(&v) || !make_folder(&v))
        return EXIT_BAD;
    if (!verify_all(&v))
        return EXIT_BAD;
    if (v.failed)
        diag_note(c->diag, "the program that differs is in %s", v.dir);
    else
        board_clean(c, v.dir);
    return v.failed ? EXIT_DIFFERS : EXIT_OK;
}
