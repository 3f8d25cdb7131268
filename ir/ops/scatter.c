/* scatter.c - indexed writing: ScatterElements, ScatterND (18) and the KV
 * cache's TensorScatter (24). The result starts as a copy of the data and
 * updates are applied in row-major order, so of two updates of one element
 * the later one wins. Indices behave as in gather.c.
 */
#include "../hooks.h"
#include "index.h"
#include "widen.h"

#include <string.h>

static bool check_reduction(const Node *n, const char *name)
{
    if (!strcmp(name, "none") || !strcmp(name, "add") ||
        !strcmp(name, "mul") || !strcmp(name, "max") || !strcmp(name, "min"))
        return true;
    return node_error(n, "has no reduction '%s'", name);
}

static double reduce_float(char how, double a, double b)
{
    switch (how) {
    case 'd': return a + b;             /* add */
    case 'u': return a * b;             /* mul */
    case 'a': return b > a || b != b ? b : a;
    default: return b < a || b != b ? b : a;
    }
}

static int64_t reduce_int(char how, int64_t a, int64_t b, bool unsign)
{
    bool less = unsign ? (uint64_t)a < (uint64_t)b : a < b;

    switch (how) {
    case 'd': return (int64_t)((uint64_t)a + (uint64_t)b);
    case 'u': return (int64_t)((uint64_t)a * (uint64_t)b);
    case 'a': return less ? b : a;
    default: return less ? a : b;
    }
}

/* count elements of y from `at` on, updated by those of u from `from` on;
 * the second letter tells none, add, mul, max, min apart. */
static void update(Tensor *y, int64_t at, const Tensor *u, int64_t from,
                   int64_t count, const char *reduction)
{
    DType dt = y->type.dt;
    char how = reduction[1];

    if (how == 'o') {
        memcpy((char *)y->data + slice_bytes(dt, at),
               (const char *)u->data + slice_bytes(dt, from),
               (size_t)slice_bytes(dt, count));
        return;
    }
    for (int64_t i = 0; i < count; i++)
        if (dtype_is_float(dt))
            elem_set(dt, y->data, at + i,
                     reduce_float(how, elem_get(dt, y->data, at + i),
                                  elem_get(dt, u->data, from + i)));
        else
            elem_set_int(dt, y->data, at + i,
                         reduce_int(how, elem_get_int(dt, y->data, at + i),
                                    elem_get_int(dt, u->data, from + i),
                                    dt == DT_U64));
}

static void copy_data(const Tensor *x, Tensor *y)
{
    memcpy(y->data, x->data, (size_t)type_bytes(&x->type));
}

bool infer_scatterelements(Graph *g, Node *n)
{
    const Attr_scatterelements *a = ATTRS(scatterelements, n);
    const Type *x = &n->in[0]->type, *u = &n->in[2]->type;

    (void)g;
    if (!check_reduction(n, a->reduction) ||
        !check_elements(n, x, n->in[1], a->axis))
        return false;
    if (u->dt != x->dt || !type_same_shape(u, &n->in[1]->type))
        return node_error(n, "updates must have the indices' shape and the "
                          "data's type");
    n->out[0]->type = *x;
    return true;
}

bool eval_scatterelements(const Node *n, const Tensor *const *in,
                          Tensor *const *out, Arena *scratch, Diag *diag)
{
    const Attr_scatterelements *a = ATTRS(scatterelements, n);
    const Type *x = &in[0]->type, *k = &in[1]->type;
    int64_t stride[MAX_RANK], pos[MAX_RANK] = { 0 }, i = 0;
    int axis = (int)(a->axis < 0 ? a->axis + x->rank : a->axis);

    WIDEN(eval_scatterelements);
    type_strides(x, stride);
    copy_data(in[0], out[0]);
    if (!type_elems(k))
        return true;
    do {
        int64_t v = elem_get_int(k->dt, in[1]->data, i);
        update(out[0], elements_at(x, axis, stride, pos, v), in[2], i, 1,
               a->reduction);
        i++;
    } while (index_next(k, pos));
    return true;
}

bool infer_scatternd(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type, *k = &n->in[1]->type;
    const Type *u = &n->in[2]->type;
    Type want = { x->dt, 0, { 0 } };

    (void)g;
    if (!check_reduction(n, ATTRS(scatternd, n)->reduction) ||
        !check_tuples(n, x, n->in[1], 0) ||
        !type_append(n, &want, k, 0, k->rank - 1) ||
        !type_append(n, &want, x, (int)k->dim[k->rank - 1], x->rank))
        return false;
    if (!type_equal(&want, u))
        return node_error(n, "updates must have the indices' outer dims, "
                          "then the data's inner dims");
    if (dtype_bits(x->dt) < 8)
        return node_error(n, "does not take %s", dtype_name(x->dt));
    n->out[0]->type = *x;
    return true;
}

bool eval_scatternd(const Node *n, const Tensor *const *in,
                    Tensor *const *out, Arena *scratch, Diag *diag)
{
    const Type *x = &in[0]->type, *k = &in[1]->type;
    int tuple = (int)k->dim[k->rank - 1];
    int64_t len = type_span(x, tuple, x->rank), stride[MAX_RANK];

    WIDEN(eval_scatternd);
    type_strides(x, stride);
    copy_data(in[0], out[0]);
    for (int64_t i = 0; i < type_span(k, 0, k->rank - 1); i++)
        update(out[0], tuple_at(x, stride, in[1], i, 0), in[2], i * len, len,
               ATTRS(scatternd, n)->reduction);
    return true;
}

/* First row that sample b's update goes to. A linear update that would run
 * past the end is moved back to where it fits. */
static int64_t write_row(const Tensor *k, int64_t b, bool circular,
                         int64_t rows, int64_t cache)
{
    int64_t at = k ? elem_get_int(k->type.dt, k->data, b) : 0;

    if (circular)
        return (at % cache + cache) % cache;
    return at < 0 ? 0 : at > cache - rows ? cache - rows : at;
}

static bool check_write_indices(const Node *n, const Value *k,
                                const Type *x, int64_t room, bool circular)
{
    if (!k)
        return true;
    if (k->type.dt != DT_I64 || k->type.rank != 1 ||
        k->type.dim[0] != x->dim[0])
        return node_error(n, "write_indices must be int64[%lld]",
                          (long long)x->dim[0]);
    for (int64_t i = 0; !circular && k->data && i < x->dim[0]; i++) {
        int64_t at = elem_get_int(DT_I64, k->data, i);
        if (at < 0 || at > room)
            return node_error(n, "write index %lld leaves the cache: it may "
                              "be 0 to %lld", (long long)at,
                              (long long)room);
    }
    return true;
}

bool infer_tensorscatter(Graph *g, Node *n)
{
    const Attr_tensorscatter *a = ATTRS(tensorscatter, n);
    const Type *x = &n->in[0]->type, *u = &n->in[1]->type;
    bool circular = !strcmp(a->mode, "circular");
    int axis;

    (void)g;
    if (!node_axis(n, a->axis, x->rank, &axis))
        return false;
    if (!axis || u->rank != x->rank || u->dt != x->dt)
        return node_error(n, "axis must not be 0 and the update must have "
                          "the cache's rank and type");
    if (!circular && strcmp(a->mode, "linear"))
        return node_error(n, "has no mode '%s'", a->mode);
    for (int i = 0; i < x->rank; i++)
        if (i == axis ? u->dim[i] > x->dim[i] : u->dim[i] != x->dim[i])
            return node_error(n, "dim %d of the update is %lld, of the cache "
                              "%lld", i, (long long)u->dim[i],
                              (long long)x->dim[i]);
    n->out[0]->type = *x;
    return check_whole_bytes(n, x->dt, type_span(x, axis + 1, x->rank)) &&
           check_write_indices(n, node_in(n, 2), x,
                               x->dim[axis] - u->dim[axis], circular);
}

bool eval_tensorscatter(const Node *n, const Tensor *const *in,
                        Tensor *const *out, Arena *scratch, Diag *diag)
{
    const Attr_tensorscatter *a = ATTRS(tensorscatter, n);
    const Type *x = &in[0]->type, *u = &in[1]->type;
    int axis = (int)(a->axis < 0 ? a->axis + x->rank : a->axis);
    int64_t cache = x->dim[axis], rows = u->dim[axis];
    int64_t len = type_span(x, axis + 1, x->rank);
    int64_t per = type_span(x, 1, axis);

    (void)scratch, (void)diag;
    copy_data(in[0], out[0]);
    if (!type_elems(u))
        return true;
    for (int64_t o = 0; o < type_span(u, 0, axis); o++) {
        int64_t at = write_row(n->nin > 2 ? in[2] : NULL, o / per,
                               !strcmp(a->mode, "circular"), rows, cache);
        for (int64_t r = 0; r < rows; r++)
            update(out[0], (o * cache + (at + r) % cache) * len, in[1],
                   (o * rows + r) * len, len, "none");
    }
    return true;
}
