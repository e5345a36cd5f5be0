//! The page that shows the state: its headers, and what a browser makes of it.

use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gettone::emulator::{Emulator, Fault};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{fault, start};
use crate::common::fake::{Answer, FakeService};
use crate::common::http;
use crate::fixture::{ECHO, Fixture, start_with};

async fn page(fixture: &Fixture) -> (crate::fixture::Response, String) {
    let answer = fixture.send(http().get(fixture.emulator.url("/"))).await;
    let text = answer.body.as_str().unwrap().to_owned();
    (answer, text)
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere_and_says_so() {
    let fixture = start().await;
    let (answer, text) = page(&fixture).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!((answer.header("x-frame-options"), answer.header("cache-control")), ("DENY", "no-store"));
    assert_eq!((answer.header("x-content-type-options"), answer.header("referrer-policy")), ("nosniff", "no-referrer"));
    let policy = answer.header("content-security-policy");
    for part in
        ["default-src 'none'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]
    {
        assert!(policy.split("; ").any(|known| known == part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for word in
        ["://", "@import", "url(", "src=", "innerHTML", "insertAdjacentHTML", "document.write", "outerHTML", "eval("]
    {
        assert!(!text.contains(word), "{word}");
    }
    assert!(text.matches("href=").count() == 1 && text.contains(r#"<link rel="icon" href="data:,">"#));
}

/// Only the page's own style and script are allowed, by their hashes.
#[cfg(feature = "seal")]
#[tokio::test]
async fn the_policy_has_the_hashes_of_the_page() {
    use aws_lc_rs::digest::{SHA256, digest};
    use base64::Engine as _;

    let fixture = start().await;
    let (answer, text) = page(&fixture).await;
    for tag in ["style", "script"] {
        let (_, rest) = text.split_once(&format!("<{tag}>")).unwrap();
        let (content, rest) = rest.split_once(&format!("</{tag}>")).unwrap();
        assert!(!rest.contains(&format!("<{tag}")), "one {tag}");
        let hash = base64::engine::general_purpose::STANDARD.encode(digest(&SHA256, content.as_bytes()));
        let allowed = format!("{tag}-src 'sha256-{hash}'");
        assert!(answer.header("content-security-policy").contains(&allowed), "src/emulator/remote/page.rs: {allowed}");
    }
}

/// Returns the browser that this machine has. If there is none, says so on the real stderr.
fn chromium() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let programs = ["chromium", "chromium-browser", "google-chrome"];
    let paths = std::env::split_paths(&folders).flat_map(|folder| programs.map(|program| folder.join(program)));
    let found = paths.into_iter().find(|path| path.is_file());
    if found.is_none() {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        std::io::stderr().write_all(format!("not checked here: {test}: no chromium in PATH\n").as_bytes()).unwrap();
    }
    found
}

/// Returns the page as the browser sees it some seconds later, by its own clock.
async fn rendered(browser: &PathBuf, url: &str) -> String {
    static RUN: AtomicUsize = AtomicUsize::new(0);
    let run = RUN.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("gettone-page-{}-{run}", std::process::id()));
    let profile = format!("--user-data-dir={}", folder.display());
    let options = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--virtual-time-budget=3000",
        "--host-resolver-rules=MAP evil.example 127.0.0.1",
    ];
    let command = Command::new(browser)
        .args(options.map(OsStr::new))
        .args([profile.as_str(), "--dump-dom", url])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let Output { stdout, stderr, status } =
        tokio::time::timeout(Duration::from_secs(120), command).await.unwrap().unwrap();
    let _ = std::fs::remove_dir_all(folder);
    let text = String::from_utf8(stdout).unwrap();
    assert!(status.success() && text.contains("</html>"), "{text} {}", String::from_utf8_lossy(&stderr));
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_the_state_and_takes_no_text_for_markup() {
    let Some(browser) = chromium() else { return };
    let evil = "<img src=x onerror=\"document.title='taken'\">";
    let account = gettone::emulator::Account::new(format!("{evil}@example.com"), "key", "key");
    let fixture = start_with(Emulator::builder().control(true).account(account)).await;
    let token = fixture.make(&[ECHO]).await;
    fixture.call("GET", "/echo/companies", &token).await;
    // A method, a path, an agent and a fault: whatever a program can choose. The server rejects `<` in the first two.
    let request = http().request("X'Y".parse().unwrap(), fixture.emulator.url("/echo/'<u>u</u>"));
    fixture.send(request.header("user-agent", format!("<script>document.title='taken'</script>{evil}"))).await;
    fixture.emulator.fail_next_on(3, &format!("GET /{evil}"), Fault::Status(503));
    let on = "POST /<iframe srcdoc='<script>top.document.title=1</script>'>";
    fixture.change("POST", "/faults", json!({ "kind": "lost_response", "on": on })).await;

    let text = rendered(&browser, &fixture.emulator.url("/")).await;
    assert!(text.contains("<title>gettone emulator</title>"), "{text}");
    for shown in [
        "2021-10-14 00:00:00 UTC",
        "GET /echo/companies",
        "create_token 1",
        "1 of 1 issued",
        "status 503",
        "lost response",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    let body = text.split_once("<main>").unwrap().1.split_once("<noscript>").unwrap().0;
    assert!(!["<img", "<iframe", "<script", "<u>"].iter().any(|tag| body.contains(tag)), "{body}");
    assert!(body.contains("&lt;img src=x") && body.contains("&lt;iframe") && body.contains("&lt;script&gt;"), "{body}");
    assert!(!text.contains(&token) && text.contains(&format!("…{}", &token[18..])), "{text}");
    // It asks for nothing else, and what it asks for is not recorded.
    assert_eq!(fixture.emulator.count("unknown"), 0);
    assert!(fixture.emulator.requests().iter().all(|request| request.operation != "unknown"));
}

/// A page of another site, with every way of sending a request that a browser lets it have.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_in_a_browser_changes_nothing() {
    let Some(browser) = chromium() else { return };
    let fixture = start().await;
    let token = fixture.make(&[ECHO]).await;
    let before = fixture.state().await;
    let port = fixture.emulator.address().port();
    let page = format!(
        r#"<!DOCTYPE html><html><body>waiting<iframe name="frame"></iframe>
        <form method="post" enctype="text/plain" target="frame" action="http://127.0.0.1:{port}/_emulator/revoke"></form>
        <script>
        const post = (path, more) => fetch("http://127.0.0.1:{port}/_emulator/" + path, {{ method: "POST", ...more }});
        const json = {{ "content-type": "application/json" }};
        const body = '{{"kind":"lost_request"}}';
        document.forms[0].submit();
        Promise.allSettled([
            post("revoke", {{ mode: "no-cors" }}),
            post("faults", {{ mode: "no-cors", body }}),
            post("faults", {{ mode: "no-cors", headers: json, body }}),
            post("faults", {{ headers: json, body }}),
            post("reset"),
            fetch("http://127.0.0.1:{port}/_emulator/tokens"),
        ]).then((results) => {{ document.body.append(results.map((it) => it.value ? it.value.type : it.status).join(" ")); }});
        </script></body></html>"#
    );
    let server = FakeService::deciding(move |_| Answer::html(200, &page)).await;
    // Another port is another origin of the same site, another name another site.
    for name in ["127.0.0.1", "evil.example"] {
        let url = server.url().replace("127.0.0.1", name);
        let text = rendered(&browser, &url).await;
        // The emulator answered the first three, and the page may not see how.
        assert!(text.contains("opaque opaque opaque rejected rejected rejected"), "{text}");
        assert_eq!(fixture.state().await, before, "{name}");
    }
    assert_eq!(fixture.call("GET", "/echo", &token).await.status, 200);
    // A name that leads to this machine (DNS rebinding) is not the emulator's.
    for path in ["/_emulator/state", "/"] {
        let text = rendered(&browser, &format!("http://evil.example:{port}{path}")).await;
        assert!(!text.contains("production-key") && !text.contains("_emulator/state\")"), "{text}");
        let expected = if path == "/" { "Not Found" } else { "is not the emulator's" };
        assert!(text.contains(expected), "{text}");
    }
}

/// The page renews itself, and says so when the emulator does not answer as it should.
#[tokio::test]
async fn the_page_asks_for_the_state_that_the_interface_has() {
    let fixture = start().await;
    let (_, text) = page(&fixture).await;
    assert!(text.contains(r#"fetch("/_emulator/state")"#));
    // Each field that the script reads is in the state.
    fixture.make(&[ECHO]).await;
    fixture.change("POST", "/faults", fault("lost_response")).await;
    let state = fixture.state().await;
    let places: [(&str, &Value); 7] = [
        ("state.", &state),
        ("request.", &state["newest_requests"][0]),
        ("token.", &state["newest_tokens"][0]),
        ("account.", &state["accounts"][0]),
        ("customer.", &state["customers"][0]),
        ("state.urls.", &state["urls"]),
        ("fault.", &json!({ "kind": 1, "times": 1, "on": 1, "status": 1, "retry_after": 1 })),
    ];
    for (prefix, place) in places {
        let mut read = 0;
        for (at, _) in text.match_indices(prefix) {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if text[..at].ends_with(|c| is_word(c) || c == '.') {
                continue;
            }
            let field: String = text[at + prefix.len()..].chars().take_while(|c| is_word(*c)).collect();
            assert!(place.get(&field).is_some(), "{prefix}{field} is not in {place}");
            read += 1;
        }
        assert!(read > 2, "{prefix}");
    }
}
