/* compile.c - the pipeline: load, build, passes, generate, write. */
#include "compile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../ir/region.h"
#include "samples.h"

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

bool has_suffix(const char *path, const char *suffix)
{
    size_t n = strlen(path), k = strlen(suffix);

    return n >= k && !strcmp(path + n - k, suffix);
}

/* The output's stem made a C identifier. */
static const char *default_name(Compile *c)
{
    const char *path = c->opt->output ? c->opt->output : c->opt->model;
    const char *base = base_name(path), *dot = strrchr(base, '.');

    return c_identifier(c->arena,
                        arena_strndup(c->arena, base, dot && dot != base
                                          ? (size_t)(dot - base)
                                          : strlen(base)));
}

/* Files: written aside, then renamed */

/* /dev/null, /dev/stdout, a named pipe: nothing to be renamed over. */
static bool is_device(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

bool write_file(Compile *c, const char *path, WriteFn *fn,
                const void *what)
{
    bool direct = is_device(path);
    const char *aside = direct ? path
                        : arena_printf(c->arena, "%s.tmp%ld", path,
                                       (long)getpid());
    FILE *f = fopen(aside, "wb");
    bool ok;

    if (!f)
        return diag_error(c->diag, "cannot write '%s': %s", path,
                          strerror(errno));
    ok = fn(what, f);
    ok = fflush(f) == 0 && ok;
    ok = fclose(f) == 0 && ok;
    if (ok && (direct || rename(aside, path) == 0))
        return true;
    diag_error(c->diag, "cannot write '%s': %s", path, strerror(errno));
    if (!direct)
        remove(aside);
    return false;
}

static bool write_c(const void *cg, FILE *out)
{
    return codegen_write_c(cg, out);
}

static bool write_header(const void *cg, FILE *out)
{
    return codegen_write_header(cg, out);
}

static bool write_weights(const void *cg, FILE *out)
{
    return codegen_write_weights(cg, out);
}

bool write_buf(const void *what, FILE *out)
{
    const Buf *b = what;

    return fwrite(b->s, 1, b->n, out) == b->n;
}

static bool parse_dims(Compile *c, DimBinding **out)
{
    for (int i = 0; i < c->opt->dim.n; i++) {
        const char *s = c->opt->dim.v[i], *eq = strrchr(s, '=');
        DimBinding *d = NEW(c->arena, DimBinding);
        char *end = NULL;
        if (eq && eq > s)
            d->value = strtoll(eq + 1, &end, 10);
        if (!end || end == eq + 1 || *end || d->value < 0)
            return diag_error(c->diag, "--dim takes NAME=N or input:axis=N, "
                              "not '%s'", s);
        d->key = arena_strndup(c->arena, s, (size_t)(eq - s));
        d->next = *out;
        *out = d;
    }
    return true;
}

static void split_outputs(Compile *c, Strings *out)
{
    const char *s = c->opt->outputs;
    int cap = 0;

    while (s && *s) {
        size_t n = strcspn(s, ",");
        const char *name = arena_strndup(c->arena, s, n);
        PUSH(c->arena, out->v, out->n, cap, name);
        s += n + (s[n] == ',');
    }
}

static Graph *build_widest(Compile *c)
{
    Graph *g = graph_new(c->arena, c->scratch, c->diag), *old = c->g;
    bool ok;

    if (c->quantized)
        return quantize_graph(c, NULL);
    if (c->compressed)
        return compress_graph(c, NULL);
    memcpy(g->hash, c->model.hash, sizeof g->hash);
    g->source = base_name(c->opt->model);
    c->g = g;
    ok = model_build(&c->model, &c->build, g) && boundary_apply(c);
    c->g = old;
    if (ok)
        g = compress_graph(c, g);
    if (ok && g && c->opt->quantize)
        return quantize_graph(c, g);
    return ok ? g : NULL;
}

Graph *build_graph(Compile *c)
{
    Graph *g = elastic_runtime(c, build_widest(c));

    return g && c->is_fixed ? graph_at_width(g, c->width) : g;
}

Io io_wanted(const Options *o)
{
    if (!o->io)
        return o->quantize ? IO_QUANTIZED : IO_DECLARED;
    return !strcmp(o->io, "declared") ? IO_DECLARED
           : !strcmp(o->io, "float")  ? IO_FLOAT : IO_QUANTIZED;
}

bool make_reference(Compile *c, Graph *g)
{
    PassOptions po = { .io = io_wanted(c->opt), .only = "", .bisect = -1,
                       .stop = "quantize" };

    return g->after || passes_run(g, &po);
}

Graph *reference_graph(Compile *c)
{
    Graph *g = build_graph(c);

    return g && make_reference(c, g) ? g : NULL;
}

static int load(Compile *c)
{
    bool text = has_suffix(c->opt->model, ".mcu");

    if (!parse_dims(c, &c->build.dims))
        return EXIT_USAGE;
    split_outputs(c, &c->build.outputs);
    if (!(text ? text_load : onnx_load)(c->opt->model, c->arena, c->diag,
                                        &c->model))
        return EXIT_BAD;
    if (c->opt->info)
        return print_info(c);
    c->g = build_graph(c);
    if (!c->g)
        return EXIT_BAD;
    if (!width_apply(c, c->g))
        return EXIT_USAGE;
    if (c->width && !c->opt->run && !c->opt->verify) {
        c->is_fixed = true;
        c->g = graph_at_width(c->g, c->width);
    }
    return c->g ? EXIT_OK : EXIT_BAD;
}

static bool writes_text(const Options *o)
{
    return o->output && has_suffix(o->output, ".mcu");
}

static void dump(void *user, const char *pass, Graph *g, bool changed)
{
    Compile *c = user;
    const char *which = c->opt->dump_after;
    PrintOptions po = { .plan = true,
                        .inline_weights = c->opt->inline_weights };
    Buf b;

    prove_pass(c, pass, g);
    if (writes_text(c->opt))
        return;
    if (!(which && (!strcmp(which, "all") || !strcmp(which, pass))) &&
        !(c->opt->dump_change && changed))
        return;
    buf_init(&b, c->arena);
    buf_printf(&b, "# after %s\n", pass);
    graph_print(&b, g, &po);
    fputs(b.s, stdout);
}

/* --pool NAME=SIZE, in the order of the command line. */
bool parse_pools(Compile *c)
{
    const Strings *list = &c->opt->pool;
    MemPool *pool = NEW_ARRAY(c->arena, MemPool, list->n + 1);

    for (int i = 0; i < list->n; i++) {
        const char *s = list->v[i], *eq = strchr(s, '=');
        const char *name = eq ? arena_strndup(c->arena, s, (size_t)(eq - s))
                              : "";
        if (!eq || !parse_size(eq + 1, &pool[i].limit) || !pool[i].limit)
            return diag_error(c->diag, "--pool takes NAME=SIZE such as "
                              "dtcm=64K, not '%s'", s);
        if (!is_c_identifier(name) || is_c_keyword(name))
            return diag_error(c->diag, "--pool: '%s' cannot be a name in C",
                              name);
        for (int k = 0; k < i; k++)
            if (!strcasecmp(pool[k].name, name))
                return diag_error(c->diag, "--pool: '%s' and '%s' are one "
                                  "name", pool[k].name, name);
        pool[i].name = name;
    }
    c->npool = list->n;
    c->pool = pool;
    return true;
}

static PassOptions pass_options(Compile *c)
{
    const char *how = c->opt->optimize ? c->opt->optimize : "balanced";
    double max_macs = 0;

    if (c->opt->max_macs)
        parse_number(c->opt->max_macs, &max_macs);
    return (PassOptions){
        .optimize = !strcmp(how, "ram")     ? OPTIMIZE_RAM
                    : !strcmp(how, "speed") ? OPTIMIZE_SPEED
                                            : OPTIMIZE_BALANCED,
        .budget = c->opt->arena > 0 ? c->opt->arena : 0,
        .max_macs = max_macs,
        .stream_input = c->opt->stream_input,
        .io = io_wanted(c->opt),
        .keep_inputs = c->opt->keep_inputs,
        .no_reuse = c->opt->no_reuse,
        .npool = c->npool,
        .pool = c->pool,
        .state_reserve = c->opt->weights_file ? 8 : 0,
        .skip = c->opt->skip,
        .only = c->opt->passes,
        .bisect = (int)c->opt->bisect,
        .check = getenv("MCUFC_CHECK") != NULL,
        .scratch = codegen_scratch,
    };
}

int64_t arena_of(Compile *c, Graph *g)
{
    PassOptions po = pass_options(c);

    return passes_run(g, &po) && g->plan ? g->plan->arena_bytes : 0;
}

Graph *unplanned_graph(Compile *c, const char *before)
{
    PassOptions po = pass_options(c);

    po.before = before;
    if (load(c) != EXIT_OK || !passes_run(c->g, &po))
        return NULL;
    graph_add_commits(c->g);
    return c->g;
}

int64_t planned_bytes(Compile *c)
{
    PassOptions po = pass_options(c);

    c->g = build_graph(c);
    if (!c->g)
        return -1;
    c->g->diag = c->diag;
    return passes_run(c->g, &po) ? c->g->plan->arena_bytes : -1;
}

/* A text that has loops of its own, or --bisect, goes without `stream`. */
static bool came_in_bands(const Compile *c)
{
    const char *name = c->opt->stream_input;
    Band b;

    if (!name || !c->g->plan ||
        (graph_band(c->g, &b) && (!*name || !strcmp(b.input->name, name))))
        return true;
    return diag_error(c->diag, "--stream-input: no loop takes %s%s%s in "
                      "bands: the pass stream did not lay one (loops or "
                      "places that the text has, --bisect)",
                      *name ? "'" : "the input", name, *name ? "'" : "");
}

/* An input in bands is never there whole, and its loop is the pass
 * `stream`'s. */
static bool check_bands(const Compile *c)
{
    const Options *o = c->opt;
    const char *what = o->keep_inputs ? "--keep-inputs" : o->pool.n ? "--pool"
        : pass_skipped(o->skip, "stream") ? "--skip=stream"
        : o->passes && !pass_skipped(o->passes, "stream")
            ? "--passes without stream" : NULL;

    if (!o->stream_input || !what)
        return true;
    return diag_error(c->diag, "--stream-input does not go with %s", what);
}

static int optimize(Compile *c)
{
    const char *broke = NULL;
    PassOptions po = pass_options(c);

    po.stop = writes_text(c->opt) ? c->opt->dump_after : NULL;
    po.time = c->opt->time_passes;
    po.after = dump;
    po.user = c;

    if (c->opt->prove && !prove_begin(c))
        return EXIT_BAD;
    if (c->opt->plan_time)
        parse_number(c->opt->plan_time, &po.plan_time);
    po.broke = &broke;
    if (!passes_run(c->g, &po) && !broke)
        return EXIT_BAD;
    if (prove_failed(c))
        broke = prove_failed(c);
    if (!broke)
        return came_in_bands(c) ? EXIT_OK : EXIT_BAD;
    write_reproducer(c, broke, &po);
    return EXIT_BUG;
}

/* Is there anything to do behind the passes? */
static bool wants_code(const Options *o)
{
    return o->output || o->header || o->weights_file || o->report ||
           o->verify || o->selftest ||
           !(o->dump_after || o->dump_change || o->prove);
}

/* One pseudo-random input and what the interpreter makes of it, on the
 * reference graph. */
static bool golden(Compile *c, CodegenOptions *co)
{
    Graph *ref = reference_graph(c);
    Samples s = { 0 };
    Tensor *out;

    if (!ref)
        return false;
    samples_random(c, ref, 1, &s);
    out = NEW_ARRAY(c->arena, Tensor, ref->nout);
    co->golden_in = s.list[0].in;
    co->golden_out = out;
    return graph_eval(ref, s.list[0].in, out, c->arena, NULL, NULL);
}

static const char *target_name(const Options *o)
{
    return o->target ? o->target : "c99";
}

Codegen *generate(Compile *c, const char *shared, Codegen *with)
{
    Codegen *cg;
    CodegenOptions co = {
        .name = c->name,
        .shared = shared,
        .with = with,
        .model = c->g->source,
        .header = c->opt->header,
        .target = target_name(c->opt),
        .form = c->opt->weights_file ? CONST_FILE
                : c->opt->constants && !strcmp(c->opt->constants, "list")
                    ? CONST_LIST : CONST_FAST,
        .selftest = c->opt->selftest,
    };

    if (co.selftest && !golden(c, &co))
        return NULL;
    cg = codegen_new(c->g, c->arena, &co);
    return c->diag->errors ? NULL : cg; /* a step that cannot be written */
}

static ReportInfo *report_info(Compile *c)
{
    ReportInfo *info = NEW(c->arena, ReportInfo);

    *info = (ReportInfo){
        .target = target_name(c->opt),
        .model = base_name(c->opt->model),
        .name = c->name,
        .budget = c->opt->arena > 0 ? c->opt->arena : 0,
        .options = c->opt->shape,
        .advice = c->advice,
        .nadvice = c->nadvice,
    };
    compress_report(c, info);
    quantize_report(c, info);
    return info;
}

bool write_report(Compile *c, Codegen *const *cg, int n)
{
    const char *file = c->opt->report, *format = c->opt->report_format;
    ReportInfo *info = NULL;
    Buf b;

    if (!file)
        return true;
    for (int k = n - 1; k >= 0; k--) {
        ReportInfo *one = report_info(&c[k]);
        one->next = info;
        one->cg = cg[k];
        info = one;
    }
    if (!format)
        format = has_suffix(file, ".json")
                     ? "json"
                     : has_suffix(file, ".html") ? "html" : "text";
    buf_init(&b, c->arena);
    if (!strcmp(format, "json"))
        report_json(&b, info);
    else if (!strcmp(format, "html"))
        report_html(&b, info);
    else
        report_text(&b, info);
    if (*file)
        return write_file(c, file, write_buf, &b);
    fputs(b.s, stdout);
    return true;
}

bool write_code(Compile *c, const Codegen *cg)
{
    const Options *o = c->opt;

    if (o->output && !write_file(c, o->output, write_c, cg))
        return false;
    if (o->header && !write_file(c, o->header, write_header, cg))
        return false;
    return !o->weights_file ||
           write_file(c, o->weights_file, write_weights, cg);
}

static int write_text(Compile *c, const char *path)
{
    Buf text, side;
    PrintOptions po = { .inline_weights = c->opt->inline_weights,
                        .plan = true };
    const char *stem = arena_strndup(c->arena, path, strlen(path) - 4);
    const char *bin = arena_printf(c->arena, "%s.bin", stem);

    buf_init(&text, c->arena);
    buf_init(&side, c->arena);
    if (!po.inline_weights) {
        po.side_file = base_name(bin);
        po.side = &side;
    }
    graph_print(&text, c->g, &po);
    if (side.n && !write_file(c, bin, write_buf, &side))
        return EXIT_BAD;
    return write_file(c, path, write_buf, &text) ? EXIT_OK : EXIT_BAD;
}

static int write_onnx(Compile *c, const char *path)
{
    Buf b;

    buf_init(&b, c->arena);
    if (c->g->nlevel) {
        diag_note(c->diag, "'%s' has the widest model: an ONNX file has no "
                  "widths to choose from", path);
        c->g = graph_at_level(c->g, c->g->nlevel - 1);
    }
    if (!onnx_save(c->g, &b) || !write_file(c, path, write_buf, &b))
        return EXIT_BAD;
    return EXIT_OK;
}

/* The suffix of -o chooses what is written. */
static bool check_output(const Compile *c)
{
    const char *out = c->opt->output;
    bool numpy = out && (has_suffix(out, ".npy") || has_suffix(out, ".npz"));

    if (out && c->opt->run && !numpy && !is_device(out))
        return diag_error(c->diag, "--run writes .npy or .npz, not '%s'",
                          out);
    if (numpy && !c->opt->run)
        return diag_error(c->diag, "-o '%s' needs --run", out);
    if (out && !c->opt->run && !has_suffix(out, ".c") &&
        !has_suffix(out, ".mcu") && !has_suffix(out, ".onnx") &&
        !is_device(out))
        return diag_error(c->diag, "-o '%s': the suffix is none of .c, .mcu,"
                          " .onnx", out);
    return true;
}

int compile_graph(Compile *c)
{
    int rc = load(c);

    if (rc == EXIT_OK)
        rc = optimize(c);
    return rc == EXIT_OK && !codegen_supported(c->g) ? EXIT_BAD : rc;
}

/* The model as --width has it; without it the widest. */
static bool choose_width(Compile *c)
{
    if (c->width)
        c->g = graph_at_width(c->g, c->width);
    return c->g != NULL;
}

int compile_run(Compile *c)
{
    const Options *o = c->opt;
    Codegen *cg;
    int rc;

    c->name = o->name ? o->name : default_name(c);
    if (!check_output(c) || !check_bands(c) || !parse_pools(c) ||
        !passes_known(o->skip, c->diag) || !passes_known(o->passes, c->diag) ||
        (o->dump_after && strcmp(o->dump_after, "all") &&
         !passes_known(o->dump_after, c->diag)))
        return EXIT_USAGE;
    if (o->share_arena)
        return share_run(c);
    if (o->check_plan)
        return check_plan_file(c);
    rc = load(c);
    if (rc != EXIT_OK || o->info)
        return rc;
    if (o->run)
        return make_reference(c, c->g) && choose_width(c) ? run_interpreter(c)
                                                          : EXIT_BAD;
    if (writes_text(o) && o->dump_after)
        rc = optimize(c);
    if (rc != EXIT_OK)
        return rc;
    if (writes_text(o))
        return write_text(c, o->output);
    if (o->output && has_suffix(o->output, ".onnx"))
        return write_onnx(c, o->output);
    rc = optimize(c);
    if (rc != EXIT_OK)
        return rc;
    if (!wants_code(o))
        return EXIT_OK;
    if (!codegen_supported(c->g))
        return EXIT_BAD;
    cg = generate(c, NULL, NULL);
    if (!cg)
        return EXIT_BAD;
    rc = budget_check(c, cg);
    if (rc == EXIT_OK && !write_code(c, cg))
        return EXIT_BAD;
    if (!write_report(c, &cg, 1) || rc != EXIT_OK)      /* but no C */
        return rc != EXIT_OK ? rc : EXIT_BAD;
    return o->verify ? verify_model(c, cg) : EXIT_OK;
}
