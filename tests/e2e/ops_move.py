"""ops_move.py BUILD [TYPE...] - shapes and movement in every type: constant
and run-time operands, empty tensors, scalars, negative steps and pads."""
import sys

import numpy as np

from sweep import FLOATS, INTS, TYPES, Model, Runner, fit, rng

LAST = 2 ** 63 - 1


def values(t, shape):
    if t in ('s4', 'u4', 'b8'):
        return fit(t, rng.integers(0, 2 if t == 'b8' else 8, shape))
    return fit(t, rng.integers(0, 100, shape))


def ints(*v):
    return 's64', np.array(v, np.int64)


def slices(t):
    m = Model('slice_' + t)
    a = values(t, (4, 5, 6))
    for starts, ends, axes, steps in (
            ([1, 0, 2], [3, 3, 9], None, None), ([0], [1000], None, None),
            ([-3], [-1], [2], None), ([3], [3], [1], None),
            ([10, -1], [-100, -100], [0, 2], [-1, -2]),
            ([1, 5], [3, 0], [-3, -1], [1, -2]),
            ([0, 0, 0], [4, 5, 6], [2, 0, 1], [2, 3, 2]),
            ([2 ** 62], [-LAST - 1], [2], [-1]), ([0], [LAST], [2], [LAST]),
            ([1], [-1], None, None), ([0, 1, 2], [2, 3, 4], None, None)):
        cut = [slice(None)] * 3
        for k, axis in enumerate(axes or range(len(starts))):
            step = steps[k] if steps else 1
            end = None if step < 0 and ends[k] < -a.shape[axis] else ends[k]
            cut[axis] = slice(starts[k], end, step)
        rest = [ints(*starts), ints(*ends)]
        if axes or steps:
            rest.append(ints(*axes))
        if steps:
            rest.append(ints(*steps))
        m.both('Slice', t, a, rest, t, a[tuple(cut)])
    z = values(t, (0, 4))
    m.both('Slice', t, z, [ints(1), ints(3), ints(1)], t, z[:, 1:3])
    z = values(t, (3, 4))
    m.both('Slice', t, z, [ints(5), ints(9)], t, z[5:9])
    return m


def pad(m, t, a, pads, mode, value=None, axes=None):
    k = len(pads) // 2
    full = [(0, 0)] * a.ndim
    for i, axis in enumerate(axes or range(k)):
        full[axis] = pads[i], pads[i + k]
    inner = a[tuple(slice(max(0, -b), n - max(0, -e))
                    for n, (b, e) in zip(a.shape, full))]
    more = [(max(b, 0), max(e, 0)) for b, e in full]
    if mode == 'constant':
        w = np.pad(inner, more, constant_values=value or 0)
    else:
        w = np.pad(inner, more, mode=mode)
    rest = [ints(*pads)]
    if value is not None or axes:
        rest.append(None if value is None else (t, fit(t, value)))
    if axes:
        rest.append(ints(*axes))
    m.both('Pad', t, a, rest, t, w, mode=mode)
    if value is not None:       # fixed pads, run-time value
        x = m.input(t, a)
        rest = [m.const(*rest[0]), m.input(*rest[1])] + \
            [m.const(*r) for r in rest[2:]]
        m.node('Pad', [x] + rest, t, w, mode=mode)


def pads(t):
    m = Model('pad_' + t)
    a = values(t, (3, 4, 5))
    one = 1 if t == 'b8' else 3
    pad(m, t, a, [1, 0, 2, 0, 3, 1], 'constant')
    pad(m, t, a, [1, 0, 2, 0, 3, 1], 'constant', one)
    pad(m, t, a, [-1, 2, -1, 0, -1, 1], 'constant', one)
    pad(m, t, a, [2, 1], 'constant', one, [-1])
    pad(m, t, a, [1, 2, 0, 1], 'constant', None, [2, 0])
    for mode in ('reflect', 'edge', 'wrap'):
        pad(m, t, a, [1, 0, 2, 0, 3, 1], mode)
        pad(m, t, a, [2, 3, 4, 1, 2, 3], mode)
        pad(m, t, a, [-1, 0, -1, 0, 0, -1], mode)
        pad(m, t, a, [9, 0, 11, 7, 0, 0], mode)
        pad(m, t, a, [2, 5], mode, None, [2])
    z = values(t, (0, 2))
    m.both('Pad', t, z, [ints(1, 0, 1, 1)], t, np.pad(z, ((1, 1), (0, 1))))
    return m


def copies(t):
    m = Model('copy_' + t)
    a, s, z = values(t, (2, 3, 4, 5)), values(t, ()), values(t, (0, 3))
    for perm in ([0, 1, 2, 3], [3, 2, 1, 0], [0, 2, 3, 1], [0, 3, 1, 2],
                 [0, 1, 3, 2], [1, 0, 2, 3], [2, 3, 0, 1]):
        m.both('Transpose', t, a, [], t, a.transpose(perm), perm=perm)
    for x in (a, s, z, values(t, (33, 70))):
        m.both('Transpose', t, x, [], t, x.T)
    for axis in (0, 1, -1):
        parts = [values(t, [q if i == axis % 3 else d
                            for i, d in enumerate((2, 3, 4))])
                 for q in (1, 3, 0, 2)]
        m.node('Concat', [m.input(t, p) for p in parts], t,
               np.concatenate(parts, axis), axis=axis)
    m.both('Split', t, a, [ints(1, 2, 2)], t, *np.split(a, [1, 3], 3), axis=3)
    m.both('Split', t, a, [ints(0, 3)], t, *np.split(a, [0], 1), axis=1)
    m.both('Split', t, a, [], t, *np.split(a, [2, 4], -1), axis=-1,
           num_outputs=3)
    for r in ([1, 2, 1, 3], [2, 1, 1, 1], [1, 1, 1, 1], [1, 1, 0, 1],
              [3, 2, 2, 2]):
        m.both('Tile', t, a, [ints(*r)], t, np.tile(a, r))
    m.both('Tile', t, s, [ints()], t, s)
    c = values(t, (3, 1, 5))
    for shape in ([3, 1, 5], [2, 3, 4, 5], [3, 7, 1], [1], [0, 3, 4, 5]):
        w = np.broadcast_to(c, np.broadcast_shapes(c.shape, tuple(shape)))
        m.both('Expand', t, c, [ints(*shape)], t, w)
    m.both('Expand', t, s, [ints(2, 3)], t, np.broadcast_to(s, (2, 3)))
    return m


def blocks(m, t):
    d = values(t, (2, 8, 3, 5))
    w = d.reshape(2, 2, 2, 2, 3, 5)
    m.both('DepthToSpace', t, d, [], t, w.transpose(0, 3, 4, 1, 5, 2).reshape(
        2, 2, 6, 10), blocksize=2)
    m.both('DepthToSpace', t, d, [], t, w.transpose(0, 1, 4, 2, 5, 3).reshape(
        2, 2, 6, 10), blocksize=2, mode='CRD')
    d = values(t, (2, 3, 4, 6))
    w = d.reshape(2, 3, 2, 2, 3, 2).transpose(0, 3, 5, 1, 2, 4)
    m.both('SpaceToDepth', t, d, [], t, w.reshape(2, 12, 2, 3), blocksize=2)


def triangles(m, t):
    a = values(t, (2, 3, 4))
    for upper, f in ((0, np.tril), (1, np.triu)):
        for k in (0, 1, -1, 2, 9, -9, LAST, -LAST - 1):
            w = f(a, max(-50, min(50, k))).astype(a.dtype)
            m.both('Trilu', t, a, [('s64', np.array(k, np.int64))], t, w,
                   upper=upper)
        m.both('Trilu', t, a, [], t, f(a).astype(a.dtype), upper=upper)


def reversals(m, t):
    a = values(t, (4, 3, 2))
    for time, lens in ((0, (4, 1, 0)), (1, (2, 3, 1, 0))):
        w = a.copy() if time else a.swapaxes(0, 1).copy()
        for b, n in enumerate(lens):
            w[b, :n] = w[b, :n][::-1].copy()
        m.both('ReverseSequence', t, a, [ints(*lens)], t,
               w if time else w.swapaxes(0, 1), time_axis=time,
               batch_axis=1 - time)


def views(m, t):
    a, s, z = values(t, (2, 3, 4, 5)), values(t, ()), values(t, (0, 3))
    m.both('Reshape', t, a, [ints(0, -1, 5)], t, a.reshape(2, -1, 5))
    m.both('Reshape', t, s, [ints(1, 1)], t, s.reshape(1, 1))
    m.both('Reshape', t, z, [ints(3, 0)], t, z.reshape(3, 0), allowzero=1)
    m.both('Flatten', t, a, [], t, a.reshape(6, 20), axis=2)
    m.both('Flatten', t, a, [], t, a.reshape(1, 120), axis=-4)
    m.both('Flatten', t, s, [], t, s.reshape(1, 1), axis=0)
    u = values(t, (1, 3, 1, 2))
    m.both('Squeeze', t, u, [ints(0, -2)], t, u.reshape(3, 2))
    m.both('Squeeze', t, u, [], t, u.reshape(3, 2))
    m.both('Unsqueeze', t, u, [ints(0, -1)], t, u.reshape(1, 1, 3, 1, 2, 1))
    m.both('Identity', t, a, [], t, a)


def makers(m, t):
    for rows, cols, k in ((3, 5, 1), (5, 3, -2), (5, 3, 9), (5, 3, -5),
                          (2, 2, 0)):
        w = fit(t, np.eye(rows, cols, k))
        m.both('EyeLike', t, values(t, (rows, cols)), [], t, w, k=k)
    if t in FLOATS or t in ('s16', 's32', 's64'):
        for start, limit, step in ((1, 10, 2), (10, 0, -3), (0, 0, 1)):
            v = [fit(t, n) for n in (start, limit, step)]
            w = fit(t, np.arange(start, limit, step))
            for make in (m.const, m.input):
                m.node('Range', [make(t, n) for n in v], t, w)


def others(t):
    m = Model('other_' + t)
    for add in blocks, triangles, reversals, views, makers:
        add(m, t)
    return m


def nibbles(t):
    """4-bit: what generated C moves nibble by nibble"""
    m = Model('nibbles_' + t)
    a, b = values(t, (3, 5)), values(t, (3, 2))
    c = np.concatenate([a, b], 1)
    m.node('Concat', [m.input(t, a), m.input(t, b)], t, c, axis=1)
    m.both('Transpose', t, c, [], t, c.T)
    m.both('Split', t, c, [ints(4, 3)], t, c[:, :4], c[:, 4:], axis=1)
    m.both('Tile', t, c, [ints(1, 3)], t, np.tile(c, (1, 3)))
    m.both('Reshape', t, c, [ints(-1)], t, c.ravel())
    m.node('Slice', [m.input(t, c), m.const(*ints(-1)), m.const(*ints(-9)),
                     m.const(*ints(1)), m.const(*ints(-1))], t, c[:, ::-1])
    return m


def main():
    r = Runner(sys.argv[1])
    for t in sys.argv[2:] or ['f32', 'f64', 'f16', 'bf16', 'b8', 's4'] + INTS:
        if t in ('s4', 'u4'):
            r.run(nibbles(t))
            continue
        for make in slices, pads, copies, others:
            r.run(make(t))
    r.done('ops_move')


if __name__ == '__main__':
    assert set(FLOATS) <= set(TYPES)
    main()
