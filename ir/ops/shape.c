/* shape.c - ops that make shapes or tensors from shapes: Shape, Size, Range,
 * ConstantOfShape, EyeLike; and the views, whose output is the operand's
 * bytes under another shape: Identity, Reshape, Flatten, Squeeze, Unsqueeze.
 */
#include "../hooks.h"

#include <math.h>
#include <string.h>

static int clamp_axis(int64_t a, int rank)
{
    if (a < 0)
        a = a < -rank ? 0 : a + rank;
    return a > rank ? rank : (int)a;
}

/* dims [from, to) of the operand that a Shape node asks for */
static void shape_range(const Node *n, int rank, int *from, int *to)
{
    *from = clamp_axis(ATTRS(shape, n)->start, rank);
    *to = clamp_axis(ATTRS(shape, n)->end, rank);
    if (*to < *from)
        *to = *from;
}

bool infer_shape(Graph *g, Node *n)
{
    int from, to;

    (void)g;
    shape_range(n, n->in[0]->type.rank, &from, &to);
    n->out[0]->type = type_vector(DT_I64, to - from);
    return true;
}

bool eval_shape(const Node *n, const Tensor *const *in, Tensor *const *out,
                Arena *scratch, Diag *diag)
{
    int from, to;

    (void)scratch;
    (void)diag;
    shape_range(n, in[0]->type.rank, &from, &to);
    for (int i = from; i < to; i++)
        elem_set_int(DT_I64, out[0]->data, i - from, in[0]->type.dim[i]);
    return true;
}

bool infer_size(Graph *g, Node *n)
{
    (void)g;
    n->out[0]->type = type_scalar(DT_I64);
    return true;
}

bool eval_size(const Node *n, const Tensor *const *in, Tensor *const *out,
               Arena *scratch, Diag *diag)
{
    (void)n;
    (void)scratch;
    (void)diag;
    elem_set_int(DT_I64, out[0]->data, 0, type_elems(&in[0]->type));
    return true;
}

/* ceil((limit - start) / delta), at least 0; -1: delta is 0 or not finite */
static int64_t range_count(DType dt, const void *start, const void *limit,
                           const void *delta)
{
    double d = elem_get(dt, delta, 0);
    double n = (elem_get(dt, limit, 0) - elem_get(dt, start, 0)) / d;

    if (d == 0 || n != n)
        return -1;
    n = ceil(n);
    return n <= 0 ? 0 : n >= 0x1p40 ? (int64_t)1 << 40 : (int64_t)n;
}

bool infer_range(Graph *g, Node *n)
{
    DType dt = n->in[0]->type.dt;
    int64_t count;

    (void)g;
    if (!dtype_is_float(dt) && (!dtype_is_int(dt) || dtype_bits(dt) < 8))
        return node_error(n, "is not defined for %s", dtype_name(dt));
    for (int i = 0; i < 3; i++)
        if (n->in[i]->type.dt != dt || type_elems(&n->in[i]->type) != 1)
            return node_error(n, "operand '%s' is no %s scalar",
                              n->in[i]->name, dtype_name(dt));
    for (int i = 0; i < 3; i++)
        if (!value_is_const(n->in[i])) {
            if (!infer_declared(n, n->in[i]))
                return false;
            if (n->out[0]->type.rank != 1)
                return node_error(n, "output is declared with rank %d",
                                  n->out[0]->type.rank);
            n->out[0]->type.dt = dt;
            return true;
        }
    count = range_count(dt, n->in[0]->data, n->in[1]->data, n->in[2]->data);
    if (count < 0)
        return node_error(n, "cannot count in steps of %g",
                          elem_get(dt, n->in[2]->data, 0));
    n->out[0]->type = type_vector(dt, count);
    return true;
}

/* element i is start + i * delta, in the type's own arithmetic */
bool eval_range(const Node *n, const Tensor *const *in, Tensor *const *out,
                Arena *scratch, Diag *diag)
{
    DType dt = out[0]->type.dt;
    int64_t count = type_elems(&out[0]->type);
    const void *start = in[0]->data, *delta = in[2]->data;

    (void)n;
    (void)scratch;
    (void)diag;
    for (int64_t i = 0; i < count; i++) {
        double s, d;
        if (!dtype_is_float(dt)) {
            uint64_t u = (uint64_t)elem_get_int(dt, start, 0);
            u += (uint64_t)i * (uint64_t)elem_get_int(dt, delta, 0);
            elem_set_int(dt, out[0]->data, i, (int64_t)u);
            continue;
        }
        s = elem_get(dt, start, 0);
        d = elem_get(dt, delta, 0);
        if (dt == DT_F64)
            elem_set(dt, out[0]->data, i, s + (double)i * d);
        else
            elem_set(dt, out[0]->data, i,
                     (double)((float)s + (float)i * (float)d));
    }
    return true;
}

/* shape operand `v` as dims; a run-time one keeps the declared type */
static bool shape_operand(Node *n, const Value *v, Type *out, bool *known)
{
    *known = value_is_const(v);
    if (!dtype_is_int(v->type.dt) || v->type.rank > 1)
        return node_error(n, "shape '%s' is no vector of integers", v->name);
    if (!*known)
        return infer_declared(n, v);
    if (!value_ints(v, MAX_RANK, out->dim, &out->rank))
        return node_error(n, "shape '%s' has %lld dims, at most %d work",
                          v->name, (long long)type_elems(&v->type), MAX_RANK);
    return true;
}

bool infer_constantofshape(Graph *g, Node *n)
{
    const Value *value = node_in(n, 1);
    DType dt = value ? value->type.dt : DT_F32;
    Type t = { dt, 0, { 0 } };
    bool known;

    (void)g;
    if (value && type_elems(&value->type) != 1)
        return node_error(n, "value has %lld elements, not 1",
                          (long long)type_elems(&value->type));
    if (!shape_operand(n, n->in[0], &t, &known))
        return false;
    if (!known) {
        n->out[0]->type.dt = dt;
        return true;
    }
    for (int i = 0; i < t.rank; i++)
        if (t.dim[i] < 0)
            return node_error(n, "dim %d is %lld", i, (long long)t.dim[i]);
    n->out[0]->type = t;
    return true;
}

bool eval_constantofshape(const Node *n, const Tensor *const *in,
                          Tensor *const *out, Arena *scratch, Diag *diag)
{
    const Type *t = &out[0]->type;
    int64_t count = type_elems(t), size = dtype_bytes(t->dt);
    char *y = out[0]->data;

    (void)scratch;
    (void)diag;
    if (!node_in(n, 1))
        return true;            /* zeros already */
    for (int64_t i = 0; i < count; i++)
        if (dtype_bits(t->dt) < 8)
            elem_set_int(t->dt, y, i, elem_get_int(t->dt, in[1]->data, 0));
        else
            memcpy(y + i * size, in[1]->data, (size_t)size);
    return true;
}

bool infer_eyelike(Graph *g, Node *n)
{
    int64_t dt = ATTRS(eyelike, n)->dtype;
    Type t = n->in[0]->type;

    (void)g;
    if (dt < 0 || dt >= DT_MAX || (dt && !dtype_bits((DType)dt)))
        return node_error(n, "type number %lld is not supported",
                          (long long)dt);
    if (t.rank != 2)
        return node_error(n, "operand has rank %d, not 2", t.rank);
    if (dt)
        t.dt = (DType)dt;
    n->out[0]->type = t;
    return true;
}

bool eval_eyelike(const Node *n, const Tensor *const *in, Tensor *const *out,
                  Arena *scratch, Diag *diag)
{
    const Type *t = &out[0]->type;
    int64_t k = ATTRS(eyelike, n)->k;

    (void)in;
    (void)scratch;
    (void)diag;
    for (int64_t r = 0; r < t->dim[0]; r++) {
        if (k >= t->dim[1] - r || k < -r)
            continue;
        elem_set_int(t->dt, out[0]->data, r * t->dim[1] + r + k, 1);
    }
    return true;
}

/* resolves 0 (copy) and -1 (deduce) of Reshape */
static bool reshape_dims(const Node *n, const Type *x, Type *t)
{
    int64_t elems = type_elems(x), known = 1;
    int deduced = -1;

    for (int i = 0; i < t->rank; i++) {
        int64_t *d = &t->dim[i];
        if (*d == 0 && !ATTRS(reshape, n)->allowzero) {
            if (i >= x->rank)
                return node_error(n, "dim %d is 0, but the operand has "
                                  "rank %d", i, x->rank);
            *d = x->dim[i];
        }
        if (*d < -1 || (*d == -1 && deduced >= 0))
            return node_error(n, "shape has %lld at %d", (long long)*d, i);
        if (*d == -1)
            deduced = i;
        else if (*d && known > ((int64_t)1 << 40) / *d)
            return node_error(n, "shape is too large");
        else
            known *= *d;
    }
    if (deduced >= 0) {
        if (!known || elems % known)
            return node_error(n, "%lld elements do not divide by %lld",
                              (long long)elems, (long long)known);
        t->dim[deduced] = elems / known;
        known = elems;
    }
    if (known != elems)
        return node_error(n, "%lld elements do not fit %lld",
                          (long long)elems, (long long)known);
    return true;
}

static bool same_elems(Node *n)
{
    int64_t a = type_elems(&n->in[0]->type);
    int64_t b = type_elems(&n->out[0]->type);

    n->out[0]->type.dt = n->in[0]->type.dt;
    if (a != b)
        return node_error(n, "%lld elements do not fit %lld", (long long)a,
                          (long long)b);
    return true;
}

bool infer_reshape(Graph *g, Node *n)
{
    Type t = { n->in[0]->type.dt, 0, { 0 } };
    bool known;

    (void)g;
    if (!shape_operand(n, n->in[1], &t, &known))
        return false;
    if (!known)
        return same_elems(n);
    if (!reshape_dims(n, &n->in[0]->type, &t))
        return false;
    n->out[0]->type = t;
    return true;
}

bool infer_flatten(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type;
    int64_t axis = ATTRS(flatten, n)->axis, dim[2];

    (void)g;
    if (axis < -x->rank || axis > x->rank)
        return node_error(n, "axis %lld is outside rank %d",
                          (long long)axis, x->rank);
    if (axis < 0)
        axis += x->rank;
    dim[0] = type_span(x, 0, (int)axis);
    dim[1] = type_span(x, (int)axis, x->rank);
    n->out[0]->type = type_make(x->dt, 2, dim);
    return true;
}

/* axes operand as a set of flags over `rank` dims */
static bool axes_operand(Node *n, const Value *v, int rank, bool *flag)
{
    int64_t axis[MAX_RANK];
    int count, a;

    if (!value_ints(v, MAX_RANK, axis, &count))
        return node_error(n, "axes '%s' are no short vector of integers",
                          v->name);
    for (int i = 0; i < count; i++) {
        if (!node_axis(n, axis[i], rank, &a))
            return false;
        if (flag[a])
            return node_error(n, "axis %d is given twice", a);
        flag[a] = true;
    }
    return true;
}

bool infer_squeeze(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type;
    const Value *axes = node_in(n, 1);
    bool drop[MAX_RANK] = { false };
    Type t = { x->dt, 0, { 0 } };

    (void)g;
    if (axes && !value_is_const(axes))
        return infer_declared(n, axes) && same_elems(n);
    if (axes && !axes_operand(n, axes, x->rank, drop))
        return false;
    for (int i = 0; i < x->rank; i++) {
        if (drop[i] && x->dim[i] != 1)
            return node_error(n, "dim %d is %lld, not 1", i,
                              (long long)x->dim[i]);
        if (axes ? !drop[i] : x->dim[i] != 1)
            t.dim[t.rank++] = x->dim[i];
    }
    n->out[0]->type = t;
    return true;
}

bool infer_unsqueeze(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type;
    const Value *axes = n->in[1];
    bool one[MAX_RANK] = { false };
    Type t = { x->dt, 0, { 0 } };
    int64_t rank = x->rank + type_elems(&axes->type);

    (void)g;
    if (!value_is_const(axes))
        return infer_declared(n, axes) && same_elems(n);
    if (rank > MAX_RANK)
        return node_error(n, "rank %lld is more than %d", (long long)rank,
                          MAX_RANK);
    if (!axes_operand(n, axes, (int)rank, one))
        return false;
    for (int i = 0; t.rank < (int)rank; t.rank++)
        t.dim[t.rank] = one[t.rank] ? 1 : x->dim[i++];
    n->out[0]->type = t;
    return true;
}

bool eval_view(const Node *n, const Tensor *const *in, Tensor *const *out,
               Arena *scratch, Diag *diag)
{
    (void)n;
    (void)scratch;
    (void)diag;
    memcpy(out[0]->data, in[0]->data, (size_t)type_bytes(&in[0]->type));
    return true;
}

bool eval_identity(const Node *n, const Tensor *const *in,
                   Tensor *const *out, Arena *scratch, Diag *diag)
{
    return eval_view(n, in, out, scratch, diag);
}
