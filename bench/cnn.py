#!/usr/bin/env python3
"""cnn.py NAME [--plain] - int8 CNNs of inverted bottlenecks as text.

Layer tables of MobileNetV2 (width 0.35, 144x144), MCUNet vww-5fps and MCUNet
320KB; weights are random, so the figures are about memory only. --plain
leaves the residual additions out, as msf-CNN counts these networks.
"""
import sys

MBV2 = """3 16 1 1 1 3
16 24 6 2 1 3/24 24 6 1 1 3
24 32 6 2 1 3/32 32 6 1 1 3/32 32 6 1 1 3
32 64 6 2 1 3/64 64 6 1 1 3/64 64 6 1 1 3/64 64 6 1 1 3
64 96 6 1 1 3/96 96 6 1 1 3/96 96 6 1 1 3
96 160 6 2 1 3/160 160 6 1 1 3/160 160 6 1 1 3
160 320 6 1 1 3"""
VWW = """8 16 6 2 1 3/16 16 3 1 1 3/16 16 3 1 1 3/16 24 3 2 3 7/24 24 6 1 1 3
24 24 5 1 2 5/24 40 6 2 3 7/40 40 6 1 3 7/40 48 6 1 1 3/48 48 4 1 1 3
48 96 5 2 2 5/96 96 5 1 1 3/96 96 4 1 1 3/96 160 3 1 3 7"""
M320 = """8 16 3 2 3 7/16 16 5 1 1 3/16 16 5 1 3 7/16 16 4 1 2 5/16 24 5 2 2 5
24 24 5 1 2 5/24 24 5 1 2 5/24 40 5 2 1 3/40 40 6 1 3 7/40 40 4 1 2 5
40 48 5 1 2 5/48 48 5 1 3 7/48 48 5 1 1 3/48 96 6 2 1 3/96 96 5 1 3 7
96 96 4 1 1 3/96 160 5 1 3 7"""


def blocks(table):
    return [[int(n) for n in b.split()]
            for b in table.replace("\n", "/").split("/")]


class Net:
    def __init__(self, size, residual):
        self.size, self.channels = size, 3
        self.residual, self.last = residual, "x"
        self.lines, self.weights = [], []

    def quant(self, y):
        return "i8[1,%d,%d,%d] @q(0.05, %d) %s" % (
            self.channels, self.size, self.size, len(self.lines) % 7 - 3, y)

    def conv(self, out, k=1, s=1, p=0, depthwise=False):
        i = len(self.weights)
        wide = 1 if depthwise else self.channels
        self.weights.append("i8[%d,%d,%d,%d] @q(0.01) w%d = @random(%d, 30)"
                            % (out, wide, k, k, i, i + 1))
        self.size = (self.size + 2 * p - k) // s + 1
        group = self.channels if depthwise else 1
        self.channels = out
        self.add("Conv <strides = [%d, %d], pads = [%d, %d, %d, %d], "
                 "group = %d> (%s, w%d)"
                 % (s, s, p, p, p, p, group, self.last, i))

    def add(self, expression):
        y = "v%d" % len(self.lines)
        self.lines.append((y, self.quant(y), expression))
        self.last = y

    def bottleneck(self, out, e, s, p, k):
        start, channels = self.last, self.channels
        if e > 1:
            self.conv(channels * e)
        self.conv(self.channels, k, s, p, True)
        self.conv(out)
        if self.residual and s == 1 and channels == out:
            self.add("Add (%s, %s)" % (start, self.last))

    def text(self, size):
        inner = ",\n  ".join(t for _, t, _ in self.lines[:-1])
        body = "\n".join("  %s = %s" % (y, e) for y, _, e in self.lines)
        return ("<ir_version: 10, opset_import: [\"\" : 20]>\n"
                "cnn (i8[1,3,%d,%d] @q(0.02, -1) x) => (%s)\n<\n  %s,\n  %s\n"
                ">\n{\n%s\n}" % (size, size, self.lines[-1][1],
                                 ",\n  ".join(self.weights), inner, body))


def make(name, residual):
    size = {"mbv2": 144, "vww": 80, "320k": 176}[name]
    net = Net(size, residual)
    if name == "mbv2":
        net.conv(int(32 * 0.35), 3, 2, 1)
        for _, out, e, s, p, k in blocks(MBV2):
            net.bottleneck(int(out * 0.35), e, s, p, k)
        net.conv(448)
    else:
        net.conv(16, 3, 2, 1)
        net.conv(16, 3, 1, 1, True)
        net.conv(8)
        for _, out, e, s, p, k in blocks(VWW if name == "vww" else M320):
            net.bottleneck(out, e, s, p, k)
    return net.text(size)


if __name__ == "__main__":
    print(make(sys.argv[1], "--plain" not in sys.argv))
