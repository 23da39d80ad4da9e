/* The engine: an identity model, opened once, used from any number of threads. */
#ifndef OMNIID_ENGINE_HPP
#define OMNIID_ENGINE_HPP

#include "conditioning.hpp"
#include "config.hpp"
#include "error.hpp"
#include "handle.hpp"
#include "identity.hpp"
#include "photo.hpp"
#include "progress.hpp"
#include "report.hpp"
#include "span.hpp"
#include "tensor.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace omniid {
inline namespace OMNIID_INLINE_NAMESPACE {

/// What to open an engine with. What is not set has the library's default; see omniid_engine_options.
class EngineOptions {
  public:
    EngineOptions() = default;
    /// The identity model's file: a native checkpoint or a public IP-Adapter or XLabs file.
    EngineOptions(std::string checkpoint_path) : checkpoint_(std::move(checkpoint_path)) {}
    EngineOptions(const char *checkpoint_path) : checkpoint_(checkpoint_path) {}

    /// The model as the bytes of its file, which must live until the engine is open.
    EngineOptions &checkpoint_bytes(span<const std::byte> bytes) noexcept {
        return c_.checkpoint_data = bytes.data(), c_.checkpoint_size = bytes.size(), *this;
    }
    /// The CLIP vision model that a public checkpoint needs.
    EngineOptions &image_encoder(std::string path) { return image_encoder_ = std::move(path), *this; }
    EngineOptions &image_encoder_bytes(span<const std::byte> bytes) noexcept {
        return c_.image_encoder_data = bytes.data(), c_.image_encoder_size = bytes.size(), *this;
    }
    /// The text of the image encoder's config.json.
    EngineOptions &image_encoder_config(std::string json) { return image_encoder_config_ = std::move(json), *this; }
    /// Weights of the face detector.
    EngineOptions &detector(std::string path) { return detector_ = std::move(path), *this; }
    EngineOptions &detector_bytes(span<const std::byte> bytes) noexcept {
        return c_.detector_data = bytes.data(), c_.detector_size = bytes.size(), *this;
    }
    /// "sd15", "sdxl" or "flux".
    EngineOptions &host(std::string name) { return host_ = std::move(name), *this; }
    /// The host's own layers, in the order of the adapter in the checkpoint, under any name.
    EngineOptions &host(std::string name, std::vector<HostLayer> layers) {
        return host_ = std::move(name), layers_ = std::move(layers), *this;
    }
    EngineOptions &device(Device device) noexcept {
        return c_.device_type = device.type, c_.device_id = device.ordinal, *this;
    }
    /// Number type of the weights.
    EngineOptions &precision(Precision precision) noexcept { return c_.precision = static_cast<std::int32_t>(precision), *this; }
    EngineOptions &max_pixels(std::uint64_t pixels) noexcept { return c_.max_pixels = pixels, *this; }
    EngineOptions &max_decoded_bytes(std::uint64_t bytes) noexcept { return c_.max_decoded_bytes = bytes, *this; }
    EngineOptions &max_photo_bytes(std::uint64_t bytes) noexcept { return c_.max_photo_bytes = bytes, *this; }
    EngineOptions &max_header_bytes(std::uint64_t bytes) noexcept { return c_.max_header_bytes = bytes, *this; }
    EngineOptions &max_photos(std::uint64_t photos) noexcept { return c_.max_photos = photos, *this; }

    /// As the C ABI takes it, without the layers; valid while these options live and stay as they are.
    [[nodiscard]] omniid_engine_options c() const noexcept {
        omniid_engine_options options = c_;
        options.checkpoint_path = text(checkpoint_);
        options.image_encoder_path = text(image_encoder_);
        options.image_encoder_config = text(image_encoder_config_);
        options.detector_path = text(detector_);
        options.host = text(host_);
        return options;
    }

    /// The layers as the C ABI takes them.
    [[nodiscard]] std::vector<omniid_host_layer> c_layers() const {
        std::vector<omniid_host_layer> layers(layers_.size(), omniid_host_layer OMNIID_HOST_LAYER_INIT);
        for (std::size_t i = 0; i < layers.size(); i++) {
            layers[i].heads = layers_[i].heads;
            layers[i].head_dim = layers_[i].head_dim;
            layers[i].context = layers_[i].context;
            layers[i].name = layers_[i].name.c_str();
        }
        return layers;
    }

  private:
    static const char *text(const std::optional<std::string> &value) noexcept { return value.has_value() ? value->c_str() : nullptr; }

    omniid_engine_options c_ = OMNIID_ENGINE_OPTIONS_INIT;
    std::optional<std::string> checkpoint_, image_encoder_, image_encoder_config_, detector_, host_;
    std::vector<HostLayer> layers_;
};

/// What an engine is. Texts live as long as the engine.
struct EngineInfo {
    Encoder encoder{};
    std::string_view name;              ///< The model's name for people; may be empty.
    std::string_view fingerprint;       ///< Of the model; its identities carry it.
    std::string_view host;              ///< Empty if no host is known.
    std::uint64_t host_layer_count = 0; ///< 0 if no host is known.
    std::uint64_t tokens = 0;           ///< Of an identity for Omni-ID, of each photo otherwise.
    std::uint64_t token_width = 0;
    std::uint32_t image_size = 0;       ///< Side of the square picture that the image encoder sees, in pixels.
    bool has_detector = false;
    bool has_adapter = false;           ///< Whether condition() works.
    Device device;
    Precision precision{};
};

/// An opened identity model. Never changes; may be used from any number of threads at once.
class Engine : public detail::Handle<omniid_engine, omniid_engine_free> {
  public:
    using Handle::Handle;

    /// Opens a model: `Engine::open("model.safetensors")`, or with EngineOptions; `Engine::open()` is the small model
    /// inside the library.
    template <class F = Silent>
    [[nodiscard]] static Result<Engine> open(const EngineOptions &options = {}, F &&progress = F()) {
        omniid_engine_options c = options.c();
        const std::vector<omniid_host_layer> layers = options.c_layers();
        c.host_layers = layers.data();
        c.host_layer_count = layers.size();
        detail::ProgressBridge<std::remove_reference_t<F>> bridge(progress);
        c.progress = bridge.function();
        c.progress_user_data = bridge.user_data();
        omniid_engine *out = nullptr;
        const omniid_status status = omniid_engine_open(&c, &out);
        Engine engine(out);
        bridge.rethrow();
        return detail::finish(status, std::move(engine));
    }

    /// Tells what the engine is.
    [[nodiscard]] Result<EngineInfo> describe() const {
        omniid_engine_info c = OMNIID_ENGINE_INFO_INIT;
        const omniid_status status = omniid_engine_describe(get(), &c);
        EngineInfo info;
        if (status == OMNIID_STATUS_OK) {
            info = {static_cast<Encoder>(c.encoder), c.name, c.fingerprint, c.host == nullptr ? std::string_view() : c.host,
                    c.host_layer_count, c.tokens, c.token_width, c.image_size, c.has_detector != 0, c.has_adapter != 0,
                    Device{c.device_type, c.device_id}, static_cast<Precision>(c.precision)};
        }
        return detail::finish(status, info);
    }

    /// Layer `layer` of the engine's host, in the order of the adapter.
    [[nodiscard]] Result<HostLayer> host_layer(std::size_t layer) const {
        omniid_host_layer c = OMNIID_HOST_LAYER_INIT;
        const omniid_status status = omniid_engine_host_layer(get(), layer, &c);
        HostLayer host_layer;
        if (status == OMNIID_STATUS_OK) host_layer = {c.heads, c.head_dim, c.context, c.name};
        return detail::finish(status, std::move(host_layer));
    }

    /// The faces in a photo, the largest first. A photo without faces is no error.
    [[nodiscard]] Result<std::vector<Face>> detect_faces(const Photo &photo, const DetectOptions &options = {}) const {
        const omniid_photo c_photo = photo.c();
        // Room for what most photos hold; a second call where it was too little.
        std::vector<omniid_face> found(16, omniid_face OMNIID_FACE_INIT);
        std::size_t count = 0;
        omniid_status status = omniid_engine_detect_faces(get(), &c_photo, &options.c, found.data(), found.size(), &count);
        if (status == OMNIID_STATUS_OK && count > found.size()) {
            found.assign(count, omniid_face OMNIID_FACE_INIT);
            status = omniid_engine_detect_faces(get(), &c_photo, &options.c, found.data(), found.size(), &count);
        }
        std::vector<Face> faces(status == OMNIID_STATUS_OK ? std::min(count, found.size()) : 0);
        for (std::size_t i = 0; i < faces.size(); i++) {
            faces[i].score = found[i].score;
            std::copy(std::begin(found[i].bounds), std::end(found[i].bounds), faces[i].bounds.begin());
            std::copy(std::begin(found[i].landmarks), std::end(found[i].landmarks), faces[i].landmarks.begin());
        }
        return detail::finish(status, std::move(faces));
    }

    /// Makes one identity of one or many photos of the same person.
    template <class F = Silent>
    [[nodiscard]] Result<Identity> encode(span<const Photo> photos, const EncodeOptions &options = {}, F &&progress = F()) const {
        return run(nullptr, photos, options, nullptr, progress);
    }
    template <class F = Silent>
    [[nodiscard]] Result<Identity> encode(std::initializer_list<Photo> photos, const EncodeOptions &options = {}, F &&progress = F()) const {
        return run(nullptr, span<const Photo>(photos.begin(), photos.size()), options, nullptr, progress);
    }

    /// The same, with what became of each photo.
    template <class F = Silent>
    [[nodiscard]] Result<Encoded> encode_with_report(span<const Photo> photos, const EncodeOptions &options = {}, F &&progress = F()) const {
        return with_report(nullptr, photos, options, progress);
    }

    /// Makes a new identity of an identity and more photos: equal to encoding all at once, at the price of the new ones.
    template <class F = Silent>
    [[nodiscard]] Result<Identity> extend(const Identity &identity, span<const Photo> photos, const EncodeOptions &options = {}, F &&progress = F()) const {
        return run(&identity, photos, options, nullptr, progress);
    }
    template <class F = Silent>
    [[nodiscard]] Result<Identity> extend(const Identity &identity, std::initializer_list<Photo> photos, const EncodeOptions &options = {}, F &&progress = F()) const {
        return run(&identity, span<const Photo>(photos.begin(), photos.size()), options, nullptr, progress);
    }

    /// The same, with what became of each new photo.
    template <class F = Silent>
    [[nodiscard]] Result<Encoded> extend_with_report(const Identity &identity, span<const Photo> photos, const EncodeOptions &options = {}, F &&progress = F()) const {
        return with_report(&identity, photos, options, progress);
    }

    /// Projects the keys and values of one or several identities for every layer of the engine's host.
    template <class F = Silent>
    [[nodiscard]] Result<Conditioning> condition(span<const ConditionInput> identities, const ConditionOptions &options = {}, F &&progress = F()) const {
        std::vector<omniid_conditioning_input> inputs;
        inputs.reserve(identities.size());
        for (const ConditionInput &input : identities) inputs.push_back(input.c);
        omniid_conditioning_options c = options.c();
        detail::ProgressBridge<std::remove_reference_t<F>> bridge(progress);
        c.progress = bridge.function();
        c.progress_user_data = bridge.user_data();
        omniid_conditioning *out = nullptr;
        const omniid_status status = omniid_conditioning_create(get(), inputs.data(), inputs.size(), &c, &out);
        Conditioning conditioning(out);
        bridge.rethrow();
        return detail::finish(status, std::move(conditioning));
    }
    template <class F = Silent>
    [[nodiscard]] Result<Conditioning> condition(std::initializer_list<ConditionInput> identities, const ConditionOptions &options = {}, F &&progress = F()) const {
        return condition(span<const ConditionInput>(identities.begin(), identities.size()), options, std::forward<F>(progress));
    }
    /// One identity, with default options.
    [[nodiscard]] Result<Conditioning> condition(const Identity &identity, float scale = 1.0F) const {
        return condition({ConditionInput(identity, scale)});
    }

    /// Compares two identities of this engine's model: cosine similarity, -1 to 1, centred on the model's average
    /// identity and in the directions that tell people apart, as far as the checkpoint has them.
    [[nodiscard]] Result<float> similarity(const Identity &first, const Identity &second) const {
        float out = 0.0F;
        const omniid_status status = omniid_identity_similarity(get(), first.get(), second.get(), &out);
        return detail::finish(status, out);
    }

  private:
    /// Encodes or, with an identity, extends. Gives the C status, lets out what the callable threw.
    template <class F>
    omniid_status call(const Identity *identity, span<const Photo> photos, const EncodeOptions &options, omniid_report **report,
                       F &progress, Identity &result) const {
        const std::vector<omniid_photo> structs = detail::to_c(photos);
        omniid_encode_options c = options.c();
        detail::ProgressBridge<F> bridge(progress);
        c.report = report;
        c.progress = bridge.function();
        c.progress_user_data = bridge.user_data();
        omniid_identity *out = nullptr;
        const omniid_status status =
            identity == nullptr ? omniid_encode(get(), structs.data(), structs.size(), &c, &out)
                                : omniid_identity_extend(get(), identity->get(), structs.data(), structs.size(), &c, &out);
        result = Identity(out);
        bridge.rethrow();
        return status;
    }

    template <class F>
    Result<Identity> run(const Identity *identity, span<const Photo> photos, const EncodeOptions &options, omniid_report **report, F &progress) const {
        Identity result;
        const omniid_status status = call(identity, photos, options, report, progress, result);
        return detail::finish(status, std::move(result));
    }

    template <class F>
    Result<Encoded> with_report(const Identity *identity, span<const Photo> photos, const EncodeOptions &options, F &progress) const {
        omniid_report *report = nullptr;
        Identity result;
        // A call that fails sets the report to NULL: nothing is lost where this throws.
        const omniid_status status = call(identity, photos, options, &report, progress, result);
        Encoded encoded{std::move(result), Report(report)};
        return detail::finish(status, std::move(encoded));
    }
};

} // namespace OMNIID_INLINE_NAMESPACE
} // namespace omniid

#endif
