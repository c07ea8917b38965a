"""make_training.py - writes tests/golden/training.safetensors: what PyTorch makes, in double precision,
of optimiser steps, losses and position resampling. Read by test_vit_optimizer.c, test_vit_loss.c,
test_vit_resize.c.

    python tests/reference/make_training.py [OUT_FILE]
"""

import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

STEPS = 5

# The network of test_vit_optimizer.c in the order of its parameters: name, floats, decayed or not.
NETWORK = [
    ("cls_token", 4, 0), ("pos_embed", 8, 0), ("patch_embed.proj.weight", 16, 1),
    ("patch_embed.proj.bias", 4, 0), ("blocks.0.norm1.weight", 4, 0), ("blocks.0.norm1.bias", 4, 0),
    ("blocks.0.attn.qkv.weight", 48, 1), ("blocks.0.attn.qkv.bias", 12, 0),
    ("blocks.0.attn.proj.weight", 16, 1), ("blocks.0.attn.proj.bias", 4, 0),
    ("blocks.0.norm2.weight", 4, 0), ("blocks.0.norm2.bias", 4, 0),
    ("blocks.0.mlp.fc1.weight", 12, 1), ("blocks.0.mlp.fc1.bias", 3, 0),
    ("blocks.0.mlp.fc2.weight", 12, 1), ("blocks.0.mlp.fc2.bias", 4, 0),
    ("norm.weight", 4, 0), ("norm.bias", 4, 0), ("head.weight", 8, 1), ("head.bias", 2, 0),
]


def adamw(groups, beta1, beta2, eps):
    return torch.optim.AdamW(groups, lr=1.0, betas=(beta1, beta2), eps=eps)


def sgd(groups, momentum, nesterov):
    return torch.optim.SGD(groups, lr=1.0, momentum=momentum, nesterov=nesterov)


# name: maker, weight decay, clip, ema. The test holds the same numbers.
OPTIMIZERS = {
    "adamw": (lambda g: adamw(g, 0.9, 0.999, 1e-8), 0.1, 0.0, 0.0),
    "adamw_clip": (lambda g: adamw(g, 0.8, 0.95, 1e-4), 0.05, 1.0, 0.9),
    "sgd": (lambda g: sgd(g, 0.0, False), 0.0, 0.0, 0.0),
    "sgd_momentum": (lambda g: sgd(g, 0.9, False), 0.01, 0.0, 0.75),
    "sgd_nesterov": (lambda g: sgd(g, 0.9, True), 0.01, 2.0, 0.0),
}


def optimizers(out):
    generator = torch.Generator().manual_seed(1)
    count = sum(n for _, n, _ in NETWORK)
    start = torch.randn(count, generator=generator)
    # Some gradients are far smaller than others, one tensor has none.
    gradients = torch.randn(STEPS, count, generator=generator) * torch.logspace(-4, 0, count)
    gradients[:, :4] = 0
    decayed = torch.cat([torch.full((n,), d, dtype=torch.uint8) for _, n, d in NETWORK])
    out |= {"start": start, "gradients": gradients, "decayed": decayed}
    for name, (make, decay, clip, ema) in OPTIMIZERS.items():
        tensors = list(start.double().split([n for _, n, _ in NETWORK]))
        tensors = [t.clone().requires_grad_() for t in tensors]
        optimizer = make([
            {"params": [t for t, row in zip(tensors, NETWORK) if row[2]], "weight_decay": decay},
            {"params": [t for t, row in zip(tensors, NETWORK) if not row[2]], "weight_decay": 0.0},
        ])
        average, norms = start.double(), []
        for step in range(STEPS):
            for t, g in zip(tensors, gradients[step].double().split([n for _, n, _ in NETWORK])):
                t.grad = g.clone()
            norms.append(torch.nn.utils.clip_grad_norm_(tensors, clip if clip else float("inf")))
            for group in optimizer.param_groups:
                group["lr"] = 0.01 * (step + 1)
            optimizer.step()
            flat = torch.cat([t.detach() for t in tensors])
            average = ema * average + (1 - ema) * flat
        out[f"{name}/weights"] = flat.float()
        out[f"{name}/ema"] = average.float()
        out[f"{name}/norm"] = torch.stack(norms).double()


def losses(out):
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(6, 5, generator=generator) * 3
    logits[3] = torch.tensor([1e30, -1e30, 0.0, 5.0, 1e29])
    logits[4] = 0
    targets = torch.softmax(torch.randn(6, 5, generator=generator), 1)
    targets[2] = F.one_hot(torch.tensor(1), 5)
    targets[5] *= 0.5  # a mass other than 1
    out |= {"logits": logits, "targets": targets}
    z = logits.double().requires_grad_()
    t = targets.double()
    for name, each in {
        "softmax": -(t * F.log_softmax(z, 1)).sum(1),
        "sigmoid": F.binary_cross_entropy_with_logits(z, t, reduction="none").sum(1),
    }.items():
        out[f"{name}/each"] = each.detach().float()
        (gradient,) = torch.autograd.grad(each.mean(), z)
        out[f"{name}/gradient"] = gradient.float()


def resampling(out):
    generator = torch.Generator().manual_seed(3)
    grid = torch.randn(7, 7, 3, generator=generator)
    out["grid"] = grid
    for side in (1, 3, 5, 7, 10, 16):
        image = grid.double().permute(2, 0, 1)[None]
        resized = F.interpolate(image, size=(side, side), mode="bicubic", antialias=True)
        out[f"grid/{side}"] = resized[0].permute(1, 2, 0).float().contiguous()


def main():
    here = pathlib.Path(__file__).resolve().parent
    file = sys.argv[1] if len(sys.argv) > 1 else here.parent / "golden" / "training.safetensors"
    out = {}
    optimizers(out)
    losses(out)
    resampling(out)
    save_file(out, file, {"made_by": "tests/reference/make_training.py"})


if __name__ == "__main__":
    main()
