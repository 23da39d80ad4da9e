/*
 * The C side of overhead.py: for each line of standard input, times one series of calls and prints nanoseconds per
 * call.
 *
 *     overhead MODEL        then lines: "inject N", "encode N"
 */
#define _POSIX_C_SOURCE 199309L
#include <omniid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH = 2, ROWS = 1, WIDTH = 16, SIDE = 256, PHOTOS = 32 };

static void check(omniid_status status) {
    if (status == OMNIID_STATUS_OK) return;
    fprintf(stderr, "%s: %s\n", omniid_status_text(status), omniid_last_error());
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    static unsigned char pixels[PHOTOS][SIDE * SIDE * 3];
    omniid_photo photos[PHOTOS];
    for (int i = 0; i < PHOTOS; i++) {
        for (size_t j = 0; j < sizeof pixels[i]; j++) pixels[i][j] = (unsigned char)(j * (size_t)(i + 1) / 7);
        photos[i] = (omniid_photo)OMNIID_PHOTO_INIT;
        photos[i].pixels = pixels[i];
        photos[i].width = photos[i].height = SIDE;
    }
    omniid_engine_options options = OMNIID_ENGINE_OPTIONS_INIT;
    options.checkpoint_path = argv[1];
    omniid_engine *engine;
    check(omniid_engine_open(&options, &engine));
    omniid_identity *identity;
    check(omniid_encode(engine, photos, PHOTOS, NULL, &identity));
    omniid_conditioning_input input = OMNIID_CONDITIONING_INPUT_INIT;
    input.identity = identity;
    omniid_conditioning *conditioning;
    check(omniid_conditioning_create(engine, &input, 1, NULL, &conditioning));

    static float query[BATCH * ROWS * WIDTH], output[BATCH * ROWS * WIDTH];
    for (size_t i = 0; i < BATCH * ROWS * WIDTH; i++) query[i] = 1.0f;
    int32_t roles[BATCH] = {OMNIID_ROLE_UNCONDITIONAL, OMNIID_ROLE_CONDITIONAL};
    char what[16];
    int count;
    puts("ready"), fflush(stdout);
    while (scanf("%15s %d", what, &count) == 2) {
        double start = now();
        for (int i = 0; i < count; i++) {
            if (strcmp(what, "inject") == 0) {
                int64_t shape[3] = {BATCH, ROWS, WIDTH};
                omniid_tensor a = {query, {OMNIID_DEVICE_TYPE_CPU, 0}, 3, {OMNIID_TYPE_CODE_FLOAT, 32, 1}, shape, NULL,
                    0}, b = a;
                b.data = output;
                omniid_inject_call call = OMNIID_INJECT_CALL_INIT;
                call.query = &a, call.output = &b, call.roles = roles, call.role_count = BATCH;
                check(omniid_inject(conditioning, &call));
            } else {
                omniid_identity *made;
                check(omniid_encode(engine, photos, PHOTOS, NULL, &made));
                omniid_identity_free(made);
            }
        }
        printf("%.1f\n", (now() - start) / count), fflush(stdout);
    }
    omniid_conditioning_free(conditioning);
    omniid_identity_free(identity);
    omniid_engine_free(engine);
    return 0;
}
