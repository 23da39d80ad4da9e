//! Conversion: checkpoints to OmniID's own format, adapters and identities to what other programs read.
//!
//! | from | to | for |
//! |---|---|---|
//! | public checkpoint, image encoder, detector | [`to_native`]: one native file | OmniID |
//! | native checkpoint | [`to_native`]: the same in another number type | OmniID |
//! | native Omni-ID checkpoint | [`to_full_face`]: a full-face IP-Adapter | diffusers, ComfyUI |
//! | IP-Adapter FaceID, or native file of one | [`to_lora`]: its LoRA, as kohya or diffusers file | any host |
//! | checkpoint of an Omni-ID, IP-Adapter, FaceID or InstantID model | [`to_onnx`]: its encoders as one graph | hosts without OmniID |
//! | identities | [`Embeddings`]: precomputed image embeddings | diffusers, ComfyUI |
//! | an identity | [`to_gguf`]: tokens as the adapter's key and value projections read them | hosts on ggml |
//!
//! Tensors are streamed from file to file; nothing larger than one tensor is held in memory. Files are written in
//! one step or not at all.

mod embeddings;
mod full_face;
mod gguf;
mod lora;
mod native;
mod onnx;

pub use crate::tensor_file::{torch_to_bytes, DenseTensor, TorchObject};
pub use embeddings::{mean_identity, Embeddings, Negative, EMBEDDINGS_KEY};
pub use full_face::{to_full_face, to_full_face_with_progress};
#[doc(hidden)]
pub use gguf::gguf_to_bytes;
pub use gguf::{to_gguf, GgufTokens, GGUF_TOKENS, GGUF_UNCONDITIONAL_TOKENS};
pub use lora::{to_lora, to_lora_with_progress};
pub use native::{to_native, to_native_with_progress, Converted, NativeOptions};
pub use onnx::{to_onnx, to_onnx_with_progress, OnnxEncoder, OnnxFiles, ONNX_METADATA_KEY};
