/* The wrapper without exceptions: compiled with -fno-exceptions, as C++17, and linked with a file that is not. */
#define OMNIID_NO_EXCEPTIONS
#include "support.hpp"

#include <cstring>
#include <utility>

void test_results(const char *model) {
    const auto missing = omniid::Engine::open("no-such-model.safetensors");
    EXPECT(!missing.has_value() && missing.error().status() == omniid::Status::io);
    EXPECT(std::strstr(missing.error().what(), "no-such-model.safetensors") != nullptr);

    auto opened = omniid::Engine::open(model);
    EXPECT(opened);
    const omniid::Engine engine = std::move(opened).value();
    const std::vector<std::uint8_t> pixels = picture(0);
    const auto photo = omniid::Photo::pixels(pixels, picture_width, picture_height);
    EXPECT(photo);
    EXPECT(omniid::Photo::pixels(pixels, picture_width, picture_height + 1).error().status() ==
           omniid::Status::invalid_argument);

    const auto cancelled = engine.encode({*photo}, {}, [](omniid::Progress) { return false; });
    EXPECT(!cancelled && cancelled.error().status() == omniid::Status::cancelled);
    const auto encoded = engine.encode({*photo});
    EXPECT(encoded && encoded->identity.describe()->photos == 1 && encoded->photos.size() == 1);
    const auto conditioning = engine.condition(encoded->identity);
    EXPECT(conditioning);
    std::vector<float> query(16, 0.5F), output(16, 0.0F);
    const omniid::Result<void> injected = conditioning->inject(omniid::InjectCall(
        0, omniid::TensorView(query.data(), {1, 1, 16}), omniid::TensorView(output.data(), {1, 1, 16})));
    EXPECT(injected.has_value());
    const omniid::Result<void> refused = conditioning->inject(omniid::InjectCall(
        9, omniid::TensorView(query.data(), {1, 1, 16}), omniid::TensorView(output.data(), {1, 1, 16})));
    EXPECT(!refused && refused.error().status() == omniid::Status::invalid_argument);
}
