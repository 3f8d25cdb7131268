/* equalize.c - evens out channels whose ranges differ.
 *
 * A tensor has one scale, so its widest channel decides how coarse all are.
 * Where a normalization's gain or a product's rows set a channel's size and
 * only products read it, dividing the channel there and multiplying the
 * readers' weights is free: SmoothQuant for transformers (Xiao et al., 2022),
 * cross-layer equalization for CNNs (Nagel et al., 2019). Relu and pools in
 * between do not mind positive factors. How much goes to the weights is tried
 * out on the samples; where nothing is gained nothing is changed.
 */
#include "ptq_int.h"

#include <math.h>

enum { TRIALS = 6 };
static const double share[TRIALS] = { 0, 0.3, 0.5, 0.7, 0.85, 1 };

typedef struct Chain {
    Node *source;
    int nreader;
    Product **reader;
    int64_t channels;
    double *factor[TRIALS];     /* by channel; [0]: ones */
    double lo[TRIALS], hi[TRIALS];      /* of the tensor, divided */
    double error[TRIALS];
} Chain;

typedef struct Search {
    Ptq *p;
    Arena *arena;
    int n, cap;
    Chain *chain;
} Search;

static Product *product_of(const Ptq *p, const Node *n)
{
    for (int i = 0; i < p->nproduct; i++)
        if (p->product[i].n == n)
            return &p->product[i];
    return NULL;
}

static bool is_homogeneous(const Node *n)
{
    return n->op == OP_Relu || n->op == OP_MaxPool ||
           n->op == OP_AveragePool || n->op == OP_GlobalAveragePool;
}

/* The tensor behind v that products read, through what keeps channels. */
static const Value *read_value(const Value *v)
{
    while (only_use(v) && is_homogeneous(v->use[0]))
        v = v->use[0]->out[0];
    return v;
}

static int64_t source_channels(const Ptq *p, const Node *n)
{
    const Value *gain = node_in(n, 1);
    const Product *r = product_of(p, n);

    if (r)
        return r->rows;
    if ((n->op != OP_LayerNormalization && n->op != OP_RMSNormalization) ||
        node_role(n) != ROLE_OP || gain->type.rank != 1 ||
        (node_in(n, 2) && !type_equal(&n->in[2]->type, &gain->type)))
        return 0;
    return gain->type.dim[0];
}

/* Channels of a convolution are axis 1, those of everything else the last. */
static bool same_axis(const Node *source, const Product *reader)
{
    return (source->op == OP_Conv) == (reader->n->op == OP_Conv);
}

static void find_chain(Search *s, Node *n)
{
    int64_t channels = source_channels(s->p, n);
    const Value *v = read_value(n->out[0]);
    Chain c = { .source = n, .channels = channels };

    if (!channels || v->is_output || !v->nuse || !class_of(s->p, v))
        return;
    c.reader = NEW_ARRAY(s->p->arena, Product *, v->nuse);
    for (int i = 0; i < v->nuse; i++) {
        Product *r = product_of(s->p, v->use[i]);
        if (!r || r->channels != channels || !same_axis(n, r))
            return;
        c.reader[c.nreader++] = r;
    }
    PUSH(s->p->arena, s->chain, s->n, s->cap, c);
}

/* largest weight that meets each channel */
static double *weight_peaks(const Ptq *p, const Chain *c)
{
    double *peak = NEW_ARRAY(p->arena, double, c->channels);

    for (int i = 0; i < c->nreader; i++) {
        const Product *r = c->reader[i];
        const float *w = r->weight->real->data;
        for (int64_t o = 0; o < r->rows; o++)
            for (int64_t k = 0; k < r->depth; k++) {
                double *x = &peak[product_channel(r, o, k)];
                *x = fmax(*x, fabs((double)w[o * r->so + k * r->sk]));
            }
    }
    return peak;
}

/* factor = |x|^a / |w|^(1-a), geometric mean 1 */
static void make_factors(const Ptq *p, Chain *c)
{
    const Product *r = c->reader[0];
    const double *w = weight_peaks(p, c);

    for (int t = 0; t < TRIALS; t++) {
        double *f = NEW_ARRAY(p->arena, double, c->channels), mean = 0;
        for (int64_t k = 0; k < c->channels; k++) {
            double x = fmax(-r->lo[k], r->hi[k]), a = share[t];
            f[k] = t && x > 0 && w[k] > 0 ? pow(x, a) / pow(w[k], 1 - a) : 1;
            mean += log(f[k]) / (double)c->channels;
        }
        for (int64_t k = 0; k < c->channels; k++) {
            f[k] = fmin(1e4, fmax(1e-4, f[k] / exp(mean)));
            c->lo[t] = fmin(c->lo[t], r->lo[k] / f[k]);
            c->hi[t] = fmax(c->hi[t], r->hi[k] / f[k]);
        }
        c->factor[t] = f;
    }
}

static Tensor divided_input(const Product *r, const Chain *c, int t,
                            const Tensor *x, Arena *a)
{
    Grid g = grid_for(DT_I8, c->lo[t], c->hi[t]);
    int64_t n = type_elems(&x->type);
    float *p = NEW_ARRAY(a, float, n + 4);

    for (int64_t i = 0; i < n; i++) {
        float f = (float)c->factor[t][i / r->inner % r->channels];
        p[i] = grid_round(&g, ((const float *)x->data)[i] / f) * f;
    }
    return (Tensor){ x->type, p };
}

/* The weights as they come back from codes of the factored ones. */
static Tensor factored_weights(const Ptq *p, const Product *r,
                               const Chain *c, int t, Arena *a)
{
    float top = p->opt->weights == PTQ_INT4 ? 7 : 127;
    const float *w = r->weight->real->data;
    float *out = NEW_ARRAY(a, float, type_elems(&r->weight->real->type) + 4);

    for (int64_t o = 0; o < r->rows; o++) {
        float peak = 1e-30f;
        for (int64_t k = 0; k < r->depth; k++)
            peak = fmaxf(peak, fabsf(w[o * r->so + k * r->sk] * (float)
                                     c->factor[t][product_channel(r, o, k)]));
        for (int64_t k = 0; k < r->depth; k++) {
            int64_t i = o * r->so + k * r->sk;
            float f = (float)c->factor[t][product_channel(r, o, k)];
            out[i] = rintf(w[i] * f / (peak / top)) * (peak / top) / f;
        }
    }
    return (Tensor){ r->weight->real->type, out };
}

static double distance(const Tensor *a, const Tensor *b)
{
    const float *x = a->data, *y = b->data;
    double d2 = 0, x2 = 0;

    for (int64_t i = 0; i < type_elems(&a->type); i++) {
        double d = (double)x[i] - (double)y[i];
        d2 += d * d;
        x2 += (double)x[i] * (double)x[i];
    }
    return x2 > 0 ? d2 / x2 : 0;
}

static void try_reader(Search *s, Chain *c, const Product *r,
                       const Tensor *const *in, Tensor *const *out)
{
    for (int t = 0; t < TRIALS; t++) {
        Tensor x = divided_input(r, c, t, in[0], s->arena);
        Tensor w = factored_weights(s->p, r, c, t, s->arena), *res[1];
        const Tensor *op[3] = { &x, &w, in[2] };
        if (eval_again(s->p, r->n, op, res, s->arena))
            c->error[t] += distance(out[0], res[0]);
        arena_reset(s->arena);
    }
}

static void trial_walk(void *user, const Node *n, const Tensor *const *in,
                       Tensor *const *out)
{
    Search *s = user;

    for (int i = 0; i < s->n; i++)
        for (int k = 0; k < s->chain[i].nreader; k++)
            if (s->chain[i].reader[k]->n == n)
                try_reader(s, &s->chain[i], s->chain[i].reader[k], in, out);
}

static float *floats(Ptq *p, const Value *v)
{
    return arena_memdup(p->arena, v->data, (size_t)type_bytes(&v->type));
}

static Value *replace_operand(Ptq *p, Node *n, int i, const float *data)
{
    Value *v = graph_const(p->g, n->in[i]->name, n->in[i]->type, data);

    node_set_input(n, i, v);
    return v;
}

static void set_weights(Ptq *p, Product *r, const float *w)
{
    Value *v = replace_operand(p, r->n, 1, w);

    r->weight->real = v;
    r->weight->sim = graph_const(p->g, v->name, v->type, floats(p, v));
}

static void divide_product(Ptq *p, Product *r, const double *f)
{
    float *w = floats(p, r->n->in[1]), *b = floats(p, r->n->in[2]);

    for (int64_t o = 0; o < r->rows; o++) {
        b[o] = (float)((double)b[o] / f[o]);
        for (int64_t k = 0; k < r->depth; k++)
            w[o * r->so + k * r->sk] /= (float)f[o];
    }
    set_weights(p, r, w);
    replace_operand(p, r->n, 2, b);
}

static void divide_source(Ptq *p, const Chain *c, const double *f)
{
    Product *r = product_of(p, c->source);

    if (r) {
        divide_product(p, r, f);
        return;
    }
    for (int i = 1; i < 3; i++) {
        float *x;
        if (!node_in(c->source, i))
            continue;
        x = floats(p, c->source->in[i]);
        for (int64_t k = 0; k < c->channels; k++)
            x[k] = (float)((double)x[k] / f[k]);
        replace_operand(p, c->source, i, x);
    }
}

static void apply(Ptq *p, const Chain *c)
{
    int best = 0;

    for (int t = 1; t < TRIALS; t++)
        if (c->error[t] < 0.95 * c->error[0] &&
            c->error[t] < c->error[best])
            best = t;
    if (!best)
        return;
    divide_source(p, c, c->factor[best]);
    for (int i = 0; i < c->nreader; i++) {
        Product *r = c->reader[i];
        float *w = floats(p, r->weight->real);
        for (int64_t o = 0; o < r->rows; o++)
            for (int64_t k = 0; k < r->depth; k++)
                w[o * r->so + k * r->sk] *=
                    (float)c->factor[best][product_channel(r, o, k)];
        set_weights(p, r, w);
    }
    p->report->equalized++;
}

/* Chains are judged one by one, on the model as it was: what one takes from
 * the rows of a product is not seen by the chain that ends in it. */
bool equalize(Ptq *p)
{
    Search s = { .p = p, .arena = arena_child(p->arena) };
    Arena *run = arena_child(p->arena);
    int n = samples_for(p, TRIALS + 1, 8);
    bool ok = true;

    for EACH_NODE(node, p->g)
        if (is_float_value(node_out(node, 0)))
            find_chain(&s, node);
    for (int i = 0; i < s.n; i++)
        make_factors(p, &s.chain[i]);
    for (int k = 0; ok && s.n && k < n; k++) {
        ok = run_sample(p, (int)((int64_t)k * p->opt->nsample / n), false,
                        trial_walk, &s, NULL, run);
        arena_reset(run);
    }
    for (int i = 0; ok && i < s.n; i++)
        apply(p, &s.chain[i]);
    arena_free(run);
    arena_free(s.arena);
    return ok && (!p->report->equalized || calibrate_ranges(p));
}
