//! Injection calls that cannot work. The output stays bit for bit as it was.

use super::{encode, engine, refused};
use half::{bf16, f16};
use omniid::conditioning::{Conditioning, Mask, Role, Step, StepRange};
use omniid::engine::ConditioningInput;
use omniid::inject::{InjectCall, TensorView, TensorViewMut};
use omniid::ErrorKind;

/// Two rows, five image tokens: layer "first" has two heads of width 8.
const SHAPE: [usize; 4] = [2, 5, 2, 8];
const COUNT: usize = 160;

/// Strides of contiguous memory.
const STRIDES: [usize; 4] = [80, 16, 8, 1];

fn conditioning(adjust: impl FnOnce(&mut ConditioningInput<'_>)) -> Conditioning {
    let engine = engine();
    let identity = encode(&engine).unwrap();
    let mut input = ConditioningInput::new(&identity);
    adjust(&mut input);
    engine.condition([input], &Default::default()).unwrap()
}

/// Runs one call on `query` and an output of ones, changed by `adjust`; an error must leave the output alone.
fn inject(conditioning: &Conditioning, query: &[f32], adjust: impl FnOnce(&mut InjectCall<'_>)) -> omniid::Result<()> {
    let mut output = vec![1f32; COUNT];
    let mut call = InjectCall::new(
        0,
        TensorView::contiguous(query, SHAPE)?,
        TensorViewMut::contiguous(&mut output, SHAPE)?,
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
            TensorView::contiguous(&halves, SHAPE).unwrap(),
            TensorViewMut::contiguous(&mut output, SHAPE).unwrap(),
        );
        refused("f16", conditioning.inject(call), ErrorKind::InvalidArgument, &words);
        assert!(output.iter().all(|value| *value == f16::ONE));

        let halves: Vec<bf16> = query.iter().map(|value| bf16::from_f32(*value)).collect();
        let mut output = vec![bf16::ONE; COUNT];
        let call = InjectCall::new(
            0,
            TensorView::contiguous(&halves, SHAPE).unwrap(),
            TensorViewMut::contiguous(&mut output, SHAPE).unwrap(),
        );
        refused("bf16", conditioning.inject(call), ErrorKind::InvalidArgument, &words);
        assert!(output.iter().all(|value| *value == bf16::ONE));
    }
    // The same element in memory with gaps between its neighbours.
    let mut gaps = vec![f32::NAN; COUNT * 2];
    gaps.iter_mut().step_by(2).for_each(|value| *value = 0.1);
    let apart = STRIDES.map(|stride| stride * 2);
    inject(&conditioning, &sound, |_| ()).unwrap();
    let mut output = vec![1f32; COUNT];
    for (bad, accepted) in [(0.1, true), (f32::NAN, false)] {
        gaps[place * 2] = bad;
        let call = InjectCall::new(
            0,
            TensorView::new(&gaps, SHAPE, apart).unwrap(),
            TensorViewMut::contiguous(&mut output, SHAPE).unwrap(),
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

    let ranged = conditioning(|input| input.steps = StepRange::Sigma { start: 10.0, end: 1.0 });
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
    refused("no latent size", inject(&masked, &query, |_| ()), invalid, &["latent"]);
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
        TensorView::contiguous(&query, SHAPE).unwrap(),
        TensorViewMut::contiguous(&mut halves, SHAPE).unwrap(),
    );
    refused(
        "number types",
        conditioning.inject(call),
        ErrorKind::Mismatch,
        &["F32", "F16"],
    );
    let mut output = vec![1f32; COUNT];
    for shape in [[1, 5, 2, 8], [2, 4, 2, 8]] {
        let call = InjectCall::new(
            0,
            TensorView::contiguous(&query, SHAPE).unwrap(),
            TensorViewMut::contiguous(&mut output, shape).unwrap(),
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
        ("one element short", &query[1..], SHAPE, STRIDES),
        ("no memory", &[][..], SHAPE, STRIDES),
        ("a stride too far", &query[..], SHAPE, [81, 16, 8, 1]),
        ("a stride that overflows", &query[..], SHAPE, [usize::MAX, 16, 8, 1]),
        (
            "a shape that overflows",
            &query[..],
            [usize::MAX, usize::MAX, 2, 8],
            STRIDES,
        ),
    ];
    for (case, memory, shape, strides) in cases {
        let mut copy = memory.to_vec();
        let shown = [format!("{shape:?}"), format!("{strides:?}")];
        let words = shown.each_ref().map(String::as_str);
        let view = TensorView::new(memory, shape, strides);
        refused(case, view, ErrorKind::InvalidArgument, &words);
        let view = TensorViewMut::new(&mut copy, shape, strides);
        refused(case, view, ErrorKind::InvalidArgument, &words);
    }
    let mut memory = query.clone();
    refused(
        "rows on one place",
        TensorViewMut::new(&mut memory, SHAPE, [0, 16, 8, 1]),
        ErrorKind::InvalidArgument,
        &["[2, 5, 2, 8]", "overlaps itself"],
    );
}

#[test]
fn tensors_without_rows_or_heads() {
    let conditioning = conditioning(|_| ());
    let query = vec![0.1f32; COUNT];
    let mut output = vec![1f32; COUNT];
    for (shape, other) in [
        ([2, 0, 2, 8], SHAPE),
        (SHAPE, [2, 0, 2, 8]),
        ([2, 0, 2, 8], [2, 0, 2, 8]),
    ] {
        let call = InjectCall::new(
            0,
            TensorView::contiguous(&query, shape).unwrap(),
            TensorViewMut::contiguous(&mut output, other).unwrap(),
        );
        refused(
            "no rows",
            conditioning.inject(call),
            ErrorKind::InvalidArgument,
            &["query", "output", "empty"],
        );
    }
    for shape in [[2, 1, 80], [2, 80, 1]] {
        let call = InjectCall::new(
            0,
            TensorView::contiguous(&query, shape).unwrap(),
            TensorViewMut::contiguous(&mut output, SHAPE).unwrap(),
        );
        let shown = format!("{shape:?}");
        refused(
            "another width",
            conditioning.inject(call),
            ErrorKind::Mismatch,
            &["query", &shown],
        );
    }
    let call = InjectCall::new(
        0,
        TensorView::contiguous(&query, [10, 16]).unwrap(),
        TensorViewMut::contiguous(&mut output, SHAPE).unwrap(),
    );
    refused(
        "two dimensions",
        conditioning.inject(call),
        ErrorKind::InvalidArgument,
        &["query", "[10, 16]"],
    );
}
