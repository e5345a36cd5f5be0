//! `man`.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use crate::arguments;
use crate::failure::Failure;
use crate::output::Report;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gettone man | man -l -
  gettone man ~/.local/share/man/man1")]
pub struct Arguments {
    /// Write a page for each command to this folder
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<Report, Failure> {
    // `help` is a command without a page.
    let mut command = arguments::Arguments::command().disable_help_subcommand(true);
    let failed = |error: std::io::Error| Failure::other(format!("cannot write the manual: {error}"));
    if let Some(folder) = &arguments.folder {
        std::fs::create_dir_all(folder).map_err(failed)?;
        clap_mangen::generate_to(command, folder).map_err(failed)?;
        let folder = folder.display().to_string();
        return Ok(Report::text(format!("wrote the pages to {folder}\n"), &folder));
    }
    command.build();
    let mut text = Vec::new();
    Man::new(command).render(&mut text).map_err(failed)?;
    let text = String::from_utf8(text).map_err(|_| Failure::other("the manual is not UTF-8"))?;
    Ok(Report::text(text.clone(), &text))
}
