/* writer.c - the generated C file as a whole: head (head.c), arena, kernels,
 * one function per step (steps.c, regions.c), model_run. Constants are
 * streamed by weights.c.
 * doc/generated-code.md describes the result for its users.
 */
#include "writer.h"

#include <ctype.h>
#include <string.h>

#include "../ir/region.h"
#include "../support/map.h"
#include "bands.h"
#include "regions.h"
#include "selftest.h"

char *c_identifier(Arena *arena, const char *text)
{
    Buf b;

    buf_init(&b, arena);
    if (!*text || isdigit((unsigned char)*text))
        buf_putc(&b, '_');
    for (; *text; text++)
        buf_putc(&b, isalnum((unsigned char)*text) && !(*text & 0x80)
                         ? *text : '_');
    return b.s;
}

char *upper_case(Arena *arena, const char *s)
{
    char *u = arena_strdup(arena, s);

    for (char *p = u; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    return u;
}

/* Unique also as macros, where case does not tell names apart. */
static const char **unique_names(Arena *arena, int n, Value **v)
{
    const char **names = NEW_ARRAY(arena, const char *, n + 1);
    Map taken;

    map_init(&taken, arena);
    for (int i = 0; i < n; i++) {
        const char *base = c_identifier(arena, value_label(v[i]));
        const char *name = base;
        if (*base == '_' && base[1])
            name = base = base + 1;
        for (int k = 2; map_get(&taken, upper_case(arena, name)); k++)
            name = arena_printf(arena, "%s_%d", base, k);
        map_put(&taken, upper_case(arena, name), arena);
        names[i] = name;
    }
    return names;
}

static int index_of(Value *const *list, int n, const Value *v)
{
    for (int i = 0; i < n; i++)
        if (list[i] == v)
            return i;
    return -1;
}

static const char *input_name(const Codegen *cg, const Value *v)
{
    return cg->in_name[index_of(cg->g->in, cg->g->nin, v)];
}

const char *codegen_accessor(const Codegen *cg, const Value *v, bool input)
{
    if (input)
        return arena_printf(cg->arena, "%s_%s_%s", cg->name,
                            value_in_bands(v) ? "band" : "input",
                            input_name(cg, v));
    return arena_printf(cg->arena, "%s_output_%s", cg->name,
                        cg->out_name[index_of(cg->g->out, cg->g->nout, v)]);
}

const char *codegen_push(const Codegen *cg, const Value *v)
{
    return arena_printf(cg->arena, "%s_push_%s", cg->name,
                        input_name(cg, v));
}

int64_t codegen_offset(const Codegen *cg, const Value *v)
{
    Band b;

    if (value_in_bands(v) && graph_band(cg->g, &b))
        return b.value->buf->offset + b.value->delta + b.at;
    return v->buf ? v->buf->offset + v->delta : 0;
}

const char *codegen_upper(const Codegen *cg)
{
    return cg->upper;
}

const Graph *codegen_graph(const Codegen *cg)
{
    return cg->g;
}

ArenaNames codegen_arena_names(const Codegen *cg)
{
    return (ArenaNames){ cg->g->plan, cg->name, cg->upper, cg->opt.shared };
}

void codegen_define_arena(const Codegen *cg, Buf *b, const char *object)
{
    ArenaNames names = codegen_arena_names(cg);

    arena_define(b, &names, object);
}

void codegen_address(const Codegen *cg, Buf *b, const Value *v)
{
    arena_value(b, cg->g->plan, v);
}

static void write_accessor(Codegen *cg, Buf *b, const Value *v,
                           const char *id, bool in)
{
    const char *c = in ? "" : "const ", *t = dtype_ctype(v->type.dt);

    buf_printf(b, "%s%s *%s_%s_%s(%s%s_arena *a)\n{\n    return (%s%s *)"
               "(%svoid *)(", c, t, cg->name, in ? "input" : "output", id, c,
               cg->name, c, t, c);
    arena_value(b, cg->g->plan, v);
    buf_puts(b, ");\n}\n\n");
}

static void write_accessors(Codegen *cg, Buf *b)
{
    const Graph *g = cg->g;

    for (int i = 0; i < g->nin; i++)
        if (!value_in_bands(g->in[i]))
            write_accessor(cg, b, g->in[i], cg->in_name[i], true);
    for (int i = 0; i < g->nout; i++)
        write_accessor(cg, b, g->out[i], cg->out_name[i], false);
}

static bool band_names(const Codegen *cg, BandNames *names)
{
    for (int i = 0; i < cg->g->nin; i++)
        if (value_in_bands(cg->g->in[i])) {
            const char *id = cg->in_name[i];
            *names = (BandNames){ cg->g, cg->name, cg->upper, id,
                                  upper_case(cg->arena, id) };
            return true;
        }
    return false;
}

static void write_run(const Codegen *cg, Buf *b)
{
    const char *n = cg->name, *u = cg->upper;
    const Plan *p = cg->g->plan;
    int64_t from = cg->g->nlevel ? widths_place(cg->g)
                                 : band_count_place(cg->g);
    ArenaNames names = codegen_arena_names(cg);
    BandNames band;

    if (cg->g->nlevel)
        widths_write(cg, b);
    if (band_names(cg, &band))
        bands_write(&band, &cg->turns, &names, b);
    buf_printf(b, "void %s_reset(%s_arena *a)\n{\n", n, n);
    if (p->state_at + p->state_bytes > from) {
        buf_puts(b, "    memset(");
        arena_byte(b, p, p->state_pool, from);
        buf_printf(b, ", 0, %s_STATE_BYTES - %lldu);\n", u,
                   (long long)(from - p->state_at));
    } else {
        buf_puts(b, "    (void)a;\n");
    }
    buf_printf(b, "}\n\nint %s_run(%s_arena *a)\n{\n    if (", n, n);
    arena_unusable(b, &names);
    buf_printf(b, ")\n        return %s_EINVAL;\n", u);
    if (cg->g->nlevel)
        buf_printf(b, "    if (%s_bad_widths(a))\n        return %s_EINVAL;"
                   "\n", n, u);
    if (band_names(cg, &band))
        bands_begin_run(&band, b);
    buf_write(b, cg->run.s, cg->run.n);
    if (band_names(cg, &band))
        bands_end_run(&band, b);
    buf_puts(b, "    return 0;\n}\n");
}

static const char *const math_names[] = {
    "INFINITY", "NAN", "acosf", "acos", "acoshf", "acosh", "asinf", "asin",
    "asinhf", "asinh", "atanf", "atan", "atanhf", "atanh", "ceilf", "ceil",
    "cosf", "cos", "coshf", "cosh", "erff", "erf", "expf", "exp", "expm1f",
    "expm1", "fabsf", "fabs", "floorf", "floor", "fmaf", "fma", "fmaxf",
    "fmax", "fminf", "fmin", "fmodf", "fmod", "isfinite", "isinf", "isnan",
    "ldexpf", "ldexp", "log1pf", "log1p", "log2f", "log2", "logf", "log",
    "lrintf", "lrint", "nearbyintf", "nearbyint", "powf", "pow", "rintf",
    "rint", "roundf", "round", "signbit", "sinf", "sin", "sinhf", "sinh",
    "sqrtf", "sqrt", "tanf", "tan", "tanhf", "tanh", "truncf", "trunc",
    "copysignf", "copysign", "HUGE_VAL", "HUGE_VALF", "llrintf", "llrint",
    "M_PI",
};

static bool needs_math(const char *text)
{
    for (size_t i = 0; i < sizeof math_names / sizeof *math_names; i++)
        if (body_names(text, math_names[i]))
            return true;
    return false;
}

static void write_guards(const Codegen *cg, FILE *out)
{
    ArenaNames names = codegen_arena_names(cg);
    const char *u = cg->upper;
    Buf sizes;

    fprintf(out, "#if defined(__BYTE_ORDER__) && \\\n"
            "    __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__\n"
            "#error \"the constants are little endian\"\n#endif\n"
            "#if defined(__clang__)\n#if __clang_major__ >= 20\n"
            "#pragma clang diagnostic ignored "
            "\"-Wunterminated-string-initialization\"\n#endif\n"
            "#elif defined(__GNUC__)\n#if __GNUC__ >= 15\n"
            "#pragma GCC diagnostic ignored "
            "\"-Wunterminated-string-initialization\"\n#endif\n#endif\n\n");
    fprintf(out, "/* Define these to place constants, to profile or to yield."
            " */\n#ifndef %s_WEIGHTS\n#define %s_WEIGHTS\n#endif\n"
            "#ifndef %s_STEP_BEGIN\n#define %s_STEP_BEGIN(i)\n#endif\n"
            "#ifndef %s_STEP_END\n#define %s_STEP_END(i)\n#endif\n\n",
            u, u, u, u, u, u);
    fprintf(out, "/* gcc 12 can take a loop from one part of the arena to "
            "another for one\n * without effect, and drop its step; not "
            "with this. */\n#if defined(__GNUC__) && !defined(__clang__)\n"
            "#define %s_STEP_KEEP() __asm__ volatile (\"\" ::: \"memory\")"
            "\n#else\n#define %s_STEP_KEEP() ((void)0)\n#endif\n\n", u, u);
    fprintf(out, "/* Kept out of line: inlined, the steps' stacks would add up."
            " */\n#if defined(__GNUC__)\n#define %s_STEP static "
            "__attribute__((noinline))\n#else\n#define %s_STEP static\n"
            "#endif\n\n", u, u);
    buf_init(&sizes, cg->arena);
    arena_assert(&sizes, &names);
    fprintf(out, "%stypedef char %s_assert_float"
            "[sizeof(float) == 4 && sizeof(double) == 8 ? 1 : -1];\n\n",
            sizes.s, cg->name);
}

static void write_base(const Codegen *cg, FILE *out)
{
    const char *n = cg->name, *u = cg->upper;
    ArenaNames names = codegen_arena_names(cg);
    Buf layout, at, bad;

    buf_init(&at, cg->arena);
    arena_byte(&at, cg->g->plan, cg->g->plan->state_pool, 0);
    buf_init(&bad, cg->arena);
    arena_unusable(&bad, &names);
    buf_init(&layout, cg->arena);
    weights_layout(cg->state.weights, &layout);
    fprintf(out, "/* The weights file: offset, bytes, what\n%s */\n", layout.s);
    fprintf(out, "static const uint8_t *%s_base(const %s_arena *a)\n{\n"
            "    const uint8_t *base;\n\n    memcpy(&base, %s, "
            "sizeof base);\n    return base;\n}\n\n", n, n, at.s);
    fprintf(out, "int %s_set_weights(%s_arena *a, const void *weights)\n{\n"
            "    const uint8_t *p = (const uint8_t *)weights;\n"
            "    uint32_t crc = 0xffffffffu;\n    size_t i;\n    int k;\n\n"
            "    if (%s || !p ||\n"
            "        (uintptr_t)p %% 8 != 0)\n        return %s_EINVAL;\n"
            "    for (i = 0; i < %lldu; i++) {\n        crc ^= p[i];\n"
            "        for (k = 0; k < 8; k++)\n            crc = crc >> 1 ^ "
            "(0xedb88320u & (0u - (crc & 1u)));\n    }\n"
            "    if ((crc ^ 0xffffffffu) != %s_WEIGHTS_CRC)\n"
            "        return %s_EINVAL;\n    memcpy(%s, &p, sizeof p);\n"
            "    return 0;\n}\n\n", n, n, bad.s, u,
            (long long)weights_blob_bytes(cg->state.weights), u, u, at.s);
}

/* Kernels and constants are those of the file: of its first model. */
static void join_file(Codegen *cg, Codegen *first)
{
    const char *name = cg->opt.shared ? cg->opt.shared : cg->name;

    if (first) {
        cg->state = first->state;
        while (first->next)
            first = first->next;
        first->next = cg;
        return;
    }
    map_init(&cg->state.layout, cg->arena);
    cg->state.kernels = kernels_new(cg->arena, name);
    cg->state.weights = weights_new(cg->arena, name,
                                    upper_case(cg->arena, name),
                                    cg->opt.form);
}

Codegen *codegen_new(Graph *g, Arena *arena, const CodegenOptions *opt)
{
    Codegen *cg = NEW(arena, Codegen);

    cg->g = g;
    cg->arena = arena;
    cg->opt = *opt;
    cg->name = opt->name;
    cg->upper = upper_case(arena, opt->name);
    join_file(cg, opt->with);
    cg->e = (Emit){ g, arena, NULL, 0, cg->name, cg->upper, &cg->state };
    cg->in_name = unique_names(arena, g->nin, g->in);
    cg->out_name = unique_names(arena, g->nout, g->out);
    buf_init(&cg->about, arena);
    buf_init(&cg->head, arena);
    buf_init(&cg->steps, arena);
    buf_init(&cg->run, arena);
    buf_init(&cg->turns, arena);
    graph_number(g);
    cg->constants = -weights_bytes(cg->state.weights);
    for (Node *n = g->first; n; )
        if (n->region) {
            n = regions_write(&(StepWriter){ &cg->e, &cg->steps, &cg->run,
                                             &cg->turns }, n);
        } else {
            step_write(cg, n);
            n = n->next;
        }
    cg->constants += weights_bytes(cg->state.weights);
    head_comment(cg);
    head_write(cg);
    return cg;
}

static const char *file_prefix(const Codegen *cg)
{
    return cg->opt.shared ? upper_case(cg->arena, cg->opt.shared) : cg->upper;
}

static void write_declarations(const Codegen *cg, FILE *out)
{
    Buf b;

    buf_init(&b, cg->arena);
    for (const Codegen *m = cg; m; m = m->next)
        fwrite(m->about.s, 1, m->about.n, out);
    fputs("#include <stddef.h>\n#include <stdint.h>\n\n"
          "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n", out);
    if (cg->opt.shared)
        arena_declare_shared(&b, cg->opt.shared, file_prefix(cg),
                             cg->g->plan->arena_bytes);
    for (const Codegen *m = cg; m; m = m->next)
        buf_printf(&b, "%s%s", m == cg ? "" : "\n", m->head.s);
    fwrite(b.s, 1, b.n, out);
    fputs("\n#ifdef __cplusplus\n}\n#endif\n", out);
}

bool codegen_write_header(const Codegen *cg, FILE *out)
{
    fprintf(out, "#ifndef %s_H\n#define %s_H\n\n", file_prefix(cg),
            file_prefix(cg));
    write_declarations(cg, out);
    fprintf(out, "\n#endif\n");
    return !ferror(out);
}

static bool write_model(const Codegen *cg, FILE *out)
{
    Buf tail;

    fwrite(cg->steps.s, 1, cg->steps.n, out);
    buf_init(&tail, cg->arena);
    write_accessors((Codegen *)(uintptr_t)cg, &tail);
    write_run(cg, &tail);
    fwrite(tail.s, 1, tail.n, out);
    return !cg->opt.selftest || selftest_write(cg, &cg->opt, out);
}

static bool file_needs_math(const Codegen *cg, const Buf *kernels)
{
    bool needs = needs_math(kernels->s);

    for (const Codegen *m = cg; m; m = m->next)
        needs = needs || needs_math(m->steps.s);
    return needs;
}

bool codegen_write_c(const Codegen *cg, FILE *out)
{
    Buf kernels;

    buf_init(&kernels, cg->arena);
    kernels_paste(cg->state.kernels, &kernels);
    write_declarations(cg, out);
    fputs("\n#include <string.h>\n", out);
    if (file_needs_math(cg, &kernels))
        fputs("#include <math.h>\n", out);
    fputc('\n', out);
    if (cg->opt.form == CONST_LIST)     /* the form for C++ compilers too */
        fputs("#ifdef __cplusplus\n#define restrict __restrict\n#endif\n\n",
              out);
    if (cg->opt.shared)
        fprintf(out, "#ifndef %s_WEIGHTS\n#define %s_WEIGHTS\n#endif\n\n",
                file_prefix(cg), file_prefix(cg));
    for (const Codegen *m = cg; m; m = m->next)
        write_guards(m, out);
    if (cg->opt.form == CONST_FILE)
        write_base(cg, out);
    if (!weights_write(cg->state.weights, out))
        return false;
    fwrite(kernels.s, 1, kernels.n, out);
    for (const Codegen *m = cg; m; m = m->next)
        if (!write_model(m, out))
            return false;
    return !ferror(out);
}

bool codegen_write_weights(const Codegen *cg, FILE *out)
{
    return weights_write_blob(cg->state.weights, out);
}

CodegenSizes codegen_sizes(const Codegen *cg)
{
    int64_t deepest = kernels_stack(cg->state.kernels);
    Buf kernels;
    CodegenSizes s = { 0, 0, 0, 0 };

    buf_init(&kernels, cg->arena);
    kernels_paste(cg->state.kernels, &kernels);
    s.weights = weights_bytes(cg->state.weights);
    /* measured: about one byte of Thumb-2 code per 3 of C text at -O2 */
    s.code = (int64_t)kernels.n / 3;
    for (const Codegen *m = cg; m; m = m->next) {
        s.code += (int64_t)m->steps.n / 3;
        deepest = m->local > deepest ? m->local : deepest;
    }
    s.stack = 640 + deepest;
    return s;
}
