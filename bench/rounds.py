"""rounds.py - programs that take rounds in turn: `vmoe bench --paced` and the peers (peers/pace.py)."""

import argparse
import atexit
import csv
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
SETTLE = 0.02  # seconds: threads of the program before go to sleep
PEERS = ("eager", "compiled", "onnxruntime", "openvino")


class Program:
    """One program, started and waited for until it is warm; then a round at a time."""

    started = []  # of this session, so that none outlives it

    def __init__(self, name, command):
        self.name, self.command = name, [str(word) for word in command]
        self.times, self.lines = [], []
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, bufsize=1)
        Program.started.append(self)
        self.expect("ready")

    def fail(self):
        self.process.kill()
        raise RuntimeError(f"failed: {' '.join(self.command)}")

    def expect(self, word):
        for line in self.process.stdout:
            if line.startswith(word):
                return line
            self.lines.append(line)
        self.fail()

    def round(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.times.append(float(self.expect("round").split()[1]))
        time.sleep(SETTLE)

    def finish(self):
        self.process.stdin.close()
        rows = list(csv.DictReader(self.lines + self.process.stdout.readlines()))
        if self.process.wait() != 0 or len(rows) != 1:
            self.fail()
        self.row = rows[0]
        return self.row


@atexit.register
def stop_all():
    for program in Program.started:
        if program.process.poll() is None:
            signal_all(program, signal.SIGKILL)


def processes_of(program):
    """The program's process and all that it started, launchers' ranks too."""
    found, known = [], {program.process.pid}
    parents = {}
    for folder in pathlib.Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except OSError:
                continue  # it has ended
            parents.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(folder.name))
    while known:
        found += known
        known = {child for parent in known for child in parents.get(parent, [])}
    return found


def signal_all(program, number):
    for process in processes_of(program):
        try:
            os.kill(process, number)
        except ProcessLookupError:
            pass


def vmoe(args, case, size, batch, precision, settings=(), name="vmoe", threads=0):
    words = [args.vmoe, "bench", case, size, "--batch", batch, "--threads", threads or args.threads,
             "--precision", precision, "--warmup", args.warmup, "--classes", args.classes, "--paced"]
    return Program(name, words + (["--set", *settings] if settings else []))


def peer(args, kind, case, size, batch, precision, experts=8, k=2):
    script = "torch_step.py" if kind in ("eager", "compiled") else "runtimes.py"
    words = [args.python, HERE / "peers" / script, size, "--batch", batch, "--threads", args.threads,
             "--precision", precision, "--warmup", args.warmup, "--classes", args.classes, "--experts",
             experts, "--k", k, "--paced"]
    if script == "runtimes.py":
        words += ["--runtime", kind] + (["--keep", args.keep] if args.keep else [])
    else:
        words += ["--infer"] * (case == "infer") + ["--compile"] * (kind == "compiled")
    return Program(kind, words)


def in_turn(programs, count):
    """Takes the programs through count rounds; their rows."""
    for _ in range(count):
        for program in programs:
            program.round()
    return [program.finish() for program in programs]


def alone_in_turn(programs, count):
    """The same for programs that take processor time while they wait: those stand still."""
    for _ in range(count):
        for program in programs:
            signal_all(program, signal.SIGCONT)
            program.round()
            signal_all(program, signal.SIGSTOP)
    for program in programs:
        signal_all(program, signal.SIGCONT)
        program.finish()
    return [program.row for program in programs]


def ratio(program, reference):
    """The median over rounds of the program's time / the reference's."""
    return statistics.median(a / b for a, b in zip(program.times, reference.times))


def parser(doc):
    p = argparse.ArgumentParser(prog="bench/run", description=doc.splitlines()[0])
    p.add_argument("--vmoe", default=HERE.parent / "build" / "apps" / "vmoe")
    p.add_argument("--python", default=sys.executable, help="one with torch")
    p.add_argument("--keep", metavar="FOLDER", help="where networks exported for runtimes are kept")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--classes", type=int, default=1000)
    p.add_argument("--rounds", type=int, default=9, help="at least 9")
    p.add_argument("--warmup", type=int, default=2)
    return p


def parse(p, words):
    args = p.parse_args(words)
    if args.rounds < 9:
        p.error("--rounds is at least 9")
    return args
