/* sha256.c - SHA-256 (FIPS 180-4): by it a report names the checkpoint and the samples that
 * it is of, and tests name pixels. Relied on elsewhere: the digits. */
#include "base/base.h"

#include <string.h>

static uint32_t turn(uint32_t x, int bits)
{
    return x >> bits | x << (32 - bits);
}

static void block_add(uint32_t state[8], const unsigned char *at)
{
    static const uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
        0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
        0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
        0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
        0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
        0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
        0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
        0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
        0xc67178f2};
    uint32_t w[64], s[8];

    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)at[4 * i] << 24 | (uint32_t)at[4 * i + 1] << 16 |
               (uint32_t)at[4 * i + 2] << 8 | at[4 * i + 3];
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + w[i - 7] +
               (turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3) +
               (turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 64; i++) {
        const uint32_t one = s[7] + (turn(s[4], 6) ^ turn(s[4], 11) ^ turn(s[4], 25)) +
                             ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
        const uint32_t two = (turn(s[0], 2) ^ turn(s[0], 13) ^ turn(s[0], 22)) +
                             ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));

        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += one;
        s[0] = one + two;
    }
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

base_sha256 base_sha256_begin(void)
{
    return (base_sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void base_sha256_add(base_sha256 *hash, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;

    while (count > 0) {
        const size_t filled = (size_t)(hash->bytes % 64);
        const size_t take = count < 64 - filled ? count : 64 - filled;

        memcpy(hash->block + filled, at, take);
        hash->bytes += take;
        at += take;
        count -= take;
        if (filled + take == 64)
            block_add(hash->state, hash->block);
    }
}

void base_sha256_end(char out[BASE_SHA256_TEXT], base_sha256 *hash)
{
    static const unsigned char padding[64] = {0x80};
    const uint64_t bits = hash->bytes * 8;
    const size_t filled = (size_t)(hash->bytes % 64);
    unsigned char length[8];

    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)(bits >> (56 - 8 * i) & 0xff);
    base_sha256_add(hash, padding, filled < 56 ? 56 - filled : 120 - filled);
    base_sha256_add(hash, length, 8);
    for (int i = 0; i < 8; i++)
        snprintf(out + 8 * i, 9, "%08x", hash->state[i]);
}

void base_sha256_text(char out[BASE_SHA256_TEXT], const void *bytes, size_t count)
{
    base_sha256 hash = base_sha256_begin();

    base_sha256_add(&hash, bytes, count);
    base_sha256_end(out, &hash);
}

base_status base_sha256_file(char out[BASE_SHA256_TEXT], const char *path, base_error *err)
{
    unsigned char bytes[16384];
    base_sha256 hash = base_sha256_begin();
    base_status status = BASE_OK;
    size_t count;

    FILE *file = NULL;
    status = base_stream_open(&file, path, err);
    if (status != BASE_OK)
        return status;
    while ((count = fread(bytes, 1, sizeof bytes, file)) > 0)
        base_sha256_add(&hash, bytes, count);
    if (ferror(file))
        status = base_fail_errno(err, "cannot read '%s'", path);
    fclose(file);
    if (status == BASE_OK)
        base_sha256_end(out, &hash);
    return status;
}
