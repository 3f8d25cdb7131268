/* fuse_gelu.c - activations that exporters spell out in arithmetic.
 *
 *   Gelu (erf)   x * 0.5 * (1 + erf(x / sqrt(2)))
 *   Gelu (tanh)  x * 0.5 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))
 *   Swish        x * sigmoid(a x)
 *   Mish         x * tanh(softplus(x))
 *   HardSwish    x * clip(x + 3, 0, 6) / 6
 *
 * A product is taken apart into its factors first, so that the order and
 * nesting an exporter chose do not matter.
 */
#include "edit.h"

#include <math.h>
#include <string.h>

enum { MAX_FACTORS = 4 };

typedef struct Product {
    double scale;               /* product of the constant factors */
    int n;
    Value *factor[MAX_FACTORS];
} Product;

/* v as a product; Muls and Divs below the root must have no other reader. */
static bool factors(Value *v, bool root, Product *p)
{
    Node *m = v->def;
    Value *other;
    double s;

    if (m && (root || only_use(v))) {
        if (m->op == OP_Mul && splat_operand(m, &s, &other) &&
            type_equal(&other->type, &v->type)) {
            p->scale *= s;
            return factors(other, false, p);
        }
        if (m->op == OP_Div && const_splat(m->in[1], &s) && s != 0 &&
            type_equal(&m->in[0]->type, &v->type)) {
            p->scale /= s;
            return factors(m->in[0], false, p);
        }
        if (m->op == OP_Mul && type_equal(&m->in[0]->type, &v->type) &&
            type_equal(&m->in[1]->type, &v->type))
            return factors(m->in[0], false, p) && factors(m->in[1], false, p);
    }
    if (p->n == MAX_FACTORS)
        return false;
    p->factor[p->n++] = v;
    return true;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-4 * fabs(b);
}

/* v == scale * x */
static bool is_scaled(Value *v, const Value *x, double scale)
{
    Product p = { 1, 0, { NULL } };

    return factors(v, true, &p) && p.n == 1 && p.factor[0] == x &&
           near(p.scale, scale);
}

/* v == 1 + u */
static Value *minus_one(const Value *v)
{
    Node *add = maker(v, OP_Add);
    Value *other;
    double s;

    return add && splat_operand(add, &s, &other) && s == 1 ? other : NULL;
}

static bool is_cube(Value *v, const Value *x)
{
    Node *pow = maker(v, OP_Pow);
    Product p = { 1, 0, { NULL } };

    if (pow)
        return pow->in[0] == x && is_splat(pow->in[1], 3);
    return factors(v, true, &p) && p.scale == 1 && p.n == 3 &&
           p.factor[0] == x && p.factor[1] == x && p.factor[2] == x;
}

/* v == k * x^3 */
static bool is_scaled_cube(Value *v, const Value *x, double k)
{
    Product p = { 1, 0, { NULL } };

    if (!factors(v, true, &p) || !near(p.scale, k))
        return false;
    return p.n == 1 ? is_cube(p.factor[0], x)
                    : p.n == 3 && p.factor[0] == x && p.factor[1] == x &&
                      p.factor[2] == x;
}

/* v == sqrt(2/pi) * (x + 0.044715 x^3), also with the factor inside */
static bool is_tanh_argument(Value *v, const Value *x)
{
    const double k = 0.7978845608028654;
    Product p = { 1, 0, { NULL } };
    Node *add;

    if (!factors(v, true, &p))
        return false;
    if (p.n == 2 && near(p.scale, k))   /* k x (1 + 0.044715 x^2) */
        for (int i = 0; i < 2; i++) {
            Value *u = p.factor[i] == x ? minus_one(p.factor[1 - i]) : NULL;
            Product q = { 1, 0, { NULL } };
            if (u && factors(u, true, &q) && near(q.scale, 0.044715) &&
                q.n == 2 && q.factor[0] == x && q.factor[1] == x)
                return true;
        }
    if (p.n != 1 || !(add = maker(p.factor[0], OP_Add)))
        return false;
    for (int i = 0; i < 2; i++) {
        double inner = k / p.scale;
        if (is_scaled(add->in[i], x, inner) &&
            is_scaled_cube(add->in[1 - i], x, 0.044715 * inner))
            return true;
    }
    return false;
}

static bool replace(Graph *g, Node *old, Op op, Value *x, Node **made)
{
    Node *n = insert_op(g, old, op, old->name, 1, &x, old->out[0]->type);

    take_result(g, n, old);
    *made = n;
    return true;
}

/* x and 1 + f among the two factors; f's argument decides which form. */
static bool match_gelu(Graph *g, Node *n, const Product *p)
{
    Node *made;

    if (p->n != 2 || !near(p->scale, 0.5))
        return false;
    for (int i = 0; i < 2; i++) {
        Value *x = p->factor[i], *f = minus_one(p->factor[1 - i]);
        Node *erf = f ? maker(f, OP_Erf) : NULL;
        Node *tanh = f ? maker(f, OP_Tanh) : NULL;
        if (erf && is_scaled(erf->in[0], x, 0.7071067811865476))
            return replace(g, n, OP_Gelu, x, &made);
        if (tanh && is_tanh_argument(tanh->in[0], x)) {
            replace(g, n, OP_Gelu, x, &made);
            ATTRS(gelu, made)->approximate = "tanh";
            return true;
        }
    }
    return false;
}

static bool match_swish(Graph *g, Node *n, const Product *p)
{
    if (p->n != 2 || p->scale != 1)
        return false;
    for (int i = 0; i < 2; i++) {
        Value *x = p->factor[i];
        Node *s = maker(p->factor[1 - i], OP_Sigmoid), *made;
        Product q = { 1, 0, { NULL } };
        if (!s || !factors(s->in[0], true, &q))
            continue;
        if (s->in[0] != x && (q.n != 1 || q.factor[0] != x))
            continue;
        replace(g, n, OP_Swish, x, &made);
        ATTRS(alpha1, made)->alpha = s->in[0] == x ? 1.0f : (float)q.scale;
        return true;
    }
    return false;
}

static bool match_mish(Graph *g, Node *n, const Product *p)
{
    Node *made;

    if (p->n != 2 || p->scale != 1)
        return false;
    for (int i = 0; i < 2; i++) {
        Node *t = maker(p->factor[1 - i], OP_Tanh);
        Node *s = t ? maker(t->in[0], OP_Softplus) : NULL;
        if (s && s->in[0] == p->factor[i])
            return replace(g, n, OP_Mish, p->factor[i], &made);
    }
    return false;
}

static bool is_relu6_plus3(const Value *v, const Value *x)
{
    Node *clip = maker(v, OP_Clip);
    Node *add = clip ? maker(clip->in[0], OP_Add) : NULL;
    Value *other;
    double s, lo, hi;

    return add && splat_operand(add, &s, &other) && s == 3 && other == x &&
           const_splat(node_in(clip, 1), &lo) && lo == 0 &&
           const_splat(node_in(clip, 2), &hi) && hi == 6;
}

static bool is_hardsigmoid(const Value *v, const Value *x)
{
    Node *h = maker(v, OP_HardSigmoid);

    return h && h->in[0] == x && ATTRS(hardsigmoid, h)->beta == 0.5f &&
           near((double)ATTRS(hardsigmoid, h)->alpha, 1.0 / 6);
}

static bool match_hardswish(Graph *g, Node *n, const Product *p)
{
    Node *made;

    if (p->n != 2)
        return false;
    for (int i = 0; i < 2; i++) {
        Value *x = p->factor[i];
        if ((near(p->scale, 1.0 / 6) && is_relu6_plus3(p->factor[1 - i], x)) ||
            (p->scale == 1 && is_hardsigmoid(p->factor[1 - i], x)))
            return replace(g, n, OP_HardSwish, x, &made);
    }
    return false;
}

static bool fuse(Graph *g, Node *n)
{
    Product p = { 1, 0, { NULL } };

    if ((n->op != OP_Mul && n->op != OP_Div) || !n->out[0] ||
        n->out[0]->type.dt != DT_F32 || !factors(n->out[0], true, &p))
        return false;
    return match_gelu(g, n, &p) || match_swish(g, n, &p) ||
           match_mish(g, n, &p) || match_hardswish(g, n, &p);
}

bool pass_fuse_gelu(Graph *g, const PassOptions *opt, bool *changed)
{
    bool skip;

    for (Node *n = g->last, *prev; n; n = prev) {
        prev = n->prev;         /* roots first: the product is whole there */
        if (fuse(g, n))
            *changed = true;
    }
    return !*changed || pass_dce(g, opt, &skip);
}
