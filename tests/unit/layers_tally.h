/* layers_tally.h - what occurred in the layers of a sweep: zero points at the
 * ends of their types, scales far from 1, results that saturate and results
 * that do not, odd sizes. A sweep of 1,000 layers or more fails when one of
 * them is rare: generators must not lose what they are there for.
 */
#ifndef MCUFC_TEST_LAYERS_TALLY_H
#define MCUFC_TEST_LAYERS_TALLY_H

#include "../../ir/ops/quant.h"

enum { FAR = 40 };              /* scales beyond 2^-40 .. 2^40 */

typedef struct Tally {
    bool tame;                  /* no scales far from 1 are wanted */
    int layers, odd;
    int with_zero, least, most; /* layers with such a zero point */
    int with_scale, far, lo, hi;        /* exponents of scales */
    int codes, saturated, inside;       /* layers with such results */
} Tally;

/* whose code x_zp, k_zp, ... is; NULL for weights, which have none */
static inline const Value *zero_of_what(const Node *n, char c)
{
    int i = c == 'y' ? -1 : c == 'b' || c == 'k' ? 1 : c == 'v' ? 2
            : c == 'm' ? 3 : 0;

    return i < 0 ? n->out[0] : node_in(n, i);
}

typedef struct Seen {           /* in one layer */
    bool zero, least, most, scale, far;
} Seen;

static inline void see_zero(Seen *s, DType dt, int64_t zero)
{
    s->zero = true;
    s->least |= zero == dtype_lowest(dt);
    s->most |= zero == dtype_highest(dt);
}

static inline void see_scale(Seen *s, Tally *t, double scale)
{
    int e = 0;

    if (scale == 0)
        return;
    frexp(scale, &e);
    s->scale = true;
    s->far |= e < -FAR || e > FAR;
    t->lo = e < t->lo ? e : t->lo;
    t->hi = e > t->hi ? e : t->hi;
}

static inline void see_attributes(Seen *s, Tally *t, const Node *n)
{
    const OpInfo *op = op_info(n->op);

    for (int i = 0; i < op->nattr; i++) {
        const AttrInfo *a = &op->attr[i];
        const void *at = (const char *)n->attr + a->offset;
        const char *end = strrchr(a->name, '_');
        const Value *of = zero_of_what(n, *a->name);

        if (!end)
            continue;
        if (!strcmp(end, "_zp") && of && dtype_bits(of->type.dt) <= 16)
            see_zero(s, of->type.dt, *(const int64_t *)at);
        if (!strcmp(end, "_scale"))
            see_scale(s, t, (double)*(const float *)at);
    }
}

/* ONNX's own ops have scales and zero points as operands. */
static inline void see_operands(Seen *s, Tally *t, const Node *n)
{
    bool products = n->op == OP_QLinearConv || n->op == OP_QLinearMatMul ||
                    n->op == OP_ConvInteger || n->op == OP_MatMulInteger;
    QuantRoles r = quant_roles(n->op);
    int scales[] = { r.xs, r.ws, r.ys }, zeros[] = { r.xz, r.wz, r.yz };

    if (!products && n->op != OP_QuantizeLinear &&
        n->op != OP_DequantizeLinear)
        return;
    for (int i = 0; i < (products ? 3 : 1); i++) {
        int is = products ? scales[i] : 1, iz = products ? zeros[i] : 2;
        const Value *v = is < 0 ? NULL : node_in(n, is);
        const Value *z = iz < 0 ? NULL : node_in(n, iz);
        for (int64_t j = 0; v && v->data && j < type_elems(&v->type); j++)
            see_scale(s, t, elem_get(v->type.dt, v->data, j));
        for (int64_t j = 0; z && z->data && j < type_elems(&z->type); j++)
            see_zero(s, z->type.dt, elem_get_int(z->type.dt, z->data, j));
    }
}

/* the codes the result is clamped to */
static inline void ends_of(const Node *n, DType dt, int64_t *lo, int64_t *hi)
{
    const AttrInfo *a = attr_find(op_info(n->op), "lo");
    const AttrInfo *b = attr_find(op_info(n->op), "hi");
    int64_t from = INT64_MIN, to = INT64_MAX;

    if (a && b) {
        from = *(const int64_t *)((const char *)n->attr + a->offset);
        to = *(const int64_t *)((const char *)n->attr + b->offset);
    }
    *lo = from > dtype_lowest(dt) ? from : dtype_lowest(dt);
    *hi = to < dtype_highest(dt) ? to : dtype_highest(dt);
}

static inline void tally_result(Tally *t, const Node *n, const Tensor *y)
{
    int64_t lo, hi, count = type_elems(&y->type);
    bool end = false, inside = false;

    if (!dtype_is_int(y->type.dt) || dtype_bits(y->type.dt) > 16)
        return;
    ends_of(n, y->type.dt, &lo, &hi);
    for (int64_t i = 0; i < count; i++) {
        int64_t c = elem_get_int(y->type.dt, y->data, i);
        end |= c == lo || c == hi;
        inside |= c != lo && c != hi;
    }
    t->codes++;
    t->saturated += end;
    t->inside += inside;
}

static inline bool rows_are_odd(const Type *t)
{
    return t->rank == 0 || t->dim[t->rank - 1] % 2 == 1;
}

static inline void tally_graph(Tally *t, const Graph *g, const Tensor *out)
{
    for (int i = 0; i < g->nout; i++) {
        const Node *n = g->out[i]->def;
        Seen s = { 0 };

        if (n->out[0] != g->out[i])
            continue;
        see_attributes(&s, t, n);
        see_operands(&s, t, n);
        t->layers++;
        t->odd += rows_are_odd(&n->out[0]->type);
        t->with_zero += s.zero;
        t->least += s.least;
        t->most += s.most;
        t->with_scale += s.scale;
        t->far += s.far;
        tally_result(t, n, &out[i]);
    }
}

static inline void tally_show(const Tally *t, const char *kind)
{
    fprintf(stderr, "%s: %d layers; %d with odd rows", kind,
            t->layers, t->odd);
    if (t->with_zero)
        fprintf(stderr, "; zero points least in %d, most in %d", t->least,
                t->most);
    if (t->with_scale)
        fprintf(stderr, "; scales 2^%d to 2^%d, beyond 2^+-%d in %d", t->lo,
                t->hi, FAR, t->far);
    if (t->codes)
        fprintf(stderr, "; %d saturate, %d have codes between", t->saturated,
                t->inside);
    fprintf(stderr, "\n");
}

/* at least `part` in 100 of the layers `of` */
static inline void tally_least(const char *kind, const char *what, int count,
                               int part, int of)
{
    ck_assert_msg(count >= of * part / 100, "%s: %s in only %d of %d layers",
                  kind, what, count, of);
}

static inline void tally_check(const Tally *t, const char *kind)
{
    tally_least(kind, "odd rows", t->odd, 20, t->layers);
    tally_least(kind, "the least zero point", t->least, 10, t->with_zero);
    tally_least(kind, "the greatest zero point", t->most, 10, t->with_zero);
    if (!t->tame)
        tally_least(kind, "scales far from 1", t->far, 2, t->with_scale);
    tally_least(kind, "saturation", t->saturated, 10, t->codes);
    tally_least(kind, "codes between the ends", t->inside, 40, t->codes);
}

#endif
