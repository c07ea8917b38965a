#!/usr/bin/env python3
"""torch_attacks.py - our attacks beside PyTorch's on one checkpoint, at equal budgets.

    torch_attacks.py --vmoe build/apps/vmoe --model RUN --data DATA [--limit N] [--norm linf|l2|l1]
                     [--eps 8/255] [--only pgd,apgd-ce,...] [--no-speed]

`vmoe attack --mode individual` writes its images, labels and examples; torchattacks and pyautoattack
(a port of AutoAttack) then attack the same weights in PyTorch (tests/reference/vmoe_torch.py, which
shares no code with vit/) on the same images. For each attack: samples left by both programs, and those
that one broke and the other did not. Then every example of ours is read again and judged in PyTorch:
budget, range, prediction. Then images x steps a second of PGD without early stop. CSV on stdout.

differs, and stays: torchattacks judges PGD by its last iterate, ours by any; random starts are other
numbers. Needs torch, safetensors, torchattacks, pyautoattack. Exit status 1 when a count differs by more
than 1 % of the samples.
"""

import argparse
import csv
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "reference"))
from vmoe_torch import Network  # noqa: E402

ALLOWED = 0.01  # of the samples
BATCH = 100


class FastNetwork(Network):
    """With PyTorch's fused attention, for the comparison of speed."""

    def attention(self, x, name):
        w, heads = self.weights, self.config["heads"]
        batch, tokens, width = x.shape
        qkv = torch.nn.functional.linear(x, w[name + "qkv.weight"], w[name + "qkv.bias"])
        qkv = qkv.reshape(batch, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        y = torch.nn.functional.scaled_dot_product_attention(*qkv)
        y = y.transpose(1, 2).reshape(batch, tokens, width)
        return torch.nn.functional.linear(y, w[name + "proj.weight"], w[name + "proj.bias"])


class Pixels(torch.nn.Module):
    """The network on pixels in [0, 1]: mean and standard deviation inside."""

    def __init__(self, path, kind=Network):
        super().__init__()
        self.net = kind.load(path)
        for weight in self.net.weights.values():
            weight.requires_grad_(False)
        channels = self.net.config["channels"]
        shape = (1, channels, 1, 1)
        self.mean = torch.tensor(self.net.config["mean"][:channels]).reshape(shape)
        self.std = torch.tensor(self.net.config["std"][:channels]).reshape(shape)
        self.classes = self.net.config["classes"]
        self.dummy = torch.nn.Parameter(torch.zeros(1))  # torchattacks asks for a device

    def forward(self, x):
        return self.net.forward((x - self.mean) / self.std, train=False).logits


def fraction(text):
    above, _, below = text.partition("/")
    return float(above) / float(below or 1)


# ---- the peers: name -> (our spec, their function of model, norm, eps giving examples) -----------


def torchattacks_pgd(steps):
    def attack(model, norm, eps, x, y):
        import torchattacks

        if norm == "linf":
            return torchattacks.PGD(model, eps=eps, alpha=2.5 * eps / steps, steps=steps)(x, y)
        return torchattacks.PGDL2(model, eps=eps, alpha=2.5 * eps / steps, steps=steps)(x, y)

    return attack


def torchattacks_fgsm(model, norm, eps, x, y):
    import torchattacks

    return torchattacks.FGSM(model, eps=eps)(x, y)


def torchattacks_apgd(loss):
    def attack(model, norm, eps, x, y):
        import torchattacks

        name = {"linf": "Linf", "l2": "L2"}[norm]
        return torchattacks.APGD(model, norm=name, eps=eps, steps=100, n_restarts=1, loss=loss)(x, y)

    return attack


def autoattack(parts, queries=5000):
    def attack(model, norm, eps, x, y):
        from pyautoattack import AutoAttack

        name = {"linf": "Linf", "l2": "L2"}[norm]
        suite = AutoAttack(model, norm=name, eps=eps, version="custom", attacks=parts, seed=0)
        suite.apgd.n_restarts = 1
        suite.apgd_targeted.n_target_classes = suite.fab.n_target_classes = 9
        suite.apgd_targeted.n_restarts = suite.fab.n_restarts = 1
        suite.square.n_queries = queries
        return suite.run_standard_evaluation(x, y, batch_size=BATCH)[0]

    return attack


NAMES = {"linf": "Linf", "l2": "L2", "l1": "L1"}  # AutoAttack's


def fab_of(steps, targets):
    """targets 0: towards the nearest of all classes."""

    def attack(model, norm, eps, x, y):
        from pyautoattack.fab_pt import FABAttack_PT

        return FABAttack_PT(model, norm=NAMES[norm], eps=eps, n_iter=steps, targeted=targets > 0,
                            n_target_classes=max(targets, 1)).perturb(x, y)

    return attack


def square_of(queries):
    def attack(model, norm, eps, x, y):
        from pyautoattack.square import SquareAttack

        return SquareAttack(model, norm=NAMES[norm], eps=eps, n_queries=queries,
                            resc_schedule=False).perturb(x, y)

    return attack


def apgd_l1(loss, steps):
    def attack(model, norm, eps, x, y):
        from pyautoattack.autopgd_base import APGDAttack

        return APGDAttack(model, n_iter=steps, norm="L1", eps=eps, loss=loss,
                          use_largereps=True).perturb(x, y)

    return attack


def torchattacks_cw(steps, rates):
    """Its c is fixed: one run for each of rates, the smallest change of each sample counts."""

    def attack(model, norm, eps, x, y):
        import torchattacks

        best, size = x.clone(), torch.full((len(x),), float("inf"))
        for c in rates:
            v = torchattacks.CW(model, c=c, steps=steps, lr=0.01)(x, y)
            far = (v - x).flatten(1).norm(dim=1)
            better = ~right(model, v, y) & (far < size) & (far <= eps)
            best[better], size[better] = v[better], far[better]
        return best

    return attack


PEERS = [
    ("fgsm", "fgsm", "torchattacks", torchattacks_fgsm),
    ("pgd", "pgd:steps=20", "torchattacks", torchattacks_pgd(20)),
    ("apgd-ce", "apgd-ce", "torchattacks", torchattacks_apgd("ce")),
    ("apgd-ce", "apgd-ce", "pyautoattack", autoattack(["apgd-ce"])),
    ("apgd-dlr", "apgd-dlr", "torchattacks", torchattacks_apgd("dlr")),
    ("apgd-t", "apgd-t", "pyautoattack", autoattack(["apgd-t"])),
    ("fab-t", "fab-t", "pyautoattack", autoattack(["fab-t"])),
    ("square", "square:queries=1000", "pyautoattack", autoattack(["square"], 1000)),
    # shorter ones, for a busy machine: only by --only
    ("fab-30", "fab-t:targets=3,steps=30", "pyautoattack", fab_of(30, 3)),
    ("fab-all", "fab:steps=10", "pyautoattack", fab_of(10, 0)),
    ("square-500", "square:queries=500", "pyautoattack", square_of(500)),
    ("l1-ce", "apgd-ce:steps=50", "pyautoattack", apgd_l1("ce", 50)),
    ("l1-dlr", "apgd-dlr:steps=50", "pyautoattack", apgd_l1("dlr", 50)),
    # three rounds of the search, three values of c
    ("cw", "cw:steps=100,rounds=3,c=1,lr=0.01", "torchattacks", torchattacks_cw(100, (0.1, 1, 10))),
]
ONLY_NORM = {"fgsm": "linf", "cw": "l2", "l1-ce": "l1", "l1-dlr": "l1"}
SHORT = ("fab-30", "fab-all", "square-500")
IN_L1 = ("l1-ce", "l1-dlr", "fab-30", "fab-all")


def wanted(name, norm, only):
    if ONLY_NORM.get(name, norm) != norm or (norm == "l1" and name not in IN_L1):
        return False
    return name in only if only else name not in SHORT


def right(model, x, y):
    with torch.no_grad():
        return torch.cat([model(a).argmax(1) == b for a, b in zip(x.split(BATCH), y.split(BATCH))])


def run_ours(args, spec, folder):
    command = [args.vmoe, "attack", args.model, "--data", args.data, "--limit", args.limit,
               "--attack", spec, "--norm", args.norm, "--eps", args.eps, "--mode", "individual",
               "--threads", args.threads, "--checks", "off", "--quiet", "--out", folder]
    started = time.monotonic()
    done = subprocess.run([str(part) for part in command], stdout=subprocess.DEVNULL)
    if done.returncode != 0:
        sys.exit(f"torch_attacks: failed: {' '.join(map(str, command))}")
    with open(folder / "samples.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        "x": torch.from_numpy(np.load(folder / "clean.npy")),
        "y": torch.from_numpy(np.load(folder / "labels.npy").astype(np.int64)),
        "adv": torch.from_numpy(np.load(folder / "adv.npy")),
        "clean": torch.tensor([row["clean_pred"] == row["y"] for row in rows]),
        "broken": torch.tensor([row["broken"] == "1" for row in rows]),
        "report": json.loads((folder / "report.json").read_text()),
        "seconds": time.monotonic() - started,
    }


def judge(model, ours, norm, eps, say):
    """Our examples, read from the file by NumPy, judged by PyTorch."""
    x, adv = ours["x"].double(), ours["adv"].double()
    delta = (adv - x).flatten(1)
    size = {"linf": delta.abs().amax(1), "l2": delta.norm(dim=1), "l1": delta.abs().sum(1)}[norm]
    broken = ours["broken"]
    wrong = ~right(model, ours["adv"], ours["y"])
    agreed = (wrong & broken).sum().item() / max(1, broken.sum().item())
    over = max(0.0, size.max().item() - eps)
    outside = max(0.0, -adv.min().item(), adv.max().item() - 1)
    say(["examples", "wrong in PyTorch too", f"{agreed:.4f}", "over eps", f"{over:.2e}",
         "outside [0, 1]", f"{outside:.2e}"])
    return agreed >= 0.99 and over <= 1e-6 and outside <= 1e-7


def compare_speed(args, model, ours, say, folder, steps=20, turns=3):
    """PGD, every step for every image; both in turn, best of `turns`; the search's own seconds of
    ours, the clean images' pass is in neither."""
    x, y = ours["x"], ours["y"]
    best = [0.0, 0.0]
    for _ in range(turns):
        command = [args.vmoe, "attack", args.model, "--data", args.data, "--limit", args.limit,
                   "--attack", f"pgd:steps={steps}", "--norm", args.norm, "--eps", args.eps,
                   "--threads", args.threads, "--batch", BATCH, "--checks", "off", "--all-steps",
                   "--quiet", "--out", folder]
        subprocess.run([str(part) for part in command], stdout=subprocess.DEVNULL, check=True)
        attack = json.loads((folder / "report.json").read_text())["attacks"][0]
        best[0] = max(best[0], attack["evaluated"] * steps / attack["seconds"])
        started = time.monotonic()
        for a, b in zip(x.split(BATCH), y.split(BATCH)):
            torchattacks_pgd(steps)(model, args.norm, fraction(args.eps), a, b)
        best[1] = max(best[1], len(x) * steps / (time.monotonic() - started))
    say(["speed", "images x steps / s", f"{best[0]:.0f}", "torchattacks", f"{best[1]:.0f}",
         "ratio", f"{best[0] / best[1]:.2f}"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vmoe", default=HERE.parents[1] / "build" / "apps" / "vmoe")
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--limit", type=int, default=500)
    parser.add_argument("--norm", choices=("linf", "l2", "l1"), default="linf")
    parser.add_argument("--eps", default="8/255")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", help="attacks, separated by commas")
    parser.add_argument("--no-speed", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    eps = fraction(args.eps)
    only = args.only.split(",") if args.only else None
    path = pathlib.Path(args.model)
    if path.is_dir():
        path = next(p for p in (path / "best/model.safetensors", path / "model.safetensors")
                    if p.exists())
    model = Pixels(path).eval()
    out = csv.writer(sys.stdout)

    def say(row):
        out.writerow(row)
        sys.stdout.flush()

    good = True
    say(["attack", "peer", "samples", "clean", "left by vmoe", "left by peer", "difference",
         "only vmoe broke", "only peer broke", "seconds vmoe", "seconds peer"])
    with tempfile.TemporaryDirectory() as scratch:
        found = {}
        for name, spec, peer, attack in PEERS:
            if not wanted(name, args.norm, only):
                continue
            if spec not in found:
                found[spec] = run_ours(args, spec, pathlib.Path(scratch) / str(len(found)))
                good &= judge(model, found[spec], args.norm, eps, say)
            ours = found[spec]
            x, y = ours["x"], ours["y"]
            clean = right(model, x, y)
            if not torch.equal(clean, ours["clean"]):
                sys.exit("torch_attacks: the two programs disagree on clean images")
            started = time.monotonic()
            adv = x.clone()
            batches = torch.nonzero(clean).flatten().split(BATCH)
            for rows in batches:
                adv[rows] = attack(model, args.norm, eps, x[rows], y[rows]).detach()
            seconds = time.monotonic() - started
            theirs = clean & ~right(model, adv, y)
            n = len(x)
            left = [(clean & ~broken).sum().item() / n for broken in (ours["broken"], theirs)]
            good &= abs(left[0] - left[1]) <= ALLOWED
            say([name, peer, n, f"{clean.float().mean().item():.4f}", f"{left[0]:.4f}",
                 f"{left[1]:.4f}", f"{left[0] - left[1]:+.4f}",
                 (ours["broken"] & ~theirs).sum().item(), (theirs & ~ours["broken"]).sum().item(),
                 f"{ours['seconds']:.1f}", f"{seconds:.1f}"])
        if not args.no_speed and found:
            fast = Pixels(path, FastNetwork).eval()
            compare_speed(args, fast, ours, say, pathlib.Path(scratch) / "speed")
    sys.exit(not good)


if __name__ == "__main__":
    main()
