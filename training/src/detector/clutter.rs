//! What is in pictures besides people: backgrounds, things, things in front of faces.

use super::canvas::{Canvas, Fill, Form, Shape, NOBODY};
use super::heads::Head;
use crate::render::{paint, PhotoDistribution};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::f32::consts::TAU;

/// A colour, 0…255: grey or bright.
fn colour(rng: &mut ChaCha8Rng) -> [f32; 3] {
    let grey = rng.random_range(5.0f32..250.0);
    let spread = rng.random_range(0.0f32..1.0).powi(2) * 120.0;
    std::array::from_fn(|_| (grey + rng.random_range(-1.0..1.0) * spread).clamp(0.0, 255.0))
}

/// A colour that skin can have.
fn skin(rng: &mut ChaCha8Rng) -> [f32; 3] {
    let tone = rng.random_range(0.0f32..1.0);
    let (light, dark) = ([240.0, 205.0, 185.0], [70.0, 45.0, 35.0]);
    let bright = rng.random_range(0.75f32..1.1);
    std::array::from_fn(|c| {
        let value: f32 = dark[c] + (light[c] - dark[c]) * tone;
        (value * bright + rng.random_range(-8.0..8.0)).clamp(0.0, 255.0)
    })
}

fn fill(rng: &mut ChaCha8Rng) -> Fill {
    let bare = rng.random_bool(0.3);
    let mut one = || if bare { skin(rng) } else { colour(rng) };
    let colours = [one(), one()];
    match rng.random_range(0..8) {
        0 => Fill::Stripes(colours, rng.random_range(2.0..12.0)),
        1 | 2 => Fill::Noise(colours, rng.random_range(0.5..9.0), rng.random()),
        3 | 4 => Fill::Round(colours[0]),
        5 => Fill::Gradient(colours),
        _ => Fill::Gradient([colours[0]; 2]),
    }
}

fn form(rng: &mut ChaCha8Rng) -> Form {
    match rng.random_range(0..5) {
        0 | 1 => Form::Ellipse,
        2 => Form::Triangle,
        _ => Form::Rectangle,
    }
}

/// A thing of about `size` pixels around `centre`, sometimes long and thin.
pub fn thing(rng: &mut ChaCha8Rng, centre: [f32; 2], size: f32) -> Shape {
    let stretch = rng.random_range(-1.0f32..1.0).powi(3) * 2.0;
    let half = (size / 2.0).max(0.6);
    Shape {
        form: form(rng),
        centre,
        radii: [(half * stretch.exp()).max(0.6), (half / stretch.exp()).max(0.6)],
        angle: rng.random_range(0.0..TAU),
        softness: if rng.random_bool(0.3) {
            rng.random_range(1.0..(2.0 + size / 3.0))
        } else {
            1.0
        },
        opacity: if rng.random_bool(0.85) {
            1.0
        } else {
            rng.random_range(0.4..1.0)
        },
        fill: fill(rng),
    }
}

fn anywhere(rng: &mut ChaCha8Rng, side: f32) -> [f32; 2] {
    [rng.random_range(0.0..side), rng.random_range(0.0..side)]
}

/// A size between two, uniform in its logarithm.
pub fn between(rng: &mut ChaCha8Rng, low: f32, high: f32) -> f32 {
    if low < high {
        rng.random_range(low.ln()..high.ln()).exp()
    } else {
        low
    }
}

/// A picture without people.
pub fn background(rng: &mut ChaCha8Rng, side: usize, heads: &[Head]) -> Canvas {
    let mut canvas = Canvas::new(side, colour(rng));
    let extent = side as f32;
    let all = |fill| Shape {
        form: Form::Rectangle,
        centre: [extent / 2.0; 2],
        radii: [extent; 2],
        angle: 0.0,
        softness: 1.0,
        opacity: 1.0,
        fill,
    };
    match rng.random_range(0..10) {
        0 => {}
        1..=3 => {
            let photo = PhotoDistribution::detector().sample(rng);
            let painted = paint(&photo.background, &photo.view.background, side as u32);
            for (pixel, value) in canvas.pixels.iter_mut().zip(painted) {
                *pixel = value.map(|c| c * 255.0);
            }
        }
        4 => canvas.draw(&Shape {
            angle: rng.random_range(0.0..TAU),
            ..all(fill(rng))
        }),
        5 | 6 => {
            // Layers of noise, coarse to fine.
            for _ in 0..rng.random_range(1..4) {
                let cells = between(rng, 1.5, extent / 5.0);
                let noise = Fill::Noise([colour(rng), colour(rng)], cells, rng.random());
                canvas.draw(&Shape {
                    opacity: rng.random_range(0.3..1.0),
                    ..all(noise)
                });
            }
        }
        7 => grid(rng, &mut canvas),
        8 => patches(rng, &mut canvas, heads),
        _ => {
            for _ in 0..rng.random_range(20..90) {
                let size = between(rng, 4.0, extent * 0.6);
                let centre = anywhere(rng, extent);
                canvas.draw(&thing(rng, centre, size));
            }
        }
    }
    for _ in 0..rng.random_range(0..8) {
        let size = between(rng, 5.0, extent * 0.7);
        let centre = anywhere(rng, extent);
        canvas.draw(&thing(rng, centre, size));
    }
    if rng.random_bool(0.25) {
        for _ in 0..rng.random_range(1..4) {
            doll(rng, &mut canvas);
        }
    }
    canvas
}

/// Rows and columns of equal things: windows, bricks, shelves.
fn grid(rng: &mut ChaCha8Rng, canvas: &mut Canvas) {
    let extent = canvas.side as f32;
    let step = between(rng, 8.0, extent / 2.5);
    let (wide, high) = (rng.random_range(0.5..1.0), rng.random_range(0.5f32..1.0));
    let sample = thing(rng, [0.0; 2], step);
    let shift = if rng.random_bool(0.5) { 0.5 } else { 0.0 };
    let mut row = 0;
    while (row as f32) * step * high < extent + step {
        let mut column = 0;
        while (column as f32 - 0.5) * step < extent + step {
            let offset = shift * (row % 2) as f32;
            canvas.draw(&Shape {
                centre: [(column as f32 + offset) * step, row as f32 * step * high],
                radii: [step * wide * 0.45, step * high * 0.42],
                angle: 0.0,
                ..sample.clone()
            });
            column += 1;
        }
        row += 1;
    }
}

/// Pieces of heads, too small to be faces, all over the picture: skin, hair, cloth, ears, and nothing to be found.
fn patches(rng: &mut ChaCha8Rng, canvas: &mut Canvas, heads: &[Head]) {
    let side = canvas.side;
    let size = rng.random_range(8..40).min(side);
    let grey = colour(rng);
    for top in (0..side).step_by(size) {
        for left in (0..side).step_by(size) {
            let head = &heads[rng.random_range(0..heads.len())];
            let level = &head.levels[rng.random_range(0..2.min(head.levels.len()))];
            let [x0, y0, x1, y1] = head.bounds();
            // Never as much as two of a face's parts.
            let piece = size
                .min(((x1 - x0).min(y1 - y0) / 4.0) as usize)
                .max(1)
                .min(level.side - 1);
            let x = rng.random_range(0..level.side - piece);
            let y = rng.random_range(0..level.side - piece);
            for row in top..(top + size).min(side) {
                for column in left..(left + size).min(side) {
                    let at = (y + (row - top) * piece / size) * level.side + x + (column - left) * piece / size;
                    let [r, g, b, cover] = level.pixels[at].map(f32::from);
                    let rest = 1.0 - cover / 255.0;
                    canvas.pixels[row * side + column] = [r + grey[0] * rest, g + grey[1] * rest, b + grey[2] * rest];
                }
            }
        }
    }
}

/// Round and coloured as skin, on a body, perhaps with hair, with no face in it: hands, arms, balls.
fn doll(rng: &mut ChaCha8Rng, canvas: &mut Canvas) {
    let size = between(rng, 10.0, canvas.side as f32 * 0.6);
    let [x, y] = anywhere(rng, canvas.side as f32);
    let bare = skin(rng);
    let ellipse = |centre, radii, fill| Shape {
        form: Form::Ellipse,
        centre,
        radii,
        angle: 0.0,
        softness: 1.0,
        opacity: 1.0,
        fill,
    };
    if rng.random_bool(0.5) {
        let body = fill(rng);
        canvas.draw(&ellipse([x, y + size * 1.1], [size * 0.8, size * 0.7], body));
    }
    if rng.random_bool(0.5) {
        let hair = Fill::Round(colour(rng));
        canvas.draw(&ellipse([x, y - size * 0.1], [size * 0.46, size * 0.58], hair));
    }
    let skin_fill = if rng.random_bool(0.5) {
        Fill::Round(bare)
    } else {
        Fill::Gradient([bare, bare.map(|c| c * 0.6)])
    };
    canvas.draw(&ellipse([x, y], [size * 0.38, size * 0.5], skin_fill));
    if rng.random_bool(0.4) {
        // Fingers.
        for finger in 0..rng.random_range(2..5) {
            let along = (finger as f32 - 1.5) * size * 0.18;
            let fill = Fill::Round(bare);
            canvas.draw(&ellipse([x + along, y - size * 0.6], [size * 0.09, size * 0.35], fill));
        }
    }
}

/// Something in front of a part of the box of a face.
pub fn cover(rng: &mut ChaCha8Rng, canvas: &mut Canvas, [left, top, right, bottom]: [f32; 4]) {
    let (width, height) = (right - left, bottom - top);
    let size = rng.random_range(0.25..0.7) * width.min(height);
    // Mostly from the border inwards.
    let along = rng.random_range(0.0..TAU);
    let far = rng.random_range(0.25f32..0.6);
    let centre = [
        (left + right) / 2.0 + along.cos() * far * width,
        (top + bottom) / 2.0 + along.sin() * far * height,
    ];
    let mut shape = thing(rng, centre, size);
    shape.opacity = 1.0;
    canvas.draw(&shape);
}

/// A border of one colour around the picture, as scans and slides have it.
pub fn frame(rng: &mut ChaCha8Rng, canvas: &mut Canvas) {
    let side = canvas.side;
    let colour = colour(rng);
    // Left, top, right, bottom.
    let widths: [usize; 4] = std::array::from_fn(|_| rng.random_range(0..side / 6 + 1));
    for row in 0..side {
        for column in 0..side {
            let inside = column >= widths[0] && row >= widths[1] && column + widths[2] < side && row + widths[3] < side;
            if !inside {
                canvas.pixels[row * side + column] = colour;
                canvas.owner[row * side + column] = NOBODY;
            }
        }
    }
}
