//! What the detector minimises.

use super::network::OUTPUTS;
use super::truth::Truth;
use candle_core::{Device, Tensor};
use omniid::{Error, Result};

/// Weight of the points. Far from the truth, each coordinate then pulls about twice as much as one of the box's.
const POINTS: f64 = 3.2;

/// Errors of points, in box sizes, beyond which they pull no harder. A twenty-fifth is a tenth of the distance between
/// the eyes, and crops with larger errors are worth less to what compares faces.
const FAR: f64 = 0.04;

/// The terms of the loss, each a number; the total is their sum.
pub struct LossTerms {
    /// Whether a cell shows a face: binary cross-entropy over all cells, above its least value, per cell with a face.
    pub object: Tensor,
    /// How well the cell's box fits, as the cell believes: binary cross-entropy, above its least value, with
    /// the quality of the box as target, which follows its overlap.
    pub class: Tensor,
    /// 1 − intersection over union, and the distance in the cell's own numbers, which also pulls where boxes do not
    /// meet. Cells count by how sure they should be of the face: the surest one is believed in the end.
    pub bounds: Tensor,
    /// Distance of the five points, in box sizes, weighted; cells count as for the bounds.
    pub points: Tensor,
}

/// The loss of raw `outputs` `[batch, cells, 16]`.
///
/// # Errors
/// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when `truth` is about another number of cells.
pub fn loss(outputs: &Tensor, truth: &Truth) -> Result<LossTerms> {
    let device = outputs.device();
    let cells = truth.object.len();
    if outputs.elem_count() != cells * OUTPUTS {
        return Err(Error::mismatch(format!(
            "detector outputs of shape {:?} for {cells} cells",
            outputs.dims()
        )));
    }
    let outputs = outputs.reshape((cells, OUTPUTS))?;
    let found = truth.places.len().max(1) as f64;
    let object = {
        let logits = outputs.narrow(1, 1, 1)?.flatten_all()?;
        let target = Tensor::from_slice(&truth.object, cells, device)?;
        let weight = Tensor::from_slice(&truth.weight, cells, device)?;
        let each = (cross_entropy(&logits, &target)? * weight)?;
        (each.sum_all()? / found)?
    };
    if truth.places.is_empty() {
        let none = Tensor::zeros((), candle_core::DType::F32, device)?;
        return Ok(LossTerms {
            object,
            class: none.clone(),
            bounds: none.clone(),
            points: none,
        });
    }
    let rows = outputs.index_select(&Tensor::from_slice(&truth.places, truth.places.len(), device)?, 0)?;
    let [bounds, points] = targets(truth, device)?;
    let predicted = rows.narrow(1, 2, 4)?;
    let overlap = overlap(&predicted, &bounds)?;
    let distance = smooth_l1(&(&predicted - &bounds)?)?.sum(1)?;
    let boxes = (((1.0 - &overlap)? * 2.0)? + (distance * 0.2)?)?;
    let class = cross_entropy(&rows.narrow(1, 0, 1)?.flatten_all()?, &quality(&overlap.detach())?)?;
    // In box sizes, so that large faces count no more than small ones.
    let size: Vec<f32> = truth
        .faces
        .iter()
        .zip(&truth.cells)
        .map(|(face, cell)| cell[2] / face.size().max(1.0))
        .collect();
    let size = Tensor::from_slice(&size, (size.len(), 1), device)?;
    let apart = (rows.narrow(1, 6, 10)? - points)?.broadcast_mul(&size)?;
    let apart = (smooth_l1(&(apart / FAR)?)?.mean(1)? * POINTS)?;
    let sure: Vec<f32> = truth.places.iter().map(|&place| truth.object[place as usize]).collect();
    let all = f64::from(sure.iter().sum::<f32>()).max(1e-6);
    let sure = Tensor::from_vec(sure, truth.places.len(), device)?;
    let weighted = |each: &Tensor| -> Result<Tensor> { Ok(((each * &sure)?.sum_all()? / all)?) };
    Ok(LossTerms {
        object,
        class: (class.sum_all()? / found)?,
        bounds: weighted(&boxes)?,
        points: weighted(&apart)?,
    })
}

impl LossTerms {
    /// The sum.
    ///
    /// # Errors
    /// From the device.
    pub fn total(&self) -> Result<Tensor> {
        Ok((((&self.object + &self.class)? + &self.bounds)? + &self.points)?)
    }
}

/// What the answering cells should say: `[faces, 4]` centre offset and log size, `[faces, 10]` points, all in cells.
fn targets(truth: &Truth, device: &Device) -> Result<[Tensor; 2]> {
    let (mut bounds, mut points) = (Vec::new(), Vec::new());
    for (face, [x, y, stride]) in truth.faces.iter().zip(&truth.cells) {
        let [left, top, right, bottom] = face.bounds;
        bounds.extend([
            ((left + right) / 2.0 - x) / stride,
            ((top + bottom) / 2.0 - y) / stride,
            ((right - left).max(1.0) / stride).ln(),
            ((bottom - top).max(1.0) / stride).ln(),
        ]);
        for point in face.points {
            points.extend([(point[0] - x) / stride, (point[1] - y) / stride]);
        }
    }
    let count = truth.faces.len();
    Ok([
        Tensor::from_vec(bounds, (count, 4), device)?,
        Tensor::from_vec(points, (count, 10), device)?,
    ])
}

/// Intersection over union of boxes given as centre and log size, `[faces, 4]` each.
fn overlap(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let edges = |boxes: &Tensor| -> Result<[Tensor; 3]> {
        let centre = boxes.narrow(1, 0, 2)?;
        // A wild size at the start of the training must not overflow.
        let size = boxes.narrow(1, 2, 2)?.clamp(-6f32, 6f32)?.exp()?;
        let half = (&size * 0.5)?;
        Ok([(&centre - &half)?, (centre + half)?, size])
    };
    let ([a_low, a_high, a_size], [b_low, b_high, b_size]) = (edges(a)?, edges(b)?);
    let sides = (a_high.minimum(&b_high)? - a_low.maximum(&b_low)?)?.relu()?;
    let area =
        |sides: &Tensor| -> Result<Tensor> { Ok((sides.narrow(1, 0, 1)? * sides.narrow(1, 1, 1)?)?.flatten_all()?) };
    let shared = area(&sides)?;
    let all = ((area(&a_size)? + area(&b_size)?)? - &shared)?;
    Ok((shared / (all + 1e-6)?)?)
}

/// How good a box of this overlap is, 0…1: as good as any from 0.75 on, where detectors of this size end, so that
/// confidences reach the height that users' thresholds expect; nothing below 0.3.
fn quality(overlap: &Tensor) -> Result<Tensor> {
    Ok(((overlap - 0.3)? / 0.45)?.clamp(0f32, 1f32)?)
}

/// Binary cross-entropy of logits, stable for large ones: max(z, 0) − z·t + ln(1 + e^−|z|), less its least value, which
/// targets between 0 and 1 have.
fn cross_entropy(logits: &Tensor, target: &Tensor) -> Result<Tensor> {
    let tail = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
    let part = |t: &Tensor| -> Result<Tensor> { Ok((t * t.clamp(1e-12f32, 1f32)?.log()?)?) };
    let least = (part(target)? + part(&(1.0 - target)?)?)?;
    Ok((((logits.relu()? - (logits * target)?)? + tail)? + least)?)
}

/// Square near zero, straight beyond 1.
fn smooth_l1(x: &Tensor) -> Result<Tensor> {
    let size = x.abs()?;
    let near = size.clamp(0f32, 1f32)?;
    // With n = min(|x|, 1): n²/2 inside, |x| − 1/2 = (|x| − n) + n²/2 outside.
    Ok(((&size - &near)? + (near.sqr()? * 0.5)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::truth::{assign, cell_count, TrueFace};

    fn value(tensor: &Tensor) -> f32 {
        tensor.to_scalar().unwrap()
    }

    fn faces() -> Vec<Vec<TrueFace>> {
        let face = TrueFace {
            bounds: [20.0, 30.0, 60.0, 80.0],
            points: [[30.0, 45.0], [50.0, 45.0], [40.0, 55.0], [32.0, 66.0], [48.0, 66.0]],
            counts: true,
        };
        vec![vec![face], Vec::new()]
    }

    /// Outputs that say exactly the truth.
    fn perfect(truth: &Truth) -> Tensor {
        let mut outputs = vec![0f32; truth.object.len() * OUTPUTS];
        for (cell, object) in outputs.chunks_exact_mut(OUTPUTS).zip(&truth.object) {
            cell[1] = (object / (1.0 - object)).ln().clamp(-20.0, 20.0);
        }
        let [bounds, points] = targets(truth, &Device::Cpu).unwrap();
        let (bounds, points) = (bounds.to_vec2::<f32>().unwrap(), points.to_vec2::<f32>().unwrap());
        for ((&place, bounds), points) in truth.places.iter().zip(bounds).zip(points) {
            let cell = &mut outputs[place as usize * OUTPUTS..][..OUTPUTS];
            cell[0] = 20.0;
            cell[2..6].copy_from_slice(&bounds);
            cell[6..].copy_from_slice(&points);
        }
        Tensor::from_vec(outputs, (2, cell_count(96), OUTPUTS), &Device::Cpu).unwrap()
    }

    #[test]
    fn the_truth_has_no_loss() {
        let truth = assign(&faces(), 96);
        let terms = loss(&perfect(&truth), &truth).unwrap();
        assert!(value(&terms.total().unwrap()) < 1e-4);
    }

    #[test]
    fn each_term_sees_its_own_mistake() {
        let truth = assign(&faces(), 96);
        let right = perfect(&truth);
        let wrong = |column: usize, by: f64| {
            let change = Tensor::zeros_like(&right).unwrap();
            let ones = Tensor::ones((2, cell_count(96), 1), candle_core::DType::F32, &Device::Cpu).unwrap();
            let change = change
                .slice_assign(&[0..2, 0..cell_count(96), column..column + 1], &(ones * by).unwrap())
                .unwrap();
            let terms = loss(&(&right + change).unwrap(), &truth).unwrap();
            [terms.class, terms.object, terms.bounds, terms.points].map(|term| value(&term) > 0.01)
        };
        assert_eq!(wrong(0, -40.0), [true, false, false, false]);
        assert_eq!(wrong(1, -40.0), [false, true, false, false]);
        // A box that is off also fits less, which the class is to say.
        assert_eq!(wrong(2, 1.0), [true, false, true, false]);
        assert_eq!(wrong(9, 1.0), [false, false, false, true]);
    }

    #[test]
    fn a_cell_counts_by_how_sure_it_should_be() {
        let truth = assign(&faces(), 96);
        let right = perfect(&truth);
        let error_at = |cell: usize| {
            let mut outputs = right.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            // A point far off, so that the loss is straight: by 3 and by 4 cells.
            let at = truth.places[cell] as usize * OUTPUTS + 6;
            let of = |outputs: &[f32]| {
                let outputs = Tensor::from_slice(outputs, (2, cell_count(96), OUTPUTS), &Device::Cpu).unwrap();
                value(&loss(&outputs, &truth).unwrap().points)
            };
            outputs[at] += 3.0;
            let near = of(&outputs);
            outputs[at] += 1.0;
            (of(&outputs) - near) / truth.cells[cell][2]
        };
        let sure: Vec<f32> = truth.places.iter().map(|&place| truth.object[place as usize]).collect();
        let all: f32 = sure.iter().sum();
        let (mut least, mut most) = (f32::MAX, 0f32);
        for (cell, sure) in sure.iter().enumerate() {
            // One of ten coordinates, a box of 50 pixels.
            let expected = (POINTS / FAR) as f32 / 10.0 / 50.0 * sure / all;
            let got = error_at(cell);
            assert!(
                (got / expected - 1.0).abs() < 0.02,
                "{cell}: {got}, expected {expected}"
            );
            (least, most) = (least.min(got), most.max(got));
        }
        assert!(most > 2.0 * least, "{least} to {most}");
    }

    #[test]
    fn quality_rises_with_overlap() {
        let overlaps = Tensor::new(&[0.1f32, 0.3, 0.525, 0.75, 1.0], &Device::Cpu).unwrap();
        let got = quality(&overlaps).unwrap().to_vec1::<f32>().unwrap();
        for (got, expected) in got.iter().zip([0.0, 0.0, 0.5, 1.0, 1.0]) {
            assert!((got - expected).abs() < 1e-5, "{got}");
        }
    }

    #[test]
    fn overlap_is_intersection_over_union() {
        let boxes = |rows: &[[f32; 4]; 3]| Tensor::new(rows, &Device::Cpu).unwrap();
        // Two unit squares, half a side apart: 1/2 over 3/2. Then the same square, then squares that do not meet.
        let a = boxes(&[[0.0; 4], [0.0; 4], [0.0; 4]]);
        let b = boxes(&[[0.5, 0.0, 0.0, 0.0], [0.0; 4], [3.0, 0.0, 0.0, 0.0]]);
        let got = overlap(&a, &b).unwrap().to_vec1::<f32>().unwrap();
        for (got, expected) in got.iter().zip([1.0 / 3.0, 1.0, 0.0]) {
            assert!((got - expected).abs() < 1e-5, "{got}");
        }
    }
}
