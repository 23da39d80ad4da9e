//! How a product is divided among tasks.

use super::tile::{COLUMNS, ROWS};

/// Multiply-adds below which waking the other threads costs more than it brings.
const SERIAL_WORK: usize = 1 << 18;

/// Most rows of a task.
pub(super) const MOST_ROWS: usize = 264;

/// Most panels of a group: one pass through them takes 320 KiB of f32, so they stay in a second-level cache while all
/// rows pass by.
pub(super) const MOST_PANELS: usize = 5;

/// The panels of a task in groups of at most [`MOST_PANELS`], as even as they can be.
pub(super) fn group_len(panels: usize) -> usize {
    panels.div_ceil(panels.div_ceil(MOST_PANELS).max(1)).max(1)
}

/// The division of a product of `rows` rows into tasks of some rows by some panels.
///
/// It decides which thread computes what, never how a value is computed.
pub(super) struct Plan {
    pub(super) rows: usize,
    pub(super) panels: usize,
    pub(super) row_part: usize,
    pub(super) panel_part: usize,
    /// Whether the work is too little for more than one thread.
    pub(super) serial: bool,
}

impl Plan {
    pub(super) fn new(threads: usize, rows: usize, outputs: usize, inputs: usize) -> Self {
        let serial = rows.saturating_mul(outputs).saturating_mul(inputs) < SERIAL_WORK;
        let panels = outputs.div_ceil(COLUMNS);
        // Whole register tiles, so that only the last part has a rest.
        let row_parts = rows.div_ceil(MOST_ROWS).max(1);
        let row_part = rows.div_ceil(row_parts).next_multiple_of(ROWS);
        // Enough tasks that no thread waits long for the last one; not more, because memory is asked for in time inside of
        // a task only.
        let wanted = if serial { 1 } else { 4 * threads };
        let panel_part = panels.div_ceil(wanted).max(1);
        Self {
            rows,
            panels,
            row_part,
            panel_part,
            serial,
        }
    }

    pub(super) fn tasks(&self) -> usize {
        self.rows.div_ceil(self.row_part) * self.panels.div_ceil(self.panel_part)
    }

    /// Rows and panels of a task.
    pub(super) fn task(&self, index: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        // Neighbouring tasks share the weights, the larger operand.
        let row_parts = self.rows.div_ceil(self.row_part);
        let (part, row) = (index / row_parts, index % row_parts);
        let rows = row * self.row_part..self.rows.min((row + 1) * self.row_part);
        let panels = part * self.panel_part..self.panels.min((part + 1) * self.panel_part);
        (rows, panels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_computed_once() {
        for (threads, rows, outputs, inputs) in [
            (1, 1, 1, 1),
            (2, 257, 1280, 1280),
            (2, 771, 1280, 5120),
            (16, 771, 5120, 1280),
            (7, 1, 5120, 1280),
            (3, 1000, 33, 70),
        ] {
            let plan = Plan::new(threads, rows, outputs, inputs);
            let mut seen = vec![0; rows * plan.panels];
            for index in 0..plan.tasks() {
                let (rows, panels) = plan.task(index);
                assert!(rows.len() <= MOST_ROWS && group_len(panels.len()) <= MOST_PANELS);
                for row in rows {
                    panels.clone().for_each(|panel| seen[row * plan.panels + panel] += 1);
                }
            }
            assert!(
                seen.iter().all(|&count| count == 1),
                "{threads} {rows} {outputs} {inputs}"
            );
        }
    }
}
