#!/usr/bin/python3
"""Accuracy of vit_mnist.onnx on MNIST test images that training never saw.

Runs the file in ONNX Runtime or, with --mcufc, in mcufc's interpreter.
"""
import argparse
import os
import subprocess
import tempfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))


def logits_of_onnxruntime(model, image):
    import onnxruntime
    session = onnxruntime.InferenceSession(
        model, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"image": image})[0]


def logits_of_mcufc(mcufc, model, image):
    with tempfile.TemporaryDirectory() as folder:
        given = os.path.join(folder, "image.npy")
        wanted = os.path.join(folder, "logits.npy")
        np.save(given, image)
        subprocess.run([mcufc, model, "--run", given, "-o", wanted],
                       check=True)
        return np.load(wanted).reshape(len(image), -1)


def arguments():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("data", nargs="?",
                   default=os.path.join(HERE, "../../../shared/data"),
                   help="folder of mnist_test_a.npz")
    p.add_argument("--model", default=os.path.join(HERE, "vit_mnist.onnx"))
    p.add_argument("--mcufc", help="path of mcufc, to use its interpreter")
    p.add_argument("--count", type=int, help="only the first COUNT images")
    return p.parse_args()


def main():
    args = arguments()
    d = np.load(os.path.join(args.data, "mnist_test_a.npz"))
    x, y = d["x"][:args.count], d["y"][:args.count]
    image = x[:, None].astype(np.float32) / np.float32(255)
    if args.mcufc:
        logits = logits_of_mcufc(args.mcufc, args.model, image)
    else:
        logits = logits_of_onnxruntime(args.model, image)
    right = int((logits.argmax(1) == y).sum())
    print(f"{right} of {len(y)} test images right"
          f" ({100 * right / len(y):.2f} %)")


if __name__ == "__main__":
    main()
