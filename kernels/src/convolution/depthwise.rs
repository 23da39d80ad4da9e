//! Depthwise convolution: every channel has a kernel of its own.

use super::{check_call, ConvolutionShape, Finish, SERIAL_WORK};
use crate::error::{Error, Result};
use crate::simd::{dispatch, load_first, store_first, Isa, Kernel, Lanes};
use crate::threads::{Target, ThreadPool};

/// A depthwise convolution with its weights; as many channels go in as come out.
#[derive(Debug, Clone)]
pub struct DepthwiseConvolution {
    /// `[kernel · kernel][channels]`
    taps: Vec<f32>,
    shape: ConvolutionShape,
}

impl DepthwiseConvolution {
    /// Rearranges a weight `[channels, 1, kernel, kernel]`.
    ///
    /// # Errors
    /// `InvalidArgument` when the length does not fit the shape, the channels differ, a size is 0, or the padding is no
    /// smaller than the kernel.
    pub fn new(weight: &[f32], shape: ConvolutionShape) -> Result<Self> {
        shape.check()?;
        let area = shape.kernel.saturating_mul(shape.kernel);
        let fits = shape.inputs == shape.outputs && area.checked_mul(shape.outputs) == Some(weight.len());
        if !fits {
            return Err(Error::invalid(format!(
                "{} weights for a depthwise convolution of {shape:?}",
                weight.len()
            )));
        }
        let mut taps = vec![0.0; weight.len()];
        for (channel, filter) in weight.chunks_exact(area).enumerate() {
            for (tap, value) in filter.iter().enumerate() {
                taps[tap * shape.outputs + channel] = *value;
            }
        }
        Ok(Self { taps, shape })
    }

    /// Computes `output [batch, height', width', channels]` from `input [batch, height, width, channels]`, where `size`
    /// is `[batch, height, width]`.
    ///
    /// # Errors
    /// `InvalidArgument` when a length does not fit; nothing is written then.
    pub fn forward(
        &self,
        pool: &ThreadPool,
        input: &[f32],
        size: [usize; 3],
        output: &mut [f32],
        finish: Finish<'_>,
    ) -> Result<()> {
        let out = check_call(&self.shape, input, size, output, &finish)?;
        let [batch, out_height, out_width] = out;
        let serial = output.len().saturating_mul(self.shape.kernel * self.shape.kernel) < SERIAL_WORK;
        let isa = Isa::current();
        let target = Target(output.as_mut_ptr());
        let task = |line: usize| {
            let target = &target;
            let line = Line {
                taps: &self.taps,
                shape: self.shape,
                input,
                size: [size[1], size[2]],
                width: out_width,
                picture: line / out_height,
                y: line % out_height,
                output: target.0,
                first: line * out_width * self.shape.outputs,
                finish,
            };
            // SAFETY: all lengths were checked above; each task writes a line of its own.
            unsafe { dispatch(isa, line) }
        };
        let lines = batch * out_height;
        if serial {
            (0..lines).for_each(task);
        } else {
            pool.run(lines, &task);
        }
        Ok(())
    }
}

/// One line of the output.
struct Line<'a> {
    taps: &'a [f32],
    shape: ConvolutionShape,
    input: &'a [f32],
    size: [usize; 2],
    width: usize,
    picture: usize,
    y: usize,
    output: *mut f32,
    /// Where the line begins in the output.
    first: usize,
    finish: Finish<'a>,
}

impl Kernel for Line<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let ConvolutionShape {
            inputs: channels,
            kernel,
            stride,
            padding,
            ..
        } = self.shape;
        let [height, width] = self.size;
        // The part of the kernel that lies in the picture.
        let inside = |at: usize, side: usize| {
            let first = (at * stride) as isize - padding as isize;
            let low = (-first).max(0) as usize;
            (first, low, kernel.min((side as isize - first).max(0) as usize).max(low))
        };
        let (first_y, top, bottom) = inside(self.y, height);
        for x in 0..self.width {
            let (first_x, left, right) = inside(x, width);
            let offset = self.first + x * channels;
            let mut channel = 0;
            while channel < channels {
                let count = L::WIDTH.min(channels - channel);
                // SAFETY: only pixels of the picture are read; `count` channels exist everywhere.
                unsafe {
                    let mut sum = L::splat(0.0);
                    for window_y in top..bottom {
                        let line = self.picture * height + (first_y + window_y as isize) as usize;
                        for window_x in left..right {
                            let pixel = line * width + (first_x + window_x as isize) as usize;
                            let value = self.input.as_ptr().add(pixel * channels + channel);
                            let tap = self
                                .taps
                                .as_ptr()
                                .add((window_y * kernel + window_x) * channels + channel);
                            sum = L::fma(load_first::<L>(value, count), load_first::<L>(tap, count), sum);
                        }
                    }
                    let value = self.finish.vector::<L>(sum, channel, offset + channel, count);
                    store_first::<L>(self.output.add(offset + channel), value, count);
                }
                channel += L::WIDTH;
            }
        }
    }
}
