use super::*;

/// Genuine scores of person 0, impostor scores of persons 0 and 1.
fn pairs(genuine: &[f32], impostor: &[f32]) -> ScoredPairs {
    let pair = |second| {
        move |score: &f32| Pair {
            score: *score,
            first: 0,
            second,
        }
    };
    let all = genuine.iter().map(pair(0)).chain(impostor.iter().map(pair(1)));
    ScoredPairs::new(all.collect(), 2).unwrap()
}

#[test]
fn closed_forms() {
    let apart = pairs(&[0.9, 0.8], &[0.1, 0.2, 0.3]).curve();
    assert_eq!(
        (apart.auc, apart.equal_error_rate, apart.best_accuracy),
        (1.0, 0.0, 1.0)
    );
    assert_eq!((apart.tar_at_1_percent, apart.best_threshold as f32), (1.0, 0.8));
    let equal = pairs(&[0.5, 0.5], &[0.5, 0.5]).curve();
    assert_eq!((equal.auc, equal.equal_error_rate), (0.5, 0.5));
    assert_eq!(equal.tar_at_1_percent, 0.0);
    assert_eq!(pairs(&[0.0], &[1.0]).curve().auc, 0.0);
    // 1 > 0, 1 < 2, 3 > 0, 3 > 2, 2 > 0, and 2 with 2 counts half.
    assert_eq!(pairs(&[1.0, 3.0, 2.0], &[0.0, 2.0]).curve().auc, 4.5 / 6.0);
    // Of six combinations, 0.9 wins three and 0.4 wins two.
    let mixed = pairs(&[0.9, 0.4], &[0.5, 0.2, 0.1]).curve();
    assert!((mixed.auc - 5.0 / 6.0).abs() < 1e-12);
    assert_eq!((mixed.tar_at_1_percent, mixed.best_threshold as f32), (0.5, 0.4));
    assert!((mixed.best_accuracy - (1.0 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
    // Between (FAR 1/3, FRR 1/2) and (FAR 1/3, FRR 0) the two are equal at 1/3.
    assert!((mixed.equal_error_rate - 1.0 / 3.0).abs() < 1e-12);
}

#[test]
fn one_percent_is_one_of_a_hundred() {
    let impostor: Vec<f32> = (0..100).map(|i| i as f32).collect();
    // One impostor (99) may pass, so the threshold lies above 98.
    let curve = pairs(&[98.5, 97.5, 200.0, 1.0], &impostor).curve();
    assert_eq!((curve.tar_at_1_percent, curve.tar_at_01_percent), (0.5, 0.25));
}

#[test]
fn equals_scikit_learn() {
    // sklearn 1.9: roc_auc_score on s = (37 i mod 101) / 101 with label 1 where i mod 3 = 0, i = 0…199.
    let score = |i: &usize| (37 * i % 101) as f32 / 101.0;
    let part = |genuine: bool| -> Vec<f32> {
        (0..200)
            .filter(|i| (i % 3 == 0) == genuine)
            .map(|i| score(&i))
            .collect()
    };
    let auc = pairs(&part(true), &part(false)).curve().auc;
    assert!((auc - 0.493_547_301_088_542_3).abs() < 1e-9, "{auc}");
}

#[test]
fn intervals_hold_the_value_and_shrink_with_more_people() {
    let of = |people: u32| {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let mut all = Vec::new();
        for first in 0..people {
            for second in 0..=first {
                let shift = if first == second { 1.0 } else { 0.0 };
                let score = random.random::<f32>() * 2.0 + shift;
                all.push(Pair { score, first, second });
            }
        }
        ScoredPairs::new(all, people as usize).unwrap().verification(200, 1)
    };
    let (few, many) = (of(10), of(80));
    for found in [few, many] {
        assert!(
            found.auc.low <= found.auc.value && found.auc.value <= found.auc.high,
            "{found:?}"
        );
        assert_eq!(found.auc.value, found.curve.auc);
    }
    assert!(many.auc.high - many.auc.low < 0.6 * (few.auc.high - few.auc.low));
    assert_eq!((few.genuine, few.impostor), (10, 45));
    assert_eq!(few, of(10));
}

#[test]
fn the_interval_of_a_mean_is_that_of_the_normal_distribution() {
    // Half zeros, half ones: standard error 0.5 / √400 = 0.025, so ± 0.049.
    let values: Vec<f64> = (0..400).map(|i| f64::from(i % 2)).collect();
    let found = mean_estimate(&values, 2000, 5);
    assert_eq!(found.value, 0.5);
    assert!(
        (found.low - 0.451).abs() < 0.008 && (found.high - 0.549).abs() < 0.008,
        "{found:?}"
    );
    assert!(mean_estimate(&[], 10, 0).value.is_nan());
}

#[test]
fn pairs_that_show_nothing_are_refused() {
    let pair = |score, second| Pair {
        score,
        first: 0,
        second,
    };
    assert!(ScoredPairs::new(vec![pair(0.1, 0)], 2).is_err());
    assert!(ScoredPairs::new(vec![pair(0.1, 1)], 2).is_err());
    assert!(ScoredPairs::new(vec![pair(f32::NAN, 0), pair(0.0, 1)], 2).is_err());
    assert!(ScoredPairs::new(vec![pair(0.1, 0), pair(0.0, 2)], 2).is_err());
}
