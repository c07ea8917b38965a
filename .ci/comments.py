#!/usr/bin/env python3
"""comments.py [--fix] FOLDER... - comments of C in lines of at most 92 columns. --fix fills the paragraphs of those that
are wider; what is indented in a comment (programs, formulas, tables) and what stands behind code is left alone."""
import pathlib
import re
import sys

WIDTH = 92
BLOCK = re.compile(r"^([ \t]*)/\*((?:(?!\*/).)*)\*/[ \t]*$", re.S | re.M)


def filled(indent, text):
    """The comment anew, its wide paragraphs filled."""
    ruler = re.fullmatch(r" (-{3,} .*? )-+ ?", text)
    if ruler:
        if len(ruler[1]) > WIDTH - 10:
            return f"{indent}/* {ruler[1].rstrip()} */"
        return f"{indent}/* {ruler[1]}".ljust(WIDTH - 3, "-") + " */"
    first, rest = (text.split("\n", 1) + [""])[:2]
    if rest and re.match(r" -{3,} .* -{3,}$", first):  # a ruler with text below it
        text = f" {first.strip().rstrip('-')}".ljust(WIDTH - len(indent) - 2, "-") + "\n" + rest
    lines = [re.sub(r"^[ \t]*\* ?", "", line) if i else line[1:] if line[:1] == " " else line
             for i, line in enumerate(text.rstrip().split("\n"))]
    out, paragraph = [], []
    room = WIDTH - len(indent.expandtabs(4)) - 3

    def flush():
        if any(len(line) > room for line in paragraph):
            words, line = " ".join(paragraph).split(), ""
            for word in words:
                if line and len(line) + 1 + len(word) > room:
                    out.append(line)
                    line = word
                else:
                    line = f"{line} {word}" if line else word
            out.append(line)
        else:
            out.extend(paragraph)
        paragraph.clear()

    for line in lines:
        if not line.strip() or line[:1] in " \t|" or re.match(r"(\d+\.|[-*+]|-{3,}) ", line):
            flush()
            out.append(line.rstrip())
        else:
            paragraph.append(line.rstrip())
    flush()
    if len(out[-1]) + 3 > room:
        head, _, tail = out[-1].rpartition(" ")
        if head and out[-1][:1] != " ":
            out[-1:] = [head, tail]
    return "\n".join(f"{indent}{' * ' if i else '/* '}{line}".rstrip() for i, line in enumerate(out)) + " */"


def fix(source):
    def one(match):
        wide = any(len(line.expandtabs(4)) > WIDTH for line in match[0].split("\n"))
        return filled(match[1], match[2]) if wide else match[0]

    return BLOCK.sub(one, source)


faults = 0
for name in [path for folder in sys.argv[1:] if folder != "--fix" for path in sorted(pathlib.Path(folder).rglob("*.[ch]"))]:
    source = name.read_text(encoding="utf-8")
    if "--fix" in sys.argv and fix(source) != source:
        source = fix(source)
        name.write_text(source, encoding="utf-8")
    for match in BLOCK.finditer(source):
        for i, line in enumerate(match[0].split("\n")):
            if len(line.expandtabs(4)) > WIDTH and not re.match(r"[ \t]*\*   ", line):
                faults += 1
                print(f"{name}:{source.count(chr(10), 0, match.start()) + 1 + i}: {len(line.expandtabs(4))} columns")
sys.exit(1 if faults else 0)
