/* print.c - a graph as text, in ONNX's own textual syntax with the
 * extensions that doc/ir.md describes. frontend/dsl reads it back: printing
 * what was read gives the same bytes, and compiling it the same C file.
 *
 * The text imports the domain "mcufc", which says that nodes are taken as
 * they stand: no upgrade, no expansion, no folding. Facts that have no place
 * in ONNX's syntax (hash, states, the plan) are metadata_props.
 */
#include "region.h"

#include <string.h>

#include "../support/number.h"

enum { SMALL = 16, SIDE_ALIGN = 64 };   /* elements; bytes */

typedef struct Printer {
    Buf *b;
    Graph *g;
    const PrintOptions *opt;
} Printer;

static bool is_identifier(const char *s)
{
    if (!*s || (*s >= '0' && *s <= '9'))
        return false;
    for (; *s; s++)
        if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
              (*s >= '0' && *s <= '9') || *s == '_'))
            return false;
    return true;
}

/* ONNX knows only \" and \\; the other escapes are ours. */
static void put_quoted(Buf *b, const char *s)
{
    buf_putc(b, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\' || c == '$')
            buf_printf(b, "\\%c", c);
        else if (c < 32 || c == 127)
            buf_printf(b, "\\x%02x", c);
        else
            buf_putc(b, (char)c);
    }
    buf_putc(b, '"');
}

static void put_name(Buf *b, const char *s)
{
    if (is_identifier(s))
        buf_puts(b, s);
    else
        put_quoted(b, s);
}

/* As type_print, but a scalar has no brackets: float[] is an unknown rank. */
static void put_type(Buf *b, const Type *t)
{
    if (t->rank == 0)
        buf_puts(b, dtype_name(t->dt));
    else
        type_print(b, t);
}

static void put_value_type(Buf *b, const Value *v)
{
    put_type(b, &v->type);
    if (quant_fits(v->quant, &v->type)) {
        buf_putc(b, ' ');
        quant_print(b, v->quant);
    }
}

static void put_element(Buf *b, DType dt, const void *data, int64_t i)
{
    if (dt == DT_F32)
        number_put_f32(b, ((const float *)data)[i]);
    else if (dt == DT_F64)
        number_put_f64(b, ((const double *)data)[i]);
    else if (dt == DT_F16 || dt == DT_BF16)     /* as in ONNX: the bits */
        buf_printf(b, "%u", ((const uint16_t *)data)[i]);
    else if (dt == DT_U64)
        buf_printf(b, "%llu", ((const unsigned long long *)data)[i]);
    else
        buf_printf(b, "%lld", (long long)elem_get_int(dt, data, i));
}

static void put_elements(Buf *b, const Value *v)
{
    int64_t n = type_elems(&v->type);

    buf_putc(b, '{');
    for (int64_t i = 0; i < n; i++) {
        if (i)
            buf_puts(b, i % 12 || n <= SMALL ? ", " : ",\n     ");
        put_element(b, v->type.dt, v->data, i);
    }
    buf_putc(b, '}');
}

static unsigned long long fingerprint(const Value *v)
{
    const unsigned char *p = v->data;
    unsigned long long h = 14695981039346656037ull;

    for (int64_t i = type_bytes(&v->type); i > 0; i--)
        h = (h ^ *p++) * 1099511628211ull;
    return h;
}

static void put_reference(Printer *p, const Value *v)
{
    Buf *side = p->opt->side;
    int64_t bytes = type_bytes(&v->type);
    const char *ref;

    while (side->n % SIDE_ALIGN)
        buf_putc(side, 0);
    ref = arena_printf(p->g->scratch, "%s:%zu,%lld", p->opt->side_file,
                       side->n, (long long)bytes);
    buf_putc(p->b, '@');
    put_quoted(p->b, ref);
    buf_write(side, v->data, (size_t)bytes);
}

static void put_constant(Printer *p, const Value *v)
{
    put_value_type(p->b, v);
    buf_putc(p->b, ' ');
    put_name(p->b, v->name);
    buf_puts(p->b, " = ");
    if (p->opt->inline_weights || type_elems(&v->type) <= SMALL)
        put_elements(p->b, v);
    else if (p->opt->side)
        put_reference(p, v);
    else
        buf_printf(p->b, "@elided(\"%016llx\")", fingerprint(v));
}

static void put_ints(Buf *b, const Ints *a)
{
    for (int i = 0; i < a->n; i++)
        buf_printf(b, "%s%lld", i ? ", " : "", (long long)a->v[i]);
}

static void put_floats(Buf *b, const Floats *a)
{
    for (int i = 0; i < a->n; i++) {
        buf_puts(b, i ? ", " : "");
        number_put_f32(b, a->v[i]);
    }
}

static void put_strings(Buf *b, const Strings *a)
{
    for (int i = 0; i < a->n; i++) {
        buf_puts(b, i ? ", " : "");
        put_quoted(b, a->v[i]);
    }
}

static void put_field(Buf *b, const AttrInfo *a, const void *field)
{
    bool list = a->kind >= AK_ints;

    buf_printf(b, "%s = %s", a->name, list ? "[" : "");
    switch (a->kind) {
    case AK_int:
        buf_printf(b, "%lld", (long long)*(const int64_t *)field);
        break;
    case AK_float: number_put_f32(b, *(const float *)field); break;
    case AK_string: put_quoted(b, *(const char *const *)field); break;
    case AK_ints: put_ints(b, field); break;
    case AK_floats: put_floats(b, field); break;
    case AK_strings: put_strings(b, field); break;
    }
    buf_puts(b, list ? "]" : "");
}

static bool is_default(const AttrInfo *a, const void *field,
                       const void *fallback)
{
    const Ints *list = field;           /* all three begin with the count */

    if (!strcmp(a->def, "!"))
        return false;
    switch (a->kind) {
    case AK_int: return !memcmp(field, fallback, sizeof(int64_t));
    case AK_float: return !memcmp(field, fallback, sizeof(float));
    case AK_string:
        return !strcmp(*(const char *const *)field,
                       *(const char *const *)fallback);
    default: return list->n == 0;
    }
}

static void put_attrs(Buf *b, const Node *n)
{
    const OpInfo *op = op_info(n->op);
    char *fallback = arena_alloc(n->graph->scratch, (size_t)op->attr_bytes);
    int count = 0;

    attr_set_defaults(op, fallback, n->graph->scratch);
    for (int i = 0; i < op->nattr; i++) {
        const AttrInfo *a = &op->attr[i];
        const char *field = (const char *)n->attr + a->offset;
        if (is_default(a, field, fallback + a->offset))
            continue;
        buf_puts(b, count++ ? ", " : " <");
        put_field(b, a, field);
    }
    if (count)
        buf_putc(b, '>');
}

static void put_values(Buf *b, Value *const *v, int n, bool all)
{
    while (!all && n > 0 && !v[n - 1])
        n--;
    for (int i = 0; i < n; i++) {
        buf_puts(b, i ? ", " : "");
        put_name(b, v[i] ? v[i]->name : "");
    }
}

/* The name that the builder gives to a node without a label. */
static bool has_default_name(const Node *n)
{
    size_t len = strlen(op_name(n->op));

    if (strncmp(n->name, op_name(n->op), len))
        return false;
    for (int i = 0; i < n->nout; i++)
        if (n->out[i])
            return n->name[len] == '_' &&
                   !strcmp(n->name + len + 1, n->out[i]->name);
    return !n->name[len];
}

/* Not ONNX's: an op of ours, or one with an activation in it. */
static bool is_internal(const Node *n)
{
    const AttrInfo *a = attr_find(op_info(n->op), "act");

    if (op_has(n->op, T_INTERNAL))
        return true;
    return a && **(const char *const *)(const void *)
                    ((const char *)n->attr + a->offset);
}

static void put_op(Buf *b, const Node *n)
{
    if (!has_default_name(n)) {
        buf_putc(b, '[');
        put_name(b, n->name);
        buf_puts(b, "] ");
    }
    put_values(b, n->out, n->nout, op_info(n->op)->max_out < 0);
    buf_printf(b, " = %s%s", is_internal(n) ? "mcufc." : "",
               op_name(n->op));
    put_attrs(b, n);
    buf_puts(b, " (");
    put_values(b, n->in, n->nin, false);
    buf_putc(b, ')');
}

static void put_types(Buf *b, const Node *n)
{
    bool first = true;

    for (int i = 0; i < n->nout; i++)
        if (n->out[i]) {
            buf_puts(b, first ? "  # " : ", ");
            put_value_type(b, n->out[i]);
            first = false;
        }
}

void node_print(Buf *b, const Node *n)
{
    put_op(b, n);
    put_types(b, n);
}

static void put_place(Buf *b, const Value *v)
{
    if (v && v->buf)
        buf_printf(b, "%lld", (long long)(v->buf->offset + v->delta));
    else
        buf_putc(b, '-');
}

static void put_places(Buf *b, Value *const *v, int n)
{
    bool any = false;

    for (int i = 0; i < n; i++)
        any |= v[i] && v[i]->buf;
    buf_puts(b, any ? " @at(" : "");
    for (int i = 0; any && i < n; i++) {
        buf_puts(b, i ? ", " : "");
        put_place(b, v[i]);
    }
    buf_puts(b, any ? ")" : "");
}

static void put_scratch(Buf *b, const Node *n)
{
    if (n->scratch && n->scratch_buf)
        buf_printf(b, " @scratch(%lld, %lld)",
                   (long long)n->scratch_buf->offset, (long long)n->scratch);
}

/* `region rows @over(197, 4) {` for every loop that begins with n, after a
 * `}` for every one that ended before it; NULL: the end of the graph. */
static void put_regions(Buf *b, const Node *n, const Node *before)
{
    Region *was = before ? before->region : NULL, *is = n ? n->region : NULL;
    Region *both = region_common(was, is);

    for (; was != both; was = was->parent)
        buf_printf(b, "%*s}\n", 2 + 2 * was->depth, "");
    for (int d = region_depth(both); d < region_depth(is); d++) {
        const Region *r = region_at(is, d);
        buf_printf(b, "%*sregion ", 2 + 2 * d, "");
        put_name(b, r->name);
        buf_printf(b, " @over(%lld, %lld) {\n", (long long)r->extent,
                   (long long)r->tile);
    }
}

static void put_walk(Buf *b, const Node *n)
{
    for (int d = 0; d < region_depth(n->region); d++)
        if (n->walk[d] < 0)
            buf_puts(b, d ? ", -" : " @along(-");
        else
            buf_printf(b, d ? ", %d" : " @along(%d", n->walk[d]);
    if (n->region)
        buf_putc(b, ')');
}

static void put_plan(Buf *b, const Plan *p)
{
    buf_printf(b, ",\n    \"mcufc.plan\": \"%lld %lld %lld %lld %d %d\"",
               (long long)p->arena_bytes, (long long)p->state_bytes,
               (long long)p->reserve, (long long)p->lower_bound,
               p->peak_step, p->nsteps);
}

/* Made by the planner, or stated by the text and still to be kept. */
static bool shows_places(const Printer *p)
{
    const Plan *plan = p->g->plan;

    return p->opt->plan && (plan || p->g->placed) &&
           !(plan && plan_has_pools(plan));       /* no text for pools */
}

/* In the order that puts the list together again by prepending. */
static void put_states(Buf *b, const State *s)
{
    if (!s)
        return;
    put_states(b, s->next);
    buf_puts(b, ",\n    ");
    put_quoted(b, arena_printf(b->arena, "mcufc.state:%s", s->in->name));
    buf_puts(b, ": ");
    put_quoted(b, s->out->name);
}

/* Constants of layers whose width is chosen at run time: the layer, then
 * the constants that they are at the narrower levels. */
static void put_narrow(Printer *p)
{
    Buf *b = p->b;
    const Graph *g = p->g;

    if (g->nlevel)
        buf_printf(b, ",\n    \"mcufc.widths\": \"%d %d\"", g->nlevel,
                   g->nlayer);
    for (int i = 0; i < g->nvalue; i++) {
        const Narrow *n = g->value[i]->narrow;
        for (int l = 0; n && l < g->nlevel - 1; l++) {
            buf_puts(b, ",\n    ");
            put_quoted(b, arena_printf(b->arena, "mcufc.width:%d:%d:%s",
                                       n->layer, l, g->value[i]->name));
            buf_puts(b, ": ");
            put_quoted(b, n->at[l]->name);
        }
    }
}

static void put_header(Printer *p)
{
    Buf *b = p->b;
    const Graph *g = p->g;

    buf_printf(b, "<\n  ir_version: 10,\n  opset_import: [\"\" : %d, "
               "\"mcufc\" : 1],\n  metadata_props: [\n", OPSET_IR);
    buf_printf(b, "    \"mcufc.hash\": \"%08x%08x\",\n    \"mcufc.opset\": "
               "\"%lld\"", g->hash[0], g->hash[1], (long long)g->opset);
    if (g->source) {
        buf_puts(b, ",\n    \"mcufc.source\": ");
        put_quoted(b, g->source);
    }
    if (g->after)
        buf_printf(b, ",\n    \"mcufc.after\": \"%s\"", g->after);
    if (g->overlap)
        buf_puts(b, ",\n    \"mcufc.overlap\": \"yes\"");
    put_states(b, g->state);
    put_narrow(p);
    if (shows_places(p) && g->plan)
        put_plan(b, g->plan);
    buf_puts(b, "\n  ]\n>\n");
}

static void put_param(Printer *p, Value *v, int *count)
{
    buf_puts(p->b, (*count)++ ? ", " : "");
    put_value_type(p->b, v);
    buf_putc(p->b, ' ');
    put_name(p->b, v->name);
    if (shows_places(p) && v->is_input)
        put_places(p->b, &v, 1);
}

static void put_state_params(Printer *p, const State *s, bool in, int *count)
{
    if (!s)
        return;
    put_state_params(p, s->next, in, count);
    put_param(p, in ? s->in : s->out, count);
}

static void put_signature(Printer *p)
{
    Graph *g = p->g;
    int count = 0;

    put_name(p->b, g->name);
    buf_puts(p->b, " (");
    for (int i = 0; i < g->nin; i++)
        put_param(p, g->in[i], &count);
    put_state_params(p, g->state, true, &count);
    buf_puts(p->b, ") => (");
    count = 0;
    for (int i = 0; i < g->nout; i++)
        put_param(p, g->out[i], &count);
    put_state_params(p, g->state, false, &count);
    buf_puts(p->b, ")\n");
}

/* Can inference alone tell the types of n's results? */
static bool is_inferred(Graph *g, Node *n)
{
    Type unknown = { DT_NONE, -1, { 0 } };
    Type *was = NEW_ARRAY(g->scratch, Type, n->nout);
    Diag mute = { .out = NULL }, *diag = g->diag;
    bool same;

    for (int i = 0; i < n->nout; i++)
        if (n->out[i]) {
            was[i] = n->out[i]->type;
            n->out[i]->type = unknown;
        }
    g->diag = &mute;
    same = node_infer(g, n);
    g->diag = diag;
    for (int i = 0; i < n->nout; i++)
        if (n->out[i]) {
            same = same && type_equal(&was[i], &n->out[i]->type);
            n->out[i]->type = was[i];
        }
    return same;
}

static void item(Printer *p, int *count)
{
    buf_puts(p->b, (*count)++ ? ",\n  " : "<\n  ");
}

static void put_constants(Printer *p, int *count)
{
    for (int i = 0; i < p->g->nvalue; i++)
        if (value_is_const(p->g->value[i])) {
            item(p, count);
            put_constant(p, p->g->value[i]);
        }
}

/* The graph's signature states that of outputs. */
static bool has_inner_quant(const Value *v)
{
    return !v->is_output && quant_fits(v->quant, &v->type);
}

static void put_declarations(Printer *p, int *count)
{
    for EACH_NODE(n, p->g) {
        bool inferred = is_inferred(p->g, n);
        for (int i = 0; i < n->nout; i++)
            if (n->out[i] && (!inferred || has_inner_quant(n->out[i]))) {
                item(p, count);
                put_value_type(p->b, n->out[i]);
                buf_putc(p->b, ' ');
                put_name(p->b, n->out[i]->name);
            }
    }
}

/* Commits are not printed; they are last, and in no region. */
static const Node *last_printed(const Graph *g)
{
    const Node *n = g->last;

    while (n && g->plan && node_is_commit(n))
        n = n->prev;
    return n;
}

void graph_print(Buf *b, Graph *g, const PrintOptions *opt)
{
    Printer p = { b, g, opt };
    int count = 0;

    graph_tidy(g);
    put_header(&p);
    put_signature(&p);
    put_constants(&p, &count);
    put_declarations(&p, &count);
    buf_puts(b, count ? "\n>\n{\n" : "{\n");
    for EACH_NODE(n, g) {
        if (g->plan && node_is_commit(n))
            continue;
        put_regions(b, n, n->prev);
        buf_printf(b, "%*s", 2 + 2 * region_depth(n->region), "");
        put_op(b, n);
        put_walk(b, n);
        if (shows_places(&p)) {
            put_places(b, n->out, n->nout);
            put_scratch(b, n);
        }
        put_types(b, n);
        buf_putc(b, '\n');
    }
    put_regions(b, NULL, last_printed(g));
    buf_puts(b, "}\n");
}
