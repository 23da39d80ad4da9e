// Runs the attention kernel on the CPU and compares it with the formula in double precision.
//
// Compiled by `scripts/cuda-build check`, once per combination of the kernel's macros.
#include "device.h"

#include "element.cuh"
#include "inject.cu"

#include <random>

namespace {

std::mt19937 generator(7);

float random_value() { return std::normal_distribution<float>(0.0f, 1.0f)(generator); }

template <typename Type>
std::vector<typename Type::Stored> random_tensor(size_t count) {
    std::vector<typename Type::Stored> values(count);
    for (auto &value : values) value = Type::store(random_value());
    return values;
}

// Largest error that rounding an output of this size once may leave, plus what f32 arithmetic loses.
double tolerance(double value) {
    const double unit = OUTPUT_ELEMENT == ELEMENT_F32 ? 0.0 : OUTPUT_ELEMENT == ELEMENT_F16 ? 0x1p-10 : 0x1p-7;
    return std::fabs(value) * unit * 0.51 + 1e-5;
}

struct Case {
    int batch, heads, queries, head_dim;
    bool weighted;
    int zero_tokens;
};

struct Entry {
    int batch, tokens;
    float factor;
};

bool run(const Case &test) {
    const int inner = test.heads * test.head_dim;
    const Entry entries[] = {{test.batch - 1, 70, 0.75f}, {0, 5, -1.5f}};
    // Query [batch, heads, queries, head_dim] with every second channel and a gap per row; output [batch, queries,
    // inner] with a gap per row.
    Geometry geometry = {};
    geometry.query_channel = 2;
    geometry.query_token = 2 * test.head_dim + 3;
    geometry.query_head = geometry.query_token * test.queries;
    geometry.query_batch = geometry.query_head * test.heads;
    geometry.output_channel = 1;
    geometry.output_head = test.head_dim;
    geometry.output_token = inner + 5;
    geometry.output_batch = geometry.output_token * test.queries;
    geometry.key_token = inner;
    geometry.key_head = test.head_dim;
    geometry.weight_token = 1;
    geometry.queries = test.queries;
    geometry.head_dim = test.head_dim;
    geometry.zero_tokens = test.zero_tokens;
    geometry.scale = 1.0f / std::sqrt(static_cast<float>(test.head_dim));

    const auto query = random_tensor<Query>(geometry.query_batch * test.batch);
    const auto before = random_tensor<Output>(geometry.output_batch * test.batch);
    auto output = before;
    std::vector<float> weight(test.queries);
    for (int token = 0; token < test.queries; ++token) weight[token] = token < 34 || token % 3 == 0 ? 0.0f : random_value();

    RowTable rows = {};
    std::vector<Key::Stored> keys[2], values[2];
    for (int place = 0; place < 2; ++place) {
        keys[place] = random_tensor<Key>(static_cast<size_t>(entries[place].tokens) * inner);
        values[place] = random_tensor<Key>(static_cast<size_t>(entries[place].tokens) * inner);
        rows.keys[place] = reinterpret_cast<uintptr_t>(keys[place].data());
        rows.values[place] = reinterpret_cast<uintptr_t>(values[place].data());
        rows.factor[place] = entries[place].factor;
        rows.batch[place] = entries[place].batch;
        rows.tokens[place] = entries[place].tokens;
    }
    const Dim3 grid = {static_cast<unsigned int>((test.queries + BLOCK_QUERIES - 1) / BLOCK_QUERIES),
                       static_cast<unsigned int>(test.heads), 2};
    device::launch(grid, [&] {
        omniid_inject(query.data(), output.data(), test.weighted ? weight.data() : nullptr, rows, geometry);
    });

    std::vector<bool> expected_change(output.size(), false);
    double worst = 0.0;
    for (int place = 0; place < 2; ++place) {
        const Entry &entry = entries[place];
        for (int head = 0; head < test.heads; ++head) {
            for (int token = 0; token < test.queries; ++token) {
                const double factor = entry.factor * (test.weighted ? weight[token] : 1.0);
                if (factor == 0.0) continue;
                std::vector<double> score(entry.tokens);
                double highest = test.zero_tokens > 0 ? 0.0 : -INFINITY;
                for (int other = 0; other < entry.tokens; ++other) {
                    double dot = 0.0;
                    for (int channel = 0; channel < test.head_dim; ++channel) {
                        const auto q = query[entry.batch * geometry.query_batch + head * geometry.query_head +
                                             token * geometry.query_token + channel * geometry.query_channel];
                        const auto k = keys[place][static_cast<size_t>(other) * inner + head * test.head_dim + channel];
                        dot += static_cast<double>(Query::load(q)) * Key::load(k);
                    }
                    score[other] = dot / std::sqrt(static_cast<double>(test.head_dim));
                    highest = std::fmax(highest, score[other]);
                }
                double total = test.zero_tokens * std::exp(-highest);
                for (double &value : score) total += value = std::exp(value - highest);
                for (int channel = 0; channel < test.head_dim; ++channel) {
                    double sum = 0.0;
                    for (int other = 0; other < entry.tokens; ++other) {
                        sum += score[other] / total *
                               Key::load(values[place][static_cast<size_t>(other) * inner + head * test.head_dim + channel]);
                    }
                    const size_t index = entry.batch * geometry.output_batch + token * geometry.output_token +
                                         head * test.head_dim + channel;
                    expected_change[index] = true;
                    const double want = Output::load(before[index]) + factor * sum;
                    const double error = std::fabs(Output::load(output[index]) - want);
                    if (!(error <= tolerance(want))) {
                        std::fprintf(stderr, "batch %d head %d token %d channel %d: %g, expected %g\n", entry.batch, head,
                                     token, channel, Output::load(output[index]), want);
                        return false;
                    }
                    worst = std::fmax(worst, error);
                }
            }
        }
    }
    for (size_t index = 0; index < output.size(); ++index) {
        if (!expected_change[index] && std::memcmp(&output[index], &before[index], sizeof before[index]) != 0) {
            std::fprintf(stderr, "element %zu was written, but belongs to nobody\n", index);
            return false;
        }
    }
    std::printf("  head_dim %3d, %d queries, %s: largest error %.2e\n", test.head_dim, test.queries,
                test.weighted ? "weighted" : "plain", worst);
    return true;
}

}  // namespace

int main() {
    std::printf("attention kernel on the CPU: query/output %d, keys %d (0 f32, 1 f16, 2 bf16)\n", QUERY_ELEMENT, KEY_ELEMENT);
    for (int head_dim : {CHANNELS, CHANNELS - 24, CHANNELS - 29}) {
        if (!run({3, 2, 37, head_dim, false, 0}) || !run({2, 1, 75, head_dim, true, 0}) ||
            !run({2, 1, 50, head_dim, true, 16})) {
            return 1;
        }
    }
    return 0;
}
