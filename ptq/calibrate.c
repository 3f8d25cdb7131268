/* calibrate.c - what the samples say about each tensor, and which of the
 * candidates for its range is the best.
 *
 * Two walks over samples. The first fills a histogram per class and the
 * moments of each product's input. The second, over a few samples, rounds
 * one operand of one node at a time to each candidate's grid, evaluates the
 * node again and compares with its exact result: what counts is not how well
 * a tensor is kept but what its readers make of it.
 */
#include "ptq_int.h"

#include <math.h>
#include <string.h>

typedef struct Walk {
    Ptq *p;
    Arena *arena;               /* for one node */
    const Product **product;    /* by node index */
    const Node *bad;            /* gave a NaN or an infinity */
} Walk;

static bool is_finite(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

static void observe(Ptq *p, const Value *v, const Tensor *t)
{
    Class *c = class_of(p, v);

    if (c)
        hist_add(&c->hist, t->data, type_elems(&t->type));
}

/* squares and range of the input by channel */
static void add_moments(const Product *r, const Tensor *x)
{
    int64_t n = type_elems(&x->type);
    const float *v = x->data;

    for (int64_t i = 0; i < n; i++) {
        int64_t c = i / r->inner % r->channels;
        double d = (double)v[i];
        r->sum2[c] += d * d;
        r->lo[c] = d < r->lo[c] ? d : r->lo[c];
        r->hi[c] = d > r->hi[c] ? d : r->hi[c];
    }
}

static void first_walk(void *user, const Node *n, const Tensor *const *in,
                       Tensor *const *out)
{
    Walk *w = user;
    const Product *r = w->product[n->index];

    for (int i = 0; i < n->nout; i++) {
        if (!n->out[i] || !class_of(w->p, n->out[i]))
            continue;
        if (!is_finite(out[i]->data, type_elems(&out[i]->type)) && !w->bad)
            w->bad = n;
        if (!w->bad)
            observe(w->p, n->out[i], out[i]);
    }
    if (r && !w->bad)
        add_moments(r, in[0]);
}

static void index_products(Walk *w)
{
    Ptq *p = w->p;
    int n = 0;

    graph_number(p->g);
    for EACH_NODE(node, p->g)
        n++;
    w->product = NEW_ARRAY(p->arena, const Product *, n);
    for (int i = 0; i < p->nproduct; i++)
        w->product[p->product[i].n->index] = &p->product[i];
}

static void clear_moments(Ptq *p)
{
    for (int i = 0; i < p->nproduct; i++) {
        Product *r = &p->product[i];
        size_t bytes = (size_t)r->channels * sizeof *r->sum2;
        memset(r->sum2, 0, bytes);
        memset(r->lo, 0, bytes);
        memset(r->hi, 0, bytes);
        r->count = (double)(type_elems(&r->n->in[0]->type) / r->channels) *
                   p->opt->nsample;
    }
    for (int i = 0; i < p->nvalue; i++)
        if (p->class[i].active)
            hist_init(&p->class[i].hist, p->arena);
}

/* Constants of a class count as its values. */
static void observe_constants(Ptq *p)
{
    for (int i = 0; i < p->nvalue; i++) {
        const Value *v = p->g->value[i];
        if (v->data && class_of(p, v))
            hist_add(&class_of(p, v)->hist, v->data, type_elems(&v->type));
    }
}

/* Values of a narrower model; the moments are those of the widest. */
static void narrow_walk(void *user, const Node *n, const Tensor *const *in,
                        Tensor *const *out)
{
    Walk *w = user;

    (void)in;
    for (int i = 0; i < n->nout; i++)
        if (n->out[i])
            observe(w->p, n->out[i], out[i]);
}

/* The model at its smaller widths; false after a message. */
static bool narrow_models(Ptq *p, Graph **list)
{
    for (int l = 0; l < p->opt->nnarrow; l++) {
        list[l] = p->opt->narrow(p->opt->user, p->g, l);
        if (!list[l])
            return false;
    }
    return true;
}

static bool run_narrow(Graph *g, const Tensor *in, EvalHook *hook, Walk *w,
                       Arena *run)
{
    Tensor *out = NEW_ARRAY(run, Tensor, g->nout);

    return graph_eval(g, in, out, run, hook, w);
}

bool calibrate_ranges(Ptq *p)
{
    Walk w = { .p = p, .arena = arena_child(p->arena) };
    Graph **narrow = NEW_ARRAY(p->arena, Graph *, p->opt->nnarrow + 1);
    Arena *run = arena_child(p->arena);
    Graph *g = p->g;
    bool ok = narrow_models(p, narrow);

    index_products(&w);
    clear_moments(p);
    observe_constants(p);
    for (int k = 0; ok && k < p->opt->nsample; k++) {
        for (int i = 0; i < g->nin; i++)
            observe(p, g->in[i], &p->opt->sample[k][i]);
        ok = run_sample(p, k, false, first_walk, &w, NULL, run);
        for (int l = 0; ok && !w.bad && l < p->opt->nnarrow; l++)
            ok = run_narrow(narrow[l], p->opt->sample[k], narrow_walk, &w,
                            run);
        arena_reset(run);
        if (ok && w.bad)
            ok = node_error(w.bad, "its result is not finite for sample %d "
                            "of the calibration file", k);
    }
    arena_free(run);
    arena_free(w.arena);
    return ok;
}

static double relative_error(const Tensor *exact, const Tensor *got)
{
    const float *a = exact->data, *b = got->data;
    int64_t n = type_elems(&exact->type);
    double signal = 0, error = 0;

    for (int64_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        signal += (double)a[i] * (double)a[i];
        error += d * d;
    }
    return signal > 0 ? error / signal : error;
}

static Tensor copy_tensor(Arena *a, const Tensor *t)
{
    Tensor c = { t->type, arena_alloc(a, (size_t)type_bytes(&t->type) + 16) };

    memcpy(c.data, t->data, (size_t)type_bytes(&t->type));
    return c;
}

bool eval_again(const Ptq *p, const Node *n, const Tensor *const *in,
                Tensor **out, Arena *arena)
{
    Arena *scratch = arena_child(arena);
    bool ok;

    for (int i = 0; i < n->nout; i++) {
        out[i] = NULL;
        if (!n->out[i])
            continue;
        out[i] = NEW(arena, Tensor);
        out[i]->type = n->out[i]->type;
        out[i]->data = arena_alloc(arena, (size_t)type_bytes(
                                              &out[i]->type) + 16);
    }
    ok = node_eval(n, in, out, scratch, p->g->diag);
    arena_free(scratch);
    return ok;
}

/* n again with operand `slot` rounded to the candidate's grid; the error of
 * its first result. */
static double try_choice(Walk *w, const Node *n, const Tensor *const *in,
                         Tensor *const *out, int slot, const Choice *choice)
{
    const Class *c = class_of(w->p, n->in[slot]);
    const Tensor **op = NEW_ARRAY(w->arena, const Tensor *, n->nin);
    Tensor **res = NEW_ARRAY(w->arena, Tensor *, n->nout);
    Grid grid = class_grid(c, choice->lo, choice->hi);
    Tensor x = copy_tensor(w->arena, in[slot]);

    grid_round_all(&grid, x.data, type_elems(&x.type));
    for (int i = 0; i < n->nin; i++)
        op[i] = n->in[i] && n->in[i] == n->in[slot] ? &x : in[i];
    return eval_again(w->p, n, op, res, w->arena)
               ? relative_error(out[0], res[0]) : INFINITY;
}

static bool repeats(const Node *n, int slot)
{
    for (int i = 0; i < slot; i++)
        if (n->in[i] == n->in[slot])
            return true;
    return false;
}

static void second_walk(void *user, const Node *n, const Tensor *const *in,
                        Tensor *const *out)
{
    Walk *w = user;

    if (node_role(n) == ROLE_PASS || !is_float_value(node_out(n, 0)))
        return;
    for (int i = 0; i < n->nin; i++) {
        Class *c = n->in[i] ? class_of(w->p, n->in[i]) : NULL;
        if (!c || n->in[i]->data || c->nchoice < 2 || repeats(n, i))
            continue;
        for (int k = 0; k < c->nchoice; k++)
            c->choice[k].error += try_choice(w, n, in, out, i, &c->choice[k]);
        arena_reset(w->arena);
    }
}

/* What nobody but the caller reads is judged by itself. */
static void judge_outputs(Ptq *p, const Tensor *out)
{
    for (int i = 0; i < p->g->nout; i++) {
        Class *c = class_of(p, p->g->out[i]);
        const float *x = out[i].data;
        int64_t n = type_elems(&out[i].type);
        double signal = 1e-30;
        if (!c)
            continue;
        for (int64_t j = 0; j < n; j++)
            signal += (double)x[j] * (double)x[j];
        for (int k = 0; k < c->nchoice; k++) {
            Grid g = class_grid(c, c->choice[k].lo, c->choice[k].hi);
            double error = 0;
            for (int64_t j = 0; j < n; j++) {
                double d = (double)(x[j] - grid_round(&g, x[j]));
                error += d * d;
            }
            c->choice[k].error += error / signal;
        }
    }
}

int samples_for(const Ptq *p, double runs, int most)
{
    double macs = 1;
    int n;

    for EACH_NODE(node, p->g)
        macs += (double)node_macs(node);
    n = (int)(40e9 / (macs * runs));
    n = n < 2 ? 2 : n > most ? most : n;
    return n < p->opt->nsample ? n : p->opt->nsample;
}

static void take(Class *c)
{
    const Choice *best = &c->choice[0];

    for (int k = 1; k < c->nchoice; k++)
        if (c->choice[k].error < best->error)
            best = &c->choice[k];
    c->observer = best->name;
    c->lo = best->lo;
    c->hi = best->hi;
    c->grid = class_grid(c, c->lo, c->hi);
}

/* Probabilities that the model gives out span 0 to 1 whatever the samples
 * were. */
static void fixed_ranges(Ptq *p)
{
    for (int i = 0; i < p->g->nout; i++) {
        const Value *v = p->g->out[i];
        Class *c = class_of(p, v);
        if (!c || !v->def || (v->def->op != OP_Softmax &&
                              v->def->op != OP_Sigmoid))
            continue;
        c->observer = "known";
        c->lo = 0;
        c->hi = 255.0 / 256;
        c->grid = (Grid){ DT_I8, 1.0f / 256, -128 };
    }
}

bool calibrate_choose(Ptq *p)
{
    Walk w = { .p = p, .arena = arena_child(p->arena) };
    Arena *run = arena_child(p->arena);
    Tensor *out = NEW_ARRAY(p->arena, Tensor, p->g->nout);
    int n = samples_for(p, MAX_CHOICES, 16), nnarrow = p->opt->nnarrow;
    Graph **narrow = NEW_ARRAY(p->arena, Graph *, nnarrow + 1);
    bool ok = narrow_models(p, narrow);

    for (int i = 0; i < p->nvalue; i++)
        if (p->class[i].active)
            hist_choices(&p->class[i]);
    for (int k = 0; ok && k < n; k++) {
        int at = (int)((int64_t)k * p->opt->nsample / n);
        ok = run_sample(p, at, false, second_walk, &w, out, run);
        if (ok && nnarrow)      /* the widths in turn */
            ok = run_narrow(narrow[k % nnarrow], p->opt->sample[at],
                            second_walk, &w, run);
        if (ok)
            judge_outputs(p, out);
        arena_reset(run);
    }
    for (int i = 0; i < p->nvalue; i++)
        if (p->class[i].active)
            take(&p->class[i]);
    fixed_ranges(p);
    arena_free(run);
    arena_free(w.arena);
    return ok;
}
