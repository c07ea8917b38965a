"""vmoe_torch.py - an independent judge: the network of vit/ written a second time, in PyTorch.

Nothing here is shared with the C code but the formulas' sources: Dosovitskiy et al. 2021 (ViT),
Riquelme et al. 2021 (V-MoE), Fedus et al. 2021 (balance loss), Zoph et al. 2022 (z-loss), Clark et
al. 2022 (Sinkhorn routing), Selective Sinkhorn Routing (arXiv 2511.08972), Teo and Nguyen 2024
(MomentumSMoE), van den Oord et al. 2018 (InfoNCE), and the reconstructions of routing.md 6, 7 and 8
(robust momentum, graph of tokens, S2MoE after secondary sources). All
gradients come from autograd; the Sinkhorn plan's by unrolling its iterations, not by the implicit
formula of the C code.

    model = Network.load("model.safetensors", dtype=torch.float64)
    out = model.forward(images, train=True)       # out.logits, out.aux, out.routing
    loss, grads, d_images = model.gradients(images, targets)

Needs torch, numpy and safetensors. `python vmoe_torch.py` checks the routers against routing.md's
golden numbers. Relied on elsewhere: make_golden.py, compare.py.
"""

import json
import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

# ---- routing -------------------------------------------------------------------------------


def top_k(score, k):
    """Indices [T, k] of the k largest entries of each row, descending, ties to the lower index."""
    order = torch.sort(score.detach(), dim=1, descending=True, stable=True).indices
    return order[:, :k]


def renorm(score, choice):
    """Softmax over the chosen entries of each row of score [T, E] (logits, not probabilities)."""
    return torch.softmax(score.gather(1, choice), dim=1)


def balance_loss(z, choice, count="first"):
    """Switch / GShard balance loss; `count` first: arg max only, all: every chosen expert."""
    tokens, experts = z.shape
    counted = choice[:, :1] if count == "first" else choice
    f = torch.bincount(counted.reshape(-1), minlength=experts).to(z.dtype) / counted.numel()
    return experts * (f * torch.softmax(z, 1).mean(0)).sum()


def z_loss(z):
    return torch.logsumexp(z, 1).square().mean()


def importance_loss(z):
    """Squared coefficient of variation of the experts' summed clean probabilities."""
    importance = torch.softmax(z, 1).sum(0)
    return importance.var(unbiased=False) / importance.mean() ** 2


def load_loss(z, z_noisy, k, sigma):
    """Squared coefficient of variation of the probability of being among the k best under new
    noise (Riquelme et al. 2021, appendix A). The threshold is the k-th best noisy logit."""
    threshold = z_noisy.gather(1, top_k(z_noisy, k)[:, k - 1 : k])
    u = (z - threshold) / sigma
    m = (0.5 * torch.erfc(-u / math.sqrt(2.0))).mean(0)
    return m.var(unbiased=False) / m.mean() ** 2


@dataclass
class Plan:
    log_plan: torch.Tensor  # [T, E], rows sum to 1 after exp
    potential: torch.Tensor  # g [E]
    iterations: int
    residual: float
    converged: bool
    residuals: list


def sinkhorn(cost, xi, max_iter=100, delta=1e-4, init="zero"):
    """Entropic transport with row sums 1 and column sums T/E, differentiable by unrolling.
    Stops like the specification: residual of the columns below delta * max(1, T/E)."""
    tokens, experts = cost.shape
    s = tokens / experts
    log_s = math.log(s)
    scaled = cost / xi
    g = torch.zeros(experts, dtype=cost.dtype)
    if init == "paper":
        g = log_s - torch.logsumexp(scaled, 0)
    residuals = []
    for n in range(1, max_iter + 1):
        log_plan = torch.log_softmax(scaled + g, 1)
        log_column = torch.logsumexp(log_plan, 0)
        residual = float((log_column.detach().exp() - s).norm())
        residuals.append(residual)
        if residual < delta * max(1.0, s):
            return Plan(log_plan, g, n, residual, True, residuals)
        if n < max_iter:
            g = g + log_s - log_column
            g = g - g.mean()
    return Plan(log_plan, g, max_iter, residual, False, residuals)


@dataclass
class Route:
    choice: torch.Tensor  # [T, k] experts, best first
    gate: torch.Tensor  # [T, k]
    aux: torch.Tensor  # weighted auxiliary loss of the group
    margin: float  # smallest gap between the k-th and the (k+1)-th score of a token
    plan: Plan = None


def score_margin(score, k):
    best = torch.sort(score.detach(), dim=1, descending=True).values
    if k >= best.shape[1]:
        return math.inf
    return float((best[:, k - 1] - best[:, k]).min())


def route_softmax(z, k, router, train, noise):
    p = torch.softmax(z, 1)
    choice = top_k(p, k)
    gate = router.get("gate", "auto")
    if gate == "auto":
        gate = "prob" if k == 1 else "renorm"
    a = p.gather(1, choice) if gate == "prob" else renorm(z, choice)
    aux = z.new_zeros(())
    if train:
        aux = aux + router.get("balance", 0.01) * balance_loss(
            z, choice, router.get("balance_count", "first"))
        aux = aux + router.get("z", 0.0) * z_loss(z)
    return Route(choice, a, aux, score_margin(p, k))


def route_vmoe(z, k, router, train, noise):
    experts = z.shape[1]
    sigma = router.get("noise", 1.0) / experts if train else 0.0
    noisy = z + sigma * noise if sigma > 0 else z
    p = torch.softmax(noisy, 1)
    choice = top_k(p, k)
    aux = z.new_zeros(())
    if train:
        aux = aux + router.get("importance", 0.005) * importance_loss(z)
        if sigma > 0:
            aux = aux + router.get("load", 0.005) * load_loss(z, noisy, k, sigma)
    return Route(choice, p.gather(1, choice), aux, score_margin(p, k))


def route_sinkhorn(z, k, router, train, noise):
    plan = None
    score = z
    if train:
        with torch.no_grad():
            plan = sinkhorn(z, router.get("xi", 1.0), int(router.get("max_iter", 100)),
                            router.get("delta", 1e-4))
            score = plan.log_plan
    choice = top_k(score, k)
    gate = router.get("gate", "auto")
    if gate == "auto":
        gate = "sigmoid" if k == 1 else "prob"
    a = (torch.sigmoid(z) if gate == "sigmoid" else torch.softmax(z, 1)).gather(1, choice)
    return Route(choice, a, z.new_zeros(()), score_margin(score.exp() if train else z, k), plan)


def route_ssr(z, k, router, train, noise, drawn=None):
    """drawn: whether this step is a Sinkhorn step; None decides for p = 0 and p = 1 only."""
    alpha = router.get("noise", 0.1) if train else 0.0
    p = router.get("p", 0.001) if train else 0.0
    if drawn is None:
        if 0 < p < 1:
            raise ValueError("ssr with 0 < p < 1 needs drawn")
        drawn = p >= 1
    softmax_cost = router.get("cost", "linear") == "softmax"
    if not (train and drawn):
        noisy = z + alpha * noise if alpha > 0 else z
        p_noisy = torch.softmax(noisy, 1)
        choice = top_k(p_noisy, k)
        a = p_noisy.gather(1, choice) if k == 1 else renorm(noisy, choice)
        return Route(choice, a, z.new_zeros(()), score_margin(p_noisy, k))
    xi = router.get("xi", "auto")
    if xi in ("auto", None) or (isinstance(xi, float) and math.isnan(xi)):
        xi = 0.5 if softmax_cost else 1.0
    where = router.get("noise_ot", "cost")
    logits = z + alpha * noise if where == "logits" and alpha > 0 else z
    cost = torch.softmax(logits, 1) if softmax_cost else logits
    if where == "cost" and alpha > 0:
        cost = cost + alpha * noise
    mode = router.get("gradient", "exact")
    plan = sinkhorn(cost, xi, int(router.get("max_iter", 100)), router.get("delta", 1e-4),
                    router.get("init", "zero"))
    score = plan.log_plan
    if mode == "frozen":
        score = torch.log_softmax(cost / xi + plan.potential.detach(), 1)
    elif mode == "none":
        score = score.detach()
    choice = top_k(score, k)
    a = score.exp().gather(1, choice) if k == 1 else renorm(score, choice)
    return Route(choice, a, z.new_zeros(()), score_margin(score.exp(), k), plan)


def route_graph(z, k, router, train, sim):
    """Scores mixed over the tokens of an image by sim [T, T] (routing.md 7, a reconstruction)."""
    share = router.get("lambda", 1.0)
    if router.get("mix", "prob") == "logit":
        q = torch.softmax((1 - share) * z + share * (sim @ z), 1)
    else:
        p = torch.softmax(z, 1)
        q = (1 - share) * p + share * (sim @ p)
    choice = top_k(q, k)
    gate = router.get("gate", "auto")
    a = q.gather(1, choice)
    if gate == "renorm" or (gate == "auto" and k >= 2):
        a = a / a.sum(1, keepdim=True)
    aux = z.new_zeros(())
    if train:
        aux = aux + router.get("balance", 0.01) * balance_loss(
            z, choice, router.get("balance_count", "first"))
        aux = aux + router.get("z", 0.0) * z_loss(z)
    return Route(choice, a, aux, score_margin(q, k))


def similarities(x, router, weight=None, attention=None):
    """[T, T] of all images, zero between them; x [B, N, D], attention [B, H, N, N]."""
    if router["name"] == "attention":
        sim = attention.mean(1)
    else:
        left = x if weight is None else x @ weight
        sim = torch.softmax(left @ x.transpose(1, 2) /
                            (math.sqrt(x.shape[2]) * router.get("tau", 1.0)), 2)
    return torch.block_diag(*(sim.detach() if router.get("detach_sim") == "on" else sim))


# ---- routers whose tokens compete; cosine logits (routing.md 3, 5, 9, 10) ------------------------


def scalings(cost, xi, iterations):
    """Cuturi's iterations from u = 1, columns first: diag(u) exp(cost / xi) diag(v)."""
    kernel = torch.exp(cost / xi)
    u = torch.ones(cost.shape[0], dtype=cost.dtype)
    for _ in range(iterations):
        v = cost.shape[0] / cost.shape[1] / (kernel.T @ u)
        u = 1 / (kernel @ v)
    return u[:, None] * kernel * v


def route_sinkhorn_ot(z, k, router, train, noise):
    sigma = router.get("noise", 1.0) / z.shape[1] if train else 0.0
    noisy = z + sigma * noise if sigma > 0 else z
    plan = scalings(noisy, router.get("xi", 1.0), int(router.get("iterations", 20)))
    choice = top_k(plan, k)
    by_plan = router.get("combine", "softmax") == "plan"
    gate = (plan if by_plan else torch.softmax(z, 1)).gather(1, choice)
    return Route(choice, gate, z.new_zeros(()), score_margin(plan, k))


def pairs(mask, gate):
    """[T, E] chosen pairs to choice [T, E], best first, -1 where a token has no more."""
    order = torch.sort(torch.where(mask, gate.detach(), -1.0), dim=1, descending=True,
                       stable=True).indices
    chosen = mask.gather(1, order)
    return torch.where(chosen, order, -1), torch.where(chosen, gate.gather(1, order), 0.0)


def largest(score, count):
    """Mask of the `count` largest of a vector, ties to the lower place; margin to the next."""
    order = torch.sort(score.detach(), descending=True, stable=True)
    mask = torch.zeros_like(score, dtype=torch.bool)
    mask[order.indices[:count]] = True
    inside = 0 < count < len(score)
    return mask, float(order.values[count - 1] - order.values[count]) if inside else math.inf


def route_usmoe(z, k, router, train, noise):
    alpha = router.get("alpha", 0.5)
    score = (1 - alpha) * torch.softmax(z, 1) + alpha * 2 / z.shape[1] * torch.sigmoid(z)
    budget = k if train else router.get("eval_k", k)
    mask, margin = largest(score.reshape(-1), math.floor(z.shape[0] * budget + 0.5))
    gate = score
    if router.get("divide", "none") == "row":
        gate = score / score.sum(1, keepdim=True)
    return Route(*pairs(mask.reshape(z.shape), gate), z.new_zeros(()), margin)


def route_expert_choice(z, k, router, train, noise):
    tokens, experts = z.shape
    sigma = router.get("noise", 1.0) / experts if train else 0.0
    p = torch.softmax(z + sigma * noise if sigma > 0 else z, 1)
    multiple = router.get("multiple", 1 if router.get("scope", "image") == "image" else 4)
    rows = min(capacity_of(tokens, experts, 1, router.get("cf", k), multiple), tokens)
    columns = [largest(p[:, e], rows) for e in range(experts)]
    mask = torch.stack([c[0] for c in columns], 1)
    return Route(*pairs(mask, p), z.new_zeros(()), min(c[1] for c in columns))


def cosines(x, weight, projection, router):
    """<W_r x, v / |v|> [T, E], of unit tokens unless variant = code."""
    r = x @ projection.T
    if router.get("variant", "paper") == "paper":
        r = F.normalize(r, dim=1, eps=1e-4)
    return r @ F.normalize(weight, dim=1, eps=1e-4).T


def route_xmoe(z, k, router, train, s):
    p = torch.softmax(z, 1)
    choice = top_k(p, k)
    gate = router.get("gate", "auto")
    if gate == "auto":
        gate = "prob" if k == 1 else "renorm"
    a = {"prob": p, "sigmoid": torch.sigmoid(z)}[gate].gather(1, choice) if gate != "renorm" \
        else renorm(z, choice)
    aux = z.new_zeros(())
    if train:
        fixed = router.get("balance_temperature",
                           0.3 if router.get("variant", "paper") == "paper" else 1.0)
        aux = router.get("balance", 0.01) * balance_loss(s / fixed, choice,
                                                         router.get("balance_count", "first"))
    return Route(choice, a, aux, score_margin(p, k))


# ---- two views of the tokens (routing.md 8) ----------------------------------------------------


def noisy_view(x, router, noise):
    """x [B, N, D] to n1 x + n2 with noise [2, B * N, D]; statistics per image, without gradient."""
    known = x.detach()
    mean, sd = torch.ones_like(known[:, :1]), torch.ones_like(known[:, :1])
    if router.get("statistics", "image") == "image":
        mean, sd = known.mean(1, keepdim=True), known.std(1, keepdim=True)
    eps = noise.reshape(2, *x.shape)
    sd = router.get("sd", 1.0) * sd
    return (1 + sd * eps[0]) * x + router.get("mu", 1.0) * mean + sd * eps[1]


def info_nce(a, b, temp):
    """Cross-entropy of finding row i of b by row i of a, both [T, D], by their cosines."""
    score = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / temp
    return F.cross_entropy(score, torch.arange(len(a)))


def contrast(first, second, router, per_image):
    """The weighted loss; the sampling of tokens from a large batch is not modelled."""
    if router.get("contrast_scope", "batch") == "batch":
        per_image = len(first)
    parts = [info_nce(a, b, router.get("temp", 1.0))
             for a, b in zip(first.split(per_image), second.split(per_image))]
    return router.get("uncertainty", 0.1) * torch.stack(parts).mean()


# ---- joins of a layer and the stream (routing.md 6) ------------------------------------------


def robust_numbers(router):
    """step, beta, eta of the robust momentum method from L, m and rho, unless given."""
    L, m, rho = (router.get(n, d) for n, d in (("L", 1.25), ("m", 0.1), ("rho", 0.8)))
    kappa = L / m
    step = kappa * (1 - rho) ** 2 * (1 + rho) / L
    beta = kappa * rho**3 / (kappa - 1)
    eta = rho**3 / ((kappa - 1) * (1 - rho) ** 2 * (1 + rho))
    return router.get("step", step), router.get("beta", beta), router.get("eta", eta)


class Join:
    """What consecutive MoE layers carry: enter(h) is what a layer reads, leave(h, y) the stream
    behind it. One a forward pass."""

    def __init__(self, router):
        self.router, self.first, self.carry = router, True, None

    def enter(self, h):
        if self.router["name"] != "robust-momentum" or self.first:
            return h
        return h + robust_numbers(self.router)[2] * (h - self.carry)

    def leave(self, h, y):
        r, first = self.router, self.first
        self.first = False
        if r["name"] == "robust-momentum":
            step, beta, _ = robust_numbers(r)
            before, self.carry = h if first else self.carry, h
            return h + beta * (h - before) + step * y
        if r["name"] not in ("momentum", "adam"):
            return h + y
        m = r.get("gamma", 1.0) * y + (0 if first else r.get("mu", 0.7) * self.carry)
        self.carry = m
        if r["name"] == "momentum" or not first:
            return h + m
        p, v = (1 - r.get("beta1", 0.9)) * y, (1 - r.get("beta2", 0.999)) * y.square()
        return (h + r.get("adam_gamma", 1.0) * p / torch.sqrt(v + r.get("eps", 1e-8))
                - r.get("kappa", 0.0) * h)


ROUTERS = {"momentum": route_softmax, "adam": route_softmax, "robust-momentum": route_softmax,
           "similarity": route_graph, "attention": route_graph,
           "softmax": route_softmax, "s2moe": route_softmax, "vmoe": route_vmoe, "sinkhorn": route_sinkhorn,
           "ssr": route_ssr, "sinkhorn-ot": route_sinkhorn_ot, "usmoe": route_usmoe,
           "expert-choice": route_expert_choice, "xmoe": route_xmoe}
# Tokens of these compete image by image, if no scope is given.
BY_IMAGE = ("sinkhorn-ot", "usmoe", "expert-choice")


def capacity_of(tokens, experts, k, factor, multiple):
    rows = math.ceil(k * tokens * factor / experts)
    return -(-rows // multiple) * multiple


def keep_mask(choice, gate, experts, capacity, priority):
    """[T, k] of bool by the position rule: choices in the outer loop, tokens in the inner one, in
    order of their largest gate when `priority` (batch-prioritised routing)."""
    tokens, k = choice.shape
    order = list(range(tokens))
    if priority:
        best = gate.detach().max(1).values.tolist()
        order.sort(key=lambda t: -best[t])
    used = [0] * experts
    kept = torch.zeros(tokens, k, dtype=torch.bool)
    chosen = choice.tolist()
    for j in range(k):
        for t in order:
            e = chosen[t][j]
            if e < 0:
                continue
            kept[t, j] = used[e] < capacity
            used[e] += 1
    return kept


def groups(batch, images, per_image):
    """Token ranges of the groups of `images` images; the last may be smaller."""
    return [slice(at * per_image, min(at + images, batch) * per_image)
            for at in range(0, batch, images)]


# ---- the network ---------------------------------------------------------------------------


@dataclass
class Output:
    logits: torch.Tensor  # [B, K]
    aux: torch.Tensor  # sum over layers of the mean over groups
    routing: list = field(default_factory=list)  # per MoE layer: dicts with choice, gate, kept


def sincos_2d(width, grid):
    """Fixed position embedding [grid * grid, width] of big_vision and of V-MoE's followers:
    sin x, cos x, sin y, cos y in quarters, temperature 10000 (Beyer et al. 2022)."""
    quarter = width // 4
    y, x = torch.meshgrid(torch.arange(grid, dtype=torch.float64),
                          torch.arange(grid, dtype=torch.float64), indexing="ij")
    omega = 1.0 / 10000.0 ** (torch.arange(quarter, dtype=torch.float64) / max(quarter - 1, 1))
    x, y = x.reshape(-1, 1) * omega, y.reshape(-1, 1) * omega
    return torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], 1)


class Network:
    """config: the dict of a checkpoint's `config`; weights: dict of tensors by timm's names."""

    def __init__(self, config, weights, dtype=torch.float32):
        self.config = config
        self.dtype = dtype
        self.weights = {n: w.to(dtype).requires_grad_(True) for n, w in weights.items()}
        moe = config.get("moe") or {}
        self.layers = set(moe.get("layers", []))
        self.moe = moe

    @classmethod
    def load(cls, path, dtype=torch.float32):
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            config = json.loads(file.metadata()["config"])
            weights = {name: file.get_tensor(name) for name in file.keys()}
        return cls(config, weights, dtype)

    def attention(self, x, name):
        w, heads = self.weights, self.config["heads"]
        batch, tokens, width = x.shape
        qkv = F.linear(x, w[name + "qkv.weight"], w[name + "qkv.bias"])
        q, k, v = qkv.reshape(batch, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        score = q @ k.transpose(2, 3) * (width // heads) ** -0.5
        attention = torch.softmax(score, 3)
        y = (attention @ v).transpose(1, 2).reshape(batch, tokens, width)
        return F.linear(y, w[name + "proj.weight"], w[name + "proj.bias"]), attention

    def gelu(self, x):
        return F.gelu(x, approximate="tanh" if self.config.get("gelu") == "tanh" else "none")

    def mlp(self, x, name):
        w = self.weights
        h = self.gelu(F.linear(x, w[name + "fc1.weight"], w[name + "fc1.bias"]))
        return F.linear(h, w[name + "fc2.weight"], w[name + "fc2.bias"])

    def combined(self, flat, name, choice, gate, kept):
        """Sum over the kept experts of each row of flat [T, D], weighted by the gates."""
        w = self.weights
        y = torch.zeros_like(flat)
        for e in range(self.moe["experts"]):
            token, rank = ((choice == e) & kept).nonzero(as_tuple=True)
            h = self.gelu(F.linear(flat[token], w[name + "experts.fc1.weight"][e],
                                   w[name + "experts.fc1.bias"][e]))
            h = F.linear(h, w[name + "experts.fc2.weight"][e], w[name + "experts.fc2.bias"][e])
            y = y.index_add(0, token, gate[token, rank].unsqueeze(1) * h)
        return y

    def experts(self, x, name, train, noise, drawn, attention=None):
        """x [B, N, D] -> (y, auxiliary loss, routing of the layer)."""
        w, moe = self.weights, self.moe
        batch, per_image, width = x.shape
        experts, k, router = moe["experts"], moe["k"], moe["router"]
        images = moe.get("group_images", 0) or batch
        flat = x.reshape(-1, width)
        s = None
        if router["name"] == "xmoe":
            s = cosines(flat, w[name + "router.weight"], w[name + "router.projection"], router)
            tau = w.get(name + "router.temperature")
            z = s if tau is None else s / tau.clamp(min=1e-4)
        else:
            z = flat @ w[name + "router.weight"].T
        factor = moe.get("capacity" if train else "eval_capacity", 0.0)
        priority = moe.get("bpr" if train else "eval_bpr", False)
        # A plan over the whole batch (scope = global) is one routing group; capacity keeps its own.
        scope = router.get("scope", "image" if router["name"] in BY_IMAGE else
                           "global" if router["name"] in ("sinkhorn", "ssr") else "group")
        together = {"global": batch, "group": images, "image": 1}[scope]
        graph = router["name"] in ("similarity", "attention")
        sim = similarities(x, router, w.get(name + "router.similarity.weight"),
                           attention) if graph else None
        choice, gate, aux, margin, plans = [], [], [], math.inf, []
        for part in groups(batch, together, per_image):
            extra = {"drawn": drawn} if router["name"] == "ssr" else {}
            given = None if noise is None or router["name"] == "s2moe" else noise[part]
            if graph:
                given = sim[part, part]
            elif s is not None:
                given = s[part]
            route = ROUTERS[router["name"]](z[part], k, router, train, given, **extra)
            choice.append(route.choice)
            gate.append(route.gate)
            aux.append(route.aux)
            plans.append(route.plan)
            margin = min(margin, route.margin)
        choice, gate = torch.cat(choice), torch.cat(gate)
        kept = torch.ones_like(choice, dtype=torch.bool)
        if factor > 0:
            for part in groups(batch, images, per_image):
                rows = capacity_of(part.stop - part.start, experts, k, factor,
                                   moe.get("capacity_multiple", 4))
                kept[part] = keep_mask(choice[part], gate[part], experts, rows, priority)
        y = self.combined(flat, name, choice, gate, kept)
        if router["name"] == "s2moe" and train:
            view = noisy_view(x, router, noise).reshape(-1, width)
            other = choice, gate, kept
            if router.get("view_routing", "same") == "own":
                r = route_softmax(view @ w[name + "router.weight"].T, k, router, False, None)
                margin = min(margin, r.margin)
                other = r.choice, r.gate, torch.ones_like(kept)
            noisy = self.combined(view, name, *other)
            pair = (flat, view) if router.get("contrast") == "inputs" else (y, noisy)
            aux = [torch.stack(aux).mean() + contrast(*pair, router, per_image)]
            q = torch.sigmoid(flat @ w[name + "router.mix.weight"].T
                              + w[name + "router.mix.bias"])
            y = q * y + (1 - q) * noisy
        info = {"choice": choice, "gate": gate.detach(), "kept": kept, "margin": margin,
                "plans": plans, "z": z.detach()}
        return y.reshape(x.shape), torch.stack(aux).mean(), info

    def forward(self, images, train=False, noise=None, drawn=None):
        """images [B, C, S, S], normalised. noise, drawn: per block index, eps [B * N, E] and the
        Bernoulli outcome of ssr. Dropout and stochastic depth are not modelled."""
        c, w = self.config, self.weights
        x = images.to(self.dtype)
        x = F.conv2d(x, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"],
                     stride=c["patch"]).flatten(2).transpose(1, 2)
        if c.get("position", "learned") == "sincos":
            x = x + sincos_2d(c["width"], c["image"] // c["patch"]).to(self.dtype)
        if c["pool"] == "token":
            x = torch.cat([w["cls_token"].expand(len(x), -1, -1), x], 1)
        if c.get("position", "learned") == "learned":
            x = x + w["pos_embed"]
        width = c["width"]
        aux, routing = x.new_zeros(()), []
        join = Join(self.moe["router"]) if self.moe else None
        for i in range(c["depth"]):
            name = f"blocks.{i}."
            h = F.layer_norm(x, (width,), w[name + "norm1.weight"], w[name + "norm1.bias"], 1e-6)
            y, attention = self.attention(h, name + "attn.")
            x = x + y
            h = join.enter(x) if i in self.layers else x
            h = F.layer_norm(h, (width,), w[name + "norm2.weight"], w[name + "norm2.bias"], 1e-6)
            if i in self.layers:
                y, loss, info = self.experts(h, name + "moe.", train, (noise or {}).get(i),
                                             (drawn or {}).get(i), attention)
                aux = aux + loss
                routing.append({"block": i, **info})
                x = join.leave(x, y)
            else:
                x = x + self.mlp(h, name + "mlp.")
        x = F.layer_norm(x, (width,), w["norm.weight"], w["norm.bias"], 1e-6)
        x = x[:, 0] if c["pool"] == "token" else x.mean(1)
        return Output(F.linear(x, w["head.weight"], w["head.bias"]), aux, routing)

    def gradients(self, images, targets, train=True, loss="softmax", noise=None, drawn=None):
        """(task loss, Output, gradients by name, d_images) of task loss + auxiliary losses."""
        for w in self.weights.values():
            w.grad = None
        x = images.to(self.dtype).clone().requires_grad_(True)
        out = self.forward(x, train, noise, drawn)
        task = task_loss(out.logits, targets.to(self.dtype), loss)
        (task + out.aux).backward()
        grads = {n: torch.zeros_like(w) if w.grad is None else w.grad.clone()
                 for n, w in self.weights.items()}
        return task.detach(), out, grads, x.grad


def task_loss(logits, targets, kind="softmax"):
    """Mean over the batch of the cross-entropy with soft targets [B, K]."""
    if kind == "softmax":
        return -(targets * torch.log_softmax(logits, 1)).sum(1).mean()
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1).mean()


# ---- check of the judge itself ---------------------------------------------------------------


def check():
    """The golden numbers of routing.md sections 0.4, 1, 2, 3, 4.12 and 6."""
    d = torch.float64
    Z = torch.tensor([[2, .5, -1], [1.5, 1, -.5], [1.8, -.3, .4], [.2, .9, .1]], dtype=d)
    worst = 0.0

    def same(what, got, want):
        nonlocal worst
        got = got.detach() if isinstance(got, torch.Tensor) else torch.tensor(got, dtype=d)
        want = torch.tensor(want, dtype=d)
        error = float(((got - want).abs() / want.abs().clamp(min=1.0)).max())
        worst = max(worst, error)
        if error > 6e-8:
            raise SystemExit(f"{what}: error {error:.3g}")

    def grad(f):
        z = Z.clone().requires_grad_(True)
        f(z).backward()
        return z.grad

    for got, want in zip(robust_numbers({"L": 10.0, "m": 1.0, "rho": 0.8}),
                         (.072, .56888889, .79012346)):
        same("robust momentum", got, want)
    choice = top_k(Z, 2)
    assert choice.tolist() == [[0, 1], [0, 1], [0, 2], [1, 0]]
    gate = torch.softmax(Z, 1).gather(1, choice)
    assert keep_mask(choice, gate, 3, 2, False).tolist() == [
        [True, True], [True, False], [False, True], [True, False]]
    assert keep_mask(choice, gate, 3, 2, True).tolist() == [
        [True, True], [False, False], [True, True], [True, False]]
    assert [capacity_of(400, 8, 2, 1.05, 4), capacity_of(400, 8, 2, 4.0, 4),
            capacity_of(1576, 8, 2, 1.05, 4)] == [108, 400, 416]
    same("balance first", balance_loss(Z, choice), 1.5305250)
    same("d balance", grad(lambda z: balance_loss(z, choice)), [
        [.068924136, -.050354844, -.018569292], [.10005451, -.069891656, -.030162857],
        [.098506773, -.021479484, -.077027289], [.082324951, -.026929378, -.055395572]])
    same("balance all", balance_loss(Z, choice, "all"), 1.2459038)
    same("z loss", z_loss(Z), 4.0418355)
    same("d z loss", grad(z_loss), [
        [.88038375, .19644017, .043831726], [.58987229, .35777563, .079830534],
        [.77210997, .094549829, .19039997], [.19978256, .40231267, .18077074]])
    same("renorm", renorm(Z, choice), [
        [.81757448, .18242552], [.62245933, .37754067], [.80218389, .19781611],
        [.66818777, .33181223]])
    eps = torch.tensor([[.3, -1.2, .5], [-.4, .8, 1.1], [.9, .2, -.7], [-1.5, .6, .1]], dtype=d)
    same("importance", importance_loss(Z), .32167045)
    same("d importance", grad(importance_loss), [
        [.083864611, -.061382611, -.022482000], [.12174303, -.085265336, -.036477691],
        [.11952329, -.026234139, -.093289150], [.10008496, -.033268418, -.066816538]])
    load = lambda z: load_loss(z, z + eps / 3, 2, 1 / 3)
    same("load", load(Z), .14951376)
    same("d load", grad(load), [
        [1.0654398e-8, 9.3114416e-4, -9.3115481e-4], [.094676154, -.094675983, -1.7143100e-7],
        [7.3949885e-7, -.024399119, .024398380], [.11856510, -4.6160854e-3, -.11394901]])
    same("noisy P", torch.softmax(Z + eps / 3, 1), [
        [.84135805, .11386543, .044776524], [.46993197, .42521203, .10485600],
        [.80538828, .078100086, .11651164], [.15157049, .61464866, .23378085]])
    d_gate = torch.tensor([[.3, -.7, .2], [-.4, .6, .5], [.9, -.1, -.6], [.25, -.35, .8]], dtype=d)
    base = {"p": 1.0, "noise": 0.0, "xi": .5, "delta": 1e-14, "max_iter": 3000}
    cases = {
        ("linear", "exact"): [[.14595040, -.17277147, .026821068],
                              [-.62855143, .63058498, -.0020335523],
                              [.50074564, .019049766, -.51979541],
                              [-.018144618, -.47686327, .49500789]],
        ("linear", "frozen"): [[.36096434, -.36096434, 0], [-.42336468, .42336468, 0],
                               [.67761326, 0, -.67761326], [0, -.57496574, .57496574]],
        ("softmax", "exact"): [[-.011519533, .0098931596, .0016263736],
                               [-.24550223, .23031134, .015190897],
                               [.21720425, -.030537531, -.18666672],
                               [.029820119, -.20788672, .17806660]],
        ("softmax", "frozen"): [[.0093458156, -.0061403295, -.0032054862],
                                [-.22006356, .21137291, .0086906533],
                                [.24555090, -.036797333, -.20875356],
                                [.040988165, -.20913287, .16814471]],
    }
    gates = {"linear": [[.76366234, .23633766, 0], [.30425103, .69574897, 0],
                        [.34466516, 0, .65533484], [0, .49614080, .50385920]],
             "softmax": [[.62397743, 0, .37602257], [.45088998, .54911002, 0],
                         [.52849784, 0, .47150216], [0, .55683514, .44316486]]}
    plans = {"linear": [[.72098929, .22313123, .055879478], [.25910493, .59251069, .14838438],
                        [.33393664, .031127357, .63493600], [.019302464, .48656406, .49413348]],
             "softmax": [[.46143472, .26049454, .27807074], [.31137547, .37920423, .30942030],
                         [.41269622, .21911465, .36818913], [.14782692, .47451992, .37765316]]}
    for (cost, mode), want in cases.items():
        z = Z.clone().requires_grad_(True)
        r = route_ssr(z, 2, {**base, "cost": cost, "gradient": mode}, True, None)
        (r.gate * d_gate.gather(1, r.choice)).sum().backward()
        same(f"ssr {cost} {mode}", z.grad, want)
        same("gates", torch.zeros_like(Z).scatter(1, r.choice, r.gate.detach()), gates[cost])
        same("plan", r.plan.log_plan.exp(), plans[cost])
    train = route_sinkhorn(Z, 2, {"xi": .5}, True, None)
    plain = route_sinkhorn(Z, 2, {"xi": .5}, False, None)
    loads = [torch.bincount(r.choice.reshape(-1), minlength=3).tolist() for r in (plain, train)]
    assert loads == [[4, 3, 1], [3, 3, 2]], loads
    r = route_usmoe(Z, 2, {}, True, None)
    dense = torch.zeros_like(Z).scatter_add(1, r.choice.clamp(min=0), r.gate)
    same("usmoe", dense, [[.68639754, .29513164, 0], [.55957332, .41778991, 0],
                          [.65126550, 0, 0], [.31087491, .49393179, .29044752]])
    r = route_expert_choice(Z, 2, {"cf": 1.5}, False, None)
    assert [sorted(e for e in row if e >= 0) for row in r.choice.tolist()] == \
        [[0], [1], [0, 2], [1, 2]]
    x = torch.tensor([[.5, -1, .3], [1.2, .4, -.7], [-.6, .9, .8]], dtype=d, requires_grad=True)
    project = torch.tensor([[.7, .1, -.5], [-.2, .9, .4]], dtype=d, requires_grad=True)
    vectors = torch.tensor([[1, .2], [-.3, .8], [-.6, -.9]], dtype=d, requires_grad=True)
    tau = torch.tensor(.3, dtype=d, requires_grad=True)
    s = cosines(x, vectors, project, {})
    r = route_xmoe(s / tau, 2, {}, False, s)
    (r.gate * d_gate[:3].gather(1, r.choice)).sum().backward()
    same("cosines", s, [[-.084144964, -.96998683, .76409852], [.94709032, -.46897124, -.44273593],
                        [-.32515550, .98561841, -.43876334]])
    same("d temperature", tau.grad, .36212480)
    same("d x", x.grad, [[.021926003, .0065483701, -.014715439],
                         [.0030356503, -.025440562, -.0093334920],
                         [.011120152, .011928613, -.0050795755]])
    same("d projection", project.grad.T, [[.00039690840, -.038279276], [-.016663099, -.0048028150],
                                          [.027503430, .029517169]])
    same("d vectors", vectors.grad, [[-.0058823716, .029411858], [.0076213113, .0028579917],
                                     [.011019749, -.0073464994]])
    small = sinkhorn(torch.tensor([[.73, .27], [.27, .73]], dtype=d), .5)
    assert abs(float(small.log_plan.exp()[0, 0]) - .715) < 1e-3
    print(f"routing.md: all golden numbers agree, largest error {worst:.2g}")


if __name__ == "__main__":
    check()
