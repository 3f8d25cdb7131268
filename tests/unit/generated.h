/* generated.h - runs a graph twice: in the interpreter as it was built, and
 * as generated C after all passes, compiled under the strict warnings with
 * address and undefined-behaviour sanitizers. CC names the compiler. */
#ifndef MCUFC_GENERATED_H
#define MCUFC_GENERATED_H

#include <math.h>

#include "../../codegen/codegen.h"
#include "../../passes/passes.h"
#include "test.h"

#ifndef GENERATED_FLAGS         /* a test may choose them at run time, */
#define GENERATED_FLAGS GENERATED_STRICT
#endif
#ifndef GENERATED_SKIP          /* leave passes out, */
#define GENERATED_SKIP NULL
#endif
#ifndef GENERATED_PLANNED       /* change the planned graph g, */
#define GENERATED_PLANNED(g)
#endif
#ifndef GENERATED_NOTE          /* say what is built where it fails, */
#define GENERATED_NOTE "test"
#endif
#ifndef GENERATED_CC            /* and choose the compiler */
#define GENERATED_CC (getenv("CC") ? getenv("CC") : "cc")
#endif
#define GENERATED_STRICT "-std=c99 -O1 -Wall -Wextra -Wpedantic "            \
    "-Wconversion -Wsign-conversion -Wshadow -Wmissing-prototypes "         \
    "-Wdouble-promotion -Werror -fsanitize=address,undefined "              \
    "-fno-sanitize-recover=all"

/* A program that reads all inputs from one file and writes all outputs to
 * another; the arena is exactly as large as it says. */
static inline void generated_main(Buf *b, Graph *g, const Codegen *cg)
{
    buf_puts(b, "#include \"m.c\"\n#include <stdio.h>\n#include <stdlib.h>\n"
             "int main(int argc, char **argv)\n{\n"
             "    m_arena *a = malloc(sizeof *a);\n"
             "    FILE *f = argc == 3 ? fopen(argv[1], \"rb\") : NULL;\n\n"
             "    if (!a || !f)\n        return 1;\n"
             "    memset(a, 0xa5, sizeof *a);\n    m_reset(a);\n");
    for (int i = 0; i < g->nin; i++)
        if (type_bytes(&g->in[i]->type))
            buf_printf(b, "    if (fread(%s(a), %lld, 1, f) != 1)\n"
                       "        return 1;\n",
                       codegen_accessor(cg, g->in[i], true),
                       (long long)type_bytes(&g->in[i]->type));
    buf_puts(b, "    fclose(f);\n    if (m_run(a))\n        return 2;\n"
             "    f = fopen(argv[2], \"wb\");\n    if (!f)\n"
             "        return 1;\n");
    for (int i = 0; i < g->nout; i++)
        if (type_bytes(&g->out[i]->type))
            buf_printf(b, "    fwrite(%s(a), %lld, 1, f);\n",
                       codegen_accessor(cg, g->out[i], false),
                       (long long)type_bytes(&g->out[i]->type));
    buf_puts(b, "    free(a);\n    return fclose(f) != 0;\n}\n");
}

static inline void generated_build(Graph *g, const Codegen *cg)
{
    char command[2048];
    FILE *out = fopen(test_path("m.c"), "w");
    Buf b;

    ck_assert_ptr_nonnull(out);
    ck_assert(codegen_write_c(cg, out));
    ck_assert_int_eq(fclose(out), 0);
    buf_init(&b, g->arena);
    generated_main(&b, g, cg);
    test_file("main.c", b.s, b.n);
    snprintf(command, sizeof command, "cd '%s' && %s %s main.c -o prog -lm",
             test_folder(), GENERATED_CC, GENERATED_FLAGS);
    ck_assert_msg(system(command) == 0, "%s: the C does not compile: %s",
                  GENERATED_NOTE, command);
}

static inline void generated_files(Graph *g, const Tensor *in, Tensor *out)
{
    FILE *f = fopen(test_path("in"), "wb");
    char command[512];

    for (int i = 0; i < g->nin; i++)
        fwrite(in[i].data, 1, (size_t)type_bytes(&in[i].type), f);
    ck_assert_int_eq(fclose(f), 0);
    snprintf(command, sizeof command, "cd '%s' && ./prog in out",
             test_folder());
    ck_assert_msg(system(command) == 0, "%s: the generated code fails: %s",
                  GENERATED_NOTE, GENERATED_FLAGS);
    f = fopen(test_path("out"), "rb");
    ck_assert_ptr_nonnull(f);
    for (int i = 0; i < g->nout; i++) {
        size_t n = (size_t)type_bytes(&g->out[i]->type);
        out[i].type = g->out[i]->type;
        out[i].data = arena_alloc(g->arena, n + 1);
        ck_assert_uint_eq(fread(out[i].data, 1, n, f), n);
    }
    fclose(f);
}

/* out[i] for g->out[i]; g has been through all passes afterwards */
static inline void generated_run(Fixture *f, Graph *g, const Tensor *in,
                                 Tensor *out)
{
    PassOptions po = { .bisect = -1, .check = true,
                       .skip = GENERATED_SKIP,
                       .scratch = codegen_scratch };
    CodegenOptions co = { .name = "m", .model = "test" };
    Codegen *cg;

    ck_assert_msg(passes_run(g, &po) && codegen_supported(g), "%s",
                  (fflush(f->diag.out), f->text));
    GENERATED_PLANNED(g);
    cg = codegen_new(g, f->arena, &co);
    generated_build(g, cg);
    generated_files(g, in, out);
}

/* Integers are equal; floats within rel, or within rel of 1. */
static inline bool generated_agrees(const Tensor *a, const Tensor *b,
                                    double rel)
{
    int64_t n = type_elems(&a->type);

    for (int64_t i = 0; i < n; i++) {
        double x, y;
        if (!dtype_is_float(a->type.dt)) {
            if (elem_get_int(a->type.dt, a->data, i) !=
                elem_get_int(b->type.dt, b->data, i))
                return false;
            continue;
        }
        x = elem_get(a->type.dt, a->data, i);
        y = elem_get(b->type.dt, b->data, i);
        if (isnan(x) != isnan(y) || isinf(x) != isinf(y) ||
            (isfinite(x) && fabs(x - y) > rel * (1 + fabs(x))))
            return false;
    }
    return true;
}

#endif
