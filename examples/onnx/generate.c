/*
 * Draws a person in eight views with ONNX Runtime: photos in, a contact sheet out. OmniID encodes the photos and fills
 * the identity inputs of the graph; ONNX Runtime runs it.
 *
 *     generate FOLDER SHEET.png PHOTO...
 *
 * FOLDER is what export.py has written. The pictures are those of `omniid generate` with its defaults.
 */
#include "onnxruntime.h"
#include "png.h"

#include <math.h>
#include <omniid.h>

enum { STEPS = 4, COLUMNS = 4, ENLARGED = 2, MOST_INPUTS = 64, MOST_PHOTOS = 64 };
static const float guidance = 1.25f;

static const OrtApi *ort;

static void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

/* Ends the program with the library's message when a call of OmniID fails. */
static void check(omniid_status status, const char *what) {
    if (status != OMNIID_STATUS_OK) fail(what, omniid_last_error());
}

/* The same for ONNX Runtime. */
static void check_ort(OrtStatus *status, const char *what) {
    if (status != NULL) fail(what, ort->GetErrorMessage(status));
}

static void *allocate(size_t bytes) {
    void *memory = calloc(1, bytes);
    if (memory == NULL) fail("memory", "there is not enough");
    return memory;
}

/* A file of the folder, whole; with a NUL behind it. */
static char *read_file(const char *folder, const char *name, size_t *size) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) fail(path, "cannot be read");
    char *bytes = NULL;
    size_t capacity = 0;
    *size = 0;
    do {
        capacity = 2 * capacity + 65536;
        bytes = realloc(bytes, capacity + 1);
        if (bytes == NULL) fail("memory", "there is not enough");
        *size += fread(bytes + *size, 1, capacity - *size, file);
    } while (*size == capacity);
    bytes[*size] = 0;
    fclose(file);
    return bytes;
}

/* The inputs of a run: the graph's own ones first, then the identity's. */
static struct {
    size_t count;
    const char *names[MOST_INPUTS];
    OrtValue *values[MOST_INPUTS];
} inputs;

/* Memory of the identity's inputs. */
static omniid_graph_buffer buffers[MOST_INPUTS];

static void add_input(const OrtMemoryInfo *memory, const char *name, void *data, size_t bytes, const int64_t *shape,
                      size_t rank) {
    if (inputs.count == MOST_INPUTS) fail("graph", "has too many inputs for this program");
    inputs.names[inputs.count] = name;
    check_ort(
        ort->CreateTensorWithDataAsOrtValue(memory, data, bytes, shape, rank, ORT_FLOAT, &inputs.values[inputs.count]),
        name);
    inputs.count++;
}

/* Fills the identity inputs. Their memory stays as it is for all steps. */
static void add_identity(const OrtMemoryInfo *memory, const omniid_graph *graph,
                         const omniid_conditioning *conditioning, const int32_t *roles, size_t rows) {
    omniid_graph_info info = OMNIID_GRAPH_INFO_INIT;
    omniid_graph_call call = OMNIID_GRAPH_CALL_INIT;
    check(omniid_graph_describe(graph, &info), "graph");
    if (info.input_count > MOST_INPUTS || info.precision != OMNIID_PRECISION_F32)
        fail("graph", "is not one of the built-in generator in f32");
    call.roles = roles;
    call.role_count = rows;
    for (size_t i = 0; i < info.input_count; i++) {
        omniid_graph_input input = OMNIID_GRAPH_INPUT_INIT;
        omniid_graph_shape shape = OMNIID_GRAPH_SHAPE_INIT;
        check(omniid_graph_describe_input(graph, i, &input), "graph");
        check(omniid_graph_input_shape(graph, conditioning, &call, i, &shape), input.name);
        buffers[i] = (omniid_graph_buffer)OMNIID_GRAPH_BUFFER_INIT;
        buffers[i].name = input.name;
        buffers[i].byte_size = (size_t)shape.byte_size;
        buffers[i].data = allocate(buffers[i].byte_size);
        add_input(memory, input.name, buffers[i].data, buffers[i].byte_size, shape.shape, shape.rank);
    }
    check(omniid_graph_fill(graph, conditioning, &call, buffers, (size_t)info.input_count), "identity inputs");
}

/* One Euler step from noise to picture: the graph sees each picture with the person and with nobody. */
static void draw(OrtSession *session, float *pictures, float *time, size_t count, size_t pixels, int step) {
    static const char *const outputs[] = {"clean"};
    float now = (float)step / STEPS, after = (float)(step + 1) / STEPS, *clean;
    OrtValue *output = NULL;
    memcpy(pictures + count * pixels, pictures, count * pixels * sizeof(float));
    for (size_t row = 0; row < 2 * count; row++) time[row] = now;
    check_ort(ort->Run(session, NULL, inputs.names, (const OrtValue *const *)inputs.values, inputs.count, outputs, 1,
                       &output),
              "run");
    check_ort(ort->GetTensorMutableData(output, (void **)&clean), "output");
    for (size_t i = 0; i < count * pixels; i++) {
        float nobody = clean[count * pixels + i];
        float guided = nobody + (clean[i] - nobody) * guidance;
        pictures[i] += (guided - pictures[i]) * (1 / (1 - now)) * (after - now);
    }
    ort->ReleaseValue(output);
}

/* Pictures `[count, 3, side, side]`, -1 to 1, side by side and enlarged. */
static void write_sheet(const char *path, const float *pictures, size_t count, size_t side) {
    size_t rows = (count + COLUMNS - 1) / COLUMNS, width = COLUMNS * side * ENLARGED, height = rows * side * ENLARGED;
    unsigned char *sheet = allocate(3 * width * height);
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++)
            for (size_t channel = 0; channel < 3; channel++) {
                size_t row = y / ENLARGED, column = x / ENLARGED, picture = row / side * COLUMNS + column / side;
                if (picture >= count) continue;
                float value = pictures[((picture * 3 + channel) * side + row % side) * side + column % side];
                long level = lrintf((value + 1) * 127.5f);
                sheet[3 * (y * width + x) + channel] = (unsigned char)(level < 0 ? 0 : level > 255 ? 255 : level);
            }
    if (write_png(path, sheet, (uint32_t)width, (uint32_t)height) != 0) fail(path, "cannot be written");
    free(sheet);
}

int main(int argc, char **argv) {
    if (argc < 4 || argc - 3 > MOST_PHOTOS) {
        fprintf(stderr, "usage: %s FOLDER SHEET.png PHOTO...\n", argv[0]);
        return 2;
    }
    const char *folder = argv[1];
    char path[4096];
    size_t noise_size, view_size, name_size, count = 0, side = 1;
    float *noise = (float *)read_file(folder, "noise.f32", &noise_size);
    float *views = (float *)read_file(folder, "views.f32", &view_size);
    char *names = read_file(folder, "views.txt", &name_size);
    for (size_t i = 0; i < name_size; i++) count += names[i] == '\n';
    while (3 * side * side * sizeof(float) < noise_size) side++;
    size_t pixels = 3 * side * side, rows = 2 * count, width = count == 0 ? 0 : view_size / sizeof(float) / count;
    if (pixels * sizeof(float) != noise_size || width == 0) fail(folder, "is not what export.py has written");

    /* Photos to an identity, and its keys and values for the generator. */
    omniid_engine *engine;
    omniid_identity *identity;
    omniid_conditioning *conditioning;
    omniid_graph *graph;
    omniid_engine_options open = OMNIID_ENGINE_OPTIONS_INIT; /* the model inside the library */
    omniid_conditioning_input person = OMNIID_CONDITIONING_INPUT_INIT;
    omniid_photo photos[MOST_PHOTOS];
    for (int i = 3; i < argc; i++) {
        photos[i - 3] = (omniid_photo)OMNIID_PHOTO_INIT;
        photos[i - 3].path = argv[i];
    }
    check(omniid_engine_open(&open, &engine), "model");
    check(omniid_encode(engine, photos, (size_t)(argc - 3), NULL, &identity), "photos");
    person.identity = identity;
    check(omniid_conditioning_create(engine, &person, 1, NULL, &conditioning), "conditioning");
    snprintf(path, sizeof path, "%s/generator.onnx", folder);
    check(omniid_graph_open(path, &graph), "manifest");

    OrtEnv *env;
    OrtSession *session;
    OrtSessionOptions *options;
    OrtMemoryInfo *memory;
    const OrtApiBase *base = OrtGetApiBase();
    ort = base->GetApi(1);
    if (ort == NULL) fail("ONNX Runtime", "has no version 1 of its interface any more");
    check_ort(ort->CreateEnv(ORT_LOG_WARNING, "omniid", &env), "ONNX Runtime");
    check_ort(ort->CreateSessionOptions(&options), "ONNX Runtime");
    check_ort(ort->CreateSession(env, path, options, &session), path);
    check_ort(ort->CreateCpuMemoryInfo(ORT_ARENA_ALLOCATOR, ORT_MEMORY_DEFAULT, &memory), "ONNX Runtime");

    /* Rows of the batch: all views of the person, then all views of nobody. */
    int32_t *roles = allocate(rows * sizeof *roles);
    float *pictures = allocate(rows * pixels * sizeof(float)), *time = allocate(rows * sizeof(float));
    float *all_views = allocate(rows * width * sizeof(float));
    for (size_t row = 0; row < rows; row++) {
        roles[row] = row < count ? OMNIID_ROLE_CONDITIONAL : OMNIID_ROLE_UNCONDITIONAL;
        memcpy(pictures + row * pixels, noise, pixels * sizeof(float));
        memcpy(all_views + row * width, views + row % count * width, width * sizeof(float));
    }
    const int64_t picture_shape[4] = {(int64_t)rows, 3, (int64_t)side, (int64_t)side};
    const int64_t view_shape[2] = {(int64_t)rows, (int64_t)width};
    add_input(memory, "picture", pictures, rows * pixels * sizeof(float), picture_shape, 4);
    add_input(memory, "time", time, rows * sizeof(float), picture_shape, 1);
    add_input(memory, "view", all_views, rows * width * sizeof(float), view_shape, 2);
    size_t own = inputs.count;
    add_identity(memory, graph, conditioning, roles, rows);

    for (int step = 0; step < STEPS; step++) draw(session, pictures, time, count, pixels, step);
    write_sheet(argv[2], pictures, count, side);
    printf("%s: %zu views, drawn by ONNX Runtime %s with %zu identity inputs\n", argv[2], count,
           base->GetVersionString(), inputs.count - own);

    for (size_t i = 0; i < inputs.count; i++) ort->ReleaseValue(inputs.values[i]);
    for (size_t i = 0; i < inputs.count - own; i++) free(buffers[i].data);
    ort->ReleaseMemoryInfo(memory);
    ort->ReleaseSession(session);
    ort->ReleaseSessionOptions(options);
    ort->ReleaseEnv(env);
    omniid_graph_free(graph);
    omniid_conditioning_free(conditioning);
    omniid_identity_free(identity);
    omniid_engine_free(engine);
    free(roles);
    free(pictures);
    free(time);
    free(all_views);
    free(noise);
    free(views);
    free(names);
    return 0;
}
