//! Taking a photo: posing, projecting, drawing, shading, finishing.

use std::cell::RefCell;

use image::RgbImage;
use omniid::{Error, Result};
use omniid_minihost::View;

use super::background;
use super::camera::{five_points, Camera, Pose};
use super::mesh::Surface;
use super::person::Person;
use super::photo::PhotoSpec;
use super::raster::{Visibility, EMPTY};
use super::shading::{interpolate2, Scene, Shading};
use super::style::Style;
use super::texture::{linear_colour, to_srgb, Level};
use super::vector::{add, scale, Vec3};

/// A rendered picture and the truth about it.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The picture.
    pub image: RgbImage,
    /// Cover of head, hair and neck (not of clothes), 0…255, `size`·`size`, row by row.
    pub mask: Vec<u8>,
    /// Pose, average points, expression, gaze, light, background, glasses.
    pub view: View,
    /// The 68 landmarks, pixels from the left and upper edge.
    pub landmarks68: [[f32; 2]; 68],
    /// Eye at image left, eye at image right, nose tip, mouth corner left, right; pixels.
    pub points5: [[f32; 2]; 5],
    /// Left, top, right, bottom around forehead, ears' inner edge and chin, pixels; can reach out of the picture.
    pub face_box: [f32; 4],
}

/// Largest side of a picture, so that supersampled coordinates keep their precision.
pub const LARGEST: u32 = 2048;

/// Bits of a triangle's number below the layer's.
const TRIANGLE_BITS: u32 = 26;

/// Buffers of a picture in progress, kept per thread.
#[derive(Default)]
pub(crate) struct Canvas {
    visibility: Visibility,
    colour: Vec<Vec3>,
    /// 0 background, 1 head, 2 clothes.
    kind: Vec<u8>,
    side: u32,
}

thread_local! {
    static CANVAS: RefCell<Canvas> = RefCell::default();
}

/// One person's truth in a picture.
#[derive(Debug, Clone)]
pub(crate) struct Truth {
    pub mean: [[f32; 2]; 5],
    pub landmarks: [[f32; 2]; 68],
}

impl Person {
    /// Takes a photo of `size` × `size` pixels (16 to [`LARGEST`]). Same person, photo and size: same bytes.
    ///
    /// # Errors
    /// [`omniid::ErrorKind::InvalidArgument`] for a size out of range or a pose that shows no face (angles that
    /// are not finite).
    pub fn render(&self, photo: &PhotoSpec, size: u32) -> Result<Rendered> {
        check_size(size)?;
        with_canvas(|canvas| {
            let samples = self.supersampling(size);
            canvas.start(size * samples);
            let truth = canvas.draw(self, photo, size, samples)?;
            let behind = background::paint(&photo.background, &photo.view.background, size);
            let (mut image, mask) = canvas.finish(&behind, size, samples);
            photo.augmentation.apply(&mut image);
            let mut view = photo.view;
            view.background = background::halves(&behind);
            view.light = photo.lighting.harmonics();
            view.points = truth.mean.map(|p| p.map(|c| 2.0 * c / size as f32 - 1.0));
            Ok(Rendered {
                image,
                mask,
                view,
                points5: five_points(&truth.landmarks),
                face_box: face_box(&truth.landmarks),
                landmarks68: truth.landmarks,
            })
        })
    }
}

/// Lends the thread's canvas.
pub(crate) fn with_canvas<T>(work: impl FnOnce(&mut Canvas) -> T) -> T {
    CANVAS.with_borrow_mut(work)
}

pub(crate) fn check_size(size: u32) -> Result<()> {
    if (16..=LARGEST).contains(&size) {
        Ok(())
    } else {
        Err(Error::invalid(format!(
            "a picture of {size} pixels: 16 to {LARGEST} are possible"
        )))
    }
}

impl Person {
    /// Samples per pixel along each side: more in small pictures, where they cost little and edges matter more, and
    /// where hair is fine.
    pub(crate) fn supersampling(&self, size: u32) -> u32 {
        let small = match self.style() {
            Style::Classic => 80,
            Style::Lifelike => 160,
        };
        if size <= small {
            3
        } else {
            2
        }
    }
}

/// Around forehead and chin: the landmarks' box, higher by a third of its height.
fn face_box(landmarks: &[[f32; 2]; 68]) -> [f32; 4] {
    let range = |axis: usize| {
        landmarks.iter().fold((f32::MAX, f32::MIN), |(low, high), p| {
            (low.min(p[axis]), high.max(p[axis]))
        })
    };
    let ((left, right), (top, bottom)) = (range(0), range(1));
    [left, top - 0.3 * (bottom - top), right, bottom]
}

impl Canvas {
    /// Empties the canvas; `side` in samples.
    pub fn start(&mut self, side: u32) {
        let count = (side * side) as usize;
        self.side = side;
        self.visibility.reset(side, side);
        self.colour.clear();
        self.colour.resize(count, [0.0; 3]);
        self.kind.clear();
        self.kind.resize(count, 0);
    }

    /// Draws a person over what is there, nearer things in front.
    pub fn draw(&mut self, person: &Person, photo: &PhotoSpec, size: u32, samples: u32) -> Result<Truth> {
        let view = &photo.view;
        let shape = person.shape(&view.expression, view.gaze)?;
        let pose = Pose::new(view.yaw, view.pitch, view.roll);
        let posed: Vec<Vec3> = shape.positions.iter().map(|&p| pose.point(p)).collect();
        let landmarks: Vec<Vec3> = shape.landmarks.iter().map(|&p| pose.point(p)).collect();
        let camera = Camera::frame(photo.distance, &photo.framing, &landmarks, f64::from(size))?;
        let factor = samples as f32;
        let projected: Vec<Vec3> = posed
            .iter()
            .map(|&p| {
                let [x, y, depth] = camera.project(p);
                [x * factor, y * factor, depth]
            })
            .collect();
        let density = camera.scale() * factor;
        let layers = &person.appearance.layers;
        let levels: Vec<Option<&Level>> = layers
            .iter()
            .map(|layer| layer.texture.as_ref().map(|t| t.level(layer.density / density)))
            .collect();
        self.visibility.id.fill(EMPTY);
        let thresholds = thresholds(samples);
        for (index, layer) in layers.iter().enumerate() {
            if !is_drawn(layer.surface, view) {
                continue;
            }
            let topology = &*layer.topology;
            let first = layer.first_vertex;
            for (number, triangle) in topology.triangles.iter().enumerate() {
                let corners = triangle.map(|i| projected[(i + first) as usize]);
                let id = (index as u32) << TRIANGLE_BITS | number as u32;
                match levels[index].filter(|_| layer.alpha) {
                    None => self.visibility.triangle(corners, id, layer.two_sided, |_, _, _| true),
                    Some(level) => {
                        let uvs = topology.uv_triangles[number].map(|i| topology.uvs[i as usize]);
                        self.visibility.triangle(corners, id, layer.two_sided, |w, x, y| {
                            let alpha = level.alpha(interpolate2(uvs, w));
                            alpha > thresholds[(y % samples * samples + x % samples) as usize]
                        });
                    }
                }
            }
        }
        let scene = Scene::new(person, photo, &pose, &shape, &posed, &projected, density);
        let shading = scene.shading(&levels);
        let shares = person.style() == Style::Lifelike && samples == 3;
        for place in 0..self.visibility.id.len() {
            if !shares || self.keeper(place) == place {
                self.shade(&shading, place);
            }
        }
        if shares {
            self.share(&shading);
        }
        let mean: Vec<[f32; 2]> = person
            .appearance
            .mean_points
            .iter()
            .map(|&p| camera.project(pose.point(p)))
            .map(|p| [p[0], p[1]])
            .collect();
        let mut flat = [[0.0; 2]; 68];
        for (place, &landmark) in flat.iter_mut().zip(&landmarks) {
            let [x, y, _] = camera.project(landmark);
            *place = [x, y];
        }
        Ok(Truth {
            mean: five_points(&mean),
            landmarks: flat,
        })
    }

    /// Shades a sample, if something is seen there.
    #[inline(always)]
    fn shade(&mut self, shading: &Shading, place: usize) {
        let id = self.visibility.id[place];
        if id != EMPTY {
            let (x, y) = (place as u32 % self.side, place as u32 / self.side);
            let index = (id >> TRIANGLE_BITS) as usize;
            let number = (id & ((1 << TRIANGLE_BITS) - 1)) as usize;
            let centre = [x as f32 + 0.5, y as f32 + 0.5];
            (self.colour[place], self.kind[place]) = shading.at(index, number, centre);
        }
    }

    /// The one of three neighbouring samples of a pixel that is always shaded: another one in each row of samples.
    fn keeper(&self, place: usize) -> usize {
        let (x, y) = (place as u32 % self.side, place as u32 / self.side);
        place - (x % 3) as usize + (y % 3) as usize
    }

    /// Gives samples the shade of their keeper where that shows the same thing; shading is what costs most.
    fn share(&mut self, shading: &Shading) {
        for place in 0..self.visibility.id.len() {
            let keeper = self.keeper(place);
            if keeper == place {
                continue;
            }
            let (own, kept) = (self.visibility.id[place], self.visibility.id[keeper]);
            if own != EMPTY && kept != EMPTY && own >> TRIANGLE_BITS == kept >> TRIANGLE_BITS {
                self.colour[place] = self.colour[keeper];
                self.kind[place] = self.kind[keeper];
            } else {
                self.shade(shading, place);
            }
        }
    }

    /// Averages samples to colours and cover, the colours multiplied by the cover.
    pub fn layer(&self, size: u32, samples: u32) -> Vec<[u8; 4]> {
        let count = (samples * samples) as f32;
        let mut pixels = Vec::with_capacity((size * size) as usize);
        for y in 0..size {
            for x in 0..size {
                let (mut sum, mut covered) = ([0.0; 3], 0.0f32);
                for sy in 0..samples {
                    for sx in 0..samples {
                        let sample = ((y * samples + sy) * self.side + x * samples + sx) as usize;
                        if self.kind[sample] != 0 {
                            sum = add(sum, self.colour[sample]);
                            covered += 1.0;
                        }
                    }
                }
                let cover = covered / count;
                let [r, g, b] = scale(sum, 1.0 / covered.max(1.0)).map(|c| (to_srgb(c) * cover + 0.5) as u8);
                pixels.push([r, g, b, (255.0 * cover + 0.5) as u8]);
            }
        }
        pixels
    }

    /// Averages samples over a background in linear light.
    pub fn finish(&self, behind: &[[f32; 3]], size: u32, samples: u32) -> (RgbImage, Vec<u8>) {
        let mut image = RgbImage::new(size, size);
        let mut mask = vec![0; (size * size) as usize];
        let share = 1.0 / (samples * samples) as f32;
        for y in 0..size {
            for x in 0..size {
                let place = (y * size + x) as usize;
                let mut sum = [0.0; 3];
                let (mut head, mut empty) = (0.0, 0.0f32);
                for sy in 0..samples {
                    for sx in 0..samples {
                        let sample = ((y * samples + sy) * self.side + x * samples + sx) as usize;
                        match self.kind[sample] {
                            0 => empty += 1.0,
                            kind => {
                                sum = add(sum, self.colour[sample]);
                                head += if kind == 1 { 1.0 } else { 0.0 };
                            }
                        }
                    }
                }
                if empty > 0.0 {
                    sum = add(sum, scale(linear_colour(behind[place]), empty));
                }
                let colour = scale(sum, share).map(|c| (to_srgb(c) + 0.5) as u8);
                image.put_pixel(x, y, image::Rgb(colour));
                mask[place] = (255.0 * head * share + 0.5) as u8;
            }
        }
        (image, mask)
    }
}

/// Things that are in the mouth are not drawn while it is shut, glasses not when taken off.
fn is_drawn(surface: Surface, view: &View) -> bool {
    let [smile, _, jaw_open, ..] = view.expression;
    match surface {
        Surface::Mouth => jaw_open > 0.02 || smile > 0.05 || view.expression[8] > 0.1,
        Surface::Frame => view.glasses > 0.5,
        _ => true,
    }
}

/// Alpha that a sample of each place in a pixel needs, so that together they cover by alpha.
fn thresholds(samples: u32) -> Vec<u8> {
    let order: &[u32] = match samples {
        2 => &[0, 2, 3, 1],
        3 => &[0, 5, 3, 7, 2, 8, 4, 6, 1],
        _ => &[0],
    };
    order
        .iter()
        .map(|&o| ((o as f32 + 0.5) / order.len() as f32 * 200.0 + 8.0) as u8)
        .collect()
}
