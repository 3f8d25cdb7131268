/* weights.c - constant weights become int8: symmetric, one scale per output
 * channel. The scale is the one of least error in the product's result: each
 * weight's error counts as much as the square of the input that it meets.
 */
#include "ptq_int.h"

#include <math.h>
#include <string.h>

int64_t product_channel(const Product *r, int64_t o, int64_t k)
{
    return o / (r->rows / r->groups) * (r->channels / r->groups) +
           k / r->span;
}

Param *param_new(Ptq *p, Node *n, int slot)
{
    Param *c = NEW(p->arena, Param);

    c->n = n;
    c->slot = slot;
    c->real = n->in[slot];
    c->sim = graph_const(p->g, c->real->name, c->real->type,
                         arena_memdup(p->arena, c->real->data,
                                      (size_t)type_bytes(&c->real->type)));
    c->axis = -1;
    c->scale_type = type_scalar(DT_F32);
    PUSH(p->arena, p->param, p->nparam, p->capparam, c);
    return c;
}

static void conv_layout(Product *r)
{
    const Type *w = &r->n->in[1]->type, *x = &r->n->in[0]->type;

    r->rows = w->dim[0];
    r->span = type_span(w, 2, w->rank);
    r->depth = w->dim[1] * r->span;
    r->so = r->depth;
    r->sk = 1;
    r->groups = ATTRS(conv, r->n)->group;
    r->channels = x->dim[1];
    r->inner = type_span(x, 2, x->rank);
    r->weight->axis = 0;
}

static void matmul_layout(Product *r)
{
    const Type *w = &r->n->in[1]->type;
    bool trans = ATTRS(fusedmatmul, r->n)->transB != 0;

    r->rows = w->dim[trans ? 0 : 1];
    r->depth = w->dim[trans ? 1 : 0];
    r->so = trans ? r->depth : 1;
    r->sk = trans ? 1 : r->rows;
    r->groups = r->span = r->inner = 1;
    r->channels = r->depth;
    r->weight->axis = trans ? 0 : 1;
}

void products_find(Ptq *p)
{
    for EACH_NODE(n, p->g) {
        Product r = { .n = n };
        if (!is_product(n) || !class_of(p, n->in[0]))
            continue;
        r.weight = param_new(p, n, 1);
        if (n->op == OP_Conv)
            conv_layout(&r);
        else
            matmul_layout(&r);
        r.sum2 = NEW_ARRAY(p->arena, double, r.channels);
        r.lo = NEW_ARRAY(p->arena, double, r.channels);
        r.hi = NEW_ARRAY(p->arena, double, r.channels);
        PUSH(p->arena, p->product, p->nproduct, p->capproduct, r);
    }
    p->report->products = p->nproduct;
}

/* mean square of the input that w[o,k] meets; never zero */
double product_moment(const Product *r, int64_t o, int64_t k)
{
    double x = r->sum2[product_channel(r, o, k)] / r->count;

    return x + 1e-12;
}

typedef struct Row {
    const float *w;             /* of Product.weight->real */
    int64_t first;              /* element of k = 0 */
    double least;               /* smallest scale allowed */
} Row;

static double row_error(const Product *r, const Row *row, int64_t o,
                        double scale)
{
    double sum = 0;

    for (int64_t k = 0; k < r->depth; k++) {
        double w = (double)row->w[row->first + k * r->sk];
        double q = rint(w / scale), d;
        q = q > 127 ? 127 : q < -127 ? -127 : q;
        d = w - q * scale;
        sum += d * d * product_moment(r, o, k);
    }
    return sum;
}

static double row_scale(const Product *r, const Row *row, int64_t o)
{
    double peak = 0, best, least = INFINITY;

    for (int64_t k = 0; k < r->depth; k++)
        peak = fmax(peak, fabs((double)row->w[row->first + k * r->sk]));
    best = peak / 127;
    for (int i = 100; i >= 76; i -= 3) {
        double e, scale = peak / 127 * i / 100;
        if (scale < row->least)
            break;
        e = row_error(r, row, o, scale);
        if (e < least) {
            least = e;
            best = scale;
        }
    }
    return best > row->least ? best : row->least;
}

/* The bias must fit int32 at scale_x * scale_w with room for the sum. */
double least_scale(const Ptq *p, const Product *r, int64_t o)
{
    const Value *bias = r->n->in[2];
    double b = fabs((double)((const float *)bias->data)[o]);
    double sx = (double)class_of(p, r->n->in[0])->grid.scale;

    return fmax(b / (sx * 0x1p28), 1e-12);
}

/* Codes to weights: what the product will compute with. */
void weights_use(Ptq *p, Product *r)
{
    Param *w = r->weight;
    float *out = (float *)(uintptr_t)w->sim->data;

    (void)p;
    for (int64_t o = 0; o < r->rows; o++)
        for (int64_t k = 0; k < r->depth; k++) {
            int64_t i = o * r->so + k * r->sk;
            int64_t s = w->block ? (r->sk == 1
                            ? o * w->scale_type.dim[1] + k / w->block
                            : k / w->block * r->rows + o) : o;
            out[i] = (float)w->code[i] * w->scale[s];
        }
}

static void quantize_int8(Ptq *p, Product *r)
{
    Param *w = r->weight;
    Row row = { w->real->data, 0, 0 };

    w->dt = DT_I8;
    w->block = 0;
    w->axis = r->n->op == OP_Conv || r->sk == 1 ? 0 : 1;
    w->scale_type = type_vector(DT_F32, r->rows);
    w->scale = NEW_ARRAY(p->arena, float, r->rows);
    w->code = NEW_ARRAY(p->arena, int16_t, type_elems(&w->real->type));
    for (int64_t o = 0; o < r->rows; o++) {
        row.first = o * r->so;
        row.least = least_scale(p, r, o);
        w->scale[o] = (float)row_scale(r, &row, o);
        for (int64_t k = 0; k < r->depth; k++) {
            int64_t i = row.first + k * r->sk;
            float q = rintf(row.w[i] / w->scale[o]);
            w->code[i] = (int16_t)(q > 127 ? 127 : q < -127 ? -127 : q);
        }
    }
    weights_use(p, r);
}

bool weights_quantize(Ptq *p)
{
    if (p->opt->weights == PTQ_FLOAT)
        return true;
    for (int i = 0; i < p->nproduct; i++)
        quantize_int8(p, &p->product[i]);
    p->report->int8 = p->nproduct;
    return p->opt->weights != PTQ_INT4 || gptq_quantize(p);
}
