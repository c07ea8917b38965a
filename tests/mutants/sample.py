"""sample.py - draws small mistakes from C code: comparisons, off by one, + and -, constants twice as large, a
deleted statement, swapped arguments, a returned constant. A draw is a function of the seed and the code: files
by their number of lines, then a kind, then a place. No C parser: comments, strings and preprocessor lines are
blanked, patterns do the rest, and what does not compile is not counted (run)."""
import random
import re


def blank(text):
    """Comments, strings, character constants and preprocessor lines as spaces, same length."""
    def spaces(match):
        return re.sub(r"[^\n]", " ", match[0])
    text = re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", spaces, text, flags=re.S)
    return re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", spaces, text, flags=re.M)


def bodies(code):
    """Only what lies inside functions: braces that follow a closing parenthesis at the line's start."""
    inside = bytearray(len(code))
    for start in re.finditer(r"^\{", code, re.M):
        end = code.find("\n}", start.end())
        if end > 0:
            inside[start.end():end] = b"\1" * (end - start.end())
    return inside


OPPOSITE = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}


def comparisons(code):
    for m in re.finditer(r"(?<=[\w)\]] )(<=|>=|==|!=|<|>)(?= [\w(&*'-])", code):
        yield m.start(), m.end(), OPPOSITE[m[1]]


def off_by_one(code):
    for m in re.finditer(r"(?<![\w.])(\d+)(?![\w.])", code):
        line = code[code.rfind("\n", 0, m.start()) + 1:m.start()]
        if re.match(r"\s*(static |const |unsigned )*(char|float|double|int|size_t|u?int\d+_t) [^=(]*\[$", line):
            continue  # room to spare in a buffer is no mistake
        if not line.endswith("{") and not line.endswith("[") or m[1] != "0":
            yield m.start(), m.end(), str(int(m[1]) + 1)


def plus_minus(code):
    for m in re.finditer(r"(?<=[\w)\]] )([+-])(=?)(?= [\w(])", code):
        yield m.start(), m.end(), ("-" if m[1] == "+" else "+") + m[2]


def constants(code):
    for m in re.finditer(r"(?<![\w.])(\d+\.\d*(?:e-?\d+)?f?)(?![\w.])", code):
        if float(m[1].rstrip("f")) != 0:
            yield m.start(), m.end(), f"(2 * {m[1]})"


def statements(code):
    for m in re.finditer(r"(?<=\n)[ \t]+([A-Za-z_][\w.>-]*(?:\[[^\]\n]*\][\w.>-]*)* (?:[-+*/|&]|<<|>>)?= [^;{}]*|"
                         r"[A-Za-z_]\w*\([^;{}]*\));", code):
        if not re.match(r"(return|goto|else|case|static|const)\b", m[1]):
            yield m.start(1), m.end(), ";"


def swapped(code):
    for m in re.finditer(r"(?<=[(,] )?(?<=[(, ])([a-z_][\w.>\[\]-]*), ([a-z_][\w.>\[\]-]*)(?=[,)])", code):
        if m[1] != m[2] and not {m[1], m[2]} & {"true", "false"}:
            yield m.start(), m.end(), f"{m[2]}, {m[1]}"


def returned(code):
    for m in re.finditer(r"\breturn ([^;]+);", code):
        if "NO_MEMORY" in m[1]:
            continue  # memory does not run out in a test
        if m[1].strip() not in ("0", "NULL", "true", "false", "status", "BASE_OK"):
            yield m.start(1), m.end(1), "0"
        elif m[1].strip() in ("true", "false"):
            yield m.start(1), m.end(1), "false" if m[1].strip() == "true" else "true"


KINDS = (comparisons, off_by_one, plus_minus, constants, statements, swapped, returned)


def context(text, start, end):
    """The shortest piece of whole lines around the place, and how many equal pieces stand before it."""
    first = text.rfind("\n", 0, start) + 1
    last = text.find("\n", end)
    piece = text[first:last].strip()
    pattern = re.compile(r"\s+".join(re.escape(w) for w in piece.split()))
    at = first + (len(text[first:last]) - len(text[first:last].lstrip()))
    places = [m.start() for m in pattern.finditer(text)]
    nth = places.index(at) + 1 if at in places else 0
    return piece, at, nth if len(places) > 1 else 0


def draw(top, files, count, seed):
    """[(path, nth, tests, old, new, remark)] of count mutants."""
    rng = random.Random(seed)
    texts = {f: (top / f).read_text() for f in sorted(files)}
    weights = [texts[f].count("\n") for f in sorted(files)]
    drawn, seen = [], set()
    for _ in range(count * 200):
        if len(drawn) == count:
            break
        path = rng.choices(sorted(files), weights)[0]
        text, kind = texts[path], rng.choice(KINDS)
        code = blank(text)
        inside = bodies(code)
        sites = [s for s in kind(code) if inside[s[0]] and (path, s[0], s[2]) not in seen]
        if not sites:
            continue
        start, end, new = rng.choice(sites)
        piece, at, nth = context(text, start, end)
        if not piece:
            continue
        seen.add((path, start, new))
        changed = piece[:start - at] + new + piece[end - at:]
        drawn.append((path, nth, [], piece, changed, kind.__name__))
    return drawn
