/* fuzz_models.c - any bytes as the files of other people's networks: an input is a letter
 * and pieces, each with its length in four bytes, little-endian. i: PREFIX.index and its
 * shards; n: an .npz; c: config.json and model.safetensors beside it; l: a list of shards
 * and one shard. What loads holds together (finite weights). */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "vit/model_internal.h"

enum { PIECES = 4 };

static char folder[] = "/tmp/vmoe-fuzz-models-XXXXXX";
static bool there;

static void demand(bool good)
{
    if (!good)
        abort();
}

static void sweep(void)
{
    base_folder_remove(folder, NULL);
}

/* A file of the folder, which is made anew. */
static void put(const char *name, const uint8_t *bytes, size_t size)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wbe");
    if (!file)
        return;
    (void)!fwrite(bytes, 1, size, file);
    fclose(file);
}

static void try_load(const char *name)
{
    char path[128];
    base_error err = {0};
    vit_model *model = NULL;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    const base_status status = vit_model_load(&model, path, NULL, &err);
    demand((status == BASE_OK) == (model != NULL));
    demand(status == BASE_OK || (err.text[0] != '\0' && err.status == status));
    for (size_t i = 0; model && i < vit_model_floats(model); i++)
        demand(isfinite(vit_model_weights_const(model)[i]));
    vit_model_destroy(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const uint8_t *piece[PIECES] = {bytes, bytes, bytes, bytes};
    size_t length[PIECES] = {0}, count = 0, at = 1;
    char name[64];

    if (size < 1)
        return 0;
    for (; count < PIECES && size - at >= 4; count++) {
        const size_t wanted = (size_t)bytes[at] | (size_t)bytes[at + 1] << 8 |
                              (size_t)bytes[at + 2] << 16 | (size_t)bytes[at + 3] << 24;

        at += 4;
        length[count] = wanted < size - at ? wanted : size - at;
        piece[count] = bytes + at;
        at += length[count];
    }
    if (!there) {
        there = mkdtemp(folder) != NULL;
        atexit(sweep);
    }
    if (count == 0 || !there)
        return 0;
    switch (bytes[0]) {
    case 'i':
        put("x.index", piece[0], length[0]);
        for (size_t i = 1; i < count; i++) {
            snprintf(name, sizeof name, "x.data-%05zu-of-%05zu", i - 1, count - 1);
            put(name, piece[i], length[i]);
        }
        try_load("x.index");
        break;
    case 'n':
        put("x.npz", piece[0], length[0]);
        try_load("x.npz");
        break;
    case 'c':
        put("config.json", piece[0], length[0]);
        put("model.safetensors", piece[1], length[1]);
        try_load("model.safetensors");
        break;
    case 'l':
        put("m.safetensors.index.json", piece[0], length[0]);
        put("x.safetensors", piece[1], length[1]);
        try_load("m.safetensors.index.json");
        break;
    default: break;
    }
    return 0;
}
