/* low_rank_gram.c - the second moments of what each matrix multiplies, over
 * the samples: with G = sum of x^T x, ||X (W - W')||^2 = tr (W - W')^T G
 * (W - W'), so the best W' of a rank comes from the SVD of L^T W, G = L L^T.
 */
#include "low_rank_int.h"

enum { MAX_ROWS = 1280, MAX_POSITIONS = 4096 };

typedef struct Walk {
    Units *u;
    int *first;                 /* of each node's units, by node index */
    double *row;                /* room for the longest */
} Walk;

static void add_outer(double *gram, int64_t n, const double *x)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; x[i] != 0 && j <= i; j++)
            gram[i * n + j] += x[i] * x[j];
}

static void product_moments(Unit *u, const Tensor *x, double *row)
{
    int64_t count = type_elems(&x->type) / u->rows;
    const float *p = x->data;

    for (int64_t r = 0; r < count; r++, p += u->rows) {
        for (int64_t i = 0; i < u->rows; i++)
            row[i] = (double)p[i];
        add_outer(u->gram, u->rows, row);
    }
}

typedef struct Patch {
    int64_t stride[2], dilation[2], pad[2], size[2];
} Patch;

static Patch patch_of(const Node *n)
{
    const Attr_conv *a = ATTRS(conv, n);
    const int64_t *d = n->in[1]->type.dim;
    Patch p;

    for (int k = 0; k < 2; k++) {
        p.stride[k] = a->strides.n ? a->strides.v[k] : 1;
        p.dilation[k] = a->dilations.n ? a->dilations.v[k] : 1;
        p.pad[k] = a->pads.n ? a->pads.v[k] : 0;
        p.size[k] = d[2 + k];
    }
    return p;
}

/* What the output at (y, x) of image b multiplies, in the order of
 * low_rank_find.c's conv_matrix. */
static void conv_row(const Patch *p, const Tensor *t, int64_t b, int64_t y,
                     int64_t x, double *row)
{
    const int64_t *d = t->type.dim;
    const float *data = t->data;

    for (int64_t c = 0; c < d[1]; c++)
        for (int64_t i = 0; i < p->size[0]; i++)
            for (int64_t j = 0; j < p->size[1]; j++) {
                int64_t r = y * p->stride[0] - p->pad[0] + i * p->dilation[0];
                int64_t s = x * p->stride[1] - p->pad[1] + j * p->dilation[1];
                bool in = r >= 0 && r < d[2] && s >= 0 && s < d[3];
                *row++ = in ? (double)data[((b * d[1] + c) * d[2] + r) * d[3] +
                                           s] : 0;
            }
}

static void conv_moments(Unit *u, const Node *n, const Tensor *x,
                         double *row)
{
    const Type *y = &n->out[0]->type;
    Patch p = patch_of(n);
    int64_t all = y->dim[0] * y->dim[2] * y->dim[3];
    int64_t step = all / MAX_POSITIONS + 1;

    for (int64_t k = 0; k < all; k += step) {
        int64_t plane = y->dim[2] * y->dim[3];
        conv_row(&p, x, k / plane, k % plane / y->dim[3], k % y->dim[3], row);
        add_outer(u->gram, u->rows, row);
    }
}

static bool has_auto_pad(const Node *n)
{
    const char *a = ATTRS(conv, n)->auto_pad;

    return *a && *a != 'N';
}

static void observe(void *user, const Node *n, const Tensor *const *in,
                    Tensor *const *out)
{
    Walk *w = user;

    (void)out;
    for (int i = w->first[n->index]; i >= 0 && i < w->u->n; i++) {
        Unit *u = &w->u->unit[i];
        if (u->node[0] != n->index)
            break;
        if (!u->gram)
            continue;
        if (u->form == UNIT_CHANNELS)
            conv_moments(u, n, in[0], w->row);
        else
            product_moments(u, in[0], w->row);
    }
}

static bool wants_gram(const Unit *u, const Node *n)
{
    if (u->rows > MAX_ROWS)
        return false;
    return u->form == UNIT_PRODUCT || u->form == UNIT_JOINT ||
           (u->form == UNIT_CHANNELS && !has_auto_pad(n));
}

static void mirror(Unit *u)
{
    for (int64_t i = 0; u->gram && i < u->rows; i++)
        for (int64_t j = 0; j < i; j++)
            u->gram[j * u->rows + i] = u->gram[i * u->rows + j];
}

static void start(Graph *g, Walk *w, bool samples)
{
    Units *u = w->u;
    Node **table = node_table(g, u->arena);
    int nnode = 0;
    int64_t longest = 1;

    for EACH_NODE(n, g)
        nnode++;
    w->first = NEW_ARRAY(u->arena, int, nnode);
    for (int i = 0; i < nnode; i++)
        w->first[i] = -1;
    for (int i = u->n - 1; i >= 0; i--) {
        Unit *unit = &u->unit[i];
        w->first[unit->node[0]] = i;
        if (!samples || !wants_gram(unit, table[unit->node[0]]))
            continue;
        unit->gram = NEW_ARRAY(u->arena, double, unit->rows * unit->rows);
        longest = unit->rows > longest ? unit->rows : longest;
    }
    w->row = NEW_ARRAY(u->arena, double, longest);
}

bool units_gram(Graph *g, Units *u, const LowRankOptions *opt)
{
    Walk w = { .u = u };
    Tensor *out = NEW_ARRAY(u->arena, Tensor, g->nout);
    Arena *results = arena_child(g->arena);
    bool ok = true;

    start(g, &w, opt->nsample > 0);
    for (int k = 0; ok && k < opt->nsample; k++) {
        ok = graph_eval(g, opt->sample[k], out, results, observe, &w);
        arena_reset(results);
    }
    arena_free(results);
    for (int i = 0; i < u->n; i++)
        mirror(&u->unit[i]);
    return ok;
}
