/* einsum.c - Einsum (ONNX 12): ellipsis, repeated and implicit indices, axes
 * of size 1 that repeat. Every index of the equation becomes one loop. */
#include "einsum.h"

#include <ctype.h>
#include <string.h>

#include "../hooks.h"

/* Labels are letters; ellipsis axes, counted from the right, are digits. */
typedef struct Term {
    int n;
    char label[64];
    int dots;                   /* position of "...", or -1 */
} Term;

typedef struct Parser {
    const Node *n;
    const char *p;
    Term term[EINSUM_TERMS + 1];        /* the last one read is the output */
    int nterm;
    bool has_out;
} Parser;

static bool bad(const Parser *p, const char *what)
{
    return node_error(p->n, "equation '%s': %s",
                      ATTRS(einsum, p->n)->equation, what);
}

static bool parse_term(Parser *p, Term *t)
{
    *t = (Term){ .dots = -1 };
    for (;; p->p++) {
        if (*p->p == ' ')
            continue;
        if (!strncmp(p->p, "...", 3)) {
            if (t->dots >= 0)
                return bad(p, "two ellipses in one term");
            t->dots = t->n;
            p->p += 2;
        } else if (isalpha((unsigned char)*p->p)) {
            if (t->n >= MAX_RANK)
                return bad(p, "a term has too many axes");
            t->label[t->n++] = *p->p;
        } else {
            return true;
        }
    }
}

static bool parse(Parser *p)
{
    p->p = ATTRS(einsum, p->n)->equation;
    do {
        if (p->nterm == EINSUM_TERMS)
            return bad(p, "too many terms");
        if (!parse_term(p, &p->term[p->nterm++]))
            return false;
    } while (*p->p++ == ',');
    p->p--;
    if (p->nterm != p->n->nin)
        return node_error(p->n, "equation '%s' has %d terms for %d operands",
                          ATTRS(einsum, p->n)->equation, p->nterm,
                          p->n->nin);
    if (!strncmp(p->p, "->", 2)) {
        p->has_out = true;
        p->p += 2;
        if (!parse_term(p, &p->term[p->nterm]))
            return false;
    }
    return *p->p ? bad(p, "unexpected character") : true;
}

/* Replace "..." of a term by digits for `axes` axes: '0' is the last. */
static bool expand_dots(const Parser *p, Term *t, int axes)
{
    int dots = t->dots;

    if (axes < 0 || (axes > 0 && dots < 0))
        return bad(p, "terms do not fit the ranks of the operands");
    if (t->n + axes > MAX_RANK)
        return bad(p, "a term has too many axes");
    if (dots < 0)
        return true;
    memmove(t->label + dots + axes, t->label + dots, (size_t)(t->n - dots));
    for (int i = 0; i < axes; i++)
        t->label[dots + i] = (char)('0' + axes - 1 - i);
    t->n += axes;
    return true;
}

static int count_label(const Parser *p, char c)
{
    int count = 0;

    for (int i = 0; i < p->nterm; i++)
        for (int k = 0; k < p->term[i].n; k++)
            count += p->term[i].label[k] == c;
    return count;
}

/* Without "->": ellipsis axes, then the letters that stand once, sorted. */
static bool implicit_out(Parser *p, int dots)
{
    Term *out = &p->term[p->nterm];

    *out = (Term){ .dots = 0 };
    if (!expand_dots(p, out, dots))
        return false;
    for (char c = 'A'; c <= 'z'; c++)
        if (isalpha((unsigned char)c) && count_label(p, c) == 1) {
            if (out->n == MAX_RANK)
                return bad(p, "the output has too many axes");
            out->label[out->n++] = c;
        }
    return true;
}

static bool expand_all(Parser *p)
{
    int most = 0;

    for (int i = 0; i < p->nterm; i++) {
        int axes = p->n->in[i]->type.rank - p->term[i].n;
        if (!expand_dots(p, &p->term[i], axes))
            return false;
        most = axes > most ? axes : most;
    }
    if (!p->has_out)
        return implicit_out(p, most);
    if (p->term[p->nterm].dots >= 0)
        return expand_dots(p, &p->term[p->nterm], most);
    return true;
}

static int loop_of(const Einsum *e, const char *name, char label)
{
    for (int i = 0; i < e->nloop; i++)
        if (name[i] == label)
            return i;
    return -1;
}

static bool add_loop(const Parser *p, Einsum *e, char *name, char label)
{
    if (e->nloop == EINSUM_LOOPS)
        return bad(p, "too many indices");
    name[e->nloop] = label;
    e->size[e->nloop++] = 1;
    return true;
}

static bool make_loops(const Parser *p, Einsum *e, char *name)
{
    const Term *out = &p->term[p->nterm];

    for (int k = 0; k < out->n; k++) {
        if (loop_of(e, name, out->label[k]) >= 0)
            return bad(p, "an index stands twice in the output");
        if (!count_label(p, out->label[k]))
            return bad(p, "an index of the output is in no term");
        if (!add_loop(p, e, name, out->label[k]))
            return false;
    }
    e->nout = e->nloop;
    for (int t = 0; t < p->nterm; t++)
        for (int k = 0; k < p->term[t].n; k++)
            if (loop_of(e, name, p->term[t].label[k]) < 0 &&
                !add_loop(p, e, name, p->term[t].label[k]))
                return false;
    return true;
}

static bool set_sizes(const Parser *p, Einsum *e, const char *name)
{
    for (int t = 0; t < p->nterm; t++)
        for (int k = 0; k < p->term[t].n; k++) {
            int i = loop_of(e, name, p->term[t].label[k]);
            int64_t d = p->n->in[t]->type.dim[k];
            if (d != e->size[i] && d != 1 && e->size[i] != 1)
                return node_error(p->n, "index '%c' has sizes %lld and %lld",
                                  name[i], (long long)e->size[i],
                                  (long long)d);
            e->size[i] = d == 1 ? e->size[i] : d;
        }
    return true;
}

static void set_strides(const Parser *p, Einsum *e, const char *name)
{
    for (int t = 0; t < p->nterm; t++) {
        const Type *type = &p->n->in[t]->type;
        int64_t stride[MAX_RANK];
        type_strides(type, stride);
        for (int k = 0; k < p->term[t].n; k++)
            if (type->dim[k] != 1)
                e->stride[t][loop_of(e, name, p->term[t].label[k])] +=
                    stride[k];
    }
}

bool einsum_read(const Node *n, Einsum *e, Type *y)
{
    Parser p = { .n = n };
    char name[EINSUM_LOOPS];

    memset(e, 0, sizeof *e);
    if (!parse(&p) || !expand_all(&p) || !make_loops(&p, e, name) ||
        !set_sizes(&p, e, name))
        return false;
    set_strides(&p, e, name);
    e->nterm = p.nterm;
    *y = type_make(n->in[0]->type.dt, e->nout, e->size);
    return true;
}

bool infer_einsum(Graph *g, Node *n)
{
    DType dt = n->in[0]->type.dt;
    Einsum e;

    (void)g;
    for (int i = 0; i < n->nin; i++)
        if (!n->in[i] || n->in[i]->type.dt != dt)
            return node_error(n, "operand %d is not %s", i, dtype_name(dt));
    if ((!dtype_is_float(dt) && !dtype_is_int(dt)) || dtype_bits(dt) < 8)
        return node_error(n, "cannot sum %s", dtype_name(dt));
    return einsum_read(n, &e, &n->out[0]->type);
}

/* Steps loops [from, to) like an odometer, last fastest; false at the end. */
static bool step(const Einsum *e, int from, int to, int64_t *pos,
                 int64_t *offset)
{
    for (int i = to - 1; i >= from; i--) {
        if (++pos[i] < e->size[i]) {
            for (int t = 0; t < e->nterm; t++)
                offset[t] += e->stride[t][i];
            return true;
        }
        pos[i] = 0;
        for (int t = 0; t < e->nterm; t++)
            offset[t] -= e->stride[t][i] * (e->size[i] - 1);
    }
    return false;
}

static void sum_at(const Einsum *e, const Tensor *const *in, int64_t *pos,
                   int64_t *offset, Tensor *y, int64_t i)
{
    DType dt = y->type.dt;
    bool real = dtype_is_float(dt);
    uint64_t whole = 0;
    double sum = 0;

    do {
        double r = 1;
        uint64_t w = 1;
        for (int t = 0; t < e->nterm; t++)
            if (real)
                r *= elem_get(dt, in[t]->data, offset[t]);
            else
                w *= (uint64_t)elem_get_int(dt, in[t]->data, offset[t]);
        sum += r;
        whole += w;
    } while (step(e, e->nout, e->nloop, pos, offset));
    if (real)
        elem_set(dt, y->data, i, sum);
    else
        elem_set_int(dt, y->data, i, (int64_t)whole);
}

bool eval_einsum(const Node *n, const Tensor *const *in, Tensor *const *out,
                 Arena *scratch, Diag *diag)
{
    int64_t pos[EINSUM_LOOPS] = { 0 }, offset[EINSUM_TERMS] = { 0 }, i = 0;
    Einsum e;
    Type y;

    (void)scratch;
    (void)diag;
    if (!einsum_read(n, &e, &y))
        return false;
    for (int k = 0; k < e.nloop; k++)
        if (e.size[k] == 0)
            return true;        /* nothing to sum: out is zeroed */
    do
        sum_at(&e, in, pos, offset, out[0], i++);
    while (step(&e, 0, e.nout, pos, offset));
    return true;
}
