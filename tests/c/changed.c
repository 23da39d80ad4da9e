/*
 * A model file that somebody writes to, cuts or replaces while an engine lives never ends the process. On Windows nobody
 * can write to it meanwhile: the system refuses, and the engine goes on.
 *
 *     changed MODEL FOLDER
 */
/* truncate and utimes. */
#define _XOPEN_SOURCE 700
#include "support.h"
#include <sys/stat.h>
#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#include <sys/utime.h>
#include <windows.h>
#else
#include <sys/time.h>
#include <unistd.h>
#endif

static unsigned char *content;
static size_t size;

static void write_file(const char *path, const void *bytes, size_t count, const char *mode) {
    FILE *file = fopen(path, mode);
    EXPECT(file != NULL);
    EXPECT(fwrite(bytes, 1, count, file) == count);
    EXPECT(fclose(file) == 0);
}

/* The model, dated back: a file system's clock ticks more slowly than this program runs. */
static void restore(const char *path) {
    write_file(path, content, size, "wb");
#ifdef _WIN32
    struct _utimbuf before = {1000000000, 1000000000};
    EXPECT(_utime(path, &before) == 0);
#else
    struct timeval before[2] = {{1000000000, 0}, {1000000000, 0}};
    EXPECT(utimes(path, before) == 0);
#endif
}

/* Writes to the file that an engine has open. */
static void change_file(const char *path, const void *bytes, size_t count, const char *mode) {
#ifdef _WIN32
    (void)bytes;
    (void)count;
    EXPECT(fopen(path, mode) == NULL && _doserrno == ERROR_SHARING_VIOLATION);
#else
    write_file(path, bytes, count, mode);
#endif
}

static void truncated(const char *path) {
#ifdef _WIN32
    EXPECT(_open(path, _O_RDWR | _O_BINARY) < 0 && _doserrno == ERROR_SHARING_VIOLATION);
#else
    EXPECT(truncate(path, 20) == 0);
#endif
}

static void emptied(const char *path) { change_file(path, "", 0, "wb"); }

static void rewritten(const char *path) { change_file(path, content, size / 2, "r+b"); }

static void overwritten(const char *path) { change_file(path, "{\"error\":\"not found\"}", 21, "wb"); }

static void grown(const char *path) { change_file(path, "more", 4, "ab"); }

static void replaced(const char *path) {
    char other[4096];
    snprintf(other, sizeof other, "%s.new", path);
    write_file(other, "another file", 12, "wb");
#ifdef _WIN32
    /* Whether a file that is open can be replaced depends on the release of Windows: the engine goes on in any case. */
    (void)MoveFileExA(other, path, MOVEFILE_REPLACE_EXISTING);
#else
    EXPECT(rename(other, path) == 0);
#endif
}

static void deleted(const char *path) { EXPECT(remove(path) == 0); }

/* What becomes of an engine when this happens to its file before the adapter's layers are read. */
static omniid_status after(const char *path, void (*change)(const char *)) {
    restore(path);
    omniid_engine_options options = OMNIID_ENGINE_OPTIONS_INIT;
    options.checkpoint_path = path;
    omniid_engine *engine;
    OK(omniid_engine_open(&options, &engine));
    omniid_photo photo = pixels(3);
    omniid_identity *identity;
    OK(omniid_encode(engine, &photo, 1, NULL, &identity));
    change(path);
    omniid_conditioning_input input = OMNIID_CONDITIONING_INPUT_INIT;
    input.identity = identity;
    omniid_conditioning *conditioning = NULL;
    omniid_status status = omniid_conditioning_create(engine, &input, 1, NULL, &conditioning);
    EXPECT((conditioning != NULL) == (status == OMNIID_STATUS_OK));
    omniid_conditioning_free(conditioning);
    omniid_identity_free(identity);
    omniid_engine_free(engine);
    return status;
}

/* The engine finds the change and names it; where nothing could be changed it works. */
static void told(const char *path, void (*change)(const char *), const char *names) {
    omniid_status status = after(path, change);
#ifdef _WIN32
    (void)names;
    OK(status);
#else
    REFUSED(status, OMNIID_STATUS_IO, names);
#endif
}

int main(int count, char **arguments) {
    EXPECT(count == 3);
    struct stat about;
    EXPECT(stat(arguments[1], &about) == 0);
    size = (size_t)about.st_size;
    content = malloc(size);
    FILE *model = fopen(arguments[1], "rb");
    EXPECT(content != NULL && model != NULL && fread(content, 1, size, model) == size);
    fclose(model);
    char path[4096];
    snprintf(path, sizeof path, "%s/changed.safetensors", arguments[2]);

    told(path, truncated, "20 bytes; open it again");
    told(path, emptied, "0 bytes; open it again");
    told(path, rewritten, "changed.safetensors: the file was changed after it was opened");
    told(path, overwritten, "21 bytes; open it again");
    told(path, grown, "the file was changed after it was opened");
    OK(after(path, replaced));
    OK(after(path, deleted));
    free(content);
    return 0;
}
