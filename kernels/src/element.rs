//! Element types of tensors in memory.

use crate::error::{Error, Result};
use candle_core::DType;
use half::{bf16, f16};

/// The number format of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Element {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// bfloat16: the upper half of a binary32.
    BF16,
}

impl Element {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }
}

impl TryFrom<DType> for Element {
    type Error = Error;

    /// [`Unsupported`](crate::ErrorKind::Unsupported) for other number types.
    fn try_from(dtype: DType) -> Result<Self> {
        match dtype {
            DType::F32 => Ok(Self::F32),
            DType::F16 => Ok(Self::F16),
            DType::BF16 => Ok(Self::BF16),
            other => Err(Error::unsupported(format!(
                "elements of type {other:?}; supported are f32, f16 and bf16"
            ))),
        }
    }
}

impl From<Element> for DType {
    fn from(element: Element) -> Self {
        match element {
            Element::F32 => Self::F32,
            Element::F16 => Self::F16,
            Element::BF16 => Self::BF16,
        }
    }
}

/// A Rust type that is one of the [`Element`]s.
pub trait Scalar: Copy + Send + Sync + private::Sealed + 'static {
    /// The element type it stands for.
    const ELEMENT: Element;
    /// To f32; exact.
    fn widen(self) -> f32;
    /// From f32, to the nearest value, ties to even.
    fn narrow(value: f32) -> Self;
}

mod private {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::f16 {}
    impl Sealed for half::bf16 {}
}

impl Scalar for f32 {
    const ELEMENT: Element = Element::F32;
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
    #[inline(always)]
    fn narrow(value: f32) -> Self {
        value
    }
}

impl Scalar for f16 {
    const ELEMENT: Element = Element::F16;
    #[inline(always)]
    fn widen(self) -> f32 {
        self.to_f32()
    }
    #[inline(always)]
    fn narrow(value: f32) -> Self {
        Self::from_f32(value)
    }
}

impl Scalar for bf16 {
    const ELEMENT: Element = Element::BF16;
    #[inline(always)]
    fn widen(self) -> f32 {
        self.to_f32()
    }
    #[inline(always)]
    fn narrow(value: f32) -> Self {
        Self::from_f32(value)
    }
}
