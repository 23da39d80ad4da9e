//! Imports run one way: no circles between crates, nor between the modules of any folder.

use super::tree::{ModulePath, Workspace};
use super::CRATES;
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Who uses whom among the children of a folder, and a line that says so.
type Folder = BTreeMap<String, BTreeMap<String, String>>;

#[test]
#[cfg_attr(windows, ignore = "it reads the sources, under paths with slashes: other systems do")]
fn imports_run_one_way() {
    let folders = folders(&super::workspace());
    let crates = CRATES.map(|(name, _)| name);
    let place = |name: &String| crates.iter().position(|known| known == name);
    for (user, used) in &folders[&Vec::new()] {
        for (name, line) in used {
            assert!(place(name) < place(user), "{user} must not use {name}: {line}");
        }
    }
    let found: String = circles(&folders)
        .iter()
        .map(|circle| format!("{}: {}\n{}", circle.folder, circle.members.join(" "), circle.lines))
        .collect();
    assert!(found.is_empty(), "these modules use each other in a circle:\n{found}");
}

#[test]
#[cfg_attr(windows, ignore = "it reads the sources, under paths with slashes: other systems do")]
fn a_circle_is_found() {
    let planted = |face: &'static str| {
        let files = BTreeMap::from([
            (
                "a/lib.rs",
                "mod face; mod photo; pub use photo::Photo; pub mod host { pub struct Host; }",
            ),
            ("a/face.rs", face),
            (
                "a/photo/mod.rs",
                "mod decode; pub use decode::decode; use crate::face::{self, Face}; pub struct Photo;",
            ),
            (
                "a/photo/decode.rs",
                "pub fn decode() {} #[cfg(test)] mod tests { use crate::host::Host; }",
            ),
        ]);
        let mut workspace = Workspace::default();
        let read = |path: &Path| files.get(path.to_str()?).map(|text| text.to_string());
        workspace.add_crate("a", Path::new("a/lib.rs"), &read);
        circles(&folders(&workspace))
    };
    assert!(planted("pub struct Face; use crate::host::Host;").is_empty());
    for circle in [
        "pub struct Face; use crate::photo::decode;",
        "pub struct Face; use crate::{host::Host, photo::{decode as read}};",
        // By the name that the root re-exports, in code and in a macro.
        "pub struct Face; fn f() { crate::Photo; }",
        "pub struct Face; fn f() { assert!(super::Photo == 3); }",
    ] {
        let found = planted(circle);
        assert_eq!(found.len(), 1, "{circle}");
        assert_eq!(
            (found[0].folder.as_str(), found[0].members.join(" ").as_str()),
            ("a", "face photo")
        );
        assert!(
            found[0].lines.contains("a/photo/mod.rs: crate::face"),
            "{}",
            found[0].lines
        );
    }
}

/// Who uses whom in every folder of the workspace; the folder of the crates has no name.
fn folders(workspace: &Workspace) -> BTreeMap<ModulePath, Folder> {
    let mut folders = BTreeMap::<ModulePath, Folder>::from([(Vec::new(), Folder::new())]);
    for (from, module) in &workspace.modules {
        for item in &module.items {
            for path in paths(item.to_token_stream()) {
                let Some(target) = workspace.resolve(from, &path) else {
                    continue;
                };
                for to in &target.visited {
                    let common = from.iter().zip(to).take_while(|(a, b)| a == b).count();
                    // Parents and children belong together.
                    let (Some(user), Some(used)) = (from.get(common), to.get(common)) else {
                        continue;
                    };
                    let folder = folders.entry(from[..common].to_vec()).or_default();
                    let line = format!("{}: {}", module.file.display(), path.join("::"));
                    folder
                        .entry(user.clone())
                        .or_default()
                        .entry(used.clone())
                        .or_insert(line);
                }
            }
        }
    }
    folders
}

/// The paths in `tokens` that begin with `crate`, `super` or the name of a crate of ours.
fn paths(tokens: TokenStream) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Ident(word) if is_beginning(&word.to_string()) => {
                at = path(&tokens, at, Vec::new(), &mut found);
            }
            TokenTree::Group(group) => {
                found.extend(paths(group.stream()));
                at += 1;
            }
            _ => at += 1,
        }
    }
    found.retain(|path| path.len() > 1);
    found
}

fn is_beginning(word: &str) -> bool {
    matches!(word, "crate" | "super") || CRATES.iter().any(|(name, _)| *name == word)
}

/// Reads one path from `at` on, with all branches of a `{}` group; gives the place behind it.
fn path(tokens: &[TokenTree], mut at: usize, mut prefix: Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    let is_colon = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(sign)) if sign.as_char() == ':');
    while let Some(token) = tokens.get(at) {
        match token {
            TokenTree::Ident(word) if *word == "self" && !prefix.is_empty() => {}
            TokenTree::Ident(word) => prefix.push(word.to_string()),
            TokenTree::Punct(sign) if sign.as_char() == '*' => prefix.push("*".to_string()),
            TokenTree::Group(group) => {
                let branches: Vec<TokenTree> = group.stream().into_iter().collect();
                let comma = |token: &TokenTree| matches!(token, TokenTree::Punct(sign) if sign.as_char() == ',');
                for branch in branches.split(comma) {
                    path(branch, 0, prefix.clone(), found);
                }
                return at + 1;
            }
            _ => break,
        }
        at += 1;
        if !(is_colon(tokens.get(at)) && is_colon(tokens.get(at + 1))) {
            break;
        }
        at += 2;
    }
    found.push(prefix);
    at
}

/// Modules of one folder that use each other.
struct Circle {
    folder: String,
    members: Vec<String>,
    /// The lines that make it.
    lines: String,
}

fn circles(folders: &BTreeMap<ModulePath, Folder>) -> Vec<Circle> {
    let mut found = Vec::new();
    for (path, folder) in folders {
        let reached = |from: &str| {
            let mut reached = BTreeSet::new();
            let mut open = vec![from.to_string()];
            while let Some(next) = open.pop() {
                let used = folder.get(&next).into_iter().flat_map(BTreeMap::keys);
                open.extend(used.filter(|name| reached.insert(name.to_string())).cloned());
            }
            reached
        };
        let all: BTreeMap<&String, BTreeSet<String>> = folder.keys().map(|name| (name, reached(name))).collect();
        let mut done = BTreeSet::new();
        for (name, reached) in &all {
            if !reached.contains(*name) || done.contains(*name) {
                continue;
            }
            let circle = reached
                .iter()
                .filter(|other| all.get(other).is_some_and(|back| back.contains(*name)));
            let members: Vec<String> = circle.cloned().collect();
            done.extend(members.clone());
            let lines = members
                .iter()
                .flat_map(|user| folder[user].iter().map(move |edge| (user, edge)));
            let lines = lines.filter(|(_, (used, _))| members.contains(used));
            found.push(Circle {
                folder: path.join("::"),
                lines: lines
                    .map(|(user, (used, line))| format!("  {user} uses {used}: {line}\n"))
                    .collect(),
                members,
            });
        }
    }
    found
}
