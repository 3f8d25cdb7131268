/* graphs.h - graphs of the shapes that networks have, and random ones, for
 * the planner alone: byte vectors, ops chosen for how they use memory. */
#ifndef MCUFC_TEST_GRAPHS_H
#define MCUFC_TEST_GRAPHS_H

#include <string.h>

#include "../../ir/ir.h"

typedef struct Maker {
    Graph *g;
    uint32_t seed;
    int nval;
    Value *val[20000];          /* non-constant values so far */
} Maker;

static inline int maker_random(Maker *m, int n)
{
    m->seed = m->seed * 1664525u + 1013904223u;
    return (int)((m->seed >> 8) % (uint32_t)n);
}

static inline Value *maker_keep(Maker *m, Value *v)
{
    m->val[m->nval++] = v;
    return v;
}

static inline Type bytes_type(int64_t n)
{
    return type_vector(DT_U8, n);
}

static inline Value *make_input(Maker *m, int64_t bytes)
{
    Value *v = graph_value(m->g, NULL, bytes_type(bytes));

    graph_add_input(m->g, v);
    return maker_keep(m, v);
}

static inline Value *make_op(Maker *m, Op op, int n, Value **in,
                             int64_t bytes)
{
    Node *node = node_new(m->g, op, op_name(op), n, in, 1);

    node->out[0]->type = bytes_type(bytes);
    graph_append(m->g, node);
    return maker_keep(m, node->out[0]);
}

static inline int64_t bytes_of(const Value *v)
{
    return type_bytes(&v->type);
}

static inline Value *make_conv(Maker *m, Value *x, int64_t bytes)
{
    return make_op(m, OP_Conv, 1, &x, bytes);
}

static inline Value *make_relu(Maker *m, Value *x)
{
    return make_op(m, OP_Relu, 1, &x, bytes_of(x));
}

static inline Value *make_add(Maker *m, Value *x, Value *y)
{
    Value *in[2] = { x, y };

    return make_op(m, OP_Add, 2, in, bytes_of(x));
}

static inline Value *make_concat(Maker *m, int n, Value **in)
{
    int64_t bytes = 0;

    for (int i = 0; i < n; i++)
        bytes += bytes_of(in[i]);
    return make_op(m, OP_Concat, n, in, bytes);
}

static inline Value *make_view(Maker *m, Value *x)
{
    return make_op(m, OP_Reshape, 1, &x, bytes_of(x));
}

/* Both halves are views of x. */
static inline void make_split(Maker *m, Value *x)
{
    Node *n = node_new(m->g, OP_Split, "Split", 1, &x, 2);
    int64_t half = bytes_of(x) / 2;

    ATTRS(split, n)->axis = 0;
    n->out[0]->type = bytes_type(half);
    n->out[1]->type = bytes_type(bytes_of(x) - half);
    graph_append(m->g, n);
    maker_keep(m, n->out[0]);
    maker_keep(m, n->out[1]);
}

/* What nobody reads leaves the model. */
static inline void make_outputs(Maker *m)
{
    for (int i = 0; i < m->nval; i++)
        if (!m->val[i]->nuse && m->val[i]->def)
            graph_add_output(m->g, m->val[i]);
}

static inline Value *any_value(Maker *m, int near)
{
    int from = near && near < m->nval ? m->nval - near : 0;

    return m->val[from + maker_random(m, m->nval - from)];
}

/* n steps; operands among the `near` newest values, 0: among all. */
static inline void make_random(Maker *m, int n, int near)
{
    static const int sizes[] = { 8, 16, 16, 24, 32, 64, 100 };
    Value *some[3];

    make_input(m, sizes[maker_random(m, 7)]);
    if (maker_random(m, 3) == 0)
        make_input(m, sizes[maker_random(m, 7)]);
    for (int i = 0; i < n; i++) {
        Value *x = any_value(m, near), *y = any_value(m, near);
        int what = maker_random(m, 20);
        if (what < 4) {
            make_relu(m, x);
        } else if (what < 9 && bytes_of(x) == bytes_of(y)) {
            make_add(m, x, y);
        } else if (what < 11) {
            make_op(m, OP_Softmax, 1, &x, bytes_of(x));
        } else if (what < 12) {
            make_view(m, x);
        } else if (what < 13 && bytes_of(x) > 8) {
            make_split(m, x);
        } else if (what < 16 && bytes_of(x) + bytes_of(y) < 400) {
            some[0] = x;
            some[1] = y;
            some[2] = any_value(m, near);
            make_concat(m, 2 + maker_random(m, 2), some);
        } else {
            make_conv(m, x, sizes[maker_random(m, 7)]);
        }
    }
    make_outputs(m);
}

/* A NASNet-like cell: five pairs of separable convolutions or pools on the
 * two cells before, added; what is not used inside is joined. */
static inline Value *make_cell(Maker *m, Value *a, Value *b, int64_t bytes)
{
    Value *state[7], *left[5], *right[5];
    bool used[7] = { false };
    int n = 2;

    state[0] = make_conv(m, a, bytes);
    state[1] = make_conv(m, b, bytes);
    for (int i = 0; i < 5; i++) {
        int p = maker_random(m, n), q = maker_random(m, n);
        used[p] = used[q] = true;
        left[i] = make_conv(m, make_conv(m, state[p], bytes), bytes);
        right[i] = maker_random(m, 2)
                       ? make_conv(m, make_conv(m, state[q], bytes), bytes)
                       : make_op(m, OP_MaxPool, 1, &state[q], bytes);
        state[n++] = make_add(m, left[i], right[i]);
    }
    for (int i = 0, k = 0; i < n; i++) {
        if (i >= 2 && !used[i])
            left[k++] = state[i];
        if (i == n - 1)
            return k > 1 ? make_concat(m, k, left) : left[0];
    }
    return NULL;
}

static inline void make_nasnet(Maker *m, int cells)
{
    Value *a = make_input(m, 3072), *b = a;
    int64_t bytes = 4096;

    for (int i = 0; i < cells; i++) {
        Value *c = make_cell(m, a, b, bytes);
        a = b;
        b = c;
        if (i % 3 == 2)
            bytes /= 2;
    }
    make_conv(m, b, 10);
    make_outputs(m);
}

/* RandWire: a Watts-Strogatz ring of n nodes with k neighbours, edges from
 * the lower to the higher number; a node adds what comes in. */
static inline Value *make_wired(Maker *m, Value *x, int n, int64_t bytes)
{
    bool edge[64][64] = { { false } };
    Value *v[64], *end = NULL;

    for (int i = 0; i < n; i++)
        for (int k = 1; k <= 2; k++) {
            int j = maker_random(m, 4) ? (i + k) % n : maker_random(m, n);
            edge[i < j ? i : j][i < j ? j : i] |= i != j;
        }
    for (int j = 0; j < n; j++) {
        Value *sum = NULL;
        for (int i = 0; i < j; i++)
            if (edge[i][j])
                sum = sum ? make_add(m, sum, v[i]) : v[i];
        v[j] = make_conv(m, sum ? make_relu(m, sum) : x, bytes);
    }
    for (int i = 0; i < n; i++)
        if (!v[i]->nuse)
            end = end ? make_add(m, end, v[i]) : v[i];
    return end;
}

static inline void make_randwire(Maker *m, int stages, int n)
{
    Value *x = make_input(m, 3072);

    for (int i = 0; i < stages; i++)
        x = make_wired(m, x, n, 4096 >> i);
    make_conv(m, x, 10);
    make_outputs(m);
}

/* Every layer reads all before it, joined anew each time. */
static inline void make_densenet(Maker *m, int blocks, int layers)
{
    Value *x = make_conv(m, make_input(m, 3072), 2048), *all[64];

    for (int b = 0; b < blocks; b++) {
        int n = 1;
        all[0] = x;
        for (int i = 0; i < layers; i++) {
            x = n > 1 ? make_concat(m, n, all) : all[0];
            x = make_conv(m, make_relu(m, x), 1024 >> b);
            all[n++] = make_conv(m, x, 512 >> b);
        }
        x = make_conv(m, make_concat(m, n, all), 1024 >> b);
    }
    make_conv(m, x, 10);
    make_outputs(m);
}

/* Encoder, decoder, and skips between equal levels; every level's skip has a
 * side branch that a depth-first export computes too early. */
static inline void make_unet(Maker *m, int depth)
{
    Value *x = make_input(m, 4096), *skip[16], *pair[2];

    for (int d = 0; d < depth; d++) {
        x = make_relu(m, make_conv(m, x, 8192 >> d));
        skip[d] = make_conv(m, x, 8192 >> d);
        skip[d] = make_relu(m, make_conv(m, skip[d], 4096 >> d));
        x = make_op(m, OP_MaxPool, 1, &x, 2048 >> d);
    }
    for (int d = depth - 1; d >= 0; d--) {
        pair[0] = make_conv(m, x, 4096 >> d);
        pair[1] = skip[d];
        x = make_relu(m, make_conv(m, make_concat(m, 2, pair), 8192 >> d));
    }
    make_conv(m, x, 4096);
    make_outputs(m);
}

/* Blocks like a transformer's, with heads side by side. */
static inline void make_heads(Maker *m, int blocks, int heads)
{
    Value *x = make_input(m, 4096), *head[32];

    for (int b = 0; b < blocks; b++) {
        Value *n = make_conv(m, x, 4096);
        for (int h = 0; h < heads; h++) {
            Value *in[2] = { make_conv(m, n, 4096 / heads),
                             make_conv(m, n, 4096 / heads) };
            Value *s = make_op(m, OP_MatMul, 2, in, 2048);
            in[0] = make_op(m, OP_Softmax, 1, &s, 2048);
            in[1] = make_conv(m, n, 4096 / heads);
            head[h] = make_op(m, OP_MatMul, 2, in, 4096 / heads);
        }
        x = make_add(m, x, make_conv(m, make_concat(m, heads, head), 4096));
        n = make_relu(m, make_conv(m, make_conv(m, x, 4096), 8192));
        x = make_add(m, x, make_conv(m, n, 4096));
    }
    make_outputs(m);
}

#endif
