#!/usr/bin/env python3
"""agreement.py BUILD [MODEL...] - how far quantized models' results lie apart:
the tables of doc/quantized-models.md.

ONNX Runtime itself computes one model in up to three ways: as it is written,
optimized, and (QOperator) with each op as DequantizeLinear, the float op,
QuantizeLinear. The generated C is compared with each of them, and they with
one another, on the samples of ../shared. Then, for QOperator, what of ONNX
Runtime's codes follows from exact sums. Needs onnxruntime and onnx.
"""
import itertools
import os
import sys

sys.dont_write_bytecode = True
from quantized import (SHARED, TMP, Model, info, np, onnx,  # noqa
                       samples, session)
from onnx import helper, numpy_helper  # noqa

MODELS = [
    ('06_mlperf_ic_resnet8_int8_qdq', 'cifar', 400),
    ('07_marp_kws_dscnn_int8_qoperator', 'kws', 400),
    ('08_mlperf_vww_mbv1_int8_qdq', 'vww', 50),
    ('09_mlperf_ad_autoencoder_int8_qdq', 'stored', 2),
    ('10_mobilenetv2-12_int8_qoperator', 'imagenet', 50),
    ('mnist_tiny_int8', 'mnist', 400),
]


def inputs(name, which, count):
    if which == 'stored':
        gold = np.load(SHARED + '/models/golden/' + name + '.npz')
        return [gold[k] for k in gold.files if '_in__' in k][:count]
    if which == 'vww':
        x = np.load(SHARED + '/data/imagenet_50.npz')['x'][:count]
        at = np.arange(96) * x.shape[1] // 96
        x = x[:, at][:, :, at].astype(np.float32) / 255
        return list(x.transpose(0, 3, 1, 2)[:, None].copy())
    x, _ = samples(which, count)
    return [x[i:i + 1] for i in range(len(x))]


def last_codes(model):
    """The last quantized tensor, as a second output."""
    made = {o: n for n in model.graph.node for o in n.output}
    name = model.graph.output[0].name
    while made[name].op_type != 'DequantizeLinear':
        name = made[name].input[0]
    codes = made[name].input[0]
    model.graph.output.append(onnx.ValueInfoProto(name=codes))


class Floats:
    """The nodes of a QOperator model, each as DQ - float op - Q."""

    def __init__(self, model):
        self.init = {i.name: numpy_helper.to_array(i)
                     for i in model.graph.initializer}
        self.init.update({n.output[0]: numpy_helper.to_array(
            n.attribute[0].t) for n in model.graph.node
            if n.op_type == 'Constant'})
        self.model, self.nodes = model, []
        for n in list(model.graph.node):
            make = getattr(self, 'make_' + n.op_type, None)
            if make:
                make(n)
            elif n.op_type.startswith('Q') and n.domain:
                raise ValueError(n.op_type + ' is not taken apart')
            else:
                self.nodes.append(n)
        del model.graph.node[:]
        model.graph.node.extend(self.nodes)

    def add(self, op, ins, **attributes):
        out = 'f%d' % len(self.nodes)
        self.nodes.append(helper.make_node(op, ins, [out], **attributes))
        return out

    def end(self, n, value, scale, zero):
        self.nodes.append(helper.make_node(
            'QuantizeLinear', [value, scale, zero], [n.output[0]]))

    def constant(self, array):
        name = 'c%d' % len(self.model.graph.initializer)
        self.model.graph.initializer.append(
            numpy_helper.from_array(array.astype(np.float32), name))
        return name

    def number(self, ins, axis):
        """A constant or computed operand as floats."""
        if ins[0] not in self.init:
            return self.add('DequantizeLinear', ins)
        w, s, z = (self.init[i] for i in ins)
        shape = [1] * w.ndim
        shape[axis] = -1
        s, z = (v.reshape(shape) if v.size > 1 else v for v in (s, z))
        return self.constant((w.astype(np.int32) - z.astype(np.int32)) * s)

    def bias(self, name, xs, ws):
        return self.constant(self.init[name] * (self.init[xs] *
                                                self.init[ws].ravel()))

    def make_QLinearConv(self, n):
        i = n.input
        ins = [self.number(i[0:3], 0), self.number(i[3:6], 0)]
        if len(i) > 8:
            ins.append(self.bias(i[8], i[1], i[4]))
        out = self.add('Conv', ins)
        self.nodes[-1].attribute.extend(n.attribute)
        self.end(n, out, i[6], i[7])

    def make_QLinearMatMul(self, n):
        i = n.input
        out = self.add('MatMul', [self.number(i[0:3], 0),
                                  self.number(i[3:6], 1)])
        self.end(n, out, i[6], i[7])

    def make_QLinearAdd(self, n):
        i = n.input
        out = self.add('Add', [self.number(i[0:3], 0),
                               self.number(i[3:6], 0)])
        self.end(n, out, i[6], i[7])

    def make_QLinearGlobalAveragePool(self, n):
        i = n.input
        out = self.add('GlobalAveragePool', [self.number(i[0:3], 0)])
        self.end(n, out, i[3], i[4])

    def make_QGemm(self, n):
        i = n.input
        rows = any(a.name == 'transB' and a.i for a in n.attribute)
        out = self.add('Gemm', [self.number(i[0:3], 0),
                                self.number(i[3:6], 0 if rows else 1),
                                self.bias(i[6], i[1], i[4])])
        self.nodes[-1].attribute.extend(n.attribute)
        self.end(n, out, i[7], i[8])


def ways(model):
    """name -> function from an input to [output, last codes]"""
    def ort(m, level):
        s = session(m, level)
        return lambda x: [y.ravel() for y in
                          s.run(None, {s.get_inputs()[0].name: x})]
    found = {'as written': ort(model, 'ORT_DISABLE_ALL'),
             'optimized': ort(model, 'ORT_ENABLE_ALL')}
    if any(n.op_type.startswith('QLinear') for n in model.graph.node):
        m = onnx.ModelProto()
        m.CopyFrom(model)
        Floats(m)
        found['in floats'] = ort(m, 'ORT_DISABLE_ALL')
    onnx.save(model, TMP + '/two.onnx')
    found['mcufc'] = Model(TMP + '/two.onnx').run
    return found


def compare(name, one, other, a, b):
    cosine, near, same, equal = [], [], [], []
    for (x, p), (y, q) in zip(a, b):
        x, y = x.astype(float), y.astype(float)
        d = np.abs(p.astype(int) - q.astype(int))
        cosine.append(x @ y / np.sqrt((x @ x) * (y @ y)))
        near.append((d <= 2).mean())
        equal.append(not d.any())
        same.append(x.argmax() == y.argmax())
    print('| %s | %s, %s | %.5f | %.4f | %.2f %% | %.2f %% | %.1f %% |' %
          (name[:2], one, other, np.mean(cosine), min(cosine),
           100 * np.mean(near), 100 * np.mean(same), 100 * np.mean(equal)),
          flush=True)


def convolutions(model, init):
    return [n for n in model.graph.node if n.op_type == 'QLinearConv' and
            not init[n.input[5]].any()]


def alone(model, convs, values):
    """The convolutions side by side, each with an input of its own."""
    ins = list(dict.fromkeys(n.input[0] for n in convs))
    used = {i for n in convs for i in n.input}
    nodes, outs = [], []
    for n in convs:
        nodes.append(onnx.NodeProto())
        nodes[-1].CopyFrom(n)
        nodes[-1].output[0] = 'alone ' + n.output[0]
        outs.append(info(nodes[-1].output[0], values[n.output[0]]))
    g = helper.make_graph(
        nodes, 'alone', [info(i, values[i]) for i in ins], outs,
        [i for i in model.graph.initializer if i.name in used])
    m = helper.make_model(g, opset_imports=model.opset_import)
    m.ir_version = model.ir_version
    onnx.save(m, TMP + '/alone.onnx')
    return ins, Model(TMP + '/alone.onnx', '--skip', 'stream')


def sums(model, data):
    """Codes of QLinearConv, fed with ONNX Runtime's: from ConvInteger's sums
    in float, in double, by the nearest multiplier; by the generated C."""
    m = onnx.ModelProto()
    m.CopyFrom(model)
    init = {i.name: numpy_helper.to_array(i) for i in m.graph.initializer}
    convs = convolutions(m, init)
    names = [i for n in convs for i in (n.input[0], n.output[0])]
    for n in convs:
        m.graph.node.append(helper.make_node(
            'ConvInteger', [n.input[0], n.input[3], n.input[2]],
            ['sum of ' + n.output[0]]))
        m.graph.node[-1].attribute.extend(n.attribute)
    names = list(dict.fromkeys(names + ['sum of ' + n.output[0]
                                        for n in convs]))
    m.graph.output.extend(onnx.ValueInfoProto(name=i) for i in names)
    s = session(m)
    total, off, code = 0, np.zeros(4, int), None
    for x in data:
        r = dict(zip(names, s.run(names, {s.get_inputs()[0].name: x})))
        if not code:
            ins, code = alone(model, convs, r)
        for n, y in zip(convs, code.run(*(r[i] for i in ins))):
            want = r[n.output[0]]
            total += want.size
            off[:3] += differ(n, init, r['sum of ' + n.output[0]], want)
            off[3] += (y != want.ravel()).sum()
    print('%d codes of convolutions, %d samples: exact sums times factor in '
          'float %d differ,\nin double %d, with the nearest multiplier %d, '
          'mcufc %d' % (total, len(data), *off))


def differ(n, init, acc, want):
    xs, ws, ys, yz = (init[n.input[k]] for k in (1, 4, 6, 7))
    axes = (1, -1) + (1,) * (acc.ndim - 2)
    f = ((xs * ws).astype(np.float32) / ys).reshape(
        axes if ws.size > 1 else ())
    acc = acc.astype(np.int64)
    if len(n.input) > 8:
        acc = acc + init[n.input[8]].astype(np.int64).reshape(axes)
    up = max(0, int(np.ceil(np.log2(f.max() * 2))))
    mult = np.floor(f.astype(float) * 2.0 ** (32 - up) + .5).astype(np.int64)
    codes = (np.rint(acc.astype(np.float32) * f),
             np.floor(acc * f.astype(float) + .5),
             ((acc << up) * mult + 2 ** 31) >> 32)
    lim = np.iinfo(want.dtype)
    return np.array([(np.clip(c + yz.astype(int), lim.min, lim.max) !=
                      want).sum() for c in codes])


def main():
    wanted = sys.argv[2:]
    if not os.path.isdir(SHARED + '/models'):
        print('SKIP agreement: no %s/models' % SHARED)
        return
    print('| model | | cosine, mean | least | within two steps | same class '
          '| equal |\n|---|---|---|---|---|---|---|')
    for name, which, count in MODELS:
        if wanted and not any(w in name for w in wanted):
            continue
        model = onnx.load(SHARED + '/models/' + name + '.onnx')
        data = inputs(name, which, count)
        last_codes(model)
        got = {k: [f(x) for x in data] for k, f in ways(model).items()}
        for one, other in itertools.combinations(got, 2):
            compare(name, one, other, got[one], got[other])
        if 'in floats' in got:
            sums(model, data[:50])


main()
