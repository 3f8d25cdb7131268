/* upgrade.c - the old forms of opset.def: attributes that became operands,
 * and meanings that changed. Sources: the versions of each operator in
 * ONNX's Changelog. */
#include "build.h"

#include <string.h>

static void ints_operand(Build *b, Draft *d, const char *name, int i)
{
    Ints v;

    if (take_ints(b, d, name, &v))
        draft_set_in(b, d, i, b_ints(b, v.n, v.v));
}

/* a scalar of the first operand's type */
static void scalar_operand(Build *b, Draft *d, const char *name, int i)
{
    float x;

    if (take_float(b, d, name, &x) && d->nin && d->in[0])
        draft_set_in(b, d, i, b_scalar(b, d->in[0]->type.dt, (double)x));
}

bool up_axes(Build *b, Draft *d)
{
    ints_operand(b, d, "axes", 1);
    return true;
}

bool up_split(Build *b, Draft *d)
{
    if (d->version < 2 && d->nin < 2 && !draft_attr(d, "axis"))
        return draft_error(b, d, "Split-1 without an axis");
    ints_operand(b, d, "split", 1);
    return true;
}

bool up_slice(Build *b, Draft *d)
{
    ints_operand(b, d, "starts", 1);
    ints_operand(b, d, "ends", 2);
    ints_operand(b, d, "axes", 3);
    return true;
}

bool up_clip(Build *b, Draft *d)
{
    scalar_operand(b, d, "min", 1);
    scalar_operand(b, d, "max", 2);
    return true;
}

bool up_paddings(Build *b, Draft *d)
{
    ints_operand(b, d, "paddings", 1);
    return true;
}

bool up_pads(Build *b, Draft *d)
{
    ints_operand(b, d, "pads", 1);
    scalar_operand(b, d, "value", 2);
    return true;
}

bool up_topk(Build *b, Draft *d)
{
    int64_t k;

    if (take_int(b, d, "k", &k))
        draft_set_in(b, d, 1, b_int(b, k));
    return true;
}

bool up_dft(Build *b, Draft *d)
{
    int64_t axis = 1;

    take_int(b, d, "axis", &axis);
    draft_set_in(b, d, 2, graph_const_scalar(b->g, NULL, DT_I64,
                                             (double)axis));
    return true;
}

bool up_shape(Build *b, Draft *d)
{
    ints_operand(b, d, "shape", 1);
    return true;
}

/* Tile-1 repeats one axis: (input, tiles, axis) */
bool up_tile(Build *b, Draft *d)
{
    int64_t repeats[MAX_RANK], tiles, axis;
    int n, k;

    if (d->nin < 3)
        return true;
    if (!d->in[0] || !value_ints(d->in[1], 1, &tiles, &n) || n != 1 ||
        !value_ints(d->in[2], 1, &axis, &k) || k != 1)
        return draft_error(b, d, "tiles and axis must be constant integers");
    if (axis < 0 || axis >= d->in[0]->type.rank)
        return draft_error(b, d, "axis %lld is outside rank %d",
                           (long long)axis, d->in[0]->type.rank);
    for (int i = 0; i < d->in[0]->type.rank; i++)
        repeats[i] = i == axis ? tiles : 1;
    d->in[1] = b_ints(b, d->in[0]->type.rank, repeats);
    d->nin = 2;
    return true;
}

/* softmax and its like before opset 13 */

/* The operand counts as a matrix: rows before `axis`, columns from it on. */
bool up_coerce(Build *b, Draft *d)
{
    const Type *t;
    int64_t axis = 1, dims[2];
    Value *x;
    Node *n;

    take_int(b, d, "axis", &axis);
    if (d->nin != 1 || !d->in[0] || d->nout != 1)
        return draft_error(b, d, "takes one input and gives one output");
    t = &d->in[0]->type;
    if (axis < -t->rank || axis >= t->rank)
        return draft_error(b, d, "axis %lld is outside rank %d",
                           (long long)axis, t->rank);
    axis = axis < 0 ? axis + t->rank : axis;
    dims[0] = type_span(t, 0, (int)axis);
    dims[1] = type_span(t, (int)axis, t->rank);
    x = axis == t->rank - 1 ? d->in[0] : b_reshape(b, d->in[0], 2, dims);
    n = b_node(b, d->id, 1, &x, 1);
    ATTRS(axisneg1, n)->axis = -1;
    d->out[0] = b_reshape(b, b_end(b, n), t->rank, t->dim);
    d->done = true;
    return true;
}

/* Scale and bias were one per group, now they are one per channel. */
static Value *spread_groups(Build *b, Value *v, int64_t groups, int64_t each)
{
    int64_t column[] = { groups, 1 }, full[] = { groups, each };
    int64_t flat = groups * each;
    Value *m = b_reshape(b, v, 2, column);

    m = b_op2(b, OP_Expand, m, b_ints(b, 2, full));
    return b_reshape(b, m, 1, &flat);
}

bool up_group_scale(Build *b, Draft *d)
{
    const ModelAttr *a = draft_attr(d, "num_groups");
    int64_t channels;

    if (d->nin != 3 || !d->in[0] || !d->in[1] || !d->in[2])
        return draft_error(b, d, "takes 3 inputs, has %d", d->nin);
    if (d->in[0]->type.rank < 2 || !a || a->kind != MA_INT)
        return draft_error(b, d, "takes an input of rank 2 at least and the "
                           "attribute num_groups");
    channels = d->in[0]->type.dim[1];
    if (a->i < 1 || channels % a->i)
        return draft_error(b, d, "num_groups %lld does not divide %lld "
                           "channels", (long long)a->i, (long long)channels);
    for (int i = 1; i < 3; i++) {
        const Type *t = &d->in[i]->type;
        if (t->rank == 1 && t->dim[0] == a->i && channels != a->i)
            d->in[i] = spread_groups(b, d->in[i], a->i, channels / a->i);
    }
    return true;
}

static void give_string(Build *b, Draft *d, const char *name, const char *s)
{
    ModelAttr *a = NEW_ARRAY(b->g->arena, ModelAttr, d->nattr + 1);

    drop_attr(d, name);
    if (d->nattr)
        memcpy(a, d->attr, (size_t)d->nattr * sizeof *a);
    a[d->nattr] = (ModelAttr){ .name = name, .kind = MA_STRING, .s = s };
    d->attr = a;
    d->nattr++;
}

static void give_int(Build *b, Draft *d, const char *name, int64_t i)
{
    give_string(b, d, name, NULL);
    d->attr[d->nattr - 1].kind = MA_INT;
    d->attr[d->nattr - 1].i = i;
}

/* Resize-10 takes (x, scales); coordinates as in Upsample: i / scale. The
 * nearest pixel is the one before where an axis grows and, as runtimes have
 * it, the one after where it shrinks: two steps when both happen. */
static Value *resize_10(Build *b, Value *x, int n, const float *scale,
                        const char *nearest)
{
    Value *in[3] = { x, NULL, NULL };
    Node *node;

    in[2] = graph_const(b->g, NULL, type_vector(DT_F32, n),
                        arena_memdup(b->g->arena, scale,
                                     (size_t)n * sizeof *scale));
    node = b_node(b, OP_Resize, 3, in, 1);
    ATTRS(resize, node)->coordinate_transformation_mode = "asymmetric";
    ATTRS(resize, node)->nearest_mode = nearest;
    return b_end(b, node);
}

/* true when some axis shrinks: the draft is done then */
static bool resize_shrinks(Build *b, Draft *d, const Value *scales)
{
    float up[MAX_RANK], down[MAX_RANK];
    bool grows = false, shrinks = false;
    int n = (int)scales->type.dim[0];
    Value *x = d->in[0];

    for (int i = 0; i < n; i++) {
        float s = (float)elem_get(scales->type.dt, scales->data, i);
        up[i] = s > 1 ? s : 1;
        down[i] = s > 1 ? 1 : s;
        grows = grows || s > 1;
        shrinks = shrinks || s < 1;
    }
    if (!shrinks)
        return false;
    if (grows)
        x = resize_10(b, x, n, up, "floor");
    d->out[0] = resize_10(b, x, n, down, "ceil");
    d->done = true;
    drop_attr(d, "mode");
    return true;
}

bool up_resize(Build *b, Draft *d)
{
    const ModelAttr *mode = draft_attr(d, "mode");
    Value *scales;

    if (!draft_arity(b, d, 2, 2, 1))
        return false;
    scales = d->in[1];
    if ((!mode || (mode->kind == MA_STRING && !strcmp(mode->s, "nearest"))) &&
        value_is_const(scales) && scales->type.rank == 1 &&
        scales->type.dim[0] == d->in[0]->type.rank &&
        resize_shrinks(b, d, scales))
        return true;
    give_string(b, d, "coordinate_transformation_mode", "asymmetric");
    give_string(b, d, "nearest_mode", "floor");
    d->in[1] = NULL;
    draft_set_in(b, d, 2, scales);
    return true;
}

/* Exporters pass empty tensors for roi, scales and sizes left out. */
bool up_empty_operands(Build *b, Draft *d)
{
    (void)b;
    for (int i = 1; i < d->nin; i++)
        if (d->in[i] && type_elems(&d->in[i]->type) == 0)
            d->in[i] = NULL;
    while (d->nin > 1 && !d->in[d->nin - 1])
        d->nin--;
    return true;
}

bool up_grid_mode(Build *b, Draft *d)
{
    const char *mode = "bilinear";

    take_string(b, d, "mode", &mode);
    if (!strcmp(mode, "bilinear"))
        mode = "linear";
    else if (!strcmp(mode, "bicubic"))
        mode = "cubic";
    give_string(b, d, "mode", mode);
    return true;
}

bool up_roi_half_pixel(Build *b, Draft *d)
{
    give_string(b, d, "coordinate_transformation_mode", "output_half_pixel");
    return true;
}

/* SpaceToDepth-28: mode CRD keeps the input's channels outermost. */
bool up_space_mode(Build *b, Draft *d)
{
    static const int64_t perm[] = { 0, 1, 3, 5, 2, 4 };
    const char *mode = "DCR";
    int64_t s = 0;
    const Type *t;

    if (!take_string(b, d, "mode", &mode) || !strcmp(mode, "DCR"))
        return true;
    if (strcmp(mode, "CRD"))
        return draft_error(b, d, "mode '%s' is neither DCR nor CRD", mode);
    t = d->nin == 1 && d->in[0] ? &d->in[0]->type : NULL;
    if (!take_int(b, d, "blocksize", &s) || s < 1 || !t || t->rank != 4 ||
        t->dim[2] % s || t->dim[3] % s)
        return draft_error(b, d, "takes one input of rank 4 and a blocksize "
                           "that divides its height and width");
    int64_t split[] = { t->dim[0], t->dim[1], t->dim[2] / s, s,
                        t->dim[3] / s, s };
    int64_t out[] = { t->dim[0], type_elems(t) && s ? t->dim[1] * s * s : 0,
                      t->dim[2] / s, t->dim[3] / s };
    Value *v = b_transpose(b, b_reshape(b, d->in[0], 6, split), perm);
    d->out[0] = b_reshape(b, v, 4, out);
    d->done = true;
    return true;
}

/* Range-27: 16-bit floats are counted in float, which is what we do. */
bool up_stash(Build *b, Draft *d)
{
    int64_t stash = 1;

    if (take_int(b, d, "stash_type", &stash) && stash != DT_F32)
        return draft_error(b, d, "stash_type %lld is not float (1)",
                           (long long)stash);
    return true;
}

/* Cast-1 names its type: "FLOAT" */
bool up_cast_name(Build *b, Draft *d)
{
    const ModelAttr *a = draft_attr(d, "to");
    char low[16];
    size_t n;
    DType dt;

    if (!a || a->kind != MA_STRING)
        return true;
    n = strlen(a->s);
    for (size_t i = 0; i < sizeof low; i++)
        low[i] = i < n ? (char)(a->s[i] | 32) : 0;
    low[sizeof low - 1] = 0;
    dt = dtype_by_name(low);
    if (dt == DT_NONE)
        return draft_error(b, d, "cannot cast to '%s'", a->s);
    give_int(b, d, "to", dt);
    return true;
}

bool up_cast_string(Build *b, Draft *d)
{
    const ModelAttr *a = draft_attr(d, "to");

    if (a && a->kind == MA_INT && a->i == 8)
        return draft_error(b, d, "strings are not supported");
    return true;
}

bool up_concat_axis(Build *b, Draft *d)
{
    if (!draft_attr(d, "axis"))
        give_int(b, d, "axis", 1);
    return true;
}

static void default_float(Build *b, Draft *d, const char *name, float f)
{
    if (draft_attr(d, name))
        return;
    give_string(b, d, name, NULL);
    d->attr[d->nattr - 1].kind = MA_FLOAT;
    d->attr[d->nattr - 1].f = f;
}

bool up_selu(Build *b, Draft *d)
{
    default_float(b, d, "alpha", 1.6732f);
    default_float(b, d, "gamma", 1.0507f);
    return true;
}

bool up_float_p(Build *b, Draft *d)
{
    float p = 2;

    if (draft_attr(d, "p") && draft_attr(d, "p")->kind == MA_FLOAT) {
        take_float(b, d, "p", &p);
        if (!(p >= 1 && p <= 1000) || p != (float)(int)p)
            return draft_error(b, d, "p is not a whole number");
        give_int(b, d, "p", (int)p);
    }
    return true;
}

bool up_output_sequence(Build *b, Draft *d)
{
    (void)b;
    drop_attr(d, "output_sequence");
    return true;
}

/* Broadcasting by attributes, before opset 7 */

/* The dims of v from `axis` on: ones follow until it has `rank`. */
static Value *align_at(Build *b, Value *v, int64_t axis, int rank)
{
    int64_t dim[MAX_RANK];
    int n = rank - (int)axis;

    for (int i = 0; i < n; i++)
        dim[i] = i < v->type.rank ? v->type.dim[i] : 1;
    return b_reshape(b, v, n, dim);
}

bool up_broadcast(Build *b, Draft *d)
{
    int64_t broadcast = 0, axis;
    int ra, rb;

    take_int(b, d, "broadcast", &broadcast);
    if (!take_int(b, d, "axis", &axis) || !broadcast)
        return true;
    if (d->nin != 2 || !d->in[0] || !d->in[1])
        return draft_error(b, d, "takes 2 inputs, has %d", d->nin);
    ra = d->in[0]->type.rank;
    rb = d->in[1]->type.rank;
    axis = axis < 0 ? axis + ra : axis;
    if (axis < 0 || axis + rb > ra)
        return draft_error(b, d, "axis %lld does not fit ranks %d and %d",
                           (long long)axis, ra, rb);
    d->in[1] = align_at(b, d->in[1], axis, ra);
    return true;
}

/* PRelu-6: a slope per channel, that is axis 1 */
bool up_channel_slope(Build *b, Draft *d)
{
    if (d->nin == 2 && d->in[0] && d->in[1] && d->in[1]->type.rank == 1 &&
        d->in[1]->type.dim[0] > 1 && d->in[0]->type.rank > 2)
        d->in[1] = align_at(b, d->in[1], 1, d->in[0]->type.rank);
    return true;
}
