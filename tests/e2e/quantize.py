#!/usr/bin/env python3
"""quantize.py BUILD - --quantize on the bundled transformer and on small
models made here: figures, files, messages. Only Python's own library."""
import json
import math
import os
import random
import shutil
import struct
import subprocess
import sys
import zipfile

BUILD = sys.argv[1] if len(sys.argv) > 1 else "build"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
MCUFC = os.path.abspath(os.path.join(BUILD, "mcufc"))
OUT = os.path.abspath(os.path.join(BUILD, "quantize"))
VIT = os.path.join(ROOT, "examples/vit-mnist")
passed = failed = 0


def check(what, ok, more=""):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    if not ok:
        print("FAIL", what, more)


def path(name):
    return os.path.join(OUT, name)


def run(*args):
    return subprocess.run([MCUFC, *args], capture_output=True, text=True)


def npy(shape, values, kind="<f4"):
    fmt = {"<f4": "f", "|u1": "B", "<i4": "i"}[kind]
    head = f"{{'descr': '{kind}', 'fortran_order': False, " \
           f"'shape': ({', '.join(map(str, shape))},), }}"
    head += " " * (63 - (10 + len(head)) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + \
        head.encode() + struct.pack(f"<{len(values)}{fmt}", *values)


def read_npy(data):
    n = struct.unpack("<H", data[8:10])[0]
    size = {"<f4": "f", "|u1": "B", "<i8": "q"}
    head = eval(data[10:10 + n].decode())
    body = data[10 + n:]
    fmt = size[head["descr"]]
    return struct.unpack(f"<{len(body) // struct.calcsize(fmt)}{fmt}", body)


def write(name, data):
    with open(path(name), "wb" if isinstance(data, bytes) else "w") as f:
        f.write(data)
    return path(name)


def npz(name, arrays):
    with zipfile.ZipFile(path(name), "w") as z:
        for key, value in arrays.items():
            z.writestr(key + ".npy", value)
    return path(name)


def samples(name, shape, n, make=None):
    rnd = random.Random(7)
    make = make or (lambda: rnd.gauss(0, 1))
    count = n * math.prod(shape)
    return write(name, npy((n,) + shape, [make() for _ in range(count)]))


def output_of(args):
    r = run(*args, "--io", "float", "-o", path("y.npy"), "-q")
    check("runs " + " ".join(args), r.returncode == 0, r.stderr)
    with open(path("y.npy"), "rb") as f:
        return read_npy(f.read())


def report(args):
    r = run(*args, "--report=" + path("r.json"), "-o", path("m.c"))
    check("compiles " + " ".join(args), r.returncode == 0, r.stderr)
    with open(path("r.json")) as f:
        return json.load(f), r.stderr


def cosine(a, b):
    ab = sum(x * y for x, y in zip(a, b))
    return ab / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def some_images(n):
    with zipfile.ZipFile(os.path.join(VIT, "calib.npz")) as z:
        data = z.read("image.npy")
    return write("some.npy", npy((n, 1, 28, 28), read_npy(data)[:n * 784]))


def guesses(y):
    return [max(range(10), key=lambda c: y[10 * i + c])
            for i in range(len(y) // 10)]


def transformer():
    model = os.path.join(VIT, "vit_mnist.onnx")
    images = os.path.join(VIT, "images.npz")
    q = ["--quantize", "int8", "--calib", some_images(32)]
    exact = output_of([model, "--run", images])
    for weights, cos in (("int8", 0.9995), ("int4", 0.998)):
        flags = q + ["--weights", weights]
        r, err = report([model] + flags)
        t = r["quantization"]["tensors"]
        check(weights + ": worst tensors first",
              t == sorted(t, key=lambda e: (e["sqnr_db"], e["name"])) or
              all(a["sqnr_db"] <= b["sqnr_db"] for a, b in zip(t, t[1:])))
        check(weights + ": no float step",
              r["quantization"]["float_nodes"] == 0 and
              not any(s.get("float_island") for s in r["steps"]))
        check(weights + ": note", "cosine 0.99" in err, err)
        y = output_of([model, "--run", images] + flags)
        check(weights + ": cosine", cosine(exact, y) > cos, cosine(exact, y))
        same = sum(a == b for a, b in zip(guesses(exact), guesses(y)))
        check(weights + ": classes", same >= 63, same)
        check(weights + ": a quarter of the bytes",
              r["flash"]["weights"] < (140000 if weights == "int8"
                                       else 95000), r["flash"])
    check("the C is the interpreter's",
          run(model, "--verify", *q, "--weights", "int4").returncode == 0)
    files(model, images, q)


def files(model, images, q):
    """the quantized model as text and as ONNX is the same model"""
    want = output_of([model, "--run", images] + q)
    for name in ("q.mcu", "q.onnx"):
        r = run(model, "-q", *q, "-o", path(name))
        check("writes " + name, r.returncode == 0, r.stderr)
        y = output_of([path(name), "--run", images])
        check(name + " computes the same", y == want)
    r = run(path("q.onnx"), *q, "-o", path("m.c"))
    check("not twice", r.returncode == 1 and
          "quantized already" in r.stderr, r.stderr)
    r = run(path("q.onnx"), "-q", "--quantize", "int8", "-o", path("m.c"))
    check("quantized already, without samples", r.returncode == 0, r.stderr)
    run(model, "-q", *q, "-o", path("a.c"), "--name", "m")
    run(model, "-q", *q, "-o", path("b.c"), "--name", "m")
    with open(path("a.c"), "rb") as a, open(path("b.c"), "rb") as b:
        check("the same bytes each time", a.read() == b.read())


CNN = """<ir_version: 10, opset_import: ["" : 23]>
g (float[1,3,12,12] x) => (float[1,5] y)
<float[8,3,3,3] w1 = @random(1), float[8] b1 = @random(2),
 float[8,1,3,3] w2 = @random(3), float[16,8,1,1] w3 = @random(4),
 float[16,16,1,1] w4 = @random(5), float[5,16] w5 = @random(6),
 int64[2] s = {1, 16}>
{
  c1 = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w1, b1)
  r1 = Relu (c1)
  c2 = Conv <group = 8, pads = [1, 1, 1, 1]> (r1, w2)
  h2 = HardSwish (c2)
  c3 = Conv (h2, w3)
  c4 = Conv (c3, w4)
  a = Add (c3, c4)
  r4 = Relu (a)
  m = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r4)
  p = GlobalAveragePool (m)
  f = Reshape (p, s)
  y = Gemm <transB = 1> (f, w5)
}
"""


def convolutions():
    model = write("cnn.mcu", CNN)
    calib = samples("cnn.npy", (3, 12, 12), 24)
    q = ["--quantize", "int8", "--calib", calib]
    exact = output_of([model, "--run", calib])
    for weights in ("int8", "int4", "float"):
        flags = q + ["--weights", weights]
        r = run(model, "-q", "--verify", *flags)
        check("cnn " + weights + " verifies", r.returncode == 0, r.stdout)
        y = output_of([model, "--run", calib] + flags)
        check("cnn " + weights + " cosine", cosine(exact, y) > 0.99,
              cosine(exact, y))
    r, _ = report([model] + q)
    check("a CNN without float steps",
          not any(s.get("float_island") for s in r["steps"]))


UNEVEN = """<ir_version: 10, opset_import: ["" : 23]>
g (float[1,4] x) => (float[1,4] y)
<float[4,4] w1 = {64, 0, 0, 0,  0, 8, 0, 0,  0, 0, 1, 0,  0, 0, 0, 0.125},
 float[4,4] w2 = {0.015625, 0.125, 1, 8,  0.015625, -0.125, 1, -8,
                  -0.015625, 0.125, -1, 8,  0.015625, 0.125, -1, -8}>
{
  h = MatMul (x, w1)
  r = Relu (h)
  y = MatMul (r, w2)
}
"""


def uneven_channels():
    """channels that differ by 512 in a tensor of one scale"""
    model = write("uneven.mcu", UNEVEN)
    calib = samples("uneven.npy", (4,), 64)
    q = ["--quantize", "int8", "--calib", calib]
    r, _ = report([model] + q)
    check("channels are equalized", r["quantization"]["equalized"] == 1)
    exact = output_of([model, "--run", calib])
    check("and all of them live", cosine(
        exact, output_of([model, "--run", calib] + q)) > 0.999)


STREAM = """<ir_version: 10, opset_import: ["" : 23]>
g (float[1,6,16] x) => (float[1,6,4] y)
<float[1,1,16] token = {%s}, float[1,7,16] pos = {%s},
 float[16] gain = {%s}, float[16] shift = {%s},
 float[16,16] w1 = @random(1), float[16,16] w2 = @random(2),
 float[16,16] w3 = @random(3), float[16,4] w4 = @random(4),
 int64[1] from = {0}, int64[1] to = {6}, int64[1] axis = {1}>
{
  t = Concat <axis = 1> (token, x)
  s0 = Add (t, pos)
  n1 = LayerNormalization (s0, gain, shift)
  f1 = MatMul (n1, w1)
  g1 = Gelu (f1)
  p1 = MatMul (g1, w2)
  s1 = Add (s0, p1)
  n2 = LayerNormalization (s1, gain, shift)
  f2 = MatMul (n2, w3)
  s2 = Add (s1, f2)
  n3 = LayerNormalization (s2, gain, shift)
  h = Slice (n3, from, to, axis)
  y = MatMul (h, w4)
}
"""


def numbers(n, scale, rnd):
    return ", ".join(f"{scale * rnd.gauss(0, 1):.6g}" for _ in range(n))


def streams():
    """a class token much smaller than the tokens beside it"""
    rnd = random.Random(3)
    model = write("stream.mcu", STREAM % (
        numbers(16, 0.03, rnd), numbers(112, 0.03, rnd),
        ", ".join(["1"] * 16), ", ".join(["0"] * 16)))
    calib = samples("stream.npy", (6, 16), 32, lambda: 10 * rnd.gauss(0, 1))
    q = ["--quantize", "int8", "--calib", calib]
    r, _ = report([model] + q)
    s = r["quantization"]["residual"]
    check("the stream gets 16 bits", s["bits"] == 16, s)
    check("and is better for it", s["sqnr_int16_db"] >
          s["sqnr_int8_db"] + 3 and not r["quantization"]["float_nodes"], s)
    check("both arenas are reported", s["arena_int16"] >= s["arena_int8"] > 0, s)
    for width in ("int8", "int16"):
        r = run(model, "-q", "--verify", *q, "--residual", width)
        check("stream of " + width + " verifies", r.returncode == 0,
              r.stdout + r.stderr)


SPECTRUM = """<ir_version: 10, opset_import: ["" : 23]>
g (float[1,8] x) => (float[1,4] y)
<float[8,8] w1 = @random(1), float[8,4] w2 = @random(2),
 float tiny = {0.0001}>
{
  f = MatMul (x, w1)
  p = Mul (f, f)
  q = Mul (p, p)
  m = Max (q, tiny)
  l = Log (m)
  y = MatMul (l, w2)
}
"""


def islands():
    """powers and logarithms stay float, the rest does not"""
    model = write("spectrum.mcu", SPECTRUM)
    calib = samples("spectrum.npy", (8,), 48)
    q = ["--quantize", "int8", "--calib", calib]
    r, _ = report([model] + q)
    t = r["quantization"]
    check("some tensors stay float", t["float_nodes"] > 0, t["float_nodes"])
    check("which the output needs", t["outputs"][0]["cosine"] > 0.995,
          t["outputs"])
    r = run(model, "-q", "--verify", *q)
    check("islands verify", r.returncode == 0, r.stdout)


def bad_input():
    model = write("cnn.mcu", CNN)
    good = npy((2, 3, 12, 12), [0.5] * 864)
    nan = npy((1, 3, 12, 12), [math.nan] + [0.] * 431)

    def refused(what, pattern, *args, status=1):
        r = run(model, "-o", path("never.c"), "--quantize", "int8", *args)
        check(what, r.returncode == status and pattern in r.stderr,
              f"{r.returncode} {r.stderr}")
        check(what + ": nothing is written",
              not os.path.exists(path("never.c")))

    refused("no samples", "needs samples")
    refused("another name", "no array is named 'x'", "--calib",
            npz("name.npz", {"a": good, "b": good}))
    refused("another name: what there is", "it holds 'a', 'b'", "--calib",
            path("name.npz"))
    refused("another shape", "hint: N samples are an array [N,", "--calib",
            write("shape.npy", npy((2, 3, 12, 13), [0.5] * 936)))
    refused("camera order", "transpose(0, 3, 1, 2)", "--calib",
            write("nhwc.npy", npy((2, 12, 12, 3), [0.5] * 864)))
    refused("another dtype", "is uint8", "--calib",
            write("type.npy", npy((1, 3, 12, 12), [1] * 432, "|u1")))
    refused("NaN", "sample 0 of 'x' has a value that is not finite",
            "--calib", write("nan.npy", nan))
    refused("no sample", "no samples", "--calib",
            write("empty.npy", npy((0, 3, 12, 12), [])))
    refused("no file", "nothere", "--calib", path("nothere.npy"))
    refused("no such weights", "--weights takes", "--calib", path("nan.npy"),
            "--weights", "int3", status=2)
    r = run(model, "-o", path("never.c"), "--weights", "int4")
    check("--weights alone", r.returncode == 2 and
          "needs --quantize" in r.stderr, r.stderr)
    r = run(model, "-o", path("few.c"), "--quantize", "int8", "--calib",
            write("few.npy", good))
    check("few samples: a warning", r.returncode == 0 and
          "2 samples: ranges are guesses" in r.stderr, r.stderr)
    check("flat samples: a warning", "'x' is 0.5 in every element" in
          r.stderr, r.stderr)
    ids = write("ids.mcu", """<ir_version: 10, opset_import: ["" : 23]>
g (int32[2] x) => (float[2,2] y) <float[3,2] t = {1, 2, 3, 4, 5, 6}>
{ r = Gather (t, x)  y = Tanh (r) }
""")
    r = run(ids, "-o", path("never.c"), "--quantize", "int8", "--calib",
            write("ids.npy", npy((2, 2), [0, 2, 1, 3], "<i4")))
    check("ids beyond the table", r.returncode == 1 and
          "sample 1 of 'x' has 3 at element 1, which chooses from 3 rows" in
          r.stderr, r.stderr)
    logs = write("log.mcu", """<ir_version: 10, opset_import: ["" : 23]>
g (float[2] x) => (float[2] y) { y = Log (x) }
""")
    r = run(logs, "-o", path("never.c"), "--quantize", "int8", "--calib",
            write("zero.npy", npy((3, 2), [1, 2, 0, 1, 1, 1])))
    check("a result that is not finite", r.returncode == 1 and
          "not finite for sample 1" in r.stderr, r.stderr)
    ints = write("ints.mcu", """<ir_version: 10, opset_import: ["" : 23]>
g (float[2] x) => (float[2] y) { y = Identity (x) }
""")
    r = run(ints, "-o", path("never.c"), "--quantize", "int8", "--calib",
            path("zero.npy"))
    check("nothing to quantize", r.returncode == 1 and
          "no float operation" in r.stderr, r.stderr)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    parts = sys.argv[2:]
    for part in (transformer, convolutions, uneven_channels, streams,
                 islands, bad_input):
        if not parts or part.__name__ in parts:
            part()
    print(f"quantize: {passed} passed, {failed} failed, 0 skipped")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
