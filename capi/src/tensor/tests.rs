use super::*;
use omniid::ErrorKind;
use std::sync::Arc;

const F32: TensorType = TensorType {
    code: 2,
    bits: 32,
    lanes: 1,
};
const F16: TensorType = TensorType {
    code: 2,
    bits: 16,
    lanes: 1,
};

struct Host {
    memory: Vec<f32>,
    shape: Vec<i64>,
    strides: Option<Vec<i64>>,
}

impl Host {
    fn new(shape: &[i64], strides: Option<&[i64]>) -> Self {
        Self {
            memory: vec![0.0; 64],
            shape: shape.to_vec(),
            strides: strides.map(<[i64]>::to_vec),
        }
    }

    fn tensor(&mut self) -> omniid_tensor {
        omniid_tensor {
            data: self.memory.as_mut_ptr().cast(),
            device: ON_CPU,
            ndim: self.shape.len() as i32,
            dtype: F32,
            shape: self.shape.as_mut_ptr(),
            strides: self
                .strides
                .as_mut()
                .map_or(ptr::null_mut(), |strides| strides.as_mut_ptr()),
            byte_offset: 0,
        }
    }
}

fn view<'a>(tensor: &omniid_tensor) -> Result<TensorView<'a>> {
    // SAFETY: made by `Host`, which outlives the view in each test; shapes and strides are as long as `ndim`.
    unsafe { super::view(tensor, "query") }
}

/// The f32 values from the first to the last element of a view, which must be contiguous.
fn elements<'a>(view: &TensorView<'a>, count: usize) -> &'a [f32] {
    assert_eq!(view.element(), Element::F32);
    // SAFETY: the tests know how many elements their tensors have.
    unsafe { std::slice::from_raw_parts(view.data().cast(), count) }
}

fn refused(tensor: &omniid_tensor, kind: ErrorKind, says: &str) {
    let error = view(tensor).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(
        error.message().starts_with("query: ") && error.message().contains(says),
        "{error}"
    );
}

#[test]
fn strides_given_or_not() {
    let mut host = Host::new(&[2, 3, 4], None);
    let plain = view(&host.tensor()).unwrap();
    assert_eq!((plain.dims(), plain.strides()), (&[2usize, 3, 4][..], [0, 12, 4, 1]));
    assert_eq!(plain.span(), 24);
    let mut host = Host::new(&[2, 1, 4], Some(&[20, -7, 2]));
    let skipping = view(&host.tensor()).unwrap();
    assert_eq!(
        skipping.strides(),
        [0, 20, 0, 2],
        "the stride of a dimension of size 1 does not matter"
    );
    assert_eq!(skipping.span(), 20 + 6 + 1);
    let scalar = view(&Host::new(&[], None).tensor()).unwrap();
    assert_eq!((scalar.dims(), scalar.span()), (&[][..], 1));
}

#[test]
fn byte_offset_counts_and_alignment_is_checked() {
    let mut host = Host::new(&[2], None);
    host.memory[3] = 7.0;
    let mut tensor = host.tensor();
    tensor.byte_offset = 12;
    assert_eq!(elements(&view(&tensor).unwrap(), 2), [7.0, 0.0]);
    tensor.byte_offset = 2;
    refused(&tensor, ErrorKind::InvalidArgument, "not a multiple of its size, 4");
    tensor.dtype = F16;
    assert!(view(&tensor).is_ok());
    tensor.byte_offset = u64::MAX - 7;
    refused(&tensor, ErrorKind::InvalidArgument, "leave the address space");
}

#[test]
fn absurd_tensors_are_refused() {
    let mut host = Host::new(&[2, 3], Some(&[3, 1]));
    let good = host.tensor();
    refused(
        &omniid_tensor {
            data: ptr::null_mut(),
            ..good
        },
        ErrorKind::InvalidArgument,
        "data is NULL",
    );
    refused(
        &omniid_tensor {
            shape: ptr::null_mut(),
            ..good
        },
        ErrorKind::InvalidArgument,
        "NULL",
    );
    refused(
        &omniid_tensor { ndim: 5, ..good },
        ErrorKind::Unsupported,
        "5 dimensions",
    );
    refused(
        &omniid_tensor { ndim: -1, ..good },
        ErrorKind::Unsupported,
        "-1 dimensions",
    );
    let device = |device_type, device_id| omniid_tensor {
        device: TensorDevice { device_type, device_id },
        ..good
    };
    refused(&device(7, 0), ErrorKind::Unsupported, "device type 7");
    refused(&device(2, -1), ErrorKind::InvalidArgument, "CUDA device -1");
    assert_eq!(view(&device(2, 3)).unwrap().place(), Place::Cuda(3));
    assert_eq!(
        view(&device(2, 3)).unwrap().require_cpu().unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    for (code, bits, lanes) in [(2, 64, 1), (0, 32, 1), (4, 32, 1), (2, 32, 2), (2, 0, 1), (255, 16, 1)] {
        let dtype = TensorType { code, bits, lanes };
        refused(
            &omniid_tensor { dtype, ..good },
            ErrorKind::Unsupported,
            "DLPack type code",
        );
    }
    refused(
        &Host::new(&[2, -3], None).tensor(),
        ErrorKind::InvalidArgument,
        "dimension 1 has size -3",
    );
    refused(
        &Host::new(&[2, 3], Some(&[-3, 1])).tensor(),
        ErrorKind::Unsupported,
        "stride -3",
    );
    for shape in [[i64::MAX, 2], [i64::MAX, i64::MAX], [1 << 61, 1]] {
        refused(
            &Host::new(&shape, None).tensor(),
            ErrorKind::InvalidArgument,
            "does not fit into memory",
        );
    }
    refused(
        &Host::new(&[2, 2], Some(&[i64::MAX, 1])).tensor(),
        ErrorKind::InvalidArgument,
        "does not fit",
    );
    assert!(view(&Host::new(&[0, i64::MAX], None).tensor()).unwrap().is_empty());
    // SAFETY: NULL is allowed.
    assert!(unsafe { super::view(ptr::null(), "query") }.is_err());
}

#[test]
fn filling_follows_strides_and_rounds() {
    let mut host = Host::new(&[2, 3], Some(&[1, 2]));
    let tensor = host.tensor();
    // SAFETY: the tensor's six places lie in the host's memory.
    unsafe { fill(&tensor, "out", [2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) }.unwrap();
    assert_eq!(host.memory[..7], [1.0, 4.0, 2.0, 5.0, 3.0, 6.0, 0.0]);
    let mut halves = omniid_tensor {
        dtype: F16,
        ..host.tensor()
    };
    halves.strides = ptr::null_mut();
    // SAFETY: as above, with half the bytes.
    unsafe { fill(&halves, "out", [2, 3], &[1.0, -2.0, 0.1, 4.0, 5.0, 6.0]) }.unwrap();
    // 0x3C00 is 1, 0xC000 is -2 in IEEE half precision; 0.1 rounds to 0x2E66.
    assert_eq!(host.memory[0].to_bits().to_le_bytes(), [0x00, 0x3C, 0x00, 0xC0]);
    assert_eq!(host.memory[1].to_bits().to_le_bytes()[..2], [0x66, 0x2E]);
    let error = {
        let tensor = host.tensor();
        // SAFETY: refused before anything is written.
        unsafe { fill(&tensor, "out", [3, 2], &[0.0; 6]) }.unwrap_err()
    };
    assert_eq!(error.kind(), ErrorKind::Mismatch);
}

#[test]
fn owned_tensors_keep_their_memory() {
    let memory = Arc::new(vec![1.0f32, 2.0, 3.0, 4.0]);
    let owned = managed_values(memory.clone(), |values| values, &[2, 2]).unwrap();
    assert_eq!(Arc::strong_count(&memory), 2);
    // SAFETY: just made.
    let tensor = unsafe { &(*owned).dl_tensor };
    let view = view(tensor).unwrap();
    assert_eq!((view.dims(), view.strides()), (&[2usize, 2][..], [0, 0, 2, 1]));
    // SAFETY: as above; freed once.
    unsafe {
        assert_eq!((*owned).flags & 1, 1);
        assert_eq!(elements(&view, 4), [1.0, 2.0, 3.0, 4.0]);
        omniid_managed_tensor_free(owned);
        omniid_managed_tensor_free(ptr::null_mut());
    }
    assert_eq!(Arc::strong_count(&memory), 1);
}

#[test]
fn candle_tensors_are_shared_not_copied() {
    let tensor = Tensor::new(&[[1f32, 2.0], [3.0, 4.0], [5.0, 6.0]], &candle_core::Device::Cpu).unwrap();
    let rows = tensor.narrow(0, 1, 2).unwrap();
    let first = managed_tensor(&rows, 1).unwrap();
    let second = managed_tensor(&tensor, 1).unwrap();
    // SAFETY: just made, freed once.
    unsafe {
        assert_eq!((*first).dl_tensor.data.addr(), (*second).dl_tensor.data.addr() + 8);
        assert_eq!(elements(&view(&(*first).dl_tensor).unwrap(), 4), [3.0, 4.0, 5.0, 6.0]);
        omniid_managed_tensor_free(first);
        omniid_managed_tensor_free(second);
    }
    assert!(managed_tensor(&tensor.to_dtype(candle_core::DType::I64).unwrap(), 1).is_err());
}
