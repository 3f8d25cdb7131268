/* selftest.c - NAME_selftest(): runs one golden input on the board and says
 * which output is wrong. Compiled out unless NAME_SELFTEST is defined, so
 * that the golden data cost no flash in a product.
 */
#include "selftest.h"

#include "../ir/region.h"

static void compare(Buf *b, const Value *v, int i, const char *want)
{
    const char *t = dtype_ctype(v->type.dt);
    long long n = (long long)type_elems(&v->type);
    bool real = v->type.dt == DT_F32 || v->type.dt == DT_F64;

    buf_printf(b, "    {\n        const %s *got = GET%d, *want = %s;\n"
               "        size_t k;\n\n        for (k = 0; k < %lldu; k++) {\n",
               t, i, want, n);
    if (real)
        buf_printf(b, "            %s d = got[k] - want[k], m = want[k];\n\n"
                   "            d = d < 0 ? -d : d;\n"
                   "            m = m < 0 ? -m : m;\n"
                   "            if (!(d <= (%s)1e-3 * m + (%s)1e-4) &&\n"
                   "                got[k] != want[k] && want[k] == want[k])\n",
                   t, t, t);
    else
        buf_puts(b, "            if (got[k] != want[k])\n");
    buf_printf(b, "                return %d;\n        }\n    }\n", i + 1);
}

/* The golden input i, or its bands one after the other. */
static void give_input(const Codegen *cg, const CodegenOptions *opt, Weights *w,
                       Arena *arena, int i, Buf *b)
{
    const Graph *g = codegen_graph(cg);
    const Value *v = g->in[i];
    const char *name = arena_printf(arena, "in_%d", i), *from;
    const void *data = opt->golden_in[i].data;
    int64_t bytes = type_bytes(&v->type);
    Band band;

    if (!bytes)
        return;
    if (!value_in_bands(v) || !graph_band(g, &band)) {
        from = weights_add(w, name, v->type.dt, type_elems(&v->type), data);
        buf_printf(b, "    memcpy(%s(a), %s, %lldu);\n",
                   codegen_accessor(cg, v, true), from, (long long)bytes);
        return;
    }
    bytes = band_bytes(&band);
    from = weights_add(w, name, v->type.dt, band.bands * bytes /
                                                dtype_bytes(v->type.dt),
                       band_order(&band, data, arena));
    buf_printf(b, "    for (int k = 0; k < %lld; k++) {\n"
               "        memcpy(%s(a), %s + k * %lld, %lldu);\n"
               "        if (%s(a))\n            return -1;\n    }\n",
               (long long)band.bands, codegen_accessor(cg, v, true), from,
               (long long)(bytes / dtype_bytes(v->type.dt)),
               (long long)bytes, codegen_push(cg, v));
}

static void body(const Codegen *cg, const CodegenOptions *opt, Weights *w,
                 Arena *arena, Buf *b)
{
    const Graph *g = codegen_graph(cg);
    Buf text;

    buf_init(&text, arena);
    if (g->nlevel)
        buf_printf(b, "    if (%s_set_width(a, %d))\n        return -1;\n",
                   opt->name, g->nlevel - 1);
    for (int bands = 0; bands < 2; bands++)     /* those at last */
        for (int i = 0; i < g->nin; i++)
            if (value_in_bands(g->in[i]) == bands)
                give_input(cg, opt, w, arena, i, b);
    buf_printf(b, "    if (%s_run(a))\n        return -1;\n", opt->name);
    for (int i = 0; i < g->nout; i++) {
        const Value *v = g->out[i];
        if (!type_bytes(&v->type))
            continue;
        buf_printf(&text, "#define GET%d %s(a)\n", i,
                   codegen_accessor(cg, v, false));
        buf_write(b, text.s, text.n);
        compare(b, v, i, weights_add(w, arena_printf(arena, "out_%d", i),
                                     v->type.dt, type_elems(&v->type),
                                     opt->golden_out[i].data));
        buf_printf(b, "#undef GET%d\n", i);
        buf_clear(&text);
    }
}

bool selftest_write(const Codegen *cg, const CodegenOptions *opt, FILE *out)
{
    Arena *arena = codegen_graph(cg)->arena;
    const char *upper = codegen_upper(cg);
    Weights *w = weights_new(arena, arena_printf(arena, "%s_golden",
                                                 opt->name),
                             upper, opt->form == CONST_LIST ? CONST_LIST
                                                            : CONST_FAST);
    Buf b;

    buf_init(&b, arena);
    body(cg, opt, w, arena, &b);
    fprintf(out, "\n#ifdef %s_SELFTEST\n", upper);
    if (!weights_write(w, out))
        return false;
    fprintf(out, "/* 0; -1: the arena is misaligned; k: output k - 1 differs"
            " */\nint %s_selftest(%s_arena *a)\n{\n    %s_reset(a);\n%s"
            "    return 0;\n}\n#endif\n", opt->name, opt->name, opt->name,
            b.s);
    return !ferror(out);
}
