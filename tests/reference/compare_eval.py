#!/usr/bin/env python3
"""compare_eval.py - evaluation's pixels beside Pillow's, over a folder of class folders.

    compare_eval.py PROGRAM FOLDER

PROGRAM is tests/eval_pixels of the build. For bilinear and bicubic: how many bytes are equal, the
largest difference, and how many images differ at all. Leaves with 1 when a byte differs by more than 1
or more than 0.1 % differ. Pillow's bytes change with its version and its libjpeg: versions are printed.
Resize and CenterCrop are torchvision's formulas, written out. Needs Python 3 with Pillow and numpy.
"""

import pathlib
import subprocess
import sys

import numpy as np
import PIL
from PIL import Image, features


def evaluation(path, mode):
    image = Image.open(path).convert("RGB")
    w, h = image.size
    size = (256, int(256 * h / w)) if w <= h else (int(256 * w / h), 256)
    if size != image.size:
        image = image.resize(size, mode)
    top, left = int(round((size[1] - 224) / 2.0)), int(round((size[0] - 224) / 2.0))
    return np.asarray(image.crop((left, top, left + 224, top + 224)))


def main():
    program, folder = sys.argv[1:]
    names = sorted(p for p in pathlib.Path(folder).rglob("*")
                   if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    print(f"Pillow {PIL.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}, "
          f"{len(names)} images")
    good = True
    for name, mode in (("bilinear", Image.BILINEAR), ("bicubic", Image.BICUBIC)):
        raw = subprocess.run([program, folder, name], stdout=subprocess.PIPE, check=True).stdout
        ours = np.frombuffer(raw, np.uint8).reshape(len(names), 224, 224, 3)
        unequal, most, images = 0, 0, 0
        for path, mine in zip(names, ours):
            off = np.abs(mine.astype(int) - evaluation(path, mode).astype(int))
            unequal += int((off > 0).sum())
            most = max(most, int(off.max()))
            images += bool(off.any())
        equal = 1 - unequal / ours.size
        print(f"{name}: {100 * equal:.5f} % of {ours.size} bytes equal, largest difference "
              f"{most}, {images} images differ")
        good = good and most <= 1 and equal >= 0.999
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
