/* low_rank_int.h - what the files of low-rank splitting share. */
#ifndef MCUFC_LOW_RANK_INT_H
#define MCUFC_LOW_RANK_INT_H

#include "compress.h"
#include "svd.h"

enum { MAX_JOINT = 8 };

typedef enum UnitForm {
    UNIT_PRODUCT,               /* x W */
    UNIT_JOINT,                 /* x [W1 W2 ...], readers of the same x */
    UNIT_CHANNELS,              /* convolution: k x k to r, then 1 x 1 */
    UNIT_SPATIAL,               /* k x 1 to r, then 1 x k */
    UNIT_EMBEDDING              /* table of r columns, then a product */
} UnitForm;

/* One matrix that may become two: w[rows, cols] = first[rows, r] x
 * second[r, cols]. Nodes are known by their index, so that a plan made on
 * one graph can be carried out on its clone. */
typedef struct Unit {
    UnitForm form;
    int nnode, node[MAX_JOINT];
    const char *name;
    Op op;
    int64_t rows, cols;
    double *w;
    double *gram;               /* [rows, rows]: sum of x^T x; NULL: none */
    double *l;                  /* its Cholesky factor, L L^T */
    Svd d;                      /* of L^T w, or of w */
    int64_t dense_macs, rank_macs;      /* the latter per unit of rank */
    int64_t rank;               /* what it shall be; 0: as it was */
    const char *why;            /* rank is 0 */
} Unit;

typedef struct Units {
    Arena *arena;               /* of units, matrices, decompositions */
    int n, cap;
    Unit *unit;
} Units;

/* low_rank_find.c: every matrix that can be split, several forms of a node
 * one after the other; matrices filled in. */
void units_find(Graph *g, Units *u);
/* low_rank_gram.c: fills gram where it is affordable */
bool units_gram(Graph *g, Units *u, const LowRankOptions *opt);
/* low_rank_apply.c: splits the nodes of units with a rank */
bool units_apply(Graph *g, const Units *u);

static inline int64_t unit_elems(const Unit *u, int64_t rank)
{
    return rank ? rank * (u->rows + u->cols) : u->rows * u->cols;
}
/* Sum of the squared singular values from `rank` on, over the sum of all. */
double unit_tail(const Unit *u, int64_t rank);
Node **node_table(Graph *g, Arena *arena);      /* nodes by index */

#endif
