/*
 * Eight threads encode, condition and inject at once on one engine; each gets the numbers of a single thread.
 *
 *     threads MODEL
 */
#include <pthread.h>

#include "support.h"

enum { THREADS = 8, ROUNDS = 6, TOKENS = 6 * 24, LAYERS = 2, ROWS = 50, LARGEST = ROWS * 32 };

struct result {
    float tokens[TOKENS];
    float output[LAYERS][LARGEST];
};

static omniid_engine *engine;
static omniid_conditioning *shared;
static struct result expected[ROUNDS];

static void inject(const omniid_conditioning *conditioning, size_t layer, int round, float *output) {
    float query[LARGEST];
    int64_t shape[4] = {1, ROWS, layer == 0 ? 2 : 4, 8};
    for (int i = 0; i < LARGEST; i++) {
        query[i] = sinf((float)(i * (round + 1)));
        output[i] += cosf((float)(i + round));
    }
    omniid_tensor in = {query, {OMNIID_DEVICE_TYPE_CPU, 0}, 4, {OMNIID_TYPE_CODE_FLOAT, 32, 1}, shape, NULL, 0},
                  out = in;
    out.data = output;
    omniid_inject_call call = OMNIID_INJECT_CALL_INIT;
    call.layer = layer;
    call.query = &in;
    call.output = &out;
    OK(omniid_inject(conditioning, &call));
}

static void work(int round, struct result *result) {
    omniid_photo photos[2] = {pixels(round), pixels(round + 1)};
    omniid_identity *identity;
    omniid_encode_options options = OMNIID_ENCODE_OPTIONS_INIT;
    // The built-in model, which compares the photos, is large beside the tested one: once is enough under valgrind.
    options.strangers = round == 0 ? OMNIID_STRANGERS_NOTE : OMNIID_STRANGERS_IGNORE;
    OK(omniid_encode(engine, photos, 2, &options, &identity));
    int64_t shape[2] = {6, 24};
    omniid_tensor tokens = {
        result->tokens, {OMNIID_DEVICE_TYPE_CPU, 0}, 2, {OMNIID_TYPE_CODE_FLOAT, 32, 1}, shape, NULL, 0};
    OK(omniid_identity_copy_tokens(identity, &tokens));
    omniid_conditioning *own;
    omniid_conditioning_input input = OMNIID_CONDITIONING_INPUT_INIT;
    input.identity = identity;
    OK(omniid_conditioning_create(engine, &input, 1, NULL, &own));
    for (size_t layer = 0; layer < LAYERS; layer++) {
        memset(result->output[layer], 0, sizeof result->output[layer]);
        inject(own, layer, round, result->output[layer]);
        inject(shared, layer, round, result->output[layer]);
    }
    omniid_conditioning_free(own);
    /* Errors belong to the thread that caused them. */
    omniid_identity *none;
    char name[32], seen[64];
    snprintf(name, sizeof name, "no/such/file/%d", round);
    EXPECT(omniid_identity_load(name, &none) == OMNIID_STATUS_IO);
    snprintf(seen, sizeof seen, "%s", omniid_last_error());
    EXPECT(strstr(seen, name) != NULL);
    omniid_identity_free(identity);
}

static void *thread(void *argument) {
    struct result *result = malloc(sizeof *result);
    int first = (int)(size_t)argument;
    EXPECT(result != NULL);
    for (int i = 0; i < ROUNDS; i++) {
        int round = (first + i) % ROUNDS;
        memset(result, 0, sizeof *result);
        work(round, result);
        EXPECT(memcmp(result, &expected[round], sizeof *result) == 0);
    }
    free(result);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    omniid_engine_options options = OMNIID_ENGINE_OPTIONS_INIT;
    options.checkpoint_path = argv[1];
    OK(omniid_engine_open(&options, &engine));
    omniid_photo photo = pixels(9);
    omniid_identity *identity;
    OK(omniid_encode(engine, &photo, 1, NULL, &identity));
    omniid_conditioning_input input = OMNIID_CONDITIONING_INPUT_INIT;
    input.identity = identity;
    OK(omniid_conditioning_create(engine, &input, 1, NULL, &shared));
    omniid_identity_free(identity);
    for (int i = 0; i < 16; i++) pixels(i);
    for (int round = 0; round < ROUNDS; round++) work(round, &expected[round]);

    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) EXPECT(pthread_create(&threads[i], NULL, thread, (void *)i) == 0);
    for (size_t i = 0; i < THREADS; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
    omniid_conditioning_free(shared);
    omniid_engine_free(engine);
    return 0;
}
