/*
 * Identity conditioning in a ggml graph, on real ggml: a few cross-attention blocks in the layout of
 * stable-diffusion.cpp run for some steps, with and without guidance in one batch, once with OmniID as an operation of
 * the graph and once with its keys and values as tensors of the graph. Both are compared with the formula, computed
 * here in plain C++.
 *
 *     ggml_identity MODEL PHOTO...
 */
#include "omniid_ggml.hpp"
#include "unet.hpp"

#include <algorithm>
#include <cstdio>
#include <limits>

namespace {

constexpr std::int64_t rows = 33;

/// Adds scale x softmax(query Kt / sqrt(head_dim)) V to one batch row of `output`.
void attend(const omniid::Conditioning &conditioning, std::size_t layer, omniid::Role role, float scale,
            const std::vector<float> &query, std::vector<float> &output, std::size_t batch_row) {
    const omniid::Tensor keys = conditioning.keys(layer, 0, role).value(),
                         values = conditioning.values(layer, 0, role).value();
    if (!keys) return;
    const auto tokens = static_cast<std::size_t>(keys.shape()[0]), heads = static_cast<std::size_t>(keys.shape()[1]),
               dim = static_cast<std::size_t>(keys.shape()[2]), width = heads * dim;
    const auto key = keys.floats(), value = values.floats();
    const float factor = scale * conditioning.factor(layer, 0).value();
    std::vector<double> weights(tokens);
    for (std::size_t row = 0; row < rows; row++)
        for (std::size_t head = 0; head < heads; head++) {
            const std::size_t start = (batch_row * rows + row) * width + head * dim;
            double largest = -std::numeric_limits<double>::infinity(), sum = 0.0;
            for (std::size_t t = 0; t < tokens; t++) {
                weights[t] = 0.0;
                for (std::size_t i = 0; i < dim; i++)
                    weights[t] += double{query[start + i]} * double{key[t * width + head * dim + i]} /
                                  std::sqrt(static_cast<double>(dim));
                largest = std::max(largest, weights[t]);
            }
            for (double &weight : weights) sum += weight = std::exp(weight - largest);
            for (std::size_t i = 0; i < dim; i++) {
                double mixed = 0.0;
                for (std::size_t t = 0; t < tokens; t++)
                    mixed += weights[t] / sum * double{value[t * width + head * dim + i]};
                output[start + i] += static_cast<float>(double{factor} * mixed);
            }
        }
}

/// The blocks with their weights, and the identity's keys and values beside them.
class UNet {
  public:
    explicit UNet(const omniid::Conditioning &conditioning) : conditioning_(conditioning) {
        for (std::size_t i = 0; i < conditioning.layer_count().value(); i++) {
            const omniid::HostLayer layer = conditioning.layer(i).value();
            blocks_.emplace_back(weights_.get(), layer.heads, layer.head_dim);
        }
        for (std::size_t i = 0; i < blocks_.size(); i++) key_values_.emplace_back(weights_.get(), conditioning, i, 0);
        buffer_ = ggml_backend_alloc_ctx_tensors(weights_.get(), backend_.backend);
        if (buffer_ == nullptr) throw std::runtime_error("ggml has no memory for the weights");
        Noise noise(1);
        for (const CrossAttention &block : blocks_)
            for (ggml_tensor *weight : {block.to_q, block.to_k, block.to_v, block.to_out})
                set(weight, noise(static_cast<std::size_t>(ggml_nelements(weight)), 0.5F));
        for (auto &layer : key_values_)
            layer.upload([](ggml_tensor *tensor, const void *data, std::size_t size) {
                ggml_backend_tensor_set(tensor, data, 0, size);
            });
    }
    UNet(const UNet &) = delete;
    UNet &operator=(const UNet &) = delete;
    ~UNet() { ggml_backend_buffer_free(buffer_); }

    /// Runs the blocks once. `injector` NULL: with the keys and values as tensors of the graph. Raises `error` to the
    /// largest error of an injection against the formula, and `effect` to the largest change.
    void run(omniid_ggml::Injector *injector, const omniid_ggml::Pass &pass, std::int64_t batch, bool active,
             float &error, float &effect) {
        Context context = make_context(256);
        ggml_cgraph *graph = ggml_new_graph(context.get());
        ggml_tensor *input = ggml_new_tensor_3d(context.get(), GGML_TYPE_F32, CrossAttention::channels, rows, batch);
        ggml_tensor *text = ggml_new_tensor_3d(context.get(), GGML_TYPE_F32, CrossAttention::context_width,
                                               CrossAttention::context_rows, batch);
        ggml_set_input(input);
        ggml_set_input(text);
        ggml_tensor *x = input;
        std::vector<Taps> taps(blocks_.size());
        for (std::size_t i = 0; i < blocks_.size(); i++) {
            const auto hook = [&](ggml_tensor *query, ggml_tensor *attention) {
                if (injector != nullptr) return injector->inject(context.get(), query, attention, i);
                return active ? key_values_[i].inject(context.get(), query, attention, pass.scale) : attention;
            };
            x = blocks_[i].build(context.get(), graph, x, text, hook, taps[i]);
        }
        ggml_set_output(x);
        ggml_build_forward_expand(graph, x);

        const std::unique_ptr<ggml_gallocr, void (*)(ggml_gallocr_t)> memory(
            ggml_gallocr_new(ggml_backend_get_default_buffer_type(backend_.backend)), &ggml_gallocr_free);
        if (!ggml_gallocr_alloc_graph(memory.get(), graph))
            throw std::runtime_error("ggml has no memory for the graph");
        Noise noise(7);
        set(input, noise(static_cast<std::size_t>(ggml_nelements(input)), 1.0F));
        set(text, noise(static_cast<std::size_t>(ggml_nelements(text)), 1.0F));
        if (injector != nullptr) injector->begin(pass);
        if (ggml_backend_graph_compute(backend_.backend, graph) != GGML_STATUS_SUCCESS)
            throw std::runtime_error("ggml failed");
        if (injector != nullptr) injector->finish();

        for (std::size_t i = 0; i < taps.size(); i++) {
            const std::vector<float> query = read(taps[i].query), before = read(taps[i].before),
                                     after = read(taps[i].after);
            std::vector<float> expected = before;
            for (std::int64_t row = 0; active && row < batch; row++) {
                const auto index = static_cast<std::size_t>(row);
                attend(conditioning_, i, pass.roles.empty() ? omniid::Role::conditional : pass.roles[index], pass.scale,
                       query, expected, index);
            }
            for (std::size_t j = 0; j < expected.size(); j++) {
                error = std::max(error, std::abs(after[j] - expected[j]));
                effect = std::max(effect, std::abs(after[j] - before[j]));
            }
        }
    }

  private:
    static void set(ggml_tensor *tensor, const std::vector<float> &values) {
        ggml_backend_tensor_set(tensor, values.data(), 0, values.size() * sizeof(float));
    }

    const omniid::Conditioning &conditioning_;
    Backend backend_;
    Context weights_ = make_context(64);
    std::vector<CrossAttention> blocks_;
    std::vector<omniid_ggml::KeyValues> key_values_;
    ggml_backend_buffer_t buffer_ = nullptr;
};

int run(const std::string &model, const std::vector<omniid::Photo> &photos) {
    const omniid::Engine engine = omniid::Engine::open(model).value();
    const omniid::Identity identity = engine.encode(photos).value().identity;
    const omniid::Conditioning conditioning =
        engine.condition({omniid::ConditioningInput(identity, 0.8F).sigmas(14.7, 1.0)}).value();
    UNet unet(conditioning);
    omniid_ggml::Injector injector(conditioning);

    float error = 0.0F, effect = 0.0F, quiet = 0.0F;
    for (const double sigma : {14.6, 5.0, 0.5}) {
        const bool active = conditioning.is_active(0, sigma, std::nullopt).value();
        float &change = active ? effect : quiet;
        omniid_ggml::Pass pass;
        pass.sigma = sigma;
        pass.scale = 0.5F;
        // As stable-diffusion.cpp does it: one pass that follows the prompt (and one that does not).
        unet.run(&injector, pass, 1, active, error, change);
        unet.run(nullptr, pass, 1, active, error, change);
        // Both sides of guidance in one batch.
        pass.roles = {omniid::Role::conditional, omniid::Role::unconditional};
        unet.run(&injector, pass, 2, active, error, change);
    }

    // An error inside the graph comes out of finish(), not through ggml.
    bool reported = false;
    try {
        unet.run(&injector, {}, 1, false, error, quiet); // a sigma is needed and not given
    } catch (const omniid::Error &refusal) {
        reported = refusal.status() == omniid::Status::invalid_argument;
    }

    std::printf("ggml %s: %zu layers, injection changes the attention by up to %.3g, outside its steps by %g; largest "
                "error against the formula %.3g\n",
                ggml_version(), conditioning.layer_count().value(), static_cast<double>(effect),
                static_cast<double>(quiet), static_cast<double>(error));
    return error <= 1e-5F && effect > 1e-3F && quiet == 0.0F && reported ? 0 : 1;
}

} // namespace

int main(int count, char **arguments) {
    if (count < 3) {
        std::fprintf(stderr, "usage: %s MODEL PHOTO...\n", arguments[0]);
        return 2;
    }
    std::vector<omniid::Photo> photos;
    for (int i = 2; i < count; i++) photos.push_back(omniid::Photo::file(arguments[i]));
    try {
        return run(arguments[1], photos);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
