"""decode.py - other pipelines from files to batches, as their careful users write them, one thread.

Each pipeline reads every file of a folder of class folders (or the members of a tar) from memory, one
image after the other, and leaves a normalised float32 array [3, S, S]. The photographs' pipelines are

    train  random resized crop to 224, flip, normalise
    eval   resize 256, centre crop 224, normalise, bilinear (and bicubic)
    small  decode, pad 4, random crop, flip, normalise at the images' own size (32 or 64 pixels)

in Pillow + torchvision, OpenCV (INTER_AREA for reductions, as its documentation advises),
torchvision.io (libjpeg-turbo into tensors, antialiased resizing), and DALI's CPU operators. One CSV line per pipeline: median,
smallest and largest rate of --rounds rounds. The row `decode` is the decoder alone.

    python decode.py --kind train --rounds 5 FOLDER
"""

import argparse
import csv
import io
import math
import pathlib
import random
import statistics
import sys
import tarfile
import time

import numpy as np

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


def crop_box(width, height, draw):
    """torchvision's RandomResizedCrop.get_params, for OpenCV."""
    for _ in range(10):
        area = width * height * draw.uniform(0.08, 1.0)
        ratio = math.exp(draw.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return draw.randint(0, width - w), draw.randint(0, height - h), w, h
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side, side


def torchvision_import():
    """torchvision's transforms need none of its compiled operators; where those do not fit the torch at
    hand (a CUDA build beside a CPU build), import stops at two of them unless they are declared."""
    import torch

    try:
        import torchvision
    except RuntimeError:
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        KEPT.append(library)
        import torchvision
    return torchvision


KEPT = []


def pillow_pipelines(kind):
    import PIL
    import torch

    torchvision = torchvision_import()
    from PIL import Image
    from torchvision import transforms as t

    torch.set_num_threads(1)
    name = f"pillow-{PIL.__version__}+torchvision-{torchvision.__version__.split('+')[0]}"
    last = [t.ToTensor(), t.Normalize(MEAN.tolist(), STD.tolist())]

    def load(raw):
        return Image.open(io.BytesIO(raw)).convert("RGB")

    def chain(*steps):
        steps = t.Compose([*steps, *last])
        return lambda raw: steps(load(raw))

    def evaluation(mode):
        return chain(t.Resize(256, mode), t.CenterCrop(224))

    yield name, "decode", load
    if kind == "train":
        yield name, "train", chain(t.RandomResizedCrop(224), t.RandomHorizontalFlip())
    elif kind == "eval":
        yield name, "eval bilinear", evaluation(t.InterpolationMode.BILINEAR)
        yield name, "eval bicubic", evaluation(t.InterpolationMode.BICUBIC)
    else:
        steps = {}

        def small(raw):
            image = load(raw)
            if image.size not in steps:
                steps[image.size] = t.Compose([t.RandomCrop(image.size[::-1], padding=4),
                                               t.RandomHorizontalFlip(), *last])
            return steps[image.size](image)

        yield name, "small", small


def opencv_pipelines(kind):
    import cv2

    cv2.setNumThreads(1)
    name = f"opencv-{cv2.__version__}"
    draw = random.Random(1)
    scale, shift = (1 / (255 * STD)).astype(np.float32), (-MEAN / STD).astype(np.float32)

    def load(raw):
        return cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR)

    def finish(image):
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        image = image.astype(np.float32) * scale + shift
        return np.ascontiguousarray(image.transpose(2, 0, 1))

    def planes(image):
        """The quickest normalisation found: a table a channel, straight into planes."""
        return np.stack([TABLES[c][image[:, :, 2 - c]] for c in range(3)])

    levels = np.arange(256, dtype=np.float32)
    TABLES = [levels * scale[c] + shift[c] for c in range(3)]

    def flip(image):
        return cv2.flip(image, 1) if draw.random() < 0.5 else image

    def train(mode, end):
        def run(raw):
            image = load(raw)
            left, top, w, h = crop_box(image.shape[1], image.shape[0], draw)
            image = cv2.resize(image[top:top + h, left:left + w], (224, 224), interpolation=mode)
            return end(flip(image))
        return run

    def evaluation(mode):
        def run(raw):
            image = load(raw)
            h, w = image.shape[:2]
            size = (256, int(256 * h / w)) if w <= h else (int(256 * w / h), 256)
            image = cv2.resize(image, size, interpolation=mode)
            top, left = (size[1] - 224) // 2, (size[0] - 224) // 2
            return finish(image[top:top + 224, left:left + 224])
        return run

    def small(raw):
        image = load(raw)
        h, w = image.shape[:2]
        image = cv2.copyMakeBorder(image, 4, 4, 4, 4, cv2.BORDER_CONSTANT)
        top, left = draw.randint(0, 8), draw.randint(0, 8)
        return finish(flip(image[top:top + h, left:left + w]))

    yield name, "decode", load
    if kind == "train":
        yield name, "train", train(cv2.INTER_AREA, finish)
        yield name, "train linear", train(cv2.INTER_LINEAR, finish)
        yield name, "train linear, tables", train(cv2.INTER_LINEAR, planes)
    elif kind == "eval":
        yield name, "eval area", evaluation(cv2.INTER_AREA)
        yield name, "eval bicubic", evaluation(cv2.INTER_CUBIC)
    else:
        yield name, "small", small


def tensor_pipelines(kind):
    import torch

    torchvision = torchvision_import()
    if not hasattr(torch.ops.image, "decode_jpeg"):
        raise ImportError("its compiled operators do not fit this torch")
    from torchvision.io import ImageReadMode, decode_jpeg
    from torchvision.transforms import v2

    torch.set_num_threads(1)
    name = f"torchvision.io-{torchvision.__version__.split('+')[0]}"
    last = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN.tolist(), STD.tolist())]

    def load(raw):
        bytes_ = torch.frombuffer(bytearray(raw), dtype=torch.uint8)
        return decode_jpeg(bytes_, mode=ImageReadMode.RGB)

    def chain(*steps):
        steps = v2.Compose([*steps, *last])
        return lambda raw: steps(load(raw))

    yield name, "decode", load
    if kind == "train":
        yield name, "train", chain(v2.RandomResizedCrop(224, antialias=True),
                                   v2.RandomHorizontalFlip())
    elif kind == "eval":
        yield name, "eval bilinear", chain(v2.Resize(256, antialias=True), v2.CenterCrop(224))
    else:
        yield name, "small", chain(v2.RandomHorizontalFlip())


def dali_pipelines(kind):
    """DALI's CPU operators, its region decoding for the random crop; a batch at a time, as it works."""
    import nvidia.dali as dali
    from nvidia.dali import fn, pipeline_def, types

    name = f"dali-cpu-{dali.__version__}"
    mean, std = (255 * MEAN).tolist(), (255 * STD).tolist()
    side = 224

    def normalised(images, mirror=0, **crop):
        return fn.crop_mirror_normalize(images, dtype=types.FLOAT, output_layout="CHW", mean=mean,
                                        std=std, mirror=mirror, **crop)

    def decode(raw):
        return fn.decoders.image(raw, device="cpu", output_type=types.RGB)

    def train(raw):
        images = fn.decoders.image_random_crop(raw, device="cpu", output_type=types.RGB,
                                               random_area=[0.08, 1.0],
                                               random_aspect_ratio=[3 / 4, 4 / 3])
        images = fn.resize(images, size=[side, side], interp_type=types.INTERP_LINEAR)
        return normalised(images, fn.random.coin_flip(probability=0.5))

    def evaluation(interpolation):
        def graph(raw):
            images = fn.resize(decode(raw), resize_shorter=256, interp_type=interpolation)
            return normalised(images, crop=(side, side))
        return graph

    def epoch_of(graph):
        @pipeline_def(batch_size=40, num_threads=1, device_id=None, exec_async=False,
                      exec_pipelined=False, prefetch_queue_depth=1, seed=1)
        def build():
            return graph(fn.external_source(name="raw"))

        pipeline = build()
        pipeline.build()

        def epoch(files):
            for at in range(0, len(files), 40):
                batch = [np.frombuffer(raw, np.uint8) for raw in files[at:at + 40]]
                pipeline.feed_input("raw", batch + batch[:1] * (40 - len(batch)))
                pipeline.run()
        return epoch

    graphs = {"train": {"train": train},
              "eval": {"eval bilinear": evaluation(types.INTERP_LINEAR),
                       "eval bicubic": evaluation(types.INTERP_CUBIC)},
              "small": {"small": lambda raw: normalised(decode(raw),
                                                        fn.random.coin_flip(probability=0.5))}}
    for what, graph in {"decode": decode, **graphs[kind]}.items():
        run = lambda raw: None  # noqa: E731 - a batch at a time, see epoch
        run.epoch = epoch_of(graph)
        yield name, what, run


def read_all(path, limit):
    path = pathlib.Path(path)
    if path.is_dir():
        names = sorted(p for p in path.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
        return [p.read_bytes() for p in names[:limit]]
    with tarfile.open(path) as tar:
        members = [m for m in tar if m.isfile() and m.name.lower().endswith((".jpg", ".jpeg"))]
        return [tar.extractfile(m).read() for m in members[:limit]]


def machine():
    """The processor's name where the system tells it."""
    try:
        with open("/proc/cpuinfo") as info:
            return next(line.split(":")[1].strip() for line in info if "model name" in line)
    except (OSError, StopIteration):
        return "unknown"


PEERS = {"pillow": pillow_pipelines, "opencv": opencv_pipelines, "torchvision.io": tensor_pipelines,
         "dali": dali_pipelines}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder of class folders, or a tar of it")
    parser.add_argument("--kind", choices=("train", "eval", "small"), default="train")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--limit", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    files = read_all(args.data, args.limit)
    out = csv.writer(sys.stdout)
    out.writerow(["program", "what", "images", "images_per_s", "min_images_per_s",
                  "max_images_per_s", "machine"])
    for peer in args.peers:
        try:
            pipelines = list(PEERS[peer](args.kind))
        except ImportError as missing:
            print(f"decode.py: {peer} left out: {missing}", file=sys.stderr)
            continue
        for name, what, run in pipelines:
            rates = []
            for turn in range(args.rounds + 1):
                start = time.perf_counter()
                if hasattr(run, "epoch"):
                    run.epoch(files)
                else:
                    for raw in files:
                        run(raw)
                if turn > 0:
                    rates.append(len(files) / (time.perf_counter() - start))
            out.writerow([name, what, len(files), f"{statistics.median(rates):.1f}",
                          f"{min(rates):.1f}", f"{max(rates):.1f}", machine()])
            sys.stdout.flush()


if __name__ == "__main__":
    main()
