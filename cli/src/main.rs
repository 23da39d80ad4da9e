//! The `omniid` program: photos in, identities and pictures out, and the tools around them.
//!
//! Results go to standard output, everything else to standard error. Exit codes are in [`failure`].

mod args;
mod commands;
mod crops;
mod detector;
mod failure;
mod memory;
mod output;
mod photos;
mod picture;
mod progress;
mod remedy;
mod views;

use clap::Parser;
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Exit codes:
  0  done
  1  failed; the message begins with error[KIND], where KIND is io, format, unsupported, mismatch, limit, device
     or internal
  2  wrong usage or an invalid value, before any work was done
  3  no usable face in any photo (error[no-face])
  130  cancelled by Ctrl-C; no output was written, but `train` saved its state

Environment:
  OMNIID_CHECKPOINT, OMNIID_MINIHOST, OMNIID_IMAGE_ENCODER, OMNIID_DETECTOR, OMNIID_VERIFIER, OMNIID_ASSETS,
  OMNIID_DEVICE, OMNIID_PRECISION and OMNIID_THREADS stand in for the options of the same name.
  Without a checkpoint the small model inside the program is used.

Examples:
  omniid demo --out demo-output
  omniid generate photos/anna --out anna.png
  omniid encode photos/anna -o anna.omniid --label Anna
  omniid compare anna.omniid ben.omniid
  omniid convert native -c ip-adapter-plus.safetensors --image-encoder clip.safetensors -o all-in-one.safetensors";

/// Identity conditioning for any diffusion runtime: photos of a person in, identity out.
#[derive(Parser)]
#[command(name = "omniid", version, after_help = AFTER_HELP, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: commands::Command,
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    // candle's threads spin while they wait, which takes the cores away from the kernels of this library. It reads the
    // variable when it first computes.
    if std::env::var_os("CANDLE_NUM_THREADS").is_none() {
        std::env::set_var("CANDLE_NUM_THREADS", "1");
    }
    progress::watch_interrupts();
    match commands::run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
