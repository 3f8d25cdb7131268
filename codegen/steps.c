/* steps.c - the C function of a step that is in no loop: its comment, its
 * pointers, what its emitter writes; and its call.
 */
#include "writer.h"

#include <ctype.h>
#include <string.h>

#include "../ir/relation.h"
#include "regions.h"

/* Scratch up to this many bytes is on the stack, more is in the arena. */
enum { STACK_SCRATCH = 256 };

/* Text for people inside a C comment: no way out of it, one line. */
void put_comment_text(Buf *b, const char *s)
{
    for (; *s; s++)
        if ((*s == '*' && s[1] == '/') || (*s == '/' && s[1] == '*'))
            buf_putc(b, '|');
        else if (*s == '?')
            buf_putc(b, '.');   /* no trigraphs */
        else
            buf_putc(b, (unsigned char)*s < 32 || *s == 127 || *s == '\\'
                            ? '_' : *s);
}

static void put_place(Buf *b, const Buffer *buf, int64_t at)
{
    buf_printf(b, " @%lld", (long long)at);
    if (buf->pool)
        buf_printf(b, " of pool %d", buf->pool);
}

static void put_value(Buf *b, const Value *v)
{
    put_comment_text(b, v->name);
    buf_putc(b, ' ');
    type_print(b, &v->type);
    if (v->buf)
        put_place(b, v->buf, v->buf->offset + v->delta);
}

bool body_names(const char *body, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = body; (p = strstr(p, name)); p += n) {
        char before = p == body ? ' ' : p[-1], after = p[n];
        if (!isalnum((unsigned char)before) && before != '_' &&
            before != '.' && !isalnum((unsigned char)after) && after != '_')
            return true;
    }
    return false;
}

static void declare(Codegen *cg, Buf *out, const char *body, const Value *v,
                    char letter, int i)
{
    char name[16];
    const char *ctype = dtype_ctype(v->type.dt);
    const char *constant = letter == 'x' ? "const " : "";

    snprintf(name, sizeof name, "%c%d", letter, i);
    if (!body_names(body, name))
        return;
    buf_printf(out, "    %s%s *%s = ", constant, ctype, name);
    if (value_is_const(v))
        buf_printf(out, "%s;\n",
                   weights_add(cg->state.weights, v->name, v->type.dt,
                               type_elems(&v->type), v->data));
    else {
        buf_printf(out, "(%s%s *)(%svoid *)(", constant, ctype, constant);
        arena_value(out, cg->g->plan, v);
        buf_puts(out, ");\n");
    }
}

/* Every result already is where the operand is: nothing to do. */
static bool shares_storage(const Node *n)
{
    const Value *x = node_in(n, 0);
    int64_t shift;

    for (int i = 0; i < n->nout; i++) {
        const Value *y = n->out[i];
        if (!y || type_bytes(&y->type) == 0)
            continue;
        if (!node_view_shift(n, i, &shift) || !x->buf || x->buf != y->buf ||
            y->delta != x->delta + shift || x->store != y->store)
            return false;
    }
    return true;
}

void step_comment(Buf *b, const Node *n)
{
    buf_printf(b, "/* step %d: %s '", n->index, op_name(n->op));
    put_comment_text(b, n->name);
    buf_puts(b, "'\n");
    for (int i = 0; i < n->nin; i++)
        if (n->in[i]) {
            buf_printf(b, " *   x%d  ", i);
            put_value(b, n->in[i]);
            buf_puts(b, value_is_const(n->in[i]) ? " constant\n" : "\n");
        }
    for (int i = 0; i < n->nout; i++)
        if (n->out[i]) {
            buf_printf(b, " *   y%d  ", i);
            put_value(b, n->out[i]);
            buf_putc(b, '\n');
        }
    if (n->scratch) {
        buf_printf(b, " *   s   %lld bytes", (long long)n->scratch);
        put_place(b, n->scratch_buf, n->scratch_buf->offset);
        buf_putc(b, '\n');
    }
    buf_puts(b, " */\n");
}

bool codegen_has_step(const Node *n)
{
    return n->op != OP_Receive && !shares_storage(n);
}

/* In the arena, or where it is little, on the stack. */
static void declare_scratch(Codegen *cg, const Node *n)
{
    int64_t bytes = emit_scratch(n);

    if (n->scratch) {
        buf_puts(&cg->steps, "    uint8_t *s = ");
        arena_byte(&cg->steps, cg->g->plan, n->scratch_buf->pool,
                   n->scratch_buf->offset);
        buf_puts(&cg->steps, ";\n");
        return;
    }
    if (kernels_deepest(cg->state.kernels) + bytes > cg->local)
        cg->local = kernels_deepest(cg->state.kernels) + bytes;
    buf_printf(&cg->steps, "    uint64_t room[%lld];\n"
               "    uint8_t *s = (uint8_t *)(void *)room;\n",
               (long long)(bytes + 7) / 8);
}

/* The function of a step, called NAME_step_7 and what `suffix` says. */
static void write_function(Codegen *cg, const Node *n, const char *suffix)
{
    Buf body;

    buf_init(&body, cg->arena);
    cg->e.c = &body;
    cg->e.indent = 1;
    kernels_begin(cg->state.kernels);
    emit_fn(n->op)(&cg->e, n);
    if (!body.n)                /* in place, nothing to change */
        e_line(&cg->e, "(void)a;");
    step_comment(&cg->steps, n);
    buf_printf(&cg->steps, "%s_STEP void %s_step_%d%s(%s_arena *a)\n{\n",
               cg->upper, cg->name, n->index, suffix, cg->name);
    for (int i = 0; i < n->nin; i++)
        if (n->in[i])
            declare(cg, &cg->steps, body.s, n->in[i], 'x', i);
    for (int i = 0; i < n->nout; i++)
        if (n->out[i])
            declare(cg, &cg->steps, body.s, n->out[i], 'y', i);
    if (body_names(body.s, "s"))
        declare_scratch(cg, n);
    buf_putc(&cg->steps, '\n');
    buf_write(&cg->steps, body.s, body.n);
    buf_printf(&cg->steps, "    %s_STEP_KEEP();\n}\n\n", cg->upper);
}

void step_call(Buf *b, const Emit *e, const Node *n, const char *function,
               const char *args, int depth)
{
    int levels = n->narrow ? n->graph->nlevel - 1 : 0;

    if (levels)
        buf_printf(b, "%*sswitch (%s_width(a, %d)) {\n", 4 * depth, "",
                   e->name, n->layer);
    for (int l = 0; l < levels; l++)
        buf_printf(b, "%*scase %d: %s_w%d(a%s); break;\n", 4 * depth, "", l,
                   function, l, args);
    buf_printf(b, "%*s%s%s(a%s);%s\n", 4 * depth, "",
               levels ? "default: " : "", function, args,
               levels ? " break;" : "");
    if (levels)
        buf_printf(b, "%*s}\n", 4 * depth, "");
}

/* One more function for every narrower width; they share the weights. */
void step_write(Codegen *cg, const Node *n)
{
    int levels = n->narrow ? n->graph->nlevel - 1 : 0;

    if (shares_storage(n))
        return;
    write_function(cg, n, "");
    weights_share_parts(cg->state.weights, true);
    for (int l = 0; l < levels; l++)
        write_function(cg, n->narrow[l], arena_printf(cg->arena, "_w%d", l));
    weights_share_parts(cg->state.weights, false);
    buf_printf(&cg->run, "    %s_STEP_BEGIN(%d);\n", cg->upper, n->index);
    step_call(&cg->run, &cg->e, n,
              arena_printf(cg->arena, "%s_step_%d", cg->name, n->index), "",
              1);
    buf_printf(&cg->run, "    %s_STEP_END(%d);\n", cg->upper, n->index);
}

bool codegen_supported(Graph *g)
{
    bool ok = true;

    for EACH_NODE(n, g)
        if (!emit_fn(n->op))
            ok = node_error(n, "cannot be written as C yet");
    return ok;
}

/* Kernels of int8 need little stack themselves, but for those of 4 bits and
 * of scales in groups. */
static bool on_stack(const Node *n)
{
    const Value *scale = n->op == OP_QMatMul ? n->in[2] : NULL;
    bool packed = node_in(n, 1) && n->in[1]->type.dt == DT_I4;
    bool groups = scale && scale->type.rank == 2 && scale->type.dim[1] > 1;

    return !n->region && node_unit_axes(n) >= 0 && !packed && !groups;
}

static int64_t scratch_of(const Node *n)
{
    if (n->op == OP_Receive)
        return 0;
    return n->region ? region_scratch(n)
                     : emit_fn(n->op) ? emit_scratch(n) : 0;
}

void codegen_scratch(Node *n)
{
    n->scratch = scratch_of(n);
    for (int l = 0; n->narrow && l < n->graph->nlevel - 1; l++) {
        int64_t bytes = scratch_of(n->narrow[l]);
        n->scratch = bytes > n->scratch ? bytes : n->scratch;
    }
    if (n->scratch <= STACK_SCRATCH && on_stack(n))
        n->scratch = 0;
}
