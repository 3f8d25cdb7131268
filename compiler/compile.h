/* compile.h - one run of the compiler. */
#ifndef MCUFC_COMPILE_H
#define MCUFC_COMPILE_H

#include "../codegen/codegen.h"
#include "../frontend/model.h"
#include "../compress/compress.h"
#include "../compress/elastic.h"
#include "../passes/passes.h"
#include "../ptq/ptq.h"
#include "options.h"

typedef struct Compile {
    const Options *opt;
    Diag *diag;
    Arena *arena, *scratch;
    Model model;
    BuildOptions build;
    Graph *g;
    const char *name;           /* prefix of symbols */
    int npool;                  /* --pool: names and limits; 0: one arena */
    const MemPool *pool;
    Advice *advice;             /* budget_check's, when one is missed */
    int nadvice;
    struct Proof *proof;        /* --prove, or NULL */
    Graph *quantized;           /* --quantize: the Q/DQ graph, or NULL */
    PtqReport ptq;              /* what it took */
    Graph *compressed;          /* the graph after --elastic and
                                   --low-rank, or NULL */
    const ElasticOptions *levels;       /* --elastic runtime=, or NULL */
    const int *width;           /* --width: a level per layer, or NULL */
    bool is_fixed;              /* the model has this width alone */
    LowRankReport low_rank;
    ElasticReport elastic;
} Compile;

/* The model as a fresh graph, before any pass; NULL after a message. */
Graph *build_graph(Compile *c);
/* What --run, --verify and --prove compare with: the same with quantized
 * arithmetic in integers, as the pass `quantize` defines it. */
Graph *reference_graph(Compile *c);
bool make_reference(Compile *c, Graph *g);
Io io_wanted(const Options *o);
/* Written aside and renamed: never half a file. */
typedef bool WriteFn(const void *what, FILE *out);
bool write_file(Compile *c, const char *path, WriteFn *fn, const void *what);
bool write_buf(const void *what, FILE *out);    /* a WriteFn of a Buf */
bool has_suffix(const char *path, const char *suffix);
bool parse_pools(Compile *c);
/* Everything a command line asks for; returns the exit code. */
int compile_run(Compile *c);

/* quantize.c: --quantize with --calib; NULL after a message. The first call
 * calibrates, later ones return copies of the same graph. */
Graph *quantize_graph(Compile *c, Graph *g);
void quantize_report(Compile *c, ReportInfo *info);
/* compile.c: runs all passes on g; 0 after a message */
int64_t arena_of(Compile *c, Graph *g);
/* elastic.c: --elastic; false after a message */
bool elastic_apply(Compile *c, Graph *g);
/* g with widths to choose from, where it has been asked for */
Graph *elastic_runtime(Compile *c, Graph *g);
bool width_apply(Compile *c, const Graph *g);    /* --width */
/* compress.c: --elastic and --low-rank; as quantize_graph */
Graph *compress_graph(Compile *c, Graph *g);
void compress_report(Compile *c, ReportInfo *info);
/* load, build and optimize; an exit code */
int compile_graph(Compile *c);
/* C of a planned graph; `shared`: prefix of the arena that the file's first
 * model, `with` (NULL: this one), shares; NULL after a message */
Codegen *generate(Compile *c, const char *shared, Codegen *with);
/* -o, --header, --weights-file */
bool write_code(Compile *c, const Codegen *cg);
/* --report, of n models in one arena */
bool write_report(Compile *c, Codegen *const *cg, int n);
/* share.c: --share-arena */
int share_run(Compile *c);

/* boundary.c: --input-norm, --state (after build, before the passes) */
bool boundary_apply(Compile *c);
/* run.c: --run */
int run_interpreter(Compile *c);
/* verify.c: --verify */
int verify_model(Compile *c, Codegen *cg);
/* budget.c: EXIT_OK or EXIT_BUDGET after the explanation */
int budget_check(Compile *c, const Codegen *cg);
/* prove.c: --prove; the pass that changed the results, or NULL */
bool prove_begin(Compile *c);
void prove_pass(Compile *c, const char *pass, Graph *g);
const char *prove_failed(const Compile *c);
/* the graph before `pass` as mcufc-reproducer.mcu */
void write_reproducer(Compile *c, const char *pass, const PassOptions *opt);
/* plan_file.c: --check-plan */
int check_plan_file(Compile *c);
/* A fresh graph after all passes before this one, with the commits of states;
 * NULL after a message. */
Graph *unplanned_graph(Compile *c, const char *before);
/* Bytes of the arena that c's options give; -1 after a message. */
int64_t planned_bytes(Compile *c);
/* info.c: --info */
int print_info(Compile *c);

#endif
