"""random_net.py - whole random networks in the text form, for nets.py."""
from random_steps import (Net, activation, center, concat, conv, elementwise,
                          excite, pad, pool, reduction, reductions, size,
                          split, spread, transpose_conv, transposed,
                          upsample)


def norm(net, x):
    rng, dims = net.rng, net.dims[x]
    c = dims[1]
    if net.kind == "tokens":
        return net.add(dims, "LayerNormalization <axis = -1> (%s, %s, %s)"
                       % (x, net.real([dims[-1]], 1), net.real([dims[-1]])))
    op = rng.randrange(3)
    if op == 0:
        return net.add(dims, "BatchNormalization (%s, %s, %s, %s, float[%d] "
                       "{%s})" % (x, net.real([c], 1), net.real([c]),
                                  net.real([c]), c,
                                  ", ".join(["1.5"] * c)))
    if op == 1:
        return net.add(dims, "InstanceNormalization (%s, %s, %s)"
                       % (x, net.real([c], 1), net.real([c])))
    axis = rng.randrange(1, len(dims))
    return net.add(dims, "Softmax <axis = %d> (%s)" % (axis, x), scale=0.01)


def dense(net, x):
    """a product over the last axis"""
    rng, dims = net.rng, net.dims[x]
    out = rng.choice([1, 3, 4, 8, 16, 24, 33])
    y = net.add(dims[:-1] + [out], "MatMul (%s, %s)"
                % (x, net.weight([dims[-1], out], dims[-1])))
    if rng.random() < 0.5:
        y = net.add(net.dims[y], "Add (%s, %s)" % (y, net.real([out])))
    return y


def mlp(net, x):
    rng, dims = net.rng, net.dims[x]
    e = dims[-1]
    h = norm(net, x) if rng.random() < 0.6 and net.kind == "tokens" else x
    f = e * rng.choice([2, 4])
    a = net.add(dims[:-1] + [f], "MatMul (%s, %s)"
                % (h, net.weight([e, f], e)))
    if rng.random() < 0.5:
        a = net.add(net.dims[a], "Add (%s, %s)" % (a, net.real([f])))
    b = net.add(net.dims[a], "%s (%s)" % (rng.choice(["Gelu", "Relu",
                                                      "Sigmoid"]), a))
    if rng.random() < 0.25:             # a gate
        g = net.add(net.dims[a], "MatMul (%s, %s)"
                    % (h, net.weight([e, f], e)))
        b = net.add(net.dims[a], "Mul (%s, %s)" % (g, b))
    y = net.add(dims, "MatMul (%s, %s)" % (b, net.weight([f, e], f)))
    if rng.random() < 0.85:
        y = net.add(dims, "Add (%s, %s)" % (y, x))
    return y


def attention(net, x):
    rng, dims = net.rng, net.dims[x]
    b, t, e = dims
    heads = rng.choice([h for h in (1, 2, 3, 4) if e % h == 0])
    d = e // heads
    h = norm(net, x) if rng.random() < 0.6 else x

    def head(name, perm):
        r = net.add([b, t, heads, d], "Reshape (%s, %s)"
                    % (name, net.ints(b, t, heads, d)))
        out = [net.dims[r][p] for p in perm]
        return net.add(out, "Transpose <perm = %s> (%s)" % (perm, r))

    if rng.random() < 0.3:              # one product for the three
        j = net.add([b, t, 3 * e], "MatMul (%s, %s)"
                    % (h, net.weight([e, 3 * e], e)))
        qkv = [net.add([b, t, e], "Slice (%s, %s, %s, %s)"
                       % (j, net.ints(i * e), net.ints((i + 1) * e),
                          net.ints(2))) for i in range(3)]
    else:
        qkv = [net.add([b, t, e], "MatMul (%s, %s)"
                       % (h, net.weight([e, e], e))) for i in range(3)]
        if rng.random() < 0.5:
            qkv = [net.add([b, t, e], "Add (%s, %s)" % (n, net.real([e])))
                   for n in qkv]
    q, k, v = head(qkv[0], [0, 2, 1, 3]), head(qkv[1], [0, 2, 3, 1]), \
        head(qkv[2], [0, 2, 1, 3])
    s = net.add([b, heads, t, t], "MatMul (%s, %s)" % (q, k))
    if rng.random() < 0.8:
        s = net.add(net.dims[s], "Mul (%s, float {%g})" % (s, d ** -0.5))
    if rng.random() < 0.2:
        s = net.add(net.dims[s], "Add (%s, %s)" % (s, net.real(
            rng.choice([[t, t], [heads, t, t], [1, 1, t, t]]))))
    s = net.add(net.dims[s], "Softmax <axis = -1> (%s)" % s, scale=0.008)
    c = net.add([b, heads, t, d], "MatMul (%s, %s)" % (s, v))
    c = net.add([b, t, heads, d], "Transpose <perm = [0, 2, 1, 3]> (%s)" % c)
    c = net.add([b, t, e], "Reshape (%s, %s)" % (c, net.ints(b, t, e)))
    y = net.add(dims, "MatMul (%s, %s)" % (c, net.weight([e, e], e)))
    if rng.random() < 0.85:
        y = net.add(dims, "Add (%s, %s)" % (y, x))
    return y


def to_tokens(net, x):
    """patches of an image become tokens"""
    n, c, h, w = net.dims[x]
    kh, kw = (net.rng.choice([i for i in range(1, min(8, d) + 1)
                              if d % i == 0]) for d in (h, w))
    e = net.rng.choice([4, 6, 8, 12])
    y = net.add([n, e, h // kh, w // kw], "Conv <strides = [%d, %d]> (%s, %s)"
                % (kh, kw, x, net.weight([e, c, kh, kw])))
    t = h // kh * (w // kw)
    y = net.add([n, e, t], "Reshape (%s, %s)" % (y, net.ints(n, e, t)))
    y = net.add([n, t, e], "Transpose <perm = [0, 2, 1]> (%s)" % y)
    if net.rng.random() < 0.5 and n == 1:       # a class token
        y = net.add([n, t + 1, e], "Concat <axis = 1> (%s, %s)"
                    % (net.weight([1, 1, e], 4), y))
        t += 1
    if net.rng.random() < 0.5:
        y = net.add([n, t, e], "Add (%s, %s)" % (y, net.real([1, t, e])))
    net.kind = "tokens"
    return y


def head(net, x):
    """the end of a classifier"""
    rng, dims = net.rng, net.dims[x]
    style = rng.randrange(4)
    if style == 0:
        x = reduction(net, x)
        dims = net.dims[x]
    elif style == 1 and net.kind == "tokens" and len(dims) == 3:
        x = net.add([dims[0], dims[2]], "Gather <axis = 1> (%s, int64 {0})"
                    % x)
        dims = net.dims[x]
    if not dims:
        return x
    flat = size(dims) // dims[0]
    if flat > 3000:
        return x
    if len(dims) != 2:
        x = net.add([dims[0], flat], "Flatten <axis = 1> (%s)" % x)
    out = rng.choice([1, 2, 10])
    if rng.random() < 0.5:
        return net.add([dims[0], out], "Gemm <transB = 1> (%s, %s, %s)"
                       % (x, net.weight([out, flat]), net.real([out])))
    return net.add([dims[0], out], "MatMul (%s, %s)"
                   % (x, net.weight([flat, out], flat)))


IMAGE = [conv] * 9 + [pool] * 3 + [activation] * 2 + [elementwise] * 4 + \
    [concat, split, reduction, excite, center, upsample, transposed, pad,
     transpose_conv, norm]
TOKENS = [mlp] * 4 + [attention] * 3 + [norm, dense, elementwise, activation,
                                       reduction, center, concat, split,
                                       transposed]


REDUCE = [reduction, reductions, spread, excite, center, reduction]


def state(net, x):
    """a cache of rows: the oldest go, new ones come (--state)"""
    rng, dims = net.rng, net.dims[x]
    axis = rng.choice([1, 2])
    old = rng.randint(1, 6)
    cache = list(dims)
    cache[axis] = old
    name = net.input(cache, "past_c")
    net.order.remove(name)
    both = list(dims)
    both[axis] += old
    c = net.add(both, "Concat <axis = %d> (%s, %s)" % (axis, name, x),
                net.codes, 0.02)
    p = net.add(cache, "Slice (%s, %s, %s, %s)"
                % (c, net.ints(dims[axis]), net.ints(both[axis]),
                   net.ints(axis)), net.codes, 0.02)
    # the same grid as the input
    zp = net.inputs[-1].split("@q")[1].split(")")[0] if net.codes else ""
    for n in (c, p):
        if net.codes:
            before, after = net.values[n].split("@q")
            net.values[n] = before + "@q" + zp + ")" + after.split(")")[1]
    net.flags.add("state")
    net.cache = p
    return c


def image(net):
    rng = net.rng
    net.kind = "image"
    x = net.input([rng.choice([1, 1, 1, 1, 2]), rng.choice([1, 2, 3, 3, 4]),
                   rng.randint(3, 26), rng.randint(3, 26)])
    build(net, x, IMAGE, rng.randint(1, 9))


def signal(net):
    rng = net.rng
    net.kind = "signal"
    x = net.input([rng.choice([1, 1, 2]), rng.randint(1, 6),
                   rng.randint(4, 60)])
    build(net, x, IMAGE, rng.randint(1, 7))


def tokens(net):
    rng = net.rng
    net.kind = "tokens"
    x = net.input([rng.choice([1, 1, 1, 2]), rng.randint(2, 20),
                   rng.choice([4, 6, 8, 12, 16])])
    build(net, x, TOKENS, rng.randint(1, 4))


def vision(net):
    rng = net.rng
    net.kind = "image"
    x = net.input([1, rng.choice([1, 3]), rng.randint(4, 24),
                   rng.randint(4, 24)])
    for _ in range(rng.choice([0, 0, 1, 2])):
        x = conv(net, x)
    x = to_tokens(net, x)
    if net.dims[x][1] > 80:
        return tokens(net.again())
    build(net, x, TOKENS, rng.randint(1, 3))


def build(net, x, menu, steps):
    rng = net.rng
    rank = len(net.dims[x])
    if rng.random() < 0.06 and net.kind != "image":
        x = state(net, x)
    menu = menu + [spread] + (REDUCE * 3 if rng.random() < net.reduce else [])
    for _ in range(steps):
        x = net.any(lambda d: len(d) == rank and size(d) < 6000 and
                    (rank < 4 or min(d[2:]) > 1 or rng.random() < 0.1)) or x
        step = rng.choice(menu)
        step(net, x)
    if rng.random() < 0.4:
        head(net, net.order[-1])


def outputs(net):
    """the last value, the cache, now and then a value between"""
    out = [net.order[-1]]
    if not net.values:
        out = [net.add(net.dims[net.order[-1]], "Relu (%s)" % net.order[-1])]
    if "state" in net.flags and net.cache not in out:
        out.append(net.cache)
    if net.rng.random() < 0.15:
        more = net.rng.choice(list(net.values))
        if more not in out:
            out.append(more)
    return out


def random_net(rng, reduce=0.15):
    """`reduce`: how many are full of sums and means"""
    net = Net(rng)
    net.reduce = reduce
    rng.choice([image, image, image, signal, tokens, vision])(net)
    return net, outputs(net)
