/* fuse_attention.c - softmax(alpha Q K^T [+ mask]) V becomes one Attention.
 *
 * Its kernel keeps one row of scores at a time, so that the heads x tokens x
 * tokens matrix never exists. Runs after fuse_matmul, which has already put
 * the factor and the transpose into the first product.
 */
#include "edit.h"

#include <math.h>
#include <string.h>

typedef struct Match {
    Node *scores, *softmax, *end;
    Value *q, *k, *v, *mask;
    double scale;
} Match;

static bool is_plain(const Node *n)
{
    const Attr_fusedmatmul *a = ATTRS(fusedmatmul, n);

    return !*a->act && !node_in(n, 2) && !a->transA;
}

static bool last_axis_softmax(const Node *n)
{
    int64_t axis = ATTRS(axisneg1, n)->axis;

    return axis == -1 || axis == n->in[0]->type.rank - 1;
}

static bool match_scores(Value *x, Match *m)
{
    Node *add = maker(x, OP_Add);

    m->mask = NULL;
    if (add && only_use(x))
        for (int i = 0; i < 2; i++)
            if (maker(add->in[i], OP_FusedMatMul) && only_use(add->in[i]) &&
                type_equal(&add->in[i]->type, &add->out[0]->type)) {
                m->mask = add->in[1 - i];
                x = add->in[i];
                break;
            }
    m->scores = maker(x, OP_FusedMatMul);
    return m->scores && only_use(x) && is_plain(m->scores) &&
           ATTRS(fusedmatmul, m->scores)->transB == 1;
}

/* Attention takes a mask that is shorter than the keys for one that hides
 * the rest, so one that broadcasts over them does not fit. */
static bool mask_fits(const Type *mask, int rank, int64_t keys)
{
    return mask->dt == DT_F32 && mask->rank >= 1 && mask->rank <= 4 &&
           (rank == 4 || mask->rank <= rank) &&
           mask->dim[mask->rank - 1] == keys;
}

/* Attention gives zeros for a query that sees no key, Softmax gives NaN:
 * rewrite() says so to a mask that is known at run time only. */
static bool hides_all_keys(const Value *mask)
{
    int64_t keys, elems;

    if (!value_is_const(mask) || mask->type.dt != DT_F32)
        return false;
    keys = mask->type.dim[mask->type.rank - 1];
    elems = type_elems(&mask->type);
    for (int64_t i = 0, hidden = 0; i < elems; i++) {
        hidden = ((const float *)mask->data)[i] == -INFINITY ? hidden + 1 : 0;
        if (hidden == keys)
            return true;
        if ((i + 1) % keys == 0)
            hidden = 0;
    }
    return false;
}

/* Equal leading dims, ranks 2 to 4, shapes that belong together. */
static bool shapes_fit(const Match *m)
{
    const Type *q = &m->q->type, *k = &m->k->type, *v = &m->v->type;
    int r = q->rank;

    if (q->dt != DT_F32 || r < 2 || r > 4 || k->rank != r || v->rank != r)
        return false;
    for (int i = 0; i < r - 2; i++)
        if (q->dim[i] != k->dim[i] || q->dim[i] != v->dim[i])
            return false;
    if (m->mask && (!mask_fits(&m->mask->type, r, k->dim[r - 2]) ||
                    hides_all_keys(m->mask)))
        return false;
    return q->dim[r - 1] == k->dim[r - 1] && k->dim[r - 2] == v->dim[r - 2];
}

static bool match(Node *n, Match *m)
{
    if (n->op != OP_FusedMatMul || !is_plain(n) ||
        ATTRS(fusedmatmul, n)->transB || ATTRS(fusedmatmul, n)->alpha != 1)
        return false;
    m->end = n;
    m->softmax = maker(n->in[0], OP_Softmax);
    if (!m->softmax || !only_use(n->in[0]) ||
        !last_axis_softmax(m->softmax) ||
        !match_scores(m->softmax->in[0], m))
        return false;
    m->q = m->scores->in[0];
    m->k = m->scores->in[1];
    m->v = n->in[1];
    m->scale = (double)ATTRS(fusedmatmul, m->scores)->alpha;
    return m->scale > 0 && !value_is_const(m->q) && !value_is_const(m->k) &&
           !value_is_const(m->v) && shapes_fit(m);
}

/* Leading ones up to rank 4: batch, heads, tokens, features. */
static Value *as_4d(Graph *g, Node *at, Value *v)
{
    Type t = v->type;
    Value *in[2] = { v, NULL };

    if (t.rank == 4)
        return v;
    t.rank = 4;
    for (int i = 0; i < 4; i++) {
        int k = i - (4 - v->type.rank);
        t.dim[i] = k < 0 ? 1 : v->type.dim[k];
    }
    in[1] = graph_const_ints(g, "shape", 4, t.dim);
    return insert_op(g, at, OP_Reshape, v->name, 2, in, t)->out[0];
}

static void rewrite(Graph *g, const Match *m)
{
    Node *end = m->end, *n, *back;
    Value *in[4] = { as_4d(g, end, m->q), as_4d(g, end, m->k),
                     as_4d(g, end, m->v), m->mask };
    Type t = in[0]->type;
    Value *view[2];

    t.dim[3] = in[2]->type.dim[3];
    n = insert_op(g, end, OP_Attention, end->name, m->mask ? 4 : 3, in, t);
    ATTRS(attention, n)->scale = (float)m->scale;
    ATTRS(attention, n)->nan_rows = m->mask && !value_is_const(m->mask);
    if (end->out[0]->type.rank == 4) {
        take_result(g, n, end);
        return;
    }
    view[0] = n->out[0];
    view[1] = graph_const_ints(g, "shape", end->out[0]->type.rank,
                               end->out[0]->type.dim);
    back = insert_op(g, end, OP_Reshape, end->name, 2, view,
                     end->out[0]->type);
    take_result(g, back, end);
}

bool pass_fuse_attention(Graph *g, const PassOptions *opt, bool *changed)
{
    bool skip;

    for EACH_NODE_SAFE(n, g) {
        Match m;
        if (!match(n, &m))
            continue;
        rewrite(g, &m);
        *changed = true;
    }
    return !*changed || pass_dce(g, opt, &skip);
}
