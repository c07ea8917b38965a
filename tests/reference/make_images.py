"""make_images.py - writes tests/fuzz/image/*, the odd and bad images of test_data_decode.c, and prints
that test's table: file, class, reason, size, the first 16 digits of the SHA-256 of the RGB bytes.

JPEGs are written and read by Pillow (whose result is the reference), PNGs by the few lines below (the
reference is what went in). Everything is synthetic.

    python tests/reference/make_images.py [OUT_DIR]
"""

import hashlib
import io
import pathlib
import struct
import sys
import zlib

from PIL import Image

W, H = 21, 13
OUT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else
                   pathlib.Path(__file__).parent.parent / "fuzz" / "image")


def pixel(x, y):
    """A smooth picture with some edges: red ramp, green ramp, blue blocks."""
    return (x * 12 % 256, y * 19 % 256, 200 if (x // 5 + y // 3) % 2 else 40)


def picture(mode="RGB"):
    image = Image.new("RGB", (W, H))
    image.putdata([pixel(x, y) for y in range(H) for x in range(W)])
    return image.convert(mode)


def row(name, kind, reason, width=0, height=0, rgb=None):
    digest = hashlib.sha256(rgb).hexdigest()[:16] if rgb is not None else ""
    print(f'    {{"{name}", {kind}, "{reason}", {width}, {height}, "{digest}"}},')


# ---- JPEG ---------------------------------------------------------------------------------------


def jpeg(image, **options):
    out = io.BytesIO()
    image.save(out, "JPEG", quality=options.pop("quality", 85), **options)
    return out.getvalue()


def read(data):
    return Image.open(io.BytesIO(data)).convert("RGB").tobytes()


def good_jpeg(name, data, reference=None, kind="OK", reason=""):
    (OUT / name).write_bytes(data)
    row(name, kind, reason, W, H, read(reference or data))


def bad_jpeg(name, data, reason):
    (OUT / name).write_bytes(data)
    row(name, "BAD", reason)


def at_marker(data, marker):
    """Where the segment starts, searched from the start."""
    at = 2
    while data[at + 1] != marker:
        at += 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
    return at


def segment(data, marker):
    at = at_marker(data, marker)
    return at, at + 2 + struct.unpack(">H", data[at + 2:at + 4])[0]


def patched(data, at, new):
    return data[:at] + new + data[at + len(new):]


def make_jpegs():
    colour = jpeg(picture(), subsampling=0)
    good_jpeg("colour444.jpg", colour)
    good_jpeg("colour420.jpg", jpeg(picture(), subsampling=2))
    good_jpeg("grey.jpg", jpeg(picture("L")))
    inks = Image.new("CMYK", (W, H))
    inks.putdata([pixel(x, y) + (9 * x + y,) for y in range(H) for x in range(W)])
    good_jpeg("cmyk.jpg", jpeg(inks))
    good_jpeg("untransformed.jpg", jpeg(picture(), keep_rgb=True))
    progressive = jpeg(picture(), progressive=True, subsampling=0)
    good_jpeg("progressive.jpg", progressive)
    restart = jpeg(picture(), subsampling=0, restart_marker_blocks=1)
    good_jpeg("restart.jpg", restart)
    good_jpeg("trailing.jpg", colour + b"and so on", colour)

    app0 = at_marker(colour, 0xe0)
    good_jpeg("version.jpg", patched(colour, app0 + 9, b"\x09"), colour, "ODD",
              "unknown version in the header")
    good_jpeg("no_end.jpg", colour[:-2], colour, "ODD", "end marker missing")
    dqt = at_marker(colour, 0xdb)
    good_jpeg("extraneous.jpg", colour[:dqt] + b"\0\1\2" + colour[dqt:], colour, "ODD",
              "extraneous bytes before a marker")

    # One restart interval is overwritten: what libjpeg makes of it is its own affair.
    first = restart.index(b"\xff\xd0")
    second = restart.index(b"\xff\xd1")
    (OUT / "damaged.jpg").write_bytes(restart[:first + 2] + restart[second:])
    row("damaged.jpg", "DAMAGED", "corrupt: ", W, H)

    sof = at_marker(colour, 0xc0)
    sos, scan = segment(colour, 0xda)
    bad_jpeg("cut_scan.jpg", colour[:scan + (len(colour) - scan) // 2], "truncated")
    bad_jpeg("cut_header.jpg", colour[:60], "truncated")
    bad_jpeg("cut_progressive.jpg", progressive[:-20], "truncated")
    bad_jpeg("only_start.jpg", colour[:4], "truncated")
    bad_jpeg("precision12.jpg", patched(colour, sof + 4, b"\x0c"), "unsupported precision 12")
    bad_jpeg("zero_height.jpg", patched(colour, sof + 5, b"\0\0"), "corrupt: ")
    bad_jpeg("huge.jpg", patched(colour, sof + 5, struct.pack(">HH", 65500, 65500)),
             "too large 65500x65500")
    bad_jpeg("too_wide.jpg", patched(colour, sof + 7, struct.pack(">H", 65535)),
             "too large 65535x13")
    bad_jpeg("process.jpg", patched(colour, sof, b"\xff\xc5"),
             "unsupported format JPEG process 0xc5")
    start, end = segment(colour, 0xdb)
    bad_jpeg("no_tables.jpg", colour[:start] + colour[end:].replace(colour[start:end], b""),
             "corrupt: ")
    two = struct.pack(">HBHHB", 14, 8, H, W, 2) + b"\1\x11\0\2\x11\0"
    scan_of_two = struct.pack(">H", 10) + b"\2\1\0\2\x11\0\x3f\0"
    bad_jpeg("two_parts.jpg", colour[:sof + 2] + two + colour[segment(colour, 0xc0)[1]:sos + 2] +
             scan_of_two + colour[scan:],
             "unsupported format JPEG with 2 components")

    # The last scan of a tiny progressive file again and again.
    tiny = jpeg(Image.new("L", (8, 8), 77), progressive=True)
    last = tiny.rindex(b"\xff\xda")
    bad_jpeg("scans.jpg", tiny[:-2] + tiny[last:-2] * 520 + tiny[-2:],
             "corrupt: more than 500 scans")


# ---- PNG ----------------------------------------------------------------------------------------

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
PARTS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2)]  # Adam7: x, y, step x, step y


def chunk(kind, data, spoil=0):
    return (struct.pack(">I", len(data)) + kind + data +
            struct.pack(">I", zlib.crc32(kind + data) ^ spoil))


def packed(values, depth):
    """One row of samples, the first in the upper bits."""
    if depth == 16:
        return b"".join(struct.pack(">H", v) for v in values)
    bits = "".join(format(v, f"0{depth}b") for v in values)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))


def png(kind, depth, sample, interlaced=False, before=b"", after=b"", size=(W, H), spoil=0):
    """sample(x, y): the tuple of samples."""
    raw = b""
    for x0, y0, dx, dy in PASSES if interlaced else [(0, 0, 1, 1)]:
        for y in range(y0, H, dy):
            values = [v for x in range(x0, W, dx) for v in sample(x, y)]
            if values:
                raw += b"\0" + packed(values, depth)
    header = struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, interlaced)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before +
            chunk(b"IDAT", zlib.compress(raw, 9), spoil) + after + chunk(b"IEND", b""))


def good_png(name, data, rgb):
    (OUT / name).write_bytes(data)
    row(name, "OK", "", W, H, bytes(v for y in range(H) for x in range(W) for v in rgb(x, y)))


def bad_png(name, data, reason):
    (OUT / name).write_bytes(data)
    row(name, "BAD", reason)


def grey(depth):
    return lambda x, y: ((3 * x + 5 * y) % (1 << depth),)


def widened(depth):
    return lambda x, y: [grey(depth)(x, y)[0] * 255 // ((1 << depth) - 1)] * 3


def make_pngs():
    for depth in (1, 2, 4, 8):
        good_png(f"grey{depth}.png", png(GREY, depth, grey(depth)), widened(depth))
    wide = lambda x, y: ((x * 3001 + y * 177) % 65536,)
    good_png("grey16.png", png(GREY, 16, wide), lambda x, y: [wide(x, y)[0] >> 8] * 3)
    good_png("rgb8.png", png(RGB, 8, pixel), pixel)
    wide3 = lambda x, y: tuple(v * 256 + 255 - v for v in pixel(x, y))
    good_png("rgb16.png", png(RGB, 16, wide3), pixel)
    alpha = lambda x, y: pixel(x, y) + ((x * y) % 256,)
    good_png("rgba.png", png(RGBA, 8, alpha), pixel)
    good_png("rgba16.png", png(RGBA, 16, lambda x, y: wide3(x, y) + (99,)), pixel)
    good_png("grey_alpha.png", png(GREY_ALPHA, 8, lambda x, y: grey(8)(x, y) + (x,)), widened(8))
    colours = [(i * 16, 255 - i * 9, i * i % 256) for i in range(16)]
    table = chunk(b"PLTE", bytes(v for c in colours for v in c))
    clear = chunk(b"tRNS", bytes(range(0, 160, 10)))
    for depth in (1, 2, 4, 8):
        # 8 bits: all entries, not only the 16 of the table, would be an invalid file
        index = lambda x, y: ((x + 2 * y) % min(1 << depth, 16),)
        few = chunk(b"PLTE", bytes(v for c in colours[:1 << depth] for v in c))
        good_png(f"palette{depth}.png", png(PALETTE, depth, index, before=few),
                 lambda x, y: colours[index(x, y)[0]])
    index = lambda x, y: ((x + 2 * y) % 16,)
    good_png("palette_clear.png", png(PALETTE, 4, index, before=table + clear),
             lambda x, y: colours[index(x, y)[0]])
    key = chunk(b"tRNS", struct.pack(">H", 9))
    good_png("grey_clear.png", png(GREY, 4, grey(4), before=key), widened(4))
    good_png("interlaced_rgb.png", png(RGB, 8, pixel, interlaced=True), pixel)
    good_png("interlaced_grey2.png", png(GREY, 2, grey(2), interlaced=True), widened(2))
    gamma = chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"tEXt", b"a\0b", spoil=1)
    good_png("gamma.png", png(RGB, 8, pixel, before=gamma), pixel)

    whole = png(RGB, 8, pixel)
    bad_png("cut.png", whole[:len(whole) // 2], "truncated")
    bad_png("cut_header.png", whole[:20], "truncated")
    bad_png("no_end.png", whole[:-12], "truncated")
    bad_png("checksum.png", png(RGB, 8, pixel, spoil=1), "corrupt: ")
    bad_png("spoiled.png", patched(whole, 60, b"\xff\xff\xff"), "corrupt: ")
    bad_png("huge.png", png(RGB, 8, pixel, size=(100000, 100000)), "too large 100000x100000")
    bad_png("zero.png", png(RGB, 8, pixel, size=(0, 5)), "corrupt: ")
    bad_png("short.png", png(RGB, 8, pixel, size=(W, H + 1)), "corrupt: ")
    bad_png("no_palette.png", png(PALETTE, 4, index), "corrupt: ")


def make_others():
    for name, data, reason in [
            ("empty", b"", "empty file"),
            ("page.html", b"<!DOCTYPE html><title>404</title>", "unknown format"),
            ("one.bin", b"\xff", "unknown format"),
            ("a.gif", b"GIF89a\1\0\1\0\0\0\0;", "unsupported format GIF"),
            ("a.bmp", b"BM" + bytes(30), "unsupported format BMP"),
            ("a.webp", b"RIFF\x10\0\0\0WEBPVP8 ", "unsupported format WebP"),
            ("a.tiff", b"II*\0\x08\0\0\0", "unsupported format TIFF")]:
        (OUT / name).write_bytes(data)
        row(name, "BAD", reason)


OUT.mkdir(parents=True, exist_ok=True)
make_jpegs()
make_pngs()
make_others()
