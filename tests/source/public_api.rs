//! The public API of the plugin, checked in: a change shows in the review, and is made knowingly.

use super::tree::{self, is_hidden, is_public, Import, ModulePath, Workspace};
use std::collections::BTreeMap;
use syn::punctuated::Punctuated;
use syn::{parse_quote, Attribute, Fields, ImplItem, Item, TraitItem, Type};

#[test]
fn the_public_api_is_the_one_on_file() {
    let workspace = super::workspace();
    let found = listing(&workspace, "omniid");
    let path = super::root().join("tests/source/public_api.txt");
    if std::env::var_os("OMNIID_UPDATE_PUBLIC_API").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let changed = |a: &str, b: &str, sign: &str| -> String {
        let mut left: BTreeMap<&str, usize> = BTreeMap::new();
        b.lines().for_each(|line| *left.entry(line).or_default() += 1);
        a.lines()
            .filter(|line| match left.get_mut(line).filter(|count| **count > 0) {
                Some(count) => {
                    *count -= 1;
                    false
                }
                None => true,
            })
            .map(|line| format!("{sign}{line}\n"))
            .collect()
    };
    assert!(
        found == expected,
        "the public API changed. If that is meant, run\n  OMNIID_UPDATE_PUBLIC_API=1 cargo test -p omniid --test source\nand \
         review the change of {}:\n{}{}",
        path.display(),
        changed(&expected, &found, "-"),
        changed(&found, &expected, "+")
    );
}

#[test]
fn public_modules_are_few() {
    let workspace = super::workspace();
    let modules = &workspace.modules[&vec!["omniid".to_string()]].public_children;
    assert!(modules.len() <= 12, "{modules:?}");
}

/// Everything that users of a crate can name, without bodies, private fields and documentation.
pub fn listing(workspace: &Workspace, name: &str) -> String {
    let root = vec![name.to_string()];
    let lister = Lister { workspace };
    let file = syn::File {
        shebang: None,
        attrs: Vec::new(),
        items: lister.module(&root),
    };
    prettyplease::unparse(&file)
}

struct Lister<'a> {
    workspace: &'a Workspace,
}

impl Lister<'_> {
    /// The public items of a module, by name.
    fn module(&self, path: &ModulePath) -> Vec<Item> {
        let module = &self.workspace.modules[path];
        let mut named: BTreeMap<(String, usize), Vec<Item>> = BTreeMap::new();
        let mut add = |name: &str, items: Vec<Item>| {
            let same = named.keys().filter(|(other, _)| other == name).count();
            named.insert((name.to_string(), same), items);
        };
        for child in &module.public_children {
            let path = [path.as_slice(), std::slice::from_ref(child)].concat();
            add(child, vec![self.nested(child, &path)]);
        }
        for item in module.items.iter().filter(|item| is_listed(item)) {
            let name = tree::name_of(item).unwrap_or_default();
            add(&name, self.item(path, item));
        }
        for import in module.imports.iter().filter(|import| import.public) {
            let Some(target) = self.workspace.resolve(path, &import.path) else {
                add(&import.name, vec![reexport(import)]);
                continue;
            };
            let items = &self.workspace.modules[&target.module].items;
            match &target.item {
                None if import.name == "*" => add("", self.module(&target.module)),
                None => add(&import.name, vec![self.nested(&import.name, &target.module)]),
                Some(_) => {
                    let item = items.iter().find(|item| tree::name_of(item) == target.item);
                    // What a macro of ours defines is listed by name.
                    add(
                        &import.name,
                        item.map_or_else(|| vec![reexport(import)], |item| self.item(&target.module, item)),
                    );
                }
            }
        }
        named.into_values().flatten().collect()
    }

    fn nested(&self, name: &str, path: &ModulePath) -> Item {
        let name = quote::format_ident!("{name}");
        let items = self.module(path);
        parse_quote!(pub mod #name { #(#items)* })
    }

    /// An item and what is implemented for it.
    fn item(&self, module: &ModulePath, item: &Item) -> Vec<Item> {
        let mut items = vec![bare(item.clone())];
        let name = tree::name_of(item);
        if !matches!(item, Item::Struct(_) | Item::Enum(_) | Item::Trait(_)) {
            return items;
        }
        for (path, other) in &self.workspace.modules {
            for found in &other.items {
                match found {
                    Item::Impl(found) if self.is(path, &found.self_ty, module, &name) => {
                        items.extend(self.implementation(path, found.clone()));
                    }
                    // Methods that a macro of ours writes: its call lists them.
                    Item::Macro(call) if call.ident.is_none() && path == module => {
                        let first = call.mac.tokens.clone().into_iter().next();
                        if first.map(|token| token.to_string()) == name {
                            items.push(found.clone());
                        }
                    }
                    _ => {}
                }
            }
        }
        items
    }

    /// Whether the type written in the module `path` is the item `name` of `module`.
    fn is(&self, path: &ModulePath, written: &Type, module: &ModulePath, name: &Option<String>) -> bool {
        let Type::Path(written) = written else {
            return false;
        };
        let segments: Vec<String> = written
            .path
            .segments
            .iter()
            .map(|part| part.ident.to_string())
            .collect();
        let target = self.workspace.resolve(path, &segments);
        target.is_some_and(|target| target.module == *module && target.item == *name)
    }

    /// What is public of an implementation: its public functions, or the trait.
    fn implementation(&self, path: &ModulePath, mut found: syn::ItemImpl) -> Option<Item> {
        if let Some((_, name, _)) = &found.trait_ {
            let segments: Vec<String> = name.segments.iter().map(|part| part.ident.to_string()).collect();
            if let Some(target) = self.workspace.resolve(path, &segments) {
                let items = &self.workspace.modules[&target.module].items;
                let own = items.iter().find(|item| tree::name_of(item) == target.item);
                if own.is_some_and(|item| !matches!(item, Item::Trait(item) if is_public(&item.vis))) {
                    return None;
                }
            }
            found.items.clear();
        }
        found.attrs.retain(is_kept);
        found.items.retain_mut(|item| match item {
            ImplItem::Fn(function) => {
                let shown = is_public(&function.vis) && !is_hidden(&function.attrs);
                function.attrs.retain(is_kept);
                function.block = parse_quote!({});
                shown
            }
            ImplItem::Const(constant) => {
                let shown = is_public(&constant.vis) && !is_hidden(&constant.attrs);
                constant.attrs.retain(is_kept);
                shown
            }
            _ => false,
        });
        (found.trait_.is_some() || !found.items.is_empty()).then_some(Item::Impl(found))
    }
}

/// A name from elsewhere.
fn reexport(import: &Import) -> Item {
    let path: syn::Path = syn::parse_str(&import.path.join("::")).expect("a path");
    let name = quote::format_ident!("{}", import.name);
    match import.path.last() {
        Some(last) if *last == import.name => parse_quote!(pub use #path;),
        _ => parse_quote!(pub use #path as #name;),
    }
}

/// Whether an item is public and documented.
fn is_listed(item: &Item) -> bool {
    let visibility = match item {
        Item::Const(item) => &item.vis,
        Item::Enum(item) => &item.vis,
        Item::Fn(item) => &item.vis,
        Item::Static(item) => &item.vis,
        Item::Struct(item) => &item.vis,
        Item::Trait(item) => &item.vis,
        Item::Type(item) => &item.vis,
        _ => return false,
    };
    is_public(visibility) && !is_hidden(tree::attributes(item))
}

/// Attributes that users see.
fn is_kept(attribute: &Attribute) -> bool {
    ["cfg", "derive", "must_use", "non_exhaustive", "repr"]
        .iter()
        .any(|name| attribute.path().is_ident(name))
}

/// An item without bodies, private fields and documentation.
fn bare(mut item: Item) -> Item {
    match &mut item {
        Item::Const(item) => item.attrs.retain(is_kept),
        Item::Static(item) => item.attrs.retain(is_kept),
        Item::Type(item) => item.attrs.retain(is_kept),
        Item::Fn(item) => {
            item.attrs.retain(is_kept);
            item.block = parse_quote!({});
        }
        Item::Struct(item) => {
            item.attrs.retain(is_kept);
            bare_fields(&mut item.fields, false);
        }
        Item::Enum(item) => {
            item.attrs.retain(is_kept);
            for variant in &mut item.variants {
                variant.attrs.retain(is_kept);
                bare_fields(&mut variant.fields, true);
            }
        }
        Item::Trait(item) => {
            item.attrs.retain(is_kept);
            for item in &mut item.items {
                if let TraitItem::Fn(function) = item {
                    function.attrs.retain(is_kept);
                    function.default = None;
                    function.semi_token = Some(Default::default());
                }
            }
        }
        _ => {}
    }
    item
}

/// Takes documentation from fields, and private fields from structs.
fn bare_fields(fields: &mut Fields, all: bool) {
    match fields {
        Fields::Named(named) => {
            let kept = std::mem::take(&mut named.named)
                .into_iter()
                .filter(|field| all || is_public(&field.vis));
            named.named = kept.map(bare_field).collect::<Punctuated<_, _>>();
        }
        Fields::Unnamed(unnamed) => {
            for field in &mut unnamed.unnamed {
                if !all && !is_public(&field.vis) {
                    field.ty = parse_quote!(_);
                }
                field.attrs.clear();
            }
        }
        Fields::Unit => {}
    }
}

fn bare_field(mut field: syn::Field) -> syn::Field {
    field.attrs.retain(is_kept);
    field
}
