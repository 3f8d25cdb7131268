/* arena.h - the arena as C: one union of bytes, or with --pool a structure
 * of pointers to one union per memory. */
#ifndef MCUFC_CODEGEN_ARENA_H
#define MCUFC_CODEGEN_ARENA_H

#include "../ir/ir.h"

/* How a model's arena is called. */
typedef struct ArenaNames {
    const Plan *plan;
    const char *name, *upper;   /* of the model: kws, KWS */
    const char *shared;         /* prefix of the arena's type where several
                                   models run in it; NULL: the model's own */
} ArenaNames;

/* C expression of a byte of a pool: a->bytes + 12, a->sram->bytes + 12 */
void arena_byte(Buf *b, const Plan *p, int pool, int64_t at);
/* of v's first byte; any address where v has no bytes */
void arena_value(Buf *b, const Plan *p, const Value *v);
/* sizes as macros, types */
void arena_declare(Buf *b, const ArenaNames *a);
/* the type itself, for the models that share it */
void arena_declare_shared(Buf *b, const char *name, const char *upper,
                          int64_t bytes);
/* asserts at file scope: sizes are what the macros say */
void arena_assert(Buf *b, const ArenaNames *a);
/* `!a || ...`: a condition that is true when the arena cannot be used */
void arena_unusable(Buf *b, const ArenaNames *a);
/* objects named after `object` and an arena of that name, for programs */
void arena_define(Buf *b, const ArenaNames *a, const char *object);

#endif
