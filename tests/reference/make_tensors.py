"""make_tensors.py - writes tests/fuzz/safetensors/: small checkpoints, good and lying.

    python tests/reference/make_tensors.py [OUT_DIR]
"""

import json
import pathlib
import struct
import sys

CONFIG = {
    "image": 4, "channels": 1, "patch": 2, "width": 4, "depth": 1, "heads": 2, "mlp": 3,
    "classes": 2, "mean": [0.5], "std": [0.5], "labels": ["a", "b"],
}
MOE = {"layers": [0], "experts": 2, "k": 2, "router": {"name": "ssr", "p": 0.5, "cost": "softmax"}}


def shapes(sparse=False):
    d, m, e = 4, 3, 2
    out = {
        "cls_token": [1, 1, d], "pos_embed": [1, 5, d], "patch_embed.proj.weight": [d, 1, 2, 2],
        "patch_embed.proj.bias": [d], "blocks.0.norm1.weight": [d], "blocks.0.norm1.bias": [d],
        "blocks.0.attn.qkv.weight": [3 * d, d], "blocks.0.attn.qkv.bias": [3 * d],
        "blocks.0.attn.proj.weight": [d, d], "blocks.0.attn.proj.bias": [d],
        "blocks.0.norm2.weight": [d], "blocks.0.norm2.bias": [d],
        "norm.weight": [d], "norm.bias": [d], "head.weight": [2, d], "head.bias": [2],
    }
    lead, part = ([e], "moe.experts") if sparse else ([], "mlp")
    out |= {
        f"blocks.0.{part}.fc1.weight": [*lead, m, d], f"blocks.0.{part}.fc1.bias": [*lead, m],
        f"blocks.0.{part}.fc2.weight": [*lead, d, m], f"blocks.0.{part}.fc2.bias": [*lead, d],
    }
    if sparse:
        out["blocks.0.moe.router.weight"] = [e, d]
    return out


def header_of(tensors, metadata, size=2, dtype="BF16"):
    header, at = {}, 0
    if metadata:
        header["__metadata__"] = metadata
    for name, shape in tensors.items():
        count = size
        for n in shape:
            count *= n
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + count]}
        at += count
    return header, at


def file_of(header, data, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def ours(config):
    return {"format": "vmoe", "version": "0", "config": json.dumps(config, separators=(",", ":"))}


def checkpoint(tensors, metadata, fill=b"\x80\x3e", **more):
    header, size = header_of(tensors, metadata, **more)
    return file_of(header, (fill * size)[:size])


def main():
    here = pathlib.Path(__file__).resolve().parent
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here.parent / "fuzz" / "safetensors"
    out.mkdir(parents=True, exist_ok=True)
    dense, sparse = shapes(), shapes(True)
    one = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}

    def entry(**change):
        return file_of({"a": one["a"] | change}, bytes(8))

    files = {
        "dense": checkpoint(dense, ours(CONFIG)),
        "sparse": checkpoint(sparse, ours(CONFIG | {"moe": MOE})),
        "timm": checkpoint(dense, {"format": "pt"}),
        "half": checkpoint(dense, None, dtype="F16"),
        "wide": checkpoint(dense, ours(CONFIG), fill=bytes(8), size=8, dtype="F64"),
        "nan": checkpoint(dense, ours(CONFIG), fill=b"\xc0\x7f"),
        "distilled": checkpoint(dense | {"dist_token": [1, 1, 4]}, None),
        "extra": checkpoint(dense | {"\x1b[31m": [1]}, ours(CONFIG)),
        "missing": checkpoint({k: v for k, v in dense.items() if k != "norm.bias"}, ours(CONFIG)),
        "shape": checkpoint(dense | {"head.weight": [4, 2]}, ours(CONFIG)),
        "huge_network": checkpoint(dense, ours(CONFIG | {"width": 16384, "depth": 64, "mlp": 65536})),
        "no_config": checkpoint({}, {"format": "vmoe"}),
        "bad_config": checkpoint({}, {"format": "vmoe", "config": "{\"image\":[[[["}),
        "wrong_types": checkpoint(dense, ours(CONFIG | {"moe": 1, "mean": "x"})),
        "many_labels": checkpoint(dense, ours(CONFIG | {"labels": ["a"] * 9})),
        "block_999": checkpoint(dense | {"blocks.999.norm1.bias": [4]}, None),
        "empty": b"",
        "short": b"\2\0\0",
        "nothing": file_of({}, b""),
        "endless": file_of({}, b"", length=2**64 - 1),
        "long": file_of({}, b"", length=3),
        "no_json": file_of(b"{\"a\":", b""),
        "list": file_of(b"[]", b""),
        "twice": file_of(b'{"a":1,"a":2}', b""),
        "deep": file_of(b"[" * 4000, b""),
        "dtype": entry(dtype="F7"),
        "negative": entry(shape=[-1]),
        "product": entry(shape=[2**62, 4]),
        "ranks": entry(shape=[1] * 9),
        "real": entry(shape=[1.5]),
        "backwards": entry(data_offsets=[4, 0]),
        "beyond": entry(data_offsets=[4, 2**62]),
        "hole": entry(data_offsets=[4, 8]),
        "overlap": file_of(one | {"b": one["a"] | {"data_offsets": [2, 6]}}, bytes(6)),
        "rest": entry(),
        "unaligned": file_of({"b": {"dtype": "U8", "shape": [], "data_offsets": [0, 1]},
                              "a": one["a"] | {"data_offsets": [1, 5]}}, bytes(5)),
    }
    for name, content in files.items():
        (out / f"{name}.safetensors").write_bytes(content)


if __name__ == "__main__":
    main()
