#!/usr/bin/env python3
"""installed.py BUILD CC: the library as its users find it.

Installs BUILD into a scratch folder and works there with what pkg-config says, outside of the
source: every header compiles alone, the program that opens a room's header compiles and links, and
runs where it needs no more than the small IDX files that are made here. Leaves with 77 (skipped)
where meson or pkg-config is missing.
"""
import json
import os
import pathlib
import random
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile

STRICT = ["-std=c17", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
EXAMPLES = pathlib.Path(__file__).with_name("header_examples.py")
# The words that programs are started with, in this order: the last one reads what the one before it wrote.
RUNS = {
    "base": [[]],
    "corrupt": [[]],
    "show": [[]],
    "train": [["images"], ["images"]],  # the second time it finds its run finished
    "train_vae_vae": [["images"], ["images"]],
    "measure": [["run", "idx:images/t10k"]],
}
failed = []


def check(what, command, **more):
    """Runs command; a failure is shown and counted."""
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
    print("ok  " if done.returncode == 0 else "FAIL", what, flush=True)
    if done.returncode != 0:
        print(done.stdout)
        failed.append(what)
    return done.returncode == 0


def idx_make(folder, name, count):
    """Small grey pictures of four classes that can be learned."""
    side, draw = 16, random.Random(count)
    labels = bytes(i % 4 for i in range(count))
    pixels = bytes(
        min(255, (x, y, side - x, (x * y) % side)[label] * 12 + draw.randrange(60))
        for label in labels for y in range(side) for x in range(side))
    (folder / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, count, side, side) + pixels)
    (folder / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, count) + labels)


def same_fog(work, vmoe, env):
    """The program of measure.h and vmoe eval find the same accuracy."""
    def out(*words):
        return subprocess.run(words, cwd=work, env=env, text=True, stdout=subprocess.PIPE, check=True).stdout

    try:
        ours = out(str(work / "measure"), "run", "idx:images/t10k").split()[1]
        theirs = json.loads(out(str(vmoe), "eval", "run", "--data", "idx:images/t10k", "--corrupt", "fog",
                                "--severity", "3", "--json", "-", "--quiet"))["robust"]["cells"][0]["top1"]
        same = ours == f"{100 * theirs:.2f}"
    except (OSError, subprocess.CalledProcessError, LookupError, ValueError) as error:
        same, ours, theirs = False, error, None
    print("ok  " if same else f"FAIL ({ours}, {theirs})", "measure.h's program agrees with vmoe eval", flush=True)
    if not same:
        failed.append("fog")


def main():
    build, cc = sys.argv[1], sys.argv[2:]
    meson = shutil.which("meson")
    if not meson or not shutil.which("pkg-config"):
        print("meson or pkg-config is missing, skipped")
        return 77
    with tempfile.TemporaryDirectory(prefix="vmoe-installed-") as scratch:
        scratch = pathlib.Path(scratch)
        root, work = scratch / "root", scratch / "work"
        (work / "images").mkdir(parents=True)
        idx_make(work / "images", "train", 256)
        idx_make(work / "images", "t10k", 32)
        if not check("installs", [meson, "install", "-C", build, "--no-rebuild", "--destdir", str(root)]):
            return 1
        pc = next(root.rglob("vmoe.pc"))
        prefix = next(p for p in pc.parents if (p / "include").is_dir())
        env = dict(os.environ, PKG_CONFIG_PATH=str(pc.parent), LD_LIBRARY_PATH=str(pc.parent.parent),
                   OMP_NUM_THREADS="1")

        def ask(word):
            text = subprocess.check_output(
                ["pkg-config", f"--define-variable=prefix={prefix}", word, "vmoe"], env=env, text=True)
            return shlex.split(text)

        cflags, libs = ask("--cflags"), ask("--libs")
        include = prefix / "include" / "vmoe"
        headers = sorted(include.rglob("*.h"))
        if not headers:
            failed.append("headers")
        programs = {}
        for header in headers:
            name = header.relative_to(include).as_posix()
            alone = work / "alone.c"
            alone.write_text(f'#include "{name}"\n#include "{name}"\n', encoding="utf-8")
            check(f"{name} alone", [*cc, *STRICT, "-fsyntax-only", *cflags, str(alone)], cwd=work)
            stem = header.stem if name.count("/") == 1 else name.removesuffix(".h").replace("/", "_")
            source, program = work / f"{stem}.c", work / stem
            if not check(f"{name} opens with a program",
                         [sys.executable, str(EXAMPLES), "--main", str(header), str(source)]):
                continue
            linked = check(f"{name} links",
                           [*cc, *STRICT, *cflags, str(source), "-o", str(program), *libs, "-Wl,-z,defs"],
                           cwd=work)
            programs[stem] = linked
        for name, runs in RUNS.items():
            for words in runs if programs.get(name) else []:
                check(f"{name} runs {shlex.join(words)}", [str(work / name), *words], cwd=work, env=env)
        same_fog(work, prefix / "bin" / "vmoe", env)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
