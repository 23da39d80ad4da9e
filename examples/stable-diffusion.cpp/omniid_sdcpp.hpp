/*
 * Identity in an unpatched stable-diffusion.cpp, through its public sd_set_backend_eval_callback (since summer 2026;
 * the releases on PyPI are older). Copy this file and omniid_ggml.hpp into a program that links both libraries:
 *
 *     omniid_sdcpp::EvalCallback identity(conditioning);
 *     sd_set_backend_eval_callback(omniid_sdcpp::EvalCallback::callback, &identity);
 *     identity.begin();
 *     generate_image(...);
 *     identity.finish();                                          // throws the first error
 *     sd_set_backend_eval_callback(nullptr, nullptr);
 *
 * The callback is shown every node of a graph before and after it is computed, on every backend. A layer's query is the
 * product with "...attn2.to_q.weight"; what goes into the product with "...attn2.to_out.0.weight" is the attention to
 * the text, to which the identities' attention is added. Elsewhere than on the processor both are copied there and
 * back.
 *
 * What this way cannot do, and the hook in examples/stable-diffusion.cpp can:
 *   - The side of guidance is not shown. It comes from counting passes; Options::passes says their order. With step
 *     caches, skipped layers and several images in a row, count with care: begin() starts anew.
 *   - Sigma is not shown: identities limited to a range of sigma are refused. A range of the fraction of sampling works
 *     where Options::steps is given and each step has one evaluation (Euler, DPM++ 2M; not Heun, DPM2).
 *   - stable-diffusion.cpp ignores the callback when a model is spread over several devices; finish() reports it.
 *   - UNets only: FLUX has no query of the image as a node with a name. A LoRA applied at run time, beside the weights,
 *     is not part of the query.
 *   - It is one for the whole process, and every node between query and output is waited for.
 */
#ifndef OMNIID_SDCPP_HPP
#define OMNIID_SDCPP_HPP

#include <ggml-backend.h>
#include <ggml.h>
#include <omniid.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace omniid_sdcpp {

/// What the callback cannot see.
struct Options {
    /// The roles of the passes of one step, in their order: conditional and then unconditional with guidance
    /// (txt_cfg above 1), only conditional without.
    std::vector<omniid::Role> passes{omniid::Role::conditional, omniid::Role::unconditional};
    std::size_t steps = 0;           ///< Number of steps, for identities limited to a range of the fraction.
    std::uint32_t latent_height = 0; ///< For identities with a mask: the picture's height divided by 8.
    std::uint32_t latent_width = 0;  ///< Likewise.
    float scale = 1.0F;              ///< Multiplies every identity's weight.
};

/// The state behind the callback. The conditioning must outlive it. For one picture at a time.
class EvalCallback {
  public:
    explicit EvalCallback(const omniid::Conditioning &conditioning, Options options = {})
        : conditioning_(conditioning), options_(std::move(options)) {
        if (options_.passes.empty())
            throw omniid::Error(omniid::Status::invalid_argument, "passes: a step has at least one pass");
    }
    EvalCallback(const EvalCallback &) = delete;
    EvalCallback &operator=(const EvalCallback &) = delete;

    /// For sd_set_backend_eval_callback, with the object as data.
    static bool callback(ggml_tensor *tensor, bool ask, void *self) {
        return static_cast<EvalCallback *>(self)->see(tensor, ask);
    }

    /// Before generate_image: counts from the first pass of the first step again.
    void begin() {
        first_layer_.reset();
        query_layer_.reset();
        passes_ = calls_ = 0;
        error_ = nullptr;
    }

    /// After generate_image: throws the first error, and says so if nothing of the model was shown.
    void finish() {
        if (std::exception_ptr error = std::exchange(error_, nullptr)) std::rethrow_exception(error);
        if (calls_ == 0)
            throw omniid::Error(omniid::Status::unsupported,
                                "stable-diffusion.cpp has shown no layer of the conditioning's host: the model is of "
                                "another kind or spread over several devices");
    }

    /// How many injections there were since begin().
    [[nodiscard]] std::size_t calls() const { return calls_; }
    /// How many passes there were since begin().
    [[nodiscard]] std::size_t passes() const { return passes_; }

  private:
    /// The layer whose weight with this ending `tensor` is the product with.
    std::optional<std::size_t> layer_of(const ggml_tensor *tensor, const char *ending) {
        if (tensor->op != GGML_OP_MUL_MAT || tensor->src[0] == nullptr) return std::nullopt;
        const char *name = tensor->src[0]->name, *at = std::strstr(name, ending);
        if (at == nullptr || at[std::strlen(ending)] != '\0') return std::nullopt;
        std::string layer(name, static_cast<std::size_t>(at - name));
        const auto known = layers_.find(layer);
        if (known != layers_.end()) return known->second;
        // A ControlNet has layers of this kind, too, which are none of the host's.
        const auto found = conditioning_.find_layer(layer);
        const std::optional<std::size_t> index = found.has_value() ? std::optional(found.value()) : std::nullopt;
        layers_.emplace(std::move(layer), index);
        return index;
    }

    bool see(ggml_tensor *tensor, bool ask) noexcept {
        try {
            if (const auto layer = layer_of(tensor, ".attn2.to_q.weight")) {
                if (!ask) {
                    query_.resize(static_cast<std::size_t>(ggml_nelements(tensor)));
                    require_f32(tensor);
                    ggml_backend_tensor_get(tensor, query_.data(), 0, ggml_nbytes(tensor));
                    query_layer_ = layer;
                }
                return true;
            }
            // While a query waits every node is asked for, so that all before this one are computed.
            if (!query_layer_) return !ask;
            if (ask && layer_of(tensor, ".attn2.to_out.0.weight") == query_layer_) {
                inject(tensor->src[1], *std::exchange(query_layer_, std::nullopt));
                return false;
            }
            return true;
        } catch (...) {
            // An exception does not pass through stable-diffusion.cpp. The picture goes on without identity.
            if (error_ == nullptr) error_ = std::current_exception();
            query_layer_.reset();
            return !ask;
        }
    }

    static void require_f32(const ggml_tensor *tensor) {
        if (tensor->type != GGML_TYPE_F32 || !ggml_is_contiguous(tensor))
            throw omniid::Error(omniid::Status::unsupported, std::string(tensor->name) + ": " +
                                                                 ggml_type_name(tensor->type) +
                                                                 ", expected contiguous f32");
    }

    void inject(ggml_tensor *output, std::size_t layer) {
        require_f32(output);
        // The layer that is shown first begins each pass.
        if (!first_layer_) first_layer_ = layer;
        if (*first_layer_ == layer) passes_++;
        const std::size_t pass = passes_ - 1, step = pass / options_.passes.size();
        const std::int64_t width = output->ne[0], rows = output->ne[1], batch = output->ne[2];
        const ggml_backend_buffer_t buffer = output->view_src != nullptr ? output->view_src->buffer : output->buffer;
        const bool here = buffer == nullptr || ggml_backend_buffer_is_host(buffer);
        auto *data = static_cast<float *>(output->data);
        if (!here) {
            output_.resize(static_cast<std::size_t>(ggml_nelements(output)));
            ggml_backend_tensor_get(output, data = output_.data(), 0, ggml_nbytes(output));
        }
        omniid::InjectCall call(layer, omniid::TensorView(query_.data(), {batch, rows, width}),
                                omniid::TensorView(data, {batch, rows, width}));
        call.roles = omniid::span<const omniid::Role>(&options_.passes[pass % options_.passes.size()], 1);
        if (options_.steps != 0)
            call.fraction = static_cast<double>(step < options_.steps ? step : options_.steps) /
                            static_cast<double>(options_.steps);
        call.latent_height = options_.latent_height;
        call.latent_width = options_.latent_width;
        call.scale = options_.scale;
        calls_++;
        conditioning_.inject(call).value();
        if (!here) ggml_backend_tensor_set(output, data, 0, ggml_nbytes(output));
    }

    const omniid::Conditioning &conditioning_;
    Options options_;
    std::unordered_map<std::string, std::optional<std::size_t>> layers_; ///< By the name in the weights.
    std::optional<std::size_t> first_layer_, query_layer_;
    std::vector<float> query_, output_;
    std::size_t passes_ = 0, calls_ = 0;
    std::exception_ptr error_;
};

} // namespace omniid_sdcpp

#endif
