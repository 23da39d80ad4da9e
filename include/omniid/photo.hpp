/* Photos, and the faces in them. */
#ifndef OMNIID_PHOTO_HPP
#define OMNIID_PHOTO_HPP

#include "config.hpp"
#include "error.hpp"
#include "span.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace omniid {
inline namespace OMNIID_INLINE_NAMESPACE {

/// Order of the channels of raw pixels; alpha is ignored.
enum class ChannelOrder : std::int32_t {
    rgb = OMNIID_CHANNEL_ORDER_RGB,
    rgba = OMNIID_CHANNEL_ORDER_RGBA,
    bgr = OMNIID_CHANNEL_ORDER_BGR,
    bgra = OMNIID_CHANNEL_ORDER_BGRA,
};

/// Left, top, right, bottom in pixels of the upright photo.
using Box = std::array<float, 4>;

/// x and y of the eye at the image's left, the eye at its right, the nose tip, the mouth corner at its left and the one
/// at its right, in pixels of the upright photo.
using Landmarks = std::array<float, 10>;

/// A face in a photo.
struct Face {
    float score = 0.0F; ///< Confidence, 0 to 1.
    Box bounds{};
    Landmarks landmarks{};
};

/// One photo of a person: a file, an encoded file in memory, or pixels. Without more said, the largest face that the
/// detector finds is meant.
class Photo {
  public:
    /// A JPEG, PNG, WebP, BMP or TIFF file. The path is kept; in the system's own encoding on Unix, UTF-8 on Windows.
    [[nodiscard]] static Photo file(std::string path) {
        Photo photo;
        photo.path_ = std::move(path);
        photo.has_path_ = true;
        return photo;
    }

    /// The bytes of such a file, which must live until the photo was used.
    [[nodiscard]] static Photo encoded(span<const std::byte> bytes) noexcept {
        Photo photo;
        photo.c_.data = bytes.data();
        photo.c_.data_size = bytes.size();
        return photo;
    }

    /// 8-bit pixels, rows from top to bottom, which must live until the photo was used. `row_stride` is in bytes; 0 for rows
    /// without gaps. Fails with Status::invalid_argument when `pixels` is too short for the picture.
    [[nodiscard]] static Result<Photo> pixels(span<const std::uint8_t> pixels, std::uint32_t width, std::uint32_t height,
                                              ChannelOrder order = ChannelOrder::rgb, std::size_t row_stride = 0) {
        return raw(pixels.data(), pixels.size(), 1, OMNIID_PIXEL_TYPE_U8, width, height, order, row_stride);
    }

    /// Pixels of 0 to 1, sRGB-encoded like 8-bit ones; otherwise as above.
    [[nodiscard]] static Result<Photo> pixels(span<const float> pixels, std::uint32_t width, std::uint32_t height,
                                              ChannelOrder order = ChannelOrder::rgb, std::size_t row_stride = 0) {
        return raw(pixels.data(), pixels.size(), sizeof(float), OMNIID_PIXEL_TYPE_F32, width, height, order, row_stride);
    }

    /// Means the `index`-th largest face; 0 is the largest.
    Photo &face_index(std::uint32_t index) noexcept {
        c_.face_hint = OMNIID_FACE_HINT_INDEX;
        c_.face_index = index;
        return *this;
    }

    /// Means the face in a box; no detector is needed.
    Photo &face_box(const Box &box) noexcept {
        c_.face_hint = OMNIID_FACE_HINT_BOX;
        std::copy(box.begin(), box.end(), c_.face_box);
        return *this;
    }

    /// Means the face with these landmarks; no detector is needed.
    Photo &face_landmarks(const Landmarks &landmarks) noexcept {
        c_.face_hint = OMNIID_FACE_HINT_LANDMARKS;
        std::copy(landmarks.begin(), landmarks.end(), c_.face_landmarks);
        return *this;
    }

    /// As the C ABI takes it; valid while this photo lives and stays where it is.
    [[nodiscard]] omniid_photo c() const noexcept {
        omniid_photo photo = c_;
        if (has_path_) photo.path = path_.c_str();
        return photo;
    }

  private:
    Photo() = default;

    static Result<Photo> raw(const void *data, std::size_t count, std::size_t size, std::int32_t type, std::uint32_t width,
                             std::uint32_t height, ChannelOrder order, std::size_t row_stride) {
        const std::size_t channels = order == ChannelOrder::rgb || order == ChannelOrder::bgr ? 3 : 4;
        const std::size_t row = std::size_t{width} * channels * size;
        const std::size_t stride = row_stride == 0 ? row : row_stride;
        // The last row needs no gap behind it. Compared by division: a product may overflow.
        const std::size_t available = count > std::numeric_limits<std::size_t>::max() / size ? 0 : count * size;
        const bool fits = height == 0 || width == 0 ||
                          (stride >= row && available >= row && (available - row) / stride >= std::size_t{height} - 1);
        if (!fits) return detail::fail<Photo>(detail::wrong_argument("photo: the pixels are fewer than width, height and row stride say"));
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
    bool has_path_ = false;
};

/// How faces are detected. What is not set has the library's default; see omniid_detect_options.
struct DetectOptions {
    omniid_detect_options c = OMNIID_DETECT_OPTIONS_INIT;

    DetectOptions &score_threshold(float least) noexcept { return c.score_threshold = least, *this; }
    DetectOptions &overlap_threshold(float most) noexcept { return c.overlap_threshold = most, *this; }
    DetectOptions &side(std::uint32_t pixels) noexcept { return c.side = pixels, *this; }
    DetectOptions &fine_side(std::uint32_t pixels) noexcept { return c.fine_side = pixels, *this; }
    DetectOptions &exhaustive(bool on = true) noexcept { return c.exhaustive = on ? 1 : 0, *this; }
    DetectOptions &upright_only(bool on = true) noexcept { return c.upright_only = on ? 1 : 0, *this; }
};

namespace detail {

/// The photos as the C ABI takes them: an array of its structs.
[[nodiscard]] inline std::vector<omniid_photo> to_c(span<const Photo> photos) {
    std::vector<omniid_photo> structs;
    structs.reserve(photos.size());
    for (const Photo &photo : photos) structs.push_back(photo.c());
    return structs;
}

} // namespace detail
} // namespace OMNIID_INLINE_NAMESPACE
} // namespace omniid

#endif
