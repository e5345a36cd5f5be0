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

use crate::arguments::{Command, Keliweb, OpenapiCommand};
use crate::clients::Context;
use crate::failure::Failure;
use crate::output::Report;

/// Runs a command.
pub async fn run(command: &Command, context: &Context) -> Result<Report, Failure> {
    match command {
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
        Command::Scope(command) => scope::run(command),
        Command::Status => status::run(context).await,
        Command::Emulator(arguments) => emulator::run(arguments, context).await,
        Command::Completions(arguments) => completions::run(arguments),
        Command::Man(arguments) => manual::run(arguments),
    }
}
