//! Where credentials come from: the first source that has a value counts. `docs/command-line.md` has the order.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::iter;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::Ordering;

use gettone::openapi::Environment;
use gettone::{Secret, keliweb, openapi};
use tokio::process::Command;

use crate::clients::Context;
use crate::failure::{Exit, Failure};
use crate::output::IS_ASKING;
use crate::settings::{Profile, Settings};

/// One value that a service wants.
pub struct Field {
    /// What to call it.
    pub name: &'static str,
    section: &'static str,
    keys: &'static [&'static str],
    variables: &'static [&'static str],
    is_hidden: bool,
    /// The field to use if no source has this one.
    general: Option<&'static Field>,
}

pub const OPENAPI_EMAIL: Field = Field {
    name: "e-mail address",
    section: "openapi",
    keys: &["email"],
    variables: &["OPENAPI_EMAIL", "OPENAPI_USERNAME"],
    is_hidden: false,
    general: None,
};
pub const OPENAPI_KEY: Field = Field {
    name: "API key",
    section: "openapi",
    keys: &["api_key"],
    variables: &["OPENAPI_API_KEY", "OPENAPI_KEY"],
    is_hidden: true,
    general: None,
};
pub const OPENAPI_SANDBOX_KEY: Field = Field {
    name: "API key of the sandbox",
    section: "openapi",
    keys: &["sandbox_api_key"],
    variables: &["OPENAPI_SANDBOX_KEY"],
    is_hidden: true,
    general: Some(&OPENAPI_ANY_KEY),
};
/// The key of an account without one for the sandbox.
const OPENAPI_ANY_KEY: Field = Field { variables: &["OPENAPI_API_KEY"], ..OPENAPI_KEY };
pub const KELIWEB: [Field; 4] = [
    keliweb_field("client id", &["client_id"], &["KELIWEB_CLIENT_ID"], false),
    keliweb_field("client secret", &["client_secret"], &["KELIWEB_CLIENT_SECRET"], true),
    keliweb_field("user name", &["username"], &["KELIWEB_USERNAME"], false),
    keliweb_field("password", &["password"], &["KELIWEB_PASSWORD"], true),
];

const fn keliweb_field(
    name: &'static str,
    keys: &'static [&'static str],
    variables: &'static [&'static str],
    is_hidden: bool,
) -> Field {
    Field { name, section: "keliweb", keys, variables, is_hidden, general: None }
}

/// The value of a field, and where it is.
pub struct Located {
    /// The name of the source.
    pub source: String,
    value: Value,
}

enum Value {
    Text(Secret),
    File(PathBuf),
    Command(Vec<String>),
}

/// Returns the source in force. `None` if no source has a value.
pub fn locate(field: &Field, settings: &Settings) -> Option<Located> {
    let all = || iter::once(field).chain(field.general);
    let given = settings.credentials.as_ref();
    let given = given.and_then(|file| all().find_map(|field| in_profile(field, file)));
    given.or_else(|| {
        all().find_map(|field| {
            in_systemd(field).or_else(|| in_environment(field)).or_else(|| in_profile(field, &settings.profile))
        })
    })
}

/// Returns what an environment variable says. An empty one counts as unset, and one with nothing but blanks too.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

fn in_systemd(field: &Field) -> Option<Located> {
    let folder = PathBuf::from(variable("CREDENTIALS_DIRECTORY")?);
    let files = field.variables.iter().map(|variable| folder.join(variable.to_ascii_lowercase()));
    let file = files.into_iter().find(|file| file.is_file())?;
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Some(Located { source: format!("systemd credential {name}"), value: Value::File(file) })
}

fn in_environment(field: &Field) -> Option<Located> {
    field.variables.iter().find_map(|name| {
        if let Some(value) = variable(name) {
            return Some(Located { source: format!("variable {name}"), value: Value::Text(value.into()) });
        }
        let file = variable(&format!("{name}_FILE"))?;
        Some(Located { source: format!("file of the variable {name}_FILE"), value: Value::File(file.into()) })
    })
}

fn in_profile(field: &Field, profile: &Profile) -> Option<Located> {
    field.keys.iter().find_map(|key| {
        if let Some(text) = profile.value(field.section, key) {
            return Some(Located { source: profile.name.clone(), value: Value::Text(text.into()) });
        }
        let command = profile.command(field.section, key)?;
        Some(Located { source: format!("{key}_command in {}", profile.name), value: Value::Command(command) })
    })
}

impl Located {
    /// Reads the value. A line break at its end does not belong to it.
    pub async fn read(self, is_interactive: bool) -> Result<Secret, Failure> {
        let Self { source, value } = self;
        let text = match value {
            Value::Text(text) => return Ok(text),
            // A pipe may let the program wait.
            Value::File(path) => tokio::task::spawn_blocking({
                let path = path.clone();
                move || fs::read_to_string(path)
            })
            .await
            .map_err(io::Error::from)
            .flatten()
            .map_err(|error| Failure::credentials(format!("{source}: cannot read {}: {error}", path.display())))?,
            Value::Command(command) => run(&source, &command, is_interactive).await?,
        };
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(Failure::credentials(format!("{source}: it is empty; write the value into it"))),
            text => Ok(text.into()),
        }
    }
}

/// Runs a command, and returns what it prints. Its stderr is that of this program, where it may ask for a password.
async fn run(source: &str, command: &[String], is_interactive: bool) -> Result<String, Failure> {
    let failed = |reason: String| Failure::credentials(format!("{source}: {reason}"));
    let Some((program, arguments)) = command.split_first() else { return Err(failed("it is empty".to_owned())) };
    let stdin = if is_interactive { Stdio::inherit() } else { Stdio::null() };
    let run = Command::new(program).args(arguments).stdin(stdin).stderr(Stdio::inherit()).kill_on_drop(true).output();
    // The user may have written the secret itself in place of a program.
    let output =
        run.await.map_err(|error| failed(format!("cannot run its first word: {error}; name a program there")))?;
    if !output.status.success() {
        return Err(failed(format!("{program} failed: {}", output.status)));
    }
    String::from_utf8(output.stdout).map_err(|_| failed(format!("{program} printed something that is not UTF-8")))
}

/// Returns the value of a field from its source, or asks for it at a terminal. Notes the source.
async fn find(service: &str, field: &Field, context: &Context) -> Result<Secret, Failure> {
    let settings = &context.settings;
    let is_interactive = !settings.no_input && io::stdin().is_terminal() && io::stderr().is_terminal();
    let located = locate(field, settings);
    let source = located.as_ref().map_or("the terminal", |located| &located.source);
    context.note_source(field.name, source);
    match located {
        Some(located) => located.read(is_interactive).await,
        None if is_interactive => ask(service, field).await,
        None => Err(missing(service, field)),
    }
}

fn missing(service: &str, field: &Field) -> Failure {
    let variables: Vec<_> = iter::once(field).chain(field.general).flat_map(|field| field.variables).copied().collect();
    let (variables, key) = (variables.join(" or "), field.keys.first().copied().unwrap_or_default());
    Failure::credentials(format!(
        "{service}: no {}; set {variables}, or `{key}` under [default.{}] in the configuration file",
        field.name, field.section
    ))
}

/// The terminal as it was before a hidden question.
#[cfg(unix)]
static TERMINAL: std::sync::OnceLock<rustix::termios::Termios> = std::sync::OnceLock::new();

/// Makes the terminal hide what the user types. `rpassword` does that on the thread that waits for the answer, and a signal may come before:
/// then the terminal would go on hiding it.
#[cfg(unix)]
fn hide_typing() -> io::Result<()> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

    let mut terminal = tcgetattr(io::stdin())?;
    TERMINAL.get_or_init(|| terminal.clone());
    terminal.local_modes.remove(LocalModes::ECHO);
    terminal.local_modes.insert(LocalModes::ECHONL);
    Ok(tcsetattr(io::stdin(), OptionalActions::Now, &terminal)?)
}

#[cfg(not(unix))]
fn hide_typing() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Makes the terminal show again what the user types.
pub fn restore_terminal() {
    #[cfg(unix)]
    if let Some(terminal) = TERMINAL.get() {
        let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, terminal);
    }
}

/// Asks at the terminal, and hides the answer if it is a secret.
async fn ask(service: &str, field: &Field) -> Result<Secret, Failure> {
    let failed = |error| Failure::credentials(format!("{service}: cannot ask for the {}: {error}", field.name));
    if field.is_hidden {
        hide_typing().map_err(failed)?;
    }
    write!(io::stderr(), "{} of {service}: ", field.name).map_err(failed)?;
    IS_ASKING.store(true, Ordering::Relaxed);
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let answer = answer.await.map_err(io::Error::from).flatten();
    restore_terminal();
    IS_ASKING.store(false, Ordering::Relaxed);
    let answer = answer.map_err(|error| match error.kind() {
        // By a signal.
        io::ErrorKind::Interrupted => Failure::new(Exit::Interrupted, "interrupted"),
        _ => failed(error),
    })?;
    match answer.trim_end_matches(['\r', '\n']) {
        "" => Err(missing(service, field)),
        answer => Ok(answer.into()),
    }
}

/// Returns the field of the API key, which is another one in the sandbox.
pub fn openapi_key(environment: Environment) -> &'static Field {
    match environment {
        Environment::Sandbox => &OPENAPI_SANDBOX_KEY,
        _ => &OPENAPI_KEY,
    }
}

pub async fn openapi(environment: Environment, context: &Context) -> Result<openapi::Credentials, Failure> {
    const SERVICE: &str = "Openapi.it";
    let email = find(SERVICE, &OPENAPI_EMAIL, context).await?;
    let key = find(SERVICE, openapi_key(environment), context).await?;
    Ok(openapi::Credentials::new(email.expose(), key))
}

pub async fn keliweb(context: &Context) -> Result<keliweb::Credentials, Failure> {
    const SERVICE: &str = "Keliweb Fatture";
    let [id, secret, username, password] = &KELIWEB;
    let id = find(SERVICE, id, context).await?;
    let secret = find(SERVICE, secret, context).await?;
    let username = find(SERVICE, username, context).await?;
    let password = find(SERVICE, password, context).await?;
    Ok(keliweb::Credentials::new(id.expose(), secret, username.expose(), password))
}
