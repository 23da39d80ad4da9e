//! The values that a pickle program builds.
//!
//! Containers live in an arena and are named by index. So a pickle that nests or refers to itself costs no
//! recursion when it is dropped, and every value is a small copy.

use super::super::element::Element;
use super::super::float8::Float8;
use candle_core::DType;

/// Index into [`Arena::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node(u32);

/// A value on the pickle machine's stack.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    None,
    /// Booleans are integers, as in Python.
    Int(i64),
    Float,
    Text(&'a str),
    /// Byte strings: legal, never looked at.
    Bytes,
    /// An object that lies beside the tensors and is not looked at; see [`Global::Ignored`].
    Ignored,
    Tuple(Node),
    List(Node),
    Dict(Node),
    /// A name that the program may use; see [`Global::named`].
    Global(Global),
    Storage(Node),
    Tensor(Node),
}

/// The Python names that `torch.save` needs for tensors. Every other name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    Dict,
    RebuildTensor,
    RebuildTensorV2,
    /// For element types that PyTorch has no storage class for.
    RebuildTensorV3,
    RebuildParameter,
    RebuildParameterWithState,
    Size,
    /// A class such as `torch.FloatStorage`; `None` for the untyped one.
    Storage(Option<Element>),
    /// An element type, such as `torch.float16`; `None` for one that weights do not come in.
    Type(Option<Element>),
    /// A class of which training scripts keep objects beside the weights: settings, counters, paths. Objects of it are
    /// never made; [`Value::Ignored`] stands for them.
    Ignored,
}

/// Modules whose classes are [`Global::Ignored`]: what Lightning, open_clip, accelerate and NumPy leave in files of
/// training states. Nothing of them is called.
const IGNORED: [&str; 14] = [
    "argparse",
    "collections",
    "datetime",
    "enum",
    "lightning",
    "lightning_fabric",
    "lightning_utilities",
    "ml_collections",
    "numpy",
    "omegaconf",
    "pathlib",
    "pytorch_lightning",
    "typing",
    "_codecs",
];

impl Global {
    /// The allowed name `module.name`; `None` for every other.
    pub(super) fn named(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("builtins" | "__builtin__", "dict") => Self::Dict,
            ("torch._utils", "_rebuild_tensor") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensorV2,
            ("torch._utils", "_rebuild_tensor_v3") => Self::RebuildTensorV3,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch._utils", "_rebuild_parameter_with_state") => Self::RebuildParameterWithState,
            ("torch", "Size") => Self::Size,
            ("torch.storage" | "torch", "UntypedStorage") => Self::Storage(None),
            ("torch", storage) if storage.ends_with("Storage") => {
                Self::Storage(Some(stored(storage.strip_suffix("Storage")?)?))
            }
            ("torch", "device") => Self::Ignored,
            ("torch", "int8" | "complex64") => Self::Type(None),
            ("torch", name) => Self::Type(Some(typed(name)?)),
            ("builtins" | "__builtin__", "set" | "frozenset" | "complex" | "bytearray" | "slice") => Self::Ignored,
            ("copyreg" | "copy_reg", "_reconstructor") => Self::Ignored,
            _ if IGNORED.contains(&module.split('.').next().unwrap_or_default()) => Self::Ignored,
            _ => return None,
        })
    }
}

/// The element type of the storage class `torch.{name}Storage`.
fn stored(name: &str) -> Option<Element> {
    Some(Element::Plain(match name {
        "Float" => DType::F32,
        "Half" => DType::F16,
        "BFloat16" => DType::BF16,
        "Double" => DType::F64,
        "Long" => DType::I64,
        "Int" => DType::I32,
        "Short" => DType::I16,
        "Byte" | "Bool" => DType::U8,
        _ => return float8(&name.to_ascii_lowercase()),
    }))
}

/// The element type `torch.{name}`.
fn typed(name: &str) -> Option<Element> {
    Some(Element::Plain(match name {
        "float32" | "float" => DType::F32,
        "float16" | "half" => DType::F16,
        "bfloat16" => DType::BF16,
        "float64" | "double" => DType::F64,
        "int64" | "long" => DType::I64,
        "int32" | "int" => DType::I32,
        "int16" | "short" => DType::I16,
        "uint8" | "bool" => DType::U8,
        _ => return float8(name),
    }))
}

fn float8(name: &str) -> Option<Element> {
    match name {
        "float8_e4m3fn" => Some(Element::Float8(Float8::E4m3)),
        "float8_e5m2" => Some(Element::Float8(Float8::E5m2)),
        _ => None,
    }
}

/// A storage: a run of elements in a file of the archive.
#[derive(Debug, Clone, Copy)]
pub(super) struct StorageRef<'a> {
    /// A byte where the class does not say what the elements are.
    pub(super) element: Element,
    /// Name of the file below `data/`.
    pub(super) key: &'a str,
    /// Number of elements.
    pub(super) elements: usize,
}

/// A strided view of a storage. Offset and strides count elements.
#[derive(Debug, Clone)]
pub(super) struct TensorRef<'a> {
    pub(super) storage: StorageRef<'a>,
    pub(super) element: Element,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// What a [`Node`] stands for.
#[derive(Debug, Clone)]
pub(super) enum Content<'a> {
    Sequence(Vec<Value<'a>>),
    Pairs(Vec<(Value<'a>, Value<'a>)>),
    Storage(StorageRef<'a>),
    Tensor(TensorRef<'a>),
}

/// All containers of a pickle program.
#[derive(Default)]
pub(super) struct Arena<'a> {
    nodes: Vec<Content<'a>>,
}

impl<'a> Arena<'a> {
    /// Stores a container. The number of nodes is bounded by the number of operations.
    pub(super) fn add(&mut self, content: Content<'a>) -> Node {
        self.nodes.push(content);
        Node((self.nodes.len() - 1) as u32)
    }

    pub(super) fn get(&self, node: Node) -> Option<&Content<'a>> {
        self.nodes.get(node.0 as usize)
    }

    pub(super) fn get_mut(&mut self, node: Node) -> Option<&mut Content<'a>> {
        self.nodes.get_mut(node.0 as usize)
    }

    /// The elements of a tuple or list.
    pub(super) fn sequence(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        let (Value::Tuple(node) | Value::List(node)) = value else {
            return None;
        };
        match self.get(node)? {
            Content::Sequence(values) => Some(values),
            _ => None,
        }
    }

    /// The items of a dictionary.
    pub(super) fn pairs(&self, value: Value<'a>) -> Option<&[(Value<'a>, Value<'a>)]> {
        let Value::Dict(node) = value else { return None };
        match self.get(node)? {
            Content::Pairs(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// The tensor behind a value.
    pub(super) fn tensor(&self, value: Value<'a>) -> Option<&TensorRef<'a>> {
        let Value::Tensor(node) = value else { return None };
        match self.get(node)? {
            Content::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// A non-negative integer.
    pub(super) fn size(value: Value<'a>) -> Option<usize> {
        match value {
            Value::Int(number) => usize::try_from(number).ok(),
            _ => None,
        }
    }

    /// A tuple of non-negative integers.
    pub(super) fn sizes(&self, value: Value<'a>) -> Option<Vec<usize>> {
        self.sequence(value)?.iter().map(|&v| Self::size(v)).collect()
    }
}
