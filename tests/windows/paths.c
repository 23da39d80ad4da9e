/*
 * Paths of the C ABI on Windows: UTF-8, also in letters that the system's code page lacks, also longer than 260
 * characters, and none that are not UTF-8. Files in use are replaced or refused, never half-written.
 *
 *     paths MODEL FOLDER
 */
#include "support.h"
#include <windows.h>

static omniid_engine *engine;

static void wide(const char *path, wchar_t *out) {
    /* The prefix keeps long paths whole. */
    EXPECT(MultiByteToWideChar(CP_UTF8, 0, path, -1, out, 2048) > 0);
}

static HANDLE held(const char *path, DWORD share) {
    wchar_t name[2048];
    wide(path, name);
    return CreateFileW(name, GENERIC_READ, share, NULL, OPEN_EXISTING, 0, NULL);
}

/* Saves an identity, reads it, and encodes a photo from the same folder. */
static void round_trip(omniid_identity *identity, const char *folder, const char *photo) {
    char path[2048], copy[2048];
    snprintf(path, sizeof path, "%s\\Person \xC3\xBC \xE5\x86\x99\xE7\x9C\x9F \xF0\x9F\x98\x80.omniid", folder);
    for (int i = 0; i < 2; i++) OK(omniid_identity_save(identity, path, OMNIID_PRECISION_F32));
    omniid_identity *loaded;
    OK(omniid_identity_load(path, &loaded));
    omniid_identity_free(loaded);

    wchar_t from[2048], to[2048];
    snprintf(copy, sizeof copy, "%s\\Foto \xE5\xAE\xB6\xE6\x97\x8F.bmp", folder);
    wide(photo, from);
    wide(copy, to);
    EXPECT(CopyFileW(from, to, FALSE));
    omniid_photo named = OMNIID_PHOTO_INIT;
    named.path = copy;
    OK(omniid_encode(engine, &named, 1, NULL, &loaded));
    omniid_identity_free(loaded);
}

int main(int count, char **arguments) {
    EXPECT(count == 3);
    omniid_engine_options options = OMNIID_ENGINE_OPTIONS_INIT;
    options.checkpoint_path = arguments[1];
    OK(omniid_engine_open(&options, &engine));
    omniid_photo drawn = pixels(2);
    omniid_identity *identity;
    OK(omniid_encode(engine, &drawn, 1, NULL, &identity));

    char folder[2048], photo[2048];
    wchar_t name[2048];
    snprintf(photo, sizeof photo, "%s\\photo.bmp", arguments[2]);
    static const char *const names[] = {"plain", "\xC3\x9C" "ber uns", "\xE5\x86\x99\xE7\x9C\x9F", "\xF0\x9F\x98\x80"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(folder, sizeof folder, "%s\\%s", arguments[2], names[i]);
        wide(folder, name);
        EXPECT(CreateDirectoryW(name, NULL) || GetLastError() == ERROR_ALREADY_EXISTS);
        round_trip(identity, folder, photo);
    }

    /* Made with the prefix for long paths, used without it. */
    char deep[2048];
    snprintf(deep, sizeof deep, "%s", arguments[2]);
    while (strlen(deep) < 700) {
        strcat(deep, "\\a folder with a name that is not short at all, one of several");
        snprintf(folder, sizeof folder, "\\\\?\\%s", deep);
        wide(folder, name);
        EXPECT(CreateDirectoryW(name, NULL) || GetLastError() == ERROR_ALREADY_EXISTS);
    }
    round_trip(identity, folder, photo);
    char path[2048];
    snprintf(path, sizeof path, "%s\\person.omniid", deep);
    OK(omniid_identity_save(identity, path, OMNIID_PRECISION_F16));
    snprintf(path, sizeof path, "%s/person.omniid", deep);
    omniid_identity *loaded;
    OK(omniid_identity_load(path, &loaded));
    omniid_identity_free(loaded);

    REFUSED(omniid_identity_load("latin 1: \xE4", &loaded), OMNIID_STATUS_INVALID_ARGUMENT, "not UTF-8");
    static const char *const devices[] = {"CON", "NUL.omniid", "x\\aux", "a.omniid:b"};
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
        REFUSED(omniid_identity_save(identity, devices[i], OMNIID_PRECISION_F32), OMNIID_STATUS_INVALID_ARGUMENT,
                devices[i]);
        REFUSED(omniid_identity_load(devices[i], &loaded), OMNIID_STATUS_INVALID_ARGUMENT, devices[i]);
        omniid_photo device = OMNIID_PHOTO_INIT;
        device.path = devices[i];
        EXPECT(omniid_encode(engine, &device, 1, NULL, &loaded) != OMNIID_STATUS_OK);
    }

    /* Another program has the file, and does not let it be replaced. */
    snprintf(path, sizeof path, "%s\\held.omniid", arguments[2]);
    OK(omniid_identity_save(identity, path, OMNIID_PRECISION_F32));
    HANDLE handle = held(path, FILE_SHARE_READ);
    EXPECT(handle != INVALID_HANDLE_VALUE);
    REFUSED(omniid_identity_save(identity, path, OMNIID_PRECISION_F16), OMNIID_STATUS_IO, "open");
    OK(omniid_identity_load(path, &loaded));
    omniid_identity_free(loaded);
    CloseHandle(handle);
    OK(omniid_identity_save(identity, path, OMNIID_PRECISION_F16));

    omniid_identity_free(identity);
    omniid_engine_free(engine);
    return 0;
}
