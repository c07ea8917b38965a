#!/usr/bin/env python3
"""pack_routing.py FOLDER: tests/golden/vmoe-jax/routing.safetensors, V-MoE's routing numbers.

FOLDER is that of pack_jax.py: of each case CASE/router_logits.npy [MoE layers, tokens, experts] in evaluation and
CASE/gates*.npy of the same shape, the weight with which an expert's result is added to a token, 0 where it was not
chosen or found no place (google-research/vmoe 942a78b on jax 0.4.30, a float64 run rounded to float32). The files
at other capacities come from other passes, whose second sparse layer sees other tokens: of them the first layer
is taken, the logits of which are the same. tests/test_vit_jax_routing.c compares.
"""
import json
import struct
import sys
from pathlib import Path

import numpy as np

FROM = Path(sys.argv[1])
TO = Path(__file__).resolve().parent.parent / "golden" / "vmoe-jax" / "routing.safetensors"
CASES = {"token": ["tight", "tight-bpr"], "gap": ["tight-bpr"], "trainstate": []}

tensors = {}
for case, others in CASES.items():
    tensors[f"{case}/logits"] = np.load(FROM / case / "router_logits.npy")
    tensors[f"{case}/gates"] = np.load(FROM / case / "gates.npy")
    for other in others:
        tensors[f"{case}/{other}"] = np.load(FROM / case / f"gates-{other}.npy")[:1]
header, data = {}, b""
for name, value in tensors.items():
    raw = np.ascontiguousarray(value, np.float32).tobytes()
    header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(raw)]}
    data += raw
head = json.dumps(header).encode()
head += b" " * (-len(head) % 8)
TO.write_bytes(struct.pack("<Q", len(head)) + head + data)
