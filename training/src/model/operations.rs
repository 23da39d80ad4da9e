//! Operations of the matrix products of a forward pass: multiplications and additions.

use crate::config::ModelConfig;

/// For one person's tokens from `inputs` photos.
pub fn encoder_operations(config: &ModelConfig, inputs: f64) -> f64 {
    let (patches, width) = (config.patches() as f64, config.width as f64);
    let tokens = patches + 1.0;
    let patch = 3.0 * (config.patch_size * config.patch_size) as f64;
    let block = tokens * width * width * (4.0 + 2.0 * config.feed_forward as f64) + 2.0 * tokens * tokens * width;
    let photo = patches * patch * width + config.blocks as f64 * block;
    let (queries, inner) = (config.queries as f64, config.encoder_width as f64);
    let keys = inputs * config.encoder().key_tokens() as f64;
    let layer = 2.0 * queries * inner * inner
        + 2.0 * keys * width * inner
        + 2.0 * queries * keys * inner
        + 4.0 * queries * inner * inner
        + 2.0 * queries * queries * inner
        + 8.0 * queries * inner * inner;
    let out = if config.encoder().has_projection() {
        queries * inner * config.token_width as f64
    } else {
        0.0
    };
    2.0 * (inputs * photo + config.encoder_depth as f64 * layer + out)
}
