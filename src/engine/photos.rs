//! Photos to features: reading, cutting, the image encoder, and the comparison of the photos with each other.

use super::combine::Combine;
use super::likeness::{verdicts, Judge, PhotoFaces};
use super::options::{BadPhoto, EncodeOptions, Strangers};
use super::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::face::{cut_face, prepare_photo, CropMode, CropOptions, FaceDetector, PhotoReport, Prepared};
use crate::photo::{FaceHint, Photo, PhotoNote};
use crate::progress::{report, ProgressFn, Stage};
use candle_core::{Device, Tensor};
use image::RgbImage;

/// A photo that can be used.
struct Used {
    /// Its place among the photos handed in.
    index: usize,
    /// `[feature tokens, feature width]`.
    features: Tensor,
    /// What it is compared by.
    faces: PhotoFaces,
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
    /// Gives the features `[feature tokens, feature width]` of those photos, and a report on each photo.
    pub(super) fn features(
        &self,
        photos: &[Photo<'_>],
        known: &[Tensor],
        options: &EncodeOptions,
        progress: ProgressFn<'_>,
        mut keep: impl FnMut(usize, RgbImage),
    ) -> Result<(Vec<Tensor>, Vec<PhotoReport>)> {
        if options.batch_size == 0 {
            return Err(Error::invalid("encoding: batch size 0, expected at least 1"));
        }
        if options.combine != Combine::Concatenate || options.shortcut_scale != 1.0 {
            return Err(Error::unsupported(
                "encoding: combining photos and the shortcut scale have no effect on this model",
            ));
        }
        // What is wrong with every photo is no photo's fault.
        let crop = self.crop_options(options);
        crop.check()?;
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
            match self.read(photo, options) {
                Ok(Prepared { image, report, decoded }) => {
                    let faces = match &judge {
                        Some(judge) => judge.faces(photo.face, &report, &decoded)?,
                        None => PhotoFaces::default(),
                    };
                    batch.push(self.inner.processor.normalise(&image));
                    waiting.push((index, faces));
                    set.reports.push(report);
                    keep(index, image);
                }
                Err(error) if options.bad_photo == BadPhoto::Fail => return Err(error),
                Err(error) => {
                    log::warn!("photo {} of {} is left out: {error}", index + 1, photos.len());
                    set.reports.push(PhotoReport::left_out(photo.name(), crop.mode, error));
                }
            }
            if batch.len() == options.batch_size || (index + 1 == photos.len() && !batch.is_empty()) {
                let features = self.encode_batch(&batch)?;
                let new = features.into_iter().zip(waiting.drain(..));
                set.used
                    .extend(new.map(|(features, (index, faces))| Used { index, features, faces }));
                batch.clear();
                report(progress, Stage::Encode, index + 1, photos.len())?;
            }
            report(progress, Stage::Photos, index + 1, photos.len())?;
        }
        if let Some(judge) = judge {
            let known = judge.known(known)?;
            for photo in &mut set.used {
                judge.complete(&mut photo.faces, &photo.features)?;
            }
            let chosen = set.choose_faces(&judge, &known, progress, &mut keep)?;
            set.compare(&judge, &known, &chosen)?;
        }
        let Set { used, reports, .. } = set;
        if used.is_empty() {
            return Err(none_usable(&reports));
        }
        Ok((used.into_iter().map(|photo| photo.features).collect(), reports))
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
    ) -> Result<(RgbImage, PhotoReport)> {
        let (crop, _) = self.crop_of(photo.face, options);
        let decoded = photo.decode_with_notes(&self.inner.limits)?;
        let (image, report) =
            cut_face(&decoded, &before.candidates[rank], &crop).map_err(|error| error.context(photo.name()))?;
        let mut notes = decoded.notes;
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
        Ok((image, report))
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

    /// The features of crops `[3, size, size]`, normalised for the backbone.
    pub(super) fn encode_batch(&self, batch: &[Vec<f32>]) -> Result<Vec<Tensor>> {
        let size = self.inner.processor.size as usize;
        let shape = (batch.len(), 3, size, size);
        let pixels = self.place(&Tensor::from_vec(batch.concat(), shape, &Device::Cpu)?)?;
        let output = self.backbone_features(&pixels)?;
        (0..batch.len()).map(|photo| Ok(output.get(photo)?)).collect()
    }

    /// What the encoder takes of pictures `[photos, 3, size, size]`: `[photos, tokens, width]`.
    pub(super) fn backbone_features(&self, pixels: &Tensor) -> Result<Tensor> {
        let features = self.inner.backbone.features(pixels)?;
        match features.embedding {
            None => Ok(features.tokens),
            Some(_) => Err(Error::unsupported(
                "an encoder that reads a face embedding beside hidden states",
            )),
        }
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
                let (image, report) = self.engine.read_face(source, told, rank, self.options)?;
                *told = report;
                let batch = [self.engine.inner.processor.normalise(&image)];
                photo.features = self.engine.encode_batch(&batch)?.remove(0);
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
