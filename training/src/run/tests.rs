use super::*;
use crate::data::toy_people;
use crate::trainer::tests::Watcher;
use omniid::checkpoint::write_safetensors;
use omniid::engine::{Engine, EngineOptions, Source};
use omniid::ErrorKind;
use std::collections::BTreeMap;

fn quick(folder: &Path) -> Result<RunConfig> {
    let mut config = crate::masked::tests::quick(8)?;
    config.report.state_every = 2;
    config.data.files = vec![folder.join("people.safetensors")];
    config.data.validation = 0.2;
    config.data.test = 0.2;
    config.similarity.directions = 5;
    let mut people = toy_people(30, 9, 32, 1);
    people.people[3].pictures.truncate(1);
    people.save(&config.data.files[0])?;
    Ok(config)
}

fn model(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::io(path, error))
}

/// Directions in which a model compares identities.
fn directions(path: &Path) -> Result<usize> {
    let options = EngineOptions::new(Source::from(path.to_path_buf()));
    Ok(Engine::open(options)?.similarity_directions())
}

#[test]
fn a_run_is_stopped_damaged_resumed_and_ends_as_if_nothing_had_happened() -> Result<()> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let config = quick(folder.path())?;
    let file = folder.path().join("run.toml");
    std::fs::write(&file, config.to_toml()?).expect("writable");
    let options = |name: &str| RunOptions::new(folder.path().join(name));
    let whole = run(&file, &options("whole"), &mut Watcher::new(u64::MAX))?;
    assert_eq!((whole.outcome, whole.step), (Outcome::Finished, 8));
    assert!(!whole.metrics.is_empty());

    let mut watcher = Watcher::new(5);
    let stopped = run(&file, &options("parts"), &mut watcher)?;
    assert_eq!((stopped.outcome, stopped.step), (Outcome::Stopped, 5));
    assert!(watcher.heard("30 people (30 toy)"), "{:?}", watcher.messages);
    // Directions are looked for when all steps are made.
    assert_eq!((directions(&whole.model)?, directions(&stopped.model)?), (5, 0));
    // By mistake without `resume`: refused, nothing lost.
    let error = run(&file, &options("parts"), &mut Watcher::new(u64::MAX)).expect_err("holds a run");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    // The newest state is damaged: the one before serves.
    std::fs::write(crate::trainer::current_path(&options("parts").folder), b"cut").expect("writable");
    let resume = RunOptions {
        resume: true,
        ..options("parts")
    };
    let mut watcher = Watcher::new(u64::MAX);
    let resumed = run(&file, &resume, &mut watcher)?;
    assert_eq!((resumed.outcome, resumed.step), (Outcome::Finished, 8));
    assert!(
        watcher.heard("went back to") && watcher.heard("resumed at step 4"),
        "{:?}",
        watcher.messages
    );
    assert_eq!(model(&whole.model)?, model(&resumed.model)?);
    assert_eq!(whole.metrics, resumed.metrics);
    let engine = Engine::open(EngineOptions::new(Source::from(resumed.model)))?;
    assert_eq!(engine.info().token_width, 32);
    Ok(())
}

#[test]
fn a_stopped_flow_run_ends_as_if_nothing_had_happened_and_its_files_draw_people() -> Result<()> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut config = crate::flow::tests::quick(6)?;
    config.data.validation = 0.2;
    config.data.test = 0.2;
    config.report.state_every = 2;
    let options = |name: &str| RunOptions::new(folder.path().join(name));
    let people = toy_people(40, 9, 16, 1);
    let whole = run_on(&config, people.clone(), &options("whole"), &mut Watcher::new(u64::MAX))?;
    run_on(&config, people.clone(), &options("parts"), &mut Watcher::new(3))?;
    let resume = RunOptions {
        resume: true,
        ..options("parts")
    };
    let resumed = run_on(&config, people, &resume, &mut Watcher::new(u64::MAX))?;
    assert_eq!(model(&whole.model)?, model(&resumed.model)?);
    let (whole_host, host) = (whole.host.expect("a host"), resumed.host.expect("a host"));
    assert_eq!(model(&whole_host)?, model(&host)?);

    // Checkpoint and host fit each other: the plugin draws with them.
    let engine = Engine::open(EngineOptions::new(Source::from(resumed.model)))?;
    let photo = image::RgbImage::from_fn(16, 16, |x, y| image::Rgb([16 * x as u8, 16 * y as u8, 90]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    photo
        .write_to(&mut bytes, image::ImageFormat::Png)
        .expect("memory is writable");
    let options = omniid::engine::EncodeOptions::default().with_crop(omniid::face::CropMode::None);
    let photos = [omniid::Photo::from_bytes(bytes.get_ref())];
    let identity = engine.encode(&photos, &options)?.identity;
    let host = omniid_minihost::Minihost::open(Source::from(host), DType::F32, &Device::Cpu, &Limits::default())?;
    let generator = omniid_minihost::Generator::new(host, engine)?;
    let views = [omniid_minihost::View::default(); 2];
    let options = omniid_minihost::GenerateOptions {
        steps: 2,
        ..Default::default()
    };
    let pictures = generator.generate(&identity, &views, &options, |_, _| Ok(()))?;
    assert_eq!((pictures.len(), pictures[0].dimensions()), (2, (16, 16)));
    Ok(())
}

#[test]
fn a_frozen_encoder_stays_equal_to_the_byte_while_adapter_and_host_learn() -> Result<()> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut config = crate::flow::tests::quick(3)?;
    let people = toy_people(20, 9, 16, 1);
    let options = |name: &str| RunOptions::new(folder.path().join(name));
    let start = run_on(&config, people.clone(), &options("start"), &mut Watcher::new(u64::MAX))?;
    config.seed += 1;
    config.start = vec![start.model.clone()];
    config.optimiser.encoder_rate = 0.0;
    let frozen = run_on(&config, people, &options("frozen"), &mut Watcher::new(u64::MAX))?;
    let open = |path: &Path| Checkpoint::open(path, &Limits::default());
    let (before, after) = (open(&start.model)?, open(&frozen.model)?);
    let values = |file: &Checkpoint, name: &str| -> Result<Vec<u32>> {
        let tensor = file.tensor(name, DType::F32, &Device::Cpu)?.flatten_all()?;
        Ok(tensor.to_vec1::<f32>()?.into_iter().map(f32::to_bits).collect())
    };
    let mut kept = 0;
    for name in before.names().map(str::to_string).collect::<Vec<_>>() {
        let same = values(&before, &name)? == values(&after, &name)?;
        if name.starts_with("backbone.") || (name.starts_with("encoder.") && name != "encoder.token_mean") {
            assert!(same, "{name} has changed");
            kept += 1;
        } else if name.starts_with("adapter.") && name.ends_with(".weight") {
            assert!(!same, "{name} has not learnt");
        }
    }
    assert!(kept > 20, "{kept} tensors of the encoder");
    // Nothing is kept for what does not learn.
    let state = open(&crate::trainer::current_path(&options("frozen").folder))?;
    let moves = |name: &&str| !name.starts_with("weight/");
    let moving = state.names().filter(moves).collect::<Vec<_>>();
    assert!(moving.iter().any(|name| name.contains("/adapter.")) && moving.iter().any(|name| name.contains("/host.")));
    let encoder = |name: &&&str| name.contains("/backbone.") || name.contains("/encoder.");
    assert_eq!(moving.iter().find(encoder), None);
    Ok(())
}

#[test]
fn another_configuration_is_not_resumed_by_mistake() -> Result<()> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut config = quick(folder.path())?;
    let mut options = RunOptions::new(folder.path().join("run"));
    let data = load_data(&config, &mut Watcher::new(0))?;
    run_on(&config, data.clone(), &options, &mut Watcher::new(2))?;
    options.resume = true;
    config.optimiser.learning_rate *= 0.5;
    let error = run_on(&config, data.clone(), &options, &mut Watcher::new(3)).expect_err("another learning rate");
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    assert!(error.message().contains("optimiser.learning_rate"), "{error}");
    options.allow_changes = true;
    let report = run_on(&config, data.clone(), &options, &mut Watcher::new(3))?;
    assert_eq!(report.step, 3);
    config.model.width = 64;
    let error = run_on(&config, data, &options, &mut Watcher::new(4)).expect_err("another model");
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    Ok(())
}

#[test]
fn a_start_takes_the_encoder_of_another_run() -> Result<()> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut config = quick(folder.path())?;
    let options = |name: &str| RunOptions {
        model_dtype: DType::F32,
        ..RunOptions::new(folder.path().join(name))
    };
    let data = load_data(&config, &mut Watcher::new(0))?;
    let first = run_on(&config, data.clone(), &options("first"), &mut Watcher::new(2))?;
    // Of what two files have, the last one's counts.
    let zeros = folder.path().join("zeros.safetensors");
    let shape = Checkpoint::open(&first.model, &Limits::default())?
        .shape("encoder.queries")
        .expect("there are queries")
        .to_vec();
    let queries = Tensor::zeros(shape, DType::F32, &Device::Cpu)?;
    write_safetensors(&zeros, &[("encoder.queries".to_string(), queries)], &BTreeMap::new())?;
    config.start = vec![zeros, first.model.clone()];
    config.masked.width = 64;
    let objective = MaskedReconstruction::new(&config, data, Dataset::new(16))?;
    let mut watcher = Watcher::new(0);
    let folder = options("second");
    std::fs::create_dir_all(&folder.folder).expect("writable");
    let trainer = start(&objective, &config, &folder, &mut watcher)?;
    assert!(watcher.heard("tensors start from"), "{:?}", watcher.messages);
    let checkpoint = Checkpoint::open(&first.model, &Limits::default())?;
    let queries = checkpoint.tensor("encoder.queries", DType::F32, &Device::Cpu)?;
    let started = trainer.parameters().get("encoder.queries").expect("there are queries");
    assert_eq!(started.tensor().to_vec2::<f32>()?, queries.to_vec2::<f32>()?);
    Ok(())
}

#[test]
fn a_run_without_people_says_so() -> Result<()> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut config = quick(folder.path())?;
    config.data.files = vec![folder.path().join("nothing.safetensors")];
    let error = load_data(&config, &mut Watcher::new(0)).expect_err("no such file");
    assert!(error.message().contains("nothing.safetensors"), "{error}");
    config.data.files.clear();
    let error = load_data(&config, &mut Watcher::new(0)).expect_err("no file at all");
    assert!(error.message().contains("data.files"), "{error}");
    let lonely = toy_people(10, 1, 16, 1);
    let options = RunOptions::new(folder.path().join("run"));
    let error = run_on(&config, lonely, &options, &mut Watcher::new(0)).expect_err("one photo each");
    assert!(error.message().contains("nothing can be trained"), "{error}");
    Ok(())
}

#[test]
fn most_people_keeps_people_from_all_over_the_set() -> Result<()> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut config = quick(folder.path())?;
    config.data.most_people = 7;
    let [train, validation, test] = split(&config, toy_people(30, 2, 16, 1))?;
    assert_eq!(
        [train.people.len(), validation.people.len(), test.people.len()],
        [7, 6, 6]
    );
    Ok(())
}
