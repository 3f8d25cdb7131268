/* guard.h - looks at a protobuf file before protobuf-c may.
 *
 * protobuf-c has no recursion limit and amplifies memory: 30 kB of nested
 * graphs overflow its stack, 20 MB of empty nodes become 2 GB. The guard
 * walks the wire format first, by protobuf-c's own descriptors, and bounds
 * depth, lengths and the memory that unpacking takes.
 *
 * It also writes the skeleton that is unpacked instead of the file: the same
 * message without documentation, unknown fields and metadata, and with the
 * weights (raw_data, and packed float_data and double_data, which have the
 * same bytes) replaced by a GuardRaw in raw_data, so that they are never
 * copied. They stay in the file's image, slid down by at most 7 bytes over
 * their own headers to an address divisible by 8.
 */
#ifndef MCUFC_GUARD_H
#define MCUFC_GUARD_H

#include <protobuf-c/protobuf-c.h>

#include "../../support/arena.h"
#include "../../support/diag.h"

enum { TENSOR_FLOATS = 4, TENSOR_RAW = 9, TENSOR_DOUBLES = 10 };

typedef struct GuardRaw {       /* what raw_data holds in a skeleton */
    uint8_t *data;              /* aligned to 8 bytes, writable */
    uint64_t bytes;
    uint64_t field;             /* of TensorProto: where they were */
} GuardRaw;

/* image: the whole file, changed by this call and kept by the caller.
 * keep: for weights that cannot slide; scratch: for the skeleton, which
 * *out (*nout bytes) receives. False after a message. */
bool guard_check(uint8_t *image, size_t n,
                 const ProtobufCMessageDescriptor *type, Arena *keep,
                 Arena *scratch, Diag *diag, uint8_t **out, size_t *nout);

#endif
