/* select.c - NonMaxSuppression-11 and Unique-11. How many results there are
 * depends on the data: when that is not constant the model must declare a
 * number, which is then room for that many. Results beyond it are dropped,
 * missing ones are -1 (NonMaxSuppression) or 0 (Unique).
 */
#include "select.h"

#include <stdlib.h>
#include <string.h>

#include "../hooks.h"
#include "reduce.h"

static bool check_scalar(const Node *n, int i, DType dt)
{
    const Value *v = node_in(n, i);

    if (!v || (v->type.dt == dt && type_elems(&v->type) == 1))
        return true;
    return node_error(n, "operand '%s' must be one %s", v->name,
                      dtype_name(dt));
}

static bool nms_check(const Node *n)
{
    const Type *b = &n->in[NMS_BOXES]->type, *s = &n->in[NMS_SCORES]->type;

    if (b->dt != DT_F32 || s->dt != DT_F32)
        return node_error(n, "takes boxes and scores of float");
    if (b->rank != 3 || b->dim[2] != 4 || s->rank != 3 ||
        s->dim[0] != b->dim[0] || s->dim[2] != b->dim[1])
        return node_error(n, "takes boxes[batch, n, 4] and scores[batch, "
                          "classes, n]");
    return check_scalar(n, NMS_MOST, DT_I64) &&
           check_scalar(n, NMS_IOU, DT_F32) &&
           check_scalar(n, NMS_LEAST, DT_F32);
}

typedef struct Corners { float y0, x0, y1, x1; } Corners;

static float least(float a, float b)
{
    return b < a ? b : a;
}

static float most(float a, float b)
{
    return a < b ? b : a;
}

static Corners corners(const float *b, bool center)
{
    Corners c = { least(b[0], b[2]), least(b[1], b[3]), most(b[0], b[2]),
                  most(b[1], b[3]) };

    if (center)
        c = (Corners){ b[1] - b[3] / 2, b[0] - b[2] / 2, b[1] + b[3] / 2,
                       b[0] + b[2] / 2 };
    return c;
}

static bool overlap(Corners a, Corners b, float iou)
{
    float h = least(a.y1, b.y1) - most(a.y0, b.y0);
    float w = least(a.x1, b.x1) - most(a.x0, b.x0);
    float area_a = (a.y1 - a.y0) * (a.x1 - a.x0);
    float area_b = (b.y1 - b.y0) * (b.x1 - b.x0), both = h * w;

    if (!(h > 0 && w > 0 && area_a > 0 && area_b > 0))
        return false;
    return both / (area_a + area_b - both) > iou;
}

typedef struct Nms {
    const float *box, *score;   /* of one batch, of one class */
    int64_t n, limit;
    float iou, least;
    bool center, has_least;
    int64_t *kept;              /* room for n */
} Nms;

typedef struct Ranked { uint64_t key; int64_t at; } Ranked;

static int best_first(const void *pa, const void *pb)
{
    const Ranked *a = pa, *b = pb;

    if (a->key != b->key)
        return a->key > b->key ? -1 : 1;
    return a->at < b->at ? -1 : a->at > b->at;
}

/* Boxes of one class that stay, best score first; their number. */
static int64_t suppress(const Nms *m, Ranked *r)
{
    int64_t n = 0, kept = 0;

    for (int64_t i = 0; i < m->n; i++)
        if (!m->has_least || m->score[i] > m->least)
            r[n++] = (Ranked){ elem_key(DT_F32, m->score, i), i };
    qsort(r, (size_t)n, sizeof *r, best_first);
    for (int64_t i = 0; i < n && kept < m->limit; i++) {
        Corners c = corners(m->box + 4 * r[i].at, m->center);
        int64_t k = 0;
        while (k < kept && !overlap(corners(m->box + 4 * m->kept[k],
                                            m->center), c, m->iou))
            k++;
        if (k == kept)
            m->kept[kept++] = r[i].at;
    }
    return kept;
}

static const void *scalar_or(const void *p, const void *usual)
{
    return p ? p : usual;
}

/* data[i]: operands, NULL when left out. Fills up to `room` rows of y and
 * returns how many there are in all. */
static int64_t nms_run(const Node *n, const void *const *data, int64_t *y,
                       int64_t room, Arena *scratch)
{
    static const int64_t none;
    static const float zero;
    const int64_t *bd = n->in[NMS_BOXES]->type.dim;
    int64_t classes = n->in[NMS_SCORES]->type.dim[1], all = 0;
    Ranked *r = NEW_ARRAY(scratch, Ranked, bd[1] + 1);
    Nms m = { .n = bd[1], .center = ATTRS(nms, n)->center_point_box != 0 };

    m.kept = NEW_ARRAY(scratch, int64_t, bd[1] + 1);
    m.limit = *(const int64_t *)scalar_or(data[NMS_MOST], &none);
    m.iou = *(const float *)scalar_or(data[NMS_IOU], &zero);
    m.least = *(const float *)scalar_or(data[NMS_LEAST], &zero);
    m.has_least = data[NMS_LEAST] != NULL;
    for (int64_t b = 0; b < bd[0]; b++)
        for (int64_t c = 0; c < classes; c++) {
            int64_t kept;
            m.box = (const float *)data[NMS_BOXES] + b * bd[1] * 4;
            m.score = (const float *)data[NMS_SCORES] +
                      (b * classes + c) * bd[1];
            kept = suppress(&m, r);
            for (int64_t i = 0; i < kept; i++, all++)
                if (all < room) {
                    y[3 * all] = b;
                    y[3 * all + 1] = c;
                    y[3 * all + 2] = m.kept[i];
                }
        }
    return all;
}

bool infer_nms(Graph *g, Node *n)
{
    const void *data[5] = { NULL };
    Value *y = n->out[0];
    int64_t dim[2] = { 0, 3 };
    bool constant = true;
    int open = 0;

    if (!nms_check(n))
        return false;
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] && !(data[i] = n->in[i]->data)) {
            constant = false;
            open = i;
        }
    if (!y)
        return true;
    if (constant) {
        dim[0] = nms_run(n, data, NULL, 0, g->scratch);
        y->type = type_make(DT_I64, 2, dim);
        return true;
    }
    if (!infer_declared(n, n->in[open]))
        return false;
    if (y->type.dt != DT_I64 || y->type.rank != 2 || y->type.dim[1] != 3)
        return node_error(n, "makes int64[rows, 3], the model declares "
                          "another type");
    return true;
}

bool eval_nms(const Node *n, const Tensor *const *in, Tensor *const *out,
              Arena *scratch, Diag *diag)
{
    const void *data[5] = { NULL };
    int64_t room, *y, rows;

    (void)diag;
    if (n->nout < 1 || !out[0])
        return true;
    for (int i = 0; i < n->nin; i++)
        if (in[i])
            data[i] = in[i]->data;
    room = out[0]->type.dim[0];
    y = out[0]->data;
    rows = nms_run(n, data, y, room, scratch);
    for (int64_t i = 3 * rows; i < 3 * room; i++)
        y[i] = -1;
    return true;
}

bool unique_walk(const Node *n, const Type *x, Walk *w)
{
    int64_t axis = ATTRS(unique, n)->axis;

    *w = (Walk){ 1, type_elems(x), 1, -1 };
    if (axis == INT64_MAX)
        return true;
    if (!node_axis(n, axis, x->rank, &w->axis))
        return false;
    w->outer = type_span(x, 0, w->axis);
    w->n = x->dim[w->axis];
    w->inner = type_span(x, w->axis + 1, x->rank);
    return true;
}

int64_t unique_rows(const Node *n)
{
    int64_t axis = ATTRS(unique, n)->axis;
    const Type *y = node_out(n, 0) ? &n->out[0]->type : NULL;

    if (y && axis == INT64_MAX)
        return y->rank == 1 ? y->dim[0] : -1;
    if (y) {
        axis = axis < 0 ? axis + y->rank : axis;
        return axis >= 0 && axis < y->rank ? y->dim[axis] : -1;
    }
    for (int i = 1; i < n->nout; i++)
        if (n->out[i] && i != 2)
            return n->out[i]->type.rank == 1 ? n->out[i]->type.dim[0] : -1;
    return 0;
}

/* Item a against item b, element by element. */
static int item_order(DType dt, const void *x, const Walk *w, int64_t a,
                      int64_t b)
{
    for (int64_t o = 0; o < w->outer; o++)
        for (int64_t i = 0; i < w->inner; i++) {
            uint64_t ka = elem_key(dt, x, (o * w->n + a) * w->inner + i);
            uint64_t kb = elem_key(dt, x, (o * w->n + b) * w->inner + i);
            if (ka != kb)
                return ka < kb ? -1 : 1;
        }
    return 0;
}

/* Where item i is among the first of each kind, or would be. */
static int64_t find_item(DType dt, const void *x, const Walk *w,
                         const int64_t *rep, int64_t count, int64_t i,
                         bool sorted, bool *found)
{
    int64_t lo = 0, hi = count;

    *found = false;
    while (sorted && lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        int order = item_order(dt, x, w, rep[mid], i);
        if (order == 0) {
            *found = true;
            return mid;
        }
        *(order < 0 ? &lo : &hi) = order < 0 ? mid + 1 : mid;
    }
    for (; !sorted && lo < count; lo++)
        if (item_order(dt, x, w, rep[lo], i) == 0) {
            *found = true;
            return lo;
        }
    return lo;
}

/* rep[n]: the first item of each kind; their number */
static int64_t find_kinds(DType dt, const void *x, const Walk *w,
                          int64_t *rep, bool sorted)
{
    int64_t count = 0;

    for (int64_t i = 0; i < w->n; i++) {
        bool found;
        int64_t at = find_item(dt, x, w, rep, count, i, sorted, &found);
        if (found)
            continue;
        memmove(rep + at + 1, rep + at, (size_t)(count - at) * sizeof *rep);
        rep[at] = i;
        count++;
    }
    return count;
}

static bool unique_declared(Node *n, const Walk *w)
{
    int64_t rows;

    if (!infer_declared(n, n->in[0]))
        return false;
    rows = unique_rows(n);
    for (int i = 1; i < n->nout; i++) {
        const Type *t = n->out[i] ? &n->out[i]->type : NULL;
        if (t && (t->rank != 1 || t->dim[0] != (i == 2 ? w->n : rows)))
            return node_error(n, "the declared lengths of its outputs do not "
                              "fit each other");
    }
    if (rows < 0 || rows > w->n)
        return node_error(n, "declares %lld different items of %lld",
                          (long long)rows, (long long)w->n);
    return true;
}

bool infer_unique(Graph *g, Node *n)
{
    const Value *x = n->in[0];
    Type t = x->type;
    int64_t rows, *rep;
    Walk w;

    if (dtype_bits(t.dt) < 8)
        return node_error(n, "does not take %s", dtype_name(t.dt));
    if (!unique_walk(n, &t, &w))
        return false;
    if (value_is_const(x)) {
        rep = NEW_ARRAY(g->scratch, int64_t, w.n + 1);
        rows = find_kinds(t.dt, x->data, &w, rep,
                          ATTRS(unique, n)->sorted != 0);
    } else {
        if (!unique_declared(n, &w))
            return false;
        rows = unique_rows(n);
    }
    if (w.axis >= 0)
        t.dim[w.axis] = rows;
    else
        t = type_vector(t.dt, rows);
    if (node_out(n, 0))
        n->out[0]->type = t;
    for (int i = 1; i < n->nout; i++)
        if (n->out[i])
            n->out[i]->type = type_vector(DT_I64, i == 2 ? w.n : rows);
    return true;
}

static void copy_item(const Tensor *x, const Walk *w, int64_t item, Tensor *y,
                      int64_t to, int64_t rows)
{
    size_t bytes = (size_t)w->inner * (size_t)dtype_bytes(x->type.dt);

    for (int64_t o = 0; o < w->outer; o++)
        memcpy((char *)y->data + (size_t)(o * rows + to) * bytes,
               (const char *)x->data + (size_t)(o * w->n + item) * bytes,
               bytes);
}

bool eval_unique(const Node *n, const Tensor *const *in, Tensor *const *out,
                 Arena *scratch, Diag *diag)
{
    bool sorted = ATTRS(unique, n)->sorted != 0, found;
    const Tensor *x = in[0];
    int64_t *to[4] = { NULL }, *rep, count, rows = unique_rows(n);
    Walk w;

    (void)diag;
    if (!unique_walk(n, &x->type, &w))
        return false;
    for (int i = 1; i < n->nout; i++)
        to[i] = out[i] ? out[i]->data : NULL;
    rep = NEW_ARRAY(scratch, int64_t, w.n + 1);
    count = find_kinds(x->type.dt, x->data, &w, rep, sorted);
    for (int64_t i = 0; i < count && i < rows; i++) {
        if (n->nout > 0 && out[0])
            copy_item(x, &w, rep[i], out[0], i, rows);
        if (to[1])
            to[1][i] = rep[i];
    }
    for (int64_t i = 0; i < w.n && (to[2] || to[3]); i++) {
        int64_t at = find_item(x->type.dt, x->data, &w, rep, count, i, sorted,
                               &found);
        if (to[2])
            to[2][i] = at;
        if (to[3] && at < rows)
            to[3][at]++;
    }
    return true;
}
