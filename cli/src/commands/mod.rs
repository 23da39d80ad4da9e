//! The commands, one file each.

mod attention;
mod compare;
mod completions;
mod convert;
mod demo;
mod encode;
mod evaluate;
mod extend;
mod face_network;
mod faces;
mod fit_histograms;
mod generate;
mod inspect;
mod render;
mod report;
mod train;

use crate::failure::Outcome;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Command {
    /// Makes an identity (.omniid) of photos of one person.
    Encode(encode::Args),
    /// Adds photos to an identity that exists.
    Extend(extend::Args),
    /// Says what a file is: checkpoint, identity, embeddings or photo.
    Inspect(inspect::Args),
    /// Prints how alike identities or photos are.
    Compare(compare::Args),
    /// Rewrites checkpoints, and identities for other programs.
    Convert(convert::Args),
    /// Finds faces and draws their boxes and landmarks.
    Faces(faces::Args),
    /// Draws which query of an Omni-ID encoder looks where in each photo.
    Attention(attention::Args),
    /// Draws a person in new poses and expressions: a contact sheet from photos or an identity.
    Generate(generate::Args),
    /// Writes a page to look at: photos with their faces, similarities, attention, generated views.
    Report(report::Args),
    /// Renders synthetic people with exact ground truth: a folder of pictures, a training set, a contact sheet.
    Render(render::Args),
    /// Trains an identity model from a configuration or preset; continues a run that was stopped.
    Train(train::Args),
    /// Adds to a model the directions in which faces are compared by orientation histograms, found on rendered people.
    FitHistograms(fit_histograms::Args),
    /// Measures a model on people it was never trained on, and writes the tables.
    Evaluate(evaluate::Args),
    /// Draws people in new views from photos, with the built-in weights.
    Demo(demo::Args),
    /// Prints a completion script for a shell.
    Completions(completions::Args),
}

/// Runs a command.
pub fn run(command: Command) -> Outcome {
    match command {
        Command::Encode(args) => encode::run(args),
        Command::Extend(args) => extend::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Convert(args) => convert::run(args),
        Command::Faces(args) => faces::run(args),
        Command::Attention(args) => attention::run(args),
        Command::Generate(args) => generate::run(args),
        Command::Report(args) => report::run(args),
        Command::Render(args) => render::run(args),
        Command::Train(args) => train::run(args),
        Command::FitHistograms(args) => fit_histograms::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Completions(args) => completions::run(args),
    }
}
