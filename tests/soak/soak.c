/*
 * Hours of use in one process: threads inject and encode, and create, extend, save, load and free identities. Every
 * result equals the first one to the bit, and the memory of the process stays as it is.
 *
 *     soak MODEL FOLDER INJECTS ENCODES [THREADS [PHOTO...]]
 *
 * INJECTS is for each thread, ENCODES for all of them together. MODEL has two small layers (examples/untrained_model);
 * the photos are encoded with the built-in model. Without photos and with ENCODES 0 nothing is encoded with it.
 *
 * Exits with 1 when a result differs or a call fails, with 4 when memory grows.
 */
#define _XOPEN_SOURCE 700
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

enum { MOST_THREADS = 64, HEADS = 8, MOST_ROWS = 64, MOST_INNER = 32, BATCH = 2, LATENT = 8 };
enum { F32, F16, BF16, TYPES };
enum { ONE, TWO, MASKED, STEPS, CONDITIONINGS };
enum { LAYERS = 2, ROW_COUNTS = 3, CASES = CONDITIONINGS * TYPES * LAYERS * ROW_COUNTS };
enum { SAMPLES = 100 };

/* ROWS must be a latent's height times its width for masks: 1 x 1, 4 x 4, 8 x 8. */
static const uint32_t sides[ROW_COUNTS] = {1, 4, 8};

struct call {
    int conditioning, type, layer;
    uint32_t side;
    size_t bytes;
    unsigned char query[BATCH * MOST_ROWS * MOST_INNER * 4], before[BATCH * MOST_ROWS * MOST_INNER * 4],
        after[BATCH * MOST_ROWS * MOST_INNER * 4];
};

static struct call calls[CASES];
static omniid_engine *small, *built_in;
static omniid_identity *people[2];
static omniid_conditioning *conditionings[CONDITIONINGS];
static omniid_photo photos[16];
static size_t photo_count;
static float *first_tokens[16], *first_extended[16];
static size_t token_values;
static long injects, encodes;
static int threads;
static const char *folder;
static atomic_long injected, encoded, created;
static pthread_barrier_t end;

/* Numbers of a case, the same on every system. */
static uint32_t noise(uint32_t *state) { return *state = *state * 1664525u + 1013904223u; }

static void put(unsigned char *out, int type, size_t index, float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    /* Values between 2^-8 and 4, so that an f16 number is a shift away. */
    uint16_t half = (uint16_t)((bits >> 16 & 0x8000) | (((bits >> 13) - (112u << 10)) & 0x7fff));
    uint16_t brain = (uint16_t)(bits >> 16);
    if (type == F32) memcpy(out + index * 4, &value, 4);
    if (type == F16) memcpy(out + index * 2, &half, 2);
    if (type == BF16) memcpy(out + index * 2, &brain, 2);
}

static void prepare(struct call *call, uint32_t number) {
    uint32_t state = number;
    size_t inner = call->layer == 0 ? 16 : 32, count = (size_t)BATCH * call->side * call->side * inner;
    call->bytes = count * (call->type == F32 ? 4 : 2);
    for (size_t i = 0; i < count; i++) {
        float size = 0.004f + (float)(noise(&state) >> 8) / 16777216.0f * 3.0f;
        put(call->query, call->type, i, noise(&state) >> 31 ? size : -size);
        size = 0.004f + (float)(noise(&state) >> 8) / 16777216.0f * 3.0f;
        put(call->before, call->type, i, noise(&state) >> 31 ? size : -size);
    }
}

static void inject(const struct call *call, const omniid_conditioning *conditioning, unsigned char *output) {
    int64_t shape[3] = {BATCH, (int64_t)call->side * call->side, call->layer == 0 ? 16 : 32};
    omniid_tensor query = {
        (void *)call->query, {OMNIID_DEVICE_TYPE_CPU, 0}, 3, {OMNIID_TYPE_CODE_FLOAT, 32, 1}, shape, NULL, 0};
    if (call->type != F32) query.dtype.bits = 16;
    if (call->type == BF16) query.dtype.code = OMNIID_TYPE_CODE_BFLOAT;
    omniid_tensor out = query;
    memcpy(output, call->before, call->bytes);
    out.data = output;
    int32_t roles[BATCH] = {OMNIID_ROLE_UNCONDITIONAL, OMNIID_ROLE_CONDITIONAL};
    omniid_inject_call arguments = OMNIID_INJECT_CALL_INIT;
    arguments.layer = (size_t)call->layer;
    arguments.query = &query;
    arguments.output = &out;
    arguments.roles = roles;
    arguments.role_count = BATCH;
    arguments.latent_height = arguments.latent_width = call->side;
    arguments.flags = OMNIID_INJECT_FLAG_FRACTION;
    arguments.fraction = 0.25;
    OK(omniid_inject(conditioning, &arguments));
}

static omniid_conditioning *condition(int kind) {
    static const float left[4] = {1, 0, 1, 0.5f}, right[4] = {0, 1, 0.25f, 1};
    omniid_conditioning_input inputs[2] = {OMNIID_CONDITIONING_INPUT_INIT, OMNIID_CONDITIONING_INPUT_INIT};
    inputs[0].identity = people[0];
    inputs[1].identity = people[1];
    inputs[0].scale = 0.8f;
    inputs[1].scale = 0.5f;
    if (kind == MASKED) {
        inputs[0].mask = left;
        inputs[1].mask = right;
        for (int i = 0; i < 2; i++) inputs[i].mask_height = inputs[i].mask_width = 2;
    }
    if (kind == STEPS) {
        /* The second person is outside of its steps. */
        inputs[0].step_range = inputs[1].step_range = OMNIID_STEP_RANGE_FRACTION;
        inputs[0].step_end = 0.5;
        inputs[1].step_start = 0.5;
        inputs[1].step_end = 1.0;
    }
    omniid_conditioning *conditioning;
    OK(omniid_conditioning_create(small, inputs, kind == ONE ? 1 : 2, NULL, &conditioning));
    return conditioning;
}

static void copy_tokens(const omniid_identity *identity, float *values) {
    omniid_identity_info info = OMNIID_IDENTITY_INFO_INIT;
    OK(omniid_identity_describe(identity, &info));
    EXPECT((size_t)info.tokens * info.token_width == token_values);
    int64_t shape[2] = {(int64_t)info.tokens, (int64_t)info.token_width};
    omniid_tensor tokens = {values, {OMNIID_DEVICE_TYPE_CPU, 0}, 2, {OMNIID_TYPE_CODE_FLOAT, 32, 1}, shape, NULL, 0};
    OK(omniid_identity_copy_tokens(identity, &tokens));
}

/* An identity of a photo, and the same extended by the next one: two encodes. Faces are found and strangers are looked
 * for only in the first photo, because both take far longer than the encoder. */
static void encode(size_t photo, omniid_identity **one, omniid_identity **two) {
    omniid_encode_options options = OMNIID_ENCODE_OPTIONS_INIT;
    if (photo > 0) {
        options.crop = OMNIID_CROP_CENTER;
        options.strangers = OMNIID_STRANGERS_IGNORE;
    }
    OK(omniid_encode(built_in, &photos[photo], 1, &options, one));
    OK(omniid_identity_extend(built_in, *one, &photos[(photo + 1) % photo_count], 1, &options, two));
}

static void round_of_encodes(size_t photo, int thread, float *values) {
    omniid_identity *one, *two, *loaded;
    encode(photo, &one, &two);
    copy_tokens(one, values);
    EXPECT(memcmp(values, first_tokens[photo], token_values * sizeof *values) == 0);
    char path[4096];
    snprintf(path, sizeof path, "%s/soak-%d.omniid", folder, thread);
    OK(omniid_identity_save(two, path, OMNIID_PRECISION_F32));
    OK(omniid_identity_load(path, &loaded));
    copy_tokens(loaded, values);
    EXPECT(memcmp(values, first_extended[photo], token_values * sizeof *values) == 0);
    omniid_identity_free(one);
    omniid_identity_free(two);
    omniid_identity_free(loaded);
    atomic_fetch_add(&encoded, 2);
}

/* A conditioning of the thread's own among those that all share. */
static void round_of_conditioning(int kind, unsigned char *output) {
    omniid_conditioning *own = condition(kind);
    for (int i = kind; i < CASES; i += 11) {
        if (calls[i].conditioning != kind) continue;
        inject(&calls[i], own, output);
        EXPECT(memcmp(output, calls[i].after, calls[i].bytes) == 0);
    }
    omniid_conditioning_free(own);
    atomic_fetch_add(&created, 1);
}

static void *thread(void *argument) {
    int number = (int)(size_t)argument;
    unsigned char *output = malloc(sizeof calls[0].before);
    float *values = malloc((token_values + 1) * sizeof *values);
    EXPECT(output != NULL && values != NULL);
    long rounds = encodes / 2 / threads, done = 0, made = 0;
    uint32_t state = (uint32_t)number;
    for (long i = 0; i < injects || done < rounds; i++) {
        if (i < injects) {
            const struct call *call = &calls[noise(&state) % CASES];
            inject(call, conditionings[call->conditioning], output);
            EXPECT(memcmp(output, call->after, call->bytes) == 0);
            /* In portions: the counter is one for all threads. */
            if (i % 64 == 63 || i + 1 == injects) atomic_fetch_add(&injected, i % 64 + 1);
            if (i % 1000 == 999) round_of_conditioning((int)(made++ % CONDITIONINGS), output);
        }
        /* Encodes are spread over the injects. */
        while (done < rounds && (i >= injects || done * injects <= i * rounds))
            round_of_encodes((size_t)(number + done++) % photo_count, number, values);
    }
    /* Memory is looked at before the thread gives its share back, and then the thread may go. */
    pthread_barrier_wait(&end);
    pthread_barrier_wait(&end);
    free(output);
    free(values);
    return NULL;
}

/* Memory of the process in bytes, and 0 where the system does not say. */
static size_t resident(void) {
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL) return 0;
    if (fscanf(file, "%*u %lu", &pages) != 1) pages = 0;
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* How much of the work is done, in percent; both kinds of it go at the same pace. */
static int progress(void) {
    long all = injects * threads + encodes / 2 / threads * threads * 2;
    return (int)((atomic_load(&injected) + atomic_load(&encoded)) * 100 / (all > 0 ? all : 1));
}

static void sleep_ms(long ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* Follows the work; memory after each percent. */
static void watch(size_t *samples) {
    for (int percent = 1; percent < SAMPLES;) {
        if (progress() >= percent)
            samples[percent++] = resident();
        else
            sleep_ms(2);
    }
}

/* Bytes by which memory grows from 20 % of the work to its end, by the line through the samples. */
static double slope(const size_t *samples) {
    double n = 0, x = 0, y = 0, xx = 0, xy = 0;
    for (int i = 20; i <= SAMPLES; i++) {
        n += 1, x += i, y += (double)samples[i];
        xx += (double)i * i, xy += (double)i * (double)samples[i];
    }
    return (n * xy - x * y) / (n * xx - x * x) * 80;
}

static void prepare_all(const char *model) {
    omniid_engine_options options = OMNIID_ENGINE_OPTIONS_INIT;
    options.checkpoint_path = model;
    OK(omniid_engine_open(&options, &small));
    for (int i = 0; i < 2; i++) {
        omniid_photo photo = pixels(i);
        OK(omniid_encode(small, &photo, 1, NULL, &people[i]));
    }
    for (int kind = 0; kind < CONDITIONINGS; kind++) conditionings[kind] = condition(kind);
    for (int i = 0; i < CASES; i++) {
        struct call *call = &calls[i];
        call->conditioning = i % CONDITIONINGS;
        call->type = i / CONDITIONINGS % TYPES;
        call->layer = i / CONDITIONINGS / TYPES % LAYERS;
        call->side = sides[i / CONDITIONINGS / TYPES / LAYERS];
        prepare(call, (uint32_t)i + 1);
        inject(call, conditionings[call->conditioning], call->after);
        EXPECT(memcmp(call->before, call->after, call->bytes) != 0);
    }
    if (encodes == 0) return;
    EXPECT(photo_count > 0);
    omniid_engine_options none = OMNIID_ENGINE_OPTIONS_INIT;
    OK(omniid_engine_open(&none, &built_in));
    for (size_t i = 0; i < photo_count; i++) {
        omniid_identity *one, *two;
        encode(i, &one, &two);
        omniid_identity_info info = OMNIID_IDENTITY_INFO_INIT;
        OK(omniid_identity_describe(one, &info));
        token_values = (size_t)info.tokens * info.token_width;
        first_tokens[i] = malloc(token_values * sizeof(float));
        first_extended[i] = malloc(token_values * sizeof(float));
        EXPECT(first_tokens[i] != NULL && first_extended[i] != NULL);
        copy_tokens(one, first_tokens[i]);
        copy_tokens(two, first_extended[i]);
        omniid_identity_free(one);
        omniid_identity_free(two);
    }
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: %s MODEL FOLDER INJECTS ENCODES [THREADS [PHOTO...]]\n", argv[0]);
        return 2;
    }
    folder = argv[2];
    injects = atol(argv[3]);
    encodes = atol(argv[4]);
    threads = argc > 5 ? atoi(argv[5]) : 8;
    EXPECT(threads > 0 && threads <= MOST_THREADS && injects >= 0 && encodes >= 0);
    for (int i = 6; i < argc && photo_count < 16; i++) {
        photos[photo_count] = (omniid_photo)OMNIID_PHOTO_INIT;
        photos[photo_count++].path = argv[i];
    }
    prepare_all(argv[1]);

    static size_t samples[SAMPLES + 1];
    pthread_t all[MOST_THREADS];
    time_t begin = time(NULL);
    EXPECT(pthread_barrier_init(&end, NULL, (unsigned)threads + 1) == 0);
    for (int i = 0; i < threads; i++) EXPECT(pthread_create(&all[i], NULL, thread, (void *)(size_t)i) == 0);
    watch(samples);
    pthread_barrier_wait(&end);
    samples[SAMPLES] = resident();
    pthread_barrier_wait(&end);
    for (int i = 0; i < threads; i++) EXPECT(pthread_join(all[i], NULL) == 0);
    pthread_barrier_destroy(&end);

    double mb = 1e6, grown = slope(samples);
    printf("%d threads: %ld injects, %ld encodes, %ld conditionings in %ld s; every result equals the first\n", threads,
           (long)atomic_load(&injected), (long)atomic_load(&encoded), (long)atomic_load(&created),
           (long)(time(NULL) - begin));
    printf("memory at 10, 50, 100 %%: %.2f, %.2f, %.2f MB; slope from 20 to 100 %%: %+.2f MB\n",
           (double)samples[10] / mb, (double)samples[50] / mb, (double)samples[SAMPLES] / mb, grown / mb);

    for (int kind = 0; kind < CONDITIONINGS; kind++) omniid_conditioning_free(conditionings[kind]);
    for (int i = 0; i < 2; i++) omniid_identity_free(people[i]);
    for (size_t i = 0; i < photo_count; i++) free(first_tokens[i]), free(first_extended[i]);
    omniid_engine_free(small);
    omniid_engine_free(built_in);
    /* The allocators of the threads take what they need by and by: a few MB, however long it goes on. */
    return grown > 16e6 + 0.02 * (double)samples[20] ? 4 : 0;
}
