/* node.c - one node of the file becomes one or more nodes of the graph:
 * operands, attributes, then expansion or upgrade or neither, inference,
 * folding, and names for the results. */
#include "build.h"

#include <stdio.h>
#include <string.h>

const char *model_node_name(Arena *a, const ModelNode *n)
{
    if (n->name && *n->name)
        return n->name;
    for (int i = 0; i < n->nout; i++)
        if (*n->out[i])
            return arena_printf(a, "%s_%s", n->op, n->out[i]);
    return n->op;
}

static const char *full_op(Arena *a, const ModelNode *n)
{
    const char *domain = domain_canonical(n->domain);

    return *domain ? arena_printf(a, "%s.%s", domain, n->op) : n->op;
}

static bool say_error(const Build *b, const ModelNode *n, const char *name,
                      const char *text)
{
    Diag *d = b->g->diag;
    int line = d->line, column = d->column;

    d->line = n->line;
    d->column = n->column;
    diag_error(d, "node '%s' (%s): %s", name, full_op(b->g->arena, n), text);
    d->line = line;
    d->column = column;
    return false;
}

bool draft_error(Build *b, const Draft *d, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    b->failed = true;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return say_error(b, d->m, d->name, text);
}

bool model_node_error(const Build *b, const ModelNode *n, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return say_error(b, n, model_node_name(b->g->arena, n), text);
}

/* Finishing a node: infer and fold */

/* The shape of a value is static, so what asks for it has its answer. */
static bool fold_shape(Build *b, Node *n)
{
    const Type *t = &n->in[0]->type;
    int64_t dims[MAX_RANK], size = type_elems(t);
    const Type *to = n->out[0] ? &n->out[0]->type : NULL;
    const Attr_shape *a = ATTRS(shape, n);
    int64_t from;

    if (!to)
        return true;
    if (n->op == OP_Size) {
        value_set_const(n->out[0], arena_memdup(b->g->arena, &size, 8));
        return true;
    }
    from = a->start < 0 ? a->start + t->rank : a->start;
    from = from < 0 ? 0 : from;
    for (int64_t i = 0; i < to->dim[0]; i++) {
        if (i >= MAX_RANK || from + i >= t->rank)
            return node_error(n, "start and end do not fit rank %d", t->rank);
        dims[i] = t->dim[from + i];
    }
    value_set_const(n->out[0], arena_memdup(b->g->arena, dims, sizeof dims));
    return true;
}

/* What grows much (Expand, Tile, ConstantOfShape) stays a computation. */
static bool small_enough(const Node *n)
{
    int64_t in = 0, out = 0;

    for (int i = 0; i < n->nin; i++)
        if (n->in[i])
            in += type_bytes(&n->in[i]->type);
    for (int i = 0; i < n->nout; i++)
        if (n->out[i])
            out += type_bytes(&n->out[i]->type);
    return out <= FOLD_ALWAYS || out / FOLD_GROWTH <= in;
}

/* A constant weight that is dequantized stays so: passes look for that. */
static bool may_fold(const Build *b, const Node *n)
{
    if (n->op == OP_DequantizeLinear || op_has(n->op, T_RANDOM))
        return false;
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] && !value_is_const(n->in[i]))
            return false;
    return n->nin > 0 && small_enough(n) && node_fold_affordable(b->g, n);
}

static bool all_const(Value *const *out, int n)
{
    for (int i = 0; i < n; i++)
        if (out[i] && !value_is_const(out[i]))
            return false;
    return true;
}

bool node_finish(Build *b, Node *n, Value **out)
{
    Graph *g = b->g;
    bool ok;

    if (++b->made > MAX_NODES)
        return node_error(n, "the model grows to more than %d nodes",
                          MAX_NODES);
    for (int i = 0; i < n->nout; i++)
        out[i] = n->out[i];
    graph_append(g, n);
    if (!node_infer(g, n))
        return false;
    if (b->as_is)
        ok = true;
    else if (n->op == OP_Shape || n->op == OP_Size)
        ok = fold_shape(b, n);
    else
        ok = !may_fold(b, n) || node_fold(g, n);
    arena_reset(g->scratch);
    if (ok && all_const(out, n->nout))
        graph_remove(g, n);
    return ok;
}

/* From the file's node to a draft */

static bool draft_inputs(Build *b, Draft *d)
{
    const ModelNode *mn = d->m;

    d->nin = mn->nin;
    d->in = NEW_ARRAY(b->g->arena, Value *, mn->nin + 1);
    for (int i = 0; i < mn->nin; i++) {
        if (!*mn->in[i])
            continue;
        d->in[i] = scope_find(b->scope, mn->in[i]);
        if (!d->in[i])
            return draft_error(b, d, "input '%s'%s", mn->in[i],
                               scope_missing(b->scope, mn->in[i]));
        if (d->in[i] == &b->broken)
            return false;       /* what is wrong has been said */
        if (d->in[i] == &b->absent)
            d->in[i] = NULL;
        if (value_is_sequence(d->in[i]) && !takes_sequences(d->op) &&
            !function_find(&b->function, b->g->arena, mn))
            return draft_error(b, d, "input '%s' is a sequence", mn->in[i]);
    }
    while (d->nin > 0 && !d->in[d->nin - 1])
        d->nin--;               /* trailing operands that are left out */
    return true;
}

static void draft_outputs(Build *b, Draft *d)
{
    const ModelNode *mn = d->m;
    Arena *a = b->g->arena;
    int n = mn->nout;

    while (n > 0 && !*mn->out[n - 1] &&
           (d->id == OP_NONE || op_info(d->id)->max_out >= 0))
        n--;
    d->nout = n;
    d->out = NEW_ARRAY(a, Value *, n + 1);
    d->want = NEW_ARRAY(a, bool, n + 1);
    d->declared = NEW_ARRAY(a, Type, n + 1);
    d->quant = NEW_ARRAY(a, const Quant *, n + 1);
    for (int i = 0; i < n; i++) {
        const ModelInfo *info = scope_info(b->scope, mn->out[i]);
        d->want[i] = *mn->out[i] != 0;
        d->quant[i] = info && *mn->out[i] ? info->quant : NULL;
        if (!info || !info_type(b, info, &d->declared[i]))
            d->declared[i] = (Type){ DT_NONE, -1, { 0 } };
    }
}

/* What `@name` in a function body stands for: the call's attribute. */
static const ModelAttr *referred(const Scope *s, const char *name)
{
    for (int i = 0; i < s->nattr; i++)
        if (s->attr[i].name && !strcmp(s->attr[i].name, name))
            return &s->attr[i];
    return NULL;
}

static bool draft_attrs(Build *b, Draft *d)
{
    const ModelNode *mn = d->m;

    d->attr = NEW_ARRAY(b->g->arena, ModelAttr, mn->nattr + 1);
    for (int i = 0; i < mn->nattr; i++) {
        const ModelAttr *a = &mn->attr[i], *from = a;
        if (draft_attr(d, a->name))
            return draft_error(b, d, "attribute '%s' is given twice",
                               a->name);
        if (a->ref && *a->ref)
            from = referred(b->scope, a->ref);
        if (!from)
            continue;
        d->attr[d->nattr] = *from;
        d->attr[d->nattr++].name = a->name;
    }
    return true;
}

static bool draft_init(Build *b, Draft *d, const ModelNode *mn)
{
    const char *name = model_node_name(b->g->arena, mn);

    *d = (Draft){ .m = mn, .op = mn->op };
    d->name = *b->scope->prefix ?
              arena_printf(b->g->arena, "%s%s", b->scope->prefix, name) :
              name;
    d->version = scope_opset(b->scope, mn->domain);
    if (domain_is(mn->domain, "") || domain_is(mn->domain, "mcufc"))
        d->id = op_by_name(mn->op);
    draft_outputs(b, d);
    return draft_inputs(b, d) && draft_attrs(b, d);
}

/* Grows the operand list when it must. */
void draft_set_in(Build *b, Draft *d, int i, Value *v)
{
    if (i >= d->nin) {
        Value **in = NEW_ARRAY(b->g->arena, Value *, i + 1);
        if (d->nin)
            memcpy(in, d->in, (size_t)d->nin * sizeof *in);
        d->in = in;
        d->nin = i + 1;
    }
    d->in[i] = v;
}

bool draft_arity(Build *b, const Draft *d, int imin, int imax, int omax)
{
    if (d->nin < imin || (imax >= 0 && d->nin > imax))
        return draft_error(b, d, "has %d inputs, takes %d to %d", d->nin,
                           imin, imax);
    if (d->nout < 1 || d->nout > omax)
        return draft_error(b, d, "has %d outputs, gives 1 to %d", d->nout,
                           omax);
    for (int i = 0; i < imin; i++)
        if (!d->in[i])
            return draft_error(b, d, "input %d is missing", i);
    return true;
}

/* Shapes that depend on data */

/* The ops whose operands after the first may say how large the result is,
 * and whose result has the first one's type. */
static bool may_need_hint(Op op)
{
    switch (op) {
    case OP_Reshape: case OP_Expand: case OP_Tile: case OP_Pad:
    case OP_Slice: case OP_Squeeze: case OP_Unsqueeze: case OP_Range:
    case OP_ReduceSum: case OP_ReduceMean: case OP_ReduceMax:
    case OP_ReduceMin: case OP_ReduceProd: case OP_ReduceL1:
    case OP_ReduceL2: case OP_ReduceLogSum: case OP_ReduceLogSumExp:
    case OP_ReduceSumSquare:
        return true;
    default:
        return false;
    }
}

static void find_hint(Build *b, Draft *d)
{
    Type t;

    if (d->nout != 1 || !may_need_hint(d->id) || !draft_in(d, 0) ||
        type_known(&d->declared[0]))
        return;
    for (int i = 1; i < d->nin; i++)
        if (d->in[i] && !value_is_const(d->in[i]) &&
            shape_hint(b, d->m->out[0], &t)) {
            d->declared[0] = t;
            d->declared[0].dt = d->in[0]->type.dt;
            return;
        }
}

/* The draft becomes a node */

/* The file's name for a result, within the bodies it is in. It is that of the
 * codes where the result of an op is quantized. */
static const char *result_name(Build *b, const Draft *d, int i, bool made)
{
    const char *prefix = b->scope->prefix;
    bool reals = made && d->computes && d->quant[i];

    if (!*prefix && !reals)
        return d->m->out[i];
    return arena_printf(b->g->arena, "%s%s%s", prefix, d->m->out[i],
                        reals ? "_float" : "");
}

static bool node_make(Build *b, Draft *d)
{
    Node *n = node_new(b->g, d->id, d->name, d->nin, d->in, d->nout);

    find_hint(b, d);
    if (!attrs_fill(b, d, n))
        return false;
    for (int i = 0; i < d->nout; i++) {
        if (!d->want[i]) {      /* what an op always makes stays */
            if (i >= op_info(n->op)->min_out ||
                op_info(n->op)->max_out < 0)
                node_set_output(n, i, NULL);
            continue;
        }
        value_rename(b, n->out[i], result_name(b, d, i, true));
        if (type_known(&d->declared[i]))
            n->out[i]->type = d->declared[i];
    }
    if (!node_finish(b, n, d->out))
        return false;
    facts_places(b, d->m, n);
    return facts_region(b, d->m, n);
}

/* A draft whose attributes and operands say Identity is its operand. */
static bool identity(Build *b, Draft *d)
{
    if (d->nin != 1 || d->nout != 1)
        return draft_error(b, d, "has %d inputs and %d outputs, takes 1 and "
                           "gives 1", d->nin, d->nout);
    d->out[0] = d->in[0];
    return attrs_known(b, d);
}

static bool build_standard(Build *b, Draft *d)
{
    if (!draft_upgrade(b, d))
        return false;
    if (d->done)
        return attrs_known(b, d);
    if (d->id == OP_Identity)
        return identity(b, d);
    return node_make(b, d);
}

static bool bind_results(Build *b, Draft *d)
{
    for (int i = 0; i < d->nout; i++) {
        Value *v = d->out[i];
        if (!d->want[i])
            continue;
        if (!v)
            return draft_error(b, d, "does not make output %d, '%s'", i,
                               d->m->out[i]);
        scope_bind(b->scope, d->m->out[i], v);
        if (v->id >= b->first_id)
            value_rename(b, v, result_name(b, d, i, false));
    }
    return true;
}

static bool unknown_op(Build *b, Draft *d)
{
    const char *why = refuse_find(d->m->domain, d->op);

    return draft_error(b, d, "%s", why ? why : "is not supported");
}

static bool build_draft(Build *b, Draft *d)
{
    UpgradeFn *expand = expand_find(d->m->domain, d->op);

    if (d->id != OP_NONE && (b->as_is || domain_is(d->m->domain, "mcufc")))
        return node_make(b, d);
    if (expand)
        return expand(b, d) && attrs_known(b, d);
    if (d->id != OP_NONE)
        return build_standard(b, d);
    return unknown_op(b, d);
}

bool node_build(Build *b, const ModelNode *mn)
{
    Draft *d = NEW(b->g->arena, Draft), *outer = b->draft;
    int outer_first = b->first_id, line = b->g->diag->line;
    int column = b->g->diag->column;
    bool ok;

    if (++b->visited > MAX_NODES)
        return model_node_error(b, mn, "more than %d nodes", MAX_NODES);
    b->g->diag->line = mn->line;
    b->g->diag->column = mn->column;
    b->draft = d;
    ok = draft_init(b, d, mn);
    b->first_id = b->g->nvalue;
    ok = ok && quant_operands(b, d);
    if (ok) {
        const ModelFunction *f = function_find(&b->function,
                                               b->g->arena, mn);
        b->first_id = b->g->nvalue;
        ok = f ? function_inline(b, d, f) : build_draft(b, d);
        ok = ok && !b->failed && quant_results(b, d) && bind_results(b, d);
    }
    b->failed = b->failed || !ok;
    b->draft = outer;
    b->first_id = outer_first;
    b->g->diag->line = line;
    b->g->diag->column = column;
    return ok;
}
