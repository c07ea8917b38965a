#!/usr/bin/env python3
"""header_examples.py [--main] HEADER OUT.C: the program in the opening comment of a public header, as C.

The build compiles OUT.C, so the example that a newcomer copies is known to compile, and the
header to stand alone. An example is the lines indented by four blanks after the star; one that
has a main() stands as it is, any other is put into a function; with --main a main() follows it, which
calls it where it needs nothing.
"""
import pathlib
import sys

TEMPLATE = """#include "{include}"

/* What the example takes from its surroundings. */
int {room}_example({arguments});
static inline int app_fail(const base_error *err)
{{
    return (int)err->status;
}}
static inline void use(const void *images, const void *labels, size_t count)
{{
    (void)images;
    (void)labels;
    (void)count;
}}

int {room}_example({arguments})
{{
    (void)app_fail;
    (void)use;
{example}    return 0;
}}
"""
ARGUMENTS = {
    "attacks": """void *net,
    base_status (*net_logits)(void *, float *, const float *, size_t, base_error *),
    base_status (*net_forward)(void *, float *, const float *, size_t, base_error *),
    base_status (*net_gradient)(void *, float *, const float *, base_error *),
    const float *images, const int32_t *labels""",
    "base": "uint64_t seed",
    "corrupt": "unsigned char *out, const unsigned char *in",
    "vae": "const float *images",
    "vit": "float *logits, const float *images",
}
INCLUDES = {"vae": "vit/vae/vae.h"}
MAIN = """
int main(void)
{{
    return {call};
}}
"""
CALLS = {
    "base": "base_example(1)",
    "corrupt": "corrupt_example((unsigned char[224 * 224 * 3]){0}, (unsigned char[224 * 224 * 3]){0})",
    "show": "show_example()",
}


def main():
    words = [word for word in sys.argv[1:] if word != "--main"]
    header, out = map(pathlib.Path, words)
    comment = header.read_text(encoding="utf-8").split("*/")[0]
    example = [line[3:] for line in comment.splitlines() if line.startswith(" *     ")]
    if len(example) < 5:
        sys.exit(f"'{header}' opens with an example of {len(example)} lines, expected at least 5")
    if any(line.lstrip().startswith("int main(") for line in example):
        out.write_text("".join(line[4:] + "\n" for line in example), encoding="utf-8")
        return
    room = header.stem
    main = MAIN.format(call=CALLS.get(room, "0")) if "--main" in sys.argv else ""
    out.write_text(
        TEMPLATE.format(
            room=room,
            include=INCLUDES.get(room, f"{room}/{room}.h"),
            arguments=ARGUMENTS.get(room, "void"),
            example="".join(line + "\n" for line in example),
        )
        + main,
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
