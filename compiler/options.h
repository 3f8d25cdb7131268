/* options.h - the parsed command line. */
#ifndef MCUFC_OPTIONS_H
#define MCUFC_OPTIONS_H

#include "../ir/ir.h"

enum {                          /* exit codes of mcufc */
    EXIT_OK = 0, EXIT_BAD = 1, EXIT_USAGE = 2, EXIT_BUG = 3,
    EXIT_BUDGET = 4, EXIT_DIFFERS = 5
};

typedef bool opt_FLAG;
typedef const char *opt_STR;
typedef const char *opt_MAYBE;  /* "" when given without an argument */
typedef int64_t opt_SIZE;       /* -1 when not given */
typedef Strings opt_LIST;

typedef struct Options {
    const char *model;
    Strings more;               /* further models: --share-arena */
    const char *flag, *behind;  /* an option whose argument may be left out,
                                   and the word behind it; or NULL */
    Strings shape;              /* options that the graph and its plan depend
                                   on, each as one word: --dim=N=1 */
#define OPTION(flag, kind, field, arg, help) opt_##kind field;
#include "options.def"
#undef OPTION
} Options;

/* False after a message: exit 2. */
bool options_parse(Options *o, int argc, char **argv, Arena *arena,
                   Diag *diag);
/* One more word for Options.shape; nothing when it is there already. */
bool options_add(Options *o, const char *word, Arena *arena, Diag *diag);
void options_help(FILE *out);
bool is_c_identifier(const char *s);
bool is_c_keyword(const char *s);       /* or one of C++ */
/* 320K -> 327680; K and M are powers of 1024; false: not a size */
bool parse_size(const char *s, int64_t *out);
/* a decimal number from 0 to 1e9 */
bool parse_number(const char *s, double *out);

#endif
