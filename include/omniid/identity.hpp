/* Identities: what the encoder makes of one person's photos. */
#ifndef OMNIID_IDENTITY_HPP
#define OMNIID_IDENTITY_HPP

#include "config.hpp"
#include "error.hpp"
#include "face_embedding.hpp"
#include "handle.hpp"
#include "span.hpp"
#include "tensor.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace omniid {
inline namespace OMNIID_INLINE_NAMESPACE {

/// Number type of weights, of keys and values, or of an identity file.
enum class Precision : std::int32_t {
    f32 = OMNIID_PRECISION_F32,   ///< 32-bit floating point.
    f16 = OMNIID_PRECISION_F16,   ///< IEEE half precision.
    bf16 = OMNIID_PRECISION_BF16, ///< bfloat16; not for identity files.
    int8 = OMNIID_PRECISION_INT8, ///< Bytes; for the weights of an engine on the processor only.
};

/// The kind of identity encoder.
enum class EncoderKind : std::int32_t {
    omni_id = OMNIID_ENCODER_OMNI_ID,           ///< Omni-ID: a fixed number of tokens, however many photos.
    resampler = OMNIID_ENCODER_RESAMPLER,       ///< IP-Adapter Plus and Plus-Face.
    full_face = OMNIID_ENCODER_FULL_FACE,       ///< IP-Adapter full-face.
    projection = OMNIID_ENCODER_PROJECTION,     ///< Base IP-Adapter and XLabs FLUX.
    face_id = OMNIID_ENCODER_FACE_ID,           ///< IP-Adapter FaceID and FaceID Portrait.
    face_id_plus = OMNIID_ENCODER_FACE_ID_PLUS, ///< IP-Adapter FaceID-Plus and PlusV2.
    instant_id = OMNIID_ENCODER_INSTANT_ID,     ///< InstantID.
    face_id_portrait_unnorm = OMNIID_ENCODER_FACE_ID_PORTRAIT_UNNORM, ///< IP-Adapter FaceID Portrait (unnorm).
    pulid_v1 = OMNIID_ENCODER_PULID_V1,                               ///< PuLID for SDXL, version 1.
    id_former = OMNIID_ENCODER_ID_FORMER,                             ///< PuLID for SDXL, version 1.1, and for FLUX.
    time_resampler = OMNIID_ENCODER_TIME_RESAMPLER, ///< InstantX SD3.5, whose tokens depend on the timestep.
    with_anyone = OMNIID_ENCODER_WITH_ANYONE,       ///< WithAnyone for FLUX.
    instant_x_flux = OMNIID_ENCODER_INSTANT_X_FLUX, ///< InstantX FLUX.
};

/// How several photos are combined before the identity encoder.
enum class Combine : std::int32_t {
    concatenate = OMNIID_COMBINE_CONCATENATE,   ///< The tokens of each photo, one after the other.
    average = OMNIID_COMBINE_AVERAGE,           ///< The mean of the photos' features and face embeddings.
    norm_average = OMNIID_COMBINE_NORM_AVERAGE, ///< The mean, each value divided by its norm over the photos.
    add = OMNIID_COMBINE_ADD,                   ///< The sum.
    subtract = OMNIID_COMBINE_SUBTRACT,         ///< The first photo less the mean of the others.
    max = OMNIID_COMBINE_MAX,                   ///< The largest of each value.
    min = OMNIID_COMBINE_MIN,                   ///< The smallest of each value.
};

/// Description of an identity. Its strings live as long as the identity.
struct IdentityInfo {
    EncoderKind encoder{};         ///< Kind of the encoder that made it.
    std::uint64_t tokens = 0;      ///< Number of tokens.
    std::uint64_t token_width = 0; ///< Width of a token.
    std::uint64_t photos = 0;      ///< Number of photos that it was made from.
    std::uint64_t features = 0;    ///< Number of photos whose features are kept: all or none.
    std::string_view model;        ///< Fingerprint of the model that made it.
    std::string_view label;        ///< Human-readable label; may be empty.
    std::string_view created;      ///< Time of creation: UTC, RFC 3339.
    std::string_view consent;      ///< Note on what the person has consented to; may be empty.
    std::uint64_t embeddings = 0;  ///< Number of photos whose face embeddings are kept.
    Combine combine{};             ///< How the photos were combined.
    float shortcut_scale = 1.0F;   ///< The shortcut scale of FaceID-PlusV2 that it was made with; 1 for other models.
};

/// The identity tokens of one person. Immutable; may be used from any number of threads at once.
class Identity : public detail::Handle<omniid_identity, omniid_identity_free> {
  public:
    using Handle::Handle;

    /// Reads an `.omniid` file.
    [[nodiscard]] static Result<Identity> load(const std::string &path) {
        omniid_identity *out = nullptr;
        const omniid_status status = omniid_identity_load(path.c_str(), &out);
        return detail::finish(status, Identity(out));
    }

    /// Reads the bytes of an `.omniid` file.
    [[nodiscard]] static Result<Identity> from_bytes(span<const std::byte> bytes) {
        omniid_identity *out = nullptr;
        const omniid_status status = omniid_identity_from_bytes(bytes.data(), bytes.size(), &out);
        return detail::finish(status, Identity(out));
    }

    /// Writes an `.omniid` file, as Precision::f32 or, at half the size, f16. An existing file is replaced when the new
    /// one is complete.
    Result<void> save(const std::string &path, Precision precision = Precision::f32) const {
        return detail::finish(omniid_identity_save(get(), path.c_str(), static_cast<std::int32_t>(precision)));
    }

    /// The bytes that save() writes.
    [[nodiscard]] Result<std::vector<std::byte>> to_bytes(Precision precision = Precision::f32) const {
        std::size_t size = 0;
        std::vector<std::byte> bytes;
        const auto number = static_cast<std::int32_t>(precision);
        omniid_status status = omniid_identity_to_bytes(get(), number, nullptr, 0, &size);
        if (status == OMNIID_STATUS_OK) {
            bytes.resize(size);
            status = omniid_identity_to_bytes(get(), number, bytes.data(), bytes.size(), &size);
        }
        return detail::finish(status, std::move(bytes));
    }

    /// Describes the identity.
    [[nodiscard]] Result<IdentityInfo> describe() const {
        omniid_identity_info c = OMNIID_IDENTITY_INFO_INIT;
        const omniid_status status = omniid_identity_describe(get(), &c);
        IdentityInfo info;
        if (status == OMNIID_STATUS_OK) {
            info = {static_cast<EncoderKind>(c.encoder),
                    c.tokens,
                    c.token_width,
                    c.photos,
                    c.features,
                    c.model,
                    c.label,
                    c.created,
                    c.consent,
                    c.embeddings,
                    static_cast<Combine>(c.combine),
                    c.shortcut_scale};
        }
        return detail::finish(status, info);
    }

    /// The face embedding of photo `photo`; empty when nothing is known of that photo's face, or it was not kept.
    [[nodiscard]] Result<std::optional<FaceEmbedding>> embedding(std::size_t photo) const {
        omniid_embedding c = OMNIID_EMBEDDING_INIT;
        const omniid_status status = omniid_identity_embedding(get(), photo, &c);
        std::optional<FaceEmbedding> embedding;
        if (status == OMNIID_STATUS_OK && c.values != nullptr) {
            embedding = FaceEmbedding{std::vector<float>(c.values, c.values + c.size), c.network,
                                      static_cast<EmbeddingForm>(c.form)};
        }
        return detail::finish(status, std::move(embedding));
    }

    /// The tokens, f32 `[tokens, token_width]`, without a copy. They stay valid after the identity is destroyed.
    [[nodiscard]] Result<Tensor> tokens() const {
        omniid_managed_tensor *out = nullptr;
        const omniid_status status = omniid_identity_tokens(get(), &out);
        return detail::finish(status, Tensor(out));
    }

    /// Copies the tokens into a tensor `[tokens, token_width]` on the CPU, of any number type and strides.
    Result<void> copy_tokens(const TensorView &out) const {
        const omniid_tensor c = out.c();
        return detail::finish(omniid_identity_copy_tokens(get(), &c));
    }

    /// A copy with another label and consent note; nullptr keeps the present one.
    [[nodiscard]] Result<Identity> with_notes(const char *label, const char *consent) const {
        omniid_identity *out = nullptr;
        const omniid_status status = omniid_identity_with_notes(get(), label, consent, &out);
        return detail::finish(status, Identity(out));
    }

    /// A copy without the photos' features and face embeddings: smaller, but an identity of a model that reads all photos
    /// at once can no longer be extended, and none compared by a face recogniser.
    [[nodiscard]] Result<Identity> without_features() const {
        omniid_identity *out = nullptr;
        const omniid_status status = omniid_identity_without_features(get(), &out);
        return detail::finish(status, Identity(out));
    }
};

} // namespace OMNIID_INLINE_NAMESPACE
} // namespace omniid

#endif
