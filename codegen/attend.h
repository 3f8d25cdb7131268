/* attend.h - what the emitters of Attention and QAttention share: where
 * operands lie, which keys a query sees, past and new keys in two arrays. The
 * C text uses b, h, i for batch entry, head and query.
 */
#ifndef MCUFC_CODEGEN_ATTEND_H
#define MCUFC_CODEGEN_ATTEND_H

#include "../ir/ops/attention.h"
#include "emit.h"

typedef struct Attend {
    Emit *e;
    const Node *n;
    Attn a;
    DType dt;
    const char *type;           /* C type of dt */
    bool ranged;                /* from and to differ between queries */
} Attend;

/* Where keys or values are read from: one array, or past and new apart. */
typedef struct AttendSource {
    const char *all, *past, *fresh;     /* pointers to key 0, at this head */
    AttnWalk wall, wpast, wfresh;
} AttendSource;

bool attend_ranged(const Attn *a);
/* "x0 + b * 96 + h * 32 + i * 8"; head: C name of the head's number; token
 * NULL: of token 0 */
const char *attend_place(const Attend *t, const char *ptr, AttnWalk w,
                         const char *head, const char *token);
const char *attend_kv_head(const Attend *t);
/* past and new tokens of every head side by side into result `out` */
void attend_present(const Attend *t, int out, int past, int fresh,
                    AttnWalk new, AttnWalk all, int64_t size);
/* declares from and to, the keys that query i sees */
void attend_range(const Attend *t);

AttendSource attend_source(const Attend *t, int out, int past, int fresh,
                           AttnWalk new, AttnWalk old, AttnWalk both);
/* `n` keys (C expressions) at pointer `keys`, the first of them key `from` of
 * the row, `step` elements apart */
typedef void AttendPart(const Attend *t, const char *keys, const char *from,
                        const char *n, int64_t step, const void *user);
/* calls part for the one or two arrays that keys [from, to) lie in */
void attend_parts(const Attend *t, const AttendSource *s, const char *from,
                  const char *to, AttendPart *part, const void *user);

#endif
