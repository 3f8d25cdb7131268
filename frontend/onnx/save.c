/* save.c - a Graph as an ONNX model that other tools read.
 *
 * Everything is written with standard operators where ONNX has them: what
 * our ops do beyond theirs (a fused activation, a bias of FusedMatMul)
 * becomes nodes of its own. FusedMatMul exists in com.microsoft without the
 * bias. Attributes at their default are left out. */
#include <limits.h>
#include <string.h>

#include "../../support/map.h"
#include "../model.h"
#include "onnx.pb-c.h"

enum { OPSET = 23 };            /* unless an op is newer */

typedef Onnx__NodeProto NodeProto;
typedef Onnx__AttributeProto AttrProto;
#define ATTR_TYPE(t) ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##t

typedef struct Save {
    Graph *g;
    Arena *a;                   /* gone when the bytes are out */
    Onnx__GraphProto graph;
    int nnode, capnode, ninit, capinit, ninfo, capinfo;
    int64_t opset;
    Map names;                  /* of nodes */
    bool microsoft, own;        /* domains used */
} Save;

/* An op that came after opset 23, or what it needs beyond it. */
static const struct {
    Op op;
    int opset;
} newer[] = {
    { OP_Swish, 24 }, { OP_TensorScatter, 24 }, { OP_BitCast, 26 },
};

static int64_t *copy_dims(Save *s, const Type *t)
{
    return arena_memdup(s->a, t->dim, (size_t)t->rank * sizeof *t->dim);
}

static Onnx__ValueInfoProto *value_info(Save *s, const Value *v)
{
    Onnx__ValueInfoProto *p = NEW(s->a, Onnx__ValueInfoProto);
    Onnx__TypeProto__Tensor *t = NEW(s->a, Onnx__TypeProto__Tensor);
    Onnx__TensorShapeProto *shape = NEW(s->a, Onnx__TensorShapeProto);
    size_t rank = (size_t)v->type.rank;

    onnx__value_info_proto__init(p);
    onnx__type_proto__tensor__init(t);
    onnx__tensor_shape_proto__init(shape);
    p->name = (char *)v->name;
    p->type = NEW(s->a, Onnx__TypeProto);
    onnx__type_proto__init(p->type);
    p->type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    p->type->tensor_type = t;
    t->has_elem_type = 1;
    t->elem_type = (int32_t)v->type.dt;
    t->shape = shape;
    shape->n_dim = rank;
    shape->dim = NEW_ARRAY(s->a, Onnx__TensorShapeProto__Dimension *, rank);
    for (size_t i = 0; i < rank; i++) {
        shape->dim[i] = NEW(s->a, Onnx__TensorShapeProto__Dimension);
        onnx__tensor_shape_proto__dimension__init(shape->dim[i]);
        shape->dim[i]->value_case =
            ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        shape->dim[i]->dim_value = v->type.dim[i];
    }
    return p;
}

static Onnx__TensorProto *tensor(Save *s, const char *name, const Type *t,
                                 const void *data)
{
    Onnx__TensorProto *p = NEW(s->a, Onnx__TensorProto);

    onnx__tensor_proto__init(p);
    p->name = (char *)name;
    p->has_data_type = 1;
    p->data_type = (int32_t)t->dt;
    p->n_dims = (size_t)t->rank;
    p->dims = copy_dims(s, t);
    p->has_raw_data = 1;
    p->raw_data.len = (size_t)type_bytes(t);
    p->raw_data.data = (uint8_t *)data;
    return p;
}

static void add_init(Save *s, const char *name, const Type *t,
                     const void *data)
{
    PUSH(s->a, s->graph.initializer, s->ninit, s->capinit,
         tensor(s, name, t, data));
}

static ProtobufCBinaryData text_bytes(const char *text)
{
    return (ProtobufCBinaryData){ strlen(text), (uint8_t *)text };
}

static AttrProto *new_attr(Save *s, const char *name, int type)
{
    AttrProto *a = NEW(s->a, AttrProto);

    onnx__attribute_proto__init(a);
    a->name = (char *)name;
    a->has_type = 1;
    a->type = (Onnx__AttributeProto__AttributeType)type;
    return a;
}

static AttrProto *int_attr(Save *s, const char *name, int64_t i)
{
    AttrProto *a = new_attr(s, name, ATTR_TYPE(INT));

    a->has_i = 1;
    a->i = i;
    return a;
}

static AttrProto *float_attr(Save *s, const char *name, float f)
{
    AttrProto *a = new_attr(s, name, ATTR_TYPE(FLOAT));

    a->has_f = 1;
    a->f = f;
    return a;
}

static AttrProto *string_attr(Save *s, const char *name, const char *text)
{
    AttrProto *a = new_attr(s, name, ATTR_TYPE(STRING));

    a->has_s = 1;
    a->s = text_bytes(text);
    return a;
}

static AttrProto *strings_attr(Save *s, const char *name, const Strings *v)
{
    AttrProto *a = new_attr(s, name, ATTR_TYPE(STRINGS));

    a->n_strings = (size_t)v->n;
    a->strings = NEW_ARRAY(s->a, ProtobufCBinaryData, v->n);
    for (int i = 0; i < v->n; i++)
        a->strings[i] = text_bytes(v->v[i]);
    return a;
}

static AttrProto *field_attr(Save *s, const AttrInfo *info, const void *p)
{
    const Ints *ints = p;
    const Floats *floats = p;
    AttrProto *a;

    switch (info->kind) {
    case AK_int: return int_attr(s, info->name, *(const int64_t *)p);
    case AK_float: return float_attr(s, info->name, *(const float *)p);
    case AK_string:
        return string_attr(s, info->name, *(const char *const *)p);
    case AK_strings: return strings_attr(s, info->name, p);
    case AK_ints:
        a = new_attr(s, info->name, ATTR_TYPE(INTS));
        a->n_ints = (size_t)ints->n;
        a->ints = ints->v;
        return a;
    case AK_floats: break;
    }
    a = new_attr(s, info->name, ATTR_TYPE(FLOATS));
    a->n_floats = (size_t)floats->n;
    a->floats = floats->v;
    return a;
}

static void add_attr(Save *s, NodeProto *p, AttrProto *a)
{
    AttrProto **list = NEW_ARRAY(s->a, AttrProto *, p->n_attribute + 1);

    if (p->n_attribute)
        memcpy(list, p->attribute, p->n_attribute * sizeof *list);
    list[p->n_attribute++] = a;
    p->attribute = list;
}

/* Every attribute that is required or not at its default. Activations are
 * nodes of their own when split_act. */
static void add_attrs(Save *s, NodeProto *p, const Node *n, bool split_act)
{
    const OpInfo *op = op_info(n->op);
    const char *attr = n->attr, *def;

    def = arena_alloc(s->a, (size_t)op->attr_bytes);
    attr_set_defaults(op, (void *)def, s->a);
    for (int i = 0; i < op->nattr; i++) {
        const AttrInfo *a = &op->attr[i];
        bool ours = !strncmp(a->name, "act", 3) &&
                    (!a->name[3] || a->name[3] == '_');
        if (ours && split_act)
            continue;
        if (strcmp(a->def, "!") &&
            attr_field_equal(a->kind, attr + a->offset, def + a->offset))
            continue;
        add_attr(s, p, field_attr(s, a, attr + a->offset));
    }
}

/* Other tools want different names for nodes; ours say where they are from. */
static char *node_name(Save *s, const char *name)
{
    const char *unique = name;

    for (int i = 2; map_get(&s->names, unique); i++)
        unique = arena_printf(s->a, "%s_%d", name, i);
    map_put(&s->names, unique, s);
    return (char *)unique;
}

static NodeProto *add_node(Save *s, const char *name, const char *domain,
                           const char *op)
{
    NodeProto *p = NEW(s->a, NodeProto);

    onnx__node_proto__init(p);
    p->name = node_name(s, name);
    p->op_type = (char *)op;
    if (*domain)
        p->domain = (char *)domain;
    PUSH(s->a, s->graph.node, s->nnode, s->capnode, p);
    return p;
}

static void add_input(Save *s, NodeProto *p, const char *name)
{
    char **list = NEW_ARRAY(s->a, char *, p->n_input + 1);

    if (p->n_input)
        memcpy(list, p->input, p->n_input * sizeof *list);
    list[p->n_input++] = (char *)name;
    p->input = list;
}

static void add_output(Save *s, NodeProto *p, const char *name)
{
    char **list = NEW_ARRAY(s->a, char *, p->n_output + 1);

    if (p->n_output)
        memcpy(list, p->output, p->n_output * sizeof *list);
    list[p->n_output++] = (char *)name;
    p->output = list;
}

static const char *value_name(const Value *v)
{
    return v ? v->name : "";
}

/* The node's operands from..., without the empty ones at the end. */
static void add_inputs(Save *s, NodeProto *p, const Node *n, int upto)
{
    while (upto && !n->in[upto - 1])
        upto--;
    for (int i = 0; i < upto; i++)
        add_input(s, p, value_name(n->in[i]));
}

static void add_outputs(Save *s, NodeProto *p, const Node *n)
{
    int nout = n->nout;

    while (nout && !n->out[nout - 1])
        nout--;
    for (int i = 0; i < nout; i++)
        add_output(s, p, value_name(n->out[i]));
}

static void need_opset(Save *s, int64_t version)
{
    if (s->opset < version)
        s->opset = version;
}

/* What our ops do beyond ONNX's */

static const char *node_act(const Node *n, float *alpha, float *beta)
{
    const OpInfo *op = op_info(n->op);
    const AttrInfo *act = attr_find(op, "act");
    const char *p = n->attr;

    if (!act)
        return "";
    *alpha = *(const float *)(const void *)
             (p + attr_find(op, "act_alpha")->offset);
    *beta = *(const float *)(const void *)
            (p + attr_find(op, "act_beta")->offset);
    return *(const char *const *)(const void *)(p + act->offset);
}

/* A constant of one element of v's type, as an input of p. */
static void add_bound(Save *s, NodeProto *p, const Value *v, double x)
{
    Type t = type_scalar(v->type.dt);
    const char *name = graph_fresh_name(s->g, v->name);
    void *data = arena_alloc(s->a, 8);

    elem_set(t.dt, data, 0, x);
    add_init(s, name, &t, data);
    add_input(s, p, name);
}

/* y = act(x), as fuse_act.c took it in. */
static void add_act(Save *s, const Node *n, const char *act, float alpha,
                    float beta, const char *x)
{
    const OpInfo *op = op_info(op_by_name(act));
    NodeProto *p = add_node(s, arena_printf(s->a, "%s/%s", n->name, act),
                            "", act);

    add_input(s, p, x);
    if (!strcmp(act, "Clip")) {
        add_bound(s, p, n->out[0], (double)alpha);
        add_bound(s, p, n->out[0], (double)beta);
    } else if (!strcmp(act, "Gelu")) {
        if (alpha == 1)
            add_attr(s, p, string_attr(s, "approximate", "tanh"));
    } else {
        if (attr_find(op, "alpha"))
            add_attr(s, p, float_attr(s, "alpha", alpha));
        if (attr_find(op, "beta"))
            add_attr(s, p, float_attr(s, "beta", beta));
    }
    if (!strcmp(act, "Swish"))
        need_opset(s, 24);
    add_output(s, p, n->out[0]->name);
}

static const char *fresh(Save *s, const Node *n)
{
    return graph_fresh_name(s->g, n->out[0]->name);
}

/* op(A) op(B) in com.microsoft or as MatMul, then the bias. `y` is what the
 * whole is called. */
static void save_fusedmatmul(Save *s, const Node *n, const char *y)
{
    const Attr_fusedmatmul *a = ATTRS(fusedmatmul, n);
    bool plain = a->alpha == 1 && !a->transA && !a->transB;
    const Value *bias = node_in(n, 2);
    const char *product = bias ? fresh(s, n) : y;
    NodeProto *p = add_node(s, n->name, plain ? "" : "com.microsoft",
                            plain ? "MatMul" : "FusedMatMul");

    add_inputs(s, p, n, 2);
    add_output(s, p, product);
    add_attrs(s, p, n, true);
    s->microsoft |= !plain;
    if (!bias)
        return;
    p = add_node(s, arena_printf(s->a, "%s/bias", n->name), "", "Add");
    add_input(s, p, product);
    add_input(s, p, bias->name);
    add_output(s, p, y);
}

/* The value is an attribute in ONNX; when it is not known, Expand does it. */
static void save_constantofshape(Save *s, const Node *n)
{
    const Value *v = node_in(n, 1);
    NodeProto *p;

    if (v && !v->data) {
        p = add_node(s, n->name, "", "Expand");
        add_input(s, p, v->name);
        add_input(s, p, n->in[0]->name);
    } else {
        p = add_node(s, n->name, "", "ConstantOfShape");
        add_input(s, p, n->in[0]->name);
    }
    if (v && v->data) {
        Type t = type_vector(v->type.dt, 1);
        AttrProto *a = new_attr(s, "value", ATTR_TYPE(TENSOR));
        a->t = tensor(s, "", &t, v->data);
        add_attr(s, p, a);
    }
    add_outputs(s, p, n);
}

static bool is_own(const Node *n)
{
    float alpha, beta;

    return n->op != OP_Conv && n->op != OP_Gemm && n->op != OP_FusedMatMul &&
           *node_act(n, &alpha, &beta);
}

/* Attributes and operands that need a newer opset or a plainer form. */
static void refine(Save *s, NodeProto *p, const Node *n)
{
    for (size_t i = 0; i < sizeof newer / sizeof *newer; i++)
        if (newer[i].op == n->op)
            need_opset(s, newer[i].opset);
    if (n->op == OP_Split && !node_in(n, 1) && !ATTRS(split, n)->num_outputs)
        add_attr(s, p, int_attr(s, "num_outputs", n->nout));
    if (n->op == OP_Attention && node_in(n, 6))
        need_opset(s, 24);
    if (n->op == OP_Attention &&
        (ATTRS(attention, n)->left_window_size >= 0 ||
         ATTRS(attention, n)->right_window_size >= 0))
        need_opset(s, 25);
    if (n->op == OP_Cast && strcmp(ATTRS(cast, n)->round_mode, "up"))
        need_opset(s, 24);
}

static void save_node(Save *s, const Node *n)
{
    float alpha = 0, beta = 0;
    bool own = is_own(n);
    const char *act = own ? "" : node_act(n, &alpha, &beta);
    const char *y = *act ? fresh(s, n) : n->nout ? value_name(n->out[0]) : "";
    NodeProto *p;

    if (n->op == OP_ConstantOfShape) {
        save_constantofshape(s, n);
        return;
    }
    if (n->op == OP_FusedMatMul) {
        save_fusedmatmul(s, n, y);
    } else {
        p = add_node(s, n->name, own ? "mcufc" : "", op_name(n->op));
        add_inputs(s, p, n, n->nin);
        add_outputs(s, p, n);
        if (*act)
            p->output[0] = (char *)y;
        add_attrs(s, p, n, !own);
        refine(s, p, n);
        s->own |= own;
    }
    if (*act)
        add_act(s, n, act, alpha, beta, y);
}

static Onnx__ValueInfoProto **value_infos(Save *s, int n, Value **v)
{
    Onnx__ValueInfoProto **list =
        NEW_ARRAY(s->a, Onnx__ValueInfoProto *, n);

    for (int i = 0; i < n; i++)
        list[i] = value_info(s, v[i]);
    return list;
}

static void save_graph(Save *s)
{
    Graph *g = s->g;

    onnx__graph_proto__init(&s->graph);
    s->graph.name = (char *)(g->name && *g->name ? g->name : "graph");
    s->graph.n_input = (size_t)g->nin;
    s->graph.input = value_infos(s, g->nin, g->in);
    s->graph.n_output = (size_t)g->nout;
    s->graph.output = value_infos(s, g->nout, g->out);
    for EACH_NODE(n, g)
        save_node(s, n);
    for (int i = 0; i < g->nvalue; i++) {
        const Value *v = g->value[i];
        if (v->data && (v->nuse || v->is_output))
            add_init(s, v->name, &v->type, v->data);
        else if (v->def && !v->is_output && type_known(&v->type))
            PUSH(s->a, s->graph.value_info, s->ninfo, s->capinfo,
                 value_info(s, v));
    }
    s->graph.n_node = (size_t)s->nnode;
    s->graph.n_initializer = (size_t)s->ninit;
    s->graph.n_value_info = (size_t)s->ninfo;
}

/* The IR version that came with an opset: older readers, newer ops. */
static int64_t ir_version(int64_t opset)
{
    return opset <= 23 ? 11 : opset == 24 ? 12 : 13;
}

static void add_opset(Save *s, Onnx__ModelProto *m, const char *domain,
                      int64_t version)
{
    Onnx__OperatorSetIdProto *p = NEW(s->a, Onnx__OperatorSetIdProto);

    onnx__operator_set_id_proto__init(p);
    p->domain = (char *)domain;
    p->has_version = 1;
    p->version = version;
    m->opset_import[m->n_opset_import++] = p;
}

/* Attributes of ours on an op of ONNX's have no place in a file. */
static bool can_say(const Graph *g)
{
    for EACH_NODE(n, g)
        if (n->op == OP_Attention && ATTRS(attention, n)->nan_rows)
            return node_error(n, "nan_rows is no attribute of ONNX's");
    return true;
}

bool onnx_save(Graph *g, Buf *out)
{
    Save s = { .g = g, .opset = OPSET };
    Onnx__OperatorSetIdProto *sets[3];
    Onnx__ModelProto m;
    size_t n;
    bool ok;

    if (!can_say(g))
        return false;
    s.a = arena_child(out->arena);
    map_init(&s.names, s.a);
    save_graph(&s);
    onnx__model_proto__init(&m);
    m.has_ir_version = 1;
    m.ir_version = ir_version(s.opset);
    m.producer_name = "mcufc";
    m.graph = &s.graph;
    m.opset_import = sets;
    add_opset(&s, &m, "", s.opset);
    if (s.microsoft)
        add_opset(&s, &m, "com.microsoft", 1);
    if (s.own)
        add_opset(&s, &m, "mcufc", 1);
    n = onnx__model_proto__get_packed_size(&m);
    ok = n <= INT_MAX ||
         diag_error(g->diag, "%zu bytes: an ONNX file holds at most %d", n,
                    INT_MAX);
    if (ok)
        onnx__model_proto__pack(&m, buf_room(out, n));
    arena_free(s.a);
    return ok;
}
