"""Makes the stored inputs of the fuzz targets tar and idx: python3 make_archives.py TESTS/fuzz

Small on purpose: the suite also runs every beginning of files up to 2 KiB."""
import gzip
import io
import struct
import sys
import tarfile
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
    for name, inputs in (("tar", tars()), ("idx", idxs())):
        folder = Path(sys.argv[1]) / name
        folder.mkdir(exist_ok=True)
        for stem, content in inputs:
            (folder / stem).write_bytes(content)


if __name__ == "__main__":
    main()
