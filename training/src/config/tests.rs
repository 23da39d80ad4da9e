use super::*;
use omniid::ErrorKind;

#[test]
fn presets_are_sound_and_survive_writing() -> Result<()> {
    for (name, text) in PRESETS {
        let config = RunConfig::from_toml(text)?;
        assert_eq!(config.name, name);
        assert_eq!(RunConfig::from_toml(&config.to_toml()?)?, config);
        assert_eq!(RunConfig::open(Path::new(name))?, config);
    }
    Ok(())
}

#[test]
fn ablations_differ_from_the_base_in_one_thing_each() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ablations");
    let open = |name: &str| RunConfig::open(&folder.join(name).with_extension("toml"));
    let base = open("base")?;
    for (name, differs) in [
        ("anchored", "model."),
        ("contrastive", "loss."),
        ("classifier", "loss."),
        ("autoencoding", "sampler.pairing"),
        ("one-to-one", "sampler."),
    ] {
        let difference = base.difference(&open(name)?).expect("an ablation changes something");
        assert!(difference.starts_with(differs), "{name}: {difference}");
    }
    Ok(())
}

#[test]
fn presets_have_the_sizes_of_their_names() -> Result<()> {
    let open = |name: &str| RunConfig::open(Path::new(name));
    let tiny = open("tiny")?;
    assert_eq!(tiny.model.patches(), 16);
    assert_eq!(
        (tiny.masked.visible(16), tiny.masked.decoded(16)),
        (1, 8),
        "the pilot's 32 px run"
    );
    assert_eq!((tiny.masked.visible(36), tiny.masked.visible(64)), (2, 3));
    let paper = open("paper")?;
    assert_eq!(paper.model.backbone().num_hidden_layers, 32);
    assert_eq!(paper.model.backbone(), VisionLike::h14());
    assert_eq!(
        (paper.model.encoder().queries, paper.model.encoder().token_width),
        (256, 1280)
    );
    Ok(())
}

/// CLIP ViT-H/14 as the plugin knows it, without the projection that hidden state −2 does not use.
struct VisionLike;

impl VisionLike {
    fn h14() -> omniid::vit::VisionConfig {
        omniid::vit::VisionConfig {
            projection_dim: None,
            ..omniid::vit::VisionConfig::clip_h14()
        }
    }
}

#[test]
fn errors_name_the_value() {
    let tiny = preset("tiny").expect("a preset");
    for (from, to, named) in [
        (
            "[schedule]\n",
            "[similarity]\ndirections = 1537\n[schedule]\n",
            "directions is 1537; it must be at most 1536",
        ),
        (
            "[schedule]\n",
            "[similarity]\nshrinkage = 0.0\n[schedule]\n",
            "shrinkage",
        ),
        ("[optimiser]\n", "[optimiser]\nlearning_rat = 1\n", "learning_rat"),
        ("[optimiser]\n", "[optimizer]\n", "optimizer"),
        ("patch_size = 8\n", "patch_size = 7\n", "image_size"),
        ("patch_size = 8\n", "", "patch_size"),
        ("heads = 4\n", "heads = 5\n", "width"),
        ("steps = ", "steps = -", "steps"),
        (
            "[masked]\n",
            "[masked]\ntoken_dropout = 1.0\n",
            "[masked]: token_dropout is 1",
        ),
        ("[masked]\n", "[masked]\ncondition = \"landmarks\"\n", "landmarks"),
        ("[loss]\n", "[loss]\nreconstruction = 0\n", "reconstruction"),
    ] {
        let text = tiny.replacen(from, to, 1);
        assert_ne!(text, tiny, "the preset holds {from:?}");
        let error = RunConfig::from_toml(&text).expect_err(named);
        assert_eq!(error.kind(), ErrorKind::Format);
        assert!(error.message().contains(named), "{named}: {error}");
    }
    let error = RunConfig::open(Path::new("no-such-file.toml")).expect_err("not there");
    assert!(
        error
            .message()
            .contains("tiny, tiny-flow, mini, mini-flow, lifelike, lifelike-flow, paper, paper-flow"),
        "{error}"
    );
}

#[test]
fn a_difference_is_named_and_intervals_do_not_count() -> Result<()> {
    let config = RunConfig::from_toml(preset("tiny").expect("a preset"))?;
    let mut other = config.clone();
    other.report.metrics_every += 1;
    other.name.push('2');
    other.similarity.directions = 5;
    assert_eq!(config.difference(&other), None);
    other.optimiser.beta2 = 0.5;
    let difference = config.difference(&other).expect("beta2 differs");
    assert!(difference.starts_with("optimiser.beta2 is 0.95"), "{difference}");
    let mut other = config.clone();
    other.start = vec!["other.safetensors".into()];
    assert!(config.difference(&other).is_some_and(|text| text.starts_with("start")));
    for (start, paths) in [("\"a\"", &["a"][..]), ("[\"a\", \"b\"]", &["a", "b"])] {
        let text = format!("start = {start}\n{}", preset("tiny").expect("a preset"));
        let started = RunConfig::from_toml(&text)?;
        assert_eq!(started.start, paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(RunConfig::from_toml(&started.to_toml()?)?, started);
    }
    let error = RunConfig::from_toml(&format!("start = 3\n{}", preset("tiny").expect("a preset")));
    assert!(error.is_err_and(|error| error.message().contains("a path or a list of paths")));
    Ok(())
}
