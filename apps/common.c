/* common.c - what every command does alike: fail with one line, take its threads, notice Ctrl-C,
 * feed a loader what a network wants to see.
 * Relied on elsewhere: the form "vmoe COMMAND: TEXT" and the exit status. */
#include <omp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/app_internal.h"

int app_fail(const char *command, const base_error *err)
{
    fprintf(stderr, "vmoe %s: %s\n", command, err->text);
    return err->status == BASE_USAGE ? APP_USAGE : APP_FAILED;
}

void app_common_apply(app_common *common, const char *command)
{
    if (common->threads < 1)
        common->threads = base_cpu_count();
    omp_set_num_threads((int)common->threads);
    if (common->precision == VIT_PRECISION_BF16 && !vit_bf16_available()) {
        fprintf(stderr,
                "vmoe %s: this processor has no bf16 instructions, going on in fp32\n",
                command);
        common->precision = VIT_PRECISION_FP32;
    }
}

void app_note(const app_common *common, const char *format, ...)
{
    va_list list;

    if (common->quiet)
        return;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

/* The only state that outlives a command: a signal handler has nowhere else to write. */
static volatile sig_atomic_t stop_asked;

static void on_signal(int number)
{
    if (stop_asked)
        _exit(128 + number);
    stop_asked = 1;
}

void app_stop_install(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool app_stop_asked(void)
{
    return stop_asked != 0;
}

void app_loader_feed(data_loader_config *out, const vit_config *config)
{
    out->size = (size_t)config->crop;
    out->channels = (size_t)config->channels;
    out->resize = (size_t)config->resize;
    out->filter = strcmp(config->interpolation, "bicubic") == 0 ? DATA_FILTER_BICUBIC
                                                                : DATA_FILTER_BILINEAR;
    memcpy(out->mean, config->mean, sizeof out->mean);
    memcpy(out->std, config->std, sizeof out->std);
}

size_t app_arg_max(const float *row, size_t count)
{
    size_t best = 0;

    for (size_t i = 1; i < count; i++)
        if (row[i] > row[best])
            best = i;
    return best;
}

size_t app_loader_threads(int64_t threads)
{
    const int64_t workers = threads / 4;

    return (size_t)(workers < 1 ? 1 : workers > 8 ? 8 : workers);
}
