"""torch_step.py - PyTorch's eager training step on our networks, as a careful PyTorch user writes it.

A step is: forward, loss, backward, fused AdamW, zero_grad, on random images held in memory. Attention is
scaled_dot_product_attention; tokens are sorted by expert, each expert is one nn.Linear pair on its
contiguous rows, no Python per token. The router is ours on a step without Sinkhorn (`ssr`: noise, top-k,
renormalised softmax in fp32). One CSV line per size: median, smallest and largest of --steps steps.

    python torch_step.py --threads 2 --batch 64 vmoe-micro:64 vit-micro:64 vmoe-ti16

A size is NAME or NAME:PIXELS; vmoe-micro takes patch 4 at 32 pixels and 8 at 64. Needs torch.
"""

import argparse
import csv
import platform
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

# vit/config.c's sizes: image, patch, width, depth, heads, mlp, sparse blocks
SIZES = {
    "nano": (32, 4, 96, 4, 3, 192, "every:2"),
    "micro": (32, 4, 192, 6, 3, 768, "every:2"),
    "ti16": (224, 16, 192, 12, 3, 768, "every:2"),
    "s32": (224, 32, 512, 8, 8, 2048, "last:2"),
    "s16": (224, 16, 384, 12, 6, 1536, "every:2"),
    "b16": (224, 16, 768, 12, 12, 3072, "every:2"),
}
EXPERTS, CHOSEN, NOISE = 8, 2, 0.1


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.proj(y.transpose(1, 2).reshape(batch, tokens, width))


class Mlp(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Experts(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.router = nn.Linear(width, EXPERTS, bias=False)
        self.experts = nn.ModuleList(Mlp(width, hidden) for _ in range(EXPERTS))

    def forward(self, x):
        flat = x.reshape(-1, x.shape[-1])
        with torch.autocast("cpu", enabled=False):
            z = self.router(flat.float())
            z = z + NOISE * torch.randn_like(z)
            best, choice = z.topk(CHOSEN, dim=1)
            gate = torch.softmax(best, 1)
        expert = choice.reshape(-1)
        order = torch.argsort(expert)
        token = order // CHOSEN
        rows = flat.index_select(0, token)
        counts = torch.bincount(expert, minlength=EXPERTS).tolist()
        parts = [f(part) for f, part in zip(self.experts, rows.split(counts))]
        y = torch.cat(parts) * gate.reshape(-1).index_select(0, order).unsqueeze(1)
        return torch.zeros_like(flat, dtype=y.dtype).index_add(0, token, y).view_as(x)


class Block(nn.Module):
    def __init__(self, width, heads, hidden, sparse):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = (Experts if sparse else Mlp)(width, hidden)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Network(nn.Module):
    def __init__(self, name, image, classes):
        super().__init__()
        family, size = name.split("-")
        usual, patch, width, depth, heads, hidden, where = SIZES[size]
        self.image = image or usual
        if size == "micro" and self.image == 64:
            patch = 8
        sparse = list(range(1, depth, 2)) if where == "every:2" else list(range(1, depth, 2))[-2:]
        sparse = sparse if family == "vmoe" else []
        self.patch_embed = nn.Conv2d(3, width, patch, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        tokens = (self.image // patch) ** 2 + 1
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, tokens, width))
        self.blocks = nn.ModuleList(Block(width, heads, hidden, i in sparse) for i in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, Experts):
                nn.init.trunc_normal_(module.router.weight, std=width**-0.5)

    def forward(self, images):
        x = self.patch_embed(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


def machine():
    """The processor's name where the system tells it."""
    try:
        with open("/proc/cpuinfo") as info:
            return next(line.split(":")[1].strip() for line in info if "model name" in line)
    except (OSError, StopIteration):
        return platform.machine()


def optimizer_of(network):
    matrices = [p for p in network.parameters() if p.ndim >= 2 and p.shape[0] > 1]
    vectors = [p for p in network.parameters() if p.ndim < 2 or p.shape[0] == 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-4, fused=True)


def measure(name, image, args):
    torch.manual_seed(0)
    network = Network(name, image, args.classes).train()
    optimizer = optimizer_of(network)
    images = torch.randn(args.batch, 3, network.image, network.image)
    targets = torch.softmax(torch.randn(args.batch, args.classes), 1)
    seconds = []
    for _ in range(args.warmup + args.steps):
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.precision == "bf16"):
            logits = network(images)
        loss = F.cross_entropy(logits.float(), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - start)
    seconds = seconds[args.warmup :]
    median = statistics.median(seconds)
    return {
        "program": f"torch-{torch.__version__}", "size": name, "image": network.image,
        "batch": args.batch, "threads": args.threads, "precision": args.precision,
        "parameters": sum(p.numel() for p in network.parameters()), "steps": len(seconds),
        "median_ms": f"{1e3 * median:.3f}", "min_ms": f"{1e3 * min(seconds):.3f}",
        "max_ms": f"{1e3 * max(seconds):.3f}", "images_per_s": f"{args.batch / median:.2f}",
        "machine": machine(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="+", metavar="NAME[:PIXELS]")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--steps", type=int, default=9, help="timed, at least 9")
    parser.add_argument("--warmup", type=int, default=3)
    args = parser.parse_args()
    if args.steps < 9:
        parser.error("--steps is at least 9")
    torch.set_num_threads(args.threads)
    writer = None
    for size in args.sizes:
        name, _, image = size.partition(":")
        row = measure(name, int(image or 0), args)
        if writer is None:
            writer = csv.DictWriter(sys.stdout, row)
            writer.writeheader()
        writer.writerow(row)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
