/* embed.c - build tool: turns text files into one C table of strings.
 * usage: embed OUT.c TABLE FILE... */
#include <stdio.h>
#include <string.h>

static void quote_line(FILE *out, const char *s)
{
    fputs("    \"", out);
    for (; *s && *s != '\n'; s++) {
        if (*s == '"' || *s == '\\')
            fputc('\\', out);
        fputc(*s, out);
    }
    fputs("\\n\"\n", out);
}

static int embed(FILE *out, const char *path)
{
    const char *base = strrchr(path, '/');
    char line[1024];
    FILE *in = fopen(path, "r");

    if (!in) {
        perror(path);
        return 1;
    }
    fprintf(out, "  { \"%s\",\n", base ? base + 1 : path);
    while (fgets(line, sizeof line, in))
        quote_line(out, line);
    fputs("  },\n", out);
    return fclose(in);
}

int main(int argc, char **argv)
{
    int bad = 0;
    FILE *out;

    if (argc < 3 || !(out = fopen(argv[1], "w")))
        return 2;
    fprintf(out, "/* made by tools/embed.c */\n#include \"kernels.h\"\n\n"
            "const KernelFile %s[] = {\n", argv[2]);
    for (int i = 3; i < argc; i++)
        bad |= embed(out, argv[i]);
    fputs("  { 0, 0 }\n};\n", out);
    return fclose(out) || bad;
}
