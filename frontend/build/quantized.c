/* quantized.c - what @q(scale, zero point) behind the type of an operand or a
 * result means: DequantizeLinear in front of an op that computes with real
 * numbers, QuantizeLinear behind it. Ops that only move elements work on the
 * codes when all of them are quantized alike, and what is defined on codes
 * (QuantizeLinear, QLinearConv, Cast, ...) is left alone. After the graph is
 * built its nodes say everything, and only its boundary keeps the metadata.
 */
#include "build.h"

#include <string.h>

typedef enum Meaning { REALS, MOVES, CODES } Meaning;

/* Ops that place elements of operand 0 elsewhere, besides those whose table
 * row says so; a maximum of codes is the code of the maximum. */
static bool is_move(const Draft *d)
{
    static const char *const names[] = {
        "MaxPool", "ScatterElements", "ScatterND", "Scatter", "Compress",
        "TensorScatter", "CenterCropPad",
    };

    if (d->id != OP_NONE && op_has(d->id, T_MOVE | T_VIEW))
        return d->id != OP_BitCast;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strcmp(names[i], d->op))
            return true;
    return false;
}

/* By name: there are more ops than those of ops.def. */
static bool is_of_codes(const Draft *d)
{
    static const char *const names[] = {
        "Cast", "CastLike", "BitCast", "Shape", "Size", "If", "Loop", "Scan",
        "Constant", "ConstantOfShape", "IsNaN", "IsInf",
    };

    if (*d->op == 'Q' || strstr(d->op, "Quant") || strstr(d->op, "Integer") ||
        strstr(d->op, "NBits") || strstr(d->op, "Sequence") ||
        strstr(d->op, "Optional"))
        return true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strcmp(names[i], d->op))
            return true;
    return false;
}

/* Is real zero written into the result, and not as a code? */
static bool inserts_zero(const Draft *d)
{
    const ModelAttr *mode = draft_attr(d, "mode");

    if (!strcmp(d->op, "Trilu") || !strcmp(d->op, "CenterCropPad"))
        return true;
    return !strcmp(d->op, "Pad") && !draft_in(d, 2) &&
           (!mode || mode->kind != MA_STRING || !strcmp(mode->s, "constant"));
}

static const Quant *operand_quant(const Draft *d, int i)
{
    return d->in[i] && !value_is_sequence(d->in[i]) ? d->in[i]->quant : NULL;
}

/* May this move take place among codes? */
static bool moves_codes(const Draft *d)
{
    const Value *x = NULL;

    for (int i = 0; i < d->nin; i++) {
        if (!d->in[i])
            continue;
        if (dtype_is_float(d->in[i]->type.dt))
            return false;
        if (!operand_quant(d, i))
            continue;
        if (x && (x->type.dt != d->in[i]->type.dt ||
                  !quant_equal(x->quant, d->in[i]->quant)))
            return false;
        x = d->in[i];
    }
    if (!x || x->quant->n > 1 || (inserts_zero(d) && x->quant->zero_point[0]))
        return false;
    for (int i = 0; i < d->nout; i++)
        if (dtype_is_float(d->declared[i].dt) ||
            (d->quant[i] && (d->declared[i].dt != x->type.dt ||
                             !quant_equal(d->quant[i], x->quant))))
            return false;
    return true;
}

static bool has_quant(const Draft *d)
{
    for (int i = 0; i < d->nin; i++)
        if (operand_quant(d, i))
            return true;
    for (int i = 0; i < d->nout; i++)
        if (d->quant[i])
            return true;
    return false;
}

static Meaning meaning(const Draft *d)
{
    if (is_of_codes(d))
        return CODES;
    if (is_move(d) && (!strcmp(d->op, "Identity") || moves_codes(d)))
        return MOVES;
    return REALS;
}

static Value *scales(Build *b, const char *of, const Quant *q)
{
    const char *name = arena_printf(b->g->arena, "%s_scale", of);
    Type t = q->n > 1 ? type_vector(DT_F32, q->n) : type_scalar(DT_F32);

    return graph_const(b->g, name, t, q->scale);
}

static Value *zero_points(Build *b, const char *of, const Quant *q,
                          DType dt)
{
    const char *name = arena_printf(b->g->arena, "%s_zero_point", of);
    Type t = q->n > 1 ? type_vector(dt, q->n) : type_scalar(dt);
    void *data = arena_alloc(b->g->arena, (size_t)type_bytes(&t));

    for (int i = 0; i < q->n; i++)
        elem_set_int(dt, data, i, q->zero_point[i]);
    return graph_const(b->g, name, t, data);
}

/* Scale and zero point of v as operands; those that made it, if they did. */
static void parameters(Build *b, Value *v, const char *name, DType dt,
                       const Quant *q, Value *in[3])
{
    const Node *n = v->def;

    in[0] = v;
    if (n && n->op == OP_QuantizeLinear && node_in(n, 2) &&
        quant_equal(q, quant_of_operands(b->g->arena, n->in[1], n->in[2],
                                         ATTRS(quantize, n)->axis,
                                         &v->type))) {
        in[1] = n->in[1];
        in[2] = n->in[2];
        return;
    }
    in[1] = scales(b, name, q);
    in[2] = zero_points(b, name, q, dt);
}

static Value *dequantize(Build *b, Value *v)
{
    const char *name = arena_printf(b->g->arena, "%s_DequantizeLinear",
                                    v->name);
    Value *in[3], *out;
    Node *n;

    for (int i = 0; i < v->nuse; i++) {         /* it may be there already */
        n = v->use[i];
        if (n->op == OP_DequantizeLinear && n->in[0] == v && n->out[0] &&
            quant_equal(v->quant,
                        quant_of_operands(b->g->arena, n->in[1],
                                          node_in(n, 2),
                                          ATTRS(quantize, n)->axis,
                                          &v->type)))
            return n->out[0];
    }
    parameters(b, v, v->name, v->type.dt, v->quant, in);
    n = node_new(b->g, OP_DequantizeLinear, name, 3, in, 1);
    if (v->quant->n > 1)
        ATTRS(quantize, n)->axis = v->quant->axis;
    b_end_all(b, n, &out);
    if (!b->failed)
        value_rename(b, out, arena_printf(b->g->arena, "%s_float", v->name));
    return out;
}

static Value *quantize(Build *b, Value *v, const char *name, DType dt,
                       const Quant *q)
{
    const char *label = arena_printf(b->g->arena, "%s_QuantizeLinear", name);
    Value *in[3], *out;
    Node *n;

    parameters(b, v, name, dt, q, in);
    n = node_new(b->g, OP_QuantizeLinear, label, 3, in, 1);
    if (q->n > 1)
        ATTRS(quantize, n)->axis = q->axis;
    b_end_all(b, n, &out);
    return out;
}

bool quant_operands(Build *b, Draft *d)
{
    Meaning m;

    d->computes = false;
    if (b->as_is || !has_quant(d))
        return true;
    m = meaning(d);
    d->moves = m == MOVES;
    d->computes = m == REALS && !function_find(&b->function, b->g->arena,
                                               d->m);
    for (int i = 0; d->computes && i < d->nin; i++)
        if (operand_quant(d, i))
            d->in[i] = dequantize(b, d->in[i]);
    for (int i = 0; d->computes && i < d->nout; i++)
        if (d->quant[i])
            d->declared[i].dt = DT_F32;
    return !b->failed;
}

/* Of QuantizeLinear with operands that say something else. */
static bool check_stated(Build *b, const Draft *d, const Value *v,
                         const Quant *q)
{
    const Node *n = v->def;
    const Quant *is;

    if (!n || n->op != OP_QuantizeLinear)
        return true;
    is = quant_of_operands(b->g->arena, n->in[1], node_in(n, 2),
                           ATTRS(quantize, n)->axis, &v->type);
    if (!is || quant_equal(is, q))
        return true;
    return draft_error(b, d, "makes scale %g and zero point %d, declared are "
                       "%g and %d", (double)is->scale[0],
                       (int)is->zero_point[0], (double)q->scale[0],
                       (int)q->zero_point[0]);
}

bool quant_set(Build *b, Value *v, const Quant *q)
{
    if (q && !quant_fits(q, &v->type)) {
        Buf type;
        buf_init(&type, b->g->scratch);
        type_print(&type, &v->type);
        return diag_error(b->g->diag, "'%s' is %s, which %d scale%s cannot "
                          "quantize", v->name, type.s, q->n,
                          q->n > 1 ? "s along an axis" : "");
    }
    v->quant = q ? q : v->quant;
    return true;
}

static bool declared_result(Build *b, Draft *d, int i)
{
    const Quant *q = d->quant[i];
    const ModelInfo *info = scope_info(b->scope, d->m->out[i]);
    Value *v = d->out[i];

    if (b->as_is)
        return quant_set(b, v, q);
    if (v->type.dt == info->dt && quant_equal(v->quant, q))
        return true;
    if (v->type.dt == info->dt && v->quant)
        v = dequantize(b, v);
    else if (v->type.dt == info->dt && v->id < b->first_id)
        v = b_op1(b, OP_Identity, v);           /* not of the operand */
    if (dtype_is_float(v->type.dt))
        v = quantize(b, v, d->m->out[i], info->dt, q);
    else if (v->type.dt != info->dt)
        return draft_error(b, d, "'%s' is %s, declared as %s", d->m->out[i],
                           dtype_name(v->type.dt), dtype_name(info->dt));
    d->out[i] = v;
    return !b->failed && check_stated(b, d, v, q) && quant_set(b, v, q);
}

bool quant_results(Build *b, Draft *d)
{
    const Quant *q = NULL;

    for (int i = 0; i < d->nin && d->moves && !q; i++)
        q = operand_quant(d, i);
    for (int i = 0; i < d->nout; i++) {
        Value *v = d->out[i];
        if (!d->want[i] || !v || v->id < 0)
            continue;
        if (d->moves && !v->quant && quant_fits(q, &v->type))
            v->quant = q;
        if (d->quant[i] && !declared_result(b, d, i))
            return false;
    }
    return true;
}

/* Between the boundary's values, nodes say it. */
void quant_forget_inner(Graph *g)
{
    for (int i = 0; i < g->nvalue; i++)
        if (!g->value[i]->is_input && !g->value[i]->is_output)
            g->value[i]->quant = NULL;
}
