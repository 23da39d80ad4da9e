/*
 * The program ends while other threads are inside calls: in encode, in inject, in a progress callback, in the log
 * callback. It must end with the status that was asked for.
 *
 *     exit MODEL encode|inject|progress|log
 */
#define _POSIX_C_SOURCE 200112L /* nanosleep */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "support.h"

enum { THREADS = 3, STATUS = 7, PHOTOS = 16 };

static omniid_engine *engine;
static omniid_conditioning *conditioning;
static atomic_int inside;

static void pause_for(long milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static int32_t wait_in_progress(void *user_data, int32_t stage, uint64_t done, uint64_t total) {
    (void)user_data, (void)stage, (void)done, (void)total;
    inside++;
    pause_for(10000);
    return 0;
}

static int32_t count_progress(void *user_data, int32_t stage, uint64_t done, uint64_t total) {
    (void)user_data, (void)stage, (void)done, (void)total;
    inside++;
    return 0;
}

static void wait_in_log(void *user_data, int32_t level, const char *target, const char *message) {
    (void)user_data, (void)level, (void)target, (void)message;
    inside++;
    pause_for(10000);
}

static void *encode(void *progress) {
    omniid_photo photos[PHOTOS];
    for (int i = 0; i < PHOTOS; i++) photos[i] = pixels(i);
    if (progress == NULL)
        photos[0].path = "no/such/photo", photos[0].pixels = NULL, photos[0].width = photos[0].height = 0;
    omniid_encode_options options = OMNIID_ENCODE_OPTIONS_INIT;
    options.batch_size = 1;
    if (progress != NULL) options.progress = *(omniid_progress_fn *)progress;
    for (;;) {
        omniid_identity *identity;
        OK(omniid_encode(engine, photos, PHOTOS, &options, &identity));
        omniid_identity_free(identity);
    }
    return NULL;
}

static void *inject(void *unused) {
    (void)unused;
    static float query[512 * 16];
    float *output = calloc(512 * 16, sizeof *output);
    EXPECT(output != NULL);
    int64_t shape[3] = {1, 512, 16};
    omniid_tensor in = {query, {OMNIID_DEVICE_TYPE_CPU, 0}, 3, {OMNIID_TYPE_CODE_FLOAT, 32, 1}, shape, NULL, 0},
                  out = in;
    out.data = output;
    omniid_inject_call call = OMNIID_INJECT_CALL_INIT;
    call.query = &in;
    call.output = &out;
    for (;;) {
        OK(omniid_inject(conditioning, &call));
        inside++;
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    omniid_engine_options options = OMNIID_ENGINE_OPTIONS_INIT;
    options.checkpoint_path = argv[1];
    OK(omniid_engine_open(&options, &engine));
    for (int i = 0; i < PHOTOS; i++) pixels(i);
    omniid_photo photo = pixels(0);
    omniid_identity *identity;
    OK(omniid_encode(engine, &photo, 1, NULL, &identity));
    omniid_conditioning_input input = OMNIID_CONDITIONING_INPUT_INIT;
    input.identity = identity;
    OK(omniid_conditioning_create(engine, &input, 1, NULL, &conditioning));
    omniid_identity_free(identity);

    static omniid_progress_fn waiting = wait_in_progress, counting = count_progress;
    int injects = strcmp(argv[2], "inject") == 0, logs = strcmp(argv[2], "log") == 0;
    void *argument = logs ? NULL : strcmp(argv[2], "progress") == 0 ? (void *)&waiting : (void *)&counting;
    if (logs) OK(omniid_log_set(wait_in_log, NULL, OMNIID_LOG_LEVEL_TRACE));
    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;
        EXPECT(pthread_create(&thread, NULL, injects ? inject : encode, argument) == 0);
        EXPECT(pthread_detach(thread) == 0);
    }
    for (int waited = 0; inside < THREADS; waited++) {
        EXPECT(waited < 20000);
        pause_for(1);
    }
    exit(STATUS); /* handles are left to the system, as in programs that just end */
}
