//! The file of a graph: `onnx.proto` of <https://github.com/onnx/onnx>, whose field numbers stand here.

use super::graph::{Attribute, Dimension, Graph, Node, Port};
use super::protobuf::{Message, Piece, FLOAT, FLOAT16, INT64};
use super::weights::{Initialiser, Numbers};
use crate::error::{Error, ErrorKind, Result};
use crate::tensor_file::save_atomically;
use std::io::Write;
use std::path::Path;

/// The newest opset that Unity's Inference Engine reads.
const OPSET: i64 = 15;
/// Version of the format that came with it.
const IR_VERSION: i64 = 8;
/// Data outside of the graph begin at a multiple of this.
const ALIGNMENT: usize = 64;

impl Graph {
    /// Number of weights and constants.
    pub fn tensor_count(&self) -> usize {
        self.initialisers.len()
    }

    /// Bytes of the weights.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] for sizes beyond what can be counted.
    pub fn weight_bytes(&self) -> Result<usize> {
        let mut bytes = 0usize;
        for weight in self.initialisers.iter().filter(|initialiser| initialiser.is_stored()) {
            bytes = bytes.saturating_add(weight.byte_count()?);
        }
        Ok(bytes)
    }

    /// Writes the graph to `path` with texts about it in its metadata, its weights to `data` beside it if that is given,
    /// and `description`, a path and a text. `progress` hears how many tensors are written. The result is the number of
    /// bytes of graph and weights.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] naming the path; those of reading the weights and of `progress`. After an error there is no
    /// new file.
    pub fn save(
        &self,
        path: &Path,
        data: Option<&Path>,
        description: (&Path, &str),
        metadata: &[(&str, &str)],
        mut progress: impl FnMut(usize) -> Result<()>,
    ) -> Result<u64> {
        let outside = match data {
            Some(data) => Some(Outside::new(data, &self.initialisers)?),
            None => None,
        };
        let model = self.model(metadata, outside.as_ref())?;
        let mut done = 0;
        let mut told = || {
            done += 1;
            progress(done)
        };
        // Everything is in temporary files before the first of them gets its name, and the graph gets it last: whoever
        // sees the graph finds the rest.
        save_atomically(path, |out| {
            for piece in model.pieces() {
                match piece {
                    Piece::Bytes(bytes) => out.write_all(bytes).map_err(failed)?,
                    Piece::Data(index) => {
                        if let Some(initialiser) = self.initialisers.get(*index) {
                            out.write_all(&initialiser.bytes()?).map_err(failed)?;
                            told()?;
                        }
                    }
                }
            }
            out.flush().map_err(failed)?;
            let (description, text) = description;
            save_atomically(description, |out| {
                out.write_all(text.as_bytes()).map_err(failed)?;
                out.flush().map_err(failed)?;
                match (&outside, data) {
                    (Some(outside), Some(data)) => {
                        save_atomically(data, |out| outside.write(out, &self.initialisers, &mut told))
                    }
                    _ => Ok(()),
                }
            })
        })?;
        Ok((model.len() + outside.map_or(0, |outside| outside.size)) as u64)
    }

    fn model(&self, metadata: &[(&str, &str)], outside: Option<&Outside>) -> Result<Message> {
        let mut graph = Message::default();
        for node in &self.nodes {
            graph.message(1, node.message());
        }
        graph.text(2, "encoder");
        for (index, initialiser) in self.initialisers.iter().enumerate() {
            graph.message(5, initialiser.message(index, outside)?);
        }
        for (field, ports) in [(11, &self.inputs), (12, &self.outputs)] {
            for port in ports {
                graph.message(field, port.message());
            }
        }
        let mut opset = Message::default();
        opset.text(1, "");
        opset.integer(2, OPSET);
        let mut model = Message::default();
        model.integer(1, IR_VERSION);
        model.text(2, "OmniID");
        model.text(3, env!("CARGO_PKG_VERSION"));
        model.message(7, graph);
        model.message(8, opset);
        for (key, value) in metadata {
            model.message(14, pair(key, value));
        }
        Ok(model)
    }
}

/// A file with the data of a graph's weights.
struct Outside {
    name: String,
    /// Where each initialiser begins; `None` for one inside of the graph.
    places: Vec<Option<usize>>,
    size: usize,
}

impl Outside {
    fn new(path: &Path, initialisers: &[Initialiser]) -> Result<Self> {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
            Error::invalid(format!(
                "{}: a graph names the file with its weights, so the name must be UTF-8",
                path.display()
            ))
        })?;
        let (mut places, mut size) = (Vec::with_capacity(initialisers.len()), 0usize);
        for initialiser in initialisers {
            if !initialiser.is_stored() {
                places.push(None);
                continue;
            }
            let start = size.next_multiple_of(ALIGNMENT);
            places.push(Some(start));
            size = start.saturating_add(initialiser.byte_count()?);
        }
        Ok(Self {
            name: name.to_string(),
            places,
            size,
        })
    }

    fn write(
        &self,
        out: &mut dyn Write,
        initialisers: &[Initialiser],
        told: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let mut written = 0;
        for (initialiser, place) in initialisers.iter().zip(&self.places) {
            let Some(place) = *place else { continue };
            out.write_all(&vec![0; place.saturating_sub(written)]).map_err(failed)?;
            let bytes = initialiser.bytes()?;
            out.write_all(&bytes).map_err(failed)?;
            written = place + bytes.len();
            told()?;
        }
        Ok(())
    }
}

impl Node {
    fn message(&self) -> Message {
        let mut node = Message::default();
        for input in &self.inputs {
            node.text(1, input);
        }
        node.text(2, &self.output);
        node.text(3, &self.output);
        node.text(4, self.operator);
        for (name, attribute) in &self.attributes {
            let mut message = Message::default();
            message.text(1, name);
            match attribute {
                Attribute::Integer(value) => {
                    message.integer(3, *value);
                    message.integer(20, 2);
                }
                Attribute::Integers(values) => {
                    for value in values {
                        message.integer(8, *value);
                    }
                    message.integer(20, 7);
                }
            }
            node.message(5, message);
        }
        node
    }
}

impl Initialiser {
    fn message(&self, index: usize, outside: Option<&Outside>) -> Result<Message> {
        let mut tensor = Message::default();
        for size in &self.shape {
            tensor.integer(1, *size as i64);
        }
        tensor.integer(
            2,
            match self.numbers {
                Numbers::Integers(_) => INT64,
                Numbers::Stored { half: true, .. } => FLOAT16,
                _ => FLOAT,
            },
        );
        tensor.text(8, &self.name);
        let length = self.byte_count()?;
        match outside.and_then(|outside| Some((outside, outside.places.get(index).copied().flatten()?))) {
            None => tensor.data(9, index, length),
            Some((outside, place)) => {
                tensor.message(13, pair("location", &outside.name));
                tensor.message(13, pair("offset", &place.to_string()));
                tensor.message(13, pair("length", &length.to_string()));
                tensor.integer(14, 1);
            }
        }
        Ok(tensor)
    }
}

impl Port {
    fn message(&self) -> Message {
        let mut shape = Message::default();
        for dimension in &self.shape {
            let mut message = Message::default();
            match dimension {
                Dimension::Fixed(size) => message.integer(1, *size as i64),
                Dimension::Free(name) => message.text(2, name),
            }
            shape.message(1, message);
        }
        let mut tensor = Message::default();
        tensor.integer(1, FLOAT);
        tensor.message(2, shape);
        let mut kind = Message::default();
        kind.message(1, tensor);
        let mut port = Message::default();
        port.text(1, self.name);
        port.message(2, kind);
        port
    }
}

/// A key with its value, of metadata and of places outside.
fn pair(key: &str, value: &str) -> Message {
    let mut pair = Message::default();
    pair.text(1, key);
    pair.text(2, value);
    pair
}

fn failed(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, error.to_string())
}
