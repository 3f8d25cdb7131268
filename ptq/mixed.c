/* mixed.c - the residual stream in 8 or 16 bits.
 *
 * What a chain of Adds carries past attention and MLP blocks sums up every
 * rounding on its way, and one of its channels may be a hundred times the
 * others. Adds and normalizations also read and write int16. That costs the
 * stream's bytes again, so it is done only where the outputs gain from it.
 */
#include "ptq_int.h"

#include <math.h>

static bool wide_reader(const Node *n)
{
    return n->op == OP_Add || n->op == OP_Mul ||
           n->op == OP_LayerNormalization || n->op == OP_RMSNormalization ||
           (node_role(n) == ROLE_PASS && n->op != OP_MaxPool);
}

static bool wide_maker(const Node *n)
{
    return n && (n->op == OP_Add || n->op == OP_Mul || is_product(n) ||
                 (node_role(n) == ROLE_PASS && n->op != OP_MaxPool));
}

/* Sums are streams, and so is what is put together in front of one: a class
 * token may be a hundred times smaller than the tokens beside it. What comes
 * out of a block is not: it is added once. */
static bool makes_stream(const Node *n)
{
    return n && (n->op == OP_Add || n->op == OP_Mul || n->op == OP_Concat);
}

/* as codes, not as a gain or the like */
static bool reads(const Node *n, const Value *v)
{
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] == v && !slot_is_activation(n, i))
            return v->data && (n->op == OP_Add || n->op == OP_Mul);
    return true;
}

static bool all_wide(const Value *v)
{
    for (int i = 0; i < v->nuse; i++)
        if (!wide_reader(v->use[i]) || !reads(v->use[i], v))
            return false;
    return !v->is_output && (v->data || wide_maker(v->def));
}

static bool mark_streams(Ptq *p)
{
    bool *stream = NEW_ARRAY(p->arena, bool, p->nvalue);
    bool any = false;

    for (int i = 0; i < p->nvalue; i++)
        p->class[i].wide = p->class[i].active;
    for (int i = 0; i < p->nvalue; i++) {
        const Value *v = p->g->value[i];
        Class *c = class_of(p, v);
        if (c && !all_wide(v))
            c->wide = false;
        if (c && makes_stream(v->def))
            stream[class_root(p, v)] = true;
    }
    for (int i = 0; i < p->nvalue; i++)
        p->class[i].wide &= stream[i];
    for (int i = 0; i < p->nvalue; i++) {
        const Value *v = p->g->value[i];
        const Class *c = class_of(p, v);
        any |= c && c->wide && v->def && v->def->op == OP_Add;
    }
    return any;
}

static void set_streams(Ptq *p, DType dt)
{
    for (int i = 0; i < p->nvalue; i++) {
        Class *c = &p->class[i];
        if (c->active && c->wide && c->grid.dt != DT_NONE)
            c->grid = dt == DT_I16 ? grid_for(dt, c->hist.lo, c->hist.hi)
                                   : grid_for(dt, c->lo, c->hi);
    }
    constants_quantize(p);
}

enum { TRY_SAMPLES = 8 };

/* int16 where int8 is not good enough (cosine 0.995 is some 20 dB; half of
 * the error is left for what the samples do not show) and int16 is better. */
static bool choose(const Ptq *p)
{
    const double *db = p->report->residual_sqnr;

    if (p->opt->residual != PTQ_RESIDUAL_AUTO)
        return p->opt->residual == PTQ_RESIDUAL_INT16;
    return db[0] < 23 && db[1] > db[0] + 1;
}

bool mixed_choose(Ptq *p)
{
    PtqReport *r = p->report;
    int n = p->opt->nsample < TRY_SAMPLES ? p->opt->nsample : TRY_SAMPLES;

    r->has_residual = mark_streams(p);
    if (!r->has_residual)
        return true;
    if (!output_sqnr(p, n, &r->residual_sqnr[0]))
        return false;
    set_streams(p, DT_I16);
    if (!output_sqnr(p, n, &r->residual_sqnr[1]))
        return false;
    r->residual16 = choose(p);
    set_streams(p, r->residual16 ? DT_I16 : DT_I8);
    return true;
}

bool mixed_other(Ptq *p)
{
    PtqReport *r = p->report;
    bool ok;

    if (!r->has_residual)
        return true;
    set_streams(p, r->residual16 ? DT_I8 : DT_I16);
    ok = output_sqnr(p, p->opt->nsample, &r->residual_sqnr[!r->residual16]);
    r->other = pairs_in_copy(p);
    set_streams(p, r->residual16 ? DT_I16 : DT_I8);
    return ok && output_sqnr(p, p->opt->nsample,
                             &r->residual_sqnr[r->residual16]);
}
