/* emit_move.c - movement: Transpose, Slice, Split, Concat, Tile, Expand and
 * the like as nests of strided copies (ir/ops/copy.c says which), with
 * memcpy for contiguous runs; views that cannot share as one memcpy.
 */
#include "loops.h"

#include <string.h>

#include "../ir/move.h"

EmitFn emit_copy, emit_move;

/* a plain copy of result 0 from operand 0: views, casts to the same type */
void emit_copy(Emit *e, const Node *n)
{
    const char *x = operand_name(e, n, 0);

    if (!strcmp(x, "y0"))
        e_line(e, "(void)a;");
    else
        e_line(e, "memcpy(y0, %s, %lld);", x,
               (long long)type_bytes(&n->out[0]->type));
}

static void put_element(Emit *e, const Nest *l, DType dt, const char *y,
                        const char *x)
{
    const char *to = nest_index(e, l, 0, false);
    const char *from = nest_index(e, l, 1, false);

    if (dtype_bits(dt) < 8)
        e_line(e, "%s(%s, (size_t)(%s), %s);",
               emit_kernel(e, "set_4", DT_NONE, DT_NONE), y, to,
               elem_load(e, DT_U4, x, from));
    else
        e_line(e, "%s[%s] = %s[%s];", y, to, x, from);
}

void emit_copy_nest(Emit *e, const Nest *l, DType dt, const char *y,
                    const char *x)
{
    int last = l->rank - 1, opened;
    int64_t bytes = l->n[last] * dtype_bytes(dt);

    if (l->n[last] == 0)
        return;
    if (l->stride[0][last] == 1 && l->stride[1][last] == 1 &&
        dtype_bits(dt) >= 8) {
        opened = nest_open(e, l, 0, last);
        e_line(e, "memcpy(%s + %s, %s + %s, %lld);", y,
               nest_index(e, l, 0, true), x, nest_index(e, l, 1, true),
               (long long)bytes);
    } else {
        opened = nest_open(e, l, 0, last + 1);
        put_element(e, l, dt, y, x);
    }
    while (opened--)
        e_close(e);
}

/* The planner made operand k of a Concat where its copy would go. */
static bool is_in_place(const Node *n, int k)
{
    const Value *x = n->op == OP_Concat ? n->in[k] : NULL, *y = n->out[0];
    int64_t at = x ? node_part_place(n, k) : -1;

    return at >= 0 && x->buf && y->buf && !x->store && !y->store &&
           x->buf->pool == y->buf->pool &&
           x->buf->offset + x->delta == y->buf->offset + y->delta + at;
}

void emit_move(Emit *e, const Node *n)
{
    for (int k = 0; k < move_count(n); k++) {
        Move m;
        if ((n->op == OP_Split && !n->out[k]) || is_in_place(n, k))
            continue;
        move_part(n, k, &m);
        if (dtype_bits(n->in[0]->type.dt) < 8 && (k == 0 || m.out))
            e_line(e, "memset(y%d, 0, %lld);", m.out,
                   (long long)type_bytes(&n->out[m.out]->type));
        emit_copy_nest(e, &m.nest, n->in[0]->type.dt,
                       arena_printf(e->arena, "y%d", m.out),
                       arena_printf(e->arena, "x%d", m.in));
    }
}
