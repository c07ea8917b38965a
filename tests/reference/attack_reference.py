#!/usr/bin/env python3
"""attack_reference.py > tests/golden/attack_reference.tsv

CW-L2, FAB-T and Square once more, step by step from their pseudo-code (attacks.md 7), on numpy in
double precision, against the small network of tests/test_attack_net.h with the same keyed random
numbers: per image the smallest norm that CW and FAB-T find, and the query with which Square breaks it.
tests/test_attack_reference.c compares. With foolbox on the path (--foolbox) the last column of CW's lines is
the norm that foolbox's L2CarliniWagnerAttack finds, else -.
"""
import math
import struct
import sys

import numpy as np

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from philox import mix, philox4x32  # noqa: E402

N, SIDE, HIDDEN, CLASSES = 40, 8, 12, 5
D = SIDE * SIDE
TEST, ATTACK = 1, 12


class Stream:
    """base_rng of base/random.c."""

    def __init__(self, seed, purpose, a, b, c):
        h = 0
        for value in (seed, purpose, a, b, c):
            h = mix(h ^ value)
        self.key, self.block, self.words = (h & 0xFFFFFFFF, h >> 32), 0, []

    def u32(self):
        if not self.words:
            self.words = list(philox4x32((self.block, 0, 0, 0), self.key))
            self.block += 1
        return self.words.pop(0)

    def u64(self):
        low = self.u32()
        return self.u32() << 32 | low

    def uniform(self):
        return (self.u64() >> 11) * 2.0**-53

    def normal(self):
        radius = math.sqrt(-2 * math.log(1 - self.uniform()))
        return radius * math.cos(2 * math.pi * self.uniform())

    def below(self, limit):  # without the rejections, of probability limit / 2^64
        return self.u64() * limit >> 64


def lane(seed, name, restart, rank, sample, step):
    h = 0
    for word in [restart, rank] + [ord(c) for c in name]:
        h = mix(h ^ word)
    return Stream(seed, ATTACK, h, sample, step)


def f32(x):
    return np.asarray(x, np.float32).astype(np.float64)


class Net:
    def __init__(self, seed=1):
        rng = Stream(seed, TEST, 0, 0, 0)
        w1 = [4 * rng.normal() / math.sqrt(D) for _ in range(HIDDEN * D)]
        w2 = [4 * rng.normal() / math.sqrt(HIDDEN) for _ in range(CLASSES * HIDDEN)]
        self.w1, self.w2 = f32(w1).reshape(HIDDEN, D), f32(w2).reshape(CLASSES, HIDDEN)

    def logits(self, x):
        self.h = np.tanh((x - 0.5) @ self.w1.T)
        return self.h @ self.w2.T

    def gradient(self, d):
        """Of d . z at the last image."""
        return ((d @ self.w2) * (1 - self.h**2)) @ self.w1


def margin(z, y):
    """Highest other class, z_other - z_y."""
    other = np.where(np.arange(CLASSES) == y, -np.inf, z).argmax()
    return int(other), z[other] - z[y]


# ---- CW-L2 --------------------------------------------------------------------------------------


def cw(net, x, y, steps, rounds, c, lr, all_steps):
    low, high, best = 0.0, 0.0, math.inf
    for _ in range(rounds):
        w = np.arctanh((2 * x - 1) * 0.999999)
        m, v = np.zeros(D), np.zeros(D)
        succeeded, last = False, math.inf
        for step in range(steps + 1):
            point = (np.tanh(w) + 1) / 2
            z = net.logits(point)
            other, gain = margin(z, y)
            squared = ((point - x) ** 2).sum()
            if z.argmax() != y:
                succeeded, best = True, min(best, math.sqrt(squared))
            if step == steps:
                break
            loss = squared + c * max(-gain, 0)
            if step % (steps // 10) == 0:
                if not all_steps and loss > 0.9999 * last:
                    break
                last = loss
            pull = c if gain < 0 else 0
            g = 2 * (point - x) - pull * net.gradient(np.eye(CLASSES)[other] - np.eye(CLASSES)[y])
            g = g * 2 * point * (1 - point)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            w = w - lr * (m / (1 - 0.9 ** (step + 1))) / (np.sqrt(v / (1 - 0.999 ** (step + 1))) + 1e-8)
        if succeeded:
            high = min(high, c) if high > 0 else c
            c = (low + high) / 2
        else:
            low = max(low, c)
            c = (low + high) / 2 if high > 0 else 10 * c
    return best


# ---- FAB-T --------------------------------------------------------------------------------------


def plane_move(v, w, gap, norm):
    """Smallest d with w.d = gap and 0 <= v + d <= 1."""
    if gap < 0:
        w, gap = -w, -gap
    room = np.where(w > 0, 1 - v, np.where(w < 0, v, 0))
    if (np.abs(w) * room).sum() <= gap:
        return np.sign(w) * room
    low, high = 0.0, 1.0
    scale = np.ones(D) if norm == "linf" else np.abs(w)
    while (np.abs(w) * np.minimum(high * scale, room)).sum() < gap:
        high *= 2
    for _ in range(200):
        mid = (low + high) / 2
        low, high = (mid, high) if (np.abs(w) * np.minimum(mid * scale, room)).sum() < gap else (low, mid)
    return np.sign(w) * np.minimum(high * scale, room)


def size(d, norm):
    return np.abs(d).max() if norm == "linf" else math.sqrt((d * d).sum())


def fab_t(net, x, y, norm, steps, targets, alpha=0.1, eta=1.05, back=0.9):
    clean = net.logits(x)
    ranks = [c for c in np.argsort(-clean, kind="stable") if c != y][:targets]
    best = math.inf
    for target in ranks:
        point = x.copy()
        for _ in range(steps):
            z = net.logits(point)
            df = z[target] - z[y]
            w = net.gradient(np.eye(CLASSES)[target] - np.eye(CLASSES)[y])
            d1 = plane_move(point, w, -df, norm)
            d0 = plane_move(x, w, w @ (point - x) - df, norm)
            n1, n0 = max(size(d1, norm), 1e-8), max(size(d0, norm), 1e-8)
            a = min(n1 / (n1 + n0), alpha)
            point = np.clip((1 - a) * (point + eta * d1) + a * (x + eta * d0), 0, 1)
            if net.logits(point).argmax() != y:
                best = min(best, size(point - x, norm))
                point = np.clip(x + back * (point - x), 0, 1)
    return best


# ---- Square, Linf ----------------------------------------------------------------------------------


def square(net, x, y, sample, eps, queries, p0=0.8, seed=0):
    """The number of the query that breaks the image, 0 the start; -1: none."""
    image = x.reshape(SIDE, SIDE)

    def sign(rng):
        return 1.0 if rng.u32() & 1 else -1.0

    rng = lane(seed, "square", 0, 0, sample, 0)
    point = np.empty_like(image)
    for column in range(SIDE):
        point[:, column] = np.clip(f32(image[:, column] + sign(rng) * f32(eps)), 0, 1)
    best, held = None, None
    for step in range(queries + 1):
        z = net.logits(point.reshape(-1))
        _, gain = margin(z, y)
        if z.argmax() != y:
            return step
        if best is None or gain > best:
            best, held = gain, point
        if step == queries:
            return -1
        p = p0
        for limit in (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000):
            p = p / 2 if step > limit else p
        side = min(max(int(np.rint(math.sqrt(p * D))), 1), SIDE)
        rng = lane(seed, "square", 0, 0, sample, step + 1)
        top, left = rng.below(SIDE - side + 1), rng.below(SIDE - side + 1)
        point = held.copy()
        window = (slice(top, top + side), slice(left, left + side))
        point[window] = np.clip(f32(image[window] + sign(rng) * f32(eps)), 0, 1)
    return -1


# ---- foolbox ---------------------------------------------------------------------------------------


def foolbox_cw(net, images, labels, steps, rounds, c, lr):
    """Norms by foolbox's own loop; only the derivative of its loss is ours, for numpy has none."""
    import eagerpy as ep
    import foolbox
    from foolbox.attacks import carlini_wagner as module

    def numbers(x):
        return x.raw if hasattr(x, "raw") else x

    class Model(foolbox.models.Model):
        bounds = foolbox.types.Bounds(0, 1)

        def __call__(self, inputs):
            return ep.astensor(net.logits(numbers(inputs).astype(np.float64)).astype(np.float32))

    base = np.tanh(np.arctanh((2 * images - 1) * 0.999999)) / 2 + 0.5

    def value_and_grad_fn(_, function, has_aux):
        def call(delta, consts):
            loss, (x, logits) = function(delta, consts)
            v, z = numbers(x).astype(np.float64), numbers(logits)
            d = np.zeros((N, CLASSES))
            for i, y in enumerate(labels):
                other, gain = margin(z[i], y)
                if gain < 0:
                    d[i, other], d[i, y] = 1, -1
            net.logits(v)
            g = 2 * (v - base) - numbers(consts)[:, None] * net.gradient(d)
            return loss, (x, logits), ep.astensor((g * 2 * v * (1 - v)).astype(np.float32))

        return call

    module.ep.value_and_grad_fn = value_and_grad_fn
    attack = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=rounds, steps=steps, stepsize=lr, initial_const=c, abort_early=False
    )
    x = ep.astensor(images.astype(np.float32))
    found = attack.run(Model(), x, foolbox.criteria.Misclassification(ep.astensor(labels)))
    return np.sqrt(((numbers(found).astype(np.float64) - images) ** 2).sum(axis=1))


def main():
    net = Net()
    images, labels = np.empty((N, D)), np.empty(N, np.int64)
    for i in range(N):
        rng = Stream(1, TEST, 2, i, 0)
        images[i] = f32([0.1 + 0.8 * rng.uniform() for _ in range(D)])
        labels[i] = net.logits(images[i]).argmax()
    theirs = foolbox_cw(net, images, labels, 200, 6, 0.01, 0.01) if "--foolbox" in sys.argv else None
    print("# attack_reference.py: attack, image, label, figure, foolbox")
    for i in range(N):
        x, y = images[i], int(labels[i])
        other = "%.6f" % theirs[i] if theirs is not None else "-"
        print("cw-all", i, y, "%.6f" % cw(net, x, y, 200, 6, 0.01, 0.01, True), other, sep="\t")
        print("cw", i, y, "%.6f" % cw(net, x, y, 200, 6, 0.01, 0.01, False), "-", sep="\t")
        for norm in ("linf", "l2"):
            print("fab-t-" + norm, i, y, "%.6f" % fab_t(net, x, y, norm, 20, 3), "-", sep="\t")
        print("square", i, y, square(net, x, y, i, 0.02, 400), "-", sep="\t")


if __name__ == "__main__":
    main()
