/*
 * Face embeddings, the residual stream and SD3.5, tried from C: what the calls give, and what they refuse.
 *
 *     faces MODELS FOLDER
 *
 * MODELS is a folder that the example untrained_adapters has filled.
 */
#include "support.h"

enum { DIMENSION = 12, TOKENS = 4, WIDTH = 24 };

static const char *models;

static omniid_engine *open_model(const char *name, const char *recogniser) {
    char paths[2][4096];
    omniid_engine *engine;
    omniid_engine_options options = OMNIID_ENGINE_OPTIONS_INIT;
    snprintf(paths[0], sizeof paths[0], "%s/%s.safetensors", models, name);
    snprintf(paths[1], sizeof paths[1], "%s/%s.safetensors", models, recogniser == NULL ? "" : recogniser);
    if (name[0] != 0) options.checkpoint_path = paths[0];
    if (recogniser != NULL) options.face_recogniser_path = paths[1];
    OK(omniid_engine_open(&options, &engine));
    return engine;
}

/* A drawn picture with a face where the landmarks say. */
static omniid_photo face(int number) {
    static const float landmarks[10] = {26, 20, 52, 19, 40, 33, 29, 44, 50, 45};
    omniid_photo photo = pixels(number);
    photo.face_hint = OMNIID_FACE_HINT_LANDMARKS;
    memcpy(photo.face_landmarks, landmarks, sizeof landmarks);
    return photo;
}

/* A photo that is only an embedding. */
static omniid_photo embedded(const float *values) {
    omniid_photo photo = OMNIID_PHOTO_INIT;
    photo.embedding = values;
    photo.embedding_size = DIMENSION;
    photo.embedding_network = "buffalo_l";
    return photo;
}

/* Encodes and copies the tokens of each of so many photos; the number of tokens is checked. */
static omniid_identity *encode(const omniid_engine *engine, const omniid_photo *photos, size_t count,
                               const omniid_encode_options *options, int64_t tokens, float *out) {
    omniid_identity *identity;
    int64_t shape[2] = {tokens, WIDTH};
    omniid_tensor tensor = {out, {OMNIID_DEVICE_TYPE_CPU, 0}, 2, {OMNIID_TYPE_CODE_FLOAT, 32, 1}, shape, NULL, 0};
    OK(omniid_encode(engine, photos, count, options, &identity));
    OK(omniid_identity_copy_tokens(identity, &tensor));
    return identity;
}

static float apart(const float *a, const float *b, size_t count) {
    float most = 0;
    for (size_t i = 0; i < count; i++) most = fmaxf(most, fabsf(a[i] - b[i]));
    return most;
}

static double cosine(const float *a, const float *b) {
    double product = 0, first = 0, second = 0;
    for (int i = 0; i < DIMENSION; i++) {
        product += (double)a[i] * b[i];
        first += (double)a[i] * a[i];
        second += (double)b[i] * b[i];
    }
    return product / sqrt(first * second);
}

static void describing(const omniid_engine *engine) {
    omniid_engine_info info = OMNIID_ENGINE_INFO_INIT;
    OK(omniid_engine_describe(engine, &info));
    EXPECT(info.encoder == OMNIID_ENCODER_FACE_ID && info.has_image_encoder == 0 && info.image_size == 0);
    EXPECT(info.has_lora == 1 && info.has_face_recogniser == 1 && info.face_dimension == DIMENSION);
    EXPECT(info.face_form == OMNIID_EMBEDDING_FORM_NORMALISED && strcmp(info.face_recogniser, "IResNet-50") == 0);
    EXPECT(strstr(info.face_network, "w600k_r50") != NULL && strstr(info.face_recogniser_licence, "random") != NULL);
    /* A program that was built for ABI 1.1: nothing behind its shorter struct is written. */
    memset(&info, 0x5A, sizeof info);
    info.struct_size = (uint32_t)offsetof(omniid_engine_info, has_image_encoder);
    OK(omniid_engine_describe(engine, &info));
    EXPECT(info.token_width == WIDTH && info.has_image_encoder == 0x5A5A5A5A);
    /* A model without all that. */
    omniid_engine *plain = open_model("residual", NULL);
    info = (omniid_engine_info)OMNIID_ENGINE_INFO_INIT;
    OK(omniid_engine_describe(plain, &info));
    EXPECT(info.has_image_encoder == 1 && info.has_lora == 0 && info.has_face_recogniser == 0);
    EXPECT(info.face_dimension == 0 && info.face_network == NULL && info.face_recogniser == NULL);
    EXPECT(info.face_recogniser_licence == NULL);
    omniid_engine_free(plain);
}

/* From photos, from their embeddings raw and normalised: the same tokens. */
static void embeddings(const omniid_engine *engine) {
    omniid_photo photos[2] = {face(0), face(1)};
    float expected[2 * TOKENS * WIDTH], tokens[2 * TOKENS * WIDTH], raw[2][DIMENSION], unit[DIMENSION];
    omniid_identity *identity = encode(engine, photos, 2, NULL, 2 * TOKENS, expected), *other;
    omniid_identity_info info = OMNIID_IDENTITY_INFO_INIT;
    OK(omniid_identity_describe(identity, &info));
    EXPECT(info.photos == 2 && info.embeddings == 2 && info.features == 0 &&
           info.combine == OMNIID_COMBINE_CONCATENATE);
    EXPECT(info.shortcut_scale == 1.0f);
    for (size_t i = 0; i < 2; i++) {
        omniid_embedding found = OMNIID_EMBEDDING_INIT;
        OK(omniid_identity_embedding(identity, i, &found));
        EXPECT(found.form == OMNIID_EMBEDDING_FORM_RAW && found.size == DIMENSION && found.values != NULL);
        EXPECT(strstr(found.network, "IResNet-50") != NULL);
        memcpy(raw[i], found.values, sizeof raw[i]);
        omniid_managed_tensor *alone;
        OK(omniid_face_embedding(engine, &photos[i], &alone));
        EXPECT(alone->dl_tensor.ndim == 1 && alone->dl_tensor.shape[0] == DIMENSION && (alone->flags & 1) == 1);
        EXPECT(memcmp(alone->dl_tensor.data, raw[i], sizeof raw[i]) == 0);
        omniid_managed_tensor_free(alone);
    }
    EXPECT(apart(raw[0], raw[1], DIMENSION) > 1e-3f);
    omniid_embedding none = OMNIID_EMBEDDING_INIT;
    REFUSED(omniid_identity_embedding(identity, 2, &none), OMNIID_STATUS_INVALID_ARGUMENT, "no photo 2");
    none.struct_size = 8;
    REFUSED(omniid_identity_embedding(identity, 0, &none), OMNIID_STATUS_INVALID_ARGUMENT, "OMNIID_EMBEDDING_INIT");

    photos[0] = embedded(raw[0]);
    photos[1] = embedded(raw[1]);
    omniid_identity_free(encode(engine, photos, 2, NULL, 2 * TOKENS, tokens));
    EXPECT(memcmp(tokens, expected, sizeof tokens) == 0);
    double length = 0;
    for (int i = 0; i < DIMENSION; i++) length += (double)raw[0][i] * raw[0][i];
    for (int i = 0; i < DIMENSION; i++) unit[i] = (float)(raw[0][i] / sqrt(length));
    photos[0] = embedded(unit);
    photos[0].embedding_form = OMNIID_EMBEDDING_FORM_NORMALISED;
    other = encode(engine, photos, 2, NULL, 2 * TOKENS, tokens);
    EXPECT(apart(tokens, expected, 2 * TOKENS * WIDTH) < 1e-5f);
    omniid_embedding kept = OMNIID_EMBEDDING_INIT;
    OK(omniid_identity_embedding(other, 0, &kept));
    EXPECT(kept.form == OMNIID_EMBEDDING_FORM_NORMALISED && strcmp(kept.network, "buffalo_l") == 0);
    omniid_identity_free(other);

    /* A copy without them, and a photo whose face was not kept. */
    OK(omniid_identity_without_features(identity, &other));
    OK(omniid_identity_embedding(other, 1, &kept));
    EXPECT(kept.values == NULL && kept.size == 0 && kept.network == NULL);
    omniid_identity_free(other);

    /* How like: the cosines of the embeddings. */
    omniid_photo third = face(2);
    omniid_managed_tensor *looked;
    OK(omniid_face_embedding(engine, &third, &looked));
    double first = cosine(looked->dl_tensor.data, raw[0]), second = cosine(looked->dl_tensor.data, raw[1]);
    omniid_managed_tensor_free(looked);
    omniid_likeness likeness = OMNIID_LIKENESS_INIT;
    OK(omniid_likeness_of(engine, identity, &third, &likeness));
    EXPECT(likeness.photos == 2 && fabs(likeness.mean - (first + second) / 2) < 1e-5);
    EXPECT(fabs(likeness.best - fmax(first, second)) < 1e-5 && likeness.best < 0.99999f);
    photos[1] = embedded(raw[1]);
    OK(omniid_likeness_of(engine, identity, &photos[1], &likeness));
    EXPECT(fabsf(likeness.best - 1) < 1e-5f);

    /* By a model that reads none, whose engine has a recogniser; and by one without. */
    omniid_engine *built_in = open_model("", "faceid"), *plain = open_model("residual", NULL);
    OK(omniid_encode(built_in, &third, 1, NULL, &other));
    OK(omniid_likeness_of(built_in, other, &third, &likeness));
    EXPECT(likeness.photos == 1 && fabsf(likeness.mean - 1) < 1e-5f);
    REFUSED(omniid_likeness_of(plain, other, &third, &likeness), OMNIID_STATUS_UNSUPPORTED, "recognis");
    REFUSED(omniid_face_embedding(plain, &third, &looked), OMNIID_STATUS_UNSUPPORTED, "recognis");
    EXPECT(looked == NULL);
    REFUSED(omniid_histogram_vector(plain, &third, &looked), OMNIID_STATUS_UNSUPPORTED, "fit-histograms");
    EXPECT(looked == NULL);
    third = pixels(2); /* in which nobody finds a face */
    REFUSED(omniid_likeness_of(built_in, other, &third, &likeness), OMNIID_STATUS_NO_FACE, "face");
    REFUSED(omniid_face_embedding(built_in, &third, &looked), OMNIID_STATUS_NO_FACE, "face");
    omniid_engine_free(built_in);
    omniid_engine_free(plain);
    omniid_identity_free(other);
    omniid_identity_free(identity);
}

/* Several photos become one in seven ways, each another one. */
static void combining(const omniid_engine *engine) {
    float values[2][DIMENSION], found[7][2 * TOKENS * WIDTH], alone[TOKENS * WIDTH];
    for (int i = 0; i < 2 * DIMENSION; i++) values[i / DIMENSION][i % DIMENSION] = 9 * sinf((float)(7 * i + 1));
    omniid_photo photos[2] = {embedded(values[0]), embedded(values[1])};
    omniid_encode_options options = OMNIID_ENCODE_OPTIONS_INIT;
    omniid_identity *identity = NULL, *longer, *none;
    for (int32_t how = OMNIID_COMBINE_CONCATENATE; how <= OMNIID_COMBINE_MIN; how++) {
        options.combine = how;
        identity = encode(engine, photos, 2, &options, how == 0 ? 2 * TOKENS : TOKENS, found[how]);
        omniid_identity_info info = OMNIID_IDENTITY_INFO_INIT;
        OK(omniid_identity_describe(identity, &info));
        EXPECT(info.combine == how && info.photos == 2);
        for (int32_t before = 0; before < how; before++)
            EXPECT(apart(found[before], found[how], TOKENS * WIDTH) > 1e-4f);
        if (how < OMNIID_COMBINE_MIN) omniid_identity_free(identity);
    }
    /* Extending goes on as the identity was made. */
    OK(omniid_identity_extend(engine, identity, photos, 1, NULL, &longer));
    omniid_identity_info info = OMNIID_IDENTITY_INFO_INIT;
    OK(omniid_identity_describe(longer, &info));
    EXPECT(info.combine == OMNIID_COMBINE_MIN && info.photos == 3 && info.tokens == TOKENS);
    options.combine = OMNIID_COMBINE_MAX;
    REFUSED(omniid_identity_extend(engine, identity, photos, 1, &options, &none), OMNIID_STATUS_INVALID_ARGUMENT,
            "max");
    omniid_identity_free(longer);
    omniid_identity_free(identity);
    /* The mean of one person's photo and itself is the photo. */
    photos[1] = photos[0];
    options.combine = OMNIID_COMBINE_AVERAGE;
    omniid_identity_free(encode(engine, photos, 1, NULL, TOKENS, alone));
    omniid_identity_free(encode(engine, photos, 2, &options, TOKENS, found[0]));
    EXPECT(apart(alone, found[0], TOKENS * WIDTH) < 1e-5f);
    options.combine = 7;
    REFUSED(omniid_encode(engine, photos, 2, &options, &none), OMNIID_STATUS_INVALID_ARGUMENT, "combine: 7");
    options.combine = -1;
    REFUSED(omniid_encode(engine, photos, 2, &options, &none), OMNIID_STATUS_INVALID_ARGUMENT, "combine: -1");

    /* The shortcut of FaceID-PlusV2, which FaceID does not have. */
    options = (omniid_encode_options)OMNIID_ENCODE_OPTIONS_INIT;
    options.has_shortcut_scale = 1;
    options.shortcut_scale = 0.5f;
    REFUSED(omniid_encode(engine, photos, 1, &options, &none), OMNIID_STATUS_INVALID_ARGUMENT, "shortcut");
    omniid_engine *plus = open_model("faceid-plus", NULL);
    omniid_photo photo = face(0);
    photo.embedding = values[0];
    photo.embedding_size = DIMENSION;
    photo.embedding_network = "w600k_r50";
    float tokens[4][TOKENS * WIDTH];
    for (int i = 0; i < 4; i++) {
        options.has_shortcut_scale = i > 0;
        options.shortcut_scale = i == 0 ? 0 : (float)(i - 1) / 2;
        identity = encode(plus, &photo, 1, &options, TOKENS, tokens[i]);
        OK(omniid_identity_describe(identity, &info));
        EXPECT(info.shortcut_scale == (i == 0 ? 1.0f : options.shortcut_scale));
        omniid_identity_free(identity);
    }
    EXPECT(memcmp(tokens[0], tokens[3], sizeof tokens[0]) == 0);
    EXPECT(apart(tokens[1], tokens[2], TOKENS * WIDTH) > 1e-4f);
    /* Tokens are linear in the scale. */
    for (int i = 0; i < TOKENS * WIDTH; i++) EXPECT(fabsf(tokens[1][i] + tokens[3][i] - 2 * tokens[2][i]) < 1e-4f);
    options.shortcut_scale = NAN;
    REFUSED(omniid_encode(plus, &photo, 1, &options, &none), OMNIID_STATUS_INVALID_ARGUMENT, "shortcut");
    /* It looks at the face too: an embedding alone is not enough. */
    photo = embedded(values[0]);
    EXPECT(omniid_encode(plus, &photo, 1, NULL, &none) != OMNIID_STATUS_OK && none == NULL);
    EXPECT(strstr(omniid_last_error(), "photo") != NULL);
    omniid_engine_free(plus);
}

/* Embeddings that are none, and those of other networks. */
static void hostile_embeddings(const omniid_engine *engine) {
    float values[DIMENSION + 1];
    for (int i = 0; i <= DIMENSION; i++) values[i] = (float)i - 3;
    omniid_identity *none;
    omniid_photo photo = embedded(values);
    photo.embedding_network = "antelopev2";
    REFUSED(omniid_encode(engine, &photo, 1, NULL, &none), OMNIID_STATUS_MISMATCH, "w600k_r50");
    EXPECT(strstr(omniid_last_error(), "antelopev2") != NULL);
    photo.embedding_network = NULL;
    REFUSED(omniid_encode(engine, &photo, 1, NULL, &none), OMNIID_STATUS_MISMATCH, "unknown network");
    photo.embedding_network = "\xff";
    REFUSED(omniid_encode(engine, &photo, 1, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT, "UTF-8");
    photo = embedded(values);
    photo.embedding_size = DIMENSION + 1;
    REFUSED(omniid_encode(engine, &photo, 1, NULL, &none), OMNIID_STATUS_MISMATCH, "13 values");
    photo.embedding_size = 0;
    REFUSED(omniid_encode(engine, &photo, 1, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT, "embedding");
    photo.embedding_size = (size_t)1 << 40; /* not read */
    REFUSED(omniid_encode(engine, &photo, 1, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT, "embedding");
    photo.embedding_size = SIZE_MAX / sizeof(float);
    REFUSED(omniid_encode(engine, &photo, 1, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT, "embedding");
    photo = embedded(NULL);
    REFUSED(omniid_encode(engine, &photo, 1, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT, "embedding");
    photo = embedded(values);
    photo.embedding_form = 2;
    REFUSED(omniid_encode(engine, &photo, 1, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT, "embedding_form: 2");
    photo.embedding_form = 0;
    photo.reserved_embedding = 1;
    REFUSED(omniid_encode(engine, &photo, 1, NULL, &none), OMNIID_STATUS_UNSUPPORTED, "reserved");
    photo.reserved_embedding = 0;
    values[3] = NAN;
    REFUSED(omniid_encode(engine, &photo, 1, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT, "finite");
    memset(values, 0, sizeof values);
    EXPECT(omniid_encode(engine, &photo, 1, NULL, &none) == OMNIID_STATUS_INVALID_ARGUMENT && none == NULL);
    /* A face mask for a model that is not PuLID, and masks that are none. */
    photo = face(0);
    photo.face_mask = values;
    photo.face_mask_height = 2;
    photo.face_mask_width = 6;
    values[3] = 0;
    REFUSED(omniid_encode(engine, &photo, 1, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT, "only PuLID");
    values[11] = NAN;
    REFUSED(omniid_encode(engine, &photo, 1, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT, "row 1, column 5");
    photo.face_mask_width = UINT32_MAX; /* not read */
    REFUSED(omniid_encode(engine, &photo, 1, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT, "face_mask");
    photo.face_mask_width = 0;
    REFUSED(omniid_encode(engine, &photo, 1, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT, "0 values");
    photo.face_mask = NULL;
    REFUSED(omniid_encode(engine, &photo, 1, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT, "face_mask_height");
    /* A recogniser that the model was not trained with, and one that is none. */
    omniid_engine *other = (omniid_engine *)&none;
    omniid_engine_options options = OMNIID_ENGINE_OPTIONS_INIT;
    char path[4096];
    snprintf(path, sizeof path, "%s/faceid.safetensors", models);
    options.checkpoint_path = options.face_parser_path = path;
    REFUSED(omniid_engine_open(&options, &other), OMNIID_STATUS_INVALID_ARGUMENT, "pars");
    EXPECT(other == NULL);
    options.face_parser_path = NULL;
    options.variant = "instantid";
    REFUSED(omniid_engine_open(&options, &other), OMNIID_STATUS_INVALID_ARGUMENT, "variant");
    options.variant = NULL;
    options.face_recogniser_data = "not a network";
    options.face_recogniser_size = 13;
    EXPECT(omniid_engine_open(&options, &other) == OMNIID_STATUS_FORMAT && other == NULL);
    options.face_recogniser_path = path;
    REFUSED(omniid_engine_open(&options, &other), OMNIID_STATUS_INVALID_ARGUMENT, "face_recogniser");
}

/* Tokens, keypoints and LoRA for the host. */
static void for_the_host(const omniid_engine *engine, const char *folder) {
    omniid_photo photo = face(0);
    float tokens[TOKENS * WIDTH];
    omniid_identity *identity = encode(engine, &photo, 1, NULL, TOKENS, tokens);
    omniid_managed_tensor *context;
    OK(omniid_identity_context_tokens(engine, identity, &context));
    const omniid_tensor *tensor = &context->dl_tensor;
    EXPECT(tensor->ndim == 3 && tensor->shape[0] == 2 && tensor->shape[1] == TOKENS && tensor->shape[2] == WIDTH);
    const float *both = tensor->data;
    EXPECT(memcmp(both + TOKENS * WIDTH, tokens, sizeof tokens) == 0 && apart(both, tokens, TOKENS * WIDTH) > 1e-3f);
    omniid_engine *other = open_model("faceid-plus", NULL);
    omniid_managed_tensor *none;
    REFUSED(omniid_identity_context_tokens(other, identity, &none), OMNIID_STATUS_MISMATCH, "model");
    EXPECT(none == NULL);
    omniid_engine_free(other);
    omniid_identity_free(identity);
    EXPECT(isfinite(both[0])); /* they outlive the identity */
    omniid_managed_tensor_free(context);

    /* Rows lie apart, and nothing between them is written. */
    enum { SIDE = 60, STRIDE = 3 * SIDE + 7 };
    static uint8_t tight[SIDE * SIDE * 3], loose[SIDE * STRIDE];
    memset(loose, 0x5A, sizeof loose);
    OK(omniid_draw_keypoints(photo.face_landmarks, SIDE, SIDE, 0, tight));
    OK(omniid_draw_keypoints(photo.face_landmarks, SIDE, SIDE, STRIDE, loose));
    size_t drawn = 0;
    for (int row = 0; row < SIDE; row++) {
        EXPECT(memcmp(tight + row * SIDE * 3, loose + row * STRIDE, SIDE * 3) == 0);
        for (int i = 3 * SIDE; i < STRIDE; i++) EXPECT(loose[row * STRIDE + i] == 0x5A);
        for (int i = 0; i < 3 * SIDE; i++) drawn += tight[row * SIDE * 3 + i] != 0;
    }
    EXPECT(drawn > 100 && drawn < sizeof tight / 2);
    REFUSED(omniid_draw_keypoints(photo.face_landmarks, SIDE, SIDE, 3 * SIDE - 1, tight),
            OMNIID_STATUS_INVALID_ARGUMENT, "row_stride");
    REFUSED(omniid_draw_keypoints(photo.face_landmarks, SIDE, SIDE, SIZE_MAX, tight), OMNIID_STATUS_INVALID_ARGUMENT,
            "row_stride");
    REFUSED(omniid_draw_keypoints(photo.face_landmarks, SIDE, SIDE, SIZE_MAX / (2 * SIDE - 2) + 1, tight),
            OMNIID_STATUS_INVALID_ARGUMENT, "row_stride");
    EXPECT(omniid_draw_keypoints(photo.face_landmarks, 0, SIDE, 0, tight) == OMNIID_STATUS_INVALID_ARGUMENT);
    EXPECT(omniid_draw_keypoints(photo.face_landmarks, UINT32_MAX, UINT32_MAX, 0, tight) != OMNIID_STATUS_OK);
    photo.face_landmarks[4] = INFINITY;
    EXPECT(omniid_draw_keypoints(photo.face_landmarks, SIDE, SIDE, 0, tight) == OMNIID_STATUS_INVALID_ARGUMENT);
    photo.face_landmarks[4] = 1e30f;
    EXPECT(omniid_draw_keypoints(photo.face_landmarks, SIDE, SIDE, 0, tight) != OMNIID_STATUS_INTERNAL);

    char path[4096];
    long sizes[2];
    for (int32_t format = OMNIID_LORA_FORMAT_KOHYA; format <= OMNIID_LORA_FORMAT_DIFFUSERS; format++) {
        snprintf(path, sizeof path, "%s/lora-%d.safetensors", folder, (int)format);
        OK(omniid_engine_save_lora(engine, path, format));
        FILE *file = fopen(path, "rb");
        char head[4096] = {0};
        EXPECT(file != NULL && fread(head, 1, sizeof head - 1, file) > 1000);
        for (size_t i = 0; i < sizeof head - 1; i++) head[i] = head[i] == 0 ? ' ' : head[i];
        EXPECT(strstr(head, format == OMNIID_LORA_FORMAT_KOHYA ? "lora_unet_mid_block" : "unet.mid_block") != NULL);
        EXPECT(fseek(file, 0, SEEK_END) == 0);
        sizes[format] = ftell(file);
        fclose(file);
    }
    EXPECT(sizes[0] > 10000 && sizes[1] > 8000);
    REFUSED(omniid_engine_save_lora(engine, path, 2), OMNIID_STATUS_INVALID_ARGUMENT, "format: 2");
    REFUSED(omniid_engine_save_lora(engine, "no/such/folder/x", 0), OMNIID_STATUS_IO, "no/such/folder");
    omniid_engine *without = open_model("residual", NULL);
    REFUSED(omniid_engine_save_lora(without, path, 0), OMNIID_STATUS_UNSUPPORTED, "none");
    omniid_engine_free(without);
}

static omniid_conditioning *condition(const omniid_engine *engine, int number,
                                      const omniid_conditioning_options *options) {
    omniid_photo photo = pixels(number);
    omniid_identity *identity;
    omniid_conditioning *conditioning;
    omniid_conditioning_input input = OMNIID_CONDITIONING_INPUT_INIT;
    OK(omniid_encode(engine, &photo, 1, NULL, &identity));
    input.identity = identity;
    OK(omniid_conditioning_create(engine, &input, 1, options, &conditioning));
    omniid_identity_free(identity);
    return conditioning;
}

/* In place, into another tensor, into a part of a longer sequence; what overlaps is refused and left as it is. */
static void residual(void) {
    enum { BATCH = 2, ROWS = 6, TEXT = 3, HIDDEN = 40, COUNT = BATCH * ROWS * HIDDEN };
    omniid_engine *engine = open_model("residual", NULL);
    omniid_conditioning *conditioning = condition(engine, 1, NULL);
    omniid_engine_free(engine);
    static float before[COUNT], place[COUNT], added[COUNT], longer[BATCH * (TEXT + ROWS) * HIDDEN];
    for (int i = 0; i < COUNT; i++) before[i] = place[i] = sinf((float)i);
    int64_t shape[3] = {BATCH, ROWS, HIDDEN}, strides[3] = {(TEXT + ROWS) * HIDDEN, HIDDEN, 1};
    omniid_tensor output = {place, {OMNIID_DEVICE_TYPE_CPU, 0}, 3, {OMNIID_TYPE_CODE_FLOAT, 32, 1}, shape, NULL, 0};
    omniid_tensor source = output;
    omniid_residual_call call = OMNIID_RESIDUAL_CALL_INIT;
    EXPECT(call.scale == 1 && call.stream == 1 && call.flags == 0);
    call.output = &output;
    call.layer = 1;
    OK(omniid_inject_residual(conditioning, &call));
    EXPECT(apart(before, place, COUNT) > 1e-2f);

    source.data = before;
    output.data = added;
    call.hidden = &source;
    OK(omniid_inject_residual(conditioning, &call));
    for (int i = 0; i < COUNT; i++) EXPECT(fabsf(before[i] + added[i] - place[i]) < 1e-5f);

    for (int i = 0; i < COUNT; i++)
        longer[(i / (ROWS * HIDDEN) * (TEXT + ROWS) + TEXT + i / HIDDEN % ROWS) * HIDDEN + i % HIDDEN] = before[i];
    output.data = longer + TEXT * HIDDEN;
    output.strides = strides;
    call.hidden = NULL;
    OK(omniid_inject_residual(conditioning, &call));
    for (int i = 0; i < BATCH * (TEXT + ROWS) * HIDDEN; i++) {
        int row = i / HIDDEN % (TEXT + ROWS) - TEXT, batch = i / HIDDEN / (TEXT + ROWS);
        float expected = row < 0 ? 0 : place[(batch * ROWS + row) * HIDDEN + i % HIDDEN];
        EXPECT(fabsf(longer[i] - expected) < 1e-5f);
    }

    /* Refused, each of them, with the output as it was. */
    static float memory[COUNT + HIDDEN], copy[COUNT + HIDDEN];
    for (int i = 0; i < COUNT + HIDDEN; i++) memory[i] = copy[i] = cosf((float)i);
    output = (omniid_tensor){memory, {OMNIID_DEVICE_TYPE_CPU, 0}, 3, {OMNIID_TYPE_CODE_FLOAT, 32, 1}, shape, NULL, 0};
    source = output;
    source.data = memory + HIDDEN;
    call.hidden = &source;
    REFUSED(omniid_inject_residual(conditioning, &call), OMNIID_STATUS_INVALID_ARGUMENT, "share memory");
    source.data = before;
    source.dtype.bits = 16;
    EXPECT(omniid_inject_residual(conditioning, &call) == OMNIID_STATUS_MISMATCH);
    source.dtype.bits = 32;
    call.layer = 2;
    REFUSED(omniid_inject_residual(conditioning, &call), OMNIID_STATUS_INVALID_ARGUMENT, "no layer 2");
    call.layer = 0;
    call.scale = INFINITY;
    REFUSED(omniid_inject_residual(conditioning, &call), OMNIID_STATUS_INVALID_ARGUMENT, "scale");
    call.scale = 1;
    int32_t roles[2] = {OMNIID_ROLE_CONDITIONAL, 9};
    call.roles = roles;
    call.role_count = 2;
    REFUSED(omniid_inject_residual(conditioning, &call), OMNIID_STATUS_INVALID_ARGUMENT, "roles: 9");
    call.roles = NULL;
    call.role_count = 0;
    shape[2] = HIDDEN - 1;
    EXPECT(omniid_inject_residual(conditioning, &call) == OMNIID_STATUS_MISMATCH);
    shape[2] = HIDDEN;
    before[HIDDEN + 5] = NAN;
    REFUSED(omniid_inject_residual(conditioning, &call), OMNIID_STATUS_INVALID_ARGUMENT, "row 0, token 1");
    before[HIDDEN + 5] = 0;
    call.scale = 0;
    OK(omniid_inject_residual(conditioning, &call));
    call.output = NULL;
    REFUSED(omniid_inject_residual(conditioning, &call), OMNIID_STATUS_INVALID_ARGUMENT, "output");
    EXPECT(memcmp(memory, copy, sizeof memory) == 0);

    /* Each of the two calls names the other one. */
    omniid_inject_call query = OMNIID_INJECT_CALL_INIT;
    query.query = &source;
    query.output = &output;
    REFUSED(omniid_inject(conditioning, &query), OMNIID_STATUS_MISMATCH, "inject_residual");
    omniid_conditioning_free(conditioning);
    engine = open_model("sd35", NULL);
    float timestep = 500;
    omniid_conditioning_options options = OMNIID_CONDITIONING_OPTIONS_INIT;
    options.timesteps = &timestep;
    options.timestep_count = 1;
    conditioning = condition(engine, 1, &options);
    omniid_engine_free(engine);
    call.output = &output;
    call.scale = 1;
    REFUSED(omniid_inject_residual(conditioning, &call), OMNIID_STATUS_MISMATCH, "inject");
    omniid_conditioning_free(conditioning);
    EXPECT(memcmp(memory, copy, sizeof memory) == 0);
}

/* SD3.5: tokens for each timestep, and attention to the image's own keys and values beside the identity's. */
static void joint(void) {
    enum { ROWS = 6, INNER = 32, COUNT = ROWS * INNER };
    omniid_engine *engine = open_model("sd35", NULL);
    omniid_engine_info info = OMNIID_ENGINE_INFO_INIT;
    OK(omniid_engine_describe(engine, &info));
    EXPECT(info.encoder == OMNIID_ENCODER_TIME_RESAMPLER && info.tokens == 5);
    float timesteps[3] = {900, 500, 100};
    omniid_conditioning_options options = OMNIID_CONDITIONING_OPTIONS_INIT;
    omniid_photo photo = pixels(1);
    omniid_identity *identity;
    omniid_conditioning *conditioning, *none;
    omniid_conditioning_input input = OMNIID_CONDITIONING_INPUT_INIT;
    OK(omniid_encode(engine, &photo, 1, NULL, &identity));
    input.identity = identity;
    REFUSED(omniid_conditioning_create(engine, &input, 1, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT, "timesteps");
    options.timesteps = timesteps;
    options.timestep_count = 3;
    timesteps[1] = 1001;
    EXPECT(omniid_conditioning_create(engine, &input, 1, &options, &none) == OMNIID_STATUS_INVALID_ARGUMENT);
    timesteps[1] = NAN;
    EXPECT(omniid_conditioning_create(engine, &input, 1, &options, &none) == OMNIID_STATUS_INVALID_ARGUMENT);
    timesteps[1] = 500;
    options.timestep_count = 1001; /* not read */
    EXPECT(omniid_conditioning_create(engine, &input, 1, &options, &none) == OMNIID_STATUS_INVALID_ARGUMENT);
    options.timestep_count = 3;
    OK(omniid_conditioning_create(engine, &input, 1, &options, &conditioning));
    omniid_identity_free(identity);
    omniid_engine_free(engine);

    static float query[COUNT], keys[COUNT], values[COUNT], output[3][COUNT];
    for (int i = 0; i < COUNT; i++) query[i] = sinf((float)i), keys[i] = cosf((float)i), values[i] = sinf(2 * (float)i);
    int64_t shape[3] = {1, ROWS, INNER}, short_shape[3] = {1, ROWS - 1, INNER};
    omniid_tensor tensors[4];
    float *data[4] = {query, output[0], keys, values};
    for (int i = 0; i < 4; i++)
        tensors[i] =
            (omniid_tensor){data[i], {OMNIID_DEVICE_TYPE_CPU, 0}, 3, {OMNIID_TYPE_CODE_FLOAT, 32, 1}, shape, NULL, 0};
    omniid_inject_call call = OMNIID_INJECT_CALL_INIT;
    call.query = &tensors[0];
    call.output = &tensors[1];
    call.image_keys = &tensors[2];
    call.image_values = &tensors[3];
    REFUSED(omniid_inject(conditioning, &call), OMNIID_STATUS_INVALID_ARGUMENT, "sigma");
    call.flags = OMNIID_INJECT_FLAG_SIGMA;
    for (int i = 0; i < 3; i++) {
        tensors[1].data = output[i];
        call.sigma = (double)timesteps[i] / 1000;
        OK(omniid_inject(conditioning, &call));
        EXPECT(apart(output[i], (float[COUNT]){0}, COUNT) > 1e-3f);
        for (int before = 0; before < i; before++) EXPECT(apart(output[before], output[i], COUNT) > 1e-5f);
    }
    /* They take part: other values, another result. */
    static float other[COUNT];
    values[0] += 5;
    tensors[1].data = other;
    OK(omniid_inject(conditioning, &call));
    EXPECT(apart(other, output[2], COUNT) > 1e-4f);
    memcpy(output[0], other, sizeof other);

    /* Both or none; of one shape with the query; not where the output is. */
    call.image_values = NULL;
    REFUSED(omniid_inject(conditioning, &call), OMNIID_STATUS_INVALID_ARGUMENT, "image");
    call.image_keys = NULL;
    REFUSED(omniid_inject(conditioning, &call), OMNIID_STATUS_INVALID_ARGUMENT, "image");
    call.image_keys = &tensors[2];
    call.image_values = &tensors[3];
    tensors[3].shape = short_shape;
    EXPECT(omniid_inject(conditioning, &call) == OMNIID_STATUS_MISMATCH);
    tensors[3].shape = shape;
    tensors[3].dtype.bits = 16;
    EXPECT(omniid_inject(conditioning, &call) == OMNIID_STATUS_MISMATCH);
    tensors[3].dtype.bits = 32;
    tensors[3].data = NULL;
    EXPECT(omniid_inject(conditioning, &call) == OMNIID_STATUS_INVALID_ARGUMENT);
    tensors[3].data = other;
    REFUSED(omniid_inject(conditioning, &call), OMNIID_STATUS_INVALID_ARGUMENT, "share memory");
    EXPECT(memcmp(output[0], other, sizeof other) == 0); /* no failed call has touched it */
    omniid_conditioning_free(conditioning);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    models = argv[1];
    omniid_engine *engine = open_model("faceid", NULL);
    describing(engine);
    embeddings(engine);
    combining(engine);
    hostile_embeddings(engine);
    for_the_host(engine, argv[2]);
    residual();
    joint();
    omniid_engine_free(engine);
    return 0;
}
