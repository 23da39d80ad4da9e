//! Projection of identities to the keys and values of every layer.

use super::joint::Joint;
use super::residual::Residual;
use super::{
    layer_weight, ConditionedIdentity, ConditionedLayer, ConditionedTokens, Conditioning, ConditioningOptions,
    EmbedsScaling, IdentityInput, Injection, Inner, MaskGrids, TimestepTokens, TokenSource, WeightType, Weights,
};
use crate::adapter::{Adapter, AdapterLayer, TokenSet, JOINT_EPSILON};
use crate::error::{Error, Result};
use crate::host::HostSpec;
use crate::progress::{report, ProgressFn, Stage};
use crate::remedy;
use candle_core::{DType, Device, Tensor, D};
use omniid_kernels::KeyValue;
use std::sync::Arc;

/// Width that the "C penalty" takes as 1: the widest layers of SD1.5 and SDXL.
const PENALTY_WIDTH: f32 = 1280.0;

/// Epsilon of the normalisation of keys without weights (InstantX' adapter for FLUX).
const KEY_NORM_EPSILON: f64 = 1e-5;

/// Most tokens of one identity. 4096 photos of 257 tokens are beyond it; keys and values would fill terabytes.
const MAX_TOKENS: usize = 1 << 17;

pub(super) fn build(
    adapter: &Adapter,
    host: &HostSpec,
    identities: &[IdentityInput<'_>],
    options: &ConditioningOptions,
    progress: ProgressFn<'_>,
) -> Result<Conditioning> {
    adapter.check_host(host)?;
    check_options(options, host, adapter.device())?;
    if options.normalise_values && !adapter.normalises_keys() {
        return Err(Error::invalid(
            "normalise_values is set, but this adapter has no normalisation of keys that values could share",
        ));
    }
    if adapter.is_residual() && options.injection != Injection::Add {
        return Err(Error::unsupported(format!(
            "{} injection compares with the output of an attention, but this adapter adds to the residual stream",
            options.injection.name()
        )));
    }
    if identities.is_empty() {
        return Err(Error::invalid("conditioning needs at least one identity"));
    }
    check_timesteps(adapter, identities, options)?;
    let total = identities
        .len()
        .saturating_mul(host.layer_count() * adapter.sets().len())
        .saturating_mul(options.timesteps.len().max(1));
    let mut done = 0;
    let mut conditioned = Vec::with_capacity(identities.len());
    for (number, input) in identities.iter().enumerate() {
        let name = |error: Error| error.context(format!("identity {number}"));
        if input.composition.is_some() && !WeightType::WITH_COMPOSITION.contains(&options.weight_type) {
            let error = not_of_weight_type(
                "a composition identity",
                options.weight_type,
                WeightType::WITH_COMPOSITION,
            );
            return Err(name(error));
        }
        // Without timesteps there is one round, over the identity's own tokens.
        let steps = input.timesteps.iter().map(Some);
        let rounds: Vec<_> = if steps.len() == 0 { vec![None] } else { steps.collect() };
        let mut tables = Vec::with_capacity(rounds.len());
        for step in rounds {
            let round = IdentityInput {
                tokens: step.map_or(input.tokens, |step| &step.tokens),
                unconditional: step.map_or(input.unconditional, |step| step.unconditional.as_ref()),
                ..input.clone()
            };
            let whole = Contexts::new(adapter, &round).map_err(name)?;
            let mut sets = Vec::with_capacity(adapter.sets().len());
            for (number, set) in adapter.sets().iter().enumerate() {
                let contexts = whole.of_set(adapter.sets(), number).map_err(name)?;
                let factor = options.set_factor(number, adapter.sets().len());
                let mut layers = Vec::with_capacity(host.layer_count());
                for (index, weights) in set.layers.iter().enumerate() {
                    let plan = Plan {
                        host,
                        index,
                        factor,
                        normalises_keys: adapter.normalises_keys(),
                        step,
                    };
                    layers.push(condition_layer(&plan, weights, &round, &contexts, options).map_err(name)?);
                    done += 1;
                    report(progress, Stage::Condition, done, total)?;
                }
                sets.push(layers);
            }
            tables.push(sets);
        }
        let mut tables = tables.into_iter();
        let mut sets = tables.next().unwrap_or_default().into_iter();
        let layers = sets.next().unwrap_or_default();
        let mask = input.mask.clone().map(|mask| MaskGrids::new(mask, options.mask_mode));
        conditioned.push(ConditionedIdentity {
            steps: input.steps,
            mask,
            layers,
            further_sets: sets.collect(),
            // Adapters that depend on the timestep have one token set.
            further_steps: tables.map(|sets| sets.into_iter().next().unwrap_or_default()).collect(),
            tokens: plain_tokens(adapter, host, input, options)?,
        });
    }
    let device = adapter.device().clone();
    let inner = Inner {
        #[cfg(feature = "cuda")]
        device_state: crate::cuda::DeviceState::new(&device)?,
        host: host.clone(),
        fingerprint: None,
        dtype: options.dtype,
        injection: options.injection,
        zero_tokens: options.zero_tokens,
        device,
        identities: conditioned,
        timesteps: options.timesteps.clone(),
        joint: Joint::of(adapter)?,
        residual: Residual::of(adapter),
    };
    Ok(Conditioning { inner: Arc::new(inner) })
}

/// The tokens of an identity, where nothing but its factor tells a layer from a projection of them.
fn plain_tokens(
    adapter: &Adapter,
    host: &HostSpec,
    input: &IdentityInput<'_>,
    options: &ConditioningOptions,
) -> Result<Option<ConditionedTokens>> {
    let spread = Weights {
        identity: input.scale,
        composition: options.composition_scale,
        style_boost: options.style_boost,
        composition_boost: options.composition_boost,
    };
    for layer in host.layers() {
        let plan = layer_weight(options.weight_type, host, layer, &spread)?;
        let is_own = match plan.source {
            TokenSource::Identity => true,
            TokenSource::Composition => input.composition.is_none(),
            TokenSource::Swapped => false,
        };
        if !is_own {
            return Ok(None);
        }
    }
    let is_plain = options.embeds_scaling == EmbedsScaling::ValuesOnly
        && !options.normalise_values
        && options.timesteps.is_empty()
        && adapter.sets().len() == 1;
    Ok(is_plain.then(|| ConditionedTokens {
        conditional: input.tokens.clone(),
        unconditional: input.unconditional.cloned(),
    }))
}

/// Checks what concerns the denoising timestep.
fn check_timesteps(adapter: &Adapter, identities: &[IdentityInput<'_>], options: &ConditioningOptions) -> Result<()> {
    let wanted = &options.timesteps;
    if let Some(timestep) = wanted.iter().find(|timestep| !(0.0..=1000.0).contains(*timestep)) {
        return Err(Error::invalid(format!(
            "timestep {timestep}; denoising timesteps are 0 to 1000"
        )));
    }
    if wanted.len() > ConditioningOptions::MOST_TIMESTEPS {
        return Err(Error::invalid(format!(
            "{} timesteps; at most {} are taken",
            wanted.len(),
            ConditioningOptions::MOST_TIMESTEPS
        )));
    }
    let Some(width) = adapter.time_width() else {
        if !wanted.is_empty() || identities.iter().any(|input| !input.timesteps.is_empty()) {
            return Err(Error::invalid(
                "timesteps are given, but the keys and values of this adapter do not depend on the denoising timestep",
            ));
        }
        return Ok(());
    };
    if wanted.is_empty() {
        return Err(Error::invalid(
            "keys and values of this adapter depend on the denoising timestep, but no timesteps are given",
        )
        .with_remedy(remedy::TIMESTEPS));
    }
    let differs = identities
        .iter()
        .position(|input| input.timesteps.len() != wanted.len());
    if let Some(number) = differs {
        return Err(Error::invalid(format!(
            "identity {number}: tokens for {} timesteps, expected {}",
            identities[number].timesteps.len(),
            wanted.len()
        )));
    }
    let mut embeddings = identities
        .iter()
        .flat_map(|input| input.timesteps)
        .map(|step| &step.embedding);
    if let Some(embedding) = embeddings.find(|embedding| embedding.dims() != [1, width]) {
        return Err(Error::mismatch(format!(
            "the embedding of a timestep has shape {:?}; the adapter takes [1, {width}]",
            embedding.dims()
        )));
    }
    if options.injection != Injection::Add || options.zero_tokens != 0 {
        return Err(Error::unsupported(
            "orthogonal injection and zero tokens are for attention to the identity alone; this adapter's layers attend \
             to the image's keys too",
        ));
    }
    if adapter.device().is_cuda() {
        return Err(Error::unsupported(
            "attention to the image's keys and the identity's together on a GPU; this release has it on the processor",
        ));
    }
    Ok(())
}

fn check_options(options: &ConditioningOptions, host: &HostSpec, device: &Device) -> Result<()> {
    if !matches!(options.dtype, DType::F32 | DType::F16 | DType::BF16) {
        return Err(Error::unsupported(format!(
            "keys and values of type {:?}; they can be f32, f16 or bf16",
            options.dtype
        )));
    }
    if options.zero_tokens > ConditioningOptions::MOST_ZERO_TOKENS {
        return Err(Error::invalid(format!(
            "{} zero tokens; at most {} are taken",
            options.zero_tokens,
            ConditioningOptions::MOST_ZERO_TOKENS
        )));
    }
    if options.injection != Injection::Add && device.is_cuda() {
        return Err(Error::unsupported(format!(
            "{} injection on a GPU; this release computes it on the processor only, on GPUs there is {}",
            options.injection.name(),
            Injection::Add.name()
        )));
    }
    let numbers = [
        ("composition scale", options.composition_scale),
        ("style boost", options.style_boost),
        ("composition boost", options.composition_boost),
        ("SigLIP weight", options.siglip_weight),
    ];
    for (name, number) in numbers {
        if let Some(number) = number.filter(|number| !number.is_finite()) {
            return Err(Error::invalid(format!(
                "the {name} is {number}; it must be a finite number"
            )));
        }
    }
    let kind = options.weight_type;
    for (name, number, kinds) in [
        (
            "composition scale",
            options.composition_scale,
            WeightType::WITH_COMPOSITION,
        ),
        (
            "style boost",
            options.style_boost,
            &[WeightType::StyleTransferPrecise][..],
        ),
        (
            "composition boost",
            options.composition_boost,
            &[WeightType::CompositionPrecise],
        ),
    ] {
        if number.is_some() && !kinds.contains(&kind) {
            return Err(not_of_weight_type(&format!("the {name}"), kind, kinds));
        }
    }
    match &options.layer_scales {
        Some(scales) if scales.factors().len() != host.layer_count() => Err(Error::mismatch(format!(
            "{} layer scales for host {:?}, which has {} layers",
            scales.factors().len(),
            host.name(),
            host.layer_count()
        ))),
        _ => Ok(()),
    }
}

/// The error for what only counts with some weight types.
fn not_of_weight_type(what: &str, kind: WeightType, kinds: &[WeightType]) -> Error {
    let kinds: Vec<String> = kinds.iter().map(|kind| format!("{:?}", kind.name())).collect();
    Error::invalid(format!(
        "{what} is given, but it only counts with weight type {}, not with {:?}",
        kinds.join(" or "),
        kind.name()
    ))
}

/// The context tokens of one identity, `[tokens, context]` f32.
struct Contexts {
    conditional: Tensor,
    unconditional: Option<Tensor>,
    composition: Option<Tensor>,
}

impl Contexts {
    fn new(adapter: &Adapter, input: &IdentityInput<'_>) -> Result<Self> {
        if !input.scale.is_finite() {
            return Err(Error::invalid(format!(
                "the scale is {}; it must be a finite number",
                input.scale
            )));
        }
        input.steps.check()?;
        Ok(Self {
            conditional: context(adapter, "tokens", input.tokens)?,
            unconditional: input
                .unconditional
                .map(|t| context(adapter, "unconditional tokens", t))
                .transpose()?,
            composition: input
                .composition
                .map(|t| context(adapter, "composition tokens", t))
                .transpose()?,
        })
    }
}

impl Contexts {
    /// The tokens of token set `number`: of every photo's tokens those that are the set's. One set has all of them.
    fn of_set(&self, sets: &[TokenSet], number: usize) -> Result<Self> {
        let photo: usize = sets.iter().map(|set| set.tokens).sum();
        let first: usize = sets.iter().take(number).map(|set| set.tokens).sum();
        let own = sets.get(number).map_or(0, |set| set.tokens);
        let pick = |tokens: &Tensor| -> Result<Tensor> {
            if sets.len() < 2 {
                return Ok(tokens.clone());
            }
            let (count, width) = tokens.dims2()?;
            if photo == 0 || own == 0 || !count.is_multiple_of(photo) {
                let each: Vec<usize> = sets.iter().map(|set| set.tokens).collect();
                return Err(Error::mismatch(format!(
                    "{count} tokens; the adapter's token sets take {each:?} of each photo, one after the other, \
                     {photo} together"
                )));
            }
            let photos = count / photo;
            let tokens = tokens.reshape((photos, photo, width))?.narrow(1, first, own)?;
            Ok(tokens.contiguous()?.reshape((photos * own, width))?)
        };
        Ok(Self {
            conditional: pick(&self.conditional)?,
            unconditional: self.unconditional.as_ref().map(pick).transpose()?,
            composition: self.composition.as_ref().map(pick).transpose()?,
        })
    }
}

/// x · weight / √(mean x² + ε) of each head of `[tokens, heads · head_dim]`, weight `[head_dim]`.
fn weighted_norm(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (tokens, inner) = x.dims2()?;
    let width = weight.dim(0)?.max(1);
    let split = x.reshape((tokens, inner / width, width))?;
    let mean = split.sqr()?.mean_keepdim(D::Minus1)?;
    let normal = split.broadcast_div(&(mean + JOINT_EPSILON)?.sqrt()?)?;
    let normal = normal.broadcast_mul(&weight.to_dtype(DType::F32)?)?;
    Ok(normal.reshape((tokens, inner))?)
}

/// x / √(mean x² + ε) of each head of `[tokens, heads · head_dim]`: a root-mean-square normalisation without weights.
fn normalise_heads(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (tokens, inner) = x.dims2()?;
    let split = x.reshape((tokens, heads, inner / heads.max(1)))?;
    let mean = split.sqr()?.mean_keepdim(D::Minus1)?;
    let normal = split.broadcast_div(&(mean + KEY_NORM_EPSILON)?.sqrt()?)?;
    Ok(normal.reshape((tokens, inner))?)
}

fn context(adapter: &Adapter, what: &str, tokens: &Tensor) -> Result<Tensor> {
    let width = adapter.token_width().unwrap_or(0);
    match *tokens.dims() {
        [count, found] if found == width && (1..=MAX_TOKENS).contains(&count) => {}
        ref dims => {
            return Err(Error::mismatch(format!(
                "{what} have shape {dims:?}; the adapter takes [1 to {MAX_TOKENS}, {width}]"
            )));
        }
    }
    adapter.context(&tokens.to_device(adapter.device())?.to_dtype(DType::F32)?)
}

/// One layer of one token set.
struct Plan<'a> {
    host: &'a HostSpec,
    index: usize,
    /// Share of the token set.
    factor: f32,
    normalises_keys: bool,
    /// What depends on the denoising timestep.
    step: Option<&'a TimestepTokens>,
}

fn condition_layer(
    place: &Plan<'_>,
    weights: &AdapterLayer,
    input: &IdentityInput<'_>,
    contexts: &Contexts,
    options: &ConditioningOptions,
) -> Result<Option<ConditionedLayer>> {
    let (host, index) = (place.host, place.index);
    let layer = host.layer(index)?;
    let spread = Weights {
        identity: input.scale,
        composition: options.composition_scale,
        style_boost: options.style_boost,
        composition_boost: options.composition_boost,
    };
    let plan = layer_weight(options.weight_type, host, layer, &spread)?;
    let scale = options
        .layer_scales
        .as_ref()
        .and_then(|scales| scales.factors().get(index))
        .copied()
        .unwrap_or(1.0);
    // A scale of 0 leaves the identity out, even where a boost would give a layer its own weight.
    let weight = if input.scale == 0.0 {
        0.0
    } else {
        plan.weight * scale * place.factor
    };
    if weight == 0.0 {
        return Ok(None);
    }
    let zero;
    let (conditional, unconditional) = match plan.source {
        TokenSource::Identity => (&contexts.conditional, contexts.unconditional.as_ref()),
        TokenSource::Composition => (
            contexts.composition.as_ref().unwrap_or(&contexts.conditional),
            contexts.unconditional.as_ref(),
        ),
        TokenSource::Swapped => {
            zero = contexts.conditional.zeros_like()?;
            (&zero, Some(&contexts.conditional))
        }
    };
    let heads = place.normalises_keys.then_some(layer.heads);
    let project = |context: &Tensor| {
        let made = match (&weights.joint, place.step) {
            (Some(joint), Some(step)) => {
                let context = joint.modulate(context, &step.embedding.to_device(context.device())?)?;
                project(weights, &context, weight, options, layer.inner, heads)?
            }
            _ => project(weights, context, weight, options, layer.inner, heads)?,
        };
        check_finite(&made, &layer.name, options.dtype)?;
        Ok::<_, Error>(made)
    };
    // Without biases, zero tokens have zero values: their attention adds nothing.
    let silent = plan.source == TokenSource::Swapped && !weights.to_v.has_bias() && weights.token_norm.is_none();
    Ok(Some(ConditionedLayer {
        factor: if options.embeds_scaling == EmbedsScaling::ValuesOnly {
            weight
        } else {
            1.0
        },
        conditional: if silent { None } else { Some(project(conditional)?) },
        unconditional: unconditional.map(project).transpose()?,
    }))
}

/// Fails for keys and values that would spoil every picture: tokens are finite, so weights are damaged, or the number
/// type does not reach as far as they do.
fn check_finite(made: &KeyValue<Tensor>, layer: &str, dtype: DType) -> Result<()> {
    for (what, tensor) in [("keys", &made.keys), ("values", &made.values)] {
        // Zero times a finite number is zero; times any other it is none.
        let zeros = (tensor * 0.0)?.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()?;
        if zeros != 0.0 {
            return Err(Error::format(format!(
                "host layer {layer:?}: the adapter's {what} are not finite in {}: its weights for this layer are \
                 damaged, or too large for the number type",
                dtype.as_str()
            ))
            .with_remedy(remedy::DAMAGED_WEIGHTS));
        }
    }
    Ok(())
}

fn project(
    layer: &AdapterLayer,
    context: &Tensor,
    weight: f32,
    options: &ConditioningOptions,
    inner: usize,
    normalised_heads: Option<usize>,
) -> Result<KeyValue<Tensor>> {
    let context = match &layer.token_norm {
        Some(norm) => &norm.forward(context)?,
        None => context,
    };
    let mut keys = layer.to_k.forward(context)?;
    let mut values = layer.to_v.forward(context)?;
    if let Some(heads) = normalised_heads {
        keys = normalise_heads(&keys, heads)?;
        if options.normalise_values {
            values = normalise_heads(&values, heads)?;
        }
    }
    if let Some(joint) = &layer.joint {
        keys = weighted_norm(&keys, &joint.identity_key_norm)?;
    }
    let penalised = f64::from(weight * inner as f32 / PENALTY_WIDTH);
    match options.embeds_scaling {
        EmbedsScaling::ValuesOnly => {}
        EmbedsScaling::KeysAndValues => {
            keys = (keys * f64::from(weight))?;
            values = (values * f64::from(weight))?;
        }
        EmbedsScaling::KeysAndValuesPenalty => {
            keys = (keys * penalised)?;
            values = (values * penalised)?;
        }
        EmbedsScaling::KeysAndMeanValuesPenalty => {
            keys = (keys * penalised)?;
            let mean = values.mean_keepdim(0)?;
            values = values.broadcast_sub(&mean)?.broadcast_add(&(mean * penalised)?)?;
        }
    }
    Ok(KeyValue {
        keys: keys.to_dtype(options.dtype)?.contiguous()?,
        values: values.to_dtype(options.dtype)?.contiguous()?,
    })
}
