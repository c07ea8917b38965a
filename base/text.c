/* text.c - numbers from text without surprises, distance between words, formatted memory.
 * Relied on elsewhere: a number is the whole text, decimal, finite; the point is a point
 * whatever the locale says. */
#include "base/base.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *skip_digits(const char *s)
{
    while (*s >= '0' && *s <= '9')
        s++;
    return s;
}

static const char *skip_sign(const char *s)
{
    return *s == '+' || *s == '-' ? s + 1 : s;
}

/* [sign] digits [. digits] [e [sign] digits], with a digit on at least one side of the
 * point: strtod alone would also take blanks, hexadecimal, inf and nan. */
static bool is_real(const char *s)
{
    s = skip_sign(s);
    const char *whole = skip_digits(s);
    size_t digits = (size_t)(whole - s);
    s = whole;
    if (*s == '.') {
        const char *end = skip_digits(s + 1);
        digits += (size_t)(end - (s + 1));
        s = end;
    }
    if (digits == 0)
        return false;
    if (*s == 'e' || *s == 'E') {
        const char *power = skip_sign(s + 1);
        s = skip_digits(power);
        if (s == power)
            return false;
    }
    return *s == 0;
}

bool base_parse_real(double *out, const char *text)
{
    if (!is_real(text))
        return false;
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!plain)
        return false;
    char *end;
    const double value = strtod_l(text, &end, plain);
    freelocale(plain);
    if (*end || !isfinite(value))
        return false;
    *out = value;
    return true;
}

bool base_word_take(char *out, size_t out_bytes, const char **list)
{
    const char *begin = *list + strspn(*list, " "), *end = *list + strcspn(*list, ",");

    *list = *end ? end + 1 : NULL;
    while (end > begin && end[-1] == ' ')
        end--;
    const size_t length = (size_t)(end - begin);
    const bool fits = length < out_bytes;
    snprintf(out, out_bytes, "%.*s", (int)(fits ? length : out_bytes - 1), begin);
    return fits;
}

const char *base_real_text(char *out, size_t out_bytes, double value)
{
    const locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    const locale_t before = uselocale(plain); /* 0, for want of memory, changes nothing */
    double back = 0;

    for (int digits = 6; digits <= 17; digits++) {
        snprintf(out, out_bytes, "%.*g", digits, value);
        if (base_parse_real(&back, out) && back == value)
            break;
    }
    uselocale(before);
    if (plain)
        freelocale(plain);
    return out;
}

bool base_parse_int(int64_t *out, const char *text)
{
    const char *digits = skip_sign(text);
    const char *end = skip_digits(digits);

    if (end == digits || *end)
        return false;
    errno = 0;
    const long long value = strtoll(text, NULL, 10);
    if (errno == ERANGE)
        return false;
    *out = value;
    return true;
}

/* Levenshtein 1966, by rows (Wagner and Fischer 1974). */
size_t base_edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 63 };
    size_t row[LONGEST + 1];
    const size_t a_count = strnlen(a, LONGEST), b_count = strnlen(b, LONGEST);

    for (size_t j = 0; j <= b_count; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_count; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_count; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            if (best > row[j] + 1)
                best = row[j] + 1;
            if (best > row[j - 1] + 1)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b_count];
}

char *base_text(const char *format, ...)
{
    va_list args, again;
    char *out = NULL;

    va_start(args, format);
    va_copy(again, args);
    const int count = vsnprintf(NULL, 0, format, args);
    if (count >= 0)
        out = base_alloc((size_t)count + 1, 1);
    if (out)
        vsnprintf(out, (size_t)count + 1, format, again);
    va_end(again);
    va_end(args);
    return out;
}

const char *base_nearest(const char *word, const char *(*next)(const void *user, size_t i),
                         const void *user)
{
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;

    for (size_t i = 0; next(user, i); i++) {
        const size_t distance = base_edit_distance(word, next(user, i));
        if (distance < best_distance) {
            best_distance = distance;
            best = next(user, i);
        }
    }
    /* More than every second letter changed is another word, not a slip. */
    return best && best_distance * 2 <= strlen(best) ? best : NULL;
}
