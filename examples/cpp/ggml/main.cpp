/*
 * Identity conditioning in a ggml graph, on real ggml: a few cross-attention blocks in the layout of
 * stable-diffusion.cpp run with two identities, a mask, a step range and both sides of guidance in one batch, once with
 * OmniID as an operation of the graph and once with its keys and values as tensors of the graph. Both are compared with
 * the formula, computed here in plain C++.
 *
 *     ggml_identity MODEL PHOTO...
 */
#include "formula.hpp"
#include "omniid_ggml.hpp"
#include "unet.hpp"

#include <algorithm>
#include <cstdio>

namespace {

// A latent of 6 by 8.
constexpr std::int64_t rows = 48;
constexpr std::uint32_t latent_height = 6, latent_width = 8;

/// What was found of one way into the graph.
struct Found {
    float error = 0.0F;  ///< Largest error of an injection against the formula.
    float effect = 0.0F; ///< Largest change.
};

/// The blocks with their weights.
class UNet {
  public:
    explicit UNet(const omniid::Conditioning &layout) {
        for (std::size_t i = 0; i < layout.layer_count().value(); i++) {
            const omniid::HostLayer layer = layout.layer(i).value();
            blocks_.emplace_back(weights_.get(), layer.heads, layer.head_dim);
        }
        buffer_ = ggml_backend_alloc_ctx_tensors(weights_.get(), backend_.backend);
        if (buffer_ == nullptr) throw std::runtime_error("ggml has no memory for the weights");
        Noise noise(1);
        for (const CrossAttention &block : blocks_)
            for (ggml_tensor *weight : {block.to_q, block.to_k, block.to_v, block.to_out})
                set(weight, noise(static_cast<std::size_t>(ggml_nelements(weight)), 0.5F));
    }
    UNet(const UNet &) = delete;
    UNet &operator=(const UNet &) = delete;
    ~UNet() { ggml_backend_buffer_free(buffer_); }

    ggml_backend_t backend() const { return backend_.backend; }

    /// Runs the blocks once on `threads` threads with one of the two ways; returns what each layer made, and adds to
    /// `found`. `reference` has what is expected.
    std::vector<std::vector<float>> run(omniid_ggml::Injector *injector, omniid_ggml::TensorInjector *tensors,
                                        const omniid::Conditioning &reference, const omniid_ggml::Pass &pass,
                                        std::int64_t batch, int threads, Found &found) {
        ggml_backend_cpu_set_n_threads(backend_.backend, threads);
        Context context = make_context(1024);
        ggml_cgraph *graph = ggml_new_graph(context.get());
        ggml_tensor *input = ggml_new_tensor_3d(context.get(), GGML_TYPE_F32, CrossAttention::channels, rows, batch);
        ggml_tensor *text = ggml_new_tensor_3d(context.get(), GGML_TYPE_F32, CrossAttention::context_width,
                                               CrossAttention::context_rows, batch);
        ggml_set_input(input);
        ggml_set_input(text);
        ggml_tensor *x = input;
        std::vector<Taps> taps(blocks_.size());
        if (tensors != nullptr) tensors->begin(pass);
        for (std::size_t i = 0; i < blocks_.size(); i++) {
            const auto hook = [&](ggml_tensor *query, ggml_tensor *attention) {
                if (injector != nullptr) return injector->inject(context.get(), query, attention, i);
                return tensors->inject(context.get(), query, attention, i);
            };
            x = blocks_[i].build(context.get(), graph, x, text, hook, taps[i]);
        }
        ggml_set_output(x);
        ggml_build_forward_expand(graph, x);

        const std::unique_ptr<ggml_gallocr, void (*)(ggml_gallocr_t)> memory(
            ggml_gallocr_new(ggml_backend_get_default_buffer_type(backend_.backend)), &ggml_gallocr_free);
        if (!ggml_gallocr_alloc_graph(memory.get(), graph))
            throw std::runtime_error("ggml has no memory for the graph");
        Noise noise(7);
        set(input, noise(static_cast<std::size_t>(ggml_nelements(input)), 1.0F));
        set(text, noise(static_cast<std::size_t>(ggml_nelements(text)), 1.0F));
        if (tensors != nullptr)
            tensors->fill(context.get(), [](ggml_tensor *tensor, const void *data, std::size_t size) {
                ggml_backend_tensor_set(tensor, data, 0, size);
            });
        if (injector != nullptr) injector->begin(pass);
        if (ggml_backend_graph_compute(backend_.backend, graph) != GGML_STATUS_SUCCESS)
            throw std::runtime_error("ggml failed");
        if (injector != nullptr) injector->finish();

        std::vector<std::vector<float>> made;
        for (std::size_t i = 0; i < taps.size(); i++) {
            const std::vector<float> query = read(taps[i].query), before = read(taps[i].before);
            std::vector<float> expected = before;
            made.push_back(read(taps[i].after));
            for (std::size_t row = 0; row < static_cast<std::size_t>(batch); row++)
                for (std::size_t identity = 0; identity < reference.identity_count().value(); identity++) {
                    if (!reference.is_active(identity, pass.sigma, pass.fraction).value()) continue;
                    omniid::Role role = omniid::Role::conditional;
                    if (!pass.roles.empty()) role = pass.roles[pass.roles.size() == 1 ? 0 : row];
                    attend(reference, i, identity, role, pass.scale, latent_height, latent_width, query, expected, rows,
                           row);
                }
            for (std::size_t j = 0; j < expected.size(); j++) {
                found.error = std::max(found.error, std::abs(made.back()[j] - expected[j]));
                found.effect = std::max(found.effect, std::abs(made.back()[j] - before[j]));
            }
        }
        return made;
    }

  private:
    static void set(ggml_tensor *tensor, const std::vector<float> &values) {
        ggml_backend_tensor_set(tensor, values.data(), 0, values.size() * sizeof(float));
    }

    Backend backend_;
    Context weights_ = make_context(64);
    std::vector<CrossAttention> blocks_;
    ggml_backend_buffer_t buffer_ = nullptr;
};

bool failed = false;

void check(bool holds, const char *what) {
    if (holds) return;
    std::fprintf(stderr, "FAILED: %s\n", what);
    failed = true;
}

int run(const std::string &model, const std::vector<omniid::Photo> &photos) {
    using omniid::Role;
    const omniid::Engine engine = omniid::Engine::open(model).value();
    const omniid::Identity identity = engine.encode(photos).value().identity;
    // One on the left half of the picture until late in sampling, another, weaker one everywhere.
    const std::vector<float> left = {1.0F, 1.0F, 0.25F, 0.0F};
    const auto condition = [&](float scale, omniid::Precision precision) {
        const std::vector<omniid::ConditioningInput> inputs = {
            omniid::ConditioningInput(identity, scale).sigmas(14.7, 1.0).mask(left, 1, 4),
            omniid::ConditioningInput(identity, -0.3F * scale).unconditional(omniid::Unconditional::none)};
        return engine.condition(inputs, omniid::ConditioningOptions().precision(precision)).value();
    };
    const omniid::Conditioning plain = condition(0.8F, omniid::Precision::f32);
    UNet unet(plain);

    omniid_ggml::Pass pass;
    pass.latent_height = latent_height, pass.latent_width = latent_width;
    pass.scale = 0.5F;
    Found found;
    omniid_ggml::Injector injector(plain, unet.backend());
    for (const double sigma : {14.6, 0.5}) {
        pass.sigma = sigma;
        // One side of guidance as in stable-diffusion.cpp, one role for all, and several in one batch.
        for (const std::vector<Role> &roles : {std::vector<Role>{},
                                               {Role::unconditional},
                                               {Role::conditional, Role::unconditional, Role::unconditional}}) {
            pass.roles = roles;
            const std::int64_t batch = roles.size() > 1 ? static_cast<std::int64_t>(roles.size()) : 1;
            const auto one = unet.run(&injector, nullptr, plain, pass, batch, 1, found);
            for (const int threads : {2, 3, 8})
                check(unet.run(&injector, nullptr, plain, pass, batch, threads, found) == one,
                      "every number of threads gives the same bits");
        }
    }
    check(found.error <= 1e-5F && found.effect > 1e-3F, "the operation on the processor is the formula");

    // The same with keys and values as tensors, in each number type and both arrangements.
    const std::pair<omniid::Precision, float> precisions[] = {
        {omniid::Precision::f32, 1e-5F}, {omniid::Precision::f16, 1e-3F}, {omniid::Precision::bf16, 6e-3F}};
    float worst[3] = {};
    for (std::size_t i = 0; i < 3; i++)
        for (const auto arrangement : {omniid_ggml::Arrangement::by_head, omniid_ggml::Arrangement::tokens_first}) {
            const omniid::Conditioning conditioning = condition(0.8F, precisions[i].first);
            omniid_ggml::TensorInjector tensors(conditioning, unet.backend(), arrangement);
            Found result;
            for (const double sigma : {14.6, 0.5}) {
                pass.sigma = sigma;
                pass.roles = {Role::conditional, Role::unconditional, Role::unconditional};
                unet.run(nullptr, &tensors, conditioning, pass, 3, 2, result);
            }
            pass.roles = {Role::unconditional};
            tensors.release();
            tensors.set_active({false, true});
            unet.run(nullptr, &tensors, conditioning, pass, 1, 2, result);
            worst[i] = std::max(worst[i], result.error);
            check(result.error <= precisions[i].second && result.effect > 1e-3F, "tensors give the formula");
            check(tensors.byte_size() >= conditioning.byte_size().value(), "all keys and values are on the backend");
        }

    // Scale 0 is no tensor, no error and no change.
    const omniid::Conditioning off = condition(0.0F, omniid::Precision::f16);
    omniid_ggml::TensorInjector nothing(off, unet.backend());
    omniid_ggml::Injector nobody(off, unet.backend());
    Found quiet;
    pass.sigma = 14.6;
    pass.roles = {};
    unet.run(nullptr, &nothing, off, pass, 1, 2, quiet);
    unet.run(&nobody, nullptr, off, pass, 1, 2, quiet);
    check(nothing.byte_size() == 0 && quiet.effect == 0.0F && quiet.error == 0.0F, "scale 0 leaves the graph alone");

    // What tensors cannot express is refused, and not left out.
    const auto refused = [&](const omniid::ConditioningOptions &options) {
        const omniid::Conditioning more = engine.condition({omniid::ConditioningInput(identity)}, options).value();
        try {
            const omniid_ggml::TensorInjector tensors(more, unet.backend());
        } catch (const omniid::Error &refusal) {
            return refusal.status() == omniid::Status::unsupported;
        }
        return false;
    };
    check(!refused({}) && refused(omniid::ConditioningOptions::pulid(omniid::PulidMode::fidelity)) &&
              refused(omniid::ConditioningOptions().zero_tokens(2)),
          "orthogonal injection and zero tokens are refused as tensors");

    // An error inside the graph comes out of finish(), not through ggml.
    bool reported = false;
    pass.sigma.reset();
    try {
        unet.run(&injector, nullptr, off, pass, 1, 2, quiet); // a sigma is needed and not given
    } catch (const omniid::Error &refusal) {
        reported = refusal.status() == omniid::Status::invalid_argument;
    }
    check(reported, "finish() reports an error");

    std::printf("ggml %s: %zu layers, injection changes the attention by up to %.3g; largest error against the formula "
                "%.3g, with tensors of f32 %.3g, f16 %.3g, bf16 %.3g\n",
                ggml_version(), plain.layer_count().value(), static_cast<double>(found.effect),
                static_cast<double>(found.error), static_cast<double>(worst[0]), static_cast<double>(worst[1]),
                static_cast<double>(worst[2]));
    return failed ? 1 : 0;
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
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
