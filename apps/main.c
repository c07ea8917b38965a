/* main.c - the program vmoe: finds the command and hands over. A command is one file in apps/ and
 * one line in the table below. Relied on elsewhere: exit status 0 done, 1 failed, 2 wrong usage. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "apps/app_internal.h"

typedef struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *does;
} command;

static const command commands[] = {
    {"train", app_train, "train a network by a recipe, or go on with a stopped run"},
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
    {"bench", app_bench, "the benchmarks behind the README's numbers"},
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
    fprintf(out,
            "\nvmoe COMMAND --help shows every option with its default; vmoe --version the "
            "versions.\n");
}

static void print_version(void)
{
    char onednn[96];

    vit_onednn_version(onednn, sizeof onednn);
    printf("vmoe %s\n%s\n%s\n", BASE_VERSION, onednn, data_versions());
    printf("bf16 instructions: %s\nthreads: %d\n", vit_bf16_available() ? "yes" : "no",
           app_cpu_count());
}

/* A descriptor 0, 1 or 2 that is closed would be given to the next file that is opened, and what is
 * printed would go there. */
static void take_descriptors(void)
{
    int fd = open("/dev/null", O_RDWR);

    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = dup(fd);
    if (fd >= 0)
        close(fd);
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
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return APP_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        print_version();
        return APP_DONE;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
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
