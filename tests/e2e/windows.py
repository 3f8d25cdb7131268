#!/usr/bin/env python3
"""windows.py - random matrix products, convolutions and pools.

usage: windows.py BUILD [--rounds N] [--seed S] [--keep DIR]

Each round is one model of 16 unrelated nodes with random shapes, strides,
pads, dilations, groups, transposes. Three results must agree: the generated
C (strict warnings; with AddressSanitizer and UBSan, and with -O3), the
interpreter (--run) and,
where it is installed, ONNX Runtime. Ends in the line that check.sh reads.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError:
    debian = '/usr/bin/python3'         # Debian's packages are there
    if os.path.exists(debian) and sys.executable != debian:
        os.execv(debian, [debian] + sys.argv)
    print('SKIP windows: python3 has no numpy or onnx')
    print('windows: 0 passed, 0 failed, 1 skipped')
    sys.exit(0)
try:
    import onnxruntime as ort
    ort.set_default_logger_severity(4)
except ImportError:
    ort = None

CFLAGS = ('-std=c99 -Wall -Wextra -Wpedantic -Wconversion '
          '-Wsign-conversion -Wshadow -Wmissing-prototypes '
          '-Wdouble-promotion -Werror').split()
SANE = '-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all'.split()
FAST = ['-O3']
NODES = 16


class Model:
    """nodes that share nothing, with data for every input"""

    def __init__(self, rng):
        self.rng = rng
        self.nodes, self.inputs, self.outputs, self.consts = [], [], [], []
        self.data = {}

    def array(self, shape, dtype=np.float32):
        a = np.random.RandomState(self.rng.randrange(1 << 31))
        if np.issubdtype(dtype, np.floating):
            return np.asarray(a.rand(*shape) - 0.5).astype(dtype)
        return a.randint(0 if dtype in (np.uint8, np.uint32) else -100, 100,
                         size=shape).astype(dtype)

    def value(self, shape, dtype=np.float32, const=None):
        name = 'v%d' % (len(self.inputs) + len(self.consts))
        a = self.array(shape, dtype)
        if const is None:
            const = self.rng.random() < 0.5
        if const:
            self.consts.append(numpy_helper.from_array(a, name))
        else:
            self.inputs.append(helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(a.dtype)
                if hasattr(helper, 'np_dtype_to_tensor_dtype')
                else onnx.mapping.NP_TYPE_TO_TENSOR_TYPE[a.dtype],
                list(shape)))
            self.data[name] = a
        return name

    def node(self, op, inputs, outputs=1, domain='', **attrs):
        k = len(self.nodes)
        names = ['y%d_%d' % (k, i) for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names,
                                           name='%s_%d' % (op, k),
                                           domain=domain, **attrs))
        self.outputs += names
        return names

    def proto(self):
        outs = [helper.make_empty_tensor_value_info(n)
                if hasattr(helper, 'make_empty_tensor_value_info')
                else onnx.ValueInfoProto(name=n) for n in self.outputs]
        graph = helper.make_graph(self.nodes, 'windows', self.inputs, outs,
                                  self.consts)
        return helper.make_model(graph, ir_version=8, opset_imports=[
            helper.make_opsetid('', 22 if ort else 16)])


def some(rng, axes, lo, hi):
    return [rng.randint(lo, hi) for _ in range(axes)]


def window(rng, axes, pool):
    """in, kernel and attributes of a window that fits"""
    while True:
        size = some(rng, axes, 1, 40 if axes == 1 else 14 if axes == 2 else 6)
        kernel = some(rng, axes, 1, 5 if axes < 3 else 3)
        strides = some(rng, axes, 1, 3)
        dilations = some(rng, axes, 1, 1 if rng.random() < 0.7 else 3)
        attrs = {'strides': strides, 'dilations': dilations}
        pads = [0] * (2 * axes)
        mode = rng.randrange(5)
        if mode == 0:
            attrs['auto_pad'] = rng.choice(['SAME_UPPER', 'SAME_LOWER'])
            if pool:            # others take pads below 0 for the cut
                attrs['dilations'] = [1] * axes
                attrs['strides'] = [min(s, k)
                                    for s, k in zip(strides, kernel)]
            return size, kernel, attrs
        if mode == 1:
            attrs['auto_pad'] = 'VALID'
        elif mode > 2:
            pads = some(rng, 2 * axes, 0, 3)
            if pool:
                pads = [min(p, kernel[i % axes] - 1)
                        for i, p in enumerate(pads)]
            attrs['pads'] = pads
        if all(size[i] + pads[i] + pads[axes + i] >=
               (kernel[i] - 1) * dilations[i] + 1 for i in range(axes)):
            return size, kernel, attrs


def channels(rng):
    return rng.choice([1, 2, 3, 4, 5, 7, 8, 9, 16, 33])


def add_conv(m):
    rng = m.rng
    axes = rng.choice([1, 2, 2, 2, 3])
    size, kernel, attrs = window(rng, axes, False)
    group = rng.choice([1, 1, 1, 2, 3, 5])
    cg, mg = channels(rng), channels(rng)
    style = rng.randrange(5)
    if style == 0:
        cg, group, mg = 1, channels(rng), rng.choice([1, 1, 2])
    elif style == 1:
        kernel, attrs = [1] * axes, {}
    elif style == 2 and axes == 2:
        kernel = [3, 3]
        attrs = {'pads': [1, 1, 1, 1], 'strides': [rng.choice([1, 2])] * 2}
        size = some(rng, 2, 2, 70 if rng.random() < 0.2 else 14)
    dt = rng.choice([np.float32] * 5 + [np.float64])
    x = m.value([rng.choice([1, 1, 2]), group * cg] + size, dt, const=False)
    inputs = [x, m.value([group * mg, cg] + kernel, dt)]
    if rng.random() < 0.7:
        inputs.append(m.value([group * mg], dt))
    m.node('Conv', inputs, group=group, **attrs)


def add_convtranspose(m):
    rng = m.rng
    axes = rng.choice([1, 2, 2, 3])
    group = rng.choice([1, 1, 2, 3])
    cg, mg = rng.randint(1, 5), rng.randint(1, 5)
    size = some(rng, axes, 2, 8 if axes < 3 else 4)
    kernel = some(rng, axes, 1, 4)
    attrs = {'strides': some(rng, axes, 1, 3),
             'dilations': some(rng, axes, 1, 2)}
    mode = rng.randrange(4)
    if mode == 0:
        attrs['pads'] = [0] * (2 * axes) if rng.random() < 0.5 else \
            [rng.randint(0, (k - 1) // 2) for k in kernel] * 2
        attrs['output_padding'] = [rng.randint(0, s - 1)
                                   for s in attrs['strides']]
    elif mode == 1:
        attrs['auto_pad'] = rng.choice(['SAME_UPPER', 'SAME_LOWER', 'VALID'])
        attrs['dilations'] = [1] * axes
    elif mode == 2:
        full = [(size[i] - 1) * attrs['strides'][i] +
                (kernel[i] - 1) * attrs['dilations'][i] + 1
                for i in range(axes)]
        attrs['output_shape'] = [max(1, f - rng.randint(0, 2)) for f in full]
    x = m.value([rng.choice([1, 2]), group * cg] + size, const=False)
    inputs = [x, m.value([group * cg, mg] + kernel)]
    if rng.random() < 0.7:
        inputs.append(m.value([group * mg]))
    m.node('ConvTranspose', inputs, group=group, **attrs)


def add_pool(m):
    rng = m.rng
    axes = rng.choice([1, 2, 2, 2, 3])
    op = rng.choice(['MaxPool', 'MaxPool', 'AveragePool', 'LpPool'])
    size, kernel, attrs = window(rng, axes, True)
    ceil = rng.random() < 0.4 and 'auto_pad' not in attrs
    if not ort:                 # older opsets: MaxPool alone has it
        ceil = ceil and op != 'LpPool'
        if op != 'MaxPool':
            attrs.pop('dilations')
    if ceil:
        attrs['ceil_mode'] = 1
    outs, dtype = 1, np.float32
    if op == 'MaxPool':
        dtype = rng.choice([np.float32, np.float32, np.int8, np.uint8,
                            np.float64])
        outs = rng.choice([1, 2])
        attrs['storage_order'] = rng.choice([0, 0, 1]) if outs == 2 else 0
    elif op == 'AveragePool':
        attrs['count_include_pad'] = rng.randrange(2)
    else:
        attrs['p'] = rng.choice([1, 2, 3])
    x = m.value([rng.choice([1, 2]), rng.choice([1, 3, 16])] + size, dtype,
                const=False)
    m.node(op, [x], outs, kernel_shape=kernel, **attrs)


def add_global(m):
    op = m.rng.choice(['GlobalMaxPool', 'GlobalAveragePool', 'GlobalLpPool'])
    size = some(m.rng, m.rng.choice([1, 2, 3]), 1, 9)
    m.node(op, [m.value([2, 3] + size, const=False)])


def matmul_shapes(rng):
    rows = rng.choice([1, 2, 3, 4, 5, 9, 33])
    cols = rng.choice([1, 2, 7, 31, 32, 33, 64, 100])
    depth = rng.choice([1, 2, 3, 4, 7, 8, 9, 17, 40])
    return rows, cols, depth


def add_matmul(m):
    rng = m.rng
    rows, cols, depth = matmul_shapes(rng)
    dtype = rng.choice([np.float32] * 4 + [np.float64, np.int32, np.uint32,
                                           np.int64])
    batch = [rng.choice([1, 2, 3]) for _ in range(rng.choice([0, 0, 1, 2]))]
    left = [rng.choice([b, b, 1]) for b in batch]
    right = [b if left[i] == 1 or rng.random() < 0.5 else 1
             for i, b in enumerate(batch)]
    right = right[rng.choice([0, 0, len(right)]):]
    a, b = left + [rows, depth], right + [depth, cols]
    if rng.random() < 0.1:
        a = [depth]
    if rng.random() < 0.1:
        b = [depth]
    const = rng.randrange(3)
    m.node('MatMul', [m.value(a, dtype, const=const == 1),
                      m.value(b, dtype, const=const == 2)])


def add_gemm(m):
    rng = m.rng
    rows, cols, depth = matmul_shapes(rng)
    ta, tb = rng.randrange(2), rng.randrange(2)
    inputs = [m.value([depth, rows] if ta else [rows, depth]),
              m.value([cols, depth] if tb else [depth, cols], const=False)]
    if rng.random() < 0.8:
        inputs.append(m.value(rng.choice([[], [1], [cols], [1, cols],
                                          [rows, 1], [rows, cols]])))
    m.node('Gemm', inputs, transA=ta, transB=tb,
           alpha=rng.choice([1.0, 1.0, 0.5]), beta=rng.choice([1.0, 2.0]))


def add_transposed(m):
    """what fuse_matmul turns into one node"""
    rng = m.rng
    rows, cols, depth = matmul_shapes(rng)
    b = rng.choice([1, 2])
    k = len(m.nodes)
    x = m.value([b, rows, depth], const=False)
    w = m.value([b, cols, depth], const=False)
    m.nodes.append(helper.make_node('Transpose', [w], ['t%d' % k],
                                    perm=[0, 2, 1]))
    m.nodes.append(helper.make_node('MatMul', [x, 't%d' % k], ['p%d' % k]))
    scale = m.value([], const=True)
    m.nodes.append(helper.make_node('Mul', ['p%d' % k, scale], ['q%d' % k]))
    m.node(rng.choice(['Relu', 'Sigmoid', 'Tanh', 'Softplus']), ['q%d' % k])


def add_attention(m):
    """softmax(q k^T) v, large enough to go 32 queries at a time"""
    rng = m.rng
    k = len(m.nodes)
    heads, tokens = rng.choice([6, 8]), rng.choice([40, 64, 69])
    size = rng.choice([48, 64])
    q = m.value([1, heads, tokens, size], const=False)
    key = m.value([1, heads, tokens, size], const=False)
    kt = 't%d' % k
    m.nodes.append(helper.make_node('Transpose', [key], [kt],
                                    perm=[0, 1, 3, 2]))
    v = m.value([1, heads, tokens, rng.choice([size, 40])], const=False)
    m.nodes.append(helper.make_node('MatMul', [q, kt], ['s%d' % k]))
    m.nodes.append(helper.make_node('Softmax', ['s%d' % k], ['p%d' % k],
                                    axis=-1))
    m.node('MatMul', ['p%d' % k, v])


def add_conv_act(m):
    add_conv(m)
    y = m.outputs.pop()
    op = m.rng.choice(['Relu', 'Sigmoid', 'HardSwish', 'LeakyRelu', 'Elu',
                       'Gelu', 'Clip'])
    if op == 'Gelu' and not ort:
        op = 'Tanh'
    if op == 'Gelu':
        m.node(op, [y], approximate=m.rng.choice(['none', 'tanh']))
    else:
        m.node(op, [y])


def add_det(m):
    size = m.rng.randint(1, 6)
    m.node('Det', [m.value([3, size, size], const=False)])


KINDS = [add_conv, add_conv, add_conv, add_convtranspose, add_pool, add_pool,
         add_global, add_matmul, add_matmul, add_gemm, add_transposed,
         add_conv_act, add_det, add_attention]

MAIN = '''#include "m.h"
#include <stdio.h>
#include <string.h>
static m_arena a;
int main(int argc, char **argv)
{
    FILE *f;
    memset(&a, 0xa5, sizeof a);
    if (argc != 3 || !(f = fopen(argv[1], "rb"))) return 2;
%s    fclose(f);
    if (m_run(&a) || !(f = fopen(argv[2], "wb"))) return 3;
%s    return fclose(f);
}
'''


def run(args, **kw):
    return subprocess.run(args, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **kw)


def run_c(mcufc, d, m, flags, cflags):
    """outputs of the generated C; raises with the tool's words"""
    r = run([mcufc, 'm.onnx', '-o', 'm.c', '--header', 'm.h', '--name', 'm',
             '--report=r.json', '-q'] + flags, cwd=d)
    if r.returncode:
        raise Exception('mcufc: %s' % r.stdout.decode())
    rep = json.load(open(d + '/r.json'))
    reads = ''.join('    if (fread(%s(&a), 1, %d, f) != %d) return 4;\n' %
                    (i['accessor'], m.data[i['name']].nbytes,
                     m.data[i['name']].nbytes) for i in rep['inputs'])
    writes = ''.join('    fwrite(%s(&a), 1, %d, f);\n' %
                     (o['accessor'], o['bytes']) for o in rep['outputs'])
    open(d + '/main.c', 'w').write(MAIN % (reads, writes))
    with open(d + '/in.bin', 'wb') as f:
        for i in rep['inputs']:
            f.write(m.data[i['name']].tobytes())
    r = run([os.environ.get('CC', 'cc')] + CFLAGS +
            cflags + ['m.c', 'main.c', '-o', 'm', '-lm'], cwd=d)
    if r.returncode:
        raise Exception('cc: %s' % r.stdout.decode()[:3000])
    r = run(['./m', 'in.bin', 'out.bin'], cwd=d)
    if r.returncode:
        raise Exception('run: %s' % r.stdout.decode()[:3000])
    blob, at, out = open(d + '/out.bin', 'rb').read(), 0, {}
    for o in rep['outputs']:
        dt = {'float': np.float32, 'double': np.float64}.get(o['dtype']) or \
            np.dtype(o['dtype'])
        a = np.frombuffer(blob[at:at + o['bytes']], dt)
        out[o['name']] = a.reshape(o['shape'])
        at += o['bytes']
    return out


def interpret(mcufc, d, m):
    np.savez(d + '/in.npz', **m.data)
    r = run([mcufc, 'm.onnx', '--run', 'in.npz', '-o', 'out.npz', '-q'],
            cwd=d)
    if r.returncode:
        raise Exception('--run: %s' % r.stdout.decode())
    return np.load(d + '/out.npz')


def compare(got, want, names, what):
    for n in names:
        if n not in want:
            continue
        g, w = np.asarray(got[n]), np.asarray(want[n])
        if g.shape != w.shape:
            raise Exception('%s: %s has shape %s, not %s' %
                            (what, n, g.shape, w.shape))
        if not np.allclose(g.astype(np.float64), w.astype(np.float64),
                           rtol=1e-4, atol=2e-5, equal_nan=True):
            e = np.abs(g.astype(np.float64) - w.astype(np.float64))
            raise Exception('%s: %s differs, at most %g at %s' %
                            (what, n, e.max(),
                             np.unravel_index(e.argmax(), e.shape)))


def reference(m, proto):
    """ONNX Runtime's outputs, node by node: it does not have every dtype"""
    out = {}
    if not ort:
        return out
    for y in m.outputs:
        g = onnx.ModelProto()
        g.CopyFrom(proto)
        keep, need = [], {y}
        for n in reversed(g.graph.node):
            if need & set(n.output):
                keep.append(n)
                need |= set(n.input)
        nodes = [onnx.NodeProto.FromString(n.SerializeToString())
                 for n in reversed(keep)]
        ins = [i for i in m.inputs if i.name in need]
        del g.graph.node[:], g.graph.input[:], g.graph.output[:]
        g.graph.node.extend(nodes)
        g.graph.input.extend(ins)
        g.graph.output.extend([helper.make_empty_tensor_value_info(y)])
        try:
            so = ort.SessionOptions()
            so.intra_op_num_threads = 1
            s = ort.InferenceSession(g.SerializeToString(), so,
                                     providers=['CPUExecutionProvider'])
            out[y] = s.run([y], {i.name: m.data[i.name] for i in ins})[0]
        except Exception:
            continue            # a dtype or attribute that it does not have
    return out


def one(mcufc, seed, keep):
    m = Model(random.Random(seed))
    while len(m.nodes) < NODES:
        m.rng.choice(KINDS)(m)
    proto = m.proto()
    with tempfile.TemporaryDirectory() as tmp:
        d = keep or tmp
        os.makedirs(d, exist_ok=True)
        onnx.save(proto, d + '/m.onnx')
        want = interpret(mcufc, d, m)
        ref = reference(m, proto)
        compare(want, ref, m.outputs, 'interpreter against ONNX Runtime')
        compare(run_c(mcufc, d, m, [], SANE), want, m.outputs, 'C')
        plain = ['--skip', 'fuse_matmul,fuse_act']
        compare(run_c(mcufc, d, m, plain, FAST), want, m.outputs,
                'C without fusion')
        return len(ref)


def main():
    p = argparse.ArgumentParser()
    p.add_argument('build')
    p.add_argument('--rounds', type=int, default=8)
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--keep')
    a = p.parse_args()
    mcufc = os.path.abspath(a.build) + '/mcufc'
    passed = failed = refs = 0
    for seed in range(a.seed, a.seed + a.rounds):
        try:
            refs += one(mcufc, seed, a.keep)
            passed += 1
        except Exception as x:
            print('FAIL windows: seed %d: %s' % (seed, x))
            failed += 1
    if not ort:
        print('SKIP windows: no ONNX Runtime to compare with')
    print('%d results compared with ONNX Runtime' % refs)
    print('windows: %d passed, %d failed, %d skipped' %
          (passed, failed, 0 if ort else 1))
    sys.exit(failed > 0)


main()
