/* nest.c - see nest.h. */
#include "nest.h"

#include <string.h>

void nest_init(Nest *l, int rank, const int64_t *n)
{
    memset(l, 0, sizeof *l);
    l->rank = rank;
    for (int i = 0; i < rank; i++)
        l->n[i] = n[i];
}

int nest_strided(Nest *l, int64_t base, const int64_t *stride)
{
    int k = l->nop++;

    l->base[k] = base;
    for (int i = 0; i < l->rank; i++)
        l->stride[k][i] = stride[i];
    return k;
}

int nest_dense(Nest *l)
{
    int64_t stride[NEST_RANK], n = 1;

    for (int i = l->rank - 1; i >= 0; i--) {
        stride[i] = n;
        n *= l->n[i];
    }
    return nest_strided(l, 0, stride);
}

int nest_broadcast(Nest *l, const Type *t)
{
    int64_t own[MAX_RANK], stride[NEST_RANK] = { 0 };
    int shift = l->rank - t->rank;

    type_strides(t, own);
    for (int i = 0; i < t->rank; i++)
        stride[i + shift] = t->dim[i] == 1 ? 0 : own[i];
    return nest_strided(l, 0, stride);
}

static void drop_dim(Nest *l, int d)
{
    l->rank--;
    for (int i = d; i < l->rank; i++) {
        l->n[i] = l->n[i + 1];
        for (int k = 0; k < l->nop; k++)
            l->stride[k][i] = l->stride[k][i + 1];
    }
}

/* dims d and d + 1 are one walk for every operand */
static bool mergeable(const Nest *l, int d)
{
    for (int k = 0; k < l->nop; k++)
        if (l->stride[k][d] != l->stride[k][d + 1] * l->n[d + 1])
            return false;
    return true;
}

static void make_empty(Nest *l)
{
    l->rank = 1;
    l->n[0] = 0;
    for (int k = 0; k < l->nop; k++) {
        l->stride[k][0] = 0;
        l->base[k] = 0;
    }
}

void nest_collapse(Nest *l)
{
    for (int d = 0; d < l->rank; d++)
        if (l->n[d] == 0) {
            make_empty(l);
            return;
        }
    for (int d = l->rank - 1; d >= 0; d--)
        if (l->n[d] == 1)
            drop_dim(l, d);
    for (int d = l->rank - 2; d >= 0; d--)
        if (mergeable(l, d)) {
            l->n[d + 1] *= l->n[d];
            drop_dim(l, d);
        }
    if (l->rank == 0) {
        l->rank = 1;
        l->n[0] = 1;
        for (int k = 0; k < l->nop; k++)
            l->stride[k][0] = 0;
    }
}

/* next index of the outer dims; false after the last */
static bool advance(const Nest *l, int64_t *i, int64_t *at)
{
    for (int d = l->rank - 2; d >= 0; d--) {
        for (int k = 0; k < l->nop; k++)
            at[k] += l->stride[k][d];
        if (++i[d] < l->n[d])
            return true;
        for (int k = 0; k < l->nop; k++)
            at[k] -= l->stride[k][d] * l->n[d];
        i[d] = 0;
    }
    return false;
}

void nest_walk(const Nest *l, NestRow *f, void *user)
{
    int64_t i[NEST_RANK] = { 0 }, at[NEST_OPS];

    for (int d = 0; d < l->rank; d++)
        if (l->n[d] == 0)
            return;
    memcpy(at, l->base, sizeof at);
    do
        f(user, l, at);
    while (advance(l, i, at));
}
