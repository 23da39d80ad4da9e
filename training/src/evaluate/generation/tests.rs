use super::*;
use crate::data::toy_people;
use crate::evaluate::image_error::l1;
use crate::evaluate::metric::Metric;
use crate::evaluate::test_model;

fn options() -> GenerationOptions {
    GenerationOptions {
        counts: vec![1, 3],
        targets: 2,
        generate: GenerateOptions {
            steps: 2,
            ..GenerateOptions::default()
        },
        resamples: 20,
        ..GenerationOptions::default()
    }
}

#[test]
fn tables_are_means_of_what_was_drawn() -> Result<()> {
    let (model, host) = test_model::generator(5);
    let people = toy_people(3, 7, test_model::DRAWN, 1);
    let options = GenerationOptions {
        per_person: true,
        ..options()
    };
    let (report, examples) = evaluate_generation(&model, &host, &people, None, &options, &mut Progress::silent())?;
    assert_eq!((report.people, report.pictures, examples.len()), (3, 6, 3));
    let kinds: Vec<Drawn> = report.results.iter().map(|result| result.drawn).collect();
    assert_eq!(
        kinds,
        [
            Drawn::Photos(1),
            Drawn::Photos(3),
            Drawn::Averaged(3),
            Drawn::OtherPerson,
            Drawn::MeanTokens,
            Drawn::Nobody
        ]
    );
    let mut errors = Vec::new();
    for (place, result) in report.results.iter().enumerate() {
        let mut sum = 0.0;
        assert_eq!(result.people.len(), 3);
        for (example, person) in examples.iter().zip(&result.people) {
            let (drawn, pictures) = &example.drawn[place];
            assert_eq!(*drawn, result.drawn);
            let mut own = 0.0;
            for (picture, truth) in pictures.iter().zip(&example.truth) {
                own += l1(picture, truth, None)? / 2.0;
            }
            assert!((person[&Metric::L1] - own).abs() < 1e-9);
            sum += own / 3.0;
        }
        let found = result.all.get(Metric::L1).expect("pixels were compared");
        assert!((found.value - sum).abs() < 1e-9 && found.low <= sum && sum <= found.high);
        assert_eq!(result.all.get(Metric::Similarity), None);
        errors.push(result.all.get(Metric::L1Head).expect("heads were compared").value);
    }
    for row in &report.differences {
        let place = kinds.iter().position(|kind| *kind == row.against).expect("a kind");
        if row.measure == Metric::L1Head {
            assert!((row.estimate.value - (errors[1] - errors[place])).abs() < 1e-9);
        }
    }
    // Every picture is in one of the angles.
    for count in [1, 3] {
        let rows = report.angles.iter().filter(|row| row.drawn == Drawn::Photos(count));
        assert_eq!(rows.map(|row| row.means.pictures).sum::<usize>(), 6);
    }
    assert!(report.angles.iter().all(|row| row.people.len() == 3));
    Ok(())
}

#[test]
fn the_mean_of_single_photos_is_drawn_for_the_numbers_asked_for() -> Result<()> {
    let (model, host) = test_model::generator(8);
    let people = toy_people(2, 7, test_model::DRAWN, 1);
    let evaluate = |averaged: &[usize]| {
        let options = GenerationOptions {
            averaged: averaged.to_vec(),
            ..options()
        };
        evaluate_generation(&model, &host, &people, None, &options, &mut Progress::silent())
    };
    let (report, examples) = evaluate(&[1, 2])?;
    let kinds: Vec<Drawn> = report.results.iter().map(|result| result.drawn).collect();
    assert_eq!(kinds[2..4], [Drawn::Averaged(1), Drawn::Averaged(2)]);
    assert!(report.results.iter().all(|result| result.people.is_empty()));
    // The mean of one identity is that identity.
    let drawn = &examples[0].drawn;
    assert_eq!(drawn[0].1, drawn[2].1);
    assert_ne!(drawn[2].1, drawn[3].1);
    let error = evaluate(&[4]).expect_err("three photos are read");
    assert!(error.message().contains("expected 1 to 3"), "{error}");
    Ok(())
}

#[test]
fn pictures_are_of_the_identity_that_they_are_said_to_be_of() -> Result<()> {
    let (model, host) = test_model::generator(6);
    let people = toy_people(2, 7, test_model::DRAWN, 2);
    let options = options();
    let (_, examples) = evaluate_generation(&model, &host, &people, None, &options, &mut Progress::silent())?;
    let generator = Generator::new(host.clone(), model.engine().clone())?;
    let subjects = Subject::of(&people, 3, 2);
    let identity = |person: usize, count: usize| {
        let inputs = &examples[person].inputs[..count];
        model.identity(&inputs.iter().collect::<Vec<_>>())
    };
    let views: Vec<View> = subjects[1].targets.iter().map(|target| target.view).collect();
    let drawn = |identity: &Identity, scale: f32, guidance: f64| {
        let generate = GenerateOptions {
            // The second person's noise.
            seed: options.generate.seed + 1,
            identity_scale: scale,
            guidance,
            ..options.generate.clone()
        };
        generator.generate(identity, &views, &generate, |_, _| Ok(()))
    };
    let found = |kind: Drawn| {
        let all = &examples[1].drawn;
        all.iter()
            .find(|(known, _)| *known == kind)
            .map(|(_, pictures)| pictures.clone())
    };
    let guidance = options.generate.guidance;
    assert_eq!(found(Drawn::Photos(1)), Some(drawn(&identity(1, 1)?, 1.0, guidance)?));
    assert_eq!(found(Drawn::Photos(3)), Some(drawn(&identity(1, 3)?, 1.0, guidance)?));
    assert_eq!(found(Drawn::OtherPerson), Some(drawn(&identity(0, 3)?, 1.0, guidance)?));
    assert_eq!(found(Drawn::Nobody), Some(drawn(&identity(0, 1)?, 0.0, 1.0)?));
    assert_ne!(found(Drawn::Photos(3)), found(Drawn::OtherPerson));
    assert_ne!(found(Drawn::Photos(3)), found(Drawn::Averaged(3)));
    Ok(())
}

#[test]
fn two_pictures_are_one_to_read_and_one_to_draw() -> Result<()> {
    let (model, host) = test_model::generator(7);
    let options = GenerationOptions {
        counts: vec![1],
        ..options()
    };
    let evaluate = |pictures| {
        let people = toy_people(3, pictures, test_model::DRAWN, 1);
        evaluate_generation(&model, &host, &people, None, &options, &mut Progress::silent())
    };
    let (two, examples) = evaluate(2)?;
    assert_eq!((two.people, two.pictures, two.compared_with_drawn), (3, 3, true));
    assert!(examples
        .iter()
        .all(|one| one.inputs.len() == 1 && one.truth.len() == 1 && one.inputs != one.truth));
    assert!(two.results.iter().all(|result| result.all.pictures == 3));
    assert!(!evaluate(3)?.0.compared_with_drawn);
    let error = evaluate(1).expect_err("nothing to draw");
    assert!(
        error.message().contains("0 of 3 people have at least 2 pictures"),
        "{error}"
    );
    Ok(())
}

#[test]
fn what_cannot_be_evaluated_is_refused() {
    let (model, host) = test_model::generator(7);
    let evaluate = |people: &Dataset| {
        let options = options();
        evaluate_generation(&model, &host, people, None, &options, &mut Progress::silent()).map(|_| ())
    };
    let error = evaluate(&toy_people(3, 4, test_model::DRAWN, 1)).expect_err("too few pictures");
    assert_eq!(error.kind(), omniid::ErrorKind::InvalidArgument);
    let error = evaluate(&toy_people(3, 7, 2 * test_model::DRAWN, 1)).expect_err("another size");
    assert_eq!(error.kind(), omniid::ErrorKind::Mismatch);
}
