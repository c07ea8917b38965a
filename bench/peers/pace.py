"""pace.py - what the peers share: options, rounds, the CSV row.

Rounds follow one another, or, with --paced, each begins when a line comes on standard input: "ready" says
that warm-up is over, "round MS" answers each line, the row comes when the input ends. So bench/run can take
several programs through the same minutes, round by round.
"""

import argparse
import csv
import platform
import statistics
import sys
import time

ROUND_SECONDS = 0.02  # a round is as many passes as last that long


def machine():
    """The processor's name where the system tells it."""
    try:
        with open("/proc/cpuinfo") as info:
            return next(line.split(":")[1].strip() for line in info if "model name" in line)
    except (OSError, StopIteration):
        return platform.machine()


def parser(doc):
    p = argparse.ArgumentParser(description=doc.splitlines()[0])
    p.add_argument("sizes", nargs="+", metavar="NAME[:PIXELS]")
    p.add_argument("--threads", type=int, default=0, help="0: all")
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--classes", type=int, default=1000)
    p.add_argument("--experts", type=int, default=8)
    p.add_argument("--k", type=int, default=2)
    p.add_argument("--depth", type=int, default=0, help="blocks, 0: the size's")
    p.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    p.add_argument("--steps", type=int, default=9, help="timed rounds, at least 9")
    p.add_argument("--warmup", type=int, default=3)
    p.add_argument("--paced", action="store_true", help="a round for each line on standard input")
    return p


def commands(args):
    """Yields once a round."""
    if not args.paced:
        yield from range(args.steps)
        return
    print("ready", flush=True)
    for _ in sys.stdin:
        yield 0


def rounds(work, args):
    """Times of one pass in each round, seconds."""
    for _ in range(args.warmup + 1):
        start = time.perf_counter()
        work()
        last = time.perf_counter() - start
    passes = 1 if last >= ROUND_SECONDS else int(ROUND_SECONDS / last) + 1
    seconds = []
    for _ in commands(args):
        if args.paced and passes > 1:
            work()  # another program has just filled the caches
        start = time.perf_counter()
        for _ in range(passes):
            work()
        seconds.append((time.perf_counter() - start) / passes)
        if args.paced:
            print(f"round {1e3 * seconds[-1]:.4f}", flush=True)
    return seconds


def run(args, program, case, prepare):
    """prepare(size) gives the work of a pass, the input's pixels and the number of parameters."""
    if args.steps < 9:
        sys.exit("--steps is at least 9")
    writer = None
    for size in args.sizes:
        work, image, parameters = prepare(size)
        seconds = rounds(work, args)
        if not seconds:
            continue  # nobody asked for a round
        median = statistics.median(seconds)
        row = {
            "program": program, "case": case, "size": size, "image": image, "batch": args.batch,
            "threads": args.threads, "precision": args.precision, "parameters": parameters,
            "steps": len(seconds), "median_ms": f"{1e3 * median:.3f}",
            "min_ms": f"{1e3 * min(seconds):.3f}", "max_ms": f"{1e3 * max(seconds):.3f}",
            "images_per_s": f"{args.batch / median:.2f}", "machine": machine(),
        }
        if writer is None:
            writer = csv.DictWriter(sys.stdout, row)
            writer.writeheader()
        writer.writerow(row)
        sys.stdout.flush()
