//! Any bytes as the pickle program of a PyTorch file, in a sound archive with four small storages.

use crate::checkpoint::read_tensors;
use crate::draft::zip;
use omniid::checkpoint::Checkpoint;
use omniid::Limits;

pub fn run(program: &[u8]) {
    let storage = [0x3c; 256];
    let keys = ["archive/data/0", "archive/data/1", "archive/data/2", "archive/data/3"];
    let mut files = vec![("archive/data.pkl", program)];
    files.extend(keys.map(|name| (name, &storage[..])));
    let Ok(checkpoint) = Checkpoint::open(zip(&files), &Limits::default()) else {
        return;
    };
    let _ = checkpoint.describe().map(|description| description.to_string());
    read_tensors(&checkpoint, 16);
}
