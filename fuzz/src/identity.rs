//! Any bytes as an identity file: what is read holds its own promises and survives being written and read again.

use omniid::identity::similarity::{cosine, SimilaritySpace};
use omniid::identity::Identity;
use omniid::{Limits, Precision};

pub fn run(bytes: &[u8]) {
    let limits = Limits::default().with_max_photos(64);
    let Ok(identity) = Identity::load(bytes.to_vec(), &limits) else {
        return;
    };
    assert_eq!(identity.values().len(), identity.token_count() * identity.width());
    assert!(identity.values().iter().all(|value| value.is_finite()));
    assert!((1..=64).contains(&identity.provenance().photos));
    let written = identity
        .to_bytes(Precision::F32)
        .expect("a sound identity can be written");
    assert_eq!(
        Identity::load(written, &limits).expect("what was written can be read"),
        identity
    );
    if let Ok(similarity) = cosine(&identity, &identity, &SimilaritySpace::default()) {
        assert!(similarity.is_finite() && similarity.abs() <= 1.0 + 1e-5, "{similarity}");
    }
}
