/* progress.c - one updating line on a terminal, a plain line now and then elsewhere;
 * VMOE_PROGRESS in the environment: seconds before the first, 0: every step has its line.
 *     train [========>           ]  41 %  1,204 images/s  1:12 left  epoch 2/5  loss 0.4312
 * Free to change: all of it; nothing reads these lines but people. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "apps/app_internal.h"

/* Seconds between two drawings on a terminal; first and longest pause between two plain
 * lines. */
static const double redraw_seconds = 0.1, plain_first = 5.0, plain_longest = 60.0;

enum { PLAIN_COLUMNS = 80 }; /* of a line that is no terminal's */

static int terminal_columns(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20)
        return size.ws_col;
    return 80;
}

/* What the environment says of it; what means nothing there is told once. */
static void interval_read(app_progress *p)
{
    static bool told;
    const char *pause = getenv("VMOE_PROGRESS");
    double seconds = 0;
    char shown[96];

    if (!pause)
        return;
    if (base_parse_real(&seconds, pause) && seconds >= 0) {
        p->interval = seconds;
    } else if (p->on && !told) {
        fprintf(stderr, "VMOE_PROGRESS is '%s', expected seconds from 0: not used\n",
                base_quote(shown, sizeof shown, pause));
        told = true;
    }
}

void app_progress_start(app_progress *p, const app_common *common, const char *what,
                        const char *unit, uint64_t total, uint64_t first)
{
    *p = (app_progress){.on = !common->quiet,
                        .what = what,
                        .unit = unit,
                        .total = total,
                        .done = first,
                        .first = first};
    p->terminal = isatty(STDERR_FILENO) == 1;
    p->columns = p->terminal ? terminal_columns() : PLAIN_COLUMNS + 1;
    p->started = base_seconds();
    p->drawn = p->started;
    p->interval = p->terminal ? redraw_seconds : plain_first;
    interval_read(p);
}

static void clear_line(app_progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
    p->shown = false;
}

/* " [=====>    ]" of 20 places. */
static void draw_bar(char *out, double share)
{
    enum { PLACES = 20 };
    const int full = (int)(share * PLACES);

    *out++ = ' ';
    *out++ = '[';
    for (int i = 0; i < PLACES; i++)
        *out++ = i < full ? '=' : i == full ? '>' : ' ';
    *out++ = ']';
    *out = '\0';
}

/* Where the two blanks before the last figure of a line stand; NULL: there is one alone. */
static char *last_figure(char *line)
{
    char *found = NULL;

    for (char *at = strstr(line, "  "); at; at = strstr(at + 2, "  "))
        found = at;
    return found;
}

static void draw(app_progress *p, const char *figures, double now)
{
    char line[512], bar[32] = "", number[32], rate[64] = "", left[32];
    const double seconds = now - p->started;
    const uint64_t made = p->done - p->first;
    const double speed = seconds > 0 ? (double)made / seconds : 0;
    const double share = p->total > 0 ? (double)p->done / (double)p->total : 0;

    if (p->terminal)
        draw_bar(bar, share);
    show_thousands(number, sizeof number, (uint64_t)(speed + 0.5));
    if (p->unit)
        snprintf(rate, sizeof rate, "  %s %s/s", number, p->unit);
    if (speed > 0 && p->total >= p->done)
        show_duration(left, sizeof left, (double)(p->total - p->done) / speed);
    else
        snprintf(left, sizeof left, "?");
    for (int narrow = 0; narrow < 2; narrow++) {
        if (narrow) /* the bar gives way to the figures */
            bar[0] = '\0';
        if (snprintf(line, sizeof line, "%s%s %3.0f %%%s  %s left%s%s", p->what, bar,
                     100.0 * share, rate, left, figures[0] ? "  " : "",
                     figures) < p->columns)
            break;
    }
    for (char *last; (int)strlen(line) >= p->columns && (last = last_figure(line)) != NULL;)
        *last = '\0';
    if (p->terminal) {
        /* One place stays free: a full line would make some terminals wrap. */
        fprintf(stderr, "\r\033[K%.*s", p->columns - 1, line);
        p->shown = true;
    } else {
        fprintf(stderr, "%s\n", line);
        p->interval = p->interval * 2 < plain_longest ? p->interval * 2 : plain_longest;
    }
    fflush(stderr);
    p->drawn = now;
}

void app_progress_update(app_progress *p, uint64_t done, const char *format, ...)
{
    char figures[256];
    va_list list;

    if (app_waiting_watch()) {
        app_waiting_text(figures, sizeof figures);
        app_progress_line(p, "%-12sthreads%s", "machine",
                          figures[0] ? figures : " spin again while they wait");
    }
    p->done = done > p->done ? done : p->done; /* never backwards */
    if (!p->on)
        return;
    const double now = base_seconds();
    if (now - p->drawn < p->interval)
        return;
    va_start(list, format);
    vsnprintf(figures, sizeof figures, format, list);
    va_end(list);
    draw(p, figures, now);
}

void app_progress_line(app_progress *p, const char *format, ...)
{
    va_list list;

    if (!p->on)
        return;
    clear_line(p);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    p->drawn -= p->terminal ? p->interval : 0; /* the next update draws at once */
}

void app_progress_end(app_progress *p)
{
    clear_line(p);
    fflush(stderr);
}

void app_progress_log(void *progress, const char *line)
{
    app_progress_line(progress, "%s", line);
}
