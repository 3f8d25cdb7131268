/* tensor_test.c - every encoding of tensor data, and what can be wrong. */
#include "onnx.h"

#include <sys/stat.h>

typedef struct Encoding {
    int type;
    const char *raw;            /* the elements' bytes, little endian */
    int bytes, elems;
    int n;                      /* entries of the typed field */
    const float *floats;
    const int32_t *int32s;
    const int64_t *int64s;
    const double *doubles;
    const uint64_t *uint64s;
} Encoding;

#define I32(...) .int32s = (const int32_t[]){ __VA_ARGS__ }

static const Encoding encodings[] = {
    { 1, "\0\0\x80\x3f\0\0\0\xc0", 8, 2, 2,
      .floats = (const float[]){ 1, -2 } },
    { 2, "\1\xff", 2, 2, 2, I32(1, 255) },
    { 3, "\1\xff", 2, 2, 2, I32(1, -1) },
    { 3, "\1\xff", 2, 2, 2, I32(1, 255) },
    { 4, "\1\0\xff\xff", 4, 2, 2, I32(1, 65535) },
    { 5, "\1\0\xff\xff", 4, 2, 2, I32(1, -1) },
    { 6, "\1\0\0\0\xff\xff\xff\xff", 8, 2, 2, I32(1, -1) },
    { 7, "\1\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 16, 2, 2,
      .int64s = (const int64_t[]){ 1, -1 } },
    { 9, "\1\0\1", 3, 3, 3, I32(1, 0, 1) },
    { 10, "\0\x3c\0\xbc", 4, 2, 2, I32(0x3c00, 0xbc00) },
    { 11, "\0\0\0\0\0\0\xf0\x3f", 8, 1, 1,
      .doubles = (const double[]){ 1 } },
    { 12, "\1\0\0\0\xff\xff\xff\xff", 8, 2, 2,
      .uint64s = (const uint64_t[]){ 1, UINT32_MAX } },
    { 13, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, 1, 1,
      .uint64s = (const uint64_t[]){ UINT64_MAX } },
    { 16, "\x80\x3f\x80\xbf", 4, 2, 2, I32(0x3f80, 0xbf80) },
    { 21, "\x21\x0f", 2, 3, 2, I32(0x21, 0x0f) },
    { 22, "\x21\xff", 2, 4, 2, I32(0x21, 0xff) },
    { 1, "", 0, 0, 0, .floats = (const float[]){ 0 } },
};
enum { ENCODINGS = sizeof encodings / sizeof *encodings };

/* Leaves out the field that a NULL pointer stands for. */
static void put_typed(Onnx__TensorProto *t, const Encoding *e)
{
    size_t n = (size_t)e->n;

    t->n_float_data = e->floats ? n : 0;
    t->float_data = (float *)e->floats;
    t->n_int32_data = e->int32s ? n : 0;
    t->int32_data = (int32_t *)e->int32s;
    t->n_int64_data = e->int64s ? n : 0;
    t->int64_data = (int64_t *)e->int64s;
    t->n_double_data = e->doubles ? n : 0;
    t->double_data = (double *)e->doubles;
    t->n_uint64_data = e->uint64s ? n : 0;
    t->uint64_data = (uint64_t *)e->uint64s;
}

START_TEST(encoding)
{
    const Encoding *e = &encodings[_i / 2];
    Onnx__TensorProto *p;
    ModelTensor t;
    Fixture f;

    fixture_open(&f);
    p = raw_tensor(&f, "w", e->type, e->elems, e->raw, (size_t)e->bytes);
    if (_i % 2) {
        p->has_raw_data = 0;
        put_typed(p, e);
    }
    ck_assert_msg(load_packed_tensor(&f, p, &t), "type %d", e->type);
    ck_assert_str_eq(t.name, "w");
    ck_assert_ptr_null(t.problem);
    ck_assert_int_eq(t.type.dt, e->type);
    ck_assert_int_eq(t.type.rank, 1);
    ck_assert_int_eq(t.type.dim[0], e->elems);
    ck_assert_uint_eq((uintptr_t)t.data % 8, 0);
    ck_assert_ptr_nonnull(t.data);
    if (e->bytes)
        ck_assert_mem_eq(t.data, e->raw, (size_t)e->bytes);
    fixture_close(&f);
}
END_TEST

START_TEST(scalar)
{
    Onnx__TensorProto *p;
    ModelTensor t;
    Fixture f;

    fixture_open(&f);
    p = raw_tensor(&f, "", 1, 0, "\0\0\x80\x3f", 4);
    p->n_dims = 0;
    ck_assert(load_packed_tensor(&f, p, &t));
    ck_assert_int_eq(t.type.rank, 0);
    ck_assert(*(const float *)t.data == 1);
    fixture_close(&f);
}
END_TEST

START_TEST(truth_is_one)
{
    ModelTensor t;
    Fixture f;

    fixture_open(&f);
    ck_assert(load_packed_tensor(&f, raw_tensor(&f, "b", 9, 3, "\2\0\xff",
                                                3), &t));
    ck_assert_mem_eq(t.data, "\1\0\1", 3);
    fixture_close(&f);
}
END_TEST

START_TEST(weights_are_not_copied)
{
    enum { N = 1 << 20 };
    ModelTensor t;
    Fixture f;
    const char *path;
    size_t before;

    fixture_open(&f);
    path = pack_file(&f, "t.pb", raw_tensor(&f, "w", 2, N,
                                            arena_alloc(f.arena, N), N));
    before = arena_bytes(f.arena);
    ck_assert(onnx_load_tensor(path, f.arena, &f.diag, &t));
    ck_assert_uint_lt(arena_bytes(f.arena) - before, N + N / 8);
    fixture_close(&f);
}
END_TEST

static int32_t some_ints[] = { 1, 2 }, large_ints[] = { 1, 256 };
static float some_floats[] = { 1, 2 };

typedef void Spoil(Fixture *f, Onnx__TensorProto *p);

static void shorter(Fixture *f, Onnx__TensorProto *p)
{
    (void)f;
    p->raw_data.len--;
}

static void longer(Fixture *f, Onnx__TensorProto *p)
{
    (void)f;
    p->dims[0]--;
}

static void no_data(Fixture *f, Onnx__TensorProto *p)
{
    (void)f;
    p->has_raw_data = 0;
}

static void negative(Fixture *f, Onnx__TensorProto *p)
{
    (void)f;
    p->dims[0] = -2;
}

static void huge(Fixture *f, Onnx__TensorProto *p)
{
    static int64_t dims[] = { INT64_C(1) << 33, INT64_C(1) << 33, 0 };

    (void)f;
    p->n_dims = 3;
    p->dims = dims;
}

static void deep(Fixture *f, Onnx__TensorProto *p)
{
    p->n_dims = 9;
    p->dims = NEW_ARRAY(f->arena, int64_t, 9);
}

static void twice(Fixture *f, Onnx__TensorProto *p)
{
    (void)f;
    p->n_int32_data = 2;
    p->int32_data = some_ints;
}

static void wrong_field(Fixture *f, Onnx__TensorProto *p)
{
    (void)f;
    p->has_raw_data = 0;
    p->n_float_data = 2;
    p->float_data = some_floats;
}

static void out_of_range(Fixture *f, Onnx__TensorProto *p)
{
    (void)f;
    p->has_raw_data = 0;
    p->n_int32_data = 2;
    p->int32_data = large_ints;
}

static void segmented(Fixture *f, Onnx__TensorProto *p)
{
    p->segment = NEW(f->arena, Onnx__TensorProto__Segment);
    onnx__tensor_proto__segment__init(p->segment);
}

static const struct {
    Spoil *spoil;
    const char *message;
} spoils[] = {
    { shorter, "t.pb: error: tensor 'w': raw_data has 1 bytes, uint8[2] "
               "needs 2" },
    { longer, "raw_data has 2 bytes, uint8[1] needs 1" },
    { no_data, "has no data, uint8[2] needs 2 bytes" },
    { negative, "dimension 0 is -2" },
    { huge, "more than 1099511627776 elements" },
    { deep, "9 dimensions, at most 8 are supported" },
    { twice, "has both raw_data and int32_data" },
    { wrong_field, "uint8 elements in float_data" },
    { out_of_range, "entry 1 of int32_data is 256, not a uint8" },
    { segmented, "is stored in segments" },
};

START_TEST(refused)
{
    Onnx__TensorProto *p;
    ModelTensor t;
    Fixture f;

    fixture_open(&f);
    p = raw_tensor(&f, "w", 2, 2, "\1\2", 2);
    spoils[_i].spoil(&f, p);
    ck_assert(!load_packed_tensor(&f, p, &t));
    expect_text(&f, spoils[_i].message);
    fixture_close(&f);
}
END_TEST

static const int odd_types[] = { 0, 8, 14, 17, 23, 26, 28, 99, -1 };

/* Models may carry such tensors; only their use is an error. */
START_TEST(type_without_data)
{
    ModelTensor t;
    Fixture f;

    fixture_open(&f);
    ck_assert(load_packed_tensor(&f, raw_tensor(&f, "s", odd_types[_i], 1,
                                                "", 0), &t));
    ck_assert_ptr_nonnull(t.problem);
    fixture_close(&f);
}
END_TEST

static void set_external(Fixture *f, Onnx__TensorProto *p, const char *key,
                         const char *value)
{
    Onnx__StringStringEntryProto *e =
        NEW(f->arena, Onnx__StringStringEntryProto);

    onnx__string_string_entry_proto__init(e);
    e->key = arena_strdup(f->arena, key);
    e->value = arena_strdup(f->arena, value);
    p->has_raw_data = 0;
    p->has_data_location = 1;
    p->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    APPEND(f, p->external_data, p->n_external_data, e);
}

static const struct {
    const char *location, *offset, *length, *message;
} externals[] = {
    { "w.bin", NULL, NULL, NULL },
    { "w.bin", "3", "4", NULL },
    { "./sub/../w.bin", "3", "4", "is outside the model's folder" },
    { "sub/w.bin", "1", NULL, NULL },
    { "inside", "3", "4", NULL },
    { "outside", NULL, NULL, "is a link out of the model's folder" },
    { "/etc/passwd", NULL, NULL, "is outside the model's folder" },
    { "../w.bin", NULL, NULL, "is outside the model's folder" },
    { "sub/..", NULL, NULL, "is outside the model's folder" },
    { "sub", NULL, NULL, "is not a file" },
    { ".", NULL, NULL, "out of the model's folder" },
    { "fifo", NULL, NULL, "is not a file" },
    { "none", NULL, NULL, "No such file" },
    { "", NULL, NULL, "without a location" },
    { "a\nb", NULL, NULL, "'a\\x0ab'" },
    { "w.bin", "4", "4", NULL },
    { "w.bin", "5", "4", "has 8 bytes, 4 at offset 5 are needed" },
    { "w.bin", "9223372036854775807", "4", "has 8 bytes" },
    { "w.bin", "-1", "4", "offset '-1' is not a number" },
    { "w.bin", "99999999999999999999", "4", "is not a number" },
    { "w.bin", "0", "5", "of 5 bytes, 4 are needed" },
    { "w.bin", "0", "x", "length 'x' is not a number" },
};

static void external_files(void)
{
    test_file("w.bin", "01234567", 8);
    mkdir(test_path("sub"), 0777);
    test_file("sub/w.bin", "abcdefgh", 8);
    ck_assert(symlink("w.bin", test_path("inside")) == 0 || errno == EEXIST);
    ck_assert(symlink("/etc/passwd", test_path("outside")) == 0 ||
              errno == EEXIST);
    ck_assert(mkfifo(test_path("fifo"), 0666) == 0 || errno == EEXIST);
}

START_TEST(external)
{
    Onnx__TensorProto *p;
    ModelTensor t;
    Fixture f;
    bool ok;

    fixture_open(&f);
    external_files();
    p = raw_tensor(&f, "w", 2, 4, "", 0);
    set_external(&f, p, "location", externals[_i].location);
    if (externals[_i].offset)
        set_external(&f, p, "offset", externals[_i].offset);
    if (externals[_i].length)
        set_external(&f, p, "length", externals[_i].length);
    ok = load_packed_tensor(&f, p, &t);
    if (externals[_i].message) {
        ck_assert(!ok);
        expect_text(&f, externals[_i].message);
    } else {
        const char *data = strstr(externals[_i].location, "sub")
                               ? "abcdefgh" : "01234567";
        int at = externals[_i].offset ? atoi(externals[_i].offset) : 0;
        ck_assert(ok);
        ck_assert_mem_eq(t.data, data + at, 4);
    }
    fixture_close(&f);
}
END_TEST

/* A thousand tensors over the same 1 MiB, each a byte further on. */
START_TEST(external_overlap)
{
    enum { N = 1 << 20 };
    Onnx__ModelProto *m;
    Model model;
    Fixture f;

    fixture_open(&f);
    test_file("big.bin", arena_alloc(f.arena, N), N);
    m = empty_model(&f);
    for (int i = 0; i < 1000; i++) {
        Onnx__TensorProto *p = raw_tensor(
            &f, arena_printf(f.arena, "w%d", i), 2, N - 1000, "", 0);
        set_external(&f, p, "location", "big.bin");
        set_external(&f, p, "offset", arena_printf(f.arena, "%d", i));
        APPEND(&f, m->graph->initializer, m->graph->n_initializer, p);
    }
    ck_assert(!load_packed_model(&f, m, &model));
    expect_text(&f, "tensors overlap");
    fixture_close(&f);
}
END_TEST

static bool load_again(Fixture *f, void *path)
{
    ModelTensor t;

    return onnx_load_tensor(path, f->arena, &f->diag, &t);
}

START_TEST(out_of_memory)
{
    Onnx__TensorProto *p;
    Fixture f;

    fixture_open(&f);
    external_files();
    p = raw_tensor(&f, "w", 2, 4, "", 0);
    set_external(&f, p, "location", "w.bin");
    ck_assert_int_gt(test_out_of_memory(
        load_again, (void *)pack_file(&f, "t.pb", p)), 1);
    fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tensor");
    TCase *t = tcase_create("tensor");

    tcase_add_loop_test(t, encoding, 0, 2 * ENCODINGS);
    tcase_add_test(t, scalar);
    tcase_add_test(t, truth_is_one);
    tcase_add_test(t, weights_are_not_copied);
    tcase_add_loop_test(t, refused, 0, sizeof spoils / sizeof *spoils);
    tcase_add_loop_test(t, type_without_data, 0,
                        sizeof odd_types / sizeof *odd_types);
    tcase_add_loop_test(t, external, 0, sizeof externals / sizeof *externals);
    tcase_add_test(t, external_overlap);
    tcase_add_test(t, out_of_memory);
    tcase_set_timeout(t, 120);
    suite_add_tcase(s, t);
    return test_main(s);
}
