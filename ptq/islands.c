/* islands.c - tensors that int8 ruins stay float.
 *
 * A spectrum, a logarithm, a power: some models have a few tensors whose
 * rounding alone spoils the result. When the outputs miss the bound, each
 * class is rounded alone; those that do the most harm go back to float until
 * the rest is good enough. Both the number of them and the time to find them
 * are bounded: a model that stays bad is reported, not converted back.
 */
#include "ptq_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double bound = 20;         /* dB of the outputs: cosine 0.995 */
static const double most_work = 80e9;   /* multiply-accumulates */
enum { TRY_SAMPLES = 2, CHECK_SAMPLES = 8 };

typedef struct Harm {
    int class;
    double noise;               /* error over signal of the outputs */
} Harm;

static int more_harm(const void *a, const void *b)
{
    const Harm *x = a, *y = b;

    if (x->noise != y->noise)
        return x->noise > y->noise ? -1 : 1;
    return x->class - y->class;
}

static double work_of(const Ptq *p, int classes)
{
    double macs = 0;

    for EACH_NODE(n, p->g)
        macs += (double)node_macs(n) +
                (n->nout && n->out[0] ? (double)type_elems(&n->out[0]->type)
                                      : 0);
    return macs * 2 * TRY_SAMPLES * classes;
}

/* The noise of each class rounded alone, most harmful first. */
static bool measure(Ptq *p, Harm *h, int n)
{
    Grid *grid = NEW_ARRAY(p->arena, Grid, p->nvalue);
    bool ok = true;

    for (int i = 0; i < p->nvalue; i++) {
        grid[i] = p->class[i].grid;
        p->class[i].grid.dt = DT_NONE;
    }
    p->activations_only = true;
    for (int i = 0; ok && i < n; i++) {
        double db = 0;
        Class *c = &p->class[h[i].class];
        c->grid = grid[h[i].class];
        ok = output_sqnr(p, TRY_SAMPLES, &db);
        c->grid.dt = DT_NONE;
        h[i].noise = pow(10, -db / 10);
    }
    p->activations_only = false;
    for (int i = 0; i < p->nvalue; i++)
        p->class[i].grid = grid[i];
    qsort(h, (size_t)n, sizeof *h, more_harm);
    return ok;
}

static void back_to_float(const Param *c)
{
    memcpy((void *)(uintptr_t)c->sim->data, c->real->data,
           (size_t)type_bytes(&c->real->type));
}

static bool is_float_class(const Ptq *p, const Value *v)
{
    const Class *c = v ? class_of(p, v) : NULL;

    return c && c->grid.dt == DT_NONE;
}

/* The value that a node stores, behind a clamp that is part of it. */
static const Value *stored(const Node *n)
{
    const Value *y = n->out[0];

    return is_inner(y) ? y->use[0]->out[0] : y;
}

bool is_island(const Ptq *p, const Node *n)
{
    if (node_role(n) != ROLE_OP)
        return false;
    for (int i = 0; i < n->nin; i++)
        if (slot_is_activation(n, i) && is_float_class(p, n->in[i]))
            return true;
    return is_float_class(p, stored(n));
}

/* Products next to a float tensor keep float weights. */
static void free_products(Ptq *p)
{
    for (int i = 0; i < p->nproduct; i++) {
        const Product *r = &p->product[i];
        if (r->weight->dt == DT_NONE || !is_island(p, r->n))
            continue;
        p->report->int4 -= r->weight->dt == DT_I4;
        p->report->int8 -= r->weight->dt == DT_I8;
        r->weight->dt = DT_NONE;
        for (int k = 0; k < p->nparam; k++)
            if (p->param[k]->n == r->n)
                back_to_float(p->param[k]);
    }
}

static int candidates(const Ptq *p, Harm *h)
{
    int n = 0;

    for (int i = 0; i < p->nvalue; i++)
        if (p->class[i].active && p->parent[i] == i &&
            p->class[i].grid.dt != DT_NONE)
            h[n++] = (Harm){ i, 0 };
    return n;
}

bool islands_choose(Ptq *p)
{
    Harm *h = NEW_ARRAY(p->arena, Harm, p->nvalue);
    int n = candidates(p, h), most = n < 8 ? n : n / 4 + 6, done = 0;
    int check = p->opt->nsample < CHECK_SAMPLES ? p->opt->nsample
                                                : CHECK_SAMPLES;
    double db;

    if (!output_sqnr(p, check, &db))
        return false;
    if (db >= bound || p->opt->weights == PTQ_FLOAT)
        return true;
    if (work_of(p, n) > most_work) {
        diag_note(p->g->diag, "the outputs have %.1f dB, and the model is "
                  "too large to look for tensors that had better stay float",
                  db);
        return true;
    }
    if (!measure(p, h, n))
        return false;
    while (db < bound && done < most) {
        double rest = 0, goal = pow(10, -bound / 10) / 2;
        int until = done + 1 + most / 8;
        for (int i = done; i < n; i++)
            rest += h[i].noise;
        for (; done < most && (done < until || rest > goal); done++) {
            p->class[h[done].class].grid.dt = DT_NONE;
            rest -= h[done].noise;
        }
        free_products(p);
        constants_quantize(p);
        if (!output_sqnr(p, check, &db))
            return false;
    }
    if (db < bound)
        diag_warn(p->g->diag, "the outputs have %.1f dB (cosine below "
                  "0.995) with %d tensors left in float", db, done);
    return true;
}
