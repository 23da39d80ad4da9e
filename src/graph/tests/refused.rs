//! What is refused, with what message, and that nothing is written then.

use super::*;

/// The message of a call that has to fail without writing.
fn failure(graph: &Graph, conditioning: &Conditioning, call: &GraphCall<'_>, buffer: (&str, usize)) -> String {
    let (mut scales, mut memory) = (vec![7u8; 12], vec![7u8; buffer.1]);
    let mut buffers = [
        GraphBuffer::new("ip_scale", &mut scales),
        GraphBuffer::new(buffer.0, &mut memory),
    ];
    let error = graph.fill(conditioning, call, &mut buffers).unwrap_err();
    assert!(scales.iter().chain(&memory).all(|byte| *byte == 7), "{error}");
    error.to_string()
}

#[test]
fn what_does_not_fit_is_named_and_nothing_is_written() {
    let tokens = random(&[4, WIDTH], 90);
    let conditioning = condition(&[IdentityInput::new(&tokens)], &ConditioningOptions::default());
    let call = GraphCall::default().with_roles(&BOTH);
    let graph = |field: &str, value: Value| self::graph(&with(manifest(), field, value));
    let plain = self::graph(&manifest());
    let message = failure(&plain, &conditioning, &call, ("k.0", 64));
    assert!(
        message.contains("layer \"blocks.0.attn2\"")
            && message.contains("[2, 2, 4, 4] f32 (256 bytes)")
            && message.contains("(64 bytes)"),
        "{message}"
    );
    let (mut memory, mut half) = (vec![7u8; 256], graph("precision", json!("f16")));
    let mut buffers = [GraphBuffer::new("k.0", &mut memory).with_shape(&[2, 2, 4, 4])];
    let message = half.fill(&conditioning, &call, &mut buffers).unwrap_err().to_string();
    assert!(
        message.contains("f16 (128 bytes)") && message.contains("f32 (256 bytes)"),
        "{message}"
    );
    // The right size in the order of another layout.
    let mut buffers = [GraphBuffer::new("k.0", &mut memory).with_shape(&[2, 4, 2, 4])];
    let message = plain.fill(&conditioning, &call, &mut buffers).unwrap_err().to_string();
    assert!(
        message.contains("[2, 2, 4, 4]") && message.contains("[2, 4, 2, 4]"),
        "{message}"
    );
    assert!(memory.iter().all(|byte| *byte == 7));

    for (field, value, words) in [
        ("host", json!("sdxl"), "\"sdxl\""),
        ("host", json!("sd3"), "\"sd3\""),
        ("rows", json!(3), "3 rows"),
        ("tokens", json!(6), "6 identity tokens, the identity has 4"),
    ] {
        let message = failure(&graph(field, value), &conditioning, &call, ("k.0", 256));
        assert!(message.contains(words), "{message}");
    }
    let mut text = manifest();
    text["layers"][1]["head_dim"] = json!(8);
    let message = failure(&self::graph(&text), &conditioning, &call, ("k.0", 256));
    assert!(
        message.contains("blocks.0.attn2") && message.contains("tokens, 8]") && message.contains("tokens, 4]"),
        "{message}"
    );
    text["layers"][1]["name"] = json!("blocks.7.attn2");
    let message = failure(&self::graph(&text), &conditioning, &call, ("k.0", 256));
    assert!(
        message.contains("blocks.7.attn2") && message.contains("no such layer"),
        "{message}"
    );
    text["layers"].as_array_mut().unwrap().remove(1);
    let message = failure(&self::graph(&text), &conditioning, &call, ("k.2", 384));
    assert!(message.contains("blocks.0.attn2"), "{message}");

    assert!(failure(&plain, &conditioning, &call, ("ip_scale", 12)).contains("two buffers"));
    assert!(failure(&plain, &conditioning, &call, ("k", 1)).contains("no identity input \"k\""));
    let infinite = call.clone().with_scale(f32::INFINITY);
    assert!(failure(&plain, &conditioning, &infinite, ("k.0", 256)).contains("finite"));
    half = graph("precision", json!("f16"));
    let large = condition(
        &[IdentityInput::new(&tokens).with_scale(1e6)],
        &ConditioningOptions::default().with_embeds_scaling(EmbedsScaling::KeysAndValues),
    );
    let message = {
        let mut memory = [7u8; 128];
        let mut buffers = [GraphBuffer::new("k.0", &mut memory).with_precision(Precision::F16)];
        let message = half.fill(&large, &call, &mut buffers).unwrap_err().to_string();
        assert_eq!(memory, [7; 128]);
        message
    };
    assert!(
        message.contains("blocks.0.attn2") && message.contains("does not fit into f16"),
        "{message}"
    );

    // Where the scale is part of the values, it may carry them beyond f32.
    let folded = graph("scale", Value::Null);
    let mut memory = [7u8; 256];
    let mut buffers = [GraphBuffer::new("v.0", &mut memory)];
    let error = folded.fill(&large, &call.clone().with_scale(3e38), &mut buffers);
    let message = error.unwrap_err().to_string();
    assert!(message.contains("does not fit into f32"), "{message}");
    assert_eq!(memory, [7; 256]);

    let orthogonal = ConditioningOptions::default().with_injection(Injection::Orthogonal);
    let other = condition(&[IdentityInput::new(&tokens)], &orthogonal);
    assert!(failure(&plain, &other, &call, ("k.0", 256)).contains("orthogonal"));
    let mask = Mask::new(1, 2, &[0.0, 1.0]).unwrap();
    let masked = condition(
        &[IdentityInput::new(&tokens).with_mask(mask)],
        &ConditioningOptions::default(),
    );
    assert!(failure(&plain, &masked, &call, ("k.0", 256)).contains("mask"));
    let ranged = IdentityInput::new(&tokens).with_steps(StepRange::Sigma { start: 5.0, end: 1.0 });
    let ranged = condition(&[ranged], &ConditioningOptions::default());
    assert!(failure(&plain, &ranged, &call, ("k.0", 256)).contains("sigma"));
}

#[test]
fn manifests_that_are_none_are_refused() {
    let refused = |manifest: &Value, words: &str| {
        let error = Graph::parse(manifest.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        error.kind()
    };
    assert_eq!(refused(&json!({}), "format"), ErrorKind::Format);
    assert_eq!(
        refused(&with(manifest(), "version", 2), "version 2"),
        ErrorKind::Unsupported
    );
    refused(&with(manifest(), "format", "other"), "\"other\"");
    refused(&with(manifest(), "host", "vista"), "vista");
    refused(&with(manifest(), "graph", "../unet.onnx"), "../unet.onnx");
    refused(&with(manifest(), "layers", json!([])), "0 layers");
    refused(&with(manifest(), "tokens", 0), "tokens: 0");
    refused(&with(manifest(), "width", 768), "width is set");
    refused(&with(manifest(), "form", "tokens"), "width is missing");
    refused(&with(manifest(), "scale", "k.0"), "listed twice");
    refused(&with(manifest(), "mask", "ip_scale"), "listed twice");
    refused(&with(manifest(), "rows", -1), "");
    let mut text = manifest();
    text["layers"][0]["heads"] = json!(usize::MAX);
    refused(&text, "heads");
    text["layers"][0]["heads"] = json!(0);
    refused(&text, "0 heads");
    text = manifest();
    text["layers"][1]["name"] = json!("blocks.2.attn2");
    refused(&text, "listed twice");
    text = manifest();
    text["layers"][0]["key"] = Value::Null;
    refused(&text, "key None");
    assert!(Graph::parse(b"\xff").is_err() && Graph::parse(b"").is_err());
}

#[test]
fn a_manifest_is_found_beside_its_graph() {
    let folder = tempfile::tempdir().unwrap();
    let text = manifest().to_string();
    let path = folder.path().join("unet.onnx");
    assert_eq!(Graph::open(&path).unwrap_err().kind(), ErrorKind::Io);
    for name in ["unet.identity.json", "unet.onnx.identity.json"] {
        std::fs::write(folder.path().join(name), &text).unwrap();
        for path in [&path, &folder.path().join(name)] {
            let graph = Graph::open(path).unwrap();
            assert_eq!(graph.path(), Some(folder.path().join("unet.onnx").as_path()));
        }
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
    assert_eq!(graph(&manifest()).path(), None);
}
