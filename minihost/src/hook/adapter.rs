//! The differentiable way: from identity tokens through the plugin's adapter into the layers.

use super::{is_guided, IdentityHook};
use candle_core::{Tensor, D};
use omniid::adapter::Adapter;
use omniid::host::HostSpec;
use omniid::{Error, Result};
use omniid_kernels::layers::attention;

/// Identity tokens of several people in a batch of pictures.
///
/// Keys and values are projected once per person, when the hook is made, and shared by the person's pictures. Tokens
/// and adapter may be variables: gradients reach both. Adds exactly what
/// [`ConditioningHook`](super::ConditioningHook) adds for the same weights.
pub struct AdapterHook {
    layers: Vec<Layer>,
    rows: Vec<Option<usize>>,
}

/// Keys and values of one layer, `[people + 1, tokens, inner]`: nobody comes last.
struct Layer {
    keys: Tensor,
    values: Tensor,
    heads: usize,
}

impl AdapterHook {
    /// Projects the tokens of all people.
    ///
    /// `tokens` `[people, tokens, width]`; `nobody` `[tokens, width]` is what pictures without identity see, zero
    /// tokens by default: give the model's mean identity where there is one, because the plugin does so too. `rows`
    /// says for each picture whose identity it has; `None` drops it.
    ///
    /// # Errors
    /// [`Mismatch`](omniid::ErrorKind::Mismatch) when adapter, host and tokens do not belong together;
    /// [`InvalidArgument`](omniid::ErrorKind::InvalidArgument) for no rows or a row with a person that is not there.
    pub fn new(
        adapter: &Adapter,
        host: &HostSpec,
        tokens: &Tensor,
        nobody: Option<&Tensor>,
        rows: &[Option<usize>],
    ) -> Result<Self> {
        adapter.check_host(host)?;
        let &[people, count, width] = tokens.dims() else {
            return Err(Error::mismatch(format!(
                "identity tokens of shape {:?}, expected [people, tokens, width]",
                tokens.dims()
            )));
        };
        if let Some(row) = rows.iter().flatten().find(|row| **row >= people) {
            return Err(Error::invalid(format!(
                "a picture is of person {row}, there are {people}"
            )));
        }
        if rows.is_empty() {
            return Err(Error::invalid("an identity hook for no pictures"));
        }
        let nobody = match nobody {
            Some(nobody) if nobody.dims() == [count, width] => nobody.unsqueeze(0)?.to_dtype(tokens.dtype())?,
            Some(nobody) => {
                return Err(Error::mismatch(format!(
                    "the tokens of nobody have shape {:?}, those of people [{count}, {width}]",
                    nobody.dims()
                )))
            }
            None => Tensor::zeros((1, count, width), tokens.dtype(), tokens.device())?,
        };
        let context = adapter.context(&Tensor::cat(&[tokens, &nobody], 0)?)?;
        let layers = adapter
            .layers()
            .iter()
            .zip(host.layers())
            .map(|(layer, place)| {
                Ok(Layer {
                    keys: layer.to_k.forward(&context)?,
                    values: layer.to_v.forward(&context)?,
                    heads: place.heads,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            layers,
            rows: rows.to_vec(),
        })
    }

    /// The same hook without gradients: for previews and evaluation, where it is faster.
    pub fn detached(self) -> Self {
        let detach = |layer: Layer| Layer {
            keys: layer.keys.detach(),
            values: layer.values.detach(),
            ..layer
        };
        Self {
            layers: self.layers.into_iter().map(detach).collect(),
            ..self
        }
    }

    /// Number of pictures.
    pub fn pictures(&self) -> usize {
        self.rows.len()
    }

    /// If all people have the same number of neighbouring pictures and nobody was dropped: how many.
    fn pictures_per_person(&self, people: usize) -> Option<usize> {
        let each = self.rows.len() / people.max(1);
        let grouped = each > 0
            && self.rows.len() == each * people
            && self
                .rows
                .iter()
                .enumerate()
                .all(|(row, person)| *person == Some(row / each));
        grouped.then_some(each)
    }
}

impl IdentityHook for AdapterHook {
    fn apply(&self, layer: usize, query: &Tensor, output: Tensor) -> Result<Tensor> {
        let count = self.layers.len();
        let Layer { keys, values, heads } = self
            .layers
            .get(layer)
            .ok_or_else(|| Error::invalid(format!("the identity hook has {count} layers, asked for {layer}")))?;
        let (batch, tokens, inner) = query.dims3()?;
        let guided = is_guided(batch, self.rows.len())?;
        let people = keys.dim(0)? - 1;
        if let (false, Some(each)) = (guided, self.pictures_per_person(people)) {
            // All pictures of a person query one set of keys: no copy of the keys for each.
            let query = query.reshape((people, each * tokens, inner))?;
            let (keys, values) = (keys.narrow(0, 0, people)?, values.narrow(0, 0, people)?);
            let attended = attention(&query, &keys, &values, *heads)?;
            return Ok((output + attended.reshape((batch, tokens, inner))?)?);
        }
        let nobody = guided.then_some(None).into_iter().cycle().take(self.rows.len());
        let index = self.rows.iter().copied().chain(nobody);
        let index = Tensor::from_iter(index.map(|row| row.unwrap_or(people) as u32), query.device())?;
        let keys = keys.index_select(&index, 0)?;
        let values = values.index_select(&index, 0)?;
        debug_assert_eq!(keys.dim(D::Minus1)?, inner);
        Ok((output + attention(query, &keys, &values, *heads)?)?)
    }
}
