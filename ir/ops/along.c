/* along.c - ops that walk one axis and compare or add: ArgMax, ArgMin (13),
 * CumSum (14), TopK (24), Hardmax (13).
 *
 * One order for all of them: NaN stands above every number and equals NaN,
 * -0 equals 0; of equal elements the one with the lower index comes first.
 */
#include "../hooks.h"
#include "index.h"
#include "reduce.h"
#include "widen.h"

#include <stdlib.h>
#include <string.h>

Along type_along(const Type *x, int64_t axis)
{
    int a = (int)(axis < 0 ? axis + x->rank : axis);
    Along s = { type_span(x, 0, a), x->dim[a], type_span(x, a + 1, x->rank) };

    return s;
}

uint64_t elem_key(DType dt, const void *p, int64_t i)
{
    const uint64_t top = UINT64_C(1) << 63;
    uint64_t bits;
    double x;

    if (!dtype_is_float(dt))
        return (uint64_t)elem_get_int(dt, p, i) ^ (dt == DT_U64 ? 0 : top);
    x = elem_get(dt, p, i) + 0.0;
    if (x != x)
        return UINT64_MAX;
    memcpy(&bits, &x, sizeof bits);
    return bits & top ? ~bits : bits | top;
}

static bool check_ordered(const Node *n, DType dt)
{
    if (dtype_bits(dt) >= 8)
        return true;
    return node_error(n, "does not take %s", dtype_name(dt));
}

bool infer_argmax(Graph *g, Node *n)
{
    const Attr_argmax *a = ATTRS(argmax, n);
    const Type *x = &n->in[0]->type;
    Type t = { DT_I64, 0, { 0 } };
    int axis;

    (void)g;
    if (!check_ordered(n, x->dt) || !node_axis(n, a->axis, x->rank, &axis))
        return false;
    for (int i = 0; i < x->rank; i++)
        if (i != axis)
            t.dim[t.rank++] = x->dim[i];
        else if (a->keepdims)
            t.dim[t.rank++] = 1;
    if (!x->dim[axis] && type_elems(&t))
        return node_error(n, "axis %d has no elements to choose from", axis);
    n->out[0]->type = t;
    return true;
}

static int64_t arg_best(const Tensor *x, int64_t base, Along s, bool least,
                        bool last)
{
    uint64_t best = 0, flip = least ? UINT64_MAX : 0;
    int64_t at = 0;

    for (int64_t i = 0; i < s.dim; i++) {
        uint64_t k = elem_key(x->type.dt, x->data, base + i * s.inner) ^ flip;
        if (!i || k > best || (last && k == best)) {
            best = k;
            at = i;
        }
    }
    return at;
}

bool eval_argmax(const Node *n, const Tensor *const *in, Tensor *const *out,
                 Arena *scratch, Diag *diag)
{
    const Attr_argmax *a = ATTRS(argmax, n);
    Along s = type_along(&in[0]->type, a->axis);
    int64_t *y = out[0]->data;

    (void)scratch, (void)diag;
    for (int64_t o = 0; o < s.outer; o++)
        for (int64_t k = 0; k < s.inner; k++)
            *y++ = arg_best(in[0], o * s.dim * s.inner + k, s,
                            n->op == OP_ArgMin, a->select_last_index != 0);
    return true;
}

bool infer_hardmax(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type;
    int axis;

    (void)g;
    if (!check_ordered(n, x->dt) ||
        !node_axis(n, ATTRS(axisneg1, n)->axis, x->rank, &axis))
        return false;
    n->out[0]->type = *x;
    return true;
}

bool eval_hardmax(const Node *n, const Tensor *const *in, Tensor *const *out,
                  Arena *scratch, Diag *diag)
{
    const Type *x = &in[0]->type;
    Along s = type_along(x, ATTRS(axisneg1, n)->axis);

    (void)scratch, (void)diag;
    for (int64_t o = 0; s.dim && o < s.outer; o++)
        for (int64_t k = 0; k < s.inner; k++) {
            int64_t base = o * s.dim * s.inner + k;
            int64_t at = arg_best(in[0], base, s, false, false);
            elem_set(x->dt, out[0]->data, base + at * s.inner, 1);
        }
    return true;
}

bool infer_cumsum(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type, *a = &n->in[1]->type;
    int64_t value;
    int axis, count;

    (void)g;
    if (!dtype_is_float(x->dt) && !dtype_is_int(x->dt))
        return node_error(n, "does not take %s", dtype_name(x->dt));
    if ((a->dt != DT_I32 && a->dt != DT_I64) || type_elems(a) != 1)
        return node_error(n, "axis must be one int32 or int64");
    if (!x->rank)
        return node_error(n, "has no axis to sum along");
    if (value_ints(n->in[1], 1, &value, &count) &&
        !node_axis(n, value, x->rank, &axis))
        return false;
    n->out[0]->type = *x;
    return check_ordered(n, x->dt);
}

/* One column in the element's own type, in order. */
static void cumsum(const Tensor *x, Tensor *y, int64_t at, int64_t step,
                   int64_t count, bool exclusive)
{
    DType dt = x->type.dt;
    uint64_t cell = 0;

    for (int64_t i = 0; i < count; i++, at += step) {
        if (exclusive)
            memcpy((char *)y->data + at * dtype_bytes(dt), &cell,
                   (size_t)dtype_bytes(dt));
        if (dtype_is_float(dt))
            elem_set(dt, &cell, 0, elem_get(dt, &cell, 0) +
                     elem_get(dt, x->data, at));
        else
            elem_set_int(dt, &cell, 0, (int64_t)(
                         (uint64_t)elem_get_int(dt, &cell, 0) +
                         (uint64_t)elem_get_int(dt, x->data, at)));
        if (!exclusive)
            memcpy((char *)y->data + at * dtype_bytes(dt), &cell,
                   (size_t)dtype_bytes(dt));
    }
}

bool eval_cumsum(const Node *n, const Tensor *const *in, Tensor *const *out,
                 Arena *scratch, Diag *diag)
{
    const Attr_cumsum *a = ATTRS(cumsum, n);
    const Type *x = &in[0]->type;
    Along s;

    WIDEN(eval_cumsum);
    s = type_along(x, index_clamp(elem_get_int(in[1]->type.dt, in[1]->data,
                                               0), x->rank));
    for (int64_t o = 0; o < s.outer; o++)
        for (int64_t k = 0; k < s.inner; k++) {
            int64_t at = o * s.dim * s.inner + k;
            if (a->reverse)
                cumsum(in[0], out[0], at + (s.dim - 1) * s.inner, -s.inner,
                       s.dim, a->exclusive != 0);
            else
                cumsum(in[0], out[0], at, s.inner, s.dim,
                       a->exclusive != 0);
        }
    return true;
}

/* TopK (a run-time K does not overrule the declared shape) */

bool infer_topk(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type, *kt = &n->in[1]->type;
    Type t = *x;
    int64_t k;
    int axis;

    (void)g;
    if (!check_ordered(n, x->dt) ||
        !node_axis(n, ATTRS(topk, n)->axis, x->rank, &axis))
        return false;
    if (kt->dt != DT_I64 || kt->rank > 1 || type_elems(kt) != 1)
        return node_error(n, "K must be one int64");
    if (value_is_const(n->in[1])) {
        k = elem_get_int(DT_I64, n->in[1]->data, 0);
    } else {
        const Value *y = node_out(n, 0) ? n->out[0] : node_out(n, 1);
        if (!infer_declared(n, n->in[1]))
            return false;
        k = y && y->type.rank == x->rank ? y->type.dim[axis] : -1;
    }
    if (k < 0 || k > x->dim[axis])
        return node_error(n, "K %lld is not within 0 and the %lld elements "
                          "of axis %d", (long long)k,
                          (long long)x->dim[axis], axis);
    t.dim[axis] = k;
    if (node_out(n, 0))
        n->out[0]->type = t;
    t.dt = DT_I64;
    if (node_out(n, 1))
        n->out[1]->type = t;
    return true;
}

typedef struct Entry { uint64_t key; int64_t at; } Entry;

static int entry_order(const void *pa, const void *pb)
{
    const Entry *a = pa, *b = pb;

    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->at < b->at ? -1 : a->at > b->at;
}

/* Column `base` of x, sorted: the best k elements go to y and at. */
static void topk(const Tensor *x, int64_t base, Along s, bool largest,
                 Entry *e, Tensor *y, int64_t *at, int64_t to, int64_t k)
{
    size_t size = (size_t)dtype_bytes(x->type.dt);

    for (int64_t i = 0; i < s.dim; i++) {
        e[i].key = elem_key(x->type.dt, x->data, base + i * s.inner) ^
                   (largest ? UINT64_MAX : 0);
        e[i].at = i;
    }
    qsort(e, (size_t)s.dim, sizeof *e, entry_order);
    for (int64_t i = 0; i < k; i++) {
        int64_t from = base + e[i].at * s.inner, j = to + i * s.inner;
        if (y)
            memcpy((char *)y->data + j * (int64_t)size,
                   (char *)x->data + from * (int64_t)size, size);
        if (at)
            at[j] = e[i].at;
    }
}

bool eval_topk(const Node *n, const Tensor *const *in, Tensor *const *out,
               Arena *scratch, Diag *diag)
{
    const Attr_topk *a = ATTRS(topk, n);
    Along s = type_along(&in[0]->type, a->axis);
    Tensor *y = n->nout > 0 ? out[0] : NULL, *at = n->nout > 1 ? out[1] : NULL;
    Entry *e = NEW_ARRAY(scratch, Entry, s.dim + 1);
    int64_t k;

    (void)diag;
    if (!y && !at)
        return true;
    k = type_along(y ? &y->type : &at->type, a->axis).dim;
    for (int64_t o = 0; o < s.outer; o++)
        for (int64_t i = 0; i < s.inner; i++)
            topk(in[0], o * s.dim * s.inner + i, s, a->largest != 0, e, y,
                 at ? at->data : NULL, o * k * s.inner + i, k);
    return true;
}
