#!/usr/bin/env python3
"""Tables of tests/test_data_resize.c: tf.image.resize, methods area and bilinear without
antialias, from its definition (half-pixel centres), in NumPy alone. --tensorflow compares
with TensorFlow itself where it is installed.

area: output i averages the inputs of [i s, (i + 1) s), s = inputs / outputs, those at the
ends in part; rounded to 8 bits here. bilinear: output i lies at (i + 1/2) s - 1/2 between
its two neighbours; cut off to 8 bits, as V-MoE casts it."""
import hashlib
import sys

import numpy as np

from make_pixels import picture

F = np.float32
CASES = [  # width, height, channels, width and height of the result
    (40, 30, 3, 20, 15), (40, 30, 3, 17, 11), (40, 30, 1, 17, 11), (40, 30, 3, 64, 48),
    (40, 30, 3, 41, 29), (40, 30, 3, 40, 13), (40, 30, 3, 13, 30), (1, 1, 3, 9, 7),
    (7, 1, 1, 3, 5), (1, 9, 3, 5, 4), (300, 2, 3, 5, 2), (64, 64, 1, 1, 1),
    (33, 21, 3, 24, 24), (90, 70, 3, 32, 32), (375, 500, 3, 384, 384)]


def area_weights(inputs, outputs):
    """[outputs, inputs], rows sum to s."""
    s = F(inputs) / F(outputs)
    w = np.zeros((outputs, inputs), F)
    for i in range(outputs):
        low, high = F(i) * s, F(i + 1) * s
        for j in range(int(np.floor(low)), min(int(np.ceil(high)), inputs)):
            left, right = max(F(j), low), min(F(j + 1), high)
            w[i, j] = F(right - left)
    return w, s


def weighted(rows, weights):
    """[outputs, ...]: sums over the first axis of rows in float32, in its order."""
    out = np.zeros((len(weights),) + rows.shape[1:], F)
    for i, line in enumerate(weights):
        for j in np.flatnonzero(line):
            out[i] += rows[j] * line[j]
    return out


def area(image, width, height):
    """[h, w, c] float32, not rounded."""
    wy, sy = area_weights(image.shape[0], height)
    wx, sx = area_weights(image.shape[1], width)
    rows = weighted(image.astype(F).transpose(1, 0, 2), wx).transpose(1, 0, 2)
    return weighted(rows, wy) * (F(1) / (sy * sx))


def neighbours(inputs, outputs):
    at = (np.arange(outputs, dtype=F) + F(0.5)) * (F(inputs) / F(outputs)) - F(0.5)
    low = np.maximum(np.floor(at), 0).astype(int)
    high = np.minimum(np.ceil(at), inputs - 1).astype(int)
    return low, high, at - np.floor(at)


def bilinear(image, width, height):
    y0, y1, fy = neighbours(image.shape[0], height)
    x0, x1, fx = neighbours(image.shape[1], width)
    p = image.astype(F)
    fx, fy = fx[None, :, None], fy[:, None, None]
    top = p[y0][:, x0] + (p[y0][:, x1] - p[y0][:, x0]) * fx
    bottom = p[y1][:, x0] + (p[y1][:, x1] - p[y1][:, x0]) * fx
    return top + (bottom - top) * fy


def main():
    for w, h, c, to_w, to_h in CASES:
        image = np.asarray(picture(w, h, c))
        image = image.reshape(h, w, c)
        a = np.floor(area(image, to_w, to_h) + 0.5).astype(np.uint8)
        b = bilinear(image, to_w, to_h).astype(np.uint8)
        digest = [hashlib.sha256(x.tobytes()).hexdigest()[:16] for x in (a, b)]
        print(f'    {{{w}, {h}, {c}, {to_w}, {to_h}, "{digest[0]}", "{digest[1]}"}},')
        if '--tensorflow' in sys.argv:
            import tensorflow as tf
            ta = tf.image.resize(image, (to_h, to_w), 'area').numpy()
            tb = tf.image.resize(image, (to_h, to_w), 'bilinear').numpy()
            print('      // area', np.abs(ta - area(image, to_w, to_h)).max(), 'bytes that differ',
                  int((np.floor(ta + 0.5) != a).sum()), 'bilinear',
                  int((tb.astype(np.uint8) != b).sum()))


if __name__ == '__main__':
    main()
