"""run_table.py - bench/run table: the README's table of speed, one row at a time.

    bench/run table --list
    bench/run table --row step-fp32-vit-ti16 --to table.csv [--peers eager]
    bench/run table --markdown table.csv

A row starts the programs that it compares, warms them up and takes them through --rounds rounds in turn. Its
lines are added to --to (stdout without it). --markdown prints what the file holds, the last lines of each row
and program: so a row can be measured anew, or its peers one after the other where time is short.
"""

import csv
import dataclasses
import os
import subprocess
import sys

import rounds

COLUMNS = ("row", "program", "case", "size", "image", "batch", "threads", "precision", "experts", "k",
           "rounds", "median_ms", "min_ms", "max_ms", "ratio", "share_percent", "gflop_per_s",
           "ceiling_gflop_per_s", "images_per_s", "peak_mib", "router_ms", "dispatch_ms", "combine_ms",
           "optimizer_ms", "version", "machine")


@dataclasses.dataclass
class Row:
    """targets: the least share of the ceiling (percent) and the least ratio to each other program."""
    name: str
    case: str
    size: str
    batch: int
    precision: str
    others: tuple
    targets: dict
    settings: tuple = ()


# images of a batch: 3,000 to 6,300 tokens
SIZES = {"vit-ti16": 16, "vmoe-ti16": 16, "vit-micro": 64, "vmoe-micro": 64, "vmoe-s32": 64, "vit-s16": 16,
         "vmoe-s16": 16}


def step_row(precision, size):
    sparse, micro = size.startswith("vmoe"), "micro" in size
    targets = {"share": (65 if sparse else 70) - 10 * micro, "eager": 2.5 if sparse else 1.4}
    others = ("eager", "compiled")
    if precision == "bf16":
        targets, others = {"fp32": 1.6, "eager": 2.0}, ("eager", "compiled", "fp32")
    return Row(f"step-{precision}-{size}", "step", size, SIZES[size], precision, others, targets)


def infer_row(precision, size):
    batch = 2 * SIZES[size] if "ti16" in size else SIZES[size]
    others = ("eager", "compiled", "openvino", "onnxruntime" if precision == "fp32" else "fp32")
    targets = {kind: 1.0 for kind in others if kind != "fp32"}
    targets["share"] = (80 if precision == "fp32" else 60) - 10 * ("micro" in size)
    return Row(f"infer-{precision}-{size}", "infer", size, batch, precision, others, targets)


def rows_make():
    rows = [make(precision, size) for make in (step_row, infer_row) for precision in ("fp32", "bf16")
            for size in SIZES]
    for size in ("vit-ti16", "vmoe-ti16", "vmoe-s16"):
        rows.append(Row(f"latency-fp32-{size}", "infer", size, 1, "fp32",
                        ("eager", "compiled", "openvino", "onnxruntime"), {}))
    for size in ("vmoe-ti16", "vmoe-s16"):
        rows.append(Row(f"dense-{size}", "step", size, SIZES[size], "fp32", ("dense",), {}, ("router.k=1",)))
    return rows


ROWS = {row.name: row for row in rows_make()}


def start(row, kind, args):
    if kind == "vmoe":
        return rounds.vmoe(args, row.case, row.size, row.batch, row.precision, row.settings)
    if kind == "fp32":
        return rounds.vmoe(args, row.case, row.size, row.batch, "fp32", row.settings, name="fp32")
    if kind == "dense":
        dense = row.size.replace("vmoe-", "vit-")
        return rounds.vmoe(args, row.case, dense, row.batch, row.precision, name="dense")
    return rounds.peer(args, kind, row.case, row.size, row.batch, row.precision)


def measure(row, args):
    """Lines of the row: ours, then each other program with the ratio of its time to ours."""
    others = [kind for kind in row.others if not args.peers or kind in args.peers]
    programs = [start(row, kind, args) for kind in ("vmoe", *others)]
    found = rounds.in_turn(programs, args.rounds)
    if row.name.split("-")[0] != "dense" and len({r["parameters"] for r in found}) > 1:
        sys.exit(f"bench/run: {row.name}: not the same network in all programs")
    for program in programs:
        line = {key: program.row.get(key, "") for key in COLUMNS}
        line.update(row=row.name, program=program.name, rounds=program.row["steps"],
                    ratio=f"{rounds.ratio(program, programs[0]):.3f}", version=program.row["program"])
        yield line


def sinkhorn(args):
    done = subprocess.run([str(args.vmoe), "bench", "sinkhorn", "--rounds", str(max(args.rounds, 25))],
                          stdout=subprocess.PIPE, text=True, check=True)
    row = next(csv.DictReader(done.stdout.splitlines()))
    line = {key: row.get(key, "") for key in COLUMNS}
    line.update(row="sinkhorn", program="vmoe", version=row["program"])
    yield line


def write(lines, path):
    new = not path or not os.path.exists(path) or os.path.getsize(path) == 0
    stream = open(path, "a", newline="") if path else sys.stdout
    out = csv.DictWriter(stream, COLUMNS)
    if new:
        out.writeheader()
    for line in lines:
        out.writerow(line)
        stream.flush()


# ---- the table --------------------------------------------------------------------------------

TITLES = {"step": "training step", "infer": "inference", "latency": "one image"}
OTHERS = (("fp32", "our fp32"), ("eager", "PyTorch"), ("compiled", "`torch.compile`"),
          ("onnxruntime", "onnxruntime"), ("openvino", "OpenVINO"))


def reached(row, ours, ratios):
    """What a row's targets say: "yes", or which of them is missed."""
    missed = []
    for key, least in row.targets.items():
        value = float(ours["share_percent"]) if key == "share" else ratios.get(key)
        if value is not None and value < least:
            missed.append(f"{'share ' if key == 'share' else key + ' '}"
                          f"{least:g}{' %' if key == 'share' else ''}")
    if not row.targets:
        return ""
    return "no: " + ", ".join(missed) if missed else "yes"


def markdown(path):
    found = {}
    with open(path, newline="") as stream:
        for line in csv.DictReader(stream):
            found.setdefault(line["row"], {})[line["program"]] = line
    print("| what | images | ms | of the ceiling | " + " | ".join(f"x {n}" for _, n in OTHERS) +
          " | target |")
    print("|---" * (5 + len(OTHERS)) + "|")
    for name, row in ROWS.items():
        lines = found.get(name)
        if not lines or name.startswith("dense"):
            continue
        ours = lines["vmoe"]
        ratios = {kind: float(line["ratio"]) for kind, line in lines.items()}
        cells = [f"{ratios[kind]:.2f}" if kind in ratios else "" for kind, _ in OTHERS]
        title = TITLES[name.split("-")[0]]
        print(f"| {title}, `{row.size}`, {row.precision} | {row.batch} | {float(ours['median_ms']):.4g} | "
              f"{float(ours['share_percent']):.0f} % | " + " | ".join(cells) +
              f" | {reached(row, ours, ratios)} |")
    print()
    print("| what | figure | target |\n|---|---|---|")
    for name, row in ROWS.items():
        lines = found.get(name)
        if lines and name.startswith("dense"):
            ours, dense = lines["vmoe"], lines["dense"]
            whole = 1 / float(dense["ratio"])
            less = [float(x["median_ms"]) - float(x["optimizer_ms"]) for x in (ours, dense)]
            cost = less[0] / less[1]
            print(f"| step of `{row.size}` with k = 1 over its dense twin's, optimiser aside | {cost:.3f} "
                  f"(with it {whole:.3f}) | at most 1.12: {'yes' if cost <= 1.12 else 'no'} |")
    for name, row in ROWS.items():
        ours = found.get(name, {}).get("vmoe")
        if ours and row.case == "step" and row.size.startswith("vmoe") and not row.settings:
            routing = sum(float(ours[key]) for key in ("router_ms", "dispatch_ms", "combine_ms"))
            share = 100 * routing / float(ours["median_ms"])
            print(f"| router, dispatch and combine in a step of `{row.size}`, {row.precision} | {share:.1f} % | "
                  f"at most 6 %: {'yes' if share <= 6 else 'no'} |")
    if "sinkhorn" in found:
        ms = float(found["sinkhorn"]["vmoe"]["median_ms"])
        print(f"| Sinkhorn, 12,608 tokens x 32 experts, 100 iterations, one core | {ms:.1f} ms | "
              f"at most 25 ms: {'yes' if ms <= 25 else 'no'} |")


def main(_, words):
    p = rounds.parser(__doc__)
    p.add_argument("--list", action="store_true", help="the rows' names")
    p.add_argument("--row", nargs="+", default=[], metavar="NAME", help="which, default all")
    p.add_argument("--peers", nargs="+", help="only these programs beside ours")
    p.add_argument("--to", metavar="FILE", help="CSV that lines are added to")
    p.add_argument("--markdown", metavar="FILE", help="prints the table that a CSV holds")
    args = rounds.parse(p, words)
    names = [*ROWS, "sinkhorn"]
    unknown = [name for name in args.row if name not in names]
    if unknown:
        p.error(f"no row is named '{unknown[0]}'")
    if args.list:
        print("\n".join(names))
    elif args.markdown:
        markdown(args.markdown)
    else:
        for name in args.row or names:
            write(sinkhorn(args) if name == "sinkhorn" else measure(ROWS[name], args), args.to)
