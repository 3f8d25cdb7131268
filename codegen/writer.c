/* writer.c - the generated C file as a whole: head, macros, arena, kernels,
 * one function per step, model_run. Constants are streamed by weights.c.
 * doc/generated-code.md describes the result for its users.
 */
#include "codegen.h"

#include <ctype.h>
#include <string.h>

#include "../ir/region.h"
#include "../ir/relation.h"
#include "../support/map.h"
#include "arena.h"
#include "bands.h"
#include "../support/number.h"
#include "emit_state.h"
#include "regions.h"
#include "selftest.h"

/* Scratch up to this many bytes is on the stack, more is in the arena. */
enum { STACK_SCRATCH = 256 };

struct Codegen {
    Graph *g;
    Arena *arena;
    CodegenOptions opt;
    const char *name, *upper;
    Emit e;
    struct EmitState state;
    Buf about;                  /* comment about the model */
    Buf head;                   /* declarations, the same as the header */
    int64_t constants;          /* bytes that this model added */
    Buf steps, run;
    Buf turns;                  /* of the loop that receives bands */
    struct Codegen *next;       /* of the same file: models in one arena */
    const char **in_name, **out_name;           /* C identifiers */
    int64_t local;              /* most scratch of a step on the stack */
};

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

static char *upper_case(Arena *arena, const char *s)
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

/* Text for people inside a C comment: no way out of it, one line. */
static void put_comment_text(Buf *b, const char *s)
{
    for (; *s; s++)
        if ((*s == '*' && s[1] == '/') || (*s == '/' && s[1] == '*'))
            buf_putc(b, '|');
        else if (*s == '?')
            buf_putc(b, '.');   /* no trigraphs */
        else
            buf_putc(b, (unsigned char)*s < 32 || *s == 127 || *s == '\\'
                            ? '_' : *s);
}

static void put_place(Buf *b, const Buffer *buf, int64_t at)
{
    buf_printf(b, " @%lld", (long long)at);
    if (buf->pool)
        buf_printf(b, " of pool %d", buf->pool);
}

static void put_value(Buf *b, const Value *v)
{
    put_comment_text(b, v->name);
    buf_putc(b, ' ');
    type_print(b, &v->type);
    if (v->buf)
        put_place(b, v->buf, v->buf->offset + v->delta);
}

bool body_names(const char *body, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = body; (p = strstr(p, name)); p += n) {
        char before = p == body ? ' ' : p[-1], after = p[n];
        if (!isalnum((unsigned char)before) && before != '_' &&
            before != '.' && !isalnum((unsigned char)after) && after != '_')
            return true;
    }
    return false;
}

static void declare(Codegen *cg, Buf *out, const char *body, const Value *v,
                    char letter, int i)
{
    char name[16];
    const char *ctype = dtype_ctype(v->type.dt);
    const char *constant = letter == 'x' ? "const " : "";

    snprintf(name, sizeof name, "%c%d", letter, i);
    if (!body_names(body, name))
        return;
    buf_printf(out, "    %s%s *%s = ", constant, ctype, name);
    if (value_is_const(v))
        buf_printf(out, "%s;\n",
                   weights_add(cg->state.weights, v->name, v->type.dt,
                               type_elems(&v->type), v->data));
    else {
        buf_printf(out, "(%s%s *)(%svoid *)(", constant, ctype, constant);
        arena_value(out, cg->g->plan, v);
        buf_puts(out, ");\n");
    }
}

/* Every result already is where the operand is: nothing to do. */
static bool shares_storage(const Node *n)
{
    const Value *x = node_in(n, 0);
    int64_t shift;

    for (int i = 0; i < n->nout; i++) {
        const Value *y = n->out[i];
        if (!y || type_bytes(&y->type) == 0)
            continue;
        if (!node_view_shift(n, i, &shift) || !x->buf || x->buf != y->buf ||
            y->delta != x->delta + shift || x->store != y->store)
            return false;
    }
    return true;
}

void step_comment(Buf *b, const Node *n)
{
    buf_printf(b, "/* step %d: %s '", n->index, op_name(n->op));
    put_comment_text(b, n->name);
    buf_puts(b, "'\n");
    for (int i = 0; i < n->nin; i++)
        if (n->in[i]) {
            buf_printf(b, " *   x%d  ", i);
            put_value(b, n->in[i]);
            buf_puts(b, value_is_const(n->in[i]) ? " constant\n" : "\n");
        }
    for (int i = 0; i < n->nout; i++)
        if (n->out[i]) {
            buf_printf(b, " *   y%d  ", i);
            put_value(b, n->out[i]);
            buf_putc(b, '\n');
        }
    if (n->scratch) {
        buf_printf(b, " *   s   %lld bytes", (long long)n->scratch);
        put_place(b, n->scratch_buf, n->scratch_buf->offset);
        buf_putc(b, '\n');
    }
    buf_puts(b, " */\n");
}

bool codegen_has_step(const Node *n)
{
    return n->op != OP_Receive && !shares_storage(n);
}

/* In the arena, or where it is little, on the stack. */
static void declare_scratch(Codegen *cg, const Node *n)
{
    int64_t bytes = emit_scratch(n);

    if (n->scratch) {
        buf_puts(&cg->steps, "    uint8_t *s = ");
        arena_byte(&cg->steps, cg->g->plan, n->scratch_buf->pool,
                   n->scratch_buf->offset);
        buf_puts(&cg->steps, ";\n");
        return;
    }
    if (bytes > cg->local)
        cg->local = bytes;
    buf_printf(&cg->steps, "    uint64_t room[%lld];\n"
               "    uint8_t *s = (uint8_t *)(void *)room;\n",
               (long long)(bytes + 7) / 8);
}

/* The function of a step, called NAME_step_7 and what `suffix` says. */
static void write_function(Codegen *cg, const Node *n, const char *suffix)
{
    Buf body;

    buf_init(&body, cg->arena);
    cg->e.c = &body;
    cg->e.indent = 1;
    emit_fn(n->op)(&cg->e, n);
    if (!body.n)                /* in place, nothing to change */
        e_line(&cg->e, "(void)a;");
    step_comment(&cg->steps, n);
    buf_printf(&cg->steps, "%s_STEP void %s_step_%d%s(%s_arena *a)\n{\n",
               cg->upper, cg->name, n->index, suffix, cg->name);
    for (int i = 0; i < n->nin; i++)
        if (n->in[i])
            declare(cg, &cg->steps, body.s, n->in[i], 'x', i);
    for (int i = 0; i < n->nout; i++)
        if (n->out[i])
            declare(cg, &cg->steps, body.s, n->out[i], 'y', i);
    if (body_names(body.s, "s"))
        declare_scratch(cg, n);
    buf_putc(&cg->steps, '\n');
    buf_write(&cg->steps, body.s, body.n);
    buf_printf(&cg->steps, "    %s_STEP_KEEP();\n}\n\n", cg->upper);
}

void step_call(Buf *b, const Emit *e, const Node *n, const char *function,
               const char *args, int depth)
{
    int levels = n->narrow ? n->graph->nlevel - 1 : 0;

    if (levels)
        buf_printf(b, "%*sswitch (%s_width(a, %d)) {\n", 4 * depth, "",
                   e->name, n->layer);
    for (int l = 0; l < levels; l++)
        buf_printf(b, "%*scase %d: %s_w%d(a%s); break;\n", 4 * depth, "", l,
                   function, l, args);
    buf_printf(b, "%*s%s%s(a%s);%s\n", 4 * depth, "",
               levels ? "default: " : "", function, args,
               levels ? " break;" : "");
    if (levels)
        buf_printf(b, "%*s}\n", 4 * depth, "");
}

/* One more function for every narrower width; they share the weights. */
static void write_step(Codegen *cg, const Node *n)
{
    int levels = n->narrow ? n->graph->nlevel - 1 : 0;

    if (shares_storage(n))
        return;
    write_function(cg, n, "");
    weights_share_parts(cg->state.weights, true);
    for (int l = 0; l < levels; l++)
        write_function(cg, n->narrow[l], arena_printf(cg->arena, "_w%d", l));
    weights_share_parts(cg->state.weights, false);
    buf_printf(&cg->run, "    %s_STEP_BEGIN(%d);\n", cg->upper, n->index);
    step_call(&cg->run, &cg->e, n,
              arena_printf(cg->arena, "%s_step_%d", cg->name, n->index), "",
              1);
    buf_printf(&cg->run, "    %s_STEP_END(%d);\n", cg->upper, n->index);
}

bool codegen_supported(Graph *g)
{
    bool ok = true;

    for EACH_NODE(n, g)
        if (!emit_fn(n->op))
            ok = node_error(n, "cannot be written as C yet");
    return ok;
}

/* Kernels of int8 need little stack themselves. */
static bool on_stack(const Node *n)
{
    bool packed = node_in(n, 1) && n->in[1]->type.dt == DT_I4;

    return !n->region && node_unit_axes(n) >= 0 && !packed;
}

static int64_t scratch_of(const Node *n)
{
    if (n->op == OP_Receive)
        return 0;
    return n->region ? region_scratch(n)
                     : emit_fn(n->op) ? emit_scratch(n) : 0;
}

void codegen_scratch(Node *n)
{
    n->scratch = scratch_of(n);
    for (int l = 0; n->narrow && l < n->graph->nlevel - 1; l++) {
        int64_t bytes = scratch_of(n->narrow[l]);
        n->scratch = bytes > n->scratch ? bytes : n->scratch;
    }
    if (n->scratch <= STACK_SCRATCH && on_stack(n))
        n->scratch = 0;
}

static int64_t graph_macs(const Graph *g)
{
    int64_t macs = 0;

    for EACH_NODE(n, g)
        macs += node_macs(n);
    return macs;
}

static void head_comment(Codegen *cg)
{
    Buf *b = &cg->about;
    const Graph *g = cg->g;
    int64_t macs = graph_macs(g);

    buf_printf(b, "/* SPDX-License-Identifier: MIT-0 OR Unlicense\n"
               " * Generated by mcufc %s. This file, with the kernels in it, "
               "belongs to you:\n * use it under any terms.\n *\n * model   ",
               MCUFC_VERSION);
    put_comment_text(b, cg->opt.model);
    buf_printf(b, ", hash %08x%08x, opset %lld\n", g->hash[1], g->hash[0],
               (long long)g->opset);
    buf_printf(b, " * target  %s\n * arena   %lld bytes, %lld of them state"
               " (lower bound of this order: %lld)\n", cg->opt.target,
               (long long)g->plan->arena_bytes,
               (long long)g->plan->state_bytes,
               (long long)g->plan->lower_bound);
    buf_printf(b, " * flash   %lld bytes of constants\n",
               (long long)cg->constants);
    buf_printf(b, " * work    %lld multiply-accumulates in %d steps\n */\n",
               (long long)macs, g->plan->nsteps);
}

static void put_shape(Buf *b, const Type *t)
{
    buf_puts(b, "{ ");
    if (t->rank == 0)
        buf_puts(b, "1");
    for (int i = 0; i < t->rank; i++)
        buf_printf(b, "%s%lld", i ? ", " : "", (long long)t->dim[i]);
    buf_puts(b, " }");
}

static void put_scales(Buf *b, const Quant *q)
{
    for (int i = 0; i < q->n; i++) {
        buf_puts(b, i ? ", " : "");
        number_put_f32(b, q->scale[i]);
        buf_putc(b, 'f');
    }
}

static void put_zero_points(Buf *b, const Quant *q)
{
    for (int i = 0; i < q->n; i++)
        buf_printf(b, "%s%d", i ? ", " : "", (int)q->zero_point[i]);
}

/* real = SCALE * (code - ZERO_POINT), or lists of both along an axis. */
static void declare_quant(Buf *b, const char *prefix, const Quant *q)
{
    bool list = q->n > 1;

    buf_printf(b, "#define %s_SCALE %s", prefix, list ? "{ " : "");
    put_scales(b, q);
    buf_printf(b, "%s\n#define %s_ZERO_POINT %s", list ? " }" : "", prefix,
               list ? "{ " : "(");
    put_zero_points(b, q);
    buf_puts(b, list ? " }\n" : ")\n");
    if (list)
        buf_printf(b, "#define %s_QUANT_AXIS %d\n", prefix, q->axis);
}

/* An input that comes in bands; the comment of its type is open. */
static void declare_band(Codegen *cg, const char *macro, const char *id)
{
    BandNames names = { cg->g, cg->name, cg->upper, id, macro };

    bands_declare(&names, &cg->head);
}

static void declare_io(Codegen *cg, const Value *v, const char *id, bool in)
{
    Buf *b = &cg->head;
    const char *u = cg->upper, *kind = in ? "INPUT" : "OUTPUT";
    const char *m = upper_case(cg->arena, id);

    if (!value_in_bands(v))
        buf_printf(b, "#define %s_%s_%s_OFFSET %lldu\n", u, kind, m,
                   (long long)codegen_offset(cg, v));
    buf_printf(b, "#define %s_%s_%s_BYTES %lldu\n", u, kind, m,
               (long long)type_bytes(&v->type));
    buf_printf(b, "#define %s_%s_%s_ELEMS %lldu\n", u, kind, m,
               (long long)type_elems(&v->type));
    buf_printf(b, "#define %s_%s_%s_RANK %d\n", u, kind, m, v->type.rank);
    buf_printf(b, "#define %s_%s_%s_SHAPE ", u, kind, m);
    put_shape(b, &v->type);
    buf_putc(b, '\n');
    if (quant_fits(v->quant, &v->type))
        declare_quant(b, arena_printf(cg->arena, "%s_%s_%s", u, kind, m),
                      v->quant);
    buf_puts(b, "/* ");
    put_comment_text(b, v->name);
    buf_puts(b, ": ");
    type_print(b, &v->type);
    if (value_in_bands(v)) {
        declare_band(cg, m, id);
        return;
    }
    buf_puts(b, " */\n");
    buf_printf(b, "%s%s *%s_%s_%s(%s%s_arena *a);\n\n", in ? "" : "const ",
               dtype_ctype(v->type.dt), cg->name, in ? "input" : "output",
               id, in ? "" : "const ", cg->name);
}

/* Multiply-accumulates at a level of all layers. */
static int64_t level_macs(const Graph *g, int level)
{
    int64_t macs = 0;

    for EACH_NODE(n, g)
        macs += node_macs(n->narrow && level < g->nlevel - 1
                              ? n->narrow[level] : n);
    return macs;
}

static void declare_widths(Buf *b, const Codegen *cg)
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

static void write_head(Codegen *cg)
{
    Buf *b = &cg->head;
    const Graph *g = cg->g;
    const char *u = cg->upper, *n = cg->name;
    ArenaNames names = { g->plan, n, u, cg->opt.shared };

    buf_printf(b, "#define %s_EINVAL 1        /* NULL or misaligned arena */\n"
               "#define %s_ARENA_BYTES %lldu\n#define %s_ARENA_ALIGN %du\n"
               "#define %s_STATE_BYTES %lldu\n#define %s_WEIGHTS_BYTES %lldu"
               "\n\n", u, u, (long long)g->plan->arena_bytes, u, ARENA_ALIGN,
               u, (long long)g->plan->state_bytes, u,
               (long long)cg->constants);
    arena_declare(b, &names);
    for (int i = 0; i < g->nin; i++)
        declare_io(cg, g->in[i], cg->in_name[i], true);
    for (int i = 0; i < g->nout; i++)
        declare_io(cg, g->out[i], cg->out_name[i], false);
    if (cg->opt.form == CONST_FILE)
        buf_printf(b, "/* Where the constants are (flash, XIP, mapped file),"
                   " 8-byte aligned; kept in\n * the arena. 0, or %s_EINVAL:"
                   " misaligned, or another CRC-32. */\n"
                   "int %s_set_weights(%s_arena *a, const void *weights);\n"
                   "#define %s_WEIGHTS_CRC 0x%08xu\n\n",
                   u, n, n, u, weights_crc(cg->state.weights));
    buf_printf(b, "/* Clears the state region. */\nvoid %s_reset(%s_arena *a)"
               ";\n/* One inference; inputs may be overwritten. 0, or "
               "%s_EINVAL. */\nint %s_run(%s_arena *a);\n", n, n, u, n, n);
    if (g->nlevel)
        declare_widths(b, cg);
    if (cg->opt.selftest)
        buf_printf(b, "#ifdef %s_SELFTEST\n/* Runs the golden input; 0 when "
                   "the outputs agree. */\nint %s_selftest(%s_arena *a);\n"
                   "#endif\n", u, n, n);
}

static ArenaNames arena_names(const Codegen *cg)
{
    return (ArenaNames){ cg->g->plan, cg->name, cg->upper, cg->opt.shared };
}

void codegen_define_arena(const Codegen *cg, Buf *b, const char *object)
{
    ArenaNames names = arena_names(cg);

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

/* Where the layers' widths are, one byte each: how many levels below the
 * widest. */
static int64_t widths_place(const Graph *g)
{
    return band_count_place(g) - (g->nlayer + 7) / 8 * 8;
}

static void write_widths(const Codegen *cg, Buf *b)
{
    const Graph *g = cg->g;
    const char *n = cg->name, *u = cg->upper;
    ArenaNames names = arena_names(cg);
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
    ArenaNames names = arena_names(cg);
    BandNames band;

    if (cg->g->nlevel)
        write_widths(cg, b);
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
    ArenaNames names = arena_names(cg);
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
    ArenaNames names = arena_names(cg);
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
            write_step(cg, n);
            n = n->next;
        }
    cg->constants += weights_bytes(cg->state.weights);
    head_comment(cg);
    write_head(cg);
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
    int64_t local = 0;
    Buf kernels;
    CodegenSizes s = { 0, 0, 0, 0 };

    buf_init(&kernels, cg->arena);
    kernels_paste(cg->state.kernels, &kernels);
    s.weights = weights_bytes(cg->state.weights);
    /* measured: about one byte of Thumb-2 code per 3 of C text at -O2 */
    s.code = (int64_t)kernels.n / 3;
    for (const Codegen *m = cg; m; m = m->next) {
        s.code += (int64_t)m->steps.n / 3;
        local = m->local > local ? m->local : local;
    }
    s.stack = 640 + kernels_stack(cg->state.kernels) + local;
    return s;
}
