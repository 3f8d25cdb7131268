/* layers.h - random layers of one op each, many in a graph: generated C
 * against the interpreter, equal in every bit. A test includes it, defines
 * its makers and the table `kinds`, then includes layers_run.h.
 *
 * MCUFC_LAYERS=N runs N layers of each kind instead of 40, MCUFC_KIND=N only
 * kind N of the table, MCUFC_PART=N only its graph N: messages name them.
 * A sweep also says what occurred in it (layers_tally.h).
 */
#ifndef MCUFC_TEST_LAYERS_H
#define MCUFC_TEST_LAYERS_H

#include "../../ir/ir.h"

static const char *build_cc, *build_flags, *skipped_passes;
static char what_is_built[400];
static void walk_backwards(Graph *g);
#define GENERATED_CC build_cc
#define GENERATED_FLAGS build_flags
#define GENERATED_SKIP skipped_passes
#define GENERATED_PLANNED(g) walk_backwards(g)
#define GENERATED_NOTE what_is_built
#include "generated.h"

#ifndef LAYERS_AFTER            /* the last pass that is not run on them */
#define LAYERS_AFTER NULL
#endif

enum { LAYERS = 40, PER_GRAPH = 500, MOST_INPUTS = 9 };

typedef struct Random {
    Graph *g;
    uint64_t state;
    bool tame;                  /* no scales far from 1 */
    Tensor in[MOST_INPUTS * PER_GRAPH];         /* data of g->in */
} Random;

static inline int below(Random *r, int n)
{
    r->state = r->state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (int)((r->state >> 33) % (uint64_t)n);
}

static inline bool one_in(Random *r, int n)
{
    return below(r, n) == 0;
}

static inline int between(Random *r, int lo, int hi)
{
    return lo + below(r, hi - lo + 1);
}

static inline DType code(Random *r)
{
    return one_in(r, 2) ? DT_I8 : DT_U8;
}

static inline DType any_code(Random *r)
{
    return one_in(r, 4) ? one_in(r, 3) ? DT_U16 : DT_I16 : code(r);
}

static inline int least(DType dt)
{
    return dt == DT_I8 ? -128 : dt == DT_I4 ? -8 : dt == DT_I16 ? -32768 : 0;
}

static inline int most(DType dt)
{
    return dt == DT_I8 ? 127 : dt == DT_U8 ? 255 : dt == DT_I4 ? 7
           : dt == DT_U16 ? 65535 : dt == DT_U4 ? 15 : 32767;
}

/* All over the range, at its ends only, near one number, or all alike. */
static inline void *codes(Random *r, const Type *t)
{
    int64_t n = type_elems(t);
    int lo = least(t->dt), hi = most(t->dt), way = below(r, 8);
    void *p = arena_alloc(r->g->arena, (size_t)type_bytes(t) + 16);
    int at = between(r, lo, hi - 3);

    for (int64_t i = 0; i < n; i++)
        elem_set_int(t->dt, p, i, way == 0   ? one_in(r, 2) ? lo : hi
                                  : way == 1 ? at + below(r, 4)
                                  : way == 2 ? at
                                             : between(r, lo, hi));
    return p;
}

static inline Value *input(Random *r, Type t)
{
    Value *v = graph_value(r->g, "x", t);

    graph_add_input(r->g, v);
    r->in[r->g->nin - 1] = (Tensor){ t, codes(r, &t) };
    return v;
}

static inline Value *constant(Random *r, Type t)
{
    return graph_const(r->g, "w", t, codes(r, &t));
}

/* 2^lo .. 2^hi */
static inline double scale(Random *r, int lo, int hi)
{
    return ldexp(1 + below(r, 1000) * 1e-3, between(r, lo, hi));
}

/* a scale of codes, now and then hardly a float's */
static inline float code_scale(Random *r, int lo, int hi)
{
    return (float)(one_in(r, 8) ? scale(r, -120, 100) : scale(r, lo, hi));
}

static inline int64_t zero_point(Random *r, DType dt)
{
    int way = below(r, 4);

    return way == 0   ? least(dt)
           : way == 1 ? most(dt)
           : way == 2 ? (least(dt) + most(dt) + 1) / 2
                      : between(r, least(dt), most(dt));
}

/* Parameters of the result, for sums around 2^bits at scale `unit`. */
static inline DType result(Random *r, double unit, int bits, float *y_scale,
                           int64_t *zp, int64_t *lo, int64_t *hi)
{
    DType dt = one_in(r, 2) ? any_code(r) : code(r);
    int range = dtype_bits(dt) - 1, off = between(r, -3, 3);

    if (one_in(r, 10))
        off = between(r, -20, 20);
    *y_scale = (float)(unit * scale(r, bits - range + off,
                                    bits - range + off));
    *zp = zero_point(r, dt);
    if (one_in(r, 4)) {
        *lo = between(r, least(dt), most(dt));
        *hi = between(r, (int)*lo, most(dt));
    }
    return dt;
}

static inline int log2_of(int64_t n)
{
    int bits = 0;

    while (n >> bits > 1)
        bits++;
    return bits;
}

static inline Ints list(Random *r, int n, const int64_t *v)
{
    Ints a = { n, NEW_ARRAY(r->g->arena, int64_t, n) };

    memcpy(a.v, v, (size_t)n * sizeof *v);
    return a;
}

static inline Node *node(Random *r, Op op, int nin, Value **in)
{
    while (nin && !in[nin - 1])
        nin--;
    return node_new(r->g, op, op_name(op), nin, in, 1);
}

/* +-2^lo .. 2^hi, now and then 0 */
static inline Value *floats(Random *r, int64_t n, int lo, int hi)
{
    float *x = NEW_ARRAY(r->g->arena, float, n + 1);

    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(one_in(r, 20) ? 0 : one_in(r, 2)
                       ? scale(r, lo, hi) : -scale(r, lo, hi));
    return graph_const(r->g, "f", type_vector(DT_F32, n), x);
}

/* One axis of a window: sizes that fit, with padding inside the window. */
typedef struct Axis {
    int64_t in, kernel, stride, dilation, pad, pad_end;
} Axis;

static inline Axis axis(Random *r, int kernel)
{
    Axis a = { 0, kernel, between(r, 1, 3), 1, 0, 0 };
    int64_t extent;

    if (one_in(r, 4))
        a.dilation = between(r, 2, 3);
    extent = (kernel - 1) * a.dilation + 1;
    if (one_in(r, 2)) {
        a.pad = below(r, (int)extent);
        a.pad_end = below(r, (int)extent);
    }
    a.in = extent - a.pad - a.pad_end;
    a.in = (a.in < 1 ? 1 : a.in) + below(r, 8);
    return a;
}

static inline void set_window(Random *r, const Axis *a, Ints *kernel,
                              Ints *strides, Ints *dilations, Ints *pads)
{
    *kernel = list(r, 2, (int64_t[]){ a[0].kernel, a[1].kernel });
    *strides = list(r, 2, (int64_t[]){ a[0].stride, a[1].stride });
    *dilations = list(r, 2, (int64_t[]){ a[0].dilation, a[1].dilation });
    *pads = list(r, 4, (int64_t[]){ a[0].pad, a[1].pad, a[0].pad_end,
                                    a[1].pad_end });
}

/* A layer that is not yet in the graph, its inputs already are. */
typedef Node *Maker(Random *r);
typedef struct Kind {
    const char *name;
    Maker *make;
    bool converted;             /* all passes; they may be one code off */
} Kind;

#endif
