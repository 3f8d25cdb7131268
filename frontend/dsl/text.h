/* text.h - what the files of dsl/ share.
 *
 * A text goes through four steps: lex.l cuts the whole of it into tokens,
 * stream.c hands them out (`const` and `repeat` happen there, so that the
 * grammar never sees them), parse.y knows the syntax, and make.c and
 * tensor.c build the Model. Nothing here knows an operator.
 */
#ifndef MCUFC_TEXT_H
#define MCUFC_TEXT_H

#include "../../support/file.h"
#include "../../support/map.h"
#include "../../support/number.h"
#include "../model.h"

enum {
    MAX_ERRORS = 20,            /* reported in one run */
    MAX_TEXT = 1 << 30,         /* bytes */
    MAX_REPEATED = 4 << 20,     /* tokens that `repeat` makes in all */
    MAX_LOOPS = 16,             /* nested repeats */
    MAX_BODIES = 32,            /* nested graphs */
};

typedef struct Span { uint32_t start, end; } Span;      /* bytes */

/* Texts have millions of them, and most of reading a text is memory. */
typedef struct Token {
    uint32_t start;
    uint32_t kind : 10;         /* of parse.y */
    uint32_t first : 1;         /* on its line */
    uint32_t bytes : 21;        /* LONG_TOKEN: see Text.longer */
} Token;

enum { LONG_TOKEN = (1 << 21) - 1 };

/* A number, or a name that may be a constant's. */
typedef struct Literal {
    const char *name;           /* NULL for a plain number */
    bool is_string;             /* name is what stood in quotes */
    bool has_value;
    Number num;
    Span at;
} Literal;

typedef struct Vec { int n, cap; void **v; } Vec;

typedef struct Loop {           /* of a repeat that is running */
    const char *var;
    int first, end;             /* tokens of the body: [first, end) */
    int64_t i, last;
} Loop;

typedef struct Text {
    Arena *arena;               /* of the model */
    Arena *scratch;             /* gone when the text is read */
    Diag *diag;
    const char *path;
    char *s;                    /* the text, two zeros behind it */
    size_t n;
    Token **token;              /* in blocks; the last one is END */
    int ntoken, nblock, capblock;
    Span *longer;               /* of tokens of LONG_TOKEN bytes and more */
    int nlonger, caplonger;
    uint32_t place;             /* a byte that was asked for, ... */
    int place_line;             /* ... and its line; from 1 */
    int pos, last;              /* next token; the one handed out last */
    Loop loop[MAX_LOOPS];
    int nloop;
    int64_t repeated;
    bool computed;              /* the token last handed out is `value` */
    Number value;
    Map constant;               /* name -> Literal */
    bool recover, fatal;        /* after an error; no point in going on */
    int resynced;               /* token where recovery went on */
    int unit;                   /* the token that the unit begins with */
    int errors;
    uint32_t error_at[MAX_ERRORS];      /* one message for one place */
    int depth;                  /* of nested graphs */
    Vec *pending;               /* Constant nodes for operands */
    int npending;               /* made so far, for their names */
    Map file;                   /* of weights: name -> WeightFile */
    const char *folder;         /* real path; NULL until needed */
    int64_t made;               /* bytes of @zeros and @random */
    Model *model;
} Text;

enum { BLOCK = 4096 };          /* tokens in one piece of memory */

/* Token i; behind the last one it is the last one. */
static inline const Token *tok(const Text *t, int i)
{
    i = i < t->ntoken ? i : t->ntoken - 1;
    return &t->token[i / BLOCK][i % BLOCK];
}

uint32_t token_end(const Text *t, const Token *k);
static inline Span token_span(const Text *t, const Token *k)
{
    return (Span){ k->start, token_end(t, k) };
}

/* Messages: file:line:column, the line, a caret */

bool text_error(Text *t, Span at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void text_hint(Text *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void text_place(Text *t, uint32_t at, int *line, int *column);

/* lex.l */

bool text_tokens(Text *t);      /* false after a message */

/* stream.c, expr.c */

int stream_next(Text *t, Span *at);     /* kind; its token is t->last */
/* recover.c: after a syntax error; the token that is handed over then */
void stream_recover(Text *t);
int stream_resync(Text *t, Span *at);
/* The number that a constant or a loop variable stands for, or NULL. */
const Number *constant_find(Text *t, const char *name, size_t n);
/* An arithmetic expression at *s; false after a message. *s is behind it. */
bool expr_eval(Text *t, const char **s, const char *end, Number *out);
/* s[0..n) with escapes and ${...} replaced; "" after a message */
const char *text_string(Text *t, Span at, const char *s, size_t n);
/* the same for what is used as a name: one printable line */
const char *text_checked(Text *t, Span at, const char *name);

/* tensor.c, weights.c */

typedef struct Body {           /* what stands behind the `=` of a tensor */
    enum { BODY_DATA, BODY_LIST, BODY_FILE, BODY_RULE } kind;
    Span at;
    Vec *list;                  /* LIST: Literals; RULE: its arguments */
    const char *name;           /* FILE: reference; RULE: zeros, random */
} Body;

bool tensor_fill(Text *t, ModelTensor *m, const Body *b);
/* the elements of a body without a type: how many there are, or -1 after a
 * message */
int64_t body_elements(Text *t, const Body *b, DType dt, void **data);
/* why `n` elements cannot be converted is said at their place */
bool elements_parse(Text *t, DType dt, const char *s, const char *end,
                    void *data, int64_t n);
bool element_set(Text *t, DType dt, const Number *x, Span at, void *data,
                 int64_t i);
bool weights_find(Text *t, ModelTensor *m, const Body *b);
bool weights_make(Text *t, ModelTensor *m, const Body *b);

/* make.c, model.c: what the grammar builds */

typedef struct Param {          /* of a signature, or a declaration */
    ModelInfo info;
    Span at;
    bool typed;
    ModelTensor *init;          /* its value, when one is given */
} Param;

typedef struct Unit {           /* a graph or function with its header */
    Vec *header, *attrs, *in, *out, *infos, *nodes;
    const char *name;
    Span at, header_at;
} Unit;

typedef struct Pair {           /* key : value, of headers */
    const char *key, *s;        /* s: a string, or NULL */
    int64_t i;
    Vec *list;                  /* of Pairs, or NULL */
    Span at;
} Pair;

typedef struct QuantText {      /* @q(scale, zero_point, axis) */
    Span at;
    const Body *scale, *zero_point;     /* RULE: one number; 2nd may be NULL */
    const Literal *axis;        /* NULL: none */
} QuantText;

typedef struct OpName { const char *domain, *op; } OpName;

void *text_new(Text *t, size_t bytes);
Vec *vec_add(Text *t, Vec *v, void *item);      /* v NULL: a new one */
/* an array of the structs that v points to, in the model's arena */
void *vec_flatten(Text *t, const Vec *v, size_t size, int *count);
ModelAttr *attr_new(Text *t, ModelAttrKind kind);
void body_open(Text *t, Span at, Vec **pending);
void body_close(Text *t, Vec *pending);

Literal *make_literal(Text *t, int kind, Span at);
const char *literal_name(const Literal *l);
bool literal_int(Text *t, const Literal *l, int64_t *out);
bool literal_float(Text *t, const Literal *l, float *out);
ModelInfo *make_type(Text *t, const char *name, Vec *dims, int rank);
/* quant.c */
ModelInfo *type_quantize(Text *t, ModelInfo *type, const QuantText *q);
ModelInfo *make_container(Text *t, const char *name);
ModelDim *make_dim(Text *t, const Literal *l, const char *symbol);
Param *make_param(Text *t, const ModelInfo *type, const char *name, Span at,
                  const Body *body);
int64_t *make_places(Text *t, const Vec *list);
ModelAttr *make_attr(Text *t, const char *name, const char *kind,
                     ModelAttr *value, Span at);
ModelAttr *make_number_attr(Text *t, const Literal *l);
ModelAttr *make_list_attr(Text *t, const Vec *list, Span at);
ModelAttr *make_string_attr(Text *t, const char *s);
ModelAttr *make_tensor_attr(Text *t, const ModelInfo *type, const char *name,
                            const Body *body, Span at);
ModelAttr *make_graph_attr(Text *t, const Unit *u);
ModelAttr *make_ref_attr(Text *t, const char *name);
ModelAttr *make_type_attr(Text *t);
ModelNode *make_node(Text *t, const char *label, const Vec *out,
                     const OpName *op, const char *overload, const Vec *attr,
                     const Vec *in, Span at);
/* nodes with a region around them */
Vec *make_region(Text *t, const char *name, const char *what,
                 const Vec *list, Vec *nodes, Span at);
bool node_annotate(Text *t, ModelNode *n, const char *what, const Vec *list,
                   Span at);
/* An operand that is written as a constant: its name. */
const char *make_operand(Text *t, const ModelInfo *type, const Body *body,
                         Span at);
void make_model(Text *t, Vec *units);

#endif
