#!/usr/bin/env python3
"""Vision transformers of given shapes with random weights, as text.

usage: vit.py SHAPE [--joint] [-o FILE.mcu]    SHAPE: tiny, small, base (DeiT
at 224 x 224, patches of 16) or mcuformer (E 216, 12 layers, 4 heads of 64,
patches of 20 at 240 x 240, every linear layer three factors of rank 0.9).
With --joint one product makes queries, keys and values.

Their accuracy means nothing; shapes, memory and work are the real ones.
`vit.py SHAPE --images N -o FILE.npy` writes N random images to calibrate with.
"""
import argparse
import random
import struct
import sys

SHAPES = {                      # side, patch, E, heads, width of a head, F
    "tiny": (224, 16, 192, 3, 64, 768),
    "small": (224, 16, 384, 6, 64, 1536),
    "base": (224, 16, 768, 12, 64, 3072),
    "mcuformer": (240, 20, 216, 4, 64, 864),
}
LAYERS = 12


class Text:
    """Declarations and nodes; weights are numbered by their seeds."""

    def __init__(self):
        self.constants, self.nodes, self.seed = [], [], 0

    def weight(self, name, dims, deviation):
        self.seed += 1
        rule = f"@random({self.seed}, {deviation:.5g})"
        self.constants.append(f"float[{','.join(map(str, dims))}] {name} = "
                              f"{rule if deviation else '@zeros'}")

    def node(self, line):
        self.nodes.append(line)

    def linear(self, y, x, n, m, rank=0):
        """y = x W + b; with a rank, W = V S U as MCUFormer trains them."""
        spread = n ** -0.5
        if not rank:
            self.weight(f"{y}_w", (n, m), spread)
            self.node(f"{y}_p = MatMul ({x}, {y}_w)")
        else:
            self.weight(f"{y}_v", (n, rank), spread)
            self.weight(f"{y}_s", (rank, rank), rank ** -0.5)
            self.weight(f"{y}_u", (rank, m), rank ** -0.5)
            self.node(f"{y}_1 = MatMul ({x}, {y}_v)")
            self.node(f"{y}_2 = MatMul ({y}_1, {y}_s)")
            self.node(f"{y}_p = MatMul ({y}_2, {y}_u)")
        self.weight(f"{y}_b", (m,), 0.1)
        self.node(f"{y} = Add ({y}_p, {y}_b)")

    def norm(self, y, x, n):
        self.constants.append(f"float[{n}] {y}_g = "
                              "{" + ", ".join(["1.0"] * n) + "}")
        self.weight(f"{y}_b", (n,), 0.1)
        self.node(f"{y} = LayerNormalization <axis = -1, epsilon = 1e-6> "
                  f"({x}, {y}_g, {y}_b)")


def attention(t, x, i, tokens, e, heads, d, ranks, joint):
    c, rank = heads * d, ranks[0]
    t.norm(f"n{i}", x, e)
    if joint:
        t.linear(f"qkv{i}", f"n{i}", e, 3 * c, rank)
        t.node(f"r{i} = Reshape (qkv{i}, int64[5] "
               f"{{1, {tokens}, 3, {heads}, {d}}})")
        t.node(f"t{i} = Transpose <perm = [2, 0, 3, 1, 4]> (r{i})")
        for k, name in enumerate("qkv"):
            t.node(f"{name}h{i} = Gather <axis = 0> (t{i}, int64 {{{k}}})")
    else:
        for name in "qkv":
            t.linear(f"{name}{i}", f"n{i}", e, c, rank)
            t.node(f"{name}r{i} = Reshape ({name}{i}, int64[4] "
                   f"{{1, {tokens}, {heads}, {d}}})")
            t.node(f"{name}h{i} = Transpose <perm = [0, 2, 1, 3]> "
                   f"({name}r{i})")
    t.node(f"kt{i} = Transpose <perm = [0, 1, 3, 2]> (kh{i})")
    t.node(f"s{i} = MatMul (qh{i}, kt{i})")
    t.node(f"sc{i} = Mul (s{i}, float {{{d ** -0.5}}})")
    t.node(f"a{i} = Softmax <axis = -1> (sc{i})")
    t.node(f"c{i} = MatMul (a{i}, vh{i})")
    t.node(f"ct{i} = Transpose <perm = [0, 2, 1, 3]> (c{i})")
    t.node(f"cr{i} = Reshape (ct{i}, int64[3] {{1, {tokens}, {c}}})")
    t.linear(f"o{i}", f"cr{i}", c, e, rank)
    t.node(f"x{i}a = Add ({x}, o{i})")


def vit(shape, joint):
    side, patch, e, heads, d, f = SHAPES[shape]
    low = shape == "mcuformer"
    ranks = (int(256 * 0.9), int(min(e, f) * 0.9)) if low else (0, 0)
    grid = side // patch
    tokens = grid * grid + 1
    t = Text()
    t.weight("pe_w", (e, 3, patch, patch), (3 * patch * patch) ** -0.5)
    t.weight("pe_b", (e,), 0.1)
    t.weight("cls", (1, 1, e), 0.5)
    t.weight("pos", (1, tokens, e), 0.5)
    t.node(f"pe = Conv <strides = [{patch}, {patch}]> (image, pe_w, pe_b)")
    t.node(f"per = Reshape (pe, int64[3] {{1, {e}, {grid * grid}}})")
    t.node("pet = Transpose <perm = [0, 2, 1]> (per)")
    t.node("pec = Concat <axis = 1> (cls, pet)")
    t.node("x = Add (pec, pos)")
    x = "x"
    for i in range(LAYERS):
        attention(t, x, i, tokens, e, heads, d, ranks, joint)
        t.norm(f"m{i}", f"x{i}a", e)
        t.linear(f"h{i}", f"m{i}", e, f, ranks[1])
        t.node(f"g{i} = Gelu (h{i})")
        t.linear(f"f{i}", f"g{i}", f, e, ranks[1])
        t.node(f"x{i}b = Add (x{i}a, f{i})")
        x = f"x{i}b"
    t.norm("last", x, e)
    t.node("token = Gather <axis = 1> (last, int64 {0})")
    t.linear("logits", "token", e, 1000)
    return (f"{shape} (float[1,3,{side},{side}] image) => "
            "(float[1,1000] logits)\n<\n  " + ",\n  ".join(t.constants) +
            "\n>\n{\n  " + "\n  ".join(t.nodes) + "\n}\n")


def images(shape, count):
    """A .npy of float32, about normal."""
    side = SHAPES[shape][0]
    rng = random.Random(1)
    head = ("{'descr': '<f4', 'fortran_order': False, 'shape': "
            f"({count}, 3, {side}, {side}), }}")
    head += " " * (-(len(head) + 11) % 64) + "\n"
    data = bytearray(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) +
                     head.encode())
    for _ in range(count * 3 * side):
        data += struct.pack(f"<{side}f",
                            *(rng.gauss(0, 1) for _ in range(side)))
    return bytes(data)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("shape", choices=SHAPES)
    p.add_argument("--joint", action="store_true")
    p.add_argument("--images", type=int, default=0)
    p.add_argument("-o")
    args = p.parse_args()
    data = images(args.shape, args.images) if args.images else \
        vit(args.shape, args.joint).encode()
    if args.o:
        with open(args.o, "wb") as out:
            out.write(data)
    else:
        sys.stdout.buffer.write(data)


if __name__ == "__main__":
    main()
