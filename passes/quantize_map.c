/* quantize_map.c - elementwise arithmetic between Q and DQ.
 *
 * What depends on one 8-bit tensor alone, through however many steps, has 256
 * possible results: the interpreter computes them and the arithmetic becomes
 * a table, exact in every code. Sums and products of two tensors have integer
 * ops.
 */
#include <math.h>
#include <string.h>

#include "quantize.h"

enum { MOST_NODES = 64, CODES = 256 };

/* The maps between one tensor, of codes or of bools, and a result, operands
 * first. */
typedef struct Dag {
    Node *node[MOST_NODES];
    int n;
    Value *leaf;
    bool bools;
} Dag;

static bool is_byte(DType dt)
{
    return dt == DT_I8 || dt == DT_U8;
}

static bool walk(Dag *d, Value *v)
{
    Node *n = v->def;

    if (value_is_const(v))
        return type_elems(&v->type) == 1;
    if (d->bools ? v->type.dt == DT_BOOL : is_byte(v->type.dt)) {
        if (d->leaf && d->leaf != v)
            return false;
        d->leaf = v;
        return true;
    }
    if (!n || !op_has(n->op, T_MAP) || op_has(n->op, T_RANDOM) ||
        n->nout != 1)
        return false;
    for (int i = 0; i < d->n; i++)
        if (d->node[i] == n)
            return true;
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] && !walk(d, n->in[i]))
            return false;
    if (d->n == MOST_NODES)
        return false;
    d->node[d->n++] = n;
    return true;
}

/* The same maps on a tensor of all codes. */
typedef struct Copy {
    Graph *g;
    Value *from[2 * MOST_NODES], *to[2 * MOST_NODES];
    int n;
} Copy;

static Value *copied(Copy *c, const Value *v)
{
    if (!v)
        return NULL;
    for (int i = 0; i < c->n; i++)
        if (c->from[i] == v)
            return c->to[i];
    return graph_const(c->g, NULL, type_scalar(v->type.dt), v->data);
}

static bool copy_node(Copy *c, const Node *n)
{
    Value **in = NEW_ARRAY(c->g->arena, Value *, n->nin);
    Node *m;

    for (int i = 0; i < n->nin; i++)
        in[i] = copied(c, n->in[i]);
    m = node_new(c->g, n->op, n->name, n->nin, in, 1);
    m->attr = n->attr;
    graph_append(c->g, m);
    if (!node_infer(c->g, m))
        return false;
    c->from[c->n] = n->out[0];
    c->to[c->n++] = m->out[0];
    return true;
}

/* for the first `count` codes, 0, 1, ...; `last` comes behind the maps */
static bool all_codes(const Dag *d, const Node *last, int count, Arena *arena,
                      Tensor *out)
{
    Diag mute = { .file = "" };
    Copy c = { .g = graph_new(arena, arena_child(arena), &mute) };
    uint8_t code[CODES];
    Tensor in = { type_vector(d->leaf->type.dt, count), code };
    Value *x = graph_value(c.g, "x", in.type);

    for (int i = 0; i < count; i++)
        code[i] = (uint8_t)i;
    graph_add_input(c.g, x);
    c.from[c.n] = d->leaf;
    c.to[c.n++] = x;
    for (int i = 0; i < d->n; i++)
        if (!copy_node(&c, d->node[i]))
            return false;
    if (last && !copy_node(&c, last))
        return false;
    graph_add_output(c.g, c.to[c.n - 1]);
    return graph_eval(c.g, &in, out, arena, NULL, NULL);
}

Value *map_of_bool(Graph *g, Value *v, double value[2])
{
    Dag d = { .bools = true };
    Arena *arena;
    Tensor out;
    bool ok;

    if (!dtype_is_float(v->type.dt) || !walk(&d, v) || !d.leaf)
        return NULL;
    arena = arena_child(g->arena);
    ok = all_codes(&d, NULL, 2, arena, &out) && type_elems(&out.type) == 2;
    for (int i = 0; ok && i < 2; i++)
        value[i] = elem_get(out.type.dt, out.data, i);
    arena_free(arena);
    return ok ? d.leaf : NULL;
}

static bool is_identity(const Value *leaf, const Tensor *t)
{
    if (t->type.dt != leaf->type.dt)
        return false;
    for (int i = 0; i < CODES; i++)
        if (((const uint8_t *)t->data)[i] != i)
            return false;
    return true;
}

static bool put_table(Site *s, const Dag *d, const Tensor *t)
{
    Value *in[2] = { d->leaf, NULL };
    const char *name = d->n ? d->node[d->n - 1]->name : s->q->name;
    void *data;

    if (is_identity(d->leaf, t) && bypass(s->g, s->q, d->leaf))
        return true;
    data = arena_memdup(s->g->arena, t->data,
                        (size_t)type_bytes(&t->type));
    in[1] = graph_const(s->g, "table", t->type, data);
    return site_end(s, node_new(s->g, OP_QLookup, name, 2, in, 1));
}

bool convert_lookup(Site *s)
{
    Dag d = { 0 };
    Arena *arena;
    Tensor out;
    bool ok;

    if (dtype_bits(s->y.dt) < 8 || !walk(&d, s->q->in[0]) || !d.leaf ||
        !type_same_shape(&d.leaf->type, &s->q->out[0]->type))
        return false;
    arena = arena_child(s->g->arena);
    /* a step of its own needs no 512 bytes */
    ok = (d.n > 1 || dtype_bits(s->y.dt) == 8) &&
         all_codes(&d, s->q, CODES, arena, &out) && put_table(s, &d, &out);
    arena_free(arena);
    return ok;
}

bool convert_requantize(Site *s)
{
    Grid x;
    Value *codes = codes_of(s->v, &x);
    Node *n;

    if (!codes)
        return false;
    if (grid_equal(&x, &s->y) && s->lo <= grid_lowest(&x) &&
        s->hi >= grid_highest(&x) && bypass(s->g, s->q, codes))
        return true;
    n = node_new(s->g, OP_QRequantize, s->q->name, 1, &codes, 1);
    set_grid(n, "x", &x);
    set_result(n, s);
    return site_end(s, n);
}

/* Sums and products of two. */

static Value *operand(Site *s, Value *v, Grid *grid)
{
    Value *codes = codes_of(v, grid);

    if (codes)
        return codes;
    if (value_is_const(v) && dtype_is_float(v->type.dt))
        return const_codes(s->g, v, grid);
    site_no(s, "its operand '%s' is not quantized", v->name);
    return NULL;
}

/* Too many codes for a table: -1 times b, exactly, as code c of b becomes
 * -1 - c (65535 - c of uint16). */
static Value *negated_wide(Site *s, Value *b, Grid *grid)
{
    Grid y = *grid, one = { (double)(1 / 32767.f), 0, DT_I16 };
    Value *in[2] = { b, NULL };
    Node *n;

    y.zp = (y.dt == DT_I16 ? -1 : 65535) - grid->zp;
    in[1] = graph_const_scalar(s->g, "minus_one", DT_I16, -32767);
    n = node_new(s->g, OP_QMul, s->v->def->name, 2, in, 1);
    set_grid(n, "a", grid);
    set_grid(n, "b", &one);
    set_grid(n, "y", &y);
    graph_insert(s->g, s->q, n);
    *grid = y;
    return site_infer(s, n) ? n->out[0] : NULL;
}

/* a - b: with the constant's codes negated, or a - b as b' + a where b' runs
 * the other way: code c of b stands for -(c - zp) * scale. */
static Value *negated(Site *s, Value *b, Grid *grid)
{
    int64_t n = type_elems(&b->type), flip;
    Value *in[2], *table;
    uint8_t *p;
    Node *t;

    if (value_is_const(b) && b->type.dt == DT_I16 && grid->zp == 0) {
        int16_t *c = NEW_ARRAY(s->g->arena, int16_t, n);
        for (int64_t i = 0; i < n; i++)
            c[i] = (int16_t)-((const int16_t *)b->data)[i];
        return graph_const(s->g, b->name, b->type, c);
    }
    if (!is_byte(b->type.dt))
        return negated_wide(s, b, grid);
    p = NEW_ARRAY(s->g->arena, uint8_t, CODES);
    flip = grid->dt == DT_I8 ? -1 : 255;        /* c -> flip - c: all codes */
    for (int i = 0; i < CODES; i++)
        p[i] = (uint8_t)(flip - (grid->dt == DT_I8 ? (int8_t)i : i));
    grid->zp = flip - grid->zp;
    table = graph_const(s->g, "table", type_vector(grid->dt, CODES), p);
    in[0] = b;
    in[1] = table;
    t = insert_op(s->g, s->q, OP_QLookup, s->v->def->name, 2, in, b->type);
    return t->out[0];
}

bool convert_binary(Site *s)
{
    Node *n = s->v->def, *q;
    Grid a, b;
    Value *in[2];
    bool mul = n->op == OP_Mul;

    if (n->op != OP_Add && n->op != OP_Sub && !mul)
        return false;
    if (value_is_const(n->in[0]) && value_is_const(n->in[1]))
        return false;
    in[0] = operand(s, n->in[0], &a);
    in[1] = in[0] ? operand(s, n->in[1], &b) : NULL;
    if (!in[0] || !in[1] ||
        (n->op == OP_Sub && !(in[1] = negated(s, in[1], &b))))
        return false;
    q = node_new(s->g, mul ? OP_QMul : OP_QAdd, n->name, 2, in, 1);
    set_grid(q, "a", &a);
    set_grid(q, "b", &b);
    set_result(q, s);
    return site_end(s, q);
}

/* PRelu: the greater of x and slope * x where no slope is above 1, else the
 * smaller. QuantizeLinear is monotonous, so it may come before. */
static Op prelu_choice(Site *s, const Value *slope)
{
    bool below = true, above = true;

    for (int64_t i = 0; i < type_elems(&slope->type); i++) {
        double x = elem_get(slope->type.dt, slope->data, i);
        below = below && x <= 1;
        above = above && x >= 1;
    }
    if (!below && !above)
        site_no(s, "its slopes are above and below 1");
    return below ? OP_Max : above ? OP_Min : OP_NONE;
}

bool convert_prelu(Site *s)
{
    Node *n = s->v->def, *put[2];
    Value *x, *two[2], *in[2];
    Grid a, b;
    Op op;

    if (n->op != OP_PRelu)
        return false;
    if (!(x = codes_of(n->in[0], &a)))
        return site_no(s, "its input is not quantized");
    if (!value_is_const(n->in[1]) ||
        !(two[1] = const_codes(s->g, n->in[1], &b)))
        return site_no(s, "its slopes are not finite constants");
    if (!(op = prelu_choice(s, n->in[1])))
        return false;
    two[0] = x;
    put[0] = node_new(s->g, OP_QRequantize, n->name, 1, two, 1);
    set_grid(put[0], "x", &a);
    put[1] = node_new(s->g, OP_QMul, n->name, 2, two, 1);
    set_grid(put[1], "a", &a);
    set_grid(put[1], "b", &b);
    for (int i = 0; i < 2; i++) {
        set_result(put[i], s);
        if (!site_put(s, put[i]))
            return false;
        in[i] = put[i]->out[0];
    }
    if (grid_equal(&a, &s->y) && s->lo <= grid_lowest(&a) &&
        s->hi >= grid_highest(&a))
        in[0] = x;
    n = insert_op(s->g, s->q, op, n->name, 2, in, s->q->out[0]->type);
    take_result(s->g, n, s->q);
    return true;
}
