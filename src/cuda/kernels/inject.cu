// Adds an identity's cross-attention to the output of a host's layer, in place:
//
//     output[b, s, h, :] += factor[b] · weight[b, s] · softmax(scale · query[b, s, h, :] · Kᵀ) · V
//
// Appended to element.cuh and compiled once per combination of element types and head width, with the macros
//   QUERY_ELEMENT, OUTPUT_ELEMENT, KEY_ELEMENT   ELEMENT_F32, ELEMENT_F16 or ELEMENT_BF16
//   GROUPS                                       ⌈head width / 32⌉, 1 … 8
//
// Grid    (⌈queries / 32⌉, heads, rows of the call that get anything)
// Block   128 threads: 4 warps of 8 queries each
// Shared  ((32 + 32) · WIDTH + 4 · 8 · 32) floats, WIDTH = 32 · GROUPS + 4: queries, one tile of 32 keys or values,
//         the tile's probabilities. 21 KiB at head width 64, 46 KiB at 160, 69 KiB at 256.
//
// The softmax runs online over tiles of 32 tokens, in f32. While scores are computed a lane is a token; while values
// are summed a lane is every 32nd channel. WIDTH is an odd number of float4, so that 32 lanes reading the same
// channel of 32 tokens meet no bank conflict beyond the four wavefronts that a 128-bit load takes anyway.

#define WARPS 4
#define WARP_QUERIES 8
#define TILE 32
#define BLOCK_QUERIES (WARPS * WARP_QUERIES)
#define THREADS (WARPS * 32)
#define CHANNELS (GROUPS * 32)
#define WIDTH (CHANNELS + 4)
#define MAX_ROWS 64
#define MINUS_INFINITY __int_as_float(0xff800000)

typedef Element<QUERY_ELEMENT> Query;
typedef Element<OUTPUT_ELEMENT> Output;
typedef Element<KEY_ELEMENT> Key;

// One entry per batch row that gets anything. Rows of factor 0 are not listed, so their output is not touched.
// Same layout as `RowTable` in inject.rs.
struct RowTable {
    unsigned long long keys[MAX_ROWS];
    unsigned long long values[MAX_ROWS];
    float factor[MAX_ROWS];
    int batch[MAX_ROWS];
    int tokens[MAX_ROWS];
};

// Strides count elements. Same layout as `Geometry` in inject.rs.
struct Geometry {
    long long query_batch, query_token, query_head, query_channel;
    long long output_batch, output_token, output_head, output_channel;
    long long key_token, key_head;
    long long weight_batch, weight_token;
    int queries;
    int head_dim;
    float scale;
    float zero_tokens;  // further tokens whose keys and values are zero: terms exp(0) of the softmax's denominator
};

static __device__ __forceinline__ float warp_max(float value) {
    for (int offset = 16; offset > 0; offset >>= 1) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, offset));
    return value;
}

static __device__ __forceinline__ float warp_sum(float value) {
    for (int offset = 16; offset > 0; offset >>= 1) value += __shfl_xor_sync(0xffffffffu, value, offset);
    return value;
}

// Copies tokens first … first + 31 of one head into shared memory; tokens and channels that do not exist become 0.
static __device__ __forceinline__ void load_tile(float *tile, const Key::Stored *source, const Geometry &geometry,
                                                 int first, int tokens) {
    for (int index = threadIdx.x; index < TILE * CHANNELS; index += THREADS) {
        const int token = index / CHANNELS;
        const int channel = index % CHANNELS;
        float value = 0.0f;
        if (first + token < tokens && channel < geometry.head_dim) {
            value = Key::load(source[(long long)(first + token) * geometry.key_token + channel]);
        }
        tile[token * WIDTH + channel] = value;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
omniid_inject(const Query::Stored *query, Output::Stored *output, const float *weight,
              const __grid_constant__ RowTable rows, const __grid_constant__ Geometry geometry) {
    extern __shared__ float4 shared4[];
    float *const shared = reinterpret_cast<float *>(shared4);
    float *const queries = shared;                      // [BLOCK_QUERIES][WIDTH]
    float *const tile = queries + BLOCK_QUERIES * WIDTH;  // [TILE][WIDTH]
    float *const probabilities = tile + TILE * WIDTH;     // [WARPS][WARP_QUERIES][TILE]

    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    const int head = blockIdx.y;
    const int batch = rows.batch[blockIdx.z];
    const int tokens = rows.tokens[blockIdx.z];
    const int first_query = blockIdx.x * BLOCK_QUERIES;
    const long long weight_base = batch * geometry.weight_batch;

    // A mask is 0 over most of the picture: nothing to do where it is 0 for the whole tile of queries.
    if (weight != nullptr) {
        const int index = first_query + threadIdx.x;
        const bool wanted = threadIdx.x < BLOCK_QUERIES && index < geometry.queries &&
                            weight[weight_base + index * geometry.weight_token] != 0.0f;
        if (!__syncthreads_or(wanted)) return;
    }

    const Query::Stored *const query_head = query + batch * geometry.query_batch + head * geometry.query_head;
    for (int index = threadIdx.x; index < BLOCK_QUERIES * CHANNELS; index += THREADS) {
        const int row = index / CHANNELS;
        const int channel = index % CHANNELS;
        float value = 0.0f;
        if (first_query + row < geometry.queries && channel < geometry.head_dim) {
            value = geometry.scale * Query::load(query_head[(first_query + row) * geometry.query_token +
                                                            channel * geometry.query_channel]);
        }
        queries[row * WIDTH + channel] = value;
    }

    const Key::Stored *const keys =
        reinterpret_cast<const Key::Stored *>(rows.keys[blockIdx.z]) + head * geometry.key_head;
    const Key::Stored *const values =
        reinterpret_cast<const Key::Stored *>(rows.values[blockIdx.z]) + head * geometry.key_head;
    const float4 *const warp_queries = reinterpret_cast<const float4 *>(queries + warp * WARP_QUERIES * WIDTH);
    const float4 *const lane_key = reinterpret_cast<const float4 *>(tile + lane * WIDTH);
    float *const warp_probabilities = probabilities + warp * WARP_QUERIES * TILE;

    float highest[WARP_QUERIES];
    float total[WARP_QUERIES];
    float sum[WARP_QUERIES][GROUPS];
#pragma unroll
    for (int row = 0; row < WARP_QUERIES; ++row) {
        highest[row] = geometry.zero_tokens > 0.0f ? 0.0f : MINUS_INFINITY;
        total[row] = geometry.zero_tokens;
#pragma unroll
        for (int group = 0; group < GROUPS; ++group) sum[row][group] = 0.0f;
    }

    const int quads = (geometry.head_dim + 3) / 4;
    for (int first = 0; first < tokens; first += TILE) {
        __syncthreads();  // the previous tile's values are still being read
        load_tile(tile, keys, geometry, first, tokens);
        __syncthreads();

        float score[WARP_QUERIES];
#pragma unroll
        for (int row = 0; row < WARP_QUERIES; ++row) score[row] = 0.0f;
        for (int quad = 0; quad < quads; ++quad) {
            const float4 k = lane_key[quad];
#pragma unroll
            for (int row = 0; row < WARP_QUERIES; ++row) {
                const float4 q = warp_queries[row * (WIDTH / 4) + quad];
                score[row] = fmaf(q.x, k.x, fmaf(q.y, k.y, fmaf(q.z, k.z, fmaf(q.w, k.w, score[row]))));
            }
        }

        const bool exists = first + lane < tokens;
#pragma unroll
        for (int row = 0; row < WARP_QUERIES; ++row) {
            const float value = exists ? score[row] : MINUS_INFINITY;
            const float above = fmaxf(highest[row], warp_max(value));
            const float shrink = expf(highest[row] - above);
            const float probability = exists ? expf(value - above) : 0.0f;
            highest[row] = above;
            total[row] = total[row] * shrink + warp_sum(probability);
            warp_probabilities[row * TILE + lane] = probability;
#pragma unroll
            for (int group = 0; group < GROUPS; ++group) sum[row][group] *= shrink;
        }

        __syncthreads();  // every warp has read the keys, and its own probabilities are visible to it
        load_tile(tile, values, geometry, first, tokens);
        __syncthreads();

        for (int quad = 0; quad < TILE / 4; ++quad) {
            float4 p[WARP_QUERIES];
#pragma unroll
            for (int row = 0; row < WARP_QUERIES; ++row) {
                p[row] = reinterpret_cast<const float4 *>(warp_probabilities + row * TILE)[quad];
            }
            const float *const token = tile + quad * 4 * WIDTH + lane;
#pragma unroll
            for (int group = 0; group < GROUPS; ++group) {
                const float a = token[group * 32];
                const float b = token[group * 32 + WIDTH];
                const float c = token[group * 32 + 2 * WIDTH];
                const float d = token[group * 32 + 3 * WIDTH];
#pragma unroll
                for (int row = 0; row < WARP_QUERIES; ++row) {
                    sum[row][group] =
                        fmaf(p[row].x, a, fmaf(p[row].y, b, fmaf(p[row].z, c, fmaf(p[row].w, d, sum[row][group]))));
                }
            }
        }
    }

    Output::Stored *const output_head = output + batch * geometry.output_batch + head * geometry.output_head;
#pragma unroll
    for (int row = 0; row < WARP_QUERIES; ++row) {
        const int index = first_query + warp * WARP_QUERIES + row;
        if (index >= geometry.queries) continue;
        float factor = rows.factor[blockIdx.z];
        if (weight != nullptr) factor *= weight[weight_base + index * geometry.weight_token];
        if (factor == 0.0f) continue;
        factor /= total[row];
#pragma unroll
        for (int group = 0; group < GROUPS; ++group) {
            const int channel = group * 32 + lane;
            if (channel < geometry.head_dim) {
                Output::Stored *const place =
                    output_head + index * geometry.output_token + channel * geometry.output_channel;
                *place = Output::store(fmaf(factor, sum[row][group], Output::load(*place)));
            }
        }
    }
}
