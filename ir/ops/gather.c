/* gather.c - indexed reading: Gather, GatherElements, GatherND (13), OneHot.
 *
 * Indices count from the end when negative. Constant indices are checked
 * here, once; an index that is known only at run time and out of range is
 * clamped to the nearest element, in the interpreter as in generated C: no
 * model input can make a program read outside its arena.
 */
#include "../hooks.h"
#include "index.h"

#include <string.h>

int64_t index_clamp(int64_t i, int64_t n)
{
    if (i < 0)
        i = i < -n ? 0 : i + n;
    return i < n ? i : n - 1;
}

bool check_index_type(const Node *n, const Value *indices)
{
    DType dt = indices->type.dt;

    if (dt != DT_I32 && dt != DT_I64)
        return node_error(n, "indices '%s' are %s, not int32 or int64",
                          indices->name, dtype_name(dt));
    return true;
}

/* Elements from, from + step, ... of constant indices against size `dim`. */
bool check_index_range(const Node *n, const Value *indices, int64_t from,
                       int64_t step, int64_t dim)
{
    int64_t count = type_elems(&indices->type);

    if (count && !dim)
        return node_error(n, "indexes an axis of no elements");
    if (!value_is_const(indices))
        return true;
    for (int64_t i = from; i < count; i += step) {
        int64_t k = elem_get_int(indices->type.dt, indices->data, i);
        if (k < -dim || k >= dim)
            return node_error(n, "index %lld is outside an axis of %lld "
                              "elements", (long long)k, (long long)dim);
    }
    return true;
}

/* Two elements share a byte in 4-bit types: only whole bytes are moved. */
bool check_whole_bytes(const Node *n, DType dt, int64_t elems)
{
    if (dtype_bits(dt) < 8 && elems % 2)
        return node_error(n, "cannot move slices of %lld %s elements: they "
                          "do not fill whole bytes", (long long)elems,
                          dtype_name(dt));
    return true;
}

int64_t slice_bytes(DType dt, int64_t elems)
{
    return elems * dtype_bits(dt) / 8;
}

bool type_append(const Node *n, Type *t, const Type *from, int a, int b)
{
    for (int i = a; i < b; i++) {
        if (t->rank == MAX_RANK)
            return node_error(n, "makes a tensor of more than %d dims",
                              MAX_RANK);
        t->dim[t->rank++] = from->dim[i];
    }
    return true;
}

bool infer_gather(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type, *k = &n->in[1]->type;
    Type t = { x->dt, 0, { 0 } };
    int axis;

    (void)g;
    if (!node_axis(n, ATTRS(axis0, n)->axis, x->rank, &axis) ||
        !check_index_type(n, n->in[1]) ||
        !check_index_range(n, n->in[1], 0, 1, x->dim[axis]) ||
        !check_whole_bytes(n, x->dt, type_span(x, axis + 1, x->rank)) ||
        !type_append(n, &t, x, 0, axis) ||
        !type_append(n, &t, k, 0, k->rank) ||
        !type_append(n, &t, x, axis + 1, x->rank))
        return false;
    n->out[0]->type = t;
    return true;
}

bool eval_gather(const Node *n, const Tensor *const *in, Tensor *const *out,
                 Arena *scratch, Diag *diag)
{
    const Type *x = &in[0]->type, *k = &in[1]->type;
    int64_t axis = ATTRS(axis0, n)->axis, count = type_elems(k), dim, len;
    const char *from = in[0]->data;
    char *to = out[0]->data;

    (void)scratch, (void)diag;
    axis += axis < 0 ? x->rank : 0;
    dim = x->dim[axis];
    len = slice_bytes(x->dt, type_span(x, (int)axis + 1, x->rank));
    if (!len)
        return true;
    for (int64_t o = 0; o < type_span(x, 0, (int)axis); o++)
        for (int64_t i = 0; i < count; i++, to += len) {
            int64_t at = index_clamp(elem_get_int(k->dt, in[1]->data, i),
                                     dim);
            memcpy(to, from + (o * dim + at) * len, (size_t)len);
        }
    return true;
}

/* The shapes of an *Elements op: k has x's rank and, off the axis, is no
 * larger; constant indices are in range. */
bool check_elements(const Node *n, const Type *x, const Value *k,
                    int64_t attr_axis)
{
    int axis;

    if (!node_axis(n, attr_axis, x->rank, &axis) || !check_index_type(n, k))
        return false;
    if (dtype_bits(x->dt) < 8)
        return node_error(n, "does not take %s", dtype_name(x->dt));
    if (k->type.rank != x->rank)
        return node_error(n, "indices have rank %d, the data %d",
                          k->type.rank, x->rank);
    for (int i = 0; i < x->rank; i++)
        if (i != axis && k->type.dim[i] > x->dim[i])
            return node_error(n, "indices have %lld elements in dim %d, the "
                              "data %lld", (long long)k->type.dim[i], i,
                              (long long)x->dim[i]);
    return check_index_range(n, k, 0, 1, x->dim[axis]);
}

bool infer_gatherelements(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type;

    (void)g;
    if (!check_elements(n, x, n->in[1], ATTRS(axis0, n)->axis))
        return false;
    n->out[0]->type = n->in[1]->type;
    n->out[0]->type.dt = x->dt;
    return true;
}

/* Next position of a box in row-major order; false after the last. */
bool index_next(const Type *box, int64_t *pos)
{
    for (int d = box->rank - 1; d >= 0; d--) {
        if (++pos[d] < box->dim[d])
            return true;
        pos[d] = 0;
    }
    return false;
}

/* Where the element of data x lies that indices element i at pos names. */
int64_t elements_at(const Type *x, int axis, const int64_t *stride,
                    const int64_t *pos, int64_t k)
{
    int64_t at = index_clamp(k, x->dim[axis]) * stride[axis];

    for (int d = 0; d < x->rank; d++)
        if (d != axis)
            at += pos[d] * stride[d];
    return at;
}

bool eval_gatherelements(const Node *n, const Tensor *const *in,
                         Tensor *const *out, Arena *scratch, Diag *diag)
{
    const Type *x = &in[0]->type, *k = &in[1]->type;
    int64_t stride[MAX_RANK], pos[MAX_RANK] = { 0 };
    int64_t axis = ATTRS(axis0, n)->axis, i = 0;
    size_t size = (size_t)dtype_bytes(x->dt);

    (void)scratch, (void)diag;
    axis += axis < 0 ? x->rank : 0;
    type_strides(x, stride);
    if (!type_elems(k))
        return true;
    do {
        int64_t at = elements_at(x, (int)axis, stride, pos,
                                 elem_get_int(k->dt, in[1]->data, i));
        memcpy((char *)out[0]->data + (size_t)i++ * size,
               (char *)in[0]->data + (size_t)at * size, size);
    } while (index_next(k, pos));
    return true;
}

/* Every column of index tuples against the dims from `first` on. */
bool check_tuples(const Node *n, const Type *x, const Value *k, int first)
{
    int64_t len = k->type.rank ? k->type.dim[k->type.rank - 1] : 0;

    if (!k->type.rank || !x->rank)
        return node_error(n, "data and indices must have a rank above 0");
    if (k->type.dt != DT_I64)
        return node_error(n, "indices are %s, not int64",
                          dtype_name(k->type.dt));
    if (len < 1 || len > x->rank - first)
        return node_error(n, "index tuples of %lld do not fit the rank %d of "
                          "the data", (long long)len, x->rank - first);
    for (int i = 0; i < len; i++)
        if (!check_index_range(n, k, i, len, x->dim[first + i]))
            return false;
    return check_whole_bytes(n, x->dt,
                             type_span(x, first + (int)len, x->rank));
}

bool infer_gathernd(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type, *k = &n->in[1]->type;
    int64_t batch = ATTRS(gathernd, n)->batch_dims;
    Type t = { x->dt, 0, { 0 } };
    int b = (int)batch, len;

    (void)g;
    if (batch < 0 || batch >= x->rank || batch >= k->rank)
        return node_error(n, "batch_dims %lld do not fit ranks %d and %d",
                          (long long)batch, x->rank, k->rank);
    for (int i = 0; i < b; i++)
        if (x->dim[i] != k->dim[i])
            return node_error(n, "batch dim %d is %lld and %lld", i,
                              (long long)x->dim[i], (long long)k->dim[i]);
    if (!check_tuples(n, x, n->in[1], b))
        return false;
    len = (int)k->dim[k->rank - 1];
    if (!type_append(n, &t, k, 0, k->rank - 1) ||
        !type_append(n, &t, x, b + len, x->rank))
        return false;
    n->out[0]->type = t;
    return true;
}

/* First element of the slice that tuple `i` of k names, dims from `first`. */
int64_t tuple_at(const Type *x, const int64_t *stride, const Tensor *k,
                 int64_t i, int first)
{
    int64_t len = k->type.dim[k->type.rank - 1], at = 0;

    for (int64_t j = 0; j < len; j++) {
        int64_t v = elem_get_int(k->type.dt, k->data, i * len + j);
        at += index_clamp(v, x->dim[first + j]) * stride[first + j];
    }
    return at;
}

bool eval_gathernd(const Node *n, const Tensor *const *in, Tensor *const *out,
                   Arena *scratch, Diag *diag)
{
    const Type *x = &in[0]->type, *k = &in[1]->type;
    int b = (int)ATTRS(gathernd, n)->batch_dims;
    int tuple = (int)k->dim[k->rank - 1];
    int64_t stride[MAX_RANK], per = type_span(k, b, k->rank - 1), i = 0;
    int64_t len = slice_bytes(x->dt, type_span(x, b + tuple, x->rank));

    (void)scratch, (void)diag;
    type_strides(x, stride);
    for (int64_t o = 0; o < type_span(k, 0, b); o++)
        for (int64_t j = 0; j < per; j++, i++) {
            int64_t at = o * type_span(x, b, x->rank) +
                         tuple_at(x, stride, in[1], i, b);
            memcpy((char *)out[0]->data + i * len,
                   (char *)in[0]->data + slice_bytes(x->dt, at),
                   (size_t)len);
        }
    return true;
}

/* Indices and depth may be of any number type; floats truncate. */
static int64_t number(const Tensor *t, int64_t i)
{
    double x;

    if (t->type.dt != DT_U64 && !dtype_is_float(t->type.dt))
        return elem_get_int(t->type.dt, t->data, i);
    x = elem_get(t->type.dt, t->data, i);
    return x > -0x1p62 && x < 0x1p62 ? (int64_t)x : INT64_MAX;
}

bool infer_onehot(Graph *g, Node *n)
{
    const Type *k = &n->in[0]->type, *depth = &n->in[1]->type;
    const Type *values = &n->in[2]->type;
    Tensor given = { *depth, NULL };
    Type t = *k;
    int axis;

    (void)g;
    if (!node_axis(n, ATTRS(onehot, n)->axis, k->rank + 1, &axis))
        return false;
    if (k->rank == MAX_RANK)
        return node_error(n, "makes a tensor of more than %d dims", MAX_RANK);
    if (depth->rank > 1 || type_elems(depth) != 1)
        return node_error(n, "depth must be one number");
    if (values->rank != 1 || values->dim[0] != 2)
        return node_error(n, "values must be two numbers");
    if (dtype_bits(values->dt) < 8 || dtype_bits(k->dt) < 8)
        return node_error(n, "does not take 4-bit elements");
    t.dt = values->dt;
    t.rank = k->rank + 1;
    memmove(t.dim + axis + 1, t.dim + axis,
            (size_t)(k->rank - axis) * sizeof t.dim[0]);
    if (!value_is_const(n->in[1])) {
        t.dim[axis] = n->out[0]->type.rank == t.rank ?
                      n->out[0]->type.dim[axis] : -1;
        n->out[0]->type = t;
        return infer_declared(n, n->in[1]);
    }
    given.data = (void *)(uintptr_t)n->in[1]->data;
    t.dim[axis] = number(&given, 0);
    if (t.dim[axis] < 1)
        return node_error(n, "depth %lld is not positive",
                          (long long)t.dim[axis]);
    n->out[0]->type = t;
    return true;
}

/* Outside [-depth, depth) there is no hot element. */
bool eval_onehot(const Node *n, const Tensor *const *in, Tensor *const *out,
                 Arena *scratch, Diag *diag)
{
    const Type *k = &in[0]->type, *y = &out[0]->type;
    size_t size = (size_t)dtype_bytes(y->dt);
    int64_t axis = ATTRS(onehot, n)->axis, depth, inner, count;
    const char *value = in[2]->data;
    char *to = out[0]->data;

    (void)scratch, (void)diag;
    axis += axis < 0 ? k->rank + 1 : 0;
    depth = y->dim[axis];
    inner = type_span(k, (int)axis, k->rank);
    count = type_elems(y);
    for (int64_t i = 0; i < count; i++, to += size) {
        int64_t at = i / (inner * depth) * inner + i % inner;
        int64_t hot = number(in[0], at);
        bool on = (hot < 0 ? hot + depth : hot) == i / inner % depth;
        memcpy(to, value + (on ? size : 0), size);
    }
    return true;
}
