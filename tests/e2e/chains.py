#!/usr/bin/env python3
"""chains.py BUILD [--rounds N] - the search for loops against the exact best.

For chains of convolutions the best loops can be found by trying all: a chain
is a path of stretches, each a loop over rows with a tile, cut into loops over
columns (msf-CNN, arXiv 2505.11483, searches paths of this kind). For random
chains this program finds the least peak for a given number of products, in
its own few lines of arithmetic, and compares with the arena that mcufc gets.
What the sum leaves out (scratch, rows that overlaps cost) is allowed for: a
sixteenth and 1 KiB. Some of the chains are verified and their plans checked.
"""
import argparse
import json
import os
import random
import subprocess
import sys

INFINITE = 1 << 60


class Layer:
    def __init__(self, kernel, stride, depthwise, size, cin, cout):
        pad = kernel // 2
        self.kernel, self.stride, self.pad = kernel, stride, pad
        self.depthwise, self.size, self.cin, self.cout = \
            depthwise, size, cin, cout
        self.out = (size + 2 * pad - kernel) // stride + 1
        self.macs = self.out ** 2 * cout * kernel ** 2 * \
            (1 if depthwise else cin)
        self.planar = False

    @classmethod
    def turn(cls, last):
        """The last step: codes lie [H, W, C], the model's output does not."""
        l = cls(1, 1, True, last.out, last.cout, last.cout)
        l.macs, l.planar = 0, True
        return l

    def bytes(self):
        return self.out ** 2 * self.cout


def random_chain(rng):
    size, channels, layers = rng.randrange(20, 41, 4), 3, []

    def add(kernel, stride, depthwise, cout):
        layers.append(Layer(kernel, stride, depthwise, layers[-1].out
                            if layers else size, layers[-1].cout
                            if layers else channels, cout))

    add(3, rng.choice((1, 2)), False, rng.choice((8, 16)))
    for _ in range(rng.randint(1, 3)):
        wide = layers[-1].cout * rng.choice((2, 4, 6))
        add(1, 1, False, wide)
        add(rng.choice((3, 3, 5)), rng.choice((1, 2)), True, wide)
        add(1, 1, False, rng.choice((8, 16, 24)))
    return layers


def text(layers):
    """The chain as codes; weights are random."""
    consts, values, steps, last = [], [], [], "x"
    for i, l in enumerate(layers):
        values.append("i8[1,%d,%d,%d] @q(0.05, %d) v%d"
                      % (l.cout, l.out, l.out, i % 7 - 3, i))
        consts.append("i8[%d,%d,%d,%d] @q(0.01) w%d = @random(%d, 30)"
                      % (l.cout, 1 if l.depthwise else l.cin, l.kernel,
                         l.kernel, i, i + 1))
        steps.append("  v%d = Conv <strides = [%d, %d], pads = [%s], group ="
                     " %d> (%s, w%d)"
                     % (i, l.stride, l.stride, ", ".join([str(l.pad)] * 4),
                        l.cin if l.depthwise else 1, last, i))
        last = "v%d" % i
    return ("<ir_version: 10, opset_import: [\"\" : 20]>\n"
            "g (i8[1,3,%d,%d] @q(0.02, -1) x) => (%s)\n<\n  %s\n>\n{\n%s\n}\n"
            % (layers[0].size, layers[0].size, values[-1],
               ",\n  ".join(consts + values[:-1]), "\n".join(steps)))


def pareto(points):
    """Of (bytes held, bytes in columns, products) those that none beats."""
    kept = []
    for p in sorted(points):
        if not any(q[1] <= p[1] and q[2] <= p[2] for q in kept):
            kept.append(p)
    return kept


def shift(layers, tile, together):
    """How far a stretch's result must begin before its operand: what a turn
    writes ends before what is still to be read, row by row. `together`: in
    one loop over columns, where each column reads all of the turn's rows."""
    first, last = layers[0], layers[-1]
    step, above = 1, 0
    for l in reversed(layers):
        above = above * l.stride + l.pad
        step *= l.stride
    into, out = first.size * first.cin, last.out * last.cout
    ahead = 0 if together else tile
    if last.planar:             # planes are written all over
        return last.bytes()
    return max([0] + [(p + tile) * out -
                      max(0, (p + ahead) * step - above) * into
                      for p in range(0, last.out - ahead, tile)])


def single_shift(l):
    """The same for one layer alone, pixel by pixel."""
    most = l.bytes() if l.planar else 0
    for y in range(0 if l.planar else l.out):
        top = max(0, y * l.stride - l.pad)
        for x in range(l.out - 1):
            left = max(0, (x + 1) * l.stride - l.pad)
            most = max(most, (y * l.out + x + 1) * l.cout -
                       (top * l.size + left) * l.cin)
    return most


def window(l, cols):
    """Bytes that a turn copies to have its window in one piece; where columns
    are kept that is at the border only."""
    if l.kernel == 1:
        return 0
    return l.kernel * (l.kernel - (cols == l.kernel)) * l.cin


def stretch(layers, tile):
    """(peak besides what is whole, products made again, all in one loop over
    columns?) of loops over a stretch, all ways to put its layers into loops
    over columns."""
    n = len(layers)
    unit = [1] * n              # rows per position
    for i in range(n - 2, -1, -1):
        unit[i] = unit[i + 1] * layers[i + 1].stride
    held = {0: [(0, 0, 0)]}     # layers in front of i are arranged
    for end in range(1, n + 1):
        points = []
        rows, cols, inner, again = unit[end - 1] * tile, 1, 0, 0
        copied = 0              # windows that are no single piece
        for first in range(end - 1, -1, -1):
            l = layers[first]
            made = min(rows, l.out)
            if first < end - 1:
                inner += made * min(cols, l.out) * l.cout
                again += l.macs * max(0, made / (unit[first] * tile) - 1)
            rows = (rows - 1) * l.stride + l.kernel
            cols = (cols - 1) * l.stride + l.kernel
            copied = max(copied, window(l, cols))
            line = 0
            if first:
                before = layers[first - 1]
                line = min(max(rows, unit[first - 1] * tile), before.out) * \
                    before.out * before.cout
            if (first, end) == (0, n):
                whole = (inner + copied, again, True)
            else:
                more = inner + copied if first < end - 1 else 0
                points += [(h + line, max(c, more), m + again)
                           for h, c, m in held[first]]
        held[end] = pareto(points)
    return [(h + c, m, False) for h, c, m in held[n]] + [whole]


def floor(layers, most):
    """The least peak with at most so many products made again."""
    n = len(layers)
    whole = [layers[0].size ** 2 * layers[0].cin] + \
        [l.bytes() for l in layers]
    edges = {}
    for i in range(n):
        edges[i, i] = [(max(whole[i] + single_shift(layers[i]),
                            whole[i + 1]), 0)]
        for j in range(i + 1, n):
            part, tile = layers[i:j + 1], 1
            edges[i, j] = []
            while tile <= layers[j].out:
                apart = max(whole[i] + shift(part, tile, False), whole[j + 1])
                joint = max(whole[i] + shift(part, tile, True), whole[j + 1])
                edges[i, j] += [(p + (joint if one else apart), m)
                                for p, m, one in stretch(part, tile)]
                tile *= 2

    def work(peak):
        least = [0] + [INFINITE] * n
        for j in range(n):
            for i in range(j + 1):
                for p, m in edges[i, j]:
                    if p <= peak and least[i] + m < least[j + 1]:
                        least[j + 1] = least[i] + m
        return least[n]

    peaks = sorted({p for e in edges.values() for p, _ in e})
    low, high = 0, len(peaks) - 1
    while low < high:
        middle = (low + high) // 2
        if work(peaks[middle]) <= most:
            high = middle
        else:
            low = middle + 1
    return peaks[low]


def run(*words):
    return subprocess.run([str(w) for w in words], capture_output=True,
                          text=True)


def compare(mcufc, out, seed, say):
    """What is wrong with one chain, or None."""
    rng = random.Random(seed)
    layers = random_chain(rng)
    macs = sum(l.macs for l in layers)
    times = rng.choice((1, 1.05, 1.2, 1.5, 3))
    path, report = os.path.join(out, "chain.mcu"), \
        os.path.join(out, "chain.json")
    with open(path, "w") as f:
        f.write(text(layers))
    words = [mcufc, "-q", path, "--io", "quantized", "--optimize", "ram",
             "--max-macs", times, "--input-layout", "nhwc"]
    made = run(*words, "--report=" + report)
    if made.returncode:
        return made.stderr
    with open(report) as f:
        plan = json.load(f)
    arena = plan["arena"]["bytes"]
    best = floor(layers + [Layer.turn(layers[-1])], macs * (times - 1))
    if say:
        print(seed, len(layers), "layers, F", times, "arena", arena, "exact",
              best, "%.1f%%" % (100 * (arena / best - 1)), "work %.3f" %
              (plan["macs"] / macs))
    if plan["macs"] > macs * times * 1.000001:
        return "%d products, more than %g times %d" % (plan["macs"], times,
                                                       macs)
    if arena > best + best // 16 + 1024:
        return "arena %d, the best is %d" % (arena, best)
    if seed % 4 == 0:
        for more in (["--check-plan", report], ["--verify"]):
            done = run(*words, *more)
            if done.returncode:
                return done.stdout + done.stderr
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seed", type=int)
    a = parser.parse_args()
    out = os.path.join(a.build, "chains")
    os.makedirs(out, exist_ok=True)
    failed = 0
    seeds = range(a.rounds) if a.seed is None else [a.seed]
    for seed in seeds:
        wrong = compare(os.path.join(a.build, "mcufc"), out, seed,
                        a.seed is not None or a.rounds > 99)
        if wrong:
            failed += 1
            print("FAIL chain %d: %s" % (seed, wrong.strip()))
    print("chains: %d passed, %d failed, 0 skipped"
          % (len(seeds) - failed, failed))
    sys.exit(failed > 0)


main()
