/* writer.h - what the files share that write the generated C file. */
#ifndef MCUFC_WRITER_H
#define MCUFC_WRITER_H

#include "arena.h"
#include "codegen.h"
#include "emit_state.h"

struct Codegen {
    Graph *g;
    Arena *arena;
    CodegenOptions opt;
    const char *name, *upper;
    Emit e;
    struct EmitState state;
    Buf about;                  /* comment about the model */
    Buf head;                   /* declarations, the same as the header */
    int64_t constants;          /* bytes that this model added */
    Buf steps, run;
    Buf turns;                  /* of the loop that receives bands */
    struct Codegen *next;       /* of the same file: models in one arena */
    const char **in_name, **out_name;           /* C identifiers */
    int64_t local;              /* stack of a step with scratch there */
};

char *upper_case(Arena *arena, const char *s);
/* text for people inside a C comment: no way out of it, one line */
void put_comment_text(Buf *b, const char *s);
ArenaNames codegen_arena_names(const Codegen *cg);

/* steps.c: the functions of step n, and their call in cg->run */
void step_write(Codegen *cg, const Node *n);

/* head.c: into cg->about and cg->head */
void head_comment(Codegen *cg);
void head_write(Codegen *cg);

/* widths.c: declarations, functions; where the layers' widths are, one byte
 * each: how many levels below the widest */
void widths_declare(Buf *b, const Codegen *cg);
void widths_write(const Codegen *cg, Buf *b);
int64_t widths_place(const Graph *g);

#endif
