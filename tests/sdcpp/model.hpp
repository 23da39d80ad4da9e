/*
 * Blocks of the real stable-diffusion.cpp in small, from its own source: two cross-attentions of a UNet, and a double
 * block of FLUX. Weights are random.
 */
#ifndef SDCPP_MODEL_HPP
#define SDCPP_MODEL_HPP

#include "common_block.hpp"
#include "flux.hpp"

#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

constexpr std::int64_t rows = 48, channels = 24, text_width = 20, text_rows = 5;

/// Numbers between -1 and 1, the same on every system.
class Noise {
  public:
    explicit Noise(std::uint32_t seed) : state_(seed) {}
    std::vector<float> operator()(std::int64_t count, float amplitude) {
        std::vector<float> values(static_cast<std::size_t>(count));
        for (float &value : values) {
            state_ = state_ * 1664525U + 1013904223U;
            value = amplitude * (static_cast<float>(state_ >> 8U) / 8388608.0F - 1.0F);
        }
        return values;
    }

  private:
    std::uint32_t state_;
};

inline const char *const unet_names[] = {"model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2",
                                         "model.diffusion_model.output_blocks.3.1.transformer_blocks.0.attn2"};
inline const char *const flux_names[] = {"model.diffusion_model.double_blocks.0",
                                         "model.diffusion_model.double_blocks.1"};

/// Runs blocks as stable-diffusion.cpp runs its models. `graph` is the one that is being built.
class Model : public GGMLRunner {
  public:
    explicit Model(ggml_backend_t backend) : GGMLRunner(backend) {}
    std::string get_desc() override { return "test"; }

    void add(std::unique_ptr<GGMLBlock> block, const std::string &name) {
        block->init(params_ctx, {}, name);
        names_.push_back(name);
        blocks_.push_back(std::move(block));
    }
    /// Random weights, named as those of a loaded model.
    void fill() {
        if (!alloc_params_buffer()) throw std::runtime_error("no memory for the weights");
        Noise noise(1);
        for (std::size_t i = 0; i < blocks_.size(); i++) {
            std::map<std::string, ggml_tensor *> tensors;
            blocks_[i]->get_param_tensors(tensors, names_[i]);
            for (auto &[name, tensor] : tensors) {
                ggml_set_name(tensor, name.c_str());
                const auto values = noise(ggml_nelements(tensor), 0.5F);
                ggml_backend_tensor_set(tensor, values.data(), 0, ggml_nbytes(tensor));
            }
        }
    }
    template <class Block>
    Block &block(std::size_t i) {
        return dynamic_cast<Block &>(*blocks_[i]);
    }

    ggml_cgraph *graph = nullptr;

  protected:
    template <class Build>
    std::vector<float> run(Build &&build, int threads) {
        const auto get_graph = [&] {
            graph = new_graph_custom(2048);
            GGMLRunnerContext context = get_context();
            // The last node is the result, whatever else has been put into the graph.
            ggml_build_forward_expand(graph, ggml_cont(context.ggml_ctx, build(context)));
            return graph;
        };
        const auto result = compute<float>(get_graph, threads, false);
        if (!result) throw std::runtime_error("the computation failed");
        return std::vector<float>(result->data(), result->data() + result->numel());
    }
    ggml_tensor *input(std::vector<std::int64_t> shape, std::uint32_t seed, float amplitude = 1.0F) {
        std::int64_t count = 1;
        for (const std::int64_t size : shape) count *= size;
        inputs_.push_back(std::make_unique<sd::Tensor<float>>(shape, Noise(seed)(count, amplitude)));
        return make_input(*inputs_.back());
    }

  private:
    std::vector<std::unique_ptr<GGMLBlock>> blocks_;
    std::vector<std::string> names_;
    std::vector<std::unique_ptr<sd::Tensor<float>>> inputs_;
};

/// Two cross-attentions, of 2 and 4 heads of 8.
class UNet : public Model {
  public:
    explicit UNet(ggml_backend_t backend) : Model(backend) {
        add(std::make_unique<CrossAttention>(channels, text_width, 2, 8), unet_names[0]);
        add(std::make_unique<CrossAttention>(channels, text_width, 4, 8), unet_names[1]);
        fill();
    }
    ggml_tensor *build(GGMLRunnerContext &context, ggml_tensor *x, ggml_tensor *text) {
        for (std::size_t i = 0; i < 2; i++)
            x = ggml_add(context.ggml_ctx, x, block<CrossAttention>(i).forward(&context, x, text));
        return x;
    }
    std::vector<float> compute(int threads) {
        return run(
            [&](GGMLRunnerContext &context) {
                return build(context, input({channels, rows, 2}, 7), input({text_width, text_rows, 2}, 8));
            },
            threads);
    }
};

/// A double block of FLUX of `heads` heads of 8.
class Flux1 : public Model {
  public:
    Flux1(ggml_backend_t backend, std::int64_t heads, const std::string &name) : Model(backend), width_(heads * 8) {
        add(std::make_unique<Flux::DoubleStreamBlock>(width_, heads, 2.0F, 0, true), name);
        fill();
    }
    std::vector<float> compute(int threads) {
        return run(
            [&](GGMLRunnerContext &context) {
                // A rotation for each position and pair of channels.
                ggml_tensor *rotations = input({2, 2, 4, rows + text_rows}, 5);
                auto [image, text] = block<Flux::DoubleStreamBlock>(0).forward(&context, input({width_, rows, 1}, 7),
                                                                               input({width_, text_rows, 1}, 8),
                                                                               input({width_, 1}, 9), rotations);
                ggml_build_forward_expand(graph, text);
                return image;
            },
            threads);
    }

  private:
    std::int64_t width_;
};

#endif
