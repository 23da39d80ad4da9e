//! The 68 landmarks on the hm08 base mesh.

/// Vertices of the base mesh in the usual order of 68: jaw, brows, nose, eyes, lips; the person's right side first.
/// Chosen by us on the average head, seen from the front.
pub(crate) const LANDMARKS: [u32; 68] = [
    5424, 5727, 869, 912, 894, 761, 891, 914, 5296, 7616, 7593, 7480, 7596, 7614, 7574, 12324, 12023, 144,
    1283, 1186, 180, 166, 6943, 6956, 7878, 7975, 6922, 133, 131, 201, 5054, 334, 313, 317, 7076, 7096, 21,
    6, 4865, 70, 1071, 1067, 6854, 11483, 6790, 6805, 7759, 7763, 423, 448, 461, 467, 7220, 7208, 7183, 7233,
    7235, 496, 480, 478, 3705, 5362, 520, 11964, 10373, 7236, 523, 481,
];
