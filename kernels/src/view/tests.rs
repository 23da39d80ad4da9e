use super::*;
use crate::error::ErrorKind;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[test]
fn views_outside_the_slice_are_refused() {
    let data = [0.0_f32; 24];
    assert!(TensorView::contiguous(&data, [1, 2, 3, 4]).is_ok());
    assert!(TensorView::contiguous(&data, [1, 2, 3, 5]).is_err());
    assert!(TensorView::new(&data, [2, 2, 3, 4], [0, 12, 4, 1]).is_ok());
    assert!(TensorView::new(&data, [2, 2, 3, 4], [1, 12, 4, 1]).is_err());
    assert!(TensorView::contiguous(&data, [usize::MAX, 2, 3, 4]).is_err());
    assert!(TensorView::new(&data, [2, 1, 1, 1], [usize::MAX, 1, 1, 1]).is_err());
    assert!(TensorView::new::<f32, 4>(&[], [0, 2, 3, 4], [1, 1, 1, 1]).is_ok());
}

#[test]
fn outputs_that_overlap_themselves_are_refused() {
    let mut data = [0.0_f32; 64];
    assert!(TensorViewMut::contiguous(&mut data, [1, 4, 2, 8]).is_ok());
    assert!(TensorViewMut::new(&mut data, [2, 4, 2, 4], [4, 8, 32, 1]).is_ok());
    assert!(TensorViewMut::new(&mut data, [2, 4, 2, 4], [0, 8, 32, 1]).is_err());
    assert!(TensorViewMut::new(&mut data, [1, 4, 2, 8], [0, 8, 4, 1]).is_err());
    assert!(TensorViewMut::new(&mut data, [2, 3], [1, 2]).is_ok());
    let error = TensorViewMut::new(&mut data, [2, 3], [0, 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn the_first_non_finite_value_is_found() {
    let mut data = vec![1.0_f32; 2 * 3 * 2 * 5];
    let shape = [2, 3, 2, 5];
    let found = |view: Result<TensorView<'_>>| view.unwrap().find_non_finite().unwrap();
    assert_eq!(found(TensorView::contiguous(&data, shape)), None);
    data[30 + 10 + 5 + 3] = f32::NEG_INFINITY;
    data[59] = f32::NAN;
    assert_eq!(found(TensorView::contiguous(&data, shape)), Some([1, 1, 1, 3]));
    let transposed = TensorView::new(&data, [2, 5, 2, 3], [30, 1, 5, 10]);
    assert_eq!(found(transposed), Some([1, 3, 1, 1]));
    let half: Vec<half::f16> = data.iter().map(|&x| half::f16::from_f32(x)).collect();
    assert_eq!(found(TensorView::contiguous(&half, shape)), Some([1, 1, 1, 3]));
    let brain: Vec<half::bf16> = data.iter().map(|&x| half::bf16::from_f32(x)).collect();
    assert_eq!(found(TensorView::contiguous(&brain, shape)), Some([1, 1, 1, 3]));
}

/// A view of memory of a GPU, which nothing here touches.
fn foreign(data: usize, element: Element, shape: &[usize], strides: &[usize]) -> Result<TensorView<'static>> {
    // SAFETY: only sizes and addresses are looked at.
    unsafe {
        TensorView::from_raw(
            std::ptr::without_provenance(data),
            Place::Cuda(0),
            element,
            shape,
            Some(strides),
        )
    }
}

#[test]
fn missing_dimensions_are_filled_up_in_front() {
    let view = foreign(512, Element::F16, &[9, 24], &[30, 1]).unwrap();
    assert_eq!(
        (view.shape(), view.strides(), view.dims()),
        ([1, 1, 9, 24], [0, 0, 30, 1], &[9, 24][..])
    );
    let scalar = foreign(512, Element::F32, &[], &[]).unwrap();
    assert_eq!((scalar.dims(), scalar.span()), (&[][..], 1));
}

#[test]
fn bad_foreign_tensors_are_refused() {
    type Case = (usize, &'static [usize], &'static [usize], ErrorKind, &'static str);
    let cases: [Case; 8] = [
        (0, &[4, 6], &[6, 1], ErrorKind::InvalidArgument, "NULL"),
        (258, &[4, 6], &[6, 1], ErrorKind::InvalidArgument, "0x102"),
        (256, &[4, 6], &[1], ErrorKind::InvalidArgument, "1 strides"),
        (256, &[1; 5], &[1; 5], ErrorKind::Unsupported, "5 dimensions"),
        (256, &[4, 6], &[usize::MAX, 1], ErrorKind::InvalidArgument, "4, 6"),
        (
            256,
            &[1 << 40, 1 << 40],
            &[0, 0],
            ErrorKind::InvalidArgument,
            "does not fit into memory",
        ),
        (
            256,
            &[1 << 61, 1],
            &[1, 1],
            ErrorKind::InvalidArgument,
            "does not fit into memory",
        ),
        (
            usize::MAX - 3,
            &[4, 6],
            &[6, 1],
            ErrorKind::InvalidArgument,
            "address space",
        ),
    ];
    for (data, shape, strides, kind, word) in cases {
        let error = foreign(data, Element::F32, shape, strides).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(word), "{error}");
    }
    assert!(foreign(0, Element::F32, &[0, usize::MAX], &[1, 1]).is_ok());
}

#[test]
fn memory_of_a_gpu_is_not_touched() {
    let view = foreign(256, Element::F32, &[2, 3], &[3, 1]).unwrap();
    assert_eq!(view.require_cpu().unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(view.find_non_finite().is_err());
    // SAFETY: refused before anything is written.
    let mut view = unsafe { view.writable() }.unwrap();
    assert!(view.copy_from(&[0.0; 6]).is_err());
}

#[test]
fn values_are_rounded_and_follow_the_strides() {
    let mut data = [half::f16::ZERO; 7];
    let mut view = TensorViewMut::new(&mut data, [2, 3], [1, 2]).unwrap();
    assert!(view.copy_from(&[0.0; 5]).is_err());
    view.copy_from(&[1.0, -2.0, 0.1, 4.0, 5.0, 6.0]).unwrap();
    // 0.1 rounds to 0x2E66 in IEEE half precision.
    let expected = [1.0, 4.0, -2.0, 5.0, half::f16::from_bits(0x2E66).to_f32(), 6.0, 0.0];
    assert_eq!(data.map(half::f16::to_f32), expected);
}

/// The offset of every element in row-major order, by brute force.
fn offsets(shape: [usize; 4], strides: [usize; 4]) -> Vec<usize> {
    let mut all = vec![0];
    for (extent, stride) in shape.into_iter().zip(strides) {
        all = all
            .iter()
            .flat_map(|at| (0..extent).map(move |i| at + i * stride))
            .collect();
    }
    all
}

/// Every element's offset from the start of the memory, by the view's own arithmetic.
fn own_offsets(view: &TensorView<'_>) -> Vec<usize> {
    let [a, b, c, d] = view.shape();
    let mut all = Vec::new();
    for index in 0..a * b * c * d {
        let at = [index / (b * c * d), index / (c * d) % b, index / d % c, index % d];
        all.push((view.at(at).addr() - view.data().addr()) / view.element().size());
    }
    all
}

fn any_layout() -> impl Strategy<Value = ([usize; 4], [usize; 4])> {
    (prop::array::uniform4(0..5_usize), prop::array::uniform4(0..30_usize))
}

/// A permuted part of a contiguous tensor: what hosts hand over.
fn part_of_a_tensor() -> impl Strategy<Value = ([usize; 4], [usize; 4])> {
    let sizes = prop::array::uniform4((1..4_usize, 0..3_usize));
    (sizes, Just([0, 1, 2, 3]).prop_shuffle()).prop_map(|(sizes, order)| {
        let [_, b, c, d] = sizes.map(|(size, cut)| size + cut);
        let strides = [b * c * d, c * d, d, 1];
        (order.map(|dim| sizes[dim].0), order.map(|dim| strides[dim]))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_view_reaches_what_its_shape_and_strides_say((shape, strides) in any_layout(), len in 0..400_usize) {
        let data = vec![0.0_f32; len];
        let expected = offsets(shape, strides);
        let fits = expected.iter().all(|&offset| offset < len);
        let view = TensorView::new(&data, shape, strides);
        prop_assert_eq!(view.is_ok(), fits);
        if let Ok(view) = view {
            prop_assert_eq!(own_offsets(&view), expected);
        }
    }

    #[test]
    fn a_writable_view_has_each_element_once((shape, strides) in any_layout()) {
        let mut data = vec![0.0_f32; 400];
        let all = offsets(shape, strides);
        let distinct = all.iter().collect::<BTreeSet<_>>().len() == all.len();
        // A view may be refused although its elements are distinct, never the other way round.
        prop_assert!(distinct || TensorViewMut::new(&mut data, shape, strides).is_err());
    }

    #[test]
    fn permuted_parts_of_tensors_can_be_written((shape, strides) in part_of_a_tensor()) {
        let mut data = vec![-1.0_f32; 700];
        let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(|i| i as f32).collect();
        TensorViewMut::new(&mut data, shape, strides).unwrap().copy_from(&values).unwrap();
        for (value, offset) in values.into_iter().zip(offsets(shape, strides)) {
            prop_assert_eq!(std::mem::replace(&mut data[offset], -1.0), value);
        }
        prop_assert!(data.iter().all(|&rest| rest == -1.0));
    }

    #[test]
    fn absurd_sizes_are_judged_without_overflow(
        shape in prop::collection::vec(prop_oneof![0..4_usize, any::<usize>()], 0..6),
        strides in prop::collection::vec(prop_oneof![0..4_usize, any::<usize>()], 0..6),
        address in any::<usize>(),
    ) {
        if let Ok(view) = foreign(address, Element::BF16, &shape, &strides) {
            let reach = |(&extent, &stride): (&usize, &usize)| (extent as u128 - 1) * stride as u128;
            let bytes = if shape.contains(&0) {
                0
            } else {
                2 * (1 + shape.iter().zip(&strides).map(reach).sum::<u128>())
            };
            prop_assert!(shape.len() == strides.len() && shape.len() <= MAX_RANK);
            prop_assert!(bytes == 0 || address as u128 + bytes <= usize::MAX as u128);
            prop_assert_eq!(view.span() as u128 * 2, bytes);
        }
    }

    #[test]
    fn transposing_and_splitting_keep_every_element(
        sizes in prop::array::uniform3(1..4_usize),
        strides in prop::array::uniform3(0..30_usize),
        parts in 1..4_usize,
    ) {
        let data = vec![0.0_f32; 400];
        let [a, b, width] = sizes;
        let view = TensorView::new(&data, [a, b, parts * width], strides).unwrap();
        let split = view.split_last(parts).unwrap();
        prop_assert_eq!(split.dims(), &[a, b, parts, width]);
        prop_assert_eq!(own_offsets(&split), own_offsets(&view));
        let swapped = split.transpose(1, 2).unwrap();
        prop_assert_eq!(swapped.dims(), &[a, parts, b, width]);
        let back = swapped.transpose(2, 1).unwrap();
        prop_assert_eq!(own_offsets(&back), own_offsets(&view));
        prop_assert!(view.split_last(parts * width + 1).is_err() && split.split_last(1).is_err());
        prop_assert!(view.transpose(0, 3).is_err());
    }

    #[test]
    fn views_with_a_common_element_overlap(
        (first, second) in ((any_layout(), 0..40_usize), (any_layout(), 0..40_usize)),
    ) {
        let data = vec![0.0_f32; 520];
        let make = |((shape, strides), start): (([usize; 4], [usize; 4]), usize)| {
            let all: BTreeSet<_> = offsets(shape, strides).into_iter().map(|at| start + at).collect();
            (TensorView::new(&data[start..], shape, strides).unwrap(), all)
        };
        let ((a, in_a), (b, in_b)) = (make(first), make(second));
        prop_assert_eq!(a.overlaps(&b), b.overlaps(&a));
        prop_assert!(in_a.is_disjoint(&in_b) || a.overlaps(&b));
        let behind = |a: &BTreeSet<usize>, b: &BTreeSet<usize>| a.last() < b.first();
        prop_assert!(!behind(&in_a, &in_b) || !a.overlaps(&b));
    }
}
