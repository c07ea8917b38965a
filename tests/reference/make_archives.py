"""Makes the stored inputs of the fuzz targets tar, zip, tfrecord and idx: python3 make_archives.py TESTS/fuzz

Small on purpose: the suite also runs every beginning of files up to 2 KiB."""
import gzip
import io
import struct
import sys
import tarfile
import zipfile
from pathlib import Path


def tar(members, form=tarfile.USTAR_FORMAT, end=True):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.type, info.mtime = kind, 0
            info.size = len(content) if kind in (tarfile.REGTYPE, tarfile.AREGTYPE) else 0
            info.linkname = "a/1.png" if kind in (tarfile.LNKTYPE, tarfile.SYMTYPE) else ""
            archive.addfile(info, io.BytesIO(content))
        used = archive.offset
    return out.getvalue()[: used + (1024 if end else 0)]


def sign(block):
    block = bytearray(block)
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block[:512])
    return bytes(block)


def edit(data, changes):
    """Changes bytes of the first header and signs it again."""
    block = bytearray(data[:512])
    for at, content in changes:
        block[at : at + len(content)] = content
    return sign(block) + data[512:]


def tars():
    reg = tarfile.REGTYPE
    one = [("a/1.png", b"one", reg)]
    two = one + [("b/2.JPEG", b"second", reg)]
    plain = tar(two)
    yield "plain", plain
    yield "unsorted", tar(two[::-1] + one)
    yield "gnu", tar([("a/" + "g" * 120 + ".png", b"gnu", reg)], tarfile.GNU_FORMAT)
    yield "pax", tar([("a/" + "\u00e9" * 60 + ".png", b"pax", reg)], tarfile.PAX_FORMAT)
    yield "prefix", tar([("a/" + "d" * 90 + "/" + "e" * 40 + ".png", b"ustar", reg)])
    yield "links", tar(one + [("a/h.png", b"", tarfile.LNKTYPE), ("a/s.png", b"", tarfile.SYMTYPE),
                              ("b/", b"", tarfile.DIRTYPE), ("../x/1.png", b"up", reg)])
    yield "no_end", tar(two, end=False)
    yield "cut", plain[:1030]
    yield "checksum", plain[:1024] + b"x" + plain[1025:]
    yield "base256", edit(plain, [(124, b"\x80" + b"\0" * 10 + b"\3")])
    yield "huge", edit(plain, [(124, b"\x80\0\0\0" + struct.pack(">Q", 1 << 62))])
    yield "negative", edit(plain, [(124, b"\xff" * 12)])
    sparse = edit(tar(one), [(156, b"S"), (257, b"ustar  \0"), (386, b"%011o" % 1024),
                             (398, b"%011o" % 3), (483, b"%011o" % 1027)])
    yield "sparse", sparse
    yield "v7", edit(plain, [(156, b"\0"), (257, b"\0" * 8)])
    yield "inner", tar([("a.tar", b"tar", reg), ("b.tar", b"tar", reg)])
    yield "gzip", gzip.compress(b"x", mtime=0)
    yield "zeros", bytes(1024)
    yield "numbers", tar([("1/x.png", b"x", reg), ("01/y.png", b"y", reg), ("7/z.png", b"z", reg)])


def zipped(members, wide=False, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = method
            with archive.open(info, "w", force_zip64=wide) as f:
                f.write(content)
    return out.getvalue()


def change(data, mark, at, content):
    """Changes bytes at a place counted from the last mark."""
    start = data.rindex(mark) + at
    return data[:start] + content + data[start + len(content):]


def zips():
    two = [("a/1.png", b"one " * 9), ("b/2.JPEG", b"second")]
    plain = zipped(two)
    yield "plain", plain
    yield "stored", zipped(two[::-1] + two[:1], method=zipfile.ZIP_STORED)
    yield "wide", zipped(two, wide=True)
    yield "encrypted", change(plain, b"PK\1\2", 8, b"\1")
    yield "method", change(plain, b"PK\1\2", 10, b"\x63")
    yield "bomb", change(plain, b"PK\1\2", 24, b"\xff\xff\xff\x7f")
    yield "larger", change(plain, b"PK\1\2", 24, b"\x80")
    yield "inside", change(plain, b"PK\1\2", 42, b"\0\0\0\0")
    yield "saturated", change(plain, b"PK\1\2", 42, b"\xff\xff\xff\xff")
    yield "crc", change(plain, b"PK\1\2", 16, b"\0\0")
    yield "climbing", zipped([("../a/1.png", b"1"), ("/b/2.png", b"2"), ("a/../3.png", b"3"),
                              ("b\\4.png", b"4"), ("a/5.png", b"5"), ("a/", b"")])
    root = "ILSVRC/Data/CLS-LOC/"
    solution = b"ImageId,PredictionString\nILSVRC2012_val_00000001,n01440764 1 2 3 4 \n"
    yield "kaggle", zipped([("LOC_val_solution.csv", solution),
                            (root + "train/n01440764/a.JPEG", b"a"),
                            (root + "val/ILSVRC2012_val_00000001.JPEG", b"v")])
    yield "tiny", zipped([("t/train/n01440764/images/a.JPEG", b"a"), ("t/val/images/v.JPEG", b"v"),
                          ("t/val/val_annotations.txt", b"v.JPEG\tn01440764\t0\t0\t1\t1\n")])
    end64 = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1 << 60, 1 << 60, 1 << 60, 1 << 60)
    yield "absurd", end64 + b"PK\6\7" + struct.pack("<IQI", 0, 0, 1) + b"PK\5\6" + b"\xff" * 16 + b"\0\0"


def corrupted():
    reg = tarfile.REGTYPE
    names = ["fog/1/n01440764/a.JPEG", "fog/2/n01440764/a.JPEG", "own/3/n01440764/a.JPEG"]
    yield "plain", tar([(n, b"x", reg) for n in names])
    yield "group", tar([("./C/weather/" + n, b"x", reg) for n in names])
    yield "mixed", tar([(n, b"x", reg) for n in names[1:] + names[:2]])
    yield "short", tar([("fog/1/a.JPEG", b"x", reg), ("fog/1/n01440764/", b"", tarfile.DIRTYPE)])
    yield "zip", zipped([(n, b"x" * 9) for n in names + names[:1]])


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def varint(value):
    out = b""
    value &= (1 << 64) - 1
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def body(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def example(features):
    out = b""
    for key, value in features.items():
        if isinstance(value, int):
            kind = body(3, body(1, varint(value)))
        else:
            kind = body(1, body(1, value))
        out += body(1, body(1, key.encode()) + body(2, kind))
    return body(1, out)


def record(content):
    head = struct.pack("<Q", len(content))
    return head + crc32c(head) + content + crc32c(content)


def tfrecords():
    def tfds(name, label, image=b"picture"):
        return record(example({"file_name": name, "image": image, "label": label}))

    def slim(label, synset):
        return record(example({"image/class/label": label, "image/class/synset": synset,
                               "image/encoded": b"picture", "image/filename": b"x.JPEG"}))

    plain = tfds(b"a.JPEG", 0) + tfds(b"b.JPEG", 1) + tfds(b"../c", 0, b"")
    yield "plain", plain
    yield "slim", slim(1, b"n01440764") + slim(2, b"n01443537")
    yield "zero", slim(0, b"") + slim(2, b"")
    yield "both", slim(0, b"n01440764") + slim(2, b"n01443537")
    yield "text", record(example({"image": b"p", "label": b"cat"})) + record(example({"image": b"p", "label": b"dog"}))
    yield "unlabelled", tfds(b"a.JPEG", -1)
    yield "huge", tfds(b"a.JPEG", 1 << 40) + tfds(b"b.JPEG", 1)
    yield "missing", record(example({"label": 1})) + record(example({"image": b"p"}))
    yield "wrong", plain[:-1] + b"x"
    yield "length", plain[:8] + b"xxxx" + plain[12:]
    yield "beyond", record(body(1, b"\x0a\xff\xff\xff\xff\x0f" + b"x" * 8))
    yield "endless", record(b"\x0a" + b"\xff" * 12)
    yield "groups", record(b"\x0b\x0c")


def pair(images, labels):
    return struct.pack(">H", len(images)) + images + labels


def idxs():
    pixels = bytes(range(24))
    images = struct.pack(">4I", 0x803, 4, 3, 2) + pixels
    labels = struct.pack(">2I", 0x801, 4) + b"\0\1\2\1"
    yield "plain", pair(images, labels)
    yield "packed", pair(gzip.compress(images, mtime=0), gzip.compress(labels, mtime=0))
    yield "colour", pair(struct.pack(">5I", 0x804, 2, 2, 2, 3) + pixels,
                         struct.pack(">2I", 0x801, 2) + b"\0\1")
    yield "huge", pair(struct.pack(">4I", 0x803, *[0xFFFFFFFF] * 3) + pixels, labels)
    yield "limit", pair(struct.pack(">4I", 0x803, 1 << 10, 32, 128), labels)
    yield "magic", pair(struct.pack(">4I", 0xD03, 4, 3, 2) + pixels, labels)
    yield "longer", pair(images + b"x", labels)
    yield "counts", pair(images, struct.pack(">2I", 0x801, 3) + b"\0\1\2")
    yield "sides", pair(struct.pack(">4I", 0x803, 4, 0, 2), labels)
    yield "one", pair(struct.pack(">4I", 0x803, 1, 1, 1) + b"p", struct.pack(">2I", 0x801, 1) + b"\xff")
    yield "spoiled", pair(gzip.compress(images, mtime=0)[:-6] + b"\0" * 6, labels)


def main():
    for name, inputs in (("tar", tars()), ("zip", zips()), ("tfrecord", tfrecords()), ("imagenet_c", corrupted()), ("idx", idxs())):
        folder = Path(sys.argv[1]) / name
        folder.mkdir(exist_ok=True)
        for stem, content in inputs:
            (folder / stem).write_bytes(content)


if __name__ == "__main__":
    main()
