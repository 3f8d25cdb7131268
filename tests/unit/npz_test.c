/* npz_test.c - numpy files: what is written is read back, what numpy writes
 * otherwise is understood, what is damaged is refused. */
#include "test.h"

#include "../../support/npz.h"

static const NpyArray samples[] = {
    { .name = "image/0:x", .kind = 'f', .size = 4, .rank = 2,
      .dim = { 2, 3 }, .count = 6,
      .data = (const float[]){ 0, 1, 2, 3, 4, -5.5f } },
    { .name = "t", .kind = 'i', .size = 8, .rank = 0, .count = 1,
      .data = (const int64_t[]){ -7 } },
    { .name = "empty", .kind = 'u', .size = 1, .rank = 3,
      .dim = { 2, 0, 3 }, .count = 0, .data = "" },
    { .name = "h\xc3\xa4lf", .kind = 'f', .size = 2, .rank = 1,
      .dim = { 3 }, .count = 3,
      .data = (const uint16_t[]){ 0x3c00, 0x8000, 0x7c00 } },
    { .name = "mask", .kind = 'b', .size = 1, .rank = 1, .dim = { 2 },
      .count = 2, .data = "\1\0" },
    { .name = "bf", .kind = 'V', .size = 2, .rank = 1, .dim = { 1 },
      .count = 1, .data = (const uint16_t[]){ 0x3f80 } },
};
enum { SAMPLES = sizeof samples / sizeof *samples };

static void expect_same(const NpyArray *a, const NpyArray *b)
{
    ck_assert_str_eq(a->name, b->name);
    ck_assert_ptr_null(a->problem);
    ck_assert_int_eq(a->kind, b->kind);
    ck_assert_int_eq(a->size, b->size);
    ck_assert_int_eq(a->rank, b->rank);
    for (int i = 0; i < a->rank; i++)
        ck_assert_int_eq(a->dim[i], b->dim[i]);
    ck_assert_int_eq(a->count, b->count);
    ck_assert_uint_eq((uintptr_t)a->data % 8, 0);
    if (a->count)
        ck_assert_mem_eq(a->data, b->data, (size_t)(a->count * a->size));
}

static const char *sample_npz(Fixture *f, const char *name, Buf *b)
{
    buf_init(b, f->arena);
    npz_write(b, SAMPLES, samples);
    return test_file(name, b->s, b->n);
}

START_TEST(npz_round_trip)
{
    Fixture f;
    NpyFile npz;
    Buf b;

    fixture_open(&f);
    ck_assert(npz_load(sample_npz(&f, "a.npz", &b), f.arena, &f.diag, &npz));
    ck_assert(npz.is_npz);
    ck_assert_int_eq(npz.n, SAMPLES);
    for (int i = 0; i < SAMPLES; i++)
        expect_same(&npz.array[i], &samples[i]);
    ck_assert_ptr_eq(npz_find(&npz, "mask"), &npz.array[4]);
    ck_assert_ptr_null(npz_find(&npz, "mas"));
    fixture_close(&f);
}
END_TEST

START_TEST(npy_round_trip)
{
    Fixture f;
    NpyFile npy;
    NpyArray want = samples[_i];
    Buf b;

    fixture_open(&f);
    buf_init(&b, f.arena);
    npy_write(&b, &want);
    ck_assert(npz_load(test_file("a.npy", b.s, b.n), f.arena, &f.diag,
                       &npy));
    ck_assert(!npy.is_npz && npy.n == 1);
    want.name = "";
    expect_same(npy.array, &want);
    fixture_close(&f);
}
END_TEST

/* A .npy with the given header text and data. */
static bool load_npy(Fixture *f, const char *header, const void *data,
                     size_t n, NpyArray *a)
{
    size_t length = strlen(header);
    NpyFile npy;
    bool ok;
    Buf b;

    buf_init(&b, f->arena);
    buf_write(&b, "\x93NUMPY\1\0", 8);
    buf_putc(&b, (char)length);
    buf_putc(&b, (char)(length >> 8));
    buf_puts(&b, header);
    buf_write(&b, data, n);
    ok = npz_load(test_file("h.npy", b.s, b.n), f->arena, &f->diag, &npy);
    if (ok)
        *a = *npy.array;
    return ok;
}

START_TEST(big_endian_fortran)
{
    static const uint8_t data[] = { 0, 1, 0, 4, 0, 2, 0, 5, 0, 3, 1, 6 };
    static const uint16_t want[] = { 1, 2, 3, 4, 5, 0x106 };
    Fixture f;
    NpyArray a;

    fixture_open(&f);
    ck_assert(load_npy(&f, "{'descr': '>u2', 'fortran_order': True, "
                       "'shape': (2, 3), }\n", data, sizeof data, &a));
    ck_assert_mem_eq(a.data, want, sizeof want);
    fixture_close(&f);
}
END_TEST

START_TEST(old_style_header)
{
    Fixture f;
    NpyArray a;

    fixture_open(&f);
    ck_assert(load_npy(&f, "{\"shape\":(3L,),\"descr\":\"|i1\","
                       "\"fortran_order\":False}", "abc", 3, &a));
    ck_assert_mem_eq(a.data, "abc", 3);
    fixture_close(&f);
}
END_TEST

#define HEADER(descr, shape) \
    "{'descr': " descr ", 'fortran_order': False, 'shape': " shape ", }\n"

static const struct {
    const char *header, *message;
} bad_headers[] = {
    { HEADER("'<f4'", "(3,)"), "4 bytes of data, its shape needs 12" },
    { HEADER("'<f4'", "()") " ", NULL },
    { HEADER("'|u1'", "(3,)"), "4 bytes of data, its shape needs 3" },
    { HEADER("'<f4'", "(1099511627776, 1099511627776, 4)"), "malformed" },
    { HEADER("'<f4'", "(99999999999999999999,)"), "malformed" },
    { HEADER("'<f4'", "(4611686018427387904, 0)"), "malformed" },
    { HEADER("'<f4'", "(1000000000000,)"), "its shape needs 4000000000000" },
    { HEADER("'<f4'", "(-1,)"), "malformed" },
    { HEADER("'<f4'", "(1 2)"), "malformed" },
    { HEADER("'<f4'", "(1"), "malformed" },
    { HEADER("'f'", "(1,)"), "malformed" },
    { HEADER("'<f4", "(1,)"), "malformed" },
    { HEADER("[('a', '<f4'", "(1,)"), "malformed" },
    { "{'descr': '<f4', 'shape': (1,), }", "malformed" },
    { "{'descr': '<f4', 'fortran_order': 1, 'shape': (1,), }", "malformed" },
    { "{'color': 3}", "malformed" },
    { "{", "malformed" },
    { "", "malformed" },
};

START_TEST(headers_refused)
{
    Fixture f;
    NpyArray a;
    bool ok;

    fixture_open(&f);
    ok = load_npy(&f, bad_headers[_i].header, "\0\0\0\0", 4, &a);
    ck_assert_int_eq(ok, !bad_headers[_i].message);
    if (!ok)
        expect_text(&f, bad_headers[_i].message);
    fixture_close(&f);
}
END_TEST

static const char *const odd_types[] = {
    "'<U3'", "'|S5'", "'|O'", "'<c8'", "'<f16'", "'<M8[ns]'", "'|f1'",
    "'<i3'", "[('a', '<f4'), ('b', '<i4', (2,))]",
};

/* Arrays of other types may lie in a file as long as nobody needs them. */
START_TEST(types_left_alone)
{
    Fixture f;
    NpyArray a;
    char header[256];

    fixture_open(&f);
    snprintf(header, sizeof header, HEADER("%s", "(2,)"), odd_types[_i]);
    ck_assert(load_npy(&f, header, "\0\0\0\0", 4, &a));
    ck_assert_ptr_nonnull(a.problem);
    fixture_close(&f);
}
END_TEST

/* Whatever happens to the bytes, it is an error or an array. */
START_TEST(damage)
{
    Fixture f;
    NpyFile npz;
    uint32_t seed = 1;
    Buf b;

    fixture_open(&f);
    sample_npz(&f, "b.npz", &b);
    for (size_t n = 0; n < b.n; n += 7)
        ck_assert(!npz_load(test_file("cut.npz", b.s, n), f.arena, &f.diag,
                            &npz));
    for (int i = 0; i < 500; i++) {
        size_t at;
        char kept;
        seed = seed * 1664525 + 1013904223;
        at = (seed >> 8) % b.n;
        kept = b.s[at];
        b.s[at] ^= (char)(1 << (seed >> 29));
        npz_load(test_file("flip.npz", b.s, b.n), f.arena, &f.diag, &npz);
        b.s[at] = kept;
    }
    fixture_close(&f);
}
END_TEST

START_TEST(no_such_file)
{
    Fixture f;
    NpyFile npz;

    fixture_open(&f);
    ck_assert(!npz_load(test_path("none.npz"), f.arena, &f.diag, &npz));
    expect_text(&f, "none.npz: cannot open: ");
    ck_assert(!npz_load(test_folder(), f.arena, &f.diag, &npz));
    expect_text(&f, "cannot read: ");
    fixture_close(&f);
}
END_TEST

static bool load_again(Fixture *f, void *path)
{
    NpyFile npz;

    return npz_load(path, f->arena, &f->diag, &npz);
}

START_TEST(out_of_memory)
{
    Fixture f;
    Buf b;

    fixture_open(&f);
    ck_assert_int_gt(test_out_of_memory(
        load_again, (void *)sample_npz(&f, "c.npz", &b)), 1);
    fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("npz");
    TCase *t = tcase_create("npz");

    tcase_add_test(t, npz_round_trip);
    tcase_add_loop_test(t, npy_round_trip, 0, SAMPLES);
    tcase_add_test(t, big_endian_fortran);
    tcase_add_test(t, old_style_header);
    tcase_add_loop_test(t, headers_refused, 0,
                        sizeof bad_headers / sizeof *bad_headers);
    tcase_add_loop_test(t, types_left_alone, 0,
                        sizeof odd_types / sizeof *odd_types);
    tcase_add_test(t, damage);
    tcase_add_test(t, no_such_file);
    tcase_add_test(t, out_of_memory);
    tcase_set_timeout(t, 120);
    suite_add_tcase(s, t);
    return test_main(s);
}
