/* plan_file.h - --check-plan: a plan read from a JSON report. */
#ifndef MCUFC_PLAN_FILE_H
#define MCUFC_PLAN_FILE_H

#include "../support/json.h"
#include "compile.h"

/* Buffer `result` lies over the dying bytes of `operand`: ids. */
typedef struct OverPair {
    int result, operand;
} OverPair;

typedef struct PlanFile {
    Compile *c;
    Graph *g;                   /* the model's; its plan is the file's */
    const char *path;
    const Json *root;
    const Json **of;            /* by buffer id: its object */
    OverPair *over;             /* declared between buffers */
    int nover, capover;
    Region **loop;              /* by id, in the file's order of steps */
    int nloop;
} PlanFile;

/* `path: line N: message` when `at` is known; false. */
bool plan_bad(const PlanFile *f, const Json *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A member of the kind that is wanted, or false after a message. */
bool plan_int(const PlanFile *f, const Json *j, const char *key,
              int64_t *out);
bool plan_text(const PlanFile *f, const Json *j, const char *key,
               const char **out);
bool plan_list(const PlanFile *f, const Json *j, const char *key,
               const Json **out);

/* The file's steps become the graph's order, its buffers g->plan. Refused
 * here: what does not fit the model at all. */
bool plan_file_load(PlanFile *f);
/* Everything a plan must keep; says what it does not. */
bool plan_file_rules(PlanFile *f);
/* plan_overlaps.c: overlaps[] says all that is so, and no more; and no two
 * live buffers share a byte without it */
bool plan_overlaps(PlanFile *f);
bool plan_apart(const PlanFile *f);

/* plan_bounds.c: every witness of bounds[] is live and adds up */
bool plan_bounds(const PlanFile *f);
/* plan_loops.c: is every loop in one piece, in the order of the graph now? */
bool plan_loops_whole(const PlanFile *f, const Json *steps);
/* Are the file's loops the graph's? Every value is then stored in the
 * innermost loop that it may be in. */
bool plan_loops(PlanFile *f, const Json *steps);
/* v is stored where its entry says, further out perhaps. */
bool plan_store(const PlanFile *f, const Json *j, Value *v);
/* The steps in which v is needed; -1: the inputs. */
void plan_needed(const Value *v, int *first, int *last);

#endif
