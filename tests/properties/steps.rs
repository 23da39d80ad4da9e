use omniid::conditioning::{NoiseSchedule, Step, StepRange};
use proptest::prelude::*;

fn schedule() -> impl Strategy<Value = NoiseSchedule> {
    // ᾱ falls with every training timestep.
    let discrete = prop::collection::vec(0.0001f64..0.9999, 2..1000).prop_map(|mut alphas| {
        alphas.sort_by(|a, b| b.total_cmp(a));
        NoiseSchedule::from_alphas_cumprod(&alphas).unwrap()
    });
    let flow = (0.1f64..10.0).prop_map(|shift| NoiseSchedule::Flow { shift });
    let flux = (-2.0f64..3.0).prop_map(|mu| NoiseSchedule::Flux { mu });
    prop_oneof![discrete, Just(NoiseSchedule::stable_diffusion()), flow, flux]
}

/// Two fractions of sampling, the earlier first.
fn fractions() -> impl Strategy<Value = (f64, f64)> {
    (0.0f64..=1.0, 0.0f64..=1.0).prop_map(|(a, b)| (a.min(b), a.max(b)))
}

fn at_sigma(sigma: f64) -> Step {
    Step {
        sigma: Some(sigma),
        fraction: None,
    }
}

fn at_fraction(fraction: f64) -> Step {
    Step {
        sigma: None,
        fraction: Some(fraction),
    }
}

proptest! {
    #[test]
    fn noise_never_grows_during_sampling(schedule in schedule(), (early, late) in fractions()) {
        let (early, late) = (schedule.percent_to_sigma(early), schedule.percent_to_sigma(late));
        prop_assert!(early.is_finite() && late >= 0.0);
        // The logarithm and its inverse round.
        prop_assert!(late <= early * (1.0 + 1e-12), "{} after {}", late, early);
    }

    #[test]
    fn a_range_in_sigmas_holds_the_fractions_that_it_was_made_of(
        schedule in schedule(),
        (start, end) in fractions(),
        between in 0.0f64..=1.0,
    ) {
        let (high, low) = (schedule.percent_to_sigma(start), schedule.percent_to_sigma(end));
        prop_assume!(high >= low);
        let range = StepRange::from_percent(start, end, &schedule).unwrap();
        for sigma in [high, low] {
            prop_assert!(range.contains(&at_sigma(sigma)).unwrap());
        }
        let sigma = schedule.percent_to_sigma(start + (end - start) * between);
        prop_assert_eq!(range.contains(&at_sigma(sigma)).unwrap(), (low..=high).contains(&sigma));
    }

    #[test]
    fn a_range_in_fractions_has_both_ends_and_nothing_outside((start, end) in fractions(), fraction in 0.0f64..=1.0) {
        let range = StepRange::Fraction { start, end };
        range.check().unwrap();
        prop_assert!(range.contains(&at_fraction(start)).unwrap() && range.contains(&at_fraction(end)).unwrap());
        prop_assert_eq!(range.contains(&at_fraction(fraction)).unwrap(), start <= fraction && fraction <= end);
    }

    #[test]
    fn a_check_accepts_what_it_says_it_accepts(start in any::<f64>(), end in any::<f64>()) {
        let fraction = StepRange::Fraction { start, end }.check();
        prop_assert_eq!(fraction.is_ok(), 0.0 <= start && start <= end && end <= 1.0);
        let sigma = StepRange::Sigma { start, end }.check();
        prop_assert_eq!(sigma.is_ok(), start >= end && end >= 0.0);
    }

    #[test]
    fn a_step_that_does_not_say_where_it_is_is_refused(start in 0.0f64..=1.0, number in any::<f64>()) {
        let ranges = [StepRange::Fraction { start, end: 1.0 }, StepRange::Sigma { start: 1.0, end: start }];
        let wrong = [at_sigma(number), at_fraction(number)];
        for (range, step) in ranges.iter().zip(wrong) {
            prop_assert!(range.contains(&step).is_err());
            prop_assert!(StepRange::Always.contains(&step).unwrap());
        }
    }
}
