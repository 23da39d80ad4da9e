//! Injection calls that cannot work. The output stays bit for bit as it was.

use super::{encode, engine, refused};
use half::{bf16, f16};
use omniid::conditioning::{Conditioning, Mask, Role, Step, StepRange};
use omniid::engine::ConditionInput;
use omniid::inject::{Elements, ElementsMut, InjectCall, OutputView, QueryView, ViewLayout};
use omniid::ErrorKind;

/// Two rows, five image tokens: layer "first" has two heads of width 8.
const SHAPE: [usize; 4] = [2, 5, 2, 8];
const COUNT: usize = 160;

fn layout() -> ViewLayout {
    ViewLayout::rows_first(SHAPE[0], SHAPE[1], SHAPE[2], SHAPE[3])
}

fn conditioning(adjust: impl FnOnce(&mut ConditionInput<'_>)) -> Conditioning {
    let engine = engine();
    let identity = encode(&engine).unwrap();
    let mut input = ConditionInput::new(&identity);
    adjust(&mut input);
    engine.condition([input], &Default::default()).unwrap()
}

/// Runs one call on `query` and an output of ones, changed by `adjust`; an error must leave the output alone.
fn inject(
    conditioning: &Conditioning,
    query: &[f32],
    adjust: impl FnOnce(&mut InjectCall<'_>),
) -> omniid::Result<()> {
    let mut output = vec![1f32; COUNT];
    let mut call = InjectCall::new(
        0,
        QueryView::new(Elements::F32(query), layout())?,
        OutputView::new(ElementsMut::F32(&mut output), layout())?,
    );
    adjust(&mut call);
    let outcome = conditioning.inject(call);
    let untouched = output.iter().all(|value| *value == 1.0);
    assert_eq!(untouched, outcome.is_err(), "{outcome:?}");
    outcome
}

#[test]
fn queries_that_are_not_finite_are_named_and_nothing_is_written() {
    let conditioning = conditioning(|_| ());
    let sound = vec![0.1f32; COUNT];
    inject(&conditioning, &sound, |_| ()).unwrap();
    // Element 3 of head 1 of token 4 of row 1: the last head of the last token.
    let place = ((5 + 4) * 2 + 1) * 8 + 3;
    let words = ["batch row 1", "token 4", "head 1", "element 3"];
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut query = sound.clone();
        query[place] = bad;
        refused(
            "f32",
            inject(&conditioning, &query, |_| ()),
            ErrorKind::InvalidArgument,
            &words,
        );

        let halves: Vec<f16> = query.iter().map(|value| f16::from_f32(*value)).collect();
        let mut output = vec![f16::ONE; COUNT];
        let call = InjectCall::new(
            0,
            QueryView::new(Elements::F16(&halves), layout()).unwrap(),
            OutputView::new(ElementsMut::F16(&mut output), layout()).unwrap(),
        );
        refused(
            "f16",
            conditioning.inject(call),
            ErrorKind::InvalidArgument,
            &words,
        );
        assert!(output.iter().all(|value| *value == f16::ONE));

        let halves: Vec<bf16> = query.iter().map(|value| bf16::from_f32(*value)).collect();
        let mut output = vec![bf16::ONE; COUNT];
        let call = InjectCall::new(
            0,
            QueryView::new(Elements::Bf16(&halves), layout()).unwrap(),
            OutputView::new(ElementsMut::Bf16(&mut output), layout()).unwrap(),
        );
        refused(
            "bf16",
            conditioning.inject(call),
            ErrorKind::InvalidArgument,
            &words,
        );
        assert!(output.iter().all(|value| *value == bf16::ONE));
    }
    // The same element in memory with gaps between its neighbours.
    let mut gaps = vec![f32::NAN; COUNT * 2];
    gaps.iter_mut().step_by(2).for_each(|value| *value = 0.1);
    let strides = layout().strides.map(|stride| stride * 2);
    let apart = ViewLayout {
        shape: SHAPE,
        strides,
    };
    inject(&conditioning, &sound, |_| ()).unwrap();
    let mut output = vec![1f32; COUNT];
    for (bad, accepted) in [(0.1, true), (f32::NAN, false)] {
        gaps[place * 2] = bad;
        let call = InjectCall::new(
            0,
            QueryView::new(Elements::F32(&gaps), apart).unwrap(),
            OutputView::new(ElementsMut::F32(&mut output), layout()).unwrap(),
        );
        let outcome = conditioning.inject(call);
        assert_eq!(
            outcome.is_ok(),
            accepted,
            "what lies between the elements is not looked at: {outcome:?}"
        );
        if !accepted {
            refused("with gaps", outcome, ErrorKind::InvalidArgument, &words);
        }
    }
}

#[test]
fn calls_that_cannot_work() {
    let plain = conditioning(|_| ());
    let query = vec![0.1f32; COUNT];
    let invalid = ErrorKind::InvalidArgument;
    refused(
        "layer",
        inject(&plain, &query, |call| call.layer = 2),
        invalid,
        &["no layer 2", "2 layers"],
    );
    refused(
        "layer",
        inject(&plain, &query, |call| call.layer = usize::MAX),
        invalid,
        &["no layer"],
    );
    refused(
        "another layer",
        inject(&plain, &query, |call| call.layer = 1),
        ErrorKind::Mismatch,
        &["\"second\"", "4 heads"],
    );
    refused(
        "roles",
        inject(&plain, &query, |call| call.roles = &[Role::Conditional; 3]),
        invalid,
        &["3 roles", "2 batch rows"],
    );
    for scale in [f32::NAN, f32::INFINITY] {
        refused(
            "scale",
            inject(&plain, &query, |call| call.scale = scale),
            invalid,
            &["scale", &scale.to_string()],
        );
    }

    let ranged = conditioning(|input| {
        input.steps = StepRange::Sigma {
            start: 10.0,
            end: 1.0,
        }
    });
    refused("no sigma", inject(&ranged, &query, |_| ()), invalid, &["sigma"]);
    let step = |sigma: f64| Step {
        sigma: Some(sigma),
        ..Step::default()
    };
    refused(
        "NaN sigma",
        inject(&ranged, &query, |call| call.step = step(f64::NAN)),
        invalid,
        &["sigma", "NaN"],
    );
    inject(&ranged, &query, |call| call.step = step(5.0)).unwrap();

    let masked = conditioning(|input| input.mask = Some(Mask::new(1, 1, &[1.0]).unwrap()));
    refused(
        "no latent size",
        inject(&masked, &query, |_| ()),
        invalid,
        &["latent"],
    );
    for latent in [(0, 5), (5, 0), (7, 9), (usize::MAX, usize::MAX)] {
        refused(
            "latent size",
            inject(&masked, &query, |call| call.latent = Some(latent)),
            invalid,
            &[],
        );
    }
    inject(&masked, &query, |call| call.latent = Some((1, 5))).unwrap();
}

#[test]
fn query_and_output_must_agree() {
    let conditioning = conditioning(|_| ());
    let query = vec![0.1f32; COUNT];
    let mut halves = vec![f16::ONE; COUNT];
    let call = InjectCall::new(
        0,
        QueryView::new(Elements::F32(&query), layout()).unwrap(),
        OutputView::new(ElementsMut::F16(&mut halves), layout()).unwrap(),
    );
    refused(
        "number types",
        conditioning.inject(call),
        ErrorKind::Mismatch,
        &["F32", "F16"],
    );
    let mut output = vec![1f32; COUNT];
    for shape in [[1, 5, 2, 8], [2, 4, 2, 8]] {
        let [batch, rows, heads, head_dim] = shape;
        let other = ViewLayout::rows_first(batch, rows, heads, head_dim);
        let call = InjectCall::new(
            0,
            QueryView::new(Elements::F32(&query), layout()).unwrap(),
            OutputView::new(ElementsMut::F32(&mut output), other).unwrap(),
        );
        let shown = format!("{shape:?}");
        refused(
            "shapes",
            conditioning.inject(call),
            ErrorKind::Mismatch,
            &["[2, 5, 2, 8]", &shown],
        );
    }
}

#[test]
fn views_that_leave_their_memory() {
    let query = vec![0.1f32; COUNT];
    let cases = [
        ("one element short", &query[1..], layout()),
        ("no memory", &[][..], layout()),
        ("no rows", &query[..], ViewLayout::rows_first(2, 0, 2, 8)),
        (
            "a stride too far",
            &query[..],
            ViewLayout {
                strides: [81, 16, 8, 1],
                ..layout()
            },
        ),
        (
            "a stride that overflows",
            &query[..],
            ViewLayout {
                strides: [usize::MAX, 16, 8, 1],
                ..layout()
            },
        ),
        (
            "a shape that overflows",
            &query[..],
            ViewLayout::rows_first(usize::MAX, usize::MAX, 2, 8),
        ),
    ];
    for (case, memory, layout) in cases {
        let mut copy = memory.to_vec();
        refused(
            case,
            QueryView::new(Elements::F32(memory), layout),
            ErrorKind::InvalidArgument,
            &["query"],
        );
        let output = OutputView::new(ElementsMut::F32(&mut copy), layout);
        refused(case, output, ErrorKind::InvalidArgument, &["output"]);
    }
    let mut memory = query;
    let repeated = ViewLayout {
        strides: [0, 16, 8, 1],
        ..layout()
    };
    let output = OutputView::new(ElementsMut::F32(&mut memory), repeated);
    refused(
        "rows on one place",
        output,
        ErrorKind::InvalidArgument,
        &["output", "overlaps itself"],
    );
}
