/* main.c - the program vmoe: finds the command and hands over. A command is one file in
 * apps/ and one line in the table below. Relied on elsewhere: exit status 0 done, 1 failed,
 * 2 wrong usage. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "apps/app_internal.h"

typedef struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *does;
    bool ranks; /* runs on several */
} command;

static const command commands[] = {
    {"train", app_train, "train a network by a recipe, or go on with a stopped run", true},
    {"eval", app_eval,
     "accuracy, calibration, confusion and load of experts on a data set"},
    {"predict", app_predict, "classes of image files or of a data set; logits, inputs"},
    {"inspect", app_inspect, "layers, parameters, cost and router of a checkpoint"},
    {"convert", app_convert,
     "timm's or dense checkpoints to ours; experts, input size, bf16"},
    {"data", app_data, "what a data set holds, a contact sheet, what is broken in it"},
    {"corrupt", app_corrupt, "the corruptions of ImageNet-C on a data set, as files"},
    {"attack", app_attack_command,
     "accuracy under adversarial attack, with checks and a report"},
    {"report", app_report, "several models side by side, from their results"},
    {"compare", app_compare_command,
     "train routers side by side and compare them, with seeds and spread"},
    {"vae", app_vae_command,
     "train an autoencoder of experts on small images and see what they became"},
    {"bench", app_bench, "the benchmarks behind the README's numbers", true},
};
enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static const char *command_name(const void *user, size_t i)
{
    (void)user;
    return i < COMMAND_COUNT ? commands[i].name : NULL;
}

static void print_help(FILE *out)
{
    fprintf(out,
            "usage: vmoe COMMAND [options]\n\n"
            "Trains, evaluates and runs sparse vision transformers with Selective Sinkhorn "
            "Routing.\n\ncommands:\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].does);
    fprintf(out, "\nvmoe COMMAND --help (or vmoe help COMMAND) shows every option with its "
                 "default,\nvmoe --version (-v) the versions.\n");
}

/* vmoe.1; those of the commands come from their tables of options (help.c). */
static void print_man(void)
{
    printf(
        ".TH VMOE 1 \"\" \"vmoe %s\"\n.SH NAME\nvmoe \\- train, evaluate and attack sparse "
        "vision transformers\n.SH SYNOPSIS\n\\fBvmoe\\fR \\fICOMMAND\\fR [options]\n"
        ".SH COMMANDS\n",
        BASE_VERSION);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        printf(".TP\n\\fBvmoe\\-%s\\fR(1)\n", commands[i].name);
        app_man_text(commands[i].does, SIZE_MAX);
        putchar('\n');
    }
    printf(
        ".SH OPTIONS\n.TP\n\\fB\\-\\-help\\fR\nthe commands\n.TP\n\\fB\\-\\-version\\fR\n"
        "versions of vmoe and of what it stands on\n"
        ".SH EXIT STATUS\n0 done, 1 the run failed, 2 wrong usage.\n");
}

static void print_names(void)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("%s\tcommand\t%s\n", commands[i].name, commands[i].does);
}

static void print_version(void)
{
    char onednn[96];

    vit_onednn_version(onednn, sizeof onednn);
    printf("vmoe %s\n%s\n%s\n", BASE_VERSION, onednn, data_versions());
    printf("bf16 instructions: %s\nthreads: %d\n", vit_bf16_available() ? "yes" : "no",
           app_cpu_count());
}

/* A descriptor 0, 1 or 2 that is closed would be given to the next file that is opened, and
 * what is printed would go there. */
static void take_descriptors(void)
{
    int fd = open("/dev/null", O_RDWR);

    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = dup(fd);
    if (fd >= 0)
        close(fd);
}

/* Bytes that OMP_STACKSIZE asks for a thread's stack, "512", "512K", "1M"; 0: it says
 * nothing that we know. */
static uint64_t stack_of_threads(void)
{
    const char *text = getenv("OMP_STACKSIZE");
    uint64_t bytes = 0;
    const size_t digits = text ? strspn(text, "0123456789") : 0;

    for (size_t i = 0; i < digits && i < 12; i++)
        bytes = 10 * bytes + (uint64_t)(text[i] - '0');
    const char unit = digits > 0 ? text[digits] : 'B';
    return bytes << (unit == 'M' || unit == 'm'   ? 20
                     : unit == 'G' || unit == 'g' ? 30
                     : unit == 'B' || unit == 'b' ? 0
                                                  : 10);
}

/* Limits under which the libraries below us die without a word: oneDNN needs address space
 * to generate its code (about 50 MB beyond what the program has when it is loaded) and
 * stacks for it. One line, false: too low. */
static bool limits_suffice(void)
{
    enum { STACK_LEAST = 128 << 10, SPACE_LEAST = 96 << 20 };
    const struct {
        uint64_t bytes;
        const char *name;
    } stacks[] = {{0, "ulimit -s"}, {stack_of_threads(), "OMP_STACKSIZE"}};
    struct rlimit limit;

    for (size_t i = 0; i < 2; i++) {
        uint64_t bytes = stacks[i].bytes;
        if (i == 0 && getrlimit(RLIMIT_STACK, &limit) == 0)
            bytes = limit.rlim_cur;
        if (bytes == 0 || bytes >= STACK_LEAST)
            continue;
        fprintf(stderr,
                "vmoe: stacks of %llu KiB (%s) are too small, at least 128 are needed\n",
                (unsigned long long)bytes >> 10, stacks[i].name);
        return false;
    }
    const uint64_t taken = base_virtual_bytes();
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        taken == 0 || limit.rlim_cur >= taken + SPACE_LEAST)
        return true;
    fprintf(
        stderr,
        "vmoe: %llu MiB of address space (ulimit -v) are too few, at least %llu are needed\n",
        (unsigned long long)limit.rlim_cur >> 20,
        (unsigned long long)(taken + SPACE_LEAST) >> 20);
    return false;
}

/* Results that nobody got are a failed run: a full disk, a pipe that was closed. */
static int finish(int exit_status)
{
    const bool lost = ferror(stdout) != 0;

    errno = 0;
    if (fflush(stdout) == 0 && !lost)
        return exit_status;
    fprintf(stderr, "vmoe: cannot write the results to standard output: %s\n",
            errno ? strerror(errno) : "some of them are lost");
    return exit_status == APP_DONE ? APP_FAILED : exit_status;
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return APP_USAGE;
    }
    if (strcmp(argv[1], "help") == 0 && argc == 3) { /* vmoe help eval: vmoe eval --help */
        static char help[] = "--help";
        argv[1] = argv[2];
        argv[2] = help;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return APP_DONE;
    }
    if (strcmp(argv[1], "--help=man") == 0 || strcmp(argv[1], "--help=names") == 0) {
        argv[1][7] == 'm' ? print_man() : print_names();
        return APP_DONE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-v") == 0) {
        print_version();
        return APP_DONE;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        if (!commands[i].ranks && app_ranks_refused(commands[i].name))
            return APP_USAGE;
        return !limits_suffice() ? APP_FAILED : commands[i].run(argc - 1, argv + 1);
    }
    char name[128];
    const char *near = base_nearest(argv[1], command_name, NULL);
    fprintf(stderr, "vmoe: unknown command '%s'%s%s%s, see vmoe --help\n",
            base_quote(name, sizeof name, argv[1]), near ? ", did you mean '" : "",
            near ? near : "", near ? "'" : "");
    return APP_USAGE;
}

int main(int argc, char **argv)
{
    take_descriptors();
    signal(SIGXFSZ, SIG_IGN); /* a write beyond the limit fails and is told as one */
    app_pin(argv);
    return finish(run(argc, argv));
}
