#!/usr/bin/env python3
"""citations.py ROOT - every "routing.md 4.10" in a comment of the sources names a paper of docs/design and a section of
it: a heading of that number, or the numbered item 10 of section 4."""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
papers = {path.stem: path.read_text() for path in (root / "docs/design").glob("*.md")}
FOLDERS = ["base", "vit", "data", "corrupt", "attacks", "measure", "train", "show", "apps", "tests", "bench"]


def sections(text):
    """The numbers that can be cited: "4", "4.10"; an item of a section without subsections counts as one."""
    found, current = set(), None
    for line in text.splitlines():
        heading = re.match(r"#+ +(\d+(?:\.\d+)*)\.?\s", line)
        if heading:
            current = heading[1]
            found.add(current)
        item = re.match(r"\s*(?:[-*] )?(?:\*\*)?\(?(\d+(?:\.\d+)?)[.)](?:\*\*)?\s|(?:\*\*)(\d+\.\d+)\b", line)
        if item and current:
            number = item[1] or item[2]
            found.add(number if "." in number else f"{current}.{number}")
    return found


numbers = {name: sections(text) for name, text in papers.items()}
cited = re.compile(r"\b(%s)\.md,?\s(?:section\s)?(\d+(?:\.\d+)*)" % "|".join(sorted(papers, key=len, reverse=True)))
faults, count = [], 0
for folder in FOLDERS:
    for path in sorted((root / folder).rglob("*")):
        if path.suffix not in (".c", ".h", ".py", ".build") or not path.is_file():
            continue
        text = re.sub(r"\n[ \t]*(?:\*|#|//)?[ \t]*", " ", path.read_text(errors="replace"))
        for match in cited.finditer(text):
            count += 1
            if match[2] not in numbers[match[1]]:
                faults.append(f"{path.relative_to(root)}: {match[0]}")
print("\n".join(faults) or f"{count} citations have an address")
sys.exit(1 if faults or not count else 0)
