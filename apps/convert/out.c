/* out.c - what OUT is by its name, and writing it: a checkpoint of ours, an ONNX file.
 * Relied on elsewhere: names that end otherwise are refused before any work is done. */
#include <string.h>

#include "apps/convert/internal.h"

static bool ends(const char *name, const char *end)
{
    const size_t length = strlen(name), tail = strlen(end);

    return length > tail && strcmp(name + length - tail, end) == 0;
}

base_status convert_kind_of(convert_kind *kind, const char *out, int precision,
                            base_error *err)
{
    *kind = ends(out, ".onnx") ? CONVERT_ONNX : CONVERT_SAFETENSORS;
    if (*kind == CONVERT_ONNX && precision == VIT_PRECISION_BF16)
        return base_fail(err, BASE_USAGE,
                         "--precision bf16 for '%s', expected fp32: ONNX files are written "
                         "in fp32",
                         out);
    return BASE_OK;
}

base_status convert_out(const vit_model *model, convert_kind kind, const char *out,
                        vit_precision precision, base_error *err)
{
    return kind == CONVERT_ONNX ? vit_model_save_onnx(model, out, err)
                                : vit_model_save(model, out, precision, err);
}
