/* low_rank_find.c - the matrices of a graph that may be split in two. */
#include <string.h>

#include "low_rank_int.h"

static bool is_weight(const Value *v, int rank)
{
    return value_is_const(v) && v->type.dt == DT_F32 && v->type.rank == rank;
}

static Unit *add_unit(Units *u, UnitForm form, const Node *n)
{
    Unit unit = { .form = form, .nnode = 1, .node = { n->index },
                  .name = n->name, .op = n->op };

    PUSH(u->arena, u->unit, u->n, u->cap, unit);
    return &u->unit[u->n - 1];
}

static bool is_product(const Node *n)
{
    return n->op == OP_FusedMatMul && n->out[0]->type.dt == DT_F32 &&
           is_weight(n->in[1], 2) && !value_is_const(n->in[0]) &&
           n->in[0]->type.rank >= 2 && !ATTRS(fusedmatmul, n)->transA;
}

/* W[K, N] of x W, alpha multiplied in, into columns [at, at + N) of w. */
static void product_matrix(const Node *n, double *w, int64_t cols, int64_t at)
{
    const Attr_fusedmatmul *a = ATTRS(fusedmatmul, n);
    const Type *t = &n->in[1]->type;
    int64_t rows = t->dim[a->transB ? 1 : 0], own = t->dim[a->transB ? 0 : 1];
    const float *p = n->in[1]->data;

    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < own; j++)
            w[i * cols + at + j] = (double)a->alpha *
                (double)(a->transB ? p[j * rows + i] : p[i * own + j]);
}

static int64_t product_cols(const Node *n)
{
    const Type *t = &n->in[1]->type;

    return t->dim[ATTRS(fusedmatmul, n)->transB ? 0 : 1];
}

static void add_product(Units *u, const Node *n)
{
    const Type *x = &n->in[0]->type;
    Unit *p = add_unit(u, UNIT_PRODUCT, n);

    p->rows = x->dim[x->rank - 1];
    p->cols = product_cols(n);
    p->rank_macs = type_span(x, 0, x->rank - 1) * (p->rows + p->cols);
    p->w = NEW_ARRAY(u->arena, double, p->rows * p->cols);
    product_matrix(n, p->w, p->cols, 0);
}

/* All products that read what n reads, when n is the first of them. */
static void add_joint(Units *u, const Node *n)
{
    const Value *x = n->in[0];
    const Node *list[MAX_JOINT];
    int k = 0;
    Unit *p;
    int64_t cols = 0, at = 0;

    for (int i = 0; i < x->nuse && k < MAX_JOINT; i++)
        if (is_product(x->use[i]) && x->use[i]->in[0] == x) {
            list[k++] = x->use[i];
            cols += product_cols(x->use[i]);
        }
    for (int i = 0; i < k; i++)
        if (list[i]->index < n->index)
            return;
    if (k < 2)
        return;
    p = add_unit(u, UNIT_JOINT, n);
    p->nnode = k;
    p->rows = x->type.dim[x->type.rank - 1];
    p->cols = cols;
    p->rank_macs = type_span(&x->type, 0, x->type.rank - 1) *
                   (p->rows + p->cols);
    p->w = NEW_ARRAY(u->arena, double, p->rows * cols);
    for (int i = 0; i < k; i++) {
        p->node[i] = list[i]->index;
        product_matrix(list[i], p->w, cols, at);
        at += product_cols(list[i]);
    }
}

/* w[(c, i, j), m] or w[(c, i), (j, m)] of weights [m, c, i, j] */
static void conv_matrix(const Node *n, bool spatial, double *w)
{
    const int64_t *d = n->in[1]->type.dim;
    const float *p = n->in[1]->data;

    for (int64_t m = 0; m < d[0]; m++)
        for (int64_t c = 0; c < d[1]; c++)
            for (int64_t i = 0; i < d[2]; i++)
                for (int64_t j = 0; j < d[3]; j++, p++) {
                    int64_t row = (c * d[2] + i) * (spatial ? 1 : d[3]) +
                                  (spatial ? 0 : j);
                    int64_t col = spatial ? j * d[0] + m : m;
                    int64_t cols = d[0] * (spatial ? d[3] : 1);
                    w[row * cols + col] = (double)*p;
                }
}

static bool is_conv(const Node *n)
{
    return n->op == OP_Conv && n->out[0]->type.dt == DT_F32 &&
           is_weight(n->in[1], 4) && !value_is_const(n->in[0]) &&
           ATTRS(conv, n)->group == 1;
}

static bool no_auto_pad(const Node *n)
{
    const char *a = ATTRS(conv, n)->auto_pad;

    return !*a || !strcmp(a, "NOTSET");
}

static void add_conv(Units *u, const Node *n, bool spatial)
{
    const int64_t *d = n->in[1]->type.dim;
    const Type *x = &n->in[0]->type, *y = &n->out[0]->type;
    int64_t out = y->dim[0] * y->dim[2] * y->dim[3];
    Unit *p = add_unit(u, spatial ? UNIT_SPATIAL : UNIT_CHANNELS, n);

    p->rows = d[1] * d[2] * (spatial ? 1 : d[3]);
    p->cols = d[0] * (spatial ? d[3] : 1);
    p->rank_macs = out * p->cols +
        (spatial ? y->dim[0] * y->dim[2] * x->dim[3] : out) * p->rows;
    p->w = NEW_ARRAY(u->arena, double, p->rows * p->cols);
    conv_matrix(n, spatial, p->w);
}

static void add_embedding(Units *u, const Node *n)
{
    const Type *t = &n->in[0]->type;
    Unit *p = add_unit(u, UNIT_EMBEDDING, n);
    const float *table = n->in[0]->data;

    p->rows = t->dim[0];
    p->cols = t->dim[1];
    p->rank_macs = type_elems(&n->in[1]->type) * p->cols;
    p->w = NEW_ARRAY(u->arena, double, p->rows * p->cols);
    for (int64_t i = 0; i < p->rows * p->cols; i++)
        p->w[i] = (double)table[i];
}

static bool is_embedding(const Node *n)
{
    return n->op == OP_Gather && is_weight(n->in[0], 2) &&
           !value_is_const(n->in[1]) && ATTRS(axis0, n)->axis == 0;
}

static void find_in(Units *u, const Node *n)
{
    if (is_product(n)) {
        add_joint(u, n);
        add_product(u, n);
    } else if (is_conv(n)) {
        add_conv(u, n, false);
        if (n->in[1]->type.dim[2] > 1 && n->in[1]->type.dim[3] > 1 &&
            no_auto_pad(n))
            add_conv(u, n, true);
    } else if (is_embedding(n)) {
        add_embedding(u, n);
    }
}

void units_find(Graph *g, Units *u)
{
    Node **table;

    graph_number(g);
    table = node_table(g, u->arena);
    for EACH_NODE(n, g)
        if (n->nout && n->out[0] && type_elems(&n->out[0]->type))
            find_in(u, n);
    for (int i = 0; i < u->n; i++)
        for (int k = 0; k < u->unit[i].nnode; k++)
            u->unit[i].dense_macs += node_macs(table[u->unit[i].node[k]]);
}
