/* test_dsa.c - the allocator against brute force that tries every offset,
 * against tilings whose optimum is known, and against itself. check_plan is
 * the definition of a valid plan and shares no code with the solver. */
#include "../../passes/dsa.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAXN = 400 };

typedef struct Case {
    DsaBuf buf[MAXN];
    DsaOverlap pair[64];
    DsaProblem p;
} Case;

static uint32_t seed = 1;

static int rnd(int n)
{
    seed = seed * 1664525u + 1013904223u;
    return (int)((seed >> 8) % (uint32_t)n);
}

static bool pair_ok(const DsaProblem *p, int i, int j, int64_t oi, int64_t oj)
{
    const DsaBuf *a = &p->buf[i], *b = &p->buf[j];
    int64_t ij = a->size, ji = b->size;

    if (a->lower >= b->upper || b->lower >= a->upper)
        return true;
    if (a->size == 0 || b->size == 0)
        return true;
    for (int k = 0; k < p->noverlap; k++) {
        const DsaOverlap *o = &p->overlap[k];
        if (o->a == i && o->b == j) {
            ij = o->a_first;
            ji = o->b_first;
        } else if (o->a == j && o->b == i) {
            ij = o->b_first;
            ji = o->a_first;
        }
    }
    return (ij != DSA_NEVER && oj >= oi + ij) ||
           (ji != DSA_NEVER && oi >= oj + ji);
}

static int64_t check_plan(const DsaProblem *p)
{
    int64_t height = 0;

    for (int i = 0; i < p->nbuf; i++) {
        const DsaBuf *b = &p->buf[i];
        ck_assert_int_ge(b->offset, 0);
        if (b->align > 1)
            ck_assert_int_eq(b->offset % b->align, 0);
        if (b->fixed_offset >= 0)
            ck_assert_int_eq(b->offset, b->fixed_offset);
        for (int j = 0; j < i; j++)
            ck_assert_msg(pair_ok(p, i, j, b->offset, p->buf[j].offset),
                          "%d and %d overlap", i, j);
        if (b->size && b->offset + b->size > height)
            height = b->offset + b->size;
    }
    return height;
}

/* Every offset of every buffer from k on. */
static bool brute(const DsaProblem *p, int64_t *off, int k, int64_t cap)
{
    const DsaBuf *b;
    int64_t step;

    if (k == p->nbuf)
        return true;
    b = &p->buf[k];
    if (b->size == 0)                   /* may be anywhere */
        return brute(p, off, k + 1, cap);
    step = b->align > 1 ? b->align : 1;
    for (int64_t o = 0; o + b->size <= cap; o += step) {
        bool ok = b->fixed_offset < 0 || o == b->fixed_offset;
        for (int j = 0; j < k && ok; j++)
            ok = pair_ok(p, k, j, o, off[j]);
        off[k] = o;
        if (ok && brute(p, off, k + 1, cap))
            return true;
    }
    return false;
}

static DsaResult solve(Case *c, int64_t capacity)
{
    ArenaOom oom = { 0 };
    DsaOptions opt = { .capacity = capacity };
    DsaResult r;
    Arena *a;

    if (setjmp(oom.handler))
        ck_abort_msg("out of memory");
    a = arena_new(&oom);
    dsa_solve(&c->p, &opt, a, &r);
    arena_free(a);
    return r;
}

static DsaBuf *add(Case *c, int64_t lower, int64_t upper, int64_t size)
{
    DsaBuf *b = &c->buf[c->p.nbuf++];

    *b = (DsaBuf){ lower, upper, size, 1, -1, -1 };
    return b;
}

static void clear(Case *c)
{
    memset(c, 0, sizeof *c);
    c->p.buf = c->buf;
    c->p.overlap = c->pair;
}

static int64_t some_first(int size)
{
    int k = rnd(6);

    if (k == 0)
        return DSA_NEVER;
    return k == 1 ? -rnd(4) : k == 2 ? 0 : rnd(size + 1);
}

static void random_case(Case *c, bool aligned, bool pairs, bool fixed)
{
    int n = 2 + rnd(7);

    clear(c);
    for (int i = 0; i < n; i++) {
        int at = rnd(6);
        DsaBuf *b = add(c, at, at + 1 + rnd(4), rnd(12) ? 1 + rnd(5) : 0);
        if (aligned)
            b->align = rnd(3) ? 2 : rnd(2) ? 4 : 0;
    }
    if (fixed)
        c->buf[rnd(n)].fixed_offset = 4 * rnd(3);
    for (int k = 0; pairs && k < 1 + rnd(4); k++) {
        DsaOverlap *o = &c->pair[c->p.noverlap];
        *o = (DsaOverlap){ .a = rnd(n), .b = rnd(n) };
        if (o->a == o->b)
            continue;
        o->a_first = some_first((int)c->buf[o->a].size);
        o->b_first = some_first((int)c->buf[o->b].size);
        if (o->a_first == DSA_NEVER && o->b_first == DSA_NEVER)
            o->a_first = 0;
        c->p.noverlap++;
    }
}

static int64_t brute_height(const Case *c)
{
    int64_t off[MAXN], cap = 0;

    while (!brute(&c->p, off, 0, cap))
        cap++;
    return cap;
}

static void agree(Case *c, int round)
{
    int64_t best = brute_height(c);
    DsaResult r = solve(c, 0);

    ck_assert_int_eq(r.status, DSA_SOLVED);
    ck_assert_int_eq(check_plan(&c->p), r.height);
    ck_assert_msg(r.height == best, "round %d: %ld, optimum %ld", round,
                  (long)r.height, (long)best);
    ck_assert_msg(r.proved && r.lower_bound == best, "round %d: bound %ld of"
                  " %ld", round, (long)r.lower_bound, (long)best);
    ck_assert_int_le(r.max_live, best);
    r = solve(c, best);
    ck_assert_int_eq(r.status, DSA_SOLVED);
    ck_assert_int_le(check_plan(&c->p), best);
    if (best > 1) {
        r = solve(c, best - 1);
        ck_assert_int_eq(r.status, DSA_INFEASIBLE);
    }
}

START_TEST(agrees_with_brute_force)
{
    static Case c;

    seed = 1;
    for (int round = 0; round < 400; round++) {
        random_case(&c, round & 1, false, false);
        agree(&c, round);
    }
}
END_TEST

START_TEST(agrees_with_brute_force_overlaps)
{
    static Case c;

    seed = 2;
    for (int round = 0; round < 600; round++) {
        random_case(&c, round & 1, true, false);
        agree(&c, round);
    }
}
END_TEST

START_TEST(agrees_with_brute_force_fixed)
{
    static Case c;

    seed = 3;
    for (int round = 0; round < 200; round++) {
        random_case(&c, round & 1, round & 2, true);
        for (int k = 0; k < c.p.noverlap; k++) {    /* always solvable */
            DsaOverlap *o = &c.pair[k];
            if (o->a_first == DSA_NEVER)
                o->a_first = c.buf[o->a].size;
            if (o->b_first == DSA_NEVER)
                o->b_first = c.buf[o->b].size;
        }
        agree(&c, round);
    }
}
END_TEST

/* A pair declared as it is anyway leaves the problem the same but sends it
 * to the other exact search. */
START_TEST(two_exact_searches_agree)
{
    static Case c;
    int proved = 0;

    seed = 6;
    for (int round = 0; round < 100; round++) {
        int n = 10 + rnd(6);
        DsaResult r, q;
        clear(&c);
        for (int i = 0; i < n; i++) {
            int at = rnd(8);
            DsaBuf *b = add(&c, at, at + 1 + rnd(5), 1 + rnd(9));
            if (round & 1)
                b->align = 1 << rnd(3);
        }
        r = solve(&c, 0);
        ck_assert_int_eq(check_plan(&c.p), r.height);
        c.pair[c.p.noverlap++] = (DsaOverlap){ 0, 1, c.buf[0].size,
                                               c.buf[1].size };
        c.buf[1].lower = c.buf[0].lower;        /* so that they meet */
        if (c.buf[1].upper <= c.buf[1].lower)
            c.buf[1].upper = c.buf[1].lower + 1;
        q = solve(&c, 0);
        ck_assert_int_eq(check_plan(&c.p), q.height);
        c.p.noverlap = 0;
        r = solve(&c, 0);
        ck_assert_int_eq(check_plan(&c.p), r.height);
        ck_assert_msg(r.height == q.height || !r.proved || !q.proved,
                      "round %d: %ld and %ld", round, (long)r.height,
                      (long)q.height);
        ck_assert_int_le(q.lower_bound, r.height);
        ck_assert_int_le(r.lower_bound, q.height);
        proved += q.proved && r.proved;
    }
    ck_assert_int_ge(proved, 95);
}
END_TEST

/* Cut a rectangle into buffers by random guillotine cuts. */
static void cut(Case *c, int64_t t0, int64_t t1, int64_t o0, int64_t o1,
                int depth)
{
    bool in_time = rnd(2);

    if (depth == 0 || (in_time ? t1 - t0 : o1 - o0) < 2) {
        add(c, t0, t1, o1 - o0);
        return;
    }
    if (in_time) {
        int64_t t = t0 + 1 + rnd((int)(t1 - t0 - 1));
        cut(c, t0, t, o0, o1, depth - 1);
        cut(c, t, t1, o0, o1, depth - 1);
    } else {
        int64_t o = o0 + 1 + rnd((int)(o1 - o0 - 1));
        cut(c, t0, t1, o0, o, depth - 1);
        cut(c, t0, t1, o, o1, depth - 1);
    }
}

START_TEST(perfect_tilings)
{
    static Case c;

    seed = 4;
    for (int round = 0; round < 50; round++) {
        DsaResult r;
        clear(&c);
        cut(&c, 0, 1000, 0, 4096, 5);
        r = solve(&c, 0);
        ck_assert_msg(r.height == 4096 && r.proved,
                      "round %d: %d buffers, %ld", round, c.p.nbuf,
                      (long)r.height);
        ck_assert_int_eq(check_plan(&c.p), 4096);
    }
}
END_TEST

/* In place through a chain: each output over its input. */
START_TEST(chain_in_place)
{
    static Case c;
    DsaResult r;

    clear(&c);
    for (int i = 0; i < 20; i++)
        add(&c, i, i + 2, 256)->align = 16;
    for (int i = 0; i < 19; i++)
        c.pair[c.p.noverlap++] = (DsaOverlap){ i, i + 1, 0, 0 };
    r = solve(&c, 0);
    ck_assert_int_eq(r.height, 256);
    ck_assert(r.proved);
    check_plan(&c.p);
}
END_TEST

/* VWW's binding operator: 18,432 in, 36,864 out, the output may start where
 * the input does minus 18,432 when the loop runs forward. */
START_TEST(diagonal_overlap)
{
    static Case c;
    DsaResult r;

    clear(&c);
    add(&c, 0, 2, 18432)->align = 16;
    add(&c, 1, 3, 36864)->align = 16;
    c.pair[c.p.noverlap++] = (DsaOverlap){ 1, 0, 18432, DSA_NEVER };
    r = solve(&c, 0);
    ck_assert_int_eq(r.height, 36864);
    ck_assert_int_eq(r.max_live, 36864);
    ck_assert(r.proved);
}
END_TEST

START_TEST(empty_and_zero_sizes)
{
    static Case c;
    DsaResult r;

    clear(&c);
    r = solve(&c, 0);
    ck_assert_int_eq(r.status, DSA_SOLVED);
    ck_assert_int_eq(r.height, 0);
    ck_assert(r.proved);
    add(&c, 0, 5, 0);
    add(&c, 3, 5, 0);
    r = solve(&c, 0);
    ck_assert_int_eq(r.height, 0);
    add(&c, 0, 5, 7);
    r = solve(&c, 0);
    ck_assert_int_eq(r.height, 7);
    r = solve(&c, 6);
    ck_assert_int_eq(r.status, DSA_INFEASIBLE);
}
END_TEST

START_TEST(fixed_offsets_clash)
{
    static Case c;
    DsaResult r;

    clear(&c);
    add(&c, 0, 5, 8)->fixed_offset = 0;
    add(&c, 4, 5, 8)->fixed_offset = 4;
    r = solve(&c, 0);
    ck_assert_int_eq(r.status, DSA_INFEASIBLE);
}
END_TEST

START_TEST(sizes_up_to_2_to_the_40)
{
    static Case c;
    DsaResult r;

    clear(&c);
    add(&c, 0, 3, (int64_t)1 << 40);
    add(&c, 2, 6, ((int64_t)1 << 40) + 1);
    add(&c, 5, 9, 3);
    r = solve(&c, 0);
    ck_assert_int_eq(r.height, ((int64_t)1 << 41) + 1);
    ck_assert_int_eq(check_plan(&c.p), r.height);
}
END_TEST

START_TEST(same_answer_twice)
{
    static Case c, e;

    seed = 5;
    for (int round = 0; round < 10; round++) {
        DsaResult r, q;
        clear(&c);
        for (int i = 0; i < 60; i++) {
            int at = rnd(40);
            add(&c, at, at + 1 + rnd(12), 16 * (1 + rnd(40)))->align = 16;
        }
        e = c;
        e.p.buf = e.buf;
        r = solve(&c, 0);
        q = solve(&e, 0);
        ck_assert_int_eq(r.nodes, q.nodes);
        ck_assert_int_eq(r.height, q.height);
        ck_assert_mem_eq(c.buf, e.buf, sizeof c.buf);
        ck_assert_int_eq(check_plan(&c.p), r.height);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("dsa");
    TCase *t = tcase_create("dsa");
    SRunner *run;
    int failed;

    tcase_set_timeout(t, 600);
    tcase_add_test(t, agrees_with_brute_force);
    tcase_add_test(t, agrees_with_brute_force_overlaps);
    tcase_add_test(t, agrees_with_brute_force_fixed);
    tcase_add_test(t, two_exact_searches_agree);
    tcase_add_test(t, perfect_tilings);
    tcase_add_test(t, chain_in_place);
    tcase_add_test(t, diagonal_overlap);
    tcase_add_test(t, empty_and_zero_sizes);
    tcase_add_test(t, fixed_offsets_clash);
    tcase_add_test(t, sizes_up_to_2_to_the_40);
    tcase_add_test(t, same_answer_twice);
    suite_add_tcase(s, t);
    run = srunner_create(s);
    srunner_run_all(run, CK_NORMAL);
    failed = srunner_ntests_failed(run);
    srunner_free(run);
    return failed != 0;
}
