"""make_policies.py - prints the tables of test_data_policy.c: what Pillow and torchvision make of the
synthetic picture (first 16 digits of the SHA-256 of the pixels), and for V-MoE's operations what a model
of them in NumPy makes, written from the description of the public code.

    python tests/reference/make_policies.py
"""

import math

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F
from torchvision.transforms.autoaugment import RandAugment, _apply_op

from make_pixels import digest, picture

SIZES = [(40, 30), (33, 57), (3, 3), (1, 1), (224, 200)]
NAMES = ["Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color",
         "Contrast", "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize"]


def torchvision(image, name, magnitude, negative):
    space = RandAugment()._augmentation_space(31, (image.height, image.width))
    magnitudes, signed = space[name]
    value = float(magnitudes[magnitude].item()) if magnitudes.ndim > 0 else 0.0
    if signed and negative:
        value *= -1.0
    return _apply_op(image, name, value, interpolation=InterpolationMode.NEAREST, fill=None)


def half_away(v):
    return np.sign(v) * np.floor(np.abs(v) + 0.5)


def moved(image, name, amount):
    """TensorFlow's projective transform: nearest, pixel centres at whole numbers, 128 outside."""
    a = np.asarray(image)
    h, w = a.shape[:2]
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    if name == "ShearX":
        sx, sy = x + amount * y, y
    elif name == "ShearY":
        sx, sy = x, amount * x + y
    elif name == "TranslateX":
        sx, sy = x - amount, y
    elif name == "TranslateY":
        sx, sy = x, y - amount
    else:
        t, cx, cy = math.radians(amount), (w - 1) / 2, (h - 1) / 2
        sx = math.cos(t) * (x - cx) - math.sin(t) * (y - cy) + cx
        sy = math.sin(t) * (x - cx) + math.cos(t) * (y - cy) + cy
    sx, sy = half_away(np.round(sx, 9)), half_away(np.round(sy, 9))
    inside = (sx >= 0) & (sx < w) & (sy >= 0) & (sy < h)
    out = np.full_like(a, 128)
    out[inside] = a[sy[inside].astype(int), sx[inside].astype(int)]
    return Image.fromarray(out)


def blended(a, b, factor):
    return np.clip(a.astype(np.float32) + np.float32(factor) * (b.astype(np.float32) - a.astype(np.float32)),
                   0, 255).astype(np.uint8)


def vmoe(image, name, magnitude, negative):
    a = np.asarray(image)
    level, sign = magnitude / 10, -1 if negative else 1
    factor = 1.8 * level + 0.1
    if name in ("ShearX", "ShearY"):
        return moved(image, name, sign * 0.3 * level)
    if name in ("TranslateX", "TranslateY"):
        return moved(image, name, sign * 100 * level)
    if name == "Rotate":
        return moved(image, name, sign * 30 * level)
    if name == "Contrast":
        centre = np.full_like(a, min(255, image.width * image.height // 256))
        return Image.fromarray(blended(centre, a, factor))
    if name == "Brightness":
        return Image.fromarray(blended(np.zeros_like(a), a, factor))
    if name == "Posterize":
        bits = int(4 * level)
        return image if bits >= 8 else Image.fromarray(a >> (8 - bits) << (8 - bits))
    if name == "Solarize":
        return Image.fromarray(np.where(a < int(256 * level), a, 255 - a))
    if name == "SolarizeAdd":
        return Image.fromarray(np.where(a < 128, np.clip(a.astype(int) + int(110 * level), 0, 255),
                                        a).astype(np.uint8))
    if name == "Invert":
        return Image.fromarray(255 - a)
    if name == "Sharpness":
        b = a.astype(int)
        smooth = b.copy()
        k = sum(b[1 + dy:b.shape[0] - 1 + dy, 1 + dx:b.shape[1] - 1 + dx] * (5 if dx == dy == 0 else 1)
                for dy in (-1, 0, 1) for dx in (-1, 0, 1))
        smooth[1:-1, 1:-1] = k // 13
        out = blended(smooth.astype(np.uint8), a, factor)
        return Image.fromarray(out)
    if name == "Cutout":
        half, (x, y) = int(40 * level), (image.width // 3, image.height // 2)
        out = a.copy()
        out[max(0, y - half):y + half, max(0, x - half):x + half] = 128
        return Image.fromarray(out)
    raise ValueError(name)


def row(width, height, what, digests):
    print(f"    {{{width}, {height}, {what}, {{" + ", ".join(f'"{d}"' for d in digests) + "}},")


def main():
    print("/* torchvision */")
    for w, h in SIZES:
        for op, name in enumerate(NAMES):
            row(w, h, op, [digest(torchvision(picture(w, h), name, magnitude, negative))
                           for magnitude, negative in ((9, False), (9, True), (30, False), (17, True))])
    print("/* vmoe */")
    ops = {"Invert": 14, "Rotate": 5, "Posterize": 10, "Solarize": 11, "Contrast": 8, "Brightness": 6,
           "Sharpness": 9, "ShearX": 1, "ShearY": 2, "TranslateX": 3, "TranslateY": 4, "Cutout": 15,
           "SolarizeAdd": 16}
    for w, h in SIZES:
        for name, op in ops.items():
            if name == "Sharpness" and min(w, h) < 3:
                continue
            row(w, h, op, [digest(vmoe(picture(w, h), name, magnitude, negative))
                           for magnitude, negative in ((5, False), (10, True), (20, False))])
    print("/* parts */")
    for w, h in SIZES:
        p = picture(w, h)
        row(w, h, "HUE", [digest(F.adjust_hue(p, shift)) for shift in (-0.5, -0.1, 0.05, 0.4)])
        row(w, h, "BLUR", [digest(p.filter(ImageFilter.GaussianBlur(r))) for r in (0.1, 0.7, 1.3, 2.0, 5.5)])
        row(w, h, "GREY", [digest(ImageOps.grayscale(p).convert("RGB"))])
        row(w, h, "SOLARIZE", [digest(ImageOps.solarize(p, 128))])
        row(w, h, "COLOUR", [digest(ImageEnhance.Color(p).enhance(factor)) for factor in (0.0, 0.3, 1.7)])


if __name__ == "__main__":
    main()
