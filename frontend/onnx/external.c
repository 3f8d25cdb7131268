/* external.c - tensor data in files beside the model.
 *
 * The model names the file, and models come from strangers: only regular
 * files below the model's own folder are read, links followed first. What is
 * read in total is bounded by the files' sizes, so that a thousand tensors
 * over the same bytes cannot fill the memory. */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>


enum { SLACK = 16 << 20 };      /* bytes that tensors may share */

typedef struct External {
    const char *location;       /* as the model says it */
    uint64_t offset, length;
    bool has_length;
} External;

static bool parse_count(const char *s, uint64_t *v)
{
    char *end;

    errno = 0;
    *v = strtoull(s, &end, 10);
    return *s >= '0' && *s <= '9' && !*end && !errno && *v <= INT64_MAX;
}

static bool parse_entries(Loader *l, const Onnx__TensorProto *p,
                          const char *name, External *e)
{
    *e = (External){ 0 };
    for (size_t i = 0; i < p->n_external_data; i++) {
        const char *key = p->external_data[i]->key;
        const char *value = p->external_data[i]->value;
        bool ok = true;
        if (!key || !value)
            continue;
        if (!strcmp(key, "location"))
            e->location = value;
        else if (!strcmp(key, "offset"))
            ok = parse_count(value, &e->offset);
        else if (!strcmp(key, "length"))
            ok = e->has_length = parse_count(value, &e->length);
        if (!ok)
            return tensor_error(l, name, "external data: %s '%s' is not a "
                                "number of bytes", key, load_text(l, value));
    }
    if (!e->location || !*e->location)
        return tensor_error(l, name, "external data without a location");
    return true;
}

/* realpath into the scratch arena, NULL when there is no such file. */
static const char *real(Loader *l, const char *path)
{
    char *s = realpath(path, NULL);
    const char *copy;

    if (!s)
        return NULL;
    copy = arena_strdup(l->scratch, s);
    free(s);
    return copy;
}

static const char *model_folder(Loader *l)
{
    const char *slash = strrchr(l->path, '/');

    if (!l->folder)
        l->folder = real(l, !slash ? "."
                         : slash == l->path ? "/"
                         : arena_strndup(l->scratch, l->path,
                                         (size_t)(slash - l->path)));
    return l->folder;
}

static bool has_dotdot(const char *path)
{
    for (const char *s = path; (s = strstr(s, "..")); s += 2)
        if ((s == path || s[-1] == '/') && (!s[2] || s[2] == '/'))
            return true;
    return false;
}

static bool is_below(const char *path, const char *folder)
{
    size_t n = strlen(folder);

    if (n == 1)                 /* the root */
        return true;
    return !strncmp(path, folder, n) && path[n] == '/';
}

/* The real path of the file, when it may be read. */
static bool locate(Loader *l, const char *name, const External *e,
                   const char **path)
{
    const char *shown = load_text(l, e->location);
    const char *folder = model_folder(l);

    if (*e->location == '/' || has_dotdot(e->location))
        return tensor_error(l, name, "external data '%s' is outside the "
                            "model's folder", shown);
    *path = folder ? real(l, arena_printf(l->scratch, "%s/%s", folder,
                                          e->location))
                   : NULL;
    if (!*path)
        return tensor_error(l, name, "external data '%s': %s", shown,
                            strerror(errno));
    if (!is_below(*path, folder))
        return tensor_error(l, name, "external data '%s' is a link out of "
                            "the model's folder", shown);
    return true;
}

static bool check_file(Loader *l, const char *name, const External *e,
                       const char *path, int fd, size_t bytes)
{
    const char *shown = load_text(l, e->location);
    struct stat st;
    uint64_t size;

    if (fstat(fd, &st) || !S_ISREG(st.st_mode))
        return tensor_error(l, name, "external data '%s' is not a file",
                            shown);
    size = (uint64_t)st.st_size;
    if (e->offset > size || bytes > size - e->offset)
        return tensor_error(l, name, "external data '%s' has %" PRIu64
                            " bytes, %zu at offset %" PRIu64 " are needed",
                            shown, size, bytes, e->offset);
    if (!map_put(&l->external, path, l))
        l->external_limit += size;
    l->external_bytes += bytes;
    if (l->external_bytes > l->external_limit + SLACK)
        return tensor_error(l, name, "external data '%s': tensors overlap",
                            shown);
    return true;
}

static bool read_range(Loader *l, const char *name, const External *e,
                       const char *path, size_t bytes, void **data)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool ok;

    if (fd < 0)
        return tensor_error(l, name, "external data '%s': %s",
                            load_text(l, e->location), strerror(errno));
    ok = check_file(l, name, e, path, fd, bytes);
    if (ok) {
        *data = arena_alloc(l->arena, bytes);
        ok = file_read_at(fd, *data, bytes, e->offset) ||
             tensor_error(l, name, "external data '%s': cannot read",
                          load_text(l, e->location));
    }
    close(fd);
    return ok;
}

bool load_external(Loader *l, const Onnx__TensorProto *p, const char *name,
                   size_t bytes, const void **data)
{
    const char *path = NULL, *key;
    External e;
    void *fresh = NULL;

    if (!parse_entries(l, p, name, &e) || !locate(l, name, &e, &path))
        return false;
    if (e.has_length && e.length != bytes)
        return tensor_error(l, name, "external data of %" PRIu64 " bytes, "
                            "%zu are needed", e.length, bytes);
    key = arena_printf(l->scratch, "%s\n%" PRIu64 "\n%zu\n%d", path,
                       e.offset, bytes, (int)p->data_type);
    *data = map_get(&l->external, key);
    if (*data)
        return true;
    if (!read_range(l, name, &e, path, bytes, &fresh))
        return false;
    map_put(&l->external, key, fresh);
    *data = fresh;
    return true;
}
