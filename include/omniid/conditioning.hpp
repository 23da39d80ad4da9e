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

/// How an identity's weight is spread over the layers; the constants of omniid.h say what each type does.
enum class WeightType : std::int32_t {
    linear = OMNIID_WEIGHT_TYPE_LINEAR,                                             ///< The same in every layer.
    ease_in = OMNIID_WEIGHT_TYPE_EASE_IN,                                           ///< Strong in the early layers.
    ease_out = OMNIID_WEIGHT_TYPE_EASE_OUT,                                         ///< Strong in the late layers.
    ease_in_out = OMNIID_WEIGHT_TYPE_EASE_IN_OUT,                                   ///< Strong in the middle layers.
    reverse_in_out = OMNIID_WEIGHT_TYPE_REVERSE_IN_OUT,                             ///< Weak in the middle layers.
    weak_input = OMNIID_WEIGHT_TYPE_WEAK_INPUT,                                     ///< Weak when down-sampling.
    weak_output = OMNIID_WEIGHT_TYPE_WEAK_OUTPUT,                                   ///< Weak when up-sampling.
    weak_middle = OMNIID_WEIGHT_TYPE_WEAK_MIDDLE,                                   ///< Weak in the middle block.
    strong_middle = OMNIID_WEIGHT_TYPE_STRONG_MIDDLE,                               ///< Weak outside the middle block.
    style_transfer = OMNIID_WEIGHT_TYPE_STYLE_TRANSFER,                             ///< Only the style layers.
    composition = OMNIID_WEIGHT_TYPE_COMPOSITION,                                   ///< Only the composition layers.
    strong_style_transfer = OMNIID_WEIGHT_TYPE_STRONG_STYLE_TRANSFER,               ///< All but the composition layers.
    style_and_composition = OMNIID_WEIGHT_TYPE_STYLE_AND_COMPOSITION,               ///< Both, with own weights.
    strong_style_and_composition = OMNIID_WEIGHT_TYPE_STRONG_STYLE_AND_COMPOSITION, ///< All, composition with its own.
    style_transfer_precise = OMNIID_WEIGHT_TYPE_STYLE_TRANSFER_PRECISE,             ///< Style, away from composition.
    composition_precise = OMNIID_WEIGHT_TYPE_COMPOSITION_PRECISE,                   ///< Composition, away from style.
};

/// What unconditional rows attend to instead of the identity.
enum class Unconditional : std::int32_t {
    model_default = OMNIID_UNCONDITIONAL_DEFAULT,         ///< As in the checkpoint's reference code.
    none = OMNIID_UNCONDITIONAL_NONE,                     ///< Nothing is injected.
    zero_embedding = OMNIID_UNCONDITIONAL_ZERO_EMBEDDING, ///< A zero image embedding through the projection.
    zero_pixels = OMNIID_UNCONDITIONAL_ZERO_PIXELS,       ///< An image whose values are zero after normalisation.
    black_image = OMNIID_UNCONDITIONAL_BLACK_IMAGE,       ///< A black image.
    zero_features = OMNIID_UNCONDITIONAL_ZERO_FEATURES,   ///< All-zero image features.
    zero_tokens = OMNIID_UNCONDITIONAL_ZERO_TOKENS,       ///< All-zero identity tokens.
    mean_tokens = OMNIID_UNCONDITIONAL_MEAN_TOKENS,       ///< The model's mean identity, if the checkpoint has one.
};

/// How the weight acts on keys and values; the constants of omniid.h say more.
enum class EmbedsScaling : std::int32_t {
    values = OMNIID_EMBEDS_SCALING_VALUES,                                             ///< Multiplies the output.
    keys_and_values = OMNIID_EMBEDS_SCALING_KEYS_AND_VALUES,                           ///< Multiplies keys and values.
    keys_and_values_penalty = OMNIID_EMBEDS_SCALING_KEYS_AND_VALUES_PENALTY,           ///< Also by width / 1280.
    keys_and_mean_values_penalty = OMNIID_EMBEDS_SCALING_KEYS_AND_MEAN_VALUES_PENALTY, ///< Of the values the mean.
};

/// Whose rules for placing masks are followed.
enum class MaskMode : std::int32_t {
    comfyui = OMNIID_MASK_MODE_COMFYUI,     ///< ComfyUI: grid from the latent size, bilinear.
    diffusers = OMNIID_MASK_MODE_DIFFUSERS, ///< diffusers: grid from the mask's proportions, bicubic.
};

/// How an identity's attention joins the layer's output; the constants of omniid.h say more.
enum class Injection : std::int32_t {
    add = OMNIID_INJECTION_ADD,                     ///< It is added.
    orthogonal = OMNIID_INJECTION_ORTHOGONAL,       ///< PuLID's ORTHO.
    orthogonal_v2 = OMNIID_INJECTION_ORTHOGONAL_V2, ///< PuLID's ORTHO_v2.
};

/// PuLID's published combinations of zero tokens and injection; for ConditioningOptions::pulid.
enum class PulidMode {
    fidelity, ///< 8 zero tokens, Injection::orthogonal_v2: most like the person.
    style,    ///< 16 zero tokens, Injection::orthogonal: most like the picture without the identity.
    neutral,  ///< No zero tokens, Injection::add.
};

/// The side of guidance of a batch row.
enum class Role : std::int32_t {
    conditional = OMNIID_ROLE_CONDITIONAL,     ///< Conditioned on the prompt.
    unconditional = OMNIID_ROLE_UNCONDITIONAL, ///< Not conditioned on it.
};

/// Order of the dimensions of queries and outputs.
enum class Layout : std::int32_t {
    rows_first = OMNIID_LAYOUT_ROWS_FIRST,   ///< `[batch, rows, heads * head_dim]` or `[batch, rows, heads, head_dim]`
    heads_first = OMNIID_LAYOUT_HEADS_FIRST, ///< `[batch, heads, rows, head_dim]`
};

/// One identity to condition on. The identities and the mask must live until Engine::condition returns.
struct ConditioningInput {
    /// As the C ABI takes it.
    omniid_conditioning_input c = OMNIID_CONDITIONING_INPUT_INIT;

    /// An identity with its weight; 0 switches it off.
    explicit ConditioningInput(const Identity &identity, float scale = 1.0F) noexcept {
        c.identity = identity.get();
        c.scale = scale;
    }

    /// Where in the picture the identity acts: `height` rows of `width` values from 0 to 1. Engine::condition refuses
    /// `values` that are fewer.
    ConditioningInput &mask(span<const float> values, std::uint32_t height, std::uint32_t width) noexcept {
        // Too few values become a mask of height 0, which the library refuses.
        const bool fits = width == 0 || values.size() / width >= height;
        c.mask = values.data();
        c.mask_height = fits ? height : 0;
        c.mask_width = width;
        return *this;
    }
    /// When the identity acts: while `last` <= sigma <= `first`, since the noise level falls.
    ConditioningInput &sigmas(double first, double last) noexcept {
        return step_range(OMNIID_STEP_RANGE_SIGMA, first, last);
    }
    /// When the identity acts: while `first` <= fraction of sampling that is done <= `last`.
    ConditioningInput &fractions(double first, double last) noexcept {
        return step_range(OMNIID_STEP_RANGE_FRACTION, first, last);
    }
    /// What unconditional rows attend to instead.
    ConditioningInput &unconditional(Unconditional what) noexcept {
        return c.unconditional = static_cast<std::int32_t>(what), *this;
    }
    /// An identity that unconditional rows attend to instead.
    ConditioningInput &negative(const Identity &identity) noexcept { return c.negative = identity.get(), *this; }
    /// Another identity for the composition layers of the weight types "style and composition".
    ConditioningInput &composition(const Identity &identity) noexcept { return c.composition = identity.get(), *this; }

  private:
    ConditioningInput &step_range(std::int32_t unit, double first, double last) noexcept {
        c.step_range = unit;
        c.step_start = first;
        c.step_end = last;
        return *this;
    }
};

/// Options of a conditioning, for all its identities, with the library's defaults; see omniid_conditioning_options.
class ConditioningOptions {
  public:
    /// The default options with PuLID's zero tokens and injection. PuLID's own weight is 0.8.
    [[nodiscard]] static ConditioningOptions pulid(PulidMode mode) noexcept {
        ConditioningOptions options;
        switch (mode) {
        case PulidMode::fidelity:
            return options.zero_tokens(8).injection(Injection::orthogonal_v2);
        case PulidMode::style:
            return options.zero_tokens(16).injection(Injection::orthogonal);
        case PulidMode::neutral:
            break;
        }
        return options;
    }
    /// How an identity's weight is spread over the layers.
    ConditioningOptions &weight_type(WeightType type) noexcept {
        return c_.weight_type = static_cast<std::int32_t>(type), *this;
    }
    /// A further factor for each layer of the host, in the order of its table.
    ConditioningOptions &layer_scales(std::vector<float> scales) { return layer_scales_ = std::move(scales), *this; }
    /// How the weight acts on keys and values.
    ConditioningOptions &embeds_scaling(EmbedsScaling how) noexcept {
        return c_.embeds_scaling = static_cast<std::int32_t>(how), *this;
    }
    /// Whose rules for placing masks are followed.
    ConditioningOptions &mask_mode(MaskMode mode) noexcept {
        return c_.mask_mode = static_cast<std::int32_t>(mode), *this;
    }
    /// How an identity's attention joins the layer's output.
    ConditioningOptions &injection(Injection how) noexcept {
        return c_.injection = static_cast<std::int32_t>(how), *this;
    }
    /// Number of further tokens with zero keys and values that take part in each softmax.
    ConditioningOptions &zero_tokens(std::size_t count) noexcept { return c_.zero_tokens = count, *this; }
    /// Whether the values of InstantX's FLUX adapter are normalised like its keys.
    ConditioningOptions &normalise_values(bool normalise) noexcept {
        return c_.normalise_values = normalise ? 1 : 0, *this;
    }
    /// For SD3.5, the denoising timesteps, 0 to 1000, to compute keys and values for.
    ConditioningOptions &timesteps(std::vector<float> timesteps) { return timesteps_ = std::move(timesteps), *this; }
    /// Number type of the stored keys and values.
    ConditioningOptions &precision(Precision precision) noexcept {
        return c_.precision = static_cast<std::int32_t>(precision), *this;
    }
    /// Weight of the composition layers of the weight types "style and composition".
    ConditioningOptions &composition_scale(float scale) noexcept { return composition_scale_ = scale, *this; }
    /// Weight of the swapped layers of WeightType::style_transfer_precise.
    ConditioningOptions &style_boost(float scale) noexcept { return style_boost_ = scale, *this; }
    /// Weight of the swapped layers of WeightType::composition_precise.
    ConditioningOptions &composition_boost(float scale) noexcept { return composition_boost_ = scale, *this; }
    /// Share of WithAnyone's second token set, 0 to 1; the first one has the rest.
    ConditioningOptions &siglip_weight(float weight) noexcept { return siglip_weight_ = weight, *this; }

    /// As the C ABI takes them; valid while these options live and stay as they are.
    [[nodiscard]] omniid_conditioning_options c() const noexcept {
        omniid_conditioning_options options = c_;
        options.layer_scales = layer_scales_.empty() ? nullptr : layer_scales_.data();
        options.layer_scale_count = layer_scales_.size();
        options.timesteps = timesteps_.empty() ? nullptr : timesteps_.data();
        options.timestep_count = timesteps_.size();
        options.composition_scale = address(composition_scale_);
        options.style_boost = address(style_boost_);
        options.composition_boost = address(composition_boost_);
        options.siglip_weight = address(siglip_weight_);
        return options;
    }

  private:
    static const float *address(const std::optional<float> &value) noexcept {
        return value.has_value() ? &*value : nullptr;
    }

    omniid_conditioning_options c_ = OMNIID_CONDITIONING_OPTIONS_INIT;
    std::vector<float> layer_scales_, timesteps_;
    std::optional<float> composition_scale_, style_boost_, composition_boost_, siglip_weight_;
};

/// One attention layer of a host.
struct HostLayer {
    std::uint32_t heads = 0;    ///< Number of attention heads.
    std::uint32_t head_dim = 0; ///< Width of one head.
    std::uint32_t context = 0;  ///< Width of the tokens that keys and values are projected from.
    std::string name;           ///< The host's own name of the layer.
    std::uint32_t hidden = 0;   ///< Width of the image's hidden state, for a layer of the residual stream; otherwise 0.
};

/// One attention layer at one step. `roles` must live until inject() returns.
struct InjectCall {
    std::size_t layer;                        ///< Index in the host's table.
    TensorView query;                         ///< The layer's queries.
    TensorView output;                        ///< What is added to: shape, type and device of the query; no overlap.
    float scale = 1.0F;                       ///< Multiplies every identity's weight.
    Layout layout = Layout::rows_first;       ///< Order of the dimensions.
    span<const Role> roles{};                 ///< Of each batch row, or one of all; empty: all are conditional.
    std::optional<double> sigma{};            ///< Noise level of the step, for identities limited to a range of it.
    std::optional<double> fraction{};         ///< Fraction of sampling that is done, likewise.
    std::uint32_t latent_height = 0;          ///< Height of the latent image, for identities with a mask.
    std::uint32_t latent_width = 0;           ///< Width of the latent image, likewise.
    std::int64_t stream = 1;                  ///< CUDA stream in DLPack's numbering; ignored on the CPU.
    bool unchecked = false;                   ///< Do not look for values in the query that are not finite.
    std::optional<TensorView> image_keys{};   ///< SD3.5: the layer's keys of the image, before it normalises them.
    std::optional<TensorView> image_values{}; ///< SD3.5: the layer's values of the image.
    std::uint32_t part = 0;       ///< Which part of the work this call does, for hosts whose own threads share a layer.
    std::uint32_t part_count = 1; ///< Number of parts; 1: the whole call. See omniid_inject_call.

    /// A call with the defaults above.
    InjectCall(std::size_t layer_, const TensorView &query_, const TensorView &output_) noexcept
        : layer(layer_), query(query_), output(output_) {}
};

/// One place of the residual stream at one step. `roles` must live until inject_residual() returns.
struct ResidualCall {
    std::size_t layer; ///< Index in the host's table.
    TensorView output; ///< What is added to, `[batch, image tokens, hidden]`; read, too, without `hidden`.
    std::optional<TensorView> hidden; ///< The hidden state, if not the output: the same tensor, or one without overlap.
    float scale = 1.0F;               ///< Multiplies every identity's weight.
    span<const Role> roles{};         ///< Of each batch row, or one of all; empty: all are conditional.
    std::optional<double> sigma{};    ///< Noise level of the step, for identities limited to a range of it.
    std::optional<double> fraction{}; ///< Fraction of sampling that is done, likewise.
    std::uint32_t latent_height = 0;  ///< Height of the latent image, for identities with a mask.
    std::uint32_t latent_width = 0;   ///< Width of the latent image, likewise.
    std::int64_t stream = 1;          ///< CUDA stream in DLPack's numbering; ignored on the CPU.
    bool unchecked = false;           ///< Do not look for values in the hidden state that are not finite.

    /// A call in place with the defaults above.
    ResidualCall(std::size_t layer_, const TensorView &output_) noexcept : layer(layer_), output(output_) {}
};

namespace detail {

/// A layer from the C struct; an empty one after a failure.
[[nodiscard]] inline Result<HostLayer> host_layer(omniid_status status, const omniid_host_layer &c) {
    HostLayer layer;
    if (status == OMNIID_STATUS_OK) layer = {c.heads, c.head_dim, c.context, c.name, c.hidden};
    return finish(status, std::move(layer));
}

} // namespace detail

/// Keys and values of identities for every layer of a host. Immutable; may be used from any number of threads at once.
class Conditioning : public detail::Handle<omniid_conditioning, omniid_conditioning_free> {
  public:
    using Handle::Handle;

    /// Adds the identities' attention to a layer's output, in place: output += sum over identities of scale x mask x
    /// softmax(query Kt / sqrt(head_dim)) V. Allocates nothing that omniid_inject does not.
    Result<void> inject(const InjectCall &call) const {
        const omniid_tensor query = call.query.c();
        omniid_tensor output = call.output.c();
        omniid_inject_call c = OMNIID_INJECT_CALL_INIT;
        c.scale = call.scale;
        c.layer = call.layer;
        c.query = &query;
        c.output = &output;
        omniid_tensor image_keys{}, image_values{};
        if (call.image_keys.has_value()) {
            image_keys = call.image_keys->c();
            c.image_keys = &image_keys;
        }
        if (call.image_values.has_value()) {
            image_values = call.image_values->c();
            c.image_values = &image_values;
        }
        c.layout = static_cast<std::int32_t>(call.layout);
        // An enumeration with this underlying type has its representation.
        c.roles = call.roles.empty() ? nullptr : reinterpret_cast<const std::int32_t *>(call.roles.data());
        c.role_count = call.roles.size();
        c.part = call.part;
        c.part_count = call.part_count;
        place(call, c);
        return detail::finish(omniid_inject(get(), &c));
    }

    /// Adds the identities to the image's hidden state between two blocks of a transformer, in place, for adapters of the
    /// residual stream (PuLID-FLUX, WithAnyone): those whose layers have a `hidden` width.
    Result<void> inject_residual(const ResidualCall &call) const {
        omniid_tensor output = call.output.c();
        omniid_tensor hidden{};
        omniid_residual_call c = OMNIID_RESIDUAL_CALL_INIT;
        if (call.hidden.has_value()) {
            hidden = call.hidden->c();
            c.hidden = &hidden;
        }
        c.scale = call.scale;
        c.layer = call.layer;
        c.output = &output;
        c.roles = call.roles.empty() ? nullptr : reinterpret_cast<const std::int32_t *>(call.roles.data());
        c.role_count = call.roles.size();
        place(call, c);
        return detail::finish(omniid_inject_residual(get(), &c));
    }

    /// Number of layers of the host.
    [[nodiscard]] Result<std::size_t> layer_count() const { return number(omniid_conditioning_layer_count); }
    /// Number of identities.
    [[nodiscard]] Result<std::size_t> identity_count() const { return number(omniid_conditioning_identity_count); }
    /// Number of bytes that all keys and values occupy.
    [[nodiscard]] Result<std::size_t> byte_size() const { return number(omniid_conditioning_byte_size); }

    /// How identities' attention joins the layer's output.
    [[nodiscard]] Result<Injection> injection() const {
        std::int32_t out = 0;
        const omniid_status status = omniid_conditioning_injection(get(), &out);
        return detail::finish(status, static_cast<Injection>(out));
    }
    /// Number of further tokens with zero keys and values in each softmax (PuLID), which keys() does not have.
    [[nodiscard]] Result<std::size_t> zero_tokens() const { return number(omniid_conditioning_zero_tokens); }
    /// Whether the image's own keys and values take part in each softmax: SD3.5, see InjectCall::image_keys.
    [[nodiscard]] Result<bool> needs_image_keys() const {
        std::int32_t out = 0;
        const omniid_status status = omniid_conditioning_needs_image_keys(get(), &out);
        return detail::finish(status, out != 0);
    }

    /// Name of a layer. Lives as long as the conditioning.
    [[nodiscard]] Result<std::string_view> layer_name(std::size_t layer) const {
        const char *out = "";
        const omniid_status status = omniid_conditioning_layer_name(get(), layer, &out);
        return detail::finish(status, std::string_view(out));
    }

    /// Describes a layer.
    [[nodiscard]] Result<HostLayer> layer(std::size_t layer) const {
        omniid_host_layer c = OMNIID_HOST_LAYER_INIT;
        return detail::host_layer(omniid_conditioning_layer(get(), layer, &c), c);
    }

    /// Index of the layer with a name; diffusers, LDM and ComfyUI spellings are known for the built-in hosts.
    [[nodiscard]] Result<std::size_t> find_layer(const std::string &name) const {
        std::size_t out = 0;
        const omniid_status status = omniid_conditioning_find_layer(get(), name.c_str(), &out);
        return detail::finish(status, out);
    }

    /// The keys of one identity in one layer, `[tokens, heads, head_dim]`; empty where nothing is injected. For hosts
    /// that run their own attention. They stay valid after the conditioning is destroyed.
    [[nodiscard]] Result<Tensor> keys(std::size_t layer, std::size_t identity, Role role = Role::conditional,
                                      std::int64_t stream = 1) const {
        return tensor(omniid_conditioning_keys, layer, identity, role, stream);
    }

    /// The values; see keys().
    [[nodiscard]] Result<Tensor> values(std::size_t layer, std::size_t identity, Role role = Role::conditional,
                                        std::int64_t stream = 1) const {
        return tensor(omniid_conditioning_values, layer, identity, role, stream);
    }

    /// Factor of one identity's attention in one layer; 0 where nothing is injected.
    [[nodiscard]] Result<float> factor(std::size_t layer, std::size_t identity) const {
        float out = 0.0F;
        const omniid_status status = omniid_conditioning_factor(get(), layer, identity, &out);
        return detail::finish(status, out);
    }

    /// Whether an identity is injected at a step.
    [[nodiscard]] Result<bool> is_active(std::size_t identity, std::optional<double> sigma,
                                         std::optional<double> fraction) const {
        std::int32_t out = 0;
        const omniid_status status = omniid_conditioning_is_active(
            get(), identity, sigma.has_value() ? &*sigma : nullptr, fraction.has_value() ? &*fraction : nullptr, &out);
        return detail::finish(status, out != 0);
    }

    /// Writes an identity's mask as one factor for each of a layer's `out.size()` image tokens.
    Result<void> mask_factors(std::size_t identity, span<float> out, std::uint32_t latent_height = 0,
                              std::uint32_t latent_width = 0) const {
        return detail::finish(
            omniid_conditioning_mask_factors(get(), identity, out.size(), latent_height, latent_width, out.data()));
    }

  private:
    /// Step, latent size, stream and flags of a call.
    template <typename Call, typename C>
    static void place(const Call &call, C &c) noexcept {
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
    }

    Result<std::size_t> number(omniid_status (*ask)(const omniid_conditioning *, std::size_t *)) const {
        std::size_t out = 0;
        const omniid_status status = ask(get(), &out);
        return detail::finish(status, out);
    }

    Result<Tensor> tensor(decltype(omniid_conditioning_keys) *ask, std::size_t layer, std::size_t identity, Role role,
                          std::int64_t stream) const {
        omniid_managed_tensor *out = nullptr;
        const omniid_status status = ask(get(), layer, identity, static_cast<std::int32_t>(role), stream, &out);
        return detail::finish(status, Tensor(out));
    }
};

} // namespace OMNIID_INLINE_NAMESPACE
} // namespace omniid

#endif
