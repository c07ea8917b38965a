"""Makes the stored inputs of the fuzz targets wds, ilsvrc, truth, map, list and index:
python3 make_layouts.py TESTS/fuzz"""
import gzip
import struct
import sys
from pathlib import Path

from make_archives import tar
from tarfile import REGTYPE as reg


def wds():
    yield "plain", tar([("0.jpg", b"one", reg), ("0.cls", b"3\n", reg), ("1.png", b"two", reg),
                        ("1.json", b'{"label": 1}', reg)])
    yield "bad", tar([("a/2.v1.png", b"x", reg), ("a/2.cls", b"1", reg), ("a/3.jpeg", b"y", reg),
                      ("__x.json", b"{}", reg), ("4.jpg", b"z", reg), ("4.cls", b"99999", reg)])
    yield "none", tar([("0.jpg", b"one", reg), ("1.jpg", b"two", reg)])
    yield "words", tar([("0.jpg", b"one", reg), ("0.cls", b"cat", reg), ("0.json", b"[1", reg)])


def ilsvrc():
    inner = tar([("n01440764_2.JPEG", b"b", reg), ("n01440764_1.JPEG", b"a", reg)])
    yield "train", tar([("n01440764.tar", inner, reg), ("n01443537.tar", inner[:1536], reg)])
    yield "twice", tar([("n01440764.tar", inner, reg), ("n01440764.tar", inner, reg)])
    yield "cut", tar([("n01440764.tar", inner[:1200], reg)])
    val = "ILSVRC2012_val_0000000%d.JPEG"
    yield "val", tar([(val % 2, b"b", reg), (val % 1, b"a", reg), (val % 1, b"c", reg)])
    yield "test", tar([("ILSVRC2012_test_00000001.JPEG", b"b", reg)])
    yield "both", tar([(val % 1, b"a", reg), ("n01440764.tar", inner, reg)])


def truth():
    yield "ids", b"1\n449\n1000\n"
    yield "indices", b"0\n999\n"
    yield "wnids", b"n01440764\r\nn02119789\r\n"
    yield "named", b"ILSVRC2012_val_00000001.JPEG 65\na/x.png n01440764 1 2 3\n"
    yield "csv", (b"ImageId,PredictionString\nILSVRC2012_val_00000001,n01440764 1 2 3 4 \n"
                  b"x,n01443537 1 2 3 4 n01443537 5 6 7 8\n")
    kit = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"
    yield "kit", tar([("readme", b"words", reg), (kit, b"1\n2\n", reg)])
    yield "packed", gzip.compress(tar([(kit, b"1\n2\n", reg)]), mtime=0)
    yield "mixed", b"1\ncat\n3 4\n"
    yield "range", b"1\n1001\n"


def maps():
    yield "tsv", b"folder\tlabel\ncat\t1\ndog\t0\n7\t2\n"
    yield "object", b'{"cat": 1, "dog": 0, "7": 0}'
    yield "list", b'["dog", "cat", "7"]'
    yield "index", b'{"0": ["dog", "a dog"], "1": "cat", "2": ["7"]}'
    yield "large", b"cat\t65535\ndog\t65536\n"
    yield "types", b'{"cat": 1.5, "dog": null, "7": []}'
    yield "twice", b"cat\t1\ncat\t2\n"


def lists():
    yield "names", b"x.png\tcat\nx.tar!a/1.png\tdog\n"
    yield "numbers", b"# remark\n\nx.png\t3\nx.tar!a/1.png\t0\textra\n"
    yield "plain", b"x.png\nx.png\n"
    yield "missing", b"no.png\t1\nx.tar!b\t1\nno.tar!b\t1\n"
    yield "mixed", b"x.png\t1\nx.png\tcat\nx.png\n"
    yield "odd", b"../../../x.png\t1\n/dev/null\t1\nx.tar!\t1\n.tar!\t1\n"


def pad(data):
    return data + b"\0" * (-len(data) % 8)


LEFT_OUT, FORMATS = 7, 25  # counts of data_left_out


def index(layout, labelling, names, found, strings, numbers, records, text, flags=0, prefix=b"", truth=(0, 0, 0)):
    """strings: key, notice, then witnesses, archives, folders, classes (counts in numbers)."""
    joined = b"".join(s + b"\0" for s in strings[:2] + [prefix] + strings[2:])
    head = b"vmoeidx\0" + struct.pack("<II", 0x01020304, 5)
    head += struct.pack("<Q4Q2Q", len(joined), *numbers, len(records), len(text))
    head += struct.pack("<%dQ" % (LEFT_OUT + FORMATS), 5, *[0] * (LEFT_OUT + FORMATS - 1))
    head += struct.pack("<4IQII", labelling, names, found, flags, *truth)
    body = pad(joined) + struct.pack("<QqqQ", 0, 1, 2, 3) * numbers[0]
    body += b"".join(struct.pack("<QIIiI", *r) for r in records) + pad(text)
    return bytes([layout]) + head + body


def indices():
    name = b"1.png\0deep/2.png\0"
    two = [(0, 5, 0, 0, 0), (0, 6, 1, 1, 6)]
    text = [b"key", b"a notice", b"/x", b"a", b"b", b"a", b"b"]
    yield "folder", index(0, 0, 1, 0, text, (1, 0, 2, 2), two, name)
    me = b"/proc/self/exe"
    yield "tar", index(1, 0, 0, 0, [b"key", b"", me, me, b"a"], (1, 1, 0, 1),
                       [(512, 5, 0, 0, 512)], b"")
    yield "wds", index(2, 1, 0, 0, [b"key", b"", me], (0, 1, 0, 0),
                       [(512, 5, 0, 7, 512), (512, 2**32 - 14, 0, -1, 512)], b"")
    yield "list", index(3, 1, 1, 1, [b"key", b"", me, b".", b"/"], (0, 1, 2, 0),
                        [(0, 5, 0, 3, 0), (9, 5, 2, 1, 6)], b"x.png\0x.tar!y.png\0")
    yield "val", index(4, 2, 1, 0, [b"key", b"", me], (0, 1, 0, 0), [(512, 5, 0, 0, 0)], b"v_1.png\0")
    yield "kaggle", index(5, 2, 1, 0, [b"key", b"", b"."], (0, 0, 1, 0), [(0, 5, 0, 0, 0)], b"v.png\0")
    yield "images", index(6, 2, 1, 0, [b"key", b"", b"."], (0, 0, 1, 0), [(0, 5, 0, 0, 0)], b"v.png\0")
    yield "tree", index(7, 0, 1, 0, [b"key", b"", b"fog/1/a", b"a"], (0, 0, 1, 1),
                        [(0, 5, 0, 0, 0)], b"v.png\0")
    yield "flat", index(0, 2, 1, 0, [b"key", b"", b"."], (0, 0, 1, 0), [(0, 5, 0, 0, 0)], b"v.png\0", 1)
    yield "inside", index(1, 0, 0, 0, [b"key", b"", me, me, b"a"], (1, 1, 0, 1),
                          [(512, 5, 0, 0, 512)], b"", 0, b"top/below")
    yield "outside", index(1, 0, 0, 0, [b"key", b"", me, me, b"a"], (1, 1, 0, 1),
                           [(512, 5, 0, 0, 512)], b"", 0, b"../top")
    yield "words", index(2, 0, 0, 1, [b"key", b"", me, b"cat"], (0, 1, 0, 1), [(512, 5, 0, 0, 512)], b"")
    yield "zip", index(8, 0, 0, 0, [b"key", b"", me, me, b"a"], (1, 1, 0, 1),
                       [(512, 5, 0, 0, 2**32 - 1)], b"")
    yield "records", index(9, 1, 0, 0, [b"key", b"", me], (0, 1, 0, 0), [(512, 5, 0, 7, 100)], b"")
    yield "corrupted", index(7, 0, 0, 0, [b"key", b"", me, b"a"], (0, 1, 0, 1), [(512, 5, 0, 0, 512)], b"")
    yield "labels", index(1, 2, 0, 0, [b"key", b"", me, me], (1, 1, 0, 0),
                          [(512, 5, 0, 0, 512)], b"", 5, b"", (512, 100, 512))
    yield "root", index(0, 0, 1, 0, [b"key", b"", b"/", b"a"], (0, 0, 1, 1), [(0, 5, 0, 0, 0)],
                        b"1.png\0")
    yield "beyond", index(0, 0, 1, 0, text, (1, 0, 2, 2), [(0, 5, 2, 0, 0), (0, 5, 0, 2, 99)], name)
    yield "climbing", index(0, 0, 1, 0, text, (1, 0, 2, 2), two, b"../1.png\0/2\0" + name)


def main():
    out = Path(sys.argv[1])
    for target, inputs in (("wds", wds), ("ilsvrc", ilsvrc), ("truth", truth), ("map", maps),
                           ("list", lists), ("index", indices)):
        (out / target).mkdir(exist_ok=True)
        for name, data in inputs():
            (out / target / name).write_bytes(data)


if __name__ == "__main__":
    main()
