use super::*;
use crate::error::ErrorKind;
use crate::host::UnetConfig;
use crate::tensor_file::safetensors_to_bytes;
use crate::Limits;

/// One level with a transformer down, two up and a middle: blocks of width 8 that read a context of 6.
fn host() -> HostSpec {
    HostSpec::unet(&UnetConfig {
        channels: vec![8],
        layers_per_block: vec![1],
        down_depth: vec![1],
        up_depth: vec![1],
        middle_depth: 1,
        heads: vec![2],
        context: 6,
    })
    .unwrap()
}

/// A FaceID LoRA for `host`, whose every tensor holds its own number.
fn face_id(host: &HostSpec, rank: usize) -> Vec<(String, Tensor)> {
    let mut tensors = Vec::new();
    for layer in host.layers() {
        for (number, context) in [(layer.key - 1, layer.inner), (layer.key, layer.context)] {
            for projection in ["to_q", "to_k", "to_v", "to_out"] {
                let input = match projection {
                    "to_k" | "to_v" => context,
                    _ => layer.inner,
                };
                for (side, shape) in [("down", [rank, input]), ("up", [layer.inner, rank])] {
                    let value = Tensor::full(tensors.len() as f32, &shape[..], &Device::Cpu).unwrap();
                    tensors.push((format!("ip_adapter.{number}.{projection}_lora.{side}.weight"), value));
                }
            }
        }
    }
    tensors
}

fn open(tensors: &[(String, Tensor)]) -> Checkpoint {
    let bytes = safetensors_to_bytes(tensors, &Default::default()).unwrap();
    Checkpoint::open(bytes, &Limits::default()).unwrap()
}

fn first(tensor: &Tensor) -> f32 {
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0]
}

#[test]
fn each_matrix_goes_to_its_layer() {
    let (host, tensors) = (host(), face_id(&host(), 3));
    let lora = Lora::find(&open(&tensors), &host).unwrap().unwrap();
    assert_eq!((lora.layers().len(), lora.rank()), (4 * 2 * 4, Some(3)));
    // Processor 6 is the self-attention of the middle block, the last of four.
    let value = |name: &str| first(&tensors.iter().find(|(found, _)| found == name).unwrap().1);
    let module = "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0";
    let layer = lora.layers().iter().find(|layer| layer.module == module).unwrap();
    let [down, up] = lora.matrices(layer).unwrap();
    assert_eq!(first(&down), value("ip_adapter.6.to_out_lora.down.weight"));
    assert_eq!(first(&up), value("ip_adapter.6.to_out_lora.up.weight"));
    let module = "up_blocks.0.attentions.1.transformer_blocks.0.attn2.to_k";
    let layer = lora.layers().iter().find(|layer| layer.module == module).unwrap();
    assert_eq!((layer.input, layer.output), (6, 8));
    assert_eq!(
        first(&lora.matrices(layer).unwrap()[0]),
        value("ip_adapter.5.to_k_lora.down.weight")
    );
}

#[test]
fn a_table_that_counts_its_layers_finds_them_too() {
    let (host, tensors) = (host(), face_id(&host(), 3));
    let layers = host.layers().iter().map(|layer| {
        let (heads, head_dim) = (layer.heads, layer.head_dim);
        crate::host::HostLayer::new(layer.name.clone(), heads, head_dim, layer.context)
    });
    let custom = HostSpec::custom("custom", layers.collect()).unwrap();
    let (lora, expected) = (
        Lora::find(&open(&tensors), &custom).unwrap().unwrap(),
        Lora::find(&open(&tensors), &host).unwrap().unwrap(),
    );
    for (found, layer) in lora.layers().iter().zip(expected.layers()) {
        assert_eq!((&found.module, &found.found), (&layer.module, &layer.found));
    }
    // Names of the host's own: the LoRA is there, but files of other programs have no names for it.
    let layers = host.layers().iter().map(|layer| {
        let (heads, head_dim) = (layer.heads, layer.head_dim);
        let name = format!("block_{}_cross", layer.key);
        crate::host::HostLayer::new(name, heads, head_dim, layer.context)
    });
    let custom = HostSpec::custom("own names", layers.collect()).unwrap();
    let lora = Lora::find(&open(&tensors), &custom).unwrap().unwrap();
    assert_eq!(lora.layers().len(), expected.layers().len());
    for (found, layer) in lora.layers().iter().zip(expected.layers()) {
        assert_eq!(found.found, layer.found);
    }
    assert_eq!(lora.layers()[0].module, "block_1_cross.attn1.to_q");
    assert_eq!(lora.native_tensors(None).unwrap().len(), tensors.len());
    for format in LoraFormat::ALL {
        let error = lora.to_bytes(format, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        assert!(error.message().contains("block_1_cross"), "{error}");
    }
}

#[test]
fn files_for_other_programs_have_their_names() {
    let host = host();
    let lora = Lora::find(&open(&face_id(&host, 3)), &host).unwrap().unwrap();
    let written = |format| Checkpoint::open(lora.to_bytes(format, None).unwrap(), &Limits::default()).unwrap();
    let kohya = written(LoraFormat::Kohya);
    assert_eq!(kohya.len(), 3 * 32);
    let prefix = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_out_0";
    assert_eq!(kohya.shape(&format!("{prefix}.lora_down.weight")), Some(&[3, 8][..]));
    assert_eq!(kohya.shape(&format!("{prefix}.lora_up.weight")), Some(&[8, 3][..]));
    let alpha = kohya
        .tensor(&format!("{prefix}.alpha"), DType::F32, &Device::Cpu)
        .unwrap();
    assert_eq!((alpha.dims(), first(&alpha)), (&[][..], 3.0));
    let diffusers = written(LoraFormat::Diffusers);
    assert_eq!(diffusers.len(), 2 * 32);
    let name = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_B.weight";
    assert_eq!(diffusers.shape(name), Some(&[8, 3][..]));
    for (file, naming) in [(kohya, LoraNaming::Kohya), (diffusers, LoraNaming::Diffusers)] {
        let found = PublishedLora::of(&file).unwrap();
        assert_eq!((found.naming, found.layers, found.rank), (naming, 32, Some(3)));
    }
}

#[test]
fn a_native_file_keeps_all_of_it() {
    let host = host();
    let lora = Lora::find(&open(&face_id(&host, 3)), &host).unwrap().unwrap();
    let writer = crate::tensor_file::SafetensorsWriter::new(lora.native_tensors(None).unwrap(), &Default::default());
    let native = Checkpoint::open(writer.unwrap().to_bytes().unwrap(), &Limits::default()).unwrap();
    let again = Lora::find(&native, &host).unwrap().unwrap();
    assert_eq!(again.layers().len(), lora.layers().len());
    for (found, layer) in again.layers().iter().zip(lora.layers()) {
        assert_eq!(found.module, layer.module);
        let ([a, b], [c, d]) = (again.matrices(found).unwrap(), lora.matrices(layer).unwrap());
        assert_eq!((first(&a), first(&b)), (first(&c), first(&d)), "{}", layer.module);
    }
}

#[test]
fn full_size_names() {
    for (host, count, place, module, kohya) in [
        (
            HostSpec::sd15(),
            16,
            0,
            "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
            "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q",
        ),
        (
            HostSpec::sdxl(),
            70,
            // The second transformer block of the seventh transformer in the file's order.
            8 * 45 + 4,
            "up_blocks.0.attentions.2.transformer_blocks.1.attn2.to_q",
            "lora_unet_output_blocks_2_1_transformer_blocks_1_attn2_to_q",
        ),
    ] {
        // Rank 1 keeps the test small; widths are those of the published files.
        let lora = Lora::find(&open(&face_id(&host, 1)), &host).unwrap().unwrap();
        assert_eq!(lora.layers().len(), 8 * count);
        assert_eq!(
            lora.layers()[place].published,
            [module, kohya].map(|name| Some(name.to_string()))
        );
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let host = host();
    assert!(Lora::find(&open(&[]), &host).unwrap().is_none());
    type Tensors = Vec<(String, Tensor)>;
    let check = |change: &dyn Fn(&mut Tensors), kind: ErrorKind, part: &str| {
        let mut tensors = face_id(&host, 3);
        change(&mut tensors);
        let error = Lora::find(&open(&tensors), &host).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(part), "{error}");
    };
    let matrix = |rows, columns| Tensor::zeros((rows, columns), DType::F32, &Device::Cpu).unwrap();
    let up = "ip_adapter.2.to_v_lora.up.weight";
    check(&|t| t.retain(|(name, _)| name != up), ErrorKind::Format, up);
    let replace = |t: &mut Tensors, value: Tensor| {
        let tensor = t.iter_mut().find(|(name, _)| name == up).unwrap();
        tensor.1 = value;
    };
    check(&|t| replace(t, matrix(8, 2)), ErrorKind::Format, "rank 2");
    check(&|t| replace(t, matrix(7, 3)), ErrorKind::Mismatch, "to 7");
    let strange = "ip_adapter.8.to_q_lora.down.weight";
    check(
        &|t| t.push((strange.to_string(), matrix(3, 8))),
        ErrorKind::Mismatch,
        strange,
    );
    let error = Lora::find(&open(&face_id(&host, 3)), &HostSpec::flux()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
}
