/* bands.c - NAME_band_INPUT and NAME_push_INPUT: a push is a turn of the loop
 * that receives bands, NAME_run is the rest of the model.
 *
 * How many bands have come is kept in the arena, in front of the states. The
 * second word tells a count from whatever was in the arena before: neither a
 * cleared nor a dirty arena has to be reset before the first band.
 */
#include "bands.h"

#include "../ir/region.h"

enum { COUNT_KEY = 0x62616e64 };        /* "band" */

int64_t band_count_place(const Graph *g)
{
    Band band;

    return g->plan->state_at + g->plan->reserve -
           (graph_band(g, &band) ? BAND_COUNT_BYTES : 0);
}

void bands_declare(const BandNames *n, Buf *b)
{
    const char *u = n->upper, *m = n->macro;
    Band band;

    if (!graph_band(n->g, &band))
        return;
    buf_printf(b, ", in bands along axis %d. For each of\n * %s_%s_BANDS: "
               "write %s_%s_BAND_ROWS rows where %s_band_%s points,\n * then "
               "call %s_push_%s; when all are there, %s_run.", band.axis, u,
               m, u, m, n->name, n->id, n->name, n->id, n->name);
    if (band.planes > 1)
        buf_printf(b, " A band is\n * %s_%s_BAND_PLANES pieces of "
                   "%s_%s_BAND_ROWS rows, plane behind plane.", u, m, u, m);
    if (band.input->type.dim[band.axis] % band.rows)
        buf_printf(b, "\n * The last band has %lld rows%s.",
                   (long long)(band.input->type.dim[band.axis] % band.rows),
                   band.planes > 1 ? ", at the beginning of each piece" : "");
    buf_printf(b, "\n * Other inputs are written before the first band. A "
               "push too many, or a run\n * before all bands are there: "
               "%s_EINVAL, and nothing has changed; %s_reset\n * begins "
               "anew. */\n", u, n->name);
    buf_printf(b, "#define %s_%s_BANDS %lld\n#define %s_%s_BAND_ROWS %lld\n"
               "#define %s_%s_BAND_PLANES %lld\n"
               "#define %s_%s_BAND_ROW_BYTES %lldu\n"
               "#define %s_%s_BAND_BYTES %lldu\n"
               "#define %s_%s_BAND_OFFSET %lldu\n", u, m,
               (long long)band.bands, u, m, (long long)band.rows, u, m,
               (long long)band.planes, u, m, (long long)band.row_bytes, u, m,
               (long long)band_bytes(&band), u, m,
               (long long)(band.value->buf->offset + band.value->delta +
                           band.at));
    buf_printf(b, "%s *%s_band_%s(%s_arena *a);\nint %s_push_%s(%s_arena *a);"
               "\n\n", dtype_ctype(band.input->type.dt), n->name, n->id,
               n->name, n->name, n->id, n->name);
}

static void write_count(const BandNames *n, Buf *b)
{
    const Plan *p = n->g->plan;
    Buf at;

    buf_init(&at, b->arena);
    arena_byte(&at, p, p->state_pool, band_count_place(n->g));
    buf_printf(b, "static int %s_pushed(const %s_arena *a)\n{\n"
               "    uint32_t w[2];\n\n    memcpy(w, %s, sizeof w);\n"
               "    return w[1] == (w[0] ^ 0x%xu) && w[0] <= %s_%s_BANDS\n"
               "               ? (int)w[0] : 0;\n}\n\n", n->name, n->name,
               at.s, COUNT_KEY, n->upper, n->macro);
    buf_printf(b, "static void %s_set_pushed(%s_arena *a, int n)\n{\n"
               "    uint32_t w[2];\n\n    w[0] = (uint32_t)n;\n"
               "    w[1] = w[0] ^ 0x%xu;\n    memcpy(%s, w, sizeof w);\n}\n\n",
               n->name, n->name, COUNT_KEY, at.s);
}

void bands_write(const BandNames *n, const Buf *turns, const ArenaNames *a,
                 Buf *b)
{
    const char *u = n->upper, *m = n->macro;
    Band band;

    if (!graph_band(n->g, &band))
        return;
    buf_write(b, turns->s, turns->n);
    write_count(n, b);
    buf_printf(b, "%s *%s_band_%s(%s_arena *a)\n{\n    return (%s *)(void *)"
               "(", dtype_ctype(band.input->type.dt), n->name, n->id, n->name,
               dtype_ctype(band.input->type.dt));
    arena_value(b, n->g->plan, band.value);
    buf_printf(b, " + %lld);\n}\n\n", (long long)band.at);
    buf_printf(b, "int %s_push_%s(%s_arena *a)\n{\n    int n;\n\n    if (",
               n->name, n->id, n->name);
    arena_unusable(b, a);
    buf_printf(b, ")\n        return %s_EINVAL;\n", u);
    if (n->g->nlevel)
        buf_printf(b, "    if (%s_bad_widths(a))\n        return %s_EINVAL;"
                   "\n", n->name, u);
    buf_printf(b, "    n = %s_pushed(a);\n    if (n == %s_%s_BANDS)\n"
               "        return %s_EINVAL;\n    %s_turns(a, %lld + n * %lld, "
               "%lld + n * %lld);\n    %s_set_pushed(a, n + 1);\n"
               "    return 0;\n}\n\n", n->name, u, m, u, n->name,
               (long long)band.loop->begin, (long long)band.loop->tile,
               (long long)(band.loop->begin + band.loop->tile),
               (long long)band.loop->tile, n->name);
}

/* Turns behind the last band need none. */
void bands_begin_run(const BandNames *n, Buf *b)
{
    int64_t done;
    Band band;

    if (!graph_band(n->g, &band))
        return;
    done = band.loop->begin + band.bands * band.loop->tile;
    buf_printf(b, "    if (%s_pushed(a) != %s_%s_BANDS)\n        return "
               "%s_EINVAL;\n", n->name, n->upper, n->macro, n->upper);
    if (done < band.loop->extent)
        buf_printf(b, "    %s_turns(a, %lld, %lld);\n", n->name,
                   (long long)done, (long long)band.loop->extent);
}

void bands_end_run(const BandNames *n, Buf *b)
{
    buf_printf(b, "    %s_set_pushed(a, 0);\n", n->name);
}
