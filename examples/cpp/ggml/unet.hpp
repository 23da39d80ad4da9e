/*
 * The part of a ggml UNet that matters here: a chain of cross-attention blocks, with the operations and the tensor
 * layout of stable-diffusion.cpp's CrossAttention (queries and attention output are f32,
 * ne = [heads * head_dim, rows, batch]). Weights are random. Each block takes a hook between its attention to the text
 * and its output projection.
 */
#ifndef UNET_HPP
#define UNET_HPP

#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <ggml.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <vector>

/// Numbers between -1 and 1, the same on every system.
class Noise {
  public:
    explicit Noise(std::uint32_t seed) : state_(seed) {}

    std::vector<float> operator()(std::size_t count, float amplitude) {
        std::vector<float> values(count);
        for (float &value : values) {
            state_ = state_ * 1664525U + 1013904223U;
            value = amplitude * (static_cast<float>(state_ >> 8U) / 8388608.0F - 1.0F);
        }
        return values;
    }

  private:
    std::uint32_t state_;
};

struct ContextDeleter {
    void operator()(ggml_context *context) const { ggml_free(context); }
};
using Context = std::unique_ptr<ggml_context, ContextDeleter>;

/// A context for `tensors` tensors without memory of their own.
inline Context make_context(std::size_t tensors) {
    Context context(ggml_init({ggml_tensor_overhead() * tensors + ggml_graph_overhead(), nullptr, true}));
    if (!context) throw std::runtime_error("ggml_init failed");
    return context;
}

/// What is looked at around one injection, `[width, rows, batch]` each.
struct Taps {
    ggml_tensor *query;
    ggml_tensor *before;
    ggml_tensor *after;
};

/// One cross-attention block.
struct CrossAttention {
    static constexpr std::int64_t channels = 24, context_width = 20, context_rows = 5;

    std::int64_t heads, head_dim;
    ggml_tensor *to_q, *to_k, *to_v, *to_out;

    CrossAttention(ggml_context *weights, std::int64_t heads_, std::int64_t head_dim_)
        : heads(heads_), head_dim(head_dim_) {
        const std::int64_t width = heads * head_dim;
        to_q = ggml_new_tensor_2d(weights, GGML_TYPE_F32, channels, width);
        to_k = ggml_new_tensor_2d(weights, GGML_TYPE_F32, context_width, width);
        to_v = ggml_new_tensor_2d(weights, GGML_TYPE_F32, context_width, width);
        to_out = ggml_new_tensor_2d(weights, GGML_TYPE_F32, width, channels);
    }

    /// `x`: [channels, rows, batch], `text`: [context_width, context_rows, batch].
    ggml_tensor *build(ggml_context *g, ggml_cgraph *graph, ggml_tensor *x, ggml_tensor *text,
                       const std::function<ggml_tensor *(ggml_tensor *query, ggml_tensor *attention)> &hook,
                       Taps &taps) const {
        const std::int64_t rows = x->ne[1], batch = x->ne[2];
        ggml_tensor *query = ggml_mul_mat(g, to_q, x);
        const auto by_head = [&](ggml_tensor *t) {
            return ggml_cont(g, ggml_permute(g, ggml_reshape_4d(g, t, head_dim, heads, t->ne[1], batch), 0, 2, 1, 3));
        };
        ggml_tensor *q = by_head(query), *k = by_head(ggml_mul_mat(g, to_k, text)),
                    *v = by_head(ggml_mul_mat(g, to_v, text));
        ggml_tensor *weights =
            ggml_soft_max_ext(g, ggml_mul_mat(g, k, q), nullptr, 1.0F / std::sqrt(static_cast<float>(head_dim)), 0.0F);
        ggml_tensor *mixed = ggml_mul_mat(g, ggml_cont(g, ggml_transpose(g, v)), weights);
        ggml_tensor *attention =
            ggml_reshape_3d(g, ggml_cont(g, ggml_permute(g, mixed, 0, 2, 1, 3)), heads * head_dim, rows, batch);

        // Copies for the check against the formula; a host has no use for them. The first is put into the graph before
        // the hook, which changes the attention in place.
        taps.query = ggml_dup(g, query);
        taps.before = ggml_dup(g, attention);
        for (ggml_tensor *tap : {taps.query, taps.before}) {
            ggml_set_output(tap);
            ggml_build_forward_expand(graph, tap);
        }
        attention = hook(query, attention); // <- identity conditioning
        taps.after = ggml_dup(g, attention);
        ggml_set_output(taps.after);
        ggml_build_forward_expand(graph, taps.after);
        return ggml_add(g, x, ggml_mul_mat(g, to_out, attention));
    }
};

/// Frees ggml's objects in the right order.
struct Backend {
    ggml_backend_t backend = ggml_backend_cpu_init();
    Backend() {
        if (backend == nullptr) throw std::runtime_error("ggml has no CPU backend");
        ggml_backend_cpu_set_n_threads(backend, 2);
    }
    Backend(const Backend &) = delete;
    Backend &operator=(const Backend &) = delete;
    ~Backend() { ggml_backend_free(backend); }
};

/// What a tensor holds.
inline std::vector<float> read(const ggml_tensor *tensor) {
    std::vector<float> values(static_cast<std::size_t>(ggml_nelements(tensor)));
    ggml_backend_tensor_get(tensor, values.data(), 0, ggml_nbytes(tensor));
    return values;
}

#endif
