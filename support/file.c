/* file.c - reads, not maps: a file that another program shortens meanwhile
 * must be an error, not a signal. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TAIL = 2 };              /* zeros behind a file's bytes */

static bool fail(Diag *diag, const char *path, const char *doing)
{
    const char *file = diag->file;

    diag->file = NULL;
    diag_error(diag, "%s: cannot %s: %s", path, doing, strerror(errno));
    diag->file = file;
    return false;
}

/* The rest of fd behind the n bytes in *out, to its end. */
static bool read_rest(int fd, size_t cap, size_t max, Arena *arena,
                      FileBytes *out)
{
    cap -= TAIL;
    for (;;) {
        ssize_t got;
        if (out->n == cap) {
            uint8_t *old = out->data;
            if (cap > max)
                return errno = EFBIG, false;
            cap = cap * 2;
            out->data = memcpy(arena_alloc(arena, cap + TAIL), old, out->n);
        }
        got = read(fd, out->data + out->n, cap - out->n);
        if (got == 0)
            return out->n <= max || (errno = EFBIG, false);
        if (got < 0 && errno != EINTR)
            return false;
        if (got > 0)
            out->n += (size_t)got;
    }
}

bool file_read(const char *path, size_t max, Arena *arena, Diag *diag,
               FileBytes *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t cap = 64 * 1024;
    struct stat st;
    bool ok;

    if (fd < 0)
        return fail(diag, path, "open");
    ok = fstat(fd, &st) == 0;
    if (ok && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        ok = false;
    }
    if (ok && S_ISREG(st.st_mode) && (uint64_t)st.st_size > max) {
        errno = EFBIG;
        ok = false;
    }
    if (ok) {
        if (S_ISREG(st.st_mode) && st.st_size > 0)
            cap = (size_t)st.st_size + 1 + TAIL;
        out->n = 0;
        out->data = arena_alloc(arena, cap);
        ok = read_rest(fd, cap, max, arena, out);
    }
    if (!ok)
        fail(diag, path, "read");
    close(fd);
    return ok;
}

bool file_read_at(int fd, void *p, size_t n, uint64_t offset)
{
    char *at = p;

    while (n) {
        ssize_t got = pread(fd, at, n, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return true;
}
