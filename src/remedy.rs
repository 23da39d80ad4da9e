//! What the reader of the plugin's messages can do: one constant for each remedy.
//!
//! A message says what came and what was expected; [`Error::with_remedy`](crate::Error::with_remedy) ends it with the
//! remedy. `docs/troubleshooting.md` has an entry for each, and the tests hold both to it: a remedy without an entry
//! and a message that names a remedy in words of its own fail.

use omniid_kernels::Remedy;

/// A crop that must know where the face is, without anything that says so.
pub const FACE_PLACE: Remedy = Remedy::new("face-place", "give a face detector, a face box or landmarks");
/// A face chosen by number, and a crop that takes no notice of faces.
pub const FACE_CROP: Remedy = Remedy::new("face-crop", "choose crop mode face or aligned");
/// A checkpoint that reads the features of an image encoder, without one.
pub const IMAGE_ENCODER: Remedy = Remedy::new(
    "image-encoder",
    "give the CLIP vision model that it was trained with as image encoder",
);
/// A vision model whose shapes do not say everything.
pub const IMAGE_ENCODER_CONFIG: Remedy = Remedy::new("image-encoder-config", "give its config.json");
/// An adapter whose layers are none of the known hosts'.
pub const HOST_TABLE: Remedy = Remedy::new("host-table", "give the host's layer table");
/// Two tensors of one meaning in a file.
pub const DUPLICATE_TENSOR: Remedy = Remedy::new("duplicate-tensor", "remove one of them from the file");
/// A value that a small number type cannot hold.
pub const IDENTITY_RANGE: Remedy = Remedy::new("identity-range", "write the identity as f32");
/// A pointer of Git LFS where the file should be.
pub const GIT_LFS: Remedy = Remedy::new("git-lfs-pointer", "fetch the file itself with `git lfs pull`");
/// A page of a web server where the file should be.
pub const FAILED_DOWNLOAD: Remedy = Remedy::new("failed-download", "download the file again");
/// A compressed file.
pub const ARCHIVE: Remedy = Remedy::new("archive", "unpack it first");
/// A pickled file in the format of PyTorch before 1.6.
pub const OLD_PYTORCH_FILE: Remedy = Remedy::new(
    "old-pytorch-file",
    "save it again with torch.save(torch.load(\"old.bin\", map_location=\"cpu\"), \"new.bin\"), or as safetensors",
);
/// Tensors on another device than the engine.
pub const TENSOR_PLACE: Remedy = Remedy::new("tensor-place", "copy the tensor there or open the engine where it is");
/// A stream number that two streams have.
pub const CUDA_STREAM: Remedy = Remedy::new(
    "cuda-stream",
    "pass 1 for the legacy default stream, 2 for the per-thread default stream",
);
/// A CUDA graph that is captured while memory is still being made ready.
pub const GRAPH_CAPTURE: Remedy = Remedy::new(
    "graph-capture",
    "make this call once before the capture begins, and synchronise the stream",
);
/// A small tensor that a file shows as a large one.
pub const CONTIGUOUS_TENSOR: Remedy = Remedy::new("contiguous-tensor", "save a contiguous copy");
/// A pickled file with more in it than tensors.
pub const SAFETENSORS: Remedy = Remedy::new("save-as-safetensors", "save the weights as safetensors");
