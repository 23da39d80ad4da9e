/*
 * Identity in a stable-diffusion.cpp whose source has the hook of patch.py, for UNets and FLUX (XLabs' adapter):
 *
 *     omniid_sdcpp::HookedIdentity identity(conditioning, omniid_sdcpp::Way::tensors);
 *     generate_image(...);
 *     identity.finish();                                           // throws the first error
 */
#ifndef OMNIID_SDCPP_HOOK_HPP
#define OMNIID_SDCPP_HOOK_HPP

#include "omniid_ggml.hpp"
#include "omniid_hook.hpp"

#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

namespace omniid_sdcpp {

/// How identities get into the graph.
enum class Way {
    processor, ///< A custom operation: everything that OmniID can do, on the CPU backend.
    tensors,   ///< Keys and values as tensors, for every backend: see omniid_ggml::TensorInjector.
};

/// Is the hook of the process while it lives. The conditioning must outlive it. One picture at a time.
class HookedIdentity final : public omniid_hook::Hook {
  public:
    explicit HookedIdentity(const omniid::Conditioning &conditioning, Way way = Way::processor, float scale = 1.0F)
        : conditioning_(conditioning), way_(way), scale_(scale) {
        omniid_hook::hook() = this;
    }
    ~HookedIdentity() override {
        if (omniid_hook::hook() == this) omniid_hook::hook() = nullptr;
    }
    HookedIdentity(const HookedIdentity &) = delete;
    HookedIdentity &operator=(const HookedIdentity &) = delete;

    /// After generate_image: throws the first error, and says so if none of the model's layers is one of the host's.
    void finish() {
        if (injector_) record([&] { injector_->finish(); });
        const bool any = std::exchange(any_, false);
        if (std::exception_ptr error = std::exchange(error_, nullptr)) std::rethrow_exception(error);
        if (!any)
            throw omniid::Error(omniid::Status::mismatch,
                                "stable-diffusion.cpp has run no layer of the conditioning's host: the model is of "
                                "another kind, or its source lacks the hook");
    }

    void begin(const omniid_hook::Pass &pass) override {
        pass_ = {};
        pass_.roles = {pass.unconditional ? omniid::Role::unconditional : omniid::Role::conditional};
        pass_.sigma = pass.sigma;
        pass_.fraction = pass.fraction;
        pass_.latent_height = pass.latent_height;
        pass_.latent_width = pass.latent_width;
        pass_.scale = scale_;
        record([&] {
            if (injector_) injector_->begin(pass_);
            if (tensors_) tensors_->begin(pass_);
        });
    }

    ggml_tensor *layer(ggml_context *context, ggml_backend_t backend, ggml_tensor *query, ggml_tensor *output,
                       const std::string &name) override {
        const std::optional<std::size_t> index = find(name);
        if (!index || error_ != nullptr) return output;
        any_ = true;
        record([&] {
            if (way_ == Way::processor) {
                if (!injector_) {
                    injector_ = std::make_unique<omniid_ggml::Injector>(conditioning_, backend);
                    injector_->begin(pass_);
                }
                output = injector_->inject(context, query, output, *index);
            } else {
                if (!tensors_) {
                    tensors_ = std::make_unique<omniid_ggml::TensorInjector>(conditioning_, backend);
                    tensors_->begin(pass_);
                }
                output = tensors_->inject(context, query, output, *index);
            }
        });
        return output;
    }

    void fill(ggml_context *context) override {
        if (!tensors_) return;
        tensors_->fill(context, [](ggml_tensor *tensor, const void *data, std::size_t size) {
            ggml_backend_tensor_set(tensor, data, 0, size);
        });
    }

  private:
    /// Exceptions do not pass through stable-diffusion.cpp: after one the picture goes on without identity.
    template <class Run>
    void record(Run &&run) noexcept {
        try {
            run();
        } catch (...) {
            if (error_ == nullptr) error_ = std::current_exception();
        }
    }

    /// The layer that stable-diffusion.cpp calls so; attn1 and the layers of a ControlNet are none.
    std::optional<std::size_t> find(const std::string &name) {
        const auto known = layers_.find(name);
        if (known != layers_.end()) return known->second;
        const std::size_t end = name.find_last_not_of('.');
        const auto found = conditioning_.find_layer(name.substr(0, end == std::string::npos ? 0 : end + 1));
        return layers_[name] = found.has_value() ? std::optional(found.value()) : std::nullopt;
    }

    const omniid::Conditioning &conditioning_;
    Way way_;
    float scale_;
    omniid_ggml::Pass pass_;
    std::unique_ptr<omniid_ggml::Injector> injector_;
    std::unique_ptr<omniid_ggml::TensorInjector> tensors_;
    std::unordered_map<std::string, std::optional<std::size_t>> layers_;
    bool any_ = false;
    std::exception_ptr error_;
};

} // namespace omniid_sdcpp

#endif
