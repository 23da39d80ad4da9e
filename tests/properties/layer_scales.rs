use omniid::conditioning::LayerScales;
use omniid::host::HostSpec;
use omniid::ErrorKind;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn host() -> impl Strategy<Value = HostSpec> {
    prop_oneof![Just(HostSpec::sd15()), Just(HostSpec::sdxl()), Just(HostSpec::flux())]
}

/// A host and a factor for each of its layers.
fn factors() -> impl Strategy<Value = (HostSpec, Vec<f32>)> {
    host().prop_flat_map(|host| {
        let factors = prop::collection::vec(-4.0f32..4.0, host.layer_count());
        (Just(host), factors)
    })
}

/// A host and factors of some of its transformers.
fn transformers() -> impl Strategy<Value = (HostSpec, BTreeMap<usize, f32>)> {
    host().prop_flat_map(|host| {
        let count = host.transformer_count();
        (
            Just(host),
            prop::collection::btree_map(0..count, -4.0f32..4.0, 1..=count),
        )
    })
}

proptest! {
    #[test]
    fn a_list_a_name_each_and_json_say_the_same((host, factors) in factors()) {
        let scales = LayerScales::per_layer(&host, &factors).unwrap();
        prop_assert_eq!(scales.factors(), &factors[..]);
        let names: Vec<_> = host.layers().iter().zip(&factors).map(|(layer, f)| (layer.name.as_str(), *f)).collect();
        prop_assert_eq!(&LayerScales::named(&host, &names, 9.0).unwrap(), &scales);
        let json = serde_json::to_string(&factors).unwrap();
        prop_assert_eq!(&LayerScales::from_diffusers(&host, &json).unwrap(), &scales);
    }

    #[test]
    fn another_number_of_factors_is_refused((host, mut factors) in factors(), more in any::<bool>()) {
        if more { factors.push(1.0) } else { factors.truncate(factors.len() - 1) }
        prop_assert_eq!(LayerScales::per_layer(&host, &factors).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn the_text_form_says_what_the_list_of_transformers_says((host, listed) in transformers()) {
        let pairs: Vec<_> = listed.iter().map(|(t, factor)| (*t, *factor)).collect();
        let scales = LayerScales::by_transformer(&host, &pairs).unwrap();
        let text = pairs.iter().map(|(t, factor)| format!("{t}:{factor}")).collect::<Vec<_>>().join(", ");
        prop_assert_eq!(&LayerScales::parse(&host, &text).unwrap(), &scales);
        for (layer, factor) in host.layers().iter().zip(scales.factors()) {
            prop_assert_eq!(*factor, listed.get(&layer.execution).copied().unwrap_or(0.0));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(host in host(), text in "[-0-9:., a-z{}\\[\\]\"_]{0,40}") {
        for read in [LayerScales::parse(&host, &text), LayerScales::from_diffusers(&host, &text)] {
            match read {
                Ok(scales) => prop_assert!(scales.factors().iter().all(|factor| factor.is_finite())),
                Err(error) => prop_assert_eq!(error.kind(), ErrorKind::InvalidArgument),
            }
        }
    }
}
