//! Files of face networks that are no checkpoints of an identity model: recognition, parsing, detection.

use omniid::engine::Source;
use omniid::face::parsing::FaceParser;
use omniid::face::FaceDetector;
use omniid::recogniser::FaceRecogniser;
use omniid::Limits;
use serde::Serialize;
use std::path::Path;

/// Largest file that is tried. An IResNet-200 in f32 has 0.5 GB.
const MOST_BYTES: u64 = 1 << 30;

/// Which network a file holds, and what gives it to an adapter.
#[derive(Serialize)]
#[serde(tag = "network", rename_all = "snake_case")]
pub enum FaceNetworkFile {
    /// A face recognition network.
    Recogniser {
        /// Architecture, and name if it is a known file.
        title: String,
        /// Values of an embedding.
        dimension: usize,
        /// What its authors state about its use.
        licence: String,
        /// Fingerprint of the weights.
        fingerprint: String,
    },
    /// A face parsing network.
    Parser {
        /// Architecture.
        title: String,
    },
    /// A face detector.
    Detector {
        /// Architecture.
        title: String,
    },
}

impl FaceNetworkFile {
    /// The face network in `source`, the content of `path` with `bytes` bytes; `None` for anything else.
    pub fn find(path: &Path, source: &Source, bytes: u64, limits: &Limits) -> Option<Self> {
        if bytes > MOST_BYTES {
            return None;
        }
        if let Ok(recogniser) = FaceRecogniser::open(source.clone(), limits) {
            let network = recogniser.network();
            return Some(Self::Recogniser {
                title: network.to_string(),
                dimension: network.dimension,
                licence: network.licence.clone(),
                fingerprint: network.fingerprint.clone(),
            });
        }
        if FaceParser::open(source.clone(), limits).is_ok() {
            let title = "BiSeNet, 19 labels".to_string();
            return Some(Self::Parser { title });
        }
        let title = "YuNet".to_string();
        let detector = FaceDetector::open(path, limits);
        detector.ok().map(|_| Self::Detector { title })
    }

    /// What it is, as title and text.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Recogniser {
                title,
                dimension,
                licence,
                fingerprint,
            } => vec![
                ("kind", format!("face recognition network, {title}")),
                ("embedding", format!("{dimension} values")),
                ("licence", licence.clone()),
                (
                    "use",
                    "--face-recogniser of encode, --recogniser of compare".to_string(),
                ),
                ("fingerprint", fingerprint.clone()),
            ],
            Self::Parser { title } => vec![
                ("kind", format!("face parser, {title}")),
                ("use", "--face-parser of encode, for PuLID".to_string()),
            ],
            Self::Detector { title } => vec![
                ("kind", format!("face detector, {title}")),
                ("use", "--detector".to_string()),
            ],
        }
    }
}
