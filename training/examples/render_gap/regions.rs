//! Colour and brightness of the parts of aligned faces.

use image::RgbImage;

/// A rectangle of an aligned crop, 0…1: left, top, right, bottom. With a mirrored one it makes a region.
struct Region {
    name: &'static str,
    place: [f32; 4],
    mirrored: bool,
}

const fn region(name: &'static str, place: [f32; 4], mirrored: bool) -> Region {
    Region { name, place, mirrored }
}

/// The eyes lie at (0.345, 0.41) and (0.653, 0.41), the nose's tip at (0.5, 0.585), the mouth's corners at (0.374, 0.766)
/// and (0.629, 0.766).
const REGIONS: [Region; 11] = [
    region("eyes", [0.28, 0.38, 0.41, 0.44], true),
    region("lids", [0.28, 0.35, 0.41, 0.38], true),
    region("brows", [0.25, 0.28, 0.41, 0.34], true),
    region("below eyes", [0.29, 0.46, 0.40, 0.50], true),
    region("cheeks", [0.25, 0.54, 0.36, 0.66], true),
    region("forehead", [0.38, 0.15, 0.62, 0.24], false),
    region("nose", [0.45, 0.46, 0.55, 0.58], false),
    region("lips", [0.42, 0.73, 0.58, 0.81], false),
    region("chin", [0.42, 0.86, 0.58, 0.93], false),
    region("upper edge", [0.3, 0.0, 0.7, 0.05], false),
    region("sides", [0.0, 0.3, 0.07, 0.55], true),
];

/// What is measured of a region: brightness and its deviation within the region, and how much redder than green and
/// greener than blue it is, all in levels 0…255. Brightness is relative to the cheeks, but theirs.
const NUMBERS: usize = 4;
const CHEEKS: usize = 4;

fn measure(image: &RgbImage, region: &Region) -> [f64; NUMBERS] {
    let side = image.width() as f32;
    let mut values = Vec::new();
    for mirror in 0..1 + u32::from(region.mirrored) {
        let [left, top, right, bottom] = region.place;
        let (left, right) = if mirror == 1 {
            (1.0 - right, 1.0 - left)
        } else {
            (left, right)
        };
        let range = |from: f32, to: f32| (from * side).round() as u32..((to * side).round() as u32).max(1);
        for y in range(top, bottom) {
            for x in range(left, right) {
                values.push(image.get_pixel(x, y).0.map(f64::from));
            }
        }
    }
    let count = values.len() as f64;
    let bright = |p: &[f64; 3]| 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
    let mean = values.iter().map(bright).sum::<f64>() / count;
    let deviation = (values.iter().map(|p| (bright(p) - mean).powi(2)).sum::<f64>() / count).sqrt();
    let warm = values.iter().map(|p| p[0] - p[1]).sum::<f64>() / count;
    let yellow = values.iter().map(|p| p[1] - p[2]).sum::<f64>() / count;
    [mean, deviation, warm, yellow]
}

/// Mean over people, and standard deviation between them, of each region's numbers.
pub struct Regions {
    means: Vec<[(f64, f64); NUMBERS]>,
    coloured: bool,
}

impl Regions {
    /// `people`: pictures of each, from the front.
    pub fn new(people: &[Vec<&RgbImage>]) -> Self {
        let one = |image: &RgbImage| {
            let mut all: Vec<[f64; NUMBERS]> = REGIONS.iter().map(|region| measure(image, region)).collect();
            let cheeks = all[CHEEKS][0];
            for (i, numbers) in all.iter_mut().enumerate() {
                numbers[0] -= if i == CHEEKS { 0.0 } else { cheeks };
            }
            all
        };
        let each: Vec<Vec<[f64; NUMBERS]>> = people
            .iter()
            .filter(|pictures| !pictures.is_empty())
            .map(|pictures| {
                let count = pictures.len() as f64;
                let mut sum = vec![[0.0; NUMBERS]; REGIONS.len()];
                for picture in pictures {
                    for (sum, own) in sum.iter_mut().zip(one(picture)) {
                        (0..NUMBERS).for_each(|k| sum[k] += own[k] / count);
                    }
                }
                sum
            })
            .collect();
        let count = each.len().max(1) as f64;
        let means = (0..REGIONS.len())
            .map(|region| {
                std::array::from_fn(|k| {
                    let mean = each.iter().map(|p| p[region][k]).sum::<f64>() / count;
                    let square = each.iter().map(|p| (p[region][k] - mean).powi(2)).sum::<f64>() / count;
                    (mean, square.sqrt())
                })
            })
            .collect::<Vec<_>>();
        let coloured = each.iter().flatten().any(|numbers| numbers[2].abs() > 0.5);
        Self { means, coloured }
    }

    /// A table of both, and the mean distance of their means in standard deviations of the photos.
    pub fn compare(&self, photos: &Self) {
        println!("  region        brightness (renders | photos)   contrast            red-green           green-blue");
        let (mut sum, mut count) = (0.0, 0.0);
        for ((region, own), other) in REGIONS.iter().zip(&self.means).zip(&photos.means) {
            let mut line = format!("  {:12}", region.name);
            for k in 0..if photos.coloured { NUMBERS } else { 2 } {
                let ((a, b), (c, d)) = (own[k], other[k]);
                line += &format!(" {a:6.1} ±{b:5.1} |{c:6.1} ±{d:5.1}");
                sum += (a - c).abs() / d.max(2.0);
                count += 1.0;
            }
            println!("{line}");
        }
        println!(
            "  mean distance of regions: {:.3} standard deviations of the photos",
            sum / count
        );
    }
}
