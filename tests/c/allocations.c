/*
 * omniid_inject and omniid_inject_residual allocate nothing after their first calls. Every worker thread of the pool
 * allocates its own scratch when it first takes part, which may be late on a busy machine; with one thread there is no
 * such chance. glibc only: the allocator's functions are replaced by counting ones, which the library uses too.
 *
 *     allocations MODEL MODELS
 *
 * MODELS is a folder that the example untrained_adapters has filled.
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

enum { BATCH = 2, ROWS = 256, WIDEST = 40 };

static float query[BATCH * ROWS * WIDEST], output[BATCH * ROWS * WIDEST];
static const int32_t roles[BATCH] = {OMNIID_ROLE_CONDITIONAL, OMNIID_ROLE_UNCONDITIONAL};

/* A tensor [batch, rows, width]. */
static omniid_tensor tensor(float *data, int64_t *shape) {
    return (omniid_tensor){data, {OMNIID_DEVICE_TYPE_CPU, 0}, 3, {OMNIID_TYPE_CODE_FLOAT, 32, 1}, shape, NULL, 0};
}

static void inject(const omniid_conditioning *conditioning, size_t layer, int64_t width) {
    int64_t shape[3] = {BATCH, ROWS, width};
    omniid_tensor in = tensor(query, shape), out = tensor(output, shape);
    omniid_inject_call call = OMNIID_INJECT_CALL_INIT;
    call.layer = layer;
    call.query = &in;
    call.output = &out;
    call.roles = roles;
    call.role_count = BATCH;
    call.latent_height = call.latent_width = 16;
    OK(omniid_inject(conditioning, &call));
}

/* Cross-attention of widths 16 and 32. */
static void cross(const omniid_conditioning *conditioning) {
    inject(conditioning, 0, 16);
    inject(conditioning, 1, 32);
}

/* The image's hidden state, in place. */
static void residual(const omniid_conditioning *conditioning) {
    for (size_t layer = 0; layer < 2; layer++) {
        int64_t shape[3] = {BATCH, ROWS, 40};
        omniid_tensor out = tensor(query, shape);
        omniid_residual_call call = OMNIID_RESIDUAL_CALL_INIT;
        call.layer = layer;
        call.output = &out;
        call.scale = 0.01f;
        OK(omniid_inject_residual(conditioning, &call));
    }
}

/* Attention to the image as well. */
static void joint(const omniid_conditioning *conditioning) {
    int64_t shape[3] = {BATCH, ROWS, 32};
    omniid_tensor in = tensor(query, shape), out = tensor(output, shape);
    omniid_inject_call call = OMNIID_INJECT_CALL_INIT;
    call.query = call.image_keys = call.image_values = &in;
    call.output = &out;
    call.flags = OMNIID_INJECT_FLAG_SIGMA;
    call.sigma = 0.5;
    OK(omniid_inject(conditioning, &call));
}

/* The calls of a model, after two rounds of them. */
static void rounds(const char *model, const omniid_conditioning_options *options, const omniid_conditioning_input *how,
                   void (*calls)(const omniid_conditioning *)) {
    omniid_engine *engine;
    omniid_engine_options open = OMNIID_ENGINE_OPTIONS_INIT;
    open.checkpoint_path = model;
    OK(omniid_engine_open(&open, &engine));
    omniid_photo photo = pixels(0);
    omniid_identity *identity;
    OK(omniid_encode(engine, &photo, 1, NULL, &identity));
    EXPECT(allocations > 100); /* the counting works, for the library too */
    omniid_conditioning_input input = *how;
    input.identity = identity;
    omniid_conditioning *conditioning;
    OK(omniid_conditioning_create(engine, &input, 1, options, &conditioning));
    for (size_t i = 0; i < sizeof query / sizeof *query; i++) query[i] = sinf((float)i);
    long before = 0;
    for (int round = 0; round < 20; round++) {
        if (round == 2) before = allocations;
        calls(conditioning);
    }
    EXPECT(allocations == before);
    omniid_conditioning_free(conditioning);
    omniid_identity_free(identity);
    omniid_engine_free(engine);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    if (setenv("OMNIID_THREADS", "1", 1) != 0) return 2;
    char path[2][4096];
    snprintf(path[0], sizeof path[0], "%s/residual.safetensors", argv[2]);
    snprintf(path[1], sizeof path[1], "%s/sd35.safetensors", argv[2]);
    float mask[4] = {0, 0.5f, 1, 1}, timestep = 500;
    omniid_conditioning_input plain = OMNIID_CONDITIONING_INPUT_INIT, masked = plain;
    masked.mask = mask;
    masked.mask_height = masked.mask_width = 2;
    omniid_conditioning_options options = OMNIID_CONDITIONING_OPTIONS_INIT;
    rounds(argv[1], NULL, &masked, cross);
    for (int32_t injection = OMNIID_INJECTION_ORTHOGONAL; injection <= OMNIID_INJECTION_ORTHOGONAL_V2; injection++) {
        options.injection = injection;
        options.zero_tokens = 8;
        rounds(argv[1], &options, &masked, cross);
    }
    rounds(path[0], NULL, &plain, residual);
    options = (omniid_conditioning_options)OMNIID_CONDITIONING_OPTIONS_INIT;
    options.timesteps = &timestep;
    options.timestep_count = 1;
    rounds(path[1], &options, &plain, joint);
    return 0;
}
