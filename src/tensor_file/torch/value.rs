//! The values that a pickle program builds.
//!
//! Containers live in an arena and are named by index. So a pickle that nests or refers to itself costs no
//! recursion when it is dropped, and every value is a small copy.

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
    RebuildParameter,
    RebuildParameterWithState,
    Size,
    /// A class such as `torch.FloatStorage`; `None` for the untyped one.
    Storage(Option<DType>),
    /// A constant such as `torch.float16`, kept beside the tensors in some files.
    Constant,
}

impl Global {
    /// The allowed name `module.name`; `None` for every other.
    pub(super) fn named(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("builtins" | "__builtin__", "dict") => Self::Dict,
            ("torch._utils", "_rebuild_tensor") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensorV2,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch._utils", "_rebuild_parameter_with_state") => Self::RebuildParameterWithState,
            ("torch", "Size") => Self::Size,
            ("torch.storage", "UntypedStorage") => Self::Storage(None),
            ("torch", storage) if storage.ends_with("Storage") => Self::Storage(Some(match storage {
                "FloatStorage" => DType::F32,
                "HalfStorage" => DType::F16,
                "BFloat16Storage" => DType::BF16,
                "DoubleStorage" => DType::F64,
                "LongStorage" => DType::I64,
                "IntStorage" => DType::I32,
                "ShortStorage" => DType::I16,
                "ByteStorage" | "BoolStorage" => DType::U8,
                _ => return None,
            })),
            (
                "torch",
                "float32" | "float16" | "bfloat16" | "float64" | "int64" | "int32" | "int16" | "int8" | "uint8"
                | "bool",
            ) => Self::Constant,
            _ => return None,
        })
    }
}

/// A storage: a run of elements in a file of the archive.
#[derive(Debug, Clone, Copy)]
pub(super) struct StorageRef<'a> {
    pub(super) dtype: DType,
    /// Name of the file below `data/`.
    pub(super) key: &'a str,
    /// Number of elements.
    pub(super) elements: usize,
}

/// A strided view of a storage. Offset and strides count elements.
#[derive(Debug, Clone)]
pub(super) struct TensorRef<'a> {
    pub(super) storage: StorageRef<'a>,
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
