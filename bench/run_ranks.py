"""run_ranks.py - bench/run ranks: ranks of one thread beside one rank of as many threads, in turn.

    bench/run ranks [--images 16] [--ranks 2] [--launcher mpirun.openmpi ...] SIZE ...

One rank of R threads makes a step of R times the images of R ranks of one thread each (`vmoe bench scale`).
Who is not asked for a round stands still. CSV on stdout; ratio = the median over rounds of one rank's time /
the ranks', so 1 means that ranks cost nothing.
"""

import sys

import rounds


def start(args, size, launcher):
    ranks = args.ranks if launcher else 1
    words = [launcher, "-n", ranks] if launcher else []
    words += [args.vmoe, "bench", "scale", size, "--batch", args.images * args.ranks // ranks, "--threads",
              args.ranks // ranks, "--precision", args.precision, "--warmup", args.warmup, "--patience", 0,
              "--classes", args.classes, "--paced"]
    return rounds.Program(launcher or "one", words)


def main(words):
    p = rounds.parser(__doc__)
    p.add_argument("sizes", nargs="+", metavar="SIZE")
    p.add_argument("--images", type=int, default=32, help="of a rank")
    p.add_argument("--ranks", type=int, default=2)
    p.add_argument("--precision", default="fp32")
    p.add_argument("--launcher", action="append", help="default: mpirun.openmpi and mpirun.mpich")
    args = rounds.parse(p, words)
    print("size,precision,images_a_rank,ranks,launcher,rounds,one_ms,ranks_ms,waited_ms,ratio")
    for size in args.sizes:
        one = start(args, size, None)
        several = []
        for launcher in args.launcher or ("mpirun.openmpi", "mpirun.mpich"):
            for program in (one, *several):
                rounds.signal_all(program, rounds.signal.SIGSTOP)
            several.append(start(args, size, launcher))
        rounds.alone_in_turn([one, *several], args.rounds)
        for program in several:
            print(f"{size},{args.precision},{args.images},{args.ranks},{program.name},{program.row['rounds']},"
                  f"{one.row['median_ms']},{program.row['median_ms']},{program.row['waited_ms']},"
                  f"{rounds.ratio(one, program):.3f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
