#!/usr/bin/env python3
"""quantized.py BUILD [long] - quantized models against ONNX Runtime.

Layer by layer: each piece between two quantized tensors, fed with ONNX
Runtime's own codes, differs by at most one step on 99.9 % of its results.
Labelled samples: the generated C and ONNX Runtime name the same class on
99.5 % of them. Needs onnxruntime and onnx; skipped where they are absent.
"""
import ctypes
import json
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper
except ImportError:
    print('SKIP quantized: no numpy, onnx or onnxruntime')
    print('layers: 0 passed, 0 failed, 1 skipped')
    sys.exit(0)

BUILD = os.path.abspath(sys.argv[1])
LONG = 'long' in sys.argv[2:]
MCUFC = BUILD + '/mcufc'
SHARED = os.environ.get('MCUFC_SHARED', '../shared')
TMP = tempfile.mkdtemp()
passed = failed = 0

TYPES = {np.dtype(n): t for n, t in (
    ('float32', TensorProto.FLOAT), ('uint8', TensorProto.UINT8),
    ('int8', TensorProto.INT8), ('int32', TensorProto.INT32),
    ('int64', TensorProto.INT64))}


def check(what, ok, text):
    global passed, failed
    passed += ok
    failed += not ok
    print('%s %s: %s' % ('ok  ' if ok else 'FAIL', what, text), flush=True)


def session(model, level='ORT_DISABLE_ALL'):
    opt = onnxruntime.SessionOptions()
    opt.graph_optimization_level = \
        getattr(onnxruntime.GraphOptimizationLevel, level)
    opt.log_severity_level = 3
    opt.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), opt)


def info(name, a):
    return helper.make_tensor_value_info(name, TYPES[a.dtype], a.shape)


def run_all(model, feeds):
    """Every tensor of the model that ONNX Runtime can hand out."""
    m = onnx.ModelProto()
    m.CopyFrom(model)
    have = {o.name for o in m.graph.output}
    for n in m.graph.node:
        for o in n.output:
            if o and o not in have:
                m.graph.output.append(onnx.ValueInfoProto(name=o))
    s = session(m)
    names = [o.name for o in s.get_outputs()]
    return dict(zip(names, s.run(None, feeds)), **feeds)


def is_quantized(node, consts):
    return (node.op_type == 'QuantizeLinear' and node.input[0] not in consts
            or node.op_type.startswith('QLinear')
            or node.op_type in ('QGemm', 'QAttention'))


def piece(model, node, makers, codes, consts):
    """Nodes from quantized tensors to `node`; the tensors that they read."""
    nodes, ins, todo = [], [], [node]
    while todo:
        n = todo.pop()
        if any(n is m for m in nodes):
            continue
        nodes.append(n)
        for i in n.input:
            if not i or i in consts:
                continue
            if i in codes or i not in makers:
                if i not in ins:
                    ins.append(i)
            else:
                todo.append(makers[i])
    order = {id(n): k for k, n in enumerate(model.graph.node)}
    return sorted(nodes, key=lambda n: order[id(n)]), ins


def run_piece(model, nodes, ins, out, values):
    used = {i for n in nodes for i in n.input}
    g = helper.make_graph(nodes, 'piece', [info(i, values[i]) for i in ins],
                          [info(out, values[out])],
                          [i for i in model.graph.initializer
                           if i.name in used])
    m = helper.make_model(g, opset_imports=model.opset_import)
    m.ir_version = model.ir_version
    onnx.save(m, TMP + '/p.onnx')
    np.savez(TMP + '/p_in.npz', **{i: values[i] for i in ins})
    r = subprocess.run([MCUFC, TMP + '/p.onnx', '-q', '--run',
                        TMP + '/p_in.npz', '-o', TMP + '/p_out.npz'],
                       capture_output=True, text=True)
    if r.returncode:
        raise RuntimeError(r.stderr)
    return np.load(TMP + '/p_out.npz')[out].reshape(values[out].shape)


def layers(name):
    path = SHARED + '/models/' + name + '.onnx'
    model = onnx.load(path)
    consts = {i.name for i in model.graph.initializer}
    for n in model.graph.node:
        if n.op_type == 'Constant' or (
                n.op_type == 'DequantizeLinear' and
                all(i in consts for i in n.input)):
            consts.update(n.output)
    gold = np.load(SHARED + '/models/golden/' + name + '.npz')
    x = model.graph.input[0].name
    values = run_all(model, {x: gold['s0_in__' + x]})
    makers = {o: n for n in model.graph.node for o in n.output}
    steps = [n for n in model.graph.node if is_quantized(n, consts)]
    codes = {n.output[0] for n in steps}
    folded = {o for n in model.graph.node for o in n.output if o in consts}
    total = off = beyond = 0
    for n in steps:
        out = n.output[0]
        nodes, ins = piece(model, n, makers, codes, consts)
        consumed = {i for m in nodes for i in m.input}
        nodes = [m for m in model.graph.node if m.output[0] in folded and
                 m.output[0] in consumed] + nodes
        got = run_piece(model, nodes, ins, out, values)
        d = np.abs(got.astype(int) - values[out].astype(int))
        total += d.size
        off += int((d > 0).sum())
        beyond += int((d > 1).sum())
    check(name + ' layers', beyond <= total / 1000,
          '%d layers, %d codes: %d (%.4f %%) differ, %d by more than one step'
          % (len(steps), total, off, 100 * off / total, beyond))


class Model:
    """A model as generated C."""

    def __init__(self, path, *options):
        c, self.json = TMP + '/m.c', TMP + '/m.json'
        lib = tempfile.mktemp('.so', dir=TMP)
        subprocess.run([MCUFC, path, '-q', '-o', c, '--name', 'm',
                        '--report=' + self.json, *options], check=True)
        subprocess.run(['cc', '-O2', '-march=native', '-shared', '-fPIC',
                        '-o', lib, c, '-lm'], check=True)
        self.lib = ctypes.CDLL(lib)
        plan = json.load(open(self.json))
        self.arena = np.zeros(plan['arena']['bytes'] // 8 + 1, np.uint64)
        self.at = self.arena.ctypes.data
        self.inputs, self.outputs = plan['inputs'], plan['outputs']

    def view(self, io):
        n, dt = int(np.prod(io['shape'])), np.dtype(
            {'float': 'float32'}.get(io['dtype'], io['dtype']))
        return np.ctypeslib.as_array(
            (ctypes.c_uint8 * (n * dt.itemsize)).from_address(
                self.at + io['offset'])).view(dt)

    def run(self, *data):
        for i, x in zip(self.inputs, data):
            self.view(i)[:] = x.ravel()
        if self.lib.m_run(ctypes.c_void_p(self.at)):
            raise RuntimeError('m_run fails')
        return [self.view(o).copy() for o in self.outputs]


def samples(which, count):
    data = SHARED + '/data/'
    if which == 'cifar':
        f = np.load(data + 'cifar10/test_a.npz')
        return f['x'][:count].astype(np.float32), f['y'][:count]
    if which == 'kws':
        f = np.load(data + 'kws01_a.npz')
        x = (f['x'].astype(np.float32) - 83) * np.float32(0.5847029089927673)
        return x.reshape(-1, 1, 49, 10)[:count], f['y'][:count]
    if which == 'mnist':
        f = np.load(data + 'mnist_test_a.npz')
        x = (f['x'].astype(np.float32) / 255 - .1307) / .3081
        return x.reshape(-1, 1, 28, 28)[:count], f['y'][:count]
    f = np.load(data + 'imagenet_50.npz')
    x = (f['x'].astype(np.float32) / 255 - [.485, .456, .406]) / \
        [.229, .224, .225]
    return x.transpose(0, 3, 1, 2).astype(np.float32)[:count], f['y'][:count]


def accuracy(name, which, count, share):
    path = SHARED + '/models/' + name + '.onnx'
    x, y = samples(which, count)
    m, s = Model(path), session(onnx.load(path))
    key = s.get_inputs()[0].name
    got, want, cosine = [], [], []
    for i in range(len(x)):
        a = m.run(x[i:i + 1])[0]
        b = s.run(None, {key: x[i:i + 1]})[0].ravel()
        got.append(a.argmax())
        want.append(b.argmax())
        cosine.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    got, want, y = np.array(got), np.array(want), y[:len(x)]
    same = (got == want).mean()
    check(name + ' labelled', same >= share,
          '%d samples: top-1 %.2f %%, ONNX Runtime %.2f %%, the same %.2f %%,'
          ' cosine %.4f and more' %
          (len(x), 100 * (got == y).mean(), 100 * (want == y).mean(),
           100 * same, min(cosine)))


def main():
    if not os.path.isdir(SHARED + '/models'):
        print('SKIP quantized models: no %s/models' % SHARED)
        print('layers: 0 passed, 0 failed, 1 skipped')
        return
    layers('06_mlperf_ic_resnet8_int8_qdq')
    layers('07_marp_kws_dscnn_int8_qoperator')
    layers('09_mlperf_ad_autoencoder_int8_qdq')
    accuracy('06_mlperf_ic_resnet8_int8_qdq', 'cifar',
             3000 if LONG else 400, .995)
    accuracy('07_marp_kws_dscnn_int8_qoperator', 'kws', 500, .995)
    accuracy('mnist_tiny_int8', 'mnist', 5000 if LONG else 1000, .995)
    if LONG:
        layers('08_mlperf_vww_mbv1_int8_qdq')
        layers('10_mobilenetv2-12_int8_qoperator')
        # chaotic: doc/quantized-models.md
        accuracy('10_mobilenetv2-12_int8_qoperator', 'imagenet', 50, .9)
    print('layers: %d passed, %d failed, 0 skipped' % (passed, failed))


if __name__ == '__main__':
    main()
    sys.exit(failed != 0)
