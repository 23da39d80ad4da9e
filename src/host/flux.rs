//! FLUX.1, as XLabs' adapters and `diffusers` hook it: the image queries of the double blocks.

use super::{BlockKind, HookAddress, HostFamily, HostLayer, HostSpec};

/// 19 double blocks, 24 heads × 128, joint width 4096.
pub(super) fn flux() -> HostSpec {
    let layers = (0..19).map(|i| double_block(i, 24, 128, 4096)).collect();
    HostSpec::from_layers("flux", HostFamily::Flux, layers).unwrap_or_else(|error| unreachable!("{error}"))
}

/// Double block `i`: `transformer_blocks.{i}.attn` in `diffusers`, `double_blocks.{i}` in the original.
pub(super) fn double_block(i: usize, heads: usize, head_dim: usize, context: usize) -> HostLayer {
    HostLayer {
        ldm_name: Some(format!("double_blocks.{i}")),
        hook: Some(HookAddress {
            kind: BlockKind::Double,
            number: i,
            index: 0,
        }),
        kind: BlockKind::Double,
        key: i,
        execution: i,
        ..HostLayer::new(format!("transformer_blocks.{i}.attn"), heads, head_dim, context)
    }
}
