#include "renderer.hpp"

#include <cmath>
#include <utility>

namespace {

/// Numbers between -1 and 1, the same on every system.
class Noise {
  public:
    explicit Noise(std::uint32_t seed) : state_(seed * 2654435761U + 1U) {}

    float operator()() {
        state_ = state_ * 1664525U + 1013904223U;
        return static_cast<float>(state_ >> 8U) / 8388608.0F - 1.0F;
    }

  private:
    std::uint32_t state_;
};

} // namespace

Renderer::Renderer(std::vector<Layer> layers, std::size_t side) : layers_(std::move(layers)), side_(side) {}

std::vector<float> Renderer::render(int steps, std::uint32_t seed, const Hook &hook) {
    const std::size_t pixels = side_ * side_;
    Noise noise(seed);
    std::vector<float> picture(pixels);
    for (float &value : picture) value = noise();

    for (int step = 0; step < steps; step++) {
        std::vector<float> change(batch * pixels, 0.0F);
        for (std::size_t index = 0; index < layers_.size(); index++) {
            const std::size_t width = layers_[index].width();
            // Queries out of the picture, and what the attention to the text would give: fixed random projections.
            Noise weights(static_cast<std::uint32_t>(index) + 100U);
            std::vector<float> to_query(width), to_text(width);
            for (std::size_t i = 0; i < width; i++) to_query[i] = 3.0F * weights(), to_text[i] = weights();
            std::vector<float> query(batch * pixels * width), output(batch * pixels * width);
            for (std::size_t row = 0; row < batch * pixels; row++) {
                const float value = picture[row % pixels];
                for (std::size_t i = 0; i < width; i++) {
                    query[row * width + i] = std::sin(value * to_query[i] + static_cast<float>(row % pixels));
                    output[row * width + i] = value * to_text[i];
                }
            }
            LayerCall call{index, batch, pixels, steps == 1 ? 0.0 : static_cast<double>(step) / (steps - 1),
                           query, output};
            hook(call);
            for (std::size_t row = 0; row < batch * pixels; row++)
                for (std::size_t i = 0; i < width; i++)
                    change[row] += output[row * width + i] * to_query[i] / static_cast<float>(width);
        }
        // Classifier-free guidance.
        for (std::size_t pixel = 0; pixel < pixels; pixel++) {
            const float without = change[pixel], with = change[pixels + pixel];
            picture[pixel] -= 0.2F * (without + 3.0F * (with - without));
        }
    }
    for (float &value : picture) value = 0.5F + 0.5F * std::tanh(value);
    return picture;
}
