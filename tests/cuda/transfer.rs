//! Tensors in and out.

use crate::gpu;
use crate::host::{noise, on_device, stream, Buffer};
use candle_core::{DType, Device, Tensor};
use omniid::cuda::{copy_into, import, Export};
use omniid::ErrorKind;

#[test]
fn a_strided_tensor_comes_in_and_goes_out() {
    let Some(device) = gpu() else {
        return;
    };
    let cuda = device.as_cuda_device().unwrap();
    let (own, number) = stream();
    let values = noise(4 * 10 * 6, 1);
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        // Every second row of [4, 10, 6], dimensions 1 and 2 swapped.
        let (shape, strides) = ([4, 6, 5], [60, 1, 12]);
        let whole = Tensor::from_slice(&values, (4, 10, 6), &Device::Cpu)
            .unwrap()
            .to_dtype(dtype)
            .unwrap();
        let rows = Tensor::new(&[0u32, 2, 4, 6, 8], &Device::Cpu).unwrap();
        let expected = whole.index_select(&rows, 1).unwrap().transpose(1, 2).unwrap();
        let expected: Vec<f32> = expected
            .to_dtype(DType::F32)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap();

        let mut source = Buffer::new(&own, &values, dtype);
        let imported = import(&source.view(&shape, Some(&strides)), cuda, number).unwrap();
        own.memset_zeros(&mut source.slice).unwrap();
        assert_eq!((imported.dims(), imported.dtype()), (&shape[..], dtype));
        let read = imported
            .to_dtype(DType::F32)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        assert_eq!(read, expected);

        // Back into f32, with the same strides; the places between stay zero.
        let target = Buffer::new(&own, &[0.0; 240], DType::F32);
        let mut view = target.output(&shape, Some(&strides)).unwrap();
        copy_into(&imported, &mut view, number).unwrap();
        let rounded: Vec<f32> = whole
            .to_dtype(DType::F32)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap();
        for (place, (written, value)) in target.read().iter().zip(rounded).enumerate() {
            let kept = (place / 6) % 2 == 0;
            assert_eq!(*written, if kept { value } else { 0.0 }, "{place}");
        }
    }
}

#[test]
fn exports_share_memory_and_outlive_their_tensor() {
    let Some(device) = gpu() else {
        return;
    };
    let cuda = device.as_cuda_device().unwrap();
    let (_own, number) = stream();
    let values = noise(7 * 12, 4);
    let tensor = Tensor::from_slice(&values, (7, 12), &device).unwrap();
    let export = Export::new(&tensor.narrow(0, 2, 3).unwrap(), number).unwrap();
    let whole = Export::new(&tensor, number).unwrap();
    assert_eq!(export.data(), whole.data() + 2 * 12 * 4);
    assert_eq!((export.tensor().dims(), export.ordinal()), (&[3, 12][..], 0));
    drop((tensor, whole));
    drop(Tensor::zeros((7, 12), DType::F32, &device).unwrap());
    let view = on_device(export.data(), DType::F32, &[3, 12], None);
    let read = import(&view, cuda, number)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1::<f32>()
        .unwrap();
    assert_eq!(read, values[24..60]);
    let on_cpu = Tensor::from_slice(&values, (7, 12), &Device::Cpu).unwrap();
    assert_eq!(Export::new(&on_cpu, number).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn targets_that_do_not_fit_are_refused() {
    let Some(device) = gpu() else {
        return;
    };
    let (own, number) = stream();
    let tensor = Tensor::zeros((3, 4), DType::F32, &device).unwrap();
    let buffer = Buffer::new(&own, &[1.0; 12], DType::F32);
    let mut turned = buffer.output(&[4, 3], None).unwrap();
    let error = copy_into(&tensor, &mut turned, number).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    let error = buffer.output(&[3, 4], Some(&[0, 1])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(buffer.read(), [1.0; 12]);
}
