/* expand_tfidf.c - TfIdfVectorizer-9 over integers: for each gram length and
 * each distance, every place is compared with every gram of the pool at
 * once, and the hits are counted. */
#include "build.h"

#include <string.h>

enum { MAX_GRAM = 64, MAX_SKIP = 64 };

typedef struct Tfidf {
    const char *mode;
    int64_t min, max, skip;
    Ints counts, indexes, pool;
    Floats weights;
    Value *x;                   /* int64[rows, length] */
    int64_t width;              /* of the result */
} Tfidf;

static bool tfidf_attrs(Build *b, Draft *d, Tfidf *t)
{
    *t = (Tfidf){ .mode = "" };
    take_string(b, d, "mode", &t->mode);
    take_int(b, d, "min_gram_length", &t->min);
    take_int(b, d, "max_gram_length", &t->max);
    take_int(b, d, "max_skip_count", &t->skip);
    take_ints(b, d, "ngram_counts", &t->counts);
    take_ints(b, d, "ngram_indexes", &t->indexes);
    take_floats(b, d, "weights", &t->weights);
    if (draft_attr(d, "pool_strings"))
        return draft_error(b, d, "strings are not supported");
    take_ints(b, d, "pool_int64s", &t->pool);
    if (strcmp(t->mode, "TF") && strcmp(t->mode, "IDF") &&
        strcmp(t->mode, "TFIDF"))
        return draft_error(b, d, "mode '%s' is not TF, IDF or TFIDF",
                           t->mode);
    if (t->min < 1 || t->max < t->min || t->max > MAX_GRAM || t->skip < 0 ||
        t->skip > MAX_SKIP)
        return draft_error(b, d, "grams of %lld to %lld with up to %lld "
                           "skipped", (long long)t->min, (long long)t->max,
                           (long long)t->skip);
    if (t->weights.n && t->weights.n != t->indexes.n)
        return draft_error(b, d, "%d weights for %d grams", t->weights.n,
                           t->indexes.n);
    return true;
}

/* Where the grams of a length begin and end in the pool. */
static bool pool_span(Build *b, Draft *d, const Tfidf *t, int64_t gram,
                      int64_t *from, int64_t *to)
{
    *from = *to = 0;
    if (gram > t->counts.n)
        return true;
    *from = t->counts.v[gram - 1];
    *to = gram < t->counts.n ? t->counts.v[gram] : t->pool.n;
    if (*from < 0 || *to < *from || *to > t->pool.n || (*to - *from) % gram)
        return draft_error(b, d, "ngram_counts does not fit a pool of %d",
                           t->pool.n);
    return true;
}

static bool tfidf_check(Build *b, Draft *d, Tfidf *t)
{
    int64_t grams = 0, from, to;

    for (int64_t g = 1; g <= t->counts.n && g <= MAX_GRAM; g++) {
        if (!pool_span(b, d, t, g, &from, &to))
            return false;
        grams += (to - from) / g;
    }
    if (grams != t->indexes.n || t->counts.n > MAX_GRAM)
        return draft_error(b, d, "the pool has %lld grams, ngram_indexes %d",
                           (long long)grams, t->indexes.n);
    for (int i = 0; i < t->indexes.n; i++) {
        if (t->indexes.v[i] < 0 || t->indexes.v[i] > INT32_MAX)
            return draft_error(b, d, "index %lld",
                               (long long)t->indexes.v[i]);
        if (t->indexes.v[i] >= t->width)
            t->width = t->indexes.v[i] + 1;
    }
    return true;
}

/* Item k of every gram of a length: int64[grams] */
static Value *gram_items(Build *b, const Tfidf *t, int64_t from, int64_t n,
                         int64_t gram, int64_t k)
{
    int64_t *v = NEW_ARRAY(b->g->arena, int64_t, n + 1);

    for (int64_t i = 0; i < n; i++)
        v[i] = t->pool.v[from + i * gram + k];
    return graph_const(b->g, NULL, type_vector(DT_I64, n), v);
}

/* Hits of all grams of a length at one distance: float[rows, grams] */
static Value *count_hits(Build *b, const Tfidf *t, int64_t from, int64_t n,
                         int64_t gram, int64_t distance)
{
    static const int64_t places_axis[] = { 1 };
    int64_t rows = t->x->type.dim[0];
    int64_t places = t->x->type.dim[1] - (gram - 1) * distance;
    int64_t dim[] = { rows, places, 1 };
    Value *hit = NULL;

    for (int64_t k = 0; k < gram; k++) {
        Value *x = b_slice(b, t->x, 1, k * distance, k * distance + places);
        Value *is = b_op2(b, OP_Equal, b_reshape(b, x, 3, dim),
                          gram_items(b, t, from, n, gram, k));
        hit = hit ? b_op2(b, OP_And, hit, is) : is;
    }
    return b_reduce(b, OP_ReduceSum, b_cast(b, hit, DT_F32), 1, places_axis,
                    false);
}

/* float[rows, grams of this length]; grams too long for x have no hits */
static Value *count_length(Build *b, const Tfidf *t, int64_t from, int64_t n,
                           int64_t gram)
{
    int64_t length = t->x->type.dim[1], dim[] = { t->x->type.dim[0], n };
    int64_t last = gram == 1 ? 1 : t->skip + 1;
    Value *sum = NULL;

    for (int64_t s = 1; s <= last && gram >= t->min && gram <= t->max; s++) {
        Value *hits;
        if ((gram - 1) * s >= length)
            break;
        hits = count_hits(b, t, from, n, gram, s);
        sum = sum ? b_op2(b, OP_Add, sum, hits) : hits;
    }
    if (sum)
        return sum;
    sum = b_scalar(b, DT_F32, 0);
    return b_op2(b, OP_Expand, sum, b_ints(b, 2, dim));
}

/* IDF and TFIDF scale each gram's count. */
static Value *weighted(Build *b, const Tfidf *t, Value *count)
{
    float *w = NEW_ARRAY(b->g->arena, float, t->indexes.n + 1);

    if (!strcmp(t->mode, "TF"))
        return count;
    if (!strcmp(t->mode, "IDF"))
        count = b_op2(b, OP_Min, count, b_scalar(b, DT_F32, 1));
    for (int i = 0; i < t->indexes.n; i++)
        w[i] = t->weights.n ? t->weights.v[i] : 1;
    return b_op2(b, OP_Mul, count,
                 graph_const(b->g, NULL, type_vector(DT_F32, t->indexes.n),
                             w));
}

/* Column i goes to column indexes[i] of a wider zero matrix. */
static Value *placed(Build *b, const Tfidf *t, Value *count)
{
    int64_t rows = count->type.dim[0], all[] = { rows, t->indexes.n };
    int64_t wide[] = { rows, t->width };
    Value *in[3];
    Node *n;

    in[0] = b_scalar(b, DT_F32, 0);
    in[0] = b_op2(b, OP_Expand, in[0], b_ints(b, 2, wide));
    in[1] = b_ints(b, t->indexes.n, t->indexes.v);
    in[1] = b_op2(b, OP_Expand, in[1], b_ints(b, 2, all));
    in[2] = count;
    n = b_node(b, OP_ScatterElements, 3, in, 1);
    ATTRS(scatterelements, n)->axis = 1;
    return b_end(b, n);
}

bool expand_tfidf(Build *b, Draft *d)
{
    Value *part[MAX_GRAM], *y;
    int64_t dim[2], from, to;
    int parts = 0, rank;
    Tfidf t;

    if (!tfidf_attrs(b, d, &t) || !draft_arity(b, d, 1, 1, 1) ||
        !tfidf_check(b, d, &t))
        return false;
    rank = d->in[0]->type.rank;
    if (rank < 1 || rank > 2 || !dtype_is_int(d->in[0]->type.dt) || !t.width)
        return draft_error(b, d, "takes integers of rank 1 or 2 and a pool");
    dim[0] = rank == 2 ? d->in[0]->type.dim[0] : 1;
    dim[1] = d->in[0]->type.dim[rank - 1];
    t.x = b_reshape(b, b_cast(b, d->in[0], DT_I64), 2, dim);
    for (int64_t g = 1; g <= t.counts.n; g++) {
        if (!pool_span(b, d, &t, g, &from, &to))
            return false;
        if (to > from)
            part[parts++] = count_length(b, &t, from, (to - from) / g, g);
    }
    y = placed(b, &t, weighted(b, &t, b_concat(b, 1, parts, part)));
    d->out[0] = rank == 2 ? y : b_reshape(b, y, 1, &t.width);
    return true;
}
