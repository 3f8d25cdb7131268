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


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("data", help="folder with CIFAR-10 (see cifar.py)")
    ap.add_argument("--epochs", type=int, default=12)
    ap.add_argument("--twin", type=float, help="train this width alone")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--out", default=os.path.join(HERE, "matvit.onnx"))
    args = ap.parse_args()
    torch.manual_seed(1)
    random.seed(1)
    torch.set_num_threads(args.threads)
    x, y = cifar.load_train(args.data)
    data = torch.from_numpy(cifar.floats(x)), torch.from_numpy(y)
    model = MatViT(ratio=4.0 * args.twin if args.twin else 4.0)
    depth = len(model.blocks)

    def choose(step):
        w = 1.0 if args.twin or step < 0 else random.choice(WIDTHS)
        model.set_widths([w] * depth)

    cifar.train(model, data, args.epochs, choose)
    x, y = cifar.load_test(args.data)
    x, y = torch.from_numpy(cifar.floats(x)), torch.from_numpy(y)
    for w in (1.0,) if args.twin else WIDTHS:
        model.set_widths([w] * depth)
        print(f"width {args.twin or w}: test {cifar.accuracy(model, x, y):.2f} %",
              flush=True)
    torch.save(model.state_dict(), args.out.replace(".onnx", ".pt"))
    export(model, args.out)


if __name__ == "__main__":
    main()
