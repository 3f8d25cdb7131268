/* load.h - what load.c and tensor.c share. */
#ifndef MCUFC_ONNX_LOAD_H
#define MCUFC_ONNX_LOAD_H

#include "../../support/file.h"
#include "../../support/map.h"
#include "../model.h"
#include "onnx.pb-c.h"

typedef struct Loader {
    Arena *arena;               /* of the model */
    Arena *scratch;             /* gone when loading is done */
    Diag *diag;
    const char *path;           /* of the model file */
    const char *folder;         /* its real path; NULL until needed */
    Map external;               /* "path\noffset\nbytes" -> data */
    uint64_t external_bytes;    /* read so far */
    uint64_t external_limit;    /* sizes of the files read, with slack */
    const char *node, *op, *attr;       /* where we are, or NULL */
} Loader;

void loader_init(Loader *l, const char *path, Arena *arena, Arena *scratch,
                 Diag *diag);

/* A name as it may be printed anywhere: never NULL, UTF-8, one line. */
const char *load_text(Loader *l, const char *s);
/* `node 'n' (Op): attribute 'a': message`, as far as known */
bool load_error(Loader *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* load_error for a tensor: its name goes before the message when it has one */
bool tensor_error(Loader *l, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The file as protobuf-c's message, in the model's arena; NULL after a
 * message. The file's bytes stay in use: weights point into them. */
void *load_message(Loader *l, const ProtobufCMessageDescriptor *type,
                   FileBytes file);

/* tensor.c: checks everything; a type without data gets `problem` set */
bool load_tensor(Loader *l, const Onnx__TensorProto *p, ModelTensor *t);
/* why a data type cannot be used, or NULL; names it */
const char *load_dtype(Loader *l, int32_t type, DType *dt);
/* mistake.c: hints what a file that is no ONNX model may be */
void mistake_hint(Diag *diag, const uint8_t *p, size_t n);
/* external.c: `bytes` bytes that a tensor keeps in another file */
bool load_external(Loader *l, const Onnx__TensorProto *p, const char *name,
                   size_t bytes, const void **data);

#endif
