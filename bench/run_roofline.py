"""run_roofline.py - bench/run roofline: parts of a pass as a table in markdown.

    bench/run roofline [--case step] [--precision fp32] [--batch N] SIZE ...

Operations and times come from `vmoe bench --json`. Bytes are estimated: every operand of a product is read and
every result written once; a part without products reads and writes the tensors that its formula names, once
each (norm: input, output, and backward again with its two gradients; softmax: scores in place; dispatch and
combine: rows of the tokens; optimiser: weight, gradient and two moments). What stays in a cache between two
parts costs less than that; what a part reads twice costs more. The copy rate beside it is measured here, one
process a thread.
"""

import json
import multiprocessing
import subprocess
import sys
import time

import rounds


def copy_rate(barrier, result):
    source, target = bytearray(b"x" * (128 << 20)), bytearray(128 << 20)
    target[:] = source
    barrier.wait()
    start = time.perf_counter()
    for _ in range(6):
        target[:] = source
    result.put(6 * 2 * len(source) / (time.perf_counter() - start))


def copy_bytes_per_second(threads):
    barrier, result = multiprocessing.Barrier(threads), multiprocessing.Queue()
    workers = [multiprocessing.Process(target=copy_rate, args=(barrier, result)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    rates = [result.get() for _ in workers]
    for worker in workers:
        worker.join()
    return sum(rates)


def shape_of(row):
    """Sizes of the network, read off its products."""
    by = {(p["name"], p["kind"]): p for p in row["products"]}
    qkv, scores = by["qkv", "forward"], by["scores", "forward"]
    experts = [p for p in row["products"] if p["name"] == "experts' fc2" and p["kind"] == "forward"]
    layers = qkv["count"]
    sparse = by[("router", "forward")]["count"] if ("router", "forward") in by else 0
    rows = sum(p["m"] * p["count"] for p in experts)
    return {"tokens": qkv["m"], "width": qkv["k"], "layers": layers, "sparse": sparse,
            "scores": scores["batch"] * scores["m"] * scores["n"] * layers, "rows": rows,
            "classes": by["head", "forward"]["n"], "parameters": row["parameters"]}


def extra_bytes(part, s, train):
    """Of parts without products, fp32."""
    stream = 4 * s["tokens"] * s["width"]
    return {
        "norm": stream * 2 * s["layers"] * (2 + (4 if train else 0)),
        "softmax": 4 * s["scores"] * (2 + (3 if train else 0)),
        "dispatch": 4 * s["rows"] * s["width"] * (2 + (2 if train else 0)),
        "combine": 4 * s["width"] * (s["rows"] + 2 * s["tokens"] * s["sparse"]) * (2 if train else 1),
        "optimizer": 4 * 8 * s["parameters"] if train else 0,
        "loss": 4 * 4 * s["batch"] * s["classes"],
    }.get(part, 0)


def product_bytes(p, precision):
    """Operands in the precision, results in fp32; the router's always in fp32."""
    size = 2 if precision == "bf16" and p["part"] != "router" else 4
    m, n, k = p["m"], p["n"], p["k"]
    return p["count"] * p["batch"] * (size * (m * k + k * n) + 4 * m * n)


def table(row, args, rate):
    s = shape_of(row)
    s["batch"] = row["batch"]
    train = row["case"] == "step"
    print(f"`{row['size']}`, {'training step' if train else 'inference'} of {row['batch']} images, "
          f"{args.precision}, {args.threads} threads: {row['median_ms']:.1f} ms, "
          f"{row['gflop_per_s']:.0f} of {row['ceiling_gflop_per_s']:.0f} GFLOP/s, "
          f"{100 * row['share']:.0f} % of the ceiling\n")
    print("| part | ms | of the pass | GFLOP | MB | FLOP/byte | GFLOP/s | of the ceiling | GB/s | of a copy |")
    print("|---" * 10 + "|")
    for part in row["parts"]:
        if part["ms"] < 5e-4 * row["median_ms"] and part["gflop"] == 0:
            continue
        moved = sum(product_bytes(p, args.precision) for p in row["products"] if p["part"] == part["name"])
        moved += extra_bytes(part["name"], s, train)
        seconds = part["ms"] / 1e3
        cells = [part["name"], f"{part['ms']:.2f}", f"{100 * part['ms'] / row['median_ms']:.1f} %"]
        cells.append(f"{part['gflop']:.2f}" if part["gflop"] else "")
        cells.append(f"{moved / 1e6:.0f}" if moved else "")
        cells.append(f"{part['gflop'] * 1e9 / moved:.0f}" if part["gflop"] and moved else "")
        cells.append(f"{part['gflop'] / seconds:.0f}" if part["gflop"] and seconds else "")
        cells.append(f"{100 * part['ceiling_ms'] / part['ms']:.0f} %" if part["gflop"] and seconds else "")
        cells.append(f"{moved / seconds / 1e9:.1f}" if moved and seconds else "")
        cells.append(f"{100 * moved / seconds / rate:.0f} %" if moved and seconds else "")
        print("| " + " | ".join(cells) + " |")
    print()


def main(_, words):
    p = rounds.parser(__doc__)
    p.add_argument("sizes", nargs="+", metavar="SIZE")
    p.add_argument("--case", choices=("step", "infer"), default="step")
    p.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    p.add_argument("--batch", type=int, default=32)
    args = rounds.parse(p, words)
    rate = copy_bytes_per_second(args.threads)
    print(f"Copying memory on {args.threads} threads: {rate / 1e9:.1f} GB/s (read and written bytes).\n")
    sys.stdout.flush()
    for size in args.sizes:
        done = subprocess.run([str(args.vmoe), "bench", args.case, size, "--batch", str(args.batch), "--threads",
                               str(args.threads), "--precision", args.precision, "--rounds", str(args.rounds),
                               "--warmup", str(args.warmup), "--json", "-"], stdout=subprocess.PIPE, check=True)
        table(json.loads(done.stdout)["results"][0], args, rate)
