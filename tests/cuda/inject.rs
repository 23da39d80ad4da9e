//! Injection on the device: numbers, order, threads, memory.

use crate::gpu;
use crate::host::{adapter, bytes, condition, floats, noise, on_device, spec, stream, tokens, Buffer};
use candle_core::cuda_backend::cudarc::driver::{result, CudaContext};
use candle_core::{DType, Device};
use half::{bf16, f16};
use omniid::conditioning::{Conditioning, ConditioningOptions, IdentityInput, Mask, Role};
use omniid::inject::{HostStream, InjectCall, TensorView, TensorViewMut};
use omniid::ErrorKind;

/// Contiguous memory of a layer: `[batch, rows, heads, head_dim]`, or `[batch, heads, rows, head_dim]`.
#[derive(Debug, Clone, Copy)]
enum Memory {
    RowsFirst([usize; 4]),
    HeadsFirst([usize; 4]),
}

impl Memory {
    fn order(self) -> ([usize; 4], bool) {
        match self {
            Self::RowsFirst(shape) => (shape, false),
            Self::HeadsFirst(shape) => (shape, true),
        }
    }

    /// Turns a view of the memory as it lies into one of `[batch, rows, heads, head_dim]`.
    fn read<'a>(self, view: impl FnOnce([usize; 4]) -> TensorView<'a>) -> TensorView<'a> {
        let (shape, turned) = self.order();
        let view = view(shape);
        if turned {
            view.transpose(1, 2).unwrap()
        } else {
            view
        }
    }

    /// As [`read`](Self::read), to write.
    fn write<'a>(self, view: impl FnOnce([usize; 4]) -> TensorViewMut<'a>) -> TensorViewMut<'a> {
        let (shape, turned) = self.order();
        let view = view(shape);
        if turned {
            view.transpose(1, 2).unwrap()
        } else {
            view
        }
    }

    fn call<'a>(self, query: &'a Buffer, output: &'a Buffer, stream: HostStream) -> InjectCall<'a> {
        let query = self.read(|shape| query.view(&shape, None));
        let output = self.write(|shape| output.output(&shape, None).unwrap());
        InjectCall::new(0, query, output).with_stream(stream)
    }
}

/// Injects on the CPU, in `dtype`, into a copy of `output`.
fn on_cpu(
    conditioning: &Conditioning,
    query: &[f32],
    output: &[f32],
    dtype: DType,
    memory: Memory,
    roles: &[Role],
    latent: Option<(usize, usize)>,
) -> Vec<f32> {
    macro_rules! run {
        ($element:ty, $convert:expr) => {{
            let query: Vec<$element> = query.iter().copied().map($convert).collect();
            let mut output: Vec<$element> = output.iter().copied().map($convert).collect();
            let from = memory.read(|shape| TensorView::contiguous(&query, shape).unwrap());
            let to = memory.write(|shape| TensorViewMut::contiguous(&mut output, shape).unwrap());
            let call = InjectCall::new(0, from, to).with_roles(roles).with_latent(latent);
            conditioning.inject(call).unwrap();
            output.iter().map(|value| f32::from(*value)).collect()
        }};
    }
    match dtype {
        DType::F16 => run!(f16, f16::from_f32),
        DType::BF16 => run!(bf16, bf16::from_f32),
        _ => run!(f32, std::convert::identity::<f32>),
    }
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn device_and_cpu_agree() {
    let Some(device) = gpu() else {
        return;
    };
    let (own, number) = stream();
    for (heads, head_dim, rows) in [(8, 40, 64), (2, 64, 100), (3, 160, 33), (1, 3, 7), (2, 256, 40)] {
        let host = spec(&[(heads, head_dim)]);
        let mask = Mask::new(2, 2, &[0.0, 1.0, 0.5, 0.0]).unwrap();
        let sides = |place: &Device| [tokens(70, 1, place), tokens(5, 2, place), tokens(33, 3, place)];
        let make = |place: &Device, dtype| {
            let [first, negative, second] = sides(place);
            let plain = IdentityInput::new(&first).with_unconditional(&negative).with_scale(0.8);
            let masked = IdentityInput::new(&second).with_mask(mask.clone()).with_scale(-0.5);
            condition(&host, place, &[plain, masked], dtype)
        };
        let roles = [Role::Unconditional, Role::Conditional, Role::Conditional];
        let count = 3 * rows * heads * head_dim;
        let (query, output) = (noise(count, 7), noise(count, 8));
        for (dtype, limit) in [(DType::F32, 1e-5), (DType::F16, 1e-3), (DType::BF16, 6e-3)] {
            let (cpu, gpu) = (make(&Device::Cpu, dtype), make(&device, dtype));
            for memory in [
                Memory::RowsFirst([3, rows, heads, head_dim]),
                Memory::HeadsFirst([3, heads, rows, head_dim]),
            ] {
                let latent = Some((rows, 1));
                let expected = on_cpu(&cpu, &query, &output, dtype, memory, &roles, latent);
                let (q, o) = (Buffer::new(&own, &query, dtype), Buffer::new(&own, &output, dtype));
                let call = memory.call(&q, &o, number).with_roles(&roles).with_latent(latent);
                gpu.inject(call).unwrap();
                let difference = largest_difference(&o.read(), &expected);
                // Rounding differences of one unit at outputs of up to 4 are no error of the kernel.
                let limit = if dtype == DType::F32 { limit } else { limit * 4.0 };
                assert!(
                    difference <= limit,
                    "{heads} heads of {head_dim}, {dtype:?}: {difference}"
                );
                println!("{heads} heads of {head_dim}, {dtype:?}, {memory:?}: {difference:e}");
            }
        }
    }
}

#[test]
fn rows_without_a_side_keep_their_bits() {
    let Some(device) = gpu() else {
        return;
    };
    let (own, number) = stream();
    let host = spec(&[(2, 40)]);
    let identity = tokens(9, 1, &device);
    let conditioning = condition(&host, &device, &[IdentityInput::new(&identity)], DType::F16);
    let memory = Memory::RowsFirst([2, 50, 2, 40]);
    let half = 50 * 80;
    let values = noise(2 * half, 3);
    let (query, output) = (
        Buffer::new(&own, &values, DType::F16),
        Buffer::new(&own, &values, DType::F16),
    );
    let before = output.read();
    let roles = [Role::Unconditional, Role::Conditional];
    let call = || memory.call(&query, &output, number).with_roles(&roles);
    conditioning.inject(call()).unwrap();
    let after = output.read();
    assert_eq!(after[..half], before[..half]);
    assert_ne!(after[half..], before[half..]);
    conditioning.inject(call().with_scale(0.0)).unwrap();
    assert_eq!(output.read(), after);
}

/// Each stream writes its query, injects, and spoils the query again, without ever waiting. Wrong order on any stream
/// gives wrong numbers. The conditioning is dropped while its kernels may still run.
#[test]
fn two_streams_stay_in_order() {
    let Some(device) = gpu() else {
        return;
    };
    let host = spec(&[(8, 64)]);
    let memory = Memory::RowsFirst([1, 1024, 8, 64]);
    let count = 1024 * 512;
    let streams = [stream(), stream()];
    let queries = [noise(count, 11), noise(count, 12)];
    let cpu = condition(
        &host,
        &Device::Cpu,
        &[IdentityInput::new(&tokens(64, 5, &Device::Cpu))],
        DType::F32,
    );
    let zeros = vec![0f32; count];
    let expected: Vec<_> = queries
        .iter()
        .map(|query| on_cpu(&cpu, query, &zeros, DType::F32, memory, &[], None))
        .collect();
    let mut pairs: Vec<_> = streams
        .iter()
        .zip(&queries)
        .map(|((own, _), query)| {
            let [source, used, output] = [query, &zeros, &zeros].map(|values| Buffer::new(own, values, DType::F32));
            (source, used, output)
        })
        .collect();
    let round_count = 20;
    for _ in 0..round_count {
        let identity = tokens(64, 5, &device);
        let conditioning = condition(&host, &device, &[IdentityInput::new(&identity)], DType::F32);
        for ((own, number), (source, used, output)) in streams.iter().zip(&mut pairs) {
            own.memcpy_dtod(&source.slice, &mut used.slice).unwrap();
            let call = memory.call(used, output, *number);
            conditioning.inject(call).unwrap();
            own.memset_zeros(&mut used.slice).unwrap();
        }
        drop(conditioning);
        // Takes the memory that was just released, if it was released too early.
        drop(tokens(4096, 6, &device));
    }
    for ((_, _, output), expected) in pairs.iter().zip(&expected) {
        let scaled: Vec<_> = expected.iter().map(|value| value * round_count as f32).collect();
        let difference = largest_difference(&output.read(), &scaled);
        assert!(difference <= 1e-5 * round_count as f32, "{difference}");
    }
}

#[test]
fn two_threads_share_one_conditioning() {
    let Some(device) = gpu() else {
        return;
    };
    let host = spec(&[(4, 40)]);
    let memory = Memory::HeadsFirst([2, 4, 128, 40]);
    let count = 2 * 128 * 160;
    let output = noise(count, 21);
    let cpu = condition(
        &host,
        &Device::Cpu,
        &[IdentityInput::new(&tokens(16, 5, &Device::Cpu))],
        DType::F32,
    );
    let identity = tokens(16, 5, &device);
    let conditioning = condition(&host, &device, &[IdentityInput::new(&identity)], DType::F32);
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let (conditioning, cpu, output) = (&conditioning, &cpu, &output);
            scope.spawn(move || {
                let (own, number) = stream();
                let query = noise(count, 30 + seed);
                let expected = on_cpu(cpu, &query, output, DType::F32, memory, &[], None);
                for _ in 0..50 {
                    let (q, o) = (
                        Buffer::new(&own, &query, DType::F32),
                        Buffer::new(&own, output, DType::F32),
                    );
                    let call = memory.call(&q, &o, number);
                    conditioning.inject(call).unwrap();
                    assert!(largest_difference(&o.read(), &expected) <= 1e-5);
                }
            });
        }
    });
}

#[test]
fn default_streams_and_blocking_calls_work() {
    let Some(device) = gpu() else {
        return;
    };
    let host = spec(&[(2, 64)]);
    let memory = Memory::RowsFirst([1, 40, 2, 64]);
    let (query, output) = (noise(5120, 1), noise(5120, 2));
    let cpu = condition(
        &host,
        &Device::Cpu,
        &[IdentityInput::new(&tokens(8, 5, &Device::Cpu))],
        DType::F32,
    );
    let expected = on_cpu(&cpu, &query, &output, DType::F32, memory, &[], None);
    let identity = tokens(8, 5, &device);
    let conditioning = condition(&host, &device, &[IdentityInput::new(&identity)], DType::F32);
    let context = CudaContext::new(0).unwrap();
    for (own, number) in [
        (context.default_stream(), HostStream::LegacyDefault),
        (context.per_thread_stream(), HostStream::PerThreadDefault),
        (context.new_stream().unwrap(), HostStream::Blocking),
    ] {
        let (q, o) = (
            Buffer::new(&own, &query, DType::F32),
            Buffer::new(&own, &output, DType::F32),
        );
        own.synchronize().unwrap();
        let call = memory.call(&q, &o, number);
        conditioning.inject(call).unwrap();
        assert!(largest_difference(&o.read(), &expected) <= 1e-5, "{number:?}");
    }
}

/// A host that works on another device on this thread must find its context as it left it.
#[test]
fn the_threads_context_is_put_back() {
    let Some(device) = gpu() else {
        return;
    };
    let (own, number) = stream();
    let host = spec(&[(2, 8)]);
    let identity = tokens(4, 1, &device);
    let conditioning = condition(&host, &device, &[IdentityInput::new(&identity)], DType::F32);
    let memory = Memory::RowsFirst([1, 6, 2, 8]);
    let values = noise(96, 1);
    let (q, o) = (
        Buffer::new(&own, &values, DType::F32),
        Buffer::new(&own, &values, DType::F32),
    );
    let call = memory.call(&q, &o, number);
    let other = CudaContext::new_non_primary(0, 0).unwrap();
    other.bind_to_thread().unwrap();
    conditioning.inject(call).unwrap();
    assert_eq!(result::ctx::get_current().unwrap(), Some(other.cu_ctx()));
}

#[test]
fn wrong_memory_is_refused_before_any_kernel_runs() {
    let Some(device) = gpu() else {
        return;
    };
    let (own, number) = stream();
    let host = spec(&[(2, 8)]);
    let identity = tokens(4, 1, &device);
    let conditioning = condition(&host, &device, &[IdentityInput::new(&identity)], DType::F32);
    let values = noise(96, 1);
    let (query, output) = (
        Buffer::new(&own, &values, DType::F32),
        Buffer::new(&own, &values, DType::F32),
    );
    let shape = [1, 6, 2, 8];
    let (short, other_heads) = ([1, 5, 2, 8], [1, 6, 1, 16]);
    let address = values.as_ptr().addr() as u64;
    let on_cpu = || on_device(address, DType::F32, &shape, None);
    let of = |shape: &[usize]| output.output(shape, None).unwrap();
    for (q, o, kind) in [
        (on_cpu(), of(&shape), ErrorKind::InvalidArgument),
        (
            query.view(&shape, None),
            // SAFETY: refused before anything is written.
            unsafe { on_cpu().writable() }.unwrap(),
            ErrorKind::InvalidArgument,
        ),
        (query.view(&shape, None), of(&short), ErrorKind::Mismatch),
        (query.view(&other_heads, None), of(&other_heads), ErrorKind::Mismatch),
    ] {
        let call = InjectCall::new(0, q, o).with_stream(number);
        assert_eq!(conditioning.inject(call).unwrap_err().kind(), kind);
    }
    assert_eq!(output.read(), values);
    let cpu = condition(
        &host,
        &Device::Cpu,
        &[IdentityInput::new(&tokens(4, 1, &Device::Cpu))],
        DType::F32,
    );
    let call = Memory::RowsFirst(shape).call(&query, &output, number);
    assert_eq!(cpu.inject(call).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn a_thousand_rounds_leave_no_memory_behind() {
    let Some(device) = gpu() else {
        return;
    };
    let (own, number) = stream();
    let host = spec(&[(8, 64), (8, 64)]);
    let memory = Memory::RowsFirst([1, 64, 8, 64]);
    let (query, output) = (noise(64 * 512, 1), noise(64 * 512, 2));
    let (q, o) = (
        Buffer::new(&own, &query, DType::F16),
        Buffer::new(&own, &output, DType::F16),
    );
    let adapter = adapter(&host, &device);
    let mask = Mask::new(8, 8, &[0.5; 64]).unwrap();
    let options = ConditioningOptions::default().with_dtype(DType::F16);
    let round = || {
        let identity = tokens(256, 1, &device);
        let input = IdentityInput::new(&identity).with_mask(mask.clone());
        let conditioning = Conditioning::new(&adapter, &host, &[input], &options).unwrap();
        let call = memory.call(&q, &o, number).with_latent(Some((8, 8)));
        conditioning.inject(call).unwrap();
        let keys = conditioning.keys(0, 0, Role::Conditional).unwrap().unwrap();
        drop(omniid::cuda::Export::new(&keys, number).unwrap());
    };
    let context = CudaContext::new(0).unwrap();
    let free = || {
        // The memory pool gives memory back when a stream is synchronised.
        device.synchronize().unwrap();
        context.synchronize().unwrap();
        context.mem_get_info().unwrap().0
    };
    (0..20).for_each(|_| round());
    let before = free();
    (0..1000).for_each(|_| round());
    let after = free();
    // One round holds 1.1 MB; a leak of one tensor per round would be far above the pool's granularity of 32 MB.
    assert!(
        before.saturating_sub(after) <= 64 << 20,
        "{before} bytes free before, {after} after"
    );
}

/// The helpers themselves, so that a mistake in them cannot hide one in the library. Needs no GPU.
#[test]
fn bytes_and_floats_are_inverse() {
    let values = [0.0, -1.5, 0.25, 384.0];
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        assert_eq!(floats(&bytes(&values, dtype), dtype), values);
    }
}
