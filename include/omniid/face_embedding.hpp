/* Face embeddings: what a face recognition network makes of a face. */
#ifndef OMNIID_FACE_EMBEDDING_HPP
#define OMNIID_FACE_EMBEDDING_HPP

#include "config.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace omniid {
inline namespace OMNIID_INLINE_NAMESPACE {

/// The form of a face embedding.
enum class EmbeddingForm : std::int32_t {
    raw = OMNIID_EMBEDDING_FORM_RAW,               ///< As the network gives it (`embedding` of insightface).
    normalised = OMNIID_EMBEDDING_FORM_NORMALISED, ///< Divided by its length (`normed_embedding` of insightface).
};

/// What a face recognition network makes of a face, for hosts that have it already: Photo::embedding().
struct FaceEmbedding {
    std::vector<float> values; ///< 512 numbers for the published networks.
    std::string network;       ///< Its file's name without ending ("glintr100") or the pack it comes in ("antelopev2").
    EmbeddingForm form = EmbeddingForm::raw; ///< InstantID, PuLID and Portrait-unnorm need the raw one.
};

/// How like a face is to the photos of an identity: cosines of face embeddings, -1 to 1. Those of different networks are
/// not comparable.
struct Likeness {
    std::uint32_t photos = 0; ///< Photos of the identity that were compared.
    float mean = 0.0F;        ///< The mean over them.
    float best = 0.0F;        ///< To the photo that the face is most like.
};

/// The names of the tensors in a file with a LoRA.
enum class LoraFormat : std::int32_t {
    kohya = OMNIID_LORA_FORMAT_KOHYA,         ///< Of kohya's trainer and of ComfyUI.
    diffusers = OMNIID_LORA_FORMAT_DIFFUSERS, ///< Of diffusers and PEFT.
};

} // namespace OMNIID_INLINE_NAMESPACE
} // namespace omniid

#endif
