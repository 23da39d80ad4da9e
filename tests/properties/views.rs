use omniid::inject::{TensorView, TensorViewMut};
use omniid::ErrorKind;
use proptest::prelude::*;
use std::collections::HashSet;

/// Sizes and strides of four small dimensions.
fn layout() -> impl Strategy<Value = ([usize; 4], [usize; 4])> {
    (prop::array::uniform4(0usize..5), prop::array::uniform4(0usize..40))
}

/// Sizes and strides of a tensor that was laid out in some order of its dimensions, with gaps.
fn distinct_layout() -> impl Strategy<Value = ([usize; 4], [usize; 4])> {
    let order = Just([0usize, 1, 2, 3]).prop_shuffle();
    (
        prop::array::uniform4(1usize..5),
        prop::array::uniform4(0usize..3),
        order,
    )
        .prop_map(|(shape, gaps, order)| {
            let mut strides = [0; 4];
            let mut next = 1;
            for dim in order {
                strides[dim] = next + gaps[dim];
                next = strides[dim] * shape[dim];
            }
            (shape, strides)
        })
}

/// Every index of a shape and its place in memory.
fn places(shape: [usize; 4], strides: [usize; 4]) -> Vec<([usize; 4], usize)> {
    let [a, b, c, d] = shape;
    let mut all = Vec::new();
    for index in (0..a * b * c * d).map(|i| [i / (b * c * d), i / (c * d) % b, i / d % c, i % d]) {
        all.push((index, index.iter().zip(strides).map(|(i, stride)| i * stride).sum()));
    }
    all
}

/// Elements from the first to the last one.
fn span(shape: [usize; 4], strides: [usize; 4]) -> usize {
    places(shape, strides)
        .iter()
        .map(|(_, place)| place + 1)
        .max()
        .unwrap_or(0)
}

proptest! {
    #[test]
    fn a_view_is_accepted_exactly_when_every_index_has_memory((shape, strides) in layout(), len in 0usize..300) {
        let view = TensorView::new(&vec![0.0f32; len], shape, strides).map(|view| view.span());
        match view {
            Ok(found) => prop_assert!(found == span(shape, strides) && found <= len),
            Err(error) => {
                prop_assert!(span(shape, strides) > len);
                prop_assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            }
        }
    }

    #[test]
    fn any_numbers_are_checked_without_overflow(
        shape in prop::array::uniform4(any::<usize>()),
        strides in prop::array::uniform4(any::<usize>()),
    ) {
        let data = [0.0f32; 16];
        if let Ok(view) = TensorView::new(&data, shape, strides) {
            prop_assert!(view.span() <= data.len());
        }
    }

    #[test]
    fn what_may_be_written_has_a_place_for_every_index((shape, strides) in layout()) {
        let mut data = vec![0.0f32; span(shape, strides)];
        let all = places(shape, strides);
        if TensorViewMut::new(&mut data, shape, strides).is_ok() {
            let own: HashSet<_> = all.iter().map(|(_, place)| place).collect();
            prop_assert_eq!(own.len(), all.len());
        }
    }

    #[test]
    fn a_tensor_in_any_order_with_gaps_may_be_written((shape, strides) in distinct_layout()) {
        let mut data = vec![0.0f32; span(shape, strides)];
        prop_assert!(TensorViewMut::new(&mut data, shape, strides).is_ok());
    }

    #[test]
    fn every_element_is_read_where_it_is_and_no_gap(
        (shape, strides) in distinct_layout(),
        chosen in any::<prop::sample::Index>(),
        (first, second) in (0usize..4, 0usize..4),
    ) {
        let all = places(shape, strides);
        let own: HashSet<_> = all.iter().map(|(_, place)| *place).collect();
        let mut data: Vec<f32> = (0..span(shape, strides)).map(|i| if own.contains(&i) { 0.0 } else { f32::NAN }).collect();
        prop_assert_eq!(TensorView::new(&data, shape, strides).unwrap().find_non_finite().unwrap(), None);
        let (index, place) = all[chosen.index(all.len())];
        data[place] = f32::INFINITY;
        let view = TensorView::new(&data, shape, strides).unwrap();
        prop_assert_eq!(view.find_non_finite().unwrap(), Some(index));
        // The same element, found under its index in the transposed view.
        let transposed = view.transpose(first, second).unwrap();
        let mut exchanged = index;
        exchanged.swap(first, second);
        prop_assert_eq!(transposed.find_non_finite().unwrap(), Some(exchanged));
        prop_assert_eq!(transposed.transpose(first, second).unwrap().strides(), view.strides());
    }

    #[test]
    fn heads_are_parts_of_the_last_dimension(
        (batch, rows, heads, width) in (1usize..4, 1usize..4, 1usize..4, 1usize..5),
        chosen in any::<prop::sample::Index>(),
    ) {
        let mut data = vec![0.0f32; batch * rows * heads * width];
        let place = chosen.index(data.len());
        data[place] = f32::NAN;
        let flat = TensorView::contiguous(&data, [batch, rows, heads * width]).unwrap();
        let index = [place / width / heads / rows, place / width / heads % rows, place / width % heads, place % width];
        prop_assert_eq!(flat.split_last(heads).unwrap().find_non_finite().unwrap(), Some(index));
        prop_assert!(flat.split_last(heads * width + 1).is_err());
    }

    #[test]
    fn views_that_share_an_element_overlap(
        (shape, strides) in layout(),
        (other_shape, other_strides) in layout(),
        offset in 0usize..200,
    ) {
        let data = vec![0.0f32; 1000];
        let view = TensorView::new(&data, shape, strides).unwrap();
        let other = TensorView::new(&data[offset..], other_shape, other_strides).unwrap();
        let own: HashSet<_> = places(shape, strides).iter().map(|(_, place)| *place).collect();
        let shared = places(other_shape, other_strides).iter().any(|(_, place)| own.contains(&(place + offset)));
        prop_assert!(!shared || view.overlaps(&other));
        prop_assert_eq!(view.overlaps(&other), other.overlaps(&view));
    }
}
