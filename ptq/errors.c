/* errors.c - how far the quantized model is from the float one, tensor by
 * tensor: both run on each sample, what the float one computes is kept until
 * the other one has come to the same place.
 */
#include "ptq_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Sums {
    double aa, bb, ab, dd, peak;
} Sums;

typedef struct Keep {
    Ptq *p;
    Arena *arena;
    float **exact;              /* by value id; of the present sample */
    Sums *sums;                 /* by value id */
} Keep;

static void add_sums(Sums *s, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double x = (double)a[i], y = (double)b[i], d = x - y;
        s->aa += x * x;
        s->bb += y * y;
        s->ab += x * y;
        s->dd += d * d;
        s->peak = fmax(s->peak, fabs(d));
    }
}

static bool compared(const Ptq *p, const Value *v)
{
    return is_float_value(v) && v->id < p->nvalue && !v->data;
}

static void keep_node(void *user, const Node *n, const Tensor *const *in,
                      Tensor *const *out)
{
    Keep *k = user;

    (void)in;
    for (int i = 0; i < n->nout; i++)
        if (n->out[i] && compared(k->p, n->out[i]))
            k->exact[n->out[i]->id] =
                arena_memdup(k->arena, out[i]->data,
                             (size_t)type_bytes(&out[i]->type));
}

static void compare_node(void *user, const Node *n, const Tensor *const *in,
                         Tensor *const *out)
{
    Keep *k = user;

    (void)in;
    for (int i = 0; i < n->nout; i++)
        if (n->out[i] && compared(k->p, n->out[i]))
            add_sums(&k->sums[n->out[i]->id], k->exact[n->out[i]->id],
                     out[i]->data, type_elems(&out[i]->type));
}

static double decibel(double signal, double error)
{
    if (!isfinite(error))       /* a logarithm of what was rounded to 0 */
        return -200;
    if (error <= 0 || signal <= 0)
        return error <= 0 ? 200 : -200;
    return 10 * log10(signal / error);
}

static PtqError one_error(const Ptq *p, const Value *v, const Sums *s)
{
    const Class *c = class_of(p, v);
    PtqError e = { .name = value_label(v), .observer = "" };

    if (v->def) {
        e.node = v->def->name;
        e.op = op_name(v->def->op);
    }
    e.sqnr = decibel(s->aa, s->dd);
    e.cosine = s->aa > 0 && s->bb > 0 ? s->ab / sqrt(s->aa * s->bb)
                                      : s->dd == 0;
    e.max_error = s->peak;
    if (c && c->grid.dt != DT_NONE) {
        e.bits = dtype_bits(c->grid.dt);
        e.observer = c->observer;
        e.lo = c->lo;
        e.hi = c->hi;
    }
    return e;
}

static int worse(const void *a, const void *b)
{
    const PtqError *x = a, *y = b;

    if (x->sqnr != y->sqnr)
        return x->sqnr < y->sqnr ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void fill(Ptq *p, const Keep *k)
{
    PtqReport *r = p->report;

    r->error = NEW_ARRAY(p->arena, PtqError, p->nvalue);
    r->output = NEW_ARRAY(p->arena, PtqError, p->g->nout);
    r->nerror = r->noutput = 0;
    for (int i = 0; i < p->nvalue; i++) {
        const Value *v = p->g->value[i];
        if (v->def && compared(p, v) && !is_inner(v) &&
            node_role(v->def) != ROLE_PASS)
            r->error[r->nerror++] = one_error(p, v, &k->sums[i]);
    }
    for (int i = 0; i < p->g->nout; i++)
        if (compared(p, p->g->out[i]))
            r->output[r->noutput++] =
                one_error(p, p->g->out[i], &k->sums[p->g->out[i]->id]);
    qsort(r->error, (size_t)r->nerror, sizeof *r->error, worse);
}

static int64_t largest(const float *x, int64_t n)
{
    int64_t best = 0;

    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

/* In how many rows of the last axis is the same element the largest? */
static double same_class(const Tensor *a, const Tensor *b)
{
    int rank = a->type.rank;
    int64_t n = rank ? a->type.dim[rank - 1] : 1, same = 0;
    int64_t rows = n ? type_elems(&a->type) / n : 0;

    for (int64_t i = 0; i < rows; i++)
        same += largest((const float *)a->data + i * n, n) ==
                largest((const float *)b->data + i * n, n);
    return rows ? (double)same / (double)rows : 1;
}

bool errors_measure(Ptq *p)
{
    Keep k = { .p = p, .arena = arena_child(p->arena) };
    Tensor *a = NEW_ARRAY(p->arena, Tensor, p->g->nout);
    Tensor *b = NEW_ARRAY(p->arena, Tensor, p->g->nout);
    double same = 0;
    int n = p->opt->nsample;
    bool ok = true;

    k.exact = NEW_ARRAY(p->arena, float *, p->nvalue);
    k.sums = NEW_ARRAY(p->arena, Sums, p->nvalue);
    for (int i = 0; ok && i < n; i++) {
        ok = run_sample(p, i, false, keep_node, &k, a, k.arena) &&
             run_sample(p, i, true, compare_node, &k, b, k.arena);
        if (ok && p->g->nout && a[0].type.dt == DT_F32)
            same += same_class(&a[0], &b[0]);
        arena_reset(k.arena);
    }
    arena_free(k.arena);
    if (!ok)
        return false;
    fill(p, &k);
    p->report->nsample = n;
    p->report->top1 = same / n;
    return true;
}

bool output_sqnr(Ptq *p, int n, double *db)
{
    Arena *run = arena_child(p->arena);
    Tensor *a = NEW_ARRAY(p->arena, Tensor, p->g->nout);
    Tensor *b = NEW_ARRAY(p->arena, Tensor, p->g->nout);
    Sums s = { 0 };
    bool ok = true;

    for (int i = 0; ok && i < n; i++) {
        int k = (int)((int64_t)i * p->opt->nsample / n);
        ok = run_sample(p, k, false, NULL, NULL, a, run) &&
             run_sample(p, k, true, NULL, NULL, b, run);
        for (int o = 0; ok && o < p->g->nout; o++)
            if (a[o].type.dt == DT_F32)
                add_sums(&s, a[o].data, b[o].data, type_elems(&a[o].type));
        arena_reset(run);
    }
    arena_free(run);
    *db = decibel(s.aa, s.dd);
    return ok;
}
