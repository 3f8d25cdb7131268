/* qattention.c - QAttention on codes, see qattention.h. Shapes, heads, past
 * and windows are those of Attention (attn_read). */
#include "qattention.h"

#include <math.h>
#include <string.h>

#include "../hooks.h"
#include "real.h"

enum {
    MOST_KEYS = 1 << 17,        /* sums of Q15 weights stay below 2^32 */
    MOST_SCORE = 1 << 30,       /* with an addend: below 2^31 */
    MOST_ADDEND = 1 << 29,
    OCTAVES = 18,               /* farther below the top weighs nothing */
};

static bool read_params(const Node *n, QAttn *q)
{
    const Attr_qattention *at = ATTRS(qattention, n);
    const Value *const *in = (const Value *const *)n->in;
    double span;

    if (!q_param(n, "q", in[ATTN_Q]->type.dt, false, (double)at->q_scale,
                 at->q_zp, &q->q) ||
        !q_param(n, "k", in[ATTN_K]->type.dt, false, (double)at->k_scale,
                 at->k_zp, &q->k) ||
        !q_param(n, "v", in[ATTN_V]->type.dt, false, (double)at->v_scale,
                 at->v_zp, &q->v) ||
        !q_result(n, at->output_dtype, in[ATTN_Q]->type.dt, true,
                  (double)at->y_scale, at->y_zp, at->lo, at->hi, &q->y))
        return false;
    if (q->a.total > MOST_KEYS)
        return node_error(n, "%lld keys are more than %d",
                          (long long)q->a.total, MOST_KEYS);
    span = (double)q->a.dk * (double)(q_reach(&q->q) * q_largest(&q->k));
    if (span > MOST_SCORE)
        return node_error(n, "heads of %lld give scores up to %.0f, above "
                          "2^30", (long long)q->a.dk, span);
    return true;
}

/* most, before, octaves: from a score's real size. At most 28 octaves come
 * of it, so that no shift exceeds 31; where one step is more than 14, all
 * below the top weighs nothing. */
static void set_octaves(QAttn *q, double unit)
{
    double per = unit / log(2), most;

    per = per > 14 ? OCTAVES : per;
    most = ceil(OCTAVES / per);
    q->most = most < 4294967295.0 ? (uint32_t)most : UINT32_MAX;
    for (q->before = 31; q->before > 0; q->before--)
        if ((uint64_t)q->most << q->before <= UINT32_MAX)
            break;
    q->octaves = (uint32_t)floor(ldexp(per, 47 - q->before) + 0.5);
}

static bool set_numerator(const Node *n, QAttn *q)
{
    double ratio = q->v.scale / q->y.scale;

    for (q->shift = 60; q->shift > 0; q->shift--)
        if (floor(ldexp(ratio, q->shift) + 0.5) < ldexp(1, 45))
            break;
    if (!q->shift)
        return node_error(n, "v_scale %g is too large for y_scale %g",
                          q->v.scale, q->y.scale);
    q->numerator = (uint64_t)floor(ldexp(ratio, q->shift) + 0.5);
    return true;
}

/* a mask's value as an addend to scores of `unit` each */
static bool to_addend(const Node *n, double m, double unit, int32_t *out)
{
    double x = m / unit;

    if (m == -INFINITY) {
        *out = QATTN_HIDDEN;
        return true;
    }
    if (!(x <= MOST_ADDEND))
        return node_error(n, "the mask adds %g to scores in steps of %g", m,
                          unit);
    if (x < -MOST_ADDEND && MOST_ADDEND * unit < 64)
        return node_error(n, "the mask's %g does not fit scores in steps of "
                          "%g", m, unit);
    *out = x < -MOST_ADDEND ? -MOST_ADDEND : (int32_t)floor(x + 0.5);
    return true;
}

/* A mask of 8-bit codes, constant or not: an addend for every code. */
static bool code_table(const Node *n, double unit, Arena *arena, QAttn *q)
{
    const Attr_qattention *at = ATTRS(qattention, n);
    DType dt = n->in[ATTN_MASK]->type.dt;
    int32_t *t = NEW_ARRAY(arena, int32_t, 256);
    QParam m;

    q->table = t;
    if (dt == DT_BOOL) {
        t[0] = QATTN_HIDDEN;
        return true;
    }
    if (!q_param(n, "mask", dt, false, (double)at->mask_scale, at->mask_zp,
                 &m))
        return false;
    for (int64_t c = m.least; c <= m.most; c++)
        if (!to_addend(n, m.scale * (double)(c - m.zero), unit,
                       &t[c & 255]))
            return false;
    return true;
}

void qattn_pack(const Node *n, Arena *arena, QAttn *q)
{
    const int32_t *addend = q->addend;
    int64_t count = addend ? type_elems(&n->in[ATTN_MASK]->type) : 0;
    uint8_t *index = NEW_ARRAY(arena, uint8_t, count + 1);
    int32_t *t = NEW_ARRAY(arena, int32_t, 256);
    int used = 0;

    if (!addend)
        return;
    for (int64_t i = 0; i < count; i++) {
        int k = i ? index[i - 1] : 0;
        if (k >= used || t[k] != addend[i])
            for (k = 0; k < used && t[k] != addend[i]; )
                k++;
        if (k == 256)
            return;
        if (k == used)
            t[used++] = addend[i];
        index[i] = (uint8_t)k;
    }
    q->index = index;
    q->table = t;
}

static bool read_mask(const Node *n, double unit, Arena *arena, QAttn *q)
{
    const Value *v = node_in(n, ATTN_MASK);
    int64_t count;
    int32_t *addend;

    if (!v)
        return true;
    if (v->type.dt == DT_BOOL || v->type.dt == DT_I8 || v->type.dt == DT_U8)
        return code_table(n, unit, arena, q);
    if (v->type.dt != DT_F32)
        return node_error(n, "mask '%s' is %s, must be bool, int8, uint8 or "
                          "constant floats", v->name,
                          dtype_name(v->type.dt));
    if (!value_is_const(v))
        return node_error(n, "mask '%s' is float and no constant: it must be "
                          "bool, int8 or uint8", v->name);
    count = type_elems(&v->type);
    addend = NEW_ARRAY(arena, int32_t, count + 1);
    for (int64_t i = 0; i < count; i++)
        if (!to_addend(n, (double)((const float *)v->data)[i], unit,
                       &addend[i]))
            return false;
    q->addend = addend;
    return true;
}

bool qattn_read(const Node *n, Arena *arena, QAttn *q)
{
    double unit;

    memset(q, 0, sizeof *q);
    if (!attn_read(n, &q->a) || !read_params(n, q) || !set_numerator(n, q))
        return false;
    unit = q->q.scale * q->k.scale * (double)q->a.scale;
    set_octaves(q, unit);
    if (q->a.has_mask && q->most > MOST_ADDEND)
        return node_error(n, "scores in steps of %g are too fine for a mask",
                          unit);
    return read_mask(n, unit, arena, q);
}

int64_t qattn_limit(const QAttn *q)
{
    return (1 << 23) - (q->a.total / 2 + 1);
}

bool infer_qattention(Graph *g, Node *n)
{
    const Type *x = &n->in[ATTN_Q]->type;
    const Attn *a;
    QAttn q;

    if (!qattn_read(n, g->scratch, &q))
        return false;
    a = &q.a;
    if (node_out(n, ATTN_Y))
        n->out[ATTN_Y]->type = x->rank == 4
            ? type_make(q.y.dt, 4, (int64_t[]){ a->batch, a->heads, a->q_len,
                                                a->dv })
            : type_make(q.y.dt, 3, (int64_t[]){ a->batch, a->q_len,
                                                a->heads * a->dv });
    if (node_out(n, ATTN_PRESENT_K))
        n->out[ATTN_PRESENT_K]->type = type_make(q.k.dt, 4,
            (int64_t[]){ a->batch, a->kv_heads, a->total, a->dk });
    if (node_out(n, ATTN_PRESENT_V))
        n->out[ATTN_PRESENT_V]->type = type_make(q.v.dt, 4,
            (int64_t[]){ a->batch, a->kv_heads, a->total, a->dv });
    return true;
}

/* 2^(1 - f) by a polynomial of degree 4 in g = 1 - f, 17 fraction bits,
 * within 1e-5; scaled so that the top's weight is 32767 */
uint32_t qattn_weight(const QAttn *q, uint32_t d)
{
    static const uint32_t c[5] = { 131069, 90832, 31645, 6817, 1774 };
    uint32_t t, g, x, down;

    d = d < q->most ? d : q->most;
    t = (uint32_t)((uint64_t)(d << q->before) * q->octaves >> 32);
    g = 32768 - (t & 32767);
    down = (t >> 15) + 3;
    x = c[4];
    for (int i = 3; i >= 0; i--)
        x = c[i] + (x * g >> 15);
    return (x + (1u << (down - 1))) >> down;
}

typedef struct Run {
    QAttn q;
    const Tensor *qt, *mask;
    int64_t *k, *v;             /* [batch, kv head, total, size] */
    Tensor *y;
    int64_t *score;             /* one row; then weights */
} Run;

/* past and new tokens side by side */
static int64_t *join(const Attn *a, const Tensor *past, const Tensor *t,
                     AttnWalk w, int64_t size, Arena *arena)
{
    int64_t *all = NEW_ARRAY(arena, int64_t,
                             a->batch * a->kv_heads * a->total * size + 1);
    int64_t *to = all;

    for (int64_t b = 0; b < a->batch; b++)
        for (int64_t h = 0; h < a->kv_heads; h++) {
            int64_t old = (b * a->kv_heads + h) * a->past * size;
            for (int64_t i = 0; i < a->past * size; i++)
                *to++ = elem_get_int(past->type.dt, past->data, old + i);
            for (int64_t j = 0; j < a->kv_len; j++)
                for (int64_t d = 0; d < size; d++)
                    *to++ = elem_get_int(t->type.dt, t->data, b * w.b +
                                         h * w.h + j * w.t + d);
        }
    return all;
}

static int32_t addend(const Run *r, int64_t b, int64_t h, int64_t i,
                      int64_t j)
{
    const Attn *a = &r->q.a;
    int64_t at = b * a->mask.b + h * a->mask.h + i * a->mask.t + j;

    if (r->q.addend)
        return r->q.addend[at];
    return r->q.table[elem_get_int(r->mask->type.dt, r->mask->data, at) &
                      255];
}

/* Scores become weights; returns their sum, 0 when no key is visible. */
static int64_t weigh(const Run *r, int64_t from, int64_t to)
{
    int64_t *s = r->score, top = INT64_MIN, sum = 0, all = 0;
    int half = 0;

    for (int64_t j = from; j < to; j++)
        top = s[j] > top ? s[j] : top;
    for (int64_t j = from; j < to; j++) {
        s[j] = s[j] == INT64_MIN ? 0
                   : qattn_weight(&r->q, (uint32_t)(top - s[j]));
        sum += s[j];
    }
    while (sum >> half >= qattn_limit(&r->q))
        half++;
    for (int64_t j = from; j < to; j++) {
        s[j] = (s[j] + (1 << half >> 1)) >> half;
        all += s[j];
    }
    return all;
}

static void attend(const Run *r, int64_t b, int64_t h, int64_t i)
{
    const QAttn *q = &r->q;
    const Attn *a = &q->a;
    int64_t kv = (b * a->kv_heads + h / a->group) * a->total;
    int64_t at = b * a->q.b + h * a->q.h + i * a->q.t, from, to, sum, f;
    int64_t len = r->mask && a->mask_len < a->total ? a->mask_len : a->total;

    attn_range(a, i, a->total, &from, &to);
    to = to < len ? to : len;
    for (int64_t j = from; j < to; j++) {
        int32_t add = r->mask ? addend(r, b, h, i, j) : 0;
        r->score[j] = add;
        for (int64_t d = 0; d < a->dk; d++)
            r->score[j] += (elem_get_int(q->q.dt, r->qt->data, at + d) -
                            q->q.zero) * r->k[(kv + j) * a->dk + d];
        if (add == QATTN_HIDDEN)
            r->score[j] = INT64_MIN;
    }
    sum = weigh(r, from, to);
    f = sum ? (int64_t)(q->numerator / (uint64_t)sum) : 0;
    for (int64_t d = 0; d < a->dv; d++) {
        int64_t acc = -q->v.zero * sum, y;
        for (int64_t j = from; j < to; j++)
            acc += r->score[j] * r->v[(kv + j) * a->dv + d];
        y = q->y.zero + ((acc * f + ((int64_t)1 << (q->shift - 1))) >>
                         q->shift);
        y = y < q->y.least ? q->y.least : y > q->y.most ? q->y.most : y;
        elem_set_int(q->y.dt, r->y->data,
                     b * a->y.b + h * a->y.h + i * a->y.t + d, y);
    }
}

static void store(Tensor *t, const int64_t *v)
{
    for (int64_t i = 0; t && i < type_elems(&t->type); i++)
        elem_set_int(t->type.dt, t->data, i, v[i]);
}

bool eval_qattention(const Node *n, const Tensor *const *in,
                     Tensor *const *out, Arena *s, Diag *diag)
{
    const Attn *a;
    Run r = { 0 };

    (void)diag;
    if (!qattn_read(n, s, &r.q))
        return false;
    a = &r.q.a;
    r.qt = in[ATTN_Q];
    r.mask = tensor_in(n, in, ATTN_MASK);
    r.k = join(a, tensor_in(n, in, ATTN_PAST_K), in[ATTN_K], a->k, a->dk, s);
    r.v = join(a, tensor_in(n, in, ATTN_PAST_V), in[ATTN_V], a->v, a->dv, s);
    r.y = tensor_out(n, out, ATTN_Y);
    r.score = NEW_ARRAY(s, int64_t, a->total + 1);
    for (int64_t b = 0; r.y && b < a->batch; b++)
        for (int64_t h = 0; h < a->heads; h++)
            for (int64_t i = 0; i < a->q_len; i++)
                attend(&r, b, h, i);
    store(tensor_out(n, out, ATTN_PRESENT_K), r.k);
    store(tensor_out(n, out, ATTN_PRESENT_V), r.v);
    return true;
}
