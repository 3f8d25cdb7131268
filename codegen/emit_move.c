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
        if (dt == DT_F16 || dt == DT_BF16)
            dt = DT_U16;        /* bits */
        elem_store(e, dt, y, nest_index(e, l, 0, false),
                   elem_load(e, dt, x, nest_index(e, l, 1, false)));
    }
    while (opened--)
        e_close(e);
}

void emit_move(Emit *e, const Node *n)
{
    for (int k = 0; k < move_count(n); k++) {
        Move m;
        if (n->op == OP_Split && !n->out[k])
            continue;
        move_part(n, k, &m);
        emit_copy_nest(e, &m.nest, n->in[0]->type.dt,
                       arena_printf(e->arena, "y%d", m.out),
                       arena_printf(e->arena, "x%d", m.in));
    }
}
