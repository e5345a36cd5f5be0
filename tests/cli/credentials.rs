//! Where credentials come from, in which order, and which files are refused.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use gettone::emulator::Fault;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::world::{API_KEY, CLIENT_SECRET, PASSWORD, SANDBOX_KEY, SCOPE, World, wait};

const TOKEN: [&str; 5] = ["--store", "none", "openapi", "token", SCOPE];
const CONFIG: &str = ".config/gettone/config.toml";

/// Returns the source of a credential of Openapi.it, as `status` names it.
async fn source(world: &World, options: &[&str], name: &str) -> Value {
    let status = world.run(&[options, &["status", "--json"]].concat()).await.json();
    let credentials = status["credentials"].as_array().unwrap();
    credentials.iter().find(|credential| credential["name"] == name).unwrap()["source"].clone()
}

#[tokio::test]
async fn each_source_works_and_the_first_one_counts() {
    let mut world = World::new().await;
    world.unset_credentials();
    world.run(&TOKEN).await.fails(4, "no e-mail address; set OPENAPI_EMAIL or OPENAPI_USERNAME");
    assert_eq!(source(&world, &[], "API key").await, Value::Null);

    // The last source first: each one that follows comes before it. Its own key is right, and the others are wrong by now.
    let profile = |key: &str| format!("[default.openapi]\nemail = 'test@example.com'\napi_key = '{key}'\n");
    let config = world.write(CONFIG, &profile(API_KEY));
    world.run(&TOKEN).await.line();
    assert_eq!(source(&world, &[], "API key").await, format!("profile default of {config}"));

    world.write(CONFIG, &profile("wrong"));
    world.run(&TOKEN).await.fails(4, "401");
    world.run(&TOKEN).await.fails(4, &format!("; used: e-mail address, API key from profile default of {config}\n"));
    let file = world.write("key", &format!("{API_KEY}\n"));
    world.set("OPENAPI_API_KEY_FILE", &file);
    world.run(&TOKEN).await.line();
    assert_eq!(source(&world, &[], "API key").await, "file of the variable OPENAPI_API_KEY_FILE");

    world.write("key", "wrong");
    world.set("OPENAPI_API_KEY", API_KEY);
    world.run(&TOKEN).await.line();
    assert_eq!(source(&world, &[], "API key").await, "variable OPENAPI_API_KEY");

    world.set("OPENAPI_API_KEY", "wrong");
    world.write("credentials/openapi_api_key", API_KEY);
    world.set("CREDENTIALS_DIRECTORY", world.home.join("credentials").to_str().unwrap());
    world.run(&TOKEN).await.line();
    assert_eq!(source(&world, &[], "API key").await, "systemd credential openapi_api_key");

    world.write("credentials/openapi_api_key", "wrong");
    let given = world.write("given.toml", &format!("openapi.api_key = '{API_KEY}'"));
    world.run(&[&["--credentials", &given][..], &TOKEN].concat()).await.line();
    assert_eq!(source(&world, &["--credentials", &given], "API key").await, format!("--credentials {given}"));
    let stdin = format!("[openapi]\napi_key = '{API_KEY}'\nemail = 'test@example.com'");
    world.run_with(&[&["--credentials", "-"][..], &TOKEN].concat(), &stdin).await.line();
    world.run(&TOKEN).await.fails(4, "401");
}

#[tokio::test]
async fn the_variables_of_the_vendors_tool_work() {
    let mut world = World::new().await;
    world.unset_credentials();
    world.set("OPENAPI_USERNAME", "test@example.com");
    world.set("OPENAPI_KEY", API_KEY);
    world.set("OPENAPI_SANDBOX_KEY", SANDBOX_KEY);
    world.run(&TOKEN).await.line();
    world.run(&[&["--sandbox"][..], &TOKEN].concat()).await.line();
    assert_eq!(source(&world, &[], "API key").await, "variable OPENAPI_KEY");

    // Its tokens count if there is no key.
    world.set("OPENAPI_TOKEN", "ready-made");
    world.set("OPENAPI_SANDBOX_TOKEN", "ready-made-too");
    assert_ne!(world.run(&TOKEN).await.line(), "ready-made");
    world.unset("OPENAPI_KEY");
    world.unset("OPENAPI_SANDBOX_KEY");
    let sent = world.requests();
    let run = world.run(&TOKEN).await;
    assert!(run.line() == "ready-made" && run.stderr.contains("OPENAPI_TOKEN"), "{run:?}");
    assert_eq!(world.run(&[&["--sandbox"][..], &TOKEN].concat()).await.line(), "ready-made-too");
    let json = world.run(&[&["--json"][..], &TOKEN].concat()).await.json();
    assert_eq!((&json["token"], &json["expires_at"]), (&json!("ready-made"), &Value::Null));
    world.run(&["openapi", "token", SCOPE, "--refresh"]).await.fails(4, "cannot be replaced");
    assert_eq!(world.requests(), sent);
    assert!(source(&world, &[], "token").await.as_str().unwrap().contains("OPENAPI_TOKEN"));
}

/// A user with several sources of credentials sees which one to correct.
#[tokio::test]
async fn a_refused_login_names_the_sources_that_were_used() {
    let mut world = World::new().await;
    world.unset("KELIWEB_CLIENT_SECRET");
    world.unset("KELIWEB_USERNAME");
    world.set("KELIWEB_PASSWORD", "wrong-5a31");
    world.set("KELIWEB_USERNAME_FILE", world.write("user", "customer@example.com"));
    let text = format!("default.keliweb.client_secret_command = ['echo', '{CLIENT_SECRET}']");
    let config = world.write(CONFIG, &text);
    let run = world.run(&["keliweb", "token"]).await;
    let sources = format!(
        "; used: client id from variable KELIWEB_CLIENT_ID; client secret from client_secret_command in profile default of \
         {config}; user name from file of the variable KELIWEB_USERNAME_FILE; password from variable KELIWEB_PASSWORD\n"
    );
    run.fails(4, &sources);
    world.assert_clean("the error", &run.stderr);
    assert!(!run.stderr.contains("5a31"), "{run:?}");
    let json = world.run(&["keliweb", "token", "--json"]).await;
    json.fails(4, "used: client id from variable KELIWEB_CLIENT_ID");
    assert_eq!(world.emulator.count("password_grant"), 2);
    // Another failure has nothing to do with them.
    world.emulator.fail_next(1_000, Fault::Status(500));
    let run = world.run(&["keliweb", "token"]).await;
    assert!(run.code == 1 && !run.stderr.contains("used:"), "{run:?}");
}

#[tokio::test]
async fn a_command_can_print_a_secret() {
    let mut world = World::new().await;
    world.unset_credentials();
    let config = |command: &str| {
        let account =
            "client_id = 'client-id'\nusername = 'customer@example.com'\nclient_secret_command = ['cat', 'secret']\n";
        world.write(CONFIG, &format!("[work.keliweb]\n{account}password_command = {command}\n"));
    };
    world.write("secret", &format!("{CLIENT_SECRET}\n"));
    let run = ["--profile", "work", "keliweb", "token", "--store", "none"];
    config(&format!("['printf', '%s\\n', '{PASSWORD}']"));
    world.run(&run).await.line();
    // A command gets no stdin from which it could ask.
    config("['cat']");
    world.run_with(&run, PASSWORD).await.fails(4, "password_command in profile work");
    config("['false']");
    world.run(&run).await.fails(4, "false failed: exit status: 1");
    config("['no-such-program']");
    let failed = world.run(&run).await;
    failed.fails(4, "cannot run its first word: No such file or directory");
    // It may be the secret itself.
    assert!(!failed.stderr.contains("no-such-program"), "{failed:?}");
    // `status` runs none.
    config("['touch', 'was-run']");
    let status = world.run(&["--profile", "work", "status"]).await;
    assert!(status.code == 0 && status.stdout.contains("password_command") && !world.home.join("was-run").exists());
}

#[tokio::test]
async fn a_file_with_secrets_that_others_can_read_is_refused_with_the_command_to_type() {
    let mut world = World::new().await;
    world.unset("OPENAPI_API_KEY");
    let config = world.write(CONFIG, &format!("default.openapi.api_key = '{API_KEY}'"));
    for mode in [0o640, 0o604, 0o620] {
        world.chmod(CONFIG, mode);
        world.run(&TOKEN).await.fails(1, &format!("chmod 600 '{config}'"));
        world.run(&["status"]).await.fails(1, "chmod 600");
    }
    world.chmod(CONFIG, 0o600);
    world.run(&TOKEN).await.line();
    // Also if the secret is in a profile that is not used.
    for other in [
        "[work.keliweb]\npassword = 'planted-password-e5b8'",
        "[work]\nstore = 'redis://:planted-password-e5b8@h'",
        "[work]\nstore = 'redis:u:planted-password-e5b8@h'",
        "[work]\nstore = 'unix:///s?p%61ss=planted-password-e5b8'",
    ] {
        world.write(CONFIG, &format!("[default.openapi]\nemail = 'test@example.com'\n{other}\n"));
        assert_eq!(world.run(&["status"]).await.code, 0);
        world.chmod(CONFIG, 0o644);
        world.run(&["status"]).await.fails(1, &format!("chmod 600 '{config}'"));
        world.run(&["--config", CONFIG, "status"]).await.fails(1, "chmod 600");
    }
    // Without a secret in it, everybody may read it.
    world.write(CONFIG, "default.openapi.email = 'test@example.com'");
    world.chmod(CONFIG, 0o644);
    world.set("OPENAPI_API_KEY", API_KEY);
    world.run(&TOKEN).await.line();
    let given = world.write("given.toml", &format!("openapi.api_key = '{API_KEY}'"));
    world.chmod("given.toml", 0o644);
    world.run(&[&["--credentials", &given][..], &TOKEN].concat()).await.fails(1, "chmod 600");

    world.run(&["openapi", "token", SCOPE]).await.line();
    world.chmod(".local/state/gettone/tokens.json", 0o644);
    let sent = world.requests();
    world.run(&["openapi", "token", SCOPE]).await.fails(1, "chmod");
    world.run(&["status"]).await.fails(1, "chmod");
    world.chmod(".local/state/gettone/tokens.json", 0o600);
    world.chmod(".local/state/gettone", 0o777);
    world.run(&["openapi", "token", SCOPE]).await.fails(1, "chmod");
    assert_eq!(world.requests(), sent);
}

#[tokio::test]
async fn a_wrong_configuration_is_named_by_its_place_and_shows_no_value() {
    let world = World::new().await;
    for (text, reason) in [
        ("[default.openapi]\nemail = 'a'\napi_key = planted-key-71f0\n", "line 3 is not TOML"),
        (
            "[default.openapi]\napi_keys = 'planted-key-71f0'",
            "openapi: unknown key \"api_keys\"; expected one of email, api_key",
        ),
        ("[default.openapi]\napi_key = 5", "openapi.api_key: expected a text"),
        ("[default.openapi]\napi_key_command = 'planted-key-71f0'", "openapi.api_key_command: expected a list"),
        ("[default.openapi]\napi_key = ['planted-key-71f0']", "openapi.api_key: expected a text"),
        ("default.openapi = 'planted-key-71f0'", "openapi: expected a table"),
        ("[default]\nkey = 'planted-key-71f0'", "unknown key \"key\""),
        (
            "[default]\napi_version = 2\n\nenvironment = 'planted-key-71f0'",
            "environment: expected `production` or `sandbox`; see line 4\n",
        ),
        ("[work]\nenvironment = 'planted-key-71f0'", "environment: expected `production` or `sandbox`; see line 2\n"),
        ("[work.openapi]\napi_keys = 'planted-key-71f0'", "profile work of "),
        ("environment = 'planted-key-71f0'", "\"environment\" is in no profile"),
        ("[default]\nenvironment = 5", "environment: expected a text"),
        ("[default]\napi_version = 3", "api_version: expected 1 or 2"),
    ] {
        world.write(CONFIG, text);
        let run = world.run(&TOKEN).await;
        run.fails(2, reason);
        world.assert_clean(text, &run.stderr);
    }
    world.write(CONFIG, "[default]\n[work]\n");
    world
        .run(&["--profile", "other", "status"])
        .await
        .fails(2, "no such profile; its profiles are [\"default\", \"work\"]");
    world.run(&["--config", "none.toml", "status"]).await.fails(2, "none.toml: it does not exist");
    world.run(&["--credentials", "none.toml", "status"]).await.fails(4, "there is no such file");
    assert_eq!(world.requests(), 0);
}

#[tokio::test]
async fn a_profile_sets_environment_version_store_and_address() {
    let mut world = World::new().await;
    let url = world.emulator.sandbox_url();
    world.unset("GETTONE_OPENAPI_V1_SANDBOX_URL");
    let text = format!(
        "[work]\nenvironment = 'sandbox'\napi_version = 1\nstore = 'work.json'\n[work.openapi]\nv1_sandbox_url = '{url}'\n"
    );
    world.write("my.toml", &text);
    let run = world.run(&["--config", "my.toml", "--profile", "work", "openapi", "token", SCOPE]).await;
    run.line();
    let request = &world.emulator.requests()[0];
    assert_eq!((request.operation, request.path.expose()), ("create_token", "/sandbox/token"));
    assert!(world.home.join("work.json").exists());
}

#[tokio::test]
async fn credentials_go_to_https_or_this_machine_only() {
    let mut world = World::new().await;
    world.set("GETTONE_OPENAPI_URL", "http://example.com");
    world.run(&TOKEN).await.fails(2, "plain http is allowed only for loopback addresses");
}

/// Otherwise `--sandbox` would delete tokens of production.
#[tokio::test]
async fn an_address_of_production_is_not_used_for_the_sandbox() {
    // In place of the vendor's own address, which no test reaches.
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut world = World::new().await;
    world.unset("GETTONE_OPENAPI_SANDBOX_URL");
    world.set("HTTPS_PROXY", format!("http://{}", proxy.local_addr().unwrap()));
    world.write(CONFIG, &format!("default.openapi.url = '{}'", world.emulator.production_v2_url()));
    let child = world.command(&["--sandbox", "openapi", "tokens"]).spawn().unwrap();
    let mut asked = [0; 39];
    let reads = async {
        let (mut connection, _) = proxy.accept().await.unwrap();
        connection.read_exact(&mut asked).await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(30), reads).await.expect("nothing is asked of the proxy");
    assert_eq!(str::from_utf8(&asked).unwrap(), "CONNECT test.oauth.openapi.com:443 HTTP");
    drop(child);
    assert_eq!(world.requests(), 0);
}

#[tokio::test]
async fn a_file_of_credentials_has_credentials_alone() {
    let world = World::new().await;
    for text in ["environment = 'sandbox'", "store = 'none'", "api_version = 1", "openapi.url = 'http://127.0.0.1:1'"] {
        world.write("given.toml", text);
        world
            .run(&["--credentials", "given.toml", "status"])
            .await
            .fails(2, "is no credential; write it into a profile");
    }
}

#[tokio::test]
async fn a_file_with_a_command_or_an_address_that_others_can_write_to_is_refused() {
    let world = World::new().await;
    for text in ["default.openapi.api_key_command = ['touch', 'was-run']", "default.keliweb.url = 'http://127.0.0.1:1'"]
    {
        world.write(CONFIG, text);
        world.chmod(CONFIG, 0o666);
        world.run(&["status"]).await.fails(1, "chmod go-w");
        world.run(&TOKEN).await.fails(1, "chmod go-w");
        world.chmod(CONFIG, 0o644);
        assert_eq!(world.run(&["status"]).await.code, 0);
        // What needs no settings does not read them.
        world.write(CONFIG, "not TOML");
        for offline in [&["completions", "bash"][..], &["man"], &["scope", "explain", SCOPE]] {
            assert_eq!(world.run(offline).await.code, 0, "{offline:?}");
        }
    }
    assert!(!world.home.join("was-run").exists());
}

/// Nothing of the files is read before the program looks after its time and its signals.
#[tokio::test]
async fn a_pipe_without_a_writer_does_not_keep_the_program() {
    let mut world = World::new().await;
    assert_eq!(world.bash("mkfifo pipe").await.code, 0);
    world.run(&["--credentials", "pipe", "--timeout", "1s", "keliweb", "token"]).await.fails(75, "no result in time");
    world.run(&["--config", "pipe", "--timeout", "1s", "keliweb", "token"]).await.fails(75, "no result in time");
    world.unset("KELIWEB_PASSWORD");
    world.set("KELIWEB_PASSWORD_FILE", "pipe");
    world.run(&["--timeout", "1s", "keliweb", "token"]).await.fails(75, "no result in time");
    let mut command = world.command(&["--timeout", "1s", "openapi", "tokens", "delete", "-", "--yes"]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let _open = child.stdin.take();
    wait(child).await.fails(75, "no result in time");
    assert_eq!(world.requests(), 0);
}

#[tokio::test]
async fn a_key_of_the_sandbox_counts_before_one_for_all() {
    let mut world = World::new().await;
    world.unset("OPENAPI_SANDBOX_KEY");
    world.set("OPENAPI_API_KEY", "planted-production-key-11f0");
    world.write(CONFIG, &format!("default.openapi.sandbox_api_key = '{}'", SANDBOX_KEY));
    world.chmod(CONFIG, 0o600);
    world.run(&["--sandbox", "openapi", "token", SCOPE]).await.line();
}

#[tokio::test]
async fn a_token_of_a_variable_is_one_line_and_counts_without_a_key_alone() {
    let mut world = World::new().await;
    world.unset("OPENAPI_API_KEY");
    for text in ["two\r\nlines-5a31", "a blank-5a31", "back\\slash-5a31", "quote\"-5a31"] {
        world.set("OPENAPI_TOKEN", text);
        let run = world.run(&["openapi", "token", SCOPE, "--format", "header"]).await;
        run.fails(2, "OPENAPI_TOKEN: not a token");
        assert!(!run.stderr.contains("5a31"), "{run:?}");
    }
    world.set("OPENAPI_TOKEN", "good-token-5a31");
    assert_eq!(world.run(&["openapi", "token", SCOPE]).await.line(), "good-token-5a31");
    // Only the e-mail address is missing.
    world.set("OPENAPI_API_KEY", API_KEY);
    world.unset("OPENAPI_EMAIL");
    world.run(&["openapi", "token", SCOPE]).await.fails(4, "e-mail address");
}

#[tokio::test]
async fn a_variable_with_blanks_alone_counts_as_unset() {
    let mut world = World::new().await;
    world.set("OPENAPI_API_KEY", " \n");
    world.run(&TOKEN).await.fails(4, "no API key; set OPENAPI_API_KEY");
    assert_eq!(world.requests(), 0);
}

#[tokio::test]
async fn status_shows_no_password_of_an_address_that_is_no_url() {
    let mut world = World::new().await;
    for url in ["https://user:planted/5a31@h/", "user:planted/5a31@h", "https://user:planted-5a31@h/"] {
        world.set("GETTONE_OPENAPI_URL", url);
        let run = world.run(&["status"]).await;
        assert!(run.code == 0 && run.stdout.contains("version 2") && !run.stdout.contains("5a31"), "{run:?}");
    }
}

/// Otherwise another source would count, or the vendor's own address.
#[tokio::test]
async fn a_variable_that_is_not_utf_8_is_an_error() {
    let world = World::new().await;
    for name in ["OPENAPI_API_KEY", "OPENAPI_API_KEY_FILE", "KELIWEB_PASSWORD", "GETTONE_OPENAPI_URL", "OPENAPI_TOKEN"]
    {
        for arguments in [&TOKEN[..], &["status"]] {
            let mut command = world.command(arguments);
            let run = wait(command.env(name, OsStr::from_bytes(b"planted-5a31\xff")).spawn().unwrap()).await;
            run.fails(2, &format!("{name}: it is not UTF-8"));
            assert!(!run.stderr.contains("5a31"), "{run:?}");
        }
    }
    assert_eq!(world.requests(), 0);
}

/// A shell would put a home folder in its place.
#[tokio::test]
async fn a_token_with_a_tilde_is_quoted_for_a_shell() {
    let mut world = World::new().await;
    world.unset("OPENAPI_API_KEY");
    for token in ["~/5a31", "a:~/5a31", "=5a31", "a~5a31"] {
        world.set("OPENAPI_TOKEN", token);
        let script =
            format!("gettone openapi token {SCOPE} --format env > token.env; . ./token.env; echo \"$OPENAPI_TOKEN\"");
        assert_eq!(world.bash(&script).await.line(), token);
    }
}
