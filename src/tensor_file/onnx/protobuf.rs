//! The wire format of protocol buffers: the fields of a message, in their order, where they lie.

/// The content of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    /// A whole number.
    Varint(u64),
    /// Eight bytes, as a number.
    Fixed64(u64),
    /// A message, a text, or packed numbers.
    Bytes(&'a [u8]),
    /// Four bytes, as a number.
    Fixed32(u32),
}

/// The fields of a message: number and content of each.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

/// The fields of the message `bytes`. After an error there are no more.
pub(super) fn fields(bytes: &[u8]) -> Fields<'_> {
    Fields { rest: bytes }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = field(&mut self.rest);
        if field.is_none() {
            self.rest = &[];
        }
        Some(field.ok_or_else(|| "damaged: no message of protocol buffers".to_string()))
    }
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<(u32, Value<'a>)> {
    let key = varint(rest)?;
    let number = u32::try_from(key >> 3).ok().filter(|&number| number != 0)?;
    let value = match key & 7 {
        0 => Value::Varint(varint(rest)?),
        1 => Value::Fixed64(u64::from_le_bytes(take(rest, 8)?.try_into().ok()?)),
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Value::Bytes(take(rest, length)?)
        }
        5 => Value::Fixed32(u32::from_le_bytes(take(rest, 4)?.try_into().ok()?)),
        // Groups, which no current file has.
        _ => return None,
    };
    Some((number, value))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, left) = rest.split_first()?;
        *rest = left;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Adds packed whole numbers to `values`, of which there may be `most`.
pub(super) fn packed_varints(mut packed: &[u8], most: usize, values: &mut Vec<i64>) -> Result<(), String> {
    while !packed.is_empty() && values.len() <= most {
        let value = varint(&mut packed).ok_or("damaged: a whole number is cut off")?;
        values.push(value as i64);
    }
    Ok(())
}
