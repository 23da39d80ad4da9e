//! C programs, linked with the shared and the static library.

use crate::support::{adapters, c_compiler, has, library, library_folder, model, root, run, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Libraries that `rustc --print=native-static-libs` names for this crate on Linux.
const NATIVE: [&str; 6] = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"];

fn build(source: &Path, folder: &Path, is_static: bool) -> PathBuf {
    let program = folder.join(source.file_stem().unwrap());
    let mut command = Command::new(c_compiler());
    command.args([
        "-std=c11",
        "-O1",
        "-g",
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Werror",
        "-I",
    ]);
    command
        .arg(root().join("include"))
        .arg("-I")
        .arg(root().join("tests/c"))
        .arg(source)
        .arg("-o")
        .arg(&program);
    if is_static {
        command.arg(library("libomniid.a")).args(NATIVE);
    } else {
        command
            .arg("-L")
            .arg(library_folder())
            .args(["-lomniid", "-lm", "-lpthread"]);
    }
    run(&mut command);
    program
}

fn start(program: &Path, arguments: &[&Path]) -> Output {
    run(Command::new(program)
        .args(arguments)
        .env("LD_LIBRARY_PATH", library_folder()))
}

#[test]
#[cfg_attr(windows, ignore = "scripts/test-windows builds and runs these programs")]
fn abi_promises_hold() {
    let folder = tempfile::tempdir().unwrap();
    let program = build(&root().join("tests/c/abi.c"), folder.path(), false);
    let printed = stdout(&start(&program, &[model(), folder.path()]));
    // The macros, evaluated by a C compiler.
    let expected = format!(
        "version {} abi {}.{}\n",
        env!("CARGO_PKG_VERSION"),
        omniid_capi::OMNIID_ABI_MAJOR,
        omniid_capi::OMNIID_ABI_MINOR
    );
    assert_eq!(printed, expected);
}

#[test]
#[cfg_attr(windows, ignore = "scripts/test-windows builds and runs these programs")]
fn face_embeddings_the_residual_stream_and_sd35_work_from_c() {
    let folder = tempfile::tempdir().unwrap();
    start(
        &build(&root().join("tests/c/faces.c"), folder.path(), false),
        &[adapters(), folder.path()],
    );
}

#[test]
#[cfg_attr(windows, ignore = "scripts/test-windows builds and runs these programs")]
fn eight_threads_get_the_numbers_of_one() {
    let folder = tempfile::tempdir().unwrap();
    start(
        &build(&root().join("tests/c/threads.c"), folder.path(), false),
        &[model()],
    );
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn inject_allocates_nothing_after_warm_up() {
    let folder = tempfile::tempdir().unwrap();
    start(
        &build(&root().join("tests/c/allocations.c"), folder.path(), false),
        &[model(), adapters()],
    );
}

#[test]
#[cfg_attr(windows, ignore = "scripts/test-windows builds and runs these programs")]
fn null_is_answered_with_a_status() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("null.c");
    std::fs::write(
        &source,
        crate::support::read(root().join("tests/c/null.c.in")).replace("@CALLS@", &crate::null::statements()),
    )
    .unwrap();
    let output = folder.path().join("out.omniid");
    start(&build(&source, folder.path(), false), &[model(), &output]);
}

#[test]
#[cfg_attr(windows, ignore = "scripts/test-windows builds and runs these programs")]
fn examples_run_with_both_libraries() {
    for is_static in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let inject = build(&root().join("examples/c/inject.c"), folder.path(), is_static);
        assert!(stdout(&start(&inject, &[model()])).starts_with("4 steps, 2 layers"));
        let identity = build(&root().join("examples/c/identity.c"), folder.path(), is_static);
        let (photo, output) = (folder.path().join("photo.png"), folder.path().join("one.omniid"));
        image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8 * 3, y as u8 * 3, 90]))
            .save(&photo)
            .unwrap();
        start(&identity, &[model(), &output, &photo, &photo]);
        let loaded = omniid::identity::Identity::load(&output, &omniid::Limits::default()).unwrap();
        assert_eq!(
            (loaded.provenance().photos, loaded.token_count(), loaded.width()),
            (2, 6, 24)
        );
    }
}

#[test]
#[cfg_attr(windows, ignore = "scripts/test-windows builds and runs these programs")]
fn examples_of_face_embeddings_and_the_residual_stream_run() {
    let folder = tempfile::tempdir().unwrap();
    let [photo, result] = ["person-1/01.jpg", "person-2/01.jpg"].map(|name| root().join("examples/photos").join(name));
    let program = build(&root().join("examples/c/faceid.c"), folder.path(), false);
    for name in ["faceid", "faceid-plus"] {
        let [checkpoint, lora] = [adapters(), folder.path()].map(|folder| folder.join(format!("{name}.safetensors")));
        let printed = stdout(&start(&program, &[&checkpoint, &photo, &result, &lora]));
        for part in [
            "here IResNet-50; licence: none needed: random numbers",
            "12 values by IResNet-50; tokens of photo and embedding differ by 0",
            "tokens [2, 4, 24]",
            "apply it to the UNet at strength 1",
            "the result is like the person by",
        ] {
            assert!(printed.contains(part), "{name}: {printed}");
        }
        let lora = omniid::checkpoint::Checkpoint::open(&lora, &omniid::Limits::default()).unwrap();
        let up = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_v.lora_up.weight";
        assert_eq!(lora.shape(up), Some(&[32, 2][..]));
    }
    let program = build(&root().join("examples/c/pulid_flux.c"), folder.path(), false);
    let residual = adapters().join("residual.safetensors");
    assert!(stdout(&start(&program, &[&residual, &photo])).starts_with("2 layers"));
}

#[test]
fn static_libraries_needed_are_the_documented_ones() {
    if !has("nm") {
        return;
    }
    // What the static library leaves open must come from the libraries above: the link in the test above proves that
    // they are enough, this one that no program is linked without them by luck of the compiler's defaults.
    let folder = tempfile::tempdir().unwrap();
    let program = build(&root().join("examples/c/inject.c"), folder.path(), true);
    let text = stdout(&run(Command::new("nm").args(["-D", "--undefined-only"]).arg(program)));
    assert!(
        !text.contains(" omniid_"),
        "the static program looks for the shared library"
    );
}
