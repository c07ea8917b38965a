"""make_pixels.py - prints the tables of test_data_resize.c, test_data_transform.c and
test_data_augment.c: what Pillow makes of a synthetic picture, as the first 16 digits of the SHA-256 of
the pixels. The rules around Pillow's resize are torchvision's and timm's, written out here once more;
the draws are those of base/random.c through philox.py.

    python tests/reference/make_pixels.py
"""

import hashlib
import math

from PIL import Image

from philox import M64, mix, philox4x32

BILINEAR, BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC
AUGMENT = 4  # BASE_PURPOSE_AUGMENT


def picture(width, height, channels=3):
    """As picture_make of test_picture.h."""
    values = bytearray()
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                h = (x * 2654435761 + y * 2246822519 + c * 3266489917) & 0xFFFFFFFF
                h = ((h ^ h >> 15) * 2246822519) & 0xFFFFFFFF
                values.append((x * 5 + y * 3 + c * 40 + (h >> 27)) & 255)
    return Image.frombytes("RGB" if channels == 3 else "L", (width, height), bytes(values))


def digest(image):
    return hashlib.sha256(image.tobytes()).hexdigest()[:16]


def resized(image, size, resample):
    """Horizontal pass first, as Pillow did before 13.0 chose the cheaper order."""
    return image.resize((size[0], image.height), resample).resize(size, resample)


class Stream:
    def __init__(self, seed, purpose, a, b, c):
        h = 0
        for value in (seed, purpose, a, b, c):
            h = mix(h ^ value)
        self.key, self.block, self.words = (h & 0xFFFFFFFF, h >> 32), 0, []

    def u64(self):
        if not self.words:
            self.words = list(philox4x32((self.block, 0, 0, 0), self.key))
            self.block += 1
        low, high = self.words[:2]
        self.words = self.words[2:]
        return high << 32 | low

    def uniform(self):
        return (self.u64() >> 11) * 2.0**-53

    def below(self, limit):
        while True:  # the rejected values are so few that none occurs here
            product = self.u64() * limit
            if (product & M64) >= (1 << 64) % limit:
                return product >> 64


# ---- resize -------------------------------------------------------------------------------------

RESIZES = [  # width, height, box or None, new width, new height
    (40, 30, None, 20, 15), (40, 30, None, 17, 11), (40, 30, None, 64, 48), (40, 30, None, 41, 29),
    (40, 30, None, 40, 13), (40, 30, None, 13, 30), (40, 30, None, 40, 30), (1, 1, None, 9, 7),
    (7, 1, None, 3, 5), (1, 9, None, 5, 4), (300, 2, None, 5, 2), (3, 200, None, 3, 1),
    (64, 64, None, 1, 1), (33, 21, (4, 3, 20, 15), 24, 24), (33, 21, (0, 0, 1, 21), 6, 6),
    (33, 21, (32, 20, 1, 1), 4, 4), (33, 21, (5, 2, 24, 16), 24, 9), (90, 70, (11, 7, 70, 55), 32, 32)]


def resizes():
    for width, height, box, w, h in RESIZES:
        for channels in (3, 1):
            image = picture(width, height, channels)
            if box:
                image = image.crop((box[0], box[1], box[0] + box[2], box[1] + box[3]))
            both = [digest(resized(image, (w, h), f)) for f in (BILINEAR, BICUBIC)]
            from_box = ", ".join(map(str, box or (0, 0, width, height)))
            print(f'    {{{width}, {height}, {channels}, {{{from_box}}}, {w}, {h}, '
                  f'"{both[0]}", "{both[1]}"}},')


# ---- evaluation: torchvision's Resize and CenterCrop --------------------------------------------

EVALS = [  # width, height, resize, crop
    (40, 30, 20, 16), (30, 40, 20, 16), (40, 30, 0, 16), (40, 30, 0, 36), (40, 30, 0, 48),
    (31, 31, 0, 30), (33, 33, 0, 30), (35, 35, 0, 30), (37, 37, 0, 30), (61, 30, 0, 30),
    (20, 20, 20, 20), (20, 21, 20, 20), (60, 1, 12, 8), (1, 1, 16, 14), (37, 50, 25, 22),
    (50, 37, 25, 25), (37, 50, 20, 28), (9, 7, 0, 12)]


def eval_transform(image, resize, crop, resample):
    w, h = image.size
    if resize:
        w, h = (resize, int(resize * h / w)) if w <= h else (int(resize * w / h), resize)
        if (w, h) != image.size:
            image = resized(image, (w, h), resample)
    if crop > w or crop > h:
        left, top = max(crop - w, 0) // 2, max(crop - h, 0) // 2
        wider = Image.new(image.mode, (max(crop, w), max(crop, h)))
        wider.paste(image, (left, top))
        image, (w, h) = wider, wider.size
    top, left = int(round((h - crop) / 2.0)), int(round((w - crop) / 2.0))
    return image.crop((left, top, left + crop, top + crop))


def evals():
    for width, height, resize, crop in EVALS:
        image = picture(width, height)
        both = [digest(eval_transform(image, resize, crop, f)) for f in (BILINEAR, BICUBIC)]
        print(f'    {{{width}, {height}, {resize}, {crop}, "{both[0]}", "{both[1]}"}},')


# ---- training -----------------------------------------------------------------------------------


def random_box(width, height, area, ratio, stream):
    """torchvision's RandomResizedCrop.get_params: top, left, height, width."""
    for _ in range(10):
        part = width * height * (area[0] + (area[1] - area[0]) * stream.uniform())
        low, high = math.log(ratio[0]), math.log(ratio[1])
        r = math.exp(low + (high - low) * stream.uniform())
        w, h = round(math.sqrt(part * r)), round(math.sqrt(part / r))
        if 0 < w <= width and 0 < h <= height:
            return stream.below(height - h + 1), stream.below(width - w + 1), h, w
    w, h = width, height
    if width / height < min(ratio):
        h = round(width / min(ratio))
    elif width / height > max(ratio):
        w = round(height * max(ratio))
    return (height - h) // 2, (width - w) // 2, h, w


CROPS = [(40, 30, 24), (30, 40, 24), (64, 64, 32), (200, 3, 16), (3, 200, 16), (1, 1, 8), (9, 5, 4),
         (300, 200, 56)]


def random_crops():
    for width, height, size in CROPS:
        results = []
        for sample in range(3):
            stream = Stream(7, AUGMENT, 2, sample, 0)
            top, left, h, w = random_box(width, height, (0.08, 1.0), (3 / 4, 4 / 3), stream)
            image = picture(width, height).crop((left, top, left + w, top + h))
            image = resized(image, (size, size), BILINEAR)
            if stream.uniform() < 0.5:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            results.append(f'"{digest(image)}"')
        print(f'    {{{width}, {height}, {size}, {{{", ".join(results)}}}}},')


PADDED = [(16, 16, 16, 2), (32, 32, 32, 4), (20, 14, 12, 3), (6, 6, 6, 9), (8, 8, 8, 0)]


def padded_crops():
    for width, height, size, padding in PADDED:
        results = []
        for sample in range(3):
            stream = Stream(7, AUGMENT, 2, sample, 0)
            image = picture(width, height)
            if image.size != (size, size):
                image = eval_transform(image, size, size, BILINEAR)
            wider = Image.new("RGB", (size + 2 * padding, size + 2 * padding))
            wider.paste(image, (padding, padding))
            top, left = stream.below(2 * padding + 1), stream.below(2 * padding + 1)
            image = wider.crop((left, top, left + size, top + size))
            if stream.uniform() < 0.5:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            results.append(f'"{digest(image)}"')
        print(f'    {{{width}, {height}, {size}, {padding}, {{{", ".join(results)}}}}},')


def erasures():
    """The rectangles of data_erase: sample, size, top, left, height, width (0: nothing erased)."""
    for size in (32, 8, 3):
        for sample in range(8):
            stream = Stream(7, AUGMENT, 3, sample, 0)
            box = (0, 0, 0, 0)
            if stream.uniform() < 0.75:
                for _ in range(10):
                    part = size * size * (0.02 + (0.33 - 0.02) * stream.uniform())
                    low, high = math.log(0.3), math.log(3.3)
                    r = math.exp(low + (high - low) * stream.uniform())
                    h, w = round(math.sqrt(part * r)), round(math.sqrt(part / r))
                    if h < size and w < size:
                        box = stream.below(size - h + 1), stream.below(size - w + 1), h, w
                        break
            print(f'    {{{sample}, {size}, {", ".join(map(str, box))}}},')


if __name__ == "__main__":
    for title, make in [("resize", resizes), ("evaluation", evals), ("random crop", random_crops),
                        ("padded crop", padded_crops), ("erasing", erasures)]:
        print(f"{title}:")
        make()
