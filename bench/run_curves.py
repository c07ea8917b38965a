"""run_curves.py - bench/run curves: loss of runs in bf16 beside seeds in fp32, as an SVG on stdout.

    for s in 1 2 3; do for p in fp32 bf16; do
        vmoe train --recipe quickstart --set train.epochs=2 --seed $s --precision $p --data ... --out runs/$p-$s
    done; done
    bench/run curves runs/fp32-? --bf16 runs/bf16-? > docs/bf16.svg

The band runs from the smallest to the largest loss of the fp32 seeds at each logging step. What it says in
numbers goes to stderr: seed by seed the mean distance of bf16's loss from fp32's of the same seed, beside the
mean distance of two fp32 seeds; evaluation losses and accuracies.
"""

import argparse
import itertools
import json
import math
import pathlib
import statistics
import sys

WIDTH, HEIGHT, LEFT, TOP = 620, 300, 56, 54
STYLE = """
 .paper{fill:#fff} text{font:12px system-ui,sans-serif;fill:#1d2733} .soft{fill:#667384;font-size:11px}
 .grid{stroke:#dde3ea} .band{fill:#2b6cb0;fill-opacity:.25} .mean{stroke:#2b6cb0;stroke-width:1.5;fill:none}
 .low{stroke:#d97a1f;stroke-width:1.2;fill:none}
 @media(prefers-color-scheme:dark){.paper{fill:#14191f} text{fill:#e4e9ef} .soft{fill:#94a1b0}
 .grid{stroke:#2e3843} .band{fill:#63a4e8} .mean{stroke:#63a4e8} .low{stroke:#f0a04b}}
"""


def read(folder):
    """{step: training loss}, last evaluation of a run."""
    losses, last = {}, None
    with open(pathlib.Path(folder) / "metrics.jsonl") as stream:
        for line in map(json.loads, stream):
            if line["kind"] == "train":
                losses[line["step"]] = line["loss"]
            else:
                last = line
    return losses, last


def distance(a, b, steps):
    return statistics.mean(abs(a[s] - b[s]) for s in steps)


def report(fp32, bf16, steps):
    seeds = [distance(a, b, steps) for (a, _), (b, _) in itertools.combinations(fp32, 2)]
    pairs = [distance(a, b, steps) for (a, _), (b, _) in zip(fp32, bf16)]
    print(f"mean distance of training loss: two fp32 seeds {min(seeds):.4f} to {max(seeds):.4f}; "
          f"bf16 from fp32 of its seed {min(pairs):.4f} to {max(pairs):.4f}", file=sys.stderr)
    inside = sum(min(f[s] for f, _ in fp32) <= b[s] <= max(f[s] for f, _ in fp32)
                 for b, _ in bf16 for s in steps)
    print(f"bf16 points inside the band of the fp32 seeds: {inside} of {len(bf16) * len(steps)}", file=sys.stderr)
    for name, runs in (("fp32", fp32), ("bf16", bf16)):
        print(name, "evaluation:", ", ".join(f"loss {last['loss']:.4f} top-1 {100 * last['accuracy']:.2f} %"
                                             for _, last in runs), file=sys.stderr)


def ticks(low, high):
    """About five round numbers from low to high."""
    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * f for f in (1, 2, 2.5, 5, 10) if power * f >= rough)
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def draw(fp32, bf16, steps, title):
    low = [min(f[s] for f, _ in fp32) for s in steps]
    high = [max(f[s] for f, _ in fp32) for s in steps]
    floor = 0.9 * min(low + [b[s] for b, _ in bf16 for s in steps])
    roof = 1.02 * max(high + [b[s] for b, _ in bf16 for s in steps])

    def x(step):
        return LEFT + (step - steps[0]) / (steps[-1] - steps[0]) * WIDTH

    def y(loss):
        return TOP + HEIGHT - (loss - floor) / (roof - floor) * HEIGHT

    def points(values, order=1):
        return " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in list(zip(steps, values))[::order])

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 20} {TOP + HEIGHT + 46}" '
           f'width="{LEFT + WIDTH + 20}" height="{TOP + HEIGHT + 46}">', f"<style>{STYLE}</style>",
           '<rect class="paper" width="100%" height="100%"/>', f'<text x="{LEFT}" y="18">{title}</text>',
           f'<rect class="band" x="{LEFT}" y="30" width="26" height="10"/>'
           f'<text class="soft" x="{LEFT + 32}" y="39">fp32, {len(fp32)} seeds: least to most, mean</text>'
           f'<line class="low" x1="{LEFT + 240}" x2="{LEFT + 266}" y1="35" y2="35"/>'
           f'<text class="soft" x="{LEFT + 272}" y="39">bf16, {len(bf16)} seeds</text>']
    for value in ticks(floor, roof):
        out.append(f'<line class="grid" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
                   f'<text class="soft" x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    for step in ticks(steps[0], steps[-1]):
        out.append(f'<text class="soft" x="{x(step):.1f}" y="{TOP + HEIGHT + 16}" text-anchor="middle">'
                   f'{step:.0f}</text>')
    out.append(f'<text class="soft" x="{LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 34}" text-anchor="middle">step</text>')
    out.append(f'<polygon class="band" points="{points(low)} {points(high, -1)}"/>')
    mean = [statistics.mean(f[s] for f, _ in fp32) for s in steps]
    out.append(f'<polyline class="mean" points="{points(mean)}"/>')
    out += [f'<polyline class="low" points="{points([b[s] for s in steps])}"/>' for b, _ in bf16]
    print("\n".join(out + ["</svg>"]))


def main(_, words):
    p = argparse.ArgumentParser(prog="bench/run curves", description=__doc__.splitlines()[0])
    p.add_argument("fp32", nargs="+", metavar="RUN", help="runs in fp32, seed by seed")
    p.add_argument("--bf16", nargs="+", required=True, metavar="RUN", help="the same seeds in bf16")
    p.add_argument("--title", default="Training loss")
    args = p.parse_args(words)
    fp32, bf16 = ([read(folder) for folder in folders] for folders in (args.fp32, args.bf16))
    steps = sorted(set.intersection(*(set(losses) for losses, _ in fp32 + bf16)))
    if len(fp32) < 2 or len(steps) < 2:
        p.error("two seeds in fp32 and two logged steps at least")
    report(fp32, bf16, steps)
    draw(fp32, bf16, steps, args.title)
