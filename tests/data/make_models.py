#!/usr/bin/env python3
"""Makes the .onnx files of this folder (needs numpy and the onnx package).

good: three small networks that between them use many ops, dtypes, attribute
kinds and features of the format; they seed the fuzzer. bad/: models whose
every byte is well-formed and that must be refused, with what the message has
to say in bad/expect.tsv. Run from anywhere; the files are committed, so that
tests need no Python.
"""
import os

import numpy as np
from onnx import TensorProto as T
from onnx import checker, helper, numpy_helper, save

HERE = os.path.dirname(os.path.abspath(__file__))
RNG = np.random.RandomState(1)
node = helper.make_node


def const(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def weight(name, *shape):
    return const(name, (RNG.randn(*shape) * 0.3).astype(np.float32))


def info(name, dtype, shape):
    return helper.make_tensor_value_info(name, dtype, shape)


def model(nodes, inputs, outputs, inits=(), functions=(), opset=17,
          imports=(), ir=8):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(inits))
    sets = [helper.make_opsetid("", opset)] + list(imports)
    m = helper.make_model(graph, opset_imports=sets,
                          functions=list(functions))
    m.ir_version = ir
    m.producer_name = "mcufc tests"
    m.ClearField("producer_version")
    return m


# Good.

def attention():
    """One pre-norm transformer block as exporters write it."""
    t, e, h = 6, 8, 2
    n = [
        node("LayerNormalization", ["x", "g1", "b1"], ["n1"], epsilon=1e-6),
        node("MatMul", ["n1", "wqkv"], ["qkv"]),
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["batch"], axis=0),
        node("Unsqueeze", ["batch", "axis0"], ["batch1"]),
        node("Concat", ["batch1", "heads"], ["s5"], axis=0),
        node("Reshape", ["qkv", "s5"], ["qkv5"]),
        node("Transpose", ["qkv5"], ["qkvt"], perm=[2, 0, 3, 1, 4]),
        node("Split", ["qkvt"], ["q0", "k0", "v0"], axis=0),
        node("Squeeze", ["q0", "axis0"], ["q"]),
        node("Squeeze", ["k0", "axis0"], ["k"]),
        node("Squeeze", ["v0", "axis0"], ["v"]),
        node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]),
        node("MatMul", ["q", "kt"], ["scores0"]),
        node("Mul", ["scores0", "scale"], ["scores"]),
        node("Softmax", ["scores"], ["p"], axis=-1),
        node("MatMul", ["p", "v"], ["c0"]),
        node("Transpose", ["c0"], ["c1"], perm=[0, 2, 1, 3]),
        node("Reshape", ["c1", "back"], ["c"]),
        node("MatMul", ["c", "wo"], ["o"]),
        node("Add", ["x", "o"], ["r"]),
        node("LayerNormalization", ["r", "g1", "b1"], ["n2"]),
        node("MatMul", ["n2", "w1"], ["f0"]),
        node("Div", ["f0", "sqrt2"], ["f1"]),
        node("Erf", ["f1"], ["f2"]),
        node("Add", ["f2", "one"], ["f3"]),
        node("Mul", ["f0", "f3"], ["f4"]),
        node("Mul", ["f4", "half"], ["f5"]),
        node("MatMul", ["f5", "w2"], ["f6"]),
        node("Add", ["r", "f6"], ["y"]),
    ]
    f32 = np.float32
    inits = [
        weight("g1", e), weight("b1", e), weight("wqkv", e, 3 * e),
        weight("wo", e, e), weight("w1", e, 2 * e), weight("w2", 2 * e, e),
        const("zero", np.int64(0)), const("axis0", np.int64([0])),
        const("heads", np.int64([t, 3, h, e // h])),
        const("back", np.int64([0, t, e])), const("scale", f32(0.5)),
        const("sqrt2", f32(2 ** 0.5)), const("one", f32(1)),
        const("half", f32(0.5)),
    ]
    return model(n, [info("x", T.FLOAT, ["batch", t, e])],
                 [info("y", T.FLOAT, ["batch", t, e])], inits)


def qcnn():
    """An int8 QDQ network, and image ops in float around it."""
    inits = [
        const("s", np.float32(0.05)), const("z", np.int8(3)),
        const("sw", np.float32([0.01, 0.02, 0.015, 0.01])),
        const("zw", np.int8([0, 0, 0, 0])),
        const("w", RNG.randint(-90, 90, (4, 3, 3, 3)).astype(np.int8)),
        const("wd", RNG.randint(-90, 90, (4, 1, 3, 3)).astype(np.int8)),
        const("bias", np.int32([100, -20, 7, 0])),
        const("sb", np.float32([0.0005, 0.001, 0.00075, 0.0005])),
        const("zb", np.int32([0, 0, 0, 0])),
        const("scales", np.float32([1, 1, 2, 2])), const("pads", np.int64(
            [0, 0, 0, 1, 0, 0, 1, 0])),
        const("low", np.float32(0)), const("high", np.float32(6)),
        weight("wf", 3, 4), weight("bf", 3),
    ]
    n = [
        node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        node("DequantizeLinear", ["w", "sw", "zw"], ["wq"], axis=0),
        node("DequantizeLinear", ["bias", "sb", "zb"], ["bq"], axis=0),
        node("Conv", ["xd", "wq", "bq"], ["c1"], kernel_shape=[3, 3],
             strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Clip", ["c1", "low", "high"], ["r1"]),
        node("QuantizeLinear", ["r1", "s", "z"], ["r1q"]),
        node("DequantizeLinear", ["r1q", "s", "z"], ["r1d"]),
        node("DequantizeLinear", ["wd", "sw", "zw"], ["wdq"], axis=0),
        node("Conv", ["r1d", "wdq"], ["c2"], group=4, auto_pad="SAME_UPPER"),
        node("LeakyRelu", ["c2"], ["r2"], alpha=0.1),
        node("MaxPool", ["r2"], ["p1"], kernel_shape=[2, 2], strides=[1, 1]),
        node("Resize", ["p1", "", "scales"], ["u1"], mode="linear",
             coordinate_transformation_mode="align_corners"),
        node("Pad", ["u1", "pads", "low"], ["u2"]),
        node("AveragePool", ["u2"], ["p2"], kernel_shape=[3, 3],
             ceil_mode=1, count_include_pad=1),
        node("GlobalAveragePool", ["p2"], ["p3"]),
        node("Flatten", ["p3"], ["p4"]),
        node("Gemm", ["p4", "wf", "bf"], ["y"], transB=1, alpha=0.5),
        node("ArgMax", ["y"], ["best"], axis=1, keepdims=0),
    ]
    return model(n, [info("x", T.FLOAT, [1, 3, 8, 8])],
                 [info("y", T.FLOAT, [1, 3]), info("best", T.INT64, [1])],
                 inits)


def features():
    """A function, subgraphs, typed data, recurrence, integers, strings."""
    f = helper.make_function(
        "my.own", "Scaled", ["a", "b"], ["c"],
        [node("LeakyRelu", ["a"], ["t"]), node("Mul", ["t", "b"], ["c"])],
        [helper.make_opsetid("", 17)], ["alpha"])
    ref = f.node[0].attribute.add()
    ref.name = "alpha"
    ref.ref_attr_name = "alpha"
    ref.type = 1
    then = helper.make_graph([node("Add", ["h", "one"], ["th"])], "then", [],
                             [info("th", T.FLOAT, None)])
    other = helper.make_graph([node("Sub", ["h", "one"], ["el"])], "else", [],
                              [info("el", T.FLOAT, None)])
    body = helper.make_graph(
        [node("Add", ["s_in", "one"], ["s_out"]),
         node("Identity", ["c_in"], ["c_out"])], "body",
        [info("i", T.INT64, []), info("c_in", T.BOOL, []),
         info("s_in", T.FLOAT, [2, 1, 3])],
        [info("c_out", T.BOOL, []), info("s_out", T.FLOAT, [2, 1, 3])])
    n = [
        node("LSTM", ["x", "w", "r"], ["", "hn"], hidden_size=3,
             direction="bidirectional",
             activations=["Sigmoid", "Tanh", "Tanh"] * 2),
        node("Scaled", ["hn", "two"], ["h"], domain="my.own", alpha=0.2),
        node("If", ["yes"], ["i1"], then_branch=then, else_branch=other),
        node("Loop", ["three", "yes", "i1"], ["l1"], body=body),
        node("Cast", ["ids"], ["ids64"], to=7),
        node("Gather", ["table", "ids64"], ["emb"]),
        node("TopK", ["emb", "k1"], ["top", "where"], axis=-1),
        node("Where", ["mask", "l1", "i1"], ["y"]),
        node("Constant", [], ["cs"], value_strings=["a", "b"]),
        node("Constant", [], ["cf"], value_floats=[1.0, 2.0, 3.0]),
        node("Mul", ["top", "cf3"], ["z"]),
        node("Slice", ["cf", "b0", "b1"], ["cf3"]),
    ]
    n = n[:10] + [n[11], n[10]]
    inits = [
        weight("w", 2, 12, 4), weight("r", 2, 12, 3),
        const("two", np.float32(2)), const("one", np.float32(1)),
        const("yes", np.bool_(True)), const("three", np.int64(3)),
        helper.make_tensor("table", T.FLOAT16, [4, 5],
                           np.arange(20).astype(np.float16)),
        const("k1", np.int64([1])), const("b0", np.int64([0])),
        const("b1", np.int64([1])),
        helper.make_tensor("mask", T.BOOL, [2, 1, 3], [1, 0, 1, 1, 0, 0]),
        helper.make_tensor("words", T.STRING, [2], [b"one", b"two"]),
    ]
    n[4:7] = [
        node("Cast", ["ids"], ["ids64"], to=7),
        node("Gather", ["table", "ids64"], ["emb16"]),
        node("Cast", ["emb16"], ["emb"], to=1),
        node("TopK", ["emb", "k1"], ["top", "where"], axis=-1),
    ]
    return model(n, [info("x", T.FLOAT, ["seq", 1, 4]),
                     info("ids", T.INT32, [3])],
                 [info("y", T.FLOAT, [2, 1, 3]), info("z", T.FLOAT, [3, 1]),
                  info("where", T.INT64, [3, 1])],
                 inits, [f], imports=[helper.make_opsetid("my.own", 1)])


# Bad.

BAD = {}


def bad(message):
    def add(fn):
        BAD[fn.__name__] = (fn(), message)
        return fn
    return add


def unary(op, **attr):
    return model([node(op, ["x"], ["y"], **attr)],
                 [info("x", T.FLOAT, [2, 3])], [info("y", T.FLOAT, None)])


@bad("cycle")
def cycle():
    return model([node("Add", ["x", "b"], ["a"]), node("Neg", ["a"], ["b"])],
                 [info("x", T.FLOAT, [2])], [info("b", T.FLOAT, [2])])


@bad("'b'")
def undefined_input():
    return model([node("Add", ["x", "b"], ["a"])],
                 [info("x", T.FLOAT, [2])], [info("a", T.FLOAT, [2])])


@bad("'a'")
def defined_twice():
    return model([node("Neg", ["x"], ["a"]), node("Abs", ["x"], ["a"])],
                 [info("x", T.FLOAT, [2])], [info("a", T.FLOAT, [2])])


@bad("'y'")
def output_from_nowhere():
    return model([node("Neg", ["x"], ["a"])], [info("x", T.FLOAT, [2])],
                 [info("y", T.FLOAT, [2])])


@bad("Frobnicate")
def unknown_op():
    return unary("Frobnicate")


@bad("calls itself")
def recursive_function():
    f = helper.make_function("f", "F", ["a"], ["b"],
                             [node("F", ["a"], ["b"], domain="f")],
                             [helper.make_opsetid("f", 1)])
    return model([node("F", ["x"], ["y"], domain="f")],
                 [info("x", T.FLOAT, [2])], [info("y", T.FLOAT, [2])],
                 functions=[f], imports=[helper.make_opsetid("f", 1)])


@bad("more than")
def doubling_functions():
    """28 functions that call the next one twice: 2^28 nodes."""
    sets = [helper.make_opsetid("f", 1), helper.make_opsetid("", 17)]
    fs = [helper.make_function(
        "f", "F%d" % i, ["a"], ["c"],
        [node("F%d" % (i + 1), ["a"], ["b"], domain="f"),
         node("F%d" % (i + 1), ["b"], ["c"], domain="f")], sets)
        for i in range(28)]
    fs.append(helper.make_function("f", "F28", ["a"], ["c"],
                                   [node("Neg", ["a"], ["c"])], sets))
    return model([node("F0", ["x"], ["y"], domain="f")],
                 [info("x", T.FLOAT, [2])], [info("y", T.FLOAT, [2])],
                 functions=fs, imports=[helper.make_opsetid("f", 1)])


@bad("Loop")
def endless_loop():
    body = helper.make_graph(
        [node("Identity", ["c"], ["d"]), node("Neg", ["s"], ["t"])], "body",
        [info("i", T.INT64, []), info("c", T.BOOL, []),
         info("s", T.FLOAT, [2])],
        [info("d", T.BOOL, []), info("t", T.FLOAT, [2])])
    return model([node("Loop", ["n", "c0", "x"], ["y"], body=body)],
                 [info("x", T.FLOAT, [2])], [info("y", T.FLOAT, [2])],
                 [const("n", np.int64(2 ** 62)), const("c0", np.bool_(1))])


def shaped(op, extra, **attr):
    ins = ["x"] + [t.name for t in extra]
    return model([node(op, ins, ["y"], **attr)], [info("x", T.FLOAT, [2, 3])],
                 [info("y", T.FLOAT, None)], extra)


@bad("too large")
def huge_expand():
    return shaped("Expand", [const("s", np.int64([2 ** 40, 2, 3]))])


@bad("too large")
def overflowing_expand():
    return shaped("Expand", [const("s", np.int64([2 ** 62, 2 ** 62, 2, 3]))])


@bad("too large")
def huge_tile():
    return shaped("Tile", [const("r", np.int64([2 ** 40, 2 ** 40]))])


@bad("2305843009213693952")
def huge_pad():
    return shaped("Pad", [const("p", np.int64([0, 0, 2 ** 61, 2 ** 61]))])


@bad("1e+30")
def huge_resize():
    return model([node("Resize", ["x", "", "s"], ["y"])],
                 [info("x", T.FLOAT, [2, 3])], [info("y", T.FLOAT, None)],
                 [const("s", np.float32([1e30, 1e30]))])


@bad("nan")
def nan_resize():
    return model([node("Resize", ["x", "", "s"], ["y"])],
                 [info("x", T.FLOAT, [2, 3])], [info("y", T.FLOAT, None)],
                 [const("s", np.float32([np.nan, 1]))])


@bad("too large")
def huge_constant():
    return model([node("ConstantOfShape", ["s"], ["c"]),
                  node("Add", ["x", "c"], ["y"])],
                 [info("x", T.FLOAT, [1])], [info("y", T.FLOAT, None)],
                 [const("s", np.int64([2 ** 39]))])


@bad("too large")
def huge_range():
    return model([node("Range", ["a", "b", "c"], ["r"]),
                  node("Add", ["x", "r"], ["y"])],
                 [info("x", T.INT64, [1])], [info("y", T.INT64, None)],
                 [const("a", np.int64(0)), const("b", np.int64(2 ** 62)),
                  const("c", np.int64(1))])


@bad("Range")
def zero_step_range():
    return model([node("Range", ["a", "b", "c"], ["r"]),
                  node("Add", ["x", "r"], ["y"])],
                 [info("x", T.FLOAT, [1])], [info("y", T.FLOAT, None)],
                 [const("a", np.float32(0)), const("b", np.float32(5)),
                  const("c", np.float32(0))])


@bad("too large")
def huge_onehot():
    return model([node("OneHot", ["i", "d", "v"], ["y"])],
                 [info("i", T.INT64, [4])], [info("y", T.FLOAT, None)],
                 [const("d", np.int64(2 ** 50)),
                  const("v", np.float32([0, 1]))])


@bad("input 'x'")
def huge_input():
    return model([node("Neg", ["x"], ["y"])],
                 [info("x", T.FLOAT, [2 ** 31, 2 ** 31, 2 ** 31])],
                 [info("y", T.FLOAT, None)])


@bad("too large")
def large_buffers():
    return model([node("MatMul", ["x", "x"], ["y"])],
                 [info("x", T.FLOAT, [2 ** 19, 2 ** 19])],
                 [info("y", T.FLOAT, None)])


@bad("sequence")
def sequence_input():
    v = helper.make_tensor_sequence_value_info("x", T.FLOAT, [2])
    return model([node("SequenceLength", ["x"], ["y"])], [v],
                 [info("y", T.INT64, [])])


@bad("'w'")
def string_weights():
    t = helper.make_tensor("w", T.STRING, [2], [b"a", b"b"])
    return model([node("Gather", ["w", "i"], ["y"])],
                 [info("i", T.INT64, [1])], [info("y", T.STRING, [1])], [t])


@bad("9 dimensions")
def rank_nine():
    return model([node("Neg", ["x"], ["y"])], [info("x", T.FLOAT, [1] * 9)],
                 [info("y", T.FLOAT, None)])


def conv(w, x=(1, 4, 8, 8), **attr):
    return model([node("Conv", ["x", "w"], ["y"], **attr)],
                 [info("x", T.FLOAT, x)], [info("y", T.FLOAT, None)],
                 [weight("w", *w)])


@bad("group")
def conv_group():
    return conv((4, 4, 3, 3), group=3)


@bad("strides")
def conv_zero_stride():
    return conv((4, 4, 3, 3), strides=[0, 0])


@bad("pads")
def conv_negative_pads():
    return conv((4, 4, 3, 3), pads=[-9, -9, -9, -9])


@bad("4611686018427387904")
def conv_huge_pads():
    return conv((4, 4, 3, 3), pads=[2 ** 62] * 4)


@bad("4611686018427387904")
def conv_huge_dilation():
    return conv((4, 4, 3, 3), dilations=[2 ** 62, 2 ** 62])


@bad("strides")
def conv_short_strides():
    return conv((4, 4, 3, 3), strides=[1])


@bad("channels")
def conv_channels():
    return conv((4, 5, 3, 3))


@bad("kernel_shape")
def conv_kernel_shape():
    return conv((4, 4, 3, 3), kernel_shape=[5, 5])


@bad("kernel_shape")
def pool_zero_kernel():
    return model([node("MaxPool", ["x"], ["y"], kernel_shape=[0, 0])],
                 [info("x", T.FLOAT, [1, 1, 8, 8])],
                 [info("y", T.FLOAT, None)])


@bad("'alpha'")
def wrong_attribute_kind():
    return unary("LeakyRelu", alpha="0.1")


@bad("axis 7")
def bad_axis():
    return unary("Softmax", axis=7)


@bad("perm")
def bad_perm():
    return unary("Transpose", perm=[0, 0])


@bad("77")
def bad_cast():
    return unary("Cast", to=77)


@bad("'to'")
def missing_attribute():
    return unary("Cast")


@bad("3 inputs")
def too_many_inputs():
    return model([node("Relu", ["x", "x", "x"], ["y"])],
                 [info("x", T.FLOAT, [2])], [info("y", T.FLOAT, [2])])


@bad("MatMul")
def shapes_do_not_fit():
    return model([node("MatMul", ["x", "w"], ["y"])],
                 [info("x", T.FLOAT, [2, 3])], [info("y", T.FLOAT, None)],
                 [weight("w", 4, 5)])


@bad("nan")
def nan_scale():
    return model([node("QuantizeLinear", ["x", "s", "z"], ["q"]),
                  node("DequantizeLinear", ["q", "s", "z"], ["y"])],
                 [info("x", T.FLOAT, [2])], [info("y", T.FLOAT, [2])],
                 [const("s", np.float32(np.nan)), const("z", np.int8(0))])


@bad("index 4")
def gather_out_of_range():
    return model([node("Gather", ["w", "i"], ["g"]),
                  node("Add", ["x", "g"], ["y"])],
                 [info("x", T.FLOAT, [1, 5])], [info("y", T.FLOAT, None)],
                 [weight("w", 4, 5), const("i", np.int64([4]))])


@bad("Reshape")
def reshape_misfit():
    return shaped("Reshape", [const("s", np.int64([4, -1]))])


@bad("-1")
def reshape_two_unknown():
    return shaped("Reshape", [const("s", np.int64([-1, -1]))])


@bad("opset")
def future_opset():
    return model([node("Neg", ["x"], ["y"])], [info("x", T.FLOAT, [2])],
                 [info("y", T.FLOAT, [2])], opset=999)


def main():
    for fn in attention, qcnn, features:
        m = fn()
        checker.check_model(m)
        save(m, os.path.join(HERE, fn.__name__ + ".onnx"))
    with open(os.path.join(HERE, "bad", "expect.tsv"), "w") as out:
        for name, (m, message) in BAD.items():
            save(m, os.path.join(HERE, "bad", name + ".onnx"))
            out.write("%s\t%s\n" % (name, message))


main()
