/* Conditioning: keys and values of identities for every layer of a host, and their injection. */
#ifndef OMNIID_CONDITIONING_HPP
#define OMNIID_CONDITIONING_HPP

#include "config.hpp"
#include "error.hpp"
#include "handle.hpp"
#include "identity.hpp"
#include "span.hpp"
#include "tensor.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace omniid {
inline namespace OMNIID_INLINE_NAMESPACE {

/// How weights are spread over the layers; the constants of omniid.h say what each does.
enum class WeightType : std::int32_t {
    linear = OMNIID_WEIGHT_TYPE_LINEAR,
    ease_in = OMNIID_WEIGHT_TYPE_EASE_IN,
    ease_out = OMNIID_WEIGHT_TYPE_EASE_OUT,
    ease_in_out = OMNIID_WEIGHT_TYPE_EASE_IN_OUT,
    reverse_in_out = OMNIID_WEIGHT_TYPE_REVERSE_IN_OUT,
    weak_input = OMNIID_WEIGHT_TYPE_WEAK_INPUT,
    weak_output = OMNIID_WEIGHT_TYPE_WEAK_OUTPUT,
    weak_middle = OMNIID_WEIGHT_TYPE_WEAK_MIDDLE,
    strong_middle = OMNIID_WEIGHT_TYPE_STRONG_MIDDLE,
    style_transfer = OMNIID_WEIGHT_TYPE_STYLE_TRANSFER,
    composition = OMNIID_WEIGHT_TYPE_COMPOSITION,
    strong_style_transfer = OMNIID_WEIGHT_TYPE_STRONG_STYLE_TRANSFER,
    style_and_composition = OMNIID_WEIGHT_TYPE_STYLE_AND_COMPOSITION,
    strong_style_and_composition = OMNIID_WEIGHT_TYPE_STRONG_STYLE_AND_COMPOSITION,
    style_transfer_precise = OMNIID_WEIGHT_TYPE_STYLE_TRANSFER_PRECISE,
    composition_precise = OMNIID_WEIGHT_TYPE_COMPOSITION_PRECISE,
};

/// What unconditional rows see instead of the identity.
enum class Unconditional : std::int32_t {
    model_default = OMNIID_UNCONDITIONAL_DEFAULT,
    none = OMNIID_UNCONDITIONAL_NONE,
    zero_embedding = OMNIID_UNCONDITIONAL_ZERO_EMBEDDING,
    zero_pixels = OMNIID_UNCONDITIONAL_ZERO_PIXELS,
    black_image = OMNIID_UNCONDITIONAL_BLACK_IMAGE,
    zero_features = OMNIID_UNCONDITIONAL_ZERO_FEATURES,
    zero_tokens = OMNIID_UNCONDITIONAL_ZERO_TOKENS,
    mean_tokens = OMNIID_UNCONDITIONAL_MEAN_TOKENS,
};

/// How the weight acts on keys and values.
enum class EmbedsScaling : std::int32_t {
    values = OMNIID_EMBEDS_SCALING_VALUES,
    keys_and_values = OMNIID_EMBEDS_SCALING_KEYS_AND_VALUES,
    keys_and_values_penalty = OMNIID_EMBEDS_SCALING_KEYS_AND_VALUES_PENALTY,
    keys_and_mean_values_penalty = OMNIID_EMBEDS_SCALING_KEYS_AND_MEAN_VALUES_PENALTY,
};

/// Whose way of placing masks is followed.
enum class MaskMode : std::int32_t { comfyui = OMNIID_MASK_MODE_COMFYUI, diffusers = OMNIID_MASK_MODE_DIFFUSERS };

/// The side of guidance of a batch row.
enum class Role : std::int32_t { conditional = OMNIID_ROLE_CONDITIONAL, unconditional = OMNIID_ROLE_UNCONDITIONAL };

/// Order of the dimensions of queries and outputs.
enum class Layout : std::int32_t {
    rows_first = OMNIID_LAYOUT_ROWS_FIRST,   ///< `[batch, rows, heads * head_dim]` or `[batch, rows, heads, head_dim]`
    heads_first = OMNIID_LAYOUT_HEADS_FIRST, ///< `[batch, heads, rows, head_dim]`
};

/// One identity to condition on. The identities and the mask must live until Engine::condition returns.
struct ConditionInput {
    omniid_conditioning_input c = OMNIID_CONDITIONING_INPUT_INIT;

    explicit ConditionInput(const Identity &identity, float scale = 1.0F) noexcept {
        c.identity = identity.get();
        c.scale = scale;
    }

    /// Where in the picture: `height` rows of `width` values from 0 to 1; `values` must hold that many.
    ConditionInput &mask(span<const float> values, std::uint32_t height, std::uint32_t width) noexcept {
        // Too few values: a mask of height 0, which the library refuses.
        const bool fits = width == 0 || values.size() / width >= height;
        c.mask = values.data();
        c.mask_height = fits ? height : 0;
        c.mask_width = width;
        return *this;
    }
    /// When: while `last` <= sigma <= `first`; the noise level falls.
    ConditionInput &sigmas(double first, double last) noexcept { return steps(OMNIID_STEP_RANGE_SIGMA, first, last); }
    /// When: while `first` <= share of sampling that is done <= `last`.
    ConditionInput &fractions(double first, double last) noexcept { return steps(OMNIID_STEP_RANGE_FRACTION, first, last); }
    ConditionInput &unconditional(Unconditional what) noexcept {
        return c.unconditional = static_cast<std::int32_t>(what), *this;
    }
    /// An identity that unconditional rows see instead.
    ConditionInput &negative(const Identity &identity) noexcept { return c.negative = identity.get(), *this; }
    /// Another identity for the composition layers of the weight types "style and composition".
    ConditionInput &composition(const Identity &identity) noexcept { return c.composition = identity.get(), *this; }

  private:
    ConditionInput &steps(std::int32_t kind, double first, double last) noexcept {
        c.step_range = kind;
        c.step_start = first;
        c.step_end = last;
        return *this;
    }
};

/// What holds for all identities of a conditioning. What is not set has the library's default.
class ConditionOptions {
  public:
    ConditionOptions &weight_type(WeightType type) noexcept { return c_.weight_type = static_cast<std::int32_t>(type), *this; }
    /// One more factor for each layer of the host, in the order of its table. Kept.
    ConditionOptions &layer_scales(std::vector<float> scales) { return layer_scales_ = std::move(scales), *this; }
    ConditionOptions &embeds_scaling(EmbedsScaling how) noexcept { return c_.embeds_scaling = static_cast<std::int32_t>(how), *this; }
    ConditionOptions &mask_mode(MaskMode mode) noexcept { return c_.mask_mode = static_cast<std::int32_t>(mode), *this; }
    /// Number type of the stored keys and values.
    ConditionOptions &precision(Precision precision) noexcept { return c_.precision = static_cast<std::int32_t>(precision), *this; }
    ConditionOptions &composition_scale(float scale) noexcept { return composition_scale_ = scale, *this; }
    ConditionOptions &style_boost(float scale) noexcept { return style_boost_ = scale, *this; }
    ConditionOptions &composition_boost(float scale) noexcept { return composition_boost_ = scale, *this; }

    /// As the C ABI takes it; valid while these options live and stay as they are.
    [[nodiscard]] omniid_conditioning_options c() const noexcept {
        omniid_conditioning_options options = c_;
        options.layer_scales = layer_scales_.data();
        options.layer_scale_count = layer_scales_.size();
        options.composition_scale = address(composition_scale_);
        options.style_boost = address(style_boost_);
        options.composition_boost = address(composition_boost_);
        return options;
    }

  private:
    static const float *address(const std::optional<float> &value) noexcept { return value.has_value() ? &*value : nullptr; }

    omniid_conditioning_options c_ = OMNIID_CONDITIONING_OPTIONS_INIT;
    std::vector<float> layer_scales_;
    std::optional<float> composition_scale_, style_boost_, composition_boost_;
};

/// One attention layer of a host.
struct HostLayer {
    std::uint32_t heads = 0;    ///< Number of attention heads.
    std::uint32_t head_dim = 0; ///< Width of one head.
    std::uint32_t context = 0;  ///< Width of the tokens that keys and values are projected from.
    std::string name;           ///< The host's own name of the layer.
};

/// One attention layer at one step. `roles` must live until inject() returns.
struct InjectCall {
    std::size_t layer;                         ///< Index in the host's table.
    TensorView query;                          ///< The layer's queries.
    TensorView output;                         ///< What is added to: shape, type and device of the query; no overlap.
    float scale = 1.0F;                        ///< Multiplies every identity's scale.
    Layout layout = Layout::rows_first;        ///< Order of the dimensions.
    span<const Role> roles{};                  ///< Of each batch row; empty: all are conditional.
    std::optional<double> sigma{};             ///< Noise level of the step, for identities limited to a range of it.
    std::optional<double> fraction{};          ///< Share of sampling that is done, likewise.
    std::uint32_t latent_height = 0;           ///< Of the latent picture, for identities with a mask.
    std::uint32_t latent_width = 0;            ///< Likewise.
    std::int64_t stream = 1;                   ///< CUDA stream in DLPack's numbering; ignored on the CPU.
    bool unchecked = false;                    ///< Do not look for values in the query that are not finite.

    InjectCall(std::size_t layer_, const TensorView &query_, const TensorView &output_) noexcept
        : layer(layer_), query(query_), output(output_) {}
};

/// Keys and values of identities for every layer of a host. Never changes; may be used from any number of threads at
/// once.
class Conditioning : public detail::Handle<omniid_conditioning, omniid_conditioning_free> {
  public:
    using Handle::Handle;

    /// Adds the identities' attention to a layer's output, in place: output += sum over identities of scale x mask x
    /// softmax(query Kt / sqrt(head_dim)) V. Allocates nothing beyond omniid_inject.
    Result<void> inject(const InjectCall &call) const {
        const omniid_tensor query = call.query.c();
        omniid_tensor output = call.output.c();
        omniid_inject_call c = OMNIID_INJECT_CALL_INIT;
        c.scale = call.scale;
        c.layer = call.layer;
        c.query = &query;
        c.output = &output;
        c.layout = static_cast<std::int32_t>(call.layout);
        // An enumeration with this underlying type has its representation.
        c.roles = reinterpret_cast<const std::int32_t *>(call.roles.data());
        c.role_count = call.roles.size();
        if (call.sigma.has_value()) {
            c.sigma = *call.sigma;
            c.flags |= static_cast<std::uint32_t>(OMNIID_INJECT_FLAG_SIGMA);
        }
        if (call.fraction.has_value()) {
            c.fraction = *call.fraction;
            c.flags |= static_cast<std::uint32_t>(OMNIID_INJECT_FLAG_FRACTION);
        }
        if (call.unchecked) c.flags |= static_cast<std::uint32_t>(OMNIID_INJECT_FLAG_UNCHECKED);
        c.latent_height = call.latent_height;
        c.latent_width = call.latent_width;
        c.stream = call.stream;
        return detail::finish(omniid_inject(get(), &c));
    }

    /// Number of layers of the host.
    [[nodiscard]] Result<std::size_t> layer_count() const { return number(omniid_conditioning_layer_count); }
    /// Number of identities.
    [[nodiscard]] Result<std::size_t> identity_count() const { return number(omniid_conditioning_identity_count); }
    /// Bytes that all keys and values occupy.
    [[nodiscard]] Result<std::size_t> byte_size() const { return number(omniid_conditioning_byte_size); }

    /// Name of a layer. Lives as long as the conditioning.
    [[nodiscard]] Result<std::string_view> layer_name(std::size_t layer) const {
        const char *out = "";
        const omniid_status status = omniid_conditioning_layer_name(get(), layer, &out);
        return detail::finish(status, std::string_view(out));
    }

    /// Heads, widths and name of a layer.
    [[nodiscard]] Result<HostLayer> layer(std::size_t layer) const {
        omniid_host_layer c = OMNIID_HOST_LAYER_INIT;
        const omniid_status status = omniid_conditioning_layer(get(), layer, &c);
        HostLayer host_layer;
        if (status == OMNIID_STATUS_OK) host_layer = {c.heads, c.head_dim, c.context, c.name};
        return detail::finish(status, std::move(host_layer));
    }

    /// Index of the layer with a name; diffusers, LDM and ComfyUI spellings are known for the built-in hosts.
    [[nodiscard]] Result<std::size_t> find_layer(const std::string &name) const {
        std::size_t out = 0;
        const omniid_status status = omniid_conditioning_find_layer(get(), name.c_str(), &out);
        return detail::finish(status, out);
    }

    /// The keys of one identity in one layer, `[tokens, heads, head_dim]`; empty where nothing is injected. For hosts that
    /// run their own attention. Stays valid after the conditioning is gone.
    [[nodiscard]] Result<Tensor> keys(std::size_t layer, std::size_t identity, Role role = Role::conditional, std::int64_t stream = 1) const {
        omniid_managed_tensor *out = nullptr;
        const omniid_status status = omniid_conditioning_keys(get(), layer, identity, static_cast<std::int32_t>(role), stream, &out);
        return detail::finish(status, Tensor(out));
    }

    /// The values; see keys().
    [[nodiscard]] Result<Tensor> values(std::size_t layer, std::size_t identity, Role role = Role::conditional, std::int64_t stream = 1) const {
        omniid_managed_tensor *out = nullptr;
        const omniid_status status = omniid_conditioning_values(get(), layer, identity, static_cast<std::int32_t>(role), stream, &out);
        return detail::finish(status, Tensor(out));
    }

    /// Factor of one identity's attention output in one layer; 0 where nothing is injected.
    [[nodiscard]] Result<float> factor(std::size_t layer, std::size_t identity) const {
        float out = 0.0F;
        const omniid_status status = omniid_conditioning_factor(get(), layer, identity, &out);
        return detail::finish(status, out);
    }

    /// Whether one identity is injected at a step.
    [[nodiscard]] Result<bool> is_active(std::size_t identity, std::optional<double> sigma, std::optional<double> fraction) const {
        std::int32_t out = 0;
        const omniid_status status = omniid_conditioning_is_active(get(), identity, sigma.has_value() ? &*sigma : nullptr,
                                                                   fraction.has_value() ? &*fraction : nullptr, &out);
        return detail::finish(status, out != 0);
    }

    /// Writes one identity's mask as one factor for each of a layer's `out.size()` image tokens.
    Result<void> mask_factors(std::size_t identity, span<float> out, std::uint32_t latent_height = 0, std::uint32_t latent_width = 0) const {
        return detail::finish(omniid_conditioning_mask_factors(get(), identity, out.size(), latent_height, latent_width, out.data()));
    }

  private:
    Result<std::size_t> number(omniid_status (*ask)(const omniid_conditioning *, std::size_t *)) const {
        std::size_t out = 0;
        const omniid_status status = ask(get(), &out);
        return detail::finish(status, out);
    }
};

} // namespace OMNIID_INLINE_NAMESPACE
} // namespace omniid

#endif
