//! Every field of every answer, as the vendor's examples have it.

use std::time::{Duration, SystemTime};

use gettone::openapi::v2::{Limit, PageRange, Stats, TokenLimits};
use gettone::openapi::{Decimal, Period};
use gettone::{AccessToken, RefreshToken};
use serde_json::json;

use super::operations::{
    CALLBACK, CALLBACKS, ERRORS, SCOPE, SCOPES, SHORT_TOKEN, STATS, STATS_API, STATS_APIS, STATS_IPS, SUBSCRIPTION,
    SUBSCRIPTIONS, TOKEN, TOKENS, TRANSACTIONS, WALLET, returned, token,
};

fn at(seconds: u64) -> Option<SystemTime> {
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// Returns the counts of figures, the amount and the addresses.
fn figures(stats: &Stats) -> ([Option<u64>; 7], Option<Decimal>, &[String]) {
    let counts = [
        stats.total_requests(),
        stats.wallet_requests(),
        stats.subscription_requests(),
        stats.error_requests(),
        stats.total_ips(),
        stats.total_apis(),
        stats.total_scopes(),
    ];
    (counts, stats.wallet_amount(), stats.ips())
}

const NO_FIGURES: ([Option<u64>; 7], Option<Decimal>, &[String]) = ([None; 7], None, &[]);

#[tokio::test]
async fn a_token() {
    let token = returned(TOKEN, async |oauth| oauth.find_token(&token()).await).await.unwrap();
    assert_eq!(token.token().expose(), "656d1e2f8b3c2a001f7e4a12");
    assert_eq!(token.name(), Some("Service X API token"));
    assert_eq!(token.created_at(), at(1_763_546_400));
    assert_eq!(Some(token.expires_at()), at(1_766_138_400));
    assert_eq!(token.updated_at(), at(1_763_629_200));
    let scopes = token.scopes().unwrap();
    assert_eq!((scopes.len(), scopes[0].as_str()), (1, "GET:api.openapi.com/resource"));
    assert_eq!(token.refresh_token().map(RefreshToken::expose), Some("656d1e2f8b3c2a001f7e4a13"));
    let limits = token.limits();
    assert_eq!(limits.max_total_requests(), Limit::Limited(10_000));
    assert_eq!(limits.max_wallet_requests(), Limit::Limited(1_000));
    assert_eq!(limits.max_subscription_requests(), Limit::Limited(500));
    assert_eq!(limits.max_wallet_amount(), Limit::Limited(decimal("50")));
    assert_eq!(limits.allowed_ips(), ["192.168.1.1", "10.0.0.2"]);
    let counts = [Some(1_234), Some(120), Some(30), Some(5), None, None, None];
    let ips = ["192.168.1.1".to_owned(), "10.0.0.2".to_owned()];
    assert_eq!(figures(token.stats()), (counts, Some(decimal("12.5")), &ips[..]));
}

#[tokio::test]
async fn a_token_as_users_see_it() {
    let token = returned(SHORT_TOKEN, async |oauth| oauth.find_token(&token()).await).await.unwrap();
    assert_eq!(token.token(), &AccessToken::from("656d1e2f8b3c2a001f7e4a12"));
    assert_eq!(token.name(), Some("Service X API token"));
    assert_eq!((token.created_at(), Some(token.expires_at())), (at(1_763_546_400), at(1_766_138_400)));
    assert_eq!((token.updated_at(), token.scopes(), token.refresh_token()), (None, None, None));
    assert_eq!((token.limits(), token.stats()), (&TokenLimits::new(), &Stats::default()));
}

#[tokio::test]
async fn tokens() {
    let page = returned(TOKENS, async |oauth| oauth.list_tokens(PageRange::default()).await).await;
    assert_eq!((page.len(), page.next_range(), page.unrecognized().len()), (1, None, 0));
    let token = &page[0];
    assert_eq!(token.token().expose(), "656d1e2f8b3c2a001f7e4a12");
    assert_eq!(token.refresh_token().map(RefreshToken::expose), Some("656d1e2f8b3c2a001f7e4a13"));
    assert_eq!(token.updated_at(), at(1_763_629_200));
    assert_eq!((token.limits(), figures(token.stats())), (&TokenLimits::new(), NO_FIGURES));
    let shown = format!("{page:?} {token:?}");
    assert!(!shown.contains("4a12") && !shown.contains("4a13"), "{shown}");
}

#[tokio::test]
async fn scopes() {
    let page = returned(SCOPES, async |oauth| oauth.list_scopes().await).await;
    let [entry] = page.as_slice() else { panic!("{page:?}") };
    assert_eq!(entry.id(), Some("656d1e2f8b3c2a001f7e4a14"));
    assert_eq!((entry.scope().as_str(), entry.is_enabled()), ("GET:api.openapi.com/resource", true));
}

#[tokio::test]
async fn a_scope() {
    let scope = returned(SCOPE, async |oauth| oauth.get_scope("682c9f5a51671f7ef264c4fd").await).await;
    assert_eq!(scope.id(), "682c9f5a51671f7ef264c4fd");
    assert_eq!((scope.scope().as_str(), scope.is_enabled()), ("GET:company.openapi.com/CH-start", false));
    assert_eq!(scope.rate_limit(), Limit::Unlimited);
    let free = scope.free_limits();
    // 0 is a limit, and `false` is none.
    assert_eq!(free.day(), Limit::Limited(0));
    assert_eq!([free.month(), free.year(), free.total()], [Limit::Unlimited; 3]);
    let requirements: Vec<_> = scope.requirements().iter().map(|(name, done)| (name.as_str(), *done)).collect();
    assert_eq!(requirements, [("id_card", false), ("oa_general_contract", false)]);
    let prices: Vec<_> = scope.prices().iter().map(|(name, price)| (name.as_str(), *price)).collect();
    assert_eq!(prices, [("ch-start", decimal("0.06"))]);
}

#[tokio::test]
async fn a_wallet() {
    let wallet = returned(WALLET, async |oauth| oauth.wallet().await).await;
    assert_eq!(wallet.credit(), decimal("125.5"));
    assert_eq!((wallet.created_at(), wallet.updated_at()), (at(1_736_935_200), at(1_770_885_000)));
}

#[tokio::test]
async fn transactions() {
    let list = async |oauth: &gettone::openapi::v2::Oauth| oauth.list_wallet_transactions(PageRange::default()).await;
    let page = returned(TRANSACTIONS, list).await;
    let found: Vec<_> =
        page.iter().map(|entry| (entry.id(), entry.amount(), entry.created_at(), entry.description())).collect();
    assert_eq!(
        found,
        [
            (
                "txn_65a1b2c3d4e5f6789abc001",
                decimal("-15.5"),
                at(1_770_885_000),
                Some("API usage - company.openapi.com")
            ),
            ("txn_65a1b2c3d4e5f6789abc002", decimal("100"), at(1_770_732_900), Some("Wallet recharge")),
            ("txn_65a1b2c3d4e5f6789abc003", decimal("-5.25"), at(1_770_636_000), Some("API usage - sms.openapi.com")),
        ]
    );
    // To the cent, and not to the nearest binary number.
    assert_eq!(page.iter().map(|entry| entry.amount()).sum::<Decimal>().to_string(), "79.25");
}

#[tokio::test]
async fn errors() {
    let page = returned(ERRORS, async |oauth| oauth.list_errors(&[], PageRange::default()).await).await;
    assert_eq!((page.len(), page[0].id(), page[1].id()), (2, "69822d1d48be79971b04351a", "69822d1d48be79971b04351b"));
    let found: Vec<_> = page
        .iter()
        .map(|entry| (entry.scope(), entry.domain(), entry.at(), entry.status(), entry.code(), entry.message()))
        .collect();
    let (oauth, company) = ("DELETE:oauth.openapi.com/tokens", "GET:company.openapi.com/resource");
    assert_eq!(
        found,
        [
            (Some(oauth), Some("oauth.openapi.com"), at(1_770_138_909), Some(404), Some("180"), Some("Not Found")),
            (
                Some(company),
                Some("company.openapi.com"),
                at(1_770_136_245),
                Some(400),
                Some("190"),
                Some("Query error")
            ),
        ]
    );
    assert_eq!(page.iter().map(|entry| entry.ip()).collect::<Vec<_>>(), [Some("203.0.113.7"), Some("192.168.1.100")]);
}

#[tokio::test]
async fn callbacks() {
    let page = returned(CALLBACKS, async |oauth| oauth.list_callbacks(&[], PageRange::default()).await).await;
    let [first, second] = page.as_slice() else { panic!("{page:?}") };
    assert_eq!((first.id(), first.scope()), ("65a1b2c3d4e5f6789abcdef0", Some("POST:company.openapi.com/webhook")));
    assert_eq!((first.url(), first.status()), (Some("https://example.com/callback"), Some(200)));
    assert_eq!((first.started_at(), first.completed_at()), (at(1_770_890_400), at(1_770_890_405)));
    assert_eq!((second.id(), second.scope()), ("65a1b2c3d4e5f6789abcdef1", Some("POST:sms.openapi.com/send")));
    assert_eq!((second.url(), second.status()), (Some("https://app.example.com/notify"), Some(200)));
    // A status, and yet not completed.
    assert_eq!((second.started_at(), second.completed_at()), (at(1_770_888_600), None));
    for entry in &page {
        let texts = [entry.domain(), entry.method(), entry.field()];
        assert_eq!((texts, entry.is_active(), entry.created_at()), ([None; 3], None, None));
        assert_eq!((entry.elapsed(), entry.attempt(), entry.retries()), (None, None, None));
        assert_eq!((entry.data(), entry.custom(), entry.headers()), (None, None, None));
    }
}

#[tokio::test]
async fn a_callback() {
    let callback = returned(CALLBACK, async |oauth| oauth.get_callback("65a1b2c3d4e5f6789abcdef0").await).await;
    assert_eq!(callback.id(), "65a1b2c3d4e5f6789abcdef0");
    assert_eq!(callback.scope(), Some("POST:company.openapi.com/webhook"));
    assert_eq!(callback.domain(), Some("company.openapi.com"));
    assert_eq!((callback.is_active(), callback.status()), (Some(false), Some(200)));
    assert_eq!(callback.created_at(), at(1_770_890_395));
    assert_eq!((callback.started_at(), callback.completed_at()), (at(1_770_890_400), at(1_770_890_405)));
    assert_eq!(callback.data(), Some(&json!({ "event": "user.created", "userId": "12345" })));
    assert_eq!(callback.custom(), Some(&json!({ "trackingId": "abc-123" })));
    let headers = json!({ "Content-Type": "application/json", "X-Webhook-Signature": "sha256=..." });
    assert_eq!(callback.headers(), Some(&headers));
    assert_eq!(callback.elapsed(), Some(Duration::from_millis(5_234)));
    assert_eq!((callback.attempt(), callback.retries()), (Some(1), Some(0)));
    assert_eq!((callback.field(), callback.method()), (Some("webhookUrl"), Some("POST")));
    assert_eq!(callback.url(), Some("https://example.com/callback"));
    let shown = format!("{callback:?}");
    for secret in ["sha256", "abc-123", "12345\"", "example.com/callback"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn stats() {
    let stats = returned(STATS, async |oauth| oauth.stats(Period::total()).await).await;
    let counts = [Some(1_500), Some(800), Some(700), Some(12), Some(45), Some(8), None];
    assert_eq!(figures(&stats), (counts, Some(decimal("125.5")), &[][..]));
}

#[tokio::test]
async fn stats_of_addresses() {
    let ips = returned(STATS_IPS, async |oauth| oauth.stats_ips(Period::total()).await).await;
    assert_eq!(ips, ["192.168.1.1", "10.0.0.5", "172.16.0.100", "203.0.113.42"]);
}

#[tokio::test]
async fn stats_of_domains() {
    let all = returned(STATS_APIS, async |oauth| oauth.stats_apis(Period::total()).await).await;
    let [(company, of_company), (sms, of_sms)] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((company.as_str(), sms.as_str()), ("company.openapi.com", "sms.openapi.com"));
    let counts = [Some(500), Some(300), Some(200), Some(5), Some(20), None, Some(15)];
    assert_eq!(figures(of_company), (counts, Some(decimal("45.5")), &[][..]));
    let counts = [Some(1_000), Some(500), Some(500), Some(7), Some(25), None, Some(20)];
    assert_eq!(figures(of_sms), (counts, Some(decimal("80")), &[][..]));
}

#[tokio::test]
async fn stats_of_a_domain() {
    let domain = "company.openapi.com";
    let stats = returned(STATS_API, async |oauth| oauth.stats_api(domain, Period::total()).await).await;
    let ips = ["192.168.1.1".to_owned(), "10.0.0.5".to_owned()];
    let counts = [Some(500), Some(300), Some(200), Some(5), Some(2), None, Some(15)];
    assert_eq!(figures(stats.stats()), (counts, Some(decimal("45.5")), &ips[..]));
    let [(post, of_post), (get, of_get)] = stats.scopes() else { panic!("{stats:?}") };
    // In the service's order.
    assert_eq!(post.as_str(), "POST:company.openapi.com/endpoint");
    assert_eq!(get.as_str(), "GET:company.openapi.com/endpoint");
    let counts = |errors| [Some(250), Some(150), Some(100), Some(errors), None, None, None];
    assert_eq!(figures(of_post), (counts(2), Some(decimal("22.75")), &ips[..1]));
    assert_eq!(figures(of_get), (counts(3), Some(decimal("22.75")), &ips[1..]));
    assert!(stats.unrecognized().is_empty());
}

#[tokio::test]
async fn subscriptions() {
    let page = returned(SUBSCRIPTIONS, async |oauth| oauth.list_subscriptions(&[], PageRange::default()).await).await;
    let found: Vec<_> = page
        .iter()
        .map(|entry| (entry.id(), entry.scope(), entry.available_requests(), entry.starts_at(), entry.expires_at()))
        .collect();
    let (company, sms) = ("GET:company.openapi.com/resource", "POST:sms.openapi.com/send");
    assert_eq!(
        found,
        [
            ("656d1e2f8b3c2a001f7e4a20", Some(company), Some(950), at(1_761_955_200), at(1_764_547_200)),
            ("656d1e2f8b3c2a001f7e4a21", Some(sms), Some(800), at(1_763_164_800), at(1_794_700_800)),
        ]
    );
    for entry in &page {
        assert_eq!((entry.is_active(), entry.is_auto_renewed()), (Some(true), None));
        assert_eq!((entry.domain(), entry.kind(), entry.total_requests()), (None, None, None));
        assert_eq!((entry.price(), entry.price_per_request()), (None, None));
        assert_eq!((entry.created_at(), entry.updated_at()), (None, None));
    }
}

#[tokio::test]
async fn a_subscription() {
    let id = "656d1e2f8b3c2a001f7e4a20";
    let entry = returned(SUBSCRIPTION, async |oauth| oauth.get_subscription(id).await).await;
    assert_eq!((entry.id(), entry.scope()), (id, Some("GET:company.openapi.com/resource")));
    assert_eq!((entry.domain(), entry.is_active()), (Some("company.openapi.com"), Some(true)));
    assert_eq!((entry.starts_at(), entry.expires_at()), (at(1_761_955_200), at(1_764_547_200)));
    assert_eq!((entry.total_requests(), entry.available_requests()), (Some(1_000), Some(950)));
    assert_eq!((entry.price_per_request(), entry.price()), (Some(decimal("0.01")), Some(decimal("10"))));
    assert_eq!((entry.kind(), entry.is_auto_renewed()), (Some("monthly"), Some(true)));
    assert_eq!((entry.created_at(), entry.updated_at()), (at(1_761_386_400), at(1_763_566_200)));
}
