//! `omniid compare`

use crate::args::{ModelArgs, PhotoArgs};
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::progress::with_bar;
use omniid::engine::Engine;
use omniid::identity::similarity::{cosine, SimilaritySpace};
use omniid::identity::Identity;
use serde::Serialize;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
An identity file and a photo are one row each; a folder is one row made of all its photos. With the model that made them
(-c, or the built-in one), identities are centred on its average identity and compared in the directions that tell people
apart, if it has them; without it they are compared as they are, which says much less.

Examples:
  omniid compare anna.omniid ben.omniid
  omniid compare -c omniid.safetensors photos/anna photos/ben stranger.jpg --csv";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Identities (.omniid), photos, and folders of photos of one person.
    #[arg(required = true, num_args = 2.., value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Print comma-separated values instead of a table.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// No progress bar.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    photo: PhotoArgs,
    #[command(flatten)]
    model: ModelArgs,
}

/// The matrix and the names of its rows and columns.
#[derive(Serialize)]
pub struct Matrix {
    /// Names of rows and columns.
    pub names: Vec<String>,
    /// Cosine similarity, −1 to 1, row by row.
    pub similarity: Vec<Vec<f32>>,
}

pub fn run(args: Args) -> Outcome {
    let is_photos = |path: &PathBuf| path.is_dir() || crate::photos::is_image(path);
    let mut engine = match args.model.checkpoint.is_some() || args.inputs.iter().any(is_photos) {
        true => Some(args.model.open(args.quiet)?),
        false => None,
    };
    let identities = args
        .inputs
        .iter()
        .map(|path| identity(path, &args, engine.as_ref()))
        .collect::<Outcome<Vec<_>>>()?;
    if engine.is_none() {
        engine = built_in_of(&identities, &args);
    }
    let names = args.inputs.iter().map(|path| path.display().to_string()).collect();
    let matrix = Matrix::new(names, &identities, engine.as_ref())?;
    if args.json {
        output::print_json(&matrix)
    } else if args.csv {
        output::print(matrix.csv())
    } else {
        output::print(matrix.table())
    }
}

/// The built-in model, if it made all identities: then it knows where to compare them.
fn built_in_of(identities: &[Identity], args: &Args) -> Option<Engine> {
    let engine = args.model.open(true).ok()?;
    let fingerprint = &engine.info().fingerprint;
    identities
        .iter()
        .all(|identity| identity.provenance().model == *fingerprint)
        .then_some(engine)
}

/// One row: an identity file as it is, photos encoded.
fn identity(path: &Path, args: &Args, engine: Option<&Engine>) -> Outcome<Identity> {
    if path.is_file() && !crate::photos::is_image(path) {
        return Ok(Identity::load(path, &args.model.limits.limits())?);
    }
    let photos = args.photo.collect(&[path.to_path_buf()])?;
    let engine =
        engine.ok_or_else(|| Failure::usage(format!("{} is neither an identity nor a photo", path.display())))?;
    let options = args.photo.encode_options()?;
    let encoded = with_bar(args.quiet, |progress| {
        engine.encode_with_progress(&photos, &options, progress)
    })?;
    for photo in &encoded.photos {
        if let Some(error) = &photo.error {
            eprintln!("left out {}: {error}", photo.name);
        }
    }
    Ok(encoded.identity)
}

/// Of two unit vectors; in double precision, so that rounding does not show.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    sum.clamp(-1.0, 1.0) as f32
}

impl Matrix {
    /// Compares every identity with every other one.
    pub fn new(names: Vec<String>, identities: &[Identity], engine: Option<&Engine>) -> Outcome<Self> {
        // Projected once each: among many, every pair would repeat that.
        let embed = |engine: &Engine| {
            let embedded = identities.iter().map(|identity| engine.comparison_vector(identity));
            embedded.collect::<Result<Vec<_>, _>>()
        };
        let embedded = engine.map(embed).transpose()?;
        let mut rows = vec![vec![1.0f32; identities.len()]; identities.len()];
        for (i, a) in identities.iter().enumerate() {
            for (j, b) in identities.iter().enumerate().skip(i) {
                let value = match &embedded {
                    Some(embedded) => dot(&embedded[i], &embedded[j]),
                    None => cosine(a, b, &SimilaritySpace::default())?,
                };
                rows[i][j] = value;
                rows[j][i] = value;
            }
        }
        Ok(Self {
            names,
            similarity: rows,
        })
    }

    /// A table to read: numbered rows, so that long names do not break it.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for (index, name) in self.names.iter().enumerate() {
            text.push_str(&format!("{:>4}  {name}\n", index + 1));
        }
        text.push_str("\n    ");
        for index in 1..=self.names.len() {
            text.push_str(&format!("{index:>8}"));
        }
        for (index, row) in self.similarity.iter().enumerate() {
            text.push_str(&format!("\n{:>4}", index + 1));
            for value in row {
                text.push_str(&format!("{value:>8.3}"));
            }
        }
        text.push('\n');
        text
    }

    fn csv(&self) -> String {
        let quote = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
        let mut text = String::new();
        for name in &self.names {
            text.push(',');
            text.push_str(&quote(name));
        }
        text.push('\n');
        for (name, row) in self.names.iter().zip(&self.similarity) {
            text.push_str(&quote(name));
            for value in row {
                text.push_str(&format!(",{value}"));
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_as_text() {
        let matrix = Matrix {
            names: vec!["a,\"b\"".into(), "c".into()],
            similarity: vec![vec![1.0, -0.25], vec![-0.25, 1.0]],
        };
        assert_eq!(
            matrix.csv(),
            ",\"a,\"\"b\"\"\",\"c\"\n\"a,\"\"b\"\"\",1,-0.25\n\"c\",-0.25,1\n"
        );
        let table = matrix.table();
        assert_eq!(table.lines().last(), Some("   2  -0.250   1.000"));
        assert!(table.starts_with("   1  a,\"b\"\n   2  c\n"), "{table}");
    }
}
