/*
 * From photos to identity in a renderer, in C++.
 *
 *     renderer MODEL PHOTO...
 *
 * Encodes the photos, conditions the renderer on them, and compares each injection with the formula, computed here in
 * plain C++ from the keys and values that the conditioning hands out:
 *
 *     output += scale * factor * mask * softmax(query Kt / sqrt(head_dim)) V
 */
#include "renderer.hpp"

#include <omniid.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <limits>
#include <string>
#include <vector>

namespace {

constexpr std::size_t side = 8;
constexpr int steps = 4;
constexpr float strength = 0.75F;

// Row 0 of a batch is unconditional, row 1 is conditioned on the prompt.
constexpr omniid::Role roles[] = {omniid::Role::unconditional, omniid::Role::conditional};

/// The formula for one identity, one layer and one batch row.
void attend(const omniid::Conditioning &conditioning, std::size_t identity, const Layer &layer, const LayerCall &call,
            std::size_t batch_row, std::vector<float> &expected) {
    if (!conditioning.is_active(identity, std::nullopt, call.fraction).value()) return;
    const omniid::Tensor keys = conditioning.keys(call.layer, identity, roles[batch_row]).value();
    const omniid::Tensor values = conditioning.values(call.layer, identity, roles[batch_row]).value();
    if (!keys) return; // nothing is injected into this row
    std::vector<float> mask(call.rows);
    conditioning.mask_factors(identity, mask, side, side).value();
    const float scale = strength * conditioning.factor(call.layer, identity).value();
    const auto key = keys.floats(), value = values.floats();
    const std::size_t tokens = static_cast<std::size_t>(keys.shape()[0]), width = layer.width();

    std::vector<double> weights(tokens);
    for (std::size_t row = 0; row < call.rows; row++) {
        for (std::size_t head = 0; head < layer.heads; head++) {
            const std::size_t start = (batch_row * call.rows + row) * width + head * layer.head_dim;
            double largest = -std::numeric_limits<double>::infinity(), sum = 0.0;
            for (std::size_t t = 0; t < tokens; t++) {
                double dot = 0.0;
                for (std::size_t i = 0; i < layer.head_dim; i++)
                    dot += double{call.query[start + i]} * double{key[t * width + head * layer.head_dim + i]};
                weights[t] = dot / std::sqrt(static_cast<double>(layer.head_dim));
                largest = std::max(largest, weights[t]);
            }
            for (double &weight : weights) sum += weight = std::exp(weight - largest);
            for (std::size_t i = 0; i < layer.head_dim; i++) {
                double mixed = 0.0;
                for (std::size_t t = 0; t < tokens; t++)
                    mixed += weights[t] / sum * double{value[t * width + head * layer.head_dim + i]};
                expected[start + i] += static_cast<float>(double{scale} * double{mask[row]} * mixed);
            }
        }
    }
}

int run(const std::string &model, const std::vector<omniid::Photo> &photos) {
    const omniid::Engine engine = omniid::Engine::open(model).value();
    const omniid::EngineInfo info = engine.describe().value();
    std::vector<Layer> layers;
    for (std::size_t i = 0; i < info.host_layer_count; i++) {
        const omniid::HostLayer layer = engine.host_layer(i).value();
        layers.push_back({layer.heads, layer.head_dim});
    }

    std::uint64_t encoded = 0;
    const auto count_encoded = [&](omniid::Progress progress) {
        if (progress.stage == omniid::Stage::encode) encoded = progress.done;
        return true; // false would cancel
    };
    const auto options = omniid::EncodeOptions().crop(omniid::Crop::center).label("example");
    const omniid::Encoded person = engine.encode(photos, options, count_encoded).value();
    for (const omniid::PhotoReport &report : person.photos)
        std::printf("%s: %s %s\n", report.name.c_str(), omniid::status_text(report.status), report.reason.c_str());

    // Twice the same person: everywhere during the first two thirds, and once more in the right half of the picture.
    // Keys and values are projected here, once, and not again at any step.
    std::vector<float> right_half(side * side, 0.0F);
    for (std::size_t i = 0; i < right_half.size(); i++)
        if (i % side >= side / 2) right_half[i] = 1.0F;
    const omniid::Conditioning conditioning =
        engine
            .condition({omniid::ConditioningInput(person.identity, 0.8F).fractions(0.0, 0.67),
                        omniid::ConditioningInput(person.identity, 0.5F).mask(right_half, side, side)})
            .value();

    Renderer renderer(layers, side);
    float error = 0.0F, effect = 0.0F;
    const auto hook = [&](LayerCall &call) {
        std::vector<float> expected = call.output, before = call.output;
        for (std::size_t identity = 0; identity < conditioning.identity_count().value(); identity++)
            for (std::size_t row = 0; row < call.batch; row++)
                attend(conditioning, identity, layers[call.layer], call, row, expected);

        // This is all that a host has to do:
        const auto width = static_cast<std::int64_t>(layers[call.layer].width());
        const auto rows = static_cast<std::int64_t>(call.rows), batch = static_cast<std::int64_t>(call.batch);
        omniid::InjectCall inject(call.layer, omniid::TensorView(call.query.data(), {batch, rows, width}),
                                  omniid::TensorView(call.output.data(), {batch, rows, width}));
        inject.roles = roles;
        inject.fraction = call.fraction;
        inject.scale = strength;
        inject.latent_height = inject.latent_width = side;
        conditioning.inject(inject).value();

        for (std::size_t i = 0; i < expected.size(); i++) {
            error = std::max(error, std::abs(call.output[i] - expected[i]));
            effect = std::max(effect, std::abs(call.output[i] - before[i]));
        }
    };
    const std::vector<float> with = renderer.render(steps, 1, hook);
    const std::vector<float> without = renderer.render(steps, 1, [](LayerCall &) {});
    float change = 0.0F;
    for (std::size_t i = 0; i < with.size(); i++) change = std::max(change, std::abs(with[i] - without[i]));

    std::printf(
        "%zu photos, %llu encoded; %d steps, %zu layers: injection changes a layer's output by up to %.3g and the "
        "picture by up to %.3g; largest error against the formula %.3g\n",
        photos.size(), static_cast<unsigned long long>(encoded), steps, layers.size(), static_cast<double>(effect),
        static_cast<double>(change), static_cast<double>(error));
    return error <= 1e-5F && effect > 1e-3F && change > 1e-4F ? 0 : 1;
}

} // namespace

int main(int count, char **arguments) {
    if (count < 3) {
        std::fprintf(stderr, "usage: %s MODEL PHOTO...\n", arguments[0]);
        return 2;
    }
    std::vector<omniid::Photo> photos;
    for (int i = 2; i < count; i++) photos.push_back(omniid::Photo::file(arguments[i]));
    try {
        return run(arguments[1], photos);
    } catch (const omniid::Error &error) {
        std::fprintf(stderr, "%s: %s\n", omniid::status_text(error.status()), error.what());
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
    }
    return 1;
}
