/* arena.c - types, sizes and addresses of the arena in generated C.
 *
 * Without --pool the arena is a union, and `a` points to it. With pools each
 * memory has a union of its own, which the user places with a section
 * attribute, and the arena is a structure of one pointer per pool: the same
 * `kws_arena *a` everywhere, one more load per address.
 */
#include "arena.h"

#include <ctype.h>

#include "codegen.h"

static const char *upper_case(Arena *arena, const char *s)
{
    char *u = arena_strdup(arena, s);

    for (char *p = u; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    return u;
}

void arena_byte(Buf *b, const Plan *p, int pool, int64_t at)
{
    buf_puts(b, "a->");
    if (plan_has_pools(p))
        buf_printf(b, "%s->", p->pool[pool].name);
    buf_printf(b, "bytes + %lld", (long long)at);
}

void arena_value(Buf *b, const Plan *p, const Value *v)
{
    arena_byte(b, p, v->buf ? v->buf->pool : 0,
               v->buf ? v->buf->offset + v->delta : 0);
}

static void declare_union(Buf *b, const char *type, const char *macro)
{
    buf_printf(b, "typedef union %s {\n    uint8_t bytes[%s_BYTES];\n"
               "    uint64_t align_u64;\n    double align_double;\n} %s;\n\n",
               type, macro, type);
}

static void declare_pools(Buf *b, const ArenaNames *a)
{
    const Plan *p = a->plan;

    buf_puts(b, "/* One object per memory, fast ones first: put each into "
             "its section. */\n");
    for (int i = 0; i < p->npool; i++) {
        const char *name = p->pool[i].name;
        const char *macro = arena_printf(b->arena, "%s_POOL_%s", a->upper,
                                         upper_case(b->arena, name));
        buf_printf(b, "#define %s_BYTES %lldu\n", macro,
                   (long long)p->pool[i].bytes);
        declare_union(b, arena_printf(b->arena, "%s_pool_%s", a->name, name),
                      macro);
    }
    buf_printf(b, "/* All memory that inference needs besides the stack: "
               "%s_ARENA_BYTES in these. */\ntypedef struct %s_arena {\n",
               a->upper, a->name);
    for (int i = 0; i < p->npool; i++)
        buf_printf(b, "    %s_pool_%s *%s;\n", a->name, p->pool[i].name,
                   p->pool[i].name);
    buf_printf(b, "} %s_arena;\n\n", a->name);
}

void arena_declare_shared(Buf *b, const char *name, const char *upper,
                          int64_t bytes)
{
    buf_printf(b, "/* One arena for all models of this file: they run one "
               "after the other. */\n#define %s_ARENA_BYTES %lldu\n"
               "#define %s_ARENA_ALIGN %du\n", upper, (long long)bytes, upper,
               ARENA_ALIGN);
    declare_union(b, arena_printf(b->arena, "%s_arena", name),
                  arena_printf(b->arena, "%s_ARENA", upper));
}

void arena_declare(Buf *b, const ArenaNames *a)
{
    if (a->shared) {
        buf_printf(b, "typedef %s_arena %s_arena;\n\n", a->shared, a->name);
        return;
    }
    if (plan_has_pools(a->plan)) {
        declare_pools(b, a);
        return;
    }
    buf_puts(b, "/* All memory that inference needs besides the stack. */\n");
    declare_union(b, arena_printf(b->arena, "%s_arena", a->name),
                  arena_printf(b->arena, "%s_ARENA", a->upper));
}

void arena_assert(Buf *b, const ArenaNames *a)
{
    const Plan *p = a->plan;

    if (!plan_has_pools(p)) {
        buf_printf(b, "typedef char %s_assert_size[sizeof(%s_arena) == "
                   "%s_ARENA_BYTES ? 1 : -1];\n", a->name, a->name, a->upper);
        return;
    }
    for (int i = 0; i < p->npool; i++) {
        const char *name = p->pool[i].name;
        buf_printf(b, "typedef char %s_assert_%s[sizeof(%s_pool_%s) == "
                   "%s_POOL_%s_BYTES ?\n    1 : -1];\n", a->name, name,
                   a->name, name, a->upper, upper_case(b->arena, name));
    }
}

void arena_unusable(Buf *b, const ArenaNames *a)
{
    const Plan *p = a->plan;

    buf_puts(b, "!a");
    if (!plan_has_pools(p))
        buf_printf(b, " || (uintptr_t)a %% %s_ARENA_ALIGN != 0", a->upper);
    for (int i = 0; plan_has_pools(p) && i < p->npool; i++)
        buf_printf(b, " ||\n        !a->%s || (uintptr_t)a->%s %% "
                   "%s_ARENA_ALIGN != 0", p->pool[i].name, p->pool[i].name,
                   a->upper);
}

void arena_define(Buf *b, const ArenaNames *a, const char *object)
{
    const Plan *p = a->plan;

    if (!plan_has_pools(p)) {
        buf_printf(b, "static %s_arena %s;\n", a->name, object);
        return;
    }
    for (int i = 0; i < p->npool; i++)
        buf_printf(b, "static %s_pool_%s %s_%s;\n", a->name, p->pool[i].name,
                   object, p->pool[i].name);
    buf_printf(b, "static %s_arena %s = {", a->name, object);
    for (int i = 0; i < p->npool; i++)
        buf_printf(b, "%s &%s_%s", i ? "," : "", object, p->pool[i].name);
    buf_puts(b, " };\n");
}
