/* budget.c - --arena and --flash: over a budget nothing is written; the
 * message says by how much, which step peaks, what lives there, what helps. */
#include "compile.h"

static const Node *node_at(const Graph *g, int index)
{
    for EACH_NODE(n, g)
        if (n->index == index)
            return n;
    return NULL;
}

static void say_live(Compile *c, const Plan *p)
{
    FILE *out = c->diag->out;

    for (int i = 0; i < p->nbuf; i++) {
        const Buffer *b = p->buf[i];
        if (b->first <= p->peak_step && p->peak_step <= b->last)
            fprintf(out, "  %10lld B  '%s', live from step %d to %d\n",
                    (long long)b->bytes, b->name, b->first, b->last);
    }
}

static void advise(Compile *c, const Plan *p, int64_t over)
{
    int64_t gap = p->arena_bytes - p->lower_bound;
    const Graph *g = c->g;
    int64_t input = 0;

    for (int i = 0; i < g->nin; i++)
        if (g->in[i]->buf && g->in[i]->buf->last >= p->peak_step)
            input += g->in[i]->buf->bytes;
    if (gap >= over)
        diag_hint(c->diag, "%lld B of this are gaps between buffers",
                  (long long)gap);
    if (c->opt->keep_inputs && input)
        diag_hint(c->diag, "without --keep-inputs the inputs' %lld B can be "
                  "reused", (long long)input);
    if (c->opt->no_reuse)
        diag_hint(c->diag, "without --no-reuse buffers share memory");
    if (c->opt->skip || c->opt->passes || c->opt->bisect >= 0)
        diag_hint(c->diag, "passes are skipped: fusion and in-place writing "
                  "save memory");
    diag_hint(c->diag, "the smallest arena for this model now is --arena "
              "%lld", (long long)p->arena_bytes);
    if (dtype_bits(g->nin ? g->in[0]->type.dt : DT_F32) == 32)
        diag_hint(c->diag, "an int8 model needs about a quarter of it");
}

static int over_arena(Compile *c)
{
    const Plan *p = c->g->plan;
    int64_t over = p->arena_bytes - c->opt->arena;
    const Node *n = node_at(c->g, p->peak_step);

    diag_error(c->diag, "the arena needs %lld B, %lld B more than --arena "
               "%lld", (long long)p->arena_bytes, (long long)over,
               (long long)c->opt->arena);
    if (n)
        diag_note(c->diag, "memory peaks at step %d, node '%s' (%s), with "
                  "%lld B live:", p->peak_step, n->name, op_name(n->op),
                  (long long)(p->peak_bytes - p->state_bytes));
    else
        diag_note(c->diag, "memory peaks where inputs or outputs are handed "
                  "over, with %lld B live:",
                  (long long)(p->peak_bytes - p->state_bytes));
    if (!c->diag->quiet)
        say_live(c, p);
    advise(c, p, over);
    return EXIT_BUDGET;
}

/* --require-gap: against what no plan of the widest class can beat. */
static int check_gap(Compile *c)
{
    const Plan *p = c->g->plan;
    const Bound *b = &p->bounds[p->nbound - 1];
    double allowed = 0;

    if (!c->opt->require_gap || !parse_number(c->opt->require_gap, &allowed) ||
        !bound_gap_exceeds(b, allowed))
        return EXIT_OK;
    diag_error(c->diag, "the arena of %lld B is not proved to be within %s "
               "%% of the smallest (%s): the lower bound is %lld B, %.1f %% "
               "less", (long long)b->plan, c->opt->require_gap, b->name,
               (long long)b->bound, 100.0 * (double)(b->plan - b->bound) /
               (double)(b->bound ? b->bound : 1));
    if (c->opt->no_reuse)
        diag_hint(c->diag, "without --no-reuse buffers share memory");
    else if (c->opt->skip || c->opt->passes || c->opt->bisect >= 0)
        diag_hint(c->diag, "passes are skipped: schedule looks for a better "
                  "order of steps");
    else
        diag_hint(c->diag, "--plan-time S searches longer");
    return EXIT_BUDGET;
}

int budget_check(Compile *c, const Codegen *cg)
{
    CodegenSizes s = codegen_sizes(cg);
    int64_t flash = s.weights + s.tables + s.code;

    if (c->opt->arena >= 0 && c->g->plan->arena_bytes > c->opt->arena)
        return over_arena(c);
    if (c->opt->flash >= 0 && flash > c->opt->flash) {
        diag_error(c->diag, "constants (%lld B) and code (about %lld B) need "
                   "%lld B more than --flash %lld",
                   (long long)(s.weights + s.tables), (long long)s.code,
                   (long long)(flash - c->opt->flash),
                   (long long)c->opt->flash);
        diag_hint(c->diag, "a quantized model has a quarter of a float "
                  "model's constants");
        return EXIT_BUDGET;
    }
    return check_gap(c);
}
