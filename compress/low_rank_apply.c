/* low_rank_apply.c - replaces layers by their two factors.
 *
 * The singular values go to both sides by their roots: the two factors are
 * of one magnitude, which is what quantization likes best.
 */
#include <math.h>
#include <string.h>

#include "../passes/edit.h"
#include "low_rank_int.h"

typedef struct Factors {
    int64_t rank;
    double *first, *second;     /* [rows, rank], [rank, cols] */
} Factors;

static Factors factors_of(const Units *all, const Unit *u)
{
    Factors f = { u->rank,
                  NEW_ARRAY(all->arena, double, u->rows * u->rank),
                  NEW_ARRAY(all->arena, double, u->rank * u->cols) };

    for (int64_t r = 0; r < u->rank; r++) {
        double root = sqrt(u->d.s[r]);
        for (int64_t i = 0; i < u->rows; i++)
            f.first[i * u->rank + r] = u->d.u[i * u->d.k + r] * root;
        for (int64_t j = 0; j < u->cols; j++)
            f.second[r * u->cols + j] = u->d.vt[r * u->cols + j] * root;
    }
    if (u->l)
        lower_transposed_solve(u->l, u->rows, f.first, u->rank);
    return f;
}

static Value *matrix(Graph *g, const char *name, int64_t rows, int64_t cols,
                     const double *x, int64_t stride)
{
    int64_t dims[2] = { rows, cols };
    float *p = NEW_ARRAY(g->arena, float, rows * cols);

    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            p[i * cols + j] = (float)x[i * stride + j];
    return graph_const(g, name, type_make(DT_F32, 2, dims), p);
}

static Type with_last(Type t, int64_t n)
{
    t.dim[t.rank - 1] = n;
    return t;
}

/* One shared first factor, then the second of each reader. */
static void split_products(Graph *g, const Unit *u, const Factors *f,
                           Node **table)
{
    Node *n = table[u->node[0]], *head;
    Value *in[3] = { n->in[0], matrix(g, n->in[1]->name, u->rows, f->rank,
                                      f->first, f->rank), NULL };
    int64_t at = 0;

    head = insert_op(g, n, OP_FusedMatMul, n->name, 2, in,
                     with_last(n->in[0]->type, f->rank));
    for (int k = 0; k < u->nnode; k++) {
        Node *old = table[u->node[k]], *tail;
        const Type *y = &old->out[0]->type;
        int64_t cols = y->dim[y->rank - 1];
        in[0] = head->out[0];
        in[1] = matrix(g, old->in[1]->name, f->rank, cols, f->second + at,
                       u->cols);
        in[2] = node_in(old, 2);
        tail = insert_op(g, old, OP_FusedMatMul, old->name, in[2] ? 3 : 2,
                         in, *y);
        ATTRS(fusedmatmul, tail)->act = ATTRS(fusedmatmul, old)->act;
        ATTRS(fusedmatmul, tail)->act_alpha =
            ATTRS(fusedmatmul, old)->act_alpha;
        ATTRS(fusedmatmul, tail)->act_beta =
            ATTRS(fusedmatmul, old)->act_beta;
        take_result(g, tail, old);
        at += cols;
    }
}

static bool split_embedding(Graph *g, const Unit *u, const Factors *f,
                            Node *n)
{
    Value *table = matrix(g, n->in[0]->name, u->rows, f->rank, f->first,
                          f->rank);
    Value *in[2] = { table, n->in[1] };
    Node *head = insert_op(g, n, OP_Gather, n->name, 2, in,
                           with_last(n->out[0]->type, f->rank)), *tail;

    in[0] = head->out[0];
    in[1] = matrix(g, n->in[0]->name, f->rank, u->cols, f->second, u->cols);
    tail = insert_op(g, n, OP_FusedMatMul, n->name, 2, in, n->out[0]->type);
    take_result(g, tail, n);
    return true;
}

static Ints ints(Graph *g, int n, const int64_t *v)
{
    return (Ints){ n, arena_memdup(g->arena, v, (size_t)n * sizeof *v) };
}

/* `k` of the two axes keep what the convolution has, the others get none. */
static void narrow(Graph *g, Node *to, const Node *from, bool rows,
                   bool cols)
{
    const Attr_conv *a = ATTRS(conv, from);
    const int64_t *d = from->in[1]->type.dim;
    const bool keep[2] = { rows, cols };
    int64_t size[2], stride[2], dilation[2], pad[4];

    for (int k = 0; k < 2; k++) {
        size[k] = keep[k] ? d[2 + k] : 1;
        stride[k] = keep[k] && a->strides.n ? a->strides.v[k] : 1;
        dilation[k] = keep[k] && a->dilations.n ? a->dilations.v[k] : 1;
        pad[k] = keep[k] && a->pads.n ? a->pads.v[k] : 0;
        pad[2 + k] = keep[k] && a->pads.n ? a->pads.v[2 + k] : 0;
    }
    ATTRS(conv, to)->kernel_shape = ints(g, 2, size);
    ATTRS(conv, to)->strides = ints(g, 2, stride);
    ATTRS(conv, to)->dilations = ints(g, 2, dilation);
    ATTRS(conv, to)->pads = ints(g, 4, pad);
}

/* Weights [m, c, i, j] of a factor: element (row, col) of `x` by `at`. */
static Value *filter(Graph *g, const char *name, const int64_t *d,
                     const double *x, bool second, bool spatial)
{
    float *p = NEW_ARRAY(g->arena, float, d[0] * d[1] * d[2] * d[3]), *q = p;

    for (int64_t m = 0; m < d[0]; m++)
        for (int64_t c = 0; c < d[1]; c++)
            for (int64_t i = 0; i < d[2]; i++)
                for (int64_t j = 0; j < d[3]; j++) {
                    int64_t row = second ? c : (c * d[2] + i) * d[3] + j;
                    int64_t col = second && spatial ? j * d[0] + m : m;
                    int64_t cols = second && spatial ? d[3] * d[0] : d[0];
                    *q++ = (float)x[row * cols + col];
                }
    return graph_const(g, name, type_make(DT_F32, 4, d), p);
}

static bool split_conv(Graph *g, const Unit *u, const Factors *f, Node *n)
{
    const int64_t *d = n->in[1]->type.dim;
    bool spatial = u->form == UNIT_SPATIAL;
    int64_t d1[4] = { f->rank, d[1], d[2], spatial ? 1 : d[3] };
    int64_t d2[4] = { d[0], f->rank, 1, spatial ? d[3] : 1 };
    Value *in[3] = { n->in[0], filter(g, n->in[1]->name, d1, f->first, false,
                                      spatial), NULL };
    Node *head = insert_op(g, n, OP_Conv, n->name, 2, in, n->out[0]->type);
    Node *tail;

    narrow(g, head, n, true, !spatial);
    ATTRS(conv, head)->auto_pad = ATTRS(conv, n)->auto_pad;
    if (!node_infer(g, head))
        return false;
    in[0] = head->out[0];
    in[1] = filter(g, n->in[1]->name, d2, f->second, true, spatial);
    in[2] = node_in(n, 2);
    tail = insert_op(g, n, OP_Conv, n->name, in[2] ? 3 : 2, in,
                     n->out[0]->type);
    narrow(g, tail, n, false, spatial);
    ATTRS(conv, tail)->act = ATTRS(conv, n)->act;
    ATTRS(conv, tail)->act_alpha = ATTRS(conv, n)->act_alpha;
    ATTRS(conv, tail)->act_beta = ATTRS(conv, n)->act_beta;
    take_result(g, tail, n);
    return true;
}

bool units_apply(Graph *g, const Units *all)
{
    Node **table;

    graph_number(g);
    table = node_table(g, all->arena);
    for (int i = 0; i < all->n; i++) {
        const Unit *u = &all->unit[i];
        Factors f;
        bool ok = true;
        if (!u->rank)
            continue;
        f = factors_of(all, u);
        if (u->form == UNIT_PRODUCT || u->form == UNIT_JOINT)
            split_products(g, u, &f, table);
        else if (u->form == UNIT_EMBEDDING)
            ok = split_embedding(g, u, &f, table[u->node[0]]);
        else
            ok = split_conv(g, u, &f, table[u->node[0]]);
        if (!ok)
            return false;
    }
    return true;
}
