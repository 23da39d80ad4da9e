/*
 * Calls another Rust library and OmniID in turn; OmniID's own panics are caught inside it, so its unwinding is used
 * too.
 *
 *     neighbours MODEL
 */
#include <omniid.h>
#include <stdio.h>

unsigned neighbour_work(void);

int main(int argc, char **argv) {
    static unsigned char picture[64 * 64 * 3];
    if (argc != 2) return 2;
    for (size_t i = 0; i < sizeof picture; i++) picture[i] = (unsigned char)(i * i / 97);
    omniid_engine_options options = OMNIID_ENGINE_OPTIONS_INIT;
    options.checkpoint_path = argv[1];
    omniid_engine *engine = NULL;
    omniid_identity *identity = NULL;
    omniid_conditioning *conditioning = NULL;
    omniid_photo photo = OMNIID_PHOTO_INIT;
    photo.pixels = picture;
    photo.width = photo.height = 64;
    if (neighbour_work() != 2) return 3;
    if (omniid_engine_open(&options, &engine) != OMNIID_STATUS_OK) goto failed;
    if (neighbour_work() != 4) return 4;
    if (omniid_encode(engine, &photo, 1, NULL, &identity) != OMNIID_STATUS_OK) goto failed;
    omniid_conditioning_input input = OMNIID_CONDITIONING_INPUT_INIT;
    input.identity = identity;
    if (omniid_conditioning_create(engine, &input, 1, NULL, &conditioning) != OMNIID_STATUS_OK) goto failed;
    if (neighbour_work() != 6) return 5;
    omniid_conditioning_free(conditioning);
    omniid_identity_free(identity);
    omniid_engine_free(engine);
    puts("two Rust libraries live in one process");
    return 0;
failed:
    fprintf(stderr, "%s\n", omniid_last_error());
    return 1;
}
