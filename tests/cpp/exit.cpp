/*
 * The program ends while other threads are inside calls, with handles and a log callback of static storage, which are
 * destroyed at the end. It must end with the status that was asked for.
 *
 *     exit MODEL encode|inject|log
 */
#include "support.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace {

constexpr int status = 7;
constexpr int thread_count = 3;

// Threads hold their own references: destroying these does not free what a call uses.
std::shared_ptr<const omniid::Engine> engine;
std::shared_ptr<const omniid::Conditioning> conditioning;
std::optional<omniid::Log> log_callback;
std::atomic<int> inside{0};

void encode(std::shared_ptr<const omniid::Engine> own, std::string missing) {
    std::vector<std::vector<std::uint8_t>> pictures;
    for (unsigned i = 0; i < 8; i++) pictures.push_back(picture(i));
    std::vector<omniid::Photo> photos;
    for (const auto &pixels : pictures)
        photos.push_back(omniid::Photo::pixels(pixels, picture_width, picture_height).value());
    if (!missing.empty()) photos.push_back(omniid::Photo::file(missing)); // is logged
    for (;;) (void)own->encode(photos, {}, [](omniid::Progress) { inside++; });
}

void inject(std::shared_ptr<const omniid::Conditioning> own) {
    std::vector<float> query(512 * 16, 0.5F);
    std::vector<float> output(query.size());
    for (;;) {
        own->inject(omniid::InjectCall(0, omniid::TensorView(query.data(), {1, 512, 16}),
                                       omniid::TensorView(output.data(), {1, 512, 16})))
            .value();
        inside++;
    }
}

} // namespace

int main(int count, char **arguments) {
    if (count != 3) return 2;
    const std::string place = arguments[2];
    engine = std::make_shared<const omniid::Engine>(omniid::Engine::open(arguments[1]).value());
    const auto pixels = picture(0);
    const auto photo = omniid::Photo::pixels(pixels, picture_width, picture_height).value();
    conditioning =
        std::make_shared<const omniid::Conditioning>(engine->condition(engine->encode({photo})->identity).value());
    if (place == "log")
        log_callback = omniid::Log::install([](omniid::LogLevel, std::string_view, std::string_view) { inside++; },
                                            omniid::LogLevel::trace)
                           .value();
    for (int i = 0; i < thread_count; i++) {
        if (place == "inject")
            std::thread(inject, conditioning).detach();
        else
            std::thread(encode, engine, place == "log" ? "no-such-photo.jpg" : "").detach();
    }
    for (int waited = 0; inside < 10 * thread_count; waited++) {
        EXPECT(waited < 20000);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return status;
}
