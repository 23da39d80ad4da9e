//! Conditionings and injection.

use super::check;
use super::engines::callback;
use super::handle::World;
use super::memory::{choice, or_null, real, text, HostTensor, Struct};
use crate::draft::{number, pick};
use arbitrary::Unstructured;
use omniid_capi::*;
use std::ptr::{null, null_mut};

pub fn create(input: &mut Unstructured<'_>, world: &mut World) {
    let engine = world.engines.any(input);
    let mut person = Struct::<omniid_conditioning_input>::new(input);
    (person.identity, person.scale) = (world.identities.any(input), real(input));
    let mask: Vec<f32> = (0..64).map(|_| real(input) / 2.0).collect();
    if number(input, 0..=3) == 3 {
        person.mask = mask.as_ptr();
        (person.mask_height, person.mask_width) = (number(input, 0..=8) as u32, number(input, 0..=8) as u32);
    }
    person.step_range = choice(input, 3);
    (person.step_start, person.step_end) = (real(input).into(), real(input).into());
    person.unconditional = choice(input, 8);
    if number(input, 0..=7) == 7 {
        (person.negative, person.composition) = (world.identities.any(input), world.identities.any(input));
    }
    let mut options = Struct::<omniid_conditioning_options>::new(input);
    let numbers = [real(input), real(input)];
    if number(input, 0..=3) == 3 {
        (options.layer_scales, options.layer_scale_count) = (numbers.as_ptr(), number(input, 0..=2));
        (options.timesteps, options.timestep_count) = (numbers.as_ptr(), number(input, 0..=2));
        (options.composition_scale, options.siglip_weight) = (numbers.as_ptr(), numbers.as_ptr());
    }
    options.weight_type = if number(input, 0..=1) == 1 {
        0
    } else {
        choice(input, 16)
    };
    options.embeds_scaling = choice(input, 4);
    options.mask_mode = choice(input, 2);
    options.precision = choice(input, 3);
    options.injection = choice(input, 3);
    options.zero_tokens = *pick(input, &[0, 0, 8, 1 << 16, usize::MAX]);
    (options.progress, options.progress_user_data) = callback(input);
    let count = usize::from(number(input, 0..=15) != 15);
    let options = if number(input, 0..=1) == 1 {
        null_mut()
    } else {
        options.place(input)
    };
    let mut out = null_mut();
    let place = or_null(input, &mut out);
    // SAFETY: handles are live or NULL; arrays have as many numbers as are stated.
    let made = check(unsafe { omniid_conditioning_create(engine, person.place(input), count, options, place) });
    world.conditionings.keep(made, out, omniid_conditioning_free);
}

pub fn contents(input: &mut Unstructured<'_>, world: &mut World) {
    let conditioning = world.conditionings.any(input);
    let (layer, person) = (
        *pick(input, &[0, 1, 2, usize::MAX]),
        *pick(input, &[0, 0, 1, usize::MAX]),
    );
    let (mut count, mut factor, mut active, mut name) = (0usize, 0f32, 0i32, null());
    let mut described = Struct::<omniid_host_layer>::new(input);
    let (sigma, fraction) = (f64::from(real(input)), f64::from(real(input)));
    let tokens = number(input, 0..=64);
    let mut factors = vec![0f32; tokens];
    let mut tensor = null_mut();
    // SAFETY: the handle is live or NULL; places are writable.
    unsafe {
        check(omniid_conditioning_layer_count(
            conditioning,
            or_null(input, &mut count),
        ));
        check(omniid_conditioning_identity_count(conditioning, &mut count));
        check(omniid_conditioning_byte_size(conditioning, &mut count));
        check(omniid_conditioning_layer_name(conditioning, layer, &mut name));
        check(omniid_conditioning_layer(conditioning, layer, described.place(input)));
        check(omniid_conditioning_find_layer(conditioning, text(input), &mut count));
        check(omniid_conditioning_factor(conditioning, layer, person, &mut factor));
        let sigma = if number(input, 0..=1) == 1 {
            null()
        } else {
            &raw const sigma
        };
        check(omniid_conditioning_is_active(
            conditioning,
            person,
            sigma,
            &fraction,
            &mut active,
        ));
        let (height, width) = (number(input, 0..=9) as u32, number(input, 0..=9) as u32);
        check(omniid_conditioning_mask_factors(
            conditioning,
            person,
            tokens,
            height,
            width,
            factors.as_mut_ptr(),
        ));
        let (role, place) = (choice(input, 2), or_null(input, &mut tensor));
        let status = match number(input, 0..=1) {
            0 => omniid_conditioning_keys(conditioning, layer, person, role, 0, place),
            _ => omniid_conditioning_values(conditioning, layer, person, role, 0, place),
        };
        check(status);
        world
            .tensors
            .keep(!tensor.is_null(), tensor, omniid_managed_tensor_free);
    }
}

pub fn inject(input: &mut Unstructured<'_>, world: &World) {
    let conditioning = world.conditionings.any(input);
    let layer = number(input, 0..=2);
    let (batch, rows) = (number(input, 0..=3), number(input, 0..=20));
    let heads = if layer == 0 { 2 } else { 4 };
    let layout = choice(input, 2);
    let shape = match number(input, 0..=7) {
        0 => vec![batch, rows, heads * 8],
        1 => vec![batch, rows, 40],
        2 => vec![batch, rows],
        _ if layout == 1 => vec![batch, heads, rows, 8],
        _ => vec![batch, rows, heads, 8],
    };
    let (query, mut output) = (HostTensor::new(input, &shape), HostTensor::new(input, &shape));
    if number(input, 0..=7) != 7 && output.tensor.dtype.bits <= query.tensor.dtype.bits {
        output.tensor.dtype = TensorType { ..query.tensor.dtype };
    }
    let roles: [i32; 4] = std::array::from_fn(|_| choice(input, 2));
    let role_count = match number(input, 0..=3) {
        0 => 0,
        1 => 1,
        2 => batch,
        _ => number(input, 0..=4),
    };
    let flags = number(input, 0..=7) as u32 | if number(input, 0..=31) == 31 { 64 } else { 0 };
    let (sigma, fraction) = (real(input).into(), real(input).into());
    let (height, width) = (number(input, 0..=9) as u32, number(input, 0..=9) as u32);
    let query_place = if number(input, 0..=31) == 31 {
        null()
    } else {
        &raw const query.tensor
    };
    if number(input, 0..=3) == 3 {
        let mut call = Struct::<omniid_residual_call>::new(input);
        (call.scale, call.layer, call.flags) = (real(input), layer, flags);
        (call.hidden, call.output) = (query_place, &mut output.tensor);
        (call.roles, call.role_count) = (roles.as_ptr(), role_count);
        (call.sigma, call.fraction) = (sigma, fraction);
        (call.latent_height, call.latent_width) = (height, width);
        // SAFETY: the handle is live or NULL; elements of the tensors lie in their memory, or they are impossible.
        check(unsafe { omniid_inject_residual(conditioning, call.place(input)) });
        return;
    }
    let mut call = Struct::<omniid_inject_call>::new(input);
    (call.scale, call.layer, call.flags, call.layout) = (real(input), layer, flags, layout);
    (call.query, call.output) = (query_place, &mut output.tensor);
    (call.roles, call.role_count) = (roles.as_ptr(), role_count);
    (call.sigma, call.fraction) = (sigma, fraction);
    (call.latent_height, call.latent_width) = (height, width);
    if number(input, 0..=7) == 7 {
        (call.part, call.part_count) = (number(input, 0..=3) as u32, number(input, 0..=3) as u32);
    }
    if number(input, 0..=15) == 15 {
        (call.image_keys, call.image_values) = (query_place, query_place);
    }
    // SAFETY: as above.
    check(unsafe { omniid_inject(conditioning, call.place(input)) });
}
