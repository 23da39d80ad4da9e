//! What Rust gets, without the C ABI: tokens of some photos and one injection into each layer.
//!
//!     results MODEL INPUTS OUTPUTS PHOTO...
//!
//! Reads INPUTS/query-N.bin and before-N.bin, writes OUTPUTS/tokens.bin and after-N.bin, f32 in little endian.

use omniid::conditioning::{ConditioningOptions, Role};
use omniid::engine::{ConditioningInput, EncodeOptions, Engine, EngineOptions};
use omniid::inject::{InjectCall, TensorView, TensorViewMut};
use omniid::photo::Photo;
use std::error::Error;
use std::path::{Path, PathBuf};

const BATCH: usize = 2;
const ROWS: usize = 24;

fn read(path: PathBuf) -> Result<Vec<f32>, Box<dyn Error>> {
    let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(format!("{}: {} bytes are no f32 values", path.display(), bytes.len()).into());
    }
    Ok(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

fn write(path: PathBuf, values: &[f32]) -> Result<(), Box<dyn Error>> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Ok(std::fs::write(path, bytes)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [model, inputs, outputs, photos @ ..] = arguments.as_slice() else {
        return Err("usage: results MODEL INPUTS OUTPUTS PHOTO...".into());
    };
    let photos: Vec<Photo<'_>> = photos.iter().map(|path| Photo::from(Path::new(path))).collect();
    let engine = Engine::open(EngineOptions::new(model.clone()))?;
    let identity = engine.encode(&photos, &EncodeOptions::default())?.identity;
    write(outputs.join("tokens.bin"), identity.values())?;

    let mut input = ConditioningInput::new(&identity);
    input.scale = 0.8;
    let conditioning = engine.condition([input], &ConditioningOptions::default())?;
    for index in 0..conditioning.layer_count() {
        let layer = conditioning.host().layer(index)?;
        let shape = [BATCH, ROWS, layer.inner];
        let query = read(inputs.join(format!("query-{index}.bin")))?;
        let mut output = read(inputs.join(format!("before-{index}.bin")))?;
        let mut call = InjectCall::new(
            index,
            TensorView::contiguous(&query, shape)?,
            TensorViewMut::contiguous(&mut output, shape)?,
        );
        call.roles = &[Role::Unconditional, Role::Conditional];
        call.scale = 0.5;
        conditioning.inject(call)?;
        write(outputs.join(format!("after-{index}.bin")), &output)?;
    }
    Ok(())
}
