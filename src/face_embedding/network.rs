//! Which face recognition network: architecture, name, licence.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The kind of a face recognition network. Embeddings of different kinds cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[non_exhaustive]
pub enum FaceArchitecture {
    /// The residual network of ArcFace (Deng et al. 2019; `iresnet.py` of insightface), with 18, 34, 50, 100 or 200
    /// layers.
    IResNet {
        /// Layers with weights, as they are counted in the network's name.
        layers: usize,
    },
    /// The MobileFaceNet of OpenCV's model zoo (Zhong et al. 2021: "SFace").
    SFace,
    /// The residual network with squeeze-and-excitation of InsightFace_Pytorch, as facexlib publishes it.
    IrSe50,
}

impl fmt::Display for FaceArchitecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IResNet { layers } => write!(f, "IResNet-{layers}"),
            Self::SFace => f.write_str("SFace"),
            Self::IrSe50 => f.write_str("IR-SE50"),
        }
    }
}

impl From<FaceArchitecture> for String {
    fn from(architecture: FaceArchitecture) -> Self {
        architecture.to_string()
    }
}

impl TryFrom<String> for FaceArchitecture {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl FromStr for FaceArchitecture {
    type Err = Error;

    /// Reads what [`Display`](fmt::Display) writes, alone or with a name in parentheses behind it, and the names under
    /// which the published networks are known: `buffalo_l`, `w600k_r50`, `antelopev2`, `glintr100`, `auraface`,
    /// `sface`, `ir_se50`. Upper and lower case, `-`, `_` and spaces make no difference.
    fn from_str(text: &str) -> Result<Self> {
        let kind = text.split('(').next().unwrap_or(text);
        let plain: String = kind
            .chars()
            .filter(|c| c.is_alphanumeric())
            .map(|c| c.to_ascii_lowercase())
            .collect();
        let layers = |digits: &str| LAYERS.into_iter().find(|layers| layers.to_string() == digits);
        match plain.as_str() {
            "sface" => return Ok(Self::SFace),
            "irse50" => return Ok(Self::IrSe50),
            "buffalol" | "w600kr50" => return Ok(Self::IResNet { layers: 50 }),
            "antelopev2" | "glintr100" | "auraface" | "aurafacev1" => return Ok(Self::IResNet { layers: 100 }),
            _ => {}
        }
        let digits = plain.strip_prefix("iresnet").or_else(|| plain.strip_prefix('r'));
        match digits.and_then(layers) {
            Some(layers) => Ok(Self::IResNet { layers }),
            None => Err(Error::invalid(format!(
                "unknown face recognition network {text:?}, expected IResNet-18, -34, -50, -100, -200, SFace or IR-SE50"
            ))),
        }
    }
}

/// Numbers of layers that IResNet comes with.
pub(crate) const LAYERS: [usize; 5] = [18, 34, 50, 100, 200];

/// A face recognition network: what its embeddings are tagged with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaceNetwork {
    /// The kind.
    pub architecture: FaceArchitecture,
    /// Name under which the file is published, such as `w600k_r50`; known by the file's checksum, else empty.
    pub name: String,
    /// Values of an embedding.
    pub dimension: usize,
    /// Fingerprint of the weights; see [`Checkpoint::fingerprint`](crate::checkpoint::Checkpoint::fingerprint).
    pub fingerprint: String,
    /// What the authors of the weights state about their use; `unknown` for a file that is not known.
    pub licence: String,
}

impl fmt::Display for FaceNetwork {
    /// The architecture, and the name in parentheses if there is one: `IResNet-50 (w600k_r50)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.as_str() {
            "" => self.architecture.fmt(f),
            name => write!(f, "{} ({name})", self.architecture),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_are_read_back() {
        for architecture in LAYERS
            .map(|layers| FaceArchitecture::IResNet { layers })
            .into_iter()
            .chain([FaceArchitecture::SFace, FaceArchitecture::IrSe50])
        {
            let network = FaceNetwork {
                architecture,
                name: "some_name".to_string(),
                dimension: 512,
                fingerprint: String::new(),
                licence: "unknown".to_string(),
            };
            for text in [architecture.to_string(), network.to_string()] {
                assert_eq!(text.parse::<FaceArchitecture>().unwrap(), architecture, "{text}");
            }
        }
        let fifty = FaceArchitecture::IResNet { layers: 50 };
        for (text, expected) in [
            ("buffalo_l", fifty),
            ("R50", fifty),
            ("IResNet-50 (w600k_r50)", fifty),
            ("glintr100", FaceArchitecture::IResNet { layers: 100 }),
            ("ir_se50", FaceArchitecture::IrSe50),
        ] {
            assert_eq!(text.parse::<FaceArchitecture>().unwrap(), expected);
        }
        for text in ["", "r", "r51", "FaceNet", "iresnet"] {
            assert!(text.parse::<FaceArchitecture>().is_err(), "{text}");
        }
    }
}
