"""philox.py - the keyed random streams of base/random.c once more, in Python: Philox4x32-10 (Salmon,
Moraes, Dror, Shaw 2011), keys by SplitMix64's finaliser, normals by Box and Muller. For drawing the
routers' noise exactly as the C code does.

    eps = normals(seed, ROUTER_NOISE, step, layer, token, count=experts)
"""

import math

ROUTER_NOISE, ROUTER_SELECT, ROUTER_VIEW, VAE_SAMPLE = 9, 10, 13, 15
M64 = (1 << 64) - 1


def philox4x32(counter, key):
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & 0xFFFFFFFF, (p0 >> 32) ^ c3 ^ k1, p0 & 0xFFFFFFFF
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0, c1, c2, c3


def mix(z):
    z = (z + 0x9E3779B97F4A7C15) & M64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & M64
    z = (z ^ z >> 27) * 0x94D049BB133111EB & M64
    return z ^ z >> 31


def normals(seed, purpose, step, layer, token, count, *more):
    """The routers' noise of one token: vit_kernels.normals in vit/kernels/kernels.c, in double precision."""
    h = 0
    for value in (seed, purpose, step, layer, *more):
        h = h if value is None else mix(h ^ value)  # no layer: the autoencoder's draws
    out = []
    for block in range((count + 3) // 4):
        w = philox4x32((token & 0xFFFFFFFF, token >> 32, block, 0), (h & 0xFFFFFFFF, h >> 32))
        for a, b in ((w[0], w[1]), (w[2], w[3])):
            r = math.sqrt(-2.0 * math.log(1.0 - (a >> 8) * 2.0**-24))
            turn = 2.0 * math.pi * (b >> 8) * 2.0**-24
            out += [r * math.cos(turn), r * math.sin(turn)]
    return out[:count]


if __name__ == "__main__":
    # Random123's kat_vectors
    assert philox4x32((0, 0, 0, 0), (0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    assert philox4x32((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)) \
        == (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)
    print("philox4x32-10: known answers agree")
