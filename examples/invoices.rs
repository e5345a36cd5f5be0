//! Shows a token in a file, so that the next run needs no login: `cargo run --example invoices --features emulator`
//!
//! It runs four times against the emulator, on this machine. With an account it sends one GET to Keliweb Fatture: `-- --help`.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use gettone::emulator::{CLIENT_ID, CLIENT_SECRET, Emulator, Fault, PASSWORD, USERNAME};
use gettone::keliweb::{Credentials, Fatture};
use gettone::reqwest::{Client, Response, StatusCode};
use gettone::store::FileStore;
use gettone::{AccessToken, Builder, same_origin};

/// Runs the program once.
async fn invoices(
    builder: Builder<Fatture>,
    http: &Client,
    url: &str,
    tokens: &Path,
) -> Result<Response, Box<dyn Error>> {
    let fatture = builder.store(FileStore::open(tokens).await?).build()?;
    let response = get(&fatture, http, url).await;
    fatture.wait_idle().await; // if the program ended in the middle of a refresh, the refresh token would be lost
    response
}

/// Sends a GET with a token. If the service rejects the token, retries once with another.
async fn get(fatture: &Fatture, http: &Client, url: &str) -> Result<Response, Box<dyn Error>> {
    let (response, token) = send(fatture, http, url).await?;
    if response.status() != StatusCode::UNAUTHORIZED {
        return Ok(response);
    }
    fatture.invalidate(&token); // drops this token, never a newer one
    Ok(send(fatture, http, url).await?.0)
}

/// Returns the response, and the token that was sent.
async fn send(fatture: &Fatture, http: &Client, url: &str) -> Result<(Response, AccessToken), Box<dyn Error>> {
    let mut request = http.get(url).build()?;
    let token = fatture.authorize(&mut request).await?; // rejects a request to any other host
    Ok((http.execute(request).await?, token))
}

const HELP: &str = "\
A token of Keliweb Fatture in a file, so that the next run of a program needs no login.

Without arguments it runs four times against the emulator, on this machine.

Options:
  --production <URL> <token file>  sends one GET of this URL to the real service, which has no sandbox; THE GET MAY BE BILLED
  -h, --help                       prints this

Environment variables, for --production:
  KELIWEB_CLIENT_ID, KELIWEB_CLIENT_SECRET  the client
  KELIWEB_USERNAME, KELIWEB_PASSWORD        the customer";

#[tokio::main]
async fn main() {
    if let Err(error) = run().await {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{HELP}");
        return Ok(());
    }
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {
            let folder = std::env::temp_dir().join(format!("gettone-invoices-{}", std::process::id()));
            let result = emulated(&folder.join("tokens.json")).await;
            let removed = std::fs::remove_dir_all(&folder);
            result?;
            Ok(removed?)
        }
        ["--production", url, tokens] => {
            let http = Client::builder().redirect(same_origin()).build()?;
            let response = invoices(Fatture::builder(Credentials::from_env()?), &http, url, Path::new(tokens)).await?;
            println!("{}\n{}", response.status(), response.text().await?);
            Ok(())
        }
        _ => Err("expected no arguments, or: --production <URL> <token file>".into()),
    }
}

/// SCAFFOLDING, not to copy: the emulator, its clock, and what it counted.
async fn emulated(tokens: &Path) -> Result<(), Box<dyn Error>> {
    let emulator = Emulator::start().await?;
    let credentials = Credentials::new(CLIENT_ID, CLIENT_SECRET, USERNAME, PASSWORD);
    let http = Client::builder().redirect(same_origin()).no_proxy().build()?;
    println!("Keliweb Fatture (emulated on this machine)");
    println!("  {:<40} {:<8} {:>6} {:>9}", "run", "response", "logins", "refreshes");
    for (run, hours_later, rejections) in [
        ("first", 0, 0),
        ("at once: the token of the file", 0, 0),
        ("two hours later: refreshed", 2, 0),
        ("token rejected: refreshed, sent again", 0, 1),
    ] {
        emulator.advance(Duration::from_secs(hours_later * 60 * 60));
        emulator.fail_next_on(rejections, "/api", Fault::Status(401));
        let builder = Fatture::builder(credentials.clone()).base_url(emulator.keliweb_url()).clock(emulator.clock());
        let status = invoices(builder, &http, &emulator.url("/api/invoices"), tokens).await?.status().to_string();
        let [logins, refreshes] = ["password_grant", "refresh"].map(|operation| emulator.count(operation));
        println!("  {run:<40} {status:<8} {logins:>6} {refreshes:>9}");
    }
    Ok(())
}
