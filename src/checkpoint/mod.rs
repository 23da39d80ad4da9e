//! Checkpoints: reading safetensors and PyTorch files, recognising what they hold, writing safetensors.
//!
//! A [`Checkpoint`] is a set of named tensors and text metadata. Its container is decided by content, never by the
//! file's name. Tensors are read from the file when they are asked for.
//!
//! What wrappers put before all names (`module.`, `state_dict.`) is taken off when a file is opened. IP-Adapter names
//! are unified: `adapter_modules.` (written by training scripts) becomes `ip_adapter.`, and a repeated prefix
//! (`image_proj.image_proj.latents`) is dropped. Error messages and [`UsageTracker`] quote the names as the file has
//! them.
//!
//! Networks are built from [`Weights`], which read a checkpoint or list the tensors that it must hold.

mod describe;
mod families;
mod kind;
mod licence;
mod model;
mod native_model;

pub use crate::encoder::Variant;
pub use crate::tensor_file::{
    check_file_name, check_output, remove_unfinished, safetensors_to_bytes, save_atomically, save_bytes_atomically,
    write_safetensors, Checkpoint, Container, OutputTensor, SafetensorsWriter, Shapes, Source, TensorInfo, Unfinished,
    UsageTracker, FINGERPRINT_KEY,
};
pub(crate) use crate::tensor_file::{Content, Role};
pub use crate::vit::ClipNaming;
pub use describe::Description;
pub use kind::{recognise, CheckpointKind, IDENTITY_KEY, NATIVE_KEY};
pub use licence::Licence;
pub use model::{LoraPart, Model};
pub use native_model::InsidePart;
pub use omniid_kernels::layers::{Initial, Outline, TensorSpec, Weights};
