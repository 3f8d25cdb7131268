#!/usr/bin/python3
"""Trains a small vision transformer of the MCUFormer family on CIFAR-10.

q, k, v, proj, fc1 and fc2 of every block are three linear layers without
biases but the last: V^T (r x in), S (r x r), U (out x r), as in arXiv
2310.16898. The compiler folds S away, and merges what is cheaper dense.
"""
import argparse
import os
import sys

import torch
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "matvit"))
import cifar                        # noqa: E402
from vit import MatViT, export      # noqa: E402


class LowRank(nn.Sequential):
    """x -> U S V^T x + b; starts as the best approximation of `linear`."""

    def __init__(self, linear, rank):
        u, s, vt = torch.linalg.svd(linear.weight.data, full_matrices=False)
        super().__init__(
            nn.Linear(linear.in_features, rank, bias=False),
            nn.Linear(rank, rank, bias=False),
            nn.Linear(rank, linear.out_features))
        self[0].weight.data = vt[:rank].clone()
        self[1].weight.data = torch.diag(s[:rank])
        self[2].weight.data = u[:, :rank].clone()
        self[2].bias.data = linear.bias.data.clone()


def split(model, ratio):
    """r = int(min(in, out) * ratio) everywhere, as the paper's search has."""
    for block in model.blocks:
        for owner, names in ((block.attn, ("q", "k", "v", "proj")),
                             (block.ffn, ("fc1", "fc2"))):
            for name in names:
                linear = getattr(owner, name)
                rank = int(min(linear.weight.shape) * ratio)
                setattr(owner, name, LowRank(linear, rank))


class Plain(nn.Module):
    """A feed-forward layer whose linears may be low rank: no slicing."""

    def __init__(self, ffn):
        super().__init__()
        self.fc1, self.gelu, self.fc2 = ffn.fc1, ffn.gelu, ffn.fc2

    def forward(self, x):
        return self.fc2(self.gelu(self.fc1(x)))


class MCUFormer(MatViT):
    def __init__(self, ratio, **kw):
        super().__init__(**kw)
        for block in self.blocks:
            block.ffn = Plain(block.ffn)
        split(self, ratio)

    def set_widths(self, fractions):
        """One width only."""


def arguments():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("data", nargs="?", default=cifar.FOLDER,
                   help="folder with CIFAR-10 (see cifar.py)")
    p.add_argument("--epochs", type=int, default=20)
    p.add_argument("--ratio", type=float, default=0.6)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--weights", help="no training: those of this .pt file")
    p.add_argument("--out", default=os.path.join(HERE, "mcuformer.onnx"))
    return p.parse_args()


def main():
    args = arguments()
    torch.manual_seed(1)
    torch.set_num_threads(args.threads)
    model = MCUFormer(args.ratio)
    if args.weights:
        model.load_state_dict(torch.load(args.weights, map_location="cpu"))
    else:
        data = cifar.tensors(cifar.load_train(args.data))
        cifar.train(model, data, args.epochs)
        torch.save(model.state_dict(), args.out.replace(".onnx", ".pt"))
    x, y = cifar.tensors(cifar.load_test(args.data))
    print(f"test {cifar.accuracy(model, x, y):.2f} %", flush=True)
    export(model, args.out)


if __name__ == "__main__":
    main()
