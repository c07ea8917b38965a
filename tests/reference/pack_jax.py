#!/usr/bin/env python3
"""pack_jax.py FOLDER: tests/golden/vmoe-jax from a folder of checkpoints that the authors' own code wrote.

FOLDER holds what google-research/vmoe (942a78b), vision_transformer and big_vision (0127fb6) wrote with jax 0.4.30
and flax 0.8.5: CASE/ckpt.index with its shards, npz/NAME.npz, their logits in evaluation (CASE/logits.npy, float64
runs rounded to float32) and inputs.npy, sixteen pictures of 32 x 32 as -1 + 2 (u8 / 255). Three small cases are
copied as they are; pictures (as bytes) and logits go into answers.safetensors.
"""
import json
import shutil
import struct
import sys
from pathlib import Path

import numpy as np

FROM = Path(sys.argv[1])
TO = Path(__file__).resolve().parent.parent / "golden" / "vmoe-jax"
CASES = ["ensemble", "trainstate"]
NPZ = ["bigvision-scan-bf16"]

TO.mkdir(exist_ok=True)
pixels = np.load(FROM / "inputs.npy").transpose(0, 3, 1, 2)
tensors = {"pixels": np.round((pixels + 1) / 2 * 255).astype("u1")}
for case in CASES:
    for path in sorted((FROM / case).glob("ckpt.*")):
        shutil.copyfile(path, TO / path.name.replace("ckpt", case))
    tensors[case] = np.load(FROM / case / "logits.npy")
for name in NPZ:
    shutil.copyfile(FROM / "npz" / f"{name}.npz", TO / f"{name}.npz")
    tensors[name] = np.load(FROM / "npz" / f"{name}-logits.npy")
header, data = {}, b""
for name, value in tensors.items():
    raw = np.ascontiguousarray(value).tobytes()
    header[name] = {
        "dtype": "U8" if value.dtype == np.uint8 else "F32",
        "shape": list(value.shape),
        "data_offsets": [len(data), len(data) + len(raw)],
    }
    data += raw
head = json.dumps(header).encode()
head += b" " * (-len(head) % 8)
(TO / "answers.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + data)
