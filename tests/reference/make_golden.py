"""make_golden.py - writes tests/golden/*.safetensors, the reference numbers of test_vit_golden.c.

One small network a file: its weights (BF16, so that every precision reads the same numbers), a batch,
and what PyTorch in double precision (vmoe_torch.py, autograd) makes of it:

    weights/NAME  BF16     images [B, C, S, S]  targets [B, K]
    train/logits, train/d_images, train/loss [1], train/aux [1], grad/NAME   training mode, F32
    infer/logits, infer/d_images                                            evaluation mode, F32

Metadata: config (JSON as in a checkpoint), loss (softmax | sigmoid), seed and step of the draws.
Seeds are searched until no routing decision is near a tie.

    python tests/reference/make_golden.py [OUT_DIR [CASE ...]]
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file

import philox
from vmoe_torch import Network

MARGIN = 1e-3  # between the k-th and the next best score of every token
DRAW_SEED, DRAW_STEP = 12345678901234567, 41


def config_of(pool="token", gelu="erf", position="learned", channels=1, width=12, mlp=20, image=12,
              depth=2, moe=None):
    config = {
        "name": "", "image": image, "channels": channels, "patch": 4, "width": width,
        "depth": depth, "heads": 2, "mlp": mlp, "classes": 5, "pool": pool, "gelu": gelu,
        "position": position, "init": "timm", "dropout": 0.0, "drop_path": 0.0,
    }
    base = {"layers": [], "experts": 4, "k": 2, "capacity": 0.0, "eval_capacity": 0.0,
            "capacity_multiple": 4, "bpr": False, "eval_bpr": False, "group_images": 0,
            "dropout": 0.0, "router": {"name": "softmax"}}
    config["moe"] = {**base, **moe} if moe else {**base, "k": 1, "router": {"name": "softmax"}}
    config.update({"mean": [0.5] * channels, "std": [0.25] * channels,
                   "interpolation": "bicubic", "resize": 0, "crop": image})
    return config


def sparse(router, layers=(1,), **more):
    return {"layers": list(layers), "router": router, **more}


def ssr(**options):
    return {"name": "ssr", "p": 1.0, "noise": 0.0, "delta": 1e-8, "max_iter": 1000, **options}


CASES = {
    "dense_token": (config_of(channels=3), "softmax"),
    "dense_gap": (config_of(pool="gap", gelu="tanh"), "sigmoid"),
    "k1_prob": (config_of(position="sincos", moe=sparse(
        {"name": "softmax", "gate": "prob", "balance": 0.1, "z": 0.05}, k=1)), "softmax"),
    "k2_renorm": (config_of(channels=3, width=24, mlp=40, image=16, moe=sparse(
        {"name": "softmax", "gate": "renorm", "balance": 0.1, "z": 0.0})), "softmax"),
    "k2_prob": (config_of(pool="gap", gelu="tanh", moe=sparse(
        {"name": "softmax", "gate": "prob", "balance": 0.2, "balance_count": "all"},
        layers=(0, 1), group_images=2)), "softmax"),
    "capacity": (config_of(moe=sparse(
        {"name": "softmax", "gate": "renorm", "balance": 0.1},
        capacity=0.75, eval_capacity=0.5)), "softmax"),
    "capacity_bpr": (config_of(moe=sparse(
        {"name": "softmax", "gate": "prob", "balance": 0.1},
        capacity=0.7, eval_capacity=0.5, bpr=True, eval_bpr=True,
        capacity_multiple=1, group_images=2)), "softmax"),
    "vmoe": (config_of(moe=sparse(
        {"name": "vmoe", "noise": 1.0, "importance": 0.1, "load": 0.2}, layers=(0, 1))),
        "sigmoid"),
    "sinkhorn_k1": (config_of(moe=sparse({"name": "sinkhorn", "xi": 0.5, "delta": 1e-8,
                                          "max_iter": 1000}, k=1)), "softmax"),
    "ssr_linear": (config_of(moe=sparse(ssr(cost="linear", xi=0.7))), "softmax"),
    "ssr_softmax": (config_of(pool="gap", moe=sparse(ssr(cost="softmax", xi=0.5, noise=0.1),
                                                     layers=(0, 1))), "softmax"),
    "ssr_k1": (config_of(moe=sparse(ssr(cost="linear", xi=1.0), k=1)), "softmax"),
    "ssr_group": (config_of(moe=sparse(ssr(cost="linear", scope="group", init="paper"),
                                       group_images=2, capacity=0.9, capacity_multiple=1,
                                       bpr=True)), "softmax"),
    "ssr_frozen": (config_of(moe=sparse(ssr(cost="linear", xi=1.0, gradient="frozen"), k=3)),
                   "softmax"),
    "ssr_plain": (config_of(moe=sparse(ssr(cost="linear", p=0.0, noise=0.3))), "softmax"),
    "momentum": (config_of(depth=3, moe=sparse(
        {"name": "momentum", "mu": 0.7, "gamma": 0.9, "balance": 0.1}, layers=(0, 2))), "softmax"),
    "adam": (config_of(moe=sparse({"name": "adam", "eps": 0.001, "kappa": 0.25, "beta1": 0.8,
                                   "balance": 0.1}, layers=(0, 1))), "softmax"),
    "robust_momentum": (config_of(moe=sparse(
        {"name": "robust-momentum", "L": 10.0, "m": 1.0, "rho": 0.8, "step": 0.7,
         "balance": 0.1}, layers=(0, 1))), "softmax"),
    "similarity": (config_of(moe=sparse({"name": "similarity", "tau": 2.0, "lambda": 0.8,
                                         "balance": 0.1}, group_images=2)), "softmax"),
    "similarity_logit": (config_of(moe=sparse(
        {"name": "similarity", "bilinear": "on", "mix": "logit", "balance": 0.1, "z": 0.05},
        layers=(0, 1))), "softmax"),
    "attention": (config_of(moe=sparse({"name": "attention", "lambda": 0.8, "balance": 0.1},
                                       layers=(0, 1))), "softmax"),
    "attention_k1": (config_of(pool="gap", moe=sparse(
        {"name": "attention", "mix": "logit", "detach_sim": "on"}, k=1)), "softmax"),
    "sinkhorn_ot": (config_of(moe=sparse({"name": "sinkhorn-ot", "noise": 1.0}, layers=(0, 1))),
                    "softmax"),
    "sinkhorn_ot_plan": (config_of(moe=sparse(
        {"name": "sinkhorn-ot", "noise": 0.5, "combine": "plan", "iterations": 500, "xi": 0.7,
         "scope": "group"}, group_images=2)), "softmax"),
    "usmoe": (config_of(moe=sparse({"name": "usmoe"}, layers=(0, 1))), "softmax"),
    "usmoe_divide": (config_of(pool="gap", moe=sparse(
        {"name": "usmoe", "alpha": 0.3, "divide": "row", "eval_k": 1.4})), "softmax"),
    "expert_choice": (config_of(moe=sparse({"name": "expert-choice", "noise": 1.0},
                                           layers=(0, 1))), "softmax"),
    "expert_choice_group": (config_of(moe=sparse(
        {"name": "expert-choice", "noise": 0.0, "scope": "group", "cf": 1.5},
        group_images=2)), "softmax"),
    "s2moe": (config_of(moe=sparse({"name": "s2moe", "balance": 0.1, "uncertainty": 0.5},
                                   layers=(0, 1))), "softmax"),
    "s2moe_own": (config_of(pool="gap", moe=sparse(
        {"name": "s2moe", "sd": 0.5, "mu": 0.7, "temp": 0.4, "contrast_scope": "image",
         "view_routing": "own", "gate": "prob"}, group_images=2)), "softmax"),
    "s2moe_inputs": (config_of(moe=sparse(
        {"name": "s2moe", "statistics": "none", "sd": 0.3, "mu": 0.2, "contrast": "inputs",
         "z": 0.1}, k=1, capacity=0.8, capacity_multiple=1)), "softmax"),
    "xmoe": (config_of(moe=sparse({"name": "xmoe", "balance": 0.1}, layers=(0, 1))), "softmax"),
    "xmoe_code": (config_of(moe=sparse(
        {"name": "xmoe", "variant": "code", "dim": 5, "gate": "sigmoid", "balance": 0.2,
         "balance_count": "all"}, k=1, group_images=2)), "softmax"),
}


def shapes_of(c):
    """Name -> (shape, scale, centre) of every parameter, in the checkpoint's order."""
    D, M, P, K = c["width"], c["mlp"], c["patch"], c["classes"]
    E = c["moe"]["experts"]
    tokens = (c["image"] // P) ** 2 + (c["pool"] == "token")
    out = {}
    if c["pool"] == "token":
        out["cls_token"] = ((1, 1, D), 0.5, 0)
    if c["position"] == "learned":
        out["pos_embed"] = ((1, tokens, D), 0.5, 0)
    out["patch_embed.proj.weight"] = ((D, c["channels"], P, P), (c["channels"] * P * P) ** -0.5, 0)
    out["patch_embed.proj.bias"] = ((D,), 0.2, 0)
    for i in range(c["depth"]):
        b = f"blocks.{i}."
        out[b + "norm1.weight"] = ((D,), 0.2, 1)
        out[b + "norm1.bias"] = ((D,), 0.2, 0)
        out[b + "attn.qkv.weight"] = ((3 * D, D), D**-0.5, 0)
        out[b + "attn.qkv.bias"] = ((3 * D,), 0.2, 0)
        out[b + "attn.proj.weight"] = ((D, D), D**-0.5, 0)
        out[b + "attn.proj.bias"] = ((D,), 0.2, 0)
        out[b + "norm2.weight"] = ((D,), 0.2, 1)
        out[b + "norm2.bias"] = ((D,), 0.2, 0)
        name, lead = (b + "moe.experts.", (E,)) if i in c["moe"]["layers"] else (b + "mlp.", ())
        if lead:
            router = c["moe"]["router"]
            dim = router.get("dim", max(E // 2, 2)) if router["name"] == "xmoe" else D
            out[b + "moe.router.weight"] = ((E, dim), dim**-0.5, 0)
            if router["name"] == "xmoe":
                out[b + "moe.router.projection"] = ((dim, D), D**-0.5, 0)
                if router.get("variant", "paper") == "paper":
                    out[b + "moe.router.temperature"] = ((1,), 0.05, 0.5)
            if router["name"] == "s2moe":
                out[b + "moe.router.mix.weight"] = ((1, D), D**-0.5, 0)
                out[b + "moe.router.mix.bias"] = ((1,), 0.5, 0)
            if c["moe"]["router"].get("bilinear") == "on":
                out[b + "moe.router.similarity.weight"] = ((D, D), D**-0.5, 0)
        out[name + "fc1.weight"] = (lead + (M, D), D**-0.5, 0)
        out[name + "fc1.bias"] = (lead + (M,), 0.2, 0)
        out[name + "fc2.weight"] = (lead + (D, M), M**-0.5, 0)
        out[name + "fc2.bias"] = (lead + (D,), 0.2, 0)
    out["norm.weight"] = ((D,), 0.2, 1)
    out["norm.bias"] = ((D,), 0.2, 0)
    out["head.weight"] = ((K, D), D**-0.5, 0)
    out["head.bias"] = ((K,), 0.2, 0)
    return out


def draws_of(c, batch):
    """The noise that the C code draws in training, by block."""
    views = c["moe"]["router"]["name"] == "s2moe"
    if c["moe"]["router"].get("noise", 0.0) <= 0 and not views:
        return None
    tokens = batch * ((c["image"] // c["patch"]) ** 2 + (c["pool"] == "token"))
    if views:
        return {layer: torch.tensor([[philox.normals(DRAW_SEED, philox.ROUTER_VIEW, DRAW_STEP,
                                                     layer, t, c["width"], which)
                                      for t in range(tokens)] for which in range(2)],
                                    dtype=torch.float64)
                for layer in c["moe"]["layers"]}
    return {layer: torch.tensor([philox.normals(DRAW_SEED, philox.ROUTER_NOISE, DRAW_STEP, layer,
                                                t, c["moe"]["experts"]) for t in range(tokens)],
                                dtype=torch.float64)
            for layer in c["moe"]["layers"]}


def decisions(network, images, noise):
    found = [network.forward(images, train, noise if train else None) for train in (True, False)]
    return [(r["choice"], r["kept"], r["margin"]) for out in found for r in out.routing]


def firm(config, weights, images, noise, seed):
    """Whether no decision is near a tie: margins, and the same choices with disturbed weights."""
    with torch.no_grad():
        plain = decisions(Network(config, weights, torch.float64), images, noise)
        if any(margin <= MARGIN for _, _, margin in plain):
            return False
        random = torch.Generator().manual_seed(seed)
        for _ in range(3):
            other = {n: w * (1 + 1e-4 * torch.randn(w.shape, generator=random))
                     for n, w in weights.items()}
            moved = decisions(Network(config, other, torch.float64), images, noise)
            if any(not (torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]))
                   for a, b in zip(plain, moved)):
                return False
    return True


def make(name, config, loss, out_dir):
    batch = 3
    noise = draws_of(config, batch)
    for seed in range(1000):
        random = torch.Generator().manual_seed(seed)
        weights = {n: (centre + scale * torch.randn(shape, generator=random)).bfloat16()
                   for n, (shape, scale, centre) in shapes_of(config).items()}
        images = torch.randn(batch, config["channels"], config["image"], config["image"],
                             generator=random)
        targets = torch.softmax(2 * torch.randn(batch, config["classes"], generator=random), 1)
        weights32 = {n: w.float() for n, w in weights.items()}
        if firm(config, weights32, images, noise, seed):
            break
    else:
        raise SystemExit(f"{name}: every seed has a near tie")
    network = Network(config, weights32, torch.float64)
    task, train, grads, d_images = network.gradients(images, targets, True, loss, noise)
    _, infer, _, d_infer = network.gradients(images, targets, False, loss)
    tensors = {"weights/" + n: w for n, w in weights.items()}
    tensors |= {"images": images, "targets": targets,
                "train/logits": train.logits, "train/d_images": d_images,
                "train/loss": task.reshape(1), "train/aux": train.aux.reshape(1),
                "infer/logits": infer.logits, "infer/d_images": d_infer}
    tensors |= {"grad/" + n: g for n, g in grads.items()}
    tensors = {n: (t if t.dtype == torch.bfloat16 else t.detach().float()).contiguous()
               for n, t in tensors.items()}
    path = out_dir / f"{name}.safetensors"
    save_file(tensors, path, metadata={"config": json.dumps(config), "loss": loss,
                                       "draw_seed": str(DRAW_SEED), "draw_step": str(DRAW_STEP),
                                       "made_by": "tests/reference/make_golden.py"})
    dropped = [int((~r["kept"]).sum()) for o in (train, infer) for r in o.routing]
    steps = [p.iterations for r in train.routing for p in r["plans"] if p]
    print(f"{name:14} seed {seed:3}  {path.stat().st_size:6} bytes  loss {task.item():.4f}"
          f"  aux {train.aux.item():.4f}  dropped {dropped}  iterations {steps}")


if __name__ == "__main__":
    here = pathlib.Path(__file__).resolve().parent
    target = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here.parent / "golden"
    target.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for case, (settings, kind) in CASES.items():
        if len(sys.argv) <= 2 or case in sys.argv[2:]:
            make(case, settings, kind, target)
