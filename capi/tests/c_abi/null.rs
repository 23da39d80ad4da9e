//! NULL for every pointer parameter of every function is answered with a status.

use crate::support::{prototypes, Prototype};
use std::fmt::Write;

/// Parameters that may be NULL: by function and name.
const OPTIONAL: [(&str, &str); 15] = [
    ("omniid_encode", "options"),
    ("omniid_identity_extend", "options"),
    ("omniid_photo_features", "options"),
    ("omniid_identity_from_features", "options"),
    ("omniid_conditioning_create", "options"),
    ("omniid_engine_detect_faces", "options"),
    ("omniid_identity_to_bytes", "buffer"),
    ("omniid_identity_with_notes", "label"),
    ("omniid_identity_with_notes", "consent"),
    ("omniid_conditioning_is_active", "sigma"),
    ("omniid_conditioning_is_active", "fraction"),
    ("omniid_graph_input_shape", "call"),
    ("omniid_graph_fill", "call"),
    ("omniid_log_set", "callback"),
    ("omniid_log_set", "user_data"),
];

/// A valid argument, so that only the NULL under test is wrong.
fn argument(kind: &str, name: &str) -> &'static str {
    match (kind, name) {
        ("omniid_log_fn", _) => "NULL",
        (_, "user_data") => "NULL",
        ("const omniid_engine *", _) => "engine",
        ("const omniid_identity *", _) => "identity",
        ("const omniid_conditioning *", _) => "conditioning",
        ("const omniid_report *", _) => "report",
        ("const omniid_graph *", _) => "graph",
        ("const omniid_photo *", _) => "&photo",
        ("const omniid_engine_options *", _) => "&open",
        ("const omniid_encode_options *", _) => "&encode",
        ("const omniid_conditioning_input *", _) => "&input",
        ("const omniid_conditioning_options *", _) => "&condition",
        ("const omniid_detect_options *", _) => "&detect",
        ("const omniid_inject_call *", _) => "&call",
        ("const omniid_residual_call *", _) => "&residual",
        ("const omniid_graph_call *", _) => "&graph_call",
        ("const omniid_graph_buffer *", _) => "&graph_buffer",
        ("omniid_graph **", _) => "&out_graph",
        ("omniid_graph_info *", _) => "&graph_info",
        ("omniid_graph_layer *", _) => "&graph_layer",
        ("omniid_graph_input *", _) => "&graph_input",
        ("omniid_graph_shape *", _) => "&graph_shape",
        ("const omniid_tensor *", _) => "&tokens",
        ("omniid_engine **", _) => "&out_engine",
        ("omniid_identity **", _) => "&out_identity",
        ("omniid_conditioning **", _) => "&out_conditioning",
        ("omniid_managed_tensor **", _) => "&out_tensor",
        ("omniid_engine_info *", _) => "&engine_info",
        ("omniid_identity_info *", _) => "&identity_info",
        ("omniid_host_layer *", _) => "&layer",
        ("omniid_embedding *", _) => "&embedding",
        ("omniid_likeness *", _) => "&likeness",
        ("const float *", "landmarks") => "values",
        ("uint8_t *", _) => "(uint8_t *)bytes",
        ("omniid_photo_report *", _) => "&photo_report",
        ("omniid_face *", _) => "&face",
        ("const void *", _) | ("void *", _) => "bytes",
        ("const char *", "path") => "path",
        ("const char *", _) => "\"up.attn\"",
        ("const char **", _) => "&text",
        ("const double *", _) => "&number",
        ("float *", _) => "values",
        ("size_t *", _) => "&size",
        ("int32_t *", _) => "&flag",
        ("size_t", "size" | "capacity") => "sizeof bytes",
        ("size_t", "photo_count" | "identity_count" | "token_count" | "buffer_count") => "1",
        ("size_t" | "int32_t" | "uint32_t" | "int64_t" | "omniid_status", _) => "0",
        _ => panic!("{kind} {name}: no example of this parameter"),
    }
}

fn is_pointer(kind: &str) -> bool {
    kind.ends_with('*') || kind.ends_with("_fn")
}

fn call(function: &Prototype, null: impl Fn(usize) -> bool) -> String {
    let arguments = function
        .parameters
        .iter()
        .enumerate()
        .map(|(index, (kind, name))| match null(index) {
            true if is_pointer(kind) => "NULL",
            _ => argument(kind, name),
        });
    format!("{}({})", function.name, arguments.collect::<Vec<_>>().join(", "))
}

/// The statements that call every function with NULL, once for each pointer parameter and once for all.
pub fn statements() -> String {
    let mut text = String::new();
    for function in prototypes() {
        if !function.parameters.iter().any(|(kind, _)| is_pointer(kind)) {
            continue;
        }
        if function.result != "omniid_status" {
            // Frees: NULL is fine.
            writeln!(text, "  {};", call(&function, |_| true)).unwrap();
            continue;
        }
        for (index, (kind, name)) in function
            .parameters
            .iter()
            .enumerate()
            .filter(|(_, (kind, _))| is_pointer(kind))
        {
            let call = call(&function, |other| other == index);
            let optional = OPTIONAL.contains(&(function.name.as_str(), name.as_str()));
            let expected = if optional {
                "!= OMNIID_STATUS_INTERNAL"
            } else {
                "== OMNIID_STATUS_INVALID_ARGUMENT"
            };
            writeln!(text, "  EXPECT({call} {expected}); /* {kind} {name} */").unwrap();
            if !optional {
                writeln!(text, "  EXPECT(strstr(omniid_last_error(), \"NULL\") != NULL);").unwrap();
            }
            text.push_str("  release();\n");
        }
        writeln!(
            text,
            "  EXPECT({} != OMNIID_STATUS_INTERNAL);\n  release();",
            call(&function, |_| true)
        )
        .unwrap();
    }
    text
}

#[test]
fn every_optional_parameter_exists() {
    for (function, parameter) in OPTIONAL {
        let found = prototypes().into_iter().find(|prototype| prototype.name == function);
        let found = found.unwrap_or_else(|| panic!("{function} is not in the header"));
        assert!(
            found.parameters.iter().any(|(_, name)| name == parameter),
            "{function} has no {parameter}"
        );
    }
}
