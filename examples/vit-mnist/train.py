#!/usr/bin/python3
"""Trains the demo's vision transformer on MNIST and exports it to ONNX.

The model is of MCUFormer's family (arXiv 2310.16898), scaled down to 28x28
images: patch embedding with stride = kernel, CLS token, absolute position
embedding, pre-norm blocks, exact (erf) GELU, head on the CLS token.

The last 2,000 training images are held out to watch the training. The test
images are read once, after the last epoch; nothing is chosen by them.
For two thirds of the epochs each batch sees a random half of the patches
(patch dropout, arXiv 2208.07220), which halves the time of an epoch.
"""
import argparse
import math
import os
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
HELD_OUT = 2000
DEMO_IMAGES = 64
EXPECTED_SAMPLES = 4
CALIBRATION_IMAGES = 128


class Attention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V for each head, then the projection."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.depth = width // heads
        self.q = nn.Linear(width, width)
        self.k = nn.Linear(width, width)
        self.v = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def split(self, x):
        """[batch, tokens, width] -> [batch, tokens, heads, depth]"""
        return x.reshape(x.shape[0], -1, self.heads, self.depth)

    def forward(self, x):
        q = self.split(self.q(x)).permute(0, 2, 1, 3)
        k = self.split(self.k(x)).permute(0, 2, 3, 1)
        v = self.split(self.v(x)).permute(0, 2, 1, 3)
        p = torch.softmax(torch.matmul(q, k) / math.sqrt(self.depth), dim=-1)
        y = torch.matmul(p, v).permute(0, 2, 1, 3)
        return self.proj(y.reshape(x.shape[0], -1, self.heads * self.depth))


class Block(nn.Module):
    def __init__(self, width, heads, ratio):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.fc1 = nn.Linear(width, ratio * width)
        self.gelu = nn.GELU()
        self.fc2 = nn.Linear(ratio * width, width)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.fc2(self.gelu(self.fc1(self.norm2(x))))


class ViT(nn.Module):
    def __init__(self, patch=4, width=48, depth=4, heads=3, ratio=4):
        super().__init__()
        self.patches = (28 // patch) ** 2
        self.embed = nn.Conv2d(1, width, patch, stride=patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, width))
        self.pos = nn.Parameter(torch.zeros(1, self.patches + 1, width))
        self.blocks = nn.Sequential(
            *[Block(width, heads, ratio) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, 10)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.trunc_normal_(p, std=0.02 if p.dim() == 3 else 0.08)
        for m in self.modules():
            if isinstance(m, nn.Linear):
                nn.init.zeros_(m.bias)

    def forward(self, image, kept=None):
        x = self.embed(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], dim=1)
        x = x + self.pos
        if kept is not None:
            x = x[:, kept]
        return self.head(self.norm(self.blocks(x))[:, 0])


def macs(model):
    """Multiply-accumulates of one image, in matrix products only."""
    tokens, width = model.patches + 1, model.head.in_features
    total = model.patches * model.embed.weight.numel() + 10 * width
    for block in model.blocks:
        linears = [m for m in block.modules() if isinstance(m, nn.Linear)]
        total += tokens * sum(m.weight.numel() for m in linears)
        total += 2 * tokens * tokens * width
    return total


def floats(x):
    """uint8 [n,28,28] -> the model's input, float32 [n,1,28,28] in 0..1"""
    return x[:, None].astype(np.float32) / np.float32(255)


def load(path):
    d = np.load(path)
    x, y = floats(d["x"]), d["y"].astype(np.int64)
    return torch.from_numpy(x), torch.from_numpy(y)


def augment(x, rng):
    """Rotates up to 12 degrees, scales up to 10 %, shifts up to 2 pixels."""
    def uniform(limit):
        return (2 * torch.rand(len(x), generator=rng) - 1) * limit
    angle, scale = uniform(math.radians(12)), 1 + uniform(0.1)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [cos, -sin, uniform(2 / 14), sin, cos, uniform(2 / 14)]
    grid = F.affine_grid(torch.stack(rows, 1).reshape(-1, 2, 3), x.shape,
                         align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def random_patches(model, share, rng):
    """Token indices: CLS and a share of the patches, or None for all."""
    if share >= 1:
        return None
    order = torch.randperm(model.patches, generator=rng)
    order = order[:int(share * model.patches)]
    return torch.cat([torch.zeros(1, dtype=torch.long), order + 1])


@torch.no_grad()
def accuracy(model, x, y):
    model.eval()
    right = sum(int((model(a).argmax(1) == b).sum())
                for a, b in zip(x.split(500), y.split(500)))
    return right / len(y)


def optimizer_of(model, args, steps):
    matrices = [p for p in model.parameters() if p.dim() == 2 or p.dim() == 4]
    others = [p for p in model.parameters() if p.dim() in (1, 3)]
    opt = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.05},
                             {"params": others, "weight_decay": 0.0}])
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        opt, max_lr=args.rate, total_steps=steps, pct_start=0.15,
        final_div_factor=100)
    return opt, schedule


def train(model, args):
    rng = torch.Generator().manual_seed(args.seed)
    x, y = load(os.path.join(args.data, "mnist_train.npz"))
    held_x, held_y = x[-HELD_OUT:], y[-HELD_OUT:]
    x, y = x[:-HELD_OUT], y[:-HELD_OUT]
    batches = len(x) // args.batch
    opt, schedule = optimizer_of(model, args, args.epochs * batches)
    start = time.time()
    for epoch in range(args.epochs):
        model.train()
        share = 0.5 if epoch < 2 * args.epochs // 3 else 1.0
        order = torch.randperm(len(x), generator=rng)
        total = 0.0
        for i in range(batches):
            pick = order[i * args.batch:(i + 1) * args.batch]
            kept = random_patches(model, share, rng)
            loss = F.cross_entropy(model(augment(x[pick], rng), kept),
                                   y[pick], label_smoothing=0.05)
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1:2d}/{args.epochs}"
              f"  loss {total / batches:.4f}"
              f"  held out {100 * accuracy(model, held_x, held_y):.2f} %"
              f"  {time.time() - start:.0f} s", flush=True)


def export(model, path):
    model.eval()
    torch.onnx.export(
        model, torch.zeros(1, 1, 28, 28), path, opset_version=17,
        input_names=["image"], output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}})
    print(f"{os.path.basename(path)}: {os.path.getsize(path)} bytes")


def write_header(path, x, y):
    """The demo's images as C, for a program that reads no files."""
    lines = [f"/* MNIST test images 0..{len(x) - 1} (Yann LeCun, Corinna "
             "Cortes; CC BY-SA 3.0),",
             " * taken in order, none left out. Training never saw them.",
             " * Axes: image, row * 28 + column; 0 is background, 255 ink.",
             " * Written by train.py. */",
             "#ifndef VIT_MNIST_IMAGES_H",
             "#define VIT_MNIST_IMAGES_H",
             "",
             f"#define DEMO_IMAGES {len(x)}",
             "",
             f"static const unsigned char demo_labels[{len(x)}] = {{"]
    lines += wrap(y)
    lines += ["};", "",
              f"static const unsigned char demo_images[{len(x)}][784] = {{"]
    for image, label in zip(x, y):
        lines += [f"    {{ /* a {label} */"] + wrap(image.ravel()) + ["    },"]
    lines += ["};", "", "#endif", ""]
    with open(path, "w") as f:
        f.write("\n".join(lines))


def wrap(values):
    """Comma-separated numbers in lines of at most 79 columns."""
    lines, line = [], "       "
    for v in values:
        if len(line) + len(f" {v},") > 79:
            lines.append(line)
            line = "       "
        line += f" {v},"
    return lines + [line]


def write_samples(model, folder, data):
    """images.npz, images.h, expected.npz of test images; calib.npz"""
    d = np.load(os.path.join(data, "mnist_test_a.npz"))
    x, y = d["x"][:DEMO_IMAGES], d["y"][:DEMO_IMAGES]
    np.savez_compressed(os.path.join(folder, "images.npz"),
                        image=floats(x), label=y)
    write_header(os.path.join(folder, "images.h"), x, y)
    arrays = {}
    for i in range(EXPECTED_SAMPLES):
        image = floats(x[i:i + 1])
        with torch.no_grad():
            logits = model(torch.from_numpy(image)).numpy()
        arrays[f"s{i}_in__image"], arrays[f"s{i}_out__logits"] = image, logits
    np.savez_compressed(os.path.join(folder, "expected.npz"), **arrays)
    held = np.load(os.path.join(data, "mnist_train.npz"))["x"][-HELD_OUT:]
    np.savez_compressed(os.path.join(folder, "calib.npz"),
                        image=floats(held[:CALIBRATION_IMAGES]))


def arguments():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("data", nargs="?",
                   default=os.path.join(HERE, "../../../shared/data"),
                   help="folder of mnist_train.npz and mnist_test_a.npz")
    p.add_argument("--out", default=HERE, help="folder for the results")
    p.add_argument("--epochs", type=int, default=14)
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--rate", type=float, default=2e-3, help="peak")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=1)
    return p.parse_args()


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(args.seed)
    model = ViT()
    print(f"{sum(p.numel() for p in model.parameters())} parameters,"
          f" {macs(model)} MACs per image", flush=True)
    train(model, args)
    x, y = load(os.path.join(args.data, "mnist_test_a.npz"))
    print(f"test: {100 * accuracy(model, x, y):.2f} % of {len(y)} images")
    export(model, os.path.join(args.out, "vit_mnist.onnx"))
    write_samples(model, args.out, args.data)


if __name__ == "__main__":
    main()
