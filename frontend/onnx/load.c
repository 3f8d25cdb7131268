/* load.c - ModelProto to Model: the file's own structure, checked for what
 * a file can get wrong by itself. What it means is build's business. */
#include "load.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "../../support/utf8.h"
#include "guard.h"

enum { NEWEST_IR = ONNX__VERSION__IR_VERSION };

void loader_init(Loader *l, const char *path, Arena *arena, Arena *scratch,
                 Diag *diag)
{
    *l = (Loader){ .arena = arena, .scratch = scratch, .diag = diag,
                   .path = path };
    map_init(&l->external, scratch);
}

bool load_error(Loader *l, const char *fmt, ...)
{
    char text[1024], at[512] = "";
    size_t n = 0;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (l->op)
        n = (size_t)snprintf(at, sizeof at, "node '%.200s' (%.60s): ",
                             l->node, l->op);
    if (l->attr && n < sizeof at)
        snprintf(at + n, sizeof at - n, "attribute '%.100s': ", l->attr);
    return diag_error(l->diag, "%s%s", at, text);
}

bool tensor_error(Loader *l, const char *name, const char *fmt, ...)
{
    char text[768];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (*name)
        return load_error(l, "tensor '%.200s': %s", name, text);
    return load_error(l, "tensor: %s", text);
}

/* s with \xNN for every byte that needs it, into `to`; the length. */
static size_t escape(const char *s, char *to)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;

    while (*s) {
        unsigned char c = (unsigned char)*s;
        int k = c == '\\' ? 0 : utf8_length((const unsigned char *)s);
        if (k) {
            memcpy(to + n, s, (size_t)k);
            n += (size_t)k;
        } else {
            const char x[] = { '\\', 'x', hex[c >> 4], hex[c & 15] };
            memcpy(to + n, x, 4);
            n += 4;
        }
        s += k ? k : 1;
    }
    return n;
}

/* Names that no other part could trip over stay as they are; in the others
 * every odd byte becomes \xNN, and \ itself \x5c so that they stay apart. */
const char *load_text(Loader *l, const char *s)
{
    const unsigned char *u = (const unsigned char *)s;
    char *to;
    int n;

    if (!s)
        return "";
    while (*u && (n = utf8_length(u)))
        u += n;
    if (!*u)
        return s;
    to = arena_alloc(l->arena, 4 * strlen(s) + 1);
    to[escape(s, to)] = 0;
    return to;
}

/* "ai.onnx" is the long name of the default domain. */
static const char *domain_text(Loader *l, const char *s)
{
    return s && !strcmp(s, "ai.onnx") ? "" : load_text(l, s);
}

static const char **text_list(Loader *l, size_t n, char **s)
{
    const char **list = NEW_ARRAY(l->arena, const char *, n);

    for (size_t i = 0; i < n; i++)
        list[i] = load_text(l, s[i]);
    return list;
}

static const char *load_shape(Loader *l, const Onnx__TensorShapeProto *s,
                              ModelInfo *info)
{
    int64_t n = 1;

    if (s->n_dim > MAX_RANK)
        return arena_printf(l->arena, "has %zu dimensions, at most %d are "
                            "supported", s->n_dim, MAX_RANK);
    info->rank = (int)s->n_dim;
    info->dim = NEW_ARRAY(l->arena, ModelDim, s->n_dim);
    for (int i = 0; i < info->rank; i++) {
        const Onnx__TensorShapeProto__Dimension *d = s->dim[i];
        ModelDim *to = &info->dim[i];
        to->value = -1;
        if (d->value_case ==
            ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM) {
            to->symbol = load_text(l, d->dim_param);
            if (!*to->symbol)
                to->symbol = NULL;
        } else if (d->value_case ==
                   ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE) {
            to->value = d->dim_value < 0 ? -1 : d->dim_value;
        }
        if (to->value > 0 && n > (INT64_C(1) << 40) / to->value)
            return arena_printf(l->arena, "has too many elements: dimension "
                                "%d is %" PRId64, i, to->value);
        if (to->value > 0)
            n *= to->value;
    }
    return NULL;
}

static const char *load_type(Loader *l, const Onnx__TypeProto *t,
                             ModelInfo *info)
{
    const char *problem;

    switch (t->value_case) {
    case ONNX__TYPE_PROTO__VALUE__NOT_SET: return NULL;
    case ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE: break;
    case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE: return "is a sequence";
    case ONNX__TYPE_PROTO__VALUE_MAP_TYPE: return "is a map";
    case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE: return "is an optional";
    case ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE:
        return "is a sparse tensor";
    default: return "is opaque";
    }
    if (t->tensor_type->has_elem_type && t->tensor_type->elem_type) {
        problem = load_dtype(l, t->tensor_type->elem_type, &info->dt);
        if (problem)
            return problem;
    }
    return t->tensor_type->shape ? load_shape(l, t->tensor_type->shape, info)
                                 : NULL;
}

static void load_info(Loader *l, const Onnx__ValueInfoProto *p,
                      ModelInfo *info)
{
    info->name = load_text(l, p->name);
    info->dt = DT_NONE;
    info->rank = -1;
    if (p->type)
        info->problem = load_type(l, p->type, info);
}

static ModelInfo *load_infos(Loader *l, size_t n, Onnx__ValueInfoProto **p)
{
    ModelInfo *info = NEW_ARRAY(l->arena, ModelInfo, n);

    for (size_t i = 0; i < n; i++)
        load_info(l, p[i], &info[i]);
    return info;
}

static ModelOpset *load_opsets(Loader *l, size_t n,
                               Onnx__OperatorSetIdProto **p)
{
    ModelOpset *set = NEW_ARRAY(l->arena, ModelOpset, n);

    for (size_t i = 0; i < n; i++) {
        set[i].domain = domain_text(l, p[i]->domain);
        set[i].version = p[i]->version;
    }
    return set;
}

typedef Onnx__AttributeProto AttrProto;
#define ATTR_TYPE(t) ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##t

static bool load_graph(Loader *l, const Onnx__GraphProto *p, ModelGraph *g);

/* Files of the first IR version say no type: the field that is there. */
static int attr_type(const AttrProto *p)
{
    if (p->has_type && p->type != ATTR_TYPE(UNDEFINED))
        return (int)p->type;
    return p->has_f ? ATTR_TYPE(FLOAT)
         : p->has_i ? ATTR_TYPE(INT)
         : p->has_s ? ATTR_TYPE(STRING)
         : p->t ? ATTR_TYPE(TENSOR)
         : p->g ? ATTR_TYPE(GRAPH)
         : p->n_floats ? ATTR_TYPE(FLOATS)
         : p->n_ints ? ATTR_TYPE(INTS)
         : p->n_strings ? ATTR_TYPE(STRINGS)
         : ATTR_TYPE(UNDEFINED);
}

/* bytes to text; NULL when a zero byte is among them */
static const char *bytes_text(Loader *l, const ProtobufCBinaryData *s)
{
    if (s->len && memchr(s->data, 0, s->len))
        return NULL;
    return arena_strndup(l->arena, s->len ? (const char *)s->data : "",
                         s->len);
}

static void load_strings(Loader *l, const AttrProto *p, ModelAttr *a)
{
    a->kind = MA_STRINGS;
    a->strings.n = (int)p->n_strings;
    a->strings.v = NEW_ARRAY(l->arena, const char *, p->n_strings);
    for (size_t i = 0; i < p->n_strings; i++) {
        a->strings.v[i] = bytes_text(l, &p->strings[i]);
        if (!a->strings.v[i])
            a->kind = MA_OTHER;
    }
}

static bool load_attr_value(Loader *l, const AttrProto *p, ModelAttr *a)
{
    switch (attr_type(p)) {
    case ATTR_TYPE(FLOAT):
        a->kind = MA_FLOAT;
        a->f = p->f;
        return true;
    case ATTR_TYPE(INT):
        a->kind = MA_INT;
        a->i = p->i;
        return true;
    case ATTR_TYPE(STRING):
        a->s = bytes_text(l, &p->s);
        a->kind = a->s ? MA_STRING : MA_OTHER;
        return true;
    case ATTR_TYPE(FLOATS):
        a->kind = MA_FLOATS;
        a->floats = (Floats){ (int)p->n_floats, p->floats };
        return true;
    case ATTR_TYPE(INTS):
        a->kind = MA_INTS;
        a->ints = (Ints){ (int)p->n_ints, p->ints };
        return true;
    case ATTR_TYPE(STRINGS):
        load_strings(l, p, a);
        return true;
    case ATTR_TYPE(TENSOR):
        if (!p->t)
            return load_error(l, "the tensor is missing");
        a->kind = MA_TENSOR;
        a->t = NEW(l->arena, ModelTensor);
        return load_tensor(l, p->t, a->t);
    case ATTR_TYPE(GRAPH):
        if (!p->g)
            return load_error(l, "the graph is missing");
        a->kind = MA_GRAPH;
        a->g = NEW(l->arena, ModelGraph);
        return load_graph(l, p->g, a->g);
    default:
        a->kind = MA_OTHER;
        return true;
    }
}

static bool load_attr(Loader *l, const AttrProto *p, ModelAttr *a)
{
    bool ok = true;

    a->name = load_text(l, p->name);
    l->attr = a->name;
    if (!*a->name)
        return load_error(l, "an attribute without a name");
    if (p->n_ints > INT_MAX || p->n_floats > INT_MAX ||
        p->n_strings > INT_MAX)
        return load_error(l, "too many elements");
    if (p->ref_attr_name && *p->ref_attr_name) {
        a->kind = MA_OTHER;
        a->ref = load_text(l, p->ref_attr_name);
    } else {
        ok = load_attr_value(l, p, a);
    }
    l->attr = NULL;
    return ok;
}

static bool load_attrs(Loader *l, size_t n, AttrProto **p, ModelAttr **out)
{
    ModelAttr *a = *out = NEW_ARRAY(l->arena, ModelAttr, n);
    Map seen;

    if (n > 1)
        map_init(&seen, l->scratch);
    for (size_t i = 0; i < n; i++) {
        if (!load_attr(l, p[i], &a[i]))
            return false;
        if (n > 1 && map_put(&seen, a[i].name, l))
            return load_error(l, "attribute '%s' stands twice", a[i].name);
    }
    return true;
}

static bool load_node(Loader *l, const Onnx__NodeProto *p, ModelNode *n)
{
    const char *node = l->node, *op = l->op, *attr = l->attr;
    bool ok;

    n->name = load_text(l, p->name);
    n->op = load_text(l, p->op_type);
    n->domain = domain_text(l, p->domain);
    n->overload = load_text(l, p->overload);
    n->nin = (int)p->n_input;
    n->in = text_list(l, p->n_input, p->input);
    n->nout = (int)p->n_output;
    n->out = text_list(l, p->n_output, p->output);
    n->nattr = (int)p->n_attribute;
    l->node = *n->name ? n->name : n->nout ? n->out[0] : "";
    l->op = n->op;
    l->attr = NULL;
    ok = load_attrs(l, p->n_attribute, p->attribute, &n->attr);
    l->node = node;             /* a node of a subgraph ends inside another */
    l->op = op;
    l->attr = attr;
    return ok;
}

static bool load_nodes(Loader *l, size_t n, Onnx__NodeProto **p,
                       ModelNode **out)
{
    *out = NEW_ARRAY(l->arena, ModelNode, n);
    for (size_t i = 0; i < n; i++)
        if (!load_node(l, p[i], &(*out)[i]))
            return false;
    return true;
}

static bool load_initializers(Loader *l, const Onnx__GraphProto *p,
                              ModelGraph *g, Map *names)
{
    g->ninit = (int)p->n_initializer;
    g->init = NEW_ARRAY(l->arena, ModelTensor, p->n_initializer);
    for (int i = 0; i < g->ninit; i++) {
        ModelTensor *t = &g->init[i];
        if (!load_tensor(l, p->initializer[i], t))
            return false;
        if (!*t->name)
            return load_error(l, "initializer %d has no name", i);
        if (map_put(names, t->name, t))
            return load_error(l, "tensor '%s': two initializers have this "
                              "name", t->name);
    }
    for (size_t i = 0; i < p->n_sparse_initializer; i++) {
        const Onnx__TensorProto *v = p->sparse_initializer[i]->values;
        return load_error(l, "tensor '%s': sparse initializers are not "
                          "supported", load_text(l, v ? v->name : NULL));
    }
    return true;
}

/* Before IR version 4 every initializer was listed as an input too; and
 * after it, an input with an initializer has a default. Both are constants
 * here, so that inputs are what a caller has to supply. */
static void drop_constant_inputs(ModelGraph *g, const Map *constants)
{
    int n = 0;

    for (int i = 0; i < g->nin; i++)
        if (!map_get(constants, g->in[i].name))
            g->in[n++] = g->in[i];
    g->nin = n;
}

static bool load_graph(Loader *l, const Onnx__GraphProto *p, ModelGraph *g)
{
    Map names;

    map_init(&names, l->scratch);
    g->name = load_text(l, p->name);
    if (!load_initializers(l, p, g, &names))
        return false;
    g->nin = (int)p->n_input;
    g->in = load_infos(l, p->n_input, p->input);
    g->nout = (int)p->n_output;
    g->out = load_infos(l, p->n_output, p->output);
    g->ninfo = (int)p->n_value_info;
    g->info = load_infos(l, p->n_value_info, p->value_info);
    if (!l->op)                 /* a body's inputs are matched by position */
        drop_constant_inputs(g, &names);
    g->nnode = (int)p->n_node;
    return load_nodes(l, p->n_node, p->node, &g->node);
}

static bool load_function(Loader *l, const Onnx__FunctionProto *p,
                          ModelFunction *f)
{
    f->domain = domain_text(l, p->domain);
    f->name = load_text(l, p->name);
    f->overload = load_text(l, p->overload);
    f->nin = (int)p->n_input;
    f->in = text_list(l, p->n_input, p->input);
    f->nout = (int)p->n_output;
    f->out = text_list(l, p->n_output, p->output);
    f->nattr = (int)p->n_attribute;
    f->attr = text_list(l, p->n_attribute, p->attribute);
    f->nopset = (int)p->n_opset_import;
    f->opset = load_opsets(l, p->n_opset_import, p->opset_import);
    f->ninfo = (int)p->n_value_info;
    f->info = load_infos(l, p->n_value_info, p->value_info);
    f->ndefault = (int)p->n_attribute_proto;
    f->nnode = (int)p->n_node;
    return load_attrs(l, p->n_attribute_proto, p->attribute_proto,
                      &f->fallback) &&
           load_nodes(l, p->n_node, p->node, &f->node);
}

static bool load_model(Loader *l, const Onnx__ModelProto *p, Model *m)
{
    static const ModelOpset first = { "", 1 };

    if (p->ir_version > NEWEST_IR)
        return load_error(l, "IR version %" PRId64 ", the newest known is %d",
                          p->ir_version, NEWEST_IR);
    m->ir_version = p->ir_version;
    m->nopset = (int)p->n_opset_import;
    m->opset = load_opsets(l, p->n_opset_import, p->opset_import);
    if (!m->nopset) {           /* IR versions 1 and 2 say none */
        m->nopset = 1;
        m->opset = arena_memdup(l->arena, &first, sizeof first);
    }
    m->nfunction = (int)p->n_functions;
    m->function = NEW_ARRAY(l->arena, ModelFunction, p->n_functions);
    for (int i = 0; i < m->nfunction; i++)
        if (!load_function(l, p->functions[i], &m->function[i]))
            return false;
    return load_graph(l, p->graph, &m->graph);
}

static void *unpack_alloc(void *arena, size_t n)
{
    return arena_alloc(arena, n);
}

static void unpack_free(void *arena, void *p)
{
    (void)arena;
    (void)p;
}

void *load_message(Loader *l, const ProtobufCMessageDescriptor *type,
                   FileBytes file)
{
    ProtobufCAllocator alloc = { unpack_alloc, unpack_free, l->arena };
    Arena *skeleton = arena_child(l->scratch);
    FileBytes wire = { 0 };
    void *m = NULL;

    if (guard_check(file.data, file.n, type, l->arena, skeleton, l->diag,
                    &wire.data, &wire.n)) {
        m = protobuf_c_message_unpack(type, &alloc, wire.n, wire.data);
        if (!m)
            load_error(l, "not a valid ONNX file");
    }
    arena_free(skeleton);
    return m;
}

static void hash_bytes(const FileBytes *f, uint32_t hash[2])
{
    uint64_t h = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < f->n; i++)
        h = (h ^ f->data[i]) * UINT64_C(1099511628211);
    hash[0] = (uint32_t)(h >> 32);
    hash[1] = (uint32_t)h;
}

static bool load_file(Loader *l, Model *out)
{
    Onnx__ModelProto *p;
    uint8_t head[32];           /* the guard may overwrite it */
    FileBytes file;
    size_t n;

    if (!file_read(l->path, INT_MAX, l->arena, l->diag, &file))
        return false;
    if (!file.n)
        return load_error(l, "the file is empty");
    n = file.n < sizeof head ? file.n : sizeof head;
    memcpy(head, file.data, n);
    hash_bytes(&file, out->hash);
    p = load_message(l, &onnx__model_proto__descriptor, file);
    if (p && p->graph)
        return load_model(l, p, out);
    if (p)
        load_error(l, "not an ONNX model: it has no graph");
    mistake_hint(l->diag, head, n);
    return false;
}

bool onnx_load(const char *path, Arena *arena, Diag *diag, Model *out)
{
    const char *file = diag->file;
    Arena *scratch = arena_child(arena);
    Loader l;
    bool ok;

    memset(out, 0, sizeof *out);
    loader_init(&l, path, arena, scratch, diag);
    diag->file = path;
    ok = load_file(&l, out);
    diag->file = file;
    arena_free(scratch);
    return ok;
}
