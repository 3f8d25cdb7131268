/* fold_products.c - chains of products by constants, x W1 W2 ... Wk with
 * nothing but biases between, are multiplied out where that is cheaper.
 *
 * Low-rank layers come as such chains: MCUFormer (arXiv 2310.16898) trains
 * three factors V^T, S, U; S always folds into a neighbour, and where the
 * rank is above in * out / (in + out) the dense product is the cheapest.
 * Which neighbours merge is a matrix-chain problem: cut the chain into
 * groups, each one matrix, with the least weights in all (the same number
 * as multiply-accumulates per row). Biases go along: (x W1 + b1) W2 + b2 =
 * x (W1 W2) + (b1 W2 + b2).
 */
#include "edit.h"

enum { MAX_CHAIN = 16 };

typedef struct Chain {
    int n;
    Node *node[MAX_CHAIN];      /* in the order of the data */
    int64_t dim[MAX_CHAIN + 1]; /* of the factors: dim[k] x dim[k + 1] */
    int cut[MAX_CHAIN + 1];     /* best: the last group of the first k
                                   factors starts at cut[k] */
} Chain;

typedef struct Factor {
    int64_t rows, cols;
    double *w, *b;              /* b may be NULL */
} Factor;

/* x W (+ b): one constant matrix, nothing else. */
static bool is_factor(const Node *n)
{
    const Attr_fusedmatmul *a;
    const Value *b = node_in(n, 2);

    if (n->op != OP_FusedMatMul || n->out[0]->type.dt != DT_F32)
        return false;
    a = ATTRS(fusedmatmul, n);
    return !a->transA && value_is_const(n->in[1]) &&
           n->in[1]->type.rank == 2 && !value_is_const(n->in[0]) &&
           n->in[0]->type.rank >= 2 && (!b || value_is_const(b));
}

/* Does the chain go on behind n? */
static bool goes_on(const Node *n)
{
    Node *next = only_reader(n->out[0], OP_FusedMatMul);

    return next && !*ATTRS(fusedmatmul, n)->act && is_factor(next) &&
           next->in[0] == n->out[0];
}

/* The chain that ends in `last`, as long as it goes. */
static void find_chain(Node *last, Chain *c)
{
    Node *list[MAX_CHAIN], *n = last;
    int k = 0;

    list[k++] = n;
    while (k < MAX_CHAIN && n->in[0]->def && only_use(n->in[0]) &&
           is_factor(n->in[0]->def) &&
           !*ATTRS(fusedmatmul, n->in[0]->def)->act) {
        n = n->in[0]->def;
        list[k++] = n;
    }
    c->n = k;
    for (int i = 0; i < k; i++)
        c->node[i] = list[k - 1 - i];
    for (int i = 0; i < k; i++) {
        const Type *x = &c->node[i]->in[0]->type;
        c->dim[i] = x->dim[x->rank - 1];
    }
    c->dim[k] = last->out[0]->type.dim[last->out[0]->type.rank - 1];
}

/* Fewest weights; equal ones keep the present factors. */
static int64_t best_cut(Chain *c)
{
    int64_t cost[MAX_CHAIN + 1] = { 0 };

    for (int end = 1; end <= c->n; end++) {
        cost[end] = INT64_MAX;
        for (int from = end - 1; from >= 0; from--) {
            int64_t sum = cost[from] + c->dim[from] * c->dim[end];
            if (sum < cost[end]) {
                cost[end] = sum;
                c->cut[end] = from;
            }
        }
    }
    return cost[c->n];
}

static int64_t present_cost(const Chain *c)
{
    int64_t sum = 0;

    for (int i = 0; i < c->n; i++)
        sum += c->dim[i] * c->dim[i + 1];
    return sum;
}

/* Row-major, untransposed, alpha multiplied in. */
static Factor factor_of(Graph *g, const Node *n)
{
    const Attr_fusedmatmul *a = ATTRS(fusedmatmul, n);
    const Type *t = &n->in[1]->type;
    const float *w = n->in[1]->data;
    Factor f = { t->dim[a->transB ? 1 : 0], t->dim[a->transB ? 0 : 1], NULL,
                 NULL };

    f.w = NEW_ARRAY(g->scratch, double, f.rows * f.cols);
    for (int64_t i = 0; i < f.rows; i++)
        for (int64_t j = 0; j < f.cols; j++)
            f.w[i * f.cols + j] =
                (double)a->alpha *
                (double)(a->transB ? w[j * f.rows + i] : w[i * f.cols + j]);
    if (node_in(n, 2)) {
        const float *b = n->in[2]->data;
        int64_t step = type_elems(&n->in[2]->type) == 1 ? 0 : 1;
        f.b = NEW_ARRAY(g->scratch, double, f.cols);
        for (int64_t j = 0; j < f.cols; j++)
            f.b[j] = (double)b[j * step];
    }
    return f;
}

/* y[rows, q.cols] += x[rows, q.rows] q */
static void add_product(double *y, const double *x, int64_t rows,
                        const Factor *q)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < q->rows; k++)
            for (int64_t j = 0; j < q->cols; j++)
                y[i * q->cols + j] += x[i * q->rows + k] *
                                      q->w[k * q->cols + j];
}

static Factor times(Graph *g, const Factor *p, const Factor *q)
{
    Factor f = { p->rows, q->cols, NULL, q->b };

    f.w = NEW_ARRAY(g->scratch, double, f.rows * f.cols);
    add_product(f.w, p->w, p->rows, q);
    if (p->b) {
        f.b = NEW_ARRAY(g->scratch, double, f.cols);
        for (int64_t j = 0; q->b && j < f.cols; j++)
            f.b[j] = q->b[j];
        add_product(f.b, p->b, 1, q);
    }
    return f;
}

static Value *const_of(Graph *g, const char *name, Type t, const double *x)
{
    int64_t n = type_elems(&t);
    float *p = NEW_ARRAY(g->arena, float, n);

    for (int64_t i = 0; i < n; i++)
        p[i] = (float)x[i];
    return graph_const(g, name, t, p);
}

/* One product in the place of factors [from, end). */
static Node *merged(Graph *g, const Chain *c, int from, int end, Value *x)
{
    Node *last = c->node[end - 1], *n;
    Factor f = factor_of(g, c->node[from]);
    int64_t dims[2];
    Value *in[3] = { x, NULL, NULL };

    for (int i = from + 1; i < end; i++) {
        Factor q = factor_of(g, c->node[i]);
        f = times(g, &f, &q);
    }
    dims[0] = f.rows;
    dims[1] = f.cols;
    in[1] = const_of(g, last->in[1]->name, type_make(DT_F32, 2, dims), f.w);
    if (f.b)
        in[2] = const_of(g, last->name, type_vector(DT_F32, f.cols), f.b);
    n = insert_op(g, last, OP_FusedMatMul, last->name, f.b ? 3 : 2, in,
                  last->out[0]->type);
    ATTRS(fusedmatmul, n)->act = ATTRS(fusedmatmul, last)->act;
    ATTRS(fusedmatmul, n)->act_alpha = ATTRS(fusedmatmul, last)->act_alpha;
    ATTRS(fusedmatmul, n)->act_beta = ATTRS(fusedmatmul, last)->act_beta;
    return n;
}

static void merge_group(Graph *g, Chain *c, int from, int end)
{
    Node *n;

    if (from > 0)
        merge_group(g, c, c->cut[from], from);
    if (end - from == 1)
        return;
    n = merged(g, c, from, end, c->node[from]->in[0]);
    take_result(g, n, c->node[end - 1]);
    c->node[end - 1] = n;
}

bool pass_fold_products(Graph *g, const PassOptions *opt, bool *changed)
{
    for EACH_NODE(n, g) {
        Chain c;
        if (!is_factor(n) || goes_on(n))
            continue;
        find_chain(n, &c);
        if (c.n < 2 || best_cut(&c) >= present_cost(&c))
            continue;
        merge_group(g, &c, c.cut[c.n], c.n);
        *changed = true;
        n = c.node[c.n - 1];
    }
    return pass_dce(g, opt, changed);
}
