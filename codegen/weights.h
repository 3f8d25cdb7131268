/* weights.h - constants in the generated C file. */
#ifndef MCUFC_WEIGHTS_H
#define MCUFC_WEIGHTS_H

#include <stdio.h>

#include "../ir/ir.h"

typedef enum ConstForm { CONST_FAST, CONST_LIST, CONST_FILE } ConstForm;

typedef struct Weights Weights;

Weights *weights_new(Arena *arena, const char *prefix, const char *upper,
                     ConstForm form);
/* Adds an array (equal bytes are shared); returns a C expression that points
 * to its first element. The data must live until it is written. */
const char *weights_add(Weights *w, const char *hint, DType dt, int64_t n,
                        const void *data);
/* From now on (yes) an array may also be the beginning of a longer one that
 * was added before. */
void weights_share_parts(Weights *w, bool yes);
int64_t weights_bytes(const Weights *w);
/* Definitions, streamed: a model's text may be larger than memory allows. */
bool weights_write(const Weights *w, FILE *out);
/* CONST_FILE: the blob itself, its size with padding, its CRC-32 */
int64_t weights_blob_bytes(const Weights *w);
bool weights_write_blob(const Weights *w, FILE *out);
uint32_t weights_crc(const Weights *w);
void weights_layout(const Weights *w, Buf *out);  /* table, as a comment */

#endif
