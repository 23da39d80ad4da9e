/* The engine-independent part, against the wrapper itself. No Unreal, nor a stand-in of it. */
#include "Core/Calls.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

using namespace omniid_plugin;

#define EXPECT(condition)                                                        \
    do {                                                                         \
        if (!(condition)) {                                                      \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            std::exit(1);                                                        \
        }                                                                        \
    } while (0)

namespace {

std::string model_path, photo_path;

EnginePtr open() {
    Job job;
    auto engine = open_engine(omniid::EngineOptions(model_path), job);
    EXPECT(engine.has_value());
    EXPECT(job.progress().total > 0 && job.progress().fraction() == 1.0 && job.progress().stage == omniid::Stage::load);
    return *engine;
}

std::vector<std::byte> read(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> chars((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    std::vector<std::byte> bytes(chars.size());
    std::memcpy(bytes.data(), chars.data(), chars.size());
    return bytes;
}

/// A drawn picture; `rgb` has the same in another order.
Pixels picture(unsigned number, std::vector<std::uint8_t> *rgb = nullptr) {
    Pixels pixels{{}, 64, 48};
    for (unsigned i = 0; i < 64 * 48; i++) {
        const std::uint8_t colour[3] = {static_cast<std::uint8_t>(i * (number + 3) / 16),
                                        static_cast<std::uint8_t>(i / 12 + number),
                                        static_cast<std::uint8_t>(i % 64 * 4)};
        for (const int channel : {2, 1, 0}) pixels.bgra.push_back(colour[channel]);
        pixels.bgra.push_back(7); // alpha, which does not count
        if (rgb != nullptr) rgb->insert(rgb->end(), colour, colour + 3);
    }
    return pixels;
}

PhotoSource source(Pixels pixels) { return {std::move(pixels), {}}; }

std::vector<float> tokens(const omniid::Identity &identity) {
    const auto tensor = identity.tokens();
    EXPECT(tensor.has_value());
    const auto floats = tensor->floats();
    return {floats.begin(), floats.end()};
}

void progress_is_read_as_one() {
    Job job;
    EXPECT(job.progress().total == 0 && job.progress().fraction() == 0.0);
    for (const std::uint64_t total : {std::uint64_t{1}, std::uint64_t{40}, (std::uint64_t{1} << 28) - 1}) {
        for (const std::uint64_t done : {std::uint64_t{0}, total / 3, total}) {
            for (const omniid::Stage stage : {omniid::Stage::load, omniid::Stage::encode, omniid::Stage::save}) {
                EXPECT(job({stage, done, total}));
                const JobProgress now = job.progress();
                EXPECT(now.stage == stage && now.done == done && now.total == total);
                EXPECT(now.fraction() == static_cast<double>(done) / static_cast<double>(total));
            }
        }
    }
    EXPECT(job({omniid::Stage::load, ~std::uint64_t{0}, ~std::uint64_t{0}}) && job.progress().fraction() == 1.0);
    job.cancel();
    EXPECT(job.cancelled() && !job({omniid::Stage::load, 1, 2}));
}

void photos_of_every_kind() {
    const EnginePtr engine = open();
    std::vector<std::uint8_t> rgb;
    const Pixels pixels = picture(1, &rgb);
    Job job;
    const auto encoded = encode(engine, nullptr, {{photo_path, {}}, {read(photo_path), {}}, source(pixels)},
        omniid::EncodeOptions().label("Anna"), job);
    EXPECT(encoded.has_value());
    const auto direct = engine->encode({omniid::Photo::file(photo_path), omniid::Photo::file(photo_path),
                                        *omniid::Photo::pixels(omniid::span<const std::uint8_t>(rgb), 64, 48)});
    EXPECT(direct.has_value());
    EXPECT(tokens(*encoded->identity) == tokens(direct->identity));
    EXPECT(encoded->identity->describe()->label == "Anna" && encoded->identity->describe()->photos == 3);
    EXPECT(encoded->photos.size() == 3 && encoded->photos[0].name == photo_path);
    for (const omniid::PhotoReport &photo : encoded->photos) {
        EXPECT(photo.status == omniid::Status::ok && !photo.bounds.has_value());
    }
    EXPECT(job.progress().total == 3 && job.progress().fraction() == 1.0);
}

void extending_and_bad_photos() {
    const EnginePtr engine = open();
    Job job;
    const auto first = encode(engine, nullptr, {source(picture(1))}, {}, job);
    EXPECT(first.has_value());
    const auto longer = encode(engine, first->identity, {source(picture(2)), {read(model_path), {}}}, {}, job);
    EXPECT(longer.has_value() && longer->identity->describe()->photos == 2);
    EXPECT(longer->photos[0].status == omniid::Status::ok && longer->photos[1].status == omniid::Status::format);
    EXPECT(!longer->photos[1].reason.empty());
    const auto at_once = encode(engine, nullptr, {source(picture(1)), source(picture(2))}, {}, job);
    const std::vector<float> a = tokens(*longer->identity), b = tokens(*at_once->identity);
    EXPECT(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); i++) EXPECT(std::abs(a[i] - b[i]) <= 1e-5F);
    const auto strict = encode(engine, nullptr, {{read(model_path), {}}, source(picture(2))},
        omniid::EncodeOptions().fail_on_bad_photo(), job);
    EXPECT(!strict.has_value() && strict.error().status() == omniid::Status::format);
}

void faces() {
    const EnginePtr engine = open();
    Job job;
    const omniid::EncodeOptions cut = omniid::EncodeOptions().crop(omniid::Crop::face);
    const omniid::FaceBox box{4, 4, 30, 34};
    const auto boxed = encode(engine, nullptr, {{picture(1), box}}, cut, job);
    EXPECT(boxed.has_value() && boxed->photos[0].bounds.has_value());
    const auto whole = encode(engine, nullptr, {source(picture(1))}, {}, job);
    EXPECT(tokens(*boxed->identity) != tokens(*whole->identity));
    // The example model has no detector: the number of a face needs one.
    const auto second = encode(engine, nullptr, {{picture(1), std::uint32_t{1}}}, cut, job);
    EXPECT(!second.has_value());
}

// So many photos that a call is still running when this thread, however late, asks it to stop.
std::vector<PhotoSource> long_work() {
    std::vector<PhotoSource> photos;
    for (unsigned i = 0; i < 2000; i++) photos.push_back(source(picture(i)));
    return photos;
}

void cancelling() {
    const EnginePtr engine = open();
    const std::vector<PhotoSource> many = long_work();
    Job before;
    before.cancel();
    auto result = encode(engine, nullptr, many, omniid::EncodeOptions().batch_size(1), before);
    EXPECT(!result.has_value() && result.error().status() == omniid::Status::cancelled);
    Job during;
    std::thread watcher([&] {
        while (during.progress().total == 0) std::this_thread::yield();
        during.cancel();
    });
    result = encode(engine, nullptr, many, omniid::EncodeOptions().batch_size(1), during);
    watcher.join();
    EXPECT(!result.has_value() && result.error().status() == omniid::Status::cancelled);
    EXPECT(during.progress().total == many.size() && during.progress().done < many.size());
}

void shutting_down_waits() {
    RunningJobs all;
    EnginePtr engine = open();
    const std::vector<PhotoSource> many = long_work();
    const auto job = std::make_shared<Job>();
    RunningJobs::Entry entry = all.begin(job);
    EXPECT(entry && all.count() == 1);
    omniid::Status status = omniid::Status::ok;
    std::thread worker([&, entry = std::move(entry), engine = std::move(engine)]() mutable {
        const auto result = encode(engine, nullptr, many, omniid::EncodeOptions().batch_size(1), *job);
        status = result.has_value() ? omniid::Status::ok : result.error().status();
        engine.reset();
        entry = RunningJobs::Entry();
    });
    while (job->progress().total == 0) std::this_thread::yield();
    all.shut_down();
    EXPECT(all.count() == 0 && job->cancelled());
    EXPECT(status == omniid::Status::cancelled);
    EXPECT(!all.begin(job));
    all.start();
    {
        RunningJobs::Entry first = all.begin(job), second = all.begin(std::make_shared<Job>());
        EXPECT(all.count() == 2);
        first = std::move(second);
        EXPECT(first && !second && all.count() == 1);
    }
    EXPECT(all.count() == 0);
    worker.join();
}

void conditioning() {
    const EnginePtr engine = open();
    Job job;
    const auto anna = encode(engine, nullptr, {source(picture(1))}, {}, job);
    const auto ben = encode(engine, nullptr, {source(picture(2))}, {}, job);
    const auto made = condition(engine, {{anna->identity, 0.5F, {0.0, 1.0}}, {ben->identity, 2.0F, {0.25, 0.75}}}, {},
        job);
    EXPECT(made.has_value() && job.progress().stage == omniid::Stage::condition);
    omniid::ConditioningInput first(*anna->identity, 0.5F), second(*ben->identity, 2.0F);
    second.fractions(0.25, 0.75);
    const auto direct = engine->condition({first, second});
    EXPECT(direct.has_value());
    for (const double fraction : {0.1, 0.5}) {
        std::vector<std::vector<float>> outputs;
        for (const omniid::Conditioning *each : {made->get(), &*direct}) {
            const omniid::HostLayer layer = *each->layer(0);
            const std::int64_t width = std::int64_t{layer.heads} * layer.head_dim;
            std::vector<float> query(static_cast<std::size_t>(2 * 5 * width)), output(query.size(), 0.25F);
            for (std::size_t i = 0; i < query.size(); i++) query[i] = static_cast<float>(i % 17) / 8.0F - 1.0F;
            omniid::InjectCall call(0, omniid::TensorView(query.data(), {2, 5, width}),
                omniid::TensorView(output.data(), {2, 5, width}));
            call.fraction = fraction;
            EXPECT(each->inject(call).has_value());
            outputs.push_back(output);
        }
        EXPECT(outputs[0] == outputs[1] && outputs[0] != std::vector<float>(outputs[0].size(), 0.25F));
    }
    EXPECT(*(*made)->is_active(1, {}, 0.5) && !*(*made)->is_active(1, {}, 0.1));
}

void errors() {
    Job job;
    const auto missing = open_engine(omniid::EngineOptions("/nowhere.safetensors"), job);
    EXPECT(!missing.has_value() && missing.error().status() == omniid::Status::io);
    EXPECT(std::string(missing.error().what()).find("nowhere") != std::string::npos);
    const EnginePtr engine = open();
    const auto status = [&](const auto &result) {
        return result.has_value() ? omniid::Status::ok : result.error().status();
    };
    EXPECT(status(encode(nullptr, nullptr, {source(picture(1))}, {}, job)) == omniid::Status::invalid_argument);
    EXPECT(status(encode(engine, nullptr, {}, {}, job)) == omniid::Status::invalid_argument);
    EXPECT(status(encode(engine, nullptr, {source({{1, 2, 3}, 64, 48})}, {}, job)) == omniid::Status::invalid_argument);
    EXPECT(status(encode(engine, nullptr, {{std::string("/nowhere.jpg"), {}}}, {}, job)) == omniid::Status::io);
    EXPECT(status(condition(engine, {{nullptr, 1.0F, {0.0, 1.0}}}, {}, job)) == omniid::Status::invalid_argument);
    EXPECT(status(condition(nullptr, {}, {}, job)) == omniid::Status::invalid_argument);
}

} // namespace

int main(int, char **arguments) {
    model_path = arguments[1];
    photo_path = arguments[2];
    progress_is_read_as_one();
    photos_of_every_kind();
    extending_and_bad_photos();
    faces();
    cancelling();
    shutting_down_waits();
    conditioning();
    errors();
    std::puts("Unreal, engine-independent part: 8 tests passed");
    return 0;
}
