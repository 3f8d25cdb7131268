/* compile.h - one run of the compiler. */
#ifndef MCUFC_COMPILE_H
#define MCUFC_COMPILE_H

#include "../codegen/codegen.h"
#include "../frontend/model.h"
#include "../passes/passes.h"
#include "options.h"

typedef struct Compile {
    const Options *opt;
    Diag *diag;
    Arena *arena, *scratch;
    Model model;
    Graph *g;
    const char *name;           /* prefix of symbols */
} Compile;

/* Everything a command line asks for; returns the exit code. */
int compile_run(Compile *c);

/* boundary.c: --input-norm, --state (after build, before the passes) */
bool boundary_apply(Compile *c);
/* run.c: --run */
int run_interpreter(Compile *c);
/* verify.c: --verify */
int verify_model(Compile *c, Codegen *cg);
/* budget.c: EXIT_OK or EXIT_BUDGET after the explanation */
int budget_check(Compile *c, const Codegen *cg);
/* info.c: --info */
int print_info(Compile *c);

#endif
