//! Layers as operators: what `omniid_kernels::layers` computes, in opset 15.

use super::graph::Attribute::{Integer, Integers};
use super::{Graph, Value};
use crate::error::{Error, Result};
use candle_core::Tensor;
use omniid_kernels::layers::{Activation, LayerNorm, Linear};

impl Graph {
    /// [`Linear::forward`].
    ///
    /// # Errors
    /// As [`Graph::parameter`].
    pub fn linear(&mut self, layer: &Linear, x: &Value) -> Result<Value> {
        let weight = self.weight(weight(layer)?, true)?;
        let mut x = self.node("MatMul", &[x, &weight], &[]);
        if let Some(bias) = layer.bias() {
            let bias = self.parameter(bias)?;
            x = self.add(&x, &bias);
        }
        Ok(match layer.activation() {
            Some(activation) => self.activation(activation, &x),
            None => x,
        })
    }

    /// [`Linear::forward_add`].
    ///
    /// # Errors
    /// As [`Graph::parameter`].
    pub fn linear_add(&mut self, layer: &Linear, x: &Value, residual: &Value) -> Result<Value> {
        let x = self.linear(layer, x)?;
        Ok(self.add(&x, residual))
    }

    /// A linear layer over unfolded patches of `side` × `side` pixels, `[photos, 3, height, width]` to
    /// `[photos, rows · columns, output]`.
    ///
    /// # Errors
    /// As [`Graph::parameter`].
    pub fn patches(&mut self, layer: &Linear, side: usize, pixels: &Value) -> Result<Value> {
        let side = i64::try_from(side).map_err(|_| Error::format(format!("patches of {side} pixels")))?;
        let mut inputs = vec![pixels.clone(), self.parameter(weight(layer)?)?];
        if let Some(bias) = layer.bias() {
            inputs.push(self.parameter(bias)?);
        }
        let square = Integers(vec![side, side]);
        let attributes = [("kernel_shape", square.clone()), ("strides", square)];
        let x = self.node("Conv", &inputs.iter().collect::<Vec<_>>(), &attributes);
        let x = self.reshape(&x, &[0, 0, -1]);
        Ok(self.transpose(&x, &[0, 2, 1]))
    }

    /// [`LayerNorm::forward`], by its formula: LayerNormalization is not in opset 15.
    ///
    /// # Errors
    /// As [`Graph::parameter`].
    pub fn layer_norm(&mut self, norm: &LayerNorm, x: &Value) -> Result<Value> {
        let (weight, bias) = (self.parameter(norm.weight())?, self.parameter(norm.bias())?);
        let last = [("axes", Integers(vec![-1])), ("keepdims", Integer(1))];
        let mean = self.node("ReduceMean", &[x], &last);
        let centred = self.node("Sub", &[x, &mean], &[]);
        let square = self.multiply(&centred, &centred);
        let variance = self.node("ReduceMean", &[&square], &last);
        let epsilon = self.number(norm.epsilon() as f32);
        let variance = self.add(&variance, &epsilon);
        let deviation = self.node("Sqrt", &[&variance], &[]);
        let normal = self.node("Div", &[&centred, &deviation], &[]);
        let scaled = self.multiply(&normal, &weight);
        Ok(self.add(&scaled, &bias))
    }

    fn activation(&mut self, activation: Activation, x: &Value) -> Value {
        let half_of = |graph: &mut Self, x: &Value, curve: &Value| {
            let (one, half) = (graph.number(1.0), graph.number(0.5));
            let curve = graph.add(curve, &one);
            let x = graph.multiply(x, &half);
            graph.multiply(&x, &curve)
        };
        match activation {
            Activation::Gelu => {
                let scale = self.number(std::f32::consts::FRAC_1_SQRT_2);
                let scaled = self.multiply(x, &scale);
                let curve = self.node("Erf", &[&scaled], &[]);
                half_of(self, x, &curve)
            }
            Activation::GeluTanh => {
                // √(2/π) · (x + 0.044715 x³)
                let (cubic, one) = (self.number(0.044_715), self.number(1.0));
                let scale = self.number(std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2);
                let square = self.multiply(x, x);
                let square = self.multiply(&square, &cubic);
                let factor = self.add(&square, &one);
                let inner = self.multiply(x, &factor);
                let inner = self.multiply(&inner, &scale);
                let curve = self.node("Tanh", &[&inner], &[]);
                half_of(self, x, &curve)
            }
            Activation::QuickGelu => {
                let scale = self.number(1.702);
                let scaled = self.multiply(x, &scale);
                let gate = self.node("Sigmoid", &[&scaled], &[]);
                self.multiply(x, &gate)
            }
            Activation::Silu => {
                let gate = self.node("Sigmoid", &[x], &[]);
                self.multiply(x, &gate)
            }
        }
    }

    /// `attention` of the layers; `width` is that of all heads together. A key batch of 1 serves every query batch.
    pub fn attention(&mut self, query: &Value, key: &Value, value: &Value, heads: usize, width: usize) -> Value {
        let scale = self.number((1.0 / ((width / heads.max(1)) as f64).sqrt()) as f32);
        let query = self.multiply(query, &scale);
        let q = self.heads(&query, heads, &[0, 2, 1, 3]);
        let k = self.heads(key, heads, &[0, 2, 3, 1]);
        let v = self.heads(value, heads, &[0, 2, 1, 3]);
        let scores = self.node("MatMul", &[&q, &k], &[]);
        let weights = self.node("Softmax", &[&scores], &[("axis", Integer(-1))]);
        let mixed = self.node("MatMul", &[&weights, &v], &[]);
        let mixed = self.transpose(&mixed, &[0, 2, 1, 3]);
        self.reshape(&mixed, &[0, 0, width as i64])
    }

    /// `[batch, tokens, heads · d]` to four dimensions in the order `order` of `[batch, tokens, heads, d]`.
    fn heads(&mut self, x: &Value, heads: usize, order: &[i64]) -> Value {
        let split = self.reshape(x, &[0, 0, heads as i64, -1]);
        self.transpose(&split, order)
    }

    /// The sum; the shorter shape is repeated.
    pub fn add(&mut self, a: &Value, b: &Value) -> Value {
        self.node("Add", &[a, b], &[])
    }

    fn multiply(&mut self, a: &Value, b: &Value) -> Value {
        self.node("Mul", &[a, b], &[])
    }

    /// Rows `[…, width]` scaled to length 1; a row of zeros stays one.
    pub fn normalise(&mut self, x: &Value) -> Value {
        let length = self.node(
            "ReduceL2",
            &[x],
            &[("axes", Integers(vec![-1])), ("keepdims", Integer(1))],
        );
        let tiny = self.number(1e-12);
        let length = self.node("Max", &[&length, &tiny], &[]);
        self.node("Div", &[x, &length], &[])
    }

    /// Another shape: 0 is the size that `x` has there, -1 what remains.
    pub fn reshape(&mut self, x: &Value, shape: &[i64]) -> Value {
        let shape = self.integers(shape);
        self.node("Reshape", &[x, &shape], &[])
    }

    /// Dimensions in another order.
    pub fn transpose(&mut self, x: &Value, order: &[i64]) -> Value {
        self.node("Transpose", &[x], &[("perm", Integers(order.to_vec()))])
    }

    /// One after the other along `axis`.
    pub fn concatenate(&mut self, values: &[&Value], axis: i64) -> Value {
        self.node("Concat", values, &[("axis", Integer(axis))])
    }

    /// What lies at `start` to before `end` along `axis`; `None` is the end.
    pub fn slice(&mut self, x: &Value, axis: i64, start: usize, end: Option<usize>) -> Value {
        let end = end.map_or(i64::MAX, |end| end as i64);
        let (start, end, axis) = (
            self.integers(&[start as i64]),
            self.integers(&[end]),
            self.integers(&[axis]),
        );
        self.node("Slice", &[x, &start, &end, &axis], &[])
    }

    /// `x` of three dimensions, the first of size 1, as many times as the first dimension of `like` is long.
    pub fn repeat_like(&mut self, x: &Value, like: &Value) -> Value {
        let shape = self.node("Shape", &[like], &[]);
        let photos = self.slice(&shape, 0, 0, Some(1));
        let ones = self.integers(&[1, 1]);
        let shape = self.concatenate(&[&photos, &ones], 0);
        self.node("Expand", &[x, &shape], &[])
    }
}

fn weight(layer: &Linear) -> Result<&Tensor> {
    let packed = || Error::internal("a graph needs a layer that was built for another purpose");
    layer.weight().ok_or_else(packed)
}
