/* Options of encoding, and its result. */
#ifndef OMNIID_ENCODE_HPP
#define OMNIID_ENCODE_HPP

#include "config.hpp"
#include "error.hpp"
#include "identity.hpp"
#include "photo.hpp"
#include "tensor.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace omniid {
inline namespace OMNIID_INLINE_NAMESPACE {

/// How photos are cropped.
enum class Crop : std::int32_t {
    model_default = OMNIID_CROP_DEFAULT, ///< The model's own crop.
    none = OMNIID_CROP_NONE,             ///< The whole photo.
    center = OMNIID_CROP_CENTER,         ///< The largest square at the centre.
    face = OMNIID_CROP_FACE,             ///< A square around the face, with a margin.
    aligned = OMNIID_CROP_ALIGNED,       ///< The face on the ArcFace template.
};

/// What to do with photos that look like somebody else than the others.
enum class Strangers : std::int32_t {
    note = OMNIID_STRANGERS_NOTE,           ///< Use them, and note it in the report.
    leave_out = OMNIID_STRANGERS_LEAVE_OUT, ///< Leave them out, and say so in the report.
    ignore = OMNIID_STRANGERS_IGNORE,       ///< Do not compare the photos.
};

/// Options of encoding, with the library's defaults; see omniid_encode_options.
class EncodeOptions {
  public:
    /// How photos are cropped.
    EncodeOptions &crop(Crop crop) noexcept { return c_.crop = static_cast<std::int32_t>(crop), *this; }
    /// With Crop::face: margin on each side as a fraction of the face's longer side, 0 to 4.
    EncodeOptions &crop_margin(float fraction) noexcept { return c_.crop_margin = fraction, *this; }
    /// With Crop::aligned: scale of the template; 0.5 shows twice as much around the face.
    EncodeOptions &crop_scale(float scale) noexcept { return c_.crop_scale = scale, *this; }
    /// Number of photos that pass through the image encoder together.
    EncodeOptions &batch_size(std::uint32_t photos) noexcept { return c_.batch_size = photos, *this; }
    /// Fail if a photo cannot be used, instead of leaving it out.
    EncodeOptions &fail_on_bad_photo(bool on = true) noexcept {
        return c_.bad_photo = on ? OMNIID_BAD_PHOTO_FAIL : OMNIID_BAD_PHOTO_SKIP, *this;
    }
    /// What to do with photos that look like somebody else than the others.
    EncodeOptions &strangers(Strangers what) noexcept { return c_.strangers = static_cast<std::int32_t>(what), *this; }
    /// How several photos are combined before the identity encoder. Combine::concatenate, when extending, is what the
    /// identity was made with.
    EncodeOptions &combine(Combine how) noexcept { return c_.combine = static_cast<std::int32_t>(how), *this; }
    /// Weight of the image features of FaceID-PlusV2 beside the face embedding (s_scale, weight_faceidv2).
    EncodeOptions &shortcut_scale(float scale) noexcept {
        return c_.has_shortcut_scale = 1, c_.shortcut_scale = scale, *this;
    }
    /// Do not keep the photos' features: the identity is smaller, but an Omni-ID identity cannot be extended then.
    EncodeOptions &drop_features(bool on = true) noexcept { return c_.drop_features = on ? 1 : 0, *this; }
    /// Human-readable label, stored with the identity.
    EncodeOptions &label(std::string text) { return label_ = std::move(text), *this; }
    /// Note on what the person has consented to, stored with the identity.
    EncodeOptions &consent(std::string text) { return consent_ = std::move(text), *this; }

    /// As the C ABI takes them; valid while these options live and stay as they are.
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

/// What became of one photo.
struct PhotoReport {
    Status status = Status::ok;      ///< ok if the photo went into the identity; otherwise why it was left out.
    std::string name;                ///< The photo's path, or a description of a photo in memory.
    std::string reason;              ///< Why the photo was left out, or remarks on one that was used. May be empty.
    std::optional<FaceBox> bounds;   ///< What the photo was cropped around.
    std::optional<Face> face;        ///< The face, if the detector has found it or its landmarks were given.
    std::int32_t rotation = 0;       ///< Degrees clockwise by which the photo had to be turned: 0, 90, 180 or 270.
    std::optional<float> similarity; ///< How alike it is to the others, -1 to 1, if there was something to compare.
};

/// An identity, and what became of each photo.
struct Encoded {
    Identity identity;               ///< The identity.
    std::vector<PhotoReport> photos; ///< One report for each photo of the call, in the same order.
};

/// What the image encoder makes of photos, and what became of each photo.
struct PhotoFeatures {
    Tensor features; ///< f32 `[photos, feature tokens, feature width]` of the photos that could be used.
    std::vector<PhotoReport> photos; ///< One report for each photo of the call, in the same order.
};

namespace detail {

/// The reports inside a C report.
[[nodiscard]] inline Result<std::vector<PhotoReport>> photo_reports(const omniid_report *c_report) {
    std::size_t count = 0;
    omniid_status status = omniid_report_photo_count(c_report, &count);
    std::vector<PhotoReport> reports(status == OMNIID_STATUS_OK ? count : 0);
    for (std::size_t i = 0; i < reports.size(); i++) {
        omniid_photo_report c = OMNIID_PHOTO_REPORT_INIT;
        status = omniid_report_photo(c_report, i, &c);
        if (status != OMNIID_STATUS_OK) break;
        PhotoReport &report = reports[i];
        report.status = static_cast<Status>(c.status);
        report.name = c.name;
        report.reason = c.reason;
        report.rotation = c.rotation;
        if (!std::isnan(c.similarity)) report.similarity = c.similarity;
        if (c.has_bounds != 0) report.bounds = to_box(c.face_bounds);
        if (c.has_landmarks != 0)
            report.face = Face{c.face_score, to_box(c.face_bounds), to_landmarks(c.face_landmarks)};
    }
    return finish(status, std::move(reports));
}

} // namespace detail
} // namespace OMNIID_INLINE_NAMESPACE
} // namespace omniid

#endif
