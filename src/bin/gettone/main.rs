//! Tokens of Openapi.it and Keliweb Fatture on the command line. `docs/command-line.md` explains it.
#![forbid(unsafe_code)]

mod arguments;
mod clients;
mod commands;
mod credentials;
mod events;
mod failure;
mod kept;
mod observed;
mod output;
#[cfg(all(test, feature = "schemars"))]
mod schemas;
mod settings;
mod table;
mod times;

use std::future::{Future, pending};
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use gettone::clock::{Clock, SystemClock};

use arguments::{Arguments, Color, Command};
use clients::Context;
use failure::{Exit, Failure};
use output::Output;

/// After this time, the program tells a person at a terminal that it waits.
const PATIENCE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return unparsed(error),
    };
    let global = &arguments.global;
    let output = Output { is_json: global.json, is_quiet: global.quiet, color: global.color };
    if global.verbose {
        events::print();
    }
    match run(&arguments, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.fail(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// Prints the help or the version, or what is wrong with the arguments.
fn unparsed(mut error: clap::Error) -> ExitCode {
    hide_values(&mut error);
    let is_json = std::env::args_os().any(|argument| argument == "--json");
    let output = Output { is_json, is_quiet: false, color: Color::Never };
    let text = error.render().to_string();
    let failure = if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand && !is_json {
        output.note(text.trim_end());
        return ExitCode::from(Exit::Usage as u8);
    } else if error.use_stderr() {
        let text = text.trim_end();
        Failure::usage(text.strip_prefix("error: ").unwrap_or(text))
    } else {
        match output.stdout(text.as_bytes()) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(failure) => failure,
        }
    };
    output.fail(&failure);
    ExitCode::from(failure.exit as u8)
}

/// Leaves what was typed out of an error, as it may be a token by mistake. The names of real options stay.
fn hide_values(error: &mut clap::Error) {
    const HIDDEN: &str = "...";

    // The tip to write it after `--`. The names of similar options and commands are contexts of their own.
    error.remove(ContextKind::Suggested);
    for kind in [ContextKind::InvalidValue, ContextKind::InvalidSubcommand, ContextKind::InvalidArg] {
        // In other errors, the argument is a real option.
        let is_typed = kind != ContextKind::InvalidArg || error.kind() == ErrorKind::UnknownArgument;
        if is_typed && matches!(error.get(kind), Some(ContextValue::String(_))) {
            error.insert(kind, ContextValue::String(HIDDEN.to_owned()));
        }
    }
}

fn run(arguments: &Arguments, output: Output) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::other(format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(supervised(arguments, output));
    if result.is_err() {
        credentials::restore_terminal();
    }
    // A question that nobody answered, or a slow disk, does not keep the program from ending.
    runtime.shutdown_background();
    output.print(&result?)
}

/// Runs a command until it ends, a signal ends it, or its time is over.
async fn supervised(arguments: &Arguments, output: Output) -> Result<output::Report, Failure> {
    let Arguments { global, command } = arguments;
    let (clock, context) = (SystemClock::default(), OnceLock::new());
    let limit = async {
        match global.timeout {
            Some(limit) => clock.sleep(limit).await,
            None => pending().await,
        }
    };
    let ended = |failure| {
        Err(match context.get() {
            Some(context) => Context::after_what_was_done(context, failure),
            None => failure,
        })
    };
    tokio::select! {
        biased;
        result = commands::run(command, global, output, &context) => result,
        exit = signal() => ended(Failure::new(exit, "interrupted")),
        () = limit => {
            ended(Failure::new(Exit::TryLater, "no result in time; the service may have carried out the request"))
        }
        never = progress(command, output, &clock) => match never {},
    }
}

/// Tells a person at a terminal that the command waits.
async fn progress(command: &Command, output: Output, clock: &SystemClock) -> std::convert::Infallible {
    let service = match command {
        Command::Openapi(_) => "Openapi.it",
        Command::Keliweb(_) => "Keliweb Fatture",
        _ => return pending().await,
    };
    clock.sleep(PATIENCE).await;
    if io::stderr().is_terminal() && !output::IS_ASKING.load(Ordering::Relaxed) {
        output.note(&format!("waiting for {service} ..."));
    }
    pending().await
}

/// Waits for a signal that ends the program, and returns the exit code for it.
#[cfg(unix)]
fn signal() -> impl Future<Output = Exit> {
    use tokio::signal::unix::{SignalKind, signal};

    async fn of(kind: SignalKind, exit: Exit) -> Exit {
        match signal(kind) {
            Ok(mut signal) => {
                signal.recv().await;
                exit
            }
            // Without a handler the signal ends the program all the same.
            Err(_) => pending().await,
        }
    }
    async {
        tokio::select! {
            exit = of(SignalKind::interrupt(), Exit::Interrupted) => exit,
            exit = of(SignalKind::terminate(), Exit::Terminated) => exit,
        }
    }
}

#[cfg(not(unix))]
async fn signal() -> Exit {
    match tokio::signal::ctrl_c().await {
        Ok(()) => Exit::Interrupted,
        Err(_) => pending().await,
    }
}
