#!/usr/bin/env python3
"""attack_referees.py [--net]: tests/golden/attack_referees.{safetensors,tsv}

What AutoAttack (pyautoattack 0.2.0, the published code) and foolbox (3.3.4) say of 100 images of a small trained
network, z = W2 tanh(W1 (x - 0.5)) + b on 3 x 10 x 10 pixels, 10 classes. --net draws images and trains the network anew
(torch); without it they are read from the file, so that the verdicts can be made again. foolbox in double precision,
AutoAttack in float32, in which it is used: in double it counts as rises what is lost in float32 rounding, keeps its
steps long, and ends up to 1 % lower in L2.

    attack_referees.safetensors  w1, w2, bias, images (bytes), labels, and of the first 20 images foolbox's examples
    attack_referees.tsv          attack, image, label, figure, second figure (-: none)

    fgsm-NORM                    1: wrongly classified after the step
    pgd-NORM                     first step after which it is, -1: none
    apgd-LOSS-NORM               1: broken; highest loss met, - where that point is of the other verdict. AutoAttack's
                                 own loop from our start (the keyed draws of base/random.c), with the one thing that
                                 attacks/methods/apgd.c says is different: the first step counts as a rise against
                                 the start, not against an empty slot
    apgd-t-linf                  1: broken; the same, class after class
    fab-NORM, fab-t-NORM         smallest norm found
    cw-l2, deepfool-NORM         the norm found
    random-ATTACK                in how many of 10 runs with AutoAttack's own draws it is broken; nothing is changed but
                                 that Square's squares may lie at the last row and column too

tests/test_attack_referees.c compares.
"""
import json
import math
import struct
import sys
from pathlib import Path

import foolbox
import numpy as np
import torch
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from pyautoattack.fab_pt import FABAttack_PT
from pyautoattack.square import SquareAttack

sys.path.insert(0, str(Path(__file__).resolve().parent))
from attack_reference import f32, lane  # noqa: E402

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "attack_referees"
N, SHAPE, HIDDEN, CLASSES, KEPT = 100, (3, 10, 10), 16, 10, 20
D = math.prod(SHAPE)
EPS = {"Linf": 6 / 255, "L2": 0.25}
PGD_STEPS, QUERIES, RUNS = 10, 300, 10
ALPHA = {"Linf": 1 / 255, "L2": 0.05}

torch.set_default_dtype(torch.float64)


class Net(torch.nn.Module):
    def __init__(self, w1, w2, bias):
        super().__init__()
        self.w1, self.w2, self.bias = (torch.nn.Parameter(torch.as_tensor(v)) for v in (w1, w2, bias))

    def forward(self, x):
        h = torch.tanh((x.double().flatten(1) - 0.5) @ self.w1.T)
        return h @ self.w2.T + self.bias


def train():
    """Ten blurred patterns, noise over them; a network that is not sure of them."""
    rng = np.random.default_rng(15)
    grid = np.stack(np.meshgrid(np.arange(10), np.arange(10)), -1)
    patterns = np.zeros((CLASSES, *SHAPE))
    for c in range(CLASSES):
        for _ in range(5):
            centre, channel, sign = rng.uniform(0, 9, 2), rng.integers(3), rng.choice([-1, 1])
            patterns[c, channel] += sign * 0.18 * np.exp(-((grid - centre) ** 2).sum(-1) / 4)

    def draw(count):
        labels = rng.integers(CLASSES, size=count)
        x = 0.5 + patterns[labels] + rng.normal(0, 0.33, (count, *SHAPE))
        return np.round(255 * np.clip(x, 0, 1)).astype(np.uint8), labels

    torch.manual_seed(15)
    net = Net(torch.randn(HIDDEN, D) / math.sqrt(D), torch.randn(CLASSES, HIDDEN) / 4, torch.zeros(CLASSES))
    adam = torch.optim.Adam(net.parameters(), 0.01, weight_decay=1e-4)
    for _ in range(300):
        pixels, labels = draw(64)
        adam.zero_grad()
        torch.nn.functional.cross_entropy(net(torch.as_tensor(pixels / 255)), torch.as_tensor(labels)).backward()
        adam.step()
    pixels, labels = draw(N)
    tensors = {name: getattr(net, name).detach().numpy().astype(np.float32) for name in ("w1", "w2", "bias")}
    return tensors | {"images": pixels, "labels": labels.astype(np.uint8)}


def read_tensors(path):
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    out = {}
    for name, t in json.loads(raw[8 : 8 + size]).items():
        first, last = (8 + size + at for at in t["data_offsets"])
        out[name] = np.frombuffer(raw[first:last], {"F32": "<f4", "U8": "u1"}[t["dtype"]]).reshape(t["shape"])
    return out


def write_tensors(path, tensors):
    header, data = {}, b""
    for name, value in tensors.items():
        raw = np.ascontiguousarray(value).tobytes()
        dtype = "U8" if value.dtype == np.uint8 else "F32"
        header[name] = {"dtype": dtype, "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(struct.pack("<Q", len(head)) + head + data)


# ---- foolbox ---------------------------------------------------------------------------------------


def distance(a, b, norm):
    d = (a - b).flatten(1)
    return d.abs().amax(1) if norm == "Linf" else d.square().sum(1).sqrt()


def foolbox_steps(net, x, y, norm, kind):
    """Per image the first step after which it is wrong (-1), and the example that we would keep: that step's,
    or where no step is wrong the one of the highest loss. foolbox makes the iterates."""
    model, found = foolbox.PyTorchModel(net, bounds=(0, 1)), torch.full((N,), -1)
    attack = getattr(foolbox.attacks, f"{norm}{kind}Attack")
    best, kept = torch.full((N,), -math.inf), x.clone()
    for step in range(PGD_STEPS + 1 if kind.startswith("Projected") else 2):
        if step == 0:
            v = x
        elif kind.startswith("Projected"):
            v = attack(abs_stepsize=ALPHA[norm], steps=step, random_start=False).run(model, x, y, epsilon=EPS[norm])
        else:
            v = attack(random_start=False).run(model, x, y, epsilon=EPS[norm])
        z = net(v).detach()
        loss = torch.nn.functional.cross_entropy(z, y, reduction="none")
        wrong, open_ = z.argmax(1) != y, found < 0
        better = open_ & (wrong | (loss > best))
        kept[better], best[better] = v[better], loss[better]
        found[open_ & wrong] = step
    return found.tolist(), kept


def foolbox_norms(net, x, y, norm, attack):
    model = foolbox.PyTorchModel(net, bounds=(0, 1))
    found = attack.run(model, x, foolbox.criteria.Misclassification(y))
    wrong = net(found).argmax(1) != y
    return [float(d) if w else math.inf for d, w in zip(distance(found, x, norm), wrong)]


# ---- AutoAttack from our starts --------------------------------------------------------------------


def start_of(name, x, sample, norm, rank):
    """begin of attacks/methods/apgd.c."""
    rng = lane(0, name, 0, rank, sample, 0)
    u = f32([2 * rng.uniform() - 1 if norm == "Linf" else rng.normal() for _ in range(D)])
    size = np.abs(u).max() if norm == "Linf" else math.sqrt((u * u).sum())
    return f32(x.double().numpy().reshape(-1) + EPS[norm] / size * u).reshape(SHAPE)


class Compared:
    """The first step's loss is compared with the start's: loss_steps[-1] is what the published code looks at."""

    start_loss = None

    def check_oscillation(self, x, j, k, y5, k3=0.75):
        if j - k < 0:
            x = x.clone()
            x[-1] = self.start_loss
        return super().check_oscillation(x, j, k, y5, k3)


class Untargeted(Compared, APGDAttack):
    pass


class Targeted(Compared, APGDAttack_targeted):
    pass


def apgd_run(net, attack, name, x, y, samples, norm, loss, rank=0):
    """AutoAttack's attack_single_run on these samples: broken, highest loss and whether that point is wrong."""
    attack.init_hyperparam(x)
    start = torch.as_tensor(np.stack([start_of(name, x[i], s, norm, rank) for i, s in enumerate(samples)])).float()
    attack.start_loss = loss(net(start.clamp(0, 1)).detach(), y)
    best, right, top, _ = attack.attack_single_run(x, y, x_init=start)
    return ~right.bool(), top.detach(), net(best).argmax(1) != y


def apgd(net, x, y, samples, norm, loss):
    attack = Untargeted(net, n_iter=100, norm=norm, eps=EPS[norm], loss=loss, device="cpu")
    value = attack.dlr_loss if loss == "dlr" else lambda z, t: torch.nn.functional.cross_entropy(z, t, reduction="none")
    broken, top, wrong = apgd_run(net, attack, "apgd-" + loss, x, y, samples, norm, value)
    return [(int(b), "%.6f" % t if b == w else "-") for b, t, w in zip(broken, top, wrong)]


def apgd_t(net, x, y, samples, norm):
    attack = Targeted(net, n_iter=100, norm=norm, eps=EPS[norm], device="cpu", n_target_classes=9)
    order, open_ = net(x).argsort(1), torch.ones(len(x), dtype=torch.bool)
    attack.loss = "dlr-targeted"
    for rank in range(9):
        at = open_.nonzero().squeeze(1)
        attack.y_target = order[at, -rank - 2]
        broken, _, _ = apgd_run(net, attack, "apgd-t", x[at], y[at], [samples[i] for i in at], norm,
                                attack.dlr_loss_targeted, rank)
        open_[at[broken]] = False
    return [int(not o) for o in open_]


# ---- AutoAttack as it is ---------------------------------------------------------------------------


def fab(net, x, y, norm, targeted):
    attack = FABAttack_PT(net, norm=norm, n_iter=40, eps=1e9, targeted=targeted, device="cpu")
    best = torch.full((len(x),), math.inf, dtype=torch.float64)
    for rank in range(2, 7) if targeted else [0]:
        attack.target_class = rank
        found = attack.attack_single_run(x, y, is_targeted=targeted)
        wrong = net(found).argmax(1) != y
        best = torch.where(wrong, torch.minimum(best, distance(found.double(), x, norm)), best)
    return best.tolist()


class Square(SquareAttack):
    """With all places of the paper: the published code draws below h - s, so that no square but the widest meets the
    last row and column."""

    def random_int(self, low=0, high=1, shape=[1]):
        return super().random_int(low, high + 1, shape)


def counts(net, x, y, make):
    """In how many runs each image is broken."""
    total = torch.zeros(len(x), dtype=torch.int64)
    for seed in range(RUNS):
        found = make(seed).perturb(x.float(), y)
        found = found[1] if isinstance(found, tuple) else found
        total += net(found).argmax(1) != y
    return total.tolist()


def main():
    path = GOLDEN.with_suffix(".safetensors")
    tensors = train() if "--net" in sys.argv else read_tensors(path)
    net = Net(*(tensors[name].astype(np.float64) for name in ("w1", "w2", "bias"))).eval()
    x = torch.as_tensor((tensors["images"].astype(np.float32) / np.float32(255)).astype(np.float64))
    y = torch.as_tensor(tensors["labels"].astype(np.int64))
    right = (net(x).argmax(1) == y).nonzero().squeeze(1)
    lines = []

    def put(name, samples, figures):
        for i, figure in zip(samples, figures):
            one, two = figure if isinstance(figure, tuple) else (figure, "-")
            one = one if isinstance(one, int) else "%.6f" % one
            lines.append(f"{name}\t{int(i)}\t{int(y[i])}\t{one}\t{two}")

    keep = {name: tensors[name] for name in ("w1", "w2", "bias", "images", "labels")}
    for norm in EPS:
        for name, kind in (("fgsm", "FastGradient"), ("pgd", "ProjectedGradientDescent")):
            found, kept = foolbox_steps(net, x, y, norm, kind)
            steps = found if name == "pgd" else [int(f >= 0) for f in found]
            put(f"{name}-{norm.lower()}", right, [steps[i] for i in right])
            keep[f"{name}-{norm.lower()}"] = kept[:KEPT].numpy().astype(np.float32)
    xr, yr, samples = x[right], y[right], right.tolist()
    for norm in EPS:
        deepfool = getattr(foolbox.attacks, f"{norm}DeepFoolAttack")(steps=50, overshoot=0.02)
        put(f"deepfool-{norm.lower()}", right, foolbox_norms(net, xr, yr, norm, deepfool))
    cw = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=6, steps=200, stepsize=0.01, initial_const=0.01, abort_early=False)
    put("cw-l2", right, foolbox_norms(net, xr, yr, "L2", cw))
    torch.set_default_dtype(torch.float32)

    def single(v):
        return net(v).float()

    for norm in EPS:
        put(f"fab-{norm.lower()}", right, fab(single, xr, yr, norm, False))
        put(f"fab-t-{norm.lower()}", right, fab(single, xr, yr, norm, True))
        for loss in ("ce", "dlr"):
            put(f"apgd-{loss}-{norm.lower()}", right, apgd(single, xr.float(), yr, samples, norm, loss))
        common = {"norm": norm, "eps": EPS[norm], "device": "cpu"}
        for loss in ("ce", "dlr"):
            put(f"random-apgd-{loss}-{norm.lower()}", right, counts(net, xr, yr, lambda seed: APGDAttack(
                single, n_iter=100, seed=seed, loss=loss, **common)))
        put(f"random-square-{norm.lower()}", right, counts(net, xr, yr, lambda seed: Square(
            single, n_queries=QUERIES, seed=seed, p_init=0.8, resc_schedule=False, **common)))
    put("apgd-t-linf", right, apgd_t(single, xr.float(), yr, samples, "Linf"))
    write_tensors(path, keep)
    print(f"# {len(right)} of {N} right", file=sys.stderr)
    GOLDEN.with_suffix(".tsv").write_text(
        "# attack_referees.py: attack, image, label, figure, second figure\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
