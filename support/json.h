/* json.h - reads JSON (RFC 8259), strictly: no comments, no trailing commas,
 * no key twice, nothing behind the value; whole numbers stay exact. Text
 * comes from strangers: depth and numbers of keys are bounded. */
#ifndef MCUFC_JSON_H
#define MCUFC_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "diag.h"

typedef enum JsonKind {
    JSON_NULL, JSON_BOOL, JSON_INT, JSON_REAL, JSON_STRING, JSON_ARRAY,
    JSON_OBJECT
} JsonKind;

typedef struct Json Json;

struct Json {
    JsonKind kind;
    int line;                   /* of its first character, from 1 */
    const char *key;            /* when it is a member of an object */
    int64_t number;             /* JSON_INT; JSON_BOOL: 0 or 1 */
    double real;                /* JSON_REAL and JSON_INT */
    const char *text;           /* JSON_STRING: without the byte 0 */
    int n;                      /* elements or members */
    const Json **item;
};

/* NULL after a message with path and line. */
const Json *json_parse(const char *text, size_t n, const char *path,
                       Arena *arena, Diag *diag);
/* the member `key`; NULL: there is none, or j is not an object */
const Json *json_get(const Json *j, const char *key);
const char *json_kind(const Json *j);   /* "a number": for messages */

#endif
