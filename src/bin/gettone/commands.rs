//! The commands: a module for each group.

pub mod account;
pub mod completions;
pub mod emulator;
pub mod keliweb;
pub mod manual;
pub mod scope;
pub mod status;
pub mod token;
pub mod tokens;

use std::sync::OnceLock;

use crate::arguments::{Command, Global, Keliweb, OpenapiCommand};
use crate::clients::Context;
use crate::failure::Failure;
use crate::output::{Output, Report};
use crate::settings::Settings;

/// Runs a command, and sets `context` once it has read the settings.
pub async fn run(
    command: &Command,
    global: &Global,
    output: Output,
    context: &OnceLock<Context>,
) -> Result<Report, Failure> {
    // These need no settings, so a wrong configuration does not stop them.
    match command {
        Command::Scope(command) => return scope::run(command),
        Command::Emulator(arguments) => return emulator::run(arguments, output).await,
        Command::Completions(arguments) => return completions::run(arguments),
        Command::Man(arguments) => return manual::run(arguments),
        Command::Openapi(_) | Command::Keliweb(_) | Command::Status => {}
    }
    let settings = Settings::read(global).await?;
    let context = context.get_or_init(|| Context::new(settings, output));
    let result = match command {
        Command::Openapi(openapi) => {
            let version = context.api_version(openapi.api_version);
            match &openapi.command {
                OpenapiCommand::Token(arguments) => token::openapi(arguments, version, context).await,
                OpenapiCommand::Account(command) => account::run(command, version, context).await,
            }
        }
        Command::Keliweb(Keliweb::Token(arguments)) => token::keliweb(arguments, context).await,
        Command::Keliweb(Keliweb::Refresh(arguments)) => token::refresh(arguments, context).await,
        Command::Keliweb(Keliweb::Logout) => keliweb::logout(context).await,
        _ => status::run(context).await,
    };
    result.map_err(|failure| context.with_sources(failure))
}
