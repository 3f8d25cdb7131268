"""random_steps.py - random networks in the text form, their parts.

A network is of one kind: an image (4 axes), a signal (3 axes, channels
first) or tokens (3 axes, features last). Each step takes one of the last few
values, mostly the last one, so that there are residuals, concatenations and
values with several readers. In networks of codes, values have types
@q(scale, zp); some of them are floats all the same.
"""


class Net:
    def __init__(self, rng):
        self.rng = rng
        self.again()

    def again(self):
        """nothing yet"""
        rng = self.rng
        self.codes = rng.random() < 0.55
        self.mixed = self.codes and rng.random() < 0.25
        self.inputs, self.consts, self.values, self.body = [], [], {}, []
        self.dims = {}                  # of every value
        self.order = []                 # values, as they were made
        self.flags = set()
        return self

    def type(self, dims, name, codes=None, scale=None):
        shape = ",".join(str(d) for d in dims)
        if codes is None:
            codes = self.codes and not (self.mixed and
                                        self.rng.random() < 0.2)
        if not codes:
            return "float[%s] %s" % (shape, name)
        return "i8[%s] @q(%g, %d) %s" % (shape, scale or 0.05,
                                         self.rng.randint(-9, 9), name)

    def input(self, dims, name="x"):
        self.inputs.append(self.type(dims, name, self.codes, 0.02))
        self.dims[name] = dims
        self.order.append(name)
        return name

    def weight(self, dims, fan=None):
        """random weights that keep the magnitude of what they multiply"""
        name = "w%d" % len(self.consts)
        fan = fan or max(1, size(dims) // dims[0])
        shape = ",".join(str(d) for d in dims)
        seed = self.rng.randint(1, 9999)
        if self.codes and not (self.mixed and self.rng.random() < 0.2):
            scale = 1.0 / (20 * fan ** 0.5)
            axis = self.rng.choice([0, len(dims) - 1])
            if self.rng.random() < 0.3 and 1 < len(dims) and \
                    dims[axis] < 40:
                axis = axis if len(dims) == 2 else 0
                scales = ", ".join("%.3g" % (scale * self.rng.uniform(.5, 2))
                                   for _ in range(dims[axis]))
                self.consts.append("i8[%s] @q({%s}, 0, %d) %s = @random(%d, "
                                   "30)" % (shape, scales, axis, name, seed))
            else:
                self.consts.append("i8[%s] @q(%.3g) %s = @random(%d, 30)"
                                   % (shape, scale, name, seed))
        else:
            self.consts.append("float[%s] %s = @random(%d, %.3g)"
                               % (shape, name, seed, 1.2 / fan ** 0.5))
        return name

    def real(self, dims, deviation=0.3):
        """float constants, of biases and norms"""
        name = "w%d" % len(self.consts)
        self.consts.append("float[%s] %s = @random(%d, %g)"
                           % (",".join(str(d) for d in dims), name,
                              self.rng.randint(1, 9999), deviation))
        return name

    def ints(self, *numbers):
        return "int64[%d] {%s}" % (len(numbers),
                                   ", ".join(str(n) for n in numbers))

    def add(self, dims, expression, codes=None, scale=None):
        name = "v%d" % len(self.values)
        self.values[name] = self.type(dims, name, codes, scale)
        self.body.append("  %s = %s" % (name, expression))
        self.dims[name] = list(dims)
        self.order.append(name)
        return name

    def any(self, wanted=lambda d: True, near=5):
        """a value: the last one, or one of those before it"""
        names = [n for n in self.order[-near:] if wanted(self.dims[n])]
        if not names:
            return None
        return names[-1] if self.rng.random() < 0.7 else \
            self.rng.choice(names)

    def text(self, outputs):
        inner = self.consts + [t for n, t in self.values.items()
                               if n not in outputs]
        return ('<ir_version: 10, opset_import: ["" : 20]>\n'
                "net (%s) => (%s)\n<\n  %s\n>\n{\n%s\n}\n"
                % (", ".join(self.inputs),
                   ", ".join(self.values[n] for n in outputs),
                   ",\n  ".join(inner), "\n".join(self.body)))


def size(dims):
    n = 1
    for d in dims:
        n *= d
    return n


def window(net, hw, most=5, pool=False):
    """kernel, strides, dilations, pads, result of a window that fits"""
    rng, axes = net.rng, len(hw)
    while True:
        k = [rng.randint(1, most) for _ in hw]
        s = [rng.choice([1, 1, 1, 2, 2, 3]) for _ in hw]
        d = [1 if pool else rng.choice([1, 1, 1, 2, 3]) for _ in hw]
        p = [rng.randint(0, k[i % axes] - 1) * rng.choice([0, 1, 1])
             for i in range(2 * axes)]
        if rng.random() < 0.5:          # as people write them
            k, d = [rng.choice([1, 3, 3, 5])] * axes, [1] * axes
            s = [rng.choice([1, 1, 2])] * axes
            p = [k[0] // 2] * (2 * axes)
        y = [(hw[i] + p[i] + p[i + axes] - (k[i] - 1) * d[i] - 1) // s[i] + 1
             for i in range(axes)]
        if min(y) >= 1 and all(hw[i] + p[i] + p[i + axes] > (k[i] - 1) * d[i]
                               for i in range(axes)):
            return k, s, d, p, y


def conv(net, x, act=None):
    rng, dims = net.rng, net.dims[x]
    c, hw = dims[1], dims[2:]
    k, s, d, p, y = window(net, hw)
    style = rng.randrange(5)
    if style == 0:                      # pointwise
        k, s, d, p, y = [1] * len(hw), [1] * len(hw), [1] * len(hw), \
            [0] * (2 * len(hw)), hw
    group, out = 1, rng.choice([1, 2, 3, 4, 5, 8, 16, 17, 24])
    if style in (1, 2):                 # depthwise
        group, out = c, c * rng.choice([1, 1, 1, 2])
    elif style == 3:
        group = rng.choice([g for g in range(1, c + 1) if c % g == 0])
        out = group * rng.randint(1, 4)
    bias = ", " + net.real([out]) if rng.random() < 0.5 and not net.codes \
        else ""
    v = net.add([dims[0], out] + y,
                "Conv <strides = %s, pads = %s, dilations = %s, group = %d> "
                "(%s, %s%s)" % (s, p, d, group, x,
                                net.weight([out, c // group] + k), bias))
    return activation(net, v) if rng.random() < 0.4 else v


def activation(net, x):
    op = net.rng.choice(["Relu", "Relu", "HardSwish", "Sigmoid", "Tanh",
                         "LeakyRelu <alpha = 0.1>", "Gelu", "Clip"])
    if op == "Clip":
        return net.add(net.dims[x], "Clip (%s, float {-1.0}, float {1.0})"
                       % x)
    return net.add(net.dims[x], "%s (%s)" % (op, x))


def pool(net, x):
    rng, dims = net.rng, net.dims[x]
    k, s, d, p, y = window(net, dims[2:], 4, True)
    op = rng.choice(["MaxPool", "AveragePool"])
    more = ", count_include_pad = 1" if op == "AveragePool" and \
        rng.random() < 0.5 else ""
    return net.add(dims[:2] + y, "%s <kernel_shape = %s, strides = %s, pads ="
                   " %s%s> (%s)" % (op, k, s, p, more, x))


def elementwise(net, x):
    """two values of one shape, or one and a constant"""
    rng, dims = net.rng, net.dims[x]
    op = rng.choice(["Add", "Add", "Add", "Mul", "Sub", "Max"])
    others = [n for n in net.order if net.dims[n] == dims and n != x]
    if others and rng.random() < 0.75:
        pair = [x, rng.choice(others[-4:])]
        rng.shuffle(pair)
    else:
        c = [d if rng.random() < 0.6 else 1 for d in dims]
        pair = [x, net.weight(c, 4) if net.codes else net.real(c)]
    return net.add(dims, "%s (%s)" % (op, ", ".join(pair)))


def concat(net, x):
    rng, dims = net.rng, net.dims[x]
    axis = rng.choice([1, 1, 1, 2, len(dims) - 1])
    same = [n for n in net.order[-6:] if len(net.dims[n]) == len(dims) and
            all(net.dims[n][i] == dims[i] for i in range(len(dims))
                if i != axis)]
    same = same or [x]
    parts = [x] + [rng.choice(same) for _ in range(rng.randint(1, 2))]
    out = list(dims)
    out[axis] = sum(net.dims[n][axis] for n in parts)
    if out[axis] > 64:
        return None
    return net.add(out, "Concat <axis = %d> (%s)" % (axis, ", ".join(parts)))


def split(net, x):
    rng, dims = net.rng, net.dims[x]
    axis = rng.choice([1, 1, 2, len(dims) - 1])
    if dims[axis] < 2:
        return None
    at = rng.randint(1, dims[axis] - 1)
    if rng.random() < 0.5:
        lo, hi = (0, at) if rng.random() < 0.5 else (at, dims[axis])
        out = list(dims)
        out[axis] = hi - lo
        return net.add(out, "Slice (%s, %s, %s, %s)" % (
            x, net.ints(lo), net.ints(hi), net.ints(axis)))
    names, parts = [], (at, dims[axis] - at)
    for n in parts:
        out = list(dims)
        out[axis] = n
        name = "v%d" % len(net.values)
        net.values[name] = net.type(out, name)
        net.dims[name] = out
        net.order.append(name)
        names.append(name)
    net.body.append("  %s = Split <axis = %d> (%s, %s)"
                    % (", ".join(names), axis, x, net.ints(*parts)))
    return names[rng.randrange(2)]


def reduction(net, x):
    """over some or all axes; its result is read beside x, or alone"""
    rng, dims = net.rng, net.dims[x]
    if len(dims) < 3:
        return x
    spatial = list(range(2, len(dims))) if net.kind != "tokens" else [1]
    style = rng.randrange(6)
    keep = rng.random() < 0.7
    if style == 0 and net.kind != "tokens":
        return net.add(dims[:2] + [1] * len(spatial),
                       "%s (%s)" % (rng.choice(["GlobalAveragePool",
                                                "GlobalAveragePool",
                                                "GlobalMaxPool"]), x))
    if style == 1 and net.kind != "tokens":
        return net.add(dims[:2] + [1] * len(spatial),
                       "AveragePool <kernel_shape = %s> (%s)"
                       % (dims[2:], x))
    axes = spatial
    if style > 3:
        axes = sorted(rng.sample(range(1, len(dims)),
                                 rng.randint(1, len(dims) - 1)))
    op = rng.choice(["ReduceMean", "ReduceMean", "ReduceMean", "ReduceSum",
                     "ReduceMax", "ReduceMin", "ReduceL2", "ReduceSumSquare"]
                    if not net.codes else
                    ["ReduceMean", "ReduceMean", "ReduceSum", "ReduceMax"])
    out = [1 if i in axes else d for i, d in enumerate(dims)]
    written = [a - len(dims) if rng.random() < 0.3 else a for a in axes]
    if not keep:
        out = [d for i, d in enumerate(dims) if i not in axes]
    return net.add(out, "%s <keepdims = %d> (%s, %s)"
                   % (op, keep, x, net.ints(*written)),
                   scale=1.0 if op == "ReduceSum" else None)


def spread(net, x):
    """a value, and one that is broadcast to it"""
    dims = net.dims[x]
    small = [n for n in net.order if len(net.dims[n]) == len(dims) and
             net.dims[n] != dims and
             all(a in (1, b) for a, b in zip(net.dims[n], dims))]
    if not small:
        return reductions(net, x)
    pair = [x, net.rng.choice(small[-3:])]
    net.rng.shuffle(pair)
    return net.add(dims, "%s (%s)" % (net.rng.choice(["Add", "Mul", "Sub"]),
                                      ", ".join(pair)))


def reductions(net, x):
    for _ in range(net.rng.randint(1, 3)):
        reduction(net, x)
    return x


def excite(net, x):
    """squeeze and excitation: a mean, two products, x times that"""
    rng, dims = net.rng, net.dims[x]
    axes = list(range(2, len(dims)))
    m = net.add(dims[:2] + [1] * len(axes), "GlobalAveragePool (%s)" % x
                if rng.random() < 0.5 else "ReduceMean <keepdims = 1> (%s, "
                "%s)" % (x, net.ints(*axes)))
    c = dims[1]
    r = max(1, c // 2)
    one = [1] * len(axes)
    h = net.add([dims[0], r] + one, "Conv (%s, %s)"
                % (m, net.weight([r, c] + one)))
    h = net.add(net.dims[h], "Relu (%s)" % h)
    h = net.add([dims[0], c] + one, "Conv (%s, %s)"
                % (h, net.weight([c, r] + one)))
    h = net.add(net.dims[h], "Sigmoid (%s)" % h, scale=0.01)
    return net.add(dims, "Mul (%s, %s)" % (x, h))


def center(net, x):
    """x less its mean, over some axes"""
    dims = net.dims[x]
    axes = [1] if net.kind == "tokens" else list(range(2, len(dims)))
    if net.rng.random() < 0.3:
        axes = [net.rng.randrange(1, len(dims))]
    m = net.add([1 if i in axes else d for i, d in enumerate(dims)],
                "ReduceMean <keepdims = 1> (%s, %s)" % (x, net.ints(*axes)))
    y = net.add(dims, "Sub (%s, %s)" % (x, m))
    if net.rng.random() < 0.5:
        return y
    q = net.add(dims, "Mul (%s, %s)" % (y, y))
    q = net.add(net.dims[m], "ReduceMean <keepdims = 1> (%s, %s)"
                % (q, net.ints(*axes)))
    return net.add(dims, "Div (%s, %s)" % (
        y, net.add(net.dims[q], "Sqrt (%s)" % net.add(
            net.dims[q], "Add (%s, float {0.1})" % q, False), False))) \
        if not net.codes else net.add(dims, "Add (%s, %s)" % (q, y))


def upsample(net, x):
    dims, rng = net.dims[x], net.rng
    f = [rng.choice([1, 2, 2, 3]) for _ in dims[2:]]
    out = dims[:2] + [d * g for d, g in zip(dims[2:], f)]
    if size(out) > 12000:
        return None
    mode = "nearest" if net.codes else rng.choice(["nearest", "linear"])
    how = rng.choice(["asymmetric", "half_pixel"])
    return net.add(out, "Resize <mode = \"%s\", coordinate_transformation_"
                   "mode = \"%s\", nearest_mode = \"floor\"> (%s, , float[%d]"
                   " {1.0, 1.0, %s})" % (mode, how, x, len(dims), ", ".join(
                       "%d.0" % g for g in f)))


def transposed(net, x):
    """a transpose, some step, and perhaps back"""
    rng, dims = net.rng, net.dims[x]
    perm = list(range(1, len(dims)))
    rng.shuffle(perm)
    perm = [0] + perm
    t = net.add([dims[p] for p in perm], "Transpose <perm = %s> (%s)"
                % (perm, x))
    if rng.random() < 0.5:
        t = activation(net, t)
    if rng.random() < 0.6:
        back = [perm.index(i) for i in range(len(dims))]
        t = net.add(dims, "Transpose <perm = %s> (%s)" % (back, t))
    return t


def pad(net, x):
    rng, dims = net.rng, net.dims[x]
    axes = len(dims)
    p = [0, 0] + [rng.randint(0, 2) for _ in dims[2:]]
    q = [0, 0] + [rng.randint(0, 2) for _ in dims[2:]]
    out = [d + a + b for d, a, b in zip(dims, p, q)]
    mode = rng.choice(["constant", "constant", "edge", "reflect"])
    if mode == "reflect" and any(a >= d or b >= d
                                 for a, b, d in zip(p, q, dims)):
        mode = "edge"
    assert axes == len(p)
    return net.add(out, "Pad <mode = \"%s\"> (%s, %s)"
                   % (mode, x, net.ints(*(p + q))))


def transpose_conv(net, x):
    rng, dims = net.rng, net.dims[x]
    k, s = rng.randint(1, 3), rng.randint(1, 2)
    out = rng.choice([1, 3, 4])
    y = [(d - 1) * s + k for d in dims[2:]]
    if size(y) * out > 8000:
        return None
    return net.add([dims[0], out] + y, "ConvTranspose <strides = %s> (%s, %s)"
                   % ([s] * len(y), x,
                      net.weight([dims[1], out] + [k] * len(y))))
