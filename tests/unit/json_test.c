/* json_test.c - RFC 8259, to the letter: what is JSON is read exactly, what
 * is not is refused with its line. */
#include "test.h"

#include "../../support/buf.h"
#include "../../support/json.h"

static const Json *parse(Fixture *f, const char *text)
{
    return json_parse(text, strlen(text), "plan.json", f->arena, &f->diag);
}

START_TEST(test_values)
{
    Fixture f;
    const Json *j, *list;

    fixture_open(&f);
    j = parse(&f, " {\"a\": [1, -2.5e1, true, null, \"x\\u00e4\\n\"],\n"
              "\"b\": {}, \"big\": 9223372036854775807}\n");
    ck_assert_ptr_nonnull(j);
    ck_assert_int_eq(j->kind, JSON_OBJECT);
    ck_assert_int_eq(j->n, 3);
    list = json_get(j, "a");
    ck_assert_int_eq(list->n, 5);
    ck_assert_int_eq(list->item[0]->kind, JSON_INT);
    ck_assert_int_eq(list->item[0]->number, 1);
    ck_assert_int_eq(list->item[1]->kind, JSON_REAL);
    ck_assert_double_eq(list->item[1]->real, -25);
    ck_assert_int_eq(list->item[2]->kind, JSON_BOOL);
    ck_assert_int_eq(list->item[2]->number, 1);
    ck_assert_int_eq(list->item[3]->kind, JSON_NULL);
    ck_assert_str_eq(list->item[4]->text, "x\xc3\xa4\n");
    ck_assert_int_eq(json_get(j, "b")->line, 2);
    ck_assert_int_eq(json_get(j, "big")->number, INT64_MAX);
    ck_assert_ptr_null(json_get(j, "c"));
    ck_assert_ptr_null(json_get(list, "a"));
    fixture_close(&f);
}
END_TEST

START_TEST(test_surrogates)
{
    Fixture f;
    const Json *j;

    fixture_open(&f);
    j = parse(&f, "\"\\ud83d\\ude00\"");
    ck_assert_ptr_nonnull(j);
    ck_assert_str_eq(j->text, "\xf0\x9f\x98\x80");
    fixture_close(&f);
}
END_TEST

static const char *const bad[][2] = {
    { "", "a value is missing" }, { "{", "a string is missing" },
    { "[1,]", "a value is missing" }, { "{\"a\":1,}", "a string is missing" },
    { "[1 2]", "',' or ']'" }, { "{\"a\" 1}", "':' is missing" },
    { "{\"a\":1,\"a\":2}", "a key stands twice" }, { "01", "behind" },
    { "-", "a bad number" }, { "1.", "a bad number" },
    { "1e", "a bad number" }, { ".5", "a value is missing" },
    { "9223372036854775808", "64 bits" }, { "\"a", "has no end" },
    { "\"\\x\"", "a bad escape" }, { "\"\\u12\"", "\\u escape" },
    { "\"\\ud800\"", "\\u escape" }, { "\"\\udc00\"", "\\u escape" },
    { "\"\\u0000\"", "\\u escape" }, { "\"\n\"", "a control character" },
    { "1 1", "behind the value" }, { "nul", "a value is missing" },
    { "{1:2}", "a string is missing" }, { "[\n\n}", "line 3" },
    { "/* */1", "a value is missing" }, { "NaN", "a value is missing" },
};

START_TEST(test_bad)
{
    Fixture f;

    fixture_open(&f);
    ck_assert_ptr_null(parse(&f, bad[_i][0]));
    expect_text(&f, bad[_i][1]);
    expect_text(&f, "plan.json");
    fixture_close(&f);
}
END_TEST

START_TEST(test_bounds)
{
    Fixture f;
    Buf b;

    fixture_open(&f);
    buf_init(&b, f.arena);
    for (int i = 0; i < 100000; i++)
        buf_putc(&b, '[');
    ck_assert_ptr_null(parse(&f, b.s));
    expect_text(&f, "nested too deeply");
    buf_clear(&b);
    for (int i = 0; i < 300; i++)
        buf_printf(&b, "%c\"%d\":0", i ? ',' : '{', i);
    buf_putc(&b, '}');
    ck_assert_ptr_null(parse(&f, b.s));
    expect_text(&f, "256 keys");
    ck_assert_ptr_null(json_parse("\0", 1, "x", f.arena, &f.diag));
    fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("json");
    TCase *t = tcase_create("json");

    tcase_add_test(t, test_values);
    tcase_add_test(t, test_surrogates);
    tcase_add_loop_test(t, test_bad, 0, sizeof bad / sizeof *bad);
    tcase_add_test(t, test_bounds);
    suite_add_tcase(s, t);
    return test_main(s);
}
