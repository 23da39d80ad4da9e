//! Learning rate over time.

use crate::config::ScheduleConfig;

/// The factor of the learning rate in step `step` (from 0) of a run of `steps` steps.
///
/// Rises linearly over the warm-up, from 1/warm-up to 1, then falls along half a cosine to the final fraction, where
/// it stays.
pub fn rate(config: &ScheduleConfig, step: u64, steps: u64) -> f64 {
    if step < config.warm_up {
        return (step + 1) as f64 / config.warm_up as f64;
    }
    let length = if config.length == 0 { steps } else { config.length };
    let falling = length.saturating_sub(config.warm_up).max(1);
    let progress = ((step - config.warm_up) as f64 / falling as f64).min(1.0);
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
    config.final_fraction + (1.0 - config.final_fraction) * cosine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_schedule() {
        let config = ScheduleConfig {
            warm_up: 10,
            final_fraction: 0.05,
            length: 0,
        };
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} against {b}");
        near(rate(&config, 0, 110), 0.1);
        near(rate(&config, 4, 110), 0.5);
        near(rate(&config, 10, 110), 1.0);
        near(rate(&config, 60, 110), 0.525);
        near(rate(&config, 110, 110), 0.05);
        near(rate(&config, 1000, 110), 0.05);
        let no_warm_up = ScheduleConfig {
            warm_up: 0,
            length: 200,
            ..config
        };
        near(rate(&no_warm_up, 0, 100), 1.0);
        near(rate(&no_warm_up, 100, 100), 0.525);
        assert!(rate(&no_warm_up, 0, 0).is_finite());
    }
}
