//! Floors and ceiling on a folder of real photos: `cargo run --release -p omniid-training --example floors -- PHOTOS
//! DETECTOR VERIFIER`. Prints how well histograms of gradients and a published recogniser tell the people apart.

use omniid::face::FaceDetector;
use omniid::{Limits, Result};
use omniid_training::data::photos::{load_photos, PhotoOptions};
use omniid_training::data::CropTemplate;
use omniid_training::evaluate::{
    images_of, verify, ColourDescriptor, Descriptor, HogDescriptor, Progress, VerificationOptions, Verifier,
    VerifierDescriptor,
};
use std::ops::ControlFlow;
use std::path::Path;

fn measure(photos: &Path, detector: &Path, verifier: &Path) -> Result<()> {
    let detector = FaceDetector::open(detector, &Limits::default())?;
    let verifier = Verifier::open(verifier)?;
    for (scale, center) in [(0.98, [56.0, 62.0]), (1.0, [56.0, 56.0])] {
        for size in [64, 96] {
            let template = CropTemplate { scale, center };
            let options = PhotoOptions {
                size,
                template,
                ..PhotoOptions::default()
            };
            let (dataset, report) = load_photos(photos, &detector, &options, &mut |_, _| ControlFlow::Continue(()))?;
            println!("{size} px, template x {scale} about {center:?}: {report}");
            for dropped in &report.dropped {
                println!("  left out: {} ({})", dropped.path, dropped.detail);
            }
            let people = images_of(&dataset);
            let judge = VerifierDescriptor {
                verifier: &verifier,
                template,
            };
            let plain = HogDescriptor { centred: false };
            let centred = HogDescriptor { centred: true };
            let descriptors: [&dyn Descriptor; 4] = [&plain, &centred, &ColourDescriptor, &judge];
            for descriptor in descriptors {
                let started = std::time::Instant::now();
                let found = verify(
                    descriptor,
                    &people,
                    VerificationOptions::default(),
                    &mut Progress::silent(),
                )?;
                let curve = found.verification.curve;
                println!(
                    "  {:14} AUC {:.4} [{:.4}, {:.4}] TAR@1% {:.3} EER {:.4} best {:.4} at {:.3} rank-1 {:.4}; genuine {:.3} impostor {:.3}; {:.1} s",
                    found.descriptor,
                    curve.auc,
                    found.verification.auc.low,
                    found.verification.auc.high,
                    curve.tar_at_1_percent,
                    curve.equal_error_rate,
                    curve.best_accuracy,
                    curve.best_threshold,
                    found.rank_1,
                    found.verification.genuine_mean,
                    found.verification.impostor_mean,
                    started.elapsed().as_secs_f64(),
                );
            }
        }
    }
    Ok(())
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [photos, detector, verifier] = arguments.as_slice() else {
        eprintln!("usage: floors PHOTOS DETECTOR VERIFIER");
        std::process::exit(2);
    };
    if let Err(error) = measure(Path::new(photos), Path::new(detector), Path::new(verifier)) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
