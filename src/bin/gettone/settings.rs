//! What the options, the environment and the configuration file say together.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use gettone::openapi::Environment;
use percent_encoding::percent_decode_str;
use toml::de::DeTable;
use toml::{Table, Value};

use crate::arguments::{ApiVersion, Global};
use crate::failure::Failure;

/// The settings of a run.
pub struct Settings {
    /// `None` if neither an option nor the profile says which.
    pub environment: Option<Environment>,
    pub api_version: Option<ApiVersion>,
    pub store: StoreChoice,
    pub no_input: bool,
    pub profile: Profile,
    /// What `--credentials` names.
    pub credentials: Option<Profile>,
}

/// Refuses a variable that cannot be read. Otherwise another source would count, or the vendor's own address.
fn check_variables() -> Result<(), Failure> {
    let is_ours = |name: &str| ["GETTONE_", "KELIWEB_", "OPENAPI_"].iter().any(|begin| name.starts_with(begin));
    for (name, value) in std::env::vars_os() {
        // A path may be any text.
        if let Some(name) = name.to_str().filter(|name| is_ours(name) && *name != "GETTONE_STORE")
            && value.to_str().is_none()
        {
            return Err(Failure::usage(format!("{name}: it is not UTF-8")));
        }
    }
    Ok(())
}

/// Where tokens are kept.
pub enum StoreChoice {
    File(PathBuf),
    /// The URL may contain a password.
    Redis(String),
    None,
}

/// A table of a configuration file, and what to call it. `Table` would print secrets, so it has no `Debug`.
pub struct Profile {
    pub name: String,
    table: Table,
}

/// The keys of a profile. A key that is not one of these is an error, since it is a typing mistake.
const KEYS: [&str; 5] = ["api_version", "environment", "keliweb", "openapi", "store"];
/// The keys of its tables `openapi` and `keliweb`. Each may end with `_command`.
const SECTION_KEYS: [(&str, &[&str]); 2] = [
    ("openapi", &["email", "api_key", "sandbox_api_key", "url", "sandbox_url", "v1_url", "v1_sandbox_url"]),
    ("keliweb", &["client_id", "client_secret", "username", "password", "url"]),
];
/// The keys of secrets.
const SECRETS: [&str; 4] = ["api_key", "sandbox_api_key", "client_secret", "password"];

impl Settings {
    /// Reads the files of the settings. One may be a pipe that lets the program wait.
    pub async fn read(global: &Global) -> Result<Self, Failure> {
        let global = global.clone();
        let read = tokio::task::spawn_blocking(move || Self::read_now(&global)).await;
        read.map_err(|error| Failure::other(format!("cannot read the settings: {error}")))?
    }

    fn read_now(global: &Global) -> Result<Self, Failure> {
        check_variables()?;
        let profile = Profile::read(global)?;
        let credentials = global.credentials.as_deref().map(Profile::credentials).transpose()?;
        let environment = match (global.sandbox, global.production) {
            (true, _) => Some(Environment::Sandbox),
            (_, true) => Some(Environment::Production),
            _ => profile.environment()?,
        };
        let api_version = match profile.table.get("api_version") {
            None => None,
            Some(Value::Integer(1)) => Some(ApiVersion::V1),
            Some(Value::Integer(2)) => Some(ApiVersion::V2),
            Some(_) => return Err(profile.wrong("api_version: expected 1 or 2")),
        };
        let store = StoreChoice::read(global, &profile)?;
        Ok(Self { environment, api_version, store, no_input: global.no_input, profile, credentials })
    }
}

impl StoreChoice {
    fn read(global: &Global, profile: &Profile) -> Result<Self, Failure> {
        if let Some(store) = &global.store {
            let choice = Self::of("--store", store.as_ref())?;
            if matches!(&choice, Self::Redis(url) if has_password(url)) {
                return Err(Failure::usage(
                    "--store: a URL with a password, which other users can read in the list of processes; put the URL into the variable \
                     GETTONE_STORE, or into the configuration file as `store`",
                ));
            }
            return Ok(choice);
        }
        if let Some(store) = std::env::var_os("GETTONE_STORE").filter(|store| !store.is_empty()) {
            return Self::of("GETTONE_STORE", store.as_ref());
        }
        match profile.text("store") {
            Some(store) => Self::of(&format!("{}: store", profile.name), store.as_ref()),
            None => folder("XDG_STATE_HOME", ".local/state")
                .map(|folder| Self::File(folder.join("gettone/tokens.json")))
                .ok_or_else(|| Failure::usage("no folder for tokens: set HOME, or use --store FILE or --store none")),
        }
    }

    /// Reads a store. An error names where it was written, and never shows a URL, which may contain a password.
    fn of(place: &str, store: &Path) -> Result<Self, Failure> {
        const SCHEMES: [&str; 5] = ["redis", "rediss", "valkey", "valkeys", "unix"];

        let is_known = |scheme: &str| {
            // Also `redis+sentinel` and the like.
            let scheme = scheme.split('+').next().unwrap_or_default();
            SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known))
        };
        let text = store.to_string_lossy();
        if let Some((scheme, rest)) = text.split_once("://")
            && is_known(scheme)
            && store.to_str().is_some()
        {
            return Ok(Self::Redis(format!("{}://{rest}", scheme.to_ascii_lowercase())));
        }
        // A URL with a typing mistake would be a file with the password in its name. A path of Windows has a `:` after its drive.
        let has_login = has_login(&text) && !(cfg!(windows) && store.is_absolute());
        let has_scheme = text.contains("://") || text.split_once(':').is_some_and(|(scheme, _)| is_known(scheme));
        if has_scheme || has_login {
            let schemes = SCHEMES.map(|scheme| format!("{scheme}://")).join(", ");
            return Err(Failure::usage(format!(
                "{place}: not a URL of a store; expected one of {schemes}; the name of a file must not begin with `redis:` or the like, \
                 or contain a `:` before an `@`"
            )));
        }
        match &*text {
            "none" => Ok(Self::None),
            "" => Err(Failure::usage(format!("{place}: it is empty; name a file, or write none"))),
            text if text.starts_with("~/") => {
                Err(Failure::usage(format!("{place}: only a shell knows `~`; write the whole path")))
            }
            _ => Ok(Self::File(store.to_owned())),
        }
    }
}

/// Returns whether a text looks like one with a user and a password.
fn has_login(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(before, _)| before.contains(':'))
}

fn has_password(url: &str) -> bool {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = after_scheme.split(['/', '?', '#']).next().unwrap_or_default();
    // The store decodes the query: `p%61ss=` is `pass=`.
    let decoded = percent_decode_str(url).decode_utf8_lossy();
    authority.contains('@') || has_login(after_scheme) || decoded.contains("password=") || decoded.contains("pass=")
}

/// Returns a folder of the XDG base directory specification. A relative path counts as unset there.
fn folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let set = std::env::var_os(variable).map(PathBuf::from).filter(absolute);
    set.or_else(|| std::env::home_dir().filter(absolute).map(|home| home.join(below_home)))
}

impl Profile {
    /// Reads the profile in force.
    fn read(global: &Global) -> Result<Self, Failure> {
        let default = || folder("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("gettone/config.toml"));
        let path = global.config.clone().or_else(default);
        let contents = path.as_ref().map_or(Ok(None), |path| Contents::of(path))?;
        let Some(contents) = contents else {
            return match path {
                Some(path) if global.config.is_some() => Err(Failure::usage(format!(
                    "configuration file {}: it does not exist; correct the path",
                    path.display()
                ))),
                _ if global.profile.is_some() => {
                    Err(Failure::usage("--profile: there is no configuration file; write one, or leave --profile out"))
                }
                _ => Ok(Self { name: "the configuration file".to_owned(), table: Table::new() }),
            };
        };
        let mut profiles = contents.profiles()?;
        match profiles.remove(global.profile.as_deref().unwrap_or("default")) {
            Some(profile) => Ok(profile),
            None if global.profile.is_none() => {
                Ok(Self { name: contents.path.display().to_string(), table: Table::new() })
            }
            None => Err(Failure::usage(format!(
                "--profile: {} has no such profile; its profiles are {:?}",
                contents.path.display(),
                profiles.keys().collect::<Vec<_>>()
            ))),
        }
    }

    /// Reads a file of credentials: the tables `openapi` and `keliweb` of a profile.
    fn credentials(path: &Path) -> Result<Self, Failure> {
        let contents = if path == Path::new("-") {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(|error| Failure::credentials(format!("--credentials -: cannot read stdin: {error}")))?;
            Contents { path: "-".into(), text, file: None }
        } else {
            Contents::of(path)?.ok_or_else(|| {
                Failure::credentials(format!(
                    "--credentials {}: there is no such file; correct the path",
                    path.display()
                ))
            })?
        };
        let profile = Self { name: format!("--credentials {}", path.display()), table: contents.table()? };
        profile.check()?;
        profile.check_credentials()?;
        contents.check_permissions(&profile)?;
        Ok(profile)
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.table.get(key)?.as_str()
    }

    fn environment(&self) -> Result<Option<Environment>, Failure> {
        let environment = self.text("environment").map(str::parse).transpose();
        environment.map_err(|_| self.wrong("environment: expected `production` or `sandbox`"))
    }

    /// Returns a value of the table `openapi` or `keliweb`.
    pub fn value(&self, section: &str, key: &str) -> Option<&str> {
        self.table.get(section)?.get(key)?.as_str()
    }

    /// Returns the command that prints a value.
    pub fn command(&self, section: &str, key: &str) -> Option<Vec<String>> {
        let command = self.table.get(section)?.get(format!("{key}_command"))?.as_array()?;
        Some(command.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect())
    }

    fn has_secret(&self) -> bool {
        let in_store = self.text("store").is_some_and(has_password);
        in_store || SECTION_KEYS.iter().any(|(section, _)| SECRETS.iter().any(|key| self.value(section, key).is_some()))
    }

    /// Returns whether somebody who can write to the file could get secrets, or run programs.
    fn needs_trust(&self) -> bool {
        let tables = self.table.values().filter_map(Value::as_table);
        tables.flat_map(Table::keys).any(|key| is_address(key) || key.ends_with("_command"))
    }

    fn wrong(&self, reason: impl std::fmt::Display) -> Failure {
        Failure::usage(format!("{}: {reason}", self.name))
    }

    /// Checks keys and types. An error names the key, and never shows the value.
    fn check(&self) -> Result<(), Failure> {
        if let Some(key) = self.table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(self.wrong(format!("unknown key {key:?}; expected one of {}", KEYS.join(", "))));
        }
        if let Some(key) =
            ["environment", "store"].iter().find(|key| self.table.get(**key).is_some_and(|value| !value.is_str()))
        {
            return Err(self.wrong(format!("{key}: expected a text")));
        }
        SECTION_KEYS.iter().try_for_each(|(section, keys)| self.check_section(section, keys))
    }

    /// Refuses what a file of credentials has no effect on, such as the environment.
    fn check_credentials(&self) -> Result<(), Failure> {
        let above = self.table.iter().filter(|(_, value)| !value.is_table()).map(|(key, _)| key.as_str());
        let tables = self.table.values().filter_map(Value::as_table);
        let within = tables.flat_map(Table::keys).map(String::as_str).filter(|key| is_address(key));
        match above.chain(within).next() {
            Some(key) => {
                Err(self.wrong(format!("{key:?} is no credential; write it into a profile of the configuration file")))
            }
            None => Ok(()),
        }
    }

    fn check_section(&self, section: &str, keys: &[&str]) -> Result<(), Failure> {
        let table = match self.table.get(section) {
            None => return Ok(()),
            Some(Value::Table(table)) => table,
            Some(_) => return Err(self.wrong(format!("{section}: expected a table"))),
        };
        for (key, value) in table {
            let is_command = key.strip_suffix("_command").is_some_and(|key| keys.contains(&key) && !is_address(key));
            let is_right = match value {
                Value::String(text) => !is_command && !text.is_empty(),
                Value::Array(words) => is_command && !words.is_empty() && words.iter().all(Value::is_str),
                _ => false,
            };
            if !is_command && !keys.contains(&key.as_str()) {
                let keys = keys.join(", ");
                return Err(
                    self.wrong(format!("{section}: unknown key {key:?}; expected one of {keys}, or one with _command"))
                );
            }
            if !is_right {
                let expected = if is_command {
                    "a list of texts: a program and its arguments"
                } else {
                    "a text that is not empty"
                };
                return Err(self.wrong(format!("{section}.{key}: expected {expected}")));
            }
        }
        Ok(())
    }
}

/// Returns whether a key of a table is that of an address.
fn is_address(key: &str) -> bool {
    key.ends_with("url")
}

/// The longest file that is read.
const MAX_LENGTH: u64 = 1 << 20;

struct Contents {
    path: PathBuf,
    text: String,
    file: Option<File>,
}

impl Contents {
    /// Reads a file. `None` if there is none.
    fn of(path: &Path) -> Result<Option<Self>, Failure> {
        let failed = |error: std::io::Error| Failure::other(format!("cannot read {}: {error}", path.display()));
        let file = match File::open(path) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let mut text = String::new();
        let length = (&file).take(MAX_LENGTH + 1).read_to_string(&mut text).map_err(failed)?;
        if length as u64 > MAX_LENGTH {
            return Err(Failure::other(format!("{}: larger than 1 MiB; name a smaller file", path.display())));
        }
        Ok(Some(Self { path: path.to_owned(), text, file: Some(file) }))
    }

    /// Reads the profiles. Each is checked, also if it is not used: the file may contain secrets of several accounts.
    fn profiles(&self) -> Result<BTreeMap<String, Profile>, Failure> {
        let (mut profiles, path) = (BTreeMap::new(), self.path.display());
        for (name, value) in self.table()? {
            let Value::Table(table) = value else {
                return Err(Failure::usage(format!("{path}: {name:?} is in no profile; write it below [default]")));
            };
            let profile = Profile { name: format!("profile {name} of {path}"), table };
            profile.check()?;
            if let Err(failure) = profile.environment() {
                return Err(failure.with(format!("see line {}", self.line_of(&name, "environment"))));
            }
            self.check_permissions(&profile)?;
            profiles.insert(name, profile);
        }
        Ok(profiles)
    }

    /// Reads TOML. The library's own message would show the line, which may contain a secret.
    fn table(&self) -> Result<Table, Failure> {
        self.text.parse().map_err(|error: toml::de::Error| {
            let line = self.line_at(error.span().map_or(0, |span| span.start));
            Failure::usage(format!("{}: line {line} is not TOML", self.path.display()))
        })
    }

    /// Returns the line of a key of a profile.
    fn line_of(&self, profile: &str, key: &str) -> usize {
        let table = DeTable::parse(&self.text).ok();
        let span = table.as_ref().and_then(|table| Some(table.get_ref().get(profile)?.get_ref().get(key)?.span()));
        self.line_at(span.map_or(0, |span| span.start))
    }

    fn line_at(&self, position: usize) -> usize {
        self.text.get(..position).unwrap_or_default().matches('\n').count() + 1
    }

    /// Refuses a file with a secret that other users can read, and one with a command or an address that they can write to.
    #[cfg(unix)]
    fn check_permissions(&self, profile: &Profile) -> Result<(), Failure> {
        use std::os::unix::fs::MetadataExt;

        let Some(file) = &self.file else { return Ok(()) };
        let path = self.path.display();
        let metadata = file.metadata().map_err(|error| Failure::other(format!("cannot read {path}: {error}")))?;
        // A pipe, such as that of `<(…)`, is its own protection.
        if !metadata.is_file() {
            return Ok(());
        }
        let (user, owner, mode) = (rustix::process::geteuid().as_raw(), metadata.uid(), metadata.mode());
        if profile.needs_trust() && (![user, 0].contains(&owner) || mode & 0o022 != 0) {
            return Err(Failure::other(format!(
                "{path} contains a command or an address, and other users can write to it: chown it, and chmod go-w '{path}'"
            )));
        }
        if !profile.has_secret() {
            return Ok(());
        }
        if owner != user {
            return Err(Failure::other(format!(
                "{path} contains a secret and belongs to another user: chown it, or copy it"
            )));
        }
        if mode & 0o077 != 0 {
            let advice = format!("chmod 600 '{path}'");
            return Err(Failure::other(format!(
                "{path} contains a secret, and other users can read it or write to it: {advice}"
            )));
        }
        Ok(())
    }

    #[cfg(not(unix))]
    fn check_permissions(&self, _: &Profile) -> Result<(), Failure> {
        Ok(())
    }
}
