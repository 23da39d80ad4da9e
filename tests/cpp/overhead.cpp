/*
 * What the wrapper costs over the C ABI: the same encode and inject calls, alternating, medians.
 *
 *     overhead MODEL
 */
#include "support.hpp"

#include <algorithm>
#include <chrono>

namespace {

/// Median seconds of each of two functions, called in turn.
template <class A, class B>
void compare(const char *name, int rounds, A &&first, B &&second, double &difference, double &share) {
    std::vector<double> a, b;
    const auto time = [](auto &&function) {
        const auto start = std::chrono::steady_clock::now();
        function();
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    for (int i = 0; i < rounds; i++) {
        a.push_back(time(first));
        b.push_back(time(second));
    }
    std::sort(a.begin(), a.end());
    std::sort(b.begin(), b.end());
    const auto middle = a.size() / 2;
    difference = b[middle] - a[middle];
    share = difference / a[middle];
    std::printf("%s: C %.3f us, C++ %.3f us, difference %.3f us (%.2f %%)\n", name, a[middle] * 1e6, b[middle] * 1e6,
                difference * 1e6, share * 100.0);
}

} // namespace

int main(int count, char **arguments) {
    if (count != 2) return 2;
    const omniid::Engine engine = omniid::Engine::open(arguments[1]).value();
    const std::vector<std::uint8_t> pixels = picture(0);
    const omniid::Photo photo = omniid::Photo::pixels(pixels, picture_width, picture_height).value();
    const omniid::Conditioning conditioning = engine.condition(engine.encode({photo})->identity).value();
    std::vector<float> query(64 * 16, 0.5F), output(query.size());

    double difference = 0.0, share = 0.0;
    compare(
        "inject, 64 rows of width 16", 20000,
        [&] {
            std::int64_t shape[] = {1, 64, 16};
            omniid_tensor query_tensor = {
                query.data(), {OMNIID_DEVICE_TYPE_CPU, 0}, 3, {OMNIID_TYPE_CODE_FLOAT, 32, 1}, shape, nullptr, 0};
            omniid_tensor output_tensor = query_tensor;
            output_tensor.data = output.data();
            omniid_inject_call call = OMNIID_INJECT_CALL_INIT;
            call.query = &query_tensor;
            call.output = &output_tensor;
            EXPECT(omniid_inject(conditioning.get(), &call) == OMNIID_STATUS_OK);
        },
        [&] {
            conditioning
                .inject(omniid::InjectCall(0, omniid::TensorView(query.data(), {1, 64, 16}),
                                           omniid::TensorView(output.data(), {1, 64, 16})))
                .value();
        },
        difference, share);
    EXPECT(difference <= 20e-6);
    compare(
        "encode, one photo, small model", 400,
        [&] {
            const omniid_photo c_photo = photo.c();
            omniid_encode_options options = OMNIID_ENCODE_OPTIONS_INIT;
            omniid_identity *identity = nullptr;
            EXPECT(omniid_encode(engine.get(), &c_photo, 1, &options, &identity) == OMNIID_STATUS_OK);
            omniid_identity_free(identity);
        },
        [&] { EXPECT(engine.encode({photo})); }, difference, share);
    EXPECT(share <= 0.05 || difference <= 20e-6);
    return 0;
}
