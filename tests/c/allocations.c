/*
 * omniid_inject allocates nothing after its first call. Every worker thread of the pool allocates its own scratch when
 * it first takes part, which may be late on a busy machine; with one thread there is no such chance. glibc only: the
 * allocator's functions are replaced by counting ones, which the library uses too.
 *
 *     allocations MODEL
 */
#define _POSIX_C_SOURCE 200112L /* setenv, posix_memalign */
#include <errno.h>
#include <stdatomic.h>

#include "support.h"

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *pointer, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static atomic_long allocations;

void *malloc(size_t size) {
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *pointer, size_t size) {
    allocations++;
    return __libc_realloc(pointer, size);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
    allocations++;
    *out = __libc_memalign(alignment, size);
    return *out == NULL ? ENOMEM : 0;
}

void *aligned_alloc(size_t alignment, size_t size) {
    allocations++;
    return __libc_memalign(alignment, size);
}

enum { BATCH = 2, ROWS = 256 };

static float query[BATCH * ROWS * 32], output[BATCH * ROWS * 32];

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    if (setenv("OMNIID_THREADS", "1", 1) != 0) return 2;
    omniid_engine *engine;
    omniid_engine_options options = OMNIID_ENGINE_OPTIONS_INIT;
    options.checkpoint_path = argv[1];
    OK(omniid_engine_open(&options, &engine));
    omniid_photo photo = pixels(0);
    omniid_identity *identity;
    OK(omniid_encode(engine, &photo, 1, NULL, &identity));
    EXPECT(allocations > 100); /* the counting works, for the library too */
    float mask[4] = {0, 0.5f, 1, 1};
    omniid_conditioning_input input = OMNIID_CONDITIONING_INPUT_INIT;
    input.identity = identity;
    input.mask = mask;
    input.mask_height = input.mask_width = 2;
    omniid_conditioning *conditioning;
    OK(omniid_conditioning_create(engine, &input, 1, NULL, &conditioning));

    for (size_t i = 0; i < sizeof query / sizeof *query; i++) query[i] = sinf((float)i);
    int32_t roles[BATCH] = {OMNIID_ROLE_CONDITIONAL, OMNIID_ROLE_UNCONDITIONAL};
    long before = 0;
    for (int round = 0; round < 20; round++) {
        if (round == 2) before = allocations;
        for (size_t layer = 0; layer < 2; layer++) {
            int64_t shape[3] = {BATCH, ROWS, layer == 0 ? 16 : 32};
            omniid_tensor in = {query, {OMNIID_DEVICE_TYPE_CPU, 0}, 3, {OMNIID_TYPE_CODE_FLOAT, 32, 1}, shape, NULL, 0},
                          out = in;
            out.data = output;
            omniid_inject_call call = OMNIID_INJECT_CALL_INIT;
            call.layer = layer;
            call.query = &in;
            call.output = &out;
            call.roles = roles;
            call.role_count = BATCH;
            call.latent_height = call.latent_width = 16;
            OK(omniid_inject(conditioning, &call));
        }
    }
    EXPECT(allocations == before);
    omniid_conditioning_free(conditioning);
    omniid_identity_free(identity);
    omniid_engine_free(engine);
    return 0;
}
