/* The versions of the loaded library; those of the header are OMNIID_VERSION and OMNIID_ABI_VERSION. */
#ifndef OMNIID_VERSION_HPP
#define OMNIID_VERSION_HPP

#include "config.hpp"

#include <cstdint>

namespace omniid {
inline namespace OMNIID_INLINE_NAMESPACE {

/// The release of the loaded library, such as `0.2.0`.
[[nodiscard]] inline const char *version() noexcept { return omniid_version(); }

/// The ABI version of the loaded library, `major << 16 | minor`.
[[nodiscard]] inline std::uint32_t abi_version() noexcept { return omniid_abi_version(); }

/// Whether the loaded library can serve this program. Engine::open checks this by itself.
[[nodiscard]] inline bool abi_compatible() noexcept { return abi_version() >> 16 == OMNIID_ABI_MAJOR; }

} // namespace OMNIID_INLINE_NAMESPACE
} // namespace omniid

#endif
