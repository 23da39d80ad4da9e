/*
 * A model that reads face embeddings, such as IP-Adapter FaceID or InstantID: identities from a photo and from an
 * embedding that the host has, injection, the model's LoRA, and how like a generated picture is to the person.
 *
 *     faceid CHECKPOINT PHOTO RESULT LORA [RECOGNISER [IMAGE_ENCODER]]
 *
 * RESULT is a picture that the host has generated; LORA is written. RECOGNISER is the face recognition network that the
 * model was trained with (w600k_r50.onnx for FaceID, glintr100.onnx for InstantID), IMAGE_ENCODER the CLIP vision model
 * that FaceID-Plus needs. A checkpoint in OmniID's own format holds both.
 */
#include <math.h>
#include <omniid.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 64, SIDE = 512 };

/* Ends the program with the library's message when a call fails. */
static void check(omniid_status status, const char *what) {
    if (status == OMNIID_STATUS_OK) return;
    fprintf(stderr, "%s: %s: %s\n", what, omniid_status_text(status), omniid_last_error());
    exit(1);
}

static omniid_photo photo_of(const char *path) {
    omniid_photo photo = OMNIID_PHOTO_INIT;
    photo.path = path;
    return photo;
}

/* Adds the identity to one attention layer of a host in miniature, and says by how much the layer's output changes. */
static float inject(const omniid_conditioning *conditioning, size_t index) {
    omniid_host_layer layer = OMNIID_HOST_LAYER_INIT;
    check(omniid_conditioning_layer(conditioning, index, &layer), "layer");
    size_t inner = (size_t)layer.heads * layer.head_dim;
    float *query = calloc(ROWS * inner, sizeof *query), *output = calloc(ROWS * inner, sizeof *output), most = 0.0f;
    if (query == NULL || output == NULL) exit(1);
    for (size_t i = 0; i < ROWS * inner; i++) query[i] = sinf((float)i);

    int64_t shape[3] = {1, ROWS, (int64_t)inner};
    omniid_tensor queries = {query, {OMNIID_DEVICE_TYPE_CPU, 0}, 3, {OMNIID_TYPE_CODE_FLOAT, 32, 1}, shape, NULL, 0};
    omniid_tensor outputs = queries;
    outputs.data = output;
    omniid_inject_call call = OMNIID_INJECT_CALL_INIT;
    call.layer = index;
    call.query = &queries;
    call.output = &outputs;
    check(omniid_inject(conditioning, &call), "inject");
    for (size_t i = 0; i < ROWS * inner; i++) most = fmaxf(most, fabsf(output[i]));
    free(query), free(output);
    return most;
}

/* What a ControlNet such as InstantID's reads beside the latents: the identity's tokens in place of a text,
 * unconditional and conditional, and a picture of the five keypoints. */
static void control(const omniid_engine *engine, const omniid_identity *identity, const float *landmarks) {
    omniid_managed_tensor *tokens;
    check(omniid_identity_context_tokens(engine, identity, &tokens), "context tokens");
    const int64_t *shape = tokens->dl_tensor.shape;
    static uint8_t picture[SIDE * SIDE * 3];
    /* For a picture of the photo's size. For another one the landmarks are scaled. */
    check(omniid_draw_keypoints(landmarks, SIDE, SIDE, 0, picture), "keypoints");
    size_t drawn = 0;
    for (size_t i = 0; i < sizeof picture; i += 3) drawn += (picture[i] | picture[i + 1] | picture[i + 2]) != 0;
    printf("for a ControlNet: tokens [%d, %d, %d], keypoints on %zu pixels\n", (int)shape[0], (int)shape[1],
           (int)shape[2], drawn);
    omniid_managed_tensor_free(tokens);
}

int main(int argc, char **argv) {
    if (argc < 5 || argc > 7) {
        fprintf(stderr, "usage: %s CHECKPOINT PHOTO RESULT LORA [RECOGNISER [IMAGE_ENCODER]]\n", argv[0]);
        return 2;
    }
    omniid_engine *engine;
    omniid_engine_options options = OMNIID_ENGINE_OPTIONS_INIT;
    options.checkpoint_path = argv[1];
    if (argc > 5) options.face_recogniser_path = argv[5];
    if (argc > 6) options.image_encoder_path = argv[6];
    check(omniid_engine_open(&options, &engine), "open");
    omniid_engine_info info = OMNIID_ENGINE_INFO_INIT;
    check(omniid_engine_describe(engine, &info), "describe");
    if (info.face_dimension == 0 || !info.has_face_recogniser) {
        fprintf(stderr, "%s: needs a model that reads face embeddings, and its face recogniser\n", argv[1]);
        return 1;
    }
    printf("trained with %s, here %s; licence: %s\n", info.face_network, info.face_recogniser,
           info.face_recogniser_licence);

    /* From a photo: the face is found, aligned, and passes through the recognition network. */
    omniid_report *report;
    omniid_encode_options encode = OMNIID_ENCODE_OPTIONS_INIT;
    encode.report = &report;
    omniid_photo photo = photo_of(argv[2]);
    omniid_identity *identity;
    check(omniid_encode(engine, &photo, 1, &encode, &identity), "encode");
    omniid_photo_report face = OMNIID_PHOTO_REPORT_INIT;
    check(omniid_report_photo(report, 0, &face), "report");
    omniid_report_free(report);

    /* From an embedding that the host has: here the one that was just computed. Models that look at the face as well,
     * such as FaceID-Plus, get the picture beside it; the others no picture. */
    omniid_embedding known = OMNIID_EMBEDDING_INIT;
    check(omniid_identity_embedding(identity, 0, &known), "embedding");
    omniid_photo stored = info.has_image_encoder ? photo_of(argv[2]) : (omniid_photo)OMNIID_PHOTO_INIT;
    stored.embedding = known.values;
    stored.embedding_size = known.size;
    stored.embedding_network = known.network; /* or the name of a pack: "buffalo_l", "antelopev2" */
    stored.embedding_form = known.form;
    omniid_identity *from_embedding;
    check(omniid_encode(engine, &stored, 1, NULL, &from_embedding), "encode an embedding");
    omniid_managed_tensor *first, *second;
    check(omniid_identity_tokens(identity, &first), "tokens");
    check(omniid_identity_tokens(from_embedding, &second), "tokens");
    const float *a = first->dl_tensor.data, *b = second->dl_tensor.data;
    float apart = 0.0f;
    for (int64_t i = 0; i < first->dl_tensor.shape[0] * first->dl_tensor.shape[1]; i++)
        apart = fmaxf(apart, fabsf(a[i] - b[i]));
    printf("%d values by %s; tokens of photo and embedding differ by %.3g\n", (int)known.size, known.network,
           (double)apart);
    omniid_managed_tensor_free(first);
    omniid_managed_tensor_free(second);

    omniid_conditioning *conditioning;
    omniid_conditioning_input input = OMNIID_CONDITIONING_INPUT_INIT;
    input.identity = from_embedding;
    input.scale = 0.8f;
    check(omniid_conditioning_create(engine, &input, 1, NULL, &conditioning), "condition");
    float effect = inject(conditioning, 0);
    printf("the identity changes layer 0 by up to %.3g\n", (double)effect);
    if (face.has_landmarks) control(engine, identity, face.face_landmarks);

    /* The host applies this file at strength 1 to its UNet: the model was trained with it. */
    if (info.has_lora) {
        check(omniid_engine_save_lora(engine, argv[4], OMNIID_LORA_FORMAT_KOHYA), "save the LoRA");
        printf("%s is part of the model: apply it to the UNet at strength 1\n", argv[4]);
    }

    omniid_photo result = photo_of(argv[3]);
    omniid_likeness likeness = OMNIID_LIKENESS_INIT;
    check(omniid_likeness_of(engine, identity, &result, &likeness), "likeness");
    printf("the result is like the person by %.3f\n", (double)likeness.mean);

    omniid_conditioning_free(conditioning);
    omniid_identity_free(from_embedding);
    omniid_identity_free(identity);
    omniid_engine_free(engine);
    return effect > 1e-3f && apart <= 1e-4f ? 0 : 1;
}
