/* emit_image.c - GridSample, RoiAlign: loops over images around the kernels
 * of image.c; AffineGrid as plain loops over constant coordinates. */
#include <string.h>

#include "../ir/ops/image.h"
#include "loops.h"

EmitFn emit_gridsample, emit_affinegrid, emit_roialign;

void emit_gridsample(Emit *e, const Node *n)
{
    DType dt = n->in[0]->type.dt, gt = n->in[1]->type.dt;
    int32_t *dims = NEW_ARRAY(e->arena, int32_t, 3);
    Grid g;
    Type y;
    const char *d;

    if (!grid_read(n, &g, &y) || type_elems(&y) == 0)
        return;
    for (int i = 0; i < 3; i++)
        dims[i] = i < 3 - g.rank ? 1 : (int32_t)g.in[i - (3 - g.rank)];
    d = emit_const(e, "dims", DT_I32, 3, dims);
    e_open(e, "for (%s b = 0; b < %lld; b++)",
           index_type(g.batch * g.channels * (g.plane + g.points)),
           (long long)g.batch);
    emit_call(e, g.mode == GRID_NEAREST ? "grid_nearest_T_I"
                                        : "grid_sample_T_I", dt, gt,
              "y0 + b * %lld, x0 + b * %lld, x1 + b * %lld, %s, %lld, %lld, "
              "%d%s, %d, %d", (long long)(g.channels * g.points),
              (long long)(g.channels * g.plane),
              (long long)(g.points * g.rank), d, (long long)g.channels,
              (long long)g.points, g.rank,
              g.mode == GRID_LINEAR ? ", 2" : g.mode == GRID_CUBIC ? ", 4"
                                                                   : "",
              (int)g.pad, g.align);
    e_close(e);
}

void emit_roialign(Emit *e, const Node *n)
{
    DType dt = n->in[0]->type.dt;
    Roi r;

    if (!roi_read(n, &r) || type_elems(&n->out[0]->type) == 0)
        return;
    e_open(e, "for (%s r = 0; r < %lld; r++)",
           index_type(type_elems(&n->in[0]->type) +
                      type_elems(&n->out[0]->type)), (long long)r.count);
    e_line(e, "const int64_t from = x2[r] < 0 && x2[r] >= -%lld ? x2[r] + "
           "%lld : x2[r];", (long long)r.images, (long long)r.images);
    e_line(e, "const int32_t image = from < 0 ? 0 : from < %lld ? "
           "(int32_t)from : %lld;", (long long)r.images,
           (long long)r.images - 1);
    emit_call(e, "roi_align_T", dt, DT_NONE, "y0 + r * %lld, x0 + image * "
              "%lld, x1 + r * 4, %lld, %lld, %lld, %lld, %lld, %lld, %s, %s, "
              "%d", (long long)(r.channels * r.out_h * r.out_w),
              (long long)(r.channels * r.h * r.w), (long long)r.channels,
              (long long)r.h, (long long)r.w, (long long)r.out_h,
              (long long)r.out_w, (long long)r.ratio,
              emit_literal(e, DT_F32, (double)r.scale),
              emit_literal(e, DT_F32, (double)r.offset), r.max);
    e_close(e);
}

/* the coordinates -1..1 of an axis of n elements */
static const char *spread(Emit *e, DType dt, int64_t n, bool align)
{
    char *v = arena_array(e->arena, (size_t)n, 8);

    for (int64_t i = 0; i < n; i++)
        elem_set(dt, v, i, affine_spread(i, n, align));
    return emit_const(e, "spread", dt, n, v);
}

void emit_affinegrid(Emit *e, const Node *n)
{
    const Type *t = &n->out[0]->type;
    bool align = ATTRS(affinegrid, n)->align_corners != 0;
    const char *c = dtype_ctype(t->dt);
    int rank = t->rank - 2;

    if (type_elems(t) == 0)
        return;
    for (int a = 0; a < rank; a++)
        e_line(e, "const %s *const c%d = %s;", c, a,
               spread(e, t->dt, t->dim[a + 1], align));
    e_line(e, "%s *y = y0;", c);
    e_open(e, "for (int32_t b = 0; b < %lld; b++)", (long long)t->dim[0]);
    e_line(e, "const %s *const m = x0 + b * %d;", c, rank * (rank + 1));
    for (int a = 0; a < rank; a++)
        e_open(e, "for (int32_t i%d = 0; i%d < %lld; i%d++)", a, a,
               (long long)t->dim[a + 1], a);
    for (int k = 0; k < rank; k++) {
        Buf sum;
        buf_init(&sum, e->arena);
        for (int a = 0; a < rank; a++)  /* x, the last axis, comes first */
            buf_printf(&sum, "m[%d] * c%d[i%d] + ", k * (rank + 1) + a,
                       rank - 1 - a, rank - 1 - a);
        e_line(e, "*y++ = %sm[%d];", sum.s, k * (rank + 1) + rank);
    }
    for (int a = 0; a <= rank; a++)
        e_close(e);
}
