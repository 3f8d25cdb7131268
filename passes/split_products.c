/* split_products.c - a product whose columns are read apart becomes one
 * product for each part.
 *
 * Exporters compute queries, keys and values by one product, then reshape,
 * transpose and slice; gated layers do the same with two halves. The joint
 * result must exist whole, and every slice of it is a copy; products of their
 * own need no copies and can be streamed. What a slice reads is followed back
 * through views and transposes to the columns of the product: every k-th run
 * of neighbours. Weights, scales and biases are cut, nothing is stored twice;
 * a column's sum, and how it is requantized, stay what they were.
 */
#include <string.h>

#include "../ir/ops/qproduct.h"
#include "edit.h"

enum { MOST_LEAVES = 16, MOST_STEPS = 8 };

/* The elements whose number, modulo period, is in [from, to). */
typedef struct Pick {
    int64_t period, from, to;
} Pick;

/* A result of a slicing node, and the views and transposes that stand
 * between the product and it: pick[i] of what path[i] reads is needed, and
 * pick[npath] of what the slicing node reads. */
typedef struct Leaf {
    Node *reader;
    int out, npath;
    Node *path[MOST_STEPS];
    Pick pick[MOST_STEPS + 1];
} Leaf;

typedef struct Joint {
    Graph *g;
    Node *n;
    int nleaf;
    Leaf leaf[MOST_LEAVES];
    Node *path[MOST_STEPS];
} Joint;

/* The axis of t that a pick goes along, and how many neighbours an index of
 * it stands for; -1: there is none. */
static int pick_axis(const Type *t, const Pick *p, int64_t *inner)
{
    *inner = 1;
    for (int a = t->rank - 1; a >= 0; *inner *= t->dim[a--])
        if (*inner < p->period && p->period % *inner == 0 &&
            t->dim[a] % (p->period / *inner) == 0 &&
            p->from % *inner == 0 && p->to % *inner == 0)
            return a;
    return -1;
}

static bool is_step(const Node *n)
{
    return n->op == OP_Transpose ||
           (op_has(n->op, T_VIEW) && n->op != OP_BitCast);
}

static int source_axis(const Node *transpose, int axis)
{
    const Ints *p = &ATTRS(transpose, transpose)->perm;

    return p->n ? (int)p->v[axis]
                : transpose->in[0]->type.rank - 1 - axis;
}

/* What a pick of n's result is of its operand. A view changes no order. */
static bool pick_back(const Node *n, Pick p, Pick *of)
{
    const Type *x = &n->in[0]->type;
    int64_t inner, own;
    int axis;

    *of = p;
    if (n->op != OP_Transpose)
        return true;
    if ((axis = pick_axis(&n->out[0]->type, &p, &inner)) < 0)
        return false;
    axis = source_axis(n, axis);
    own = type_span(x, axis + 1, x->rank);
    *of = (Pick){ p.period / inner * own, p.from / inner * own,
                  p.to / inner * own };
    return true;
}

/* The part of the product's result that result `out` of reader is. */
static bool add_leaf(Joint *j, Node *reader, int out, int npath)
{
    const Type *x = &reader->in[0]->type, *y = &j->n->out[0]->type;
    Leaf *l = &j->leaf[j->nleaf];
    int64_t from, inner, count;
    int axis;

    if (j->nleaf == MOST_LEAVES || reader->out[out]->is_output ||
        !node_part_of(reader, out, &axis, &from))
        return false;
    inner = type_span(x, axis + 1, x->rank);
    count = type_elems(&reader->out[out]->type) /
            (type_elems(x) / x->dim[axis]);
    if (from < 0 || count < 1 || from + count > x->dim[axis] ||
        count == x->dim[axis])
        return false;
    l->reader = reader;
    l->out = out;
    l->npath = npath;
    memcpy(l->path, j->path, (size_t)npath * sizeof *l->path);
    l->pick[npath] = (Pick){ x->dim[axis] * inner, from * inner,
                             (from + count) * inner };
    for (int i = npath; i > 0; i--)
        if (!pick_back(l->path[i - 1], l->pick[i], &l->pick[i - 1]))
            return false;
    j->nleaf++;
    return y->dim[y->rank - 1] % l->pick[0].period == 0;
}

/* Every reader of v is a view or a transpose, or takes parts of it. */
static bool find_leaves(Joint *j, const Value *v, int npath)
{
    if (v->is_output || !v->nuse)
        return false;
    for (int i = 0; i < v->nuse; i++) {
        Node *u = v->use[i];
        if (u->in[0] != v)
            return false;
        if (is_step(u)) {
            if (npath == MOST_STEPS)
                return false;
            j->path[npath] = u;
            if (!find_leaves(j, u->out[0], npath + 1))
                return false;
            continue;
        }
        for (int o = 0; o < u->nout; o++)
            if (u->out[o] && !add_leaf(j, u, o, npath))
                return false;
    }
    return true;
}

static bool same_columns(const Leaf *a, const Leaf *b)
{
    return !memcmp(&a->pick[0], &b->pick[0], sizeof a->pick[0]);
}

static bool has_column(const Leaf *l, int64_t c)
{
    const Pick *p = &l->pick[0];

    return c % p->period >= p->from && c % p->period < p->to;
}

/* No column is in two parts, which would be work done twice, and something is
 * copied: parts that are bytes of the joint result cost nothing, nor does a
 * single row. */
static bool pays(const Joint *j)
{
    const Type *y = &j->n->out[0]->type;
    int64_t cols = y->dim[y->rank - 1], shift;
    bool copies = false;

    if (type_elems(y) == cols)
        return false;
    for (int i = 0; i < j->nleaf; i++) {
        const Leaf *l = &j->leaf[i];
        copies = copies || !node_view_shift(l->reader, l->out, &shift);
        for (int k = 0; k < l->npath; k++)
            copies = copies || l->path[k]->op == OP_Transpose;
        for (int k = 0; k < i; k++)
            for (int64_t c = 0; !same_columns(l, &j->leaf[k]) && c < cols;
                 c++)
                if (has_column(l, c) && has_column(&j->leaf[k], c))
                    return false;
    }
    return copies;
}

/* x W (+ b), W one constant matrix */
static bool is_product(const Node *n)
{
    const Value *b = n->nin > 2 ? n->in[n->nin - 1] : NULL;
    Arena *arena;
    QMatMul q;
    bool ok;

    if ((n->op != OP_MatMul && n->op != OP_FusedMatMul &&
         n->op != OP_QMatMul) ||
        value_is_const(n->in[0]) || n->in[0]->type.rank < 2 ||
        !value_is_const(n->in[1]) || n->in[1]->type.rank != 2 ||
        (b && !value_is_const(b)) || !type_elems(&n->out[0]->type))
        return false;
    if (n->op != OP_QMatMul)
        return true;
    arena = arena_child(n->graph->arena);
    ok = qmatmul_fits(n, &q, arena) && q.weights;
    arena_free(arena);
    return ok;
}

/* Indices of an axis of a constant matrix or vector. */
static Value *take(Graph *g, const Value *v, int axis, const int64_t *index,
                   int64_t count)
{
    const Type *x = &v->type;
    int64_t run = type_span(x, axis + 1, x->rank), outer, last;
    int64_t bits = run * dtype_bits(x->dt);
    Type t = *x;
    char *p;

    t.dim[axis] = count;
    last = index[count - 1];
    outer = type_span(x, 0, axis);
    if (outer == 1 && last - index[0] == count - 1 && bits % 8 == 0)
        return graph_const(g, v->name, t,
                           (const char *)v->data + index[0] * bits / 8);
    p = arena_alloc(g->arena, (size_t)type_bytes(&t) + 16);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < count; i++) {
            int64_t to = (o * count + i) * run;
            int64_t at = (o * x->dim[axis] + index[i]) * run;
            if (bits % 8 == 0) {
                memcpy(p + to / run * (bits / 8),
                       (const char *)v->data + at / run * (bits / 8),
                       (size_t)(bits / 8));
                continue;
            }
            for (int64_t k = 0; k < run; k++)
                elem_set_int(t.dt, p, to + k,
                             elem_get_int(t.dt, v->data, at + k));
        }
    return graph_const(g, v->name, t, p);
}

/* How sums are requantized was chosen for all columns; a part keeps it. */
static void keep_units(Node *part, const Node *n)
{
    Arena *arena = arena_child(n->graph->arena);
    QMatMul q;

    if (qmatmul_fits(n, &q, arena)) {
        ATTRS(qmatmul, part)->shift = q.rq.shift;
        ATTRS(qmatmul, part)->unit = q.groups > 1 ? q.group_one : 0;
    }
    arena_free(arena);
}

/* The axis of operand i that goes along the columns; the scales of a
 * QMatMul's columns stand in groups. */
static int column_axis(const Node *n, int i)
{
    if (n->op == OP_QMatMul)
        return 0;
    if (i == 1 && n->op == OP_FusedMatMul && ATTRS(fusedmatmul, n)->transB)
        return 0;
    return n->in[i]->type.rank - 1;
}

/* The product of these columns only, before n. */
static Value *part_product(Graph *g, Node *n, const Leaf *l)
{
    Type t = n->out[0]->type;
    int64_t cols = t.dim[t.rank - 1], count = 0;
    int64_t *index = NEW_ARRAY(g->scratch, int64_t, cols);
    Value **in = NEW_ARRAY(g->scratch, Value *, n->nin);
    Node *part;

    for (int64_t c = 0; c < cols; c++)
        if (has_column(l, c))
            index[count++] = c;
    t.dim[t.rank - 1] = count;
    in[0] = n->in[0];
    in[1] = take(g, n->in[1], column_axis(n, 1), index, count);
    for (int i = 2; i < n->nin; i++)
        in[i] = n->in[i] && type_elems(&n->in[i]->type) > 1
                    ? take(g, n->in[i], column_axis(n, i), index, count)
                    : n->in[i];
    part = insert_op(g, n, n->op, n->name, n->nin, in, t);
    if (n->attr)
        part->attr = arena_memdup(g->arena, n->attr,
                                  (size_t)op_info(n->op)->attr_bytes);
    if (n->op == OP_QMatMul)
        keep_units(part, n);
    part->island = n->island;
    part->out[0]->quant = n->out[0]->quant;
    return part->out[0];
}

static Value *reshaped(Graph *g, Node *at, const Node *like, Value *v, Type t)
{
    Value *in[2] = { v, NULL };
    Node *n;

    if (type_equal(&v->type, &t))
        return v;
    in[1] = graph_const_ints(g, "shape", t.rank, t.dim);
    n = insert_op(g, at, OP_Reshape, like->name, 2, in, t);
    ATTRS(reshape, n)->allowzero = 1;
    n->out[0]->quant = v->quant;
    return n->out[0];
}

/* The steps of the path with the part alone: views only say shapes. */
static Value *replay(Graph *g, const Leaf *l, Value *v)
{
    Node *at = l->reader;

    for (int i = 0; i < l->npath; i++) {
        Node *n = l->path[i], *t;
        Type x = n->in[0]->type, y;
        int64_t inner;
        int axis;
        if (n->op != OP_Transpose)
            continue;
        axis = pick_axis(&x, &l->pick[i], &inner);
        x.dim[axis] = x.dim[axis] / (l->pick[i].period / inner) *
                      ((l->pick[i].to - l->pick[i].from) / inner);
        v = reshaped(g, at, n, v, x);
        y = x;
        for (int a = 0; a < x.rank; a++)
            y.dim[a] = x.dim[source_axis(n, a)];
        t = insert_op(g, at, OP_Transpose, n->name, 1, &v, y);
        ATTRS(transpose, t)->perm = ATTRS(transpose, n)->perm;
        t->out[0]->quant = v->quant;
        v = t->out[0];
    }
    return v;
}

/* The leaf's result is the part; what read the slice reads it. */
static void end_leaf(Graph *g, const Leaf *l, Value *v)
{
    Value *y = l->reader->out[l->out];

    v = replay(g, l, v);
    value_replace(g, y, reshaped(g, l->reader, l->reader, v, y->type));
}

static void split(Joint *j)
{
    Value *made[MOST_LEAVES];

    for (int i = 0; i < j->nleaf; i++) {
        made[i] = NULL;
        for (int k = 0; k < i; k++)
            if (same_columns(&j->leaf[k], &j->leaf[i]))
                made[i] = made[k];
        if (!made[i])
            made[i] = part_product(j->g, j->n, &j->leaf[i]);
        end_leaf(j->g, &j->leaf[i], made[i]);
    }
}

bool pass_split_products(Graph *g, const PassOptions *opt, bool *changed)
{
    Joint *j = NEW(g->scratch, Joint);
    bool skip;

    for EACH_NODE_SAFE(n, g) {
        *j = (Joint){ .g = g, .n = n };
        if (!is_product(n) || !find_leaves(j, n->out[0], 0) || !pays(j))
            continue;
        split(j);
        *changed = true;
    }
    return !*changed || pass_dce(g, opt, &skip);
}
