"""referee.py - is what an attack report claims true? Judged from its files alone, without our code.

    referee.py DIR MODEL [--batch 64] [--agree 0.99]

DIR is what `vmoe attack --out DIR` wrote: report.json, samples.csv, adv.npy, clean.npy, labels.npy. NumPy
measures budgets and range; the network is computed a second time in PyTorch (vmoe_torch.py, double precision)
from MODEL, whose hash must be the report's. Each line that is printed says what was measured, and the exit status is 1
when one says WRONG:

 - every example is finite, lies in [0, 1] to 1e-7 and in its budget to 1e-6 (l2, l1: 1e-6 + 1e-5 eps);
 - an image that is not broken on the clean side keeps its label's prediction, one that was wrong from the start is
   the clean image itself;
 - of those reported broken at least --agree are misclassified, of those reported robust at least that many
   are not (on the stored example);
 - counts, intervals (Wilson, 95 %) and norms in report.json and samples.csv are those of the files.
"""

import argparse
import csv
import hashlib
import json
import math
import pathlib
import sys

import numpy as np
import torch

from vmoe_torch import Network

RANGE = 1e-7
Z = 1.959964  # of the 95 % interval


class Verdict:
    def __init__(self):
        self.wrong = 0

    def say(self, fine, text):
        self.wrong += not fine
        print(("ok     " if fine else "WRONG  ") + text)


def strict(path):
    def refuse(word):
        raise ValueError(f"{path} holds {word}")

    return json.loads(path.read_text(), parse_constant=refuse)


def wilson(k, n):
    p, q = k / n, Z * Z / n
    middle, half = (p + q / 2) / (1 + q), Z * math.sqrt(p * (1 - p) / n + q / (4 * n)) / (1 + q)
    return middle - half, middle + half


def norms(adv, clean, norm):
    d = (adv.astype(np.float64) - clean.astype(np.float64)).reshape(len(adv), -1)
    if norm == "linf":
        return np.abs(d).max(1)
    return np.sqrt((d * d).sum(1)) if norm == "l2" else np.abs(d).sum(1)


def predictions(network, images, batch):
    """arg max of the logits, and the margin of the best over the second, of images [n, C, S, S] in [0, 1]."""
    channels = images.shape[1]
    mean = torch.tensor(network.config["mean"][:channels], dtype=torch.float64).view(1, -1, 1, 1)
    std = torch.tensor(network.config["std"][:channels], dtype=torch.float64).view(1, -1, 1, 1)
    parts = []
    with torch.no_grad():
        for i in range(0, len(images), batch):
            x = torch.from_numpy(images[i : i + batch].astype(np.float64))
            parts.append(network.forward((x - mean) / std).logits)
    return torch.cat(parts).argmax(1).numpy()


def load_network(path, mode):
    network = Network.load(path, torch.float64)
    if mode == "dropless":
        network.moe["eval_capacity"] = 0.0
    elif mode == "per_sample":
        network.moe["group_images"] = 1
    return network


def judge_budgets(v, report, rows, adv, clean):
    eps, norm = report["threat"]["eps"], report["threat"]["norm"]
    slack = 1e-6 if norm == "linf" else 1e-6 + 1e-5 * eps
    size = norms(adv, clean, norm)
    broken = np.array([row["broken"] == "1" for row in rows])
    v.say(np.isfinite(adv).all() and np.isfinite(clean).all(), "all pixels are finite")
    v.say(clean.min() >= 0 and clean.max() <= 1, f"clean pixels lie in [{clean.min()}, {clean.max()}]")
    v.say(adv.min() >= -RANGE and adv.max() <= 1 + RANGE,
          f"adversarial pixels lie in [{adv.min()}, {adv.max()}]")
    v.say((size <= eps + slack).all(),
          f"largest {norm} norm {size.max():.9g} of {len(size)}, budget {eps:.9g} + {slack:.2g}")
    v.say((size[broken] > 0).all(), f"{broken.sum()} broken examples differ from their images")
    told = np.array([float(row["norm"] or "nan") for row in rows])
    same = np.isclose(told, size, rtol=1e-5, atol=1e-6) | np.isnan(told)
    v.say(same.all(), f"norms in samples.csv are those of the files ({(~same).sum()} differ)")
    wrong = np.array([row["clean_pred"] != row["y"] for row in rows])
    v.say((size[wrong] == 0).all(), f"{wrong.sum()} images wrong from the start were left alone")
    return broken, wrong


def judge_counts(v, report, rows, broken, wrong):
    n = len(rows)
    right, robust = n - wrong.sum(), n - wrong.sum() - broken.sum()
    told = report["clean"]["k"], report["worst_case"]["k"]
    v.say(told == (right, robust),
          f"report: {told[0]} right, {told[1]} robust of {n}; samples.csv: {right}, {robust}")
    for name, k in (("clean", right), ("worst_case", robust)):
        low, high = report[name]["ci95"]
        expected = wilson(k, n)
        v.say(abs(low - expected[0]) < 1e-6 and abs(high - expected[1]) < 1e-6,
              f"{name}: Wilson interval [{low:.4f}, {high:.4f}]")


def judge_predictions(v, report, rows, network, arrays, masks, batch, agree):
    adv, clean, labels = arrays
    broken, wrong = masks
    on_clean = predictions(network, clean, batch)
    on_adv = predictions(network, adv, batch)
    told_clean = np.array([int(row["clean_pred"]) for row in rows])
    told_adv = np.array([int(row["adv_pred"]) for row in rows])

    def share(what, mask, good):
        if mask.sum() > 0:
            part = good[mask].mean()
            v.say(part >= agree, f"{what}: {good[mask].sum()} of {mask.sum()} ({100 * part:.2f} %)")

    everything = np.ones(len(labels), bool)
    share("clean predictions are PyTorch's", everything, on_clean == told_clean)
    share("reported broken, misclassified in PyTorch", broken, on_adv != labels)
    share("reported robust, right in PyTorch", ~broken & ~wrong, on_adv == labels)
    share("adversarial predictions are PyTorch's", broken, on_adv == told_adv)
    rounded = np.rint(adv.astype(np.float64) * 255) / 255
    on_rounded = predictions(network, rounded, batch)
    kept = broken & (on_rounded != labels)
    u8 = (~wrong).sum() - kept.sum()
    print(f"       after rounding to 8 bits {kept.sum()} of {broken.sum()} stay broken: accuracy "
          f"{u8 / len(labels):.4f}, report {report['attacks'][-1]['acc_after_u8']:.4f} after the last attack")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--agree", type=float, default=0.99)
    args = parser.parse_args()

    report = strict(args.dir / "report.json")
    with open(args.dir / report["samples_file"], newline="") as file:
        rows = list(csv.DictReader(file))
    adv, clean = np.load(args.dir / report["adv_file"]), np.load(args.dir / "clean.npy")
    labels = np.load(args.dir / "labels.npy")

    v = Verdict()
    digest = hashlib.sha256(args.model.read_bytes()).hexdigest()
    v.say(digest == report["model"]["sha256"], f"model {digest[:16]}...")
    v.say(report["schema"] == "moe-attack-report" and report["version"] == 1,
          f"schema {report['schema']} {report['version']}" + ("" if report["complete"] else ", a stopped run"))
    fits = adv.shape == clean.shape and len(adv) == len(labels) == len(rows) == report["data"]["n"]
    v.say(fits and list(adv.shape[1:]) == report["data"]["image"] and adv.dtype == np.float32,
          f"adv {adv.shape} {adv.dtype}, clean {clean.shape}, labels {labels.shape}, {len(rows)} rows")
    if not fits:
        return 1
    v.say((labels == [int(row["y"]) for row in rows]).all(), "labels.npy is column y of samples.csv")
    masks = judge_budgets(v, report, rows, adv, clean)
    judge_counts(v, report, rows, *masks)
    network = load_network(args.model, report["model"]["routing_mode"])
    judge_predictions(v, report, rows, network, (adv, clean, labels), masks, args.batch, args.agree)
    print("all claims hold" if v.wrong == 0 else f"{v.wrong} claims do not hold")
    return 0 if v.wrong == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
