//! Every place that states the release states the same one.

use crate::root;

#[test]
fn one_release_everywhere() {
    let release = env!("CARGO_PKG_VERSION");
    for (file, line) in [
        ("Cargo.toml", format!("\nversion = \"{release}\"\n")),
        ("CHANGELOG.md", format!("\n## {release}")),
        (
            "bindings/comfyui/pyproject.toml",
            format!("\nversion = \"{release}\"\n"),
        ),
        (
            "bindings/comfyui/pyproject.toml",
            format!("\ndependencies = [\"omniid>={release}\"]\n"),
        ),
        ("bindings/csharp/OmniID.csproj", format!("<Version>{release}</Version>")),
        (
            "bindings/unity/package/package.json",
            format!("\"version\": \"{release}\""),
        ),
        (
            "bindings/unreal/plugin/OmniID.uplugin",
            format!("\"VersionName\": \"{release}\""),
        ),
        ("include/omniid.h", format!("#define OMNIID_VERSION \"{release}\"\n")),
    ] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        assert!(text.contains(&line), "{file} has no {line:?}");
    }
}
