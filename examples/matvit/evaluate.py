#!/usr/bin/python3
"""Accuracy on CIFAR-10 test images of the C that mcufc makes of a model.

A MatFormer model (default) is compiled once with all widths, as floats and
as int8; every width and five Mix'n'Match points run from that one file.
Other models (--plain, the twins) are compiled as they are.
"""
import argparse
import ctypes
import json
import os
import subprocess
import tempfile

import numpy as np

import cifar

HERE = os.path.dirname(os.path.abspath(__file__))
LEVELS = "0.125,0.25,0.5,1"
MIXES = ((0, 0, 1, 1), (0, 1, 1, 1), (1, 1, 2, 2), (2, 2, 3, 3), (2, 3, 3, 3))

GLUE = """
#include "m.c"
static m_arena arena;
int classify(const uint8_t *x, int n, const uint8_t *widths, uint8_t *guess)
{
    int i, k;

    m_reset(&arena);
#ifdef M_WIDTH_LEVELS
    if (m_set_widths(&arena, widths))
        return 1;
#endif
    for (i = 0; i < n; i++) {
        memcpy(m_input_image(&arena), x + i * 3072, 3072);
        if (m_run(&arena))
            return 1;
        guess[i] = 0;
        for (k = 1; k < 10; k++)
            if (m_output_logits(&arena)[k] >
                m_output_logits(&arena)[guess[i]])
                guess[i] = (uint8_t)k;
    }
    return (void)widths, 0;
}
"""


def compile_model(args, model, folder, options):
    """-> the shared object, and mcufc's report"""
    c, report = os.path.join(folder, "m.c"), os.path.join(folder, "m.json")
    subprocess.run([args.mcufc, "-q", model, "-o", c, "--name", "m",
                    "--input-norm", cifar.NORM, "--input-layout", "nhwc",
                    "--report=" + report] + options, check=True)
    with open(os.path.join(folder, "glue.c"), "w") as f:
        f.write(GLUE)
    so = os.path.join(folder, "m.so")
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC",
                    os.path.join(folder, "glue.c"), "-o", so, "-lm"],
                   check=True)
    with open(report) as f:
        return ctypes.CDLL(so), json.load(f)


def share_right(lib, x, y, levels):
    guess = np.zeros(len(y), np.uint8)
    widths = np.array(levels, np.uint8)
    x = np.ascontiguousarray(x)
    if lib.classify(x.ctypes.data_as(ctypes.c_void_p), len(y),
                    widths.ctypes.data_as(ctypes.c_void_p),
                    guess.ctypes.data_as(ctypes.c_void_p)):
        raise SystemExit("the compiled model failed")
    return 100.0 * float((guess == y).mean())


def macs_of(report, levels):
    """All layers are alike: a layer's part of the difference of two levels."""
    if not levels:
        return report["macs"]
    by_level = [l["macs"] for l in report["elastic"]["levels"]]
    least = by_level[0]
    return least + sum((by_level[l] - least) // len(levels) for l in levels)


def measure(args, model, elastic, x, y):
    settings = [[]]
    options = []
    if elastic:
        layers = len(MIXES[0])
        settings = [[l] * layers for l in range(4)] + list(MIXES)
        options = ["--elastic", "runtime=" + LEVELS]
    int8 = ["--quantize", "int8", "--calib", args.calib]
    columns = []
    for extra in ([], int8):
        with tempfile.TemporaryDirectory() as folder:
            lib, report = compile_model(args, model, folder, options + extra)
            columns.append([share_right(lib, x, y, s) for s in settings])
            print(f"{os.path.basename(model)}, {'int8' if extra else 'float'}"
                  f": arena {report['arena']['bytes']} B, constants "
                  f"{report['flash']['weights']} B")
    print("widths                MACs    float     int8")
    for s, a, b in zip(settings, *columns):
        shares = [LEVELS.split(",")[l] for l in s]
        name = "all" if not s else shares[0] if len(set(s)) == 1 \
            else " ".join(shares)
        print(f"{name:19} {macs_of(report, s):9d}  {a:5.2f} %  {b:5.2f} %",
              flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("data", nargs="?", default=cifar.FOLDER,
                   help="folder with test_a.npz")
    p.add_argument("--mcufc", default=os.path.join(HERE,
                                                   "../../build/mcufc"))
    p.add_argument("--model", default=os.path.join(HERE, "matvit.onnx"))
    p.add_argument("--calib", default=os.path.join(HERE, "calib.npz"))
    p.add_argument("--plain", nargs="*", default=[], help="other models")
    p.add_argument("--count", type=int, help="only the first COUNT images")
    args = p.parse_args()
    x, y = cifar.load_test(args.data)
    x, y = x[:args.count], y[:args.count]
    print(f"{len(y)} test images")
    if not args.plain:
        measure(args, args.model, True, x, y)
    for model in args.plain:
        measure(args, model, False, x, y)


if __name__ == "__main__":
    main()
