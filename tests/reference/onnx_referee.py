"""onnx_referee.py - do onnxruntime and timm compute what the program computes?

    onnx_referee.py routers VMOE [NAME ...]    `vmoe convert X.onnx` of every router, with several options
    onnx_referee.py variants VMOE              of every kind of dense network
    onnx_referee.py hub VMOE                   `vmoe convert OUT/` of dense networks, loaded by timm
    onnx_referee.py file VMOE MODEL            ONNX of one checkpoint

Networks are small and drawn at random, every tensor of them. The files pass onnx.checker with full shape
inference; batches of 1 and of all images must agree with `vmoe predict --logits`. The largest absolute
difference of a logit goes to stdout; above --tolerance (1e-4) the exit status is 1. Needs onnx, onnxruntime,
numpy, safetensors, Pillow; `hub` needs torch and timm.
"""

import argparse
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

DENSE = {"image": 24, "channels": 3, "patch": 4, "width": 24, "depth": 4, "heads": 3, "mlp": 40, "classes": 10,
         "pool": "token", "gelu": "erf", "position": "learned", "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3],
         "interpolation": "bicubic", "resize": 24, "crop": 24}
VARIANTS = {
    "token": {},
    "gap": {"pool": "gap"},
    "patches": {"pool": "patches"},
    "fc_norm": {"pool": "patches", "fc_norm": True},
    "gap fc_norm": {"pool": "gap", "fc_norm": True},
    "tanh": {"gelu": "tanh"},
    "registers": {"registers": 3},
    "gap registers": {"pool": "gap", "registers": 2},
    "pre_norm": {"pre_norm": True, "eps": 1e-5},
    "clip": {"pre_norm": True, "eps": 1e-5, "patch_bias": False},
    "eps 1e-5": {"eps": 1e-5},
    "resize": {"resize": 27, "interpolation": "bilinear", "crop_mode": "squash", "mlp": 61},
    "qk_norm": {"qk_norm": True},
    "prelogits": {"prelogits": 17},
    "sincos": {"position": "sincos"},
    "gray": {"channels": 1, "mean": [0.5], "std": [0.2]},
    "all": {"pool": "patches", "registers": 2, "gelu": "tanh", "qk_norm": True, "pre_norm": True, "fc_norm": True,
            "prelogits": 9, "position": "sincos"},
}
# name, k, options
ROUTERS = [
    ("softmax", 2, []), ("softmax", 1, []), ("softmax", 2, ["gate=prob"]), ("vmoe", 2, []), ("vmoe", 1, []),
    ("sinkhorn", 2, []), ("sinkhorn", 1, []), ("ssr", 2, []), ("ssr", 1, []), ("momentum", 2, []),
    ("momentum", 2, ["norm=post"]), ("adam", 2, []), ("adam", 2, ["kappa=0.25"]), ("robust-momentum", 2, []),
    ("sinkhorn-ot", 2, []), ("sinkhorn-ot", 2, ["combine=plan", "xi=0.5"]), ("usmoe", 2, []),
    ("usmoe", 2, ["select=token", "divide=row"]), ("usmoe", 2, ["eval_k=1.3"]), ("expert-choice", 2, []),
    ("expert-choice", 2, ["cf=1.2", "multiple=4"]), ("similarity", 2, ["lambda=0.5"]),
    ("similarity", 2, ["bilinear=on", "mix=logit"]), ("similarity", 1, ["lambda=0.3"]), ("attention", 2, []),
    ("attention", 2, ["mix=logit", "lambda=0.7"]), ("s2moe", 2, []), ("s2moe", 2, ["eval_k=1"]), ("xmoe", 2, []),
    ("xmoe", 1, []), ("xmoe", 2, ["variant=code", "gate=sigmoid"]), ("loss-free", 2, []), ("loss-free", 1, []),
    ("loss-free", 2, ["score=softmax", "gate=prob"]), ("quantile", 2, []), ("quantile", 2, ["score=sigmoid"]),
    ("quantile", 2, ["score=logits"]), ("quantile", 2, ["form=dynamic"]), ("random", 2, []), ("hash", 2, []),
    ("soft", 2, []), ("soft", 2, ["slots=3"]), ("acmoe", 2, []),
]


def read_header(path):
    data = pathlib.Path(path).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + size])


def draw(rng, name, shape):
    """Weights that make logits of the order of one, and routers that choose sharply."""
    if name.endswith(("norm.weight", "norm1.weight", "norm2.weight", "norm_pre.weight", "norm.norm.weight")):
        return 1 + 0.2 * rng.standard_normal(shape)
    if name.endswith("temperature"):
        return np.full(shape, 0.2)
    if name.endswith("router.scale"):
        return np.full(shape, 3.0)
    if name.endswith("router.bias"):
        return 0.1 * rng.standard_normal(shape)
    if name.endswith("bias") or "token" in name or "pos_embed" in name:
        return 0.3 * rng.standard_normal(shape)
    return rng.standard_normal(shape) * (2.0 if "router" in name else 1.2) / np.sqrt(shape[-1])


def redraw(path, seed):
    """Every tensor of a checkpoint anew; what it says of itself stays."""
    header, rng = read_header(path), np.random.default_rng(seed)
    metadata = header.pop("__metadata__")
    save_file({name: draw(rng, name, t["shape"]).astype(np.float32) for name, t in sorted(header.items())}, path,
              metadata)


def shapes(c):
    d, m, n = c["width"], c["mlp"], (c["image"] // c["patch"]) ** 2
    token, registers = c["pool"] != "gap", c.get("registers", 0)
    out = {"patch_embed.proj.weight": [d, c["channels"], c["patch"], c["patch"]], "patch_embed.proj.bias": [d],
           "head.weight": [c["classes"], c.get("prelogits") or d], "head.bias": [c["classes"]]}
    if token:
        out["cls_token"] = [1, 1, d]
    if registers:
        out["reg_token"] = [1, registers, d]
    if c["position"] == "learned":
        out["pos_embed"] = [1, n + token + registers, d]
    last = "fc_norm" if c.get("fc_norm") else "norm"
    for name in [last] + (["norm_pre"] if c.get("pre_norm") else []):
        out |= {f"{name}.weight": [d], f"{name}.bias": [d]}
    if c.get("prelogits"):
        out |= {"pre_logits.fc.weight": [c["prelogits"], d], "pre_logits.fc.bias": [c["prelogits"]]}
    if not c.get("patch_bias", True):
        del out["patch_embed.proj.bias"]
    for i in range(c["depth"]):
        parts = {"norm1.weight": [d], "norm1.bias": [d], "norm2.weight": [d], "norm2.bias": [d],
                 "attn.qkv.weight": [3 * d, d], "attn.qkv.bias": [3 * d], "attn.proj.weight": [d, d],
                 "attn.proj.bias": [d], "mlp.fc1.weight": [m, d], "mlp.fc1.bias": [m], "mlp.fc2.weight": [d, m],
                 "mlp.fc2.bias": [d]}
        if c.get("qk_norm"):
            h = d // c["heads"]
            parts |= {f"attn.{x}_norm.{y}": [h] for x in "qk" for y in ("weight", "bias")}
        out |= {f"blocks.{i}.{name}": shape for name, shape in parts.items()}
    return out


def dense(path, changes, seed=1):
    config, rng = DENSE | changes, np.random.default_rng(seed)
    weights = {name: draw(rng, name, shape).astype(np.float32) for name, shape in sorted(shapes(config).items())}
    config.pop("patch_bias", None)
    save_file(weights, path, {"format": "vmoe", "version": "1", "config": json.dumps(config)})


def pictures(folder, config, count=9):
    rng, paths = np.random.default_rng(5), []
    for i in range(count):
        paths.append(folder / f"{i}.png")
        side = config["image"]
        pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        (Image.fromarray(pixels) if config["channels"] == 3 else Image.fromarray(pixels[..., 0])).save(paths[-1])
    return paths


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(str(word) for word in words)}: {done.stderr}")
    return done


def ours(vmoe, model, folder):
    config = json.loads(read_header(model)["__metadata__"]["config"])
    run(vmoe, "predict", model, *pictures(folder, config), "--inputs", folder / "inputs.npy", "--logits",
        folder / "logits.npy")
    return np.load(folder / "inputs.npy"), np.load(folder / "logits.npy")


def report(what, theirs, logits, tolerance):
    difference, size = float(np.abs(theirs - logits).max()), float(np.abs(logits).max())
    verdict = "ok" if difference <= tolerance else "TOO LARGE"
    print(f"{what:44} largest logit {size:6.3f}, largest difference {difference:.2g} {verdict}", flush=True)
    return difference <= tolerance


def check_onnx(what, vmoe, model, folder, tolerance):
    import onnx
    import onnxruntime

    out = folder / "out.onnx"
    run(vmoe, "convert", model, out)
    onnx.checker.check_model(str(out), full_check=True)
    inputs, logits = ours(vmoe, model, folder)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(out), options, providers=["CPUExecutionProvider"])
    together = session.run(None, {"images": inputs})[0]
    alone = np.concatenate([session.run(None, {"images": inputs[i : i + 1]})[0] for i in range(len(inputs))])
    good = report(what, together, logits, tolerance)
    return report(what + ", one by one", alone, logits, tolerance) and good if not np.allclose(
        alone, together, atol=tolerance / 4) else good


def routers(args, folder):
    good = True
    base = folder / "dense.safetensors"
    dense(base, {"gelu": "tanh"})
    for name, k, options in ROUTERS:
        if args.names and name not in args.names:
            continue
        for shared in (0, 1):
            model = folder / "sparse.safetensors"
            words = [] if name == "soft" else ["--k", k]
            run(args.vmoe, "convert", base, model, "--upcycle", "every:2", "--experts", 5, "--router", name, *words,
                "--shared", shared, *(["--set", *options] if options else []))
            redraw(model, 3)
            what = f"{name} k={k} {' '.join(options)}" + (" shared" if shared else "")
            good = check_onnx(what, args.vmoe, model, folder, args.tolerance) and good
    return good


def variants(args, folder):
    good = True
    for name, changes in VARIANTS.items():
        model = folder / "dense.safetensors"
        dense(model, changes)
        good = check_onnx(name, args.vmoe, model, folder, args.tolerance) and good
    return good


def hub(args, folder):
    import timm
    import torch

    good = True
    for name, changes in VARIANTS.items():
        model, out = folder / "dense.safetensors", folder / name.replace(" ", "_")
        dense(model, changes)
        run(args.vmoe, "convert", model, f"{out}/")
        inputs, logits = ours(args.vmoe, model, folder)
        config = json.loads((out / "config.json").read_text())
        if "pretrained_cfg" not in config:
            print(f"{name:44} ours, not timm's form")
            continue
        network = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
        with torch.no_grad():
            theirs = network(torch.from_numpy(inputs)).numpy()
        good = report(name, theirs, logits, args.tolerance) and good
        data, says = timm.data.resolve_data_config({}, model=network), json.loads(
            read_header(model)["__metadata__"]["config"])
        for key, value in (("mean", tuple(says["mean"])), ("std", tuple(says["std"])),
                           ("interpolation", says["interpolation"]), ("crop_mode", says.get("crop_mode", "center"))):
            if list(data[key]) != list(value):
                print(f"    {key}: timm says {data[key]}, the checkpoint {value}")
                good = False
        if int(says["crop"] / data["crop_pct"]) != says["resize"]:
            print(f"    resize: timm says {int(says['crop'] / data['crop_pct'])}, the checkpoint {says['resize']}")
            good = False
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["routers", "variants", "hub", "file"])
    parser.add_argument("vmoe")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        if args.what == "file":
            good = check_onnx(args.names[0], args.vmoe, args.names[0], folder, args.tolerance)
        else:
            good = {"routers": routers, "variants": variants, "hub": hub}[args.what](args, folder)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
