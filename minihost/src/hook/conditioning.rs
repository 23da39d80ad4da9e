//! The plugin's way: keys and values of a [`Conditioning`], added in the tensors' own memory.

use super::{is_guided, IdentityHook};
use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Tensor};
use omniid::conditioning::{Conditioning, Role, Step};
use omniid::inject::{InjectCall, TensorView, TensorViewMut};
use omniid::{Error, Result};
use omniid_kernels::layers::attention;

/// The identities of a [`Conditioning`] in every picture of a batch. For inference.
///
/// Unconditional rows see the unconditional side of each identity.
pub struct ConditioningHook {
    conditioning: Conditioning,
    pictures: usize,
    step: Step,
    latent: Option<(usize, usize)>,
}

impl ConditioningHook {
    /// A hook for `pictures` pictures.
    pub fn new(conditioning: Conditioning, pictures: usize) -> Self {
        Self {
            conditioning,
            pictures,
            step: Step::default(),
            latent: None,
        }
    }

    /// Where sampling stands, for identities that are limited to a range of steps.
    pub fn at_step(mut self, step: Step) -> Self {
        self.step = step;
        self
    }

    /// Rows and columns of the UNet's input, for identities with a mask.
    pub fn with_latent(mut self, height: usize, width: usize) -> Self {
        self.latent = Some((height, width));
        self
    }

    /// The same sums with candle's operations, for tensors on a GPU.
    fn on_device(&self, layer: usize, query: &Tensor, mut output: Tensor, roles: &[Role]) -> Result<Tensor> {
        let heads = self.conditioning.host().layer(layer)?.heads;
        let (batch, tokens, inner) = query.dims3()?;
        for identity in 0..self.conditioning.identity_count() {
            if !self.conditioning.is_active(identity, &self.step)? {
                continue;
            }
            let factor = self.conditioning.factor(layer, identity)?;
            let mask = self.conditioning.mask_factors(identity, tokens, self.latent)?;
            let mut added = Vec::with_capacity(batch);
            for (row, role) in roles.iter().enumerate() {
                let pair = (
                    self.conditioning.keys(layer, identity, *role)?,
                    self.conditioning.values(layer, identity, *role)?,
                );
                added.push(match pair {
                    (Some(keys), Some(values)) => {
                        let flat = |x: Tensor| x.flatten_from(1)?.unsqueeze(0)?.to_dtype(query.dtype());
                        attention(&query.narrow(0, row, 1)?, &flat(keys)?, &flat(values)?, heads)?
                    }
                    _ => Tensor::zeros((1, tokens, inner), query.dtype(), query.device())?,
                });
            }
            let mut added = (Tensor::cat(&added, 0)? * f64::from(factor))?;
            if let Some(mask) = mask {
                let mask = Tensor::from_slice(&mask, (1, tokens, 1), query.device())?;
                added = added.broadcast_mul(&mask.to_dtype(query.dtype())?)?;
            }
            output = (output + added)?;
        }
        Ok(output)
    }
}

impl IdentityHook for ConditioningHook {
    fn apply(&self, layer: usize, query: &Tensor, output: Tensor) -> Result<Tensor> {
        let batch = query.dim(0)?;
        let mut roles = vec![Role::Conditional; batch];
        if is_guided(batch, self.pictures)? {
            roles[self.pictures..].fill(Role::Unconditional);
        }
        if !output.device().is_cpu() {
            return self.on_device(layer, query, output, &roles);
        }
        // Writing in place would reach through a graph's back; such an output is copied first.
        let output = if output.track_op() {
            output.detach().copy()?
        } else {
            output.contiguous()?
        };
        let place = self.conditioning.host().layer(layer)?;
        let operation = Inject {
            hook: self,
            layer,
            heads: place.heads,
            head_dim: place.head_dim,
            roles: &roles,
        };
        output.inplace_op2(&query.detach().contiguous()?, &operation)?;
        Ok(output)
    }
}

/// The plugin's injection as a candle operation, which hands out the memory.
struct Inject<'a> {
    hook: &'a ConditioningHook,
    layer: usize,
    heads: usize,
    head_dim: usize,
    roles: &'a [Role],
}

impl InplaceOp2 for Inject<'_> {
    fn name(&self) -> &'static str {
        "inject"
    }

    fn cpu_fwd(
        &self,
        output: &mut CpuStorage,
        output_layout: &Layout,
        query: &CpuStorage,
        query_layout: &Layout,
    ) -> candle_core::Result<()> {
        self.run(output, output_layout, query, query_layout)
            .map_err(Error::into_candle)
    }
}

impl Inject<'_> {
    fn run(
        &self,
        output: &mut CpuStorage,
        output_layout: &Layout,
        query: &CpuStorage,
        query_layout: &Layout,
    ) -> Result<()> {
        let (batch, rows, inner) = output_layout.shape().dims3()?;
        if inner != self.heads * self.head_dim {
            return Err(Error::mismatch(format!(
                "layer {} has {} heads of width {}, its output width {inner}",
                self.layer, self.heads, self.head_dim
            )));
        }
        let shape = [batch, rows, inner];
        let range = |layout: &Layout| {
            layout
                .contiguous_offsets()
                .ok_or_else(|| Error::internal("injecting into tensors that are not contiguous"))
        };
        let (out_from, out_to) = range(output_layout)?;
        let (query_from, query_to) = range(query_layout)?;
        let (query, output) = match (query, output) {
            (CpuStorage::F32(query), CpuStorage::F32(output)) => (
                TensorView::contiguous(&query[query_from..query_to], shape)?,
                TensorViewMut::contiguous(&mut output[out_from..out_to], shape)?,
            ),
            (query, _) => {
                return Err(Error::unsupported(format!(
                    "injecting into tensors of type {:?} on the CPU; the minihost computes in {:?}",
                    dtype(query),
                    DType::F32
                )))
            }
        };
        let call = InjectCall::new(self.layer, query, output)
            .with_step(self.hook.step)
            .with_roles(self.roles)
            .with_latent(self.hook.latent);
        self.hook.conditioning.inject(call)
    }
}

fn dtype(storage: &CpuStorage) -> DType {
    use candle_core::backend::BackendStorage;
    storage.dtype()
}
