"""run_sizes.py - bench/run step and infer: networks by name, ours beside the peers."""

import csv
import sys

import rounds

COLUMNS = ("case", "size", "image", "batch", "threads", "precision", "program", "rounds", "median_ms",
           "min_ms", "max_ms", "ratio", "images_per_s", "share_percent", "version", "machine")


def line_of(program, reference):
    row = program.row
    return {**{key: row.get(key, "") for key in COLUMNS}, "program": program.name, "rounds": row["steps"],
            "ratio": f"{rounds.ratio(program, reference):.3f}", "version": row["program"]}


def main(case, words):
    p = rounds.parser(__doc__)
    p.add_argument("sizes", nargs="+", metavar="SIZE")
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    p.add_argument("--peers", nargs="+", choices=rounds.PEERS, default=["eager"])
    args = rounds.parse(p, words)
    out = csv.DictWriter(sys.stdout, COLUMNS)
    out.writeheader()
    for size in args.sizes:
        programs = [rounds.vmoe(args, case, size, args.batch, args.precision)]
        programs += [rounds.peer(args, kind, case, size, args.batch, args.precision) for kind in args.peers]
        rows = rounds.in_turn(programs, args.rounds)
        if len({row["parameters"] for row in rows}) > 1:
            sys.exit(f"bench/run: {size}: not the same network in all programs")
        out.writerows(line_of(program, programs[0]) for program in programs)
        sys.stdout.flush()
