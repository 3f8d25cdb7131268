"""sweep.py - many small nodes in one ONNX model: compiled by mcufc, built with
all warnings as errors and the sanitizers, run, and compared with numpy and
with the interpreter. ops_*.py make the models.

Types are named by mcufc's suffixes (f32, bf16, s4...). Arrays hold values;
bf16 is float32 that is exact in bf16, s4 and u4 are int8."""
import os
import subprocess
import sys
import tempfile

import numpy as np
from onnx import TensorProto as TP
from onnx import helper

FLAGS = ('-std=c99 -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion '
         '-Wshadow -Wmissing-prototypes -Wdouble-promotion -Werror').split()
SANITIZE = '-g1 -fsanitize=address,undefined -fno-sanitize-recover=all'.split()
TYPES = {
    'f32': (TP.FLOAT, np.float32), 'f64': (TP.DOUBLE, np.float64),
    'f16': (TP.FLOAT16, np.float16), 'bf16': (TP.BFLOAT16, np.float32),
    's8': (TP.INT8, np.int8), 's16': (TP.INT16, np.int16),
    's32': (TP.INT32, np.int32), 's64': (TP.INT64, np.int64),
    'u8': (TP.UINT8, np.uint8), 'u16': (TP.UINT16, np.uint16),
    'u32': (TP.UINT32, np.uint32), 'u64': (TP.UINT64, np.uint64),
    'b8': (TP.BOOL, np.bool_), 's4': (22, np.int8), 'u4': (21, np.int8),
}
FLOATS = ['f32', 'f64', 'f16', 'bf16']
INTS = ['s8', 's16', 's32', 's64', 'u8', 'u16', 'u32', 'u64']
rng = np.random.default_rng(1)


def fit(t, a):
    """values of a, rounded to type t"""
    a = np.asarray(a).astype(TYPES[t][1])
    if t != 'bf16':
        return a
    u = a.ravel().view(np.uint32).astype(np.uint64)
    r = ((u + 0x7fff + (u >> 16 & 1)) >> 16 << 16).astype(np.uint32)
    r = np.where(np.isnan(a.ravel()), np.float32(np.nan),
                 r.view(np.float32))
    return r.reshape(a.shape)


def encode(t, a):
    """bytes as ONNX and the generated C store them"""
    a = np.ascontiguousarray(a)
    if t == 'bf16':
        return (a.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    if t not in ('s4', 'u4'):
        return a.tobytes()
    b = a.astype(np.uint8).ravel() & 15
    b = np.append(b, np.zeros(b.size % 2, np.uint8))
    return (b[0::2] | b[1::2] << 4).tobytes()


def decode(t, raw, shape):
    n = int(np.prod(shape))
    if t == 'bf16':
        u = np.frombuffer(raw, np.uint16).astype(np.uint32) << 16
        return u.view(np.float32).reshape(shape)
    if t not in ('s4', 'u4'):
        return np.frombuffer(raw, TYPES[t][1]).reshape(shape)
    b = np.frombuffer(raw, np.uint8)
    v = np.stack([b & 15, b >> 4], 1).ravel()[:n].astype(np.int8)
    return ((v ^ 8) - 8 if t == 's4' else v).reshape(shape)


def size(t, shape):
    n = int(np.prod(shape))
    if t in ('s4', 'u4'):
        return (n + 1) // 2
    return n * (2 if t == 'bf16' else np.dtype(TYPES[t][1]).itemsize)


class Model:
    def __init__(self, name, opset=22):
        self.name, self.opset = name, opset
        self.nodes, self.inits, self.ins, self.outs = [], [], {}, {}

    def input(self, t, a):
        name = 'i%d' % len(self.ins)
        self.ins[name] = (t, np.asarray(a))
        return name

    def const(self, t, a):
        a = np.asarray(a)
        name = 'c%d' % len(self.inits)
        tensor = TP(name=name, data_type=TYPES[t][0], dims=a.shape,
                    raw_data=encode(t, a))
        self.inits.append(tensor)
        return name

    def node(self, op, ins, t, *want, **attrs):
        """a node of which every result is of type t and compared"""
        names = []
        for w in want:
            names.append('o%d' % len(self.outs))
            self.outs[names[-1]] = (t, np.asarray(w), op, attrs)
        self.nodes.append(helper.make_node(op, ins, names, **attrs))

    def both(self, op, t, a, operands, tout, *want, **attrs):
        """the node twice: constant operands, and run-time ones; operands
        are (type, array), or None for one that is left out"""
        x = self.input(t, a)
        for make in (self.const, self.input) if operands else (self.const,):
            rest = ['' if o is None else make(*o) for o in operands]
            self.node(op, [x] + rest, tout, *want, **attrs)

    def save(self, path):
        def info(name, t, shape):
            return helper.make_tensor_value_info(name, TYPES[t][0],
                                                 list(shape))
        g = helper.make_graph(
            self.nodes, self.name,
            [info(n, t, a.shape) for n, (t, a) in self.ins.items()],
            [info(n, o[0], o[1].shape) for n, o in self.outs.items()],
            self.inits)
        m = helper.make_model(g, opset_imports=[
            helper.make_opsetid('', self.opset)])
        m.ir_version = 10
        with open(path, 'wb') as f:
            f.write(m.SerializeToString())


MAIN = '''#include "m.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void)
{
    m_arena *a = malloc(sizeof *a);
    memset(a, 0xa5, sizeof *a);
%s    if (m_run(a))
        return 1;
%s    free(a);
    return 0;
}
'''


class Runner:
    def __init__(self, build):
        self.exe = os.path.abspath(build) + '/mcufc'
        self.cc = os.environ.get('CC', 'cc')
        self.passed = self.failed = 0
        self.dir = tempfile.mkdtemp(prefix='mcufc-sweep-')

    def fail(self, what):
        self.failed += 1
        if self.failed <= 40:
            print('FAIL', what)

    def sh(self, model, args, **kw):
        r = subprocess.run(args, cwd=self.dir, capture_output=True, **kw)
        if r.returncode:
            self.fail('%s: %s: %s' % (model.name, args[0],
                                      r.stderr.decode()[:800]))
        return None if r.returncode else r.stdout

    def generated(self, m):
        read = ''.join('    if (fread(m_input_%s(a), 1, %d, stdin) != %d)\n'
                       '        return 2;\n' % (n, size(t, a.shape),
                                                size(t, a.shape))
                       for n, (t, a) in m.ins.items() if a.size)
        write = ''.join('    fwrite(m_output_%s(a), 1, %d, stdout);\n'
                        % (n, size(o[0], o[1].shape))
                        for n, o in m.outs.items() if o[1].size)
        with open(self.dir + '/main.c', 'w') as f:
            f.write(MAIN % (read, write))
        raw = b''.join(encode(t, a) for t, a in m.ins.values())
        if self.sh(m, [self.exe, 'm.onnx', '-o', 'm.c', '--header', 'm.h',
                       '--name', 'm', '-q'] +
                   os.environ.get('MCUFC_FLAGS', '').split()) is None:
            return None
        if self.sh(m, [self.cc] + FLAGS + SANITIZE + ['-c', 'm.c']) is None:
            return None
        if self.sh(m, [self.cc] + SANITIZE +
                   ['-o', 'm', 'main.c', 'm.o', '-lm']) is None:
            return None
        got = self.sh(m, ['./m'], input=raw)
        outs, at = {}, 0
        for n, (t, w, _, _) in m.outs.items():
            k = size(t, w.shape)
            if got is not None:
                outs[n] = decode(t, got[at:at + k], w.shape)
            at += k
        return outs

    def interpreted(self, m):
        if any(t in ('s4', 'u4') for t, _ in m.ins.values()):
            return {}
        arrays = {n: np.frombuffer(encode(t, a), 'V2').reshape(a.shape)
                  if t == 'bf16' else a for n, (t, a) in m.ins.items()}
        np.savez(self.dir + '/in.npz', **arrays)
        if self.sh(m, [self.exe, 'm.onnx', '--run', 'in.npz', '-o',
                       'out.npz', '-q']) is None:
            return {}
        z = np.load(self.dir + '/out.npz')
        return {n: decode(o[0], z[n].tobytes(), o[1].shape)
                for n, o in m.outs.items()}

    def compare(self, m, who, name, got, tol):
        t, want, op, attrs = m.outs[name]
        rel = {'f16': 2e-3, 'bf16': 1.6e-2}.get(t, tol)
        with np.errstate(all='ignore'):
            x, y = got.astype(np.float64), want.astype(np.float64)
            ok = got == want
            if t in FLOATS:
                ok = (x == y) | (np.isnan(x) & np.isnan(y)) | \
                     (abs(x - y) <= 1e-38 + rel * abs(y))
        if np.all(ok):
            self.passed += 1
            return
        i = tuple(np.argwhere(~ok)[0])
        self.fail('%s %s %s %s %s: %d of %d differ, at %s %s, not %s' % (
            m.name, who, name, op, attrs, np.sum(~ok), ok.size, i, got[i],
            want[i]))

    def run(self, m, tol=1e-6):
        m.save(self.dir + '/m.onnx')
        for who, outs in (('C', self.generated(m)),
                          ('interpreter', self.interpreted(m))):
            for n in outs or {}:
                self.compare(m, who, n, outs[n], tol)

    def done(self, name):
        subprocess.run(['rm', '-rf', self.dir])
        print('%s: %d passed, %d failed' % (name, self.passed, self.failed))
        sys.exit(self.failed != 0)
