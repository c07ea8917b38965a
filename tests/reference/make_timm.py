#!/usr/bin/env python3
"""make_timm.py: tests/golden/timm, small networks of timm's VisionTransformer of every kind that is read, with their
logits. Run once with timm 1.0.31 and torch 2.14 (CPU); the files are committed. All parameters are drawn, also those
that timm sets to 0 or 1, so that none is right by accident. Logits are those of float64 runs."""
import json
from functools import partial
from pathlib import Path

import safetensors.torch as st
import torch
from timm.layers import LayerNorm
from timm.models.vision_transformer import VisionTransformer

TO = Path(__file__).resolve().parent.parent / "golden" / "timm"
BASE = dict(img_size=16, patch_size=4, embed_dim=16, depth=2, num_heads=2, mlp_ratio=2, num_classes=5)
# name: arguments, config.json or None, type of the weights, prefix
CASES = {
    "token": ({}, None, torch.float32, ""),
    "mean_beside_token": (dict(global_pool="avg", fc_norm=False), {"global_pool": "avg"}, torch.float32, ""),
    "fc_norm": (dict(global_pool="avg"), None, torch.float32, "module."),
    "gap": (dict(global_pool="avg", class_token=False, fc_norm=False), None, torch.float16, ""),
    "gap_fc_norm": (dict(global_pool="avg", class_token=False), None, torch.bfloat16, "model."),
    "dinov2": (dict(reg_tokens=3, no_embed_class=True, init_values=1e-5), None, torch.float32, ""),
    "deit3": (dict(no_embed_class=True, init_values=1e-6), None, torch.float32, "state_dict.model."),
    "registers": (dict(reg_tokens=2, global_pool="avg"), None, torch.float32, ""),
    "sbb": (dict(reg_tokens=1, class_token=False, no_embed_class=True, global_pool="avg", init_values=1e-5), None, torch.float32, ""),
    "clip": (dict(pre_norm=True, norm_layer=partial(LayerNorm, eps=1e-5)), None, torch.float32, ""),
    "qk_norm": (dict(qk_norm=True, qkv_bias=False), None, torch.float32, ""),
}


def config_of(arguments, more):
    out = {"architecture": "vit", "num_classes": 5, "model_args": {"num_heads": 2}, "pretrained_cfg": {
        "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "input_size": [3, 16, 16], "crop_pct": 1.0, "interpolation": "bicubic"}}
    return {**out, **(more or {})}


TO.mkdir(exist_ok=True)
torch.manual_seed(3)
images = torch.randn(3, 3, 16, 16)
answers = {"images": images}
for name, (arguments, config, dtype, prefix) in CASES.items():
    net = VisionTransformer(**{**BASE, **arguments}).eval()
    weights = {}
    for key, value in net.state_dict().items():
        drawn = 0.3 * torch.randn(value.shape) + (1 if "norm" in key and key.endswith("weight") else 0)
        weights[key] = drawn.to(dtype)
    net.load_state_dict({k: v.float() for k, v in weights.items()})
    with torch.no_grad():
        answers[name] = net.double()(images.double()).float()
    folder = TO / name
    folder.mkdir(exist_ok=True)
    st.save_file({prefix + k: v for k, v in weights.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config_of(arguments, config)))
# the first one again, in two shards
net = st.load_file(TO / "token" / "model.safetensors")
keys, folder = sorted(net), TO / "shards"
folder.mkdir(exist_ok=True)
files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
for i, file in enumerate(files):
    st.save_file({k: net[k] for k in keys[i::2]}, folder / file)
(folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {k: files[i % 2] for i, k in enumerate(keys)}}))
(folder / "config.json").write_text(json.dumps(config_of({}, None)))
answers["shards"] = answers["token"].clone()
st.save_file(answers, TO / "answers.safetensors")
