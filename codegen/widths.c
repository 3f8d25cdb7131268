/* widths.c - layers whose width is chosen at run time (--elastic runtime=):
 * their functions in the generated file.
 */
#include "writer.h"

#include "bands.h"

/* Multiply-accumulates at a level of all layers. */
static int64_t level_macs(const Graph *g, int level)
{
    int64_t macs = 0;

    for EACH_NODE(n, g)
        macs += node_macs(n->narrow && level < g->nlevel - 1
                              ? n->narrow[level] : n);
    return macs;
}

void widths_declare(Buf *b, const Codegen *cg)
{
    const Graph *g = cg->g;
    const char *u = cg->upper, *n = cg->name;

    buf_printf(b, "/* Layers whose width is chosen at run time; "
               "multiply-accumulates by level,\n * when all layers have it. "
               "*/\n#define %s_WIDTH_LEVELS %d\n#define %s_WIDTH_LAYERS %d\n"
               "#define %s_WIDTH_MACS { ", u, g->nlevel, u, g->nlayer, u);
    for (int l = 0; l < g->nlevel; l++)
        buf_printf(b, "%s%lld", l ? ", " : "", (long long)level_macs(g, l));
    buf_printf(b, " }\n/* Levels from now on, 0 (narrowest) to "
               "%s_WIDTH_LEVELS - 1: of all layers, or of\n * each. A cleared "
               "arena and %s_reset stand for the widest. 0, or %s_EINVAL. */"
               "\nint %s_set_width(%s_arena *a, int level);\n"
               "int %s_set_widths(%s_arena *a, const uint8_t per_layer"
               "[%s_WIDTH_LAYERS]);\n", u, n, u, n, n, n, n, u);
}

/* Where the layers' widths are, one byte each: how many levels below the
 * widest. */
int64_t widths_place(const Graph *g)
{
    return band_count_place(g) - (g->nlayer + 7) / 8 * 8;
}

void widths_write(const Codegen *cg, Buf *b)
{
    const Graph *g = cg->g;
    const char *n = cg->name, *u = cg->upper;
    ArenaNames names = codegen_arena_names(cg);
    Buf at, bad;

    buf_init(&at, cg->arena);
    arena_byte(&at, g->plan, g->plan->state_pool, widths_place(g));
    buf_init(&bad, cg->arena);
    arena_unusable(&bad, &names);
    buf_printf(b, "int %s_set_widths(%s_arena *a, const uint8_t per_layer"
               "[%s_WIDTH_LAYERS])\n{\n    uint8_t *w;\n    int i;\n\n"
               "    if (%s || !per_layer)\n        return %s_EINVAL;\n"
               "    for (i = 0; i < %s_WIDTH_LAYERS; i++)\n"
               "        if (per_layer[i] >= %s_WIDTH_LEVELS)\n"
               "            return %s_EINVAL;\n    w = %s;\n"
               "    for (i = 0; i < %s_WIDTH_LAYERS; i++)\n"
               "        w[i] = (uint8_t)(%s_WIDTH_LEVELS - 1 - per_layer[i]);"
               "\n    return 0;\n}\n\n", n, n, u, bad.s, u, u, u, u, at.s, u,
               u);
    buf_printf(b, "int %s_set_width(%s_arena *a, int level)\n{\n"
               "    uint8_t all[%s_WIDTH_LAYERS];\n\n"
               "    if (level < 0 || level >= %s_WIDTH_LEVELS)\n"
               "        return %s_EINVAL;\n"
               "    memset(all, level, sizeof all);\n"
               "    return %s_set_widths(a, all);\n}\n\n", n, n, u, u, u, n);
    buf_printf(b, "/* -1: the arena was neither cleared nor reset. */\n"
               "static int %s_width(const %s_arena *a, int layer)\n{\n"
               "    return %s_WIDTH_LEVELS - 1 - (%s)[layer];\n}\n\n"
               "static int %s_bad_widths(const %s_arena *a)\n{\n    int i;\n"
               "\n    for (i = 0; i < %s_WIDTH_LAYERS; i++)\n"
               "        if (%s_width(a, i) < 0)\n            return 1;\n"
               "    return 0;\n}\n\n", n, n, u, at.s, n, n, u, n);
}
