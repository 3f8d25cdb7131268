/* passes.h - the pass manager and what passes share. A pass file, its
 * function pass_<name> and its --skip name are the same word. */
#ifndef MCUFC_PASSES_H
#define MCUFC_PASSES_H

#include "../ir/ir.h"

typedef enum Io { IO_DECLARED, IO_QUANTIZED, IO_FLOAT } Io;

/* --optimize: how far to go for a small arena. */
typedef enum Optimize { OPTIMIZE_BALANCED, OPTIMIZE_RAM,
                        OPTIMIZE_SPEED } Optimize;

/* What passes need to know of the command line and of the target. */
typedef struct PassOptions {
    Io io;                      /* --io: the boundary of a quantized model */
    bool keep_inputs;           /* inputs survive the run */
    bool no_reuse;              /* every buffer apart */
    double plan_time;           /* seconds; 0: node limits only */
    int npool;                  /* --pool, fast ones first; 0: one arena */
    const MemPool *pool;        /* names and limits */
    Optimize optimize;
    int64_t budget;             /* --arena, in bytes; 0: none */
    double max_macs;            /* --max-macs, relative; 0: not given */
    bool rows_only;             /* no loops over columns: within `stream` */
    bool estimate;              /* within `plan`: a tenth of its effort */
    const char *stream_input;   /* --stream-input, "": the only input; NULL:
                                   none comes in bands */
    int64_t state_reserve;      /* bytes at the arena's start (8: pointer) */
    const char *skip;           /* comma-separated names */
    const char *only;           /* --passes: exactly these, REQUIRED kept */
    const char *stop;           /* nothing runs after this pass, or NULL */
    const char *before;         /* nor this one or any behind it, or NULL */
    int bisect;                 /* run the first N optional passes; -1 all */
    bool time;                  /* --time-passes */
    bool check;                 /* graph_verify after each pass */
    const char **broke;         /* set to the pass that left a broken graph */
    /* called before planning: n->scratch from the code generator; NULL:
     * they are known */
    void (*scratch)(Node *n);
    /* called after each pass that ran; NULL: nobody listens */
    void (*after)(void *user, const char *pass, Graph *g, bool changed);
    void *user;
} PassOptions;

typedef bool PassFn(Graph *g, const PassOptions *opt, bool *changed);

typedef struct PassInfo {
    const char *name, *help;
    bool required;
    PassFn *run;
} PassInfo;

extern const PassInfo pass_list[];      /* ends with a NULL name */

/* False after a message. */
bool passes_run(Graph *g, const PassOptions *opt);
/* Is the pass in the list of --skip? */
bool pass_skipped(const char *skip, const char *name);
bool passes_known(const char *names, Diag *diag);

#define PASS(name, kind, help) PassFn pass_##name;
#include "passes.def"
#undef PASS

/* share.c: planned graphs, without pools, move into one arena */
bool plans_share(Graph **g, int n);

/* check_plan.c: replays the schedule byte by byte; shares nothing with the
 * planner. False after a message that names byte, values and step. */
bool plan_check(Graph *g);

#endif
