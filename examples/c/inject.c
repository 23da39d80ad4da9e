/*
 * A host in miniature: a sampling loop over the attention layers of a model, with an identity injected at each.
 * Every result is checked against the formula, computed here in plain C from the keys and values handed out:
 *
 *     output += scale * factor * softmax(query Kt / sqrt(head_dim)) V
 *
 *     inject MODEL [PHOTO...]
 *
 * MODEL must hold an adapter for its host; without photos a drawn picture stands in for one.
 */
#include <math.h>
#include <omniid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 4, BATCH = 2, ROWS = 64, SIDE = 96 };

/* Ends the program with the library's message when a call fails. */
static void check(omniid_status status, const char *what) {
    if (status == OMNIID_STATUS_OK) return;
    fprintf(stderr, "%s: %s: %s\n", what, omniid_status_text(status), omniid_last_error());
    exit(1);
}

static float *allocate(size_t count) {
    float *values = calloc(count, sizeof *values);
    if (values == NULL) exit(1);
    return values;
}

/* Numbers between -1 and 1, the same on every system. */
static float noise(void) {
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 8388608.0f - 1.0f;
}

/* One batch row of the formula. The tensors are f32, without gaps: query and output [rows, heads * head_dim], keys
 * and values [tokens, heads, head_dim]. */
static void attend(const float *query, float *output, const omniid_host_layer *layer, size_t tokens, const float *keys,
                   const float *values, float scale) {
    size_t inner = (size_t)layer->heads * layer->head_dim;
    double *weights = malloc(tokens * sizeof *weights);
    if (weights == NULL) exit(1);
    for (size_t row = 0; row < ROWS; row++) {
        for (size_t head = 0; head < layer->heads; head++) {
            const float *q = query + row * inner + head * layer->head_dim;
            double largest = -INFINITY, sum = 0.0;
            for (size_t t = 0; t < tokens; t++) {
                double dot = 0.0;
                for (size_t i = 0; i < layer->head_dim; i++)
                    dot += (double)q[i] * keys[t * inner + head * layer->head_dim + i];
                weights[t] = dot / sqrt((double)layer->head_dim);
                if (weights[t] > largest) largest = weights[t];
            }
            for (size_t t = 0; t < tokens; t++) sum += weights[t] = exp(weights[t] - largest);
            for (size_t i = 0; i < layer->head_dim; i++) {
                double mixed = 0.0;
                for (size_t t = 0; t < tokens; t++)
                    mixed += weights[t] / sum * values[t * inner + head * layer->head_dim + i];
                output[row * inner + head * layer->head_dim + i] += (float)(scale * mixed);
            }
        }
    }
    free(weights);
}

/* Keys and values of a layer for one side of guidance, applied to one batch row. */
static void attend_with(const omniid_conditioning *conditioning, size_t index, const omniid_host_layer *layer,
                        int32_t role, const float *query, float *output, float scale) {
    omniid_managed_tensor *keys, *values;
    check(omniid_conditioning_keys(conditioning, index, 0, role, 1, &keys), "keys");
    check(omniid_conditioning_values(conditioning, index, 0, role, 1, &values), "values");
    if (keys != NULL && values != NULL) {
        float factor;
        check(omniid_conditioning_factor(conditioning, index, 0, &factor), "factor");
        attend(query, output, layer, (size_t)keys->dl_tensor.shape[0], keys->dl_tensor.data, values->dl_tensor.data,
               scale * factor);
    }
    omniid_managed_tensor_free(keys);
    omniid_managed_tensor_free(values);
}

static omniid_identity *encode(const omniid_engine *engine, int count, char **paths) {
    static unsigned char picture[SIDE * SIDE * 3];
    omniid_photo *photos = calloc(count > 0 ? (size_t)count : 1, sizeof *photos);
    omniid_identity *identity;
    if (photos == NULL) exit(1);
    photos[0] = (omniid_photo)OMNIID_PHOTO_INIT;
    for (int i = 0; i < count; i++) {
        photos[i] = (omniid_photo)OMNIID_PHOTO_INIT;
        photos[i].path = paths[i];
    }
    if (count == 0) {
        for (size_t i = 0; i < sizeof picture; i++) picture[i] = (unsigned char)(i * i / 97);
        photos[0].pixels = picture;
        photos[0].width = photos[0].height = SIDE;
        count = 1;
    }
    check(omniid_encode(engine, photos, (size_t)count, NULL, &identity), "encode");
    free(photos);
    return identity;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s MODEL [PHOTO...]\n", argv[0]);
        return 2;
    }
    omniid_engine *engine;
    omniid_engine_options options = OMNIID_ENGINE_OPTIONS_INIT;
    options.checkpoint_path = argv[1];
    check(omniid_engine_open(&options, &engine), "open");

    /* Keys and values are projected here, once, and not again at any step. The first three steps are conditioned. */
    omniid_identity *identity = encode(engine, argc - 2, argv + 2);
    omniid_conditioning *conditioning;
    omniid_conditioning_input input = OMNIID_CONDITIONING_INPUT_INIT;
    input.identity = identity;
    input.scale = 0.8f;
    input.step_range = OMNIID_STEP_RANGE_FRACTION;
    input.step_start = 0.0;
    input.step_end = 0.6;
    check(omniid_conditioning_create(engine, &input, 1, NULL, &conditioning), "condition");

    size_t layers;
    float largest = 0.0f, effect = 0.0f;
    check(omniid_conditioning_layer_count(conditioning, &layers), "layers");
    for (int step = 0; step < STEPS; step++) {
        for (size_t index = 0; index < layers; index++) {
            omniid_host_layer layer = OMNIID_HOST_LAYER_INIT;
            check(omniid_conditioning_layer(conditioning, index, &layer), "layer");
            size_t inner = (size_t)layer.heads * layer.head_dim, count = BATCH * ROWS * inner;
            float *query = allocate(count), *output = allocate(count), *before = allocate(count);
            float *expected = allocate(count);
            /* The host's own layer: queries, and the attention to the text. */
            for (size_t i = 0; i < count; i++) query[i] = 3.0f * noise(), expected[i] = output[i] = before[i] = noise();

            int64_t shape[3] = {BATCH, ROWS, (int64_t)inner};
            omniid_tensor query_tensor = {
                query, {OMNIID_DEVICE_TYPE_CPU, 0}, 3, {OMNIID_TYPE_CODE_FLOAT, 32, 1}, shape, NULL, 0};
            omniid_tensor output_tensor = query_tensor;
            output_tensor.data = output;
            /* Guidance in one batch: the first row does not follow the prompt, the second does. */
            int32_t roles[BATCH] = {OMNIID_ROLE_UNCONDITIONAL, OMNIID_ROLE_CONDITIONAL};
            omniid_inject_call call = OMNIID_INJECT_CALL_INIT;
            call.layer = index;
            call.query = &query_tensor;
            call.output = &output_tensor;
            call.roles = roles;
            call.role_count = BATCH;
            call.flags = OMNIID_INJECT_FLAG_FRACTION;
            call.fraction = (double)step / (STEPS - 1);
            call.scale = 0.5f;
            check(omniid_inject(conditioning, &call), "inject");

            int32_t active;
            check(omniid_conditioning_is_active(conditioning, 0, NULL, &call.fraction, &active), "active");
            for (size_t row = 0; active && row < BATCH; row++)
                attend_with(conditioning, index, &layer, roles[row], query + row * ROWS * inner,
                            expected + row * ROWS * inner, call.scale);
            for (size_t i = 0; i < count; i++) {
                largest = fmaxf(largest, fabsf(output[i] - expected[i]));
                effect = fmaxf(effect, fabsf(output[i] - before[i]));
            }
            if (!active && memcmp(output, before, count * sizeof *output) != 0) {
                fprintf(stderr, "step %d, layer %s: the output changed outside the identity's steps\n", step,
                        layer.name);
                return 1;
            }
            free(query), free(output), free(before), free(expected);
        }
    }
    printf("%d steps, %zu layers: the identity changes the output by up to %.3g; largest error %.3g\n", STEPS, layers,
           (double)effect, (double)largest);

    omniid_conditioning_free(conditioning);
    omniid_identity_free(identity);
    omniid_engine_free(engine);
    return largest <= 1e-5f && effect > 1e-3f ? 0 : 1;
}
