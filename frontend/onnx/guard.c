/* guard.c - walks the protobuf wire format twice: once to measure, once to
 * write the skeleton. One function does both, so that what is written is
 * what was measured. */
#include "guard.h"

#include <limits.h>
#include <string.h>

#include "onnx.pb-c.h"

typedef ProtobufCMessageDescriptor Message;
typedef ProtobufCFieldDescriptor Field;

enum {
    MAX_DEPTH = 100,            /* messages in messages; protobuf's own bound */
    SCANNED = 80,               /* protobuf-c's notes per field, with slack */
    SKIPPED = 8,                /* a field that is left out: time, not space */
    BLOCK = 32,                 /* overhead of an allocation */
    MAX_NAME = 1 << 14,         /* bytes of a name */
    LENGTH_BYTES = 5,           /* of a length in the skeleton, padded */
    MIB = 1 << 20,
    MAX_STRUCTS = 128 * MIB,    /* messages and strings: some 100,000 nodes */
};

/* in the set of a message's fields: weights in any of theirs */
#define WEIGHTS ((uint64_t)1 << 63)

typedef struct Guard {
    uint8_t *image;
    Diag *diag;
    Arena *keep;
    uint8_t *out;               /* NULL while measuring */
    size_t nout;                /* bytes of skeleton so far */
    uint64_t structs, scalars;  /* what protobuf-c will allocate */
    uint64_t max_scalars;
    uint8_t *low;               /* end of the weights slid so far */
} Guard;

typedef struct Piece {          /* one field on the wire */
    const uint8_t *start;       /* of its tag */
    const uint8_t *data, *end;  /* of its payload, after any length */
    uint32_t number, wire;
} Piece;

static bool bad(const Guard *g, const Message *m, const uint8_t *at,
                const char *what)
{
    return diag_error(g->diag, "not a valid ONNX file: byte %zu (in %s): %s",
                      (size_t)(at - g->image), m->short_name, what);
}

/* Bytes of the varint at p, 0 when it does not end before `end` or is
 * longer than `max` bytes. */
static int varint(const uint8_t *p, const uint8_t *end, int max, uint64_t *v)
{
    *v = 0;
    for (int i = 0; i < max && p + i < end; i++) {
        *v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
        if (p[i] < 0x80)
            return i + 1;
    }
    return 0;
}

/* The field at *p, which moves behind it. */
static bool read_piece(const Guard *g, const Message *m, const uint8_t **p,
                       const uint8_t *end, Piece *f)
{
    uint64_t v;
    uint64_t room;
    int n = varint(*p, end, LENGTH_BYTES, &v);

    f->start = *p;
    if (!n || v > UINT32_MAX || v >> 3 == 0)
        return bad(g, m, *p, "malformed field number");
    f->number = (uint32_t)v >> 3;
    f->wire = v & 7;
    f->data = *p + n;
    room = (uint64_t)(end - f->data);
    switch (f->wire) {
    case PROTOBUF_C_WIRE_TYPE_VARINT:
        v = (uint64_t)varint(f->data, end, 10, &v);
        if (!v)
            return bad(g, m, f->data, "number does not end");
        break;
    case PROTOBUF_C_WIRE_TYPE_64BIT: v = 8; break;
    case PROTOBUF_C_WIRE_TYPE_32BIT: v = 4; break;
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
        n = varint(f->data, end, LENGTH_BYTES, &v);
        if (!n)
            return bad(g, m, f->data, "malformed length");
        f->data += n;
        room -= (uint64_t)n;
        break;
    default:
        return bad(g, m, *p, "unknown wire type");
    }
    if (v > room || v > INT_MAX)
        return diag_error(g->diag, "not a valid ONNX file: byte %zu (in %s): "
                          "field %u of %llu bytes where %llu are left",
                          (size_t)(f->start - g->image), m->short_name,
                          (unsigned)f->number, (unsigned long long)v,
                          (unsigned long long)room);
    *p = f->end = f->data + v;
    return true;
}

static bool is_dropped(const Field *f)
{
    static const char *const names[] = {
        "doc_string", "metadata_props", "training_info", "configuration",
        "device_configurations", "quantization_annotation", "denotation",
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(f->name, names[i]))
            return true;
    return false;
}

/* A field of weights that can be used as it lies in the file. */
static bool is_weights(const Message *m, const Field *f, const Piece *p)
{
    return m == &onnx__tensor_proto__descriptor &&
           p->wire == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED &&
           (f->id == TENSOR_RAW || f->id == TENSOR_FLOATS ||
            f->id == TENSOR_DOUBLES);
}

static uint32_t wire_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return PROTOBUF_C_WIRE_TYPE_32BIT;
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return PROTOBUF_C_WIRE_TYPE_64BIT;
    default:
        return PROTOBUF_C_WIRE_TYPE_VARINT;
    }
}

static size_t scalar_bytes(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    default:
        return 4;
    }
}

/* Elements of a packed field; false when they do not fill it exactly. */
static bool count_packed(const Field *f, const Piece *p, uint64_t *count)
{
    size_t n = (size_t)(p->end - p->data), run = 0;

    *count = 0;
    if (wire_of(f->type) != PROTOBUF_C_WIRE_TYPE_VARINT) {
        *count = n / scalar_bytes(f->type);
        return n % scalar_bytes(f->type) == 0;
    }
    for (const uint8_t *q = p->data; q < p->end; q++) {
        if (++run > 10)
            return false;
        if (*q < 0x80) {
            run = 0;
            ++*count;
        }
    }
    return run == 0;
}

static void emit(Guard *g, const void *p, size_t n)
{
    if (g->out && n)
        memcpy(g->out + g->nout, p, n);
    g->nout += n;
}

static void emit_tag(Guard *g, uint32_t number)
{
    uint8_t tag[LENGTH_BYTES];
    uint32_t v = number << 3 | PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    size_t n = 0;

    for (; v >= 0x80; v >>= 7)
        tag[n++] = (uint8_t)(v | 0x80);
    tag[n++] = (uint8_t)v;
    emit(g, tag, n);
}

static void store_length(uint8_t *at, size_t v)
{
    for (int i = 0; i < LENGTH_BYTES; i++, v >>= 7)
        at[i] = (uint8_t)((v & 0x7f) | (i < LENGTH_BYTES - 1 ? 0x80 : 0));
}

/* Weights stay where they are, but 8-byte aligned. */
static void emit_weights(Guard *g, const Piece *p)
{
    size_t n = (size_t)(p->end - p->data);
    size_t off = (size_t)((uintptr_t)p->data % 8);
    GuardRaw raw = { g->image + (p->data - g->image) - off, n, p->number };
    uint8_t length = sizeof raw;

    if (g->out) {
        if (raw.data < g->low)
            raw.data = arena_alloc(g->keep, n);
        else
            g->low = raw.data + n;
        memmove(raw.data, p->data, n);
    }
    emit_tag(g, TENSOR_RAW);
    emit(g, &length, 1);
    emit(g, &raw, sizeof raw);
}

/* Adds what protobuf-c allocates for this field. */
static bool account(Guard *g, const Message *m, const Field *f,
                    const Piece *p)
{
    uint64_t n = (uint64_t)(p->end - p->data), count = 1;

    g->structs += SCANNED;
    if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        const Message *sub = f->descriptor;
        g->structs += sub->sizeof_message + sizeof(void *) + BLOCK;
    } else if (is_weights(m, f, p)) {
        g->structs += sizeof(GuardRaw) + BLOCK;
        if (n % (f->id == TENSOR_RAW ? 1 : scalar_bytes(f->type)))
            return bad(g, m, p->data, "packed numbers do not fill the field");
    } else if (wire_of(f->type) == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED) {
        if (f->type == PROTOBUF_C_TYPE_STRING)
            n *= 5;             /* load_text may need \xNN for each byte */
        g->structs += n + sizeof(ProtobufCBinaryData) + BLOCK;
    } else if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        if (p->wire != wire_of(f->type) && !count_packed(f, p, &count))
            return bad(g, m, p->data, "packed numbers do not fill the field");
        g->scalars += count * scalar_bytes(f->type);
    }
    return true;
}

static bool within_budget(const Guard *g, const Piece *p)
{
    bool structs = g->structs > MAX_STRUCTS;

    if (!structs && g->scalars <= g->max_scalars)
        return true;
    return diag_error(g->diag, "too many %s: up to byte %zu of the file they "
                      "need more than the %llu MiB of memory allowed",
                      structs ? "nodes, tensors and attributes" : "numbers",
                      (size_t)(p->end - g->image), (unsigned long long)
                      (structs ? MAX_STRUCTS : g->max_scalars) / MIB);
}

static bool check_field(const Guard *g, const Message *m, const Field *f,
                        const Piece *p, uint64_t *seen)
{
    bool packed = p->wire == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED &&
                  f->label == PROTOBUF_C_LABEL_REPEATED;
    uint64_t bit = (uint64_t)1 << (f - m->fields) % 63;

    if (p->wire != wire_of(f->type) && !packed)
        return diag_error(g->diag, "not a valid ONNX file: byte %zu: field "
                          "'%s' of %s has wire type %u",
                          (size_t)(p->start - g->image), f->name,
                          m->short_name, (unsigned)p->wire);
    if (f->type == PROTOBUF_C_TYPE_STRING && p->end - p->data > MAX_NAME)
        return diag_error(g->diag, "byte %zu: a %s of %zu bytes, at most %d "
                          "are allowed", (size_t)(p->data - g->image), f->name,
                          (size_t)(p->end - p->data), MAX_NAME);
    if (f->type == PROTOBUF_C_TYPE_STRING &&
        memchr(p->data, 0, (size_t)(p->end - p->data)))
        return bad(g, m, p->data, "a name holds a zero byte");
    if (f->type == PROTOBUF_C_TYPE_MESSAGE && *seen & bit &&
        f->label != PROTOBUF_C_LABEL_REPEATED)
        return bad(g, m, p->start, "a field that may stand once stands twice");
    if (is_weights(m, f, p)) {
        if (*seen & WEIGHTS)
            return bad(g, m, p->start, "a tensor with data in two fields");
        bit |= WEIGHTS;
    }
    *seen |= bit;
    return true;
}

static bool walk(Guard *g, const Message *m, const uint8_t *p,
                 const uint8_t *end, int depth);

static bool walk_message(Guard *g, const Field *f, const Piece *p, int depth)
{
    size_t at;

    emit_tag(g, p->number);
    at = g->nout;
    g->nout += LENGTH_BYTES;
    if (!walk(g, f->descriptor, p->data, p->end, depth + 1))
        return false;
    if (g->out)
        store_length(g->out + at, g->nout - at - LENGTH_BYTES);
    return true;
}

static bool walk(Guard *g, const Message *m, const uint8_t *p,
                 const uint8_t *end, int depth)
{
    uint64_t seen = 0;

    if (depth > MAX_DEPTH)
        return diag_error(g->diag, "graphs or types nested more than %d deep",
                          MAX_DEPTH);
    while (p < end) {
        const Field *f;
        Piece piece = { 0 };
        if (!read_piece(g, m, &p, end, &piece))
            return false;
        f = protobuf_c_message_descriptor_get_field(m, piece.number);
        if (!f || is_dropped(f)) {
            g->structs += SKIPPED;
            if (!within_budget(g, &piece))
                return false;
            continue;
        }
        if (!check_field(g, m, f, &piece, &seen) ||
            !account(g, m, f, &piece) || !within_budget(g, &piece))
            return false;
        if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
            if (!walk_message(g, f, &piece, depth))
                return false;
        } else if (is_weights(m, f, &piece)) {
            emit_weights(g, &piece);
        } else {
            emit(g, piece.start, (size_t)(piece.end - piece.start));
        }
    }
    return true;
}

bool guard_check(uint8_t *image, size_t n,
                 const ProtobufCMessageDescriptor *type, Arena *keep,
                 Arena *scratch, Diag *diag, uint8_t **out, size_t *nout)
{
    Guard g = { .image = image, .diag = diag, .keep = keep, .low = image };
    Guard again = g;

    if (n > INT_MAX)
        return diag_error(diag, "%zu bytes: a protobuf file holds at most "
                          "%d; larger models keep weights as external data",
                          n, INT_MAX);
    g.max_scalars = 128 * MIB + 4 * (uint64_t)n;
    again.max_scalars = g.max_scalars;
    if (!walk(&g, type, image, image + n, 0))
        return false;
    again.out = arena_alloc(scratch, g.nout);
    if (!walk(&again, type, image, image + n, 0))
        return false;
    *out = again.out;
    *nout = again.nout;
    return true;
}
