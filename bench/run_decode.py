"""run_decode.py - bench/run decode: our way from files to batches beside others', in turn, in one session.

    bench/run decode [--vmoe PROGRAM] [--python PYTHON] [--core N] [--turns N] [--rounds N]
                     [--peers pillow opencv ...] [--small] DATA ...

DATA: a folder of class folders with photographs, or with --small a tar of small pictures (32 or 64
pixels). Everything runs on one core, files in the page cache. CSV on stdout, one line for each of our
rows and each row of a peer that does the same; ratio = our images/s over theirs, medians of --turns.
Peers (bench/peers/decode.py) hold all files in memory beforehand, we read them anew each time.
"""

import argparse
import csv
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent

# our row: (kind of decode.py, beginnings of the peers' rows)
SAME = {
    "read and decode whole": ("train", ("decode",)),
    "train": ("train", ("train",)),
    "train exact": ("train", ("train",)),
    "eval bilinear": ("eval", ("eval bilinear", "eval area", "eval linear")),
    "eval bicubic": ("eval", ("eval bicubic",)),
}
SAME_SMALL = {"read and decode whole": ("small", ("decode",)), "train": ("small", ("small",))}


def rows(command, core):
    def pin():
        if core >= 0:
            os.sched_setaffinity(0, {core})

    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True,
                          preexec_fn=pin)
    if done.returncode != 0:
        sys.exit(f"bench/run decode: failed: {' '.join(map(str, command))}")
    return list(csv.DictReader(done.stdout.splitlines()))


def note(found, row):
    found.setdefault((row["program"], row["what"]), []).append(float(row["images_per_s"]))


def measure(args, data, same):
    """{(program, row): rates} of ours, and of the peers by kind."""
    ours, theirs = {}, {}
    for _ in range(args.turns):
        for row in rows([args.vmoe, "bench", "decode", "--data", data, "--threads", 1,
                         "--limit", args.limit, "--rounds", max(9, args.rounds)], args.core):
            note(ours, row)
        for kind in sorted({kind for kind, _ in same.values()}):
            for row in rows([args.python, HERE / "peers" / "decode.py", "--kind", kind, "--limit",
                             args.limit, "--rounds", args.rounds, "--peers", *args.peers, "--",
                             data], args.core):
                note(theirs.setdefault(kind, {}), row)
    return ours, theirs


def main(words):
    parser = argparse.ArgumentParser(prog="bench/run decode", description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", metavar="DATA")
    parser.add_argument("--vmoe", default=HERE.parent / "build" / "apps" / "vmoe")
    parser.add_argument("--python", default=sys.executable, help="one with the peers")
    parser.add_argument("--peers", nargs="+", default=["pillow", "opencv", "torchvision.io", "dali"])
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)),
                        help="all run on this one, -1: anywhere")
    parser.add_argument("--limit", type=int, default=400, help="images")
    parser.add_argument("--rounds", type=int, default=3, help="of a peer a turn")
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="DATA has pictures up to 96 pixels")
    args = parser.parse_args(words)
    same = SAME_SMALL if args.small else SAME
    out = csv.writer(sys.stdout)
    out.writerow(["data", "what", "vmoe", "peer", "peer_row", "peer_images_per_s", "ratio"])
    for data in args.data:
        ours, theirs = measure(args, data, same)
        for (_, what), rates in ours.items():
            kind, begins = same.get(what, (None, ()))
            for (peer, row), peer_rates in theirs.get(kind, {}).items():
                if row.startswith(begins):
                    a, b = statistics.median(rates), statistics.median(peer_rates)
                    out.writerow([data, what, f"{a:.1f}", peer, row, f"{b:.1f}", f"{a / b:.2f}"])
        sys.stdout.flush()
