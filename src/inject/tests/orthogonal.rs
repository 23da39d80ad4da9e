//! PuLID's modes with everything else that a conditioning can have.

use super::*;
use crate::conditioning::{Injection, LayerScales, PulidMode};

const MODES: [PulidMode; 2] = [PulidMode::Style, PulidMode::Fidelity];

/// The output after one call on `before`.
fn after(conditioning: &Conditioning, query: &[f32], before: &[f32], roles: &[Role]) -> Vec<f32> {
    let mut output = before.to_vec();
    let mut call = call(query, &mut output).with_roles(roles).with_latent(Some((6, 8)));
    call.step.sigma = Some(5.0);
    conditioning.inject(call).unwrap();
    output
}

#[test]
fn a_mask_weighs_what_is_added_and_not_the_sums() {
    let (tokens, query, before) = (random(&[7, CONTEXT], 1), noise(COUNT, 3), noise(COUNT, 4));
    // The right half of the picture is left alone.
    let mask = Mask::new(1, 2, &[1.0, 0.0]).unwrap();
    for mode in MODES {
        let options = ConditioningOptions::pulid(mode);
        let everywhere = condition(&[IdentityInput::new(&tokens)], &options);
        let masked = condition(&[IdentityInput::new(&tokens).with_mask(mask.clone())], &options);
        let factors = masked.mask_factors(0, SHAPE[1], Some((6, 8))).unwrap().unwrap();
        assert!(factors.contains(&0.0) && factors.contains(&1.0));
        let (whole, part) = [&everywhere, &masked].map(|c| after(c, &query, &before, &[])).into();
        for (i, before) in before.iter().enumerate() {
            let factor = factors[i / 24 % SHAPE[1]];
            let wanted = before + factor * (whole[i] - before);
            assert!((part[i] - wanted).abs() < 1e-6, "{mode:?} {i}: {} {wanted}", part[i]);
            assert!(factor != 0.0 || part[i] == *before);
        }
    }
}

#[test]
fn each_identity_is_projected_on_what_the_one_before_has_left() {
    let (first, second) = (random(&[7, CONTEXT], 1), random(&[4, CONTEXT], 2));
    let (query, before) = (noise(COUNT, 3), noise(COUNT, 4));
    for mode in MODES {
        let options = ConditioningOptions::pulid(mode);
        let inputs = [
            IdentityInput::new(&first).with_scale(0.8),
            IdentityInput::new(&second).with_scale(1.3),
        ];
        let both = after(&condition(&inputs, &options), &query, &before, &[]);
        let one = after(&condition(&inputs[..1], &options), &query, &before, &[]);
        let then_the_other = after(&condition(&inputs[1..], &options), &query, &one, &[]);
        assert_eq!(both, then_the_other);
        assert_ne!(both, after(&condition(&inputs[1..], &options), &query, &before, &[]));
    }
}

#[test]
fn batch_rows_are_projected_by_themselves_in_their_role() {
    let (tokens, negative) = (random(&[7, CONTEXT], 1), random(&[4, CONTEXT], 2));
    let (query, before) = (noise(COUNT, 3), noise(COUNT, 4));
    let half = COUNT / 2;
    for mode in MODES {
        let options = ConditioningOptions::pulid(mode);
        let both = condition(&[IdentityInput::new(&tokens).with_unconditional(&negative)], &options);
        let [one, other] = [&tokens, &negative].map(|tokens| condition(&[IdentityInput::new(tokens)], &options));
        let (one, other) = [&one, &other].map(|c| after(c, &query, &before, &[])).into();
        for roles in ORDERS {
            let found = after(&both, &query, &before, roles);
            for (row, role) in roles.iter().enumerate() {
                let wanted: &Vec<f32> = if *role == Role::Conditional { &one } else { &other };
                assert_eq!(
                    found[row * half..][..half],
                    wanted[row * half..][..half],
                    "{mode:?} {roles:?}"
                );
            }
            // Without an unconditional side those rows stay as they are.
            let alone = condition(&[IdentityInput::new(&tokens)], &options);
            let found = after(&alone, &query, &before, roles);
            for (row, role) in roles.iter().enumerate() {
                let left = *role == Role::Unconditional;
                assert_eq!(found[row * half..][..half] == before[row * half..][..half], left);
            }
        }
    }
}

#[test]
fn what_is_added_grows_with_weight_and_layer_scale_and_keeps_to_its_steps() {
    let (tokens, query, before) = (random(&[7, CONTEXT], 1), noise(COUNT, 3), noise(COUNT, 4));
    let input = IdentityInput::new(&tokens);
    for mode in MODES {
        let options = ConditioningOptions::pulid(mode);
        let unit = after(&condition(std::slice::from_ref(&input), &options), &query, &before, &[]);
        let scales = LayerScales::per_layer(&host(), &[1.0, 0.5]).unwrap();
        let scaled = options.clone().with_layer_scales(scales);
        let found = after(
            &condition(&[input.clone().with_scale(0.6)], &scaled),
            &query,
            &before,
            &[],
        );
        for ((unit, found), before) in unit.iter().zip(&found).zip(&before) {
            assert!((found - (before + 0.3 * (unit - before))).abs() < 1e-6);
        }
        let later = StepRange::Sigma { start: 4.0, end: 0.0 };
        let conditioning = condition(&[input.clone().with_steps(later)], &options);
        assert_eq!(after(&conditioning, &query, &before, &[]), before);
        assert_eq!(
            (conditioning.injection(), conditioning.zero_tokens() > 0),
            (options.injection, true)
        );
    }
}

#[test]
fn an_output_of_zeros_has_no_direction() {
    let (tokens, query) = (random(&[7, CONTEXT], 1), noise(COUNT, 3));
    let input = IdentityInput::new(&tokens);
    let added = |injection| {
        let options = ConditioningOptions::default().with_injection(injection);
        after(
            &condition(std::slice::from_ref(&input), &options),
            &query,
            &vec![0.0; COUNT],
            &[],
        )
    };
    let plain = added(Injection::Add);
    assert_close(&added(Injection::Orthogonal), &plain, 1e-6);
    assert_close(&added(Injection::OrthogonalV2), &plain, 1e-6);
}
