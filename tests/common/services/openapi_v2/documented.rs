//! What a call of version 2 returns for each response that its spec has as an example.

use super::Documented;

const WHOLE: &str = "656d1e2f8b3c2a001f7e4a12 Service X API token, 2025-11-19T10:00:00Z to 2025-12-19T10:00:00Z, changed 2025-11-20T09:00:00Z, \
    GET:api.openapi.com/resource, refresh 656d1e2f8b3c2a001f7e4a13, at most 10000/1000/500/50 from [192.168.1.1 10.0.0.2], \
    used 1234/120/30/5/12.5, -/-/- from [192.168.1.1 10.0.0.2]";
const REFRESHED: &str = "656d1e2f8b3c2a001f7e4a18 Service X API token, 2025-11-20T09:00:00Z to 2025-12-20T09:00:00Z, changed 2025-11-20T09:00:00Z, \
    GET:api.openapi.com/resource, refresh 656d1e2f8b3c2a001f7e4a19, at most 10000/1000/500/50 from [192.168.1.1 10.0.0.2], \
    used 1234/120/30/5/12.5, -/-/- from [192.168.1.1 10.0.0.2]";
const LISTED: &str = "656d1e2f8b3c2a001f7e4a12 Service X API token, 2025-11-19T10:00:00Z to 2025-12-19T10:00:00Z, changed 2025-11-20T09:00:00Z, \
    GET:api.openapi.com/resource, refresh 656d1e2f8b3c2a001f7e4a13, at most unknown/unknown/unknown/unknown from [], \
    used -/-/-/-/-, -/-/- from []";
const WRAPPED: &str = "656d1e2f8b3c2a001f7e4a12 Service X API token, 2025-11-19T10:00:00Z to 2025-12-19T10:00:00Z, changed -, \
    -, refresh -, at most unknown/unknown/unknown/unknown from [], used -/-/-/-/-, -/-/- from []";
const WRONG_DATE: Result<&str, &str> = Err(
    "422 Unprocessable Entity, code 240: Invalid date format, must be YYYY or YYYY-MM or YYYY-MM-DD [invalid input]",
);

#[rustfmt::skip]
pub const ALL: &[Documented] = &[
    ("create_token", 200, "created", Ok(WHOLE)),
    ("create_token", 200, "wrapped", Ok(WRAPPED)),
    ("create_token", 422, "missing_scopes", Err("422 Unprocessable Entity, code 70: missing scopes array [invalid input]")),
    ("create_token", 422, "invalid_format", Err("422 Unprocessable Entity, code 80: invalid scopes format [invalid input]")),
    ("create_token", 422, "invalid_scopes", Err("422 Unprocessable Entity, code 90: Invalid scopes specified or API not enabled (requested: GET:company.openapi.com/IT-start) [invalid input]")),
    ("list_tokens", 200, "one", Ok(LISTED)),
    ("list_tokens", 200, "wrapped", Ok(WRAPPED)),
    ("list_tokens", 404, "not_found", Ok("")),
    ("list_tokens", 422, "invalid_format", Err("422 Unprocessable Entity, code 60: Invalid Token Format [invalid input]")),
    ("find_token", 200, "found", Ok(WHOLE)),
    ("find_token", 200, "wrapped", Ok(WRAPPED)),
    ("find_token", 404, "not_found", Ok("none")),
    ("find_token", 422, "invalid_format", Err("422 Unprocessable Entity, code 60: Invalid Token Format [invalid input]")),
    ("update_token", 200, "updated", Ok(WHOLE)),
    ("update_token", 200, "refreshed", Ok(REFRESHED)),
    ("update_token", 200, "wrapped", Ok(WRAPPED)),
    ("update_token", 400, "missing_token", Err("400 Bad Request, code 150: Token ID is required [invalid input]")),
    ("update_token", 401, "unauthorized_refresh", Err("401 Unauthorized, code 130: Unauthorized [unauthorized]")),
    ("update_token", 401, "unauthorized_authdata", Err("401 Unauthorized, code 140: Unauthorized [unauthorized]")),
    ("refresh_token", 401, "unauthorized_refresh", Err("401 Unauthorized, code 130: Unauthorized [invalid grant]")),
    ("refresh_token", 401, "unauthorized_authdata", Err("401 Unauthorized, code 140: Unauthorized [invalid grant]")),
    ("update_token", 404, "not_found", Err("404 Not Found, code 160: Not Found [not found]")),
    ("update_token", 422, "invalid_format", Err("422 Unprocessable Entity, code 100: invalid scopes format [invalid input]")),
    ("update_token", 422, "invalid_scopes", Err("422 Unprocessable Entity, code 110: Invalid scopes specified or API not enabled (requested: GET:company.openapi.com/IT-advanced GET:company.openapi.com/IT-start) [invalid input]")),
    ("refresh_token", 422, "invalid_scopes", Err("422 Unprocessable Entity, code 110: Invalid scopes specified or API not enabled [invalid input]")),
    ("delete_token", 200, "deleted", Ok("deleted")),
    ("delete_token", 400, "missing_token", Err("400 Bad Request, code 170: Token ID is required [invalid input]")),
    ("delete_token", 404, "not_found", Err("404 Not Found, code 180: Not Found [not found]")),
    ("list_scopes", 200, "one", Ok("656d1e2f8b3c2a001f7e4a14 GET:api.openapi.com/resource true")),
    ("get_scope", 200, "found", Ok("682c9f5a51671f7ef264c4fd GET:company.openapi.com/CH-start false, rate unlimited, free 0/unlimited/unlimited/unlimited, needs [\"id_card=false\", \"oa_general_contract=false\"], costs [\"ch-start=0.06\"]")),
    ("get_scope", 404, "not_found", Err("404 Not Found, code 10: Scope not found [not found]")),
    ("list_errors", 200, "two", Ok("69822d1d48be79971b04351a DELETE:oauth.openapi.com/tokens oauth.openapi.com 2026-02-03T17:15:09Z 404 180 Not Found 203.0.113.7 | 69822d1d48be79971b04351b GET:company.openapi.com/resource company.openapi.com 2026-02-03T16:30:45Z 400 190 Query error 192.168.1.100")),
    ("list_errors", 400, "query_error", Err("400 Bad Request, code 190: Query error [invalid input]")),
    ("get_wallet", 200, "left", Ok("125.5, 2025-01-15T10:00:00Z to 2026-02-12T08:30:00Z")),
    ("list_wallet_transactions", 200, "three", Ok("txn_65a1b2c3d4e5f6789abc001 -15.5 2026-02-12T08:30:00Z API usage - company.openapi.com | txn_65a1b2c3d4e5f6789abc002 100 2026-02-10T14:15:00Z Wallet recharge | txn_65a1b2c3d4e5f6789abc003 -5.25 2026-02-09T11:20:00Z API usage - sms.openapi.com")),
    ("list_callbacks", 200, "two", Ok("65a1b2c3d4e5f6789abcdef0 POST:company.openapi.com/webhook - https://example.com/callback - - 200 - - 2026-02-12T10:00:00Z 2026-02-12T10:00:05Z - ms -/- - - - | 65a1b2c3d4e5f6789abcdef1 POST:sms.openapi.com/send - https://app.example.com/notify - - 200 - - 2026-02-12T09:30:00Z - - ms -/- - - -")),
    ("list_callbacks", 400, "query_error", Err("400 Bad Request, code 210: Query error [invalid input]")),
    ("list_callbacks", 404, "not_found", Ok("")),
    ("get_callback", 200, "completed", Ok("65a1b2c3d4e5f6789abcdef0 POST:company.openapi.com/webhook company.openapi.com https://example.com/callback POST webhookUrl 200 false 2026-02-12T09:59:55Z 2026-02-12T10:00:00Z 2026-02-12T10:00:05Z 5234 ms 1/0 {\"event\":\"user.created\",\"userId\":\"12345\"} {\"trackingId\":\"abc-123\"} {\"Content-Type\":\"application/json\",\"X-Webhook-Signature\":\"sha256=...\"}")),
    ("get_callback", 404, "not_found", Err("404 Not Found, code 200: Callback not found [not found]")),
    ("get_stats", 200, "totals", Ok("1500/800/700/12/125.5, 45/8/- from []")),
    ("get_stats", 422, "invalid_date", WRONG_DATE),
    ("list_stats_ips", 200, "four", Ok("192.168.1.1 10.0.0.5 172.16.0.100 203.0.113.42")),
    ("list_stats_ips", 422, "invalid_date", WRONG_DATE),
    ("list_stats_apis", 200, "two", Ok("company.openapi.com 500/300/200/5/45.5, 20/-/15 from [] | sms.openapi.com 1000/500/500/7/80, 25/-/20 from []")),
    ("list_stats_apis", 422, "invalid_date", WRONG_DATE),
    ("get_stats_api", 200, "by_scope", Ok("500/300/200/5/45.5, 2/-/15 from [192.168.1.1 10.0.0.5]; GET:company.openapi.com/endpoint 250/150/100/3/22.75, -/-/- from [10.0.0.5]; POST:company.openapi.com/endpoint 250/150/100/2/22.75, -/-/- from [192.168.1.1]")),
    ("get_stats_api", 422, "invalid_date", WRONG_DATE),
    ("list_subscriptions", 200, "two", Ok("656d1e2f8b3c2a001f7e4a20 GET:company.openapi.com/resource - true 950/- 2025-11-01T00:00:00Z to 2025-12-01T00:00:00Z - - - - - - | 656d1e2f8b3c2a001f7e4a21 POST:sms.openapi.com/send - true 800/- 2025-11-15T00:00:00Z to 2026-11-15T00:00:00Z - - - - - -")),
    ("list_subscriptions", 400, "query_error", Err("400 Bad Request, code 230: Query error [invalid input]")),
    ("list_subscriptions", 404, "not_found", Ok("")),
    ("get_subscription", 200, "monthly", Ok("656d1e2f8b3c2a001f7e4a20 GET:company.openapi.com/resource company.openapi.com true 950/1000 2025-11-01T00:00:00Z to 2025-12-01T00:00:00Z 10 0.01 monthly true 2025-10-25T10:00:00Z 2025-11-19T15:30:00Z")),
    ("get_subscription", 404, "not_found", Err("404 Not Found, code 220: Subscription not found [not found]")),
];
