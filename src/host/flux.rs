//! FLUX.1, as its adapters hook it: XLabs and InstantX inside the attention, PuLID and WithAnyone between the blocks.

use super::{BlockKind, HookAddress, HostFamily, HostLayer, HostSpec};

/// Beginnings of the names of single blocks: `diffusers`, and the original module tree.
pub(super) const SINGLE_BLOCKS: [&str; 2] = ["single_transformer_blocks.", "single_blocks."];

const DOUBLE: usize = 19;
const SINGLE: usize = 38;
/// Width of the image and text tokens between the blocks.
const HIDDEN: usize = 3072;

/// 19 double blocks, 24 heads × 128, joint width 4096.
pub(super) fn flux() -> HostSpec {
    let layers = (0..DOUBLE).map(|i| double_block(i, 24, 128, 4096)).collect();
    table("flux", layers)
}

/// The same and the 38 single blocks.
pub(super) fn flux_all() -> HostSpec {
    let double = (0..DOUBLE).map(|i| double_block(i, 24, 128, 4096));
    let single = (0..SINGLE).map(|i| HostLayer {
        key: DOUBLE + i,
        execution: DOUBLE + i,
        ..single_block(i, 24, 128, 4096)
    });
    table("flux_all", double.chain(single).collect())
}

/// After every second double block and every fourth single block.
pub(super) fn pulid_flux() -> HostSpec {
    let double = (0..DOUBLE).step_by(2).map(|i| double_block(i, 16, 128, 2048));
    let single = (0..SINGLE).step_by(4).map(|i| single_block(i, 16, 128, 2048));
    table("pulid_flux", residual(double.chain(single)))
}

/// After every block.
pub(super) fn with_anyone() -> HostSpec {
    let double = (0..DOUBLE).map(|i| double_block(i, 24, 64, 3072));
    let single = (0..SINGLE).map(|i| single_block(i, 24, 64, 3072));
    table("with_anyone", residual(double.chain(single)))
}

/// Double block `i`: `transformer_blocks.{i}.attn` in `diffusers`, `double_blocks.{i}` in the original.
pub(super) fn double_block(i: usize, heads: usize, head_dim: usize, context: usize) -> HostLayer {
    let name = format!("transformer_blocks.{i}.attn");
    block(
        BlockKind::Double,
        i,
        name,
        format!("double_blocks.{i}"),
        [heads, head_dim, context],
    )
}

/// Single block `i`: `single_transformer_blocks.{i}.attn` in `diffusers`, `single_blocks.{i}` in the original.
pub(super) fn single_block(i: usize, heads: usize, head_dim: usize, context: usize) -> HostLayer {
    let name = format!("single_transformer_blocks.{i}.attn");
    block(
        BlockKind::Single,
        i,
        name,
        format!("single_blocks.{i}"),
        [heads, head_dim, context],
    )
}

fn block(kind: BlockKind, i: usize, name: String, ldm: String, [heads, head_dim, context]: [usize; 3]) -> HostLayer {
    HostLayer {
        ldm_name: Some(ldm),
        hook: Some(HookAddress {
            kind,
            number: i,
            index: 0,
        }),
        kind,
        key: i,
        execution: i,
        ..HostLayer::new(name, heads, head_dim, context)
    }
}

/// Places of the residual stream: named after the block that they follow, numbered in order.
fn residual(blocks: impl Iterator<Item = HostLayer>) -> Vec<HostLayer> {
    let place = |(place, block): (usize, HostLayer)| HostLayer {
        name: block.name.trim_end_matches(".attn").to_string(),
        hidden: Some(HIDDEN),
        key: place,
        execution: place,
        ..block
    };
    blocks.enumerate().map(place).collect()
}

fn table(name: &str, layers: Vec<HostLayer>) -> HostSpec {
    HostSpec::from_layers(name, HostFamily::Flux, layers).unwrap_or_else(|error| unreachable!("{error}"))
}
