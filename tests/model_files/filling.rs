//! Files whose download reserved the space and stopped: zeros to the end, in the middle, throughout.

use super::*;
use omniid::checkpoint::OutputTensor;
use omniid::checkpoint::SafetensorsWriter;

/// Where the tensors begin in a file.
fn data(file: &[u8]) -> usize {
    8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize
}

/// Zeros from and to these fractions of the tensors.
fn hole(file: &[u8], from: f64, to: f64) -> Vec<u8> {
    let mut file = file.to_vec();
    let begin = data(&file);
    let at = |fraction: f64| begin + ((file.len() - begin) as f64 * fraction) as usize;
    let (from, to) = (at(from), at(to));
    file[from..to].fill(0);
    file
}

fn half(tensors: &Tensors) -> Vec<u8> {
    let outputs = OutputTensor::all_of(&open(tensors), Some(DType::F16)).unwrap();
    SafetensorsWriter::new(outputs, &Default::default())
        .unwrap()
        .to_bytes()
        .unwrap()
}

#[test]
fn zeros_in_place_of_weights_are_refused_when_the_engine_is_opened() {
    let (adapter, clip) = (adapter(), clip());
    for (kind, adapter, clip) in [
        ("f32", bytes(&adapter), bytes(&clip)),
        ("f16", half(&adapter), half(&clip)),
    ] {
        Engine::open(options(adapter.clone(), clip.clone())).unwrap();
        let holes = [
            (0.0, 1.0),
            (0.5, 1.0),
            (0.8, 1.0),
            (0.3, 0.6),
            (0.05, 0.4),
            (0.0, 0.5),
            (0.31, 0.77),
        ];
        for (from, to) in holes {
            let case = format!("{kind} {from} to {to}");
            let opened = Engine::open(options(hole(&adapter, from, to), clip.clone()));
            refused(
                &format!("adapter {case}"),
                opened,
                ErrorKind::Format,
                &["not downloaded or copied to its end"],
            )
            .remedy()
            .unwrap_or_else(|| panic!("{case}"));
            let opened = Engine::open(options(adapter.clone(), hole(&clip, from, to)));
            refused(
                &format!("encoder {case}"),
                opened,
                ErrorKind::Format,
                &["image encoder", "not downloaded or copied to its end"],
            );
        }
    }
}

/// A native file that is long enough for holes of a few pages in single tensors, at the end and in the adapter.
#[test]
fn holes_in_the_built_in_model_are_found() {
    let sound = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/models/omniid-mini.safetensors")).unwrap();
    Engine::open(EngineOptions::new(sound.clone())).unwrap();
    for (from, to) in [
        (0.9, 1.0),
        (0.97, 1.0),
        (0.5, 0.53),
        (0.2, 0.24),
        (0.0, 0.02),
        (0.6, 1.0),
    ] {
        let opened = Engine::open(EngineOptions::new(hole(&sound, from, to)));
        refused(&format!("{from} to {to}"), opened, ErrorKind::Format, &["tensor"]);
    }
}

fn with(name: &str, change: impl Fn(&Tensor) -> Tensor) -> Vec<u8> {
    let mut tensors = adapter();
    let mut seen = 0;
    for (_, tensor) in tensors.iter_mut().filter(|(found, _)| found.contains(name)) {
        *tensor = change(tensor);
        seen += 1;
    }
    assert!(seen > 0, "{name}");
    bytes(&tensors)
}

#[test]
fn layers_of_zeros_constants_and_nans_are_refused() {
    let zero = |tensor: &Tensor| tensor.zeros_like().unwrap();
    let constant = |tensor: &Tensor| (tensor.ones_like().unwrap() * 0.5).unwrap();
    let not_a_number = |tensor: &Tensor| (tensor.ones_like().unwrap() * f64::NAN).unwrap();
    let open = |file| Engine::open(options(file, bytes(&clip())));
    for name in [
        "image_proj.latents",
        "image_proj.layers.0.0.to_kv.weight",
        "image_proj.proj_out.weight",
    ] {
        refused(
            name,
            open(with(name, zero)),
            ErrorKind::Format,
            &[name, "weights are 0"],
        );
        refused(
            name,
            open(with(name, constant)),
            ErrorKind::Format,
            &[name, "weights are 0.5"],
        );
        refused(
            name,
            open(with(name, not_a_number)),
            ErrorKind::Format,
            &[name, "not finite"],
        );
    }
    refused(
        "values",
        open(with("to_v_ip", zero)),
        ErrorKind::Format,
        &["all 3 adapter layers for values"],
    );
    refused(
        "keys",
        open(with("to_k_ip", zero)),
        ErrorKind::Format,
        &["all 3 adapter layers for keys"],
    );
    refused(
        "layers",
        open(with("to_k_ip", constant)),
        ErrorKind::Format,
        &["to_k_ip", "weights are 0.5"],
    );
    refused(
        "NaN",
        open(with("3.to_v_ip", not_a_number)),
        ErrorKind::Format,
        &["3.to_v_ip", "not finite"],
    );
}

#[test]
fn what_training_leaves_at_zero_or_one_is_used() {
    let zero = |tensor: &Tensor| tensor.zeros_like().unwrap();
    let one = |tensor: &Tensor| tensor.ones_like().unwrap();
    let rows = |tensor: &Tensor| {
        // Half of the rows are cut away: more than a page in a row.
        let kept = tensor.narrow(0, 0, tensor.dims()[0] / 2).unwrap();
        Tensor::cat(&[kept.zeros_like().unwrap(), kept], 0).unwrap()
    };
    let opened = |file| results(&Engine::open(options(file, bytes(&clip()))).unwrap()).unwrap();
    for file in [
        with(".bias", zero),
        with("norm1.weight", one),
        with("norm_out.weight", one),
    ] {
        opened(file);
    }
    // Layers that an adapter leaves alone; of each of two matrices, and of one.
    opened(with("ip_adapter.3.", zero));
    opened(with("ip_adapter.5.to_v_ip", zero));
    opened(with("image_proj.layers.0.1.1.weight", rows));
}
