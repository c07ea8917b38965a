/* fuzz_safetensors.c - any bytes as a tensor file, then as a checkpoint, ours or timm's,
 * with and without another size and head. What loads must hold together: finite weights,
 * a config that reads back. */
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "vit/model_internal.h"

static void demand(bool good)
{
    if (!good)
        abort();
}

static void check_model(vit_model *model)
{
    base_error err = {0};
    vit_config config;
    char **label = NULL;
    const float *w = vit_model_weights_const(model);
    char *text = vit_model_config_json(model);

    for (size_t i = 0; i < vit_model_floats(model); i++)
        demand(isfinite(w[i]));
    demand(text && vit_config_from_json(&config, &label, text, &err) == BASE_OK);
    vit_labels_free(label, (size_t)config.classes);
    base_free(text);
}

static void try_load(const char *path, const vit_load_options *options)
{
    base_error err = {0};
    vit_model *model = NULL;
    const base_status status = vit_model_load(&model, path, options, &err);

    demand((status == BASE_OK) == (model != NULL));
    demand(status == BASE_OK || (err.text[0] != '\0' && err.status == status));
    if (model)
        check_model(model);
    vit_model_destroy(model);
}

static void try_open(const char *path)
{
    base_error err = {0};
    vit_tensor_file *file = NULL;
    const base_status status = vit_tensors_open(&file, path, &err);
    volatile unsigned char sink = 0; /* the read must happen */

    demand((status == BASE_OK) == (file != NULL));
    demand(status == BASE_OK || (err.text[0] != '\0' && err.status == status));
    for (size_t i = 0; file && i < vit_tensors_count(file); i++) {
        const vit_tensor *t = vit_tensors_at(file, i);
        size_t elements = 1;
        for (int d = 0; d < t->rank; d++)
            elements *= t->shape[d];
        for (size_t j = 0; j < elements; j++) /* a byte of each element at least is there */
            sink = ((const unsigned char *)t->data)[j];
        demand(vit_tensors_find(file, t->name) != NULL);
    }
    (void)sink;
    vit_tensors_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const vit_load_options plain;
    static const vit_load_options other = {.heads = 2, .image = 16, .classes = 3};
    char path[64];
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd < 0)
        return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (write(fd, bytes, size) == (ssize_t)size) {
        try_open(path);
        try_load(path, &plain);
        try_load(path, &other);
    }
    close(fd);
    return 0;
}
