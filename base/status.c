/* status.c - status codes with one line of text, and names made safe to print. Follows
 * git's and systemd's rules for messages (style.md 2.4). Free to change: the buffers.
 * Relied on elsewhere: base_fail returns the status it was given and never fails itself; a
 * text is one line, whatever the names in it. */
#include "base/base.h"

#include <errno.h>
#include <string.h>

enum { LONGEST = 8192, TAIL = 256 };

/* One printable line: names in it may hold anything. A text that is too long loses its
 * middle, because the subject stands at the beginning and the reason at the end. */
static void put_text(base_error *err, const char *text)
{
    char safe[LONGEST];

    base_quote(safe, sizeof safe, text);
    const size_t length = strlen(safe);
    if (length < sizeof err->text) {
        memcpy(err->text, safe, length + 1);
        return;
    }
    size_t head = sizeof err->text - sizeof "..." - TAIL, tail = length - TAIL;
    /* not inside a character; clang does not know that base_quote fills: NOLINTNEXTLINE */
    while ((safe[head] & 0xc0) == 0x80)
        head--;
    while ((safe[tail] & 0xc0) == 0x80)
        tail++;
    snprintf(err->text, sizeof err->text, "%.*s...%s", (int)head, safe, safe + tail);
}

/* Every text is formatted aside first, so that an argument may point into err->text. */
base_status base_fail(base_error *err, base_status status, const char *format, ...)
{
    if (err) {
        char text[LONGEST];
        va_list args;
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        put_text(err, text);
        err->status = status;
    }
    return status;
}

base_status base_fail_errno(base_error *err, const char *format, ...)
{
    const int number = errno;
    const base_status status = number == ENOMEM ? BASE_NO_MEMORY : BASE_IO;

    if (err) {
        char text[LONGEST], reason[128];
        va_list args;
        va_start(args, format);
        vsnprintf(text, sizeof text - sizeof reason - 2, format, args);
        va_end(args);
        const size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, ": %s",
                 strerror_r(number, reason, sizeof reason));
        put_text(err, text);
        err->status = status;
    }
    return status;
}

void base_error_prepend(base_error *err, const char *format, ...)
{
    if (!err)
        return;
    char text[LONGEST];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text - sizeof err->text, format, args);
    va_end(args);
    const size_t used = strlen(text);
    memcpy(text + used, err->text, strlen(err->text) + 1);
    put_text(err, text);
}

/* Bytes of the printable UTF-8 character at s, or 0: a control character (C0, DEL, C1), an
 * overlong form, a surrogate, a number above U+10FFFF or a broken sequence (RFC 3629). */
static size_t printable_bytes(const unsigned char *s)
{
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};

    if (s[0] < 0x80)
        return s[0] >= 0x20 && s[0] != 0x7f;
    const size_t count = s[0] >= 0xf8   ? 0
                         : s[0] >= 0xf0 ? 4
                         : s[0] >= 0xe0 ? 3
                         : s[0] >= 0xc0 ? 2
                                        : 0;
    if (count == 0)
        return 0;
    uint32_t code = s[0] & (0x7fu >> count);
    for (size_t i = 1; i < count; i++) {
        if ((s[i] & 0xc0) != 0x80) /* also stops at the final 0 */
            return 0;
        code = code << 6 | (s[i] & 0x3f);
    }
    const bool bad = code < smallest[count] || code > 0x10ffff || code < 0xa0 ||
                     (code >= 0xd800 && code < 0xe000);
    return bad ? 0 : count;
}

const char *base_quote(char *out, size_t out_bytes, const char *name)
{
    static const char dots[] = "...";
    const unsigned char *s = (const unsigned char *)name;
    size_t used = 0, cut = 0; /* cut: where the dots still fit */

    if (out_bytes == 0)
        return out;
    while (*s) {
        char piece[8];
        size_t from = printable_bytes(s), to = from;
        if (from > 0) {
            memcpy(piece, s, from);
        } else {
            from = 1;
            to = 4;
            snprintf(piece, sizeof piece, "\\x%02x", *s);
        }
        if (used + to + 1 > out_bytes) {
            const size_t left = out_bytes - 1 - cut;
            const size_t count = left < sizeof dots - 1 ? left : sizeof dots - 1;
            memcpy(out + cut, dots, count);
            used = cut + count;
            break;
        }
        memcpy(out + used, piece, to);
        used += to;
        if (used + sizeof dots <= out_bytes)
            cut = used;
        s += from;
    }
    out[used] = 0;
    return out;
}
