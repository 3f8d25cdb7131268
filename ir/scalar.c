/* scalar.c - scalar.def as a table, and how nodes choose their rows. */
#include "scalar.h"

#include <string.h>

enum {
    FLT = 1 << DK_FLOAT,
    SGN = 1 << DK_INT,
    UNS = 1 << DK_UINT,
    BOOL = 1 << DK_BOOL,
    INT = SGN | UNS,
    NUM = FLT | INT,
    ALL = NUM | BOOL
};

static const Scalar scalars[] = {
#define UNARY(name, class, ...) { #name, 1, false, class, #__VA_ARGS__ },
#define BINARY(name, class, ...) { #name, 2, false, class, #__VA_ARGS__ },
#define TERNARY(name, class, ...) { #name, 3, false, class, #__VA_ARGS__ },
#define PREDICATE(name, class, ...) { #name, 1, true, class, #__VA_ARGS__ },
#define COMPARE(name, class, ...) { #name, 2, true, class, #__VA_ARGS__ },
#include "scalar.def"
#undef UNARY
#undef BINARY
#undef TERNARY
#undef PREDICATE
#undef COMPARE
};

const Scalar *scalar_find(const char *name, DType dt)
{
    int n = (int)(sizeof scalars / sizeof scalars[0]);

    if (dt == DT_I4 || dt == DT_U4)
        return NULL;
    for (int i = 0; i < n; i++)
        if (scalars[i].kinds >> dtype_kind(dt) & 1 &&
            !strcmp(scalars[i].name, name))
            return &scalars[i];
    return NULL;
}

const char *scalar_of(const Node *n)
{
    switch (n->op) {
    case OP_Gelu:
        return strcmp(ATTRS(gelu, n)->approximate, "tanh") ? "Gelu"
                                                           : "GeluTanh";
    case OP_Mod:
        return ATTRS(mod, n)->fmod ? "FMod" : "Mod";
    case OP_BitShift:
        return strcmp(ATTRS(bitshift, n)->direction, "LEFT") ? "ShiftRight"
                                                             : "ShiftLeft";
    case OP_Clip:
        if (node_in(n, 1) && node_in(n, 2))
            return "Clip";
        return node_in(n, 1) ? "ClipMin" : node_in(n, 2) ? "ClipMax" : NULL;
    case OP_Cast: case OP_Pow: case OP_Where:
    case OP_QuantizeLinear: case OP_DequantizeLinear:
        return NULL;
    default:
        return op_has(n->op, T_MAP) && !op_has(n->op, T_INTERNAL)
                   ? op_name(n->op) : NULL;
    }
}

void scalar_params(const Node *n, float *p0, float *p1)
{
    *p0 = *p1 = 0;
    switch (n->op) {
    case OP_LeakyRelu:
        *p0 = ATTRS(alpha001, n)->alpha;
        break;
    case OP_Elu: case OP_Celu: case OP_ThresholdedRelu: case OP_Swish:
        *p0 = ATTRS(alpha1, n)->alpha;
        break;
    case OP_Selu:
        *p0 = ATTRS(selu, n)->alpha;
        *p1 = ATTRS(selu, n)->gamma;
        break;
    case OP_HardSigmoid:
        *p0 = ATTRS(hardsigmoid, n)->alpha;
        *p1 = ATTRS(hardsigmoid, n)->beta;
        break;
    case OP_Shrink:
        *p0 = ATTRS(shrink, n)->bias;
        *p1 = ATTRS(shrink, n)->lambd;
        break;
    case OP_IsInf:
        *p0 = ATTRS(isinf, n)->detect_negative != 0;
        *p1 = ATTRS(isinf, n)->detect_positive != 0;
        break;
    default:
        break;
    }
}
