//! Conditionings: identities, projected once to the keys and values of every attention layer of a host.

use crate::engine::{omniid_engine, precision};
use crate::host::HostTexts;
use crate::identity::omniid_identity;
use crate::pointer::{self, flag, reserved, unused};
use crate::progress::{omniid_progress_fn, with_progress};
use crate::status::omniid_status;
use crate::structs::{self, CStruct};
use omniid::conditioning::{
    Conditioning, ConditioningOptions, EmbedsScaling, Injection, LayerScales, Mask, MaskMode, StepRange, Unconditional,
    WeightType,
};
use omniid::engine::ConditioningInput;
use omniid::host::HostSpec;
use omniid::{remedy, Error, Result};
use omniid_capi_export::export;
use std::ffi::c_void;

/// The identity's weight w in every layer.
pub const OMNIID_WEIGHT_TYPE_LINEAR: i32 = 0;
/// Strong in the early layers.
pub const OMNIID_WEIGHT_TYPE_EASE_IN: i32 = 1;
/// Strong in the late layers.
pub const OMNIID_WEIGHT_TYPE_EASE_OUT: i32 = 2;
/// Strong in the middle layers.
pub const OMNIID_WEIGHT_TYPE_EASE_IN_OUT: i32 = 3;
/// Weak in the middle layers.
pub const OMNIID_WEIGHT_TYPE_REVERSE_IN_OUT: i32 = 4;
/// 0.2 w in the down-sampling half.
pub const OMNIID_WEIGHT_TYPE_WEAK_INPUT: i32 = 5;
/// 0.2 w in the up-sampling half.
pub const OMNIID_WEIGHT_TYPE_WEAK_OUTPUT: i32 = 6;
/// 0.2 w in the middle block.
pub const OMNIID_WEIGHT_TYPE_WEAK_MIDDLE: i32 = 7;
/// 0.2 w everywhere except in the middle block.
pub const OMNIID_WEIGHT_TYPE_STRONG_MIDDLE: i32 = 8;
/// Only the style layers. This type and the following ones are for SD1.5 and SDXL.
pub const OMNIID_WEIGHT_TYPE_STYLE_TRANSFER: i32 = 9;
/// Only the composition layers.
pub const OMNIID_WEIGHT_TYPE_COMPOSITION: i32 = 10;
/// All layers except the composition layers.
pub const OMNIID_WEIGHT_TYPE_STRONG_STYLE_TRANSFER: i32 = 11;
/// Style and composition layers, each with a weight of its own.
pub const OMNIID_WEIGHT_TYPE_STYLE_AND_COMPOSITION: i32 = 12;
/// All layers, the composition layers with a weight of their own.
pub const OMNIID_WEIGHT_TYPE_STRONG_STYLE_AND_COMPOSITION: i32 = 13;
/// Style layers, with composition pushed away.
pub const OMNIID_WEIGHT_TYPE_STYLE_TRANSFER_PRECISE: i32 = 14;
/// Composition layers, with style pushed away.
pub const OMNIID_WEIGHT_TYPE_COMPOSITION_PRECISE: i32 = 15;

/// At every step.
pub const OMNIID_STEP_RANGE_ALWAYS: i32 = 0;
/// While step_end <= sigma <= step_start; step_start is the larger number.
pub const OMNIID_STEP_RANGE_SIGMA: i32 = 1;
/// While step_start <= fraction <= step_end, both within 0 to 1.
pub const OMNIID_STEP_RANGE_FRACTION: i32 = 2;

/// As in the checkpoint's reference code.
pub const OMNIID_UNCONDITIONAL_DEFAULT: i32 = 0;
/// Nothing is injected into unconditional rows.
pub const OMNIID_UNCONDITIONAL_NONE: i32 = 1;
/// A zero image embedding through the projection.
pub const OMNIID_UNCONDITIONAL_ZERO_EMBEDDING: i32 = 2;
/// An image whose values are zero after normalisation.
pub const OMNIID_UNCONDITIONAL_ZERO_PIXELS: i32 = 3;
/// A black image.
pub const OMNIID_UNCONDITIONAL_BLACK_IMAGE: i32 = 4;
/// All-zero image features.
pub const OMNIID_UNCONDITIONAL_ZERO_FEATURES: i32 = 5;
/// All-zero identity tokens.
pub const OMNIID_UNCONDITIONAL_ZERO_TOKENS: i32 = 6;
/// The model's mean identity, if the checkpoint has one.
pub const OMNIID_UNCONDITIONAL_MEAN_TOKENS: i32 = 7;

/// The weight multiplies the output of the attention.
pub const OMNIID_EMBEDS_SCALING_VALUES: i32 = 0;
/// The weight multiplies keys and values.
pub const OMNIID_EMBEDS_SCALING_KEYS_AND_VALUES: i32 = 1;
/// The weight times inner width / 1280 multiplies keys and values.
pub const OMNIID_EMBEDS_SCALING_KEYS_AND_VALUES_PENALTY: i32 = 2;
/// The weight times inner width / 1280 multiplies the keys, and of the values only their mean over the tokens.
pub const OMNIID_EMBEDS_SCALING_KEYS_AND_MEAN_VALUES_PENALTY: i32 = 3;

/// As in ComfyUI: grid from the latent size, bilinear.
pub const OMNIID_MASK_MODE_COMFYUI: i32 = 0;
/// As in diffusers: grid from the mask's proportions, bicubic.
pub const OMNIID_MASK_MODE_DIFFUSERS: i32 = 1;

/// The identity's attention is added to the output.
pub const OMNIID_INJECTION_ADD: i32 = 0;
/// PuLID's ORTHO: without its part that points the way of the output, for each channel over all image tokens.
pub const OMNIID_INJECTION_ORTHOGONAL: i32 = 1;
/// PuLID's ORTHO_v2: that part is kept where image tokens look at the identity's first five tokens.
pub const OMNIID_INJECTION_ORTHOGONAL_V2: i32 = 2;

/// Keys and values of identities for every layer of a host. Immutable; may be used from any number of threads at once.
pub struct omniid_conditioning {
    pub(crate) conditioning: Conditioning,
    pub(crate) texts: HostTexts,
}

/// One identity to condition on, with the defaults that OMNIID_CONDITIONING_INPUT_INIT sets.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct omniid_conditioning_input {
    /// Set by OMNIID_CONDITIONING_INPUT_INIT.
    pub struct_size: u32,
    /// Weight of the identity; 0 switches it off. OMNIID_CONDITIONING_INPUT_INIT sets 1.0f.
    pub scale: f32,
    /// The identity.
    pub identity: *const omniid_identity,
    /// Where in the picture the identity acts: mask_height rows of mask_width values from 0 to 1, copied. Default:
    /// everywhere.
    pub mask: *const f32,
    /// Number of rows of the mask.
    pub mask_height: u32,
    /// Number of columns of the mask.
    pub mask_width: u32,
    /// How the range of sampling steps is given in which the identity acts, OMNIID_STEP_RANGE_... Default: always.
    pub step_range: i32,
    /// What unconditional rows attend to instead of the identity, OMNIID_UNCONDITIONAL_... Default: as in the
    /// checkpoint's reference code.
    pub unconditional: i32,
    /// First sigma or fraction of the range.
    pub step_start: f64,
    /// Last sigma or fraction of the range.
    pub step_end: f64,
    /// An identity that unconditional rows attend to instead; overrides `unconditional`. Default: none.
    pub negative: *const omniid_identity,
    /// Another identity for the composition layers of the weight types "style and composition". Default: the same one.
    pub composition: *const omniid_identity,
}

// SAFETY: `repr(C)`, size first, no padding, numbers and pointers.
unsafe impl CStruct for omniid_conditioning_input {
    const NAME: &'static str = "omniid_conditioning_input";
}

/// Options of a conditioning, for all its identities, with the defaults that OMNIID_CONDITIONING_OPTIONS_INIT sets.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct omniid_conditioning_options {
    /// Set by OMNIID_CONDITIONING_OPTIONS_INIT.
    pub struct_size: u32,
    /// How an identity's weight is spread over the layers, OMNIID_WEIGHT_TYPE_... Default: linear.
    pub weight_type: i32,
    /// A further factor for each layer of the host, in the order of its table. Default: 1 everywhere.
    pub layer_scales: *const f32,
    /// Number of layer_scales: 0 or the number of layers.
    pub layer_scale_count: usize,
    /// How the weight acts on keys and values, OMNIID_EMBEDS_SCALING_... Default: it multiplies the output.
    pub embeds_scaling: i32,
    /// Whose rules for placing masks are followed, OMNIID_MASK_MODE_..., for identities that have one. Default:
    /// ComfyUI's.
    pub mask_mode: i32,
    /// Number type of the stored keys and values, OMNIID_PRECISION_... but int8. Default: f32.
    pub precision: i32,
    /// Leave at 0.
    pub reserved: u32,
    /// Weight of the composition layers of the weight types "style and composition". Default: the identity's scale.
    pub composition_scale: *const f32,
    /// Weight of the swapped layers of "style transfer precise". Default: the identity's scale.
    pub style_boost: *const f32,
    /// Weight of the swapped layers of "composition precise". Default: the identity's scale.
    pub composition_boost: *const f32,
    /// Is told about progress and can cancel the call. Default: none.
    pub progress: omniid_progress_fn,
    /// Passed to progress; not looked at without one.
    pub progress_user_data: *mut c_void,
    /// Number of further tokens with zero keys and values that take part in each softmax, at most 65536. They need no
    /// memory. PuLID: 8 for fidelity, with OMNIID_INJECTION_ORTHOGONAL_V2; 16 for style, with
    /// OMNIID_INJECTION_ORTHOGONAL; 0 for neutral, with OMNIID_INJECTION_ADD. Default: 0.
    pub zero_tokens: usize,
    /// How an identity's attention joins the layer's output, OMNIID_INJECTION_... Default: it is added.
    pub injection: i32,
    /// 1: the values of InstantX's FLUX adapter are normalised like its keys, as some ComfyUI nodes do and the authors'
    /// code does not. Other adapters refuse it. Default: 0.
    pub normalise_values: i32,
    /// Share of the second token set of adapters that have two (WithAnyone), 0 to 1; the first one has the rest. Others
    /// do not look at it. Default: both count in full.
    pub siglip_weight: *const f32,
    /// For adapters whose keys and values depend on the denoising timestep (SD3.5), the timesteps, 0 to 1000, to compute
    /// them for: that of the step, or all of the schedule. An injection takes those of the call's sigma, a thousandth of
    /// the timestep. Other adapters refuse them. Default: none.
    pub timesteps: *const f32,
    /// Number of timesteps, at most 1000.
    pub timestep_count: usize,
}

// SAFETY: `repr(C)`, size first, no padding, integers, pointers and an optional function.
unsafe impl CStruct for omniid_conditioning_options {
    const NAME: &'static str = "omniid_conditioning_options";
    const EARLIER_SIZES: &'static [usize] = &[std::mem::offset_of!(omniid_conditioning_options, zero_tokens)];
}

/// # Safety
/// Pointers inside `raw` are NULL or valid for `'a`.
unsafe fn input<'a>(raw: &omniid_conditioning_input) -> Result<ConditioningInput<'a>> {
    // SAFETY: the caller's promise, here and below.
    unsafe {
        let mut input = ConditioningInput::new(pointer::handle(raw.identity, "identity")?.identity.as_ref());
        input.scale = raw.scale;
        for (size, name) in [(raw.mask_height, "mask_height"), (raw.mask_width, "mask_width")] {
            unused(raw.mask.is_null() && size != 0, size, name, "mask")?;
        }
        for (end, name) in [(raw.step_start, "step_start"), (raw.step_end, "step_end")] {
            let always = raw.step_range == OMNIID_STEP_RANGE_ALWAYS;
            unused(
                always && end != 0.0,
                end,
                name,
                "a step_range other than OMNIID_STEP_RANGE_ALWAYS",
            )?;
        }
        if !raw.mask.is_null() {
            let (height, width) = (raw.mask_height as usize, raw.mask_width as usize);
            let count = height
                .checked_mul(width)
                .ok_or_else(|| Error::invalid(format!("mask: {height} x {width} values do not fit into memory")))?;
            check_mask_size(height, width)?;
            input.mask = Some(Mask::new(height, width, pointer::slice(raw.mask, count, "mask")?)?);
        }
        input.steps = match raw.step_range {
            OMNIID_STEP_RANGE_ALWAYS => StepRange::Always,
            OMNIID_STEP_RANGE_SIGMA => StepRange::Sigma {
                start: raw.step_start,
                end: raw.step_end,
            },
            OMNIID_STEP_RANGE_FRACTION => StepRange::Fraction {
                start: raw.step_start,
                end: raw.step_end,
            },
            other => {
                return Err(Error::invalid(format!(
                    "step_range: {other}, expected 0 (always), 1 (by sigma) or 2 (by fraction)"
                )))
            }
        };
        input.unconditional = unconditional(raw.unconditional)?;
        input.negative = raw.negative.as_ref().map(|handle| handle.identity.as_ref());
        input.composition = raw.composition.as_ref().map(|handle| handle.identity.as_ref());
        Ok(input)
    }
}

/// Refuses sizes that `Mask` would refuse, before as many values are taken to be readable.
fn check_mask_size(height: usize, width: usize) -> Result<()> {
    const MOST: usize = 1 << 15;
    if height == 0 || width == 0 || height > MOST || width > MOST {
        return Err(Error::invalid(format!(
            "mask: {height} x {width}, expected 1 to {MOST} rows and columns"
        )));
    }
    Ok(())
}

fn unconditional<'a>(number: i32) -> Result<Unconditional<'a>> {
    Ok(match number {
        OMNIID_UNCONDITIONAL_DEFAULT => Unconditional::Default,
        OMNIID_UNCONDITIONAL_NONE => Unconditional::None,
        OMNIID_UNCONDITIONAL_ZERO_EMBEDDING => Unconditional::ZeroEmbedding,
        OMNIID_UNCONDITIONAL_ZERO_PIXELS => Unconditional::ZeroPixels,
        OMNIID_UNCONDITIONAL_BLACK_IMAGE => Unconditional::BlackImage,
        OMNIID_UNCONDITIONAL_ZERO_FEATURES => Unconditional::ZeroFeatures,
        OMNIID_UNCONDITIONAL_ZERO_TOKENS => Unconditional::ZeroTokens,
        OMNIID_UNCONDITIONAL_MEAN_TOKENS => Unconditional::MeanTokens,
        other => {
            return Err(Error::invalid(format!(
                "unconditional: {other}, expected 0 to 7 (OMNIID_UNCONDITIONAL_...)"
            )))
        }
    })
}

/// Reads the options of a caller.
///
/// # Safety
/// Pointers inside `raw` are NULL or valid.
unsafe fn options(raw: &omniid_conditioning_options, host: Option<&HostSpec>) -> Result<ConditioningOptions> {
    reserved(raw.reserved, omniid_conditioning_options::NAME)?;
    let (scales, count) = (raw.layer_scales, raw.layer_scale_count);
    unused(
        !scales.is_null() && count == 0,
        "set",
        "layer_scales",
        "a layer_scale_count above 0",
    )?;
    let mut options = ConditioningOptions::default()
        .with_weight_type(WeightType::from_number(raw.weight_type).ok_or_else(|| {
            Error::invalid(format!(
                "weight_type: {}, expected 0 to 15 (OMNIID_WEIGHT_TYPE_...)",
                raw.weight_type
            ))
        })?)
        .with_embeds_scaling(match raw.embeds_scaling {
            OMNIID_EMBEDS_SCALING_VALUES => EmbedsScaling::ValuesOnly,
            OMNIID_EMBEDS_SCALING_KEYS_AND_VALUES => EmbedsScaling::KeysAndValues,
            OMNIID_EMBEDS_SCALING_KEYS_AND_VALUES_PENALTY => EmbedsScaling::KeysAndValuesPenalty,
            OMNIID_EMBEDS_SCALING_KEYS_AND_MEAN_VALUES_PENALTY => EmbedsScaling::KeysAndMeanValuesPenalty,
            other => {
                return Err(Error::invalid(format!(
                    "embeds_scaling: {other}, expected 0 to 3 (OMNIID_EMBEDS_SCALING_...)"
                )))
            }
        })
        .with_mask_mode(match raw.mask_mode {
            OMNIID_MASK_MODE_COMFYUI => MaskMode::ComfyUi,
            OMNIID_MASK_MODE_DIFFUSERS => MaskMode::Diffusers,
            other => {
                return Err(Error::invalid(format!(
                    "mask_mode: {other}, expected 0 (ComfyUI) or 1 (diffusers)"
                )))
            }
        })
        .with_dtype(precision(raw.precision, "precision")?.stored()?.dtype())
        .with_injection(Injection::from_number(raw.injection).ok_or_else(|| {
            Error::invalid(format!(
                "injection: {}, expected 0 to 2 (OMNIID_INJECTION_...)",
                raw.injection
            ))
        })?)
        .with_zero_tokens(raw.zero_tokens)
        .with_normalise_values(flag(raw.normalise_values, "normalise_values")?);
    // SAFETY: the caller's promise, here and below.
    unsafe {
        options.composition_scale = number(raw.composition_scale, "composition_scale")?;
        options.style_boost = number(raw.style_boost, "style_boost")?;
        options.composition_boost = number(raw.composition_boost, "composition_boost")?;
        unused(
            !raw.timesteps.is_null() && raw.timestep_count == 0,
            "set",
            "timesteps",
            "a timestep_count above 0",
        )?;
        if raw.timestep_count > 0 {
            options.timesteps = pointer::slice_of_at_most(
                raw.timesteps,
                raw.timestep_count,
                ConditioningOptions::MOST_TIMESTEPS,
                "timesteps",
            )?
            .to_vec();
        }
        options.siglip_weight = number(raw.siglip_weight, "siglip_weight")?;
        if raw.layer_scale_count > 0 {
            let host = host.ok_or_else(|| {
                Error::unsupported("layer_scales: the engine's host is not known").with_remedy(remedy::HOST_TABLE)
            })?;
            if raw.layer_scale_count != host.layer_count() {
                return Err(Error::mismatch(format!(
                    "layer_scale_count: {}, host {:?} has {} layers",
                    raw.layer_scale_count,
                    host.name(),
                    host.layer_count()
                )));
            }
            let factors = pointer::slice(raw.layer_scales, raw.layer_scale_count, "layer_scales")?;
            options.layer_scales = Some(LayerScales::per_layer(host, factors)?);
        }
    }
    Ok(options)
}

/// # Safety
/// `pointer` is NULL or points to a number.
unsafe fn number(pointer: *const f32, name: &str) -> Result<Option<f32>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { pointer::slice(pointer, 1, name) }?.first().copied())
}

/// Projects one or more identities to the keys and values of every layer of the engine's host. Each identity has a
/// softmax of its own; their contributions are added. `options` may be NULL.
///
/// Fails with `OMNIID_STATUS_MISMATCH` when another model made an identity or the adapter is for another host, and with
/// `OMNIID_STATUS_UNSUPPORTED` when the checkpoint has no adapter, the host is not known, or the weight type or the
/// unconditional variant does not exist for it. `OMNIID_STATUS_INVALID_ARGUMENT`: no identities, a number that is not
/// finite or out of range, an option of another kind of adapter, or no timesteps for an adapter that depends on them.
///
/// # Safety
/// `engine` is a live engine; `identities` points to `identity_count` structs initialised with
/// OMNIID_CONDITIONING_INPUT_INIT; `options` is NULL or initialised with OMNIID_CONDITIONING_OPTIONS_INIT; `out` is
/// writable.
#[export]
pub unsafe extern "C" fn omniid_conditioning_create(
    engine: *const omniid_engine,
    identities: *const omniid_conditioning_input,
    identity_count: usize,
    options: *const omniid_conditioning_options,
    out: *mut *mut omniid_conditioning,
) -> omniid_status {
    // SAFETY: the caller's promise, here and below.
    let (out, engine) = unsafe {
        (
            pointer::out_handle(out, "out")?,
            &pointer::handle(engine, "engine")?.engine,
        )
    };
    // SAFETY: as above.
    let raw = unsafe { structs::read_array(identities, identity_count) }?;
    let inputs = raw.iter().enumerate().map(|(index, raw)| {
        // SAFETY: as above.
        unsafe { input(raw) }.map_err(|error| error.context(format!("identity {index}")))
    });
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    let (options, progress, user_data) = if options.is_null() {
        (ConditioningOptions::default(), None, std::ptr::null_mut())
    } else {
        // SAFETY: as above.
        let raw = unsafe { structs::read(options) }?;
        // SAFETY: as above.
        (
            unsafe { self::options(&raw, engine.host()) }?,
            raw.progress,
            raw.progress_user_data,
        )
    };
    // SAFETY: as above.
    let conditioning = unsafe {
        with_progress(progress, user_data, |progress| {
            engine.condition_with_progress(inputs, &options, progress)
        })
    }?;
    let texts = HostTexts::new(conditioning.host());
    // SAFETY: `out` was checked.
    unsafe { out.write(Box::into_raw(Box::new(omniid_conditioning { conditioning, texts }))) };
    Ok(())
}

/// Frees a conditioning; NULL is ignored.
///
/// # Safety
/// `conditioning` is NULL or came from `omniid_conditioning_create`, and no call uses it any more.
#[export]
pub unsafe extern "C" fn omniid_conditioning_free(conditioning: *mut omniid_conditioning) {
    // SAFETY: the caller's promise.
    unsafe { pointer::free(conditioning) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_librarys() {
        for (number, kind) in WeightType::all().enumerate() {
            assert_eq!(WeightType::from_number(number as i32), Some(kind));
        }
        assert_eq!(
            WeightType::CompositionPrecise as i32,
            OMNIID_WEIGHT_TYPE_COMPOSITION_PRECISE
        );
        assert_eq!(WeightType::StrongMiddle as i32, OMNIID_WEIGHT_TYPE_STRONG_MIDDLE);
        assert_eq!(
            WeightType::StyleAndComposition as i32,
            OMNIID_WEIGHT_TYPE_STYLE_AND_COMPOSITION
        );
        for (number, mode) in [
            (OMNIID_INJECTION_ADD, Injection::Add),
            (OMNIID_INJECTION_ORTHOGONAL, Injection::Orthogonal),
            (OMNIID_INJECTION_ORTHOGONAL_V2, Injection::OrthogonalV2),
        ] {
            assert_eq!(Injection::from_number(number), Some(mode));
        }
        assert!(unconditional(8).is_err() && unconditional(-1).is_err());
    }
}
