/* insert.c - writes the choices down: a QuantizeLinear and DequantizeLinear
 * after every tensor of an active class, codes behind a DequantizeLinear
 * where a constant was.
 */
#include "ptq_int.h"

#include <math.h>

static Value *scale_const(Graph *g, const char *name, float scale)
{
    float *p = NEW(g->arena, float);

    *p = scale;
    return graph_const(g, arena_printf(g->arena, "%s_scale", name),
                       type_scalar(DT_F32), p);
}

static Value *zero_const(Graph *g, const char *name, DType dt, int64_t zp)
{
    void *p = arena_alloc(g->arena, 8);

    elem_set_int(dt, p, 0, zp);
    return graph_const(g, arena_printf(g->arena, "%s_zero_point", name),
                       type_scalar(dt), p);
}

typedef struct Shared {         /* of a class */
    Value *scale, *zero;
} Shared;

static void pair_after(Ptq *p, Value *v, Shared *s)
{
    const Class *c = class_of(p, v);
    Graph *g = p->g;
    Node *at = v->def ? v->def->next : g->first, *q, *d;
    Type code = v->type;
    Value *in[3] = { v, s->scale, s->zero };

    if (!s->scale) {
        in[1] = s->scale = scale_const(g, v->name, c->grid.scale);
        in[2] = s->zero = zero_const(g, v->name, c->grid.dt, c->grid.zp);
    }
    code.dt = c->grid.dt;
    if (v->def) {               /* v keeps its readers, and its name */
        Value *raw = graph_value(g, v->name, v->type);
        Node *def = v->def;
        node_set_output(def, v->def_index, raw);
        in[0] = raw;
        q = insert_op(g, at, OP_QuantizeLinear, v->name, 3, in, code);
        in[0] = q->out[0];
        d = insert_op(g, at, OP_DequantizeLinear, v->name, 3, in, v->type);
        node_set_output(d, 0, v);
        return;
    }
    d = node_new(g, OP_DequantizeLinear, v->name, 3, in, 1);
    d->out[0]->type = v->type;
    value_replace(g, v, d->out[0]);
    q = insert_op(g, at, OP_QuantizeLinear, v->name, 3, in, code);
    node_set_input(d, 0, q->out[0]);
    graph_insert(g, at, d);
}

static void *pack(Arena *a, const Type *t, const int16_t *code)
{
    int64_t n = type_elems(t);
    void *p = arena_alloc(a, (size_t)type_bytes(t) + 8);

    for (int64_t i = 0; i < n; i++)
        elem_set_int(t->dt, p, i, code[i]);
    return p;
}

/* operand = DequantizeLinear(codes, scale, zero point) */
static void codes_before(Ptq *p, const Param *c)
{
    Graph *g = p->g;
    Type t = c->real->type;
    Value *in[3];
    Node *d;

    t.dt = c->dt;
    in[0] = graph_const(g, arena_printf(g->arena, "%s_quantized",
                                        c->real->name), t,
                        pack(g->arena, &t, c->code));
    in[1] = graph_const(g, arena_printf(g->arena, "%s_scale",
                                        c->real->name), c->scale_type,
                        c->scale);
    in[2] = c->axis < 0 ? zero_const(g, c->real->name, c->dt, c->zp) : NULL;
    d = insert_op(g, c->n, OP_DequantizeLinear, c->real->name,
                  in[2] ? 3 : 2, in, c->real->type);
    if (c->axis >= 0)
        ATTRS(quantize, d)->axis = c->axis;
    ATTRS(quantize, d)->block_size = c->block;
    node_set_input(c->n, c->slot, d->out[0]);
}

/* A convolution's bias as int32 at scale_x * scale_w, as other tools want
 * it; a matrix product's stays float, behind which no tool looks for one. */
static void conv_bias(Ptq *p, const Product *r)
{
    const Param *w = r->weight;
    float sx, *scale;
    const float *b = r->n->in[2]->data;
    int32_t *code;
    const char *name = r->n->in[2]->name;
    Value *in[2];
    Node *d;
    Graph *g = p->g;

    if (r->n->op != OP_Conv || w->dt == DT_NONE || w->block)
        return;
    sx = class_of(p, r->n->in[0])->grid.scale;
    scale = NEW_ARRAY(g->arena, float, r->rows);
    code = NEW_ARRAY(g->arena, int32_t, r->rows);
    for (int64_t o = 0; o < r->rows; o++) {
        double q;
        scale[o] = sx * w->scale[o];
        q = rint((double)b[o] / (double)scale[o]);
        code[o] = (int32_t)fmax(-0x1p30, fmin(0x1p30, q));
    }
    in[0] = graph_const(g, arena_printf(g->arena, "%s_quantized", name),
                        type_vector(DT_I32, r->rows), code);
    in[1] = graph_const(g, arena_printf(g->arena, "%s_scale", name),
                        type_vector(DT_F32, r->rows), scale);
    d = insert_op(g, r->n, OP_DequantizeLinear, name, 2, in,
                  type_vector(DT_F32, r->rows));
    ATTRS(quantize, d)->axis = 0;
    node_set_input(r->n, 2, d->out[0]);
}

void pairs_insert(Ptq *p)
{
    Shared *shared = NEW_ARRAY(p->arena, Shared, p->nvalue);

    params_set(p, false);
    for (int i = 0; i < p->nparam; i++)
        if (p->param[i]->bias)
            node_set_input(p->param[i]->n, 2, p->param[i]->sim);
    for (int i = 0; i < p->nproduct; i++)
        conv_bias(p, &p->product[i]);
    for (int i = 0; i < p->nparam; i++)
        if (p->param[i]->dt != DT_NONE)
            codes_before(p, p->param[i]);
    for (int i = 0; i < p->nvalue; i++) {
        Value *v = p->g->value[i];
        const Class *c = class_of(p, v);
        if (c && !v->data && c->grid.dt != DT_NONE &&
            (v->nuse || v->is_output))
            pair_after(p, v, &shared[class_root(p, v)]);
    }
    graph_tidy(p->g);
}

Graph *pairs_in_copy(Ptq *p)
{
    Ptq q;
    Node **node;
    int n = 0;

    params_set(p, false);
    q = *p;
    graph_number(p->g);
    for EACH_NODE(x, p->g)
        n++;
    node = NEW_ARRAY(p->arena, Node *, n);
    q.g = graph_clone(p->g);
    for EACH_NODE(x, q.g)
        node[x->index] = x;
    q.param = NEW_ARRAY(p->arena, Param *, p->nparam);
    for (int i = 0; i < p->nparam; i++) {
        q.param[i] = arena_memdup(p->arena, p->param[i], sizeof(Param));
        q.param[i]->n = node[p->param[i]->n->index];
        q.param[i]->real = q.g->value[p->param[i]->real->id];
        q.param[i]->sim = q.g->value[p->param[i]->sim->id];
    }
    q.product = arena_memdup(p->arena, p->product,
                             (size_t)p->nproduct * sizeof *p->product);
    for (int i = 0; i < p->nproduct; i++)
        q.product[i].n = node[p->product[i].n->index];
    pairs_insert(&q);
    return q.g;
}
