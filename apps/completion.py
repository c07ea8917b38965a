#!/usr/bin/env python3
"""completion.py VMOE bash|zsh - the completion script of a shell, from the tables of options that the program
prints (--help=names): "NAME<tab>KIND<tab>HELP" a line. Run by the build."""
import subprocess
import sys


def names(*words):
    out = subprocess.run([*words, "--help=names"], check=True, capture_output=True, text=True).stdout
    return [line.split("\t") for line in out.splitlines()]


def bash(commands):
    print("# bash completion of vmoe, made by the build from the program's tables")
    print("_vmoe()\n{\n    local word=$2 before=$3 command=${COMP_WORDS[1]}\n    COMPREPLY=()")
    print("    if [ \"$COMP_CWORD\" -eq 1 ]; then")
    print(f"        mapfile -t COMPREPLY < <(compgen -W '{' '.join(commands)}' -- \"$word\")")
    print("        return\n    fi\n    case \"$command $before\" in")
    for command, options in commands.items():
        for name, kind, _ in options:
            if kind == "file":
                act = "-f"
            elif kind == "dir":
                act = "-d"
            elif "|" in kind:
                act = f"-W '{kind.replace('|', ' ')}'"
            elif kind == "word":
                act = None
            else:
                continue
            fill = f"mapfile -t COMPREPLY < <(compgen {act} -- \"$word\"); " if act else ""
            print(f"    '{command} {name}') {fill}return ;;")
    print("    esac\n    case $word in\n    --*) ;;\n    *) mapfile -t COMPREPLY < <(compgen -f -- \"$word\")"
          "\n        return ;;\n    esac\n    case $command in")
    for command, options in commands.items():
        words = " ".join(o[0] for o in options) + " --help"
        print(f"    {command}) mapfile -t COMPREPLY < <(compgen -W '{words}' -- \"$word\") ;;")
    print("    esac\n}\ncomplete -o filenames -F _vmoe vmoe")


def quote(text):
    for mark in "\\[]:":
        text = text.replace(mark, "\\" + mark)
    return text.replace("'", "'\\''")


def zsh(commands, summaries):
    print("#compdef vmoe\n# zsh completion of vmoe, made by the build from the program's tables")
    print("if (( CURRENT == 2 )); then\n    local -a commands=(")
    for command, summary in summaries.items():
        print(f"        '{command}:{quote(summary)}'")
    print("    )\n    _describe command commands\n    return\nfi\nshift words\n(( CURRENT-- ))\ncase $words[1] in")
    for command, options in commands.items():
        print(f"{command})\n    _arguments -s \\")
        for name, kind, text in options:
            act = {"flag": "", "file": ":file:_files", "dir": ":folder:_files -/", "word": ":value: "}.get(
                kind, f":word:({kind.replace('|', ' ')})")
            print(f"        '{name}[{quote(text)}]{act}' \\")
        print("        '--help[this text]' '*:file:_files' ;;")
    print("esac")


vmoe, shell = sys.argv[1:]
listed = {name: text for name, _, text in names(vmoe)}
tables = {name: names(vmoe, name) for name in listed}
if shell == "bash":
    bash(tables)
else:
    zsh(tables, listed)
