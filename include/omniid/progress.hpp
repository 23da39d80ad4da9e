/* Progress and cancellation of long calls. */
#ifndef OMNIID_PROGRESS_HPP
#define OMNIID_PROGRESS_HPP

#include "config.hpp"

#include <cstdint>
#include <type_traits>

#if !defined(OMNIID_NO_EXCEPTIONS)
#include <exception>
#endif

namespace omniid {
inline namespace OMNIID_INLINE_NAMESPACE {

/// What a long call is doing, and what its units are.
enum class Stage : std::int32_t {
    load = OMNIID_STAGE_LOAD,           ///< Weights are being read; tensors.
    photos = OMNIID_STAGE_PHOTOS,       ///< Photos are being decoded and cropped; photos.
    encode = OMNIID_STAGE_ENCODE,       ///< Photos are passing through the image encoder; photos.
    condition = OMNIID_STAGE_CONDITION, ///< Keys and values are being projected; host layers.
    save = OMNIID_STAGE_SAVE,           ///< A file is being written; tensors.
};

/// `done` of `total` units of a stage are finished.
struct Progress {
    Stage stage;         ///< What the call is doing.
    std::uint64_t done;  ///< Units that are finished.
    std::uint64_t total; ///< Units of the stage.
};

/// The default of every `progress` parameter: progress is not reported.
struct Silent {
    /// Does nothing.
    void operator()(Progress) const noexcept {}
};

namespace detail {

/// Carries one callable through a C call: `function()` and `user_data()` go in, `rethrow()` follows the call.
template <class F>
class ProgressBridge {
  public:
    explicit ProgressBridge(F &callable) noexcept : callable_(&callable) {}
    ProgressBridge(const ProgressBridge &) = delete;
    ProgressBridge &operator=(const ProgressBridge &) = delete;

    [[nodiscard]] static constexpr omniid_progress_fn function() noexcept {
        if constexpr (std::is_same_v<std::remove_cv_t<F>, Silent>) {
            return nullptr;
        } else {
            return &call;
        }
    }

    [[nodiscard]] void *user_data() noexcept { return this; }

    /// Lets out what the callable threw during the call, if it did.
    void rethrow() {
#if !defined(OMNIID_NO_EXCEPTIONS)
        if (thrown_) std::rethrow_exception(thrown_);
#endif
    }

  private:
    static std::int32_t call(void *user_data, std::int32_t stage, std::uint64_t done, std::uint64_t total) noexcept {
        auto *self = static_cast<ProgressBridge *>(user_data);
        const Progress progress{static_cast<Stage>(stage), done, total};
#if defined(OMNIID_NO_EXCEPTIONS)
        return self->ask(progress);
#else
        try {
            return self->ask(progress);
        } catch (...) {
            self->thrown_ = std::current_exception();
            return 1;
        }
#endif
    }

    std::int32_t ask(Progress progress) {
        if constexpr (std::is_void_v<decltype((*callable_)(progress))>) {
            (*callable_)(progress);
            return 0;
        } else {
            return static_cast<bool>((*callable_)(progress)) ? 0 : 1;
        }
    }

    F *callable_;
#if !defined(OMNIID_NO_EXCEPTIONS)
    std::exception_ptr thrown_;
#endif
};

} // namespace detail
} // namespace OMNIID_INLINE_NAMESPACE
} // namespace omniid

#endif
