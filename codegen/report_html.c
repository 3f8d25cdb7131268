/* report_html.c - the memory plan as a page: one file, no network.
 *
 * The page is codegen/page/, embedded in the binary, with `@KEY@` lines where
 * its parts go: style, scripts, the JSON of the plan, and the report as text
 * for readers without scripts. Names come from strangers' models, so the JSON
 * has no `<` and no line separator that could end its <script> element.
 */
#include <string.h>

#include "kernels.h"
#include "report.h"

static const char *page_file(const char *name)
{
    for (const KernelFile *f = page_files; f->name; f++)
        if (!strcmp(f->name, name))
            return f->text;
    return "";
}

static void put_scripts(Buf *b)
{
    for (const KernelFile *f = page_files; f->name; f++)
        if (strstr(f->name, ".js"))
            buf_puts(b, f->text);
}

static void put_script_json(Buf *b, const char *s)
{
    for (; *s; s++)
        if (*s == '<')
            buf_puts(b, "\\u003c");
        else if (!strncmp(s, "\xe2\x80\xa8", 3) ||
                 !strncmp(s, "\xe2\x80\xa9", 3)) {
            buf_puts(b, s[2] == '\xa8' ? "\\u2028" : "\\u2029");
            s += 2;
        } else
            buf_putc(b, *s);
}

static void put_text(Buf *b, const char *s)
{
    for (; *s; s++)
        if (*s == '<' || *s == '>' || *s == '&')
            buf_printf(b, "&#%d;", *s);
        else
            buf_putc(b, *s);
}

/* The part that replaces a line `@KEY@`; false when the line is none. */
static bool put_part(Buf *b, const char *line, const ReportInfo *info)
{
    Buf part;

    buf_init(&part, b->arena);
    if (!strncmp(line, "@STYLE@", 7)) {
        buf_puts(b, page_file("page.css"));
    } else if (!strncmp(line, "@SCRIPT@", 8)) {
        put_scripts(b);
    } else if (!strncmp(line, "@PLAN@", 6)) {
        report_json(&part, info);
        put_script_json(b, part.s);
    } else if (!strncmp(line, "@TEXT@", 6)) {
        report_text(&part, info);
        put_text(b, part.s);
    } else {
        return false;
    }
    return true;
}

void report_html(Buf *b, const ReportInfo *info)
{
    for (const char *p = page_file("page.html"); *p;) {
        size_t n = strcspn(p, "\n") + 1;
        if (!put_part(b, p, info))
            buf_write(b, p, n);
        p += n;
    }
}
