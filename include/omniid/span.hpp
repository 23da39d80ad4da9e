/* omniid::span: std::span where the standard library has it, otherwise what of it this header needs. */
#ifndef OMNIID_SPAN_HPP
#define OMNIID_SPAN_HPP

#include "config.hpp"

#include <cstddef>

#if defined(__cpp_lib_span)
#include <span>
#else
#include <iterator>
#include <type_traits>
#include <utility>
#endif

namespace omniid {
inline namespace OMNIID_INLINE_NAMESPACE {

#if defined(__cpp_lib_span)

template <class T>
using span = std::span<T>;

#else

/// A sequence of `size()` elements in memory that it does not own.
template <class T>
class span {
  public:
    using element_type = T;
    using value_type = std::remove_cv_t<T>;
    using iterator = T *;

    /// No elements.
    constexpr span() noexcept = default;
    /// `size` elements from `data` on.
    constexpr span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}

    /// An array.
    template <std::size_t N>
    constexpr span(T (&array)[N]) noexcept : data_(array), size_(N) {}

    /// Anything with contiguous elements of this type: vector, array, string, another span.
    template <class Container,
              class = std::enable_if_t<
                  !std::is_same_v<std::remove_cv_t<std::remove_reference_t<Container>>, span> &&
                  !std::is_array_v<std::remove_reference_t<Container>> &&
                  std::is_convertible_v<std::remove_pointer_t<decltype(std::data(std::declval<Container &>()))> (*)[],
                                        T (*)[]> &&
                  std::is_convertible_v<decltype(std::size(std::declval<Container &>())), std::size_t>>>
    constexpr span(Container &&container) noexcept
        : data_(std::data(container)), size_(static_cast<std::size_t>(std::size(container))) {}

    /// The first element's address.
    [[nodiscard]] constexpr T *data() const noexcept { return data_; }
    /// Number of elements.
    [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
    /// Whether there are none.
    [[nodiscard]] constexpr bool empty() const noexcept { return size_ == 0; }
    /// One element; `index` must be below size().
    [[nodiscard]] constexpr T &operator[](std::size_t index) const noexcept { return data_[index]; }
    /// Start of the elements.
    [[nodiscard]] constexpr T *begin() const noexcept { return data_; }
    /// End of the elements.
    [[nodiscard]] constexpr T *end() const noexcept { return data_ + size_; }

    /// `count` elements from `offset` on; they must lie inside.
    [[nodiscard]] constexpr span subspan(std::size_t offset, std::size_t count) const noexcept {
        return {data_ + offset, count};
    }

  private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};

#endif

} // namespace OMNIID_INLINE_NAMESPACE
} // namespace omniid

#endif
