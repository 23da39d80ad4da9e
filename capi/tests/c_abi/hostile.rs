//! Random structs, a little of what the fuzz target does at length.

use crate::structs::Session;
use crate::support::model;
use omniid_capi::OMNIID_STATUS_OK;
use rand::{rngs::StdRng, RngCore, SeedableRng};
use std::collections::BTreeMap;

#[test]
fn random_structs_get_a_status() {
    let session = Session::new(model());
    let rounds = std::env::var("OMNIID_STRUCT_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(6000u64);
    let mut seen = BTreeMap::<(u8, i32), u64>::new();
    for round in 0..rounds {
        let mut bytes = vec![0u8; 64 + (round as usize * 37) % 9000];
        StdRng::seed_from_u64(round).fill_bytes(&mut bytes);
        bytes[0] = (round % 5) as u8;
        *seen.entry((bytes[0], session.call(&bytes))).or_default() += 1;
    }
    for function in 0..5 {
        let statuses = seen.range((function, i32::MIN)..(function + 1, i32::MIN)).count();
        assert!(statuses >= 2, "function {function} answered everything alike: {seen:?}");
        assert!(
            seen.contains_key(&(function, OMNIID_STATUS_OK)),
            "function {function} never succeeded: {seen:?}"
        );
    }
}
