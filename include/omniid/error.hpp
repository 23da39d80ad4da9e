/* Status, Error and Result: how calls fail. */
#ifndef OMNIID_ERROR_HPP
#define OMNIID_ERROR_HPP

#include "config.hpp"

#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#if defined(OMNIID_NO_EXCEPTIONS)
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <variant>
#endif

namespace omniid {
inline namespace OMNIID_INLINE_NAMESPACE {

/// The class of an error. A newer library may know more: treat an unknown one as a failure.
enum class Status : std::int32_t {
    ok = OMNIID_STATUS_OK,
    invalid_argument = OMNIID_STATUS_INVALID_ARGUMENT,
    io = OMNIID_STATUS_IO,
    format = OMNIID_STATUS_FORMAT,
    unsupported = OMNIID_STATUS_UNSUPPORTED,
    mismatch = OMNIID_STATUS_MISMATCH,
    no_face = OMNIID_STATUS_NO_FACE,
    limit_exceeded = OMNIID_STATUS_LIMIT_EXCEEDED,
    cancelled = OMNIID_STATUS_CANCELLED,
    device = OMNIID_STATUS_DEVICE,
    abi_mismatch = OMNIID_STATUS_ABI_MISMATCH,
    internal = OMNIID_STATUS_INTERNAL,
};

/// A short English text for a status.
[[nodiscard]] inline const char *status_text(Status status) noexcept {
    return omniid_status_text(static_cast<omniid_status>(status));
}

/// Why a call failed: its class, and in what() what failed, the value seen and what would be right.
class Error : public std::runtime_error {
  public:
    Error(Status status, const std::string &message) : std::runtime_error(message), status_(status) {}

    [[nodiscard]] Status status() const noexcept { return status_; }

  private:
    Status status_;
};

#if defined(OMNIID_NO_EXCEPTIONS)

/// The value of a call, or why there is none. Named as in std::expected.
template <class T>
class [[nodiscard]] Result {
  public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    [[nodiscard]] bool has_value() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    /// The value. Ends the program with the error's message if there is none: ask has_value() first.
    [[nodiscard]] T &value() & { return *checked(std::get_if<0>(&state_)); }
    [[nodiscard]] const T &value() const & { return *checked(std::get_if<0>(&state_)); }
    [[nodiscard]] T &&value() && { return std::move(*checked(std::get_if<0>(&state_))); }
    [[nodiscard]] T &operator*() & { return value(); }
    [[nodiscard]] const T &operator*() const & { return value(); }
    [[nodiscard]] T &&operator*() && { return std::move(*this).value(); }
    [[nodiscard]] T *operator->() { return &value(); }
    [[nodiscard]] const T *operator->() const { return &value(); }

    /// The error. Ends the program if there is none.
    [[nodiscard]] const Error &error() const {
        const Error *error = std::get_if<1>(&state_);
        if (error == nullptr) {
            std::fputs("omniid: error() of a Result that has a value\n", stderr);
            std::abort();
        }
        return *error;
    }

  private:
    template <class U>
    U *checked(U *value) const {
        if (value == nullptr) {
            std::fprintf(stderr, "omniid: value() of a failed call: %s\n", error().what());
            std::abort();
        }
        return value;
    }

    std::variant<T, Error> state_;
};

/// Whether a call without a value succeeded.
template <>
class [[nodiscard]] Result<void> {
  public:
    Result() = default;
    Result(Error error) : error_(std::move(error)) {}

    [[nodiscard]] bool has_value() const noexcept { return !error_.has_value(); }
    explicit operator bool() const noexcept { return has_value(); }

    /// Ends the program with the error's message if the call failed.
    void value() const {
        if (error_.has_value()) {
            std::fprintf(stderr, "omniid: value() of a failed call: %s\n", error_->what());
            std::abort();
        }
    }

    /// The error. Ends the program if there is none.
    [[nodiscard]] const Error &error() const {
        if (!error_.has_value()) {
            std::fputs("omniid: error() of a Result that has a value\n", stderr);
            std::abort();
        }
        return *error_;
    }

  private:
    std::optional<Error> error_;
};

#else

/// What a call returns: the value itself, since failures throw.
template <class T>
using Result = T;

#endif

namespace detail {

/// The calling thread's last error. Called in the same function as the failed C call, so on its thread.
[[nodiscard]] inline Error last_error(omniid_status status) {
    const char *message = omniid_last_error();
    return Error(static_cast<Status>(status), *message != '\0' ? message : omniid_status_text(status));
}

/// Fails with a message of this header's own.
[[nodiscard]] inline Error wrong_argument(const char *message) { return Error(Status::invalid_argument, message); }

#if defined(OMNIID_NO_EXCEPTIONS)
template <class T>
Result<std::decay_t<T>> finish(omniid_status status, T &&value) {
    if (status != OMNIID_STATUS_OK) return last_error(status);
    return Result<std::decay_t<T>>(std::forward<T>(value));
}

inline Result<void> finish(omniid_status status) {
    if (status != OMNIID_STATUS_OK) return last_error(status);
    return {};
}

template <class T>
Result<T> fail(Error error) {
    return Result<T>(std::move(error));
}
#else
[[noreturn]] inline void throw_last_error(omniid_status status) { throw last_error(status); }

template <class T>
std::decay_t<T> finish(omniid_status status, T &&value) {
    if (status != OMNIID_STATUS_OK) throw_last_error(status);
    return std::forward<T>(value);
}

inline void finish(omniid_status status) {
    if (status != OMNIID_STATUS_OK) throw_last_error(status);
}

template <class T>
[[noreturn]] T fail(const Error &error) {
    throw error;
}
#endif

} // namespace detail
} // namespace OMNIID_INLINE_NAMESPACE
} // namespace omniid

#endif
