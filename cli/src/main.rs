//! The `omniid` program: photos in, identities and pictures out, and the tools around them.
//!
//! Results go to standard output, everything else to standard error. Exit codes are in [`failure`].

/// Prints a line to standard error. One that is closed or full, where `eprintln!` panics, stops nothing: nobody reads
/// it.
macro_rules! tell {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

mod args;
mod claim;
mod commands;
mod crops;
mod detector;
mod dropped;
mod embeddings;
mod examples;
mod failure;
mod input;
mod memory;
mod numpy;
mod output;
mod photos;
mod picture;
mod progress;
mod remedy;
mod signals;
mod views;
mod wildcards;

use clap::{CommandFactory, FromArgMatches, Parser};
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Exit codes:
  0  done
  1  failed; the message begins with error[KIND], where KIND is io, format, unsupported, mismatch, limit, device
     or internal
  2  wrong usage or an invalid value, before any work was done
  3  no usable face in any photo (error[no-face])
  130  cancelled by Ctrl-C (143: by SIGTERM, 129: by SIGHUP); nothing is half-written, and `train` saved its state

With --json, an error is an object on standard output, too: {\"error\": {\"kind\": KIND, \"message\": TEXT}}.

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
    /// Threads to compute with [default: one per processor].
    #[arg(long, global = true, value_name = "N", env = "OMNIID_THREADS", hide_env_values = true,
          value_parser = args::threads)]
    threads: Option<u16>,
    #[command(subcommand)]
    command: commands::Command,
}

/// Reads the arguments. Mistakes in them end the program here, with a JSON error where JSON is asked for.
fn parse() -> Cli {
    // A variable without a value is one that is not set.
    if std::env::var_os("OMNIID_THREADS").is_some_and(|value| value.is_empty()) {
        std::env::remove_var("OMNIID_THREADS");
    }
    let asks_json = std::env::args_os()
        .take_while(|argument| argument != "--")
        .any(|argument| argument == "--json");
    if asks_json {
        failure::report_as_json();
    }
    let command = args::with_negative_numbers(Cli::command());
    let cli = command
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches));
    cli.unwrap_or_else(|error| {
        if asks_json && error.use_stderr() {
            let text = error.render().to_string();
            let _ = output::print_json(&failure::as_json(
                "usage",
                text.trim_start_matches("error: ").trim_end(),
                None,
            ));
        }
        error.exit()
    })
}

/// Bounds the threads of both pools of this process: they read these variables when they are first used.
fn use_threads(threads: Option<u16>) {
    if let Some(threads) = threads {
        for name in ["OMNIID_THREADS", "RAYON_NUM_THREADS"] {
            std::env::set_var(name, threads.to_string());
        }
    }
}

fn main() -> ExitCode {
    signals::watch(failure::report_cancelled);
    let cli = parse();
    use_threads(cli.threads);
    // candle's threads spin while they wait, which takes the cores away from the kernels of this library. It reads the
    // variable when it first computes.
    if std::env::var_os("CANDLE_NUM_THREADS").is_none() {
        std::env::set_var("CANDLE_NUM_THREADS", "1");
    }
    match commands::run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
