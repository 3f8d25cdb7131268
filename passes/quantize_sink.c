/* quantize_sink.c - transposes sink below everything that does not care about
 * the order of axes, meet the next one and cancel.
 *
 * y = n(T(x), ...) becomes T'(n'(x, ...)): the node n itself is changed, and
 * the transpose T' makes its old result.
 */
#include <string.h>

#include "quantize_layout.h"

static void transpose_result(Graph *g, Node *n, int o, const Perm *p)
{
    Value *y = n->out[o], *inner;
    Type t = y->type;
    Node *tr;

    for (int i = 0; i < p->rank; i++)
        t.dim[p->v[i]] = y->type.dim[i];
    inner = graph_value(g, y->name, t);
    node_set_output(n, o, inner);
    tr = node_new(g, OP_Transpose, n->name, 1, &inner, 1);
    set_ints(g, tr, "perm", p->rank, p->v);
    graph_insert(g, n->next, tr);
    node_set_output(tr, 0, y);
}

/* Only axes of extent 1 change places. */
static bool is_free(const Type *t, const Perm *p)
{
    int64_t last = -1;

    for (int i = 0; i < p->rank; i++) {
        if (t->dim[p->v[i]] == 1)
            continue;
        if (p->v[i] < last)
            return false;
        last = p->v[i];
    }
    return true;
}

/* v, of the result's rank or broadcast to it, before a transpose by p: the
 * operand of such a transpose, a constant, or what needs no copy. */
static bool before(const Value *v, const Perm *p, int rank)
{
    const Node *t = maker(v, OP_Transpose);
    Perm own, inv = perm_inverse(p);

    if (type_elems(&v->type) == 1)
        return true;
    if (t) {
        own = perm_of(t);
        if (perm_equal(&own, p))
            return true;
    }
    if (v->type.rank != rank)
        return value_is_const(v) && dtype_bits(v->type.dt) >= 8;
    return (value_is_const(v) && dtype_bits(v->type.dt) >= 8) ||
           is_free(&v->type, &inv);
}

/* A move of a constant is a constant, at once: later ones look for that. */
static Value *folded(Graph *g, Node *n)
{
    Value *y = n->out[0];

    if (value_is_const(n->in[0]) && node_fold_affordable(g, n) &&
        node_fold(g, n))
        graph_remove(g, n);
    return y;
}

static Value *make_before(Graph *g, Node *at, Value *v, const Perm *p)
{
    Node *t = maker(v, OP_Transpose);
    Perm own, inv = perm_inverse(p);

    if (type_elems(&v->type) == 1)
        return v;
    if (t) {
        own = perm_of(t);
        if (perm_equal(&own, p))
            return t->in[0];
    }
    if (v->type.rank < p->rank) {
        int64_t dim[MAX_RANK];
        int off = p->rank - v->type.rank;
        for (int i = 0; i < p->rank; i++)
            dim[i] = i < off ? 1 : v->type.dim[i - off];
        v = folded(g, put_reshape(g, at, v, p->rank, dim));
    }
    return folded(g, put_transpose(g, at, v, &inv));
}

/* The operands of n that are data of the same axes as its result. */
static int data_operands(const Node *n)
{
    Grid grid;

    if (n->op == OP_QuantizeLinear)     /* codes are fewer bytes to move */
        return grid_of(n, &grid) ? 1 : 0;
    if (n->op == OP_DequantizeLinear)
        return 0;
    if (n->op == OP_QLookup)
        return 1;
    if (n->op == OP_PRelu)
        return 0;
    return op_has(n->op, T_MAP) || n->op == OP_Concat ? n->nin : 0;
}

static bool sinks_map(const Node *n, Perm *p)
{
    int count = data_operands(n), rank = n->out[0]->type.rank;
    bool any = false;

    for (int i = 0; i < count; i++) {
        const Node *t = n->in[i] ? maker(n->in[i], OP_Transpose) : NULL;
        if (t && t->in[0]->type.rank == rank &&
            (n->op == OP_Concat ||
             type_same_shape(&n->in[i]->type, &n->out[0]->type))) {
            *p = perm_of(t);
            any = true;
            break;
        }
    }
    for (int i = 0; any && i < count; i++)
        if (n->in[i] && !before(n->in[i], p, rank))
            return false;
    return any;
}

static bool sink_map(Graph *g, Node *n, const Perm *p)
{
    int count = data_operands(n);

    for (int i = 0; i < count; i++)
        if (n->in[i])
            node_set_input(n, i, make_before(g, n, n->in[i], p));
    if (n->op == OP_Concat) {
        int64_t *axis = &ATTRS(concat, n)->axis;
        *axis = p->v[*axis < 0 ? *axis + p->rank : *axis];
    }
    transpose_result(g, n, 0, p);
    return true;
}

/* QReduceMean takes a run of axes: are they one before the transpose too? */
static bool stay_adjacent(const Node *n, const Perm *p)
{
    const Ints *a = &ATTRS(qmean, n)->axes;
    int64_t first = MAX_RANK, last = -1;

    for (int i = 0; i < a->n; i++) {
        int64_t axis = p->v[a->v[i] < 0 ? a->v[i] + p->rank : a->v[i]];
        first = axis < first ? axis : first;
        last = axis > last ? axis : last;
    }
    return last - first + 1 == a->n;
}

/* Reductions: the axes are other ones; those that go leave the rest in the
 * order of x. */
static bool sinks_mean(const Node *n, Perm *p)
{
    const Node *t = n->op == OP_QReduceMean ? maker(n->in[0], OP_Transpose)
                                            : NULL;

    if (t)
        *p = perm_of(t);
    return t && stay_adjacent(n, p);
}

static bool sink_mean(Graph *g, Node *n, const Perm *p)
{
    const Ints *a = &ATTRS(qmean, n)->axes;
    int64_t axes[MAX_RANK], sorted[MAX_RANK];
    bool gone[MAX_RANK] = { false };
    Perm rest = { 0, { 0 } };
    int count = 0;

    for (int i = 0; i < a->n; i++) {
        axes[i] = p->v[a->v[i] < 0 ? a->v[i] + p->rank : a->v[i]];
        gone[axes[i]] = true;
    }
    for (int i = 0; i < p->rank; i++)
        if (gone[i])
            sorted[count++] = i;
    for (int i = 0; i < p->rank; i++)
        if (!gone[p->v[i]]) {
            int64_t before_it = 0;
            for (int k = 0; k < p->v[i]; k++)
                before_it += !gone[k];
            rest.v[rest.rank++] = before_it;
        }
    node_set_input(n, 0, n->in[0]->def->in[0]);
    set_ints(g, n, "axes", count, sorted);
    transpose_result(g, n, 0, ATTRS(qmean, n)->keepdims ? p : &rest);
    return true;
}

/* A product of rows: any order of the rows will do. */
static bool sinks_rows(const Node *n, Perm *p)
{
    const Node *t = n->nin ? maker(n->in[0], OP_Transpose) : NULL;

    if (!t || (n->op != OP_QSoftmax && n->op != OP_QLayerNorm &&
               (n->op != OP_QMatMul || !value_is_const(n->in[1]))))
        return false;
    *p = perm_of(t);
    return p->v[p->rank - 1] == p->rank - 1;
}

static bool sink_rows(Graph *g, Node *n, const Perm *p)
{
    node_set_input(n, 0, n->in[0]->def->in[0]);
    transpose_result(g, n, 0, p);
    return true;
}

/* Pools of planar images between images with channels last. */
static bool sinks_pool(const Node *n, Perm *p)
{
    static const Perm image = { 4, { 0, 3, 1, 2 } };
    const Node *t = n->op == OP_MaxPool ? maker(n->in[0], OP_Transpose) : NULL;
    DType dt = n->in[0] ? n->in[0]->type.dt : DT_NONE;

    if (!t || (dt != DT_I8 && dt != DT_U8) || node_out(n, 1) ||
        strcmp(ATTRS(pool, n)->auto_pad, "NOTSET"))
        return false;
    *p = perm_of(t);
    return perm_equal(p, &image);
}

static bool sink_pool(Graph *g, Node *n, const Perm *p)
{
    const Attr_pool *a = ATTRS(pool, n);
    Node *q = node_new(g, OP_QMaxPool, n->name, 1, &n->in[0]->def->in[0], 1);
    Value *y = n->out[0];
    Attr_qmaxpool *b = ATTRS(qmaxpool, q);

    b->ceil_mode = a->ceil_mode;
    b->dilations = a->dilations;
    b->kernel_shape = a->kernel_shape;
    b->pads = a->pads;
    b->strides = a->strides;
    graph_insert(g, n, q);
    take_result(g, q, n);
    q->out[0]->type = y->type;
    transpose_result(g, q, 0, p);
    return true;
}

/* Picked elements have no order of axes; scales go to their new places. */
static bool sinks_resize(const Node *n, Perm *p)
{
    const Node *t = n->op == OP_Resize ? maker(n->in[0], OP_Transpose) : NULL;

    if (!t || strcmp(ATTRS(resize, n)->mode, "nearest"))
        return false;
    *p = perm_of(t);
    return true;
}

static bool sink_resize(Graph *g, Node *n, const Perm *p)
{
    const Ints *a = &ATTRS(resize, n)->axes;
    int64_t axes[MAX_RANK];
    int count = a->n ? a->n : p->rank;

    for (int i = 0; i < count; i++)
        axes[i] = a->n ? p->v[a->v[i] < 0 ? a->v[i] + p->rank : a->v[i]]
                       : p->v[i];
    node_set_input(n, 0, n->in[0]->def->in[0]);
    set_ints(g, n, "axes", count, axes);
    transpose_result(g, n, 0, p);
    return true;
}

/* Movement by axis. */
static bool sinks_move(const Node *n, Perm *p)
{
    const Node *t = n->nin ? maker(n->in[0], OP_Transpose) : NULL;
    int64_t axes[MAX_RANK];
    int k;

    if (!t)
        return false;
    *p = perm_of(t);
    if (n->op == OP_Slice)
        return node_in(n, 3) && value_ints(n->in[3], MAX_RANK, axes, &k);
    if (n->op == OP_Pad)
        return !node_in(n, 3) && value_is_const(n->in[1]) &&
               n->in[1]->type.dt == DT_I64;
    return n->op == OP_Split;
}

static void move_axes(Graph *g, Node *n, const Perm *p)
{
    int64_t v[2 * MAX_RANK], w[2 * MAX_RANK] = { 0 };
    int k;

    if (n->op == OP_Split) {
        int64_t *axis = &ATTRS(split, n)->axis;
        *axis = p->v[*axis < 0 ? *axis + p->rank : *axis];
        return;
    }
    if (!value_ints(n->in[n->op == OP_Slice ? 3 : 1], 2 * MAX_RANK, v, &k))
        return;
    if (n->op == OP_Slice) {
        for (int i = 0; i < k; i++)
            w[i] = p->v[v[i] < 0 ? v[i] + p->rank : v[i]];
        node_set_input(n, 3, graph_const_ints(g, "axes", k, w));
        return;
    }
    for (int i = 0; i < p->rank; i++) {
        w[p->v[i]] = v[i];
        w[p->v[i] + p->rank] = v[i + p->rank];
    }
    node_set_input(n, 1, graph_const_ints(g, "pads", k, w));
}

static bool sink_move(Graph *g, Node *n, const Perm *p)
{
    node_set_input(n, 0, n->in[0]->def->in[0]);
    move_axes(g, n, p);
    for (int i = 0; i < n->nout; i++)
        if (n->out[i])
            transpose_result(g, n, i, p);
    return true;
}

/* Reshape: the axes of x and y fall into groups of equal size, [from, to) of
 * each. A group of several axes of x must be one run of axes before the
 * transpose. */
typedef struct Group {
    int x, nx, y, ny;
} Group;

static int group_axes(const Type *x, const Type *y, Group *list)
{
    int n = 0, i = 0, k = 0;

    if (type_elems(x) == 0)
        return 0;
    while (i < x->rank || k < y->rank) {
        int64_t a = 1, b = 1;
        Group *t = &list[n++];
        *t = (Group){ i, 0, k, 0 };
        if (i < x->rank)
            a = x->dim[i++];
        else
            b = y->dim[k++];
        while (a != b)
            if (a > b && k < y->rank)
                b *= y->dim[k++];
            else if (a < b && i < x->rank)
                a *= x->dim[i++];
            else
                return 0;
        t->nx = i - t->x;
        t->ny = k - t->y;
    }
    return n;
}

static bool runs(const Group *t, const Type *x, const Perm *p)
{
    int64_t last = -1;

    for (int i = t->x; i < t->x + t->nx; i++) {
        if (x->dim[i] == 1)
            continue;
        if (last >= 0 && p->v[i] <= last)
            return false;
        for (int64_t k = last + 1; last >= 0 && k < p->v[i]; k++)
            for (int j = 0; j < p->rank; j++)   /* another group between? */
                if (p->v[j] == k && x->dim[j] != 1)
                    return false;
        last = p->v[i];
    }
    return true;
}

static bool sinks_reshape(const Node *n, Perm *p)
{
    const Node *t = n->op == OP_Reshape ? maker(n->in[0], OP_Transpose) : NULL;
    Group list[2 * MAX_RANK];
    int count;

    if (!t || !(count = group_axes(&n->in[0]->type, &n->out[0]->type, list)))
        return false;
    *p = perm_of(t);
    for (int i = 0; i < count; i++)
        if (!runs(&list[i], &n->in[0]->type, p))
            return false;
    return true;
}

/* Where a group lies before the transpose: its first axis of some extent. */
static int64_t place_of(const Group *t, const Type *x, const Perm *p)
{
    for (int i = t->x; i < t->x + t->nx; i++)
        if (x->dim[i] != 1)
            return p->v[i];
    return t->nx ? p->v[t->x] : MAX_RANK;
}

static bool sink_reshape(Graph *g, Node *n, const Perm *p)
{
    const Type *x = &n->in[0]->type, y = n->out[0]->type;
    Group list[2 * MAX_RANK];
    int count = group_axes(x, &y, list), rank = 0;
    int64_t dim[MAX_RANK];
    Perm q = { y.rank, { 0 } };
    Node *r, *t;

    for (int64_t at = 0; at <= MAX_RANK; at++)
        for (int i = 0; i < count; i++) {
            if (place_of(&list[i], x, p) != at)
                continue;
            for (int k = list[i].y; k < list[i].y + list[i].ny; k++) {
                q.v[k] = rank;
                dim[rank++] = y.dim[k];
            }
        }
    r = put_reshape(g, n, n->in[0]->def->in[0], rank, dim);
    t = put_transpose(g, n, r->out[0], &q);
    take_result(g, t, n);
    return true;
}

typedef struct Sink {
    bool (*can)(const Node *n, Perm *p);
    bool (*sink)(Graph *g, Node *n, const Perm *p);
} Sink;

static const Sink sinks[] = {
    { sinks_map, sink_map }, { sinks_mean, sink_mean },
    { sinks_rows, sink_rows }, { sinks_pool, sink_pool },
    { sinks_resize, sink_resize }, { sinks_move, sink_move },
    { sinks_reshape, sink_reshape },
};

static const Sink *sink_for(const Node *n, Perm *p)
{
    for (size_t i = 0; n->nout && n->out[0] &&
                       i < sizeof sinks / sizeof sinks[0]; i++)
        if (sinks[i].can(n, p))
            return &sinks[i];
    return NULL;
}

/* Every reader of the transposes before n takes the sunk form too, so that
 * none of them stays behind. */
static bool all_sink(const Node *n)
{
    for (int i = 0; i < n->nin; i++) {
        const Value *v = n->in[i];
        Perm p;
        if (!maker(v, OP_Transpose))
            continue;
        if (v->is_output)
            return false;
        for (int k = 0; k < v->nuse; k++)
            if (v->use[k] != n && v->use[k]->op != OP_Transpose &&
                !sink_for(v->use[k], &p))
                return false;
    }
    return true;
}

bool transposes_sink(Graph *g)
{
    bool any = false;

    for EACH_NODE_SAFE(n, g) {
        Perm p;
        const Sink *s = sink_for(n, &p);
        if (s && all_sink(n))
            any |= s->sink(g, n, &p);
    }
    return any;
}
