#include "Calls.h"

#include <utility>

namespace omniid_plugin {

namespace {

template <class T>
omniid::Result<std::shared_ptr<const T>> shared(omniid::Result<T> result) {
    if (!result) return result.error();
    return std::shared_ptr<const T>(std::make_shared<T>(std::move(result).value()));
}

omniid::Error wrong(const char *message) { return {omniid::Status::invalid_argument, message}; }

omniid::Result<omniid::Photo> photo(const PhotoSource &source) {
    omniid::Result<omniid::Photo> result = [&]() -> omniid::Result<omniid::Photo> {
        if (const auto *path = std::get_if<std::string>(&source.content)) return omniid::Photo::file(*path);
        if (const auto *bytes = std::get_if<std::vector<std::byte>>(&source.content))
            return omniid::Photo::encoded(*bytes);
        const Pixels &pixels = std::get<Pixels>(source.content);
        const omniid::span<const std::uint8_t> bgra(pixels.bgra);
        return omniid::Photo::pixels(bgra, pixels.width, pixels.height, omniid::ChannelOrder::bgra);
    }();
    if (!result) return result;
    if (const auto *index = std::get_if<std::uint32_t>(&source.face)) result->face_index(*index);
    if (const auto *box = std::get_if<omniid::FaceBox>(&source.face)) result->face_box(*box);
    return result;
}

} // namespace

omniid::Result<EnginePtr> open_engine(const omniid::EngineOptions &options, Job &job) {
    return shared(omniid::Engine::open(options, job));
}

omniid::Result<EncodedPhotos> encode(const EnginePtr &engine, const IdentityPtr &extended,
                                     const std::vector<PhotoSource> &photos, const omniid::EncodeOptions &options,
                                     Job &job) {
    if (engine == nullptr) return wrong("encode: there is no model; open one first");
    std::vector<omniid::Photo> inputs;
    inputs.reserve(photos.size());
    for (const PhotoSource &source : photos) {
        omniid::Result<omniid::Photo> input = photo(source);
        if (!input) return input.error();
        inputs.push_back(std::move(input).value());
    }
    omniid::Result<omniid::Encoded> encoded = extended == nullptr ? engine->encode(inputs, options, job)
                                                                  : engine->extend(*extended, inputs, options, job);
    if (!encoded) return encoded.error();
    return EncodedPhotos{std::make_shared<omniid::Identity>(std::move(encoded->identity)), std::move(encoded->photos)};
}

omniid::Result<ConditioningPtr> condition(const EnginePtr &engine, const std::vector<PersonToInject> &people,
                                          const omniid::ConditioningOptions &options, Job &job) {
    if (engine == nullptr) return wrong("condition: there is no model; open one first");
    std::vector<omniid::ConditioningInput> inputs;
    for (const PersonToInject &person : people) {
        if (person.identity == nullptr) return wrong("condition: a person has no identity");
        omniid::ConditioningInput &input = inputs.emplace_back(*person.identity, person.scale);
        const auto [first, last] = person.fractions;
        if (first > 0.0 || last < 1.0) input.fractions(first, last);
    }
    return shared(engine->condition(omniid::span<const omniid::ConditioningInput>(inputs), options, job));
}

} // namespace omniid_plugin
