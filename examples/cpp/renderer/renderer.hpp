/*
 * A renderer in miniature: it makes a picture in steps, and at each step the picture's hidden state passes through a
 * few attention layers, as in any diffusion model. All that connects it with OmniID is one hook, called where the
 * queries and the attention output of a layer are at hand.
 */
#ifndef RENDERER_HPP
#define RENDERER_HPP

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

/// An attention layer of the renderer.
struct Layer {
    std::size_t heads;
    std::size_t head_dim;

    [[nodiscard]] std::size_t width() const { return heads * head_dim; }
};

/// What the hook gets to see. `query` and `output` are `[batch, rows, heads * head_dim]`; `output` may be changed.
struct LayerCall {
    std::size_t layer;
    std::size_t batch;
    std::size_t rows;
    double fraction; ///< Share of sampling that is done, 0 to 1.
    std::vector<float> &query;
    std::vector<float> &output;
};

/// Draws pictures of `side` x `side` pixels. Guidance needs two rows in each batch: row 0 is unconditional, row 1 is
/// conditioned on the prompt.
class Renderer {
  public:
    using Hook = std::function<void(LayerCall &)>;

    Renderer(std::vector<Layer> layers, std::size_t side);

    /// Makes one picture, `side * side` grey values from 0 to 1.
    [[nodiscard]] std::vector<float> render(int steps, std::uint32_t seed, const Hook &hook);

  private:
    static constexpr std::size_t batch = 2;

    std::vector<Layer> layers_;
    std::size_t side_;
};

#endif
