"""The vision transformer of both examples, with nested feed-forward layers."""
import inspect
import math

import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.depth = heads, width // heads
        self.q = nn.Linear(width, width)
        self.k = nn.Linear(width, width)
        self.v = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def split(self, x):
        return x.reshape(x.shape[0], -1, self.heads, self.depth)

    def forward(self, x):
        q = self.split(self.q(x)).permute(0, 2, 1, 3)
        k = self.split(self.k(x)).permute(0, 2, 3, 1)
        v = self.split(self.v(x)).permute(0, 2, 1, 3)
        p = torch.softmax(torch.matmul(q, k) / math.sqrt(self.depth), dim=-1)
        y = torch.matmul(p, v).permute(0, 2, 1, 3)
        return self.proj(y.reshape(x.shape[0], -1, self.heads * self.depth))


class Nested(nn.Module):
    """act(x W1[:m]^T + b1[:m]) W2[:, :m]^T + b2"""

    def __init__(self, width, hidden):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.gelu = nn.GELU()
        self.fc2 = nn.Linear(hidden, width)
        self.used = hidden

    def forward(self, x):
        m = self.used
        if m == self.fc1.out_features:
            return self.fc2(self.gelu(self.fc1(x)))
        h = nn.functional.linear(x, self.fc1.weight[:m], self.fc1.bias[:m])
        return nn.functional.linear(self.gelu(h), self.fc2.weight[:, :m],
                                    self.fc2.bias)


class Block(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.ffn = Nested(width, hidden)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class MatViT(nn.Module):
    def __init__(self, patch=4, width=64, depth=4, heads=4, ratio=4.0):
        super().__init__()
        hidden = int(ratio * width)
        self.embed = nn.Conv2d(3, width, patch, stride=patch)
        self.pos = nn.Parameter(torch.zeros(1, (32 // patch) ** 2, width))
        self.blocks = nn.Sequential(
            *[Block(width, heads, hidden) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, 10)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.trunc_normal_(p, std=0.02 if p.dim() == 3 else 0.08)
        for m in self.modules():
            if isinstance(m, nn.Linear):
                nn.init.zeros_(m.bias)

    def set_widths(self, fractions):
        for block, f in zip(self.blocks, fractions):
            block.ffn.used = int(round(f * block.ffn.fc1.out_features))

    def forward(self, image, kept=None):
        x = self.embed(image).flatten(2).transpose(1, 2) + self.pos
        if kept is not None:
            x = x[:, kept]
        return self.head(self.norm(self.blocks(x)).mean(dim=1))


def export(model, path):
    """Opset 17, any batch; newer versions of PyTorch by the older exporter."""
    model.eval()
    model.set_widths([1.0] * len(model.blocks))
    older = "dynamo" in inspect.signature(torch.onnx.export).parameters
    torch.onnx.export(model, torch.zeros(1, 3, 32, 32), path,
                      opset_version=17, input_names=["image"],
                      output_names=["logits"],
                      dynamic_axes={"image": {0: "batch"},
                                    "logits": {0: "batch"}},
                      **({"dynamo": False} if older else {}))
