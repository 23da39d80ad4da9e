/* Photos, and the faces in them. */
#ifndef OMNIID_PHOTO_HPP
#define OMNIID_PHOTO_HPP

#include "config.hpp"
#include "error.hpp"
#include "face_embedding.hpp"
#include "span.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace omniid {
inline namespace OMNIID_INLINE_NAMESPACE {

/// Order of the channels of raw pixels; transparent pixels are laid on middle grey.
enum class ChannelOrder : std::int32_t {
    rgb = OMNIID_CHANNEL_ORDER_RGB,   ///< Red, green, blue.
    rgba = OMNIID_CHANNEL_ORDER_RGBA, ///< Red, green, blue, alpha.
    bgr = OMNIID_CHANNEL_ORDER_BGR,   ///< Blue, green, red.
    bgra = OMNIID_CHANNEL_ORDER_BGRA, ///< Blue, green, red, alpha.
};

/// Bounds of a face in pixels of the upright photo.
struct FaceBox {
    float left = 0.0F;   ///< Left edge.
    float top = 0.0F;    ///< Top edge.
    float right = 0.0F;  ///< Right edge.
    float bottom = 0.0F; ///< Bottom edge.
};

/// x and y of the eye at the image's left, the eye at its right, the nose tip, the mouth corner at its left and the one
/// at its right, in pixels of the upright photo.
using Landmarks = std::array<float, 10>;

/// A face in a photo.
struct Face {
    float score = 0.0F;    ///< Confidence, 0 to 1; 1 for a face that the host has given.
    FaceBox bounds{};      ///< Bounds of the face.
    Landmarks landmarks{}; ///< Its eyes, nose and mouth.
};

/// One photo of a person: a file, an encoded file in memory, pixels, or a face embedding alone. By default the person's
/// face is the largest one that the detector finds.
class Photo {
  public:
    /// A JPEG, PNG, WebP, BMP or TIFF file. The path is kept; in the system's own encoding on Unix, UTF-8 on Windows.
    [[nodiscard]] static Photo file(std::string path) {
        Photo photo;
        photo.path_ = std::move(path);
        photo.has_path_ = true;
        return photo;
    }

    /// The bytes of such a file, which must live until the call that uses the photo returns.
    [[nodiscard]] static Photo encoded(span<const std::byte> bytes) noexcept {
        Photo photo;
        photo.c_.data = bytes.data();
        photo.c_.data_size = bytes.size();
        return photo;
    }

    /// 8-bit pixels, rows from top to bottom, which must live until the call that uses the photo returns. `row_stride`
    /// is in bytes; 0 for rows without gaps. Fails with Status::invalid_argument when `pixels` is too short.
    [[nodiscard]] static Result<Photo> pixels(span<const std::uint8_t> pixels, std::uint32_t width,
                                              std::uint32_t height, ChannelOrder order = ChannelOrder::rgb,
                                              std::size_t row_stride = 0) {
        return raw(pixels.data(), pixels.size(), 1, OMNIID_PIXEL_TYPE_U8, width, height, order, row_stride);
    }

    /// Pixels from 0 to 1, sRGB-encoded like 8-bit ones; otherwise as above.
    [[nodiscard]] static Result<Photo> pixels(span<const float> pixels, std::uint32_t width, std::uint32_t height,
                                              ChannelOrder order = ChannelOrder::rgb, std::size_t row_stride = 0) {
        return raw(pixels.data(), pixels.size(), sizeof(float), OMNIID_PIXEL_TYPE_F32, width, height, order,
                   row_stride);
    }

    /// No picture, only the embedding of the person's face, which the host has; for models that read nothing else.
    [[nodiscard]] static Photo from_embedding(FaceEmbedding embedding) {
        Photo photo;
        photo.embedding(std::move(embedding));
        return photo;
    }

    /// The embedding of the person's face beside a picture: models that read face embeddings take this one and run no
    /// recognition network on the photo. Refused for models and engines that compare no faces.
    Photo &embedding(FaceEmbedding embedding) { return embedding_ = std::move(embedding), *this; }

    /// Which pixels of the upright photo are the person's face, hair included: `height` rows of `width` values from 0 to
    /// 1; from 0.5 on it is the face. They must live until the call that uses the photo returns. PuLID takes this
    /// instead of a face parser and sees the other pixels white. Refused for other models, and with a crop other than
    /// theirs.
    Photo &face_mask(span<const float> values, std::uint32_t height, std::uint32_t width) noexcept {
        // Too few values, and none at all, become a mask of height 0, which the library refuses.
        static constexpr float nothing = 0.0F;
        const bool fits = width != 0 && values.size() / width >= height;
        c_.face_mask = values.empty() ? &nothing : values.data();
        c_.face_mask_height = fits ? height : 0;
        c_.face_mask_width = width;
        return *this;
    }

    /// What to call the photo in messages and reports, instead of its path or "photo in memory".
    Photo &name(std::string name) { return name_ = std::move(name), *this; }

    /// Chooses the face by its rank in size; 0 is the largest.
    Photo &face_index(std::uint32_t index) noexcept {
        hint(OMNIID_FACE_HINT_INDEX);
        c_.face_index = index;
        return *this;
    }

    /// Chooses the face inside a box; no detector is needed.
    Photo &face_box(const FaceBox &box) noexcept {
        hint(OMNIID_FACE_HINT_BOX);
        c_.face_box[0] = box.left;
        c_.face_box[1] = box.top;
        c_.face_box[2] = box.right;
        c_.face_box[3] = box.bottom;
        return *this;
    }

    /// Chooses the face with these landmarks; no detector is needed.
    Photo &face_landmarks(const Landmarks &landmarks) noexcept {
        hint(OMNIID_FACE_HINT_LANDMARKS);
        std::copy(landmarks.begin(), landmarks.end(), c_.face_landmarks);
        return *this;
    }

    /// As the C ABI takes it; valid while this photo lives and stays where it is.
    [[nodiscard]] omniid_photo c() const noexcept {
        omniid_photo photo = c_;
        if (has_path_) photo.path = path_.c_str();
        photo.name = name_.empty() ? nullptr : name_.c_str();
        if (embedding_.has_value()) {
            // Without values, too, it is an embedding: one that is refused.
            static constexpr float nothing = 0.0F;
            photo.embedding = embedding_->values.empty() ? &nothing : embedding_->values.data();
            photo.embedding_size = embedding_->values.size();
            photo.embedding_network = embedding_->network.c_str();
            photo.embedding_form = static_cast<std::int32_t>(embedding_->form);
        }
        return photo;
    }

  private:
    Photo() = default;

    /// Another choice of the face forgets the one before.
    void hint(std::int32_t hint) noexcept {
        const omniid_photo none = OMNIID_PHOTO_INIT;
        c_.face_hint = hint;
        c_.face_index = 0;
        std::copy(std::begin(none.face_box), std::end(none.face_box), c_.face_box);
        std::copy(std::begin(none.face_landmarks), std::end(none.face_landmarks), c_.face_landmarks);
    }

    static Result<Photo> raw(const void *data, std::size_t count, std::size_t size, std::int32_t type,
                             std::uint32_t width, std::uint32_t height, ChannelOrder order, std::size_t row_stride) {
        const std::size_t channels = order == ChannelOrder::rgb || order == ChannelOrder::bgr ? 3 : 4;
        const std::size_t row = std::size_t{width} * channels * size;
        const std::size_t stride = row_stride == 0 ? row : row_stride;
        // The last row needs no gap behind it. Compared by division: a product may overflow.
        const std::size_t available = count > std::numeric_limits<std::size_t>::max() / size ? 0 : count * size;
        const bool fits = height == 0 || width == 0 ||
                          (stride >= row && available >= row && (available - row) / stride >= std::size_t{height} - 1);
        if (!fits) {
            return Error(Status::invalid_argument,
                         "pixels: " + std::to_string(count) + " values, expected " + std::to_string(height) +
                             " rows of " + std::to_string(width) + " x " + std::to_string(channels) +
                             " values, with a row stride of " + std::to_string(stride) + " bytes");
        }
        Photo photo;
        photo.c_.pixels = data;
        photo.c_.width = width;
        photo.c_.height = height;
        photo.c_.pixel_type = type;
        photo.c_.channel_order = static_cast<std::int32_t>(order);
        photo.c_.row_stride = row_stride;
        return photo;
    }

    omniid_photo c_ = OMNIID_PHOTO_INIT;
    std::string path_;
    std::string name_;
    std::optional<FaceEmbedding> embedding_;
    bool has_path_ = false;
};

/// Options of face detection, with the library's defaults; see omniid_detect_options.
struct DetectOptions {
    /// As the C ABI takes them.
    omniid_detect_options c = OMNIID_DETECT_OPTIONS_INIT;

    /// Minimum confidence of a face, above 0 up to 1.
    DetectOptions &score_threshold(float least) noexcept { return c.score_threshold = least, *this; }
    /// Boxes that overlap more than this (intersection over union) are one face.
    DetectOptions &overlap_threshold(float most) noexcept { return c.overlap_threshold = most, *this; }
    /// Longer side in pixels to which larger photos are scaled down for the first search.
    DetectOptions &side(std::uint32_t pixels) noexcept { return c.side = pixels, *this; }
    /// Longer side for the second search, which finds faces that are too small in the first.
    DetectOptions &fine_side(std::uint32_t pixels) noexcept { return c.fine_side = pixels, *this; }
    /// Do the second search even if the first has found faces.
    DetectOptions &exhaustive(bool on = true) noexcept { return c.exhaustive = on ? 1 : 0, *this; }
    /// Do not search again in the turned photo when no face was found.
    DetectOptions &upright_only(bool on = true) noexcept { return c.upright_only = on ? 1 : 0, *this; }
};

namespace detail {

[[nodiscard]] inline FaceBox to_box(const float (&bounds)[4]) noexcept {
    return {bounds[0], bounds[1], bounds[2], bounds[3]};
}

[[nodiscard]] inline Landmarks to_landmarks(const float (&numbers)[10]) noexcept {
    Landmarks landmarks{};
    std::copy(std::begin(numbers), std::end(numbers), landmarks.begin());
    return landmarks;
}

/// The photos as the C ABI takes them: an array of its structs.
[[nodiscard]] inline std::vector<omniid_photo> to_c(span<const Photo> photos) {
    std::vector<omniid_photo> structs;
    structs.reserve(photos.size());
    for (const Photo &photo : photos) structs.push_back(photo.c());
    return structs;
}

} // namespace detail

/// Draws the control picture of InstantID's ControlNet: five keypoints of a face on black, red, green, blue, rows from
/// top to bottom without gaps; equal to what InstantID draws with OpenCV. `landmarks` are in pixels of the picture that
/// is drawn: scale those of a photo to the size that is generated.
[[nodiscard]] inline Result<std::vector<std::uint8_t>> draw_keypoints(const Landmarks &landmarks, std::uint32_t width,
                                                                      std::uint32_t height) {
    // Beyond the library's limit of 2^28 pixels nothing is drawn, so that no memory is needed.
    const std::uint64_t pixel_count = std::uint64_t{width} * height;
    std::vector<std::uint8_t> pixels(pixel_count <= 1U << 28U ? static_cast<std::size_t>(pixel_count) * 3 + 1 : 1);
    const omniid_status status = omniid_draw_keypoints(landmarks.data(), width, height, 0, pixels.data());
    pixels.pop_back();
    return detail::finish(status, std::move(pixels));
}

} // namespace OMNIID_INLINE_NAMESPACE
} // namespace omniid

#endif
