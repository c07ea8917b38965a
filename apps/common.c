/* common.c - what every command does alike: fail with one line, take its threads, notice
 * Ctrl-C, feed a loader what a network wants to see. Relied on elsewhere: the form "vmoe
 * COMMAND: TEXT" and the exit status. */
#include <errno.h>
#include <omp.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/app_internal.h"

int app_fail(const char *command, const base_error *err)
{
    if (!app_silent())
        fprintf(stderr, "vmoe %s: %s\n", command, err->text);
    return err->status == BASE_USAGE ? APP_USAGE : APP_FAILED;
}

void app_common_apply(app_common *common, const char *command)
{
    if (common->threads < 1)
        common->threads = app_cpu_count();
    omp_set_num_threads((int)common->threads);
    common->precision = app_precision_pick(common->precision, command, common->quiet);
}

vit_precision app_precision_pick(int wish, const char *command, bool quiet)
{
    if (wish != VIT_PRECISION_BF16 && wish != APP_PRECISION_AUTO)
        return VIT_PRECISION_FP32;
    const double gain = vit_bf16_gain();
    const bool is_auto = wish == APP_PRECISION_AUTO;

    if (!vit_bf16_available() && (!is_auto || !quiet))
        fprintf(stderr, "vmoe %s: this processor has no bf16 instructions, %s\n", command,
                is_auto ? "--precision auto is fp32" : "going on in fp32");
    else if (is_auto && !quiet)
        fprintf(
            stderr,
            "vmoe %s: products in bf16 run %.2f times as fast as in fp32 here, --precision "
            "auto is %s\n",
            command, gain, gain > 1 ? "bf16" : "fp32");
    else if (!is_auto && gain > 0 && gain < 1)
        fprintf(
            stderr,
            "vmoe %s: bf16 is slower than fp32 here, its products run %.2f times as fast: "
            "--precision auto takes the faster\n",
            command, gain);
    return vit_bf16_available() && (!is_auto || gain > 1) ? VIT_PRECISION_BF16
                                                          : VIT_PRECISION_FP32;
}

void app_note(const app_common *common, const char *format, ...)
{
    char text[2048], line[2048];
    va_list list;

    if (common->quiet)
        return;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    fprintf(stderr, "%s\n", base_quote(line, sizeof line, text));
}

FILE *app_result_stream(const app_common *common)
{
    return common->json && strcmp(common->json, "-") == 0 ? stderr : stdout;
}

/* What asks a command to end in good order. More than a second after the first, INT and
 * TERM end the program at once: their sender has lost patience. The others come again and
 * again from a queue or a limit (XCPU every second) and mean the same each time. */
static const struct {
    int number;
    bool impatient;
} stop_signals[] = {{SIGINT, true},   {SIGTERM, true},  {SIGHUP, false},
                    {SIGUSR1, false}, {SIGUSR2, false}, {SIGXCPU, false}};
enum { STOP_SIGNALS = sizeof stop_signals / sizeof stop_signals[0] };

typedef struct stop_listener {
    sigset_t set;
    sem_t there; /* the thread has begun to listen */
} stop_listener;

static bool is_impatient(int number)
{
    for (size_t i = 0; i < STOP_SIGNALS; i++)
        if (stop_signals[i].number == number)
            return stop_signals[i].impatient;
    return false;
}

/* Waits for the signals that all other threads block. Programs like timeout(1) send theirs
 * twice in a row, to the process and to its group: hence the second. */
static void *wait_for_stop(void *user)
{
    stop_listener *listener = user;
    double first = 0;
    int number = 0;

    sem_post(&listener->there);
    while (sigwait(&listener->set, &number) == 0) {
        const double now = base_seconds();
        if (!base_stop_asked())
            first = now;
        else if (is_impatient(number) && now - first > 1.0)
            _exit(128 + number);
        base_stop_ask();
    }
    return NULL;
}

/* nohup leaves HUP ignored, and then it stays so. */
static bool is_ignored(int number)
{
    struct sigaction now;

    return sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

void app_stop_install(void)
{
    /* Not a handler: oneDNN's generated matrix products use the stack pointer for other
     * things, and the frame of a handler on their stack lands in the heap (seen with oneDNN
     * 2.6 on AVX-512). */
    static stop_listener listener;
    pthread_t thread;

    sigemptyset(&listener.set);
    for (size_t i = 0; i < STOP_SIGNALS; i++)
        if (stop_signals[i].number != SIGHUP || !is_ignored(SIGHUP))
            sigaddset(&listener.set, stop_signals[i].number);
    pthread_sigmask(SIG_BLOCK, &listener.set, NULL);
    if (sem_init(&listener.there, 0, 0) != 0 ||
        pthread_create(&thread, NULL, wait_for_stop, &listener) != 0) {
        pthread_sigmask(SIG_UNBLOCK, &listener.set,
                        NULL); /* Ctrl-C just ends the program */
        return;
    }
    pthread_detach(thread);
    /* A fork while the thread is being set up would leave its child with locks that nobody
     * opens. */
    while (sem_wait(&listener.there) != 0 && errno == EINTR)
        ;
}

bool app_stop_asked(void)
{
    return base_stop_asked();
}

/* A word behind the line, quoted where a shell would not read it back as it is. */
static const char *word_add(const char *line, const char *word)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "0123456789-_=+.,:/@%";
    const bool plain = *word && word[strspn(word, safe)] == '\0';
    const char *made = plain ? app_text("%s %s", line, word) : app_text("%s '", line);

    for (const char *at = word; !plain;) {
        const size_t part = strcspn(at, "'");

        made = app_text("%s%.*s%s", made, (int)part, at, at[part] ? "'\\''" : "'");
        if (!at[part])
            break;
        at += part + 1;
    }
    return made;
}

const char *app_command_line(int argc, char **argv)
{
    const char *line = "vmoe";

    for (int i = 0; i < argc; i++)
        line = word_add(line, argv[i]);
    return line;
}
