/* text_test.c - numbers as text, and reading texts: what the golden tests
 * cannot see, exact bits, speed and failing allocations. */
#include "test.h"

#include <time.h>

#include "../../frontend/model.h"
#include "../../support/number.h"

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

START_TEST(floats_round_trip)
{
    uint64_t state = 1;
    Fixture f;
    Buf b;

    fixture_open(&f);
    buf_init(&b, f.arena);
    for (int i = 0; i < 300000; i++) {
        uint32_t bits = (uint32_t)next(&state), got, again;
        float x, y, z;
        Number n;
        if (i % 3 == 0)         /* of everyday size */
            bits = (bits & 0x80ffffff) | (uint32_t)(100 + i % 50) << 23;
        memcpy(&x, &bits, 4);
        buf_clear(&b);
        number_put_f32(&b, x);
        ck_assert_uint_eq(number_scan(b.s, b.s + b.n, &n), b.n);
        y = number_f32(&n);
        memcpy(&got, &y, 4);
        ck_assert_msg(got == bits, "%08x %s %08x", bits, b.s, got);
        z = strtof(b.s, NULL);
        memcpy(&again, &z, 4);
        ck_assert_msg(x != x || again == bits, "%08x %s", bits, b.s);
    }
    fixture_close(&f);
}
END_TEST

START_TEST(doubles_round_trip)
{
    uint64_t state = 2;
    Fixture f;
    Buf b;

    fixture_open(&f);
    buf_init(&b, f.arena);
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = next(&state), got;
        double x, y;
        Number n;
        memcpy(&x, &bits, 8);
        buf_clear(&b);
        number_put_f64(&b, x);
        ck_assert_uint_eq(number_scan(b.s, b.s + b.n, &n), b.n);
        y = number_f64(&n);
        memcpy(&got, &y, 8);
        ck_assert_msg(got == bits, "%016llx %s", (unsigned long long)bits,
                      b.s);
    }
    fixture_close(&f);
}
END_TEST

typedef struct Reading { const char *s; size_t n; float f; } Reading;

static const Reading readings[] = {
    { "12", 2, 12 }, { "-0.5x", 4, -0.5f }, { "1e-5", 4, 1e-5f },
    { "1e", 1, 1 }, { "1.", 2, 1 }, { "x", 0, 0 }, { "-", 0, 0 },
    { "16777217", 8, 16777216 },        /* halfway, to even */
    { "16777219", 8, 16777220 },
    { "1.00000005960464477539062500000001", 34, 1.00000012f },
    { "340282346638528859811704183484516925440", 39, 3.40282347e38f },
    { "1e-46", 5, 0 }, { "infinity", 8, 1e38f * 10 },
    { "-Inf,", 4, -1e38f * 10 }, { "infx", 0, 0 },
};

START_TEST(reading)
{
    const Reading *r = &readings[_i];
    Number n;

    ck_assert_uint_eq(number_scan(r->s, r->s + strlen(r->s), &n), r->n);
    if (r->n)
        ck_assert_msg(number_f32(&n) == r->f, "%s: %.9g", r->s,
                      (double)number_f32(&n));
}
END_TEST

static const char sample[] =
    "<ir_version: 8, opset_import: [\"\" : 17, \"own\" : 1],\n"
    " metadata_props: [\"a\": \"b\"]>\n"
    "const N = 2 * (1 + 1)\n"
    "g (float[N] x, int8[?] \"q/0\") => (float[N] y)\n"
    "<repeat i = 0..N { float[3] w${i} = {1, 2.5, -1e-3}, }\n"
    " float[2] r = @random(1), int64[2] s = {N, -1}>\n"
    "{\n"
    "  [a] b = own.f <k = [1, 2], s = \"t\"> (x, float[2] {1, 2}, , w0)\n"
    "  c = If (x) <then_branch = t () => (float d) { d = Neg (x) }>\n"
    "  y = Add (b, c) @at(16) @scratch(0, 8)\n"
    "}\n"
    "<domain: \"own\">\n"
    "f <k, s: string = \"\"> (p, float[2] q) => (o) { o = Add (p, q) }\n";

static bool read_text(Fixture *f, const char *s, size_t n, Model *m)
{
    FileBytes bytes = { (uint8_t *)(uintptr_t)s, n };

    return text_read("x.mcu", bytes, f->arena, &f->diag, m);
}

static const char many[] =
    "g (float[4] v0) => (float[4] y) {\n"
    "repeat i = 1..2000 {\n"
    "  v${i} = Clip (v${i-1}, float {0.5}, float {2.5})\n"
    "}\n"
    "y = If (v2000) <then_branch = t () => (float d) { d = Neg (v1) }>\n"
    "}\n";

static bool read_many(Fixture *f, void *user)
{
    Model m;

    (void)user;
    return read_text(f, many, sizeof many - 1, &m);
}

START_TEST(model)
{
    const ModelGraph *g;
    Fixture f;
    Model m;

    fixture_open(&f);
    ck_assert(read_text(&f, sample, sizeof sample - 1, &m));
    g = &m.graph;
    ck_assert_int_eq(m.nopset, 2);
    ck_assert_int_eq(g->ninit, 7);
    ck_assert_str_eq(g->init[4].name, "w4");
    ck_assert_int_eq(g->nnode, 4);      /* one is the literal's */
    ck_assert_str_eq(g->node[0].op, "Constant");
    ck_assert_str_eq(g->node[1].domain, "own");
    ck_assert_int_eq(g->node[1].nin, 4);
    ck_assert_str_eq(g->node[1].in[2], "");
    ck_assert_int_eq(g->node[1].line, 8);
    ck_assert_int_eq(g->node[1].column, 11);
    ck_assert_int_eq(g->in[0].dim[0].value, 4);
    ck_assert_int_eq(g->node[3].at[0], 16);
    ck_assert_int_eq(m.function[0].nattr, 1);
    ck_assert_int_eq(m.function[0].ndefault, 1);
    fixture_close(&f);
}
END_TEST

START_TEST(cut_anywhere)
{
    for (size_t n = 0; n < sizeof sample; n++) {
        Fixture f;
        Model m;
        fixture_open(&f);
        read_text(&f, sample, n, &m);
        fixture_close(&f);
    }
}
END_TEST

START_TEST(out_of_memory)
{
    ck_assert_int_gt(test_out_of_memory(read_many, NULL), 20);
}
END_TEST

#ifdef __SANITIZE_ADDRESS__
enum { LIMIT_MS = 1000 };
#else
enum { LIMIT_MS = 100 };
#endif

/* A mistake in the middle of 10,000 lines: its line, in a tenth of a
 * second. */
START_TEST(error_in_a_long_text)
{
    char line[100];
    clock_t start;
    Fixture f;
    Model m;
    Buf b;

    fixture_open(&f);
    buf_init(&b, f.arena);
    buf_puts(&b, "g (float[4] v0) => (float[4] v9999) {\n");
    for (int i = 1; i < 10000; i++) {
        snprintf(line, sizeof line, "  v%d = LeakyRelu <alpha = 0.1> %sv%d)\n",
                 i, i == 5000 ? "" : "(", i - 1);
        buf_puts(&b, line);
    }
    buf_puts(&b, "}\n");
    start = clock();
    ck_assert(!read_text(&f, b.s, b.n, &m));
    ck_assert_int_lt((int)((clock() - start) * 1000 / CLOCKS_PER_SEC),
                     LIMIT_MS);
    expect_text(&f, "  5001 | ");
    expect_text(&f, "expected '(' before 'v4999'");
    fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("text");
    TCase *t = tcase_create("text");
    SRunner *r;
    int failed;

    tcase_add_test(t, floats_round_trip);
    tcase_add_test(t, doubles_round_trip);
    tcase_add_loop_test(t, reading, 0, sizeof readings / sizeof *readings);
    tcase_add_test(t, model);
    tcase_add_test(t, cut_anywhere);
    tcase_add_test(t, out_of_memory);
    tcase_add_test(t, error_in_a_long_text);
    tcase_set_timeout(t, 120);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
