/* model.h - a model as a file says it, before it means anything.
 *
 * Both readers, onnx/ (protobuf) and dsl/ (text), fill these structures;
 * build/ alone turns them into a Graph: opset upgrades, function inlining,
 * dimension binding, inference and folding exist once. Everything lives in
 * the arena that the reader was given; tensor data may point into the file.
 */
#ifndef MCUFC_MODEL_H
#define MCUFC_MODEL_H

#include "../ir/ir.h"
#include "../support/file.h"

typedef struct ModelDim {
    int64_t value;              /* >= 0, or -1: symbolic or unknown */
    const char *symbol;         /* NULL when unknown or a number */
} ModelDim;

typedef struct ModelInfo {      /* ValueInfoProto */
    const char *name;
    DType dt;                   /* DT_NONE: not given */
    int rank;                   /* -1: not given */
    ModelDim *dim;
    const char *problem;        /* not a tensor, unknown dtype...: why */
    const int64_t *at;          /* text: its place in the arena, or NULL */
    const Quant *quant;         /* text: of its codes, or NULL */
} ModelInfo;

typedef struct ModelTensor {
    const char *name;
    Type type;                  /* all dims known */
    const void *data;           /* dense, little endian, int4 packed;
                                   aligned to 8 bytes */
    const char *problem;        /* why it has no data, or NULL: strings... */
    const Quant *quant;         /* text: of its codes, or NULL */
} ModelTensor;

typedef enum ModelAttrKind {
    MA_INT, MA_FLOAT, MA_STRING, MA_TENSOR, MA_GRAPH,
    MA_INTS, MA_FLOATS, MA_STRINGS, MA_OTHER
} ModelAttrKind;

typedef struct ModelGraph ModelGraph;
typedef struct ModelRegion ModelRegion;

typedef struct ModelAttr {
    const char *name;
    ModelAttrKind kind;
    int64_t i;
    float f;
    const char *s;
    ModelTensor *t;
    ModelGraph *g;
    Ints ints;
    Floats floats;
    Strings strings;
    const char *ref;            /* in a function: the caller's attribute */
} ModelAttr;

typedef struct ModelNode {
    const char *name, *op, *domain, *overload;  /* "" when not given */
    int nin, nout, nattr;
    const char **in, **out;     /* "" for an operand that is left out */
    ModelAttr *attr;
    int line, column;           /* in a text file; 0 otherwise */
    const int64_t *at;          /* text: places of the results (-1: none) */
    const int64_t *scratch;     /* text: offset and bytes; NULL: none */
    ModelRegion *region;        /* text: innermost loop around it, or NULL */
    const int64_t *walk;        /* text: axis per loop (-1: none), or NULL */
    int nwalk;
} ModelNode;

struct ModelRegion {            /* text: region NAME @over(extent, tile) */
    ModelRegion *parent;
    const char *name;
    int64_t extent, tile;
    void *made;                 /* the Region that it became */
};

struct ModelGraph {
    const char *name;
    int nnode, ninit, nin, nout, ninfo;
    ModelNode *node;
    ModelTensor *init;
    ModelInfo *in, *out, *info; /* info: types of inner values */
};

typedef struct ModelOpset {
    const char *domain;         /* "" is ai.onnx */
    int64_t version;
} ModelOpset;

typedef struct ModelFunction {
    const char *domain, *name, *overload;
    int nin, nout, nattr, ndefault, nnode, nopset, ninfo;
    const char **in, **out, **attr;
    ModelAttr *fallback;        /* attributes with defaults */
    ModelNode *node;
    ModelOpset *opset;
    ModelInfo *info;
} ModelFunction;

typedef struct ModelState {     /* an input and an output: --state */
    const char *in, *out;
    struct ModelState *next;
} ModelState;

typedef struct ModelWidth {     /* a constant at a narrower level */
    const char *spec;           /* LAYER:LEVEL:NAME */
    const char *at;
    struct ModelWidth *next;
} ModelWidth;

/* What a text that ir/print.c made says about the graph it was. */
typedef struct ModelFacts {
    bool has_opset;
    int64_t opset;              /* of the model that it was; may be 0 */
    const char *source, *after, *plan;
    bool overlap;
    ModelState *state;
    const char *widths;         /* "LEVELS LAYERS", or NULL */
    ModelWidth *width;
} ModelFacts;

typedef struct Model {
    int64_t ir_version;
    int nopset, nfunction;
    ModelOpset *opset;
    ModelGraph graph;
    ModelFunction *function;
    uint32_t hash[2];           /* FNV-1a 64 of the file's bytes */
    ModelFacts facts;           /* of a text */
} Model;

/* onnx/load.c: false after a message. Fails cleanly on anything. */
bool onnx_load(const char *path, Arena *arena, Diag *diag, Model *out);
/* a TensorProto file, as in ONNX's test_data_set_N/input_0.pb */
bool onnx_load_tensor(const char *path, Arena *arena, Diag *diag,
                      ModelTensor *out);
/* dsl/load.c: the text form */
bool text_load(const char *path, Arena *arena, Diag *diag, Model *out);
/* a text in memory; weights are looked for in the folder of path */
bool text_read(const char *path, FileBytes bytes, Arena *arena, Diag *diag,
               Model *out);
/* onnx/save.c: write a graph as an ONNX file */
bool onnx_save(Graph *g, Buf *out);

/* build/: --dim bindings; key is a symbol, or "input:axis" */
typedef struct DimBinding {
    const char *key;
    int64_t value;
    bool used;
    struct DimBinding *next;
} DimBinding;

typedef struct BuildOptions {
    DimBinding *dims;
    Strings outputs;            /* --outputs: n 0 means all */
} BuildOptions;

/* Every node that cannot be compiled, one line each; the count. */
int model_unsupported(const Model *m, Arena *arena, Buf *lines);
/* doc/ops.md: what is compiled, replaced by other ops, refused */
void model_ops_doc(Buf *b);
bool model_build(const Model *m, const BuildOptions *opt, Graph *g);

#endif
