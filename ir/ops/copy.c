/* copy.c - movement as strided copies. move_part says what is copied where,
 * for the interpreter here and for codegen/emit_move.c; elements of any type
 * are copied by size.
 */
#include "../hooks.h"
#include "../move.h"

#include <string.h>

int move_count(const Node *n)
{
    return n->op == OP_Split ? n->nout : n->op == OP_Concat ? n->nin : 1;
}

static void transpose_part(const Node *n, Nest *l)
{
    const Type *x = &n->in[0]->type, *y = &n->out[0]->type;
    int64_t own[MAX_RANK], stride[MAX_RANK];
    int perm[MAX_RANK];

    type_strides(x, own);
    transpose_perm(n, x->rank, perm);
    for (int i = 0; i < x->rank; i++)
        stride[i] = own[perm[i]];
    nest_init(l, y->rank, y->dim);
    nest_dense(l);
    nest_strided(l, 0, stride);
}

static void slice_part(const Node *n, Nest *l)
{
    const Type *x = &n->in[0]->type, *y = &n->out[0]->type;
    int64_t own[MAX_RANK], stride[MAX_RANK], base = 0;
    SliceAxis s[MAX_RANK];
    Tensor store[5];
    const Tensor *in[5];
    const Value *which;

    nest_init(l, y->rank, y->dim);
    nest_dense(l);
    type_strides(x, own);
    if (!const_operands(n, 1, store, in, &which) ||
        !slice_axes(n, x, in, s))
        return;                 /* excluded by infer_slice */
    for (int i = 0; i < x->rank; i++) {
        stride[i] = s[i].len > 1 ? own[i] * s[i].step : 0;
        base += own[i] * s[i].start;
    }
    nest_strided(l, base, stride);
}

/* elements of the parts before number k along the axis */
static int64_t parts_before(const Node *n, int axis, int k)
{
    const Type *x = &n->in[0]->type;
    int64_t at = 0;

    for (int i = 0; i < k; i++)
        if (n->op == OP_Concat)
            at += n->in[i]->type.dim[axis];
        else if (n->out[i])
            at += n->out[i]->type.dim[axis];
        else if (value_is_const(node_in(n, 1)))
            at += elem_get_int(n->in[1]->type.dt, n->in[1]->data, i);
        else                    /* equal parts but for the last */
            at += (x->dim[axis] + n->nout - 1) / n->nout;
    return at;
}

/* part k is dense; the whole has it at an offset along the axis */
static void axis_part(const Node *n, int k, Nest *l)
{
    bool join = n->op == OP_Concat;
    const Type *part = join ? &n->in[k]->type : &n->out[k]->type;
    const Type *whole = join ? &n->out[0]->type : &n->in[0]->type;
    int64_t axis = join ? ATTRS(concat, n)->axis : ATTRS(split, n)->axis;
    int64_t stride[MAX_RANK], base;

    if (axis < 0)
        axis += whole->rank;
    type_strides(whole, stride);
    base = parts_before(n, (int)axis, k) * stride[axis];
    nest_init(l, part->rank, part->dim);
    if (join)
        nest_strided(l, base, stride);
    nest_dense(l);
    if (!join)
        nest_strided(l, base, stride);
}

static void tile_part(const Node *n, Nest *l)
{
    const Type *x = &n->in[0]->type, *y = &n->out[0]->type;
    int64_t own[MAX_RANK], stride[NEST_RANK], dim[NEST_RANK];

    type_strides(x, own);
    for (int i = 0; i < x->rank; i++) {
        dim[2 * i] = x->dim[i] ? y->dim[i] / x->dim[i] : 0;
        dim[2 * i + 1] = x->dim[i];
        stride[2 * i] = 0;
        stride[2 * i + 1] = own[i];
    }
    nest_init(l, 2 * x->rank, dim);
    nest_dense(l);
    nest_strided(l, 0, stride);
}

/* perm over the operand seen as dims six[6] */
static void six_part(const int64_t *six, const int *perm, Nest *l)
{
    Type t = type_make(DT_I8, 6, six);
    int64_t own[MAX_RANK], stride[6], dim[6];

    type_strides(&t, own);
    for (int i = 0; i < 6; i++) {
        stride[i] = own[perm[i]];
        dim[i] = six[perm[i]];
    }
    nest_init(l, 6, dim);
    nest_dense(l);
    nest_strided(l, 0, stride);
}

static void depthtospace_part(const Node *n, Nest *l)
{
    static const int dcr[] = { 0, 3, 4, 1, 5, 2 };
    static const int crd[] = { 0, 1, 4, 2, 5, 3 };
    const int64_t *d = n->in[0]->type.dim;
    int64_t b = ATTRS(depthtospace, n)->blocksize, c = d[1] / (b * b);

    if (!strcmp(ATTRS(depthtospace, n)->mode, "DCR"))
        six_part((int64_t[]){ d[0], b, b, c, d[2], d[3] }, dcr, l);
    else
        six_part((int64_t[]){ d[0], c, b, b, d[2], d[3] }, crd, l);
}

static void spacetodepth_part(const Node *n, Nest *l)
{
    static const int perm[] = { 0, 3, 5, 1, 2, 4 };
    const int64_t *d = n->in[0]->type.dim;
    int64_t b = ATTRS(spacetodepth, n)->blocksize;

    six_part((int64_t[]){ d[0], d[1], d[2] / b, b, d[3] / b, b }, perm, l);
}

void move_part(const Node *n, int k, Move *m)
{
    m->in = n->op == OP_Concat ? k : 0;
    m->out = n->op == OP_Split ? k : 0;
    switch (n->op) {
    case OP_Transpose: transpose_part(n, &m->nest); break;
    case OP_Slice: slice_part(n, &m->nest); break;
    case OP_Split: case OP_Concat: axis_part(n, k, &m->nest); break;
    case OP_Tile: tile_part(n, &m->nest); break;
    case OP_DepthToSpace: depthtospace_part(n, &m->nest); break;
    case OP_SpaceToDepth: spacetodepth_part(n, &m->nest); break;
    default:                    /* Expand, views */
        nest_init(&m->nest, n->out[0]->type.rank, n->out[0]->type.dim);
        nest_dense(&m->nest);
        nest_broadcast(&m->nest, op_has(n->op, T_VIEW)
                                     ? &n->out[0]->type
                                     : &n->in[0]->type);
    }
    nest_collapse(&m->nest);
}

typedef struct Copy { uint8_t *y; const uint8_t *x; int size; } Copy;

static void copy_row(void *user, const Nest *l, const int64_t *at)
{
    const Copy *c = user;
    int last = l->rank - 1, size = c->size;
    int64_t sy = l->stride[0][last], sx = l->stride[1][last];
    uint8_t *y = c->y + at[0] * size;
    const uint8_t *x = c->x + at[1] * size;

    if (sy == 1 && sx == 1) {
        memcpy(y, x, (size_t)(l->n[last] * size));
        return;
    }
    for (int64_t i = 0; i < l->n[last]; i++)
        memcpy(y + i * sy * size, x + i * sx * size, (size_t)size);
}

static void copy_part(const Node *n, int k, const void *const *x,
                      void *const *y, DType dt)
{
    Copy c = { NULL, NULL, dtype_bytes(dt) };
    Move m;

    move_part(n, k, &m);
    c.y = y[m.out];
    c.x = x[m.in];
    nest_walk(&m.nest, copy_row, &c);
}

bool eval_move(const Node *n, const Tensor *const *in, Tensor *const *out,
               Arena *scratch, Diag *diag)
{
    const void **x = NEW_ARRAY(scratch, const void *, n->nin);
    void **y = NEW_ARRAY(scratch, void *, n->nout);

    (void)diag;
    for (int i = 0; i < n->nin; i++)
        if (in[i] && (i == 0 || n->op == OP_Concat))
            x[i] = raw_in(in[i], scratch);
    for (int i = 0; i < n->nout; i++)
        if (out[i])
            y[i] = raw_out(out[i], scratch);
    for (int k = 0; k < move_count(n); k++)
        if (n->op != OP_Split || out[k])
            copy_part(n, k, x, y, in[0]->type.dt);
    for (int i = 0; i < n->nout; i++)
        if (out[i])
            raw_done(out[i], y[i]);
    return true;
}

/* Element i of an axis is start + i * step, clamped into the operand: that
 * matters only where a run-time slice is shorter than declared. */
static int64_t slice_at(const SliceAxis *s, int64_t i, int64_t d)
{
    int64_t room = s->step < 0 ? s->start : d - 1 - s->start;
    uint64_t step = s->step < 0 ? 0 - (uint64_t)s->step : (uint64_t)s->step;

    if (room < 0 || (i && (uint64_t)room / (uint64_t)i < step))
        return s->step < 0 ? 0 : d - 1;
    return s->start + i * s->step;
}

bool eval_slice(const Node *n, const Tensor *const *in, Tensor *const *out,
                Arena *scratch, Diag *diag)
{
    const Type *x = &in[0]->type, *y = &out[0]->type;
    SliceAxis s[MAX_RANK];
    int64_t own[MAX_RANK], i[MAX_RANK] = { 0 }, count = type_elems(y);
    int size = dtype_bytes(x->dt);
    uint8_t *raw = raw_out(out[0], scratch);
    const uint8_t *src = raw_in(in[0], scratch);
    Tensor store[5];
    const Tensor *given[5];
    const Value *which;

    if (const_operands(n, 1, store, given, &which))
        return eval_move(n, in, out, scratch, diag);
    if (!slice_axes(n, x, in, s))
        return false;
    type_strides(x, own);
    if (!type_elems(x))
        count = 0;
    for (int64_t k = 0; k < count; k++) {
        int64_t at = 0;
        for (int a = 0; a < y->rank; a++)
            at += slice_at(&s[a], i[a], x->dim[a]) * own[a];
        memcpy(raw + k * size, src + at * size, (size_t)size);
        for (int a = y->rank - 1; a >= 0 && ++i[a] == y->dim[a]; a--)
            i[a] = 0;
    }
    raw_done(out[0], raw);
    return true;
}
