//! Calls that a host's own threads share.

use super::*;
use crate::conditioning::PulidMode;

const COUNTS: [usize; 6] = [1, 2, 3, 5, 8, 97];

/// The output after all parts, each on a thread of its own.
fn in_parts(conditioning: &Conditioning, query: &[f32], before: &[f32], roles: &[Role], count: usize) -> Vec<f32> {
    // Threads share the output as the host's threads do: each has a view of all of it.
    let mut output = before.to_vec();
    let address = output.as_mut_ptr() as usize;
    std::thread::scope(|scope| {
        for part in 0..count {
            scope.spawn(move || {
                // SAFETY: the parts write disjoint elements of memory that outlives the scope.
                let view = unsafe {
                    TensorView::from_raw(address as *const u8, Place::Cpu, Element::F32, &SHAPE, None)
                        .and_then(|view| view.writable())
                };
                let query = TensorView::contiguous(query, SHAPE).unwrap();
                let call = InjectCall::new(1, query, view.unwrap())
                    .with_roles(roles)
                    .with_latent(Some((6, 8)))
                    .with_part(part)
                    .with_part_count(count);
                conditioning.inject(call).unwrap();
            });
        }
    });
    output
}

#[test]
fn parts_are_to_the_bit_one_whole_call() {
    let (tokens, other) = (random(&[7, CONTEXT], 1), random(&[4, CONTEXT], 2));
    let (query, before) = (noise(COUNT, 3), noise(COUNT, 4));
    let values: Vec<f32> = noise(12, 9).into_iter().map(f32::abs).collect();
    let inputs = [
        IdentityInput::new(&tokens).with_mask(Mask::new(3, 4, &values).unwrap()),
        IdentityInput {
            unconditional: Some(&tokens),
            ..IdentityInput::new(&other).with_scale(0.6)
        },
    ];
    let options = [
        ConditioningOptions::default(),
        ConditioningOptions::pulid(PulidMode::Style),
        ConditioningOptions::pulid(PulidMode::Fidelity),
    ];
    for options in options {
        let conditioning = condition(&inputs, &options);
        for roles in ORDERS.into_iter().chain([&[] as &[Role], &[Role::Unconditional]]) {
            let mut expected = before.clone();
            let whole = call(&query, &mut expected).with_roles(roles).with_latent(Some((6, 8)));
            conditioning.inject(whole).unwrap();
            assert_ne!(expected, before);
            for count in COUNTS {
                let found = in_parts(&conditioning, &query, &before, roles, count);
                assert_eq!(found, expected, "{count} parts, {roles:?}, {:?}", options.injection);
            }
        }
    }
}

#[test]
fn one_role_is_that_of_all_rows() {
    let (tokens, other, query) = (random(&[7, CONTEXT], 1), random(&[4, CONTEXT], 2), noise(COUNT, 3));
    let conditioning = plain(&[IdentityInput {
        unconditional: Some(&other),
        ..IdentityInput::new(&tokens)
    }]);
    for (one, each) in [(&ORDERS[2][..1], ORDERS[2]), (&ORDERS[3][..1], ORDERS[3])] {
        let of_all = added(&conditioning, &query, |call| call.roles = one);
        assert_eq!(of_all, added(&conditioning, &query, |call| call.roles = each));
    }
}

#[test]
fn a_part_looks_at_its_own_queries_and_names_the_rows_of_the_layer() {
    let (tokens, mut query) = (random(&[7, CONTEXT], 1), noise(COUNT, 3));
    let conditioning = plain(&[IdentityInput::new(&tokens)]);
    query[COUNT / 2 + 40 * 24 + 3] = f32::NAN;
    let part = |part| move |call: &mut InjectCall<'_>| (call.part, call.part_count) = (part, 4);
    added(&conditioning, &query, part(0));
    let refused = error(&conditioning, &query, part(3));
    assert!(refused.message().contains("batch row 1, token 40"), "{refused}");
    for (part, count) in [(0, 0), (1, 1), (4, 4), (usize::MAX, 1)] {
        let refused = error(&conditioning, &query, |call| {
            (call.part, call.part_count) = (part, count)
        });
        assert!(refused.message().contains("parts are counted from 0"), "{refused}");
    }
}
