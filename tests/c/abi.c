/*
 * What the ABI promises, tried from C: versions, errors, growing structs, tensors in all ways, callbacks.
 *
 *     abi MODEL FOLDER
 */
#include "support.h"

static omniid_engine *engine;

static void *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    EXPECT(file != NULL && fseek(file, 0, SEEK_END) == 0);
    long length = ftell(file);
    EXPECT(length >= 0 && fseek(file, 0, SEEK_SET) == 0);
    void *bytes = malloc((size_t)length);
    EXPECT(bytes != NULL && fread(bytes, 1, (size_t)length, file) == (size_t)length);
    fclose(file);
    *size = (size_t)length;
    return bytes;
}

static void versions(void) {
    EXPECT(omniid_abi_version() == OMNIID_ABI_VERSION);
    EXPECT(omniid_abi_version() >> 16 == OMNIID_ABI_MAJOR);
    EXPECT(strcmp(omniid_version(), OMNIID_VERSION) == 0);
    /* Read by the test that runs this program. */
    printf("version %s abi %d.%d\n", OMNIID_VERSION, OMNIID_ABI_VERSION >> 16, OMNIID_ABI_VERSION & 0xFFFF);
}

static void opening(const char *model) {
    omniid_engine *other = (omniid_engine *)&engine;
    omniid_engine_options options = OMNIID_ENGINE_OPTIONS_INIT;
    /* Without a checkpoint: the model inside the library. */
    OK(omniid_engine_open(&options, &other));
    omniid_engine_info built_in = OMNIID_ENGINE_INFO_INIT;
    OK(omniid_engine_describe(other, &built_in));
    EXPECT(built_in.encoder == OMNIID_ENCODER_OMNI_ID && built_in.has_detector == 1 && built_in.has_adapter == 1);
    omniid_engine_free(other);
    options.checkpoint_path = "no/such/file";
    REFUSED(omniid_engine_open(&options, &other), OMNIID_STATUS_IO, "no/such/file");
    EXPECT(other == NULL);
    options.checkpoint_path = model;
    options.abi_version = (OMNIID_ABI_MAJOR + 1) << 16;
    REFUSED(omniid_engine_open(&options, &other), OMNIID_STATUS_ABI_MISMATCH, "built for ABI 2.0");
    options.abi_version = 0;
    REFUSED(omniid_engine_open(&options, &other), OMNIID_STATUS_ABI_MISMATCH, "OMNIID_ENGINE_OPTIONS_INIT");
    options.abi_version = OMNIID_ABI_VERSION + 1;
    OK(omniid_engine_open(&options, &other));
    omniid_engine_free(other);
    options.precision = 4;
    REFUSED(omniid_engine_open(&options, &other), OMNIID_STATUS_INVALID_ARGUMENT, "precision: 4");
    options.precision = 0;
    options.device_type = 7;
    REFUSED(omniid_engine_open(&options, &other), OMNIID_STATUS_UNSUPPORTED, "device_type: 7");
    options.device_type = 0;
    options.host = "sd9";
    REFUSED(omniid_engine_open(&options, &other), OMNIID_STATUS_INVALID_ARGUMENT, "sd9");
    options.host = NULL;
    options.struct_size = 0;
    REFUSED(omniid_engine_open(&options, &other), OMNIID_STATUS_INVALID_ARGUMENT, "struct_size is 0");

    /* From memory. No release had a struct that ends in front of host: such a size would hide what is set there. */
    size_t size;
    void *bytes = read_file(model, &size);
    struct {
        omniid_engine_options known;
        uint64_t newer[2];
    } caller = {OMNIID_ENGINE_OPTIONS_INIT, {0, 0}};
    caller.known.checkpoint_data = bytes;
    caller.known.checkpoint_size = size;
    caller.known.struct_size = (uint32_t)offsetof(omniid_engine_options, host);
    REFUSED(omniid_engine_open(&caller.known, &other), OMNIID_STATUS_INVALID_ARGUMENT, "OMNIID_ENGINE_OPTIONS_INIT");
    caller.known.struct_size = sizeof caller.known;
    OK(omniid_engine_open(&caller.known, &other));
    omniid_engine_free(other);
    /* In a program with a newer, longer struct. */
    caller.known.precision = OMNIID_PRECISION_BF16;
    caller.known.struct_size = sizeof caller;
    OK(omniid_engine_open(&caller.known, &other));
    omniid_engine_info info = OMNIID_ENGINE_INFO_INIT;
    OK(omniid_engine_describe(other, &info));
    EXPECT(info.precision == OMNIID_PRECISION_BF16);
    omniid_engine_free(other);
    caller.newer[1] = 1;
    REFUSED(omniid_engine_open(&caller.known, &other), OMNIID_STATUS_UNSUPPORTED, "a newer release is needed");
    bytes = (free(bytes), NULL);

    options = (omniid_engine_options)OMNIID_ENGINE_OPTIONS_INIT;
    options.checkpoint_path = model;
    OK(omniid_engine_open(&options, &engine));
}

static void describing(void) {
    struct {
        omniid_engine_info known;
        uint64_t newer;
    } info = {OMNIID_ENGINE_INFO_INIT, 77};
    info.known.struct_size = sizeof info;
    OK(omniid_engine_describe(engine, &info.known));
    EXPECT(info.newer == 0 && info.known.struct_size == sizeof info);
    EXPECT(info.known.encoder == OMNIID_ENCODER_OMNI_ID && info.known.tokens == 6 && info.known.token_width == 24);
    EXPECT(info.known.host_layer_count == 2 && info.known.has_adapter == 1 && info.known.has_detector == 1);
    EXPECT(strcmp(info.known.name, "untrained") == 0 && strcmp(info.known.host, "two layers") == 0);
    EXPECT(info.known.image_size == 56 && info.known.device_type == OMNIID_DEVICE_TYPE_CPU);
    omniid_engine_info cut = OMNIID_ENGINE_INFO_INIT;
    cut.struct_size = 16;
    REFUSED(omniid_engine_describe(engine, &cut), OMNIID_STATUS_INVALID_ARGUMENT, "OMNIID_ENGINE_INFO_INIT");
    omniid_host_layer layer = OMNIID_HOST_LAYER_INIT;
    OK(omniid_engine_host_layer(engine, 1, &layer));
    EXPECT(layer.heads == 4 && layer.head_dim == 8 && layer.context == 20 && strcmp(layer.name, "up.attn") == 0);
    REFUSED(omniid_engine_host_layer(engine, 2, &layer), OMNIID_STATUS_INVALID_ARGUMENT, "no layer 2");
}

static int32_t cancel_second(void *user_data, int32_t stage, uint64_t done, uint64_t total) {
    int *calls = user_data;
    EXPECT(stage >= OMNIID_STAGE_LOAD && stage <= OMNIID_STAGE_SAVE && done <= total);
    return ++*calls == 2;
}

static omniid_identity *photos(void) {
    /* A newer program: its photos are longer, so the second one is further away. */
    struct {
        omniid_photo known;
        uint64_t newer[3];
    } array[3] = {{OMNIID_PHOTO_INIT, {0}}, {OMNIID_PHOTO_INIT, {0}}, {OMNIID_PHOTO_INIT, {0}}};
    for (int i = 0; i < 3; i++) {
        array[i].known = pixels(i);
        array[i].known.struct_size = sizeof array[i];
    }
    array[1].known.pixels = NULL;
    array[1].known.data = "not a photo";
    array[1].known.data_size = 11;
    omniid_report *report = NULL;
    omniid_encode_options options = OMNIID_ENCODE_OPTIONS_INIT;
    options.label = "J\xc3\xb6rg";
    options.report = &report;
    omniid_identity *identity, *none;
    OK(omniid_encode(engine, &array[0].known, 3, &options, &identity));
    size_t count;
    OK(omniid_report_photo_count(report, &count));
    EXPECT(count == 3);
    for (size_t i = 0; i < 3; i++) {
        omniid_photo_report photo = OMNIID_PHOTO_REPORT_INIT;
        OK(omniid_report_photo(report, i, &photo));
        EXPECT((photo.status == OMNIID_STATUS_OK) == (i != 1) && (photo.reason[0] != 0) == (i == 1));
        EXPECT(strlen(photo.name) > 0 && photo.has_bounds == 0);
    }
    /* A program that was built for ABI 1.0: nothing behind its shorter struct is written. */
    omniid_photo_report photo;
    memset(&photo, 0x5A, sizeof photo);
    photo.struct_size = (uint32_t)offsetof(omniid_photo_report, rotation);
    OK(omniid_report_photo(report, 0, &photo));
    EXPECT(photo.status == OMNIID_STATUS_OK && photo.face_score == 0 && photo.rotation == 0x5A5A5A5A);
    photo = (omniid_photo_report)OMNIID_PHOTO_REPORT_INIT;
    REFUSED(omniid_report_photo(report, 3, &photo), OMNIID_STATUS_INVALID_ARGUMENT, "no photo 3");
    omniid_report_free(report);

    options.bad_photo = OMNIID_BAD_PHOTO_FAIL;
    EXPECT(omniid_encode(engine, &array[0].known, 3, &options, &none) != OMNIID_STATUS_OK && none == NULL &&
           report == NULL);
    array[2].newer[0] = 1;
    REFUSED(omniid_encode(engine, &array[0].known, 3, &options, &none), OMNIID_STATUS_UNSUPPORTED, "element 2");
    array[2].newer[0] = 0;
    array[1].known.struct_size = sizeof(omniid_photo);
    REFUSED(omniid_encode(engine, &array[0].known, 3, &options, &none), OMNIID_STATUS_INVALID_ARGUMENT, "element 1");
    REFUSED(omniid_encode(engine, &array[0].known, 0, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT, "0 photos");
    REFUSED(omniid_encode(engine, &array[0].known, (size_t)-1, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT,
            "omniid_photo");
    omniid_photo bad = pixels(0);
    bad.channel_order = 4;
    REFUSED(omniid_encode(engine, &bad, 1, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT, "channel_order: 4");
    bad = pixels(0);
    bad.path = "also a path";
    REFUSED(omniid_encode(engine, &bad, 1, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT, "more than one");
    bad = pixels(0);
    bad.face_hint = -1;
    REFUSED(omniid_encode(engine, &bad, 1, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT, "face_hint: -1");
    bad = pixels(0);
    bad.row_stride = 1;
    REFUSED(omniid_encode(engine, &bad, 1, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT, "stride");
    options = (omniid_encode_options)OMNIID_ENCODE_OPTIONS_INIT;
    options.crop = 5;
    bad = pixels(0);
    REFUSED(omniid_encode(engine, &bad, 1, &options, &none), OMNIID_STATUS_INVALID_ARGUMENT, "crop: 5");
    options.crop = OMNIID_CROP_DEFAULT;
    options.label = "\xff";
    REFUSED(omniid_encode(engine, &bad, 1, &options, &none), OMNIID_STATUS_INVALID_ARGUMENT, "label: not UTF-8");

    int calls = 0;
    options.label = NULL;
    options.progress = cancel_second;
    options.progress_user_data = &calls;
    REFUSED(omniid_encode(engine, &bad, 1, &options, &none), OMNIID_STATUS_CANCELLED, "cancelled");
    EXPECT(calls == 2 && none == NULL);

    omniid_face face = OMNIID_FACE_INIT;
    OK(omniid_engine_detect_faces(engine, &bad, NULL, &face, 1, &count));
    EXPECT(count == 0);
    return identity;
}

/* The vectors have length 1, and their dot product is the similarity. */
static void compare_vectors(omniid_identity *identity) {
    omniid_photo photo = pixels(2);
    omniid_identity *other;
    omniid_managed_tensor *vectors[2];
    float similarity;
    OK(omniid_encode(engine, &photo, 1, NULL, &other));
    OK(omniid_identity_similarity(engine, identity, other, &similarity));
    OK(omniid_identity_comparison_vector(engine, identity, &vectors[0]));
    OK(omniid_identity_comparison_vector(engine, other, &vectors[1]));
    omniid_identity_free(other);
    const omniid_tensor *a = &vectors[0]->dl_tensor, *b = &vectors[1]->dl_tensor;
    EXPECT(a->ndim == 1 && b->ndim == 1 && a->shape[0] == b->shape[0] && a->shape[0] > 0);
    double product = 0, square = 0;
    for (int64_t i = 0; i < a->shape[0]; i++) {
        product += (double)((float *)a->data)[i] * ((float *)b->data)[i];
        square += (double)((float *)a->data)[i] * ((float *)a->data)[i];
    }
    EXPECT(fabs(product - similarity) < 1e-6 && fabs(square - 1) < 1e-6 && similarity < 0.9999f);
    omniid_managed_tensor_free(vectors[0]);
    omniid_managed_tensor_free(vectors[1]);

    /* Another model's identity is refused. */
    omniid_engine *built_in;
    omniid_engine_options options = OMNIID_ENGINE_OPTIONS_INIT;
    OK(omniid_engine_open(&options, &built_in));
    REFUSED(omniid_identity_comparison_vector(built_in, identity, &vectors[0]), OMNIID_STATUS_MISMATCH, "model");
    EXPECT(vectors[0] == NULL);
    omniid_engine_free(built_in);
}

/* Features and an identity of them are what encoding does at once; a photo's name is in its report. */
static void features(void) {
    omniid_photo array[3] = {pixels(0), pixels(1), pixels(2)};
    array[1].pixels = NULL;
    array[1].data = "not a photo";
    array[1].data_size = 11;
    array[1].name = "the second photo";
    omniid_report *report = NULL;
    omniid_encode_options options = OMNIID_ENCODE_OPTIONS_INIT;
    options.report = &report;
    omniid_managed_tensor *found, *tokens[2];
    omniid_identity *identity, *expected;
    OK(omniid_photo_features(engine, array, 3, &options, &found));
    omniid_photo_report photo = OMNIID_PHOTO_REPORT_INIT;
    OK(omniid_report_photo(report, 1, &photo));
    EXPECT(photo.status != OMNIID_STATUS_OK && strcmp(photo.name, "the second photo") == 0);
    EXPECT(strncmp(photo.reason, photo.name, strlen(photo.name)) == 0);
    omniid_report_free(report);
    omniid_tensor *tensor = &found->dl_tensor;
    EXPECT(tensor->ndim == 3 && tensor->shape[0] == 2);
    options.report = NULL;
    options.label = "from features";
    OK(omniid_identity_from_features(engine, tensor, &options, &identity));
    OK(omniid_encode(engine, array, 3, &options, &expected));
    omniid_identity_info info = OMNIID_IDENTITY_INFO_INIT;
    OK(omniid_identity_describe(identity, &info));
    EXPECT(info.photos == 2 && info.features == 2 && strcmp(info.label, "from features") == 0);
    OK(omniid_identity_tokens(identity, &tokens[0]));
    OK(omniid_identity_tokens(expected, &tokens[1]));
    size_t size = sizeof(float) * (size_t)(tokens[0]->dl_tensor.shape[0] * tokens[0]->dl_tensor.shape[1]);
    EXPECT(memcmp(tokens[0]->dl_tensor.data, tokens[1]->dl_tensor.data, size) == 0);
    omniid_identity_free(identity);
    omniid_identity_free(expected);
    omniid_managed_tensor_free(tokens[0]);
    omniid_managed_tensor_free(tokens[1]);

    int64_t shape[3] = {2, tensor->shape[1] - 1, tensor->shape[2]};
    omniid_tensor other = *tensor;
    other.shape = shape;
    other.strides = NULL;
    REFUSED(omniid_identity_from_features(engine, &other, NULL, &identity), OMNIID_STATUS_MISMATCH, "needs [photos");
    shape[1] = tensor->shape[1];
    shape[0] = 0;
    REFUSED(omniid_identity_from_features(engine, &other, NULL, &identity), OMNIID_STATUS_INVALID_ARGUMENT, "0 photos");
    EXPECT(identity == NULL);
    omniid_managed_tensor_free(found);
}

static void identities(omniid_identity *identity, const char *folder) {
    char path[4096];
    snprintf(path, sizeof path, "%s/j.omniid", folder);
    OK(omniid_identity_save(identity, path, OMNIID_PRECISION_F32));
    REFUSED(omniid_identity_save(identity, path, OMNIID_PRECISION_BF16), OMNIID_STATUS_INVALID_ARGUMENT,
            "precision: 2");
    REFUSED(omniid_identity_save(identity, "no/such/folder/x", 0), OMNIID_STATUS_IO, "no/such/folder");
    omniid_identity *loaded, *copied, *renamed, *small, *longer, *none;
    OK(omniid_identity_load(path, &loaded));
    size_t size = 0;
    OK(omniid_identity_to_bytes(identity, 0, NULL, 0, &size));
    unsigned char *bytes = malloc(size);
    EXPECT(size > 6 * 24 * 4 && bytes != NULL);
    REFUSED(omniid_identity_to_bytes(identity, 0, bytes, size - 1, &size), OMNIID_STATUS_INVALID_ARGUMENT, "capacity");
    OK(omniid_identity_to_bytes(identity, 0, bytes, size, &size));
    OK(omniid_identity_from_bytes(bytes, size, &copied));
    EXPECT(omniid_identity_from_bytes(bytes, size - 1, &none) == OMNIID_STATUS_FORMAT && none == NULL);
    EXPECT(omniid_identity_from_bytes(bytes, 0, &none) == OMNIID_STATUS_FORMAT && none == NULL);
    free(bytes);

    float similarity;
    OK(omniid_identity_similarity(engine, loaded, copied, &similarity));
    EXPECT(similarity > 0.99999f);
    compare_vectors(identity);
    omniid_identity_info info = OMNIID_IDENTITY_INFO_INIT;
    OK(omniid_identity_describe(loaded, &info));
    EXPECT(strcmp(info.label, "J\xc3\xb6rg") == 0 && info.photos == 2 && info.features == 2 && info.tokens == 6);
    OK(omniid_identity_with_notes(loaded, "other", NULL, &renamed));
    OK(omniid_identity_describe(renamed, &info));
    EXPECT(strcmp(info.label, "other") == 0 && strcmp(info.consent, "") == 0);
    OK(omniid_identity_without_features(renamed, &small));
    omniid_photo photo = pixels(3);
    REFUSED(omniid_identity_extend(engine, small, &photo, 1, NULL, &none), OMNIID_STATUS_UNSUPPORTED, "features");
    OK(omniid_identity_extend(engine, loaded, &photo, 1, NULL, &longer));
    OK(omniid_identity_describe(longer, &info));
    EXPECT(info.photos == 3 && info.tokens == 6);

    /* Handed out without a copy, and still there when the identity is gone. */
    omniid_managed_tensor *tokens;
    OK(omniid_identity_tokens(loaded, &tokens));
    float wide[24][6];
    int64_t shape[2] = {6, 24}, transposed[2] = {1, 6};
    omniid_tensor out = {wide, {OMNIID_DEVICE_TYPE_CPU, 0}, 2, {OMNIID_TYPE_CODE_FLOAT, 32, 1}, shape, transposed, 0};
    OK(omniid_identity_copy_tokens(loaded, &out));
    omniid_identity_free(loaded);
    EXPECT(tokens->dl_tensor.ndim == 2 && tokens->dl_tensor.shape[0] == 6 && tokens->dl_tensor.shape[1] == 24);
    EXPECT(tokens->dl_tensor.strides[0] == 24 && tokens->dl_tensor.strides[1] == 1 && (tokens->flags & 1) == 1);
    EXPECT(tokens->version.major == 1 && tokens->dl_tensor.byte_offset == 0);
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 24; j++) EXPECT(((float *)tokens->dl_tensor.data)[i * 24 + j] == wide[j][i]);
    tokens->deleter(tokens);
    shape[0] = 5;
    REFUSED(omniid_identity_copy_tokens(longer, &out), OMNIID_STATUS_MISMATCH, "[5, 24], expected [6, 24]");
    omniid_identity_free(copied);
    omniid_identity_free(renamed);
    omniid_identity_free(small);
    omniid_identity_free(longer);
}

static void conditionings(omniid_identity *identity) {
    omniid_conditioning *conditioning, *none;
    omniid_conditioning_input input[2] = {OMNIID_CONDITIONING_INPUT_INIT, OMNIID_CONDITIONING_INPUT_INIT};
    float mask[6] = {1, 1, 1, 0, 0, 0}, scales[2] = {1, 0};
    input[0].identity = input[1].identity = identity;
    input[0].mask = mask;
    input[0].mask_height = 2;
    input[0].mask_width = 3;
    input[1].step_range = OMNIID_STEP_RANGE_SIGMA;
    input[1].step_start = 10;
    input[1].step_end = 1;
    omniid_conditioning_options options = OMNIID_CONDITIONING_OPTIONS_INIT;
    options.layer_scales = scales;
    options.layer_scale_count = 2;
    OK(omniid_conditioning_create(engine, input, 2, &options, &conditioning));
    size_t number;
    OK(omniid_conditioning_identity_count(conditioning, &number));
    EXPECT(number == 2);
    int32_t injection = -1, needs_image_keys = -1;
    OK(omniid_conditioning_injection(conditioning, &injection));
    OK(omniid_conditioning_zero_tokens(conditioning, &number));
    OK(omniid_conditioning_needs_image_keys(conditioning, &needs_image_keys));
    EXPECT(injection == OMNIID_INJECTION_ADD && number == 0 && needs_image_keys == 0);
    OK(omniid_conditioning_find_layer(conditioning, "up", &number));
    EXPECT(number == 1);
    REFUSED(omniid_conditioning_find_layer(conditioning, "sideways", &number), OMNIID_STATUS_INVALID_ARGUMENT,
            "sideways");
    OK(omniid_conditioning_byte_size(conditioning, &number));
    EXPECT(number >= 2 * 2 * 6 * 16 * sizeof(float));
    const char *name;
    OK(omniid_conditioning_layer_name(conditioning, 0, &name));
    EXPECT(strcmp(name, "down.attn") == 0);
    omniid_managed_tensor *keys;
    OK(omniid_conditioning_keys(conditioning, 0, 0, OMNIID_ROLE_CONDITIONAL, 1, &keys));
    EXPECT(keys->dl_tensor.ndim == 3 && keys->dl_tensor.shape[0] == 6 && keys->dl_tensor.shape[1] == 2);
    EXPECT(keys->dl_tensor.shape[2] == 8);
    omniid_managed_tensor_free(keys);
    OK(omniid_conditioning_values(conditioning, 1, 0, OMNIID_ROLE_CONDITIONAL, 1, &keys));
    EXPECT(keys == NULL); /* its layer scale is 0 */
    REFUSED(omniid_conditioning_keys(conditioning, 0, 0, 2, 1, &keys), OMNIID_STATUS_INVALID_ARGUMENT, "role: 2");
    REFUSED(omniid_conditioning_keys(conditioning, 0, 2, 0, 1, &keys), OMNIID_STATUS_INVALID_ARGUMENT, "no identity 2");
    float factor;
    OK(omniid_conditioning_factor(conditioning, 0, 1, &factor));
    EXPECT(factor == 1.0f);
    double sigma = 5;
    int32_t active;
    OK(omniid_conditioning_is_active(conditioning, 1, &sigma, NULL, &active));
    EXPECT(active == 1);
    sigma = 0.5;
    OK(omniid_conditioning_is_active(conditioning, 1, &sigma, NULL, &active));
    EXPECT(active == 0);
    REFUSED(omniid_conditioning_is_active(conditioning, 1, NULL, NULL, &active), OMNIID_STATUS_INVALID_ARGUMENT,
            "sigma");
    float factors[6];
    OK(omniid_conditioning_mask_factors(conditioning, 0, 6, 2, 3, factors));
    EXPECT(memcmp(factors, mask, sizeof mask) == 0);
    REFUSED(omniid_conditioning_mask_factors(conditioning, 0, 6, 2, 0, factors), OMNIID_STATUS_INVALID_ARGUMENT,
            "latent");

    /* Shapes, types, devices, layouts of a call. */
    float query[2 * 6 * 16], output[2 * 6 * 16], before[2 * 6 * 16];
    for (int i = 0; i < 192; i++) query[i] = (float)(i % 13) / 7, before[i] = output[i] = (float)(i % 5);
    int64_t rows_first[3] = {2, 6, 16}, heads_first[4] = {2, 2, 6, 8};
    omniid_tensor in = {query, {OMNIID_DEVICE_TYPE_CPU, 0}, 3, {OMNIID_TYPE_CODE_FLOAT, 32, 1}, rows_first, NULL, 0},
                  out = in;
    out.data = output;
    omniid_inject_call call = OMNIID_INJECT_CALL_INIT;
    call.query = &in;
    call.output = &out;
    REFUSED(omniid_inject(conditioning, &call), OMNIID_STATUS_INVALID_ARGUMENT, "latent");
    call.latent_height = 2;
    call.latent_width = 3;
    REFUSED(omniid_inject(conditioning, &call), OMNIID_STATUS_INVALID_ARGUMENT, "sigma");
    call.flags = OMNIID_INJECT_FLAG_SIGMA;
    call.sigma = 5;
    call.layer = 2;
    REFUSED(omniid_inject(conditioning, &call), OMNIID_STATUS_INVALID_ARGUMENT, "no layer 2");
    call.layer = 0;
    out.data = query;
    REFUSED(omniid_inject(conditioning, &call), OMNIID_STATUS_INVALID_ARGUMENT, "share memory");
    out.data = output;
    out.device.device_type = OMNIID_DEVICE_TYPE_CUDA;
    EXPECT(omniid_inject(conditioning, &call) != OMNIID_STATUS_OK && strlen(omniid_last_error()) > 20);
    in.device.device_type = OMNIID_DEVICE_TYPE_CUDA;
    REFUSED(omniid_inject(conditioning, &call), OMNIID_STATUS_UNSUPPORTED, "CPU");
    in.device.device_type = out.device.device_type = OMNIID_DEVICE_TYPE_CPU;
    rows_first[2] = 15;
    REFUSED(omniid_inject(conditioning, &call), OMNIID_STATUS_MISMATCH, "down.attn");
    rows_first[2] = 16;
    call.layout = OMNIID_LAYOUT_HEADS_FIRST;
    REFUSED(omniid_inject(conditioning, &call), OMNIID_STATUS_INVALID_ARGUMENT, "[batch, heads, rows, head_dim]");
    call.layout = 2;
    REFUSED(omniid_inject(conditioning, &call), OMNIID_STATUS_INVALID_ARGUMENT, "layout: 2");
    call.layout = 0;
    int32_t roles[3] = {OMNIID_ROLE_CONDITIONAL, 5, 0};
    call.roles = roles;
    call.role_count = 2;
    REFUSED(omniid_inject(conditioning, &call), OMNIID_STATUS_INVALID_ARGUMENT, "batch row 1: roles: 5");
    roles[1] = 0;
    call.role_count = 3;
    REFUSED(omniid_inject(conditioning, &call), OMNIID_STATUS_INVALID_ARGUMENT, "3 roles");
    call.role_count = 2;
    call.flags |= 64;
    REFUSED(omniid_inject(conditioning, &call), OMNIID_STATUS_UNSUPPORTED, "flags");
    call.flags = OMNIID_INJECT_FLAG_SIGMA;
    query[17] = NAN;
    REFUSED(omniid_inject(conditioning, &call), OMNIID_STATUS_INVALID_ARGUMENT, "row 0, token 1");
    query[17] = 0;
    in.dtype.bits = 16;
    EXPECT(omniid_inject(conditioning, &call) == OMNIID_STATUS_MISMATCH);
    in.dtype.bits = 32;
    call.scale = 0;
    OK(omniid_inject(conditioning, &call));
    EXPECT(memcmp(output, before, sizeof output) == 0); /* no failed call has touched it either */
    call.scale = 1;
    OK(omniid_inject(conditioning, &call));
    EXPECT(memcmp(output, before, sizeof output) != 0);
    /* The same numbers with heads first. */
    float query_heads[192], output_heads[192];
    for (int i = 0; i < 192; i++) {
        int b = i / 96, s = i / 16 % 6, h = i / 8 % 2, d = i % 8, at = ((b * 2 + h) * 6 + s) * 8 + d;
        query_heads[at] = query[i];
        output_heads[at] = before[i];
    }
    in = (omniid_tensor){
        query_heads, {OMNIID_DEVICE_TYPE_CPU, 0}, 4, {OMNIID_TYPE_CODE_FLOAT, 32, 1}, heads_first, NULL, 0};
    out = in;
    out.data = output_heads;
    call.layout = OMNIID_LAYOUT_HEADS_FIRST;
    OK(omniid_inject(conditioning, &call));
    for (int i = 0; i < 192; i++) {
        int b = i / 96, s = i / 16 % 6, h = i / 8 % 2, d = i % 8, at = ((b * 2 + h) * 6 + s) * 8 + d;
        EXPECT(fabsf(output_heads[at] - output[i]) < 1e-6f);
    }
    omniid_conditioning_free(conditioning);

    input[0].mask_height = 0;
    REFUSED(omniid_conditioning_create(engine, input, 1, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT,
            "identity 0: mask: 0 x 3");
    input[0].mask = NULL;
    input[0].mask_width = 0;
    input[0].unconditional = 8;
    REFUSED(omniid_conditioning_create(engine, input, 1, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT,
            "unconditional: 8");
    input[0].unconditional = OMNIID_UNCONDITIONAL_NONE;
    input[0].step_range = 3;
    REFUSED(omniid_conditioning_create(engine, input, 1, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT, "step_range: 3");
    input[0].step_range = 0;
    options.weight_type = 16;
    REFUSED(omniid_conditioning_create(engine, input, 1, &options, &none), OMNIID_STATUS_INVALID_ARGUMENT,
            "weight_type: 16");
    options.weight_type = OMNIID_WEIGHT_TYPE_STYLE_TRANSFER;
    REFUSED(omniid_conditioning_create(engine, input, 1, &options, &none), OMNIID_STATUS_UNSUPPORTED, "style transfer");
    options.weight_type = 0;
    options.layer_scale_count = 3;
    REFUSED(omniid_conditioning_create(engine, input, 1, &options, &none), OMNIID_STATUS_MISMATCH,
            "layer_scale_count: 3");
    REFUSED(omniid_conditioning_create(engine, input, 0, NULL, &none), OMNIID_STATUS_INVALID_ARGUMENT, "0 identities");
}

static int same_tokens(const omniid_encode_options *first, const omniid_encode_options *second) {
    omniid_photo photo = pixels(0);
    photo.face_hint = OMNIID_FACE_HINT_BOX;
    float box[4] = {20, 10, 50, 40}, tokens[2][6 * 24];
    memcpy(photo.face_box, box, sizeof box);
    for (int i = 0; i < 2; i++) {
        omniid_identity *identity;
        int64_t shape[2] = {6, 24};
        omniid_tensor out = {tokens[i], {OMNIID_DEVICE_TYPE_CPU, 0}, 2, {OMNIID_TYPE_CODE_FLOAT, 32, 1}, shape, NULL,
                             0};
        OK(omniid_encode(engine, &photo, 1, i == 0 ? first : second, &identity));
        OK(omniid_identity_copy_tokens(identity, &out));
        omniid_identity_free(identity);
    }
    return memcmp(tokens[0], tokens[1], sizeof tokens[0]) == 0;
}

/* The macros set the defaults; where these are not 0, 0 is a value of its own. */
static void defaults(omniid_identity *identity) {
    omniid_encode_options options[2] = {OMNIID_ENCODE_OPTIONS_INIT, OMNIID_ENCODE_OPTIONS_INIT};
    EXPECT(same_tokens(NULL, &options[0]));
    options[0].crop = options[1].crop = OMNIID_CROP_FACE;
    options[1].crop_margin = 0.5f;
    EXPECT(same_tokens(&options[0], &options[1]));
    options[1].crop_margin = 0;
    EXPECT(!same_tokens(&options[0], &options[1]));

    omniid_conditioning_options conditioning_options = OMNIID_CONDITIONING_OPTIONS_INIT;
    omniid_conditioning_input input = OMNIID_CONDITIONING_INPUT_INIT;
    input.identity = identity;
    omniid_conditioning *conditioning;
    omniid_managed_tensor *keys[2];
    float factor;
    for (int i = 0; i < 2; i++) {
        OK(omniid_conditioning_create(engine, &input, 1, i == 0 ? NULL : &conditioning_options, &conditioning));
        OK(omniid_conditioning_keys(conditioning, 0, 0, OMNIID_ROLE_CONDITIONAL, 1, &keys[i]));
        OK(omniid_conditioning_factor(conditioning, 0, 0, &factor));
        EXPECT(factor == 1.0f);
        omniid_conditioning_free(conditioning);
    }
    EXPECT(memcmp(keys[0]->dl_tensor.data, keys[1]->dl_tensor.data, 6 * 16 * sizeof(float)) == 0);
    omniid_managed_tensor_free(keys[0]);
    omniid_managed_tensor_free(keys[1]);
    input.scale = 0;
    OK(omniid_conditioning_create(engine, &input, 1, NULL, &conditioning));
    OK(omniid_conditioning_factor(conditioning, 0, 0, &factor));
    EXPECT(factor == 0);
    omniid_conditioning_free(conditioning);
    omniid_inject_call call = OMNIID_INJECT_CALL_INIT;
    EXPECT(call.scale == 1 && call.stream == 1 && call.layer == 0 && call.flags == 0);
}

static void count_message(void *user_data, int32_t level, const char *target, const char *message) {
    EXPECT(level == OMNIID_LOG_LEVEL_WARN && strncmp(target, "omniid", 6) == 0 && strlen(message) > 0);
    ++*(int *)user_data;
}

/* What a callback does wrong or nests: each gets its status, and the call around it goes on. */
static int32_t call_from_inside(void *user_data, int32_t stage, uint64_t done, uint64_t total) {
    (void)stage, (void)done, (void)total;
    omniid_photo photo = pixels(1);
    omniid_identity *inner, *none;
    OK(omniid_encode(engine, &photo, 1, NULL, &inner));
    omniid_identity_free(inner);
    REFUSED(omniid_identity_load("no/such/inner", &none), OMNIID_STATUS_IO, "no/such/inner");
    ++*(int *)user_data;
    return 0;
}

static void remove_from_inside(void *user_data, int32_t level, const char *target, const char *message) {
    (void)level, (void)target, (void)message;
    REFUSED(omniid_log_set(NULL, NULL, 0), OMNIID_STATUS_INVALID_ARGUMENT, "callback");
    ++*(int *)user_data;
}

static void callbacks(void) {
    int calls = 0, messages = 0;
    omniid_photo photos[2] = {pixels(0), OMNIID_PHOTO_INIT};
    photos[1].path = "no/such/photo";
    omniid_encode_options options = OMNIID_ENCODE_OPTIONS_INIT;
    options.progress = call_from_inside;
    options.progress_user_data = &calls;
    omniid_identity *identity;
    OK(omniid_encode(engine, photos, 1, &options, &identity));
    omniid_identity_free(identity);
    EXPECT(calls >= 2);
    /* The callback ran on this thread, for its message is this thread's, and the call around it succeeded. */
    EXPECT(strstr(omniid_last_error(), "no/such/inner") != NULL);
    OK(omniid_log_set(remove_from_inside, &messages, OMNIID_LOG_LEVEL_WARN));
    OK(omniid_encode(engine, photos, 2, NULL, &identity));
    omniid_identity_free(identity);
    EXPECT(messages == 1);
    OK(omniid_log_set(NULL, NULL, 0));
}

static void logging(void) {
    int messages = 0;
    OK(omniid_log_set(count_message, &messages, OMNIID_LOG_LEVEL_WARN));
    REFUSED(omniid_log_set(count_message, &messages, 6), OMNIID_STATUS_INVALID_ARGUMENT, "level 6");
    omniid_photo photos[2] = {pixels(0), OMNIID_PHOTO_INIT};
    photos[1].path = "no/such/photo";
    omniid_identity *identity;
    OK(omniid_encode(engine, photos, 2, NULL, &identity));
    omniid_identity_free(identity);
    EXPECT(messages == 1);
    OK(omniid_log_set(NULL, NULL, 0));
    OK(omniid_encode(engine, photos, 2, NULL, &identity));
    omniid_identity_free(identity);
    EXPECT(messages == 1);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    EXPECT(strcmp(omniid_last_error(), "") == 0);
    versions();
    opening(argv[1]);
    describing();
    omniid_identity *identity = photos();
    features();
    identities(identity, argv[2]);
    conditionings(identity);
    defaults(identity);
    logging();
    callbacks();
    omniid_engine_free(engine);
    omniid_identity_free(identity);
    return 0;
}
