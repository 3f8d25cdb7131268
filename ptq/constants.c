/* constants.c - constant operands that are not weights: addends and factors
 * of elementwise ops get a grid of their own, int8 where that is as fine as
 * the result needs, else int16; what is moved about (the table of a Gather,
 * a part of a Concat) has the grid of its class.
 */
#include "ptq_int.h"

#include <math.h>
#include <string.h>

void constants_find(Ptq *p)
{
    for EACH_NODE(n, p->g) {
        Role role = node_role(n);
        if (role == ROLE_FLOAT || is_product(n) ||
            (role == ROLE_OP && n->op != OP_Add && n->op != OP_Mul &&
             n->op != OP_FusedMatMul))
            continue;
        for (int i = 0; i < n->nin; i++) {
            Value *v = n->in[i];
            bool moved = role == ROLE_PASS && slot_is_activation(n, i);
            if (!is_float_value(v) || !v->data ||
                v->id >= p->nvalue || (role == ROLE_PASS && !moved) ||
                (moved && !class_of(p, v)))
                continue;
            param_new(p, n, i)->class = moved ? class_of(p, v) : NULL;
        }
    }
}

static void limits(const Value *v, double *lo, double *hi)
{
    const float *x = v->data;
    int64_t n = type_elems(&v->type);

    *lo = *hi = 0;
    for (int64_t i = 0; i < n; i++) {
        *lo = fmin(*lo, (double)x[i]);
        *hi = fmax(*hi, (double)x[i]);
    }
}

/* The step of the result that the constant's own step must not exceed. */
static double step_needed(const Ptq *p, const Param *c)
{
    const Value *x = c->n->in[1 - c->slot], *y = c->n->out[0];
    const Class *cx = class_of(p, x), *cy = class_of(p, y);
    double peak;

    if (!cy && y->nuse == 1)    /* clamped first */
        cy = class_of(p, y->use[0]->out[0]);
    if (!cy || !cx)
        return 0;
    if (c->n->op == OP_Add)
        return (double)cy->grid.scale / 2;
    peak = fmax(-cx->lo, cx->hi);
    return peak > 0 ? (double)cy->grid.scale / 2 / peak : 0;
}

static Grid own_grid(const Ptq *p, const Param *c)
{
    double lo, hi;
    Grid g;

    limits(c->real, &lo, &hi);
    g = grid_for(DT_I8, lo, hi);
    if (c->n->op != OP_FusedMatMul && (double)g.scale > step_needed(p, c))
        g = grid_for(DT_I16, lo, hi);
    return g;
}

void constants_quantize(Ptq *p)
{
    for (int i = 0; i < p->nparam; i++) {
        Param *c = p->param[i];
        const float *x = c->real->data;
        float *sim = (float *)(uintptr_t)c->sim->data;
        int64_t n = type_elems(&c->real->type);
        Grid g;
        if (is_product(c->n))
            continue;
        g = c->class ? c->class->grid : own_grid(p, c);
        c->dt = is_island(p, c->n) ? DT_NONE : g.dt;
        if (c->dt == DT_NONE) {
            memcpy(sim, x, (size_t)type_bytes(&c->real->type));
            continue;
        }
        c->scale = NEW(p->arena, float);
        *c->scale = g.scale;
        c->zp = g.zp;
        c->code = NEW_ARRAY(p->arena, int16_t, n);
        for (int64_t k = 0; k < n; k++) {
            sim[k] = grid_round(&g, x[k]);
            c->code[k] = (int16_t)(rintf(sim[k] / g.scale) + (float)g.zp);
        }
    }
}
