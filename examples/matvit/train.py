#!/usr/bin/python3
"""Trains a MatFormer-nested vision transformer on CIFAR-10, exports ONNX.

Every feed-forward layer is nested (MatFormer, arXiv 2310.07707): a width m
uses the first m hidden neurons. Each step trains one granularity, drawn
uniformly; attention, norms and embeddings are shared. One file then holds
all widths; --twin W trains a plain model of one width alone, to compare.
"""
import argparse
import os
import random

import torch

import cifar
from vit import MatViT, export

HERE = os.path.dirname(os.path.abspath(__file__))
WIDTHS = (0.125, 0.25, 0.5, 1.0)


def arguments():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("data", nargs="?", default=cifar.FOLDER,
                   help="folder with CIFAR-10 (see cifar.py)")
    p.add_argument("--epochs", type=int, default=20)
    p.add_argument("--twin", type=float, help="train this width alone")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--weights", help="no training: those of this .pt file")
    p.add_argument("--out", default=os.path.join(HERE, "matvit.onnx"))
    return p.parse_args()


def main():
    args = arguments()
    torch.manual_seed(1)
    random.seed(1)
    torch.set_num_threads(args.threads)
    model = MatViT(ratio=4.0 * args.twin if args.twin else 4.0)
    depth = len(model.blocks)

    def choose(step):
        w = 1.0 if args.twin or step < 0 else random.choice(WIDTHS)
        model.set_widths([w] * depth)

    if args.weights:
        model.load_state_dict(torch.load(args.weights, map_location="cpu"))
    else:
        data = cifar.tensors(cifar.load_train(args.data))
        cifar.train(model, data, args.epochs, choose)
        torch.save(model.state_dict(), args.out.replace(".onnx", ".pt"))
    x, y = cifar.tensors(cifar.load_test(args.data))
    for w in (1.0,) if args.twin else WIDTHS:
        model.set_widths([w] * depth)
        print(f"width {args.twin or w}: test "
              f"{cifar.accuracy(model, x, y):.2f} %", flush=True)
    export(model, args.out)
    if not args.twin:
        cifar.write_samples(args.data, os.path.dirname(args.out) or ".")


if __name__ == "__main__":
    main()
