/* guard_test.c - files that protobuf-c must not see. */
#include "onnx.h"

/* `levels` graphs, each in an attribute of a node of the one around it;
 * written from the inside out, towards the front of a buffer. */
static void nest(Fixture *f, int levels, const uint8_t **start, size_t *n)
{
    static const uint8_t tags[] = { 0x0a, 0x2a, 0x32 }; /* node, attr, g */
    size_t cap = (size_t)levels * 18 + 16, at = cap;
    uint8_t *p = arena_alloc(f->arena, cap);

    for (int i = 0; i < levels * 3; i++) {
        size_t length = cap - at, k = at;
        uint8_t tag = tags[2 - i % 3];
        size_t bytes = length < 1 << 7 ? 1 : length < 1 << 14 ? 2
                     : length < 1 << 21 ? 3 : 4;
        k -= bytes + 1;
        at = k;
        p[k++] = tag;
        for (size_t b = 0; b < bytes; b++, length >>= 7)
            p[k++] = (uint8_t)((length & 127) | (b < bytes - 1 ? 128 : 0));
    }
    *start = p + at;
    *n = cap - at;
}

static bool load_nested(Fixture *f, int levels)
{
    const uint8_t *inner;
    size_t n;
    Buf b;

    nest(f, levels, &inner, &n);
    buf_init(&b, f->arena);
    buf_putc(&b, 0x3a);         /* ModelProto.graph */
    for (size_t k = n; ; k >>= 7) {
        buf_putc(&b, (char)((k & 127) | (k > 127 ? 128 : 0)));
        if (k < 128)
            break;
    }
    buf_write(&b, inner, n);
    return load_bytes(f, b.s, b.n);
}

START_TEST(nested_graphs)
{
    Fixture f;

    fixture_open(&f);
    ck_assert(!load_nested(&f, 100000));
    expect_text(&f, "nested more than 100 deep");
    ck_assert(!load_nested(&f, 34));
    fixture_close(&f);
    fixture_open(&f);
    load_nested(&f, 33);        /* attributes have no names, but it ends */
    expect_text(&f, "without a name");
    fixture_close(&f);
}
END_TEST

START_TEST(empty_nodes)
{
    enum { N = 20 << 20 };
    Fixture f;
    uint8_t *p;

    fixture_open(&f);
    p = malloc(N + 5);
    ck_assert_ptr_nonnull(p);
    memcpy(p, "\x3a\x80\x80\x80\x0a", 5);       /* graph of 20 MiB */
    for (size_t i = 0; i < N; i += 2) {
        p[5 + i] = 0x0a;
        p[6 + i] = 0;
    }
    ck_assert(!load_bytes(&f, p, N + 5));
    expect_text(&f, "too many nodes, tensors and attributes");
    ck_assert_uint_lt(arena_bytes(f.arena), 2 * N);
    free(p);
    fixture_close(&f);
}
END_TEST

static const struct {
    const char *bytes;
    size_t n;
    const char *message;
} wires[] = {
    { "", 0, "the file is empty" },
    { "\x08\x07", 2, "it has no graph" },
    { "\x3a\x00", 2, NULL },
    { "\x3a\x01", 2, "field 7 of 1 bytes where 0 are left" },
    { "\x3a\xff\xff\xff\xff\x0f", 6, "field 7 of 4294967295 bytes" },
    { "\x3a\x80\x80\x80\x80\x80\x01", 7, "malformed length" },
    { "\x3a", 1, "malformed length" },
    { "\x80", 1, "malformed field number" },
    { "\x00", 1, "malformed field number" },
    { "\x3b", 1, "unknown wire type" },
    { "\x08", 1, "number does not end" },
    { "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12,
      "number does not end" },
    { "\x38\x01", 2, "field 'graph' of ModelProto has wire type 0" },
    { "\x3d\x01", 2, "field 7 of 4 bytes where 1 are left" },
    { "\x3a\x00\x3a\x00", 4, "stands twice" },
    { "\x3a\x80\x00", 3, NULL },                /* a padded length */
    { "\x3a\x04\x12\x02\x61\x00", 6, "a name holds a zero byte" },
    { "\x3a\x04\x12\x02\x61\x62", 6, NULL },
    /* unknown fields, and documentation, of any content */
    { "\x3a\x00\xf2\x07\x02\x01\x02\xf8\x07\x05\x32\x01\x00", 13, NULL },
    /* an initializer with packed int64_data that breaks off */
    { "\x3a\x05\x2a\x03\x3a\x01\x80", 7, "packed numbers do not fill" },
    { "\x3a\x06\x2a\x04\x4a\x00\x4a\x00", 8, "data in two fields" },
    { "\x3a\x06\x2a\x04\x4a\x00\x22\x00", 8, "data in two fields" },
    /* one with 3 bytes of packed float_data */
    { "\x3a\x07\x2a\x05\x22\x03\x01\x02\x03", 9,
      "packed numbers do not fill" },
};

START_TEST(wire)
{
    Fixture f;
    bool ok;

    fixture_open(&f);
    ok = load_bytes(&f, wires[_i].bytes, wires[_i].n);
    fflush(f.diag.out);
    ck_assert_msg(ok == !wires[_i].message, "%s", f.text);
    if (!ok)
        expect_text(&f, wires[_i].message);
    fixture_close(&f);
}
END_TEST

/* Two tensors whose weights lie so close that the second ones cannot always
 * slide to an aligned address over nothing but headers. */
START_TEST(close_weights)
{
    static const uint8_t bytes[] = {
        0x3a, 46, 0x2a, 15,
        0x08, 6, 0x10, 2, 0x42, 1, 'v',         /* dims 6, uint8, name */
        0x4a, 6, 9, 9, 9, 9, 9, 9,
        0x2a, 27,
        0x4a, 16, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
        0x08, 2, 0x10, 7, 0x42, 1, 'w', 0x10, 7,
    };
    static const int64_t want[] = { 1, 2 };
    Fixture f;
    Model model;

    fixture_open(&f);
    for (size_t pad = 0; pad < 8; pad++) {
        uint8_t p[sizeof bytes + 16] = { 0xfa, 0x07, (uint8_t)pad };
        memcpy(p + 3 + pad, bytes, sizeof bytes);
        ck_assert(onnx_load(test_file("c.onnx", p, 3 + pad + sizeof bytes),
                            f.arena, &f.diag, &model));
        ck_assert_uint_eq((uintptr_t)model.graph.init[1].data % 8, 0);
        ck_assert_mem_eq(model.graph.init[1].data, want, sizeof want);
    }
    fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("guard");
    TCase *t = tcase_create("guard");

    tcase_add_test(t, nested_graphs);
    tcase_add_test(t, empty_nodes);
    tcase_add_loop_test(t, wire, 0, sizeof wires / sizeof *wires);
    tcase_add_test(t, close_weights);
    tcase_set_timeout(t, 120);
    suite_add_tcase(s, t);
    return test_main(s);
}
