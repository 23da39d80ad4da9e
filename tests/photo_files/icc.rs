//! Colour profiles for tests (ICC.1), and what they mean in closed form.

/// A colour space of three channels: the colours of red, green and blue in XYZ, adapted to D50, and a curve.
#[derive(Clone, Copy)]
pub struct Space {
    pub colorants: [[f64; 3]; 3],
    pub curve: Curve,
}

#[derive(Clone, Copy)]
pub enum Curve {
    Srgb,
    Gamma(f64),
}

/// IEC 61966-2-1.
pub const SRGB: Space = Space {
    colorants: [
        [0.43607, 0.22249, 0.01392],
        [0.38515, 0.71687, 0.09708],
        [0.14307, 0.06061, 0.71410],
    ],
    curve: Curve::Srgb,
};

/// Phones.
pub const DISPLAY_P3: Space = Space {
    colorants: [
        [0.51512, 0.24120, -0.00105],
        [0.29198, 0.69225, 0.04189],
        [0.15710, 0.06657, 0.78407],
    ],
    curve: Curve::Srgb,
};

/// Adobe RGB (1998).
pub const ADOBE_RGB: Space = Space {
    colorants: [
        [0.60974, 0.31111, 0.01947],
        [0.20528, 0.62567, 0.06087],
        [0.14919, 0.06322, 0.74457],
    ],
    curve: Curve::Gamma(563.0 / 256.0),
};

/// ROMM RGB without its linear toe, as profiles have it.
pub const PRO_PHOTO: Space = Space {
    colorants: [
        [0.79767, 0.28804, 0.00000],
        [0.13519, 0.71187, 0.00000],
        [0.03134, 0.00009, 0.82491],
    ],
    curve: Curve::Gamma(1.80078125),
};

impl Curve {
    fn light(self, value: f64) -> f64 {
        match self {
            Self::Gamma(gamma) => value.powf(gamma),
            Self::Srgb if value <= 0.04045 => value / 12.92,
            Self::Srgb => ((value + 0.055) / 1.055).powf(2.4),
        }
    }

    fn tag(self) -> Vec<u8> {
        let fixed = |value: f64| ((value * 65536.0).round() as i32).to_be_bytes();
        match self {
            Self::Gamma(gamma) => [
                b"curv\0\0\0\0\0\0\0\x01".as_slice(),
                &((gamma * 256.0).round() as u16).to_be_bytes(),
            ]
            .concat(),
            // g, a, b, c, d of a power with a linear part.
            Self::Srgb => {
                let mut tag = b"para\0\0\0\0\0\x03\0\0".to_vec();
                for value in [2.4, 1.0 / 1.055, 0.055 / 1.055, 1.0 / 12.92, 0.04045] {
                    tag.extend(fixed(value));
                }
                tag
            }
        }
    }
}

/// Linear light to a value of sRGB, 0 to 255.
pub fn srgb_value(light: f64) -> f64 {
    let light = light.clamp(0.0, 1.0);
    255.0
        * if light <= 0.003_130_8 {
            12.92 * light
        } else {
            1.055 * light.powf(1.0 / 2.4) - 0.055
        }
}

impl Space {
    /// What a colour of this space, 0 to 255, is in sRGB, 0 to 255.
    pub fn to_srgb(self, colour: [u8; 3]) -> [f64; 3] {
        let light = colour.map(|value| self.curve.light(f64::from(value) / 255.0));
        let xyz: [f64; 3] = std::array::from_fn(|axis| (0..3).map(|i| light[i] * self.colorants[i][axis]).sum());
        // Cramer's rule: XYZ as a sum of sRGB's colours.
        let [r, g, b] = SRGB.colorants;
        let volume = determinant(r, g, b);
        [
            determinant(xyz, g, b) / volume,
            determinant(r, xyz, b) / volume,
            determinant(r, g, xyz) / volume,
        ]
        .map(srgb_value)
    }

    pub fn profile(self) -> Vec<u8> {
        let xyz = |colour: [f64; 3]| {
            let mut tag = b"XYZ \0\0\0\0".to_vec();
            colour
                .iter()
                .for_each(|value| tag.extend(((value * 65536.0).round() as i32).to_be_bytes()));
            tag
        };
        let [r, g, b] = self.colorants;
        build(
            b"mntr",
            b"RGB ",
            b"XYZ ",
            &[
                (b"wtpt", xyz([0.9642, 1.0, 0.8249])),
                (b"rXYZ", xyz(r)),
                (b"gXYZ", xyz(g)),
                (b"bXYZ", xyz(b)),
                (b"rTRC", self.curve.tag()),
                (b"gTRC", self.curve.tag()),
                (b"bTRC", self.curve.tag()),
            ],
        )
    }
}

/// A profile for grey with a curve.
pub fn grey_profile(curve: Curve) -> Vec<u8> {
    let white: Vec<u8> = [0.9642f64, 1.0, 0.8249]
        .iter()
        .flat_map(|value| ((value * 65536.0).round() as i32).to_be_bytes())
        .collect();
    build(
        b"mntr",
        b"GRAY",
        b"XYZ ",
        &[
            (b"wtpt", [b"XYZ \0\0\0\0".as_slice(), &white].concat()),
            (b"kTRC", curve.tag()),
        ],
    )
}

/// What grey of a curve is in sRGB, 0 to 255.
pub fn grey_to_srgb(curve: Curve, value: u8) -> f64 {
    srgb_value(curve.light(f64::from(value) / 255.0))
}

/// A profile for inks that all darken alike: lightness is 100 (1 − c)(1 − m)(1 − y)(1 − k), without colour.
pub fn ink_profile() -> Vec<u8> {
    let mut table = b"mft2\0\0\0\0\x04\x03\x02\0".to_vec();
    for i in 0..9 {
        table.extend(if i % 4 == 0 { 65536i32 } else { 0 }.to_be_bytes());
    }
    let line: Vec<u8> = [0u16, 65535].iter().flat_map(|value| value.to_be_bytes()).collect();
    table.extend([0, 2, 0, 2]);
    table.extend(line.repeat(4));
    // Lightness 100 is 0xFF00, no colour 0x8000. Only paper without ink is light.
    for corner in 0..16 {
        table.extend(if corner == 0 { 0xFF00u16 } else { 0 }.to_be_bytes());
        table.extend(0x8000u16.to_be_bytes().repeat(2));
    }
    table.extend(line.repeat(3));
    build(b"prtr", b"CMYK", b"Lab ", &[(b"A2B0", table)])
}

/// What the light that four inks leave, 0 to 255 (255 is no ink), is by [`ink_profile`]: one value of sRGB, 0 to 255.
pub fn inks_to_srgb(light: [u8; 4]) -> f64 {
    let lightness: f64 = 100.0 * light.iter().map(|&light| f64::from(light) / 255.0).product::<f64>();
    let root = (lightness + 16.0) / 116.0;
    srgb_value(if lightness > 8.0 {
        root.powi(3)
    } else {
        lightness / 903.3
    })
}

fn determinant(a: [f64; 3], b: [f64; 3], c: [f64; 3]) -> f64 {
    a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0])
}

fn build(class: &[u8; 4], space: &[u8; 4], connection: &[u8; 4], tags: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut header = vec![0; 128];
    // Lab in tables is coded as in version 2.
    header[8] = if connection == b"Lab " { 2 } else { 4 };
    header[12..16].copy_from_slice(class);
    header[16..20].copy_from_slice(space);
    header[20..24].copy_from_slice(connection);
    header[24..36].copy_from_slice(&[7, 232, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    header[36..40].copy_from_slice(b"acsp");
    for (at, value) in [(68, 0.9642f64), (72, 1.0), (76, 0.8249)] {
        header[at..at + 4].copy_from_slice(&((value * 65536.0).round() as i32).to_be_bytes());
    }
    let mut directory = (tags.len() as u32).to_be_bytes().to_vec();
    let mut data = Vec::new();
    for (name, tag) in tags {
        directory.extend(*name);
        directory.extend((128 + 4 + 12 * tags.len() as u32 + data.len() as u32).to_be_bytes());
        directory.extend((tag.len() as u32).to_be_bytes());
        data.extend(tag);
        data.resize(data.len().next_multiple_of(4), 0);
    }
    let mut out = [header, directory, data].concat();
    let length = (out.len() as u32).to_be_bytes();
    out[..4].copy_from_slice(&length);
    out
}
