/* infer.c - what the per-op inference functions share. */
#include "ir.h"

#include <string.h>

bool type_broadcast(const Type *a, const Type *b, Type *out)
{
    int rank = a->rank > b->rank ? a->rank : b->rank;

    out->rank = rank;
    for (int i = 0; i < rank; i++) {
        int ia = i - (rank - a->rank), ib = i - (rank - b->rank);
        int64_t da = ia >= 0 ? a->dim[ia] : 1, db = ib >= 0 ? b->dim[ib] : 1;
        if (da != db && da != 1 && db != 1)
            return false;
        out->dim[i] = da == 1 ? db : da;
    }
    return true;
}

bool node_axis(const Node *n, int64_t axis, int rank, int *out)
{
    int64_t a = axis < 0 ? axis + rank : axis;

    if (a < 0 || a >= rank)
        return node_error(n, "axis %lld is outside rank %d", (long long)axis,
                          rank);
    *out = (int)a;
    return true;
}

bool value_ints(const Value *v, int max, int64_t *out, int *count)
{
    int64_t n;

    if (!value_is_const(v) || !dtype_is_int(v->type.dt) || v->type.rank > 1)
        return false;
    n = type_elems(&v->type);
    if (n > max)
        return false;
    for (int64_t i = 0; i < n; i++)
        out[i] = elem_get_int(v->type.dt, v->data, i);
    *count = (int)n;
    return true;
}

bool infer_declared(Node *n, const Value *which)
{
    for (int i = 0; i < n->nout; i++)
        if (n->out[i] && !type_known(&n->out[i]->type))
            return node_error(n, "the shape of output '%s' depends on the "
                              "run-time value of '%s'", n->out[i]->name,
                              which->name);
    return true;
}

/* The declared type of an output is a promise that inference must keep. */
static bool check_declared(Node *n, const Type *declared, const Type *got,
                           const Value *v)
{
    if (!type_known(got))
        return node_error(n, "cannot tell the shape of '%s'", v->name);
    if (type_known(declared) && declared->dt != got->dt)
        return node_error(n, "makes '%s' as %s, but the model declares %s",
                          v->name, dtype_name(got->dt),
                          dtype_name(declared->dt));
    return true;
}

static bool check_arity(Node *n)
{
    const OpInfo *op = op_info(n->op);

    if (n->nin < op->min_in || (op->max_in >= 0 && n->nin > op->max_in))
        return node_error(n, "has %d inputs, takes %d to %d", n->nin,
                          op->min_in, op->max_in);
    if (op->max_out >= 0 && n->nout > op->max_out)
        return node_error(n, "has %d outputs, gives at most %d", n->nout,
                          op->max_out);
    for (int i = 0; i < op->min_in; i++)
        if (!n->in[i])
            return node_error(n, "input %d is missing", i);
    return true;
}

static bool check_size(Node *n, const Value *v)
{
    int64_t size = 8;           /* bytes per element at most */

    for (int i = 0; i < v->type.rank; i++) {
        int64_t d = v->type.dim[i];
        if (d && size > ((int64_t)1 << 40) / d)
            return node_error(n, "output '%s' is too large", v->name);
        size *= d;
    }
    return true;
}

bool node_infer(Graph *g, Node *n)
{
    Type *declared = NEW_ARRAY(g->scratch, Type, n->nout);

    if (!check_arity(n))
        return false;
    for (int i = 0; i < n->nout; i++)
        if (n->out[i])
            declared[i] = n->out[i]->type;
    if (!op_info(n->op)->infer(g, n))
        return false;
    for (int i = 0; i < n->nout; i++)
        if (n->out[i] &&
            (!check_declared(n, &declared[i], &n->out[i]->type, n->out[i]) ||
             !check_size(n, n->out[i])))
            return false;
    return true;
}

const char *node_refusal(Graph *g, Node *n)
{
    enum { ROOM = 1200 };
    char *text = arena_alloc(g->scratch, ROOM);
    char *outer = g->diag->caught;
    size_t outer_n = g->diag->caught_n;
    size_t skip = strlen("node '' (): ") + strlen(n->name) +
                  strlen(op_name(n->op));
    bool ok;

    text[0] = '\0';
    g->diag->caught = text;
    g->diag->caught_n = ROOM;
    ok = node_infer(g, n);
    g->diag->caught = outer;
    g->diag->caught_n = outer_n;
    if (ok)
        return NULL;
    return strlen(text) > skip ? text + skip : "is refused";
}
