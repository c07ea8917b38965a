#!/usr/bin/env python3
"""corrupt.py - image corruptions of the Python package imagecorruptions beside `vmoe bench corrupt`.

    python bench/peers/corrupt.py --vmoe build/apps/vmoe --data DIR [--rounds 9] [--scripts]

Both on one core, in one session, on the same picture: the first of DIR (a folder per class) with its
shorter side at 256 pixels and the middle 224 cut out. CSV: milliseconds an image of every corruption and
severity, medians of --rounds images; then the fifteen of the benchmark in all. ratio = peer_ms / vmoe_ms:
above 1 vmoe is faster. --scripts adds the functions on the libraries of the original scripts
(tests/reference/corrupt_model.py; glass blur is the package's own loop, which is theirs), once each.

Needs numpy, scipy, scikit-image, OpenCV, Pillow, imagecorruptions. The package was written for numpy 1
and older scikit-image: three names are put back below. Its glass blur is a loop in plain Python, seconds
an image; where numba is installed that loop is compiled, as the package's unreleased source does.
"""

import argparse
import csv
import importlib.metadata
import pathlib
import statistics
import subprocess
import sys
import time
import warnings

import numpy as np

np.float_ = np.float64  # removed in numpy 2
import cv2
import skimage.filters
from PIL import Image

gaussian = skimage.filters.gaussian


def old_gaussian(image, sigma=1, multichannel=False, **rest):  # removed in scikit-image 0.22
    return gaussian(image, sigma=sigma, channel_axis=-1 if multichannel else None, **rest)


skimage.filters.gaussian = old_gaussian
warnings.simplefilter("ignore")
sys.modules.setdefault("pkg_resources", type(sys)("pkg_resources"))
if not hasattr(sys.modules["pkg_resources"], "resource_filename"):
    sys.modules["pkg_resources"].resource_filename = lambda name, path: str(
        pathlib.Path(importlib.util.find_spec(name.split(".")[0]).origin).parent / path
    )
import imagecorruptions

try:
    from numba import njit
except ImportError:
    njit = None

HERE = pathlib.Path(__file__).resolve().parent


def compiled_glass_blur():
    @njit
    def shuffle(x, d, passes):
        for _ in range(passes):
            for h in range(x.shape[0] - d, d, -1):
                for w in range(x.shape[1] - d, d, -1):
                    dx = np.random.randint(-d, d)
                    dy = np.random.randint(-d, d)
                    for c in range(3):
                        x[h, w, c] = x[h + dy, w + dx, c]

    def glass_blur(x, severity=1):
        sigma, d, passes = [(0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)][
            severity - 1
        ]
        x = np.uint8(gaussian(np.array(x) / 255.0, sigma=sigma, channel_axis=-1) * 255)
        shuffle(x, d, passes)
        return np.clip(gaussian(x / 255.0, sigma=sigma, channel_axis=-1), 0, 1) * 255

    return glass_blur


def first_picture(folder):
    names = sorted(p for p in pathlib.Path(folder).rglob("*") if p.suffix.lower() in
                   (".jpg", ".jpeg", ".png"))
    if not names:
        sys.exit(f"corrupt.py: no pictures in '{folder}'")
    image = Image.open(names[0]).convert("RGB")
    width, height = image.size
    scale = 256 / min(width, height)
    image = image.resize((int(width * scale), int(height * scale)), Image.BILINEAR)
    left, top = round((image.width - 224) / 2), round((image.height - 224) / 2)
    return np.asarray(image.crop((left, top, left + 224, top + 224)))


def median_ms(function, rounds):
    times = []
    for i in range(rounds + (rounds > 1)):  # the first one warms up
        start = time.perf_counter()
        function()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[rounds > 1 :])


def ours(program, data, rounds):
    command = [program, "bench", "corrupt", "--rounds", str(max(9, rounds)), "--threads", "1"]
    command += ["--data", data]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"corrupt.py: failed: {' '.join(command)}")
    rows = csv.DictReader(done.stdout.splitlines())
    return {(r["corruption"], r["severity"]): float(r["median_ms"]) for r in rows}


def scripts():
    """The original functions' stand-ins: by name, what to call with a picture and a severity."""
    sys.path.insert(0, str(HERE.parent.parent / "tests" / "reference"))
    import corrupt_model

    rng = np.random.default_rng(0)
    calls = {
        model.__name__: lambda v, severity, model=model, params=params: model(
            v.copy(), params[severity - 1], rng
        )
        for model, _, params in corrupt_model.MODELS
    }
    calls["glass_blur"] = imagecorruptions.corruption_dict["glass_blur"]  # before it is compiled
    return calls


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vmoe", default=str(HERE.parent.parent / "build" / "apps" / "vmoe"))
    parser.add_argument("--data", required=True, help="folder of folders of pictures")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--scripts", action="store_true")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    picture = first_picture(args.data)
    vmoe = ours(args.vmoe, args.data, args.rounds)
    models = scripts() if args.scripts else {}
    if njit:
        imagecorruptions.corruption_dict["glass_blur"] = compiled_glass_blur()
    out = csv.writer(sys.stdout)
    out.writerow(["corruption", "severity", "vmoe_ms", "package_ms", "ratio"]
                 + ["scripts_ms", "scripts_ratio"] * bool(models))
    names = imagecorruptions.get_corruption_names("all")
    bench = names[:15]
    sums = {}
    for name in names:
        for severity in range(1, 6):
            def package():
                imagecorruptions.corrupt(picture, severity=severity, corruption_name=name)

            peers = [median_ms(package, args.rounds)]
            if models:
                peers.append(median_ms(lambda: models[name](picture, severity), 1))
            us = vmoe[name, str(severity)]
            row = [f"{us:.3f}"]
            for peer in peers:
                row += [f"{peer:.2f}", f"{peer / us:.1f}"]
            out.writerow([name, severity, *row])
            sys.stdout.flush()
            if name in bench:
                for key in [severity, "1-5"]:
                    so_far = sums.setdefault(key, [0.0] * (1 + len(peers)))
                    for i, value in enumerate([us, *peers]):
                        so_far[i] += value
    for key, (us, *peers) in sums.items():
        row = [f"{us:.3f}"]
        for peer in peers:
            row += [f"{peer:.2f}", f"{peer / us:.1f}"]
        out.writerow(["bench", key, *row])


if __name__ == "__main__":
    main()
