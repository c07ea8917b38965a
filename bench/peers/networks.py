"""networks.py - our networks in PyTorch, as a careful PyTorch user writes them: what the peers time.

Attention is scaled_dot_product_attention. Tokens are sorted by expert once, each expert is one pair of
nn.Linear on its contiguous rows, no Python per token. The router is ours on a step without Sinkhorn
(`ssr`: noise in training, top-k, renormalised softmax in fp32; with k = 1 the expert's probability).
"""

import torch
import torch.nn.functional as F
from torch import nn

# vit/config.c's sizes: image, patch, width, depth, heads, mlp, sparse blocks
SIZES = {
    "nano": (32, 4, 96, 4, 3, 192, "every:2"),
    "micro": (32, 4, 192, 6, 3, 768, "every:2"),
    "ti16": (224, 16, 192, 12, 3, 768, "every:2"),
    "s32": (224, 32, 512, 8, 8, 2048, "last:2"),
    "s16": (224, 16, 384, 12, 6, 1536, "every:2"),
    "b16": (224, 16, 768, 12, 12, 3072, "every:2"),
}
NOISE = 0.1


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.proj(y.transpose(1, 2).reshape(batch, tokens, width))


class Mlp(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Experts(nn.Module):
    def __init__(self, width, hidden, experts, chosen, sliced):
        super().__init__()
        self.count, self.chosen, self.sliced = experts, chosen, sliced
        self.router = nn.Linear(width, experts, bias=False)
        self.experts = nn.ModuleList(Mlp(width, hidden) for _ in range(experts))

    def route(self, flat):
        with torch.autocast("cpu", enabled=False):
            z = self.router(flat.float())
            if self.training:
                z = z + NOISE * torch.randn_like(z)
            best, choice = z.topk(self.chosen, dim=1)
            gate = torch.softmax(best, 1) if self.chosen > 1 else torch.softmax(z, 1).gather(1, choice)
        return gate, choice

    def forward(self, x):
        flat = x.reshape(-1, x.shape[-1])
        gate, choice = self.route(flat)
        if not self.sliced:
            return self.forward_masked(flat, gate, choice).view_as(x)
        expert = choice.reshape(-1)
        order = torch.argsort(expert)
        token = order // self.chosen
        rows = flat.index_select(0, token)
        counts = torch.bincount(expert, minlength=self.count).tolist()
        parts = [f(part) for f, part in zip(self.experts, rows.split(counts))]
        y = torch.cat(parts) * gate.reshape(-1).index_select(0, order).unsqueeze(1)
        return torch.zeros_like(flat, dtype=y.dtype).index_add(0, token, y).view_as(x)

    def forward_masked(self, flat, gate, choice):
        """The same without a list of counts, which no exporter can trace: rows of each expert by nonzero."""
        y = torch.zeros_like(flat)
        for e, expert in enumerate(self.experts):
            token, place = (choice == e).nonzero().unbind(1)
            part = expert(flat.index_select(0, token))
            y = y.index_add(0, token, part * gate[token, place].unsqueeze(1))
        return y


class Block(nn.Module):
    def __init__(self, width, heads, mlp):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = mlp

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Network(nn.Module):
    """size: NAME or NAME:PIXELS; vmoe-micro takes patch 4 at 32 pixels and 8 at 64. sliced False: a form
    that exporters can trace."""

    def __init__(self, size, classes=1000, experts=8, chosen=2, depth=0, sliced=True):
        super().__init__()
        name, _, pixels = size.partition(":")
        family, letter = name.split("-")
        usual, patch, width, usual_depth, heads, hidden, where = SIZES[letter]
        depth = depth or usual_depth
        self.image = int(pixels or usual)
        if letter == "micro" and self.image == 64:
            patch = 8
        odd = list(range(1, depth, 2))
        sparse = (odd if where == "every:2" else odd[-2:]) if family == "vmoe" else []
        self.patch_embed = nn.Conv2d(3, width, patch, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        tokens = (self.image // patch) ** 2 + 1
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, tokens, width))
        self.blocks = nn.ModuleList(
            Block(width, heads, Experts(width, hidden, experts, chosen, sliced) if i in sparse
                  else Mlp(width, hidden)) for i in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, Experts):
                nn.init.trunc_normal_(module.router.weight, std=width**-0.5)

    def forward(self, images):
        x = self.patch_embed(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


def optimizer_of(network):
    matrices = [p for p in network.parameters() if p.ndim >= 2 and p.shape[0] > 1]
    vectors = [p for p in network.parameters() if p.ndim < 2 or p.shape[0] == 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-4, fused=True)
