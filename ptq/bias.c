/* bias.c - takes the mean error out of each product's result.
 *
 * Rounding weights and inputs shifts the mean of an output channel by a
 * constant, which the bias can hold (Nagel et al., "Data-free quantization",
 * 2019; here the shift is measured on the samples, so that padding and
 * clipping count as they occur).
 */
#include "ptq_int.h"

#include <string.h>

typedef struct Shift {
    Ptq *p;
    Arena *arena;
    Product **product;          /* by node index */
    double **sum;               /* by product, of one output channel each */
} Shift;

static void add_shift(const Product *r, const Tensor *exact,
                      const Tensor *got, double *sum)
{
    const float *a = exact->data, *b = got->data;
    int64_t n = type_elems(&exact->type), inner = 1;

    if (r->n->op == OP_Conv)
        inner = type_span(&exact->type, 2, exact->type.rank);
    for (int64_t i = 0; i < n; i++)
        sum[i / inner % r->rows] += (double)a[i] - (double)b[i];
}

static void shift_walk(void *user, const Node *n, const Tensor *const *in,
                       Tensor *const *out)
{
    Shift *s = user;
    Product *r = s->product[n->index];
    const Tensor *op[3] = { NULL, NULL, NULL };
    Tensor x, w, *res[1];

    if (!r || r->weight->dt == DT_NONE)
        return;
    x.type = in[0]->type;
    x.data = arena_memdup(s->arena, in[0]->data,
                          (size_t)type_bytes(&x.type));
    grid_round_all(&class_of(s->p, n->in[0])->grid, x.data,
                   type_elems(&x.type));
    w.type = in[1]->type;
    w.data = (void *)(uintptr_t)r->weight->sim->data;
    op[0] = &x;
    op[1] = &w;
    op[2] = in[2];
    if (eval_again(s->p, n, op, res, s->arena))
        add_shift(r, out[0], res[0], s->sum[r - s->p->product]);
    arena_reset(s->arena);
}

static void correct(Ptq *p, const Product *r, const double *sum, int nsample)
{
    Param *b = param_new(p, r->n, 2);
    float *bias = (float *)(uintptr_t)b->sim->data;
    double count = (double)(type_elems(&r->n->out[0]->type) / r->rows) *
                   nsample;

    b->bias = true;
    for (int64_t o = 0; o < r->rows; o++)
        bias[o] += (float)(sum[o] / count);
}

bool bias_correct(Ptq *p)
{
    Shift s = { .p = p, .arena = arena_child(p->arena) };
    Arena *run = arena_child(p->arena);
    int n = samples_for(p, 2, 128), nodes = 0;
    bool ok = true;

    graph_number(p->g);
    for EACH_NODE(node, p->g)
        nodes++;
    s.product = NEW_ARRAY(p->arena, Product *, nodes);
    s.sum = NEW_ARRAY(p->arena, double *, p->nproduct);
    for (int i = 0; i < p->nproduct; i++) {
        s.product[p->product[i].n->index] = &p->product[i];
        s.sum[i] = NEW_ARRAY(p->arena, double, p->product[i].rows);
    }
    for (int k = 0; ok && k < n; k++) {
        ok = run_sample(p, (int)((int64_t)k * p->opt->nsample / n), false,
                        shift_walk, &s, NULL, run);
        arena_reset(run);
    }
    for (int i = 0; ok && i < p->nproduct; i++)
        if (p->product[i].weight->dt != DT_NONE)
            correct(p, &p->product[i], s.sum[i], n);
    arena_free(run);
    arena_free(s.arena);
    return ok;
}
