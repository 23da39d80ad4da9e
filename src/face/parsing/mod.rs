//! Face parsing: which pixels of an aligned face are skin, hair, background and so on.
//!
//! [`FaceParser`] is BiSeNet (Yu et al. 2018) with the 19 labels of CelebAMask-HQ, from the users' own file. PuLID looks
//! at faces on white, in grey: see [`grey_background`].

mod bisenet;
mod config;
mod file;
mod grey;
mod onnx;
mod parser;
mod torch;

pub use config::ParserConfig;
pub use grey::grey_background;
pub(crate) use grey::grey_where;
pub(crate) use parser::{align, align_mask};
pub use parser::{FaceParser, LabelMap};
