#!/usr/bin/python3
"""decoder.py BUILD [MODEL] - a language model's step, float and quantized,
with its caches of keys and values as --state: a table of doc/quantization.md.

The float model's generated C writes stories (sampled, fixed seed). Some are
the calibration samples; on others, read token by token, every variant is
asked for the next token: how often its first choice is the float model's,
and the mean of -log p of what the story goes on with. MODEL (default: the
one in ../shared) has inputs token and pos.
"""
import ctypes
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

BUILD = os.path.abspath(sys.argv[1])
SHARED = os.environ.get("MCUFC_SHARED", os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "../../shared"))
MODEL = sys.argv[2] if len(sys.argv) > 2 else \
    SHARED + "/models/05_stories260K_step_kv256.onnx"
TMP = tempfile.mkdtemp()
STORIES, TOKENS = 8, 60         # of each kind

VARIANTS = [
    ("float", []),
    ("int8", ["--quantize", "int8"]),
    ("int8, int16 residual", ["--quantize", "int8", "--residual", "int16"]),
    ("int4", ["--quantize", "int8", "--weights", "int4"]),
]


class Model:
    """Generated C; inputs and outputs by name, floats outside."""

    def __init__(self, options):
        c, so = TMP + "/m.c", tempfile.mktemp(".so", dir=TMP)
        subprocess.run([BUILD + "/mcufc", MODEL, "-q", "-o", c, "--name", "m",
                        "--state", "auto", "--report=" + TMP + "/m.json",
                        *options], check=True)
        subprocess.run(["cc", "-O2", "-march=native", "-shared", "-fPIC",
                        "-o", so, c, "-lm"], check=True)
        with open(TMP + "/m.json") as f:
            self.plan = json.load(f)
        self.lib = ctypes.CDLL(so)
        self.arena = np.zeros(self.plan["arena"]["bytes"] + 64, np.uint8)
        self.at = -self.arena.ctypes.data % 64

    def pointer(self):
        return ctypes.c_void_p(self.arena.ctypes.data + self.at)

    def view(self, t):
        dtype = {"float": "float32"}.get(t["dtype"], t["dtype"])
        at = self.at + t["offset"]
        return self.arena[at:at + t["bytes"]].view(dtype)

    def reset(self):
        self.lib.m_reset(self.pointer())

    def step(self, token, pos):
        for t in self.plan["inputs"]:
            if t["bytes"]:
                self.view(t)[:] = {"token": token, "pos": pos}[t["name"]]
        if self.lib.m_run(self.pointer()):
            raise RuntimeError("m_run fails")
        y = self.plan["outputs"][0]
        logits = self.view(y).astype(np.float64)
        if y["dtype"] != "float":
            logits = (logits - y["zero_point"]) * y["scale"]
        return logits


def log_softmax(x):
    x = x - x.max()
    return x - np.log(np.exp(x).sum())


def story(model, rng):
    token, out = 1, []
    model.reset()
    for pos in range(TOKENS):
        out.append(token)
        p = np.exp(log_softmax(model.step(token, pos)))
        token = int(rng.choice(len(p), p=p))
    return out + [token]


def read(model, stories):
    """First choices, and -log p of what comes next."""
    first, loss = [], []
    for s in stories:
        model.reset()
        for pos in range(TOKENS):
            p = log_softmax(model.step(s[pos], pos))
            first.append(int(p.argmax()))
            loss.append(-p[s[pos + 1]])
    return np.array(first), np.mean(loss)


def main():
    if not os.path.exists(MODEL):
        print("SKIP decoder: no " + MODEL)
        return
    rng = np.random.default_rng(1)
    exact = Model([])
    stories = [story(exact, rng) for _ in range(2 * STORIES)]
    calib, test = stories[:STORIES], stories[STORIES:]
    np.savez(TMP + "/calib.npz",
             token=np.array([s[:TOKENS] for s in calib],
                            np.int64).reshape(-1, 1, 1),
             pos=np.tile(np.arange(TOKENS, dtype=np.int64),
                         STORIES).reshape(-1, 1))
    want, _ = read(exact, test)
    print("| weights | first choice as float | -log p per token | arena, B "
          "| of it caches, B | constants, B |\n|---|---|---|---|---|---|")
    for name, options in VARIANTS:
        if options:
            options = options + ["--calib", TMP + "/calib.npz"]
        m = Model(options)
        first, loss = read(m, test)
        plan = m.plan
        print("| %s | %.1f %% | %.3f | %s | %s | %s |" %
              (name, 100 * np.mean(first == want), loss,
               format(plan["arena"]["bytes"], ","),
               format(plan["arena"]["state_bytes"], ","),
               format(plan["flash"]["weights"], ",")), flush=True)


main()
