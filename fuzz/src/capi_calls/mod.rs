//! Sequences of calls of the C ABI, valid and invalid, over handles that up to three threads share. What a host has
//! freed it does not use again, for that is undefined by contract; everything else that a host can do wrong it does: NULL,
//! wrong sizes and numbers, tiny buffers, handles of the wrong model, one handle on many threads, a cancelled call.

mod conditionings;
mod engines;
mod graphs;
mod handle;
mod identities;
mod memory;

use crate::draft::number;
use arbitrary::Unstructured;
use handle::World;
use omniid_capi::*;
use std::ffi::CStr;

/// Calls of one thread.
const MOST_CALLS: usize = 24;

/// Checks what every call promises.
fn check(status: omniid_status) -> bool {
    assert_ne!(
        status,
        OMNIID_STATUS_INTERNAL,
        "a defect in the library was reported: {}",
        last_error()
    );
    assert!(
        (OMNIID_STATUS_OK..=OMNIID_STATUS_ABI_MISMATCH).contains(&status),
        "status {status}"
    );
    if status != OMNIID_STATUS_OK {
        assert!(!last_error().is_empty(), "status {status} without a message");
    }
    status == OMNIID_STATUS_OK
}

fn last_error() -> String {
    // SAFETY: the message is NUL-terminated and lives until this thread's next call.
    unsafe { CStr::from_ptr(omniid_last_error()) }
        .to_str()
        .expect("messages are UTF-8")
        .to_string()
}

/// Calls that only tell something.
fn tell(input: &mut Unstructured<'_>) {
    let status = input.arbitrary().unwrap_or(0);
    // SAFETY: texts of the library are static.
    let text = unsafe { CStr::from_ptr(omniid_status_text(status)) };
    assert!(!text.is_empty());
    assert_eq!(omniid_abi_version(), OMNIID_ABI_VERSION);
}

fn thread(mut input: Unstructured<'_>, mut world: World) {
    let input = &mut input;
    for _ in 0..MOST_CALLS {
        if input.is_empty() {
            break;
        }
        match number(input, 0..=31) {
            0 => tell(input),
            1 => engines::open(input, &mut world),
            2 | 3 => engines::describe(input, &world),
            4 => engines::encode(input, &mut world),
            5 => engines::features(input, &mut world),
            6 => engines::faces(input, &world),
            7 => engines::draw(input),
            8 => engines::log(input),
            9..=11 => identities::from_bytes(input, &mut world),
            12 | 13 => identities::to_bytes(input, &world),
            14 | 15 => identities::describe(input, &mut world),
            16 => identities::copies(input, &mut world),
            17 => identities::compare(input, &mut world),
            18 => identities::files(input, &mut world),
            19..=21 => conditionings::create(input, &mut world),
            22 | 23 => conditionings::contents(input, &mut world),
            24..=27 => conditionings::inject(input, &world),
            28 => graphs::parse(input, &mut world),
            29 | 30 => graphs::fill(input, &world),
            _ => world.forget(input),
        }
    }
}

pub fn run(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let threads = if number(&mut input, 0..=3) == 3 {
        number(&mut input, 2..=3)
    } else {
        1
    };
    let world = World::new();
    let rest = input.take_rest();
    if threads == 1 {
        return thread(Unstructured::new(rest), world);
    }
    std::thread::scope(|scope| {
        let parts = rest.chunks(rest.len().div_ceil(threads).max(1));
        let running: Vec<_> = parts
            .map(|part| {
                let world = world.clone();
                scope.spawn(move || thread(Unstructured::new(part), world))
            })
            .collect();
        // The scope itself does not wait until a thread's message of its last error is freed, which looks like a leak.
        for one in running {
            one.join().expect("a thread does not panic");
        }
    });
}
