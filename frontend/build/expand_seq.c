/* expand_seq.c - sequences and optional values. Which tensors a sequence
 * holds is known while building, so all of these vanish. */
#include "build.h"

#include <string.h>

bool takes_sequences(const char *op)
{
    static const char *const ops[] = {
        "SequenceAt", "SequenceLength", "SequenceInsert", "SequenceErase",
        "ConcatFromSequence", "SequenceMap", "Identity", "Loop", "Optional",
        "OptionalGetElement", "OptionalHasElement",
    };

    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (!strcmp(op, ops[i]))
            return true;
    return false;
}

static Sequence *sequence_new(Build *b, int n)
{
    Sequence *s = NEW(b->g->arena, Sequence);

    s->value.id = ID_SEQUENCE;
    s->value.name = "sequence";
    s->n = n;
    s->item = NEW_ARRAY(b->g->arena, Value *, n + 1);
    return s;
}

static Sequence *sequence_of(Build *b, Draft *d, int i)
{
    Value *v = draft_in(d, i);

    if (value_is_sequence(v))
        return (Sequence *)v;
    draft_error(b, d, "input %d is not a sequence", i);
    return NULL;
}

/* The constant position in operand i, 0..last; `usual` when left out. A
 * negative one counts back from n. */
static bool position(Build *b, Draft *d, int i, int n, int last, int usual,
                     int *out)
{
    Value *v = draft_in(d, i);
    int64_t at = usual;
    int count;

    if (v && (value_is_sequence(v) || !value_ints(v, 1, &at, &count)))
        return draft_error(b, d, "the position is not a constant");
    at = at < 0 ? at + n : at;
    if (at < 0 || at > last)
        return draft_error(b, d, "position %lld in a sequence of %d",
                           (long long)at, n);
    *out = (int)at;
    return true;
}

bool expand_sequenceempty(Build *b, Draft *d)
{
    drop_attr(d, "dtype");
    if (d->nin || d->nout != 1)
        return draft_error(b, d, "takes no inputs and gives one output");
    d->out[0] = &sequence_new(b, 0)->value;
    return true;
}

bool expand_sequenceconstruct(Build *b, Draft *d)
{
    Sequence *s = sequence_new(b, d->nin);

    if (d->nout != 1)
        return draft_error(b, d, "gives one output");
    for (int i = 0; i < d->nin; i++) {
        s->item[i] = d->in[i];
        if (!d->in[i])
            return draft_error(b, d, "input %d is missing", i);
    }
    d->out[0] = &s->value;
    return true;
}

bool expand_sequenceat(Build *b, Draft *d)
{
    Sequence *s = sequence_of(b, d, 0);
    int at;

    if (!s || d->nin != 2 || d->nout != 1 ||
        !position(b, d, 1, s->n, s->n - 1, 0, &at))
        return draft_error(b, d, "takes a sequence and a position");
    d->out[0] = s->item[at];
    return true;
}

bool expand_sequencelength(Build *b, Draft *d)
{
    Sequence *s = sequence_of(b, d, 0);

    if (!s || d->nout != 1)
        return false;
    d->out[0] = b_scalar(b, DT_I64, s->n);
    return true;
}

bool expand_sequenceinsert(Build *b, Draft *d)
{
    Sequence *s = sequence_of(b, d, 0), *to;
    int at;

    if (!s || !draft_in(d, 1) || value_is_sequence(d->in[1]) ||
        d->nout != 1)
        return draft_error(b, d, "takes a sequence and a tensor");
    if (!position(b, d, 2, s->n, s->n, s->n, &at))
        return false;
    if (s->n >= MAX_NODES / 16)
        return draft_error(b, d, "the sequence is too long");
    to = sequence_new(b, s->n + 1);
    for (int i = 0; i < to->n; i++)
        to->item[i] = i < at ? s->item[i] :
                      i == at ? d->in[1] : s->item[i - 1];
    d->out[0] = &to->value;
    return true;
}

bool expand_sequenceerase(Build *b, Draft *d)
{
    Sequence *s = sequence_of(b, d, 0), *to;
    int at;

    if (!s || d->nout != 1 || !position(b, d, 1, s->n, s->n - 1, s->n - 1,
                                        &at))
        return false;
    to = sequence_new(b, s->n - 1);
    for (int i = 0; i < to->n; i++)
        to->item[i] = s->item[i < at ? i : i + 1];
    d->out[0] = &to->value;
    return true;
}

static Value *with_axis(Build *b, Value *v, int axis, bool insert)
{
    int64_t dim[MAX_RANK];
    int rank = v->type.rank + (insert ? 1 : -1);

    if (rank > MAX_RANK) {
        draft_error(b, b->draft, "rank %d is more than %d", rank, MAX_RANK);
        return v;
    }
    for (int i = 0, k = 0; i < rank; i++) {
        if (!insert && i == axis)
            k++;
        dim[i] = insert && i == axis ? 1 : v->type.dim[k++];
    }
    return b_reshape(b, v, rank, dim);
}

bool expand_concatfromsequence(Build *b, Draft *d)
{
    Sequence *s = sequence_of(b, d, 0);
    int64_t axis = 0, insert = 0;
    Value **v;
    int rank;

    take_int(b, d, "axis", &axis);
    take_int(b, d, "new_axis", &insert);
    if (!s || !s->n || d->nout != 1)
        return draft_error(b, d, "takes a sequence that is not empty");
    v = NEW_ARRAY(b->g->arena, Value *, s->n);
    rank = s->item[0]->type.rank + (insert ? 1 : 0);
    axis = axis < 0 ? axis + rank : axis;
    if (axis < 0 || axis >= rank)
        return draft_error(b, d, "axis %lld is outside rank %d",
                           (long long)axis, rank);
    for (int i = 0; i < s->n; i++) {
        if (s->item[i]->type.rank != s->item[0]->type.rank)
            return draft_error(b, d, "its elements differ in rank");
        v[i] = insert ? with_axis(b, s->item[i], (int)axis, true)
                      : s->item[i];
    }
    d->out[0] = b_concat(b, (int)axis, s->n, v);
    return true;
}

/* Lengths of the parts: given, or equal with a shorter last one. */
static bool split_lengths(Build *b, Draft *d, int64_t whole, int64_t **len,
                          int *n)
{
    Value *split = draft_in(d, 1);
    int64_t each = 1;
    int count;

    if (split && split->type.rank == 1) {
        if (!value_is_const(split) || split->type.dim[0] > MAX_NODES / 16)
            return draft_error(b, d, "split is not a short constant");
        *len = NEW_ARRAY(b->g->arena, int64_t, split->type.dim[0] + 1);
        if (!value_ints(split, (int)split->type.dim[0], *len, n))
            return draft_error(b, d, "split is not of integers");
        return true;
    }
    if (split && !value_ints(split, 1, &each, &count))
        return draft_error(b, d, "split is not a constant");
    if (each < 1 || whole / each >= MAX_NODES / 16)
        return draft_error(b, d, "cannot split %lld into parts of %lld",
                           (long long)whole, (long long)each);
    *n = (int)((whole + each - 1) / each);
    *len = NEW_ARRAY(b->g->arena, int64_t, *n + 1);
    for (int i = 0; i < *n; i++)
        (*len)[i] = whole - i * each < each ? whole - i * each : each;
    return true;
}

bool expand_splittosequence(Build *b, Draft *d)
{
    int64_t axis = 0, keep = 1, *len = NULL, from = 0;
    Sequence *s;
    Value *x;
    int n;

    take_int(b, d, "axis", &axis);
    take_int(b, d, "keepdims", &keep);
    if (!draft_arity(b, d, 1, 2, 1))
        return false;
    x = d->in[0];
    axis = axis < 0 ? axis + x->type.rank : axis;
    if (axis < 0 || axis >= x->type.rank)
        return draft_error(b, d, "axis %lld is outside rank %d",
                           (long long)axis, x->type.rank);
    if (!split_lengths(b, d, x->type.dim[axis], &len, &n))
        return false;
    s = sequence_new(b, n);
    for (int i = 0; i < n; i++) {
        if (len[i] < 0 || len[i] > x->type.dim[axis] - from)
            return draft_error(b, d, "the parts are longer than %lld",
                               (long long)x->type.dim[axis]);
        s->item[i] = b_slice(b, x, (int)axis, from, from + len[i]);
        from += len[i];
        if (!draft_in(d, 1) && !keep)
            s->item[i] = with_axis(b, s->item[i], (int)axis, false);
    }
    d->out[0] = &s->value;
    return true;
}

/* SequenceMap: the body once per element */

bool expand_sequencemap(Build *b, Draft *d)
{
    Sequence *s = sequence_of(b, d, 0), **to;
    Value **in = NEW_ARRAY(b->g->arena, Value *, d->nin + 1);
    Value **out = NEW_ARRAY(b->g->arena, Value *, d->m->nout + 1);
    ModelGraph *body = NULL;

    take_graph(b, d, "body", &body);
    if (!s || !body)
        return draft_error(b, d, "takes a sequence and a body");
    to = NEW_ARRAY(b->g->arena, Sequence *, d->m->nout + 1);
    for (int k = 0; k < d->m->nout; k++)
        to[k] = sequence_new(b, s->n);
    for (int i = 0; i < s->n; i++) {
        for (int k = 0; k < d->nin; k++) {
            in[k] = d->in[k];
            if (value_is_sequence(in[k]) && ((Sequence *)in[k])->n == s->n)
                in[k] = ((Sequence *)in[k])->item[i];
            else if (!in[k] || value_is_sequence(in[k]))
                return draft_error(b, d, "sequences differ in length");
        }
        if (!walk_body(b, body, arena_printf(b->g->arena, "%d", i), in,
                       d->nin, out, d->m->nout))
            return false;
        for (int k = 0; k < d->m->nout; k++)
            to[k]->item[i] = out[k];
    }
    for (int k = 0; k < d->nout; k++)
        d->out[k] = &to[k]->value;
    return true;
}

/* Optional values: there or not, which is known */

bool expand_optional(Build *b, Draft *d)
{
    if (d->nin != 1 || d->nout != 1 || !d->in[0])
        return draft_error(b, d, "an empty optional is not supported");
    d->out[0] = d->in[0];
    return true;
}

bool expand_optionalhaselement(Build *b, Draft *d)
{
    if (d->nout != 1)
        return draft_error(b, d, "gives one output");
    d->out[0] = b_scalar(b, DT_BOOL, draft_in(d, 0) != NULL);
    return true;
}
