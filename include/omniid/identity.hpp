/* Identities: what the encoder makes of one person's photos. */
#ifndef OMNIID_IDENTITY_HPP
#define OMNIID_IDENTITY_HPP

#include "config.hpp"
#include "error.hpp"
#include "handle.hpp"
#include "span.hpp"
#include "tensor.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace omniid {
inline namespace OMNIID_INLINE_NAMESPACE {

/// Number type of stored weights, tokens, keys and values.
enum class Precision : std::int32_t {
    f32 = OMNIID_PRECISION_F32,
    f16 = OMNIID_PRECISION_F16,
    bf16 = OMNIID_PRECISION_BF16,
};

/// The identity encoders.
enum class Encoder : std::int32_t {
    omni_id = OMNIID_ENCODER_OMNI_ID,       ///< A fixed number of tokens, however many photos.
    resampler = OMNIID_ENCODER_RESAMPLER,   ///< IP-Adapter Plus and Plus-Face.
    full_face = OMNIID_ENCODER_FULL_FACE,   ///< IP-Adapter full-face.
    projection = OMNIID_ENCODER_PROJECTION, ///< Base IP-Adapter and XLabs FLUX.
};

/// What is known about an identity. Texts live as long as the identity.
struct IdentityInfo {
    Encoder encoder{};
    std::uint64_t tokens = 0;      ///< Number of tokens.
    std::uint64_t token_width = 0; ///< Numbers in a token.
    std::uint64_t photos = 0;      ///< Photos that went in.
    std::uint64_t features = 0;    ///< Photos whose features were kept: all or none.
    std::string_view model;        ///< Fingerprint of the model that made it.
    std::string_view label;        ///< A name for people; may be empty.
    std::string_view created;      ///< UTC, RFC 3339.
    std::string_view consent;      ///< What the person agreed to; may be empty.
};

/// The identity tokens of one person. Never changes; may be used from any number of threads at once.
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

    /// Writes an `.omniid` file: Precision::f32, or f16 at half the size. It appears complete or not at all.
    Result<void> save(const std::string &path, Precision precision = Precision::f32) const {
        return detail::finish(omniid_identity_save(get(), path.c_str(), static_cast<std::int32_t>(precision)));
    }

    /// What save() puts into the file.
    [[nodiscard]] Result<std::vector<std::byte>> to_bytes(Precision precision = Precision::f32) const {
        std::size_t size = 0;
        std::vector<std::byte> bytes;
        omniid_status status = omniid_identity_to_bytes(get(), static_cast<std::int32_t>(precision), nullptr, 0, &size);
        if (status == OMNIID_STATUS_OK) {
            bytes.resize(size);
            status = omniid_identity_to_bytes(get(), static_cast<std::int32_t>(precision), bytes.data(), bytes.size(), &size);
        }
        return detail::finish(status, std::move(bytes));
    }

    /// Tells what is known about it.
    [[nodiscard]] Result<IdentityInfo> describe() const {
        omniid_identity_info c = OMNIID_IDENTITY_INFO_INIT;
        const omniid_status status = omniid_identity_describe(get(), &c);
        IdentityInfo info;
        if (status == OMNIID_STATUS_OK) {
            info = {static_cast<Encoder>(c.encoder), c.tokens, c.token_width, c.photos, c.features, c.model, c.label, c.created, c.consent};
        }
        return detail::finish(status, info);
    }

    /// The tokens, f32 `[tokens, token_width]`, without a copy. They stay valid after the identity is gone.
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

    /// A copy with another label and consent note; nullptr keeps the one it has.
    [[nodiscard]] Result<Identity> with_notes(const char *label, const char *consent) const {
        omniid_identity *out = nullptr;
        const omniid_status status = omniid_identity_with_notes(get(), label, consent, &out);
        return detail::finish(status, Identity(out));
    }

    /// A copy without the photos' features: smaller, but one of Omni-ID cannot be extended any more.
    [[nodiscard]] Result<Identity> without_features() const {
        omniid_identity *out = nullptr;
        const omniid_status status = omniid_identity_without_features(get(), &out);
        return detail::finish(status, Identity(out));
    }
};

} // namespace OMNIID_INLINE_NAMESPACE
} // namespace omniid

#endif
