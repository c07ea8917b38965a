/* page.c - pages of results that stand alone: head, styles, cards, bars, pictures as
 * data: URIs. Free to change: everything a reader sees. Relied on elsewhere: texts are
 * escaped here and nowhere else, and a page never refers to another file. */
#include "show/page_internal.h"

#include <math.h>
#include <string.h>

static const char STYLE[] =
    ":root{--paper:#fff;--ink:#1d2733;--soft:#667384;--line:#dde3ea;--card:#f5f7fa;"
    "--blue:#2b6cb0;--orange:#d97a1f;--green:#2f855a;--red:#c2392f}\n"
    "@media(prefers-color-scheme:dark){:root{--paper:#14191f;--ink:#e4e9ef;--soft:#94a1b0;"
    "--line:#2e3843;--card:#1d242c;--blue:#63a4e8;--orange:#f0a04b;--green:#5cc08b;"
    "--red:#ef7a6f}}\n"
    "body{background:var(--paper);color:var(--ink);margin:0 auto;max-width:1060px;"
    "padding:28px 24px 60px;font:15px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif;"
    "font-variant-numeric:tabular-nums}\n"
    "h1{font-size:26px;margin:0 0 2px}h2{font-size:18px;margin:38px 0 4px}"
    "h1,p,summary{overflow-wrap:anywhere}"
    "p{margin:0 0 12px}.soft{color:var(--soft)}\n"
    ".cards{display:flex;flex-wrap:wrap;gap:12px;margin:20px 0}"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:8px;"
    "padding:10px 18px 12px;min-width:104px}"
    ".card b{display:block;font-size:25px;line-height:1.25;font-weight:600}"
    ".card span{color:var(--soft);font-size:13px;display:block}\n"
    ".row{display:flex;flex-wrap:wrap;gap:10px 40px;align-items:flex-start}"
    ".row>section{min-width:0;flex:1 1 380px}\n"
    ".bars{display:grid;grid-template-columns:minmax(80px,max-content) minmax(120px,1fr) "
    "max-content;gap:3px 12px;align-items:center;max-width:720px;font-size:14px}"
    ".bars .track{background:var(--card);border-radius:3px;height:14px}"
    ".bars .fill{background:var(--blue);border-radius:3px;height:14px;min-width:1px}"
    ".bars .mark{background:var(--orange)}.bars .track{position:relative}"
    ".bars .pale{position:absolute;top:0;left:0;opacity:.3}"
    ".bars .name{overflow-wrap:anywhere}"
    ".bars .value{color:var(--soft);text-align:right;white-space:nowrap}\n"
    ".shots{display:grid;gap:12px;"
    "grid-template-columns:repeat(auto-fill,minmax(150px,1fr))}"
    ".shot{background:var(--card);border:1px solid var(--line);border-radius:8px;"
    "padding:10px;font-size:13px;line-height:1.4;overflow-wrap:anywhere}"
    ".shot img{display:block;margin:0 auto 8px}"
    ".shot .bars{grid-template-columns:minmax(0,1fr) 30px 36px;gap:2px 5px;font-size:12px;"
    "margin-top:2px}"
    ".shot .name{white-space:nowrap;overflow:hidden;text-overflow:ellipsis}"
    ".shot .track,.shot .fill{height:8px}.shot .track{background:var(--line)}"
    ".shot .mark{background:var(--green)}\n"
    "figure{margin:0}figcaption{color:var(--soft);font-size:13px}"
    "img.px{image-rendering:pixelated}\n"
    ".right{color:var(--green)}.wrong{color:var(--red)}\n"
    "table{border-collapse:collapse;font-size:14px}"
    "th{text-align:left;font-weight:600;color:var(--soft)}"
    "td,th{padding:3px 16px 3px 0;border-bottom:1px solid var(--line);"
    "vertical-align:top}td.n,th.n{text-align:right}\n"
    "svg{max-width:100%;height:auto}"
    "svg text{fill:var(--ink);font-size:12px;font-family:inherit}"
    "svg .soft{fill:var(--soft)}svg .grid{stroke:var(--line)}"
    "svg .bar{fill:var(--blue)}"
    "svg .mid{stroke:var(--soft);stroke-dasharray:5 4}svg .bar.mark{fill:var(--orange)}\n"
    "footer{margin-top:48px;color:var(--soft);font-size:13px;"
    "border-top:1px solid var(--line);padding-top:8px}\n";

/* Of reports: plot.c's colours, banners, triples of pictures; narrow screens and paper. */
static const char REPORT_STYLE[] =
    ".c0{--s:var(--blue)}.c1{--s:var(--orange)}.c2{--s:#8a5fbf}.c3{--s:#2a9d8f}"
    ".c4{--s:#c2577f}.c5{--s:#8d8423}.c6{--s:#5b6b7c}.c7{--s:#b5543a}"
    ".grey{--s:var(--line)}.green{--s:var(--green)}"
    "svg .line{fill:none;stroke:var(--s);stroke-width:2;stroke-linejoin:round}"
    "svg .line.dash{stroke-dasharray:5 4}svg .dot,svg rect[class^=c]{fill:var(--s)}"
    "svg .dots{fill:none;stroke:var(--s);stroke-width:4.6;stroke-linecap:round;"
    "stroke-opacity:.75}"
    "svg .band{fill:var(--s);fill-opacity:.15}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:2px 16px;font-size:13px;color:var(--soft)}"
    ".key{display:inline-block;width:14px;height:10px;border-radius:2px;margin-right:6px;"
    "background:var(--s)}.key.dash{height:0;background:none;border-top:3px dashed "
    "var(--s);vertical-align:3px}"
    ".parts{display:flex;height:26px;border-radius:5px;overflow:hidden;margin:8px 0 6px;"
    "max-width:860px}.parts i{background:var(--s);min-width:1px}\n"
    ".banner{border:1px solid var(--line);border-left:6px solid var(--s);border-radius:6px;"
    "padding:10px 16px;margin:16px 0;background:var(--card)}.banner b{color:var(--s)}"
    ".banner ul{margin:6px 0 0;padding-left:20px}"
    ".pass{--s:var(--green)}.warn{--s:var(--orange)}.fail{--s:var(--red)}"
    ".skipped{--s:var(--soft)}.badge{color:var(--s);font-weight:600;white-space:nowrap}\n"
    ".scroll{overflow-x:auto;max-width:100%}.scroll td,.scroll th{white-space:nowrap}"
    ".scroll table{width:max-content}.scroll th{white-space:normal;vertical-align:bottom;"
    "max-width:16ch}.scroll td.t{white-space:normal;overflow-wrap:break-word;max-width:46ch}"
    ".scroll+p,figure+p,.legend+p{margin-top:16px}"
    ".triples{display:grid;gap:12px;"
    "grid-template-columns:repeat(auto-fill,minmax(310px,1fr))}"
    ".triple{background:var(--card);border:1px solid var(--line);border-radius:8px;"
    "padding:10px;font-size:13px;line-height:1.4;overflow-wrap:anywhere}"
    ".triple .imgs{display:grid;grid-template-columns:repeat(4,1fr);gap:6px;"
    "margin-bottom:6px;text-align:center;color:var(--soft);font-size:11px}"
    ".triple img{display:block;width:100%;height:auto}code{overflow-wrap:anywhere}"
    ".triple .imgs span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}"
    ".triple p{margin:2px 0 8px}\n"
    ".scatters{display:grid;gap:18px 28px;"
    "grid-template-columns:repeat(auto-fit,minmax(min(400px,100%),1fr));margin:0 0 18px}"
    ".scatter svg{display:block;border:1px solid var(--line);border-radius:8px;"
    "margin:4px 0 6px}"
    "summary{cursor:pointer;font-size:17px;font-weight:600;padding:10px 0}\n"
    "@media(max-width:480px){body{padding:16px 12px 40px}.card{flex:1 1 38%;min-width:0}"
    ".card b{font-size:20px}.triples{grid-template-columns:1fr}}\n"
    "@media print{:root{--paper:#fff;--ink:#000;--soft:#444;--line:#ccc;--card:#fafafa}"
    "body{max-width:none;padding:0;font-size:12px}h2,h2+p{break-after:avoid}"
    "figure,.bars,.card,.shot,.triple,tr,.banner{break-inside:avoid}"
    ".scroll{overflow:visible}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}"
    "\n";

base_status show_page_open(show_page *page, const char *path, const char *title,
                           const char *lead, base_error *err)
{
    const base_status status = base_writer_open(&page->out, path, err);

    if (status != BASE_OK)
        return status;
    fputs(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
        page->out.file);
    show_page_text(page, title);
    fprintf(page->out.file, "</title>\n<style>\n%s%s</style>\n</head>\n<body>\n<h1>", STYLE,
            REPORT_STYLE);
    show_page_text(page, title);
    fputs("</h1>\n<p class=\"soft\">", page->out.file);
    show_page_text(page, lead);
    fputs("</p>\n", page->out.file);
    return BASE_OK;
}

base_status show_page_commit(show_page *page, base_error *err)
{
    fputs("<footer>made by vmoe " BASE_VERSION "</footer>\n</body>\n</html>\n",
          page->out.file);
    return base_writer_commit(&page->out, err);
}

void show_page_abandon(show_page *page)
{
    base_writer_abandon(&page->out);
}

void show_page_section(show_page *page, const char *heading, const char *note)
{
    fputs("<h2>", page->out.file);
    show_page_text(page, heading);
    fputs("</h2>\n", page->out.file);
    if (note)
        show_page_note(page, note);
}

void show_page_note(show_page *page, const char *note)
{
    fputs("<p class=\"soft\">", page->out.file);
    show_page_text(page, note);
    fputs("</p>\n", page->out.file);
}

/* Bytes of the UTF-8 character at text, 0 if it is none (RFC 3629, table 3-7 of
 * Unicode). */
static size_t utf8_length(const unsigned char *text)
{
    const unsigned char c = text[0];
    const size_t length = c < 0x80                ? 1
                          : c >= 0xc2 && c < 0xe0 ? 2
                          : c >= 0xe0 && c < 0xf0 ? 3
                          : c >= 0xf0 && c < 0xf5 ? 4
                                                  : 0;

    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((c == 0xe0 && text[1] < 0xa0) || (c == 0xed && text[1] > 0x9f) ||
        (c == 0xf0 && text[1] < 0x90) || (c == 0xf4 && text[1] > 0x8f))
        return 0;
    return length;
}

void show_page_text(show_page *page, const char *text)
{
    FILE *file = page->out.file;

    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        const size_t length = utf8_length(at);

        if (length == 0 || (*at < 0x20 && *at != '\n') || *at == 0x7f)
            fprintf(file, "\\x%02x", *at);
        else if (*at == '&')
            fputs("&amp;", file);
        else if (*at == '<')
            fputs("&lt;", file);
        else if (*at == '>')
            fputs("&gt;", file);
        else if (*at == '"')
            fputs("&quot;", file);
        else if (*at == '\'')
            fputs("&#39;", file);
        else
            fwrite(at, 1, length, file);
        at += length ? length : 1;
    }
}

void show_page_bars(show_page *page, const show_bar *bars, size_t count)
{
    fputs("<div class=\"bars\">\n", page->out.file);
    for (size_t i = 0; i < count; i++) {
        const double share = bars[i].share >= 0 && bars[i].share <= 1 ? bars[i].share : 0;

        fputs("<div class=\"name\">", page->out.file);
        show_page_text(page, bars[i].name);
        fputs("</div><div class=\"track\">", page->out.file);
        if (bars[i].pale > 0)
            fprintf(page->out.file,
                    "<div class=\"fill pale\" style=\"width:%.2f%%\"></div>",
                    100 * fmin(bars[i].pale, 1));
        fprintf(page->out.file,
                "<div class=\"fill%s\" style=\"width:%.2f%%\"></div></div>"
                "<div class=\"value\">",
                bars[i].mark ? " mark" : "", 100 * share);
        show_page_text(page, bars[i].value);
        fputs("</div>\n", page->out.file);
    }
    fputs("</div>\n", page->out.file);
}

/* RFC 4648, section 4. */
static void base64_put(FILE *file, const unsigned char *bytes, size_t count)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                 "0123456789+/";

    for (size_t i = 0; i < count; i += 3) {
        const size_t n = count - i < 3 ? count - i : 3;
        const uint32_t word = (uint32_t)bytes[i] << 16 |
                              (uint32_t)(n > 1 ? bytes[i + 1] : 0) << 8 |
                              (uint32_t)(n > 2 ? bytes[i + 2] : 0);

        for (size_t digit = 0; digit < 4; digit++)
            putc(digit <= n ? digits[word >> (18 - 6 * digit) & 63] : '=', file);
    }
}

void show_page_png(show_page *page, const unsigned char *png, size_t bytes, size_t wide,
                   int width, int height, const char *caption)
{
    fprintf(page->out.file, "<img%s width=\"%d\" height=\"%d\" alt=\"",
            wide < (size_t)width ? " class=\"px\"" : "", width, height);
    show_page_text(page, caption);
    fputs("\" src=\"data:image/png;base64,", page->out.file);
    base64_put(page->out.file, png, bytes);
    fputs("\">", page->out.file);
}

base_status show_page_picture(show_page *page, const data_image *image, int width,
                              int height, const char *caption, base_error *err)
{
    unsigned char *png = NULL;
    size_t bytes = 0;
    const base_status status = data_png_encode(&png, &bytes, image, err);

    if (status != BASE_OK)
        return status;
    show_page_png(page, png, bytes, image->width, width, height, caption);
    base_free(png);
    return BASE_OK;
}
