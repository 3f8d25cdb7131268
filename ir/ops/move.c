/* move.c - shapes of the movement ops that are strided copies: Transpose,
 * Slice, Split, Concat, Tile, Expand, DepthToSpace, SpaceToDepth. The copies
 * themselves are in copy.c. Where an operand is known only at run time, the
 * output keeps the shape that the model declares.
 */
#include "../hooks.h"
#include "../move.h"

#include <string.h>

void transpose_perm(const Node *n, int rank, int *perm)
{
    const Ints *p = &ATTRS(transpose, n)->perm;

    for (int i = 0; i < rank; i++)
        perm[i] = p->n ? (int)p->v[i] : rank - 1 - i;
}

bool infer_transpose(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type;
    const Ints *p = &ATTRS(transpose, n)->perm;
    bool seen[MAX_RANK] = { false };
    Type t = *x;
    int perm[MAX_RANK];

    (void)g;
    if (p->n && p->n != x->rank)
        return node_error(n, "perm has %d axes, the operand %d", p->n,
                          x->rank);
    for (int i = 0; i < p->n; i++) {
        int64_t a = p->v[i];
        if (a < 0 || a >= x->rank || seen[a])
            return node_error(n, "perm is no permutation: %lld at %d",
                              (long long)a, i);
        seen[a] = true;
    }
    transpose_perm(n, x->rank, perm);
    for (int i = 0; i < x->rank; i++)
        t.dim[i] = x->dim[perm[i]];
    n->out[0]->type = t;
    return true;
}

static int64_t clamp(int64_t i, int64_t lo, int64_t hi)
{
    return i < lo ? lo : i > hi ? hi : i;
}

/* ONNX: negative counts from the end, then both ends are clamped */
static SliceAxis slice_axis(int64_t d, int64_t start, int64_t end,
                            int64_t step)
{
    SliceAxis s = { 0, step, 0 };

    if (start < 0)
        start = start < -d ? -1 : start + d;    /* -1: clamped below */
    if (end < 0)
        end = end < -d ? -1 : end + d;
    if (step > 0) {
        s.start = clamp(start, 0, d);
        end = clamp(end, 0, d);
        if (end > s.start)
            s.len = (end - s.start - 1) / step + 1;
    } else {
        s.start = clamp(start, 0, d - 1);
        end = clamp(end, -1, d - 1);
        if (end < s.start)
            s.len = (s.start - end - 1) / -(step + (step == INT64_MIN)) + 1;
    }
    if (d == 0)
        s.start = s.len = 0;
    return s;
}

bool slice_axes(const Node *n, const Type *x, const Tensor *const *in,
                SliceAxis *out)
{
    const Tensor *axes = n->nin > 3 ? in[3] : NULL;
    const Tensor *steps = n->nin > 4 ? in[4] : NULL;
    int64_t count = type_elems(&in[1]->type);
    bool seen[MAX_RANK] = { false };

    for (int i = 0; i < x->rank; i++)
        out[i] = (SliceAxis){ 0, 1, x->dim[i] };
    for (int64_t i = 0; i < count; i++) {
        int64_t axis = axes ? elem_get_int(axes->type.dt, axes->data, i) : i;
        int64_t step = steps ? elem_get_int(steps->type.dt, steps->data, i)
                             : 1;
        int a;
        if (!node_axis(n, axis, x->rank, &a))
            return false;
        if (seen[a])
            return node_error(n, "axis %d is given twice", a);
        if (step == 0)
            return node_error(n, "step of axis %d is 0", a);
        seen[a] = true;
        out[a] = slice_axis(x->dim[a],
                            elem_get_int(in[1]->type.dt, in[1]->data, i),
                            elem_get_int(in[2]->type.dt, in[2]->data, i),
                            step);
    }
    return true;
}

/* operands 1 to 4 are int vectors of one length */
static bool check_slice(const Node *n)
{
    int64_t count = type_elems(&n->in[1]->type);

    for (int i = 1; i < n->nin; i++) {
        const Value *v = n->in[i];
        if (!v)
            continue;
        if ((v->type.dt != DT_I32 && v->type.dt != DT_I64) ||
            v->type.rank != 1)
            return node_error(n, "'%s' is no vector of integers", v->name);
        if (v->type.dim[0] != count)
            return node_error(n, "'%s' has %lld elements, starts %lld",
                              v->name, (long long)v->type.dim[0],
                              (long long)count);
    }
    if (count > n->in[0]->type.rank)
        return node_error(n, "slices %lld axes of rank %d",
                          (long long)count, n->in[0]->type.rank);
    return true;
}

bool infer_slice(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type;
    Tensor store[5];
    const Tensor *in[5];
    const Value *which;
    SliceAxis s[MAX_RANK];
    Type t = *x;

    (void)g;
    if (!check_slice(n))
        return false;
    if (!const_operands(n, 1, store, in, &which)) {
        if (!raw_known(n) || !infer_declared(n, which))
            return false;
        if (n->out[0]->type.rank != x->rank)
            return node_error(n, "output is declared with rank %d, the "
                              "operand has %d", n->out[0]->type.rank,
                              x->rank);
        n->out[0]->type.dt = x->dt;
        return true;
    }
    if (!slice_axes(n, x, in, s))
        return false;
    for (int i = 0; i < x->rank; i++)
        t.dim[i] = s[i].len;
    n->out[0]->type = t;
    return true;
}

/* sizes of the outputs along the axis, without a constant second operand */
static bool even_split(Node *n, int64_t d, int64_t *size)
{
    int64_t parts = ATTRS(split, n)->num_outputs, chunk;

    if (parts && parts != n->nout)
        return node_error(n, "num_outputs is %lld, but it has %d",
                          (long long)parts, n->nout);
    if (!parts && n->nout && d % n->nout)
        return node_error(n, "%lld does not divide into %d equal parts",
                          (long long)d, n->nout);
    chunk = n->nout ? (d + n->nout - 1) / n->nout : 0;
    for (int i = 0; i < n->nout; i++) {
        size[i] = d < chunk ? d : chunk;
        d -= size[i];
    }
    return true;
}

static bool check_split(Node *n, const Type *x, int axis, const int64_t *size)
{
    int64_t sum = 0;

    for (int i = 0; i < n->nout; i++) {
        if (size[i] < 0 || size[i] > x->dim[axis] - sum)
            return node_error(n, "part %d of size %lld does not fit %lld", i,
                              (long long)size[i], (long long)x->dim[axis]);
        sum += size[i];
    }
    if (sum != x->dim[axis])
        return node_error(n, "parts sum to %lld, axis %d has %lld",
                          (long long)sum, axis, (long long)x->dim[axis]);
    for (int i = 0; i < n->nout; i++)
        if (n->out[i]) {
            n->out[i]->type = *x;
            n->out[i]->type.dim[axis] = size[i];
        }
    return true;
}

/* part sizes of a run-time Split are those that the model declares */
static bool declared_split(Node *n, int axis, int rank, int64_t *size)
{
    if (!infer_declared(n, n->in[1]))
        return false;
    for (int i = 0; i < n->nout; i++) {
        if (!n->out[i])
            return node_error(n, "output %d is left out, and its size is "
                              "only known at run time", i);
        if (n->out[i]->type.rank != rank)
            return node_error(n, "output %d is declared with rank %d", i,
                              n->out[i]->type.rank);
        size[i] = n->out[i]->type.dim[axis];
    }
    return true;
}

bool infer_split(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type;
    const Value *sizes = node_in(n, 1);
    int64_t *size = NEW_ARRAY(g->scratch, int64_t, n->nout + 1);
    int axis, count = n->nout;

    if (!node_axis(n, ATTRS(split, n)->axis, x->rank, &axis))
        return false;
    if (!sizes) {
        if (!even_split(n, x->dim[axis], size))
            return false;
    } else if (!value_is_const(sizes)) {
        if (!declared_split(n, axis, x->rank, size))
            return false;
    } else if (!value_ints(sizes, n->nout, size, &count) ||
               count != n->nout)
        return node_error(n, "split '%s' does not list %d sizes",
                          sizes->name, n->nout);
    return check_split(n, x, axis, size);
}

bool infer_concat(Graph *g, Node *n)
{
    Type t;
    int axis;

    (void)g;
    for (int i = 0; i < n->nin; i++)
        if (!n->in[i])
            return node_error(n, "input %d is missing", i);
    t = n->in[0]->type;
    if (!node_axis(n, ATTRS(concat, n)->axis, t.rank, &axis))
        return false;
    for (int i = 1; i < n->nin; i++) {
        const Type *x = &n->in[i]->type;
        if (x->dt != t.dt || x->rank != t.rank)
            return node_error(n, "input %d is %s of rank %d, input 0 %s of "
                              "rank %d", i, dtype_name(x->dt), x->rank,
                              dtype_name(t.dt), t.rank);
        for (int d = 0; d < t.rank; d++)
            if (d != axis && x->dim[d] != t.dim[d])
                return node_error(n, "dim %d of input %d is %lld, not %lld",
                                  d, i, (long long)x->dim[d],
                                  (long long)t.dim[d]);
        if (x->dim[axis] > ((int64_t)1 << 40) - t.dim[axis])
            return node_error(n, "output is too large");
        t.dim[axis] += x->dim[axis];
    }
    n->out[0]->type = t;
    return true;
}

bool infer_tile(Graph *g, Node *n)
{
    Type t = n->in[0]->type;
    int64_t times[MAX_RANK];
    int count;

    (void)g;
    if (!dtype_is_int(n->in[1]->type.dt) || n->in[1]->type.rank != 1 ||
        n->in[1]->type.dim[0] != t.rank)
        return node_error(n, "repeats '%s' does not list %d numbers",
                          n->in[1]->name, t.rank);
    if (!value_is_const(n->in[1])) {
        if (!infer_declared(n, n->in[1]))
            return false;
        if (n->out[0]->type.rank != t.rank)
            return node_error(n, "output is declared with rank %d, not %d",
                              n->out[0]->type.rank, t.rank);
        n->out[0]->type.dt = t.dt;
        for (int i = 0; i < t.rank; i++)
            if (t.dim[i] ? n->out[0]->type.dim[i] % t.dim[i] != 0
                         : n->out[0]->type.dim[i] != 0)
                return node_error(n, "dim %d of the output, %lld, is no "
                                  "multiple of %lld", i,
                                  (long long)n->out[0]->type.dim[i],
                                  (long long)t.dim[i]);
        return true;
    }
    if (!value_ints(n->in[1], MAX_RANK, times, &count))
        return node_error(n, "repeats are no integers");
    for (int i = 0; i < t.rank; i++) {
        if (times[i] < 0)
            return node_error(n, "repeat %d is %lld", i,
                              (long long)times[i]);
        if (times[i] && t.dim[i] > ((int64_t)1 << 40) / times[i])
            return node_error(n, "output is too large");
        t.dim[i] *= times[i];
    }
    n->out[0]->type = t;
    return true;
}

bool infer_expand(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type;
    Type shape = { x->dt, 0, { 0 } }, t;
    bool known = value_is_const(n->in[1]);

    (void)g;
    if (!known && !infer_declared(n, n->in[1]))
        return false;
    if (!known)
        shape = n->out[0]->type;
    else if (!value_ints(n->in[1], MAX_RANK, shape.dim, &shape.rank))
        return node_error(n, "shape '%s' is no short vector of integers",
                          n->in[1]->name);
    for (int i = 0; i < shape.rank; i++)
        if (shape.dim[i] < 0)
            return node_error(n, "dim %d of the shape is %lld", i,
                              (long long)shape.dim[i]);
    if (!type_broadcast(x, &shape, &t))
        return node_error(n, "operand does not broadcast to the shape");
    t.dt = x->dt;
    if (!known && !type_same_shape(&t, &shape))
        return node_error(n, "declared shape is no broadcast of the operand");
    n->out[0]->type = t;
    return true;
}

static bool check_blocks(const Node *n, int64_t b)
{
    if (n->in[0]->type.rank != 4)
        return node_error(n, "operand has rank %d, not 4",
                          n->in[0]->type.rank);
    if (b < 1 || b > 1 << 20)
        return node_error(n, "blocksize is %lld", (long long)b);
    return true;
}

bool infer_depthtospace(Graph *g, Node *n)
{
    int64_t b = ATTRS(depthtospace, n)->blocksize;
    const char *mode = ATTRS(depthtospace, n)->mode;
    Type t = n->in[0]->type;

    (void)g;
    if (!check_blocks(n, b))
        return false;
    if (strcmp(mode, "DCR") && strcmp(mode, "CRD"))
        return node_error(n, "mode is '%s', not DCR or CRD", mode);
    if (t.dim[1] % (b * b))
        return node_error(n, "%lld channels do not divide into %lld x %lld "
                          "blocks", (long long)t.dim[1], (long long)b,
                          (long long)b);
    t.dim[1] /= b * b;
    t.dim[2] *= b;
    t.dim[3] *= b;
    n->out[0]->type = t;
    return true;
}

bool infer_spacetodepth(Graph *g, Node *n)
{
    int64_t b = ATTRS(spacetodepth, n)->blocksize;
    Type t = n->in[0]->type;

    (void)g;
    if (!check_blocks(n, b))
        return false;
    if (t.dim[2] % b || t.dim[3] % b)
        return node_error(n, "%lld x %lld pixels do not divide into blocks "
                          "of %lld", (long long)t.dim[2],
                          (long long)t.dim[3], (long long)b);
    t.dim[1] *= b * b;
    t.dim[2] /= b;
    t.dim[3] /= b;
    n->out[0]->type = t;
    return true;
}
