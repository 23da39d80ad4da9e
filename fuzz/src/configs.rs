//! Any text as one of the small configurations that come as JSON or text. The first byte says which.

use omniid::checkpoint::NATIVE_KEY;
use omniid::conditioning::LayerScales;
use omniid::engine::{HostConfig, NativeConfig};
use omniid::host::HostSpec;
use omniid::vit::VisionConfig;
use omniid_minihost::{MinihostConfig, UNetConfig};
use std::collections::BTreeMap;
use std::sync::OnceLock;

pub fn run(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match first % 8 {
        0 => native(text),
        1 => {
            let Ok(config) = serde_json::from_str::<HostConfig>(text) else {
                return;
            };
            let Ok(host) = config.resolve() else { return };
            assert!(host.layer_count() > 0);
            assert_eq!(HostConfig::from(&host).resolve().expect("what was written"), host);
        }
        2 => {
            if let Ok(host) = HostSpec::from_diffusers_json(text) {
                assert!(host.layer_count() > 0);
            }
        }
        3 => {
            let _ = VisionConfig::from_config_json(text);
        }
        4 => {
            let _ = LayerScales::parse(sd15(), text);
        }
        5 => {
            if let Ok(scales) = LayerScales::from_diffusers(sd15(), text) {
                assert_eq!(scales.factors().len(), sd15().layer_count());
            }
        }
        6 => {
            let _ = serde_json::from_str::<MinihostConfig>(text);
        }
        _ => {
            let Ok(config) = UNetConfig::from_json(text) else {
                return;
            };
            assert_eq!(
                UNetConfig::from_json(&config.to_json()).expect("what was written"),
                config
            );
        }
    }
}

fn sd15() -> &'static HostSpec {
    static HOST: OnceLock<HostSpec> = OnceLock::new();
    HOST.get_or_init(HostSpec::sd15)
}

/// The configuration inside a native checkpoint; what is accepted can be written.
fn native(text: &str) {
    let metadata = BTreeMap::from([
        (NATIVE_KEY.to_string(), "1".to_string()),
        ("omniid.config".to_string(), text.to_string()),
    ]);
    let Ok(config) = NativeConfig::from_metadata(&metadata) else {
        return;
    };
    let written = config.to_metadata().expect("what was read can be written");
    assert_eq!(NativeConfig::from_metadata(&written).expect("what was written"), config);
    if let Some(host) = &config.host {
        let _ = host.resolve();
    }
}
