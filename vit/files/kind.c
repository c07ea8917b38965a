/* kind.c - what a file is that was given in place of a safetensors file, by its first
 * bytes: people download pointers, pickles and pages. Free to add: a line. Relied on
 * elsewhere: a plausible safetensors file is never taken for something else. */
#include <string.h>

#include "vit/model_internal.h"

/* In one line of a shell: what a user of Python has at hand. */
#define TORCH_HINT                                                                         \
    "; convert it with Python: import torch, safetensors.torch as st; "                    \
    "d = torch.load(IN, map_location='cpu', weights_only=True); "                          \
    "st.save_file({k: v.contiguous() for k, v in d.get('state_dict', d).items()}, OUT)"

/* What files that are given in place of a safetensors file begin with. */
static const struct {
    const char *mark;
    size_t bytes;
    const char *what;
} others[] = {
    {"version https://git-lfs", 23,
     "a Git LFS pointer, not the file: fetch it with 'git lfs pull'"},
    {"\x80\x02", 2, "a PyTorch file" TORCH_HINT},
    {"\x80\x03", 2, "a Python pickle" TORCH_HINT},
    {"\x80\x04", 2, "a Python pickle" TORCH_HINT},
    {"\x80\x05", 2, "a Python pickle" TORCH_HINT},
    {"\x89HDF\r\n", 6, "an HDF5 file (Keras), expected safetensors"},
    {"\x93NUMPY", 6, "one NumPy array, expected safetensors"},
    {"\x1f\x8b", 2, "compressed (gzip): unpack it first"},
    {"\x28\xb5\x2f\xfd", 4, "compressed (zstd): unpack it first"},
    {"GGUF", 4, "a GGUF file, expected safetensors"},
    {"<!DOCTYPE", 9, "a web page: the download went wrong"},
    {"<html", 5, "a web page: the download went wrong"},
};

/* A ZIP archive: NumPy's, what is called one, else PyTorch's whatever its name. */
static const char *zip_kind(const unsigned char *at, size_t bytes, const char *path)
{
    if (memmem(at, bytes, ".npy", 4) || vit_name_ends(path, ".npz"))
        return "NumPy's .npz: convert it with 'vmoe convert'";
    if (vit_name_ends(path, ".zip"))
        return "a ZIP archive, expected a safetensors file";
    return "a PyTorch file" TORCH_HINT;
}

base_status vit_file_kind(const unsigned char *at, size_t have, size_t bytes,
                          const char *path, base_error *err)
{
    const char *what = NULL;
    size_t text = 0;

    if (bytes == 0)
        return base_fail(err, BASE_FORMAT, "'%s' is empty, expected a safetensors file",
                         path);
    uint64_t length;
    memcpy(&length, at, sizeof length);
    if (have > 9 && at[8] == '{' && length <= VIT_HEADER_MOST)
        return BASE_OK; /* a length may look like another program's mark */
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (have >= others[i].bytes && memcmp(at, others[i].mark, others[i].bytes) == 0)
            what = others[i].what;
    if (have >= 4 && memcmp(at, "PK\3\4", 4) == 0)
        what = zip_kind(at, have, path);
    while (text < have && (at[text] == '\t' || at[text] == '\n' || at[text] == '\r' ||
                           (at[text] >= 32 && at[text] < 127)))
        text++;
    if (!what && text == have)
        what = memmem(at, have, "\"weight_map\"", 12) ? "an index of shards"
                                                      : "text, expected a safetensors file";
    if (what)
        return base_fail(err, BASE_FORMAT, "'%s' is %s", path, what);
    if (bytes < 10)
        return base_fail(err, BASE_FORMAT,
                         "'%s' has %zu bytes, expected a safetensors file", path, bytes);
    return BASE_OK;
}
