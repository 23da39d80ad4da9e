/*
 * Face embeddings, the residual stream and SD3.5 through the C++ wrapper. Run under AddressSanitizer.
 *
 *     faces MODELS FOLDER
 *
 * MODELS is a folder that the example untrained_adapters has filled.
 */
#include "support.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>

namespace {

constexpr omniid::Landmarks landmarks{26, 20, 52, 19, 40, 33, 29, 44, 50, 45};

omniid::Photo face(const std::vector<std::uint8_t> &pixels) {
    return omniid::Photo::pixels(pixels, picture_width, picture_height).value().face_landmarks(landmarks);
}

template <class T>
void refused(omniid::Status status, const char *names, const omniid::Result<T> &result) {
    EXPECT(!result.has_value() && result.error().status() == status);
    EXPECT(std::strstr(result.error().what(), names) != nullptr);
}

std::vector<float> tokens(const omniid::Identity &identity) {
    const omniid::Tensor tensor = identity.tokens().value();
    return {tensor.floats().begin(), tensor.floats().end()};
}

std::vector<std::byte> bytes_of(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    std::vector<std::byte> bytes(text.size());
    std::transform(text.begin(), text.end(), bytes.begin(), [](char c) { return static_cast<std::byte>(c); });
    return bytes;
}

/// A photo, its embedding, and an embedding with its picture give the same identity.
void embeddings(const omniid::Engine &engine) {
    const std::vector<std::uint8_t> one = picture(0), two = picture(1);
    const omniid::Photo first = face(one), second = face(two);
    const omniid::Encoded encoded = engine.encode({first, second}).value();
    const std::vector<float> expected = tokens(encoded.identity);
    EXPECT(encoded.photos[0].face->landmarks == landmarks && expected.size() == 2 * 4 * 24);
    const omniid::IdentityInfo info = encoded.identity.describe().value();
    EXPECT(info.embeddings == 2 && info.combine == omniid::Combine::concatenate && info.shortcut_scale == 1.0F);
    EXPECT(info.encoder == omniid::EncoderKind::face_id);

    omniid::FaceEmbedding known = encoded.identity.embedding(0).value().value();
    const omniid::FaceEmbedding looked = engine.face_embedding(first).value();
    EXPECT(known.values == looked.values && known.values.size() == 12 && looked.network == "IResNet-50");
    EXPECT(known.form == omniid::EmbeddingForm::raw && looked.form == omniid::EmbeddingForm::raw);
    const omniid::FaceEmbedding other = encoded.identity.embedding(1).value().value();
    EXPECT(!encoded.identity.without_features()->embedding(0).value().has_value());
    refused(omniid::Status::invalid_argument, "no photo 2", encoded.identity.embedding(2));
    refused(omniid::Status::unsupported, "fit-histograms", engine.histogram_vector(first));

    const auto alone = omniid::Photo::from_embedding(known);
    EXPECT(tokens(engine.encode({alone, omniid::Photo::from_embedding(other)})->identity) == expected);
    const omniid::Photo beside = omniid::Photo(second).embedding(known);
    const std::vector<float> swapped = tokens(engine.encode({beside})->identity);
    EXPECT(std::equal(swapped.begin(), swapped.end(), expected.begin()));

    // How like.
    const omniid::Likeness likeness = engine.likeness(encoded.identity, first).value();
    EXPECT(likeness.photos == 2 && std::abs(likeness.best - 1.0F) < 1e-5F && likeness.mean < likeness.best);

    // Combined: a photo and itself are the photo, a photo and another one are neither.
    const auto average = omniid::EncodeOptions().combine(omniid::Combine::average);
    const std::vector<float> twice = tokens(engine.encode({alone, alone}, average)->identity);
    EXPECT(twice.size() == 4 * 24);
    for (std::size_t i = 0; i < twice.size(); i++) EXPECT(std::abs(twice[i] - expected[i]) < 1e-5F);
    const omniid::Identity mean = engine.encode({first, second}, average).value().identity;
    EXPECT(mean.describe()->combine == omniid::Combine::average && tokens(mean) != twice);
    EXPECT(engine.extend(mean, {first})->identity.describe()->photos == 3);

    // What is no embedding, or that of another network.
    known.network = "antelopev2";
    refused(omniid::Status::mismatch, "w600k_r50", engine.encode({omniid::Photo::from_embedding(known)}));
    known.values.clear();
    refused(omniid::Status::invalid_argument, "embedding", engine.encode({omniid::Photo::from_embedding(known)}));
    known = other;
    known.form = omniid::EmbeddingForm::normalised;
    refused(omniid::Status::invalid_argument, "length", engine.encode({omniid::Photo::from_embedding(known)}));
    refused(omniid::Status::invalid_argument, "shortcut",
            engine.encode({alone}, omniid::EncodeOptions().shortcut_scale(0.5F)));

    // A face mask, for another model than PuLID; one with too few values, and one without any.
    const std::vector<float> mask(12, 1.0F);
    refused(omniid::Status::invalid_argument, "only PuLID", engine.encode({omniid::Photo(first).face_mask(mask, 3, 4)}));
    for (const omniid::span<const float> few : {omniid::span<const float>(mask), omniid::span<const float>()}) {
        refused(omniid::Status::invalid_argument, "0 values", engine.encode({omniid::Photo(first).face_mask(few, 4, 4)}));
    }
}

void plus(const std::string &models) {
    const omniid::Engine engine = omniid::Engine::open(models + "/faceid-plus.safetensors").value();
    EXPECT(engine.describe()->has_image_encoder && engine.describe()->has_lora);
    EXPECT(engine.describe()->encoder == omniid::EncoderKind::face_id_plus);
    const std::vector<std::uint8_t> one = picture(0);
    const omniid::Photo photo = face(one);
    const auto half = omniid::EncodeOptions().shortcut_scale(0.5F);
    const omniid::Identity identity = engine.encode({photo}, half).value().identity;
    EXPECT(identity.describe()->shortcut_scale == 0.5F);
    EXPECT(tokens(identity) != tokens(engine.encode({photo})->identity));
    EXPECT(tokens(engine.encode({photo}, omniid::EncodeOptions().shortcut_scale(1.0F))->identity) ==
           tokens(engine.encode({photo})->identity));
}

/// Options of an engine, and what they are said to be.
void engines(const std::string &models, const std::string &folder) {
    const std::string path = models + "/faceid.safetensors";
    const omniid::Engine engine = omniid::Engine::open(path).value();
    const omniid::EngineInfo info = engine.describe().value();
    EXPECT(!info.has_image_encoder && info.has_lora && info.face_dimension == 12 &&
           info.face_recogniser == "IResNet-50");
    EXPECT(info.face_form == omniid::EmbeddingForm::normalised &&
           info.face_network.find("w600k_r50") != std::string_view::npos);
    EXPECT(info.face_recogniser_licence == "none needed: random numbers");

    // A recogniser beside a model that reads no embeddings, from a file and from memory.
    const std::vector<std::byte> bytes = bytes_of(path);
    const std::vector<std::uint8_t> one = picture(0);
    const omniid::Engine by_path = omniid::Engine::open(omniid::EngineOptions().face_recogniser(path)).value();
    const omniid::Engine by_bytes = omniid::Engine::open(omniid::EngineOptions().face_recogniser_bytes(bytes)).value();
    for (const omniid::Engine *built_in : {&by_path, &by_bytes}) {
        EXPECT(built_in->describe()->face_recogniser == "IResNet-50" && built_in->describe()->face_dimension == 0);
        EXPECT(built_in->describe()->face_network.empty() && !built_in->describe()->has_lora);
        const omniid::Identity identity = built_in->encode({face(one)}).value().identity;
        EXPECT(std::abs(built_in->likeness(identity, face(one))->mean - 1.0F) < 1e-5F);
    }
    const omniid::Engine plain = omniid::Engine::open().value();
    EXPECT(plain.describe()->face_recogniser_licence.empty());
    refused(omniid::Status::unsupported, "recognis", plain.face_embedding(face(one)));
    refused(omniid::Status::unsupported, "recognis", plain.likeness(plain.encode({face(one)})->identity, face(one)));
    refused(omniid::Status::unsupported, "none", plain.save_lora(folder + "/none.safetensors"));
    refused(omniid::Status::invalid_argument, "pars",
            omniid::Engine::open(omniid::EngineOptions(path).face_parser(path)));
    refused(omniid::Status::invalid_argument, "pars",
            omniid::Engine::open(omniid::EngineOptions(path).face_parser_bytes(bytes)));
    refused(omniid::Status::invalid_argument, "variant",
            omniid::Engine::open(omniid::EngineOptions(path).variant("instantid")));

    // For the host: LoRA, tokens, control picture.
    engine.save_lora(folder + "/kohya.safetensors").value();
    engine.save_lora(folder + "/diffusers.safetensors", omniid::LoraFormat::diffusers).value();
    const auto holds = [&](const char *name, const std::string &text) {
        const std::vector<std::byte> file = bytes_of(folder + name);
        const std::string content(reinterpret_cast<const char *>(file.data()), file.size());
        return content.find(text) != std::string::npos;
    };
    EXPECT(holds("/kohya.safetensors", "lora_unet_mid_block") && holds("/diffusers.safetensors", "unet.mid_block"));
    const omniid::Identity identity = engine.encode({face(one)}).value().identity;
    const omniid::Tensor context = engine.context_tokens(identity).value();
    EXPECT(context.shape().size() == 3 && context.shape()[0] == 2 && context.shape()[1] == 4 &&
           context.shape()[2] == 24);
    const std::vector<float> own = tokens(identity);
    EXPECT(std::equal(own.begin(), own.end(), context.floats().begin() + 4 * 24));
    const std::vector<std::uint8_t> drawn = omniid::draw_keypoints(landmarks, 80, 60).value();
    EXPECT(drawn.size() == 80 * 60 * 3 &&
           std::count_if(drawn.begin(), drawn.end(), [](int v) { return v != 0; }) > 100);
    refused(omniid::Status::invalid_argument, "picture", omniid::draw_keypoints(landmarks, 0, 60));
    refused(omniid::Status::invalid_argument, "picture", omniid::draw_keypoints(landmarks, 0xFFFFFFFFU, 0xFFFFFFFFU));
    embeddings(engine);
}

/// The image's part of a sequence, in place; then into another tensor.
void residual(const std::string &models) {
    const omniid::Engine engine = omniid::Engine::open(models + "/residual.safetensors").value();
    const std::vector<std::uint8_t> one = picture(2);
    const omniid::Identity identity = engine.encode({face(one)}).value().identity;
    const omniid::Conditioning conditioning = engine.condition(identity).value();
    EXPECT(conditioning.layer(1)->hidden == 40);
    constexpr std::size_t text = 3 * 40, count = 6 * 40;
    std::vector<float> sequence(text + count), added(count);
    for (std::size_t i = 0; i < sequence.size(); i++) sequence[i] = std::sin(static_cast<float>(i));
    const std::vector<float> before = sequence;
    const omniid::TensorView image(sequence.data() + text, {1, 6, 40});
    omniid::ResidualCall elsewhere(1, omniid::TensorView(added.data(), {1, 6, 40}));
    elsewhere.hidden = image;
    conditioning.inject_residual(elsewhere).value();
    conditioning.inject_residual(omniid::ResidualCall(1, image)).value();
    EXPECT(std::equal(sequence.begin(), sequence.begin() + text, before.begin()));
    for (std::size_t i = 0; i < count; i++)
        EXPECT(std::abs(before[text + i] + added[i] - sequence[text + i]) < 1e-5F && added[i] != 0.0F);
    elsewhere.hidden = omniid::TensorView(added.data() + 40, {1, 5, 40});
    EXPECT(!conditioning.inject_residual(elsewhere));
    elsewhere = omniid::ResidualCall(1, image);
    elsewhere.hidden = omniid::TensorView(sequence.data() + text - 40, {1, 6, 40});
    refused(omniid::Status::invalid_argument, "share memory", conditioning.inject_residual(elsewhere));
    refused(omniid::Status::mismatch, "inject_residual",
            conditioning.inject(omniid::InjectCall(0, image, omniid::TensorView(added.data(), {1, 6, 40}))));
}

void joint(const std::string &models) {
    const omniid::Engine engine = omniid::Engine::open(models + "/sd35.safetensors").value();
    const std::vector<std::uint8_t> one = picture(2);
    const omniid::Identity identity = engine.encode({face(one)}).value().identity;
    refused(omniid::Status::invalid_argument, "timesteps", engine.condition(identity));
    const auto options = omniid::ConditioningOptions().timesteps({900.0F, 100.0F});
    const omniid::Conditioning conditioning = engine.condition({omniid::ConditioningInput(identity)}, options).value();
    std::vector<float> query(6 * 32), keys(query.size()), values(query.size()), first(query.size()),
        second(query.size());
    for (std::size_t i = 0; i < query.size(); i++) {
        query[i] = std::sin(static_cast<float>(i));
        keys[i] = std::cos(static_cast<float>(i));
        values[i] = std::sin(2.0F * static_cast<float>(i));
    }
    const auto view = [](std::vector<float> &numbers) { return omniid::TensorView(numbers.data(), {1, 6, 32}); };
    omniid::InjectCall call(0, view(query), view(first));
    call.sigma = 0.9;
    call.image_keys = view(keys);
    refused(omniid::Status::invalid_argument, "image", conditioning.inject(call));
    call.image_values = view(values);
    conditioning.inject(call).value();
    call.output = view(second);
    call.sigma = 0.1;
    conditioning.inject(call).value();
    EXPECT(first != second && first[0] != 0.0F && second[0] != 0.0F);
}

} // namespace

int main(int count, char **arguments) {
    if (count != 3) {
        std::fprintf(stderr, "usage: %s MODELS FOLDER\n", arguments[0]);
        return 2;
    }
    const std::string models = arguments[1], folder = arguments[2];
    engines(models, folder);
    plus(models);
    residual(models);
    joint(models);
    std::puts("face embeddings, the residual stream and SD3.5 work from C++");
    return 0;
}
