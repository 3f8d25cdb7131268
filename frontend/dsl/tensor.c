/* tensor.c - the elements of constants: a list of numbers in braces, with
 * what ONNX's own parser does (float16 and bfloat16 as bits when they are
 * integers), or one of the references that weights.c resolves. */
#include "text.h"

#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\v' ||
           c == '\f';
}

static bool range_error(Text *t, DType dt, Span at)
{
    return text_error(t, at, "'%.*s' is no %s",
                      (int)(at.end - at.start > 40 ? 40 : at.end - at.start),
                      t->s + at.start, dtype_name(dt));
}

static bool set_int(Text *t, DType dt, const Number *x, Span at, void *data,
                    int64_t i)
{
    int bits = dtype_bits(dt), sign = dtype_kind(dt) == DK_INT;
    int64_t v, low, high;
    uint64_t u;

    if (dt == DT_U64) {
        if (!number_u64(x, &u))
            return range_error(t, dt, at);
        ((uint64_t *)data)[i] = u;
        return true;
    }
    low = !sign ? 0 : bits == 64 ? INT64_MIN : -((int64_t)1 << (bits - 1));
    high = bits == 64 ? INT64_MAX : ((int64_t)1 << (bits - sign)) - 1;
    if (!number_i64(x, &v) || v < low || v > high)
        return range_error(t, dt, at);
    elem_set_int(dt, data, i, v);
    return true;
}

bool element_set(Text *t, DType dt, const Number *x, Span at, void *data,
                 int64_t i)
{
    int64_t bits;

    switch (dt) {
    case DT_F32: ((float *)data)[i] = number_f32(x); return true;
    case DT_F64: ((double *)data)[i] = number_f64(x); return true;
    case DT_F16: case DT_BF16:
        if (x->kind != NUMBER_INT) {
            elem_set(dt, data, i, number_f64(x));
            return true;
        }
        if (!number_i64(x, &bits) || bits < 0 || bits > 0xffff)
            return range_error(t, dt, at);
        ((uint16_t *)data)[i] = (uint16_t)bits;
        return true;
    case DT_BOOL:
        if (!number_i64(x, &bits))
            return range_error(t, dt, at);
        ((uint8_t *)data)[i] = bits != 0;
        return true;
    default: return set_int(t, dt, x, at, data, i);
    }
}

static int64_t count_elements(const char *s, const char *end)
{
    int64_t n = 1;
    const char *last = end;

    while (last > s && is_blank(last[-1]))
        last--;
    while (s < end && is_blank(*s))
        s++;
    if (s == end)
        return 0;
    n -= last > s && last[-1] == ',';
    while ((s = memchr(s, ',', (size_t)(end - s)))) {
        s++;
        n++;
    }
    return n;
}

bool elements_parse(Text *t, DType dt, const char *s, const char *end,
                    void *data, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t at = 0;
        size_t len;
        Number x;
        while (s < end && (is_blank(*s) || *s == ','))
            s++;
        at = (uint32_t)(s - t->s);
        len = number_scan(s, end, &x);
        if (!len)
            return text_error(t, (Span){ at, at + 1 }, "expected a number");
        if (dt == DT_F32)
            ((float *)data)[i] = number_f32(&x);
        else if (!element_set(t, dt, &x, (Span){ at, at + (uint32_t)len },
                              data, i))
            return false;
        s += len;
    }
    return true;
}

static bool count_error(Text *t, const ModelTensor *m, Span at, int64_t got)
{
    Buf b;

    buf_init(&b, t->scratch);
    type_print(&b, &m->type);
    return text_error(t, at, "%lld elements, %s needs %lld", (long long)got,
                      b.s, (long long)type_elems(&m->type));
}

static int64_t body_count(const Text *t, const Body *b)
{
    return b->kind == BODY_DATA
               ? count_elements(t->s + b->at.start + 1,
                                t->s + b->at.end - 1)
               : b->list->n;
}

static bool list_parse(Text *t, const Vec *list, DType dt, void *data)
{
    for (int i = 0; i < list->n; i++) {
        const Literal *l = list->v[i];
        if (!l->has_value)
            return text_error(t, l->at, "'%.60s' is no number",
                              literal_name(l));
        if (!element_set(t, dt, &l->num, l->at, data, i))
            return false;
    }
    return true;
}

static bool body_parse(Text *t, const Body *b, DType dt, void *data,
                       int64_t n)
{
    if (b->kind == BODY_DATA)
        return elements_parse(t, dt, t->s + b->at.start + 1,
                              t->s + b->at.end - 1, data, n);
    return list_parse(t, b->list, dt, data);
}

int64_t body_elements(Text *t, const Body *b, DType dt, void **data)
{
    int64_t n = body_count(t, b);

    *data = arena_array(t->arena, (size_t)n, (size_t)dtype_bytes(dt));
    return body_parse(t, b, dt, *data, n) ? n : -1;
}

static bool fill_elements(Text *t, ModelTensor *m, const Body *b)
{
    int64_t n = body_count(t, b);
    void *data;

    if (n != type_elems(&m->type))
        return count_error(t, m, b->at, n);
    if (!n)
        return true;
    m->data = data = arena_alloc(t->arena, (size_t)type_bytes(&m->type));
    return body_parse(t, b, m->type.dt, data, n);
}

static bool check_size(Text *t, const ModelTensor *m, Span at)
{
    int64_t n = 1;

    for (int i = 0; i < m->type.rank; i++) {
        int64_t d = m->type.dim[i];
        if (d && n > (INT64_C(1) << 40) / d)
            return text_error(t, at, "too many elements");
        n *= d;
    }
    return true;
}

bool tensor_fill(Text *t, ModelTensor *m, const Body *b)
{
    if (!check_size(t, m, b->at))
        return false;
    switch (b->kind) {
    case BODY_DATA: case BODY_LIST: return fill_elements(t, m, b);
    case BODY_FILE: return weights_find(t, m, b);
    case BODY_RULE: return weights_make(t, m, b);
    }
    return false;
}
