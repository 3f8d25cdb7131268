#!/usr/bin/python3
"""accuracy.py - top-1 of the generated C, float and quantized, on labelled
data: the table in doc/quantization.md.

usage: accuracy.py BUILD [--shared FOLDER] [--count N] [--models A,B]
                   [--flags "more options of mcufc"]

Every variant is compiled to C, built and run on every image. Calibration
samples come from training data. For models without labels (the shapes) the
cosine of float and quantized outputs on calibration-like inputs is printed.
"""
import argparse
import ctypes
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VARIANTS = [
    ("float", []),
    ("int8", ["--quantize", "int8"]),
    ("int4", ["--quantize", "int8", "--weights", "int4"]),
]


def mnist(shared, part, count, prepare):
    d = np.load(os.path.join(shared, "data", part))
    x = d["x"][:count].astype(np.float32)[:, None]
    return prepare(x), d["y"][:count]


def cifar_norm(x):
    mean = np.array([.4914, .4822, .4465], np.float32)
    std = np.array([.2023, .1994, .2010], np.float32)
    x = (x.astype(np.float32) / 255 - mean) / std
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def cifar_train(shared, count):
    from PIL import Image
    folder = os.path.join(shared, "data", "cifar10")
    big = np.asarray(Image.open(os.path.join(folder, "train_1.jpg")))
    rows = (count + 99) // 100
    tiles = big[:32 * rows].reshape(rows, 32, 100, 32, 3)
    return cifar_norm(tiles.swapaxes(1, 2).reshape(-1, 32, 32, 3)[:count])


def imagenet_like(shared, size, count):
    d = np.load(os.path.join(shared, "data", "imagenet_50.npz"))
    x = d["x"][:count]
    at = np.arange(size) * x.shape[1] // size
    x = x[:, at][:, :, at].astype(np.float32) / 255
    mean = np.array([.485, .456, .406], np.float32)
    std = np.array([.229, .224, .225], np.float32)
    return np.ascontiguousarray(((x - mean) / std).transpose(0, 3, 1, 2))


def bundled(shared, n):
    here = os.path.join(ROOT, "examples/vit-mnist")
    return np.load(os.path.join(here, "calib.npz"))["image"][:n]


def over(divisor, mean=0., std=1.):
    return lambda x: ((x / np.float32(divisor)) - np.float32(mean)) / \
        np.float32(std)


def rows(shared):
    """name, model, calibration, test images and labels (or None)"""
    models = os.path.join(shared, "models")
    vit = over(255)
    tiny = over(255, .1307, .3081)

    def train(f):
        return lambda n: mnist(shared, "mnist_train.npz", n, f)[0]

    def test(f):
        return lambda n: mnist(shared, "mnist_test_a.npz", n, f)

    def cifar_test(n):
        d = np.load(os.path.join(shared, "data/cifar10/test_a.npz"))
        return cifar_norm(d["x"][:n]), d["y"][:n]

    return [
        ("vit-mnist (bundled)",
         os.path.join(ROOT, "examples/vit-mnist/vit_mnist.onnx"),
         lambda n: bundled(shared, n), test(vit)),
        ("01_vit-mnist", f"{models}/01_vit-mnist.onnx", train(vit),
         test(vit)),
        ("02_vit_cifar10", f"{models}/02_vit_cifar10_pgd_2_3_16.onnx",
         lambda n: cifar_train(shared, n), cifar_test),
        ("mnist_tiny", f"{models}/mnist_tiny_fp32.onnx", train(tiny),
         test(tiny)),
        ("resnet8 (shape)", f"{models}/shapes/resnet8.onnx",
         lambda n: cifar_train(shared, n),
         lambda n: (cifar_test(100)[0], None)),
        ("mbv2-0.35 (shape)", f"{models}/shapes/mbv2_035_96.onnx",
         lambda n: imagenet_like(shared, 96, 40),
         lambda n: (imagenet_like(shared, 96, 50)[40:], None)),
        ("deit-tiny (shape)", f"{models}/shapes/deit_tiny.onnx",
         lambda n: imagenet_like(shared, 224, 16),
         lambda n: (imagenet_like(shared, 224, 24)[16:], None)),
    ]


class Model:
    """The generated C of a model, built and loaded."""

    def __init__(self, mcufc, model, flags, folder):
        c = os.path.join(folder, "m.c")
        so = tempfile.mktemp(".so", dir=folder)     # loaded once per name
        report = os.path.join(folder, "m.json")
        start = time.time()
        subprocess.run([mcufc, model, "-q", "-o", c, "--name", "m",
                        "--report=" + report] + flags, check=True)
        self.seconds = time.time() - start
        with open(report) as f:
            self.info = json.load(f)
        subprocess.run(["cc", "-std=c99", "-O2", "-march=native", "-shared",
                        "-fPIC", "-o", so, c, "-lm"], check=True)
        self.lib = ctypes.CDLL(so)
        self.arena = np.zeros(self.info["arena"]["bytes"] + 64, np.uint8)
        self.base = (-self.arena.ctypes.data) % 64

    def view(self, t):
        dtype = {"float": np.float32}.get(t["dtype"], t["dtype"])
        at = self.base + t["offset"]
        return self.arena[at:at + t["bytes"]].view(dtype)

    def run(self, x):
        i, o = self.info["inputs"][0], self.info["outputs"][0]
        x = x.reshape(-1)
        if i["dtype"] != "float":
            lo, hi = np.iinfo(i["dtype"]).min, np.iinfo(i["dtype"]).max
            x = np.rint(x / np.float32(i["scale"])) + i["zero_point"]
            x = np.clip(x, lo, hi)
        self.view(i)[:] = x
        if self.lib.m_run(ctypes.c_void_p(self.arena.ctypes.data +
                                          self.base)):
            raise RuntimeError("m_run failed")
        y = self.view(o).astype(np.float32)
        if o["dtype"] != "float":
            y = (y - o["zero_point"]) * np.float32(o["scale"])
        return y.copy()

    def flash(self):
        return self.info["flash"]["weights"]


def cosine(a, b):
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return a @ b / np.sqrt((a @ a) * (b @ b))


def measure(args, row, folder):
    name, path, calib, test = row
    calib_file = os.path.join(folder, "calib.npy")
    np.save(calib_file, calib(args.samples))
    x, y = test(args.count)
    exact = None
    for variant, flags in VARIANTS:
        if variant not in args.variants.split(","):
            continue
        if flags:
            flags = flags + ["--calib", calib_file]
        m = Model(os.path.join(args.build, "mcufc"), path,
                  flags + shlex.split(args.flags), folder)
        out = np.stack([m.run(one) for one in x])
        exact = out if exact is None else exact
        right = "-" if y is None else \
            f"{100 * np.mean(out.argmax(1) == y):.2f} %"
        same = 100 * np.mean(out.argmax(1) == exact.argmax(1))
        print(f"| {name} | {variant} | {right} | {same:.2f} % | "
              f"{cosine(exact, out):.5f} | "
              f"{m.info['arena']['bytes']:,} | {m.flash():,} | "
              f"{m.seconds:.1f} |", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.
                                RawDescriptionHelpFormatter)
    p.add_argument("build")
    p.add_argument("--shared", default=os.environ.get(
        "MCUFC_SHARED", os.path.join(ROOT, "../shared")))
    p.add_argument("--count", type=int, default=5000)
    p.add_argument("--samples", type=int, default=128)
    p.add_argument("--models", default="")
    p.add_argument("--variants", default="float,int8,int4")
    p.add_argument("--flags", default="")
    args = p.parse_args()
    print("| model | weights | top-1 | as float | cosine | arena, B | "
          "constants, B | compiled in, s |\n|---|---|---|---|---|---|---|---|")
    for row in rows(args.shared):
        if not any(m in row[0] for m in args.models.split(",")):
            continue
        if not os.path.exists(row[1]):
            print(f"SKIP {row[0]}: not there", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory() as folder:
            measure(args, row, folder)


if __name__ == "__main__":
    main()
