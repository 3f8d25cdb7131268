"""CIFAR-10 images and a training loop, shared by the two examples.

The training images are read from mosaics of 100 x 100 tiles (a folder with
train_1..5.jpg, train_labels.npz and test_a.npz). The last 2,000 training
images are held out to watch the training; the test images are read once,
after the last epoch.
"""
import os
import time

import numpy as np

HELD_OUT = 2000
TOKENS = 64
MEAN = np.array([0.4914, 0.4822, 0.4465], np.float32)
STD = np.array([0.2470, 0.2435, 0.2616], np.float32)
# the same in units of the byte, for --input-norm
NORM = (":".join(f"{255 * float(m):.7g}" for m in MEAN) + "," +
        ":".join(f"{255 * float(s):.7g}" for s in STD))
CLASSES = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse",
           "ship", "truck")
FOLDER = os.path.join(os.environ.get("MCUFC_SHARED", os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "../../../shared")),
    "data/cifar10")


def floats(x):
    """uint8 [n,32,32,3] -> the models' input, float32 [n,3,32,32]"""
    x = (x.astype(np.float32) / 255 - MEAN) / STD
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def load_train(folder):
    """-> images uint8 [50000,32,32,3], labels int64 [50000]"""
    from PIL import Image
    Image.MAX_IMAGE_PIXELS = None
    parts = []
    for k in range(1, 6):
        with Image.open(os.path.join(folder, f"train_{k}.jpg")) as im:
            a = np.asarray(im.convert("RGB"))
        a = a.reshape(100, 32, 100, 32, 3).transpose(0, 2, 1, 3, 4)
        parts.append(a.reshape(-1, 32, 32, 3))
    labels = np.load(os.path.join(folder, "train_labels.npz"))
    x = np.concatenate(parts)
    y = labels[labels.files[0]].astype(np.int64)
    return x[:len(y)], y


def load_test(folder):
    d = np.load(os.path.join(folder, "test_a.npz"))
    return d["x"], d["y"].astype(np.int64)


def augment(x, rng):
    """Shifts by up to 4 pixels (edges mirrored) and mirrors half of them."""
    import torch
    n = x.shape[0]
    x = torch.nn.functional.pad(x, (4, 4, 4, 4), mode="reflect")
    out = torch.empty(n, 3, 32, 32)
    dy, dx = rng.integers(0, 9, n), rng.integers(0, 9, n)
    flip = rng.random(n) < 0.5
    for i in range(n):
        t = x[i, :, dy[i]:dy[i] + 32, dx[i]:dx[i] + 32]
        out[i] = t.flip(2) if flip[i] else t
    return out


def accuracy(model, x, y, batch=500):
    import torch
    model.eval()
    right = 0
    with torch.no_grad():
        for i in range(0, len(y), batch):
            guess = model(x[i:i + batch]).argmax(1)
            right += int((guess == y[i:i + batch]).sum())
    model.train()
    return 100.0 * right / len(y)


def optimizer(model, lr, steps):
    import torch
    decay = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    opt = torch.optim.AdamW([{"params": decay, "weight_decay": 0.05},
                             {"params": plain, "weight_decay": 0.0}], lr=lr)
    return opt, torch.optim.lr_scheduler.OneCycleLR(opt, lr, steps,
                                                    pct_start=0.15)


def train(model, data, epochs, before_step=lambda step: None, lr=2e-3,
          batch=128, seed=1, report=print):
    """AdamW under one cosine with warm-up; `before_step` may choose widths.
    For two thirds of the epochs each batch sees a random half of the patches
    (arXiv 2208.07220). data: float [n,3,32,32], labels; the last HELD_OUT
    only watch."""
    import torch
    x, y = data
    fit = len(y) - HELD_OUT
    rng = np.random.default_rng(seed)
    opt, sched = optimizer(model, lr, epochs * (fit // batch))
    step, t0 = 0, time.time()
    for epoch in range(epochs):
        order = rng.permutation(fit)
        for i in range(0, fit - batch + 1, batch):
            pick = order[i:i + batch]
            before_step(step)
            kept = None
            if epoch < epochs * 2 // 3:
                kept = torch.from_numpy(rng.permutation(TOKENS)[:TOKENS // 2])
            loss = torch.nn.functional.cross_entropy(
                model(augment(x[pick], rng), kept), y[pick],
                label_smoothing=0.1)
            opt.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
            sched.step()
            step += 1
        before_step(-1)
        held = accuracy(model, x[fit:], y[fit:])
        report(f"epoch {epoch + 1}/{epochs} loss {loss.item():.3f} held out "
               f"{held:.2f} % {time.time() - t0:.0f} s", flush=True)


def tensors(pair):
    import torch
    return torch.from_numpy(floats(pair[0])), torch.from_numpy(pair[1])


def write_header(path, x, y):
    """Test images as C, for a program that reads no files."""
    lines = [f"/* CIFAR-10 test images 0..{len(y) - 1} (Alex Krizhevsky, "
             "Vinod Nair, Geoffrey Hinton),",
             " * in order, none left out. Training never saw them. Axes: "
             "image, row,",
             " * column, RGB. Written by train.py. */",
             "#ifndef CIFAR_IMAGES_H", "#define CIFAR_IMAGES_H", "",
             f"#define DEMO_IMAGES {len(y)}", "",
             "static const char *const class_names[10] = {",
             "    " + ", ".join(f'"{c}"' for c in CLASSES[:5]) + ",",
             "    " + ", ".join(f'"{c}"' for c in CLASSES[5:]), "};",
             f"static const unsigned char demo_labels[{len(y)}] = {{",
             "    " + ", ".join(str(v) for v in y), "};",
             f"static const unsigned char demo_images[{len(y)}][3072] = {{"]
    for image in x:
        flat = [str(v) for v in image.ravel()]
        lines.append("    {")
        for i in range(0, len(flat), 16):
            lines.append("        " + ", ".join(flat[i:i + 16]) + ",")
        lines.append("    },")
    with open(path, "w") as f:
        f.write("\n".join(lines + ["};", "", "#endif", ""]))


def write_samples(folder, out):
    """images.h: 16 test images; calib.npz: 64 held-out training images"""
    x, y = load_test(folder)
    write_header(os.path.join(out, "images.h"), x[:16], y[:16])
    held = load_train(folder)[0][-HELD_OUT:]
    np.savez_compressed(os.path.join(out, "calib.npz"), image=held[:64])
