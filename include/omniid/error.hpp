/* Status, Error and Result: how calls fail. */
#ifndef OMNIID_ERROR_HPP
#define OMNIID_ERROR_HPP

#include "config.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace omniid {
inline namespace OMNIID_INLINE_NAMESPACE {

/// The class of an error. A newer library may have more: treat an unknown one as a failure.
enum class Status : std::int32_t {
    ok = OMNIID_STATUS_OK,                             ///< Success.
    invalid_argument = OMNIID_STATUS_INVALID_ARGUMENT, ///< A parameter has a value that is never valid.
    io = OMNIID_STATUS_IO,                             ///< An operation of the system failed: no such file, disk full.
    format = OMNIID_STATUS_FORMAT,                     ///< A file or a buffer is malformed.
    unsupported = OMNIID_STATUS_UNSUPPORTED,           ///< Well-formed, but not supported by this build.
    mismatch = OMNIID_STATUS_MISMATCH,                 ///< Two inputs do not belong together.
    no_face = OMNIID_STATUS_NO_FACE,                   ///< No usable face in any of the photos.
    limit_exceeded = OMNIID_STATUS_LIMIT_EXCEEDED,     ///< An input exceeds a limit of the engine options.
    cancelled = OMNIID_STATUS_CANCELLED,               ///< The progress callback cancelled the call.
    device = OMNIID_STATUS_DEVICE,                     ///< The GPU, its driver or its libraries failed.
    abi_mismatch = OMNIID_STATUS_ABI_MISMATCH,         ///< The program was built for another ABI version.
    internal = OMNIID_STATUS_INTERNAL,                 ///< A defect in OmniID.
};

/// A short English description of a status.
[[nodiscard]] inline const char *status_text(Status status) noexcept {
    return omniid_status_text(static_cast<omniid_status>(status));
}

/// Why a call failed: its status, and in what() what failed, the value seen and what was expected.
class Error : public std::runtime_error {
  public:
    /// An error with a message of the caller's own.
    Error(Status status, const std::string &message) : std::runtime_error(message), status_(status) {}

    /// The class of the error.
    [[nodiscard]] Status status() const noexcept { return status_; }

  private:
    Status status_;
};

namespace detail {

/// Somebody wants the value of a failed call: throws the error, or ends the program where exceptions are off.
[[noreturn]] inline void no_value(const Error &error) {
#if defined(OMNIID_NO_EXCEPTIONS)
    std::fprintf(stderr, "omniid: value() of a failed call: %s\n", error.what());
    std::abort();
#else
    throw error;
#endif
}

/// The error of a call, if it failed.
[[nodiscard]] inline const Error &existing(const Error *error) {
    if (error == nullptr) {
        std::fputs("omniid: error() of a call that succeeded\n", stderr);
        std::abort();
    }
    return *error;
}

} // namespace detail

/// What a call returns: its value, or the error that it failed with. Named as std::expected.
///
/// value(), `*` and `->` of a failed call throw the Error; where exceptions are off, they print its message and end the
/// program. error() of a call that succeeded ends the program.
template <class T>
class [[nodiscard]] Result {
  public:
    /// A success.
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    /// A failure.
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    /// Whether the call succeeded.
    [[nodiscard]] bool has_value() const noexcept { return state_.index() == 0; }
    /// Whether the call succeeded.
    explicit operator bool() const noexcept { return has_value(); }

    /// The value.
    [[nodiscard]] T &value() & { return checked(*this); }
    [[nodiscard]] const T &value() const & { return checked(*this); }
    [[nodiscard]] T &&value() && { return std::move(checked(*this)); }
    /// The value.
    [[nodiscard]] T &operator*() & { return value(); }
    [[nodiscard]] const T &operator*() const & { return value(); }
    [[nodiscard]] T &&operator*() && { return std::move(*this).value(); }
    /// A member of the value.
    [[nodiscard]] T *operator->() { return &value(); }
    [[nodiscard]] const T *operator->() const { return &value(); }

    /// The error of a failed call.
    [[nodiscard]] const Error &error() const { return detail::existing(std::get_if<1>(&state_)); }

  private:
    template <class Self>
    static auto &checked(Self &self) {
        if (auto *value = std::get_if<0>(&self.state_)) return *value;
        detail::no_value(self.error());
    }

    std::variant<T, Error> state_;
};

/// What a call without a value returns: success, or the error that it failed with.
template <>
class [[nodiscard]] Result<void> {
  public:
    /// A success.
    Result() = default;
    /// A failure.
    Result(Error error) : error_(std::move(error)) {}

    /// Whether the call succeeded.
    [[nodiscard]] bool has_value() const noexcept { return !error_.has_value(); }
    /// Whether the call succeeded.
    explicit operator bool() const noexcept { return has_value(); }

    /// Does nothing after a success; throws the error of a failed call, or ends the program where exceptions are off.
    void value() const {
        if (error_.has_value()) detail::no_value(*error_);
    }

    /// The error of a failed call.
    [[nodiscard]] const Error &error() const { return detail::existing(error_.has_value() ? &*error_ : nullptr); }

  private:
    std::optional<Error> error_;
};

namespace detail {

/// The calling thread's last error. Called in the same function as the failed C call, so on its thread.
[[nodiscard]] inline Error last_error(omniid_status status) {
    const char *message = omniid_last_error();
    return Error(static_cast<Status>(status), *message != '\0' ? message : omniid_status_text(status));
}

/// The result of a C call that gives a value.
template <class T>
Result<std::decay_t<T>> finish(omniid_status status, T &&value) {
    if (status != OMNIID_STATUS_OK) return last_error(status);
    return Result<std::decay_t<T>>(std::forward<T>(value));
}

/// The result of a C call that gives none.
inline Result<void> finish(omniid_status status) {
    if (status != OMNIID_STATUS_OK) return last_error(status);
    return {};
}

} // namespace detail
} // namespace OMNIID_INLINE_NAMESPACE
} // namespace omniid

#endif
