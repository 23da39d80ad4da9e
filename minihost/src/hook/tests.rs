use super::*;
use crate::ops::testing::{distance, random};
use candle_core::{DType, Device, Var};
use candle_nn::{VarBuilder, VarMap};
use omniid::adapter::{Adapter, AdapterLayout};
use omniid::conditioning::{Conditioning, ConditioningOptions, IdentityInput};
use omniid::host::{HostLayer, HostSpec};
use omniid_kernels::layers::{random_tensors, TensorSpec};

const WIDTH: usize = 10;
const TOKENS: usize = 5;

fn host() -> HostSpec {
    let layers = vec![HostLayer::new("first", 2, 8, 6), HostLayer::new("second", 4, 3, 6)];
    HostSpec::custom("two", layers).unwrap()
}

fn adapter() -> (Adapter, VarMap) {
    let layout = AdapterLayout::native(&host(), WIDTH);
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let adapter = Adapter::load(&layout, &host(), vb).unwrap();
    let specs: Vec<_> = {
        let data = variables.data().lock().unwrap();
        data.iter()
            .map(|(name, var)| TensorSpec::new(name, var.dims(), omniid_kernels::layers::Initial::Normal(0.4)))
            .collect()
    };
    for (name, tensor) in random_tensors(&specs, 4).unwrap() {
        variables.data().lock().unwrap()[&name].set(&tensor).unwrap();
    }
    (adapter, variables)
}

fn conditioning(adapter: &Adapter, tokens: &Tensor, nobody: &Tensor) -> Conditioning {
    let input = IdentityInput::new(tokens).with_unconditional(nobody);
    let options = ConditioningOptions::default();
    Conditioning::new(adapter, &host(), &[input], &options).unwrap()
}

#[test]
fn both_ways_add_the_same() -> Result<()> {
    let (adapter, _variables) = adapter();
    let tokens = random("tokens", &[2, TOKENS, WIDTH]);
    let nobody = random("nobody", &[TOKENS, WIDTH]);
    for (layer, place) in host().layers().iter().enumerate() {
        let query = random("query", &[8, 7, place.inner]);
        let output = random("output", &[8, 7, place.inner]);
        // Two pictures of each person; guided, so that the second half is nobody's.
        let rows = [Some(0), Some(0), Some(1), Some(1)];
        let hook = AdapterHook::new(&adapter, &host(), &tokens, Some(&nobody), &rows)?;
        let differentiable = hook.apply(layer, &query, output.clone())?;
        let half = |x: &Tensor| x.narrow(0, 0, 4);
        let grouped = hook.apply(layer, &half(&query)?, half(&output)?)?;
        assert!(distance(&grouped, &half(&differentiable)?)? < 1e-5);
        for person in 0..2 {
            let conditioning = conditioning(&adapter, &tokens.get(person)?, &nobody);
            let pick = |x: &Tensor| {
                let own = x.narrow(0, 2 * person, 2)?;
                Tensor::cat(&[own, x.narrow(0, 4 + 2 * person, 2)?], 0)
            };
            let injected = ConditioningHook::new(conditioning, 2).apply(layer, &pick(&query)?, pick(&output)?)?;
            assert!(distance(&injected, &pick(&differentiable)?)? < 1e-5);
            assert!(distance(&injected, &pick(&output)?)? > 0.01, "nothing was added");
        }
        // The caller's output tensor is not written through when it belongs to somebody else.
        let variable = Var::from_tensor(&output.narrow(0, 0, 2)?)?;
        let before = variable.as_tensor().copy()?;
        let own = conditioning(&adapter, &tokens.get(0)?, &nobody);
        ConditioningHook::new(own, 2).apply(layer, &query.narrow(0, 0, 2)?, variable.as_tensor().clone())?;
        assert_eq!(distance(&before, variable.as_tensor())?, 0.0);
    }
    Ok(())
}

#[test]
fn dropped_pictures_see_nobody() -> Result<()> {
    let (adapter, _variables) = adapter();
    let tokens = random("tokens", &[1, TOKENS, WIDTH]);
    let zero = Tensor::zeros((1, TOKENS, WIDTH), DType::F32, &Device::Cpu)?;
    let (query, output) = (random("query", &[2, 3, 16]), random("output", &[2, 3, 16]));
    let rows = [Some(0), None];
    let mixed = AdapterHook::new(&adapter, &host(), &tokens, None, &rows)?.apply(0, &query, output.clone())?;
    let person = AdapterHook::new(&adapter, &host(), &tokens, None, &[Some(0); 2])?;
    let nobody = AdapterHook::new(&adapter, &host(), &zero, None, &[Some(0); 2])?;
    let person = person.apply(0, &query, output.clone())?;
    let nobody = nobody.apply(0, &query, output)?;
    assert!(distance(&mixed.get(0)?, &person.get(0)?)? < 1e-6);
    assert!(distance(&mixed.get(1)?, &nobody.get(1)?)? < 1e-6);
    assert!(distance(&mixed.get(1)?, &person.get(1)?)? > 1e-3);
    Ok(())
}

#[test]
fn gradients_reach_tokens_and_adapter() -> Result<()> {
    let (adapter, variables) = adapter();
    let tokens = Var::from_tensor(&random("tokens", &[2, TOKENS, WIDTH]))?;
    let (query, output) = (random("query", &[4, 3, 16]), random("output", &[4, 3, 16]));
    for rows in [[Some(0), Some(0), Some(1), Some(1)], [Some(0), None, Some(1), Some(0)]] {
        let hook = AdapterHook::new(&adapter, &host(), tokens.as_tensor(), None, &rows)?;
        let loss = hook.apply(0, &query, output.clone())?.sqr()?.sum_all()?;
        let gradients = loss.backward()?;
        let size = |tensor: &Tensor| {
            gradients
                .get(tensor)
                .map(|g| g.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap())
        };
        assert!(size(tokens.as_tensor()).unwrap() > 1e-6);
        let data = variables.data().lock().unwrap();
        for name in [
            "adapter.proj.0.weight",
            "adapter.layers.0.to_k.weight",
            "adapter.layers.0.to_v.weight",
        ] {
            assert!(size(data[name].as_tensor()).unwrap() > 1e-8, "{name}");
        }
    }
    Ok(())
}

#[test]
fn batches_of_another_size_are_refused() -> Result<()> {
    let (adapter, _variables) = adapter();
    let tokens = random("tokens", &[1, TOKENS, WIDTH]);
    let hook = AdapterHook::new(&adapter, &host(), &tokens, None, &[Some(0); 2])?;
    let x = random("x", &[3, 3, 16]);
    let error = hook.apply(0, &x, x.clone()).unwrap_err();
    assert!(error.message().contains("3 rows"), "{error}");
    assert!(AdapterHook::new(&adapter, &host(), &tokens, None, &[Some(1)]).is_err());
    assert!(AdapterHook::new(&adapter, &host(), &tokens, None, &[]).is_err());
    let wide = random("wide", &[TOKENS, WIDTH + 1]);
    assert!(AdapterHook::new(&adapter, &host(), &tokens, Some(&wide), &[Some(0)]).is_err());
    Ok(())
}
