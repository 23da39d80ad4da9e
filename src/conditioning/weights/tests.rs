//! The table of effective weights, typed in from its publication.

use super::*;
use crate::error::ErrorKind;
use crate::host::HostSpec;

const W: f32 = 0.8;
const C: f32 = 0.5;
const SB: f32 = 1.5;
const CB: f32 = 0.6;

/// Effective weight by t for one type: SD1.5 (16), SDXL (11).
type Row = (&'static str, [f32; 16], [f32; 11]);

#[rustfmt::skip]
const ROLES: [Row; 7] = [
    ("style transfer", [W, W, W, W, 0., 0., 0., 0., 0., W, W, W, W, W, W, W],
        [0., 0., 0., 0., 0., 0., W, 0., 0., 0., 0.]),
    ("composition", [0., 0., 0., 0., 0.25 * W, W, 0., 0., 0., 0., 0., 0., 0., 0., 0., 0.],
        [0., 0., 0., W, 0., 0., 0., 0., 0., 0., 0.]),
    ("strong style transfer", [W, W, W, W, 0., 0., W, W, W, W, W, W, W, W, W, W],
        [W, W, W, 0., W, W, W, W, W, W, W]),
    ("style and composition", [W, W, W, W, 0.25 * C, C, 0., 0., 0., W, W, W, W, W, W, W],
        [0., 0., 0., C, 0., 0., W, 0., 0., 0., 0.]),
    ("strong style and composition", [W, W, W, W, C, C, W, W, W, W, W, W, W, W, W, W],
        [W, W, W, C, W, W, W, W, W, W, W]),
    ("style transfer precise", [W, W, W, W, 0.25 * SB, SB, 0., 0., 0., W, W, W, W, W, W, W],
        [0., 0., 0., SB, 0., 0., W, 0., 0., 0., 0.]),
    ("composition precise", [CB, CB, CB, CB, 0.25 * W, W, 0.1 * CB, 0.1 * CB, 0.1 * CB, CB, CB, CB, CB, CB, CB, CB],
        [0.1 * CB, 0.1 * CB, 0.1 * CB, W, 0.1 * CB, 0.1 * CB, CB, 0.1 * CB, 0.1 * CB, 0.1 * CB, 0.1 * CB]),
];

fn weights() -> Weights {
    Weights {
        identity: W,
        composition: Some(C),
        style_boost: Some(SB),
        composition_boost: Some(CB),
    }
}

fn of(kind: WeightType, host: &HostSpec, index: usize) -> LayerWeight {
    layer_weight(kind, host, &host.layers()[index], &weights()).unwrap()
}

#[test]
fn role_types_follow_the_table() {
    let (sd15, sdxl) = (HostSpec::sd15(), HostSpec::sdxl());
    for (name, small, large) in ROLES {
        let kind = WeightType::from_name(name).unwrap();
        for (host, table) in [(&sd15, &small[..]), (&sdxl, &large[..])] {
            for (index, layer) in host.layers().iter().enumerate() {
                let weight = of(kind, host, index).weight;
                assert!(
                    (weight - table[layer.execution]).abs() < 1e-6,
                    "{name} t {}: {weight}",
                    layer.execution
                );
            }
        }
    }
}

#[test]
fn eased_types_follow_their_formulas() {
    for (host, l) in [(HostSpec::sd15(), 16.0f32), (HostSpec::sdxl(), 11.0)] {
        for (index, layer) in host.layers().iter().enumerate() {
            let t = layer.execution as f32;
            let bump = ((t - l / 2.0) / (l / 2.0)).abs();
            let table = [
                ("linear", W),
                ("ease in", W * 0.05 + W * 0.95 * (1.0 - t / l)),
                ("ease out", W * 0.05 + W * 0.95 * t / l),
                ("ease in-out", W * 0.05 + W * 0.95 * (1.0 - bump)),
                ("reverse in-out", W * 0.05 + W * 0.95 * bump),
            ];
            for (name, expected) in table {
                let weight = of(WeightType::from_name(name).unwrap(), &host, index);
                assert!(
                    (weight.weight - expected).abs() < 1e-6,
                    "{name} t {t}: {}",
                    weight.weight
                );
                assert_eq!(weight.source, TokenSource::Identity);
            }
        }
    }
}

#[test]
fn block_types_weaken_their_blocks() {
    for host in [HostSpec::sd15(), HostSpec::sdxl()] {
        for (index, layer) in host.layers().iter().enumerate() {
            let place = ["down", "mid", "up"]
                .iter()
                .position(|place| layer.name.starts_with(place))
                .unwrap();
            let table = [
                ("weak input", [0.2, 1.0, 1.0]),
                ("weak middle", [1.0, 0.2, 1.0]),
                ("weak output", [1.0, 1.0, 0.2]),
                ("strong middle", [0.2, 1.0, 0.2]),
            ];
            for (name, factors) in table {
                let weight = of(WeightType::from_name(name).unwrap(), &host, index).weight;
                assert!((weight - W * factors[place]).abs() < 1e-6, "{name} {}", layer.name);
            }
        }
    }
}

#[test]
fn precise_types_swap_the_other_roles_layers() {
    for (host, composition) in [(HostSpec::sd15(), &[4, 5][..]), (HostSpec::sdxl(), &[3][..])] {
        for (index, layer) in host.layers().iter().enumerate() {
            let is_composition = composition.contains(&layer.execution);
            let swapped = |kind| of(kind, &host, index).source == TokenSource::Swapped;
            assert_eq!(
                swapped(WeightType::StyleTransferPrecise),
                is_composition,
                "{}",
                layer.name
            );
            assert_eq!(
                swapped(WeightType::CompositionPrecise),
                !is_composition,
                "{}",
                layer.name
            );
            let source = of(WeightType::StyleAndComposition, &host, index).source;
            assert_eq!(source == TokenSource::Composition, is_composition, "{}", layer.name);
        }
    }
}

#[test]
fn unset_weights_are_the_identitys_own() {
    let host = HostSpec::sdxl();
    let plain = Weights {
        identity: W,
        composition: None,
        style_boost: None,
        composition_boost: None,
    };
    for kind in [
        WeightType::StyleAndComposition,
        WeightType::StyleTransferPrecise,
        WeightType::CompositionPrecise,
    ] {
        for layer in host.layers().iter().filter(|layer| [3, 6].contains(&layer.execution)) {
            assert_eq!(
                layer_weight(kind, &host, layer, &plain).unwrap().weight,
                W,
                "{}",
                kind.name()
            );
        }
    }
}

#[test]
fn a_host_of_another_design_gets_the_general_types_only() {
    let host = HostSpec::flux();
    for kind in WeightType::all() {
        let result = layer_weight(kind, &host, &host.layers()[18], &weights());
        if (kind as i32) <= WeightType::ReverseInOut as i32 {
            let expected = match kind {
                WeightType::EaseOut => W * (0.05 + 0.95 * 18.0 / 19.0),
                WeightType::EaseIn => W * (0.05 + 0.95 / 19.0),
                WeightType::EaseInOut => W * (0.05 + 0.95 * (1.0 - 8.5 / 9.5)),
                WeightType::ReverseInOut => W * (0.05 + 0.95 * 8.5 / 9.5),
                _ => W,
            };
            assert!((result.unwrap().weight - expected).abs() < 1e-6);
        } else {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.message().contains(kind.name()), "{error}");
        }
    }
}

#[test]
fn names_and_numbers_are_one_to_one() {
    for (number, kind) in WeightType::all().enumerate() {
        assert_eq!(WeightType::from_number(number as i32), Some(kind));
        assert_eq!(WeightType::from_name(kind.name()).unwrap(), kind);
    }
    assert_eq!(WeightType::from_number(16), None);
    assert!(WeightType::from_name("style")
        .unwrap_err()
        .message()
        .contains("ease in-out"));
}
