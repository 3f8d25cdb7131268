/* onnx.h - ONNX files for tests, written by protobuf-c's packer. */
#ifndef MCUFC_TEST_ONNX_H
#define MCUFC_TEST_ONNX_H

#include "test.h"

#include "../../frontend/model.h"
#include "onnx.pb-c.h"

static inline const char *pack_file(Fixture *f, const char *name,
                                    const void *message)
{
    size_t n = protobuf_c_message_get_packed_size(message);
    uint8_t *p = arena_alloc(f->arena, n);

    protobuf_c_message_pack(message, p);
    return test_file(name, p, n);
}

/* packs, loads, and gives what onnx_load_tensor says */
static inline bool load_packed_tensor(Fixture *f, const void *message,
                                      ModelTensor *t)
{
    return onnx_load_tensor(pack_file(f, "t.pb", message), f->arena,
                            &f->diag, t);
}

static inline bool load_packed_model(Fixture *f, const void *message,
                                     Model *m)
{
    return onnx_load(pack_file(f, "m.onnx", message), f->arena, &f->diag, m);
}

static inline bool load_bytes(Fixture *f, const void *p, size_t n)
{
    Model model;

    return onnx_load(test_file("g.onnx", p, n), f->arena, &f->diag, &model);
}

/* A tensor of n raw bytes with one dimension. */
static inline Onnx__TensorProto *raw_tensor(Fixture *f, const char *name,
                                            int type, int64_t dim,
                                            const void *data, size_t n)
{
    Onnx__TensorProto *t = NEW(f->arena, Onnx__TensorProto);

    onnx__tensor_proto__init(t);
    t->name = arena_strdup(f->arena, name);
    t->has_data_type = 1;
    t->data_type = type;
    t->n_dims = 1;
    t->dims = arena_memdup(f->arena, &dim, sizeof dim);
    t->has_raw_data = 1;
    t->raw_data.len = n;
    t->raw_data.data = arena_memdup(f->arena, data, n);
    return t;
}

static inline Onnx__ValueInfoProto *value_info(Fixture *f, const char *name)
{
    Onnx__ValueInfoProto *v = NEW(f->arena, Onnx__ValueInfoProto);

    onnx__value_info_proto__init(v);
    v->name = arena_strdup(f->arena, name);
    return v;
}

static inline Onnx__ModelProto *empty_model(Fixture *f)
{
    Onnx__ModelProto *m = NEW(f->arena, Onnx__ModelProto);

    onnx__model_proto__init(m);
    m->has_ir_version = 1;
    m->ir_version = 8;
    m->graph = NEW(f->arena, Onnx__GraphProto);
    onnx__graph_proto__init(m->graph);
    return m;
}

/* *n pointers, then p: for the repeated fields */
#define APPEND(f, array, n, p)                                            \
    ((array) = test_append((f)->arena, (array), (n)++, (p)))

static inline void *test_append(Arena *a, void *array, size_t n, void *p)
{
    void **list = arena_array(a, n + 1, sizeof *list);

    if (n)
        memcpy(list, array, n * sizeof *list);
    list[n] = p;
    return list;
}

static inline Onnx__NodeProto *add_node(Fixture *f, Onnx__GraphProto *g,
                                        const char *op)
{
    Onnx__NodeProto *n = NEW(f->arena, Onnx__NodeProto);

    onnx__node_proto__init(n);
    n->op_type = arena_strdup(f->arena, op);
    APPEND(f, g->node, g->n_node, n);
    return n;
}

static inline Onnx__AttributeProto *add_attr(Fixture *f, Onnx__NodeProto *n,
                                             const char *name, int type)
{
    Onnx__AttributeProto *a = NEW(f->arena, Onnx__AttributeProto);

    onnx__attribute_proto__init(a);
    a->name = arena_strdup(f->arena, name);
    a->has_type = type != 0;
    a->type = (Onnx__AttributeProto__AttributeType)type;
    APPEND(f, n->attribute, n->n_attribute, a);
    return a;
}

#endif
