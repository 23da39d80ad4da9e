//! The number type of matrix products in training.

use crate::simd::Isa;
use crate::threads::scoped;
use crate::Element;
use std::cell::Cell;

thread_local! {
    static PRODUCTS: Cell<Element> = const { Cell::new(Element::F32) };
}

/// Runs `function` with the matrix products of the [differentiable operations](super) that this thread starts
/// in `element`.
///
/// [`Element::BF16`] rounds the operands of the products of linear layers to bf16 and sums in f32, about twice as
/// fast where the processor multiplies bf16; other processors keep f32. [`Element::F16`] means f32. Results,
/// normalisation, softmax and activations are f32 always. The backward pass of an operation uses the type that
/// its forward pass was started with, wherever it runs. Without `autocast` products are f32.
pub fn autocast<R>(element: Element, function: impl FnOnce() -> R) -> R {
    scoped(&PRODUCTS, element, function)
}

/// The number type that [`autocast`] chose for this thread.
fn autocast_element() -> Element {
    PRODUCTS.get()
}

/// The number type in which this thread's products are made on this processor.
pub(super) fn product_element() -> Element {
    match autocast_element() {
        // Rounded weights would cost exactness and bring nothing.
        Element::BF16 if !Isa::current().multiplies_bf16() => Element::F32,
        element => element,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_nest_and_end_also_by_a_panic() {
        assert_eq!(autocast_element(), Element::F32);
        autocast(Element::BF16, || {
            assert_eq!(autocast_element(), Element::BF16);
            autocast(Element::F32, || assert_eq!(autocast_element(), Element::F32));
            let panicked =
                std::panic::catch_unwind(|| autocast(Element::F16, || std::panic::resume_unwind(Box::new("unwind"))));
            assert!(panicked.is_err());
            assert_eq!(autocast_element(), Element::BF16);
            let other = std::thread::spawn(autocast_element).join();
            assert_eq!(other.ok(), Some(Element::F32), "the choice belongs to the thread");
        });
        assert_eq!(autocast_element(), Element::F32);
    }
}
