/* The base of everything that owns a C handle. */
#ifndef OMNIID_HANDLE_HPP
#define OMNIID_HANDLE_HPP

#include "config.hpp"

#include <memory>

namespace omniid {
inline namespace OMNIID_INLINE_NAMESPACE {
namespace detail {

/// Owns one C handle and frees it. Can be moved, not copied. Empty after it was moved from or released.
template <class T, void (*Free)(T *)>
class Handle {
  public:
    /// Empty.
    Handle() noexcept = default;
    /// Takes a C handle over; NULL makes an empty one.
    explicit Handle(T *owned) noexcept : handle_(owned) {}

    /// The C handle, which stays owned by this object; NULL if empty.
    [[nodiscard]] T *get() const noexcept { return handle_.get(); }

    /// Gives the C handle to the caller, who frees it.
    [[nodiscard]] T *release() noexcept { return handle_.release(); }

    /// Whether it is not empty.
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
