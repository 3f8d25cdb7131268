/* quantize_mask.c - attention masks that are computed at run time.
 *
 * A decoder hides the keys behind the current position by adding a large
 * negative number, or -infinity, where a comparison says so. Such a float
 * mask has two values: as codes it is exact, and a byte per element. -infinity
 * against 0 is a bool mask.
 */
#include <math.h>

#include "quantize.h"

/* A mask of two values: what the movement behind it started from. */
typedef struct Mask {
    Graph *g;
    Value *root;                /* float: value[flag] */
    Value *flag;                /* bool */
    double value[2];
} Mask;

/* Movement with one operand of data. */
static bool moves_one(const Node *n)
{
    return n && moved_operands(n) == 1 && n->nout == 1 &&
           n->op != OP_Pad && n->op != OP_MaxPool && n->op != OP_Resize &&
           n->op != OP_ReduceMax && n->op != OP_ReduceMin;
}

static bool find_root(Mask *m, Value *v)
{
    while (!(m->flag = map_of_bool(m->g, v, m->value)) && moves_one(v->def))
        v = v->def->in[0];
    m->root = v;
    return m->flag && type_elems(&m->flag->type) == type_elems(&v->type);
}

static Value *shaped(const Mask *m, Node *at, Value *v)
{
    const Type *t = &m->root->type;

    return type_same_shape(&v->type, t)
               ? v : put_reshape(m->g, at, v, t->rank, t->dim)->out[0];
}

/* The movement from the root to v again, on x. */
static Value *moved(const Mask *m, Value *v, Value *x)
{
    Value **in;
    Node *n = v->def, *copy;
    Type t = v->type;

    if (v == m->root)
        return x;
    x = moved(m, n->in[0], x);
    in = NEW_ARRAY(m->g->arena, Value *, n->nin);
    for (int i = 0; i < n->nin; i++)
        in[i] = i ? n->in[i] : x;
    t.dt = x->type.dt;
    copy = insert_op(m->g, n->next, n->op, n->name, n->nin, in, t);
    copy->attr = arena_memdup(m->g->arena, n->attr,
                              (size_t)op_info(n->op)->attr_bytes);
    return copy->out[0];
}

/* bool: true where the key may be seen */
static Value *as_bools(const Mask *m)
{
    Node *at = m->root->def->next;
    Value *x = m->flag;

    if (m->value[1] == -INFINITY)
        x = insert_op(m->g, at, OP_Not, m->root->name, 1, &x,
                      x->type)->out[0];
    return shaped(m, at, x);
}

/* int8 codes: 0 at the end of the range, so that none has the other sign, and
 * x 128 steps from there. */
static Value *as_codes(const Mask *m, double x)
{
    Graph *g = m->g;
    Node *at = m->root->def->next;
    Value *in[3] = { m->flag };
    Type t = m->flag->type;
    double zero = x < 0 ? 127 : -128;

    t.dt = DT_I8;
    for (int i = 0; i < 2; i++)
        in[1 + i] = graph_const_scalar(g, "mask", DT_I8,
                                       m->value[1 - i] == 0 ? zero
                                       : x < 0 ? zero - 128 : zero + 128);
    return shaped(m, at, insert_op(g, at, OP_Where, m->root->name, 3, in,
                                   t)->out[0]);
}

static Value *dequantized(const Mask *m, Node *at, Value *codes, double x)
{
    float *scale = NEW_ARRAY(m->g->arena, float, 1);
    Value *in[3] = { codes, NULL, NULL };
    Type t = codes->type;

    *scale = (float)(fabs(x) / 128);
    in[1] = graph_const(m->g, "scale", type_scalar(DT_F32), scale);
    in[2] = graph_const_scalar(m->g, "zero_point", DT_I8, x < 0 ? 127 : -128);
    t.dt = DT_F32;
    return insert_op(m->g, at, OP_DequantizeLinear, m->root->name, 3, in,
                     t)->out[0];
}

/* 0 against -infinity */
static bool hides(const Mask *m)
{
    return (m->value[0] == 0 && m->value[1] == -INFINITY) ||
           (m->value[1] == 0 && m->value[0] == -INFINITY);
}

/* 0 against a number that 128 steps reach */
static bool adds(const Mask *m)
{
    return (m->value[0] == 0 || m->value[1] == 0) &&
           isnormal((float)((m->value[0] + m->value[1]) / 128));
}

bool mask_has_two_values(Graph *g, Value *v)
{
    Mask m = { .g = g };

    return find_root(&m, v) && (hides(&m) || adds(&m));
}

/* The same mask in another form, or NULL. */
static Value *converted(Graph *g, Value *v)
{
    Mask m = { .g = g };
    Value *codes;
    double x;

    if (!find_root(&m, v) || (!hides(&m) && !adds(&m)))
        return NULL;
    if (hides(&m))
        return moved(&m, v, as_bools(&m));
    x = m.value[0] + m.value[1];
    codes = moved(&m, v, as_codes(&m, x));
    return dequantized(&m, codes->def->next, codes, x);
}

void quantize_masks(Graph *g)
{
    for EACH_NODE(n, g) {
        Value *v = n->op == OP_Attention ? node_in(n, 3) : NULL, *m;
        Grid grid;
        if (!v || value_is_const(v) || !dtype_is_float(v->type.dt) ||
            codes_of(v, &grid) || !(m = converted(g, v)))
            continue;
        for (int i = v->nuse - 1; i >= 0; i--)
            if (v->use[i]->op == OP_Attention && v->use[i]->in[3] == v)
                node_set_input(v->use[i], 3, m);
    }
}
