//! What a decoder is told about a target, in numbers.

use crate::config::Condition;
use omniid_minihost::View;

/// Numbers of a target's condition token.
pub fn condition_length(condition: Condition) -> usize {
    match condition {
        Condition::None => 0,
        Condition::Pose => 13,
        Condition::View => View::LENGTH,
    }
}

/// The numbers of `condition` about a target. A grey target's light and background are grey too.
pub fn condition_numbers(view: &View, grey: bool, condition: Condition) -> Vec<f32> {
    let mut view = *view;
    if grey {
        for colour in view.light.iter_mut().chain(&mut view.background) {
            let [red, green, blue] = *colour;
            *colour = [0.299 * red + 0.587 * green + 0.114 * blue; 3];
        }
    }
    view.to_vector()[..condition_length(condition)].to_vec()
}
