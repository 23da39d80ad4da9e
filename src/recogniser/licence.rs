//! Published files that are known by their checksum, and what their authors state about their use.

use sha2::{Digest, Sha256};

/// What is stated about a file that is not known.
pub(super) const UNKNOWN: &str = "unknown";

/// A published file.
pub(super) struct Published {
    /// SHA-256 of the whole file.
    sha256: &'static str,
    /// Name under which it is published.
    pub name: &'static str,
    /// What its authors state about the use of the weights.
    pub licence: &'static str,
    /// Where they state it.
    pub source: &'static str,
}

const INSIGHTFACE: &str = "non-commercial research purposes only";
const INSIGHTFACE_SOURCE: &str = "https://github.com/deepinsight/insightface/tree/master/model_zoo";

/// The files whose checksums are public.
const PUBLISHED: [Published; 5] = [
    Published {
        sha256: "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43",
        name: "w600k_r50",
        licence: INSIGHTFACE,
        source: INSIGHTFACE_SOURCE,
    },
    Published {
        sha256: "4ab1d6435d639628a6f3e5008dd4f929edf4c4124b1a7169e1048f9fef534cdf",
        name: "glintr100",
        licence: INSIGHTFACE,
        source: INSIGHTFACE_SOURCE,
    },
    Published {
        sha256: "a7933ea5330113b01c9b60351d8f4c33003f145d8470ac5f0e52ee2effe25c60",
        name: "auraface",
        licence: "Apache-2.0",
        source: "https://huggingface.co/fal/AuraFace-v1",
    },
    Published {
        sha256: "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
        name: "face_recognition_sface_2021dec",
        licence: "Apache-2.0",
        source: "https://github.com/opencv/opencv_zoo/tree/main/models/face_recognition_sface",
    },
    // facexlib's code is MIT; nothing is stated about these weights.
    Published {
        sha256: "a035c768259b98ab1ce0e646312f48b9e1e218197a0f80ac6765e88f8b6ddf28",
        name: "recognition_arcface_ir_se50",
        licence: UNKNOWN,
        source: "https://github.com/xinntao/facexlib",
    },
];

/// The published file with this content.
pub(super) fn published(bytes: &[u8]) -> Option<&'static Published> {
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    PUBLISHED.iter().find(|file| file.sha256 == digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_well_formed() {
        for (i, file) in PUBLISHED.iter().enumerate() {
            assert_eq!(file.sha256.len(), 64, "{}", file.name);
            assert!(file
                .sha256
                .bytes()
                .all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c)));
            assert!(PUBLISHED[..i].iter().all(|other| other.sha256 != file.sha256));
            assert!(file.source.starts_with("https://"));
        }
        assert!(published(b"another file").is_none());
    }
}
