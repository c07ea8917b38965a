"""samples.py - small inputs that tests in Python make for themselves: pictures in two layouts, a network.

Every number comes from a seed by Python's own generator, and weights are multiples of 1/1024: the same bytes everywhere.
"""
import json
import pathlib
import random
import struct
import zlib


def pixels(name, index, classes, values):
    """Bytes of a picture: noise of 100 steps, brighter by 70 for each class (modulo 256)."""
    draw = random.Random(f"{name} {index}")
    return bytes((draw.randrange(100) + 70 * (index % classes)) % 256 for _ in range(values))


def idx(folder, name, classes, count, side=8):
    """NAME-images-idx3-ubyte and its labels: the classes take turns."""
    body = b"".join(pixels(name, i, classes, side * side) for i in range(count))
    labels = bytes(i % classes for i in range(count))
    pathlib.Path(folder, f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, count, side, side) + body)
    pathlib.Path(folder, f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels)


def png(path, values, width, height, channels):
    """A PNG file of 1 (grey) or 3 (colour) channels; values: bytes, row by row."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    step = width * channels
    rows = b"".join(b"\0" + values[y * step:(y + 1) * step] for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    pathlib.Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 0)) +
                                   chunk(b"IEND", b""))


def folders(folder, classes, count, width=10, height=8, channels=3):
    """Class folders a, b, ... of PNG files, `count` in all."""
    for i in range(count):
        place = pathlib.Path(folder, chr(ord("a") + i % classes))
        place.mkdir(parents=True, exist_ok=True)
        values = pixels(pathlib.Path(folder).name, i, classes, width * height * channels)
        png(place / f"{i:03}.png", values, width, height, channels)


def network(path, seed=1, labels="", layers="1", experts=4, k=2, router="softmax", plain=False, head=1, **config):
    """A checkpoint of drawn weights. config: members of its configuration; layers: blocks with experts, "" for none;
    labels: a+b+c, none for none; plain: timm's names alone, without a configuration; head 0: all answers alike."""
    routing = {"eval_capacity": 0.0, "eval_bpr": False, "group_images": 0}
    routing.update({key: config.pop(key) for key in ("capacity", *routing) if key in config})
    one = {"name": "", "image": 8, "channels": 1, "patch": 4, "width": 8, "depth": 2, "heads": 2, "mlp": 8, "classes": 3,
           "mean": 0.5, "std": 0.25, **config}
    moe = {"layers": [int(word) for word in str(layers).split("+") if word], "experts": experts, "k": k, **routing,
           "router": {"name": router}}
    width, mlp, tokens = one["width"], one["mlp"], (one["image"] // one["patch"])**2 + 1
    shapes = {"cls_token": (1, 1, width), "pos_embed": (1, tokens, width),
              "patch_embed.proj.weight": (width, one["channels"], one["patch"], one["patch"]), "patch_embed.proj.bias": (width,)}
    for i in range(one["depth"]):
        block = {"norm1.weight": (width,), "norm1.bias": (width,), "attn.qkv.weight": (3 * width, width),
                 "attn.qkv.bias": (3 * width,), "attn.proj.weight": (width, width), "attn.proj.bias": (width,),
                 "norm2.weight": (width,), "norm2.bias": (width,)}
        sparse, of = ("moe.experts.", (experts,)) if i in moe["layers"] else ("mlp.", ())
        if i in moe["layers"]:
            block["moe.router.weight"] = (experts, width)
        block.update({f"{sparse}fc1.weight": (*of, mlp, width), f"{sparse}fc1.bias": (*of, mlp),
                      f"{sparse}fc2.weight": (*of, width, mlp), f"{sparse}fc2.bias": (*of, width)})
        shapes.update({f"blocks.{i}.{name}": shape for name, shape in block.items()})
    shapes.update({"norm.weight": (width,), "norm.bias": (width,), "head.weight": (one["classes"], width),
                   "head.bias": (one["classes"],)})
    told = {"pool": "token", "gelu": "erf", "position": "learned", "eps": 1e-6, "interpolation": "bilinear",
            "resize": one["image"], "crop": one["image"], "crop_mode": "center", **one}
    told["mean"], told["std"] = [one["mean"]] * one["channels"], [one["std"]] * one["channels"]
    if labels != "none":
        told["labels"] = labels.split("+") if labels else [str(i) for i in range(one["classes"])]
    if moe["layers"]:
        told["moe"] = moe
    own = {"format": "vmoe", "version": "0.1.0", "config": json.dumps(told)}
    save(path, {"format": "pt"} if plain else own, shapes, seed, () if head else ("head.weight", "head.bias"))


def save(path, metadata, shapes, seed, zero=()):
    """A safetensors file of drawn tensors: norms near 1, biases near 0, the others so that lengths are kept; zero: names."""
    draw, header, body, at = random.Random(seed), {"__metadata__": metadata}, [], 0
    for name, shape in shapes.items():
        count = 1
        for side in shape:
            count *= side
        scale, middle = 0.25, int("norm" in name and name.endswith("weight"))
        if name.endswith("weight") and not middle:
            scale = (6 / (shape[-1] if len(shape) < 4 else count / shape[0]))**0.5
        scale = 0 if name in zero else scale
        values = [round(1024 * (middle + scale * draw.uniform(-1, 1))) / 1024 for _ in range(count)]
        body.append(struct.pack(f"<{count}f", *values))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + 4 * count]}
        at += 4 * count
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(body))
