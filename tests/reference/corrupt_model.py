#!/usr/bin/env python3
"""corrupt_model.py [SEEDS] > tests/golden/corruptions.tsv

An independent model of the 19 corruptions at preset 224, from their description, on numpy, scipy,
scikit-image, OpenCV and Pillow: the libraries of the original scripts (Hendrycks and Dietterich
2019), but for motion blur, which is ImageMagick's rule written out. Applied to the picture of
tests/test_corrupt.h (integers only), it gives per corruption and severity the mean distance from
the clean picture, the mean and the standard deviation of the samples, each with its spread over
seeds: what tests/test_corrupt_scores.c compares with.
"""
import functools
import io
import math
import sys

import cv2
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates, zoom as scipy_zoom
from skimage import color

try:
    from numba import njit
except ImportError:  # slow, but the same

    def njit(function):
        return function


SIDE = 224


def picture(height, width):
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    tile = y // 23 * 10 + x // 23
    tint = (tile * 2654435761 & 0xFFFFFFFF) >> 8
    grain = ((y * 7919 + x) * 2246822519 & 0xFFFFFFFF) >> 26
    out = np.zeros((height, width, 3), np.uint8)
    for c in range(3):
        v = tint >> 4 * c & 0xFF
        slope = (v + (x * (c + 1) + y * (3 - c)) // 2 % 256) // 2
        v = np.where(y // 23 % 2 == 1, (v * 3 + grain * 4) // 4, slope)
        v = np.where(tile % 5 == 0, tint & 0xFF, v)
        v = np.where(tile % 7 == 0, np.where(tile % 2 == 1, 255, 0), v)
        out[..., c] = (v & 0xFF).astype(np.uint8)
    return out


@functools.cache
def frost_textures():
    return [picture(240 + 16 * i, 300 + 8 * i) for i in range(5)]


def to_bytes(x):
    return (np.clip(x, 0, 1) * 255).astype(np.uint8)


def gauss(x, sigma, mode="nearest", truncate=4.0):
    sigmas = (sigma, sigma, 0) if x.ndim == 3 else sigma
    return gaussian_filter(x, sigmas, mode=mode, truncate=truncate)


def clipped_zoom(x, factor):
    h = x.shape[0]
    cut = math.ceil(h / factor)
    top = (h - cut) // 2
    scale = (factor, factor, 1) if x.ndim == 3 else factor
    big = scipy_zoom(x[top : top + cut, top : top + cut], scale, order=1)
    trim = (big.shape[0] - h) // 2
    return big[trim : trim + h, trim : trim + h]


def motion(v, radius, sigma, angle):
    taps = 2 * math.ceil(radius) + 1
    weight = np.exp(-np.arange(taps) ** 2 / (2 * sigma * sigma))
    weight /= weight.sum()
    t = math.radians(angle)
    rows, columns = np.arange(v.shape[0]), np.arange(v.shape[1])
    total = np.zeros(v.shape)
    for i in range(taps):
        dy, dx = math.ceil(i * math.sin(t) - 0.5), math.ceil(i * math.cos(t) - 0.5)
        y = np.clip(rows + dy, 0, v.shape[0] - 1)
        x = np.clip(columns + dx, 0, v.shape[1] - 1)
        total += weight[i] * (v[y][:, x] * 257.0)
    return (np.floor(total + 0.5) // 257).astype(np.uint8)


def plasma(side, decay, rng):
    a = np.zeros((side, side))
    step, wobble = side, 100.0
    while step >= 2:
        half = step // 2
        c = np.arange(0, side, step)

        def at(dy, dx):
            return a[np.ix_((c + dy) % side, (c + dx) % side)]

        def wob(mean):
            return mean / 4 + wobble * rng.uniform(-wobble, wobble, mean.shape)

        def put(dy, dx, value):
            a[np.ix_((c + dy) % side, (c + dx) % side)] = value

        put(half, half, wob(at(0, 0) + at(step, 0) + at(0, step) + at(step, step)))
        put(0, half, wob(at(half, half) + at(-half, half) + at(0, 0) + at(0, step)))
        put(half, 0, wob(at(half, half) + at(half, -half) + at(0, 0) + at(step, 0)))
        step, wobble = half, wobble / decay
    a -= a.min()
    return a / a.max()


@njit
def copy_pixels(u, d, dx, dy):
    i = 0
    for h in range(u.shape[0] - d, d, -1):
        for w in range(u.shape[1] - d, d, -1):
            for c in range(3):
                u[h, w, c] = u[h + dy[i], w + dx[i], c]
            i += 1


def gaussian_noise(v, p, rng):
    return to_bytes(v / 255 + rng.normal(0, p, v.shape))


def shot_noise(v, p, rng):
    return to_bytes(rng.poisson(v / 255 * p) / p)


def impulse_noise(v, p, rng):
    flip, salt = rng.random(v.shape) < p, rng.random(v.shape) < 0.5
    return np.where(flip, np.where(salt, 255, 0), v).astype(np.uint8)


def speckle_noise(v, p, rng):
    x = v / 255
    return to_bytes(x + x * rng.normal(0, p, v.shape))


def defocus_blur(v, p, rng):
    radius, alias = p
    reach, size = (8, 3) if radius <= 8 else (radius, 5)
    side = np.arange(-reach, reach + 1)
    xs, ys = np.meshgrid(side, side)
    disk = (xs * xs + ys * ys <= radius * radius).astype(np.float32)
    disk = cv2.GaussianBlur(disk / disk.sum(), (size, size), alias)
    planes = [cv2.filter2D(v[..., c] / 255.0, -1, disk) for c in range(3)]
    return to_bytes(np.dstack(planes))


def glass_blur(v, p, rng):
    sigma, d, passes = p
    u = (gauss(v / 255, sigma) * 255).astype(np.uint8)
    for _ in range(passes):
        draws = rng.integers(-d, d, (2, (SIDE - 2 * d) ** 2))
        copy_pixels(u, d, draws[0], draws[1])
    return to_bytes(gauss(u / 255, sigma))


def motion_blur(v, p, rng):
    return motion(v, *p, rng.uniform(-45, 45))


def zoom_blur(v, p, rng):
    step, count = p
    x = (v / 255).astype(np.float32)
    total = np.zeros_like(x)
    for i in range(count):
        total += clipped_zoom(x, 1 + i * step)
    return to_bytes((x + total) / (count + 1))


def snow(v, p, rng):
    loc, sd, factor, threshold, radius, sigma, mix = p
    layer = clipped_zoom(rng.normal(loc, sd, (SIDE, SIDE)), factor)
    layer[layer < threshold] = 0
    layer = motion(to_bytes(layer), radius, sigma, rng.uniform(-135, -45))[..., None] / 255
    x = (v / 255).astype(np.float32)
    grey = cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)[..., None]
    base = mix * x + (1 - mix) * np.maximum(x, grey * 1.5 + 0.5)
    return to_bytes(base + layer + np.rot90(layer, 2))


def frost(v, p, rng):
    keep, weight = p
    texture = frost_textures()[rng.integers(5)]
    top = rng.integers(0, texture.shape[0] - SIDE)
    left = rng.integers(0, texture.shape[1] - SIDE)
    crop = texture[top : top + SIDE, left : left + SIDE]
    return np.clip(keep * v + weight * crop, 0, 255).astype(np.uint8)


def fog(v, p, rng):
    thickness, decay = p
    x = v / 255
    top = x.max()
    x = x + thickness * plasma(256, decay, rng)[:SIDE, :SIDE, None]
    return to_bytes(x * top / (top + thickness))


def brightness(v, p, rng):
    hsv = color.rgb2hsv(v / 255)
    hsv[..., 2] = np.clip(hsv[..., 2] + p, 0, 1)
    return to_bytes(color.hsv2rgb(hsv))


def saturate(v, p, rng):
    hsv = color.rgb2hsv(v / 255)
    hsv[..., 1] = np.clip(hsv[..., 1] * p[0] + p[1], 0, 1)
    return to_bytes(color.hsv2rgb(hsv))


def contrast(v, p, rng):
    x = v / 255
    mean = x.mean(axis=(0, 1), keepdims=True)
    return to_bytes((x - mean) * p + mean)


def elastic_transform(v, p, rng):
    alpha, sigma, affine = p
    x = (v / 255).astype(np.float32)
    centre, square = np.float32((SIDE // 2, SIDE // 2)), SIDE // 3
    one = np.float32(
        [centre + square, [centre[0] + square, centre[1] - square], centre - square]
    )
    two = one + rng.uniform(-affine, affine, one.shape).astype(np.float32)
    x = cv2.warpAffine(
        x, cv2.getAffineTransform(one, two), (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT_101
    )
    dx, dy = (
        gauss(rng.uniform(-1, 1, (SIDE, SIDE)), sigma, "reflect", 3) * alpha for _ in range(2)
    )
    ys, xs = np.mgrid[0:SIDE, 0:SIDE]
    planes = [
        map_coordinates(x[..., c], [ys + dy, xs + dx], order=1, mode="reflect") for c in range(3)
    ]
    return to_bytes(np.dstack(planes))


def pixelate(v, p, rng):
    small = Image.fromarray(v).resize((int(SIDE * p), int(SIDE * p)), Image.BOX)
    return np.asarray(small.resize((SIDE, SIDE), Image.BOX))


def jpeg_compression(v, p, rng):
    file = io.BytesIO()
    Image.fromarray(v).save(file, "JPEG", quality=p)
    return np.asarray(Image.open(file))


def gaussian_blur(v, p, rng):
    return to_bytes(gauss(v / 255, p))


def spatter(v, p, rng):
    loc, sd, sigma, threshold, strength, mud = p
    x = (v / 255).astype(np.float32)
    layer = gauss(rng.normal(loc, sd, (SIDE, SIDE)), sigma)
    layer[layer < threshold] = 0
    if mud:
        mask = gauss((layer > threshold).astype(np.float32), strength)
        mask[mask < 0.8] = 0
        mask = mask[..., None]
        return to_bytes(x * (1 - mask) + mask * np.float32((63, 42, 20)) / 255)
    drops = (layer * 255).astype(np.uint8)
    distance = cv2.distanceTransform(255 - cv2.Canny(drops, 50, 150), cv2.DIST_L2, 5)
    _, distance = cv2.threshold(distance, 20, 20, cv2.THRESH_TRUNC)
    distance = cv2.equalizeHist(cv2.blur(distance, (3, 3)).astype(np.uint8))
    relief = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    distance = cv2.blur(cv2.filter2D(distance, cv2.CV_8U, relief), (3, 3))
    mask = drops.astype(np.float32) * distance
    mask = strength * mask / max(mask.max(), 1e-9)
    return to_bytes(x + mask[..., None] * np.float32((175, 238, 238)) / 255)


MODELS = [
    (gaussian_noise, True, [0.08, 0.12, 0.18, 0.26, 0.38]),
    (shot_noise, True, [60, 25, 12, 5, 3]),
    (impulse_noise, True, [0.03, 0.06, 0.09, 0.17, 0.27]),
    (defocus_blur, False, [(3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)]),
    (glass_blur, True, [(0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)]),
    (motion_blur, True, [(10, 3), (15, 5), (15, 8), (15, 12), (20, 15)]),
    (zoom_blur, False, [(0.01, 12), (0.01, 16), (0.02, 11), (0.02, 13), (0.03, 11)]),
    (
        snow,
        True,
        [
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ],
    ),
    (frost, True, [(1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)]),
    (fog, True, [(1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)]),
    (brightness, False, [0.1, 0.2, 0.3, 0.4, 0.5]),
    (contrast, False, [0.4, 0.3, 0.2, 0.1, 0.05]),
    (
        elastic_transform,
        True,
        [
            (488, 170.8, 24.4),
            (488, 19.52, 48.8),
            (12.2, 2.44, 4.88),
            (17.08, 2.44, 4.88),
            (29.28, 2.44, 4.88),
        ],
    ),
    (pixelate, False, [0.6, 0.5, 0.4, 0.3, 0.25]),
    (jpeg_compression, False, [25, 18, 15, 10, 7]),
    (speckle_noise, True, [0.15, 0.2, 0.35, 0.45, 0.6]),
    (gaussian_blur, False, [1, 2, 3, 4, 6]),
    (
        spatter,
        True,
        [
            (0.65, 0.3, 4, 0.69, 0.6, False),
            (0.65, 0.3, 3, 0.68, 0.6, False),
            (0.65, 0.3, 2, 0.68, 0.5, False),
            (0.65, 0.3, 1, 0.65, 1.5, True),
            (0.67, 0.4, 1, 0.65, 1.5, True),
        ],
    ),
    (saturate, False, [(0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)]),
]


def main():
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 24
    clean = picture(SIDE, SIDE)
    print("# corrupt_model.py: corruption, severity; mean and spread over seeds of: distance from")
    print("# the clean picture, mean and standard deviation of the samples, in levels")
    for kind, (model, random, severities) in enumerate(MODELS):
        for severity, params in enumerate(severities, 1):
            found = []
            for seed in range(seeds if random else 1):
                rng = np.random.default_rng([kind, severity, seed])
                out = model(clean.copy(), params, rng)
                assert out.dtype == np.uint8 and out.shape == clean.shape
                distance = np.abs(out.astype(int) - clean).mean()
                found.append((distance, out.mean(), out.std()))
            found = np.array(found)
            spread = found.std(axis=0, ddof=1) if random else np.zeros(3)
            numbers = [f"{x:.5g}" for pair in zip(found.mean(axis=0), spread) for x in pair]
            print("\t".join([model.__name__, str(severity), *numbers]), flush=True)


if __name__ == "__main__":
    main()
