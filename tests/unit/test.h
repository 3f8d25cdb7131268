/* test.h - what unit tests share: an arena and a Diag whose messages land in
 * a string, a folder for files, and the loop that makes every allocation
 * fail once. Each tests/unit/X_test.c is a program: `make unit`. */
#ifndef MCUFC_TEST_H
#define MCUFC_TEST_H

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../support/arena.h"
#include "../../support/diag.h"

typedef struct Fixture {
    ArenaOom oom;
    Arena *arena, *scratch;
    Diag diag;
    char *text;                 /* what was said so far */
    size_t ntext;
} Fixture;

static inline void fixture_open(Fixture *f)
{
    memset(f, 0, sizeof *f);
    f->arena = arena_new(&f->oom);
    f->scratch = arena_new(&f->oom);
    f->diag.out = open_memstream(&f->text, &f->ntext);
    if (setjmp(f->oom.handler))
        ck_abort_msg("out of memory");
}

static inline void fixture_close(Fixture *f)
{
    arena_free(f->scratch);
    arena_free(f->arena);
    fclose(f->diag.out);
    free(f->text);
}

/* the messages contain `what` */
static inline void expect_text(Fixture *f, const char *what)
{
    fflush(f->diag.out);
    ck_assert_msg(strstr(f->text, what), "expected \"%s\" in \"%s\"", what,
                  f->text);
}

static inline const char *test_folder(void)
{
    static char path[64];

    if (!*path) {
        strcpy(path, "/tmp/mcufc-test-XXXXXX");
        if (!mkdtemp(path)) {
            perror(path);
            exit(2);
        }
    }
    return path;
}

/* Only after all tests: forked ones share the folder. */
static inline void test_folder_remove(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'", test_folder());
    if (system(command))
        perror(command);
}

/* A path in the test's folder; good until the next but one call. */
static inline const char *test_path(const char *name)
{
    static char path[2][256];
    static int which;

    which = !which;
    snprintf(path[which], sizeof path[which], "%s/%s", test_folder(), name);
    return path[which];
}

static inline const char *test_file(const char *name, const void *data,
                                    size_t n)
{
    const char *path = test_path(name);
    FILE *out = fopen(path, "wb");

    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(n, n ? fwrite(data, 1, n, out) : 0);
    ck_assert_int_eq(fclose(out), 0);
    return path;
}

/* Calls fn with allocation number 1, 2, ... failing, until it runs through;
 * its arena must be whole each time. Returns how many allocations it made. */
static inline long test_out_of_memory(bool (*fn)(Fixture *f, void *user),
                                      void *user)
{
    long volatile n = 0;
    bool volatile done = false;

    while (!done) {
        Fixture f = { 0 };
        f.diag.out = fopen("/dev/null", "w");
        f.oom.fail_at = ++n;
        if (!setjmp(f.oom.handler)) {
            f.arena = arena_new(&f.oom);
            f.scratch = arena_new(&f.oom);
            fn(&f, user);
            done = f.oom.count < n;
        }
        arena_free(f.scratch);
        arena_free(f.arena);
        fclose(f.diag.out);
        ck_assert_uint_eq(f.oom.used, 0);
    }
    return n - 1;
}

/* main() of a test program: test_main(suite) */
static inline int test_main(Suite *s)
{
    SRunner *r = srunner_create(s);
    int failed;

    test_folder();
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    test_folder_remove();
    return failed != 0;
}

#endif
