#!/usr/bin/env python3
"""transcripts.py VMOE FILE... [--write] [--keep DIR] - what the program says and writes against what is stored.

A transcript (tests/transcripts/NAME.txt) is a session as a user would have it, in a folder of its own:

    # a remark
    $ make idx images 3 24                  builds an input (tests/samples.py)
    $ vmoe eval net.safetensors --data idx:images --json e.json
    | a line of standard output
    ! a line of standard error
    = 2                                     exit status, when it is not 0
    $ show e.json top1 classes              a file that was written, readable: all of it, or these members, or all but -these
    $ show e.html pictures                  size and means of each picture of a page

Other lines go to the shell. --write records what comes now; blocks that agree keep their text. What differs between
machines is left out by name: `#` stands for a time, a rate, a date, a version, a number of threads (MASKED, TIMES); "#
mask KEY ..." in a transcript adds members. Numbers: counts are equal; those with a point may differ by 1e-3 of their
size, and in tables and sentences by one unit of the last digit. "# needs a terminal": not run, with exit status 77,
where there is none to be had.
"""
import base64
import difflib
import html.parser
import itertools
import json
import os
import pathlib
import re
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
import zlib

sys.dont_write_bytecode = True
import samples

RELATIVE, ABSOLUTE, WIDTH = 1e-3, 1e-5, 150
LIMIT, LIMIT_RECORD = 120, 10  # seconds of a command; a new one that takes long is no transcript's

# Members of documents and columns of tables that are times, rates or of the machine.
MASKED = {"vmoe", "version", "images_per_second", "time", "elapsed", "threads", "started_utc", "host",
          "corrupt_share"}


def is_masked(key, hidden):
    return key in hidden or key.endswith("seconds")


# The same in text: what is found is replaced.
TIMES = [(re.compile(pattern), by) for pattern, by in (
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?( ?UTC|Z)?", "#"),
    (r"(vmoe |\"vmoe\": \")\d+\.\d+\.\d+", r"\1#"),
    (r" *\b\d[\d.,]*( ?(?:s|ms|min|h|[a-z]+/s)\b)(?!/)", r" #\1"),
    (r"[\d.]+( % of both are corruptions)", r"#\1"),
    (r"[\d.]+( % of the steps lower it)", r"#\1"),  # of an attack that has settled: last bits
    (r"\(worst [\d.e+-]+\)", "(worst #)"),  # slope against finite difference
    (r"(divergence) [\d.]+", r"\1 #"),  # of t-SNE's long path
    (r"\b\d+( threads?\b)", r"#\1"),
    (r"(\bimages/s)( \|)? +[\d.,]+", r"\1\2 #"),
    (r"(machine +# threads?, .*)oneDNN [\d.]+ \([^)]*\)", r"\1oneDNN #"))]
# Lines of standard error that only a busy machine brings.
BUSY = re.compile(r"\w[\w ]* +\d+ %  .* left(  .*)?$|machine +\d* ?threads(, asleep| spin again)")


def masked(text):
    for pattern, by in TIMES:
        text = pattern.sub(by, text)
    return text


# ---- files in a readable form ------------------------------------------------------------------------------------


class Digits(str):
    """A number with a point, to six digits. As wide as any other for the breaking of lines, which must not hang on it."""

    def __new__(cls, text):
        short = text if len(text) < 8 else f"{float(text):.6g}"
        return super().__new__(cls, short if set(short) & set(".en") else short + ".0")

    def __len__(self):
        return 8


def compact(node, hidden, indent=0, room=WIDTH):
    """JSON in as few lines as fit into WIDTH columns (all numbers being as wide); hidden: members whose value is #."""
    def flat(one, number=str):
        if isinstance(one, dict):
            parts = (f"{json.dumps(k)}: {'#' if is_masked(k, hidden) else flat(v, number)}" for k, v in one.items())
            return "{" + ", ".join(parts) + "}"
        if isinstance(one, list):
            return "[" + ", ".join(flat(v, number) for v in one) + "]"
        return number(one) if isinstance(one, Digits) else json.dumps(one, ensure_ascii=False)

    if len(flat(node, lambda _: "0" * 8)) + indent <= room or not isinstance(node, (dict, list)) or not node:
        return flat(node)
    pad = " " * (indent + 2)
    if isinstance(node, dict):
        parts = [f"{json.dumps(k)}: {'#' if is_masked(k, hidden) else compact(v, hidden, indent + 2, room - len(k) - 4)}"
                 for k, v in node.items()]
        return "{\n" + ",\n".join(pad + one for one in parts) + "\n" + " " * indent + "}"
    lines, line, width = [], "", 0
    for one in node:  # short ones share lines
        text, wide = compact(one, hidden, indent + 2), len(flat(one, lambda _: "0" * 8))
        if line and ("\n" in text or width + wide + 2 > room - indent):
            lines.append(line)
            line, width = "", 0
        line, width = f"{line}, {text}" if line else text, width + wide + 2
    return "[\n" + ",\n".join(pad + one for one in [*lines, line]) + "\n" + " " * indent + "]"


def found(document, path):
    """The inner member that a.b.0 names."""
    for step in path:
        try:
            document = document[int(step) if isinstance(document, list) else step]
        except (IndexError, KeyError, TypeError, ValueError):
            return "there is no such member"
    return document


def chosen(document, words):
    """The members that words name; all but those of -words (of every member of a list) when none does."""
    def drop(node, path):
        for one in node if isinstance(node, list) else [node]:
            if len(path) > 1:
                drop(one[path[0]], path[1:])
            else:
                one.pop(path[0], None)

    for word in [word for word in words if word.startswith("-")]:
        drop(document, word[1:].split("."))
    named = [w for w in words if not w.startswith("-")]
    return {word: found(document, word.split(".")) for word in named} if named else document


class Page(html.parser.HTMLParser):
    """The text of a page, a line for each block or row; of bars and pictures with their bars one."""
    BREAKS = {"p", "div", "h1", "h2", "h3", "tr", "li", "figure", "figcaption", "section", "svg", "footer", "table", "summary"}
    INLINE = ("name", "track", "fill", "value", "bars", "")  # classes of div inside a line

    def __init__(self):
        super().__init__()
        self.lines, self.line, self.silent, self.open = [], [], 0, []

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        if tag in ("style", "script", "title") and not self.open.count("svg"):
            self.silent += 1
        if tag == "img":
            self.picture(named.get("src", ""))
        breaks = tag in self.BREAKS and not (tag == "div" and (named.get("class") or "").split(" ")[0] in self.INLINE)
        if breaks:
            self.end()
        if tag not in ("meta", "img", "br", "link", "input"):
            self.open.append(tag if breaks or tag != "div" else "inline")

    def handle_startendtag(self, tag, attrs):
        if tag == "img":
            self.picture(dict(attrs).get("src", ""))

    def picture(self, source):
        """Size and mean of a picture; of a large one not, for that takes long."""
        kind, _, data = source.partition("base64,")
        width, height = struct.unpack(">II", base64.b64decode(data[:32])[16:24]) if "png" in kind else (0, 0)
        self.line.append(f"[{picture_text(base64.b64decode(data))}]" if 0 < width * height <= 40000 else "[picture]")

    def handle_endtag(self, tag):
        if tag in ("style", "script", "title") and not self.open.count("svg"):
            self.silent -= 1
        last = ""
        while self.open:
            last = self.open.pop()
            if last == tag or last == "inline" and tag == "div":
                break
        if last in self.BREAKS:
            self.end()

    def handle_data(self, data):
        if not self.silent and data.strip():
            self.line.append(" ".join(data.split()))

    def end(self):
        line = ""
        for word in self.line:
            if line and len(line) + len(word) + 3 > WIDTH:
                self.lines.append(line)
                line = ""
            line = f"{line} | {word}" if line else word
        self.lines += [line] if line else []
        self.line = []


def page_text(text):
    page = Page()
    page.feed(text)
    page.end()
    return "\n".join(page.lines)


def array_text(data):
    """Type, shape, mean and first numbers of an .npy file."""
    size = struct.unpack("<H", data[8:10])[0]
    head = data[10:10 + size].decode()
    kind = re.search(r"'descr': '([^']*)'", head)[1]
    letter = {"f4": "f", "f8": "d", "i4": "i", "i8": "q", "u1": "B"}[kind[1:]]
    values = [v[0] for v in struct.iter_unpack("<" + letter, data[10 + size:])]
    first = " ".join(f"{v:.5f}" if letter in "fd" else str(v) for v in values[:12])
    return (f"{kind} {re.search(r'shape.: (.[^)]*.)', head)[1]} mean {sum(values) / max(len(values), 1):.6f} "
            f"least {min(values):.6f} most {max(values):.6f}\n{first}")


def picture_text(data):
    """Size and channel means of a PNG file of 8 bits."""
    width, height, _, color = struct.unpack(">IIBB", data[16:26])
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[color]
    body, at = b"", 8
    while at < len(data):
        size = struct.unpack(">I", data[at:at + 4])[0]
        if data[at + 4:at + 8] == b"IDAT":
            body += data[at + 8:at + 8 + size]
        at += 12 + size
    rows, step, before = zlib.decompress(body), width * channels, bytes(width * channels)
    sums = [0] * channels
    for y in range(height):
        kind, row = rows[y * (step + 1)], bytearray(rows[y * (step + 1) + 1:(y + 1) * (step + 1)])
        if kind == 1:
            for c in range(channels):
                row[c::channels] = bytes(v & 255 for v in itertools.accumulate(row[c::channels]))
        elif kind == 2:
            row = bytes((v + up) & 255 for v, up in zip(row, before))
        elif kind == 3:
            for x, up in enumerate(before):
                row[x] = (row[x] + ((row[x - channels] if x >= channels else 0) + up) // 2) & 255
        elif kind == 4:
            left = corner = [0] * channels
            for x in range(0, step, channels):
                pixel = []
                for c in range(channels):
                    a, b, d = left[c], before[x + c], corner[c]
                    to_a, to_b, to_d = abs(b - d), abs(a - d), abs(a + b - 2 * d)
                    near = a if to_a <= to_b and to_a <= to_d else b if to_b <= to_d else d
                    pixel.append((row[x + c] + near) & 255)
                row[x:x + channels] = bytes(pixel)
                left, corner = pixel, before[x:x + channels]
        before = row
        for c in range(channels):
            sums[c] += sum(row[c::channels])
    return f"{width} x {height}, mean " + " ".join(f"{s / (width * height):.1f}" for s in sums)


def columns_masked(text, hidden):
    """A table of commas without what its columns of time say."""
    lines = text.splitlines()
    gone = [i for i, name in enumerate(lines[0].split(",")) if is_masked(name, hidden)] if lines else []
    out = lines[:1]
    for line in lines[1:]:
        cells = line.split(",")
        for i in gone:
            if i < len(cells):
                cells[i] = "#"
        out.append(",".join(cells))
    return "\n".join(out)


def shown(path, words, hidden):
    """A file as `show` prints it."""
    if not path.exists():
        return "there is no such file"
    if path.suffix == ".npy":
        return array_text(path.read_bytes())
    if path.suffix == ".png":
        return picture_text(path.read_bytes())
    text = path.read_text()
    if path.suffix == ".json":
        return compact(chosen(json.loads(text, parse_float=Digits), words), hidden)
    if path.suffix == ".jsonl":
        return "\n".join(compact(chosen(json.loads(line, parse_float=Digits), words), hidden) for line in text.splitlines())
    if path.suffix == ".html" and words == ["pictures"]:
        found_there = re.findall(r'data:image/png;base64,([^"]*)', text)
        return "\n".join(picture_text(base64.b64decode(one)) for one in found_there)
    if path.suffix == ".html":
        return page_text(text)
    return columns_masked(text, hidden) if path.suffix == ".csv" else text


# ---- comparison --------------------------------------------------------------------------------------------------

NUMBER = re.compile(r"( *)(-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)")


def alike(old, new, exact):
    """Two numbers as they are written. exact: no unit of the last digit."""
    if re.fullmatch(r"-?\d+", old) and re.fullmatch(r"-?\d+", new):
        return old == new
    unit = 0 if exact or "e" in old else 1.01 * 10.0**-max(len(old.partition(".")[2]), len(new.partition(".")[2]))
    a, b = float(old), float(new)
    return abs(a - b) <= max(unit, ABSOLUTE, RELATIVE * abs(a))


def fits(old, new, exact):
    """Whether a line may stand for the other: text and width as stored, numbers alike."""
    if old == new:
        return True
    if NUMBER.sub("0", old) != NUMBER.sub("0", new):
        return False
    pairs = list(zip(NUMBER.findall(old), NUMBER.findall(new)))
    return all(alike(a[1], b[1], exact) and (len(a[0]) == len(b[0]) or len("".join(a)) == len("".join(b))) for a, b in pairs)


def settled(old, new, exact):
    """The new lines, with the stored ones in the place of those that are alike."""
    keys = [[NUMBER.sub("0", line) for line in lines] for lines in (old, new)]
    out = list(new)
    for at, to, count in difflib.SequenceMatcher(None, *keys, autojunk=False).get_matching_blocks():
        for i in range(count):
            if fits(old[at + i], new[to + i], exact):
                out[to + i] = old[at + i]
    return out


# ---- sessions ----------------------------------------------------------------------------------------------------


def read(path):
    """[(remarks, command or None, lines)] of a transcript."""
    blocks, remarks = [], []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("$ "):
            if re.search(r"vmoe [^|]*\| *(head|grep +-[a-z]*[mq])", line):
                sys.exit(f"{path}:{number}: head and grep -m close the pipe before all is said: write sed -n 1,5p")
            blocks.append((remarks, line[2:], []))
            remarks = []
        elif line[:1] in "|!=" and line and blocks and not remarks:
            blocks[-1][2].append(line)
        elif not line or line.startswith("#"):
            remarks.append(line)
        else:
            sys.exit(f"{path}:{number}: neither a remark nor a command nor its output")
    return blocks + ([(remarks, None, [])] if remarks else [])


class Session:
    """A folder, and commands in it."""

    def __init__(self, vmoe, folder, hidden, limit):
        self.folder, self.hidden, self.limit = folder, hidden, limit
        tools = folder / ".tools"
        tools.mkdir()
        (tools / "vmoe").symlink_to(vmoe)
        self.env = {"OMP_NUM_THREADS": "1", **os.environ, "OMP_WAIT_POLICY": "passive", "LC_ALL": "C", "HOME": str(folder),
                    "XDG_CACHE_HOME": str(folder / ".cache"), "PATH": f"{tools}:{os.environ.get('PATH', '/usr/bin:/bin')}"}

    def make(self, kind, name, *words):
        """An input: idx NAME CLASSES COUNT; folders NAME CLASSES COUNT; network FILE; words key=value are its settings."""
        def value(text):
            return int(text) if re.fullmatch(r"-?\d+", text) else float(text) if re.fullmatch(r"-?\d*\.\d+", text) else \
                {"true": True, "false": False}.get(text, text)

        place = [self.folder, name] if kind == "idx" else [self.folder / name]
        plain = [value(w) for w in words if "=" not in w]
        named = {k: value(v) for k, _, v in (w.partition("=") for w in words if "=" in w)}
        {"idx": samples.idx, "folders": samples.folders, "network": samples.network}[kind](*place, *plain, **named)

    def run(self, command):
        """Lines of output of a command, in the form of a transcript."""
        words = shlex.split(command) if command.split()[0] in ("make", "show") else []
        if words and words[0] == "make":
            self.make(*words[1:])
            return []
        if words:
            text = shown(self.folder / words[1], words[2:], self.hidden)
            return self.lines("|", text)
        done = subprocess.Popen(["sh", "-c", command], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, errors="replace", preexec_fn=os.setpgrp)
        try:
            out, spoken = done.communicate(timeout=self.limit)
        except BaseException:  # Ctrl-C and TERM too: what it began is a group of its own
            os.killpg(done.pid, signal.SIGKILL)
            done.communicate()
            raise
        spoken = "\n".join(line for line in spoken.splitlines() if not BUSY.match(line))
        return [*self.lines("|", out), *self.lines("!", spoken), *([f"= {done.returncode}"] if done.returncode else [])]

    def lines(self, mark, text):
        text = masked(text.replace(str(self.folder), "DIR"))
        return [f"{mark} {line}".rstrip() for line in text.splitlines()]


def compare(vmoe, path, write, keep):
    """The differences of a transcript, as text; writes it anew when asked."""
    blocks = read(path)
    hidden = MASKED | {word for remarks, _, _ in blocks for line in remarks if line.startswith("# mask ") for word in line.split()[2:]}
    out, faults = [], []
    with tempfile.TemporaryDirectory(prefix="vmoe-transcript-") as scratch:
        folder = pathlib.Path(keep or scratch).resolve()
        session = Session(vmoe, folder, hidden, LIMIT_RECORD if write else LIMIT)
        for remarks, command, old in blocks:
            out += remarks
            if command is None:
                continue
            try:
                new = session.run(command)
            except subprocess.TimeoutExpired:
                new = [f"= not done after {session.limit} seconds"]
            exact = command.startswith("show ") and command.split()[1].endswith((".json", ".jsonl", ".csv"))
            new = settled(old, new, exact)
            if new != old:
                faults.append("\n".join([f"$ {command}", *list(difflib.unified_diff(old, new, "stored", "now", lineterm="", n=1))[2:]]))
            out += [f"$ {command}", *new]
    if write and faults:
        path.write_text("\n".join(out) + "\n")
    return faults


def has_terminals():
    try:
        for end in os.openpty():
            os.close(end)
    except OSError:
        return False
    return True


def main():
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    words = sys.argv[1:]
    write = "--write" in words
    keep = words[words.index("--keep") + 1] if "--keep" in words else None
    vmoe, *files = [w for w in words if w not in ("--write", "--keep", keep)]
    bad = 0
    for name in files:
        path = pathlib.Path(name).resolve()
        if "# needs a terminal" in path.read_text().splitlines() and not has_terminals():
            print(f"{path.name}: no terminal can be had here (/dev/pts)")
            sys.exit(77)
        faults = compare(pathlib.Path(vmoe).resolve(), path, write, keep)
        for fault in faults:
            print(fault)
        bad += len(faults)
        print(f"{path.name}: {f'{len(faults)} commands differ' if faults else 'as stored'}" + (", written" if faults and write else ""))
    if bad and not write:
        print("an intended change: tests/transcripts.py VMOE FILE... --write records it, and git diff shows what changed")
    sys.exit(bool(bad and not write))


if __name__ == "__main__":
    main()
