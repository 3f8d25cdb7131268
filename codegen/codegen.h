/* codegen.h - what the compiler driver asks of code generation. */
#ifndef MCUFC_CODEGEN_H
#define MCUFC_CODEGEN_H

#include <stdio.h>

#include "../ir/ir.h"
#include "weights.h"

#define MCUFC_VERSION "0.1.0"

enum { ARENA_ALIGN = 8 };

typedef struct CodegenOptions {
    const char *name;           /* C identifier, prefix of every symbol */
    const char *model;          /* file name without folders */
    const char *header;         /* --header: name for the include guard */
    const char *shared;         /* --share-arena: prefix of the arena */
    struct Codegen *with;       /* the file's first model, or NULL */
    const char *target;         /* of targets.def */
    ConstForm form;
    bool selftest;
    const Tensor *golden_in, *golden_out;       /* with selftest */
} CodegenOptions;

/* What the C file turned out to need; for the report and the budgets. */
typedef struct CodegenSizes {
    int64_t weights, tables, code, stack;
} CodegenSizes;

typedef struct Codegen Codegen;

/* Every op that has no emitter, one message each; false when there is one. */
bool codegen_supported(Graph *g);
/* n->scratch, from the kernel's needs (before planning) */
void codegen_scratch(Node *n);
/* Generate into memory (constants stay where they are), then write. */
Codegen *codegen_new(Graph *g, Arena *arena, const CodegenOptions *opt);
CodegenSizes codegen_sizes(const Codegen *cg);
bool codegen_write_c(const Codegen *cg, FILE *out);
bool codegen_write_header(const Codegen *cg, FILE *out);
bool codegen_write_weights(const Codegen *cg, FILE *out);

const Graph *codegen_graph(const Codegen *cg);
/* Names shared with the report. */
const char *codegen_accessor(const Codegen *cg, const Value *v, bool input);
/* the function that says a band of input v is there */
const char *codegen_push(const Codegen *cg, const Value *v);
int64_t codegen_offset(const Codegen *cg, const Value *v);
/* `static` objects for programs: an arena that is called `object` */
void codegen_define_arena(const Codegen *cg, Buf *b, const char *object);
/* C expression of v's first byte, from `a` */
void codegen_address(const Codegen *cg, Buf *b, const Value *v);
const char *codegen_upper(const Codegen *cg);      /* prefix of macros */
bool codegen_has_step(const Node *n);   /* false: a view, no code */
/* any text made a C identifier */
char *c_identifier(Arena *arena, const char *text);

/* report.c, report_json.c, report_html.c */
/* A way to take fewer bytes. */
typedef struct Advice {
    int64_t saves;
    const char *text;
} Advice;

typedef struct ReportInfo {
    const char *target, *model, *name;
    int64_t budget;             /* 0: none */
    Strings options;            /* that shaped the graph */
    const Advice *advice;       /* when a budget is missed */
    int nadvice;
    const Codegen *cg;
    const struct ReportInfo *next;      /* another model in the same arena */
    /* what --quantize has to say: lines, and a JSON object; NULL: nothing */
    const char *quantization, *quantization_json;
    const char *low_rank, *low_rank_json;
    const char *elastic, *elastic_json;
} ReportInfo;
void report_json(Buf *b, const ReportInfo *info);
void report_html(Buf *b, const ReportInfo *info);
void report_text(Buf *b, const ReportInfo *info);

#endif
