//! Hosts: the attention layers of the diffusion model that identities are injected into.

use crate::pointer::{self, reserved, unused};
use crate::status::c_text;
use crate::structs::{self, CStruct};
use omniid::host::{HostLayer, HostSpec};
use omniid::{Error, Result};
use std::ffi::{c_char, CString};

/// One attention layer of a host.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct omniid_host_layer {
    /// Set by OMNIID_HOST_LAYER_INIT.
    pub struct_size: u32,
    /// Number of attention heads.
    pub heads: u32,
    /// Width of one head.
    pub head_dim: u32,
    /// Width of the tokens that keys and values are projected from: 768 in SD1.5, 2048 in SDXL, 4096 in FLUX.
    pub context: u32,
    /// The host's own name of the layer; must be unique.
    pub name: *const c_char,
    /// Width of the image's hidden state, for a layer that adds to the residual stream (omniid_inject_residual); 0 for a
    /// layer inside an attention (omniid_inject), and in a table that is handed in also for a width that the checkpoint
    /// says.
    pub hidden: u32,
    /// Leave at 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, size first, 32 bytes without padding, integers and a pointer.
unsafe impl CStruct for omniid_host_layer {
    const NAME: &'static str = "omniid_host_layer";
    const EARLIER_SIZES: &'static [usize] = &[std::mem::offset_of!(omniid_host_layer, hidden)];
}

/// Names of a host and its layers, NUL-terminated.
pub(crate) struct HostTexts {
    pub(crate) name: CString,
    pub(crate) layers: Vec<CString>,
}

impl HostTexts {
    pub(crate) fn new(host: &HostSpec) -> Self {
        Self {
            name: c_text(host.name()),
            layers: host.layers().iter().map(|layer| c_text(&layer.name)).collect(),
        }
    }
}

/// The host chosen by name or given as a table.
///
/// # Safety
/// `name` is NULL or NUL-terminated; `layers` points to `count` structs initialised with OMNIID_HOST_LAYER_INIT.
pub(crate) unsafe fn host(
    name: *const c_char,
    layers: *const omniid_host_layer,
    count: usize,
) -> Result<Option<HostSpec>> {
    // SAFETY: the caller's promise.
    let name = unsafe { pointer::text(name, "host") }?;
    unused(
        !layers.is_null() && count == 0,
        "set",
        "host_layers",
        "a host_layer_count above 0",
    )?;
    if count == 0 {
        if name.is_empty() {
            return Ok(None);
        }
        return HostSpec::named(name).map(Some).ok_or_else(|| {
            let built_in = HostSpec::built_in();
            let built_in = built_in.iter().map(HostSpec::name).collect::<Vec<_>>().join(", ");
            Error::invalid(format!(
                "host {name:?}, expected {built_in}, or host_layers for a host of any name"
            ))
        });
    }
    // SAFETY: the caller's promise.
    let layers = unsafe { structs::read_array(layers, count) }?;
    let layers = layers.iter().map(|layer| {
        // SAFETY: the caller's promise.
        let name = unsafe { pointer::text(layer.name, "host layer name") }?;
        reserved(layer.reserved, "host layer")?;
        let [heads, head_dim, context] = [layer.heads, layer.head_dim, layer.context].map(|size| size as usize);
        Ok(HostLayer {
            hidden: (layer.hidden != 0).then_some(layer.hidden as usize),
            ..HostLayer::new(name, heads, head_dim, context)
        })
    });
    let name = if name.is_empty() { "custom" } else { name };
    HostSpec::custom(name, layers.collect::<Result<_>>()?).map(Some)
}

/// A layer as the header describes it.
pub(crate) fn host_layer(host: &HostSpec, texts: &HostTexts, layer: usize) -> Result<omniid_host_layer> {
    let described = host.layer(layer)?;
    let name = texts
        .layers
        .get(layer)
        .ok_or_else(|| Error::internal("a layer without a name"))?;
    Ok(omniid_host_layer {
        struct_size: size_of::<omniid_host_layer>() as u32,
        heads: described.heads as u32,
        head_dim: described.head_dim as u32,
        context: described.context as u32,
        name: name.as_ptr(),
        hidden: described.hidden.unwrap_or(0) as u32,
        reserved: 0,
    })
}
