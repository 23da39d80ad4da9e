/* The long calls of the library, with inputs that they own: they may outlive their callers, on any thread. */
#pragma once

#include "Job.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace omniid_plugin {

/// Pixels as Unreal has them: 8 bits, blue, green, red, alpha, rows from top to bottom without gaps.
struct Pixels {
    std::vector<std::uint8_t> bgra;
    std::uint32_t width = 0;
    std::uint32_t height = 0;
};

/// A photo that owns its file name, bytes or pixels.
struct PhotoSource {
    /// A file, the bytes of one, or pixels. Paths are UTF-8.
    std::variant<std::string, std::vector<std::byte>, Pixels> content;
    /// Which face is meant: the index-th largest, or the one in a box; the largest by default.
    std::variant<std::monostate, std::uint32_t, omniid::FaceBox> face;
};

/// An identity and what became of each photo.
struct EncodedPhotos {
    IdentityPtr identity;
    std::vector<omniid::PhotoReport> photos;
};

/// One person to condition on.
struct PersonToInject {
    IdentityPtr identity;
    float scale = 1.0F;
    /// First and last share of sampling at which it is injected.
    std::array<double, 2> fractions{0.0, 1.0};
};

/// Opens a model.
[[nodiscard]] omniid::Result<EnginePtr> open_engine(const omniid::EngineOptions &options, Job &job);

/// Makes an identity of photos; with `extended`, of that identity and the photos.
[[nodiscard]] omniid::Result<EncodedPhotos> encode(const EnginePtr &engine, const IdentityPtr &extended,
                                                   const std::vector<PhotoSource> &photos,
                                                   const omniid::EncodeOptions &options, Job &job);

/// Projects the keys and values of people.
[[nodiscard]] omniid::Result<ConditioningPtr> condition(const EnginePtr &engine,
                                                        const std::vector<PersonToInject> &people,
                                                        const omniid::ConditioningOptions &options, Job &job);

} // namespace omniid_plugin
