/*
 * The part of ONNX Runtime's C API that the program beside this file calls, declared by it, so that nothing but the
 * shared library is needed: that of the package onnxruntime-node on npm, of a release of ONNX Runtime, or of the
 * system.
 *
 * The API is a table of functions in a fixed order, which later releases only append to. Everything here is in its
 * first version. The header that comes with ONNX Runtime, onnxruntime_c_api.h, declares all of it and can take this
 * one's place.
 */
#ifndef ONNXRUNTIME_H
#define ONNXRUNTIME_H

#include <stddef.h>
#include <stdint.h>

typedef struct OrtEnv OrtEnv;
typedef struct OrtStatus OrtStatus; /* NULL: success */
typedef struct OrtSession OrtSession;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtRunOptions OrtRunOptions;
typedef struct OrtMemoryInfo OrtMemoryInfo;
typedef struct OrtValue OrtValue;

enum { ORT_LOG_WARNING = 2, ORT_ARENA_ALLOCATOR = 1, ORT_MEMORY_DEFAULT = 0, ORT_FLOAT = 1, ORT_FLOAT16 = 10 };

#ifdef _WIN32
typedef wchar_t ort_path;
#else
typedef char ort_path;
#endif

/* The numbers are places in the table. */
typedef struct {
    void *places_0_to_1[2];
    const char *(*GetErrorMessage)(const OrtStatus *status);
    OrtStatus *(*CreateEnv)(int log_level, const char *log_name, OrtEnv **out);
    void *places_4_to_6[3];
    OrtStatus *(*CreateSession)(const OrtEnv *env, const ort_path *path, const OrtSessionOptions *options,
                                OrtSession **out);
    void *place_8;
    OrtStatus *(*Run)(OrtSession *session, const OrtRunOptions *options, const char *const *input_names,
                      const OrtValue *const *inputs, size_t input_count, const char *const *output_names,
                      size_t output_count, OrtValue **outputs);
    OrtStatus *(*CreateSessionOptions)(OrtSessionOptions **out);
    void *places_11_to_48[38];
    OrtStatus *(*CreateTensorWithDataAsOrtValue)(const OrtMemoryInfo *memory, void *data, size_t byte_size,
                                                 const int64_t *shape, size_t rank, int type, OrtValue **out);
    void *place_50;
    OrtStatus *(*GetTensorMutableData)(OrtValue *value, void **out);
    void *places_52_to_68[17];
    OrtStatus *(*CreateCpuMemoryInfo)(int allocator, int memory, OrtMemoryInfo **out);
    void *places_70_to_91[22];
    void (*ReleaseEnv)(OrtEnv *env);
    void (*ReleaseStatus)(OrtStatus *status);
    void (*ReleaseMemoryInfo)(OrtMemoryInfo *info);
    void (*ReleaseSession)(OrtSession *session);
    void (*ReleaseValue)(OrtValue *value);
    void *places_97_to_99[3];
    void (*ReleaseSessionOptions)(OrtSessionOptions *options);
} OrtApi;

typedef struct {
    const OrtApi *(*GetApi)(uint32_t version);
    const char *(*GetVersionString)(void);
} OrtApiBase;

const OrtApiBase *OrtGetApiBase(void);

#endif
