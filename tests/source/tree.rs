//! The Rust sources of the workspace as a tree of modules, and what a path in them means.

use proc_macro2::TokenTree;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use syn::{Attribute, Item, UseTree};

/// Where a module is: the crate's name and the names of the modules down to it.
pub type ModulePath = Vec<String>;

/// Gives the content of a source file, if there is one.
pub type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// All modules of all crates. Test code is left out.
#[derive(Default)]
pub struct Workspace {
    pub modules: BTreeMap<ModulePath, Module>,
}

/// One module.
pub struct Module {
    pub file: PathBuf,
    /// Everything in it except its child modules.
    pub items: Vec<Item>,
    /// What its `use` lines bring into it.
    pub imports: Vec<Import>,
    /// Public child modules that are part of the documentation.
    pub public_children: Vec<String>,
}

/// One name that a `use` line brings in.
pub struct Import {
    /// `*` for everything.
    pub name: String,
    pub path: Vec<String>,
    /// Whether it is a public re-export that is part of the documentation.
    pub public: bool,
}

/// What a path means.
pub struct Target {
    /// The module that the path leads to, or whose item it names.
    pub module: ModulePath,
    /// The name of the item; `None` for the module itself.
    pub item: Option<String>,
    /// Every module that was looked into on the way, re-exports included.
    pub visited: Vec<ModulePath>,
}

impl Workspace {
    /// Adds a crate by the name that it has in paths.
    pub fn add_crate(&mut self, name: &str, root: &Path, read: Read<'_>) {
        let folder = root.parent().expect("the root file has a folder").to_path_buf();
        self.add_file(vec![name.to_string()], root, &folder, read);
    }

    fn add_file(&mut self, path: ModulePath, file: &Path, folder: &Path, read: Read<'_>) {
        let text = read(file).unwrap_or_else(|| panic!("{} cannot be read", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.add_items(path, file, folder, parsed.items, read);
    }

    fn add_items(&mut self, path: ModulePath, file: &Path, folder: &Path, items: Vec<Item>, read: Read<'_>) {
        let mut module = Module {
            file: file.to_path_buf(),
            items: Vec::new(),
            imports: Vec::new(),
            public_children: Vec::new(),
        };
        for item in items {
            if is_test(attributes(&item)) {
                continue;
            }
            let Item::Mod(child) = item else {
                if let Item::Use(line) = &item {
                    let public = is_public(&line.vis) && !is_hidden(&line.attrs);
                    add_imports(&line.tree, Vec::new(), public, &mut module.imports);
                }
                module.items.push(item);
                continue;
            };
            let name = child.ident.to_string();
            if is_public(&child.vis) && !is_hidden(&child.attrs) {
                module.public_children.push(name.clone());
            }
            let child_path = [path.as_slice(), std::slice::from_ref(&name)].concat();
            let child_folder = folder.join(&name);
            match child.content {
                Some((_, items)) => self.add_items(child_path, file, &child_folder, items, read),
                None => {
                    let nested = child_folder.join("mod.rs");
                    let beside = folder.join(format!("{name}.rs"));
                    let child_file = if read(&beside).is_some() { beside } else { nested };
                    self.add_file(child_path, &child_file, &child_folder, read);
                }
            }
        }
        self.modules.insert(path, module);
    }

    /// What `path`, written in the module `from`, means; `None` for what is outside of the workspace.
    pub fn resolve(&self, from: &[String], path: &[String]) -> Option<Target> {
        self.resolve_within(from, path, Vec::new())
    }

    fn resolve_within(&self, from: &[String], path: &[String], visited: Vec<ModulePath>) -> Option<Target> {
        // Two modules may import each other's names by globs; no real path is this long.
        if visited.len() > 32 {
            return None;
        }
        let (first, rest) = path.split_first()?;
        let mut module = from.to_vec();
        match first.as_str() {
            "crate" => module.truncate(1),
            "self" => {}
            "super" => {
                module.pop();
            }
            name if self.modules.contains_key(&[from, &[name.to_string()]].concat()) => {
                module.push(name.to_string());
            }
            name if self.modules.contains_key([name.to_string()].as_slice()) => module = vec![name.to_string()],
            _ => return self.walk(module, path, visited),
        }
        self.walk(module, rest, visited)
    }

    /// Follows `path` from a module whose place is known.
    fn walk(&self, mut module: ModulePath, path: &[String], mut visited: Vec<ModulePath>) -> Option<Target> {
        let content = self.modules.get(&module)?;
        visited.push(module.clone());
        let Some((name, rest)) = path.split_first().filter(|(name, _)| *name != "*") else {
            return Some(Target {
                module,
                item: None,
                visited,
            });
        };
        if name == "super" {
            module.pop();
            return self.walk(module, rest, visited);
        }
        let child = [module.as_slice(), std::slice::from_ref(name)].concat();
        if self.modules.contains_key(&child) {
            return self.walk(child, rest, visited);
        }
        if !content.items.iter().any(|item| name_of(item).as_ref() == Some(name)) {
            let named = content.imports.iter().filter(|import| import.name == *name);
            for import in named {
                let path = [&import.path, rest].concat();
                if let Some(target) = self.resolve_within(&module, &path, visited.clone()) {
                    return Some(target);
                }
            }
            for import in content.imports.iter().filter(|import| import.name == "*") {
                let path = [&import.path, path].concat();
                let found = self.resolve_within(&module, &path, visited.clone());
                if let Some(target) = found.filter(|target| self.is_defined(target)) {
                    return Some(target);
                }
            }
        }
        Some(Target {
            module,
            item: Some(name.clone()),
            visited,
        })
    }

    fn is_defined(&self, target: &Target) -> bool {
        let items = &self.modules[&target.module].items;
        target.item.is_none() || items.iter().any(|item| name_of(item) == target.item)
    }
}

fn add_imports(tree: &UseTree, mut path: Vec<String>, public: bool, imports: &mut Vec<Import>) {
    match tree {
        UseTree::Path(step) => {
            path.push(step.ident.to_string());
            add_imports(&step.tree, path, public, imports);
        }
        UseTree::Group(group) => {
            for tree in &group.items {
                add_imports(tree, path.clone(), public, imports);
            }
        }
        UseTree::Glob(_) => {
            let name = "*".to_string();
            imports.push(Import { name, path, public });
        }
        UseTree::Name(last) => add_import(last.ident.to_string(), None, path, public, imports),
        UseTree::Rename(last) => {
            let name = Some(last.rename.to_string());
            add_import(last.ident.to_string(), name, path, public, imports);
        }
    }
}

/// Adds `path::last`, or `path` for `self`, under its own or another name.
fn add_import(last: String, name: Option<String>, mut path: Vec<String>, public: bool, imports: &mut Vec<Import>) {
    if last != "self" {
        path.push(last);
    }
    if let Some(name) = name.or_else(|| path.last().cloned()) {
        imports.push(Import { name, path, public });
    }
}

/// Whether a `#[cfg]` leaves the item to tests alone.
pub fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return false;
        };
        let text = list.tokens.to_string().replace(' ', "");
        attribute.path().is_ident("cfg") && (text == "test" || text == "doctest" || text.starts_with("all(test,"))
    })
}

/// Whether the documentation leaves the item out.
pub fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("doc") => {
            let mut tokens = list.tokens.clone().into_iter();
            tokens.any(|token| matches!(token, TokenTree::Ident(word) if word == "hidden"))
        }
        _ => false,
    })
}

pub fn is_public(visibility: &syn::Visibility) -> bool {
    matches!(visibility, syn::Visibility::Public(_))
}

/// The attributes of an item.
pub fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The name that an item defines.
pub fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        _ => return None,
    };
    Some(name.to_string())
}
