/*
 * Identity conditioning in a ggml graph. Copy this file into a ggml host, such as stable-diffusion.cpp.
 *
 * In a cross-attention block of stable-diffusion.cpp, the queries `q` and the attention output `x` are f32 with
 * ne = [heads * head_dim, rows, batch]: what OmniID calls `[batch, rows, heads * head_dim]`. The hook goes between the
 * attention to the text and the output projection:
 *
 *     x = injector.inject(ggml_ctx, q, x, layer);
 *
 * In FLUX with XLabs' adapter it goes behind a double block: `query` is the image's query after the block's
 * normalisation and before RoPE, ne = [head_dim, heads, rows, batch], and what is added to is the image stream after
 * the block's MLP.
 *
 * Two ways, equal in their result: Injector is an operation that runs on the processor and does all that OmniID can;
 * TensorInjector is made of ggml operations, for graphs on a GPU. examples/stable-diffusion.cpp puts both into the real
 * program.
 */
#ifndef OMNIID_GGML_HPP
#define OMNIID_GGML_HPP

#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml.h>
#include <omniid.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <list>
#include <memory>
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

/// A ggml tensor as OmniID sees it: `ne = [heads * head_dim, rows, batch]` as `[batch, rows, heads * head_dim]`, and
/// with `by_head` `ne = [head_dim, heads, rows, batch]` as `[batch, rows, heads, head_dim]`. Of any strides.
inline omniid::TensorView view(const ggml_tensor &tensor, bool by_head = false) {
    omniid::NumberType type = omniid::NumberType::other;
    if (tensor.type == GGML_TYPE_F32) type = omniid::NumberType::f32;
    if (tensor.type == GGML_TYPE_F16) type = omniid::NumberType::f16;
    if (tensor.type == GGML_TYPE_BF16) type = omniid::NumberType::bf16;
    // ggml's strides are in bytes, DLPack's in numbers.
    const std::size_t size = ggml_type_size(tensor.type);
    const auto stride = [&](int i) { return static_cast<std::int64_t>(tensor.nb[i] / size); };
    const std::int64_t *ne = tensor.ne;
    if (by_head)
        return omniid::TensorView(tensor.data, type, {ne[3], ne[2], ne[1], ne[0]},
                                  {stride(3), stride(2), stride(1), stride(0)});
    return omniid::TensorView(tensor.data, type, {ne[2], ne[1], ne[0]}, {stride(2), stride(1), stride(0)});
}

/// Whether a query is `ne = [head_dim, heads, rows, batch]`, as in FLUX, and not `[heads * head_dim, rows, batch]`.
inline bool is_by_head(const ggml_tensor &query, const ggml_tensor &output) {
    const bool same = query.ne[0] == output.ne[0] && query.ne[1] == output.ne[1] && query.ne[2] == output.ne[2];
    return !same && query.ne[0] * query.ne[1] == output.ne[0] && query.ne[2] == output.ne[1];
}

/// What the host knows about the pass that it is about to compute.
struct Pass {
    std::vector<omniid::Role> roles{}; ///< Of each batch row, or one of all; empty: all are conditional.
    std::optional<double> sigma{};     ///< For identities that are limited to a range of it.
    std::optional<double> fraction{};  ///< Likewise.
    std::uint32_t latent_height = 0;   ///< For identities with a mask.
    std::uint32_t latent_width = 0;    ///< Likewise.
    float scale = 1.0F;
};

/// Puts injections into graphs that run on ggml's CPU backend. Must outlive the graphs, and the conditioning must
/// outlive it. One graph at a time.
///
/// begin() goes before each computation of a graph, finish() behind it. ggml's threads share each layer, with masks and
/// without; OmniID's own threads take no part. The numbers do not depend on how many threads there are.
class Injector {
  public:
    /// `backend` is the one that computes the operation. One that is not ggml's CPU backend is refused: a custom
    /// operation is a pointer to a function of this process, which a GPU cannot call and ggml's RPC backend would call
    /// in another process. For those there is TensorInjector.
    Injector(const omniid::Conditioning &conditioning, ggml_backend_t backend) : conditioning_(conditioning) {
        const ggml_backend_dev_t device = ggml_backend_get_device(backend);
        const bool is_cpu = device != nullptr && ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU &&
                            std::string(ggml_backend_reg_name(ggml_backend_dev_backend_reg(device))) == "CPU";
        if (!is_cpu)
            throw omniid::Error(omniid::Status::unsupported,
                                "the custom operation runs on ggml's CPU backend, this is \"" +
                                    std::string(ggml_backend_name(backend)) + "\"; use TensorInjector there");
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
        try {
            omniid::InjectCall call(layer, view(query, is_by_head(query, output)), view(output));
            call.part = static_cast<std::uint32_t>(thread);
            call.part_count = static_cast<std::uint32_t>(threads);
            call.roles = pass_.roles;
            call.sigma = pass_.sigma;
            call.fraction = pass_.fraction;
            call.latent_height = pass_.latent_height;
            call.latent_width = pass_.latent_width;
            call.scale = pass_.scale;
            conditioning_.inject(call).value();
        } catch (...) {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (!failed_.exchange(true)) error_ = std::current_exception();
        }
    }

    const omniid::Conditioning &conditioning_;
    std::vector<Layer> layers_;
    Pass pass_;
    std::mutex mutex_;
    std::atomic<bool> failed_{false};
    std::exception_ptr error_;
};

/// How keys and values lie in their tensors.
enum class Arrangement {
    by_head, ///< Keys `ne = [head_dim, tokens, heads]`, values `ne = [tokens, head_dim, heads]`: ready for products.
    tokens_first, ///< Both `ne = [heads * head_dim, tokens]`, as the host's own projections are: for its own attention.
};

/// Keys and values of one identity in one layer for one side of guidance, as ggml tensors of the conditioning's number
/// type (f32, f16, bf16), for graphs on any backend. `context` is one of the host's contexts for weights (no_alloc).
/// Once its tensors have memory, upload() fills them. Where nothing is injected (scale 0) there are no tensors: a
/// context may stay empty, for which ggml_backend_alloc_ctx_tensors returns NULL.
///
/// For adapters inside the attention that are added (omniid::Injection::add) without zero tokens, and not SD3.5.
class KeyValues {
  public:
    KeyValues(ggml_context *context, const omniid::Conditioning &conditioning, std::size_t layer, std::size_t identity,
              omniid::Role role = omniid::Role::conditional, Arrangement arrangement = Arrangement::by_head)
        : keys_data_(conditioning.keys(layer, identity, role).value()),
          values_data_(conditioning.values(layer, identity, role).value()),
          factor_(conditioning.factor(layer, identity).value()),
          arrangement_(arrangement) {
        const omniid::HostLayer host = conditioning.layer(layer).value();
        const auto refuse = [&](const std::string &why) {
            throw omniid::Error(omniid::Status::unsupported, std::string(host.name) + ": " + why);
        };
        if (host.hidden != 0) refuse("it adds to the residual stream, not to an attention; use inject_residual");
        if (conditioning.injection().value() != omniid::Injection::add)
            refuse("orthogonal injection looks at the host's own output; use Injector, or add the identity (neutral)");
        if (conditioning.zero_tokens().value() != 0)
            refuse("keys and values as tensors do not have the zero tokens of the conditioning; use Injector");
        if (conditioning.needs_image_keys().value())
            refuse("in SD3.5 the image's keys and values take part in each softmax; use Conditioning::inject");
        if (!keys_data_) return; // nothing is injected here
        ggml_type type = GGML_TYPE_F32;
        switch (keys_data_.type()) {
        case omniid::NumberType::f32:
            break;
        case omniid::NumberType::f16:
            type = GGML_TYPE_F16;
            break;
        case omniid::NumberType::bf16:
            type = GGML_TYPE_BF16;
            break;
        case omniid::NumberType::other:
            throw omniid::Error(omniid::Status::unsupported, host.name + ": keys of a number type that ggml lacks");
        }
        if (keys_data_.device() != omniid::Device::cpu())
            throw omniid::Error(omniid::Status::unsupported,
                                host.name + ": the keys are on a GPU; open the engine on the CPU and upload them");
        tokens_ = keys_data_.shape()[0], heads_ = keys_data_.shape()[1], width_ = keys_data_.shape()[2];
        if (arrangement == Arrangement::tokens_first) {
            keys_ = ggml_new_tensor_2d(context, type, heads_ * width_, tokens_);
            values_ = ggml_new_tensor_2d(context, type, heads_ * width_, tokens_);
        } else {
            keys_ = ggml_new_tensor_3d(context, type, width_, tokens_, heads_);
            values_ = ggml_new_tensor_3d(context, type, tokens_, width_, heads_);
        }
    }

    /// Fills the tensors through `set(tensor, data, bytes)`: ggml_backend_tensor_set with offset 0. Lets go of the
    /// library's copy, whose memory is free once the conditioning is, too. Has no effect the second time.
    template <class Set>
    void upload(Set &&set) {
        if (!keys_data_) return;
        if (arrangement_ == Arrangement::tokens_first) {
            set(keys_, keys_data_.data(), ggml_nbytes(keys_));
            set(values_, values_data_.data(), ggml_nbytes(values_));
        } else if (keys_->type == GGML_TYPE_F32) {
            by_head<std::uint32_t>(set);
        } else {
            by_head<std::uint16_t>(set);
        }
        keys_data_ = omniid::Tensor();
        values_data_ = omniid::Tensor();
    }

    /// The keys, for a host with an attention of its own; NULL where nothing is injected.
    [[nodiscard]] ggml_tensor *keys() const { return keys_; }
    /// The values.
    [[nodiscard]] ggml_tensor *values() const { return values_; }
    /// Number of attention heads; 0 where nothing is injected.
    [[nodiscard]] std::int64_t heads() const { return heads_; }
    /// Width of one head.
    [[nodiscard]] std::int64_t width() const { return width_; }
    /// What the identity's attention is multiplied by.
    [[nodiscard]] float factor() const { return factor_; }

    /// While building the graph, at steps at which the identity is active: what the identity adds,
    /// `ne = [heads * head_dim, rows, batch]`; NULL for nothing. `query` is `ne = [head_dim, heads, rows, batch]`.
    [[nodiscard]] ggml_tensor *attend(ggml_context *context, ggml_tensor *query, float scale) const {
        if (keys_ == nullptr || factor_ == 0.0F || scale == 0.0F) return nullptr;
        ggml_tensor *k = keys_, *v = values_;
        if (arrangement_ == Arrangement::tokens_first) {
            k = ggml_permute(context, ggml_reshape_3d(context, k, width_, heads_, tokens_), 0, 2, 1, 3);
            v = ggml_permute(context, ggml_reshape_3d(context, v, width_, heads_, tokens_), 1, 2, 0, 3);
            v = ggml_cont(context, v);
        }
        ggml_tensor *q = ggml_cont(context, ggml_permute(context, query, 0, 2, 1, 3)); // [width, rows, heads, batch]
        ggml_tensor *weights = ggml_mul_mat(context, k, q);                            // [tokens, rows, heads, batch]
        ggml_mul_mat_set_prec(weights, GGML_PREC_F32);
        weights = ggml_soft_max_ext(context, weights, nullptr, 1.0F / std::sqrt(static_cast<float>(width_)), 0.0F);
        ggml_tensor *mixed = ggml_mul_mat(context, v, weights); // [width, rows, heads, batch]
        ggml_mul_mat_set_prec(mixed, GGML_PREC_F32);
        mixed = ggml_cont(context, ggml_permute(context, mixed, 0, 2, 1, 3)); // [width, heads, rows, batch]
        mixed = ggml_reshape_3d(context, mixed, width_ * heads_, query->ne[2], query->ne[3]);
        return ggml_scale(context, mixed, scale * factor_);
    }

    /// While building the graph, at steps at which the identity is active: `attention` plus its attention.
    ggml_tensor *inject(ggml_context *context, ggml_tensor *query, ggml_tensor *attention, float scale = 1.0F) const {
        if (keys_ == nullptr) return attention;
        query = ggml_reshape_4d(context, query, width_, heads_, attention->ne[1], attention->ne[2]);
        ggml_tensor *added = attend(context, query, scale);
        return added == nullptr ? attention : ggml_add(context, attention, added);
    }

  private:
    /// Numbers of a size, moved and not looked at.
    template <class Number, class Set>
    void by_head(Set &&set) {
        const auto *keys = static_cast<const Number *>(keys_data_.data());
        const auto *values = static_cast<const Number *>(values_data_.data());
        std::vector<Number> moved(keys_data_.size()), transposed(values_data_.size());
        for (std::int64_t t = 0; t < tokens_; t++)
            for (std::int64_t h = 0; h < heads_; h++)
                for (std::int64_t i = 0; i < width_; i++) {
                    const auto from = static_cast<std::size_t>((t * heads_ + h) * width_ + i);
                    moved[static_cast<std::size_t>((h * tokens_ + t) * width_ + i)] = keys[from];
                    transposed[static_cast<std::size_t>((h * width_ + i) * tokens_ + t)] = values[from];
                }
        set(keys_, moved.data(), moved.size() * sizeof(Number));
        set(values_, transposed.data(), transposed.size() * sizeof(Number));
    }

    omniid::Tensor keys_data_, values_data_;
    float factor_;
    Arrangement arrangement_;
    std::int64_t tokens_ = 0, heads_ = 0, width_ = 0;
    ggml_tensor *keys_ = nullptr, *values_ = nullptr;
};

/// Puts injections into graphs on any backend, of ggml operations only: keys and values of all identities, layers and
/// sides of guidance are tensors on `backend`, masks are inputs of the graph. The same numbers as Injector to rounding.
///
/// begin() goes before a graph is built, and says what holds for its computation: roles, steps, masks and scale are
/// built into the graph. inject() goes into each layer, fill() behind the allocation of the graph. Must outlive the
/// graphs. The conditioning must live until release(). As KeyValues: not for orthogonal injection, zero tokens, SD3.5.
class TensorInjector {
  public:
    TensorInjector(const omniid::Conditioning &conditioning, ggml_backend_t backend,
                   Arrangement arrangement = Arrangement::by_head)
        : conditioning_(&conditioning), identities_(conditioning.identity_count().value()) {
        const std::size_t layers = conditioning.layer_count().value();
        context_.reset(ggml_init({ggml_tensor_overhead() * (layers * identities_ * 4 + 1), nullptr, true}));
        if (!context_) throw omniid::Error(omniid::Status::internal, "ggml_init failed");
        for (std::size_t layer = 0; layer < layers; layer++)
            for (std::size_t identity = 0; identity < identities_; identity++)
                for (const omniid::Role role : {omniid::Role::conditional, omniid::Role::unconditional})
                    sets_.emplace_back(context_.get(), conditioning, layer, identity, role, arrangement);
        // ggml has no buffer for a context without tensors: everybody is at scale 0.
        if (ggml_get_first_tensor(context_.get()) == nullptr) return;
        buffer_.reset(ggml_backend_alloc_ctx_tensors(context_.get(), backend));
        if (!buffer_)
            throw omniid::Error(omniid::Status::internal,
                                std::string("no memory for keys and values on ") + ggml_backend_name(backend));
        for (KeyValues &set : sets_)
            set.upload([](ggml_tensor *tensor, const void *data, std::size_t size) {
                ggml_backend_tensor_set(tensor, data, 0, size);
            });
    }

    /// Number of bytes of the tensors.
    [[nodiscard]] std::size_t byte_size() const { return buffer_ ? ggml_backend_buffer_get_size(buffer_.get()) : 0; }

    /// Keys and values of one identity in one layer, for a host with an attention of its own.
    [[nodiscard]] const KeyValues &key_values(std::size_t layer, std::size_t identity, omniid::Role role) const {
        const std::size_t side = role == omniid::Role::unconditional ? 1 : 0;
        return sets_.at((layer * identities_ + identity) * 2 + side);
    }

    /// Says what holds for the graph that is built next. Fails where an identity needs a step and gets none.
    void begin(Pass pass) {
        if (conditioning_ != nullptr) {
            std::vector<bool> active(identities_);
            for (std::size_t i = 0; i < identities_; i++)
                active[i] = conditioning_->is_active(i, pass.sigma, pass.fraction).value();
            active_ = std::move(active);
        }
        pass_ = std::move(pass);
        inputs_.clear();
    }

    /// After release(): which identities are active at the next steps; omniid::Conditioning::is_active says it before.
    void set_active(std::vector<bool> active) {
        active.resize(identities_);
        active_ = std::move(active);
    }

    /// While building the graph: `attention` plus the identities' attention. `query` is
    /// `ne = [heads * head_dim, rows, batch]` or `[head_dim, heads, rows, batch]`.
    ggml_tensor *inject(ggml_context *context, ggml_tensor *query, ggml_tensor *attention, std::size_t layer) {
        const std::int64_t rows = attention->ne[1], batch = attention->ne[2];
        const auto count = static_cast<std::size_t>(batch);
        if (pass_.roles.size() > 1 && pass_.roles.size() != count)
            throw omniid::Error(omniid::Status::invalid_argument, std::to_string(pass_.roles.size()) + " roles for " +
                                                                      std::to_string(count) +
                                                                      " batch rows; one per row, one for all or none");
        const auto role = [&](std::size_t row) {
            if (pass_.roles.empty()) return omniid::Role::conditional;
            return pass_.roles.size() == 1 ? pass_.roles[0] : pass_.roles[row];
        };
        for (std::size_t identity = 0; identity < identities_; identity++) {
            if (!active_.at(identity) || pass_.scale == 0.0F) continue;
            const ggml_tensor *any = key_values(layer, identity, omniid::Role::conditional).keys();
            if (any == nullptr) any = key_values(layer, identity, omniid::Role::unconditional).keys();
            if (any == nullptr) continue;
            ggml_tensor *mask = this->mask(context, identity, rows);
            // Neighbouring batch rows of one role together.
            ggml_tensor *joined = nullptr;
            for (std::size_t first = 0, last = 0; first < count; first = last) {
                while (last < count && role(last) == role(first)) last++;
                ggml_tensor *part = run(context, query, attention, first, last, mask,
                                        key_values(layer, identity, role(first)), pass_.scale);
                joined = joined == nullptr ? part : ggml_concat(context, joined, part, 2);
            }
            attention = joined;
        }
        return attention;
    }

    /// Once the graph, whose tensors are in `context`, has memory: fills its masks through `set(tensor, data, bytes)`,
    /// as KeyValues::upload. Where a graph is computed in segments, once for each: inputs without memory are left
    /// alone, and so are other graphs.
    template <class Set>
    void fill(ggml_context *context, Set &&set) {
        for (const Input &input : inputs_) {
            // By name: tensors of a graph that is gone are not looked at.
            ggml_tensor *tensor = ggml_get_tensor(context, input.name.c_str());
            if (tensor != nullptr && tensor->buffer != nullptr) set(tensor, input.data, ggml_nbytes(tensor));
        }
    }

    /// Lets go of the conditioning. Its masks stay known at the sizes that were asked for so far.
    void release() { conditioning_ = nullptr; }

  private:
    struct Input {
        std::string name;
        const float *data;
    };
    struct MaskKey {
        std::size_t identity;
        std::int64_t rows;
        std::uint32_t height, width;
        bool operator==(const MaskKey &o) const {
            return identity == o.identity && rows == o.rows && height == o.height && width == o.width;
        }
    };
    struct ContextDeleter {
        void operator()(ggml_context *context) const { ggml_free(context); }
    };
    struct BufferDeleter {
        void operator()(ggml_backend_buffer_t buffer) const { ggml_backend_buffer_free(buffer); }
    };

    /// The batch rows from `first` up to `last` of `attention`, with one identity's attention to them.
    static ggml_tensor *run(ggml_context *context, ggml_tensor *query, ggml_tensor *attention, std::size_t first,
                            std::size_t last, ggml_tensor *mask, const KeyValues &set, float scale) {
        const std::int64_t rows = attention->ne[1], batch = static_cast<std::int64_t>(last - first);
        if (batch != attention->ne[2])
            attention = ggml_view_3d(context, attention, attention->ne[0], rows, batch, attention->nb[1],
                                     attention->nb[2], first * attention->nb[2]);
        if (set.keys() == nullptr) return attention;
        const std::int64_t width = set.width(), heads = set.heads();
        if (!ggml_is_contiguous(query)) query = ggml_cont(context, query);
        const std::int64_t all = ggml_nelements(query) / (width * heads * rows);
        query = ggml_reshape_4d(context, query, width, heads, rows, all);
        if (batch != all)
            query = ggml_view_4d(context, query, width, heads, rows, batch, query->nb[1], query->nb[2], query->nb[3],
                                 first * query->nb[3]);
        ggml_tensor *added = set.attend(context, query, scale);
        if (added == nullptr) return attention;
        if (mask != nullptr) added = ggml_mul(context, added, mask);
        return ggml_add(context, attention, added);
    }

    /// An identity's mask for so many rows, `ne = [1, rows]`; NULL where it is 1 everywhere.
    ggml_tensor *mask(ggml_context *context, std::size_t identity, std::int64_t rows) {
        const MaskKey key{identity, rows, pass_.latent_height, pass_.latent_width};
        auto known = std::find_if(masks_.begin(), masks_.end(), [&](const auto &mask) { return mask.first == key; });
        if (known == masks_.end()) {
            if (conditioning_ == nullptr)
                throw omniid::Error(omniid::Status::invalid_argument,
                                    "a picture of a new size after release(): keep the conditioning for masks");
            std::vector<float> factors(static_cast<std::size_t>(rows));
            conditioning_->mask_factors(identity, factors, key.height, key.width).value();
            if (std::all_of(factors.begin(), factors.end(), [](float factor) { return factor == 1.0F; }))
                factors.clear();
            masks_.emplace_back(key, std::move(factors));
            known = std::prev(masks_.end());
        }
        if (known->second.empty()) return nullptr;
        ggml_tensor *tensor = ggml_new_tensor_2d(context, GGML_TYPE_F32, 1, rows);
        ggml_set_input(tensor);
        inputs_.push_back({"omniid_mask_" + std::to_string(input_count_++), known->second.data()});
        ggml_set_name(tensor, inputs_.back().name.c_str());
        return tensor;
    }

    const omniid::Conditioning *conditioning_;
    std::size_t identities_;
    std::unique_ptr<ggml_context, ContextDeleter> context_;
    std::unique_ptr<ggml_backend_buffer, BufferDeleter> buffer_;
    std::vector<KeyValues> sets_; ///< By layer, identity, side.
    std::vector<bool> active_ = std::vector<bool>(identities_, true);
    Pass pass_;
    std::list<std::pair<MaskKey, std::vector<float>>> masks_; ///< Their numbers stay where they are.
    std::vector<Input> inputs_;
    std::size_t input_count_ = 0; ///< No name comes twice.
};

} // namespace omniid_ggml

#endif
