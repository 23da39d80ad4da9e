//! Three-dimensional vectors as arrays.

pub(crate) type Vec3 = [f32; 3];
/// Rows of a rotation.
pub(crate) type Mat3 = [Vec3; 3];

#[inline(always)]
pub(crate) fn add(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

#[inline(always)]
pub(crate) fn sub(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

#[inline(always)]
pub(crate) fn scale(a: Vec3, s: f32) -> Vec3 {
    [a[0] * s, a[1] * s, a[2] * s]
}

#[inline(always)]
pub(crate) fn mul(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] * b[0], a[1] * b[1], a[2] * b[2]]
}

/// `a + s·b`.
#[inline(always)]
pub(crate) fn fused(a: Vec3, b: Vec3, s: f32) -> Vec3 {
    [a[0] + b[0] * s, a[1] + b[1] * s, a[2] + b[2] * s]
}

#[inline(always)]
pub(crate) fn dot(a: Vec3, b: Vec3) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[inline(always)]
pub(crate) fn cross(a: Vec3, b: Vec3) -> Vec3 {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

#[inline(always)]
pub(crate) fn length(a: Vec3) -> f32 {
    dot(a, a).sqrt()
}

/// `a` at length 1; a zero vector stays zero.
#[inline(always)]
pub(crate) fn normalize(a: Vec3) -> Vec3 {
    scale(a, 1.0 / length(a).max(1e-12))
}

#[inline(always)]
pub(crate) fn mix(a: Vec3, b: Vec3, t: f32) -> Vec3 {
    [
        a[0] + (b[0] - a[0]) * t,
        a[1] + (b[1] - a[1]) * t,
        a[2] + (b[2] - a[2]) * t,
    ]
}

/// 0 below `low`, 1 above `high`, smooth between.
#[inline(always)]
pub(crate) fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

#[inline(always)]
pub(crate) fn rotate(m: &Mat3, v: Vec3) -> Vec3 {
    [dot(m[0], v), dot(m[1], v), dot(m[2], v)]
}

pub(crate) fn product(a: &Mat3, b: &Mat3) -> Mat3 {
    let column = |j: usize| [b[0][j], b[1][j], b[2][j]];
    a.map(|row| [dot(row, column(0)), dot(row, column(1)), dot(row, column(2))])
}

/// Mean of points; zero for none.
pub(crate) fn mean(points: impl IntoIterator<Item = Vec3>) -> Vec3 {
    let (mut sum, mut count) = ([0.0; 3], 0.0f32);
    for point in points {
        sum = add(sum, point);
        count += 1.0;
    }
    scale(sum, 1.0 / count.max(1.0))
}
