#!/usr/bin/env python3
"""bands.py BUILD [--rounds N] [--seed S] [--keep FILE] - inputs in bands.

Random networks over an image (planar, or in camera order; floats or int8) or
over a sequence: convolutions and pools with random windows, strides, pads and
dilations, patches, residuals. Each is compiled with --stream-input; the C is
built with strict warnings and sanitizers, fed band by band, and compared with
the interpreter, which takes the whole input; its plan goes through
--check-plan, and its text after every pass gives the same C. A network may
be refused only with words about --stream-input, and seldom.
"""
import argparse
import os
import random
import subprocess
import sys
import tempfile

CFLAGS = ("-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all "
          "-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow "
          "-Wmissing-prototypes -Wdouble-promotion -Werror")


class Net:
    def __init__(self, rng):
        self.rng, self.codes = rng, rng.random() < 0.5
        self.weights, self.values, self.body = [], [], []
        self.count = 0

    def type(self, dims, name, scale=0.05):
        shape = ",".join(str(d) for d in dims)
        if self.codes:
            return "i8[%s] @q(%g, %d) %s" % (shape, scale,
                                             self.rng.randint(-3, 3), name)
        return "float[%s] %s" % (shape, name)

    def weight(self, dims):
        name = "w%d" % len(self.weights)
        shape = ",".join(str(d) for d in dims)
        self.weights.append(
            ("i8[%s] @q(0.02) %s = @random(%d, 30)" if self.codes else
             "float[%s] %s = @random(%d, 0.3)")
            % (shape, name, self.rng.randint(1, 999)))
        return name

    def add(self, dims, expression):
        name = "v%d" % self.count
        self.count += 1
        self.values.append(self.type(dims, name))
        self.body.append("  %s = %s" % (name, expression))
        return name

    def window(self, h, w, most=5):
        while True:
            k = [self.rng.randint(1, most) for _ in range(2)]
            s = [self.rng.choice([1, 1, 2, 2, 3]) for _ in range(2)]
            d = [self.rng.choice([1, 1, 1, 2]) for _ in range(2)]
            p = [self.rng.randint(0, (k[i % 2] - 1) * d[i % 2] // 2 + 1)
                 for i in range(4)]
            p = [min(p[i], k[i % 2] - 1) for i in range(4)]
            if self.rng.random() < 0.3:
                k[1], s[1], d[1], p[1], p[3] = k[0], s[0], d[0], p[0], p[2]
            y = [((h, w)[i] + p[i] + p[i + 2] - (k[i] - 1) * d[i] - 1)
                 // s[i] + 1 for i in range(2)]
            if min(y) >= 1 and ((h, w)[0] > (k[0] - 1) * d[0] and
                                (h, w)[1] > (k[1] - 1) * d[1]):
                return k, s, d, p, y


def layer(net, x, dims):
    n, c, h, w = dims
    kind = net.rng.randrange(6)
    if kind == 4:
        return net.add(dims, "Relu (%s)" % x), dims
    k, s, d, p, y = net.window(h, w)
    at = "strides = %s, pads = %s" % (s, p)
    if kind == 5 and d == [1, 1]:
        op = net.rng.choice(["MaxPool", "AveragePool"])
        dims = [n, c] + y
        return net.add(dims, "%s <kernel_shape = %s, %s> (%s)"
                       % (op, k, at, x)), dims
    if kind == 3:                       # a residual around a convolution
        k = net.rng.choice([1, 3])
        v = net.add(dims, "Conv <pads = [%d, %d, %d, %d]> (%s, %s)"
                    % (k // 2, k // 2, k // 2, k // 2, x,
                       net.weight([c, c, k, k])))
        return net.add(dims, "Add (%s, %s)" % (x, v)), dims
    group = c if kind == 2 else 1
    out = c if kind == 2 else net.rng.choice([1, 3, 4, 8])
    dims = [n, out] + y
    v = net.add(dims, "Conv <%s, dilations = %s, group = %d> (%s, %s)"
                % (at, d, group, x, net.weight([out, c // group] + k)))
    return v, dims


def patches(net, x, dims):
    n, c, h, w = dims
    k = [net.rng.choice([i for i in range(1, d + 1) if d % i == 0])
         for d in (h, w)]
    dims = [n, 8, h // k[0], w // k[1]]
    return net.add(dims, "Conv <strides = %s> (%s, %s)"
                   % (k, x, net.weight([8, c] + k))), dims


def image(net):
    rng = net.rng
    dims = [1, rng.choice([1, 1, 3, 4]), rng.randint(4, 40), rng.randint(3, 9)]
    first, x = dims, "x"
    if rng.random() < 0.25:
        x, dims = patches(net, x, dims)
    for _ in range(rng.randint(1, 5)):
        if min(dims[2:]) < 2:
            break
        x, dims = layer(net, x, dims)
    if not net.count:
        x, dims = layer(net, x, dims)
    return first, rng.choice([[], [], ["--input-layout", "nhwc"]])


def sequence(net):
    rng = net.rng
    dims, x = [1, rng.randint(2, 30), rng.randint(2, 9)], "x"
    first = dims
    for _ in range(rng.randint(1, 3)):
        out = rng.randint(2, 9)
        x = net.add([1, dims[1], out], "MatMul (%s, %s)"
                    % (x, net.weight([dims[2], out])))
        dims = [1, dims[1], out]
        if rng.random() < 0.5:
            x = net.add(dims, "Relu (%s)" % x)
    return first, []


def text(net, first):
    inner = ",\n  ".join(net.weights + net.values[:-1])
    return ('<ir_version: 10, opset_import: ["" : 20]>\n'
            "net (%s) => (%s)\n<\n  %s\n>\n{\n%s\n}\n"
            % (net.type(first, "x", 0.02), net.values[-1], inner,
               "\n".join(net.body)))


def run(*args, **env):
    p = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       env=dict(os.environ, **env))
    return p.returncode, p.stdout.decode(errors="replace")


def good(*args, **env):
    rc, said = run(*args, **env)
    if rc:
        raise Exception("%s: exit %d: %s" % (" ".join(args[1:]), rc, said))
    return said


def one(mcufc, seed, d, keep):
    """False: refused, as it may be"""
    rng = random.Random(seed)
    net = Net(rng)
    first, options = image(net) if rng.random() < 0.85 else sequence(net)
    options += rng.choice([[], [], ["--optimize", "ram"], ["--no-reuse"],
                           ["--optimize", "speed"], ["--arena", "2K"]])
    options += ["--stream-input", "-q", "--name", "m"]
    path = d + "/net.mcu"
    for name in (path, keep):
        if name:
            open(name, "w").write("# %s\n%s" % (" ".join(options),
                                                text(net, first)))
    rc, said = run(mcufc, path, "-o", d + "/m.c", "--report=" + d + "/m.json",
                   *options)
    if rc == 1 and "--stream-input" in said and "internal" not in said:
        return False
    if rc == 4:                         # over --arena: without it, then
        i = options.index("--arena")
        options[i:i + 2] = []
        rc, said = run(mcufc, path, "-o", d + "/m.c",
                       "--report=" + d + "/m.json", *options)
    if rc:
        raise Exception(said)
    good(mcufc, path, "--check-plan", d + "/m.json", "-q")
    good(mcufc, path, "--verify", *options, CFLAGS=CFLAGS, MCUFC_CHECK="1")
    good(mcufc, path, "--dump-after", "stream", "-o", d + "/s.mcu", *options)
    options = [o for o in options if o not in ("--input-layout", "nhwc")]
    good(mcufc, d + "/s.mcu", "-o", d + "/m2.c", *options)
    a, b = (open(d + f).read().split("_EINVAL", 1)[1]
            for f in ("/m.c", "/m2.c"))
    if a != b:
        raise Exception("the text after `stream` gives other C")
    return True


def main():
    p = argparse.ArgumentParser()
    p.add_argument("build")
    p.add_argument("--rounds", type=int, default=30)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--keep")
    a = p.parse_args()
    mcufc = os.path.abspath(a.build) + "/mcufc"
    passed = failed = refused = 0
    with tempfile.TemporaryDirectory() as d:
        for seed in range(a.seed, a.seed + a.rounds):
            try:
                if one(mcufc, seed, d, a.keep):
                    passed += 1
                else:
                    refused += 1
            except Exception as x:
                print("FAIL bands: seed %d: %s" % (seed, str(x)[:2000]))
                failed += 1
    if refused * 5 > a.rounds:
        print("FAIL bands: %d of %d refused" % (refused, a.rounds))
        failed += 1
    print("bands: %d passed, %d failed, %d skipped" % (passed, failed, 0))
    sys.exit(failed > 0)


main()
