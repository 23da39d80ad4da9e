//! Kernels: compiled from their source at first use, kept for the life of the process.

use super::device::driver_error;
use super::launch::groups;
use crate::error::{Error, ErrorKind, Result};
use candle_core::cuda_backend::cudarc::driver::sys::CUfunction_attribute;
use candle_core::cuda_backend::cudarc::driver::{CudaContext, CudaFunction};
use candle_core::cuda_backend::cudarc::nvrtc;
use omniid_kernels::Element;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

const ELEMENT: &str = include_str!("kernels/element.cuh");
const INJECT: &str = include_str!("kernels/inject.cu");
const COPY: &str = include_str!("kernels/copy.cu");

/// Newest virtual architecture that the kernels are compiled for. They use nothing newer, and PTX runs on every later
/// chip, also on those that the NVRTC at hand does not know yet.
const NEWEST_ARCHITECTURE: i32 = 90;

/// Dynamic shared memory that a block gets without asking.
const PLAIN_SHARED_BYTES: u32 = 48 * 1024;

/// A kernel with its macros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kernel {
    /// `omniid_inject`; `head_dim` is rounded up to what the macro `GROUPS` says.
    Inject {
        query: Element,
        output: Element,
        key: Element,
        groups: usize,
    },
    /// `omniid_copy`.
    Copy { source: Element, target: Element },
}

impl Kernel {
    fn name(self) -> &'static str {
        match self {
            Self::Inject { .. } => "omniid_inject",
            Self::Copy { .. } => "omniid_copy",
        }
    }

    fn source(self) -> String {
        match self {
            Self::Inject { .. } => format!("{ELEMENT}{INJECT}"),
            Self::Copy { .. } => format!("{ELEMENT}{COPY}"),
        }
    }

    fn macros(self) -> Vec<String> {
        let define = |name: &str, value: usize| format!("--define-macro={name}={value}");
        match self {
            Self::Inject {
                query,
                output,
                key,
                groups,
            } => vec![
                define("QUERY_ELEMENT", number(query)),
                define("OUTPUT_ELEMENT", number(output)),
                define("KEY_ELEMENT", number(key)),
                define("GROUPS", groups),
            ],
            Self::Copy { source, target } => {
                vec![
                    define("SOURCE_ELEMENT", number(source)),
                    define("TARGET_ELEMENT", number(target)),
                ]
            }
        }
    }

    fn shared_bytes(self) -> Result<u32> {
        match self {
            Self::Inject { groups: count, .. } => Ok(groups(count * 32)?.1),
            Self::Copy { .. } => Ok(0),
        }
    }
}

/// The number of an element type in element.cuh.
fn number(element: Element) -> usize {
    match element {
        Element::F32 => 0,
        Element::F16 => 1,
        Element::BF16 => 2,
    }
}

/// Translates a kernel to PTX with NVRTC. Needs the NVRTC library, but no GPU.
fn compile(kernel: Kernel, architecture: i32) -> Result<nvrtc::Ptx> {
    let mut options = kernel.macros();
    options.push(format!("--gpu-architecture=compute_{architecture}"));
    options.push("--std=c++17".into());
    let options = nvrtc::CompileOptions {
        options,
        ..Default::default()
    };
    nvrtc::compile_ptx_with_opts(kernel.source(), options).map_err(|error| {
        let text = match &error {
            nvrtc::CompileError::CompileError { log, .. } => log.to_string_lossy().into_owned(),
            other => other.to_string(),
        };
        Error::new(
            ErrorKind::Device,
            format!("compiling the GPU kernel {} with NVRTC: {text}", kernel.name()),
        )
    })
}

type Functions = RwLock<HashMap<(usize, Kernel), CudaFunction>>;

/// The kernel as a function of `context`'s device. Compiles it at its first use on that device.
///
/// Kernels stay loaded until the process ends, like those of CUDA's own libraries: there are a few per host model, and
/// any number of engines share them.
///
/// # Errors
///
/// `Device`: NVRTC or the driver refused.
pub(super) fn function(kernel: Kernel, context: &Arc<CudaContext>) -> Result<CudaFunction> {
    static FUNCTIONS: OnceLock<Functions> = OnceLock::new();
    let functions = FUNCTIONS.get_or_init(Functions::default);
    let place = (context.ordinal(), kernel);
    if let Some(found) = functions.read().unwrap_or_else(PoisonError::into_inner).get(&place) {
        return Ok(found.clone());
    }
    // Two threads may get here at once; then one result is thrown away, which costs less than compiling under a lock.
    let loading = driver_error("loading a GPU kernel");
    let (major, minor) = context
        .compute_capability()
        .map_err(driver_error("asking for the compute capability"))?;
    let ptx = compile(kernel, (10 * major + minor).min(NEWEST_ARCHITECTURE))?;
    let module = context.load_module(ptx).map_err(&loading)?;
    let function = module.load_function(kernel.name()).map_err(&loading)?;
    let shared = kernel.shared_bytes()?;
    if shared > PLAIN_SHARED_BYTES {
        let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        function
            .set_attribute(attribute, shared as i32)
            .map_err(driver_error("reserving shared memory"))?;
    }
    let mut functions = functions.write().unwrap_or_else(PoisonError::into_inner);
    Ok(functions.entry(place).or_insert(function).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NVRTC runs on the CPU: every combination of types must compile, for the oldest and the newest architecture.
    #[test]
    fn every_kernel_compiles_with_nvrtc() {
        let elements = [Element::F32, Element::F16, Element::BF16];
        let mut kernels = Vec::new();
        for a in elements {
            for b in elements {
                kernels.push(Kernel::Copy { source: a, target: b });
                kernels.push(Kernel::Inject {
                    query: a,
                    output: a,
                    key: b,
                    groups: 2,
                });
            }
        }
        kernels.extend((1..=8).map(|groups| Kernel::Inject {
            query: Element::F16,
            output: Element::F32,
            key: Element::BF16,
            groups,
        }));
        for kernel in kernels {
            for architecture in [80, 90] {
                let ptx = compile(kernel, architecture).unwrap_or_else(|error| panic!("{kernel:?}: {error}"));
                let text = ptx.to_src();
                assert!(text.contains(&format!(".target sm_{architecture}")), "{kernel:?}");
                assert!(text.contains(&format!(".entry {}", kernel.name())), "{kernel:?}");
            }
        }
    }
}
