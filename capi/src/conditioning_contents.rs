//! Contents of a conditioning: layers by index and name; keys, values and factors for hosts with their own attention.

use crate::conditioning::omniid_conditioning;
use crate::dlpack::omniid_managed_tensor;
use crate::host::{host_layer, omniid_host_layer};
use crate::pointer;
use crate::status::omniid_status;
use crate::structs;
use crate::tensor;
use candle_core::Tensor;
use omniid::conditioning::{Conditioning, Role, Step};
use omniid::{Error, Result};
use omniid_capi_export::export;
use std::ffi::c_char;

/// A row that is conditioned on the prompt.
pub const OMNIID_ROLE_CONDITIONAL: i32 = 0;
/// A row that is not.
pub const OMNIID_ROLE_UNCONDITIONAL: i32 = 1;

/// Reads something of a conditioning into a place of the caller.
///
/// # Safety
/// `conditioning` is NULL or a live conditioning; `out` is NULL or writable.
unsafe fn get<T>(
    conditioning: *const omniid_conditioning,
    out: *mut T,
    read: impl FnOnce(&omniid_conditioning) -> Result<T>,
) -> Result<()> {
    // SAFETY: the caller's promise.
    let handle = unsafe { pointer::handle(conditioning, "conditioning") }?;
    let out = pointer::out(out, "out")?;
    let value = read(handle)?;
    // SAFETY: `out` was checked.
    unsafe { out.write(value) };
    Ok(())
}

/// Number of layers of the host.
///
/// # Safety
/// `conditioning` is a live conditioning; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_conditioning_layer_count(
    conditioning: *const omniid_conditioning,
    out: *mut usize,
) -> omniid_status {
    // SAFETY: the caller's promise.
    unsafe { get(conditioning, out, |handle| Ok(handle.conditioning.layer_count())) }
}

/// Number of identities.
///
/// # Safety
/// `conditioning` is a live conditioning; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_conditioning_identity_count(
    conditioning: *const omniid_conditioning,
    out: *mut usize,
) -> omniid_status {
    // SAFETY: the caller's promise.
    unsafe { get(conditioning, out, |handle| Ok(handle.conditioning.identity_count())) }
}

/// Number of bytes that all keys and values occupy.
///
/// # Safety
/// `conditioning` is a live conditioning; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_conditioning_byte_size(
    conditioning: *const omniid_conditioning,
    out: *mut usize,
) -> omniid_status {
    // SAFETY: the caller's promise.
    unsafe { get(conditioning, out, |handle| Ok(handle.conditioning.byte_size())) }
}

/// How identities' attention joins the layer's output, OMNIID_INJECTION_... A host that runs its own attention can only
/// add, unless it follows PuLID's formulas.
///
/// # Safety
/// `conditioning` is a live conditioning; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_conditioning_injection(
    conditioning: *const omniid_conditioning,
    out: *mut i32,
) -> omniid_status {
    // SAFETY: the caller's promise.
    unsafe { get(conditioning, out, |handle| Ok(handle.conditioning.injection() as i32)) }
}

/// Number of further tokens with zero keys and values in each softmax (PuLID), which are not part of
/// `omniid_conditioning_keys` and `omniid_conditioning_values`.
///
/// # Safety
/// `conditioning` is a live conditioning; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_conditioning_zero_tokens(
    conditioning: *const omniid_conditioning,
    out: *mut usize,
) -> omniid_status {
    // SAFETY: the caller's promise.
    unsafe { get(conditioning, out, |handle| Ok(handle.conditioning.zero_tokens())) }
}

/// Writes 1 if the image's own keys and values take part in each softmax (SD3.5; see `image_keys` of
/// `omniid_inject_call`), otherwise 0.
///
/// # Safety
/// `conditioning` is a live conditioning; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_conditioning_needs_image_keys(
    conditioning: *const omniid_conditioning,
    out: *mut i32,
) -> omniid_status {
    // SAFETY: the caller's promise.
    unsafe {
        get(conditioning, out, |handle| {
            Ok(i32::from(handle.conditioning.needs_image_keys()))
        })
    }
}

/// Name of a layer. Lives as long as the conditioning.
///
/// # Safety
/// `conditioning` is a live conditioning; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_conditioning_layer_name(
    conditioning: *const omniid_conditioning,
    layer: usize,
    out: *mut *const c_char,
) -> omniid_status {
    // SAFETY: the caller's promise.
    unsafe {
        get(conditioning, out, |handle| {
            Ok(host_layer(handle.conditioning.host(), &handle.texts, layer)?.name)
        })
    }
}

/// Describes a layer. Its name lives as long as the conditioning.
///
/// # Safety
/// `conditioning` is a live conditioning; `out` is initialised with OMNIID_HOST_LAYER_INIT.
#[export]
pub unsafe extern "C" fn omniid_conditioning_layer(
    conditioning: *const omniid_conditioning,
    layer: usize,
    out: *mut omniid_host_layer,
) -> omniid_status {
    // SAFETY: the caller's promise.
    let handle = unsafe { pointer::handle(conditioning, "conditioning") }?;
    let mut described = host_layer(handle.conditioning.host(), &handle.texts, layer)?;
    described.hidden = handle.conditioning.hidden_width(layer)?.unwrap_or(0) as u32;
    // SAFETY: the caller's promise.
    unsafe { structs::write(out, &described) }
}

/// Index of the layer with a name. diffusers and LDM spellings are known for the built-in hosts, with or without a
/// trailing `.attn2`, `.attn` or `.processor`; so are ComfyUI addresses such as `output,1,3`.
///
/// # Safety
/// `conditioning` is a live conditioning; `name` is NUL-terminated; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_conditioning_find_layer(
    conditioning: *const omniid_conditioning,
    name: *const c_char,
    out: *mut usize,
) -> omniid_status {
    // SAFETY: the caller's promise, here and in the closure.
    unsafe {
        get(conditioning, out, |handle| {
            if name.is_null() {
                return Err(pointer::null("name"));
            }
            handle.conditioning.find_layer(pointer::text(name, "name")?)
        })
    }
}

/// Hands out keys or values.
///
/// # Safety
/// As [`omniid_conditioning_keys`].
unsafe fn hand_out(
    conditioning: *const omniid_conditioning,
    role: i32,
    stream: i64,
    out: *mut *mut omniid_managed_tensor,
    pick: impl FnOnce(&Conditioning, Role) -> Result<Option<Tensor>>,
) -> Result<()> {
    // SAFETY: the caller's promise.
    let (out, handle) = unsafe {
        (
            pointer::out_handle(out, "out")?,
            pointer::handle(conditioning, "conditioning")?,
        )
    };
    if let Some(tensor) = pick(&handle.conditioning, self::role(role, "role")?)? {
        let tensor = tensor::managed_tensor(&tensor, stream)?;
        // SAFETY: `out` was checked.
        unsafe { out.write(tensor) };
    }
    Ok(())
}

/// Hands out the keys of one identity in one layer, `[tokens, heads, head_dim]`, read-only and without a copy; NULL,
/// with `OMNIID_STATUS_OK`, where nothing is injected. They stay valid after the conditioning is freed.
///
/// `stream` is ignored on the CPU. On a GPU it is a CUDA stream in the numbering of `omniid_inject_call`, on which the
/// keys may be read. Their deleter may run while queued work still reads them, but not while a stream of the device is
/// being captured into a CUDA graph.
///
/// A host that runs its own attention adds factor x mask x softmax(q Kt / sqrt(head_dim)) V for each identity that is
/// active at the step; see `omniid_conditioning_factor`, `_mask_factors` and `_is_active`. It heeds
/// `omniid_conditioning_injection`, `_zero_tokens` and `_needs_image_keys`. Of an adapter with two token sets
/// (WithAnyone) these are the first's.
///
/// Fails with `OMNIID_STATUS_INVALID_ARGUMENT` when there is no such layer or identity, and with
/// `OMNIID_STATUS_UNSUPPORTED` when the conditioning holds keys and values for several timesteps.
///
/// # Safety
/// `conditioning` is a live conditioning; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_conditioning_keys(
    conditioning: *const omniid_conditioning,
    layer: usize,
    identity: usize,
    role: i32,
    stream: i64,
    out: *mut *mut omniid_managed_tensor,
) -> omniid_status {
    // SAFETY: the caller's promise.
    unsafe {
        hand_out(conditioning, role, stream, out, |inner, role| {
            inner.keys(layer, identity, role)
        })
    }
}

/// Hands out the values of one identity in one layer; see `omniid_conditioning_keys`.
///
/// # Safety
/// As `omniid_conditioning_keys`.
#[export]
pub unsafe extern "C" fn omniid_conditioning_values(
    conditioning: *const omniid_conditioning,
    layer: usize,
    identity: usize,
    role: i32,
    stream: i64,
    out: *mut *mut omniid_managed_tensor,
) -> omniid_status {
    // SAFETY: the caller's promise.
    unsafe {
        hand_out(conditioning, role, stream, out, |inner, role| {
            inner.values(layer, identity, role)
        })
    }
}

/// Factor of one identity's attention in one layer; 0 where nothing is injected.
///
/// # Safety
/// `conditioning` is a live conditioning; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_conditioning_factor(
    conditioning: *const omniid_conditioning,
    layer: usize,
    identity: usize,
    out: *mut f32,
) -> omniid_status {
    // SAFETY: the caller's promise.
    unsafe { get(conditioning, out, |handle| handle.conditioning.factor(layer, identity)) }
}

/// Writes 1 if an identity is injected at a step, otherwise 0. `sigma` and `fraction` may be NULL where the identity's
/// range does not need them.
///
/// # Safety
/// `conditioning` is a live conditioning; `sigma` and `fraction` are NULL or point to a number; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_conditioning_is_active(
    conditioning: *const omniid_conditioning,
    identity: usize,
    sigma: *const f64,
    fraction: *const f64,
    out: *mut i32,
) -> omniid_status {
    // SAFETY: the caller's promise, here and in the closure.
    unsafe {
        get(conditioning, out, |handle| {
            let step = Step {
                sigma: sigma.as_ref().copied(),
                fraction: fraction.as_ref().copied(),
            };
            Ok(i32::from(handle.conditioning.is_active(identity, &step)?))
        })
    }
}

/// Writes an identity's mask as one factor for each of a layer's `token_count` image tokens; 1 everywhere if it has no
/// mask. Height and width of the latent image may both be 0 where the mask does not need them.
///
/// # Safety
/// `conditioning` is a live conditioning; `out` has room for `token_count` numbers.
#[export]
pub unsafe extern "C" fn omniid_conditioning_mask_factors(
    conditioning: *const omniid_conditioning,
    identity: usize,
    token_count: usize,
    latent_height: u32,
    latent_width: u32,
    out: *mut f32,
) -> omniid_status {
    // SAFETY: the caller's promise.
    let handle = unsafe { pointer::handle(conditioning, "conditioning") }?;
    let out = pointer::out(out, "out")?;
    let latent = latent_size(latent_height, latent_width)?;
    match handle.conditioning.mask_factors(identity, token_count, latent)? {
        // SAFETY: `out` was checked and has room for `token_count` numbers, which is the length of the factors.
        Some(factors) => unsafe { std::ptr::copy_nonoverlapping(factors.as_ptr(), out, factors.len()) },
        // SAFETY: as above.
        None => (0..token_count).for_each(|index| unsafe { out.add(index).write(1.0) }),
    }
    Ok(())
}

/// A latent size of the caller; both 0 for none.
pub(crate) fn latent_size(height: u32, width: u32) -> Result<Option<(usize, usize)>> {
    match (height, width) {
        (0, 0) => Ok(None),
        (0, _) | (_, 0) => Err(Error::invalid(format!(
            "latent size: {height} x {width}, expected two numbers above 0, or two zeros for none"
        ))),
        _ => Ok(Some((height as usize, width as usize))),
    }
}

/// A role of the caller.
pub(crate) fn role(number: i32, name: &str) -> Result<Role> {
    match number {
        OMNIID_ROLE_CONDITIONAL => Ok(Role::Conditional),
        OMNIID_ROLE_UNCONDITIONAL => Ok(Role::Unconditional),
        other => Err(Error::invalid(format!(
            "{name}: {other}, expected 0 (conditional) or 1 (unconditional)"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_and_latent_sizes_are_checked() {
        assert_eq!(Role::Unconditional as i32, OMNIID_ROLE_UNCONDITIONAL);
        assert!(role(2, "role").is_err() && role(i32::MIN, "role").is_err());
        assert!(latent_size(0, 1).is_err() && latent_size(1, 0).is_err());
        assert_eq!(latent_size(0, 0).unwrap(), None);
    }
}
