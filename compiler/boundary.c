/* boundary.c - options that change what goes in and out of a model:
 * --input-norm (uint8 camera data), --input-layout (camera order) and --state
 * (persistent buffers). All edit the freshly built graph, so that every pass
 * sees the result.
 */
#include "compile.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_NORM = 2 * 4096 };

static Value *find_input(Graph *g, const char *name, size_t n)
{
    for (int i = 0; i < g->nin; i++)
        if (strlen(g->in[i]->name) == n && !strncmp(g->in[i]->name, name, n))
            return g->in[i];
    return NULL;
}

/* "m,s", "m0:m1:m2,s0:s1:s2" or "m0,m1,m2,s0,s1,s2"; count, 0 when bad */
static int parse_numbers(const char *s, float *out)
{
    int n = 0;

    while (*s && n < MAX_NORM) {
        char *end;
        out[n++] = strtof(s, &end);
        if (end == s || (*end && *end != ',' && *end != ':') ||
            !(out[n - 1] - out[n - 1] == 0))
            return 0;
        s = *end ? end + 1 : end;
    }
    return n;
}

/* A constant of one value per channel (axis 1), or one for all. */
static Value *per_channel(Graph *g, const Value *x, const char *name,
                          const float *v, int n)
{
    Type t = type_scalar(DT_F32);

    if (n > 1) {
        t.rank = x->type.rank;
        for (int i = 0; i < t.rank; i++)
            t.dim[i] = i == 1 ? n : 1;
    }
    return graph_const(g, name, t,
                       arena_memdup(g->arena, v, (size_t)n * sizeof *v));
}

static Value *insert_first(Graph *g, Op op, Value *a, Value *b, Node **after)
{
    Value *in[2] = { a, b };
    Node *n = node_new(g, op, "input_norm", b ? 2 : 1, in, 1);

    if (op == OP_Cast)
        ATTRS(cast, n)->to = DT_F32;
    graph_insert(g, *after ? (*after)->next : g->first, n);
    *after = n;
    if (!node_infer(g, n))
        return NULL;
    return n->out[0];
}

/* x = (byte - mean) / std, written as byte * (1 / std) + (-mean / std) */
static bool normalize(Graph *g, Value *x, const float *num, int count)
{
    int n = count / 2;
    float *scale = NEW_ARRAY(g->arena, float, n);
    float *shift = NEW_ARRAY(g->arena, float, n);
    Type t = x->type;
    Node *after = NULL;
    Value *v, *raw;
    const char *name = x->name;

    for (int i = 0; i < n; i++) {
        if (num[n + i] == 0)
            return diag_error(g->diag, "--input-norm: a standard deviation "
                              "is 0");
        scale[i] = 1 / num[n + i];
        shift[i] = -num[i] / num[n + i];
    }
    t.dt = DT_U8;
    raw = graph_value(g, name, t);
    x->name = raw->name;
    raw->name = name;
    for (int i = 0; i < g->nin; i++)
        if (g->in[i] == x)
            g->in[i] = raw;
    raw->is_input = true;
    x->is_input = false;
    v = insert_first(g, OP_Cast, raw, NULL, &after);
    v = insert_first(g, OP_Mul, v, per_channel(g, x, "norm_scale", scale, n),
                     &after);
    v = insert_first(g, OP_Add, v, per_channel(g, x, "norm_shift", shift, n),
                     &after);
    value_replace(g, x, v);
    return true;
}

static bool input_norm(Compile *c, const char *spec)
{
    const char *eq = strrchr(spec, '='), *numbers = eq ? eq + 1 : spec;
    Graph *g = c->g;
    Value *x = eq ? find_input(g, spec, (size_t)(eq - spec))
                  : g->nin == 1 ? g->in[0] : NULL;
    float *num = NEW_ARRAY(c->arena, float, MAX_NORM);
    int n = parse_numbers(numbers, num);

    if (!x)
        return diag_error(c->diag, eq ? "--input-norm: no input is named "
                          "'%.*s'" : "--input-norm needs NAME=, the model has"
                          " several inputs (%.*s)", (int)(numbers - spec -
                          (eq != NULL)), spec);
    if (x->type.dt != DT_F32)
        return diag_error(c->diag, "--input-norm: input '%s' is %s, not "
                          "float", x->name, dtype_name(x->type.dt));
    if (n < 2 || n % 2)
        return diag_error(c->diag, "--input-norm takes MEAN,STD in units of "
                          "the byte (0 to 255), or m0:m1:m2,s0:s1:s2, not "
                          "'%s'", numbers);
    if (n > 2 && (x->type.rank < 2 || x->type.dim[1] != n / 2))
        return diag_error(c->diag, "--input-norm: %d channels given, input "
                          "'%s' has %lld", n / 2, x->name,
                          (long long)(x->type.rank > 1 ? x->type.dim[1] : 0));
    return normalize(g, x, num, n);
}

/* The caller hands over [N, H, W, C]. The transpose that brings it to the
 * model's own order is what passes get rid of: they re-lay weights. */
static bool input_layout(Compile *c, const char *spec)
{
    static const int64_t perm[4] = { 0, 3, 1, 2 };
    const char *eq = strrchr(spec, '=');
    Graph *g = c->g;
    Value *x = eq ? find_input(g, spec, (size_t)(eq - spec))
                  : g->nin == 1 ? g->in[0] : NULL, *camera;
    const char *name;
    Type t;
    Node *n;

    if (strcmp(eq ? eq + 1 : spec, "nhwc"))
        return diag_error(c->diag, "--input-layout takes [NAME=]nhwc, not "
                          "'%s'", spec);
    if (!x)
        return diag_error(c->diag, eq ? "--input-layout: no input is named "
                          "'%.*s'" : "--input-layout needs NAME=, the model "
                          "has several inputs%.*s", eq ? (int)(eq - spec) : 0,
                          spec);
    if (x->type.rank != 4)
        return diag_error(c->diag, "--input-layout: input '%s' has %d "
                          "dimensions, an image batch has 4", x->name,
                          x->type.rank);
    t = x->type;
    for (int i = 0; i < 3; i++)
        t.dim[i + 1] = x->type.dim[i < 2 ? i + 2 : 1];
    name = x->name;
    camera = graph_value(g, name, t);
    x->name = camera->name;
    camera->name = name;
    camera->is_input = true;
    x->is_input = false;
    for (int i = 0; i < g->nin; i++)
        if (g->in[i] == x)
            g->in[i] = camera;
    n = node_new(g, OP_Transpose, "input_layout", 1, &camera, 1);
    ATTRS(transpose, n)->perm = (Ints){
        4, arena_memdup(g->arena, perm, sizeof perm)
    };
    graph_insert(g, g->first, n);
    if (!node_infer(g, n))
        return false;
    value_replace(g, x, n->out[0]);
    return true;
}

static Value *find_output(Graph *g, const char *name)
{
    for (int i = 0; i < g->nout; i++)
        if (!strcmp(value_label(g->out[i]), name))
            return g->out[i];
    return NULL;
}

static bool drop(Value **list, int *n, const Value *v)
{
    for (int i = 0; i < *n; i++)
        if (list[i] == v) {
            memmove(list + i, list + i + 1,
                    (size_t)(*n - i - 1) * sizeof *list);
            (*n)--;
            return true;
        }
    return false;
}

/* The pair leaves the graph's inputs and outputs. Both keep their flags: the
 * planner gives them one buffer in the state region. */
static bool add_state(Graph *g, Value *in, Value *out)
{
    State *s;

    if (!type_equal(&in->type, &out->type)) {
        Buf b;
        buf_init(&b, g->arena);
        type_print(&b, &in->type);
        buf_puts(&b, " and ");
        type_print(&b, &out->type);
        return diag_error(g->diag, "--state: '%s' and '%s' differ: %s",
                          in->name, out->name, b.s);
    }
    if (!drop(g->in, &g->nin, in) || !drop(g->out, &g->nout, out))
        return diag_error(g->diag, "--state: '%s' or '%s' is used twice",
                          in->name, out->name);
    s = NEW(g->arena, State);
    s->in = in;
    s->out = out;
    s->next = g->state;
    g->state = s;
    return true;
}

/* Exporters' names for a cache going in and coming out. */
static const char *const partner[][2] = {
    { "past_key_values.", "present." }, { "past_key_values.",
      "present_key_values." }, { "past_", "present_" }, { "past.", "present." },
    { "state_in", "state_out" }, { "in_state", "out_state" },
    { "input_state", "output_state" }, { "h_in", "h_out" },
    { "c_in", "c_out" }, { "h0", "hn" }, { "c0", "cn" },
    { "initial_", "final_" },
};

static Value *auto_partner(Graph *g, const Value *in)
{
    for (size_t i = 0; i < sizeof partner / sizeof partner[0]; i++) {
        const char *at = strstr(in->name, partner[i][0]);
        Value *out;
        if (!at)
            continue;
        out = find_output(g, arena_printf(g->scratch, "%.*s%s%s",
                                          (int)(at - in->name), in->name,
                                          partner[i][1],
                                          at + strlen(partner[i][0])));
        if (out && type_equal(&in->type, &out->type))
            return out;
    }
    return NULL;
}

static bool auto_state(Graph *g)
{
    int found = 0;

    for (int i = 0; i < g->nin; i++) {
        Value *out = auto_partner(g, g->in[i]);
        if (!out)
            continue;
        if (!add_state(g, g->in[i], out))
            return false;
        found++;
        i--;
    }
    if (!found)
        return diag_error(g->diag, "--state auto: no input and output are "
                          "named like a cache (past_x and present_x)");
    return true;
}

static bool state(Compile *c, const char *spec)
{
    const char *eq = strchr(spec, '=');
    Value *in, *out;

    if (!strcmp(spec, "auto"))
        return auto_state(c->g);
    if (!eq)
        return diag_error(c->diag, "--state takes IN=OUT or auto, not '%s'",
                          spec);
    in = find_input(c->g, spec, (size_t)(eq - spec));
    out = find_output(c->g, eq + 1);
    if (!in)
        return diag_error(c->diag, "--state: no input is named '%.*s'",
                          (int)(eq - spec), spec);
    if (!out)
        return diag_error(c->diag, "--state: no output is named '%s'",
                          eq + 1);
    return add_state(c->g, in, out);
}

bool boundary_apply(Compile *c)
{
    for (int i = 0; i < c->opt->input_norm.n; i++)
        if (!input_norm(c, c->opt->input_norm.v[i]))
            return false;
    for (int i = 0; i < c->opt->input_layout.n; i++)
        if (!input_layout(c, c->opt->input_layout.v[i]))
            return false;
    for (int i = 0; i < c->opt->state.n; i++)
        if (!state(c, c->opt->state.v[i]))
            return false;
    return true;
}
