/* Graphs: hosts that run a whole model take the identity as inputs of it. */
#ifndef OMNIID_GRAPH_HPP
#define OMNIID_GRAPH_HPP

#include "conditioning.hpp"
#include "config.hpp"
#include "error.hpp"
#include "handle.hpp"
#include "identity.hpp"
#include "span.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace omniid {
inline namespace OMNIID_INLINE_NAMESPACE {

/// What a graph takes.
enum class GraphForm : std::int32_t {
    keys_values = OMNIID_GRAPH_FORM_KEYS_VALUES, ///< Keys and values of every layer.
    tokens = OMNIID_GRAPH_FORM_TOKENS,           ///< Identity tokens; the adapter is inside.
};

/// What an input of a graph carries.
enum class GraphInputKind : std::int32_t {
    keys = OMNIID_GRAPH_INPUT_KEYS,     ///< Keys of a layer, `[rows, heads, tokens, head_dim]`.
    values = OMNIID_GRAPH_INPUT_VALUES, ///< Values of a layer, of the same shape.
    tokens = OMNIID_GRAPH_INPUT_TOKENS, ///< Identity tokens, `[rows, tokens, width]`.
    scale = OMNIID_GRAPH_INPUT_SCALE,   ///< A factor for each layer, `[layers]`, f32.
    mask = OMNIID_GRAPH_INPUT_MASK,     ///< A mask for each person, `[rows, people, height, width]`.
};

/// What a graph is, as its manifest says. The strings live as long as the graph; they are empty where there is none.
struct GraphInfo {
    GraphForm form = GraphForm::keys_values; ///< What it takes.
    std::string_view file_name;              ///< Name of the graph's file, which lies beside the manifest.
    std::string_view path;                   ///< Path of that file; empty when the manifest came from memory.
    std::string_view host;                   ///< "sd15", "sdxl", "sd3", "flux" or "custom".
    Precision precision = Precision::f32;    ///< Number type of keys, values, tokens and masks. Scales are f32.
    std::size_t layer_count = 0;             ///< Number of layers, which is the length of the input of scales.
    std::size_t input_count = 0;             ///< Number of identity inputs.
    std::size_t rows = 0;                    ///< Number of batch rows that it was made for; 0 for any.
    std::size_t tokens = 0;                  ///< Number of identity tokens that it was made for; 0 for any.
    std::size_t width = 0;                   ///< Width of the tokens that it takes; 0 for keys and values.
    std::string_view scale_input;            ///< Name of the input of scales.
    std::string_view mask_input;             ///< Name of the input of masks.
    std::string_view tokens_input;           ///< Name of the input of tokens.
    std::string_view fingerprint;            ///< Fingerprint of the model whose tokens it takes.
};

/// One attention layer of a graph. The strings live as long as the graph.
struct GraphLayer {
    std::string_view name;        ///< The layer's name in the host.
    std::uint32_t heads = 0;      ///< Number of attention heads.
    std::uint32_t head_dim = 0;   ///< Width of one head.
    std::string_view key_input;   ///< Name of the input of its keys; empty in a graph that takes tokens.
    std::string_view value_input; ///< Name of the input of its values; empty in a graph that takes tokens.
};

/// One identity input of a graph. Its name lives as long as the graph.
struct GraphInput {
    const char *name = "";                      ///< Its name in the graph.
    GraphInputKind kind = GraphInputKind::keys; ///< What it carries.
    std::size_t layer = 0;                      ///< Index of the layer whose keys or values it carries.
};

/// Shape of an identity input for a call.
struct GraphShape {
    std::vector<std::int64_t> shape;      ///< The dimensions.
    std::size_t byte_size = 0;            ///< Number of bytes in the input's number type.
    Precision precision = Precision::f32; ///< That number type.
};

/// What inputs are filled for. `roles` must live until the call returns.
struct GraphCall {
    span<const Role> roles{};         ///< Of each batch row; empty: conditional rows only.
    float scale = 1.0F;               ///< Multiplies every identity's weight.
    std::optional<double> sigma{};    ///< Noise level of the step, for identities limited to a range of it.
    std::optional<double> fraction{}; ///< Fraction of sampling that is done, likewise.
    bool concatenate = false;         ///< In a graph without masks several people share one softmax.
};

/// The host's memory for one input; it must live until Graph::fill returns.
struct GraphBuffer {
    const char *name;                     ///< Name of the input.
    void *data;                           ///< Where to write: in host memory, of any alignment.
    std::size_t byte_size;                ///< Bytes of data, as many as the input has.
    Precision precision = Precision::f32; ///< The buffer's number type, which has to be the input's.
    span<const std::int64_t> shape{};     ///< Its shape; empty: only the bytes are compared.

    /// A buffer with the defaults above.
    GraphBuffer(const char *name_, void *data_, std::size_t byte_size_) noexcept
        : name(name_), data(data_), byte_size(byte_size_) {}
};

/// The identity inputs of a graph. Immutable; may be used from any number of threads at once.
class Graph : public detail::Handle<omniid_graph, omniid_graph_free> {
  public:
    using Handle::Handle;

    /// Reads the manifest of a graph, from the path of either.
    [[nodiscard]] static Result<Graph> open(const std::string &path) {
        omniid_graph *out = nullptr;
        const omniid_status status = omniid_graph_open(path.c_str(), &out);
        return detail::finish(status, Graph(out));
    }

    /// Reads a manifest from memory.
    [[nodiscard]] static Result<Graph> parse(std::string_view json) {
        omniid_graph *out = nullptr;
        const omniid_status status = omniid_graph_parse(json.data(), json.size(), &out);
        return detail::finish(status, Graph(out));
    }

    /// What the graph is.
    [[nodiscard]] Result<GraphInfo> describe() const {
        omniid_graph_info c = OMNIID_GRAPH_INFO_INIT;
        const omniid_status status = omniid_graph_describe(get(), &c);
        GraphInfo info;
        info.form = static_cast<GraphForm>(c.form);
        info.file_name = text(c.file_name);
        info.path = text(c.path);
        info.host = text(c.host);
        info.precision = static_cast<Precision>(c.precision);
        info.layer_count = static_cast<std::size_t>(c.layer_count);
        info.input_count = static_cast<std::size_t>(c.input_count);
        info.rows = static_cast<std::size_t>(c.rows);
        info.tokens = static_cast<std::size_t>(c.tokens);
        info.width = static_cast<std::size_t>(c.width);
        info.scale_input = text(c.scale_input);
        info.mask_input = text(c.mask_input);
        info.tokens_input = text(c.tokens_input);
        info.fingerprint = text(c.fingerprint);
        return detail::finish(status, std::move(info));
    }

    /// A layer, in the order of the scales.
    [[nodiscard]] Result<GraphLayer> layer(std::size_t layer) const {
        omniid_graph_layer c = OMNIID_GRAPH_LAYER_INIT;
        const omniid_status status = omniid_graph_describe_layer(get(), layer, &c);
        GraphLayer out;
        out.name = text(c.name);
        out.heads = c.heads;
        out.head_dim = c.head_dim;
        out.key_input = text(c.key_input);
        out.value_input = text(c.value_input);
        return detail::finish(status, std::move(out));
    }

    /// An identity input.
    [[nodiscard]] Result<GraphInput> input(std::size_t input) const {
        omniid_graph_input c = OMNIID_GRAPH_INPUT_INIT;
        const omniid_status status = omniid_graph_describe_input(get(), input, &c);
        GraphInput out;
        if (c.name != nullptr) out.name = c.name;
        out.kind = static_cast<GraphInputKind>(c.kind);
        out.layer = static_cast<std::size_t>(c.layer);
        return detail::finish(status, std::move(out));
    }

    /// The shape of identity input `input` for a call.
    [[nodiscard]] Result<GraphShape> shape(const Conditioning &conditioning, const GraphCall &call,
                                           std::size_t input) const {
        omniid_graph_shape c = OMNIID_GRAPH_SHAPE_INIT;
        const omniid_graph_call made = made_of(call);
        const omniid_status status = omniid_graph_input_shape(get(), conditioning.get(), &made, input, &c);
        GraphShape out;
        out.shape.assign(c.shape, c.shape + c.rank);
        out.byte_size = static_cast<std::size_t>(c.byte_size);
        out.precision = static_cast<Precision>(c.precision);
        return detail::finish(status, std::move(out));
    }

    /// Fills the host's buffers for identity inputs: all of them or some, in any order. Everything is checked before
    /// anything is written. Keys, values and tokens serve for all steps; scales and masks are filled for each step.
    Result<void> fill(const Conditioning &conditioning, const GraphCall &call, span<const GraphBuffer> buffers) const {
        std::vector<omniid_graph_buffer> c;
        c.reserve(buffers.size() + 1);
        for (const GraphBuffer &buffer : buffers) {
            omniid_graph_buffer one = OMNIID_GRAPH_BUFFER_INIT;
            one.name = buffer.name;
            one.data = buffer.data;
            one.byte_size = buffer.byte_size;
            one.precision = static_cast<std::int32_t>(buffer.precision);
            one.shape = buffer.shape.empty() ? nullptr : buffer.shape.data();
            one.rank = static_cast<std::uint32_t>(buffer.shape.size());
            c.push_back(one);
        }
        const std::size_t count = c.size();
        // An empty list has an address, too.
        if (c.empty()) c.push_back(OMNIID_GRAPH_BUFFER_INIT);
        const omniid_graph_call made = made_of(call);
        return detail::finish(omniid_graph_fill(get(), conditioning.get(), &made, c.data(), count));
    }

  private:
    static std::string_view text(const char *text) noexcept { return text == nullptr ? "" : text; }

    static omniid_graph_call made_of(const GraphCall &call) noexcept {
        omniid_graph_call c = OMNIID_GRAPH_CALL_INIT;
        c.scale = call.scale;
        // An enumeration with this underlying type has its representation.
        c.roles = call.roles.empty() ? nullptr : reinterpret_cast<const std::int32_t *>(call.roles.data());
        c.role_count = call.roles.size();
        if (call.sigma.has_value()) {
            c.sigma = *call.sigma;
            c.flags |= static_cast<std::uint32_t>(OMNIID_INJECT_FLAG_SIGMA);
        }
        if (call.fraction.has_value()) {
            c.fraction = *call.fraction;
            c.flags |= static_cast<std::uint32_t>(OMNIID_INJECT_FLAG_FRACTION);
        }
        c.concatenate = call.concatenate ? 1 : 0;
        return c;
    }
};

} // namespace OMNIID_INLINE_NAMESPACE
} // namespace omniid

#endif
