#!/usr/bin/env python3
"""manuals.py VMOE FOLDER - every command has a manual page and every option stands in it; the pages render without a
warning (man, else groff); the completion scripts name every option and parse (bash, and zsh where there is one)."""
import pathlib
import re
import shutil
import subprocess
import sys

vmoe, folder = sys.argv[1], pathlib.Path(sys.argv[2])
faults = []


def names(*words):
    out = subprocess.run([vmoe, *words, "--help=names"], check=True, capture_output=True, text=True)
    return [line.split("\t")[0] for line in out.stdout.splitlines()]


def render(page):
    if not shutil.which("groff"):
        return
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", page], capture_output=True, text=True)
    if done.returncode or done.stderr:
        faults.append(f"{page.name}: {done.stderr.strip()}")


scripts = {name: (folder / name).read_text() for name in ("vmoe.bash", "_vmoe")}
commands = names()
render(folder / "vmoe.1")
for command in commands:
    page = folder / f"vmoe-{command}.1"
    if not page.exists():
        faults.append(f"{command} has no manual page: name it in apps/meson.build")
        continue
    text = page.read_text().replace("\\-", "-")
    help_text = subprocess.run([vmoe, command, "--help"], check=True, capture_output=True, text=True).stdout
    options = set(re.findall(r"^  (--[a-z0-9-]+)", help_text, re.M)) - {"--help"}
    if options != set(names(command)):
        faults.append(f"{command}: --help and --help=names differ: {options ^ set(names(command))}")
    for option in options:
        if f"\\fB{option}\\fR" not in text:
            faults.append(f"{page.name} says nothing of {option}")
        for name, script in scripts.items():
            if option not in script:
                faults.append(f"{name} does not know {command} {option}")
    render(page)
for shell, name in (("bash", "vmoe.bash"), ("zsh", "_vmoe")):
    if shutil.which(shell) and subprocess.run([shell, "-n", folder / name]).returncode:
        faults.append(f"{name} does not parse")
wanted = subprocess.run(
    ["bash", "-c", f"source '{folder}/vmoe.bash'; COMP_WORDS=(vmoe attack --nor); COMP_CWORD=2; _vmoe vmoe --nor attack; "
     "echo \"${COMPREPLY[*]}\"; COMP_WORDS=(vmoe attack --norm l); COMP_CWORD=3; _vmoe vmoe l --norm; echo \"${COMPREPLY[*]}\""],
    capture_output=True, text=True).stdout.split("\n")
if wanted[:2] != ["--norm", "linf l2 l1"]:
    faults.append(f"completion in bash gave {wanted}")
bound = subprocess.run(["bash", "-c", f"source '{folder}/vmoe.bash' && complete -p vmoe"], capture_output=True, text=True)
if bound.stdout.strip() != "complete -o filenames -F _vmoe vmoe":
    faults.append(f"bash binds the completion as '{bound.stdout}{bound.stderr}'")
if shutil.which("zsh"):  # found by its #compdef line, and its function read whole
    load = (f"fpath=('{folder}' $fpath); autoload -Uz compinit; compinit -u -D; "
            "autoload +X _vmoe && print -r -- $_comps[vmoe] ${+functions[_vmoe]}")
    loaded = subprocess.run(["zsh", "-fc", load], capture_output=True, text=True)
    if loaded.stdout.strip() != "_vmoe 1" or loaded.stderr:
        faults.append(f"zsh loads the completion as '{loaded.stdout}{loaded.stderr}'")
print("\n".join(faults) or f"{len(commands)} commands: pages and completion are whole")
sys.exit(1 if faults or not commands else 0)
