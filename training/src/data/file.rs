//! A [`Dataset`] as one safetensors file.
//!
//! | tensor | type | shape |
//! |---|---|---|
//! | `view` | f32 | [pictures, 46], [`View::to_vector`] |
//! | `points` | f32 | [pictures, 10] |
//! | `pixels` | u8 | [pictures, size, size, 3] |
//! | `mask` | u8 | [pictures, size, size] |
//! | `role` | u8 | [pictures]: 0 input, 1 target, 2 both |
//!
//! Metadata `omniid.dataset` is the version of this format, `omniid.people` the people in order with the number of
//! their pictures: a JSON list of `[family, name, pictures]`. Any reader of safetensors opens the file.

use super::{Dataset, PersonPictures, Picture, Role};
use omniid::checkpoint::{save_atomically, Checkpoint};
use omniid::Limits;
use omniid::{Error, ErrorKind, Result};
use omniid_minihost::View;
use std::io::Write;
use std::path::Path;

/// Version of the file, in metadata under `omniid.dataset`.
pub const FORMAT_VERSION: u32 = 1;

const POINTS: usize = 10;

impl Dataset {
    /// Writes the set to a file, atomically. Streams: needs no second copy of the pixels.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] when the set is not [valid](Dataset::validate), [`ErrorKind::Io`] naming the path.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.validate().map_err(|error| error.context(path.display()))?;
        let header = self.header()?;
        save_atomically(path, |out| {
            let failed = |error: std::io::Error| Error::new(ErrorKind::Io, error.to_string());
            out.write_all(&(header.len() as u64).to_le_bytes())
                .and_then(|()| out.write_all(&header))
                .and_then(|()| self.write_tensors(out))
                .map_err(failed)
        })
    }

    fn pictures(&self) -> impl Iterator<Item = &Picture> {
        self.people.iter().flat_map(|person| &person.pictures)
    }

    fn write_tensors(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut numbers = |values: &mut dyn Iterator<Item = f32>| {
            out.write_all(&values.flat_map(f32::to_le_bytes).collect::<Vec<_>>())
        };
        for picture in self.pictures() {
            numbers(&mut picture.view.to_vector().into_iter())?;
        }
        for picture in self.pictures() {
            numbers(&mut picture.points.into_iter().flatten())?;
        }
        for picture in self.pictures() {
            out.write_all(&picture.pixels)?;
        }
        for picture in self.pictures() {
            out.write_all(&picture.mask)?;
        }
        for picture in self.pictures() {
            out.write_all(&[role_number(picture.role)])?;
        }
        Ok(())
    }

    fn header(&self) -> Result<Vec<u8>> {
        let (count, side) = (self.picture_count(), self.size as usize);
        let people = self
            .people
            .iter()
            .map(|person| (&person.family, &person.name, person.pictures.len()))
            .collect::<Vec<_>>();
        let json = |error: serde_json::Error| Error::internal(format!("header of a dataset: {error}"));
        let people = serde_json::to_string(&people).map_err(json)?;
        let mut header = serde_json::Map::new();
        header.insert(
            "__metadata__".to_string(),
            serde_json::json!({
                "omniid.dataset": FORMAT_VERSION.to_string(),
                "omniid.size": side.to_string(),
                "omniid.people": people,
            }),
        );
        let mut offset = 0;
        for (name, kind, shape) in [
            ("view", "F32", vec![count, View::LENGTH]),
            ("points", "F32", vec![count, POINTS]),
            ("pixels", "U8", vec![count, side, side, 3]),
            ("mask", "U8", vec![count, side, side]),
            ("role", "U8", vec![count]),
        ] {
            let size = if kind == "F32" { 4 } else { 1 };
            let end = offset + size * shape.iter().product::<usize>();
            header.insert(
                name.to_string(),
                serde_json::json!({"dtype": kind, "shape": shape, "data_offsets": [offset, end]}),
            );
            offset = end;
        }
        let mut bytes = serde_json::to_vec(&header).map_err(json)?;
        bytes.resize(bytes.len().next_multiple_of(8), b' ');
        Ok(bytes)
    }

    /// Reads a set that [`Dataset::save`] wrote.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the file cannot be read, [`ErrorKind::Format`] when it is no such file or damaged,
    /// [`ErrorKind::Unsupported`] for another version. All name the path.
    pub fn load(path: &Path) -> Result<Self> {
        let limits = Limits::default();
        let file = Checkpoint::open(path, &limits)?;
        read(&file).map_err(|error| error.context(path.display()))
    }
}

fn read(file: &Checkpoint) -> Result<Dataset> {
    let metadata = |key: &str| {
        file.metadata()
            .get(key)
            .map(String::as_str)
            .ok_or_else(|| Error::format(format!("this is no dataset: metadata has no {key:?}")))
    };
    let version = metadata("omniid.dataset")?;
    if version != FORMAT_VERSION.to_string() {
        return Err(Error::unsupported(format!(
            "dataset format {version:?}, this program reads {FORMAT_VERSION}"
        )));
    }
    let people: Vec<(String, String, usize)> = serde_json::from_str(metadata("omniid.people")?)
        .map_err(|error| Error::format(format!("omniid.people: {error}")))?;
    let side: usize = metadata("omniid.size")?
        .parse()
        .ok()
        .filter(|side| (1..=4096).contains(side))
        .ok_or_else(|| Error::format("omniid.size is not a side of 1 to 4096 pixels"))?;
    let count = people
        .iter()
        .try_fold(0usize, |sum, (_, _, pictures)| sum.checked_add(*pictures))
        .ok_or_else(|| Error::format("omniid.people: the number of pictures overflows"))?;
    let bytes = |name: &str, shape: &[usize]| {
        if file.require(name)?.shape != shape {
            return Err(Error::format(format!(
                "tensor {name:?} has shape {:?}, {count} pictures of side {side} need {shape:?}",
                file.shape(name)
            )));
        }
        file.bytes(name)
    };
    let views = bytes("view", &[count, View::LENGTH])?;
    let points = bytes("points", &[count, POINTS])?;
    let pixels = bytes("pixels", &[count, side, side, 3])?;
    let masks = bytes("mask", &[count, side, side])?;
    let roles = bytes("role", &[count])?;
    let number = |bytes: &[u8]| -> Vec<f32> {
        bytes
            .chunks_exact(4)
            .map(|value| f32::from_le_bytes([value[0], value[1], value[2], value[3]]))
            .collect()
    };
    let lies = || Error::format("a tensor is shorter than its shape");
    let part = |bytes: &[u8], place: usize, size: usize| {
        bytes
            .get(place * size..(place + 1) * size)
            .map(<[u8]>::to_vec)
            .ok_or_else(lies)
    };
    let picture = |place: usize| -> Result<Picture> {
        let view: [f32; View::LENGTH] = number(&part(&views, place, 4 * View::LENGTH)?)
            .try_into()
            .map_err(|_| lies())?;
        let flat = number(&part(&points, place, 4 * POINTS)?);
        Ok(Picture {
            pixels: part(&pixels, place, 3 * side * side)?,
            mask: part(&masks, place, side * side)?,
            view: View::from_vector(&view),
            points: std::array::from_fn(|point| [flat[2 * point], flat[2 * point + 1]]),
            role: role_of(roles.get(place).copied().ok_or_else(lies)?)?,
        })
    };
    let mut dataset = Dataset::new(side as u32);
    let mut place = 0;
    for (family, name, pictures) in people {
        dataset.people.push(PersonPictures {
            family,
            name,
            pictures: (place..place + pictures).map(picture).collect::<Result<_>>()?,
        });
        place += pictures;
    }
    dataset.validate()?;
    Ok(dataset)
}

fn role_number(role: Role) -> u8 {
    match role {
        Role::Input => 0,
        Role::Target => 1,
        Role::Both => 2,
    }
}

fn role_of(number: u8) -> Result<Role> {
    match number {
        0 => Ok(Role::Input),
        1 => Ok(Role::Target),
        2 => Ok(Role::Both),
        other => Err(Error::format(format!("role {other} is not known; 0, 1 and 2 are"))),
    }
}
