/*
 * Graphs, tried from C: every buffer has exactly the bytes that its input has.
 *
 *     graph MODEL FOLDER
 *
 * MODEL is that of the example untrained_model. FOLDER is for a manifest.
 */
#include "support.h"

enum { LAYERS = 2, MOST_INPUTS = 2 * LAYERS + 2 };

/* The model's layers, the other way round. */
static const char beginning[] =
    "{\"format\": \"omniid-graph\", \"version\": 1, \"graph\": \"small.onnx\", \"host\": \"custom\",\n"
    " \"form\": \"keys_values\", \"layers\": [\n"
    "  {\"name\": \"up.attn\", \"heads\": 4, \"head_dim\": 8, \"key\": \"k.up\", \"value\": \"v.up\"},\n"
    "  {\"name\": \"down.attn\", \"heads\": 2, \"head_dim\": 8, \"key\": \"k.down\", \"value\": \"v.down\"}],\n"
    " \"scale\": \"ip_scale\"";

static omniid_graph *parse(const char *rest) {
    char text[2048];
    omniid_graph *graph;
    int size = snprintf(text, sizeof text, "%s, %s}", beginning, rest);
    OK(omniid_graph_parse(text, (size_t)size, &graph));
    return graph;
}

typedef struct {
    size_t count;
    omniid_graph_buffer buffers[MOST_INPUTS];
    omniid_graph_shape shapes[MOST_INPUTS];
} inputs;

/* Memory for every input of a graph. */
static void allocate(const omniid_graph *graph, const omniid_conditioning *conditioning, const omniid_graph_call *call,
                     inputs *out) {
    omniid_graph_info info = OMNIID_GRAPH_INFO_INIT;
    OK(omniid_graph_describe(graph, &info));
    EXPECT(info.input_count <= MOST_INPUTS && info.layer_count == LAYERS);
    out->count = (size_t)info.input_count;
    for (size_t i = 0; i < out->count; i++) {
        omniid_graph_input input = OMNIID_GRAPH_INPUT_INIT;
        out->shapes[i] = (omniid_graph_shape)OMNIID_GRAPH_SHAPE_INIT;
        OK(omniid_graph_describe_input(graph, i, &input));
        OK(omniid_graph_input_shape(graph, conditioning, call, i, &out->shapes[i]));
        out->buffers[i] = (omniid_graph_buffer)OMNIID_GRAPH_BUFFER_INIT;
        out->buffers[i].name = input.name;
        out->buffers[i].byte_size = (size_t)out->shapes[i].byte_size;
        out->buffers[i].precision = out->shapes[i].precision;
        out->buffers[i].shape = out->shapes[i].shape;
        out->buffers[i].rank = out->shapes[i].rank;
        out->buffers[i].data = malloc(out->buffers[i].byte_size);
        EXPECT(out->buffers[i].data != NULL);
        memset(out->buffers[i].data, 0xAB, out->buffers[i].byte_size);
    }
}

static void release(inputs *all) {
    for (size_t i = 0; i < all->count; i++) free(all->buffers[i].data);
}

/* One number of a buffer. */
static float at(const omniid_graph_buffer *buffer, size_t index) {
    if (buffer->precision == OMNIID_PRECISION_F32) return ((const float *)buffer->data)[index];
    uint16_t bits = ((const uint16_t *)buffer->data)[index];
    if (buffer->precision == OMNIID_PRECISION_BF16) {
        uint32_t wide = (uint32_t)bits << 16;
        float value;
        memcpy(&value, &wide, sizeof value);
        return value;
    }
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float size = exponent == 0 ? ldexpf((float)fraction, -24) : ldexpf((float)(fraction + 1024), exponent - 25);
    return bits >> 15 ? -size : size;
}

/* Keys and values of each row are those that the conditioning hands out, repeated. */
static void compare(const omniid_conditioning *conditioning, const inputs *all, const int32_t *roles,
                    double tolerance) {
    for (size_t i = 0; i + 1 < all->count; i++) {
        const int64_t *shape = all->shapes[i].shape;
        size_t rows = (size_t)shape[0], heads = (size_t)shape[1], tokens = (size_t)shape[2], width = (size_t)shape[3];
        size_t layer;
        OK(omniid_conditioning_find_layer(conditioning, all->buffers[i].name + 2, &layer));
        for (size_t row = 0; row < rows; row++) {
            omniid_managed_tensor *tensor;
            if (all->buffers[i].name[0] == 'k')
                OK(omniid_conditioning_keys(conditioning, layer, 0, roles[row], 1, &tensor));
            else
                OK(omniid_conditioning_values(conditioning, layer, 0, roles[row], 1, &tensor));
            const float *expected = tensor->dl_tensor.data;
            size_t count = (size_t)tensor->dl_tensor.shape[0];
            EXPECT(tokens % count == 0);
            for (size_t head = 0; head < heads; head++)
                for (size_t token = 0; token < tokens; token++)
                    for (size_t j = 0; j < width; j++) {
                        float found = at(&all->buffers[i], ((row * heads + head) * tokens + token) * width + j);
                        double value = expected[(token % count * heads + head) * width + j];
                        EXPECT(fabs(found - value) <= tolerance * (1 + fabs(value)));
                    }
            omniid_managed_tensor_free(tensor);
        }
    }
}

static void filling(const omniid_conditioning *conditioning) {
    static const int32_t roles[3] = {OMNIID_ROLE_UNCONDITIONAL, OMNIID_ROLE_CONDITIONAL, OMNIID_ROLE_CONDITIONAL};
    static const char *types[3] = {"\"precision\": \"f32\"", "\"precision\": \"f16\"", "\"precision\": \"bf16\""};
    static const double tolerances[3] = {0, 1e-3, 6e-3};
    omniid_graph_call call = OMNIID_GRAPH_CALL_INIT;
    call.roles = roles;
    call.role_count = 3;
    call.scale = 0.5f;
    for (int type = 0; type < 3; type++) {
        omniid_graph *graph = parse(types[type]);
        inputs all;
        allocate(graph, conditioning, &call, &all);
        OK(omniid_graph_fill(graph, conditioning, &call, all.buffers, all.count));
        compare(conditioning, &all, roles, tolerances[type]);
        const omniid_graph_buffer *scale = &all.buffers[all.count - 1];
        EXPECT(strcmp(scale->name, "ip_scale") == 0 && scale->precision == OMNIID_PRECISION_F32);
        EXPECT(at(scale, 0) == 0.4f && at(scale, 1) == 0.4f);
        /* The scales alone, of another step. */
        call.scale = 0;
        OK(omniid_graph_fill(graph, conditioning, &call, scale, 1));
        EXPECT(at(scale, 0) == 0 && at(scale, 1) == 0);
        call.scale = 0.5f;
        /* Memory of any alignment. */
        char *odd = malloc(scale->byte_size + 1);
        EXPECT(odd != NULL);
        omniid_graph_buffer other = *scale;
        other.data = odd + 1;
        OK(omniid_graph_fill(graph, conditioning, &call, &other, 1));
        float copy;
        memcpy(&copy, odd + 1, sizeof copy);
        EXPECT(copy == 0.4f);
        free(odd);
        release(&all);
        omniid_graph_free(graph);
    }
}

static void refusals(const omniid_conditioning *conditioning) {
    omniid_graph *graph = parse("\"precision\": \"f32\", \"tokens\": 7");
    omniid_graph_shape shape = OMNIID_GRAPH_SHAPE_INIT;
    REFUSED(omniid_graph_input_shape(graph, conditioning, NULL, 0, &shape), OMNIID_STATUS_MISMATCH,
            "7 identity tokens");
    REFUSED(omniid_graph_input_shape(graph, conditioning, NULL, 5, &shape), OMNIID_STATUS_INVALID_ARGUMENT, "input 5");
    omniid_graph_free(graph);
    graph = parse("\"precision\": \"f32\"");
    inputs all;
    allocate(graph, conditioning, NULL, &all);
    all.buffers[1].byte_size -= 4;
    REFUSED(omniid_graph_fill(graph, conditioning, NULL, all.buffers, all.count), OMNIID_STATUS_MISMATCH,
            "layer \"up.attn\"");
    all.buffers[1].byte_size += 4;
    all.buffers[1].name = "k.down";
    REFUSED(omniid_graph_fill(graph, conditioning, NULL, all.buffers, all.count), OMNIID_STATUS_MISMATCH,
            "layer \"down.attn\"");
    for (size_t i = 0; i < all.buffers[0].byte_size; i++)
        EXPECT(((const unsigned char *)all.buffers[0].data)[i] == 0xAB);
    release(&all);
    omniid_graph_free(graph);
    REFUSED(omniid_graph_parse("{}", 2, &graph), OMNIID_STATUS_FORMAT, "format");
    EXPECT(graph == NULL);
}

/* The same path, whichever of its separators Windows writes. */
static int same_path(const char *a, const char *b) {
    for (; *a != 0 && *b != 0; a++, b++)
        if (*a != *b && (strchr("/\\", *a) == NULL || strchr("/\\", *b) == NULL)) return 0;
    return *a == *b;
}

static void files(const char *folder) {
    char path[4096];
    omniid_graph *graph;
    omniid_graph_info info = OMNIID_GRAPH_INFO_INIT;
    snprintf(path, sizeof path, "%s/small.onnx.identity.json", folder);
    FILE *file = fopen(path, "w");
    EXPECT(file != NULL);
    fprintf(file, "%s, \"precision\": \"f16\", \"rows\": 2, \"mask\": \"ip_mask\"}", beginning);
    fclose(file);
    snprintf(path, sizeof path, "%s/small.onnx", folder);
    OK(omniid_graph_open(path, &graph));
    OK(omniid_graph_describe(graph, &info));
    EXPECT(same_path(info.path, path) && strcmp(info.file_name, "small.onnx") == 0 && info.rows == 2);
    EXPECT(strcmp(info.mask_input, "ip_mask") == 0 && info.fingerprint == NULL && info.input_count == 6);
    omniid_graph_free(graph);
    snprintf(path, sizeof path, "%s/other.onnx", folder);
    REFUSED(omniid_graph_open(path, &graph), OMNIID_STATUS_IO, "other.onnx");
    omniid_graph_free(NULL);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    omniid_engine *engine;
    omniid_identity *identity;
    omniid_conditioning *conditioning;
    omniid_engine_options open = OMNIID_ENGINE_OPTIONS_INIT;
    open.checkpoint_path = argv[1];
    OK(omniid_engine_open(&open, &engine));
    omniid_photo photos[2] = {pixels(0), pixels(1)};
    OK(omniid_encode(engine, photos, 2, NULL, &identity));
    omniid_conditioning_input input = OMNIID_CONDITIONING_INPUT_INIT;
    input.identity = identity;
    input.scale = 0.8f;
    OK(omniid_conditioning_create(engine, &input, 1, NULL, &conditioning));
    filling(conditioning);
    refusals(conditioning);
    files(argv[2]);
    omniid_conditioning_free(conditioning);
    omniid_identity_free(identity);
    omniid_engine_free(engine);
    puts("graphs: keys, values and scales as the conditioning hands them out");
    return 0;
}
