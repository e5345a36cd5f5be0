//! The program, its folders and the services that it talks to.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use gettone::emulator::{Account, Customer, Emulator, EmulatorBuilder};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_gettone");
pub const SCOPE: &str = "GET:127.0.0.1/echo";

/// What the program must never show. The account and the customer have these; the tokens are the emulator's.
pub const API_KEY: &str = "planted-key-71f0";
pub const SANDBOX_KEY: &str = "planted-sandbox-key-02ce";
pub const CLIENT_SECRET: &str = "planted-client-secret-9d3a";
pub const PASSWORD: &str = "planted-password-e5b8";

/// Longer than any of these runs takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// An emulator, a home, and the variables of a run.
pub struct World {
    pub emulator: Emulator,
    pub home: PathBuf,
    variables: Vec<(String, String)>,
}

/// The output of a run, and its exit code.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Returns the line on stdout of a run that succeeded.
    #[track_caller]
    pub fn line(&self) -> &str {
        assert_eq!(self.code, 0, "{self:?}");
        assert_eq!(self.stdout.matches('\n').count(), 1, "{self:?}");
        self.stdout.trim_end()
    }

    /// Returns the JSON on stdout, which is the only thing there.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that a run failed with this code, and printed nothing but why.
    #[track_caller]
    pub fn fails(&self, code: i32, reason: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{self:?}");
        assert!(self.stderr.contains(reason), "{self:?} lacks {reason:?}");
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(Emulator::builder()).await
    }

    pub async fn with(builder: EmulatorBuilder) -> Self {
        let account = Account::new("test@example.com", API_KEY, SANDBOX_KEY);
        let customer = Customer::new("client-id", CLIENT_SECRET, "customer@example.com", PASSWORD);
        let emulator = builder.account(account).customer(customer).throttle(None).start().await.unwrap();
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let home = std::env::temp_dir().join(format!("gettone-cli-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home).unwrap();
        let variables = [
            ("GETTONE_OPENAPI_URL", emulator.production_v2_url()),
            ("GETTONE_OPENAPI_SANDBOX_URL", emulator.sandbox_v2_url()),
            ("GETTONE_OPENAPI_V1_URL", emulator.production_url()),
            ("GETTONE_OPENAPI_V1_SANDBOX_URL", emulator.sandbox_url()),
            ("GETTONE_KELIWEB_URL", emulator.keliweb_url()),
            ("OPENAPI_EMAIL", "test@example.com".to_owned()),
            ("OPENAPI_API_KEY", API_KEY.to_owned()),
            ("OPENAPI_SANDBOX_KEY", SANDBOX_KEY.to_owned()),
            ("KELIWEB_CLIENT_ID", "client-id".to_owned()),
            ("KELIWEB_CLIENT_SECRET", CLIENT_SECRET.to_owned()),
            ("KELIWEB_USERNAME", "customer@example.com".to_owned()),
            ("KELIWEB_PASSWORD", PASSWORD.to_owned()),
        ];
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { emulator, home, variables }
    }

    /// Sets a variable for the runs from now on.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.unset(name);
        self.variables.push((name.to_owned(), value.into()));
    }

    pub fn unset(&mut self, name: &str) {
        self.variables.retain(|(known, _)| known != name);
    }

    /// Unsets all variables with credentials.
    pub fn unset_credentials(&mut self) {
        self.variables.retain(|(name, _)| name.starts_with("GETTONE_"));
    }

    /// Returns a command with a clean environment. The program is on its `PATH`.
    pub fn any(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let folder = Path::new(PROGRAM).parent().unwrap().to_str().unwrap();
        command.env_clear().env("HOME", &self.home).env("PATH", format!("{folder}:/usr/local/bin:/usr/bin:/bin"));
        command.envs(self.variables.iter().cloned()).current_dir(&self.home).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.any(PROGRAM);
        command.args(arguments);
        command
    }

    pub async fn run(&self, arguments: &[&str]) -> Run {
        wait(self.command(arguments).spawn().unwrap()).await
    }

    /// Runs the program with a text on stdin.
    pub async fn run_with(&self, arguments: &[&str], stdin: &str) -> Run {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        pipe.write_all(stdin.as_bytes()).await.unwrap();
        drop(pipe);
        wait(child).await
    }

    /// Runs a line of bash.
    pub async fn bash(&self, script: &str) -> Run {
        wait(self.any("bash").args(["-euo", "pipefail", "-c", script]).spawn().unwrap()).await
    }

    /// Writes a file that only this user can read, and returns its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.home.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        self.chmod(name, 0o600);
        path.to_str().unwrap().to_owned()
    }

    pub fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.home.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub fn token_file(&self) -> PathBuf {
        self.home.join(".local/state/gettone/tokens.json")
    }

    /// Returns the content of the token file, which must be whole.
    pub fn stored(&self) -> Value {
        serde_json::from_slice(&fs::read(self.token_file()).unwrap()).unwrap()
    }

    /// Makes the kept tokens expire that long from now, or before now, but not their refresh tokens.
    pub fn expire_in(&self, seconds: i64) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let end = i64::try_from(now.as_millis()).unwrap() + 1_000 * seconds;
        let mut stored = self.stored();
        for record in stored["tokens"].as_object_mut().unwrap().values_mut() {
            record["expires_at"] = end.into();
            record["obtained_at"] = (end - 3_600_000).into();
        }
        fs::write(self.token_file(), stored.to_string()).unwrap();
    }

    /// Returns how many requests the services got.
    pub fn requests(&self) -> usize {
        self.emulator.requests().len()
    }

    /// Returns everything that must not be shown, including the issued tokens.
    pub fn secrets(&self) -> Vec<String> {
        let issued = self.emulator.tokens().into_iter().flat_map(|token| [Some(token.token), token.refresh_token]);
        let issued = issued.flatten().map(|secret| secret.expose().to_owned());
        [API_KEY, SANDBOX_KEY, CLIENT_SECRET, PASSWORD].into_iter().map(str::to_owned).chain(issued).collect()
    }

    /// Checks that a text shows no secret.
    #[track_caller]
    pub fn assert_clean(&self, what: &str, text: &str) {
        for secret in self.secrets() {
            assert!(!text.contains(&secret), "{what} shows {secret:?}:\n{text}");
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// Waits for a run. One that hangs is killed, and fails the test.
pub async fn wait(child: Child) -> Run {
    let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await;
    Run::of(output.expect("the program hangs").unwrap())
}

/// Waits until a condition holds that another process brings about.
pub async fn until(mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.expect("it never happens");
}
