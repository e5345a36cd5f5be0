//! Invoices of Keliweb Fatture: a token on a request, kept in a file, so that the next run of the program needs no password.
//!
//! `cargo run --example invoices --features emulator` runs four times against the emulator, on this machine. Keliweb Fatture has no
//! sandbox: with the four `KELIWEB_…` set and `-- --production <URL> <token file>` one GET of that URL is sent to the real service,
//! and nothing else but what a token takes. Whether that GET is paid for depends on what you ask for.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use gettone::emulator::{Emulator, Fault};
use gettone::keliweb::{Credentials, Fatture};
use gettone::reqwest::{Client, Response, StatusCode, header::ACCEPT};
use gettone::store::FileStore;
use gettone::{AccessToken, Builder};

/// What the program does each time that it is started.
async fn invoices(
    builder: Builder<Fatture>,
    http: &Client,
    url: &str,
    tokens: &Path,
) -> Result<Response, Box<dyn Error>> {
    let fatture = builder.store(FileStore::open(tokens).await?).build()?;
    let answer = get(&fatture, http, url).await;
    // A refresh that is cut off by the end of the program would cost the token that it was to renew.
    fatture.wait_idle().await;
    answer
}

/// A GET with a token; if that one is refused, once more with another.
async fn get(fatture: &Fatture, http: &Client, url: &str) -> Result<Response, Box<dyn Error>> {
    let (answer, token) = send(fatture, http, url).await?;
    if answer.status() != StatusCode::UNAUTHORIZED {
        return Ok(answer);
    }
    fatture.invalidate(&token); // this one, and never a newer one
    Ok(send(fatture, http, url).await?.0)
}

/// The answer, and the token that was sent.
async fn send(fatture: &Fatture, http: &Client, url: &str) -> Result<(Response, AccessToken), Box<dyn Error>> {
    let mut request = http.get(url).header(ACCEPT, "application/json").build()?;
    let token = fatture.authorize(&mut request).await?; // refuses a request to anybody else
    Ok((http.execute(request).await?, token))
}

const HELP: &str = "\
A token of Keliweb Fatture on a request, kept in a file, so that the next run needs no password.

Without arguments it runs four times against the emulator, on this machine.

Options:
  --production <URL> <token file>  sends one GET of this URL to the real service; WHAT YOU ASK FOR MAY BE BILLED
  -h, --help                       prints this

Environment variables, for --production:
  KELIWEB_CLIENT_ID      the client id
  KELIWEB_CLIENT_SECRET  its secret
  KELIWEB_USERNAME       the customer's user name
  KELIWEB_PASSWORD       the customer's password";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    if std::env::args().skip(1).any(|argument| argument == "--help" || argument == "-h") {
        println!("{HELP}");
        return Ok(());
    }
    // A client that takes a token to nobody but the one it was meant for.
    let http = Client::builder().redirect(gettone::same_origin());
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {
            let folder = std::env::temp_dir().join(format!("gettone-invoices-{}", std::process::id()));
            let result = emulated(&http.no_proxy().build()?, &folder.join("tokens.json")).await;
            std::fs::remove_dir_all(&folder)?;
            result
        }
        ["--production", url, tokens] => {
            let builder = Fatture::builder(Credentials::from_env()?);
            let answer = invoices(builder, &http.build()?, url, Path::new(tokens)).await?;
            println!("{}\n{}", answer.status(), answer.text().await?);
            Ok(())
        }
        _ => Err("expected no arguments, or: --production <URL> <token file>".into()),
    }
}

/// Four runs, and what they asked the service for.
async fn emulated(http: &Client, tokens: &Path) -> Result<(), Box<dyn Error>> {
    let emulator = Emulator::start().await?;
    let url = emulator.url("/api/invoices");
    println!("Keliweb Fatture (emulated on this machine)");
    println!("  {:<34} {:<8} {:>11} {:>16}", "run", "answer", "by password", "by refresh token");
    for run in
        ["the first", "at once: the token of the file", "two hours later: refreshed", "refused with 401: once more"]
    {
        match run {
            "two hours later: refreshed" => emulator.advance(Duration::from_secs(2 * 60 * 60)),
            "refused with 401: once more" => emulator.fail_next_on(1, "/api", Fault::Status(401)),
            _ => {}
        }
        let customer = emulator.customer();
        let (id, secret) = (customer.client_id(), customer.client_secret().clone());
        let credentials = Credentials::new(id, secret, customer.username(), customer.password().clone());
        let builder = Fatture::builder(credentials).base_url(emulator.keliweb_url()).clock(emulator.clock());
        let status = invoices(builder, http, &url, tokens).await?.status().to_string();
        let (passwords, refreshes) = (emulator.count("password_grant"), emulator.count("refresh"));
        println!("  {run:<34} {status:<8} {passwords:>11} {refreshes:>16}");
    }
    Ok(())
}
