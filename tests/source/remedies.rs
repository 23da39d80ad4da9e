//! Every message that tells the reader what to do takes the words from a table of remedies, and the page
//! `docs/troubleshooting.md` has an entry for each.

use super::tree::{attributes, is_test, Workspace};
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What a clause begins with when it tells the reader what to do.
const IMPERATIVES: [&str; 36] = [
    "add",
    "ask",
    "build",
    "change",
    "check",
    "choose",
    "close",
    "convert",
    "copy",
    "cut",
    "download",
    "enter",
    "export",
    "fetch",
    "free",
    "give",
    "initialise",
    "install",
    "leave",
    "lower",
    "make",
    "name",
    "open",
    "pass",
    "raise",
    "remove",
    "rename",
    "replace",
    "run",
    "save",
    "set",
    "try",
    "unpack",
    "update",
    "use",
    "write",
];

/// Texts that begin like a remedy and are none, each with the reason.
const ALLOWED: [(&str, &str); 5] = [
    ("run configuration", "a context"),
    ("run configuration: {error}", "a context"),
    (
        "--detector finds faces, and the photos are taken whole",
        "what an option does",
    ),
    (
        "set {index} is selected, but there are only {sets}",
        "a set of keys and values",
    ),
    (
        "recording an event for the CUDA context: {error}; waiting for the context instead",
        "what the library does",
    ),
];

/// The sources' texts.
#[derive(Default)]
struct Texts {
    /// Every string literal outside of tests, attributes and remedies.
    literals: Vec<(PathBuf, String)>,
    remedies: Vec<Remedy>,
    /// Names that are used after `remedy::`.
    used: BTreeSet<String>,
}

struct Remedy {
    file: PathBuf,
    name: String,
    id: String,
    text: String,
}

impl Texts {
    fn of(workspace: &Workspace) -> Self {
        let mut texts = Self::default();
        for module in workspace.modules.values() {
            for item in &module.items {
                if !is_test(attributes(item)) {
                    texts.read(&module.file, item.to_token_stream());
                }
            }
        }
        texts
    }

    fn read(&mut self, file: &Path, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let word = |index: usize| match tokens.get(index) {
            Some(TokenTree::Ident(word)) => word.to_string(),
            _ => String::new(),
        };
        let mut index = 0;
        while index < tokens.len() {
            match &tokens[index] {
                TokenTree::Punct(sign) if sign.as_char() == '#' => {
                    let inner = matches!(tokens.get(index + 1), Some(TokenTree::Punct(sign)) if sign.as_char() == '!');
                    index += 1 + usize::from(inner);
                }
                // Remedy::new(id, text)
                TokenTree::Ident(first) if first == "Remedy" && word(index + 3) == "new" => {
                    index += 4;
                    let TokenTree::Group(arguments) = &tokens[index] else {
                        panic!("{}: Remedy::new without its arguments", file.display())
                    };
                    let strings: Vec<String> = arguments.stream().into_iter().filter_map(string).collect();
                    let [id, text] = <[String; 2]>::try_from(strings)
                        .unwrap_or_else(|found| panic!("{}: a remedy of {found:?}", file.display()));
                    // pub const NAME: Remedy = Remedy::new(…)
                    let name = word(index.checked_sub(8).expect("a remedy is a constant"));
                    let file = file.to_path_buf();
                    self.remedies.push(Remedy { file, name, id, text });
                }
                TokenTree::Ident(first) if first == "remedy" && !word(index + 3).is_empty() => {
                    self.used.insert(word(index + 3));
                }
                TokenTree::Group(group) => self.read(file, group.stream()),
                token => {
                    if let Some(text) = string(token.clone()) {
                        self.literals.push((file.to_path_buf(), text));
                    }
                }
            }
            index += 1;
        }
    }
}

/// The value of a string literal.
fn string(token: TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else {
        return None;
    };
    match syn::Lit::new(literal) {
        syn::Lit::Str(text) => Some(text.value()),
        _ => None,
    }
}

/// The clause of a message that tells the reader what to do.
fn remedy_in(text: &str) -> Option<&str> {
    let mut clauses = vec![text];
    for sign in ["; ", ": ", ". ", ", ", " or ", " ("] {
        clauses = clauses.into_iter().flat_map(|clause| clause.split(sign)).collect();
    }
    clauses.into_iter().find(|clause| {
        let Some((first, rest)) = clause.trim().split_once(' ') else {
            return false;
        };
        // "set {index} has …" is no imperative.
        let imperative = IMPERATIVES.contains(&first.to_lowercase().as_str()) && !rest.starts_with('{');
        // "--force replaces it"
        let option = first.starts_with("--") && !rest.starts_with(|c: char| !c.is_ascii_lowercase());
        imperative || option && verb(rest) || clause.ends_with(" instead")
    })
}

/// Whether the first word is a verb of the third person, as after the name of an option that helps.
fn verb(text: &str) -> bool {
    let first = text.split(' ').next().unwrap_or_default();
    first.ends_with('s') && !["is", "has", "was", "belongs", "needs", "takes"].contains(&first)
}

/// The page as entries: the anchors before a heading, and the text below it with single spaces.
fn entries(page: &str) -> Vec<(Vec<String>, String)> {
    let mut entries: Vec<(Vec<String>, String)> = Vec::new();
    let mut anchors = Vec::new();
    for line in page.lines() {
        let anchor = line
            .strip_prefix("<a id=\"")
            .and_then(|rest| rest.strip_suffix("\"></a>"));
        match (anchor, line.starts_with('#')) {
            (Some(anchor), _) => anchors.push(anchor.to_string()),
            (None, true) => entries.push((std::mem::take(&mut anchors), String::new())),
            (None, false) => {
                if let Some((_, text)) = entries.last_mut() {
                    line.split_whitespace().for_each(|word| *text += &format!("{word} "));
                }
            }
        }
    }
    entries
}

/// The messages that the page shows: the lines of its `text` blocks, with the indented ones that go on from them.
fn shown(page: &str) -> Vec<String> {
    let mut messages: Vec<String> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match (line, inside) {
            ("```text", _) => inside = true,
            ("```", _) => inside = false,
            (line, true) if line.starts_with(' ') => {
                let last = messages.last_mut().expect("a message begins without a blank");
                *last = format!("{last} {}", line.trim());
            }
            (line, true) => messages.push(line.to_string()),
            _ => {}
        }
    }
    messages
}

/// Whether the literal, with anything in the place of its `{…}`, is a good part of the message.
fn prints(literal: &str, message: &str) -> bool {
    let literal = literal.replace("{{", "(").replace("}}", ")");
    let mut parts = literal.split('{');
    let first = parts.next().unwrap_or_default().to_string();
    let parts: Vec<String> = std::iter::once(first)
        .chain(parts.filter_map(|part| Some(part.split_once('}')?.1.to_string())))
        .collect();
    let length: usize = parts.iter().map(String::len).sum();
    let mut rest = message;
    let found = parts.iter().all(|part| match rest.find(part.as_str()) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    });
    found && length >= 12 && length * 5 >= message.len()
}

/// The strings of a Python file between double quotes, those that stand beside one another joined.
fn python_strings(source: &str) -> Vec<String> {
    let mut strings: Vec<String> = Vec::new();
    let (mut between, mut rest) = (source, source);
    while let Some(start) = rest.find('"') {
        let joined = rest[..start].trim();
        let mut value = String::new();
        let mut chars = rest[start + 1..].char_indices();
        let end = loop {
            match chars.next() {
                Some((_, '\\')) => value.extend(chars.next().map(|(_, c)| c)),
                Some((at, '"')) => break start + 1 + at + 1,
                Some((_, c)) => value.push(c),
                None => break rest.len(),
            }
        };
        match strings
            .last_mut()
            .filter(|_| between.len() != source.len() && ["", "f"].contains(&joined))
        {
            Some(last) => last.push_str(&value),
            None => strings.push(value),
        }
        rest = &rest[end..];
        between = rest;
    }
    strings
}

/// The strings of the Python bindings.
fn binding_strings() -> Vec<String> {
    let mut folders = vec![
        super::root().join("bindings/python/omniid"),
        super::root().join("bindings/comfyui"),
    ];
    let mut strings = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of the bindings") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("tests") {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "py") {
                strings.extend(python_strings(&std::fs::read_to_string(&path).expect("a source")));
            }
        }
    }
    strings
}

fn page() -> String {
    std::fs::read_to_string(super::root().join("docs/troubleshooting.md")).expect("the page")
}

#[test]
fn every_remedy_has_an_entry() {
    let texts = Texts::of(&super::workspace());
    let entries = entries(&page());
    let (mut ids, mut wrong) = (BTreeSet::new(), String::new());
    assert!(
        texts.remedies.len() > 20,
        "only {} remedies were found",
        texts.remedies.len()
    );
    for Remedy { file, name, id, text } in &texts.remedies {
        let mut demand = |holds: bool, what: &str| {
            if !holds {
                wrong += &format!("{}: {name} ({id:?}, {text:?}) {what}\n", file.display());
            }
        };
        demand(file.ends_with("remedy.rs"), "belongs into the crate's remedy.rs");
        demand(ids.insert(id.clone()), "has an anchor that another one has");
        demand(texts.used.contains(name), "is in no message");
        let first = text.split(' ').next().unwrap_or_default();
        demand(
            !first.is_empty() && !text.ends_with('.'),
            "is no clause for the end of a message",
        );
        let entry = entries.iter().find(|(anchors, _)| anchors.contains(id));
        demand(entry.is_some(), "has no entry with <a id=\"…\"></a> before its heading");
        let shown = entry.is_none_or(|(_, entry)| entry.contains(text.as_str()));
        demand(shown, "is not in its entry in these words");
    }
    for anchor in entries.iter().flat_map(|(anchors, _)| anchors) {
        if !ids.contains(anchor) {
            wrong += &format!("the anchor {anchor:?} belongs to no remedy\n");
        }
    }
    assert!(
        wrong.is_empty(),
        "remedies and docs/troubleshooting.md disagree:\n{wrong}"
    );
}

#[test]
fn no_message_names_a_remedy_in_its_own_words() {
    let texts = Texts::of(&super::workspace());
    let allowed = |text: &str| ALLOWED.iter().any(|(allowed, _)| text == *allowed);
    let found: String = texts
        .literals
        .iter()
        .filter(|(_, text)| !allowed(text))
        .filter_map(|(file, text)| Some((file, text, remedy_in(text)?)))
        .map(|(file, text, clause)| format!("{}: {text:?}: {clause:?}\n", file.display()))
        .collect();
    assert!(
        found.is_empty(),
        "what the reader can do belongs into remedy.rs and is added by with_remedy; if it is none, into ALLOWED:\n{found}"
    );
    for (text, reason) in ALLOWED {
        let there = texts.literals.iter().any(|(_, literal)| literal == text);
        assert!(
            there && !reason.is_empty(),
            "{text:?} is allowed, but it is in no source"
        );
    }
}

#[test]
fn the_page_shows_messages_as_they_are_printed() {
    let texts = Texts::of(&super::workspace());
    let mut unknown = String::new();
    let messages = shown(&page());
    let literals: Vec<String> = texts
        .literals
        .iter()
        .map(|(_, literal)| literal.clone())
        .chain(binding_strings())
        .collect();
    assert!(messages.len() > 20);
    for whole in messages {
        // What a literal has to explain: the message without its kind and its remedy.
        let message = whole
            .strip_prefix("error[")
            .and_then(|rest| rest.split_once("]: "))
            .map_or(&*whole, |(_, m)| m);
        let remedy = texts
            .remedies
            .iter()
            .filter_map(|remedy| message.strip_suffix(&*format!("; {}", remedy.text)));
        let message = remedy.min_by_key(|message| message.len()).unwrap_or(message);
        if !literals.iter().any(|literal| prints(literal, message)) {
            unknown += &format!("{whole}\n");
        }
    }
    assert!(
        unknown.is_empty(),
        "no source has the text of these messages of docs/troubleshooting.md:\n{unknown}"
    );
}

#[test]
fn a_planted_remedy_is_found() {
    let source = r#"
        /// Give a file; use another one.
        pub const A: Remedy = Remedy::new("a", "use another file");
        #[arg(help = "Give a file")]
        fn f() { g(remedy::A, format!("{x}: broken; give another file")); h("a file"); }
        #[cfg(test)] mod tests { fn t() { h("use it"); } }
    "#;
    let mut workspace = Workspace::default();
    let read = |_: &Path| Some(source.to_string());
    workspace.add_crate("a", Path::new("a/remedy.rs"), &read);
    let texts = Texts::of(&workspace);
    let literals: Vec<&str> = texts.literals.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(literals, ["{x}: broken; give another file", "a file"]);
    let remedies: Vec<_> = texts
        .remedies
        .iter()
        .map(|found| (&*found.name, &*found.id, &*found.text))
        .collect();
    assert_eq!(remedies, [("A", "a", "use another file")]);
    assert!(texts.used.contains("A"));
    for (text, remedy) in [
        ("{x}: broken; give another file", true),
        ("{x} exists; --force replaces it", true),
        ("no host: Open it with one", true),
        ("pass it as bytes instead", true),
        ("{x} is a folder, expected a file", false),
        ("settings", false),
        ("the file gives no answer", false),
    ] {
        assert_eq!(remedy_in(text).is_some(), remedy, "{text}");
    }
    assert!(prints(
        "{}: crop {mode:?} is {{unknown}}",
        "a.jpg: crop Face { margin: 1 } is (unknown)"
    ));
    assert!(!prints(
        "{}: crop {mode:?} is known",
        "a.jpg: crop Face { margin: 1 } is unknown"
    ));
    assert_eq!(
        python_strings(r#"f("a\"b" "c", f"d"\n f"e{x}")"#.replace("\\n", "\n").as_str()),
        ["a\"bc", "de{x}"]
    );
    assert_eq!(shown("a\n```text\nb\n    c\nd\n```\n"), ["b c", "d"]);
    let page = "# Page\n<a id=\"a\"></a>\n<a id=\"b\"></a>\n## Entry\nIt is\nbroken.\n## Other\n";
    let entry = (vec!["a".to_string(), "b".to_string()], "It is broken. ".to_string());
    assert!(entries(page).contains(&entry));
}
