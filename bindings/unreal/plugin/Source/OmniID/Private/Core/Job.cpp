#include "Job.h"

#include <algorithm>
#include <utility>

namespace omniid_plugin {

namespace {

constexpr unsigned count_bits = 28;
constexpr std::uint64_t count_mask = (std::uint64_t{1} << count_bits) - 1;

} // namespace

JobProgress Job::progress() const noexcept {
    const std::uint64_t packed = progress_.load(std::memory_order_relaxed);
    return {static_cast<omniid::Stage>(packed >> (2 * count_bits)),
            static_cast<std::uint32_t>(packed >> count_bits & count_mask),
            static_cast<std::uint32_t>(packed & count_mask)};
}

bool Job::operator()(omniid::Progress progress) noexcept {
    // More than 28 bits of tensors, photos or layers do not exist.
    const std::uint64_t total = std::min(progress.total, count_mask), done = std::min(progress.done, total);
    const auto stage = static_cast<std::uint64_t>(progress.stage) & 0xff;
    progress_.store(stage << (2 * count_bits) | done << count_bits | total, std::memory_order_relaxed);
    return !cancelled();
}

RunningJobs::Entry &RunningJobs::Entry::operator=(Entry &&other) noexcept {
    if (this != &other) {
        end();
        all_ = std::exchange(other.all_, nullptr);
        job_ = std::move(other.job_);
    }
    return *this;
}

void RunningJobs::Entry::end() noexcept {
    if (all_ == nullptr) return;
    {
        const std::lock_guard<std::mutex> lock(all_->mutex_);
        auto &jobs = all_->jobs_;
        jobs.erase(std::remove(jobs.begin(), jobs.end(), job_), jobs.end());
        // Notified under the lock: the waiting thread may destroy the list as soon as the lock is free.
        all_->ended_.notify_all();
    }
    all_ = nullptr;
    job_.reset();
}

RunningJobs::Entry RunningJobs::begin(std::shared_ptr<Job> job) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!open_) return {};
    jobs_.push_back(job);
    return Entry(*this, std::move(job));
}

void RunningJobs::shut_down() {
    std::unique_lock<std::mutex> lock(mutex_);
    open_ = false;
    for (const std::shared_ptr<Job> &job : jobs_) job->cancel();
    ended_.wait(lock, [this] { return jobs_.empty(); });
}

void RunningJobs::start() {
    const std::lock_guard<std::mutex> lock(mutex_);
    open_ = true;
}

std::size_t RunningJobs::count() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return jobs_.size();
}

} // namespace omniid_plugin
