//! Filling for arbitrary identities, batches and manifests.

use super::tests::{
    added, assert_same, condition, filled, graph, injected, manifest, random, with, IMAGE, LAYERS, WIDTH,
};
use super::*;
use crate::conditioning::{ConditioningOptions, IdentityInput, Role, WeightType};
use proptest::prelude::*;

fn roles() -> impl Strategy<Value = Vec<Role>> {
    let role = prop_oneof![Just(Role::Conditional), Just(Role::Unconditional)];
    prop::collection::vec(role, 1..5)
}

/// Tokens of both sides, scale.
fn people() -> impl Strategy<Value = Vec<(usize, Option<usize>, f32)>> {
    let person = (1..7_usize, prop::option::of(1..7_usize), -2.0..2.0_f32);
    prop::collection::vec(person, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_graph_with_masks_adds_what_inject_adds(
        people in people(),
        roles in roles(),
        scale in 0.0..2.0_f32,
        zero_tokens in 0..4_usize,
        weight_type in prop_oneof![Just(WeightType::Linear), Just(WeightType::EaseOut)],
    ) {
        let tensors: Vec<_> = people
            .iter()
            .enumerate()
            .map(|(i, (own, other, _))| {
                let tokens = |count: usize, seed| random(&[count, WIDTH], seed);
                (tokens(*own, 3 * i), other.map(|count| tokens(count, 3 * i + 1)))
            })
            .collect();
        let inputs: Vec<_> = people
            .iter()
            .zip(&tensors)
            .map(|((_, _, scale), (own, other))| {
                IdentityInput::new(own).with_unconditional(other.as_ref()).with_scale(*scale)
            })
            .collect();
        let options = ConditioningOptions::default().with_zero_tokens(zero_tokens).with_weight_type(weight_type);
        let conditioning = condition(&inputs, &options);
        let call = GraphCall::default().with_roles(&roles).with_scale(scale);
        let masked = with(manifest(), "mask", "ip_mask");
        assert_same(&graph(&masked), &conditioning, &call, 4e-6);
        assert_same(&graph(&with(masked, "scale", serde_json::Value::Null)), &conditioning, &call, 4e-6);
        // One person needs no masks, and is concatenated with nobody.
        if people.len() == 1 {
            assert_same(&graph(&manifest()), &conditioning, &call.with_concatenate(true), 4e-6);
        }
    }

    #[test]
    fn concatenated_people_of_one_scale_are_one_identity(
        lengths in prop::collection::vec(1..6_usize, 2..4),
        other in prop::option::of(1..5_usize),
        roles in roles(),
        scale in -2.0..2.0_f32,
    ) {
        let tokens: Vec<_> = lengths.iter().enumerate().map(|(i, count)| random(&[*count, WIDTH], i)).collect();
        let negative = other.map(|count| random(&[count, WIDTH], 9));
        let input = |tokens| IdentityInput::new(tokens).with_unconditional(negative.as_ref()).with_scale(scale);
        let inputs: Vec<_> = tokens.iter().map(input).collect();
        let several = condition(&inputs, &ConditioningOptions::default());
        let all = candle_core::Tensor::cat(&tokens, 0).unwrap();
        let one = condition(&[input(&all)], &ConditioningOptions::default());
        let graph = graph(&manifest());
        let call = GraphCall::default().with_roles(&roles).with_concatenate(true);
        let inputs = filled(&graph, &several, &call);
        for (layer, (heads, head_dim)) in LAYERS.into_iter().enumerate() {
            let query = random(&[roles.len(), IMAGE, heads, head_dim], layer);
            let expected = injected(&one, &call, layer, &query);
            for (a, b) in added(&graph, &inputs, layer, &query).iter().zip(&expected) {
                prop_assert!((a - b).abs() < 4e-6, "{} against {}", a, b);
            }
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Graph::parse(&bytes).is_err());
    }

    #[test]
    fn a_damaged_manifest_is_answered(at in 0..900_usize, byte in any::<u8>()) {
        let mut bytes = manifest().to_string().into_bytes();
        let place = at % bytes.len();
        bytes[place] = byte;
        if let Ok(graph) = Graph::parse(&bytes) {
            let tokens = random(&[4, WIDTH], 1);
            let conditioning = condition(&[IdentityInput::new(&tokens)], &ConditioningOptions::default());
            for input in graph.inputs() {
                let _ = graph.byte_size(&conditioning, &GraphCall::default(), &input.name);
            }
        }
    }
}
