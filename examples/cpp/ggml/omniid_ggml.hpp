/*
 * Identity conditioning in a ggml graph. Copy this file into a ggml host, such as stable-diffusion.cpp.
 *
 * In a cross-attention block of stable-diffusion.cpp, the queries `q` and the attention output `x` are f32 with
 * ne = [heads * head_dim, rows, batch]: what OmniID calls `[batch, rows, heads * head_dim]`. The hook goes between the
 * attention to the text and the output projection:
 *
 *     x = ggml_ext_attention_ext(..., q, k, v, n_head, ...);      // CrossAttention::forward
 *     x = injector.inject(ggml_ctx, q, x, layer);                 // <- the only new line
 *     x = to_out_0->forward(ctx, x);
 *
 * Two ways, equal in their result: Injector is an operation that runs on the processor, for any number of identities,
 * masks and guidance; KeyValues are ggml operations only, for graphs on a GPU.
 */
#ifndef OMNIID_GGML_HPP
#define OMNIID_GGML_HPP

#include <ggml.h>
#include <omniid.hpp>

#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace omniid_ggml {

/// Index of the layer that stable-diffusion.cpp calls `prefix`, as in
/// `model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.`
inline std::size_t find_layer(const omniid::Conditioning &conditioning, std::string prefix) {
    while (!prefix.empty() && prefix.back() == '.') prefix.pop_back();
    return conditioning.find_layer(prefix).value();
}

/// A ggml tensor `ne = [width, rows, batch]` as OmniID sees it, `[batch, rows, width]`: the batch rows from `first` up
/// to `last`, and of each the rows from `from` up to `to`.
inline omniid::TensorView view(const ggml_tensor &tensor, std::int64_t first, std::int64_t last, std::int64_t from,
                               std::int64_t to) {
    omniid::NumberType type = omniid::NumberType::other;
    if (tensor.type == GGML_TYPE_F32) type = omniid::NumberType::f32;
    if (tensor.type == GGML_TYPE_F16) type = omniid::NumberType::f16;
    if (tensor.type == GGML_TYPE_BF16) type = omniid::NumberType::bf16;
    // ggml's strides are in bytes, DLPack's in numbers.
    const std::size_t size = ggml_type_size(tensor.type);
    const auto stride = [&](int i) { return static_cast<std::int64_t>(tensor.nb[i] / size); };
    char *data = static_cast<char *>(tensor.data) + static_cast<std::size_t>(first) * tensor.nb[2] +
                 static_cast<std::size_t>(from) * tensor.nb[1];
    return omniid::TensorView(data, type, {last - first, to - from, tensor.ne[0]}, {stride(2), stride(1), stride(0)});
}

/// What the host knows about the pass that it is about to compute.
struct Pass {
    std::vector<omniid::Role> roles{}; ///< Of each batch row; empty: all are conditional.
    std::optional<double> sigma{};     ///< For identities that are limited to a range of it.
    std::optional<double> fraction{};  ///< Likewise.
    std::uint32_t latent_height = 0;   ///< For identities with a mask.
    std::uint32_t latent_width = 0;    ///< Likewise.
    float scale = 1.0F;
};

/// Puts injections into graphs that run on ggml's CPU backend. Must outlive the graphs, and the conditioning must
/// outlive it. One graph at a time.
///
/// ggml's threads share the rows of a layer. Set the environment variable OMNIID_THREADS to 1 in such a host, so that
/// OmniID's own threads do not compete with them.
class Injector {
  public:
    explicit Injector(const omniid::Conditioning &conditioning) : conditioning_(conditioning) {
        layers_.resize(conditioning.layer_count().value());
        for (std::size_t i = 0; i < layers_.size(); i++) layers_[i] = {this, i};
    }
    Injector(const Injector &) = delete;
    Injector &operator=(const Injector &) = delete;

    /// Says what holds for the next computation of the graph.
    void begin(Pass pass) { pass_ = std::move(pass); }

    /// While building the graph: `attention` with the identities' attention added to it, in its own memory.
    ggml_tensor *inject(ggml_context *context, ggml_tensor *query, ggml_tensor *attention, std::size_t layer) {
        return ggml_map_custom2_inplace(context, attention, query, &compute, GGML_N_TASKS_MAX, &layers_.at(layer));
    }

    /// After the computation: lets out the first error of its injections. Exceptions do not pass through ggml.
    void finish() {
        failed_ = false;
        if (std::exception_ptr error = std::exchange(error_, nullptr)) std::rethrow_exception(error);
    }

  private:
    struct Layer {
        Injector *injector;
        std::size_t index;
    };

    /// The operation, on thread `thread` of `threads`. `output` is `attention`, changed in place.
    static void compute(ggml_tensor *output, const ggml_tensor *, const ggml_tensor *query, int thread, int threads,
                        void *user_data) {
        const auto &layer = *static_cast<const Layer *>(user_data);
        layer.injector->run(layer.index, *query, *output, thread, threads);
    }

    void run(std::size_t layer, const ggml_tensor &query, const ggml_tensor &output, int thread, int threads) noexcept {
        const std::int64_t batch = output.ne[2], rows = output.ne[1];
        // A mask covers the rows of a picture, so pictures stay whole where masks may be.
        const bool whole = pass_.latent_height != 0;
        const std::int64_t units = whole ? batch : batch * rows;
        const std::int64_t begin = units * thread / threads, end = units * (thread + 1) / threads;
        try {
            if (whole) {
                if (begin < end) part(layer, query, output, begin, end, 0, rows);
                return;
            }
            for (std::int64_t unit = begin; unit < end;) {
                const std::int64_t row = unit % rows, count = std::min(rows - row, end - unit);
                part(layer, query, output, unit / rows, unit / rows + 1, row, row + count);
                unit += count;
            }
        } catch (...) {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (!failed_.exchange(true)) error_ = std::current_exception();
        }
    }

    void part(std::size_t layer, const ggml_tensor &query, const ggml_tensor &output, std::int64_t first,
              std::int64_t last, std::int64_t from, std::int64_t to) const {
        omniid::InjectCall call(layer, view(query, first, last, from, to), view(output, first, last, from, to));
        if (!pass_.roles.empty())
            call.roles = omniid::span<const omniid::Role>(pass_.roles)
                             .subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(last - first));
        call.sigma = pass_.sigma;
        call.fraction = pass_.fraction;
        call.latent_height = pass_.latent_height;
        call.latent_width = pass_.latent_width;
        call.scale = pass_.scale;
        conditioning_.inject(call).value();
    }

    const omniid::Conditioning &conditioning_;
    std::vector<Layer> layers_;
    Pass pass_;
    std::mutex mutex_;
    std::atomic<bool> failed_{false};
    std::exception_ptr error_;
};

/// Keys and values of one identity in one layer as ggml tensors, for graphs on any backend. `context` is one of the
/// host's contexts for weights (no_alloc). Once its tensors have memory, upload() fills them.
class KeyValues {
  public:
    KeyValues(ggml_context *context, const omniid::Conditioning &conditioning, std::size_t layer, std::size_t identity,
              omniid::Role role = omniid::Role::conditional)
        : keys_data_(conditioning.keys(layer, identity, role).value()),
          values_data_(conditioning.values(layer, identity, role).value()),
          factor_(conditioning.factor(layer, identity).value()) {
        if (!keys_data_) return; // nothing is injected here
        if (keys_data_.floats().empty()) {
            throw omniid::Error(omniid::Status::unsupported, "KeyValues uploads keys and values of f32: make the "
                                                             "conditioning with omniid::Precision::f32");
        }
        tokens_ = keys_data_.shape()[0], heads_ = keys_data_.shape()[1], width_ = keys_data_.shape()[2];
        keys_ = ggml_new_tensor_3d(context, GGML_TYPE_F32, width_, tokens_, heads_);
        values_ = ggml_new_tensor_3d(context, GGML_TYPE_F32, tokens_, width_, heads_);
    }

    /// Fills the tensors through `set(tensor, data, bytes)`: ggml_backend_tensor_set with offset 0.
    template <class Set>
    void upload(Set &&set) {
        if (keys_ == nullptr) return;
        const auto keys = keys_data_.floats(), values = values_data_.floats();
        std::vector<float> by_head(keys.size()), transposed(values.size());
        for (std::int64_t t = 0; t < tokens_; t++)
            for (std::int64_t h = 0; h < heads_; h++)
                for (std::int64_t i = 0; i < width_; i++) {
                    const auto from = static_cast<std::size_t>((t * heads_ + h) * width_ + i);
                    by_head[static_cast<std::size_t>((h * tokens_ + t) * width_ + i)] = keys[from];
                    transposed[static_cast<std::size_t>((h * width_ + i) * tokens_ + t)] = values[from];
                }
        set(keys_, by_head.data(), by_head.size() * sizeof(float));
        set(values_, transposed.data(), transposed.size() * sizeof(float));
    }

    /// While building the graph, at steps at which the identity is active: `attention` plus its attention.
    ggml_tensor *inject(ggml_context *context, ggml_tensor *query, ggml_tensor *attention, float scale = 1.0F) const {
        if (keys_ == nullptr || factor_ == 0.0F) return attention;
        const std::int64_t rows = query->ne[1], batch = query->ne[2];
        ggml_tensor *q = ggml_reshape_4d(context, query, width_, heads_, rows, batch);
        q = ggml_cont(context, ggml_permute(context, q, 0, 2, 1, 3)); // [width, rows, heads, batch]
        ggml_tensor *weights = ggml_mul_mat(context, keys_, q);       // [tokens, rows, heads, batch]
        weights = ggml_soft_max_ext(context, weights, nullptr, 1.0F / std::sqrt(static_cast<float>(width_)), 0.0F);
        ggml_tensor *mixed = ggml_mul_mat(context, values_, weights);         // [width, rows, heads, batch]
        mixed = ggml_cont(context, ggml_permute(context, mixed, 0, 2, 1, 3)); // [width, heads, rows, batch]
        mixed = ggml_reshape_3d(context, mixed, width_ * heads_, rows, batch);
        return ggml_add(context, attention, ggml_scale(context, mixed, scale * factor_));
    }

  private:
    omniid::Tensor keys_data_, values_data_;
    float factor_;
    std::int64_t tokens_ = 0, heads_ = 0, width_ = 0;
    ggml_tensor *keys_ = nullptr, *values_ = nullptr;
};

} // namespace omniid_ggml

#endif
