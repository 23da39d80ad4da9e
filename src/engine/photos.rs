//! Photos to features: reading, cutting, the image encoder, and the comparison of the photos with each other.

use super::likeness::{verdicts, Judge, PhotoFaces};
use super::load::ImageFeatures;
use super::options::{BadPhoto, EncodeOptions, Strangers};
use super::record::PhotoRecord;
use super::Engine;
use crate::encoder::EncoderInput;
use crate::error::{Error, ErrorKind, Result};
use crate::face::parsing::{align, align_mask, grey_background, grey_where};
use crate::face::warp::norm_crop;
use crate::face::{cut_face, prepare_photo, CropMode, CropOptions, FaceDetector, PhotoReport, Prepared};
use crate::face_embedding::FaceEmbedding;
use crate::photo::{Decoded, FaceHint, FaceMask, Landmarks, Photo, PhotoNote, PhotoSource};
use crate::progress::{report, ProgressFn, Stage};
use crate::remedy;
use candle_core::{Device, Tensor};
use image::RgbImage;

/// A photo that can be used.
struct Used {
    /// Its place among the photos handed in.
    index: usize,
    /// What the networks made of it.
    record: PhotoRecord,
    /// What it is compared by.
    faces: PhotoFaces,
}

/// What the networks get of a photo.
#[derive(Default)]
struct PhotoInput {
    /// `[3, size, size]`, normalised for the image encoder.
    pixels: Option<Vec<f32>>,
    /// The aligned face, for the recogniser.
    face: Option<RgbImage>,
    /// The face embedding that the host has.
    embedding: Option<FaceEmbedding>,
}

/// A photo that was read.
struct Taken {
    input: PhotoInput,
    report: PhotoReport,
    /// The crop and what it was cut from; `None` for a photo whose picture nobody needs.
    picture: Option<(RgbImage, Decoded)>,
}

/// The photos of one call on their way.
struct Set<'a> {
    engine: &'a Engine,
    photos: &'a [Photo<'a>],
    options: &'a EncodeOptions,
    used: Vec<Used>,
    reports: Vec<PhotoReport>,
}

impl Engine {
    /// Decodes, crops and encodes photos, a batch at a time, so that memory does not grow with their number, and
    /// compares them with each other and with `known`, the features of an identity's photos. The crop of every photo
    /// that can be used goes to `keep`, with its place among `photos`; another one for the same photo replaces it.
    ///
    /// Gives what the networks make of those photos, and a report on each photo.
    pub(super) fn records(
        &self,
        photos: &[Photo<'_>],
        known: &[Tensor],
        options: &EncodeOptions,
        progress: ProgressFn<'_>,
        mut keep: impl FnMut(usize, RgbImage),
    ) -> Result<(Vec<PhotoRecord>, Vec<PhotoReport>)> {
        if options.batch_size == 0 {
            return Err(Error::invalid("encoding: batch size 0, expected at least 1"));
        }
        // What is wrong with every photo is no photo's fault.
        let crop = self.crop_options(options);
        crop.check()?;
        if let (Some(mode), false) = (options.crop, self.reads_image()) {
            return Err(Error::invalid(format!(
                "encoding: crop mode {mode} has no effect on {}, which reads face embeddings only",
                self.title()
            )));
        }
        let judge = Judge::of(self, options, known.len() + photos.len());
        let mut set = Set {
            engine: self,
            photos,
            options,
            used: Vec::new(),
            reports: Vec::with_capacity(photos.len()),
        };
        let (mut batch, mut waiting) = (Vec::new(), Vec::new());
        report(progress, Stage::Photos, 0, photos.len())?;
        for (index, photo) in photos.iter().enumerate() {
            match self.take(photo, options) {
                Ok(Taken { input, report, picture }) => {
                    let faces = match (&judge, &picture) {
                        (Some(judge), Some((_, decoded))) => judge.faces(photo.face, &report, decoded)?,
                        _ => PhotoFaces::default(),
                    };
                    batch.push(input);
                    waiting.push((index, faces));
                    set.reports.push(report);
                    if let Some((image, _)) = picture {
                        keep(index, image);
                    }
                }
                Err(error) if options.bad_photo == BadPhoto::Fail => return Err(error),
                Err(error) => {
                    log::warn!("photo {} of {} is left out: {error}", index + 1, photos.len());
                    set.reports.push(PhotoReport::left_out(photo.name(), crop.mode, error));
                }
            }
            if batch.len() == options.batch_size || (index + 1 == photos.len() && !batch.is_empty()) {
                let records = self.encode_inputs(std::mem::take(&mut batch))?;
                let new = records.into_iter().zip(waiting.drain(..));
                set.used
                    .extend(new.map(|(record, (index, faces))| Used { index, record, faces }));
                report(progress, Stage::Encode, index + 1, photos.len())?;
            }
            report(progress, Stage::Photos, index + 1, photos.len())?;
        }
        if let Some(judge) = judge {
            let known = judge.known(known)?;
            for photo in &mut set.used {
                if let Some(image) = &photo.record.image {
                    judge.complete(&mut photo.faces, image)?;
                }
            }
            let chosen = set.choose_faces(&judge, &known, progress, &mut keep)?;
            set.compare(&judge, &known, &chosen)?;
        }
        let Set { used, reports, .. } = set;
        if used.is_empty() {
            return Err(none_usable(&reports));
        }
        Ok((used.into_iter().map(|photo| photo.record).collect(), reports))
    }

    /// Reads as much of a photo as the model needs.
    fn take(&self, photo: &Photo<'_>, options: &EncodeOptions) -> Result<Taken> {
        let named = |error: Error| error.context(photo.name());
        let embedding = self.given_embedding(photo).map_err(named)?;
        self.check_face_mask(photo, options).map_err(named)?;
        if embedding.is_some() && !self.reads_image() {
            let input = PhotoInput {
                embedding,
                ..PhotoInput::default()
            };
            return Ok(Taken {
                input,
                report: PhotoReport::of_embedding(photo.name()),
                picture: None,
            });
        }
        if matches!(photo.source, PhotoSource::Nothing) {
            let besides = if embedding.is_some() {
                " besides the face embedding"
            } else {
                ""
            };
            return Err(named(Error::invalid(format!(
                "{} reads a picture of the person{besides}, and there is none",
                self.title()
            ))));
        }
        let Prepared {
            image,
            mut report,
            decoded,
        } = self.read(photo, options)?;
        let input = self
            .input_of(&image, &decoded, &mut report, photo, embedding, options)
            .map_err(named)?;
        Ok(Taken {
            input,
            report,
            picture: Some((image, decoded)),
        })
    }

    /// What the networks get of a photo that was cut to `image`.
    fn input_of(
        &self,
        image: &RgbImage,
        decoded: &Decoded,
        report: &mut PhotoReport,
        photo: &Photo<'_>,
        embedding: Option<FaceEmbedding>,
        options: &EncodeOptions,
    ) -> Result<PhotoInput> {
        let mut input = PhotoInput {
            pixels: None,
            face: None,
            embedding,
        };
        // A face in the report, else what the hint means.
        let found = report
            .face
            .map(|face| face.scaled(1.0 / decoded.reduction as f32).landmarks);
        let landmarks = || -> Result<Option<Landmarks>> {
            match found {
                Some(landmarks) => Ok(Some(landmarks)),
                None => Ok(self
                    .landmarks_meant(decoded, photo.face, &options.detect)?
                    .into_iter()
                    .next()),
            }
        };
        let needed = || landmarks()?.ok_or_else(|| Error::new(ErrorKind::NoFace, "no face found"));
        let processor = &self.inner.processor;
        // Models that read the face were trained on crops of their own; one that the caller asks for is made instead.
        let own = self.inner.face.is_some() && options.crop.is_none();
        input.pixels = match self.inner.encoder.input() {
            EncoderInput::Nothing => None,
            EncoderInput::HiddenStates if own => {
                Some(self.face_on_white(decoded, &needed()?, photo.face_mask.as_ref(), report)?)
            }
            _ if own => Some(processor.normalise(&norm_crop(&decoded.image, &needed()?, processor.size)?)),
            _ => Some(processor.normalise(image)),
        };
        if input.embedding.is_some() {
            return Ok(input);
        }
        match (&self.inner.face, &self.inner.recogniser) {
            (Some(need), None) => {
                return Err(Error::invalid(format!(
                    "{} makes its tokens from embeddings of {}, and the engine has no face recognition network",
                    self.title(),
                    need.network()
                ))
                .with_remedy(remedy::FACE_RECOGNISER))
            }
            (Some(_), Some(recogniser)) => {
                input.face = Some(recogniser.crop(&decoded.image, &needed()?)?);
            }
            // For comparisons: a photo without a face can be used all the same.
            (None, Some(recogniser)) if options.keep_features => {
                if let Ok(Some(landmarks)) = landmarks() {
                    input.face = recogniser.crop(&decoded.image, &landmarks).ok();
                }
            }
            _ => {}
        }
        Ok(input)
    }

    /// What PuLID's image encoder sees: the aligned face in grey on white, by the host's mask or by the face parser, or
    /// as it is without both.
    fn face_on_white(
        &self,
        photo: &Decoded,
        landmarks: &Landmarks,
        mask: Option<&FaceMask<'_>>,
        report: &mut PhotoReport,
    ) -> Result<Vec<f32>> {
        let face = align(&photo.image, landmarks)?;
        let side = face.width() as usize;
        let planes = match (mask, &self.inner.parser) {
            (Some(mask), _) => {
                let full = photo.full_size;
                if (mask.width(), mask.height()) != full {
                    return Err(Error::invalid(format!(
                        "the face mask has {} x {} pixels, the upright photo {} x {}",
                        mask.width(),
                        mask.height(),
                        full.0,
                        full.1
                    )));
                }
                let is_face = align_mask(mask, &landmarks.scaled(photo.reduction as f32))?;
                grey_where(&face, is_face.into_iter())
            }
            (None, Some(parser)) => grey_background(&face, &parser.parse(&face)?)?,
            (None, None) => {
                report.notes.push(PhotoNote::NoParsing);
                let plane = |channel: usize| face.pixels().map(move |pixel| f32::from(pixel.0[channel]) / 255.0);
                (0..3).flat_map(plane).collect()
            }
        };
        Ok(self.inner.processor.process_planes(&planes, side))
    }

    fn crop_options(&self, options: &EncodeOptions) -> CropOptions {
        CropOptions {
            min_face: options.min_face,
            detect: options.detect,
            fit: self.inner.processor.fit,
            ..CropOptions::new(options.crop.unwrap_or(self.inner.info.crop), self.inner.processor.size)
        }
    }

    /// Reads a photo and cuts it.
    fn read(&self, photo: &Photo<'_>, options: &EncodeOptions) -> Result<Prepared> {
        let (crop, detector) = self.crop_of(photo.face, options);
        prepare_photo(photo, &crop, detector.as_ref(), &self.inner.limits)
    }

    /// Reads a photo again and cuts out the face of another rank than the one that `before` reports on.
    fn read_face(
        &self,
        photo: &Photo<'_>,
        before: &PhotoReport,
        rank: usize,
        options: &EncodeOptions,
    ) -> Result<(RgbImage, PhotoReport, Decoded)> {
        let (crop, _) = self.crop_of(photo.face, options);
        let decoded = photo.decode_with_notes(&self.inner.limits)?;
        let (image, report) =
            cut_face(&decoded, &before.candidates[rank], &crop).map_err(|error| error.context(photo.name()))?;
        let mut notes = decoded.notes.clone();
        let turned = |note: &&PhotoNote| matches!(note, PhotoNote::Turned { .. });
        notes.extend(before.notes.iter().filter(turned).cloned());
        notes.push(PhotoNote::SeveralFaces {
            found: before.candidates.len(),
            used: rank,
        });
        notes.extend(report.notes);
        let report = PhotoReport {
            name: before.name.clone(),
            faces_found: before.faces_found,
            candidates: before.candidates.clone(),
            notes,
            ..report
        };
        Ok((image, report, decoded))
    }

    /// How a photo is cut in which the face `hint` is meant, and the detector that this needs.
    fn crop_of(&self, hint: FaceHint, options: &EncodeOptions) -> (CropOptions, Option<FaceDetector>) {
        let mut crop = self.crop_options(options);
        if options.crop.is_none() && !crop.mode.needs_face() && hint != FaceHint::Detect {
            // The model's own way takes the whole photo, but one face of it was named.
            crop.mode = CropMode::face();
        }
        // Without any detector the photo's own error says what to do.
        let detector = crop.mode.needs_face().then(|| self.detector().ok()).flatten();
        (crop, detector)
    }

    /// Runs the networks on the photos of a batch.
    fn encode_inputs(&self, batch: Vec<PhotoInput>) -> Result<Vec<PhotoRecord>> {
        let (mut pixels, mut records) = (Vec::new(), Vec::with_capacity(batch.len()));
        let (mut crops, mut places) = (Vec::new(), Vec::new());
        for (place, input) in batch.into_iter().enumerate() {
            pixels.extend(input.pixels);
            if let Some(face) = input.face {
                crops.push(face);
                places.push(place);
            }
            records.push(PhotoRecord {
                embedding: input.embedding,
                ..PhotoRecord::default()
            });
        }
        if self.reads_image() {
            for (record, image) in records.iter_mut().zip(self.encode_batch(&pixels)?) {
                record.image = image.image;
                record.class_embedding = image.class_embedding;
            }
        }
        if !crops.is_empty() {
            let embeddings = self.recogniser()?.embed(&crops)?;
            for (place, embedding) in places.into_iter().zip(embeddings) {
                records[place].embedding = Some(embedding);
            }
        }
        Ok(records)
    }

    /// What the image encoder makes of crops `[3, size, size]`, normalised for it.
    pub(super) fn encode_batch(&self, batch: &[Vec<f32>]) -> Result<Vec<PhotoRecord>> {
        let size = self.inner.processor.size as usize;
        let shape = (batch.len(), 3, size, size);
        let pixels = self.place(&Tensor::from_vec(batch.concat(), shape, &Device::Cpu)?)?;
        let features = self.backbone_features(&pixels)?;
        let record = |photo: usize| -> Result<PhotoRecord> {
            let class = features.embedding.as_ref();
            Ok(PhotoRecord {
                image: Some(features.tokens.get(photo)?),
                class_embedding: class.map(|all| all.narrow(0, photo, 1)).transpose()?,
                embedding: None,
            })
        };
        (0..batch.len()).map(record).collect()
    }

    /// What the encoder takes of pictures `[photos, 3, size, size]`.
    pub(super) fn backbone_features(&self, pixels: &Tensor) -> Result<ImageFeatures> {
        let backbone = self.inner.backbone.as_ref();
        let backbone = backbone.ok_or_else(|| Error::internal("a model without an image encoder"))?;
        backbone.features(pixels)
    }
}

impl Set<'_> {
    /// In photos with several faces, takes the one that looks like the other photos, and encodes it if that is another
    /// one than the largest: such a photo is read a second time. Gives the place of each photo's face in its
    /// [`PhotoFaces::vectors`].
    fn choose_faces(
        &mut self,
        judge: &Judge<'_>,
        known: &[Vec<f32>],
        progress: ProgressFn<'_>,
        keep: &mut impl FnMut(usize, RgbImage),
    ) -> Result<Vec<usize>> {
        let faces: Vec<&PhotoFaces> = self.used.iter().map(|photo| &photo.faces).collect();
        let chosen = judge.choose(known, &faces);
        for (photo, chosen) in self.used.iter_mut().zip(&chosen) {
            let rank = photo.faces.vectors.get(*chosen).map_or(0, |(rank, _)| *rank);
            if rank > 0 && photo.faces.choice {
                report(progress, Stage::Encode, self.photos.len(), self.photos.len())?;
                let (source, told) = (&self.photos[photo.index], &mut self.reports[photo.index]);
                let (image, report, decoded) = self.engine.read_face(source, told, rank, self.options)?;
                *told = report;
                let embedding = source.embedding.as_deref().cloned();
                let input = self
                    .engine
                    .input_of(&image, &decoded, told, source, embedding, self.options)?;
                photo.record = self.engine.encode_inputs(vec![input])?.remove(0);
                keep(photo.index, image);
            }
        }
        Ok(chosen)
    }

    /// Says in the reports how alike the photos are, and leaves out strangers if that is asked for.
    fn compare(&mut self, judge: &Judge<'_>, known: &[Vec<f32>], chosen: &[usize]) -> Result<()> {
        let faces = self.used.iter().zip(chosen);
        let vectors: Vec<Option<&[f32]>> = faces
            .map(|(photo, chosen)| photo.faces.vectors.get(*chosen).map(|(_, vector)| vector.as_slice()))
            .collect();
        let verdicts = verdicts(known, &vectors, judge.calibration());
        let mut left_out = vec![false; self.photos.len()];
        for (photo, verdict) in self.used.iter().zip(verdicts) {
            let Some(verdict) = verdict else { continue };
            let report = &mut self.reports[photo.index];
            verdict.tell(report, photo.faces.choice);
            if !verdict.is_stranger() {
                continue;
            }
            log::warn!("{}: {}", report.name, report.reason());
            if self.options.strangers == Strangers::LeaveOut {
                let error = Error::mismatch(report.reason()).context(&report.name);
                if self.options.bad_photo == BadPhoto::Fail {
                    return Err(error);
                }
                report.error = Some(error);
                report.notes.clear();
                left_out[photo.index] = true;
            }
        }
        self.used.retain(|photo| !left_out[photo.index]);
        Ok(())
    }
}

/// The error when not one photo could be used: what happened to each.
fn none_usable(reports: &[PhotoReport]) -> Error {
    const SHOWN: usize = 5;
    let errors: Vec<&Error> = reports.iter().filter_map(|report| report.error.as_ref()).collect();
    // Photos without a face are the expected failure; another one tells more.
    let kind = errors
        .iter()
        .map(|error| error.kind())
        .find(|kind| *kind != ErrorKind::NoFace)
        .unwrap_or(ErrorKind::NoFace);
    let mut text = errors
        .iter()
        .take(SHOWN)
        .map(|error| error.message())
        .collect::<Vec<_>>()
        .join("; ");
    if errors.len() > SHOWN {
        text.push_str(&format!("; and {} more", errors.len() - SHOWN));
    }
    Error::new(kind, format!("none of {} photos could be used: {text}", reports.len()))
}
