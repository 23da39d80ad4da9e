//! What the reader of the program's messages can do; see `omniid::remedy`.

use omniid::Remedy;

/// A command that looks for faces, without a detector.
pub const DETECTOR: Remedy = Remedy::new("detector-option", "give --detector FILE");
/// A face chosen by number, and a crop that takes no notice of faces.
pub const FACE_CROP: Remedy = Remedy::new("face-option", "give --crop face or --crop aligned");
/// A program without a built-in model.
pub const CHECKPOINT: Remedy = Remedy::new("checkpoint-option", "give --checkpoint FILE or set OMNIID_CHECKPOINT");
/// A command that draws, without a generator that knows the model.
pub const MINIHOST: Remedy = Remedy::new("minihost-option", "give --minihost FILE or set OMNIID_MINIHOST");
/// Rendering without head models.
pub const ASSETS: Remedy = Remedy::new(
    "assets-option",
    "give --assets FOLDER or set OMNIID_ASSETS; docs/training.md says where head models come from",
);
/// The demo where its photos are not.
pub const DEMO_PHOTOS: Remedy = Remedy::new(
    "demo-photos",
    "leave --photos FOLDER out for the people inside the program, or give another folder",
);
/// A training without pictures.
pub const TRAINING_DATA: Remedy = Remedy::new(
    "training-data",
    "give --data FILE, --photos FOLDER, or --assets FOLDER to render people",
);
/// `render` without anything to write.
pub const RENDER_OUTPUT: Remedy = Remedy::new("render-output", "give a FOLDER, --dataset FILE or --sheet FILE");
/// A file that would be replaced.
pub const FORCE: Remedy = Remedy::new("file-exists", "give --force to replace it");
/// A folder whose photos may lie deeper.
pub const RECURSIVE: Remedy = Remedy::new(
    "folder-without-photos",
    "give --recursive to search the folders below it",
);
/// One name for several pictures.
pub const OUTPUT_FOLDER: Remedy = Remedy::new("output-folder", "give --output-folder FOLDER, which takes them all");
/// A training that was interrupted.
pub const RESUME: Remedy = Remedy::new(
    "interrupted-training",
    "give the same command with --resume to continue from there",
);
