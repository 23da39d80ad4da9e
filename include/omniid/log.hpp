/* Log messages of the library. */
#ifndef OMNIID_LOG_HPP
#define OMNIID_LOG_HPP

#include "config.hpp"
#include "error.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

namespace omniid {
inline namespace OMNIID_INLINE_NAMESPACE {

/// How serious a log message is.
enum class LogLevel : std::int32_t {
    error = OMNIID_LOG_LEVEL_ERROR, ///< A failure.
    warn = OMNIID_LOG_LEVEL_WARN,   ///< Something was skipped or looks wrong; the call continues.
    info = OMNIID_LOG_LEVEL_INFO,   ///< Information for users.
    debug = OMNIID_LOG_LEVEL_DEBUG, ///< Information for developers of a host.
    trace = OMNIID_LOG_LEVEL_TRACE, ///< Everything.
};

/// Receives log messages, on the threads on which they arise, possibly several at once. What it throws is dropped,
/// because a log message has no caller to tell.
using LogFunction = std::function<void(LogLevel level, std::string_view target, std::string_view message)>;

/// The log callback of the process, for as long as this object lives. A later one takes over; the end of the earlier
/// one then only frees its callback.
class Log {
  public:
    /// Installs `function` for messages up to `max_level`.
    [[nodiscard]] static Result<Log> install(LogFunction function, LogLevel max_level = LogLevel::warn) {
        auto kept = std::make_unique<LogFunction>(std::move(function));
        const omniid_status status = omniid_log_set(&call, kept.get(), static_cast<std::int32_t>(max_level));
        if (status == OMNIID_STATUS_OK) current() = kept.get();
        return detail::finish(status, Log(status == OMNIID_STATUS_OK ? std::move(kept) : nullptr));
    }

    /// Moves the callback.
    Log(Log &&) noexcept = default;
    Log(const Log &) = delete;
    Log &operator=(const Log &) = delete;
    /// Removes the present callback and moves the other one here.
    Log &operator=(Log &&other) noexcept {
        if (this != &other) {
            remove();
            function_ = std::move(other.function_);
        }
        return *this;
    }
    /// Removes the callback, once its calls have ended.
    ~Log() { remove(); }

  private:
    explicit Log(std::unique_ptr<LogFunction> function) noexcept : function_(std::move(function)) {}

    void remove() noexcept {
        if (function_ != nullptr && current() == function_.get()) {
            current() = nullptr;
            // Returns after the last call of the callback has ended: it may be freed then.
            omniid_log_set(nullptr, nullptr, 0);
        }
        function_.reset();
    }

    static void call(void *user_data, std::int32_t level, const char *target, const char *message) noexcept {
        const auto &function = *static_cast<const LogFunction *>(user_data);
#if defined(OMNIID_NO_EXCEPTIONS)
        function(static_cast<LogLevel>(level), target, message);
#else
        try {
            function(static_cast<LogLevel>(level), target, message);
        } catch (...) {
        }
#endif
    }

    /// The callback that is installed. Installing and removing is for one thread at a time.
    static const LogFunction *&current() noexcept {
        static const LogFunction *installed = nullptr;
        return installed;
    }

    std::unique_ptr<LogFunction> function_;
};

} // namespace OMNIID_INLINE_NAMESPACE
} // namespace omniid

#endif
