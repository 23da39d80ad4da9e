//! Any text as the configuration of a training run. The first byte says of which kind.

use omniid_training::config::{DetectorConfig, RunConfig};

pub fn run(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if first & 1 == 0 {
        let Ok(config) = RunConfig::from_toml(text) else { return };
        let again = RunConfig::from_toml(&config.to_toml().expect("a sound configuration")).expect("what was written");
        assert!(config.difference(&again).is_none());
    } else {
        let Ok(config) = DetectorConfig::from_toml(text) else {
            return;
        };
        DetectorConfig::from_toml(&config.to_toml().expect("a sound configuration")).expect("what was written");
    }
}
