/*
 * What the C++ wrapper gets: tokens of some photos and one injection into each layer.
 *
 *     results MODEL INPUTS OUTPUTS PHOTO...
 *
 * Reads INPUTS/query-N.bin and before-N.bin, writes OUTPUTS/tokens.bin and after-N.bin, f32.
 */
#include <omniid.hpp>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr std::int64_t batch = 2, rows = 24;

std::vector<float> read(const std::string &path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    std::vector<float> values(static_cast<std::size_t>(file.tellg()) / sizeof(float));
    file.seekg(0);
    if (!file.read(reinterpret_cast<char *>(values.data()),
                   static_cast<std::streamsize>(values.size() * sizeof(float))))
        throw std::runtime_error(path + " cannot be read");
    return values;
}

void write(const std::string &path, const float *values, std::size_t count) {
    std::ofstream file(path, std::ios::binary);
    if (!file.write(reinterpret_cast<const char *>(values), static_cast<std::streamsize>(count * sizeof(float)))
             .flush())
        throw std::runtime_error(path + " cannot be written");
}

void run(const char *model, const std::string &inputs, const std::string &outputs,
         const std::vector<omniid::Photo> &photos) {
    const omniid::Engine engine = omniid::Engine::open(model).value();
    const omniid::Identity identity = engine.encode(photos).value().identity;
    const omniid::Tensor tokens = identity.tokens().value();
    write(outputs + "/tokens.bin", tokens.floats().data(), tokens.size());
    const omniid::Conditioning conditioning = engine.condition(identity, 0.8F).value();
    for (std::size_t index = 0; index < conditioning.layer_count().value(); index++) {
        const std::string number = std::to_string(index) + ".bin";
        const omniid::HostLayer layer = conditioning.layer(index).value();
        const std::int64_t width = std::int64_t{layer.heads} * layer.head_dim;
        std::vector<float> query = read(inputs + "/query-" + number);
        std::vector<float> output = read(inputs + "/before-" + number);
        omniid::InjectCall call(index, omniid::TensorView(query.data(), {batch, rows, width}),
                                omniid::TensorView(output.data(), {batch, rows, width}));
        const omniid::Role roles[] = {omniid::Role::unconditional, omniid::Role::conditional};
        call.roles = roles;
        call.scale = 0.5F;
        conditioning.inject(call).value();
        write(outputs + "/after-" + number, output.data(), output.size());
    }
}

} // namespace

int main(int count, char **arguments) {
    if (count < 5) return 2;
    std::vector<omniid::Photo> photos;
    for (int i = 4; i < count; i++) photos.push_back(omniid::Photo::file(arguments[i]));
    try {
        run(arguments[1], arguments[2], arguments[3], photos);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
