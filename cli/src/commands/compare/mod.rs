//! `omniid compare`

mod faces;
mod histograms;

use crate::args::{ModelArgs, PhotoArgs};
use crate::failure::{kind_name, Failure, Outcome};
use crate::input::{self, Input};
use crate::output;
use crate::photos::notes;
use crate::progress::{with_bar, Bar};
use crate::wildcards::expand;
use omniid::engine::{Encoded, Engine};
use omniid::identity::similarity::{cosine, SimilaritySpace};
use omniid::identity::Identity;
use omniid::photo::Photo;
use omniid::{Error, ErrorKind};
use serde::Serialize;
use std::path::PathBuf;

const EXAMPLES: &str = "\
An identity file and a photo are one row each; a folder is one row made of all its photos. With the model that made them
(-c, or the built-in one), identities are centred on its average identity and compared in the directions that tell people
apart, if it has them; without it they are compared as they are, which says much less.

Examples:
  omniid compare anna.omniid ben.omniid
  omniid compare --fused anna-1.jpg anna-2.jpg photos/ben
  omniid compare --recogniser w600k_r50.onnx anna.omniid anna-1.jpg generated.png
  omniid compare -c omniid.safetensors photos/anna photos/ben stranger.jpg --csv";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Identities (.omniid), photos, and folders of photos of one person; - for standard input.
    #[arg(required = true, value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// Compare faces by a recognition network instead of identities by their model: w600k_r50.onnx, glintr100.onnx, SFace,
    /// IR-SE50. Values are cosines of face embeddings; identities need the embeddings that an engine with a recogniser
    /// keeps.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["checkpoint", "face_recogniser"])]
    recogniser: Option<PathBuf>,
    /// Compare photos by histograms of oriented gradients of the faces instead of by identities: for the plain question
    /// whether two photos show one person. The model must have directions for it (`omniid fit-histograms`); identities
    /// keep no pixels and cannot be compared this way.
    #[arg(long, conflicts_with = "recogniser")]
    histograms: bool,
    /// Compare photos by identities and by histograms together: values are the means of both (score-level fusion), which
    /// tell people better apart than identities alone on portraits from the front. As for --histograms, rows are photos
    /// and folders of photos.
    #[arg(long, conflicts_with_all = ["recogniser", "histograms"])]
    fused: bool,
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
    /// Inputs that have no row.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

/// An input that could not be used.
#[derive(Serialize)]
pub struct LeftOut {
    name: String,
    kind: &'static str,
    reason: String,
}

pub fn run(mut args: Args) -> Outcome {
    args.inputs = expand(&args.inputs).into_owned();
    // Not left to the parser, which counts anew behind each option.
    if args.inputs.len() < 2 {
        return Err(Failure::usage("one input, expected two or more to compare"));
    }
    if let Some(recogniser) = &args.recogniser {
        return faces::run(&args, recogniser);
    }
    if args.histograms || args.fused {
        return histograms::run(&args);
    }
    let limits = args.model.limits.limits();
    let inputs: Vec<Outcome<Input>> = args.inputs.iter().map(|path| Input::open(path, &limits)).collect();
    let is_photos =
        |(path, input): (&PathBuf, &Outcome<Input>)| path.is_dir() || input.as_ref().is_ok_and(Input::is_picture);
    let mut engine = match args.model.checkpoint.is_some() || args.inputs.iter().zip(&inputs).any(is_photos) {
        true => Some(args.model.open(args.quiet)?),
        false => None,
    };
    if let (false, Some(option)) = (args.inputs.iter().zip(&inputs).any(is_photos), PhotoArgs::first_named()) {
        return Err(Failure::usage(format!(
            "{option} is about photos, and all inputs are identities"
        )));
    }
    let mut rows = Rows::default();
    let bar = Bar::new(args.quiet);
    for (index, (path, input)) in args.inputs.iter().zip(inputs).enumerate() {
        bar.step("reading identities", index, args.inputs.len())?;
        let name = input::name(path);
        match bar.pause(|| identity(input?, &args, engine.as_ref())) {
            Ok(identity) => {
                rows.names.push(name);
                rows.identities.push(identity);
            }
            // One bad file does not lose the others.
            Err(failure) => bar.pause(|| rows.leave_out(name, failure))?,
        }
    }
    drop(bar);
    if engine.is_none() {
        engine = built_in_of(&rows.identities, &args);
    }
    rows.keep_comparable(engine.as_ref())?;
    let identities = std::mem::take(&mut rows.identities);
    rows.print(&args, |names| Matrix::new(names, &identities, engine.as_ref()))
}

/// What can be compared, and what cannot.
#[derive(Default)]
struct Rows {
    names: Vec<String>,
    identities: Vec<Identity>,
    left_out: Vec<LeftOut>,
    errors: Vec<ErrorKind>,
    first_error: Option<Failure>,
}

impl Rows {
    /// Notes why an input has no row, on standard error too. What ends the command comes back.
    fn leave_out(&mut self, name: String, failure: Failure) -> Outcome {
        let error = failure.of_input()?;
        let kind = kind_name(error.kind());
        let message = error.message();
        let reason = message
            .strip_prefix(&format!("{name}: "))
            .unwrap_or(message)
            .to_string();
        tell!("left out  {name}: {kind}: {reason}");
        self.errors.push(error.kind());
        self.left_out.push(LeftOut { name, kind, reason });
        self.first_error.get_or_insert(error.into());
        Ok(())
    }

    /// Prints the matrix that is made of the rows' names, and fails with what has no row.
    fn print(self, args: &Args, matrix: impl FnOnce(Vec<String>) -> Outcome<Matrix>) -> Outcome {
        if self.names.is_empty() {
            return Err(self.first_error.unwrap_or_else(|| Failure::usage("nothing to compare")));
        }
        let matrix = Matrix {
            left_out: self.left_out,
            ..matrix(self.names)?
        };
        matrix.print(args)?;
        Failure::partial(&self.errors, args.inputs.len(), "inputs").map_or(Ok(()), Err)
    }

    /// Leaves out identities of another model than the engine's, or else the first one's.
    fn keep_comparable(&mut self, engine: Option<&Engine>) -> Outcome {
        let Some(first) = self.identities.first() else {
            return Ok(());
        };
        let model = match engine {
            Some(engine) => engine.info().fingerprint.clone(),
            None => first.provenance().model.clone(),
        };
        let identities = std::mem::take(&mut self.identities);
        for (name, identity) in std::mem::take(&mut self.names).into_iter().zip(identities) {
            let other = &identity.provenance().model;
            if *other == model {
                self.names.push(name);
                self.identities.push(identity);
                continue;
            }
            let error = Error::mismatch(format!(
                "made by model {other}, the comparison is by model {model}; identities of one model can be compared"
            ));
            self.leave_out(name, error.into())?;
        }
        Ok(())
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

/// What a row is made of.
enum Row {
    Photos(Vec<Photo<'static>>),
    /// An identity's file.
    Identity(Input),
}

impl Row {
    fn of(input: Input, args: &Args) -> Outcome<Self> {
        Ok(match input {
            Input::File(path) if !path.is_file() => {
                let (photos, passed_over) = args.photo.collect(&[path], &args.model.limits.limits())?;
                passed_over.tell();
                Self::Photos(photos)
            }
            input if input.is_picture() => Self::Photos(vec![args.photo.chosen(input.into_photo())]),
            input => Self::Identity(input),
        })
    }
}

/// One row: an identity file as it is, photos encoded.
fn identity(input: Input, args: &Args, engine: Option<&Engine>) -> Outcome<Identity> {
    match Row::of(input, args)? {
        Row::Photos(photos) => {
            let engine = engine.ok_or_else(|| Error::internal("a model is opened for every photo"))?;
            Ok(encode(&photos, args, engine)?.identity)
        }
        Row::Identity(input) => Ok(Identity::load(input.into_source(), &args.model.limits.limits())?),
    }
}

/// Encodes photos, and tells which are left out and what is worth a note.
fn encode(photos: &[Photo<'static>], args: &Args, engine: &Engine) -> Outcome<Encoded> {
    let options = args.photo.encode_options()?;
    let encoded = with_bar(args.quiet, |progress| {
        engine.encode_with_progress(photos, &options, progress)
    })?;
    for photo in &encoded.photos {
        if let Some(error) = &photo.error {
            tell!("left out  {error}");
        }
    }
    for line in notes(&encoded.photos) {
        tell!("{line}");
    }
    Ok(encoded)
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
            left_out: Vec::new(),
        })
    }

    /// Compares every vector of length 1 with every other one by their dot product.
    pub fn of_vectors(names: Vec<String>, vectors: &[Vec<f32>]) -> Self {
        let row = |a: &Vec<f32>| vectors.iter().map(|b| dot(a, b)).collect();
        Self {
            names,
            similarity: vectors.iter().map(row).collect(),
            left_out: Vec::new(),
        }
    }

    fn print(&self, args: &Args) -> Outcome {
        match (args.json, args.csv) {
            (true, _) => output::print_json(self),
            (_, true) => output::print(self.csv()),
            _ => output::print(self.table()),
        }
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
            left_out: Vec::new(),
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
