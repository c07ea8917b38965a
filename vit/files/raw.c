/* raw.c - tensors of other programs: memory, names, numbers. */
#include <stdlib.h>
#include <string.h>

#include "vit/files/raw_internal.h"
#include "vit/model_internal.h"

void vit_raw_free(vit_raw_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        base_free(set->at[i].name);
        base_free(set->at[i].values);
    }
    base_free(set->at);
    *set = (vit_raw_set){0};
}

vit_raw *vit_raw_find(const vit_raw_set *set, const char *name)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->at[i].name, name) == 0)
            return &set->at[i];
    return NULL;
}

/* NumPy's names of what a network may consist of, and safetensors' (vit_tensor_convert). */
static const struct {
    const char *name, *type;
    size_t bytes;
} types[] = {{"float32", "F32", 4},
             {"bfloat16", "BF16", 2},
             {"float16", "F16", 2},
             {"float64", "F64", 8}};
enum { TYPES = sizeof types / sizeof types[0] };

size_t vit_raw_bytes(const char *type)
{
    for (size_t i = 0; i < TYPES; i++)
        if (strcmp(types[i].name, type) == 0)
            return types[i].bytes;
    return 0;
}

void vit_raw_convert(float *out, const void *from, const char *type, size_t count)
{
    for (size_t i = 0; i < TYPES; i++)
        if (strcmp(types[i].name, type) == 0)
            vit_tensor_convert(out, from, types[i].type, count);
}

const char *vit_raw_prefix(const vit_raw_set *set)
{
    static const char *const prefixes[] = {"params/img/", "params/", "opt/target/", "img/"};

    for (size_t p = 0; p < sizeof prefixes / sizeof prefixes[0]; p++) {
        char name[64];

        snprintf(name, sizeof name, "%sembedding/kernel", prefixes[p]);
        if (vit_raw_find(set, name))
            return prefixes[p];
    }
    return "";
}

bool vit_raw_wanted(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}
