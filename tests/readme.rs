//! The test that the README shows, so that it is compiled and run: a doctest leaves out what is marked as a test.
#![cfg(feature = "emulator")]

use gettone::emulator::{Emulator, Fault};
use gettone::openapi::{Credentials, v1::Oauth};
use gettone::{ScopeSet, reqwest};

#[tokio::test]
async fn my_program_survives_a_lost_answer() -> Result<(), Box<dyn std::error::Error>> {
    let emulator = Emulator::start().await?; // on a port of its own; it ends when it is dropped
    let account = emulator.account();
    let oauth = Oauth::builder(Credentials::new(account.email(), account.production_key().clone()))
        .base_url(emulator.production_url())
        .clock(emulator.clock()) // time is the emulator's: `emulator.advance(…)`
        .scopes(ScopeSet::parse(["GET:127.0.0.1/echo"])?)
        .build()?;

    emulator.fail_next_on(1, "POST /token", Fault::ResetAfter); // carried out, and nobody hears of it
    let http = reqwest::Client::builder().redirect(gettone::same_origin()).no_proxy().build()?;
    let mut request = http.get(emulator.url("/echo/12345670124")).build()?; // stands for any paid endpoint
    oauth.authorize(&mut request).await?;
    assert_eq!(http.execute(request).await?.status(), 200);
    assert_eq!(emulator.count("create_token"), 1); // the lost one was found
    Ok(())
}

#[test]
fn the_readme_shows_it_word_for_word() {
    let mut blocks = include_str!("../README.md").split("```");
    let shown = blocks.find_map(|block| block.strip_prefix("rust\n").filter(|block| block.contains("#[tokio::test]")));
    assert!(shown.is_some_and(|shown| include_str!("readme.rs").contains(shown)));
}
