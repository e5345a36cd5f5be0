//! `completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::arguments;
use crate::failure::Failure;
use crate::output::Report;

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  gettone completions bash > ~/.local/share/bash-completion/completions/gettone")]
pub struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut arguments::Arguments::command(), "gettone", &mut text);
    let text = String::from_utf8(text).map_err(|_| Failure::other("the completions are not UTF-8"))?;
    Ok(Report::text(text.clone(), &text))
}
