#!/usr/bin/env python3
"""scene.py OUT.png - draws the picture of docs/corruptions.jpg: a lake with a boat, all by formula, so that the
contact sheet holds nobody's photograph. Needs numpy and Pillow.

    python3 docs/scene.py scene.png
    vmoe corrupt --sheet docs/corruptions.jpg --sheet-image scene.png --tile 80
"""

import sys

import numpy as np
from PIL import Image

SIDE, FINE = 448, 2  # pixels a side; drawn this much larger, then averaged
N = SIDE * FINE
rng = np.random.default_rng(4)
Y, X = np.mgrid[0:N, 0:N] / N


def noise(octaves, first=4, stretch=1.0, falloff=0.5):
    """Value noise 0..1: random lattices, cubic in between."""
    total, weight = np.zeros((N, N)), 0.0
    for o in range(octaves):
        cells = first * 2**o
        grid = rng.random((cells + 2, int(cells * stretch) + 2))
        y, x = Y * cells, X * cells * stretch
        i, j = y.astype(int), x.astype(int)
        fy, fx = [t * t * (3 - 2 * t) for t in (y - i, x - j)]
        top = grid[i, j] * (1 - fx) + grid[i, j + 1] * fx
        low = grid[i + 1, j] * (1 - fx) + grid[i + 1, j + 1] * fx
        total += falloff**o * (top * (1 - fy) + low * fy)
        weight += falloff**o
    return total / weight


def colour(*rgb):
    return np.array(rgb, float)[None, None, :]


def mix(image, rgb, mask):
    mask = np.clip(mask, 0, 1)[..., None]
    return image * (1 - mask) + rgb * mask


def polygon(points):
    """1 inside a convex polygon, corners clockwise on the screen."""
    inside = np.ones((N, N), bool)
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1]):
        inside &= (x1 - x0) * (Y - y0) - (y1 - y0) * (X - x0) >= 0
    return inside.astype(float)


def scene():
    shore = 0.60
    # Sky, clouds, sun.
    image = colour(96, 152, 214) * (1 - Y[..., None]) + colour(224, 214, 196) * Y[..., None]
    image = mix(image, colour(252, 250, 246), (noise(6, 3) - 0.52) * 4 * (1 - Y / shore))
    sun = np.hypot(X - 0.76, Y - 0.17)
    image = mix(image, colour(255, 244, 200), np.exp(-(sun / 0.16) ** 2) * 0.7)
    image = mix(image, colour(255, 250, 226), (0.055 - sun) * 400)
    # Three ranges of hills, the nearer the darker; snow on the first.
    for height, rough, rgb in ((0.36, 0.22, (128, 142, 168)), (0.46, 0.13, (94, 116, 118)),
                               (0.55, 0.06, (52, 84, 56))):
        ridge = noise(7, 3)[N // 2][None, :] - 0.5
        depth = Y - (height - rough * 2.2 * ridge)
        grain = noise(7, 8)[..., None]
        image = mix(image, colour(*rgb) * (0.55 + 0.9 * grain), depth * 300)
        if height < 0.4:
            snow = (0.06 - depth + 0.1 * (grain[..., 0] - 0.5)) * 60
            image = mix(image, colour(240, 243, 250) * (0.75 + 0.4 * grain), snow * (depth > 0))
    # Firs along the shore.
    for x in rng.random(46):
        size = 0.03 + 0.05 * rng.random()
        foot = shore + 0.004
        step = np.clip((foot - Y) / size, 0, 1)
        width = 0.22 * size * (1 - step) * (0.75 + 0.5 * ((step * 5) % 1))
        fir = (np.abs(X - x) < width) & (Y < foot) & (Y > foot - size)
        image = mix(image, colour(26, 54, 34) * (0.8 + 0.5 * rng.random()), fir)
    # The lake mirrors what stands above it, broken by waves.
    waves = noise(6, 10, 0.25)
    rows = np.clip(2 * shore - Y + 0.03 * (waves - 0.5) * (0.3 + Y), 0, shore) * (N - 1)
    columns = np.clip(X + 0.02 * (waves - 0.5), 0, 1) * (N - 1)
    mirror = image[rows.astype(int), columns.astype(int)]
    water = mirror * 0.62 + colour(28, 66, 88) * 0.38 + 46 * (waves[..., None] - 0.5)
    image = mix(image, water, (Y - shore) * 2000)
    # A boat: hull, stripe, two sails, and their mirror image where they stand before the water.
    behind = image.copy()
    image = mix(image, colour(150, 34, 32), polygon([(.22, .70), (.52, .70), (.47, .755), (.27, .755)]))
    image = mix(image, colour(240, 236, 226), polygon([(.225, .706), (.515, .706), (.51, .716), (.23, .716)]))
    image = mix(image, colour(70, 50, 34), polygon([(.372, .36), (.378, .36), (.378, .70), (.372, .70)]))
    shade = 0.86 + 0.2 * (X - 0.3) / 0.2
    image = mix(image, colour(246, 240, 226) * shade[..., None], polygon([(.385, .37), (.50, .685), (.385, .685)]))
    image = mix(image, colour(222, 120, 40) * shade[..., None], polygon([(.366, .40), (.366, .685), (.26, .685)]))
    for y in np.arange(0.42, 0.68, 0.045):  # seams
        image = mix(image, image * 0.88, (np.abs(Y - y) < 0.0016) * (Y < 0.685) * (X > .386) *
                    ((X - .385) * (.685 - .37) < (Y - .37) * (.50 - .385)))
    line = 0.755  # where the hull meets the water
    rows = np.clip(2 * line - Y + 0.02 * (waves - 0.5), 0, 1) * (N - 1)
    rows, columns = rows.astype(int), columns.astype(int)
    boat = np.abs(image - behind).sum(2)[rows, columns] > 1
    image = mix(image, image[rows, columns], 0.5 * boat * (Y > line))
    # Grass and flowers in front.
    bank = 0.87 - 0.07 * (X - 0.3) ** 2 + 0.03 * (noise(3, 3)[N // 3][None, :] - 0.5)
    blades = noise(5, 40, 3.0)[..., None]
    image = mix(image, colour(70, 116, 42) * (0.35 + 1.3 * blades), (Y - bank) * 150)
    for _ in range(150):
        x, y, r = rng.random(), 0.90 + 0.10 * rng.random(), 0.003 + 0.005 * rng.random()
        rgb = ((236, 62, 74), (250, 214, 70), (246, 246, 250), (150, 90, 200))[rng.integers(4)]
        r *= 1 + 12 * (y - 0.9)
        image = mix(image, colour(*rgb), (r - np.hypot(X - x, Y - y)) * 1500)
    # Light falls off to the corners; a little grain.
    image *= 1 - 0.35 * (np.hypot(X - 0.5, Y - 0.5)[..., None] ** 2)
    image = image.reshape(SIDE, FINE, SIDE, FINE, 3).mean((1, 3)) + rng.normal(0, 1.5, (SIDE, SIDE, 3))
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    Image.fromarray(scene()).save(sys.argv[1])
