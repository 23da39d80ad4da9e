/*
 * A long call that runs on one thread and is watched from another, and the list of all running calls.
 *
 * The files in this folder are plain C++17 and do not depend on Unreal. They are tested without it.
 */
#pragma once

#include "OmniIDNative.h"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace omniid_plugin {

/// Progress of a long call.
struct JobProgress {
    omniid::Stage stage = omniid::Stage::load;
    std::uint32_t done = 0;
    std::uint32_t total = 0; ///< 0 until the first report.

    /// Share of this stage that is finished, 0 to 1.
    [[nodiscard]] double fraction() const noexcept { return total == 0 ? 0.0 : static_cast<double>(done) / total; }
};

/// Shared by the thread of a long call and those that watch it. Every function may be called on any thread.
class Job {
  public:
    /// Stops the call at its next report.
    void cancel() noexcept { cancelled_.store(true, std::memory_order_relaxed); }
    [[nodiscard]] bool cancelled() const noexcept { return cancelled_.load(std::memory_order_relaxed); }

    /// The progress at one moment.
    [[nodiscard]] JobProgress progress() const noexcept;

    /// The callable for the call's `progress` parameter.
    [[nodiscard]] bool operator()(omniid::Progress progress) noexcept;

  private:
    std::atomic<bool> cancelled_{false};
    /// Stage, done and total in one number, so that they are read together: 8, 28 and 28 bits.
    std::atomic<std::uint64_t> progress_{0};
};

/// The running long calls. The plugin must not be unloaded before they have ended.
class RunningJobs {
  public:
    /// One running job, which ends when this object is destroyed.
    class Entry {
      public:
        Entry() noexcept = default;
        Entry(RunningJobs &all, std::shared_ptr<Job> job) noexcept : all_(&all), job_(std::move(job)) {}
        Entry(Entry &&other) noexcept : all_(other.all_), job_(std::move(other.job_)) { other.all_ = nullptr; }
        Entry &operator=(Entry &&other) noexcept;
        Entry(const Entry &) = delete;
        Entry &operator=(const Entry &) = delete;
        ~Entry() { end(); }

        /// False if no more jobs may begin.
        explicit operator bool() const noexcept { return all_ != nullptr; }

      private:
        void end() noexcept;

        RunningJobs *all_ = nullptr;
        std::shared_ptr<Job> job_;
    };

    /// Begins a job. Empty after shut_down().
    [[nodiscard]] Entry begin(std::shared_ptr<Job> job);

    /// Cancels all jobs, waits for them, and lets no more begin.
    void shut_down();

    /// Lets jobs begin again.
    void start();

    [[nodiscard]] std::size_t count() const;

  private:
    mutable std::mutex mutex_;
    std::condition_variable ended_;
    std::vector<std::shared_ptr<Job>> jobs_;
    bool open_ = true;
};

} // namespace omniid_plugin
