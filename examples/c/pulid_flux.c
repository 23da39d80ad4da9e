/*
 * A transformer in miniature whose adapter adds to the residual stream, as PuLID-FLUX and WithAnyone do: between two
 * blocks the host hands over the image's hidden state, and the identity is added to it in place.
 *
 *     pulid_flux CHECKPOINT PHOTO [IMAGE_ENCODER RECOGNISER [PARSER]]
 *
 * For PuLID these are its checkpoint, EVA02-CLIP-L/14-336, glintr100.onnx and facexlib's parsing_bisenet, without which
 * the background stays in the crop.
 */
#include <math.h>
#include <omniid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 2, TEXT = 8, IMAGE = 64 };

/* Ends the program with the library's message when a call fails. */
static void check(omniid_status status, const char *what) {
    if (status == OMNIID_STATUS_OK) return;
    fprintf(stderr, "%s: %s: %s\n", what, omniid_status_text(status), omniid_last_error());
    exit(1);
}

int main(int argc, char **argv) {
    if (argc != 3 && argc != 5 && argc != 6) {
        fprintf(stderr, "usage: %s CHECKPOINT PHOTO [IMAGE_ENCODER RECOGNISER [PARSER]]\n", argv[0]);
        return 2;
    }
    omniid_engine *engine;
    omniid_engine_options options = OMNIID_ENGINE_OPTIONS_INIT;
    options.checkpoint_path = argv[1];
    if (argc > 4) options.image_encoder_path = argv[3], options.face_recogniser_path = argv[4];
    if (argc > 5) options.face_parser_path = argv[5];
    check(omniid_engine_open(&options, &engine), "open");
    omniid_photo photo = OMNIID_PHOTO_INIT;
    photo.path = argv[2];
    omniid_identity *identity;
    check(omniid_encode(engine, &photo, 1, NULL, &identity), "encode");
    omniid_conditioning *conditioning;
    omniid_conditioning_input input = OMNIID_CONDITIONING_INPUT_INIT;
    input.identity = identity;
    check(omniid_conditioning_create(engine, &input, 1, NULL, &conditioning), "condition");

    size_t layers;
    float least = INFINITY;
    check(omniid_conditioning_layer_count(conditioning, &layers), "layers");
    for (size_t index = 0; index < layers; index++) {
        omniid_host_layer layer = OMNIID_HOST_LAYER_INIT;
        check(omniid_conditioning_layer(conditioning, index, &layer), "layer");
        if (layer.hidden == 0) {
            fprintf(stderr, "%s: layer %s is inside an attention, see inject.c\n", argv[1], layer.name);
            return 1;
        }
        /* The hidden state after the block. In the single blocks text and image are one sequence; the identity belongs
         * to the image alone, so its part is described: it begins TEXT rows later, and batch rows lie further apart. */
        size_t text = strncmp(layer.name, "single", 6) == 0 ? TEXT : 0, rows = text + IMAGE;
        size_t count = BATCH * rows * layer.hidden;
        float *hidden = malloc(count * sizeof *hidden), *before = malloc(count * sizeof *before), change = 0.0f;
        if (hidden == NULL || before == NULL) return 1;
        for (size_t i = 0; i < count; i++) hidden[i] = before[i] = sinf((float)i);
        int64_t shape[3] = {BATCH, IMAGE, layer.hidden};
        int64_t strides[3] = {(int64_t)(rows * layer.hidden), layer.hidden, 1};
        omniid_tensor image = {hidden + text * layer.hidden,
                               {OMNIID_DEVICE_TYPE_CPU, 0},
                               3,
                               {OMNIID_TYPE_CODE_FLOAT, 32, 1},
                               shape,
                               strides,
                               0};
        int32_t roles[BATCH] = {OMNIID_ROLE_CONDITIONAL, OMNIID_ROLE_CONDITIONAL};
        omniid_residual_call call = OMNIID_RESIDUAL_CALL_INIT;
        call.layer = index; /* norms, query and output projections of the adapter run inside the call */
        call.output = &image;
        call.roles = roles;
        call.role_count = BATCH;
        check(omniid_inject_residual(conditioning, &call), "inject");
        for (size_t i = 0; i < count; i++) {
            int is_text = i / layer.hidden % rows < text;
            if (is_text && hidden[i] != before[i]) {
                fprintf(stderr, "layer %s: the text's hidden state has changed\n", layer.name);
                return 1;
            }
            change = fmaxf(change, fabsf(hidden[i] - before[i]));
        }
        least = fminf(least, change);
        free(hidden), free(before);
    }
    printf("%zu layers: the identity changes the image's hidden state by %.3g and more, the text's not at all\n",
           layers, (double)least);

    omniid_conditioning_free(conditioning);
    omniid_identity_free(identity);
    omniid_engine_free(engine);
    return layers > 0 && least > 1e-4f ? 0 : 1;
}
