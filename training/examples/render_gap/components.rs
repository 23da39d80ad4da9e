//! How well rendered faces span photographed ones: principal components of renders, applied to photos.

use image::RgbImage;
use nalgebra::{DMatrix, SymmetricEigen};

/// Side at which faces are compared.
const SIDE: u32 = 64;

/// Areas of the left half and, mirrored, of the right one: left, top, right, bottom.
const AREAS: [(&str, [f32; 4]); 8] = [
    ("brows", [0.2, 0.26, 0.44, 0.36]),
    ("eyes", [0.22, 0.36, 0.44, 0.46]),
    ("between eyes", [0.44, 0.26, 0.51, 0.46]),
    ("nose", [0.38, 0.46, 0.51, 0.64]),
    ("cheeks", [0.22, 0.48, 0.36, 0.68]),
    ("mouth", [0.34, 0.68, 0.51, 0.84]),
    ("chin", [0.34, 0.84, 0.51, 0.98]),
    ("edges", [0.0, 0.2, 0.2, 0.9]),
];

/// Pixels of the face: an ellipse from the brows' upper edge to the chin.
fn face() -> Vec<(u32, u32)> {
    let inside = |x: u32, y: u32| {
        let u = ((x as f32 + 0.5) / SIDE as f32 - 0.5) / 0.36;
        let v = ((y as f32 + 0.5) / SIDE as f32 - 0.55) / 0.42;
        u * u + v * v < 1.0
    };
    (0..SIDE)
        .flat_map(|y| (0..SIDE).map(move |x| (x, y)))
        .filter(|&(x, y)| inside(x, y))
        .collect()
}

/// A face as numbers. `even`: mean 0 and deviation 1 in brightness, so that exposure does not count. `grey`: without
/// colour.
fn vector(image: &RgbImage, even: bool, grey: bool) -> Vec<f32> {
    let bright = |p: [f32; 3]| 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
    let pixels: Vec<[f32; 3]> = face()
        .into_iter()
        .map(|(x, y)| image.get_pixel(x, y).0.map(f32::from))
        .collect();
    let count = pixels.len() as f32;
    let (mut mean, mut deviation) = (0.0, 1.0);
    if even {
        mean = pixels.iter().map(|&p| bright(p)).sum::<f32>() / count;
        deviation = (pixels.iter().map(|&p| (bright(p) - mean).powi(2)).sum::<f32>() / count)
            .sqrt()
            .max(1.0);
    }
    let scaled = |value: f32| (value - mean) / deviation;
    if grey {
        pixels.iter().map(|&p| scaled(bright(p))).collect()
    } else {
        pixels.iter().flat_map(|p| p.map(scaled)).collect()
    }
}

/// Mean and principal components of faces.
struct Components {
    mean: Vec<f32>,
    /// Of length 1, the strongest first.
    directions: Vec<Vec<f32>>,
}

impl Components {
    fn new(faces: &[Vec<f32>], count: usize) -> Self {
        let (rows, columns) = (faces.len(), faces[0].len());
        let mut mean = vec![0.0f32; columns];
        for face in faces {
            mean.iter_mut().zip(face).for_each(|(m, v)| *m += v / rows as f32);
        }
        let centred = DMatrix::from_fn(rows, columns, |r, c| faces[r][c] - mean[c]);
        let gram = &centred * centred.transpose();
        let eigen = SymmetricEigen::new(gram);
        let mut order: Vec<usize> = (0..rows).collect();
        order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
        let directions = order[..count.min(rows - 1)].iter().map(|&place| {
            let direction = centred.transpose() * eigen.eigenvectors.column(place);
            let norm = direction.norm().max(1e-9);
            direction.iter().map(|v| v / norm).collect()
        });
        Self {
            directions: directions.collect(),
            mean,
        }
    }

    /// Shares of the faces' variance about the mean that the first 10, 30 and all components explain, and the root mean
    /// square of what is left.
    fn explained(&self, faces: &[Vec<f32>]) -> ([f64; 3], f64) {
        let (mut all, mut explained) = (0.0f64, [0.0f64; 3]);
        for face in faces {
            let moved: Vec<f32> = face.iter().zip(&self.mean).map(|(v, m)| v - m).collect();
            all += moved.iter().map(|v| f64::from(v * v)).sum::<f64>();
            for (i, direction) in self.directions.iter().enumerate() {
                let along: f32 = direction.iter().zip(&moved).map(|(d, v)| d * v).sum();
                let square = f64::from(along * along);
                explained[2] += square;
                explained[1] += if i < 30 { square } else { 0.0 };
                explained[0] += if i < 10 { square } else { 0.0 };
            }
        }
        let mut areas = [(0.0f64, 0.0f64); AREAS.len()];
        let pixels = face();
        let channels = self.mean.len() / pixels.len();
        for face in faces {
            let mut rest: Vec<f32> = face.iter().zip(&self.mean).map(|(v, m)| v - m).collect();
            for direction in &self.directions {
                let along: f32 = direction.iter().zip(&rest).map(|(d, v)| d * v).sum();
                rest.iter_mut().zip(direction).for_each(|(r, d)| *r -= along * d);
            }
            for (place, &(x, y)) in pixels.iter().enumerate() {
                let (u, v) = ((x as f32 + 0.5) / SIDE as f32, (y as f32 + 0.5) / SIDE as f32);
                for (area, (_, [left, top, right, bottom])) in areas.iter_mut().zip(AREAS) {
                    if (left..right).contains(&u.min(1.0 - u)) && (top..bottom).contains(&v) {
                        let square: f32 = rest[channels * place..][..channels].iter().map(|r| r * r).sum();
                        area.0 += f64::from(square);
                        area.1 += channels as f64;
                    }
                }
            }
        }
        print!("   ");
        for ((name, _), (sum, count)) in AREAS.iter().zip(areas) {
            print!(" {name} {:.3}", (sum / count.max(1.0)).sqrt());
        }
        println!();
        let values = (faces.len() * self.mean.len()) as f64;
        (
            explained.map(|e| e / all),
            ((all - explained[2]) / values).max(0.0).sqrt(),
        )
    }
}

/// Prints how well `count` components of renders explain other renders and photos.
pub fn compare(renders: &[&RgbImage], photos: &[&RgbImage], count: usize) {
    let coloured = photos
        .iter()
        .any(|image| image.pixels().any(|p| p.0[0].abs_diff(p.0[2]) > 8));
    for even in [false, true] {
        let vectors =
            |images: &[&RgbImage]| -> Vec<Vec<f32>> { images.iter().map(|i| vector(i, even, !coloured)).collect() };
        let (fit, held) = renders.split_at(renders.len() * 4 / 5);
        let components = Components::new(&vectors(fit), count);
        let unit = if even { "" } else { " levels" };
        for (name, images) in [("renders held out", held), ("photos", photos)] {
            let ([a, b, c], rest) = components.explained(&vectors(images));
            println!(
                "  {}components of {} renders, {name}: 10 explain {a:.3}, 30 {b:.3}, {count} {c:.3}; rest {rest:.3}{unit}",
                if even { "evened, " } else { "" },
                fit.len()
            );
        }
    }
}
