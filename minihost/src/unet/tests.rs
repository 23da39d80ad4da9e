use super::*;
use crate::ops::testing::{distance, random};
use crate::testing::{host, trainable};
use omniid::ErrorKind;
use std::cell::RefCell;

struct Recorder(RefCell<Vec<usize>>);

impl IdentityHook for Recorder {
    fn apply(&self, layer: usize, query: &Tensor, output: Tensor) -> Result<Tensor> {
        assert_eq!(query.dims(), output.dims());
        self.0.borrow_mut().push(layer);
        Ok(output)
    }
}

fn inputs(channels: usize) -> [Tensor; 4] {
    [
        random("tokens", &[2, 16, channels]),
        random("time", &[2]),
        random("context", &[2, 3, 6]),
        random("class", &[2, 46]),
    ]
}

#[test]
fn every_layer_is_hooked_once_in_the_order_of_execution() -> Result<()> {
    let host = host(Default::default());
    let unet = host.unet();
    let [tokens, time, context, class] = inputs(15);
    let input = UNetInput {
        tokens: &tokens,
        size: (4, 4),
        time: &time,
        context: &context,
        class: Some(&class),
    };
    let recorder = Recorder(RefCell::default());
    unet.forward(&input, Some(&recorder))?;
    let seen = recorder.0.into_inner();
    let mut expected: Vec<usize> = (0..unet.host().layer_count()).collect();
    expected.sort_by_key(|layer| unet.host().layers()[*layer].execution);
    assert_eq!(seen, expected);
    assert_eq!(seen.len(), 7);
    Ok(())
}

#[test]
fn variables_and_packed_weights_agree() -> Result<()> {
    let (packed, (variable, _)) = (host(Default::default()), trainable(Default::default()));
    let [tokens, time, context, class] = inputs(15);
    let input = UNetInput {
        tokens: &tokens,
        size: (2, 8),
        time: &time,
        context: &context,
        class: Some(&class),
    };
    let a = packed.unet().forward(&input, None)?;
    let b = variable.unet().forward(&input, None)?;
    assert!(b.track_op() && !a.track_op());
    assert!(distance(&a, &b.detach())? < 1e-4);
    Ok(())
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let host = host(Default::default());
    let [tokens, time, context, class] = inputs(15);
    let good = UNetInput {
        tokens: &tokens,
        size: (4, 4),
        time: &time,
        context: &context,
        class: Some(&class),
    };
    let (narrow, one) = (random("narrow", &[2, 16, 11]), random("one", &[1]));
    let bad = [
        UNetInput {
            tokens: &narrow,
            ..good
        },
        UNetInput { size: (1, 16), ..good },
        UNetInput { size: (4, 5), ..good },
        UNetInput { time: &one, ..good },
        UNetInput {
            context: &tokens,
            ..good
        },
        UNetInput { class: None, ..good },
        UNetInput {
            class: Some(&context),
            ..good
        },
    ];
    for input in bad {
        let error = host.unet().forward(&input, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
    }
}
