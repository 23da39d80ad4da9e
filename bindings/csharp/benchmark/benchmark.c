/*
 * The same calls as in Benchmark.cs, from C:
 *
 *     benchmark MODEL
 *
 * Prints the time of a call in microseconds, that of the best block of calls, because other programs only ever add:
 * inject with scale 0, which computes nothing; inject of 64 rows; and encode of one drawn picture of 512 x 512 pixels.
 */
#include <omniid.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROWS = 64, SIDE = 512, BLOCKS = 500 };

static void check(omniid_status status) {
    if (status == OMNIID_STATUS_OK) return;
    fprintf(stderr, "%s: %s\n", omniid_status_text(status), omniid_last_error());
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return 1e6 * (double)time.tv_sec + 1e-3 * (double)time.tv_nsec;
}

static omniid_engine *engine;
static omniid_conditioning *conditioning;
static omniid_inject_call call = OMNIID_INJECT_CALL_INIT;
static omniid_photo photo = OMNIID_PHOTO_INIT;

static void inject(void) { check(omniid_inject(conditioning, &call)); }

static void encode(void) {
    omniid_identity *identity;
    check(omniid_encode(engine, &photo, 1, NULL, &identity));
    omniid_identity_free(identity);
}

static void measure(const char *name, void (*work)(void), int blocks, int calls) {
    double best = 1e30;
    for (int i = 0; i < 50 * calls; i++) work();
    for (int block = 0; block < blocks; block++) {
        double start = now();
        for (int i = 0; i < calls; i++) work();
        double time = (now() - start) / calls;
        if (time < best) best = time;
    }
    printf("%-24s %10.2f us\n", name, best);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    static unsigned char pixels[SIDE * SIDE * 3];
    omniid_engine_options options = OMNIID_ENGINE_OPTIONS_INIT;
    options.checkpoint_path = argv[1];
    check(omniid_engine_open(&options, &engine));
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (unsigned char)(i * i / 97);
    photo.pixels = pixels;
    photo.width = photo.height = SIDE;
    omniid_identity *identity;
    check(omniid_encode(engine, &photo, 1, NULL, &identity));
    omniid_conditioning_input input = OMNIID_CONDITIONING_INPUT_INIT;
    input.identity = identity;
    check(omniid_conditioning_create(engine, &input, 1, NULL, &conditioning));
    omniid_host_layer layer = OMNIID_HOST_LAYER_INIT;
    check(omniid_conditioning_layer(conditioning, 0, &layer));
    int64_t shape[3] = {1, ROWS, (int64_t)layer.heads * layer.head_dim};
    float *query = calloc((size_t)(shape[1] * shape[2]), sizeof *query),
        *output = calloc((size_t)(shape[1] * shape[2]), sizeof *output);
    if (query == NULL || output == NULL) return 1;
    omniid_tensor query_tensor =
        {query, {OMNIID_DEVICE_TYPE_CPU, 0}, 3, {OMNIID_TYPE_CODE_FLOAT, 32, 1}, shape, NULL, 0};
    omniid_tensor output_tensor = query_tensor;
    output_tensor.data = output;
    call.query = &query_tensor;
    call.output = &output_tensor;
    call.scale = 0.0f;
    measure("inject, scale 0", inject, 10 * BLOCKS, 50);
    call.scale = 1.0f;
    measure("inject, 64 rows", inject, BLOCKS, 50);
    measure("encode", encode, BLOCKS, 1);
    omniid_conditioning_free(conditioning);
    omniid_identity_free(identity);
    omniid_engine_free(engine);
    free(query), free(output);
    return 0;
}
