//! Stable Diffusion 3.5 Large, as InstantX' IP-Adapter hooks it.

use super::{BlockKind, HookAddress, HostFamily, HostLayer, HostSpec};

/// 38 joint blocks, 38 heads × 64, context 2432: `transformer_blocks.{i}.attn` in `diffusers`, `joint_blocks.{i}` in the
/// original.
pub(super) fn sd35_large() -> HostSpec {
    let layers = (0..38).map(|i| HostLayer {
        ldm_name: Some(format!("joint_blocks.{i}")),
        hook: Some(HookAddress {
            kind: BlockKind::Double,
            number: i,
            index: 0,
        }),
        kind: BlockKind::Double,
        key: i,
        execution: i,
        ..HostLayer::new(format!("transformer_blocks.{i}.attn"), 38, 64, 2432)
    });
    HostSpec::from_layers("sd35_large", HostFamily::Sd35, layers.collect())
        .unwrap_or_else(|error| unreachable!("{error}"))
}
