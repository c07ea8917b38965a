"""vae_torch.py - writes tests/golden/vae.safetensors: the autoencoder of experts (vit/vae/vae.h) once more in
PyTorch, double precision, gradients by autograd. weights/NAME, images [B, C, S, S], then for the passes all
(gate-weighted sum of the decoders) and given (decoder of expert [B] alone): PASS/pixels, PASS/losses [5]
(squares, kl, balance, entropy, total), PASS/grad/NAME.

    python tests/reference/vae_torch.py [OUT_DIR]
"""

import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import philox

SEED, STEP, FIRST = 12345678901234567, 41, 6
SIZES = {"image": 5, "channels": 1, "hidden": 9, "latent": 4, "experts": 3, "decoder": 6}
WEIGHTS = {"beta": 0.7, "balance": 0.4, "sharpen": 0.3}


def losses(w, x, noise, expert):
    """(pixels, [squares, kl, balance, entropy, total]); expert: None for all decoders."""
    experts = SIZES["experts"]
    h = F.gelu(F.linear(x, w["encoder.fc1.weight"], w["encoder.fc1.bias"]))
    mean, log_variance = F.linear(h, w["encoder.fc2.weight"], w["encoder.fc2.bias"]).chunk(2, 1)
    z = mean + (log_variance / 2).exp() * noise
    gate = torch.softmax(z @ w["gate.weight"].T, 1)
    hidden = F.gelu(torch.einsum("bz,emz->ebm", z, w["experts.fc1.weight"])
                    + w["experts.fc1.bias"][:, None])
    decoded = torch.sigmoid(torch.einsum("ebm,epm->ebp", hidden, w["experts.fc2.weight"])
                            + w["experts.fc2.bias"][:, None])
    zero = x.new_zeros(())
    balance = entropy = zero
    if expert is None:
        pixels = torch.einsum("be,ebp->bp", gate, decoded)
        share = F.one_hot(gate.argmax(1), experts).to(x.dtype).mean(0)
        balance = experts * (share * gate.mean(0)).sum()
        entropy = torch.special.entr(gate).sum(1).mean()
    else:
        pixels = decoded[expert, torch.arange(len(x))]
    squares = (pixels - x).square().sum(1).mean()
    normal = torch.distributions.Normal
    kl = torch.distributions.kl_divergence(normal(mean, (log_variance / 2).exp()),
                                           normal(zero, zero + 1)).sum(1).mean()
    total = (squares + WEIGHTS["beta"] * kl + WEIGHTS["balance"] * balance
             + WEIGHTS["sharpen"] * entropy)
    return pixels, torch.stack([squares, kl, balance, entropy, total])


def main(out_dir):
    pixels = SIZES["channels"] * SIZES["image"] ** 2
    h, z, e, m = (SIZES[n] for n in ("hidden", "latent", "experts", "decoder"))
    shapes = {"encoder.fc1.weight": (h, pixels), "encoder.fc1.bias": (h,),
              "encoder.fc2.weight": (2 * z, h), "encoder.fc2.bias": (2 * z,),
              "gate.weight": (e, z), "experts.fc1.weight": (e, m, z), "experts.fc1.bias": (e, m),
              "experts.fc2.weight": (e, pixels, m), "experts.fc2.bias": (e, pixels)}
    random = torch.Generator().manual_seed(3)
    weights = {n: 0.5 * torch.randn(s, generator=random) for n, s in shapes.items()}
    images = torch.rand(4, SIZES["channels"], SIZES["image"], SIZES["image"], generator=random)
    expert = torch.tensor([2, 0, 2, 1])
    noise = torch.tensor([philox.normals(SEED, philox.VAE_SAMPLE, STEP, None, FIRST + i, z)
                          for i in range(4)], dtype=torch.float64)
    tensors = {"weights/" + n: w for n, w in weights.items()}
    tensors |= {"images": images, "expert": expert}
    for name, given in (("all", None), ("given", expert)):
        w = {n: t.double().requires_grad_(True) for n, t in weights.items()}
        out, l = losses(w, images.double().reshape(4, -1), noise, given)
        l[-1].backward()
        tensors |= {f"{name}/pixels": out, f"{name}/losses": l}
        tensors |= {f"{name}/grad/{n}": torch.zeros_like(t) if t.grad is None else t.grad
                    for n, t in w.items()}
    tensors = {n: (t.detach() if t.dtype == torch.int64 else t.detach().float()).contiguous()
               for n, t in tensors.items()}
    metadata = {k: str(v) for k, v in (SIZES | WEIGHTS).items()}
    metadata |= {"draw_seed": str(SEED), "draw_step": str(STEP), "draw_first": str(FIRST),
                 "made_by": "tests/reference/vae_torch.py"}
    path = out_dir / "vae.safetensors"
    save_file(tensors, path, metadata=metadata)
    print(path, path.stat().st_size, "bytes", [round(v, 6) for v in tensors["all/losses"].tolist()])


if __name__ == "__main__":
    here = pathlib.Path(__file__).resolve().parent
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here.parent / "golden")
