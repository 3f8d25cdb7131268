/* ir.h - THE header: what a model is between the frontends and the C file.
 *
 * A Graph is in SSA form: Values (a type, perhaps constant data) and Nodes
 * (an op with typed attributes) in a list in schedule order. All shapes are
 * static once build.c is done. One table, ops.def, describes every op; its
 * readers expand only the columns they need. Read this file top to bottom:
 * types, values, nodes, graph, the per-op hooks, the plan.
 */
#ifndef MCUFC_IR_H
#define MCUFC_IR_H

#include <stdbool.h>
#include <stdint.h>

#include "../support/arena.h"
#include "../support/buf.h"
#include "../support/diag.h"

/* Types */

enum { MAX_RANK = 8 };

/* Numbers are those of ONNX's TensorProto.DataType. dtypes.def is the table:
 * name, C type, bytes, ... */
typedef enum DType {
    DT_NONE = 0,
#define DTYPE(id, num, name, ctype, bits, kind, suffix) DT_##id = num,
#include "dtypes.def"
#undef DTYPE
    DT_MAX = 32
} DType;

typedef enum DKind { DK_NONE, DK_FLOAT, DK_INT, DK_UINT, DK_BOOL } DKind;

typedef struct Type {
    DType dt;
    int rank;                   /* -1: not known yet (only while building) */
    int64_t dim[MAX_RANK];      /* outermost first; -1: not known yet */
} Type;

Type type_make(DType dt, int rank, const int64_t *dim);
Type type_scalar(DType dt);
Type type_vector(DType dt, int64_t n);
bool type_known(const Type *t);         /* dtype and every dim known */
bool type_same_shape(const Type *a, const Type *b);
bool type_equal(const Type *a, const Type *b);
int64_t type_elems(const Type *t);      /* product of dims; 1 for a scalar */
int64_t type_bytes(const Type *t);      /* of dense storage, int4 packed */
/* product of dims [from, to) */
int64_t type_span(const Type *t, int from, int to);
/* dense row-major strides in elements, for dims 0..rank-1 */
void type_strides(const Type *t, int64_t *stride);
void type_print(Buf *b, const Type *t); /* float[1,3,224,224] */

int dtype_bits(DType dt);
int dtype_bytes(DType dt);              /* storage of one element, >= 1 */
const char *dtype_name(DType dt);       /* as in ONNX text: float, int8 */
const char *dtype_ctype(DType dt);      /* float, int8_t; uint16_t for f16 */
const char *dtype_suffix(DType dt);     /* f32, s8: in kernel names */
DKind dtype_kind(DType dt);
DType dtype_by_name(const char *name);  /* DT_NONE when there is none */
bool dtype_is_float(DType dt);
bool dtype_is_int(DType dt);            /* signed or unsigned, not bool */

/* Scalars in storage (f16 and bf16 are uint16_t bits) */

float f16_to_f32(uint16_t h);
uint16_t f32_to_f16(float f);           /* round to nearest, ties to even */
float bf16_to_f32(uint16_t h);
uint16_t f32_to_bf16(float f);
uint16_t f64_to_f16(double d);          /* rounded once, not twice */
uint16_t f64_to_bf16(double d);
double elem_get(DType dt, const void *p, int64_t i);
int64_t elem_get_int(DType dt, const void *p, int64_t i);
void elem_set(DType dt, void *p, int64_t i, double x);  /* saturates not */
void elem_set_int(DType dt, void *p, int64_t i, int64_t x);
/* truncates to the range of the integer type; NaN gives 0; uint64 as bits */
int64_t elem_saturate(DType dt, double x);

/* Attributes */

typedef struct Ints { int n; int64_t *v; } Ints;
typedef struct Floats { int n; float *v; } Floats;
typedef struct Strings { int n; const char **v; } Strings;

typedef enum AttrKind {
    AK_int, AK_float, AK_string, AK_ints, AK_floats, AK_strings
} AttrKind;

typedef int64_t attr_int;
typedef float attr_float;
typedef const char *attr_string;
typedef Ints attr_ints;
typedef Floats attr_floats;
typedef Strings attr_strings;

/* struct Attr_conv { attr_ints strides; ... }: one per stem of attrs.def */
#define STEM(s) typedef struct Attr_##s { char none_;
#define ATTR(s, kind, name, def) attr_##kind name;
#define END(s) } Attr_##s;
#include "attrs.def"
#undef STEM
#undef ATTR
#undef END

typedef struct AttrInfo {
    const char *name;
    AttrKind kind;
    int offset;                 /* in the stem's struct */
    const char *def;            /* default as text; "!" when required */
} AttrInfo;

/* Values and nodes */

typedef struct Value Value;
typedef struct Node Node;
typedef struct Graph Graph;
typedef struct Buffer Buffer;
typedef struct Region Region;

/* What the codes of an integer value stand for: real = scale * (code -
 * zero_point). For callers and readers; no op reads it. */
typedef struct Quant {
    int n;                      /* 1, or the length of axis */
    int axis;                   /* 0 when n is 1 */
    const float *scale;         /* [n], positive */
    const int32_t *zero_point;  /* [n], in the range of the dtype */
} Quant;

enum { MAX_WIDTHS = 64 };       /* levels of width at run time */

/* What a constant is in a narrower build of its elastic layer (widths.c). */
typedef struct Narrow {
    int layer;
    Value **at;                 /* constants, by level, the last one (the
                                   value itself) left out */
} Narrow;

struct Value {
    int id;                     /* dense: graph->value[id] */
    const char *name;           /* unique in the graph, never empty */
    const char *label;          /* an output's name in the model's file where
                                   an input has it too; else NULL */
    Type type;
    Node *def;                  /* the node that makes it, or NULL */
    int def_index;              /* which of its outputs */
    const void *data;           /* constant: dense row-major; else NULL */
    const Quant *quant;         /* of integers, or NULL */
    const Narrow *narrow;       /* of a constant that depends on a width
                                   chosen at run time, or NULL */
    bool is_input, is_output;   /* of the graph */
    int nuse, capuse;
    Node **use;                 /* a node stands once per operand slot */

    /* where it lives, set by the planner (see Buffer) */
    Buffer *buf;                /* NULL: constant, or of no elements */
    int64_t delta;              /* first byte, relative to the buffer's */
    Region *store;              /* the buffer holds one tile of it; NULL:
                                   all of it */
    int64_t plane;              /* of a tile that code is made for: elements
                                   from one index of axis 1 to the next, each
                                   in one piece; 0: all is one piece */
};

typedef enum Op {
    OP_NONE,
#define OP(name, imin, imax, omin, omax, attrs, infer, eval, traits) OP_##name,
#include "ops.def"
#undef OP
    OP_COUNT
} Op;

/* Traits of an op; asked through op_info(). */
enum {
    T_NONE = 0,
    T_MAP = 1,          /* out[i] depends on the operands' element i only,
                           with broadcasting (scalar.def) */
    T_VIEW = 2,         /* the output is the first input's bytes, reshaped */
    T_MOVE = 4,         /* copies elements; any dtype by size */
    T_COMMUTES = 8,
    T_ROWS = 16,        /* may overwrite input 0: kernel reads a whole row
                           before it writes it, and shapes are equal */
    T_RANDOM = 32,      /* never folded or merged */
    T_INTERNAL = 64,    /* not an ONNX op: domain mcufc in text */
};

/* A loop over tiles of an axis (region.h). Values keep their whole types;
 * a node in a region computes a tile of its results per turn. */
struct Region {
    Region *parent;             /* the loop around this one */
    const char *name;
    int64_t extent, tile;       /* indices, and how many of them per turn;
                                   the last turn may have fewer */
    bool slides;                /* windows are read along it: by graph_number,
                                   as all below */
    int64_t begin;              /* of its first turn: below 0 where windows
                                   fill before position 0 is made */
    int depth;                  /* 0: outermost */
    int id, first, last;        /* by graph_number: in order of appearance,
                                   and the nodes in it */
};

enum { REGION_DEPTH = 4 };      /* loops around a node at most */

/* What a turn of a loop with windows makes of a node's first result: at
 * position p indices below p * unit + to, as far as there are such. Derived
 * from the readers (region_slide.c). */
typedef struct Slide {
    int64_t unit;               /* indices per position; 0: the loop does not
                                   slide, or not along this result */
    int64_t to;
    int64_t made;               /* the last so many are made in this turn */
    int64_t kept;               /* ... and so many are stored */
} Slide;

struct Node {
    Op op;
    const char *name;           /* the model's own name, or made from op */
    int nin, nout;
    Value **in;                 /* NULL: optional operand left out */
    Value **out;                /* NULL: optional result not wanted */
    void *attr;                 /* Attr_<stem>, see ATTRS */
    Graph *graph;
    Node *prev, *next;          /* schedule order */
    int index;                  /* position, valid after graph_number */
    int64_t scratch;            /* bytes its kernel needs in the arena */
    Buffer *scratch_buf;
    const char *island;         /* why it computes in floats in a quantized
                                   model; NULL: it does not, or unknown */
    bool backward;              /* its kernel writes the last unit first */
    Node **narrow;              /* by level, the last left out: the step as
                                   it is then (widths_attach); NULL: the
                                   same at every width */
    int layer;                  /* with narrow: the layer that decides */
    const Node *whole;          /* of a narrow one: what it is cut from */
    Region *region;             /* innermost loop around it, or NULL */
    signed char walk[REGION_DEPTH];     /* axis of the first result that the
                                   loop of this depth goes along; -1: none,
                                   the same is computed in every turn */
    Slide slide[REGION_DEPTH];  /* valid after graph_number */
};

#define ATTRS(stem, n) ((Attr_##stem *)(n)->attr)

struct Graph {
    Arena *arena;               /* owns everything below */
    Arena *scratch;             /* reset after each pass */
    Diag *diag;
    const char *name;
    int nvalue, capvalue;
    Value **value;
    Node *first, *last;
    int nin, capin, nout, capout;
    Value **in, **out;          /* graph inputs and outputs in order */
    int64_t opset;              /* of the default domain, as imported */
    uint32_t hash[2];           /* of the model file, for the header */
    struct Map *names;          /* value name -> Value */
    int next_id;                /* for made-up names */
    int64_t fold_bytes, fold_work;      /* spent by node_fold */
    struct State *state;        /* --state pairs, a list */
    struct Plan *plan;          /* NULL until planned */
    bool placed;                /* a text says where values are: v->buf */
    const char *source;         /* the model file's name, for the header */
    const char *after;          /* the last pass that ran; NULL: none */
    int64_t model_order_bound;  /* Plan.lower_bound of the model's own order
                                   of steps; 0: not compared with another */
    int nlevel, nlayer;         /* widths to choose from at run time, and
                                   layers that have them; 0: none */
    int64_t whole_arena;        /* what it takes without the loops that the
                                   compiler made; 0: it made none */
    bool overlap;               /* results may lie over operands that die
                                   with them, as far as kernels allow */
    int64_t order_bound;        /* no order of steps needs less, as proved by
                                   search; 0: not searched */
};

/* A graph input and output that are one persistent buffer (--state). */
typedef struct State {
    Value *in, *out;
    void *data;                 /* the interpreter's copy; NULL: all zero */
    struct State *next;
} State;

/* graph.c: the only code that edits a graph */

Graph *graph_new(Arena *arena, Arena *scratch, Diag *diag);
/* name NULL or taken: a fresh one is made from the hint */
Value *graph_value(Graph *g, const char *name, Type t);
/* data is not copied: it must live as long as the graph */
Value *graph_const(Graph *g, const char *name, Type t, const void *data);
Value *graph_const_ints(Graph *g, const char *name, int n, const int64_t *v);
Value *graph_const_scalar(Graph *g, const char *name, DType dt, double x);
void graph_add_input(Graph *g, Value *v);
void graph_add_output(Graph *g, Value *v);
/* a node with attributes at their defaults, not yet in the list; nout fresh
 * values of unknown type, named after `name`, are its outputs */
Node *node_new(Graph *g, Op op, const char *name, int nin, Value **in,
               int nout);
void graph_append(Graph *g, Node *n);
void graph_insert(Graph *g, Node *before, Node *n);
void graph_remove(Graph *g, Node *n);   /* its outputs must be unused */
void node_move(Node *n, Node *before);
void node_set_input(Node *n, int i, Value *v);
void node_set_output(Node *n, int i, Value *v); /* v had no maker */
/* all readers of `from`, and the graph's outputs, read `to` instead */
void value_replace(Graph *g, Value *from, Value *to);
/* v becomes a constant; the node that made it loses that output */
void value_set_const(Value *v, const void *data);
void graph_number(Graph *g);            /* node->index, and of regions */
const char *graph_fresh_name(Graph *g, const char *hint);
/* Ids, names, use lists as if the graph were built from its text: what a
 * pass does next cannot depend on what was there before. */
void graph_tidy(Graph *g);
/* A copy with the same ids, which shares constant data and the arenas; g has
 * no plan. */
Graph *graph_clone(const Graph *g);
/* widths.c: layers whose width is chosen at run time (--elastic runtime=).
 * The graph is the widest; constants know what they are at other levels. */

/* The graph at one level per layer, a copy with the same ids and no levels;
 * NULL after a message. */
Graph *graph_at_width(Graph *g, const int *level);
Graph *graph_at_level(Graph *g, int level);     /* the same for all layers */
/* The other way: g's constants learn what they are at other levels from
 * graphs that must be node by node the same but for those. False after a
 * message. */
bool graph_join_widths(Graph *g, Graph *const *narrow, int nlayer);
/* node->narrow of every node; with a plan its values lie where the widest
 * ones do. The graphs they are of, by level; NULL after a message. */
Graph **widths_attach(Graph *g);
/* Operand i of a narrow node has the first indices of this one, of the widest
 * step; NULL: it has not, or n is not narrow. */
const Value *whole_operand(const Node *n, int i);
/* The last steps bring every new state to its place; where the state was
 * updated in place they are views, and no code. */
void graph_add_commits(Graph *g);
bool node_is_commit(const Node *n);     /* one of them */
/* The attribute `lean`: 0 the fastest kernel, more: less scratch. */
int node_lean(const Node *n);
void node_set_lean(Node *n, int lean); /* nothing where there is none */
Value *graph_find(Graph *g, const char *name);

static inline Value *node_in(const Node *n, int i)
{
    return i < n->nin ? n->in[i] : 0;
}
static inline Value *node_out(const Node *n, int i)
{
    return i < n->nout ? n->out[i] : 0;
}
static inline const char *value_label(const Value *v)
{
    return v->label ? v->label : v->name;
}
static inline bool value_is_const(const Value *v)
{
    return v && v->data;
}
#define EACH_NODE(n, g) (Node *n = (g)->first; n; n = n->next)
/* with n removable inside the loop */
#define EACH_NODE_SAFE(n, g)                                              \
    (Node *n = (g)->first, *n##_next = n ? n->next : 0; n;                \
     n = n##_next, n##_next = n ? n->next : 0)

/* ops.def: one row per op, one hook per column */

typedef struct Tensor {
    Type type;
    void *data;                 /* dense row-major */
} Tensor;

/* Set n->out[i]->type from inputs and attributes. May read constant inputs
 * (node_in(n, k)->data). When a shape depends on an input that is not
 * constant, infer_declared takes the type the model declares. */
typedef bool InferFn(Graph *g, Node *n);
/* Compute the outputs. in[i] is NULL for an absent operand; out[i]->data has
 * room for the inferred type and is zeroed; scratch is reset afterwards. */
typedef bool EvalFn(const Node *n, const Tensor *const *in,
                    Tensor *const *out, Arena *scratch, Diag *diag);

typedef struct OpInfo {
    const char *name;           /* ONNX's name; internal ones too */
    int min_in, max_in, min_out, max_out;       /* max_in -1: variadic */
    int nattr;
    const AttrInfo *attr;
    int attr_bytes;
    InferFn *infer;
    EvalFn *eval;
    unsigned traits;
} OpInfo;

const OpInfo *op_info(Op op);
const char *op_name(Op op);
Op op_by_name(const char *name);        /* OP_NONE when there is none */
Op op_nearest(const char *name);        /* what was perhaps meant */
bool op_has(Op op, unsigned trait);
void attr_set_defaults(const OpInfo *op, void *attr, Arena *arena);
const AttrInfo *attr_find(const OpInfo *op, const char *name);
bool attr_equal(const OpInfo *op, const void *a, const void *b);
bool attr_field_equal(AttrKind kind, const void *a, const void *b);

/* `node 'name' (Op): message`; returns false */
bool node_error(const Node *n, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Check arity, infer the types of n's outputs; false after a message. */
bool node_infer(Graph *g, Node *n);
/* The same without a message: NULL, or what it would have been. A pass asks
 * before it keeps a node that may be refused. */
const char *node_refusal(Graph *g, Node *n);
/* For data-dependent shapes: keep the declared type of every output, or
 * say that the shape depends on the run-time input `which`. */
bool infer_declared(Node *n, const Value *which);
/* numpy broadcasting of a and b into out; false when they do not fit */
bool type_broadcast(const Type *a, const Type *b, Type *out);
/* attribute or operand axis into 0..rank-1; false after a message */
bool node_axis(const Node *n, int64_t axis, int rank, int *out);
/* reads constant integers (int32 or int64) of an operand; false: not const */
bool value_ints(const Value *v, int max, int64_t *out, int *count);

/* quant.c: metadata of integer values */

Quant *quant_new(Arena *a, float scale, int zero_point);
/* From operands of QuantizeLinear or DequantizeLinear for codes of type t
 * (zero_point may be NULL); NULL: not constant, or not per tensor or axis. */
Quant *quant_of_operands(Arena *a, const Value *scale,
                         const Value *zero_point, int64_t axis,
                         const Type *t);
bool quant_equal(const Quant *a, const Quant *b);       /* may be NULL */
/* Has t codes that q can describe? */
bool quant_fits(const Quant *q, const Type *t);
void quant_print(Buf *b, const Quant *q);       /* @q(0.02, -4) */
/* v->quant of integer inputs and outputs that only DequantizeLinear reads
 * or QuantizeLinear makes */
void quant_mark_boundary(Graph *g);

/* views.c: is result o just bytes of operand 0, and from which byte on? */
bool node_view_shift(const Node *n, int o, int64_t *shift);
/* Is result o of a Slice, Split or Gather indices *from and on of one axis of
 * operand 0, as many as it has, and all of the other axes? */
bool node_part_of(const Node *n, int o, int *axis, int64_t *from);
/* The byte of a Concat's result at which operand k begins, when it is there
 * in one piece; -1: it is not. */
int64_t node_part_place(const Node *n, int k);

/* eval.c: the reference interpreter */

/* Evaluate one node into fresh tensors of `arena`. */
bool node_eval(const Node *n, const Tensor *const *in, Tensor *const *out,
               Arena *scratch, Diag *diag);
/* If every input is constant, make every output constant. */
bool node_fold(Graph *g, Node *n);
/* May it be folded, given what the graph's folds have cost so far? Models
 * come from strangers; what is not folded is computed at run time. */
bool node_fold_affordable(const Graph *g, const Node *n);

typedef void EvalHook(void *user, const Node *n, const Tensor *const *in,
                      Tensor *const *out);
/* Run the whole graph: in[k] for g->in[k]; out[k] is filled for g->out[k]
 * (data in `arena`). The hook, when given, sees every node after it ran. */
bool graph_eval(Graph *g, const Tensor *in, Tensor *out, Arena *arena,
                EvalHook *hook, void *user);

/* verify.c, print.c */

/* Every invariant of a graph; false after a message (a bug of ours). */
bool graph_verify(Graph *g);

/* The newest form of every op: the opset that the text form states. */
enum { OPSET_IR = 28 };

/* ONNX's textual syntax. Constants go in line when inline_weights or when
 * small; otherwise as @"side_file:offset,length" into `side`; without a side
 * file they are left out, and what is printed is for people only. */
typedef struct PrintOptions {
    bool inline_weights;
    const char *side_file;      /* name to refer to, or NULL */
    Buf *side;                  /* bytes of the side file, or NULL */
    bool plan;                  /* memory annotations too */
} PrintOptions;
void graph_print(Buf *b, Graph *g, const PrintOptions *opt);
void node_print(Buf *b, const Node *n);

/* Costs */

int64_t node_macs(const Node *n);       /* multiply-accumulates of one run */
/* elements of operand i that one run reads, each as often as it is needed */
int64_t node_reads(const Node *n, int i);

/* The plan: who lives where */

/* Buffers are what the planner places. Several values may share one: views,
 * and an output that overwrites a dying input element by element. */
struct Buffer {
    int id;
    const char *name;           /* of its first value */
    int64_t bytes;
    int align;
    int first, last;            /* live range in node indices, inclusive;
                                   graph inputs start at -1 */
    int pool;                   /* which memory of the plan */
    int64_t offset;             /* in its pool; -1 until placed */
    bool is_state, is_scratch;
};

/* What is proved of the arena in one class of plans, the certificate's row.
 * The witness: these bytes, state included, are live at one step in every
 * plan of the class; where a search proved more, `bound` is above them. */
typedef struct Held {
    const char *name;
    int64_t bytes;              /* rounded to the alignment */
} Held;

typedef enum BoundClass {
    BOUND_ORDER, BOUND_ORDER_OVERLAP,   /* of the steps as they are */
    BOUND_ANY, BOUND_ANY_OVERLAP,       /* of all orders */
} BoundClass;

typedef struct Bound {
    BoundClass is;
    const char *name;           /* of the class */
    const char *proof;          /* in words */
    int64_t bound, plan;        /* bytes; plan: the smallest known */
    int step, nheld;            /* step -1: before the first one */
    const Held *held;           /* the largest first */
} Bound;

/* A memory (--pool), fast ones first. Without --pool there is one, the
 * arena, which has no name. */
typedef struct MemPool {
    const char *name;           /* NULL: the arena */
    int64_t limit;              /* what may be used; -1: no limit */
    int64_t bytes;              /* what the plan uses */
    int64_t base;               /* bytes of the pools before it */
} MemPool;

typedef struct Plan {
    int nbuf, capbuf;
    Buffer **buf;
    int npool;                  /* at least 1 */
    MemPool *pool;
    int64_t arena_bytes;        /* of all pools; state region included */
    int64_t apart_bytes;        /* what it would be without overlaps */
    int64_t state_bytes;        /* at the start of ... */
    int state_pool;             /* ... this pool */
    int64_t state_at, state_end;        /* where several models share the
                                   arena: this one's state begins at, all
                                   end at; else 0 and state_bytes */
    bool is_shared;             /* arena_bytes may be another model's need */
    int64_t reserve;            /* of them not states: the weights' address
                                   and the widths (reserved_bytes) */
    int64_t lower_bound;        /* of the class that this plan is of */
    int peak_step;              /* node index: most bytes live */
    int64_t peak_bytes;         /* of this order without overlaps: most bytes
                                   live, rounded, state included */
    int nsteps;
    int nbound;
    Bound bounds[3];            /* from the narrowest class to the widest */
} Plan;

/* live.c: does y, a result of its node, lie over bytes of operand k's buffer,
 * which dies there? Of several operands in a buffer the first. */
bool value_lies_over(const Value *y, int k);
/* Bytes of a pool (-1: of all) that are live, by step + 1: [0] while inputs
 * are handed over, [nsteps + 1] while outputs are read. What lies over dying
 * bytes is counted once. */
int64_t *plan_live(const Graph *g, int pool, Arena *arena);
/* The first step at which most of them are; -1: the inputs. */
int plan_peak_step(const Graph *g, int pool, Arena *arena);

/* A row's plan is more than `percent` above its bound. */
bool bound_gap_exceeds(const Bound *b, double percent);
/* The certificate's row of a class; NULL: nothing is claimed. */
const Bound *plan_bound(const Plan *p, BoundClass is);
/* The row of the class that the plan itself is of, or NULL. */
const Bound *plan_own_bound(const Plan *p);

/* --pool was given. (A plan that a text states has no pool yet.) */
static inline bool plan_has_pools(const Plan *p)
{
    return p->npool > 0 && p->pool[0].name;
}

/* Where v begins when all pools stand one behind the other. */
static inline int64_t buffer_address(const Plan *p, const Buffer *b)
{
    return p->pool[b->pool].base + b->offset;
}

#endif
