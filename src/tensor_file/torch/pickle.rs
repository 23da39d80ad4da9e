//! A reader for the pickle programs that `torch.save` writes. It builds data and calls nothing.
//!
//! Pickle is a stack machine; its operations are described in CPython's `Lib/pickletools.py`. Understood are those of
//! protocol 2 (what `torch.save` uses) and the harmless ones of later protocols. A name from Python (`GLOBAL`) is
//! allowed only when [`Global::named`] knows it: a program that names anything else, such as `os.system`, is
//! refused with that name, and no part of it has any effect.

use super::super::element::{self, Element};
use super::value::{Arena, Content, Global, Node, StorageRef, TensorRef, Value};
use crate::error::{Error, Result};
use crate::remedy;
use candle_core::DType;
use std::collections::HashMap;

/// Most operations of a program. A checkpoint of a thousand tensors has about fifty thousand.
const MAX_OPERATIONS: usize = 4_000_000;

/// Most values in copies of sequences and dictionaries. An operation makes one value, but a copy may be of many, and
/// all are kept.
const MAX_COPIED: usize = 4_000_000;

/// Most bytes of one text, such as a tensor's name.
const MAX_TEXT: usize = 1 << 20;

/// Most dimensions of a tensor.
const MAX_RANK: usize = 16;

/// The value that a program leaves, and the containers it refers to.
pub(super) struct Pickled<'a> {
    pub(super) arena: Arena<'a>,
    pub(super) root: Value<'a>,
}

/// Runs a program.
///
/// # Errors
/// `Unsupported` for a forbidden name or operation, `LimitExceeded` beyond the limits above, `Format` for a damaged
/// program.
pub(super) fn read(program: &[u8]) -> Result<Pickled<'_>> {
    Machine {
        input: program,
        at: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        arena: Arena::default(),
        copied: 0,
    }
    .run()
}

struct Machine<'a> {
    input: &'a [u8],
    at: usize,
    stack: Vec<Value<'a>>,
    /// Heights of the stack where `MARK` was executed.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    arena: Arena<'a>,
    /// Values copied so far.
    copied: usize,
}

impl<'a> Machine<'a> {
    fn damaged(&self, what: &str) -> Error {
        Error::format(format!("pickle: {what} at byte {} of {}", self.at, self.input.len()))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count);
        let bytes = end
            .and_then(|end| self.input.get(self.at..end))
            .ok_or_else(|| self.damaged("the program ends early"))?;
        self.at += count;
        Ok(bytes)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| self.damaged("the program ends early"))
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(u8::from_le_bytes(self.number()?))
    }

    fn length(&mut self) -> Result<usize> {
        Ok(u32::from_le_bytes(self.number()?) as usize)
    }

    fn text(&mut self, length: usize) -> Result<&'a str> {
        if length > MAX_TEXT {
            return Err(Error::limit(format!(
                "pickle: text of {length} bytes, at most {MAX_TEXT} are read"
            )));
        }
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.damaged("a text is not UTF-8"))
    }

    /// Text up to the end of the line.
    fn line(&mut self) -> Result<&'a str> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let window = &rest[..rest.len().min(4096)];
        let length = window
            .iter()
            .position(|&b| b == b'\n')
            .ok_or_else(|| self.damaged("a name has no end"))?;
        let text = self.text(length)?;
        self.at += 1;
        Ok(text)
    }

    fn pop(&mut self) -> Result<Value<'a>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(self.damaged("the stack is empty"));
        }
        self.stack.pop().ok_or_else(|| self.damaged("the stack is empty"))
    }

    fn top(&self) -> Result<Value<'a>> {
        self.stack
            .last()
            .copied()
            .ok_or_else(|| self.damaged("the stack is empty"))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'a>>> {
        let height = self.marks.pop().ok_or_else(|| self.damaged("there is no mark"))?;
        Ok(self.stack.split_off(height.min(self.stack.len())))
    }

    fn push_sequence(&mut self, values: Vec<Value<'a>>, wrap: fn(Node) -> Value<'a>) {
        let node = self.arena.add(Content::Sequence(values));
        self.stack.push(wrap(node));
    }

    fn push_dict(&mut self, pairs: Vec<(Value<'a>, Value<'a>)>) {
        let node = self.arena.add(Content::Pairs(pairs));
        self.stack.push(Value::Dict(node));
    }

    fn tuple(&mut self, count: usize) -> Result<()> {
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.push(self.pop()?);
        }
        values.reverse();
        self.push_sequence(values, Value::Tuple);
        Ok(())
    }

    fn extend_list(&mut self, values: Vec<Value<'a>>) -> Result<()> {
        let node = match self.top()? {
            Value::List(node) => node,
            Value::Ignored => return Ok(()),
            _ => return Err(self.damaged("appending to what is no list")),
        };
        match self.arena.get_mut(node) {
            Some(Content::Sequence(list)) => list.extend(values),
            _ => return Err(self.damaged("appending to what is no list")),
        }
        Ok(())
    }

    fn extend_dict(&mut self, values: &[Value<'a>]) -> Result<()> {
        let node = match self.top()? {
            Value::Dict(node) => node,
            Value::Ignored => return Ok(()),
            _ => return Err(self.damaged("setting items of what is no dict")),
        };
        if !values.len().is_multiple_of(2) {
            return Err(self.damaged("a key has no value"));
        }
        match self.arena.get_mut(node) {
            Some(Content::Pairs(pairs)) => pairs.extend(values.chunks_exact(2).map(|pair| (pair[0], pair[1]))),
            _ => return Err(self.damaged("setting items of what is no dict")),
        }
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<()> {
        let global = Global::named(module, name).ok_or_else(|| {
            if module.starts_with("__torch__") {
                return Error::unsupported("PyTorch file: a TorchScript program, expected a dictionary of tensors")
                    .with_remedy(remedy::SAFETENSORS);
            }

            let kind = name.strip_suffix("Storage").unwrap_or(name);
            let numeric = [
                "int", "uint", "bits", "float", "Q", "Char", "complex", "Complex", "Float", "UInt",
            ];
            if module == "torch" && numeric.iter().any(|begin| kind.starts_with(begin)) {
                // A number type that is not known.
                return element::not_read(&kind.to_lowercase()).context("PyTorch file: a tensor");
            }
            Error::unsupported(format!(
                "pickle: the file asks Python for {:?}, which is neither a tensor nor a dictionary; nothing from a \
                 checkpoint is executed",
                format!("{module}.{name}")
            ))
            .with_remedy(remedy::SAFETENSORS)
        })?;
        self.stack.push(Value::Global(global));
        Ok(())
    }

    fn memoize(&mut self, index: u32) -> Result<()> {
        let value = self.top()?;
        self.memo.insert(index, value);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Result<()> {
        let value = self
            .memo
            .get(&index)
            .copied()
            .ok_or_else(|| self.damaged(&format!("memo {index} was never set")))?;
        self.stack.push(value);
        Ok(())
    }

    /// A little-endian two's complement number of any length up to eight bytes.
    fn long(&mut self, length: usize) -> Result<i64> {
        if length > 8 {
            return Err(Error::unsupported(format!("pickle: an integer of {length} bytes")));
        }
        let bytes = self.take(length)?;
        let fill = if bytes.last().is_some_and(|&b| b & 0x80 != 0) {
            0xff
        } else {
            0
        };
        let mut wide = [fill; 8];
        wide[..length].copy_from_slice(bytes);
        Ok(i64::from_le_bytes(wide))
    }

    fn run(mut self) -> Result<Pickled<'a>> {
        for _ in 0..MAX_OPERATIONS {
            let operation = self.byte()?;
            if operation == b'.' {
                let root = self.pop()?;
                return Ok(Pickled {
                    arena: self.arena,
                    root,
                });
            }
            self.step(operation)?;
        }
        Err(Error::limit(format!("pickle: more than {MAX_OPERATIONS} operations")))
    }

    fn step(&mut self, operation: u8) -> Result<()> {
        match operation {
            // PROTO and FRAME say how it was written.
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Int(1)),
            0x89 => self.stack.push(Value::Int(0)),
            b'J' => {
                let number = i32::from_le_bytes(self.number()?);
                self.stack.push(Value::Int(i64::from(number)));
            }
            b'K' => {
                let number = self.byte()?;
                self.stack.push(Value::Int(i64::from(number)));
            }
            b'M' => {
                let number = u16::from_le_bytes(self.number()?);
                self.stack.push(Value::Int(i64::from(number)));
            }
            0x8a => {
                let length = usize::from(self.byte()?);
                let number = self.long(length)?;
                self.stack.push(Value::Int(number));
            }
            b'G' => {
                self.take(8)?;
                self.stack.push(Value::Float);
            }
            // BINUNICODE, SHORT_BINUNICODE, and the byte strings of Python 2.
            b'X' | b'T' => {
                let length = self.length()?;
                let text = self.text(length)?;
                self.stack.push(Value::Text(text));
            }
            0x8c | b'U' => {
                let length = usize::from(self.byte()?);
                let text = self.text(length)?;
                self.stack.push(Value::Text(text));
            }
            b'B' => {
                let length = self.length()?;
                self.take(length)?;
                self.stack.push(Value::Bytes);
            }
            b'C' => {
                let length = usize::from(self.byte()?);
                self.take(length)?;
                self.stack.push(Value::Bytes);
            }
            b')' => self.push_sequence(Vec::new(), Value::Tuple),
            b']' => self.push_sequence(Vec::new(), Value::List),
            b'}' => self.push_dict(Vec::new()),
            b't' => {
                let values = self.pop_to_mark()?;
                self.push_sequence(values, Value::Tuple);
            }
            b'l' => {
                let values = self.pop_to_mark()?;
                self.push_sequence(values, Value::List);
            }
            b'd' => {
                let values = self.pop_to_mark()?;
                self.push_dict(Vec::new());
                self.extend_dict(&values)?;
            }
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b'a' => {
                let value = self.pop()?;
                self.extend_list(vec![value])?;
            }
            b'e' => {
                let values = self.pop_to_mark()?;
                self.extend_list(values)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend_dict(&[key, value])?;
            }
            b'u' => {
                let values = self.pop_to_mark()?;
                self.extend_dict(&values)?;
            }
            b'q' => {
                let index = self.byte()?;
                self.memoize(u32::from(index))?;
            }
            b'r' => {
                let index = u32::from_le_bytes(self.number()?);
                self.memoize(index)?;
            }
            0x94 => {
                let index = self.memo.len() as u32;
                self.memoize(index)?;
            }
            b'h' => {
                let index = self.byte()?;
                self.recall(u32::from(index))?;
            }
            b'j' => {
                let index = u32::from_le_bytes(self.number()?);
                self.recall(index)?;
            }
            // GLOBAL, INST, STACK_GLOBAL: only these bring in names from Python.
            b'c' | b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name)?;
                if operation == b'i' {
                    return Err(Error::unsupported(format!(
                        "pickle: an instance of {:?}",
                        format!("{module}.{name}")
                    )));
                }
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (module, name) else {
                    return Err(self.damaged("a global without a name"));
                };
                self.global(module, name)?;
            }
            b'Q' => self.persistent()?,
            b'R' | 0x81 => self.reduce()?,
            b'b' => {
                // The state of an ordered dictionary is its module versions (`_metadata`): nothing that is needed.
                self.pop()?;
                if !matches!(self.top()?, Value::Dict(_) | Value::Tensor(_) | Value::Ignored) {
                    return Err(Error::unsupported(
                        "pickle: state of an object that is no dictionary or tensor",
                    ));
                }
            }
            other => {
                let shown = if other.is_ascii_graphic() {
                    format!("{:?}", char::from(other))
                } else {
                    format!("{other:#04x}")
                };
                return Err(Error::unsupported(format!(
                    "pickle: operation {shown} at byte {}, which torch.save does not write",
                    self.at - 1
                )));
            }
        }
        Ok(())
    }

    /// A persistent id of `torch.save`: ("storage", class, key, location, number of elements).
    fn persistent(&mut self) -> Result<()> {
        let id = self.pop()?;
        let storage = match self.arena.sequence(id) {
            Some([Value::Text("storage"), Value::Global(Global::Storage(element)), Value::Text(key), _, elements]) => {
                Arena::size(*elements).map(|elements| (*element, *key, elements))
            }
            _ => None,
        };
        let (element, key, elements) =
            storage.ok_or_else(|| self.damaged("a persistent id that is no tensor storage"))?;
        let element = element.unwrap_or(Element::Plain(DType::U8));
        let node = self.arena.add(Content::Storage(StorageRef { element, key, elements }));
        self.stack.push(Value::Storage(node));
        Ok(())
    }

    /// The call of an allowed name. It only ever builds data.
    fn reduce(&mut self) -> Result<()> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let global = match callee {
            Value::Global(global) => global,
            // A method of an object that is not looked at.
            Value::Ignored => Global::Ignored,
            _ => return Err(self.damaged("calling what is no name")),
        };
        if global == Global::Ignored {
            self.stack.push(Value::Ignored);
            return Ok(());
        }
        let Value::Tuple(_) = arguments else {
            return Err(self.damaged("a call without arguments"));
        };
        let values = self.arena.sequence(arguments).unwrap_or_default();
        match (global, values) {
            (Global::OrderedDict | Global::Dict, []) => self.push_dict(Vec::new()),
            (Global::OrderedDict | Global::Dict, [items, ..]) => {
                let pairs = match self.arena.pairs(*items) {
                    Some(pairs) => Some(pairs.to_vec()),
                    None => self.arena.sequence(*items).and_then(|items| {
                        items
                            .iter()
                            .map(|&item| match self.arena.sequence(item) {
                                Some([key, value]) => Some((*key, *value)),
                                _ => None,
                            })
                            .collect()
                    }),
                };
                let pairs = pairs.ok_or_else(|| self.damaged("a dictionary of what are no pairs"))?;
                self.count_copied(pairs.len())?;
                self.push_dict(pairs);
            }
            (Global::Size, [sizes]) => {
                let sizes = self.arena.sequence(*sizes).map(<[_]>::to_vec);
                let sizes = sizes.ok_or_else(|| self.damaged("a torch.Size of what are no numbers"))?;
                self.count_copied(sizes.len())?;
                self.push_sequence(sizes, Value::Tuple);
            }
            (
                Global::RebuildTensor | Global::RebuildTensorV2,
                [Value::Storage(storage), offset, shape, strides, ..],
            ) => self.tensor(*storage, [*offset, *shape, *strides], None)?,
            (
                Global::RebuildTensorV3,
                [Value::Storage(storage), offset, shape, strides, _, _, Value::Global(Global::Type(Some(element))), ..],
            ) => self.tensor(*storage, [*offset, *shape, *strides], Some(*element))?,
            (Global::RebuildTensorV3, [_, _, _, _, _, _, Value::Global(Global::Type(None)), ..]) => {
                return Err(element::not_read("int8").context("PyTorch file: a tensor"))
            }
            (Global::RebuildParameter | Global::RebuildParameterWithState, [tensor @ Value::Tensor(_), ..]) => {
                let tensor = *tensor;
                self.stack.push(tensor);
            }
            _ => return Err(self.damaged(&format!("a call of {global:?} with arguments that do not fit"))),
        }
        Ok(())
    }

    fn count_copied(&mut self, count: usize) -> Result<()> {
        self.copied += count;
        if self.copied > MAX_COPIED {
            return Err(Error::limit(format!("pickle: copies of more than {MAX_COPIED} values")));
        }
        Ok(())
    }

    /// A view of a storage, whose elements are of type `element` if the storage does not say.
    fn tensor(&mut self, storage: Node, view: [Value<'a>; 3], element: Option<Element>) -> Result<()> {
        let [offset, shape, strides] = view;
        let parts = (Arena::size(offset), self.arena.sizes(shape), self.arena.sizes(strides));
        let tensor = match (self.arena.get(storage), parts) {
            (Some(Content::Storage(storage)), (Some(offset), Some(shape), Some(strides)))
                if shape.len() <= MAX_RANK =>
            {
                Some(TensorRef {
                    storage: *storage,
                    element: element.unwrap_or(storage.element),
                    offset,
                    shape,
                    strides,
                })
            }
            _ => None,
        };
        let tensor = tensor.ok_or_else(|| {
            self.damaged(&format!(
                "a tensor whose offset, shape or strides are no sizes (or more than {MAX_RANK} dimensions)"
            ))
        })?;
        let node = self.arena.add(Content::Tensor(tensor));
        self.stack.push(Value::Tensor(node));
        Ok(())
    }
}
