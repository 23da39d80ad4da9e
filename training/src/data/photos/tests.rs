use super::*;
use omniid_test_support::assets;
use std::fs;

fn detector() -> Option<FaceDetector> {
    let file = "detector/yunet_n.safetensors";
    Some(FaceDetector::open(assets(file)?.join(file), &Limits::default()).unwrap())
}

/// The example photos of the repository: rendered people.
fn example(person: usize, photo: usize) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/photos");
    root.join(format!("person-{person}/{photo:02}.jpg"))
}

fn silent() -> impl FnMut(usize, usize) -> ControlFlow<()> {
    |_, _| ControlFlow::Continue(())
}

fn reasons(report: &PhotoReport) -> Vec<(&str, DropReason)> {
    report
        .dropped
        .iter()
        .map(|dropped| (dropped.path.as_str(), dropped.reason))
        .collect()
}

/// A folder with everything that can be wrong.
fn broken_folder(root: &Path) {
    let place = |name: &str, bytes: &[u8]| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let photo = |person, number| fs::read(example(person, number)).unwrap();
    place("README.txt", b"about this set");
    for number in 1..=3 {
        place(&format!("ada/{number}.jpg"), &photo(1, number));
    }
    place("ada/sub/4.jpg", &photo(1, 4));
    place("ada/again.jpg", &photo(1, 1));
    place("ada/half.jpg", &photo(1, 5)[..9000]);
    place("ada/notes.txt", b"hello");
    place("ada/.hidden", b"x");
    place("bob/1.jpg", &photo(2, 1));
    place("bob/2.jpg", &photo(2, 2));
    place("bob/shared.jpg", &photo(3, 1));
    place("cleo/1.jpg", &photo(3, 1));
    place("cleo/2.jpg", &photo(3, 2));
    fs::create_dir(root.join("dan")).unwrap();
    let mut blank = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(90, 90, image::Rgb([120, 90, 70]))
        .write_to(&mut blank, image::ImageFormat::Png)
        .unwrap();
    place("bob/wall.png", blank.get_ref());
    // Two faces side by side, and a face of a few pixels.
    let face = image::open(example(1, 1)).unwrap().to_rgb8();
    let mut pair = image::RgbImage::new(2 * face.width(), face.height());
    image::imageops::replace(&mut pair, &face, 0, 0);
    image::imageops::replace(&mut pair, &face, i64::from(face.width()), 0);
    pair.save(root.join("bob/pair.png")).unwrap();
    let tiny = image::imageops::thumbnail(&face, face.width() / 16, face.height() / 16);
    tiny.save(root.join("bob/tiny.png")).unwrap();
}

#[test]
fn everything_left_out_is_reported_with_its_reason() {
    let Some(detector) = detector() else { return };
    let root = tempfile::tempdir().unwrap();
    broken_folder(root.path());
    let (dataset, report) = load_photos(root.path(), &detector, &PhotoOptions::default(), &mut silent()).unwrap();
    let all = reasons(&report);
    let all: Vec<(String, DropReason)> = all
        .into_iter()
        .map(|(path, reason)| (path.to_string(), reason))
        .collect();
    assert_eq!(
        all,
        [
            ("README.txt", DropReason::NoPerson),
            ("ada/again.jpg", DropReason::Duplicate),
            ("ada/half.jpg", DropReason::Unreadable),
            ("ada/notes.txt", DropReason::Unreadable),
            ("bob/pair.png", DropReason::SeveralFaces),
            ("bob/shared.jpg", DropReason::TwoPeople),
            ("bob/tiny.png", DropReason::TooSmall),
            ("bob/wall.png", DropReason::NoFace),
            ("cleo/1.jpg", DropReason::TwoPeople),
            ("cleo", DropReason::TooFewPhotos),
            ("dan", DropReason::EmptyFolder),
        ]
        .map(|(path, reason)| (path.replace('/', std::path::MAIN_SEPARATOR_STR), reason)),
        "{report:#?}"
    );
    let kept: Vec<_> = dataset
        .people
        .iter()
        .map(|person| (person.name.as_str(), person.pictures.len()))
        .collect();
    assert_eq!(kept, [("ada", 4), ("bob", 2)]);
    assert_eq!((report.people_found, report.people_kept), (4, 2));
    assert_eq!((report.files_found, report.photos_kept), (16, 6));
    dataset.validate().unwrap();
    assert!(report.to_string().contains("2 × same file at two people"), "{report}");
    let again: PhotoReport = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!(again, report);
}

#[test]
fn a_cache_serves_until_a_file_changes() {
    let Some(detector) = detector() else { return };
    let root = tempfile::tempdir().unwrap();
    for number in 1..=2 {
        let path = root.path().join(format!("photos/ada/{number}.jpg"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(example(1, number), path).unwrap();
    }
    let options = PhotoOptions {
        cache: Some(root.path().join("cache.safetensors")),
        ..PhotoOptions::default()
    };
    let photos = root.path().join("photos");
    let load = |options: &PhotoOptions| load_photos(&photos, &detector, options, &mut silent()).unwrap();
    let (first, report) = load(&options);
    assert!(!report.cached);
    let (second, report) = load(&options);
    assert!(report.cached);
    assert_eq!(first, second);
    let larger = PhotoOptions {
        size: 48,
        ..options.clone()
    };
    assert!(!load(&larger).1.cached);
    assert_eq!(load(&larger).0.size, 48);
    fs::copy(example(1, 3), photos.join("ada/3.jpg")).unwrap();
    let (third, report) = load(&larger);
    assert!(!report.cached);
    assert_eq!(third.people[0].pictures.len(), 3);
    // A damaged cache is made again.
    fs::write(options.cache.as_ref().unwrap(), b"broken").unwrap();
    let (fourth, report) = load(&larger);
    assert!(!report.cached);
    assert_eq!(third, fourth);
}

#[test]
fn a_missing_or_empty_root_is_an_error_and_progress_can_cancel() {
    let Some(detector) = detector() else { return };
    let root = tempfile::tempdir().unwrap();
    let load = |path: &Path, flow: ControlFlow<()>| {
        load_photos(path, &detector, &PhotoOptions::default(), &mut |_, _| flow).unwrap_err()
    };
    let go = ControlFlow::Continue(());
    assert_eq!(load(&root.path().join("absent"), go).kind(), ErrorKind::Io);
    assert_eq!(load(root.path(), go).kind(), ErrorKind::InvalidArgument);
    fs::create_dir(root.path().join("ada")).unwrap();
    fs::copy(example(1, 1), root.path().join("ada/1.jpg")).unwrap();
    assert_eq!(load(root.path(), ControlFlow::Break(())).kind(), ErrorKind::Cancelled);
}

#[test]
fn the_crop_shows_the_face_where_the_template_has_it() {
    let Some(detector) = detector() else { return };
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("ada")).unwrap();
    for number in 1..=8 {
        fs::copy(example(1, number), root.path().join(format!("ada/{number}.jpg"))).unwrap();
    }
    let (dataset, report) = load_photos(root.path(), &detector, &PhotoOptions::default(), &mut silent()).unwrap();
    assert_eq!(dataset.people[0].pictures.len(), 8, "{report:#?}");
    let expected = CropTemplate::default().placement(2);
    for picture in &dataset.people[0].pictures {
        // The fit is over all five points, so their mean lies exactly on the template's.
        for axis in 0..2 {
            let mean = |points: &[[f64; 2]; 5]| points.iter().map(|point| point[axis]).sum::<f64>() / 5.0;
            let template = omniid::face::crop::ARCFACE_TEMPLATE.map(|point| {
                let [x, y] = expected.apply(point.map(f64::from));
                [x - 1.0, y - 1.0]
            });
            let found = picture.points.map(|point| point.map(f64::from));
            assert!((mean(&found) - mean(&template)).abs() < 1e-3, "{:?}", picture.points);
        }
        // The average head has nearly the same points.
        for (a, b) in picture.points.iter().zip(&picture.view.points) {
            assert!(
                (a[0] - b[0]).hypot(a[1] - b[1]) < 0.12,
                "{:?} {:?}",
                picture.points,
                picture.view.points
            );
        }
    }
}
