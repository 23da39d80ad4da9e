//! The attribute that makes a function part of the C ABI.

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

/// Exports a function to C under its own name, and lets no panic out of it.
///
/// ```text
/// #[export]
/// pub unsafe extern "C" fn omniid_engine_free(engine: *mut omniid_engine) {
///     …
/// }
/// ```
///
/// It adds `#[no_mangle]` and runs the body inside `status::exported` of `omniid-capi`. The body gives `Result<()>`
/// where the function returns an `omniid_status`, otherwise what it returns. The header is generated from the functions
/// with this attribute, and a test compares the header with the symbols of the library: no function can be exported
/// without the guard.
#[proc_macro_attribute]
pub fn export(_: TokenStream, function: TokenStream) -> TokenStream {
    let mut tokens: Vec<TokenTree> = function.into_iter().collect();
    let body = match tokens.pop() {
        Some(TokenTree::Group(body)) if body.delimiter() == Delimiter::Brace => body,
        _ => return parse("compile_error!(\"#[export] needs a function with a body\");"),
    };
    let mut closure = parse("move ||");
    closure.extend([TokenTree::Group(body)]);
    let mut guarded = parse("crate::status::exported");
    guarded.extend([TokenTree::Group(Group::new(Delimiter::Parenthesis, closure))]);
    let mut exported = parse("#[no_mangle]");
    exported.extend(tokens);
    exported.extend([TokenTree::Group(Group::new(Delimiter::Brace, guarded))]);
    exported
}

fn parse(text: &str) -> TokenStream {
    text.parse().expect("the text above is Rust")
}
