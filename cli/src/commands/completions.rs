//! `omniid completions`

use crate::failure::Outcome;
use crate::output;
use clap::CommandFactory;

const EXAMPLES: &str = "\
Examples:
  omniid completions bash > ~/.local/share/bash-completion/completions/omniid
  omniid completions zsh > ~/.zfunc/_omniid";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

pub fn run(args: Args) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "omniid", &mut script);
    output::print(String::from_utf8_lossy(&script))
}
