/*
 * The hook in stable-diffusion.cpp's own source: what it adds in UNets and FLUX is the formula, both ways and for any
 * number of threads, and nothing at scale 0. Then GGUF files, read by the ggml of stable-diffusion.cpp.
 *
 *     hook MODEL PHOTO TOKENS.gguf
 */
#include "formula.hpp"
#include "model.hpp"
#include "omniid_sdcpp_hook.hpp"

#include <gguf.h>

#include <cstdio>

namespace {

using omniid_sdcpp::HookedIdentity;
using omniid_sdcpp::Way;

bool failed = false;

void check(bool holds, const std::string &what) {
    if (holds) return;
    std::fprintf(stderr, "FAILED: %s\n", what.c_str());
    failed = true;
}

std::vector<float> read(const ggml_tensor *tensor) {
    std::vector<float> values(static_cast<std::size_t>(ggml_nelements(tensor)));
    ggml_backend_tensor_get(tensor, values.data(), 0, ggml_nbytes(tensor));
    return values;
}

/// Looks at what goes into another hook and comes out of it.
class Tapped final : public omniid_hook::Hook {
  public:
    struct Tap {
        std::string name;
        ggml_tensor *query, *before, *after;
    };
    Tapped(omniid_hook::Hook &inner, const Model &model) : inner_(inner), model_(model) { omniid_hook::hook() = this; }
    ~Tapped() override { omniid_hook::hook() = nullptr; }
    void begin(const omniid_hook::Pass &pass) override { inner_.begin(pass); }
    ggml_tensor *layer(ggml_context *context, ggml_backend_t backend, ggml_tensor *query, ggml_tensor *output,
                       const std::string &name) override {
        Tap tap{name, keep(context, ggml_cont(context, query)), keep(context, output), nullptr};
        output = inner_.layer(context, backend, query, output, name);
        tap.after = keep(context, output);
        taps.push_back(tap);
        return output;
    }
    void fill(ggml_context *context) override { inner_.fill(context); }
    std::vector<Tap> taps;

  private:
    ggml_tensor *keep(ggml_context *context, ggml_tensor *tensor) const {
        ggml_tensor *copy = ggml_dup(context, tensor);
        ggml_set_output(copy);
        ggml_build_forward_expand(model_.graph, copy);
        return copy;
    }
    omniid_hook::Hook &inner_;
    const Model &model_;
};

struct Found {
    float error = 0.0F, effect = 0.0F;
};

/// Runs a model with an identity; returns its output.
template <class Host>
std::vector<float> run(Host &model, const omniid::Conditioning &conditioning, Way way, double sigma, bool unconditional,
                       std::uint32_t height, std::uint32_t width, int threads, Found &found) {
    HookedIdentity identity(conditioning, way, 0.5F);
    Tapped tapped(identity, model);
    // As the call in the sampler.
    omniid_hook::begin(sigma, 3, 20.0, unconditional, height, width);
    const std::vector<float> output = model.compute(threads);
    identity.finish();
    check(!tapped.taps.empty(), "the hook was called");
    for (const Tapped::Tap &tap : tapped.taps) {
        check(!tap.name.empty() && tap.name.back() == '.', "the block knows its name: " + tap.name);
        const std::size_t layer = omniid_ggml::find_layer(conditioning, tap.name);
        const std::vector<float> query = read(tap.query), before = read(tap.before), after = read(tap.after);
        std::vector<float> expected = before;
        const auto batch = static_cast<std::size_t>(tap.before->ne[2]);
        const auto role = unconditional ? omniid::Role::unconditional : omniid::Role::conditional;
        for (std::size_t row = 0; row < batch; row++)
            for (std::size_t i = 0; i < conditioning.identity_count().value(); i++)
                if (conditioning.is_active(i, sigma, 0.1).value())
                    attend(conditioning, layer, i, role, 0.5F, height, width, query, expected, rows, row);
        for (std::size_t j = 0; j < expected.size(); j++) {
            found.error = std::max(found.error, std::abs(after[j] - expected[j]));
            found.effect = std::max(found.effect, std::abs(after[j] - before[j]));
        }
    }
    return output;
}

omniid::Conditioning condition(const omniid::Engine &engine, const omniid::Identity &identity, float scale) {
    const std::vector<float> left = {1.0F, 1.0F, 0.25F, 0.0F};
    return engine
        .condition(std::vector<omniid::ConditioningInput>{
            omniid::ConditioningInput(identity, scale).sigmas(14.7, 1.0).mask(left, 1, 4),
            omniid::ConditioningInput(identity, -0.3F * scale).fractions(0.0, 0.5).negative(identity)})
        .value();
}

template <class Host>
void test(const char *what, Host &model, const omniid::Engine &engine, const omniid::Identity &identity,
          std::uint32_t height, std::uint32_t width) {
    const omniid::Conditioning conditioning = condition(engine, identity, 0.8F),
                               off = condition(engine, identity, 0.0F);
    const std::vector<float> plain = model.compute(2);
    float errors[2];
    for (const Way way : {Way::processor, Way::tensors}) {
        Found found, quiet;
        for (const double sigma : {14.6, 0.5})
            for (const bool unconditional : {false, true}) {
                const auto one = run(model, conditioning, way, sigma, unconditional, height, width, 1, found);
                check(one != plain, "the identity changes the output");
                for (const int threads : {2, 3, 8})
                    check(run(model, conditioning, way, sigma, unconditional, height, width, threads, found) == one,
                          "every number of threads gives the same bits");
            }
        check(found.error <= 1e-5F && found.effect > 1e-3F, std::string(what) + ": the formula");
        check(run(model, off, way, 14.6, false, height, width, 2, quiet) == plain,
              "scale 0 is the plain model to the bit");
        check(quiet.effect == 0.0F, "scale 0 adds nothing");
        errors[way == Way::tensors] = found.error;
    }
    check(model.compute(2) == plain, "without a hook nothing happens");
    std::printf("%s: largest error against the formula %.3g on the processor, %.3g with tensors\n", what,
                static_cast<double>(errors[0]), static_cast<double>(errors[1]));
}

omniid::Engine open(const char *model, const char *const (&names)[2]) {
    const std::vector<omniid::HostLayer> layers = {{2, 8, 20, names[0]}, {4, 8, 20, names[1]}};
    return omniid::Engine::open(omniid::EngineOptions(model).host("small", layers)).value();
}

/// What a GGUF file has is what keys are projected from: the tokens are as many as the keys.
void test_gguf(const char *path, const omniid::Conditioning &conditioning) {
    ggml_context *context = nullptr;
    gguf_context *file = gguf_init_from_file(path, {false, &context});
    check(file != nullptr, "ggml reads the GGUF file");
    if (file == nullptr) return;
    const auto tokens = conditioning.keys(0, 0).value().shape()[0];
    for (const char *name : {"ip_adapter.tokens", "ip_adapter.unconditional_tokens"}) {
        const ggml_tensor *tensor = ggml_get_tensor(context, name);
        check(tensor != nullptr && tensor->type == GGML_TYPE_F32 && tensor->ne[0] == 20 && tensor->ne[1] == tokens,
              std::string(name) + " has the adapter's context width and the identity's tokens");
    }
    const auto key = gguf_find_key(file, "general.architecture");
    check(key >= 0 && std::string(gguf_get_val_str(file, key)) == "ip_adapter", "the metadata");
    gguf_free(file);
    ggml_free(context);
}

int run(char **arguments) {
    const ggml_backend_t backend = ggml_backend_cpu_init();
    const std::vector<omniid::Photo> photos = {omniid::Photo::file(arguments[2])};
    const omniid::Engine unet_engine = open(arguments[1], unet_names), flux_engine = open(arguments[1], flux_names);
    const omniid::Identity identity = unet_engine.encode(photos).value().identity;
    {
        UNet unet(backend);
        test("UNet", unet, unet_engine, identity, 6, 8);
        // A model of another kind is reported.
        bool reported = false;
        const omniid::Conditioning conditioning = condition(flux_engine, identity, 1.0F);
        HookedIdentity other(conditioning);
        unet.compute(1);
        try {
            other.finish();
        } catch (const omniid::Error &error) {
            reported = error.status() == omniid::Status::mismatch;
        }
        check(reported, "finish() reports a model without the host's layers");
    }
    for (int i = 0; i < 2; i++) {
        // Tokens of FLUX are patches of 2 by 2.
        Flux1 flux(backend, i == 0 ? 2 : 4, flux_names[i]);
        test("FLUX", flux, flux_engine, identity, 12, 16);
    }
    test_gguf(arguments[3], condition(unet_engine, identity, 1.0F));
    ggml_backend_free(backend);
    return failed ? 1 : 0;
}

} // namespace

int main(int count, char **arguments) {
    if (count != 4) return 2;
    try {
        return run(arguments);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
