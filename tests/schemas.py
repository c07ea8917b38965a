#!/usr/bin/env python3
"""schemas.py VMOE SOURCE [--write | --keep FOLDER] - results against docs/schema and docs/json.md.

Runs the program on small inputs that are made here, once for every kind of document, and validates what it wrote with
the schema of its kind (JSON Schema 2020-12, python3-jsonschema): every member that is not optional is there, none that
the schema does not know. Every member of a schema has a description, and the tables of docs/json.md are made of these:
--write puts them there. Leaves with 77 (skipped), and says so, where python3-jsonschema is missing. --keep leaves the
documents in FOLDER.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import samples

faults = []

# ---- schemas ------------------------------------------------------------------------------------------------------


def load(folder):
    """All schemas by kind, as they are in their files."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def pointed(schemas, kind, reference):
    """What FILE.json#/a/b or #/a/b means, and the kind that it stands in."""
    name, _, path = reference.partition("#")
    kind = name.removesuffix(".json") or kind
    found = schemas[kind]
    for step in path.strip("/").split("/") if path else []:
        found = found[step]
    return found, kind


def whole(schemas, kind, node):
    """The schema with everything that it points to in its place, so that a validator needs no other file."""
    if isinstance(node, list):
        return [whole(schemas, kind, one) for one in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        found, there = pointed(schemas, kind, node["$ref"])
        return {**whole(schemas, there, found), **{key: one for key, one in node.items() if key != "$ref"}}
    return {key: whole(schemas, kind, one) for key, one in node.items() if key not in ("$defs", "$id")}


def members(kind, node, place):
    """Complains of members without a description and of objects that know neither their members nor that all are alike."""
    if isinstance(node, list):
        for one in node:
            members(kind, one, place)
    if not isinstance(node, dict):
        return
    for name, one in node.get("properties", {}).items():
        if "description" not in one and "$ref" not in one:
            faults.append(f"docs/schema/{kind}.json: {place}{name} has no description")
        members(kind, one, f"{place}{name}.")
    if "properties" in node and "additionalProperties" not in node:
        faults.append(f"docs/schema/{kind}.json: {place or 'the document'} takes any member")
    for one in [node.get("items"), node.get("additionalProperties"), *node.get("anyOf", []), *node.get("$defs", {}).values()]:
        members(kind, one, place)


# ---- docs/json.md -------------------------------------------------------------------------------------------------


def kind_of(node):
    """The type of a member in words."""
    if "anyOf" in node:
        return ", ".join(dict.fromkeys(kind_of(one) for one in node["anyOf"]))
    if "const" in node or "enum" in node:
        return ", ".join("null" if one is None else f"`{json.dumps(one)}`" for one in node.get("enum", [node.get("const")]))
    types = node.get("type", "any")
    words = []
    for one in types if isinstance(types, list) else [types]:
        if one == "array" and "items" in node:
            words.append("list of " + kind_of(node["items"]).replace(", ", " or "))
        else:
            words.append({"string": "text", "integer": "count", "boolean": "true or false", "array": "list"}.get(one, one))
    return ", ".join(words)


def inner(node):
    """What a member is made of, behind lists and null; and how its path goes on."""
    path = ""
    while "properties" not in node and "$ref" not in node:
        if "items" in node:
            node, path = node["items"], path + "[]"
        elif "anyOf" in node:
            parts = [one for one in node["anyOf"] if one.get("type") != "null"]
            if len(parts) != 1:
                break
            node = parts[0]
        elif isinstance(node.get("additionalProperties"), dict):
            node, path = node["additionalProperties"], path + ".*"
        else:
            break
    return node, path


def rows(schemas, kind, node, place=""):
    """Lines of the table of an object's members, and of theirs."""
    required = node.get("required", [])
    for name, one in node["properties"].items():
        if not place and "description" not in one and "#/$defs/every/" in one.get("$ref", ""):
            continue
        below, path = inner(one)
        there, told, shared = kind, one.get("description", ""), ""
        if "$ref" in below:
            below, there = pointed(schemas, kind, below["$ref"])
            title = below.get("title", "")
            told = told or below.get("description", "")
            shared = title and f": [{title}](#{title.lower().replace(' ', '-')})"
        what = kind_of(whole(schemas, kind, one))
        optional = "" if name in required else "; may be absent"
        yield f"| `{place}{name}` | {what}{optional} | {told}{shared} |"
        if "properties" in below and not shared:
            yield from rows(schemas, there, below, f"{place}{name}{path}.")


def table(schemas, kind, node):
    return "\n".join(["| key | | |", "|---|---|---|", *rows(schemas, kind, node)])


def tables_put(text, schemas):
    """The text of docs/json.md with its tables between <!-- KIND --> and <!-- end --> made anew."""
    def replaced(match):
        kind, _, name = match[1].partition("#")
        node = schemas[kind]["$defs"][name] if name else schemas[kind]
        return f"<!-- {match[1]} -->\n{table(schemas, kind, node)}\n<!-- end -->"

    return re.sub(r"<!-- ([a-z#_]+) -->\n.*?<!-- end -->", replaced, text, flags=re.S)


def documentation(source, schemas, write):
    page = source / "docs/json.md"
    text = page.read_text()
    made = tables_put(text, schemas)
    if write:
        page.write_text(made)
    elif made != text:
        faults.append("docs/json.md is not what tests/schemas.py makes of docs/schema: run tests/schemas.py VMOE SOURCE --write")
    for kind in schemas:
        if f"<!-- {kind}" not in made:
            faults.append(f"docs/json.md has no table of docs/schema/{kind}.json: write <!-- {kind} --> and <!-- end -->")


def given(source, schemas):
    """Keys that the source puts into documents under a name of its own stand in a schema, also where no run here meets them."""
    known = set()

    def collect(node):
        if isinstance(node, dict):
            known.update(node.get("properties", {}))
        for one in node.values() if isinstance(node, dict) else node if isinstance(node, list) else []:
            collect(one)

    collect(schemas)
    put = re.compile(r'(?:show_put\w*|json_object_set(?:_new)?)\(\s*[^,"]+,\s*"([^"]+)"')
    for room in ("apps", "measure", "train"):
        for path in sorted((source / room).rglob("*.c")):
            for key in put.findall(path.read_text()):
                if key not in known and not key.startswith("."):
                    faults.append(f"{path.relative_to(source)}: '{key}' stands in no schema")


# ---- documents ----------------------------------------------------------------------------------------------------

TRAIN = """[model]
patch = 4
width = 8
depth = 2
heads = 2
mlp = 8
[router]
experts = 4
k = 2
layers = 1
[data]
image = 8
[train]
epochs = 2
batch = 6
log_every = 2
"""


class Bench:
    """A folder with pictures of three classes; runs of the program in it, and the documents that they wrote."""

    def __init__(self, vmoe, folder):
        self.vmoe, self.folder, self.documents = vmoe, folder, []
        samples.idx(folder, "images", 3, 24)
        samples.idx(folder, "other", 3, 6)
        (folder / "tiny.ini").write_text(TRAIN)

    def run(self, *words, fails=False):
        done = subprocess.run([self.vmoe, *words], cwd=self.folder, text=True, capture_output=True, timeout=300)
        if (done.returncode != 0) != fails:
            sys.exit(f"vmoe {' '.join(words)}: exit status {done.returncode}\n{done.stderr}")

    def add(self, kind, *words, file=None, fails=False):
        """A run and the document that it wrote: --json, or a file of its own."""
        name = file or f"{len(self.documents)}.json"
        threads = [] if words[0] == "report" else ["--threads", "1"]
        self.run(*words, *([] if file else ["--json", name]), "--quiet", *threads, fails=fails)
        self.take(kind, name)

    def take(self, kind, file):
        self.documents.append((kind, file, json.loads((self.folder / file).read_text())))

    def lines(self, kind, file):
        for line in (self.folder / file).read_text().splitlines():
            self.documents.append((kind, file, json.loads(line)))


def documents(bench):
    data = "idx:images"
    recipe = ["--data", data, "--val", data, "--recipe", "tiny.ini"]
    bench.add("train", "train", *recipe, "--out", "sparse")
    bench.add("train", "train", *recipe, "--set", "router.layers=none", "augment.corrupt=fog", "--out", "dense")
    bench.add("train", "train", *recipe, "--set", "router.name=soft", "train.epochs=1", "--out", "soft")
    for run in ("sparse", "dense", "soft"):
        bench.lines("metrics", f"{run}/metrics.jsonl")
    bench.add("eval", "eval", "sparse", "--data", data, "--corrupt", "clean,fog,frost", "--severity", "1")
    bench.add("eval", "eval", "sparse", "--data", data, "--corrupt", "bench", "--limit", "4", "--jpeg", "85")
    bench.add("eval", "eval", "sparse", "--data", data, "--capacity", "4,1,0.5", "--bpr")
    bench.add("eval", "eval", "dense", "--data", data, "--corrupt", "fog", "--severity", "1")
    bench.add("eval", "eval", "soft", "--data", data, "--ood", "idx:other", "--bad-samples", "skip")
    bench.add("corrupt", "corrupt", "--data", data, "--out", "tree", "--size", "8", "--corrupt", "clean,fog", "--severity", "1")
    bench.add("corrupt", "corrupt", "--data", data, "--sheet", "sheet.png", "--size", "8", "--corrupt", "fog")
    bench.add("corrupt", "corrupt", "sheet.png", "--out", "fog.png", "--size", "8", "--corrupt", "fog", "--severity", "3")
    bench.add("eval", "eval", "sparse", "--data", data, "--imagenet-c", "tree")
    bench.add("data", "data", data, "--html", "data.html", "--tiles", "2")
    bench.add("data", "data", "folder:tree/fog/1", "--verify")
    bench.add("predict", "predict", "sparse", "--data", data, "--html", "predict.html")
    bench.add("predict", "predict", "dense", "tree/fog/1/0/00000.JPEG")
    bench.add("inspect", "inspect", "sparse", "--tensors")
    bench.add("inspect", "inspect", "dense")
    bench.add("experts", "inspect", "sparse", "--experts", "--data", data)
    bench.add("experts", "inspect", "sparse", "--experts", "--data", data, "--against", "sparse")
    bench.add("convert", "convert", "dense/best/model.safetensors", "up.safetensors", "--upcycle", "every:2", "--experts", "2")
    bench.add("convert", "convert", "dense/best/model.safetensors", "hub")
    attack = ["attack", "--data", data, "--steps", "2", "--limit", "12"]
    bench.add("attack", *attack, "sparse", "--attack", "quick,router", "--eps", "2/255,8/255", "--out", "a", file="a/report.json")
    bench.add("attack", *attack, "dense", "--attack", "pgd", "--eps", "8/255", "--out", "b", file="b/report.json")
    bench.run("eval", "sparse", "--data", data, "--corrupt", "fog", "--json", "eval.json", "--quiet")
    bench.run("inspect", "dense", "--json", "inspect.json", "--quiet")
    bench.add("report", "report", "eval.json", "inspect.json", "a", "b", "--out", "report.html")
    bench.add("compare", "compare", "--data", data, "--val", data, "--recipe", "tiny.ini", "--routers", "ssr,softmax", "--seeds",
              "2", "--rounds", "3", "--steps", "2", "--eval-limit", "6", "--out", "c", file="c/compare.json")
    for kind in ("eval", "attack"):
        bench.take(kind, f"c/runs/ssr/seed-1/{kind}.json")
    bench.take("eval", "c/runs/ssr/seed-1/corrupt.json")
    bench.add("vae", "vae", "--data", data, "--val", data, "--set", "train.epochs=1", "train.batch=8", "--out", "v")
    bench.lines("vae_metrics", "v/metrics.jsonl")
    small = ["vmoe-nano:16", "--batch", "2", "--set", "model.depth=2", "model.width=32", "model.heads=2", "model.mlp=32"]
    for case in (["step", *small], ["infer", *small, "--no-ceiling"], ["router", *small], ["attack", *small], ["corrupt", "8"],
                 ["sinkhorn"], ["decode", "--data", "folder:tree/fog/1"]):
        bench.add("bench", "bench", *case, "--warmup", "0")


def check(schemas, found, jsonschema):
    for kind, schema in schemas.items():
        if kind == "common":
            continue
        validator = jsonschema.Draft202012Validator(whole(schemas, kind, schema))
        validator.check_schema(validator.schema)
        mine = [(said, one) for of, said, one in found if of == kind]
        if not mine:
            faults.append(f"no run here writes a document of docs/schema/{kind}.json")
        for said, one in mine:
            for error in validator.iter_errors(one):
                place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
                faults.append(f"{kind}, {said}: {place.lstrip('.') or 'the document'}: {error.message[:200]}")


def main():
    vmoe, source, *words = sys.argv[1:]
    source = pathlib.Path(source)
    schemas = load(source / "docs/schema")
    for kind, schema in schemas.items():
        members(kind, schema, "")
    documentation(source, schemas, words[:1] == ["--write"])
    given(source, schemas)
    if faults or words[:1] == ["--write"]:
        sys.exit("\n".join(faults) or 0)
    try:
        import jsonschema
    except ImportError:
        print("skipped: no document was validated, for python3-jsonschema is missing", flush=True)
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="vmoe-schemas-") as folder:
        bench = Bench(str(pathlib.Path(vmoe).resolve()), pathlib.Path(folder))
        documents(bench)
        if words[:1] == ["--keep"]:
            for i, (kind, _, one) in enumerate(bench.documents):
                (pathlib.Path(words[1]) / f"{kind}-{i}.json").write_text(json.dumps(one))
        check(schemas, bench.documents, jsonschema)
    print("\n".join(dict.fromkeys(faults)) or f"{len(bench.documents)} documents of {len(schemas) - 1} kinds are as docs/schema says")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
