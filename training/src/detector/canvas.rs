//! A picture that things are pasted into, remembering what is in front.

use super::heads::Head;
use crate::render::Noise;
use image::{Rgb, RgbImage};

/// What no head covers.
pub const NOBODY: u16 = u16::MAX;

/// A square picture of sRGB values 0…255, and which head each pixel shows.
pub struct Canvas {
    /// Side in pixels.
    pub side: usize,
    /// Red, green, blue, row by row.
    pub pixels: Vec<[f32; 3]>,
    /// The number of the head in front, or [`NOBODY`].
    pub owner: Vec<u16>,
}

/// Where a head is pasted: turned clockwise, scaled and, before that, mirrored about its box's centre.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// Where the centre of the head's box comes to lie, pixels.
    pub centre: [f32; 2],
    /// Pixels of the picture per pixel of the head.
    pub scale: f32,
    /// Clockwise, radians.
    pub angle: f32,
    /// Left and right exchanged.
    pub mirrored: bool,
}

impl Placement {
    /// From the head's pixels to the picture's. `middle` is the centre of the head's box.
    pub fn point(&self, middle: [f32; 2], [x, y]: [f32; 2]) -> [f32; 2] {
        let (sin, cos) = self.angle.sin_cos();
        let side = if self.mirrored { -1.0 } else { 1.0 };
        let (x, y) = (side * (x - middle[0]) * self.scale, (y - middle[1]) * self.scale);
        [self.centre[0] + x * cos - y * sin, self.centre[1] + x * sin + y * cos]
    }

    /// From the picture's pixels to the head's.
    fn back(&self, middle: [f32; 2], [x, y]: [f32; 2]) -> [f32; 2] {
        let (sin, cos) = self.angle.sin_cos();
        let side = if self.mirrored { -1.0 } else { 1.0 };
        let (x, y) = (x - self.centre[0], y - self.centre[1]);
        [
            middle[0] + side * (x * cos + y * sin) / self.scale,
            middle[1] + (y * cos - x * sin) / self.scale,
        ]
    }
}

/// A change of a pasted head's colours: v ↦ 255 · gain · (v / 255)^gamma.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tone {
    /// Factor of each channel.
    pub gain: [f32; 3],
    /// Exponent.
    pub gamma: f32,
}

impl Tone {
    fn tables(&self) -> [[f32; 256]; 3] {
        self.gain
            .map(|gain| std::array::from_fn(|v| (255.0 * gain * (v as f32 / 255.0).powf(self.gamma)).clamp(0.0, 255.0)))
    }
}

/// A flat thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Its outline.
    pub form: Form,
    /// Middle, pixels.
    pub centre: [f32; 2],
    /// Half width and half height, pixels.
    pub radii: [f32; 2],
    /// Clockwise, radians.
    pub angle: f32,
    /// Width of the soft border, pixels.
    pub softness: f32,
    /// How much it covers, 0…1.
    pub opacity: f32,
    /// Its colours.
    pub fill: Fill,
}

/// Outlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An ellipse.
    Ellipse,
    /// A rectangle.
    Rectangle,
    /// A triangle, its tip above.
    Triangle,
}

/// Colours of a thing, in its own coordinates −1…1. Values 0…255.
#[derive(Debug, Clone, PartialEq)]
pub enum Fill {
    /// From left to right.
    Gradient([[f32; 3]; 2]),
    /// So many stripes.
    Stripes([[f32; 3]; 2], f32),
    /// Smooth noise between two colours: cells along a side, seed.
    Noise([[f32; 3]; 2], f32, u64),
    /// Darker towards the border, as round things are.
    Round([f32; 3]),
}

impl Canvas {
    /// A picture of one colour.
    pub fn new(side: usize, colour: [f32; 3]) -> Self {
        Self {
            side,
            pixels: vec![colour; side * side],
            owner: vec![NOBODY; side * side],
        }
    }

    /// The place of a pixel, if it is inside.
    pub fn place(&self, [x, y]: [f32; 2]) -> Option<usize> {
        let side = self.side as f32;
        let inside = x >= 0.0 && y >= 0.0 && x < side && y < side;
        inside.then(|| y as usize * self.side + x as usize)
    }

    /// Rows or columns that a thing between `low` and `high` can touch.
    fn range(&self, low: f32, high: f32) -> std::ops::Range<usize> {
        let limit = |value: f32| value.clamp(0.0, self.side as f32) as usize;
        limit(low.floor())..limit(high.ceil() + 1.0)
    }

    /// Pastes a head, which becomes the owner of the pixels that it mostly covers. What its picture cuts off below
    /// goes on downwards: a body.
    pub fn paste(&mut self, head: &Head, placement: &Placement, tone: &Tone, owner: u16) {
        let [left, top, right, bottom] = head.bounds();
        let middle = [(left + right) / 2.0, (top + bottom) / 2.0];
        let full = head.levels[0].side as f32;
        let corners = [[0.0, 0.0], [full, 0.0], [full, full], [0.0, full]];
        let corners = corners.map(|corner| placement.point(middle, corner));
        let [left, top, right, bottom] = super::heads::bounds(corners.into_iter());
        let (sin, cos) = placement.angle.sin_cos();
        // Down the body is (−sin, cos).
        let reach = 2.0 * self.side as f32;
        let columns = self.range(left + (-sin * reach).min(0.0), right + (-sin * reach).max(0.0));
        let rows = self.range(top + (cos * reach).min(0.0), bottom + (cos * reach).max(0.0));
        // The level that has about as many pixels as the picture will have.
        let number = (1.0 / placement.scale).log2().round().max(0.0) as usize;
        let number = number.min(head.levels.len() - 1);
        let level = &head.levels[number];
        let shrink = 1.0 / (1 << number) as f32;
        let tables = tone.tables();
        for row in rows {
            for column in columns.clone() {
                let at = placement.back(middle, [column as f32 + 0.5, row as f32 + 0.5]);
                let Some([r, g, b, cover]) = sample(&level.pixels, level.side, at.map(|c| c * shrink)) else {
                    continue;
                };
                if cover <= 0.5 {
                    continue;
                }
                let place = row * self.side + column;
                let share = cover / 255.0;
                for ((pixel, value), table) in self.pixels[place].iter_mut().zip([r, g, b]).zip(&tables) {
                    let colour = table[(value / share).min(255.0) as usize];
                    *pixel += (colour - *pixel) * share;
                }
                if share > 0.5 {
                    self.owner[place] = owner;
                }
            }
        }
    }

    /// Draws a shape, which nobody owns.
    pub fn draw(&mut self, shape: &Shape) {
        let reach = shape.radii[0].hypot(shape.radii[1]) + shape.softness + 1.0;
        let (sin, cos) = shape.angle.sin_cos();
        let noise = match shape.fill {
            Fill::Noise(_, _, seed) => Some(Noise::new(seed)),
            _ => None,
        };
        let [x, y] = shape.centre;
        for row in self.range(y - reach, y + reach) {
            for column in self.range(x - reach, x + reach) {
                let (dx, dy) = (column as f32 + 0.5 - x, row as f32 + 0.5 - y);
                let own = [
                    (dx * cos + dy * sin) / shape.radii[0],
                    (dy * cos - dx * sin) / shape.radii[1],
                ];
                // Distance inside the border, in pixels (nearly, for ellipses).
                let inside = shape.form.inside(own) * shape.radii[0].min(shape.radii[1]);
                let cover = (inside / shape.softness.max(1.0) + 0.5).clamp(0.0, 1.0) * shape.opacity;
                if cover <= 0.0 {
                    continue;
                }
                let colour = shape.fill.colour(own, noise.as_ref());
                let place = row * self.side + column;
                for (pixel, value) in self.pixels[place].iter_mut().zip(colour) {
                    *pixel += (value - *pixel) * cover;
                }
                if cover > 0.5 {
                    self.owner[place] = NOBODY;
                }
            }
        }
    }

    /// The picture in 8 bits.
    pub fn image(&self) -> RgbImage {
        let side = self.side as u32;
        RgbImage::from_fn(side, side, |x, y| {
            let pixel = self.pixels[y as usize * self.side + x as usize];
            Rgb(pixel.map(|value| value.round().clamp(0.0, 255.0) as u8))
        })
    }
}

impl Form {
    /// 0 on the border, 1 in the middle.
    fn inside(self, [x, y]: [f32; 2]) -> f32 {
        match self {
            Self::Ellipse => 1.0 - x.hypot(y),
            Self::Rectangle => (1.0 - x.abs()).min(1.0 - y.abs()),
            Self::Triangle => (1.0 - y).min((1.0 + y) / 2.0 - x.abs()),
        }
    }
}

impl Fill {
    fn colour(&self, [x, y]: [f32; 2], noise: Option<&Noise>) -> [f32; 3] {
        let between = |[a, b]: &[[f32; 3]; 2], t: f32| std::array::from_fn(|c| a[c] + (b[c] - a[c]) * t);
        match self {
            Self::Gradient(colours) => between(colours, (x / 2.0 + 0.5).clamp(0.0, 1.0)),
            Self::Stripes(colours, count) => {
                let phase = (x / 2.0 + 0.5) * count;
                between(colours, f32::from(phase - phase.floor() > 0.5))
            }
            Self::Noise(colours, cells, _) => {
                let value = noise.map_or(0.0, |noise| {
                    noise.at(x * cells, y * cells) + 0.5 * noise.at(3.1 * x * cells + 7.0, 3.1 * y * cells)
                });
                between(colours, (value * 0.5 + 0.5).clamp(0.0, 1.0))
            }
            Self::Round(colour) => {
                let shade = 1.0 - 0.5 * (x * x + y * y).min(1.2);
                colour.map(|c| c * shade)
            }
        }
    }
}

/// Bilinear colours and cover at a point of a layer, if any: outside there is nothing, but below it the last row goes
/// on.
fn sample(pixels: &[[u8; 4]], side: usize, [x, y]: [f32; 2]) -> Option<[f32; 4]> {
    let last = side as f32;
    if !(-0.5..last + 0.5).contains(&x) || y < -0.5 {
        return None;
    }
    let (x, y) = (x - 0.5, (y - 0.5).min(last - 1.0));
    let (left, top) = (x.floor(), y.floor());
    let (fx, fy) = (x - left, y - top);
    let at = |dx: i32, dy: i32| {
        let (x, y) = (left as i32 + dx, (top as i32 + dy).min(side as i32 - 1));
        if x < 0 || y < 0 || x >= side as i32 {
            return [0.0; 4];
        }
        pixels[y as usize * side + x as usize].map(f32::from)
    };
    let corners = [at(0, 0), at(1, 0), at(0, 1), at(1, 1)];
    let weights = [(1.0 - fx) * (1.0 - fy), fx * (1.0 - fy), (1.0 - fx) * fy, fx * fy];
    Some(std::array::from_fn(|channel| {
        (0..4).map(|i| corners[i][channel] * weights[i]).sum()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::heads::Layer;

    /// A square of 16 pixels whose left half is red, with an outline around all of it.
    fn head() -> Head {
        let pixels = (0..256)
            .map(|i| if i % 16 < 8 { [200, 0, 0, 255] } else { [0, 200, 0, 255] })
            .collect();
        Head {
            levels: vec![Layer { side: 16, pixels }],
            points: [[4.0, 4.0], [12.0, 4.0], [8.0, 8.0], [5.0, 12.0], [11.0, 12.0]],
            outline: vec![[0.0, 0.0], [16.0, 16.0]],
            yaw: 0.0,
            face: true,
        }
    }

    const PLAIN: Tone = Tone {
        gain: [1.0; 3],
        gamma: 1.0,
    };

    #[test]
    fn pixels_lie_where_their_points_go() {
        let head = head();
        for (angle, mirrored) in [(0.0, false), (0.0, true), (0.7, false), (-1.2, true), (3.0, true)] {
            let mut canvas = Canvas::new(64, [10.0; 3]);
            let placement = Placement {
                centre: [30.0, 28.0],
                scale: 1.5,
                angle,
                mirrored,
            };
            canvas.paste(&head, &placement, &PLAIN, 3);
            // The left eye lies on the red half, the right eye on the green one.
            for (point, channel) in [(head.points[0], 0), (head.points[1], 1)] {
                let at = placement.point([8.0, 8.0], point);
                let place = canvas.place(at).expect("inside");
                assert_eq!(canvas.owner[place], 3, "{angle} {mirrored}");
                assert!((canvas.pixels[place][channel] - 200.0).abs() < 1.0);
                let back = placement.back([8.0, 8.0], at);
                assert!((back[0] - point[0]).abs() < 1e-3 && (back[1] - point[1]).abs() < 1e-3);
            }
        }
        // Beyond the lower edge the body goes on, above there is background.
        let mut canvas = Canvas::new(64, [10.0; 3]);
        let placement = Placement {
            centre: [32.0, 20.0],
            scale: 1.0,
            angle: 0.0,
            mirrored: false,
        };
        canvas.paste(&head, &placement, &PLAIN, 0);
        assert_eq!(canvas.owner[63 * 64 + 30], 0);
        assert_eq!(canvas.owner[5 * 64 + 30], NOBODY);
        assert_eq!(canvas.pixels[5 * 64 + 30], [10.0; 3]);
    }

    #[test]
    fn shapes_cover_their_area_and_take_it_away() {
        for (form, area) in [
            (Form::Ellipse, std::f32::consts::PI * 12.0 * 8.0),
            (Form::Rectangle, 4.0 * 12.0 * 8.0),
            (Form::Triangle, 2.0 * 12.0 * 8.0),
        ] {
            let mut canvas = Canvas::new(64, [0.0; 3]);
            canvas.owner.fill(1);
            canvas.draw(&Shape {
                form,
                centre: [30.0, 33.0],
                radii: [12.0, 8.0],
                angle: 0.5,
                softness: 1.0,
                opacity: 1.0,
                fill: Fill::Gradient([[255.0; 3]; 2]),
            });
            let taken = canvas.owner.iter().filter(|&&owner| owner == NOBODY).count() as f32;
            assert!((taken / area - 1.0).abs() < 0.08, "{form:?}: {taken} of {area}");
        }
    }
}
