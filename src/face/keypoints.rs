//! The control picture of InstantID: five keypoints of a face on black.
//!
//! [`draw`] gives the picture that `draw_kps` of InstantID/InstantID draws with OpenCV, to the pixel: four limbs from the
//! nose to eyes and mouth corners, ellipses of half width 4 at 0.6 of their colour, under five discs of radius 10. OpenCV's
//! whole-number algorithms for ellipses, convex polygons, lines and discs are followed here.

use crate::error::{Error, Result};
use crate::photo::{Landmarks, MAX_SIDE};
use image::{Rgb, RgbImage};

/// Colours of the eye at image left, the eye at image right, the nose tip and the two mouth corners.
const COLOURS: [[u8; 3]; 5] = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [255, 0, 255]];

/// The ends of the limbs that are not the nose.
const LIMBS: [usize; 4] = [0, 1, 3, 4];

/// The nose.
const NOSE: usize = 2;

/// Half the width of a limb, in pixels.
const HALF_WIDTH: f64 = 4.0;

/// Radius of a disc, in pixels.
const RADIUS: i64 = 10;

/// Bits behind the point of an edge's position.
const SHIFT: u32 = 16;

/// Draws the keypoints of a face, in pixels of a picture of `width` × `height`: what InstantID's ControlNet reads.
///
/// Scale the landmarks of a photo to the size that is generated first.
///
/// # Errors
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for landmarks that are not finite or far outside, and for a side
/// of 0 or more than [`MAX_SIDE`] pixels, or more than 2²⁸ pixels.
pub fn draw(width: u32, height: u32, landmarks: &Landmarks) -> Result<RgbImage> {
    let sides = 1..=MAX_SIDE;
    if !sides.contains(&width) || !sides.contains(&height) || u64::from(width) * u64::from(height) > 1 << 28 {
        return Err(Error::invalid(format!(
            "a picture of {width}x{height} pixels; sides may have 1 to {MAX_SIDE}, and all 2^28 pixels"
        )));
    }
    let far = MAX_SIDE as f32;
    if let Some(value) = landmarks
        .0
        .iter()
        .flatten()
        .find(|value| value.is_nan() || value.abs() > far)
    {
        return Err(Error::invalid(format!(
            "a landmark at {value}, expected a place within {MAX_SIDE} pixels"
        )));
    }
    let mut picture = RgbImage::new(width, height);
    for end in LIMBS {
        // As numpy computes with single precision.
        let ([x0, y0], [x1, y1]) = (landmarks.0[end], landmarks.0[NOSE]);
        let (dx, dy) = (x0 - x1, y0 - y1);
        let length = (dx * dx + dy * dy).sqrt();
        let angle = f64::from(dy).atan2(f64::from(dx)).to_degrees() as i64;
        let center = [((x0 + x1) / 2.0) as i64, ((y0 + y1) / 2.0) as i64];
        let outline = ellipse(center, [f64::from((length / 2.0).trunc()), HALF_WIDTH], angle);
        let colour = COLOURS[end].map(|value| (f64::from(value) * 0.6) as u8);
        fill_polygon(&mut picture, &outline, colour);
    }
    for ([x, y], colour) in landmarks.0.into_iter().zip(COLOURS) {
        disc(&mut picture, [x as i64, y as i64], colour);
    }
    Ok(picture)
}

/// The sine of whole degrees, 0 to 450, as OpenCV's table has it: seven digits, single precision.
fn sine(degrees: i64) -> f64 {
    let exact = (degrees as f64).to_radians().sin();
    f64::from(((exact * 1e7).round() / 1e7) as f32)
}

/// The outline of an ellipse in steps of a degree, without repeated points (`ellipse2Poly`).
fn ellipse(center: [i64; 2], axes: [f64; 2], angle: i64) -> Vec<[i64; 2]> {
    let angle = angle.rem_euclid(360);
    let (cosine, sine_of_angle) = (sine(450 - angle), sine(angle));
    let mut points: Vec<[i64; 2]> = Vec::with_capacity(361);
    for degrees in 0..=360 {
        let (x, y) = (axes[0] * sine(450 - degrees), axes[1] * sine(degrees));
        let point = [
            center[0] as f64 + x * cosine - y * sine_of_angle,
            center[1] as f64 + x * sine_of_angle + y * cosine,
        ];
        let point = point.map(|value| value.round_ties_even() as i64);
        if points.last() != Some(&point) {
            points.push(point);
        }
    }
    if points.len() == 1 {
        points = vec![center; 2];
    }
    points
}

/// One side of a polygon on the way down.
#[derive(Clone, Copy)]
struct Edge {
    /// Point that it runs to, and the step to the next.
    index: usize,
    step: usize,
    x: i64,
    slope: i64,
    /// Line in which it ends.
    end: i64,
}

/// Fills a convex polygon, its outline included (`fillConvexPoly`).
fn fill_polygon(picture: &mut RgbImage, points: &[[i64; 2]], colour: [u8; 3]) {
    let count = points.len();
    let (width, height) = (i64::from(picture.width()), i64::from(picture.height()));
    let mut from = points[count - 1];
    for &to in points {
        line(picture, from, to, colour);
        from = to;
    }
    let range = |axis: usize| {
        let values = || points.iter().map(move |point| point[axis]);
        (values().min().unwrap_or(0), values().max().unwrap_or(-1))
    };
    let ((left, right), (top, bottom)) = (range(0), range(1));
    if count < 3 || right < 0 || bottom < 0 || left >= width || top >= height {
        return;
    }
    let first = points.iter().position(|point| point[1] == top).unwrap_or(0);
    let bottom = bottom.min(height - 1);
    let edge = |step| Edge {
        index: first,
        step,
        x: -(1 << SHIFT),
        slope: 0,
        end: top,
    };
    let mut edges = [edge(1), edge(count - 1)];
    let mut left_over = count;
    for y in top..=bottom {
        for edge in &mut edges {
            if y < edge.end {
                continue;
            }
            let mut before = edge.index;
            let mut next = (before + edge.step) % count;
            while left_over > 0 {
                left_over -= 1;
                let end = points[next][1];
                if end > y {
                    let (start, goal) = (points[before][0] << SHIFT, points[next][0] << SHIFT);
                    let lines = end - y;
                    edge.end = end;
                    edge.slope = ((goal - start) * 2 + lines) / (2 * lines);
                    edge.x = start;
                    edge.index = next;
                    break;
                }
                before = next;
                next = (next + edge.step) % count;
            }
        }
        if y >= 0 {
            let half = 1 << (SHIFT - 1);
            let (left, right) = (edges[0].x.min(edges[1].x), edges[0].x.max(edges[1].x));
            row(picture, y, (left + half) >> SHIFT, (right + half) >> SHIFT, colour);
        }
        for edge in &mut edges {
            edge.x += edge.slope;
        }
    }
}

/// Colours the pixels from `left` to `right` of a line, as far as they are in the picture.
fn row(picture: &mut RgbImage, y: i64, left: i64, right: i64, colour: [u8; 3]) {
    let (width, height) = (i64::from(picture.width()), i64::from(picture.height()));
    if !(0..height).contains(&y) {
        return;
    }
    for x in left.max(0)..=right.min(width - 1) {
        picture.put_pixel(x as u32, y as u32, Rgb(colour));
    }
}

/// A line whose pixels touch at sides or corners (`LineIterator`, from left to right).
fn line(picture: &mut RgbImage, from: [i64; 2], to: [i64; 2], colour: [u8; 3]) {
    let size = [i64::from(picture.width()), i64::from(picture.height())];
    let Some([from, to]) = clip(size, from, to) else {
        return;
    };
    let (from, to) = if to[0] < from[0] { (to, from) } else { (from, to) };
    let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
    let down = if dy < 0 { -1 } else { 1 };
    let (long, short) = (dx.max(dy.abs()), dx.min(dy.abs()));
    let (along, across) = if dy.abs() > dx {
        ([0, down], [1, 0])
    } else {
        ([1, 0], [0, down])
    };
    let mut error = long - 2 * short;
    let mut at = from;
    for _ in 0..=long {
        row(picture, at[1], at[0], at[0], colour);
        let turn = i64::from(error < 0);
        error += 2 * long * turn - 2 * short;
        at = [at[0] + along[0] + across[0] * turn, at[1] + along[1] + across[1] * turn];
    }
}

/// The part of a line that lies in a picture (`clipLine`).
fn clip(size: [i64; 2], from: [i64; 2], to: [i64; 2]) -> Option<[[i64; 2]; 2]> {
    let (right, bottom) = (size[0] - 1, size[1] - 1);
    let ([mut x1, mut y1], [mut x2, mut y2]) = (from, to);
    let across = |x: i64| i64::from(x < 0) + 2 * i64::from(x > right);
    let code = |x: i64, y: i64| across(x) + 4 * i64::from(y < 0) + 8 * i64::from(y > bottom);
    let (mut first, mut second) = (code(x1, y1), code(x2, y2));
    let share = |numerator: i64, factor: i64, divisor: i64| (numerator as f64 * factor as f64 / divisor as f64) as i64;
    if first & second == 0 && first | second != 0 {
        if first & 12 != 0 {
            let edge = if first < 8 { 0 } else { bottom };
            x1 += share(edge - y1, x2 - x1, y2 - y1);
            y1 = edge;
            first = across(x1);
        }
        if second & 12 != 0 {
            let edge = if second < 8 { 0 } else { bottom };
            x2 += share(edge - y2, x2 - x1, y2 - y1);
            y2 = edge;
            second = across(x2);
        }
        if first & second == 0 && first | second != 0 {
            if first != 0 {
                let edge = if first == 1 { 0 } else { right };
                y1 += share(edge - x1, y2 - y1, x2 - x1);
                x1 = edge;
                first = 0;
            }
            if second != 0 {
                let edge = if second == 1 { 0 } else { right };
                y2 += share(edge - x2, y2 - y1, x2 - x1);
                x2 = edge;
                second = 0;
            }
        }
    }
    (first | second == 0).then_some([[x1, y1], [x2, y2]])
}

/// A filled disc (`circle` with a negative thickness).
fn disc(picture: &mut RgbImage, [x, y]: [i64; 2], colour: [u8; 3]) {
    let (mut error, mut dx, mut dy) = (0, RADIUS, 0);
    let (mut plus, mut minus) = (1, 2 * RADIUS - 1);
    while dx >= dy {
        for line in [y - dy, y + dy] {
            row(picture, line, x - dx, x + dx, colour);
        }
        for line in [y - dx, y + dx] {
            row(picture, line, x - dy, x + dy, colour);
        }
        dy += 1;
        error += plus;
        plus += 2;
        if error > 0 {
            error -= minus;
            dx -= 1;
            minus -= 2;
        }
    }
}
