//! A host: its own streams and its own memory on the device, and a small adapter.

use candle_core::cuda_backend::cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr};
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use omniid::adapter::{Adapter, AdapterLayer, Linear};
use omniid::conditioning::{Conditioning, ConditioningOptions, IdentityInput};
use omniid::host::{HostLayer, HostSpec};
use omniid::inject::{Element, HostStream, Place, TensorView, TensorViewMut};
use std::sync::Arc;

pub const CONTEXT: usize = 24;

/// Numbers between −1 and 1 that look random and are the same on every machine.
pub fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

pub fn bytes(values: &[f32], dtype: DType) -> Vec<u8> {
    match dtype {
        DType::F16 => values
            .iter()
            .flat_map(|value| f16::from_f32(*value).to_ne_bytes())
            .collect(),
        DType::BF16 => values
            .iter()
            .flat_map(|value| bf16::from_f32(*value).to_ne_bytes())
            .collect(),
        _ => values.iter().flat_map(|value| value.to_ne_bytes()).collect(),
    }
}

pub fn floats(bytes: &[u8], dtype: DType) -> Vec<f32> {
    match dtype {
        DType::F16 => bytes
            .chunks_exact(2)
            .map(|pair| f16::from_ne_bytes([pair[0], pair[1]]).to_f32())
            .collect(),
        DType::BF16 => bytes
            .chunks_exact(2)
            .map(|pair| bf16::from_ne_bytes([pair[0], pair[1]]).to_f32())
            .collect(),
        _ => bytes
            .chunks_exact(4)
            .map(|four| f32::from_ne_bytes([four[0], four[1], four[2], four[3]]))
            .collect(),
    }
}

/// Memory of the host on the device, written and read on the host's stream.
pub struct Buffer {
    pub slice: CudaSlice<u8>,
    pub dtype: DType,
    stream: Arc<CudaStream>,
}

impl Buffer {
    pub fn new(stream: &Arc<CudaStream>, values: &[f32], dtype: DType) -> Self {
        let slice = stream.clone_htod(&bytes(values, dtype)).expect("memory on the device");
        Self {
            slice,
            dtype,
            stream: stream.clone(),
        }
    }

    pub fn address(&self) -> u64 {
        self.slice.device_ptr(&self.stream).0
    }

    pub fn view(&self, shape: &[usize], strides: Option<&[usize]>) -> TensorView<'_> {
        on_device(self.address(), self.dtype, shape, strides)
    }

    /// The buffer to write; the tests use it in no other way meanwhile.
    pub fn output(&self, shape: &[usize], strides: Option<&[usize]>) -> omniid::Result<TensorViewMut<'_>> {
        // SAFETY: the memory belongs to the buffer; only the GPU touches it, in the order of the test's streams.
        unsafe { self.view(shape, strides).writable() }
    }

    /// Waits for the host's stream, and for nothing else.
    pub fn read(&self) -> Vec<f32> {
        floats(
            &self.stream.clone_dtoh(&self.slice).expect("memory of the device"),
            self.dtype,
        )
    }
}

/// A view of memory on the first device; contiguous without strides.
pub fn on_device<'a>(address: u64, dtype: DType, shape: &[usize], strides: Option<&[usize]>) -> TensorView<'a> {
    let data = std::ptr::without_provenance(address as usize);
    let element = Element::try_from(dtype).expect("a floating-point type");
    // SAFETY: what is not memory of the device is refused before a kernel runs; the tests keep what is.
    unsafe { TensorView::from_raw(data, Place::Cuda(0), element, shape, strides) }.expect("a valid view")
}

/// A non-blocking stream in a context object of the host, and its DLPack number.
pub fn stream() -> (Arc<CudaStream>, HostStream) {
    let stream = CudaContext::new(0)
        .and_then(|context| context.new_stream())
        .expect("a stream");
    let number = stream.cu_stream() as usize as i64;
    (stream, HostStream::from_dlpack(Some(number)).expect("a stream number"))
}

/// One layer per entry: heads and width of a head.
pub fn spec(layers: &[(usize, usize)]) -> HostSpec {
    let layer = |(place, &(heads, head_dim)): (usize, &(usize, usize))| {
        HostLayer::new(format!("layer.{place}"), heads, head_dim, CONTEXT)
    };
    HostSpec::custom("test", layers.iter().enumerate().map(layer).collect()).expect("a host")
}

/// The same adapter wherever it is made.
pub fn adapter(host: &HostSpec, device: &Device) -> Adapter {
    let affine = |inner: usize, seed: usize| {
        let weight = Tensor::from_vec(noise(inner * CONTEXT, seed as u64), (inner, CONTEXT), device).unwrap();
        Linear::stored(weight, None).unwrap()
    };
    let layers = host.layers().iter().enumerate().map(|(place, layer)| {
        let (to_k, to_v) = (affine(layer.inner, 2 * place + 1), affine(layer.inner, 2 * place + 2));
        AdapterLayer::new(to_k, to_v)
    });
    Adapter::new(None, layers.collect())
}

/// Identity tokens `[count, CONTEXT]`.
pub fn tokens(count: usize, seed: u64, device: &Device) -> Tensor {
    Tensor::from_vec(noise(count * CONTEXT, seed), (count, CONTEXT), device).unwrap()
}

pub fn condition(host: &HostSpec, device: &Device, inputs: &[IdentityInput<'_>], dtype: DType) -> Conditioning {
    let options = ConditioningOptions::default().with_dtype(dtype);
    Conditioning::new(&adapter(host, device), host, inputs, &options).expect("a conditioning")
}
