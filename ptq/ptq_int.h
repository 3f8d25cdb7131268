/* ptq_int.h - what the files of ptq/ share.
 *
 * Tensors that must have equal scales (the two sides of a Reshape, the parts
 * of a Concat) form a Class. The graph stays float until the end: that a
 * class is quantized is simulated by rounding its values to the grid while
 * the interpreter runs, that a constant is by putting a rounded copy in its
 * place. insert.c then writes down what was chosen.
 */
#ifndef MCUFC_PTQ_INT_H
#define MCUFC_PTQ_INT_H

#include "../passes/edit.h"
#include "ptq.h"

enum { HIST_BINS = 4096, MAX_CHOICES = 8 };

/* Of [-w * BINS/2, w * BINS/2) in bins of w; w doubles as values come. */
typedef struct Hist {
    double w;                   /* 0: nothing but zeros so far */
    double lo, hi;              /* smallest and largest value */
    int64_t zeros;              /* exact ones */
    int64_t *bin;
} Hist;

typedef struct Grid {           /* real = (code - zp) * scale */
    DType dt;                   /* DT_NONE: float */
    float scale;
    int64_t zp;
} Grid;

typedef struct Choice {
    const char *name;           /* of the observer */
    double lo, hi;
    double error;               /* what its readers make of it */
} Choice;

typedef struct Class {
    bool active;                /* gets Q and DQ */
    bool output;                /* a graph output is in it */
    bool wide;                  /* may be int16: see mixed.c */
    bool state;                 /* a --state buffer, cleared to zeros, is in
                                   it: code 0 is 0 */
    Hist hist;
    int nchoice;
    Choice choice[MAX_CHOICES];
    const char *observer;       /* the choice that was taken */
    double lo, hi;
    Grid grid;
} Class;

/* A constant operand that becomes codes behind a DequantizeLinear. */
typedef struct Param {
    Node *n;
    int slot;
    Value *real, *sim;          /* float constants: as it was, and rounded */
    DType dt;                   /* DT_NONE: stays float */
    int axis;                   /* of the scales; -1: one scale */
    int64_t block;              /* 0: one scale per index of axis */
    Type scale_type;
    float *scale;
    int64_t zp;                 /* one for all; 0 unless one scale */
    int16_t *code;              /* one per element, whatever dt is */
    Class *class;               /* whose grid it follows, or NULL */
    bool bias;                  /* stays float, corrected in sim */
} Param;

/* A node that multiplies by constant weights: y[o] = sum_k w[o,k] x[k]. */
typedef struct Product {
    Node *n;
    Param *weight;
    int64_t rows, depth;        /* o, k; depthwise: depth is one group's */
    int64_t so, sk;             /* strides of the weights in elements */
    int64_t groups;
    int64_t channels, span;     /* channel of k: k / span, plus the group's */
    int64_t inner;              /* elements of one channel of x: stride 1 if
                                   channels are the last axis */
    double *sum2, *lo, *hi;     /* of x by input channel */
    double count;               /* elements per channel */
} Product;

typedef struct Ptq {
    Graph *g;
    Arena *arena;               /* as long as the graph */
    const PtqOptions *opt;
    int nvalue;                 /* classes exist for values below */
    int *parent;                /* union-find over value ids */
    Class *class;               /* by root */
    bool *marked;               /* value is to be quantized */
    int nparam, capparam;
    Param **param;
    int nproduct, capproduct;
    Product *product;
    bool simulate;              /* params are in their rounded form */
    bool activations_only;      /* they never are */
    PtqReport *report;
} Ptq;

/* roles.c: what a node is for quantization */
typedef enum Role {
    ROLE_FLOAT,                 /* computes in float, between DQ and Q */
    ROLE_PASS,                  /* moves codes: operands and results agree */
    ROLE_OP                     /* has an integer form */
} Role;
Role node_role(const Node *n);
bool slot_is_activation(const Node *n, int slot);
bool is_product(const Node *n); /* by constant weights */
/* y's one reader clamps it, in the same kernel: y is never stored */
bool is_inner(const Value *y);
bool is_float_value(const Value *v);

/* prepare.c: fusions and rewrites that leave only what roles.c knows */
bool ptq_prepare(Graph *g, bool keep_factors);
/* normalize.c: before the fusions; between matmul and attention */
bool normalize_model(Graph *g);
void normalize_products(Graph *g);

/* classes.c */
void classes_build(Ptq *p);
int class_root(const Ptq *p, const Value *v);
Class *class_of(const Ptq *p, const Value *v);  /* NULL: not quantized */

/* observe.c */
void hist_init(Hist *h, Arena *a);
void hist_add(Hist *h, const float *x, int64_t n);
/* candidates for the range; always at least one */
void hist_choices(Class *c);
Grid grid_for(DType dt, double lo, double hi);
Grid class_grid(const Class *c, double lo, double hi);  /* int8 */
float grid_round(const Grid *g, float x);
void grid_round_all(const Grid *g, float *x, int64_t n);

/* simulate.c: runs sample k; hook as graph_eval's. Classes with a grid are
 * rounded when quantized. */
typedef struct Runner {
    Ptq *p;
    bool quantized;
    EvalHook *hook;
    void *user;
} Runner;
bool run_sample(Ptq *p, int k, bool quantized, EvalHook *hook, void *user,
                Tensor *out, Arena *arena);
void params_set(Ptq *p, bool quantized);

/* calibrate.c */
bool calibrate_ranges(Ptq *p);          /* histograms, product statistics */
bool calibrate_choose(Ptq *p);          /* one choice per class */

/* how many samples a walk of `runs` model runs each may take, at most */
int samples_for(const Ptq *p, double runs, int most);
/* n's results with other operands; the data are of `arena` */
bool eval_again(const Ptq *p, const Node *n, const Tensor *const *in,
                Tensor **out, Arena *arena);

/* weights.c */
void products_find(Ptq *p);
bool weights_quantize(Ptq *p);
void weights_use(Ptq *p, Product *r);   /* param->sim from its codes */
/* least scale of row o's weights: its bias must fit int32 */
double least_scale(const Ptq *p, const Product *r, int64_t o);
double product_moment(const Product *r, int64_t o, int64_t k);
/* constants.c: addends, factors, tables; again when a class's grid changed */
void constants_find(Ptq *p);
void constants_quantize(Ptq *p);
Param *param_new(Ptq *p, Node *n, int slot);
int64_t product_channel(const Product *r, int64_t o, int64_t k);

/* gptq.c */
bool gptq_quantize(Ptq *p);     /* int4 where the error allows it */

/* equalize.c, bias.c, mixed.c */
bool equalize(Ptq *p);
bool bias_correct(Ptq *p);
bool mixed_choose(Ptq *p);      /* 8 or 16 bits */
bool mixed_other(Ptq *p);       /* the graph with the other choice */

/* islands.c */
bool islands_choose(Ptq *p);
bool is_island(const Ptq *p, const Node *n);

/* insert.c */
void pairs_insert(Ptq *p);
/* the same in a copy of the graph, which p then still has as it was */
Graph *pairs_in_copy(Ptq *p);

/* errors.c */
bool errors_measure(Ptq *p);
/* signal over error of output 0 in dB on the first n samples */
bool output_sqnr(Ptq *p, int n, double *db);

#endif
