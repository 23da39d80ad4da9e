/* The engine: an identity model, opened once, used from any number of threads. */
#ifndef OMNIID_ENGINE_HPP
#define OMNIID_ENGINE_HPP

#include "conditioning.hpp"
#include "config.hpp"
#include "encode.hpp"
#include "error.hpp"
#include "face_embedding.hpp"
#include "handle.hpp"
#include "identity.hpp"
#include "photo.hpp"
#include "progress.hpp"
#include "span.hpp"
#include "tensor.hpp"

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace omniid {
inline namespace OMNIID_INLINE_NAMESPACE {

/// Options of Engine::open, with the library's defaults; see omniid_engine_options. Without a checkpoint they stand for
/// the small model inside the library.
class EngineOptions {
  public:
    /// Options without a checkpoint.
    EngineOptions() = default;
    /// Options with the identity model's file: a native checkpoint or a public IP-Adapter or XLabs file.
    explicit EngineOptions(std::string checkpoint_path) : checkpoint_(std::move(checkpoint_path)) {}
    EngineOptions(std::nullptr_t) = delete;

    /// The identity model as the bytes of its file, which must live until the engine is open.
    EngineOptions &checkpoint_bytes(span<const std::byte> bytes) noexcept {
        return c_.checkpoint_data = bytes.data(), c_.checkpoint_size = bytes.size(), *this;
    }
    /// File of the CLIP vision model that a public checkpoint needs.
    EngineOptions &image_encoder(std::string path) { return image_encoder_ = std::move(path), *this; }
    /// The CLIP vision model as the bytes of its file, which must live until the engine is open.
    EngineOptions &image_encoder_bytes(span<const std::byte> bytes) noexcept {
        return c_.image_encoder_data = bytes.data(), c_.image_encoder_size = bytes.size(), *this;
    }
    /// The contents of the image encoder's config.json.
    EngineOptions &image_encoder_config(std::string json) { return image_encoder_config_ = std::move(json), *this; }
    /// Load the image encoder when it is first needed, instead of when the engine is opened.
    EngineOptions &defer_image_encoder(bool on = true) noexcept { return c_.defer_image_encoder = on ? 1 : 0, *this; }
    /// File with the weights of the face detector. Default: the one in a native checkpoint, else the library's own.
    EngineOptions &detector(std::string path) { return detector_ = std::move(path), *this; }
    /// The weights of the face detector as the bytes of their file, which must live until the engine is open.
    EngineOptions &detector_bytes(span<const std::byte> bytes) noexcept {
        return c_.detector_data = bytes.data(), c_.detector_size = bytes.size(), *this;
    }
    /// File of the face recognition network: models of the FaceID family, InstantID and PuLID make their tokens from its
    /// embeddings; for any other model it serves likeness(). Default: the one in a native checkpoint.
    EngineOptions &face_recogniser(std::string path) { return face_recogniser_ = std::move(path), *this; }
    /// The face recogniser as the bytes of its file, which must live until the engine is open.
    EngineOptions &face_recogniser_bytes(span<const std::byte> bytes) noexcept {
        return c_.face_recogniser_data = bytes.data(), c_.face_recogniser_size = bytes.size(), *this;
    }
    /// File of the face parsing network that makes the background of PuLID's crop.
    EngineOptions &face_parser(std::string path) { return face_parser_ = std::move(path), *this; }
    /// The face parser as the bytes of its file, which must live until the engine is open.
    EngineOptions &face_parser_bytes(span<const std::byte> bytes) noexcept {
        return c_.face_parser_data = bytes.data(), c_.face_parser_size = bytes.size(), *this;
    }
    /// Which published model the checkpoint is, where two have the same tensors: "faceid-plus" or "faceid-plus-v2",
    /// "instantid" or "faceid-portrait-unnorm".
    EngineOptions &variant(std::string name) { return variant_ = std::move(name), *this; }
    /// "sd15", "sdxl", "flux", "flux_all", "pulid_flux", "with_anyone" or "sd35_large".
    EngineOptions &host(std::string name) { return host_ = std::move(name), *this; }
    /// The host's own layers, in the order of the adapter in the checkpoint, under any name.
    EngineOptions &host(std::string name, std::vector<HostLayer> layers) {
        return host_ = std::move(name), layers_ = std::move(layers), *this;
    }
    /// Where the engine computes.
    EngineOptions &device(Device device) noexcept {
        return c_.device_type = device.type, c_.device_id = device.ordinal, *this;
    }
    /// Number type of the weights.
    EngineOptions &precision(Precision precision) noexcept {
        return c_.precision = static_cast<std::int32_t>(precision), *this;
    }
    /// Maximum number of pixels of a photo.
    EngineOptions &max_pixels(std::uint64_t pixels) noexcept { return c_.max_pixels = pixels, *this; }
    /// Maximum number of bytes that decoding a photo may take.
    EngineOptions &max_decoded_bytes(std::uint64_t bytes) noexcept { return c_.max_decoded_bytes = bytes, *this; }
    /// Maximum number of bytes of an encoded photo.
    EngineOptions &max_photo_bytes(std::uint64_t bytes) noexcept { return c_.max_photo_bytes = bytes, *this; }
    /// Maximum number of bytes of a checkpoint's header.
    EngineOptions &max_header_bytes(std::uint64_t bytes) noexcept { return c_.max_header_bytes = bytes, *this; }
    /// Maximum number of photos of an identity.
    EngineOptions &max_photos(std::uint64_t photos) noexcept { return c_.max_photos = photos, *this; }

    /// As the C ABI takes them, without the layers; valid while these options live and stay as they are.
    [[nodiscard]] omniid_engine_options c() const noexcept {
        omniid_engine_options options = c_;
        options.checkpoint_path = text(checkpoint_);
        options.image_encoder_path = text(image_encoder_);
        options.image_encoder_config = text(image_encoder_config_);
        options.detector_path = text(detector_);
        options.host = text(host_);
        options.face_recogniser_path = text(face_recogniser_);
        options.face_parser_path = text(face_parser_);
        options.variant = text(variant_);
        return options;
    }

    /// The layers as the C ABI takes them; valid while these options live and stay as they are.
    [[nodiscard]] std::vector<omniid_host_layer> c_layers() const {
        std::vector<omniid_host_layer> layers(layers_.size(), omniid_host_layer OMNIID_HOST_LAYER_INIT);
        for (std::size_t i = 0; i < layers.size(); i++) {
            layers[i].heads = layers_[i].heads;
            layers[i].head_dim = layers_[i].head_dim;
            layers[i].context = layers_[i].context;
            layers[i].hidden = layers_[i].hidden;
            layers[i].name = layers_[i].name.c_str();
        }
        return layers;
    }

  private:
    static const char *text(const std::optional<std::string> &value) noexcept {
        return value.has_value() ? value->c_str() : nullptr;
    }

    omniid_engine_options c_ = OMNIID_ENGINE_OPTIONS_INIT;
    std::optional<std::string> checkpoint_, image_encoder_, image_encoder_config_, detector_, host_;
    std::optional<std::string> face_recogniser_, face_parser_, variant_;
    std::vector<HostLayer> layers_;
};

/// Description of an engine. Its strings live as long as the engine.
struct EngineInfo {
    EncoderKind encoder{};              ///< Kind of the identity encoder.
    std::string_view name;              ///< Human-readable name of the model; may be empty.
    std::string_view fingerprint;       ///< Fingerprint of the model, which its identities carry.
    std::string_view host;              ///< Name of the host; empty if the host is not known.
    std::uint64_t host_layer_count = 0; ///< Number of layers of the host; 0 if the host is not known.
    std::uint64_t tokens = 0;           ///< Number of identity tokens: per identity for Omni-ID, per photo otherwise.
    std::uint64_t token_width = 0;      ///< Width of an identity token.
    std::uint32_t image_size = 0;       ///< Side of the image encoder's square input in pixels.
    bool has_detector = false;          ///< Whether faces can be detected.
    bool has_adapter = false;           ///< Whether the checkpoint holds an adapter, so that condition() works.
    Device device;                      ///< Where the engine computes.
    Precision precision{};              ///< Number type of the weights.
    bool has_image_encoder = false;     ///< Whether the model reads an image encoder, or face embeddings only.
    bool has_lora = false;              ///< Whether it holds a LoRA, which the host has to apply; see save_lora().
    std::uint64_t face_dimension = 0;   ///< Values of the face embedding that the model reads; 0 if it reads none.
    EmbeddingForm face_form{};          ///< The form of that embedding; a raw one always serves.
    std::string_view face_network;      ///< The network that the model was trained with; empty if it reads none.
    std::string_view face_recogniser;   ///< The engine's face recogniser; empty if there is none.
    std::string_view face_recogniser_licence; ///< What its authors state about its use, or "unknown".
};

/// An opened identity model. Immutable; may be used from any number of threads at once.
class Engine : public detail::Handle<omniid_engine, omniid_engine_free> {
  public:
    using Handle::Handle;

    /// Opens a model.
    template <class F = Silent>
    [[nodiscard]] static Result<Engine> open(const EngineOptions &options, F &&progress = F()) {
        omniid_engine_options c = options.c();
        const std::vector<omniid_host_layer> layers = options.c_layers();
        c.host_layers = layers.empty() ? nullptr : layers.data();
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

    /// Opens the small model inside the library.
    [[nodiscard]] static Result<Engine> open() { return open(EngineOptions()); }

    /// Opens the model in a file. NULL is an error, not the model inside the library.
    template <class F = Silent>
    [[nodiscard]] static Result<Engine> open(const char *checkpoint_path, F &&progress = F()) {
        if (checkpoint_path == nullptr) return Error(Status::invalid_argument, "checkpoint_path: the pointer is NULL");
        return open(std::string(checkpoint_path), std::forward<F>(progress));
    }
    /// Opens the model in a file.
    template <class F = Silent>
    [[nodiscard]] static Result<Engine> open(const std::string &checkpoint_path, F &&progress = F()) {
        const EngineOptions options(checkpoint_path);
        return open(options, std::forward<F>(progress));
    }

    /// Describes the engine.
    [[nodiscard]] Result<EngineInfo> describe() const {
        omniid_engine_info c = OMNIID_ENGINE_INFO_INIT;
        const omniid_status status = omniid_engine_describe(get(), &c);
        EngineInfo info;
        if (status == OMNIID_STATUS_OK) {
            info = {static_cast<EncoderKind>(c.encoder),
                    c.name,
                    c.fingerprint,
                    optional(c.host),
                    c.host_layer_count,
                    c.tokens,
                    c.token_width,
                    c.image_size,
                    c.has_detector != 0,
                    c.has_adapter != 0,
                    Device{c.device_type, c.device_id},
                    static_cast<Precision>(c.precision),
                    c.has_image_encoder != 0,
                    c.has_lora != 0,
                    c.face_dimension,
                    static_cast<EmbeddingForm>(c.face_form),
                    optional(c.face_network),
                    optional(c.face_recogniser),
                    optional(c.face_recogniser_licence)};
        }
        return detail::finish(status, info);
    }

    /// Describes layer `layer` of the engine's host, in the order of the adapter.
    [[nodiscard]] Result<HostLayer> host_layer(std::size_t layer) const {
        omniid_host_layer c = OMNIID_HOST_LAYER_INIT;
        return detail::host_layer(omniid_engine_host_layer(get(), layer, &c), c);
    }

    /// Finds the faces in a photo, the largest first. A photo without faces is no error.
    [[nodiscard]] Result<std::vector<Face>> detect_faces(const Photo &photo, const DetectOptions &options = {}) const {
        const omniid_photo c_photo = photo.c();
        // Room for what most photos hold; a second call where it was too little.
        std::vector<omniid_face> found(16, omniid_face OMNIID_FACE_INIT);
        std::size_t count = 0;
        omniid_status status =
            omniid_engine_detect_faces(get(), &c_photo, &options.c, found.data(), found.size(), &count);
        if (status == OMNIID_STATUS_OK && count > found.size()) {
            found.assign(count, omniid_face OMNIID_FACE_INIT);
            status = omniid_engine_detect_faces(get(), &c_photo, &options.c, found.data(), found.size(), &count);
        }
        std::vector<Face> faces;
        for (std::size_t i = 0; status == OMNIID_STATUS_OK && i < count && i < found.size(); i++)
            faces.push_back(
                {found[i].score, detail::to_box(found[i].bounds), detail::to_landmarks(found[i].landmarks)});
        return detail::finish(status, std::move(faces));
    }

    /// Makes an identity from one or more photos of the same person, with a report on each photo.
    template <class F = Silent>
    [[nodiscard]] Result<Encoded> encode(span<const Photo> photos, const EncodeOptions &options = {},
                                         F &&progress = F()) const {
        const auto call = [this](auto... arguments) { return omniid_encode(get(), arguments...); };
        return run<Encoded, Identity, omniid_identity>(call, photos, options, progress);
    }
    /// The same with the photos in braces.
    template <class F = Silent>
    [[nodiscard]] Result<Encoded> encode(std::initializer_list<Photo> photos, const EncodeOptions &options = {},
                                         F &&progress = F()) const {
        return encode(span<const Photo>(photos.begin(), photos.size()), options, std::forward<F>(progress));
    }

    /// Makes a new identity from an identity and more photos: equal to encoding all photos at once, at the cost of the
    /// new ones. The reports are on these.
    template <class F = Silent>
    [[nodiscard]] Result<Encoded> extend(const Identity &identity, span<const Photo> photos,
                                         const EncodeOptions &options = {}, F &&progress = F()) const {
        const auto call = [&](auto... arguments) {
            return omniid_identity_extend(get(), identity.get(), arguments...);
        };
        return run<Encoded, Identity, omniid_identity>(call, photos, options, progress);
    }
    /// The same with the photos in braces.
    template <class F = Silent>
    [[nodiscard]] Result<Encoded> extend(const Identity &identity, std::initializer_list<Photo> photos,
                                         const EncodeOptions &options = {}, F &&progress = F()) const {
        return extend(identity, span<const Photo>(photos.begin(), photos.size()), options, std::forward<F>(progress));
    }

    /// Runs the image encoder on photos, without the identity encoder, with a report on each photo.
    template <class F = Silent>
    [[nodiscard]] Result<PhotoFeatures> photo_features(span<const Photo> photos, const EncodeOptions &options = {},
                                                       F &&progress = F()) const {
        const auto call = [this](auto... arguments) { return omniid_photo_features(get(), arguments...); };
        return run<PhotoFeatures, Tensor, omniid_managed_tensor>(call, photos, options, progress);
    }
    /// The same with the photos in braces.
    template <class F = Silent>
    [[nodiscard]] Result<PhotoFeatures> photo_features(std::initializer_list<Photo> photos,
                                                       const EncodeOptions &options = {}, F &&progress = F()) const {
        return photo_features(span<const Photo>(photos.begin(), photos.size()), options, std::forward<F>(progress));
    }

    /// Makes an identity of the features of one or more photos of the same person, `[photos, feature tokens, feature
    /// width]`: those of photo_features(), combined perhaps, or those of the host's own image encoder.
    [[nodiscard]] Result<Identity> identity_from_features(const TensorView &features,
                                                          const EncodeOptions &options = {}) const {
        const omniid_tensor tensor = features.c();
        const omniid_encode_options c = options.c();
        omniid_identity *out = nullptr;
        const omniid_status status = omniid_identity_from_features(get(), &tensor, &c, &out);
        return detail::finish(status, Identity(out));
    }

    /// Projects one or more identities to the keys and values of every layer of the engine's host.
    template <class F = Silent>
    [[nodiscard]] Result<Conditioning> condition(span<const ConditioningInput> identities,
                                                 const ConditioningOptions &options = {}, F &&progress = F()) const {
        std::vector<omniid_conditioning_input> inputs;
        inputs.reserve(identities.size());
        for (const ConditioningInput &input : identities) inputs.push_back(input.c);
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
    /// The same with the identities in braces.
    template <class F = Silent>
    [[nodiscard]] Result<Conditioning> condition(std::initializer_list<ConditioningInput> identities,
                                                 const ConditioningOptions &options = {}, F &&progress = F()) const {
        return condition(span<const ConditioningInput>(identities.begin(), identities.size()), options,
                         std::forward<F>(progress));
    }
    /// One identity, with default options.
    [[nodiscard]] Result<Conditioning> condition(const Identity &identity, float scale = 1.0F) const {
        return condition({ConditioningInput(identity, scale)});
    }

    /// Compares two identities of the engine's model: cosine similarity, -1 to 1, after subtracting the model's mean
    /// identity and projecting onto the directions that distinguish people, where the checkpoint has them.
    [[nodiscard]] Result<float> similarity(const Identity &first, const Identity &second) const {
        float out = 0.0F;
        const omniid_status status = omniid_identity_similarity(get(), first.get(), second.get(), &out);
        return detail::finish(status, out);
    }

    /// An identity's vector for comparisons, f32 `[length]`: of length 1, so that the dot product of two is the
    /// similarity() of their identities. What an index of many people stores.
    [[nodiscard]] Result<Tensor> comparison_vector(const Identity &identity) const {
        omniid_managed_tensor *out = nullptr;
        const omniid_status status = omniid_identity_comparison_vector(get(), identity.get(), &out);
        return detail::finish(status, Tensor(out));
    }

    /// The raw embedding of the face in a photo: of the largest, unless the photo says which. Its network is the
    /// engine's face recogniser.
    [[nodiscard]] Result<FaceEmbedding> face_embedding(const Photo &photo) const {
        const omniid_photo c_photo = photo.c();
        omniid_managed_tensor *out = nullptr;
        omniid_status status = omniid_face_embedding(get(), &c_photo, &out);
        const Tensor tensor(out);
        omniid_engine_info info = OMNIID_ENGINE_INFO_INIT;
        if (status == OMNIID_STATUS_OK) status = omniid_engine_describe(get(), &info);
        FaceEmbedding embedding;
        if (status == OMNIID_STATUS_OK) {
            const span<const float> values = tensor.floats();
            embedding.values.assign(values.begin(), values.end());
            embedding.network = optional(info.face_recogniser);
        }
        return detail::finish(status, std::move(embedding));
    }

    /// A vector of the face in a photo by its histograms of oriented gradients, of length 1: the dot product of two says
    /// whether two photos show one person. The checkpoint must have directions for it. Of several faces the largest
    /// counts, unless the photo says which.
    [[nodiscard]] Result<Tensor> histogram_vector(const Photo &photo) const {
        const omniid_photo c_photo = photo.c();
        omniid_managed_tensor *out = nullptr;
        const omniid_status status = omniid_histogram_vector(get(), &c_photo, &out);
        return detail::finish(status, Tensor(out));
    }

    /// How like the face in a picture is to a person: a measure for what a host has generated. Any model will do; the
    /// engine needs a face recogniser, and the identity must have been made with it, or of embeddings of its network.
    [[nodiscard]] Result<Likeness> likeness(const Identity &identity, const Photo &photo) const {
        const omniid_photo c_photo = photo.c();
        omniid_likeness c = OMNIID_LIKENESS_INIT;
        const omniid_status status = omniid_likeness_of(get(), identity.get(), &c_photo, &c);
        return detail::finish(status, Likeness{c.photos, c.mean, c.best});
    }

    /// The tokens of an identity for a host that reads them itself, as InstantID's ControlNet does in place of a text:
    /// f32 `[2, tokens, token_width]`; first the unconditional side, then the identity.
    [[nodiscard]] Result<Tensor> context_tokens(const Identity &identity) const {
        omniid_managed_tensor *out = nullptr;
        const omniid_status status = omniid_identity_context_tokens(get(), identity.get(), &out);
        return detail::finish(status, Tensor(out));
    }

    /// Writes the LoRA that the checkpoint holds as a safetensors file, which the host applies at strength 1: IP-Adapter
    /// FaceID, Plus and PlusV2 were trained with it. Fails with Status::unsupported when the checkpoint holds none.
    Result<void> save_lora(const std::string &path, LoraFormat format = LoraFormat::kohya) const {
        return detail::finish(omniid_engine_save_lora(get(), path.c_str(), static_cast<std::int32_t>(format)));
    }

  private:
    /// A text that may be NULL.
    static std::string_view optional(const char *text) noexcept { return text == nullptr ? "" : text; }

    /// What encode(), extend() and photo_features() share: a `Made` and reports on photos. `call` takes the parameters of
    /// omniid_encode from the photos on, and hands out a `C`.
    template <class Reported, class Made, class C, class Call, class F>
    static Result<Reported> run(const Call &call, span<const Photo> photos, const EncodeOptions &options, F &progress) {
        const std::vector<omniid_photo> structs = detail::to_c(photos);
        omniid_encode_options c = options.c();
        detail::ProgressBridge<F> bridge(progress);
        c.progress = bridge.function();
        c.progress_user_data = bridge.user_data();
        omniid_report *report = nullptr;
        c.report = &report;
        C *out = nullptr;
        const omniid_status status =
            call(structs.data(), structs.size(), static_cast<const omniid_encode_options *>(&c), &out);
        Made made(out);
        const detail::Handle<omniid_report, omniid_report_free> owned(report);
        bridge.rethrow();
        if (status != OMNIID_STATUS_OK) return detail::last_error(status);
        Result<std::vector<PhotoReport>> reports = detail::photo_reports(owned.get());
        if (!reports) return reports.error();
        return Reported{std::move(made), std::move(*reports)};
    }
};

} // namespace OMNIID_INLINE_NAMESPACE
} // namespace omniid

#endif
