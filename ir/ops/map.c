/* map.c - elementwise ops: inference by broadcasting, evaluation by the row
 * functions of map_rows.c. float16 and bfloat16 are widened to float and
 * rounded once. Where and Pow mix types and stand here; Cast is in cast.c. */
#include "../nest.h"
#include "../scalar.h"
#include "../hooks.h"
#include "map_rows.h"

#include <math.h>
#include <string.h>

static bool defined(const Node *n, DType dt)
{
    const char *row = scalar_of(n);

    if (row && !scalar_find(row, dt))
        return node_error(n, "is not defined for %s", dtype_name(dt));
    return true;
}

bool infer_same(Graph *g, Node *n)
{
    (void)g;
    if (op_has(n->op, T_MAP) && !defined(n, n->in[0]->type.dt))
        return false;
    if (n->op == OP_Gelu && strcmp(ATTRS(gelu, n)->approximate, "none") &&
        strcmp(ATTRS(gelu, n)->approximate, "tanh"))
        return node_error(n, "approximate is '%s', not none or tanh",
                          ATTRS(gelu, n)->approximate);
    n->out[0]->type = n->in[0]->type;
    return true;
}

bool infer_predicate(Graph *g, Node *n)
{
    if (!infer_same(g, n))
        return false;
    n->out[0]->type.dt = DT_BOOL;
    return true;
}

bool infer_clip(Graph *g, Node *n)
{
    for (int i = 1; i < n->nin; i++) {
        const Value *v = n->in[i];
        if (!v)
            continue;
        if (v->type.dt != n->in[0]->type.dt)
            return node_error(n, "bound is %s, but the input is %s",
                              dtype_name(v->type.dt),
                              dtype_name(n->in[0]->type.dt));
        if (type_elems(&v->type) != 1 || v->type.rank > 1)
            return node_error(n, "bound '%s' is no scalar", v->name);
    }
    return infer_same(g, n);
}

static bool broadcast(Node *n, const Type *a, const Type *b, Type *out)
{
    Buf text;

    if (type_broadcast(a, b, out))
        return true;
    buf_init(&text, n->graph->scratch);
    type_print(&text, a);
    buf_puts(&text, " and ");
    type_print(&text, b);
    return node_error(n, "shapes %s do not broadcast", text.s);
}

static bool infer_two(Node *n, Type *out)
{
    const Type *a = &n->in[0]->type, *b = &n->in[1]->type;

    if (a->dt != b->dt)
        return node_error(n, "operands are %s and %s", dtype_name(a->dt),
                          dtype_name(b->dt));
    if (!defined(n, a->dt) || !broadcast(n, a, b, out))
        return false;
    out->dt = a->dt;
    return true;
}

bool infer_binary(Graph *g, Node *n)
{
    Type t;

    (void)g;
    if (n->op == OP_BitShift &&
        strcmp(ATTRS(bitshift, n)->direction, "LEFT") &&
        strcmp(ATTRS(bitshift, n)->direction, "RIGHT"))
        return node_error(n, "direction is '%s', not LEFT or RIGHT",
                          ATTRS(bitshift, n)->direction);
    if (!infer_two(n, &t))
        return false;
    n->out[0]->type = t;
    return true;
}

bool infer_compare(Graph *g, Node *n)
{
    if (!infer_binary(g, n))
        return false;
    n->out[0]->type.dt = DT_BOOL;
    return true;
}

/* the slope broadcasts to x, not the other way */
bool infer_prelu(Graph *g, Node *n)
{
    Type t;

    (void)g;
    if (!infer_two(n, &t))
        return false;
    if (!type_same_shape(&t, &n->in[0]->type))
        return node_error(n, "slope does not broadcast to the input");
    n->out[0]->type = t;
    return true;
}

bool infer_pow(Graph *g, Node *n)
{
    const Type *a = &n->in[0]->type, *b = &n->in[1]->type;
    Type t;

    (void)g;
    if (!scalar_find("Add", a->dt) || !scalar_find("Add", b->dt))
        return node_error(n, "is not defined for %s and %s",
                          dtype_name(a->dt), dtype_name(b->dt));
    if (!broadcast(n, a, b, &t))
        return false;
    t.dt = a->dt;
    n->out[0]->type = t;
    return true;
}

bool infer_where(Graph *g, Node *n)
{
    const Type *c = &n->in[0]->type, *a = &n->in[1]->type;
    const Type *b = &n->in[2]->type;
    Type ab, t;

    (void)g;
    if (c->dt != DT_BOOL)
        return node_error(n, "condition is %s, not bool", dtype_name(c->dt));
    if (a->dt != b->dt)
        return node_error(n, "operands are %s and %s", dtype_name(a->dt),
                          dtype_name(b->dt));
    if (dtype_bits(a->dt) < 8)
        return node_error(n, "is not defined for %s", dtype_name(a->dt));
    if (!broadcast(n, a, b, &ab) || !broadcast(n, c, &ab, &t))
        return false;
    t.dt = a->dt;
    n->out[0]->type = t;
    return true;
}

typedef struct MapRun {
    MapRow *row;
    MapArgs args;
    const char *x, *y, *z;
    char *out;
    int size, out_size;
} MapRun;

static void run_row(void *user, const Nest *l, const int64_t *at)
{
    MapRun *r = user;
    int last = l->rank - 1;

    r->args.n = l->n[last];
    r->args.x = r->x + at[0] * r->size;
    r->args.y = r->y + at[1] * r->size;
    r->args.z = r->z + at[2] * r->size;
    r->args.out = r->out + at[3] * r->out_size;
    r->args.sx = l->stride[0][last];
    r->args.sy = l->stride[1][last];
    r->args.sz = l->stride[2][last];
    r->row(&r->args);
}

static bool half(DType dt)
{
    return dt == DT_F16 || dt == DT_BF16;
}

/* the tensor's elements, 16-bit floats widened to float */
static const void *widen(const Tensor *t, Arena *scratch)
{
    int64_t n = type_elems(&t->type);
    float *f;

    if (!half(t->type.dt))
        return t->data;
    f = NEW_ARRAY(scratch, float, n + 1);
    for (int64_t i = 0; i < n; i++)
        f[i] = (float)elem_get(t->type.dt, t->data, i);
    return f;
}

static void narrow(Tensor *t, const float *f)
{
    int64_t n = type_elems(&t->type);

    for (int64_t i = 0; i < n; i++)
        elem_set(t->type.dt, t->data, i, (double)f[i]);
}

/* Operands in the order of the row: absent ones repeat the first. */
static void run_map(const char *name, int nin, const Tensor *const *in,
                    Tensor *out, float p0, float p1, Arena *scratch)
{
    DType dt = in[0]->type.dt, wide = half(dt) ? DT_F32 : dt;
    MapRun r = { 0 };
    Nest l;

    r.row = map_row(name, wide);
    r.args.p0 = (double)p0;
    r.args.p1 = (double)p1;
    r.x = r.y = r.z = widen(in[0], scratch);
    if (nin > 1)
        r.y = widen(in[1], scratch);
    if (nin > 2)
        r.z = widen(in[2], scratch);
    r.size = dtype_bytes(wide);
    r.out_size = half(out->type.dt) ? 4 : dtype_bytes(out->type.dt);
    r.out = out->data;
    if (half(out->type.dt))
        r.out = (char *)NEW_ARRAY(scratch, float, type_elems(&out->type) + 1);
    nest_init(&l, out->type.rank, out->type.dim);
    for (int i = 0; i < 3; i++)
        nest_broadcast(&l, &in[i < nin ? i : 0]->type);
    nest_dense(&l);
    nest_collapse(&l);
    nest_walk(&l, run_row, &r);
    if (half(out->type.dt))
        narrow(out, (const float *)(const void *)r.out);
}

bool eval_map(const Node *n, const Tensor *const *in, Tensor *const *out,
              Arena *scratch, Diag *diag)
{
    const char *row = scalar_of(n);
    const Tensor *given[3];
    float p0, p1;
    int nin = 0;

    (void)diag;
    for (int i = 0; i < n->nin; i++)
        if (in[i])
            given[nin++] = in[i];
    scalar_params(n, &p0, &p1);
    if (row)
        run_map(row, nin, given, out[0], p0, p1, scratch);
    else                        /* Clip without bounds */
        memcpy(out[0]->data, in[0]->data,
               (size_t)type_bytes(&out[0]->type));
    return true;
}

void map_act(const char *act, float alpha, float beta, Tensor *t)
{
    DType dt = t->type.dt;
    MapRow *row = map_row(act, half(dt) ? DT_F32 : dt);
    int64_t n = type_elems(&t->type);
    uint64_t lo = 0, hi = 0, e = 0;     /* room for one element each */
    MapArgs a = { .out = &e, .n = 1, .p0 = (double)alpha,
                  .p1 = (double)beta };

    if (!row)
        return;
    elem_set(half(dt) ? DT_F32 : dt, &lo, 0, (double)alpha);
    elem_set(half(dt) ? DT_F32 : dt, &hi, 0, (double)beta);
    a.y = &lo;
    a.z = &hi;
    for (int64_t i = 0; i < n && half(dt); i++) {
        float f = (float)elem_get(dt, t->data, i), r;
        a.x = &f;
        a.out = &r;
        row(&a);
        elem_set(dt, t->data, i, (double)r);
    }
    if (half(dt))
        return;
    a.x = a.out = t->data;
    a.n = n;
    a.sx = 1;
    row(&a);
}

/* Where: any type, by size */

typedef struct WhereRun {
    const uint8_t *cond, *x, *y;
    uint8_t *out;
    int size;
} WhereRun;

static void where_row(void *user, const Nest *l, const int64_t *at)
{
    const WhereRun *r = user;
    int last = l->rank - 1;
    size_t size = (size_t)r->size;

    for (int64_t i = 0; i < l->n[last]; i++) {
        bool c = r->cond[at[0] + i * l->stride[0][last]] != 0;
        const uint8_t *from =
            c ? r->x + (at[1] + i * l->stride[1][last]) * r->size
              : r->y + (at[2] + i * l->stride[2][last]) * r->size;
        memcpy(r->out + (at[3] + i) * r->size, from, size);
    }
}

bool eval_where(const Node *n, const Tensor *const *in, Tensor *const *out,
                Arena *scratch, Diag *diag)
{
    const Type *t = &out[0]->type;
    WhereRun r = { in[0]->data, in[1]->data, in[2]->data, out[0]->data,
                   dtype_bytes(t->dt) };
    Nest l;

    (void)n;
    (void)scratch;
    (void)diag;
    nest_init(&l, t->rank, t->dim);
    for (int i = 0; i < 3; i++)
        nest_broadcast(&l, &in[i]->type);
    nest_dense(&l);
    nest_collapse(&l);
    nest_walk(&l, where_row, &r);
    return true;
}

/* Pow: the result has the type of the base */

typedef struct PowRun {
    DType a, b;
    const void *x, *y;
    void *out;
} PowRun;

/* wraps; a negative exponent truncates 1 / x^-y, and 0 gives 0 */
static uint64_t pow_int(int64_t x, int64_t y)
{
    uint64_t r = 1, b = (uint64_t)x;

    if (y < 0)
        return x == 1 ? 1 : x == -1 ? (y & 1 ? UINT64_MAX : 1) : 0;
    for (; y; y >>= 1, b *= b)
        if (y & 1)
            r *= b;
    return r;
}

static void pow_one(const PowRun *r, int64_t ix, int64_t iy, int64_t io)
{
    double y, z;

    if (dtype_is_int(r->a) && dtype_is_int(r->b)) {
        int64_t e = elem_get_int(r->b, r->y, iy);
        if (r->b == DT_U64 && e < 0)    /* wraps as any even power would */
            e &= INT64_MAX;
        elem_set_int(r->a, r->out, io,
                     (int64_t)pow_int(elem_get_int(r->a, r->x, ix), e));
        return;
    }
    y = elem_get(r->b, r->y, iy);
    z = pow(elem_get(r->a, r->x, ix), y);
    if (dtype_is_int(r->a))
        elem_set_int(r->a, r->out, io, elem_saturate(r->a, z));
    else
        elem_set(r->a, r->out, io, z);
}

static void pow_row(void *user, const Nest *l, const int64_t *at)
{
    int last = l->rank - 1;

    for (int64_t i = 0; i < l->n[last]; i++)
        pow_one(user, at[0] + i * l->stride[0][last],
                at[1] + i * l->stride[1][last], at[2] + i);
}

bool eval_pow(const Node *n, const Tensor *const *in, Tensor *const *out,
              Arena *scratch, Diag *diag)
{
    const Type *t = &out[0]->type;
    PowRun r = { in[0]->type.dt, in[1]->type.dt, in[0]->data, in[1]->data,
                 out[0]->data };
    Nest l;

    (void)n;
    (void)scratch;
    (void)diag;
    nest_init(&l, t->rank, t->dim);
    nest_broadcast(&l, &in[0]->type);
    nest_broadcast(&l, &in[1]->type);
    nest_dense(&l);
    nest_collapse(&l);
    nest_walk(&l, pow_row, &r);
    return true;
}
