/*
 * The shortest useful program: photos of one person to an identity file.
 *
 *     identity MODEL OUTPUT PHOTO...
 */
#include <omniid.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: %s MODEL OUTPUT PHOTO...\n", argv[0]);
        return 2;
    }
    omniid_engine *engine = NULL;
    omniid_identity *identity = NULL;
    size_t count = (size_t)(argc - 3);
    omniid_photo *photos = calloc(count, sizeof *photos);
    if (photos == NULL) return 1;
    for (size_t i = 0; i < count; i++) {
        photos[i] = (omniid_photo)OMNIID_PHOTO_INIT;
        photos[i].path = argv[3 + i];
    }
    omniid_engine_options options = OMNIID_ENGINE_OPTIONS_INIT;
    options.checkpoint_path = argv[1];

    omniid_status status = omniid_engine_open(&options, &engine);
    if (status == OMNIID_STATUS_OK) status = omniid_encode(engine, photos, count, NULL, &identity);
    if (status == OMNIID_STATUS_OK) status = omniid_identity_save(identity, argv[2], OMNIID_PRECISION_F16);
    if (status != OMNIID_STATUS_OK) fprintf(stderr, "%s: %s\n", omniid_status_text(status), omniid_last_error());

    omniid_identity_free(identity);
    omniid_engine_free(engine);
    free(photos);
    return status == OMNIID_STATUS_OK ? 0 : 1;
}
