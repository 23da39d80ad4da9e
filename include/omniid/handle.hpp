/* The base of everything that owns a C handle. */
#ifndef OMNIID_HANDLE_HPP
#define OMNIID_HANDLE_HPP

#include "config.hpp"

#include <memory>

namespace omniid {
inline namespace OMNIID_INLINE_NAMESPACE {
namespace detail {

/// Owns one C handle: can be moved, not copied; frees it. Empty after it was moved from or released.
template <class T, void (*Free)(T *)>
class Handle {
  public:
    Handle() noexcept = default;
    explicit Handle(T *owned) noexcept : handle_(owned) {}

    /// The C handle, still owned here; NULL if empty.
    [[nodiscard]] T *get() const noexcept { return handle_.get(); }

    /// Gives the C handle to the caller, who frees it.
    [[nodiscard]] T *release() noexcept { return handle_.release(); }

    explicit operator bool() const noexcept { return handle_ != nullptr; }

  private:
    struct Deleter {
        void operator()(T *owned) const noexcept { Free(owned); }
    };

    std::unique_ptr<T, Deleter> handle_;
};

} // namespace detail
} // namespace OMNIID_INLINE_NAMESPACE
} // namespace omniid

#endif
