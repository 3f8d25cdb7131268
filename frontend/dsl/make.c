/* make.c - what the grammar builds: names, types, attributes, nodes. Every
 * check that needs one construct alone is here; what needs the whole model is
 * frontend/build's business. A function that finds an error says so and
 * returns something harmless, so that the next error is found as well. */
#include "text.h"

#include <string.h>

#include "../../support/utf8.h"
#include "text_parse.h"

void *text_new(Text *t, size_t bytes)
{
    return arena_alloc(t->scratch, bytes);
}

Vec *vec_add(Text *t, Vec *v, void *item)
{
    if (!v)
        v = NEW(t->scratch, Vec);
    PUSH(t->scratch, v->v, v->n, v->cap, item);
    return v;
}

const char *text_checked(Text *t, Span at, const char *name)
{
    const unsigned char *s = (const unsigned char *)name;
    int n;

    while (*s && (n = utf8_length(s)))
        s += n;
    if (!*s)
        return name;
    text_error(t, at, "a name with the byte 0x%02x in it, which does not "
               "print", *s);
    return "";
}

Literal *make_literal(Text *t, int kind, Span at)
{
    Literal *l = NEW(t->scratch, Literal);
    const char *s = t->s + at.start;
    size_t n = at.end - at.start;
    const Number *x;

    l->at = at;
    if (t->computed && kind != IDENT && kind != STRING) {
        l->has_value = true;
        l->num = t->value;
    } else if (kind == INT || kind == FLOAT) {
        l->has_value = true;
        number_scan(s, s + n, &l->num);
    } else if (kind == STRING) {
        l->is_string = true;
        l->name = text_string(t, at, s + 1, n - 2);
    } else {
        l->name = text_string(t, at, s, n);
        x = constant_find(t, s, n);
        if (x)
            l->num = *x;
        l->has_value = x || (n <= 8 && number_scan(s, s + n, &l->num) == n);
    }
    return l;
}

const char *literal_name(const Literal *l)
{
    return l->name ? l->name : "";
}

static bool is_number(Text *t, const Literal *l)
{
    if (l->has_value)
        return true;
    if (l->is_string)
        return text_error(t, l->at, "a string where a number is expected");
    text_error(t, l->at, "'%.60s' is no constant", literal_name(l));
    text_hint(t, "const %.60s = 4 defines one", literal_name(l));
    return false;
}

bool literal_int(Text *t, const Literal *l, int64_t *out)
{
    *out = 0;
    if (!is_number(t, l))
        return false;
    if (number_i64(&l->num, out))
        return true;
    *out = 0;
    if (l->num.kind == NUMBER_INT)
        return text_error(t, l->at, "an integer of more than 64 bits");
    return text_error(t, l->at, "expected an integer");
}

bool literal_float(Text *t, const Literal *l, float *out)
{
    *out = 0;
    if (!is_number(t, l))
        return false;
    *out = number_f32(&l->num);
    return true;
}

static DType dtype_find(const char *name)
{
    static const struct { const char *name; DType dt; } ours[] = {
        { "f32", DT_F32 }, { "f16", DT_F16 }, { "bf16", DT_BF16 },
        { "f64", DT_F64 }, { "i4", DT_I4 }, { "u4", DT_U4 },
        { "i8", DT_I8 }, { "u8", DT_U8 }, { "i16", DT_I16 },
        { "u16", DT_U16 }, { "i32", DT_I32 }, { "u32", DT_U32 },
        { "i64", DT_I64 }, { "u64", DT_U64 },
    };

    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (!strcmp(ours[i].name, name))
            return ours[i].dt;
    return dtype_by_name(name);
}

static const char *check_shape(Text *t, const ModelInfo *info)
{
    int64_t n = 1;

    for (int i = 0; i < info->rank; i++) {
        int64_t d = info->dim[i].value;
        if (d > 0 && n > (INT64_C(1) << 40) / d)
            return arena_printf(t->arena, "has too many elements: dimension "
                                "%d is %lld", i, (long long)d);
        n *= d > 0 ? d : 1;
    }
    return NULL;
}

ModelInfo *make_type(Text *t, const char *name, Vec *dims, int rank)
{
    ModelInfo *m = NEW(t->arena, ModelInfo);

    m->dt = dtype_find(name);
    m->rank = rank;
    if (m->dt == DT_NONE)
        m->problem = arena_printf(t->arena, "element type %s is not "
                                  "supported", name);
    if (rank > MAX_RANK) {
        m->problem = arena_printf(t->arena, "has %d dimensions, at most %d "
                                  "are supported", rank, MAX_RANK);
        m->rank = rank = -1;
    }
    if (rank > 0)
        m->dim = NEW_ARRAY(t->arena, ModelDim, rank);
    for (int i = 0; i < rank; i++)
        m->dim[i] = *(const ModelDim *)dims->v[i];
    if (!m->problem)
        m->problem = check_shape(t, m);
    return m;
}

ModelInfo *make_container(Text *t, const char *name)
{
    ModelInfo *m = NEW(t->arena, ModelInfo);

    m->rank = -1;
    m->problem = arena_printf(t->arena, "is of type %s, which is not "
                              "supported", name);
    return m;
}

ModelDim *make_dim(Text *t, const Literal *l, const char *symbol)
{
    ModelDim *d = NEW(t->scratch, ModelDim);

    d->value = -1;
    if (l && l->has_value) {
        literal_int(t, l, &d->value);
        if (d->value < 0)
            text_error(t, l->at, "a dimension of %lld",
                       (long long)d->value);
    } else {
        d->symbol = l ? literal_name(l) : symbol && *symbol ? symbol : NULL;
    }
    return d;
}

static ModelTensor *make_tensor(Text *t, const ModelInfo *type,
                                const char *name, const Body *body, Span at)
{
    ModelTensor *m = NEW(t->arena, ModelTensor);
    static const uint64_t nothing;

    m->name = name;
    m->problem = type->problem;
    m->quant = type->quant;
    m->type.dt = type->dt;
    m->type.rank = type->rank;
    m->data = &nothing;
    if (m->problem) {
        m->type.rank = 0;
        return m;
    }
    if (type->rank < 0)
        text_error(t, at, "a constant of unknown shape");
    for (int i = 0; i < type->rank; i++) {
        m->type.dim[i] = type->dim[i].value;
        if (m->type.dim[i] < 0) {
            text_error(t, at, "dimension %d of a constant is no number", i);
            type = NULL;
            break;
        }
    }
    if (!type || type->rank < 0 || !tensor_fill(t, m, body)) {
        m->type = type_vector(DT_U8, 0);
        m->data = &nothing;
        m->quant = NULL;
    }
    return m;
}

Param *make_param(Text *t, const ModelInfo *type, const char *name, Span at,
                  const Body *body)
{
    Param *p = NEW(t->scratch, Param);

    if (type)
        p->info = *type;
    else
        p->info.rank = -1;
    p->typed = type != NULL;
    p->info.name = name;
    p->at = at;
    if (!*name)
        text_error(t, at, "an empty name");
    if (body)
        p->init = make_tensor(t, type, name, body, at);
    return p;
}

int64_t *make_places(Text *t, const Vec *list)
{
    int64_t *at = NEW_ARRAY(t->arena, int64_t, list->n + 1);

    for (int i = 0; i < list->n; i++) {
        at[i] = -1;
        if (list->v[i])
            literal_int(t, list->v[i], &at[i]);
    }
    return at;
}

ModelAttr *attr_new(Text *t, ModelAttrKind kind)
{
    ModelAttr *a = NEW(t->arena, ModelAttr);

    a->kind = kind;
    return a;
}

ModelAttr *make_number_attr(Text *t, const Literal *l)
{
    ModelAttr *a = attr_new(t, MA_INT);

    if (!is_number(t, l))
        return a;
    a->f = number_f32(&l->num);
    if (l->num.kind != NUMBER_INT)
        a->kind = MA_FLOAT;
    else
        literal_int(t, l, &a->i);
    return a;
}

ModelAttr *make_string_attr(Text *t, const char *s)
{
    ModelAttr *a = attr_new(t, MA_STRING);

    a->s = s;
    return a;
}

ModelAttr *make_type_attr(Text *t)
{
    return attr_new(t, MA_OTHER);
}

ModelAttr *make_ref_attr(Text *t, const char *name)
{
    ModelAttr *a = attr_new(t, MA_OTHER);

    a->ref = name;
    return a;
}

ModelAttr *make_tensor_attr(Text *t, const ModelInfo *type, const char *name,
                            const Body *body, Span at)
{
    ModelAttr *a = attr_new(t, MA_TENSOR);

    a->t = make_tensor(t, type, name, body, at);
    return a;
}

static void fill_list(Text *t, ModelAttr *a, const Vec *list)
{
    int n = list->n;

    if (a->kind == MA_INTS)
        a->ints = (Ints){ n, NEW_ARRAY(t->arena, int64_t, n) };
    else if (a->kind == MA_FLOATS)
        a->floats = (Floats){ n, NEW_ARRAY(t->arena, float, n) };
    else if (a->kind == MA_STRINGS)
        a->strings = (Strings){ n, NEW_ARRAY(t->arena, const char *, n) };
    for (int i = 0; i < n; i++) {
        const ModelAttr *x = list->v[i];
        if (a->kind == MA_INTS)
            a->ints.v[i] = x->i;
        else if (a->kind == MA_FLOATS)
            a->floats.v[i] = x->f;
        else if (a->kind == MA_STRINGS)
            a->strings.v[i] = x->s;
    }
}

ModelAttr *make_list_attr(Text *t, const Vec *list, Span at)
{
    ModelAttr *a = attr_new(t, MA_OTHER);
    int count[MA_OTHER + 1] = { 0 };

    if (!list) {
        a->kind = MA_INTS;
        a->i = 1;               /* empty: the type must be given */
        return a;
    }
    for (int i = 0; i < list->n; i++)
        count[((const ModelAttr *)list->v[i])->kind]++;
    if (count[MA_STRING] == list->n)
        a->kind = MA_STRINGS;
    else if (count[MA_INT] == list->n)
        a->kind = MA_INTS;
    else if (count[MA_INT] + count[MA_FLOAT] == list->n)
        a->kind = MA_FLOATS;
    else if (count[MA_INT] || count[MA_FLOAT] || count[MA_STRING])
        text_error(t, at, "a list of different kinds");
    fill_list(t, a, list);
    return a;
}

static int kind_find(const char *name)
{
    static const struct { const char *name; ModelAttrKind kind; } kinds[] = {
        { "int", MA_INT }, { "float", MA_FLOAT }, { "string", MA_STRING },
        { "tensor", MA_TENSOR }, { "graph", MA_GRAPH }, { "ints", MA_INTS },
        { "floats", MA_FLOATS }, { "strings", MA_STRINGS },
        { "sparse_tensor", MA_OTHER }, { "type_proto", MA_OTHER },
        { "tensors", MA_OTHER }, { "graphs", MA_OTHER },
        { "sparse_tensors", MA_OTHER }, { "type_protos", MA_OTHER },
    };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (!strcmp(kinds[i].name, name))
            return (int)kinds[i].kind;
    return -1;
}

/* `name: kind = value`: integers are floats when the kind says so. */
static void convert(Text *t, ModelAttr *a, int kind, const char *name,
                    Span at)
{
    if (a->kind == MA_INT && kind == MA_FLOAT) {
        a->kind = MA_FLOAT;
    } else if (a->kind == MA_INTS && kind == MA_FLOATS) {
        a->floats = (Floats){ a->ints.n,
                              NEW_ARRAY(t->arena, float, a->ints.n) };
        for (int i = 0; i < a->ints.n; i++)
            a->floats.v[i] = (float)a->ints.v[i];
        a->kind = MA_FLOATS;
    } else if (a->kind == MA_INTS && a->i && kind == MA_STRINGS) {
        a->kind = MA_STRINGS;
    } else if (kind != (int)a->kind && kind != MA_OTHER) {
        text_error(t, at, "the value of '%.60s' is not of the kind that is "
                   "stated", name);
    }
}

ModelAttr *make_attr(Text *t, const char *name, const char *kind,
                     ModelAttr *value, Span at)
{
    int k = *kind ? kind_find(kind) : -1;

    value->name = name;
    if (*kind && k < 0) {
        text_error(t, at, "there is no kind of attribute '%.40s'", kind);
        text_hint(t, "int, ints, float, floats, string, strings, tensor or "
                  "graph");
    } else if (*kind && !value->ref) {
        convert(t, value, k, name, at);
    } else if (value->kind == MA_INTS && value->i) {
        text_error(t, at, "an empty list needs its kind");
        text_hint(t, "%.60s: ints = []", name);
    }
    value->i = value->kind == MA_INT ? value->i : 0;
    return value;
}

static const char **names_of(Text *t, const Vec *v, int *count)
{
    int n = v ? v->n : 0;
    const char **list;

    if (n && !v->v[n - 1])      /* a comma at the end says nothing */
        n--;
    list = NEW_ARRAY(t->arena, const char *, n);
    for (int i = 0; i < n; i++)
        list[i] = v->v[i] ? v->v[i] : "";
    *count = n;
    return list;
}

void *vec_flatten(Text *t, const Vec *v, size_t size, int *count)
{
    int n = v ? v->n : 0;
    char *list = arena_array(t->arena, (size_t)n, size);

    for (int i = 0; i < n; i++)
        memcpy(list + (size_t)i * size, v->v[i], size);
    *count = n;
    return list;
}

static void check_attrs(Text *t, const ModelNode *n, Span at)
{
    for (int i = 0; i < n->nattr && n->nattr <= 64; i++)
        for (int k = 0; k < i; k++)
            if (!strcmp(n->attr[i].name, n->attr[k].name))
                text_error(t, at, "attribute '%.60s' stands twice",
                           n->attr[i].name);
}

ModelNode *make_node(Text *t, const char *label, const Vec *out,
                     const OpName *op, const char *overload, const Vec *attr,
                     const Vec *in, Span at)
{
    ModelNode *n = NEW(t->scratch, ModelNode);

    n->name = label;
    n->op = op->op;
    n->domain = strcmp(op->domain, "ai.onnx") ? op->domain : "";
    n->overload = overload;
    n->in = names_of(t, in, &n->nin);
    n->out = names_of(t, out, &n->nout);
    n->nattr = 1;
    n->attr = attr && attr->n == 1      /* one is an array of one already */
                  ? attr->v[0]
                  : vec_flatten(t, attr, sizeof *n->attr, &n->nattr);
    text_place(t, at.start, &n->line, &n->column);
    check_attrs(t, n, at);
    return n;
}

bool node_annotate(Text *t, ModelNode *n, const char *what, const Vec *list,
                   Span at)
{
    const int64_t *v = make_places(t, list);

    if (!strcmp(what, "at")) {
        if (list->n != n->nout)
            return text_error(t, at, "%d places for %d results", list->n,
                              n->nout);
        n->at = v;
    } else if (!strcmp(what, "scratch")) {
        if (list->n != 2)
            return text_error(t, at, "@scratch takes an offset and a size");
        n->scratch = v;
    } else if (!strcmp(what, "along")) {
        n->walk = v;
        n->nwalk = list->n;
    } else {
        text_error(t, at, "there is no annotation @%.40s of nodes", what);
        text_hint(t, "@at(offset, ...), @scratch(offset, bytes) or "
                  "@along(axis, ...)");
        return false;
    }
    return true;
}

Vec *make_region(Text *t, const char *name, const char *what,
                 const Vec *list, Vec *nodes, Span at)
{
    const int64_t *v = make_places(t, list);
    ModelRegion *r = NEW(t->arena, ModelRegion);

    if (strcmp(what, "over") || list->n != 2) {
        text_error(t, at, "expected over(extent, tile)");
        text_hint(t, "region rows @over(extent, tile) { ... }");
        return nodes;
    }
    if (v[0] < 1 || v[1] < 1 || v[1] > v[0])
        text_error(t, at, "a region over %lld by %lld", (long long)v[0],
                   (long long)v[1]);
    *r = (ModelRegion){ .name = name, .extent = v[0], .tile = v[1] };
    for (int i = 0; i < nodes->n; i++) {
        ModelNode *n = nodes->v[i];
        ModelRegion **link = &n->region;
        while (*link && *link != r)
            link = &(*link)->parent;
        *link = r;
    }
    return nodes;
}

const char *make_operand(Text *t, const ModelInfo *type, const Body *body,
                         Span at)
{
    char *name = arena_printf(t->arena, "literal:%d", t->npending++);
    ModelAttr *a = make_tensor_attr(t, type, name, body, at);
    ModelNode *n = NEW(t->scratch, ModelNode);
    const char **out = NEW(t->arena, const char *);

    a->name = "value";
    *out = name;
    *n = (ModelNode){ .name = "", .op = "Constant", .domain = "",
                      .overload = "", .nout = 1, .out = out, .nattr = 1,
                      .attr = a };
    text_place(t, at.start, &n->line, &n->column);
    t->pending = vec_add(t, t->pending, n);
    return name;
}
