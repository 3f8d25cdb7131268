"""ops_map.py BUILD [TYPE...] - every elementwise op in every type it takes,
with broadcasting, special values, and both constant and run-time operands."""
import math
import sys

import numpy as np

from sweep import FLOATS, INTS, TYPES, Model, Runner, fit, rng

SPECIAL = [0., -0., 1, -1, np.inf, -np.inf, np.nan, .5, 1.5, 2.5, -.5, -1.5,
           1e-5, -1e-5, 20, -20, 88, -88, 100, -100]
SHAPES = [((3, 4, 5), (3, 4, 5)), ((3, 4, 5), (5,)), ((3, 4, 5), (4, 1)),
          ((1, 5), (4, 1)), ((), (3,)), ((2, 3, 1, 5), (1, 3, 4, 1)),
          ((0, 3), (1, 3)), ((7,), ())]


def values(t, shape):
    n, dt = int(np.prod(shape)), TYPES[t][1]
    if t == 'b8':
        return rng.integers(0, 2, shape).astype(bool)
    if t in FLOATS:
        a = rng.standard_normal(n) * np.exp(rng.uniform(-6, 4, n))
        pick = np.array(SPECIAL)
    else:
        i = np.iinfo(dt)
        a = rng.integers(i.min, i.max, n, dtype=dt, endpoint=True)
        pick = np.array([0, 1, i.max, i.min, 2, 3, 7] +
                        ([-1, -2, -3] if i.min else []), dtype=dt)
    return fit(t, np.where(rng.random(n) < .3, rng.choice(pick, n),
                           a)).reshape(shape)


def pairs(f):
    """integer f(x, y) on exact Python numbers, wrapped to the type"""
    def g(x, y):
        i = np.iinfo(x.dtype)
        out = [f(int(p), int(q)) for p, q in
               zip(*[v.ravel() for v in np.broadcast_arrays(x, y)])]
        wrapped = [(v - int(i.min)) % (int(i.max) - int(i.min) + 1) +
                   int(i.min) for v in out]
        return np.array(wrapped, object).astype(x.dtype).reshape(
            np.broadcast_shapes(x.shape, y.shape))
    return g


def truncated(p, q):
    return 0 if not q else abs(p) // abs(q) * (1 if (p < 0) == (q < 0) else -1)


def binary_ops(t, x, y):
    ops = [('Equal', np.equal, {})]
    if t == 'b8':
        return ops + [('And', np.logical_and, {}), ('Or', np.logical_or, {}),
                      ('Xor', np.logical_xor, {})]
    ops += [('Add', np.add, {}), ('Sub', np.subtract, {}),
            ('Mul', np.multiply, {}), ('Max', np.maximum, {}),
            ('Min', np.minimum, {}), ('Greater', np.greater, {}),
            ('GreaterOrEqual', np.greater_equal, {}), ('Less', np.less, {}),
            ('LessOrEqual', np.less_equal, {})]
    if np.broadcast_shapes(x.shape, y.shape) == x.shape and \
            t not in ('s8', 's16', 'u8', 'u16'):
        ops.append(('PRelu', lambda a, b: np.where(a < 0, a * b, a), {}))
    if t in FLOATS:
        return ops + [('Div', np.divide, {}), ('Mod', np.fmod, {'fmod': 1})]
    ops += [('Div', pairs(truncated), {}),
            ('Mod', pairs(lambda p, q: p % q if q else 0), {}),
            ('Mod', pairs(lambda p, q: p - q * truncated(p, q) if q else 0),
             {'fmod': 1}),
            ('BitwiseAnd', np.bitwise_and, {}),
            ('BitwiseOr', np.bitwise_or, {}),
            ('BitwiseXor', np.bitwise_xor, {})]
    if t[0] == 'u':
        bits = int(t[1:])
        ops += [('BitShift', pairs(lambda p, q: p << q if q < bits else 0),
                 {'direction': 'LEFT'}),
                ('BitShift', pairs(lambda p, q: p >> q if q < bits else 0),
                 {'direction': 'RIGHT'})]
    return ops


def binary(t):
    m = Model('binary_' + t)
    for sa, sb in SHAPES:
        a, b = values(t, sa), values(t, sb)
        x, y = m.input(t, a), m.input(t, b)
        for op, f, attrs in binary_ops(t, a, b):
            w = np.asarray(f(a, b))
            to = 'b8' if w.dtype == bool else t
            m.node(op, [x, y], to, fit(to, w), **attrs)
            if sb == ():
                m.node(op, [x, m.const(t, b)], to, fit(to, w), **attrs)
        c = rng.integers(0, 2, sa[-1:]).astype(bool)
        m.node('Where', [m.input('b8', c), x, y], t, np.where(c, a, b))
    return m


def sigmoid(x):
    return np.where(x < 0, np.exp(x) / (1 + np.exp(x)), 1 / (1 + np.exp(-x)))


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-abs(x)))


def each(f):
    return np.vectorize(f, otypes=[np.float64])


def single(x):
    return float(np.float32(x))


A, B, G = single(1.3), single(1.6732632423543772), single(1.0507009873554805)
UNARY = [
    ('Abs', abs, {}), ('Neg', np.negative, {}), ('Ceil', np.ceil, {}),
    ('Floor', np.floor, {}), ('Round', np.rint, {}), ('Sign', np.sign, {}),
    ('Sqrt', np.sqrt, {}), ('Reciprocal', lambda x: 1 / x, {}),
    ('Exp', np.exp, {}), ('Log', np.log, {}), ('Sin', np.sin, {}),
    ('Cos', np.cos, {}), ('Tan', np.tan, {}), ('Asin', np.arcsin, {}),
    ('Acos', np.arccos, {}), ('Atan', np.arctan, {}), ('Sinh', np.sinh, {}),
    ('Cosh', np.cosh, {}), ('Tanh', np.tanh, {}), ('Asinh', np.arcsinh, {}),
    ('Acosh', np.arccosh, {}), ('Atanh', np.arctanh, {}),
    ('Erf', each(math.erf), {}), ('Sigmoid', sigmoid, {}),
    ('Relu', lambda x: np.maximum(x, 0), {}),
    ('LeakyRelu', lambda x: np.where(x < 0, A * x, x), {'alpha': 1.3}),
    ('Elu', lambda x: np.where(x < 0, A * np.expm1(x), x), {'alpha': 1.3}),
    ('Celu', lambda x: np.where(x < 0, A * np.expm1(x / A), x),
     {'alpha': 1.3}),
    ('Selu', lambda x: G * np.where(x > 0, x, B * np.expm1(x)), {}),
    ('ThresholdedRelu', lambda x: np.where(x > A, x, 0), {'alpha': 1.3}),
    ('HardSigmoid', lambda x: np.minimum(1, np.maximum(0, single(.2) * x +
                                                       .5)), {}),
    ('HardSwish', lambda x: x * np.minimum(1, np.maximum(0, x / 6 + .5)), {}),
    ('Softplus', softplus, {}), ('Softsign', lambda x: x / (1 + abs(x)), {}),
    ('Mish', lambda x: x * np.tanh(softplus(x)), {}),
    ('Gelu', lambda x: .5 * x * each(math.erfc)(-x / math.sqrt(2)), {}),
    ('Gelu', lambda x: x * sigmoid(math.sqrt(8 / math.pi) *
                                   (x + .044715 * x ** 3)),
     {'approximate': 'tanh'}),
    ('Shrink', lambda x: np.where(x < -1.5, x + .25,
                                  np.where(x > 1.5, x - .25, 0)),
     {'lambd': 1.5, 'bias': .25}),
    ('Shrink', lambda x: np.where(x < 1.5, x - .25,
                                  np.where(x > -1.5, x + .25, 0)),
     {'lambd': -1.5, 'bias': -.25}),
    ('IsNaN', np.isnan, {}), ('IsInf', np.isinf, {}),
    ('IsInf', lambda x: x == np.inf, {'detect_negative': 0}),
    ('IsInf', lambda x: x == -np.inf, {'detect_positive': 0}),
]


def clip(m, t, a, low, high):
    x, lo, hi = m.input(t, a), fit(t, low), fit(t, high)
    w = np.minimum(np.maximum(a, lo), hi)
    for make in (m.input, m.const):
        m.node('Clip', [x, make(t, lo), make(t, hi)], t, w)
        m.node('Clip', [x, make(t, lo)], t, np.maximum(a, lo))
        m.node('Clip', [x, '', make(t, hi)], t, np.minimum(a, hi))
    m.node('Clip', [x], t, a)


def unary_float(t):
    m = Model('unary_' + t)
    for shape in ((300,), (2, 3), ()):
        a = values(t, shape)
        x = m.input(t, a)
        for op, f, attrs in UNARY:
            w = np.asarray(f(a.astype(np.float64)))
            to = 'b8' if w.dtype == bool else t
            m.node(op, [x], to, fit(to, w), **attrs)
    clip(m, t, values(t, (60,)), -1.5, 2)
    clip(m, t, values(t, (60,)), -np.inf, np.inf)
    return m


def unary_int(t):
    m, i = Model('unary_' + t), np.iinfo(TYPES[t][1])
    a = values(t, (200,))
    x = m.input(t, a)
    m.node('Abs', [x], t, abs(a))
    m.node('Sign', [x], t, np.sign(a))
    m.node('BitwiseNot', [x], t, np.invert(a))
    if t[0] == 's':
        m.node('Neg', [x], t, np.negative(a))
        m.node('Relu', [x], t, np.maximum(a, 0))
    for low, high in ((2, 100), (i.min, 100), (0, i.max), (100, 2)):
        clip(m, t, a, low, high)
    for k in ('s32', 's64', 'f32', 'u8', 'u64'):
        base = rng.integers(max(i.min, -5), 6, 40).astype(i.dtype)
        e = rng.integers(0, 4, 40).astype(TYPES[k][1])
        w = [int(p) ** int(q) for p, q in zip(base, e)]
        n = int(i.max) - int(i.min) + 1
        w = [max(i.min, min(i.max, v)) if k == 'f32'
             else (v - int(i.min)) % n + int(i.min) for v in w]
        m.node('Pow', [m.input(t, base), m.input(k, e)], t,
               np.array(w).astype(i.dtype))
    return m


def powers(t):
    m = Model('pow_' + t)
    a = fit(t, abs(rng.standard_normal(40)) + .01)
    for k in ('s32', 's64', 'f32', 'f64', 'u8'):
        e = fit(k, rng.integers(0, 5, 40) if k == 'u8'
                else rng.uniform(-3, 3, 40))
        w = np.power(a.astype(np.float64), e.astype(np.float64))
        m.node('Pow', [m.input(t, a), m.input(k, e)], t, fit(t, w))
    for p in (0, 1, 2, 3, .5, -.5, -1, 2.5):
        m.node('Pow', [m.input(t, a), m.const('f32', np.float32(p))], t,
               fit(t, np.power(a.astype(np.float64), p)))
    return m


def cast(t, to, a):
    if to == 'b8':
        return a != 0
    if t not in FLOATS or to in FLOATS:
        return fit(to, a)
    i = np.iinfo(TYPES[to][1])
    low, high = {'s4': (-8, 7), 'u4': (0, 15)}.get(to, (i.min, i.max))
    out = [0 if v != v else high if v >= high else low if v <= low else int(v)
           for v in a.astype(np.float64)]
    return np.array(out, object).astype(i.dtype)


def casts(t):
    m = Model('cast_' + t)
    a = values(t, (121,))
    x = m.input(t, a)
    for to in TYPES:
        if to in ('s4', 'u4') and t not in FLOATS:
            w = a.astype(np.uint8).astype(np.int8) & 15
            w = (w ^ 8) - 8 if to == 's4' else w
        else:
            w = cast(t, to, a)
        m.node('Cast', [x], to, w, to=TYPES[to][0])
    return m


def nibbles(t):
    m = Model('cast_' + t)
    a = rng.integers(-8 if t == 's4' else 0, 8, (3, 5, 7)).astype(np.int8)
    for x in (m.input(t, a), m.const(t, a)):
        for to in TYPES:
            if to not in ('s4', 'u4'):
                m.node('Cast', [x], to, a != 0 if to == 'b8' else fit(to, a),
                       to=TYPES[to][0])
    return m


def main():
    r = Runner(sys.argv[1])
    np.seterr(all='ignore')
    for t in sys.argv[2:] or TYPES:
        if t in ('s4', 'u4'):
            r.run(nibbles(t))
            continue
        r.run(binary(t))
        r.run(casts(t), 0)
        if t in FLOATS:
            # the formulas themselves lose digits where results are tiny
            r.run(unary_float(t), 2e-5 if t != 'f64' else 1e-11)
            r.run(powers(t), 3e-6)
        if t in INTS:
            r.run(unary_int(t))
    r.done('ops_map')


main()
