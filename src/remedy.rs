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
    "give the one that it was trained with as image encoder",
);
/// A normalised face embedding where the raw one is needed.
pub const RAW_EMBEDDING: Remedy = Remedy::new(
    "raw-embedding",
    "give the embedding as the network makes it (insightface: face.embedding, not face.normed_embedding), or the photo",
);
/// An adapter that reads face embeddings, without a network that makes them.
pub const FACE_RECOGNISER: Remedy = Remedy::new(
    "face-recogniser",
    "give the face recognition network that it was trained with as face recogniser, or the face embedding with each photo",
);
/// A face recognition network that an adapter was not trained with.
pub const FACE_NETWORK: Remedy = Remedy::new(
    "face-network",
    "give the network that it was trained with; embeddings of different networks have nothing in common",
);
/// A comparison of faces without a network for it.
pub const LIKENESS_RECOGNISER: Remedy = Remedy::new("likeness-recogniser", "open the engine with a face recogniser");
/// An identity whose photos' faces are not known any more.
pub const KEPT_EMBEDDINGS: Remedy = Remedy::new(
    "kept-embeddings",
    "encode its photos again by an engine with a face recogniser, with features kept",
);
/// A comparison of faces by orientation histograms with a model that has no directions for it.
pub const HISTOGRAMS: Remedy = Remedy::new(
    "histograms",
    "add them with `omniid fit-histograms`, or compare identities",
);
/// An image encoder beside a checkpoint that has one.
pub const OWN_IMAGE_ENCODER: Remedy =
    Remedy::new("own-image-encoder", "leave the image encoder and its configuration out");
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
/// Keys and values that depend on the denoising timestep.
pub const TIMESTEPS: Remedy = Remedy::new(
    "timesteps",
    "give the timestep of the step, or those of the whole schedule",
);
/// An attention that the host's own keys and values take part in.
pub const IMAGE_KEYS: Remedy = Remedy::new(
    "image-keys",
    "hand over the layer's image keys and values, before the host's own normalisation",
);
/// Several people in a graph that has one softmax in each layer.
pub const GRAPH_PEOPLE: Remedy = Remedy::new(
    "graph-people",
    "export the graph with masks, or concatenate the people, who share one softmax then",
);
/// An identity that is longer than the inputs of a graph.
pub const GRAPH_TOKENS: Remedy = Remedy::new(
    "graph-tokens",
    "export the graph for any number of tokens, or for that of the identity",
);
/// Tensors on another device than the engine.
pub const TENSOR_PLACE: Remedy = Remedy::new("tensor-place", "copy the tensor there or open the engine where it is");
/// A part of a call on a GPU.
pub const WHOLE_CALL: Remedy = Remedy::new("whole-call", "make one call for the whole layer, with one part");
/// A query for an adapter of the residual stream.
pub const INJECT_RESIDUAL: Remedy = Remedy::new(
    "residual-adapter",
    "hand the image's hidden state over after the block, with inject_residual",
);
/// A hidden state for an adapter inside the attention.
pub const INJECT: Remedy = Remedy::new("attention-adapter", "hand the layer's queries over, with inject");
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
/// A download that reserved its space, or one part after the other, and stopped.
pub const UNFINISHED_DOWNLOAD: Remedy =
    Remedy::new("unfinished-download", "let the download finish, or start it again");
/// The answer of a server that wants to know who asks.
pub const REFUSED_DOWNLOAD: Remedy = Remedy::new(
    "refused-download",
    "accept the model's terms on its page, log in or give an access token, and download the file again",
);
/// The answer of a server where the file should be.
pub const DOWNLOAD_ADDRESS: Remedy = Remedy::new(
    "download-address",
    "check the address (on Hugging Face it contains /resolve/, not /blob/) and download the file again",
);
/// A text where weights should be.
pub const WEIGHTS_FILE: Remedy = Remedy::new(
    "weights-file",
    "give the file with the weights: .safetensors, or .bin, .pt or .ckpt of PyTorch 1.6 or later",
);
/// A folder with more than one model in it, or none.
pub const MODEL_FILE: Remedy = Remedy::new("model-file", "give one model file, not the folder");
/// One of the files of a model.
pub const ALL_SHARDS: Remedy = Remedy::new(
    "one-shard",
    "give the folder that holds all of them, or their index, which ends in .index.json",
);
/// Files of a model that are not there.
pub const MISSING_SHARDS: Remedy = Remedy::new("missing-shards", "download the missing files into the same folder");
/// An index that leads out of its folder.
pub const SHARD_PLACE: Remedy = Remedy::new("shard-place", "put all files of the model into the folder of the index");
/// Quantised weights.
pub const UNQUANTISED: Remedy = Remedy::new(
    "quantised-weights",
    "take the version that was not quantised, or convert it to F16, BF16 or F32",
);
/// Several models in one file.
pub const ONE_MODEL: Remedy = Remedy::new("several-models", "save one of them in a file of its own");
/// A pipe where a file is needed.
pub const REGULAR_FILE: Remedy = Remedy::new("regular-file", "write its content to a file and give that");
/// A name that Windows has another meaning for.
pub const FILE_NAME: Remedy = Remedy::new("file-name", "choose another name");
/// A file that Windows protects from being replaced.
pub const READ_ONLY_FILE: Remedy = Remedy::new(
    "read-only-file",
    "take the mark away in the file's properties (or with `attrib -r FILE`), or choose another name",
);
/// A file that another program on Windows does not let go.
pub const FILE_IN_USE: Remedy = Remedy::new("file-in-use", "close it there, or choose another name");
/// A file that somebody writes to while it is used.
pub const OPEN_AGAIN: Remedy = Remedy::new("file-changed", "open it again once it is complete");
/// Weights that were never written.
pub const DAMAGED_WEIGHTS: Remedy = Remedy::new("damaged-weights", "download or copy the whole file again");
/// A photo in the format of iPhones.
pub const HEIC: Remedy = Remedy::new(
    "heic",
    "convert it to JPEG or PNG, or set the iPhone's camera to \"Most Compatible\"",
);
/// A camera's raw file.
pub const CAMERA_RAW: Remedy = Remedy::new("camera-raw", "export it as JPEG, PNG or TIFF");
/// A video.
pub const VIDEO: Remedy = Remedy::new("video", "save a frame of it as JPEG or PNG");
/// A picture in a format that is not read.
pub const OTHER_FORMAT: Remedy = Remedy::new("picture-format", "convert it to JPEG or PNG");
/// A picture of which a part is missing.
pub const DAMAGED_PHOTO: Remedy = Remedy::new("damaged-photo", "copy or download it again");
/// A photo beyond the limits, even at the size at which it can be read.
pub const LARGE_PHOTO: Remedy = Remedy::new(
    "large-photo",
    "scale it down, save it as JPEG, which is read at reduced size when it is too large, or raise the limit",
);
/// A photo with a side longer than any picture may have.
pub const SMALLER_PHOTO: Remedy = Remedy::new("long-side", "scale it down");
/// A file that is no face recognition network, or none of those that are read.
pub const FACE_RECOGNISER_FILE: Remedy = Remedy::new(
    "face-recogniser-file",
    "give an IResNet of insightface, SFace of OpenCV or IR-SE50 of facexlib, all in one file",
);
/// Embeddings of two networks.
pub const SAME_FACE_NETWORK: Remedy = Remedy::new("same-face-network", "embed both photos with the same network");
/// A file that is no face parsing network.
pub const FACE_PARSER_FILE: Remedy = Remedy::new(
    "face-parser-file",
    "give facexlib's parsing_bisenet.pth, or the same network as safetensors or ONNX",
);
