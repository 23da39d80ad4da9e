/*
 * omniid_sdcpp.hpp, for an unpatched stable-diffusion.cpp. The package on PyPI is older than
 * sd_set_backend_eval_callback, so its place is taken by a stand-in: the callback of ggml's own scheduler, which has
 * the same signature and asks the same questions. The graph is one of stable-diffusion.cpp's blocks with the names of
 * its weights.
 *
 *     callback MODEL PHOTO
 */
#include "formula.hpp"
#include "model.hpp"
#include "omniid_sdcpp.hpp"

#include <cstdio>

namespace {

bool failed = false;

void check(bool holds, const char *what) {
    if (holds) return;
    std::fprintf(stderr, "FAILED: %s\n", what);
    failed = true;
}

std::vector<float> read(const ggml_tensor *tensor) {
    std::vector<float> values(static_cast<std::size_t>(ggml_nelements(tensor)));
    ggml_backend_tensor_get(tensor, values.data(), 0, ggml_nbytes(tensor));
    return values;
}

/// Compares what the callback changes with the formula.
struct Observer {
    omniid_sdcpp::EvalCallback &identity;
    const omniid::Conditioning &conditioning;
    omniid::Role role = omniid::Role::conditional;
    double fraction = 0.0;
    float error = 0.0F, effect = 0.0F;
    std::size_t layers = 0;
    std::vector<float> query{};

    static bool callback(ggml_tensor *tensor, bool ask, void *self) {
        return static_cast<Observer *>(self)->see(tensor, ask);
    }
    bool see(ggml_tensor *tensor, bool ask) {
        const std::string weight = tensor->op == GGML_OP_MUL_MAT ? tensor->src[0]->name : "";
        const auto ends = [&](const std::string &ending) {
            return weight.size() > ending.size() &&
                   weight.compare(weight.size() - ending.size(), ending.size(), ending) == 0;
        };
        if (!ask && ends("attn2.to_q.weight")) query = read(tensor);
        if (!ask || !ends("attn2.to_out.0.weight")) return identity.callback(tensor, ask, &identity);
        std::vector<float> expected = read(tensor->src[1]);
        const std::vector<float> before = expected;
        const bool answer = identity.callback(tensor, ask, &identity);
        const std::vector<float> after = read(tensor->src[1]);
        const std::size_t layer = conditioning.find_layer(weight.substr(0, weight.find(".attn2"))).value();
        for (std::size_t row = 0; row < static_cast<std::size_t>(tensor->src[1]->ne[2]); row++)
            for (std::size_t i = 0; i < conditioning.identity_count().value(); i++)
                if (conditioning.is_active(i, std::nullopt, fraction).value())
                    attend(conditioning, layer, i, role, 1.0F, 6, 8, query, expected, rows, row);
        for (std::size_t j = 0; j < before.size(); j++) {
            error = std::max(error, std::abs(after[j] - expected[j]));
            effect = std::max(effect, std::abs(after[j] - before[j]));
        }
        layers++;
        return answer;
    }
};

/// A pass of the model with a callback: the stand-in.
std::vector<float> pass(UNet &unet, ggml_backend_t backend, ggml_backend_sched_eval_callback callback, void *data) {
    ggml_context *context = ggml_init({ggml_tensor_overhead() * 512 + ggml_graph_overhead(), nullptr, true});
    ggml_cgraph *graph = ggml_new_graph(context);
    ggml_tensor *x = ggml_new_tensor_3d(context, GGML_TYPE_F32, channels, rows, 1);
    ggml_tensor *text = ggml_new_tensor_3d(context, GGML_TYPE_F32, text_width, text_rows, 1);
    ggml_set_input(x);
    ggml_set_input(text);
    GGMLRunnerContext runner;
    runner.backend = backend;
    runner.ggml_ctx = context;
    ggml_tensor *output = unet.build(runner, x, text);
    ggml_set_output(output);
    ggml_build_forward_expand(graph, output);
    ggml_backend_sched_t scheduler = ggml_backend_sched_new(&backend, nullptr, 1, 2048, false, false);
    ggml_backend_sched_set_eval_callback(scheduler, callback, data);
    if (!ggml_backend_sched_alloc_graph(scheduler, graph)) throw std::runtime_error("no memory for the graph");
    ggml_backend_tensor_set(x, Noise(7)(ggml_nelements(x), 1.0F).data(), 0, ggml_nbytes(x));
    ggml_backend_tensor_set(text, Noise(8)(ggml_nelements(text), 1.0F).data(), 0, ggml_nbytes(text));
    if (ggml_backend_sched_graph_compute(scheduler, graph) != GGML_STATUS_SUCCESS)
        throw std::runtime_error("the computation failed");
    const std::vector<float> result = read(output);
    ggml_backend_sched_free(scheduler);
    ggml_free(context);
    return result;
}

int run(char **arguments) {
    const ggml_backend_t backend = ggml_backend_cpu_init();
    const std::vector<omniid::HostLayer> layers = {{2, 8, 20, unet_names[0]}, {4, 8, 20, unet_names[1]}};
    const omniid::Engine engine =
        omniid::Engine::open(omniid::EngineOptions(arguments[1]).host("small", layers)).value();
    const omniid::Identity person = engine.encode({omniid::Photo::file(arguments[2])}).value().identity;
    const std::vector<float> left = {1.0F, 1.0F, 0.25F, 0.0F};
    const auto condition = [&](float scale) {
        return engine
            .condition(std::vector<omniid::ConditioningInput>{
                omniid::ConditioningInput(person, scale).fractions(0.0, 0.6).mask(left, 1, 4),
                omniid::ConditioningInput(person, -0.3F * scale)})
            .value();
    };
    UNet unet(backend);
    const std::vector<float> plain = pass(unet, backend, nullptr, nullptr);

    const omniid::Conditioning conditioning = condition(0.8F);
    omniid_sdcpp::Options options;
    options.steps = 2, options.latent_height = 6, options.latent_width = 8;
    omniid_sdcpp::EvalCallback identity(conditioning, options);
    Observer observer{identity, conditioning};
    identity.begin();
    std::vector<std::vector<float>> outputs;
    for (int step = 0; step < 2; step++)
        for (const auto role : {omniid::Role::conditional, omniid::Role::unconditional}) {
            observer.role = role;
            observer.fraction = step / 2.0;
            outputs.push_back(pass(unet, backend, Observer::callback, &observer));
        }
    identity.finish();
    check(observer.layers == 8 && identity.calls() == 8 && identity.passes() == 4, "two layers of four passes");
    check(observer.error <= 1e-5F && observer.effect > 1e-3F, "what is added is the formula");
    check(outputs[0] != plain && outputs[0] != outputs[1], "each side of guidance has its own");

    // Nothing at scale 0, to the bit.
    const omniid::Conditioning off = condition(0.0F);
    omniid_sdcpp::EvalCallback quiet(off, options);
    check(pass(unet, backend, quiet.callback, &quiet) == plain, "scale 0 is the plain model");
    quiet.finish();

    // A host without its layers, and an error inside, come out of finish().
    bool unseen = false, unsaid = false;
    quiet.begin();
    try {
        quiet.finish();
    } catch (const omniid::Error &error) {
        unseen = error.status() == omniid::Status::unsupported;
    }
    omniid_sdcpp::EvalCallback without_size(conditioning); // of a mask
    check(pass(unet, backend, without_size.callback, &without_size) == plain, "after an error nothing is added");
    try {
        without_size.finish();
    } catch (const omniid::Error &error) {
        unsaid = error.status() == omniid::Status::invalid_argument;
    }
    check(unseen && unsaid, "finish() reports errors");
    std::printf("evaluation callback (stand-in of ggml's scheduler): largest error against the formula %.3g\n",
                static_cast<double>(observer.error));
    ggml_backend_free(backend);
    return failed ? 1 : 0;
}

} // namespace

int main(int count, char **arguments) {
    if (count != 3) return 2;
    try {
        return run(arguments);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
