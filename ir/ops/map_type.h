/* map_type.h - scalar.def compiled for one C type; map.c includes it once
 * per type with T, U, T_MAX, SUFFIX and the classes that T belongs to:
 * WHEN_class(row) expands to its argument or to nothing. */

#define ROW_NAME2(name, suffix) map_##name##_##suffix
#define ROW_NAME1(name, suffix) ROW_NAME2(name, suffix)
#define ROW_NAME(name) ROW_NAME1(name, SUFFIX)

#define ROW(name, R, expr)                                                \
    static void ROW_NAME(name)(const MapArgs *a)                          \
    {                                                                     \
        const T p0 = (T)a->p0, p1 = (T)a->p1;                             \
        const T *px = a->x, *py = a->y, *pz = a->z;                       \
        R *out = a->out;                                                  \
        (void)p0;                                                         \
        (void)p1;                                                         \
        for (int64_t i = 0; i < a->n; i++) {                              \
            const T x = px[i * a->sx], y = py[i * a->sy];                 \
            const T z = pz[i * a->sz];                                    \
            (void)x;                                                      \
            (void)y;                                                      \
            (void)z;                                                      \
            out[i] = expr;                                                \
        }                                                                 \
    }
#define UNARY(name, class, ...) WHEN_##class(ROW(name, T, (__VA_ARGS__)))
#define BINARY UNARY
#define TERNARY UNARY
#define PREDICATE(name, class, ...)                                       \
    WHEN_##class(ROW(name, uint8_t, (__VA_ARGS__)))
#define COMPARE PREDICATE
#include "../scalar.def"
#undef ROW
#undef UNARY
#undef PREDICATE

static const MapFn ROW_NAME(table)[] = {
#define UNARY(name, class, ...) WHEN_##class({ #name COMMA ROW_NAME(name) } \
                                             COMMA)
#define PREDICATE UNARY
#include "../scalar.def"
    { 0, 0 }
};

#undef UNARY
#undef BINARY
#undef TERNARY
#undef PREDICATE
#undef COMPARE
#undef ROW_NAME
#undef ROW_NAME1
#undef ROW_NAME2
#undef T
#undef U
#undef T_MAX
#undef SUFFIX
#undef WHEN_FLT
#undef WHEN_SGN
#undef WHEN_UNS
#undef WHEN_INT
#undef WHEN_NUM
#undef WHEN_BOOL
#undef WHEN_ALL
