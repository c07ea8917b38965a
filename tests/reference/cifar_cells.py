#!/usr/bin/env python3
"""cifar_cells.py > tests/golden/cifar_cells.tsv

The deterministic cells of CIFAR-10-C, as make_cifar_c.py of Hendrycks and Dietterich (2019) makes them: 8
corruptions, 5 severities, with the same calls of numpy, scipy, scikit-image, OpenCV and Pillow, numpy.arange
among them (it adds (first + step) - first, which gives zoom_blur factors that are not first + i step). And
zoom_blur of make_imagenet_c.py at sizes where those factors round to another number of rows. Pictures:
those of tests/test_corrupt.h and crops of them. CRC-32 of the bytes, of the larger pictures their sum (scipy
sums in double, we in float32: one sample in 600,000 falls on the other side of a whole number).
tests/test_corrupt_cifar.c compares.
"""
import io
import sys
import zlib

import cv2
import numpy as np
from PIL import Image
from scipy.ndimage import zoom as scizoom
from skimage import color as sk
from skimage.filters import gaussian

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from corrupt_model import picture  # noqa: E402

CROPS = [(0, 0), (23, 46), (100, 50), (150, 170)]  # of picture(224, 224)


def disk(radius, alias_blur):
    if radius <= 8:
        reach, size = np.arange(-8, 8 + 1), (3, 3)
    else:
        reach, size = np.arange(-radius, radius + 1), (5, 5)
    x, y = np.meshgrid(reach, reach)
    aliased = np.array((x**2 + y**2) <= radius**2, dtype=np.float32)
    aliased /= np.sum(aliased)
    return cv2.GaussianBlur(aliased, ksize=size, sigmaX=alias_blur)


def clipped_zoom(image, factor):
    h = image.shape[0]
    ch = int(np.ceil(h / factor))
    top = (h - ch) // 2
    image = scizoom(image[top : top + ch, top : top + ch], (factor, factor, 1), order=1)
    trim = (image.shape[0] - h) // 2
    return image[trim : trim + h, trim : trim + h]


def defocus_blur(x, severity):
    c = [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)][severity - 1]
    x = x / 255.0
    kernel = disk(c[0], c[1])
    planes = [cv2.filter2D(x[:, :, d], -1, kernel) for d in range(3)]
    return np.clip(np.array(planes).transpose((1, 2, 0)), 0, 1) * 255


def gaussian_blur(x, severity):
    c = [0.4, 0.6, 0.7, 0.8, 1][severity - 1]
    return np.clip(gaussian(x / 255.0, sigma=c, channel_axis=-1), 0, 1) * 255


def zooms(x, factors):
    x = (x / 255.0).astype(np.float32)
    out = np.zeros_like(x)
    for factor in factors:
        out += clipped_zoom(x, factor)
    x = (x + out) / (len(factors) + 1)
    return np.clip(x, 0, 1) * 255


def zoom_blur(x, severity):
    ends = [1.06, 1.11, 1.16, 1.21, 1.26]
    return zooms(x, np.arange(1, ends[severity - 1], 0.01))


def zoom_blur_imagenet(x, severity):
    steps = [(1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)]
    end, step = steps[severity - 1]
    return zooms(x, np.arange(1, end, step))


def brightness(x, severity):
    c = [0.05, 0.1, 0.15, 0.2, 0.3][severity - 1]
    x = sk.rgb2hsv(x / 255.0)
    x[:, :, 2] = np.clip(x[:, :, 2] + c, 0, 1)
    return np.clip(sk.hsv2rgb(x), 0, 1) * 255


def saturate(x, severity):
    c = [(0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)][severity - 1]
    x = sk.rgb2hsv(x / 255.0)
    x[:, :, 1] = np.clip(x[:, :, 1] * c[0] + c[1], 0, 1)
    return np.clip(sk.hsv2rgb(x), 0, 1) * 255


def contrast(x, severity):
    c = [0.75, 0.5, 0.4, 0.3, 0.15][severity - 1]
    x = x / 255.0
    means = np.mean(x, axis=(0, 1), keepdims=True)
    return np.clip((x - means) * c + means, 0, 1) * 255


def jpeg_compression(x, severity):
    file = io.BytesIO()
    Image.fromarray(x).save(file, "JPEG", quality=[80, 65, 58, 50, 40][severity - 1])
    return np.asarray(Image.open(file))


def pixelate(x, severity):
    c = [0.95, 0.9, 0.85, 0.75, 0.65][severity - 1]
    small = Image.fromarray(x).resize((int(32 * c), int(32 * c)), Image.BOX)
    return np.asarray(small.resize((32, 32), Image.BOX))


CELLS = [defocus_blur, zoom_blur, brightness, contrast, pixelate, jpeg_compression, gaussian_blur, saturate]


def main():
    print("# cifar_cells.py: corruption, severity, preset, side, row and column of the crop; CRC-32, or the sum")
    whole = picture(224, 224)
    for cell in CELLS:
        for severity in range(1, 6):
            for row, column in CROPS:
                x = np.ascontiguousarray(whole[row : row + 32, column : column + 32])
                crc = zlib.crc32(np.uint8(cell(x, severity)).tobytes())
                print(cell.__name__, severity, 32, 32, row, column, "%08x" % crc, sep="\t")
    for side in (224, 240, 448):
        for severity in range(1, 6):
            x = np.uint8(zoom_blur_imagenet(picture(side, side), severity))
            print("zoom_blur", severity, 224, side, 0, 0, int(x.astype(np.int64).sum()), sep="\t")


if __name__ == "__main__":
    main()
