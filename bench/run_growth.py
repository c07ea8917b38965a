"""run_growth.py - bench/run growth and scaling: our own step over batch, depth, experts, k; and over threads.

    bench/run growth --to growth.csv [--axis batch]     measures (all axes without --axis)
    bench/run growth --plot growth.csv > docs/growth.svg
    bench/run scaling                                    CSV: step and inference on 1 .. all threads

The networks of an axis take their rounds in turn, so that a slow minute hits all points of a curve.
"""

import csv
import math
import os
import sys

import rounds

SIZE, BATCH = "vmoe-micro", 32
AXES = {
    "batch": ("images in a batch", (8, 16, 32, 64, 128)),
    "depth": ("blocks", (2, 4, 6, 12, 24)),
    "experts": ("experts, k = 2", (4, 8, 16, 32, 64)),
    "k": ("experts that a token meets, of 8", (1, 2, 4, 8)),
}
KEYS = {"depth": "model.depth", "experts": "router.experts", "k": "router.k"}
COLUMNS = ("axis", "value", "size", "batch", "threads", "precision", "gflop", "median_ms", "min_ms", "max_ms",
           "optimizer_ms", "gflop_per_s", "peak_mib", "version", "machine")


def start(args, axis, value):
    batch = value if axis == "batch" else BATCH
    settings = [f"{KEYS[axis]}={value}"] if axis in KEYS else []
    words = [args.vmoe, "bench", "step", SIZE, "--batch", batch, "--threads", args.threads, "--precision",
             args.precision, "--warmup", args.warmup, "--paced", "--no-ceiling"]
    return rounds.Program(str(value), words + (["--set", *settings] if settings else []))


def measure(args):
    new = not args.to or not os.path.exists(args.to) or os.path.getsize(args.to) == 0
    stream = open(args.to, "a", newline="") if args.to else sys.stdout
    out = csv.DictWriter(stream, COLUMNS)
    if new:
        out.writeheader()
    for axis in args.axis or AXES:
        programs = [start(args, axis, value) for value in AXES[axis][1]]
        rows = rounds.in_turn(programs, args.rounds)
        for program, row in zip(programs, rows):
            out.writerow({**{key: row.get(key, "") for key in COLUMNS}, "axis": axis, "value": program.name,
                          "version": row["program"]})
        stream.flush()


# ---- the drawing ---------------------------------------------------------------------------------

WIDTH, HEIGHT, LEFT, TOP, GAP = 250, 190, 52, 58, 66
STYLE = """
 .paper{fill:#fff} text{font:12px system-ui,sans-serif;fill:#1d2733} .soft{fill:#667384;font-size:11px}
 .grid{stroke:#dde3ea;stroke-width:1} .count{stroke:#667384;stroke-width:1.5;stroke-dasharray:5 4;fill:none}
 .time{stroke:#2b6cb0;stroke-width:2;fill:none} .dot{fill:#2b6cb0} .less{stroke:#d97a1f;stroke-width:2;fill:none}
 .dot2{fill:#d97a1f}
 @media(prefers-color-scheme:dark){.paper{fill:#14191f} text{fill:#e4e9ef} .soft{fill:#94a1b0}
 .grid{stroke:#2e3843} .count{stroke:#94a1b0} .time{stroke:#63a4e8} .dot{fill:#63a4e8} .less{stroke:#f0a04b}
 .dot2{fill:#f0a04b}}
"""


def panel(title, points, left):
    """points: (value, operations, ms, ms without the optimiser). Both axes are logarithmic."""
    base = points[len(points) // 2 if len(points) > 4 else 1]
    counted = [p[1] / base[1] * base[3] for p in points]
    every = counted + [p[2] for p in points] + [p[3] for p in points]
    low = 2 ** math.floor(math.log2(min(every)))
    high = 2 ** math.ceil(math.log2(max(every)))
    low, high = (low / 2, high) if high / low < 4 else (low, high)

    def x(value):
        first, last = points[0][0], points[-1][0]
        return left + math.log(value / first) / math.log(last / first) * WIDTH

    def y(ms):
        return TOP + HEIGHT - math.log(ms / low) / math.log(high / low) * HEIGHT

    def path(values):
        return "M" + " L".join(f"{x(p[0]):.1f} {y(v):.1f}" for p, v in zip(points, values))

    parts = []
    ticks = int(math.log2(high / low))
    step = max(1, ticks // 5)
    for i in range(0, ticks + 1, step):
        ms = low * 2**i
        parts.append(f'<line class="grid" x1="{left}" x2="{left + WIDTH}" y1="{y(ms):.1f}" y2="{y(ms):.1f}"/>'
                     f'<text class="soft" x="{left - 6}" y="{y(ms) + 4:.1f}" text-anchor="end">{ms:g}</text>')
    for p in points:
        parts.append(f'<text class="soft" x="{x(p[0]):.1f}" y="{TOP + HEIGHT + 16}" '
                     f'text-anchor="middle">{p[0]}</text>')
    parts.append(f'<text class="soft" x="{left + WIDTH / 2}" y="{TOP + HEIGHT + 34}" '
                 f'text-anchor="middle">{title}</text>')
    parts.append(f'<path class="count" d="{path(counted)}"/>')
    parts.append(f'<path class="time" d="{path([p[2] for p in points])}"/>')
    parts.append(f'<path class="less" d="{path([p[3] for p in points])}"/>')
    for p in points:
        parts.append(f'<circle class="dot" cx="{x(p[0]):.1f}" cy="{y(p[2]):.1f}" r="3.5"/>'
                     f'<circle class="dot2" cx="{x(p[0]):.1f}" cy="{y(p[3]):.1f}" r="2.5"/>')
    return "\n".join(parts)


def draw(path):
    found, about = {}, {}
    with open(path, newline="") as stream:
        for row in csv.DictReader(stream):
            ms = float(row["median_ms"])
            found.setdefault(row["axis"], {})[int(row["value"])] = (
                int(row["value"]), float(row["gflop"]), ms, ms - float(row["optimizer_ms"]))
            about = row
    axes = [axis for axis in AXES if axis in found]
    width = LEFT + len(axes) * (WIDTH + GAP) - 10
    height = TOP + HEIGHT + 48
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
          f'height="{height}">')
    print(f"<style>{STYLE}</style>")
    print(f'<rect class="paper" width="{width}" height="{height}"/>')
    print(f'<text x="{LEFT}" y="20">Training step of {SIZE}, ms ({about["precision"]}, {about["threads"]} '
          f'threads, {BATCH} images where not said otherwise)</text>')
    legend = (("time", "measured"), ("less", "without the optimiser"), ("count", "operation count, scaled"))
    at = LEFT
    for name, text in legend:
        print(f'<line class="{name}" x1="{at}" x2="{at + 26}" y1="38" y2="38"/>'
              f'<text class="soft" x="{at + 32}" y="42">{text}</text>')
        at += 62 + 6 * len(text)
    for i, axis in enumerate(axes):
        points = [found[axis][value] for value in sorted(found[axis])]
        print(panel(AXES[axis][0], points, LEFT + i * (WIDTH + GAP)))
    print("</svg>")


# ---- threads ---------------------------------------------------------------------------------------

def scaling(args):
    out = csv.writer(sys.stdout)
    out.writerow(["case", "size", "batch", "precision", "threads", "median_ms", "images_per_s", "speedup",
                  "ceiling_speedup", "share_percent", "machine"])
    counts = [n for n in (1, 2, 4, 8, 16, 32, 64) if n < args.threads] + [args.threads]
    for case in ("step", "infer"):
        for size in args.sizes:
            programs = [rounds.vmoe(args, case, size, args.batch, args.precision, threads=n) for n in counts]
            rows = rounds.in_turn(programs, args.rounds)
            for program, row in zip(programs, rows):
                out.writerow([case, size, args.batch, args.precision, row["threads"], row["median_ms"],
                              row["images_per_s"], f"{1 / rounds.ratio(program, programs[0]):.3f}",
                              f"{float(rows[0]['ceiling_ms']) / float(row['ceiling_ms']):.3f}",
                              row["share_percent"], row["machine"]])
                sys.stdout.flush()


def main(command, words):
    p = rounds.parser(__doc__)
    p.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    if command == "scaling":
        p.add_argument("sizes", nargs="*", default=["vmoe-ti16", "vmoe-micro"])
        p.add_argument("--batch", type=int, default=32)
    else:
        p.add_argument("--axis", nargs="+", choices=AXES)
        p.add_argument("--to", metavar="FILE", help="CSV that lines are added to")
        p.add_argument("--plot", metavar="FILE", help="draws a CSV as SVG on stdout")
    args = rounds.parse(p, words)
    if command == "scaling":
        scaling(args)
    elif args.plot:
        draw(args.plot)
    else:
        measure(args)
