//! The built-in tables against the published ones.

use super::*;
use crate::error::ErrorKind;

/// The table of SD1.5, written out: key, diffusers block, LDM block, ComfyUI block, t, inner, head width.
#[rustfmt::skip]
const SD15: [(usize, &str, &str, &str, usize, usize, usize); 16] = [
    (1, "down_blocks.0.attentions.0", "input_blocks.1", "input,1,0", 0, 320, 40),
    (3, "down_blocks.0.attentions.1", "input_blocks.2", "input,2,0", 1, 320, 40),
    (5, "down_blocks.1.attentions.0", "input_blocks.4", "input,4,0", 2, 640, 80),
    (7, "down_blocks.1.attentions.1", "input_blocks.5", "input,5,0", 3, 640, 80),
    (9, "down_blocks.2.attentions.0", "input_blocks.7", "input,7,0", 4, 1280, 160),
    (11, "down_blocks.2.attentions.1", "input_blocks.8", "input,8,0", 5, 1280, 160),
    (13, "up_blocks.1.attentions.0", "output_blocks.3", "output,3,0", 7, 1280, 160),
    (15, "up_blocks.1.attentions.1", "output_blocks.4", "output,4,0", 8, 1280, 160),
    (17, "up_blocks.1.attentions.2", "output_blocks.5", "output,5,0", 9, 1280, 160),
    (19, "up_blocks.2.attentions.0", "output_blocks.6", "output,6,0", 10, 640, 80),
    (21, "up_blocks.2.attentions.1", "output_blocks.7", "output,7,0", 11, 640, 80),
    (23, "up_blocks.2.attentions.2", "output_blocks.8", "output,8,0", 12, 640, 80),
    (25, "up_blocks.3.attentions.0", "output_blocks.9", "output,9,0", 13, 320, 40),
    (27, "up_blocks.3.attentions.1", "output_blocks.10", "output,10,0", 14, 320, 40),
    (29, "up_blocks.3.attentions.2", "output_blocks.11", "output,11,0", 15, 320, 40),
    (31, "mid_block.attentions.0", "middle_block", "middle,0,0", 6, 1280, 160),
];

/// The table of SDXL: first key, depth, diffusers block, LDM block, ComfyUI block, t, inner.
#[rustfmt::skip]
const SDXL: [(usize, usize, &str, &str, &str, usize, usize); 11] = [
    (1, 2, "down_blocks.1.attentions.0", "input_blocks.4", "input,4", 0, 640),
    (5, 2, "down_blocks.1.attentions.1", "input_blocks.5", "input,5", 1, 640),
    (9, 10, "down_blocks.2.attentions.0", "input_blocks.7", "input,7", 2, 1280),
    (29, 10, "down_blocks.2.attentions.1", "input_blocks.8", "input,8", 3, 1280),
    (49, 10, "up_blocks.0.attentions.0", "output_blocks.0", "output,0", 5, 1280),
    (69, 10, "up_blocks.0.attentions.1", "output_blocks.1", "output,1", 6, 1280),
    (89, 10, "up_blocks.0.attentions.2", "output_blocks.2", "output,2", 7, 1280),
    (109, 2, "up_blocks.1.attentions.0", "output_blocks.3", "output,3", 8, 640),
    (113, 2, "up_blocks.1.attentions.1", "output_blocks.4", "output,4", 9, 640),
    (117, 2, "up_blocks.1.attentions.2", "output_blocks.5", "output,5", 10, 640),
    (121, 10, "mid_block.attentions.0", "middle_block", "middle,0", 4, 1280),
];

fn assert_layer(host: &HostSpec, index: usize, expected: (usize, String, String, String, usize, usize, usize, usize)) {
    let (key, name, ldm, hook, execution, inner, heads, context) = expected;
    let layer = host.layer(index).unwrap();
    assert_eq!((layer.key, layer.execution), (key, execution), "{}", layer.name);
    assert_eq!(
        (layer.inner, layer.heads, layer.context),
        (inner, heads, context),
        "{}",
        layer.name
    );
    assert_eq!(layer.head_dim * layer.heads, layer.inner);
    assert_eq!(layer.name, name);
    assert_eq!(layer.ldm_name.as_deref(), Some(ldm.as_str()));
    assert_eq!(layer.hook.unwrap().to_string(), hook);
    let bare = name.strip_suffix(".attn2").unwrap();
    let tuple: Vec<_> = hook.split(',').collect();
    let spellings = [
        name.clone(),
        bare.to_string(),
        format!("{name}.processor"),
        ldm.clone(),
        format!("model.diffusion_model.{ldm}"),
        hook.clone(),
        format!("(\"{}\", {}, {})", tuple[0], tuple[1], tuple[2]),
    ];
    for spelling in spellings {
        assert_eq!(host.find_layer(&spelling), Some(index), "{spelling}");
    }
    assert_eq!(host.find_layer(&format!("{bare}.attn1")), None);
}

#[test]
fn sd15_is_the_published_table() {
    let host = HostSpec::sd15();
    assert_eq!((host.layer_count(), host.transformer_count()), (16, 16));
    for (index, (key, name, ldm, hook, t, inner, head_dim)) in SD15.into_iter().enumerate() {
        let name = format!("{name}.transformer_blocks.0.attn2");
        let ldm = format!("{ldm}.1.transformer_blocks.0.attn2");
        assert_layer(
            &host,
            index,
            (key, name, ldm, hook.into(), t, inner, inner / head_dim, 768),
        );
    }
}

#[test]
fn sdxl_is_the_published_table() {
    let host = HostSpec::sdxl();
    assert_eq!((host.layer_count(), host.transformer_count()), (70, 11));
    let mut index = 0;
    for (first, depth, name, ldm, hook, t, inner) in SDXL {
        for j in 0..depth {
            let name = format!("{name}.transformer_blocks.{j}.attn2");
            let ldm = format!("{ldm}.1.transformer_blocks.{j}.attn2");
            let hook = format!("{hook},{j}");
            assert_layer(
                &host,
                index,
                (first + 2 * j, name, ldm, hook, t, inner, inner / 64, 2048),
            );
            index += 1;
        }
    }
}

#[test]
fn flux_is_19_double_blocks() {
    let host = HostSpec::flux();
    assert_eq!(host.layer_count(), 19);
    for (i, layer) in host.layers().iter().enumerate() {
        assert_eq!((layer.key, layer.execution), (i, i));
        assert_eq!(
            (layer.inner, layer.heads, layer.head_dim, layer.context),
            (3072, 24, 128, 4096)
        );
        for name in [
            format!("transformer_blocks.{i}.attn"),
            format!("double_blocks.{i}"),
            format!("double_block {i}"),
        ] {
            assert_eq!(host.find_layer(&name), Some(i), "{name}");
        }
    }
}

/// Every layer's number, name and ComfyUI block, spelt out; `heads × head_dim`, context and hidden width are uniform.
fn assert_transformer(host: &HostSpec, blocks: &[(String, String, String)], sizes: [usize; 3], hidden: Option<usize>) {
    assert_eq!(host.layer_count(), blocks.len());
    let [heads, head_dim, context] = sizes;
    for (i, (layer, (name, ldm, hook))) in host.layers().iter().zip(blocks).enumerate() {
        assert_eq!((layer.key, layer.execution), (i, i), "{name}");
        assert_eq!(
            (layer.heads, layer.head_dim, layer.inner, layer.context, layer.hidden),
            (heads, head_dim, heads * head_dim, context, hidden)
        );
        assert_eq!((&layer.name, layer.ldm_name.as_ref()), (name, Some(ldm)));
        assert_eq!(layer.hook.unwrap().to_string(), *hook);
        for spelling in [name.clone(), ldm.clone(), hook.replace(',', " ")] {
            assert_eq!(host.find_layer(&spelling), Some(i), "{spelling}");
        }
    }
}

fn double(i: usize, ending: &str) -> (String, String, String) {
    let name = format!("transformer_blocks.{i}{ending}");
    (name, format!("double_blocks.{i}"), format!("double_block,{i},0"))
}

fn single(i: usize, ending: &str) -> (String, String, String) {
    let name = format!("single_transformer_blocks.{i}{ending}");
    (name, format!("single_blocks.{i}"), format!("single_block,{i},0"))
}

#[test]
fn transformers_are_the_published_tables() {
    let all = |ending: &'static str| {
        let double = (0..19).map(move |i| double(i, ending));
        double
            .chain((0..38).map(move |i| single(i, ending)))
            .collect::<Vec<_>>()
    };
    let host = HostSpec::flux_all();
    assert_transformer(&host, &all(".attn"), [24, 128, 4096], None);
    assert_eq!(
        host.layers()
            .iter()
            .filter(|layer| layer.kind == BlockKind::Single)
            .count(),
        38
    );
    assert_transformer(&HostSpec::with_anyone(), &all(""), [24, 64, 3072], Some(3072));
    let doubles = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18].map(|i| double(i, ""));
    let singles = [0, 4, 8, 12, 16, 20, 24, 28, 32, 36].map(|i| single(i, ""));
    let places = [doubles, singles].concat();
    assert_transformer(&HostSpec::pulid_flux(), &places, [16, 128, 2048], Some(3072));
    let joint = |i: usize| (double(i, ".attn").0, format!("joint_blocks.{i}"), double(i, "").2);
    let blocks: Vec<_> = (0..38).map(joint).collect();
    assert_transformer(&HostSpec::sd35_large(), &blocks, [38, 64, 2432], None);
    assert_eq!(
        HostLayer::new("single_transformer_blocks.3.attn", 2, 8, 16).kind,
        BlockKind::Single
    );
}

#[test]
fn a_malformed_table_is_refused_by_name() {
    let layer = |name: &str| HostLayer::new(name, 2, 8, 16);
    let wrong_inner = HostLayer {
        inner: 17,
        ..layer("b")
    };
    let cases = [
        (vec![], "0 layers"),
        (vec![layer("a"), layer("a")], "\"a\""),
        (vec![layer("a"), layer("a.attn2")], "\"a\""),
        (vec![layer("a"), wrong_inner], "17"),
        (vec![layer("")], "empty name"),
        (vec![HostLayer::new("a", 0, 8, 16)], "heads 0"),
        (vec![HostLayer::new("a", usize::MAX, 2, 16)], "inner"),
        (vec![HostLayer::new("a", 2, 8, 1 << 40)], "context"),
    ];
    for (layers, text) in cases {
        let error = HostSpec::custom("mine", layers).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains(text), "{error}");
    }
    let same_key = vec![layer("a"), layer("b")];
    let error = HostSpec::from_layers("mine", HostFamily::Other, same_key).unwrap_err();
    assert!(error.message().contains("same checkpoint key 0"), "{error}");
    let eleven = HostLayer {
        execution: 11,
        ..layer("a")
    };
    assert!(HostSpec::from_layers("mine", HostFamily::Sdxl, vec![eleven]).is_err());
}

fn shapes(host: &HostSpec) -> Vec<LayerShape> {
    let shape = |layer: &HostLayer| LayerShape {
        key: layer.key,
        inner: layer.inner,
        context: layer.context,
    };
    host.layers().iter().map(shape).collect()
}

#[test]
fn shapes_tell_the_hosts_apart_and_a_mismatch_names_the_layer() {
    for host in HostSpec::built_in() {
        let mut shapes = shapes(&host);
        assert_eq!(HostSpec::recognise(&shapes).as_ref(), Some(&host));
        shapes[3].context = 5;
        let error = host.check_shapes(&shapes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        assert!(error.message().contains(&host.layers()[3].name), "{error}");
        assert!(error.message().contains(", 5]"), "{error}");
        shapes[3].context = host.layers()[3].context;
        shapes.push(LayerShape {
            key: 1000,
            inner: 1,
            context: 1,
        });
        assert!(host.check_shapes(&shapes).unwrap_err().message().contains("index 1000"));
        shapes.truncate(2);
        assert!(host
            .check_shapes(&shapes)
            .unwrap_err()
            .message()
            .contains("no such layer"));
    }
}

#[test]
fn a_host_is_derived_from_a_checkpoint_of_any_size() {
    let shapes = [
        LayerShape {
            key: 3,
            inner: 64,
            context: 48,
        },
        LayerShape {
            key: 1,
            inner: 32,
            context: 48,
        },
    ];
    let host = HostSpec::from_shapes("tiny", &shapes, &Heads::Count(4)).unwrap();
    let dims: Vec<_> = host
        .layers()
        .iter()
        .map(|layer| (layer.key, layer.heads, layer.head_dim))
        .collect();
    assert_eq!(dims, [(1, 4, 8), (3, 4, 16)]);
    let host = HostSpec::from_shapes("tiny", &shapes, &Heads::Dim(16)).unwrap();
    assert_eq!(host.layers()[0].heads, 2);
    assert!(HostSpec::from_shapes("tiny", &shapes, &Heads::Dim(48)).is_err());
    assert!(HostSpec::from_shapes("tiny", &shapes, &Heads::Count(0)).is_err());
    assert!(HostSpec::from_shapes("tiny", &shapes, &Heads::PerLayer(vec![1])).is_err());
    assert!(HostSpec::from_shapes("tiny", &shapes, &Heads::Count(3)).is_err());
}

#[test]
fn unequal_lists_and_odd_widths_are_refused() {
    let change = |f: fn(&mut UnetConfig)| {
        let mut config = UnetConfig::sd15();
        f(&mut config);
        HostSpec::unet(&config).unwrap_err().kind()
    };
    assert_eq!(change(|c| c.heads = vec![8; 3]), ErrorKind::InvalidArgument);
    assert_eq!(change(|c| c.heads[1] = 7), ErrorKind::InvalidArgument);
    assert_eq!(
        change(|c| c.layers_per_block[0] = usize::MAX),
        ErrorKind::InvalidArgument
    );
    assert_eq!(change(|c| c.context = 0), ErrorKind::InvalidArgument);
    assert_eq!(change(|c| c.channels.clear()), ErrorKind::InvalidArgument);
    assert_eq!(
        change(|c| (c.down_depth, c.up_depth, c.middle_depth) = (vec![0; 4], vec![0; 4], 0)),
        ErrorKind::InvalidArgument
    );
}

#[test]
fn a_custom_table_takes_the_numbers_of_attention_processors() {
    let layers = |names: &[&str]| names.iter().map(|name| HostLayer::new(*name, 2, 4, 6)).collect();
    let host = HostSpec::custom("custom", layers(&["a.attn2", "b.attn2"])).unwrap();
    let shape = |key| LayerShape {
        key,
        inner: 8,
        context: 6,
    };
    let keys = |host: &HostSpec| host.layers().iter().map(|layer| layer.key).collect::<Vec<_>>();
    let published = host.clone().numbered_as(&[shape(3), shape(1)]);
    assert_eq!(keys(&published), [1, 3]);
    published.check_shapes(&[shape(1), shape(3)]).unwrap();
    for other in [&[0, 1][..], &[1, 2], &[1], &[1, 3, 5]] {
        let shapes: Vec<_> = other.iter().map(|key| shape(*key)).collect();
        assert_eq!(keys(&host.clone().numbered_as(&shapes)), [0, 1], "{other:?}");
    }
    assert_eq!(HostSpec::sd15().numbered_as(&[]), HostSpec::sd15());
}
