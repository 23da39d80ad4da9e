/*
 * The places of stable-diffusion.cpp at which identities are added. patch.py copies this file into its source and
 * inserts the calls; it needs nothing of OmniID, so that stable-diffusion.cpp is built as before. A program sets hook()
 * to an object of its own, such as omniid_sdcpp::HookedIdentity; without one every call does nothing.
 */
#ifndef OMNIID_HOOK_HPP
#define OMNIID_HOOK_HPP

#include <ggml-backend.h>
#include <ggml.h>

#include <cstdint>
#include <string>

namespace omniid_hook {

/// The pass of the diffusion model that comes next.
struct Pass {
    double sigma;                ///< Noise level.
    double fraction;             ///< Fraction of sampling that is done.
    bool unconditional;          ///< Whether it does not follow the prompt.
    std::uint32_t latent_height; ///< Size of the latent picture.
    std::uint32_t latent_width;  ///< Likewise.
};

/// What is called. Its functions throw nothing.
class Hook {
  public:
    virtual ~Hook() = default;

    /// Before the graph of a pass is built.
    virtual void begin(const Pass &pass) = 0;

    /// While a graph for `backend` is built: `output` with what is added to it in the layer of that name, or `output`.
    /// UNet: `query` and `output` are `ne = [heads * head_dim, rows, batch]`, the attention to the text before its
    /// output projection. FLUX: `query` is `[head_dim, heads, rows, batch]`, that of the image after its normalisation
    /// and before RoPE; `output` is the image stream behind the block.
    virtual ggml_tensor *layer(ggml_context *context, ggml_backend_t backend, ggml_tensor *query, ggml_tensor *output,
                               const std::string &name) = 0;

    /// When the inputs of a graph, whose tensors are in `context`, or of a part of it have memory. May be called
    /// several times, and for graphs of other models.
    virtual void fill(ggml_context *context) = 0;
};

/// The hook of the process; NULL for none. Set it while no picture is being made.
inline Hook *&hook() {
    static Hook *current = nullptr;
    return current;
}

inline void begin(double sigma, int step, double steps, bool unconditional, std::int64_t height, std::int64_t width) {
    if (hook() == nullptr) return;
    // Steps count from 1; some samplers mark an evaluation in between by a negative number.
    const double done = (step < 0 ? -step : step) - 1;
    const double fraction = steps > 0 && done > 0 ? done / steps : 0.0;
    hook()->begin(
        {sigma, fraction, unconditional, static_cast<std::uint32_t>(height), static_cast<std::uint32_t>(width)});
}

inline ggml_tensor *layer(ggml_context *context, ggml_backend_t backend, ggml_tensor *query, ggml_tensor *output,
                          const std::string &name) {
    return hook() == nullptr ? output : hook()->layer(context, backend, query, output, name);
}

inline void fill(ggml_context *context) {
    if (hook() != nullptr) hook()->fill(context);
}

} // namespace omniid_hook

#endif
