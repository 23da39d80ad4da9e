//! Writing the wire format of protocol buffers; `tensor_file::onnx` reads it.

/// `FLOAT` of ONNX' numbers of element types.
pub(super) const FLOAT: i64 = 1;
/// `INT64`.
pub(super) const INT64: i64 = 7;
/// `FLOAT16`.
pub(super) const FLOAT16: i64 = 10;

/// A message: bytes, and places where the data of a tensor come when the file is written.
#[derive(Debug, Default)]
pub(super) struct Message {
    pieces: Vec<Piece>,
    length: usize,
}

#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    Bytes(Vec<u8>),
    /// The data of the tensor with this number.
    Data(usize),
}

impl Message {
    /// A whole number.
    pub fn integer(&mut self, field: u32, value: i64) {
        self.key(field, 0);
        self.varint(value as u64);
    }

    /// A text.
    pub fn text(&mut self, field: u32, text: &str) {
        self.key(field, 2);
        self.varint(text.len() as u64);
        self.push(text.as_bytes());
    }

    /// A message inside this one.
    pub fn message(&mut self, field: u32, message: Message) {
        self.key(field, 2);
        self.varint(message.length as u64);
        self.length += message.length;
        for piece in message.pieces {
            match piece {
                Piece::Bytes(bytes) => self.append(&bytes),
                data => self.pieces.push(data),
            }
        }
    }

    /// `length` bytes that tensor `index` has.
    pub fn data(&mut self, field: u32, index: usize, length: usize) {
        self.key(field, 2);
        self.varint(length as u64);
        self.pieces.push(Piece::Data(index));
        self.length += length;
    }

    /// Number of bytes, data included.
    pub fn len(&self) -> usize {
        self.length
    }

    /// What is written, in this order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    fn key(&mut self, field: u32, wire_type: u32) {
        self.varint(u64::from(field << 3 | wire_type));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(&[value as u8 | 0x80]);
            value >>= 7;
        }
        self.push(&[value as u8]);
    }

    fn push(&mut self, bytes: &[u8]) {
        self.append(bytes);
        self.length += bytes.len();
    }

    fn append(&mut self, bytes: &[u8]) {
        match self.pieces.last_mut() {
            Some(Piece::Bytes(last)) => last.extend_from_slice(bytes),
            _ => self.pieces.push(Piece::Bytes(bytes.to_vec())),
        }
    }
}
