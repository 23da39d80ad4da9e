/*
 * The C++ wrapper: what it promises beyond the C ABI. Run under AddressSanitizer with its leak check.
 *
 *     wrapper MODEL FOLDER [ROUNDS]
 *
 * ROUNDS of encoding, saving and injection are looked at for memory that they leave behind; 1000 by default.
 */
#include "../c/meter.h"
#include "support.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

namespace {

/// The call has failed with this status, and its message holds this text.
template <class T>
void refused(omniid::Status status, const char *names, const omniid::Result<T> &result) {
    EXPECT(!result.has_value());
    const omniid::Error &error = result.error();
    if (error.status() != status || std::strstr(error.what(), names) == nullptr) {
        std::fprintf(stderr, "status %d, message: %s; expected status %d and \"%s\"\n",
                     static_cast<int>(error.status()), error.what(), static_cast<int>(status), names);
        std::exit(1);
    }
}

/// A result throws its error where its value is asked for, and not before.
void results(const char *model) {
    const auto failed = omniid::Engine::open("no-such-model");
    refused(omniid::Status::io, "no-such-model", failed);
    int caught = 0;
    const auto throws = [&](auto &&call) {
        try {
            call();
        } catch (const omniid::Error &error) {
            caught +=
                error.status() == omniid::Status::io && std::strstr(error.what(), "no-such-model") != nullptr ? 1 : 0;
        }
    };
    throws([&] { (void)failed.value(); });
    throws([&] { (void)*failed; });
    throws([&] { (void)failed->get(); });
    throws([] { (void)omniid::Engine::open("no-such-model").value(); });
    throws([&] { omniid::Result<void>(failed.error()).value(); });
    EXPECT(caught == 5);
    omniid::Result<void>().value();
    EXPECT(omniid::Engine::open(model) && omniid::Engine::open(std::string(model)));
    // NULL, as of an environment variable that is not set, is not the model inside the library.
    const char *unset = nullptr;
    refused(omniid::Status::invalid_argument, "NULL", omniid::Engine::open(unset));
    static_assert(!std::is_constructible_v<omniid::EngineOptions, std::nullptr_t>);
    static_assert(!std::is_convertible_v<const char *, omniid::EngineOptions>);
    static_assert(!std::is_convertible_v<std::nullptr_t, omniid::Identity>);
}

void handles(const omniid::Engine &engine, const omniid::Photo &photo) {
    static_assert(!std::is_copy_constructible_v<omniid::Engine> && !std::is_copy_assignable_v<omniid::Identity>);
    static_assert(std::is_nothrow_move_constructible_v<omniid::Conditioning> &&
                  std::is_nothrow_move_assignable_v<omniid::Tensor>);
    static_assert(sizeof(omniid::Identity) == sizeof(void *), "a handle is one pointer");
    omniid::Identity identity = engine.encode({photo}).value().identity;
    omniid::Identity other = std::move(identity);
    EXPECT(other && !identity);
    refused(omniid::Status::invalid_argument, "identity", identity.describe());
    refused(omniid::Status::invalid_argument, "identity", engine.condition(identity));
    other = engine.encode({photo}).value().identity; // the old one is freed
    omniid_identity *raw = other.release();
    EXPECT(!other);
    const omniid::Identity again(raw);
    EXPECT(again.describe()->photos == 1);
    refused(omniid::Status::invalid_argument, "engine", omniid::Engine().describe());
}

void callbacks(const char *model, const omniid::Engine &engine, const omniid::Photo &photo) {
    struct Thrown {
        int value;
    };
    // Each long call lets out exactly what its callback threw, also when it is no std::exception.
    const auto throws = [](omniid::Progress) -> bool { throw Thrown{7}; };
    const omniid::Identity identity = engine.encode({photo}).value().identity;
    const omniid::Photo photos[] = {photo};
    int caught = 0;
    const auto expect_thrown = [&](auto &&call) {
        try {
            call();
        } catch (const Thrown &thrown) {
            caught += thrown.value;
        }
    };
    expect_thrown([&] { (void)omniid::Engine::open(model, throws); });
    expect_thrown([&] { (void)engine.encode(photos, {}, throws); });
    expect_thrown([&] { (void)engine.extend(identity, photos, {}, throws); });
    expect_thrown([&] { (void)engine.condition({omniid::ConditioningInput(identity)}, {}, throws); });
    EXPECT(caught == 4 * 7);

    refused(omniid::Status::cancelled, "cancelled", engine.encode({photo}, {}, [](omniid::Progress) { return false; }));
    // A callback that returns nothing goes on; one that can only be moved works; all stages are heard in order.
    std::vector<omniid::Stage> stages;
    (void)engine.encode({photo, photo}, {}, [&, only_moved = std::make_unique<int>(1)](omniid::Progress progress) {
        EXPECT(progress.done <= progress.total && *only_moved == 1);
        if (stages.empty() || stages.back() != progress.stage) stages.push_back(progress.stage);
    });
    EXPECT(std::count(stages.begin(), stages.end(), omniid::Stage::encode) >= 1);
    // A call from within a callback.
    std::uint64_t inner = 0;
    const std::thread::id here = std::this_thread::get_id();
    (void)engine.encode({photo}, {}, [&](omniid::Progress) {
        EXPECT(std::this_thread::get_id() == here);
        inner = identity.describe()->tokens;
    });
    EXPECT(inner == 6);
}

void photos(const omniid::Engine &engine, const std::vector<std::uint8_t> &pixels, const std::string &folder) {
    // The same picture as 8 bits, as floats, in another channel order and with gaps between rows gives the same tokens.
    std::vector<float> floats(pixels.size());
    std::transform(pixels.begin(), pixels.end(), floats.begin(),
                   [](std::uint8_t value) { return static_cast<float>(value) / 255.0F; });
    const std::size_t stride = picture_width * 4 + 12;
    std::vector<std::uint8_t> bgra(stride * picture_height - 12, 9);
    for (std::size_t y = 0; y < picture_height; y++)
        for (std::size_t x = 0; x < picture_width; x++)
            for (std::size_t channel = 0; channel < 3; channel++)
                bgra[y * stride + x * 4 + 2 - channel] = pixels[(y * picture_width + x) * 3 + channel];
    const auto plain = omniid::Photo::pixels(pixels, picture_width, picture_height).value();
    const auto as_floats = omniid::Photo::pixels(floats, picture_width, picture_height).value();
    const auto as_bgra =
        omniid::Photo::pixels(bgra, picture_width, picture_height, omniid::ChannelOrder::bgra, stride).value();
    const omniid::Tensor expected = engine.encode({plain})->identity.tokens().value();
    EXPECT(expected.type() == omniid::NumberType::f32 && expected.device() == omniid::Device::cpu());
    EXPECT(expected.shape().size() == 2 && expected.shape()[0] == 6 && expected.shape()[1] == 24 &&
           expected.size() == 144);
    for (const auto &photo : {as_floats, as_bgra}) {
        const omniid::Tensor tokens = engine.encode({photo})->identity.tokens().value();
        EXPECT(std::equal(tokens.floats().begin(), tokens.floats().end(), expected.floats().begin()));
    }
    refused(omniid::Status::invalid_argument, "pixels",
            omniid::Photo::pixels(pixels, picture_width, picture_height + 1));
    refused(omniid::Status::invalid_argument, "pixels",
            omniid::Photo::pixels(bgra, picture_width, picture_height, omniid::ChannelOrder::bgra, stride + 1));
    refused(omniid::Status::invalid_argument, "pixels", omniid::Photo::pixels(pixels, 0xFFFFFFFFU, 0xFFFFFFFFU));

    // There is a report on each photo; one that cannot be used is left out, or fails the call.
    const omniid::Photo mixed[] = {plain, omniid::Photo::file(folder + "/no-such-photo.jpg")};
    const omniid::Encoded encoded = engine.encode(mixed, omniid::EncodeOptions().label("Ada").consent("yes")).value();
    EXPECT(encoded.photos.size() == 2 && encoded.photos[0].status == omniid::Status::ok &&
           encoded.photos[0].reason.empty());
    EXPECT(encoded.photos[1].status == omniid::Status::io && !encoded.photos[1].reason.empty());
    EXPECT(encoded.photos[1].name.find("no-such-photo.jpg") != std::string::npos && !encoded.photos[1].bounds);
    EXPECT(encoded.identity.describe()->label == "Ada" && encoded.identity.describe()->consent == "yes");
    omniid::Photo boxed = plain;
    boxed.face_index(7).face_box({20.0F, 10.0F, 50.0F, 40.0F});
    const omniid::Encoded more =
        engine.extend(encoded.identity, {boxed}, omniid::EncodeOptions().crop(omniid::Crop::face)).value();
    EXPECT(more.photos.size() == 1 && more.photos[0].bounds->top == 10.0F && more.photos[0].bounds->right == 50.0F);
    EXPECT(!more.photos[0].face && more.identity.describe()->photos == 2);
    refused(omniid::Status::io, "no-such-photo", engine.encode(mixed, omniid::EncodeOptions().fail_on_bad_photo()));
    EXPECT(engine.detect_faces(plain).value().empty());

    // Options may be copied and outlive the texts that went into them.
    omniid::EncodeOptions options;
    {
        const std::string gone(100, 'x');
        options = omniid::EncodeOptions().label(gone);
    }
    EXPECT(engine.encode({plain}, options)->identity.describe()->label == std::string(100, 'x'));
}

void identities(const omniid::Engine &engine, const omniid::Photo &first, const omniid::Photo &second,
                const std::string &folder) {
    const omniid::Identity both = engine.encode({first, second}).value().identity;
    const omniid::Identity one = engine.encode({first}).value().identity;
    const omniid::Identity extended = engine.extend(one, {second}).value().identity;
    const omniid::Tensor a = both.tokens().value(), b = extended.tokens().value();
    for (std::size_t i = 0; i < a.size(); i++) EXPECT(std::abs(a.floats()[i] - b.floats()[i]) <= 1e-5F);
    EXPECT(engine.similarity(both, both).value() > 0.999F);
    // Vectors for comparisons: their dot product is the similarity.
    const omniid::Tensor left = engine.comparison_vector(both).value(), right = engine.comparison_vector(one).value();
    EXPECT(left.shape().size() == 1 && left.size() == right.size() && left.size() > 0);
    double product = 0.0;
    for (std::size_t i = 0; i < left.size(); i++) product += double{left.floats()[i]} * double{right.floats()[i]};
    EXPECT(std::abs(product - double{engine.similarity(both, one).value()}) < 1e-6);
    refused(omniid::Status::mismatch, "model", omniid::Engine::open()->comparison_vector(both));

    // Features first, then the identity: the same as at once.
    omniid::Photo named = second;
    const omniid::PhotoFeatures found = engine.photo_features({first, named.name("number two")}).value();
    EXPECT(found.photos.size() == 2 && found.photos[1].name == "number two");
    const omniid::TensorView view(found.features.get()->dl_tensor);
    const omniid::Tensor made = engine.identity_from_features(view).value().tokens().value();
    EXPECT(std::equal(a.floats().begin(), a.floats().end(), made.floats().begin()));

    both.save(folder + "/both.omniid").value();
    const std::vector<std::byte> bytes = both.to_bytes().value();
    std::ifstream file(folder + "/both.omniid", std::ios::binary);
    const std::string stored((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    EXPECT(stored.size() == bytes.size() && std::memcmp(stored.data(), bytes.data(), bytes.size()) == 0);
    const omniid::Identity loaded = omniid::Identity::load(folder + "/both.omniid").value();
    const omniid::Identity parsed = omniid::Identity::from_bytes(bytes).value();
    for (const omniid::Identity *copy : {&loaded, &parsed}) {
        const omniid::Tensor tokens = copy->tokens().value();
        EXPECT(std::equal(tokens.floats().begin(), tokens.floats().end(), a.floats().begin()));
    }
    EXPECT(loaded.with_notes("Bo", nullptr)->describe()->label == "Bo");
    EXPECT(loaded.describe()->features == 2 && loaded.without_features()->describe()->features == 0);
    refused(omniid::Status::unsupported, "features", engine.extend(*loaded.without_features(), {first}));
    const std::byte nothing[8] = {};
    refused(omniid::Status::format, "", omniid::Identity::from_bytes(nothing));

    // Into the host's memory, transposed by its strides.
    std::vector<float> transposed(a.size());
    both.copy_tokens(omniid::TensorView(transposed.data(), omniid::NumberType::f32, {6, 24}, {1, 6})).value();
    for (std::size_t token = 0; token < 6; token++)
        for (std::size_t i = 0; i < 24; i++) EXPECT(transposed[i * 6 + token] == a.floats()[token * 24 + i]);
    refused(omniid::Status::mismatch, "6", both.copy_tokens(omniid::TensorView(transposed.data(), {24, 6})));
    // A tensor outlives its identity, and goes to another library with its deleter.
    omniid::Tensor tokens = engine.encode({first})->identity.tokens().value();
    EXPECT(std::isfinite(tokens.floats()[0]));
    omniid_managed_tensor *given_away = tokens.release();
    given_away->deleter(given_away);
}

void injection(const omniid::Engine &engine, const omniid::Photo &photo) {
    const omniid::Identity identity = engine.encode({photo}).value().identity;
    const std::vector<float> mask(16, 1.0F);
    const auto scaled = omniid::ConditioningInput(identity, 0.5F).sigmas(10.0, 1.0);
    const auto masked = omniid::ConditioningInput(identity).mask(mask, 4, 4);
    const auto options = omniid::ConditioningOptions().layer_scales({1.0F, 0.0F}).precision(omniid::Precision::f32);
    const omniid::Conditioning conditioning = engine.condition({scaled, masked}, options).value();
    EXPECT(*conditioning.layer_count() == 2 && *conditioning.identity_count() == 2 && *conditioning.byte_size() > 0);
    const auto pulid = omniid::ConditioningOptions::pulid(omniid::PulidMode::fidelity);
    const omniid::Conditioning orthogonal = engine.condition({scaled}, pulid).value();
    EXPECT(*conditioning.injection() == omniid::Injection::add && *conditioning.zero_tokens() == 0);
    EXPECT(*orthogonal.injection() == omniid::Injection::orthogonal_v2 && *orthogonal.zero_tokens() == 8);
    EXPECT(!*conditioning.needs_image_keys());
    EXPECT(*conditioning.layer_name(1) == "up.attn" && *conditioning.find_layer("up.attn") == 1);
    EXPECT(conditioning.layer(1)->heads == 4 && conditioning.layer(1)->head_dim == 8);
    EXPECT(*conditioning.factor(0, 0) == 0.5F && *conditioning.factor(1, 0) == 0.0F);
    EXPECT(!*conditioning.keys(1, 0) && conditioning.keys(0, 0)->shape().size() == 3);
    EXPECT(*conditioning.is_active(0, 5.0, std::nullopt) && !*conditioning.is_active(0, 0.5, std::nullopt));
    std::vector<float> factors(16);
    conditioning.mask_factors(1, factors, 4, 4).value();
    EXPECT(factors == mask);
    refused(omniid::Status::invalid_argument, "no_such", conditioning.find_layer("no_such"));
    refused(omniid::Status::invalid_argument, "mask",
            engine.condition({omniid::ConditioningInput(identity).mask(mask, 5, 4)}));

    std::vector<float> query(2 * 16 * 16), output(query.size());
    for (std::size_t i = 0; i < query.size(); i++) query[i] = std::sin(static_cast<float>(i));
    omniid::InjectCall call(0, omniid::TensorView(query.data(), {2, 16, 16}),
                            omniid::TensorView(output.data(), {2, 16, 16}));
    refused(omniid::Status::invalid_argument, "sigma", conditioning.inject(call));
    call.sigma = 5.0;
    refused(omniid::Status::invalid_argument, "latent", conditioning.inject(call));
    call.latent_height = call.latent_width = 4;
    const omniid::Role three_roles[] = {omniid::Role::conditional, omniid::Role::conditional, omniid::Role::conditional};
    call.roles = three_roles;
    refused(omniid::Status::invalid_argument, "role", conditioning.inject(call));
    const omniid::Role roles[] = {omniid::Role::unconditional, omniid::Role::conditional};
    call.roles = roles;
    conditioning.inject(call).value();
    EXPECT(std::any_of(output.begin(), output.end(), [](float value) { return value != 0.0F; }));

    // The same through a tensor of four dimensions, heads first, of another library's struct.
    std::vector<float> by_heads(query.size()), output_by_heads(query.size());
    const auto place = [](std::size_t row, std::size_t head, std::size_t i) {
        return ((row / 16 * 2 + head) * 16 + row % 16) * 8 + i;
    };
    for (std::size_t row = 0; row < 32; row++)
        for (std::size_t i = 0; i < 16; i++) by_heads[place(row, i / 8, i % 8)] = query[row * 16 + i];
    std::int64_t shape[] = {2, 2, 16, 8};
    omniid_tensor foreign{};
    foreign.data = by_heads.data();
    foreign.device.device_type = static_cast<decltype(foreign.device.device_type)>(OMNIID_DEVICE_TYPE_CPU);
    foreign.ndim = 4;
    foreign.dtype = {OMNIID_TYPE_CODE_FLOAT, 32, 1};
    foreign.shape = shape;
    omniid::InjectCall other(0, omniid::TensorView(foreign), omniid::TensorView(output_by_heads.data(), {2, 2, 16, 8}));
    other.layout = omniid::Layout::heads_first;
    other.sigma = call.sigma;
    other.roles = roles;
    other.latent_height = other.latent_width = 4;
    conditioning.inject(other).value();
    for (std::size_t row = 0; row < 32; row++)
        for (std::size_t i = 0; i < 16; i++)
            EXPECT(std::abs(output_by_heads[place(row, i / 8, i % 8)] - output[row * 16 + i]) <= 1e-6F);

    const omniid::InjectCall narrow(0, omniid::TensorView(query.data(), {2, 16, 15}),
                                    omniid::TensorView(output.data(), {2, 16, 15}));
    refused(omniid::Status::mismatch, "", conditioning.inject(narrow));
    foreign.ndim = 5; // more than a view holds: refused, nothing is read
    std::int64_t five[] = {1, 2, 2, 16, 8};
    foreign.shape = five;
    const omniid::TensorView too_many(foreign), enough(output.data(), {2, 16, 16});
    EXPECT(!conditioning.inject(omniid::InjectCall(0, too_many, enough)));
}

void logging(const omniid::Photo &photo, const char *model) {
    std::atomic<int> first{0}, second{0};
    {
        omniid::Log log = omniid::Log::install(
                              [&](omniid::LogLevel, std::string_view target, std::string_view message) {
                                  EXPECT(!target.empty() && !message.empty());
                                  first++;
                                  throw std::runtime_error("dropped");
                              },
                              omniid::LogLevel::trace)
                              .value();
        // What is left out of an encode call is logged as a warning.
        const omniid::Engine engine = omniid::Engine::open(model).value();
        (void)engine.encode({photo, omniid::Photo::file("no-such-photo.jpg")});
        const int heard = first;
        EXPECT(heard > 0);
        {
            const auto count = [&](omniid::LogLevel, std::string_view, std::string_view) { second++; };
            const omniid::Log later = omniid::Log::install(count, omniid::LogLevel::trace).value();
            (void)engine.encode({photo, omniid::Photo::file("no-such-photo.jpg")});
            EXPECT(first == heard && second > 0);
        }
        const omniid::Log moved = std::move(log);
    }
    const int heard = first + second;
    (void)omniid::Engine::open(model)->encode({photo, omniid::Photo::file("no-such-photo.jpg")});
    EXPECT(first + second == heard);
}

void threads(const omniid::Engine &engine, const omniid::Photo &photo) {
    const omniid::Tensor expected = engine.encode({photo})->identity.tokens().value();
    std::vector<std::thread> running;
    std::atomic<int> equal{0};
    for (int i = 0; i < 4; i++)
        running.emplace_back([&] {
            const omniid::Tensor tokens = engine.encode({photo})->identity.tokens().value();
            equal += std::equal(tokens.floats().begin(), tokens.floats().end(), expected.floats().begin()) ? 1 : 0;
        });
    for (std::thread &thread : running) thread.join();
    EXPECT(equal == 4);
}

/// Many rounds, with exceptions in between, leave nothing behind. The leak check at the end looks for lost memory, too.
void leaks(const omniid::Engine &engine, const omniid::Photo &photo, int rounds) {
    std::vector<float> query(16 * 16, 0.5F), output(query.size());
    const auto view = [](std::vector<float> &values) { return omniid::TensorView(values.data(), {1, 16, 16}); };
    const omniid::Photo photos[] = {photo, omniid::Photo::file("no-such-photo.jpg")};
    const auto round = [&] {
        const omniid::Encoded encoded = engine.encode(photos, omniid::EncodeOptions().label("Ada")).value();
        const omniid::Identity loaded = omniid::Identity::from_bytes(*encoded.identity.to_bytes()).value();
        const omniid::Conditioning conditioning = engine.condition(loaded).value();
        EXPECT(loaded.tokens()->size() == 144 && *conditioning.keys(0, 0));
        conditioning.inject(omniid::InjectCall(0, view(query), view(output))).value();
        refused(omniid::Status::invalid_argument, "layer",
                conditioning.inject(omniid::InjectCall(9, view(query), view(output))));
        refused(omniid::Status::cancelled, "cancelled",
                engine.encode({photo}, {}, [](omniid::Progress) { return false; }));
        try {
            (void)engine.encode({photo}, {}, [](omniid::Progress) -> bool { throw std::runtime_error("mine"); });
            EXPECT(false);
        } catch (const std::runtime_error &) {
        }
    };
    const std::size_t limit = meter_limit(static_cast<std::size_t>(rounds));
    for (int i = 0; i < 100 && i < rounds; i++) round();
    std::size_t grown = 0;
    for (int attempt = 0; attempt < METER_ATTEMPTS && (attempt == 0 || grown > limit); attempt++) {
        const std::size_t before = allocated();
        for (int i = 0; i < rounds; i++) round();
        grown = allocated() > before ? allocated() - before : 0;
    }
    std::printf("%zu bytes more after %d rounds\n", grown, rounds);
    EXPECT(grown <= limit);
    // The meter sees what is held.
    const std::size_t before = allocated();
    const omniid::Encoded held = engine.encode({photo}).value();
    EXPECT(METER == 0 || allocated() > before);
}

/// Buffers of a graph get what the conditioning hands out.
void graphs(const omniid::Engine &engine, const omniid::Photo &photo) {
    const omniid::Conditioning conditioning =
        engine.condition({omniid::ConditioningInput(engine.encode({photo})->identity, 0.8F)}).value();
    const omniid::Graph graph = omniid::Graph::parse(R"({"format": "omniid-graph", "version": 1, "graph": "a.onnx",
        "host": "custom", "form": "keys_values", "precision": "f32", "scale": "scale", "layers": [
            {"name": "up.attn", "heads": 4, "head_dim": 8, "key": "k.up", "value": "v.up"},
            {"name": "down.attn", "heads": 2, "head_dim": 8, "key": "k.down", "value": "v.down"}]})")
                                    .value();
    const omniid::GraphInfo info = graph.describe().value();
    EXPECT(info.layer_count == 2 && info.input_count == 5 && info.scale_input == "scale" && info.path.empty());
    EXPECT(graph.layer(1)->name == "down.attn" && graph.layer(1)->key_input == "k.down");
    omniid::GraphCall call;
    const omniid::Role roles[] = {omniid::Role::unconditional, omniid::Role::conditional};
    call.roles = roles;
    call.scale = 0.5F;
    std::vector<std::vector<float>> memory;
    std::vector<omniid::GraphShape> shapes;
    std::vector<omniid::GraphBuffer> buffers;
    for (std::size_t i = 0; i < info.input_count; i++) {
        shapes.push_back(graph.shape(conditioning, call, i).value());
        memory.emplace_back(shapes.back().byte_size / sizeof(float));
    }
    for (std::size_t i = 0; i < info.input_count; i++) {
        buffers.emplace_back(graph.input(i)->name, memory[i].data(), shapes[i].byte_size);
        buffers.back().shape = shapes[i].shape;
    }
    graph.fill(conditioning, call, buffers).value();
    EXPECT(memory[4] == std::vector<float>({0.4F, 0.4F}) && graph.input(4)->kind == omniid::GraphInputKind::scale);
    // The first value of the second row and of its second head.
    const omniid::Tensor tensor = conditioning.values(1, 0).value();
    const float *expected = tensor.floats().data();
    const std::size_t heads = 4, tokens = static_cast<std::size_t>(shapes[1].shape[2]), row = heads * tokens * 8;
    EXPECT(memory[1][row] == expected[0] && memory[1][row + tokens * 8] == expected[8]);
    // A buffer of another layer, of too few bytes, without a name.
    const auto fill = [&](const char *name, void *data, std::size_t size) {
        const omniid::GraphBuffer one[] = {omniid::GraphBuffer(name, data, size)};
        return graph.fill(conditioning, call, one);
    };
    refused(omniid::Status::mismatch, "down.attn", fill("k.down", memory[0].data(), shapes[0].byte_size));
    refused(omniid::Status::mismatch, "(4 bytes)", fill("scale", memory[4].data(), 4));
    refused(omniid::Status::invalid_argument, "name", fill(nullptr, memory[4].data(), 8));
    graph.fill(conditioning, call, {}).value();
    refused(omniid::Status::format, "format", omniid::Graph::parse("{}"));
    refused(omniid::Status::invalid_argument, "graph", omniid::Graph().describe());
}

} // namespace

int main(int count, char **arguments) {
    const int rounds = count == 4 ? std::atoi(arguments[3]) : 1000;
    if ((count != 3 && count != 4) || rounds < 1) {
        std::fprintf(stderr, "usage: %s MODEL FOLDER [ROUNDS]\n", arguments[0]);
        return 2;
    }
    const char *model = arguments[1];
    const std::string folder = arguments[2];
    EXPECT(omniid::abi_compatible() && std::string(omniid::version()) == OMNIID_VERSION);
    const std::vector<std::uint8_t> one = picture(0), two = picture(1);
    const omniid::Photo first = omniid::Photo::pixels(one, picture_width, picture_height).value();
    const omniid::Photo second = omniid::Photo::pixels(two, picture_width, picture_height).value();
    const omniid::Engine engine = omniid::Engine::open(model).value();
    const omniid::EngineInfo info = engine.describe().value();
    EXPECT(info.encoder == omniid::EncoderKind::omni_id && info.name == "untrained" && info.has_adapter &&
           info.host_layer_count == 2);
    EXPECT(engine.host_layer(0)->name == "down.attn");
    const omniid::Engine built_in = omniid::Engine::open().value();
    EXPECT(built_in.describe()->has_detector && built_in.describe()->fingerprint != info.fingerprint);

    results(model);
    handles(engine, first);
    callbacks(model, engine, first);
    photos(engine, one, folder);
    identities(engine, first, second, folder);
    injection(engine, first);
    graphs(engine, first);
    logging(first, model);
    threads(engine, first);
    test_results(model);

    leaks(engine, first, rounds);
    std::puts("the C++ wrapper keeps its promises");
    return 0;
}
