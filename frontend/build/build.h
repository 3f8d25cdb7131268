/* build.h - what the files of build/ share. A file's node becomes a Draft:
 * operands looked up, references to a function's attributes resolved. Then
 * the table expand.def may replace it by other ops, or opset.def rewrites an
 * old form, and node_make turns what is left into a Node with typed
 * attributes, infers it and folds it. Everything that is made up on the way
 * goes through the b_ functions, which do the same.
 *
 * After a failure b->failed is set and the b_ functions return a harmless
 * value, so that an expansion needs no error paths of its own.
 */
#ifndef MCUFC_BUILD_H
#define MCUFC_BUILD_H

#include "../model.h"

#include "../../support/map.h"

/* Bounds for hostile models: nested graphs and calls, nodes in all. */
enum { MAX_DEPTH = 32, MAX_NODES = 100000 };
enum { MAX_BROKEN = 20 };       /* nodes whose mistakes one run reports */
enum { OPSET_NEWEST = OPSET_IR };
/* Constants of so many bytes are folded while building, larger ones when
 * they have not grown by more. */
enum { FOLD_ALWAYS = 1 << 20, FOLD_GROWTH = 8 };
/* Tables that expansions make: rows at most. */
enum { MAX_TABLE = 1 << 20 };

/* Names of one graph or function body. */
typedef struct Scope {
    struct Scope *up;           /* enclosing graph; NULL for functions */
    struct Scope *caller;       /* of a function: where it was called */
    Map value;                  /* name in the file -> Value */
    Map info;                   /* name -> ModelInfo, declared types */
    Map problem;                /* tensors without a value: name -> why */
    const ModelOpset *opset;
    int nopset;
    const ModelFunction *fn;    /* whose body this is, or NULL */
    const ModelAttr *attr;      /* of the call of that function */
    int nattr;
    const char *prefix;         /* of node names: "" or "call/" */
} Scope;

typedef struct Symbol {         /* a symbolic dimension and its number */
    const char *name;
    int64_t value;              /* -1: not bound */
    const char *by;             /* what bound it, for messages */
    struct Symbol *next;
} Symbol;

typedef struct Draft Draft;

typedef struct Build {
    const Model *m;
    const BuildOptions *opt;
    Graph *g;
    Scope *scope;
    int depth;                  /* of nested bodies */
    int64_t visited;            /* nodes of the file, calls counted anew */
    int64_t made;               /* nodes of the graph, folded ones too */
    Map function;               /* key of function_key -> ModelFunction */
    Map symbol;                 /* name -> Symbol */
    Symbol *symbols;            /* in order of appearance */
    ModelInfo *out;             /* the graph's outputs, bindings applied */
    const int *order;           /* of the main graph's nodes */
    int norder, at;             /* and where the walk is */
    int64_t search;             /* steps spent in hints.c */
    Draft *draft;               /* being built: names what is made up */
    int first_id;               /* values from here on belong to it */
    bool failed;
    bool as_is;                 /* a text that we printed: no upgrades,
                                   expansions, folding, pruning */
    Value *poison;              /* what b_ functions return after failure */
    Value absent;               /* a function's parameter that is left out */
    Value reserved;             /* in graph->names: a name of the file */
    Value broken;               /* result of a node of the main graph that
                                   has failed */
    int nbroken;                /* of them, and names that nobody defines */
} Build;

struct Draft {
    const ModelNode *m;
    const char *name, *op;
    Op id;                      /* OP_NONE when it is not one of ours */
    int64_t version;            /* of its domain's opset */
    int nin, nout;
    Value **in;                 /* NULL: left out */
    Value **out;                /* filled by whoever builds the node */
    bool *want;                 /* by output: it has a name */
    int nattr;
    ModelAttr *attr;            /* resolved; name NULL once it was taken */
    Type *declared;             /* by output; rank -1 when not given */
    const Quant **quant;        /* by output: of its declared type, or NULL */
    bool computes, moves;       /* with @q operands: on reals, on codes */
    bool done;                  /* out[] is complete */
};

static inline Value *draft_in(const Draft *d, int i)
{
    return i < d->nin ? d->in[i] : NULL;
}

/* A sequence is known element by element while building. Its Value is no
 * value of the graph: only the ops in expand_seq.c and bodies take it. */
enum { ID_RESERVED = -1, ID_ABSENT = -2, ID_SEQUENCE = -3, ID_BROKEN = -4 };

typedef struct Sequence {
    Value value;                /* first: id is ID_SEQUENCE */
    int n;
    Value **item;
} Sequence;

static inline bool value_is_sequence(const Value *v)
{
    return v && v->id == ID_SEQUENCE;
}

/* scope.c: names */

Scope *scope_push(Build *b, Scope *up, const ModelOpset *opset, int nopset);
Value *scope_find(const Scope *s, const char *name);
const char *scope_missing(const Scope *s, const char *name);
const ModelInfo *scope_info(const Scope *s, const char *name);
void scope_bind(Scope *s, const char *name, Value *v);
int64_t scope_opset(const Scope *s, const char *domain);    /* 0: none */
const char *domain_canonical(const char *domain);
bool domain_is(const char *domain, const char *canonical);
/* v, made up while building, gets the name that the file gives it */
void value_rename(Build *b, Value *v, const char *name);

/* inputs.c, outputs.c: the boundary of the graph */

bool inputs_build(Build *b);
bool outputs_check(const Build *b);     /* --outputs against the model */
bool outputs_build(Build *b);
bool output_wanted(const Build *b, const char *name);
/* Declared type with symbols replaced; false when not fully known. */
bool info_type(Build *b, const ModelInfo *info, Type *t);
void graph_prune(Graph *g);             /* drop what no output needs */

/* dims.c: symbolic dimensions */

Symbol *symbol_get(Build *b, const char *name);
void symbol_collect(Build *b, const char *name);    /* and what it names */
int64_t symbol_value(Build *b, const char *name);   /* -1: none */

/* hints.c */

/* dims of a value of the main graph, from an output made of it */
bool shape_hint(Build *b, const char *name, Type *t);

/* order.c: which nodes, in which order */

/* Indices of nodes in an order that defines names before their use: all of
 * the graph, or with `need` only what those names depend on. */
bool nodes_order(Build *b, const ModelNode *node, int n, const char **need,
                 int nneed, int **order, int *count);

/* walk.c: nodes, functions, subgraphs */

bool walk_nodes(Build *b, const ModelNode *node, const int *order, int n);
/* The error has been said; whoever reads a result says nothing. */
void node_broken(Build *b, const ModelNode *n);
bool walk_main(Build *b, const ModelNode *node, const int *order, int n);
bool constants_bind(Build *b, const ModelGraph *mg);
void declare_infos(Build *b, const ModelInfo *info, int n);
Value *tensor_const(Build *b, const ModelTensor *t, const char *name);
void functions_map(const Model *m, Arena *a, Map *map);
const ModelFunction *function_find(const Map *map, Arena *a,
                                   const ModelNode *n);
bool function_inline(Build *b, Draft *d, const ModelFunction *f);
/* The body of a branch or of one turn of a loop; out[i] for each of its
 * outputs. `tag` becomes part of the names in it. */
bool walk_body(Build *b, const ModelGraph *mg, const char *tag, Value **in,
               int nin, Value **out, int nout);

/* node.c: one node */

bool draft_error(Build *b, const Draft *d, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool model_node_error(const Build *b, const ModelNode *n, const char *fmt,
                      ...) __attribute__((format(printf, 3, 4)));
const char *model_node_name(Arena *a, const ModelNode *n);
bool node_build(Build *b, const ModelNode *mn);
/* n becomes part of the graph: infer, fold; out[i] are its results. */
bool node_finish(Build *b, Node *n, Value **out);

/* attrs.c: attributes of a draft */

const ModelAttr *draft_attr(const Draft *d, const char *name);
/* These look up, check the kind and take the attribute off the draft. */
bool take_int(Build *b, Draft *d, const char *name, int64_t *out);
bool take_float(Build *b, Draft *d, const char *name, float *out);
bool take_string(Build *b, Draft *d, const char *name, const char **out);
bool take_ints(Build *b, Draft *d, const char *name, Ints *out);
bool take_floats(Build *b, Draft *d, const char *name, Floats *out);
bool take_tensor(Build *b, Draft *d, const char *name, ModelTensor **out);
bool take_graph(Build *b, Draft *d, const char *name, ModelGraph **out);
void drop_attr(Draft *d, const char *name);
bool attrs_known(Build *b, const Draft *d);     /* nothing is left over */
bool attrs_fill(Build *b, const Draft *d, Node *n);

/* upgrade.c, expand_*.c: opset.def and expand.def */

typedef bool UpgradeFn(Build *b, Draft *d);

bool draft_upgrade(Build *b, Draft *d);
UpgradeFn *expand_find(const char *domain, const char *op);
const char *refuse_find(const char *domain, const char *op);
const char *const *expand_list(int i);          /* {domain, op}, or NULL */
const char *const *refuse_list(int i);          /* {domain, op, why} */
void draft_set_in(Build *b, Draft *d, int i, Value *v);
/* Operand and result counts; the first `imin` operands must be there. */
bool draft_arity(Build *b, const Draft *d, int imin, int imax, int omax);

#define EXPAND(domain, op, fn) UpgradeFn expand_##fn;
#define REFUSE(domain, op, why)
#include "expand.def"
#undef EXPAND
#undef REFUSE
#define UPGRADE(op, first, fn) UpgradeFn up_##fn;
#include "opset.def"
#undef UPGRADE

/* quantized.c: types with @q(...) */

bool quant_operands(Build *b, Draft *d);        /* before a node is built */
bool quant_results(Build *b, Draft *d);         /* behind it */
bool quant_set(Build *b, Value *v, const Quant *q);     /* q may be NULL */
void quant_forget_inner(Graph *g);

/* facts.c: what a printed text says about its graph */

bool facts_build(Build *b);     /* states, the plan; after the nodes */
bool facts_region(Build *b, const ModelNode *mn, Node *n);
void facts_places(Build *b, const ModelNode *mn, Node *n);

/* support.c: what there is */

bool node_known(const ModelNode *n, int64_t version, Buf *why);

/* expand_seq.c */

bool takes_sequences(const char *op);

/* builder.c: nodes that expansions make */

Node *b_node(Build *b, Op op, int nin, Value **in, int nout);
Value *b_end(Build *b, Node *n);        /* its first result */
/* the same for the node that makes the draft's first result: its declared
 * type counts where the shape depends on data */
Value *b_declared(Build *b, const Draft *d, Node *n);
void b_end_all(Build *b, Node *n, Value **out);
/* one result; the draft's remaining attributes go into the node */
Node *b_attrs_node(Build *b, Draft *d, Op op, int nin, Value **in);
Value *b_attrs(Build *b, Draft *d, Op op, int nin, Value **in);
Value *b_op1(Build *b, Op op, Value *x);
Value *b_op2(Build *b, Op op, Value *x, Value *y);
Value *b_op3(Build *b, Op op, Value *x, Value *y, Value *z);
Value *b_ints(Build *b, int n, const int64_t *v);
Value *b_int(Build *b, int64_t v);      /* vector of one */
Value *b_scalar(Build *b, DType dt, double x);
Value *b_like(Build *b, Value *x, double c);    /* scalar of x's dtype */
Value *b_cast(Build *b, Value *x, DType to);
Value *b_reshape(Build *b, Value *x, int rank, const int64_t *dim);
Value *b_transpose(Build *b, Value *x, const int64_t *perm);
Value *b_slice(Build *b, Value *x, int axis, int64_t from, int64_t to);
Value *b_concat(Build *b, int axis, int n, Value **v);
Value *b_reduce(Build *b, Op op, Value *x, int n, const int64_t *axes,
                bool keep);

#endif
