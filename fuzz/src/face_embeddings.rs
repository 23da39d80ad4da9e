//! Any bytes as an array of numpy with face embeddings, and what is made of its rows.

#[path = "../../cli/src/numpy.rs"]
mod numpy;

use omniid::recogniser::{EmbeddingForm, FaceEmbedding};

const NETWORKS: [&str; 4] = ["w600k_r50", "sface", "", "another network"];

pub fn run(bytes: &[u8]) {
    let Ok(rows) = numpy::parse(bytes) else { return };
    assert!(!rows.is_empty() && rows.iter().all(|row| row.len() == rows[0].len() && !row.is_empty()));
    let made: Vec<FaceEmbedding> = rows
        .into_iter()
        .take(16)
        .enumerate()
        .filter_map(|(index, values)| {
            let form = [EmbeddingForm::Raw, EmbeddingForm::Normalised][index % 2];
            FaceEmbedding::new(NETWORKS[index / 2 % 4], form, values).ok()
        })
        .collect();
    for embedding in &made {
        assert!(embedding.values().iter().all(|value| value.is_finite()));
        let length: f64 = embedding
            .normalised()
            .iter()
            .map(|value| f64::from(*value).powi(2))
            .sum();
        assert!((length.sqrt() - 1.0).abs() < 1e-3, "{length}");
        let _ = (embedding.architecture(), embedding.norm());
        if let Ok(similarity) = embedding.similarity(&made[0]) {
            assert!(similarity.abs() <= 1.0 + 1e-4, "{similarity}");
        }
    }
}
