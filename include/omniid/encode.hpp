/* Encoding options, and the report on what became of each photo. */
#ifndef OMNIID_REPORT_HPP
#define OMNIID_REPORT_HPP

#include "config.hpp"
#include "error.hpp"
#include "handle.hpp"
#include "identity.hpp"
#include "photo.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace omniid {
inline namespace OMNIID_INLINE_NAMESPACE {

/// How photos are cropped.
enum class Crop : std::int32_t {
    model_default = OMNIID_CROP_DEFAULT, ///< The model's own way.
    none = OMNIID_CROP_NONE,             ///< The photo as it is.
    center = OMNIID_CROP_CENTER,         ///< The largest square in the middle.
    face = OMNIID_CROP_FACE,             ///< A square around the face, with a margin.
    aligned = OMNIID_CROP_ALIGNED,       ///< The face on the ArcFace template.
};

/// How photos become an identity. What is not set has the library's default; see omniid_encode_options.
class EncodeOptions {
  public:
    EncodeOptions &crop(Crop crop) noexcept { return c_.crop = static_cast<std::int32_t>(crop), *this; }
    /// With Crop::face: margin on each side as a share of the face's longer side, 0 to 4.
    EncodeOptions &crop_margin(float share) noexcept { return c_.crop_margin = share, *this; }
    /// With Crop::aligned: 1 is the template as published, 0.5 shows twice as much.
    EncodeOptions &crop_scale(float scale) noexcept { return c_.crop_scale = scale, *this; }
    /// Photos that pass the image encoder together.
    EncodeOptions &batch_size(std::uint32_t photos) noexcept { return c_.batch_size = photos, *this; }
    /// Fail if a photo cannot be used, instead of leaving it out.
    EncodeOptions &fail_on_bad_photo(bool on = true) noexcept {
        return c_.bad_photo = on ? OMNIID_BAD_PHOTO_FAIL : OMNIID_BAD_PHOTO_SKIP, *this;
    }
    /// Do not keep the photos' features: smaller, but an Omni-ID identity cannot be extended.
    EncodeOptions &drop_features(bool on = true) noexcept { return c_.drop_features = on ? 1 : 0, *this; }
    /// A name for people, stored with the identity.
    EncodeOptions &label(std::string text) { return label_ = std::move(text), *this; }
    /// What the person agreed to, stored with the identity.
    EncodeOptions &consent(std::string text) { return consent_ = std::move(text), *this; }

    /// As the C ABI takes it; valid while these options live and stay as they are.
    [[nodiscard]] omniid_encode_options c() const noexcept {
        omniid_encode_options options = c_;
        if (label_.has_value()) options.label = label_->c_str();
        if (consent_.has_value()) options.consent = consent_->c_str();
        return options;
    }

  private:
    omniid_encode_options c_ = OMNIID_ENCODE_OPTIONS_INIT;
    std::optional<std::string> label_;
    std::optional<std::string> consent_;
};

/// What became of one photo. Texts live as long as the report.
struct PhotoReport {
    Status status = Status::ok;     ///< ok if the photo went into the identity; otherwise why it was left out.
    std::string_view name;          ///< The photo's path, or a description of a photo in memory.
    std::string_view reason;        ///< Why it was left out, or what should be known about its use. May be empty.
    std::optional<Box> bounds;      ///< What the photo was cut around.
    std::optional<Face> face;       ///< The face, if it was detected or given with landmarks.
};

/// What became of each photo of a call. Never changes; may be used from any number of threads at once.
class Report : public detail::Handle<omniid_report, omniid_report_free> {
  public:
    using Handle::Handle;

    /// Number of photos: one entry for each that was handed in, in that order.
    [[nodiscard]] Result<std::size_t> size() const {
        std::size_t out = 0;
        const omniid_status status = omniid_report_photo_count(get(), &out);
        return detail::finish(status, out);
    }

    /// What became of photo `index`.
    [[nodiscard]] Result<PhotoReport> photo(std::size_t index) const {
        omniid_photo_report c = OMNIID_PHOTO_REPORT_INIT;
        const omniid_status status = omniid_report_photo(get(), index, &c);
        PhotoReport report;
        if (status == OMNIID_STATUS_OK) {
            report.status = static_cast<Status>(c.status);
            report.name = c.name;
            report.reason = c.reason;
            if (c.has_bounds != 0) std::copy(std::begin(c.face_bounds), std::end(c.face_bounds), report.bounds.emplace().begin());
            if (c.has_landmarks != 0) {
                Face &face = report.face.emplace();
                face.score = c.face_score;
                std::copy(std::begin(c.face_bounds), std::end(c.face_bounds), face.bounds.begin());
                std::copy(std::begin(c.face_landmarks), std::end(c.face_landmarks), face.landmarks.begin());
            }
        }
        return detail::finish(status, report);
    }
};

/// An identity, and what became of each photo.
struct Encoded {
    Identity identity;
    Report report;
};

} // namespace OMNIID_INLINE_NAMESPACE
} // namespace omniid

#endif
