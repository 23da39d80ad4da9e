use super::*;
use candle_core::{Device, Var};

fn close(a: &Tensor, b: &Tensor) {
    let worst = (a - b)
        .and_then(|d| d.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>())
        .unwrap();
    assert!(worst < 1e-4, "{worst}");
}

/// `[batch, places, channels]` to candle's `[batch, channels, height, width]`.
fn planes(x: &Tensor, grid: Grid) -> Tensor {
    let (batch, _, channels) = x.dims3().unwrap();
    x.transpose(1, 2)
        .and_then(|x| x.contiguous()?.reshape((batch, channels, grid.height, grid.width)))
        .unwrap()
}

fn random(shape: &[usize]) -> Var {
    Var::randn(0f32, 1.0, shape, &Device::Cpu).unwrap()
}

#[test]
fn depthwise_has_the_values_and_gradients_of_candles_grouped_convolution() {
    for (grid, channels) in [((4, 6), 3), ((1, 1), 2), ((5, 2), 4)] {
        let grid = Grid {
            height: grid.0,
            width: grid.1,
        };
        let (x, taps, bias) = (
            random(&[2, grid.height * grid.width, channels]),
            random(&[9, channels]),
            random(&[channels]),
        );
        let got = depthwise(&x, &taps, &bias, grid).unwrap();
        let weight = taps.t().unwrap().reshape((channels, 1, 3, 3)).unwrap();
        let expected = planes(&x, grid).conv2d(&weight, 1, 1, 1, channels).unwrap();
        let bias_planes = bias.reshape((1, channels, 1, 1)).unwrap();
        let expected = expected.broadcast_add(&bias_planes).unwrap();
        close(&planes(&got, grid), &expected);
        let factor = random(&[2, grid.height * grid.width, channels]);
        let ours = (&got * factor.as_tensor()).unwrap().sum_all().unwrap().backward();
        let theirs = (&expected * planes(&factor, grid))
            .unwrap()
            .sum_all()
            .unwrap()
            .backward();
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
        for variable in [&x, &taps, &bias] {
            close(ours.get(variable).unwrap(), theirs.get(variable).unwrap());
        }
    }
}

#[test]
fn pooling_has_candles_values_and_hands_gradients_to_the_winners() {
    let grid = Grid { height: 4, width: 6 };
    let x = random(&[2, 24, 3]);
    let got = max_pool(&x, grid).unwrap();
    close(&planes(&got, grid.half()), &planes(&x, grid).max_pool2d(2).unwrap());
    // candle's own gradient is divided by the size of the window, so the definition is written out instead: no two
    // of these random numbers are equal, and the one winner of a window gets all of its gradient.
    let factor = random(&[2, 6, 3]);
    let gradients = (&got * factor.as_tensor()).unwrap().sum_all().unwrap().backward();
    let wins = x.eq(&enlarge(&got, grid.half()).unwrap()).unwrap();
    let wins = wins.to_dtype(candle_core::DType::F32).unwrap();
    let expected = (enlarge(&factor, grid.half()).unwrap() * wins).unwrap();
    close(gradients.unwrap().get(&x).unwrap(), &expected);
}

#[test]
fn enlarging_repeats_places_as_candles_nearest_neighbour() {
    let grid = Grid { height: 2, width: 3 };
    let x = random(&[2, 6, 4]);
    let large = Grid { height: 4, width: 6 };
    let got = planes(&enlarge(&x, grid).unwrap(), large);
    close(&got, &planes(&x, grid).upsample_nearest2d(4, 6).unwrap());
}

#[test]
fn stem_windows_times_a_weight_is_the_convolution() {
    let grid = Grid { height: 6, width: 4 };
    let x = random(&[2, 24, 3]);
    let weight = random(&[5, 3, 3, 3]);
    let values = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let windows = Tensor::from_vec(stem_windows(&values, 2, grid, 0.0), (2 * 6, 27), &Device::Cpu).unwrap();
    let got = windows.matmul(&weight.reshape((5, 27)).unwrap().t().unwrap()).unwrap();
    let expected = planes(&x, grid).conv2d(&weight, 1, 2, 1, 1).unwrap();
    close(&planes(&got.reshape((2, 6, 5)).unwrap(), grid.half()), &expected);
}
