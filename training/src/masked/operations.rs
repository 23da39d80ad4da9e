//! Operations of the matrix products of a forward pass: multiplications and additions.

use crate::batch::condition_length;
use crate::config::{MaskedConfig, ModelConfig};

/// For `targets` targets of one person.
pub fn decoder_operations(masked: &MaskedConfig, model: &ModelConfig, targets: f64) -> f64 {
    let width = masked.width as f64;
    let pixels = 3.0 * (model.patch_size * model.patch_size) as f64;
    let visible = masked.visible(model.patches()) as f64;
    let decoded = masked.decoded(model.patches()) as f64;
    let kept = ((1.0 - masked.token_dropout) * model.queries as f64).round();
    let condition = condition_length(masked.condition) as f64;
    let local = visible + f64::from(u8::from(condition > 0.0));
    let embed = visible * pixels * width
        + if condition > 0.0 {
            (condition + width) * width
        } else {
            0.0
        };
    let block = 2.0 * local * width * width + decoded * width * width * 10.0 + 2.0 * decoded * (kept + local) * width;
    let target = embed + masked.depth as f64 * block + decoded * width * pixels;
    let person = kept * model.token_width as f64 * width + masked.depth as f64 * 2.0 * kept * width * width;
    2.0 * (person + targets * target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{preset, RunConfig};
    use crate::model::encoder_operations;

    #[test]
    fn the_pilots_figures_come_out() -> omniid::Result<()> {
        // training_recipe: 0.050 GF forward per person at 32 px with 4 targets, counted by another framework.
        let config = RunConfig::from_toml(preset("tiny").expect("a preset"))?;
        let person = encoder_operations(&config.model, 3.0) + decoder_operations(&config.masked, &config.model, 4.0);
        assert!((person - 0.050e9).abs() < 0.006e9, "{person:e}");
        Ok(())
    }
}
