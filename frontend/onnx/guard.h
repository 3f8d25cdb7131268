/* guard.h - looks at a protobuf file before protobuf-c may.
 *
 * protobuf-c has no recursion limit and amplifies memory: 30 kB of nested
 * graphs overflow its stack, 20 MB of empty nodes become 2 GB. The guard
 * walks the wire format first, by protobuf-c's own descriptors, and bounds
 * depth, lengths and the memory that unpacking takes.
 *
 * It also writes the skeleton that is unpacked instead of the file: the same
 * message without documentation, unknown fields and metadata, and with every
 * TensorProto.raw_data replaced by a GuardRaw, so that weights are never
 * copied. They stay in the file's image, slid down by at most 7 bytes over
 * their own headers to an address divisible by 8.
 */
#ifndef MCUFC_GUARD_H
#define MCUFC_GUARD_H

#include <protobuf-c/protobuf-c.h>

#include "../../support/arena.h"
#include "../../support/diag.h"

typedef struct GuardRaw {       /* what raw_data holds in a skeleton */
    uint8_t *data;              /* aligned to 8 bytes, writable */
    uint64_t bytes;
} GuardRaw;

/* image: the whole file, changed by this call and kept by the caller.
 * keep: for weights that cannot slide; scratch: for the skeleton, which
 * *out (*nout bytes) receives. False after a message. */
bool guard_check(uint8_t *image, size_t n,
                 const ProtobufCMessageDescriptor *type, Arena *keep,
                 Arena *scratch, Diag *diag, uint8_t **out, size_t *nout);

#endif
