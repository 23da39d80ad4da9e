/*
 * Rounds of everything that allocates, with failures and cancellations in between, leave nothing behind.
 *
 *     leaks MODEL ROUNDS
 */
#include "support.h"
/* glibc's macros come with the first header. */
#include "meter.h"

static omniid_engine *engine;

static int32_t stop(void *user_data, int32_t stage, uint64_t done, uint64_t total) {
    (void)stage, (void)done, (void)total;
    ++*(int *)user_data;
    return 1;
}

static omniid_identity *encode(void) {
    omniid_photo photos[2] = {pixels(0), OMNIID_PHOTO_INIT};
    photos[1].path = "no/such/photo";
    omniid_report *report = NULL;
    omniid_encode_options options = OMNIID_ENCODE_OPTIONS_INIT;
    options.label = "label";
    options.report = &report;
    omniid_identity *identity;
    OK(omniid_encode(engine, photos, 2, &options, &identity));
    size_t count;
    OK(omniid_report_photo_count(report, &count));
    EXPECT(count == 2);
    omniid_report_free(report);
    return identity;
}

static void inject(const omniid_conditioning *conditioning, size_t layer, omniid_status expected) {
    float query[2 * 6 * 16], output[2 * 6 * 16];
    for (int i = 0; i < 192; i++) query[i] = (float)(i % 13) / 7, output[i] = 0;
    int64_t shape[3] = {2, 6, 16};
    omniid_tensor in = {query, {OMNIID_DEVICE_TYPE_CPU, 0}, 3, {OMNIID_TYPE_CODE_FLOAT, 32, 1}, shape, NULL, 0},
                  out = in;
    out.data = output;
    int32_t roles[2] = {OMNIID_ROLE_UNCONDITIONAL, OMNIID_ROLE_CONDITIONAL};
    omniid_inject_call call = OMNIID_INJECT_CALL_INIT;
    call.layer = layer;
    call.query = &in;
    call.output = &out;
    call.roles = roles;
    call.role_count = 2;
    call.latent_height = 2;
    call.latent_width = 3;
    EXPECT(omniid_inject(conditioning, &call) == expected);
}

static void round_of_calls(void) {
    omniid_identity *identity = encode(), *extended, *loaded, *none;
    omniid_photo photo = pixels(1);
    OK(omniid_identity_extend(engine, identity, &photo, 1, NULL, &extended));
    size_t size;
    unsigned char bytes[16384];
    OK(omniid_identity_to_bytes(extended, 0, bytes, sizeof bytes, &size));
    OK(omniid_identity_from_bytes(bytes, size, &loaded));
    omniid_managed_tensor *tokens, *keys;
    OK(omniid_identity_tokens(loaded, &tokens));

    float mask[4] = {0, 0.5f, 1, 1};
    omniid_conditioning_input input = OMNIID_CONDITIONING_INPUT_INIT;
    input.identity = loaded;
    input.mask = mask;
    input.mask_height = input.mask_width = 2;
    omniid_conditioning *conditioning;
    OK(omniid_conditioning_create(engine, &input, 1, NULL, &conditioning));
    OK(omniid_conditioning_keys(conditioning, 0, 0, OMNIID_ROLE_CONDITIONAL, 1, &keys));
    inject(conditioning, 0, OMNIID_STATUS_OK);

    /* Failures: a wrong layer, a wrong width, no photo, a broken file, a cancelled call. */
    inject(conditioning, 9, OMNIID_STATUS_INVALID_ARGUMENT);
    inject(conditioning, 1, OMNIID_STATUS_MISMATCH);
    EXPECT(omniid_identity_load("no/such/identity", &none) == OMNIID_STATUS_IO);
    EXPECT(omniid_identity_from_bytes(bytes, size / 2, &none) == OMNIID_STATUS_FORMAT);
    int calls = 0;
    omniid_encode_options options = OMNIID_ENCODE_OPTIONS_INIT;
    options.progress = stop;
    options.progress_user_data = &calls;
    EXPECT(omniid_encode(engine, &photo, 1, &options, &none) == OMNIID_STATUS_CANCELLED && calls == 1);

    omniid_conditioning_free(conditioning);
    omniid_managed_tensor_free(keys);
    omniid_identity_free(identity);
    omniid_identity_free(extended);
    omniid_identity_free(loaded);
    omniid_managed_tensor_free(tokens);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    int rounds = atoi(argv[2]);
    EXPECT(rounds > 0);
    omniid_engine_options options = OMNIID_ENGINE_OPTIONS_INIT;
    options.checkpoint_path = argv[1];
    OK(omniid_engine_open(&options, &engine));
    for (int i = 0; i < 100 && i < rounds; i++) round_of_calls();

    /* The meter sees what is held. */
    size_t before = allocated();
    omniid_identity *held[10];
    for (int i = 0; i < 10; i++) held[i] = encode();
    int counts = METER && allocated() > before;
    EXPECT(!counts || allocated() - before > 10 * 6 * 24 * sizeof(float));
    for (int i = 0; i < 10; i++) omniid_identity_free(held[i]);

    size_t grown = 0, limit = meter_limit((size_t)rounds);
    for (int attempt = 0; attempt < METER_ATTEMPTS && (attempt == 0 || grown > limit); attempt++) {
        before = allocated();
        for (int i = 0; i < rounds; i++) round_of_calls();
        grown = allocated() > before ? allocated() - before : 0;
    }
    if (counts) printf("%zu bytes more after %d rounds\n", grown, rounds);
    EXPECT(grown <= limit);
    omniid_engine_free(engine);
    return counts ? 0 : 3; /* 3: nothing was counted; a leak checker has to look */
}
