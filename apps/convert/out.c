/* out.c - what OUT is by its name, and writing it: a checkpoint of ours, an ONNX file, a
 * folder of the Hub. Relied on elsewhere: names that end otherwise are refused before any
 * work is done. */
#include <string.h>

#include "apps/convert/internal.h"

static bool ends(const char *name, const char *end)
{
    const size_t length = strlen(name), tail = strlen(end);

    return length > tail && strcmp(name + length - tail, end) == 0;
}

/* Names of files that somebody may hope for. */
static const char *const others[] = {".pt",  ".pth",   ".bin", ".npz",  ".h5",  ".ckpt",
                                     ".pkl", ".index", ".pb",  ".json", ".gguf"};

base_status convert_kind_of(convert_kind *kind, const char *out, int precision,
                            base_error *err)
{
    *kind = ends(out, ".onnx")          ? CONVERT_ONNX
            : ends(out, ".safetensors") ? CONVERT_SAFETENSORS
                                        : CONVERT_HUB;
    for (size_t i = 0; *kind == CONVERT_HUB && i < sizeof others / sizeof others[0]; i++)
        if (ends(out, others[i]))
            return base_fail(err, BASE_USAGE,
                             "OUT '%s' is no file that is written, expected a name that "
                             "ends in .safetensors or .onnx, or that of a folder",
                             out);
    if (*kind == CONVERT_ONNX && precision == VIT_PRECISION_BF16)
        return base_fail(err, BASE_USAGE,
                         "--precision bf16 for '%s', expected fp32: ONNX files are written "
                         "in fp32",
                         out);
    return BASE_OK;
}

const char *convert_out_name(char *name, size_t bytes, const char *out)
{
    size_t end = strlen(out), begin;

    while (end > 1 && out[end - 1] == '/')
        end--;
    for (begin = end; begin > 0 && out[begin - 1] != '/';)
        begin--;
    base_quote(name, bytes, app_text("%.*s", (int)(end - begin), out + begin));
    return name;
}

base_status convert_out(const vit_model *model, convert_kind kind, const char *out,
                        const char *card, vit_precision precision, base_error *err)
{
    if (kind == CONVERT_HUB)
        return vit_model_save_hub(model, out, card, precision, err);
    return kind == CONVERT_ONNX ? vit_model_save_onnx(model, out, err)
                                : vit_model_save(model, out, precision, err);
}
