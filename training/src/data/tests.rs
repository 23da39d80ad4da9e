use super::*;
use omniid::ErrorKind;

fn picture(size: usize, level: u8, role: Role) -> Picture {
    Picture {
        pixels: (0..size * size * 3).map(|i| level.wrapping_add(i as u8)).collect(),
        mask: (0..size * size).map(|i| (i % 2 * 255) as u8).collect(),
        view: View {
            yaw: f32::from(level) / 100.0,
            glasses: 1.0,
            ..View::default()
        },
        points: std::array::from_fn(|i| [i as f32, -0.5 * i as f32]),
        role,
    }
}

fn people(count: usize) -> Dataset {
    let person = |n: usize| PersonPictures {
        family: if n.is_multiple_of(2) { "ict" } else { "makehuman" }.to_string(),
        name: format!("person {n} \"Ä\""),
        pictures: vec![
            picture(6, n as u8, Role::Input),
            picture(6, n as u8 + 1, Role::Target),
            picture(6, n as u8 + 2, Role::Both),
        ],
    };
    Dataset {
        size: 6,
        people: (0..count).map(person).collect(),
    }
}

#[test]
fn a_file_gives_back_what_was_saved() -> Result<()> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("people.safetensors");
    for count in [0, 1, 5] {
        let dataset = people(count);
        dataset.save(&path)?;
        assert_eq!(Dataset::load(&path)?, dataset);
    }
    // Another library reads the same pixels.
    let bytes = std::fs::read(&path).expect("it was just written");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let pixels = file.tensor("pixels").expect("pixels");
    assert_eq!(pixels.shape(), [15, 6, 6, 3]);
    assert_eq!(pixels.data()[..108], people(1).people[0].pictures[0].pixels);
    Ok(())
}

#[test]
fn damaged_files_are_refused_with_their_path() -> Result<()> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("people.safetensors");
    people(2).save(&path)?;
    let whole = std::fs::read(&path).expect("it was just written");
    for cut in [0, 7, 100, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).expect("writable");
        let error = Dataset::load(&path).expect_err("cut");
        assert!(error.message().contains("people.safetensors"), "{error}");
    }
    omniid::checkpoint::write_safetensors(&path, &[], &BTreeMap::new())?;
    let error = Dataset::load(&path).expect_err("another kind of file");
    assert!(error.message().contains("no dataset"), "{error}");
    Ok(())
}

#[test]
fn a_wrong_picture_is_named() {
    let mut dataset = people(2);
    dataset.people[1].pictures[2].mask.pop();
    let error = dataset.validate().expect_err("35 mask values");
    assert_eq!(error.kind(), ErrorKind::Format);
    assert!(
        error.message().contains("picture 2") && error.message().contains("person 1"),
        "{error}"
    );
    let mut dataset = people(2);
    dataset.people[0].pictures[0].view.yaw = f32::NAN;
    assert!(dataset.validate().is_err());
    let mut dataset = people(1);
    dataset.people.push(dataset.people[0].clone());
    assert!(dataset.validate().expect_err("twice").message().contains("twice"));
}

#[test]
fn sets_are_joined_by_person() -> Result<()> {
    let mut first = people(2);
    first.append(people(3))?;
    assert_eq!(first.people.len(), 3);
    assert_eq!(
        first
            .people
            .iter()
            .map(|person| person.pictures.len())
            .collect::<Vec<_>>(),
        [6, 6, 3]
    );
    let other = Dataset {
        size: 7,
        people: vec![people(1).people.remove(0)],
    };
    let before = first.clone();
    assert_eq!(first.append(other).expect_err("7 is not 6").kind(), ErrorKind::Mismatch);
    assert_eq!(first, before);
    Ok(())
}

#[test]
fn a_split_parts_people_and_ignores_their_order() -> Result<()> {
    let fractions = SplitFractions {
        validation: 0.2,
        test: 0.1,
    };
    let names = |dataset: &Dataset| {
        dataset
            .people
            .iter()
            .map(|person| person.name.clone())
            .collect::<HashSet<_>>()
    };
    let [train, validation, test] = people(40).split(fractions, 5)?;
    assert_eq!(
        [train.people.len(), validation.people.len(), test.people.len()],
        [28, 8, 4]
    );
    assert!(names(&train).is_disjoint(&names(&validation)));
    assert!(names(&train).is_disjoint(&names(&test)) && names(&test).is_disjoint(&names(&validation)));
    assert_eq!(validation.report().families["ict"], 4);
    let mut reversed = people(40);
    reversed.people.reverse();
    let [_, same, _] = reversed.split(fractions, 5)?;
    assert_eq!(names(&same), names(&validation));
    let [_, other, _] = people(40).split(fractions, 6)?;
    assert_ne!(names(&other), names(&validation));
    for (validation, test) in [(0.5, 0.5), (-0.1, 0.1), (f64::NAN, 0.0)] {
        assert!(people(2).split(SplitFractions { validation, test }, 0).is_err());
    }
    Ok(())
}

#[test]
fn the_report_counts() {
    let report = people(3).report();
    assert_eq!(
        (
            report.people,
            report.pictures,
            report.inputs,
            report.targets,
            report.bytes
        ),
        (3, 9, 6, 6, 9 * 144)
    );
    let text = report.to_string();
    assert!(text.contains("2 ict, 1 makehuman") && text.contains("9 pictures of 6 px"));
}

#[test]
fn colour_statistics_are_those_of_the_levels() {
    let mut dataset = people(1);
    dataset.people[0].pictures.truncate(1);
    // Half of the pixels black, half red.
    let pixels = &mut dataset.people[0].pictures[0].pixels;
    for (i, pixel) in pixels.chunks_exact_mut(3).enumerate() {
        pixel.copy_from_slice(&[if i < 18 { 255 } else { 0 }, 0, 51]);
    }
    let (mean, deviation) = dataset.colour_statistics();
    for (found, expected) in mean.into_iter().chain(deviation).zip([0.5, 0.0, 0.2, 0.5, 0.0, 0.0]) {
        assert!((found - expected).abs() < 1e-6, "{found} against {expected}");
    }
}
