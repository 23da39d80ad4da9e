/*
 * What C gets: the tokens of some photos and one injection into each layer. The programs beside this one do the same in
 * other languages, on the queries and outputs that this one has written.
 *
 *     results MODEL FOLDER PHOTO...
 *
 * Writes FOLDER/tokens.bin, and for each layer FOLDER/query-N.bin, before-N.bin and after-N.bin, f32.
 */
#include <omniid.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 2, ROWS = 24 };

static void check(omniid_status status) {
    if (status == OMNIID_STATUS_OK) return;
    fprintf(stderr, "%s: %s\n", omniid_status_text(status), omniid_last_error());
    exit(1);
}

static void write_floats(const char *folder, const char *name, int number, const float *values, size_t count) {
    char path[4096];
    snprintf(path, sizeof path, number < 0 ? "%s/%s.bin" : "%s/%s-%d.bin", folder, name, number);
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(values, sizeof *values, count, file) != count || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

/* Numbers between -1 and 1, the same on every system. */
static float noise(void) {
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 8388608.0f - 1.0f;
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    omniid_engine_options options = OMNIID_ENGINE_OPTIONS_INIT;
    options.checkpoint_path = argv[1];
    omniid_engine *engine;
    check(omniid_engine_open(&options, &engine));

    omniid_photo *photos = calloc((size_t)argc, sizeof *photos);
    if (photos == NULL) return 1;
    for (int i = 3; i < argc; i++) {
        photos[i - 3] = (omniid_photo)OMNIID_PHOTO_INIT;
        photos[i - 3].path = argv[i];
    }
    omniid_identity *identity;
    check(omniid_encode(engine, photos, (size_t)(argc - 3), NULL, &identity));
    omniid_managed_tensor *tokens;
    check(omniid_identity_tokens(identity, &tokens));
    const int64_t *shape = tokens->dl_tensor.shape;
    write_floats(argv[2], "tokens", -1, tokens->dl_tensor.data, (size_t)(shape[0] * shape[1]));
    omniid_managed_tensor_free(tokens);

    omniid_conditioning_input input = OMNIID_CONDITIONING_INPUT_INIT;
    input.identity = identity;
    input.scale = 0.8f;
    omniid_conditioning *conditioning;
    check(omniid_conditioning_create(engine, &input, 1, NULL, &conditioning));
    size_t layers;
    check(omniid_conditioning_layer_count(conditioning, &layers));
    for (size_t index = 0; index < layers; index++) {
        omniid_host_layer layer = OMNIID_HOST_LAYER_INIT;
        check(omniid_conditioning_layer(conditioning, index, &layer));
        size_t width = (size_t)layer.heads * layer.head_dim, count = BATCH * ROWS * width;
        float *query = calloc(count, sizeof *query), *output = calloc(count, sizeof *output);
        if (query == NULL || output == NULL) return 1;
        for (size_t i = 0; i < count; i++) query[i] = 3.0f * noise(), output[i] = noise();
        write_floats(argv[2], "query", (int)index, query, count);
        write_floats(argv[2], "before", (int)index, output, count);
        int64_t sizes[3] = {BATCH, ROWS, (int64_t)width};
        omniid_tensor query_tensor = {
            query, {OMNIID_DEVICE_TYPE_CPU, 0}, 3, {OMNIID_TYPE_CODE_FLOAT, 32, 1}, sizes, NULL, 0};
        omniid_tensor output_tensor = query_tensor;
        output_tensor.data = output;
        int32_t roles[BATCH] = {OMNIID_ROLE_UNCONDITIONAL, OMNIID_ROLE_CONDITIONAL};
        omniid_inject_call call = OMNIID_INJECT_CALL_INIT;
        call.layer = index;
        call.query = &query_tensor;
        call.output = &output_tensor;
        call.roles = roles;
        call.role_count = BATCH;
        call.scale = 0.5f;
        check(omniid_inject(conditioning, &call));
        write_floats(argv[2], "after", (int)index, output, count);
        free(query), free(output);
    }
    omniid_conditioning_free(conditioning);
    omniid_identity_free(identity);
    omniid_engine_free(engine);
    free(photos);
    return 0;
}
